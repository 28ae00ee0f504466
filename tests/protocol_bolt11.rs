//! What Bursar has for and against an invoice.

mod protocol_mint;

use bursar::{
    money::Amount,
    protocol::{
        World,
        bolt11::{Invoice, InvoicePolicy, MAX_CHARS, MAX_DESCRIPTION},
    },
};
use lightning_invoice::{Currency, SiPrefix};
use protocol_mint::*;

fn code(text: &str) -> &'static str {
    Invoice::read(text).expect_err(text).code
}

fn msat(mint: Mint) -> u64 {
    Invoice::read(&mint.text()).unwrap().amount.atomic()
}

fn clock(mint: Mint, now: u64) -> Vec<&'static str> {
    let invoice = Invoice::read(&mint.text()).unwrap();
    invoice.objections(now, &InvoicePolicy::default()).into_iter().map(|o| o.code).collect()
}

/// Every example of BOLT11, valid and invalid; a valid one without an amount is still not for Bursar.
#[test]
fn the_official_vectors_are_answered_as_bolt11_says() {
    let vectors: Vec<(bool, String, String)> = serde_json::from_str(include_str!("data/bolt11-vectors.json")).unwrap();
    assert_eq!(vectors.len(), 26);
    for (valid, what, text) in vectors {
        match Invoice::read(&text) {
            Ok(_) => assert!(valid, "{what}"),
            Err(o) if valid => assert_eq!((o.code, text.starts_with("lnbc1")), ("no_amount", true), "{what}"),
            Err(o) => assert_eq!(o.code, "bad_invoice", "{what}"),
        }
    }
}

#[test]
fn an_invoice_says_everything_that_a_purchase_needs() {
    let mint = Mint { created: NOW, expiry: None, ..Mint::sat(21) };
    let invoice = Invoice::read(&mint.text()).unwrap();
    assert_eq!(invoice.amount, "21 sat".parse::<Amount>().unwrap());
    assert_eq!((invoice.network, invoice.world), ("bitcoin", World::Main));
    assert_eq!(invoice.payment_hash, mint.hash_hex());
    assert_eq!((invoice.payee.len(), &invoice.payee[..1]), (66, "0"));
    assert_eq!((invoice.created_s, invoice.expires_s), (NOW, NOW + 3600), "an hour is the default");
    assert_eq!(invoice.untrusted_description, "L402");
}

/// safety A2, l402 hazard 9: amounts without a multiplier are whole bitcoins.
#[test]
fn a_whole_bitcoin_is_a_hundred_million_satoshi() {
    assert_eq!(msat(Mint::of(1, None)), 100_000_000_000);
    assert_eq!(msat(Mint::of(20, None)), 2_000_000_000_000);
    assert!(Mint::of(20, None).text().starts_with("lnbc201p"));
}

/// safety A3, l402 hazard 8.
#[test]
fn an_invoice_without_an_amount_is_never_paid() {
    assert_eq!(code(&Mint { amount: None, prefix: None, ..Mint::default() }.text()), "no_amount");
    assert_eq!(code(&Mint::of(0, Some(SiPrefix::Milli)).text()), "no_amount", "zero lets the payer choose");
    assert_eq!(code(&Mint::of(0, None).text()), "no_amount");
}

/// safety A4: the library answers `None` for what it cannot count; that is not "any amount".
#[test]
fn an_amount_beyond_counting_is_not_an_amountless_invoice() {
    let refused = Invoice::read(&Mint::of(22_000_000, None).text()).unwrap_err();
    assert_eq!(refused.code, "no_amount");
    assert!(refused.say.contains("more than can be counted"), "{}", refused.say);
    let amountless = Invoice::read(&Mint { amount: None, prefix: None, ..Mint::default() }.text()).unwrap_err();
    assert!(amountless.say.contains("names no amount"), "{}", amountless.say);
}

