//! x402, versions 1 and 2: the seller names its terms, the payer signs a transfer, the seller carries it to the chain.
//!
//! ```text
//!  402 + PAYMENT-REQUIRED (2) or body (1) ──► one offer an entry of `accepts`, payable or with its objections
//!  pin + what the wallet signed           ──► PAYMENT-SIGNATURE (2) or X-PAYMENT (1), the same bytes each time
//!  PAYMENT-RESPONSE, X-PAYMENT-RESPONSE   ──► the seller's word on what became of it
//! ```
//!
//! Paid is the scheme `exact` by EIP-3009 with tokens that are pinned, and through Permit2 (also the scheme `upto`) where the
//! operator turned that on; everything else is listed with the reason why not.

mod bazaar;
mod challenge;
mod envelope;
mod offer;
mod payment;
mod receipt;

use serde::{Deserialize, Serialize};

pub use self::{
    bazaar::{Described, described},
    receipt::{Demand, demand},
};
use self::{challenge::Found, offer::UPFRONT};
use super::{Challenge, Credential, MAX_OFFERS, Offer, Page, Protocol, Rail, Receipt, Seen};
use crate::evm::{eip3009::Transfer, permit2::Taking};

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
    /// How Permit2 may take it; `None` for EIP-3009.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub permit2: Option<Taking>,
}

/// Reads the x402 offers of a page: one an entry, those first that settle after the answer, else in the seller's order.
pub(super) fn read(page: &Page<'_>, challenge: &mut Challenge) {
    let (terms, failed) = match Found::read(page.seen, &page.body) {
        Found::Nothing => return,
        Found::Unreadable(objection) => {
            challenge.offers.push(Offer::listed(Protocol::X402, Rail::UNKNOWN, objection));
            return;
        }
        Found::Terms(terms, failed) => (terms, failed),
    };
    challenge.notes.extend(failed.map(|objection| format!("{}; other terms of the answer were read", objection.say)));
    if terms.more > 0 {
        challenge.notes.push(format!("{} more of its x402 terms were not looked at", terms.more));
    }
    let mut offers: Vec<Offer> =
        terms.accepts.iter().map(|entry| offer::offer(&terms, entry, page.seen.url, page.assets)).collect();
    offers.sort_by_key(|offer| offer.remarks.iter().any(|remark| remark == UPFRONT));
    if let Some(many) = offers.len().checked_sub(MAX_OFFERS).filter(|many| *many > 0) {
        // What can be paid is not lost among dozens of networks that cannot.
        offers.sort_by_key(|offer| !offer.is_payable());
        offers.truncate(MAX_OFFERS);
        challenge.notes.push(format!("{many} more of its x402 terms were not kept: {MAX_OFFERS} are enough"));
    }
    challenge.offers.extend(offers);
    challenge.described = bazaar::in_terms(&terms);
}

/// Whether terms stand in an answer, readable or not.
pub(super) fn stands_in(seen: Seen<'_>) -> bool {
    !matches!(Found::in_answer(seen), Found::Nothing)
}

/// The header that pays; see [`payment::payment`].
pub(super) fn payment(pin: &Pin, signed: &[u8]) -> Option<Credential> {
    payment::payment(pin, signed)
}

/// The receipt of an answer; see [`receipt::receipt`].
pub(super) fn receipt(pin: &Pin, seen: Seen<'_>) -> Option<Receipt> {
    receipt::receipt(pin, seen)
}

/// What an answer gives as its reason; see [`receipt::complaint`].
pub(super) fn complaint(seen: Seen<'_>) -> String {
    receipt::complaint(seen)
}

/// Whether the seller keeps its answers by a payment's identifier; see [`payment::replays`].
pub(super) fn replays(pin: &Pin) -> bool {
    payment::replays(pin)
}
