//! One entry of `accepts` at a time: what makes it payable, and what does not.

use bursar::{
    money::{Currency, MAX_ATOMIC},
    protocol::{Rail, read_with},
};
use serde_json::json;

use super::*;

#[track_caller]
fn refused(entry: Value, code: &str, words: &str) {
    let offer = judged(entry.clone());
    assert_eq!(codes(&offer), [code], "{entry}: {:?}", offer.objections);
    assert!(offer.objections[0].say.contains(words), "{:?}", offer.objections[0].say);
    assert!(!offer.is_payable() && matches!(offer.way, Way::Listed));
}

#[track_caller]
fn payable(entry: Value) -> Offer {
    let offer = judged(entry);
    assert_eq!(codes(&offer), Vec::<&str>::new(), "{:?}", offer.objections);
    pin(&offer);
    offer
}

/// Hazard 12: an asset that nobody vouches for has no price here, whatever its decimals.
#[test]
fn hazard_12_an_unknown_asset_has_no_price() {
    for asset in [
        // 18 decimals: MegaUSD; USDC of BNB chain; one digit beside USDC; USDC of another chain; an ISO code.
        "0xFAfDdbb3FC7688494971a79cc65DCa3EF82079E7",
        "0x8AC76a51cc950d9822D68b83fE1Ad97B32Cd580d",
        "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02914",
        "0x036CbD53842c5426634e7929541eC2318f3dCF7e",
        "USD",
        "0x0000000000000000000000000000000000000000",
    ] {
        refused(but(json!({ "asset": asset })), "unknown_asset", "nobody here knows what one unit of");
        assert_eq!(judged(but(json!({ "asset": asset }))).price, None, "{asset}");
    }
    refused(but(json!({ "asset": null })), "bad_terms", "names no asset");
    refused(but(json!({ "asset": 7 })), "unknown_asset", "7");
}

#[test]
fn an_asset_that_the_operator_added_is_counted_in_its_currency() {
    let own = "0x8AC76a51cc950d9822D68b83fE1Ad97B32Cd580d";
    let answer = Answer::new(402).header(
        "payment-required",
        &terms(&[but(json!({ "asset": own, "extra": { "name": "Own", "version": "7" } }))]),
    );
    let offer = only(read_with(answer.seen(), &assets("Own", "7", own)));
    assert_eq!((offer.price.unwrap().currency(), offer.is_payable()), (Currency::Usd, true));
    assert_eq!(pin(&offer).transfer().unwrap().token.name, "Own");
}

/// Hazard 12: amounts are whole numbers of atomic units in decimal strings; nothing is rounded, scaled or guessed.
#[test]
fn hazard_12_an_amount_is_a_plain_whole_number() {
    for (amount, price) in [(json!("1"), "0.000001 usd"), (json!("10000"), "0.01 usd"), (json!(25_000_000), "25 usd")] {
        assert_eq!(payable(but(json!({ "amount": amount }))).price.unwrap().to_string(), price);
    }
    for amount in [
        json!("0.01"),
        json!("$0.01"),
        json!("1e4"),
        json!("0x2710"),
        json!("-10000"),
        json!("+10000"),
        json!(" 10000"),
        json!("10,000"),
        json!("010000"),
        json!("١٠"),
        json!(10000.0),
        json!(0.01),
        json!(-1),
        json!(1e30),
        json!(true),
        json!(["10000"]),
        json!({ "amount": "10000" }),
        json!("9".repeat(79)),
    ] {
        refused(but(json!({ "amount": amount })), "bad_amount", "no whole number");
    }
    refused(but(json!({ "amount": "0" })), "zero_amount", "no money");
    refused(but(json!({ "amount": 0 })), "zero_amount", "no money");
    for amount in
        [json!("9".repeat(78)), json!("18446744073709551616"), json!(u64::MAX), json!((MAX_ATOMIC + 1).to_string())]
    {
        refused(but(json!({ "amount": amount })), "too_much", "beyond all reason");
    }
    assert!(payable(but(json!({ "amount": MAX_ATOMIC.to_string() }))).price.is_some());
    for amount in [json!(null), json!("")] {
        refused(but(json!({ "amount": amount })), "no_amount", "what it costs");
    }
}

