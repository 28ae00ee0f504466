//! Sessions: a deposit that many calls draw on, driven (MPP `lightning/session`).
//!
//! The protocol's own machine ([`Session`]) names each next effect; here they are performed. A deposit is bought like any
//! answer, by the call that opens it, and so is each top-up: W1, W2, W3, look-ups and the audit know nothing of sessions.
//! What is left over comes back to an invoice of our own, made before the deposit is paid, and only our own wallet says
//! whether it did.
//!
//! ```text
//!  buy ──► W1 ──► pay ──► W2 (deposit, session) ──► open, with the call itself ──► W3
//!  call ──► bearer ──► answer            (`draw`; nothing is paid)
//!             └─ a stream pauses ──► top-up: a purchase of its own (`top_up`)
//!  idle, exit, a person ──► close ──► the wallet saw the rest ──► credit       (`close`)
//! ```
//!
//! One process drives a deposit at a time, and within it one call: the ledger's claim and a lock say whose turn it is.
//! When that process dies, the next one that needs the deposit takes it over, from what was written before each step that
//! matters.

mod close;
mod draw;
mod top_up;

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::sync::{Mutex, OwnedMutexGuard};

pub use self::close::Closed;
pub(super) use self::draw::{Bounds, Drawn, Served, deposit_of};
use super::{No, Purse, Request, lock};
use crate::{
    http::Answer,
    ledger::{Deposit, DepositState, Idempotency, Kept, NewDeposit, PurchaseId, State},
    money::Amount,
    protocol::{
        Credential, Offer, Pin, Way,
        mpp::{
            self,
            session::{Input, ReturnInvoice, Session, Terms},
        },
    },
    secret::Secret,
    wallet::Wallet,
};

/// So many answers bought from one origin within the hour say that more will be: then a deposit is worth its payment.
const WORTH_A_DEPOSIT: u32 = 2;

/// How long such a purchase counts, in milliseconds.
const LATELY_MS: i64 = 3_600_000;

/// What the wallet shows beside the invoice for the rest.
const MEMO: &str = "Bursar: the rest of a deposit";

/// A deposit and its session, as this process has them in hand.
struct InHand {
    deposit: Deposit,
    session: Session,
    /// Whether it stands in the ledger as it rests between two calls: then only its use is to be noted.
    rests: bool,
}

/// The deposits that this process drives.
#[derive(Default)]
pub(super) struct Driven {
    turns: std::sync::Mutex<HashMap<PurchaseId, Arc<Mutex<Option<InHand>>>>>,
    /// Who opens a session at which origin: calls at once are to share one.
    opening: std::sync::Mutex<HashMap<String, Arc<Mutex<()>>>>,
    watched: AtomicBool,
}

impl Driven {
    fn turn(&self, id: PurchaseId) -> Arc<Mutex<Option<InHand>>> {
        lock(&self.turns).entry(id).or_default().clone()
    }

    fn opening(&self, principal: &str, origin: &str) -> Arc<Mutex<()>> {
        let mut opening = lock(&self.opening);
        opening.retain(|_, turn| Arc::strong_count(turn) > 1);
        opening.entry(format!("{principal} {origin}")).or_default().clone()
    }

    fn forget(&self, id: PurchaseId) {
        lock(&self.turns).remove(&id);
    }

    fn ids(&self) -> Vec<PurchaseId> {
        lock(&self.turns).keys().copied().collect()
    }
}

/// A deposit whose turn it is: nobody else shows it to its seller meanwhile.
pub(super) struct Held<'a> {
    purse: &'a Purse,
    turn: OwnedMutexGuard<Option<InHand>>,
}

/// Whether a pinned offer is a session's deposit, or a top-up of one.
pub(super) fn is_of_session(pin: &Pin) -> bool {
    matches!(pin, Pin::Mpp(mpp::Pin { means: mpp::Means::Session { .. } | mpp::Means::TopUp { .. }, .. }))
}

/// Whether a pinned offer is a top-up.
pub(super) fn is_top_up(pin: &Pin) -> bool {
    matches!(pin, Pin::Mpp(mpp::Pin { means: mpp::Means::TopUp { .. }, .. }))
}

/// The terms of an offer that is a session.
fn terms_of(offer: &Offer) -> Option<&Terms> {
    match &offer.way {
        Way::Pay(pin) => pin.session(),
        Way::Free { .. } | Way::Listed => None,
    }
}

