//! One logical request, one payment: equal calls at once, in one process and in several, and with keys of the caller's.

mod support;

use std::time::Duration;

use bursar::sandbox::Behaviour;
use serde_json::json;
use support::{Era, Gate, Naive, Reply, Seller, World, money, seller::token_for, until_answered};

const DATA: &str = r#"{"data":"a"}"#;

fn count(told: &[support::Told], outcome: &str) -> usize {
    told.iter().filter(|t| t.outcome() == outcome).count()
}

/// Calls all at once and reads all answers.
async fn at_once(host: &support::Host, n: usize, arguments: serde_json::Value) -> Vec<support::Told> {
    let mut begun = Vec::new();
    for _ in 0..n {
        begun.push(host.begin_call("fetch_paid", arguments.clone()).await.1);
    }
    let mut told = Vec::new();
    for answer in begun {
        let answer = answer.await.expect("every call is answered");
        told.push(support::Told { raw: answer["result"].clone() });
    }
    told
}

/// A36: an agent loop asks for the same thing many times at once.
#[tokio::test]
async fn sixty_four_equal_calls_at_once_pay_once_and_all_get_the_data() {
    for era in [Era::Handshake, Era::Stateless] {
        let world = World::new().await;
        let seller = Seller::honest(world.node(), 21_000, DATA).await;
        world.wallet().always(Behaviour::slow_reply(300));
        let host = world.host_in(era).await;
        let told = at_once(&host, 64, json!({ "url": seller.url("/a") })).await;
        assert!(told.iter().all(|t| t.text().contains(DATA) && !t.is_error()), "{told:#?}");
        assert_eq!(count(&told, "bought"), 1, "{told:#?}");
        for one in told.iter().filter(|t| t.outcome() != "bought") {
            assert!(one.say().starts_with("Nothing"), "{}", one.say());
            assert!(one.facts()["paid_now"].is_null() || one.facts()["paid_now"] == "0 sat", "{}", one.facts());
        }
        assert_eq!(world.spent_msat(), 21_000);
        assert_eq!(world.node().moved().len(), 1);
        assert!(host.close().await.success());
        world.verify_money().await;
    }
}

/// Negative control to A36: a buyer without a ledger pays each of them.
#[tokio::test]
async fn control_a_naive_buyer_pays_every_one_of_eight_equal_calls_at_once() {
    let world = World::new().await;
    let seller = Seller::honest(world.node(), 21_000, DATA).await;
    let naive = Naive::new(&world, Duration::from_secs(10), u64::MAX);
    naive.connect().await;
    let url = seller.url("/a");
    let all = futures_util::future::join_all((0..8).map(|_| naive.fetch(&url))).await;
    assert!(all.iter().all(|status| *status == Some(200)), "{all:?}");
    assert_eq!(world.node().moved().len(), 8);
}

/// A36 over processes: hosts start a server each, and they share one ledger.
#[tokio::test]
async fn sixty_four_equal_calls_over_two_processes_pay_once() {
    let world = World::new().await;
    let seller = Seller::honest(world.node(), 21_000, DATA).await;
    world.wallet().always(Behaviour::slow_reply(300));
    let (a, b) = tokio::join!(world.host(), world.host());
    let call = || json!({ "url": seller.url("/a") });
    let (one, two) = tokio::join!(at_once(&a, 32, call()), at_once(&b, 32, call()));
    let told: Vec<_> = one.into_iter().chain(two).collect();
    assert!(told.iter().all(|t| t.text().contains(DATA) && !t.is_error()), "{told:#?}");
    assert_eq!(count(&told, "bought"), 1, "{told:#?}");
    assert_eq!(world.node().moved().len(), 1);
    assert!(a.close().await.success() && b.close().await.success());
    world.verify_money().await;
}

/// A36, the widest interleaving: one process holds the seller's price in hand while the other buys, hands over and is
/// done. What the slow one bought then would be the same thing twice.
#[tokio::test]
async fn a_call_that_began_before_an_equal_one_was_done_does_not_pay_after_it() {
    let world = World::new().await;
    let gate = Gate::closed();
    let (node, shut) = (world.node().clone(), gate.clone());
    // A token good for one call, so that nothing but the ledger can keep the second from paying.
    let seller = Seller::start(move |hit| {
        if hit.paid() {
            return Reply::ok(DATA);
        }
        let invoice = node.invoice(21_000, "once", 600).expect("an invoice");
        let reply = Reply::l402(&token_for(&invoice.payment_hash), &invoice.bolt11);
        if hit.n == 0 { reply.behind(&shut) } else { reply }
    })
    .await;
    let (slow, quick) = tokio::join!(world.host(), world.host());
    let call = || json!({ "url": seller.url("/a") });
    let (_, waiting) = slow.begin_call("fetch_paid", call()).await;
    support::until("the slow process has asked", async || seller.hits().len() == 1).await;
    let told = quick.fetch(call()).await;
    assert_eq!(told.outcome(), "bought", "{}", told.text());
    until_answered(&world, told.purchase()).await;
    gate.open();
    let late = support::Told { raw: waiting.await.expect("an answer")["result"].clone() };
    assert_eq!(late.outcome(), "stored", "{}", late.text());
    assert!(late.text().contains(DATA), "{}", late.text());
    assert_eq!(world.node().moved().len(), 1);
    assert_eq!(world.spent_msat(), 21_000);
    world.verify_money().await;
}

