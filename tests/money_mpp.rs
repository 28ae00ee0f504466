//! MPP over Lightning, with real money moving in the play network: one payment for each answer, whatever a seller says.

mod support;

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

/// Several dialects on one 402, each with an invoice of its own: one is paid, and the reason is in the ledger.
#[tokio::test]
async fn of_all_dialects_on_one_answer_exactly_one_is_paid() {
    let world = World::new().await;
    let node = world.node().clone();
    let seller = Seller::start(move |hit| {
        if hit.paid() {
            return Reply::ok(DATA);
        }
        let l402 = |scheme: &str| {
            let made = node.invoice(PRICE + 1000, "l402", 600).expect("an invoice");
            format!(r#"{scheme} macaroon="{}", invoice="{}""#, token_for(&made.payment_hash), made.bolt11)
        };
        let deposit = node.invoice(40_000, "deposit", 600).expect("an invoice");
        let session = json!({"amount": "2", "currency": "sat", "depositInvoice": deposit.bolt11,
            "paymentHash": deposit.payment_hash});
        let session = encode(session.to_string().as_bytes());
        let x402 = json!({"x402Version": 2, "accepts": [{"scheme": "exact", "network": "eip155:8453", "amount": "10000",
            "asset": "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913", "maxTimeoutSeconds": 60,
            "payTo": "0x742d35Cc6634c0532925a3b844bC9e7595F8fE00", "extra": {"name": "USD Coin", "version": "2"}}]});
        Reply::status(402, "")
            .header("www-authenticate", &l402("LSAT"))
            .header("www-authenticate", &l402("L402"))
            .header("www-authenticate", &line(&node, "charge", PRICE))
            .header(
                "www-authenticate",
                &format!(
                    r#"Payment id="s", realm="127.0.0.1", method="lightning", intent="session", request="{session}""#
                ),
            )
            .header("payment-required", &data_encoding::BASE64.encode(x402.to_string().as_bytes()))
    })
    .await;
    let told = world.host().await.fetch(json!({ "url": seller.url("/a") })).await;
    assert_eq!(told.outcome(), "bought", "{}", told.text());
    assert_eq!((world.spent_msat(), world.node().moved().len()), (PRICE, 1), "the cheapest, and only that");
    assert_eq!(world.audit().await.len(), 1);
    assert!(credentials(&seller).len() == 1 && seller.hits().iter().filter(|hit| hit.paid()).count() == 1);
    assert_eq!(money::states(&world).await, ["delivered"]);
    world.verify_money().await;
}

/// Facts 4, hazard 6 for MPP: twenty challenges just below the purchase limit stop at the session's budget.
#[tokio::test]
async fn hazard_6_the_budget_stops_a_row_of_challenges() {
    let world = World::with("[limits.default]\nsat = { purchase = \"30\", session = \"100\", day = \"100\" }\n").await;
    let seller = sour(&world, |_, _| Reply::ok(DATA)).await;
    let host = world.host().await;
    for n in 0..20 {
        host.fetch(json!({ "url": seller.url(&format!("/{n}")), "idempotency_key": format!("k{n}") })).await;
    }
    assert!(world.spent_msat() <= 100_000, "{}", world.spent_msat());
    world.verify_money().await;
}
