//! One endpoint of a seller, as its documents describe it.

use http::Method;
use serde_json::Value;

use super::price::{Basis, Listed};
use crate::money::Amount;

/// An endpoint. Every text in it is the seller's, cleaned.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// The method.
    pub method: Method,
    /// The path, with `{name}` where a value goes.
    pub path: String,
    /// The address to call, with every required value filled in.
    pub url: String,
    /// What it does, in the seller's words; may be empty.
    pub summary: String,
    /// What documents say that it costs.
    pub listed: Vec<Listed>,
    /// Whether a document says that it asks for payment.
    pub asks_payment: bool,
    /// What it takes.
    pub input: Input,
    /// A body that can be sent as it is.
    pub example: Option<Example>,
}

/// What an endpoint takes.
#[derive(Clone, Debug, Default)]
pub struct Input {
    /// The media type of the body; empty when it takes none.
    pub content_type: String,
    /// Body fields, query values and path values.
    pub fields: Vec<Field>,
    /// How many more there are than are kept.
    pub more: usize,
}

/// One value that an endpoint takes.
#[derive(Clone, Debug)]
pub struct Field {
    /// Its name: letters, digits and a few marks.
    pub name: String,
    /// Where it goes.
    pub place: Place,
    /// Whether it must be there.
    pub required: bool,
    /// Its type in a few words of ours: `string`, `integer 1..50`, `string[]`.
    pub kind: String,
    /// What it means, in the seller's words; may be empty.
    pub about: String,
}

/// Where a value goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Into the body.
    Body,
    /// Behind the question mark.
    Query,
    /// Into the path.
    Path,
}

/// A body that can be sent as it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Example {
    /// The JSON value.
    pub json: Value,
    /// Whether the seller gave it; else it was made from the schema.
    pub given: bool,
}

impl Endpoint {
    /// An endpoint of which nothing is known but its name.
    pub(super) fn bare(method: Method, path: &str, url: String) -> Endpoint {
        Endpoint {
            method,
            path: path.to_owned(),
            url,
            summary: String::new(),
            listed: Vec::new(),
            asks_payment: false,
            input: Input::default(),
            example: None,
        }
    }

    /// The listed price to show where there is room for one: a known one before an unknown one, satoshi first.
    pub fn price(&self) -> Option<&Listed> {
        self.listed.iter().min_by_key(|l| (l.price.is_none(), l.price.map(Amount::currency)))
    }

    /// Whether anything says that it costs money.
    pub fn is_paid(&self) -> bool {
        self.asks_payment || !self.listed.is_empty()
    }

    /// The listed prices that are not what the endpoint asks now. Amounts of different currencies are not compared.
    pub fn contradicts(&self, live: Amount) -> Option<&Listed> {
        let same: Vec<&Listed> =
            self.listed.iter().filter(|l| l.price.is_some_and(|p| p.currency() == live.currency())).collect();
        let fits = |l: &&Listed| match (l.price, l.up_to) {
            (Some(low), Some(high)) => !low.exceeds(live) && !live.exceeds(high),
            (Some(price), None) => price == live,
            _ => true,
        };
        if same.iter().any(fits) { None } else { same.first().copied() }
    }

    /// Whether a document's price stands here, and which.
    pub fn has_price(&self, basis: Basis) -> bool {
        self.listed.iter().any(|l| l.basis == basis && l.price.is_some())
    }
}
