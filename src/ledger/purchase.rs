//! The rows of a purchase, and the durable steps W1, W2, W3.
//!
//! Every function here runs inside one transaction of the writer thread and leaves one journal line behind. A step that
//! was already taken, by another task or process, changes nothing: the caller reads where the purchase stands.

use rusqlite::{Connection, OptionalExtension, params};
use serde_json::json;

use super::{
    Committed, Intent, LedgerError, PurchaseId, State,
    budget::{self, Close, NoRoom},
    journal, session,
};
use crate::{
    config::LimitTable,
    money::{Amount, Currency},
};

/// An origin that took money and delivered nothing is not paid again for this long.
const COOL_DOWN_MS: i64 = 24 * 3600 * 1000;
/// What must be left of a price's life to begin paying it, in seconds; as for invoices.
const LEAST_LEFT_S: i64 = 20;
/// At most this many purchases of unknown outcome a host: beyond, a seller that never settles would fill the budget.
const MAX_UNKNOWN_PER_HOST: i64 = 3;

/// What makes two calls the same purchase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idempotency {
    /// The key: `k:<the caller's own>`, or `a:<digest of the request>`.
    pub key: String,
    /// Whether the caller chose the key: then it is one purchase for ever.
    pub explicit: bool,
    /// A digest of everything that would make it another request.
    pub request_hash: String,
}

/// A purchase that wants to begin.
#[derive(Clone, Debug)]
pub struct NewPurchase {
    /// Its id.
    pub id: PurchaseId,
    /// Who buys.
    pub principal: String,
    /// The key of the session, or empty.
    pub session_key: String,
    /// What makes it the same as another.
    pub idem: Idempotency,
    /// The newest generation of the key when the call began: one that came since answers this call too.
    pub seen: Option<i64>,
    /// The request's method.
    pub method: String,
    /// The exact origin.
    pub origin: String,
    /// The host, in ASCII.
    pub host: String,
    /// The path, without the query.
    pub path: String,
    /// The whole request, to be sent again.
    pub request: Vec<u8>,
    /// Why, in the caller's words.
    pub purpose: String,
    /// The most the caller is ready to pay.
    pub max_price: Option<Amount>,
    /// Why this offer was chosen.
    pub chosen_why: String,
    /// The wallet's public fingerprint and its world: a frozen wallet or another world is refused.
    pub wallet_id: String,
    /// `main` or `test`.
    pub world: String,
}

/// What became of [`super::Ledger::begin`].
#[derive(Debug)]
pub enum Begun {
    /// W1 is on disk: pay.
    Committed(Box<Committed<Intent>>),
    /// The hold is on disk; a person must approve.
    Awaiting(PurchaseId),
    /// An equal purchase is there already: no second one.
    Exists(Box<Standing>),
    /// The caller's key belongs to another request.
    KeyTaken(PurchaseId),
    /// The invoice (or nonce) belongs to another purchase.
    RailKeyTaken(PurchaseId),
    /// A limit says no.
    NoRoom(NoRoom),
    /// The wallet is frozen until the operator looks.
    Frozen(String),
    /// This origin took money and delivered nothing.
    CoolingDown(PurchaseId),
    /// Too many purchases of unknown outcome at this host.
    TooManyUnknown(i64),
    /// The ledger holds the other world.
    OtherWorld(String),
}

/// One purchase as it stands.
#[derive(Clone, Debug)]
pub struct Standing {
    /// Its id.
    pub id: PurchaseId,
    /// Who bought.
    pub principal: String,
    /// The session.
    pub session: String,
    /// Where it stands.
    pub state: State,
    /// Its idempotency key.
    pub idem_key: String,
    /// The digest of its request.
    pub request_hash: String,
    /// Method, origin, host and path of the request.
    pub method: String,
    /// The exact origin.
    pub origin: String,
    /// The host.
    pub host: String,
    /// The path without the query.
    pub path: String,
    /// The whole request.
    pub request: Vec<u8>,
    /// Why, in the caller's words.
    pub purpose: String,
    /// Why this offer was chosen.
    pub chosen_why: String,
    /// Why it stands where it stands.
    pub note: String,
    /// The seller's status, once it answered.
    pub http_status: Option<u16>,
    /// When a person approved it.
    pub approved_ms: Option<i64>,
    /// When it began, unix milliseconds.
    pub created_ms: i64,
    /// When it last changed.
    pub updated_ms: i64,
    /// When its answer was handed over.
    pub answered_ms: Option<i64>,
    /// The dialect.
    pub protocol: String,
    /// The rail.
    pub rail: String,
    /// The network.
    pub network: String,
    /// Who is paid.
    pub payee: String,
    /// The price.
    pub price: Amount,
    /// The most the fee may be.
    pub fee_cap: Amount,
    /// What left, without the fee. Zero until W2.
    pub spent: Amount,
    /// The fee that was paid.
    pub fee: Amount,
    /// Until when money may still leave, unix seconds.
    pub liability_until_s: i64,
}

