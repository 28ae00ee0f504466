//! The HTTP payment dialects, without any I/O: bytes in, offers out; proof in, headers out.
//!
//! No socket, no clock and no wallet is known here. A new protocol is one file (or folder) beside `l402.rs`, one arm in
//! [`read`], one variant of [`Pin`].

mod body;
pub mod bolt11;
mod credential;
pub mod free;
pub mod header;
pub mod l402;
pub mod mpp;
pub mod text;
pub mod x402;

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};

pub use self::credential::Credential;
use self::{
    body::Body,
    bolt11::{Invoice, InvoicePolicy},
};
use crate::{
    evm::{assets::Assets, eip3009::Transfer, permit2::Taking},
    money::Amount,
    secret::Secret,
};

/// The most offers that are kept of one answer.
pub const MAX_OFFERS: usize = 16;

/// The most notes that are kept of one answer.
pub const MAX_NOTES: usize = 16;

/// An answer from a seller, as far as a protocol may look at it.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// The URL that answered.
    pub url: &'a url::Url,
    /// The HTTP status.
    pub status: u16,
    /// The header fields, as received.
    pub headers: &'a HeaderMap,
    /// The body, already bounded.
    pub body: &'a [u8],
}

/// What a seller's 402 says, parsed: every way to satisfy it that was found, payable or not.
#[derive(Clone, Debug, Default)]
pub struct Challenge {
    /// The offers, in the order in which they were found. One that cannot be paid stays here with its objections.
    pub offers: Vec<Offer>,
    /// What was seen and not understood, for a person: short, cleaned, at most 16 lines.
    pub notes: Vec<String>,
    /// What the terms say of the endpoint itself, where they do.
    pub described: Option<x402::Described>,
}

/// The HTTP dialect of an offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// No payment: a free tier that the seller names.
    Free,
    /// L402, or its older name LSAT.
    L402,
    /// x402, versions 1 and 2.
    X402,
    /// The Machine Payments Protocol.
    Mpp,
}

impl Protocol {
    /// The name used in results, SQL and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Protocol::Free => "free",
            Protocol::L402 => "l402",
            Protocol::X402 => "x402",
            Protocol::Mpp => "mpp",
        }
    }
}

/// The way money moves for an offer. A plain name: SQL stores it as text, a new rail needs no migration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rail(pub &'static str);

impl Rail {
    /// No money moves.
    pub const NONE: Rail = Rail("none");
    /// A Lightning payment of a BOLT11 invoice.
    pub const LIGHTNING: Rail = Rail("lightning");
    /// A transfer of a stablecoin that the payer signs and the seller settles (EIP-3009).
    pub const EIP3009: Rail = Rail("eip3009");
    /// A transfer that the payer signs for the contract Permit2, which needs an allowance on the chain first.
    pub const PERMIT2: Rail = Rail("permit2");
    /// A transaction of stablecoins on Tempo that the payer signs and the seller carries to the chain.
    pub const TEMPO: Rail = Rail("tempo");
    /// A rail that was not read: the offer is only listed.
    pub const UNKNOWN: Rail = Rail("unknown");

    /// Whether the seller settles on the rail of this name: then paying is to send the request with what the wallet
    /// signed, and only the seller or a chain can say what became of it. Else the wallet pays, and its proof is shown to
    /// the seller.
    pub fn is_settled_by_seller(name: &str) -> bool {
        [Rail::EIP3009, Rail::PERMIT2, Rail::TEMPO].iter().any(|rail| rail.0 == name)
    }
}

impl fmt::Display for Rail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// Real money or play money: a ledger holds one of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum World {
    /// The main networks.
    Main,
    /// Regtest, simnet, testnet, signet and test chains.
    Test,
}

impl World {
    /// The name used in results and SQL.
    pub const fn name(self) -> &'static str {
        match self {
            World::Main => "main",
            World::Test => "test",
        }
    }

    /// Finds a world by its name.
    pub fn from_name(name: &str) -> Option<World> {
        [World::Main, World::Test].into_iter().find(|w| w.name() == name)
    }
}

/// One reason why an offer cannot be paid. `code` is stable, `say` is for people and models.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Objection {
    /// A stable word such as `expired`, `no_amount`, `not_bound`.
    pub code: &'static str,
    /// One sentence, in our own words; anything a seller wrote is quoted, cleaned and bounded.
    pub say: String,
}

