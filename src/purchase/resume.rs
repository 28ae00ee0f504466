//! Going on with a purchase that stands: after a crash, for an equal call, for its id, after a person said yes.

use std::{sync::Arc, time::Duration};

use tokio::sync::watch;

use super::{
    Caller, Flight, No, Outcome, Purse, Report, Request,
    buy::{bill_of, seed},
    choose::ONLY_OFFER,
    drive::Ran,
    fetch::Call,
    lock,
    quote::ahead,
    results::Body,
    words::{
        answered, awaiting, ending, failed_advice, frozen, gone, pending, pointed, show_again, shut, signed_away,
        unrecorded,
    },
};
use crate::{
    http::Origin,
    ledger::{Armed, By, Committed, Decided, Intent, PurchaseId, Standing, State},
    money::Amount,
    protocol::{
        Pin, Rail,
        bolt11::{Invoice, InvoicePolicy},
        text::clean,
    },
};

/// How long after a signature ran out a chain surely says whether it was used, in seconds.
pub(super) const CHAIN_SURE_S: u64 = 35;

/// How long a seller may take to tell the time.
const TELLS_TIME: Duration = Duration::from_secs(3);

impl Purse {
    /// What a person is asked about a purchase that waits for one; `None` when it does not wait. Everything in it that
    /// somebody else wrote was cleaned, and is quoted.
    pub async fn question(&self, caller: &Caller, id: PurchaseId) -> Option<String> {
        let found = self.ledger().await.ok()?.find(id).await.ok()??;
        let p = Some(found).filter(|p| p.principal == caller.principal && p.state == State::AwaitingApproval)?;
        let fee = if p.fee_cap.is_zero() { String::new() } else { format!(" (and at most {} fee)", p.fee_cap) };
        let why = if p.purpose.is_empty() { String::new() } else { format!(" The agent says why: \"{}\".", p.purpose) };
        let path = clean(&p.path, 120);
        Some(format!("Pay {}{fee} over {} to {} for {} {path}?{why}", p.price, p.rail, p.host, p.method))
    }

    /// Writes down what a person said about a purchase of this principal that waits for one.
    ///
    /// # Errors
    /// It does not wait, or is somebody else's, or the ledger cannot be written.
    pub async fn decide(&self, caller: &Caller, id: &str, yes: bool, by: By) -> Result<(), No> {
        let over = || No::new("nothing_to_approve", format!("{id} waits for nobody any more"));
        let id: PurchaseId = id.parse().map_err(|_| over())?;
        let ledger = self.ledger().await?;
        let found = ledger.find(id).await?.filter(|p| p.principal == caller.principal);
        if found.is_none_or(|p| p.state != State::AwaitingApproval) {
            return Err(over());
        }
        match ledger.decide(id, yes, by).await? {
            Decided::Approved(_) | Decided::Denied(_) => Ok(()),
            _ => Err(over()),
        }
    }

    /// Drives a committed purchase to its rest. From here on money may have left, so no error says that none did.
    pub(super) async fn finish(&self, intent: Committed<Intent>, flight: &watch::Sender<Flight>) -> Report {
        self.finish_knowing(intent, None, flight).await
    }

    /// The same; `known` is the call that pays a remembered price.
    pub(super) async fn finish_knowing(
        &self,
        intent: Committed<Intent>,
        known: Option<&Call>,
        flight: &watch::Sender<Flight>,
    ) -> Report {
        let id = intent.purchase;
        match self.run(intent, known, flight).await {
            Ok((standing, ran)) => {
                if standing.state == State::Unknown || standing.n > 0 {
                    self.look_again_when_it_ran_out(&standing);
                }
                if ran.paid {
                    self.look_at_charge(&standing);
                }
                self.report(&standing, ran).await
            }
            Err(no) => unrecorded(id, &no),
        }
    }

