//! What the operator allows one principal: its own limits, below everyone's ceilings.

use std::{borrow::Cow, collections::BTreeMap};

use rusqlite::{Connection, params};

use super::{LedgerError, Scope};
use crate::{
    config::LimitTable,
    money::{Amount, Currency},
};

/// The limits of one principal: the operator's, narrowed by what its token was made with.
pub(super) struct Allowed<'a> {
    /// Ceilings and defaults.
    pub(super) table: Cow<'a, LimitTable>,
    /// The most it may ever spend, where its token says so.
    pub(super) total: BTreeMap<Currency, Amount>,
}

/// Reads what a principal may do. An allowance is a ceiling of its own and what its sessions start with, so that nothing
/// a model or a host's program says can raise it.
pub(super) fn of<'a>(conn: &Connection, table: &'a LimitTable, principal: &str) -> Result<Allowed<'a>, LedgerError> {
    let mut allowed = Allowed { table: Cow::Borrowed(table), total: BTreeMap::new() };
    for (scope, amount) in read(conn, principal)? {
        let currency = amount.currency();
        if scope == Scope::Total {
            allowed.total.insert(currency, amount);
            continue;
        }
        let own = allowed.table.to_mut();
        let Some(ceiling) = own.ceiling.get_mut(&currency) else { continue };
        let default = own.default.entry(currency).or_insert(*ceiling);
        for limits in [ceiling, default] {
            let kept = match scope {
                Scope::Purchase => &mut limits.purchase,
                Scope::Session => &mut limits.session,
                _ => &mut limits.day,
            };
            // Never above the ceiling that the config says today.
            let most = scope.of(&table.ceiling[&currency]).unwrap_or(amount);
            *kept = if amount.exceeds(most) { most } else { amount };
        }
    }
    Ok(allowed)
}

/// The allowances of a principal as they were written.
pub(super) fn read(conn: &Connection, principal: &str) -> Result<Vec<(Scope, Amount)>, LedgerError> {
    let mut statement = conn.prepare_cached("SELECT currency, scope, atomic FROM allowance WHERE principal = ?")?;
    let rows = statement
        .query_map([principal], |r| Ok((r.get::<_, String>(0)?, r.get::<_, String>(1)?, r.get::<_, i64>(2)?)))?;
    let mut out = Vec::new();
    for row in rows {
        let (currency, scope, atomic) = row?;
        let broken = || LedgerError::Broken(format!("an allowance of {atomic} {currency} a {scope}"));
        let scope = [Scope::Purchase, Scope::Session, Scope::Day, Scope::Total].into_iter().find(|s| s.name() == scope);
        let amount = Currency::from_code(&currency).zip(u64::try_from(atomic).ok());
        let amount = amount.and_then(|(c, a)| Amount::new(c, a)).ok_or_else(broken)?;
        out.push((scope.ok_or_else(broken)?, amount));
    }
    Ok(out)
}

/// Replaces the allowances of a principal.
pub(super) fn write(conn: &Connection, principal: &str, allowed: &[(Scope, Amount)]) -> Result<(), LedgerError> {
    conn.execute("DELETE FROM allowance WHERE principal = ?", [principal])?;
    for (scope, amount) in allowed {
        conn.execute(
            "INSERT INTO allowance(principal, currency, scope, atomic) VALUES(?,?,?,?)",
            params![principal, amount.currency().code(), scope.name(), amount.atomic() as i64],
        )?;
    }
    Ok(())
}
