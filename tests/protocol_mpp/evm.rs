//! `evm/charge`: a signed transfer whose nonce the challenge dictates.

use bitcoin::secp256k1::SecretKey;
use bursar::{
    evm::{
        Address,
        eip3009::{Authorization, Transfer, address_of},
        hex,
    },
    protocol::{Pin, Proof, Rail, Witness, World, bolt11::InvoicePolicy, mpp::NonceRule},
};
use serde_json::{Value, json};

use super::{
    protocol_mint::NOW,
    seller::{codes, inside, line, line_with, offer, pin},
};

const USDC: &str = "0x036CbD53842c5426634e7929541eC2318f3dCF7e";
const PAYEE: &str = "0x742d35Cc6634c0532925a3b844bC9e7595F8fE00";

fn request() -> Value {
    json!({
        "amount": "10000", "currency": USDC, "recipient": PAYEE,
        "methodDetails": { "chainId": 84532, "credentialTypes": ["authorization", "transaction", "hash"], "decimals": 6 },
    })
}

fn key() -> SecretKey {
    SecretKey::from_slice(&[0x11; 32]).unwrap()
}

fn account() -> Address {
    address_of(&key().public_key(&bitcoin::secp256k1::Secp256k1::new()))
}

/// What a wallet does with a transfer whose nonce is given.
fn sign(transfer: &Transfer, change: impl Fn(&mut Authorization)) -> Vec<u8> {
    let mut authorization = Authorization {
        from: account(),
        to: transfer.to,
        value: transfer.value,
        valid_after: 0,
        valid_before: NOW + 60,
        nonce: transfer.nonce.unwrap(),
    };
    change(&mut authorization);
    serde_json::to_vec(&authorization.sign(&transfer.token, &key())).unwrap()
}

#[test]
fn a_sound_challenge_is_a_transfer_to_sign() {
    let offer = offer(&line("evm", "charge", &request()));
    let transfer = pin(&offer).transfer().unwrap();
    assert_eq!((offer.rail, offer.network.as_str(), offer.world), (Rail::EIP3009, "eip155:84532", Some(World::Test)));
    assert_eq!((offer.price.unwrap().to_string().as_str(), offer.payee.as_str()), ("0.01 usd", PAYEE));
    assert_eq!((transfer.token.name.as_str(), transfer.token.version.as_str()), ("USDC", "2"), "the pinned domain");
    assert_eq!((transfer.value, transfer.to.to_string().as_str()), (10_000, PAYEE));
    assert!(pin(&offer).invoice().is_none() && Rail::is_settled_by_seller(offer.rail.0));
    assert_eq!(offer.objections_at(NOW, &InvoicePolicy::default()), []);
    assert_eq!(offer.objections_at(NOW + 595, &InvoicePolicy::default())[0].code, "expires_soon");
    assert_eq!(offer.objections_at(NOW + 600, &InvoicePolicy::default())[0].code, "expired");
}

