//! Fewsats' L402 version 0.2, where offers stand in JSON and are paid through another URL: recognised, not paid.

use serde_json::{Map, Value};

use super::super::{Challenge, Objection, Offer, Protocol, Rail, text::clean};

/// Lists the offers of such a body; a note says what they are.
pub(super) fn read(object: &Map<String, Value>, challenge: &mut Challenge) {
    if !object.contains_key("payment_context_token") {
        return;
    }
    let Some(offers) = object.get("offers").and_then(Value::as_array) else { return };
    challenge
        .notes
        .push(format!("{} offers in Fewsats' form (L402 0.2) stand in the body; they are only listed", offers.len()));
    challenge.offers.extend(offers.iter().take(16).map(list));
}

fn list(offer: &Value) -> Offer {
    let text = |name: &str| offer.get(name).and_then(Value::as_str).map(|t| clean(t, 80)).unwrap_or_default();
    // The amount is in the currency's minor unit, which only the seller's currency table tells: shown, never counted.
    let amount = offer.get("amount").filter(|a| a.is_number()).map(Value::to_string).unwrap_or_else(|| "?".into());
    let remark = format!("the seller calls it \"{}\", {amount} minor units of \"{}\"", text("title"), text("currency"));
    Offer {
        remarks: vec![remark],
        ..Offer::listed(
            Protocol::L402,
            Rail::UNKNOWN,
            Objection::new("unsupported", "this version of Bursar does not pay offers in Fewsats' form (L402 0.2)"),
        )
    }
}
