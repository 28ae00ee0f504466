//! What the wallet can be asked.

use std::time::Duration;

use lightning_invoice::{Bolt11Invoice, Currency};
use serde_json::{Value, json};
use tokio::{sync::watch, time::sleep};

use super::{
    Service,
    behaviour::{Behaviour, Envelope, LookupSaid, Money, ReplySaid},
    book::{Fate, Incoming, Payment},
    inbox::{Request, invoice, payment_hash},
    options::knows,
};
use crate::sandbox::lock;

/// A reply before it is encrypted.
pub(super) struct Answer {
    pub(super) text: String,
    pub(super) envelope: Envelope,
}

/// An error of NIP-47: its code and its message.
type Refusal = (String, String);

fn refuse<T>(code: &str, message: &str) -> Result<T, Refusal> {
    Err((code.to_owned(), message.to_owned()))
}

/// A reply's body.
fn body(method: &str, said: Result<Value, Refusal>) -> String {
    match said {
        Ok(result) => json!({"result_type": method, "error": null, "result": result}),
        Err((code, message)) => {
            json!({"result_type": method, "error": {"code": code, "message": message}, "result": null})
        }
    }
    .to_string()
}

impl Service {
    /// Does what a request asks. `None` is a reply that never comes.
    pub(super) async fn answer(&self, request: &Request) -> Option<Answer> {
        let (method, params) = (request.method.as_str(), &request.params);
        let said = match method {
            _ if !self.allows(method) => {
                refuse(if knows(method) { "RESTRICTED" } else { "NOT_IMPLEMENTED" }, "this connection may not do that")
            }
            "pay_invoice" | "pay" => return self.pay(request).await,
            "get_balance" => Ok(match self.options.balance_said_msat {
                Some(said) => json!({ "balance": said }),
                None => json!({"balance": self.node.balance_msat()}),
            }),
            "get_budget" => Ok(self.budget()),
            "get_info" => Ok(self.describe()),
            "lookup_invoice" => self.look_up(params)?,
            "make_invoice" => self.make_invoice(params),
            _ => Ok(self.list(params)),
        };
        Some(Answer { text: body(method, said), envelope: Envelope::Proper })
    }

    fn describe(&self) -> Value {
        let mut info = json!({
            "alias": self.options.alias,
            "color": "#3399ff",
            "pubkey": self.node.id(),
            "block_height": 1,
            "block_hash": "00".repeat(32),
            "methods": self.options.methods,
            "notifications": if self.options.notifications { vec!["payment_sent"] } else { vec![] },
        });
        if let Some(network) = &self.options.network {
            info["network"] = network.as_str().into();
        }
        info
    }

    /// An empty object when nobody set a budget.
    fn budget(&self) -> Value {
        let book = lock(&self.book);
        let Some(quota) = book.quota_msat else { return json!({}) };
        let mut budget =
            json!({"used_budget": book.committed_msat(), "total_budget": quota, "renewal_period": "never"});
        if let Some((at_s, period)) = &self.options.quota_renews {
            budget["renews_at"] = (*at_s).into();
            budget["renewal_period"] = period.as_str().into();
        }
        budget
    }

    async fn pay(&self, request: &Request) -> Option<Answer> {
        let method = request.method.as_str();
        let taken = self.take_on(&request.params);
        let (hash, behaviour, fate) = match taken {
            Ok(taken) => taken,
            Err(refusal) => {
                return Some(Answer { text: body(method, Err(refusal)), envelope: Envelope::Proper });
            }
        };
        sleep(Duration::from_millis(behaviour.before_ms)).await;
        match behaviour.money {
            Money::Settles => _ = self.settle(&hash),
            Money::Held => {}
            Money::Fails => _ = lock(&self.book).close(&hash, Fate::Failed),
            Money::Never => {
                let book = &mut *lock(&self.book);
                book.close(&hash, Fate::Failed);
                book.payments.retain(|p| p.hash != hash);
            }
            Money::SettlesAfter(ms) if behaviour.reply == ReplySaid::Truth => {
                sleep(Duration::from_millis(ms)).await;
                self.settle(&hash);
            }
            // The reply is not to wait for it, and with a serial wallet nor is the next request.
            Money::SettlesAfter(ms) => self.settle_later(&hash, ms),
        }
        let truth = async |shown: &str| body(shown, self.outcome(&hash, fate, method).await);
        let text = match &behaviour.reply {
            ReplySaid::Truth => truth(method).await,
            ReplySaid::WrongResultType => truth("get_info").await,
            ReplySaid::NoResultType => truth("").await,
            ReplySaid::Nothing => return None,
            ReplySaid::Error(code) => body(method, refuse(code, "payment not made")),
            ReplySaid::BareError(word) => json!({"error": word}).to_string(),
            ReplySaid::ErrorAndResult(code) => {
                let error = json!({"code": code, "message": "payment not made"});
                json!({"result_type": method, "error": error, "result": {}}).to_string()
            }
            ReplySaid::Garbage => "<html>502 Bad Gateway</html>".to_owned(),
        };
        sleep(Duration::from_millis(behaviour.reply_after_ms)).await;
        Some(Answer { text, envelope: behaviour.envelope })
    }

