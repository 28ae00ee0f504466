//! `bursar audit` and `bursar session`, as a person runs them.

#[path = "ledger/book.rs"]
mod book;

use std::{
    path::Path,
    process::{Command, Output},
};

use bursar::{
    clock::Clock,
    ledger::{Refused, Reused, file},
    report::{About, Report, Sessions, Since, clock, date, iso},
};
use serde_json::Value;

use book::*;

fn bursar(home: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_bursar")).args(args).env_clear().env("BURSAR_HOME", home).output().unwrap()
}

fn text(home: &Path, args: &[&str]) -> String {
    let out = bursar(home, args);
    assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

fn json(home: &Path, args: &[&str]) -> Value {
    serde_json::from_str(&text(home, args)).unwrap()
}

fn states(report: &Value) -> Vec<&str> {
    report["rows"].as_array().unwrap().iter().map(|r| r["state"].as_str().unwrap()).collect()
}

async fn refuse(book: &Book, say: &str, purpose: &str) {
    let no = Refused {
        principal: "local".into(),
        session_key: String::new(),
        host: "dear.example".into(),
        path: "GET /gold".into(),
        code: "too_dear".into(),
        say: say.into(),
        price: Some(sat(900)),
        purpose: purpose.into(),
    };
    book.ledger.refuse(no).await.unwrap();
}

/// Yesterday a session with one purchase; today one with a purchase, a re-use, a refusal and an unknown outcome.
async fn filled() -> (Book, u64) {
    let now = Clock::system().now_ms();
    let clock = Clock::manual(now - 26 * 3_600_000);
    let book = Book { clock, ..Book::new(limits(100, 1000, 1000)) }.reopen();
    book.complete(&Wish { purpose: "yesterday's news".into(), ..Wish::of(sat(7)) }).await;
    book.clock.advance_ms(26 * 3_600_000 - 60_000);
    let id = book.complete(&Wish { purpose: "=HYPERLINK(\"x\")".into(), ..Wish::of(sat(10)).fee(sat(2)) }).await;
    book.clock.advance_ms(1000);
    let used = Reused {
        principal: "local".into(),
        session_key: String::new(),
        host: "api.example".into(),
        path: "GET /v1/data".into(),
        credential: 1,
        purchase: id.to_string(),
        bare_path: "/v1/data".into(),
        status: 200,
        purpose: "once more".into(),
    };
    book.ledger.reused(used).await.unwrap();
    book.clock.advance_ms(1000);
    refuse(&book, "900 sat is above the limit for one purchase (100 sat)", "gold").await;
    book.clock.advance_ms(1000);
    let slow = Wish { purpose: "the weather".into(), ..Wish::of(sat(30)).fee(sat(3)).at("slow.example") };
    let open = book.bought(&slow).await;
    book.ledger.unknown(open, "the wallet did not answer").await.unwrap();
    (book, now)
}

#[tokio::test]
async fn the_table_shows_each_row_its_reason_the_sums_and_what_is_left_within_the_terminal() {
    let (book, _) = filled().await;
    let table = text(book.home.path(), &["audit", "--table"]);
    for part in [
        "Session s_",
        "still running",
        "(UTC)",
        "api.example",
        "10 sat",
        "delivered",
        "GET /v1/data by l402 lightning, for \"=HYPERLINK(\"x\")\"",
        "token",
        "dear.example",
        "refused",
        "why: 900 sat is above the limit for one purchase (100 sat)",
        "slow.example",
        "unknown",
        "why: the wallet did not answer; 33 sat are held for it",
        "11 sat",
        "2 purchases, 1 refused, 1 token re-use free of charge",
        "purchase",
        "session",
        "20000 sat",
    ] {
        assert!(table.contains(part), "{part:?} is not in\n{table}");
    }
    assert!(!table.contains("yesterday's news"), "another session\n{table}");
    for line in table.lines() {
        assert!(line.chars().count() <= 80, "{} columns: {line}", line.chars().count());
    }
}

#[tokio::test]
async fn json_is_what_a_program_gets_and_it_fits_its_schema() {
    let (book, _) = filled().await;
    let report = json(book.home.path(), &["audit"]);
    assert_eq!(states(&report), ["delivered", "token", "refused", "unknown"]);
    assert_eq!(report["rows"][0]["paid"], "10 sat");
    assert_eq!(report["rows"][0]["fee"], "1 sat");
    assert_eq!(report["totals"]["money"][0]["spent"], "11 sat");
    assert_eq!(report["totals"]["money"][0]["held"], "33 sat");
    assert_eq!(report["totals"]["refused"], 1);
    assert_eq!(report["totals"]["reused"], 1);
    assert_eq!(report["head"], book.ledger.head().await.unwrap().hash);
    let schema = serde_json::to_value(schemars::schema_for!(Report)).unwrap();
    assert!(jsonschema::is_valid(&schema, &report), "{:?}", jsonschema::validate(&schema, &report));
    assert_eq!(json(book.home.path(), &["audit", "--json"])["rows"], report["rows"]);
}

#[tokio::test]
async fn filters_choose_rows() {
    let (book, now) = filled().await;
    let home = book.home.path();
    assert_eq!(states(&json(home, &["audit", "--all"])).len(), 5);
    assert_eq!(states(&json(home, &["audit", "--since", "2h"])).len(), 4);
    assert_eq!(states(&json(home, &["audit", "--since", "7d"])).len(), 5);
    assert_eq!(states(&json(home, &["audit", "--since", &date(now as i64 - 3 * 86_400_000)])).len(), 5);
    assert_eq!(states(&json(home, &["audit", "--since", &iso(now as i64 + 1000)])).len(), 0);
    assert_eq!(states(&json(home, &["audit", "--host", "DEAR.example"])), ["refused"]);
    assert_eq!(states(&json(home, &["audit", "--all", "--limit", "2"])), ["refused", "unknown"]);
    let sessions = json(home, &["session", "--json"]);
    let first = sessions["sessions"][1]["id"].as_str().unwrap();
    let one = json(home, &["audit", "--session", first]);
    assert_eq!(one["rows"][0]["purpose"], "yesterday's news");
    assert_eq!(states(&one).len(), 1);
    let out = bursar(home, &["audit", "--session", "s_nobody"]);
    assert_eq!(out.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&out.stderr).contains("bursar session"));
    assert!(!bursar(home, &["audit", "--since", "tomorrow"]).status.success());
}

