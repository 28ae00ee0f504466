//! What was seen here counts more than what anybody lists.

use serde_json::{Value, json};

use crate::{Reply, Seller, World, list, results, search, support::token_for};

/// A row of a seller that takes Lightning.
pub fn lightning(url: &str, name: &str, sats: u64, vouched: bool) -> Value {
    json!({ "name": name, "description": name, "url": url, "protocol": "L402", "price_sats": sats, "payment_asset": "BTC",
            "payment_network": "Lightning", "health_status": "healthy", "http_method": "GET",
            "probe_status": if vouched { "probeable" } else { "unknown" } })
}

/// A seller that asks this many msat for whatever is called.
async fn asking(world: &World, msat: u64) -> Seller {
    let node = world.node().clone();
    Seller::start(move |_| {
        let invoice = node.invoice(msat, "quokkas", 600).unwrap();
        Reply::l402(&token_for(&invoice.payment_hash), &invoice.bolt11)
    })
    .await
}

/// The results of a search for quokkas, as their trust and price by the path of their address.
async fn quokkas(host: &crate::Host) -> Vec<(String, String, String)> {
    let told = search(host, json!({ "query": "quokka tally" })).await;
    let text = |r: &Value, key: &str| r[key].as_str().unwrap_or_default().to_owned();
    let path = |r: &Value| url::Url::parse(&text(r, "url")).unwrap().path().to_owned();
    results(&told).iter().map(|r| (path(r), text(r, "trust"), text(r, "price"))).collect()
}

#[tokio::test]
async fn a_seller_that_delivered_rises_and_one_that_did_not_sinks() {
    let mut world = World::new().await;
    let node = world.node().clone();
    let start = || {
        let node = node.clone();
        Seller::start(move |hit| {
            if hit.paid() {
                return if hit.uri.path() == "/delivers" { Reply::ok("{}") } else { Reply::status(500, "no") };
            }
            let invoice = node.invoice(3_000, "quokkas", 600).unwrap();
            Reply::l402(&token_for(&invoice.payment_hash), &invoice.bolt11)
        })
    };
    // Two sellers at one host, so that the token of the one does not open the other.
    for (path, vouched, first) in [("/delivers", false, "/delivers"), ("/fails", true, "/known")] {
        let asks = start().await;
        let rows = vec![
            lightning("https://quokka-shop.com/known", "Quokka tally", 3, !vouched),
            lightning(&asks.url(path), "Quokka tally", 3, vouched),
        ];
        list(&mut world, rows).await;
        let host = world.host().await;
        let before = quokkas(&host).await;
        assert_ne!(before[0].0, first, "{before:?}");
        host.fetch(json!({ "url": asks.url(path) })).await;
        let after = quokkas(&host).await;
        assert_eq!(after[0].0, first, "{after:?}");
        let trust = after.iter().find(|row| row.0 == path).map(|row| row.1.as_str());
        assert_eq!(trust == Some("verified_here"), path == "/delivers", "{after:?}");
    }
}

/// Bait: listed at a price that nobody is asked. To be refused for it is no recommendation.
#[tokio::test]
async fn a_seller_that_was_refused_for_asking_more_than_it_lists_sinks_and_is_not_verified() {
    let mut world = World::new().await;
    let asks = asking(&world, 500_000).await;
    let rows = vec![
        lightning(&asks.url("/bait"), "Quokka tally", 10, true),
        lightning("https://quokka-shop.com/known", "Quokka tally", 10, true),
    ];
    list(&mut world, rows).await;
    let host = world.host().await;
    assert_eq!(quokkas(&host).await[0], ("/bait".into(), "listed".into(), "10 sat".into()));
    let refused = host.fetch(json!({ "url": asks.url("/bait") })).await;
    assert_eq!(refused.facts()["code"], "above_discovered_price", "{}", refused.text());
    let after = quokkas(&host).await;
    assert_eq!(after[0].0, "/known", "{after:?}");
    assert_eq!(after[1], ("/bait".into(), "listed".into(), "500 sat".into()), "what it asked is told");
    assert_eq!(world.spent_msat(), 0);
}

#[tokio::test]
async fn a_look_makes_an_endpoint_verified_and_a_changed_price_is_told() {
    let mut world = World::new().await;
    let asks = asking(&world, 5_000).await;
    list(&mut world, vec![lightning(&asks.url("/x"), "Quokka tally", 2, false)]).await;
    let host = world.host().await;
    assert_eq!(quokkas(&host).await, [("/x".into(), "unverified".into(), "2 sat".into())]);
    let told = search(&host, json!({ "query": "quokka tally", "live": true })).await;
    let one = &results(&told)[0];
    assert_eq!((one["price"].as_str(), one["price_basis"].as_str()), (Some("5 sat"), Some("live_402")), "{one}");
    assert!(one["flags"].as_array().unwrap().contains(&json!("price_differs")), "{one}");
    assert_eq!(quokkas(&host).await, [("/x".into(), "verified_here".into(), "5 sat".into())], "it is remembered");
    let look = host.call("discover_api", json!({ "url": asks.url("/x") })).await;
    assert!(look.text().contains("2 sat (catalog)"), "listed against live: {}", look.text());
    assert!(look.facts()["flags"].as_array().unwrap().contains(&json!("price_differs")), "{}", look.text());
    assert_eq!(world.spent_msat(), 0);
}

