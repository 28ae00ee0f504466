//! The index's file: made in one transaction, without triggers, whenever what it is made of has changed. A new home gets
//! the one that comes with the program, which is made ahead in the same way.
//!
//! It holds nothing that cannot be made again, but for the prices that endpoints were seen to ask: those stay.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    io::{self, Read},
    path::Path,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use flate2::read::GzDecoder;
use rusqlite::{Connection, OptionalExtension, params};
use url::Url;

use super::{
    admit::Dropped,
    listing::{Level, Listing, PriceFrom, key_of},
    lookalike::Known,
    volume::{self, Volume},
    words::{once, split},
};

/// `Burs` and one more: an index and nothing else.
const APPLICATION_ID: i64 = 0x4275_7273 + 1;

/// The index of the bundled catalogue and nothing else; `cargo run --example catalog` makes it.
const READY: &[u8] = include_bytes!("../../../data/index.db.gz");

const TABLES: &str = "
DROP TABLE IF EXISTS meta; DROP TABLE IF EXISTS source; DROP TABLE IF EXISTS listing; DROP TABLE IF EXISTS words;
DROP TABLE IF EXISTS known;
CREATE TABLE known(host TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE source(id INTEGER PRIMARY KEY, catalog TEXT NOT NULL, name TEXT NOT NULL, as_of TEXT NOT NULL,
  entries INTEGER NOT NULL) STRICT;
CREATE TABLE listing(id INTEGER PRIMARY KEY, key TEXT NOT NULL, host TEXT NOT NULL, breadth INTEGER NOT NULL,
  source INTEGER NOT NULL, sources INTEGER NOT NULL, vouched INTEGER NOT NULL, json TEXT NOT NULL) STRICT;
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
            fill(&mut conn, all(home), "")?;
            Ok(conn)
        }
    }
}

/// Makes the index that comes with the program, of the bytes of the bundled catalogue, at a path where there is nothing.
///
/// # Errors
/// The bytes are no catalogue, SQLite, or the disk.
pub fn make_ready(path: &Path, bundled: &[u8]) -> Result<(), Box<dyn std::error::Error>> {
    let volume = Volume::read(GzDecoder::new(bundled))?;
    let mut conn = Connection::open(path)?;
    fill(&mut conn, vec![volume], &volume::stamp_of(bundled))?;
    conn.close().map_err(|(_, e)| e.into())
}

/// Puts the index that comes with the program where there is none yet. Whoever is first wins: an index that another
/// process has open is never replaced.
fn unpack(path: &Path) -> io::Result<()> {
    static NTH: AtomicU64 = AtomicU64::new(0);
    let mut bytes = Vec::new();
    GzDecoder::new(READY).read_to_end(&mut bytes)?;
    // What an index that was deleted has left would be played back into this one.
    let _ = std::fs::remove_file(path.with_extension("db-journal"));
    let fresh = path.with_extension(format!("new-{}-{}", std::process::id(), NTH.fetch_add(1, Relaxed)));
    let placed = std::fs::write(&fresh, bytes).and_then(|()| std::fs::hard_link(&fresh, path));
    let _ = std::fs::remove_file(&fresh);
    placed
}

fn is_broken(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
    !matches!(error, rusqlite::Error::SqliteFailure(e, _) if !matches!(e.code, DatabaseCorrupt | NotADatabase))
}

fn open_at(home: &Path, path: &Path) -> rusqlite::Result<Connection> {
    let stamp = volume::stamp(home);
    let _ = volume::make_folder(home);
    if !path.exists()
        && volume::snapshots(home).is_empty()
        && let Err(e) = unpack(path)
    {
        tracing::debug!("the index that comes with the program is not used: {e}");
    }
    let mut conn = Connection::open(path)?;
    conn.busy_timeout(Duration::from_secs(5))?;
    conn.execute_batch("PRAGMA synchronous = OFF; PRAGMA cache_size = -8000; PRAGMA temp_store = MEMORY;")?;
    if read_stamp(&conn)? != Some(stamp.clone()) {
        fill(&mut conn, all(home), &stamp)?;
    }
    Ok(conn)
}

