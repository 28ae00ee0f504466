//! The independent auditor: walks the journal's chain, compares every row with the last hash the journal left of it, and
//! checks the invariants. It shares no code with the steps that write.

use std::collections::BTreeMap;

use rusqlite::{Connection, params_from_iter};
use serde::Serialize;

use super::{LedgerError, journal, schema};

/// One thing that is not as it must be, with the row it is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Finding {
    /// The row, such as `journal/12` or `purchase/p_...`.
    pub row: String,
    /// What is wrong with it.
    pub say: String,
}

/// What an audit found.
#[derive(Clone, Debug, Serialize, schemars::JsonSchema)]
pub struct Verified {
    /// How many journal lines were walked.
    pub lines: u64,
    /// The last line's hash: keep it elsewhere, and a ledger that was put back to an older copy shows.
    pub head: String,
    /// What is wrong; empty when all is well.
    pub findings: Vec<Finding>,
}

/// The invariants of the ledger, each a query that names the rows that break it (facts of the design: I1 to I8).
const INVARIANTS: [(&str, &str); 10] = [
    (
        "more is spent and held than the limit allows",
        "SELECT 'budget_window/'||budget_id||'/'||win FROM budget_window WHERE spent + reserved > limit_atomic",
    ),
    (
        "what is reserved is not the sum of the open holds",
        "SELECT 'budget_window/'||w.budget_id||'/'||w.win FROM budget_window w WHERE w.reserved <>
           (SELECT ifnull(sum(h.amount), 0) FROM hold h WHERE h.budget_id = w.budget_id AND h.win = w.win AND h.open = 1)",
    ),
    (
        "what is spent is not the sum of what was paid, less what came back",
        "SELECT 'budget_window/'||w.budget_id||'/'||w.win FROM budget_window w WHERE w.spent + w.overrun <>
           (SELECT ifnull(sum(i.spent + i.fee), 0) FROM hold h JOIN intent i USING(purchase_id, n)
            WHERE h.budget_id = w.budget_id AND h.win = w.win AND i.state IN('settled','late'))
           - (SELECT ifnull(sum(r.amount), 0) FROM credit_room r WHERE r.budget_id = w.budget_id AND r.win = w.win)",
    ),
    (
        "more came back than was paid in, or it gave room to a day or a session",
        "SELECT 'credit/'||c.credit_id FROM credit c WHERE c.amount > (SELECT ifnull(sum(i.spent), 0) FROM intent i
             JOIN purchase p USING(purchase_id) WHERE p.purchase_id = c.purchase_id
               OR (p.principal = c.principal AND p.idem_key GLOB 't:'||c.purchase_id||':*'))
           OR EXISTS(SELECT 1 FROM credit_room r JOIN budget b USING(budget_id) WHERE r.credit_id = c.credit_id
               AND (r.amount > c.amount OR b.scope NOT IN('host','total')))",
    ),
    (
        "money is at risk and nothing is held for it",
        "SELECT 'purchase/'||p.purchase_id FROM purchase p WHERE p.state IN('awaiting_approval','paying','unknown')
           AND NOT EXISTS(SELECT 1 FROM hold h WHERE h.purchase_id = p.purchase_id AND h.open = 1)",
    ),
    (
        "it is over and still holds money",
        "SELECT 'hold/'||h.purchase_id||'/'||h.n||'/'||h.budget_id FROM hold h JOIN purchase p USING(purchase_id)
         WHERE h.open = 1 AND p.state NOT IN('awaiting_approval','paying','unknown')
           AND h.n = (SELECT max(n) FROM intent WHERE purchase_id = p.purchase_id)",
    ),
    (
        "it was not posted exactly once",
        "SELECT 'purchase/'||p.purchase_id FROM purchase p WHERE p.state IN('paid','delivered','undelivered','late')
           AND (SELECT count(*) FROM journal j WHERE j.purchase_id = p.purchase_id AND j.kind IN('post','late')) <> 1",
    ),
    (
        "it is paid without a proof",
        "SELECT 'intent/'||i.purchase_id||'/'||i.n FROM intent i JOIN purchase p USING(purchase_id)
         WHERE p.state IN('paid','delivered','undelivered','late') AND (i.proof IS NULL OR i.state NOT IN('settled','late'))
           AND i.n = (SELECT max(n) FROM intent WHERE purchase_id = p.purchase_id)",
    ),
    (
        "one request has more than one live purchase",
        "SELECT 'purchase/'||min(purchase_id) FROM purchase WHERE state NOT IN('failed','late') AND answered_ms IS NULL
         GROUP BY principal, idem_key HAVING count(*) > 1",
    ),
    (
        "it has no intent",
        "SELECT 'purchase/'||purchase_id FROM purchase p WHERE NOT EXISTS
           (SELECT 1 FROM intent i WHERE i.purchase_id = p.purchase_id)",
    ),
];

/// The tables the journal covers, and how a row is named.
const COVERED: [(&str, &[&str]); 7] = [
    ("purchase", &["purchase_id"]),
    ("intent", &["purchase_id", "n"]),
    ("hold", &["purchase_id", "n", "budget_id"]),
    ("credit", &["credit_id"]),
    ("credit_room", &["credit_id", "budget_id", "win"]),
    ("budget", &["budget_id"]),
    ("budget_window", &["budget_id", "win"]),
];

