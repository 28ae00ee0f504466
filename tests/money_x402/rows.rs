//! The hazards of x402 that need a seller of a test's own making: for each, what is signed, and how much moves.

use bursar::{
    protocol::mpp::{canonical, encode},
    sandbox::NtriqMode,
};
use data_encoding::BASE64;
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::{
    odd::{self, PAYEE, but, nonces, payment, seller, settles, signed, terms},
    shop::{CENT, Shop, TEXT},
    support::{Host, Reply, Seller, Told, until_answered},
};

/// Asks for the seller's thing and fails unless that is refused without a signature.
async fn refuses(shop: &Shop, host: &Host, seller: &Seller, what: &str) -> Told {
    let told = host.fetch(json!({ "url": seller.url("/thing") })).await;
    assert_eq!(told.outcome(), "refused", "{what}: {}", told.text());
    assert!(told.say().starts_with("Nothing was paid"), "{what}: {}", told.say());
    assert_eq!((nonces(seller).len(), shop.world.spent_units()), (0, 0), "{what}: something was signed");
    told
}

/// Asks for the seller's thing and fails unless it is bought for so many units, with one signature.
async fn buys(shop: &Shop, host: &Host, seller: &Seller, units: u64, what: &str) -> Told {
    let before = (nonces(seller).len(), shop.world.spent_units());
    let told = host.fetch(json!({ "url": seller.url("/thing") })).await;
    assert_eq!(told.outcome(), "bought", "{what}: {}", told.text());
    assert_eq!((nonces(seller).len(), shop.world.spent_units()), (before.0 + 1, before.1 + units), "{what}");
    until_answered(&shop.world, told.purchase()).await;
    told
}

/// H10: the cap is held against the very offer that is signed, not against the first or the cheapest that stands there.
#[tokio::test]
async fn h10_a_cheap_offer_that_cannot_be_paid_lends_its_price_to_no_other() {
    let shop = Shop::open().await;
    let host = shop.world.host().await;
    let bait = but(1, &[("/asset", json!("0x1111111111111111111111111111111111111111"))]);
    let seller = seller(&shop, vec![bait, terms(5 * CENT)]).await;
    let ask = |most: &str| json!({ "url": seller.url("/thing"), "max_price": most });
    for most in ["0.000001 usd", "0.01 usd", "0.049999 usd"] {
        let told = host.fetch(ask(most)).await;
        assert_eq!(told.outcome(), "refused", "{most}: {}", told.text());
        assert_eq!((nonces(&seller).len(), shop.world.spent_units()), (0, 0), "{most}");
    }
    let told = host.fetch(ask("0.05 usd")).await;
    assert_eq!((told.outcome(), shop.world.spent_units()), ("bought", 5 * CENT), "{}", told.text());
    assert_eq!(nonces(&seller).len(), 1);
    shop.world.verify_money().await;
}

