//! What a seller may do with the money: deliver, fail, ask for more, point elsewhere, and say that a token ran out.

mod support;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use futures_util::future::join_all;

use bursar::sandbox::{JamieMode, PlayNode};
use serde_json::json;
use support::{
    Gate, Hit, Naive, Reply, Seller, World, money,
    seller::{opens, token_for},
    until, until_answered,
};

const DATA: &str = r#"{"data":"a"}"#;
const PRICE: u64 = 21_000;

fn asks(node: &PlayNode) -> Reply {
    let invoice = node.invoice(PRICE, "l402", 600).expect("an invoice");
    Reply::l402(&token_for(&invoice.payment_hash), &invoice.bolt11)
}

/// A seller that says `after` to a paid request until it is told to recover.
async fn sour(
    world: &World,
    after: impl Fn(&Hit, &PlayNode) -> Reply + Send + Sync + 'static,
) -> (Seller, Arc<AtomicBool>) {
    let (node, well) = (world.node().clone(), Arc::new(AtomicBool::new(false)));
    let recovered = well.clone();
    let seller = Seller::start(move |hit| match hit.credential() {
        Some((_, preimage)) if opens(&node, &preimage) => {
            if recovered.load(Ordering::SeqCst) {
                Reply::ok(DATA)
            } else {
                after(hit, &node)
            }
        }
        _ => asks(&node),
    })
    .await;
    (seller, well)
}

fn credentials(seller: &Seller) -> std::collections::BTreeSet<(String, String)> {
    seller.hits().iter().filter_map(Hit::credential).collect()
}

/// A18, hazard 5: the seller takes the money and asks again. It gets no more; the same receipt opens it later.
#[tokio::test]
async fn a_seller_that_asks_again_after_paying_is_never_paid_again() {
    let cases = [402, 401].into_iter().map(async |status| {
        let world = World::new().await;
        let (seller, well) = sour(&world, move |_, node| Reply { status, ..asks(node) }).await;
        let host = world.host().await;
        let told = host.fetch(json!({ "url": seller.url("/a") })).await;
        assert_eq!(told.outcome(), "undelivered", "{}", told.text());
        assert!(told.is_error() && told.say().contains("not paid again") && told.say().contains(told.purchase()));
        assert_eq!(told.facts()["paid_now"], "21 sat", "{}", told.facts());
        for _ in 0..2 {
            let again = host.fetch(json!({ "url": seller.url("/a") })).await;
            assert_eq!((again.outcome(), again.purchase()), ("undelivered", told.purchase()), "{}", again.text());
            assert_eq!(again.facts()["paid_now"], "0 sat");
        }
        let elsewhere = host.fetch(json!({ "url": seller.url("/other") })).await;
        assert_eq!(elsewhere.facts()["code"], "seller_cooling_down", "{}", elsewhere.text());
        assert!(elsewhere.say().contains(told.purchase()), "{}", elsewhere.say());
        assert_eq!((world.spent_msat(), credentials(&seller).len()), (PRICE, 1), "one payment, one credential");
        assert!(host.close().await.success());
        let host = world.host().await;
        well.store(true, Ordering::SeqCst);
        let data = host.fetch(json!({ "result_id": told.purchase() })).await;
        assert!(data.text().contains(DATA), "{}", data.text());
        assert_eq!((world.spent_msat(), credentials(&seller).len()), (PRICE, 1), "the same credential");
        assert_eq!(money::states(&world).await, ["delivered"]);
        until_answered(&world, told.purchase()).await;
        let other = host.fetch(json!({ "url": seller.url("/other") })).await;
        assert!(other.text().contains(DATA) && world.spent_msat() == PRICE, "its token opens more: {}", other.text());
        world.verify_money().await;
    });
    join_all(cases).await;
}

/// Negative control to A18: a buyer that pays whatever 402 it gets pays at each call.
#[tokio::test]
async fn control_a_naive_buyer_pays_a_seller_that_asks_again_each_time() {
    let world = World::new().await;
    let (seller, _) = sour(&world, |_, node| asks(node)).await;
    let naive = Naive::new(&world, std::time::Duration::from_secs(5), u64::MAX);
    for _ in 0..3 {
        assert_eq!(naive.fetch(&seller.url("/a")).await, Some(402));
    }
    assert_eq!(world.spent_msat(), 3 * PRICE);
}

