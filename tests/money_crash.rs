//! The process dies between any two steps of a purchase, and whoever comes next finds the truth (A34).

mod support;

use bursar::sandbox::Behaviour;
use serde_json::json;
use support::{Era, Host, Naive, Seller, Told, World, money, until, until_state};

const DATA: &str = r#"{"data":"a"}"#;
const PRICE: u64 = 21_000;

/// The kill points in the order of a purchase, and the state in which each leaves the ledger.
const POINTS: [(&str, Option<&str>); 8] = [
    ("before_w1", None),
    ("after_w1", Some("paying")),
    ("before_pay", Some("paying")),
    ("after_pay", Some("paying")),
    ("after_w2", Some("paid")),
    ("before_redeem", Some("paid")),
    ("after_redeem", Some("paid")),
    ("after_w3", Some("delivered")),
];

/// Whether money had moved when the process died there.
fn paid_at(point: &str) -> bool {
    !matches!(point, "before_w1" | "after_w1" | "before_pay")
}

struct Crash {
    world: World,
    seller: Seller,
    purchase: Option<String>,
}

/// Lets a server die at a point in the middle of a call.
async fn crash(point: &str, left: Option<&str>) -> Crash {
    let world = World::new().await;
    let seller = Seller::honest(world.node(), PRICE, DATA).await;
    let mut host = world.host_dying_at(point).await;
    let (_, answer) = host.begin_call("fetch_paid", json!({ "url": seller.url("/a") })).await;
    assert!(answer.await.is_err(), "{point}: the server answered");
    assert!(!host.ended().await.success(), "{point}: it did not die");
    assert_eq!(world.spent_msat(), if paid_at(point) { PRICE } else { 0 }, "{point}");
    let rows = money::purchases(&world).await;
    assert_eq!(rows.first().map(|r| r.state.as_str()), left, "{point}");
    if left == Some("paying") {
        assert_eq!(rows[0].held.expect("an amount").atomic(), PRICE + 10_000, "{point}: the hold is there");
    }
    world.verify().await;
    Crash { world, seller, purchase: rows.first().and_then(|r| r.purchase.clone()) }
}

fn assert_has_data(told: &Told, point: &str) {
    assert!(told.text().contains(DATA) && !told.is_error(), "{point}: {}", told.text());
}

/// A34: after each kill point an equal call to a new process ends with the data and one payment.
#[tokio::test]
async fn after_a_crash_at_any_point_the_equal_call_gets_the_data_for_one_payment() {
    for (point, left) in POINTS {
        let Crash { world, seller, purchase } = crash(point, left).await;
        let host = world.host().await;
        let told = host.fetch(json!({ "url": seller.url("/a") })).await;
        assert_has_data(&told, point);
        // Who pays or finds out now says so; what was delivered before costs nothing now.
        let expected = if matches!(point, "after_w2" | "before_redeem" | "after_redeem" | "after_w3") {
            "stored"
        } else {
            "bought"
        };
        assert_eq!(told.outcome(), expected, "{point}: {}", told.text());
        if let Some(purchase) = &purchase {
            assert_eq!(told.purchase(), purchase, "{point}: the same purchase goes on");
        }
        assert_eq!(world.spent_msat(), PRICE, "{point}");
        let again = host.fetch(json!({ "url": seller.url("/a") })).await;
        assert_has_data(&again, point);
        assert_eq!(world.node().moved().len(), 1, "{point}");
        assert!(host.close().await.success());
        assert_eq!(money::states(&world).await, ["delivered"], "{point}");
        world.verify_money().await;
    }
}

/// A34: the purchase's id is as good as the equal call.
#[tokio::test]
async fn after_a_crash_at_any_point_the_purchases_id_gets_the_data_for_one_payment() {
    for (point, left) in POINTS.into_iter().filter(|(_, left)| left.is_some()) {
        let Crash { world, purchase, seller: _seller } = crash(point, left).await;
        let purchase = purchase.expect("an id");
        let host = world.host().await;
        let told = host.fetch(json!({ "result_id": purchase })).await;
        assert_has_data(&told, point);
        assert_eq!(told.purchase(), purchase, "{point}");
        assert_eq!(world.node().moved().len(), 1, "{point}");
        assert!(host.close().await.success());
        assert_eq!(money::states(&world).await, ["delivered"], "{point}");
        world.verify_money().await;
    }
}

