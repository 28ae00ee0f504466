//! Budgets: what may still be spent, enforced by the store itself.
//!
//! Holding money is one conditional UPDATE a window: no row changed means no room. The CHECK in the schema
//! (`spent + reserved <= limit`) is only the backstop. Money that left beyond its hold goes to `overrun`, which counts
//! against the room but never prevents the truth from being written.

use rusqlite::{Connection, OptionalExtension, params};
use serde::{Deserialize, Serialize};

use super::{
    LedgerError,
    allowance::{self, Allowed},
};
use crate::{
    config::{LimitTable, Limits},
    money::{Amount, Currency},
};

/// What a limit is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// The price of one purchase.
    Purchase,
    /// One session, fees included.
    Session,
    /// One UTC calendar day, fees included.
    Day,
    /// Everything that ever goes to one host.
    Host,
    /// Everything ever spent.
    Total,
}

impl Scope {
    /// The name used in SQL and text.
    pub const fn name(self) -> &'static str {
        match self {
            Scope::Purchase => "purchase",
            Scope::Session => "session",
            Scope::Day => "day",
            Scope::Host => "host",
            Scope::Total => "total",
        }
    }

    pub(super) fn of(self, limits: &Limits) -> Option<Amount> {
        match self {
            Scope::Purchase => Some(limits.purchase),
            Scope::Session => Some(limits.session),
            Scope::Day => Some(limits.day),
            Scope::Host => limits.host,
            Scope::Total => limits.total,
        }
    }
}

/// Who last set a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetBy {
    /// The config file.
    Operator,
    /// A person, through a channel of their own.
    Human,
    /// The model, through `set_budget`.
    Model,
}

impl SetBy {
    const fn name(self) -> &'static str {
        match self {
            SetBy::Operator => "operator",
            SetBy::Human => "human",
            SetBy::Model => "model",
        }
    }
}

/// Why a purchase does not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoRoom {
    /// The operator wrote no ceiling for this currency.
    NoCeiling(Currency),
    /// The price alone is above the limit for one purchase.
    Price {
        /// The price.
        price: Amount,
        /// The limit.
        limit: Amount,
        /// How far a person could raise it.
        ceiling: Amount,
    },
    /// What was signed for the same purchase before may still be taken, and together with this it is more than one
    /// purchase may cost.
    Together {
        /// The price.
        price: Amount,
        /// All that could be taken then.
        together: Amount,
        /// The most: what the caller is ready to pay, or the limit for one purchase.
        most: Amount,
        /// Whether that is the caller's word.
        by_caller: bool,
    },
    /// Price and fee do not fit into what is left.
    Left {
        /// Which limit.
        scope: Scope,
        /// Price plus the most the fee may be.
        needs: Amount,
        /// What is left.
        left: Amount,
        /// The limit.
        limit: Amount,
        /// How far a person could raise it.
        ceiling: Amount,
    },
}

/// One limit and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BudgetView {
    /// What it is over.
    pub scope: Scope,
    /// The session, the host, or empty.
    pub subject: String,
    /// The limit in force.
    pub limit: Amount,
    /// How far a person could raise it.
    pub ceiling: Amount,
    /// Spent, fees and overruns included. Zero for scope `purchase`.
    pub spent: Amount,
    /// Held for payments under way or of unknown outcome.
    pub held: Amount,
    /// What may still be spent.
    pub left: Amount,
}

/// Who and where a hold is for.
pub(super) struct Ask<'a> {
    pub(super) principal: &'a str,
    pub(super) session: &'a str,
    pub(super) host: &'a str,
    pub(super) price: Amount,
    pub(super) fee_cap: Amount,
}

/// What was held: the windows, and the budgets that were looked at without a hold.
pub(super) struct Held {
    pub(super) holds: Vec<(i64, i64)>,
    pub(super) looked: Vec<(i64, i64)>,
}

/// The principal of limits that bound all principals together.
const EVERYONE: &str = "";

