//! The exchanges that were recorded with the reference servers.

use bursar::protocol::{Rail, World, x402::Demand, x402::demand};
use serde_json::{Value, json};

use super::*;

fn live() -> Value {
    serde_json::from_str(include_str!("../data/x402-live-exchanges.json")).unwrap()
}

/// The 402 of version 2, and that of version 1: its body as `x402-express` 1.2 sent it, key by key.
fn challenge_of(version: &str) -> Answer {
    let live = live();
    match version {
        "v2" => Answer::new(402)
            .at("http://127.0.0.1:28421/weather")
            .raw("payment-required", live["v2"]["required_header"].as_str().unwrap())
            .raw("cache-control", "no-store"),
        _ => Answer::new(402).at("http://127.0.0.1:28422/weather").body(live["v1"]["required_body"].to_string()),
    }
}

/// The live signature, in the shape that our wallet hands over.
fn live_signed(version: &str) -> Vec<u8> {
    live()[version]["payload"]["payload"].to_string().into_bytes()
}

#[test]
fn a_live_challenge_is_one_offer_in_either_version() {
    for version in ["v2", "v1"] {
        let challenge = challenge_of(version).read();
        assert_eq!(challenge.notes, Vec::<String>::new());
        let offer = only(challenge);
        assert_eq!(codes(&offer), Vec::<&str>::new(), "{version}: {:?}", offer.objections);
        assert_eq!(
            (offer.rail, offer.network.as_str(), offer.world),
            (Rail::EIP3009, "eip155:84532", Some(World::Test))
        );
        assert_eq!(offer.asset, "0x036CbD53842c5426634e7929541eC2318f3dCF7e");
        assert_eq!((offer.price.unwrap().to_string().as_str(), offer.payee.as_str()), ("0.01 usd", PAYEE));
        assert_eq!((offer.rail_key.as_str(), offer.expires_at, offer.remarks.len()), ("", None, 0));
        let pin = pin(&offer);
        let transfer = pin.transfer().unwrap();
        assert_eq!((transfer.value, transfer.max_life_s), (10_000, if version == "v2" { 300 } else { 60 }));
        assert!(Rail::is_settled_by_seller(offer.rail.0) && pin.invoice().is_none() && !pin.replays());
    }
}

#[test]
fn the_header_that_pays_is_the_live_one_byte_for_byte() {
    for (version, name) in [("v2", "payment-signature"), ("v1", "x-payment")] {
        let pin = pin(&only(challenge_of(version).read()));
        let (header, value, _) = paid(&pin, &live_signed(version));
        assert_eq!((header.as_str(), value.as_str()), (name, live()[version]["payload_header"].as_str().unwrap()));
        // A pin survives the ledger, and so do the bytes.
        let stored: Pin = serde_json::from_str(&serde_json::to_string(&pin).unwrap()).unwrap();
        assert_eq!(paid(&stored, &live_signed(version)).1, value);
    }
}

#[test]
fn a_live_receipt_says_that_the_money_moved() {
    for (version, name) in [("v2", "payment-response"), ("v1", "x-payment-response")] {
        let pin = pin(&only(challenge_of(version).read()));
        let live = live();
        let answer = Answer::new(200).raw(name, live[version]["response_header"].as_str().unwrap());
        let receipt = pin.receipt(answer.seen()).unwrap();
        assert!(receipt.settled && receipt.reason.is_empty() && receipt.amount.is_none());
        assert_eq!(receipt.transaction.as_deref(), live[version]["response"]["transaction"].as_str());
        assert_eq!(demand(answer.seen()), None);
    }
}

/// x402 facts 0.6: a settle failure has a receipt, no terms, and two kilobytes of somebody's debug output.
#[test]
fn a_live_settle_failure_is_a_receipt_that_says_no() {
    let pin = pin(&only(challenge_of("v2").read()));
    let live = live();
    let failure = &live["v2_settle_failure"];
    let mut answer = Answer::new(failure["status"].as_u64().unwrap() as u16);
    for (name, value) in failure["headers"].as_object().unwrap() {
        answer = answer.raw(name, value.as_str().unwrap());
    }
    let receipt = pin.receipt(answer.seen()).unwrap();
    assert!(!receipt.settled && receipt.transaction.is_none());
    assert!(receipt.reason.starts_with("invalid_exact_evm_transaction_failed: Nonce provided"), "{}", receipt.reason);
    assert!(receipt.reason.chars().count() <= 200 && !receipt.reason.contains('\n'));
    assert_eq!(pin.complaint(answer.seen()), receipt.reason);
    assert_eq!(demand(answer.seen()), Some(Demand::SettleFailure));
    assert!(answer.read().offers.is_empty());
}

