//! What a wallet may say to a payment, and what is true: silence, lateness, errors that settle, lies.

mod support;

use bursar::{
    ledger::PurchaseId,
    sandbox::{Behaviour, Fees, FeesSaid, LookupSaid, Money, PreimageSaid, ReplySaid, SandboxOptions, WalletOptions},
};
use futures_util::future::join_all;
use serde_json::json;
use std::time::Duration;
use support::{
    Host, Naive, Seller, Told, World,
    money::{self, held_msat},
    until, until_state,
};

const DATA: &str = r#"{"data":"a"}"#;
const PRICE: u64 = 21_000;
/// Price and the least fee allowance.
const HELD: u64 = PRICE + 10_000;

/// A wallet that is waited for a moment, and a call that answers soon after.
const QUICK: &str = "[waits]\nwallet = 0.7\nanswer = 1.5\n";

async fn shop(config: &str) -> (World, Seller, Host) {
    let world = World::with(config).await;
    let seller = Seller::honest(world.node(), PRICE, DATA).await;
    let host = world.host().await;
    (world, seller, host)
}

async fn buy(host: &Host, seller: &Seller) -> Told {
    host.fetch(json!({ "url": seller.url("/a") })).await
}

fn hash_of(world: &World) -> String {
    world.node().moved().first().map(|m| m.hash.clone()).unwrap_or_default()
}

/// The payment hash that the ledger pinned for a purchase.
async fn pinned_hash(world: &World, id: &str) -> String {
    let id: PurchaseId = id.parse().expect("an id");
    let intent = world.ledger().intent(id).await.expect("readable").expect("an intent");
    intent.rail_key.trim_start_matches("ln:").to_owned()
}

/// Rule 2: no answer is not a "no". The lookup finds what happened, within the same call.
#[tokio::test]
async fn a_lost_answer_is_looked_up_and_pays_once() {
    let (world, seller, host) = shop("[waits]\nwallet = 0.7\n").await;
    world.wallet().next(Behaviour::lost_reply());
    let told = buy(&host, &seller).await;
    assert!(told.text().contains(DATA), "{}", told.text());
    let again = buy(&host, &seller).await;
    assert!(again.text().contains(DATA), "{}", again.text());
    assert_eq!((world.spent_msat(), world.wallet().pay_events().len()), (PRICE, 1));
    world.verify_money().await;
}

/// Negative control: a buyer that takes silence for a "no" pays twice under the same script.
#[tokio::test]
async fn control_a_naive_buyer_pays_twice_when_the_answer_is_lost() {
    let world = World::new().await;
    let seller = Seller::honest(world.node(), PRICE, DATA).await;
    world.wallet().next(Behaviour::lost_reply());
    let naive = Naive::new(&world, Duration::from_millis(700), u64::MAX);
    assert_eq!(naive.fetch(&seller.url("/a")).await, None);
    assert_eq!(naive.fetch(&seller.url("/a")).await, Some(200));
    assert_eq!(world.spent_msat(), 2 * PRICE);
}

/// Rule 2, hazard 1 and 2: silence, and the money leaves later. The model is told `pending` and an id, equal calls pay
/// nothing, and the id gives the data when it is there.
#[tokio::test]
async fn a_late_payment_is_pending_with_an_id_and_the_id_gives_the_data_later() {
    let (world, seller, host) = shop(QUICK).await;
    world.wallet().next(Behaviour::silent_then_pays(4_000));
    let told = buy(&host, &seller).await;
    assert_eq!(told.outcome(), "pending", "{}", told.text());
    assert!(told.say().contains(told.purchase()) && told.say().contains("result_id"), "{}", told.say());
    assert_eq!(told.facts()["held"], "31 sat");
    assert!(told.facts()["paid_now"].is_null(), "{}", told.facts());
    assert_eq!(world.spent_msat(), 0);
    assert_eq!(held_msat(&world, "").await, HELD);
    let again = buy(&host, &seller).await;
    assert_eq!((again.outcome(), again.purchase()), ("pending", told.purchase()), "{}", again.text());
    until("the money moved", async || world.spent_msat() > 0).await;
    let result = |told: &Told| json!({ "result_id": told.purchase() });
    let mut data = host.fetch(result(&told)).await;
    while data.outcome() == "pending" {
        data = host.fetch(result(&told)).await;
    }
    assert!(data.text().contains(DATA), "{}", data.text());
    assert_eq!((world.spent_msat(), world.wallet().pay_events().len()), (PRICE, 1));
    assert_eq!(held_msat(&world, "").await, 0);
    world.verify_money().await;
}

