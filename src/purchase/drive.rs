//! The driver: performs what [`step`](super::step) decides, for one purchase, until there is nothing more to do.

use std::{sync::atomic::Ordering, time::Duration};

use tokio::sync::watch;

use super::{
    Flight, No, Progress, Purse, charge,
    fetch::Call,
    present,
    results::Body,
    session::is_of_session,
    step::{Effect, Input, Known, step},
};
use crate::{
    config::Waits,
    http::Answer,
    ledger::{Committed, Intent, LedgerError, Payment, PurchaseId, Standing, State},
    money::Amount,
    protocol::{Credential, Pin, Proof, Rail, Witness, World, l402},
    wallet::{LookSaid, PaySaid, Wallet},
};

/// How long a fee that the wallet's reply left out is asked for before the whole allowance is charged.
const FEE_WITHIN: Duration = Duration::from_secs(5);

/// What a run leaves beside the ledger: the answer it got, so that it need not be read from disk.
#[derive(Default)]
pub(super) struct Ran {
    /// The seller's last answer in this run.
    pub(super) body: Option<Body>,
    /// Whether money left in this run.
    pub(super) paid: bool,
    /// What is worth saying of the payment, such as its transaction.
    pub(super) remark: String,
    /// What top-ups of a deposit cost in this run, fees included.
    pub(super) topped_up: Option<Amount>,
}

/// A proof on its way into the ledger.
pub(super) struct Settled {
    pub(super) proof: Proof,
    /// What was charged, where that is not the whole price.
    pub(super) spent: Option<Amount>,
    pub(super) fee: Option<Amount>,
    /// What else is worth saying of it.
    pub(super) note: String,
}

impl Settled {
    /// The whole price, with this proof, and no word of a fee.
    pub(super) fn new(proof: Proof) -> Settled {
        Settled { proof, spent: None, fee: None, note: String::new() }
    }
}

/// One run of one purchase.
pub(super) struct Run<'a> {
    pub(super) purse: &'a Purse,
    pub(super) intent: Committed<Intent>,
    pub(super) pin: Option<Pin>,
    fresh: bool,
    /// Whether the seller settles.
    pub(super) by_seller: bool,
    /// Whether real money is at stake: then doubts last at least as long as the design says.
    real: bool,
    refused: Option<String>,
    looks: u32,
    resent: bool,
    pub(super) redeems: u32,
    absent_since_ms: Option<u64>,
    /// Whether the wallet said that it paid, without a proof; the ledger remembers it between runs.
    said_paid: bool,
    /// How often what was signed was shown to the seller.
    pub(super) sends: u32,
    /// Whether the seller's last word allows to show it again.
    pub(super) again: bool,
    /// What was shown to the seller before, for another intent: a seller may say that back as well.
    pub(super) shown: Vec<Credential>,
    /// The call that pays a remembered price, until the seller refused that price.
    pub(super) known: Option<&'a Call>,
    /// The demand that came when what was signed was refused, until it was looked at.
    pub(super) refusal: Option<Answer>,
    /// What the seller did beside settling, which counts once the payment is recorded.
    pub(super) after_paid: Option<Input>,
    /// Whether the seller asked for payment again when it was shown what was signed for the first time.
    pub(super) asked_at_once: bool,
    pub(super) settled: Option<Settled>,
    pub(super) body: Option<Body>,
    paid: bool,
    pub(super) remark: String,
    /// What top-ups cost in this run, fees included.
    pub(super) topped_up: Option<Amount>,
}

/// Keeps the exit waiting while a purchase is between W1 and its end.
struct Open<'a>(&'a Purse, PurchaseId);

impl<'a> Open<'a> {
    fn new(purse: &'a Purse, id: PurchaseId) -> Open<'a> {
        purse.0.open.send_modify(|open| {
            open.insert(id);
        });
        Open(purse, id)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.0.open.send_modify(|open| {
            open.remove(&self.1);
        });
    }
}

impl Purse {
    /// How long after a liability ended a "no" of real money is doubted.
    pub(super) fn grace(&self) -> Duration {
        self.0.config.waits.grace.max(Waits::default().grace)
    }

