//! What the endpoints answer. A wrong body is a 400, which nobody pays for.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::catalogue::{Endpoint, Kind, Looking, Reading};

/// The most items of a batch.
const MOST_ITEMS: usize = 500;

/// Runs an endpoint.
pub(super) fn handle(endpoint: &Endpoint, body: &[u8]) -> (StatusCode, Value) {
    let asked = serde_json::from_slice::<Value>(body).map_err(|_| "invalid JSON".to_owned());
    match asked.and_then(|body| answer(endpoint, &body)) {
        Ok(mut answer) => {
            answer["status"] = "ok".into();
            (StatusCode::OK, answer)
        }
        Err(say) => (StatusCode::BAD_REQUEST, json!({"error": say})),
    }
}

fn answer(endpoint: &Endpoint, body: &Value) -> Result<Value, String> {
    if !endpoint.batch {
        return one(endpoint.kind, body);
    }
    let items = body["items"].as_array().filter(|i| !i.is_empty()).ok_or("items required")?;
    if items.len() > MOST_ITEMS {
        return Err(format!("at most {MOST_ITEMS} items"));
    }
    let results = items.iter().map(|item| one(endpoint.kind, item)).collect::<Result<Vec<_>, _>>()?;
    Ok(json!({"count": results.len(), "results": results}))
}

fn one(kind: Kind, body: &Value) -> Result<Value, String> {
    match kind {
        Kind::Text(reading) => {
            let text = field(body, "text").ok_or("text required")?;
            Ok(match reading {
                Reading::Sentiment => sentiment(text),
                Reading::Pii => pii(text, body["mask"] != false),
                Reading::Compliance => json!({"compliant": true, "issues": [], "checked": text.len()}),
            })
        }
        Kind::Image(looking) => {
            let image = field(body, "image_url").or_else(|| field(body, "image_base64"));
            let image = image.ok_or("image_url or image_base64 required")?;
            Ok(match looking {
                Looking::Invoice => invoice(),
                Looking::Words => json!({"result": {"text": "a picture of something", "bytes_seen": image.len()}}),
            })
        }
        Kind::Field(name) => {
            let given = field(body, name).ok_or(format!("{name} required"))?;
            Ok(json!({"result": {"summary": "looked at what was given", "length": given.len()}}))
        }
    }
}

fn field<'a>(body: &'a Value, name: &str) -> Option<&'a str> {
    body[name].as_str().map(str::trim).filter(|s| !s.is_empty())
}

fn sentiment(text: &str) -> Value {
    let low = text.to_lowercase();
    let count = |words: &[&str]| words.iter().map(|w| low.matches(w).count()).sum::<usize>();
    let good = count(&["good", "great", "love", "happy", "excellent", "thank"]);
    let bad = count(&["bad", "awful", "hate", "sad", "terrible", "angry"]);
    let (sentiment, confidence) = match good.cmp(&bad) {
        std::cmp::Ordering::Greater => ("positive", 0.92),
        std::cmp::Ordering::Less => ("negative", 0.91),
        std::cmp::Ordering::Equal => ("neutral", 0.6),
    };
    json!({
        "sentiment": sentiment,
        "confidence": confidence,
        "emotions": {"joy": good, "anger": bad},
        "intent": "statement",
        "summary": format!("The text sounds {sentiment}."),
    })
}

fn pii(text: &str, mask: bool) -> Value {
    let trimmed = |word: &str| word.trim_matches(|c: char| !c.is_alphanumeric()).to_owned();
    let is_mail = |word: &String| word.split_once('@').is_some_and(|(a, b)| !a.is_empty() && b.contains('.'));
    let mails: Vec<String> = text.split_whitespace().map(trimmed).filter(is_mail).collect();
    let found: Vec<Value> =
        mails.iter().map(|m| json!({"type": "email", "value": m, "position": text.find(m.as_str())})).collect();
    let masked = mails.iter().fold(text.to_owned(), |text, m| text.replace(m.as_str(), "[EMAIL]"));
    json!({
        "pii_found": found,
        "risk_level": if mails.is_empty() { "none" } else { "medium" },
        "masked_text": if mask { masked } else { text.to_owned() },
    })
}

fn invoice() -> Value {
    json!({"invoice": {
        "vendor_name": "Corner Till Supplies",
        "total": 118.5,
        "line_items": [
            {"description": "Receipt paper, 20 rolls", "amount": 38.5},
            {"description": "Card reader", "amount": 80.0},
        ],
    }})
}
