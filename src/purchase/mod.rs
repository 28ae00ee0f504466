//! The heart: one purchase from quote to receipt, whoever asks, however often, whatever breaks.
//!
//! ```text
//!  call ──► vet ──► equal purchase? ──► its stored answer, or go on with it        (never a second payment)
//!             └──► ask the seller (token first, then free tier) ──► answered: done, nothing paid
//!                      └─ 402 ──► judge offers ──► W1 ──► pay ──► W2 ──► redeem ──► W3
//! ```
//!
//! [`step`] decides, [`drive`] performs, the ledger remembers. Work goes on when the caller gives up: each purchase runs
//! in a task of its own, and every call that means the same purchase waits for the same task.

mod buy;
mod charge;
pub mod choose;
mod drive;
mod fetch;
pub mod kind;
mod known;
mod nonce;
mod outcome;
mod present;
mod prove;
mod quote;
mod reach;
mod redeem;
mod request;
pub mod results;
mod resume;
mod session;
pub mod step;
pub mod tokens;
mod told;
mod wallets;
mod words;

use std::{
    collections::{HashMap, HashSet},
    future::Future,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

pub use choose::OfferView;
pub use outcome::{No, Outcome, Report};
pub use reach::Reach;
pub use request::{Caller, Request, Wish};
pub use session::Closed;
use tokio::sync::{OnceCell, watch};
use tokio_util::task::TaskTracker;
use words::FROZEN_BY_ANOTHER;
pub use words::NO_WALLET;

use crate::{
    clock::Clock,
    config::Config,
    http::Client,
    ledger::{
        BudgetView, Deposit, DepositState, Ledger, LimitSet, PurchaseId, Reused, Scope, Session, SetBy, Standing, State,
    },
    money::Amount,
    wallet::{Wallet, WalletError, WalletInfo},
};
use results::Results;
use wallets::{Held, Made};

/// What a purchase is doing, for whoever waits.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Progress {
    /// The seller is asked, without money.
    #[default]
    Asking,
    /// The wallet pays.
    Paying(Amount),
    /// The wallet is asked what became of a payment.
    LookingUp,
    /// The seller is shown what was bought.
    Redeeming,
    /// The answer comes, and has so many bytes so far.
    Collecting(u64),
}

impl std::fmt::Display for Progress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Progress::Asking => f.write_str("asking the seller"),
            Progress::Paying(price) => write!(f, "paying {price}"),
            Progress::LookingUp => f.write_str("asking the wallet what became of the payment"),
            Progress::Redeeming => f.write_str("paid; asking for the data"),
            Progress::Collecting(bytes) => write!(f, "receiving the answer: {bytes} bytes so far"),
        }
    }
}

/// One purchase under way in this process, as those who wait see it.
#[derive(Clone, Debug, Default)]
struct Flight {
    begun: Option<Instant>,
    progress: Progress,
    purchase: Option<PurchaseId>,
    report: Option<Arc<Report>>,
    /// Whether a caller waits for the answer; else only the money is looked after.
    wanted: Arc<AtomicBool>,
}

/// The purse: everything that can buy, keep and account. Cheap to clone; opens what it needs when it needs it.
#[derive(Clone)]
pub struct Purse(Arc<Inner>);

struct Inner {
    config: Config,
    clock: Clock,
    http: Client,
    results: Results,
    ledger: OnceCell<Ledger>,
    wallets: OnceCell<Vec<Made>>,
    flights: Mutex<HashMap<String, watch::Receiver<Flight>>>,
    /// Purchases between W1 and their end in this process: what the exit waits for.
    open: watch::Sender<HashSet<PurchaseId>>,
    /// Small writes that nobody waits for, but the exit.
    chores: TaskTracker,
    closing: AtomicBool,
    /// Purchases that are looked at again when what was signed for them has run out.
    looked_after: Mutex<HashSet<PurchaseId>>,
    /// When what is unresolved was last looked up.
    reconciled: Mutex<Option<Instant>>,
    /// Prices that were paid a moment ago, by route.
    known: Mutex<HashMap<String, known::Known>>,
    /// Free tiers that said they are used up, and until when they are not asked again.
    used_up: Mutex<HashMap<String, Instant>>,
    /// Prices that callers were told of by discovery.
    told: told::Told,
    /// The deposits that this process drives.
    driven: session::Driven,
}

