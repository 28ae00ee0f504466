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
    evm_line_of(id, CENT)
}

fn evm_line_of(id: &str, amount: u64) -> String {
    let request = json!({
        "amount": amount.to_string(), "currency": "0x036CbD53842c5426634e7929541eC2318f3dCF7e", "recipient": PAYEE,
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

/// A proof costs nothing: it is shown where a seller asks for it, no budget and no purchase knows of it, and the journal
/// has its line.
#[tokio::test]
async fn a_charge_of_nothing_is_opened_by_a_proof_and_moves_nothing() {
    let world = tempo().await;
    let host = world.host().await;
    let url = format!("{}/proof", world.sandbox.mpp_url());
    let look = host.fetch(json!({ "url": url, "dry_run": true })).await;
    assert!(look.text().contains("would be tried first"), "{}", look.text());
    assert_eq!(world.sandbox.mpp_shop().served("/proof"), 0, "a look shows nobody anything");
    let told = host.fetch(json!({ "url": url })).await;
    assert_eq!(told.outcome(), "free", "{}", told.text());
    assert!(told.text().contains("a proof of whose account this is opened it"), "{}", told.text());
    assert_eq!((told.facts()["paid_now"].as_str(), world.sandbox.mpp_shop().served("/proof")), (Some("0 sat"), 1));
    let rows = world.audit().await;
    assert_eq!((rows.len(), rows[0].state.as_str(), rows[0].network.as_str()), (1, "proof", "eip155:42431"));
    assert_eq!((money::purchases(&world).await.len(), world.sandbox.tempo().moved().len()), (0, 0));
    assert_eq!((held(&world).await, world.spent_msat()), (0, 0));
    world.verify_money().await;
}

/// Facts 4, hazard 17: a proof for another realm could be shown there. It is not signed, however the realm is written.
#[tokio::test]
async fn hazard_17_a_proof_is_signed_for_the_host_that_was_asked_and_for_no_other() {
    for realm in ["bank.example.com", "127.0.0.2", "127.0.0.1.evil.example", "127.0.0.1:1"] {
        let world = tempo().await;
        let line = tempo_line("c1", "0").replace("realm=\"127.0.0.1\"", &format!("realm=\"{realm}\""));
        let seller = Seller::start(move |_| Reply::status(402, "").header("www-authenticate", &line)).await;
        let told = world.host().await.fetch(json!({ "url": seller.url("/a") })).await;
        assert_eq!(
            (told.outcome(), told.facts()["code"].as_str()),
            ("refused", Some("wrong_realm")),
            "{}",
            told.text()
        );
        assert_eq!((signatures(&seller).len(), world.spent_msat()), (0, 0), "{realm}");
        assert_eq!((world.audit().await[0].state.as_str(), held(&world).await), ("refused", 0), "{realm}");
    }
}

/// The control, and what a proof is not: a yes to a price. Who asks again all the same is shown it once a call.
#[tokio::test]
async fn control_a_seller_that_takes_no_proof_is_shown_one_and_paid_nothing() {
    let world = tempo().await;
    let fresh = |n: usize| Reply::status(402, "").header("www-authenticate", &tempo_line(&format!("c{n}"), "0"));
    let seller = tempo_seller("0", fresh).await;
    let told = world.host().await.fetch(json!({ "url": seller.url("/a") })).await;
    assert_eq!(told.outcome(), "refused", "{}", told.text());
    assert_eq!((signatures(&seller).len(), seller.hits().len()), (1, 2));
    assert_eq!(money::purchases(&world).await.len(), 0);
}

/// Only a proof on Tempo, and only where the operator lets it be given.
#[tokio::test]
async fn no_proof_is_given_where_the_operator_gives_none_and_none_for_another_method() {
    let mut world = tempo().await;
    world.set_config("[evm]\nproofs = false\n[evm.chains.tempo-moderato]\n");
    let seller = tempo_seller("0", |_| Reply::ok("{}")).await;
    let told = world.host().await.fetch(json!({ "url": seller.url("/a") })).await;
    assert_eq!((told.outcome(), told.facts()["code"].as_str()), ("refused", Some("zero_amount")), "{}", told.text());
    assert!(told.text().contains("the operator's config gives none"), "{}", told.text());
    assert_eq!((signatures(&seller).len(), money::purchases(&world).await.len()), (0, 0));

    let (world, _, _) = dollars("").await;
    let line = evm_line_of("c1", 0);
    let seller = Seller::start(move |_| Reply::status(402, "").header("www-authenticate", &line)).await;
    let told = world.host().await.fetch(json!({ "url": seller.url("/a") })).await;
    assert_eq!((told.outcome(), told.facts()["code"].as_str()), ("refused", Some("zero_amount")), "{}", told.text());
    assert_eq!((signatures(&seller).len(), world.spent_units()), (0, 0));
}

/// The shop of the sandbox carries what it is shown to a chain that checks it: memo, nonce, balance and signature.
#[tokio::test]
async fn a_charge_on_tempo_is_taken_by_the_play_chain_to_the_last_unit() {
    let world = tempo().await;
    let host = world.host().await;
    let account = world.sandbox.evm_address();
    let before = world.sandbox.tempo().balance_of(&account);
    for n in 1..=2 {
        let url = format!("{}/tempo", world.sandbox.mpp_url());
        let told = host.fetch(json!({ "url": url, "idempotency_key": format!("k{n}") })).await;
        assert_eq!(told.outcome(), "bought", "{}", told.text());
        assert_eq!(world.sandbox.tempo().spent_by(&account), n * CENT);
    }
    let (moved, fees) = (world.sandbox.tempo().moved(), world.sandbox.tempo().fees());
    assert!(moved.iter().all(|t| t.to == world.sandbox.mpp_shop().pay_to() && t.memo.is_some()));
    assert_ne!(moved[0].memo, moved[1].memo, "each challenge has its own");
    assert_eq!(before - world.sandbox.tempo().balance_of(&account), 2 * CENT + fees);
    let rows = money::purchases(&world).await;
    let paid: u64 = rows.iter().filter_map(|row| row.paid).map(|paid| paid.atomic()).sum();
    let gas: u64 = rows.iter().filter_map(|row| row.fee).map(|fee| fee.atomic()).sum();
    assert_eq!(paid, 2 * CENT, "what the chain saw leave");
    assert!(fees <= gas, "the most that the gas may cost counts: {fees} of {gas}");
    world.verify().await;
}

/// Facts 4, hazard 16: a seller that names a far end gets a signature that is dead within minutes.
#[tokio::test]
async fn hazard_16_a_signature_dies_soon_whatever_end_a_seller_names() {
    let (world, clock, chain) = dollars("").await;
    let seller = Seller::start(move |hit| match credential(hit) {
        Some(credential) => {
            let moved = chain.transfer_with_authorization(authorization(&credential)).is_ok();
            if moved { Reply::ok("{}") } else { Reply::status(402, "") }
        }
        None => {
            let line = format!("{}, expires=\"2099-01-01T00:00:00Z\"", evm_line(&format!("c{}", hit.n)));
            Reply::status(402, "").header("www-authenticate", &line)
        }
    })
    .await;
    let told = world.host().await.fetch(json!({ "url": seller.url("/a") })).await;
    assert_eq!((told.outcome(), world.spent_units()), ("bought", CENT), "{}", told.text());
    let shown = seller.hits().iter().find_map(credential).expect("a credential");
    let ends = authorization(&shown).authorization.valid_before;
    assert!(ends <= clock.now_s().max(Clock::system().now_s()) + 300, "{ends}");
    world.verify_money().await;
}

/// A challenge does not name the token's EIP-712 domain, and its x402 twin does: one that checks signatures by another
/// domain than the token's is not signed for. A twin of another payee says nothing.
#[tokio::test]
async fn the_x402_twin_of_a_charge_tells_by_which_domain_its_seller_checks() {
    let twin = |name: &str, to: &str| {
        let terms = json!({ "x402Version": 2, "accepts": [{ "scheme": "exact", "network": "eip155:84532",
            "amount": CENT.to_string(), "asset": "0x036CbD53842c5426634e7929541eC2318f3dCF7e", "payTo": to,
            "maxTimeoutSeconds": 60, "extra": { "name": name, "version": "2" } }] });
        data_encoding::BASE64.encode(terms.to_string().as_bytes())
    };
    let other = "0x1111111111111111111111111111111111111111";
    for (name, to, paid) in [("USDC", PAYEE, true), ("Other Coin", PAYEE, false), ("Other Coin", other, true)] {
        let (world, _, chain) = dollars("").await;
        let terms = twin(name, to);
        let seller = Seller::start(move |hit| match credential(hit) {
            Some(credential) => {
                let moved = chain.transfer_with_authorization(authorization(&credential)).is_ok();
                if moved { Reply::ok("{}") } else { Reply::status(402, "") }
            }
            None => Reply::status(402, "")
                .header("www-authenticate", &evm_line(&format!("c{}", hit.n)))
                .header("payment-required", &terms),
        })
        .await;
        let told = world.host().await.fetch(json!({ "url": seller.url("/a") })).await;
        assert_eq!(told.outcome() == "bought", paid, "{name} {to}: {}", told.text());
        assert_eq!((world.spent_units(), signatures(&seller).len()), (if paid { CENT } else { 0 }, usize::from(paid)));
        if paid {
            assert_eq!(money::purchases(&world).await[0].rail, "mpp eip3009", "of two equal prices the challenge's");
        } else {
            assert_eq!(told.facts()["code"], "wrong_domain", "{}", told.text());
        }
    }
}
