//! `lightning/charge`: one invoice, paid once (draft-lightning-charge-00).
//!
//! The invoice is the price. Everything else that a challenge says of it can only contradict, and then nothing is paid.

use serde_json::{Map, Value, json};

use super::{
    super::{Credential, Objection, Offer, Rail, Way, bolt11::Invoice, l402::preimage_fits, text::clean},
    Means, Pin,
    challenge::{Challenge, word},
    credential,
};
use crate::secret::Secret;

/// Judges a challenge.
pub(super) fn offer(challenge: Challenge, terms: &Map<String, Value>, mut offer: Offer) -> Offer {
    offer.rail = Rail::LIGHTNING;
    offer.asset = "btc".into();
    let details = terms.get("methodDetails").and_then(Value::as_object);
    let Some(text) = details.and_then(|d| d.get("invoice")).and_then(Value::as_str) else {
        offer.objections.push(Objection::new("no_invoice", "the challenge names no invoice"));
        return offer;
    };
    let said = Said {
        amount: terms.get("amount"),
        currency: terms.get("currency"),
        hash: details.and_then(|d| d.get("paymentHash")),
        network: details.and_then(|d| d.get("network")),
    };
    if let Some(invoice) = charge(text, &said, &mut offer) {
        offer.expires_at = Some(offer.expires_at.map_or(invoice.expires_s, |e| e.min(invoice.expires_s)));
        offer.way = Way::Pay(Box::new(super::super::Pin::Mpp(Pin {
            challenge,
            means: Means::Lightning { invoice: text.to_owned() },
        })));
    }
    offer
}

/// What a challenge says beside an invoice.
pub(super) struct Said<'a> {
    pub(super) amount: Option<&'a Value>,
    pub(super) currency: Option<&'a Value>,
    pub(super) hash: Option<&'a Value>,
    pub(super) network: Option<&'a Value>,
}

/// Fills an offer with what its invoice says, and with all that contradicts it. `None` when there is no sound invoice.
pub(super) fn charge(text: &str, said: &Said<'_>, offer: &mut Offer) -> Option<Invoice> {
    let invoice = match Invoice::read(text) {
        Ok(invoice) => invoice,
        Err(objection) => {
            offer.objections.push(objection);
            return None;
        }
    };
    let mut object = |code: &'static str, say: String| offer.objections.push(Objection::new(code, say));
    match said.amount.and_then(sats) {
        None => object("no_amount", "the challenge does not say what it costs in whole satoshi".into()),
        Some(sat) if sat.checked_mul(1000) != Some(invoice.amount.atomic()) => object(
            "amount_mismatch",
            format!("the invoice asks for {}, but the challenge says {sat} sat", invoice.amount),
        ),
        Some(_) => {}
    }
    match said.currency.and_then(Value::as_str) {
        // The drafts' own examples say BTC beside an amount in satoshi; the invoice has settled what is meant.
        Some("sat" | "BTC" | "btc") => {}
        other => object(
            "unknown_currency",
            format!("it names its price in \"{}\" instead of \"sat\"", word(other.unwrap_or_default())),
        ),
    }
    if let Some(hash) = said.hash
        && !hash.as_str().is_some_and(|hash| hash.eq_ignore_ascii_case(&invoice.payment_hash))
    {
        object("hash_mismatch", "the challenge's paymentHash is not the invoice's".into());
    }
    if let Some(network) = said.network {
        let named = match network.as_str().unwrap_or_default() {
            "mainnet" | "bitcoin" => "bitcoin",
            other => other,
        };
        if named != invoice.network {
            let say =
                format!("the challenge names the network \"{}\", the invoice is on {}", word(named), invoice.network);
            object("network_mismatch", say);
        }
    }
    if !invoice.untrusted_description.is_empty() {
        let words = clean(&invoice.untrusted_description, 200).replace('"', "'");
        offer.remarks.push(format!("the invoice describes itself (the seller's words): \"{words}\""));
    }
    offer.network = invoice.network.into();
    offer.world = Some(invoice.world);
    offer.price = Some(invoice.amount);
    offer.payee = invoice.payee.clone();
    offer.rail_key = format!("ln:{}", invoice.payment_hash);
    Some(invoice)
}

/// A number of satoshi: a string of digits, as the drafts have it, or a JSON number that is one.
pub(super) fn sats(value: &Value) -> Option<u64> {
    match value {
        Value::String(text) if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) => text.parse().ok(),
        Value::Number(number) => number.as_u64(),
        _ => None,
    }
}

/// Makes the credential. `None` when the preimage is not the one that the pinned invoice pays for.
pub(super) fn credential(challenge: &Challenge, invoice: &str, preimage: &Secret) -> Option<Credential> {
    let invoice = Invoice::read(invoice).ok()?;
    let preimage = preimage.expose().to_ascii_lowercase();
    if !preimage_fits(&preimage, &invoice.payment_hash) {
        return None;
    }
    credential::credential(challenge, None, json!({ "preimage": preimage }))
}
