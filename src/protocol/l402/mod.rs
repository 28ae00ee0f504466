//! L402, and LSAT, its older name: a token and an invoice; the invoice's preimage brings the token to life.
//!
//! The specification and the servers in the field disagree, so every shape that was seen is read: one header line or
//! several, `token=` or `macaroon=`, or only a JSON body. The token is opaque and goes back byte for byte.

mod binding;
mod challenge;
mod claims;
mod fewsats;
mod hints;
mod macaroon;

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use http::{HeaderValue, header::AUTHORIZATION};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use self::{
    binding::{Binding, binding},
    challenge::MAX_TOKEN,
    hints::{Hints, hints},
    macaroon::{BadMacaroon, Identifier, Macaroon},
};
use self::{
    challenge::{Ask, Scheme, invoice_in_body, same_invoice},
    claims::Claim,
};
use super::{Challenge, Credential, Objection, Offer, Page, Protocol, Rail, Way, bolt11::Invoice, text::clean};
use crate::secret::Secret;

/// What must be kept of an L402 challenge.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Pin {
    /// `L402`, or `LSAT` where the server offered nothing else.
    pub scheme: String,
    /// The token, byte for byte as it was received.
    pub token: Secret,
    /// The invoice as it was received.
    pub invoice: String,
}

/// Reads the L402 offers of a page.
pub(super) fn read(page: &Page<'_>, challenge: &mut Challenge) {
    let mut asks: Vec<Ask> = Vec::new();
    let mut schemes: Vec<Scheme> = Vec::new();
    let mut bare = 0usize;
    for raw in &page.listing.challenges {
        let Some(scheme) = Scheme::of(raw) else { continue };
        schemes.push(scheme);
        match Ask::in_header(scheme, raw) {
            Some(ask) => merge(&mut asks, ask),
            None => bare += 1,
        }
    }
    let object = page.body.object();
    let mut remarks = Vec::new();
    if let Some(object) = object {
        let lsat_only = !schemes.is_empty() && schemes.iter().all(|s| *s == Scheme::Lsat);
        let scheme = if lsat_only { Scheme::Lsat } else { Scheme::L402 };
        if let Some(ask) = Ask::in_body(scheme, object) {
            join_body(&mut asks, ask, &mut remarks);
        } else if asks.is_empty() && invoice_in_body(object).is_some() {
            challenge.notes.push("the body names an invoice and no token, so paying it would buy nothing".into());
        }
        remarks.extend(credit(page, object));
        fewsats::read(object, challenge);
    }
    if bare > 0 && asks.is_empty() {
        challenge.notes.push("an L402 challenge names neither a token nor an invoice".into());
    }
    // Where both names are offered with different tokens, the newer one comes first.
    asks.sort_by_key(|ask| ask.scheme);
    challenge.offers.extend(asks.into_iter().map(|ask| offer(ask, object, &remarks)));
}

/// Adds an ask; LSAT and L402 of one token and invoice are one offer, under the newer name.
fn merge(asks: &mut Vec<Ask>, ask: Ask) {
    match asks.iter_mut().find(|known| known.is_same_as(&ask)) {
        Some(known) => {
            known.scheme = known.scheme.min(ask.scheme);
            known.claims.extend(ask.claims);
            for objection in ask.objections {
                if !known.objections.contains(&objection) {
                    known.objections.push(objection);
                }
            }
        }
        None => asks.push(ask),
    }
}

/// Adds the body's ask unless a header has the same invoice: the header is the protocol, the body a courtesy.
fn join_body(asks: &mut Vec<Ask>, ask: Ask, remarks: &mut Vec<String>) {
    match asks.iter().find(|known| same_invoice(known.invoice.as_deref(), ask.invoice.as_deref())) {
        Some(known) if known.token == ask.token => {}
        Some(_) => remarks.push("the body names another token for the invoice; the header's is used".into()),
        None => asks.push(ask),
    }
}