/// To look is to make the seller mint an invoice.
#[tokio::test]
async fn a_seller_of_lightning_that_was_just_asked_is_not_asked_again_by_a_search() {
    let mut world = World::new().await;
    let asks = asking(&world, 5_000).await;
    list(&mut world, vec![lightning(&asks.url("/x"), "Quokka tally", 2, false)]).await;
    let host = world.host().await;
    for basis in ["live_402", "seen_here", "seen_here"] {
        let told = search(&host, json!({ "query": "quokka tally", "live": true })).await;
        let one = &results(&told)[0];
        assert_eq!((one["price"].as_str(), one["price_basis"].as_str()), (Some("5 sat"), Some(basis)), "{one}");
        assert_eq!(one["flags"], json!(["price_differs"]));
        assert_eq!(told.facts()["next"]["arguments"]["max_price"], "6 sat", "{}", told.text());
    }
    assert_eq!(asks.hits().len(), 1);
    host.call("discover_api", json!({ "url": asks.url("/x") })).await;
    assert!(asks.hits().iter().any(|h| h.uri.path() == "/openapi.json"));
    assert_eq!(asks.hits().iter().filter(|h| h.uri.path() == "/x").count(), 2, "who looks at an address asks");
    assert_eq!(world.spent_msat(), 0);
}

/// `127.0.0.i` is drawn like the address of this machine.
#[tokio::test]
async fn nothing_is_paid_to_a_host_that_its_buyer_was_warned_of() {
    use bursar::catalog::index::volume::{self, Header, SourceNote, Volume};
    let world = World::new().await;
    let node = world.node().clone();
    let asks = Seller::start(move |hit| {
        if hit.paid() {
            return Reply::ok("{}");
        }
        let invoice = node.invoice(5_000, "quokkas", 600).unwrap();
        Reply::l402(&token_for(&invoice.payment_hash), &invoice.bolt11)
    })
    .await;
    let known =
        serde_json::from_value(json!({ "u": "https://127.0.0.i/x", "m": "GET", "n": "Quokkas", "t": "2" })).unwrap();
    let header = Header { name: "kept".into(), sources: vec![SourceNote::default()], ..Header::default() };
    volume::keep(&world.home(), "kept", &Volume { header, listings: vec![known] }).unwrap();
    let host = world.host().await;
    let look = host.call("discover_api", json!({ "url": asks.url("/x") })).await;
    assert!(look.facts()["flags"].as_array().unwrap().contains(&json!("lookalike_host")), "{}", look.text());
    let offers = look.facts()["offers"].as_array().unwrap();
    assert!(!offers.is_empty() && offers.iter().all(|o| o["payable"] == false), "{}", look.text());
    assert!(offers[0]["why"].as_str().unwrap().contains("looks like 127.0.0.i"), "{}", look.text());
    for call in [json!({ "url": asks.url("/x") }), json!({ "url": asks.url("/y"), "max_price": "900 sat" })] {
        let refused = host.fetch(call).await;
        assert_eq!(refused.facts()["code"], "lookalike_host", "{}", refused.text());
        assert!(
            refused.say().starts_with("Nothing was paid") && refused.say().contains("bursar fetch"),
            "{}",
            refused.say()
        );
    }
    assert_eq!(world.spent_msat(), 0);
    // Who was not warned, and a person who means it, can buy.
    let (code, out, err) = world.run(&["fetch", &asks.url("/x")]).await;
    assert_eq!((code, world.spent_msat()), (0, 5_000), "{out}{err}");
}

#[tokio::test]
async fn a_host_that_looks_like_a_known_one_is_warned_of_when_it_is_looked_at() {
    let world = World::new().await;
    let host = world.host().await;
    let told = host.call("discover_api", json!({ "url": "https://pullthatupjam\u{456}e.ai/" })).await;
    assert!(told.text().contains("www.pullthatupjamie.ai, which is somebody else's"), "{}", told.text());
    assert!(told.facts()["flags"].as_array().unwrap().contains(&json!("lookalike_host")));
    assert_eq!(told.facts()["next"]["arguments"]["url"], "https://www.pullthatupjamie.ai/");
}

#[tokio::test]
async fn a_live_search_asks_at_most_three_each_once_with_the_listed_method() {
    let mut world = World::new().await;
    let asks = asking(&world, 5_000).await;
    // Five hosts that are one, so that none of them has more than its share of a page.
    let at = |host: &str| asks.url("/x").replace("127.0.0.1", &format!("{host}.localhost"));
    let rows = ["a", "b", "c", "d", "e"].map(|host| lightning(&at(host), "Quokka tally", 5, true));
    list(&mut world, rows.to_vec()).await;
    let told = search(&world.host().await, json!({ "query": "quokka tally", "live": true })).await;
    let all = results(&told);
    let live = all.iter().filter(|r| r["price_basis"] == "live_402");
    assert_eq!((all.len(), live.count()), (5, 3), "{}", told.text());
    let hits = asks.hits();
    let hosts: std::collections::BTreeSet<_> = hits.iter().map(|h| h.headers["host"].to_str().unwrap()).collect();
    assert_eq!((hits.len(), hosts.len()), (3, 3));
    assert!(hits.iter().all(|h| h.method == "GET"));
    assert_eq!(world.spent_msat(), 0);
}
