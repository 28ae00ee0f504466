//! Buying: which offer, W1, and the payment.

use tokio::sync::watch;

use super::{
    Flight, No, Outcome, Purse, Report,
    choose::{self, Terms, WalletTerms},
    drive::kill_point,
    fetch::Call,
    words::{NO_WALLET, awaiting, cooling_down, ending, frozen, invoice_reused, key_taken, no_room, with_advice},
};
use crate::{
    evm::tempo,
    ledger::{Begun, Intent, NewPurchase, PurchaseId},
    money::Amount,
    protocol::{
        Offer, Pin, Way, World,
        bolt11::{Invoice, InvoicePolicy},
    },
    wallet::{Bill, WalletError},
};

impl Purse {
    /// Judges offers against wallet, limits and the operator's rules. Moves nothing.
    pub(super) async fn judge<'o>(
        &self,
        call: &Call,
        offers: &'o [Offer],
    ) -> Result<Vec<(&'o Offer, choose::Verdict)>, No> {
        let ledger = self.ledger().await?;
        let (_, budgets) = ledger.budgets(&call.caller.principal, &call.caller.session_key).await?;
        let world = ledger.world().await?.and_then(|w| World::from_name(&w));
        let terms = Terms {
            now_s: self.0.clock.now_s(),
            invoices: InvoicePolicy { max_life_s: self.0.config.max_invoice_life_s, ..InvoicePolicy::default() },
            max_price: call.max_price,
            budgets: &budgets,
            seller: self.seller_forbidden(&call.request.host()),
            world,
            proofs: self.0.config.evm.proofs,
        };
        let mut judged = Vec::new();
        for offer in offers {
            judged.push((offer, choose::judge(offer, &terms, self.terms_of(offer).await)));
        }
        Ok(judged)
    }

    /// What the wallet that would pay an offer says of itself; or why none can.
    async fn terms_of(&self, offer: &Offer) -> Result<WalletTerms<'_>, String> {
        let why = |e: WalletError| match e {
            WalletError::None => NO_WALLET.to_owned(),
            e => e.to_string(),
        };
        // What cannot be paid anyway is worth no question to a wallet.
        let (Some(price), true) = (offer.price, offer.is_payable()) else {
            return Err("it cannot be paid".into());
        };
        let held = self.wallet_for(offer.rail, &offer.network).await.map_err(why)?;
        let info = self.info_of(held).await.map_err(why)?;
        let deposit = pin_of(offer).is_some_and(|pin| pin.session().is_some());
        let no_way_back = held.wallet.cannot_receive(info).filter(|_| deposit).map(|say| ("cannot_receive", say));
        Ok(WalletTerms {
            world: info.world,
            network: info.network.as_deref(),
            fee_cap: pin_of(offer).and_then(Pin::fee_cap).unwrap_or_else(|| held.wallet.fee_cap(price)),
            balance: held.wallet.balance_on(&offer.network).await,
            objection: match no_way_back {
                Some(no) => Some(no),
                None => held.wallet.objection(offer.rail, &offer.network, &offer.asset, price).await,
            },
        })
    }

    /// The id, if that purchase is this principal's: nobody is told what another one bought.
    async fn mine(&self, principal: &str, id: PurchaseId) -> Result<Option<PurchaseId>, No> {
        let found = self.ledger().await?.find(id).await?;
        Ok(found.filter(|p| p.principal == principal).map(|p| p.id))
    }

    /// Whether the purchase that froze a wallet is this principal's.
    pub(super) async fn froze(&self, principal: &str, why: &str) -> Result<bool, No> {
        match why.split(':').next().and_then(|id| id.parse().ok()) {
            Some(id) => Ok(self.mine(principal, id).await?.is_some()),
            None => Ok(false),
        }
    }

    pub(super) fn seller_forbidden(&self, host: &str) -> Option<String> {
        let config = &self.0.config;
        if config.deny_hosts.iter().any(|h| h == host) {
            return Some(format!("the operator's config forbids paying {host}"));
        }
        if !config.allow_hosts.is_empty() && !config.allow_hosts.iter().any(|h| h == host) {
            return Some(format!(
                "the operator's config names the hosts that may be paid, and {host} is not among them"
            ));
        }
        None
    }

    /// Chooses among the offers. A deposit is chosen only with an invoice of our own that the rest of it comes back to; where
    /// the wallet makes none, the others are left.
    async fn pick<'o>(&self, call: &Call, offers: &'o [Offer]) -> Result<Picked<'o>, No> {
        let mut all = self.judge(call, offers).await?;
        let origin = call.request.origin.to_string();
        loop {
            let mut judged = all.clone();
            let weighed = self.weigh_sessions(&call.caller.principal, &origin, &mut judged).await?;
            let Some((offer, why)) = choose::choose(&judged, &self.0.config.currency_order) else {
                let worst = judged.iter().filter(|(o, _)| !matches!(o.way, Way::Free { .. }));
                let (code, say) = worst
                    .filter_map(|(_, v)| v.as_ref().err())
                    .next()
                    .cloned()
                    .unwrap_or(("not_payable", "no offer can be paid".into()));
                return Err(No { code, say: with_advice(code, say) });
            };
            let Way::Pay(pin) = &offer.way else { return Err(No::new("not_payable", "the offer has no price")) };
            let held = self.wallet_for(offer.rail, &offer.network).await.map_err(No::from)?;
            match self.returning(pin, &held.wallet).await {
                Ok(pin) => {
                    let why = weighed.map_or(why.clone(), |session| format!("{session}; {why}"));
                    return Ok(Picked { offer, why, pin });
                }
                Err(no) => {
                    let verdicts = all.iter_mut().filter(|(o, _)| std::ptr::eq(*o, offer));
                    verdicts.for_each(|(_, verdict)| *verdict = Err((no.code, no.say.clone())));
                }
            }
        }
    }

    /// Chooses among the offers and has the wallet prepare what would be sent. Nothing leaves, nothing is written.
    pub(super) async fn want<'o>(
        &self,
        call: &Call,
        offers: &'o [Offer],
        place: Place,
        ahead_s: u64,
    ) -> Result<Wanted<'o>, No> {
        let Picked { offer, why, pin } = self.pick(call, offers).await?;
        self.not_warned_of(call)?;
        self.not_dearer_than_told(call, offer, offers)?;
        let held = self.wallet_for(offer.rail, &offer.network).await.map_err(No::from)?;
        let (wallet, world) = (&held.wallet, self.info_of(held).await.map_err(No::from)?.world);
        let Some(price) = offer.price else { return Err(No::new("not_payable", "the offer has no price")) };
        let fee_cap = pin.fee_cap().unwrap_or_else(|| wallet.fee_cap(price));
        let seed = seed(&call.caller.principal, &call.idem.key, place.generation, place.n);
        let now_s = self.0.clock.now_s();
        let bill = bill_of(&pin, fee_cap, seed, now_s + ahead_s)?;
        self.doubt_failures().await?;
        let ask_a_person =
            self.0.config.approval_above.get(&price.currency()).is_some_and(|above| price.exceeds(*above));
        let prepared = if ask_a_person { None } else { Some(wallet.prepare(&bill).await?) };
        if self.closing() {
            return Err(ending());
        }
        let intent = Intent {
            purchase: place.purchase,
            n: place.n,
            protocol: offer.protocol.name().into(),
            rail: offer.rail.to_string(),
            network: offer.network.clone(),
            asset: offer.asset.clone(),
            payee: offer.payee.clone(),
            rail_key: wallet.rail_key(&bill).unwrap_or_else(|| offer.rail_key.clone()),
            wallet: wallet.id(),
            price,
            fee_cap,
            liability_until: bill.liability_until(ask_a_person.then_some(now_s + APPROVAL_STANDS_S)),
            resend_until: prepared.as_ref().map_or(0, |p| p.resend_until),
            pin: serde_json::to_vec(&pin).map_err(|e| No::new("internal", e.to_string()))?,
            wire: prepared.map(|p| p.wire).unwrap_or_default(),
        };
        Ok(Wanted { offer, why, intent, ask_a_person, world })
    }

    /// Chooses, commits W1, pays, redeems. `known_price` says that the offer is a remembered one.
    #[allow(clippy::too_many_arguments)]
    pub(super) async fn buy(
        &self,
        call: &Call,
        seen: Option<i64>,
        offers: &[Offer],
        because: &[String],
        ahead_s: u64,
        known_price: bool,
        flight: &watch::Sender<Flight>,
    ) -> Result<Report, No> {
        if self.closing() {
            return Err(ending());
        }
        if offers.is_empty() {
            return Err(No::new("unreadable_challenge", "the seller asks for payment in no way that Bursar knows"));
        }
        let generation = seen.map_or(0, |seen| seen + 1);
        let place = Place { purchase: PurchaseId::random(), n: 0, generation };
        let Wanted { offer, why, intent, ask_a_person, world } = self.want(call, offers, place, ahead_s).await?;
        let why = match because.is_empty() {
            true => why,
            false => format!("{}; {why}", because.join("; ")),
        };
        let id = intent.purchase;
        let new = NewPurchase {
            id,
            principal: call.caller.principal.clone(),
            session_key: call.caller.session_key.clone(),
            idem: call.idem.clone(),
            seen,
            method: call.request.method.to_string(),
            origin: call.request.origin.to_string(),
            host: call.request.host(),
            path: call.request.url.path().to_owned(),
            request: call.request.to_bytes(),
            purpose: call.purpose.clone(),
            max_price: call.max_price,
            chosen_why: why,
            wallet_id: intent.wallet.clone(),
            world: world.name().into(),
        };
        let ledger = self.ledger().await?;
        kill_point("before_w1");
        let begun = ledger.begin(new, intent, ask_a_person).await?;
        kill_point("after_w1");
        match begun {
            Begun::Committed(intent) => {
                let report = self.finish_knowing(*intent, known_price.then_some(call), flight).await;
                if report.outcome == Outcome::Bought {
                    self.remember_price(call, offer, id, ahead_s).await;
                }
                Ok(report)
            }
            Begun::Awaiting(id) => match ledger.find(id).await? {
                Some(standing) => Ok(awaiting(&standing)),
                None => Err(No::new("ledger", format!("{id} is not in the ledger"))),
            },
            Begun::Exists(standing) => self.go_on(*standing, flight).await,
            Begun::KeyTaken(id) => Err(key_taken(id)),
            Begun::RailKeyTaken(id) => Err(invoice_reused(self.mine(&call.caller.principal, id).await?)),
            Begun::NoRoom(no) => Err(no_room(&no)),
            Begun::Frozen(why) => Err(frozen(&why, self.froze(&call.caller.principal, &why).await?)),
            Begun::CoolingDown(id) => Err(cooling_down(self.mine(&call.caller.principal, id).await?)),
            Begun::TooManyUnknown(n) => Err(No::new(
                "too_many_unknown",
                format!("{n} payments to this host have no known outcome yet; no more are risked until they have"),
            )),
            Begun::OtherWorld(world) => Err(No::new(
                "other_world",
                format!("this ledger holds {world} money; use another BURSAR_HOME for the other world"),
            )),
        }
    }
}

