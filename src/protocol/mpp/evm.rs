//! `evm/charge` with the credential type `authorization`: a transfer by EIP-3009 that the seller settles
//! (draft-evm-charge; the type is in every server of the field).
//!
//! The nonce of the authorization binds it to the challenge. Two rules for it are deployed, and nothing on the wire says
//! which one a server wants ([`NonceRule`]).

use serde_json::{Map, Value, json};

use super::{
    super::{Credential, Objection, Offer, Rail, Way, World},
    Means, Pin,
    challenge::{Challenge, word},
    credential, expiry,
};
use crate::{
    evm::{
        Address,
        assets::{Assets, chain},
        eip3009::{Signed, Transfer},
        hex, keccak256,
    },
    money::{Amount, MAX_ATOMIC},
};

/// An authorization that lives shorter than this may be void before it can be carried to the chain, in seconds.
pub(super) const MIN_LEFT_S: u64 = 10;

/// The longest life that a seller's challenge can ask for, in seconds; it names none, and its own end bounds it too.
const MAX_LIFE_S: u64 = 300;

/// How the nonce of an authorization is made of a challenge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NonceRule {
    /// `keccak256(id ‖ realm)`: the draft, and mppx.
    Packed,
    /// `keccak256(["id","realm"])`, as JSON: pympp.
    Json,
}

impl NonceRule {
    /// The rule that a challenge's server most likely wants. Python writes the end of a challenge with six digits of a
    /// second, and nobody else does.
    pub fn of(challenge: &Challenge) -> NonceRule {
        match challenge.expires.as_deref().map(expiry::fraction_digits) {
            Some(6) => NonceRule::Json,
            _ => NonceRule::Packed,
        }
    }

    /// The other one.
    pub fn other(self) -> NonceRule {
        match self {
            NonceRule::Packed => NonceRule::Json,
            NonceRule::Json => NonceRule::Packed,
        }
    }

    /// The nonce.
    pub fn nonce(self, challenge: &Challenge) -> [u8; 32] {
        let Challenge { id, realm, .. } = challenge;
        let text = match self {
            NonceRule::Packed => format!("{id}{realm}"),
            NonceRule::Json => json!([id, realm]).to_string(),
        };
        keccak256(text.as_bytes())
    }
}

/// Judges a challenge.
pub(super) fn offer(challenge: Challenge, terms: &Map<String, Value>, assets: &Assets, mut offer: Offer) -> Offer {
    let mut objections = std::mem::take(&mut offer.objections);
    let mut object = |code: &'static str, say: String| objections.push(Objection::new(code, say));
    let empty = Map::new();
    let details = terms.get("methodDetails").and_then(Value::as_object).unwrap_or(&empty);
    let types = details.get("credentialTypes").and_then(Value::as_array);
    offer.rail = match types.is_some_and(|types| types.iter().any(|t| t == "authorization")) {
        true => Rail::EIP3009,
        false => {
            let say = "it takes no signed authorization (EIP-3009), only transactions that the payer sends or Permit2";
            object("unsupported_method", say.into());
            Rail::UNKNOWN
        }
    };
    if details.get("splits").is_some_and(|splits| !splits.is_null()) {
        object("unsupported_method", "it splits its price among several payees, which one authorization cannot".into());
    }
    let id = details.get("chainId").and_then(number);
    let place = id.and_then(chain);
    match place {
        Some(chain) => {
            offer.network = chain.caip2();
            offer.world = Some(if chain.test { World::Test } else { World::Main });
        }
        None => {
            let shown = details.get("chainId").map(ToString::to_string).unwrap_or_default();
            object("unknown_network", format!("it pays on the chain \"{}\", which is not known", word(&shown)));
        }
    }
    let currency = terms.get("currency").and_then(Value::as_str).unwrap_or_default();
    let address: Option<Address> = currency.parse().ok();
    offer.asset = address.map_or_else(|| word(currency), |a| a.to_string());
    let token = place.zip(address).and_then(|(chain, address)| assets.find(chain.id, &address));
    if token.is_none() && place.is_some() {
        object("unknown_asset", format!("nobody here knows what one unit of {} is worth", offer.asset));
    }
    let value = amount(terms, &mut object).filter(|value| match value {
        0 => {
            object("zero_amount", "it asks for a signature over no money at all".into());
            false
        }
        _ => true,
    });
    if let Some((_, currency)) = &token {
        offer.price = value.and_then(|value| Amount::new(*currency, value));
        let decimals = details.get("decimals").filter(|d| !d.is_null()).map(number);
        if decimals.is_some_and(|said| said != Some(u64::from(currency.decimals()))) {
            object("wrong_decimals", "it counts the token with another number of decimals than it has".into());
        }
    }
    let to = payee(terms, "recipient", address.as_ref(), &mut object);
    offer.payee = to.map(|to| to.to_string()).unwrap_or_default();
    offer.objections = objections;
    if let (Some((token, _)), Some(to), Some(value), true) = (token, to, value, offer.objections.is_empty()) {
        let nonce = NonceRule::of(&challenge).nonce(&challenge);
        let transfer = Transfer { token, to, value, max_life_s: MAX_LIFE_S, nonce: Some(nonce) };
        offer.way = Way::Pay(Box::new(super::super::Pin::Mpp(Pin { challenge, means: Means::Eip3009 { transfer } })));
    }
    offer
}

