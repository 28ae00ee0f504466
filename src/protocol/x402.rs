//! x402: recognised, so that it is never dropped in silence, and not paid yet.

use super::{Challenge, Objection, Offer, Page, Protocol, Rail};

/// Lists an x402 challenge: version 2 in the header `PAYMENT-REQUIRED`, version 1 (and strays of 2) in the body.
pub(super) fn read(page: &Page<'_>, challenge: &mut Challenge) {
    let header = page.seen.headers.contains_key("payment-required");
    let body = page.body.object().is_some_and(|o| o.get("x402Version").is_some_and(serde_json::Value::is_number));
    if header || body {
        challenge.offers.push(Offer::listed(
            Protocol::X402,
            Rail::UNKNOWN,
            Objection::new("unsupported", "this version of Bursar does not pay x402 yet"),
        ));
    }
}
