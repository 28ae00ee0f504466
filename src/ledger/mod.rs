//! The ledger: one SQLite file that says what was bought, for how much, and what is still at risk.
//!
//! It knows neither protocols nor wallets: an intent's bytes are opaque to it. All limits are enforced here, by the
//! store, for every task and process that shares the file. Everything that changes money leaves one line in an
//! append-only, hash-chained journal.

mod allowance;
mod audit;
mod budget;
mod by;
mod credential;
mod deposits;
mod earlier;
mod intent;
mod journal;
mod limits;
mod owner;
mod part;
mod purchase;
mod purchases;
mod refusals;
mod result;
mod said;
mod schema;
mod session;
mod state;
mod steps;
mod tally;
mod tokens;
mod verify;
mod wallets;
mod writer;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

pub use audit::{AuditRow, Filter};
pub use budget::{BudgetView, NoRoom, Scope, SetBy};
pub use by::By;
pub use credential::{StoredCredential, Verdict};
pub use deposits::{Deposit, DepositState, Kept, NewDeposit};
pub use earlier::{Fate, Replaced};
pub use intent::{BadPurchaseId, Committed, Intent, PurchaseId};
pub use journal::Head;
pub use limits::LimitSet;
pub use part::Posted;
pub use purchase::{Begun, Idempotency, NewPurchase, Standing};
pub use refusals::{Proved, Refused, Reused};
pub use result::StoredResult;
pub use schema::path as file;
pub(crate) use schema::secure_home;
pub use session::Session;
pub use state::State;
pub use steps::{Armed, Decided, Payment};
pub use tally::Tally;
pub use tokens::{LOCAL, Token, TokenKind, TokenMade, is_principal};
pub use verify::{Finding, Verified};

use crate::{clock::Clock, config::LimitTable};

/// Why the ledger did not do it. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The file or its surroundings are not fit to keep books in.
    #[error("the ledger cannot be used: {0}")]
    Refused(String),
    /// A limit has no room; turned into [`Begun::NoRoom`] after the rollback.
    #[error("a limit has no room")]
    NoRoom(Box<NoRoom>),
    /// SQLite said no.
    #[error("the ledger could not be read or written: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// Something that must not be.
    #[error("the ledger is not as it must be: {0}")]
    Broken(String),
}

/// The open ledger. Cheap to clone; the file closes when the last clone goes.
#[derive(Clone)]
pub struct Ledger(Arc<Inner>);

struct Inner {
    writer: writer::Writer,
    home: PathBuf,
    limits: LimitTable,
    clock: Clock,
    owner: OnceLock<Option<owner::Owner>>,
}

impl Ledger {
    /// Opens the ledger in `home`, making both if they are not there.
    ///
    /// # Errors
    /// A home or file that others can read, a link, a file of a newer version, a file that is not a ledger, a disk on
    /// which SQLite cannot keep its promises.
    pub fn open(home: &Path, limits: LimitTable, clock: Clock) -> Result<Ledger, LedgerError> {
        let writer = writer::Writer::open(&schema::path(home), clock.now_ms())?;
        Ok(Ledger(Arc::new(Inner { writer, home: home.to_owned(), limits, clock, owner: OnceLock::new() })))
    }

    fn now(&self) -> u64 {
        self.0.clock.now_ms()
    }

    /// The limits it enforces.
    pub fn limits(&self) -> &LimitTable {
        &self.0.limits
    }

    /// What a person reads afterwards, oldest first.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub async fn audit(&self, filter: Filter) -> Result<Vec<AuditRow>, LedgerError> {
        self.0.writer.read(move |conn| audit::rows(conn, &filter)).await
    }

    /// Where the journal ends: its head, noted elsewhere, shows later whether the ledger was put back to an older copy.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub async fn head(&self) -> Result<Head, LedgerError> {
        self.0.writer.read(journal::head).await
    }

    /// Whether a head that was noted earlier still stands in the journal.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub async fn knows_head(&self, hash: &str) -> Result<bool, LedgerError> {
        let hash = hash.to_owned();
        self.0.writer.read(move |conn| journal::knows(conn, &hash)).await
    }

    /// Checks the journal's chain, the rows it covers, and the invariants.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub async fn verify(&self) -> Result<Verified, LedgerError> {
        self.0.writer.read(verify::verify).await
    }
}
