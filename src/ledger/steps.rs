//! The durable steps of a purchase: W1, W2, W3, and what may happen instead.
//!
//! Every function here runs inside one transaction of the writer thread and leaves one journal line behind. A step that
//! was already taken, by another task or process, changes nothing: the caller reads where the purchase stands.

use rusqlite::{Connection, OptionalExtension, params};
use serde_json::json;

use super::{
    Begun, By, Committed, Intent, LedgerError, NewPurchase, PurchaseId, Standing, State, StoredResult,
    budget::{self, Close},
    journal,
    purchase::{LEAST_LEFT_S, bytes_of, find, intent, latest, stands_for},
    said, session,
};
use crate::{config::LimitTable, money::Amount};

/// An origin that took money and delivered nothing is not paid again for this long.
const COOL_DOWN_MS: i64 = 24 * 3600 * 1000;
/// How long after its liability an unknown outcome may be closed by a person, in seconds.
const GRACE_S: i64 = 120;
/// At most this many purchases of unknown outcome a host: beyond, a seller that never settles would fill the budget. Those
/// of all principals count together, since the wallet is one and so is what is known of a seller.
const MAX_UNKNOWN_PER_HOST: i64 = 3;

/// W1 (or the hold that waits for a person): one transaction, or nothing.
pub(super) fn begin(
    conn: &Connection,
    table: &LimitTable,
    now_ms: u64,
    new: &NewPurchase,
    intent: Intent,
    ask_a_person: bool,
) -> Result<Begun, LedgerError> {
    let mut generation = 0;
    if let Some((standing, last)) = latest(conn, &new.principal, &new.idem.key)? {
        if new.idem.explicit && standing.request_hash != new.idem.request_hash {
            return Ok(Begun::KeyTaken(standing.id));
        }
        let bought_since = standing.state == State::Delivered && new.seen.is_none_or(|seen| last > seen);
        if bought_since || stands_for(&standing, new.idem.explicit) {
            return Ok(Begun::Exists(Box::new(standing)));
        }
        generation = last + 1;
    }
    if let Some(no) = refused_by_history(conn, now_ms, new, &intent)? {
        return Ok(no);
    }
    // The first money that is held fixes the ledger's world.
    conn.execute("INSERT OR IGNORE INTO meta VALUES('world', ?)", [&new.world])?;
    let session = session::touch(conn, &new.principal, &new.session_key, now_ms)?;
    let ask = budget::Ask {
        principal: &new.principal,
        session: &session,
        host: &new.host,
        price: intent.price,
        fee_cap: intent.fee_cap,
    };
    let held = match budget::hold(conn, table, now_ms, &ask)? {
        Ok(held) => held,
        // The caller rolls back, so that no half of the holds stays.
        Err(no_room) => return Err(LedgerError::NoRoom(Box::new(no_room))),
    };
    let id = new.id.to_string();
    let state = if ask_a_person { State::AwaitingApproval } else { State::Paying };
    conn.prepare_cached(
        "INSERT INTO purchase(purchase_id, principal, session_id, idem_key, generation, request_hash, method, origin,
           host, path, request, purpose, max_price, chosen_why, state, note, created_ms, updated_ms)
         VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,'',?16,?16)",
    )?
    .execute(params![
        id,
        new.principal,
        session,
        new.idem.key,
        generation,
        new.idem.request_hash,
        new.method,
        new.origin,
        new.host,
        new.path,
        new.request,
        new.purpose,
        new.max_price.map(|a| a.to_string()).unwrap_or_default(),
        new.chosen_why,
        state.name(),
        now_ms as i64,
    ])?;
    insert_intent(conn, &intent, if ask_a_person { "pinned" } else { "live" }, &held.holds)?;
    let needs = intent.price.plus(intent.fee_cap).unwrap_or(intent.price);
    let line = journal::Line {
        purchase: Some(&id),
        session: Some(&session),
        principal: &new.principal,
        kind: if ask_a_person { "ask" } else { "reserve" },
        currency: intent.price.currency().code(),
        amount: needs.atomic() as i64,
        note: json!({ "host": new.host, "price": intent.price, "fee_cap": intent.fee_cap }),
    };
    journal::append(conn, now_ms, &line, &held.looked)?;
    Ok(if ask_a_person { Begun::Awaiting(new.id) } else { Begun::Committed(Box::new(Committed::new(intent, true))) })
}