/// What is unresolved is looked up again after this long, when a call comes.
const RECONCILE_AGAIN: Duration = Duration::from_secs(60);

/// How many failed payments are looked at again before the next one.
const DOUBTED: usize = 3;

/// How long that may take.
const DOUBT_FOR: Duration = Duration::from_secs(5);

/// A lock whose holder panicked still holds good data: every critical section here is a single insert or remove.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One wallet, for `get_balance`.
#[derive(Debug)]
pub struct WalletReport {
    /// Its kind.
    pub kind: &'static str,
    /// What it says of itself, or why it says nothing.
    pub info: Result<WalletInfo, WalletError>,
    /// Why it is frozen, if it is.
    pub frozen: Option<String>,
}

/// The wallets and the limits, for `get_balance`.
#[derive(Debug)]
pub struct BalanceReport {
    /// The wallets that are set up.
    pub wallets: Vec<WalletReport>,
    /// The running session.
    pub session: Option<Session>,
    /// The limits and what is left.
    pub budgets: Vec<BudgetView>,
    /// Purchases whose outcome is not known yet.
    pub unresolved: Vec<Standing>,
    /// Purchases that wait for a person.
    pub awaiting: Vec<Standing>,
    /// Deposits that are not over.
    pub deposits: Vec<Deposit>,
}

impl Purse {
    /// A purse that opens nothing yet. Without `wallet`, the one from the configuration is used.
    pub fn new(config: Config, clock: Clock, wallet: Option<Arc<dyn Wallet>>) -> Purse {
        let given = wallet.map(|wallet| vec![Ok(Held::new(wallet))]);
        Purse(Arc::new(Inner {
            http: Client::new(config.http.clone()),
            results: Results::new(&config.home),
            config,
            clock,
            ledger: OnceCell::new(),
            wallets: OnceCell::new_with(given),
            flights: Mutex::default(),
            open: watch::Sender::new(HashSet::new()),
            chores: TaskTracker::new(),
            closing: AtomicBool::new(false),
            looked_after: Mutex::default(),
            reconciled: Mutex::default(),
            known: Mutex::default(),
            used_up: Mutex::default(),
            told: told::Told::default(),
            driven: session::Driven::default(),
        }))
    }

    /// The operator's decisions.
    pub fn config(&self) -> &Config {
        &self.0.config
    }

    /// The clock.
    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// The open ledger; the first call opens it.
    ///
    /// # Errors
    /// See [`Ledger::open`].
    pub async fn ledger(&self) -> Result<&Ledger, No> {
        let open = || async {
            let (home, limits) = (self.0.config.home.clone(), self.0.config.limits.clone());
            let clock = self.0.clock.clone();
            tokio::task::spawn_blocking(move || Ledger::open(&home, limits, clock))
                .await
                .map_err(|_| No::new("ledger", "the ledger could not be opened"))?
                .map_err(No::from)
        };
        self.0.ledger.get_or_try_init(open).await
    }

