//! Fresh catalogues, on request and never in the way of a search: fetched politely, read leniently, kept as snapshots.
//!
//! A source that is slow, broken, hostile or gone leaves the last good snapshot where it is. None needs a key, and none is
//! asked by the server: a person (or a timer of theirs) runs `bursar catalog refresh`.

mod bazaar;
mod feed;
mod index402;
mod json;
mod mpp;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io,
    path::Path,
};

use url::Url;

pub use self::feed::Patience;
use self::feed::{Fetched, Stop};
use super::index::{
    admit::{Dropped, Raw, admit},
    listing::Listing,
    volume::{self, Header, MOST, SourceNote, Volume},
};
use crate::{
    http::{Client, Policy, vet_url},
    report::time::date,
};

/// The catalogues that are known by name.
const BUILT_IN: [(&str, &str); 4] = [
    ("402index", "https://402index.io/api/v1/services"),
    ("cdp", "https://api.cdp.coinbase.com/platform/v2/x402/discovery/resources"),
    ("bazaar", "https://x402.org/facilitator/discovery/resources"),
    ("mpp", "https://mpp.dev/api/services"),
];

/// A catalogue that can be fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Its name, which is also its snapshot's.
    pub name: String,
    /// Its address.
    pub url: String,
}

/// What became of a refresh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refreshed {
    /// A new snapshot stands: how many listings it has, and how many were left out.
    Fresh {
        /// How many were kept.
        listings: usize,
        /// How many were left out, by reason.
        dropped: BTreeMap<Dropped, usize>,
        /// Why it is not all that the source has, if it is not.
        cut: Option<String>,
    },
    /// The source says that nothing has changed.
    Same,
}

/// The catalogues that the operator did not turn off, in the order of their names.
pub fn sources(configured: &BTreeMap<String, String>) -> Vec<Source> {
    let mut all: BTreeMap<&str, &str> = BUILT_IN.into_iter().collect();
    for (name, url) in configured {
        all.insert(name, url);
    }
    let plain = |name: &str| {
        name.len() <= 40 && !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
    };
    let kept = all.into_iter().filter(|(name, url)| !url.is_empty() && plain(name));
    kept.map(|(name, url)| Source { name: name.into(), url: url.into() }).collect()
}

/// One page of a catalogue, read.
#[derive(Default)]
struct Page {
    rows: Vec<Raw>,
    /// How many rows the page had, those that are of no use counted.
    seen: usize,
    /// How many there are in all, where it is told.
    total: Option<usize>,
}

/// How one kind of catalogue is asked and read.
#[derive(Clone, Copy)]
enum Kind {
    Index402,
    Bazaar,
    Mpp,
}

impl Kind {
    fn of(source: &Source) -> Kind {
        match source.name.as_str() {
            "402index" => Kind::Index402,
            "mpp" => Kind::Mpp,
            _ => Kind::Bazaar,
        }
    }

    /// How many rows a page has; 0 where all come at once.
    fn rows(self) -> usize {
        match self {
            Kind::Index402 | Kind::Bazaar => 200,
            Kind::Mpp => 0,
        }
    }

    /// What is asked for, one after the other. Of one that is mostly for others, Lightning comes first: the rest may not all
    /// be read.
    fn parts(self) -> &'static [Option<(&'static str, &'static str)>] {
        match self {
            Kind::Index402 => &[Some(("protocol", "L402")), None],
            Kind::Bazaar | Kind::Mpp => &[None],
        }
    }

    fn read(self, bytes: &[u8]) -> Option<Page> {
        let value = serde_json::from_slice(bytes).ok()?;
        match self {
            Kind::Index402 => index402::read(&value),
            Kind::Bazaar => bazaar::read(&value),
            Kind::Mpp => mpp::read(&value),
        }
    }
}

/// Holds the right to refresh: one process at a time asks, so that nobody is asked twice as often as is polite.
pub struct Turn(#[expect(dead_code, reason = "the lock lasts as long as the file is open")] File);

impl Turn {
    /// Takes the turn; `None` while somebody else has it.
    ///
    /// # Errors
    /// The disk.
    pub fn take(home: &Path) -> io::Result<Option<Turn>> {
        volume::make_folder(home)?;
        let file = File::create(volume::folder(home).join("refresh.lock"))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Turn(file))),
            Err(fs::TryLockError::WouldBlock) => Ok(None),
            Err(fs::TryLockError::Error(e)) => Err(e),
        }
    }
}

