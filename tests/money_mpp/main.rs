//! MPP over Lightning, with real money moving in the play network: one payment for each answer, whatever a seller says.
//!
//! The hazards of paying by MPP, and the tests that assert what moved:
//!
//! | hazard | test |
//! |---|---|
//! | 1 a fresh 402 behind each payment | `hazard_1_a_seller_that_answers_every_payment_with_a_fresh_402_is_paid_once`, `hazards::hazard_1_of_36_calls_...`, `money_mpp_signed::hazard_1_...` |
//! | 2 an invoice above its challenge | `hazard_2_a_cheap_challenge_with_a_dear_invoice_moves_nothing` |
//! | 3, 4, 7, 11 sessions | `money_session`, `protocol_mpp::session` |
//! | 5 a failure after paying | `hazard_5_and_14_a_failure_after_paying_is_asked_again_with_the_same_credential` |
//! | 6 budgets at once | `hazards::hazard_6_calls_at_once_stop_exactly_at_the_budget` |
//! | 8 where a credential goes | `hazards::hazard_8_a_credential_follows_no_redirect_to_another_origin` |
//! | 9 headers | `hazards::hazard_9_a_challenge_is_found_among_all_that_is_broken_and_paid_at_its_own_price`, `protocol_mpp::vectors` |
//! | 10 nonces and echoes | `hazards::hazard_10_what_a_challenge_says_is_repeated_byte_for_byte`, `money_mpp_signed::hazard_10_...` |
//! | 12 invoices that nobody pays | `hazards::hazard_12_a_look_and_a_purchase_mint_one_invoice_each` |
//! | 13 a challenge beside any status | `asked_again::hazard_13_...`, `hazard_13_a_403_without_a_challenge_after_paying_is_no_reason_to_pay_again` |
//! | 14 secrets said back | `hazard_5_and_14_...` |
//! | 15 a seller's words | `hazards::hazard_15_a_sellers_words_are_bounded_data_and_pay_nothing` |
//! | 16 a far end | `money_mpp_signed::hazard_16_a_signature_dies_soon_whatever_end_a_seller_names` |
//! | 17 a proof for another host | `money_mpp_signed::hazard_17_a_proof_is_signed_for_the_host_that_was_asked_and_for_no_other` |
//! | 18 plain HTTP | `hazards::hazard_18_plain_http_is_refused_except_on_loopback` |
//! | 19 siblings with invoices of their own | `many_doors::hazard_19_of_all_dialects_...`, `hazards::hazard_19_of_two_charges_...` |
//! | 20 another body | `hazard_20_the_paid_request_is_the_first_one_byte_for_byte` |

#[path = "../support/mod.rs"]
mod support;

mod asked_again;
mod hazards;
mod many_doors;

use bursar::{
    clock::Clock,
    protocol::mpp::{canonical, decode, encode},
    sandbox::{
        PlayNode,
        mpp_shop::{MppShop, MppShopOptions},
    },
};
use serde_json::{Value, json};
use support::{Hit, Naive, Reply, Seller, World, money, seller::token_for, until_answered};

const PRICE: u64 = 21_000;
const DATA: &str = r#"{"data":"a"}"#;

