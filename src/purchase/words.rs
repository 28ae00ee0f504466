//! What callers are told, in sentences: what happened to the money, and what to do next.

use super::{No, OfferView, Outcome, Report, results::Body};
use crate::{
    ledger::{NoRoom, PurchaseId, Standing, State},
    money::Amount,
};

/// The report of a purchase that could not be driven or recorded further here.
pub(super) fn unrecorded(id: PurchaseId, no: &No) -> Report {
    Report {
        purchase: Some(id),
        code: Some("outcome_unknown"),
        ..Report::new(
            Outcome::Pending,
            format!(
                "{id} was begun and may have been paid, and it cannot be followed right now: {}. Its hold stays, and \
                 nothing is paid twice. {}",
                no.say.trim_end_matches('.'),
                ask_again(id)
            ),
        )
    }
}

/// What is said when no wallet is set up.
pub const NO_WALLET: &str = "no wallet is set up. A person adds one in a terminal: `bursar wallet add nwc` (Lightning) or \
     `bursar wallet add evm` (USDC)";

/// What calls have in common that wait for the same task. The request is part of it: a caller's own key may come with
/// another one, which must not get this one's answer.
pub(super) fn flight_key(principal: &str, idem_key: &str, request_hash: &str) -> String {
    // Lengths first, so that no two of these can be put together to the same text.
    format!("{}:{principal} {}:{idem_key} {request_hash}", principal.len(), idem_key.len())
}

pub(super) fn ending() -> No {
    No::new("ending", "the server is ending; call again when it is back")
}

/// `why` begins with the id of the purchase that froze it. It is told only to whom that purchase is (`mine`).
pub(super) fn frozen(why: &str, mine: bool) -> No {
    let say = match why.split(':').next().filter(|_| mine) {
        Some(id) => format!("the wallet is frozen until a person looks ({why}); they run: bursar approve {id}"),
        None => FROZEN_BY_ANOTHER.into(),
    };
    No::new("wallet_frozen", say)
}

/// What is said when somebody else's purchase froze the wallet.
pub(super) const FROZEN_BY_ANOTHER: &str = "the wallet is frozen until a person looks; they run: bursar doctor";

/// What is said of an invoice that a purchase used already: whose it is, only to whom it is.
pub(super) fn invoice_reused(mine: Option<PurchaseId>) -> No {
    let by = mine.map_or("before".into(), |id| format!("for {id}"));
    No::new("invoice_reused", format!("the seller's invoice was already used {by}; an invoice is never paid twice"))
}

/// What is said of a seller that kept the money of a purchase; its id only to whom it is.
pub(super) fn cooling_down(mine: Option<PurchaseId>) -> No {
    let say = match mine {
        Some(id) => format!(
            "this seller took the money of {id} and asked for more instead of delivering; it is not paid again for 24 \
             hours. Call fetch_paid with result_id {id} to ask for what was paid, free of charge"
        ),
        None => {
            "this seller took money and asked for more instead of delivering; it is not paid again for 24 hours".into()
        }
    };
    No::new("seller_cooling_down", say)
}

pub(super) fn gone() -> No {
    No::new(
        "result_gone",
        "this answer is no longer kept (7 days, and the newest 256 MB of each caller); asking the seller again may cost money",
    )
}

/// A stored answer that is there and cannot be read just now.
pub(super) fn shut(e: std::io::Error) -> No {
    No::new("ledger", format!("this answer is kept and cannot be read just now ({e}); call again, it costs nothing"))
}

pub(super) fn key_taken(id: PurchaseId) -> No {
    No::new(
        "idempotency_key_taken",
        format!("this idempotency_key belongs to {id}, which is another request; use another key"),
    )
}

/// What a status means to the one who asked.
pub(super) fn answered(status: u16) -> String {
    let means = match status {
        206 => ": only the part that Range asked for",
        304 => ", not modified: what you have is still current",
        400 | 422 => ", the request is wrong",
        403 => ", forbidden",
        404 => ", not found",
        405 => ", not with this method",
        409 => ", a conflict",
        410 => ", gone for good",
        412 => ", the condition does not hold",
        415 => ", not with this Content-Type",
        416 => ", there is no such range",
        429 => ", too many requests",
        500.. => ", the seller's own error",
        _ => "",
    };
    format!("HTTP {status}{means}")
}

/// Where an answer points that was not followed, in the seller's own words.
pub(super) fn pointed(body: &Body, bought: bool) -> String {
    let kept = if bought { " What was bought stays kept for the seller that was paid." } else { "" };
    let say = |to: &String| {
        let to = crate::protocol::text::clean(to, 500);
        format!(
            " It points to another place, where nothing was sent.{kept} If that place is meant, call fetch_paid with its \
             own address: <{to}>."
        )
    };
    body.moved.as_ref().map(say).unwrap_or_default()
}

pub(super) fn ask_again(id: PurchaseId) -> String {
    format!("Call fetch_paid with result_id {id} (without url) to hear more, free of charge.")
}

/// The report of a payment whose outcome is not known yet.
pub(super) fn pending(standing: &Standing) -> Report {
    let held = standing.price.plus(standing.fee_cap).unwrap_or(standing.price);
    let id = standing.id;
    let say = match standing.state {
        State::Paying => format!("The payment of {} is under way ({id}); {held} are held for it.", standing.price),
        State::Undelivered => {
            format!("Paid {} ({id}); the seller has not delivered yet, and is being asked again.", standing.price)
        }
        State::Paid => format!("Paid {} ({id}); the seller has not answered yet.", standing.price),
        _ => format!(
            "Nobody knows yet whether {} left the wallet ({id}): {}. {held} stay held, and nothing is paid twice.",
            standing.price, standing.note
        ),
    };
    Report {
        purchase: Some(id),
        price: Some(standing.price),
        held: Some(if standing.state.at_risk() { held } else { Amount::zero(held.currency()) }),
        code: Some(if standing.state == State::Unknown { "outcome_unknown" } else { "pending" }),
        ..Report::new(Outcome::Pending, format!("{say} {}", ask_again(id)))
    }
}

