//! Deposits that calls draw on, and what comes back of them.
//!
//! A deposit is a purchase; each top-up of it is another one, whose idempotency key names it. What is paid in counts as
//! spent. What the wallet saw come back is a credit: it gives room to the limits that have no end (host and total), and
//! never to a day's or a session's.

use rusqlite::{Connection, OptionalExtension, Row, params};
use serde_json::json;

use super::{
    Idempotency, Ledger, LedgerError, Payment, PurchaseId, State, owner,
    purchase::{self, bytes_of, pin_of},
    steps,
};
use crate::{
    money::{Amount, Currency},
    secret::Secret,
};

/// Where a deposit stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DepositState {
    /// Calls may draw on it.
    Open,
    /// No call draws on it any more, and the seller has not been told yet.
    Closing,
    /// Closed; what is left may come back.
    Closed,
    /// Over: the rest came back, or it can no longer.
    Done,
}

impl DepositState {
    /// The name used in SQL and text.
    pub const fn name(self) -> &'static str {
        match self {
            DepositState::Open => "open",
            DepositState::Closing => "closing",
            DepositState::Closed => "closed",
            DepositState::Done => "done",
        }
    }

    fn from_name(name: &str) -> Option<DepositState> {
        use DepositState::{Closed, Closing, Done, Open};
        [Open, Closing, Closed, Done].into_iter().find(|s| s.name() == name)
    }
}

/// A deposit that was paid just now.
#[derive(Clone, Debug)]
pub struct NewDeposit {
    /// The realm that it is good for.
    pub realm: String,
    /// The payment hash of the invoice that the rest comes back to, 64 lower-case hex digits.
    pub return_hash: String,
    /// When that invoice ends, unix seconds.
    pub return_until_s: u64,
    /// After how many seconds without a call the seller closes.
    pub closes_s: Option<u64>,
    /// What is shown to the seller, and where that stands: JSON, opaque to the ledger (secret).
    pub session: Secret,
}

/// A deposit as it stands.
#[derive(Clone, Debug)]
pub struct Deposit {
    /// The purchase that paid it in.
    pub purchase: PurchaseId,
    /// Whose it is.
    pub principal: String,
    /// The exact origin that it is good for.
    pub origin: String,
    /// Its host.
    pub host: String,
    /// The path of the call that opened it.
    pub path: String,
    /// The method of that call.
    pub method: String,
    /// The realm.
    pub realm: String,
    /// Who was paid.
    pub payee: String,
    /// The wallet that paid, and that the rest comes back to.
    pub wallet: String,
    /// The payment hash of the invoice for the rest.
    pub return_hash: String,
    /// When that invoice ends, unix seconds.
    pub return_until_s: u64,
    /// Where it stands.
    pub state: DepositState,
    /// All that was paid in, without fees, top-ups included.
    pub paid_in: Amount,
    /// How much of it seems to be used: the seller's word.
    pub used: Amount,
    /// What came back.
    pub back: Amount,
    /// After how many seconds without a call the seller closes.
    pub closes_s: Option<u64>,
    /// The last call, unix milliseconds.
    pub used_ms: i64,
    /// Whether somebody asked for it to be closed.
    pub close_asked: bool,
    /// The row of its credential.
    pub credential: i64,
    /// What is shown to the seller, and where that stands (secret).
    pub session: Secret,
}

/// What is kept of a deposit after a step.
#[derive(Clone, Debug)]
pub struct Kept {
    /// What is shown to the seller, and where that stands (secret).
    pub session: Secret,
    /// Where it stands.
    pub state: DepositState,
    /// How much of it seems to be used.
    pub used: Amount,
    /// The last call, unix milliseconds.
    pub used_ms: i64,
}

