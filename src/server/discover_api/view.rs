//! What `discover_api` tells of endpoints: facts for programs. A seller's prose stands only in `*_unverified` fields.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value};

use super::hit::least;
use crate::{
    catalog::{Basis, Endpoint, Listed, Place, in_our_words},
    money::Amount,
    protocol::text::clean,
};

/// One of a host's endpoints.
#[derive(Clone, Debug, Serialize, schemars::JsonSchema)]
pub struct Brief {
    /// The method.
    pub method: String,
    /// The path, with `{name}` where a value goes.
    pub path: String,
    /// What it does, in the seller's words.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub summary_unverified: String,
    /// What a document says that it costs; the endpoint's own 402 decides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price: Option<Amount>,
    /// The upper end, where a range is named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price_up_to: Option<Amount>,
    /// Where the price, or the word that it costs something, was read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price_basis: Option<Basis>,
    /// Whether a document says that it asks for payment; the price may be unknown.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub asks_payment: bool,
    /// What must be given.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub required: Vec<String>,
}

impl Brief {
    pub(super) fn new(endpoint: &Endpoint, summary: usize) -> Brief {
        let listed = endpoint.price();
        let required = endpoint.input.fields.iter().filter(|f| f.required).take(6).map(|f| f.name.clone());
        Brief {
            method: endpoint.method.to_string(),
            path: endpoint.path.clone(),
            summary_unverified: clean(&endpoint.summary, summary),
            price: listed.and_then(|l| l.price),
            price_up_to: listed.and_then(|l| l.up_to),
            price_basis: listed.map(|l| l.basis),
            asks_payment: endpoint.is_paid(),
            required: required.collect(),
        }
    }
}

/// Everything that is known of one endpoint.
#[derive(Clone, Debug, Serialize, schemars::JsonSchema)]
pub struct Full {
    /// The method.
    pub method: String,
    /// The address to call.
    pub url: String,
    /// What it does, in the seller's words.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub summary_unverified: String,
    /// What documents say that it costs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub listed: Vec<ListedView>,
    /// The header that asks for its free tier, which fetch_paid tries first by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub free_tier: Option<String>,
    /// What it takes.
    pub input: InputView,
    /// What the fields mean, in the seller's words.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub fields_unverified: BTreeMap<String, String>,
    /// A body that can be sent as it is; the seller's own, or made from its schema.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Map<String, Value>>")]
    pub example_unverified: Option<Value>,
    /// Whether the example is the seller's own; else it was made from the schema.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub example_given: bool,
    /// Whether a call that the seller answers with an error is paid all the same: `unknown`, so check the input first.
    pub charge_on_error: String,
}

/// A price that a document names.
#[derive(Clone, Debug, Serialize, schemars::JsonSchema)]
pub struct ListedView {
    /// The price; absent when it is decided at the call or not known for certain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price: Option<Amount>,
    /// The upper end of a range.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub up_to: Option<Amount>,
    /// Where it was read.
    pub basis: Basis,
    /// How it would be paid.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub by: String,
}

impl ListedView {
    fn new(listed: &Listed) -> ListedView {
        ListedView { price: listed.price, up_to: listed.up_to, basis: listed.basis, by: listed.by.clone() }
    }
}

/// What an endpoint takes.
#[derive(Clone, Debug, Default, Serialize, schemars::JsonSchema)]
pub struct InputView {
    /// The media type of the body.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub content_type: String,
    /// What must be given.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub required: Vec<String>,
    /// Every field with its type; `(query)` and `(path)` say where it goes when not into the body.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub properties: BTreeMap<String, String>,
    /// How many more fields there are.
    #[serde(skip_serializing_if = "is_zero")]
    pub more: usize,
}

fn is_zero(n: &usize) -> bool {
    *n == 0
}

impl Full {
    pub(super) fn new(endpoint: &Endpoint, free_tier: Option<String>) -> Full {
        let shown = &endpoint.input.fields;
        let told = |place: Place| match place {
            Place::Body => "",
            Place::Query => " (query)",
            Place::Path => " (path)",
        };
        let abouts = shown.iter().filter(|f| !f.about.is_empty()).map(|f| (f.name.clone(), f.about.clone()));
        Full {
            method: endpoint.method.to_string(),
            url: endpoint.url.clone(),
            summary_unverified: endpoint.summary.clone(),
            listed: endpoint.listed.iter().take(4).map(ListedView::new).collect(),
            free_tier,
            input: InputView {
                content_type: endpoint.input.content_type.clone(),
                required: shown.iter().filter(|f| f.required).map(|f| f.name.clone()).collect(),
                properties: shown.iter().map(|f| (f.name.clone(), format!("{}{}", f.kind, told(f.place)))).collect(),
                more: endpoint.input.more,
            },
            fields_unverified: abouts.collect(),
            example_unverified: endpoint.example.as_ref().map(|e| e.json.clone()),
            example_given: endpoint.example.as_ref().is_some_and(|e| e.given),
            charge_on_error: "unknown".into(),
        }
    }
}

impl InputView {
    /// Tells of no more than so many fields, those that must be given first.
    pub(super) fn keep(&mut self, most: usize) {
        let must = |name: &String| self.required.contains(name);
        let mut names: Vec<String> = self.properties.keys().filter(|name| must(name)).cloned().collect();
        names.extend(self.properties.keys().filter(|name| !must(name)).cloned());
        for name in names.into_iter().skip(most) {
            self.properties.remove(&name);
            self.more += 1;
        }
        let properties = &self.properties;
        self.required.retain(|name| properties.contains_key(name));
    }
}

/// The next call to make, as it can be made. Values in it are stand-ins: put your own in their place.
#[derive(Clone, Debug, Serialize, schemars::JsonSchema)]
pub struct Next {
    /// The tool.
    pub tool: &'static str,
    /// Its arguments.
    pub arguments: Map<String, Value>,
}

impl Next {
    /// Looks at another address.
    pub(super) fn look(url: &str) -> Next {
        let mut arguments = Map::new();
        arguments.insert("url".into(), url.into());
        Next { tool: "discover_api", arguments }
    }

    /// Buys from an endpoint. A price that was just asked becomes the most that is paid, with a tenth above it, since
    /// sellers who count in dollars follow the rate; never more than the caller said.
    pub(super) fn fetch(endpoint: &Endpoint, live: Option<Amount>, max_price: Option<Amount>) -> Next {
        let mut arguments = Map::new();
        arguments.insert("url".into(), endpoint.url.clone().into());
        arguments.insert("method".into(), endpoint.method.as_str().into());
        // What a seller shows stands in `example_unverified`; a call that is proposed has its shape, and no word of it.
        if let Some(json) = endpoint.example.as_ref().and_then(|example| in_our_words(&example.json)) {
            arguments.insert("json".into(), json);
        }
        let told = live.filter(|p| !p.is_zero()).and_then(Amount::and_a_tenth);
        if let Some(most) = least(told, max_price) {
            arguments.insert("max_price".into(), most.to_string().into());
        }
        Next { tool: "fetch_paid", arguments }
    }
}
