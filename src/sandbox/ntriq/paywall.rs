//! One paid request: verify, run the handler, settle, answer; or whatever the mode makes of that.

use std::time::Duration;

use axum::{
    Json,
    body::Bytes,
    http::{
        HeaderValue, StatusCode,
        header::{CACHE_CONTROL, LOCATION},
    },
    response::{IntoResponse as _, Response},
};
use data_encoding::BASE64;
use serde_json::{Value, json};

use super::{
    catalogue::Extensions,
    facilitator::{self, Fault},
    handlers,
    identifier::Named,
    mode::{NtriqMode, Settling},
    payment::Payment,
    service::Service,
    terms::{Means, Terms},
};
use crate::{
    evm::hex,
    sandbox::{
        chain::{Carried, Revert},
        lock,
    },
};

/// A paid request.
pub(super) struct Sale {
    pub terms: Terms,
    pub payment: Payment,
    pub body: Bytes,
}

/// How a request ends.
pub(super) enum Outcome {
    Answer(Response),
    /// The connection stays open and nothing is said.
    Silence,
    /// The connection breaks and nothing was said.
    Cut,
}

impl From<Response> for Outcome {
    fn from(response: Response) -> Outcome {
        Outcome::Answer(response)
    }
}

impl Service {
    /// Sells once. Every mode that changes what happens to the money is decided here.
    pub(super) async fn sell(&self, sale: Sale) -> Outcome {
        let Sale { terms, payment, body } = sale;
        let mode = terms.mode.clone();
        // The turn is held until the answer is made: whoever comes next waits for all of it.
        let _turn = match mode {
            NtriqMode::Slow(ms) => {
                let turn = self.turn.lock().await;
                self.struck(&mode);
                tokio::time::sleep(Duration::from_millis(ms)).await;
                Some(turn)
            }
            _ => None,
        };
        if let Some(response) = self.by_name(&terms, &payment) {
            return response.into();
        }
        let signed = match self.verify(&terms, &payment) {
            Ok(signed) => signed,
            Err(fault) => return terms.challenge(fault.text(self.dialect())).into(),
        };
        lock(&self.seen).push(signed.clone());
        if let Some(outcome) = self.before_the_handler(&terms, &signed) {
            return outcome;
        }
        let (status, answer) = match mode {
            NtriqMode::HandlerFails => {
                self.struck(&mode);
                (StatusCode::INTERNAL_SERVER_ERROR, json!({"error": "Internal server error"}))
            }
            _ => handlers::handle(terms.endpoint, &body),
        };
        if status.is_client_error() || status.is_server_error() {
            return (status, Json(answer)).into_response().into();
        }
        self.settle(&terms, &signed, &payment, answer).await
    }

    /// The answer that the payment's own name asks for, when that ends the request.
    fn by_name(&self, terms: &Terms, payment: &Payment) -> Option<Response> {
        let id = payment.identifier().filter(|_| terms.takes_names());
        let required = terms.takes_names() && terms.endpoint.extensions == Extensions::Required;
        let refuse = |status: StatusCode, say: &str| Some((status, Json(json!({"error": say}))).into_response());
        let named = lock(&self.identifiers).judge(id, required, &payment.hash);
        match named {
            Named::New => None,
            Named::Before(kept) => Some(delivered(StatusCode::OK, terms, Some(kept.receipt), &kept.answer)),
            Named::Another => refuse(StatusCode::CONFLICT, "payment-identifier was used with another payload"),
            Named::Wrong(say) => refuse(StatusCode::BAD_REQUEST, say),
        }
    }

    fn verify(&self, terms: &Terms, payment: &Payment) -> Result<Carried, Fault> {
        if !payment.echoes(&terms.extensions()) {
            return Err(Fault::Echo);
        }
        facilitator::verify(&self.chain, self.dialect(), self.clock.now_s(), terms, &payment.payload)
    }

    /// What the modes do that never reach the handler.
    fn before_the_handler(&self, terms: &Terms, signed: &Carried) -> Option<Outcome> {
        let mode = &terms.mode;
        let outcome = match mode {
            NtriqMode::CutsUnsettled => Outcome::Cut,
            NtriqMode::Stalls { moves: false } => Outcome::Silence,
            NtriqMode::KeepsAuthorization => {
                lock(&self.kept).push(signed.clone());
                terms.challenge(Fault::Unexpected.text(self.dialect())).into()
            }
            NtriqMode::FailsVerifyFirst(times) if self.tries(signed) <= *times => {
                terms.challenge(Fault::Simulation(Revert::NonceUsed).text(self.dialect())).into()
            }
            NtriqMode::Upfront { .. } => match self.chain.transfer_with_authorization(signed) {
                Ok(transfer) => {
                    let receipt = facilitator::settled(terms, &transfer);
                    let say = json!({"error": "Internal server error"});
                    delivered(StatusCode::INTERNAL_SERVER_ERROR, terms, Some(receipt), &say).into()
                }
                Err(_) => self.unsettled(terms, signed),
            },
            _ => return None,
        };
        self.struck(mode);
        Some(outcome)
    }