impl Idempotency {
    /// The key of the top-up of a deposit with one invoice: paid once for ever.
    pub fn top_up(deposit: PurchaseId, payment_hash: &str) -> Idempotency {
        Idempotency {
            key: format!("{}{payment_hash}", top_ups_of(&deposit.to_string())),
            explicit: true,
            request_hash: payment_hash.to_owned(),
        }
    }
}

/// What the keys of a deposit's top-ups begin with.
fn top_ups_of(deposit: &str) -> String {
    format!("t:{deposit}:")
}

/// The ids of a deposit's purchase (`?1`), whose it is (`?2`), and of its top-ups, whose keys begin with [`top_ups_of`]
/// (`?3`); a hash in hex digits follows, and sorts before `~`.
const FAMILY: &str = "SELECT purchase_id FROM purchase WHERE purchase_id = ?1 OR (principal = ?2
    AND idem_key > ?3 AND idem_key < ?3||'~')";

const DEPOSIT: &str =
    "SELECT d.purchase_id, p.principal, p.origin, p.host, p.path, p.method, d.realm, i.payee, d.wallet,
    d.return_hash, d.return_until_s, d.state, d.used, d.closes_s, d.used_ms, d.close_asked_ms IS NOT NULL, i.currency,
    c.body, (SELECT ifnull(sum(amount), 0) FROM credit WHERE purchase_id = d.purchase_id), c.credential_id
    FROM deposit d JOIN purchase p USING(purchase_id) JOIN intent i ON i.purchase_id = d.purchase_id AND i.n = 0
    JOIN credential c ON c.purchase_id = d.purchase_id";

fn bad(column: usize, say: String) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, say.into())
}

/// A row, with nothing yet in `paid_in`.
fn from_row(row: &Row<'_>) -> rusqlite::Result<Deposit> {
    let code: String = row.get(16)?;
    let currency = Currency::from_code(&code).ok_or_else(|| bad(16, code))?;
    let amount = |i: usize| -> rusqlite::Result<Amount> {
        let atomic: i64 = row.get(i)?;
        let amount = u64::try_from(atomic).ok().and_then(|a| Amount::new(currency, a));
        amount.ok_or_else(|| bad(i, format!("{atomic} is not an amount")))
    };
    let (id, state): (String, String) = (row.get(0)?, row.get(11)?);
    let body: Vec<u8> = row.get(17)?;
    Ok(Deposit {
        purchase: id.parse().map_err(|_| bad(0, format!("bad id {id}")))?,
        principal: row.get(1)?,
        origin: row.get(2)?,
        host: row.get(3)?,
        path: row.get(4)?,
        method: row.get(5)?,
        realm: row.get(6)?,
        payee: row.get(7)?,
        wallet: row.get(8)?,
        return_hash: row.get(9)?,
        return_until_s: row.get::<_, i64>(10)?.max(0) as u64,
        state: DepositState::from_name(&state).ok_or_else(|| bad(11, format!("unknown state {state}")))?,
        paid_in: Amount::zero(currency),
        used: amount(12)?,
        back: amount(18)?,
        closes_s: row.get::<_, Option<i64>>(13)?.map(|s| s.max(0) as u64),
        used_ms: row.get(14)?,
        close_asked: row.get(15)?,
        credential: row.get(19)?,
        session: Secret::new(String::from_utf8_lossy(&purchase::wire_of(&body))),
    })
}

/// What a deposit's purchase and its top-ups brought to the seller, fees aside.
fn paid_in(conn: &Connection, deposit: &Deposit) -> Result<Amount, LedgerError> {
    let sql = format!("SELECT ifnull(sum(spent), 0) FROM intent WHERE purchase_id IN({FAMILY})");
    let id = deposit.purchase.to_string();
    let sum: i64 =
        conn.prepare_cached(&sql)?.query_row(params![id, deposit.principal, top_ups_of(&id)], |r| r.get(0))?;
    let amount = u64::try_from(sum).ok().and_then(|sum| Amount::new(deposit.used.currency(), sum));
    amount.ok_or_else(|| LedgerError::Broken(format!("{} was paid in", deposit.purchase)))
}

