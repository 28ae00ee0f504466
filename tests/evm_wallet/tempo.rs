//! Tempo: one signature a purchase, and what nodes tell of it by the memo of its first transfer.

use bursar::{
    clock::Clock,
    evm::{
        Address,
        tempo::{Ask, Charge, Fees, MODERATO, Signed, Transfer, attribution},
    },
    http::Client,
    ledger::{Committed, Intent},
    protocol::Rail,
    wallet::{Bill, LookSaid, evm_from_config},
};

use crate::node::{ACCOUNT, Known, NOW, Node, Purse, TRANSACTION, config_of};

const NETWORK: &str = "eip155:42431";

fn charge() -> Charge {
    let token = "0x20c0000000000000000000000000000000000000".parse().unwrap();
    let memo = Some(attribution("challenge", "api.example"));
    let transfers = vec![Transfer { to: Address([0x15; 20]), value: 10_000, memo }];
    Charge { chain_id: MODERATO, token, transfers, fees: Fees::Token(token) }
}

fn bill_of(charge: Charge) -> Bill {
    Bill::Tempo { ask: Ask::Charge(charge), valid_before: NOW + 25 }
}

/// A wallet on this chain with these nodes.
fn purse_on(chain: &str, nodes: &[&str]) -> Purse {
    let home = tempfile::tempdir().unwrap();
    let config = config_of(home.path(), &format!("[evm.chains.{chain}]\nrpc = {nodes:?}\n"));
    let clock = Clock::manual(NOW * 1000);
    let wallet = evm_from_config(&config, clock.clone(), Client::new(config.http.clone())).unwrap().unwrap();
    Purse { wallet, clock, home }
}

fn purse(nodes: &[&str]) -> Purse {
    purse_on("tempo-moderato", nodes)
}

async fn node() -> Node {
    Node::start(Known { chain: MODERATO, ..Known::default() }).await
}

async fn signed(purse: &Purse) -> Committed<Intent> {
    let wire = purse.wallet.prepare(&bill_of(charge())).await.unwrap().wire;
    purse.commit_on(Rail::TEMPO, wire, "tempo:eip155:42431:0x01".into()).await
}

fn short(said: &LookSaid) -> String {
    match said {
        LookSaid::OnChain { transaction, .. } => format!("on chain {}", transaction.as_deref().unwrap_or("?")),
        LookSaid::CannotTell { why } => format!("cannot tell: {why}"),
        other => format!("{other:?}"),
    }
}

#[tokio::test]
async fn it_pays_there_only_where_the_operator_named_the_chain_and_only_with_tempos_transactions() {
    let tempo = purse(&[]).wallet;
    assert!(tempo.pays(Rail::TEMPO, NETWORK));
    for (rail, network) in [
        (Rail::EIP3009, NETWORK),
        (Rail::PERMIT2, NETWORK),
        (Rail::TEMPO, "eip155:4217"),
        (Rail::TEMPO, "eip155:84532"),
        (Rail::EIP3009, "eip155:84532"),
    ] {
        assert!(!tempo.pays(rail, network), "{rail} {network}");
    }
    let other = purse_on("base-sepolia", &[]).wallet;
    assert!(!other.pays(Rail::TEMPO, NETWORK) && !other.pays(Rail::TEMPO, "eip155:84532"));
    assert!(other.prepare(&bill_of(charge())).await.is_err());
}

#[tokio::test]
async fn it_signs_the_pinned_charge_once_and_nothing_that_it_does_not_know() {
    let purse = purse(&[]);
    let prepared = purse.wallet.prepare(&bill_of(charge())).await.unwrap();
    let signed: Signed = serde_json::from_slice(&prepared.wire).unwrap();
    assert!(Ask::Charge(charge()).is_signed(&signed));
    assert_eq!((signed.from.to_string().to_lowercase().as_str(), signed.valid_before), (ACCOUNT, NOW + 25));
    assert_eq!(prepared.resend_until, NOW + 25);
    assert_eq!(purse.wallet.rail_key(&bill_of(charge())), None, "the challenge makes it unique");

    let far = Charge { chain_id: 4217, ..charge() };
    let unknown = Charge { token: Address([7; 20]), ..charge() };
    let nothing = Charge { transfers: Vec::new(), ..charge() };
    for bad in [far, unknown, nothing] {
        assert!(purse.wallet.prepare(&bill_of(bad.clone())).await.is_err(), "{bad:?}");
    }
    let at = |valid_before| Bill::Tempo { ask: Ask::Charge(charge()), valid_before };
    for end in [0, NOW, NOW + 600] {
        assert!(purse.wallet.prepare(&at(end)).await.is_err(), "{end}");
    }
    let proof = Ask::Proof { chain_id: MODERATO, challenge_id: "c".into(), realm: "api.example".into() };
    // A proof of whose account asks is signed, too, and it is no transaction.
    let proof = purse.wallet.prepare(&Bill::Tempo { ask: proof, valid_before: NOW + 25 }).await.unwrap();
    let wire = String::from_utf8(proof.wire).unwrap();
    assert!(wire.contains("\"kind\":\"proof\"") && !wire.contains("0x76"), "{wire}");
}

