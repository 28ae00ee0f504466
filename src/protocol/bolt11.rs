//! BOLT11 invoices: what one says, and what Bursar has against paying it.
//!
//! The amount is the invoice's own or there is none: nothing a seller says elsewhere can stand in for it. Whole
//! millisatoshi are kept; nothing is rounded. Source: `bolts/11-payment-encoding.md`.

use data_encoding::HEXLOWER;
use lightning_invoice::{
    Bolt11Invoice, Bolt11InvoiceDescriptionRef, Bolt11ParseError, Bolt11SemanticError, Currency, ParseOrSemanticError,
};

use super::{Objection, World, text::clean};
use crate::money::Amount;

/// The longest invoice that is read, in characters: what LND and LDK accept.
pub const MAX_CHARS: usize = 7089;

/// The longest description that is kept, in characters.
pub const MAX_DESCRIPTION: usize = 200;

/// A sound invoice that names its price: checksum, signature, required fields, features and amount were checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invoice {
    /// What it asks for, to the millisatoshi. Never zero.
    pub amount: Amount,
    /// The network: `bitcoin`, `testnet`, `regtest`, `simnet`, `signet`.
    pub network: &'static str,
    /// Real or play money.
    pub world: World,
    /// The payment hash: 64 lower-case hex digits.
    pub payment_hash: String,
    /// The public key that is paid: 66 lower-case hex digits.
    pub payee: String,
    /// When it was made, in unix seconds.
    pub created_s: u64,
    /// When it ends, in unix seconds.
    pub expires_s: u64,
    /// The payee's own words, cleaned, at most [`MAX_DESCRIPTION`] characters: untrusted.
    pub untrusted_description: String,
}

/// How long an invoice may live and how close to its end it may still be paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvoicePolicy {
    /// The longest life, from making to end, in seconds: money may be stuck for as long as this.
    pub max_life_s: u64,
    /// The least time that must be left, in seconds: a payment takes some.
    pub min_left_s: u64,
    /// How far in the future it may have been made, in seconds: clocks differ.
    pub max_skew_s: u64,
}

impl Default for InvoicePolicy {
    fn default() -> InvoicePolicy {
        InvoicePolicy { max_life_s: 3600, min_left_s: 20, max_skew_s: 600 }
    }
}

impl Invoice {
    /// Reads an invoice.
    ///
    /// # Errors
    /// `bad_invoice` when it breaks BOLT11 in any way, `no_amount` when it names no amount, zero, or more than can be
    /// counted, and `bad_expiry` when its end lies beyond all time.
    pub fn read(text: &str) -> Result<Invoice, Objection> {
        if text.len() > MAX_CHARS {
            return Err(bad(format!("it has {} characters, {MAX_CHARS} are allowed", text.len())));
        }
        let invoice: Bolt11Invoice = text.parse().map_err(|e| bad(why(&e)))?;
        let amount = amount(&invoice, text)?;
        let (network, world) = match invoice.currency() {
            Currency::Bitcoin => ("bitcoin", World::Main),
            Currency::BitcoinTestnet => ("testnet", World::Test),
            Currency::Regtest => ("regtest", World::Test),
            Currency::Simnet => ("simnet", World::Test),
            Currency::Signet => ("signet", World::Test),
        };
        let created_s = invoice.duration_since_epoch().as_secs();
        let expires_s = created_s
            .checked_add(invoice.expiry_time().as_secs())
            .filter(|end| i64::try_from(*end).is_ok())
            .ok_or_else(|| Objection::new("bad_expiry", "the invoice's expiry lies beyond all time"))?;
        let untrusted_description = match invoice.description() {
            Bolt11InvoiceDescriptionRef::Direct(text) => clean(&text.as_inner().0, MAX_DESCRIPTION),
            Bolt11InvoiceDescriptionRef::Hash(_) => String::new(),
        };
        Ok(Invoice {
            amount,
            network,
            world,
            payment_hash: HEXLOWER.encode(AsRef::<[u8]>::as_ref(invoice.payment_hash())),
            payee: HEXLOWER.encode(&invoice.get_payee_pub_key().serialize()),
            created_s,
            expires_s,
            untrusted_description,
        })
    }