fn find(conn: &Connection, id: PurchaseId) -> Result<Option<Deposit>, LedgerError> {
    let sql = format!("{DEPOSIT} WHERE d.purchase_id = ?");
    let found = conn.prepare_cached(&sql)?.query_row([id.to_string()], from_row).optional()?;
    found.map(|deposit| Ok(Deposit { paid_in: paid_in(conn, &deposit)?, ..deposit })).transpose()
}

fn unfinished(conn: &Connection, principal: Option<&str>) -> Result<Vec<Deposit>, LedgerError> {
    let sql = format!("{DEPOSIT} WHERE d.state <> 'done' AND (?1 IS NULL OR p.principal = ?1) ORDER BY p.created_ms");
    let mut statement = conn.prepare_cached(&sql)?;
    let rows = statement.query_map([principal], from_row)?;
    let found: Vec<Deposit> = rows.collect::<Result<_, _>>()?;
    found.into_iter().map(|deposit| Ok(Deposit { paid_in: paid_in(conn, &deposit)?, ..deposit })).collect()
}

fn open(
    conn: &Connection,
    now_ms: u64,
    id: PurchaseId,
    payment: &Payment,
    new: &NewDeposit,
) -> Result<(), LedgerError> {
    let key = id.to_string();
    let bytes: Vec<u8> =
        conn.query_row("SELECT bytes FROM intent WHERE purchase_id = ? AND n = 0", [&key], |r| r.get(0))?;
    // Its own purchase shows it first; other calls may once that was answered.
    conn.execute(
        "INSERT INTO credential(principal, origin, protocol, purchase_id, body, proof, state, created_ms)
         SELECT p.principal, p.origin, i.protocol, p.purchase_id, ?2, ?3, 'own', ?4
         FROM purchase p JOIN intent i ON i.purchase_id = p.purchase_id AND i.n = 0 WHERE p.purchase_id = ?1",
        params![key, bytes_of(&pin_of(&bytes), new.session.expose().as_bytes()), payment.proof, now_ms as i64],
    )?;
    conn.execute(
        "INSERT INTO deposit VALUES(?1, ?2, ?3, ?4, ?5, 'open', 0, ?6, ?7, NULL)",
        params![
            key,
            new.realm,
            payment.wallet_id,
            new.return_hash,
            new.return_until_s as i64,
            new.closes_s.map(|s| s.min(i64::MAX as u64) as i64),
            now_ms as i64
        ],
    )?;
    Ok(())
}

/// Writes where a deposit stands. One that another process took further stays there: returns where it is.
fn keep(conn: &Connection, now_ms: u64, id: PurchaseId, kept: &Kept) -> Result<DepositState, LedgerError> {
    let Some(before) = find(conn, id)? else { return Err(LedgerError::Broken(format!("{id} is no deposit"))) };
    let later = |s: DepositState| match s {
        DepositState::Open => 0,
        DepositState::Closing => 1,
        DepositState::Closed => 2,
        DepositState::Done => 3,
    };
    if later(before.state) > later(kept.state) {
        return Ok(before.state);
    }
    let key = id.to_string();
    conn.execute(
        "UPDATE deposit SET state = ?2, used = max(used, ?3), used_ms = max(used_ms, ?4) WHERE purchase_id = ?1",
        params![key, kept.state.name(), kept.used.atomic() as i64, kept.used_ms],
    )?;
    let body: Vec<u8> = conn.query_row("SELECT body FROM credential WHERE purchase_id = ?", [&key], |r| r.get(0))?;
    conn.execute(
        "UPDATE credential SET body = ?2, state = CASE WHEN ?3 THEN state ELSE 'spent' END WHERE purchase_id = ?1",
        params![key, bytes_of(&pin_of(&body), kept.session.expose().as_bytes()), kept.state == DepositState::Open],
    )?;
    if before.state != kept.state
        && let Some(at) = purchase::find(conn, id)?
    {
        steps::log(conn, now_ms, &at, "deposit", at.price, json!({ "deposit": kept.state.name() }))?;
    }
    Ok(kept.state)
}

