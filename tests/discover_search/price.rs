//! A price that was told is the most that is paid, and a tenth; and a whole session, from a sentence to bought data.

use bursar::catalog::index::volume::{self, Volume};
use serde_json::json;

use crate::{Reply, Seller, World, index402, results, search, support::token_for, trust::lightning};

/// A world in which one seller is listed at 10 sat and asks what its path says.
async fn world() -> (World, Seller) {
    let world = World::new().await;
    let node = world.node().clone();
    let asks = Seller::start(move |hit| {
        if hit.paid() {
            return Reply::ok(r#"{"quokkas":7}"#);
        }
        let msat = hit.uri.path().rsplit('/').next().unwrap().parse::<u64>().unwrap_or(10) * 1_000;
        let invoice = node.invoice(msat, "quokkas", 600).unwrap();
        Reply::l402(&token_for(&invoice.payment_hash), &invoice.bolt11)
    })
    .await;
    let catalog = index402(vec![lightning(&asks.url("/ask/{sats}"), "Quokka tally", 10, true)]).await;
    let mut world = world;
    world.set_config(&format!("[catalog.sources]\n402index = {:?}\n", catalog.url("/list")));
    assert_eq!(world.run(&["catalog", "refresh", "402index"]).await.0, 0);
    (world, asks)
}

#[tokio::test]
async fn a_live_price_more_than_a_tenth_above_the_found_one_stops_with_both_numbers() {
    let (world, asks) = world().await;
    let host = world.host().await;
    assert_eq!(results(&search(&host, json!({ "query": "quokka tally" })).await)[0]["price"], "10 sat");
    let told = host.fetch(json!({ "url": asks.url("/ask/12") })).await;
    assert_eq!(told.facts()["code"], "above_discovered_price", "{}", told.text());
    assert!(told.say().contains("10 sat") && told.say().contains("12 sat"), "{}", told.say());
    assert!(told.say().starts_with("Nothing was paid"));
    assert_eq!(world.spent_msat(), 0);
    let meant = json!({ "url": asks.url("/ask/12"), "max_price": "13 sat", "dry_run": true });
    assert_eq!(host.fetch(meant).await.facts()["price"], "12 sat", "who names a price decides");

    let near = host.fetch(json!({ "url": asks.url("/ask/11") })).await;
    assert_eq!(near.outcome(), "bought", "{}", near.text());
    assert_eq!(world.spent_msat(), 11_000);
    let (_, out, _) = world.run(&["audit", "--json"]).await;
    assert!(out.contains("more than a tenth above"), "the refusal is in the books");
}

#[tokio::test]
async fn from_the_sentence_to_bought_data_in_two_calls() {
    let world = World::with("[sellers]\nfree = \"never\"\n").await;
    // The pack of the real seller, at the address of its replica.
    let pack = Volume::replicas(&[("www.pullthatupjamie.ai", &world.sandbox.jamie_url())], "").unwrap();
    volume::keep(&world.home(), "sandbox", &pack).unwrap();
    let host = world.host().await;
    let task = "find podcasts where small business owners discuss payment processing challenges";
    let found = search(&host, json!({ "query": "podcast search", "task": task, "payable_only": true })).await;
    let next = &found.facts()["next"];
    assert_eq!(next["tool"], "fetch_paid", "{}", found.text());
    assert!(next["arguments"]["url"].as_str().unwrap().starts_with("http"), "{next}");
    // The real seller and its replica have the same pack, and the call is the same but for its host.
    let mut call = next["arguments"].clone();
    let (there, local) = (call["url"].as_str().unwrap().to_owned(), world.sandbox.jamie_url());
    call["url"] = json!(there.replace("https://www.pullthatupjamie.ai", local.trim_end_matches('/')));
    let bought = host.fetch(call).await;
    assert_eq!(bought.outcome(), "bought", "{}", bought.text());
    assert!(bought.text().contains("payment process"), "{}", bought.text());
    assert_eq!(world.spent_msat(), 10_000);
    if std::env::var_os("BURSAR_SHOW").is_some() {
        println!("=== 1\n{}\n=== 2\n{}", found.text(), bought.text());
    }
    world.verify_money().await;
}