impl Standing {
    /// Whether too little is left of its price's life to begin paying it: what invoices must have left, in seconds.
    pub fn runs_out(&self, now_s: u64) -> bool {
        now_s as i64 + LEAST_LEFT_S > self.liability_until_s
    }

    /// Whether the caller chose the key.
    pub fn explicit_key(&self) -> bool {
        self.idem_key.starts_with("k:")
    }
}

const STANDING: &str = "SELECT p.purchase_id, p.principal, p.session_id, p.state, p.request_hash, p.method, p.origin,
    p.host, p.path, p.request, p.purpose, p.chosen_why, p.note, p.http_status, p.approved_ms, p.created_ms, p.updated_ms,
    p.answered_ms, i.protocol, i.rail, i.network, i.payee, i.currency, i.amount, i.fee_cap, i.spent, i.fee,
    i.liability_until_s, p.idem_key FROM purchase p JOIN intent i ON i.purchase_id = p.purchase_id AND i.n = 0";

fn text_error(column: usize, say: String) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, say.into())
}

fn standing_from(row: &rusqlite::Row<'_>) -> rusqlite::Result<Standing> {
    let code: String = row.get(22)?;
    let currency = Currency::from_code(&code).ok_or_else(|| text_error(22, format!("unknown currency {code}")))?;
    let amount = |i: usize| -> rusqlite::Result<Amount> {
        let atomic: i64 = row.get(i)?;
        let amount = u64::try_from(atomic).ok().and_then(|a| Amount::new(currency, a));
        amount.ok_or_else(|| text_error(i, format!("{atomic} is not an amount")))
    };
    let id: String = row.get(0)?;
    let state: String = row.get(3)?;
    Ok(Standing {
        id: id.parse().map_err(|_| text_error(0, format!("bad id {id}")))?,
        principal: row.get(1)?,
        session: row.get(2)?,
        state: State::from_name(&state).ok_or_else(|| text_error(3, format!("unknown state {state}")))?,
        request_hash: row.get(4)?,
        method: row.get(5)?,
        origin: row.get(6)?,
        host: row.get(7)?,
        path: row.get(8)?,
        request: row.get(9)?,
        purpose: row.get(10)?,
        chosen_why: row.get(11)?,
        note: row.get(12)?,
        http_status: row.get(13)?,
        approved_ms: row.get(14)?,
        created_ms: row.get(15)?,
        updated_ms: row.get(16)?,
        answered_ms: row.get(17)?,
        protocol: row.get(18)?,
        rail: row.get(19)?,
        network: row.get(20)?,
        payee: row.get(21)?,
        price: amount(23)?,
        fee_cap: amount(24)?,
        spent: amount(25)?,
        fee: amount(26)?,
        liability_until_s: row.get(27)?,
        idem_key: row.get(28)?,
    })
}

/// Reads one purchase of any principal.
pub(super) fn find(conn: &Connection, id: PurchaseId) -> Result<Option<Standing>, LedgerError> {
    let sql = format!("{STANDING} WHERE p.purchase_id = ?");
    Ok(conn.prepare_cached(&sql)?.query_row([id.to_string()], standing_from).optional()?)
}

/// The latest purchase of a key.
pub(super) fn latest(conn: &Connection, principal: &str, key: &str) -> Result<Option<(Standing, i64)>, LedgerError> {
    let generation: Option<i64> = conn
        .prepare_cached("SELECT max(generation) FROM purchase WHERE principal = ? AND idem_key = ?")?
        .query_row(params![principal, key], |r| r.get(0))?;
    let Some(generation) = generation else { return Ok(None) };
    let sql = format!("{STANDING} WHERE p.principal = ? AND p.idem_key = ? AND p.generation = ?");
    let standing = conn.prepare_cached(&sql)?.query_row(params![principal, key, generation], standing_from)?;
    Ok(Some((standing, generation)))
}

/// Whether an equal call must get this purchase instead of a new one (Contracts, Idempotency).
pub(super) fn stands_for(standing: &Standing, explicit: bool) -> bool {
    explicit
        || match standing.state {
            State::Failed | State::Late => false,
            State::Delivered => standing.answered_ms.is_none(),
            _ => true,
        }
}