/// Records what came back, and gives that room to the limits without an end. `None`: it is not a deposit, or it was
/// recorded already. What comes beyond what was paid in gives no room.
fn credit(
    conn: &Connection,
    now_ms: u64,
    id: PurchaseId,
    came: Amount,
    proof: &[u8],
) -> Result<Option<Amount>, LedgerError> {
    let (Some(deposit), Some(at)) = (find(conn, id)?, purchase::find(conn, id)?) else { return Ok(None) };
    let back = if came.exceeds(deposit.paid_in) { deposit.paid_in } else { came };
    if deposit.state == DepositState::Done || came.currency() != deposit.paid_in.currency() || back.is_zero() {
        return Ok(None);
    }
    let key = id.to_string();
    conn.execute(
        "INSERT INTO credit(purchase_id, principal, currency, amount, proof, at_ms) VALUES(?,?,?,?,?,?)",
        params![key, deposit.principal, back.currency().code(), back.atomic() as i64, proof, now_ms as i64],
    )?;
    let credit = conn.last_insert_rowid();
    let sql = format!(
        "SELECT h.budget_id, h.win, sum(i.spent) FROM hold h JOIN intent i USING(purchase_id, n) JOIN budget b USING(budget_id)
         WHERE h.purchase_id IN({FAMILY}) AND b.scope IN('host','total') GROUP BY h.budget_id, h.win"
    );
    let windows: Vec<(i64, i64, i64)> = conn
        .prepare_cached(&sql)?
        .query_map(params![key, deposit.principal, top_ups_of(&key)], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)))?
        .collect::<Result<_, _>>()?;
    for (budget, win, spent) in windows {
        let spent_in_window: i64 = conn.query_row(
            "SELECT spent FROM budget_window WHERE budget_id = ? AND win = ?",
            params![budget, win],
            |r| r.get(0),
        )?;
        let room = (back.atomic() as i64).min(spent).min(spent_in_window);
        if room > 0 {
            conn.execute(
                "UPDATE budget_window SET spent = spent - ?3 WHERE budget_id = ?1 AND win = ?2",
                params![budget, win, room],
            )?;
            conn.execute("INSERT INTO credit_room VALUES(?,?,?,?)", params![credit, budget, win, room])?;
        }
    }
    finish(conn, &key)?;
    let mut note = json!({ "host": at.host, "path": format!("{} {}", at.method, at.path), "rail": "refund",
        "say": format!("{back} of the {} paid in came back", deposit.paid_in) });
    if came.exceeds(back) {
        note["say"] = format!("{came} came back, more than the {} paid in", deposit.paid_in).into();
    }
    steps::log(conn, now_ms, &at, "credit", back, note)?;
    Ok(Some(back))
}

fn finish(conn: &Connection, key: &str) -> Result<(), LedgerError> {
    conn.execute("UPDATE deposit SET state = 'done' WHERE purchase_id = ?", [key])?;
    conn.execute("UPDATE credential SET state = 'spent' WHERE purchase_id = ?", [key])?;
    Ok(())
}

impl Ledger {
    /// W2 of a deposit: as [`Ledger::paid`], and in the same step what is shown to the seller from now on.
    ///
    /// # Errors
    /// The ledger cannot be written; the proof can then be looked up again.
    pub async fn paid_in(&self, id: PurchaseId, payment: Payment, new: NewDeposit) -> Result<State, LedgerError> {
        let now = self.now();
        self.0
            .writer
            .write(move |conn| {
                let before = purchase::find(conn, id)?.map(|at| at.state);
                let state = steps::paid(conn, now, id, &payment)?;
                if before != Some(state) {
                    open(conn, now, id, &payment, &new)?;
                }
                Ok(state)
            })
            .await
    }

