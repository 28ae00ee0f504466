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
    /// What it asked when it was last looked at without buying, and when.
    pub looked: Option<(Amount, u64)>,
    /// When it was last seen to ask for payment or to deliver, unix milliseconds.
    pub seen_ms: u64,
    /// The last price at which a purchase was refused, and when; forgotten once it delivered again.
    pub refused_at: Option<(Amount, u64)>,
}

impl Seen {
    fn add(&mut self, other: &Seen) {
        self.delivered += other.delivered;
        self.undelivered += other.undelivered;
        self.refused += other.refused;
        self.seen_ms = self.seen_ms.max(other.seen_ms);
        let newer = |other: Option<(Amount, u64)>, mine: &mut Option<(Amount, u64)>| {
            if other.is_some_and(|(_, at)| mine.is_none_or(|(_, mine)| at > mine)) {
                *mine = other;
            }
        };
        newer(other.asked, &mut self.asked);
        newer(other.looked, &mut self.looked);
        newer(other.refused_at, &mut self.refused_at);
    }

    /// Whether a purchase was refused since it asked more than a tenth above what this listing says: a bait.
    fn is_bait(&self, listing: &Listing) -> bool {
        let most = listing.amount().and_then(Amount::and_a_tenth);
        self.refused_at
            .zip(most)
            .is_some_and(|((asked, _), most)| asked.currency() == most.currency() && asked.exceeds(most))
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

    /// Whether anything was seen at a host.
    pub(super) fn has(&self, host: &str) -> bool {
        self.0.contains_key(host)
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

/// Where a listing stands among others.
#[derive(Clone, Copy)]
pub(super) struct Stands {
    /// How many catalogues list it.
    pub(super) sources: i64,
    /// How many endpoints its host has.
    pub(super) breadth: i64,
    /// Whether its host lists so many that answer the same words that nobody can have made them all for buyers.
    pub(super) flood: bool,
    /// Whether it can be paid here.
    pub(super) payable: bool,
}

/// Weighs a listing.
pub(super) fn weigh(listing: &Listing, evidence: &Evidence, stands: Stands) -> Weighed {
    let Stands { sources, breadth, flood, payable } = stands;
    let seen = evidence.of(listing);
    let host = evidence.host(&listing.host());
    let host_delivers = host.delivered > 0 && host.delivered >= host.undelivered;
    let bait = seen.is_bait(listing);
    let verified = !bait && (seen.delivered > 0 || seen.seen_ms > 0);
    let trust = match listing.level {
        _ if seen.undelivered > seen.delivered || listing.has("lookalike_host") => Trust::Unverified,
        _ if verified => Trust::VerifiedHere,
        Level::Bundled => Trust::Bundled,
        Level::Listed if flood && !host_delivers => Trust::Unverified,
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
    if bait {
        weight *= 0.5;
    }
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

    const ALONE: Stands = Stands { sources: 1, breadth: 1, flood: false, payable: true };

    fn one(level: Level) -> Listing {
        let (url, name) = ("https://a.example/x".to_owned(), "Weather of a city".to_owned());
        Listing { url, name, method: "GET".into(), level, ..Listing::default() }
    }

    #[test]
    fn what_was_seen_here_counts_more_than_who_lists_it() {
        let weight = |listing: &Listing, evidence: &Evidence| weigh(listing, evidence, ALONE).weight;
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
    fn a_purchase_that_was_refused_for_a_raised_price_lowers_and_never_verifies() {
        let weighed = |price: &str, refused: &str, seen_ms: u64| {
            let mut evidence = Evidence::default();
            let seen = evidence.at("a.example", "GET", "/x");
            (seen.refused, seen.seen_ms) = (1, seen_ms);
            seen.refused_at = Some((refused.parse().unwrap(), 1));
            let weighed = weigh(&Listing { price: price.into(), ..one(Level::Listed) }, &evidence, ALONE);
            (weighed.trust, weighed.weight)
        };
        let plain = weigh(&one(Level::Listed), &Evidence::default(), ALONE).weight;
        for seen_ms in [0, 2] {
            assert_eq!(weighed("10 sat", "12 sat", seen_ms), (Trust::Listed, plain * 0.5));
        }
        assert_eq!(
            weighed("10 sat", "11 sat", 0),
            (Trust::Listed, plain),
            "what it was refused for was its listed price"
        );
        assert_eq!(weighed("10 sat", "1 usd", 0), (Trust::Listed, plain), "other currencies are not compared");
    }

    #[test]
    fn a_host_of_very_many_endpoints_and_one_that_looks_like_another_weigh_less() {
        let none = Evidence::default();
        let at = |breadth| weigh(&one(Level::Listed), &none, Stands { breadth, ..ALONE }).weight;
        assert!(at(51) < at(50));
        let mut alike = one(Level::Listed);
        alike.flag("lookalike_host");
        assert!(weigh(&alike, &none, ALONE).weight < 0.2);
        assert!(weigh(&one(Level::Listed), &none, Stands { sources: 2, ..ALONE }).weight > at(1));
        let flood = |level| weigh(&one(level), &none, Stands { flood: true, ..ALONE }).trust;
        assert_eq!((flood(Level::Listed), flood(Level::Curated)), (Trust::Unverified, Trust::Listed));
    }
}