/// The budgets a purchase touches: scope, subject, principal. The day counts twice: for this principal up to its own
/// limit, and for everyone together up to the operator's ceiling. So does the total, where a token has one of its own.
fn touched<'a>(session: &'a str, principal: &'a str, host: &'a str) -> [(Scope, &'a str, &'a str); 6] {
    [
        (Scope::Session, session, principal),
        (Scope::Day, "", principal),
        (Scope::Total, "", principal),
        (Scope::Day, "", EVERYONE),
        (Scope::Host, host, EVERYONE),
        (Scope::Total, "", EVERYONE),
    ]
}

fn amount(currency: Currency, atomic: i64) -> Result<Amount, LedgerError> {
    u64::try_from(atomic)
        .ok()
        .and_then(|a| Amount::new(currency, a))
        .ok_or_else(|| LedgerError::Broken(format!("the ledger holds {atomic}, which is not an amount")))
}

/// The limit that a stored row means today. The limits of a session stay as the session began with them; all others
/// live on for ever, so that one which nobody set must follow the config. None is above its ceiling.
fn in_force(scope: Scope, set_by: &str, stored: i64, default: Amount, ceiling: Amount) -> i64 {
    let echoes = set_by == SetBy::Operator.name() && !matches!(scope, Scope::Purchase | Scope::Session);
    let limit = if echoes { default.atomic() as i64 } else { stored };
    limit.min(ceiling.atomic() as i64)
}

/// The ceiling and the default of one limit; `None` where there is no such limit. `table` is the operator's own.
fn bounds(
    table: &LimitTable,
    allowed: &Allowed<'_>,
    (scope, principal): (Scope, &str),
    currency: Currency,
) -> Option<(Amount, Amount)> {
    if scope == Scope::Total && principal != EVERYONE {
        return allowed.total.get(&currency).map(|most| (*most, *most));
    }
    let table = if principal == EVERYONE { table } else { &allowed.table };
    let ceiling = table.ceiling.get(&currency).and_then(|l| scope.of(l))?;
    let own = principal != EVERYONE || scope != Scope::Day;
    let default = table.default.get(&currency).filter(|_| own).and_then(|l| scope.of(l)).unwrap_or(ceiling);
    Some((ceiling, default))
}

/// Finds or makes the budget row, and brings its ceiling to what the operator says today.
fn ensure(
    conn: &Connection,
    (ceiling, default): (Amount, Amount),
    (scope, subject, principal): (Scope, &str, &str),
) -> Result<(i64, Amount, Amount), LedgerError> {
    let currency = ceiling.currency();
    let found: Option<(i64, i64, i64, String)> = conn
        .prepare_cached(
            "SELECT budget_id, limit_atomic, ceiling_atomic, set_by FROM budget
             WHERE scope = ? AND subject = ? AND currency = ? AND principal = ?",
        )?
        .query_row(params![scope.name(), subject, currency.code(), principal], |r| {
            Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?))
        })
        .optional()?;
    let at_most = ceiling.atomic() as i64;
    if let Some((id, stored, known, set_by)) = found {
        let limit = in_force(scope, &set_by, stored, default, ceiling);
        if known != at_most || stored != limit {
            conn.execute(
                "UPDATE budget SET limit_atomic = ?, ceiling_atomic = ? WHERE budget_id = ?",
                params![limit, at_most, id],
            )?;
        }
        return Ok((id, amount(currency, limit)?, ceiling));
    }
    conn.execute(
        "INSERT INTO budget(scope, subject, principal, currency, limit_atomic, ceiling_atomic, set_by)
         VALUES(?,?,?,?,?,?,'operator')",
        params![scope.name(), subject, principal, currency.code(), default.atomic() as i64, at_most],
    )?;
    Ok((conn.last_insert_rowid(), default, ceiling))
}

/// The window of a scope now. The number of a day never goes back, whatever the clock does.
fn window(conn: &Connection, scope: Scope, now_ms: u64) -> Result<i64, LedgerError> {
    if scope != Scope::Day {
        return Ok(0);
    }
    let today = (now_ms / 86_400_000) as i64;
    let last: i64 = conn
        .prepare_cached(
            "SELECT ifnull(max(w.win), 0) FROM budget_window w JOIN budget b USING(budget_id) WHERE b.scope = 'day'",
        )?
        .query_row([], |r| r.get(0))?;
    Ok(today.max(last))
}