    fn settle_later(&self, hash: &str, ms: u64) {
        let (Some(service), hash) = (self.me.upgrade(), hash.to_owned()) else { return };
        tokio::spawn(self.stop.clone().run_until_cancelled_owned(async move {
            sleep(Duration::from_millis(ms)).await;
            service.settle(&hash);
        }));
    }

    /// Waits until a payment ended and tells how.
    async fn outcome(&self, hash: &str, mut fate: watch::Receiver<Fate>, method: &str) -> Result<Value, Refusal> {
        let ended = fate.wait_for(|f| !matches!(f, Fate::Pending)).await.map(|f| f.clone());
        let book = lock(&self.book);
        match (ended, book.payment(hash)) {
            (Ok(Fate::Settled { preimage, fee_msat, .. }), Some(payment)) => {
                let mut result = payment.result(&preimage, fee_msat);
                if method == "pay" {
                    result["transaction_id"] = format!("t{}", &hash[..8]).into();
                    result["state"] = "settled".into();
                    result["instruction_type"] = "bolt11".into();
                    result["amount"] = payment.amount_msat.into();
                    result["payment_hash"] = hash.into();
                }
                Ok(result)
            }
            _ => refuse("PAYMENT_FAILED", "payment failed"),
        }
    }

    /// Enters a payment in the book, or says why not. What is refused here never moved and never will.
    fn take_on(&self, params: &Value) -> Result<(String, Behaviour, watch::Receiver<Fate>), Refusal> {
        let text = invoice(params).unwrap_or_default();
        let Ok(invoice) = text.parse::<Bolt11Invoice>() else { return refuse("OTHER", "not an invoice") };
        let hash = invoice.payment_hash().to_string();
        let fees = self.node.fees();
        let book = &mut *lock(&self.book);
        if invoice.currency() != Currency::Regtest {
            return refuse("OTHER", "this wallet pays on regtest only");
        }
        let Some(amount_msat) = invoice.amount_milli_satoshis() else {
            return refuse("OTHER", "the invoice names no amount");
        };
        if let Some(earlier) = book.payment(&hash) {
            let word = match &*earlier.fate.borrow() {
                Fate::Settled { .. } => Some("invoice already paid"),
                Fate::Pending => Some("payment already pending"),
                Fate::Failed => None,
            };
            if let Some(word) = word {
                return refuse(&self.options.repeat_code, word);
            }
        }
        book.payments.retain(|p| p.hash != hash);
        let total = amount_msat.saturating_add(fees.of(amount_msat));
        if book.quota_msat.is_some_and(|quota| book.committed_msat().saturating_add(total) > quota) {
            return refuse("QUOTA_EXCEEDED", "this connection's budget is used up");
        }
        if total > self.node.balance_msat() {
            return refuse("INSUFFICIENT_BALANCE", "not enough funds");
        }
        if self.options.fee_limits && params["max_fee"].as_u64().is_some_and(|most| fees.of(amount_msat) > most) {
            return refuse("FEE_LIMIT_EXCEEDED", "no route within the fee limit");
        }
        let behaviour = book.next.pop_front().unwrap_or_else(|| book.always.clone());
        let (fate, watched) = watch::channel(Fate::Pending);
        book.payments.push(Payment {
            hash: hash.clone(),
            invoice: text.to_owned(),
            memo: invoice.description().to_string(),
            amount_msat,
            created_s: self.clock.now_s(),
            expires_s: invoice.expires_at().map_or(0, |at| at.as_secs()),
            behaviour: behaviour.clone(),
            fate,
        });
        Ok((hash, behaviour, watched))
    }

