//! Known prices: what a seller asked a moment ago, so that a repeat pays in one round trip instead of two.
//!
//! Only where the seller settles and a chain can be asked: a payment at a price that the seller no longer takes then proves
//! to be dead soon, and until then both are held. The budgets see the same hold either way.

use std::time::{Duration, Instant};

use super::{
    No, Purse, Request,
    buy::{Place, Wanted},
    charge,
    drive::{Run, kill_point},
    fetch::Call,
    lock, quote,
    step::Input,
    words::no_room,
};
use crate::{
    evm::eip3009::Transfer,
    http::Answer,
    ledger::{Fate, PurchaseId, Replaced, Standing},
    protocol::{Offer, Pin, Proof, Protocol, Rail, Way, Witness},
    wallet::LookSaid,
};

/// How long a price counts as known.
const YOUNG: Duration = Duration::from_secs(600);

/// How long after a signature ran out a chain that does not go on is still waited for, in seconds.
const STANDS_STILL_S: u64 = 3600;

/// How many prices are remembered of one principal.
const MOST: usize = 256;

/// A remembered price.
pub(super) struct Known {
    offer: Offer,
    at: Instant,
    /// How far the seller's clock was ahead of ours, in seconds.
    ahead_s: u64,
}

/// What one price is for: exactly this request of this principal. Sellers price by model, size or count in the query or the
/// body, and one that does not compare what was chosen with what it asks takes a dearer payment as it is. And what one agent
/// bought a moment ago is nothing that another may hear of.
fn route(principal: &str, request: &Request) -> String {
    let body = data_encoding::HEXLOWER.encode(&crate::sha256(&request.body));
    format!("{principal} {} {} {body}", request.method, request.url)
}

impl Purse {
    /// Remembers what was just paid and delivered by a purchase, unless it was paid at other terms than these: a price that
    /// was refused on the way is not the seller's any more.
    pub(super) async fn remember_price(&self, call: &Call, offer: &Offer, id: PurchaseId, ahead_s: u64) {
        // A challenge of MPP is paid once, so that there is nothing to remember of it.
        let single = offer.protocol == Protocol::Mpp;
        if !self.0.config.known_prices || !Rail::is_settled_by_seller(offer.rail.0) || single {
            return;
        }
        let Ok(ledger) = self.ledger().await else { return };
        if !matches!(ledger.find(id).await, Ok(Some(standing)) if standing.n == 0) {
            return;
        }
        let mut known = lock(&self.0.known);
        known.retain(|_, known| known.at.elapsed() < YOUNG);
        let principal = call.caller.principal.as_str();
        let own = format!("{principal} ");
        if known.keys().filter(|route| route.starts_with(&own)).count() < MOST {
            let price = Known { offer: offer.clone(), at: Instant::now(), ahead_s };
            known.insert(route(principal, &call.request), price);
        }
    }

    /// The offer to pay without asking first, if its price is known and young, and how far the seller's clock is ahead.
    pub(super) async fn known_price(&self, principal: &str, request: &Request) -> Option<(Offer, u64)> {
        let (offer, ahead_s) = {
            let known = lock(&self.0.known);
            let known = known.get(&route(principal, request)).filter(|k| k.at.elapsed() < YOUNG)?;
            (known.offer.clone(), known.ahead_s)
        };
        let held = self.wallet_for(offer.rail, &offer.network).await.ok()?;
        held.wallet.proves(&offer.network).then_some((offer, ahead_s))
    }

    fn forget_price(&self, principal: &str, request: &Request) {
        lock(&self.0.known).remove(&route(principal, request));
    }
}

