//! What is said inside the encryption: requests, replies, and what a reply proves.
//!
//! Real wallets write many shapes, so everything is optional and the unknown is passed over. One thing is strict: only
//! a preimage that hashes to the payment hash shows that something was paid.

use serde::Deserialize;
use serde_json::{Value, json};

use super::words;
use crate::{
    money::Amount,
    protocol::World,
    secret::Secret,
    wallet::{LookSaid, PaySaid, ReceivedSaid, WalletBudget},
};

/// How many transactions a listing is asked for.
pub(super) const LISTED: usize = 20;

/// All the bitcoin there will ever be, in millisatoshi: no balance is more.
const ALL_BITCOIN_MSAT: u64 = 21_000_000 * 100_000_000 * 1_000;

/// A request's plain text.
pub(super) fn request(method: &str, params: &Value) -> String {
    json!({ "method": method, "params": params }).to_string()
}

/// Whether a request's plain text asks for `method`.
pub(super) fn asks_for(text: &str, method: &str) -> bool {
    #[derive(Deserialize)]
    struct Asked {
        method: String,
    }
    serde_json::from_str::<Asked>(text).is_ok_and(|asked| asked.method == method)
}

/// The payment hash of a notification that a payment was sent, in lower case; `None` for any other text.
pub(super) fn sent_hash(text: &str) -> Option<String> {
    let said: Value = serde_json::from_str(text).ok()?;
    let sent = said.get("notification_type")?.as_str()? == "payment_sent";
    let hash = said.get("notification")?.get("payment_hash")?.as_str()?;
    sent.then(|| hash.to_ascii_lowercase())
}

/// A wallet's reply, decrypted.
pub(super) struct Reply {
    result_type: Option<String>,
    /// What it says.
    pub said: Said,
}

/// What a reply says.
pub(super) enum Said {
    /// An error, cleaned. `and_result` when it names a result as well and so contradicts itself.
    Error { code: String, message: String, and_result: bool },
    /// A result.
    Result(Value),
    /// Neither.
    Nothing,
}

#[derive(Deserialize)]
struct Envelope {
    result_type: Option<String>,
    error: Option<Value>,
    result: Option<Value>,
}

impl Reply {
    /// Reads a reply's plain text. `None` when it is not one.
    pub fn read(text: &str) -> Option<Reply> {
        if !text.trim_start().starts_with('{') {
            return None;
        }
        // The parser's error would quote the text, which may hold a preimage: it is dropped.
        let envelope: Envelope = serde_json::from_str(text).ok()?;
        let said = match (envelope.error, envelope.result) {
            (Some(error), result) => {
                let (code, message) = match &error {
                    Value::String(message) => ("OTHER".to_owned(), words::cleaned(message)),
                    other => {
                        let text = |name: &str| other.get(name).and_then(Value::as_str).unwrap_or_default();
                        (words::code(text("code")), words::cleaned(text("message")))
                    }
                };
                let and_result = result.is_some_and(|r| r != json!({}));
                Said::Error { code, message, and_result }
            }
            (None, Some(result)) => Said::Result(result),
            (None, None) => Said::Nothing,
        };
        Some(Reply { result_type: envelope.result_type, said })
    }

    /// Whether it can answer a request for `method`. Some wallets leave the type out when they refuse.
    pub fn answers(&self, method: &str) -> bool {
        self.result_type.as_deref().is_none_or(|kind| kind.is_empty() || kind == method)
    }
}

/// What a reply to `pay_invoice` or `pay` means for the payment with this hash.
pub(super) fn pay_said(said: Said, hash: &[u8; 32], sent_once: bool) -> PaySaid {
    let unknown = |why: &str| PaySaid::Unknown { why: why.to_owned() };
    match said {
        Said::Error { and_result: true, .. } => {
            unknown("the wallet answered with an error and a result at once, so what it did is not known")
        }
        Said::Error { code, message, .. } => PaySaid::Refused { code, message, sent_once },
        Said::Result(result) => match preimage(&result, hash) {
            Some(preimage) => PaySaid::Settled { preimage, fee: fee(&result) },
            None => match result.get("state").and_then(Value::as_str) {
                Some("pending") => unknown("the wallet says that the payment is on its way"),
                Some("failed") => unknown("the wallet says that the payment failed, which alone proves nothing"),
                _ => unknown("the wallet says that it paid, but gave no preimage that proves it"),
            },
        },
        Said::Nothing => unknown("the wallet's answer says neither that it paid nor that it did not"),
    }
}

