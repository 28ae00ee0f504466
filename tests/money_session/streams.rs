//! Streams that pause for money, and what one call may cost.

use bursar::sandbox::mpp_shop::MppShopOptions;
use serde_json::json;

use super::{
    cost_sat, get,
    support::{money, until_answered},
    world,
};

const WIDE: &str = "[limits.ceiling]\nsat = { purchase = \"5000\", session = \"20000\", day = \"50000\" }\n\
                    [limits.default]\nsat = { purchase = \"2100\", session = \"2200\", day = \"10000\" }\n";

fn chunks(text: &str) -> usize {
    text.matches("\"chunk\":").count()
}

/// All pages of an answer.
async fn whole(host: &super::Host, told: &super::Told) -> String {
    let part = |told: &super::Told| told.facts()["result"]["text_unverified"].as_str().unwrap_or_default().to_owned();
    let (mut text, mut facts) = (part(told), told.facts()["result"].clone());
    while let Some(next) = facts["next_offset"].as_u64() {
        let page = host.fetch(json!({ "result_id": facts["result_id"], "offset": next })).await;
        text.push_str(&part(&page));
        facts = page.facts()["result"].clone();
    }
    text
}

/// Done when 3: a stream of 1,000 chunks with top-ups completes inside the budget and gives the rest back.
#[tokio::test]
async fn a_stream_of_a_thousand_chunks_is_topped_up_inside_the_budget_and_gives_the_rest_back() {
    let world = world(WIDE, MppShopOptions { deposit_sat: 300, ..MppShopOptions::default() }).await;
    let host = world.host().await;
    let told = get(&host, &world, "/stream?chunks=1000").await;
    assert_eq!(told.outcome(), "bought", "{}", told.say());
    assert!(told.say().contains("Top-ups of 1800 sat are part of it"), "{}", told.say());
    assert_eq!(told.facts()["paid_now"], "2100 sat", "{}", told.facts());
    assert_eq!(chunks(&whole(&host, &told).await), 1000);
    assert_eq!(money::states(&world).await, ["delivered"; 7], "one deposit and six top-ups");
    assert!(host.close().await.success());
    assert_eq!(cost_sat(&world), 2000, "exactly what was streamed");
    world.verify_money().await;
}

/// Facts 4, hazard 6: what one call costs is one price, however often its stream asks.
#[tokio::test]
async fn the_top_ups_of_one_call_together_stay_below_what_one_call_may_cost() {
    let shop = || MppShopOptions { deposit_sat: 100, patience_ms: 300, ..MppShopOptions::default() };
    for (config, max_price, paid, said) in [
        ("", None, 1000, "above the limit of a purchase, 1000 sat"),
        ("", Some("250 sat"), 200, "above max_price 250 sat"),
        ("[approval]\nabove = { sat = \"150\" }\n", None, 100, "above what may be spent without a person, 150 sat"),
    ] {
        let world = world(config, shop()).await;
        let host = world.host().await;
        let mut arguments = json!({ "url": format!("{}/stream?chunks=1000", world.sandbox.mpp_url()) });
        if let Some(max) = max_price {
            arguments["max_price"] = max.into();
        }
        let told = host.fetch(arguments).await;
        assert_eq!((told.outcome(), world.spent_msat() / 1000), ("bought", paid), "{}", told.say());
        assert!(told.say().contains(said), "{}", told.say());
        let text = whole(&host, &told).await;
        assert_eq!(chunks(&text) as u64, paid / 2, "what was paid for came");
        world.verify_money().await;
    }
}

#[tokio::test]
async fn a_session_limit_ends_a_stream_and_what_came_is_kept() {
    let config = "[limits.ceiling]\nsat = { purchase = \"5000\", session = \"260\", day = \"50000\" }\n\
                  [limits.default]\nsat = { purchase = \"5000\", session = \"260\", day = \"10000\" }\n";
    let world = world(config, MppShopOptions { deposit_sat: 100, patience_ms: 300, ..MppShopOptions::default() }).await;
    let host = world.host().await;
    let told = get(&host, &world, "/stream?chunks=1000").await;
    assert_eq!((told.outcome(), world.spent_msat()), ("bought", 200_000), "{}", told.say());
    assert!(told.say().contains("is left in the session budget"), "{}", told.say());
    assert_eq!(chunks(&whole(&host, &told).await), 100);
    world.verify_money().await;
}

/// A top-up that the seller fails to take at first is shown again, and not paid again.
#[tokio::test]
async fn a_top_up_that_the_seller_fails_to_take_is_shown_again_and_paid_once() {
    let shop = MppShopOptions { deposit_sat: 100, first_top_up_fails: true, ..MppShopOptions::default() };
    let world = world(WIDE, shop).await;
    let host = world.host().await;
    let told = get(&host, &world, "/stream?chunks=80").await;
    assert_eq!((told.outcome(), world.spent_msat()), ("bought", 200_000), "{}", told.say());
    assert_eq!(chunks(&whole(&host, &told).await), 80);
    assert!(host.close().await.success());
    assert_eq!(cost_sat(&world), 160);
    world.verify_money().await;
}

/// A stream on a deposit that is open already: only the top-ups are paid, and the result says so.
#[tokio::test]
async fn a_stream_that_draws_on_an_open_deposit_pays_only_what_it_tops_up() {
    let world = world(WIDE, MppShopOptions { deposit_sat: 100, ..MppShopOptions::default() }).await;
    let host = world.host().await;
    let told = get(&host, &world, "/chat").await;
    until_answered(&world, told.purchase()).await;
    let told = get(&host, &world, "/stream?chunks=60").await;
    assert_eq!((told.outcome(), world.spent_msat()), ("bought", 200_000), "{}", told.say());
    assert!(told.say().starts_with("Paid 100 sat as top-ups of the deposit of p_"), "{}", told.say());
    assert_eq!(told.facts()["paid_now"], "100 sat", "{}", told.facts());
    assert!(host.close().await.success());
    assert_eq!(cost_sat(&world), 122);
    world.verify_money().await;
}