#[tokio::test]
async fn a_transfer_is_on_chain_by_its_memo_and_void_only_when_the_chain_went_on_past_its_end() {
    let node = node().await;
    let purse = purse(&[&node.url()]);
    let intent = signed(&purse).await;
    let look = || async { short(&purse.wallet.look_up(&intent).await) };
    purse.clock.advance_ms(3_600_000);
    for (after, said) in [(0, "NotFound"), (25, "NotFound"), (54, "NotFound"), (55, "Void"), (5_000, "Void")] {
        node.set(|known| known.time_s = NOW + after);
        assert_eq!(look().await, said, "{after}");
    }
    // Hours later it is still found where it could have been: the search goes back to that time.
    for (after, at) in [(0, 9_990), (30, 9_980), (300, 9_420), (4_000, 2_010)] {
        node.set(|known| (known.time_s, known.event_at) = (NOW + after, Some(at)));
        assert_eq!(look().await, format!("on chain {TRANSACTION}"), "{after}");
    }
}

/// The negative controls: what is called void gives its hold back, so that nothing but certainty may be called so.
#[tokio::test]
async fn what_was_not_searched_whole_is_never_void() {
    let node = node().await;
    let purse = purse(&[&node.url()]);
    let intent = signed(&purse).await;
    let look = || async { short(&purse.wallet.look_up(&intent).await) };
    node.set(|known| known.time_s = NOW + 500);
    assert_eq!(look().await, "Void");
    node.set(|known| known.range = 10);
    assert!(look().await.starts_with("cannot tell"), "a node that searches less");
    node.set(|known| (known.range, known.chain) = (500, MODERATO + 1));
    assert_eq!(look().await, "Void", "it was asked its chain once");
    // Two that disagree: it happened.
    let lags = Node::start(Known { chain: MODERATO, event_at: Some(9_990), ..Known::default() }).await;
    let both = self::purse(&[&node.url(), &lags.url()]);
    let intent = signed(&both).await;
    node.set(|known| known.chain = MODERATO);
    assert_eq!(short(&both.wallet.look_up(&intent).await), format!("on chain {TRANSACTION}"));
    let blind = self::purse(&[]);
    let intent = signed(&blind).await;
    assert!(short(&blind.wallet.look_up(&intent).await).contains("no rpc is set under [evm.chains.tempo-moderato]"));
}

#[tokio::test]
async fn another_amount_under_the_same_memo_and_bytes_that_do_not_fit_say_nothing() {
    let node = node().await;
    let purse = purse(&[&node.url()]);
    let intent = signed(&purse).await;
    node.set(|known| (known.event_at, known.moved) = (Some(9_990), 9_999));
    assert_eq!(short(&purse.wallet.look_up(&intent).await), "NotFound");
    let mut other: Signed = serde_json::from_slice(&intent.wire).unwrap();
    other.from = Address([9; 20]);
    for wire in [b"{}".to_vec(), serde_json::to_vec(&other).unwrap()] {
        let fresh = self::purse(&[&node.url()]);
        let intent = fresh.commit_on(Rail::TEMPO, wire, "tempo:eip155:42431:0x02".into()).await;
        assert!(short(&fresh.wallet.look_up(&intent).await).contains("cannot be read"));
    }
}

#[tokio::test]
async fn what_lies_there_is_the_sum_of_its_known_tokens() {
    let node = node().await;
    let purse = purse(&[&node.url()]);
    let balance = purse.wallet.balance_on(NETWORK).await.unwrap();
    assert_eq!(balance.to_string(), "5 usd", "two tokens of 2.5 each");
    // An offer asks for one of them.
    let asset = charge().token.to_string();
    let price = |units| bursar::money::Amount::new(bursar::money::Currency::Usd, units).unwrap();
    let objection = async |units| purse.wallet.objection(Rail::TEMPO, NETWORK, &asset, price(units)).await;
    assert!(objection(2_500_000).await.is_none());
    let (code, say) = objection(2_500_001).await.unwrap();
    assert!(code == "insufficient_balance" && say.contains("holds 2.5 usd of that token"), "{say}");
    let info = purse.wallet.info().await.unwrap();
    assert_eq!((info.places[0].name.as_str(), info.places[0].balance), ("tempo-moderato", Some(balance)));
}