/// What one unit costs where an offer is a deposit, else its price: what a price that was told before is compared with.
/// `None` for a top-up, which nobody was told a price of.
pub(super) fn price_of_a_call(offer: &Offer) -> Option<Amount> {
    match &offer.way {
        Way::Pay(pin) if is_top_up(pin) => None,
        Way::Pay(pin) => match pin.session() {
            Some(terms) => sat(terms.unit_sat),
            None => offer.price,
        },
        _ => offer.price,
    }
}

fn sat(sat: u64) -> Option<Amount> {
    sat.checked_mul(1000).and_then(Amount::msat)
}

impl Purse {
    /// Makes the invoice that the rest of a deposit comes back to, and checks it: a server uses a deposit up before it looks
    /// at that invoice.
    pub(super) async fn returning(&self, pin: &Pin, wallet: &Arc<dyn Wallet>) -> Result<Pin, No> {
        let (Pin::Mpp(mpp), Some(terms)) = (pin, pin.session()) else { return Ok(pin.clone()) };
        let cannot = |say: String| No::new("cannot_receive", say);
        // Half an hour more than must be, for the time until it is shown.
        let life_s = ReturnInvoice::least_life_s(terms) + 1800;
        let text = wallet.blank_invoice(MEMO, life_s).await.map_err(|e| cannot(e.to_string()))?;
        let invoice = ReturnInvoice::check(&text, terms, self.0.clock.now_s()).map_err(|o| cannot(o.say))?;
        Ok(Pin::Mpp(mpp.clone().returning_to(invoice)))
    }

    /// What W2 writes of a deposit beside its proof.
    pub(super) fn new_deposit(&self, pin: &Pin, origin: &str, preimage: &Secret) -> Result<NewDeposit, No> {
        let broken = |say: String| No::new("ledger", say);
        let (Pin::Mpp(mpp), Some(terms)) = (pin, pin.session()) else {
            return Err(broken("it is no deposit".into()));
        };
        let refund = mpp.refund().ok_or_else(|| broken("the deposit has no way back".into()))?;
        let preimage = Secret::new(preimage.expose());
        let session = Session::opened(origin, terms, refund.clone(), preimage, self.0.clock.now_s())
            .map_err(|objection| broken(objection.say))?;
        Ok(NewDeposit {
            realm: terms.challenge.realm.clone(),
            return_hash: refund.payment_hash.clone(),
            return_until_s: refund.expires_at,
            closes_s: terms.idle_timeout_s,
            session: written(&session)?,
        })
    }

