//! What a seller says of a payment that it was shown: the receipt, the complaint, and which of three kinds a 402 is.
//!
//! Error strings are dialects of facilitators and no contract, so they are for people; nothing is decided by them but
//! that "pending" is neither a yes nor a no.

use serde_json::{Map, Value};

use super::{
    super::{
        Receipt, Seen,
        body::{Body, parse},
        text::clean,
    },
    Pin,
    challenge::Found,
    envelope::in_header,
};
use crate::evm::assets::chain_named;

/// The headers that carry a receipt, version 2's own first.
const HEADERS: [&str; 2] = ["payment-response", "x-payment-response"];

/// The most characters of a seller's reason.
const REASON: usize = 200;

/// Which of the three kinds of 402 an answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Demand {
    /// It asks for payment as if none had been shown.
    Challenge,
    /// It asks for payment again, and says what it does not like about the one it saw. Nothing was settled by this
    /// answer; what was signed can still be settled until it runs out.
    VerifyFailure,
    /// It tried to settle, and says that this failed. It may have happened all the same.
    SettleFailure,
    /// It gives neither terms nor a receipt.
    Bare,
}

/// Tells the three kinds of 402 apart. `None` for any other status.
///
/// A challenge and a verify failure look alike but for the text of `error`: the difference is for people, and neither is
/// a "no".
pub fn demand(seen: Seen<'_>) -> Option<Demand> {
    if seen.status != 402 {
        return None;
    }
    if said(seen).is_some_and(|receipt| receipt.get("success") == Some(&Value::Bool(false))) {
        return Some(Demand::SettleFailure);
    }
    Some(match Found::in_answer(seen) {
        Found::Terms(terms, _) if asks(&terms.error) => Demand::Challenge,
        Found::Terms(..) => Demand::VerifyFailure,
        Found::Nothing | Found::Unreadable(_) => Demand::Bare,
    })
}

/// Whether an `error` is the usual sentence of a first challenge, such as "X-PAYMENT header is required".
fn asks(error: &str) -> bool {
    error.is_empty() || error.contains(' ') && error.trim_end_matches('.').to_ascii_lowercase().ends_with("required")
}

/// Reads the receipt of a payment, whatever the answer's status.
///
/// `settled` is true only where `success` is and nothing speaks of a settlement that is still to come. One that says so
/// (`settlement_pending`, or a `status` other than `settled`) has `settled: false`, its transaction, and a reason that
/// begins with that word: it is no failure.
///
/// `None` when there is no receipt, or none that says yes or no, or one that says yes for another network than the pinned
/// one: that is not a receipt of this payment, and what became of this payment stays unknown.
pub(super) fn receipt(pin: &Pin, seen: Seen<'_>) -> Option<Receipt> {
    let said = said(seen)?;
    let success = said.get("success")?.as_bool()?;
    let word = |name: &str| said.get(name).and_then(Value::as_str).unwrap_or_default();
    let ours = |network: &str| chain_named(network).is_some_and(|chain| chain.id == pin.transfer.token.chain_id);
    if success && !word("network").is_empty() && !ours(word("network")) {
        return None;
    }
    let status = word("status").to_ascii_lowercase();
    let open = word("errorReason") == PENDING || matches!(status.as_str(), "pending" | "deferred_until");
    let settled = success && !open && matches!(status.as_str(), "" | "settled");
    let reason = match (settled, open) {
        (true, _) => String::new(),
        (false, true) if word("errorReason") != PENDING => told(&format!("{PENDING} {}", reason(&said))),
        (false, _) => reason(&said),
    };
    // Only `upto` charges less than was signed. An EIP-3009 transfer moves all of it whatever the seller writes here, and
    // books that believed a smaller number would give room in the budgets that is not there.
    let amount = match said.get("amount").filter(|_| pin.scheme == "upto") {
        Some(Value::String(text)) if text.bytes().all(|b| b.is_ascii_digit()) => text.parse().ok(),
        Some(value) => value.as_u64(),
        None => None,
    };
    let transaction = Some(clean(word("transaction"), 100)).filter(|t| !t.is_empty());
    Some(Receipt { settled, transaction, amount, reason })
}

const PENDING: &str = "settlement_pending";

/// What an answer gives as its reason for not taking a payment: the failed receipt's, else that of fresh terms, else the
/// body's. Cleaned, at most 200 characters, empty when there is none.
pub(super) fn complaint(seen: Seen<'_>) -> String {
    if let Some(receipt) = said(seen).filter(|r| r.get("success").and_then(Value::as_bool) == Some(false)) {
        let reason = reason(&receipt);
        if !reason.is_empty() {
            return reason;
        }
    }
    let body = Body::read(seen.body);
    if let Found::Terms(terms, _) = Found::read(seen, &body) {
        let error = told(&terms.error);
        if !error.is_empty() {
            return error;
        }
    }
    let fields = body.object();
    let text = ["error", "errorReason", "message", "detail"].iter().find_map(|name| fields?.get(*name)?.as_str());
    told(text.unwrap_or_default())
}

/// A seller's reason, cleaned and cut; its own quotation marks must not end those that it will stand in.
fn told(text: &str) -> String {
    clean(text, REASON).replace('"', "'")
}

/// The object of a receipt header. Where both names are sent, version 2's own counts.
fn said(seen: Seen<'_>) -> Option<Map<String, Value>> {
    let text = HEADERS.iter().find_map(|name| in_header(seen.headers, name))?.ok()?;
    match parse(&text)? {
        Value::Object(object) => Some(object),
        _ => None,
    }
}

/// `errorReason` and `errorMessage` in one line, or the status.
fn reason(said: &Map<String, Value>) -> String {
    let word = |name: &str| said.get(name).and_then(Value::as_str).map(str::trim).filter(|t| !t.is_empty());
    let text = match (word("errorReason").or_else(|| word("error")), word("errorMessage")) {
        (Some(reason), Some(message)) if reason != message => format!("{reason}: {message}"),
        (one, other) => {
            one.or(other).or_else(|| word("statusDetail")).or_else(|| word("status")).unwrap_or_default().into()
        }
    };
    told(&text)
}