/// Rule 2: an error code that does not say that no money left. The hold stays, and the truth is found.
#[tokio::test]
async fn an_error_that_settles_later_is_unknown_then_paid() {
    let coded = ["PAYMENT_FAILED", "INTERNAL", "OTHER", "NOT_FOUND", "BAD_WEATHER", ""];
    let mut replies: Vec<ReplySaid> = coded.iter().map(|c| ReplySaid::Error((*c).to_owned())).collect();
    replies.extend([
        ReplySaid::BareError("payment failed".into()),
        ReplySaid::ErrorAndResult("PAYMENT_FAILED".into()),
        ReplySaid::Garbage,
        ReplySaid::WrongResultType,
    ]);
    let cases = replies.into_iter().map(async |reply| {
        let (world, seller, host) = shop(QUICK).await;
        // An index that lags knows nothing of it yet, so that nothing but the rule keeps the hold.
        let lost = Behaviour { money: Money::Held, reply: reply.clone(), ..Behaviour::default() };
        world.wallet().next(lost.then_lookup(LookupSaid::NotFound));
        let told = buy(&host, &seller).await;
        assert_eq!(told.outcome(), "pending", "{reply:?}: {}", told.text());
        assert_eq!(held_msat(&world, "").await, HELD, "{reply:?}");
        assert_eq!(money::states(&world).await, ["unknown"], "{reply:?}");
        for hash in world.wallet().in_flight() {
            assert!(world.wallet().set_lookup(&hash, LookupSaid::Truth) && world.wallet().release(&hash));
        }
        until_state(&world, told.purchase(), "delivered").await;
        let data = buy(&host, &seller).await;
        assert_eq!((data.outcome(), data.purchase()), ("stored", told.purchase()), "{reply:?}: {}", data.text());
        assert!(data.text().contains(DATA));
        assert_eq!((world.spent_msat(), world.wallet().pay_events().len()), (PRICE, 1), "{reply:?}");
        world.verify_money().await;
    });
    join_all(cases).await;
}

/// Negative control: a buyer that believes such an error pays twice.
#[tokio::test]
async fn control_a_naive_buyer_pays_twice_when_an_error_settles_later() {
    let world = World::new().await;
    let seller = Seller::honest(world.node(), PRICE, DATA).await;
    world.wallet().next(Behaviour::lies("PAYMENT_FAILED", Money::SettlesAfter(50)));
    let naive = Naive::new(&world, Duration::from_secs(5), u64::MAX);
    assert_eq!(naive.fetch(&seller.url("/a")).await, None);
    assert_eq!(naive.fetch(&seller.url("/a")).await, Some(200));
    until("both moved", async || world.spent_msat() == 2 * PRICE).await;
}

/// Contracts, Final answers: the seven codes that mean "no money left", each with the advice that helps.
#[tokio::test]
async fn each_final_code_fails_at_once_and_says_what_to_do() {
    let advice = [
        ("INSUFFICIENT_BALANCE", "top it up"),
        ("QUOTA_EXCEEDED", "raise it there"),
        ("RESTRICTED", "connect one that may"),
        ("UNAUTHORIZED", "connect one that may"),
        ("NOT_IMPLEMENTED", "Call again"),
        ("UNSUPPORTED_ENCRYPTION", "Call again"),
        ("RATE_LIMITED", "later"),
    ];
    let (world, seller, host) = shop("").await;
    for (code, advice) in advice {
        for behaviour in [Behaviour::refuses(code), Behaviour::fails(code)] {
            world.wallet().next(behaviour);
            let told = buy(&host, &seller).await;
            assert_eq!(told.outcome(), "failed", "{code}: {}", told.text());
            assert!(told.say().starts_with("Nothing was paid") && told.say().contains(code), "{}", told.say());
            assert!(told.say().contains(advice), "{code}: {}", told.say());
            assert!(told.is_error() && told.facts()["paid_now"] == "0 sat", "{}", told.facts());
            assert_eq!(held_msat(&world, "").await, 0, "{code}");
        }
    }
    assert_eq!(world.spent_msat(), 0);
    assert_eq!(buy(&host, &seller).await.outcome(), "bought");
    assert_eq!(world.spent_msat(), PRICE);
    assert_eq!(money::states(&world).await.iter().filter(|s| *s == "failed").count(), 14);
    world.verify_money().await;
}

