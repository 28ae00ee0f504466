//! The body of an answer, as far as a protocol looks into it.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// What a body turned out to be.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Body {
    /// Sound JSON: every key once, nesting bounded by the parser.
    Json(Value),
    /// It begins like JSON and is not: nothing in it is believed.
    Broken,
    /// Text of another kind.
    Text(String),
    /// Nothing, or bytes that are not text.
    Opaque,
}

impl Body {
    /// Finds out what a body is. `Content-Type` is not asked: sellers set it wrongly too often.
    pub(super) fn read(bytes: &[u8]) -> Body {
        let Ok(text) = std::str::from_utf8(bytes) else { return Body::Opaque };
        match text.trim_start_matches(['\u{feff}', ' ', '\t', '\r', '\n']).chars().next() {
            None => Body::Opaque,
            Some('{' | '[') => parse(text).map_or(Body::Broken, Body::Json),
            Some(_) => Body::Text(text.to_owned()),
        }
    }

    /// The outermost object, where there is one.
    pub(super) fn object(&self) -> Option<&Map<String, Value>> {
        match self {
            Body::Json(value) => value.as_object(),
            _ => None,
        }
    }
}

/// Parses JSON in which no key is named twice. Where two readers could differ about money, there is nothing to read.
pub(super) fn parse(text: &str) -> Option<Value> {
    serde_json::from_str::<Once>(text).ok().map(|Once(value)| value)
}

/// A JSON value whose objects name each key once.
struct Once(Value);

impl<'de> Deserialize<'de> for Once {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Once, D::Error> {
        d.deserialize_any(OnceVisitor).map(Once)
    }
}

struct OnceVisitor;

impl<'de> Visitor<'de> for OnceVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON that names each key once")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, v: bool) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_u64<E: Error>(self, v: u64) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_i64<E: Error>(self, v: i64) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_f64<E: Error>(self, v: f64) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_str<E: Error>(self, v: &str) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(Once(item)) = seq.next_element()? {
            items.push(item);
        }
        Ok(items.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            let Once(value) = map.next_value()?;
            if object.insert(key, value).is_some() {
                return Err(A::Error::custom("a key is named twice"));
            }
        }
        Ok(object.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_json_is_broken_and_never_a_value() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        for text in [
            deep.as_str(),
            r#"{"a":1,"a":2}"#,
            r#"{"x":{"a":1,"a":1}}"#,
            r#"{"a":NaN}"#,
            r#"{"a":"\ud800"}"#,
            "\u{feff}{\"a\":1}",
            r#"{"a":1e400}"#,
            r#"{"a":1} x"#,
            "{",
        ] {
            assert_eq!(Body::read(text.as_bytes()), Body::Broken, "{}", &text[..text.len().min(40)]);
        }
        assert!(Body::read(br#"{"__proto__":{"a":[1,-1,1.5,null,true,"x"]}}"#).object().is_some());
    }

    #[test]
    fn other_bodies_are_text_or_nothing() {
        assert_eq!(Body::read(b""), Body::Opaque);
        assert_eq!(Body::read(b"\xff{}"), Body::Opaque);
        assert_eq!(Body::read(b"payment required\n"), Body::Text("payment required\n".into()));
    }
}
