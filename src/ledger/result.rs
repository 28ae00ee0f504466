//! Rows about stored answers. The bodies are files; see `purchase::results`.

use rusqlite::{Connection, OptionalExtension, params};

use super::{Ledger, LedgerError, PurchaseId, session};

/// Bodies are kept this long ...
const KEEP_MS: i64 = 7 * 24 * 3600 * 1000;
/// ... and up to this many bytes of one principal, so that what one keeps costs no other its answers.
const KEEP_BYTES: i64 = 256 * 1024 * 1024;

/// What a seller's answer left behind, to be read again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredResult {
    /// The purchase's id, or `r_` and 26 characters.
    pub result_id: String,
    /// The URL that answered, without its query.
    pub url: String,
    /// The HTTP status.
    pub status: u16,
    /// The media type, cleaned.
    pub content_type: String,
    /// The body's size in bytes, as stored.
    pub size: u64,
    /// Its SHA-256, lower-case hex.
    pub sha256: String,
    /// Whether the seller sent more than was kept.
    pub cut: bool,
    /// When it was stored, unix milliseconds.
    pub created_ms: i64,
    /// When its body was removed, if it was.
    pub gone_ms: Option<i64>,
}

pub(super) fn insert(
    conn: &Connection,
    principal: &str,
    session: &str,
    purchase: Option<PurchaseId>,
    result: &StoredResult,
) -> Result<(), LedgerError> {
    conn.execute(
        "INSERT INTO result(result_id, principal, session_id, purchase_id, url, status, content_type, size, sha256, cut,
           created_ms) VALUES(?,?,?,?,?,?,?,?,?,?,?)
         ON CONFLICT(result_id) DO UPDATE SET status = excluded.status, content_type = excluded.content_type,
           size = excluded.size, sha256 = excluded.sha256, cut = excluded.cut, created_ms = excluded.created_ms,
           gone_ms = NULL",
        params![
            result.result_id,
            principal,
            session,
            purchase.map(|p| p.to_string()),
            result.url,
            result.status,
            result.content_type,
            result.size as i64,
            result.sha256,
            result.cut,
            result.created_ms,
        ],
    )?;
    Ok(())
}

pub(super) fn find(conn: &Connection, principal: &str, id: &str) -> Result<Option<StoredResult>, LedgerError> {
    let sql = "SELECT result_id, url, status, content_type, size, sha256, cut, created_ms, gone_ms FROM result
               WHERE result_id = ? AND principal = ?";
    let found = conn
        .prepare_cached(sql)?
        .query_row(params![id, principal], |r| {
            Ok(StoredResult {
                result_id: r.get(0)?,
                url: r.get(1)?,
                status: r.get(2)?,
                content_type: r.get(3)?,
                size: r.get::<_, i64>(4)?.max(0) as u64,
                sha256: r.get(5)?,
                cut: r.get(6)?,
                created_ms: r.get(7)?,
                gone_ms: r.get(8)?,
            })
        })
        .optional()?;
    Ok(found)
}

/// Marks what is too old or too much as gone, and names it so that the files can be removed.
///
/// What was paid for and handed to nobody yet stays: without it the next equal call would have to pay again. Then comes the
/// newest, whose pages are about to be read, then what was paid for; what was free goes first.
pub(super) fn prune(conn: &Connection, now_ms: u64) -> Result<Vec<String>, LedgerError> {
    let mut statement = conn.prepare_cached(
        "WITH kept AS (
           SELECT r.result_id, r.principal, r.size, r.created_ms, CASE
             WHEN r.purchase_id IS NOT NULL AND p.answered_ms IS NULL THEN 0
             WHEN r.created_ms = max(r.created_ms) OVER (PARTITION BY r.principal) THEN 1
             WHEN r.purchase_id IS NOT NULL THEN 2
             ELSE 3 END AS rank
           FROM result r LEFT JOIN purchase p ON p.purchase_id = r.purchase_id WHERE r.gone_ms IS NULL),
         counted AS (
           SELECT result_id, rank, sum(size) OVER (PARTITION BY principal ORDER BY rank, created_ms DESC, result_id) AS so_far
           FROM kept)
         UPDATE result SET gone_ms = ?1 WHERE gone_ms IS NULL AND (created_ms < ?2
           OR result_id IN(SELECT result_id FROM counted WHERE rank > 1 AND so_far > ?3))
         RETURNING result_id",
    )?;
    let ids = statement.query_map(params![now_ms as i64, now_ms as i64 - KEEP_MS, KEEP_BYTES], |r| r.get(0))?;
    Ok(ids.collect::<Result<_, _>>()?)
}

impl Ledger {
    /// Remembers an answer that cost nothing, so that its pages can be read.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub async fn keep_free_result(
        &self,
        principal: &str,
        session_key: &str,
        result: StoredResult,
    ) -> Result<(), LedgerError> {
        let (principal, key, now) = (principal.to_owned(), session_key.to_owned(), self.now());
        self.0
            .writer
            .write(move |conn| {
                let session = session::running(conn, &principal, &key, now)?.map(|s| s.id).unwrap_or_default();
                insert(conn, &principal, &session, None, &result)
            })
            .await
    }

    /// A stored answer of this principal.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub async fn result(&self, principal: &str, id: &str) -> Result<Option<StoredResult>, LedgerError> {
        let (principal, id) = (principal.to_owned(), id.to_owned());
        self.0.writer.read(move |conn| find(conn, &principal, &id)).await
    }

    /// Marks answers that are too old or too many as gone; returns their names, so that the files can be removed.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub async fn prune_results(&self) -> Result<Vec<String>, LedgerError> {
        let now = self.now();
        self.0.writer.write(move |conn| prune(conn, now)).await
    }
}
