//! Where the rest of a deposit comes back to: an invoice of our own without an amount.
//!
//! Servers mark a deposit as used before they look at the return invoice, so a bad one costs the deposit. It is made and
//! checked before anything is paid. Whether a refund came is told by our own wallet and by nobody else: aperture says
//! `failed` of each one that it is about to pay.

use lightning_invoice::{Bolt11Invoice, Currency};
use serde::{Deserialize, Serialize};

use super::{super::super::Objection, Terms};

/// How long a return invoice must live where the seller names no time after which it closes, in seconds: 30 days.
const LONG: u64 = 30 * 86_400;

/// How long one must live in any case, in seconds.
const LEAST: u64 = 3600;

/// A return invoice that was checked against the deposit that it belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReturnInvoice {
    /// The invoice.
    pub invoice: String,
    /// Its payment hash, 64 lower-case hex digits: what our own wallet is asked about.
    pub payment_hash: String,
    /// When it ends, unix seconds. After that nothing comes back.
    pub expires_at: u64,
}

impl ReturnInvoice {
    /// How long a return invoice for these terms must live, in seconds.
    pub fn least_life_s(terms: &Terms) -> u64 {
        terms.idle_timeout_s.map_or(LONG, |idle| idle.saturating_mul(2).max(LEAST))
    }

    /// Checks an invoice that our own wallet made.
    ///
    /// # Errors
    /// `bad_return_invoice`: the deposit must not be paid with it.
    pub fn check(text: &str, terms: &Terms, now_s: u64) -> Result<ReturnInvoice, Objection> {
        let bad = |say: &str| Objection::new("bad_return_invoice", format!("the invoice for the refund {say}"));
        let invoice: Bolt11Invoice = text.parse().map_err(|_| bad("is not sound"))?;
        // Even an amount of zero is refused by some servers.
        let (hrp, _) = text.rsplit_once('1').ok_or_else(|| bad("is not sound"))?;
        if invoice.amount_milli_satoshis().is_some() || hrp.bytes().any(|b| b.is_ascii_digit()) {
            return Err(bad("names an amount, and the rest of a deposit is not known before"));
        }
        let network = match invoice.currency() {
            Currency::Bitcoin => "bitcoin",
            Currency::BitcoinTestnet => "testnet",
            Currency::Regtest => "regtest",
            Currency::Simnet => "simnet",
            Currency::Signet => "signet",
        };
        if network != terms.network {
            return Err(bad("is on another network than the deposit"));
        }
        let expires_at = invoice.duration_since_epoch().as_secs().saturating_add(invoice.expiry_time().as_secs());
        if expires_at < now_s.saturating_add(ReturnInvoice::least_life_s(terms)) {
            return Err(bad("ends before the session may"));
        }
        let payment_hash = data_encoding::HEXLOWER.encode(AsRef::<[u8]>::as_ref(invoice.payment_hash()));
        if payment_hash == terms.payment_hash {
            return Err(bad("is the deposit's own"));
        }
        Ok(ReturnInvoice { invoice: text.to_owned(), payment_hash, expires_at })
    }
}