/// H12, H13, H14, H16, H32: terms that are not to the letter those of a token that is known are refused before signing.
#[tokio::test]
async fn h12_to_h16_terms_that_are_not_sound_to_the_letter_are_never_signed() {
    let shop = Shop::open().await;
    let host = shop.world.host().await;
    let odd = [
        ("H12 dollars and not units", vec![("/amount", json!("0.01"))]),
        ("H12 an exponent", vec![("/amount", json!("1e4"))]),
        ("H12 below zero", vec![("/amount", json!("-10000"))]),
        ("H12 hex", vec![("/amount", json!("0x2710"))]),
        ("H12 a float", vec![("/amount", json!(10000.5))]),
        ("H12 other digits", vec![("/amount", json!("１００００"))]),
        ("H12 beyond all numbers", vec![("/amount", json!("9".repeat(78)))]),
        (
            "H12 a token of 18 decimals that calls itself USDC",
            vec![
                ("/asset", json!("0x8AC76a51cc950d9822D68b83fE1Ad97B32Cd580d")),
                ("/amount", json!("10000000000000000")),
                ("/extra/decimals", json!(18)),
            ],
        ),
        ("H13 the domain of another chain", vec![("/extra/name", json!("USD Coin"))]),
        ("H13 another version", vec![("/extra/version", json!("1"))]),
        (
            "H14 another contract",
            vec![("/extra/verifyingContract", json!("0x0077777d7EBA4688BDeF3E311b846F25870A19B9"))],
        ),
        ("H16 five seconds", vec![("/maxTimeoutSeconds", json!(5))]),
        ("H16 none", vec![("/maxTimeoutSeconds", json!(0))]),
        ("H16 below zero", vec![("/maxTimeoutSeconds", json!(-1))]),
        (
            "H32 a deposit to draw on",
            vec![
                ("/scheme", json!("batch-settlement")),
                ("/extra/channelState", json!({ "chargedCumulativeAmount": "99000000", "balance": "100000000" })),
            ],
        ),
    ];
    for (what, changes) in odd {
        let seller = seller(&shop, vec![but(CENT, &changes)]).await;
        refuses(&shop, &host, &seller, what).await;
        assert_eq!(seller.hits().len(), 1, "{what}: asked once");
    }
    // The control: nothing but these makes the difference. What `extra` says of decimals moves no comma.
    let sound = seller(&shop, vec![but(CENT, &[("/extra/decimals", json!(2))])]).await;
    buys(&shop, &host, &sound, CENT, "H12 decimals beside a known token").await;
    let batch = but(1, &[("/scheme", json!("batch-settlement"))]);
    let both = seller(&shop, vec![batch, terms(CENT)]).await;
    buys(&shop, &host, &both, CENT, "H32 a charge beside a deposit").await;
    shop.world.verify_money().await;
}

/// H16: a seller that wants to hold a signature for thirty years holds it for two minutes.
#[tokio::test]
async fn h16_a_signature_lives_two_minutes_at_most_whatever_the_seller_wants() {
    let shop = Shop::open().await;
    let host = shop.world.host().await;
    for seconds in [json!(1_000_000_000_u64), json!(300), json!(15)] {
        let seller = seller(&shop, vec![but(CENT, &[("/maxTimeoutSeconds", seconds.clone())])]).await;
        let before = bursar::clock::Clock::system().now_s();
        buys(&shop, &host, &seller, CENT, "H16").await;
        let paid = seller.hits().iter().find_map(payment).expect("a payment");
        let lives = signed(&paid).authorization.valid_before - before;
        let most = seconds.as_u64().expect("seconds").min(120);
        assert!((most..most + 10).contains(&lives), "{seconds}: {lives} s");
    }
    shop.world.verify_money().await;
}