/// Hazard 26: a seller that hears of the payment a moment late is shown the same credential again.
#[tokio::test]
async fn a_seller_that_hears_of_the_payment_late_delivers_for_one_payment() {
    let world = World::new().await;
    let times = AtomicUsize::new(0);
    let (seller, _) = sour(
        &world,
        move |_, node| {
            if times.fetch_add(1, Ordering::SeqCst) < 2 { asks(node) } else { Reply::ok(DATA) }
        },
    )
    .await;
    let host = world.host().await;
    let told = host.fetch(json!({ "url": seller.url("/a") })).await;
    assert_eq!(told.outcome(), "bought", "{}", told.text());
    assert_eq!((world.spent_msat(), credentials(&seller).len()), (PRICE, 1));
    world.verify_money().await;
}

/// Hazard 4: paid, and the seller breaks. A GET is repeated a little, a POST is not; nothing is paid again, and the
/// same receipt opens it later.
#[tokio::test]
async fn a_seller_that_breaks_after_paying_is_asked_again_with_the_same_receipt() {
    let broken: [fn() -> Reply; 3] =
        [|| Reply::status(500, "oops"), || Reply::status(503, "later"), || Reply { hang_up: true, ..Reply::default() }];
    for (n, fails) in broken.into_iter().enumerate() {
        for post in [false, true] {
            let world = World::new().await;
            let (seller, well) = sour(&world, move |_, _| fails()).await;
            let host = world.host().await;
            let call = || {
                let mut call = json!({ "url": seller.url("/a") });
                if post {
                    call["method"] = json!("POST");
                    call["json"] = json!({ "q": 1 });
                }
                call
            };
            let told = host.fetch(call()).await;
            assert_eq!(told.outcome(), "undelivered", "{n} {post}: {}", told.text());
            assert_eq!(told.facts()["paid_now"], "21 sat");
            let shown = seller.hits().iter().filter(|h| h.paid()).count();
            assert_eq!(shown, if post { 1 } else { 3 }, "{n} {post}: how often the receipt was shown");
            let again = host.fetch(call()).await;
            assert_eq!((again.outcome(), again.purchase()), ("undelivered", told.purchase()), "{}", again.text());
            well.store(true, Ordering::SeqCst);
            let data = host.fetch(call()).await;
            assert!(data.text().contains(DATA), "{n} {post}: {}", data.text());
            assert_eq!((world.spent_msat(), credentials(&seller).len()), (PRICE, 1), "{n} {post}");
            if post {
                let bodies: std::collections::BTreeSet<_> = seller.hits().iter().map(|h| h.body.clone()).collect();
                let keys: std::collections::BTreeSet<_> = seller
                    .hits()
                    .iter()
                    .filter_map(|h| h.headers.get("idempotency-key").cloned().map(|v| v.to_str().unwrap().to_owned()))
                    .collect();
                // The price was asked for once; what is shown with the receipt is that very request, byte for byte.
                assert_eq!((bodies.len(), keys.len()), (1, 1), "{n}: {keys:?}");
            }
            world.verify_money().await;
        }
    }
}

/// Rule 7, hazard 18 and 19: the paid answer points to another host. The credential does not go there, nor does money.
#[tokio::test]
async fn a_redirect_after_paying_takes_no_credential_to_another_host() {
    for status in [301, 302, 303, 307, 308] {
        let world = World::new().await;
        let thief = Seller::start(|_| Reply::ok("stolen")).await;
        let to = thief.url("/landing");
        let (seller, _) = sour(&world, move |_, _| Reply::status(status, "moved").header("location", &to)).await;
        let host = world.host().await;
        let told = host.fetch(json!({ "url": seller.url("/a") })).await;
        assert_eq!(told.outcome(), "bought", "{status}: {}", told.text());
        assert!(told.say().contains(&thief.url("/landing")), "{status}: {}", told.say());
        assert!(!told.text().contains("stolen"), "{}", told.text());
        let leaked = thief.hits().iter().filter(|h| h.paid() || h.headers.contains_key("cookie")).count();
        assert_eq!((leaked, thief.hits().len(), world.spent_msat()), (0, 0, PRICE), "{status}");
        world.verify_money().await;
    }
}

