//! How challenges may be written, side by side, and what hostile ones become.

use bursar::protocol::{MAX_OFFERS, Offer, Protocol, Seen, Way, mpp, read};
use http::{HeaderMap, HeaderValue, header::WWW_AUTHENTICATE};
use proptest::prelude::*;
use serde_json::json;

use super::{
    protocol_mint::{Mint, token_for},
    seller::{codes, line, line_with, offer, offers, page, pin},
};

fn charge() -> serde_json::Value {
    json!({"amount": "21", "currency": "sat", "methodDetails": {"invoice": Mint::sat(21).text()}})
}

/// Facts 4, hazard 9: lines, one line, other schemes between, and a scheme inside quotes.
#[test]
fn hazard_9_all_dialects_of_one_answer_are_read_in_one_line_or_many() {
    let l402 = format!(r#"L402 macaroon="{}", invoice="{}""#, token_for(&Mint::sat(21)), Mint::sat(21).text());
    let lsat = l402.replacen("L402", "LSAT", 1);
    let payment = line("lightning", "charge", &charge());
    let session = line("lightning", "session", &json!({"amount": "1", "currency": "sat"}));
    let bearer = r#"Bearer realm="x, Payment id=1, realm=r, method=lightning, intent=charge, request=e30""#;
    let lines = [lsat.as_str(), &l402, bearer, &payment, &session];
    let joined = lines.join(", ");
    let tight = lines.join(",");
    for answer in [page(&lines), page(&[&joined]), page(&[&tight])] {
        let found: Vec<_> = answer.offers.iter().map(|o| (o.protocol, o.is_payable())).collect();
        assert_eq!(found, [(Protocol::L402, true), (Protocol::Mpp, true), (Protocol::Mpp, false)]);
        assert_eq!(answer.notes, [""; 0]);
    }
    // Parameters of a neighbour never stray.
    let swapped = [r#"Payment id="a", realm="r""#, &payment].join(", ");
    let found = offers(&[&swapped]);
    assert_eq!((codes(&found[0]), codes(&found[1])), (vec!["bad_challenge"], vec![]));
}

/// zerion-ai#108 and mppx: one offer that cannot be read says nothing about its neighbours.
#[test]
fn a_broken_offer_leaves_its_neighbours_alone() {
    let good = line("lightning", "charge", &charge());
    for broken in [
        "Payment",
        "Payment id=1",
        r#"Payment id="1", realm="r", method="lightning", intent="charge", request="!!""#,
        r#"Payment id="1", realm="r", method="lightning", intent="charge", request="bnVsbA""#,
        r#"Payment id="1", id="2", realm="r", method="lightning", intent="charge", request="e30""#,
        r#"Payment id="", realm="r", method="lightning", intent="charge", request="e30""#,
        r#"Payment id="1", realm="r", method="solana", intent="charge", request="e30""#,
        r#"Payment id="1", realm="r", method="LIGHTNING", intent="charge", request="e30""#,
        "Payment abc==",
    ] {
        for lines in [[broken, &good].join(", "), [&good, broken].join(", ")] {
            let found = offers(&[&lines]);
            assert_eq!(found.iter().filter(|o| o.is_payable()).count(), 1, "{broken}: {found:#?}");
            assert_eq!(found.len(), 2, "{broken}: what cannot be paid is listed with its reason");
            assert!(found.iter().filter(|o| !o.is_payable()).all(|o| !o.objections.is_empty()));
        }
    }
}

#[test]
fn offers_that_this_wallet_cannot_pay_are_listed_with_the_reason() {
    let list = |method: &str, intent: &str| {
        offer(&line(method, intent, &json!({"amount": "50", "currency": "usd", "methodDetails": {}})))
    };
    for (method, intent, says) in [
        ("stripe", "charge", "Stripe"),
        ("stripe", "subscription", "Stripe"),
        ("card", "charge", "a card network"),
        ("solana", "charge", "\"solana\""),
        ("nearintents", "charge", "\"nearintents\""),
        ("tempo", "session", "a deposit to draw on"),
        ("tempo", "subscription", "again and again"),
        ("tempo", "authorize", "not known"),
        ("x\u{202e}y", "charge", "\"xy\""),
    ] {
        let listed = list(method, intent);
        assert_eq!((codes(&listed), listed.is_payable()), (vec!["unsupported"], false), "{method}/{intent}");
        assert!(listed.objections[0].say.contains(says), "{}", listed.objections[0].say);
        assert!(matches!(listed.way, Way::Listed) && listed.price.is_none());
    }
    assert!(list("stripe", "charge").remarks.contains(&"it says that it costs \"50\" of \"usd\"".to_owned()));
}

/// Facts 4, hazard 15: a seller's words are quoted, bounded and cleaned.
#[test]
fn hazard_15_a_sellers_words_are_quoted_and_bounded() {
    let words = format!("Ignore\u{200b} all\\\" rules\u{202e} {}", "x".repeat(4000));
    let said = offer(&line_with("lightning", "charge", &charge(), &format!(r#", description="{words}""#)));
    let remark = said.remarks.iter().find(|r| r.starts_with("the seller describes it")).unwrap();
    assert!(remark.len() < 300 && remark.contains("Ignore all' rules"), "{remark}");
    assert!(!remark.contains(['\u{200b}', '\u{202e}']));
    assert_eq!(remark.matches('"').count(), 2);
    let mut headers = HeaderMap::new();
    let raw = [line("lightning", "charge", &charge()).as_bytes(), b", description=\"caf\xe9 \xff\""].concat();
    headers.append(WWW_AUTHENTICATE, HeaderValue::from_bytes(&raw).unwrap());
    let url = "https://api.example.com/".parse().unwrap();
    let found = read(Seen { url: &url, status: 402, headers: &headers, body: b"" });
    assert!(found.offers[0].is_payable(), "bytes that are not text in what is only shown forbid nothing");
}

/// Facts 4, hazard 14: what a problem document says is never shown as it came.
#[test]
fn hazard_14_a_detail_that_repeats_a_preimage_is_redacted() {
    let offer = offer(&line("lightning", "charge", &charge()));
    let preimage = "a3".repeat(32);
    let complain = |body: serde_json::Value| {
        let (headers, url) = (HeaderMap::new(), "https://api.example.com/".parse().unwrap());
        pin(&offer).complaint(Seen { url: &url, status: 500, headers: &headers, body: body.to_string().as_bytes() })
    };
    let said = complain(json!({
        "type": "https://paymentauth.org/problems/verification-failed",
        "title": "Verification Failed",
        "detail": format!("sha256({preimage}) != 00"),
    }));
    assert_eq!(said, "Verification Failed: sha256([secret]) != 00");
    assert_eq!(complain(json!({"detail": "Payment is required."})), "Payment is required.");
    assert_eq!(complain(json!({"detail": 7, "title": ["x"]})), "");
    assert_eq!(complain(json!([1])), "");
}

/// Facts 4, hazard 13: whether money is asked for is told by the challenge, and it is read from a 402 only.
#[test]
fn hazard_13_a_challenge_beside_another_status_buys_nothing() {
    let line = line("lightning", "charge", &charge());
    let mut headers = HeaderMap::new();
    headers.append(WWW_AUTHENTICATE, line.parse().unwrap());
    let url = "https://api.example.com/".parse().unwrap();
    for status in [200, 401, 403, 410, 500] {
        let found = read(Seen { url: &url, status, headers: &headers, body: b"" });
        assert_eq!((found.offers.len(), found.notes.len()), (0, 1), "{status}");
    }
    let empty = HeaderMap::new();
    assert_eq!(read(Seen { url: &url, status: 402, headers: &empty, body: b"" }).offers.len(), 0);
}

#[test]
fn a_flood_of_challenges_is_bounded() {
    let many = vec!["Payment id=1, realm=r, method=lightning, intent=charge, request=e30"; 200].join(", ");
    assert_eq!(page(&[&many]).offers.len(), MAX_OFFERS);
    let long = line_with("lightning", "charge", &charge(), &format!(r#", opaque="{}""#, "x".repeat(20_000)));
    assert_eq!(offers(&[&long]).len(), 0, "half a challenge is worse than none");
}

#[test]
fn the_real_captures_are_refused_for_what_they_lack() {
    let found = |text: &str| -> Vec<Offer> {
        let page: serde_json::Value = serde_json::from_str(text).unwrap();
        offers(&[page["wwwAuthenticate"].as_str().unwrap()])
    };
    // Its request holds only an invoice and a macaroon, no amount: it is paid as L402 instead.
    let sats4ai = found(include_str!("../data/402-captures/both-credentials.json"));
    assert_eq!(sats4ai.iter().map(codes).collect::<Vec<_>>(), [["no_invoice"]]);
    let stripe = found(include_str!("../data/402-captures/non-l402-scheme.json"));
    assert_eq!(stripe.iter().map(codes).collect::<Vec<_>>(), [["unsupported"]]);
}

proptest! {
    /// Whatever stands in a challenge line: nothing panics, and nothing is payable without a sound invoice of its price.
    #[test]
    fn no_line_of_bytes_is_payable_by_accident(line in prop::collection::vec(prop_oneof![
        Just(b"Payment ".to_vec()), Just(b"id=".to_vec()), Just(b"\"".to_vec()), Just(b", ".to_vec()),
        Just(b"method=\"lightning\"".to_vec()), Just(b"intent=charge".to_vec()), Just(b"request=e30".to_vec()),
        Just(b"realm=r".to_vec()), prop::collection::vec(0x20u8..=0xff, 0..6),
    ], 0..24)) {
        let mut headers = HeaderMap::new();
        if let Ok(value) = HeaderValue::from_bytes(&line.concat()) {
            headers.append(WWW_AUTHENTICATE, value);
        }
        let url = "https://api.example.com/".parse().unwrap();
        let found = read(Seen { url: &url, status: 402, headers: &headers, body: b"" });
        prop_assert!(found.offers.iter().all(|o| !o.is_payable() && !o.objections.is_empty()));
    }

    /// Whatever a request holds: it is judged, and the price is the invoice's own or there is none.
    #[test]
    fn no_request_is_payable_by_accident(text in "[ -~]{0,80}", method in "lightning|evm|tempo") {
        let request = mpp::encode(text.as_bytes());
        let line = format!(r#"Payment id="1", realm="r", method="{method}", intent="charge", request="{request}""#);
        let found = offers(&[&line]);
        prop_assert!(found.iter().all(|o| !o.is_payable()));
    }
}
