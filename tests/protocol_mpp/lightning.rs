//! `lightning/charge`: the invoice is the price.

use bursar::{
    protocol::{Pin, Proof, Rail, Witness, World, bolt11::InvoicePolicy},
    secret::Secret,
};
use http::header::AUTHORIZATION;
use lightning_invoice::Currency;
use serde_json::{Value, json};

use super::{
    protocol_mint::{Mint, NOW, PREIMAGE},
    seller::{codes, inside, line, line_with, offer, offers, pin},
};

fn request(mint: &Mint, amount: &str) -> Value {
    json!({
        "amount": amount,
        "currency": "sat",
        "description": "Weather report",
        "methodDetails": { "invoice": mint.text(), "paymentHash": mint.hash_hex(), "network": "mainnet" },
    })
}

fn preimage(hex: &str) -> Proof {
    Proof::Preimage { hex: Secret::new(hex) }
}

#[test]
fn a_sound_challenge_is_an_offer_at_its_invoices_price() {
    let mint = Mint::sat(21);
    let offer = offer(&line("lightning", "charge", &request(&mint, "21")));
    assert!(offer.is_payable(), "{:?}", offer.objections);
    assert_eq!((offer.rail, offer.network.as_str(), offer.world), (Rail::LIGHTNING, "bitcoin", Some(World::Main)));
    assert_eq!((offer.price.unwrap().to_string().as_str(), offer.asset.as_str()), ("21 sat", "btc"));
    assert_eq!(offer.rail_key, format!("ln:{}", mint.hash_hex()), "the same key as any other dialect of that invoice");
    assert_eq!(pin(&offer).invoice(), Some(mint.text().as_str()));
    assert_eq!(pin(&offer).protocol().name(), "mpp");
    assert_eq!(offer.objections_at(NOW, &InvoicePolicy::default()), []);
    assert!(!Rail::is_settled_by_seller(offer.rail.0));
}

/// Facts 4, hazard 2: a challenge for 1 with an invoice for 50,000 moves nothing.
#[test]
fn hazard_2_an_invoice_that_asks_for_more_or_less_than_the_challenge_is_refused() {
    let dear = Mint::sat(50_000);
    let refused = offer(&line("lightning", "charge", &request(&dear, "1")));
    assert_eq!(codes(&refused), ["amount_mismatch"]);
    assert_eq!(refused.price.unwrap().to_string(), "50000 sat", "the price is the invoice's");
    let mint = Mint::sat(21);
    for amount in ["20", "22", "0", "21000", "18446744073709551615", "21000000000000000000"] {
        let offer = offer(&line("lightning", "charge", &request(&mint, amount)));
        assert!(!offer.is_payable(), "{amount}");
    }
    // A fraction of a satoshi is another price as well.
    let msat = Mint::of(21_001 * 10, Some(lightning_invoice::SiPrefix::Pico));
    assert_eq!(codes(&offer(&line("lightning", "charge", &request(&msat, "21")))), ["amount_mismatch"]);
    for amount in ["", "-21", "21.0", "+21", "0x15", "21 ", "２１"] {
        assert_eq!(codes(&offer(&line("lightning", "charge", &request(&mint, amount)))), ["no_amount"], "{amount:?}");
    }
}