#[tokio::test]
async fn csv_has_a_header_iso_times_units_and_no_cell_that_a_spreadsheet_runs() {
    let (book, _) = filled().await;
    book.clock.advance_ms(1000);
    for purpose in ["+1", "-1", "@SUM(A1)", "fine"] {
        refuse(&book, "no", purpose).await;
    }
    let out = text(book.home.path(), &["audit", "--csv"]);
    let mut reader = csv::Reader::from_reader(out.as_bytes());
    let header = reader.headers().unwrap().clone();
    assert_eq!(header.iter().take(3).collect::<Vec<_>>(), ["time", "session", "principal"]);
    let rows: Vec<_> = reader.records().map(Result::unwrap).collect();
    assert_eq!(rows.len(), 8);
    assert!(rows[0][0].ends_with('Z') && rows[0][0].len() == 24, "{}", &rows[0][0]);
    assert_eq!(&rows[0][6], "10 sat");
    let purposes: Vec<_> = rows.iter().map(|r| r[13].to_owned()).collect();
    assert_eq!(purposes[0], "'=HYPERLINK(\"x\")");
    assert_eq!(purposes[4..], ["'+1", "'-1", "'@SUM(A1)", "fine"]);
    for cell in rows.iter().flatten() {
        assert!(!cell.starts_with(['=', '+', '-', '@', '\t', '\r']), "{cell:?}");
    }
}

#[tokio::test]
async fn a_row_that_was_edited_in_the_database_cannot_drive_the_terminal() {
    let (book, _) = filled().await;
    let conn = book.raw();
    conn.execute_batch("DROP TRIGGER purchase_pinned").unwrap();
    conn.execute("UPDATE purchase SET purpose = ?1, note = ?1, host = ?1", ["\u{1b}[2Jno\u{202e}\r\nthing\u{7}"])
        .unwrap();
    for args in [&["audit", "--table", "--all"][..], &["audit", "--csv", "--all"], &["audit", "--all"]] {
        let out = text(book.home.path(), args);
        assert!(out.contains("no thing"), "{out}");
        assert!(!out.contains(['\u{1b}', '\u{202e}', '\u{7}', '\r']), "{out:?}");
    }
    let out = bursar(book.home.path(), &["audit", "verify"]);
    assert_eq!(out.status.code(), Some(2));
}

#[tokio::test]
async fn verify_says_that_all_is_well_or_names_the_row_and_ends_with_2() {
    let (book, _) = filled().await;
    let home = book.home.path();
    let head = book.ledger.head().await.unwrap();
    let verified = json(home, &["audit", "verify", "--json"]);
    assert_eq!((&verified["lines"], &verified["head"]), (&head.lines.into(), &head.hash.clone().into()));
    assert_eq!(verified["findings"], Value::Array(Vec::new()));
    assert!(bursar(home, &["audit", "verify", "--head", &head.hash]).status.success());
    let out = bursar(home, &["audit", "verify", "--head", &"0".repeat(64)]);
    assert_eq!(out.status.code(), Some(2));
    book.raw().execute_batch("DROP TRIGGER intent_pinned; UPDATE intent SET amount = 1 WHERE amount = 7000").unwrap();
    let out = bursar(home, &["audit", "verify", "--json"]);
    assert_eq!(out.status.code(), Some(2));
    let verified: Value = serde_json::from_slice(&out.stdout).unwrap();
    let rows: Vec<_> = verified["findings"].as_array().unwrap().iter().map(|f| f["row"].as_str().unwrap()).collect();
    assert!(rows.iter().any(|r| r.starts_with("intent/p_")), "{rows:?}");
    assert!(rows.contains(&"schema/intent_pinned"), "{rows:?}");
}

