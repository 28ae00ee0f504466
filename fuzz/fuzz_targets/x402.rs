//! Terms of x402, in the header and in the body, and the same bytes as a receipt. What can be paid is what would be signed.
#![no_main]

use bursar::protocol::{MAX_NOTES, MAX_OFFERS, Pin, Protocol, Seen, Way, read, x402};
use http::{HeaderMap, HeaderValue};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(url) = url::Url::parse("https://seller.example/api/call") else { return };
    let (none, mut some) = (HeaderMap::new(), HeaderMap::new());
    for name in ["payment-required", "payment-response"] {
        if let Ok(value) = HeaderValue::from_bytes(data) {
            some.insert(name, value);
        }
    }
    for (headers, body) in [(&some, &b"{}"[..]), (&none, data)] {
        let seen = Seen { url: &url, status: 402, headers, body };
        let challenge = read(seen);
        assert!(challenge.offers.len() <= MAX_OFFERS && challenge.notes.len() <= MAX_NOTES);
        let _ = (x402::demand(seen), x402::described(seen));
        for offer in challenge.offers.iter().filter(|o| o.protocol == Protocol::X402 && o.is_payable()) {
            let Way::Pay(pin) = &offer.way else { panic!("a listed offer is not payable") };
            let Pin::X402(terms) = &**pin else { panic!("another dialect's pin") };
            assert_eq!(offer.price.map(|p| p.atomic()), Some(terms.transfer.value), "the price is what is signed");
            assert_eq!(offer.payee, terms.transfer.to.to_string());
            assert!(terms.transfer.value > 0 && !terms.transfer.to.is_zero());
            let _ = (pin.payment(data), pin.receipt(seen), pin.complaint(seen));
        }
    }
});
