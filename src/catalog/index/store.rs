//! The index's file: made in one transaction, without triggers, whenever what it is made of has changed.
//!
//! It holds nothing that cannot be made again, but for the prices that endpoints were seen to ask: those stay.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::Path,
    time::Duration,
};

use rusqlite::{Connection, OptionalExtension, params};
use url::Url;

use super::{
    admit::Dropped,
    listing::{Level, Listing, key_of},
    lookalike::Known,
    volume::{self, Volume},
    words::{once, split},
};

/// `Burs` and one more: an index and nothing else.
const APPLICATION_ID: i64 = 0x4275_7273 + 1;

const TABLES: &str = "
DROP TABLE IF EXISTS meta; DROP TABLE IF EXISTS source; DROP TABLE IF EXISTS listing; DROP TABLE IF EXISTS words;
DROP TABLE IF EXISTS known;
CREATE TABLE known(host TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE source(id INTEGER PRIMARY KEY, catalog TEXT NOT NULL, name TEXT NOT NULL, as_of TEXT NOT NULL,
  entries INTEGER NOT NULL) STRICT;
CREATE TABLE listing(id INTEGER PRIMARY KEY, key TEXT NOT NULL, host TEXT NOT NULL, breadth INTEGER NOT NULL,
  source INTEGER NOT NULL, sources INTEGER NOT NULL, json TEXT NOT NULL) STRICT;
CREATE VIRTUAL TABLE words USING fts5(name, tags, about, path, provider, service, content='', tokenize='porter unicode61');
CREATE TABLE IF NOT EXISTS observed(host TEXT NOT NULL, method TEXT NOT NULL, path TEXT NOT NULL, price TEXT NOT NULL,
  at_ms INTEGER NOT NULL, PRIMARY KEY(host, method, path)) STRICT, WITHOUT ROWID;
";

/// Opens the index, making it first if it is not there or what it is made of has changed. Where the home cannot be
/// written, it is made in memory.
///
/// # Errors
/// SQLite cannot do it even there.
pub(super) fn open(home: &Path) -> rusqlite::Result<Connection> {
    let path = volume::folder(home).join("index.db");
    match open_at(home, &path) {
        Ok(conn) => Ok(conn),
        Err(first) => {
            // It holds nothing of worth: what is broken is thrown away and made anew.
            tracing::debug!("the index is made anew: {first}");
            if is_broken(&first) {
                let _ = std::fs::remove_file(&path);
                if let Ok(conn) = open_at(home, &path) {
                    return Ok(conn);
                }
            }
            let mut conn = Connection::open_in_memory()?;
            fill(&mut conn, home, "")?;
            Ok(conn)
        }
    }
}

fn is_broken(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
    !matches!(error, rusqlite::Error::SqliteFailure(e, _) if !matches!(e.code, DatabaseCorrupt | NotADatabase))
}

fn open_at(home: &Path, path: &Path) -> rusqlite::Result<Connection> {
    let stamp = volume::stamp(home);
    let _ = volume::make_folder(home);
    let mut conn = Connection::open(path)?;
    conn.busy_timeout(Duration::from_secs(5))?;
    conn.execute_batch("PRAGMA synchronous = OFF; PRAGMA cache_size = -8000; PRAGMA temp_store = MEMORY;")?;
    if read_stamp(&conn)? != Some(stamp.clone()) {
        fill(&mut conn, home, &stamp)?;
    }
    Ok(conn)
}

/// The stamp of the index as it stands; `None` where there is none yet.
fn read_stamp(conn: &Connection) -> rusqlite::Result<Option<String>> {
    let id: i64 = conn.query_row("SELECT application_id FROM pragma_application_id", [], |r| r.get(0))?;
    if id != APPLICATION_ID {
        return Ok(None);
    }
    conn.query_row("SELECT value FROM meta WHERE key = 'stamp'", [], |r| r.get(0)).optional()
}

/// A listing with what the index knows of it.
struct Row {
    listing: Listing,
    /// Its address, read once: there are thousands of them.
    url: Url,
    key: String,
    source: i64,
    sources: i64,
}

/// Makes the index of everything there is, in one transaction.
fn fill(conn: &mut Connection, home: &Path, stamp: &str) -> rusqlite::Result<()> {
    // What was fetched comes first: of two that are trusted alike, the fresher facts count.
    let mut volumes: Vec<Volume> = Vec::new();
    for path in volume::snapshots(home) {
        match std::fs::File::open(&path).and_then(Volume::read) {
            Ok(volume) => volumes.push(volume),
            Err(e) => tracing::warn!("{} is left out of the index: {e}", path.display()),
        }
    }
    volumes.extend(Volume::bundled());
    let transaction = conn.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    if !stamp.is_empty() && read_stamp(&transaction)?.as_deref() == Some(stamp) {
        // Another process made it while this one waited.
        return Ok(());
    }
    transaction.execute_batch(TABLES)?;
    let mut dropped: BTreeMap<Dropped, usize> = BTreeMap::new();
    let mut newest = String::new();
    let mut rows: Vec<Row> = Vec::new();
    let mut at: HashMap<String, usize> = HashMap::new();
    let mut next = 0i64;
    for volume in volumes {
        let first = next;
        for note in &volume.header.sources {
            transaction.execute(
                "INSERT INTO source VALUES(?, ?, ?, ?, 0)",
                params![next, volume.header.name, note.name, note.as_of],
            )?;
            newest = newest.max(note.as_of.clone());
            next += 1;
        }
        for (why, count) in volume.header.dropped {
            *dropped.entry(why).or_default() += count;
        }
        for listing in volume.listings {
            let source = first + i64::from(listing.source);
            let Some(url) = listing.at() else { continue };
            let key = key_of(&listing.method, &url);
            match at.get(&key).and_then(|n| rows.get_mut(*n)) {
                Some(row) => merge(row, listing, source),
                None => {
                    at.insert(key.clone(), rows.len());
                    rows.push(Row { listing, url, key, source, sources: 1 });
                }
            }
        }
    }
    write(&transaction, rows)?;
    transaction.execute_batch("UPDATE source SET entries = (SELECT count(*) FROM listing WHERE source = source.id)")?;
    let json = serde_json::to_string(&dropped).unwrap_or_default();
    for (key, value) in [("stamp", stamp), ("dropped", &json), ("as_of", &newest)] {
        transaction.execute("INSERT INTO meta VALUES(?, ?)", [key, value])?;
    }
    transaction.execute_batch(&format!("PRAGMA application_id = {APPLICATION_ID};"))?;
    transaction.commit()
}

/// Joins two listings of one endpoint: the facts of the one that is trusted more, the rails of both.
fn merge(row: &mut Row, other: Listing, source: i64) {
    if row.source != source {
        row.sources += 1;
    }
    let (mut best, lesser) = (std::mem::take(&mut row.listing), other);
    let (mut best, lesser) = if lesser.level > best.level {
        row.source = source;
        (lesser, best)
    } else {
        (std::mem::take(&mut best), lesser)
    };
    for protocol in lesser.protocols.split(' ').filter(|p| !p.is_empty()) {
        if !best.protocols.split(' ').any(|p| p == protocol) {
            best.protocols = format!("{} {protocol}", best.protocols).trim().to_owned();
        }
    }
    if let (Some(a), Some(b)) = (best.amount(), lesser.amount())
        && a.currency() == b.currency()
        && a.atomic().abs_diff(b.atomic()) > a.atomic() / 5
    {
        best.flag("price_conflict");
    }
    for flag in lesser.flags.split(' ').filter(|f| *f == "lookalike_host" || *f == "cross_origin") {
        best.flag(flag);
    }
    if best.price.is_empty() {
        best.price = lesser.price;
    }
    best.input = best.input.or(lesser.input);
    // A call that is proposed for a listing is made of nothing that is trusted less.
    if lesser.level == best.level {
        best.example = best.example.or(lesser.example);
    }
    row.listing = best;
}

fn write(conn: &Connection, mut rows: Vec<Row>) -> rusqlite::Result<()> {
    let mut breadth: HashMap<String, i64> = HashMap::new();
    let mut trusted: BTreeSet<String> = BTreeSet::new();
    for row in &rows {
        let host = row.url.host_str().unwrap_or_default();
        if row.listing.level >= Level::Curated && !trusted.contains(host) {
            trusted.insert(host.to_owned());
        }
        match breadth.get_mut(host) {
            Some(count) => *count += 1,
            None => drop(breadth.insert(host.to_owned(), 1)),
        }
    }
    let known = Known::new(trusted.iter().map(String::as_str));
    for host in &trusted {
        conn.execute("INSERT INTO known VALUES(?)", [host])?;
    }
    let mut judged: HashMap<String, bool> = HashMap::new();
    // All of it is kept in memory until the end, and written once.
    conn.execute_batch("INSERT INTO words(words, rank) VALUES('hashsize', 33554432)")?;
    let mut listing =
        conn.prepare("INSERT INTO listing(id, key, host, breadth, source, sources, json) VALUES(?, ?, ?, ?, ?, ?, ?)")?;
    let mut words = conn
        .prepare("INSERT INTO words(rowid, name, tags, about, path, provider, service) VALUES(?, ?, ?, ?, ?, ?, ?)")?;
    for (id, row) in rows.iter_mut().enumerate() {
        let one = &mut row.listing;
        let mut host = row.url.host_str().unwrap_or_default().to_owned();
        let www = format!("www.{host}");
        if one.level < Level::Curated && known.has(&www) {
            // A known seller answers at its `www`: the bare domain only sends on, and loses what is sent along.
            one.url = one.url.replacen(&host, &www, 1);
            one.flag("host_redirects");
            if let Some(url) = one.at() {
                row.key = key_of(&one.method, &url);
            }
            host = www;
        } else if one.level < Level::Curated {
            let alike = judged.entry(host.clone()).or_insert_with(|| known.looks_like(&host).is_some());
            if *alike {
                one.flag("lookalike_host");
            }
        }
        let json = serde_json::to_string(&one).unwrap_or_default();
        let many = breadth.get(&host).copied().unwrap_or(1);
        listing.execute(params![id as i64, row.key, host, many, row.source, row.sources, json])?;
        let path = row.url.path();
        let parts = if path.bytes().any(|b| b.is_ascii_uppercase()) { split(path).join(" ") } else { path.to_owned() };
        let provider = format!("{} {host}", one.provider);
        if one.level >= Level::Curated {
            // What people keep is as it should be.
            words.execute(params![id as i64, one.name, one.words, one.about, parts, provider, one.service])?;
            continue;
        }
        // Each word once a field: who repeats a word gains nothing.
        words.execute(params![
            id as i64,
            once(&[&one.name], 20),
            once(&[&one.words], 40),
            once(&[&one.about], 40),
            parts,
            once(&[&provider], 12),
            once(&[&one.service], 24)
        ])?;
    }
    conn.execute_batch("CREATE INDEX listing_key ON listing(key)")
}

/// One source of the index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceRow {
    /// The catalogue it came with.
    pub catalog: String,
    /// Its name.
    pub name: String,
    /// The day of its facts.
    pub as_of: String,
    /// How many listings come from it.
    pub entries: u64,
}

/// The sources of the index.
pub(super) fn sources(conn: &Connection) -> rusqlite::Result<Vec<SourceRow>> {
    let mut statement = conn.prepare("SELECT catalog, name, as_of, entries FROM source ORDER BY id")?;
    let rows = statement.query_map([], |r| {
        Ok(SourceRow {
            catalog: r.get(0)?,
            name: r.get(1)?,
            as_of: r.get(2)?,
            entries: r.get::<_, i64>(3)?.unsigned_abs(),
        })
    })?;
    rows.collect()
}

/// A value of the index.
pub(super) fn meta(conn: &Connection, key: &str) -> rusqlite::Result<String> {
    Ok(conn.query_row("SELECT value FROM meta WHERE key = ?", [key], |r| r.get(0)).optional()?.unwrap_or_default())
}