/// Contracts, Final answers: a final code with a lookup that shows it in flight is not believed.
#[tokio::test]
async fn a_final_code_that_the_lookup_denies_is_unknown() {
    let (world, seller, host) = shop(QUICK).await;
    world.wallet().next(Behaviour::lies("QUOTA_EXCEEDED", Money::SettlesAfter(2_500)));
    let told = buy(&host, &seller).await;
    assert_eq!(told.outcome(), "pending", "{}", told.text());
    assert_eq!(held_msat(&world, "").await, HELD);
    until_state(&world, told.purchase(), "delivered").await;
    assert_eq!(world.spent_msat(), PRICE);
    world.verify_money().await;
}

/// A wallet that lies well: a final "no", nothing to be found, and the money leaves. The truth is recorded beyond the
/// limits, the wallet is frozen, and only a person lets it pay again.
#[tokio::test]
async fn a_wallet_that_lies_and_settles_later_is_recorded_late_and_frozen_until_a_person_looks() {
    for restart in [false, true] {
        let (world, seller, mut host) = shop("").await;
        let other = Seller::honest(world.node(), 7_000, DATA).await;
        let lie = Behaviour::lies("QUOTA_EXCEEDED", Money::Held).then_lookup(LookupSaid::NotFound);
        world.wallet().next(lie);
        let told = buy(&host, &seller).await;
        assert_eq!(told.outcome(), "failed", "{}", told.text());
        assert_eq!(held_msat(&world, "").await, 0);
        let hash = pinned_hash(&world, told.purchase()).await;
        assert!(world.wallet().set_lookup(&hash, LookupSaid::Truth) && world.wallet().release(&hash));
        assert_eq!(world.spent_msat(), PRICE);
        if restart {
            assert!(host.close().await.success());
            host = world.host().await;
        }
        // Whatever the next call is, it finds out before it pays anything.
        let next = host.fetch(json!({ "url": other.url("/b") })).await;
        assert_eq!((next.outcome(), &next.facts()["code"]), ("refused", &json!("wallet_frozen")), "{}", next.text());
        assert!(next.say().contains(&format!("bursar approve {}", told.purchase())), "{}", next.say());
        assert_eq!(world.spent_msat(), PRICE, "nothing more");
        assert_eq!(money::states(&world).await, ["late"]);
        let budget = money::budget(&world, "").await;
        assert_eq!((budget.spent.atomic(), budget.held.atomic()), (PRICE, 0), "the overrun counts as spent");
        let balance = host.call("get_balance", json!({})).await;
        assert!(balance.text().contains("frozen"), "{}", balance.text());
        world.verify_money().await;
        let (code, out, log) = world.run(&["approve", told.purchase()]).await;
        assert_eq!(code, 0, "{log}");
        assert!(out.contains("may pay again"), "{out}");
        let paid = host.fetch(json!({ "url": other.url("/b") })).await;
        assert_eq!(paid.outcome(), "bought", "{}", paid.text());
        assert_eq!(world.spent_msat(), PRICE + 7_000);
        world.verify_money().await;
    }
}

/// A wallet that says "on its way", or "settled" without proof, of what it said had failed is not believed again: it is
/// frozen until a person looked, even when it takes its words back.
#[tokio::test]
async fn a_wallet_that_contradicts_its_own_no_is_frozen_until_a_person_looks() {
    for contradiction in [LookupSaid::Pending, LookupSaid::NoPreimage] {
        let (world, seller, host) = shop("").await;
        let no = Behaviour::lies("QUOTA_EXCEEDED", Money::Held).then_lookup(LookupSaid::NotFound);
        world.wallet().next(no);
        let failed = buy(&host, &seller).await;
        assert_eq!(failed.outcome(), "failed", "{}", failed.text());
        let hash = pinned_hash(&world, failed.purchase()).await;
        let next = async || host.fetch(json!({ "url": seller.url("/b") })).await;
        for said in [contradiction, LookupSaid::Failed] {
            assert!(world.wallet().set_lookup(&hash, said));
            let told = next().await;
            assert_eq!(
                (told.outcome(), &told.facts()["code"]),
                ("refused", &json!("wallet_frozen")),
                "{}",
                told.text()
            );
            assert!(told.say().contains(&format!("bursar approve {}", failed.purchase())), "{}", told.say());
            assert_eq!((world.spent_msat(), world.wallet().pay_events().len()), (0, 1), "{said:?}");
        }
        assert_eq!(money::states(&world).await, ["failed"]);
        world.verify_money().await;
        let (code, out, log) = world.run(&["approve", failed.purchase()]).await;
        assert!(code == 0 && out.contains("may pay again"), "{out}{log}");
        let told = next().await;
        assert_eq!(told.outcome(), "bought", "{}", told.text());
        assert_eq!(world.spent_msat(), PRICE);
        world.verify_money().await;
    }
}

