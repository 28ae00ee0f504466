//! What a seller may do once it has seen the signature: for each, how much moved on the chain, and what the ledger says.

use bursar::sandbox::{Leg, NtriqMode, Settling, Whither};
use serde_json::json;

use crate::{
    shop::{CENT, KEPT, Shop, TEXT},
    support::{Told, money, until},
};

/// One story: the seller's conduct, what the first call hears, how much moved, and where the purchase stands.
struct Case {
    name: &'static str,
    mode: NtriqMode,
    outcome: &'static str,
    moved: u64,
    state: &'static str,
}

fn case(name: &'static str, mode: NtriqMode, outcome: &'static str, moved: u64, state: &'static str) -> Case {
    Case { name, mode, outcome, moved, state }
}

/// H2, H3, H4, H6, H11, H28, H29: whatever the seller answers, one signature leaves, and what the ledger says of it is
/// what the chain says.
#[tokio::test]
async fn whatever_the_seller_answers_one_signature_leaves_and_the_chain_agrees() {
    let cases = [
        case("H4: the answer is lost after settling", NtriqMode::LosesAnswer, "undelivered", CENT, "undelivered"),
        case("H4: the connection breaks before settling", NtriqMode::CutsUnsettled, "pending", 0, "unknown"),
        case("H2: settling fails", NtriqMode::SettleFails, "pending", 0, "unknown"),
        case("H2: it fails, it says, and moves", NtriqMode::SettleFailsButMoves, "undelivered", CENT, "undelivered"),
        case(
            "H2: the facilitator's deadline passes, and it moves",
            NtriqMode::SettleTimesOut { after_ms: 50, moves: true },
            "undelivered",
            CENT,
            "undelivered",
        ),
        case("H3: settlement is pending", NtriqMode::SettlementPending, "pending", 0, "unknown"),
        case("H28: 402 after moving", NtriqMode::ChallengesAfterMoving, "undelivered", CENT, "undelivered"),
        case("H10: the authorization is kept", NtriqMode::KeepsAuthorization, "pending", 0, "unknown"),
        case("H29: the handler fails", NtriqMode::HandlerFails, "pending", 0, "unknown"),
        case("H6: upfront, then 500", NtriqMode::Upfront { declared: false }, "undelivered", CENT, "undelivered"),
        case("H11: dearer when it is paid", NtriqMode::DearerOnPayment(5 * CENT), "pending", 0, "unknown"),
        case("H11: another payee when it is paid", NtriqMode::OtherPayeeOnPayment, "pending", 0, "unknown"),
    ];
    let stories = cases.into_iter().map(async |Case { name, mode, outcome, moved, state }| {
        let shop = Shop::open().await;
        let host = shop.world.host().await;
        let told = shop.buy_from(&host, mode).await;
        assert_eq!(told.outcome(), outcome, "{name}: {}", told.text());
        assert_eq!(shop.world.spent_units(), moved, "{name}");
        // An equal call never signs anew, whatever it hears.
        let again = host.fetch(shop.ask(TEXT, "I love it")).await;
        assert_ne!(again.outcome(), "bought", "{name}: {}", again.text());
        assert_eq!(shop.world.spent_units(), moved, "{name}");
        assert!(shop.signatures() <= 1, "{name}: {}", shop.signatures());
        assert_eq!(shop.states().await, [state], "{name}");
        assert_eq!(shop.held().await, if state == "unknown" { CENT } else { 0 }, "{name}");
        shop.world.verify_money().await;
    });
    futures_util::future::join_all(stories).await;
}

/// H5, H18: where the seller keeps its answers, a lost one is fetched with the same payment, byte for byte.
#[tokio::test]
async fn a_lost_answer_that_the_seller_kept_is_fetched_with_the_same_payment() {
    let shop = Shop::open().await;
    let host = shop.world.host().await;
    shop.seller().next(NtriqMode::LosesAnswer);
    let told = host.fetch(shop.ask(KEPT, "call me")).await;
    assert_eq!(told.outcome(), "bought", "{}", told.text());
    assert!(told.text().contains("masked_text"), "{}", told.text());
    assert_eq!((shop.transfers(), shop.signatures()), (1, 1));
    assert_eq!(shop.states().await, ["delivered"]);
    shop.world.verify_money().await;
}

