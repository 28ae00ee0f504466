//! Every way in which terms are written, and who else may buy at the same time.

use bursar::sandbox::{Form, NtriqMode};
use futures_util::future::join_all;

use crate::{
    shop::{CENT, KEPT, Shop, TEXT},
    support::{Era, money},
};

/// H17, H18: each form of challenge is paid in its own version, once, to the unit.
#[tokio::test]
async fn each_form_of_challenge_is_paid_once_and_the_ledger_agrees_with_the_chain() {
    for form in [Form::V2, Form::V1, Form::V2Body, Form::Legacy] {
        let shop = Shop::open().await;
        shop.seller().set_form(form);
        let host = shop.world.host().await;
        let told = host.fetch(shop.ask(TEXT, "I love it")).await;
        assert_eq!(told.outcome(), "bought", "{form:?}: {}", told.text());
        assert_eq!(told.facts()["paid_now"], "0.01 usd", "{form:?}");
        assert!(told.say().starts_with("Paid 0.01 usd over eip3009 on eip155:84532"), "{form:?}: {}", told.say());
        assert!(told.say().contains("Transaction 0x"), "{form:?}: {}", told.say());
        assert!(told.text().contains("sentiment"), "{form:?}: {}", told.text());
        assert_eq!((shop.transfers(), shop.world.spent_units()), (1, CENT), "{form:?}");
        assert_eq!(shop.states().await, ["delivered"]);
        shop.world.verify_money().await;
    }
}

/// The blog's form names no payee: nothing is signed for it.
#[tokio::test]
async fn terms_without_a_payee_are_refused_and_nothing_is_signed() {
    let shop = Shop::open().await;
    shop.seller().set_form(Form::Blog);
    let told = shop.world.host().await.fetch(shop.ask(TEXT, "x")).await;
    assert_eq!(told.outcome(), "refused", "{}", told.text());
    assert!(told.say().starts_with("Nothing was paid"), "{}", told.say());
    assert_eq!((shop.signatures(), shop.transfers()), (0, 0));
}

/// H1: as many equal calls at once as one likes are one purchase, over two processes as well.
#[tokio::test]
async fn equal_calls_at_once_over_two_processes_are_one_transfer() {
    let shop = Shop::open().await;
    shop.seller().set_mode(NtriqMode::Slow(200));
    let hosts = [shop.world.host().await, shop.world.host_in(Era::Stateless).await];
    let calls = hosts.iter().flat_map(|host| (0..8).map(|_| host.fetch(shop.ask(TEXT, "I love it"))));
    let told = join_all(calls).await;
    assert!(told.iter().all(|t| t.text().contains("sentiment")), "{told:#?}");
    assert_eq!(told.iter().filter(|t| t.outcome() == "bought").count(), 1);
    assert_eq!((shop.transfers(), shop.signatures()), (1, 1));
    shop.world.verify_money().await;
}

/// H7: ten purchases at once through a facilitator that trips over itself: ten transfers, and no signature more.
#[tokio::test]
async fn ten_purchases_through_a_racing_facilitator_are_ten_transfers() {
    let shop = Shop::open().await;
    shop.seller().set_mode(NtriqMode::FailsSettleFirst(2));
    let host = shop.world.host().await;
    let texts: Vec<String> = (0..10).map(|n| format!("text {n}")).collect();
    let told = join_all(texts.iter().map(|text| host.fetch(shop.ask(TEXT, text)))).await;
    for told in &told {
        assert_eq!(told.outcome(), "bought", "{}", told.text());
    }
    assert_eq!((shop.transfers(), shop.signatures()), (10, 10));
    shop.world.verify_money().await;
}

