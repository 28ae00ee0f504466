//! Reading other people's JSON: a field that is missing or of another type is simply not there.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{
    catalog::index::{admit::Told, listing::ListedInput},
    money::{Amount, Currency},
    protocol::text::clean,
};

/// A text.
pub(super) fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_default().chars().take(600).collect()
}

/// A list of words as a text.
pub(super) fn words(value: &Value) -> String {
    let words = value.as_array().into_iter().flatten().take(12).filter_map(Value::as_str);
    words.map(|w| w.chars().take(40).collect::<String>()).collect::<Vec<_>>().join(" ")
}

/// A number or a text of digits in the smallest units of a currency.
pub(super) fn units(value: &Value) -> Option<Result<u64, ()>> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().map_err(|_| ()))
}

/// A number of whole units of a currency, rounded up to what can be written.
pub(super) fn number(currency: Currency, value: &Value) -> Told {
    let number = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().trim_start_matches('$').parse().ok(),
        _ => None,
    };
    let Some(number) = number.filter(|n: &f64| n.is_finite() && *n >= 0.0) else { return Told::Unknown };
    let atomic = number * 10f64.powi(currency.decimals() as i32);
    if atomic > 1e15 {
        return Told::Absurd;
    }
    // What is written as 0.1 is not 0.1 in binary: a millionth of a unit is no reason to round up.
    let atomic = (atomic - 1e-6).ceil().max(0.0) as u64;
    Amount::new(currency, atomic).map_or(Told::Absurd, Told::Fixed)
}

/// A body that a seller gives as an example, where nothing in it is hidden and it is short.
pub(super) fn example(value: &Value) -> Option<Value> {
    let object = value.as_object().filter(|o| !o.is_empty())?;
    let text = serde_json::to_string(object).ok().filter(|text| text.len() <= 400)?;
    // Cleaning would change what hides something.
    (clean(&text, 500) == text && !text.contains("](") && !text.contains('<')).then(|| value.clone())
}

/// The fields of a JSON Schema's first level. Nothing that it points to is followed.
pub(super) fn input(schema: &Value) -> Option<ListedInput> {
    let plain = |name: &str| {
        !name.is_empty() && name.len() <= 40 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b))
    };
    let properties = schema["properties"].as_object()?;
    let kind = |value: &Value| match value["type"].as_str() {
        Some(kind @ ("string" | "integer" | "number" | "boolean" | "array" | "object")) => kind.to_owned(),
        _ => "any".to_owned(),
    };
    let fields = properties.iter().filter(|(name, _)| plain(name)).take(16);
    let fields: BTreeMap<String, String> = fields.map(|(name, value)| (name.clone(), kind(value))).collect();
    let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let required = required.filter(|name| fields.contains_key(*name)).take(8).map(str::to_owned).collect();
    (!fields.is_empty()).then_some(ListedInput { required, properties: fields })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn numbers_become_money_only_as_far_as_they_are_sane() {
        let usd = |value: Value| match number(Currency::Usd, &value) {
            Told::Fixed(amount) => amount.to_string(),
            other => format!("{other:?}"),
        };
        assert_eq!(usd(json!(0.1)), "0.1 usd");
        assert_eq!(usd(json!(0.0077819)), "0.007782 usd");
        assert_eq!(usd(json!("$0.05")), "0.05 usd");
        assert_eq!(usd(json!(1e10)), "Absurd");
        assert_eq!(
            (usd(json!(-1)), usd(json!(null)), usd(json!("ten"))),
            ("Unknown".into(), "Unknown".into(), "Unknown".into())
        );
        assert_eq!(units(&json!("99999999999999999999999")), Some(Err(())));
        assert_eq!((units(&json!("0.1")), units(&json!(7))), (None, Some(Ok(7))));
    }

    #[test]
    fn examples_and_schemas_carry_nothing_that_hides() {
        assert_eq!(example(&json!({"q": "rain"})), Some(json!({"q": "rain"})));
        for bad in [
            json!({"q": "ra\u{202e}in"}),
            json!({"q": "</system>"}),
            json!({}),
            json!("x"),
            json!({"q": "x".repeat(500)}),
        ] {
            assert_eq!(example(&bad), None, "{bad}");
        }
        let schema = json!({"properties": {"q": {"type": "string"}, "x y": {}, "z": {"$ref": "https://evil.example/s"}},
                            "required": ["q", "gone"]});
        let read = input(&schema).unwrap();
        assert_eq!((read.required, read.properties.len()), (vec!["q".to_owned()], 2));
    }
}