/// Verifies the whole ledger in one read transaction.
pub(super) fn verify(conn: &Connection) -> Result<Verified, LedgerError> {
    conn.execute_batch("BEGIN")?;
    let verified = whole(conn);
    conn.execute_batch("ROLLBACK")?;
    verified
}

fn whole(conn: &Connection) -> Result<Verified, LedgerError> {
    let mut findings = Vec::new();
    let mut last: BTreeMap<String, String> = BTreeMap::new();
    let (mut prev, mut lines, mut expected) = (String::new(), 0u64, 1i64);
    let mut statement = conn.prepare(
        "SELECT seq, purchase_id, session_id, principal, kind, currency, amount, at_ms, note, rows, prev, hash
         FROM journal ORDER BY seq",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let seq: i64 = row.get(0)?;
        let (purchase, session): (Option<String>, Option<String>) = (row.get(1)?, row.get(2)?);
        let (principal, kind, currency): (String, String, String) = (row.get(3)?, row.get(4)?, row.get(5)?);
        let (amount, at_ms): (i64, i64) = (row.get(6)?, row.get(7)?);
        let (note, digests): (String, String) = (row.get(8)?, row.get(9)?);
        let (said_prev, hash): (String, String) = (row.get(10)?, row.get(11)?);
        let name = format!("journal/{seq}");
        if seq != expected {
            findings.push(Finding { row: name.clone(), say: format!("line {expected} is missing before it") });
        }
        expected = seq + 1;
        if said_prev != prev {
            findings.push(Finding { row: name.clone(), say: "it does not follow the line before it".into() });
        }
        let computed = journal::link(
            &said_prev,
            purchase.as_deref(),
            session.as_deref(),
            &principal,
            &kind,
            &currency,
            amount,
            at_ms,
            &note,
            &digests,
        );
        if computed != hash {
            findings.push(Finding { row: name, say: "it was changed after it was written".into() });
        }
        match serde_json::from_str::<BTreeMap<String, String>>(&digests) {
            Ok(digests) => last.extend(digests),
            Err(_) => {
                findings.push(Finding { row: format!("journal/{seq}"), say: "its row list is unreadable".into() })
            }
        }
        prev = hash;
        lines += 1;
    }
    let sequence: i64 =
        conn.query_row("SELECT ifnull((SELECT seq FROM sqlite_sequence WHERE name = 'journal'), 0)", [], |r| r.get(0))?;
    if sequence >= expected {
        findings.push(Finding { row: format!("journal/{sequence}"), say: "the last lines are missing".into() });
    }
    compare_rows(conn, &mut last, &mut findings)?;
    compare_schema(conn, &mut findings)?;
    for (say, sql) in INVARIANTS {
        let mut statement = conn.prepare(sql)?;
        let names = statement.query_map([], |r| r.get::<_, String>(0))?;
        for row in names {
            findings.push(Finding { row: row?, say: say.into() });
        }
    }
    Ok(Verified { lines, head: prev, findings })
}

/// Compares the limits' CHECKs and the guards of the append-only tables with what this version writes: without them, the
/// next purchase would not be held back.
fn compare_schema(conn: &Connection, findings: &mut Vec<Finding>) -> Result<(), LedgerError> {
    let mut ours: BTreeMap<String, String> = schema::pristine()?.into_iter().collect();
    for (name, sql) in schema::parts(conn)? {
        let say = match ours.remove(&name) {
            Some(known) if known == sql => continue,
            Some(_) => "it is not as this version writes it",
            // SQLite's own tables, such as what ANALYZE leaves.
            None if name.starts_with("sqlite_") => continue,
            None => "it does not belong to a ledger",
        };
        findings.push(Finding { row: format!("schema/{name}"), say: say.into() });
    }
    for name in ours.into_keys() {
        findings.push(Finding { row: format!("schema/{name}"), say: "it is gone".into() });
    }
    Ok(())
}

/// Compares each row that stands with the last digest the journal left of it, and the other way round.
fn compare_rows(
    conn: &Connection,
    last: &mut BTreeMap<String, String>,
    findings: &mut Vec<Finding>,
) -> Result<(), LedgerError> {
    for (table, keys) in COVERED {
        let mut statement = conn.prepare(&format!("SELECT * FROM {table}"))?;
        let columns: Vec<usize> = keys.iter().map(|k| statement.column_index(k)).collect::<Result<_, _>>()?;
        let mut rows = statement.query(params_from_iter(std::iter::empty::<i64>()))?;
        while let Some(row) = rows.next()? {
            let mut name = table.to_owned();
            for column in &columns {
                let key = match row.get_ref(*column)? {
                    rusqlite::types::ValueRef::Integer(i) => i.to_string(),
                    other => other.as_str().unwrap_or("?").to_owned(),
                };
                name = format!("{name}/{key}");
            }
            let digest = journal::digest(row)?;
            match last.remove(&name) {
                Some(known) if known == digest => {}
                Some(_) => findings.push(Finding { row: name, say: "it differs from what the journal left".into() }),
                None => findings.push(Finding { row: name, say: "the journal knows nothing of it".into() }),
            }
        }
    }
    for row in std::mem::take(last).into_keys() {
        findings.push(Finding { row, say: "the journal knows it and it is gone".into() });
    }
    Ok(())
}
