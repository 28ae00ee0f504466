//! One line of a catalogue: an endpoint that somebody says can be bought, cut to neutral facts.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;

use crate::money::Amount;

/// How far a listing is trusted before anything was seen of it here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Level {
    /// Nobody vouches for it: no live 402 and no payer that counts.
    #[default]
    #[serde(rename = "0")]
    Unverified,
    /// One catalogue lists it.
    #[serde(rename = "1")]
    Listed,
    /// A registry that people keep lists it.
    #[serde(rename = "2")]
    Curated,
    /// Kept by hand in a pack that comes with the program.
    #[serde(rename = "3")]
    Bundled,
}

/// One listing. The names of its parts are short since thousands of them come with the program. Words in it may be a
/// seller's, cleaned; they are shown only as such.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Listing {
    /// The address to call, with `{name}` where a value goes.
    #[serde(rename = "u")]
    pub url: String,
    /// The method; empty when the catalogue does not say.
    #[serde(rename = "m", default, skip_serializing_if = "String::is_empty")]
    pub method: String,
    /// What it does, in a few words.
    #[serde(rename = "n")]
    pub name: String,
    /// The same in a sentence; may be empty.
    #[serde(rename = "a", default, skip_serializing_if = "String::is_empty")]
    pub about: String,
    /// Words that it is found by; never shown.
    #[serde(rename = "k", default, skip_serializing_if = "String::is_empty")]
    pub words: String,
    /// Words about all that its seller offers; they count for little, and are never shown.
    #[serde(rename = "w", default, skip_serializing_if = "String::is_empty")]
    pub service: String,
    /// Who sells it.
    #[serde(rename = "v", default, skip_serializing_if = "String::is_empty")]
    pub provider: String,
    /// The price as money is written (`0.1 usd`), `free`, `~` where it varies, or empty where it is not known.
    #[serde(rename = "p", default, skip_serializing_if = "String::is_empty")]
    pub price: String,
    /// The dialects that it speaks, between spaces: `l402 x402 mpp`.
    #[serde(rename = "x", default, skip_serializing_if = "String::is_empty")]
    pub protocols: String,
    /// The network: `lightning`, `eip155:8453`, `tempo`.
    #[serde(rename = "c", default, skip_serializing_if = "String::is_empty")]
    pub network: String,
    /// Which of its catalogue's sources it comes from.
    #[serde(rename = "s", default, skip_serializing_if = "is_zero")]
    pub source: u8,
    /// The day of its facts, `2026-08-01`, where its catalogue says one for each listing.
    #[serde(rename = "d", default, skip_serializing_if = "String::is_empty")]
    pub as_of: String,
    /// Where its price was read, when that is another catalogue than its own. Only the index says it.
    #[serde(rename = "pf", default, skip_serializing_if = "Option::is_none")]
    pub price_from: Option<PriceFrom>,
    /// How far it is trusted.
    #[serde(rename = "t", default)]
    pub level: Level,
    /// What is worth knowing, in single words of ours between spaces.
    #[serde(rename = "f", default, skip_serializing_if = "String::is_empty")]
    pub flags: String,
    /// What it takes.
    #[serde(rename = "i", default, skip_serializing_if = "Option::is_none")]
    pub input: Option<ListedInput>,
    /// A body that can be sent as it is.
    #[serde(rename = "e", default, skip_serializing_if = "Option::is_none")]
    pub example: Option<Value>,
    /// Its free tier, in words of ours; only packs say it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub free: String,
    /// Whether an error is charged; only packs say it.
    #[serde(rename = "err", default, skip_serializing_if = "String::is_empty")]
    pub charge_on_error: String,
    /// The least that a first payment is, where calls are taken from a deposit.
    #[serde(rename = "min", default, skip_serializing_if = "String::is_empty")]
    pub first_payment: String,
}

fn is_zero(n: &u8) -> bool {
    *n == 0
}

/// A price that was read elsewhere than its listing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PriceFrom {
    /// The index's number of the source.
    pub source: i64,
    /// The day, where that source says one for each listing.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub as_of: String,
}

/// What a listed endpoint takes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ListedInput {
    /// What must be given.
    #[serde(default)]
    pub required: Vec<String>,
    /// Every field with its type, in a few words.
    #[serde(default)]
    pub properties: BTreeMap<String, String>,
}

impl Listing {
    /// The price, where it is known.
    pub fn amount(&self) -> Option<Amount> {
        self.price.parse().ok()
    }

    /// Whether it costs nothing.
    pub fn is_free(&self) -> bool {
        self.price == "free"
    }

    /// Whether its price is decided at the call.
    pub fn varies(&self) -> bool {
        self.price == "~"
    }

    /// Its address, read.
    pub fn at(&self) -> Option<Url> {
        Url::parse(&self.url).ok()
    }

    /// Its host in ASCII.
    pub fn host(&self) -> String {
        self.at().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default()
    }

    /// Whether one of its flags is this word.
    pub fn has(&self, flag: &str) -> bool {
        self.flags.split(' ').any(|f| f == flag)
    }

    /// Adds a flag.
    pub fn flag(&mut self, flag: &str) {
        if !self.has(flag) {
            self.flags = format!("{} {flag}", self.flags).trim().to_owned();
        }
    }

    /// What makes two listings the same endpoint: origin, method and path, however its values are written.
    pub fn key(&self) -> String {
        let Some(url) = self.at() else { return self.url.clone() };
        key_of(&self.method, &url)
    }
}

/// The key of an endpoint: its origin, method and path, with `{}` for each value and without a slash at the end.
pub fn key_of(method: &str, url: &Url) -> String {
    let decoded = url.path().replace("%7B", "{").replace("%7D", "}");
    let part = |part: &str| {
        let value = part.starts_with(':') || (part.starts_with('{') && part.ends_with('}'));
        if value { "{}".to_owned() } else { part.to_owned() }
    };
    let path: Vec<String> = decoded.trim_end_matches('/').split('/').map(part).collect();
    format!("{} {}{}", method.to_ascii_uppercase(), url.origin().ascii_serialization(), path.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_the_same_however_its_values_are_written() {
        let key = |method: &str, url: &str| key_of(method, &Url::parse(url).unwrap());
        let same = key("get", "https://a.example/v1/items/:id/");
        assert_eq!(same, key("GET", "https://A.example:443/v1/items/{item}"));
        assert_ne!(same, key("POST", "https://a.example/v1/items/{id}"));
        assert_ne!(same, key("GET", "https://a.example/v1/items/7"));
    }

    #[test]
    fn a_listing_is_written_in_few_letters_and_read_back() {
        let row = r#"{"u":"https://a.example/x","m":"GET","n":"X","p":"0.1 usd","t":"2","f":"batch"}"#;
        let mut one: Listing = serde_json::from_str(row).unwrap();
        assert_eq!((one.level, one.amount().unwrap().to_string()), (Level::Curated, "0.1 usd".into()));
        one.flag("batch");
        one.flag("stub");
        assert_eq!(one.flags, "batch stub");
        assert!(Level::Bundled > Level::Curated && Level::Listed > Level::Unverified);
        assert_eq!(serde_json::from_str::<Listing>(&serde_json::to_string(&one).unwrap()).unwrap(), one);
    }
}
