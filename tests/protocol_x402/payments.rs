//! The header that pays.

use bursar::evm::eip3009::Signed;
use serde_json::json;

use super::*;

/// Terms as a seller's own serializer writes them: odd spaces, odd order, re-cased addresses, escapes, unknown keys.
fn odd() -> (String, String) {
    let entry = format!(
        "{{ \"payTo\":\"{}\",\n \"zeta\" : [1.0, 1e2, \"\\u00e9\"], \"scheme\":\"exact\",\"extra\":{{\"version\":\"2\",\"name\":\"USD Coin\",\"fee\":0.10}},\
         \"amount\":\"10000\",\"asset\":\"{}\",\"network\":\"eip155:8453\",\"maxTimeoutSeconds\":300.0 }}",
        PAYEE.to_lowercase(),
        USDC.to_uppercase().replacen("0X", "0x", 1)
    );
    let resource = r#"{"url":"https://seller.example/weather" ,"tags":["b","a"],"n":1.50}"#;
    let extensions = r#"{"zz":{"info":{"x":1.0},"schema":{}},"aa":{"info":{}} }"#;
    let text = format!(
        r#"{{"extensions":{extensions},"accepts":[{entry}],"resource": {resource},"x402Version":2,"later":true}}"#
    );
    (text, format!(r#""resource":{resource},"accepted":{entry},"extensions":{extensions}}}"#))
}

/// Hazards 18 and 30: servers compare what comes back with what they sent, so every byte of it is their own.
#[test]
fn hazards_18_and_30_accepted_resource_and_extensions_go_back_byte_for_byte() {
    let (text, echoed) = odd();
    for answer in
        [Answer::new(402).raw("payment-required", text.replace('\n', "")), Answer::new(402).body(text.clone())]
    {
        let pin = pin(&only(answer.read()));
        let json = paid(&pin, &signed(&pin, 1)).2;
        let echoed = if answer.headers.is_empty() { echoed.clone() } else { echoed.replace('\n', "") };
        assert!(json.ends_with(&echoed), "{json}");
        assert!(json.starts_with(r#"{"x402Version":2,"payload":{"signature":"0x"#));
        let sent: Value = serde_json::from_str(&json).unwrap();
        let keys: Vec<_> = sent.as_object().unwrap().keys().cloned().collect();
        assert_eq!(keys, ["accepted", "extensions", "payload", "resource", "x402Version"]);
        assert!(sent["payload"]["authorization"].as_object().unwrap().values().all(Value::is_string));
    }
}

#[test]
fn what_was_signed_for_something_else_makes_no_payment() {
    let pin = pin(&judged(entry()));
    let good: Signed = serde_json::from_slice(&signed(&pin, 1)).unwrap();
    let bytes = |change: &dyn Fn(&mut Signed)| {
        let mut one = good.clone();
        change(&mut one);
        serde_json::to_vec(&one).unwrap()
    };
    assert!(pin.payment(&bytes(&|_| {})).is_some());
    assert!(pin.payment(&bytes(&|s| s.authorization.value += 1)).is_none());
    assert!(pin.payment(&bytes(&|s| s.authorization.value -= 1)).is_none());
    assert!(pin.payment(&bytes(&|s| s.authorization.to = USDC.parse().unwrap())).is_none());
    for garbage in [&b""[..], b"{}", b"null", b"\xff", br#"{"signature":"0x00","authorization":{}}"#] {
        assert!(pin.payment(garbage).is_none());
    }
    let mut odd = x402(&pin).clone();
    odd.version = 3;
    assert!(Pin::X402(odd).payment(&bytes(&|_| {})).is_none());
}

/// Hazards 1 and 5: the same signature is the same header, however often it is asked for.
#[test]
fn hazards_1_and_5_the_same_signature_makes_the_same_header() {
    let mut terms = terms(&[entry()]);
    terms["extensions"] = json!({ "payment-identifier": { "info": { "required": true }, "schema": {} } });
    let pin = pin(&only(Answer::new(402).header("payment-required", &terms).read()));
    let one = signed(&pin, 1);
    let first = paid(&pin, &one);
    assert!((0..5).all(|_| paid(&pin, &one) == first));
    assert_ne!(paid(&pin, &signed(&pin, 2)).1, first.1);
}

/// Facts 1.10: an identifier where one is asked for, and nothing else touched.
#[test]
fn a_payment_identifier_is_added_where_it_is_advertised_and_nothing_else_changes() {
    let sent = |extensions: &str, nonce: u8| {
        let text = format!(r#"{{"x402Version":2,"accepts":[{}],"extensions":{extensions}}}"#, entry());
        let pin = pin(&only(Answer::new(402).body(text).read()));
        let json = paid(&pin, &signed(&pin, nonce)).2;
        json.split_once(r#","extensions":"#).unwrap().1.trim_end_matches('}').to_owned()
    };
    let id = |text: &str| {
        let id = text.split_once(r#""id":""#).unwrap().1.split_once('"').unwrap().0.to_owned();
        assert!((16..=128).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b)));
        id
    };
    let before =
        r#"{"b":{"info":{"v":1.0}},"payment-identifier":{"info":{"required":false},"schema":{"z":1,"a":2}},"a":1}"#;
    let after = sent(before, 1);
    assert_eq!(after, before.replace(r#"false}"#, &format!(r#"false,"id":"{}"}}"#, id(&after))).trim_end_matches('}'));
    assert_eq!(id(&sent(before, 1)), id(&after));
    assert_ne!(id(&sent(before, 2)), id(&after), "another payment, another identifier");
    id(&sent(r#"{"payment-identifier":{"schema":{}}}"#, 1));
    id(&sent(r#"{"payment-identifier":{}}"#, 1));
    // The seller's own identifier is not ours to change, and odd shapes go back as they came.
    for kept in [
        r#"{"payment-identifier":{"info":{"id":"the-sellers-own-id"}}}"#,
        r#"{"payment-identifier":true}"#,
        r#"{"payment-identifier":{"info":[1]}}"#,
        r#"{"Payment-Identifier":{"info":{}}}"#,
    ] {
        assert_eq!(sent(kept, 1), kept.trim_end_matches('}'));
    }
}

/// Hazard 26: whoever has the header can be paid with it, so nothing shows it.
#[test]
fn hazard_26_the_header_is_not_shown() {
    let pin = pin(&judged(entry()));
    let credential = pin.payment(&signed(&pin, 1)).unwrap();
    let shown = format!("{credential:?} {:?}", credential.value);
    assert!(!shown.contains("ey") && shown.to_lowercase().contains("sensitive"), "{shown}");
    assert!(
        pin.credential(&bursar::protocol::Proof::Transfer {
            by: bursar::protocol::Witness::Receipt,
            transaction: None
        })
        .is_none()
    );
}