/// What one transaction, as `lookup_invoice` and `list_transactions` show it, says of the payment with this hash.
pub(super) fn look_said(transaction: &Value, hash: &[u8; 32]) -> LookSaid {
    let text = |name: &str| transaction.get(name).and_then(Value::as_str).map(str::to_ascii_lowercase);
    let cannot_tell = |why: &str| LookSaid::CannotTell { why: why.to_owned() };
    if text("payment_hash").is_some_and(|named| named != data_encoding::HEXLOWER.encode(hash)) {
        return cannot_tell("the wallet showed another payment than the one it was asked for");
    }
    let state = text("state").filter(|s| !s.is_empty());
    let settled = state.as_deref() == Some("settled");
    if text("type").as_deref() == Some("incoming") && !settled {
        // Our own wallet issued the invoice. It knows the preimage from the start, and an unpaid or expired invoice says
        // nothing about an attempt to pay it.
        return cannot_tell("the wallet only showed the receiving side of the payment");
    }
    if let Some(preimage) = preimage(transaction, hash) {
        return LookSaid::Settled { preimage: Some(preimage), fee: fee(transaction) };
    }
    match state.as_deref() {
        Some("settled") => LookSaid::Settled { preimage: None, fee: fee(transaction) },
        Some("pending" | "accepted") => LookSaid::Pending,
        Some("failed" | "expired") => LookSaid::Failed,
        Some(_) => cannot_tell("the wallet gave the payment a state that is not known"),
        // LNbits shows a failed payment like this, with a preimage of zeros; it shows one that succeeded through a node
        // that gives no preimage in just the same way. Taking it for settled would claim a payment that never was;
        // taking it for failed would release money that may be gone. So it says nothing.
        None if transaction.get("settled_at").is_some_and(|at| !at.is_null() && *at != json!(0)) => {
            cannot_tell("the wallet gave the payment a time of settlement, but no state and no preimage that fits")
        }
        // The form from before there were states: known to the wallet, and not settled.
        None if transaction.is_object() => LookSaid::Pending,
        None => cannot_tell("the wallet's answer to the lookup makes no sense"),
    }
}

/// What a listing of outgoing transactions says of the payment with this hash.
///
/// A wallet may list several attempts to pay one invoice: what binds us most counts.
pub(super) fn listing_said(result: &Value, hash: &[u8; 32]) -> LookSaid {
    let Some(all) = result.get("transactions").and_then(Value::as_array) else {
        return LookSaid::CannotTell { why: "the wallet's list of payments makes no sense".into() };
    };
    let hex = data_encoding::HEXLOWER.encode(hash);
    let ours = |t: &&Value| {
        t.get("payment_hash").and_then(Value::as_str).is_some_and(|named| named.eq_ignore_ascii_case(&hex))
    };
    let rank = |said: &LookSaid| match said {
        LookSaid::Settled { preimage: Some(_), .. } => 5,
        LookSaid::Settled { preimage: None, .. } => 4,
        LookSaid::Pending => 3,
        LookSaid::CannotTell { .. } => 2,
        LookSaid::Failed | LookSaid::Void | LookSaid::OnChain { .. } => 1,
        LookSaid::NotFound => 0,
    };
    match all.iter().filter(ours).map(|t| look_said(t, hash)).max_by_key(rank) {
        Some(said) => said,
        None if all.len() >= LISTED => {
            LookSaid::CannotTell { why: "the wallet's list of payments is too long to reach back to this one".into() }
        }
        None => LookSaid::NotFound,
    }
}