/// Writes an intent and what is held for it.
pub(super) fn insert_intent(
    conn: &Connection,
    intent: &Intent,
    state: &str,
    holds: &[(i64, i64)],
) -> Result<(), LedgerError> {
    let id = intent.purchase.to_string();
    conn.prepare_cached(
        "INSERT INTO intent(purchase_id, n, protocol, rail, network, asset, payee, rail_key, wallet, currency, amount,
           fee_cap, liability_until_s, resend_until_s, bytes, state) VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
    )?
    .execute(params![
        id,
        intent.n,
        intent.protocol,
        intent.rail,
        intent.network,
        intent.asset,
        intent.payee,
        intent.rail_key,
        intent.wallet,
        intent.price.currency().code(),
        intent.price.atomic() as i64,
        intent.fee_cap.atomic() as i64,
        intent.liability_until as i64,
        intent.resend_until as i64,
        bytes_of(&intent.pin, &intent.wire),
        state,
    ])?;
    let needs = intent.price.plus(intent.fee_cap).unwrap_or(intent.price);
    for (budget, win) in holds {
        conn.prepare_cached("INSERT INTO hold(purchase_id, n, budget_id, win, amount) VALUES(?,?,?,?,?)")?
            .execute(params![id, intent.n, budget, win, needs.atomic() as i64])?;
    }
    Ok(())
}

/// What earlier purchases forbid: a frozen wallet, the other world, a seller that kept the money, a known invoice.
fn refused_by_history(
    conn: &Connection,
    now_ms: u64,
    new: &NewPurchase,
    intent: &Intent,
) -> Result<Option<Begun>, LedgerError> {
    let world: Option<String> =
        conn.query_row("SELECT value FROM meta WHERE key = 'world'", [], |r| r.get(0)).optional()?;
    if let Some(world) = world.filter(|world| *world != new.world) {
        return Ok(Some(Begun::OtherWorld(world)));
    }
    if let Some(why) = frozen(conn, &new.wallet_id)? {
        return Ok(Some(Begun::Frozen(why)));
    }
    let other: Option<String> = conn
        .query_row("SELECT purchase_id FROM intent WHERE rail_key = ?", [&intent.rail_key], |r| r.get(0))
        .optional()?;
    if let Some(id) = other.and_then(|id| id.parse().ok()) {
        return Ok(Some(Begun::RailKeyTaken(id)));
    }
    let kept: Option<String> = conn
        .query_row(
            "SELECT purchase_id FROM purchase WHERE origin = ? AND state = 'undelivered'
               AND http_status IN(401, 402) AND updated_ms > ? ORDER BY updated_ms DESC LIMIT 1",
            params![new.origin, now_ms as i64 - COOL_DOWN_MS],
            |r| r.get(0),
        )
        .optional()?;
    if let Some(id) = kept.and_then(|id| id.parse().ok()) {
        return Ok(Some(Begun::CoolingDown(id)));
    }
    let unknown: i64 =
        conn.query_row("SELECT count(*) FROM purchase WHERE host = ? AND state = 'unknown'", [&new.host], |r| {
            r.get(0)
        })?;
    Ok((unknown >= MAX_UNKNOWN_PER_HOST).then_some(Begun::TooManyUnknown(unknown)))
}

/// A purchase of which nothing was sent yet.
pub(super) const WAITING: [State; 1] = [State::AwaitingApproval];
/// Purchases of which money may have left.
pub(super) const AT_RISK: [State; 2] = [State::Paying, State::Unknown];

/// One step of a purchase that stands.
pub(super) struct Step<'a> {
    pub(super) kind: &'a str,
    pub(super) to: State,
    pub(super) note: &'a str,
    pub(super) amount: Amount,
}

