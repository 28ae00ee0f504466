//! What costs nothing but a proof: a charge of zero on Tempo, for which a signature shows whose account asks.
//!
//! It moves no money and can move none, so that no budget and no purchase knows of it; the journal does, before the seller
//! sees it. It names the challenge and the realm, and the protocol objects where the realm is not the host that was
//! asked: nobody can show it elsewhere.

use tokio::sync::watch;

use super::{
    Flight, No, Purse, Report, Request,
    buy::bill_of,
    fetch::Call,
    quote::{self, asks},
};
use crate::{
    evm::tempo::Ask,
    ledger::Proved,
    money::{Amount, Currency},
    protocol::{Challenge, Offer, Pin, Way},
};

/// The pin of an offer that asks for a proof and for no money.
pub(super) fn proof_of(offer: &Offer) -> Option<&Pin> {
    let Way::Pay(pin) = &offer.way else { return None };
    let Pin::Mpp(asked) = &**pin else { return None };
    matches!(asked.tempo(), Some(Ask::Proof { .. })).then_some(pin)
}

impl Purse {
    /// Shows the proof that the challenge asks for, once. `None` where it asks for none, none can be given, or the seller
    /// asks again all the same: then `challenge` is what it asked last, and `because` says so.
    pub(super) async fn prove(
        &self,
        call: &Call,
        request: &Request,
        challenge: &mut Challenge,
        because: &mut Vec<String>,
        flight: &watch::Sender<Flight>,
    ) -> Result<Option<Report>, No> {
        let Some((offer, pin)) = challenge.offers.iter().find_map(|offer| Some((offer, proof_of(offer)?))) else {
            return Ok(None);
        };
        let judged = self.judge(call, std::slice::from_ref(offer)).await?;
        if self.closing() || judged.iter().any(|(_, verdict)| verdict.is_err()) {
            return Ok(None);
        }
        let nothing = Amount::zero(Currency::Usd);
        let bill = bill_of(pin, nothing, Vec::new(), self.0.clock.now_s())?;
        let wallet = &self.wallet_for(offer.rail, &offer.network).await.map_err(No::from)?.wallet;
        // What cannot be signed leaves the other offers as they are.
        let signed = wallet.prepare(&bill).await.ok();
        let Some(proof) = signed.and_then(|signed| pin.payment(&signed.wire)) else { return Ok(None) };
        let proved = Proved {
            principal: call.caller.principal.clone(),
            session_key: call.caller.session_key.clone(),
            host: request.host(),
            path: request.line(),
            network: offer.network.clone(),
            purpose: call.purpose.clone(),
        };
        self.ledger().await?.proved(proved).await?;
        let answer = self.send(request, Some(proof.clone()), Some(flight)).await?;
        if !asks(&answer) && !matches!(answer.status, 401 | 403) {
            return self.answered_free(call, answer, None, false, Some(&proof)).await.map(Some);
        }
        because.push("a proof of whose account this is was shown first, and did not open it".into());
        if answer.status == 402 {
            *challenge = quote::read(&answer, &request.origin, self.assets())?;
        }
        Ok(None)
    }
}
