//! What became of a payment, as nodes tell it that may lag, lie or say nothing.

use bursar::wallet::LookSaid;

use crate::node::{Known, NOW, Node, Odd, Purse, TRANSACTION, bill, purse, signed};

fn short(said: &LookSaid) -> String {
    match said {
        LookSaid::OnChain { transaction, .. } => format!("on chain {}", transaction.as_deref().unwrap_or("?")),
        LookSaid::CannotTell { why } => format!("cannot tell: {why}"),
        other => format!("{other:?}").split([' ', '{']).next().unwrap_or_default().to_owned(),
    }
}

async fn looked(purse: &Purse) -> String {
    let intent = purse.committed().await;
    short(&purse.wallet.look_up(&intent).await)
}

/// A wallet with these nodes, and a payment that was signed before they were asked anything.
async fn signed_before(nodes: &[&Node]) -> (Purse, bursar::ledger::Committed<bursar::ledger::Intent>) {
    let without = purse(&[]);
    let wire = without.wallet.prepare(&bill()).await.unwrap().wire;
    let urls: Vec<String> = nodes.iter().map(|node| node.url()).collect();
    let purse = purse(&urls.iter().map(String::as_str).collect::<Vec<_>>());
    let intent = purse.commit(wire, purse.wallet.rail_key(&bill()).unwrap()).await;
    (purse, intent)
}

#[tokio::test]
async fn used_is_on_chain_unused_is_not_found_and_void_only_when_the_chain_went_on_past_its_end() {
    let node = Node::start(Known::default()).await;
    let (purse, intent) = signed_before(&[&node]).await;
    let look = || async { short(&purse.wallet.look_up(&intent).await) };
    assert_eq!(look().await, "NotFound");
    // Neither our clock nor the end alone decides, only the chain's own time with a margin.
    purse.clock.advance_ms(3_600_000);
    for (time_s, said) in
        [(NOW + 119, "NotFound"), (NOW + 120, "NotFound"), (NOW + 149, "NotFound"), (NOW + 150, "Void")]
    {
        node.set(|known| known.time_s = time_s);
        assert_eq!(look().await, said, "{}", time_s - NOW);
    }
    // The last blocks were replaced, and in the new ones it stands: nothing is remembered of what was said before.
    node.set(|known| known.used = true);
    assert_eq!(look().await, "on chain ?");
    node.set(|known| known.used = false);
    assert_eq!(look().await, "Void");
    node.set(|known| (known.used, known.event_at) = (true, Some(9_999)));
    assert_eq!(look().await, format!("on chain {TRANSACTION}"));
}

#[tokio::test]
async fn the_transaction_is_searched_in_stretches_among_the_last_blocks_and_no_further() {
    let node = Node::start(Known { used: true, ..Known::default() }).await;
    let (purse, intent) = signed_before(&[&node]).await;
    let found = format!("on chain {TRANSACTION}");
    for (at, said) in
        [(10_000, found.as_str()), (9_501, &found), (9_500, &found), (8_001, &found), (8_000, "on chain ?")]
    {
        node.set(|known| known.event_at = Some(at));
        assert_eq!(short(&purse.wallet.look_up(&intent).await), said, "{at}");
    }
    // Where it is not found, whether its owner took it back is looked for in the same blocks.
    assert_eq!(node.asked("eth_getLogs"), 1 + 1 + 2 + 4 + (4 + 4));
    // A young chain, and a node that searches less: it was used all the same.
    node.set(|known| (known.number, known.event_at) = (3, Some(0)));
    assert_eq!(short(&purse.wallet.look_up(&intent).await), found);
    node.set(|known| (known.number, known.range) = (10_000, 10));
    assert_eq!(short(&purse.wallet.look_up(&intent).await), "on chain ?");
}

#[tokio::test]
async fn when_nodes_disagree_the_money_may_have_left() {
    let (no, yes) =
        (Node::start(Known { time_s: NOW + 500, ..Known::default() }).await, Node::start(Known::default()).await);
    let (purse, intent) = signed_before(&[&no, &yes]).await;
    assert_eq!(short(&purse.wallet.look_up(&intent).await), "Void", "the one that lags contradicts nobody");
    yes.set(|known| (known.used, known.event_at) = (true, Some(9_000)));
    assert_eq!(short(&purse.wallet.look_up(&intent).await), format!("on chain {TRANSACTION}"));
    assert_eq!(no.asked("eth_getLogs"), 0, "only who knows of it is asked where");
    // One that is silent takes nothing from the word of the other.
    yes.set(|known| known.odd = ("", Odd::HangUp));
    assert_eq!(short(&purse.wallet.look_up(&intent).await), "Void");
}