/// Moves the purchase and writes the journal line. The caller has changed intent and budgets already.
pub(super) fn advance(conn: &Connection, now_ms: u64, at: &Standing, step: &Step<'_>) -> Result<(), LedgerError> {
    advance_by(conn, now_ms, at, step, None)
}

/// The same where a transaction moved the money: the journal keeps its name in clear, since the proof is secret.
fn advance_by(
    conn: &Connection,
    now_ms: u64,
    at: &Standing,
    step: &Step<'_>,
    transaction: Option<&str>,
) -> Result<(), LedgerError> {
    let id = at.id.to_string();
    conn.prepare_cached("UPDATE purchase SET state = ?, note = ?, updated_ms = ? WHERE purchase_id = ?")?
        .execute(params![step.to.name(), step.note, now_ms as i64, id])?;
    let mut note = json!({ "state": step.to, "note": step.note });
    if let Some(transaction) = transaction {
        note["transaction"] = transaction.into();
    }
    log(conn, now_ms, at, step.kind, step.amount, note)
}

/// Writes a journal line about a purchase as it now stands.
pub(super) fn log(
    conn: &Connection,
    now_ms: u64,
    at: &Standing,
    kind: &str,
    amount: Amount,
    note: serde_json::Value,
) -> Result<(), LedgerError> {
    let id = at.id.to_string();
    let line = journal::Line {
        purchase: Some(&id),
        session: Some(&at.session),
        principal: &at.principal,
        kind,
        currency: amount.currency().code(),
        amount: amount.atomic() as i64,
        note,
    };
    journal::append(conn, now_ms, &line, &[])
}

/// An approved purchase becomes `paying`: its bytes are written now, before they are sent.
pub(super) fn arm(
    conn: &Connection,
    now_ms: u64,
    id: PurchaseId,
    wire: &[u8],
    resend_until: u64,
) -> Result<Armed, LedgerError> {
    let (Some(at), Some(pinned)) = (find(conn, id)?, intent(conn, id)?) else { return Ok(Armed::Gone) };
    if at.state != State::AwaitingApproval || at.approved_ms.is_none() {
        return Ok(Armed::Gone);
    }
    if let Some(why) = frozen(conn, &pinned.wallet)? {
        return Ok(Armed::Frozen(why));
    }
    conn.execute(
        "UPDATE intent SET bytes = ?, resend_until_s = ?, state = 'live' WHERE purchase_id = ? AND n = ?",
        params![bytes_of(&pinned.pin, wire), resend_until as i64, id.to_string(), pinned.n],
    )?;
    let step = Step { kind: "reserve", to: State::Paying, note: "approved by a person", amount: at.price };
    advance(conn, now_ms, &at, &step)?;
    let armed = Intent { wire: wire.to_vec(), resend_until, ..(*pinned).clone() };
    Ok(Armed::Committed(Box::new(Committed::new(armed, true))))
}

/// What became of [`super::Ledger::arm`].
#[derive(Debug)]
pub enum Armed {
    /// W1 is on disk: pay.
    Committed(Box<Committed<Intent>>),
    /// It no longer waits.
    Gone,
    /// The wallet is frozen until the operator looks. The purchase still waits.
    Frozen(String),
}

/// Why a wallet is frozen, if it is.
pub(super) fn frozen(conn: &Connection, wallet: &str) -> Result<Option<String>, LedgerError> {
    let sql = "SELECT frozen_why FROM wallet WHERE wallet_id = ? AND frozen_ms IS NOT NULL";
    Ok(conn.query_row(sql, [wallet], |r| r.get(0)).optional()?)
}

/// `paying` becomes `unknown`.
pub(super) fn unknown(conn: &Connection, now_ms: u64, id: PurchaseId, why: &str) -> Result<(), LedgerError> {
    match find(conn, id)? {
        Some(at) if at.state == State::Paying => {
            advance(conn, now_ms, &at, &Step { kind: "unknown", to: State::Unknown, note: why, amount: at.price })
        }
        _ => Ok(()),
    }
}

