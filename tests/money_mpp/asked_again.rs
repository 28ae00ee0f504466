//! A demand for payment is known by its challenge, whatever status it comes with: beside a credential that was used up, and
//! after a payment.

use bursar::clock::Clock;
use serde_json::json;

use super::{
    DATA, PRICE, asks, credentials, line, preimage, rfc3339, sour,
    support::{Reply, Seller, World, money, until_answered},
};

/// What a server says with a fresh challenge to a credential that it does not take, as mppx 0.11 does with 500.
fn beside(status: u16, challenge: &str) -> Reply {
    let problem = json!({ "type": "https://paymentauth.org/problems/internal-payment-error", "status": status });
    Reply::status(status, problem.to_string()).header("www-authenticate", challenge)
}

/// A seller that takes each credential once, and answers a used one as it is told.
pub(super) async fn once_each(world: &World, used: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Seller {
    let node = world.node().clone();
    let seen = std::sync::Mutex::new(std::collections::HashSet::new());
    Seller::start(move |hit| {
        let fresh = line(&node, &format!("c{}", hit.n), PRICE);
        match preimage(hit) {
            Some(preimage) if seen.lock().unwrap().insert(preimage.clone()) => Reply::ok(DATA),
            Some(_) => used(&fresh),
            None if hit.uri.path() == "/free" => Reply::ok("{}"),
            None => Reply::status(402, "").header("www-authenticate", &fresh),
        }
    })
    .await
}

#[tokio::test]
async fn a_used_credential_that_meets_a_failure_hides_no_later_answer_and_no_later_price() {
    type Says = fn(&str) -> Reply;
    let says: [(&str, Says); 5] = [
        ("500 and a challenge", |fresh| beside(500, fresh)),
        ("410 and a challenge", |fresh| beside(410, fresh)),
        ("500", |_| Reply::status(500, "{}")),
        ("403", |_| Reply::status(403, "{}")),
        ("400", |_| Reply::status(400, "{}")),
    ];
    for (name, used) in says {
        let world = World::new().await;
        let seller = once_each(&world, used).await;
        let host = world.host().await;
        let told = host.fetch(json!({ "url": seller.url("/a") })).await;
        assert_eq!(told.outcome(), "bought", "{name}: {}", told.text());
        until_answered(&world, told.purchase()).await;
        let free = host.fetch(json!({ "url": seller.url("/free") })).await;
        assert_eq!((free.outcome(), world.spent_msat()), ("free", PRICE), "{name}: {}", free.text());
        let next = host.fetch(json!({ "url": seller.url("/a") })).await;
        assert_eq!((next.outcome(), world.spent_msat()), ("bought", 2 * PRICE), "{name}: {}", next.text());
        assert_ne!(next.purchase(), told.purchase());
        assert_eq!(credentials(&seller).len(), 2, "{name}: one payment, one credential");
        world.verify_money().await;
    }
}

/// The negative control: where the seller fails for everybody, its failure is handed over, and nothing is paid for it.
#[tokio::test]
async fn a_seller_that_fails_with_and_without_a_credential_is_asked_twice_and_paid_nothing() {
    let world = World::new().await;
    let node = world.node().clone();
    let down = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let is_down = down.clone();
    let seller = Seller::start(move |hit| match preimage(hit) {
        _ if is_down.load(std::sync::atomic::Ordering::SeqCst) => Reply::status(503, "{}"),
        Some(_) => Reply::ok(DATA),
        None => asks(&node, hit.n),
    })
    .await;
    let host = world.host().await;
    let told = host.fetch(json!({ "url": seller.url("/a") })).await;
    until_answered(&world, told.purchase()).await;
    down.store(true, std::sync::atomic::Ordering::SeqCst);
    let before = seller.hits().len();
    let next = host.fetch(json!({ "url": seller.url("/a") })).await;
    assert_eq!((next.outcome(), world.spent_msat()), ("free", PRICE), "{}", next.text());
    assert!(next.text().contains("503"), "{}", next.text());
    let hits = &seller.hits()[before..];
    assert_eq!(hits.iter().map(|hit| hit.paid()).collect::<Vec<_>>(), [true, false], "with it, and then once bare");
}

/// Facts 4, hazard 13: a challenge that comes beside any status after a payment is a second demand. It is not what was
/// bought, it is not paid, and the seller cools down.
#[tokio::test]
async fn hazard_13_whatever_status_a_challenge_comes_with_after_paying_it_is_no_answer_and_no_reason_to_pay() {
    let world = World::new().await;
    let host = world.host().await;
    let one = async |status: u16| {
        let seller = sour(&world, move |hit, node| beside(status, &line(node, &format!("c{}", hit.n), PRICE))).await;
        let told = host.fetch(json!({ "url": seller.url("/a") })).await;
        assert_eq!(told.outcome(), "undelivered", "{status}: {}", told.text());
        let again = host.fetch(json!({ "url": seller.url("/a") })).await;
        assert_eq!((again.outcome(), again.purchase()), ("undelivered", told.purchase()), "{status}");
        let other = host.fetch(json!({ "url": seller.url("/b") })).await;
        assert_eq!(other.facts()["code"], "seller_cooling_down", "{status}: {}", other.text());
        assert_eq!(credentials(&seller).len(), 1, "{status}: one credential, shown again");
    };
    let statuses = [500, 410, 400, 404, 409, 303];
    futures_util::future::join_all(statuses.map(one)).await;
    assert_eq!(world.spent_msat(), PRICE * statuses.len() as u64, "one payment each");
    world.verify_money().await;
}

/// The negative control: without a challenge a 404 is the seller's answer to what was asked.
#[tokio::test]
async fn control_a_404_without_a_challenge_after_paying_is_the_answer() {
    let world = World::new().await;
    let seller = sour(&world, |_, _| Reply::status(404, r#"{"error":"no such city"}"#)).await;
    let told = world.host().await.fetch(json!({ "url": seller.url("/a") })).await;
    assert_eq!((told.outcome(), world.spent_msat()), ("bought", PRICE), "{}", told.text());
    assert_eq!(money::states(&world).await, ["delivered"]);
}

/// A request that does something is not sent again and again to a seller that fails while it does it.
#[tokio::test]
async fn a_post_that_meets_500_and_a_challenge_after_paying_is_not_repeated() {
    let world = World::new().await;
    let seller = sour(&world, |hit, node| beside(500, &line(node, &format!("c{}", hit.n), PRICE))).await;
    let told = world.host().await.fetch(json!({ "url": seller.url("/a"), "json": { "do": "it" } })).await;
    assert_eq!(told.outcome(), "undelivered", "{}", told.text());
    assert_eq!((seller.hits().len(), world.spent_msat()), (2, PRICE));
}

/// The same before anything is paid: a used credential that meets a bare 500 may have begun something, so that the failure
/// is the answer. The next call goes without it.
#[tokio::test]
async fn a_post_whose_used_credential_meets_a_bare_500_is_not_sent_again_by_itself() {
    let world = World::new().await;
    let seller = once_each(&world, |_| Reply::status(500, "{}")).await;
    let host = world.host().await;
    let ask = json!({ "url": seller.url("/a"), "json": { "do": "it" } });
    let told = host.fetch(ask.clone()).await;
    assert_eq!(told.outcome(), "bought", "{}", told.text());
    until_answered(&world, told.purchase()).await;
    let before = seller.hits().len();
    let failed = host.fetch(ask.clone()).await;
    assert_eq!((failed.outcome(), world.spent_msat()), ("token", PRICE), "{}", failed.text());
    assert_eq!(seller.hits().len() - before, 1, "once");
    let next = host.fetch(ask).await;
    assert_eq!((next.outcome(), world.spent_msat()), ("bought", 2 * PRICE), "{}", next.text());
    world.verify_money().await;
}

/// A credential ends with its challenge, so that no later call shows it.
#[tokio::test]
async fn a_credential_is_kept_no_longer_than_its_challenge_lives() {
    let world = World::new().await;
    let node = world.node().clone();
    let end = Clock::system().now_s() + 120;
    let seller = Seller::start(move |hit| match preimage(hit) {
        Some(_) => Reply::ok(DATA),
        None => {
            let line = format!(r#"{}, expires="{}""#, line(&node, &format!("c{}", hit.n), PRICE), rfc3339(end));
            Reply::status(402, "").header("www-authenticate", &line)
        }
    })
    .await;
    let told = world.host().await.fetch(json!({ "url": seller.url("/a") })).await;
    assert_eq!(told.outcome(), "bought", "{}", told.text());
    let origin = seller.url("");
    let kept = world.ledger().credential("local", &origin, "/a").await.expect("a ledger");
    assert!(kept.is_some(), "while it lives it may be tried");
    let later = Clock::manual((end + 1) * 1000);
    let limits = bursar::config::LimitTable::default();
    let ledger = bursar::ledger::Ledger::open(&world.home(), limits, later).expect("the ledger opens");
    assert!(ledger.credential("local", &origin, "/a").await.expect("a ledger").is_none(), "and never after");
}
