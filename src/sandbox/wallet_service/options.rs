//! A wallet's settings and keys.

use nostr::prelude::{Keys, SecretKey};

use crate::sandbox::seed::Seed;

/// What the wallet allows when nothing else is said.
const METHODS: [&str; 6] =
    ["pay_invoice", "get_balance", "get_info", "lookup_invoice", "make_invoice", "list_transactions"];

/// What it knows beyond that: the drafts NWC-13 and NWC-321.
const EXTRAS: [&str; 2] = ["get_budget", "pay"];

/// Whether the wallet knows a method.
pub(super) fn knows(method: &str) -> bool {
    METHODS.contains(&method) || EXTRAS.contains(&method)
}

/// The encryption a wallet can do, and how it says so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ciphers {
    /// `encryption` tag `nip44_v2 nip04`.
    #[default]
    Both,
    /// `encryption` tag `nip44_v2`; a NIP-04 request gets `UNSUPPORTED_ENCRYPTION`.
    OnlyNip44,
    /// No `encryption` tag, as wallets from before it; a NIP-44 request gets no reply.
    OnlyNip04,
}

/// A wallet's settings. The default is a wallet as NIP-47 describes it, on the network `regtest`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WalletOptions {
    /// The encryption it can do.
    pub ciphers: Ciphers,
    /// What this connection may do; also what the info event and `get_info` list.
    pub methods: Vec<String>,
    /// Whether it sends `payment_sent` notifications.
    pub notifications: bool,
    /// Whether a request event that comes twice is answered once.
    pub dedupe: bool,
    /// Whether it leaves a request alone whose `expiration` has passed.
    pub honour_expiration: bool,
    /// What this connection may spend in all, fees included, in millisatoshi; more is `QUOTA_EXCEEDED`.
    pub quota_msat: Option<u64>,
    /// When that begins anew (unix seconds) and how often, as `get_budget` tells it; the sandbox itself never renews it.
    pub quota_renews: Option<(u64, String)>,
    /// Whether it holds to a `max_fee`, and says so in its info event. One that does not passes it over.
    pub fee_limits: bool,
    /// The longest life of an invoice that it makes, in seconds, whatever is asked.
    pub invoice_life_s: u64,
    /// What `get_balance` says in place of the truth.
    pub balance_said_msat: Option<i64>,
    /// Whether a request waits until the one before it was answered.
    pub serial: bool,
    /// The network that `get_info` names; `None` leaves it out.
    pub network: Option<String>,
    /// The name that `get_info` gives.
    pub alias: String,
    /// The code for an invoice that was paid before or is being paid: `PAYMENT_FAILED` (LNbits), `INTERNAL` (Alby Hub).
    pub repeat_code: String,
    /// The code for a lookup of an unknown payment: `NOT_FOUND`, or `INTERNAL` (LNbits).
    pub unknown_code: String,
}

impl Default for WalletOptions {
    fn default() -> WalletOptions {
        WalletOptions {
            ciphers: Ciphers::Both,
            methods: METHODS.map(str::to_owned).to_vec(),
            notifications: false,
            dedupe: true,
            honour_expiration: false,
            quota_msat: None,
            quota_renews: None,
            fee_limits: false,
            invoice_life_s: 31_536_000,
            balance_said_msat: None,
            serial: false,
            network: Some("regtest".into()),
            alias: "Bursar sandbox".into(),
            repeat_code: "PAYMENT_FAILED".into(),
            unknown_code: "NOT_FOUND".into(),
        }
    }
}

impl WalletOptions {
    /// The same, allowing these methods as well.
    pub fn and_methods(mut self, more: &[&str]) -> WalletOptions {
        self.methods.extend(more.iter().map(|&m| m.to_owned()));
        self
    }
}

/// The two keys of a connection: the wallet's, and the one that the connection string hands to the client.
pub struct WalletKeys {
    /// The wallet's own.
    pub(super) wallet: Keys,
    /// The client's.
    pub(super) client: Keys,
}

impl WalletKeys {
    /// New keys that are kept nowhere.
    pub fn random() -> WalletKeys {
        WalletKeys { wallet: Keys::generate(), client: Keys::generate() }
    }

    /// The keys that a seed always gives.
    pub(in crate::sandbox) fn from_seed(seed: &Seed) -> WalletKeys {
        let key =
            |purpose: &str| SecretKey::from_slice(&seed.derive(purpose)).map_or_else(|_| Keys::generate(), Keys::new);
        WalletKeys { wallet: key("wallet"), client: key("client") }
    }
}
