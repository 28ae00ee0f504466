//! A purchase's earlier intents: what was signed for a price that the seller no longer takes, and may still use.
//!
//! A purchase has one intent, unless its seller refused what was signed at a remembered price and named a new one, or
//! refused the nonce of an authorization and has the other rule for it (MPP). The earlier one then stays held beside the new one, until it was used or ran out.

use rusqlite::{Connection, OptionalExtension, params};
use serde_json::json;

use super::{
    Committed, Intent, Ledger, LedgerError, NoRoom, PurchaseId, Standing, State,
    budget::{self, Close},
    journal, purchase, steps,
};
use crate::{config::LimitTable, money::Amount};

/// What became of [`Ledger::replace`].
#[derive(Debug)]
pub enum Replaced {
    /// W1 of the new intent is on disk: pay it.
    Committed(Box<Committed<Intent>>),
    /// A limit says no.
    NoRoom(NoRoom),
    /// The purchase went on meanwhile, the wallet is frozen, or the same bytes were used before.
    Gone,
}

/// What became of an earlier intent.
#[derive(Clone, Debug)]
pub enum Fate {
    /// It was used, or counts as used.
    Spent {
        /// The proof, as JSON (secret).
        proof: Vec<u8>,
        /// What was taken.
        taken: Amount,
        /// The transaction, where it is known.
        transaction: Option<String>,
    },
    /// It was never used and cannot be any more.
    Void,
}

impl Ledger {
    /// W1 of another intent in the place of the last one, which stays held as well. Only while the purchase is paying.
    ///
    /// # Errors
    /// The ledger cannot be written; then nothing may be paid.
    pub async fn replace(&self, intent: Intent) -> Result<Replaced, LedgerError> {
        let (now, limits) = (self.now(), self.0.limits.clone());
        match self.0.writer.write(move |conn| replace(conn, &limits, now, intent)).await {
            Err(LedgerError::NoRoom(no)) => Ok(Replaced::NoRoom(*no)),
            other => other,
        }
    }

    /// The intents of a purchase that another one took the place of, and that may still be used.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub async fn earlier(&self, id: PurchaseId) -> Result<Vec<Committed<Intent>>, LedgerError> {
        self.0.writer.read(move |conn| purchase::earlier(conn, id)).await
    }

    /// Records what became of an earlier intent.
    ///
    /// # Errors
    /// The ledger cannot be written; it can be asked again.
    pub async fn close_earlier(&self, id: PurchaseId, n: u32, fate: Fate) -> Result<(), LedgerError> {
        let now = self.now();
        self.0.writer.write(move |conn| close_earlier(conn, now, id, n, &fate)).await
    }
}

fn replace(conn: &Connection, table: &LimitTable, now_ms: u64, intent: Intent) -> Result<Replaced, LedgerError> {
    let Some(at) = purchase::find(conn, intent.purchase)? else { return Ok(Replaced::Gone) };
    let known: Option<i64> =
        conn.query_row("SELECT 1 FROM intent WHERE rail_key = ?", [&intent.rail_key], |r| r.get(0)).optional()?;
    let fits = at.state == State::Paying && intent.n == at.n + 1 && intent.price.currency() == at.price.currency();
    if !fits || known.is_some() || steps::frozen(conn, &intent.wallet)?.is_some() {
        return Ok(Replaced::Gone);
    }
    let ask = budget::Ask {
        principal: &at.principal,
        session: &at.session,
        host: &at.host,
        price: intent.price,
        fee_cap: intent.fee_cap,
    };
    let held = match budget::hold(conn, table, now_ms, &ask)? {
        Ok(held) => held,
        // The caller rolls back, so that no half of the holds stays.
        Err(no_room) => return Err(LedgerError::NoRoom(Box::new(no_room))),
    };
    let purchase_limit = held.looked.first().map(|(budget, _)| *budget);
    if let Some(no_room) = too_much_together(conn, &at, intent.price, purchase_limit)? {
        return Err(LedgerError::NoRoom(Box::new(no_room)));
    }
    steps::insert_intent(conn, &intent, "live", &held.holds)?;
    let id = at.id.to_string();
    let line = journal::Line {
        purchase: Some(&id),
        session: Some(&at.session),
        principal: &at.principal,
        kind: "reserve",
        currency: intent.price.currency().code(),
        amount: intent.price.plus(intent.fee_cap).unwrap_or(intent.price).atomic() as i64,
        note: json!({ "intent": intent.n, "price": intent.price, "instead_of": at.price }),
    };
    journal::append(conn, now_ms, &line, &held.looked)?;
    Ok(Replaced::Committed(Box::new(Committed::new(intent, true))))
}

/// Whoever holds two signatures can take both, so both together must be within what one purchase may cost: the caller's
/// `max_price`, and the limit in the budget `purchase_limit`.
fn too_much_together(
    conn: &Connection,
    at: &Standing,
    price: Amount,
    purchase_limit: Option<i64>,
) -> Result<Option<NoRoom>, LedgerError> {
    let (live, max_price, limit): (i64, String, Option<i64>) = conn.query_row(
        "SELECT (SELECT ifnull(sum(amount), 0) FROM intent WHERE purchase_id = ?1 AND state = 'live'), max_price,
           (SELECT limit_atomic FROM budget WHERE budget_id = ?2) FROM purchase WHERE purchase_id = ?1",
        params![at.id.to_string(), purchase_limit],
        |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)),
    )?;
    let of = |atomic: i64| u64::try_from(atomic).ok().and_then(|atomic| Amount::new(price.currency(), atomic));
    let together = of(live).and_then(|live| live.plus(price));
    let together = together.ok_or_else(|| LedgerError::Broken(format!("{}: its prices are no amount", at.id)))?;
    let said = max_price.parse::<Amount>().ok().filter(|max| max.currency() == price.currency());
    let mosts = [(said, true), (limit.and_then(of), false)];
    let over =
        mosts.into_iter().find_map(|(most, by_caller)| Some((most.filter(|m| together.exceeds(*m))?, by_caller)));
    Ok(over.map(|(most, by_caller)| NoRoom::Together { price, together, most, by_caller }))
}

fn close_earlier(conn: &Connection, now_ms: u64, id: PurchaseId, n: u32, fate: &Fate) -> Result<(), LedgerError> {
    let open = purchase::earlier(conn, id)?.into_iter().find(|intent| intent.n == n);
    let (Some(intent), Some(at)) = (open, purchase::find(conn, id)?) else { return Ok(()) };
    let key = id.to_string();
    let mut note = json!({ "intent": n });
    let (kind, amount) = match fate {
        Fate::Spent { proof, taken, transaction } => {
            if let Some(transaction) = transaction {
                note["transaction"] = transaction.as_str().into();
            }
            conn.execute(
                "UPDATE intent SET state = 'settled', proof = ?, spent = ?, settled_ms = ?
                 WHERE purchase_id = ? AND n = ?",
                params![proof, taken.atomic() as i64, now_ms as i64, key, n],
            )?;
            budget::close(conn, &key, n, Close::Post(*taken))?;
            ("post_earlier", *taken)
        }
        Fate::Void => {
            conn.execute("UPDATE intent SET state = 'void' WHERE purchase_id = ? AND n = ?", params![key, n])?;
            budget::close(conn, &key, n, Close::Void)?;
            ("void_earlier", intent.price)
        }
    };
    steps::log(conn, now_ms, &at, kind, amount, note)
}