    /// Drives a purchase from where it stands until it rests. With a fresh intent it pays; else it only looks up,
    /// sends the same bytes again while they live, and redeems. `known` is the call that pays a remembered price.
    pub(super) async fn run(
        &self,
        intent: Committed<Intent>,
        known: Option<&Call>,
        flight: &watch::Sender<Flight>,
    ) -> Result<(Standing, Ran), No> {
        let id = intent.purchase;
        flight.send_modify(|f| f.purchase = Some(id));
        let fresh = intent.fresh();
        let ledger = self.ledger().await?;
        let real = ledger.world().await?.as_deref() != Some(World::Test.name());
        let mut run = Run {
            purse: self,
            by_seller: Rail::is_settled_by_seller(&intent.rail),
            pin: serde_json::from_slice(&intent.pin).ok(),
            intent,
            fresh,
            real,
            refused: None,
            looks: 0,
            resent: false,
            redeems: 0,
            absent_since_ms: None,
            said_paid: !fresh && ledger.said_paid(id).await?,
            sends: 0,
            again: true,
            shown: Vec::new(),
            known,
            refusal: None,
            after_paid: None,
            asked_at_once: false,
            settled: None,
            body: None,
            paid: false,
            remark: String::new(),
            topped_up: None,
        };
        let mut open = Some(Open::new(self, id));
        let mut input = Input::Go;
        loop {
            let Some(standing) = ledger.find(id).await? else {
                return Err(No::new("ledger", format!("{id} is not in the ledger")));
            };
            // A purchase of unknown outcome can wait for hours; the exit does not wait for it.
            if matches!(standing.state, State::Unknown | State::Failed) {
                open = None;
            } else if open.is_none() {
                open = Some(Open::new(self, id));
            }
            let wanted = flight.borrow().wanted.load(Ordering::Relaxed);
            let effect = step(&run.known(&standing, wanted), &input);
            tracing::debug!(purchase = %id, state = %standing.state, ?effect, "step");
            if effect == Effect::Rest {
                return Ok((
                    standing,
                    Ran { body: run.body, paid: run.paid, remark: run.remark, topped_up: run.topped_up },
                ));
            }
            input = run.perform(&standing, effect, flight).await?;
        }
    }
}

impl Run<'_> {
    fn known(&self, standing: &Standing, wanted: bool) -> Known {
        let waits = &self.purse.0.config.waits;
        let (absent_for, grace) = match self.real {
            true => (waits.absent.max(Waits::default().absent), self.purse.grace()),
            false => (waits.absent, waits.grace),
        };
        Known {
            state: standing.state,
            fresh: self.fresh,
            now_ms: self.purse.0.clock.now_ms(),
            liability_until_s: self.intent.liability_until,
            resend_until_s: self.intent.resend_until,
            absent_since_ms: self.absent_since_ms,
            absent_for,
            said_paid: self.said_paid,
            grace,
            refused: self.refused.clone(),
            looks: self.looks,
            resent: self.resent,
            redeems: self.redeems,
            by_seller: self.by_seller,
            replays: self.pin.as_ref().is_some_and(Pin::replays),
            alone: self.intent.n == 0,
            wanted,
            sends: self.sends,
            again: self.again,
            anew: self.known.is_some() || self.other_nonce().is_some(),
        }
    }

    /// Goes on with another intent that was committed just now.
    pub(super) fn take(&mut self, intent: Committed<Intent>) {
        self.shown.extend(self.payment());
        self.asked_at_once = false;
        self.pin = serde_json::from_slice(&intent.pin).ok();
        self.fresh = intent.fresh();
        self.sends = 0;
        self.again = true;
        self.intent = intent;
    }

