//! What the crate `mpp` 0.18.2 (core) makes of the same lines: `data/mpp-oracle.json`, written by `tests/peers/mpp-oracle`.
//!
//! It is no dev-dependency, since it turns on serde_json's `preserve_order` for whatever is built with it, and then the
//! tests would see other JSON than the program writes. Every disagreement stands in [`WHY`].

use bursar::{
    evm::eip3009::{Authorization, address_of},
    protocol::{
        Offer, Proof,
        header::{Listing, read_line},
        mpp::{Challenge, canonical, decode},
    },
    secret::Secret,
};
use data_encoding::HEXLOWER;
use serde_json::{Value, json};

use super::{
    protocol_mint::{Mint, NOW, PREIMAGE},
    seller::{line, offer, pin},
};

/// Lines that we read otherwise, by a part of them, with the reason.
const WHY: [(&str, &str); 14] = [
    ("request=\"Q0hBUkdF\"", "its request is no JSON: they refuse the line, we read it and refuse the offer"),
    ("request=\"cQ\"", "the same: aperture's vectors carry `q` as a request"),
    ("request=cQ", "the same, unquoted"),
    ("ReQuEsT=\"cQ\"", "the same, in other cases"),
    ("request=\"!!\"", "the same: no base64"),
    ("realm=\"r\", method=\"lightning\", intent=\"charge\", request=\"bnVsbA\"", "the same: JSON, and no object"),
    ("method=\"Lightning\"", "they refuse the method's grammar; we read it and know no such method"),
    ("header=\"Cookie\"", "they refuse the line, we read it and refuse the offer"),
    ("id='a'", "single quotes are token characters to them; sellers of L402 write them"),
    ("description=\"caf", "they repeat a description that is not ASCII, we only show it: peers spell it in three ways"),
    ("\\u2014", "the same: they read an escape of JSON's where RFC 9110 has none"),
    ("expires=\"soon\"", "no time: they refuse the line, we read it and refuse the offer"),
    ("\", realm=\"r\"\u{0}", "the same value twice: they refuse it, to us it is one value"),
    ("Payment\u{0}", "a scheme without parameters: we list that there was something"),
];

fn corpus() -> Vec<Value> {
    let whole: Value = serde_json::from_str(include_str!("../data/mpp-oracle.json")).unwrap();
    whole["cases"].as_array().unwrap().clone()
}

fn of_kind(kind: &str) -> Vec<(String, Value)> {
    let cases = corpus().into_iter().filter(|case| case["kind"] == kind);
    cases.map(|case| (case["text"].as_str().unwrap().to_owned(), case["said"].clone())).collect()
}

#[test]
fn challenges_are_read_as_the_crate_mpp_reads_them_but_for_these() {
    let (mut used, mut new) = (vec![false; WHY.len()], Vec::new());
    for (line, said) in of_kind("challenges") {
        let mut listing = Listing::default();
        read_line(line.as_bytes(), &mut listing);
        let payments = listing.challenges.iter().filter(|raw| raw.is("Payment"));
        let ours: Vec<Value> = payments
            .map(|raw| Challenge::read(raw).map_or(Value::Null, |challenge| serde_json::to_value(challenge).unwrap()))
            .collect();
        if Value::Array(ours.clone()) == said {
            continue;
        }
        // What ends a line is seen by the mark behind it.
        let marked = format!("{line}\0");
        match WHY.iter().position(|(part, _)| marked.contains(part)) {
            Some(known) => used[known] = true,
            None => new.push(format!("{line}\nours:   {}\ntheirs: {said}", json!(ours))),
        }
    }
    assert!(new.is_empty(), "new disagreements:\n{}", new.join("\n\n"));
    for (why, used) in WHY.iter().zip(used) {
        assert!(used, "no longer a disagreement: {why:?}");
    }
}

#[test]
fn receipts_are_read_as_the_crate_mpp_reads_them() {
    for (text, said) in of_kind("receipt") {
        let ours = decode(&text).and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
        // They ask for more: a method, a time and a reference. A receipt of ours says one thing, that it succeeded.
        if !said.is_null() {
            assert_eq!(ours.unwrap()["status"], said["status"]);
        }
    }
}

/// The rest of aperture's vectors: what the crate computes and decodes of each, and where we say otherwise.
const WHY_NOT: [(&str, &str, &str); 2] = [
    ("base64url", "a+b/", "they read the other alphabet as well: we take one spelling, as aperture's vectors do"),
    ("base64url", "aGVsbG8===", "they read any padding: we take what fits, or none"),
];