#[tokio::test]
async fn the_state_is_asked_at_the_very_block_whose_time_counts() {
    let node = Node::start(Known::default()).await;
    let (purse, intent) = signed_before(&[&node]).await;
    purse.wallet.look_up(&intent).await;
    let asked =
        node.seller.hits().iter().map(|hit| String::from_utf8_lossy(&hit.body).into_owned()).collect::<Vec<_>>();
    assert!(asked.iter().any(|body| body.contains("eth_call") && body.contains("\"0x2710\"")), "{asked:#?}");
}

#[tokio::test]
async fn a_node_that_talks_nonsense_tells_nothing_and_its_key_is_not_shown() {
    let told = |said: &str| said.starts_with("cannot tell") && !said.contains("CANARY") && said.contains("127.0.0.1");
    for odd in [
        Odd::Html,
        Odd::Huge,
        Odd::OtherId,
        Odd::HangUp,
        Odd::NoWord,
        Odd::Status(401),
        Odd::Status(500),
        Odd::Redirect("https://elsewhere.example/".into()),
        Odd::Error("bad key CANARYPATH".into()),
        Odd::Error("see https://n.example/CANARY".into()),
        Odd::Error("no such key: CANARY0123456789abcdef0123456789".into()),
        Odd::Error("header not found\u{1b}[31m".into()),
    ] {
        let node = Node::odd(odd.clone()).await;
        let said = looked(&purse(&[&node.url()])).await;
        assert!(told(&said), "{odd:?}: {said}");
        assert_eq!(
            said.contains("header not found"),
            matches!(&odd, Odd::Error(m) if m.starts_with("header")),
            "{said}"
        );
        assert!(!said.contains('\u{1b}'), "{said}");
    }
    let wrong = Node::start(Known { chain: 8453, used: true, ..Known::default() }).await;
    let said = looked(&purse(&[&wrong.url()])).await;
    assert!(told(&said) && said.contains("is of chain 8453 and not of eip155:84532"), "{said}");
    assert_eq!(wrong.asked("eth_call"), 0, "a node of another chain was asked");
    assert!(looked(&purse(&[])).await.contains("no rpc is set"));
    assert!(looked(&purse(&["http://127.0.0.1:1/CANARYPATH"])).await.contains("No connection to http://127.0.0.1:1"));
}

#[tokio::test]
async fn a_node_that_never_ends_its_answer_is_left_after_seconds() {
    for odd in [Odd::Silence, Odd::Endless] {
        let node = Node::odd(odd).await;
        let (purse, intent) = signed_before(&[&node]).await;
        let began = std::time::Instant::now();
        let said = short(&purse.wallet.look_up(&intent).await);
        assert!(said.starts_with("cannot tell") && !said.contains("CANARY"), "{said}");
        assert!(began.elapsed().as_secs() < 8, "{:?}", began.elapsed());
    }
}

#[tokio::test]
async fn bytes_that_do_not_fit_their_key_or_another_chain_are_not_looked_up() {
    let node = Node::start(Known { time_s: NOW + 500, ..Known::default() }).await;
    let first = purse(&[&node.url()]);
    let prepared = first.wallet.prepare(&bill()).await.unwrap();
    let key = first.wallet.rail_key(&bill()).unwrap();
    let mut other = signed(&prepared);
    other.authorization.nonce = [9; 32];
    for (wire, key) in [
        (b"{}".to_vec(), key.clone()),
        (serde_json::to_vec(&other).unwrap(), key.clone()),
        (prepared.wire.clone(), "eip3009:84532".to_owned()),
        (prepared.wire.clone(), format!("{key}:more")),
        (prepared.wire.clone(), key.replace("84532", "8453")),
    ] {
        let purse = purse(&[&node.url()]);
        let intent = purse.commit(wire, key.clone()).await;
        let said = short(&purse.wallet.look_up(&intent).await);
        assert!(said.starts_with("cannot tell"), "{key}: {said}");
    }
}
