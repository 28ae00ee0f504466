//! Nostr Wallet Connect (NIP-47): the user's own wallet, reached through relays that nobody needs to trust.
//!
//! A relay may hold back, repeat, forge and reorder; it can read nothing and can prove nothing. Whatever is not signed
//! by the wallet, in answer to this very request, readable and of the right type is passed over, and waiting goes on.
//! The wallet itself may err, so only a preimage that hashes counts as paid.
//!
//! `uri` reads the connection string; `dial` reaches a relay; `frame` is what goes over it; `relay` keeps one
//! connection; `exchange` asks all relays at once; `cipher` chooses the encryption; `messages` says what a reply proves;
//! `reading`, `payment` and `hints` are the ways to use it all. `connect` makes a new connection, whose key is made
//! here; `probe` says whether a relay can be reached.

mod cipher;
mod connect;
mod dial;
mod exchange;
mod frame;
mod hints;
mod messages;
mod payment;
mod probe;
mod reading;
mod receiving;
mod relay;
mod uri;
mod words;

use std::{
    collections::VecDeque,
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use nostr::{
    event::{Event, EventBuilder, EventId, FinalizeEvent, Kind, Tag},
    key::{Keys, PublicKey},
    types::Timestamp,
};

use self::{
    cipher::Info,
    exchange::{Publish, Relays},
    frame::{Frame, Wanted},
    reading::BackOff,
    relay::Parties,
};
pub use self::{
    cipher::Scheme,
    connect::{Allowance, Answer, BadAnswer, Found, Invitation},
    dial::{Dial, Wire},
    probe::{Reached, reach},
    uri::{BadUri, NwcUri},
};
use super::{Bill, Boxed, LookSaid, PaySaid, Prepared, ReceivedSaid, Wallet, WalletError, WalletInfo};
use crate::{
    clock::Clock,
    ledger::{Committed, Intent},
    money::{Amount, Currency},
    protocol::Rail,
    secret::Secret,
};

/// The kind of a request to the wallet.
const REQUEST: Kind = Kind::Custom(23194);

/// The kind of the wallet's reply.
const REPLY: Kind = Kind::Custom(23195);

/// How long a wallet may take a request for current, in seconds. Not all wallets heed it.
const EXPIRES_AFTER: u64 = 60;

/// How long the same bytes may be sent again, in seconds: less than until they expire.
const RESEND_FOR: u64 = 50;

/// How far the time stamp of an event may run ahead of the clock, in seconds, to differ from the one before.
const STAMP_AHEAD: u64 = 10;

/// The least that is held for fees, in millisatoshi. Alby Hub reserves as much on its side.
pub(crate) const LEAST_FEE_CAP_MSAT: u64 = 10_000;

/// How the wallet is waited for and reached.
#[derive(Clone)]
pub struct NwcOptions {
    /// How long a payment's reply is waited for.
    pub reply_timeout: Duration,
    /// How long anything else is waited for, connecting included.
    pub read_timeout: Duration,
    /// The clock that stamps events.
    pub clock: Clock,
    /// How relays are reached.
    pub dial: Arc<dyn Dial>,
    /// The best encryption that this wallet was ever seen to offer, from [`NwcWallet::floor`] of an earlier run.
    pub floor: Option<Scheme>,
    /// The link's own times.
    pub pace: Pace,
}

impl Default for NwcOptions {
    /// 60 s for a payment, 10 s for all else, the machine's clock, the guarded dialer, nothing remembered.
    fn default() -> NwcOptions {
        NwcOptions {
            reply_timeout: Duration::from_secs(60),
            read_timeout: Duration::from_secs(10),
            clock: Clock::system(),
            dial: Arc::new(super::dial::Guarded::new(crate::http::Settings::default())),
            floor: None,
            pace: Pace::default(),
        }
    }
}

/// The times of a link to a relay.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// After how long a silence a relay is asked for a sign of life, while somebody waits.
    pub ping_every: Duration,
    /// How long a sign of life, or a write, may take before the connection is taken for dead.
    pub answer_within: Duration,
    /// How long connecting may take, TLS and WebSocket included.
    pub connect_within: Duration,
    /// The first wait before connecting again; it doubles each time.
    pub retry_from: Duration,
    /// The longest such wait.
    pub retry_to: Duration,
    /// How long a reply is still waited for when every relay has refused the request, and how long other relays are
    /// waited for when the first says that the wallet has only the weaker encryption.
    pub grace: Duration,
}