impl Objection {
    /// An objection with its sentence.
    pub fn new(code: &'static str, say: impl Into<String>) -> Objection {
        Objection { code, say: say.into() }
    }
}

/// One way to satisfy a challenge.
#[derive(Clone, Debug)]
pub struct Offer {
    /// The dialect it is written in.
    pub protocol: Protocol,
    /// The way the money would move.
    pub rail: Rail,
    /// The network by its own name: `bitcoin`, `regtest`, `eip155:8453`.
    pub network: String,
    /// Real or play money; `None` when the network is unknown (then there is an objection).
    pub world: Option<World>,
    /// The asset: `btc`, or a token's address.
    pub asset: String,
    /// What would actually be paid. `None` when it cannot be known, and then there is an objection.
    pub price: Option<Amount>,
    /// Who would be paid: a node's public key, an address. Empty when unknown.
    pub payee: String,
    /// What makes this payment unique on its rail, such as `ln:<payment hash>`; empty for a free offer.
    pub rail_key: String,
    /// When it can no longer be paid, in unix seconds.
    pub expires_at: Option<u64>,
    /// What paying needs.
    pub way: Way,
    /// Why it cannot be paid, whoever asks. Empty means that the protocol has nothing against it.
    pub objections: Vec<Objection>,
    /// What is worth knowing but forbids nothing, such as a token that does not say what it is bound to.
    pub remarks: Vec<String>,
}

impl Offer {
    /// Whether money (or a free call) may move for it, as far as the protocol can tell without a clock.
    pub fn is_payable(&self) -> bool {
        self.objections.is_empty()
            && match &self.way {
                Way::Free { .. } => true,
                Way::Pay(_) => self.price.is_some() && self.world.is_some(),
                Way::Listed => false,
            }
    }

    /// Everything against paying it at this moment: what is always against it, and what the clock adds.
    pub fn objections_at(&self, now_s: u64, policy: &InvoicePolicy) -> Vec<Objection> {
        let mut objections = self.objections.clone();
        if let Way::Pay(pin) = &self.way
            && let Pin::Mpp(pin) = &**pin
        {
            objections.extend(pin.objections_at(now_s, policy));
        }
        if let Way::Pay(pin) = &self.way
            && let Some(text) = pin.quoted_invoice()
        {
            match Invoice::read(text) {
                Ok(invoice) => objections.extend(invoice.objections(now_s, policy)),
                Err(objection) if !objections.contains(&objection) => objections.push(objection),
                Err(_) => {}
            }
        }
        objections
    }

    /// An offer of which nothing is known but that it is there, and why it cannot be paid.
    fn listed(protocol: Protocol, rail: Rail, objection: Objection) -> Offer {
        Offer {
            protocol,
            rail,
            network: String::new(),
            world: None,
            asset: String::new(),
            price: None,
            payee: String::new(),
            rail_key: String::new(),
            expires_at: None,
            way: Way::Listed,
            objections: vec![objection],
            remarks: Vec::new(),
        }
    }

    /// Whether one of these objections was already made.
    fn objects(&self, codes: &[&str]) -> bool {
        self.objections.iter().any(|o| codes.contains(&o.code))
    }
}

/// What paying an offer needs.
#[derive(Clone, Debug)]
pub enum Way {
    /// The same request with one more header, without money.
    Free {
        /// The header's name, from a closed list.
        name: HeaderName,
        /// The header's value, from a closed list.
        value: HeaderValue,
    },
    /// A payment.
    Pay(Box<Pin>),
    /// Nothing Bursar can do: the offer is only listed.
    Listed,
}

/// What must be kept of an offer from W1 on, so that its credential can be made after a crash.
///
/// It holds what is secret after paying (a macaroon is half of a bearer token), so it lives only in `intent.bytes`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "protocol", rename_all = "snake_case")]
pub enum Pin {
    /// An L402 or LSAT challenge.
    L402(l402::Pin),
    /// One entry of an x402 challenge.
    X402(x402::Pin),
    /// An MPP challenge.
    Mpp(mpp::Pin),
}

