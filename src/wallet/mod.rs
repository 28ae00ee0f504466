//! What can pay on a rail and later say whether it did.
//!
//! A wallet knows nothing of HTTP or 402. It gets a [`Bill`], makes the exact bytes that it would send ([`Prepared`]),
//! and sends them only when the ledger hands them back as a [`Committed`] intent. A new wallet is one file here.

mod dial;
pub mod evm;
pub mod nwc;

use std::{future::Future, pin::Pin, sync::Arc};

use serde::Serialize;

use crate::{
    clock::Clock,
    config::Config,
    evm::{eip3009::Transfer, permit2::Taking, tempo},
    http,
    ledger::{Committed, Intent},
    money::Amount,
    protocol::{Rail, World},
    secret::Secret,
};

/// A boxed future, so that wallets can be chosen at run time.
pub type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What is to be paid, in the rail's own terms.
#[derive(Clone, Debug)]
pub enum Bill {
    /// A Lightning invoice. Everything but the text was read from it.
    Bolt11 {
        /// The invoice, as the seller wrote it.
        invoice: String,
        /// Its payment hash, 64 lower-case hex digits.
        payment_hash: String,
        /// Its own amount.
        amount: Amount,
        /// When it expires, unix seconds.
        expires_at: u64,
        /// The most that paying it may cost on top: what is held for that. A wallet that knows how is told.
        fee_cap: Amount,
    },
    /// A transfer that the payer only signs, and that the seller carries to the chain (EIP-3009).
    Eip3009 {
        /// What is transferred, and to whom.
        transfer: Transfer,
        /// From when on the signature is void, unix seconds.
        valid_before: u64,
        /// What makes this payment the only one of its kind: the nonce is derived from it and from the key, so that a
        /// ledger that was lost cannot lead to a second payment of the same purchase.
        seed: Vec<u8>,
    },
    /// Something to sign for Tempo, which the seller carries to the chain.
    Tempo {
        /// What is signed.
        ask: tempo::Ask,
        /// From when on the signature is void, unix seconds: at most [`tempo::LONGEST_LIFE_S`] ahead.
        valid_before: u64,
    },
    /// A transfer that the payer only signs, and that the seller has taken by the contract Permit2.
    Permit2 {
        /// What is transferred, and to whom; the most of it where less may be taken.
        transfer: Transfer,
        /// How it may be taken.
        taking: Taking,
        /// After when the signature is void, unix seconds.
        deadline: u64,
        /// What the nonce is derived from, as for EIP-3009.
        seed: Vec<u8>,
    },
}

impl Bill {
    /// The same bill, so that nothing that is signed for it outlives `end`, unix seconds.
    pub fn within(mut self, end: u64) -> Bill {
        if let Bill::Eip3009 { valid_before: until, .. }
        | Bill::Tempo { valid_before: until, .. }
        | Bill::Permit2 { deadline: until, .. } = &mut self
        {
            *until = end.min(*until);
        }
        self
    }

    /// Until when money may leave once it is being paid, unix seconds. What is signed only after a person said yes may be
    /// signed until `approved_by`, and lives a while from then.
    pub fn liability_until(&self, approved_by: Option<u64>) -> u64 {
        match self {
            Bill::Bolt11 { expires_at, .. } => *expires_at,
            Bill::Eip3009 { valid_before: until, .. }
            | Bill::Tempo { valid_before: until, .. }
            | Bill::Permit2 { deadline: until, .. } => approved_by.unwrap_or(*until),
        }
    }
}

/// The exact bytes a wallet would send to pay a bill. Making them moves nothing.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// What goes over the wire (for NWC the signed event's JSON; for what is only signed, the JSON of
    /// [`eip3009::Signed`](crate::evm::eip3009::Signed), [`permit2::Signed`](crate::evm::permit2::Signed) or
    /// [`tempo::Signed`]).
    pub wire: Vec<u8>,
    /// Until when the same bytes may be sent again, unix seconds; after that they are only looked up.
    pub resend_until: u64,
}

