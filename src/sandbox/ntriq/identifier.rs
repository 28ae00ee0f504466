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
    pub receipt: Option<Value>,
    pub answer: Value,
}

/// Whether a name was seen before.
pub(super) enum Seen {
    Never,
    /// With the same payment.
    Same(Kept),
    /// With another one.
    Other,
}

impl Identifiers {
    pub fn look(&self, id: &str, payment: &[u8; 32]) -> Seen {
        match self.0.get(id) {
            None => Seen::Never,
            Some(kept) if kept.payment == *payment => Seen::Same(kept.clone()),
            Some(_) => Seen::Other,
        }
    }

    pub fn keep(&mut self, id: &str, payment: [u8; 32], receipt: Option<Value>, answer: Value) {
        self.0.insert(id.to_owned(), Kept { payment, receipt, answer });
    }
}
