//! What a caller is told: what happened to the money, what came back, what to do next.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{choose::OfferView, results::Body};
use crate::{
    http,
    ledger::{LedgerError, PurchaseId},
    money::Amount,
    protocol::x402,
    wallet::WalletError,
};

/// What happened, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The answer cost nothing.
    Free,
    /// A credential bought earlier opened it; nothing was paid now.
    Token,
    /// Paid now and answered.
    Bought,
    /// The stored answer of an earlier purchase; nothing was paid now.
    Stored,
    /// A payment is under way, or nobody knows yet whether money left.
    Pending,
    /// A person must say yes first; nothing was paid.
    AwaitingApproval,
    /// Paid, and the seller does not deliver.
    Undelivered,
    /// The payment did not happen; no money left.
    Failed,
    /// Refused before anything was paid.
    Refused,
    /// Only looked at: offers and prices, nothing paid.
    Quoted,
}

/// The whole report of one call.
#[derive(Clone, Debug)]
pub struct Report {
    /// What happened.
    pub outcome: Outcome,
    /// One or two sentences: the money, and what to do next.
    pub say: String,
    /// A stable word for a refusal or failure, such as `above_max_price`.
    pub code: Option<&'static str>,
    /// The purchase, where there is one.
    pub purchase: Option<PurchaseId>,
    /// The price that was asked.
    pub price: Option<Amount>,
    /// What left in this call, the fee included. `None` where nothing could leave.
    pub paid_now: Option<Amount>,
    /// The fee within it.
    pub fee: Option<Amount>,
    /// What is held because nobody knows yet.
    pub held: Option<Amount>,
    /// Why this offer was taken, where there were several.
    pub chosen: Option<String>,
    /// The offers, for a quote or a refusal.
    pub offers: Vec<OfferView>,
    /// What was seen and not understood.
    pub notes: Vec<String>,
    /// What the seller's terms say of the endpoint itself, for a quote: not cleaned, not believed.
    pub described: Option<x402::Described>,
    /// The answer.
    pub body: Option<Arc<Body>>,
}

impl Report {
    /// A report without an answer.
    pub(super) fn new(outcome: Outcome, say: impl Into<String>) -> Report {
        Report {
            outcome,
            say: say.into(),
            code: None,
            purchase: None,
            price: None,
            paid_now: None,
            fee: None,
            held: None,
            chosen: None,
            offers: Vec::new(),
            notes: Vec::new(),
            described: None,
            body: None,
        }
    }

    /// The report of a call that was refused before it reached the purse.
    pub fn refused(say: impl Into<String>) -> Report {
        Report::new(Outcome::Refused, say)
    }

    /// Whether the caller did not get what it asked for.
    pub fn is_error(&self) -> bool {
        matches!(self.outcome, Outcome::Refused | Outcome::Failed | Outcome::Undelivered)
            || self.body.as_ref().is_some_and(|b| b.row.status >= 400)
            // A mistake of ours, whatever became of the money.
            || self.code == Some("internal")
    }
}

/// A refusal: nothing was paid for this call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct No {
    /// A stable word.
    pub code: &'static str,
    /// What is wrong and what to do, without a final full stop.
    pub say: String,
}

impl No {
    /// A refusal with its sentence.
    pub fn new(code: &'static str, say: impl Into<String>) -> No {
        No { code, say: say.into() }
    }

    /// The report of a refusal: it always says that nothing was paid.
    pub fn report(self) -> Report {
        let say = self.say.trim_end_matches('.');
        // What is said of a purchase that stands, or while the ledger cannot be read, must not deny what was paid before.
        let more = if matches!(self.code, "result_gone" | "ledger") { "more " } else { "" };
        Report { code: Some(self.code), ..Report::new(Outcome::Refused, format!("Nothing {more}was paid: {say}.")) }
    }
}

impl fmt::Display for No {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.say)
    }
}

impl From<http::Error> for No {
    fn from(e: http::Error) -> No {
        match e {
            http::Error::Refused { code, say } => No::new(code, say),
            http::Error::Failed { say, .. } => No::new("seller_unreachable", say),
        }
    }
}

impl From<LedgerError> for No {
    fn from(e: LedgerError) -> No {
        No::new("ledger", e.to_string())
    }
}

impl From<WalletError> for No {
    fn from(e: WalletError) -> No {
        let code = match e {
            WalletError::None => "no_wallet",
            WalletError::Setup(_) => "wallet_setup",
            WalletError::Unreachable(_) => "wallet_unreachable",
            WalletError::Said { .. } => "wallet_said",
        };
        No::new(code, e.to_string())
    }
}
