//! What L402 tokens say about the invoice they are sold with, and tokens that nobody should carry.

mod protocol_mint;

use bursar::protocol::{
    Pin, Proof, Way,
    l402::{BadMacaroon, Binding, Hints, Identifier, MAX_TOKEN, Macaroon, binding, hints},
};
use bursar::secret::Secret;
use data_encoding::{BASE64, BASE64_NOPAD, BASE64URL, BASE64URL_NOPAD, HEXLOWER};
use proptest::prelude::*;
use protocol_mint::*;
use serde_json::json;

#[test]
fn a_token_of_another_invoice_is_refused_in_every_encoding() {
    let (mint, other) = (Mint::sat(21), Mint { preimage: [8; 32], ..Mint::sat(21) });
    let tokens = |mint: &Mint| -> Vec<String> {
        let (hash, hex) = (mint.hash(), mint.hash_hex());
        let ids: Vec<Vec<u8>> = vec![
            id_v0(hash),
            hash.to_vec(),
            [&[0xff][..], &hash].concat(),
            hex.clone().into_bytes(),
            HEXLOWER.encode(&id_v0(hash)).into_bytes(),
        ];
        let macaroons = ids.iter().flat_map(|id| [macaroon_v1(id, &["a=b"]), macaroon_v2(id, &["a=b"])]);
        let caveat = format!("payment_hash = {hex}");
        let macaroons = macaroons.chain([macaroon_v1(b"some id", &[&caveat])]);
        let jsons = ["paymentHash", "payment_hash", "hash"].map(|k| json!({ "path": "/a", k: hex }).to_string());
        let encoded = macaroons.chain(jsons.iter().map(|j| j.clone().into_bytes())).flat_map(|raw| {
            [BASE64.encode(&raw), BASE64_NOPAD.encode(&raw), BASE64URL.encode(&raw), BASE64URL_NOPAD.encode(&raw)]
        });
        let signed = jsons.iter().map(|j| format!("{}.{}", BASE64URL_NOPAD.encode(j.as_bytes()), "ab".repeat(32)));
        let in_hex = [HEXLOWER.encode(&macaroon_v2(&id_v0(hash), &[])), HEXLOWER.encode(&macaroon_v1(&hash, &[]))];
        encoded.chain(signed).chain(in_hex).collect()
    };
    let invoice = mint.text();
    for (right, wrong) in tokens(&mint).into_iter().zip(tokens(&other)) {
        let offered = |token: &str| line(&format!(r#"L402 token="{token}", invoice="{invoice}""#));
        assert!(only(&offered(&right)).is_payable(), "{right}");
        assert!(!only(&offered(&right)).remarks.iter().any(|r| r.contains("does not say")), "{right}");
        assert_eq!(codes(only(&offered(&wrong))), ["not_bound"], "{wrong}");
        assert_eq!(binding(&wrong, &mint.hash_hex()), Binding::NotBound(other.hash_hex()));
    }
    // Plain JSON cannot stand in a header, but what it says is still understood.
    assert_eq!(binding(&json!({ "paymentHash": mint.hash_hex() }).to_string(), &mint.hash_hex()), Binding::Bound);
}

#[test]
fn a_token_that_does_not_say_is_paid_with_a_remark() {
    let mint = Mint::sat(21);
    let text_id = [&[0, 0][..], b"id644188id", &[0; 54]].concat();
    for token in [
        "2b1f7e5c-5a4e-4c3b-9a55-0d2b6f3d7c11".to_owned(),
        "eyJwIjoxfQ.deadbeef".to_owned(),
        "z".repeat(MAX_TOKEN - 8000),
        BASE64.encode(&macaroon_v2(b"user-17", &[])),
        BASE64.encode(&macaroon_v2(&[&[0, 1][..], &[7; 64]].concat(), &[])),
        BASE64.encode(&macaroon_v1(&text_id, &[])),
    ] {
        let challenge = line(&format!(r#"L402 token="{token}", invoice="{}""#, mint.text()));
        let offer = only(&challenge);
        assert!(offer.is_payable(), "{token:.40}: {:?}", offer.objections);
        assert!(offer.remarks.iter().any(|r| r == "the token does not say which invoice it belongs to"));
    }
}

#[test]
fn evidence_is_weighed() {
    let (mint, other) = (Mint::sat(21), Mint { preimage: [8; 32], ..Mint::sat(21) });
    let caveat = |m: &Mint| format!("payment_hash={}", m.hash_hex());
    let token = |id: &[u8], m: &Mint| BASE64.encode(&macaroon_v2(id, &[&caveat(m)]));
    assert_eq!(binding(&token(&[1; 32], &mint), &mint.hash_hex()), Binding::Bound, "a random id of 32 bytes");
    assert_eq!(binding(&token(&mint.hash(), &other), &mint.hash_hex()), Binding::NotBound(other.hash_hex()));
    let unknown_version = [&[0, 1][..], &[7; 64]].concat();
    assert_eq!(binding(&token(&unknown_version, &other), &mint.hash_hex()), Binding::NotBound(other.hash_hex()));
    assert_eq!(binding(&token(&id_v0([0; 32]), &mint), &mint.hash_hex()), Binding::NotBound("00".repeat(32)));
}

#[test]
fn only_canonical_base64_is_decoded() {
    let mint = Mint::sat(21);
    let token = BASE64URL_NOPAD.encode(&macaroon_v2(&id_v0(mint.hash()), &["a=b"]));
    assert_eq!(binding(&token, &mint.hash_hex()), Binding::Bound);
    let bare = BASE64URL_NOPAD.encode(&macaroon_v2(&mint.hash(), &["a=b"]));
    assert_eq!(binding(&bare, &mint.hash_hex()), Binding::Bound);
    for odd in [format!("{bare}\n"), format!(" {bare}"), format!("{bare}==="), format!("{bare}AA")] {
        assert_eq!(binding(&odd, &mint.hash_hex()), Binding::Unknown, "{odd:?}");
    }
    // An identifier of version 0 that is all there has been said, whatever was broken behind it.
    assert_eq!(binding(&format!("{token}="), &"00".repeat(32)), Binding::NotBound(mint.hash_hex()));
    assert_eq!(Macaroon::from_token("AgEB_"), Err(BadMacaroon::Foreign));
}

#[test]
fn broken_macaroons_have_typed_answers() {
    let (v1, v2) = (macaroon_v1(&[7; 32], &["a=b"]), macaroon_v2(&id_v0([7; 32]), &["a=b"]));
    assert_eq!(Macaroon::read(&v2).map(|m| (m.id(), m.caveats.len())), Ok((Identifier::V0([7; 32]), 1)));
    assert_eq!(Macaroon::read(&v1).map(|m| (m.id(), m.caveats.len())), Ok((Identifier::Bare([7; 32]), 1)));
    for whole in [&v1, &v2] {
        for end in 0..whole.len() {
            let read = Macaroon::read(&whole[..end]);
            assert!(matches!(read, Err(BadMacaroon::Truncated | BadMacaroon::Foreign)), "{end}: {read:?}");
        }
        assert_eq!(Macaroon::read(&[whole, &b"x"[..]].concat()), Err(BadMacaroon::Malformed), "nothing may follow");
    }
    let mib = vec![b'a'; 1 << 20];
    let big = macaroon_v2(&id_v0([7; 32]), &[std::str::from_utf8(&mib).unwrap()]);
    assert_eq!(Macaroon::read(&big), Err(BadMacaroon::TooLarge));
    assert_eq!(Macaroon::read(&big[..100]), Err(BadMacaroon::TooLarge), "a length of 1 MiB is not awaited");
    assert_eq!(Macaroon::read(&macaroon_v2(b"x", &["a"; 257])), Err(BadMacaroon::TooLarge));
    let v0 = id_v0([7; 32]);
    for (id, expected) in [
        ([&[0, 1][..], &v0[2..]].concat(), Identifier::Version(1)),
        (v0[..65].to_vec(), Identifier::Other),
        ([&v0[..], &[0]].concat(), Identifier::Other),
        (vec![], Identifier::Other),
        (vec![7; 31], Identifier::Other),
        (vec![7; 33], Identifier::Other),
        (vec![b'x'; 66], Identifier::Other),
    ] {
        assert_eq!(Macaroon::read(&macaroon_v2(&id, &[])).unwrap().id(), expected, "{id:?}");
    }
    for foreign in [&b""[..], b"\x01", b"{}", b"hello", b"\x02", b"\x02\x00", b"\x02\x02\x00\x00\x00\x06\x01x"] {
        assert!(Macaroon::read(foreign).is_err(), "{foreign:?}");
    }
}

#[test]
fn tokens_that_would_break_a_header_are_refused() {
    let mint = Mint::sat(21);
    for token in
        ["a\r\nX: y", "a\0b", "a b", "a\"b", "caf\u{e9}", "\u{202e}", "", "a\u{7f}", &"z".repeat(MAX_TOKEN + 1)]
    {
        let body = json!({ "invoice": mint.text(), "token": token }).to_string();
        let challenge = answer(402, &[], body.as_bytes());
        assert_eq!(codes(only(&challenge)), ["bad_token"], "{token:.20?}");
        assert!(matches!(only(&challenge).way, Way::Listed));
        let pin = Pin::L402(bursar::protocol::l402::Pin {
            scheme: "L402".into(),
            token: Secret::new(token),
            invoice: mint.text(),
        });
        assert!(pin.credential(&Proof::Preimage { hex: Secret::new(PREIMAGE) }).is_none(), "{token:.20?}");
    }
    let quoted = format!("L402 token=\"a\\\"b\", invoice=\"{}\"", mint.text());
    assert_eq!(codes(only(&line(&quoted))), ["bad_token"]);
    let beyond = [b"L402 token=\"caf\xc3\xa9\", invoice=\"", mint.text().as_bytes(), b"\""].concat();
    assert_eq!(codes(only(&answer(402, &[&beyond], b""))), ["bad_token"]);
}

#[test]
fn hints_tell_where_and_until_when_a_token_may_work() {
    let caveats = [
        "services=weather:0,maps/tiles:1",
        "weather_capabilities=read",
        "weather_valid_until=1800000000",
        "maps_valid_until=1790000000",
        "RequestPath = /v1/a",
        "preimage=00",
        "no condition",
        "weather_valid_until=soon",
    ];
    let token = BASE64.encode(&macaroon_v2(&[7; 66], &caveats));
    let expected = Hints {
        expires_at: Some(1_790_000_000),
        services: vec!["weather".into(), "maps/tiles".into()],
        path: Some("/v1/a".into()),
    };
    assert_eq!(hints(&token), expected);
    assert_eq!(hints(&BASE64.encode(&macaroon_v2(b"x", &["RequestPath = a"]))), Hints::default());
    let json = json!({ "path": "/a", "expiresAt": 1_800_000_000_123u64, "n": [1] }).to_string();
    let token = format!("{}.ab", BASE64URL_NOPAD.encode(json.as_bytes()));
    assert_eq!(hints(&token), Hints { expires_at: Some(1_800_000_000), services: vec![], path: Some("/a".into()) });
    assert_eq!(hints("opaque"), Hints::default());
    let hostile = json!({ "path": "/a\r\nX: y", "service": "\u{202e}\u{1b}[31m".repeat(99) }).to_string();
    assert_eq!(hints(&BASE64.encode(hostile.as_bytes())), Hints::default());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// A macaroon with any byte changed is read or refused, never worse; and whatever is read is bounded.
    #[test]
    fn a_changed_macaroon_is_read_or_refused(at in any::<prop::sample::Index>(), with in any::<u8>(), v1 in any::<bool>()) {
        let mut raw = if v1 { macaroon_v1(&[7; 32], &["a=b", "c = d"]) } else { macaroon_v2(&id_v0([7; 32]), &["a=b"]) };
        let at = at.index(raw.len());
        raw[at] = with;
        let _ = Macaroon::read(&raw).map(|m| (m.id(), m.conditions().count()));
        let _ = (binding(&BASE64.encode(&raw), &"00".repeat(32)), hints(&HEXLOWER.encode(&raw)));
    }
}