#[test]
fn the_other_versions_name_of_the_amount_is_read_where_nothing_contradicts_it() {
    let other = but(json!({ "amount": null, "maxAmountRequired": "20000" }));
    assert_eq!(payable(other).price.unwrap().to_string(), "0.02 usd");
    assert_eq!(payable(but(json!({ "maxAmountRequired": "10000" }))).price.unwrap().to_string(), "0.01 usd");
    refused(but(json!({ "maxAmountRequired": "20000" })), "ambiguous_amount", "two prices");
    refused(but(json!({ "maxAmountRequired": 10_000 })), "ambiguous_amount", "two prices");
}

/// Hazard 13: a domain that is not the token's own is refused before anything is signed, and both are named.
#[test]
fn hazard_13_a_wrong_domain_is_refused_with_both_names() {
    for (given, words) in [
        (json!({ "name": "USDC" }), "\"USDC\" version \"2\", and the token is \"USD Coin\" version \"2\""),
        (json!({ "name": "GatewayWalletBatched", "version": "1" }), "\"GatewayWalletBatched\" version \"1\""),
        (json!({ "version": "1" }), "\"USD Coin\" version \"1\""),
        (json!({ "version": 1 }), "version \"1\""),
        (json!({ "name": "usd coin" }), "\"usd coin\""),
        (json!({ "name": "USD Coin\u{200b}" }), "no payment of it can succeed"),
        (json!({ "name": ["USD Coin"] }), "\"?\""),
    ] {
        refused(extra(given), "wrong_domain", words);
    }
    // What is not said is taken from the pinned table, in both versions.
    for extra in [json!(null), json!({}), json!({ "name": "", "version": null }), json!({ "version": 2 })] {
        payable(but(json!({ "extra": extra })));
    }
    refused(but(json!({ "extra": "USD Coin" })), "bad_terms", "\"extra\"");
}

/// Hazard 14: a signature for a contract that is not the token is for somebody else's wallet.
#[test]
fn hazard_14_another_verifying_contract_is_refused() {
    let wallet = "0x77777777Dcc4d5A8B6E418Fd04D8997ef11000eE";
    refused(extra(json!({ "verifyingContract": wallet })), "wrong_contract", "instead of the token");
    refused(extra(json!({ "verifyingContract": "USDC" })), "wrong_contract", "instead of the token");
    refused(extra(json!({ "verifyingContract": 7 })), "wrong_contract", "instead of the token");
    payable(extra(json!({ "verifyingContract": USDC })));
    payable(extra(json!({ "verifyingContract": USDC.to_lowercase() })));
    let circle = extra(json!({ "name": "GatewayWalletBatched", "version": "1", "verifyingContract": wallet }));
    assert_eq!(codes(&judged(circle)), ["wrong_domain", "wrong_contract"]);
}

/// Hazard 16: too short a time is refused, too long a one is cut.
#[test]
fn hazard_16_a_payment_needs_time_to_arrive() {
    for seconds in [json!(0), json!(9), json!(9.99), json!(-60), json!("5"), json!("soon"), json!([60])] {
        refused(but(json!({ "maxTimeoutSeconds": seconds })), "too_short", "too short");
    }
    for (seconds, life) in [
        (json!(10), 10),
        (json!(60.5), 60),
        (json!("300"), 300),
        (json!(null), 60),
        (json!(31_536_000), 86_400),
        (json!(u64::MAX), 86_400),
        (json!(1e300), 86_400),
    ] {
        let offer = payable(but(json!({ "maxTimeoutSeconds": seconds })));
        assert_eq!(pin(&offer).transfer().unwrap().max_life_s, life);
    }
}

