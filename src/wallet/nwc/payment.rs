//! Paying: the bytes are signed once, before the ledger's commit, and only ever sent as they are.

use std::sync::atomic::Ordering;

use nostr::event::{Event, EventId};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};

use super::{
    NwcWallet, REQUEST, RESEND_FOR,
    cipher::{Info, Scheme},
    exchange::Exchange,
    held,
    messages::{self, Reply},
    payment_hash, words,
};
use crate::{
    ledger::Intent,
    money::Currency,
    wallet::{Bill, PaySaid, Prepared, WalletError},
};

/// How many payments are remembered as sent. They go one after the other and may be sent for less than a minute, so
/// that one forgotten can no longer be sent.
const REMEMBERED: usize = 1024;

/// The requests that pay, of NWC-321 and of the core.
const METHODS: [&str; 2] = ["pay", "pay_invoice"];

/// A payment request of ours, read back.
struct Own<'a> {
    event: Event,
    json: &'a str,
    scheme: Scheme,
    method: &'static str,
}

fn not_sent(why: impl Into<String>) -> PaySaid {
    PaySaid::NotSent { why: why.into() }
}

impl NwcWallet {
    /// Signs the request that would pay a bill. Moves nothing.
    pub(super) async fn sign_payment(&self, bill: &Bill) -> Result<Prepared, WalletError> {
        let (described, scheme) = self.described(Instant::now() + self.read_timeout).await?;
        let Some((method, params)) = self.payment_request(&described, bill) else {
            let only = "this connection to the wallet may only read; make one in the wallet that may pay";
            return Err(WalletError::Setup(only.into()));
        };
        let now = self.clock.now_s();
        let text = messages::request(method, &params);
        let event = self.signed(scheme, &text, now)?;
        let wire = event.try_as_json().map_err(|_| WalletError::Setup("the payment could not be written".into()))?;
        Ok(Prepared { wire: wire.into_bytes(), resend_until: now + RESEND_FOR })
    }

    /// The request that pays a bill: the one that takes a fee limit, where this connection may use it. `None` when it may
    /// not pay at all.
    fn payment_request(&self, described: &Info, bill: &Bill) -> Option<(&'static str, Value)> {
        let Bill::Bolt11 { invoice, fee_cap, .. } = bill else { return None };
        let cap = (fee_cap.currency() == Currency::Sat).then(|| fee_cap.atomic());
        // Only where it is named: one that names nothing is asked for what every wallet knows.
        if let (true, false, Some(cap)) = (self.named(described, "pay"), self.plain_only.load(Ordering::SeqCst), cap) {
            return Some(("pay", json!({ "payment": format!("bitcoin:?lightning={invoice}"), "max_fee": cap })));
        }
        let mut params = json!({ "invoice": invoice });
        if let (true, Some(cap)) = (described.caps_fees(), cap) {
            params["max_fee"] = cap.into();
        }
        self.may(described, "pay_invoice").then_some(("pay_invoice", params))
    }

