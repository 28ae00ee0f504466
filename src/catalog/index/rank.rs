//! How much a listing is worth beside its words: who vouches for it, what was seen of it here, whether it can be paid.

use std::collections::HashMap;

use serde::Serialize;
use url::{Host, Url};

use super::listing::{Level, Listing};
use crate::{catalog::place::fit, money::Amount};

/// How far a listing is trusted, in the words that are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Trust {
    /// Nobody vouches for it.
    Unverified,
    /// A catalogue lists it.
    Listed,
    /// It comes with the program, kept by hand.
    Bundled,
    /// It was seen here: it asked for payment, or was paid and delivered.
    VerifiedHere,
}

impl Trust {
    /// The word that is told.
    pub const fn name(self) -> &'static str {
        match self {
            Trust::Unverified => "unverified",
            Trust::Listed => "listed",
            Trust::Bundled => "bundled",
            Trust::VerifiedHere => "verified_here",
        }
    }
}

/// What was seen of an endpoint here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Purchases that were delivered.
    pub delivered: u32,
    /// Purchases that were paid and not delivered.
    pub undelivered: u32,
    /// Purchases that were refused, for their price or else.
    pub refused: u32,
    /// The last price that it asked, and when, unix milliseconds.
    pub asked: Option<(Amount, u64)>,
    /// When it was last seen to ask for payment, unix milliseconds.
    pub seen_ms: u64,
}

impl Seen {
    fn add(&mut self, other: &Seen) {
        self.delivered += other.delivered;
        self.undelivered += other.undelivered;
        self.refused += other.refused;
        self.seen_ms = self.seen_ms.max(other.seen_ms);
        if other.asked.is_some_and(|(_, at)| self.asked.is_none_or(|(_, mine)| at > mine)) {
            self.asked = other.asked;
        }
    }
}

/// What was seen here, by host. It counts most.
#[derive(Clone, Debug, Default)]
pub struct Evidence(HashMap<String, Vec<(String, String, Seen)>>);

impl Evidence {
    /// What was seen at a host under a method and a path, to be added to.
    pub fn at(&mut self, host: &str, method: &str, path: &str) -> &mut Seen {
        let places = self.0.entry(host.to_owned()).or_default();
        let place = places.iter().position(|(m, p, _)| m == method && p == path).unwrap_or_else(|| {
            places.push((method.to_owned(), path.to_owned(), Seen::default()));
            places.len() - 1
        });
        &mut places[place].2
    }

    /// What was seen of this listing, whatever values were filled in.
    pub fn of(&self, listing: &Listing) -> Seen {
        let mut seen = Seen::default();
        let Some(url) = listing.at() else { return seen };
        let path = url.path().replace("%7B", "{").replace("%7D", "}");
        let template: Vec<String> =
            path.split('/').map(|p| if p.starts_with(':') { "{}".into() } else { p.to_owned() }).collect();
        let template = template.join("/");
        for (method, path, one) in self.0.get(url.host_str().unwrap_or_default()).into_iter().flatten() {
            if (listing.method.is_empty() || *method == listing.method) && fit(&template, path).is_some() {
                seen.add(one);
            }
        }
        seen
    }

    /// What was seen of a whole host.
    pub fn host(&self, host: &str) -> Seen {
        let mut seen = Seen::default();
        self.0.get(host).into_iter().flatten().for_each(|(_, _, one)| seen.add(one));
        seen
    }
}

/// What a listing's weight is made of.
pub(super) struct Weighed {
    pub(super) trust: Trust,
    pub(super) weight: f64,
}