/// What one transaction says of an invoice of our own with this payment hash. What is not plainly settled has not come.
pub(super) fn received_said(transaction: &Value, payment_hash: &str) -> ReceivedSaid {
    let text = |name: &str| transaction.get(name).and_then(Value::as_str).map(str::to_ascii_lowercase);
    let cannot_tell = |why: &str| ReceivedSaid::CannotTell { why: why.to_owned() };
    if text("payment_hash").is_some_and(|named| named != payment_hash) {
        return cannot_tell("the wallet showed another payment than the one it was asked for");
    }
    if text("type").as_deref() == Some("outgoing") {
        return cannot_tell("the wallet only showed a payment of its own");
    }
    let settled_at = transaction.get("settled_at").is_some_and(|at| !at.is_null() && *at != json!(0));
    match text("state").filter(|s| !s.is_empty()).as_deref() {
        Some("settled") => {}
        Some("expired" | "failed") => return ReceivedSaid::Never,
        Some(_) => return ReceivedSaid::NotYet,
        None if settled_at => {}
        None => return ReceivedSaid::NotYet,
    }
    let amount = transaction.get("amount").and_then(msat).filter(|msat| (1..=ALL_BITCOIN_MSAT).contains(msat));
    match amount.and_then(Amount::msat) {
        Some(amount) => ReceivedSaid::Came(amount),
        None => cannot_tell("the wallet says that something came, and not how much"),
    }
}

/// What a listing of incoming transactions says of it.
pub(super) fn received_list_said(result: &Value, payment_hash: &str) -> ReceivedSaid {
    let all = result.get("transactions").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let ours = |t: &&Value| {
        t.get("payment_hash").and_then(Value::as_str).is_some_and(|named| named.eq_ignore_ascii_case(payment_hash))
    };
    all.iter().find(ours).map_or(ReceivedSaid::NotYet, |t| received_said(t, payment_hash))
}

/// The preimage in a result, in lower case: only one that hashes to `hash`.
fn preimage(result: &Value, hash: &[u8; 32]) -> Option<Secret> {
    let text = result.get("preimage")?.as_str()?;
    let bytes = zeroize::Zeroizing::new(data_encoding::HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok()?);
    (bytes.len() == 32 && crate::sha256(&bytes) == *hash).then(|| Secret::new(text.to_ascii_lowercase()))
}

fn fee(result: &Value) -> Option<Amount> {
    // More than all bitcoin there will ever be is not a fee that was paid.
    msat(result.get("fees_paid")?).filter(|fee| *fee <= ALL_BITCOIN_MSAT).and_then(Amount::msat)
}

/// A whole, not negative number of millisatoshi; some wallets write it as `1000.0`.
fn msat(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| {
        let float = value.as_f64()?;
        (float.fract() == 0.0 && (0.0..9e15).contains(&float)).then_some(float as u64)
    })
}

/// The balance in a result of `get_balance`; `None` for one that cannot be.
pub(super) fn balance(result: &Value) -> Option<Amount> {
    let msat = msat(result.get("balance")?).filter(|msat| *msat <= ALL_BITCOIN_MSAT);
    if msat.is_none() {
        tracing::warn!("the wallet reports a balance that cannot be; it is passed over");
    }
    Amount::msat(msat?)
}

/// The budget in a result of `get_budget`; `None` where there is none, or one that cannot be.
pub(super) fn budget(result: &Value) -> Option<WalletBudget> {
    let amount = |name: &str| Amount::msat(msat(result.get(name)?).filter(|msat| *msat <= ALL_BITCOIN_MSAT)?);
    // An absent total is no budget; a total of zero is one.
    let total = amount("total_budget")?;
    let period = result.get("renewal_period").and_then(Value::as_str).map(words::cleaned).filter(|p| !p.is_empty());
    Some(WalletBudget {
        used: amount("used_budget"),
        total,
        renews_at_s: result.get("renews_at").and_then(msat).filter(|at| *at > 0),
        period: period.unwrap_or_else(|| "never".into()),
    })
}

/// What a result of `get_info` says, cleaned.
pub(super) struct About {
    /// The network's own name.
    pub network: Option<String>,
    /// The wallet's own name.
    pub alias: Option<String>,
    /// What this connection may do; empty when it does not say.
    pub methods: Vec<String>,
}

