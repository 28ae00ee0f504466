//! MPP where the seller carries what was signed to the chain: one signature a purchase on Tempo, and on EVM chains a
//! second one only for the other rule of the nonce, with both of them held.

mod support;

use std::collections::BTreeSet;

use bursar::{
    clock::Clock,
    evm::{
        eip3009::{Authorization, Signed},
        hex, keccak256, unhex,
    },
    money::Currency,
    protocol::mpp::{canonical, decode, encode},
    sandbox::{SandboxOptions, chain::PlayChain},
};
use serde_json::{Value, json};
use support::{Hit, Reply, Seller, World, money, until};

const CENT: u64 = 10_000;
const PAYEE: &str = "0x742d35Cc6634c0532925a3b844bC9e7595F8fE00";
const MISMATCH: &str = "Payment verification failed: EVM authorization challenge hash mismatch.";

fn line(method: &str, id: &str, request: &Value) -> String {
    let request = encode(canonical(&request.to_string()).expect("json").as_bytes());
    format!(r#"Payment id="{id}", realm="127.0.0.1", method="{method}", intent="charge", request="{request}""#)
}

fn evm_line(id: &str) -> String {
    let request = json!({
        "amount": CENT.to_string(), "currency": "0x036CbD53842c5426634e7929541eC2318f3dCF7e", "recipient": PAYEE,
        "methodDetails": { "chainId": 84532, "credentialTypes": ["authorization"], "decimals": 6 },
    });
    line("evm", id, &request)
}

fn tempo_line(id: &str, amount: &str) -> String {
    let request = json!({
        "amount": amount, "currency": "0x20c0000000000000000000000000000000000000", "recipient": PAYEE,
        "methodDetails": { "chainId": 42431 },
    });
    line("tempo", id, &request)
}

/// What a credential holds.
fn credential(hit: &Hit) -> Option<Value> {
    let blob = hit.headers.get("authorization")?.to_str().ok()?.strip_prefix("Payment ")?.to_owned();
    serde_json::from_slice(&decode(&blob)?).ok()
}

/// The different things that were signed, as the seller saw them.
fn signatures(seller: &Seller) -> BTreeSet<String> {
    let signed = |hit: &Hit| credential(hit)?["payload"]["signature"].as_str().map(str::to_owned);
    seller.hits().iter().filter_map(signed).collect()
}

fn authorization(credential: &Value) -> Signed {
    let payload = &credential["payload"];
    let text = |name: &str| payload[name].as_str().expect("a text").to_owned();
    Signed {
        authorization: Authorization {
            from: text("from").parse().expect("an address"),
            to: text("to").parse().expect("an address"),
            value: text("value").parse().expect("a number"),
            valid_after: text("validAfter").parse().expect("a number"),
            valid_before: text("validBefore").parse().expect("a number"),
            nonce: unhex(&text("nonce")).expect("a nonce"),
        },
        signature: unhex(&text("signature")).expect("a signature"),
    }
}

/// Whether the nonce is pympp's, which nothing in these challenges hints at.
fn fits(credential: &Value) -> bool {
    let challenge = &credential["challenge"];
    let expected = keccak256(json!([challenge["id"], challenge["realm"]]).to_string().as_bytes());
    credential["payload"]["nonce"] == hex(&expected)
}

fn refusal(n: usize, detail: &str) -> Reply {
    let problem = json!({ "type": "https://paymentauth.org/problems/verification-failed", "detail": detail });
    Reply::status(402, problem.to_string()).header("www-authenticate", &evm_line(&format!("c{n}")))
}

/// A seller that says this to whoever paid.
async fn evm_seller(after: impl Fn(&Value, usize) -> Reply + Send + Sync + 'static) -> Seller {
    Seller::start(move |hit| match credential(hit) {
        Some(credential) => after(&credential, hit.n),
        None => Reply::status(402, "").header("www-authenticate", &evm_line(&format!("c{}", hit.n))),
    })
    .await
}

/// A world whose chain has a clock of its own.
async fn dollars(config: &str) -> (World, Clock, PlayChain) {
    let clock = Clock::manual(Clock::system().now_ms());
    let options = SandboxOptions { clock: clock.clone(), ..SandboxOptions::default() };
    let world = World::with_dollars_and(config, options).await;
    let chain = world.sandbox.chain().clone();
    (world, clock, chain)
}

async fn held(world: &World) -> u64 {
    let (_, budgets) = world.ledger().budgets("local", "").await.expect("the budgets can be read");
    let session =
        budgets.into_iter().find(|b| b.scope == bursar::ledger::Scope::Session && b.limit.currency() == Currency::Usd);
    session.expect("a session").held.atomic()
}

/// Facts 4, hazard 10: two rules for the nonce are in the field. The second is tried once, and both are held.
#[tokio::test]
async fn hazard_10_a_seller_of_the_other_nonce_rule_is_paid_once_and_the_first_signature_stays_held() {
    let (world, clock, chain) = dollars("").await;
    let seller = evm_seller(move |credential, n| {
        if !fits(credential) {
            return refusal(n, MISMATCH);
        }
        let moved = chain.transfer_with_authorization(authorization(credential)).is_ok();
        if moved { Reply::ok("{\"data\":1}") } else { refusal(n, "used") }
    })
    .await;
    let host = world.host().await;
    let told = host.fetch(json!({ "url": seller.url("/a") })).await;
    assert_eq!(told.outcome(), "bought", "{}", told.text());
    assert_eq!(told.facts()["paid_now"], "0.01 usd");
    assert_eq!((signatures(&seller).len(), world.spent_units(), held(&world).await), (2, CENT, CENT));
    world.verify_money().await;
    // The first one was never used and ran out: its hold comes back, and the price was paid once.
    assert!(host.close().await.success());
    clock.advance_ms(400_000);
    let host = world.host().await;
    host.call("get_balance", json!({})).await;
    until("the hold of the first signature is given back", async || held(&world).await == 0).await;
    assert_eq!(world.spent_units(), CENT);
    world.verify_money().await;
}

/// The negative control: a seller that refuses whatever it is shown gets two signatures in all, and no word of its makes a
/// third one, nor does an equal call.
#[tokio::test]
async fn a_seller_that_says_of_every_nonce_that_it_does_not_match_gets_two_and_never_a_third() {
    let (world, _, _) = dollars("").await;
    let seller = evm_seller(|_, n| refusal(n, MISMATCH)).await;
    let host = world.host().await;
    for _ in 0..2 {
        let told = host.fetch(json!({ "url": seller.url("/a") })).await;
        assert_eq!(told.outcome(), "pending", "{}", told.text());
    }
    assert_eq!((signatures(&seller).len(), world.spent_units(), held(&world).await), (2, 0, 2 * CENT));
    world.verify_money().await;
}

/// The negative control: no other refusal makes a second signature.
#[tokio::test]
async fn a_refusal_that_does_not_speak_of_the_nonce_gets_no_second_signature() {
    for detail in ["", "EVM authorization amount mismatch", "pay again", "signature mismatch"] {
        let (world, _, _) = dollars("").await;
        let seller = evm_seller(move |_, n| refusal(n, detail)).await;
        let told = world.host().await.fetch(json!({ "url": seller.url("/a") })).await;
        assert_eq!(told.outcome(), "pending", "{detail}: {}", told.text());
        assert_eq!((signatures(&seller).len(), held(&world).await), (1, CENT), "{detail}");
    }
}

/// Who takes the money and then says that the nonce was wrong is given no other one.
#[tokio::test]
async fn a_seller_that_took_the_first_signature_and_asks_for_a_second_gets_none() {
    let (world, _, chain) = dollars("").await;
    let seller = evm_seller(move |credential, n| {
        let _ = chain.transfer_with_authorization(authorization(credential));
        refusal(n, MISMATCH)
    })
    .await;
    let told = world.host().await.fetch(json!({ "url": seller.url("/a") })).await;
    assert_eq!(told.outcome(), "undelivered", "{}", told.text());
    assert_eq!((signatures(&seller).len(), world.spent_units(), held(&world).await), (1, CENT, 0));
    world.verify_money().await;
}

/// The worst that can happen is in the books: a seller that lies, and uses both.
#[tokio::test]
async fn a_seller_that_uses_both_signatures_is_in_the_books_with_both() {
    let (world, _, chain) = dollars("").await;
    let first = std::sync::Mutex::new(None);
    let seller = evm_seller(move |credential, n| {
        if !fits(credential) {
            *first.lock().unwrap() = Some(authorization(credential));
            return refusal(n, MISMATCH);
        }
        let first = first.lock().unwrap().take().expect("a first one");
        assert!(chain.transfer_with_authorization(first).is_ok());
        assert!(chain.transfer_with_authorization(authorization(credential)).is_ok());
        Reply::ok("{}")
    })
    .await;
    let host = world.host().await;
    let told = host.fetch(json!({ "url": seller.url("/a") })).await;
    assert_eq!(told.outcome(), "bought", "{}", told.text());
    assert_eq!((world.spent_units(), held(&world).await), (2 * CENT, CENT));
    assert!(host.close().await.success());
    let host = world.host().await;
    host.call("get_balance", json!({})).await;
    until("the first one is posted as well", async || held(&world).await == 0).await;
    world.verify_money().await;
}

#[tokio::test]
async fn the_other_nonce_is_not_signed_where_the_budget_has_room_for_one_or_a_person_must_say_yes() {
    let tight = "[limits.default]\nusd = { purchase = \"0.01\", session = \"0.015\", day = \"0.015\" }\n";
    let (world, _, _) = dollars(tight).await;
    let seller = evm_seller(|_, n| refusal(n, MISMATCH)).await;
    let told = world.host().await.fetch(json!({ "url": seller.url("/a") })).await;
    assert_eq!(told.outcome(), "pending", "{}", told.text());
    assert_eq!((signatures(&seller).len(), held(&world).await), (1, CENT));

    let (world, _, _) = dollars("[approval]\nabove = { usd = \"0.005\" }\n").await;
    let seller = evm_seller(|_, n| refusal(n, MISMATCH)).await;
    let host = world.host().await;
    let told = host.fetch(json!({ "url": seller.url("/a") })).await;
    assert_eq!(told.outcome(), "awaiting_approval", "{}", told.text());
    let (code, out, log) = world.run(&["approve", told.purchase()]).await;
    assert_eq!(code, 0, "{out}{log}");
    host.fetch(json!({ "url": seller.url("/a") })).await;
    assert_eq!((signatures(&seller).len(), held(&world).await), (1, CENT), "that yes was for one payment");
}

/// A world whose wallet pays on Tempo, where nobody can be asked.
async fn tempo() -> World {
    let mut world = World::with("[evm.chains.tempo-moderato]\n").await;
    let key = world.sandbox.evm_key().expose().to_owned();
    world.env("BURSAR_EVM_KEY", &key);
    world
}

async fn tempo_seller(amount: &'static str, after: impl Fn(usize) -> Reply + Send + Sync + 'static) -> Seller {
    Seller::start(move |hit| match credential(hit) {
        Some(_) => after(hit.n),
        None => Reply::status(402, "").header("www-authenticate", &tempo_line(&format!("c{}", hit.n), amount)),
    })
    .await
}

#[tokio::test]
async fn a_charge_on_tempo_is_one_transaction_and_each_purchase_pays_a_challenge_of_its_own() {
    let world = tempo().await;
    let seller = tempo_seller("10000", |_| Reply::ok("{\"data\":1}")).await;
    let host = world.host().await;
    for n in 1..=2 {
        let told = host.fetch(json!({ "url": seller.url("/a"), "idempotency_key": format!("k{n}") })).await;
        assert_eq!(told.outcome(), "bought", "{}", told.text());
        assert_eq!(signatures(&seller).len(), n, "{}", told.text());
    }
    let hit = seller.hits().iter().find_map(credential).expect("a credential");
    assert_eq!(hit["payload"]["type"], "transaction");
    assert!(hit["source"].as_str().expect("a source").starts_with("did:pkh:eip155:42431:0x"));
    let rows = money::purchases(&world).await;
    assert_eq!((rows.len(), rows[0].rail.as_str()), (2, "mpp tempo"));
    // Nobody tells what the gas cost, so that the most that was signed for counts.
    let paid: Vec<String> = rows[0].paid.iter().chain(&rows[0].fee).map(ToString::to_string).collect();
    assert_eq!(paid, ["0.01 usd", "0.041 usd"]);
    world.verify().await;
}

/// Facts 4, hazard 1 on Tempo: the chain would take each further transaction, so there is none.
#[tokio::test]
async fn hazard_1_a_seller_of_fresh_402s_is_shown_the_same_transaction_again_and_never_another_one() {
    let world = tempo().await;
    let fresh = |n: usize| Reply::status(402, "").header("www-authenticate", &tempo_line(&format!("c{n}"), "10000"));
    let seller = tempo_seller("10000", fresh).await;
    let host = world.host().await;
    for _ in 0..2 {
        let told = host.fetch(json!({ "url": seller.url("/a") })).await;
        assert_eq!(told.outcome(), "pending", "{}", told.text());
    }
    assert_eq!((signatures(&seller).len(), held(&world).await), (1, 51_000), "price and gas stay held");
    world.verify().await;
}

/// Bursar signs payments only: the ledger knows no payment of nothing.
#[tokio::test]
async fn a_charge_of_nothing_is_refused_with_its_reason_and_signs_nothing() {
    let world = tempo().await;
    let seller = tempo_seller("0", |_| Reply::ok("{}")).await;
    let told = world.host().await.fetch(json!({ "url": seller.url("/a") })).await;
    assert_eq!(told.outcome(), "refused", "{}", told.text());
    assert!(told.text().contains("for no money; Bursar signs only payments"), "{}", told.text());
    assert_eq!((signatures(&seller).len(), money::purchases(&world).await.len()), (0, 0));
}
