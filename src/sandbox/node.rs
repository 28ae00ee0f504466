//! The play Lightning network: one node that issues really signed BOLT11 invoices, and one purse that pays them.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

use bitcoin::{
    hashes::{Hash as _, sha256},
    secp256k1::{PublicKey, Secp256k1, SecretKey},
};
use data_encoding::HEXLOWER;
use lightning_invoice::{Currency, InvoiceBuilder, PaymentSecret};

use super::lock;
use crate::{clock::Clock, secret::Secret};

/// The longest description a BOLT11 invoice can carry, in bytes.
const MEMO_BYTES: usize = 639;

/// More than all bitcoin there will be would overflow the invoice's own unit.
const MOST_MSAT: u64 = 1_000_000_000_000_000_000;

/// An invoice as its maker hands it out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlayInvoice {
    /// The invoice, `lnbcrt...`.
    pub bolt11: String,
    /// Its payment hash, 64 lower-case hex digits.
    pub payment_hash: String,
}

/// Money that left the purse, once for each invoice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Movement {
    /// The payment hash, 64 lower-case hex digits.
    pub hash: String,
    /// What the seller got, in millisatoshi.
    pub amount_msat: u64,
    /// What the route cost on top, in millisatoshi.
    pub fee_msat: u64,
    /// When, in unix milliseconds.
    pub at_ms: u64,
}

/// A payment that went through.
#[derive(Clone, Debug)]
pub struct Paid {
    /// The preimage, 64 lower-case hex digits; its SHA-256 is the payment hash.
    pub preimage: Secret,
    /// What moved.
    pub movement: Movement,
}

/// What a route costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fees {
    /// A fixed part, in millisatoshi.
    pub base_msat: u64,
    /// A part of the amount, in millionths, rounded down.
    pub ppm: u64,
}

impl Fees {
    /// The fee for an amount, both in millisatoshi.
    pub fn of(self, amount_msat: u64) -> u64 {
        let part = u128::from(amount_msat) * u128::from(self.ppm) / 1_000_000;
        self.base_msat.saturating_add(u64::try_from(part).unwrap_or(u64::MAX))
    }
}

/// Why an invoice could not be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NodeError {
    /// More than an invoice can say.
    #[error("{0} msat is more than an invoice can ask for")]
    TooMuch(u64),
    /// The invoice library refused.
    #[error("no invoice could be made: {0}")]
    Invoice(String),
}

/// Why nothing moved.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PayError {
    /// This node never issued the invoice, or it is the purse's own.
    #[error("no route")]
    NoRoute,
    /// Its time is over.
    #[error("invoice expired")]
    Expired,
    /// The money moved before; it does not move twice.
    #[error("invoice already paid")]
    AlreadyPaid,
    /// It names no amount.
    #[error("invoice without an amount")]
    NoAmount,
    /// The purse does not hold amount and fee.
    #[error("insufficient balance")]
    InsufficientBalance,
}

/// The play network. Clones are the same network.
#[derive(Clone)]
pub struct PlayNode(Arc<Shared>);

struct Shared {
    clock: Clock,
    key: SecretKey,
    book: Mutex<Book>,
}

struct Book {
    balance_msat: u64,
    fees: Fees,
    invoices: HashMap<String, Issued>,
    moved: Vec<Movement>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Payee {
    Seller,
    Purse,
}

struct Issued {
    preimage: [u8; 32],
    amount_msat: u64,
    expires_at_ms: u64,
    payee: Payee,
    paid: bool,
}

impl PlayNode {
    /// A network with a new node key, whose purse holds `balance_msat`. Routes are free until [`PlayNode::set_fees`].
    pub fn new(clock: Clock, balance_msat: u64) -> PlayNode {
        let key = loop {
            // Nearly every 32 bytes are a key; the few that are not are thrown again.
            if let Ok(key) = SecretKey::from_slice(&crate::random::<32>()) {
                break key;
            }
        };
        let book = Book { balance_msat, fees: Fees::default(), invoices: HashMap::new(), moved: Vec::new() };
        PlayNode(Arc::new(Shared { clock, key, book: Mutex::new(book) }))
    }

    /// The node's public key, 66 hex digits.
    pub fn id(&self) -> String {
        PublicKey::from_secret_key(&Secp256k1::signing_only(), &self.0.key).to_string()
    }

    /// Makes an invoice of a seller. `amount_msat` 0 makes one without an amount; a memo that is too long is cut.
    ///
    /// # Errors
    /// [`NodeError`] for an amount beyond what an invoice can say.
    pub fn invoice(&self, amount_msat: u64, memo: &str, expiry_s: u64) -> Result<PlayInvoice, NodeError> {
        self.issue(Payee::Seller, amount_msat, memo, expiry_s)
    }

    /// Makes an invoice that fills the purse, to be paid by [`PlayNode::receive`].
    ///
    /// # Errors
    /// As [`PlayNode::invoice`].
    pub fn own_invoice(&self, amount_msat: u64, memo: &str, expiry_s: u64) -> Result<PlayInvoice, NodeError> {
        self.issue(Payee::Purse, amount_msat, memo, expiry_s)
    }