#[test]
fn a_payee_is_an_account_and_no_role() {
    for (payee, words) in [
        (json!("merchant"), "\"merchant\", which is no address"),
        (json!("0x0000000000000000000000000000000000000000"), "zero address"),
        (json!(null), "who is to be paid"),
        (json!(7), "no address"),
        (json!("0x15d34AAf54267DB7D7c367839AAf71A00a2C6A"), "no address"),
        (json!("vitalik.eth"), "no address"),
        (json!(USDC), "the token's own contract"),
    ] {
        refused(but(json!({ "payTo": payee })), "bad_payee", words);
    }
    let small = payable(but(json!({ "payTo": PAYEE.to_lowercase() })));
    assert_eq!((small.payee.as_str(), small.remarks.len()), (PAYEE, 0));
    let wrong = payable(but(json!({ "payTo": PAYEE.replace("AAf5", "aaF5") })));
    assert!(wrong.remarks[0].contains("checksum") && wrong.payee == PAYEE);
}

/// Facts 1.4: never sign for a flow that is not known; where several are offered, paying after the answer comes first.
#[test]
fn only_known_flows_are_paid_and_the_one_that_settles_last_comes_first() {
    payable(extra(json!({ "paymentFlow": "authorization" })));
    for flow in [json!("escrow"), json!("stream"), json!("Authorization"), json!(1)] {
        refused(extra(json!({ "paymentFlow": flow })), "unsupported_flow", "not paid here");
    }
    let upfront = extra(json!({ "paymentFlow": "upfront" }));
    assert_eq!(payable(upfront.clone()).remarks, ["the seller settles before it answers"]);
    let challenge = challenge(&[
        upfront.clone(),
        but(json!({ "amount": "1" })),
        extra(json!({ "paymentFlow": "authorization" })),
        but(json!({ "network": "nowhere" })),
    ]);
    let order: Vec<_> = challenge.offers.iter().map(|o| (o.price.map(|p| p.atomic()), o.remarks.len())).collect();
    assert_eq!(order, [(Some(1), 0), (Some(10_000), 0), (None, 0), (Some(10_000), 1)]);
}

#[test]
fn other_ways_to_move_an_asset_are_listed_with_their_own_sentences() {
    payable(extra(json!({ "assetTransferMethod": "eip3009" })));
    for (entry, code, words) in [
        (extra(json!({ "assetTransferMethod": "permit2" })), "permit2_off", "needs a Permit2 allowance"),
        (but(json!({ "scheme": "upto" })), "permit2_off", "charges up to its price"),
        (extra(json!({ "assetTransferMethod": "erc7710" })), "unsupported_method", "ERC-7710"),
        (extra(json!({ "assetTransferMethod": "teleport" })), "unsupported_method", "\"teleport\""),
        (extra(json!({ "assetTransferMethod": 3 })), "unsupported_method", "\"3\""),
        (but(json!({ "scheme": "batch-settlement" })), "unsupported_scheme", "deposit"),
        (but(json!({ "scheme": "auth-capture" })), "unsupported_scheme", "escrow"),
        (but(json!({ "scheme": "Exact" })), "unsupported_scheme", "\"Exact\""),
        (but(json!({ "scheme": null })), "bad_terms", "no payment scheme"),
        (but(json!({ "scheme": 1 })), "unsupported_scheme", "\"1\""),
    ] {
        refused(entry, code, words);
    }
    let permit2 = judged(extra(json!({ "assetTransferMethod": "permit2" })));
    assert_eq!((permit2.rail, permit2.price.unwrap().to_string()), (Rail::PERMIT2, "0.01 usd".into()));
    assert_eq!(
        judged(but(json!({ "scheme": "batch-settlement" }))).price,
        None,
        "an unknown scheme has no known price"
    );
}

#[test]
fn networks_are_known_by_either_versions_name() {
    for (network, world) in [("eip155:8453", "main"), ("base", "main")] {
        let offer = payable(but(json!({ "network": network })));
        assert_eq!((offer.network.as_str(), offer.world.unwrap().name()), ("eip155:8453", world));
        let pin = pin(&offer);
        assert_eq!(x402(&pin).network, network);
    }
    for network in ["eip155:08453", "eip155:+8453", "eip155:84530", "Base", "eip155:*", "solana", "8453"] {
        let offer = judged(but(json!({ "network": network })));
        assert_eq!((codes(&offer), offer.price, offer.world), (vec!["unknown_network"], None, None));
        assert_eq!(offer.network, network);
    }
    refused(but(json!({ "network": null })), "bad_terms", "no network");
    refused(but(json!({ "network": 8453 })), "unknown_network", "8453");
}
