//! Going on with a purchase that stands: after a crash, for an equal call, for its id, after a person said yes.

use std::sync::Arc;

use tokio::sync::watch;

use super::{
    Caller, Flight, No, Outcome, Purse, Report,
    buy::bill_of,
    drive::Ran,
    results::Body,
    words::{answered, awaiting, ending, failed_advice, frozen, gone, pending, pointed, unrecorded},
};
use crate::{
    ledger::{Armed, Committed, Decided, Intent, PurchaseId, Standing, State},
    money::Amount,
    protocol::{
        Pin,
        bolt11::{Invoice, InvoicePolicy},
        text::clean,
    },
};

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
    pub async fn decide(&self, caller: &Caller, id: &str, yes: bool) -> Result<(), No> {
        let over = || No::new("nothing_to_approve", format!("{id} waits for nobody any more"));
        let id: PurchaseId = id.parse().map_err(|_| over())?;
        let ledger = self.ledger().await?;
        let found = ledger.find(id).await?.filter(|p| p.principal == caller.principal);
        if found.is_none_or(|p| p.state != State::AwaitingApproval) {
            return Err(over());
        }
        match ledger.decide(id, yes).await? {
            Decided::Approved(_) | Decided::Denied(_) => Ok(()),
            _ => Err(over()),
        }
    }

    /// Drives a committed purchase to its rest. From here on money may have left, so no error says that none did.
    pub(super) async fn finish(&self, intent: Committed<Intent>, flight: &watch::Sender<Flight>) -> Report {
        let id = intent.purchase;
        match self.run(intent, flight).await {
            Ok((standing, ran)) => self.report(&standing, ran).await,
            Err(no) => unrecorded(id, &no),
        }
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
                if stored.is_err() {
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
        let policy = InvoicePolicy { max_life_s: u64::MAX, ..InvoicePolicy::default() };
        let invoice = pin.invoice().map(Invoice::read);
        let over = match invoice {
            Some(Ok(invoice)) => invoice.objections(self.0.clock.now_s(), &policy).into_iter().next().map(|o| o.say),
            _ => Some("its invoice cannot be read back".into()),
        };
        if let Some(say) = over {
            let state = ledger.give_up(id, &format!("approved too late: {say}")).await?;
            let standing = ledger.find(id).await?.unwrap_or(standing);
            if state != State::Failed {
                return self.follow(standing, flight).await;
            }
            return Ok(self.report(&standing, Ran::default()).await);
        }
        let wallet = self.wallet().await.map_err(No::from)?;
        if wallet.id() != pinned.wallet {
            return Err(No::new(
                "other_wallet",
                format!("{id} was approved for another wallet than the one set up now"),
            ));
        }
        self.doubt_failures().await?;
        let prepared = wallet.prepare(&bill_of(&pin, pinned.fee_cap)?).await?;
        if self.closing() {
            return Err(ending());
        }
        match ledger.arm(id, prepared.wire, prepared.resend_until).await? {
            Armed::Committed(intent) => Ok(self.finish(*intent, flight).await),
            Armed::Frozen(why) => Err(frozen(&why)),
            Armed::Gone => {
                let standing = ledger.find(id).await?.unwrap_or(standing);
                self.follow(standing, flight).await
            }
        }
    }

    pub(super) async fn stored(&self, standing: &Standing) -> Result<Report, No> {
        let ledger = self.ledger().await?;
        let row = ledger.result(&standing.principal, &standing.id.to_string()).await?.ok_or_else(gone)?;
        let body = self.0.results.read(row).ok_or_else(gone)?;
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

impl Purse {
    /// The report of a purchase that rests.
    pub(super) async fn report(&self, standing: &Standing, mut ran: Ran) -> Report {
        let id = standing.id;
        let paid = standing.spent.plus(standing.fee).unwrap_or(standing.spent);
        let zero = Amount::zero(standing.price.currency());
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
                Report::new(
                    Outcome::Bought,
                    format!(
                        "Paid {} and {} fee over {} ({id}). The seller answered {}{but}.{}",
                        standing.spent,
                        standing.fee,
                        standing.rail,
                        answered(status),
                        moved.unwrap_or_default()
                    ),
                )
            }
            State::Undelivered => Report {
                code: Some("undelivered"),
                ..Report::new(
                    Outcome::Undelivered,
                    format!(
                        "{} ({id}), and the seller has not delivered: {}. It is not paid again. Wait a little; then an \
                         equal call, or result_id {id}, shows it the same receipt again, free of charge.",
                        if ran.paid { format!("Paid {paid}") } else { format!("Nothing was paid now, {paid} earlier") },
                        standing.note.trim_end_matches('.')
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
            State::Paying | State::Unknown | State::Paid => pending(standing),
        };
        report.purchase = Some(id);
        report.price = Some(standing.price);
        if standing.state != State::AwaitingApproval && !standing.state.at_risk() {
            report.paid_now = Some(if ran.paid { paid } else { zero });
            report.fee = Some(if ran.paid { standing.fee } else { zero });
        }
        report.body = ran.body.map(Arc::new);
        report
    }
}