/// H7: a facilitator that refuses what it takes a moment later is shown the same bytes again.
#[tokio::test]
async fn a_facilitator_that_refuses_at_first_gets_the_same_signature_again() {
    for mode in [NtriqMode::FailsVerifyFirst(2), NtriqMode::FailsSettleFirst(3)] {
        let shop = Shop::open().await;
        let host = shop.world.host().await;
        let told = shop.buy_from(&host, mode.clone()).await;
        assert_eq!(told.outcome(), "bought", "{mode:?}: {}", told.text());
        assert_eq!((shop.transfers(), shop.signatures()), (1, 1), "{mode:?}");
        shop.world.verify_money().await;
    }
}

/// H10: what was signed stays held until it ran out, is used by whoever kept it, and is then in the books.
#[tokio::test]
async fn a_signature_that_somebody_kept_and_uses_later_is_posted() {
    let shop = Shop::open().await;
    let host = shop.world.host().await;
    let told = shop.buy_from(&host, NtriqMode::KeepsAuthorization).await;
    assert_eq!(told.facts()["held"], "0.01 usd", "{}", told.text());
    assert!(shop.seller().submit_kept().iter().any(Result::is_ok), "the thief succeeds");
    let asked = host.fetch(json!({ "result_id": told.purchase() })).await;
    assert_eq!(asked.outcome(), "undelivered", "{}", asked.text());
    assert_eq!((shop.transfers(), shop.held().await), (1, 0));
    shop.world.verify_money().await;
}

/// H3: a pending settlement that comes through is found on the chain, and nothing is signed again.
#[tokio::test]
async fn a_pending_settlement_that_comes_through_is_found_on_the_chain() {
    let shop = Shop::open().await;
    let host = shop.world.host().await;
    let told = shop.buy_from(&host, NtriqMode::SettlementPending).await;
    shop.world.sandbox.chain().mine_pending();
    shop.seller().set_mode(NtriqMode::Open);
    let again = host.fetch(shop.ask(TEXT, "I love it")).await;
    assert_eq!(again.purchase(), told.purchase());
    assert_eq!((shop.transfers(), shop.signatures()), (1, 1), "{}", again.text());
    shop.world.verify_money().await;
}

/// What the chain calls void is given back, and the same call may buy anew.
#[tokio::test]
async fn a_signature_that_ran_out_unused_is_given_back_and_the_call_may_buy_anew() {
    let shop = Shop::open().await;
    let host = shop.world.host().await;
    let told = shop.buy_from(&host, NtriqMode::SettleFails).await;
    assert_eq!(shop.held().await, CENT);
    shop.clock.advance_ms(400_000);
    let asked = host.fetch(json!({ "result_id": told.purchase() })).await;
    assert_eq!(asked.outcome(), "failed", "{}", asked.text());
    assert!(asked.say().contains("Nothing was paid") && asked.say().contains("run out"), "{}", asked.say());
    assert_eq!((shop.held().await, shop.session().await.spent.atomic()), (0, 0));
    shop.seller().set_mode(NtriqMode::DateOff(0));
    let anew = host.fetch(shop.ask(TEXT, "I love it")).await;
    assert_eq!(anew.outcome(), "bought", "{}", anew.text());
    assert_ne!(anew.purchase(), told.purchase());
    assert_eq!((shop.transfers(), shop.signatures()), (1, 2));
    shop.world.verify_money().await;
}

/// An answer without a receipt counts as paid, and the model is told so.
#[tokio::test]
async fn an_answer_without_a_receipt_is_handed_over_and_counts_as_spent() {
    for settling in [Settling::Never, Settling::AtOnce, Settling::InBackground] {
        let shop = Shop::open().await;
        let host = shop.world.host().await;
        let told = shop.buy_from(&host, NtriqMode::NoReceipt(settling)).await;
        assert_eq!(told.outcome(), "bought", "{settling:?}: {}", told.text());
        let seen = settling == Settling::AtOnce;
        assert_eq!(told.say().contains("No receipt came with it; it counts as spent."), !seen, "{}", told.say());
        assert_eq!(told.say().contains("Transaction 0x"), seen, "the chain is asked: {}", told.say());
        assert_eq!(shop.session().await.spent.atomic(), CENT, "{settling:?}");
        shop.world.sandbox.chain().mine_pending();
        assert!(shop.world.spent_units() <= CENT);
        shop.world.verify().await;
    }
}

