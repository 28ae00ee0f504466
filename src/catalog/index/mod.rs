//! The local index: every endpoint that is known by name, found by words, offline.
//!
//! ```text
//!  data/bundled.jsonl.gz (in the program) ─┐
//!  catalog/<source>.jsonl (fetched)        ├─► one transaction ─► catalog/index.db (FTS5) ─► search ─► rank
//!                                          ┘        when the stamp of what it is made of has changed
//! ```
//!
//! A new home, where nothing was fetched yet, gets `data/index.db.gz` unpacked: the same index, made ahead, so that the
//! first search is as quick as the next ones.
//!
//! What a listing says is a hint: the 402 of the endpoint itself is the price. What was seen here counts more than what
//! anybody lists, and what nobody vouches for never comes first.

pub mod admit;
pub mod listing;
pub mod lookalike;
mod rank;
mod search;
mod store;
pub mod volume;
pub mod words;

use std::path::Path;

use rusqlite::{Connection, OptionalExtension, params};
use url::Url;

pub use self::{
    listing::{Level, Listing, key_of},
    rank::{Evidence, Seen, Trust},
    search::{Found, Match, NotShown, Query, Search},
    store::{PriceNote, SourceRow, make_ready},
};
use self::{lookalike::Known, search::read};
use crate::money::Amount;

/// The index, open.
pub struct Index {
    conn: Connection,
}

impl Index {
    /// Opens the index of a home. The first call makes it.
    ///
    /// # Errors
    /// SQLite cannot do it, not even in memory.
    pub fn open(home: &Path) -> rusqlite::Result<Index> {
        Ok(Index { conn: store::open(home)? })
    }

    /// Searches.
    ///
    /// # Errors
    /// SQLite.
    pub fn search(&self, query: &Query<'_>) -> rusqlite::Result<Search> {
        // One look at the file for all that is read: without it each row that is weighed takes the lock anew.
        let _read = self.conn.unchecked_transaction()?;
        search::search(&self.conn, query)
    }

    /// What is listed at an address, and where its price was read; without a method, whatever is listed there.
    ///
    /// # Errors
    /// SQLite.
    pub fn listed(&self, method: Option<&str>, url: &Url) -> rusqlite::Result<Option<(Listing, PriceNote)>> {
        let sources = store::sources(&self.conn)?;
        let mut statement = self.conn.prepare("SELECT source, sources, breadth, json FROM listing WHERE key = ?")?;
        for method in method.map_or_else(|| vec!["POST", "GET", ""], |m| vec![m, ""]) {
            let row = statement.query_row([key_of(method, url)], read).optional()?;
            if let Some(row) = row {
                let source = usize::try_from(row.source).ok().and_then(|n| sources.get(n));
                return Ok(source.map(|own| {
                    let note = store::price_note(&row.listing, own, &sources);
                    (row.listing, note)
                }));
            }
        }
        Ok(None)
    }

    /// The hosts that packs and kept registries name, and what a host could be taken for.
    ///
    /// # Errors
    /// SQLite.
    pub fn known(&self) -> rusqlite::Result<Known> {
        let mut statement = self.conn.prepare("SELECT host FROM known")?;
        let hosts: Vec<String> = statement.query_map([], |r| r.get(0))?.collect::<rusqlite::Result<_>>()?;
        Ok(Known::new(hosts.iter().map(String::as_str)))
    }

    /// Remembers what an endpoint was seen to ask, so that it counts as verified here.
    ///
    /// # Errors
    /// SQLite.
    pub fn observe(&self, method: &str, url: &Url, price: Option<Amount>, now_ms: u64) -> rusqlite::Result<()> {
        let price = price.map(|p| p.to_string()).unwrap_or_default();
        let at = i64::try_from(now_ms).unwrap_or(i64::MAX);
        self.conn.execute(
            "INSERT INTO observed VALUES(?1, ?2, ?3, ?4, ?5)
             ON CONFLICT(host, method, path) DO UPDATE SET price = ?4, at_ms = ?5",
            params![url.host_str().unwrap_or_default(), method, url.path(), price, at],
        )?;
        // What was seen long ago is worth nothing, and the file stays small.
        self.conn.execute(
            "DELETE FROM observed WHERE at_ms <= (SELECT at_ms FROM observed ORDER BY at_ms DESC LIMIT 1 OFFSET 2000)",
            [],
        )?;
        Ok(())
    }

    /// Adds to the evidence what endpoints were seen to ask.
    ///
    /// # Errors
    /// SQLite.
    pub fn recall(&self, evidence: &mut Evidence) -> rusqlite::Result<()> {
        let mut statement = self.conn.prepare("SELECT host, method, path, price, at_ms FROM observed")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (host, method, path): (String, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
            let (price, at): (String, i64) = (row.get(3)?, row.get(4)?);
            let seen = evidence.at(&host, &method, &path);
            let at = at.unsigned_abs();
            seen.seen_ms = seen.seen_ms.max(at);
            if let Ok(price) = price.parse() {
                seen.looked = Some((price, at));
                if seen.asked.is_none_or(|(_, mine)| at > mine) {
                    seen.asked = seen.looked;
                }
            }
        }
        Ok(())
    }

    /// What the index is made of.
    ///
    /// # Errors
    /// SQLite.
    pub fn sources(&self) -> rusqlite::Result<Vec<SourceRow>> {
        store::sources(&self.conn)
    }

    /// How many listings were left out, by the word for the reason.
    ///
    /// # Errors
    /// SQLite.
    pub fn dropped(&self) -> rusqlite::Result<std::collections::BTreeMap<String, u64>> {
        Ok(serde_json::from_str(&store::meta(&self.conn, "dropped")?).unwrap_or_default())
    }
}