/// The price, in the token's own units: a string of digits.
pub(super) fn amount(terms: &Map<String, Value>, object: &mut impl FnMut(&'static str, String)) -> Option<u64> {
    let Some(said) = terms.get("amount").filter(|a| !a.is_null()) else {
        object("no_amount", "it does not say what it costs".into());
        return None;
    };
    let text = match said {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let plain = (1..=78).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_digit())
        && (text == "0" || !text.starts_with('0'));
    if !plain {
        object("bad_amount", format!("its price \"{}\" is no whole number of the token's units", word(&text)));
        return None;
    }
    match text.parse::<u64>() {
        Ok(value) if value <= MAX_ATOMIC => Some(value),
        _ => {
            object("too_much", format!("its price of \"{}\" units is beyond all reason", word(&text)));
            None
        }
    }
}

/// Who is paid: an address that money is not lost at.
pub(super) fn payee(
    terms: &Map<String, Value>,
    name: &str,
    token: Option<&Address>,
    object: &mut impl FnMut(&'static str, String),
) -> Option<Address> {
    let text = terms.get(name).and_then(Value::as_str).unwrap_or_default();
    match text.parse::<Address>() {
        Ok(to) if to.0 == [0; 20] || token == Some(&to) => {
            object(
                "bad_payee",
                "it would pay the zero address or the token's own contract, where money is lost".into(),
            );
            None
        }
        Ok(to) => Some(to),
        Err(_) => {
            object("bad_payee", format!("it is to be paid to \"{}\", which is no address", word(text)));
            None
        }
    }
}

/// A whole number.
pub(super) fn number(value: &Value) -> Option<u64> {
    match value {
        Value::String(text) if text.bytes().all(|b| b.is_ascii_digit()) => text.parse().ok(),
        other => other.as_u64(),
    }
}

/// Makes the credential of what the wallet signed. `None` when it signed something else than the pinned transfer.
pub(super) fn payment(challenge: &Challenge, transfer: &Transfer, signed: &[u8]) -> Option<Credential> {
    let signed: Signed = serde_json::from_slice(signed).ok()?;
    let said = &signed.authorization;
    let same = said.to == transfer.to && said.value == transfer.value && Some(said.nonce) == transfer.nonce;
    if !same || signed.signer(&transfer.token) != Some(said.from) {
        return None;
    }
    let source = format!("did:pkh:eip155:{}:{}", transfer.token.chain_id, said.from);
    let payload = json!({
        "type": "authorization",
        "from": said.from,
        "to": said.to,
        "value": said.value.to_string(),
        "validAfter": said.valid_after.to_string(),
        "validBefore": said.valid_before.to_string(),
        "nonce": hex(&said.nonce),
        "signature": hex(&signed.signature),
    });
    credential::credential(challenge, Some(source), payload)
}
