//! The other rule for the nonce of an authorization, where a seller says that the first one does not match (MPP on EVM
//! chains: two rules are deployed, and nothing on the wire says which one a server has).
//!
//! Both signatures can be used until they run out, whatever the seller says, so both are held, and both together stay
//! within `max_price` and the limit of one purchase. Once, and never for a price that a person said yes to: that yes was
//! for one payment.

use super::{
    No,
    buy::{bill_of, seed},
    drive::Run,
    quote::seen,
    step::Input,
    words::no_room,
};
use crate::{
    ledger::{Intent, Replaced, Standing},
    protocol::{Pin, bolt11::InvoicePolicy, mpp},
};

impl Run<'_> {
    /// The same challenge with the other nonce, where the seller just refused the first one for it.
    pub(super) fn other_nonce(&self) -> Option<Pin> {
        let (answer, Some(Pin::Mpp(pin))) = (self.refusal.as_ref()?, &self.pin) else { return None };
        let ours = self.intent.n == 0 && mpp::refuses_nonce(seen(answer));
        let above = self.purse.0.config.approval_above.get(&self.intent.price.currency());
        let asked = above.is_some_and(|above| self.intent.price.exceeds(*above));
        pin.with_the_other_nonce().filter(|_| ours && !asked).map(Pin::Mpp)
    }

    pub(super) async fn sign_with_the_other_nonce(&mut self, at: &Standing) -> Input {
        let other = self.other_nonce();
        // Taken: whatever comes now, this refusal leads to no further signature.
        self.refusal = None;
        let asked_again = |why: String| Input::SellerAskedAgain { status: 402, why };
        let Some(pin) = other else { return asked_again("the seller asks for payment again".into()) };
        // Who took the first and asks for a second is given none.
        if let Ok(used @ Input::LookedSettled { .. }) = self.look_up().await {
            return used;
        }
        match self.sign_other(at, &pin).await {
            Ok(()) => Input::Go,
            Err(no) => {
                self.again = false;
                let no = no.say;
                asked_again(format!("the seller wants the other kind of nonce, and {}", no.trim_end_matches('.')))
            }
        }
    }

    async fn sign_other(&mut self, at: &Standing, pin: &Pin) -> Result<(), No> {
        let now_s = self.purse.0.clock.now_s();
        if let Pin::Mpp(pin) = pin
            && let Some(objection) = pin.objections_at(now_s, &InvoicePolicy::default()).into_iter().next()
        {
            return Err(No { code: objection.code, say: objection.say });
        }
        let wallet = self.purse.wallet_with_id(&self.intent.wallet).await;
        let wallet = wallet.map_err(|why| No::new("other_wallet", why))?;
        let n = self.intent.n + 1;
        let seed = seed(&at.principal, &at.idem_key, at.generation, n);
        // No longer than the first one lives: then one look at the chain tells of both.
        let bill = bill_of(pin, self.intent.fee_cap, seed, now_s)?.within(self.intent.liability_until);
        let prepared = wallet.prepare(&bill).await?;
        let rail_key = wallet.rail_key(&bill).ok_or_else(|| No::new("not_payable", "the wallet does not sign that"))?;
        let intent = Intent {
            n,
            rail_key,
            liability_until: bill.liability_until(None),
            resend_until: prepared.resend_until,
            pin: serde_json::to_vec(pin).map_err(|e| No::new("internal", e.to_string()))?,
            wire: prepared.wire,
            ..(*self.intent).clone()
        };
        match self.purse.ledger().await?.replace(intent).await? {
            Replaced::Committed(intent) => {
                self.take(*intent);
                Ok(())
            }
            Replaced::NoRoom(no) => Err(no_room(&no)),
            Replaced::Gone => Err(No::new("ledger", "the purchase went on meanwhile")),
        }
    }
}
