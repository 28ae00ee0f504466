//! What a person reads afterwards: every purchase, refusal and re-use, in order.

use rusqlite::{Connection, params};
use serde::Serialize;

use super::{By, LedgerError};
use crate::money::{Amount, Currency};

/// Which part of the ledger is asked for.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Only this principal; `None` is the operator, who sees all.
    pub principal: Option<String>,
    /// Only this session.
    pub session: Option<String>,
    /// Only from here on, unix milliseconds.
    pub since_ms: Option<i64>,
    /// Only this host.
    pub host: Option<String>,
    /// At most this many rows, the newest. 0 means all.
    pub limit: u32,
}

/// One line of the audit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct AuditRow {
    /// When, unix milliseconds.
    pub at_ms: i64,
    /// The session, where there was one.
    pub session: Option<String>,
    /// Who bought.
    pub principal: String,
    /// The purchase's id; absent for a refusal or a re-use. Of a refund, the deposit's.
    pub purchase: Option<String>,
    /// The host that was asked.
    pub host: String,
    /// Method and path.
    pub path: String,
    /// What the seller asked for.
    pub asked: Option<Amount>,
    /// What left, without the fee.
    pub paid: Option<Amount>,
    /// The fee that was paid.
    pub fee: Option<Amount>,
    /// What came back of a deposit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub back: Option<Amount>,
    /// What is still held for it.
    pub held: Option<Amount>,
    /// How: protocol and rail.
    pub rail: String,
    /// The network the money moves on, by its own name; empty where none does.
    pub network: String,
    /// The transaction that moved it, where the rail has one and it is known; several, if the purchase paid twice. The
    /// seller's word, unless a chain was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transaction: Option<String>,
    /// The purchase's state, or `refused`, or `token` for a re-use that cost nothing, or `refund` for
    /// what came back of a deposit.
    pub state: String,
    /// The caller's words.
    pub purpose: String,
    /// Why it stands where it stands.
    pub note: String,
    /// The seller's status.
    pub http_status: Option<u16>,
}

/// The rows of an audit, oldest first.
pub(super) fn rows(conn: &Connection, filter: &Filter) -> Result<Vec<AuditRow>, LedgerError> {
    let mut out = purchases(conn, filter)?;
    out.extend(events(conn, filter)?);
    // Both come newest first; of one moment, the earlier row stays the earlier one.
    out.reverse();
    out.sort_by_key(|row| row.at_ms);
    if filter.limit > 0 {
        let surplus = out.len().saturating_sub(filter.limit as usize);
        out.drain(..surplus);
    }
    Ok(out)
}

fn money(code: &str, atomic: i64) -> Option<Amount> {
    Amount::new(Currency::from_code(code)?, u64::try_from(atomic).ok()?)
}