    /// What was signed and may have been used is known for certain once it ran out: it is looked at then, even if nobody
    /// asks.
    fn look_again_when_it_ran_out(&self, standing: &Standing) {
        let id = standing.id;
        if !lock(&self.0.looked_after).insert(id) {
            return;
        }
        let end = standing.liability_until_s.max(0) as u64;
        let grace = self.grace().as_secs();
        let purse = self.clone();
        tokio::spawn(async move {
            // A chain is sure of it soon after; where none can be asked, doubt lasts longer.
            for at in [end + CHAIN_SURE_S, end + grace + 1] {
                tokio::time::sleep(Duration::from_secs(at.saturating_sub(purse.0.clock.now_s()))).await;
                let Ok(ledger) = purse.ledger().await else { continue };
                if let Err(no) = purse.settle_earlier(id).await {
                    tracing::warn!("{id}: what was signed first could not be looked up: {no}");
                }
                match ledger.find(id).await {
                    Ok(Some(now)) if now.state == State::Unknown && !purse.closing() => {
                        let (mut flight, _) = purse.fly_standing(&now, false);
                        let _ = flight.wait_for(|f| f.report.is_some()).await;
                    }
                    _ => {}
                }
            }
            lock(&purse.0.looked_after).remove(&id);
        });
    }

    /// Goes on with a purchase that stands, from wherever it stands.
    pub(super) async fn go_on(&self, standing: Standing, flight: &watch::Sender<Flight>) -> Result<Report, No> {
        let (id, state) = (standing.id, standing.state);
        flight.send_modify(|f| f.purchase = Some(id));
        match self.go_on_from(standing, flight).await {
            Err(no) if state.at_risk() || state.paid() && state != State::Delivered => Ok(unrecorded(id, &no)),
            other => other,
        }
    }

    pub(super) async fn go_on_from(&self, standing: Standing, flight: &watch::Sender<Flight>) -> Result<Report, No> {
        match standing.state {
            State::Delivered => {
                let stored = self.stored(&standing).await;
                if stored.as_ref().is_err_and(|no| no.code == "result_gone") {
                    // Its body has gone and this says so: from here on an equal call is a new request.
                    self.answered(standing.id).await;
                }
                stored
            }
            State::AwaitingApproval if standing.approved_ms.is_some() => self.pay_approved(standing, flight).await,
            State::AwaitingApproval => {
                if standing.runs_out(self.0.clock.now_s()) {
                    let ledger = self.ledger().await?;
                    ledger.expire_awaiting().await?;
                    let again = ledger.find(standing.id).await?.unwrap_or(standing);
                    return Ok(self.report(&again, Ran::default()).await);
                }
                Ok(awaiting(&standing))
            }
            State::Late => Ok(self.report(&standing, Ran::default()).await),
            State::Failed | State::Paying | State::Unknown | State::Paid | State::Undelivered => {
                self.follow(standing, flight).await
            }
        }
    }

    /// Drives it if nobody else does; else waits for the process that does, and takes over when that one dies.
    pub(super) async fn follow(&self, standing: Standing, flight: &watch::Sender<Flight>) -> Result<Report, No> {
        let ledger = self.ledger().await?;
        let id = standing.id;
        loop {
            // To look at a failed one once more, or to show a receipt again, is harmless, whoever drove it.
            let harmless = matches!(standing.state, State::Failed | State::Undelivered);
            if harmless || ledger.claim(id).await? {
                let Some(intent) = ledger.intent(id).await? else {
                    return Err(No::new("ledger", format!("{id} has no intent")));
                };
                return Ok(self.finish(intent, flight).await);
            }
            // Reading is cheap and claiming writes: whether the other process died is asked once a second.
            for _ in 0..5 {
                tokio::time::sleep(std::time::Duration::from_millis(200)).await;
                match ledger.find(id).await? {
                    Some(now) if now.state.at_risk() || now.state == State::Paid => {}
                    Some(now) => return Ok(self.report(&now, Ran::default()).await),
                    None => return Err(No::new("ledger", format!("{id} is not in the ledger"))),
                }
            }
        }
    }