/// Fetches a catalogue and keeps it. `tell` hears how many rows there are so far.
///
/// # Errors
/// Why not, in a sentence; the last good snapshot stays.
pub async fn refresh(
    http: &Client,
    home: &Path,
    source: &Source,
    now_ms: u64,
    patience: Patience,
    tell: &(dyn Fn(usize) + Sync),
) -> Result<Refreshed, String> {
    let first = vet_url(Policy::Operator, http.settings(), &source.url).map_err(|e| e.to_string())?;
    let before = kept(home, &source.name);
    // What was fetched elsewhere, or read by other rules, is fetched again.
    let known = before.filter(|h| h.url == source.url && h.sources.len() == 1).map(|h| h.etag).unwrap_or_default();
    let kind = Kind::of(source);
    let mut feed = feed::Feed::new(http, patience, now_ms);
    let (mut raw, mut etag, mut cut) = (Vec::new(), String::new(), None);
    'all: for part in kind.parts() {
        let mut offset = 0;
        loop {
            let fetched =
                feed.fetch(page(&first, kind, *part, offset), if feed.pages() == 0 { &known } else { "" }).await;
            let (bytes, tag) = match fetched {
                Ok(Fetched::Same) => return Ok(Refreshed::Same),
                Ok(Fetched::Page(bytes, tag)) => (bytes, tag),
                // What came until we asked for no more is kept.
                Err(Stop::Enough(why)) if !raw.is_empty() => {
                    cut = Some(why);
                    break 'all;
                }
                Err(stop) => return Err(stop.why()),
            };
            let page = kind.read(&bytes).ok_or("its answer is not a catalogue of the shape that is known")?;
            etag = tag;
            offset += page.seen;
            raw.extend(page.rows);
            tell(raw.len());
            if raw.len() >= MOST {
                cut = Some(format!("it has more than {MOST} listings"));
                break 'all;
            }
            let more = kind.rows() > 0 && page.seen > 0 && page.total.is_some_and(|total| offset < total);
            if !more {
                break;
            }
        }
    }
    // It stands for the page that it came with. Of several, one may change while another stays.
    if feed.pages() > 1 {
        etag.clear();
    }
    let as_of = date(i64::try_from(now_ms).unwrap_or(i64::MAX));
    let mut dropped: BTreeMap<Dropped, usize> = BTreeMap::new();
    let (mut listings, mut seen): (Vec<Listing>, BTreeSet<String>) = (Vec::new(), BTreeSet::new());
    for row in raw.into_iter().take(MOST) {
        match admit(http.settings(), row) {
            // The same comes twice where a part of the whole was asked for first.
            Ok(listing) if !seen.insert(listing.key()) => {}
            Ok(mut listing) => {
                if listing.as_of > as_of {
                    listing.as_of.clear();
                }
                listings.push(listing);
            }
            Err(why) => *dropped.entry(why).or_default() += 1,
        }
    }
    if listings.is_empty() {
        return Err("nothing in its answer can be listed".into());
    }
    let header = Header {
        name: source.name.clone(),
        sources: vec![SourceNote { name: source.name.clone(), as_of }],
        dropped: dropped.clone(),
        url: source.url.clone(),
        etag,
        fetched_ms: now_ms,
    };
    let volume = Volume { header, listings };
    volume::keep(home, &source.name, &volume).map_err(|e| format!("it cannot be kept: {e}"))?;
    Ok(Refreshed::Fresh { listings: volume.listings.len(), dropped, cut })
}

/// What is kept of a source.
pub fn kept(home: &Path, source: &str) -> Option<Header> {
    let file = File::open(volume::snapshot(home, source)).ok()?;
    Volume::read(file).ok().map(|volume| volume.header)
}

fn page(first: &Url, kind: Kind, part: Option<(&str, &str)>, offset: usize) -> Url {
    let mut url = first.clone();
    if let Some((name, value)) = part {
        url.query_pairs_mut().append_pair(name, value);
    }
    if kind.rows() > 0 {
        url.query_pairs_mut().append_pair("limit", &kind.rows().to_string()).append_pair("offset", &offset.to_string());
    }
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operator_adds_turns_off_and_replaces_catalogues() {
        let configured =
            [("cdp", ""), ("mpp", "http://127.0.0.1:1/x"), ("mine", "https://f.example/d"), ("../x", "https://e")]
                .map(|(name, url)| (name.to_owned(), url.to_owned()));
        let names: Vec<String> = sources(&configured.into()).into_iter().map(|s| s.name).collect();
        assert_eq!(names, ["402index", "bazaar", "mine", "mpp"]);
    }
}
