//! Paying a top-up while a stream waits for it. It is a purchase of its own; here is only how much one call may cost.

use tokio::sync::watch;

use super::{
    Held, No, Purse, Request,
    draw::{Bounds, Tab},
};
use crate::{
    ledger::{Idempotency, Scope},
    money::Amount,
    protocol::mpp::session::{Input, Terms, top_up},
    purchase::{Flight, Outcome, drive::kill_point, fetch::Call},
};

impl Held<'_> {
    /// Buys a top-up of these terms, if the call may cost that much, and tells the session what became of it.
    pub(super) async fn top_up(
        &mut self,
        terms: &Terms,
        request: &Request,
        bounds: &Bounds,
        tab: &mut Tab,
    ) -> Result<(), No> {
        // Before anything is paid: whoever takes this up after a crash looks for that payment.
        self.keep().await?;
        kill_point("before_top_up");
        let purse = self.purse;
        let id = self.id()?;
        let session = self.hand()?.session.id.clone();
        let offer = top_up(&session, terms);
        let now_s = self.now_s();
        let Some(price) = offer.price else {
            self.hand()?.session.step(Input::NotPaid, now_s);
            return self.keep().await;
        };
        let together = tab.prices.map_or(Some(price), |before| before.plus(price)).unwrap_or(price);
        if let Some(why) = purse.too_much(bounds, together).await? {
            tab.short = Some(format!("the stream asked for {price} more, and {why}"));
            self.hand()?.session.step(Input::NotPaid, now_s);
            return self.keep().await;
        }
        let call = Call {
            caller: bounds.caller.clone(),
            request: request.clone(),
            idem: Idempotency::top_up(id, &terms.payment_hash),
            max_price: None,
            purpose: format!("top-up of {id}"),
        };
        let because = [format!("the stream of {id} waits for it")];
        // Those who wait for the call are told of the call.
        let unheard = watch::Sender::new(Flight::default());
        let bought = Box::pin(purse.buy(&call, None, &[offer], &because, 0, false, &unheard)).await;
        kill_point("after_top_up");
        let input = match bought {
            Ok(report) if report.paid_now.is_some_and(|paid| !paid.is_zero()) => {
                tab.prices = Some(together);
                let paid = report.paid_now.unwrap_or(price);
                tab.topped_up = tab.topped_up.map_or(Some(paid), |before| before.plus(paid));
                if report.outcome == Outcome::Undelivered {
                    tab.short = Some(report.say);
                }
                Some(Input::Paid)
            }
            Ok(report) if report.outcome == Outcome::Pending => {
                tab.short = Some(report.say);
                None
            }
            Ok(report) => {
                tab.short = Some(report.say);
                Some(Input::NotPaid)
            }
            Err(no) => {
                tab.short = Some(no.say);
                Some(Input::NotPaid)
            }
        };
        let now_s = self.now_s();
        if let Some(input) = input {
            self.hand()?.session.step(input, now_s);
        }
        self.keep().await
    }
}

impl Purse {
    /// Why a call may not cost so much in all, if so. One call is one price for whoever allowed it, however often its stream
    /// asks; nobody can be asked for a yes in the middle of it.
    async fn too_much(&self, bounds: &Bounds, together: Amount) -> Result<Option<String>, No> {
        let with = |what: &str, most: Amount| format!("with that the call would cost {together}, above {what} {most}");
        if let Some(max) = bounds.max_price {
            if max.currency() != together.currency() {
                return Ok(Some(format!("max_price is in {}", max.currency())));
            }
            if together.exceeds(max) {
                return Ok(Some(with("max_price", max)));
            }
        }
        if let Some(above) = self.0.config.approval_above.get(&together.currency())
            && together.exceeds(*above)
        {
            return Ok(Some(with("what may be spent without a person,", *above)));
        }
        let ledger = self.ledger().await?;
        let (_, budgets) = ledger.budgets(&bounds.caller.principal, &bounds.caller.session_key).await?;
        let limit = budgets
            .iter()
            .find(|b| b.scope == Scope::Purchase && b.limit.currency() == together.currency())
            .map(|b| b.limit);
        Ok(limit.filter(|limit| together.exceeds(*limit)).map(|limit| with("the limit of a purchase,", limit)))
    }
}
