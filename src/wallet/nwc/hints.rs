//! What the wallet says of its own accord: that it sent a payment. A hint to look, never a proof.

use nostr::event::Kind;
use tokio::time::{Duration, Instant, timeout_at};

use super::{NwcWallet, cipher::Scheme, exchange::Exchange, frame::Wanted, held, messages, payment_hash};
use crate::{ledger::Intent, money::Amount, secret::Secret, wallet::LookSaid};

/// How many stored notifications are of interest: one may have come just before we asked.
const STORED: usize = 4;

/// How many notifications are remembered as heeded.
const REMEMBERED: usize = 256;

/// The kind of a notification, by its encryption.
fn kind(scheme: Scheme) -> Kind {
    match scheme {
        Scheme::Nip04 => Kind::Custom(23196),
        Scheme::Nip44 => Kind::Custom(23197),
    }
}

/// Waits for hints about one payment. Subscribed from its making on.
struct Hints<'a> {
    wallet: &'a NwcWallet,
    scheme: Scheme,
    hash: String,
    exchange: Exchange<'a>,
}

impl Hints<'_> {
    /// The next one that was not heeded before.
    async fn next(&mut self) {
        loop {
            let Some(event) = self.exchange.next().await else { continue };
            let text = self.scheme.decrypt(&self.wallet.keys, &self.wallet.wallet, &event.content);
            if text.and_then(|text| messages::sent_hash(&text)).is_none_or(|hash| hash != self.hash) {
                continue;
            }
            let mut heeded = held(&self.wallet.hints);
            if heeded.contains(&event.id) {
                continue;
            }
            if heeded.len() >= REMEMBERED {
                heeded.pop_front();
            }
            heeded.push_back(event.id);
            return;
        }
    }
}

impl NwcWallet {
    /// Subscribes for hints about a payment, on the connections that are there anyway. `None` where the wallet gives none.
    fn hints(&self, described: &super::cipher::Info, scheme: Scheme, hash: &[u8; 32]) -> Option<Hints<'_>> {
        if !described.tells_of_payments() {
            return None;
        }
        let wanted = Wanted {
            author: Some(self.wallet),
            kind: kind(scheme),
            answers: None,
            reader: Some(self.keys.public_key()),
            stored: Some(STORED),
        };
        let exchange = self.relays.open(wanted, None)?;
        Some(Hints { wallet: self, scheme, hash: data_encoding::HEXLOWER.encode(hash), exchange })
    }

    /// Looks a payment up whenever the wallet hints at it, until it is proved. Never ends where there are no hints.
    pub(super) async fn look_when_hinted(&self, intent: &Intent, hash: &[u8; 32]) -> (Secret, Option<Amount>) {
        // What is known already is enough: a payment does not wait for a description.
        let known = self.described.try_lock().ok().and_then(|known| known.clone());
        let hints = known.as_ref().and_then(|info| self.hints(info, info.scheme?, hash));
        let Some(mut hints) = hints else { return std::future::pending().await };
        loop {
            hints.next().await;
            tracing::debug!("the wallet hints at a payment");
            if let LookSaid::Settled { preimage: Some(preimage), fee } = self.look_up_intent(intent).await {
                return (preimage, fee);
            }
        }
    }

    /// Waits for a hint about a payment. For tests: [`Wallet::hint`](crate::wallet::Wallet::hint) without the ledger's
    /// word.
    #[doc(hidden)]
    pub async fn hint_of(&self, intent: &Intent) {
        let within = Instant::now() + self.read_timeout.max(Duration::from_secs(1));
        let described = timeout_at(within, self.described(within)).await;
        let hints = match (described, payment_hash(intent)) {
            (Ok(Ok((described, scheme))), Some(hash)) => self.hints(&described, scheme, &hash),
            _ => None,
        };
        match hints {
            Some(mut hints) => hints.next().await,
            None => std::future::pending().await,
        }
    }
}