/// What a wallet said to a payment.
#[derive(Clone, Debug)]
pub enum PaySaid {
    /// It settled: the preimage, as 64 lower-case hex digits whose SHA-256 **was checked** against the payment hash.
    Settled {
        /// The proof.
        preimage: Secret,
        /// The fee, where the wallet tells it.
        fee: Option<Amount>,
    },
    /// An authentic reply with an error code. Whether that is a "no" is for the purchase engine to decide.
    Refused {
        /// The wallet's code, upper case, such as `INSUFFICIENT_BALANCE`.
        code: String,
        /// The wallet's own words: untrusted, bounded, cleaned, without secrets.
        message: String,
        /// Whether these bytes were sent exactly once, by this call, over one connection.
        sent_once: bool,
    },
    /// None of the bytes left in this call, and none handed over in it can leave any more.
    NotSent {
        /// One sentence for people.
        why: String,
    },
    /// Nothing that can be relied on: no reply in time, an unreadable one, a preimage that does not hash.
    Unknown {
        /// One sentence for people.
        why: String,
    },
}

/// What a wallet said when asked about a payment.
#[derive(Clone, Debug)]
pub enum LookSaid {
    /// It settled. The preimage was checked against the hash; `None` when the wallet gave none that fits.
    Settled {
        /// The proof, checked.
        preimage: Option<Secret>,
        /// The fee, where the wallet tells it.
        fee: Option<Amount>,
    },
    /// The chain says that what was signed has been used: the money left.
    OnChain {
        /// The transaction, where it could be found.
        transaction: Option<String>,
        /// What was taken, in the token's own units, where less than what was signed may be taken and that could be seen.
        taken: Option<u64>,
    },
    /// The chain says that what was signed has not been used and can never be any more.
    Void,
    /// On its way.
    Pending,
    /// The wallet says that it failed or expired.
    Failed,
    /// The wallet knows no such payment.
    NotFound,
    /// No usable answer: offline, not allowed to look up, unreadable.
    CannotTell {
        /// One sentence for people.
        why: String,
    },
}

/// What a wallet said when asked whether an invoice of its own was paid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReceivedSaid {
    /// So much came.
    Came(Amount),
    /// Nothing came so far.
    NotYet,
    /// It has ended, and nothing came.
    Never,
    /// No usable answer.
    CannotTell {
        /// One sentence for people.
        why: String,
    },
}

/// What a wallet says of itself.
#[derive(Clone, Debug)]
pub struct WalletInfo {
    /// The balance it reports, where it may.
    pub balance: Option<Amount>,
    /// Real or play money.
    pub world: World,
    /// The network's own name, where it tells one.
    pub network: Option<String>,
    /// The wallet's own name, cleaned and bounded; untrusted.
    pub alias: Option<String>,
    /// What it lets us do: `pay_invoice`, `lookup_invoice`, ...
    pub methods: Vec<String>,
    /// The budget that the wallet itself keeps for this connection, where it has one and tells it.
    pub budget: Option<WalletBudget>,
    /// Where its money lies, where it lies in several places; empty for a wallet that has but one balance.
    pub places: Vec<Place>,
}

/// One place where a wallet's money lies: a chain, and one currency on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Place {
    /// The network in CAIP-2, such as `eip155:8453`.
    pub network: String,
    /// Its usual name, such as `base`.
    pub name: String,
    /// What is there; `None` where nobody could tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub balance: Option<Amount>,
    /// What a person should know about it, in our own words; it holds no secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remark: Option<String>,
}

/// A budget that the wallet itself keeps. It is not a balance: the wallet may hold less.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WalletBudget {
    /// Spent in this period, as the wallet counts it; `None` where it does not tell.
    pub used: Option<Amount>,
    /// The limit of a period; zero is a limit of zero.
    pub total: Amount,
    /// When the next period begins, unix seconds.
    pub renews_at_s: Option<u64>,
    /// `daily`, `weekly`, `monthly`, `yearly` or `never`; untrusted, cleaned.
    pub period: String,
}