/// The report of what was signed and given to the seller, and may still be used. `declined` is the status of a seller that
/// answered and charged nothing, as far as it says.
pub(super) fn signed_away(standing: &Standing, declined: Option<u16>, now_s: u64) -> Report {
    let (id, price) = (standing.id, standing.price);
    let left = u64::try_from(standing.liability_until_s).unwrap_or_default().saturating_sub(now_s);
    let held = match left {
        0 => format!("{price} stays held until it is known whether it was used"),
        left => format!("{price} stays held: what was signed can be used for {left} s more"),
    };
    let say = match declined {
        Some(status) => format!(
            "The seller answered {} and gave no receipt, so it seems that nothing was charged ({id}). {held}. If the \
             request was wrong, correct it and call again.",
            answered(status)
        ),
        None => format!(
            "Nobody knows yet whether {price} left the wallet ({id}): {}. {held}. The same call again, or result_id {id}, \
             shows the seller the same payment; nothing is paid twice.",
            standing.note.trim_end_matches('.')
        ),
    };
    Report {
        purchase: Some(id),
        price: Some(price),
        held: Some(price),
        code: Some(if declined.is_some() { "declined" } else { "outcome_unknown" }),
        ..Report::new(Outcome::Pending, say)
    }
}

/// What to do about a seller that was paid and has not delivered.
pub(super) fn show_again(id: PurchaseId, by_seller: bool) -> String {
    match by_seller {
        true => format!(
            "An equal call, or result_id {id}, shows it the same payment once more, free of charge; to buy it anew, call \
             with an idempotency_key of your own."
        ),
        false => format!(
            "Wait a little; then an equal call, or result_id {id}, shows it the same receipt again, free of charge."
        ),
    }
}

pub(super) fn awaiting(standing: &Standing) -> Report {
    let held = standing.price.plus(standing.fee_cap).unwrap_or(standing.price);
    let id = standing.id;
    Report {
        purchase: Some(id),
        price: Some(standing.price),
        held: Some(held),
        code: Some("needs_approval"),
        ..Report::new(
            Outcome::AwaitingApproval,
            format!(
                "Nothing was paid: {} is above what may be spent without a person. In a terminal they run \
                 `bursar approve {id}` (or deny); after that, the same call buys it.",
                standing.price
            ),
        )
    }
}

pub(super) fn failed_advice(standing: &Standing) -> String {
    let advice = match &standing.note {
        n if n.contains("INSUFFICIENT_BALANCE") => " The wallet needs more money; a person can top it up.",
        n if n.contains("QUOTA_EXCEEDED") => {
            " The wallet's own budget for this connection is used up; a person can raise it there."
        }
        n if n.contains("RESTRICTED") || n.contains("UNAUTHORIZED") => {
            " The wallet connection may not pay; a person can connect one that may."
        }
        n if n.contains("RATE_LIMITED") => " Call again later.",
        _ if standing.explicit_key() => "",
        _ => " Call again to try anew.",
    };
    let key =
        if standing.explicit_key() { " This idempotency_key stays failed; use another idempotency_key." } else { "" };
    format!("{advice}{key}")
}

pub(super) fn with_advice(code: &str, say: String) -> String {
    match code {
        "above_max_price" => format!("{say}. Call again with a higher max_price if it is worth that"),
        "above_limit" | "budget_used_up" => format!("{say}. {RAISE}"),
        _ => say,
    }
}

const RAISE: &str = "A person can raise the limit up to the operator's ceiling in a terminal with `bursar budget set`";

pub(super) fn no_room(no: &NoRoom) -> No {
    match no {
        NoRoom::NoCeiling(currency) => {
            No::new("no_ceiling", format!("the operator set no ceiling for {currency}, so none of it is spent"))
        }
        NoRoom::Price { price, limit, ceiling } => No::new(
            "above_limit",
            format!("it costs {price}, above the limit of {limit} a purchase (ceiling {ceiling}). {RAISE}"),
        ),
        NoRoom::Together { price, together, most, by_caller } => {
            let (code, what) = match by_caller {
                true => ("above_max_price", format!("max_price {most}")),
                false => ("above_limit", format!("the limit of {most} a purchase")),
            };
            let say =
                format!("what was signed first may still be taken beside {price}: {together} together, above {what}");
            No::new(code, say)
        }
        NoRoom::Left { scope, needs, left, limit, ceiling } => No::new(
            "budget_used_up",
            format!(
                "it needs {needs} with its fee, and {left} of {limit} is left in the {} budget (ceiling {ceiling}). {RAISE}",
                scope.name()
            ),
        ),
    }
}

pub(super) fn why_none(offers: &[OfferView]) -> String {
    match offers {
        [] => "The seller asks for payment in no way that Bursar knows.".into(),
        offers => format!("It cannot be paid: {}.", offers[0].why.trim_end_matches('.')),
    }
}

impl No {
    /// The report of a task that died: what was paid stands in the ledger, so it does not say that nothing was.
    pub(super) fn lost(self) -> Report {
        Report { code: Some(self.code), ..Report::new(Outcome::Pending, self.say) }
    }
}
