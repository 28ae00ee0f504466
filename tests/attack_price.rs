//! The attack catalogue from outside: prices that are not what they seem. Each case runs through the real binary over MCP
//! and counts what left the wallet; beside it stands what a buyer without judgement would have paid.

#[path = "protocol_mint/mod.rs"]
mod mint;
mod support;

use std::time::{SystemTime, UNIX_EPOCH};

use lightning_invoice::{Currency, SiPrefix};
use mint::Mint;
use serde_json::json;
use support::{
    Reply, Seller, World,
    attack::{refuses, refuses_with},
    naive_msat, token_for,
};

fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_secs()
}

/// An invoice that nobody can pay but that looks like one of the play network, made now.
fn regtest(amount: Option<u64>, prefix: Option<SiPrefix>) -> Mint {
    Mint { currency: Currency::Regtest, amount, prefix, created: now_s() - 5, ..Mint::default() }
}

fn asks(mint: &Mint) -> Reply {
    Reply::l402(&token_for(&mint.hash_hex()), &mint.text())
}

/// A1: the price that is declared is not the price of the invoice.
#[tokio::test]
async fn a_declared_price_below_the_invoice_moves_nothing() {
    let world = World::new().await;
    let ask = |declared: &str| {
        let invoice = world.node().invoice(900_000, "x", 600).expect("an invoice");
        let token = token_for(&invoice.payment_hash);
        let line = format!("L402 macaroon=\"{token}\", invoice=\"{}\"{declared}", invoice.bolt11);
        Reply::status(402, "").header("www-authenticate", &line)
    };
    let json = |body: &str| Reply { body: body.into(), ..ask("") }.header("content-type", "application/json");
    let mpp = {
        let invoice = world.node().invoice(900_000, "x", 600).expect("an invoice");
        let request = json!({ "amount": "1", "currency": "sat", "methodDetails": { "invoice": invoice.bolt11 } });
        let request = data_encoding::BASE64URL_NOPAD.encode(request.to_string().as_bytes());
        let line =
            format!("Payment id=\"1\", realm=\"r\", method=\"lightning\", intent=\"charge\", request=\"{request}\"");
        Reply::status(402, "").header("www-authenticate", &line)
    };
    let seller =
        Seller::table(vec![ask(", amount=\"1\""), ask(", price=\"1 sat\""), json(r#"{"amountSats":1}"#), mpp]).await;
    let host = world.host().await;
    for n in 0..4 {
        refuses_with(&world, &host, &seller.url(&format!("/{n}")), "amount_mismatch").await;
    }
    assert_eq!(world.spent_msat(), 0);
    assert_eq!(naive_msat(&world, &seller.url("/0")).await, 900_000, "who believes the label pays 900 for 1");
}

/// A2, A3, A4, A5, A6, A10, A32, A62: one table of invoices that must not be paid.
#[tokio::test]
async fn no_hostile_invoice_moves_a_msat() {
    let world = World::new().await;
    world.node().set_balance_msat(3_000_000_000_000);
    let issued = |msat, expiry| world.node().invoice(msat, "x", expiry).expect("an invoice");
    let real = |invoice: &bursar::sandbox::PlayInvoice| Reply::l402(&token_for(&invoice.payment_hash), &invoice.bolt11);
    let good = issued(21_000, 600);
    let mixed = format!("{}{}", good.bolt11[..30].to_uppercase(), &good.bolt11[30..]);
    let mut worn = good.bolt11.clone();
    worn.replace_range(worn.len() - 1.., if worn.ends_with('q') { "p" } else { "q" });
    let wrapped = |text: &str| Reply::l402(&token_for(&good.payment_hash), text);
    let of = |amount, prefix| asks(&regtest(Some(amount), prefix));
    let on = |currency| asks(&Mint { currency, ..regtest(Some(210), Some(SiPrefix::Nano)) });
    let sat21 = || regtest(Some(210), Some(SiPrefix::Nano));
    let cases = [
        ("A2: 1 BTC without a multiplier", of(1, None), "above_limit"),
        ("A2: 20 BTC without a multiplier", of(20, None), "above_limit"),
        ("A2: 1 BTC as 1000m", real(&issued(100_000_000_000, 600)), "above_limit"),
        ("A3: no amount", real(&issued(0, 600)), "no_amount"),
        ("A3: an amount of zero", of(0, Some(SiPrefix::Milli)), "no_amount"),
        ("A4: 22 million BTC", of(22_000_000, None), "no_amount"),
        ("A5: wraps an i64", of(92_233_720_368_548, Some(SiPrefix::Milli)), "bad_invoice"),
        ("A5: wraps a u64", of(u64::MAX, Some(SiPrefix::Milli)), "bad_invoice"),
        ("A6: a tenth of a msat", of(1, Some(SiPrefix::Pico)), "bad_invoice"),
        ("A10: money of the main network", on(Currency::Bitcoin), "wrong_network"),
        ("A10: testnet", on(Currency::BitcoinTestnet), "wrong_network"),
        ("A10: signet", on(Currency::Signet), "wrong_network"),
        ("A10: simnet", on(Currency::Simnet), "wrong_network"),
        ("A32: 3 s left", real(&issued(21_000, 3)), "expires_soon"),
        ("A32: over", asks(&Mint { created: now_s() - 700, ..sat21() }), "expired"),
        ("A32: an hour ahead", asks(&Mint { created: now_s() + 3600, ..sat21() }), "from_the_future"),
        ("A32: a hundred years", real(&issued(21_000, 3_155_760_000)), "lives_too_long"),
        ("A62: mixed case", wrapped(&mixed), "bad_invoice"),
        ("A62: a worn checksum", wrapped(&worn), "bad_invoice"),
        ("A62: 100 route hints", asks(&Mint { hints: 100, ..sat21() }), "bad_invoice"),
        ("A62: 10 KB more", wrapped(&format!("{}{}", good.bolt11, "q".repeat(10_000))), "bad_invoice"),
    ];
    let seller = Seller::table(cases.iter().map(|(_, reply, _)| reply.clone()).collect()).await;
    let host = world.host().await;
    for (n, (what, _, code)) in cases.iter().enumerate() {
        let told = refuses(&world, &host, json!({ "url": seller.url(&format!("/{n}")) }), what).await;
        assert_eq!(told.facts()["code"], *code, "{what}: {}", told.text());
    }
    assert_eq!((world.spent_msat(), world.asked_to_pay()), (0, 0));
    let rows = world.audit().await;
    assert_eq!(rows.iter().filter(|r| r.state == "refused").count(), cases.len(), "every refusal is in the books");
    world.verify_money().await;
    assert_eq!(naive_msat(&world, &seller.url("/2")).await, 100_000_000_000, "who reads no amount pays a bitcoin");
}

/// A6: what is less than a satoshi is counted to the millisatoshi, and a maximum is compared to the millisatoshi.
#[tokio::test]
async fn parts_of_a_satoshi_are_paid_and_counted_exactly() {
    let world = World::new().await;
    let host = world.host().await;
    for (msat, too_little, enough) in [(999, "0.998 sat", "0.999 sat"), (10, "0.009 sat", "1 sat")] {
        let seller = Seller::honest(world.node(), msat, "{}").await;
        let (url, before) = (seller.url("/"), world.spent_msat());
        let told = refuses(&world, &host, json!({ "url": url, "max_price": too_little }), too_little).await;
        assert_eq!(told.facts()["code"], "above_max_price");
        let told = host.fetch(json!({ "url": url, "max_price": enough })).await;
        assert_eq!((told.outcome(), world.spent_msat() - before), ("bought", msat), "{}", told.text());
    }
    let session = host.call("get_balance", json!({})).await;
    let spent = session.facts()["budgets"].as_array().unwrap().iter().find(|b| b["scope"] == "session").unwrap();
    assert_eq!(spent["spent"], "1.009 sat");
    world.verify_money().await;
}

/// A10: a wallet of the main network pays no play invoice, and no wallet pays one of another network than its own.
#[tokio::test]
async fn a_wallet_of_real_money_pays_no_play_invoice() {
    for network in [Some("mainnet"), None] {
        let mut options = bursar::sandbox::SandboxOptions::default();
        options.wallet.network = network.map(str::to_owned);
        let world = World::with_options("", options).await;
        let seller = Seller::honest(world.node(), 21_000, "{}").await;
        let host = world.host().await;
        refuses_with(&world, &host, &seller.url("/"), "wrong_network").await;
        assert_eq!(world.spent_msat(), 0, "{network:?}");
        assert_eq!(naive_msat(&world, &seller.url("/")).await, 21_000);
    }
}

/// A13: an amount carries its unit, and no unit is turned into another.
#[tokio::test]
async fn an_amount_without_its_unit_or_in_another_one_pays_nothing() {
    let world = World::new().await;
    let seller = Seller::honest(world.node(), 21_000, "{}").await;
    let host = world.host().await;
    let url = seller.url("/");
    for bad in [
        json!(100),
        json!("100"),
        json!("100 msat"),
        json!("100sats "),
        json!("1e3 sat"),
        json!("-1 sat"),
        json!("٣٠ sat"),
        json!("100 sat\u{0}"),
        json!("0.0001 sat"),
        json!({ "sat": 100 }),
        json!(["100 sat"]),
        json!("∞ sat"),
        json!("99999999999999999999 sat"),
        json!("100 btc"),
        json!(true),
        json!("100,5 sat"),
        json!("0x64 sat"),
    ] {
        let told = host.fetch(json!({ "url": url, "max_price": bad })).await;
        assert!(told.is_error() && told.facts()["code"] == "bad_arguments", "{bad}: {}", told.text());
    }
    for foreign in ["0.5 usd", "100 eurc"] {
        let told = refuses(&world, &host, json!({ "url": url, "max_price": foreign }), foreign).await;
        assert_eq!(told.facts()["code"], "other_currency", "{}", told.text());
        assert!(told.say().contains("21 sat"), "it names the price: {}", told.say());
    }
    assert_eq!((world.spent_msat(), world.asked_to_pay()), (0, 0));
    let told = host.fetch(json!({ "url": url, "max_price": "21 sat" })).await;
    assert_eq!((told.outcome(), world.spent_msat()), ("bought", 21_000));
}

/// A14: a fee beyond what was held is written down as it was, and that wallet pays no more until a person looks.
#[tokio::test]
async fn a_fee_beyond_its_hold_is_recorded_and_freezes_the_wallet() {
    let world = World::new().await;
    world.node().set_fees(bursar::sandbox::Fees { base_msat: 100_000, ppm: 0 });
    let seller = Seller::honest(world.node(), 21_000, "{}").await;
    let host = world.host().await;
    let told = host.fetch(json!({ "url": seller.url("/1") })).await;
    assert_eq!((told.outcome(), world.spent_msat()), ("bought", 121_000), "{}", told.text());
    assert_eq!(told.facts()["paid_now"], "121 sat");
    let second = Seller::honest(world.node(), 21_000, "{}").await;
    let told = refuses(&world, &host, json!({ "url": second.url("/2") }), "frozen").await;
    assert_eq!(told.facts()["code"], "wallet_frozen", "{}", told.text());
    assert_eq!(world.spent_msat(), 121_000, "what left is not more than the first purchase");
    world.verify_money().await;
    assert_eq!(naive_msat(&world, &second.url("/2")).await, 121_000, "who does not count fees goes on");
}
