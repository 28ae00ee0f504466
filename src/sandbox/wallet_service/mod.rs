//! A NIP-47 wallet service: a real client of the relay at one end, the play network at the other.
//!
//! A request goes `link` (socket) -> `inbox` (is it ours, can we read it) -> `methods` (do it) -> `reply` (sign it).

mod behaviour;
mod book;
mod inbox;
mod link;
mod methods;
mod options;
mod reply;

use std::{
    fmt,
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use nostr::prelude::Keys;
use tokio::sync::{Mutex as Turn, broadcast, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

pub use self::{
    behaviour::{Behaviour, Envelope, FeesSaid, LookupSaid, Money, PreimageSaid, ReplySaid},
    options::{Ciphers, WalletKeys, WalletOptions},
};
use self::{
    book::{Book, Fate},
    options::knows,
};
use super::{SandboxError, lock, node::PlayNode};
use crate::{clock::Clock, secret::Secret};

/// Frames that wait for a relay; a relay that is further behind misses some.
const QUEUE: usize = 1024;

/// A wallet on one or more relays. Dropping it takes it offline and forgets everything it held.
pub struct WalletService {
    service: Arc<Service>,
    relays: Vec<String>,
    _stop: DropGuard,
}

struct Service {
    me: Weak<Service>,
    wallet: Keys,
    client: Keys,
    node: PlayNode,
    clock: Clock,
    options: WalletOptions,
    ciphers: Mutex<Ciphers>,
    /// The time of the info event, unix seconds: each change needs a later one to replace what relays hold.
    info_at: AtomicU64,
    book: Mutex<Book>,
    outbox: broadcast::Sender<String>,
    online: watch::Sender<bool>,
    attached: watch::Sender<usize>,
    turn: Turn<()>,
    stop: CancellationToken,
}

impl WalletService {
    /// Attaches a wallet to its relays and returns when one of them has its info event and its subscription.
    ///
    /// # Errors
    /// [`SandboxError::WalletOffline`] after five seconds.
    pub async fn start(
        relays: &[String],
        node: PlayNode,
        clock: Clock,
        keys: WalletKeys,
        options: WalletOptions,
    ) -> Result<WalletService, SandboxError> {
        let stop = CancellationToken::new();
        let now_s = clock.now_s();
        let service = Arc::new_cyclic(|me| Service {
            me: me.clone(),
            wallet: keys.wallet,
            client: keys.client,
            node,
            clock,
            ciphers: Mutex::new(options.ciphers),
            info_at: AtomicU64::new(now_s),
            book: Mutex::new(Book { quota_msat: options.quota_msat, ..Book::default() }),
            options,
            outbox: broadcast::channel(QUEUE).0,
            online: watch::Sender::new(true),
            attached: watch::Sender::new(0),
            turn: Turn::new(()),
            stop: stop.clone(),
        });
        for relay in relays {
            tokio::spawn(stop.clone().run_until_cancelled_owned(link::stay_attached(service.clone(), relay.clone())));
        }
        let wallet = WalletService { service, relays: relays.to_vec(), _stop: stop.drop_guard() };
        if wallet.until_attached(|n| n > 0).await { Ok(wallet) } else { Err(SandboxError::WalletOffline) }
    }

    async fn until_attached(&self, wanted: impl FnMut(usize) -> bool) -> bool {
        let mut wanted = wanted;
        let mut attached = self.service.attached.subscribe();
        let ready = attached.wait_for(|n| wanted(*n));
        matches!(tokio::time::timeout(Duration::from_secs(5), ready).await, Ok(Ok(_)))
    }

    /// The connection string over all its relays: `nostr+walletconnect://<wallet>?relay=...&secret=...`.
    pub fn nwc_uri(&self) -> Secret {
        self.nwc_uri_over(&self.relays)
    }

    /// The connection string over other relays, such as one that is dead.
    pub fn nwc_uri_over<R: AsRef<str>>(&self, relays: &[R]) -> Secret {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        for relay in relays {
            query.append_pair("relay", relay.as_ref());
        }
        query.append_pair("secret", &self.service.client.secret_key().to_secret_hex());
        Secret::new(format!("nostr+walletconnect://{}?{}", self.pubkey(), query.finish()))
    }

    /// The wallet's public key, 64 hex digits.
    pub fn pubkey(&self) -> String {
        self.service.wallet.public_key().to_hex()
    }

    /// Treats every payment like this from now on, after those that [`WalletService::next`] named.
    pub fn always(&self, behaviour: Behaviour) {
        lock(&self.service.book).always = behaviour;
    }

    /// Treats the next payment (that is not a repeat) like this; several calls queue up.
    pub fn next(&self, behaviour: Behaviour) {
        lock(&self.service.book).next.push_back(behaviour);
    }

    /// Changes what lookups say about a payment it already took on; `false` when it knows none with this hash.
    pub fn set_lookup(&self, hash: &str, lookup: LookupSaid) -> bool {
        let payment = &mut lock(&self.service.book).payments;
        payment.iter_mut().find(|p| p.hash == hash).is_some_and(|p| {
            p.behaviour.lookup = lookup;
            true
        })
    }

    /// Settles a payment that is in flight; `false` when it is not, or when the money could not move.
    pub fn release(&self, hash: &str) -> bool {
        self.service.settle(hash)
    }

    /// Fails a payment that is in flight; `false` when it is not.
    pub fn fail(&self, hash: &str) -> bool {
        lock(&self.service.book).close(hash, Fate::Failed)
    }

    /// The payment hashes that are in flight, in order.
    pub fn in_flight(&self) -> Vec<String> {
        let book = lock(&self.service.book);
        let open = book.payments.iter().filter(|p| matches!(*p.fate.borrow(), Fate::Pending));
        open.map(|p| p.hash.clone()).collect()
    }

    /// Sets what this connection may spend in all, in millisatoshi.
    pub fn set_quota_msat(&self, quota: Option<u64>) {
        lock(&self.service.book).quota_msat = quota;
    }

    /// Changes the encryption it can do, and says so in a new info event.
    pub fn set_ciphers(&self, ciphers: Ciphers) {
        *lock(&self.service.ciphers) = ciphers;
        let later = self.service.info_at.load(Ordering::SeqCst) + 1;
        self.service.info_at.store(later.max(self.service.clock.now_s()), Ordering::SeqCst);
        self.service.announce();
    }

    /// Leaves its relays, as a wallet that is switched off does. Payments in its hands go on; replies are lost.
    pub async fn go_offline(&self) {
        self.service.online.send_replace(false);
        self.until_attached(|n| n == 0).await;
    }

    /// Comes back and takes up whatever its relays kept for it.
    pub async fn go_online(&self) {
        self.service.online.send_replace(true);
        self.until_attached(|n| n > 0).await;
    }

    /// How many requests with this method were answered or left unanswered; events dropped as repeats do not count.
    pub fn seen(&self, method: &str) -> usize {
        lock(&self.service.book).seen.get(method).copied().unwrap_or(0)
    }

    /// The ids of the different `pay_invoice` events that arrived.
    pub fn pay_events(&self) -> Vec<String> {
        lock(&self.service.book).pay_events.iter().cloned().collect()
    }

    /// How many `pay_invoice` events arrived for the invoice with this hash, repeats of the same event included.
    pub fn deliveries(&self, hash: &str) -> usize {
        lock(&self.service.book).deliveries.get(hash).copied().unwrap_or(0)
    }
}

impl Service {
    /// Moves the money of a payment that is in flight and notes how it ended.
    fn settle(&self, hash: &str) -> bool {
        let book = lock(&self.book);
        if !book.payment(hash).is_some_and(|p| matches!(*p.fate.borrow(), Fate::Pending)) {
            return false;
        }
        let (moved, fate) = match self.node.pay(hash) {
            Ok(paid) => (true, Fate::settled(paid)),
            Err(_) => (false, Fate::Failed),
        };
        book.close(hash, fate);
        let sent = book.payment(hash).filter(|_| moved).map(|p| p.transaction(LookupSaid::Truth));
        drop(book);
        if let Some(transaction) = sent.filter(|_| self.options.notifications) {
            self.notify(&transaction);
        }
        moved
    }

    fn allows(&self, method: &str) -> bool {
        knows(method) && self.options.methods.iter().any(|m| m == method)
    }
}

impl fmt::Debug for WalletService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WalletService({})", self.pubkey())
    }
}