/// An error after paying is an answer too: the money is spent, and the model is told so.
#[tokio::test]
async fn a_404_after_paying_is_delivered_and_the_money_is_told() {
    let world = World::new().await;
    let (seller, _) = sour(&world, |_, _| Reply::status(404, "no such thing")).await;
    let host = world.host().await;
    let told = host.fetch(json!({ "url": seller.url("/a") })).await;
    assert_eq!(told.outcome(), "bought", "{}", told.text());
    assert!(told.is_error() && told.say().contains("404") && told.say().contains("money is spent"), "{}", told.say());
    assert!(told.text().contains("no such thing"));
    assert_eq!((world.spent_msat(), money::states(&world).await), (PRICE, vec!["delivered".to_owned()]));
    world.verify_money().await;
}

/// Hazard 23: a token that is good for a number of calls runs out. That is a new purchase, said as such.
#[tokio::test]
async fn a_metered_token_that_ran_out_is_a_new_purchase_and_said_as_such() {
    let world = World::new().await;
    let host = world.host().await;
    let url = format!("{}/v1/metered/x", world.sandbox.aperture_url());
    let mut outcomes = Vec::new();
    for n in 0..12 {
        let told = host.fetch(json!({ "url": url, "purpose": format!("call {n}") })).await;
        assert!(!told.is_error(), "{}", told.text());
        if told.outcome() == "bought" {
            until_answered(&world, told.purchase()).await;
        }
        outcomes.push(told.outcome().to_owned());
    }
    let bought = outcomes.iter().filter(|o| *o == "bought").count() as u64;
    assert_eq!((bought, world.spent_msat()), (3, 3 * 21_000), "five calls each: {outcomes:?}");
    assert_eq!(outcomes[5], "bought");
    let mut why = Vec::new();
    for row in money::purchases(&world).await {
        let id = row.purchase.expect("an id").parse().expect("an id");
        why.push(world.ledger().find(id).await.expect("readable").expect("there").chosen_why);
    }
    assert!(!why[0].contains("ran out") && why[1].contains("ran out"), "{why:?}");
    world.verify_money().await;
}

/// Hazard 17: tokens of one path do not open another, and going back and forth does not pay back and forth.
#[tokio::test]
async fn tokens_for_single_paths_are_bought_once_for_each_path() {
    let world = World::new().await;
    let host = world.host().await;
    let url = |path: &str| format!("{}/v1/dynamic/{path}", world.sandbox.aperture_url());
    for round in 0..4 {
        for path in ["a", "b", "c"] {
            let told = host.fetch(json!({ "url": url(path) })).await;
            assert!(!told.is_error(), "{}", told.text());
            let expected = if round == 0 { "bought" } else { "token" };
            assert_eq!(told.outcome(), expected, "round {round}, {path}: {}", told.text());
            if round == 0 {
                until_answered(&world, told.purchase()).await;
            }
        }
    }
    assert_eq!(world.spent_msat(), 3 * 21_000);
    world.verify_money().await;
}

/// Jamie's credit model: a token is credit, and when it is used up, the next call is a new purchase.
#[tokio::test]
async fn used_up_credit_is_a_new_purchase() {
    let mut world = World::with("[sellers]\nfree = \"never\"\n").await;
    world.env("BURSAR_SESSION", "jamie");
    let host = world.host().await;
    let url = format!("{}/api/search-quotes", world.sandbox.jamie_url());
    let mut outcomes = Vec::new();
    for n in 0..8 {
        let call = json!({ "url": url, "method": "POST", "json": { "query": format!("bitcoin {n}") } });
        let told = host.fetch(call).await;
        assert!(!told.is_error(), "{n}: {}", told.text());
        outcomes.push(told.outcome().to_owned());
    }
    let bought = outcomes.iter().filter(|o| *o == "bought").count();
    assert!(bought >= 2 && outcomes.iter().any(|o| o == "token"), "{outcomes:?}");
    assert_eq!(world.node().moved().len(), bought);
    world.verify_money().await;
}