/// Compares one kind of vector, all of it, and finds each disagreement among the known ones.
fn compare(kind: &str, count: usize, ours: impl Fn(&str) -> Value) {
    let (cases, mut new) = (of_kind(kind), Vec::new());
    assert_eq!(cases.len(), count, "{kind}");
    let known = |text: &str| WHY_NOT.iter().any(|(of, part, _)| *of == kind && *part == text);
    for (text, said) in &cases {
        let ours = ours(text);
        if (ours != *said) != known(text) {
            new.push(format!("{text}\nours:   {ours}\ntheirs: {said}"));
        }
    }
    assert!(new.is_empty(), "{kind}: new disagreements, or none where one was known:\n{}", new.join("\n\n"));
}

/// A server computes a challenge's id over what we repeat to it: the crate does as aperture does.
#[test]
fn the_crate_mpp_computes_the_ids_of_the_vectors() {
    compare("id", 4, |text| serde_json::from_str::<Value>(text).unwrap()["params"]["id"].clone());
}

#[test]
fn base64url_is_read_as_the_crate_mpp_reads_it_but_for_these() {
    compare("base64url", 17, |text| decode(text).map_or(Value::Null, |bytes| HEXLOWER.encode(&bytes).into()));
}

#[test]
fn json_is_written_in_its_canonical_form_as_the_crate_mpp_writes_it_but_for_these() {
    compare("jcs", 22, |text| canonical(text).map_or(Value::Null, Value::from));
}

/// We write credentials and read none. What is compared is what a decoder of ours makes of theirs: the JSON in it, where
/// the crate finds a credential.
#[test]
fn the_credentials_of_the_vectors_hold_what_the_crate_mpp_reads_but_for_these() {
    compare("aperture_credential", 11, |text| {
        let blob = text.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("payment"));
        let json = blob.and_then(|(_, blob)| serde_json::from_slice::<Value>(&decode(blob)?).ok());
        json.filter(|json| json["challenge"]["id"].is_string() && json["payload"].is_object()).unwrap_or_default()
    });
}

/// The credentials that we make, of fixed inputs.
fn ours() -> Vec<String> {
    let text = |credential: bursar::protocol::Credential| credential.value.to_str().unwrap().to_owned();
    let mint = Mint::sat(21);
    let lightning = json!({"amount": "21", "currency": "sat", "methodDetails": {"invoice": mint.text()}});
    let lightning = offer(&line("lightning", "charge", &lightning));
    let proof = Proof::Preimage { hex: Secret::new(PREIMAGE) };
    let payee = "0x742d35Cc6634c0532925a3b844bC9e7595F8fE00";
    let key = bitcoin::secp256k1::SecretKey::from_slice(&[0x11; 32]).unwrap();
    let evm = json!({"amount": "10000", "currency": "0x036CbD53842c5426634e7929541eC2318f3dCF7e", "recipient": payee,
        "methodDetails": {"chainId": 84532, "credentialTypes": ["authorization"]}});
    let evm: Offer = offer(&line("evm", "charge", &evm));
    let transfer = pin(&evm).transfer().unwrap().clone();
    let authorization = Authorization {
        from: address_of(&key.public_key(&bitcoin::secp256k1::Secp256k1::new())),
        to: transfer.to,
        value: transfer.value,
        valid_after: 0,
        valid_before: NOW + 60,
        nonce: transfer.nonce.unwrap(),
    };
    let signed = serde_json::to_vec(&authorization.sign(&transfer.token, &key)).unwrap();
    let tempo = json!({"amount": "1000000", "currency": "0x20c0000000000000000000000000000000000000",
        "recipient": payee, "methodDetails": {"chainId": 42431}});
    let tempo = offer(&line("tempo", "charge", &tempo));
    let bursar::protocol::Pin::Mpp(tempo_pin) = pin(&tempo) else { panic!("not MPP") };
    let charge = serde_json::to_vec(&tempo_pin.tempo().unwrap().sign(NOW + 25, &key)).unwrap();
    vec![
        text(pin(&lightning).credential(&proof).unwrap()),
        text(pin(&evm).payment(&signed).unwrap()),
        text(pin(&tempo).payment(&charge).unwrap()),
    ]
}

#[test]
fn our_credentials_are_read_by_the_crate_mpp_to_the_last_member() {
    let corpus = of_kind("credential");
    assert_eq!(corpus.iter().map(|(text, _)| text.clone()).collect::<Vec<_>>(), ours());
    for (text, said) in corpus {
        let bytes = decode(text.strip_prefix("Payment ").unwrap()).unwrap();
        assert_eq!(said, serde_json::from_slice::<Value>(&bytes).unwrap());
    }
}

#[test]
#[ignore = "prints what tests/peers/mpp-oracle reads"]
fn print_our_credentials() {
    ours().iter().for_each(|text| println!("{text}"));
}
