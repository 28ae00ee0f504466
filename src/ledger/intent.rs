//! What is about to be paid, and the token that proves it stands in the ledger.

use std::{fmt, ops::Deref, str::FromStr};

use crate::money::Amount;

const BASE32: data_encoding::Encoding = data_encoding::BASE32_NOPAD_NOCASE;

/// The id of a purchase: `p_` and 26 base32 characters of 16 random bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PurchaseId(pub(crate) [u8; 16]);

/// The text is not a purchase id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a purchase id is p_ and 26 letters or digits")]
pub struct BadPurchaseId;

impl PurchaseId {
    /// Sixteen bytes from the operating system's generator.
    pub fn random() -> PurchaseId {
        PurchaseId(crate::random())
    }

    /// The sixteen bytes.
    pub fn bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for PurchaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p_{}", BASE32.encode(&self.0).to_ascii_lowercase())
    }
}

impl fmt::Debug for PurchaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for PurchaseId {
    type Err = BadPurchaseId;

    fn from_str(text: &str) -> Result<PurchaseId, BadPurchaseId> {
        let rest = text.strip_prefix("p_").filter(|r| r.len() == 26).ok_or(BadPurchaseId)?;
        let bytes = BASE32.decode(rest.as_bytes()).map_err(|_| BadPurchaseId)?;
        bytes.try_into().map(PurchaseId).map_err(|_| BadPurchaseId)
    }
}

/// One way in which one purchase is paid. Everything in it was chosen before any of it was sent.
#[derive(Clone)]
pub struct Intent {
    /// The purchase it belongs to.
    pub purchase: PurchaseId,
    /// Its number within the purchase, from 0.
    pub n: u32,
    /// The dialect's name.
    pub protocol: String,
    /// The rail's name.
    pub rail: String,
    /// The network's name.
    pub network: String,
    /// The asset.
    pub asset: String,
    /// Who is paid.
    pub payee: String,
    /// What makes it unique on its rail, such as `ln:<payment hash>`. UNIQUE in the ledger.
    pub rail_key: String,
    /// The kind of wallet that pays it.
    pub wallet: String,
    /// The price: what the invoice or the authorization itself says.
    pub price: Amount,
    /// The most that paying may cost on top.
    pub fee_cap: Amount,
    /// Until when money may still leave, unix seconds.
    pub liability_until: u64,
    /// Until when the same bytes may be sent again, unix seconds.
    pub resend_until: u64,
    /// What the protocol needs to make the credential (secret: JSON of `protocol::Pin`).
    pub pin: Vec<u8>,
    /// What the wallet sends (secret: for NWC a signed event).
    pub wire: Vec<u8>,
}

impl fmt::Debug for Intent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Intent({}/{} {} {})", self.purchase, self.n, self.rail, self.price)
    }
}

/// Something that stands durably in the ledger. Only the ledger can make one, so that nothing is paid that is not
/// written down first (design rule 1).
#[derive(Clone, Debug)]
pub struct Committed<T> {
    inner: T,
    fresh: bool,
}

impl<T> Committed<T> {
    /// Called by the ledger after its commit (`fresh`), or when it reads a committed row back.
    pub(in crate::ledger) fn new(inner: T, fresh: bool) -> Committed<T> {
        Committed { inner, fresh }
    }

    /// Whether this very value came from the commit, so that its bytes cannot have been sent before.
    pub fn fresh(&self) -> bool {
        self.fresh
    }
}

impl<T> Deref for Committed<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.inner
    }
}
