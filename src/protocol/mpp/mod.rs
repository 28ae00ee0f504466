//! MPP, the Machine Payments Protocol: the scheme `Payment` (draft-httpauth-payment).
//!
//! A challenge names a method (how money moves) and an intent (what kind of payment). Each is judged by itself: one that
//! is malformed, unknown or dear says nothing about its neighbours. Methods that this house pays have a file each; all
//! others are listed with the reason.

mod base64url;
mod challenge;
mod credential;
mod evm;
mod expiry;
mod jcs;
mod lightning;
mod listed;
mod receipt;
mod redact;
pub mod session;
mod tempo;

use serde::{Deserialize, Serialize};

pub use self::{
    base64url::{decode, encode},
    challenge::Challenge,
    evm::NonceRule,
    expiry::unix_seconds,
    jcs::canonical,
    redact::redact,
};
use super::{
    Challenge as Found, Credential, Objection, Offer, Page, Proof, Protocol, Rail, Receipt, Seen,
    bolt11::InvoicePolicy, header::RawChallenge,
};
use crate::{
    evm::{eip3009::Transfer, tempo as chain},
    money::{Amount, Currency},
};

/// A sponsor needs some time to sign as well; seconds that must be left of a challenge on top of what it demands.
const ON_THE_WAY_S: u64 = 5;

/// What must be kept of a challenge, so that its credential can be made after a crash.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Pin {
    /// The challenge, byte for byte.
    pub challenge: Challenge,
    /// What paying it takes.
    pub means: Means,
}

/// What paying a challenge takes.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "snake_case")]
pub enum Means {
    /// An invoice to pay; the preimage is shown.
    Lightning {
        /// The invoice as it was received.
        invoice: String,
    },
    /// A transfer to sign, with a nonce that the challenge dictates.
    Eip3009 {
        /// What is signed.
        transfer: Transfer,
    },
    /// Something to sign for Tempo.
    Tempo {
        /// What is signed.
        ask: chain::Ask,
    },
    /// A deposit to make, whose rest comes back. It is no invoice to pay like another: a return invoice is made first.
    Session {
        /// What it costs.
        terms: Box<session::Terms>,
        /// Where the rest comes back to; nothing is paid before that is known.
        #[serde(default)]
        refund: Option<session::ReturnInvoice>,
    },
    /// More money for a session that is open.
    TopUp {
        /// The session's id.
        session: String,
        /// What it costs.
        terms: Box<session::Terms>,
    },
}

impl Pin {
    /// The invoice to pay, where the rail is Lightning. A deposit has none before it is known where the rest comes back to.
    pub fn invoice(&self) -> Option<&str> {
        match &self.means {
            Means::Lightning { invoice } => Some(invoice),
            Means::Session { terms, refund: Some(_) } | Means::TopUp { terms, .. } => Some(&terms.invoice),
            Means::Eip3009 { .. } | Means::Tempo { .. } | Means::Session { refund: None, .. } => None,
        }
    }

    /// The invoice that names the price, whether or not it may be paid already.
    pub fn quoted_invoice(&self) -> Option<&str> {
        self.invoice().or_else(|| self.session().map(|terms| terms.invoice.as_str()))
    }

    /// The same for a session whose rest comes back to this invoice.
    pub fn returning_to(mut self, invoice: session::ReturnInvoice) -> Pin {
        if let Means::Session { refund, .. } = &mut self.means {
            *refund = Some(invoice);
        }
        self
    }

    /// Where the rest of a session's deposit comes back to, once that is known.
    pub fn refund(&self) -> Option<&session::ReturnInvoice> {
        match &self.means {
            Means::Session { refund, .. } => refund.as_ref(),
            _ => None,
        }
    }

    /// The EIP-3009 transfer to sign.
    pub fn transfer(&self) -> Option<&Transfer> {
        match &self.means {
            Means::Eip3009 { transfer } => Some(transfer),
            _ => None,
        }
    }

    /// The session to open.
    pub fn session(&self) -> Option<&session::Terms> {
        match &self.means {
            Means::Session { terms, .. } => Some(terms),
            _ => None,
        }
    }