impl Run<'_> {
    /// The seller refused what was signed at a remembered price and named its terms of today, or it refused a nonce that was
    /// guessed: signs for these, if they fit into the same limits. What was signed before stays held until it was used or
    /// ran out, and the ledger gives no room for both where both together are more than one call may cost.
    pub(super) async fn requote(&mut self, at: &Standing) -> Input {
        // The terms of today were written by who saw what was signed before.
        let payment = self.payment();
        let input = match self.known {
            Some(_) => self.terms_of_today(at).await,
            None => self.sign_with_the_other_nonce(at).await,
        };
        match payment {
            Some(payment) => input.hiding(&payment),
            None => input,
        }
    }

    async fn terms_of_today(&mut self, at: &Standing) -> Input {
        let why = "the seller asks for payment again";
        let (Some(call), Some(answer)) = (self.known.take(), self.refusal.take()) else {
            return Input::SellerAskedAgain { status: 402, why: why.into() };
        };
        // A receipt says that settling was tried, and a chain that it happened: then nothing is signed beside it.
        if self.pin.as_ref().is_some_and(|pin| pin.receipt(quote::seen(&answer)).is_some()) {
            return Input::SellerAskedAgain { status: 402, why: why.into() };
        }
        if let Ok(found @ Input::LookedSettled { proof: true }) = self.look_up().await {
            return found;
        }
        let offers = match quote::read(&answer, &call.request.origin, self.purse.assets()) {
            // It names no terms: not its price is refused, only settling failed. The same bytes are shown again.
            Ok(challenge) if challenge.offers.is_empty() => {
                return Input::SellerAskedAgain { status: 402, why: why.into() };
            }
            Ok(challenge) => challenge.offers,
            Err(no) => return self.no_new_price(&no),
        };
        self.purse.forget_price(&call.caller.principal, &call.request);
        // Never another rail or network once one was used.
        let same = |offer: &Offer| offer.rail.0 == self.intent.rail && offer.network == self.intent.network;
        let offers: Vec<Offer> = offers.into_iter().filter(same).collect();
        let same: Vec<&Pin> = offers.iter().filter_map(|offer| self.asks_the_same(offer)).collect();
        if let Some(first) = same.first() {
            // Not its price is refused but this payment, perhaps for a moment: the same bytes are shown again. Some sellers
            // write something into their terms that is new each time, and want that back.
            let shown = self.payment().map(|payment| payment.value);
            let as_before = |pin: &&Pin| pin.payment(&self.intent.wire).map(|payment| payment.value) == shown;
            if same.iter().any(as_before) {
                return Input::SellerAskedAgain { status: 402, why: why.into() };
            }
            let today = (*first).clone();
            self.show_under(today);
            return Input::Go;
        }
        match self.sign_anew(call, &offers, &answer, at.generation).await {
            Ok(()) => Input::Go,
            Err(no) => self.no_new_price(&no),
        }
    }

    fn no_new_price(&mut self, no: &No) -> Input {
        self.again = false;
        let why = format!("the price it had before is no longer taken, and {}", no.say.trim_end_matches('.'));
        Input::SellerFailed { why, status: Some(402), again: false }
    }

    async fn sign_anew(&mut self, call: &Call, offers: &[Offer], answer: &Answer, generation: i64) -> Result<(), No> {
        let ahead_s = quote::ahead(answer, self.purse.0.clock.now_s());
        let place = Place { purchase: self.intent.purchase, n: self.intent.n + 1, generation };
        let Wanted { intent, ask_a_person, .. } = self.purse.want(call, offers, place, ahead_s).await?;
        if ask_a_person {
            return Err(No::new("needs_approval", format!("{} needs a person's yes", intent.price)));
        }
        match self.purse.ledger().await?.replace(intent).await? {
            Replaced::Committed(intent) => {
                kill_point("after_second_w1");
                self.take(*intent);
                Ok(())
            }
            Replaced::NoRoom(no) => Err(no_room(&no)),
            Replaced::Gone => Err(No::new("ledger", "the purchase went on meanwhile")),
        }
    }

    /// Puts the seller's terms of today around what was signed: the same nonce, which the token takes once. Only in this run:
    /// in the ledger an intent is never changed, and whoever goes on after a crash shows what stands there.
    fn show_under(&mut self, pin: Pin) {
        self.shown.extend(self.payment());
        self.asked_at_once = false;
        self.pin = Some(pin);
    }

    /// Whether it is known what became of everything that was signed before the last intent.
    pub(super) async fn earlier_are_settled(&self, id: PurchaseId) -> Result<bool, No> {
        if self.intent.n == 0 {
            return Ok(true);
        }
        self.purse.settle_earlier(id).await?;
        Ok(self.purse.ledger().await?.earlier(id).await?.is_empty())
    }

    /// The pin of an offer that asks for the same money for the same account; how long a signature may live is no term.
    fn asks_the_same<'o>(&self, offer: &'o Offer) -> Option<&'o Pin> {
        let money = |t: &Transfer| (t.token.clone(), t.to, t.value);
        let asked = |pin: &Pin| {
            let permit = pin.permit().map(|(t, taking)| (money(t), Some(*taking)));
            permit.or_else(|| pin.transfer().map(|t| (money(t), None)))
        };
        let Way::Pay(pin) = &offer.way else { return None };
        asked(pin).filter(|theirs| self.pin.as_ref().and_then(asked).as_ref() == Some(theirs)).map(|_| &**pin)
    }
}

impl Purse {
    /// Finds out what became of what a purchase signed before its last intent. Moves nothing.
    pub(super) async fn settle_earlier(&self, id: PurchaseId) -> Result<(), No> {
        let ledger = self.ledger().await?;
        for intent in ledger.earlier(id).await? {
            let said = match self.wallet_with_id(&intent.wallet).await {
                Ok(wallet) => wallet.look_up(&intent).await,
                Err(why) => LookSaid::CannotTell { why },
            };
            let now_s = self.0.clock.now_s();
            let over = now_s > intent.liability_until + self.grace().as_secs();
            // A chain that stands still will never say that it is void; its hold must not stay for ever.
            let long_over = now_s > intent.liability_until + STANDS_STILL_S;
            let pin: Option<Pin> = serde_json::from_slice(&intent.pin).ok();
            let spent = |by, transaction, taken| {
                let proof = Proof::Transfer { by, transaction };
                let transaction = proof.transaction().map(str::to_owned);
                let proof = serde_json::to_vec(&proof).map_err(|e| No::new("internal", e.to_string()))?;
                let taken = charge::part(pin.as_ref(), intent.price, taken).unwrap_or(intent.price);
                Ok::<_, No>(Fate::Spent { proof, taken, transaction })
            };
            let fate = match said {
                LookSaid::OnChain { transaction, taken } => spent(Witness::Chain, transaction, taken)?,
                LookSaid::Void => Fate::Void,
                LookSaid::NotFound if long_over => spent(Witness::Nobody, None, None)?,
                LookSaid::CannotTell { .. } if over => spent(Witness::Nobody, None, None)?,
                _ => continue,
            };
            ledger.close_earlier(id, intent.n, fate).await?;
        }
        Ok(())
    }
}