/// While money may still leave, no person's word closes a payment of unknown outcome.
#[tokio::test]
async fn a_payment_that_may_still_leave_cannot_be_denied() {
    let (world, seller, host) = shop(QUICK).await;
    world.wallet().next(Behaviour { reply: ReplySaid::Nothing, ..Behaviour::holds() });
    let told = buy(&host, &seller).await;
    assert_eq!(told.outcome(), "pending", "{}", told.text());
    let (code, out, log) = world.run(&["deny", told.purchase()]).await;
    assert!(code != 0 && log.contains("it is unknown"), "{out}{log}");
    assert_eq!((held_msat(&world, "").await, world.spent_msat()), (HELD, 0));
    assert_eq!(money::states(&world).await, ["unknown"]);
    for hash in world.wallet().in_flight() {
        assert!(world.wallet().release(&hash));
    }
    until_state(&world, told.purchase(), "delivered").await;
    assert_eq!((world.spent_msat(), world.wallet().pay_events().len()), (PRICE, 1));
    world.verify_money().await;
}

/// A17, hazard 7: whatever is not the preimage never reaches the seller; the lookup gives the true one.
#[tokio::test]
async fn a_false_preimage_never_reaches_the_seller() {
    use PreimageSaid::{Empty, Invoice, Missing, Wrong, Zeros};
    let cases = [Wrong, Zeros, Empty, Missing, Invoice].into_iter().map(async |said| {
        let (world, seller, host) = shop(QUICK).await;
        world.wallet().next(Behaviour::shows(said).then_lookup(LookupSaid::NoPreimage));
        let told = buy(&host, &seller).await;
        assert_eq!(told.outcome(), "pending", "{said:?}: {}", told.text());
        assert_eq!(money::states(&world).await, ["unknown"], "{said:?}");
        assert_eq!(held_msat(&world, "").await, HELD, "{said:?}");
        assert!(seller.hits().iter().all(|h| !h.paid()), "{said:?}: a credential was sent");
        world.verify().await;
        assert!(world.wallet().set_lookup(&hash_of(&world), LookupSaid::Truth));
        until_state(&world, told.purchase(), "delivered").await;
        let paid: Vec<_> = seller.hits().iter().filter_map(support::Hit::credential).collect();
        assert_eq!(paid.len(), 1);
        assert_eq!(Some(paid[0].1.as_str()), world.node().preimage(&hash_of(&world)).as_ref().map(|s| s.expose()));
        assert_eq!(world.spent_msat(), PRICE, "{said:?}");
        world.verify_money().await;
    });
    join_all(cases).await;
}

/// A14, hazard 12: a fee beyond what was held is recorded as it is, and the wallet is frozen until a person looks.
#[tokio::test]
async fn a_fee_ten_times_the_allowance_is_recorded_and_freezes_the_wallet() {
    let (world, seller, host) = shop("").await;
    world.node().set_fees(Fees { base_msat: 100_000, ppm: 0 });
    let told = buy(&host, &seller).await;
    assert_eq!(told.outcome(), "bought", "{}", told.text());
    assert_eq!((&told.facts()["paid_now"], &told.facts()["fee"]), (&json!("121 sat"), &json!("100 sat")));
    assert_eq!(world.spent_msat(), PRICE + 100_000);
    assert_eq!(money::budget(&world, "").await.spent.atomic(), PRICE + 100_000);
    world.verify_money().await;
    let other = Seller::honest(world.node(), 7_000, DATA).await;
    let next = host.fetch(json!({ "url": other.url("/b") })).await;
    assert_eq!(next.facts()["code"], "wallet_frozen", "{}", next.text());
    let (code, _, log) = world.run(&["approve", told.purchase()]).await;
    assert_eq!(code, 0, "{log}");
    world.node().set_fees(Fees::default());
    let next = host.fetch(json!({ "url": other.url("/b") })).await;
    assert_eq!(next.outcome(), "bought", "{}", next.text());
    world.verify_money().await;
}

