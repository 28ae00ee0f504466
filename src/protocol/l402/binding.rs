//! Whether a token belongs to the invoice it is sold with.
//!
//! A token that commits to one payment hash and is offered with another's invoice would be paid for and never work:
//! that is refused. Many tokens say nothing; those are paid with a remark.

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use serde_json::{Map, Value};

use super::{
    super::body,
    macaroon::{Identifier, Macaroon, base64},
};

/// What a token says about an invoice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Binding {
    /// It names this invoice's payment hash.
    Bound,
    /// It provably names another payment hash: 64 hex digits.
    NotBound(String),
    /// It does not say, or not in a way Bursar knows.
    Unknown,
}

/// Compares a token with an invoice's payment hash (64 lower-case hex digits).
///
/// A field that can only be the payment hash (identifier version 0, a `payment_hash` caveat, a JSON `paymentHash`)
/// speaks before one that merely looks like it (a bare 32-byte identifier, a JSON `hash`), which counts only where
/// nothing firm was said.
pub fn binding(token: &str, payment_hash: &str) -> Binding {
    let said = Said::by(token);
    let other = |hashes: &[String]| hashes.iter().find(|h| *h != payment_hash).cloned();
    match (other(&said.firm), other(&said.loose)) {
        (Some(hash), _) => Binding::NotBound(hash),
        (None, _) if !said.firm.is_empty() => Binding::Bound,
        (None, _) if said.loose.iter().any(|h| h == payment_hash) => Binding::Bound,
        (None, Some(hash)) => Binding::NotBound(hash),
        (None, None) => Binding::Unknown,
    }
}

/// The payment hashes a token names.
#[derive(Default)]
struct Said {
    firm: Vec<String>,
    loose: Vec<String>,
}

impl Said {
    fn by(token: &str) -> Said {
        let mut said = Said::default();
        let macaroon = Macaroon::from_token(token);
        match macaroon.as_ref().map_or_else(|_| Macaroon::head(token), Macaroon::id) {
            Identifier::V0(hash) if !is_padded_text(&hash) => said.firm.push(HEXLOWER.encode(&hash)),
            Identifier::Bare(hash) if macaroon.is_ok() => said.loose.push(HEXLOWER.encode(&hash)),
            Identifier::V0(_) | Identifier::Bare(_) | Identifier::Version(_) | Identifier::Other => {}
        }
        if let Ok(macaroon) = macaroon {
            let caveats = macaroon.conditions().filter(|(name, _)| is_payment_hash(name));
            said.firm.extend(caveats.filter_map(|(_, value)| hash_text(value)));
        }
        for object in objects(token) {
            for (name, value) in &object {
                let Some(hash) = value.as_str().and_then(hash_text) else { continue };
                if is_payment_hash(name) {
                    said.firm.push(hash);
                } else if name == "hash" {
                    said.loose.push(hash);
                }
            }
        }
        said
    }
}

/// The JSON objects inside a token: the token itself, its base64, or the base64 segments of `payload.signature`.
pub(super) fn objects(token: &str) -> Vec<Map<String, Value>> {
    let whole = std::iter::once(token.to_owned());
    let decoded = token.split('.').take(3).filter_map(|segment| String::from_utf8(base64(segment)?).ok());
    whole
        .chain(decoded)
        .filter(|text| text.trim_start().starts_with('{'))
        .filter_map(|text| match body::parse(&text) {
            Some(Value::Object(object)) => Some(object),
            _ => None,
        })
        .collect()
}

/// `payment_hash`, `paymentHash` and their like.
pub(super) fn is_payment_hash(name: &str) -> bool {
    matches!(name, "payment_hash" | "paymentHash" | "payment-hash" | "paymenthash")
}

/// The 64 hex digits of a hash, in lower case.
pub(super) fn hash_text(text: &str) -> Option<String> {
    let raw = HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok()?;
    (raw.len() == 32).then(|| HEXLOWER.encode(&raw))
}

/// Some sellers fill version 0's hash with a name of their own and zeros (`id644188id\0\0...`). No SHA-256 looks like
/// that, so such an identifier says nothing about the invoice, rather than naming another one.
fn is_padded_text(hash: &[u8; 32]) -> bool {
    let text = hash.iter().rposition(|b| *b != 0).map_or(0, |last| last + 1);
    (1..=24).contains(&text) && hash[..text].iter().all(u8::is_ascii_graphic)
}