    /// `None` is a lookup that gets no answer.
    fn look_up(&self, params: &Value) -> Option<Result<Value, Refusal>> {
        // LNbits has no code of its own for this; its words are all there is to know it by.
        let words = if self.options.unknown_code == "INTERNAL" { "Payment not found" } else { "no such payment" };
        let unknown = || refuse(&self.options.unknown_code, words);
        let Some(hash) = payment_hash(params) else { return Some(refuse("OTHER", "neither payment_hash nor invoice")) };
        let book = lock(&self.book);
        if let Some(payment) = book.payment(&hash) {
            return match payment.behaviour.lookup {
                LookupSaid::Nothing => None,
                LookupSaid::NotAllowed => Some(refuse("RESTRICTED", "this connection may not look up")),
                LookupSaid::NotFound => Some(unknown()),
                lookup => Some(Ok(payment.transaction(lookup))),
            };
        }
        let incoming = book.incoming.iter().find(|i| i.hash == hash);
        Some(incoming.map_or_else(unknown, |i| Ok(self.incoming(i))))
    }

    fn make_invoice(&self, params: &Value) -> Result<Value, Refusal> {
        let Some(amount_msat) = params["amount"].as_u64() else { return refuse("OTHER", "amount in msat is missing") };
        let memo = params["description"].as_str().unwrap_or_default();
        let expiry_s = params["expiry"].as_u64().unwrap_or(3600).min(self.options.invoice_life_s);
        let made = self.node.own_invoice(amount_msat, memo, expiry_s).map_err(|e| ("OTHER".into(), e.to_string()))?;
        let created_s = self.clock.now_s();
        let incoming = Incoming {
            hash: made.payment_hash,
            invoice: made.bolt11,
            memo: memo.to_owned(),
            amount_msat,
            created_s,
            expires_s: created_s + expiry_s,
        };
        let shown = incoming.transaction(false, None);
        lock(&self.book).incoming.push(incoming);
        Ok(shown)
    }

    /// An invoice of the wallet's own, with what came where it named no amount.
    fn incoming(&self, i: &Incoming) -> Value {
        let paid = self.node.is_paid(&i.hash);
        let mut shown = i.transaction(paid, self.node.preimage(&i.hash));
        if let Some(came) = self.node.amount_msat(&i.hash).filter(|_| paid) {
            shown["amount"] = came.into();
        }
        shown
    }

    fn list(&self, params: &Value) -> Value {
        let bound = |name: &str, none: u64| params[name].as_u64().unwrap_or(none);
        let (from, until) = (bound("from", 0), bound("until", u64::MAX));
        let wanted = params["type"].as_str();
        let book = lock(&self.book);
        let visible = book.payments.iter().filter(|p| p.behaviour.lookup != LookupSaid::NotFound);
        let outgoing = visible.map(|p| p.transaction(LookupSaid::Truth));
        let incoming = book.incoming.iter().map(|i| self.incoming(i));
        let mut all: Vec<Value> = outgoing.chain(incoming).collect();
        all.retain(|t| {
            let at = t["created_at"].as_u64().unwrap_or(0);
            let settled = t["state"] == "settled" || params["unpaid"] == true;
            (from..=until).contains(&at) && wanted.is_none_or(|w| t["type"] == w) && settled
        });
        // Newest first; those of one second in the reverse order of their making.
        all.reverse();
        all.sort_by_key(|t| std::cmp::Reverse(t["created_at"].as_u64()));
        let page = |name: &str, none: u64| usize::try_from(bound(name, none)).unwrap_or(usize::MAX);
        let transactions: Vec<Value> =
            all.into_iter().skip(page("offset", 0)).take(page("limit", 20).min(100)).collect();
        json!({"transactions": transactions})
    }
}
