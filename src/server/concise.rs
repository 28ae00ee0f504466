//! JSON cut short: its structure and order stay, its numbers stay as they are written, what is long or deep is cut, and
//! every place says how much is missing there.

use std::fmt::Write;

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::purchase::tokens;

/// What was left out, in all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct LeftOut {
    /// Strings, names and numbers that were shortened.
    pub long_values: usize,
    /// Items of lists.
    pub list_items: usize,
    /// Fields of objects.
    pub fields: usize,
    /// Lists and objects too deep to be shown.
    pub deep: usize,
}

impl LeftOut {
    /// In words; `None` when nothing was.
    pub fn say(&self) -> Option<String> {
        let parts = [
            (self.long_values, "long value shortened", "long values shortened"),
            (self.list_items, "list item left out", "list items left out"),
            (self.fields, "field left out", "fields left out"),
            (self.deep, "deep branch left out", "deep branches left out"),
        ];
        let said: Vec<String> = parts
            .into_iter()
            .filter(|(n, ..)| *n > 0)
            .map(|(n, one, many)| format!("{n} {}", if n == 1 { one } else { many }))
            .collect();
        (!said.is_empty()).then(|| said.join(", "))
    }
}

/// How much of what is shown.
#[derive(Clone, Copy)]
struct Measure {
    string: usize,
    list: usize,
    fields: usize,
    depth: usize,
}

/// From generous to strict: the first that fits is taken.
const MEASURES: [Measure; 5] = [
    Measure { string: 300, list: 10, fields: 60, depth: 8 },
    Measure { string: 120, list: 6, fields: 40, depth: 6 },
    Measure { string: 80, list: 3, fields: 25, depth: 5 },
    Measure { string: 40, list: 2, fields: 12, depth: 4 },
    Measure { string: 20, list: 1, fields: 6, depth: 3 },
];

/// Shortens a JSON text to at most `most` tokens; `None` when it is no JSON.
pub fn concise(text: &str, most: usize) -> Option<(String, LeftOut)> {
    let value: &RawValue = serde_json::from_str(text).ok()?;
    let mut best = None;
    for measure in MEASURES {
        let mut short = Short { out: String::new(), left_out: LeftOut::default(), measure };
        short.value(value, 0)?;
        let fits = tokens::of(&short.out) <= most;
        best = Some((short.out, short.left_out));
        if fits {
            break;
        }
    }
    best
}

struct Short {
    out: String,
    left_out: LeftOut,
    measure: Measure,
}

impl Short {
    fn value(&mut self, value: &RawValue, depth: usize) -> Option<()> {
        let text = value.get().trim();
        match text.as_bytes().first()? {
            b'"' => {
                let string: String = serde_json::from_str(text).ok()?;
                self.string(&string);
            }
            b'[' | b'{' if depth >= self.measure.depth && !is_empty(text) => {
                let what = if text.starts_with('[') { "list" } else { "object" };
                self.left_out.deep += 1;
                self.write(&format!("… ({what} of {} characters)", text.chars().count()));
            }
            b'[' => self.list(&serde_json::from_str::<Items>(text).ok()?, depth)?,
            b'{' => self.object(&serde_json::from_str::<Fields>(text).ok()?, depth)?,
            _ if text.len() > self.measure.string => self.string(text),
            _ => self.out.push_str(text),
        }
        Some(())
    }

    fn list(&mut self, items: &Items, depth: usize) -> Option<()> {
        self.out.push('[');
        for (n, item) in items.shown.iter().take(self.measure.list).enumerate() {
            if n > 0 {
                self.out.push(',');
            }
            self.value(item, depth + 1)?;
        }
        if let Some(more) = items.total.checked_sub(self.measure.list).filter(|more| *more > 0) {
            self.left_out.list_items += more;
            self.out.push(',');
            self.write(&format!("… ({more} more items)"));
        }
        self.out.push(']');
        Some(())
    }

    fn object(&mut self, fields: &Fields, depth: usize) -> Option<()> {
        self.out.push('{');
        for (n, (name, value)) in fields.0.iter().take(self.measure.fields).enumerate() {
            if n > 0 {
                self.out.push(',');
            }
            self.string(name);
            self.out.push(':');
            self.value(value, depth + 1)?;
        }
        if let Some(more) = fields.0.get(self.measure.fields..).filter(|more| !more.is_empty()) {
            self.left_out.fields += more.len();
            self.out.push(',');
            self.write("…");
            self.out.push(':');
            // Names tell much in few characters, but a wide object of long ones is what is being cut here.
            let mut names = String::new();
            for (name, _) in more {
                if names.chars().count() + name.chars().count() > self.measure.string {
                    names.push_str(", …");
                    break;
                }
                let _ = write!(names, "{}{name}", if names.is_empty() { "" } else { ", " });
            }
            self.write(&format!("({} more fields: {})", more.len(), names.trim_start_matches(", ")));
        }
        self.out.push('}');
        Some(())
    }

