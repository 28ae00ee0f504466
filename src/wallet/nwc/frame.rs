//! The frames that a relay and we exchange (NIP-01), and the check that every event must pass.

use nostr::{
    event::{Event, EventId, Kind},
    key::PublicKey,
};
use serde_json::{Value, json, value::RawValue};

/// What a relay says. Text in it is the relay's own and untrusted.
pub(super) enum Frame {
    /// An event for a subscription: parsed, not yet checked.
    Event { sub: String, event: Box<Event> },
    /// Whether it took an event that we published.
    Ok { event: String, taken: bool, why: String },
    /// It has sent everything that it had stored for a subscription.
    Stored { sub: String },
    /// It ended a subscription.
    Closed { sub: String, why: String },
    /// It wants to know who we are (NIP-42).
    Auth { challenge: String },
}

/// The longest challenge that is signed, in bytes: honest ones are a random number.
const LONGEST_CHALLENGE: usize = 512;

impl Frame {
    /// Reads one frame. `None` for what is not one, or is of no interest.
    pub fn read(text: &str) -> Option<Frame> {
        let parts: Vec<&RawValue> = serde_json::from_str(text).ok()?;
        let part = |n: usize| -> Option<String> { serde_json::from_str(parts.get(n)?.get()).ok() };
        match part(0)?.as_str() {
            "EVENT" => {
                let event = Event::from_json(parts.get(2)?.get()).ok()?;
                Some(Frame::Event { sub: part(1)?, event: Box::new(event) })
            }
            "OK" => {
                let taken = serde_json::from_str(parts.get(2)?.get()).ok()?;
                Some(Frame::Ok { event: part(1)?, taken, why: part(3).unwrap_or_default() })
            }
            "EOSE" => Some(Frame::Stored { sub: part(1)? }),
            "CLOSED" => Some(Frame::Closed { sub: part(1)?, why: part(2).unwrap_or_default() }),
            "AUTH" => {
                let challenge = part(1)?;
                (challenge.len() <= LONGEST_CHALLENGE).then_some(Frame::Auth { challenge })
            }
            _ => None,
        }
    }

    /// The frame that subscribes.
    pub fn subscribe(sub: &str, wanted: &Wanted) -> String {
        json!(["REQ", sub, wanted.filter()]).to_string()
    }

    /// The frame that publishes an event, whose bytes stay as they are.
    pub fn publish(event: &str) -> String {
        format!("[\"EVENT\",{event}]")
    }

    /// The frame that answers a relay's challenge with a signed event.
    pub fn authenticate(event: &str) -> String {
        format!("[\"AUTH\",{event}]")
    }

    /// The frame that ends a subscription.
    pub fn unsubscribe(sub: &str) -> String {
        json!(["CLOSE", sub]).to_string()
    }
}

/// Which events an exchange waits for.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    /// Who must have signed it; `None` where that is what is to be found out.
    pub author: Option<PublicKey>,
    /// Its kind.
    pub kind: Kind,
    /// The request that it must answer.
    pub answers: Option<EventId>,
    /// Whom it must be written to: named in a `p` tag.
    pub reader: Option<PublicKey>,
    /// How many stored ones are of interest; none means all.
    pub stored: Option<usize>,
}

impl Wanted {
    /// The filter a relay is asked with. Without `since`: clocks differ. A relay's filtering is never relied on.
    fn filter(&self) -> Value {
        let mut filter = json!({ "kinds": [self.kind.as_u16()] });
        if let Some(author) = &self.author {
            filter["authors"] = json!([author.to_hex()]);
        }
        if let Some(id) = &self.answers {
            filter["#e"] = json!([id.to_hex()]);
        }
        if let Some(reader) = &self.reader {
            filter["#p"] = json!([reader.to_hex()]);
        }
        if let Some(stored) = self.stored {
            filter["limit"] = json!(stored);
        }
        filter
    }

    /// Whether an event is truly one of these: kind, author, whom it names, the request it answers, its id and its
    /// signature.
    pub fn admits(&self, event: &Event) -> bool {
        event.kind == self.kind
            && self.author.is_none_or(|author| event.pubkey == author)
            && self.answers.is_none_or(|id| event.tags.event_ids().any(|answered| answered == id))
            && self.reader.is_none_or(|key| event.tags.public_keys().any(|named| named == key))
            && event.verify().is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_relay_may_say_is_read_and_the_rest_is_passed_over() {
        assert!(matches!(Frame::read(r#"["OK","ab",true,""]"#), Some(Frame::Ok { taken: true, .. })));
        assert!(matches!(Frame::read(r#"["OK","ab",false]"#), Some(Frame::Ok { taken: false, .. })));
        assert!(matches!(Frame::read(r#"["AUTH","c"]"#), Some(Frame::Auth { .. })));
        assert!(Frame::read(&format!(r#"["AUTH","{}"]"#, "c".repeat(513))).is_none());
        assert!(matches!(Frame::read(r#"["EOSE","s"]"#), Some(Frame::Stored { .. })));
        assert!(matches!(Frame::read(r#"["CLOSED","s","rate-limited: slow"]"#), Some(Frame::Closed { .. })));
        for odd in [
            "",
            "[]",
            "{}",
            "null",
            r#"["NOTICE","hi"]"#,
            r#"["AUTH",7]"#,
            r#"["EVENT","s"]"#,
            r#"["EVENT","s",{}]"#,
            r#"["EVENT","s",{"id":"zz"}]"#,
            r#"["OK","ab","yes"]"#,
            r#"["EOSE",1]"#,
            "[[[[[[",
        ] {
            assert!(Frame::read(odd).is_none(), "{odd}");
        }
    }
}