    /// Performs one effect and says what happened.
    async fn perform(&mut self, at: &Standing, effect: Effect, flight: &watch::Sender<Flight>) -> Result<Input, No> {
        let ledger = self.purse.ledger().await?;
        let id = at.id;
        match effect {
            Effect::Pay => {
                flight.send_modify(|f| f.progress = Progress::Paying(at.price));
                kill_point("before_pay");
                let said = if self.by_seller { self.present(at, flight).await } else { self.pay().await };
                kill_point("after_pay");
                Ok(said)
            }
            Effect::Resend => {
                flight.send_modify(|f| f.progress = Progress::Paying(at.price));
                self.resent = true;
                Ok(if self.by_seller { self.present(at, flight).await } else { self.pay().await })
            }
            Effect::LookUp(pause) => {
                if self.looks > 0 || at.state == State::Unknown {
                    flight.send_modify(|f| f.progress = Progress::LookingUp);
                }
                self.pause(pause).await;
                self.look_up().await
            }
            Effect::ConfirmNo(code) => {
                self.refused = Some(code);
                self.look_up().await
            }
            Effect::RecordUnknown(why) => {
                ledger.unknown(id, &why).await?;
                Ok(Input::Go)
            }
            Effect::NoteSaidPaid => {
                ledger.note_said_paid(id).await?;
                self.said_paid = true;
                Ok(Input::Go)
            }
            Effect::NoteAbsent => {
                let since = ledger.absent(id, true).await?;
                self.absent_since_ms = Some(since.unwrap_or_default().max(0) as u64);
                Ok(Input::LookedAbsent)
            }
            Effect::RecordPaid => {
                self.record_paid(at).await?;
                kill_point("after_w2");
                Ok(self.after_paid.take().unwrap_or(Input::Go))
            }
            Effect::Requote => Ok(self.requote(at).await),
            Effect::CountAsSpent => {
                self.settled = Some(Settled::new(Proof::Transfer { by: Witness::Nobody, transaction: None }));
                self.record_paid(at).await?;
                let why = "no chain can be asked whether what was signed was used before it ran out, so it counts as \
                           spent"
                    .into();
                Ok(Input::SellerFailed { why, status: None, again: false })
            }
            Effect::RecordFailed(_) if self.by_seller && !self.earlier_are_settled(id).await? => {
                // What was signed first may still be used: until that is known, nobody knows.
                self.again = false;
                Ok(Input::LookedPending)
            }
            Effect::RecordFailed(why) => {
                ledger.failed(id, &why).await?;
                Ok(Input::Go)
            }
            Effect::RecordUnsent(why) => match ledger.unsent(id, &why).await? {
                // Nothing left, so there is nothing to look up.
                State::Failed => Ok(Input::NotSent(why)),
                _ => Ok(Input::Go),
            },
            Effect::Redeem(pause) => {
                flight.send_modify(|f| f.progress = Progress::Redeeming);
                tokio::time::sleep(pause).await;
                self.redeems += 1;
                self.redeem(at, flight).await
            }
            Effect::RecordDelivered => {
                self.record_delivered(at).await?;
                kill_point("after_w3");
                Ok(Input::Go)
            }
            Effect::RecordUndelivered { why, status } => {
                // A seller that settles refuses what it has seen before; only at first sight is that a second demand.
                let status = status.filter(|_| !self.by_seller || self.asked_at_once);
                ledger.undelivered(id, status, &why).await?;
                // Whoever asks for it next may show the payment once more; this run has its answer.
                self.redeems = self.redeems.max(1);
                Ok(Input::Go)
            }
            Effect::Distrust => {
                let why = "the wallet said that it failed, and now it says something else";
                ledger.distrust(id, &self.intent.wallet, why).await?;
                Ok(Input::SellerAnswered)
            }
            Effect::Rest => Ok(Input::Go),
        }
    }