impl WalletBudget {
    /// What is left in this period, where it is known what was spent.
    pub fn left(&self) -> Option<Amount> {
        Some(self.total.minus(self.used?).unwrap_or(Amount::zero(self.total.currency())))
    }
}

/// Why a wallet could not do something that moves no money.
#[derive(Clone, Debug, thiserror::Error)]
pub enum WalletError {
    /// None is configured.
    #[error("no wallet is set up")]
    None,
    /// What is configured cannot be used; the sentence says how to mend it and never quotes a secret.
    #[error("{0}")]
    Setup(String),
    /// It did not answer, or not sensibly. Nothing was paid.
    #[error("{0}")]
    Unreachable(String),
    /// It answered with an error code. Nothing was paid.
    #[error("the wallet answered {code}: {message}")]
    Said {
        /// The wallet's code.
        code: String,
        /// The wallet's words, cleaned.
        message: String,
    },
}

/// A wallet. Only [`Wallet::pay`] moves money.
pub trait Wallet: Send + Sync {
    /// The kind, such as `nwc`; stored with each intent.
    fn kind(&self) -> &'static str;

    /// A public fingerprint that stays the same as long as it is the same wallet, such as `nwc:<16 hex digits>`.
    fn id(&self) -> String;

    /// What is worth remembering about it between runs, as the ledger keeps it; for NWC the best encryption it was ever
    /// seen to speak. Empty when there is nothing.
    fn remember(&self) -> String;

    /// Whether it pays on this rail and network.
    fn pays(&self, rail: Rail, network: &str) -> bool;

    /// What makes paying `bill` unique on its rail, where only the wallet can tell: for a signed transfer, the nonce that
    /// will be signed.
    fn rail_key(&self, bill: &Bill) -> Option<String> {
        let _ = bill;
        None
    }

    /// Whether it can find out for certain, on this network, that what it signed was not used and cannot be any more.
    fn proves(&self, network: &str) -> bool {
        let _ = network;
        false
    }

    /// The balance that is there for offers on this network, where it can be told in a moment. `None` when not.
    fn balance_on<'a>(&'a self, network: &'a str) -> Boxed<'a, Option<Amount>> {
        let _ = network;
        Box::pin(std::future::ready(None))
    }

    /// Why it could not pay so much of an asset on this rail and network, apart from its balance: a stable word, and a
    /// sentence that says what a person may do. `None` where nothing is known against it.
    fn objection<'a>(
        &'a self,
        rail: Rail,
        network: &'a str,
        asset: &'a str,
        price: Amount,
    ) -> Boxed<'a, Option<(&'static str, String)>> {
        let _ = (rail, network, asset, price);
        Box::pin(std::future::ready(None))
    }

    /// The most that paying may cost on top of the price; held in every budget.
    fn fee_cap(&self, price: Amount) -> Amount;

    /// What it says of itself: world, balance, rights. The first call may connect.
    fn info(&self) -> Boxed<'_, Result<WalletInfo, WalletError>>;

    /// Makes the exact bytes that would pay `bill`. Moves nothing; may connect to learn how to encrypt.
    fn prepare<'a>(&'a self, bill: &'a Bill) -> Boxed<'a, Result<Prepared, WalletError>>;

    /// Sends a committed intent's bytes, as they are, and waits for the wallet's word for as long as it makes sense.
    /// Never signs. Calling it again sends the same bytes.
    fn pay<'a>(&'a self, intent: &'a Committed<Intent>) -> Boxed<'a, PaySaid>;

    /// Asks what became of a committed intent. Moves nothing.
    fn look_up<'a>(&'a self, intent: &'a Committed<Intent>) -> Boxed<'a, LookSaid>;

    /// Makes an invoice without an amount, paid to this wallet, that lives so many seconds: where the rest of a deposit
    /// comes back to. Moves nothing.
    ///
    /// # Errors
    /// It cannot, or may not.
    fn blank_invoice<'a>(&'a self, memo: &'a str, life_s: u64) -> Boxed<'a, Result<String, WalletError>> {
        let _ = (memo, life_s);
        let no = WalletError::Setup("this wallet makes no invoices".into());
        Box::pin(std::future::ready(Err(no)))
    }

    /// Asks whether an invoice of its own was paid, by its payment hash of 64 lower-case hex digits. Moves nothing.
    fn received<'a>(&'a self, payment_hash: &'a str) -> Boxed<'a, ReceivedSaid> {
        let _ = payment_hash;
        Box::pin(std::future::ready(ReceivedSaid::CannotTell { why: "this wallet makes no invoices".into() }))
    }

    /// Why nothing could come back to it, as far as it says; `info` is what it said of itself.
    fn cannot_receive(&self, info: &WalletInfo) -> Option<String> {
        let _ = info;
        Some("this wallet makes no invoices, so that what is left of a deposit could not come back".into())
    }

    /// Ends when the wallet hints that there is news of a committed intent, which is then worth a look-up at once and
    /// proves nothing. May never end. Moves nothing.
    fn hint<'a>(&'a self, intent: &'a Committed<Intent>) -> Boxed<'a, ()> {
        let _ = intent;
        Box::pin(std::future::pending())
    }
}

