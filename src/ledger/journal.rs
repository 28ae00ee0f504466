//! The append-only journal: what happened, chained by hashes that cover the full rows each step leaves behind.

use std::collections::BTreeMap;

use data_encoding::HEXLOWER;
use rusqlite::{Connection, OptionalExtension, Row, params, types::ValueRef};
use serde_json::Value;

use super::LedgerError;

/// One line to be written.
pub(super) struct Line<'a> {
    pub(super) purchase: Option<&'a str>,
    pub(super) session: Option<&'a str>,
    pub(super) principal: &'a str,
    pub(super) kind: &'a str,
    pub(super) currency: &'a str,
    pub(super) amount: i64,
    pub(super) note: Value,
}

/// Where the journal ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// How many lines it has.
    pub lines: u64,
    /// The last line's hash; empty when there is none.
    pub hash: String,
}

/// Reads where the journal ends.
pub(super) fn head(conn: &Connection) -> Result<Head, LedgerError> {
    let last: Option<(i64, String)> = conn
        .query_row("SELECT seq, hash FROM journal ORDER BY seq DESC LIMIT 1", [], |r| Ok((r.get(0)?, r.get(1)?)))
        .optional()?;
    let (lines, hash) = last.unwrap_or_default();
    Ok(Head { lines: lines.max(0) as u64, hash })
}

/// Whether a line of that hash stands in the journal.
pub(super) fn knows(conn: &Connection, hash: &str) -> Result<bool, LedgerError> {
    Ok(conn.query_row("SELECT EXISTS(SELECT 1 FROM journal WHERE hash = ?)", [hash], |r| r.get(0))?)
}

/// Appends a line that leaves behind the rows of `line.purchase` (purchase, intents, holds, and the budgets and windows
/// they hold on) and of `budgets`, each with one of its windows.
pub(super) fn append(
    conn: &Connection,
    now_ms: u64,
    line: &Line<'_>,
    budgets: &[(i64, i64)],
) -> Result<(), LedgerError> {
    let mut rows = BTreeMap::new();
    if let Some(id) = line.purchase {
        purchase_rows(conn, id, &mut rows)?;
    }
    for (budget, win) in budgets {
        budget_rows(conn, *budget, *win, &mut rows)?;
    }
    let rows = serde_json::to_string(&rows).map_err(|e| LedgerError::Broken(e.to_string()))?;
    let note = line.note.to_string();
    let prev: String =
        conn.query_row("SELECT ifnull((SELECT hash FROM journal ORDER BY seq DESC LIMIT 1), '')", [], |r| r.get(0))?;
    let now = now_ms as i64;
    let hash = link(
        &prev,
        line.purchase,
        line.session,
        line.principal,
        line.kind,
        line.currency,
        line.amount,
        now,
        &note,
        &rows,
    );
    conn.prepare_cached(
        "INSERT INTO journal(purchase_id, session_id, principal, kind, currency, amount, at_ms, note, rows, prev, hash)
         VALUES(?,?,?,?,?,?,?,?,?,?,?)",
    )?
    .execute(params![
        line.purchase,
        line.session,
        line.principal,
        line.kind,
        line.currency,
        line.amount,
        now,
        note,
        rows,
        prev,
        hash
    ])?;
    Ok(())
}

/// The hash of one line: SHA-256 over a JSON array of everything in it, so that no two lines can be confused.
#[allow(clippy::too_many_arguments)]
pub(super) fn link(
    prev: &str,
    purchase: Option<&str>,
    session: Option<&str>,
    principal: &str,
    kind: &str,
    currency: &str,
    amount: i64,
    at_ms: i64,
    note: &str,
    rows: &str,
) -> String {
    let whole = serde_json::json!([prev, purchase, session, principal, kind, currency, amount, at_ms, note, rows]);
    HEXLOWER.encode(&crate::sha256(whole.to_string().as_bytes()))
}

