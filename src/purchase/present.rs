//! Paying a seller that settles: the request goes along with what the wallet signed, and the answer says what became of it.
//!
//! What counts is the receipt, and whether the seller gave what was asked for; its status and its words alone never say
//! that no money moved. What was signed can be used until it runs out, whatever the answer was.

use tokio::sync::watch;

use super::{
    Flight, Request,
    drive::Run,
    quote::{asks, seen},
    results::Results,
    step::Input,
};
use crate::{
    http::{self, Answer},
    ledger::Standing,
    protocol::{Credential, Proof, Receipt, Witness},
};

impl Run<'_> {
    /// The header that pays. It is made of a committed intent, so nothing is shown that is not written down.
    pub(super) fn payment(&self) -> Option<Credential> {
        self.pin.as_ref()?.payment(&self.intent.wire)
    }

    /// Sends the request with what was signed. The same bytes every time: a token takes them only once.
    pub(super) async fn present(&mut self, at: &Standing, flight: &watch::Sender<Flight>) -> Input {
        self.sends += 1;
        let (Some(request), Some(payment)) = (Request::from_bytes(&at.request), self.payment()) else {
            return Input::SellerUnreached("what was stored of the request and its payment cannot be read back".into());
        };
        let said = self.show(at, &request, &payment, flight).await.hiding(&payment);
        self.shown.iter().fold(said, |said, shown| said.hiding(shown))
    }

    async fn show(
        &mut self,
        at: &Standing,
        request: &Request,
        payment: &Credential,
        flight: &watch::Sender<Flight>,
    ) -> Input {
        let answer = match self.purse.send_paying(request, payment.clone(), flight).await {
            Ok(answer) => answer,
            Err(http::Error::Refused { say, .. } | http::Error::Failed { sent: false, say }) => {
                return Input::SellerUnreached(say);
            }
            Err(http::Error::Failed { say, .. }) => {
                self.again = request.repeatable();
                return Input::SellerFailed { why: say, status: None, again: self.again };
            }
        };
        let mut body = Results::body(at.id.to_string(), &answer, self.purse.0.clock.now_ms());
        body.mask(payment);
        self.shown.iter().for_each(|shown| body.mask(shown));
        self.body = Some(body).filter(|_| !asks(&answer));
        let receipt = self.pin.as_ref().and_then(|pin| pin.receipt(seen(&answer)));
        let settled = receipt.as_ref().is_some_and(|r| r.settled);
        // A redirect that was not followed gave nothing.
        let gave = matches!(answer.status, 200..=299 | 304);
        let then = self.beside_paying(&answer, receipt.as_ref(), request.repeatable());
        if !settled && !gave {
            self.refusal = Some(answer).filter(|answer| answer.status == 402);
            return then;
        }
        if !settled && self.look_up().await.is_ok_and(|said| said == Input::LookedSettled { proof: true }) {
            self.after_paid = Some(Input::SellerAnswered);
            return Input::Settled;
        }
        // What was given without a receipt, and is not on the chain yet, may be settled later: it counts as paid.
        let hidden = |r: Receipt| Receipt { transaction: r.transaction.map(|hash| payment.hide(&hash)), ..r };
        self.settled = Some(self.charged(receipt.map(hidden).as_ref()).await);
        let hiding = |then: Input| self.shown.iter().fold(then.hiding(payment), |then, shown| then.hiding(shown));
        self.after_paid = Some(if gave { Input::SellerAnswered } else { hiding(then) });
        Input::Settled
    }

    /// What an answer means that brings no goods. `again` tells whether the same bytes may be shown once more.
    fn beside_paying(&mut self, answer: &Answer, receipt: Option<&Receipt>, repeatable: bool) -> Input {
        let status = answer.status;
        let because = match receipt {
            Some(receipt) if !receipt.reason.is_empty() => receipt.reason.clone(),
            _ => self.pin.as_ref().map(|pin| pin.complaint(seen(answer))).unwrap_or_default(),
        };
        let why = match because.is_empty() {
            true => format!("the seller answered {status}"),
            false => format!("the seller answered {status} (\"{because}\")"),
        };
        match status {
            _ if asks(answer) => {
                self.again = status < 500 || repeatable;
                self.asked_at_once |= self.sends == 1 && self.intent.fresh();
                Input::SellerAskedAgain { status: 402, why }
            }
            500.. => {
                self.again = repeatable && status != 501;
                Input::SellerFailed { why, status: Some(status), again: self.again }
            }
            _ => {
                self.again = false;
                Input::SellerFailed { why, status: Some(status), again: false }
            }
        }
    }
}

impl Input {
    /// The same without what paid, where a seller says it back: a reason is shown to models and kept in the ledger.
    pub(super) fn hiding(mut self, payment: &Credential) -> Input {
        match &mut self {
            Input::SellerAskedAgain { why, .. } | Input::SellerFailed { why, .. } | Input::SellerUnreached(why) => {
                *why = payment.hide(why);
            }
            _ => {}
        }
        self
    }
}

/// What is worth telling of a payment that a seller settled.
pub(super) fn remark(proof: &Proof) -> String {
    match proof {
        Proof::Preimage { .. } => String::new(),
        Proof::Transfer { by: Witness::Nobody, .. } => " No receipt came with it; it counts as spent.".into(),
        Proof::Transfer { transaction: Some(hash), .. } => format!(" Transaction {hash}."),
        Proof::Transfer { .. } => String::new(),
    }
}