#[test]
fn whatever_contradicts_the_invoice_refuses() {
    let mint = Mint::sat(21);
    let with = |change: &dyn Fn(&mut Value)| {
        let mut request = request(&mint, "21");
        change(&mut request);
        codes(&offer(&line("lightning", "charge", &request)))
    };
    assert_eq!(with(&|r| r["methodDetails"]["paymentHash"] = json!("00".repeat(32))), ["hash_mismatch"]);
    assert_eq!(with(&|r| r["methodDetails"]["paymentHash"] = json!(7)), ["hash_mismatch"]);
    assert_eq!(with(&|r| r["methodDetails"]["network"] = json!("regtest")), ["network_mismatch"]);
    assert_eq!(with(&|r| r["methodDetails"]["network"] = json!(["mainnet"])), ["network_mismatch"]);
    assert_eq!(with(&|r| r["currency"] = json!("usd")), ["unknown_currency"]);
    assert_eq!(with(&|r| r["currency"] = json!("msat")), ["unknown_currency"]);
    assert_eq!(with(&|r| r["currency"] = Value::Null), ["unknown_currency"]);
    assert_eq!(with(&|r| r["amount"] = Value::Null), ["no_amount"]);
    assert_eq!(with(&|r| r["methodDetails"] = Value::Null), ["no_invoice"]);
    assert_eq!(with(&|r| r["methodDetails"]["invoice"] = json!("lnbc1")), ["bad_invoice"]);
    // What is only a courtesy may be missing; both drafts' own examples write BTC beside satoshi.
    for payable in [
        with(&|r| r["methodDetails"] = json!({"invoice": mint.text()})),
        with(&|r| r["currency"] = json!("BTC")),
        with(&|r| r["amount"] = json!(21)),
    ] {
        assert_eq!(payable, [""; 0]);
    }
    let amountless = Mint { amount: None, prefix: None, ..Mint::default() };
    assert_eq!(codes(&offer(&line("lightning", "charge", &request(&amountless, "21")))), ["no_amount"]);
    let signet = Mint { currency: Currency::Signet, ..Mint::sat(21) };
    let signet = json!({"amount": "21", "currency": "sat",
        "methodDetails": {"invoice": signet.text(), "network": "signet"}});
    assert_eq!(offer(&line("lightning", "charge", &signet)).world, Some(World::Test));
}

