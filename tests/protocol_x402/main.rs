//! x402: what sellers send, replayed and bent.

mod answers;
mod challenges;
mod entries;
mod hostile;
mod live;
mod payments;
mod permits;
mod shop;

use bursar::{
    evm::{Address, assets::Assets, eip3009::Authorization},
    protocol::{Challenge, Offer, Pin, Protocol, Seen, Way, read, x402},
};
use data_encoding::BASE64;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};

pub const URL: &str = "https://seller.example/weather";
pub const PAYEE: &str = "0x15d34AAf54267DB7D7c367839AAf71A00a2C6A65";
pub const USDC: &str = "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913";

/// An answer that can be looked at again.
pub struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Vec<u8>,
    url: url::Url,
}

impl Answer {
    pub fn new(status: u16) -> Answer {
        Answer { status, headers: HeaderMap::new(), body: b"{}".to_vec(), url: URL.parse().unwrap() }
    }

    /// Adds a header as it is.
    pub fn raw(mut self, name: &str, value: impl AsRef<[u8]>) -> Answer {
        self.headers.append(name.parse::<HeaderName>().unwrap(), HeaderValue::from_bytes(value.as_ref()).unwrap());
        self
    }

    /// Adds a header that carries JSON in base64.
    pub fn header(self, name: &str, json: &Value) -> Answer {
        self.raw(name, BASE64.encode(json.to_string().as_bytes()))
    }

    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Answer {
        self.body = body.into();
        self
    }

    pub fn at(mut self, url: &str) -> Answer {
        self.url = url.parse().unwrap();
        self
    }

    pub fn seen(&self) -> Seen<'_> {
        Seen { url: &self.url, status: self.status, headers: &self.headers, body: &self.body }
    }

    pub fn read(&self) -> Challenge {
        read(self.seen())
    }
}

/// A sound entry of version 2.
pub fn entry() -> Value {
    json!({ "scheme": "exact", "network": "eip155:8453", "amount": "10000", "asset": USDC, "payTo": PAYEE,
        "maxTimeoutSeconds": 300, "extra": { "name": "USD Coin", "version": "2" } })
}

/// A sound entry with other values in these places; `null` takes the place away.
pub fn but(changes: Value) -> Value {
    let mut entry = entry();
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => drop(entry.as_object_mut().unwrap().remove(name)),
            value => entry[name] = value.clone(),
        }
    }
    entry
}

/// A sound entry with another `extra`.
pub fn extra(extra: Value) -> Value {
    let mut all = json!({ "name": "USD Coin", "version": "2" });
    for (name, value) in extra.as_object().unwrap() {
        all[name] = value.clone();
    }
    but(json!({ "extra": all }))
}

/// Terms of version 2 with these entries.
pub fn terms(accepts: &[Value]) -> Value {
    json!({ "x402Version": 2, "error": "Payment required", "resource": { "url": URL }, "accepts": accepts })
}

/// A challenge of version 2 with these entries, read.
pub fn challenge(accepts: &[Value]) -> Challenge {
    Answer::new(402).header("payment-required", &terms(accepts)).read()
}

/// The offer that one entry makes.
#[track_caller]
pub fn judged(entry: Value) -> Offer {
    only(challenge(&[entry]))
}

#[track_caller]
pub fn only(challenge: Challenge) -> Offer {
    assert_eq!(challenge.offers.len(), 1, "{challenge:#?}");
    challenge.offers.into_iter().next().unwrap()
}

pub fn codes(offer: &Offer) -> Vec<&'static str> {
    assert_eq!(offer.protocol, Protocol::X402);
    offer.objections.iter().map(|o| o.code).collect()
}

/// What was pinned of an offer that can be paid.
#[track_caller]
pub fn pin(offer: &Offer) -> Pin {
    match &offer.way {
        Way::Pay(pin) if offer.is_payable() => (**pin).clone(),
        other => panic!("{other:?} is no payment: {:?}", offer.objections),
    }
}

#[track_caller]
pub fn x402(pin: &Pin) -> &x402::Pin {
    let Pin::X402(pin) = pin else { panic!("not x402") };
    pin
}

/// What a wallet would sign for a pin, with a nonce of this byte.
pub fn signed(pin: &Pin, nonce: u8) -> Vec<u8> {
    let transfer = pin.transfer().unwrap();
    let key = bitcoin::secp256k1::SecretKey::from_slice(&[7; 32]).unwrap();
    let public = key.public_key(&bitcoin::secp256k1::Secp256k1::new());
    let authorization = Authorization {
        from: bursar::evm::eip3009::address_of(&public),
        to: transfer.to,
        value: transfer.value,
        valid_after: 0,
        valid_before: 1_795_220_889,
        nonce: [nonce; 32],
    };
    serde_json::to_vec(&authorization.sign(&transfer.token, &key)).unwrap()
}

/// The header that pays: its name, its value, and the JSON in it as it stands there.
#[track_caller]
pub fn paid(pin: &Pin, signed: &[u8]) -> (String, String, String) {
    let credential = pin.payment(signed).expect("what was signed fits the pin");
    assert!(credential.value.is_sensitive());
    let value = credential.value.to_str().unwrap().to_owned();
    let json = String::from_utf8(BASE64.decode(value.as_bytes()).unwrap()).unwrap();
    (credential.name.to_string(), value, json)
}

pub fn assets(name: &str, version: &str, address: &str) -> Assets {
    let token = bursar::evm::assets::Token {
        chain_id: 8453,
        address: address.parse::<Address>().unwrap(),
        name: name.into(),
        version: version.into(),
    };
    Assets::with(vec![(token, bursar::money::Currency::Usd)])
}
