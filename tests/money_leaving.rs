//! Whoever asked goes away while money is on its way: cancelled calls, closed pipes, signals (A35).

mod support;

use std::time::{Duration, Instant};

use bursar::sandbox::Behaviour;
use serde_json::json;
use support::{Host, Seller, Told, World, money, until, until_state};

const DATA: &str = r#"{"data":"a"}"#;
const PRICE: u64 = 21_000;

async fn shop(config: &str) -> (World, Seller, Host) {
    let world = World::with(config).await;
    let seller = Seller::honest(world.node(), PRICE, DATA).await;
    let host = world.host().await;
    (world, seller, host)
}

async fn paying(world: &World) {
    until("the wallet has the bytes", async || world.wallet().seen("pay_invoice") == 1).await;
}

fn term(host: &Host) {
    let pid = host.child.id().expect("it runs").to_string();
    let kill = std::process::Command::new("kill").args(["-TERM", &pid]).status().expect("kill runs");
    assert!(kill.success());
}

/// A35: the caller gives up while the wallet pays. The payment goes on, its answer is kept, and the equal call gets it.
#[tokio::test]
async fn a_cancelled_call_finishes_and_the_equal_call_gets_its_answer_free() {
    let (world, seller, host) = shop("").await;
    world.wallet().next(Behaviour::slow_payment(700));
    let (id, _dropped) = host.begin_call("fetch_paid", json!({ "url": seller.url("/a") })).await;
    paying(&world).await;
    host.cancel(id).await;
    until("it is delivered", async || money::states(&world).await == ["delivered"]).await;
    let told = host.fetch(json!({ "url": seller.url("/a") })).await;
    assert_eq!(told.outcome(), "stored", "{}", told.text());
    assert!(told.text().contains(DATA) && told.say().starts_with("Nothing was paid now"), "{}", told.text());
    assert_eq!((world.spent_msat(), world.wallet().pay_events().len()), (PRICE, 1));
    assert!(host.close().await.success());
    world.verify_money().await;
}

/// A35, once more: the equal call comes while the cancelled one still pays, and waits for it.
#[tokio::test]
async fn an_equal_call_joins_the_payment_of_a_cancelled_one() {
    let (world, seller, host) = shop("").await;
    world.wallet().next(Behaviour::slow_payment(700));
    let (id, _dropped) = host.begin_call("fetch_paid", json!({ "url": seller.url("/a") })).await;
    paying(&world).await;
    host.cancel(id).await;
    let told = host.fetch(json!({ "url": seller.url("/a") })).await;
    assert!(told.text().contains(DATA), "{}", told.text());
    assert_eq!((world.spent_msat(), world.wallet().pay_events().len()), (PRICE, 1));
    world.verify_money().await;
}

/// Contracts: after the end of input open payments are waited for, so that the books are complete.
#[tokio::test]
async fn a_host_that_hangs_up_while_paying_leaves_a_finished_purchase() {
    let (world, seller, mut host) = shop("").await;
    world.wallet().next(Behaviour::slow_payment(1_500));
    let _call = host.begin_call("fetch_paid", json!({ "url": seller.url("/a") })).await;
    paying(&world).await;
    let begun = Instant::now();
    host.hang_up();
    assert!(host.ended().await.success());
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert_eq!(world.spent_msat(), PRICE);
    assert_eq!(money::states(&world).await, ["delivered"]);
    world.verify_money().await;
}

/// Contracts: SIGTERM waits for open payments too, and a payment that finishes in time is finished.
#[tokio::test]
async fn a_server_told_to_stop_while_paying_finishes_the_payment_first() {
    let (world, seller, mut host) = shop("").await;
    world.wallet().next(Behaviour::slow_payment(1_500));
    let _call = host.begin_call("fetch_paid", json!({ "url": seller.url("/a") })).await;
    paying(&world).await;
    term(&host);
    assert!(host.ended().await.success());
    assert_eq!((world.spent_msat(), money::states(&world).await), (PRICE, vec!["delivered".to_owned()]));
    world.verify_money().await;
}

