//! One result of a search, as it is told: facts of ours, and a seller's words only where the field's name says so.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value};

use super::view::Next;
use crate::{
    catalog::{
        Basis,
        index::{Found, PriceNote, Trust, listing::Listing},
    },
    money::{Amount, Currency},
    protocol::text::clean,
    report::time::date,
};

/// What was searched.
#[derive(Clone, Debug, Serialize, schemars::JsonSchema)]
pub struct IndexView {
    /// How many listings.
    pub entries: u64,
    /// The newest day of their facts.
    pub as_of: String,
    /// The catalogues.
    pub catalogs: Vec<String>,
}

/// What was seen of an endpoint here.
#[derive(Clone, Debug, Serialize, schemars::JsonSchema)]
pub struct SeenView {
    /// Purchases that were delivered.
    pub delivered: u32,
    /// Purchases that were paid and not delivered.
    pub undelivered: u32,
    /// Purchases that were refused.
    pub refused: u32,
}

/// One result.
#[derive(Clone, Debug, Serialize, schemars::JsonSchema)]
pub struct Hit {
    /// The method; absent when nobody says it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub method: String,
    /// The address to call, with `{name}` where a value goes.
    pub url: String,
    /// What it does, in the seller's or the catalogue's words.
    pub summary_unverified: String,
    /// What it is said to cost; its own 402 decides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price: Option<Amount>,
    /// `free`, `varies` or `unknown`, where there is no price.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price_is: Option<&'static str>,
    /// Where the price was read.
    pub price_basis: Basis,
    /// The day on which it was.
    pub as_of: String,
    /// The least that a first payment is: calls are taken from a deposit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_payment: Option<Amount>,
    /// The dialect and the network: `l402 lightning`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub pays: String,
    /// Whether a wallet here can pay it.
    pub payable: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why_not: Option<String>,
    /// Its free tier, which fetch_paid tries first by itself.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub free_tier: String,
    /// What must be given.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub required: Vec<String>,
    /// How far it is trusted.
    pub trust: Trust,
    /// What is worth knowing, in single words.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<String>,
    /// Every field that it takes, with its type.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub input_unverified: BTreeMap<String, String>,
    /// A body that can be sent as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Map<String, Value>>")]
    pub example_unverified: Option<Value>,
    /// Whether a call that the seller answers with an error is paid all the same.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub charge_on_error: String,
    /// What was seen of it here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seen_here: Option<SeenView>,
    /// Where it is listed.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub source: String,
    /// The words of the query that it was found by.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub found_by: Vec<String>,
}

/// Where a listing's price was read.
pub(super) fn basis(note: &PriceNote) -> Basis {
    if note.bundled { Basis::Bundled } else { Basis::Catalog }
}