/// A fee that the wallet does not tell is charged as high as it was allowed to be, and the audit says so.
#[tokio::test]
async fn a_fee_that_is_not_told_counts_as_the_whole_allowance() {
    let (world, seller, host) = shop("").await;
    world.wallet().next(Behaviour::claims(FeesSaid::Missing));
    let told = buy(&host, &seller).await;
    assert_eq!(told.outcome(), "bought", "{}", told.text());
    assert_eq!(world.spent_msat(), PRICE);
    assert_eq!(money::budget(&world, "").await.spent.atomic(), HELD);
    world.verify().await;
}

/// A33, hazard 3: a hold invoice that nobody settles stays pending, and its hold stays.
#[tokio::test]
async fn a_payment_that_stays_in_flight_is_pending_and_stays_held_over_a_restart() {
    let (world, seller, host) = shop(QUICK).await;
    world.wallet().next(Behaviour::holds());
    let told = buy(&host, &seller).await;
    assert_eq!(told.outcome(), "pending", "{}", told.text());
    assert!(host.close().await.success());
    let host = world.host().await;
    let again = buy(&host, &seller).await;
    assert_eq!((again.outcome(), again.purchase()), ("pending", told.purchase()), "{}", again.text());
    let balance = host.call("get_balance", json!({})).await;
    assert_eq!(balance.facts()["unresolved"][0]["purchase"], told.purchase(), "{}", balance.facts());
    assert_eq!(held_msat(&world, "").await, HELD);
    assert_eq!((world.spent_msat(), world.wallet().pay_events().len()), (0, 1));
    world.verify_money().await;
}

/// Hazard 27 and rule 2: an index that lags says "no such payment"; it is not believed while money may still leave, and
/// the same bytes that are sent once more do not pay again.
#[tokio::test]
async fn not_found_is_not_a_no_and_the_payment_is_found_later() {
    let (world, seller, host) = shop(QUICK).await;
    world.wallet().next(Behaviour::lost_reply().then_lookup(LookupSaid::NotFound));
    let told = buy(&host, &seller).await;
    assert_eq!(told.outcome(), "pending", "{}", told.text());
    assert_eq!(held_msat(&world, "").await, HELD);
    let hash = hash_of(&world);
    assert!(world.wallet().set_lookup(&hash, LookupSaid::Truth));
    until_state(&world, told.purchase(), "delivered").await;
    assert_eq!((world.spent_msat(), world.wallet().pay_events().len()), (PRICE, 1), "one event, whatever was resent");
    world.verify_money().await;
}

/// A connection that may neither look up nor list: nothing is released, whatever happened.
#[tokio::test]
async fn a_wallet_that_may_not_be_asked_keeps_the_hold() {
    let methods = ["pay_invoice", "get_balance", "get_info"].map(str::to_owned).to_vec();
    let wallet = WalletOptions { methods, ..WalletOptions::default() };
    for (behaviour, moved) in [(Behaviour::lost_reply(), PRICE), (Behaviour::refuses("QUOTA_EXCEEDED"), 0)] {
        let options = SandboxOptions { wallet: wallet.clone(), ..SandboxOptions::default() };
        let world = World::with_options(QUICK, options).await;
        let seller = Seller::honest(world.node(), PRICE, DATA).await;
        let host = world.host().await;
        world.wallet().next(behaviour.clone());
        let told = buy(&host, &seller).await;
        assert_eq!(told.outcome(), "pending", "{behaviour:?}: {}", told.text());
        assert_eq!(held_msat(&world, "").await, HELD);
        let again = buy(&host, &seller).await;
        assert_eq!((again.outcome(), again.purchase()), ("pending", told.purchase()));
        assert_eq!(world.spent_msat(), moved);
        world.verify().await;
    }
}

/// Three payments of unknown outcome at one host are enough: a seller that never settles would fill the budget.
#[tokio::test]
async fn a_fourth_payment_of_unknown_outcome_at_one_host_is_not_risked() {
    let (world, seller, host) = shop("[waits]\nwallet = 0.3\nanswer = 0.6\n").await;
    world.wallet().always(Behaviour::holds());
    for path in ["/1", "/2", "/3"] {
        let told = host.fetch(json!({ "url": seller.url(path) })).await;
        assert_eq!(told.outcome(), "pending", "{}", told.text());
        until_state(&world, told.purchase(), "unknown").await;
    }
    let told = host.fetch(json!({ "url": seller.url("/4") })).await;
    assert_eq!(told.facts()["code"], "too_many_unknown", "{}", told.text());
    assert_eq!((world.spent_msat(), held_msat(&world, "").await), (0, 3 * HELD));
    world.verify_money().await;
}