/// Jamie treats a bad credential as none: 402 with a new price, as if nothing had been shown. That cannot become a loop.
#[tokio::test]
async fn a_credential_that_is_silently_ignored_does_not_become_a_loop() {
    let world = World::new().await;
    // It takes the money and never knows the credential, in Jamie's manner: always anonymous.
    let node = world.node().clone();
    let seller = Seller::start(move |_| asks(&node)).await;
    let host = world.host().await;
    for path in ["/a", "/a", "/b", "/c", "/a", "/d"] {
        let told = host.fetch(json!({ "url": seller.url(path) })).await;
        assert!(matches!(told.outcome(), "undelivered" | "refused"), "{}", told.text());
    }
    assert_eq!(world.spent_msat(), PRICE);
    assert!(seller.hits().len() < 40, "{} requests", seller.hits().len());
    world.verify_money().await;
}

/// Jamie's handlers break after the credit was taken: one payment, and the receipt is kept for later.
#[tokio::test]
async fn a_broken_jamie_is_paid_once() {
    let world = World::with("[sellers]\nfree = \"never\"\n").await;
    world.sandbox.jamie().set_mode(JamieMode::Broken);
    let host = world.host().await;
    let url = format!("{}/api/search-quotes", world.sandbox.jamie_url());
    let call = || json!({ "url": url, "method": "POST", "json": { "query": "bitcoin" } });
    let told = host.fetch(call()).await;
    assert_eq!(told.outcome(), "undelivered", "{}", told.text());
    let again = host.fetch(call()).await;
    assert_eq!(again.outcome(), "undelivered", "{}", again.text());
    assert_eq!(world.node().moved().len(), 1);
    world.verify_money().await;
}

/// Tokens that open only the path they were bought for; `odd` may answer a request that shows a token.
async fn per_path(world: &World, odd: impl Fn(&Hit, usize) -> Option<Reply> + Send + Sync + 'static) -> Seller {
    let node = world.node().clone();
    let (sold, shown) = (Mutex::new(HashMap::<String, String>::new()), AtomicUsize::new(0));
    Seller::start(move |hit| {
        let path = hit.uri.path().to_owned();
        if let Some((token, preimage)) = hit.credential() {
            if sold.lock().unwrap().get(&token) == Some(&path) && opens(&node, &preimage) {
                return Reply::ok(DATA);
            }
            if let Some(reply) = odd(hit, shown.fetch_add(1, Ordering::SeqCst)) {
                return reply;
            }
        }
        let invoice = node.invoice(PRICE, "l402", 600).expect("an invoice");
        let token = token_for(&invoice.payment_hash);
        sold.lock().unwrap().insert(token.clone(), path);
        Reply::l402(&token, &invoice.bolt11)
    })
    .await
}

/// An error that a token met says nothing about what the token opens: when that path asks for money later, the token has
/// not run out there, and still opens what it was bought for.
#[tokio::test]
async fn an_error_does_not_teach_that_a_token_opens_a_path() {
    for status in [400, 404, 500] {
        let world = World::new().await;
        let seller = per_path(&world, move |_, n| (n == 0).then(|| Reply::status(status, "not now"))).await;
        let host = world.host().await;
        for (path, outcome) in [("/a", "bought"), ("/b", "token"), ("/b", "bought"), ("/a", "token"), ("/b", "token")] {
            let told = host.fetch(json!({ "url": seller.url(path) })).await;
            assert_eq!(told.outcome(), outcome, "{status} {path}: {}", told.text());
            if outcome == "bought" {
                until_answered(&world, told.purchase()).await;
            }
        }
        assert_eq!(world.spent_msat(), 2 * PRICE, "{status}: once for each path");
        world.verify_money().await;
    }
}

