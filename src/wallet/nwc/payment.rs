//! Paying: the bytes are signed once, before the ledger's commit, and only ever sent as they are.

use nostr::event::{Event, EventId};
use serde_json::json;
use tokio::time::{Instant, timeout_at};

use super::{
    NwcWallet, REQUEST, RESEND_FOR,
    cipher::Scheme,
    exchange::Exchange,
    held,
    messages::{self, Reply},
    payment_hash, words,
};
use crate::{
    ledger::Intent,
    wallet::{Bill, PaySaid, Prepared, WalletError},
};

/// How many payments are remembered as sent. They go one after the other and may be sent for less than a minute, so
/// that one forgotten can no longer be sent.
const REMEMBERED: usize = 1024;

fn unknown(why: impl Into<String>) -> PaySaid {
    PaySaid::Unknown { why: why.into() }
}

impl NwcWallet {
    /// Signs the request that would pay a bill. Moves nothing.
    pub(super) async fn sign_payment(&self, bill: &Bill) -> Result<Prepared, WalletError> {
        let Bill::Bolt11 { invoice, .. } = bill;
        let (described, scheme) = self.described(Instant::now() + self.read_timeout).await?;
        if !self.may(&described, "pay_invoice") {
            let only = "this connection to the wallet may only read; make one in the wallet that may pay";
            return Err(WalletError::Setup(only.into()));
        }
        let now = self.clock.now_s();
        let text = messages::request("pay_invoice", &json!({ "invoice": invoice }));
        let event = self.signed(scheme, &text, now)?;
        let wire = event.try_as_json().map_err(|_| WalletError::Setup("the payment could not be written".into()))?;
        Ok(Prepared { wire: wire.into_bytes(), resend_until: now + RESEND_FOR })
    }

    /// Sends an intent's bytes and waits for the wallet's word. For tests: [`Wallet::pay`](crate::wallet::Wallet::pay)
    /// without the ledger's word, which is to say whether the bytes are `fresh`.
    #[doc(hidden)]
    pub async fn pay_intent(&self, intent: &Intent, fresh: bool) -> PaySaid {
        let Some(hash) = payment_hash(intent) else {
            return unknown("the payment has no payment hash, so that it was not sent");
        };
        let Some((event, json, scheme)) = self.own_request(&intent.wire) else {
            return unknown(
                "the bytes to send are not a payment request of this wallet connection: they were not sent",
            );
        };
        let Ok(_turn) = timeout_at(Instant::now() + self.reply_timeout, self.turn.lock()).await else {
            return unknown("the wallet was still busy with another payment, so that this one was not sent");
        };
        if self.clock.now_s() >= intent.resend_until {
            return unknown("the time to send these bytes is over; the payment is only looked up");
        }
        let first = self.first_sending(event.id);
        let (wanted, publish) = self.posting(event.id, json, intent.resend_until);
        let Some(mut exchange) = self.relays.open(wanted, Some(publish)) else {
            return unknown("too many requests to the wallet are under way, so that the payment was not sent");
        };
        let mut deadline = Instant::now() + self.reply_timeout;
        let (mut unreadable, mut refused) = (false, false);
        while let Ok(heard) = timeout_at(deadline, exchange.next()).await {
            if let Some(event) = heard {
                let text = scheme.decrypt(&self.keys, &self.wallet, &event.content);
                match text.and_then(|text| Reply::read(&text)) {
                    Some(reply) if reply.answers("pay_invoice") => {
                        // Sealed before it is counted, so that no relay can send the bytes once more.
                        let sent_once = exchange.seal() == 1 && fresh && first;
                        let said = messages::pay_said(reply.said, &hash, sent_once);
                        if matches!(&said, PaySaid::Refused { code, .. } if code == "UNSUPPORTED_ENCRYPTION") {
                            self.forget_description().await;
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
            // The bytes never left, so the next call is still the first to send them.
            held(&self.sent).retain(|sent| *sent != event.id);
        }
        unknown(self.silence(&exchange, unreadable))
    }

    /// Why a payment's reply did not come.
    fn silence(&self, exchange: &Exchange<'_>, unreadable: bool) -> String {
        let waited = self.reply_timeout.as_secs().max(1);
        if exchange.seal() == 0 {
            return "no relay of the wallet could be reached, so that the payment was not sent".into();
        }
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

    /// Reads bytes back as a request that we signed ourselves, for this wallet.
    fn own_request<'a>(&self, wire: &'a [u8]) -> Option<(Event, &'a str, Scheme)> {
        let json = std::str::from_utf8(wire).ok()?;
        let event = Event::from_json(json).ok()?;
        let ours = event.kind == REQUEST
            && event.pubkey == self.keys.public_key()
            && event.tags.public_keys().any(|key| key == self.wallet)
            && event.verify().is_ok();
        let scheme = Scheme::of_request(&event)?;
        ours.then_some((event, json, scheme))
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
