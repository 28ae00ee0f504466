//! Search: any of the words, weighed by who vouches for what they were found in; plainly nothing where nothing fits.

use std::collections::HashMap;

use rusqlite::{Connection, Row};
use serde::Serialize;

use super::{
    listing::Listing,
    rank::{Evidence, Seen, Stands, Trust, weigh},
    store::{self, PriceNote, SourceRow},
    volume::BUNDLED,
    words::{any_of, task, wanted},
};
use crate::money::Amount;

/// How many listings are weighed: so many of all, so many of those that somebody vouches for, so many at hosts where
/// something was seen; and of one host no more than a part of them. Who lists a thousand crowds nobody out.
const CANDIDATES: usize = 240;
const OF_A_HOST: usize = 60;

/// From how many on the listings of one host that answer the same words are a flood, unless people keep its list.
const FLOOD: usize = 16;

/// How many are shown of one host.
const A_HOST: usize = 2;

/// How many are looked at word by word, and how many words of a long query need be met for a perfect match.
const COVERED: usize = 60;
const LONG: usize = 5;

/// The weights of name, tags, about, path, provider and service.
const BM25: &str = "bm25(words, 4, 3, 4, 3, 1, 0.5)";

/// What is wanted.
pub struct Query<'a> {
    /// The kind of data or action, in a few words.
    pub query: &'a str,
    /// The whole task: it only breaks ties.
    pub task: &'a str,
    /// The most it may cost, in its own currency.
    pub max_price: Option<Amount>,
    /// Only what a wallet here can pay.
    pub payable_only: bool,
    /// Whether what is free is wanted too.
    pub free_ok: bool,
    /// How many at most.
    pub limit: usize,
    /// Whether a wallet here can pay it, or why not.
    pub reach: &'a (dyn Fn(&Listing) -> Result<(), String> + Sync),
    /// Whether there is any wallet: without one, what cannot be paid weighs no less than what can.
    pub any_wallet: bool,
    /// What was seen here.
    pub evidence: &'a Evidence,
}

/// How well the best result fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Match {
    /// Most words that tell something were found.
    Strong,
    /// Half of them.
    Weak,
    /// Less: nothing is shown.
    None,
}

/// How many were found and are not shown, and why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct NotShown {
    /// They cost more than `max_price`.
    #[serde(skip_serializing_if = "is_zero")]
    pub over_max_price: usize,
    /// No wallet here pays them.
    #[serde(skip_serializing_if = "is_zero")]
    pub not_payable: usize,
    /// They are free.
    #[serde(skip_serializing_if = "is_zero")]
    pub free: usize,
    /// Two of the same host are shown already.
    #[serde(skip_serializing_if = "is_zero")]
    pub same_host: usize,
    /// Nobody vouches for them.
    #[serde(skip_serializing_if = "is_zero")]
    pub unverified: usize,
    /// Their host looks like another.
    #[serde(skip_serializing_if = "is_zero")]
    pub lookalike: usize,
    /// They fit less well.
    #[serde(skip_serializing_if = "is_zero")]
    pub lower: usize,
}

fn is_zero(n: &usize) -> bool {
    *n == 0
}

/// One result.
#[derive(Clone, Debug)]
pub struct Found {
    /// What is listed.
    pub listing: Listing,
    /// How far it is trusted.
    pub trust: Trust,
    /// Whether a wallet here can pay it, or why not.
    pub payable: Result<(), String>,
    /// What was seen of it here.
    pub seen: Seen,
    /// Where it is listed.
    pub source: SourceRow,
    /// Where its price was read.
    pub price_note: PriceNote,
    /// How many catalogues list it.
    pub sources: i64,
    /// Its words that were wanted.
    pub met: Vec<String>,
}

/// What a search found.
#[derive(Clone, Debug)]
pub struct Search {
    /// How well the best result fits.
    pub fit: Match,
    /// The results, best first.
    pub found: Vec<Found>,
    /// What is not shown.
    pub not_shown: NotShown,
    /// How many listings were searched.
    pub entries: u64,
    /// The newest day of their facts.
    pub as_of: String,
    /// The catalogues.
    pub catalogs: Vec<String>,
}

/// A listing's row, read.
pub(super) struct Listed {
    pub(super) listing: Listing,
    pub(super) source: i64,
    sources: i64,
    breadth: i64,
}

/// Reads `source, sources, breadth, json`.
pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Listed> {
    let json: String = row.get(3)?;
    let listing = serde_json::from_str(&json).unwrap_or_default();
    Ok(Listed { listing, source: row.get(0)?, sources: row.get(1)?, breadth: row.get(2)? })
}

struct Candidate {
    id: i64,
    score: f64,
    listed: Listed,
    trust: Trust,
    payable: Result<(), String>,
}

