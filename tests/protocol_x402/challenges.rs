//! Where terms stand, and how they are written down.

use bursar::protocol::{Rail, World};
use data_encoding::{BASE64, BASE64_NOPAD, BASE64URL, BASE64URL_NOPAD};
use serde_json::json;

use super::*;

fn version_1() -> Value {
    json!({ "x402Version": 1, "error": "X-PAYMENT header is required", "accepts": [{ "scheme": "exact",
        "network": "base", "maxAmountRequired": "10000", "resource": URL, "description": "", "mimeType": "",
        "outputSchema": null, "payTo": PAYEE, "maxTimeoutSeconds": 60, "asset": USDC }] })
}

/// Hazard 17: terms in four places, and each is answered in its own version with one header.
#[test]
fn hazard_17_terms_are_found_in_all_four_places_and_answered_in_their_version() {
    let two = terms(&[entry()]);
    for (answer, version, header) in [
        (Answer::new(402).header("payment-required", &two), 2, "payment-signature"),
        (Answer::new(402).header("PAYMENT-REQUIRED", &two).body("<html>"), 2, "payment-signature"),
        (Answer::new(402).header("x-payment-required", &two), 2, "payment-signature"),
        (Answer::new(402).body(two.to_string()), 2, "payment-signature"),
        (Answer::new(402).body(version_1().to_string()), 1, "x-payment"),
        (Answer::new(402).header("payment-required", &version_1()), 1, "x-payment"),
    ] {
        let offer = only(answer.read());
        let pin = pin(&offer);
        assert_eq!(x402(&pin).version, version);
        let (name, _, json) = paid(&pin, &signed(&pin, 1));
        assert_eq!(name, header);
        assert!(json.starts_with(&format!(r#"{{"x402Version":{version},"#)), "{json}");
    }
}

/// Hazard 17: both versions at once are one challenge, and the header is the protocol.
#[test]
fn hazard_17_one_challenge_never_becomes_two_offers() {
    let two = terms(&[entry()]);
    let answer = Answer::new(402).header("payment-required", &two).header("x-payment-required", &two);
    for answer in [
        answer,
        Answer::new(402).header("payment-required", &two).body(version_1().to_string()),
        Answer::new(402).header("payment-required", &two).header("payment-required", &two),
        Answer::new(402).header("payment-required", &terms(&[entry(), entry()])),
    ] {
        assert_eq!(x402(&pin(&only(answer.read()))).version, 2);
    }
}

/// Hazard 17: only `x402Version` and `accepts` must be there.
#[test]
fn hazard_17_a_header_without_resource_or_error_is_enough() {
    let bare = json!({ "x402Version": 2, "accepts": [entry()] });
    let pin = pin(&only(Answer::new(402).header("payment-required", &bare).read()));
    let (_, _, json) = paid(&pin, &signed(&pin, 1));
    assert!(!json.contains("resource") && !json.contains("extensions"), "{json}");
    let null = json!({ "x402Version": 2, "accepts": [entry()], "resource": null, "extensions": null, "error": null });
    let pin = super::pin(&only(Answer::new(402).header("payment-required", &null).read()));
    assert!(x402(&pin).resource.is_none() && x402(&pin).extensions.is_none());
}

/// Hazard 20: a header too long to arrive whole, or broken on its way, falls back to the body.
#[test]
fn hazard_20_a_header_that_cannot_be_read_gives_way_to_the_body() {
    let whole = BASE64.encode(terms(&[entry()]).to_string().as_bytes());
    for broken in [&whole[..whole.len() / 2], "not base64!", "", "e30=", &"A".repeat(100_000)] {
        let challenge = Answer::new(402).raw("payment-required", broken).body(version_1().to_string()).read();
        assert_eq!(challenge.notes.len(), 1, "{:?}", challenge.notes);
        assert!(challenge.notes[0].ends_with("other terms of the answer were read"));
        assert_eq!(x402(&pin(&only(challenge))).version, 1);
        let alone = only(Answer::new(402).raw("payment-required", broken).read());
        assert!(!alone.is_payable() && alone.price.is_none() && alone.rail == Rail::UNKNOWN);
        assert!(["bad_terms", "too_large"].contains(&codes(&alone)[0]), "{:?}", alone.objections);
    }
}

/// Hazard 21: a token's name outside ASCII survives, in every kind of base64.
#[test]
fn hazard_21_names_outside_ascii_are_read_in_every_base64() {
    let tether = "0x0000000000000000000000000000000000001234";
    let entry = but(json!({ "asset": tether, "extra": { "name": "USD₮0", "version": "1" } }));
    let text = terms(&[entry]).to_string();
    let assets = assets("USD₮0", "1", tether);
    for encoding in [BASE64, BASE64_NOPAD, BASE64URL, BASE64URL_NOPAD] {
        let answer = Answer::new(402).raw("payment-required", format!(" {} ", encoding.encode(text.as_bytes())));
        let offer = only(bursar::protocol::read_with(answer.seen(), &assets));
        let pin = pin(&offer);
        assert_eq!(pin.transfer().unwrap().token.name, "USD₮0");
        assert!(paid(&pin, &signed(&pin, 1)).2.contains("USD₮0"));
    }
    let plain = Answer::new(402).raw("payment-required", &text);
    assert_eq!(codes(&only(plain.read())), ["unknown_asset"], "nobody vouches for it without the operator");
}

/// Hazard 27: a 402 that speaks of x402 and names nothing to pay on is said to be that.
#[test]
fn hazard_27_a_challenge_without_terms_is_not_payable() {
    for body in [
        json!({ "x402Version": 1, "accepts": [] }),
        json!({ "x402Version": 2, "error": "pay" }),
        json!({ "x402Version": 1, "accepts": null }),
        json!({ "x402Version": 1, "accepts": { "scheme": "exact" } }),
    ] {
        let offer = only(Answer::new(402).body(body.to_string()).read());
        assert_eq!((codes(&offer), offer.is_payable()), (vec!["no_terms"], false), "{body}");
    }
    for (body, expected) in [
        (json!({ "x402Version": 3, "accepts": [entry()] }), "unsupported_version"),
        (json!({ "x402Version": 2.5, "accepts": [entry()] }), "unsupported_version"),
    ] {
        assert_eq!(codes(&only(Answer::new(402).body(body.to_string()).read())), [expected]);
    }
    // A body that does not call itself x402 is the seller's own business.
    for body in ["{}", r#"{"accepts":[]}"#, r#"{"x402Version":"1","accepts":[]}"#, "pay me", "[1]", ""] {
        assert!(Answer::new(402).body(body).read().offers.is_empty(), "{body}");
    }
    assert!(Answer::new(200).header("payment-required", &terms(&[entry()])).read().offers.is_empty());
}

/// The blog of a seller in the field shows this; its server sends version 2.
#[test]
fn the_odd_form_of_a_sellers_blog_is_listed() {
    let odd = json!({ "x402Version": 1, "accepts": [{ "amount": "10000", "currency": "USDC" }] });
    let offer = only(Answer::new(402).body(odd.to_string()).read());
    assert_eq!(codes(&offer), ["bad_terms", "bad_terms", "bad_payee"]);
    assert!(offer.price.is_none());
}

/// Hazard 19: what is not known is listed with its reason, and costs the others nothing.
#[test]
fn hazard_19_unknown_entries_are_listed_beside_the_one_that_can_be_paid() {
    let challenge = challenge(&[
        but(json!({ "network": "hedera:mainnet", "asset": "0.0.456858", "payTo": "0.0.1" })),
        but(json!({ "network": "ach:us", "asset": "USD", "payTo": "merchant", "scheme": "invoice" })),
        json!("nonsense"),
        but(json!({ "scheme": "batch-settlement" })),
        entry(),
        but(json!({ "network": "base-sepolia", "asset": "0x036CbD53842c5426634e7929541eC2318f3dCF7e",
            "extra": { "name": "USDC", "version": "2" } })),
    ]);
    let found: Vec<_> = challenge.offers.iter().map(|o| (codes(o), o.world)).collect();
    assert_eq!(
        found,
        [
            (vec!["unknown_network"], None),
            (vec!["unsupported_scheme", "unknown_network"], None),
            (vec!["bad_terms"], None),
            (vec!["unsupported_scheme"], Some(World::Main)),
            (vec![], Some(World::Main)),
            (vec![], Some(World::Test)),
        ]
    );
    assert!(challenge.offers.iter().all(|o| o.objections.iter().all(|o| o.say.len() > 15 && o.say.len() < 250)));
}

/// Hazard 25: a proxy's inner name or a plain `http` in the terms is worth a remark and no more.
#[test]
fn hazard_25_terms_that_speak_of_another_host_are_remarked_and_echoed() {
    for (named, remarked) in [
        ("http://seller.example/weather", false),
        ("https://seller.example:8443/other", false),
        ("http://10.0.0.7:3000/weather", true),
        ("https://evil.example/\u{202e}x", true),
        ("mcp://tool/weather", true),
        ("weather", false),
    ] {
        let mut terms = terms(&[entry()]);
        terms["resource"]["url"] = named.into();
        let offer = only(Answer::new(402).header("payment-required", &terms).read());
        assert_eq!(offer.remarks.len(), usize::from(remarked), "{named}: {:?}", offer.remarks);
        let pin = pin(&offer);
        let sent: Value = serde_json::from_str(&paid(&pin, &signed(&pin, 1)).2).unwrap();
        assert_eq!(sent["resource"]["url"], named);
    }
    let mut one = version_1();
    one["accepts"][0]["resource"] = "https://other.example/x".into();
    let offer = only(Answer::new(402).body(one.to_string()).read());
    assert_eq!(offer.remarks, ["its terms speak of another host, \"other.example\""]);
    assert!(offer.is_payable());
}