    /// What to sign for Tempo.
    pub fn tempo(&self) -> Option<&chain::Ask> {
        match &self.means {
            Means::Tempo { ask } => Some(ask),
            _ => None,
        }
    }

    /// The most that paying costs beside the price: the gas of a transaction that nobody sponsors.
    pub fn fee_cap(&self) -> Option<Amount> {
        match &self.means {
            Means::Tempo { ask: chain::Ask::Charge(charge) } => Amount::new(Currency::Usd, charge.fee_cap()),
            Means::Tempo { .. } => Some(Amount::zero(Currency::Usd)),
            _ => None,
        }
    }

    /// When the challenge ends, in unix seconds. Nothing is signed that outlives it, and no credential of it is shown
    /// after it.
    pub fn expires_at(&self) -> Option<u64> {
        self.challenge.expires_s().ok().flatten()
    }

    /// The same with the other rule for the nonce of an EIP-3009 authorization: what may be tried once a server said that
    /// the first one does not match. Both authorizations can be used until they end, so both must be held.
    pub fn with_the_other_nonce(&self) -> Option<Pin> {
        let Means::Eip3009 { transfer } = &self.means else { return None };
        let rules = [NonceRule::Packed, NonceRule::Json];
        let rule = rules.into_iter().find(|rule| Some(rule.nonce(&self.challenge)) == transfer.nonce)?;
        let nonce = Some(rule.other().nonce(&self.challenge));
        Some(Pin { means: Means::Eip3009 { transfer: Transfer { nonce, ..transfer.clone() } }, ..self.clone() })
    }

    /// What the clock has against paying it.
    pub fn objections_at(&self, now_s: u64, policy: &InvoicePolicy) -> Vec<Objection> {
        let Some(end) = self.expires_at() else { return Vec::new() };
        let least = match &self.means {
            Means::Lightning { .. } | Means::Session { .. } => policy.min_left_s,
            // It is shown at once and to a stream that waits.
            Means::TopUp { .. } => ON_THE_WAY_S,
            Means::Eip3009 { .. } => evm::MIN_LEFT_S,
            Means::Tempo { ask: chain::Ask::Charge(chain::Charge { fees: chain::Fees::Sponsored, .. }) } => {
                chain::SPONSOR_LEAST_S + ON_THE_WAY_S
            }
            Means::Tempo { .. } => ON_THE_WAY_S,
        };
        let left = end.saturating_sub(now_s);
        if left == 0 {
            vec![Objection::new("expired", format!("the challenge expired {} s ago", now_s.saturating_sub(end)))]
        } else if left < least {
            let say = format!("the challenge expires in {left} s, and a payment needs {least} s");
            vec![Objection::new("expires_soon", say)]
        } else {
            Vec::new()
        }
    }

    /// The header that unlocks the resource, made of the challenge and the proof.
    pub(super) fn credential(&self, proof: &Proof) -> Option<Credential> {
        match (&self.means, proof) {
            (Means::Lightning { invoice }, Proof::Preimage { hex }) => {
                lightning::credential(&self.challenge, invoice, hex)
            }
            (Means::TopUp { session, terms }, Proof::Preimage { hex }) => {
                session::top_up_credential(&self.challenge, session, terms, hex)
            }
            // What a session shows is told by where it stands.
            _ => None,
        }
    }

    /// The header that pays, made of the challenge and what the wallet signed.
    pub(super) fn payment(&self, signed: &[u8]) -> Option<Credential> {
        match &self.means {
            Means::Lightning { .. } | Means::Session { .. } | Means::TopUp { .. } => None,
            Means::Eip3009 { transfer } => evm::payment(&self.challenge, transfer, signed),
            Means::Tempo { ask } => tempo::payment(&self.challenge, ask, signed),
        }
    }

    /// The receipt in an answer.
    pub(super) fn receipt(&self, seen: Seen<'_>) -> Option<Receipt> {
        receipt::receipt(&self.challenge, seen)
    }
}

