//! What a person reads afterwards: a table for the terminal, CSV for a spreadsheet, JSON for programs.
//!
//! [`Report::read`] asks the ledger once; the three faces only write down what it says.

mod csv;
mod json;
mod session;
mod table;
pub(crate) mod time;
mod totals;

use crate::ledger::{Filter, Ledger, LedgerError};

pub use json::{Limit, Line, Report};
pub use session::SessionLine;
pub use table::sessions as sessions_table;
pub use time::{BadSince, Since, clock, date, iso};
pub use totals::{Money, Totals};

/// Which sessions a report covers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Sessions {
    /// The running one, else the latest.
    #[default]
    Current,
    /// One, by its id.
    One(String),
    /// All of them.
    All,
}

/// What a report is about.
#[derive(Clone, Debug, Default)]
pub struct About {
    /// Whose limits and whose current session.
    pub principal: String,
    /// The key of that principal's session, or empty.
    pub session_key: String,
    /// Whether other principals' rows are shown too, as the operator may see them.
    pub everyone: bool,
    /// Which sessions.
    pub sessions: Sessions,
    /// Only from here on, unix milliseconds.
    pub since_ms: Option<i64>,
    /// Only this host.
    pub host: Option<String>,
    /// At most this many rows, the newest. 0 means all.
    pub limit: u32,
}

impl Report {
    /// Reads everything a report says from the ledger. Changes nothing.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub async fn read(ledger: &Ledger, about: &About, now_ms: u64) -> Result<Report, LedgerError> {
        let (running, budgets) = ledger.budgets(&about.principal, &about.session_key).await?;
        let session = match &about.sessions {
            Sessions::All => None,
            Sessions::Current => match running {
                Some(session) => Some(session),
                None => ledger.sessions(&about.principal, 1).await?.pop(),
            },
            Sessions::One(id) => ledger.sessions(&about.principal, u32::MAX).await?.into_iter().find(|s| s.id == *id),
        };
        let only = match &about.sessions {
            Sessions::All => None,
            Sessions::One(id) => Some(id.clone()),
            // Without any session there is no row to show, rather than every row.
            Sessions::Current => Some(session.as_ref().map(|s| s.id.clone()).unwrap_or_default()),
        };
        let filter = Filter {
            principal: (!about.everyone).then(|| about.principal.clone()),
            session: only,
            since_ms: about.since_ms,
            host: about.host.clone(),
            limit: about.limit,
        };
        let rows = ledger.audit(filter).await?;
        let head = ledger.head().await?;
        Ok(Report {
            made_at: iso(i64::try_from(now_ms).unwrap_or(i64::MAX)),
            session: session.map(|s| SessionLine::new(&s, &rows, now_ms)),
            totals: Totals::of(&rows),
            rows: rows.into_iter().map(Line::new).collect(),
            budgets: budgets.iter().map(Limit::new).collect(),
            head: head.hash,
            lines: head.lines,
        })
    }

    /// The report of a ledger that was never begun.
    pub fn of_nothing(now_ms: u64) -> Report {
        Report {
            made_at: iso(i64::try_from(now_ms).unwrap_or(i64::MAX)),
            session: None,
            rows: Vec::new(),
            totals: Totals::default(),
            budgets: Vec::new(),
            head: String::new(),
            lines: 0,
        }
    }
}