impl Default for Pace {
    fn default() -> Pace {
        Pace {
            ping_every: Duration::from_secs(20),
            answer_within: Duration::from_secs(10),
            connect_within: Duration::from_secs(10),
            retry_from: Duration::from_millis(250),
            retry_to: Duration::from_secs(10),
            grace: Duration::from_secs(1),
        }
    }
}

fn fingerprint(wallet: &PublicKey, client: &PublicKey) -> String {
    let both = [wallet.to_bytes(), client.to_bytes()].concat();
    format!("nwc:{}", data_encoding::HEXLOWER.encode(&crate::sha256(&both)[..8]))
}

/// A wallet reached through Nostr Wallet Connect. Nothing connects before the first call.
///
/// Its methods must be called within a tokio runtime; any flavour will do.
pub struct NwcWallet {
    wallet: PublicKey,
    keys: Keys,
    relays: Relays,
    reply_timeout: Duration,
    read_timeout: Duration,
    grace: Duration,
    clock: Clock,
    /// The stamp of the last event: the next one is later, since some wallets drop the second of one second.
    stamped: AtomicU64,
    /// The best encryption ever seen.
    floor: Mutex<Option<Scheme>>,
    /// What the wallet's signed description says. Held while it is fetched, so that it is fetched once.
    described: tokio::sync::Mutex<Option<Arc<Info>>>,
    /// What this connection may do, once `get_info` has told.
    rights: Mutex<Vec<String>>,
    /// The payments whose bytes this process has begun to send.
    sent: Mutex<VecDeque<EventId>>,
    /// Payments go one after the other: some wallets serve one at a time and drop what comes meanwhile.
    turn: tokio::sync::Mutex<()>,
    /// When reading may go on after the wallet asked to slow down.
    back_off: Mutex<BackOff>,
    /// The notifications that were heeded: each is a hint once.
    hints: Mutex<VecDeque<EventId>>,
    /// Whether the wallet said that this connection may not use the `pay` that it advertises.
    plain_only: AtomicBool,
}

impl NwcWallet {
    /// Makes a wallet of a connection string. Does not connect.
    ///
    /// # Errors
    /// [`WalletError::Setup`] with a sentence that quotes nothing of the string.
    pub fn new(uri: &Secret, options: NwcOptions) -> Result<NwcWallet, WalletError> {
        let uri = NwcUri::parse(uri).map_err(|bad| WalletError::Setup(bad.to_string()))?;
        let parties = Parties { us: uri.keys().clone(), wallet: Some(uri.wallet()) };
        Ok(NwcWallet {
            wallet: uri.wallet(),
            keys: uri.keys().clone(),
            relays: Relays::new(uri.relays(), &parties, &options.dial, &options.clock, options.pace),
            reply_timeout: options.reply_timeout,
            read_timeout: options.read_timeout,
            grace: options.pace.grace,
            clock: options.clock,
            stamped: AtomicU64::new(0),
            floor: Mutex::new(options.floor),
            described: tokio::sync::Mutex::default(),
            rights: Mutex::default(),
            sent: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
            back_off: Mutex::default(),
            hints: Mutex::default(),
            plain_only: AtomicBool::new(false),
        })
    }

    /// The fingerprint of a connection string: of both public keys, since some services share one among all users.
    ///
    /// # Errors
    /// As [`NwcWallet::new`].
    pub fn id_of(uri: &Secret) -> Result<String, WalletError> {
        let uri = NwcUri::parse(uri).map_err(|bad| WalletError::Setup(bad.to_string()))?;
        Ok(fingerprint(&uri.wallet(), &uri.keys().public_key()))
    }

    /// The best encryption that this wallet was ever seen to offer; nothing is sent below it. Worth remembering
    /// between runs (see [`NwcOptions::floor`]).
    pub fn floor(&self) -> Option<Scheme> {
        *held(&self.floor)
    }