/// Purchases that some rule may still move, oldest first.
pub(super) fn unresolved(conn: &Connection, now_s: u64) -> Result<Vec<PurchaseId>, LedgerError> {
    let mut statement = conn.prepare_cached(
        "SELECT p.purchase_id FROM purchase p JOIN intent i USING(purchase_id)
         WHERE p.state IN('paying','unknown')
            OR (p.state = 'failed' AND i.resend_until_s > 0 AND i.liability_until_s + 600 > ?)
         ORDER BY p.created_ms",
    )?;
    let ids = statement.query_map([now_s as i64], |r| r.get::<_, String>(0))?;
    Ok(ids.collect::<Result<Vec<_>, _>>()?.iter().filter_map(|id| id.parse().ok()).collect())
}

fn bytes_of(pin: &[u8], wire: &[u8]) -> Vec<u8> {
    let mut bytes = (pin.len() as u32).to_be_bytes().to_vec();
    bytes.extend_from_slice(pin);
    bytes.extend_from_slice(wire);
    bytes
}

fn parts_of(bytes: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let (length, rest) = bytes.split_at_checked(4)?;
    let length = u32::from_be_bytes(length.try_into().ok()?) as usize;
    let (pin, wire) = rest.split_at_checked(length)?;
    Some((pin.to_vec(), wire.to_vec()))
}

/// Reads intent 0 back. It is committed, but its bytes may have been sent before.
pub(super) fn intent(conn: &Connection, id: PurchaseId) -> Result<Option<Committed<Intent>>, LedgerError> {
    let sql = "SELECT n, protocol, rail, network, asset, payee, rail_key, wallet, currency, amount, fee_cap,
        liability_until_s, resend_until_s, bytes FROM intent WHERE purchase_id = ? AND n = 0";
    let intent = conn
        .prepare_cached(sql)?
        .query_row([id.to_string()], |row| {
            let code: String = row.get(8)?;
            let currency = Currency::from_code(&code).ok_or_else(|| text_error(8, code))?;
            let amount = |i: usize| -> rusqlite::Result<Amount> {
                let atomic: i64 = row.get(i)?;
                let amount = u64::try_from(atomic).ok().and_then(|a| Amount::new(currency, a));
                amount.ok_or_else(|| text_error(i, format!("{atomic} is not an amount")))
            };
            let bytes: Vec<u8> = row.get(13)?;
            let (pin, wire) = parts_of(&bytes).ok_or_else(|| text_error(13, "bytes".into()))?;
            Ok(Intent {
                purchase: id,
                n: row.get(0)?,
                protocol: row.get(1)?,
                rail: row.get(2)?,
                network: row.get(3)?,
                asset: row.get(4)?,
                payee: row.get(5)?,
                rail_key: row.get(6)?,
                wallet: row.get(7)?,
                price: amount(9)?,
                fee_cap: amount(10)?,
                liability_until: row.get::<_, i64>(11)?.max(0) as u64,
                resend_until: row.get::<_, i64>(12)?.max(0) as u64,
                pin,
                wire,
            })
        })
        .optional()?;
    Ok(intent.map(|i| Committed::new(i, false)))
}

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
        if ask_a_person { "pinned" } else { "live" },
    ])?;
    let needs = intent.price.plus(intent.fee_cap).unwrap_or(intent.price);
    for (budget, win) in &held.holds {
        conn.prepare_cached("INSERT INTO hold(purchase_id, n, budget_id, win, amount) VALUES(?,?,?,?,?)")?
            .execute(params![id, intent.n, budget, win, needs.atomic() as i64])?;
    }
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

/// One step of a purchase that stands.
pub(super) struct Step<'a> {
    pub(super) kind: &'a str,
    pub(super) to: State,
    pub(super) note: &'a str,
    pub(super) amount: Amount,
}