/// What shows that we paid.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Proof {
    /// The 32 bytes whose SHA-256 is the invoice's payment hash, as 64 lower-case hex digits.
    Preimage {
        /// 64 lower-case hex digits.
        hex: Secret,
    },
    /// A transfer that the seller settled, or that counts as settled.
    Transfer {
        /// Who says so.
        by: Witness,
        /// The transaction's hash, where one was named. The seller's word, unless the chain said it.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        transaction: Option<String>,
    },
}

/// Who says that a transfer was settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Witness {
    /// The seller's receipt.
    Receipt,
    /// The chain: the authorization is used.
    Chain,
    /// Nobody: the seller delivered without a receipt, or what was signed ran out and no chain could be asked. It counts
    /// as spent.
    Nobody,
}

/// What a seller's receipt says of a transfer it was to settle. All of it is the seller's word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Whether it says that the money moved.
    pub settled: bool,
    /// The transaction's hash, cleaned; `None` when none is named.
    pub transaction: Option<String>,
    /// What was charged, in the token's own units, where it says so (scheme `upto`).
    pub amount: Option<u64>,
    /// Its reason when nothing moved, cleaned and bounded; empty when it gives none.
    pub reason: String,
}

impl Proof {
    /// The hash of the transaction that moved the money, where one is named: the part of a proof that anyone may see.
    pub fn transaction(&self) -> Option<&str> {
        match self {
            Proof::Preimage { .. } => None,
            Proof::Transfer { transaction, .. } => transaction.as_deref(),
        }
    }
}

impl fmt::Debug for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Proof([secret])")
    }
}

impl Pin {
    /// The dialect it belongs to.
    pub fn protocol(&self) -> Protocol {
        match self {
            Pin::L402(_) => Protocol::L402,
            Pin::X402(_) => Protocol::X402,
            Pin::Mpp(_) => Protocol::Mpp,
        }
    }

    /// Whether the seller promises the same answer to who shows the same payment again.
    pub fn replays(&self) -> bool {
        match self {
            Pin::L402(_) => true,
            Pin::X402(pin) => x402::replays(pin),
            // A challenge is consumed once; some servers keep the answer, and none has to.
            Pin::Mpp(_) => false,
        }
    }

    /// The transfer to sign by EIP-3009, where the seller settles in that way.
    pub fn transfer(&self) -> Option<&Transfer> {
        match self {
            Pin::L402(_) => None,
            Pin::X402(pin) => Some(&pin.transfer).filter(|_| pin.permit2.is_none()),
            Pin::Mpp(pin) => pin.transfer(),
        }
    }

    /// The transfer to sign a Permit2 permit for, and how it may be taken, where the seller settles in that way.
    pub fn permit(&self) -> Option<(&Transfer, &Taking)> {
        match self {
            Pin::L402(_) | Pin::Mpp(_) => None,
            Pin::X402(pin) => Some(&pin.transfer).zip(pin.permit2.as_ref()),
        }
    }

    /// The header that pays, made of the pinned offer and of what the wallet signed (`Prepared::wire`). `None` when the
    /// two do not fit together, or where the wallet pays.
    pub fn payment(&self, signed: &[u8]) -> Option<Credential> {
        match self {
            Pin::L402(_) => None,
            Pin::X402(pin) => x402::payment(pin, signed),
            Pin::Mpp(pin) => pin.payment(signed),
        }
    }

    /// The receipt in an answer to a request that paid, whatever the answer's status. `None` when there is none that can
    /// be read.
    pub fn receipt(&self, seen: Seen<'_>) -> Option<Receipt> {
        match self {
            Pin::L402(_) => None,
            Pin::X402(pin) => x402::receipt(pin, seen),
            Pin::Mpp(pin) => pin.receipt(seen),
        }
    }

    /// Why the seller says that it took no payment, in an answer that asks for payment again: cleaned, bounded, and for
    /// people only. Empty when it says nothing.
    pub fn complaint(&self, seen: Seen<'_>) -> String {
        match self {
            Pin::L402(_) => String::new(),
            Pin::X402(_) => x402::complaint(seen),
            Pin::Mpp(_) => mpp::complaint(seen),
        }
    }

    /// The BOLT11 invoice to pay, where the rail is Lightning.
    pub fn invoice(&self) -> Option<&str> {
        match self {
            Pin::L402(pin) => Some(&pin.invoice),
            Pin::X402(_) => None,
            Pin::Mpp(pin) => pin.invoice(),
        }
    }