    /// The wallet that this intent was made for. Another wallet's "no such payment" would say nothing.
    async fn wallet(&self) -> Result<&std::sync::Arc<dyn Wallet>, String> {
        self.purse.wallet_with_id(&self.intent.wallet).await
    }

    /// Waits before a look-up, and no longer when the wallet hints that there is something to see.
    async fn pause(&self, pause: Duration) {
        let hint = async {
            match self.wallet().await {
                Ok(wallet) if !pause.is_zero() => wallet.hint(&self.intent).await,
                _ => std::future::pending().await,
            }
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = hint => {}
        }
    }

    async fn pay(&mut self) -> Input {
        let wallet = match self.wallet().await {
            Ok(wallet) => wallet,
            Err(why) => return Input::NoWord(why),
        };
        let said = wallet.pay(&self.intent).await;
        match said {
            PaySaid::Settled { preimage, mut fee } => {
                if fee.is_none() {
                    fee = self.fee_looked_up(wallet.as_ref()).await;
                }
                self.settled = Some(Settled { fee, ..Settled::new(Proof::Preimage { hex: preimage }) });
                Input::Settled
            }
            PaySaid::Refused { code, message, sent_once } => {
                tracing::info!(purchase = %self.intent.purchase, code, message, "the wallet refused");
                Input::Refused { code, sent_once }
            }
            PaySaid::Unknown { why } => Input::NoWord(why),
            PaySaid::NotSent { why } => Input::NotSent(why),
        }
    }

    /// The fee of a payment that is proved, where the reply left it out. Asked for once, and only the fee is taken from
    /// the answer: the proof is in hand, and whatever else comes cannot undo it.
    async fn fee_looked_up(&self, wallet: &dyn Wallet) -> Option<Amount> {
        match tokio::time::timeout(FEE_WITHIN, wallet.look_up(&self.intent)).await {
            Ok(LookSaid::Settled { fee, .. }) => fee,
            _ => None,
        }
    }

    pub(super) async fn look_up(&mut self) -> Result<Input, No> {
        self.looks += 1;
        let said = match self.wallet().await {
            Ok(wallet) => wallet.look_up(&self.intent).await,
            Err(why) => LookSaid::CannotTell { why },
        };
        let input = match said {
            LookSaid::Settled { preimage: Some(preimage), fee } => {
                self.settled = Some(Settled { fee, ..Settled::new(Proof::Preimage { hex: preimage }) });
                Input::LookedSettled { proof: true }
            }
            LookSaid::OnChain { transaction, taken } => {
                let part = charge::part(self.pin.as_ref(), self.intent.price, taken);
                // Where the chain does not show how much was taken, the most counts, and it is asked again.
                let open = part.is_none() && self.pin.as_ref().is_some_and(charge::is_up_to);
                let by = if open { Witness::Nobody } else { Witness::Chain };
                self.settled = Some(Settled { spent: part, ..Settled::new(Proof::Transfer { by, transaction }) });
                Input::LookedSettled { proof: true }
            }
            LookSaid::Void => Input::LookedVoid,
            LookSaid::Settled { preimage: None, .. } => Input::LookedSettled { proof: false },
            LookSaid::Pending => Input::LookedPending,
            LookSaid::Failed | LookSaid::NotFound => return Ok(Input::LookedAbsent),
            LookSaid::CannotTell { why } => Input::LookedNothing(why),
        };
        // Whoever looked before may have seen nothing: that row of absences ends here.
        self.absent_since_ms = None;
        self.purse.ledger().await?.absent(self.intent.purchase, false).await?;
        Ok(input)
    }

