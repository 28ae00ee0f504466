//! One MPP challenge around any request, and the small readers beside it: nothing panics, and whatever is payable says
//! its own price and repeats the challenge.
#![no_main]

use bursar::protocol::{
    Seen, Way,
    bolt11::Invoice,
    mpp::{canonical, decode, encode, redact, session::Events, unix_seconds},
    read,
};
use http::{HeaderMap, HeaderValue, header::WWW_AUTHENTICATE};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((kind, rest)) = data.split_first() else { return };
    let text = String::from_utf8_lossy(rest);
    let (method, intent) = match kind % 4 {
        0 => ("lightning", "charge"),
        1 => ("lightning", "session"),
        2 => ("evm", "charge"),
        _ => ("tempo", "charge"),
    };
    let line = format!(
        r#"Payment id="1", realm="seller.example", method="{method}", intent="{intent}", request="{}", expires="{}""#,
        encode(rest),
        text.chars().filter(char::is_ascii_graphic).filter(|c| !matches!(c, '"' | '\\')).take(40).collect::<String>(),
    );
    let mut headers = HeaderMap::new();
    if let Ok(value) = HeaderValue::from_str(&line) {
        headers.append(WWW_AUTHENTICATE, value);
    }
    if let Ok(value) = HeaderValue::from_bytes(rest) {
        headers.append("payment-receipt", value);
    }
    let Ok(url) = url::Url::parse("https://seller.example/api/call") else { return };
    let seen = Seen { url: &url, status: 402, headers: &headers, body: rest };
    for offer in read(seen).offers {
        assert!(offer.is_payable() || !offer.objections.is_empty() || matches!(offer.way, Way::Free { .. }));
        let Way::Pay(pin) = &offer.way else { continue };
        let _ = (pin.receipt(seen), pin.payment(rest), pin.expires_at(), pin.fee_cap());
        assert!(pin.complaint(seen).chars().count() <= 410);
        if let (true, Some(text)) = (offer.is_payable(), pin.quoted_invoice()) {
            let invoice = Invoice::read(text).expect("a payable invoice is sound");
            assert_eq!(offer.price, Some(invoice.amount), "the price is the invoice's own");
        }
    }
    if let Some(once) = canonical(&text) {
        assert_eq!(canonical(&once).as_deref(), Some(once.as_str()), "canonical is canonical");
    }
    if let Some(bytes) = decode(&text) {
        assert_eq!(encode(&bytes), text.trim_end_matches('='), "one spelling");
    }
    let _ = unix_seconds(&text);
    let longest = redact(&text).split(|c: char| !c.is_ascii_hexdigit()).map(str::len).max();
    assert!(longest.unwrap_or_default() < 64, "no preimage is repeated");
    let (mut whole, mut pieces) = (Events::default(), Events::default());
    let all = whole.feed(rest);
    let split: Vec<_> = rest.chunks(3).flat_map(|piece| pieces.feed(piece)).collect();
    assert_eq!(all, split, "an event does not depend on how it was cut");
});