/// What W2 needs.
#[derive(Clone, Debug)]
pub struct Payment {
    /// The proof, as JSON of `protocol::Proof` (secret).
    pub proof: Vec<u8>,
    /// The transaction that moved it, where the rail has one and it is known: the one part that may be shown.
    pub transaction: Option<String>,
    /// What the seller got; the price, unless the rail settles less.
    pub spent: Amount,
    /// The fee, where the wallet told it. `None` charges the whole allowance and says so.
    pub fee: Option<Amount>,
    /// Whether the proof opens more than this purchase, so that it is worth keeping.
    pub opens_more: bool,
    /// When the credential expires, where the seller says so.
    pub expires_s: Option<u64>,
    /// The wallet's fingerprint, frozen when it took more than was held.
    pub wallet_id: String,
}

/// W2: proof, post to the budgets, credential. From `failed` it becomes `late` instead, and the wallet is frozen.
pub(super) fn paid(conn: &Connection, now_ms: u64, id: PurchaseId, payment: &Payment) -> Result<State, LedgerError> {
    let Some(at) = find(conn, id)? else { return Err(LedgerError::Broken(format!("{id} is not in the ledger"))) };
    let late = match at.state {
        State::Paying | State::Unknown => false,
        State::Failed => true,
        other => return Ok(other),
    };
    if payment.spent.currency() != at.price.currency() {
        return Err(LedgerError::Broken(format!("{id} costs {}, and {} is another currency", at.price, payment.spent)));
    }
    let fee = payment.fee.unwrap_or(at.fee_cap);
    let left = payment.spent.plus(fee).ok_or_else(|| LedgerError::Broken("the fee is not an amount".into()))?;
    let held = at.price.plus(at.fee_cap).unwrap_or(at.price);
    conn.execute(
        "UPDATE intent SET state = ?, proof = ?, spent = ?, fee = ?, settled_ms = ? WHERE purchase_id = ? AND n = ?",
        params![
            if late { "late" } else { "settled" },
            payment.proof,
            payment.spent.atomic() as i64,
            fee.atomic() as i64,
            now_ms as i64,
            id.to_string(),
            at.n
        ],
    )?;
    let mut note = match payment.fee {
        Some(_) => String::new(),
        None => "the wallet did not tell the fee: the whole allowance is charged".to_owned(),
    };
    if late {
        budget::late(conn, &id.to_string(), at.n, left)?;
        note = "it settled after it was taken for failed".into();
    } else {
        budget::close(conn, &id.to_string(), at.n, Close::Post(left))?;
    }
    if !late && payment.opens_more {
        let sql = "INSERT OR IGNORE INTO credential(principal, origin, protocol, purchase_id, body, proof, state,
                expires_s, created_ms) SELECT ?, ?, ?, ?, bytes, ?, 'usable', ?, ? FROM intent
                WHERE purchase_id = ?4 AND n = ?8";
        conn.execute(
            sql,
            params![
                at.principal,
                at.origin,
                at.protocol,
                id.to_string(),
                payment.proof,
                payment.expires_s.map(|s| s as i64),
                now_ms as i64,
                at.n
            ],
        )?;
    }
    let overrun = left.exceeds(held);
    if overrun {
        note = format!("the wallet took a fee of {fee}, more than the {} held for it", at.fee_cap);
    }
    if late || overrun {
        freeze(conn, now_ms, &payment.wallet_id, &format!("{id}: {note}"))?;
    }
    let to = if late { State::Late } else { State::Paid };
    let step = Step { kind: if late { "late" } else { "post" }, to, note: &note, amount: left };
    advance_by(conn, now_ms, &at, &step, payment.transaction.as_deref())?;
    Ok(to)
}

/// No money left: the holds are given back.
pub(super) fn failed(
    conn: &Connection,
    now_ms: u64,
    id: PurchaseId,
    why: &str,
    from: &[State],
) -> Result<State, LedgerError> {
    let Some(at) = find(conn, id)? else { return Err(LedgerError::Broken(format!("{id} is not in the ledger"))) };
    // Whoever decided saw the purchase in one of these; another process may have taken it further since.
    if !from.contains(&at.state) {
        return Ok(at.state);
    }
    conn.execute("UPDATE intent SET state = 'void' WHERE purchase_id = ? AND n = ?", params![id.to_string(), at.n])?;
    budget::close(conn, &id.to_string(), at.n, Close::Void)?;
    advance(conn, now_ms, &at, &Step { kind: "void", to: State::Failed, note: why, amount: at.price })?;
    Ok(State::Failed)
}