/// Moves the purchase and writes the journal line. The caller has changed intent and budgets already.
pub(super) fn advance(conn: &Connection, now_ms: u64, at: &Standing, step: &Step<'_>) -> Result<(), LedgerError> {
    let id = at.id.to_string();
    conn.prepare_cached("UPDATE purchase SET state = ?, note = ?, updated_ms = ? WHERE purchase_id = ?")?
        .execute(params![step.to.name(), step.note, now_ms as i64, id])?;
    log(conn, now_ms, at, step.kind, step.amount, json!({ "state": step.to, "note": step.note }))
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
        "UPDATE intent SET bytes = ?, resend_until_s = ?, state = 'live' WHERE purchase_id = ? AND n = 0",
        params![bytes_of(&pinned.pin, wire), resend_until as i64, id.to_string()],
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
fn frozen(conn: &Connection, wallet: &str) -> Result<Option<String>, LedgerError> {
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
    /// What the seller got; the price, unless the rail settles less.
    pub spent: Amount,
    /// The fee, where the wallet told it. `None` charges the whole allowance and says so.
    pub fee: Option<Amount>,
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
        "UPDATE intent SET state = ?, proof = ?, spent = ?, fee = ?, settled_ms = ? WHERE purchase_id = ? AND n = 0",
        params![
            if late { "late" } else { "settled" },
            payment.proof,
            payment.spent.atomic() as i64,
            fee.atomic() as i64,
            now_ms as i64,
            id.to_string()
        ],
    )?;
    let mut note = match payment.fee {
        Some(_) => String::new(),
        None => "the wallet did not tell the fee: the whole allowance is charged".to_owned(),
    };
    if late {
        budget::late(conn, &id.to_string(), 0, left)?;
        note = "it settled after it was taken for failed".into();
    } else {
        budget::close(conn, &id.to_string(), 0, Close::Post(left))?;
        let sql = "INSERT OR IGNORE INTO credential(principal, origin, protocol, purchase_id, body, proof, state,
                expires_s, created_ms) SELECT ?, ?, ?, ?, bytes, ?, 'usable', ?, ? FROM intent
                WHERE purchase_id = ?4 AND n = 0";
        conn.execute(
            sql,
            params![
                at.principal,
                at.origin,
                at.protocol,
                id.to_string(),
                payment.proof,
                payment.expires_s.map(|s| s as i64),
                now_ms as i64
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
    advance(conn, now_ms, &at, &Step { kind: if late { "late" } else { "post" }, to, note: &note, amount: left })?;
    Ok(to)
}

/// No money left: the holds are given back.
pub(super) fn failed(conn: &Connection, now_ms: u64, id: PurchaseId, why: &str) -> Result<State, LedgerError> {
    let Some(at) = find(conn, id)? else { return Err(LedgerError::Broken(format!("{id} is not in the ledger"))) };
    if !matches!(at.state, State::Paying | State::Unknown | State::AwaitingApproval) {
        return Ok(at.state);
    }
    conn.execute("UPDATE intent SET state = 'void' WHERE purchase_id = ? AND n = 0", [id.to_string()])?;
    budget::close(conn, &id.to_string(), 0, Close::Void)?;
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
        failed(conn, now_ms, id, "its price ran out while it waited for a person")?;
    }
    Ok(())
}

/// A person's decision about a purchase that waits, or about a frozen wallet behind a late one.
pub(super) fn decide(conn: &Connection, now_ms: u64, id: PurchaseId, yes: bool) -> Result<Decided, LedgerError> {
    let Some(at) = find(conn, id)? else { return Ok(Decided::NotThere) };
    match (at.state, yes) {
        (State::AwaitingApproval, true) if at.approved_ms.is_none() => {
            conn.execute(
                "UPDATE purchase SET approved_ms = ? WHERE purchase_id = ?",
                params![now_ms as i64, id.to_string()],
            )?;
            log(conn, now_ms, &at, "approve", at.price, json!({}))?;
            Ok(Decided::Approved(Box::new(at)))
        }
        (State::AwaitingApproval, true) => Ok(Decided::Approved(Box::new(at))),
        (State::AwaitingApproval, false) => {
            failed(conn, now_ms, id, "a person said no")?;
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
    /// The wallet may pay again.
    Thawed(Box<Standing>),
    /// It waits for nobody.
    NothingToDecide(State),
}

fn freeze(conn: &Connection, now_ms: u64, wallet: &str, why: &str) -> Result<(), LedgerError> {
    conn.execute(
        "INSERT INTO wallet(wallet_id, world, cipher, frozen_ms, frozen_why, seen_ms) VALUES(?1, '', '', ?2, ?3, ?2)
         ON CONFLICT(wallet_id) DO UPDATE SET frozen_ms = ?2, frozen_why = ?3",
        params![wallet, now_ms as i64, why],
    )?;
    Ok(())
}

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

/// The protocol's part of an intent's bytes.
pub(super) fn pin_of(bytes: &[u8]) -> Vec<u8> {
    parts_of(bytes).map(|(pin, _)| pin).unwrap_or_default()
}
