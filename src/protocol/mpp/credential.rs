//! The credential: the challenge as it came, and what pays it (httpauth-payment 5.2).

use http::HeaderValue;
use serde_json::{Map, Value};

use super::{super::Credential, base64url, challenge::Challenge, jcs};
use crate::secret::Secret;

/// The largest credential that is made, in bytes of its header; servers take 64 KiB.
const MAX_BYTES: usize = 48 << 10;

/// Makes the header that pays a challenge. `None` when it cannot stand in one.
pub(super) fn credential(challenge: &Challenge, source: Option<String>, payload: Value) -> Option<Credential> {
    let mut whole = Map::new();
    whole.insert("challenge".into(), serde_json::to_value(challenge).ok()?);
    whole.extend(source.map(|source| ("source".to_owned(), source.into())));
    whole.insert("payload".into(), payload);
    let text = Secret::new(jcs::canonical(&Value::Object(whole).to_string())?);
    let text = Secret::new(format!("Payment {}", base64url::encode(text.expose().as_bytes())));
    if text.expose().len() > MAX_BYTES {
        return None;
    }
    let mut value = HeaderValue::from_str(text.expose()).ok()?;
    value.set_sensitive(true);
    Some(Credential { name: challenge.header_name().ok()?, value })
}

/// The parts of a credential that a server may repeat in its answer and that nobody may see: what its payload holds.
/// Empty for a credential of another scheme.
pub fn secrets(credential: &Credential) -> Vec<Secret> {
    let text = credential.value.to_str().unwrap_or_default();
    let Some(blob) = text.strip_prefix("Payment ") else { return Vec::new() };
    let payload = base64url::object(blob).and_then(|mut whole| whole.remove("payload"));
    let payload = payload.as_ref().and_then(Value::as_object);
    let secret = |name: &&str| payload?.get(*name)?.as_str().map(Secret::new);
    ["preimage", "topUpPreimage", "signature"].iter().filter_map(secret).collect()
}
