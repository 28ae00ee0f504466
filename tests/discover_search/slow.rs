//! Sellers and catalogues that keep a client waiting. The deadlines are the tests' own, so that nobody waits for them.

use std::time::Duration;

use bursar::{
    catalog::refresh::{Patience, Source, refresh},
    clock::Clock,
    config::Config,
    http::Client,
    purchase::{Caller, Purse},
    server::discover_api::{Args, look},
};
use serde_json::{Value, json};

use crate::{
    Reply, Seller, World, list, results, search,
    support::{Drip, Gate, Then, token_for},
    trust::lightning,
};

/// Longer than any test may take, and no deadline that was injected.
const LONG: Duration = Duration::from_secs(3_600);
const SHORT: Duration = Duration::from_millis(50);

fn config(world: &World) -> Config {
    let mut config = Config::load_from(world.home()).unwrap();
    config.http.allow_loopback = true;
    config
}

#[tokio::test]
async fn a_source_that_says_nothing_or_never_finishes_is_given_up_when_its_time_is_over() {
    let world = World::new().await;
    let gate = Gate::closed();
    let silent = {
        let gate = gate.clone();
        Seller::start(move |_| Reply::ok("{}").behind(&gate)).await
    };
    let begun = |then| Drip { every: SHORT / 10, pieces: vec![b"{\"services\":[".to_vec(), b" ".to_vec()], then };
    let stops = Seller::start(move |_| Reply::drips("application/json", begun(Then::Silence))).await;
    let drips = Seller::start(move |_| Reply::drips("application/json", begun(Then::Again))).await;
    let long = Patience { first_byte: LONG, idle: LONG, page: LONG, total: LONG, pause: Duration::ZERO };
    let http = Client::new(config(&world).http);
    for (seller, patience) in [
        (&silent, Patience { first_byte: SHORT, ..long }),
        (&silent, Patience { total: SHORT, ..long }),
        (&stops, Patience { idle: SHORT, ..long }),
        (&drips, Patience { page: SHORT, ..long }),
        (&drips, Patience { total: SHORT, ..long }),
    ] {
        for name in ["402index", "cdp", "bazaar", "mpp"] {
            let source = Source { name: name.into(), url: seller.url("/list") };
            let why = refresh(&http, &world.home(), &source, 0, patience, &|_| ()).await.unwrap_err();
            assert!(!why.is_empty());
            assert!(bursar::catalog::refresh::kept(&world.home(), name).is_none(), "nothing half is kept");
        }
    }
    let asked = [&silent, &stops, &drips].map(|s| s.hits().len());
    assert_eq!(asked, [8, 4, 8], "nobody who is slow is asked again");
    assert!(!results(&search(&world.host().await, json!({ "query": "podcast search" })).await).is_empty());
    gate.open();
}

#[tokio::test]
async fn a_slow_seller_keeps_its_listed_price_and_holds_up_no_other() {
    let mut world = World::new().await;
    let (gate, node) = (Gate::closed(), world.node().clone());
    let waits = gate.clone();
    let seller = Seller::start(move |hit| {
        let invoice = node.invoice(12_000, "quokkas", 600).unwrap();
        let reply = Reply::l402(&token_for(&invoice.payment_hash), &invoice.bolt11);
        if hit.uri.path() == "/slow" { reply.behind(&waits) } else { reply }
    })
    .await;
    let row = |name: &str| lightning(&seller.url(&format!("/{name}")), "Quokka tally", 10, true);
    list(&mut world, vec![row("slow"), row("quick")]).await;
    let mut config = config(&world);
    config.waits.look = Duration::from_secs(1);
    config.nwc = Some(world.sandbox.nwc_uri());
    let purse = Purse::new(config, Clock::system(), None);
    let args = Args { query: Some("quokka tally".into()), live: Some(true), ..Args::default() };
    let (output, _, _) = look(&purse, &Caller::local(""), &args, None).await;
    let said = serde_json::to_value(&output).unwrap();
    let of = |path: &str| -> Value {
        let all = said["results"].as_array().unwrap();
        all.iter().find(|r| r["url"].as_str().unwrap().ends_with(path)).unwrap().clone()
    };
    let told = |path: &str| (of(path)["price"].clone(), of(path)["price_basis"].clone(), of(path)["flags"].clone());
    assert_eq!(told("/quick"), (json!("12 sat"), json!("live_402"), json!(["price_differs"])), "{said:#}");
    assert_eq!(told("/slow"), (json!("10 sat"), json!("catalog"), json!(["no_live_answer"])), "{said:#}");
    assert_eq!(seller.hits().len(), 2, "each is asked once");
    assert_eq!(world.spent_msat(), 0);
    gate.open();
}
