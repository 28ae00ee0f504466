//! Free tiers that sellers name, and quotas that are used up.

mod protocol_mint;

use bursar::protocol::{
    Protocol, Rail, Seen, Way,
    free::{QuotaUsedUp, quota_used_up},
};
use http::HeaderMap;
use protocol_mint::*;
use serde_json::json;

fn is_free(status: u16, body: &str) -> bool {
    answer(status, &[], body.as_bytes()).offers.iter().any(|o| o.protocol == Protocol::Free)
}

fn quota(status: u16, headers: &[(&'static str, &'static str)], body: &str) -> Option<QuotaUsedUp> {
    let url = "https://seller.example/".parse().unwrap();
    let headers: HeaderMap = headers.iter().map(|(n, v)| (n.parse().unwrap(), v.parse().unwrap())).collect();
    quota_used_up(Seen { url: &url, status, headers: &headers, body: body.as_bytes() })
}

#[test]
fn a_free_tier_is_an_offer_of_price_zero_and_comes_first() {
    let mint = Mint::sat(21);
    let header = format!(r#"L402 token="{}", invoice="{}""#, token_for(&mint), mint.text());
    let body = json!({ "detail": "Payment required. Add X-Free-Tier: true header to use the free quota instead." });
    let challenge = answer(402, &[header.as_bytes()], body.to_string().as_bytes());
    assert_eq!(challenge.offers.len(), 2);
    let offer = &challenge.offers[0];
    assert_eq!((offer.protocol, offer.rail, offer.is_payable()), (Protocol::Free, Rail::NONE, true));
    assert_eq!(offer.price.unwrap().to_string(), "0 sat");
    let Way::Free { name, value } = &offer.way else { panic!("{offer:?}") };
    assert_eq!((name.as_str(), value.to_str().unwrap()), ("x-free-tier", "true"));
    assert!(challenge.offers[1].is_payable());
}

#[test]
fn a_free_tier_is_found_in_any_text_of_a_402_or_a_429() {
    assert!(is_free(402, "Add X-Free-Tier: true to try it"));
    assert!(is_free(402, r#"{"error":{"hints":["send `X-Free-Tier: true`."]}}"#));
    assert!(is_free(402, r#"{"how":"header \"x-free-tier\":\"true\""}"#));
    assert!(is_free(402, "X-Free-Tier:true"));
    assert!(is_free(429, r#"{"error":"Too many requests; X-Free-Tier: true has its own limit"}"#));
    assert!(!is_free(200, "X-Free-Tier: true"));
    assert!(!is_free(429, r#"{"code":"QUOTA_EXCEEDED","detail":"X-Free-Tier: true is used up"}"#), "it would loop");
}

/// The list is closed: a seller cannot make us send a header of its choice.
#[test]
fn only_the_known_header_with_its_known_value_counts() {
    for body in [
        "X-Free-Tier: false",
        "X-Free-Tier: trueish",
        "X-Free-Tier true",
        "X-Free-Tier",
        "X-Free-Trial: true",
        "Authorization: Bearer x",
        r#"{"x-free-tier":true}"#,
        r#"{"a":"X-Free-Tier: true","a":1}"#,
        "{\"detail\":\"X-Free-Tier: true\"",
        "",
    ] {
        assert!(!is_free(402, body), "{body}");
    }
}

#[test]
fn a_quota_that_is_used_up_is_told_from_a_rate_limit() {
    let jamie = json!({ "error": "Quota exceeded", "code": "QUOTA_EXCEEDED", "used": 2, "max": 2,
        "resetDate": "2026-11-28T00:00:00Z", "daysUntilReset": 7, "tier": "anonymous" });
    let expected = QuotaUsedUp { used: Some(2), max: Some(2), untrusted_reset: Some("2026-11-28T00:00:00Z".into()) };
    assert_eq!(quota(429, &[], &jamie.to_string()), Some(expected));
    assert!(quota(429, &[], r#"{"message":"Free quota used up"}"#).is_some());
    assert!(quota(429, &[], r#"{"error":"free tier limit reached"}"#).is_some());
    let headers = [("x-quota-remaining", "0"), ("x-quota-max", "3"), ("x-quota-reset", "1795000000")];
    let expected = QuotaUsedUp { used: None, max: Some(3), untrusted_reset: Some("1795000000".into()) };
    assert_eq!(quota(429, &headers, ""), Some(expected));
    for (status, body) in [(429, r#"{"error":"Too many requests"}"#), (429, ""), (402, r#"{"code":"QUOTA_EXCEEDED"}"#)]
    {
        assert_eq!(quota(status, &[], body), None, "{status} {body}");
    }
    assert_eq!(quota(429, &[("x-quota-remaining", "1")], ""), None);
}

/// safety A71.
#[test]
fn a_reset_date_is_cleaned_and_bounded() {
    let body = json!({ "code": "QUOTA_EXCEEDED", "used": -1, "max": "many", "resetDate": format!("\u{1b}[31m\u{202e}{}", "9".repeat(999)) });
    let seen = quota(429, &[], &body.to_string()).unwrap();
    assert_eq!((seen.used, seen.max), (None, None));
    assert_eq!(seen.untrusted_reset.unwrap(), format!("{}…", "9".repeat(39)));
}