/// Hazard 7: ten payments at once through a facilitator that races with itself. A failure of its own making is told apart
/// from a success, and neither reads as a new challenge.
#[test]
fn hazard_7_the_answers_of_a_racing_facilitator_are_told_apart() {
    let live = live();
    let results = live["parallel10"]["results"].as_array().unwrap();
    let pin = pin(&only(challenge_of("v2").read()));
    let mut settled = 0;
    for result in results {
        let (status, word) = (result[0].as_u64().unwrap() as u16, result[1].as_str().unwrap());
        let ok = word == "ok";
        let mut said = json!({ "success": ok, "transaction": "", "network": "eip155:84532" });
        if !ok {
            said["errorReason"] = word.into();
        }
        let answer = Answer::new(status).header("payment-response", &said);
        let receipt = pin.receipt(answer.seen()).unwrap();
        assert_eq!((receipt.settled, receipt.reason.as_str()), (ok, if ok { "" } else { word }));
        assert_eq!(demand(answer.seen()), (!ok).then_some(Demand::SettleFailure));
        settled += usize::from(receipt.settled);
    }
    assert_eq!((results.len(), settled), (10, 4));
}

/// A real seller's 402, with a network beside Base that is not paid here.
#[test]
fn a_captured_challenge_of_the_field_is_payable_on_base() {
    let page: Value = serde_json::from_str(include_str!("../data/402-captures/x402-v2-ping.json")).unwrap();
    let header = page["paymentRequiredHeader"].as_str().unwrap();
    let challenge = Answer::new(402).at("https://l402.space/x402/ping").raw("payment-required", header).read();
    let [base, solana] = &challenge.offers[..] else { panic!("{challenge:#?}") };
    assert_eq!((base.price.unwrap().to_string().as_str(), base.world), ("0.01 usd", Some(World::Main)));
    assert_eq!(base.payee, "0x85BdB78Ad4C39565F767da6733a071F86BAEDb6b");
    assert_eq!((codes(base), base.remarks.len()), (vec![], 0));
    assert_eq!((codes(solana), solana.price, solana.world), (vec!["unknown_network"], None, None));
    assert_eq!((solana.network.as_str(), solana.rail), ("solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp", Rail::UNKNOWN));
    assert_eq!(solana.asset, "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v");
    assert!(solana.objections[0].say.contains("solana:"));
    let pin = pin(base);
    let (name, _, json) = paid(&pin, &signed(&pin, 1));
    assert_eq!(name, "payment-signature");
    let sent: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(sent["accepted"], page["decodedForReference"]["accepts"][0], "with the extra receiptId");
    assert_eq!(sent["resource"], page["decodedForReference"]["resource"]);
}

/// The headers of the specification's own examples (transports-v2/http.md): what asks, what pays, and both answers.
const SPEC_ASKS: &str = "eyJ4NDAyVmVyc2lvbiI6MiwiZXJyb3IiOiJQQVlNRU5ULVNJR05BVFVSRSBoZWFkZXIgaXMgcmVxdWlyZWQiLCJyZXNvdXJjZSI6eyJ1cmwiOiJodHRwczovL2FwaS5leGFtcGxlLmNvbS9wcmVtaXVtLWRhdGEiLCJkZXNjcmlwdGlvbiI6IkFjY2VzcyB0byBwcmVtaXVtIG1hcmtldCBkYXRhIiwibWltZVR5cGUiOiJhcHBsaWNhdGlvbi9qc29uIn0sImFjY2VwdHMiOlt7InNjaGVtZSI6ImV4YWN0IiwibmV0d29yayI6ImVpcDE1NTo4NDUzMiIsImFtb3VudCI6IjEwMDAwIiwiYXNzZXQiOiIweDAzNkNiRDUzODQyYzU0MjY2MzRlNzkyOTU0MWVDMjMxOGYzZENGN2UiLCJwYXlUbyI6IjB4MjA5NjkzQmM2YWZjMEM1MzI4YkEzNkZhRjAzQzUxNEVGMzEyMjg3QyIsIm1heFRpbWVvdXRTZWNvbmRzIjo2MCwiZXh0cmEiOnsibmFtZSI6IlVTREMiLCJ2ZXJzaW9uIjoiMiJ9fV19";
const SPEC_PAYS: &str = "eyJ4NDAyVmVyc2lvbiI6MiwicmVzb3VyY2UiOnsidXJsIjoiaHR0cHM6Ly9hcGkuZXhhbXBsZS5jb20vcHJlbWl1bS1kYXRhIiwiZGVzY3JpcHRpb24iOiJBY2Nlc3MgdG8gcHJlbWl1bSBtYXJrZXQgZGF0YSIsIm1pbWVUeXBlIjoiYXBwbGljYXRpb24vanNvbiJ9LCJhY2NlcHRlZCI6eyJzY2hlbWUiOiJleGFjdCIsIm5ldHdvcmsiOiJlaXAxNTU6ODQ1MzIiLCJhbW91bnQiOiIxMDAwMCIsImFzc2V0IjoiMHgwMzZDYkQ1Mzg0MmM1NDI2NjM0ZTc5Mjk1NDFlQzIzMThmM2RDRjdlIiwicGF5VG8iOiIweDIwOTY5M0JjNmFmYzBDNTMyOGJBMzZGYUYwM0M1MTRFRjMxMjI4N0MiLCJtYXhUaW1lb3V0U2Vjb25kcyI6NjAsImV4dHJhIjp7Im5hbWUiOiJVU0RDIiwidmVyc2lvbiI6IjIifX0sInBheWxvYWQiOnsic2lnbmF0dXJlIjoiMHgyZDZhNzU4OGQ2YWNjYTUwNWNiZjBkOWE0YTIyN2UwYzUyYzZjMzQwMDhjOGU4OTg2YTEyODMyNTk3NjQxNzM2MDhhMmNlNjQ5NjY0MmUzNzdkNmRhOGRiYmY1ODM2ZTliZDE1MDkyZjllY2FiMDVkZWQzZDYyOTNhZjE0OGI1NzFjIiwiYXV0aG9yaXphdGlvbiI6eyJmcm9tIjoiMHg4NTdiMDY1MTlFOTFlM0E1NDUzODc5MWJEYmIwRTIyMzczZTM2YjY2IiwidG8iOiIweDIwOTY5M0JjNmFmYzBDNTMyOGJBMzZGYUYwM0M1MTRFRjMxMjI4N0MiLCJ2YWx1ZSI6IjEwMDAwIiwidmFsaWRBZnRlciI6IjE3NDA2NzIwODkiLCJ2YWxpZEJlZm9yZSI6IjE3NDA2NzIxNTQiLCJub25jZSI6IjB4ZjM3NDY2MTNjMmQ5MjBiNWZkYWJjMDg1NmYyYWViMmQ0Zjg4ZWU2MDM3YjhjYzVkMDRhNzFhNDQ2MmYxMzQ4MCJ9fX0=";
const SPEC_SETTLED: &str = "eyJzdWNjZXNzIjp0cnVlLCJ0cmFuc2FjdGlvbiI6IjB4MTIzNDU2Nzg5MGFiY2RlZjEyMzQ1Njc4OTBhYmNkZWYxMjM0NTY3ODkwYWJjZGVmMTIzNDU2Nzg5MGFiY2RlZiIsIm5ldHdvcmsiOiJlaXAxNTU6ODQ1MzIiLCJwYXllciI6IjB4ODU3YjA2NTE5RTkxZTNBNTQ1Mzg3OTFiRGJiMEUyMjM3M2UzNmI2NiJ9";
const SPEC_FAILED: &str =
    "eyJzdWNjZXNzIjpmYWxzZSwiZXJyb3JSZWFzb24iOiJpbnN1ZmZpY2llbnRfZnVuZHMiLCJuZXR3b3JrIjoiZWlwMTU1Ojg0NTMyIn0=";