/// H18: what a seller wrote comes back to the letter: the case of addresses, keys that nobody knows, their order.
#[tokio::test]
async fn h18_terms_come_back_as_they_were_written_whatever_their_case() {
    for mode in [NtriqMode::Recases, NtriqMode::Open] {
        let shop = Shop::open().await;
        let host = shop.world.host().await;
        let told = shop.buy_from(&host, mode.clone()).await;
        assert_eq!(told.outcome(), "bought", "{mode:?}: {}", told.text());
        assert_eq!((shop.world.spent_units(), shop.signatures()), (CENT, 1), "{mode:?}");
        assert_eq!(shop.seller().struck(&mode), usize::from(mode != NtriqMode::Open) * 2);
        shop.world.verify_money().await;
    }
    // Byte for byte, where the seller's own JSON is odd.
    let shop = Shop::open().await;
    let host = shop.world.host().await;
    let chain = shop.world.sandbox.chain().clone();
    let entry = format!(
        r#"{{"payTo":"{}","extra":{{"version":"2","zz":[1, 2.50],"name":"USDC"}},  "amount":"10000","network":"eip155:84532","asset":"0x036cbd53842c5426634e7929541ec2318f3dcf7e","scheme":"exact","maxTimeoutSeconds":60}}"#,
        PAYEE.to_lowercase()
    );
    let said = BASE64.encode(format!(r#"{{"accepts":[{entry}],"x402Version":2}}"#).as_bytes());
    let seller = Seller::start(move |hit| {
        let header = hit.headers.get("payment-signature").and_then(|v| BASE64.decode(v.as_bytes()).ok());
        match header.map(|json| String::from_utf8(json).expect("UTF-8")) {
            Some(json) if json.contains(&format!(r#""accepted":{entry}"#)) => {
                settles(&chain, &serde_json::from_str(&json).expect("JSON"), "{}")
            }
            _ => Reply::status(402, "{}").header("payment-required", &said),
        }
    })
    .await;
    buys(&shop, &host, &seller, CENT, "byte for byte").await;
    shop.world.verify_money().await;
}

/// H20, H21: a demand of tens of kilobytes is read and paid, and so is one with letters that are not ASCII.
#[tokio::test]
async fn h20_h21_long_demands_and_other_alphabets_are_paid() {
    for bytes in [16 << 10, 30 << 10] {
        let shop = Shop::open().await;
        let host = shop.world.host().await;
        let told = shop.buy_from(&host, NtriqMode::HugeChallenge(bytes)).await;
        assert_eq!(told.outcome(), "bought", "{bytes}: {}", told.text());
        assert_eq!((shop.world.spent_units(), shop.signatures()), (CENT, 1), "{bytes}");
        shop.world.verify_money().await;
    }
    let shop = Shop::open().await;
    let host = shop.world.host().await;
    let terms = but(CENT, &[("/extra/symbol", json!("USD₮0 — 天気"))]);
    let seller = seller(&shop, vec![terms.clone()]).await;
    buys(&shop, &host, &seller, CENT, "USD₮0").await;
    let paid = seller.hits().iter().find_map(payment).expect("a payment");
    assert_eq!(paid["accepted"], terms);
    shop.world.verify_money().await;
}

/// H23: an address of the inner network is asked nothing, and nothing is signed for it, however it comes to us.
#[tokio::test]
async fn h23_inner_addresses_are_asked_for_nothing() {
    let shop = Shop::open().await;
    let host = shop.world.host().await;
    for url in ["https://10.0.0.1/thing", "https://169.254.169.254/latest/meta-data", "https://[fd00::1]/thing"] {
        let told = host.fetch(json!({ "url": url })).await;
        assert_eq!(told.outcome(), "refused", "{url}: {}", told.text());
    }
    // A seller may point there; nobody goes.
    let seller = Seller::start(|_| Reply::status(307, "").header("location", "https://169.254.169.254/pay")).await;
    let told = host.fetch(json!({ "url": seller.url("/thing") })).await;
    assert_ne!(told.outcome(), "bought", "{}", told.text());
    assert_eq!((nonces(&seller).len(), shop.world.spent_units()), (0, 0));
}

/// H24, H25: plain text is spoken to nobody on the open network; what a seller's terms call its own address is only said.
#[tokio::test]
async fn h24_h25_plain_text_is_refused_and_another_name_of_the_resource_is_echoed() {
    let shop = Shop::open().await;
    let host = shop.world.host().await;
    let told = host.fetch(json!({ "url": "http://seller.example/thing" })).await;
    assert_eq!(told.outcome(), "refused", "{}", told.text());
    assert!(told.say().contains("only https"), "{}", told.say());
    let chain = shop.world.sandbox.chain().clone();
    let inner = "http://10.1.2.3:8080/inner/thing";
    let seller = Seller::start(move |hit| match payment(hit) {
        Some(paid) if paid["resource"]["url"] == inner => settles(&chain, &paid, "{}"),
        _ => odd::asks_at(inner, &[terms(CENT)]),
    })
    .await;
    let mut look = json!({ "url": seller.url("/thing") });
    look["dry_run"] = true.into();
    let quoted = host.fetch(look).await;
    assert!(quoted.text().contains("its terms speak of another host"), "{}", quoted.text());
    buys(&shop, &host, &seller, CENT, "H25").await;
    shop.world.verify_money().await;
}

/// H26: a payment is not bound to a request, so it is worth one transfer for a short while, and is shown to nobody else.
#[tokio::test]
async fn h26_a_payment_is_worth_one_transfer_wherever_it_is_shown() {
    let shop = Shop::open().await;
    let host = shop.world.host().await;
    let seller = seller(&shop, vec![terms(CENT)]).await;
    let told = buys(&shop, &host, &seller, CENT, "H26").await;
    let paid = seller.hits().iter().find_map(payment).expect("a payment");
    // The seller carries it there once more for another thing of the same price: the token takes a nonce once.
    assert!(shop.world.sandbox.chain().transfer_with_authorization(signed(&paid)).is_err());
    let signature = paid["payload"]["signature"].as_str().expect("a signature");
    assert!(!told.text().contains(&signature[2..66]) && !told.facts().to_string().contains(&signature[2..66]));
    let other = host.fetch(json!({ "url": seller.url("/other") })).await;
    assert_eq!(other.outcome(), "bought", "{}", other.text());
    assert_eq!((nonces(&seller).len(), shop.world.spent_units()), (2, 2 * CENT), "each purchase has its own");
    shop.world.verify_money().await;
}

/// H27: a demand without terms, and an address where nothing is sold, are asked once and cost nothing.
#[tokio::test]
async fn h27_a_402_without_terms_and_a_404_are_asked_once_and_cost_nothing() {
    let shop = Shop::open().await;
    let host = shop.world.host().await;
    for body in ["{}", "", r#"{"x402Version":2,"accepts":[]}"#, r#"{"error":"pay me"}"#] {
        let seller = Seller::start(move |_| Reply::status(402, body)).await;
        refuses(&shop, &host, &seller, body).await;
        assert_eq!(seller.hits().len(), 1, "{body}");
    }
    for status in [404, 405] {
        let seller = Seller::start(move |_| Reply::status(status, "nothing here")).await;
        let told = host.fetch(json!({ "url": seller.url("/thing") })).await;
        assert_eq!((told.outcome(), seller.hits().len()), ("free", 1), "{}", told.text());
        assert!(told.say().starts_with("Nothing was paid"), "{}", told.say());
    }
    assert_eq!(shop.world.spent_units(), 0);
}

/// H31: one demand that can be met over L402, MPP and x402 is met once, over one of them.
#[tokio::test]
async fn h31_of_three_protocols_at_once_one_is_paid() {
    for order in [r#"["usd", "sat"]"#, r#"["sat", "usd"]"#] {
        let shop = Shop::with(&format!("[sellers]\ncurrencies = {order}\n")).await;
        let (chain, node) = (shop.world.sandbox.chain().clone(), shop.world.node().clone());
        let demand = {
            let made = node.invoice(21_000, "mpp", 600).expect("an invoice");
            let request = json!({
                "amount": "21", "currency": "sat",
                "methodDetails": { "invoice": made.bolt11, "paymentHash": made.payment_hash, "network": "regtest" },
            });
            let request = encode(canonical(&request.to_string()).expect("JSON").as_bytes());
            let line = format!(
                r#"Payment id="c1", realm="127.0.0.1", method="lightning", intent="charge", request="{request}""#
            );
            let mut demand = shop.world.ask(21_000).header("www-authenticate", &line);
            demand.headers.extend(odd::asks(&[terms(CENT)]).headers);
            demand
        };
        let seller = Seller::start(move |hit| match payment(hit) {
            Some(paid) => settles(&chain, &paid, "{}"),
            None if hit.paid() => Reply::ok("{}"),
            None => demand.clone(),
        })
        .await;
        let host = shop.world.host().await;
        let told = host.fetch(json!({ "url": seller.url("/thing") })).await;
        assert_eq!(told.outcome(), "bought", "{order}: {}", told.text());
        let moved = (shop.world.spent_units(), shop.world.spent_msat() >= 21_000);
        let expected = if order.starts_with(r#"["usd"#) { (CENT, false) } else { (0, true) };
        assert_eq!(moved, expected, "{order}: {}", told.text());
        let both = |h: &crate::support::Hit| h.paid() && h.headers.contains_key("payment-signature");
        assert!(!seller.hits().iter().any(both), "{order}: never two credentials at once");
        // Why this one, in the result and in the structured facts.
        assert!(told.facts()["chosen"].as_str().is_some_and(|why| why.contains(" of ")), "{}", told.facts());
        assert!(told.say().contains("Chosen: "), "{}", told.say());
        shop.world.verify_money().await;
    }
}

/// H33: a facilitator that refuses the account's signatures gets no second one; what was signed is held until it is dead.
#[tokio::test]
async fn h33_a_signature_that_a_facilitator_refuses_is_not_made_anew() {
    let shop = Shop::open().await;
    shop.world.sandbox.chain().set_code(shop.world.sandbox.evm_address(), vec![0xef, 1, 0]);
    let seller = Seller::start(|hit| {
        let failed = json!({ "success": false, "errorReason": "invalid_exact_evm_signature", "transaction": "" });
        match payment(hit) {
            Some(_) => {
                Reply::status(402, "{}").header("payment-response", &BASE64.encode(failed.to_string().as_bytes()))
            }
            None => odd::asks(&[terms(CENT)]),
        }
    })
    .await;
    let host = shop.world.host().await;
    let told = host.fetch(json!({ "url": seller.url("/thing") })).await;
    assert_eq!((told.outcome(), shop.held().await), ("pending", CENT), "{}", told.text());
    assert!(told.say().contains("invalid_exact_evm_signature"), "{}", told.say());
    assert_eq!((nonces(&seller).len(), shop.world.spent_units()), (1, 0));
    shop.world.verify_money().await;
}

/// H34: a purchase leaves nothing behind that spoils the next: after a failure, after a success, and at the same time.
#[tokio::test]
async fn h34_one_purchase_spoils_no_other() {
    let shop = Shop::open().await;
    let host = shop.world.host().await;
    shop.seller().next(NtriqMode::SettleFails);
    let told = host.fetch(shop.ask(TEXT, "first")).await;
    assert_eq!((told.outcome(), shop.world.spent_units()), ("bought", CENT), "the same bytes again: {}", told.text());
    for n in 1..=3 {
        let told = host.fetch(shop.ask(TEXT, &format!("then {n}"))).await;
        assert_eq!((told.outcome(), shop.world.spent_units()), ("bought", (n + 1) * CENT), "{}", told.text());
    }
    let texts = ["a", "b", "c"];
    let told = join_all(texts.iter().map(|text| host.fetch(shop.ask(TEXT, text)))).await;
    assert!(told.iter().all(|t| t.outcome() == "bought"), "{told:#?}");
    assert_eq!((shop.world.spent_units(), shop.signatures(), shop.held().await), (7 * CENT, 7, 0));
    shop.world.verify_money().await;
}

/// H35: a body is sent for the price and again with the payment, byte for byte; one that is too large is not sent at all.
#[tokio::test]
async fn h35_a_body_is_sent_twice_byte_for_byte_and_never_half() {
    let shop = Shop::open().await;
    let host = shop.world.host().await;
    let seller = seller(&shop, vec![terms(CENT)]).await;
    let body = "words ".repeat(40_000);
    let told = host.fetch(json!({ "url": seller.url("/thing"), "method": "POST", "body": body })).await;
    assert_eq!((told.outcome(), shop.world.spent_units()), ("bought", CENT), "{}", told.text());
    let hits = seller.hits();
    assert_eq!(hits.len(), 2);
    assert!(hits.iter().all(|hit| hit.body == body.as_bytes()));
    let huge: Value = json!({ "url": seller.url("/thing"), "method": "POST", "body": "x".repeat((1 << 20) + 1) });
    let told = host.fetch(huge).await;
    assert_eq!(told.outcome(), "refused", "{}", told.text());
    assert_eq!((seller.hits().len(), nonces(&seller).len(), shop.world.spent_units()), (2, 1, CENT));
    shop.world.verify_money().await;
}