/// Contracts: beyond ten seconds it goes, and says in the books that nobody knows. The next start finds out.
#[tokio::test]
async fn a_server_told_to_stop_goes_within_ten_seconds_and_the_next_one_finds_out() {
    let cases = [false, true].into_iter().map(async |hang_up| {
        let (world, seller, mut host) = shop("").await;
        world.wallet().next(Behaviour::holds());
        let call = host.begin_call("fetch_paid", json!({ "url": seller.url("/a") })).await;
        paying(&world).await;
        let begun = Instant::now();
        if hang_up {
            host.hang_up()
        } else {
            term(&host)
        }
        assert!(host.ended().await.success());
        let took = begun.elapsed();
        assert!((9.0..11.5).contains(&took.as_secs_f64()), "{took:?}");
        drop(call);
        let rows = money::purchases(&world).await;
        assert_eq!(rows[0].state, "unknown", "{rows:#?}");
        assert!(rows[0].note.contains("the process ended"), "{}", rows[0].note);
        assert_eq!(rows[0].held.expect("an amount").atomic(), PRICE + 10_000);
        world.verify_money().await;
        let hash = world.wallet().in_flight()[0].clone();
        assert!(world.wallet().release(&hash));
        let host = world.host().await;
        let told = host.fetch(json!({ "url": seller.url("/a") })).await;
        assert!(told.text().contains(DATA), "{}", told.text());
        assert_eq!((world.spent_msat(), world.wallet().pay_events().len()), (PRICE, 1));
        world.verify_money().await;
    });
    futures_util::future::join_all(cases).await;
}

/// A purchase of unknown outcome is not waited for at the end: that could take hours, and the books say it already.
#[tokio::test]
async fn an_unknown_purchase_does_not_hold_up_the_exit() {
    let (world, seller, host) = shop("[waits]\nwallet = 0.3\nanswer = 0.6\n").await;
    world.wallet().next(Behaviour::holds());
    let told = host.fetch(json!({ "url": seller.url("/a") })).await;
    assert_eq!(told.outcome(), "pending", "{}", told.text());
    until_state(&world, told.purchase(), "unknown").await;
    let begun = Instant::now();
    assert!(host.close().await.success());
    assert!(begun.elapsed() < Duration::from_secs(7), "{:?}", begun.elapsed());
    world.verify_money().await;
}

/// A process that ends begins nothing new: what is only being priced when the signal comes is not bought afterwards.
#[tokio::test]
async fn a_price_that_arrives_after_the_signal_is_not_paid() {
    let world = World::new().await;
    let gate = support::Gate::closed();
    let (node, shut) = (world.node().clone(), gate.clone());
    let seller = Seller::start(move |hit| {
        if hit.paid() {
            return support::Reply::ok(DATA);
        }
        let invoice = node.invoice(PRICE, "late", 600).expect("an invoice");
        let reply = support::Reply::l402(&support::seller::token_for(&invoice.payment_hash), &invoice.bolt11);
        if hit.uri.path() == "/late" { reply.behind(&shut) } else { reply }
    })
    .await;
    world.wallet().next(Behaviour::holds());
    let mut host = world.host().await;
    let _one = host.begin_call("fetch_paid", json!({ "url": seller.url("/a") })).await;
    paying(&world).await;
    let (_, late) = host.begin_call("fetch_paid", json!({ "url": seller.url("/late") })).await;
    until("the second price was asked for", async || seller.hits().iter().any(|h| h.uri.path() == "/late")).await;
    term(&host);
    until("the server heard the signal", async || {
        let told = host.fetch(json!({ "url": seller.url("/probe"), "max_price": "0.001 sat" })).await;
        told.facts()["code"] == "ending"
    })
    .await;
    gate.open();
    let late = Told { raw: late.await.expect("an answer")["result"].clone() };
    assert_eq!(late.facts()["code"], "ending", "{}", late.text());
    assert!(late.say().starts_with("Nothing was paid"), "{}", late.say());
    assert!(world.wallet().release(&world.wallet().in_flight()[0]));
    assert!(host.ended().await.success());
    assert_eq!(world.spent_msat(), PRICE, "only what was under way");
    assert_eq!(money::states(&world).await, ["delivered"]);
    world.verify_money().await;
}

/// A host that dies without a word takes its server's standard output with it: the payment finishes all the same.
#[tokio::test]
async fn a_host_that_vanishes_costs_nothing_twice() {
    let (world, seller, host) = shop("").await;
    world.wallet().next(Behaviour::slow_payment(500));
    let (_, answer) = host.begin_call("fetch_paid", json!({ "url": seller.url("/a") })).await;
    paying(&world).await;
    drop(answer);
    host.kill().await;
    let host = world.host().await;
    let told: Told = host.fetch(json!({ "url": seller.url("/a") })).await;
    assert!(told.text().contains(DATA), "{}", told.text());
    assert_eq!((world.spent_msat(), world.wallet().pay_events().len()), (PRICE, 1));
    world.verify_money().await;
}