/// H8: a dear batch that says nearly the same words is refused by what a purchase may cost.
#[tokio::test]
async fn a_batch_that_costs_hundreds_of_times_as_much_is_refused_with_both_numbers() {
    let shop = Shop::open().await;
    let host = shop.world.host().await;
    let told = host.fetch(shop.ask("/pii-detect-batch", "x")).await;
    assert_eq!(told.outcome(), "refused", "{}", told.text());
    assert!(told.text().contains("above the limit of 1 usd a purchase"), "{}", told.text());
    let mut ask = shop.ask(KEPT, "x");
    ask["max_price"] = "0.01 usd".into();
    let told = host.fetch(ask).await;
    assert!(told.text().contains("it costs 0.02 usd, above max_price 0.01 usd"), "{}", told.text());
    let mut ask = shop.ask(TEXT, "x");
    ask["max_price"] = "100 sat".into();
    let told = host.fetch(ask).await;
    assert!(told.text().contains("max_price is in sat"), "{}", told.text());
    assert_eq!((shop.signatures(), shop.transfers()), (0, 0));
}

/// H10, H12, H19, H31: among several ways the one that can be paid is taken, and the reason stands in the ledger.
#[tokio::test]
async fn among_ways_that_cannot_be_paid_the_one_that_can_is_taken() {
    let shop = Shop::open().await;
    shop.seller().set_mode(NtriqMode::OffersMore);
    let host = shop.world.host().await;
    let mut look = shop.ask(TEXT, "I love it");
    look["dry_run"] = true.into();
    let quoted = host.fetch(look).await;
    let offers = quoted.facts()["offers"].as_array().expect("offers").clone();
    assert_eq!(offers.len(), 5, "{offers:#?}");
    assert_eq!(offers.iter().filter(|o| o["payable"] == true).count(), 1, "{offers:#?}");
    assert!(offers.iter().all(|o| o["payable"] == true || !o["why"].as_str().unwrap_or_default().is_empty()));
    let told = host.fetch(shop.ask(TEXT, "I love it")).await;
    assert_eq!(told.outcome(), "bought", "{}", told.text());
    let id = told.purchase().parse().expect("an id");
    let standing = shop.world.ledger().find(id).await.expect("readable").expect("there");
    assert_eq!(standing.chosen_why, "the only payable one of 5 offers");
    assert_eq!(money::purchases(&shop.world).await.len(), 1);
    shop.world.verify_money().await;
}

/// H13, H14: a domain that is not the token's own is refused before anything is signed.
#[tokio::test]
async fn a_domain_that_is_not_the_tokens_own_is_refused_before_signing() {
    let shop = Shop::open().await;
    shop.seller().set_mode(NtriqMode::GatewayDomain);
    let told = shop.world.host().await.fetch(shop.ask(TEXT, "x")).await;
    assert_eq!(told.outcome(), "refused", "{}", told.text());
    assert!(told.text().contains("GatewayWalletBatched"), "{}", told.text());
    assert_eq!((shop.signatures(), shop.transfers()), (0, 0));
}

/// H15: a seller whose clock is minutes ahead still gets a signature that lives.
#[tokio::test]
async fn a_seller_whose_clock_is_ahead_is_paid() {
    for off in [200, -200] {
        let shop = Shop::open().await;
        shop.seller().set_mode(NtriqMode::DateOff(off));
        let told = shop.world.host().await.fetch(shop.ask(TEXT, "x")).await;
        assert_eq!(told.outcome(), "bought", "{off}: {}", told.text());
        let signed = shop.seller().seen().remove(0).authorization;
        let lives = signed.valid_before as i64 - shop.clock.now_s() as i64;
        assert!((100..=130).contains(&(lives - off.max(0))), "{off}: {lives} s");
        assert_eq!(signed.valid_after, 0);
        shop.world.verify_money().await;
    }
}

/// H20: a demand that is too large is refused, not cut.
#[tokio::test]
async fn a_demand_that_is_too_large_is_refused() {
    let shop = Shop::open().await;
    shop.seller().set_mode(NtriqMode::HugeChallenge(80 << 10));
    let told = shop.world.host().await.fetch(shop.ask(TEXT, "x")).await;
    assert!(matches!(told.outcome(), "refused"), "{}", told.text());
    assert_eq!(shop.transfers(), 0);
}