    /// A person said yes: exactly what was pinned is paid, if it still can be.
    pub(super) async fn pay_approved(&self, standing: Standing, flight: &watch::Sender<Flight>) -> Result<Report, No> {
        let ledger = self.ledger().await?;
        let id = standing.id;
        let Some(pinned) = ledger.intent(id).await? else {
            return Err(No::new("ledger", format!("{id} has no intent")));
        };
        let pin: Pin = serde_json::from_slice(&pinned.pin).map_err(|e| No::new("ledger", e.to_string()))?;
        let over = self.too_late(&pin, &standing);
        if let Some(say) = over {
            let state = ledger.give_up(id, &format!("approved too late: {say}")).await?;
            let standing = ledger.find(id).await?.unwrap_or(standing);
            if state != State::Failed {
                return self.follow(standing, flight).await;
            }
            return Ok(self.report(&standing, Ran::default()).await);
        }
        let wallet = self.wallet_with_id(&pinned.wallet).await;
        let wallet = wallet.map_err(|why| No::new("other_wallet", format!("{id} cannot be paid now: {why}")))?;
        self.doubt_failures().await?;
        let seed = seed(&standing.principal, &standing.idem_key, standing.generation, standing.n);
        let ahead_s = if Rail::is_settled_by_seller(&pinned.rail) { self.ahead_now(&standing).await } else { 0 };
        let bill = bill_of(&pin, pinned.fee_cap, seed, self.0.clock.now_s() + ahead_s)?.within(pinned.liability_until);
        if wallet.rail_key(&bill).is_some_and(|key| key != pinned.rail_key) {
            return Err(No::new(
                "ledger",
                format!("{id} would be signed otherwise than it was pinned; deny it and call again"),
            ));
        }
        let prepared = wallet.prepare(&bill).await?;
        if self.closing() {
            return Err(ending());
        }
        match ledger.arm(id, prepared.wire, prepared.resend_until).await? {
            Armed::Committed(intent) => Ok(self.finish(*intent, flight).await),
            Armed::Frozen(why) => Err(frozen(&why, self.froze(&standing.principal, &why).await?)),
            Armed::Gone => {
                let standing = ledger.find(id).await?.unwrap_or(standing);
                self.follow(standing, flight).await
            }
        }
    }

    /// How far the seller's clock is ahead of ours, in seconds. Its price was read before a person was asked, perhaps by
    /// another process; what it answers to HEAD tells the time, and shows it nothing.
    async fn ahead_now(&self, standing: &Standing) -> u64 {
        let Some(mut request) = Request::from_bytes(&standing.request) else { return 0 };
        (request.method, request.body) = (http::Method::HEAD, Vec::new());
        request.headers.remove(http::header::CONTENT_TYPE);
        match tokio::time::timeout(TELLS_TIME, self.send(&request, None, None)).await {
            Ok(Ok(answer)) if Origin::of(&answer.url).as_ref() == Some(&request.origin) => {
                ahead(&answer, self.0.clock.now_s())
            }
            _ => 0,
        }
    }

    /// Why an approved purchase can no longer be paid, if so.
    fn too_late(&self, pin: &Pin, standing: &Standing) -> Option<String> {
        let now_s = self.0.clock.now_s();
        let policy = InvoicePolicy { max_life_s: u64::MAX, ..InvoicePolicy::default() };
        // A challenge may end long before the invoice in it, and then its credential opens nothing.
        if let Pin::Mpp(pin) = pin
            && let Some(objection) = pin.objections_at(now_s, &policy).into_iter().next()
        {
            return Some(objection.say);
        }
        if Rail::is_settled_by_seller(&standing.rail) {
            return standing.runs_out(now_s).then(|| "its price ran out".into());
        }
        match pin.invoice().map(Invoice::read) {
            Some(Ok(invoice)) => invoice.objections(now_s, &policy).into_iter().next().map(|o| o.say),
            _ => Some("its invoice cannot be read back".into()),
        }
    }

    pub(super) async fn stored(&self, standing: &Standing) -> Result<Report, No> {
        let ledger = self.ledger().await?;
        let row = ledger.result(&standing.principal, &standing.id.to_string()).await?.ok_or_else(gone)?;
        let body = self.0.results.read(row).map_err(shut)?.ok_or_else(gone)?;
        Ok(told_again(standing, body))
    }
}

/// The report of an answer that was paid for before.
fn told_again(standing: &Standing, body: Body) -> Report {
    let paid = standing.spent.plus(standing.fee).unwrap_or(standing.spent);
    let mut report = Report::new(
        Outcome::Stored,
        format!(
            "Nothing was paid now: this is the stored answer of {}, which cost {paid} ({}).",
            standing.id,
            answered(body.row.status)
        ),
    );
    report.purchase = Some(standing.id);
    report.price = Some(standing.price);
    report.paid_now = Some(Amount::zero(standing.price.currency()));
    report.body = Some(Arc::new(body));
    report
}

/// Why this way to pay was chosen, where there was a choice.
fn chosen(standing: &Standing) -> Option<&str> {
    let why = standing.chosen_why.as_str();
    (!why.is_empty() && !why.ends_with(ONLY_OFFER)).then_some(why)
}

