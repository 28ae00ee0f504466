//! `tempo/charge`: a transaction that is signed without asking any node. The bytes were made by `ox` (tempo) and `mppx`
//! 0.11.0 for the same inputs.

use bitcoin::secp256k1::SecretKey;
use bursar::{
    evm::hex,
    evm::tempo::{Ask, Charge, Fees, Signed, Transfer, attribution},
    protocol::{Pin, Rail, World, bolt11::InvoicePolicy},
};
use serde_json::{Value, json};

use super::{
    protocol_mint::NOW,
    seller::{HOST, codes, inside, line, line_with, offer, pin},
};

const PATH_USD: &str = "0x20c0000000000000000000000000000000000000";
const PAYEE: &str = "0x742d35Cc6634c0532925a3b844bC9e7595F8fE00";
const ID: &str = "kM9xPqWvT2nJrHsY4aDfEb";

fn key() -> SecretKey {
    SecretKey::from_slice(&[0x11; 32]).unwrap()
}

fn request() -> Value {
    json!({ "amount": "1000000", "currency": PATH_USD, "recipient": PAYEE, "methodDetails": { "chainId": 42431 } })
}

fn ask(request: &Value) -> Ask {
    let offer = offer(&line("tempo", "charge", request));
    let Pin::Mpp(pin) = pin(&offer) else { panic!("not MPP") };
    pin.tempo().unwrap().clone()
}

#[test]
fn the_memo_is_the_one_of_mppx() {
    let memo = "0xef1ed712011ece072f76bd8b82350e000000000000000000001128fb265e760d";
    assert_eq!(hex(&attribution(ID, HOST)), memo);
}

#[test]
fn a_transaction_has_the_bytes_that_ox_makes() {
    let sponsored = {
        let mut request = request();
        request["methodDetails"]["feePayer"] = json!(true);
        request
    };
    let split = {
        let mut request = request();
        request["amount"] = json!("1000005");
        request["methodDetails"]["splits"] = json!([{"amount": "5", "recipient": format!("0x{}", "22".repeat(20))}]);
        request
    };
    for (request, bytes) in [
        (request(), include_str!("../data/tempo/plain.hex")),
        (sponsored, include_str!("../data/tempo/sponsored.hex")),
        (split, include_str!("../data/tempo/split.hex")),
    ] {
        let ask = ask(&request);
        let signed = ask.sign(1_795_000_025, &key());
        assert_eq!(signed.from.to_string(), "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A");
        assert_eq!(signed.bytes, bytes.trim().to_lowercase());
        assert!(ask.is_signed(&signed));
    }
}

#[test]
fn a_proof_has_the_signature_that_mppx_makes() {
    let mut request = request();
    request["amount"] = json!("0");
    let offer = offer(&line("tempo", "charge", &request));
    assert_eq!((offer.rail, offer.price.unwrap().to_string().as_str()), (Rail::TEMPO, "0 usd"));
    let signed = ask(&request).sign(0, &key());
    assert_eq!(
        signed.bytes,
        "0x3baf02ba159042829a9bcaa17774cecb25b0194cccff0dd076db7474befcaa2b26592fc409ed59c24888f9d3b276debe61696c86793e9a35632cbff79c3496d01c"
    );
    let credential = pin(&offer).payment(&serde_json::to_vec(&signed).unwrap()).unwrap();
    let inside = inside(&credential);
    assert_eq!(inside["payload"], json!({"type": "proof", "signature": signed.bytes}));
    assert_eq!(inside["source"], format!("did:pkh:eip155:42431:{}", signed.from));
}

/// Facts 4, hazard 17: a proof for another host's realm could be shown there by whoever asked for it.
#[test]
fn hazard_17_a_proof_is_signed_for_the_host_that_asked_and_no_other() {
    let mut request = request();
    request["amount"] = json!("0");
    let foreign = line("tempo", "charge", &request).replace(HOST, "bank.example");
    assert_eq!(codes(&offer(&foreign)), ["wrong_realm"]);
    // A payment is bound by its payee and its memo; there the realm is only a name.
    let paid = line("tempo", "charge", &self::request()).replace(HOST, "a name");
    assert!(offer(&paid).is_payable());
}

#[test]
fn a_sound_challenge_is_an_offer_on_tempo() {
    let offer = offer(&line("tempo", "charge", &request()));
    assert_eq!((offer.rail, offer.network.as_str(), offer.world), (Rail::TEMPO, "eip155:42431", Some(World::Test)));
    assert_eq!((offer.price.unwrap().to_string().as_str(), offer.payee.as_str()), ("1 usd", PAYEE));
    assert!(Rail::is_settled_by_seller("tempo") && pin(&offer).transfer().is_none() && pin(&offer).invoice().is_none());
    assert_eq!(pin(&offer).fee_cap().unwrap().to_string(), "0.041 usd", "its sender pays for the gas");
    assert_eq!(pin(&offer).expires_at(), Some(NOW + 600));
    let signed = ask(&request()).sign(NOW + 25, &key());
    let credential = pin(&offer).payment(&serde_json::to_vec(&signed).unwrap()).unwrap();
    let inside = inside(&credential);
    assert_eq!(inside["payload"], json!({"type": "transaction", "signature": signed.bytes}));
    assert_eq!(inside["challenge"]["id"], ID);
}

