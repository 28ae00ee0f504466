//! `tempo/charge` in pull mode: a signed transaction that the seller carries to the chain (draft-tempo-charge-00), and
//! the proof of a charge of zero.
//!
//! In push mode the payer sends it itself and shows the hash: it pays before the seller has committed to anything, so
//! that is never done.

use serde_json::{Map, Value, json};
use url::Url;

use super::{
    super::{Credential, Objection, Offer, Rail, Way, World},
    Means, Pin,
    challenge::{Challenge, word},
    credential,
    evm::{amount, number, payee},
};
use crate::{
    evm::{
        Address,
        tempo::{Ask, Charge, Fees, Signed, Transfer, attribution, is_test, token},
        unhex,
    },
    money::{Amount, Currency},
};

/// The most payees beside the first one.
const MAX_SPLITS: usize = 10;

/// Judges a challenge that came from `asked`.
pub(super) fn offer(challenge: Challenge, terms: &Map<String, Value>, asked: &Url, mut offer: Offer) -> Offer {
    let mut objections = std::mem::take(&mut offer.objections);
    let mut object = |code: &'static str, say: String| objections.push(Objection::new(code, say));
    offer.rail = Rail::TEMPO;
    let empty = Map::new();
    let details = terms.get("methodDetails").and_then(Value::as_object).unwrap_or(&empty);
    let chain_id = details.get("chainId").and_then(number);
    let world = chain_id.and_then(is_test).map(|test| if test { World::Test } else { World::Main });
    match (chain_id, world) {
        (Some(id), Some(world)) => {
            offer.network = format!("eip155:{id}");
            offer.world = Some(world);
        }
        // A default would be the seller's guess about which money is meant.
        _ => {
            let shown = details.get("chainId").map(ToString::to_string).unwrap_or_default();
            object("unknown_network", format!("it pays on the chain \"{}\", which is none of Tempo's", word(&shown)));
        }
    }
    let currency = terms.get("currency").and_then(Value::as_str).unwrap_or_default();
    let address: Option<Address> = currency.parse().ok();
    offer.asset = address.map_or_else(|| word(currency), |a| a.to_string());
    let value = amount(terms, &mut object);
    let ask = match value {
        Some(0) => {
            if !challenge.is_realm_of(asked) {
                object(
                    "wrong_realm",
                    format!(
                        "it wants a proof for \"{}\", which is not the host that was asked: it could be shown there",
                        word(&challenge.realm)
                    ),
                );
            }
            offer.price = Some(Amount::zero(Currency::Usd));
            offer.remarks.push("it costs nothing but a proof of whose account this is".into());
            chain_id.map(|chain_id| Ask::Proof {
                chain_id,
                challenge_id: challenge.id.clone(),
                realm: challenge.realm.clone(),
            })
        }
        _ => {
            let known = chain_id.zip(address).filter(|(id, address)| token(*id, address).is_some());
            if known.is_none() && world.is_some() {
                object("unknown_asset", format!("nobody here knows what one unit of {} is worth", offer.asset));
            }
            if known.is_some() {
                offer.price = value.and_then(|value| Amount::new(Currency::Usd, value));
            }
            let modes = details.get("supportedModes").and_then(Value::as_array);
            if modes.is_some_and(|modes| !modes.iter().any(|mode| mode == "pull")) {
                object(
                    "unsupported_method",
                    "the payer would have to send the money before the seller agreed to it".into(),
                );
            }
            let to = payee(terms, "recipient", address.as_ref(), &mut object);
            offer.payee = to.map(|to| to.to_string()).unwrap_or_default();
            let memo = attribution(&challenge.id, &challenge.realm);
            let transfers = to.zip(value).and_then(|(to, value)| {
                transfers(Transfer { to, value, memo: Some(memo) }, details, address.as_ref(), &mut object)
            });
            known.zip(transfers).map(|((chain_id, token), transfers)| {
                if transfers.len() > 1 {
                    offer.remarks.push(split(&transfers));
                }
                let sponsored = details.get("feePayer").and_then(Value::as_bool) == Some(true);
                let fees = if sponsored { Fees::Sponsored } else { Fees::Token(token) };
                Ask::Charge(Charge { chain_id, token, transfers, fees })
            })
        }
    };
    // The memo is made of challenge and realm, so that the same challenge is never paid twice.
    offer.rail_key = format!("{}:{}:{}", Rail::TEMPO, offer.network, crate::evm::hex(&key(&challenge)));
    offer.objections = objections;
    if let (Some(ask), true) = (ask, offer.objections.is_empty()) {
        offer.way = Way::Pay(Box::new(super::super::Pin::Mpp(Pin { challenge, means: Means::Tempo { ask } })));
    }
    offer
}

/// What stands for a challenge.
fn key(challenge: &Challenge) -> [u8; 32] {
    crate::evm::keccak256(json!([challenge.realm, challenge.id]).to_string().as_bytes())
}

/// The whole price, parted as the seller wants it: the first payee gets what the others leave.
fn transfers(
    first: Transfer,
    details: &Map<String, Value>,
    token: Option<&Address>,
    object: &mut impl FnMut(&'static str, String),
) -> Option<Vec<Transfer>> {
    let splits = match details.get("splits") {
        None | Some(Value::Null) => return Some(vec![first]),
        Some(Value::Array(splits)) if (1..=MAX_SPLITS).contains(&splits.len()) => splits,
        Some(_) => {
            object("bad_splits", format!("it splits its price in a way that is not known (1 to {MAX_SPLITS} payees)"));
            return None;
        }
    };
    let mut left = first.value;
    let mut others = Vec::new();
    for split in splits {
        let fields = split.as_object().cloned().unwrap_or_default();
        let value = amount(&fields, object)?;
        let to = payee(&fields, "recipient", token, object)?;
        let memo = match fields.get("memo").filter(|memo| !memo.is_null()) {
            None => None,
            Some(memo) => match memo.as_str().and_then(unhex) {
                Some(memo) => Some(memo),
                None => {
                    object("bad_splits", "one of its payees wants a memo that is not 32 bytes".into());
                    return None;
                }
            },
        };
        left = match left.checked_sub(value) {
            Some(left) if left > 0 && value > 0 => left,
            _ => {
                object("bad_splits", "its payees get more than the whole price, or nothing".into());
                return None;
            }
        };
        others.push(Transfer { to, value, memo });
    }
    Some([vec![Transfer { value: left, ..first }], others].concat())
}

/// What a person should know of a price that is parted.
fn split(transfers: &[Transfer]) -> String {
    let parts = transfers.iter().filter_map(|t| Some(format!("{} to {}", Amount::new(Currency::Usd, t.value)?, t.to)));
    format!("the price is parted: {}", parts.collect::<Vec<_>>().join(", "))
}

/// Makes the credential of what the wallet signed. `None` when it signed something else than the pinned ask.
pub(super) fn payment(challenge: &Challenge, ask: &Ask, signed: &[u8]) -> Option<Credential> {
    let signed: Signed = serde_json::from_slice(signed).ok()?;
    if !ask.is_signed(&signed) {
        return None;
    }
    let source = format!("did:pkh:eip155:{}:{}", ask.chain_id(), signed.from);
    let kind = match ask {
        Ask::Charge(_) => "transaction",
        Ask::Proof { .. } => "proof",
    };
    credential::credential(challenge, Some(source), json!({ "type": kind, "signature": signed.bytes }))
}
