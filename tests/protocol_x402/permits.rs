//! Permit2: listed until the operator turns it on, and then signed for what was pinned and nothing else.

use bursar::{
    evm::permit2::{self, Permit, Permitted, Signed, Taking, Witness},
    protocol::{Rail, read_with},
};
use serde_json::json;

use super::*;

const FACILITATOR: &str = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";

fn upto() -> Value {
    let extra = json!({ "name": "USD Coin", "version": "2", "facilitatorAddress": FACILITATOR });
    but(json!({ "scheme": "upto", "extra": extra }))
}

fn exact() -> Value {
    extra(json!({ "assetTransferMethod": "permit2" }))
}

/// The offer of an entry where the operator turned Permit2 on.
#[track_caller]
fn turned_on(entry: Value) -> Offer {
    let answer = Answer::new(402).header("payment-required", &terms(&[entry]));
    only(read_with(answer.seen(), &Assets::default().through_permit2(true)))
}

fn permit(pin: &Pin) -> Signed {
    let (transfer, taking) = pin.permit().unwrap();
    let facilitator = match taking {
        Taking::Exact => None,
        Taking::UpTo { facilitator } => Some(*facilitator),
    };
    let key = bitcoin::secp256k1::SecretKey::from_slice(&[7; 32]).unwrap();
    Permit {
        permitted: Permitted { token: transfer.token.address, amount: transfer.value },
        from: FACILITATOR.parse().unwrap(),
        spender: taking.spender(),
        nonce: [1; 32],
        deadline: 1_795_220_889,
        witness: Witness { to: transfer.to, facilitator, valid_after: 0 },
    }
    .sign(transfer.token.chain_id, &key)
}

#[test]
fn permit2_is_off_until_the_operator_turns_it_on() {
    for entry in [exact(), upto()] {
        let off = judged(entry.clone());
        assert_eq!((codes(&off), off.rail, off.is_payable()), (vec!["permit2_off"], Rail::PERMIT2, false));
        assert!(off.objections[0].say.contains("which the operator has not turned on"));
        let on = turned_on(entry);
        assert_eq!((codes(&on), on.rail, on.is_payable()), (vec![], Rail::PERMIT2, true));
        assert!(Rail::is_settled_by_seller(on.rail.0));
        let pin = pin(&on);
        assert!(pin.transfer().is_none(), "nobody takes it for an EIP-3009 transfer");
        assert_eq!(pin.permit().unwrap().0.value, 10_000);
    }
    assert_eq!(turned_on(upto()).remarks, ["the price is the most that it may charge"]);
    assert_eq!(turned_on(entry()).rail, Rail::EIP3009, "the usual way stays as it is");
    assert!(turned_on(extra(json!({ "assetTransferMethod": "permit2", "name": "whatever" }))).is_payable());
}

#[test]
fn a_price_up_to_needs_to_know_who_may_charge() {
    for facilitator in [json!(null), json!("me"), json!("0x0000000000000000000000000000000000000000"), json!(7)] {
        let mut entry = upto();
        entry["extra"]["facilitatorAddress"] = facilitator;
        let offer = turned_on(entry);
        assert_eq!((codes(&offer), offer.is_payable()), (vec!["bad_terms"], false));
    }
}

#[test]
fn a_permit_pays_only_for_what_was_pinned() {
    for (entry, takes) in [(exact(), "exact"), (upto(), "up_to")] {
        let pin = pin(&turned_on(entry.clone()));
        let good = permit(&pin);
        let (name, _, sent) = paid(&pin, &serde_json::to_vec(&good).unwrap());
        let sent: Value = serde_json::from_str(&sent).unwrap();
        assert_eq!((name.as_str(), &sent["accepted"]), ("payment-signature", &entry));
        assert_eq!(sent["payload"], serde_json::to_value(&good).unwrap());
        assert_eq!(sent["payload"]["permit2Authorization"]["witness"].get("facilitator").is_some(), takes == "up_to");
        let stored = serde_json::to_value(&pin).unwrap();
        assert_eq!(stored["permit2"]["takes"], takes);
        let stored: Pin = serde_json::from_value(stored).unwrap();
        let refused = |change: &dyn Fn(&mut Permit)| {
            let mut one = good.clone();
            change(&mut one.permit);
            assert!(stored.payment(&serde_json::to_vec(&one).unwrap()).is_none());
        };
        assert!(stored.payment(&serde_json::to_vec(&good).unwrap()).is_some());
        refused(&|p| p.permitted.amount += 1);
        refused(&|p| p.permitted.token = permit2::CONTRACT);
        refused(&|p| p.witness.to = permit2::CONTRACT);
        refused(&|p| p.spender = FACILITATOR.parse().unwrap());
        refused(&|p| p.witness.facilitator = Some(permit2::CONTRACT));
        refused(&|p| {
            p.spender = if takes == "exact" { permit2::UPTO } else { permit2::EXACT };
        });
        let usual = super::pin(&judged(super::entry()));
        assert!(
            stored.payment(&signed(&usual, 1)).is_none()
                && usual.payment(&serde_json::to_vec(&good).unwrap()).is_none()
        );
    }
}

/// `upto` charges what was used: the receipt's amount, which may be nothing at all.
#[test]
fn what_was_charged_of_a_price_up_to_stands_in_the_receipt() {
    let pin = pin(&turned_on(upto()));
    let receipt = |amount: &str, transaction: &str| {
        let said = json!({ "success": true, "transaction": transaction, "network": "eip155:8453", "amount": amount });
        pin.receipt(Answer::new(200).header("payment-response", &said).seen()).unwrap()
    };
    assert_eq!((receipt("2350", "0x1").amount, receipt("0", "").amount), (Some(2350), Some(0)));
    assert!(receipt("0", "").settled && receipt("0", "").transaction.is_none());
}