/// Where an intent will stand: the purchase, its number there, and the purchase's generation.
pub(super) struct Place {
    pub(super) purchase: PurchaseId,
    pub(super) n: u32,
    pub(super) generation: i64,
}

/// The offer that was chosen.
struct Picked<'o> {
    offer: &'o Offer,
    why: String,
    /// Its pin, and for a deposit the way back.
    pin: Pin,
}

/// The offer that was chosen, and what would be written and sent for it.
pub(super) struct Wanted<'o> {
    pub(super) offer: &'o Offer,
    pub(super) why: String,
    pub(super) intent: Intent,
    /// Whether a person must say yes first; then nothing is prepared yet.
    pub(super) ask_a_person: bool,
    pub(super) world: World,
}

/// How long an offer without an end of its own waits for a person, in seconds.
const APPROVAL_STANDS_S: u64 = 3600;

/// The longest life that is given to what a wallet signs, in seconds: until then whoever saw it could use it.
const LONGEST_LIFE_S: u64 = 120;

/// What sets a purchase apart from every other one of its wallet's: what the nonce of a signed transfer is derived from.
pub(super) fn seed(principal: &str, idem_key: &str, generation: i64, n: u32) -> Vec<u8> {
    let mut seed = Vec::new();
    for part in [principal.as_bytes(), idem_key.as_bytes(), &generation.to_be_bytes(), &n.to_be_bytes()] {
        seed.extend_from_slice(&(part.len() as u64).to_be_bytes());
        seed.extend_from_slice(part);
    }
    seed
}

