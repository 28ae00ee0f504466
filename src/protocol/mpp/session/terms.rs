//! What a seller's session costs: a deposit that is an invoice, and a price for each unit taken from it
//! (draft-lightning-session-00, Challenge Request).

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::super::{
    super::{Objection, World, bolt11::Invoice, text::clean},
    challenge::{Challenge, word},
    lightning::sats,
};
use super::Key;

/// The terms of a session, sound and consistent. The deposit's invoice is the price of opening.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// The challenge, byte for byte.
    pub challenge: Challenge,
    /// The deposit's invoice.
    pub invoice: String,
    /// Its payment hash, which becomes the session's id: 64 lower-case hex digits.
    pub payment_hash: String,
    /// Who is paid: the node's public key.
    pub payee: String,
    /// Its network.
    pub network: String,
    /// Real or play money.
    pub world: World,
    /// The deposit, in satoshi.
    pub deposit_sat: u64,
    /// The price of one unit, in satoshi.
    pub unit_sat: u64,
    /// What a unit is, in the seller's words: cleaned, untrusted.
    pub unit: String,
    /// After how many seconds without a call the seller says that it closes.
    pub idle_timeout_s: Option<u64>,
    /// When the deposit can no longer be paid: the earlier end of challenge and invoice, in unix seconds.
    pub expires_at: u64,
}

impl Terms {
    /// Reads a challenge of `lightning/session`.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn read(challenge: &Challenge) -> Result<Terms, Objection> {
        let refuse = |code: &'static str, say: String| Err(Objection::new(code, say));
        if !is_session(challenge) {
            return refuse("unsupported", "it is no session over Lightning".into());
        }
        let terms = challenge.terms()?;
        let text = |name: &str| terms.get(name).and_then(Value::as_str);
        let Some(unit_sat) = terms.get("amount").and_then(sats).filter(|sat| *sat > 0) else {
            return refuse("no_amount", "the challenge does not say what a unit costs in whole satoshi".into());
        };
        match text("currency") {
            Some("sat" | "BTC" | "btc") => {}
            other => {
                let say = format!("it names its price in \"{}\" instead of \"sat\"", word(other.unwrap_or_default()));
                return refuse("unknown_currency", say);
            }
        }
        let Some(invoice_text) = text("depositInvoice") else {
            return refuse("no_invoice", "the challenge names no invoice for its deposit".into());
        };
        let invoice = Invoice::read(invoice_text)?;
        let msat = invoice.amount.atomic();
        if !msat.is_multiple_of(1000) {
            return refuse(
                "amount_mismatch",
                format!("the deposit of {} is no whole number of satoshi", invoice.amount),
            );
        }
        let deposit_sat = msat / 1000;
        if let Some(said) = terms.get("depositAmount")
            && sats(said) != Some(deposit_sat)
        {
            let say = format!("the deposit's invoice asks for {}, but the challenge says otherwise", invoice.amount);
            return refuse("amount_mismatch", say);
        }
        if deposit_sat < unit_sat {
            let say = format!("the deposit of {} does not even pay for one unit of {unit_sat} sat", invoice.amount);
            return refuse("amount_mismatch", say);
        }
        // The hash is the session's id, so unlike in a charge it must be there.
        if !text("paymentHash").is_some_and(|hash| hash.eq_ignore_ascii_case(&invoice.payment_hash)) {
            return refuse("hash_mismatch", "the challenge's paymentHash is not the deposit invoice's".into());
        }
        let end = challenge.expires_s()?;
        Ok(Terms {
            challenge: challenge.clone(),
            invoice: invoice_text.to_owned(),
            payment_hash: invoice.payment_hash,
            payee: invoice.payee,
            network: invoice.network.to_owned(),
            world: invoice.world,
            deposit_sat,
            unit_sat,
            unit: clean(text("unitType").unwrap_or_default(), 40),
            idle_timeout_s: terms.get("idleTimeout").and_then(sats),
            expires_at: end.map_or(invoice.expires_s, |end| end.min(invoice.expires_s)),
        })
    }

    /// Whom a session of these terms belongs to.
    pub fn key(&self, origin: &str) -> Key {
        Key { origin: origin.to_owned(), realm: self.challenge.realm.clone(), payee: self.payee.clone() }
    }
}

/// Whether a challenge is one of `lightning/session`.
pub(super) fn is_session(challenge: &Challenge) -> bool {
    challenge.method == "lightning" && challenge.intent == "session"
}