    /// A signed request event. `now` is the clock's time in unix seconds.
    fn signed(&self, scheme: Scheme, text: &str, now: u64) -> Result<Event, WalletError> {
        let unusable = |what: &str| WalletError::Setup(format!("the request to the wallet could not be {what}"));
        let content = scheme.encrypt(&self.keys, &self.wallet, text).ok_or_else(|| unusable("encrypted"))?;
        let tags = [
            Some(Tag::public_key(self.wallet)),
            (scheme > Scheme::Nip04).then(|| Tag::custom("encryption", [scheme.name()])),
            Some(Tag::expiration(Timestamp::from_secs(now + EXPIRES_AFTER))),
        ];
        EventBuilder::new(REQUEST, content)
            .tags(tags.into_iter().flatten())
            .custom_created_at(Timestamp::from_secs(self.stamp(now)))
            .finalize(&self.keys)
            .map_err(|_| unusable("signed"))
    }

    /// A time stamp later than all before it, as far as relays accept one from the future.
    fn stamp(&self, now: u64) -> u64 {
        let next = |last: u64| now.max((last + 1).min(now + STAMP_AHEAD));
        let before = self.stamped.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |last| Some(next(last)));
        next(before.unwrap_or_else(|last| last))
    }

    /// What an exchange about a request publishes and waits for.
    fn posting(&self, id: EventId, json: &str, until: u64) -> (Wanted, Publish) {
        let wanted = Wanted { author: Some(self.wallet), kind: REPLY, answers: Some(id), reader: None, stored: None };
        (wanted, Publish { id: id.to_hex(), frame: Frame::publish(json), until })
    }
}

impl fmt::Debug for NwcWallet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NwcWallet([secret])")
    }
}

/// The content of a lock that is only ever held for a moment, and in no state that a panic could break.
fn held<T>(lock: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The payment hash that an intent's rail key names.
fn payment_hash(intent: &Intent) -> Option<[u8; 32]> {
    let hex = intent.rail_key.strip_prefix("ln:")?;
    data_encoding::HEXLOWER.decode(hex.as_bytes()).ok()?.try_into().ok()
}

impl Wallet for NwcWallet {
    fn kind(&self) -> &'static str {
        "nwc"
    }

    fn id(&self) -> String {
        fingerprint(&self.wallet, &self.keys.public_key())
    }

    fn remember(&self) -> String {
        self.floor().map(|scheme| scheme.name().to_owned()).unwrap_or_default()
    }

    fn pays(&self, rail: Rail, _: &str) -> bool {
        rail == Rail::LIGHTNING
    }

    /// One percent of the price, rounded up, and at least 10 sat. Few wallets can be told; see [`Bill`].
    fn fee_cap(&self, price: Amount) -> Amount {
        if price.currency() != Currency::Sat {
            return Amount::zero(price.currency());
        }
        let msat = price.atomic().div_ceil(100).max(LEAST_FEE_CAP_MSAT);
        Amount::msat(msat).unwrap_or(price)
    }

    fn info(&self) -> Boxed<'_, Result<WalletInfo, WalletError>> {
        Box::pin(self.read_info())
    }

    fn prepare<'a>(&'a self, bill: &'a Bill) -> Boxed<'a, Result<Prepared, WalletError>> {
        Box::pin(self.sign_payment(bill))
    }

    fn pay<'a>(&'a self, intent: &'a Committed<Intent>) -> Boxed<'a, PaySaid> {
        Box::pin(self.pay_intent(intent, intent.fresh()))
    }

    fn look_up<'a>(&'a self, intent: &'a Committed<Intent>) -> Boxed<'a, LookSaid> {
        Box::pin(self.look_up_intent(intent))
    }

    fn hint<'a>(&'a self, intent: &'a Committed<Intent>) -> Boxed<'a, ()> {
        Box::pin(self.hint_of(intent))
    }

    fn blank_invoice<'a>(&'a self, memo: &'a str, life_s: u64) -> Boxed<'a, Result<String, WalletError>> {
        Box::pin(self.make_blank_invoice(memo, life_s))
    }

    fn received<'a>(&'a self, payment_hash: &'a str) -> Boxed<'a, ReceivedSaid> {
        Box::pin(self.ask_received(payment_hash))
    }

    fn cannot_receive(&self, info: &WalletInfo) -> Option<String> {
        // A wallet that does not say what it allows may allow it.
        let barred = !info.methods.is_empty() && !info.methods.iter().any(|method| method == receiving::MAKE);
        barred.then(|| receiving::CANNOT_RECEIVE.to_owned())
    }
}