    /// Settles, and answers.
    async fn settle(&self, terms: &Terms, signed: &Carried, payment: &Payment, answer: Value) -> Outcome {
        let mode = &terms.mode;
        let payer = &signed.payer();
        // First those that do not settle in the ordinary way.
        let refused = |reason: &str, say: &str, transaction: &str| {
            unpaid(terms, facilitator::failure(terms, payer, reason, say, transaction))
        };
        let other = match mode {
            NtriqMode::SettleFails => Some(self.unsettled(terms, signed)),
            NtriqMode::FailsSettleFirst(times) if self.tries(signed) <= *times => Some(self.unsettled(terms, signed)),
            NtriqMode::SettleTimesOut { after_ms, moves } => {
                // A replay that the chain refuses moved nothing now, and the answer is the same.
                let _ = moves.then(|| self.chain.transfer_with_authorization(signed));
                tokio::time::sleep(Duration::from_millis(*after_ms)).await;
                Some(refused("unexpected_settle_error", "The facilitator did not answer in time", "").into())
            }
            NtriqMode::SettlementPending => {
                let transaction = hex(&self.chain.broadcast(signed));
                Some(refused("settlement_pending", "The transaction is not confirmed yet", &transaction).into())
            }
            NtriqMode::NoReceipt(Settling::Never) => Some(delivered(StatusCode::OK, terms, None, &answer).into()),
            NtriqMode::NoReceipt(Settling::InBackground) => {
                self.chain.broadcast(signed);
                Some(delivered(StatusCode::OK, terms, None, &answer).into())
            }
            NtriqMode::ChargesLater => {
                let mut all = signed.clone();
                if let Carried::Permit { signed, amount, .. } = &mut all {
                    *amount = signed.permit.permitted.amount;
                }
                lock(&self.kept).push(all);
                Some(delivered(StatusCode::OK, terms, Some(facilitator::nothing(terms, payer)), &answer).into())
            }
            NtriqMode::FalseReceipt => {
                let receipt = facilitator::success(terms, payer, &crate::random());
                Some(delivered(StatusCode::OK, terms, Some(receipt), &answer).into())
            }
            _ => None,
        };
        if let Some(outcome) = other {
            self.struck(mode);
            return outcome;
        }
        if terms.means() == Means::UpTo && terms.charge == 0 {
            return delivered(StatusCode::OK, terms, Some(facilitator::nothing(terms, payer)), &answer).into();
        }
        let Ok(transfer) = self.chain.transfer_with_authorization(signed) else {
            return self.unsettled(terms, signed);
        };
        let receipt = facilitator::settled(terms, &transfer);
        if let Some(id) = payment.identifier().filter(|_| terms.takes_names()) {
            lock(&self.identifiers).keep(id, payment.hash, receipt.clone(), answer.clone());
        }
        let outcome = match mode {
            NtriqMode::LosesAnswer => Outcome::Cut,
            NtriqMode::Stalls { .. } => Outcome::Silence,
            NtriqMode::SettleFailsButMoves => self.unsettled(terms, signed),
            NtriqMode::ChallengesAfterMoving => terms.challenge("Payment required").into(),
            NtriqMode::NoReceipt(Settling::AtOnce) => delivered(StatusCode::OK, terms, None, &answer).into(),
            NtriqMode::Asynchronous => self.queued(terms, receipt, answer),
            _ => return delivered(StatusCode::OK, terms, Some(receipt), &answer).into(),
        };
        self.struck(mode);
        outcome
    }

    /// The plain settle failure, without a transaction.
    fn unsettled(&self, terms: &Terms, signed: &Carried) -> Outcome {
        let reason = Fault::Transaction.text(self.dialect());
        let say = "The contract function \"transferWithAuthorization\" reverted.";
        unpaid(terms, facilitator::failure(terms, &signed.payer(), reason, say, "")).into()
    }

    fn queued(&self, terms: &Terms, receipt: Value, answer: Value) -> Outcome {
        let mut jobs = lock(&self.jobs);
        let path = format!("/jobs/{}", jobs.len() + 1);
        jobs.push(answer);
        let say = json!({"status": "queued", "result": path});
        let mut response = delivered(StatusCode::ACCEPTED, terms, Some(receipt), &say);
        if let Ok(path) = HeaderValue::from_str(&path) {
            response.headers_mut().insert(LOCATION, path);
        }
        response.into()
    }
}

/// An answer after the handler, with its receipt.
fn delivered(status: StatusCode, terms: &Terms, receipt: Option<Value>, answer: &Value) -> Response {
    let mut response = (status, Json(answer)).into_response();
    if let Some(receipt) = receipt {
        attach(&mut response, terms, &receipt);
    }
    response
}

/// The 402 after a failed settlement: a receipt and no challenge; version 1 writes its challenge into the body again.
fn unpaid(terms: &Terms, receipt: Value) -> Response {
    let body = match terms.form.is_v1() {
        true => json!({"x402Version": 1, "error": receipt["errorReason"], "accepts": terms.accepts()}),
        false => json!({}),
    };
    let mut response = (StatusCode::PAYMENT_REQUIRED, Json(body)).into_response();
    attach(&mut response, terms, &receipt);
    response
}

fn attach(response: &mut Response, terms: &Terms, receipt: &Value) {
    let name = if terms.form.is_v1() { "x-payment-response" } else { "payment-response" };
    if let Ok(value) = HeaderValue::from_str(&BASE64.encode(receipt.to_string().as_bytes())) {
        response.headers_mut().insert(name, value);
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("private"));
    }
}
