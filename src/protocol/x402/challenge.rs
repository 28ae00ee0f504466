//! What an x402 challenge holds, before anyone has judged it: the four places where it stands, and its parts as the
//! seller wrote them.
//!
//! `PAYMENT-REQUIRED` is version 2's own header (transports-v2/http.md), the body is version 1's place
//! (transports-v1/http.md); strays of version 2 stand in the body alone or in `X-PAYMENT-REQUIRED`. The parts that a
//! payment repeats are kept byte for byte: reference servers compare them with what they sent.

use serde::Deserialize;
use serde_json::{
    Map, Value,
    value::{RawValue, to_raw_value},
};

use super::{
    super::{
        Objection, Seen,
        body::{Body, parse},
        text::clean,
    },
    envelope::in_header,
};

/// The headers that carry terms, the protocol's own first.
const HEADERS: [&str; 2] = ["payment-required", "x-payment-required"];

/// How many entries of `accepts` are looked at.
pub(super) const MAX_ENTRIES: usize = 64;

/// The terms of a seller.
#[derive(Clone, Debug)]
pub(super) struct Terms {
    /// The version they are written in, 1 or 2.
    pub(super) version: u8,
    /// What the seller gives as its reason, as written.
    pub(super) error: String,
    /// The ways to pay, in the seller's order; one that is written twice stands here once.
    pub(super) accepts: Vec<Entry>,
    /// How many more there are than were looked at.
    pub(super) more: usize,
    /// The object `resource`, byte for byte.
    pub(super) resource: Option<String>,
    /// The object `extensions`, byte for byte.
    pub(super) extensions: Option<String>,
}

/// One way to pay.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// As the seller wrote it, byte for byte.
    pub(super) raw: String,
    /// The same, parsed.
    pub(super) value: Value,
}

/// What was found in an answer.
#[derive(Clone, Debug)]
pub(super) enum Found {
    /// Nothing that calls itself x402.
    Nothing,
    /// Terms, and what was wrong with a place that was looked at before.
    Terms(Box<Terms>, Option<Objection>),
    /// It calls itself x402, and there is nothing to pay on.
    Unreadable(Objection),
}

impl Found {
    /// Looks for terms. The first place with terms that can be read is the only one, so that one challenge never becomes
    /// two offers.
    pub(super) fn read(seen: Seen<'_>, body: &Body) -> Found {
        let mut failed = None;
        for name in HEADERS {
            match in_header(seen.headers, name) {
                None => {}
                Some(text) => match text.and_then(|text| Terms::read(&text)) {
                    Ok(terms) => return Found::Terms(Box::new(terms), failed),
                    Err(objection) => failed = failed.or(Some(objection)),
                },
            }
        }
        // A body belongs to the seller's site; it is x402 only where it says so.
        let speaks = body.object().is_some_and(|o| o.get("x402Version").is_some_and(Value::is_number));
        if let Some(text) = std::str::from_utf8(seen.body).ok().filter(|_| speaks) {
            match Terms::read(text) {
                Ok(terms) => return Found::Terms(Box::new(terms), failed),
                Err(objection) => failed = failed.or(Some(objection)),
            }
        }
        failed.map_or(Found::Nothing, Found::Unreadable)
    }

    /// The same for an answer whose body was not parsed yet.
    pub(super) fn in_answer(seen: Seen<'_>) -> Found {
        Found::read(seen, &Body::read(seen.body))
    }
}

/// The parts that are kept as they are written.
#[derive(Deserialize)]
struct Raw<'a> {
    #[serde(borrow)]
    accepts: Vec<&'a RawValue>,
    #[serde(borrow, default)]
    resource: Option<&'a RawValue>,
    #[serde(borrow, default)]
    extensions: Option<&'a RawValue>,
}

impl Terms {
    fn read(text: &str) -> Result<Terms, Objection> {
        let bad = || Objection::new("bad_terms", "its x402 terms are not one sound JSON object");
        let none = || Objection::new("no_terms", "it speaks of x402 and names no terms to pay on");
        let value = parse(text).ok_or_else(bad)?;
        let object = value.as_object().ok_or_else(bad)?;
        let version = match object.get("x402Version") {
            Some(number) if number.as_u64() == Some(1) => 1,
            Some(number) if number.as_u64() == Some(2) => 2,
            Some(other) => {
                let other = clean(&other.to_string(), 20);
                let say = format!("it is written in version {other} of x402; versions 1 and 2 are known");
                return Err(Objection::new("unsupported_version", say));
            }
            None => return Err(Objection::new("bad_terms", "its x402 terms name no version")),
        };
        let values = object.get("accepts").and_then(Value::as_array).filter(|all| !all.is_empty()).ok_or_else(none)?;
        let raw: Raw<'_> = serde_json::from_str(text).map_err(|_| bad())?;
        let mut accepts: Vec<Entry> = Vec::new();
        for (raw, value) in raw.accepts.iter().zip(values).take(MAX_ENTRIES) {
            if !accepts.iter().any(|known| known.raw == raw.get()) {
                accepts.push(Entry { raw: raw.get().to_owned(), value: value.clone() });
            }
        }
        let object_of =
            |raw: Option<&RawValue>| raw.map(RawValue::get).filter(|r| r.starts_with('{')).map(str::to_owned);
        Ok(Terms {
            version,
            error: object.get("error").and_then(Value::as_str).unwrap_or_default().to_owned(),
            accepts,
            more: values.len().saturating_sub(MAX_ENTRIES),
            resource: object_of(raw.resource),
            extensions: object_of(raw.extensions),
        })
    }
}

/// The members of a JSON object in their order, each value as it is written. `None` for anything else.
pub(super) fn members(object: &str) -> Option<Vec<(String, Box<RawValue>)>> {
    #[derive(Deserialize)]
    #[serde(transparent)]
    struct Members(#[serde(deserialize_with = "in_order")] Vec<(String, Box<RawValue>)>);
    serde_json::from_str::<Members>(object).ok().map(|members| members.0)
}

/// Writes members as an object again.
pub(super) fn object(members: &[(String, Box<RawValue>)]) -> Option<Box<RawValue>> {
    let written: Option<Vec<String>> = members
        .iter()
        .map(|(name, value)| Some(format!("{}:{}", serde_json::to_string(name).ok()?, value.get())))
        .collect();
    RawValue::from_string(format!("{{{}}}", written?.join(","))).ok()
}

/// A text as a JSON value.
pub(super) fn text(text: &str) -> Option<Box<RawValue>> {
    to_raw_value(text).ok()
}

fn in_order<'de, D: serde::Deserializer<'de>>(d: D) -> Result<Vec<(String, Box<RawValue>)>, D::Error> {
    struct InOrder;
    impl<'de> serde::de::Visitor<'de> for InOrder {
        type Value = Vec<(String, Box<RawValue>)>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut members = Vec::new();
            while let Some(member) = map.next_entry()? {
                members.push(member);
            }
            Ok(members)
        }
    }
    d.deserialize_map(InOrder)
}

/// A field of an object that may be missing, `null` or empty, which sellers take for one and the same.
pub(super) fn given<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    object.get(name).filter(|value| !value.is_null() && value.as_str() != Some(""))
}
