//! The ledger: one SQLite file that says what was bought, for how much, and what is still at risk.
//!
//! It knows neither protocols nor wallets: an intent's bytes are opaque to it. All limits are enforced here, by the
//! store, for every task and process that shares the file. Everything that changes money leaves one line in an
//! append-only, hash-chained journal.

mod audit;
mod budget;
mod credential;
mod intent;
mod journal;
mod owner;
mod purchase;
mod result;
mod schema;
mod session;
mod state;
mod verify;
mod writer;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use serde_json::json;

pub use audit::{AuditRow, Filter};
pub use budget::{BudgetView, NoRoom, Scope, SetBy};
pub use credential::{StoredCredential, Verdict};
pub use intent::{BadPurchaseId, Committed, Intent, PurchaseId};
pub use journal::Head;
pub use purchase::{Armed, Begun, Decided, Idempotency, NewPurchase, Payment, Standing, StoredResult};
pub use schema::path as file;
pub(crate) use schema::secure_home;
pub use session::Session;
pub use state::State;
pub use verify::{Finding, Verified};

use crate::{
    clock::Clock,
    config::LimitTable,
    money::{Amount, Currency},
};

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

/// What a refusal leaves in the journal.
#[derive(Clone, Debug)]
pub struct Refused {
    /// Who asked.
    pub principal: String,
    /// The key of the session, or empty.
    pub session_key: String,
    /// The host that was asked, in ASCII, or empty.
    pub host: String,
    /// Method and path.
    pub path: String,
    /// A stable word.
    pub code: String,
    /// One sentence.
    pub say: String,
    /// What the seller asked for, where it is known.
    pub price: Option<Amount>,
    /// The caller's words.
    pub purpose: String,
}

/// A use of a credential that cost nothing.
#[derive(Clone, Debug)]
pub struct Reused {
    /// Who asked.
    pub principal: String,
    /// The key of the session, or empty.
    pub session_key: String,
    /// The host.
    pub host: String,
    /// Method and path.
    pub path: String,
    /// The credential.
    pub credential: i64,
    /// The purchase that bought it.
    pub purchase: String,
    /// The bare path, for what is learned.
    pub bare_path: String,
    /// The seller's status.
    pub status: u16,
    /// The caller's words.
    pub purpose: String,
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

    // ── purchases ──────────────────────────────────────────────────────────────────────────────────────────────────

    /// W1: pins the offer, holds the money in every budget, and writes the bytes that are about to be sent. With
    /// `ask_a_person` it only pins and holds.
    ///
    /// # Errors
    /// The ledger cannot be written; then nothing may be paid.
    pub async fn begin(&self, new: NewPurchase, intent: Intent, ask_a_person: bool) -> Result<Begun, LedgerError> {
        let (now, limits) = (self.now(), self.0.limits.clone());
        let owner = self.owner_name();
        let begun = self.0.writer.write(move |conn| {
            let begun = purchase::begin(conn, &limits, now, &new, intent, ask_a_person)?;
            if let Begun::Committed(intent) = &begun {
                claim(conn, intent.purchase, &owner)?;
            }
            Ok(begun)
        });
        match begun.await {
            Err(LedgerError::NoRoom(no)) => Ok(Begun::NoRoom(*no)),
            other => other,
        }
    }