/// Brings a window to its budget's limit, but never below what is already spent or held in it.
fn set_window(conn: &Connection, budget: i64, win: i64, limit: Amount) -> Result<(), LedgerError> {
    conn.prepare_cached(
        "INSERT INTO budget_window(budget_id, win, limit_atomic) VALUES(?1, ?2, ?3)
         ON CONFLICT(budget_id, win) DO UPDATE SET limit_atomic = max(?3, spent + reserved)
         WHERE limit_atomic <> max(?3, spent + reserved)",
    )?
    .execute(params![budget, win, limit.atomic() as i64])?;
    Ok(())
}

/// Holds price and fee in every budget that the purchase touches, or nothing at all: the caller rolls back on `Err`.
pub(super) fn hold(
    conn: &Connection,
    table: &LimitTable,
    now_ms: u64,
    ask: &Ask<'_>,
) -> Result<Result<Held, NoRoom>, LedgerError> {
    let currency = ask.price.currency();
    let Some(needs) = ask.price.plus(ask.fee_cap) else {
        return Ok(Err(NoRoom::NoCeiling(currency)));
    };
    let allowed = allowance::of(conn, table, ask.principal)?;
    let key = (Scope::Purchase, ask.session, ask.principal);
    let Some(bound) = bounds(table, &allowed, (key.0, key.2), currency) else {
        return Ok(Err(NoRoom::NoCeiling(currency)));
    };
    let (id, limit, ceiling) = ensure(conn, bound, key)?;
    if ask.price.exceeds(limit) {
        return Ok(Err(NoRoom::Price { price: ask.price, limit, ceiling }));
    }
    let mut held = Held { holds: Vec::new(), looked: vec![(id, 0)] };
    for key in touched(ask.session, ask.principal, ask.host) {
        let Some(bound) = bounds(table, &allowed, (key.0, key.2), currency) else { continue };
        let (id, limit, ceiling) = ensure(conn, bound, key)?;
        let win = window(conn, key.0, now_ms)?;
        set_window(conn, id, win, limit)?;
        let changed = conn
            .prepare_cached(
                "UPDATE budget_window SET reserved = reserved + ?3
                 WHERE budget_id = ?1 AND win = ?2 AND spent + reserved + overrun + ?3 <= limit_atomic",
            )?
            .execute(params![id, win, needs.atomic() as i64])?;
        if changed == 0 {
            let left = left_in(conn, id, win, limit)?;
            return Ok(Err(NoRoom::Left { scope: key.0, needs, left, limit, ceiling }));
        }
        held.holds.push((id, win));
    }
    Ok(Ok(held))
}

fn left_in(conn: &Connection, budget: i64, win: i64, limit: Amount) -> Result<Amount, LedgerError> {
    let used: Option<i64> = conn
        .query_row(
            "SELECT spent + reserved + overrun FROM budget_window WHERE budget_id = ? AND win = ?",
            params![budget, win],
            |r| r.get(0),
        )
        .optional()?;
    let left = (limit.atomic() as i64).saturating_sub(used.unwrap_or(0)).max(0);
    amount(limit.currency(), left)
}

/// How the holds of one intent are closed.
#[derive(Clone, Copy, Debug)]
pub(super) enum Close {
    /// The money left: post what it really was; what exceeds the hold becomes overrun.
    Post(Amount),
    /// No money left: give the room back.
    Void,
}

