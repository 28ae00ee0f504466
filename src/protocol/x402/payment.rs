//! The header that pays (x402-specification-v2 5.2, v1 5.2; transports http.md).

use http::{HeaderName, HeaderValue};

use super::{
    super::Credential,
    Pin,
    challenge::{members, object, text},
    envelope::encode,
};
use crate::evm::{eip3009, hex, keccak256, permit2};

/// The extension by which a seller knows a repeated payment (extensions/payment_identifier.md).
const PAYMENT_IDENTIFIER: &str = "payment-identifier";

/// Makes the header out of the pinned terms and what the wallet signed: `{"signature","authorization"}` by EIP-3009, or
/// `{"signature","permit2Authorization"}`. `None` when what was signed is not what was pinned. The same input gives the
/// same bytes.
pub(super) fn payment(pin: &Pin, signed: &[u8]) -> Option<Credential> {
    let transfer = &pin.transfer;
    let (payload, nonce) = match &pin.permit2 {
        None => {
            let signed: eip3009::Signed = serde_json::from_slice(signed).ok()?;
            let authorization = &signed.authorization;
            if authorization.to != transfer.to || authorization.value != transfer.value {
                return None;
            }
            (serde_json::to_string(&signed).ok()?, authorization.nonce)
        }
        Some(taking) => {
            let signed: permit2::Signed = serde_json::from_slice(signed).ok()?;
            let (permit, permitted) = (&signed.permit, &signed.permit.permitted);
            let asked = (transfer.to, transfer.value, transfer.token.address);
            if (permit.witness.to, permitted.amount, permitted.token) != asked || !permit.is_for(taking) {
                return None;
            }
            (serde_json::to_string(&signed).ok()?, permit.nonce)
        }
    };
    let (name, json) = match pin.version {
        1 => ("x-payment", in_version_1(pin, &payload)?),
        2 => ("payment-signature", in_version_2(pin, &payload, &nonce)?),
        _ => return None,
    };
    let mut value = HeaderValue::from_str(&encode(&json)).ok()?;
    value.set_sensitive(true);
    Some(Credential { name: HeaderName::from_static(name), value })
}

fn in_version_1(pin: &Pin, payload: &str) -> Option<String> {
    let (scheme, network) = (text(&pin.scheme)?, text(&pin.network)?);
    Some(format!(r#"{{"x402Version":1,"scheme":{scheme},"network":{network},"payload":{payload}}}"#))
}

/// `accepted`, `resource` and `extensions` are the seller's own bytes: servers compare them with what they sent, and a
/// re-cased address or a lost key is "no matching payment requirements".
fn in_version_2(pin: &Pin, payload: &str, nonce: &[u8; 32]) -> Option<String> {
    let mut json = format!(r#"{{"x402Version":2,"payload":{payload}"#);
    if let Some(resource) = &pin.resource {
        json += &format!(r#","resource":{resource}"#);
    }
    json += &format!(r#","accepted":{}"#, pin.accepted);
    if let Some(extensions) = &pin.extensions {
        let identified = identified(extensions, nonce);
        json += &format!(r#","extensions":{}"#, identified.as_deref().unwrap_or(extensions));
    }
    Some(json + "}")
}

/// Adds our identifier where the seller asks for one. It follows from the nonce, so that one payment has one identifier
/// however often it is sent. `None` when nothing is to be added.
fn identified(extensions: &str, nonce: &[u8; 32]) -> Option<String> {
    let mut all = members(extensions)?;
    let (_, extension) = all.iter_mut().find(|(name, _)| name == PAYMENT_IDENTIFIER)?;
    let mut parts = members(extension.get())?;
    let id = format!("pay_{}", &hex(&keccak256(&[&b"x402 payment-identifier"[..], nonce].concat()))[2..34]);
    let id = ("id".to_owned(), text(&id)?);
    match parts.iter_mut().find(|(name, _)| name == "info") {
        Some((_, info)) => {
            let mut fields = members(info.get())?;
            // What the seller wrote may be added to and not be overwritten (x402-specification-v2 5.1.2).
            if fields.iter().any(|(name, _)| name == "id") {
                return None;
            }
            fields.push(id);
            *info = object(&fields)?;
        }
        None => parts.push(("info".to_owned(), object(&[id])?)),
    }
    *extension = object(&parts)?;
    Some(object(&all)?.get().to_owned())
}

/// Whether the seller keeps its answers by a payment's identifier, and a payment of this pin has one of ours.
pub(super) fn replays(pin: &Pin) -> bool {
    pin.version == 2 && pin.extensions.as_deref().is_some_and(|all| identified(all, &[0; 32]).is_some())
}