fn pin_of(offer: &Offer) -> Option<&Pin> {
    match &offer.way {
        Way::Pay(pin) => Some(pin),
        Way::Free { .. } | Way::Listed => None,
    }
}

/// The bill that a pinned offer comes to. `now_s` is the time as the seller's clock has it.
pub(super) fn bill_of(pin: &Pin, fee_cap: Amount, seed: Vec<u8>, now_s: u64) -> Result<Bill, No> {
    // Whoever carries it to the chain has no use for it once the challenge is over.
    let end = pin.expires_at().unwrap_or(u64::MAX);
    if let Some(transfer) = pin.transfer() {
        let valid_before = now_s + transfer.max_life_s.min(LONGEST_LIFE_S);
        return Ok(Bill::Eip3009 { transfer: transfer.clone(), valid_before, seed }.within(end));
    }
    if let Pin::Mpp(pin) = pin
        && let Some(ask) = pin.tempo()
    {
        let valid_before = now_s + tempo::LONGEST_LIFE_S;
        return Ok(Bill::Tempo { ask: ask.clone(), valid_before }.within(end));
    }
    if let Some((transfer, taking)) = pin.permit() {
        let deadline = now_s + transfer.max_life_s.min(LONGEST_LIFE_S);
        return Ok(Bill::Permit2 { transfer: transfer.clone(), taking: *taking, deadline, seed });
    }
    let text = pin.invoice().ok_or_else(|| No::new("not_payable", "the offer has no invoice"))?;
    let invoice = Invoice::read(text).map_err(|o| No { code: o.code, say: o.say })?;
    Ok(Bill::Bolt11 {
        invoice: text.to_owned(),
        payment_hash: invoice.payment_hash,
        amount: invoice.amount,
        expires_at: invoice.expires_s,
        fee_cap,
    })
}