#[test]
fn a_sponsored_charge_costs_no_gas_and_needs_time_for_its_sponsor() {
    let mut request = request();
    request["methodDetails"]["feePayer"] = json!(true);
    let sponsored = offer(&line("tempo", "charge", &request));
    assert!(pin(&sponsored).fee_cap().unwrap().is_zero());
    let at = |offer: &bursar::protocol::Offer, left: u64| {
        let objections = offer.objections_at(NOW + 600 - left, &InvoicePolicy::default());
        objections.into_iter().map(|o| o.code).collect::<Vec<_>>()
    };
    assert_eq!(
        (at(&sponsored, 20), at(&sponsored, 19), at(&sponsored, 0)),
        (vec![], vec!["expires_soon"], vec!["expired"])
    );
    let own = offer(&line("tempo", "charge", &self::request()));
    assert_eq!((at(&own, 5), at(&own, 4)), (vec![], vec!["expires_soon"]));
}

#[test]
fn a_price_that_is_parted_adds_up_and_is_shown() {
    let mut request = request();
    request["methodDetails"]["splits"] = json!([{"amount": "400000", "recipient": format!("0x{}", "22".repeat(20)), "memo": format!("0x{}", "33".repeat(32))}]);
    let parted = offer(&line("tempo", "charge", &request));
    assert_eq!(parted.price.unwrap().to_string(), "1 usd", "the whole of it is the price");
    assert!(parted.remarks.iter().any(|r| r.contains("0.6 usd to 0x742d") && r.contains("0.4 usd to 0x2222")));
    let Ask::Charge(charge) = ask(&request) else { panic!("no charge") };
    assert_eq!((charge.total(), charge.transfers[0].value), (Some(1_000_000), 600_000));
    assert_eq!(charge.transfers[1].memo, Some([0x33; 32]));
    let with = |splits: Value| {
        let mut request = self::request();
        request["methodDetails"]["splits"] = splits;
        codes(&offer(&line("tempo", "charge", &request)))
    };
    let one = |amount: &str| json!({"amount": amount, "recipient": PAYEE});
    assert_eq!(with(json!([one("1000000")])), ["bad_splits"], "nothing would be left for the first");
    assert_eq!(with(json!([one("600000"), one("600000")])), ["bad_splits"]);
    assert_eq!(with(json!([one("0")])), ["bad_splits"]);
    assert_eq!(with(json!([])), ["bad_splits"]);
    assert_eq!(with(json!(vec![one("1"); 11])), ["bad_splits"]);
    assert_eq!(with(json!("x")), ["bad_splits"]);
    assert_eq!(with(json!([{"amount": "1", "recipient": PAYEE, "memo": "0x33"}])), ["bad_splits"]);
    assert_eq!(with(json!([{"amount": "1"}])), ["bad_payee"]);
    assert_eq!(with(json!([7])), ["no_amount"]);
}

#[test]
fn whatever_this_wallet_cannot_sign_is_refused_with_its_reason() {
    let with = |name: &str, value: Value| {
        let mut request = request();
        match name.strip_prefix('/') {
            Some(name) => request["methodDetails"][name] = value,
            None => request[name] = value,
        }
        let offer = offer(&line("tempo", "charge", &request));
        assert!(!offer.is_payable());
        codes(&offer)
    };
    assert_eq!(with("/chainId", json!(1)), ["unknown_network"]);
    assert_eq!(with("/chainId", Value::Null), ["unknown_network"]);
    assert_eq!(with("/supportedModes", json!(["push"])), ["unsupported_method"]);
    assert_eq!(with("currency", json!(format!("0x{}", "22".repeat(20)))), ["unknown_asset"]);
    assert_eq!(with("recipient", json!(PATH_USD)), ["bad_payee"]);
    assert_eq!(with("amount", json!("1.5")), ["bad_amount"]);
    assert_eq!(with("amount", json!("9".repeat(40))), ["too_much"]);
    assert_eq!(with("amount", Value::Null), ["no_amount"]);
}

#[test]
fn the_same_challenge_has_the_same_key_and_another_has_another() {
    let key = |line: &str| offer(line).rail_key;
    let one = line("tempo", "charge", &request());
    assert_eq!(key(&one), key(&line_with("tempo", "charge", &request(), "")));
    assert_ne!(key(&one), key(&one.replace(ID, "another")));
    assert_ne!(key(&one), key(&one.replace(HOST, "another")));
    assert!(key(&one).starts_with("tempo:eip155:42431:0x"));
}

#[test]
fn nothing_else_than_the_pinned_ask_goes_out() {
    let offer = offer(&line("tempo", "charge", &request()));
    let Ask::Charge(charge) = ask(&request()) else { panic!("no charge") };
    let payment = |signed: &Signed| pin(&offer).payment(&serde_json::to_vec(signed).unwrap());
    let sign = |charge: Charge| Ask::Charge(charge).sign(NOW + 25, &key());
    let honest = sign(charge.clone());
    assert!(payment(&honest).is_some());
    let dearer = |value| vec![Transfer { value, ..charge.transfers[0].clone() }];
    assert!(payment(&sign(Charge { transfers: dearer(1_000_001), ..charge.clone() })).is_none());
    assert!(payment(&sign(Charge { chain_id: 4217, ..charge.clone() })).is_none());
    assert!(payment(&sign(Charge { fees: Fees::Sponsored, ..charge.clone() })).is_none());
    assert!(payment(&Signed { valid_before: NOW + 26, ..honest.clone() }).is_none());
    assert!(payment(&Signed { from: charge.transfers[0].to, ..honest.clone() }).is_none());
    assert!(payment(&Signed { bytes: "0x".into(), ..honest.clone() }).is_none());
    assert!(payment(&Signed { bytes: honest.bytes.to_uppercase(), ..honest.clone() }).is_none());
    assert!(pin(&offer).payment(b"nonsense").is_none());
}
