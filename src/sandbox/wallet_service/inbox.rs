//! What arrives: is it for us, is it new, can we read it.

use std::sync::Arc;

use lightning_invoice::Bolt11Invoice;
use nostr::prelude::{Event, Nip47Ciphers};
use serde_json::{Value, json};

use super::{Ciphers, Service, behaviour::Envelope};
use crate::sandbox::lock;

/// A request that could be read.
pub(super) struct Request {
    pub(super) event: Event,
    pub(super) cipher: Nip47Ciphers,
    pub(super) method: String,
    pub(super) params: Value,
}

impl Service {
    /// Takes an event from a relay and sees to it in a task of its own.
    pub(super) fn take(self: &Arc<Self>, event: Event) {
        // A key that no connection belongs to gets no answer, as at Alby Hub.
        let ours = event.kind.as_u16() == 23194
            && event.pubkey == self.client.public_key()
            && event.tags.public_keys().any(|p| p == self.wallet.public_key())
            && event.verify().is_ok();
        let late = event.tags.expiration().is_some_and(|at| at.as_secs() <= self.clock.now_s());
        if !ours || (late && self.options.honour_expiration) {
            return;
        }
        let repeat = !lock(&self.book).handled.insert(event.id) && self.options.dedupe;
        let service = self.clone();
        match self.read(&event) {
            Some((cipher, text)) => {
                let mut body: Value = serde_json::from_str(&text).unwrap_or_default();
                let method = body["method"].as_str().unwrap_or_default().to_owned();
                let request = Request { event, cipher, method, params: body["params"].take() };
                self.count(&request, repeat);
                if !repeat {
                    let handled = async move { service.handle(request).await };
                    tokio::spawn(self.stop.clone().run_until_cancelled_owned(handled));
                }
            }
            // A wallet from before NIP-44 cannot even say that it does not understand.
            None if repeat || *lock(&self.ciphers) == Ciphers::OnlyNip04 => {}
            None => {
                let error = json!({"code": "UNSUPPORTED_ENCRYPTION", "message": "this encryption is not supported"});
                let text = json!({"result_type": "", "error": error, "result": null}).to_string();
                self.reply(&event, Nip47Ciphers::NIP44V2, &text, Envelope::Proper);
            }
        }
    }

    /// Counts before anything is done, so that a repeat that comes at once is seen as one.
    fn count(&self, request: &Request, repeat: bool) {
        let book = &mut *lock(&self.book);
        if !repeat {
            *book.seen.entry(request.method.clone()).or_default() += 1;
        }
        if ["pay_invoice", "pay"].contains(&request.method.as_str()) {
            book.pay_events.insert(request.event.id.to_hex());
            if let Some(hash) = payment_hash(&request.params) {
                *book.deliveries.entry(hash).or_default() += 1;
            }
        }
    }

    async fn handle(&self, request: Request) {
        let turn = if self.options.serial { Some(self.turn.lock().await) } else { None };
        let answer = self.answer(&request).await;
        drop(turn);
        if let Some(answer) = answer {
            self.reply(&request.event, request.cipher, &answer.text, answer.envelope);
        }
    }

    /// Decrypts by the request's own `encryption` tag. `None` is a cipher this wallet does not have, or not ours to
    /// read.
    fn read(&self, event: &Event) -> Option<(Nip47Ciphers, String)> {
        let tag = event.tags.iter().find(|t| t.kind() == "encryption").and_then(|t| t.content());
        let cipher = match (tag, *lock(&self.ciphers)) {
            (Some("nip44_v2"), Ciphers::Both | Ciphers::OnlyNip44) => Nip47Ciphers::NIP44V2,
            (None | Some("nip04"), Ciphers::Both | Ciphers::OnlyNip04) => Nip47Ciphers::NIP04,
            _ => return None,
        };
        let text = cipher.decrypt(self.wallet.secret_key(), &self.client.public_key(), &event.content).ok()?;
        Some((cipher, text))
    }
}

/// The invoice that a request names, alone or in a payment URI (BIP-321).
pub(super) fn invoice(params: &Value) -> Option<&str> {
    let in_uri = || {
        let (_, query) = params["payment"].as_str()?.strip_prefix("bitcoin:")?.split_once('?')?;
        query.split('&').find_map(|pair| pair.strip_prefix("lightning="))
    };
    params["invoice"].as_str().or_else(in_uri)
}

/// The payment hash of what a request names, by itself or through an invoice.
pub(super) fn payment_hash(params: &Value) -> Option<String> {
    if let Some(hash) = params["payment_hash"].as_str() {
        return Some(hash.to_owned());
    }
    let invoice: Bolt11Invoice = invoice(params)?.parse().ok()?;
    Some(invoice.payment_hash().to_string())
}