/// safety A5: `92233720368548m` wraps an `i64`, `18446744073709551615m` a `u64`.
#[test]
fn amounts_that_would_wrap_are_refused() {
    assert_eq!(code(&Mint::of(92_233_720_368_548, Some(SiPrefix::Milli)).text()), "bad_invoice");
    assert_eq!(code(&Mint::of(u64::MAX, Some(SiPrefix::Milli)).text()), "bad_invoice");
    assert_eq!(code(&Mint::of(u64::MAX, None).text()), "no_amount");
    assert_eq!(msat(Mint::of(18_446_744_073_709_551_610, Some(SiPrefix::Pico))), 1_844_674_407_370_955_161);
}

/// safety A6, l402 hazard 9: millisatoshi are kept; half a millisatoshi is no amount.
#[test]
fn millisatoshi_are_kept_to_the_last() {
    assert_eq!(msat(Mint::of(9990, Some(SiPrefix::Pico))), 999);
    assert_eq!(msat(Mint::of(100, Some(SiPrefix::Pico))), 10);
    assert_eq!(msat(Mint::of(10, Some(SiPrefix::Pico))), 1);
    for fraction in [1, 5, 9, 11, 9999] {
        assert_eq!(code(&Mint::of(fraction, Some(SiPrefix::Pico)).text()), "bad_invoice");
    }
    let sub_sat = Invoice::read(&Mint::of(9990, Some(SiPrefix::Pico)).text()).unwrap();
    assert_eq!(sub_sat.amount.to_string(), "0.999 sat");
}

/// safety A10, l402 hazards 9 and 14: every network is told by its name, and only one of them is money.
#[test]
fn play_money_is_told_from_money() {
    for (currency, prefix, network, world) in [
        (Currency::Bitcoin, "lnbc", "bitcoin", World::Main),
        (Currency::BitcoinTestnet, "lntb", "testnet", World::Test),
        (Currency::Signet, "lntbs", "signet", World::Test),
        (Currency::Regtest, "lnbcrt", "regtest", World::Test),
        (Currency::Simnet, "lnsb", "simnet", World::Test),
    ] {
        let text = Mint { currency, ..Mint::sat(21) }.text();
        assert!(text.starts_with(&format!("{prefix}210n1")));
        let invoice = Invoice::read(&text).unwrap();
        assert_eq!((invoice.network, invoice.world, invoice.amount.atomic()), (network, world, 21_000));
    }
}

/// safety A32, l402 hazard 13.
#[test]
fn the_clock_forbids_what_is_over_nearly_over_too_long_or_not_yet() {
    let mint = Mint { created: NOW, expiry: Some(600), ..Mint::default() };
    assert_eq!(clock(mint.clone(), NOW), [""; 0]);
    assert_eq!(clock(mint.clone(), NOW + 580), [""; 0], "20 s are left");
    assert_eq!(clock(mint.clone(), NOW + 581), ["expires_soon"]);
    assert_eq!(clock(mint.clone(), NOW + 597), ["expires_soon"], "3 s are left");
    assert_eq!(clock(mint.clone(), NOW + 600), ["expired"]);
    assert_eq!(clock(mint.clone(), u64::MAX), ["expired"]);
    assert_eq!(clock(mint.clone(), NOW - 600), [""; 0], "clocks differ");
    assert_eq!(clock(mint.clone(), NOW - 601), ["from_the_future"]);
    assert_eq!(clock(mint.clone(), NOW - 3600), ["from_the_future"]);
    assert_eq!(clock(mint, 0), ["from_the_future"]);
    assert_eq!(clock(Mint { created: NOW, expiry: Some(3600), ..Mint::default() }, NOW), [""; 0]);
    assert_eq!(clock(Mint { created: NOW, expiry: Some(3601), ..Mint::default() }, NOW), ["lives_too_long"]);
    assert_eq!(clock(Mint { created: NOW, expiry: Some(0), ..Mint::default() }, NOW), ["expired"]);
}