impl Hit {
    /// Tells of what was found: with `full`, everything that is known.
    pub(super) fn new(found: &Found, full: bool, room: usize) -> Hit {
        let listing = &found.listing;
        let alike = found.listing.about.is_empty() || listing.about.starts_with(&listing.name);
        let text = match alike {
            true if listing.about.is_empty() => listing.name.clone(),
            true => listing.about.clone(),
            false => format!("{}: {}", listing.name, listing.about),
        };
        let mut hit = Hit {
            method: listing.method.clone(),
            url: listing.url.clone(),
            summary_unverified: clean(&text, if full { 240 } else { room }),
            price: listing.amount(),
            price_is: match listing.amount() {
                Some(_) => None,
                None if listing.is_free() => Some("free"),
                None if listing.varies() => Some("varies"),
                None => Some("unknown"),
            },
            price_basis: basis(&found.price_note),
            as_of: found.price_note.as_of.clone(),
            first_payment: listing.first_payment.parse().ok(),
            pays: format!("{} {}", listing.protocols, listing.network).trim().to_owned(),
            payable: found.payable.is_ok(),
            why_not: found.payable.clone().err(),
            free_tier: listing.free.clone(),
            required: listing.input.iter().flat_map(|i| i.required.iter().take(6).cloned()).collect(),
            trust: found.trust,
            flags: listing.flags.split(' ').filter(|f| !f.is_empty()).map(str::to_owned).collect(),
            input_unverified: BTreeMap::new(),
            example_unverified: None,
            charge_on_error: String::new(),
            seen_here: None,
            source: String::new(),
            found_by: Vec::new(),
        };
        if let Some((price, at)) = found.seen.asked {
            let other = listing.amount().filter(|l| l.currency() == price.currency() && *l != price);
            if other.is_some() {
                hit.flags.push("price_differs".into());
            }
            if other.is_some() || listing.amount().is_none() {
                hit.price = Some(price);
                hit.price_is = None;
                hit.price_basis = Basis::SeenHere;
                hit.as_of = date(i64::try_from(at).unwrap_or(i64::MAX));
            }
        }
        let seen = &found.seen;
        if seen.delivered + seen.undelivered + seen.refused > 0 {
            let (delivered, undelivered, refused) = (seen.delivered, seen.undelivered, seen.refused);
            hit.seen_here = Some(SeenView { delivered, undelivered, refused });
        }
        if full {
            let fields = listing.input.iter().flat_map(|i| i.properties.iter()).take(16);
            hit.input_unverified = fields.map(|(name, kind)| (name.clone(), kind.clone())).collect();
            hit.example_unverified = listing.example.clone().filter(|e| e.to_string().len() <= 400);
            hit.charge_on_error = match listing.charge_on_error.as_str() {
                "" => "unknown".into(),
                known => known.to_owned(),
            };
            let more = if found.sources > 1 { format!(", and {} more", found.sources - 1) } else { String::new() };
            hit.source = format!("{}{more}", found.source.name);
            hit.found_by = found.met.clone();
        }
        hit
    }

    /// Whether it can be paid here, or why not.
    pub(super) fn payable(&mut self, judged: Result<(), String>) {
        (self.payable, self.why_not) = (judged.is_ok(), judged.err().map(|why| clean(&why, 120)));
    }

    /// Whether a live look found something else than a price that may be paid.
    pub(super) fn is_unsure(&self) -> bool {
        let refused = |flag: &str| flag.starts_with("live_answer_") && !flag.starts_with("live_answer_2");
        let unsure = |flag: &String| UNSURE.contains(&flag.as_str()) || refused(flag);
        self.flags.iter().any(unsure)
    }

    /// The next call to make for it: buying it where all is known that a call needs, else looking at it. It never allows
    /// more than the caller said.
    pub(super) fn next(&self, listing: &Listing, max_price: Option<Amount>) -> Next {
        let filled = !self.url.contains('{') && listing.at().is_some_and(|url| !url.path().contains("/:"));
        let ready = match self.method.as_str() {
            "GET" => filled && self.required.is_empty(),
            "POST" => filled && listing.example.is_some(),
            _ => false,
        };
        if !ready || !self.payable || self.is_unsure() {
            return Next::look(&self.url);
        }
        let mut arguments = Map::new();
        arguments.insert("url".into(), self.url.clone().into());
        arguments.insert("method".into(), self.method.clone().into());
        if let Some(example) = &listing.example {
            arguments.insert("json".into(), example.clone());
        }
        // Only a price in the currency that is paid bounds the payment.
        let paid = if listing.network == "lightning" { Currency::Sat } else { Currency::Usd };
        let told = self.price.filter(|p| p.currency() == paid).and_then(Amount::and_a_tenth);
        if let Some(most) = least(told, max_price) {
            arguments.insert("max_price".into(), most.to_string().into());
        }
        Next { tool: "fetch_paid", arguments }
    }
}

/// What a live search found instead of a price: such a result is looked at before it is bought.
const UNSURE: [&str; 3] = ["no_live_answer", "over_max_price", "asks_payment_not_payable_here"];

/// The most that a proposed call may cost: what the price allows, and never more than what the caller allowed. Where the two
/// are in different currencies the caller's counts, since the other bounds nothing that it allowed.
pub(super) fn least(told: Option<Amount>, max_price: Option<Amount>) -> Option<Amount> {
    match (told, max_price) {
        (Some(told), Some(max)) if told.exceeds(max) => Some(max),
        (told, max) => told.or(max),
    }
}