fn decoded(header: &str) -> Value {
    serde_json::from_slice(&BASE64.decode(header.as_bytes()).unwrap()).unwrap()
}

/// The specification's demand is one offer, and what its example signed makes its example's payment, member by member.
#[test]
fn the_specifications_own_headers_are_read_and_written() {
    let offer =
        only(Answer::new(402).at("https://api.example.com/premium-data").raw("payment-required", SPEC_ASKS).read());
    assert_eq!((codes(&offer), offer.remarks.len()), (vec![], 0), "{:?}", offer.objections);
    assert_eq!((offer.price.unwrap().to_string().as_str(), offer.network.as_str()), ("0.01 usd", "eip155:84532"));
    assert_eq!(offer.payee, "0x209693Bc6afc0C5328bA36FaF03C514EF312287C");
    let (pin, theirs) = (pin(&offer), decoded(SPEC_PAYS));
    assert_eq!(pin.transfer().unwrap().max_life_s, 60);
    let signed = theirs["payload"].to_string().into_bytes();
    let (name, _, ours) = paid(&pin, &signed);
    assert_eq!(name, "payment-signature");
    assert_eq!(serde_json::from_str::<Value>(&ours).unwrap(), theirs);
    // Its signature is a true one: the token would take it.
    let signed: bursar::evm::eip3009::Signed = serde_json::from_value(theirs["payload"].clone()).unwrap();
    assert_eq!(signed.signer(&pin.transfer().unwrap().token), Some(signed.authorization.from));
    // A payment of anything else is not made of it.
    let mut other = theirs["payload"].clone();
    other["authorization"]["value"] = "10001".into();
    assert!(pin.payment(other.to_string().as_bytes()).is_none());
}

#[test]
fn the_specifications_own_answers_are_told_apart() {
    let pin = pin(&only(Answer::new(402).raw("payment-required", SPEC_ASKS).read()));
    let settled = Answer::new(200).raw("payment-response", SPEC_SETTLED);
    let receipt = pin.receipt(settled.seen()).unwrap();
    assert!(receipt.settled);
    assert_eq!(receipt.transaction.as_deref(), decoded(SPEC_SETTLED)["transaction"].as_str());
    let failed = Answer::new(402).raw("payment-response", SPEC_FAILED);
    let receipt = pin.receipt(failed.seen()).unwrap();
    assert_eq!((receipt.settled, receipt.reason.as_str(), receipt.transaction), (false, "insufficient_funds", None));
    assert_eq!(demand(failed.seen()), Some(Demand::SettleFailure));
}