/// Judges an ask.
fn offer(ask: Ask, body: Option<&Map<String, Value>>, remarks: &[String]) -> Offer {
    let mut offer = Offer {
        protocol: Protocol::L402,
        rail: Rail::LIGHTNING,
        network: String::new(),
        world: None,
        asset: "btc".into(),
        price: None,
        payee: String::new(),
        rail_key: String::new(),
        expires_at: None,
        way: Way::Listed,
        objections: ask.objections,
        remarks: Vec::new(),
    };
    if ask.token.is_none() && !offer.objects(&["token_mismatch", "bad_token"]) {
        offer.objections.push(Objection::new("no_token", "the challenge names no token, so paying would buy nothing"));
    }
    let Some(text) = ask.invoice else {
        if !offer.objects(&["invoice_mismatch", "bad_invoice"]) {
            offer.objections.push(Objection::new("no_invoice", "the challenge names no invoice"));
        }
        return offer;
    };
    let invoice = match Invoice::read(&text) {
        Ok(invoice) => invoice,
        Err(objection) => {
            offer.objections.push(objection);
            return offer;
        }
    };
    for claim in ask.claims.iter().chain(&body.map(|b| claims_about(b, &text)).unwrap_or_default()) {
        offer.objections.extend(claim.objection(&invoice));
        offer.remarks.extend(claim.remark());
    }
    if let Some(token) = ask.token {
        match binding(token.expose(), &invoice.payment_hash) {
            Binding::Bound => {}
            Binding::NotBound(_) => offer.objections.push(Objection::new(
                "not_bound",
                "the token belongs to another invoice than the one to be paid, so paying would buy nothing",
            )),
            Binding::Unknown => offer.remarks.push("the token does not say which invoice it belongs to".into()),
        }
        offer.way =
            Way::Pay(Box::new(super::Pin::L402(Pin { scheme: ask.scheme.name().into(), token, invoice: text })));
    }
    if !invoice.untrusted_description.is_empty() {
        // Its own quotation marks must not end ours.
        let words = invoice.untrusted_description.replace('"', "'");
        offer.remarks.push(format!("the invoice describes itself (the seller's words): \"{words}\""));
    }
    let price = invoice.amount;
    offer.remarks.extend(remarks.iter().map(|r| r.replace(PRICE, &price.to_string())));
    Offer {
        network: invoice.network.into(),
        world: Some(invoice.world),
        price: Some(price),
        payee: invoice.payee,
        rail_key: format!("ln:{}", invoice.payment_hash),
        expires_at: Some(invoice.expires_s),
        ..offer
    }
}

/// What a body declares about one invoice. A price speaks for every offer of the answer; a hash only for the body's
/// own invoice, where it names one, since another door may have minted another invoice.
fn claims_about(body: &Map<String, Value>, invoice: &str) -> Vec<Claim> {
    let own = invoice_in_body(body);
    let mut claims = claims::in_body(body);
    claims.retain(|claim| !claim.names_hash() || own.is_none_or(|own| own.eq_ignore_ascii_case(invoice)));
    claims
}

/// Stands for the price in a remark that is written before the price is known.
const PRICE: &str = "{price}";

/// A seller that sells credit: the invoice is a deposit, and calls are taken from it at their own price.
fn credit(page: &Page<'_>, object: &Map<String, Value>) -> Option<String> {
    let info = object.get("creditInfo")?.as_object()?;
    let mut remark = format!("credit model: pays at least {PRICE} once, calls are then taken from the credit");
    let call = page.seen.url.path_segments().and_then(|mut s| s.next_back()).unwrap_or_default();
    let prices = info.get("pricingMicroUsd").and_then(Value::as_object);
    if let Some(micro) = prices.and_then(|p| p.get(call)).and_then(Value::as_u64)
        && let Some(price) = crate::money::Amount::new(crate::money::Currency::Usd, micro)
    {
        remark += &format!(" (the seller says {price} for {})", clean(call, 40));
    }
    Some(remark)
}

/// Makes the credential: `L402 <token>:<preimage>`. `None` when the preimage is not the one that the pinned invoice
/// pays for, or when the token or scheme cannot stand in a header.
pub(super) fn credential(pin: &Pin, preimage: &Secret) -> Option<Credential> {
    let scheme = [Scheme::L402, Scheme::Lsat].into_iter().map(Scheme::name).find(|name| *name == pin.scheme)?;
    challenge::token(pin.token.expose().as_bytes()).ok()?;
    let invoice = Invoice::read(&pin.invoice).ok()?;
    // Sellers match `[a-f0-9]{64}`, so the digits go out in lower case whatever the wallet wrote.
    let preimage = Secret::new(preimage.expose().to_ascii_lowercase());
    if !preimage_fits(preimage.expose(), &invoice.payment_hash) {
        return None;
    }
    let text = Secret::new(format!("{scheme} {}:{}", pin.token.expose(), preimage.expose()));
    let mut value = HeaderValue::from_str(text.expose()).ok()?;
    value.set_sensitive(true);
    Some(Credential { name: AUTHORIZATION, value, parts: Vec::new() })
}

/// Whether the SHA-256 of a preimage is a payment hash; both in hex. False for anything that is not 32 bytes.
pub fn preimage_fits(preimage_hex: &str, payment_hash_hex: &str) -> bool {
    let raw = HEXLOWER_PERMISSIVE.decode(preimage_hex.as_bytes());
    raw.is_ok_and(|raw| {
        raw.len() == 32 && HEXLOWER.encode(&crate::sha256(&raw)) == payment_hash_hex.to_ascii_lowercase()
    })
}