    /// W2. A ledger that cannot be written now may be in a moment; the proof can be looked up again for a long time.
    async fn record_paid(&mut self, at: &Standing) -> Result<(), No> {
        let Some(settled) = self.settled.take() else {
            return Err(No::new("ledger", format!("{}: there is no proof to record", at.id)));
        };
        let expires_s = match &self.pin {
            Some(Pin::L402(pin)) => l402::hints(pin.token.expose()).expires_at,
            Some(pin) => pin.expires_at(),
            None => None,
        };
        self.remark = format!("{}{}", present::remark(&settled.proof), settled.note);
        let transaction = settled.proof.transaction().map(str::to_owned);
        let proof = serde_json::to_vec(&settled.proof).map_err(|e| No::new("ledger", e.to_string()))?;
        let payment = Payment {
            proof,
            transaction,
            spent: settled.spent.unwrap_or(self.intent.price),
            // Whoever settles pays for it, or the payer signed what it may cost at most: no more than that leaves.
            fee: if self.by_seller { Some(self.intent.fee_cap) } else { settled.fee },
            // What a deposit opens is told by its session.
            opens_more: !self.by_seller && !self.pin.as_ref().is_some_and(is_of_session),
            expires_s,
            wallet_id: self.intent.wallet.clone(),
        };
        let deposit = match (&self.pin, &settled.proof) {
            (Some(pin), Proof::Preimage { hex }) if pin.session().is_some() => {
                Some(self.purse.new_deposit(pin, &at.origin, hex)?)
            }
            _ => None,
        };
        let ledger = self.purse.ledger().await?;
        let mut tries = 0;
        loop {
            let written = match &deposit {
                Some(deposit) => ledger.paid_in(at.id, payment.clone(), deposit.clone()).await,
                None => ledger.paid(at.id, payment.clone()).await,
            };
            match written {
                Ok(_) => {
                    self.paid = true;
                    return Ok(());
                }
                Err(e @ (LedgerError::Broken(_) | LedgerError::Sqlite(_))) if tries < 5 => {
                    tries += 1;
                    tracing::error!("{}: paid, and that could not be recorded yet: {e}", at.id);
                    tokio::time::sleep(Duration::from_millis(200 << tries)).await;
                }
                Err(e) => return Err(e.into()),
            }
        }
    }

    /// W3: first the body on disk, then the ledger.
    async fn record_delivered(&mut self, at: &Standing) -> Result<(), No> {
        let Some(body) = &mut self.body else {
            return Err(No::new("ledger", format!("{}: there is no answer to record", at.id)));
        };
        let (row, copy) = (body.row.clone(), body.clone());
        let results = self.purse.0.results.clone();
        let written = tokio::task::spawn_blocking(move || results.write(&copy)).await;
        match written.map_err(|e| e.to_string()).and_then(|w| w.map_err(|e| e.to_string())) {
            Ok(()) => body.kept = true,
            Err(say) => tracing::error!("{}: its answer could not be kept: {say}", at.id),
        }
        let ledger = self.purse.ledger().await?;
        let mut tries = 0;
        while let Err(e) = ledger.delivered(at.id, row.clone()).await {
            tries += 1;
            if tries > 5 {
                return Err(e.into());
            }
            tracing::error!("{}: answered, and that could not be recorded yet: {e}", at.id);
            tokio::time::sleep(Duration::from_millis(200 << tries)).await;
        }
        self.purse.prune_results().await;
        Ok(())
    }
}

/// Lets a test end the process here, as a crash would, or the task, as a mistake in the code would: `BURSAR_KILL_POINT` and
/// `BURSAR_PANIC_POINT` name the place. The task panics once, so that the test sees what comes after it. Only in debug builds.
pub(super) fn kill_point(name: &str) {
    #[cfg(debug_assertions)]
    {
        static PANICKED: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);
        let is_here = |variable: &str| std::env::var(variable).is_ok_and(|point| point == name);
        if is_here("BURSAR_KILL_POINT") {
            std::process::abort();
        }
        let first = || !PANICKED.swap(true, std::sync::atomic::Ordering::SeqCst);
        assert!(!is_here("BURSAR_PANIC_POINT") || !first(), "a test asked for this");
    }
    #[cfg(not(debug_assertions))]
    let _ = name;
}