impl Purse {
    /// The report of a purchase that rests.
    pub(super) async fn report(&self, standing: &Standing, mut ran: Ran) -> Report {
        let id = standing.id;
        let paid = standing.spent.plus(standing.fee).unwrap_or(standing.spent);
        let zero = Amount::zero(standing.price.currency());
        let by_seller = Rail::is_settled_by_seller(&standing.rail);
        let mut report = match standing.state {
            State::Delivered if !ran.paid => match (self.stored(standing).await, ran.body.take()) {
                (Ok(report), _) => return report,
                // It could not be kept, and it is still in hand.
                (Err(_), Some(body)) => return told_again(standing, body),
                (Err(no), None) => return no.report(),
            },
            State::Delivered => {
                let status = standing.http_status.unwrap_or_default();
                let but = match status {
                    400.. => {
                        ". That is its answer, and the money is spent. The same call again may cost again: change the \
                         request first"
                    }
                    304 => ". The money is spent",
                    _ => "",
                };
                let moved = ran.body.as_ref().map(|body| pointed(body, true));
                let paid = match by_seller {
                    true => {
                        let most = match standing.price.exceeds(standing.spent) {
                            true => format!(" of at most {}", standing.price),
                            false => String::new(),
                        };
                        let Standing { spent, rail, network, .. } = standing;
                        format!("{spent}{most} over {rail} on {network} ({id}).{}", ran.remark)
                    }
                    false => format!(
                        "{} and {} fee over {} ({id}).{}",
                        standing.spent, standing.fee, standing.rail, ran.remark
                    ),
                };
                Report::new(
                    Outcome::Bought,
                    format!(
                        "Paid {paid} The seller answered {}{but}.{}{}",
                        answered(status),
                        chosen(standing).map(|why| format!(" Chosen: {why}.")).unwrap_or_default(),
                        moved.unwrap_or_default()
                    ),
                )
            }
            State::Undelivered if standing.spent.is_zero() && by_seller => Report {
                code: Some("payment_failed"),
                ..Report::new(
                    Outcome::Failed,
                    format!(
                        "Nothing was paid ({id}): the chain shows that what was signed was never used, and it cannot be \
                         any more. To buy it anew, call with an idempotency_key of your own."
                    ),
                )
            },
            State::Undelivered => Report {
                code: Some("undelivered"),
                ..Report::new(
                    Outcome::Undelivered,
                    format!(
                        "{} ({id}), and the seller has not delivered: {}. It is not paid again. {}",
                        if ran.paid { format!("Paid {paid}") } else { format!("Nothing was paid now, {paid} earlier") },
                        standing.note.trim_end_matches('.'),
                        show_again(id, by_seller)
                    ),
                )
            },
            State::Failed if !standing.spent.is_zero() => Report {
                code: Some("undelivered"),
                ..Report::new(
                    Outcome::Undelivered,
                    format!(
                        "{id} signed twice: the seller took the first ({paid}) and delivered for neither. It is not paid \
                         again; to buy it anew, call with an idempotency_key of your own."
                    ),
                )
            },
            State::Failed => Report {
                code: Some("payment_failed"),
                ..Report::new(
                    Outcome::Failed,
                    format!("Nothing was paid ({id}): {}.{}", standing.note, failed_advice(standing)),
                )
            },
            State::Late => Report {
                code: Some("late"),
                ..Report::new(
                    Outcome::Undelivered,
                    format!(
                        "{id} was taken for failed and settled after all: {paid} left the wallet. The wallet is frozen \
                         until a person looks and runs: bursar approve {id}"
                    ),
                )
            },
            State::AwaitingApproval => awaiting(standing),
            State::Unknown if by_seller => {
                let declined = ran.body.as_ref().map(|body| body.row.status).filter(|s| matches!(s, 400..=499));
                let mut report = signed_away(standing, declined, self.0.clock.now_s());
                report.say.push_str(&ran.body.as_ref().map(|body| pointed(body, false)).unwrap_or_default());
                report
            }
            State::Paying | State::Unknown | State::Paid => pending(standing),
        };
        report.purchase = Some(id);
        report.price = Some(standing.price);
        report.chosen = chosen(standing).filter(|_| report.outcome == Outcome::Bought).map(str::to_owned);
        if standing.state != State::AwaitingApproval && !standing.state.at_risk() {
            let now = if ran.paid { paid } else { zero };
            report.paid_now = Some(ran.topped_up.and_then(|more| now.plus(more)).unwrap_or(now));
            report.fee = Some(if ran.paid { standing.fee } else { zero });
        }
        report.body = ran.body.map(Arc::new);
        report
    }
}
