//! The report as programs read it: what `bursar audit --json` prints and a host can fetch as a resource.

use serde::Serialize;

use super::{SessionLine, Totals, iso};
use crate::{
    ledger::{AuditRow, BudgetView, Scope},
    money::Amount,
    protocol::text::clean,
};

/// More than any field holds that Bursar wrote itself; only a row edited in the database reaches it.
const LONGEST: usize = 4096;

/// What was bought, refused and re-used, what it came to, and what may still be spent.
#[derive(Clone, Debug, Serialize, schemars::JsonSchema)]
pub struct Report {
    /// When it was read, ISO 8601 in UTC.
    pub made_at: String,
    /// The session it is about; absent when it covers all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionLine>,
    /// The rows, oldest first.
    pub rows: Vec<Line>,
    /// The sums of these rows.
    pub totals: Totals,
    /// The limits as they stand now, and what is left of each.
    pub budgets: Vec<Limit>,
    /// The hash of the journal's last line, empty in an empty ledger. Kept elsewhere, it shows later whether the ledger
    /// was put back to an older copy.
    pub head: String,
    /// How many lines the journal has.
    pub lines: u64,
}

/// One purchase, refusal or re-use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Line {
    /// When, ISO 8601 in UTC.
    pub at: String,
    /// What the ledger says.
    #[serde(flatten)]
    pub row: AuditRow,
}

impl Line {
    /// Cleans a row for reading. Texts were cleaned when they came in; this guards a reader's terminal against a row that
    /// was edited in the database.
    pub fn new(row: AuditRow) -> Line {
        let text = |s: String| clean(&s, LONGEST);
        Line {
            at: iso(row.at_ms),
            row: AuditRow {
                session: row.session.map(text),
                principal: text(row.principal),
                purchase: row.purchase.map(text),
                host: text(row.host),
                path: text(row.path),
                rail: text(row.rail),
                network: text(row.network),
                transaction: row.transaction.map(text),
                state: text(row.state),
                purpose: text(row.purpose),
                note: text(row.note),
                ..row
            },
        }
    }
}

/// One limit, and what is left of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Limit {
    /// What it is over.
    pub scope: Scope,
    /// The limit in force.
    pub limit: Amount,
    /// Spent of it, fees included. Zero for scope `purchase`.
    pub spent: Amount,
    /// Held for payments under way or of unknown outcome.
    pub held: Amount,
    /// What may still be spent.
    pub left: Amount,
    /// How far a person could raise it.
    pub ceiling: Amount,
}

impl Limit {
    pub(super) fn new(view: &BudgetView) -> Limit {
        let BudgetView { scope, limit, spent, held, left, ceiling, .. } = *view;
        Limit { scope, limit, spent, held, left, ceiling }
    }
}