/// Searches the index.
pub(super) fn search(conn: &Connection, query: &Query<'_>) -> rusqlite::Result<Search> {
    let sources = store::sources(conn)?;
    let mut catalogs: Vec<String> = sources.iter().map(|s| s.catalog.clone()).collect();
    catalogs.sort();
    catalogs.dedup();
    let mut search = Search {
        fit: Match::None,
        found: Vec::new(),
        not_shown: NotShown::default(),
        entries: sources.iter().map(|s| s.entries).sum(),
        as_of: store::meta(conn, "as_of")?,
        catalogs,
    };
    let words = wanted(query.query);
    let bundled: Vec<bool> = sources.iter().map(|s| s.catalog == BUNDLED).collect();
    let mut candidates = candidates(conn, query, &words.telling, &words.generic, &bundled)?;
    dearer(&mut candidates);
    candidates.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.id.cmp(&b.id)));
    filter(&mut candidates, query, &mut search.not_shown);
    // How well it fits is told by words and not by scores: those of a small index mean nothing. What has all words comes
    // before what has one of them often.
    let share = |met: &Vec<String>| met.len() as f64 / words.telling.len().clamp(1, LONG) as f64;
    let mut ranked: Vec<(Candidate, Vec<String>)> = Vec::new();
    for mut candidate in candidates {
        let met = if ranked.len() < COVERED { met(conn, candidate.id, &words.telling)? } else { Vec::new() };
        candidate.score *= share(&met).powf(1.5);
        ranked.push((candidate, met));
    }
    ranked.sort_by(|(a, _), (b, _)| b.score.total_cmp(&a.score).then(a.id.cmp(&b.id)));
    // Less than half of what the best covers is too little to be shown beside it. A fake that covers all sets no measure.
    let vouched = |c: &Candidate, met: &Vec<String>| c.trust > Trust::Unverified && share(met) >= 0.5;
    let verified = ranked.iter().any(|(c, met)| vouched(c, met));
    let measure = ranked.iter().filter(|(c, met)| !verified || vouched(c, met));
    let best = measure.map(|(_, met)| share(met)).fold(0.0, f64::max);
    let before = ranked.len();
    ranked.retain(|(_, met)| !met.is_empty() && share(met) * 2.0 >= best);
    search.not_shown.lower += before - ranked.len();
    if verified {
        // What nobody vouches for comes after what somebody does, and only once.
        ranked.sort_by_key(|(c, _)| c.trust == Trust::Unverified);
    }
    let top = ranked.first().map_or(0.0, |(_, met)| share(met));
    search.fit = match top {
        share if share >= 0.66 && words.telling.len() <= LONG => Match::Strong,
        share if share >= 0.5 || (words.telling.len() > LONG && share >= 0.4) => Match::Weak,
        _ => Match::None,
    };
    if search.fit == Match::None {
        search.not_shown.lower += ranked.len();
        return Ok(search);
    }
    let mut hosts: HashMap<String, usize> = HashMap::new();
    let mut unverified = 0;
    for (candidate, met) in ranked {
        let at = hosts.entry(candidate.listed.listing.host()).or_default();
        if candidate.trust == Trust::Unverified && verified && unverified > 0 {
            search.not_shown.unverified += 1;
        } else if *at >= A_HOST {
            search.not_shown.same_host += 1;
        } else if search.found.len() >= query.limit {
            search.not_shown.lower += 1;
        } else {
            *at += 1;
            unverified += usize::from(candidate.trust == Trust::Unverified);
            let source = usize::try_from(candidate.listed.source).ok().and_then(|n| sources.get(n).cloned());
            let seen = query.evidence.of(&candidate.listed.listing);
            let Some(source) = source else { continue };
            search.found.push(Found {
                seen,
                price_note: store::price_note(&candidate.listed.listing, &source, &sources),
                source,
                met,
                trust: candidate.trust,
                payable: candidate.payable,
                sources: candidate.listed.sources,
                listing: candidate.listed.listing,
            });
        }
    }
    Ok(search)
}

/// Everything that has any of the words, with its weighed score.
fn candidates(
    conn: &Connection,
    query: &Query<'_>,
    telling: &[String],
    generic: &[String],
    bundled: &[bool],
) -> rusqlite::Result<Vec<Candidate>> {
    if telling.is_empty() {
        return Ok(Vec::new());
    }
    let Chosen { mut scores, by_host } = chosen(conn, query.evidence, &any_of(telling))?;
    let task = task(query.task);
    for (words, share) in [(generic, 0.4), (&task, 0.15)] {
        if words.is_empty() {
            continue;
        }
        for (id, score) in scored(conn, &any_of(words))? {
            if let Some(sum) = scores.get_mut(&id) {
                *sum += score * share;
            }
        }
    }
    let mut statement = conn.prepare("SELECT source, sources, breadth, json FROM listing WHERE id = ?")?;
    let mut candidates = Vec::new();
    for (id, score) in scores {
        let listed = statement.query_row([id], read)?;
        let mut payable = if listed.listing.is_free() { Ok(()) } else { (query.reach)(&listed.listing) };
        if listed.listing.has("lookalike_host") {
            payable = Err("its host's name looks like another seller's".into());
        } else if listed.listing.has("cross_origin") {
            payable = Err("its own document says that another host is paid".into());
        }
        let near = payable.is_ok() && (!listed.listing.is_free() || (query.reach)(&listed.listing).is_ok());
        let fetched = usize::try_from(listed.source).is_ok_and(|n| bundled.get(n) == Some(&false));
        let stands = Stands {
            sources: listed.sources,
            breadth: listed.breadth,
            flood: fetched && by_host.get(&listed.listing.host()).is_some_and(|n| *n >= FLOOD),
            payable: near || !query.any_wallet,
        };
        let weighed = weigh(&listed.listing, query.evidence, stands);
        let trust = weighed.trust;
        candidates.push(Candidate { id, score: score * weighed.weight, listed, trust, payable });
    }
    Ok(candidates)
}