/// A34: a person who only looks at the balance sees what is at risk, and looking pays for nothing new.
#[tokio::test]
async fn after_a_crash_at_any_point_the_balance_tells_the_truth() {
    for (point, left) in POINTS {
        let Crash { world, seller, purchase } = crash(point, left).await;
        let (code, out, log) = world.run(&["balance", "--json"]).await;
        assert_eq!(code, 0, "{point}: {log}");
        let facts: serde_json::Value = serde_json::from_str(&out).expect("json");
        let session = facts["budgets"].as_array().expect("budgets");
        let session = session.iter().find(|b| b["scope"] == "session" && b["limit"] == "5000 sat").expect("a session");
        let moved = world.node().moved().len();
        assert!(moved <= 1, "{point}: {moved}");
        match left {
            None => assert_eq!((&session["spent"], &session["held"]), (&json!("0 sat"), &json!("0 sat")), "{point}"),
            // Whether the look at the books was quick enough to finish it or not: it is spent, or it is held.
            Some("paying") => {
                assert!(session["spent"] == "21 sat" || session["held"] == "31 sat", "{point}: {session}")
            }
            Some(_) => {
                assert_eq!((&session["spent"], &session["held"]), (&json!("21 sat"), &json!("0 sat")), "{point}")
            }
        }
        world.verify().await;
        // And afterwards the equal call still ends well.
        let host = world.host().await;
        assert_has_data(&host.fetch(json!({ "url": seller.url("/a") })).await, point);
        assert_eq!(world.node().moved().len(), 1, "{point}");
        assert_eq!(money::states(&world).await, ["delivered"], "{point} {purchase:?}");
        world.verify_money().await;
    }
}

/// Safety 2.2: bytes that were committed and never sent are sent as they are, the same event and no other.
#[tokio::test]
async fn what_was_committed_and_not_sent_is_sent_as_it_is_by_the_next_process() {
    for point in ["after_w1", "before_pay"] {
        let Crash { world, seller, .. } = crash(point, Some("paying")).await;
        assert_eq!(world.wallet().pay_events().len(), 0, "{point}");
        let host = world.host().await;
        assert_has_data(&host.fetch(json!({ "url": seller.url("/a") })).await, point);
        assert_eq!(world.wallet().pay_events().len(), 1, "{point}: one event");
        let unpaid = seller.hits().iter().filter(|h| !h.paid()).count();
        assert_eq!(unpaid, 1, "{point}: no second price was asked for");
        world.verify_money().await;
    }
}

/// The wallet took the bytes, the process died before it could read the reply: nothing is sent that could pay again.
#[tokio::test]
async fn what_was_sent_before_the_crash_is_only_looked_up() {
    let world = World::new().await;
    let seller = Seller::honest(world.node(), PRICE, DATA).await;
    world.wallet().next(Behaviour::slow_payment(600));
    let host = world.host().await;
    let (_, answer) = host.begin_call("fetch_paid", json!({ "url": seller.url("/a") })).await;
    until("the wallet has the bytes", async || world.wallet().seen("pay_invoice") == 1).await;
    host.kill().await;
    assert!(answer.await.is_err());
    let host = world.host().await;
    let told = host.fetch(json!({ "url": seller.url("/a") })).await;
    assert_has_data(&told, "killed while paying");
    assert_eq!((world.node().moved().len(), world.wallet().pay_events().len()), (1, 1));
    assert!(host.close().await.success());
    world.verify_money().await;
}

/// What was paid and not redeemed is redeemed by the next process as soon as it has reason to look at the books, without
/// anybody asking for it again.
#[tokio::test]
async fn what_was_paid_before_the_crash_is_redeemed_by_the_next_process() {
    for point in ["after_w2", "before_redeem", "after_redeem"] {
        let Crash { world, seller, purchase } = crash(point, Some("paid")).await;
        let purchase = purchase.expect("an id");
        let host = world.host().await;
        host.call("get_balance", json!({})).await;
        until_state(&world, &purchase, "delivered").await;
        assert_eq!((world.spent_msat(), world.wallet().pay_events().len()), (PRICE, 1), "{point}");
        let told = host.fetch(json!({ "url": seller.url("/a") })).await;
        assert_eq!((told.outcome(), told.purchase()), ("stored", purchase.as_str()), "{point}: {}", told.text());
        assert_has_data(&told, point);
        assert_eq!(world.spent_msat(), PRICE, "{point}");
        world.verify_money().await;
    }
}

/// Negative control: a buyer without a ledger, cut off at the same moment, pays a second time.
#[tokio::test]
async fn control_a_naive_buyer_killed_while_paying_pays_again() {
    let world = World::new().await;
    let seller = Seller::honest(world.node(), PRICE, DATA).await;
    world.wallet().next(Behaviour::slow_payment(600));
    let (url, patience) = (seller.url("/a"), std::time::Duration::from_secs(5));
    let first = Naive::new(&world, patience, u64::MAX);
    let task = tokio::spawn({
        let url = url.clone();
        async move { first.fetch(&url).await }
    });
    until("the wallet has the bytes", async || world.wallet().seen("pay_invoice") == 1).await;
    task.abort();
    let second = Naive::new(&world, patience, u64::MAX);
    assert_eq!(second.fetch(&url).await, Some(200));
    until("both payments moved", async || world.node().moved().len() == 2).await;
}

