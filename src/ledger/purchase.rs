//! The rows of a purchase, and reading them back.

use rusqlite::{Connection, OptionalExtension, params};

use super::{Committed, Intent, LedgerError, PurchaseId, State, budget::NoRoom};
use crate::money::{Amount, Currency};

/// What must be left of a price's life to begin paying it, in seconds; as for invoices.
pub(super) const LEAST_LEFT_S: i64 = 20;

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
    /// The session's key, or empty.
    pub session_key: String,
    /// The most the caller was ready to pay.
    pub max_price: Option<Amount>,
    /// Where it stands.
    pub state: State,
    /// Its idempotency key.
    pub idem_key: String,
    /// Which of the purchases of that key it is, from 0.
    pub generation: i64,
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
    /// The number of the intent that these are of: the last one.
    pub n: u32,
    /// What left, without the fee, for all its intents. Zero until W2.
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
    p.answered_ms, i.protocol, i.rail, i.network, i.payee, i.currency, i.amount, i.fee_cap,
    (SELECT sum(spent) FROM intent WHERE purchase_id = p.purchase_id),
    (SELECT sum(fee) FROM intent WHERE purchase_id = p.purchase_id),
    i.liability_until_s, p.idem_key, p.generation, i.n,
    (SELECT key FROM session WHERE session_id = p.session_id), p.max_price FROM purchase p JOIN intent i ON i.purchase_id = p.purchase_id
      AND i.n = (SELECT max(n) FROM intent WHERE purchase_id = p.purchase_id)";

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
        session_key: row.get(31)?,
        max_price: row.get::<_, String>(32)?.parse().ok(),
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
        generation: row.get(29)?,
        n: row.get(30)?,
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
            // Its last signature is void; one before it may have been taken all the same.
            State::Failed => !standing.spent.is_zero(),
            State::Late => false,
            State::Delivered => standing.answered_ms.is_none(),
            _ => true,
        }
}

/// Purchases that some rule may still move, oldest first.
pub(super) fn unresolved(conn: &Connection, now_s: u64) -> Result<Vec<PurchaseId>, LedgerError> {
    let mut statement = conn.prepare_cached(
        "SELECT p.purchase_id FROM purchase p WHERE p.state IN('paying','unknown','paid') OR EXISTS(
           SELECT 1 FROM intent i WHERE i.purchase_id = p.purchase_id AND (
             (p.state = 'failed' AND i.resend_until_s > 0 AND i.liability_until_s + 600 > ?)
             OR (i.state = 'live' AND i.n < (SELECT max(n) FROM intent WHERE purchase_id = p.purchase_id))))
         ORDER BY p.created_ms",
    )?;
    let ids = statement.query_map([now_s as i64], |r| r.get::<_, String>(0))?;
    Ok(ids.collect::<Result<Vec<_>, _>>()?.iter().filter_map(|id| id.parse().ok()).collect())
}

pub(super) fn bytes_of(pin: &[u8], wire: &[u8]) -> Vec<u8> {
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

const INTENT: &str = "SELECT n, protocol, rail, network, asset, payee, rail_key, wallet, currency, amount, fee_cap,
    liability_until_s, resend_until_s, bytes FROM intent WHERE purchase_id = ?";

fn intent_from(id: PurchaseId, row: &rusqlite::Row<'_>) -> rusqlite::Result<Committed<Intent>> {
    let code: String = row.get(8)?;
    let currency = Currency::from_code(&code).ok_or_else(|| text_error(8, code))?;
    let amount = |i: usize| -> rusqlite::Result<Amount> {
        let atomic: i64 = row.get(i)?;
        let amount = u64::try_from(atomic).ok().and_then(|a| Amount::new(currency, a));
        amount.ok_or_else(|| text_error(i, format!("{atomic} is not an amount")))
    };
    let bytes: Vec<u8> = row.get(13)?;
    let (pin, wire) = parts_of(&bytes).ok_or_else(|| text_error(13, "bytes".into()))?;
    let intent = Intent {
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
    };
    Ok(Committed::new(intent, false))
}

/// Reads a purchase's last intent back. It is committed, but its bytes may have been sent before.
pub(super) fn intent(conn: &Connection, id: PurchaseId) -> Result<Option<Committed<Intent>>, LedgerError> {
    let sql = format!("{INTENT} ORDER BY n DESC LIMIT 1");
    Ok(conn.prepare_cached(&sql)?.query_row([id.to_string()], |row| intent_from(id, row)).optional()?)
}

/// One intent of a purchase, by its number.
pub(super) fn intent_nth(conn: &Connection, id: PurchaseId, n: u32) -> Result<Option<Committed<Intent>>, LedgerError> {
    let sql = format!("{INTENT} AND n = ?2");
    let row = conn.prepare_cached(&sql)?.query_row(rusqlite::params![id.to_string(), n], |row| intent_from(id, row));
    Ok(row.optional()?)
}

/// The intents that another one took the place of, and that may still be used.
pub(super) fn earlier(conn: &Connection, id: PurchaseId) -> Result<Vec<Committed<Intent>>, LedgerError> {
    let sql =
        format!("{INTENT} AND state = 'live' AND n < (SELECT max(n) FROM intent WHERE purchase_id = ?1) ORDER BY n");
    let mut statement = conn.prepare_cached(&sql)?;
    let rows = statement.query_map([id.to_string()], |row| intent_from(id, row))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The rest of an intent's or a credential's bytes, behind the protocol's part.
pub(super) fn wire_of(bytes: &[u8]) -> Vec<u8> {
    parts_of(bytes).map(|(_, wire)| wire).unwrap_or_default()
}

/// The protocol's part of an intent's bytes.
pub(super) fn pin_of(bytes: &[u8]) -> Vec<u8> {
    parts_of(bytes).map(|(pin, _)| pin).unwrap_or_default()
}
