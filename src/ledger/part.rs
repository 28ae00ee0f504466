//! What was posted in full, and of which a chain then shows that less was taken, or nothing.
//!
//! A price "up to" is posted as what was taken where that is certain, and else as the most: a seller's word alone gives no
//! room in a budget. So is a fixed price that was posted on a seller's word, or because nobody could be asked. This step
//! gives the rest back once it is certain. It can only lower what was posted.

use rusqlite::{Connection, OptionalExtension, params};
use serde_json::json;

use super::{Committed, Intent, Ledger, LedgerError, PurchaseId, purchase, steps};
use crate::{money::Amount, secret::Secret};

/// An intent that was posted.
#[derive(Clone, Debug)]
pub struct Posted {
    /// The intent.
    pub intent: Committed<Intent>,
    /// What it was posted on: the proof, as JSON (secret).
    pub proof: Secret,
}

impl Ledger {
    /// The intents of a purchase, or of all, that were settled on a rail since a time, in unix milliseconds.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub async fn settled_on(
        &self,
        rail: &'static str,
        since_ms: u64,
        only: Option<PurchaseId>,
    ) -> Result<Vec<Posted>, LedgerError> {
        self.0.writer.read(move |conn| settled_on(conn, rail, since_ms, only)).await
    }

    /// Records that of an intent which was posted only so much was taken, and gives the rest back to every budget;
    /// `transaction` is the one that did it, where nobody had named it. Returns whether that changed anything.
    ///
    /// # Errors
    /// The ledger cannot be written; it can be asked again.
    pub async fn took(
        &self,
        id: PurchaseId,
        n: u32,
        taken: Amount,
        proof: Vec<u8>,
        transaction: Option<String>,
    ) -> Result<bool, LedgerError> {
        let now = self.now();
        self.0.writer.write(move |conn| took(conn, now, (id, n), taken, &proof, transaction.as_deref())).await
    }
}

fn settled_on(
    conn: &Connection,
    rail: &str,
    since_ms: u64,
    only: Option<PurchaseId>,
) -> Result<Vec<Posted>, LedgerError> {
    let sql = "SELECT purchase_id, n, proof FROM intent
               WHERE rail = ?1 AND state = 'settled' AND settled_ms >= ?2 AND (?3 IS NULL OR purchase_id = ?3)";
    let mut statement = conn.prepare_cached(sql)?;
    let rows = statement.query_map(params![rail, since_ms as i64, only.map(|id| id.to_string())], |r| {
        Ok((r.get::<_, String>(0)?, r.get::<_, u32>(1)?, r.get::<_, Vec<u8>>(2)?))
    })?;
    let mut found = Vec::new();
    for row in rows {
        let (id, n, proof) = row?;
        let Ok(id) = id.parse() else { continue };
        let intent = purchase::intent_nth(conn, id, n)?;
        let proof = Secret::new(String::from_utf8_lossy(&proof));
        found.extend(intent.map(|intent| Posted { intent, proof }));
    }
    Ok(found)
}

fn took(
    conn: &Connection,
    now_ms: u64,
    (id, n): (PurchaseId, u32),
    taken: Amount,
    proof: &[u8],
    transaction: Option<&str>,
) -> Result<bool, LedgerError> {
    let key = id.to_string();
    let posted: Option<i64> = conn
        .query_row(
            "SELECT spent FROM intent WHERE purchase_id = ? AND n = ? AND state = 'settled' AND currency = ?",
            params![key, n, taken.currency().code()],
            |r| r.get(0),
        )
        .optional()?;
    let back = posted.map(|posted| posted - taken.atomic() as i64).filter(|back| *back >= 0);
    let (Some(back), Some(at)) = (back, purchase::find(conn, id)?) else { return Ok(false) };
    conn.execute(
        "UPDATE intent SET spent = ?, proof = ? WHERE purchase_id = ? AND n = ? AND state = 'settled'",
        params![taken.atomic() as i64, proof, key, n],
    )?;
    conn.execute(
        "UPDATE budget_window SET spent = spent - ?3
         WHERE (budget_id, win) IN (SELECT budget_id, win FROM hold WHERE purchase_id = ?1 AND n = ?2)",
        params![key, n, back],
    )?;
    let back = Amount::new(taken.currency(), back as u64);
    let mut note = json!({ "intent": n, "given_back": back });
    if let Some(transaction) = transaction {
        note["transaction"] = transaction.into();
    }
    steps::log(conn, now_ms, &at, "took", taken, note)?;
    Ok(true)
}