/// All that the index of a home is made of. What was fetched comes first: of two that are trusted alike, the fresher facts
/// count.
fn all(home: &Path) -> Vec<Volume> {
    let mut volumes: Vec<Volume> = Vec::new();
    for path in volume::snapshots(home) {
        match std::fs::File::open(&path).and_then(Volume::read) {
            Ok(volume) => volumes.push(volume),
            Err(e) => tracing::warn!("{} is left out of the index: {e}", path.display()),
        }
    }
    volumes.extend(Volume::bundled());
    volumes
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

/// Makes the index of these catalogues, in one transaction.
fn fill(conn: &mut Connection, volumes: Vec<Volume>, stamp: &str) -> rusqlite::Result<()> {
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
    let kept = volumes.iter().flat_map(|v| &v.listings).filter(|l| l.level >= Level::Curated);
    let trusted: BTreeSet<String> = kept.map(Listing::host).collect();
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
        for mut listing in volume.listings {
            let source = first + i64::from(listing.source);
            let Some(url) = at_its_www(&mut listing, &trusted) else { continue };
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
    write(&transaction, rows, &trusted)?;
    transaction.execute_batch("UPDATE source SET entries = (SELECT count(*) FROM listing WHERE source = source.id)")?;
    let json = serde_json::to_string(&dropped).unwrap_or_default();
    for (key, value) in [("stamp", stamp), ("dropped", &json), ("as_of", &newest)] {
        transaction.execute("INSERT INTO meta VALUES(?, ?)", [key, value])?;
    }
    transaction.execute_batch(&format!("PRAGMA application_id = {APPLICATION_ID};"))?;
    transaction.commit()
}

/// The address of a listing. A known seller answers at its `www`: the bare domain only sends on, and loses what is sent
/// along.
fn at_its_www(listing: &mut Listing, trusted: &BTreeSet<String>) -> Option<Url> {
    let mut url = listing.at()?;
    let www = format!("www.{}", url.host_str().unwrap_or_default());
    if listing.level < Level::Curated && trusted.contains(&www) {
        url.set_host(Some(&www)).ok()?;
        listing.url = url.as_str().replace("%7B", "{").replace("%7D", "}");
        listing.flag("host_redirects");
    }
    Some(url)
}

/// Joins two listings of one endpoint: the facts of the one that is trusted more, the rails of both. What is trusted less
/// has no veto: anybody can list an address that is somebody else's.
fn merge(row: &mut Row, other: Listing, source: i64) {
    if row.source != source {
        row.sources += 1;
    }
    let known = std::mem::take(&mut row.listing);
    let (mut best, lesser, lesser_source) = if other.level > known.level {
        (other, known, std::mem::replace(&mut row.source, source))
    } else {
        (known, other, source)
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
    let equal = lesser.level == best.level;
    for flag in lesser.flags.split(' ').filter(|f| equal && (*f == "lookalike_host" || *f == "cross_origin")) {
        best.flag(flag);
    }
    if best.price.is_empty() && !lesser.price.is_empty() && (equal || lesser.level > Level::Unverified) {
        best.price = lesser.price;
        let from = PriceFrom { source: lesser_source, as_of: lesser.as_of };
        best.price_from = Some(lesser.price_from.unwrap_or(from));
    }
    best.input = best.input.or(lesser.input);
    // A call that is proposed for a listing is made of nothing that is trusted less.
    if equal {
        best.example = best.example.or(lesser.example);
    }
    row.listing = best;
}

fn write(conn: &Connection, mut rows: Vec<Row>, trusted: &BTreeSet<String>) -> rusqlite::Result<()> {
    let mut breadth: HashMap<String, i64> = HashMap::new();
    for row in &rows {
        let host = row.url.host_str().unwrap_or_default();
        match breadth.get_mut(host) {
            Some(count) => *count += 1,
            None => drop(breadth.insert(host.to_owned(), 1)),
        }
    }
    let known = Known::new(trusted.iter().map(String::as_str));
    for host in trusted {
        conn.execute("INSERT INTO known VALUES(?)", [host])?;
    }
    let mut judged: HashMap<String, bool> = HashMap::new();
    // All of it is kept in memory until the end, and written once.
    conn.execute_batch("INSERT INTO words(words, rank) VALUES('hashsize', 33554432)")?;
    let mut listing = conn.prepare(
        "INSERT INTO listing(id, key, host, breadth, source, sources, vouched, json) VALUES(?, ?, ?, ?, ?, ?, ?, ?)",
    )?;
    let mut words = conn
        .prepare("INSERT INTO words(rowid, name, tags, about, path, provider, service) VALUES(?, ?, ?, ?, ?, ?, ?)")?;
    for (id, row) in rows.iter_mut().enumerate() {
        let one = &mut row.listing;
        let host = row.url.host_str().unwrap_or_default().to_owned();
        if one.level < Level::Curated {
            let alike = judged.entry(host.clone()).or_insert_with(|| known.looks_like(&host).is_some());
            if *alike {
                one.flag("lookalike_host");
            }
        }
        let json = serde_json::to_string(&one).unwrap_or_default();
        let many = breadth.get(&host).copied().unwrap_or(1);
        let vouched = one.level > Level::Unverified;
        listing.execute(params![id as i64, row.key, host, many, row.source, row.sources, vouched, json])?;
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

/// Where a listing's price was read, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PriceNote {
    /// Whether it stands in a pack that comes with the program.
    pub bundled: bool,
    /// The name of the source.
    pub source: String,
    /// The day.
    pub as_of: String,
}

/// Where a listing of source `own` has its price from.
pub(super) fn price_note(listing: &Listing, own: &SourceRow, sources: &[SourceRow]) -> PriceNote {
    let other = listing.price_from.as_ref().and_then(|from| {
        let source = usize::try_from(from.source).ok().and_then(|n| sources.get(n))?;
        Some((source, &from.as_of))
    });
    let (source, day) = other.unwrap_or((own, &listing.as_of));
    let as_of = if day.is_empty() { source.as_of.clone() } else { day.clone() };
    PriceNote { bundled: other.is_none() && listing.level == Level::Bundled, source: source.name.clone(), as_of }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::index::listing::ListedInput;

    /// An index of these catalogues, each of one source with its day.
    fn index(volumes: &[(&str, &str, Vec<Listing>)]) -> (tempfile::TempDir, Connection) {
        let home = tempfile::tempdir().unwrap();
        for (name, as_of, listings) in volumes {
            let header = volume::Header {
                name: (*name).into(),
                sources: vec![volume::SourceNote { name: (*name).into(), as_of: (*as_of).into() }],
                ..volume::Header::default()
            };
            volume::keep(home.path(), name, &Volume { header, listings: listings.clone() }).unwrap();
        }
        let conn = open(home.path()).unwrap();
        (home, conn)
    }

    fn of_host(conn: &Connection, host: &str) -> Vec<(Listing, PriceNote)> {
        let sources = sources(conn).unwrap();
        let mut statement = conn.prepare("SELECT source, json FROM listing WHERE host = ?").unwrap();
        let rows = statement.query_map([host], |r| Ok((r.get::<_, i64>(0)?, r.get::<_, String>(1)?))).unwrap();
        let read = |(source, json): (i64, String)| {
            let listing: Listing = serde_json::from_str(&json).unwrap();
            let note = price_note(&listing, &sources[source as usize], &sources);
            (listing, note)
        };
        rows.map(|row| read(row.unwrap())).collect()
    }

    fn at(url: &str, level: Level) -> Listing {
        Listing { url: url.into(), name: "Quokkas".into(), method: "GET".into(), level, ..Listing::default() }
    }

    #[test]
    fn who_is_trusted_less_has_no_veto_and_only_its_equal_has() {
        let url = "https://quokka-shop.com/x";
        let mut stranger = at(url, Level::Listed);
        stranger.flag("cross_origin");
        stranger.example = Some(serde_json::json!({"q": "stranger"}));
        let takes = |field: &str| Some(ListedInput { required: vec![field.into()], ..ListedInput::default() });
        stranger.input = takes("theirs");
        for (level, flagged) in [(Level::Curated, false), (Level::Listed, true)] {
            for names in [["a", "b"], ["b", "a"]] {
                let [mine, theirs] = names;
                let (_home, conn) = index(&[
                    (mine, "2026-08-01", vec![Listing { input: takes("mine"), ..at(url, level) }]),
                    (theirs, "2026-08-01", vec![stranger.clone()]),
                ]);
                let all = of_host(&conn, "quokka-shop.com");
                assert_eq!(all.len(), 1);
                assert!(level == Level::Listed || all[0].0.input == takes("mine"), "{level:?}");
                assert_eq!((all[0].0.has("cross_origin"), all[0].0.example.is_some()), (flagged, flagged), "{level:?}");
            }
        }
    }

    #[test]
    fn a_price_that_is_taken_from_elsewhere_says_where_and_when_it_was_read() {
        let url = "https://quokka-shop.com/x";
        let priced = Listing { price: "3 sat".into(), as_of: "2026-05-05".into(), ..at(url, Level::Listed) };
        for (mine, theirs) in [("a", "b"), ("b", "a")] {
            let (_home, conn) = index(&[
                (mine, "2026-08-01", vec![at(url, Level::Bundled)]),
                (theirs, "2026-06-01", vec![priced.clone()]),
            ]);
            let (listing, note) = of_host(&conn, "quokka-shop.com").remove(0);
            assert_eq!((listing.level, listing.price.as_str()), (Level::Bundled, "3 sat"));
            assert_eq!((note.bundled, note.source.as_str(), note.as_of.as_str()), (false, theirs, "2026-05-05"));
        }
        let nobody = Listing { level: Level::Unverified, ..priced };
        let (_home, conn) =
            index(&[("a", "2026-08-01", vec![at(url, Level::Bundled)]), ("b", "2026-06-01", vec![nobody])]);
        assert_eq!(of_host(&conn, "quokka-shop.com")[0].0.price, "", "nobody vouches for it");
    }

    #[test]
    fn a_bare_domain_of_a_known_seller_is_its_www_before_listings_are_joined() {
        let bare = at("https://quokka-shop.com/x/{id}", Level::Listed);
        let (_home, conn) = index(&[
            ("a", "2026-08-01", vec![bare]),
            ("b", "2026-08-01", vec![at("https://www.quokka-shop.com/x/:id", Level::Curated)]),
        ]);
        assert!(of_host(&conn, "quokka-shop.com").is_empty());
        let all = of_host(&conn, "www.quokka-shop.com");
        assert_eq!((all.len(), all[0].0.level), (1, Level::Curated), "{all:?}");
    }

    fn ready() -> Vec<u8> {
        let mut bytes = Vec::new();
        GzDecoder::new(READY).read_to_end(&mut bytes).unwrap();
        bytes
    }

    fn entries(conn: &Connection) -> i64 {
        conn.query_row("SELECT count(*) FROM listing", [], |r| r.get(0)).unwrap()
    }

    #[test]
    fn a_new_home_gets_the_index_that_was_made_ahead_whatever_an_old_one_left_and_whoever_comes_at_once() {
        let home = tempfile::tempdir().unwrap();
        let path = volume::folder(home.path()).join("index.db");
        for round in 0..2 {
            std::thread::scope(|scope| {
                let all: Vec<_> = (0..8).map(|_| scope.spawn(|| entries(&open(home.path()).unwrap()))).collect();
                assert!(all.into_iter().all(|one| one.join().unwrap() > 3_000));
            });
            assert!(std::fs::read(&path).unwrap() == ready(), "round {round}: it was made anew");
            let left: Vec<_> = std::fs::read_dir(volume::folder(home.path())).unwrap().collect();
            assert_eq!(left.len(), 1, "{left:?}");
            // A hot journal of an index that was deleted: one page, the second, which was all zeros (sqlite.org/fileformat.html,
            // section 3).
            std::fs::remove_file(&path).unwrap();
            let mut journal = vec![0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7];
            for number in [1u32, 0, 436, 512, 4096] {
                journal.extend(number.to_be_bytes());
            }
            journal.resize(512, 0);
            journal.extend(2u32.to_be_bytes());
            journal.resize(512 + 4 + 4096 + 4, 0);
            std::fs::write(path.with_extension("db-journal"), journal).unwrap();
        }
    }

    #[test]
    fn what_was_fetched_is_in_the_first_index_of_a_home_too() {
        let (_home, conn) = index(&[("a", "2026-08-01", vec![at("https://quokka-shop.com/x", Level::Listed)])]);
        assert_eq!(of_host(&conn, "quokka-shop.com").len(), 1);
        assert!(entries(&conn) > 3_000);
    }
}