/// Contracts, Idempotency: a key of the caller's own is one purchase for ever, over processes too.
#[tokio::test]
async fn a_key_of_the_callers_own_is_one_purchase_for_ever() {
    let world = World::new().await;
    let node = world.node().clone();
    let seller = Seller::start(move |hit| {
        if hit.paid() {
            return Reply::ok(DATA);
        }
        let invoice = node.invoice(21_000, "k", 600).expect("an invoice");
        Reply::l402(&token_for(&invoice.payment_hash), &invoice.bolt11)
    })
    .await;
    let host = world.host().await;
    let call = |path: &str| json!({ "url": seller.url(path), "idempotency_key": "order-7" });
    let first = host.fetch(call("/a")).await;
    assert_eq!(first.outcome(), "bought", "{}", first.text());
    until_answered(&world, first.purchase()).await;
    let again = host.fetch(call("/a")).await;
    assert_eq!((again.outcome(), again.purchase()), ("stored", first.purchase()), "{}", again.text());
    let other = host.fetch(call("/b")).await;
    assert_eq!((other.outcome(), &other.facts()["code"]), ("refused", &json!("idempotency_key_taken")));
    assert!(other.is_error() && other.say().starts_with("Nothing was paid"), "{}", other.say());
    assert!(host.close().await.success());
    let host = world.host().await;
    let again = host.fetch(call("/a")).await;
    assert_eq!(again.outcome(), "stored", "{}", again.text());
    assert_eq!(world.node().moved().len(), 1);
    world.verify_money().await;
}

/// Two calls with one key and different requests, at once: the second must not ride on the first one's answer.
#[tokio::test]
async fn a_key_that_is_in_use_for_another_request_is_refused_while_it_flies() {
    let world = World::new().await;
    let seller = Seller::honest(world.node(), 21_000, DATA).await;
    world.wallet().next(Behaviour::slow_reply(800));
    let host = world.host().await;
    let call = |path: &str| json!({ "url": seller.url(path), "idempotency_key": "order-8" });
    let (_, first) = host.begin_call("fetch_paid", call("/a")).await;
    support::until("the payment is under way", async || world.wallet().seen("pay_invoice") == 1).await;
    let other = host.fetch(call("/b")).await;
    assert_eq!(
        (other.outcome(), &other.facts()["code"]),
        ("refused", &json!("idempotency_key_taken")),
        "{}",
        other.text()
    );
    let first = support::Told { raw: first.await.expect("an answer")["result"].clone() };
    assert_eq!(first.outcome(), "bought", "{}", first.text());
    assert_eq!(world.node().moved().len(), 1);
    world.verify_money().await;
}

/// A failed purchase keeps its explicit key: the model is told to use another one, and that one buys.
#[tokio::test]
async fn after_a_failure_an_explicit_key_stays_failed_and_says_to_use_another() {
    let world = World::new().await;
    let seller = Seller::honest(world.node(), 21_000, DATA).await;
    world.wallet().next(Behaviour::refuses("QUOTA_EXCEEDED"));
    let host = world.host().await;
    let call = |key: &str| json!({ "url": seller.url("/a"), "idempotency_key": key });
    let failed = host.fetch(call("one")).await;
    assert_eq!(failed.outcome(), "failed", "{}", failed.text());
    assert!(failed.say().contains("another idempotency_key"), "{}", failed.say());
    let again = host.fetch(call("one")).await;
    assert_eq!((again.outcome(), again.purchase()), ("failed", failed.purchase()), "{}", again.text());
    assert!(again.say().contains("another idempotency_key"), "{}", again.say());
    assert_eq!(world.spent_msat(), 0);
    let other = host.fetch(call("two")).await;
    assert_eq!(other.outcome(), "bought", "{}", other.text());
    assert_eq!(world.spent_msat(), 21_000);
    world.verify_money().await;
}

/// An invoice is never paid twice, whatever the seller does with it: one that it shows for two resources is refused.
#[tokio::test]
async fn an_invoice_that_was_paid_for_one_thing_is_not_paid_for_another() {
    let world = World::new().await;
    let invoice = world.node().invoice(21_000, "one for all", 600).expect("an invoice");
    let seller = Seller::start(move |hit| {
        if hit.paid() && hit.uri.path() == "/a" {
            return Reply::ok(DATA);
        }
        Reply::l402(&token_for(&invoice.payment_hash), &invoice.bolt11)
    })
    .await;
    let host = world.host().await;
    let first = host.fetch(json!({ "url": seller.url("/a") })).await;
    assert_eq!(first.outcome(), "bought", "{}", first.text());
    let second = host.fetch(json!({ "url": seller.url("/b") })).await;
    assert_eq!((second.outcome(), &second.facts()["code"]), ("refused", &json!("invoice_reused")), "{}", second.text());
    assert_eq!(world.node().moved().len(), 1);
    assert_eq!(money::states(&world).await, ["delivered"]);
    world.verify_money().await;
}