/// Fails what waited for a person until its price ran out.
pub(super) fn expire_awaiting(conn: &Connection, now_ms: u64) -> Result<(), LedgerError> {
    let mut statement = conn.prepare_cached(
        "SELECT p.purchase_id FROM purchase p JOIN intent i USING(purchase_id)
         WHERE p.state = 'awaiting_approval' AND i.liability_until_s < ?",
    )?;
    let ids = statement.query_map([(now_ms / 1000) as i64 + LEAST_LEFT_S], |r| r.get::<_, String>(0))?;
    let ids: Vec<String> = ids.collect::<Result<_, _>>()?;
    for id in ids.iter().filter_map(|id| id.parse().ok()) {
        failed(conn, now_ms, id, "its price ran out while it waited for a person", &WAITING)?;
    }
    Ok(())
}

/// A person's decision about a purchase that waits, or about a frozen wallet behind a late one.
pub(super) fn decide(
    conn: &Connection,
    now_ms: u64,
    id: PurchaseId,
    yes: bool,
    by: By,
) -> Result<Decided, LedgerError> {
    let Some(at) = find(conn, id)? else { return Ok(Decided::NotThere) };
    match (at.state, yes) {
        (State::AwaitingApproval, true) if at.approved_ms.is_none() => {
            conn.execute(
                "UPDATE purchase SET approved_ms = ? WHERE purchase_id = ?",
                params![now_ms as i64, id.to_string()],
            )?;
            log(conn, now_ms, &at, "approve", at.price, json!({ "by": by.name() }))?;
            Ok(Decided::Approved(Box::new(at)))
        }
        (State::AwaitingApproval, true) => Ok(Decided::Approved(Box::new(at))),
        (State::AwaitingApproval, false) => {
            failed(conn, now_ms, id, &format!("a person said no {}", by.where_it_was_said()), &WAITING)?;
            Ok(Decided::Denied(Box::new(at)))
        }
        // Nobody can be asked any more, and the operator has looked: their word closes it.
        (State::Unknown, false) if (now_ms / 1000) as i64 > at.liability_until_s + GRACE_S => {
            if said::stands(conn, id)? {
                said::close(conn, now_ms, &at)?;
                return Ok(Decided::Spent(Box::new(at)));
            }
            failed(conn, now_ms, id, "a person says that it was not paid", &AT_RISK)?;
            Ok(Decided::Denied(Box::new(at)))
        }
        (_, true) => {
            let like = format!("{id}:%");
            let sql = "UPDATE wallet SET frozen_ms = NULL, frozen_why = '' WHERE frozen_why LIKE ?";
            if conn.execute(sql, [like])? == 0 {
                return Ok(Decided::NothingToDecide(at.state));
            }
            log(
                conn,
                now_ms,
                &at,
                "thaw",
                at.price,
                json!({ "note": "a person looked and let the wallet pay again" }),
            )?;
            Ok(Decided::Thawed(Box::new(at)))
        }
        (state, false) => Ok(Decided::NothingToDecide(state)),
    }
}

/// What `approve` or `deny` did.
#[derive(Clone, Debug)]
pub enum Decided {
    /// No such purchase.
    NotThere,
    /// It may be paid now.
    Approved(Box<Standing>),
    /// It will not be paid.
    Denied(Box<Standing>),
    /// The wallet had said that it paid, so it counts as spent.
    Spent(Box<Standing>),
    /// The wallet may pay again.
    Thawed(Box<Standing>),
    /// It waits for nobody.
    NothingToDecide(State),
}

