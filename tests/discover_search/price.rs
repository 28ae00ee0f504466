//! A price that was told is the most that is paid, and a tenth.

use bursar::sandbox::NtriqMode;
use serde_json::{Value, json};

use crate::{Reply, Seller, World, list, ntriq, results, search, support::token_for, trust::lightning};

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
    let mut world = world;
    list(&mut world, vec![lightning(&asks.url("/ask/{sats}"), "Quokka tally", 10, true)]).await;
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
async fn a_price_of_a_listing_that_names_no_method_binds_every_method() {
    let mut world = World::new().await;
    let node = world.node().clone();
    let asks = Seller::start(move |hit| {
        if hit.paid() {
            return Reply::ok("{}");
        }
        let invoice = node.invoice(50_000, "quokkas", 600).unwrap();
        Reply::l402(&token_for(&invoice.payment_hash), &invoice.bolt11)
    })
    .await;
    let mut row = lightning(&asks.url("/ask"), "Quokka tally", 10, true);
    row["http_method"] = json!(null);
    list(&mut world, vec![row]).await;
    let host = world.host().await;
    assert_eq!(results(&search(&host, json!({ "query": "quokka tally" })).await)[0]["price"], "10 sat");
    for call in [json!({ "url": asks.url("/ask") }), json!({ "url": asks.url("/ask"), "method": "POST", "json": {} })] {
        let told = host.fetch(call).await;
        assert_eq!(told.facts()["code"], "above_discovered_price", "{}", told.text());
    }
    assert_eq!(world.spent_msat(), 0);
    // A later word, by whatever method, takes the place of the first.
    host.call("discover_api", json!({ "url": asks.url("/ask") })).await;
    let bought = host.fetch(json!({ "url": asks.url("/ask") })).await;
    assert_eq!((bought.outcome(), world.spent_msat()), ("bought", 50_000), "{}", bought.text());
}

#[tokio::test]
async fn the_next_call_follows_the_live_price_and_never_allows_more_than_the_caller_did() {
    let (world, asks) = world().await;
    let row = |path: &str| lightning(&asks.url(path), "Numbat tally", 10, true);
    let mut world = world;
    list(&mut world, vec![row("/ask/30"), row("/ask/11")]).await;
    let host = world.host().await;
    let most = async |arguments: Value| {
        let told = search(&host, arguments).await;
        let next = told.facts()["next"].clone();
        assert!(told.text().contains(&next["arguments"].to_string()), "{}", told.text());
        (
            next["tool"].as_str().unwrap().to_owned(),
            next["arguments"]["url"].as_str().unwrap().to_owned(),
            next["arguments"]["max_price"].clone(),
        )
    };
    let fetch = |path: &str, most: &str| ("fetch_paid".to_owned(), asks.url(path), json!(most));
    let numbats = |more: Value| {
        let mut arguments = json!({ "query": "numbat tally" });
        arguments.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        arguments
    };
    assert_eq!(most(numbats(json!({}))).await, fetch("/ask/30", "11 sat"));
    assert_eq!(most(numbats(json!({ "max_price": "10.5 sat" }))).await, fetch("/ask/30", "10.5 sat"));
    // One asks 30 sat now: what is proposed is the other, at what it asks.
    assert_eq!(most(numbats(json!({ "live": true, "max_price": "20 sat" }))).await, fetch("/ask/11", "13 sat"));
    let one = numbats(json!({ "live": true, "max_price": "11 sat", "limit": 1 }));
    let (tool, _, _) = most(one).await;
    assert_eq!(tool, "discover_api", "a live price above what was allowed is no call to make");
    // In url mode, too.
    let look = host.call("discover_api", json!({ "url": asks.url("/ask/30"), "max_price": "31 sat" })).await;
    assert_eq!(look.facts()["next"]["arguments"]["max_price"], "31 sat", "{}", look.text());
    assert_eq!(world.spent_msat(), 0);
}

/// A remembered price saves a round trip; it saves nobody from what was told since.
#[tokio::test]
async fn a_price_in_dollars_that_was_told_caps_what_is_paid_even_where_one_is_remembered() {
    let world = World::with_dollars("").await;
    ntriq::keep(&world);
    let (host, seller) = (world.host().await, world.sandbox.ntriq());
    let call = |path: &str, n: u32| {
        let url = format!("{}{path}", world.sandbox.ntriq_url());
        json!({ "url": url, "json": { "text": format!("text {n}"), "image_url": "https://example.com/a.png" } })
    };
    let told = async |query: &str, path: &str, live: bool| {
        let found = search(&host, json!({ "query": query, "live": live, "payable_only": true, "limit": 2 })).await;
        let url = format!("{}{path}", world.sandbox.ntriq_url());
        let one = results(&found).into_iter().find(|r| r["url"] == url);
        one.unwrap_or_else(|| panic!("{}", found.text()))["price"].as_str().unwrap().to_owned()
    };
    // It rose by more than a tenth since: what was signed at the remembered price is refused, and nothing is signed anew.
    let (sentiment, feelings) = ("/sentiment", "text sentiment emotion intent");
    assert_eq!(host.fetch(call(sentiment, 1)).await.outcome(), "bought");
    assert_eq!(told(feelings, sentiment, false).await, "0.01 usd");
    seller.set_price(sentiment, 20_000);
    let stopped = host.fetch(call(sentiment, 2)).await;
    assert_ne!(stopped.outcome(), "bought", "{}", stopped.text());
    assert!(stopped.say().contains("found at 0.01 usd") && stopped.say().contains("0.02 usd"), "{}", stopped.say());
    assert_eq!(world.spent_units(), 10_000);
    // By less than a tenth: it is bought, at today's price.
    let (check, rules) = ("/compliance-check", "compliance check text");
    assert_eq!(host.fetch(call(check, 1)).await.outcome(), "bought");
    assert_eq!(told(rules, check, false).await, "0.03 usd");
    seller.set_price(check, 32_000);
    assert_eq!(host.fetch(call(check, 2)).await.facts()["paid_now"], "0.032 usd");
    // It fell, and the caller was told: the remembered price is not paid.
    let (pii, personal) = ("/pii-detect", "personal data detection");
    assert_eq!(host.fetch(call(pii, 1)).await.outcome(), "bought");
    seller.set_price(pii, 15_000);
    assert_eq!(told(personal, pii, true).await, "0.015 usd");
    assert_eq!(host.fetch(call(pii, 2)).await.facts()["paid_now"], "0.015 usd");
    // A cheaper offer that nobody here can pay excuses no dearer one.
    let (alt, image) = ("/alt-text", "image alt text accessibility");
    assert_eq!(told(image, alt, false).await, "0.01 usd");
    seller.set_price(alt, 50_000);
    seller.set_mode(NtriqMode::OffersMore);
    let dearer = host.fetch(call(alt, 1)).await;
    assert_eq!(dearer.facts()["code"], "above_discovered_price", "{}", dearer.text());
    assert_eq!(world.spent_units(), 10_000 + 30_000 + 32_000 + 20_000 + 15_000);
}
