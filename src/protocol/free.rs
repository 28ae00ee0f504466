//! Free tiers that a seller names.
//!
//! A free tier is an offer of price zero: the same request with one more header. Which headers that may be is a closed
//! list, so that no seller can make us send a header of its choice.

use http::{HeaderName, HeaderValue};
use serde_json::Value;

use super::{Challenge, Offer, Page, Protocol, Rail, Seen, Way, body::Body, text::clean};
use crate::money::{Amount, Currency};

/// The headers that ask for a free tier: name and value.
const TIERS: [(&str, &str); 1] = [("x-free-tier", "true")];

/// A seller's word that its free quota is used up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QuotaUsedUp {
    /// How many calls were used.
    pub used: Option<u64>,
    /// How many there are.
    pub max: Option<u64>,
    /// When it starts anew, in the seller's words: cleaned, at most 40 characters, untrusted.
    pub untrusted_reset: Option<String>,
}

/// Reads the free tiers that a 402 or a 429 names in its body.
pub(super) fn read(page: &Page<'_>, challenge: &mut Challenge) {
    // A quota that is used up often repeats how to ask for it.
    if !matches!(page.seen.status, 402 | 429) || used_up(page.seen, &page.body).is_some() {
        return;
    }
    for (name, value) in TIERS {
        if names(&page.body, name, value) {
            challenge.offers.push(offer(name, value));
        }
    }
}

/// Whether a 429 says that the free quota is used up, which leads to the paid offer. `None` for any other answer,
/// such as a plain rate limit.
pub fn quota_used_up(seen: Seen<'_>) -> Option<QuotaUsedUp> {
    used_up(seen, &Body::read(seen.body))
}

fn used_up(seen: Seen<'_>, body: &Body) -> Option<QuotaUsedUp> {
    if seen.status != 429 {
        return None;
    }
    let header = |name: &str| seen.headers.get(name).and_then(|v| v.to_str().ok()).map(str::trim);
    let object = body.object();
    let field = |names: &[&str]| names.iter().find_map(|n| object?.get(*n)).filter(|v| !v.is_null());
    let says = ["code", "error", "message", "detail", "title"]
        .iter()
        .filter_map(|name| object?.get(*name)?.as_str())
        .any(|text| speaks_of_quota(&text.to_ascii_lowercase()));
    if !says && header("x-quota-remaining") != Some("0") {
        return None;
    }
    let reset = match field(&["resetDate", "reset_date", "resetsAt", "resets_at", "resetAt", "reset_at"]) {
        Some(Value::String(text)) => Some(text.clone()),
        Some(value @ Value::Number(_)) => Some(value.to_string()),
        _ => header("x-quota-reset").map(str::to_owned),
    };
    let count = |names: &[&str], fallback: &str| {
        field(names).and_then(Value::as_u64).or_else(|| header(fallback).and_then(|v| v.parse().ok()))
    };
    Some(QuotaUsedUp {
        used: count(&["used", "freeQuotaUsed"], "x-quota-used"),
        max: count(&["max", "limit", "freeQuotaMax"], "x-quota-max"),
        untrusted_reset: reset.map(|r| clean(&r, 40)).filter(|r| !r.is_empty()),
    })
}

fn speaks_of_quota(text: &str) -> bool {
    let text = text.replace('_', " ");
    text.contains("quota")
        && ["exceeded", "exhausted", "used up", "reached", "depleted"].iter().any(|word| text.contains(word))
        || ["free tier exhausted", "free tier limit", "free limit reached"].iter().any(|word| text.contains(word))
}

/// Whether a body names `name: value` in a text of its own, spaces and quotes round the colon aside.
fn names(body: &Body, name: &str, value: &str) -> bool {
    match body {
        Body::Json(json) => any_text(json, &|text| names_in(text, name, value)),
        Body::Text(text) => names_in(text, name, value),
        Body::Broken | Body::Opaque => false,
    }
}

/// The nesting is bounded by the JSON parser.
fn any_text(json: &Value, found: &dyn Fn(&str) -> bool) -> bool {
    match json {
        Value::String(text) => found(text),
        Value::Array(items) => items.iter().any(|item| any_text(item, found)),
        Value::Object(object) => object.values().any(|item| any_text(item, found)),
        _ => false,
    }
}

fn names_in(text: &str, name: &str, value: &str) -> bool {
    let text = text.to_ascii_lowercase();
    let trim = |s: &str, first: bool| -> Option<String> {
        let rest = s.trim_start_matches([' ', '\t', '"', '\'', '`']);
        let rest = if first { rest.strip_prefix([':', '='])? } else { rest };
        Some(rest.trim_start_matches([' ', '\t', '"', '\'', '`']).to_owned())
    };
    text.match_indices(name).any(|(at, _)| {
        trim(&text[at + name.len()..], true).is_some_and(|rest| {
            rest.strip_prefix(value).is_some_and(|after| !after.starts_with(|c: char| c.is_alphanumeric()))
        })
    })
}

fn offer(name: &'static str, value: &'static str) -> Offer {
    Offer {
        protocol: Protocol::Free,
        rail: Rail::NONE,
        network: String::new(),
        world: None,
        asset: String::new(),
        price: Some(Amount::zero(Currency::Sat)),
        payee: String::new(),
        rail_key: String::new(),
        expires_at: None,
        way: Way::Free { name: HeaderName::from_static(name), value: HeaderValue::from_static(value) },
        objections: Vec::new(),
        remarks: vec![format!("the seller names a free tier: the header {name}: {value}")],
    }
}
