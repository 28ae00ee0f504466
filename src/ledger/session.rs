//! Sessions: from the first call that touches money until thirty idle minutes or `bursar session end`.

use rusqlite::{Connection, OptionalExtension, params};

use super::LedgerError;

/// A session without a call for this long is over.
const IDLE_MS: i64 = 30 * 60 * 1000;

/// One session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// `s_` and 16 characters.
    pub id: String,
    /// Who it belongs to.
    pub principal: String,
    /// The key it was found by, or empty.
    pub key: String,
    /// When it began, unix milliseconds.
    pub started_ms: i64,
    /// When it was last used.
    pub last_ms: i64,
    /// When it ended, if it did.
    pub ended_ms: Option<i64>,
}

impl Session {
    /// Whether it still runs: nobody ended it, and it was not idle for too long.
    pub fn runs_at(&self, now_ms: u64) -> bool {
        self.ended_ms.is_none() && (now_ms as i64).saturating_sub(self.last_ms) < IDLE_MS
    }
}

const COLUMNS: &str = "session_id, principal, key, started_ms, last_ms, ended_ms";

fn from_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<Session> {
    Ok(Session {
        id: row.get(0)?,
        principal: row.get(1)?,
        key: row.get(2)?,
        started_ms: row.get(3)?,
        last_ms: row.get(4)?,
        ended_ms: row.get(5)?,
    })
}

/// The running session of a principal and key, if there is one. Changes nothing.
pub(super) fn running(
    conn: &Connection,
    principal: &str,
    key: &str,
    now_ms: u64,
) -> Result<Option<Session>, LedgerError> {
    let sql = format!("SELECT {COLUMNS} FROM session WHERE principal = ? AND key = ? AND ended_ms IS NULL");
    let found = conn.prepare_cached(&sql)?.query_row(params![principal, key], from_row).optional()?;
    Ok(found.filter(|s| s.runs_at(now_ms)))
}

/// The running session, begun now if there is none, and marked as used now.
pub(super) fn touch(conn: &Connection, principal: &str, key: &str, now_ms: u64) -> Result<String, LedgerError> {
    let now = now_ms as i64;
    if let Some(session) = running(conn, principal, key, now_ms)? {
        conn.prepare_cached("UPDATE session SET last_ms = max(last_ms, ?) WHERE session_id = ?")?
            .execute(params![now, session.id])?;
        return Ok(session.id);
    }
    conn.execute(
        "UPDATE session SET ended_ms = last_ms WHERE principal = ? AND key = ? AND ended_ms IS NULL",
        params![principal, key],
    )?;
    let id = format!("s_{}", data_encoding::BASE32_NOPAD.encode(&crate::random::<10>()).to_ascii_lowercase());
    conn.execute(
        "INSERT INTO session(session_id, principal, key, started_ms, last_ms) VALUES(?,?,?,?,?)",
        params![id, principal, key, now, now],
    )?;
    Ok(id)
}

/// Ends the running sessions of a principal (of one key, or all). Returns their ids.
pub(super) fn end(
    conn: &Connection,
    principal: &str,
    key: Option<&str>,
    now_ms: u64,
) -> Result<Vec<String>, LedgerError> {
    // One that was idle for too long is over already, since it was last used.
    conn.execute(
        "UPDATE session SET ended_ms = last_ms WHERE principal = ?1 AND ended_ms IS NULL AND last_ms <= ?2
           AND (?3 IS NULL OR key = ?3)",
        params![principal, now_ms as i64 - IDLE_MS, key],
    )?;
    let sql = "UPDATE session SET ended_ms = ? WHERE principal = ? AND ended_ms IS NULL AND (?3 IS NULL OR key = ?3)
               RETURNING session_id";
    let mut statement = conn.prepare(sql)?;
    let ended = statement.query_map(params![now_ms as i64, principal, key], |r| r.get(0))?.collect::<Result<_, _>>()?;
    Ok(ended)
}

/// One session.
pub(super) fn with_id(conn: &Connection, id: &str) -> Result<Option<Session>, LedgerError> {
    let sql = format!("SELECT {COLUMNS} FROM session WHERE session_id = ?");
    Ok(conn.prepare_cached(&sql)?.query_row([id], from_row).optional()?)
}

/// The sessions of a principal, newest first.
pub(super) fn list(conn: &Connection, principal: &str, limit: u32) -> Result<Vec<Session>, LedgerError> {
    let sql = format!("SELECT {COLUMNS} FROM session WHERE principal = ? ORDER BY started_ms DESC LIMIT ?");
    let mut statement = conn.prepare_cached(&sql)?;
    let rows = statement.query_map(params![principal, limit], from_row)?;
    Ok(rows.collect::<Result<_, _>>()?)
}