/// The SHA-256 of a full row: a JSON array of its columns in the table's order, blobs as hex.
pub(super) fn digest(row: &Row<'_>) -> rusqlite::Result<String> {
    let count = row.as_ref().column_count();
    let mut columns = Vec::with_capacity(count);
    for i in 0..count {
        columns.push(match row.get_ref(i)? {
            ValueRef::Null => Value::Null,
            ValueRef::Integer(i) => i.into(),
            ValueRef::Real(f) => f.to_string().into(),
            ValueRef::Text(t) => String::from_utf8_lossy(t).into_owned().into(),
            ValueRef::Blob(b) => format!("x{}", HEXLOWER.encode(b)).into(),
        });
    }
    Ok(HEXLOWER.encode(&crate::sha256(Value::Array(columns).to_string().as_bytes())))
}

type Digests = BTreeMap<String, String>;

fn one(
    conn: &Connection,
    sql: &str,
    key: impl rusqlite::Params,
    name: String,
    out: &mut Digests,
) -> rusqlite::Result<()> {
    let mut statement = conn.prepare_cached(sql)?;
    let mut rows = statement.query(key)?;
    if let Some(row) = rows.next()? {
        out.insert(name, digest(row)?);
    }
    Ok(())
}

fn purchase_rows(conn: &Connection, id: &str, out: &mut Digests) -> Result<(), LedgerError> {
    one(conn, "SELECT * FROM purchase WHERE purchase_id = ?", [id], format!("purchase/{id}"), out)?;
    let mut statement = conn.prepare_cached("SELECT n FROM intent WHERE purchase_id = ?")?;
    let intents: Vec<i64> = statement.query_map([id], |r| r.get(0))?.collect::<Result<_, _>>()?;
    for n in intents {
        let name = format!("intent/{id}/{n}");
        one(conn, "SELECT * FROM intent WHERE purchase_id = ? AND n = ?", params![id, n], name, out)?;
    }
    let mut statement = conn.prepare_cached("SELECT n, budget_id, win FROM hold WHERE purchase_id = ?")?;
    let holds = statement.query_map([id], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)))?;
    let holds: Vec<(i64, i64, i64)> = holds.collect::<Result<_, _>>()?;
    for (n, budget, win) in holds {
        let name = format!("hold/{id}/{n}/{budget}");
        let sql = "SELECT * FROM hold WHERE purchase_id = ? AND n = ? AND budget_id = ?";
        one(conn, sql, params![id, n, budget], name, out)?;
        budget_rows(conn, budget, win, out)?;
    }
    credit_rows(conn, id, out)
}

/// What came back of a deposit, and the windows that it gave room to: a top-up's may be others than its own.
fn credit_rows(conn: &Connection, id: &str, out: &mut Digests) -> Result<(), LedgerError> {
    let mut statement = conn.prepare_cached("SELECT credit_id FROM credit WHERE purchase_id = ?")?;
    let credits: Vec<i64> = statement.query_map([id], |r| r.get(0))?.collect::<Result<_, _>>()?;
    for credit in credits {
        one(conn, "SELECT * FROM credit WHERE credit_id = ?", [credit], format!("credit/{credit}"), out)?;
        let mut statement = conn.prepare_cached("SELECT budget_id, win FROM credit_room WHERE credit_id = ?")?;
        let rooms = statement.query_map([credit], |r| Ok((r.get(0)?, r.get(1)?)))?;
        let rooms: Vec<(i64, i64)> = rooms.collect::<Result<_, _>>()?;
        for (budget, win) in rooms {
            let sql = "SELECT * FROM credit_room WHERE credit_id = ? AND budget_id = ? AND win = ?";
            one(conn, sql, params![credit, budget, win], format!("credit_room/{credit}/{budget}/{win}"), out)?;
            budget_rows(conn, budget, win, out)?;
        }
    }
    Ok(())
}

fn budget_rows(conn: &Connection, budget: i64, win: i64, out: &mut Digests) -> Result<(), LedgerError> {
    one(conn, "SELECT * FROM budget WHERE budget_id = ?", [budget], format!("budget/{budget}"), out)?;
    let name = format!("budget_window/{budget}/{win}");
    let sql = "SELECT * FROM budget_window WHERE budget_id = ? AND win = ?";
    one(conn, sql, params![budget, win], name, out)?;
    Ok(())
}
