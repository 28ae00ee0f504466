//! The states of a purchase.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Where a purchase stands. The legal steps between states are rows of the table `transition`.
///
/// ```text
/// awaiting_approval ──► paying ──► paid ──► delivered
///        │                │ ▲        └────► undelivered ──► delivered
///        ▼                ▼ │ (reconciliation)
///      failed ◄──────── unknown ──► paid
///        └──► late   (it settled after all: overrun, wallet frozen)
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Money is held, a person must say yes. Nothing was sent.
    AwaitingApproval,
    /// W1 is committed: the payment may be under way.
    Paying,
    /// Nobody knows whether money left. The hold stays.
    Unknown,
    /// W2 is committed: we hold the proof, the seller has not answered yet.
    Paid,
    /// W3: the seller answered.
    Delivered,
    /// Paid, and the seller does not deliver. The same credential may be shown again, free of charge.
    Undelivered,
    /// No money left.
    Failed,
    /// It was taken for failed and settled after all.
    Late,
}

impl State {
    const ALL: [State; 8] = [
        State::AwaitingApproval,
        State::Paying,
        State::Unknown,
        State::Paid,
        State::Delivered,
        State::Undelivered,
        State::Failed,
        State::Late,
    ];

    /// The name used in SQL, JSON and reports.
    pub const fn name(self) -> &'static str {
        match self {
            State::AwaitingApproval => "awaiting_approval",
            State::Paying => "paying",
            State::Unknown => "unknown",
            State::Paid => "paid",
            State::Delivered => "delivered",
            State::Undelivered => "undelivered",
            State::Failed => "failed",
            State::Late => "late",
        }
    }

    /// Finds a state by its name.
    pub fn from_name(name: &str) -> Option<State> {
        State::ALL.into_iter().find(|s| s.name() == name)
    }

    /// Whether money may still leave, so that the hold must stay.
    pub const fn at_risk(self) -> bool {
        matches!(self, State::Paying | State::Unknown)
    }

    /// Whether money is known to have left.
    pub const fn paid(self) -> bool {
        matches!(self, State::Paid | State::Delivered | State::Undelivered | State::Late)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
