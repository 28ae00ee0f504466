//! A whole answer: status, `WWW-Authenticate` lines, body. Whatever comes, nothing is payable without a sound invoice.
#![no_main]

use bursar::protocol::{MAX_NOTES, MAX_OFFERS, Seen, Way, bolt11::Invoice, free::quota_used_up, read};
use http::{HeaderMap, HeaderValue, header::WWW_AUTHENTICATE};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    // Lines end at a line feed, the body begins behind an empty one.
    let split = data.windows(2).position(|w| w == b"\n\n");
    let (head, body) = split.map_or((data, &[][..]), |at| (&data[..at], &data[at + 2..]));
    let mut headers = HeaderMap::new();
    for line in head.split(|b| *b == b'\n') {
        if let Ok(value) = HeaderValue::from_bytes(line) {
            headers.append(WWW_AUTHENTICATE, value);
        }
    }
    let Ok(url) = url::Url::parse("https://seller.example/api/call") else { return };
    for status in [402, 429] {
        let seen = Seen { url: &url, status, headers: &headers, body };
        let _ = quota_used_up(seen);
        let challenge = read(seen);
        assert!(challenge.offers.len() <= MAX_OFFERS && challenge.notes.len() <= MAX_NOTES);
        for offer in challenge.offers.iter().filter(|o| o.is_payable()) {
            match &offer.way {
                // The target `x402` looks at these.
                Way::Pay(pin) if pin.invoice().is_none() => {}
                Way::Pay(pin) => {
                    let invoice = pin.invoice().map(Invoice::read).expect("a lightning pin has an invoice");
                    let invoice = invoice.expect("a payable invoice is sound");
                    assert_eq!(offer.price, Some(invoice.amount), "the price is the invoice's own");
                }
                Way::Free { .. } => assert!(offer.price.is_some_and(|p| p.is_zero())),
                Way::Listed => panic!("a listed offer is not payable"),
            }
        }
    }
});