/// A second process takes over only when the first is dead: while it lives, it waits for it.
#[tokio::test]
async fn a_living_process_is_waited_for_and_a_dead_one_is_taken_over() {
    let world = World::new().await;
    let seller = Seller::honest(world.node(), PRICE, DATA).await;
    world.wallet().next(Behaviour::holds());
    let (first, second) = tokio::join!(world.host(), world.host());
    let call = || json!({ "url": seller.url("/a") });
    let (_, one) = first.begin_call("fetch_paid", call()).await;
    until("it is in flight", async || world.wallet().in_flight().len() == 1).await;
    let (_, two) = second.begin_call("fetch_paid", call()).await;
    second.call("get_balance", json!({})).await;
    assert_eq!(seller.hits().len(), 1, "the second found the purchase and asked for no price");
    first.kill().await;
    assert!(one.await.is_err());
    let hash = world.wallet().in_flight()[0].clone();
    assert!(world.wallet().release(&hash));
    let told = Told { raw: two.await.expect("an answer")["result"].clone() };
    assert_has_data(&told, "taken over");
    assert_eq!((world.node().moved().len(), world.wallet().pay_events().len()), (1, 1));
    world.verify_money().await;
}

/// Contracts, Idempotency: an answer that was computed and never written counts as not given.
#[tokio::test]
async fn an_answer_that_was_never_read_is_given_again_and_one_that_was_read_is_not() {
    let world = World::new().await;
    // A token for one call only, so that a new request would show as a new payment.
    let node = world.node().clone();
    let used = std::sync::Mutex::new(std::collections::HashSet::new());
    let seller = Seller::start(move |hit| {
        if let Some((token, _)) = hit.credential()
            && used.lock().unwrap().insert(token)
        {
            return support::Reply::ok(DATA);
        }
        let invoice = node.invoice(PRICE, "once", 600).expect("an invoice");
        support::Reply::l402(&support::seller::token_for(&invoice.payment_hash), &invoice.bolt11)
    })
    .await;
    let call = || json!({ "url": seller.url("/a") });
    let deaf = Host::start_deaf(&world.envs()).await;
    deaf.fill_the_pipe().await;
    deaf.begin_call_deaf("fetch_paid", call()).await;
    until("it is delivered", async || money::states(&world).await == ["delivered"]).await;
    deaf.kill().await;
    assert_eq!(world.spent_msat(), PRICE);
    let host = world.host().await;
    let told = host.fetch(call()).await;
    assert_eq!(told.outcome(), "stored", "{}", told.text());
    assert_has_data(&told, "not read");
    assert_eq!(world.spent_msat(), PRICE);
    support::until_answered(&world, told.purchase()).await;
    let anew = host.fetch(call()).await;
    assert_eq!(anew.outcome(), "bought", "{}", anew.text());
    assert_eq!(world.spent_msat(), 2 * PRICE, "an equal call after a read answer is a new request");
    until_state(&world, anew.purchase(), "delivered").await;
    world.verify_money().await;
}

/// A mistake in the code after the money was held is no end of the server: it is answered as an error, and the same server
/// goes on with the purchase as another one would after a crash.
#[tokio::test]
async fn a_panic_while_paying_is_an_error_and_the_same_server_ends_with_the_data_for_one_payment() {
    for (point, _) in POINTS.into_iter().filter(|(_, left)| left.is_some()) {
        for era in [Era::Handshake, Era::Stateless] {
            let world = World::new().await;
            let seller = Seller::honest(world.node(), PRICE, DATA).await;
            let host = world.host_panicking_at(point, era).await;
            let told = host.fetch(json!({ "url": seller.url("/a") })).await;
            assert!(told.is_error(), "{point} {era:?}: {}", told.raw);
            assert!(
                !told.raw.to_string().contains(".rs") && !told.raw.to_string().contains("panicked"),
                "{}",
                told.raw
            );
            assert!(!told.say().starts_with("Nothing was paid"), "{point}: money may have left: {}", told.say());
            let held = money::purchases(&world).await;
            assert_eq!(held.len(), 1, "{point}");
            let mut told = host.fetch(json!({ "url": seller.url("/a") })).await;
            while told.outcome() == "pending" {
                told = host.fetch(json!({ "url": seller.url("/a") })).await;
            }
            assert_has_data(&told, point);
            assert_eq!((world.spent_msat(), world.wallet().pay_events().len()), (PRICE, 1), "{point} {era:?}");
            world.verify_money().await;
            assert!(host.close().await.success(), "{point}");
        }
    }
}
