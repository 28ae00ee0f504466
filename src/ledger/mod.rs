//! The ledger: one SQLite file that says what was bought, for how much, and what is still at risk.

mod intent;

pub use intent::{BadPurchaseId, Committed, Intent, PurchaseId};