    /// What the clock has against paying it: `expired`, `expires_soon`, `lives_too_long`, `from_the_future`.
    pub fn objections(&self, now_s: u64, policy: &InvoicePolicy) -> Vec<Objection> {
        let mut objections = Vec::new();
        let left = self.expires_s.saturating_sub(now_s);
        if left == 0 {
            let ago = now_s.saturating_sub(self.expires_s);
            objections.push(Objection::new("expired", format!("the invoice expired {ago} s ago")));
        } else if left < policy.min_left_s {
            let least = policy.min_left_s;
            objections.push(Objection::new(
                "expires_soon",
                format!("the invoice expires in {left} s, and a payment needs {least} s"),
            ));
        }
        let life = self.expires_s.saturating_sub(self.created_s);
        if life > policy.max_life_s {
            let most = policy.max_life_s;
            objections.push(Objection::new(
                "lives_too_long",
                format!("the invoice lives for {life} s, and the operator's max_invoice_life allows {most} s"),
            ));
        }
        let ahead = self.created_s.saturating_sub(now_s);
        if ahead > policy.max_skew_s {
            objections.push(Objection::new(
                "from_the_future",
                format!("the invoice was made {ahead} s in the future; one of the two clocks is wrong"),
            ));
        }
        objections
    }
}

/// The invoice's own amount. The library answers `None` both for no amount and for one that overflows; neither is a
/// licence to pay whatever someone asks.
fn amount(invoice: &Bolt11Invoice, text: &str) -> Result<Amount, Objection> {
    let refuse = |say: &str| Err(Objection::new("no_amount", say));
    match invoice.amount_milli_satoshis().map(Amount::msat) {
        Some(Some(amount)) if !amount.is_zero() => Ok(amount),
        Some(Some(_)) => {
            refuse("the invoice asks for 0 sat, which lets the payer choose; Bursar pays named prices only")
        }
        Some(None) => refuse("the invoice asks for more than can be counted"),
        None if names_digits(text) => refuse("the invoice asks for more than can be counted"),
        None => refuse("the invoice names no amount; Bursar pays named prices only"),
    }
}

/// Whether the human-readable part (all before the last `1`) holds a digit, that is, an amount.
fn names_digits(text: &str) -> bool {
    text.rsplit_once('1').is_some_and(|(hrp, _)| hrp.bytes().any(|b| b.is_ascii_digit()))
}

fn bad(say: impl AsRef<str>) -> Objection {
    Objection::new("bad_invoice", format!("the invoice is not sound: {}", say.as_ref()))
}

/// What is wrong, in our words: the library's own may repeat the seller's.
fn why(error: &ParseOrSemanticError) -> &'static str {
    match error {
        ParseOrSemanticError::ParseError(e) => match e {
            Bolt11ParseError::Bech32Error(_) => "it is not bech32, or its checksum is wrong",
            Bolt11ParseError::ParseAmountError(_) | Bolt11ParseError::IntegerOverflowError => {
                "its amount is not a number that can be counted"
            }
            Bolt11ParseError::UnknownSiPrefix => "its amount has an unknown multiplier",
            Bolt11ParseError::BadPrefix | Bolt11ParseError::UnknownCurrency | Bolt11ParseError::MalformedHRP => {
                "it belongs to no known network"
            }
            Bolt11ParseError::MalformedSignature(_) => "its signature is malformed",
            Bolt11ParseError::TooShortDataPart | Bolt11ParseError::UnexpectedEndOfTaggedFields => "it is cut short",
            _ => "one of its fields is malformed",
        },
        ParseOrSemanticError::SemanticError(e) => match e {
            Bolt11SemanticError::InvalidSignature => "its signature is wrong",
            Bolt11SemanticError::InvalidFeatures => "it needs a feature that is not known",
            Bolt11SemanticError::ImpreciseAmount => "its amount is not a whole number of millisatoshi",
            Bolt11SemanticError::NoPaymentSecret => "it has no payment secret",
            _ => "it lacks a required field, or has it twice",
        },
    }
}
