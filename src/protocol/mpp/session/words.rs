//! What a session and whoever drives it say to each other.

use serde::{Deserialize, Serialize};

use super::{super::challenge::Challenge, Event, Terms};

/// Whom a session's preimage may be shown to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Key {
    /// The exact origin, such as `https://api.example.com`.
    pub origin: String,
    /// The realm.
    pub realm: String,
    /// The node that was paid.
    pub payee: String,
}

/// What just happened.
#[derive(Clone, Debug)]
pub enum Input {
    /// A call is to be made.
    Use,
    /// The seller answered what was shown, or the question for a challenge.
    Answered(Said),
    /// Nobody knows whether it arrived.
    Unanswered,
    /// The stream of a call says something.
    Streamed(Event),
    /// A stream that asked for money ended, and what it brought is the answer.
    Served,
    /// The top-up that was to be paid is paid, and the seller was shown so.
    Paid,
    /// It was not paid, and never will be.
    NotPaid,
    /// It is to be closed: idle, at the exit, or because a person said so.
    End,
}

/// An answer, as far as a session looks at it.
#[derive(Clone, Debug, Default)]
pub struct Said {
    /// Whether what was asked for came: neither a refusal (401 to 403, 410) nor a failure (5xx).
    pub goods: bool,
    /// Whether it is a failure of the seller's, which says nothing about the session.
    pub failed: bool,
    /// A challenge of `lightning/session` beside it.
    pub challenge: Option<Box<Challenge>>,
    /// `refundSats` of its receipt or body, where it closes.
    pub refund_sat: Option<u64>,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Send the request with this: `open` and `bearer` with the call itself, `close` as a harmless request (some servers
    /// run it), each with [`Session::credential`](super::Session::credential).
    Show(Action),
    /// Fetch a challenge with a harmless request without any credential.
    Ask,
    /// Buy a top-up of these terms, inside the budgets (see [`super::top_up`]), or say that it is not paid.
    Pay {
        /// Its invoice, and the challenge that it is shown for.
        terms: Box<Terms>,
    },
    /// The answer is what was asked for.
    Deliver,
    /// This session serves no call any more; another would have to be opened.
    Refuse,
    /// Nothing more to do now. A call that was not served says `Use` again, or gives up.
    Rest,
}

/// What a credential of a session does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Opens it with the deposit.
    Open,
    /// Shows that a call belongs to it.
    Bearer,
    /// Ends it.
    Close,
}
