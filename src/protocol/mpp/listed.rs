//! Challenges that this house does not pay: what they are, and why not.

use serde_json::{Map, Value};

use super::{
    super::{Objection, header::RawChallenge, text::clean},
    challenge::{Challenge, word},
};

/// Why a challenge of this method and intent cannot be paid; `None` where there is a file for it.
pub(super) fn objection(challenge: &Challenge, terms: Option<&Map<String, Value>>) -> Option<Objection> {
    let unsupported = |say: String| Some(Objection::new("unsupported", say));
    let Challenge { method, intent, .. } = challenge;
    match (method.as_str(), intent.as_str()) {
        ("lightning" | "evm" | "tempo", "charge") => None,
        ("stripe" | "card" | "spt", _) => unsupported(format!(
            "it is paid through {}, which needs an account with a company in the payer's name; this wallet has none",
            if method == "stripe" || method == "spt" { "Stripe" } else { "a card network" }
        )),
        (_, "session") => unsupported(format!(
            "it asks for a deposit to draw on (a session by \"{}\"), which this version of Bursar does not open",
            word(method)
        )),
        (_, "subscription") => unsupported("it asks to be allowed to charge again and again (a subscription)".into()),
        (_, "charge") => {
            let on = terms.and_then(|terms| terms.get("currency")?.as_str()).map(word).unwrap_or_default();
            unsupported(format!("it is paid by \"{}\" in \"{on}\", which this wallet cannot", word(method)))
        }
        _ => unsupported(format!("its intent \"{}\" by \"{}\" is not known", word(intent), word(method))),
    }
}

/// What a challenge names as its method and intent.
pub(super) fn names(raw: &RawChallenge) -> String {
    let param = |name: &str| {
        let value = raw.one(name).ok().flatten().unwrap_or_default();
        clean(&String::from_utf8_lossy(value), 40).replace('"', "'")
    };
    format!("MPP by method \"{}\", intent \"{}\"", param("method"), param("intent"))
}

/// What it says that it costs: the seller's words.
pub(super) fn price(terms: &Map<String, Value>) -> Option<String> {
    let text = |name: &str| match terms.get(name)? {
        Value::String(text) => Some(word(text)),
        Value::Number(number) => Some(word(&number.to_string())),
        _ => None,
    };
    Some(format!("it says that it costs \"{}\" of \"{}\"", text("amount")?, text("currency")?))
}

/// What it says of itself: the seller's words. The bytes need not be UTF-8.
pub(super) fn description(raw: &RawChallenge) -> Option<String> {
    let bytes = raw.one("description").ok().flatten()?;
    let words = clean(&String::from_utf8_lossy(bytes), 200).replace('"', "'");
    (!words.is_empty()).then(|| format!("the seller describes it: \"{words}\""))
}
