//! The 79 vectors of aperture (mpp/testdata/vectors.json). Where we differ it is said beside the test, and why.

use bursar::protocol::{
    Pin, Seen,
    header::{Listing, RawChallenge, read_line},
    mpp::{Challenge, canonical, decode, encode},
};
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use serde_json::{Value, json};

use super::seller::{line, offer, pin};

fn vectors() -> Value {
    serde_json::from_str(include_str!("../data/mpp-aperture-vectors.json")).unwrap()
}

/// The vectors of a section, counted, so that none is lost.
fn section(name: &str, count: usize) -> Vec<Value> {
    let cases = vectors()[name].as_array().unwrap().clone();
    assert_eq!(cases.len(), count, "{name}");
    cases
}

fn text<'a>(case: &'a Value, name: &str) -> &'a str {
    case[name].as_str().unwrap()
}

fn fails(case: &Value) -> bool {
    case["error"] == true
}

fn payments(line: &str) -> Vec<RawChallenge> {
    let mut listing = Listing::default();
    read_line(line.as_bytes(), &mut listing);
    listing.challenges.into_iter().filter(|raw| raw.is("Payment")).collect()
}

/// The members that the vectors name; ours have more optional ones.
fn members(challenge: &Challenge) -> Value {
    serde_json::to_value(challenge).unwrap()
}

#[test]
fn json_has_one_canonical_form() {
    for case in section("canonicalization", 22) {
        let expected = (!fails(&case)).then(|| text(&case, "canonical"));
        assert_eq!(canonical(text(&case, "input")).as_deref(), expected, "{}", case["name"]);
    }
    // Beyond the vectors: what two readers could read in two ways has no form at all.
    for input in [r#"{"a":1,"a":1}"#, r#"{"a":1e400}"#, "{} x", "", &format!("{}{}", "[".repeat(99), "]".repeat(99))] {
        assert_eq!(canonical(input), None, "{input}");
    }
}

#[test]
fn base64url_is_read_strictly_and_written_without_padding() {
    for case in section("base64url", 17) {
        let encoded = text(&case, "encoded");
        let decoded = decode(encoded).map(|bytes| HEXLOWER.encode(&bytes));
        // An empty string decodes to nothing, which the vectors leave out.
        let expected = (!fails(&case)).then(|| case["decodedHex"].as_str().unwrap_or_default());
        assert_eq!(decoded.as_deref(), expected, "{}", case["name"]);
        if case["canonical"] == true {
            assert_eq!(encode(&decode(encoded).unwrap()), encoded, "{}", case["name"]);
        }
    }
}

#[test]
fn challenges_are_read_with_every_parameter() {
    for case in section("challengeHeaders", 6) {
        let raw = payments(text(&case, "header"));
        assert_eq!(raw.len(), 1, "{}", case["name"]);
        let mut read = members(&Challenge::read(&raw[0]).unwrap());
        let mut expected = case["parsed"].clone();
        // We differ: a description that is not plain ASCII is shown, and not repeated. Servers write it in three ways and
        // take a credential without it.
        if !expected["description"].as_str().unwrap_or_default().is_ascii() {
            expected.as_object_mut().unwrap().remove("description");
        }
        // Absent and empty are the same to us.
        read.as_object_mut().unwrap().retain(|_, value| value != "");
        assert_eq!(read, expected, "{}", case["name"]);
    }
}

#[test]
fn lists_are_taken_apart_and_no_parameter_strays() {
    for case in section("challengeLists", 11) {
        let name = text(&case, "name");
        let all: Vec<_> = payments(text(&case, "header")).iter().map(Challenge::read).collect();
        let sound: Vec<Value> = all.iter().flatten().map(members).collect();
        // We differ: where a parameter stands twice with two values, the first is not taken. Whoever appended the second
        // may as well have put it in front, so the offer is refused (mppx and mpp-rs do the same).
        if name == "repeated parameter takes the first occurrence" {
            assert_eq!(all.iter().map(|c| c.as_ref().err().unwrap().code).collect::<Vec<_>>(), ["ambiguous"]);
            continue;
        }
        // An answer without any sound offer is an error there, and an answer without offers here.
        let expected = case["challenges"].as_array().cloned().unwrap_or_default();
        assert_eq!(sound, expected, "{name}");
        assert_eq!(fails(&case), sound.is_empty(), "{name}");
    }
}