fn purchases(conn: &Connection, filter: &Filter) -> Result<Vec<AuditRow>, LedgerError> {
    let mut statement = conn.prepare_cached(
        "SELECT p.created_ms, p.session_id, p.principal, p.purchase_id, p.host, p.method, p.path, i.currency, i.amount,
           (SELECT sum(spent) FROM intent WHERE purchase_id = p.purchase_id),
           (SELECT sum(fee) FROM intent WHERE purchase_id = p.purchase_id),
           (SELECT ifnull(sum(amount + fee_cap), 0) FROM intent WHERE purchase_id = p.purchase_id
              AND state IN('pinned','live')), i.protocol, i.rail, p.state, p.purpose, p.note, p.http_status,
           i.network,
           (SELECT group_concat(transaction_name, ' ') FROM (
              SELECT CASE WHEN json_valid(note) THEN json_extract(note, '$.transaction') END AS transaction_name
              FROM journal WHERE purchase_id = p.purchase_id AND kind IN('post','late','post_earlier','took') ORDER BY seq)),
           (SELECT CASE WHEN json_valid(note) THEN json_extract(note, '$.by') END FROM journal
              WHERE purchase_id = p.purchase_id AND kind = 'approve' ORDER BY seq LIMIT 1)
         FROM purchase p JOIN intent i ON i.purchase_id = p.purchase_id
           AND i.n = (SELECT max(n) FROM intent WHERE purchase_id = p.purchase_id)
         WHERE (?1 IS NULL OR p.principal = ?1) AND (?2 IS NULL OR p.session_id = ?2)
           AND (?3 IS NULL OR p.created_ms >= ?3) AND (?4 IS NULL OR p.host = ?4)
         ORDER BY p.created_ms DESC, p.rowid DESC LIMIT CASE WHEN ?5 = 0 THEN -1 ELSE ?5 END",
    )?;
    let rows = statement.query_map(
        params![filter.principal, filter.session, filter.since_ms, filter.host, filter.limit],
        |r| {
            let currency: String = r.get(7)?;
            let state: String = r.get(14)?;
            let note: String = r.get(16)?;
            // A program can tick a form's box, and nobody but the operator sits at the terminal: the audit tells them apart.
            let note = match By::named(&r.get::<_, Option<String>>(20)?.unwrap_or_default()) {
                Some(by) if note.is_empty() => format!("approved {}", by.where_it_was_said()),
                Some(by) => format!("{note}; approved {}", by.where_it_was_said()),
                None => note,
            };
            let (amount, spent, fee, held): (i64, i64, i64, i64) = (r.get(8)?, r.get(9)?, r.get(10)?, r.get(11)?);
            Ok(AuditRow {
                at_ms: r.get(0)?,
                session: r.get(1)?,
                principal: r.get(2)?,
                purchase: r.get(3)?,
                host: r.get(4)?,
                path: format!("{} {}", r.get::<_, String>(5)?, r.get::<_, String>(6)?),
                asked: money(&currency, amount),
                paid: money(&currency, spent),
                fee: money(&currency, fee),
                back: None,
                held: money(&currency, held),
                rail: format!("{} {}", r.get::<_, String>(12)?, r.get::<_, String>(13)?),
                network: r.get(18)?,
                transaction: r.get(19)?,
                state,
                purpose: r.get(15)?,
                note,
                http_status: r.get(17)?,
            })
        },
    )?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Refusals, re-uses, proofs, and what came back: journal rows that are no step of a purchase.
fn events(conn: &Connection, filter: &Filter) -> Result<Vec<AuditRow>, LedgerError> {
    let mut statement = conn.prepare_cached(
        "SELECT at_ms, session_id, principal, kind, currency, amount, note, purchase_id FROM journal
         WHERE kind IN('refuse','reuse','prove','credit') AND (?1 IS NULL OR principal = ?1) AND (?2 IS NULL OR session_id = ?2)
           AND (?3 IS NULL OR at_ms >= ?3) AND (?4 IS NULL OR CASE WHEN json_valid(note) THEN json_extract(note, '$.host') = ?4 END)
         ORDER BY seq DESC LIMIT CASE WHEN ?5 = 0 THEN -1 ELSE ?5 END",
    )?;
    let rows = statement.query_map(
        params![filter.principal, filter.session, filter.since_ms, filter.host, filter.limit],
        |r| {
            let note: String = r.get(6)?;
            let note: serde_json::Value = serde_json::from_str(&note).unwrap_or_default();
            let text = |key: &str| note.get(key).and_then(|v| v.as_str()).unwrap_or_default().to_owned();
            let kind: String = r.get(3)?;
            let currency: String = r.get(4)?;
            let (refused, credit) = (kind == "refuse", kind == "credit");
            Ok(AuditRow {
                at_ms: r.get(0)?,
                session: r.get(1)?,
                principal: r.get(2)?,
                purchase: r.get(7)?,
                host: text("host"),
                path: text("path"),
                asked: money(&currency, r.get(5)?).filter(|a| refused && !a.is_zero()),
                paid: money(&currency, 0),
                fee: money(&currency, 0),
                back: money(&currency, r.get(5)?).filter(|_| credit),
                held: money(&currency, 0),
                rail: text("rail"),
                network: text("network"),
                transaction: None,
                state: match kind.as_str() {
                    "refuse" => "refused".into(),
                    "prove" => "proof".into(),
                    "credit" => "refund".into(),
                    _ => "token".into(),
                },
                purpose: text("purpose"),
                note: text("say"),
                http_status: note.get("status").and_then(|v| v.as_u64()).and_then(|s| u16::try_from(s).ok()),
            })
        },
    )?;
    Ok(rows.collect::<Result<_, _>>()?)
}