/// Weighs a listing. `sources` is how many catalogues list it, `breadth` how many endpoints its host has.
pub(super) fn weigh(listing: &Listing, evidence: &Evidence, sources: i64, breadth: i64, payable: bool) -> Weighed {
    let seen = evidence.of(listing);
    let host = evidence.host(&listing.host());
    let verified = seen.delivered > 0 || seen.seen_ms > 0;
    let trust = match listing.level {
        _ if seen.undelivered > seen.delivered || listing.has("lookalike_host") => Trust::Unverified,
        _ if verified => Trust::VerifiedHere,
        Level::Bundled => Trust::Bundled,
        Level::Curated | Level::Listed => Trust::Listed,
        Level::Unverified => Trust::Unverified,
    };
    let mut weight = match (trust, listing.level) {
        (Trust::VerifiedHere, _) if seen.delivered > 0 => 1.25,
        (Trust::VerifiedHere | Trust::Bundled, _) => 1.0,
        (_, Level::Curated) => 0.9,
        (Trust::Listed, _) if sources > 1 => 0.85,
        (Trust::Listed, _) => 0.6,
        (Trust::Unverified, _) => 0.35,
    };
    let host_delivers = host.delivered > 0 && host.delivered >= host.undelivered;
    if host_delivers && seen.delivered == 0 {
        weight *= 1.1;
    }
    // Paid and not delivered is the worst that can be known of a seller, here or elsewhere at its host.
    if seen.undelivered > seen.delivered {
        weight *= 0.3;
    } else if seen.delivered == 0 && host.undelivered > host.delivered {
        weight *= 0.6;
    }
    if breadth > 50 && listing.level < Level::Curated && !verified && !host_delivers {
        weight *= 0.8;
    }
    for (flag, factor) in [("stub", 0.5), ("unfinished", 0.5), ("batch", 0.8), ("cross_origin", 0.3)] {
        if listing.has(flag) {
            weight *= factor;
        }
    }
    if listing.has("lookalike_host") {
        weight *= 0.3;
    }
    // Its own words should say something.
    if listing.name.split(' ').count() + listing.about.split(' ').count() < 3 && listing.level < Level::Curated {
        weight *= 0.85;
    }
    if !payable {
        weight *= 0.6;
    }
    // Of two that are alike in all else the one on this machine is meant: no catalogue of others can list one here.
    if listing.at().is_some_and(|url| is_here(&url)) {
        weight *= 1.01;
    }
    Weighed { trust, weight }
}

/// Whether an address is one of this machine.
fn is_here(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(level: Level) -> Listing {
        let (url, name) = ("https://a.example/x".to_owned(), "Weather of a city".to_owned());
        Listing { url, name, method: "GET".into(), level, ..Listing::default() }
    }

    #[test]
    fn what_was_seen_here_counts_more_than_who_lists_it() {
        let weight = |listing: &Listing, evidence: &Evidence| weigh(listing, evidence, 1, 1, true).weight;
        let none = Evidence::default();
        let mut by_level: Vec<f64> =
            [Level::Unverified, Level::Listed, Level::Curated, Level::Bundled].map(|l| weight(&one(l), &none)).into();
        let sorted = by_level.clone();
        by_level.sort_by(f64::total_cmp);
        assert_eq!(by_level, sorted);
        let saw = |seen: Seen| {
            let mut evidence = Evidence::default();
            *evidence.at("a.example", "GET", "/x") = seen;
            evidence
        };
        let good = saw(Seen { delivered: 1, ..Seen::default() });
        let bad = saw(Seen { undelivered: 1, ..Seen::default() });
        assert!(weight(&one(Level::Unverified), &good) > weight(&one(Level::Bundled), &none));
        assert!(weight(&one(Level::Bundled), &bad) < weight(&one(Level::Unverified), &none));
    }

    #[test]
    fn a_host_of_very_many_endpoints_and_one_that_looks_like_another_weigh_less() {
        let none = Evidence::default();
        let at = |breadth| weigh(&one(Level::Listed), &none, 1, breadth, true).weight;
        assert!(at(51) < at(50));
        let mut alike = one(Level::Listed);
        alike.flag("lookalike_host");
        assert!(weigh(&alike, &none, 1, 1, true).weight < 0.2);
        assert!(weigh(&one(Level::Listed), &none, 2, 1, true).weight > at(1));
    }
}
