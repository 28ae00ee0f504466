//! The file: who may read it, what is refused, and that SQLite keeps what it promised.
#![cfg(unix)]

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    time::{Duration, Instant},
};

use bursar::ledger::{Ledger, file};

use super::book::*;

fn refusal(home: &Path) -> String {
    match Ledger::open(home, limits(1, 1, 1), bursar::clock::Clock::manual(NOON_ISH)) {
        Ok(_) => panic!("it was opened"),
        Err(e) => e.to_string(),
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn the_home_and_every_file_in_it_are_for_the_owner_alone() {
    let temp = tempfile::tempdir().unwrap();
    let home = temp.path().join("a/b");
    let book = Book { ledger: open(&home, &limits(9, 9, 9), &Default::default()), ..Book::new(limits(9, 9, 9)) };
    book.bought(&Wish::of(sat(1))).await;
    assert_eq!(mode(&home), 0o700);
    for entry in fs::read_dir(&home).unwrap() {
        let entry = entry.unwrap();
        let want = if entry.file_type().unwrap().is_dir() { 0o700 } else { 0o600 };
        assert_eq!(mode(&entry.path()), want, "{}", entry.path().display());
    }
    assert!(home.join("ledger.db-wal").exists());
}

#[test]
fn a_home_and_a_file_that_were_left_open_are_closed() {
    let book = Book::new(limits(1, 1, 1));
    let path = file(book.home.path());
    fs::set_permissions(book.home.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let book = book.reopen();
    assert_eq!((mode(book.home.path()), mode(&path)), (0o700, 0o600));
}

#[test]
fn a_ledger_that_is_a_link_is_refused_and_what_it_points_to_is_not_touched() {
    let home = tempfile::tempdir().unwrap();
    let other = home.path().join("other");
    fs::write(&other, "not yours").unwrap();
    symlink(&other, file(home.path())).unwrap();
    assert!(refusal(home.path()).contains("is a link"));
    assert_eq!(fs::read_to_string(other).unwrap(), "not yours");
    let dangling = tempfile::tempdir().unwrap();
    symlink(dangling.path().join("nowhere"), file(dangling.path())).unwrap();
    assert!(refusal(dangling.path()).contains("is a link"));
}

#[test]
fn a_home_that_is_reached_through_a_link_works() {
    // Many systems link /tmp, /var or the home folders elsewhere.
    let temp = tempfile::tempdir().unwrap();
    fs::create_dir(temp.path().join("real")).unwrap();
    symlink(temp.path().join("real"), temp.path().join("link")).unwrap();
    open(&temp.path().join("link/home"), &limits(1, 1, 1), &Default::default());
    assert!(temp.path().join("real/home/ledger.db").exists());
}

#[test]
fn a_ledger_of_a_newer_version_is_refused() {
    let book = Book::new(limits(1, 1, 1));
    book.raw().execute_batch("PRAGMA user_version = 4").unwrap();
    let Book { home, ledger, .. } = book;
    drop(ledger);
    assert!(refusal(home.path()).contains("newer Bursar"));
}

#[test]
fn a_file_that_is_not_a_ledger_is_refused_at_once_and_left_as_it_is() {
    let home = tempfile::tempdir().unwrap();
    let path = file(home.path());
    fs::write(&path, "this is a diary, not a database, and long enough to have a header of a hundred bytes ......")
        .unwrap();
    let before = fs::read(&path).unwrap();
    let start = Instant::now();
    refusal(home.path());
    assert!(start.elapsed() < Duration::from_secs(1), "there is nothing to wait for");
    assert_eq!(fs::read(&path).unwrap(), before);
    let home = tempfile::tempdir().unwrap();
    let path = file(home.path());
    rusqlite::Connection::open(&path).unwrap().execute_batch("CREATE TABLE mine(a)").unwrap();
    let before = fs::read(&path).unwrap();
    assert!(refusal(home.path()).contains("not a Bursar ledger"));
    assert!(fs::read(&path).unwrap() == before, "somebody else's database was changed");
}

#[test]
fn a_file_on_which_sqlite_cannot_keep_a_write_ahead_log_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let path = file(home.path());
    let book = rusqlite::Connection::open(&path).unwrap();
    // A reader of the rollback journal keeps the file from becoming WAL, as a network drive would.
    book.execute_batch("PRAGMA application_id = 0x42555253; CREATE TABLE t(a); BEGIN; SELECT * FROM t").unwrap();
    let no = refusal(home.path());
    assert!(no.contains("locked") || no.contains("journal_mode"), "{no}");
    assert_eq!(book.query_row("PRAGMA journal_mode", [], |r| r.get::<_, String>(0)).unwrap(), "delete");
}

#[test]
fn a_damaged_page_is_an_error_and_not_an_empty_ledger() {
    let book = Book::new(limits(1, 1, 1));
    book.raw().execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    let Book { home, ledger, .. } = book;
    drop(ledger);
    let path = file(home.path());
    let mut bytes = fs::read(&path).unwrap();
    bytes[100..4096].fill(0xff);
    fs::write(&path, bytes).unwrap();
    refusal(home.path());
}

#[tokio::test]
async fn a_committed_purchase_can_be_read_from_another_connection_at_once() {
    let book = Book::new(limits(9, 9, 9));
    let id = book.bought(&Wish::of(sat(1))).await;
    let other = open(book.home.path(), &book.limits, &book.clock);
    let intent = other.intent(id).await.unwrap().unwrap();
    assert_eq!(intent.wire, b"a signed event");
    assert!(!other.claim(id).await.unwrap(), "and it belongs to the handle that began it");
    drop(book.ledger);
    assert!(other.claim(id).await.unwrap(), "until that one is gone");
}
