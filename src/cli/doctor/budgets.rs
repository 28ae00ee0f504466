//! The limits under `bursar doctor`: which of them are used up, so that nothing is bought although all else is well.

use std::collections::BTreeSet;

use super::{Findings, now_ms};
use crate::{
    ledger::{BudgetView, LOCAL, Ledger, LedgerError, Scope},
    money::{Amount, Currency},
    wallet::nwc::LEAST_FEE_CAP_MSAT,
};

/// Whether what is left buys nothing: over Lightning the least fee allowance alone must fit beside a price.
pub(super) fn used_up(left: Amount) -> bool {
    let least = if left.currency() == Currency::Sat { LEAST_FEE_CAP_MSAT } else { 0 };
    left.atomic() <= least
}

/// Looks at the limits of every running session of this machine's user, of the day, of each host that was paid, and of all.
pub(super) async fn look(found: &mut Findings, ledger: &Ledger) -> Result<(), LedgerError> {
    let now = now_ms().unsigned_abs();
    let mut keys: BTreeSet<String> = BTreeSet::from([String::new()]);
    let sessions = ledger.sessions(LOCAL, 1000).await?;
    keys.extend(sessions.into_iter().filter(|s| s.runs_at(now)).map(|s| s.key));
    let mut views: Vec<BudgetView> = Vec::new();
    for key in keys {
        views.extend(ledger.budgets(LOCAL, &key).await?.1);
    }
    views.extend(ledger.host_budgets().await?);
    let mut said = BTreeSet::new();
    for view in views.iter().filter(|v| v.scope != Scope::Purchase && used_up(v.left)) {
        let (say, remedy) = words(view);
        if said.insert(say.clone()) {
            found.warn("budgets", say, remedy);
        }
    }
    if said.is_empty() {
        found.ok("budgets", "there is room in each");
    }
    Ok(())
}

fn words(view: &BudgetView) -> (String, String) {
    let BudgetView { scope, subject, limit, ceiling, left, held, .. } = view;
    let of = match (scope, subject.as_str()) {
        (_, "" | "-") => format!("the {} budget", scope.name()),
        (Scope::Host, host) => format!("the budget of the host {host}"),
        (_, session) => format!("the {} budget of {session}", scope.name()),
    };
    let held = if held.is_zero() { String::new() } else { format!(", {held} of it held for what is not known yet") };
    let say = format!("{of} is used up: {left} of {limit} left{held}; nothing more is bought within it");
    let more = match scope {
        Scope::Host => "raise host under [limits] in config.toml".to_owned(),
        _ if limit.exceeds(*ceiling) || limit == ceiling => {
            format!("its ceiling is reached: raise {} under [limits.ceiling] in config.toml", scope.name())
        }
        _ => format!("bursar budget set {} raises it, up to {ceiling}", scope.name()),
    };
    let remedy = match scope {
        Scope::Session => format!("bursar session end begins a new one, within the day's budget; or {more}"),
        Scope::Day => format!("a new day begins at 00:00 UTC; or {more}"),
        _ => more,
    };
    (say, remedy)
}
