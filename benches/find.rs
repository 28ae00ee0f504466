//! What finding costs beside the work that cannot be avoided: `cargo bench --bench find`. Medians of one run, each beside a
//! floor of the same kind, since only the ratio means something elsewhere. It fails where a ratio or the size of the index
//! is beyond reason, which is what a busy machine cannot cause alone. The first search is to take less than 50 ms.

use std::time::{Duration, Instant};

use bursar::catalog::index::{
    Evidence, Index, Query,
    volume::{self, Header, SourceNote, Volume},
};

const FIRST: usize = 15;
const LATER: usize = 200;

fn median(times: usize, mut work: impl FnMut()) -> Duration {
    let mut took: Vec<Duration> = (0..times)
        .map(|_| {
            let begun = Instant::now();
            work();
            begun.elapsed()
        })
        .collect();
    took.sort();
    took[times / 2]
}

fn search(index: &Index, query: &str) -> usize {
    let reach = |_: &bursar::catalog::index::Listing| Ok(());
    let evidence = Evidence::default();
    let query = Query {
        query,
        task: "",
        max_price: None,
        payable_only: false,
        free_ok: true,
        limit: 5,
        reach: &reach,
        any_wallet: true,
        evidence: &evidence,
    };
    index.search(&query).expect("a search").found.len()
}

/// Prints a line, and fails where it takes more than `most` times its floor.
fn row(what: &str, took: Duration, floor: Duration, most: f64) {
    let ratio = took.as_secs_f64() / floor.as_secs_f64();
    println!("{what:<52} {:>9.2} ms  {ratio:>6.1} x", took.as_secs_f64() * 1e3);
    assert!(ratio <= most, "{what} takes more than {most} times its floor");
}

/// The index is to be smaller.
const INDEX: u64 = 10 << 20;

fn main() {
    let unpack = median(FIRST, || {
        assert!(Volume::bundled().expect("the bundle").listings.len() > 3_000);
    });
    row("floor: unpack and read the bundled catalogue", unpack, unpack, 1.0);
    let first = median(FIRST, || {
        let home = tempfile::tempdir().expect("a home");
        assert!(search(&Index::open(home.path()).expect("an index"), "podcast search") > 0);
    });
    row("first search after install (unpacks the index)", first, unpack, 4.0);
    let fetched = Volume {
        header: Header { name: "fetched".into(), sources: vec![SourceNote::default()], ..Header::default() },
        listings: Vec::new(),
    };
    let anew = median(FIRST, || {
        let home = tempfile::tempdir().expect("a home");
        volume::keep(home.path(), "fetched", &fetched).expect("a snapshot");
        assert!(search(&Index::open(home.path()).expect("an index"), "podcast search") > 0);
    });
    row("first search after a refresh (makes the index)", anew, unpack, 40.0);
    let home = tempfile::tempdir().expect("a home");
    drop(Index::open(home.path()).expect("an index"));
    let open = median(LATER, || drop(Index::open(home.path()).expect("an index")));
    row("floor: open the index", open, open, 1.0);
    for query in ["podcast search", "send fax", "text sentiment and emotion analysis", "weather forecast api data"] {
        let later = median(LATER, || {
            assert!(search(&Index::open(home.path()).expect("an index"), query) > 0);
        });
        row(&format!("open and search: {query}"), later, open, 100.0);
    }
    let size = std::fs::metadata(home.path().join("catalog/index.db")).map_or(0, |m| m.len());
    println!("index on disk: {} KiB", size / 1024);
    assert!((1..INDEX).contains(&size), "the index has {size} bytes");
}
