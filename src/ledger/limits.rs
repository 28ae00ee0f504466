//! The door to limits and sessions.

use serde_json::json;

use super::{BudgetView, Ledger, LedgerError, Scope, Session, SetBy, allowance, budget, journal, session};
use crate::money::Amount;

/// What became of a wish for another limit.
#[derive(Clone, Debug)]
pub enum LimitSet {
    /// It is set.
    Done {
        /// The session it is of.
        session: String,
        /// Before.
        before: BudgetView,
        /// Now.
        after: BudgetView,
    },
    /// It would be more than now, and only a person may do that.
    NeedsAPerson {
        /// The session it would be of.
        session: String,
        /// As it is.
        before: BudgetView,
    },
    /// The operator's ceiling is lower.
    AboveCeiling(BudgetView),
    /// The operator allows none of this currency.
    NoCeiling,
}

impl Ledger {
    /// The limits of a principal as they stand. Begins no session.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub async fn budgets(
        &self,
        principal: &str,
        session_key: &str,
    ) -> Result<(Option<Session>, Vec<BudgetView>), LedgerError> {
        let (principal, key, now) = (principal.to_owned(), session_key.to_owned(), self.now());
        let limits = self.0.limits.clone();
        self.0
            .writer
            .read(move |conn| {
                let session = session::running(conn, &principal, &key, now)?;
                let id = session.as_ref().map(|s| s.id.as_str());
                let views = budget::views(conn, &limits, now, &principal, id)?;
                Ok((session, views))
            })
            .await
    }

    /// What may still go to each host that was ever paid, where the operator limits hosts.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub async fn host_budgets(&self) -> Result<Vec<BudgetView>, LedgerError> {
        let limits = self.0.limits.clone();
        self.0.writer.read(move |conn| budget::hosts(conn, &limits)).await
    }

    /// Sets a limit of the running session (which begins now if there is none) or of the day. `raise_by` says who may
    /// raise: a model may only lower, whatever it says.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub async fn set_limit(
        &self,
        principal: &str,
        session_key: &str,
        scope: Scope,
        to: Amount,
        by: SetBy,
    ) -> Result<LimitSet, LedgerError> {
        let (principal, key, now) = (principal.to_owned(), session_key.to_owned(), self.now());
        let limits = self.0.limits.clone();
        self.0
            .writer
            .write(move |conn| {
                let session = session::touch(conn, &principal, &key, now)?;
                let views = budget::views(conn, &limits, now, &principal, Some(&session))?;
                let view = |v: &&BudgetView| v.scope == scope && v.limit.currency() == to.currency();
                let Some(before) = views.iter().find(view).cloned() else {
                    return Ok(LimitSet::NoCeiling);
                };
                if to.exceeds(before.ceiling) {
                    return Ok(LimitSet::AboveCeiling(before));
                }
                if by == SetBy::Model && to.exceeds(before.limit) {
                    return Ok(LimitSet::NeedsAPerson { session, before });
                }
                let subject = if matches!(scope, Scope::Purchase | Scope::Session) { session.as_str() } else { "" };
                // Without a total of its own, a principal's total is everyone's, which a person may move.
                let shared = scope == Scope::Total
                    && !allowance::of(conn, &limits, &principal)?.total.contains_key(&to.currency());
                let who = if shared { "" } else { principal.as_str() };
                let row = match budget::set_limit(conn, &limits, now, (scope, subject, who), to, by)? {
                    Ok(row) => row,
                    Err(_) => return Ok(LimitSet::AboveCeiling(before)),
                };
                let line = journal::Line {
                    purchase: None,
                    session: Some(&session),
                    principal: &principal,
                    kind: "limit",
                    currency: to.currency().code(),
                    amount: to.atomic() as i64,
                    note: json!({ "scope": scope, "from": before.limit, "to": to,
                                  "by": if by == SetBy::Model { "model" } else { "person" } }),
                };
                journal::append(conn, now, &line, &[row])?;
                let views = budget::views(conn, &limits, now, &principal, Some(&session))?;
                let after = views.iter().find(view).cloned().unwrap_or_else(|| before.clone());
                Ok(LimitSet::Done { session, before, after })
            })
            .await
    }

    /// The running session, without beginning one.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub async fn session(&self, principal: &str, key: &str) -> Result<Option<Session>, LedgerError> {
        let (principal, key, now) = (principal.to_owned(), key.to_owned(), self.now());
        self.0.writer.read(move |conn| session::running(conn, &principal, &key, now)).await
    }

    /// Ends running sessions: of one key, or all of a principal.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub async fn end_sessions(&self, principal: &str, key: Option<&str>) -> Result<Vec<String>, LedgerError> {
        let (principal, key, now) = (principal.to_owned(), key.map(str::to_owned), self.now());
        self.0.writer.write(move |conn| session::end(conn, &principal, key.as_deref(), now)).await
    }

    /// One session, whoever it is of.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub async fn session_with_id(&self, id: &str) -> Result<Option<Session>, LedgerError> {
        let id = id.to_owned();
        self.0.writer.read(move |conn| session::with_id(conn, &id)).await
    }

    /// The sessions of a principal, newest first.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub async fn sessions(&self, principal: &str, limit: u32) -> Result<Vec<Session>, LedgerError> {
        let principal = principal.to_owned();
        self.0.writer.read(move |conn| session::list(conn, &principal, limit)).await
    }
}