/// Whether a seller refuses an authorization because of its nonce: see [`Pin::with_the_other_nonce`].
pub fn refuses_nonce(seen: Seen<'_>) -> bool {
    receipt::refuses_nonce(seen)
}

/// Why a seller says that it took no payment: redacted, for people only.
pub(super) fn complaint(seen: Seen<'_>) -> String {
    receipt::complaint(seen)
}

/// Reads every `Payment` challenge of a page, each by itself.
pub(super) fn read(page: &Page<'_>, found: &mut Found) {
    for raw in page.listing.challenges.iter().filter(|raw| raw.is("Payment")) {
        let offer = offer(raw, page);
        // The same challenge in a header line that a proxy doubled is one offer.
        if !found.offers.iter().any(|known| is_same(known, &offer)) {
            found.offers.push(offer);
        }
    }
}

/// Looks at what x402 says of the same transfer on the same answer. A challenge of MPP does not name the token's EIP-712
/// domain, and its twin does: where token, chain, payee and amount agree, it is the domain that the seller checks
/// signatures by. One that is not the token's own (its entry has that objection) leads to a signature that cannot settle.
/// Where there is no twin, or it says nothing, the pinned domain is taken.
pub(super) fn compare_with_twins(found: &mut Found) {
    let is_transfer = |offer: &Offer, protocol| offer.protocol == protocol && offer.rail == Rail::EIP3009;
    let wrong = |offer: &&Offer| is_transfer(offer, Protocol::X402) && offer.objects(&["wrong_domain"]);
    let twins: Vec<Offer> = found.offers.iter().filter(wrong).cloned().collect();
    for offer in found.offers.iter_mut().filter(|offer| is_transfer(offer, Protocol::Mpp)) {
        let same = |twin: &&Offer| {
            (&twin.network, &twin.asset, &twin.payee, twin.price)
                == (&offer.network, &offer.asset, &offer.payee, offer.price)
        };
        if let Some(twin) = twins.iter().find(same) {
            let objections = twin.objections.iter().filter(|objection| objection.code == "wrong_domain").cloned();
            offer.objections.extend(objections);
        }
    }
}

fn is_same(a: &Offer, b: &Offer) -> bool {
    match (&a.way, &b.way) {
        (super::Way::Pay(a), super::Way::Pay(b)) => match (&**a, &**b) {
            (super::Pin::Mpp(a), super::Pin::Mpp(b)) => a.challenge == b.challenge,
            _ => false,
        },
        _ => false,
    }
}

fn offer(raw: &RawChallenge, page: &Page<'_>) -> Offer {
    let challenge = Challenge::read(raw);
    let mut offer = Offer {
        objections: Vec::new(),
        remarks: vec![listed::names(raw)],
        ..Offer::listed(Protocol::Mpp, Rail::UNKNOWN, Objection::new("", ""))
    };
    let challenge = match challenge {
        Ok(challenge) => challenge,
        Err(objection) => {
            offer.objections.push(objection);
            return offer;
        }
    };
    let terms = challenge.terms();
    if let Some(session) = session::offer(&challenge, &offer) {
        return session;
    }
    if let Some(objection) = listed::objection(&challenge, terms.as_ref().ok()) {
        offer.objections.push(objection);
        offer.remarks.extend(terms.ok().and_then(|terms| listed::price(&terms)));
        return offer;
    }
    offer.objections.extend(challenge.header_name().err());
    match challenge.expires_s() {
        Ok(expires_at) => offer.expires_at = expires_at,
        Err(objection) => offer.objections.push(objection),
    }
    let terms = match terms {
        Ok(terms) => terms,
        Err(objection) => {
            offer.objections.push(objection);
            return offer;
        }
    };
    offer.remarks.extend(listed::description(raw));
    match challenge.method.as_str() {
        "lightning" => lightning::offer(challenge, &terms, offer),
        "evm" => evm::offer(challenge, &terms, page.assets, offer),
        _ => tempo::offer(challenge, &terms, page.seen.url, offer),
    }
}
