//! Prices that a caller was told of before it bought. Whoever said yes to one price did not say yes to another: what asks
//! more than a tenth above it is not bought unless the caller names what it is ready to pay.

use std::{collections::HashMap, sync::Mutex};

use url::Url;

use super::{Caller, No, Purse, Request, fetch::Call, lock, session::price_of_a_call};
use crate::{money::Amount, protocol::Offer};

/// How many origins are remembered of one principal.
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

/// The prices of each principal, by origin; and the origins that it was warned of, with the host that each looks like. What
/// one looks up costs no other what it was told.
#[derive(Default)]
pub(super) struct Told {
    prices: Mutex<HashMap<String, HashMap<String, Vec<Price>>>>,
    warned: Mutex<HashMap<String, HashMap<String, String>>>,
}

/// What a price is kept under, and the parts of its path with `{}` for each value.
fn cut(url: &Url) -> (String, Vec<String>) {
    let part = |part: &str| {
        let value = part.starts_with(':') || (part.starts_with('{') && part.ends_with('}'));
        if value { "{}".to_owned() } else { part.to_owned() }
    };
    let path = url.path().replace("%7B", "{").replace("%7D", "}");
    let parts = path.trim_end_matches('/').split('/').map(part).collect();
    (url.origin().ascii_serialization(), parts)
}

/// Whether what is said of one method holds for another.
fn covers(one: &str, other: &str) -> bool {
    one.is_empty() || other.is_empty() || one.eq_ignore_ascii_case(other)
}

fn fits(template: &[String], parts: &[String]) -> bool {
    template.len() == parts.len() && template.iter().zip(parts).all(|(t, p)| t == "{}" || t == p)
}

impl Told {
    fn remember(&self, principal: &str, method: &str, url: &Url, amount: Amount, basis: &str) {
        let (key, template) = cut(url);
        let mut all = lock(&self.prices);
        let told = all.entry(principal.to_owned()).or_default();
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

    fn less(&self, principal: &str, method: &str, url: &Url, asked: Amount) -> Option<Price> {
        let (key, parts) = cut(url);
        let all = lock(&self.prices);
        let less = |p: &&Price| {
            let same = fits(&p.template, &parts) && covers(&p.method, method);
            let compared = same && p.amount.currency() == asked.currency();
            compared && p.amount.and_a_tenth().is_some_and(|most| asked.exceeds(most))
        };
        all.get(principal)?.get(&key)?.iter().find(less).cloned()
    }

    fn warn(&self, principal: &str, url: &Url, like: &str) {
        let mut all = lock(&self.warned);
        let warned = all.entry(principal.to_owned()).or_default();
        if warned.len() < MOST {
            warned.insert(cut(url).0, like.to_owned());
        }
    }

    fn looks_like(&self, principal: &str, url: &Url) -> Option<String> {
        lock(&self.warned).get(principal)?.get(&cut(url).0).cloned()
    }
}

impl Purse {
    /// Remembers that a caller was told this price of an endpoint, and where it was read. A later word replaces it.
    pub fn told_price(&self, caller: &Caller, method: &str, url: &Url, amount: Amount, basis: &str) {
        self.0.told.remember(&caller.principal, method, url, amount, basis);
    }

    /// Remembers that a caller was warned: the host of this address looks like another one. Nothing is paid there.
    pub fn warned_of(&self, caller: &Caller, url: &Url, like: &str) {
        self.0.told.warn(&caller.principal, url, like);
    }

    /// Refuses to pay where the caller was warned that a host looks like another. Nothing that the caller can say helps: it
    /// may have been talked into it.
    pub(super) fn not_warned_of(&self, call: &Call) -> Result<(), No> {
        match self.0.told.looks_like(&call.caller.principal, &call.request.url) {
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
        self.0.told.less(principal, request.method.as_str(), &request.url, asked)
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
        for asked in asked.into_iter().filter_map(price_of_a_call) {
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
    fn what_one_looks_up_makes_no_other_forget_what_it_was_told() {
        let (told, sat) = (Told::default(), |n: u64| Amount::msat(n * 1000).unwrap());
        let at = |n: usize| Url::parse(&format!("https://h{n}.example/x")).unwrap();
        for who in ["ann", "bob"] {
            told.remember(who, "get", &at(0), sat(10), "its openapi.json");
        }
        for n in 1..=MOST {
            told.remember("bob", "get", &at(n), sat(10), "its openapi.json");
        }
        assert!(told.less("ann", "get", &at(0), sat(20)).is_some());
        assert!(told.less("bob", "get", &at(0), sat(20)).is_none(), "the control: his own had to make room");
        assert!(told.less("bob", "get", &at(MOST), sat(20)).is_some());
    }

    #[test]
    fn a_template_covers_the_calls_that_fill_it() {
        let at = |url: &str| cut(&Url::parse(url).unwrap());
        let (key, template) = at("https://a.example/v1/{id}/x?q=1");
        let (same, parts) = at("https://a.example/v1/7/x");
        assert_eq!(key, same);
        assert!(fits(&template, &parts) && !fits(&template, &at("https://a.example/v1/7").1));
    }
}
