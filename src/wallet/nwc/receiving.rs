//! What comes back: an invoice of our own without an amount, and whether somebody paid it.
//!
//! It moves nothing of ours. Only what the wallet calls settled, with an amount, has come.

use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    NwcWallet,
    messages::{self, LISTED},
};
use crate::wallet::{ReceivedSaid, WalletError};

/// What a wallet may do that makes invoices.
pub(super) const MAKE: &str = "make_invoice";

impl NwcWallet {
    /// Makes an invoice without an amount that lives so many seconds.
    pub(super) async fn make_blank_invoice(&self, memo: &str, life_s: u64) -> Result<String, WalletError> {
        let deadline = Instant::now() + self.read_timeout;
        let (described, _) = self.described(deadline).await?;
        if !self.may(&described, MAKE) {
            return Err(WalletError::Setup(CANNOT_RECEIVE.into()));
        }
        let params = json!({ "amount": 0, "description": memo, "expiry": life_s });
        let made = self.ask(MAKE, params, deadline).await?;
        let invoice = made.get("invoice").and_then(Value::as_str).filter(|text| !text.is_empty());
        invoice.map(str::to_owned).ok_or_else(|| WalletError::Unreachable("the wallet made no invoice".into()))
    }

    /// Asks whether an invoice of our own was paid.
    pub(super) async fn ask_received(&self, payment_hash: &str) -> ReceivedSaid {
        let cannot_tell = |error: WalletError| ReceivedSaid::CannotTell { why: error.to_string() };
        let deadline = Instant::now() + self.read_timeout;
        let described = match self.described(deadline).await {
            Ok((described, _)) => described,
            Err(error) => return cannot_tell(error),
        };
        if self.may(&described, "lookup_invoice") {
            match self.ask("lookup_invoice", json!({ "payment_hash": payment_hash }), deadline).await {
                Ok(transaction) => return messages::received_said(&transaction, payment_hash),
                Err(WalletError::Said { code, .. }) if matches!(code.as_str(), "NOT_IMPLEMENTED" | "RESTRICTED") => {}
                Err(error) => return cannot_tell(error),
            }
        }
        if self.may(&described, "list_transactions") {
            let params = json!({ "type": "incoming", "unpaid": false, "limit": LISTED });
            return match self.ask("list_transactions", params, deadline).await {
                Ok(result) => messages::received_list_said(&result, payment_hash),
                Err(error) => cannot_tell(error),
            };
        }
        ReceivedSaid::CannotTell { why: "this connection to the wallet may not look payments up".into() }
    }
}

/// What is said of a connection that may not make invoices.
pub(super) const CANNOT_RECEIVE: &str = "this connection to the wallet may not make invoices (make_invoice), so that what is \
    left of a deposit could not come back";