    /// The invoice that names the price, whether or not it may be paid already (a session's deposit).
    pub fn quoted_invoice(&self) -> Option<&str> {
        match self {
            Pin::Mpp(pin) => pin.quoted_invoice(),
            _ => self.invoice(),
        }
    }

    /// The session that paying opens, where it does.
    pub fn session(&self) -> Option<&mpp::session::Terms> {
        match self {
            Pin::Mpp(pin) => pin.session(),
            _ => None,
        }
    }

    /// When the challenge itself ends, where it says so, in unix seconds: nothing that is signed for it may outlive it.
    pub fn expires_at(&self) -> Option<u64> {
        match self {
            Pin::L402(_) | Pin::X402(_) => None,
            Pin::Mpp(pin) => pin.expires_at(),
        }
    }

    /// The most that paying costs beside the price, where that is told by what is signed and not by the wallet.
    pub fn fee_cap(&self) -> Option<Amount> {
        match self {
            Pin::L402(_) | Pin::X402(_) => None,
            Pin::Mpp(pin) => pin.fee_cap(),
        }
    }

    /// The header that unlocks the resource, made of the pinned challenge and the proof. `None` when the two do not fit
    /// together or when the result cannot stand in a header.
    pub fn credential(&self, proof: &Proof) -> Option<Credential> {
        match (self, proof) {
            (Pin::L402(pin), Proof::Preimage { hex }) => l402::credential(pin, hex),
            (Pin::Mpp(pin), proof) => pin.credential(proof),
            _ => None,
        }
    }
}

/// An answer whose challenge headers and body were parsed once, for every dialect.
struct Page<'a> {
    seen: Seen<'a>,
    assets: &'a Assets,
    listing: header::Listing,
    body: Body,
}

/// Reads every offer in a seller's answer. Never fails: what is not understood becomes a note or an objection.
///
/// Payment is read out of a 402 only; a free tier also out of a 429. At most [`MAX_OFFERS`] offers and [`MAX_NOTES`]
/// notes are kept; a note tells of the offers that were not.
pub fn read(seen: Seen<'_>) -> Challenge {
    read_with(seen, &Assets::default())
}

/// The same, with the operator's own tokens beside the pinned ones.
pub fn read_with(seen: Seen<'_>, assets: &Assets) -> Challenge {
    let page = Page { seen, assets, listing: header::challenges(seen.headers), body: Body::read(seen.body) };
    let mut challenge = Challenge::default();
    free::read(&page, &mut challenge);
    if seen.status == 402 {
        if page.body == Body::Broken {
            challenge.notes.push("the body looks like JSON and is not sound; nothing in it was believed".into());
        }
        l402::read(&page, &mut challenge);
        // Servers that write both for one price refuse other x402 clients more often than they refuse ours of MPP, and of
        // two equal prices the first is taken.
        mpp::read(&page, &mut challenge);
        x402::read(&page, &mut challenge);
        mpp::compare_with_twins(&mut challenge);
    } else if page.listing.challenges.iter().any(is_payment) {
        let status = seen.status;
        challenge.notes.push(format!("a payment challenge came with status {status} instead of 402; it was not read"));
    }
    challenge.notes.extend(page.listing.notes);
    if let Some(more) = challenge.offers.len().checked_sub(MAX_OFFERS).filter(|more| *more > 0) {
        challenge.offers.truncate(MAX_OFFERS);
        challenge.notes.insert(0, format!("{more} more offers were not kept: {MAX_OFFERS} are enough"));
    }
    challenge.notes.truncate(MAX_NOTES);
    challenge
}

/// Whether an answer asks for payment, whatever its status: a challenge of L402, LSAT or MPP stands in it, or terms of
/// x402. Servers send challenges beside 500, 410 or 400, too; with an answer that succeeded one is no more than an offer.
pub fn asks_for_payment(seen: Seen<'_>) -> bool {
    if matches!(seen.status, 200..=299 | 304) {
        return false;
    }
    let listing = header::challenges(seen.headers);
    listing.challenges.iter().any(is_payment) || x402::stands_in(seen)
}

/// Whether a challenge is one that money meets.
fn is_payment(raw: &header::RawChallenge) -> bool {
    ["L402", "LSAT", "Payment"].iter().any(|scheme| raw.is(scheme))
}