    /// The purchase an equal call must get, if there is one (Contracts, Idempotency), and the newest generation of its
    /// key.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub async fn standing_for(
        &self,
        principal: &str,
        idem: &Idempotency,
    ) -> Result<(Option<Standing>, Option<i64>), LedgerError> {
        let (principal, idem) = (principal.to_owned(), idem.clone());
        self.0
            .writer
            .read(move |conn| {
                let latest = purchase::latest(conn, &principal, &idem.key)?;
                let seen = latest.as_ref().map(|(_, generation)| *generation);
                Ok((latest.map(|(s, _)| s).filter(|s| purchase::stands_for(s, idem.explicit)), seen))
            })
            .await
    }

    /// One purchase.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub async fn find(&self, id: PurchaseId) -> Result<Option<Standing>, LedgerError> {
        self.0.writer.read(move |conn| purchase::find(conn, id)).await
    }

    /// The committed intent of a purchase, as it was written. It is not fresh.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub async fn intent(&self, id: PurchaseId) -> Result<Option<Committed<Intent>>, LedgerError> {
        self.0.writer.read(move |conn| purchase::intent(conn, id)).await
    }

    /// The credential's secret parts of a purchase: pin and proof, both JSON. `None` before W2.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub async fn proof(&self, id: PurchaseId) -> Result<Option<Vec<u8>>, LedgerError> {
        self.0
            .writer
            .read(move |conn| {
                let sql = "SELECT proof FROM intent WHERE purchase_id = ? AND n = 0";
                Ok(conn.query_row(sql, [id.to_string()], |r| r.get(0))?)
            })
            .await
    }

    /// Purchases that reconciliation may still move, oldest first.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub async fn unresolved(&self) -> Result<Vec<PurchaseId>, LedgerError> {
        let now_s = self.now() / 1000;
        self.0.writer.read(move |conn| purchase::unresolved(conn, now_s)).await
    }

    /// Makes this process the driver of a purchase, unless another running process is. Returns whether it is ours.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub async fn claim(&self, id: PurchaseId) -> Result<bool, LedgerError> {
        let (home, me) = (self.0.home.clone(), self.owner_name());
        self.0
            .writer
            .write(move |conn| {
                use rusqlite::OptionalExtension;
                let sql = "SELECT owner FROM driver WHERE purchase_id = ?";
                let owner: Option<String> = conn.query_row(sql, [id.to_string()], |r| r.get(0)).optional()?;
                match owner {
                    Some(owner) if owner == me => Ok(true),
                    Some(owner) if owner::alive(&home, &owner) => Ok(false),
                    _ => claim(conn, id, &me).map(|()| true),
                }
            })
            .await
    }

    fn owner_name(&self) -> String {
        let owner = self.0.owner.get_or_init(|| match owner::Owner::new(&self.0.home) {
            Ok(owner) => Some(owner),
            Err(e) => {
                tracing::warn!("this process cannot mark its purchases as its own: {e}");
                None
            }
        });
        owner.as_ref().map(|o| o.name.clone()).unwrap_or_default()
    }

    /// Writes the bytes of an approved purchase and makes it `paying`, if it still waits and the wallet may pay.
    ///
    /// # Errors
    /// The ledger cannot be written; then nothing may be paid.
    pub async fn arm(&self, id: PurchaseId, wire: Vec<u8>, resend_until: u64) -> Result<Armed, LedgerError> {
        let (now, owner) = (self.now(), self.owner_name());
        self.0
            .writer
            .write(move |conn| {
                let armed = purchase::arm(conn, now, id, &wire, resend_until)?;
                if matches!(armed, Armed::Committed(_)) {
                    claim(conn, id, &owner)?;
                }
                Ok(armed)
            })
            .await
    }

    /// Records that nobody knows whether money left.
    ///
    /// # Errors
    /// The ledger cannot be written; the purchase is `paying` then, which reconciliation treats alike.
    pub async fn unknown(&self, id: PurchaseId, why: &str) -> Result<(), LedgerError> {
        let (now, why) = (self.now(), why.to_owned());
        self.0.writer.write(move |conn| purchase::unknown(conn, now, id, &why)).await
    }

    /// W2: records proof, fee and credential. Returns where the purchase stands.
    ///
    /// # Errors
    /// The ledger cannot be written; the proof can then be looked up again.
    pub async fn paid(&self, id: PurchaseId, payment: Payment) -> Result<State, LedgerError> {
        let now = self.now();
        self.0.writer.write(move |conn| purchase::paid(conn, now, id, &payment)).await
    }

    /// Records that no money left, and gives the holds back. Returns where the purchase stands.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub async fn failed(&self, id: PurchaseId, why: &str) -> Result<State, LedgerError> {
        let (now, why) = (self.now(), why.to_owned());
        self.0.writer.write(move |conn| purchase::failed(conn, now, id, &why)).await
    }

    /// W3: records the answer. Its body is on disk already.
    ///
    /// # Errors
    /// The ledger cannot be written; the credential can be shown again.
    pub async fn delivered(&self, id: PurchaseId, result: StoredResult) -> Result<State, LedgerError> {
        let now = self.now();
        self.0.writer.write(move |conn| purchase::delivered(conn, now, id, &result)).await
    }

    /// Records that the seller has the money and did not deliver.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub async fn undelivered(&self, id: PurchaseId, status: Option<u16>, why: &str) -> Result<State, LedgerError> {
        let (now, why) = (self.now(), why.to_owned());
        self.0.writer.write(move |conn| purchase::undelivered(conn, now, id, status, &why)).await
    }

    /// Records that the answer reached a caller.
    ///
    /// # Errors
    /// The ledger cannot be written; an equal call then gets the stored answer, free of charge.
    pub async fn answered(&self, id: PurchaseId) -> Result<(), LedgerError> {
        let now = self.now();
        self.0.writer.write(move |conn| purchase::answered(conn, now, id)).await
    }

    /// Notes a look-up that found nothing (`absent`) or something else; returns since when nothing has been found.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub async fn absent(&self, id: PurchaseId, absent: bool) -> Result<Option<i64>, LedgerError> {
        let now = self.now();
        self.0.writer.write(move |conn| purchase::absent(conn, now, id, absent)).await
    }

    /// A person's decision about a purchase that waits, or about the wallet that a purchase froze.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub async fn decide(&self, id: PurchaseId, yes: bool) -> Result<Decided, LedgerError> {
        let now = self.now();
        self.0.writer.write(move |conn| purchase::decide(conn, now, id, yes)).await
    }

    /// Lets go of purchases whose price ran out before a person decided.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub async fn expire_awaiting(&self) -> Result<(), LedgerError> {
        let now = self.now();
        self.0.writer.write(move |conn| purchase::expire_awaiting(conn, now)).await
    }

    /// Purchases that wait for a person.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub async fn awaiting(&self) -> Result<Vec<Standing>, LedgerError> {
        self.0
            .writer
            .read(|conn| {
                let mut statement =
                    conn.prepare("SELECT purchase_id FROM purchase WHERE state = 'awaiting_approval'")?;
                let ids = statement.query_map([], |r| r.get::<_, String>(0))?;
                let ids: Vec<String> = ids.collect::<Result<_, _>>()?;
                let ids = ids.iter().filter_map(|id| id.parse().ok());
                ids.filter_map(|id| purchase::find(conn, id).transpose()).collect()
            })
            .await
    }

    // ── journal lines without a purchase ───────────────────────────────────────────────────────────────────────────

    /// Writes a refusal into the journal.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub async fn refuse(&self, no: Refused) -> Result<(), LedgerError> {
        let now = self.now();
        self.0
            .writer
            .write(move |conn| {
                let session = session::touch(conn, &no.principal, &no.session_key, now)?;
                let price = no.price.unwrap_or(Amount::zero(Currency::Sat));
                let line = journal::Line {
                    purchase: None,
                    session: Some(&session),
                    principal: &no.principal,
                    kind: "refuse",
                    currency: price.currency().code(),
                    amount: price.atomic() as i64,
                    note: json!({ "host": no.host, "path": no.path, "code": no.code, "say": no.say,
                                  "purpose": no.purpose }),
                };
                journal::append(conn, now, &line, &[])
            })
            .await
    }

    /// Writes a use of a stored credential into the journal, and learns that it opens the path.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub async fn reused(&self, used: Reused) -> Result<(), LedgerError> {
        let now = self.now();
        self.0
            .writer
            .write(move |conn| {
                credential::learn(conn, now, used.credential, &used.bare_path, Verdict::Accepted)?;
                let session = session::touch(conn, &used.principal, &used.session_key, now)?;
                let line = journal::Line {
                    purchase: None,
                    session: Some(&session),
                    principal: &used.principal,
                    kind: "reuse",
                    currency: Currency::Sat.code(),
                    amount: 0,
                    note: json!({ "host": used.host, "path": used.path, "status": used.status, "rail": "token",
                                  "purpose": used.purpose, "say": format!("opened by {}", used.purchase) }),
                };
                journal::append(conn, now, &line, &[])
            })
            .await
    }

    // ── budgets and sessions ───────────────────────────────────────────────────────────────────────────────────────

    /// The limits of a principal as they stand. Begins no session.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub async fn budgets(
        &self,
        principal: &str,
        session_key: &str,
    ) -> Result<(Option<Session>, Vec<BudgetView>), LedgerError> {
        let (principal, key, now) = (principal.to_owned(), session_key.to_owned(), self.now());
        let limits = self.0.limits.clone();
        self.0
            .writer
            .read(move |conn| {
                let session = session::running(conn, &principal, &key, now)?;
                let id = session.as_ref().map(|s| s.id.as_str());
                let views = budget::views(conn, &limits, now, &principal, id)?;
                Ok((session, views))
            })
            .await
    }

    /// Sets a limit of the running session (which begins now if there is none) or of the day. `raise_by` says who may
    /// raise: a model may only lower, whatever it says.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub async fn set_limit(
        &self,
        principal: &str,
        session_key: &str,
        scope: Scope,
        to: Amount,
        by: SetBy,
    ) -> Result<LimitSet, LedgerError> {
        let (principal, key, now) = (principal.to_owned(), session_key.to_owned(), self.now());
        let limits = self.0.limits.clone();
        self.0
            .writer
            .write(move |conn| {
                let session = session::touch(conn, &principal, &key, now)?;
                let views = budget::views(conn, &limits, now, &principal, Some(&session))?;
                let view = |v: &&BudgetView| v.scope == scope && v.limit.currency() == to.currency();
                let Some(before) = views.iter().find(view).cloned() else {
                    return Ok(LimitSet::NoCeiling);
                };
                if to.exceeds(before.ceiling) {
                    return Ok(LimitSet::AboveCeiling(before));
                }
                if by == SetBy::Model && to.exceeds(before.limit) {
                    return Ok(LimitSet::NeedsAPerson { session, before });
                }
                let subject = if matches!(scope, Scope::Purchase | Scope::Session) { session.as_str() } else { "" };
                let who = if scope == Scope::Total { "" } else { principal.as_str() };
                let row = match budget::set_limit(conn, &limits, now, (scope, subject, who), to, by)? {
                    Ok(row) => row,
                    Err(_) => return Ok(LimitSet::AboveCeiling(before)),
                };
                let line = journal::Line {
                    purchase: None,
                    session: Some(&session),
                    principal: &principal,
                    kind: "limit",
                    currency: to.currency().code(),
                    amount: to.atomic() as i64,
                    note: json!({ "scope": scope, "from": before.limit, "to": to,
                                  "by": if by == SetBy::Model { "model" } else { "person" } }),
                };
                journal::append(conn, now, &line, &[row])?;
                let views = budget::views(conn, &limits, now, &principal, Some(&session))?;
                let after = views.iter().find(view).cloned().unwrap_or_else(|| before.clone());
                Ok(LimitSet::Done { session, before, after })
            })
            .await
    }

    /// The running session, without beginning one.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub async fn session(&self, principal: &str, key: &str) -> Result<Option<Session>, LedgerError> {
        let (principal, key, now) = (principal.to_owned(), key.to_owned(), self.now());
        self.0.writer.read(move |conn| session::running(conn, &principal, &key, now)).await
    }

    /// Ends running sessions: of one key, or all of a principal.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub async fn end_sessions(&self, principal: &str, key: Option<&str>) -> Result<Vec<String>, LedgerError> {
        let (principal, key, now) = (principal.to_owned(), key.map(str::to_owned), self.now());
        self.0.writer.write(move |conn| session::end(conn, &principal, key.as_deref(), now)).await
    }

    /// The sessions of a principal, newest first.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub async fn sessions(&self, principal: &str, limit: u32) -> Result<Vec<Session>, LedgerError> {
        let principal = principal.to_owned();
        self.0.writer.read(move |conn| session::list(conn, &principal, limit)).await
    }

    // ── credentials and results ────────────────────────────────────────────────────────────────────────────────────

    /// The one credential worth trying for a path.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub async fn credential(
        &self,
        principal: &str,
        origin: &str,
        path: &str,
    ) -> Result<Option<StoredCredential>, LedgerError> {
        let (principal, origin, path) = (principal.to_owned(), origin.to_owned(), path.to_owned());
        let now_s = self.now() / 1000;
        self.0.writer.read(move |conn| credential::best(conn, now_s, &principal, &origin, &path)).await
    }

    /// Remembers what a path said to a credential.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub async fn learn(&self, credential: i64, path: &str, verdict: Verdict) -> Result<(), LedgerError> {
        let (path, now) = (path.to_owned(), self.now());
        self.0.writer.write(move |conn| credential::learn(conn, now, credential, &path, verdict)).await
    }

    /// Remembers an answer that cost nothing, so that its pages can be read.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub async fn keep_free_result(
        &self,
        principal: &str,
        session_key: &str,
        result: StoredResult,
    ) -> Result<(), LedgerError> {
        let (principal, key, now) = (principal.to_owned(), session_key.to_owned(), self.now());
        self.0
            .writer
            .write(move |conn| {
                let session = session::running(conn, &principal, &key, now)?.map(|s| s.id).unwrap_or_default();
                result::insert(conn, &principal, &session, None, &result)
            })
            .await
    }

    /// A stored answer of this principal.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub async fn result(&self, principal: &str, id: &str) -> Result<Option<StoredResult>, LedgerError> {
        let (principal, id) = (principal.to_owned(), id.to_owned());
        self.0.writer.read(move |conn| result::find(conn, &principal, &id)).await
    }

    /// Marks answers that are too old or too many as gone; returns their names, so that the files can be removed.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub async fn prune_results(&self) -> Result<Vec<String>, LedgerError> {
        let now = self.now();
        self.0.writer.write(move |conn| result::prune(conn, now)).await
    }

    // ── wallets ────────────────────────────────────────────────────────────────────────────────────────────────────

    /// Remembers a wallet's world and the best encryption it was seen to speak.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub async fn saw_wallet(&self, id: &str, world: &str, cipher: &str) -> Result<(), LedgerError> {
        let (id, world, cipher, now) = (id.to_owned(), world.to_owned(), cipher.to_owned(), self.now() as i64);
        self.0
            .writer
            .write(move |conn| {
                conn.execute(
                    "INSERT INTO wallet(wallet_id, world, cipher, frozen_why, seen_ms) VALUES(?1,?2,?3,'',?4)
                     ON CONFLICT(wallet_id) DO UPDATE SET world = ?2, seen_ms = ?4,
                       cipher = CASE WHEN ?3 = '' THEN cipher ELSE ?3 END",
                    rusqlite::params![id, world, cipher, now],
                )?;
                Ok(())
            })
            .await
    }

    /// What is remembered of each wallet, by its id (see `wallet::Wallet::remember`).
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub async fn wallets(&self) -> Result<std::collections::HashMap<String, String>, LedgerError> {
        self.0
            .writer
            .read(|conn| {
                let mut statement = conn.prepare("SELECT wallet_id, cipher FROM wallet")?;
                let rows = statement.query_map([], |r| Ok((r.get(0)?, r.get(1)?)))?;
                Ok(rows.collect::<Result<_, _>>()?)
            })
            .await
    }

    /// What is remembered of a wallet: its world, its best encryption, and why it is frozen, if it is.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub async fn known_wallet(&self, id: &str) -> Result<Option<(String, String, Option<String>)>, LedgerError> {
        use rusqlite::OptionalExtension;
        let id = id.to_owned();
        self.0
            .writer
            .read(move |conn| {
                let sql = "SELECT world, cipher, CASE WHEN frozen_ms IS NULL THEN NULL ELSE frozen_why END
                           FROM wallet WHERE wallet_id = ?";
                Ok(conn.query_row(sql, [id], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?))).optional()?)
            })
            .await
    }

    /// The world this ledger holds, once a wallet fixed it.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub async fn world(&self) -> Result<Option<String>, LedgerError> {
        use rusqlite::OptionalExtension;
        self.0
            .writer
            .read(|conn| {
                Ok(conn.query_row("SELECT value FROM meta WHERE key = 'world'", [], |r| r.get(0)).optional()?)
            })
            .await
    }

    // ── audit ──────────────────────────────────────────────────────────────────────────────────────────────────────

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

fn claim(conn: &rusqlite::Connection, id: PurchaseId, owner: &str) -> Result<(), LedgerError> {
    conn.execute(
        "INSERT INTO driver(purchase_id, owner) VALUES(?1, ?2)
         ON CONFLICT(purchase_id) DO UPDATE SET owner = ?2",
        rusqlite::params![id.to_string(), owner],
    )?;
    Ok(())
}

/// What became of a wish for another limit.
#[derive(Clone, Debug)]
pub enum LimitSet {
    /// It is set.
    Done {
        /// The session it is of.
        session: String,
        /// Before.
        before: BudgetView,
        /// Now.
        after: BudgetView,
    },
    /// It would be more than now, and only a person may do that.
    NeedsAPerson {
        /// The session it would be of.
        session: String,
        /// As it is.
        before: BudgetView,
    },
    /// The operator's ceiling is lower.
    AboveCeiling(BudgetView),
    /// The operator allows none of this currency.
    NoCeiling,
}