    fn string(&mut self, string: &str) {
        let total = string.chars().count();
        if total <= self.measure.string {
            return self.write(string);
        }
        self.left_out.long_values += 1;
        let kept: String = string.chars().take(self.measure.string).collect();
        self.write(&format!("{kept}… ({} more characters)", total - self.measure.string));
    }

    fn write(&mut self, string: &str) {
        self.out.push_str(&serde_json::to_string(string).unwrap_or_default());
    }
}

fn is_empty(text: &str) -> bool {
    text.get(1..text.len() - 1).is_some_and(|inside| inside.trim().is_empty())
}

/// The first items of a list, and how many there are.
struct Items<'a> {
    shown: Vec<&'a RawValue>,
    total: usize,
}

impl<'de> Deserialize<'de> for Items<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Seen;
        impl<'de> Visitor<'de> for Seen {
            type Value = Items<'de>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a list")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Items<'de>, A::Error> {
                let mut items = Items { shown: Vec::new(), total: 0 };
                while let Some(item) = seq.next_element::<&RawValue>()? {
                    if items.shown.len() < MEASURES[0].list {
                        items.shown.push(item);
                    }
                    items.total += 1;
                }
                Ok(items)
            }
        }
        deserializer.deserialize_seq(Seen)
    }
}

/// The fields of an object in their order, those with the same name too.
struct Fields<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Seen;
        impl<'de> Visitor<'de> for Seen {
            type Value = Fields<'de>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry::<String, &RawValue>()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(Seen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn short(text: &str) -> (String, LeftOut) {
        let (out, left) = concise(text, tokens::PAGE).expect("JSON");
        let _: &RawValue = serde_json::from_str(&out).expect("still JSON");
        assert!(tokens::of(&out) <= tokens::PAGE, "{}", out.len());
        (out, left)
    }

    #[test]
    fn what_is_short_stays_as_it_is_in_order_and_to_the_last_digit() {
        let text = r#"{"z":1,"a":[0.10000000000000000555,123456789012345678901234567890,-1e400],"b":{},"z":null}"#;
        assert_eq!(short(text), (text.to_owned(), LeftOut::default()));
    }

    #[test]
    fn every_cut_says_how_much_is_missing_and_all_of_them_are_counted() {
        let text = json!({ "s": "x".repeat(1_000), "l": (0..50).collect::<Vec<_>>() }).to_string();
        let (out, left) = short(&text);
        assert!(out.contains("… (700 more characters)") && out.contains("… (40 more items)"), "{out}");
        assert_eq!(left, LeftOut { long_values: 1, list_items: 40, ..LeftOut::default() });
        assert_eq!(left.say().unwrap(), "1 long value shortened, 40 list items left out");
    }

    #[test]
    fn wide_deep_and_endless_things_fit_into_a_page() {
        let wide: serde_json::Map<String, Value> = (0..5_000).map(|n| (format!("field{n}"), json!(n))).collect();
        let (out, left) = short(&Value::Object(wide).to_string());
        assert_eq!(left.fields, 5_000 - 60);
        assert!(out.contains("(4940 more fields: "), "{out}");
        let deep = format!("{}1{}", "[".repeat(50_000), "]".repeat(50_000));
        let (out, left) = short(&deep);
        assert_eq!((left.deep, out.contains("characters)")), (1, true), "{out}");
        let objects: Value = (0..40).fold(json!("end"), |inner, _| json!({ "down": inner, "by": [1, 2] }));
        assert!(short(&objects.to_string()).1.deep > 0);
        let bushy = (0..6).fold(json!("leaf of some length"), |inner, _| json!(vec![inner; 9]));
        short(&bushy.to_string());
        let names: serde_json::Map<String, Value> =
            (0..100).map(|n| (format!("{n}{}", "k".repeat(5_000)), json!("v".repeat(5_000)))).collect();
        short(&json!({ "a": names, "b": names, "c": names }).to_string());
        short(&"9".repeat(100_000));
    }

    #[test]
    fn what_is_no_json_is_not_shortened() {
        for text in ["", "hello", "{\"a\":1} {\"b\":2}", "{\"a\":", "<html>"] {
            assert!(concise(text, 100).is_none(), "{text}");
        }
    }
}
