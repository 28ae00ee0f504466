//! Prices that a caller was told of before it bought. Whoever said yes to one price did not say yes to another: what asks
//! more than a tenth above it is not bought unless the caller names what it is ready to pay.

use std::{collections::HashMap, sync::Mutex};

use url::Url;

use super::{Caller, No, Purse, Request, fetch::Call, lock};
use crate::{money::Amount, protocol::Offer};

/// How many prices are remembered.
const MOST: usize = 2_000;

/// A price and where it was read.
#[derive(Clone, Debug)]
pub(super) struct Price {
    amount: Amount,
    basis: String,
    /// Empty where nobody said which: then it is that of every method.
    method: String,
    template: Vec<String>,
}

/// The prices, by principal and origin; and the origins that callers were warned of, with the host that each looks like.
#[derive(Default)]
pub(super) struct Told(Mutex<HashMap<String, Vec<Price>>>, Mutex<HashMap<String, String>>);

/// What a price is kept under, and the parts of its path with `{}` for each value.
fn cut(principal: &str, url: &Url) -> (String, Vec<String>) {
    let part = |part: &str| {
        let value = part.starts_with(':') || (part.starts_with('{') && part.ends_with('}'));
        if value { "{}".to_owned() } else { part.to_owned() }
    };
    let path = url.path().replace("%7B", "{").replace("%7D", "}");
    let parts = path.trim_end_matches('/').split('/').map(part).collect();
    (format!("{principal} {}", url.origin().ascii_serialization()), parts)
}

/// Whether what is said of one method holds for another.
fn covers(one: &str, other: &str) -> bool {
    one.is_empty() || other.is_empty() || one.eq_ignore_ascii_case(other)
}

fn fits(template: &[String], parts: &[String]) -> bool {
    template.len() == parts.len() && template.iter().zip(parts).all(|(t, p)| t == "{}" || t == p)
}

impl Purse {
    /// Remembers that a caller was told this price of an endpoint, and where it was read. A later word replaces it.
    pub fn told_price(&self, caller: &Caller, method: &str, url: &Url, amount: Amount, basis: &str) {
        let (key, template) = cut(&caller.principal, url);
        let mut told = lock(&self.0.told.0);
        if told.len() >= MOST {
            told.clear();
        }
        let prices = told.entry(key).or_default();
        let currency = amount.currency();
        prices.retain(|p| p.template != template || p.amount.currency() != currency || !covers(&p.method, method));
        if prices.len() >= MOST / 10 {
            prices.remove(0);
        }
        prices.push(Price { amount, basis: basis.to_owned(), method: method.to_owned(), template });
    }

    /// Remembers that a caller was warned: the host of this address looks like another one. Nothing is paid there.
    pub fn warned_of(&self, caller: &Caller, url: &Url, like: &str) {
        let mut warned = lock(&self.0.told.1);
        if warned.len() < MOST {
            warned.insert(cut(&caller.principal, url).0, like.to_owned());
        }
    }

    /// Refuses to pay where the caller was warned that a host looks like another. Nothing that the caller can say helps: it
    /// may have been talked into it.
    pub(super) fn not_warned_of(&self, call: &Call) -> Result<(), No> {
        let (key, _) = cut(&call.caller.principal, &call.request.url);
        match lock(&self.0.told.1).get(&key) {
            None => Ok(()),
            Some(like) => Err(No::new(
                "lookalike_host",
                format!(
                    "the host's name looks like {like}, which is somebody else's. If a person says that this one is meant, \
                     that person can buy with `bursar fetch`"
                ),
            )),
        }
    }

    /// The price that a principal was told of a call, if `asked` is more than a tenth above it. Prices in another currency
    /// are not compared.
    pub(super) fn told_less(&self, principal: &str, request: &Request, asked: Amount) -> Option<Price> {
        let (key, parts) = cut(principal, &request.url);
        let told = lock(&self.0.told.0);
        let less = |p: &&Price| {
            let same = fits(&p.template, &parts) && covers(&p.method, request.method.as_str());
            let compared = same && p.amount.currency() == asked.currency();
            compared && p.amount.and_a_tenth().is_some_and(|most| asked.exceeds(most))
        };
        told.get(&key).into_iter().flatten().find(less).cloned()
    }

    /// Refuses to pay `chosen` when it is dearer than what this caller was told, unless the caller said what it is ready to
    /// pay. It is the offer that is paid which counts: a cheaper one that nobody here can pay excuses nothing.
    pub(super) fn not_dearer_than_told(&self, call: &Call, chosen: &Offer, offers: &[Offer]) -> Result<(), No> {
        if call.max_price.is_some() {
            return Ok(());
        }
        // The cheapest of every other currency stands for it: a price that rose in one rose in all.
        let currency = |o: &Offer| o.price.map(Amount::currency);
        let mut asked: Vec<&Offer> = offers.iter().filter(|o| currency(o) != currency(chosen)).collect();
        asked.sort_by_key(|o| (currency(o), o.price.map(Amount::atomic)));
        asked.retain(|o| o.price.is_some_and(|p| !p.is_zero()));
        asked.dedup_by_key(|o| currency(o));
        asked.insert(0, chosen);
        for asked in asked.into_iter().filter_map(|o| o.price) {
            if let Some(told) = self.told_less(&call.caller.principal, &call.request, asked) {
                return Err(No::new(
                    "above_discovered_price",
                    format!(
                        "it was found at {} ({}) and now asks {asked}, more than a tenth above. If that is still worth it, \
                         call again with max_price \"{asked}\"",
                        told.amount, told.basis
                    ),
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_that_is_paid_is_a_little_more_than_what_was_told() {
        let more = |text: &str| text.parse::<Amount>().unwrap().and_a_tenth().unwrap().to_string();
        assert_eq!(
            (more("10 sat"), more("1 sat"), more("1000 sat")),
            ("11 sat".into(), "2 sat".into(), "1100 sat".into())
        );
        assert_eq!(more("0.05 usd"), "0.055 usd");
    }

    #[test]
    fn a_template_covers_the_calls_that_fill_it() {
        let at = |url: &str| cut("local", &Url::parse(url).unwrap());
        let (key, template) = at("https://a.example/v1/{id}/x?q=1");
        let (same, parts) = at("https://a.example/v1/7/x");
        assert_eq!(key, same);
        assert!(fits(&template, &parts) && !fits(&template, &at("https://a.example/v1/7").1));
    }
}