#[test]
fn where_nothing_was_ever_spent_that_is_said_and_nothing_is_made() {
    let temp = tempfile::tempdir().unwrap();
    let home = temp.path().join("home");
    assert!(text(&home, &["audit", "--table"]).starts_with("Nothing was ever spent"));
    assert_eq!(json(&home, &["audit"])["rows"], Value::Array(Vec::new()));
    assert_eq!(text(&home, &["audit", "--csv"]).lines().count(), 1);
    assert_eq!(json(&home, &["audit", "verify"])["lines"], 0);
    assert_eq!(json(&home, &["session"])["sessions"], Value::Array(Vec::new()));
    assert_eq!(json(&home, &["session", "end"])["ended"], Value::Array(Vec::new()));
    assert!(!home.exists());
}

#[tokio::test]
async fn sessions_are_listed_with_what_they_spent_and_can_be_ended() {
    let (book, _) = filled().await;
    let home = book.home.path();
    book.bought(&Wish { session_key: "other".into(), ..Wish::of(sat(1)) }).await;
    let listed = json(home, &["session"]);
    let listed = listed["sessions"].as_array().unwrap();
    assert_eq!(listed.len(), 3);
    let here = listed.iter().find(|s| s["key"] == "" && s.get("ended").is_none()).unwrap();
    assert_eq!(here["money"][0]["spent"], "11 sat");
    let ended = json(home, &["session", "end"]);
    assert_eq!(ended["ended"], serde_json::json!([here["id"]]));
    assert_eq!(json(home, &["session", "end"])["ended"], Value::Array(Vec::new()));
    let out = bursar(home, &["session", "end", here["id"].as_str().unwrap()]);
    assert!(String::from_utf8_lossy(&out.stderr).contains("over already"));
    assert_eq!(json(home, &["session", "end", "--all"])["ended"].as_array().unwrap().len(), 1);
    assert!(file(home).exists());
    book.is_sound().await;
}

#[tokio::test]
async fn a_principal_sees_its_own_rows_and_the_operator_sees_all() {
    let (book, now) = filled().await;
    book.bought(&Wish::of(sat(3)).by("alice")).await;
    let about = About { principal: "alice".into(), sessions: Sessions::All, ..About::default() };
    assert_eq!(Report::read(&book.ledger, &about, now).await.unwrap().rows.len(), 1);
    let about = About { everyone: true, ..about };
    assert_eq!(Report::read(&book.ledger, &about, now).await.unwrap().rows.len(), 6);
}

#[test]
fn times_are_written_and_read_as_the_calendar_has_them() {
    assert_eq!(iso(0), "1970-01-01T00:00:00.000Z");
    assert_eq!(iso(NOON_ISH as i64 + 1), "2026-11-21T10:00:00.001Z");
    assert_eq!((date(951_782_400_000), clock(951_782_399_999)), ("2000-02-29".into(), "23:59:59".into()));
    assert_eq!(iso(-1), "1969-12-31T23:59:59.999Z");
    for ms in [0, 951_782_400_000, NOON_ISH as i64 + 1, 4_107_542_400_000] {
        assert_eq!(iso(ms).parse(), Ok(Since::At(ms)));
    }
    assert_eq!("2026-11-21".parse(), Ok(Since::At(NOON_ISH as i64 - 36_000_000)));
    assert_eq!("2026-11-21T10:00Z".parse(), Ok(Since::At(NOON_ISH as i64)));
    assert_eq!("90m".parse(), Ok(Since::Ago(5_400_000)));
    for bad in [
        "",
        "h",
        "-1h",
        "+1h",
        "1.5h",
        "2 h",
        "1y",
        "2026-02-29",
        "2026-13-01",
        "2026-1-1",
        "2026-11-21T10:00:00",
        "2026-11-21T24:00:00Z",
        "2026-11-21T10:00:00+01:00",
        "9999999999d",
        "é",
        "2026-11-21T10:00:00.1234Z",
    ] {
        assert!(bad.parse::<Since>().is_err(), "{bad:?} was accepted");
    }
}