    /// Sends an intent's bytes and waits for the wallet's word. For tests: [`Wallet::pay`](crate::wallet::Wallet::pay)
    /// without the ledger's word, which is to say whether the bytes are `fresh`.
    #[doc(hidden)]
    pub async fn pay_intent(&self, intent: &Intent, fresh: bool) -> PaySaid {
        let Some(hash) = payment_hash(intent) else {
            return not_sent("the payment has no payment hash, so that it was not sent");
        };
        let Some(Own { event, json, scheme, method }) = self.own_request(&intent.wire) else {
            return not_sent(
                "the bytes to send are not a payment request of this wallet connection: they were not sent",
            );
        };
        let Ok(_turn) = timeout_at(Instant::now() + self.reply_timeout, self.turn.lock()).await else {
            return not_sent("the wallet was still busy with another payment, so that this one was not sent");
        };
        if self.clock.now_s() >= intent.resend_until {
            return not_sent("the time to send these bytes is over; the payment is only looked up");
        }
        let first = self.first_sending(event.id);
        let (wanted, publish) = self.posting(event.id, json, intent.resend_until);
        let Some(mut exchange) = self.relays.open(wanted, Some(publish)) else {
            return not_sent("too many requests to the wallet are under way, so that the payment was not sent");
        };
        let mut deadline = Instant::now() + self.reply_timeout;
        let (mut unreadable, mut refused) = (false, false);
        // Opened before the first await after the payment's own, so that both leave together.
        let hinted = self.look_when_hinted(intent, &hash);
        tokio::pin!(hinted);
        loop {
            let heard = tokio::select! {
                // The reply says the most, so it is heard first.
                biased;
                heard = timeout_at(deadline, exchange.next()) => heard,
                (preimage, fee) = &mut hinted => {
                    exchange.seal();
                    return PaySaid::Settled { preimage, fee };
                }
            };
            let Ok(heard) = heard else { break };
            if let Some(event) = heard {
                let text = scheme.decrypt(&self.keys, &self.wallet, &event.content);
                match text.and_then(|text| Reply::read(&text)) {
                    Some(reply) if reply.answers(method) => {
                        // Sealed before it is counted, so that no relay can send the bytes once more.
                        let sent_once = exchange.seal() == 1 && fresh && first;
                        let said = messages::pay_said(reply.said, &hash, sent_once);
                        match &said {
                            PaySaid::Refused { code, .. } if code == "UNSUPPORTED_ENCRYPTION" => {
                                self.forget_description().await;
                            }
                            PaySaid::Refused { code, .. }
                                if method == "pay" && ["NOT_IMPLEMENTED", "RESTRICTED"].contains(&code.as_str()) =>
                            {
                                self.plain_only.store(true, Ordering::SeqCst);
                            }
                            _ => {}
                        }
                        return said;
                    }
                    _ => unreadable = true,
                }
            }
            if !refused && exchange.all_refused().is_some() {
                refused = true;
                deadline = deadline.min(Instant::now() + self.grace);
            }
        }
        if exchange.seal() == 0 {
            // The bytes never left, and are sealed, so the next call is still the first to send them.
            held(&self.sent).retain(|sent| *sent != event.id);
            return not_sent("no relay of the wallet could be reached, so that the payment was not sent");
        }
        PaySaid::Unknown { why: self.silence(&exchange, unreadable) }
    }

    /// Why the reply to a payment that was sent did not come.
    fn silence(&self, exchange: &Exchange<'_>, unreadable: bool) -> String {
        let waited = self.reply_timeout.as_secs().max(1);
        if unreadable {
            return "the wallet answered, but its answer could not be read".into();
        }
        if let Some(why) = exchange.all_refused() {
            return format!("the wallet's relay refused to pass the payment on: {}", words::cleaned(why));
        }
        if exchange.any_took() {
            return format!("the relay took the payment, but the wallet stayed silent for {waited} s");
        }
        format!("the payment was sent, but neither the relay nor the wallet answered within {waited} s")
    }

    /// Reads bytes back as a payment request that we signed ourselves, for this wallet.
    fn own_request<'a>(&self, wire: &'a [u8]) -> Option<Own<'a>> {
        let json = std::str::from_utf8(wire).ok()?;
        let event = Event::from_json(json).ok()?;
        let ours = event.kind == REQUEST
            && event.pubkey == self.keys.public_key()
            && event.tags.public_keys().any(|key| key == self.wallet)
            && event.verify().is_ok();
        let scheme = Scheme::of_request(&event)?;
        if !ours {
            return None;
        }
        // Both sides of the encryption share one key, so that we can read what we wrote.
        let text = scheme.decrypt(&self.keys, &self.wallet, &event.content)?;
        let method = METHODS.into_iter().find(|method| messages::asks_for(&text, method))?;
        Some(Own { event, json, scheme, method })
    }

    /// Notes that a payment is about to be sent. `false` when this process has done so before.
    fn first_sending(&self, id: EventId) -> bool {
        let mut sent = held(&self.sent);
        if sent.contains(&id) {
            return false;
        }
        if sent.len() >= REMEMBERED {
            sent.pop_front();
        }
        sent.push_back(id);
        true
    }
}
