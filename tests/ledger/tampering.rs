//! Whoever edits the books behind our back is found out, and the row is named.

use bursar::ledger::{Refused, Scope, SetBy, file};

use super::book::*;

/// A ledger with something of each kind in it, and the ids of a delivered and an unknown purchase.
async fn filled() -> (Book, String, String) {
    let book = Book::new(limits(100, 1000, 1000));
    let done = book.complete(&Wish::of(sat(10)).fee(sat(2))).await;
    book.ledger
        .refuse(Refused {
            principal: "local".into(),
            session_key: String::new(),
            host: "dear.example".into(),
            path: "GET /".into(),
            code: "too_dear".into(),
            say: "too dear".into(),
            price: Some(sat(900)),
            purpose: String::new(),
        })
        .await
        .unwrap();
    let failed = book.bought(&Wish::of(sat(20))).await;
    book.ledger.failed(failed, "no route").await.unwrap();
    book.set(Scope::Session, sat(500), SetBy::Model).await;
    let open = book.bought(&Wish::of(sat(30))).await;
    book.ledger.unknown(open, "timeout").await.unwrap();
    book.is_sound().await;
    (book, done.to_string(), open.to_string())
}

/// Does something to the file that its triggers and checks would not allow, and puts them back.
fn edit(book: &Book, sql: &str) {
    let conn = book.raw();
    conn.execute_batch("PRAGMA ignore_check_constraints = ON; PRAGMA foreign_keys = OFF").unwrap();
    let mut statement = conn.prepare("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'").unwrap();
    let triggers: Vec<(String, String)> =
        statement.query_map([], |r| Ok((r.get(0)?, r.get(1)?))).unwrap().map(Result::unwrap).collect();
    drop(statement);
    for (name, _) in &triggers {
        conn.execute_batch(&format!("DROP TRIGGER {name}")).unwrap();
    }
    assert!(conn.execute(sql, []).unwrap() > 0, "{sql} changed nothing");
    for (_, sql) in &triggers {
        conn.execute_batch(sql).unwrap();
    }
}

#[tokio::test]
async fn an_untouched_ledger_has_nothing_wrong_and_every_line_is_walked() {
    let (book, ..) = filled().await;
    let verified = book.ledger.verify().await.unwrap();
    let head = book.ledger.head().await.unwrap();
    assert_eq!((verified.lines, verified.head), (head.lines, head.hash.clone()));
    assert_eq!(head.lines, 10);
    assert!(book.ledger.knows_head(&head.hash).await.unwrap());
    let book = book.reopen();
    book.is_sound().await;
}

#[tokio::test]
async fn every_edited_row_is_named() {
    for (sql, row) in [
        ("UPDATE intent SET amount = 1 WHERE purchase_id = 'DONE'", "intent/DONE/0"),
        ("UPDATE intent SET fee = 0 WHERE purchase_id = 'DONE'", "intent/DONE/0"),
        ("UPDATE intent SET proof = x'00' WHERE purchase_id = 'DONE'", "intent/DONE/0"),
        ("UPDATE intent SET payee = '02cd' WHERE purchase_id = 'OPEN'", "intent/OPEN/0"),
        ("UPDATE purchase SET host = 'other.example' WHERE purchase_id = 'DONE'", "purchase/DONE"),
        ("UPDATE purchase SET purpose = 'food' WHERE purchase_id = 'DONE'", "purchase/DONE"),
        ("UPDATE purchase SET created_ms = created_ms - 1 WHERE purchase_id = 'DONE'", "purchase/DONE"),
        ("UPDATE purchase SET state = 'failed' WHERE purchase_id = 'OPEN'", "purchase/OPEN"),
        ("UPDATE hold SET open = 0 WHERE purchase_id = 'OPEN'", "hold/OPEN/0/2"),
        ("UPDATE hold SET amount = 1 WHERE purchase_id = 'OPEN'", "hold/OPEN/0/2"),
        ("DELETE FROM hold WHERE purchase_id = 'OPEN'", "hold/OPEN/0/2"),
        ("DELETE FROM intent WHERE purchase_id = 'DONE'", "intent/DONE/0"),
        ("DELETE FROM purchase WHERE purchase_id = 'DONE'", "purchase/DONE"),
        ("UPDATE budget SET limit_atomic = 900000 WHERE budget_id = 2", "budget/2"),
        ("UPDATE budget SET ceiling_atomic = 99000000 WHERE budget_id = 3", "budget/3"),
        ("UPDATE budget SET set_by = 'human' WHERE budget_id = 2", "budget/2"),
        ("DELETE FROM budget WHERE budget_id = 1", "budget/1"),
        ("UPDATE budget_window SET spent = 0 WHERE budget_id = 2", "budget_window/2/0"),
        ("UPDATE budget_window SET limit_atomic = 900000 WHERE budget_id = 2", "budget_window/2/0"),
        ("UPDATE budget_window SET reserved = 0 WHERE budget_id = 2", "budget_window/2/0"),
        ("UPDATE budget_window SET overrun = 1 WHERE budget_id = 2", "budget_window/2/0"),
        ("INSERT INTO budget VALUES(99,'total','','','sat',1,1,'operator')", "budget/99"),
        ("INSERT INTO budget_window VALUES(2, 7, 900000, 0, 0, 0)", "budget_window/2/7"),
        ("UPDATE journal SET amount = 1 WHERE seq = 1", "journal/1"),
        ("UPDATE journal SET at_ms = at_ms + 1 WHERE seq = 3", "journal/3"),
        ("UPDATE journal SET kind = 'reuse' WHERE kind = 'refuse'", "journal/5"),
        ("UPDATE journal SET note = replace(note, 'dear.example', 'api.example') WHERE seq = 5", "journal/5"),
        ("UPDATE journal SET principal = 'alice' WHERE seq = 2", "journal/2"),
        ("UPDATE journal SET rows = '{}' WHERE seq = 4", "journal/4"),
        ("UPDATE journal SET hash = 'ff' WHERE seq = 4", "journal/4"),
        ("DELETE FROM journal WHERE seq = 1", "journal/2"),
        ("DELETE FROM journal WHERE seq = 5", "journal/6"),
        ("DELETE FROM journal WHERE seq > 9", "journal/10"),
        ("DELETE FROM journal", "journal/10"),
    ] {
        let (book, done, open) = filled().await;
        let real = |text: &str| text.replace("DONE", &done).replace("OPEN", &open);
        edit(&book, &real(sql));
        let found = book.findings().await;
        let named = format!("{}: ", real(row));
        assert!(found.iter().any(|f| f.starts_with(&named)), "{sql}: {row} is not among {found:#?}");
        // A ledger opened anew sees it too.
        let book = book.reopen();
        assert_eq!(book.findings().await, found);
    }
}

