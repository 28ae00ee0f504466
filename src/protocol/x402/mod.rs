//! x402, versions 1 and 2: the challenge, the payment header and the receipt.

use serde::{Deserialize, Serialize};

use super::{Challenge, Credential, Objection, Offer, Page, Protocol, Rail, Receipt, Seen};
use crate::evm::eip3009::Transfer;

/// What must be kept of one entry of `accepts`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Pin {
    /// The version of the challenge, 1 or 2; the payment is written in the same one.
    pub version: u8,
    /// The scheme, as written.
    pub scheme: String,
    /// The network, as written.
    pub network: String,
    /// The entry of `accepts`, byte for byte as the seller wrote it.
    pub accepted: String,
    /// The challenge's `resource` (version 2), byte for byte.
    pub resource: Option<String>,
    /// The challenge's `extensions` (version 2), byte for byte.
    pub extensions: Option<String>,
    /// What it asks to be transferred.
    pub transfer: Transfer,
}

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

/// The header that pays.
pub(super) fn payment(pin: &Pin, signed: &[u8]) -> Option<Credential> {
    let _ = (pin, signed);
    None
}

/// The receipt of an answer.
pub(super) fn receipt(pin: &Pin, seen: Seen<'_>) -> Option<Receipt> {
    let _ = (pin, seen);
    None
}

/// What an answer that asks for payment again gives as its reason.
pub(super) fn complaint(seen: Seen<'_>) -> String {
    let _ = seen;
    String::new()
}

/// Whether the seller keeps its answers by a payment's identifier (extension `payment-identifier`).
pub(super) fn replays(pin: &Pin) -> bool {
    let extensions = pin.extensions.as_deref().and_then(|text| serde_json::from_str::<serde_json::Value>(text).ok());
    extensions.is_some_and(|e| e.get("payment-identifier").is_some())
}
