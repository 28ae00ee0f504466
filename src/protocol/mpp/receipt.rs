//! What a seller says after it was paid: a receipt, or why it took no payment.

use serde_json::{Map, Value};

use super::{
    super::{Receipt, Seen, body::Body, text::clean},
    base64url,
    challenge::Challenge,
    redact::redact,
};

/// The largest receipt that is read, in characters.
const MAX_CHARS: usize = 16 << 10;

/// Reads the receipt of a challenge's payment (httpauth-payment 5.3). It may be missing, so `None` says nothing; nor does
/// one that speaks of another method or another challenge.
pub(super) fn receipt(challenge: &Challenge, seen: Seen<'_>) -> Option<Receipt> {
    let said = said(seen)?;
    let word = |name: &str| said.get(name).and_then(Value::as_str);
    // The lightning drafts require the challenge's id, most servers leave it out.
    let ours = word("method").is_none_or(|method| method == challenge.method)
        && word("challengeId").is_none_or(|id| id == challenge.id);
    if !ours {
        return None;
    }
    Some(Receipt {
        settled: word("status")? == "success",
        // On Lightning this is the payment hash, or, where a server errs, the preimage.
        transaction: word("reference").filter(|_| challenge.method != "lightning").map(|r| clean(r, 100)),
        amount: None,
        reason: String::new(),
    })
}

/// The object in a `Payment-Receipt` header.
pub(super) fn said(seen: Seen<'_>) -> Option<Map<String, Value>> {
    let text = seen.headers.get("payment-receipt")?.to_str().ok()?.trim();
    if text.len() > MAX_CHARS { None } else { base64url::object(text) }
}

/// Whether a seller says that the nonce of an authorization is not the one of its challenge. Nothing else on the wire tells
/// which rule it has for it; these are the words of the servers of the field.
pub(super) fn refuses_nonce(seen: Seen<'_>) -> bool {
    let words = complaint(seen).to_lowercase();
    let mismatch = ["mismatch", "match"].iter().any(|word| words.contains(word));
    words.contains("challenge hash mismatch") || words.contains("nonce") && mismatch
}

/// Why a seller says that it took no payment, out of its problem document (RFC 9457): redacted, for people only. What it
/// means for the money is told by our own state and by whether there is a challenge, never by this.
pub(super) fn complaint(seen: Seen<'_>) -> String {
    let body = Body::read(seen.body);
    let text = |name: &str| body.object()?.get(name)?.as_str().map(redact).filter(|t| !t.is_empty());
    match (text("title"), text("detail")) {
        (Some(title), Some(detail)) if !detail.contains(title.as_str()) => format!("{title}: {detail}"),
        (title, detail) => detail.or(title).or_else(|| text("error")).or_else(|| text("message")).unwrap_or_default(),
    }
}
