//! What a buyer sent in the payment header.

use axum::http::HeaderMap;
use data_encoding::BASE64_NOPAD;
use serde_json::Value;

use super::terms::Terms;
use crate::evm::eip3009::Signed;

/// The header in which version 2 pays.
pub(super) const V2: &str = "payment-signature";
/// The header in which version 1 pays.
pub(super) const V1: &str = "x-payment";

/// A payment header that could be read.
#[derive(Clone, Debug)]
pub(super) struct Payment {
    /// What names it: the same bytes of JSON, the same payment.
    pub hash: [u8; 32],
    /// The signed authorization, unread.
    pub payload: Value,
    all: Value,
}

/// Why a header is no payment for these terms; the words of the server that says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoPayment(pub &'static str);

/// Whether there is any payment header, of whatever version.
pub(super) fn is_there(headers: &HeaderMap) -> bool {
    headers.contains_key(V2) || headers.contains_key(V1)
}

/// Decodes base64 of any alphabet, padded or not, and the JSON in it.
pub(super) fn decode(text: &str) -> Option<Value> {
    let plain = text.trim().trim_end_matches('=').replace('-', "+").replace('_', "/");
    serde_json::from_slice(&BASE64_NOPAD.decode(plain.as_bytes()).ok()?).ok()
}

/// The authorization in a payment header, whatever terms it was signed for: a thief needs no more.
pub(super) fn signed_in(headers: &HeaderMap) -> Option<Signed> {
    let shown = headers.get(V2).or_else(|| headers.get(V1))?.to_str().ok()?;
    serde_json::from_value(decode(shown)?["payload"].clone()).ok()
}

impl Payment {
    /// Reads the header of the terms' version, and finds the way to pay that it chose.
    pub fn read(headers: &HeaderMap, terms: &Terms) -> Result<Payment, NoPayment> {
        let v1 = terms.form.is_v1();
        // To the version 2 server a payment it cannot read is no payment.
        let none = NoPayment(if v1 { "X-PAYMENT header is required" } else { "Payment required" });
        let broken = NoPayment(if v1 { "Invalid or malformed payment header" } else { "Payment required" });
        let text = headers.get(if v1 { V1 } else { V2 }).ok_or(none)?.to_str().map_err(|_| broken)?;
        let all = decode(text).filter(|all| all["x402Version"] == if v1 { 1 } else { 2 }).ok_or(broken)?;
        let chosen = match v1 {
            true => {
                terms.accepts().iter().any(|way| way["scheme"] == all["scheme"] && way["network"] == all["network"])
            }
            // Equal to the last letter's case: a buyer who writes it anew from what it understood fails here.
            false => terms.accepts().contains(&all["accepted"]),
        };
        if !chosen {
            let v1_says = "Unable to find matching payment requirements";
            return Err(NoPayment(if v1 { v1_says } else { "No matching payment requirements" }));
        }
        let hash = crate::sha256(all.to_string().as_bytes());
        Ok(Payment { hash, payload: all["payload"].clone(), all })
    }

    /// Whether every extension that came back is at least what was advertised.
    pub fn echoes(&self, advertised: &Value) -> bool {
        let Some(advertised) = advertised.as_object() else { return true };
        advertised.iter().all(|(name, said)| match &self.all["extensions"][name] {
            Value::Null => true,
            echoed => holds(&echoed["info"], &said["info"]),
        })
    }

    /// The buyer's own name for this payment.
    pub fn identifier(&self) -> Option<&str> {
        self.all["extensions"]["payment-identifier"]["info"]["id"].as_str()
    }
}

/// Whether a value has everything that another has.
fn holds(value: &Value, part: &Value) -> bool {
    match (value, part) {
        (Value::Object(value), Value::Object(part)) => {
            part.iter().all(|(name, want)| value.get(name).is_some_and(|is| holds(is, want)))
        }
        _ => value == part,
    }
}

#[cfg(test)]
mod tests {
    use data_encoding::{BASE64, BASE64URL_NOPAD};
    use serde_json::json;

    use super::*;

    #[test]
    fn base64_is_read_in_both_alphabets_with_and_without_padding() {
        let value = json!({"name": "USD₮0", "x": "???>>>~~"});
        let bytes = value.to_string().into_bytes();
        assert_eq!(decode(&BASE64.encode(&bytes)), Some(value.clone()));
        assert_eq!(decode(&format!(" {} ", BASE64URL_NOPAD.encode(&bytes))), Some(value));
        assert_eq!(decode("not base64!"), None);
    }

    #[test]
    fn an_echo_may_add_and_may_not_change() {
        let said = json!({"required": false, "list": [1]});
        assert!(holds(&json!({"required": false, "list": [1], "id": "x"}), &said));
        assert!(!holds(&json!({"required": true, "list": [1]}), &said));
        assert!(!holds(&json!({"required": false}), &said));
    }
}