    /// Wallet, limits and what is unresolved. Pays nothing, begins no session.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub async fn balance(&self, caller: &Caller) -> Result<BalanceReport, No> {
        self.reconcile_in_background();
        let ledger = self.ledger().await?;
        ledger.expire_awaiting().await?;
        let (session, budgets) = ledger.budgets(&caller.principal, &caller.session_key).await?;
        let asked = self.wallets().await?.iter().map(|made| async move {
            match made {
                Ok(held) => {
                    let known = ledger.known_wallet(&held.wallet.id()).await?;
                    let frozen = match known.and_then(|(_, _, frozen)| frozen) {
                        Some(why) if !self.froze(&caller.principal, &why).await? => Some(FROZEN_BY_ANOTHER.to_owned()),
                        frozen => frozen,
                    };
                    Ok(WalletReport { kind: held.wallet.kind(), info: self.asked_anew(held).await, frozen })
                }
                Err((kind, e)) => Ok(WalletReport { kind, info: Err(e.clone()), frozen: None }),
            }
        });
        let wallets = futures_util::future::join_all(asked).await.into_iter().collect::<Result<_, No>>()?;
        let mut unresolved = Vec::new();
        for id in ledger.unresolved().await? {
            let standing = ledger.find(id).await?;
            unresolved.extend(standing.filter(|s| s.principal == caller.principal && s.state.at_risk()));
        }
        let mut awaiting = ledger.awaiting().await?;
        awaiting.retain(|s| s.principal == caller.principal);
        let mut deposits = ledger.deposits(Some(&caller.principal)).await?;
        // Of what is closed and used up nothing is left to be told, though a refund is still looked for.
        deposits.retain(|d| d.state != DepositState::Closed || d.paid_in.exceeds(d.used));
        Ok(BalanceReport { wallets, session, budgets, unresolved, awaiting, deposits })
    }

    /// Sets a limit; a model may only lower it.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub async fn set_limit(&self, caller: &Caller, scope: Scope, to: Amount, by: SetBy) -> Result<LimitSet, No> {
        let ledger = self.ledger().await?;
        Ok(ledger.set_limit(&caller.principal, &caller.session_key, scope, to, by).await?)
    }

    /// Records that a report reached a caller that was still there: from now on an equal call is a new request.
    pub async fn answered(&self, id: PurchaseId) {
        let Ok(ledger) = self.ledger().await else { return };
        if let Err(e) = ledger.answered(id).await {
            tracing::warn!("{id}: its answer was handed over and that could not be recorded: {e}");
        }
    }

    /// The same, without waiting for it.
    pub fn note_answered(&self, id: PurchaseId) {
        let purse = self.clone();
        self.0.chores.spawn(async move { purse.answered(id).await });
    }

    /// Removes stored answers that are too old or too many.
    async fn prune_results(&self) {
        let Ok(ledger) = self.ledger().await else { return };
        match ledger.prune_results().await {
            Ok(gone) => self.0.results.remove(&gone),
            Err(e) => tracing::warn!("old answers could not be let go: {e}"),
        }
    }

    /// Whether the process is ending, so that nothing new is paid.
    fn closing(&self) -> bool {
        self.0.closing.load(Ordering::SeqCst)
    }

    /// Ends: begins no further payment, waits for the open ones (at most `waits.exit`), and records the rest as unknown.
    pub async fn close(&self) {
        self.0.closing.store(true, Ordering::SeqCst);
        let mut open = self.0.open.subscribe();
        let wait = self.0.config.waits.exit;
        let until = tokio::time::Instant::now() + wait;
        let _ = tokio::time::timeout_at(until, open.wait_for(HashSet::is_empty)).await;
        self.close_deposits(until.saturating_duration_since(tokio::time::Instant::now())).await;
        self.0.chores.close();
        let _ = tokio::time::timeout(Duration::from_secs(1), self.0.chores.wait()).await;
        let left: Vec<PurchaseId> = open.borrow().iter().copied().collect();
        let Some(ledger) = self.0.ledger.get() else { return };
        for id in left {
            tracing::warn!("{id}: the process ends before its payment is known; it is looked up next time");
            if let Err(e) = ledger.unknown(id, "the process ended before the wallet answered").await {
                tracing::warn!("{id}: {e}");
            }
        }
    }

    /// Looks up, on first need and now and then, what is unresolved or was taken for failed. Pays nothing.
    fn reconcile_in_background(&self) {
        {
            let mut last = lock(&self.0.reconciled);
            if !self.has_wallet() || last.is_some_and(|at| at.elapsed() < RECONCILE_AGAIN) {
                return;
            }
            *last = Some(Instant::now());
        }
        let purse = self.clone();
        tokio::spawn(async move {
            let Ok(ledger) = purse.ledger().await else { return };
            if let Err(e) = ledger.expire_awaiting().await {
                tracing::warn!("purchases that waited too long for a person could not be let go: {e}");
            }
            let ids = ledger.unresolved().await.unwrap_or_default();
            for id in ids {
                if let Err(no) = purse.settle_earlier(id).await {
                    tracing::warn!("{id}: what was signed first could not be looked up: {no}");
                }
                match ledger.find(id).await {
                    Ok(Some(s)) if !matches!(s.state, State::Delivered | State::Undelivered | State::Late) => {
                        purse.fly_standing(&s, false);
                    }
                    _ => {}
                }
            }
            purse.settle_charges(None).await;
            if let Err(no) = purse.look_after_deposits().await {
                tracing::warn!("deposits could not be looked after: {no}");
            }
        });
    }

    /// Looks once more at the last payments that the wallet said had failed, as long as they could still settle: a
    /// wallet that lied is found out before it is trusted with more. A lookup that takes long is not waited for.
    async fn doubt_failures(&self) -> Result<(), No> {
        let ledger = self.ledger().await?;
        let mut failed = Vec::new();
        for id in ledger.unresolved().await?.into_iter().rev() {
            failed.extend(ledger.find(id).await?.filter(|s| s.state == State::Failed));
            if failed.len() == DOUBTED {
                break;
            }
        }
        // Not through `fly`: one of them may be of the very call that asks.
        let unheard = watch::Sender::new(Flight::default());
        let looks = failed.into_iter().map(|standing| self.follow(standing, &unheard));
        let _ = tokio::time::timeout(DOUBT_FOR, futures_util::future::join_all(looks)).await;
        Ok(())
    }

    /// Joins the flight of a key, or starts one in a task of its own. `wanted` says that somebody waits for the answer.
    fn fly<F, Fut>(&self, key: String, wanted: bool, start: F) -> (watch::Receiver<Flight>, bool)
    where
        F: FnOnce(watch::Sender<Flight>) -> Fut,
        Fut: Future<Output = Report> + Send + 'static,
    {
        let mut flights = lock(&self.0.flights);
        if let Some(flight) = flights.get(&key).filter(|f| f.has_changed().is_ok()) {
            flight.borrow().wanted.fetch_or(wanted, Ordering::Relaxed);
            return (flight.clone(), false);
        }
        let begun = Some(Instant::now());
        let (sender, receiver) = watch::channel(Flight { begun, wanted: Arc::new(wanted.into()), ..Flight::default() });
        flights.insert(key.clone(), receiver.clone());
        let run = start(sender.clone());
        let purse = self.clone();
        tokio::spawn(async move {
            let report = run.await;
            lock(&purse.0.flights).remove(&key);
            sender.send_modify(|flight| flight.report = Some(Arc::new(report)));
        });
        (receiver, true)
    }

    fn note_reuse(&self, used: Reused) {
        let purse = self.clone();
        self.0.chores.spawn(async move {
            let Ok(ledger) = purse.ledger().await else { return };
            if let Err(e) = ledger.reused(used).await {
                tracing::warn!("the use of a credential could not be recorded: {e}");
            }
        });
    }

    /// Waits for a flight's report, telling its progress, until the caller must be answered.
    async fn wait(
        &self,
        mut flight: watch::Receiver<Flight>,
        until: tokio::time::Instant,
        tell: &(dyn Fn(&Progress) + Sync),
    ) -> Waited {
        loop {
            {
                let now = flight.borrow_and_update();
                if let Some(report) = &now.report {
                    return Waited::Report(report.clone());
                }
                tell(&now.progress);
            }
            let next = tokio::time::Instant::now() + Duration::from_secs(5);
            tokio::select! {
                changed = flight.changed() => if changed.is_err() {
                    let report = flight.borrow().report.clone();
                    return report.map_or(Waited::Lost, Waited::Report);
                },
                () = tokio::time::sleep_until(next.min(until)) => if tokio::time::Instant::now() >= until {
                    return Waited::Late(flight.borrow().purchase);
                },
            }
        }
    }
}

/// How waiting for a flight ended.
enum Waited {
    Report(Arc<Report>),
    Late(Option<PurchaseId>),
    Lost,
}
