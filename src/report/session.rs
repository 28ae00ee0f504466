//! One session as a person reads it.

use serde::Serialize;

use super::{Money, Totals, iso};
use crate::{
    ledger::{AuditRow, Session},
    protocol::text::clean,
};

/// One session, and what it spent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct SessionLine {
    /// Its id.
    pub id: String,
    /// Who it belongs to.
    pub principal: String,
    /// The key it was found by, or empty.
    pub key: String,
    /// When it began, ISO 8601 in UTC.
    pub started: String,
    /// When it was last used.
    pub last_used: String,
    /// When it ended; absent while it runs. One that was idle for too long ended when it was last used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended: Option<String>,
    /// What was spent in it, one entry a currency, as far as the rows that were read go.
    pub money: Vec<Money>,
}

impl SessionLine {
    /// Describes a session with what its rows among `rows` come to.
    pub fn new(session: &Session, rows: &[AuditRow], now_ms: u64) -> SessionLine {
        let own = rows.iter().filter(|r| r.session.as_deref() == Some(&session.id));
        let ended = session.ended_ms.or_else(|| (!session.runs_at(now_ms)).then_some(session.last_ms));
        SessionLine {
            id: clean(&session.id, 64),
            principal: clean(&session.principal, 128),
            key: clean(&session.key, 128),
            started: iso(session.started_ms),
            last_used: iso(session.last_ms),
            ended: ended.map(iso),
            money: Totals::of(own).money,
        }
    }
}