/// What is weighed, and how many listings of each host have any of the words.
struct Chosen {
    scores: HashMap<i64, f64>,
    by_host: HashMap<String, usize>,
}

/// Chooses what is weighed.
fn chosen(conn: &Connection, evidence: &Evidence, words: &str) -> rusqlite::Result<Chosen> {
    let mut chosen = Chosen { scores: HashMap::new(), by_host: HashMap::new() };
    let (mut all, mut vouched, mut seen) = (0, 0, 0);
    let mut statement = conn.prepare_cached("SELECT host, vouched FROM listing WHERE id = ?")?;
    for (id, score) in scored(conn, words)? {
        let (host, is_vouched): (String, bool) = statement.query_row([id], |r| Ok((r.get(0)?, r.get(1)?)))?;
        let is_seen = evidence.has(&host);
        let of_host = chosen.by_host.entry(host).or_default();
        *of_host += 1;
        let room = all < CANDIDATES || (is_vouched && vouched < CANDIDATES) || (is_seen && seen < CANDIDATES);
        if room && *of_host <= OF_A_HOST {
            all += 1;
            vouched += usize::from(is_vouched);
            seen += usize::from(is_seen);
            chosen.scores.insert(id, score);
        }
    }
    Ok(chosen)
}

/// Ids and scores, the best first; a better score is larger.
fn scored(conn: &Connection, words: &str) -> rusqlite::Result<Vec<(i64, f64)>> {
    let sql = format!("SELECT rowid, -{BM25} AS score FROM words WHERE words MATCH ?1 ORDER BY score DESC, rowid");
    let mut statement = conn.prepare_cached(&sql)?;
    let rows = statement.query_map([words], |r| Ok((r.get(0)?, r.get(1)?)))?;
    rows.collect()
}

/// Which of the words a listing has, as the index itself cuts and stems them. What is said of all that its seller offers
/// does not count.
fn met(conn: &Connection, id: i64, words: &[String]) -> rusqlite::Result<Vec<String>> {
    let mut statement = conn.prepare_cached("SELECT 1 FROM words WHERE rowid = ?1 AND words MATCH ?2")?;
    let mut met = Vec::new();
    for word in words {
        if statement.exists((id, format!("{{name tags about path provider}} : \"{word}\"")))? {
            met.push(word.clone());
        }
    }
    Ok(met)
}

/// What costs far more than its like weighs a little less.
fn dearer(candidates: &mut [Candidate]) {
    for currency in crate::money::Currency::ALL {
        let price = |c: &Candidate| c.listed.listing.amount().filter(|p| p.currency() == currency);
        let mut prices: Vec<u64> = candidates.iter().filter_map(price).map(Amount::atomic).collect();
        prices.sort_unstable();
        let Some(median) = prices.get(prices.len() / 2).copied() else { continue };
        for candidate in candidates.iter_mut() {
            if price(candidate).is_some_and(|p| p.atomic() / 3 > median) {
                candidate.score *= 0.9;
            }
        }
    }
}

/// Leaves out what was not asked for, and counts it.
fn filter(candidates: &mut Vec<Candidate>, query: &Query<'_>, not_shown: &mut NotShown) {
    // The best of what is found is what counts: the tail of a search has everything in it.
    let best = candidates.first().map_or(0.0, |c| c.score);
    let before = candidates.len();
    candidates.retain(|c| c.score > best * 0.1);
    not_shown.lower += before - candidates.len();
    candidates.retain(|candidate| {
        let listing = &candidate.listed.listing;
        let dear = query.max_price.is_some_and(|max| {
            listing.amount().is_some_and(|price| price.currency() == max.currency() && price.exceeds(max))
        });
        let count = if dear {
            &mut not_shown.over_max_price
        } else if listing.is_free() && !query.free_ok {
            &mut not_shown.free
        } else if query.payable_only && listing.has("lookalike_host") {
            &mut not_shown.lookalike
        } else if query.payable_only && candidate.payable.is_err() {
            &mut not_shown.not_payable
        } else {
            return true;
        };
        *count += 1;
        false
    });
}