/// A 403 or 401 to a token is a rejection: the bare request learns the price, and the token still opens its own path.
#[tokio::test]
async fn a_token_that_is_forbidden_elsewhere_is_not_shown_there_again() {
    for status in [401, 403] {
        let world = World::new().await;
        let seller = per_path(&world, move |_, _| Some(Reply::status(status, "not with this one"))).await;
        let host = world.host().await;
        for (path, outcome) in [("/a", "bought"), ("/b", "bought"), ("/b", "token"), ("/a", "token")] {
            let told = host.fetch(json!({ "url": seller.url(path) })).await;
            assert_eq!(told.outcome(), outcome, "{status} {path}: {}", told.text());
            if outcome == "bought" {
                until_answered(&world, told.purchase()).await;
            }
        }
        assert_eq!(world.spent_msat(), 2 * PRICE, "{status}: once for each path");
        world.verify_money().await;
    }
}

/// A free tier that is named and shut leads to the price; one that faults the request is the seller's answer.
#[tokio::test]
async fn a_free_tier_that_is_shut_leads_to_the_paid_offer() {
    for (status, spent) in [(401, PRICE), (402, PRICE), (403, PRICE), (429, PRICE), (503, PRICE), (404, 0)] {
        let world = World::new().await;
        let node = world.node().clone();
        let seller = Seller::start(move |hit| match hit.credential() {
            Some((_, preimage)) if opens(&node, &preimage) => {
                assert!(!hit.headers.contains_key("x-free-tier"), "what is paid for is not asked for free");
                Reply::ok(DATA)
            }
            _ if hit.headers.contains_key("x-free-tier") && status != 402 => Reply::status(status, "shut"),
            _ => Reply { body: br#"{"hint":"X-Free-Tier: true"}"#.to_vec(), ..asks(&node) }
                .header("content-type", "application/json"),
        })
        .await;
        let host = world.host().await;
        let told = host.fetch(json!({ "url": seller.url("/a") })).await;
        let outcome = if spent > 0 { "bought" } else { "free" };
        assert_eq!(told.outcome(), outcome, "{status}: {}", told.text());
        let tried = seller.hits().iter().filter(|h| h.headers.contains_key("x-free-tier")).count();
        assert_eq!((tried, world.spent_msat()), (1, spent), "{status}");
        world.verify_money().await;
    }
}

/// The seller answered and the ledger cannot write it down, for a moment: it is tried again, and the answer is not lost.
#[tokio::test]
async fn an_answer_that_the_ledger_cannot_take_at_once_is_recorded_a_moment_later() {
    let world = World::new().await;
    let gate = Gate::closed();
    let (held, node) = (gate.clone(), world.node().clone());
    let seller = Seller::start(move |hit| match hit.credential() {
        Some((_, preimage)) if opens(&node, &preimage) => Reply::ok(DATA).behind(&held),
        _ => asks(&node),
    })
    .await;
    let host = world.host().await;
    let (_, answer) = host.begin_call("fetch_paid", json!({ "url": seller.url("/a") })).await;
    until("the paid request", async || seller.hits().iter().any(Hit::paid)).await;
    let file = rusqlite::Connection::open(bursar::ledger::file(&world.home())).expect("the ledger's file");
    let full = "CREATE TRIGGER full BEFORE INSERT ON result BEGIN SELECT RAISE(ABORT, 'the disk is full'); END";
    file.execute_batch(full).expect("a trigger");
    gate.open();
    until("the first try", async || host.log.lock().unwrap().contains("could not be recorded yet")).await;
    assert_eq!(money::states(&world).await, ["paid"]);
    file.execute_batch("DROP TRIGGER full").expect("no trigger");
    let told = support::Told { raw: answer.await.expect("an answer")["result"].clone() };
    assert_eq!(told.outcome(), "bought", "{}", told.text());
    assert!(told.text().contains(DATA), "{}", told.text());
    assert_eq!(money::states(&world).await, ["delivered"]);
    assert_eq!((world.spent_msat(), seller.hits().iter().filter(|h| h.paid()).count()), (PRICE, 1));
    world.verify_money().await;
}
