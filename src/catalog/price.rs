//! Prices that documents name. They are hints: the 402 of the endpoint itself is the only price, and what is not known
//! for certain is unknown and never guessed.

use serde::Serialize;
use serde_json::Value;

use crate::{
    money::{Amount, Currency},
    protocol::text::clean,
};

/// Where a price was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// The endpoint's own 402, just now.
    #[serde(rename = "live_402")]
    Live,
    /// The seller's OpenAPI document.
    Openapi,
    /// A well-known file of the seller.
    WellKnown,
    /// The seller's prose.
    Listed,
    /// A pack that comes with the program.
    Bundled,
    /// A public catalogue.
    Catalog,
    /// What it asked when it was last seen here.
    SeenHere,
}

impl Basis {
    /// The name used in results.
    pub const fn name(self) -> &'static str {
        match self {
            Basis::Live => "live_402",
            Basis::Openapi => "openapi",
            Basis::WellKnown => "well_known",
            Basis::Listed => "listed",
            Basis::Bundled => "bundled",
            Basis::Catalog => "catalog",
            Basis::SeenHere => "seen_here",
        }
    }
}

/// What one document says that a call costs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The price; `None` when it is decided at the call, or named in an asset or a unit that is not known.
    pub price: Option<Amount>,
    /// The upper end, where a range is named.
    pub up_to: Option<Amount>,
    /// Where it was read.
    pub basis: Basis,
    /// How it would be paid, in one cleaned word such as `lightning`; may be empty.
    pub by: String,
}

/// Above this nobody sells a call: such a number is a mistake in a unit.
const ABSURD: [(Currency, u64); 3] =
    [(Currency::Sat, 10_000_000 * 1_000), (Currency::Usd, 10_000 * 1_000_000), (Currency::Eurc, 10_000 * 1_000_000)];

/// USDC on the main networks, by contract or mint: six decimals, at par. Addresses of EVM chains in lower case.
const USDC: [&str; 11] = [
    "0x833589fcd6edb6e08f4c7c32d4f71b54bda02913",
    "0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48",
    "0x3c499c542cef5e3811e1192ce70d8cc03d5c3359",
    "0xb97ef9ef8734c71904d8002f8b6bc66dd9c48a6e",
    "0xaf88d065e77c8cc2239327c5edb3a432268e5831",
    "0x754704bc059f8c67012fed69bc8a327a5aafb603",
    "0xceba9300f2b948710d2653dd7b07f33a8b32118c",
    "0xe15fc38f6d8c56af07bbcbe3baf5708a2bf42392",
    "0x0b2c639c533813f4aa9d7837caf62653d097ff85",
    "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v",
    "solana:EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v",
];

fn sane(amount: Amount) -> Option<Amount> {
    let most = ABSURD.iter().find(|(currency, _)| *currency == amount.currency())?.1;
    (amount.atomic() <= most).then_some(amount)
}

/// An amount of an asset's smallest units; `None` for an asset whose units are not known for certain.
fn base_units(asset: &str, text: &str) -> Option<Amount> {
    let units: u64 = text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())??;
    let lower = asset.to_ascii_lowercase();
    let amount = match lower.as_str() {
        "sat" | "sats" => Amount::msat(units.checked_mul(1000)?)?,
        "msat" | "msats" => Amount::msat(units)?,
        _ if is_usdc(asset) => Amount::new(Currency::Usd, units)?,
        _ => return None,
    };
    sane(amount)
}

/// Whether an asset is USDC on a main network.
pub(super) fn is_usdc(asset: &str) -> bool {
    let lower = asset.to_ascii_lowercase();
    USDC.iter().any(|known| *known == asset || *known == lower)
}

/// A plain decimal in a currency; needless zeros at the end are allowed.
fn decimal(currency: Currency, text: &str) -> Option<Amount> {
    let text = match text.split_once('.') {
        Some((whole, fraction)) => {
            let fraction = fraction.trim_end_matches('0');
            format!("{whole}.{}", if fraction.is_empty() { "0" } else { fraction })
        }
        None => text.to_owned(),
    };
    sane(Amount::parse_in(currency, &text).ok()?)
}

