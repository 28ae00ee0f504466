//! What a bad relay delivers in place of, or before, the truth.

use std::collections::VecDeque;

use nostr::prelude::{Event, EventBuilder, FinalizeEvent as _, Keys, Nip47Ciphers, Tag};
use serde_json::{Value, json};

use super::{INFO, RESPONSE, RelayMode};

/// The frames that deliver one event to one subscription.
pub(super) fn frames(mode: RelayMode, subscription: &str, event: &Event, replies: &VecDeque<Event>) -> Vec<String> {
    let frame = |event: &Value| json!(["EVENT", subscription, event]).to_string();
    let true_one = serde_json::to_value(event).unwrap_or_default();
    match (mode, event.kind.as_u16()) {
        (RelayMode::NoInfo, INFO) => Vec::new(),
        (RelayMode::TamperInfo, INFO) => vec![frame(&without_encryption(true_one))],
        (RelayMode::TamperReplies, RESPONSE) => vec![frame(&with_other_content(true_one))],
        (RelayMode::Duplicate, RESPONSE) => vec![frame(&true_one), frame(&true_one)],
        (RelayMode::ReplayOld, RESPONSE) => {
            let old = replies.iter().filter(|e| e.id != event.id && e.pubkey == event.pubkey);
            let old = old.filter_map(|e| serde_json::to_value(e).ok());
            old.chain([true_one]).map(|e| frame(&e)).collect()
        }
        (RelayMode::ForgeFirst, RESPONSE) => {
            let forged = forgery(event).and_then(|e| serde_json::to_value(e).ok());
            forged.into_iter().chain([true_one]).map(|e| frame(&e)).collect()
        }
        _ => vec![frame(&true_one)],
    }
}

/// Changes one character in the middle, which is still valid base64.
fn with_other_content(mut event: Value) -> Value {
    let content = event["content"].as_str().unwrap_or_default();
    let at = content.len() / 2;
    let other = if content.as_bytes().get(at) == Some(&b'A') { "B" } else { "A" };
    let changed = match (content.get(..at), content.get(at + 1..)) {
        (Some(head), Some(tail)) => format!("{head}{other}{tail}"),
        _ => other.to_owned(),
    };
    event["content"] = changed.into();
    event
}

/// What would make a careless client fall back to the weaker encryption.
fn without_encryption(mut event: Value) -> Value {
    if let Some(tags) = event["tags"].as_array_mut() {
        tags.retain(|tag| tag[0] != "encryption");
    }
    event
}

/// A well-formed reply to the same request, with a false preimage, that anyone could sign.
fn forgery(event: &Event) -> Option<Event> {
    let stranger = Keys::generate();
    let client = event.tags.public_keys().next()?;
    let lie = json!({"result_type": "pay_invoice", "error": null, "result": {"preimage": "00".repeat(32)}}).to_string();
    let content = Nip47Ciphers::NIP44V2.encrypt(stranger.secret_key(), &client, &lie).ok()?;
    let tags: Vec<Tag> = event.tags.iter().cloned().collect();
    EventBuilder::new(event.kind, content).tags(tags).custom_created_at(event.created_at).finalize(&stranger).ok()
}
