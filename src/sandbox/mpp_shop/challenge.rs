//! The shop's challenges: a MAC over what they say is their id, so that nothing has to be remembered but which of them
//! were used.

use axum::http::{HeaderMap, HeaderValue};
use serde_json::{Map, Value};

use crate::{
    protocol::mpp::{Challenge, canonical, decode, encode},
    sandbox::stamp,
};

/// How long a challenge can be used, in milliseconds.
const LIFE_MS: u64 = 300_000;

/// The header that a client may be told to use instead of `Authorization`.
pub(super) const OWN_HEADER: &str = "Payment-Authorization";

/// A credential as it came: the challenge, proven to be ours, and what pays it.
pub(super) struct Shown {
    pub(super) challenge: Challenge,
    pub(super) request: Value,
    pub(super) payload: Map<String, Value>,
    /// Who says that it pays; empty where nobody does.
    pub(super) source: String,
}

/// Mints and recognises challenges.
#[derive(Debug)]
pub(super) struct Mint {
    pub(super) key: [u8; 32],
    pub(super) realm: String,
    /// Whether credentials are to go into a header of their own.
    pub(super) own_header: bool,
}

impl Mint {
    /// Writes the header line of a new challenge.
    pub(super) fn line(&self, method: &str, intent: &str, request: &Value, now_ms: u64) -> Option<HeaderValue> {
        let mut challenge = Challenge {
            id: String::new(),
            realm: self.realm.clone(),
            method: method.into(),
            intent: intent.into(),
            request: encode(canonical(&request.to_string())?.as_bytes()),
            expires: Some(stamp::iso(now_ms.saturating_add(LIFE_MS))),
            digest: None,
            description: None,
            opaque: None,
            header: self.own_header.then(|| OWN_HEADER.to_owned()),
        };
        challenge.id = self.id_of(&challenge);
        let fields = serde_json::to_value(&challenge).ok()?;
        let order = ["id", "realm", "method", "intent", "request", "expires", "header"];
        let params = order.iter().filter_map(|name| Some(format!("{name}=\"{}\"", fields.get(*name)?.as_str()?)));
        HeaderValue::from_str(&format!("Payment {}", params.collect::<Vec<_>>().join(", "))).ok()
    }

    fn id_of(&self, c: &Challenge) -> String {
        let empty = String::new();
        let or = |slot: &Option<String>| slot.as_ref().unwrap_or(&empty).clone();
        let mut slots = vec![c.realm.clone(), c.method.clone(), c.intent.clone(), c.request.clone()];
        slots.extend([or(&c.expires), or(&c.digest)]);
        slots.extend(c.header.clone());
        slots.push(or(&c.opaque));
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &self.key);
        encode(ring::hmac::sign(&key, slots.join("|").as_bytes()).as_ref())
    }

    /// Reads the credential of a request. `None` unless it answers a challenge of ours that has not ended.
    pub(super) fn read(&self, headers: &HeaderMap, now_ms: u64) -> Option<Shown> {
        let name = if self.own_header { OWN_HEADER } else { "authorization" };
        let blob = headers.get(name)?.to_str().ok()?.strip_prefix("Payment ")?;
        let whole: Value = serde_json::from_slice(&decode(blob)?).ok()?;
        let challenge: Challenge = serde_json::from_value(whole.get("challenge")?.clone()).ok()?;
        let ends = challenge.expires_s().ok()??;
        if challenge.id != self.id_of(&challenge) || ends.saturating_mul(1000) <= now_ms {
            return None;
        }
        let request = serde_json::from_slice(&decode(&challenge.request)?).ok()?;
        let source = whole.get("source").and_then(Value::as_str).unwrap_or_default().to_owned();
        Some(Shown { challenge, request, payload: whole.get("payload")?.as_object()?.clone(), source })
    }
}