#[test]
fn the_earlier_of_two_ends_counts() {
    let policy = InvoicePolicy::default();
    let at = |mint: &Mint, expires: &str, now: u64| {
        let rest = format!(r#", expires="{expires}""#);
        let offer = offer(&line_with("lightning", "charge", &request(mint, "21"), &rest));
        (offer.objections_at(now, &policy).into_iter().map(|o| o.code).collect::<Vec<_>>(), offer.expires_at)
    };
    // NOW is 11:06:40; the invoice ends 595 s later.
    let mint = Mint::sat(21);
    assert_eq!(at(&mint, "2026-11-18T11:16:40Z", NOW), (vec![], Some(NOW + 595)));
    assert_eq!(at(&mint, "2026-11-18T11:07:40.999999999Z", NOW), (vec![], Some(NOW + 60)));
    assert_eq!(at(&mint, "2026-11-18T11:06:50Z", NOW).0, ["expires_soon"]);
    assert_eq!(at(&mint, "2026-11-18T11:06:40Z", NOW).0, ["expired"]);
    assert_eq!(at(&mint, "2026-11-18T12:00:00Z", NOW + 596).0, ["expired"], "the invoice's own");
    assert_eq!(at(&mint, "2026-11-18T10:00:00Z", NOW + 596).0, ["expired", "expired"], "both");
    let bad = offer(&line_with("lightning", "charge", &request(&mint, "21"), r#", expires="tomorrow""#));
    assert_eq!(codes(&bad), ["bad_expiry"]);
    let none = offer(&line_with("lightning", "charge", &request(&mint, "21"), ""));
    assert_eq!((none.objections_at(NOW, &policy), none.expires_at), (vec![], Some(NOW + 595)));
}

#[test]
fn the_credential_repeats_the_challenge_byte_for_byte() {
    let mint = Mint::sat(21);
    // The request is not canonical, has its padding, and says things nobody knows; opaque and digest are anything.
    let text = format!(
        r#"{{ "methodDetails" : {{"invoice":"{}"}}, "currency":"sat", "x":[1.0], "amount":"21" }}"#,
        mint.text()
    );
    let encoded = data_encoding::BASE64URL.encode(text.as_bytes());
    let line = format!(
        r#"Payment id="a,b \"c\"", realm="api.example.com", method="lightning", intent="charge", request="{encoded}", expires="2026-11-18T11:16:40.123456789Z", digest="sha-256=:X48E9q:", opaque="eyJvIjoiMSJ9==", description="say \"hi\"", unknown="x""#
    );
    let offer = offer(&line);
    let credential = pin(&offer).credential(&preimage(&PREIMAGE.to_uppercase())).unwrap();
    assert_eq!(credential.name, AUTHORIZATION);
    assert!(credential.value.is_sensitive());
    assert_eq!(
        inside(&credential),
        json!({
            "challenge": {
                "id": "a,b \"c\"", "realm": "api.example.com", "method": "lightning", "intent": "charge",
                "request": encoded, "expires": "2026-11-18T11:16:40.123456789Z", "digest": "sha-256=:X48E9q:",
                "opaque": "eyJvIjoiMSJ9==", "description": "say \"hi\"",
            },
            "payload": { "preimage": PREIMAGE },
        })
    );
    // It survives the ledger, and is the same each time: re-presenting is never re-buying.
    let stored: Pin = serde_json::from_slice(&serde_json::to_vec(pin(&offer)).unwrap()).unwrap();
    let again = stored.credential(&preimage(PREIMAGE)).unwrap();
    assert_eq!((again.name, again.value), (credential.name, credential.value));
}

#[test]
fn only_the_preimage_of_the_pinned_invoice_makes_a_credential() {
    let offer = offer(&line("lightning", "charge", &request(&Mint::sat(21), "21")));
    for wrong in ["", "07", &"08".repeat(32), &format!("{PREIMAGE}00"), "zz"] {
        assert!(pin(&offer).credential(&preimage(wrong)).is_none(), "{wrong}");
    }
    let transfer = Proof::Transfer { by: Witness::Receipt, transaction: None };
    assert!(pin(&offer).credential(&transfer).is_none());
    assert!(pin(&offer).payment(b"{}").is_none(), "nothing is signed on Lightning");
}

/// Facts 4, hazard 8: a seller may choose one other header for its credential, and no third.
#[test]
fn hazard_8_the_credential_goes_into_one_of_two_headers() {
    let request = request(&Mint::sat(21), "21");
    let with = |header: &str| offer(&line_with("lightning", "charge", &request, &format!(r#", header="{header}""#)));
    let own = with("Payment-Authorization");
    let credential = pin(&own).credential(&preimage(PREIMAGE)).unwrap();
    assert_eq!(credential.name, "payment-authorization");
    assert_eq!(inside(&credential)["challenge"]["header"], "Payment-Authorization", "it is under the server's MAC");
    for header in ["Cookie", "X-Api-Key", "Host", "payment-authorization2", ""] {
        assert_eq!(codes(&with(header)), ["unknown_header"], "{header:?}");
    }
}

/// Facts 4, hazard 14: a preimage that a server repeats is known, so that it can be masked.
#[test]
fn hazard_14_what_a_credential_holds_is_known_to_be_secret() {
    let offer = offer(&line("lightning", "charge", &request(&Mint::sat(21), "21")));
    let credential = pin(&offer).credential(&preimage(PREIMAGE)).unwrap();
    let secrets: Vec<_> = credential.parts.iter().map(|s| s.expose().to_owned()).collect();
    assert_eq!(secrets, [PREIMAGE]);
    let debug = format!("{credential:?} {:?}", preimage(PREIMAGE));
    assert!(!debug.contains(PREIMAGE));
}

/// Facts 4, hazard 19: aperture offers one invoice for each dialect; each is an offer of its own, told apart by its hash.
#[test]
fn hazard_19_sibling_offers_with_invoices_of_their_own_stay_apart() {
    let (one, two) = (Mint::sat(21), Mint { preimage: [8; 32], ..Mint::sat(21) });
    let l402 = format!(r#"L402 macaroon="{}", invoice="{}""#, super::protocol_mint::token_for(&one), one.text());
    let page = super::seller::page(&[&l402, &line("lightning", "charge", &request(&two, "21"))]);
    let keys: Vec<_> = page.offers.iter().map(|o| (o.protocol.name(), o.rail_key.clone(), o.is_payable())).collect();
    let key = |mint: &Mint| format!("ln:{}", mint.hash_hex());
    assert_eq!(keys, [("l402", key(&one), true), ("mpp", key(&two), true)]);
    // A line that a proxy doubled is one offer.
    let same = line("lightning", "charge", &request(&two, "21"));
    assert_eq!(offers(&[&same, &same]).len(), 1);
}
