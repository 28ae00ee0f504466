//! Showing the seller what was bought, and what its answer means. Nothing is paid here.

use tokio::sync::watch;

use super::{
    Caller, Flight, No, Request,
    drive::{Run, kill_point},
    quote::{asks, credential_of},
    results::Results,
    session::{Bounds, Drawn, Served, is_top_up},
    step::{Input, REDEEM_TRIES},
};
use crate::{
    http::{self, Answer},
    ledger::{Standing, State},
    protocol::{Credential, Pin},
};

impl Run<'_> {
    /// Shows the seller what was bought: the same request, byte for byte, with the credential.
    pub(super) async fn redeem(&mut self, at: &Standing, flight: &watch::Sender<Flight>) -> Result<Input, No> {
        let ledger = self.purse.ledger().await?;
        let failed = |why: String| Input::SellerFailed { why, status: None, again: false };
        let Some(request) = Request::from_bytes(&at.request) else {
            return Ok(failed("the stored request cannot be read back".into()));
        };
        if self.pin.as_ref().is_some_and(|pin| pin.session().is_some()) {
            return self.open(at, &request, flight).await;
        }
        let topping_up = self.pin.as_ref().is_some_and(is_top_up);
        let credential = if self.by_seller {
            self.payment()
        } else {
            credential_of(&self.intent.pin, &ledger.proof(at.id).await?.unwrap_or_default())
        };
        let Some(credential) = credential else {
            return Ok(failed("there is no proof of the payment that the seller could be shown".into()));
        };
        // What was paid is shown even where the payment outlasted its challenge: the seller decides, by its own clock.
        let ended = self.pin.as_ref().and_then(Pin::expires_at).is_some_and(|end| end <= self.purse.0.clock.now_s());
        if ended && at.state == State::Undelivered && !topping_up {
            let why = "the seller's challenge has ended, so that its proof is shown no more".into();
            // What it answered before stands: by that it cools down.
            return Ok(Input::SellerFailed { why, status: at.http_status, again: false });
        }
        kill_point("before_redeem");
        let answered = match topping_up {
            true => self.purse.send_harmless(&request, Some(&credential)).await,
            false => self.purse.send(&request, Some(credential.clone()), Some(flight)).await,
        };
        let answer = match answered {
            Ok(answer) => answer,
            Err(http::Error::Refused { say, .. }) => return Ok(failed(credential.hide(&say))),
            Err(http::Error::Failed { sent, say }) => {
                let why = credential.hide(&say);
                return Ok(Input::SellerFailed { why, status: None, again: !sent || request.repeatable() });
            }
        };
        kill_point("after_redeem");
        let status = answer.status;
        self.keep_body(at, &answer, &credential);
        // Another demand for payment is nothing that was bought, and often repeats the token.
        let asked = asks(&answer);
        self.body.take_if(|_| asked);
        Ok(match status {
            // A request that does something is not sent again to a seller that may have begun to do it.
            500.. if asked && !request.repeatable() => {
                self.redeems = REDEEM_TRIES;
                Input::SellerAskedAgain { status: 402, why: format!("the seller answered {status}") }
            }
            // What is kept of a demand is that it was one: by that a seller cools down.
            _ if asked => Input::SellerAskedAgain { status: 402, why: format!("the seller answered {status}") },
            401 => Input::SellerAskedAgain { status, why: format!("the seller answered {status}") },
            403 | 407 | 408 | 425 | 429 => {
                Input::SellerFailed { why: format!("the seller answered {status}"), status: Some(status), again: false }
            }
            500.. => Input::SellerFailed {
                why: format!("the seller answered {status}"),
                status: Some(status),
                again: request.repeatable() && status != 501,
            },
            // What a seller that settles says of a payment it has seen is no goods: the nonce is used. Nor has a session
            // more to spend where nobody heard of its top-up.
            _ if (self.by_seller || topping_up) && !matches!(status, 200..=299 | 304) => {
                Input::SellerFailed { why: format!("the seller answered {status}"), status: Some(status), again: false }
            }
            _ => Input::SellerAnswered,
        })
    }

    /// Opens the session of a deposit, with the call itself.
    async fn open(&mut self, at: &Standing, request: &Request, flight: &watch::Sender<Flight>) -> Result<Input, No> {
        let Some(mut held) = self.purse.hold_deposit(at.id).await? else {
            let why = "its session is over, and serves no call any more".into();
            return Ok(Input::SellerFailed { why, status: at.http_status, again: false });
        };
        let bounds = Bounds {
            caller: Caller { principal: at.principal.clone(), session_key: at.session_key.clone() },
            max_price: at.max_price,
            so_far: Some(at.price),
        };
        kill_point("before_redeem");
        let drawn = held.draw(request, &bounds, flight).await?;
        kill_point("after_redeem");
        let why = |answer: &Answer| format!("the seller answered {}", answer.status);
        Ok(match drawn {
            Drawn::Served(served) => {
                self.keep_body(at, &served.answer, &served.credential);
                self.topped_up = served.topped_up;
                self.remark.push_str(&opened(&served));
                Input::SellerAnswered
            }
            Drawn::Refused(last) => {
                // The session has asked as often as makes sense.
                self.redeems = REDEEM_TRIES;
                let status = last.as_ref().map_or(402, |(answer, _)| answer.status);
                let why = last.map_or("the seller opens no session for it".into(), |(answer, _)| why(&answer));
                Input::SellerAskedAgain { status: if status == 401 { 401 } else { 402 }, why }
            }
            Drawn::Failed { answer: Some((answer, credential)), .. } => {
                self.keep_body(at, &answer, &credential);
                let again = request.repeatable() && answer.status >= 500;
                Input::SellerFailed { why: why(&answer), status: Some(answer.status), again }
            }
            Drawn::Failed { answer: None, why } => {
                Input::SellerFailed { why, status: None, again: request.repeatable() }
            }
        })
    }

    fn keep_body(&mut self, at: &Standing, answer: &Answer, credential: &Credential) {
        let mut body = Results::body(at.id.to_string(), answer, self.purse.0.clock.now_ms());
        body.mask(credential);
        self.shown.iter().for_each(|shown| body.mask(shown));
        self.body = Some(body);
    }
}

/// What is worth saying of a deposit that was opened.
fn opened(served: &Served) -> String {
    let mut say = format!(
        " That is a deposit: calls here draw on it (about {} of {} used so far), and what is left comes back when it is closed.",
        served.used, served.paid_in
    );
    if let Some(topped_up) = served.topped_up {
        say.push_str(&format!(" Top-ups of {topped_up} are part of it."));
    }
    if let Some(short) = &served.short {
        say.push_str(&format!(" {}.", short.trim_end_matches('.')));
    }
    say
}