    /// One deposit.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub async fn deposit(&self, id: PurchaseId) -> Result<Option<Deposit>, LedgerError> {
        self.0.writer.read(move |conn| find(conn, id)).await
    }

    /// Deposits that are not over, oldest first: of one principal, or of all.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub async fn deposits(&self, principal: Option<&str>) -> Result<Vec<Deposit>, LedgerError> {
        let principal = principal.map(str::to_owned);
        self.0.writer.read(move |conn| unfinished(conn, principal.as_deref())).await
    }

    /// Writes where a deposit stands. Returns where it really does: nobody opens it again.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub async fn keep_deposit(&self, id: PurchaseId, kept: Kept) -> Result<DepositState, LedgerError> {
        let now = self.now();
        self.0.writer.write(move |conn| keep(conn, now, id, &kept)).await
    }

    /// Writes that a call drew on a deposit, and how much of it seems to be used by now.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub async fn drew_on(&self, id: PurchaseId, used: Amount) -> Result<(), LedgerError> {
        let now = self.now() as i64;
        self.0
            .writer
            .write(move |conn| {
                conn.prepare_cached(
                    "UPDATE deposit SET used = max(used, ?2), used_ms = max(used_ms, ?3) WHERE purchase_id = ?1",
                )?
                .execute(params![id.to_string(), used.atomic() as i64, now])?;
                Ok(())
            })
            .await
    }

    /// Records what our own wallet saw come back of a deposit, once. Returns what counts of it.
    ///
    /// # Errors
    /// The ledger cannot be written; it can be asked again.
    pub async fn came_back(&self, id: PurchaseId, came: Amount, proof: Vec<u8>) -> Result<Option<Amount>, LedgerError> {
        let now = self.now();
        self.0.writer.write(move |conn| credit(conn, now, id, came, &proof)).await
    }

    /// Records that nothing can come back of a deposit any more.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub async fn nothing_came_back(&self, id: PurchaseId, why: &str) -> Result<(), LedgerError> {
        let (now, why) = (self.now(), why.to_owned());
        self.0
            .writer
            .write(move |conn| {
                let (Some(deposit), Some(at)) = (find(conn, id)?, purchase::find(conn, id)?) else { return Ok(()) };
                if deposit.state == DepositState::Done {
                    return Ok(());
                }
                finish(conn, &id.to_string())?;
                steps::log(conn, now, &at, "deposit", at.price, json!({ "deposit": "done", "note": why }))
            })
            .await
    }

    /// Asks whoever drives a deposit to close it.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub async fn ask_to_close(&self, id: PurchaseId) -> Result<(), LedgerError> {
        let now = self.now() as i64;
        self.0
            .writer
            .write(move |conn| {
                let sql = "UPDATE deposit SET close_asked_ms = ? WHERE purchase_id = ? AND state IN('open','closing')";
                conn.execute(sql, params![now, id.to_string()])?;
                Ok(())
            })
            .await
    }

    /// How many answers a principal bought from an origin since a time, in unix milliseconds, and was handed.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub async fn bought_since(&self, principal: &str, origin: &str, since_ms: i64) -> Result<u32, LedgerError> {
        let (principal, origin) = (principal.to_owned(), origin.to_owned());
        self.0
            .writer
            .read(move |conn| {
                let sql = "SELECT count(*) FROM purchase WHERE origin = ? AND state = 'delivered' AND principal = ?
                             AND created_ms >= ?";
                Ok(conn.query_row(sql, params![origin, principal, since_ms], |r| r.get(0))?)
            })
            .await
    }
}

/// Whether another process that still runs drives this deposit.
pub(super) fn is_driven_elsewhere(home: &std::path::Path, me: &str, owner: Option<&str>) -> bool {
    owner.is_some_and(|owner| owner != me && owner::alive(home, owner))
}
