//! Known prices: one round trip instead of two, inside the same limits, and both signatures held when it was wrong.

use bursar::sandbox::NtriqMode;
use serde_json::json;

use crate::{
    shop::{CENT, Shop, TEXT},
    support::{Host, until, until_answered},
};

/// Buys a text, and waits until an equal call is a new purchase.
async fn buy(shop: &Shop, host: &Host) {
    let told = host.fetch(shop.ask(TEXT, "one")).await;
    assert_eq!(told.outcome(), "bought", "{}", told.text());
    until_answered(&shop.world, told.purchase()).await;
}

#[tokio::test]
async fn a_price_that_was_paid_a_moment_ago_is_paid_again_in_one_round_trip() {
    let shop = Shop::open().await;
    let host = shop.world.host().await;
    buy(&shop, &host).await;
    let challenges = shop.seller().challenges();
    buy(&shop, &host).await;
    buy(&shop, &host).await;
    assert_eq!(shop.seller().challenges(), challenges, "the seller was not asked for its price");
    assert_eq!(shop.world.spent_units(), 3 * CENT);
    shop.world.verify_money().await;
}

#[tokio::test]
async fn prices_are_not_remembered_where_the_operator_says_so_or_no_chain_can_be_asked() {
    for shop in [Shop::with("[sellers]\nknown_prices = false\n").await, Shop::blind("").await] {
        let host = shop.world.host().await;
        buy(&shop, &host).await;
        buy(&shop, &host).await;
        assert_eq!(shop.seller().challenges(), 2);
        assert_eq!(shop.transfers(), 2);
    }
}

/// H11: a remembered price that is no longer taken costs today's price once, and both signatures are held till one is void.
#[tokio::test]
async fn a_remembered_price_that_rose_is_paid_at_todays_price_once_and_both_signatures_are_held() {
    let shop = Shop::open().await;
    let host = shop.world.host().await;
    buy(&shop, &host).await;
    shop.seller().set_price(TEXT, 3 * CENT);
    let told = host.fetch(shop.ask(TEXT, "one")).await;
    assert_eq!(told.outcome(), "bought", "{}", told.text());
    assert_eq!(told.facts()["paid_now"], "0.03 usd", "{}", told.text());
    assert_eq!(shop.world.spent_units(), 4 * CENT);
    assert_eq!(shop.held().await, CENT, "the refused signature may still be used");
    shop.world.verify_money().await;
    // Once it ran out, the chain says so, and its hold comes back.
    assert!(host.close().await.success());
    shop.clock.advance_ms(400_000);
    let host = shop.world.host().await;
    host.call("get_balance", json!({})).await;
    until("the hold of the first signature is given back", async || shop.held().await == 0).await;
    assert_eq!(shop.session().await.spent.atomic(), 4 * CENT);
    shop.world.verify_money().await;
}

#[tokio::test]
async fn a_remembered_price_that_rose_above_what_the_caller_pays_is_not_paid() {
    let shop = Shop::open().await;
    let host = shop.world.host().await;
    buy(&shop, &host).await;
    shop.seller().set_price(TEXT, 3 * CENT);
    let mut ask = shop.ask(TEXT, "one");
    ask["max_price"] = "0.02 usd".into();
    let told = host.fetch(ask).await;
    assert_eq!(told.outcome(), "pending", "{}", told.text());
    assert!(told.say().contains("it costs 0.03 usd, above max_price 0.02 usd"), "{}", told.say());
    assert_eq!((shop.world.spent_units(), shop.held().await), (CENT, CENT));
    shop.world.verify_money().await;
}

/// H7: a settlement that fails for a moment says nothing of the price: the same bytes are shown again.
#[tokio::test]
async fn a_settlement_that_fails_at_a_remembered_price_gets_the_same_signature_again() {
    let shop = Shop::open().await;
    let host = shop.world.host().await;
    buy(&shop, &host).await;
    shop.seller().set_mode(NtriqMode::FailsSettleFirst(2));
    let told = host.fetch(shop.ask(TEXT, "one")).await;
    assert_eq!(told.outcome(), "bought", "{}", told.text());
    assert_eq!((shop.transfers(), shop.signatures()), (2, 2));
    shop.world.verify_money().await;
}

/// Sellers price by what is asked: what one question cost says nothing of another one.
#[tokio::test]
async fn a_price_is_remembered_for_exactly_the_same_request() {
    let shop = Shop::open().await;
    let host = shop.world.host().await;
    shop.seller().set_price(TEXT, 3 * CENT);
    buy(&shop, &host).await;
    shop.seller().set_price(TEXT, CENT);
    let told = host.fetch(shop.ask(TEXT, "another question")).await;
    assert_eq!(told.facts()["paid_now"], "0.01 usd", "{}", told.text());
    assert_eq!((shop.world.spent_units(), shop.signatures()), (4 * CENT, 2));
    shop.world.verify_money().await;
}

/// A receipt beside the terms of today says that settling was tried: nothing is signed beside what may be under way.
#[tokio::test]
async fn a_pending_settlement_at_a_remembered_price_is_not_paid_beside() {
    let shop = Shop::open().await;
    let host = shop.world.host().await;
    buy(&shop, &host).await;
    shop.seller().set_mode(NtriqMode::SettlementPending);
    let told = host.fetch(shop.ask(TEXT, "one")).await;
    assert_eq!(told.outcome(), "pending", "{}", told.text());
    assert_eq!(shop.signatures(), 2, "one for each purchase");
    shop.world.verify_money().await;
}