#[tokio::test]
async fn last_lines_that_were_cut_off_with_care_still_show_in_the_rows_they_left() {
    let (book, _, open) = filled().await;
    edit(&book, "DELETE FROM journal WHERE seq = 10");
    edit(&book, "UPDATE sqlite_sequence SET seq = 9 WHERE name = 'journal'");
    let found = book.findings().await;
    assert_eq!(found, [format!("purchase/{open}: it differs from what the journal left")]);
}

#[tokio::test]
async fn a_guard_of_the_schema_that_was_taken_away_is_named() {
    let (book, ..) = filled().await;
    book.raw().execute_batch("DROP TRIGGER journal_no_delete; DROP INDEX one_live").unwrap();
    let found = book.findings().await;
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found.iter().any(|f| f.starts_with("schema/journal_no_delete: ")), "{found:?}");
    assert!(found.iter().any(|f| f.starts_with("schema/one_live: ")), "{found:?}");
}

#[tokio::test]
async fn a_guard_that_was_slipped_in_or_made_lax_is_named() {
    let (book, ..) = filled().await;
    book.raw()
        .execute_batch(
            "CREATE TRIGGER helpful AFTER INSERT ON hold BEGIN UPDATE budget_window SET reserved = 0; END;
             PRAGMA writable_schema = ON;
             UPDATE sqlite_schema SET sql = replace(sql, 'CHECK(limit_atomic <= ceiling_atomic),', '')
             WHERE name = 'budget'",
        )
        .unwrap();
    let found = book.findings().await;
    for row in ["schema/helpful: ", "schema/budget: "] {
        assert!(found.iter().any(|f| f.starts_with(row)), "{row} {found:?}");
    }
}

#[tokio::test]
async fn yesterdays_copy_is_sound_in_itself_and_its_head_gives_it_away() {
    let (book, ..) = filled().await;
    let path = file(book.home.path());
    book.raw().execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    let yesterday = std::fs::read(&path).unwrap();
    let old_head = book.ledger.head().await.unwrap();
    book.complete(&Wish::of(sat(40))).await;
    let noted = book.ledger.head().await.unwrap();
    assert!(book.ledger.knows_head(&old_head.hash).await.unwrap(), "an older head still stands in a longer journal");
    let Book { home, ledger, clock, limits } = book;
    drop(ledger);
    std::fs::write(&path, yesterday).unwrap();
    for side in ["ledger.db-wal", "ledger.db-shm"] {
        let _ = std::fs::remove_file(home.path().join(side));
    }
    let book = Book { ledger: open(home.path(), &limits, &clock), home, clock, limits };
    book.is_sound().await;
    assert_eq!(book.ledger.head().await.unwrap(), old_head);
    assert!(!book.ledger.knows_head(&noted.hash).await.unwrap());
}