/// A challenge's id is its server's own affair, so nothing here computes one. What the vectors show is what a server
/// computes its MAC over: those parameters, and so those must come back byte for byte.
#[test]
fn what_a_server_authenticates_comes_back_byte_for_byte() {
    for case in section("challengeIds", 4) {
        let params = case["params"].as_object().unwrap();
        let quoted = params.iter().map(|(name, value)| format!("{name}=\"{}\"", value.as_str().unwrap()));
        let raw = payments(&format!("Payment {}", quoted.collect::<Vec<_>>().join(", ")));
        let echoed = members(&Challenge::read(&raw[0]).unwrap());
        let slots = ["realm", "method", "intent", "request", "expires", "digest", "opaque"];
        let input: Vec<&str> = slots.iter().map(|slot| echoed[slot].as_str().unwrap_or_default()).collect();
        assert_eq!(input.join("|"), text(&case, "hmacInput"), "{}", case["name"]);
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &secret());
        let mac = ring::hmac::sign(&key, input.join("|").as_bytes());
        assert_eq!(BASE64URL_NOPAD.encode(mac.as_ref()), echoed["id"].as_str().unwrap(), "{}", case["name"]);
    }
}

fn secret() -> Vec<u8> {
    HEXLOWER.decode(vectors()["hmacSecretHex"].as_str().unwrap().as_bytes()).unwrap()
}

/// We write credentials and never read a stranger's, so the good ones must be what we would write (but for the order of
/// members, which JCS settles for us and the vectors leave to Go) and the bad ones are only counted.
#[test]
fn credentials_hold_what_the_vectors_hold() {
    let cases = section("credentials", 11);
    for case in cases.iter().filter(|case| !fails(case)) {
        let (scheme, blob) = text(case, "header").split_once(' ').unwrap();
        assert!(scheme.eq_ignore_ascii_case("payment"));
        let decoded = String::from_utf8(decode(blob).unwrap()).unwrap();
        assert_eq!(decoded, text(case, "credentialJson"), "{}", case["name"]);
        assert_eq!(canonical(&decoded), canonical(text(case, "credentialJson")));
    }
    assert_eq!(cases.iter().filter(|case| fails(case)).count(), 7);
}

/// A receipt only ever says that the payment is known; none of its numbers is believed, so those beyond a double's
/// range do not matter. Two vectors are events of a stream and no receipts.
#[test]
fn receipts_are_read_and_foreign_ones_are_not_ours() {
    let mint = super::protocol_mint::Mint::sat(21);
    let request = json!({"amount": "21", "currency": "sat", "methodDetails": {"invoice": mint.text()}});
    let offer = offer(&line("lightning", "charge", &request));
    let pin = pin(&offer);
    for case in section("receipts", 8) {
        let receipt = receipt(pin, text(&case, "header"));
        let name = text(&case, "name");
        assert_eq!(receipt.is_some_and(|r| r.settled), !name.starts_with("need top-up"), "{name}");
    }
    let said = |receipt: Value| self::receipt(pin, &BASE64URL_NOPAD.encode(receipt.to_string().as_bytes()));
    let ours = "kM9xPqWvT2nJrHsY4aDfEb";
    assert!(said(json!({"status": "success", "challengeId": ours})).is_some_and(|r| r.settled));
    assert!(said(json!({"status": "pending"})).is_some_and(|r| !r.settled));
    for foreign in [
        json!({"status": "success", "method": "tempo"}),
        json!({"status": "success", "challengeId": "another"}),
        json!({"method": "lightning"}),
        json!({"status": true}),
        json!(["success"]),
    ] {
        assert!(said(foreign).is_none());
    }
    assert!(self::receipt(pin, "not base64!").is_none() && self::receipt(pin, "").is_none());
}

fn receipt(pin: &Pin, header: &str) -> Option<bursar::protocol::Receipt> {
    let mut headers = http::HeaderMap::new();
    headers.insert("payment-receipt", header.parse().unwrap());
    let url = "https://api.example.com/".parse().unwrap();
    pin.receipt(Seen { url: &url, status: 200, headers: &headers, body: b"" })
}