    fn issue(&self, payee: Payee, amount_msat: u64, memo: &str, expiry_s: u64) -> Result<PlayInvoice, NodeError> {
        if amount_msat > MOST_MSAT {
            return Err(NodeError::TooMuch(amount_msat));
        }
        let now_ms = self.0.clock.now_ms();
        let preimage: [u8; 32] = crate::random();
        let hash = sha256::Hash::hash(&preimage);
        let mut builder = InvoiceBuilder::new(Currency::Regtest)
            .description(cut(memo).to_owned())
            .payment_hash(hash)
            .payment_secret(PaymentSecret(crate::random()))
            .duration_since_epoch(Duration::from_secs(now_ms / 1000))
            .min_final_cltv_expiry_delta(144)
            .expiry_time(Duration::from_secs(expiry_s))
            .basic_mpp();
        if amount_msat > 0 {
            builder = builder.amount_milli_satoshis(amount_msat);
        }
        let secp = Secp256k1::signing_only();
        let bolt11 = builder
            .build_signed(|message| secp.sign_ecdsa_recoverable(message, &self.0.key))
            .map_err(|e| NodeError::Invoice(e.to_string()))?
            .to_string();
        let payment_hash = hash.to_string();
        let expires_at_ms = (now_ms / 1000).saturating_add(expiry_s).saturating_mul(1000);
        let issued = Issued { preimage, amount_msat, expires_at_ms, payee, paid: false };
        lock(&self.0.book).invoices.insert(payment_hash.clone(), issued);
        Ok(PlayInvoice { bolt11, payment_hash })
    }

    /// Pays an invoice out of the purse, once.
    ///
    /// # Errors
    /// [`PayError`]; then nothing moved by this call.
    pub fn pay(&self, hash: &str) -> Result<Paid, PayError> {
        let at_ms = self.0.clock.now_ms();
        let book = &mut *lock(&self.0.book);
        let invoice = book.invoices.get_mut(hash).filter(|i| i.payee == Payee::Seller).ok_or(PayError::NoRoute)?;
        if invoice.paid {
            return Err(PayError::AlreadyPaid);
        }
        if at_ms >= invoice.expires_at_ms {
            return Err(PayError::Expired);
        }
        if invoice.amount_msat == 0 {
            return Err(PayError::NoAmount);
        }
        let fee_msat = book.fees.of(invoice.amount_msat);
        let total = invoice.amount_msat.checked_add(fee_msat).ok_or(PayError::InsufficientBalance)?;
        book.balance_msat = book.balance_msat.checked_sub(total).ok_or(PayError::InsufficientBalance)?;
        invoice.paid = true;
        let movement = Movement { hash: hash.to_owned(), amount_msat: invoice.amount_msat, fee_msat, at_ms };
        book.moved.push(movement.clone());
        Ok(Paid { preimage: Secret::new(HEXLOWER.encode(&invoice.preimage)), movement })
    }

    /// Lets someone else pay one of the purse's own invoices; `false` when that cannot be.
    pub fn receive(&self, hash: &str) -> bool {
        let book = &mut *lock(&self.0.book);
        match book.invoices.get_mut(hash) {
            Some(invoice) if invoice.payee == Payee::Purse && !invoice.paid => {
                invoice.paid = true;
                book.balance_msat = book.balance_msat.saturating_add(invoice.amount_msat);
                true
            }
            _ => false,
        }
    }

    /// Lets someone else pay one of the purse's own invoices that names no amount; `false` when that cannot be, and then
    /// nothing moved.
    pub fn receive_amount(&self, hash: &str, amount_msat: u64) -> bool {
        let now_ms = self.0.clock.now_ms();
        let book = &mut *lock(&self.0.book);
        match book.invoices.get_mut(hash) {
            Some(i) if i.payee == Payee::Purse && !i.paid && i.amount_msat == 0 && now_ms < i.expires_at_ms => {
                i.paid = true;
                i.amount_msat = amount_msat;
                book.balance_msat = book.balance_msat.saturating_add(amount_msat);
                true
            }
            _ => false,
        }
    }

    /// Whether the invoice with this hash was paid.
    pub fn is_paid(&self, hash: &str) -> bool {
        lock(&self.0.book).invoices.get(hash).is_some_and(|i| i.paid)
    }

    /// What an invoice asks for, or what came where it named no amount, in millisatoshi.
    pub fn amount_msat(&self, hash: &str) -> Option<u64> {
        lock(&self.0.book).invoices.get(hash).map(|i| i.amount_msat)
    }

    /// The preimage of an invoice, paid or not: what a test needs to play a seller or a thief.
    pub fn preimage(&self, hash: &str) -> Option<Secret> {
        lock(&self.0.book).invoices.get(hash).map(|i| Secret::new(HEXLOWER.encode(&i.preimage)))
    }

    /// What the purse holds, in millisatoshi.
    pub fn balance_msat(&self) -> u64 {
        lock(&self.0.book).balance_msat
    }