/// LND's invoices live a day unless told otherwise, so those of aperture and l402.space need a wider policy.
#[test]
fn a_day_long_invoice_needs_a_wider_policy() {
    let page = include_str!("data/402-captures/lsat-scheme.json");
    let text = page.split("invoice=\\\"").nth(1).and_then(|rest| rest.split('\\').next()).unwrap();
    let invoice = Invoice::read(text).unwrap();
    let codes = |policy: InvoicePolicy| -> Vec<_> {
        invoice.objections(invoice.created_s + 1, &policy).into_iter().map(|o| o.code).collect()
    };
    assert_eq!(codes(InvoicePolicy::default()), ["lives_too_long"]);
    assert_eq!(codes(InvoicePolicy { max_life_s: 86_400, ..InvoicePolicy::default() }), [""; 0]);
}

/// safety 3.9: a hundred years, and an expiry as large as the field allows.
#[test]
fn an_expiry_beyond_all_time_does_not_overflow() {
    assert_eq!(clock(Mint { created: NOW, expiry: Some(3_155_760_000), ..Mint::default() }, NOW), ["lives_too_long"]);
    match Invoice::read(&Mint { expiry: Some(u64::MAX), ..Mint::default() }.text()) {
        Err(o) => assert!(matches!(o.code, "bad_expiry" | "bad_invoice")),
        Ok(invoice) => panic!("{invoice:?}"),
    }
}

/// safety A62.
#[test]
fn invoices_that_break_the_rules_are_refused() {
    let good = Mint::sat(21).text();
    let upper = good.to_uppercase();
    assert!(Invoice::read(&upper).is_ok(), "all upper case is allowed");
    assert_eq!(code(&format!("{}{}", &upper[..20], &good[20..])), "bad_invoice", "mixed case");
    let last = if good.ends_with('q') { "p" } else { "q" };
    assert_eq!(code(&format!("{}{last}", &good[..good.len() - 1])), "bad_invoice", "bad checksum");
    assert_eq!(code(&Mint { hints: 100, ..Mint::sat(21) }.text()), "bad_invoice", "100 route hints");
    assert!(Invoice::read(&Mint { hints: 3, ..Mint::sat(21) }.text()).is_ok());
    assert_eq!(code(&format!("{good}{}", "q".repeat(10_000))), "bad_invoice", "10 KB of description");
    assert_eq!(code(&Mint { description: "x".repeat(10_000), ..Mint::sat(21) }.text()), "bad_invoice", "none is left");
    for text in ["", "1", "lnbc", "lnbc1", "ln", " ", "lnbc210n1\u{130}", "lightning:", &"l".repeat(MAX_CHARS + 1)] {
        assert_eq!(code(text), "bad_invoice", "{text:.20}");
    }
}

/// safety A71, l402 hazard 24.
#[test]
fn a_description_is_cleaned_and_bounded() {
    let description = "pay\u{202e}now \u{1b}[31mIGNORE\u{200b} ALL\r\nlimits\0 ";
    let text = Mint { description: format!("{description}{}", "é".repeat(200)), ..Mint::sat(1) }.text();
    let shown = Invoice::read(&text).unwrap().untrusted_description;
    assert!(shown.starts_with("paynow IGNORE ALL limits éé"), "{shown}");
    assert_eq!(shown.chars().count(), MAX_DESCRIPTION);
    assert!(shown.ends_with('…'));
}

#[test]
fn no_text_makes_the_reader_panic() {
    use proptest::prelude::*;
    let good = Mint::sat(21).text();
    proptest!(ProptestConfig::with_cases(512), |(text in ".{0,80}", at in 0usize..200, with in any::<char>())| {
        let _ = Invoice::read(&text);
        let _ = Invoice::read(&format!("lnbc{text}"));
        let mut broken: Vec<char> = good.chars().collect();
        let at = at % broken.len();
        let changed = broken[at] != with;
        broken[at] = with;
        let broken: String = broken.into_iter().collect();
        prop_assert!(!changed || Invoice::read(&broken).is_err(), "a changed invoice was believed: {}", broken);
    });
}
