//! What a seller writes, for the tests to read.

use bursar::protocol::{Challenge, Credential, Offer, Pin, Protocol, Seen, Way, mpp, read};
use data_encoding::BASE64URL_NOPAD;
use http::{HeaderMap, HeaderValue, header::WWW_AUTHENTICATE};
use serde_json::Value;

/// The host that is asked.
pub const HOST: &str = "api.example.com";

/// An end that lies ten minutes after the test clock, in whole seconds as aperture writes it.
pub const EXPIRES: &str = "2026-11-18T11:16:40Z";

/// A challenge line for this request.
pub fn line(method: &str, intent: &str, request: &Value) -> String {
    line_with(method, intent, request, &format!(r#", expires="{EXPIRES}""#))
}

/// The same with other parameters at the end.
pub fn line_with(method: &str, intent: &str, request: &Value, rest: &str) -> String {
    let request = BASE64URL_NOPAD.encode(mpp::canonical(&request.to_string()).unwrap().as_bytes());
    format!(
        r#"Payment id="kM9xPqWvT2nJrHsY4aDfEb", realm="{HOST}", method="{method}", intent="{intent}", request="{request}"{rest}"#
    )
}

/// What a 402 with these lines says.
pub fn page(lines: &[&str]) -> Challenge {
    let mut headers = HeaderMap::new();
    for line in lines {
        headers.append(WWW_AUTHENTICATE, HeaderValue::from_bytes(line.as_bytes()).unwrap());
    }
    let url = format!("https://{HOST}/weather").parse().unwrap();
    read(Seen { url: &url, status: 402, headers: &headers, body: b"" })
}

/// The MPP offers of a 402 with these lines.
pub fn offers(lines: &[&str]) -> Vec<Offer> {
    page(lines).offers.into_iter().filter(|o| o.protocol == Protocol::Mpp).collect()
}

/// The only MPP offer of a line.
#[track_caller]
pub fn offer(line: &str) -> Offer {
    let mut all = offers(&[line]);
    assert_eq!(all.len(), 1, "{all:#?}");
    all.remove(0)
}

/// Why it cannot be paid.
pub fn codes(offer: &Offer) -> Vec<&'static str> {
    offer.objections.iter().map(|o| o.code).collect()
}

/// The pin of an offer that can be paid.
#[track_caller]
pub fn pin(offer: &Offer) -> &Pin {
    assert!(offer.is_payable(), "{:#?}", offer.objections);
    match &offer.way {
        Way::Pay(pin) => pin,
        other => panic!("{other:?}"),
    }
}

/// The JSON in a credential.
pub fn inside(credential: &Credential) -> Value {
    let text = credential.value.to_str().unwrap().strip_prefix("Payment ").unwrap();
    serde_json::from_slice(&BASE64URL_NOPAD.decode(text.as_bytes()).unwrap()).unwrap()
}