    /// Puts the purse's balance at `msat`.
    pub fn set_balance_msat(&self, msat: u64) {
        lock(&self.0.book).balance_msat = msat;
    }

    /// What routes cost now.
    pub fn fees(&self) -> Fees {
        lock(&self.0.book).fees
    }

    /// Sets what routes cost from now on.
    pub fn set_fees(&self, fees: Fees) {
        lock(&self.0.book).fees = fees;
    }

    /// Every payment that left the purse, in order.
    pub fn moved(&self) -> Vec<Movement> {
        lock(&self.0.book).moved.clone()
    }

    /// Everything that came into the purse by its own invoices, in millisatoshi.
    pub fn received_msat(&self) -> u64 {
        let book = lock(&self.0.book);
        let ours = book.invoices.values().filter(|i| i.payee == Payee::Purse && i.paid);
        ours.map(|i| i.amount_msat).sum()
    }

    /// Everything that left the purse, fees included, in millisatoshi.
    pub fn spent_msat(&self) -> u64 {
        lock(&self.0.book).moved.iter().map(|m| m.amount_msat.saturating_add(m.fee_msat)).sum()
    }
}

/// As much of a memo as an invoice can carry, cut between characters.
fn cut(memo: &str) -> &str {
    let end = (0..=memo.len().min(MEMO_BYTES)).rev().find(|&i| memo.is_char_boundary(i)).unwrap_or(0);
    &memo[..end]
}

impl fmt::Debug for PlayNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PlayNode({} msat)", self.balance_msat())
    }
}

#[cfg(test)]
mod tests {
    use lightning_invoice::Bolt11Invoice;

    use super::*;

    fn network() -> (PlayNode, Clock) {
        let clock = Clock::manual(1_795_000_000_000);
        (PlayNode::new(clock.clone(), 50_000), clock)
    }

    #[test]
    fn invoices_are_signed_regtest_bolt11_with_everything_a_payer_checks() {
        let (node, _) = network();
        let made = node.invoice(21_000, "two eggs", 600).unwrap();
        let read: Bolt11Invoice = made.bolt11.parse().unwrap();
        assert!(made.bolt11.starts_with("lnbcrt210n1"), "{}", made.bolt11);
        assert_eq!(read.currency(), Currency::Regtest);
        assert_eq!(read.amount_milli_satoshis(), Some(21_000));
        assert_eq!(read.payment_hash().to_string(), made.payment_hash);
        assert_eq!(read.description().to_string(), "two eggs");
        assert_eq!(read.expiry_time(), Duration::from_secs(600));
        assert_eq!(read.get_payee_pub_key().to_string(), node.id());
        assert!(read.features().is_some_and(|f| f.supports_payment_secret() && f.requires_variable_length_onion()));
    }

    #[test]
    fn a_payment_moves_money_once_and_gives_the_preimage() {
        let (node, _) = network();
        node.set_fees(Fees { base_msat: 1000, ppm: 10_000 });
        let made = node.invoice(20_000, "x", 600).unwrap();
        let paid = node.pay(&made.payment_hash).unwrap();
        let preimage = HEXLOWER.decode(paid.preimage.expose().as_bytes()).unwrap();
        assert_eq!(HEXLOWER.encode(&crate::sha256(&preimage)), made.payment_hash);
        assert_eq!((paid.movement.amount_msat, paid.movement.fee_msat), (20_000, 1200));
        assert_eq!(node.pay(&made.payment_hash).unwrap_err(), PayError::AlreadyPaid);
        assert_eq!((node.spent_msat(), node.balance_msat(), node.moved().len()), (21_200, 28_800, 1));
    }

    #[test]
    fn what_cannot_be_paid_moves_nothing() {
        let (node, clock) = network();
        let dear = node.invoice(50_001, "x", 600).unwrap();
        let blank = node.invoice(0, "x", 600).unwrap();
        let short = node.invoice(1000, "x", 5).unwrap();
        let own = node.own_invoice(1000, "x", 600).unwrap();
        clock.advance_ms(5000);
        assert_eq!(node.pay(&dear.payment_hash).unwrap_err(), PayError::InsufficientBalance);
        assert_eq!(node.pay(&blank.payment_hash).unwrap_err(), PayError::NoAmount);
        assert_eq!(node.pay(&short.payment_hash).unwrap_err(), PayError::Expired);
        assert_eq!(node.pay(&own.payment_hash).unwrap_err(), PayError::NoRoute);
        assert_eq!(node.pay(&"00".repeat(32)).unwrap_err(), PayError::NoRoute);
        assert_eq!((node.spent_msat(), node.balance_msat()), (0, 50_000));
        assert_eq!(node.invoice(u64::MAX, "x", 5).unwrap_err(), NodeError::TooMuch(u64::MAX));
    }

    #[test]
    fn a_long_memo_is_cut_between_characters() {
        let (node, _) = network();
        let made = node.invoice(1000, &"é".repeat(400), 600).unwrap();
        let read: Bolt11Invoice = made.bolt11.parse().unwrap();
        assert_eq!(read.description().to_string().len(), 638);
    }
}