/// A challenge line for an invoice of the play network.
fn line(node: &PlayNode, id: &str, msat: u64) -> String {
    let made = node.invoice(msat, "mpp", 600).expect("an invoice");
    let request = json!({
        "amount": (msat / 1000).to_string(), "currency": "sat",
        "methodDetails": { "invoice": made.bolt11, "paymentHash": made.payment_hash, "network": "regtest" },
    });
    let request = encode(canonical(&request.to_string()).expect("json").as_bytes());
    format!(r#"Payment id="{id}", realm="127.0.0.1", method="lightning", intent="charge", request="{request}""#)
}

fn asks(node: &PlayNode, n: usize) -> Reply {
    Reply::status(402, "").header("www-authenticate", &line(node, &format!("c{n}"), PRICE))
}

/// The preimage of a Payment credential.
fn preimage(hit: &Hit) -> Option<String> {
    let blob = hit.headers.get("authorization")?.to_str().ok()?.strip_prefix("Payment ")?.to_owned();
    let whole: Value = serde_json::from_slice(&decode(&blob)?).ok()?;
    whole["payload"]["preimage"].as_str().map(str::to_owned)
}

fn credentials(seller: &Seller) -> std::collections::BTreeSet<String> {
    seller.hits().iter().filter_map(preimage).collect()
}

/// A seller that says `after` to whoever paid.
async fn sour(world: &World, after: impl Fn(&Hit, &PlayNode) -> Reply + Send + Sync + 'static) -> Seller {
    let node = world.node().clone();
    Seller::start(move |hit| if preimage(hit).is_some() { after(hit, &node) } else { asks(&node, hit.n) }).await
}

async fn shop(world: &World, options: MppShopOptions) -> MppShop {
    MppShop::start(world.node().clone(), Clock::system(), options).await.expect("the shop opens")
}

#[tokio::test]
async fn a_charge_is_bought_once_and_the_next_call_buys_the_next() {
    for options in [
        MppShopOptions::default(),
        MppShopOptions { own_header: true, ..MppShopOptions::default() },
        MppShopOptions { receipts: false, ..MppShopOptions::default() },
    ] {
        let world = World::new().await;
        let shop = shop(&world, options).await;
        let host = world.host().await;
        let told = host.fetch(json!({ "url": format!("{}/rates", shop.url()) })).await;
        assert_eq!(told.outcome(), "bought", "{}", told.text());
        assert!(told.text().contains("the answer you paid for"));
        assert_eq!((world.spent_msat(), shop.served("/rates")), (PRICE, 1));
        until_answered(&world, told.purchase()).await;
        // The challenge is used up, which the shop says before anything is paid.
        let next = host.fetch(json!({ "url": format!("{}/rates", shop.url()) })).await;
        assert_eq!((next.outcome(), world.spent_msat()), ("bought", 2 * PRICE), "{}", next.text());
        assert_ne!(next.purchase(), told.purchase());
        world.verify_money().await;
    }
}

/// Facts 4, hazard 1: a fresh 402 behind each payment. Reference clients paid three times on one fetch, and 54 times in
/// 36 calls.
#[tokio::test]
async fn hazard_1_a_seller_that_answers_every_payment_with_a_fresh_402_is_paid_once() {
    let world = World::new().await;
    let seller = sour(&world, |hit, node| asks(node, hit.n)).await;
    let host = world.host().await;
    let told = host.fetch(json!({ "url": seller.url("/a") })).await;
    assert_eq!(told.outcome(), "undelivered", "{}", told.text());
    for _ in 0..3 {
        let again = host.fetch(json!({ "url": seller.url("/a") })).await;
        assert_eq!((again.outcome(), again.purchase()), ("undelivered", told.purchase()), "{}", again.text());
    }
    let other = host.fetch(json!({ "url": seller.url("/b") })).await;
    assert_eq!(other.facts()["code"], "seller_cooling_down", "{}", other.text());
    assert_eq!((world.spent_msat(), credentials(&seller).len()), (PRICE, 1), "one payment, one credential");
    world.verify_money().await;
}

/// The negative control: a buyer that pays whatever 402 it gets.
#[tokio::test]
async fn control_a_naive_buyer_pays_a_seller_of_fresh_402s_each_time() {
    let world = World::new().await;
    let node = world.node().clone();
    let seller = Seller::start(move |_| {
        let invoice = node.invoice(PRICE, "l402", 600).expect("an invoice");
        Reply::l402(&token_for(&invoice.payment_hash), &invoice.bolt11)
    })
    .await;
    let naive = Naive::new(&world, std::time::Duration::from_secs(5), u64::MAX);
    for _ in 0..3 {
        naive.fetch(&seller.url("/a")).await;
    }
    assert_eq!(world.spent_msat(), 3 * PRICE);
}

/// Facts 4, hazard 2: the challenge says 1 sat and the invoice 50,000.
#[tokio::test]
async fn hazard_2_a_cheap_challenge_with_a_dear_invoice_moves_nothing() {
    let world = World::new().await;
    let node = world.node().clone();
    let seller = Seller::start(move |_| {
        let made = node.invoice(50_000_000, "x", 600).expect("an invoice");
        let request = json!({"amount": "1", "currency": "sat", "methodDetails": {"invoice": made.bolt11}});
        let request = encode(request.to_string().as_bytes());
        let line = format!(r#"Payment id="1", realm="r", method="lightning", intent="charge", request="{request}""#);
        Reply::status(402, "").header("www-authenticate", &line)
    })
    .await;
    let told = world.host().await.fetch(json!({ "url": seller.url("/a") })).await;
    assert_eq!(told.facts()["code"], "amount_mismatch", "{}", told.text());
    assert_eq!(world.spent_msat(), 0);
}

/// Facts 4, hazards 5 and 14: the seller fails after it was paid, and says the preimage back. The same credential is
/// shown again, free of charge, and nobody sees it.
#[tokio::test]
async fn hazard_5_and_14_a_failure_after_paying_is_asked_again_with_the_same_credential() {
    let world = World::new().await;
    let well = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let recovered = well.clone();
    let seller = sour(&world, move |hit, _| {
        let preimage = preimage(hit).unwrap_or_default();
        match recovered.load(std::sync::atomic::Ordering::SeqCst) {
            true => Reply::ok(format!(r#"{{"data":"a","echo":"{preimage}"}}"#)),
            false => Reply::status(500, format!(r#"{{"detail":"sha256({preimage}) is not known"}}"#)),
        }
    })
    .await;
    let host = world.host().await;
    let told = host.fetch(json!({ "url": seller.url("/a") })).await;
    assert_eq!(told.outcome(), "undelivered", "{}", told.text());
    well.store(true, std::sync::atomic::Ordering::SeqCst);
    let data = host.fetch(json!({ "result_id": told.purchase() })).await;
    assert!(data.text().contains(r#""data":"a""#), "{}", data.text());
    let secret = credentials(&seller).into_iter().next().expect("a credential");
    for shown in [told.raw.to_string(), data.raw.to_string(), host.log.lock().expect("a log").clone()] {
        assert!(!shown.contains(&secret), "the preimage is a bearer secret: {shown}");
    }
    assert_eq!((world.spent_msat(), credentials(&seller).len()), (PRICE, 1));
    world.verify_money().await;
}

/// Facts 4, hazard 13, and the servers' "403, no challenge" to a credential they have seen.
#[tokio::test]
async fn hazard_13_a_403_without_a_challenge_after_paying_is_no_reason_to_pay_again() {
    let world = World::new().await;
    let seller = sour(&world, |_, _| Reply::status(403, r#"{"detail":"replayed"}"#)).await;
    let host = world.host().await;
    let told = host.fetch(json!({ "url": seller.url("/a") })).await;
    assert_eq!(told.outcome(), "undelivered", "{}", told.text());
    let again = host.fetch(json!({ "url": seller.url("/a") })).await;
    assert_eq!((again.purchase(), world.spent_msat()), (told.purchase(), PRICE), "{}", again.text());
}

/// Facts 4, hazard 20: what is sent with the credential is the very request that the price was asked for.
#[tokio::test]
async fn hazard_20_the_paid_request_is_the_first_one_byte_for_byte() {
    let world = World::new().await;
    let seller = sour(&world, |_, _| Reply::ok(DATA)).await;
    let body = "{ \"q\" :  \"caf\u{e9}\" }";
    let ask = json!({ "url": seller.url("/a?x=1&x=2"), "method": "POST", "body": body });
    let told = world.host().await.fetch(ask).await;
    assert_eq!(told.outcome(), "bought", "{}", told.text());
    let hits = seller.hits();
    assert_eq!((hits.len(), hits[0].paid(), hits[1].paid()), (2, false, true));
    assert_eq!((&hits[0].body, &hits[0].uri, &hits[0].method), (&hits[1].body, &hits[1].uri, &hits[1].method));
    assert_eq!(hits[1].body, body.as_bytes());
    assert_eq!(world.spent_msat(), PRICE);
    world.verify_money().await;
}

/// A challenge ends before the invoice in it. Who says yes after that pays nothing, since nothing would open.
#[tokio::test]
async fn a_yes_that_comes_after_the_challenge_ended_pays_nothing() {
    let world = World::with("[approval]\nabove = { sat = \"20\" }\n").await;
    let node = world.node().clone();
    let seller = Seller::start(move |hit| {
        // A payment needs 20 s of what is left.
        let ends = rfc3339(Clock::system().now_s() + 22);
        let line = format!(r#"{}, expires="{ends}""#, line(&node, &format!("c{}", hit.n), PRICE));
        Reply::status(402, "").header("www-authenticate", &line)
    })
    .await;
    let host = world.host().await;
    let told = host.fetch(json!({ "url": seller.url("/a") })).await;
    assert_eq!(told.outcome(), "awaiting_approval", "{}", told.text());
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    let (code, out, log) = world.run(&["approve", told.purchase()]).await;
    assert_eq!(code, 0, "{out}{log}");
    let told = host.fetch(json!({ "url": seller.url("/a") })).await;
    assert!(told.text().contains("too late"), "{}", told.text());
    assert_eq!((world.spent_msat(), money::states(&world).await), (0, vec!["failed".to_owned()]));
    world.verify_money().await;
}

/// RFC 3339, by way of the date that HTTP has.
fn rfc3339(unix_s: u64) -> String {
    let at = std::time::UNIX_EPOCH + std::time::Duration::from_secs(unix_s);
    let date = httpdate::fmt_http_date(at);
    let parts: Vec<&str> = date.split(' ').collect();
    let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month = months.iter().position(|m| *m == parts[2]).expect("a month") + 1;
    format!("{}-{month:02}-{}T{}Z", parts[3], parts[1], parts[4])
}