/// Reads a price as people write it: `$0.05`, `10 sat`, `10 sats`. A number without a unit is no price.
pub(super) fn written(text: &str) -> Option<Amount> {
    let text = text.trim();
    if let Some(dollars) = text.strip_prefix('$') {
        return decimal(Currency::Usd, dollars);
    }
    let (number, unit) = text.split_once(' ')?;
    match unit.to_ascii_lowercase().as_str() {
        "sat" | "sats" | "satoshi" | "satoshis" => decimal(Currency::Sat, number),
        "usd" => decimal(Currency::Usd, number),
        _ => None,
    }
}

/// A JSON string or number as text; floats as they are written, never in exponent form.
fn text_of(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::String(text) if text.len() <= 40 => Some(text.trim().to_owned()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn word(value: Option<&Value>) -> String {
    let text = clean(value.and_then(Value::as_str).unwrap_or_default(), 24);
    if text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)) { text } else { String::new() }
}

fn is_usd(value: Option<&Value>) -> bool {
    value.and_then(Value::as_str).is_some_and(|c| c.eq_ignore_ascii_case("usd"))
}

fn dollars(value: Option<&Value>) -> Option<Amount> {
    let text = text_of(value)?;
    decimal(Currency::Usd, text.strip_prefix('$').unwrap_or(&text))
}

/// Reads `x-payment-info`, which means two things in two communities.
///
/// A nested `price` or a `pricingMode` is decimal dollars; `intent`, `method` and `amount` are base units of an asset
/// that must be known; a bare `amount` with a decimal point is dollars; anything else has no price.
pub(super) fn payment_info(info: &Value) -> Vec<Listed> {
    let Some(object) = info.as_object() else { return Vec::new() };
    let listed = |price, up_to, by| Listed { price, up_to, basis: Basis::Openapi, by };
    let protocols = || {
        let mut names: Vec<String> = Vec::new();
        for protocol in object.get("protocols").and_then(Value::as_array).into_iter().flatten().take(4) {
            let name = match protocol {
                Value::Object(one) => word(one.keys().next().map(|k| Value::String(k.clone())).as_ref()),
                other => word(Some(other)),
            };
            if !name.is_empty() && !names.contains(&name) {
                names.push(name);
            }
        }
        names.join("/")
    };
    if let Some(price) = object.get("price").and_then(Value::as_object) {
        let usd = |name: &str| is_usd(price.get("currency")).then(|| dollars(price.get(name))).flatten();
        let dynamic = price.get("mode").and_then(Value::as_str).is_some_and(|m| m != "fixed");
        let (low, high) = if dynamic { (usd("min"), usd("max")) } else { (usd("amount"), None) };
        return vec![listed(low, high, protocols())];
    }
    if let Some(mode) = object.get("pricingMode").and_then(Value::as_str) {
        let known = object.get("currency").is_none() || is_usd(object.get("currency"));
        let usd = |name: &str| known.then(|| dollars(object.get(name))).flatten();
        let (low, high) = match mode {
            "fixed" => (usd("price"), None),
            "range" => (usd("minPrice"), usd("maxPrice")),
            _ => (None, None),
        };
        return vec![listed(low, high, protocols())];
    }
    let offers: Vec<&Value> = match object.get("offers").and_then(Value::as_array) {
        Some(offers) => offers.iter().take(8).collect(),
        None => vec![info],
    };
    offers
        .into_iter()
        .filter_map(Value::as_object)
        .map(|offer| {
            let amount = text_of(offer.get("amount"));
            let currency = offer.get("currency").and_then(Value::as_str);
            let price = match amount {
                Some(amount) if offer.contains_key("intent") && offer.contains_key("method") => {
                    currency.and_then(|asset| base_units(asset, &amount))
                }
                Some(amount) if amount.contains('.') && (currency.is_none() || is_usd(offer.get("currency"))) => {
                    decimal(Currency::Usd, &amount)
                }
                _ => text_of(offer.get("price")).and_then(|p| written(&p)),
            };
            listed(price, None, word(offer.get("method")))
        })
        .collect()
}