/// How the relays that the operator named are reached.
pub fn dialer(config: &Config) -> Arc<dyn nwc::Dial> {
    Arc::new(dial::Guarded::new(config.http.clone()))
}

/// A wallet that was made, or why what is set up cannot be used, with its kind.
pub type Made = (&'static str, Result<Arc<dyn Wallet>, WalletError>);

/// Makes the wallets that the operator set up, each with its kind, or why it cannot be used. Connects to nothing.
/// `remembered` is what [`Wallet::remember`] said of the wallet with that id in an earlier run. It may take a second: see
/// [`evm_from_config`].
pub fn from_config(config: &Config, clock: &Clock, remembered: impl Fn(&str) -> Option<String>) -> Vec<Made> {
    let mut made: Vec<Made> = Vec::new();
    if let Some(uri) = &config.nwc {
        made.push(("nwc", nwc_from_config(config, uri, clock, remembered)));
    }
    if let Some(wallet) = evm_from_config(config, clock.clone(), http::Client::new(config.http.clone())) {
        made.push(("evm", wallet));
    }
    made
}

/// Makes the NWC wallet of a connection string. Connects to nothing. `remembered` as in [`from_config`].
///
/// # Errors
/// [`WalletError::Setup`] where the string cannot be used.
pub fn nwc_from_config(
    config: &Config,
    uri: &Secret,
    clock: &Clock,
    remembered: impl Fn(&str) -> Option<String>,
) -> Result<Arc<dyn Wallet>, WalletError> {
    let options = |floor| nwc::NwcOptions {
        reply_timeout: config.waits.wallet,
        read_timeout: config.waits.wallet.min(nwc::NwcOptions::default().read_timeout),
        clock: clock.clone(),
        dial: dialer(config),
        floor,
        ..nwc::NwcOptions::default()
    };
    let id = nwc::NwcWallet::id_of(uri)?;
    let floor = remembered(&id).and_then(|name| nwc::Scheme::from_name(&name));
    Ok(Arc::new(nwc::NwcWallet::new(uri, options(floor))?))
}

/// Makes the wallet for stablecoins, or `None` where there is no key. Connects to nothing; a keystore is decrypted here,
/// which takes a second and up to 256 MB: best in a thread where that is no harm.
///
/// # Errors
/// [`WalletError::Setup`] with a sentence that quotes nothing of the key.
pub fn evm_from_config(
    config: &Config,
    clock: Clock,
    client: http::Client,
) -> Option<Result<Arc<dyn Wallet>, WalletError>> {
    let found = config.evm.key.as_ref()?;
    let made = evm::Key::unlock(found, &config.evm).map(|key| {
        let wallet = evm::EvmWallet::new(key, &config.evm, clock, client);
        Arc::new(wallet) as Arc<dyn Wallet>
    });
    Some(made)
}