/// Closes the open holds of one intent.
pub(super) fn close(conn: &Connection, purchase: &str, n: u32, how: Close) -> Result<(), LedgerError> {
    let holds: Vec<(i64, i64, i64)> = conn
        .prepare_cached("SELECT budget_id, win, amount FROM hold WHERE purchase_id = ? AND n = ? AND open = 1")?
        .query_map(params![purchase, n], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)))?
        .collect::<Result<_, _>>()?;
    for (budget, win, held) in holds {
        let real = match how {
            Close::Post(real) => real.atomic() as i64,
            Close::Void => 0,
        };
        conn.prepare_cached(
            "UPDATE budget_window SET reserved = reserved - ?3, spent = spent + min(?3, ?4),
               overrun = overrun + max(?4 - ?3, 0) WHERE budget_id = ?1 AND win = ?2",
        )?
        .execute(params![budget, win, held, real])?;
        conn.prepare_cached("UPDATE hold SET open = 0 WHERE purchase_id = ? AND n = ? AND budget_id = ?")?
            .execute(params![purchase, n, budget])?;
    }
    Ok(())
}

/// Records money that left although its holds were given back: all of it is overrun.
pub(super) fn late(conn: &Connection, purchase: &str, n: u32, real: Amount) -> Result<(), LedgerError> {
    conn.prepare_cached(
        "UPDATE budget_window SET overrun = overrun + ?3
         WHERE (budget_id, win) IN (SELECT budget_id, win FROM hold WHERE purchase_id = ?1 AND n = ?2)",
    )?
    .execute(params![purchase, n, real.atomic() as i64])?;
    Ok(())
}

/// Sets a limit of a session or a day. Raising beyond the ceiling is refused here and by the schema.
pub(super) fn set_limit(
    conn: &Connection,
    table: &LimitTable,
    now_ms: u64,
    (scope, subject, principal): (Scope, &str, &str),
    to: Amount,
    by: SetBy,
) -> Result<Result<(i64, i64), NoRoom>, LedgerError> {
    let allowed = allowance::of(conn, table, principal)?;
    let Some(bound) = bounds(table, &allowed, (scope, principal), to.currency()) else {
        return Ok(Err(NoRoom::NoCeiling(to.currency())));
    };
    let (id, _, ceiling) = ensure(conn, bound, (scope, subject, principal))?;
    if to.exceeds(ceiling) {
        return Ok(Err(NoRoom::Price { price: to, limit: ceiling, ceiling }));
    }
    conn.execute(
        "UPDATE budget SET limit_atomic = ?, set_by = ? WHERE budget_id = ?",
        params![to.atomic() as i64, by.name(), id],
    )?;
    let win = window(conn, scope, now_ms)?;
    if scope != Scope::Purchase {
        set_window(conn, id, win, to)?;
    }
    Ok(Ok((id, win)))
}

/// A budget as it stands in the store: limit, who set it, spent (overruns with it) and held in one window.
fn stored(
    conn: &Connection,
    (scope, subject, principal): (Scope, &str, &str),
    currency: Currency,
    win: i64,
) -> Result<Option<(i64, String, i64, i64)>, LedgerError> {
    let row = conn
        .prepare_cached(
            "SELECT b.limit_atomic, b.set_by, ifnull(w.spent + w.overrun, 0), ifnull(w.reserved, 0) FROM budget b
             LEFT JOIN budget_window w ON w.budget_id = b.budget_id AND w.win = ?5
             WHERE b.scope = ?1 AND b.subject = ?2 AND b.currency = ?3 AND b.principal = ?4",
        )?
        .query_row(params![scope.name(), subject, currency.code(), principal, win], |r| {
            Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?))
        })
        .optional()?;
    Ok(row)
}

/// What one principal's purchases hold and have spent since its first, overruns included and less what came back.
fn own_use(conn: &Connection, principal: &str, currency: Currency) -> Result<(Amount, Amount), LedgerError> {
    let (spent, held): (i64, i64) = conn
        .prepare_cached(
            "SELECT ifnull(sum(i.spent + i.fee), 0),
                    ifnull(sum(CASE WHEN i.state IN('pinned','live') THEN i.amount + i.fee_cap ELSE 0 END), 0)
             FROM purchase p JOIN intent i USING(purchase_id) WHERE p.principal = ? AND i.currency = ?",
        )?
        .query_row(params![principal, currency.code()], |r| Ok((r.get(0)?, r.get(1)?)))?;
    let back: i64 = conn
        .prepare_cached("SELECT ifnull(sum(amount), 0) FROM credit WHERE principal = ? AND currency = ?")?
        .query_row(params![principal, currency.code()], |r| r.get(0))?;
    let spent = (spent - back).max(0);
    Ok((amount(currency, spent)?, amount(currency, held)?))
}

