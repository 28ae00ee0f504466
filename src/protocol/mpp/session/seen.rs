//! What an answer means to a session. Statuses and words alone never say what became of the money.

use serde_json::Value;

use super::{
    super::{
        super::{Seen, body::Body, header},
        challenge::Challenge,
        lightning::sats,
        receipt,
    },
    Said,
    terms::is_session,
};

/// Reads an answer to something that a session showed or asked, as far as the session looks at it. Of several challenges the
/// one of its own realm counts.
pub fn said(seen: Seen<'_>, realm: &str) -> Said {
    let listing = header::challenges(seen.headers);
    let challenges =
        listing.challenges.iter().filter(|raw| raw.is("Payment")).filter_map(|raw| Challenge::read(raw).ok());
    let sessions: Vec<Challenge> = challenges.filter(is_session).collect();
    let ours = sessions.iter().find(|challenge| challenge.realm == realm).or(sessions.first());
    let body = Body::read(seen.body);
    let receipt = receipt::said(seen);
    let refund = |said: Option<&serde_json::Map<String, Value>>| said?.get("refundSats").and_then(sats);
    Said {
        goods: !matches!(seen.status, 401..=403 | 410 | 500..),
        failed: seen.status >= 500,
        challenge: ours.cloned().map(Box::new),
        refund_sat: refund(receipt.as_ref()).or_else(|| refund(body.object())),
    }
}
