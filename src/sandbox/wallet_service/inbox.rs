//! What arrives: is it for us, is it new, can we read it.

use std::sync::Arc;

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
        {
            let book = &mut *lock(&self.book);
            if !book.handled.insert(event.id) {
                if let Some(hash) = book.hash_of.get(&event.id) {
                    *book.deliveries.entry(hash.clone()).or_default() += 1;
                }
                if self.options.dedupe {
                    return;
                }
            }
        }
        let service = self.clone();
        tokio::spawn(self.stop.clone().run_until_cancelled_owned(async move { service.handle(event).await }));
    }

    async fn handle(&self, event: Event) {
        let Some(request) = self.read(event) else { return };
        *lock(&self.book).seen.entry(request.method.clone()).or_default() += 1;
        let turn = if self.options.serial { Some(self.turn.lock().await) } else { None };
        let answer = self.answer(&request).await;
        drop(turn);
        if let Some(answer) = answer {
            self.reply(&request.event, request.cipher, &answer.text, answer.envelope);
        }
    }

    /// Decrypts by the request's own `encryption` tag; says no in the way of the wallets that exist.
    fn read(&self, event: Event) -> Option<Request> {
        let tag = event.tags.iter().find(|t| t.kind() == "encryption").and_then(|t| t.content());
        let ciphers = *lock(&self.ciphers);
        let cipher = match (tag, ciphers) {
            (Some("nip44_v2"), Ciphers::Both | Ciphers::OnlyNip44) => Some(Nip47Ciphers::NIP44V2),
            (None | Some("nip04"), Ciphers::Both | Ciphers::OnlyNip04) => Some(Nip47Ciphers::NIP04),
            _ => None,
        };
        let text = cipher.and_then(|c| {
            c.decrypt(self.wallet.secret_key(), &self.client.public_key(), &event.content).ok().map(|text| (c, text))
        });
        let Some((cipher, text)) = text else {
            // A wallet from before NIP-44 cannot even say that it does not understand.
            if ciphers != Ciphers::OnlyNip04 {
                let error = json!({"code": "UNSUPPORTED_ENCRYPTION", "message": "this encryption is not supported"});
                let text = json!({"result_type": "", "error": error, "result": null}).to_string();
                self.reply(&event, Nip47Ciphers::NIP44V2, &text, Envelope::Proper);
            }
            return None;
        };
        let mut body: Value = serde_json::from_str(&text).unwrap_or_default();
        let method = body["method"].as_str().unwrap_or_default().to_owned();
        Some(Request { event, cipher, method, params: body["params"].take() })
    }
}
