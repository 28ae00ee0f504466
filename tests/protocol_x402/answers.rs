//! What a seller says after it was shown a payment.

use bursar::protocol::x402::{Demand, demand, described};
use serde_json::json;

use super::*;

fn base() -> Pin {
    pin(&judged(entry()))
}

fn receipt(status: u16, receipt: Value) -> Option<bursar::protocol::Receipt> {
    base().receipt(Answer::new(status).header("payment-response", &receipt).seen())
}

/// Facts 0.6: a challenge, a verify failure and a settle failure are three things.
#[test]
fn the_three_kinds_of_402_are_told_apart() {
    let with = |error: &str| {
        let mut terms = terms(&[entry()]);
        terms["error"] = error.into();
        Answer::new(402).header("payment-required", &terms)
    };
    let failed = json!({ "success": false, "errorReason": "invalid_exact_evm_transaction_failed", "transaction": "" });
    for (answer, kind) in [
        (with("Payment required"), Demand::Challenge),
        (with("X-PAYMENT header is required"), Demand::Challenge),
        (with("PAYMENT-SIGNATURE header is required."), Demand::Challenge),
        (with(""), Demand::Challenge),
        (with("invalid_exact_evm_signature"), Demand::VerifyFailure),
        (with("permit2_allowance_required"), Demand::VerifyFailure),
        (with("No matching payment requirements"), Demand::VerifyFailure),
        (with("x").header("payment-response", &failed), Demand::SettleFailure),
        (Answer::new(402).header("payment-response", &failed), Demand::SettleFailure),
        (Answer::new(402), Demand::Bare),
        (Answer::new(402).body("no"), Demand::Bare),
        (Answer::new(402).body(r#"{"x402Version":1,"accepts":[]}"#), Demand::Bare),
    ] {
        assert_eq!(demand(answer.seen()), Some(kind));
    }
    assert_eq!(demand(Answer::new(500).header("payment-response", &failed).seen()), None);
}

/// Hazard 6: a receipt counts on any status, also beside a 500.
#[test]
fn hazard_6_a_receipt_is_read_on_any_status() {
    let settled = json!({ "success": true, "transaction": "0x12", "network": "eip155:8453", "payer": PAYEE });
    for status in [200, 302, 402, 404, 500, 503] {
        let receipt = receipt(status, settled.clone()).unwrap();
        assert!(receipt.settled && receipt.transaction.as_deref() == Some("0x12"), "{status}");
    }
    let answer = Answer::new(500).header("x-payment-response", &settled);
    assert!(base().receipt(answer.seen()).unwrap().settled, "the older name too");
}

/// Hazard 3: pending is neither a yes nor a no, and its transaction is kept.
#[test]
fn hazard_3_a_pending_settlement_is_not_settled_and_says_so() {
    for said in [
        json!({ "success": false, "errorReason": "settlement_pending", "transaction": "0x12", "network": "eip155:8453" }),
        json!({ "success": true, "errorReason": "settlement_pending", "transaction": "0x12" }),
        json!({ "success": true, "status": "pending", "transaction": "0x12", "network": "eip155:8453" }),
        json!({ "success": false, "status": "deferred_until", "statusDetail": "later", "transaction": "0x12" }),
    ] {
        let receipt = receipt(402, said.clone()).unwrap();
        assert!(!receipt.settled && receipt.reason.starts_with("settlement_pending"), "{said}: {receipt:?}");
        assert_eq!(receipt.transaction.as_deref(), Some("0x12"));
    }
    let settled = receipt(200, json!({ "success": true, "status": "settled", "transaction": "0x12" })).unwrap();
    assert!(settled.settled && settled.reason.is_empty());
    for status in ["blocked", "canceled", "expired", "whatever"] {
        let receipt = receipt(200, json!({ "success": true, "status": status, "transaction": "" })).unwrap();
        assert!(!receipt.settled && receipt.transaction.is_none() && receipt.reason == status);
    }
}

/// A receipt for another network is no receipt of this payment.
#[test]
fn a_receipt_must_be_for_the_network_that_was_paid_on() {
    let said = |network: Value| json!({ "success": true, "transaction": "0x12", "network": network });
    for network in [json!("eip155:8453"), json!("base"), json!(""), json!(null)] {
        assert!(receipt(200, said(network)).unwrap().settled);
    }
    for network in [json!("eip155:84532"), json!("base-sepolia"), json!("solana"), json!("eip155:08453")] {
        assert_eq!(receipt(200, said(network)), None);
    }
    let failed = json!({ "success": false, "errorReason": "x", "transaction": "", "network": "nowhere" });
    assert_eq!(receipt(402, failed).unwrap().reason, "x", "a reason is for people, wherever it comes from");
}

#[test]
fn a_receipt_that_says_neither_yes_nor_no_is_none() {
    let base = base();
    for text in [
        "",
        "e30=",
        "bm8=",
        "{}",
        r#"{"success":"true"}"#,
        r#"{"success":null}"#,
        r#"{"success":true,"success":false}"#,
        "[1]",
        "%",
    ] {
        assert_eq!(base.receipt(Answer::new(200).raw("payment-response", text).seen()), None, "{text}");
    }
    assert_eq!(base.receipt(Answer::new(200).seen()), None);
    let (yes, no) = (json!({ "success": true, "transaction": "0x1" }), json!({ "success": false, "transaction": "" }));
    let both = Answer::new(200).header("payment-response", &yes).header("payment-response", &no);
    assert_eq!(base.receipt(both.seen()), None, "two answers are none");
    let names = Answer::new(200).header("payment-response", &yes).header("x-payment-response", &no);
    assert!(base.receipt(names.seen()).unwrap().settled, "the newer name counts");
}

/// What was signed for an exact price moves whole, so a smaller number in the receipt is nothing to book.
#[test]
fn an_amount_in_a_receipt_counts_only_where_less_than_was_signed_can_be_charged() {
    let said = |pin: &Pin, amount: Value| {
        let receipt = json!({ "success": true, "transaction": "0x1", "amount": amount });
        pin.receipt(Answer::new(200).header("payment-response", &receipt).seen()).unwrap().amount
    };
    let exact = base();
    assert_eq!(said(&exact, json!("1")), None);
    let mut upto = x402(&exact).clone();
    upto.scheme = "upto".into();
    let upto = Pin::X402(upto);
    assert_eq!(said(&upto, json!("2350")), Some(2350));
    assert_eq!((said(&upto, json!(2350)), said(&upto, json!("0"))), (Some(2350), Some(0)));
    for none in [json!("2350.5"), json!("-1"), json!("0x10"), json!(""), json!(1.5), json!("9".repeat(30)), json!(null)]
    {
        assert_eq!(said(&upto, none), None);
    }
}

/// Hazard 28: the reason stands in one of four places, or nowhere, and never decides anything.
#[test]
fn hazard_28_a_complaint_is_found_where_it_stands_and_is_clean() {
    let mut terms = terms(&[entry()]);
    terms["error"] = "invalid_exact_evm_signature".into();
    let failed =
        json!({ "success": false, "errorReason": "unexpected_error", "errorMessage": "\"boom\"\r\n\u{1b}[31mred" });
    for (answer, expected) in [
        (Answer::new(402).header("payment-required", &terms), "invalid_exact_evm_signature"),
        (Answer::new(402).body(terms.to_string()), "invalid_exact_evm_signature"),
        (Answer::new(402).header("payment-response", &failed), "unexpected_error: 'boom' red"),
        (
            Answer::new(402).header("payment-required", &terms).header("payment-response", &failed),
            "unexpected_error: 'boom' red",
        ),
        (
            Answer::new(402).body(r#"{"error":"Failed to verify payment: insufficient_funds"}"#),
            "Failed to verify payment: insufficient_funds",
        ),
        (Answer::new(409).body(r#"{"message":"another payload"}"#), "another payload"),
        (Answer::new(402), ""),
        (Answer::new(402).body("<html>"), ""),
    ] {
        assert_eq!(base().complaint(answer.seen()), expected);
    }
    terms["error"] = format!("</tool>\u{202e}{}", "x".repeat(5000)).into();
    let long = base().complaint(Answer::new(402).header("payment-required", &terms).seen());
    assert!(long.chars().count() <= 200 && !long.contains('\u{202e}'));
}

/// Facts 1.10: input and output before paying.
#[test]
fn what_an_endpoint_takes_is_told_by_its_terms() {
    let mut two = terms(&[entry()]);
    two["extensions"] = json!({ "bazaar": {
        "info": { "input": { "type": "http", "method": "GET", "queryParams": { "city": "Oslo" } },
            "output": { "type": "json", "example": { "t": 7 } } },
        "schema": { "type": "object", "properties": { "input": { "type": "object" } } } } });
    let found = described(Answer::new(402).header("payment-required", &two).seen()).unwrap();
    let input: Value = serde_json::from_str(&found.input.unwrap()).unwrap();
    assert_eq!(input, two["extensions"]["bazaar"]["info"]["input"]);
    assert!(found.output.unwrap().contains("\"t\":7") && found.schema.unwrap().contains("properties"));
    let one = json!({ "x402Version": 1, "accepts": [entry(), but(json!({ "outputSchema":
        { "input": { "type": "http", "method": "POST" }, "output": null } }))] });
    let found = described(Answer::new(402).body(one.to_string()).seen()).unwrap();
    assert!(found.input.unwrap().contains("POST") && found.output.is_none() && found.schema.is_none());
    for none in [
        json!({}),
        json!({ "bazaar": 1 }),
        json!({ "bazaar": { "info": { "input": "x" } } }),
        json!({ "bazaar": { "info": { "input": { "body": "x".repeat(20_000) } } } }),
    ] {
        two["extensions"] = none;
        assert_eq!(described(Answer::new(402).body(two.to_string()).seen()), None);
    }
    assert_eq!(described(Answer::new(402).seen()), None);
}