/// Facts 4, hazard 10: two rules for the nonce are in the field. The hashes are those of mppx 0.11.0 and of pympp 0.16.0
/// (the latter made by its rule with viem).
#[test]
fn hazard_10_the_nonce_follows_the_rule_that_the_server_most_likely_has() {
    const PACKED: &str = "0xd2d72dfca885760b79fc7ce459bc3ab304be7f63bbbfc1384bbf4a54ff0344cc";
    const JSON: &str = "0xe0a35f79d6c683abf69989f1bb74c698dcf1e286b9bacd18c37d183037503d62";
    for (expires, nonce, other) in [
        ("2026-11-18T11:16:40.123Z", PACKED, JSON),
        ("2026-11-18T11:16:40Z", PACKED, JSON),
        ("2026-11-18T11:16:40.123456Z", JSON, PACKED),
        ("2026-11-18T11:16:40.123456+00:00", JSON, PACKED),
        ("2026-11-18T11:16:40.123456789Z", PACKED, JSON),
    ] {
        let offer = offer(&line_with("evm", "charge", &request(), &format!(r#", expires="{expires}""#)));
        let Pin::Mpp(pin) = pin(&offer) else { panic!("not MPP") };
        assert_eq!(hex(&pin.transfer().unwrap().nonce.unwrap()), nonce, "{expires}");
        let second = pin.with_the_other_nonce().unwrap();
        assert_eq!(hex(&second.transfer().unwrap().nonce.unwrap()), other);
        assert_eq!(second.challenge, pin.challenge);
        assert_eq!(second.with_the_other_nonce().unwrap().transfer(), pin.transfer());
    }
    let offer = offer(&line("evm", "charge", &request()));
    let Pin::Mpp(pin) = pin(&offer) else { panic!("not MPP") };
    assert_eq!(NonceRule::of(&pin.challenge), NonceRule::Packed);
    assert_eq!(NonceRule::Packed.other(), NonceRule::Json);
}

#[test]
fn the_credential_carries_what_the_wallet_signed() {
    let offer = offer(&line("evm", "charge", &request()));
    let transfer = pin(&offer).transfer().unwrap().clone();
    let credential = pin(&offer).payment(&sign(&transfer, |_| {})).unwrap();
    assert_eq!(credential.name, "authorization");
    let inside = inside(&credential);
    let signature = inside["payload"]["signature"].as_str().unwrap().to_owned();
    assert_eq!(signature.len(), 132);
    assert_eq!(
        inside["payload"],
        json!({
            "type": "authorization", "from": account().to_string(), "to": PAYEE, "value": "10000", "validAfter": "0",
            "validBefore": (NOW + 60).to_string(), "nonce": hex(&transfer.nonce.unwrap()), "signature": signature,
        })
    );
    assert_eq!(inside["source"], format!("did:pkh:eip155:84532:{}", account()));
    assert_eq!(inside["challenge"]["id"], "kM9xPqWvT2nJrHsY4aDfEb");
    let secrets = credential.parts;
    assert_eq!(secrets.iter().map(|s| s.expose()).collect::<Vec<_>>(), [signature.as_str()]);
    // The pin survives the ledger with its nonce; a pin of before has none, and the wallet derives one.
    let stored: Pin = serde_json::from_slice(&serde_json::to_vec(pin(&offer)).unwrap()).unwrap();
    assert_eq!(stored.transfer(), Some(&transfer));
    let mut old = serde_json::to_value(&transfer).unwrap();
    old.as_object_mut().unwrap().remove("nonce");
    assert_eq!(serde_json::from_value::<Transfer>(old).unwrap().nonce, None);
}

#[test]
fn a_signature_for_anything_else_makes_no_credential() {
    let offer = offer(&line("evm", "charge", &request()));
    let transfer = pin(&offer).transfer().unwrap().clone();
    let payment = |signed: &[u8]| pin(&offer).payment(signed);
    assert!(payment(&sign(&transfer, |a| a.value += 1)).is_none());
    assert!(payment(&sign(&transfer, |a| a.to = account())).is_none());
    assert!(payment(&sign(&transfer, |a| a.nonce = [9; 32])).is_none());
    assert!(payment(&sign(&transfer, |a| a.from = transfer.to)).is_none(), "another signer");
    let other = Transfer {
        token: bursar::evm::assets::Token { name: "USD Coin".into(), ..transfer.token.clone() },
        ..transfer.clone()
    };
    assert!(payment(&sign(&other, |_| {})).is_none(), "another domain");
    assert!(payment(b"").is_none() && payment(b"{}").is_none());
    let proof = Proof::Transfer { by: Witness::Nobody, transaction: None };
    assert!(pin(&offer).credential(&proof).is_none());
}

#[test]
fn whatever_this_wallet_cannot_sign_is_refused_with_its_reason() {
    let with = |change: &dyn Fn(&mut Value)| {
        let mut request = request();
        change(&mut request);
        let offer = offer(&line("evm", "charge", &request));
        assert!(!offer.is_payable());
        codes(&offer)
    };
    type Change = Box<dyn Fn(&mut Value)>;
    let set = |path: &'static str, value: Value| -> Change {
        Box::new(move |r: &mut Value| {
            let mut at = r;
            for name in path.split('/') {
                at = &mut at[name];
            }
            *at = value.clone();
        })
    };
    for (path, value, code) in [
        ("methodDetails/credentialTypes", json!(["permit2", "hash"]), "unsupported_method"),
        ("methodDetails/credentialTypes", Value::Null, "unsupported_method"),
        ("methodDetails/splits", json!([{"amount": "1", "recipient": PAYEE}]), "unsupported_method"),
        ("methodDetails/chainId", json!(999_999), "unknown_network"),
        ("methodDetails/chainId", Value::Null, "unknown_network"),
        ("methodDetails/chainId", json!(8453), "unknown_asset"),
        ("methodDetails/decimals", json!(18), "wrong_decimals"),
        ("currency", json!(format!("0x{}", "22".repeat(20))), "unknown_asset"),
        ("currency", json!("usd"), "unknown_asset"),
        ("recipient", json!("0x0000000000000000000000000000000000000000"), "bad_payee"),
        ("recipient", json!(USDC.to_lowercase()), "bad_payee"),
        ("recipient", json!("vitalik.eth"), "bad_payee"),
        ("recipient", Value::Null, "bad_payee"),
        ("amount", json!("0"), "zero_amount"),
        ("amount", json!("0.01"), "bad_amount"),
        ("amount", json!("-1"), "bad_amount"),
        ("amount", json!("0010"), "bad_amount"),
        ("amount", json!(1.5), "bad_amount"),
        ("amount", json!("9".repeat(30)), "too_much"),
        ("amount", Value::Null, "no_amount"),
    ] {
        assert_eq!(with(&set(path, value.clone())), [code], "{path} = {value}");
    }
}

/// Facts 4, hazard 16: a seller that lets its challenge live for years gets no signature that does.
#[test]
fn hazard_16_the_life_of_a_signature_is_not_the_sellers_choice() {
    for expires in ["9999-12-31T23:59:59Z", "2027-11-18T11:16:40Z"] {
        let offer = offer(&line_with("evm", "charge", &request(), &format!(r#", expires="{expires}""#)));
        assert!(pin(&offer).transfer().unwrap().max_life_s <= 300);
    }
    const { assert!(bursar::evm::tempo::LONGEST_LIFE_S <= 30, "the chain itself takes no longer one") };
}