    /// Takes a deposit into hand, as soon as it is its turn. `None` where another process drives it, or it is over.
    pub(super) async fn hold_deposit(&self, id: PurchaseId) -> Result<Option<Held<'_>>, No> {
        let turn = self.0.driven.turn(id).lock_owned().await;
        self.take(id, turn).await
    }

    /// The same, or `None` at once where a call has it.
    async fn hold_if_free(&self, id: PurchaseId) -> Result<Option<Held<'_>>, No> {
        match self.0.driven.turn(id).try_lock_owned() {
            Ok(turn) => self.take(id, turn).await,
            Err(_) => Ok(None),
        }
    }

    async fn take(&self, id: PurchaseId, mut turn: OwnedMutexGuard<Option<InHand>>) -> Result<Option<Held<'_>>, No> {
        if turn.is_none() {
            let ledger = self.ledger().await?;
            let found = if ledger.claim(id).await? { ledger.deposit(id).await? } else { None };
            let Some(deposit) = found.filter(|d| matches!(d.state, DepositState::Open | DepositState::Closing)) else {
                self.0.driven.forget(id);
                return Ok(None);
            };
            let session: Session = serde_json::from_str(deposit.session.expose())
                .map_err(|_| No::new("ledger", format!("the session of {id} cannot be read back")))?;
            let session = session.resumed().used_at_least(deposit.used.atomic() / 1000);
            *turn = Some(InHand { deposit, session, rests: false });
            self.watch_deposits();
        }
        let mut held = Held { purse: self, turn };
        held.settle_top_up().await?;
        Ok(Some(held))
    }

    /// Waits until no other call opens a session at this origin, where nothing else can be bought there. The second part says
    /// whether one did meanwhile, so that there may be a deposit to draw on.
    pub(super) async fn turn_to_open(
        &self,
        principal: &str,
        origin: &str,
        offers: &[Offer],
    ) -> (Option<OwnedMutexGuard<()>>, bool) {
        let payable = |offer: &&Offer| offer.is_payable() && matches!(offer.way, Way::Pay(_));
        let only = offers.iter().any(|offer| terms_of(offer).is_some())
            && offers.iter().filter(payable).all(|offer| terms_of(offer).is_some());
        if !only {
            return (None, false);
        }
        let turn = self.0.driven.opening(principal, origin);
        match turn.clone().try_lock_owned() {
            Ok(turn) => (Some(turn), false),
            Err(_) => (Some(turn.lock_owned().await), true),
        }
    }

    /// Weighs sessions against offers that sell one answer: one of the two kinds is put aside, and a reason is given where a
    /// deposit is chosen. A deposit is worth its payment where its unit is no dearer than an answer, and answers were bought
    /// here again and again.
    pub(super) async fn weigh_sessions<'o, V>(
        &self,
        principal: &str,
        origin: &str,
        judged: &mut Vec<(&'o Offer, Result<(), V>)>,
    ) -> Result<Option<String>, No> {
        let payable = |(offer, verdict): &&(&'o Offer, Result<(), V>)| verdict.is_ok() && offer.price.is_some();
        let is_session = |(offer, _): &&(&'o Offer, Result<(), V>)| terms_of(offer).is_some();
        let single = judged.iter().filter(payable).filter(|j| !is_session(j) && matches!(j.0.way, Way::Pay(_)));
        let single: Vec<Amount> = single.filter_map(|(offer, _)| offer.price).collect();
        let terms = judged.iter().filter(payable).filter_map(|(offer, _)| terms_of(offer));
        let Some(terms) = terms.min_by_key(|terms| terms.unit_sat).cloned() else { return Ok(None) };
        let (Some(unit), Some(deposit)) = (sat(terms.unit_sat), sat(terms.deposit_sat)) else { return Ok(None) };
        // Nothing is ever converted, so that only prices in satoshi say anything.
        let Some(price) = single.into_iter().filter(|p| p.currency() == unit.currency()).min_by_key(|p| p.atomic())
        else {
            return Ok(None);
        };
        let since = self.0.clock.now_ms() as i64 - LATELY_MS;
        let bought = self.ledger().await?.bought_since(principal, origin, since).await?;
        let worth = !unit.exceeds(price) && bought >= WORTH_A_DEPOSIT;
        judged.retain(|(offer, _)| {
            let session = terms_of(offer).is_some();
            // What does not sell in satoshi is another question, which the operator's order answers.
            let rival = offer.price.is_some_and(|p| p.currency() == unit.currency());
            !rival || session == worth || matches!(offer.way, Way::Free { .. })
        });
        Ok(worth.then(|| {
            format!(
                "{bought} answers were bought here within the hour, and of a deposit of {deposit} each takes {unit} instead \
                 of {price}"
            )
        }))
    }

    /// The deposits that one of these offers asks for once more: of the same origin, realm and payee, and open; the newest
    /// first.
    pub(super) async fn deposits_for(
        &self,
        principal: &str,
        origin: &str,
        offers: &[Offer],
    ) -> Result<Vec<PurchaseId>, No> {
        let keys: Vec<_> = offers.iter().filter_map(terms_of).map(|terms| terms.key(origin)).collect();
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let deposits = self.ledger().await?.deposits(Some(principal)).await?;
        let fits = |d: &&Deposit| {
            d.state == DepositState::Open
                && keys.iter().any(|key| key.origin == d.origin && key.realm == d.realm && key.payee == d.payee)
        };
        Ok(deposits.iter().filter(fits).map(|d| d.purchase).rev().collect())
    }

    /// Sends something that is no call: without a body, and with GET, since some servers run what they are asked along with
    /// a credential. A route that knows no GET never asked for payment then, and is asked in its own way.
    pub(super) async fn send_harmless(
        &self,
        request: &Request,
        credential: Option<&Credential>,
    ) -> Result<Answer, crate::http::Error> {
        let answer = self.send(&request.bare(http::Method::GET), credential.cloned(), None).await?;
        let unheard = matches!(answer.status, 404 | 405 | 501) && !answer.headers.contains_key("payment-receipt");
        if unheard && !matches!(request.method, http::Method::GET | http::Method::HEAD) {
            return self.send(&request.bare(request.method.clone()), credential.cloned(), None).await;
        }
        Ok(answer)
    }
}

fn written(session: &Session) -> Result<Secret, No> {
    let json = serde_json::to_string(session).map_err(|_| No::new("internal", "the session cannot be written"))?;
    Ok(Secret::new(json))
}

impl Held<'_> {
    fn hand(&mut self) -> Result<&mut InHand, No> {
        self.turn.as_mut().ok_or_else(|| No::new("internal", "the deposit is in nobody's hand"))
    }

    fn now_s(&self) -> u64 {
        self.purse.0.clock.now_s()
    }

    /// The purchase that paid it in.
    pub(super) fn id(&mut self) -> Result<PurchaseId, No> {
        Ok(self.hand()?.deposit.purchase)
    }

    /// What one unit costs.
    pub(super) fn unit(&mut self) -> Result<Option<Amount>, No> {
        Ok(sat(self.hand()?.session.unit_sat))
    }

    /// All that was paid in, and how much of it seems to be used.
    pub(super) fn sums(&mut self) -> Result<(Amount, Amount), No> {
        let hand = self.hand()?;
        let zero = Amount::zero(hand.deposit.paid_in.currency());
        Ok((sat(hand.session.deposited_sat).unwrap_or(zero), sat(hand.session.spent_sat).unwrap_or(zero)))
    }

    /// What is to be written of where it stands.
    fn kept(&mut self) -> Result<(PurchaseId, Kept), No> {
        let now_ms = self.purse.0.clock.now_ms() as i64;
        let hand = self.hand()?;
        let state = match (hand.session.is_over(), hand.session.is_usable()) {
            (true, _) => DepositState::Closed,
            (false, true) => DepositState::Open,
            (false, false) => DepositState::Closing,
        };
        hand.deposit.state = state;
        hand.rests = !hand.session.must_be_kept();
        let zero = Amount::zero(hand.deposit.used.currency());
        let used = sat(hand.session.spent_sat).unwrap_or(zero);
        let kept = Kept { session: written(&hand.session)?, state, used, used_ms: now_ms };
        Ok((hand.deposit.purchase, kept))
    }

    /// Writes where it stands, and waits until that is on disk.
    async fn keep(&mut self) -> Result<(), No> {
        let (id, kept) = self.kept()?;
        let over = self.purse.ledger().await?.keep_deposit(id, kept).await?;
        if matches!(over, DepositState::Closed | DepositState::Done) {
            // Whoever has it next looks in the ledger, and finds that there is nothing to draw on.
            *self.turn = None;
        }
        Ok(())
    }

    /// Writes that it was drawn on. Where it stands in the ledger as it rests, nobody waits for that: all that could be lost
    /// is how much seems to be used.
    async fn note(&mut self) -> Result<(), No> {
        if !self.hand()?.rests {
            return self.keep().await;
        }
        let ((_, used), id, purse) = (self.sums()?, self.id()?, self.purse.clone());
        self.purse.0.chores.spawn(async move {
            let Ok(ledger) = purse.ledger().await else { return };
            if let Err(e) = ledger.drew_on(id, used).await {
                tracing::warn!("{id}: the use of a deposit could not be recorded: {e}");
            }
        });
        Ok(())
    }

    /// Finds out what became of a top-up that was being paid when it was last in hand.
    async fn settle_top_up(&mut self) -> Result<(), No> {
        let now_s = self.now_s();
        let purse = self.purse;
        let hand = self.hand()?;
        let Some(terms) = hand.session.is_paying() else { return Ok(()) };
        let key = Idempotency::top_up(hand.deposit.purchase, &terms.payment_hash);
        let (standing, _) = purse.ledger().await?.standing_for(&hand.deposit.principal, &key).await?;
        let input = match standing.map(|s| s.state) {
            None | Some(State::Failed) => Input::NotPaid,
            Some(state) if state.paid() => Input::Paid,
            // Its outcome is not known: no other one is begun.
            Some(_) => return Ok(()),
        };
        hand.session.step(input, now_s);
        self.keep().await
    }
}

impl Purse {
    /// Whether this process drives any deposit, so that its exit has something to close.
    fn drives_deposits(&self) -> bool {
        !self.0.driven.ids().is_empty()
    }

    fn watched(&self) -> &AtomicBool {
        &self.0.driven.watched
    }

    fn begin_to_watch(&self) -> bool {
        !self.watched().swap(true, Ordering::SeqCst)
    }
}