/// An uncharged refusal shows the seller's words at once, says that nothing seems charged, and what is held.
#[tokio::test]
async fn an_uncharged_refusal_is_shown_with_what_is_held() {
    let shop = Shop::open().await;
    let host = shop.world.host().await;
    let told = host.fetch(json!({ "url": shop.url(TEXT), "json": { "words": "no text here" } })).await;
    assert_eq!((told.outcome(), told.facts()["code"].as_str()), ("pending", Some("declined")), "{}", told.text());
    assert!(told.say().contains("The seller answered HTTP 400"), "{}", told.say());
    assert!(told.say().contains("it seems that nothing was charged"), "{}", told.say());
    assert!(told.facts()["result"]["text_unverified"].as_str().is_some_and(|t| t.contains("text")), "{}", told.text());
    assert_eq!((shop.transfers(), shop.held().await), (0, CENT));
    let right = host.fetch(shop.ask(TEXT, "now with a text")).await;
    assert_eq!(right.outcome(), "bought", "{}", right.text());
    assert_eq!(shop.transfers(), 1);
    shop.clock.advance_ms(400_000);
    let asked = host.fetch(json!({ "result_id": told.purchase() })).await;
    assert_eq!(asked.outcome(), "failed", "{}", asked.text());
    shop.world.verify_money().await;
}

/// H22: a redirect never carries a payment to another origin.
#[tokio::test]
async fn a_payment_never_goes_along_with_a_redirect_to_another_origin() {
    for leg in [Leg::Unpaid, Leg::Paid, Leg::Both] {
        let shop = Shop::open().await;
        let host = shop.world.host().await;
        let told = shop.buy_from(&host, NtriqMode::Redirects(Whither::Stranger, leg)).await;
        assert!(shop.seller().stranger().seen().is_empty(), "{leg:?}: {}", told.text());
        assert!(shop.transfers() <= 1, "{leg:?}");
        if leg == Leg::Paid {
            // Nothing was bought and nobody knows: it is held, and the way on is told.
            assert_eq!((told.outcome(), shop.held().await), ("pending", CENT), "{}", told.text());
            assert!(told.say().contains("It points to another place, where nothing was sent"), "{}", told.say());
        }
        shop.world.verify_money().await;
    }
    let shop = Shop::open().await;
    let host = shop.world.host().await;
    let told = shop.buy_from(&host, NtriqMode::Redirects(Whither::SameOrigin, Leg::Both)).await;
    assert_eq!((told.outcome(), shop.transfers()), ("bought", 1), "{}", told.text());
}

/// H4, H29: a seller that never answers keeps nobody waiting, and the chain says what it did.
#[tokio::test]
async fn a_seller_that_never_answers_keeps_nobody_waiting() {
    for moves in [true, false] {
        let shop = Shop::with("[waits]\nanswer = 1\nexit = 0.2").await;
        let host = shop.world.host().await;
        let told = shop.buy_from(&host, NtriqMode::Stalls { moves }).await;
        assert_eq!(told.outcome(), "pending", "{}", told.text());
        assert_eq!(told.facts()["held"], "0.01 usd");
        assert!(host.close().await.success());
        shop.seller().set_mode(NtriqMode::Open);
        let host = shop.world.host().await;
        let again = host.fetch(shop.ask(TEXT, "I love it")).await;
        let expected = if moves { "undelivered" } else { "bought" };
        assert_eq!(again.outcome(), expected, "{}", again.text());
        assert_eq!((shop.transfers(), shop.signatures()), (1, 1), "moves {moves}");
        shop.world.verify_money().await;
    }
}

/// H2: a seller that took the money and demanded more is not paid again for other things either.
#[tokio::test]
async fn a_seller_that_took_the_money_and_demands_more_gets_no_more() {
    let shop = Shop::open().await;
    let host = shop.world.host().await;
    shop.buy_from(&host, NtriqMode::ChallengesAfterMoving).await;
    let other = host.fetch(shop.ask(TEXT, "something else")).await;
    assert_eq!(other.facts()["code"], "seller_cooling_down", "{}", other.text());
    assert_eq!((shop.transfers(), shop.signatures()), (1, 1));
}

/// Without a chain to ask, what ran out counts as spent, and the books say so.
#[tokio::test]
async fn without_a_chain_to_ask_what_is_unknown_stays_held() {
    let shop = Shop::blind("").await;
    let host = shop.world.host().await;
    let told = shop.buy_from(&host, NtriqMode::LosesAnswer).await;
    assert_eq!(told.outcome(), "pending", "{}", told.text());
    assert_eq!((shop.transfers(), shop.held().await), (1, CENT));
    let again: Told = host.fetch(shop.ask(TEXT, "I love it")).await;
    assert_eq!(again.purchase(), told.purchase());
    assert_eq!((shop.transfers(), shop.signatures(), shop.held().await), (1, 1, CENT));
    until("the purchase is unknown", async || shop.states().await == ["unknown"]).await;
    assert_eq!(money::purchases(&shop.world).await.len(), 1);
    shop.world.verify().await;
}