/// Reads what a well-known file says that one of its entries costs, in the shapes that are seen.
pub(super) fn entry(entry: &serde_json::Map<String, Value>) -> Option<Listed> {
    let listed =
        |price: Option<Amount>, by: &str| Listed { price, up_to: None, basis: Basis::WellKnown, by: by.into() };
    for name in ["price_sats", "priceSats", "price_sat", "amount_sats", "amountSats"] {
        if let Some(text) = text_of(entry.get(name)) {
            return Some(listed(decimal(Currency::Sat, &text), "lightning"));
        }
    }
    if let Some(accepts) = entry.get("accepts").and_then(Value::as_array).and_then(|a| a.first()) {
        let amount = text_of(accepts.get("maxAmountRequired").or(accepts.get("amount")));
        let asset = accepts.get("asset").and_then(Value::as_str);
        let price = amount.zip(asset).and_then(|(amount, asset)| base_units(asset, &amount));
        return Some(listed(price, "x402"));
    }
    let price = entry.get("price").or_else(|| entry.get("pricing"))?;
    Some(listed(text_of(Some(price)).and_then(|text| written(&text)), ""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn prices(info: Value) -> Vec<String> {
        let show = |l: Listed| {
            let price = l.price.map_or("unknown".into(), |p| p.to_string());
            l.up_to.map_or(price.clone(), |most| format!("{price} to {most}"))
        };
        payment_info(&info).into_iter().map(show).collect()
    }

    #[test]
    fn the_same_key_means_base_units_here_and_dollars_there() {
        let base = "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913";
        for (info, expected) in [
            (
                json!({"offers": [{"intent": "charge", "method": "tempo", "amount": "10000", "currency": "0x20c0"},
                               {"intent": "charge", "method": "lightning", "amount": "10", "currency": "sat"}]}),
                vec!["unknown", "10 sat"],
            ),
            (json!({"intent": "charge", "method": "evm", "amount": "10000", "currency": base}), vec!["0.01 usd"]),
            (json!({"intent": "charge", "method": "evm", "amount": null, "currency": base}), vec!["unknown"]),
            (json!({"intent": "charge", "method": "evm", "amount": "0.01", "currency": base}), vec!["unknown"]),
            (json!({"intent": "charge", "method": "stripe", "amount": "100", "currency": "usd"}), vec!["unknown"]),
            (json!({"price": {"mode": "fixed", "currency": "USD", "amount": "0.010000"}}), vec!["0.01 usd"]),
            (json!({"price": {"mode": "fixed", "currency": "EUR", "amount": "0.01"}}), vec!["unknown"]),
            (
                json!({"price": {"mode": "dynamic", "currency": "USD", "min": "0.01", "max": "2"}}),
                vec!["0.01 usd to 2 usd"],
            ),
            (json!({"pricingMode": "fixed", "price": "0.05", "protocols": ["x402"]}), vec!["0.05 usd"]),
            (json!({"pricingMode": "range", "minPrice": 0.5, "maxPrice": 1}), vec!["0.5 usd to 1 usd"]),
            (json!({"pricingMode": "quote"}), vec!["unknown"]),
            (json!({"amount": "0.25"}), vec!["0.25 usd"]),
            (json!({"amount": "25"}), vec!["unknown"]),
            (json!({"amount": "0.25", "currency": "EUR"}), vec!["unknown"]),
            (json!({"price": {"mode": "fixed", "currency": "USD", "amount": "10000000000"}}), vec!["unknown"]),
            (json!({"price": {"mode": "fixed", "currency": "USD", "amount": "1e3"}}), vec!["unknown"]),
            (json!("ten"), vec![]),
        ] {
            assert_eq!(prices(info.clone()), expected, "{info}");
        }
    }

    #[test]
    fn a_well_known_entry_has_a_price_only_with_a_unit() {
        let price = |value: Value| entry(value.as_object().unwrap()).and_then(|l| l.price).map(|p| p.to_string());
        assert_eq!(price(json!({"price_sats": 21})).as_deref(), Some("21 sat"));
        assert_eq!(price(json!({"price": "$0.05"})).as_deref(), Some("0.05 usd"));
        assert_eq!(price(json!({"price": "0.05"})), None);
        assert_eq!(price(json!({"price": 5})), None);
        let accepts = json!([{"amount": "20000", "asset": "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913"}]);
        assert_eq!(price(json!({"accepts": accepts})).as_deref(), Some("0.02 usd"));
        assert_eq!(price(json!({"accepts": [{"amount": "20000", "asset": "0xdead"}]})), None);
    }
}
