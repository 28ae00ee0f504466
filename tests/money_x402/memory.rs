//! Known prices: one round trip instead of two, inside the same limits, and both signatures held when it was wrong.

use bursar::sandbox::NtriqMode;
use serde_json::json;

use crate::{
    odd,
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

/// Whoever was shown two signatures can take both: together they stay within what the caller said, and within the limit of
/// one purchase. The controls show that the seller really has both, and that they are paid where that is allowed.
#[tokio::test]
async fn what_moves_for_one_call_at_a_price_that_rose_never_exceeds_what_it_may_cost() {
    let limit =
        |most: &str| format!("[limits.ceiling]\nusd = {{ purchase = \"{most}\", session = \"1\", day = \"1\" }}\n");
    let cases = [
        ("", Some("0.03 usd"), "max_price 0.03 usd", 1),
        (&limit("0.03"), None, "the limit of 0.03 usd a purchase", 1),
        ("", Some("0.04 usd"), "", 4),
        (&limit("0.04"), None, "", 4),
    ];
    for (config, max_price, why, cents) in cases {
        let shop = Shop::with(config).await;
        let host = shop.world.host().await;
        buy(&shop, &host).await;
        shop.seller().set_price(TEXT, 3 * CENT);
        // It keeps what was signed at the old price, and asks more.
        shop.seller().next(NtriqMode::KeepsAuthorization);
        let mut ask = shop.ask(TEXT, "one");
        if let Some(most) = max_price {
            ask["max_price"] = most.into();
        }
        let told = host.fetch(ask).await;
        let (outcome, held) = if cents == 1 { ("pending", 1) } else { ("bought", 1) };
        assert_eq!(told.outcome(), outcome, "{config}{max_price:?}: {}", told.text());
        assert!(cents == 4 || told.say().contains(why) && told.say().contains("0.04 usd together"), "{}", told.say());
        assert_eq!(shop.held().await, held * CENT, "{config}{max_price:?}");
        let taken = shop.seller().submit_kept();
        assert!(taken.len() == 1 && taken[0].is_ok(), "the seller takes the first as well: {taken:?}");
        assert_eq!(shop.world.spent_units(), (1 + cents) * CENT, "{config}{max_price:?}");
        shop.world.verify().await;
    }
}

/// A price that was refused on the way is not remembered again: the next call asks for today's, and leaves no signature.
#[tokio::test]
async fn a_price_that_was_refused_is_not_remembered_again() {
    let shop = Shop::open().await;
    let host = shop.world.host().await;
    buy(&shop, &host).await;
    shop.seller().set_price(TEXT, 3 * CENT);
    buy(&shop, &host).await;
    assert_eq!((shop.world.spent_units(), shop.held().await), (4 * CENT, CENT));
    let challenges = shop.seller().challenges();
    buy(&shop, &host).await;
    assert_eq!((shop.world.spent_units(), shop.held().await), (7 * CENT, CENT), "no second signature was left behind");
    assert_eq!(shop.seller().challenges(), challenges + 1, "it was asked for its price");
    buy(&shop, &host).await;
    assert_eq!(shop.seller().challenges(), challenges + 1, "and that one is remembered");
    assert_eq!(shop.world.spent_units(), 10 * CENT);
    shop.world.verify_money().await;
}

/// A seller that puts something new into its terms each time gets today's terms around the same signature.
#[tokio::test]
async fn where_the_terms_vary_and_the_price_does_not_a_repeat_is_paid_with_its_one_signature() {
    let shop = Shop::open().await;
    let seller = odd::with_receipt_ids(&shop, CENT).await;
    let host = shop.world.host().await;
    for n in 1..=3 {
        let told = host.fetch(json!({ "url": seller.url("/thing") })).await;
        assert_eq!(told.outcome(), "bought", "{n}: {}", told.text());
        until_answered(&shop.world, told.purchase()).await;
        assert_eq!((shop.world.spent_units(), shop.held().await), (n * CENT, 0), "{n}");
        assert_eq!(odd::nonces(&seller).len() as u64, n, "one signature for each purchase");
        // Asked, paid; and from then on paid, refused with new terms, paid: two round trips either way.
        assert_eq!(seller.hits().len() as u64, 2 * n, "{n}");
    }
    shop.world.verify_money().await;
}

/// H15: how far a seller's clock is ahead is remembered with its price.
#[tokio::test]
async fn a_seller_whose_clock_is_ahead_is_paid_at_a_remembered_price_as_well() {
    let shop = Shop::open().await;
    shop.clock.advance_ms(200_000);
    let host = shop.world.host().await;
    buy(&shop, &host).await;
    let challenges = shop.seller().challenges();
    buy(&shop, &host).await;
    assert_eq!(shop.seller().challenges(), challenges, "in one round trip");
    assert_eq!((shop.transfers(), shop.signatures(), shop.held().await), (2, 2, 0));
    shop.world.verify_money().await;
}