/// The limits of a principal as they stand, without changing anything. `session` is `None` before one began. What other
/// principals spent shows only in what is left.
pub(super) fn views(
    conn: &Connection,
    table: &LimitTable,
    now_ms: u64,
    principal: &str,
    session: Option<&str>,
) -> Result<Vec<BudgetView>, LedgerError> {
    let allowed = allowance::of(conn, table, principal)?;
    let mut out = Vec::new();
    for currency in table.ceiling.keys() {
        for scope in [Scope::Purchase, Scope::Session, Scope::Day, Scope::Total] {
            let subject = if matches!(scope, Scope::Purchase | Scope::Session) { session.unwrap_or("-") } else { "" };
            let win = window(conn, scope, now_ms)?;
            let zero = Amount::zero(*currency);
            let view = |who: &str| -> Result<Option<BudgetView>, LedgerError> {
                let Some((ceiling, default)) = bounds(table, &allowed, (scope, who), *currency) else {
                    return Ok(None);
                };
                let (limit, spent, held) = match stored(conn, (scope, subject, who), *currency, win)? {
                    Some((limit, set_by, spent, held)) => {
                        (in_force(scope, &set_by, limit, default, ceiling), spent, held)
                    }
                    None => (default.atomic().min(ceiling.atomic()) as i64, 0, 0),
                };
                let limit = amount(*currency, limit)?;
                let (spent, held) = (amount(*currency, spent)?, amount(*currency, held)?);
                let left = spent.plus(held).and_then(|used| limit.minus(used)).unwrap_or(zero);
                let subject = if scope == Scope::Session { subject.to_owned() } else { String::new() };
                Ok(Some(BudgetView { scope, subject, limit, ceiling, spent, held, left }))
            };
            // A day and a total bound all principals together too: what is left is what may really be spent.
            let together = if matches!(scope, Scope::Day | Scope::Total) { view(EVERYONE)? } else { None };
            let shown = match (view(principal)?, together) {
                (Some(own), Some(all)) => {
                    let left = if own.left.exceeds(all.left) { all.left } else { own.left };
                    BudgetView { left, ..own }
                }
                (None, Some(all)) => {
                    let (spent, held) = own_use(conn, principal, *currency)?;
                    BudgetView { spent, held, ..all }
                }
                (Some(own), None) => own,
                (None, None) => continue,
            };
            out.push(shown);
        }
    }
    Ok(out)
}

/// The budget of each host that was ever paid, where hosts are limited.
pub(super) fn hosts(conn: &Connection, table: &LimitTable) -> Result<Vec<BudgetView>, LedgerError> {
    let allowed = allowance::of(conn, table, super::LOCAL)?;
    let mut out = Vec::new();
    let sql = "SELECT subject FROM budget WHERE scope = 'host' AND principal = '' AND currency = ? ORDER BY subject";
    for currency in table.ceiling.keys() {
        let Some((ceiling, default)) = bounds(table, &allowed, (Scope::Host, EVERYONE), *currency) else { continue };
        let mut statement = conn.prepare_cached(sql)?;
        let subjects = statement.query_map([currency.code()], |r| r.get::<_, String>(0))?;
        for subject in subjects.collect::<Result<Vec<_>, _>>()? {
            let Some(row) = stored(conn, (Scope::Host, &subject, EVERYONE), *currency, 0)? else { continue };
            let (limit, set_by, spent, held) = row;
            let limit = amount(*currency, in_force(Scope::Host, &set_by, limit, default, ceiling))?;
            let (spent, held) = (amount(*currency, spent)?, amount(*currency, held)?);
            let left = spent.plus(held).and_then(|used| limit.minus(used)).unwrap_or(Amount::zero(*currency));
            out.push(BudgetView { scope: Scope::Host, subject, limit, ceiling, spent, held, left });
        }
    }
    Ok(out)
}