/// Reads a result of `get_info`.
pub(super) fn about(result: &Value) -> About {
    let text = |name: &str| {
        result.get(name).and_then(Value::as_str).map(words::cleaned).filter(|text: &String| !text.is_empty())
    };
    let methods = match result.get("methods") {
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).take(64).map(words::cleaned).collect(),
        // Written as one text by some.
        Some(Value::String(names)) => names.split([' ', ',']).filter(|n| !n.is_empty()).map(words::cleaned).collect(),
        _ => Vec::new(),
    };
    About { network: text("network").map(|n| n.to_ascii_lowercase()), alias: text("alias"), methods }
}

/// Real or play money, by the network's name; `None` for a name that is not known. No name means real money.
pub(super) fn world(network: Option<&str>) -> Option<World> {
    match network {
        None | Some("mainnet" | "bitcoin" | "main") => Some(World::Main),
        Some("regtest" | "testnet" | "testnet3" | "testnet4" | "signet" | "simnet" | "mutinynet") => Some(World::Test),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PREIMAGE: &str = "0101010101010101010101010101010101010101010101010101010101010101";

    fn hash() -> [u8; 32] {
        crate::sha256(&[1; 32])
    }

    fn pay(text: &str) -> PaySaid {
        pay_said(Reply::read(text).unwrap().said, &hash(), true)
    }

    #[test]
    fn only_a_preimage_that_hashes_settles_a_payment() {
        let settled = pay(&format!(r#"{{"result":{{"preimage":"{PREIMAGE}","fees_paid":1500,"new":[]}}}}"#));
        let PaySaid::Settled { preimage, fee } = settled else { panic!("{settled:?}") };
        assert_eq!((preimage.expose(), fee), (PREIMAGE, Amount::msat(1500)));
        let zeros = "0".repeat(64);
        for bad in [
            "{}".to_owned(),
            r#"{"preimage":""}"#.to_owned(),
            r#"{"preimage":null}"#.to_owned(),
            r#"{"preimage":17}"#.to_owned(),
            format!(r#"{{"preimage":"{zeros}"}}"#),
            format!(r#"{{"preimage":"{}"}}"#, &PREIMAGE[2..]),
            format!(r#"{{"preimage":"{PREIMAGE}00"}}"#),
            format!(r#"{{"preimage":" {PREIMAGE}"}}"#),
            r#"{"preimage":"lnbc1invoice"}"#.to_owned(),
            r#"{"methods":[]}"#.to_owned(),
            "true".to_owned(),
        ] {
            let said = pay(&format!(r#"{{"result":{bad}}}"#));
            assert!(matches!(said, PaySaid::Unknown { .. }), "{bad}: {said:?}");
        }
    }

    #[test]
    fn errors_are_read_in_every_shape_and_never_as_success() {
        let code = |text: &str| match pay(text) {
            PaySaid::Refused { code, message, .. } => format!("{code}|{message}"),
            other => format!("{other:?}"),
        };
        assert_eq!(code(r#"{"error":{"code":"EXPIRED","message":"too late"}}"#), "EXPIRED|too late");
        assert_eq!(code(r#"{"error":"Failed to decrypt request"}"#), "OTHER|Failed to decrypt request");
        assert_eq!(code(r#"{"error":{"code":7}}"#), "OTHER|");
        assert_eq!(code(r#"{"error":{}}"#), "OTHER|");
        assert_eq!(code(r#"{"error":{"code":"QUOTA_EXCEEDED"},"result":{}}"#), "QUOTA_EXCEEDED|");
        assert_eq!(code(r#"{"error":{"code":"QUOTA_EXCEEDED"},"result":null}"#), "QUOTA_EXCEEDED|");
        let both = format!(r#"{{"error":{{"code":"QUOTA_EXCEEDED"}},"result":{{"preimage":"{PREIMAGE}"}}}}"#);
        assert!(matches!(pay(&both), PaySaid::Unknown { .. }));
        assert!(matches!(pay(r#"{"error":null,"result":null}"#), PaySaid::Unknown { .. }));
        let leak = pay(&format!(r#"{{"error":{{"code":"OTHER","message":"was {PREIMAGE}"}}}}"#));
        assert!(!format!("{leak:?}").contains(&PREIMAGE[..12]));
        for odd in ["", "null", "[]", "\"x\"", "{", r#"["pay_invoice",null,{}]"#, r#"{"result_type":7,"result":{}}"#] {
            assert!(Reply::read(odd).is_none(), "{odd}");
        }
    }

    #[test]
    fn a_lookup_says_no_more_than_it_proves() {
        let hex = data_encoding::HEXLOWER.encode(&hash());
        let zeros = "0".repeat(64);
        let look = |v: Value| match look_said(&v, &hash()) {
            LookSaid::Settled { preimage: Some(_), .. } => "proved",
            LookSaid::Settled { preimage: None, .. } => "settled",
            LookSaid::Pending => "pending",
            LookSaid::Failed => "failed",
            LookSaid::NotFound => "not found",
            LookSaid::CannotTell { .. } => "cannot tell",
            LookSaid::OnChain { .. } | LookSaid::Void => "of another rail",
        };
        assert_eq!(look(json!({"state": "settled", "preimage": PREIMAGE, "payment_hash": hex})), "proved");
        assert_eq!(look(json!({"state": "SETTLED", "preimage": PREIMAGE.to_uppercase()})), "proved");
        assert_eq!(look(json!({"settled_at": 1, "preimage": PREIMAGE})), "proved");
        assert_eq!(look(json!({"state": "failed", "preimage": PREIMAGE})), "proved", "proof beats words");
        assert_eq!(look(json!({"state": "settled", "preimage": zeros})), "settled");
        assert_eq!(look(json!({"state": "pending"})), "pending");
        assert_eq!(look(json!({"state": "accepted", "preimage": null})), "pending");
        assert_eq!(look(json!({"state": "failed", "preimage": zeros})), "failed");
        assert_eq!(look(json!({"state": "expired"})), "failed");
        assert_eq!(look(json!({"settled_at": 1763700000, "preimage": zeros})), "cannot tell", "LNbits");
        assert_eq!(look(json!({"settled_at": null, "preimage": null})), "pending");
        assert_eq!(look(json!({"state": "odd"})), "cannot tell");
        assert_eq!(look(json!({"state": "failed", "payment_hash": zeros})), "cannot tell");
        assert_eq!(look(json!({"state": "pending", "type": "incoming", "preimage": PREIMAGE})), "cannot tell");
        assert_eq!(look(json!({"state": "expired", "type": "incoming"})), "cannot tell");
        assert_eq!(look(json!({"state": "settled", "type": "incoming", "preimage": PREIMAGE})), "proved");
        assert_eq!(look(json!("settled")), "cannot tell");
    }

    #[test]
    fn only_what_is_settled_with_an_amount_has_come() {
        let hex = data_encoding::HEXLOWER.encode(&hash());
        let said = |v: Value| match received_said(&v, &hex) {
            ReceivedSaid::Came(amount) => amount.atomic().to_string(),
            ReceivedSaid::NotYet => "not yet".into(),
            ReceivedSaid::Never => "never".into(),
            ReceivedSaid::CannotTell { .. } => "cannot tell".into(),
        };
        let base = json!({"type": "incoming", "payment_hash": hex, "amount": 5000});
        let with = |name: &str, value: Value| {
            let mut it = base.clone();
            it[name] = value;
            said(it)
        };
        assert_eq!(with("state", json!("settled")), "5000");
        assert_eq!(with("settled_at", json!(1_763_700_000)), "5000", "the form from before there were states");
        assert_eq!(
            (with("state", json!("pending")), with("settled_at", json!(0))),
            ("not yet".into(), "not yet".into())
        );
        assert_eq!(with("state", json!("expired")), "never");
        for (amount, why) in
            [(json!(0), "none"), (json!(-1), "negative"), (json!(null), "absent"), (json!("5"), "text")]
        {
            let it = json!({"type": "incoming", "payment_hash": hex, "state": "settled", "amount": amount});
            assert_eq!(said(it), "cannot tell", "{why}");
        }
        let another = json!({"payment_hash": "00", "state": "settled", "amount": 5000});
        assert_eq!(said(another), "cannot tell");
        let ours = json!({"type": "outgoing", "payment_hash": hex, "state": "settled", "amount": 5000});
        assert_eq!(said(ours.clone()), "cannot tell");
        let list = |all: Value| format!("{:?}", received_list_said(&json!({ "transactions": all }), &hex));
        assert_eq!(list(json!([])), "NotYet");
        assert!(list(json!([{"payment_hash": hex, "state": "settled", "amount": 7}])).starts_with("Came"));
    }

    #[test]
    fn a_listing_is_read_for_the_one_payment() {
        let hex = data_encoding::HEXLOWER.encode(&hash());
        let list = |all: Value| listing_said(&json!({ "transactions": all }), &hash());
        let ours = |state: &str| json!({"payment_hash": hex, "state": state});
        assert!(matches!(list(json!([])), LookSaid::NotFound));
        assert!(matches!(list(json!([ours("failed"), ours("pending")])), LookSaid::Pending));
        assert!(matches!(list(json!([ours("failed")])), LookSaid::Failed));
        let full: Vec<Value> = (0..LISTED).map(|_| json!({"payment_hash": "00"})).collect();
        assert!(matches!(list(json!(full)), LookSaid::CannotTell { .. }));
        assert!(matches!(listing_said(&json!({}), &hash()), LookSaid::CannotTell { .. }));
    }

    #[test]
    fn a_balance_that_cannot_be_is_no_balance() {
        assert_eq!(balance(&json!({"balance": 21000})), Amount::msat(21000));
        assert_eq!(balance(&json!({"balance": 21000.0})), Amount::msat(21000));
        assert_eq!(balance(&json!({ "balance": ALL_BITCOIN_MSAT })), Amount::msat(ALL_BITCOIN_MSAT));
        let beyond = json!(ALL_BITCOIN_MSAT + 1);
        for bad in [json!(-5), json!(-5.0), json!(1.5), beyond, json!(u64::MAX), json!("21"), json!(1e300), json!(null)]
        {
            assert_eq!(balance(&json!({ "balance": bad })), None, "{bad}");
        }
    }

    #[test]
    fn an_absent_budget_is_not_a_budget_of_zero() {
        let of = |v: Value| {
            budget(&v).map(|b| (b.used.map_or(99, |u| u.atomic()), b.total.atomic(), b.renews_at_s, b.period))
        };
        let full = json!({"used_budget": 5, "total_budget": 9, "renews_at": 1693876973, "renewal_period": "monthly"});
        assert_eq!(of(full), Some((5, 9, Some(1_693_876_973), "monthly".into())));
        assert_eq!(of(json!({"used_budget": 0, "total_budget": 0})), Some((0, 0, None, "never".into())));
        for none in [json!({}), json!(null), json!({"used_budget": 1}), json!({"total_budget": -1, "used_budget": 0})] {
            assert_eq!(of(none), None);
        }
        let over = budget(&json!({"used_budget": 12, "total_budget": 9})).unwrap();
        assert!(over.left().is_some_and(Amount::is_zero));
        let half = budget(&json!({ "total_budget": 9 })).unwrap();
        assert_eq!((half.used, half.left(), half.total.atomic()), (None, None, 9), "the total is told all the same");
    }

    #[test]
    fn only_the_notification_of_a_payment_is_a_hint() {
        let told = |kind: &str| json!({"notification_type": kind, "notification": {"payment_hash": "AB"}}).to_string();
        assert_eq!(sent_hash(&told("payment_sent")), Some("ab".into()));
        assert_eq!(sent_hash(&told("payment_received")), None);
        assert_eq!(sent_hash("{}"), None);
        assert!(asks_for(r#"{"method":"pay","params":{}}"#, "pay") && !asks_for(r#"{"method":"pay"}"#, "pay_invoice"));
    }

    #[test]
    fn an_unknown_network_is_no_world() {
        assert_eq!(world(None), Some(World::Main));
        assert_eq!(world(Some("mainnet")), Some(World::Main));
        assert_eq!(world(Some("mutinynet")), Some(World::Test));
        assert_eq!(world(Some("liquid")), None);
    }
}