pub(super) fn freeze(conn: &Connection, now_ms: u64, wallet: &str, why: &str) -> Result<(), LedgerError> {
    conn.execute(
        "INSERT INTO wallet(wallet_id, world, cipher, frozen_ms, frozen_why, seen_ms) VALUES(?1, '', '', ?2, ?3, ?2)
         ON CONFLICT(wallet_id) DO UPDATE SET frozen_ms = ?2, frozen_why = ?3",
        params![wallet, now_ms as i64, why],
    )?;
    Ok(())
}

/// W3: the seller answered. The body is on disk already.
pub(super) fn delivered(
    conn: &Connection,
    now_ms: u64,
    id: PurchaseId,
    result: &StoredResult,
) -> Result<State, LedgerError> {
    let Some(at) = find(conn, id)? else { return Err(LedgerError::Broken(format!("{id} is not in the ledger"))) };
    if !matches!(at.state, State::Paid | State::Undelivered) {
        return Ok(at.state);
    }
    super::result::insert(conn, &at.principal, &at.session, Some(id), result)?;
    conn.execute(
        "UPDATE purchase SET http_status = ?, result_sha256 = ?, result_size = ? WHERE purchase_id = ?",
        params![result.status, result.sha256, result.size as i64, id.to_string()],
    )?;
    conn.execute(
        "INSERT INTO credential_path SELECT credential_id, ?, 'accepted', ? FROM credential WHERE purchase_id = ?
         ON CONFLICT DO UPDATE SET verdict = 'accepted', at_ms = excluded.at_ms",
        params![at.path, now_ms as i64, id.to_string()],
    )?;
    conn.execute("UPDATE credential SET state = 'usable' WHERE purchase_id = ? AND state = 'own'", [id.to_string()])?;
    advance(conn, now_ms, &at, &Step { kind: "deliver", to: State::Delivered, note: "", amount: at.price })?;
    Ok(State::Delivered)
}

/// Paid, and the seller did not deliver. `status` is `None` when it did not answer at all.
pub(super) fn undelivered(
    conn: &Connection,
    now_ms: u64,
    id: PurchaseId,
    status: Option<u16>,
    why: &str,
) -> Result<State, LedgerError> {
    let Some(at) = find(conn, id)? else { return Err(LedgerError::Broken(format!("{id} is not in the ledger"))) };
    if !matches!(at.state, State::Paid | State::Undelivered) {
        return Ok(at.state);
    }
    conn.execute("UPDATE purchase SET http_status = ? WHERE purchase_id = ?", params![status, id.to_string()])?;
    conn.execute("UPDATE credential SET state = 'own' WHERE purchase_id = ? AND state = 'usable'", [id.to_string()])?;
    let step = Step { kind: "undelivered", to: State::Undelivered, note: why, amount: at.price };
    advance(conn, now_ms, &at, &step)?;
    Ok(State::Undelivered)
}

/// The answer was handed to a call that was still there: an equal call is a new request from now on.
pub(super) fn answered(conn: &Connection, now_ms: u64, id: PurchaseId) -> Result<(), LedgerError> {
    let Some(at) = find(conn, id)? else { return Ok(()) };
    if at.state != State::Delivered || at.answered_ms.is_some() {
        return Ok(());
    }
    conn.execute("UPDATE purchase SET answered_ms = ? WHERE purchase_id = ?", params![now_ms as i64, id.to_string()])?;
    log(conn, now_ms, &at, "answer", at.price, json!({}))
}

/// Notes that a look-up says there was no such payment; returns since when that has been said without a break.
pub(super) fn absent(conn: &Connection, now_ms: u64, id: PurchaseId, absent: bool) -> Result<Option<i64>, LedgerError> {
    conn.execute(
        "INSERT INTO driver(purchase_id, owner, absent_ms, looked_ms) VALUES(?1, '', CASE WHEN ?3 THEN ?2 END, ?2)
         ON CONFLICT DO UPDATE SET looked_ms = ?2, absent_ms = CASE WHEN ?3 THEN ifnull(absent_ms, ?2) END",
        params![id.to_string(), now_ms as i64, absent],
    )?;
    let since = conn.query_row("SELECT absent_ms FROM driver WHERE purchase_id = ?", [id.to_string()], |r| r.get(0))?;
    Ok(since)
}
