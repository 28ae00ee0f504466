//! `payment-identifier`: the same name for the same payment gets the same answer, and costs nothing more.

use std::collections::HashMap;

use serde_json::Value;

/// The answers that were paid for, by the buyer's name for the payment.
#[derive(Debug, Default)]
pub(super) struct Identifiers(HashMap<String, Kept>);

/// An answer that was paid for.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    payment: [u8; 32],
    pub receipt: Value,
    pub answer: Value,
}

/// What a name means.
pub(super) enum Named {
    /// There is none, and none is needed; or it is new.
    New,
    /// It names this very payment, which was answered before.
    Before(Kept),
    /// It names another payment.
    Another,
    /// It is missing, or not a name.
    Wrong(&'static str),
}

impl Identifiers {
    /// Judges the name of a payment.
    pub fn judge(&self, id: Option<&str>, required: bool, payment: &[u8; 32]) -> Named {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        match id {
            None if required => Named::Wrong("payment-identifier required"),
            None => Named::New,
            Some(id) if !(16..=128).contains(&id.len()) || !id.chars().all(plain) => {
                Named::Wrong("invalid payment-identifier")
            }
            Some(id) => match self.0.get(id) {
                None => Named::New,
                Some(kept) if kept.payment == *payment => Named::Before(kept.clone()),
                Some(_) => Named::Another,
            },
        }
    }

    /// Remembers what a named payment bought.
    pub fn keep(&mut self, id: &str, payment: [u8; 32], receipt: Value, answer: Value) {
        self.0.insert(id.to_owned(), Kept { payment, receipt, answer });
    }
}
