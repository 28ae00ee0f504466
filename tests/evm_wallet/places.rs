//! Balances, and what is worth knowing about chains and the account.

use std::time::{Duration, Instant};

use bursar::{
    clock::Clock,
    http::Client,
    money::Amount,
    protocol::World,
    wallet::{Place, evm_from_config},
};
use serde_json::json;

use crate::node::{Known, Node, Odd, config_of, purse};

const NET: &str = "eip155:84532";

fn usd(text: &str) -> Option<Amount> {
    Some(format!("{text} usd").parse().unwrap())
}

async fn place(nodes: &[&str]) -> Place {
    let info = purse(nodes).wallet.info().await.unwrap();
    let [place] = info.places.as_slice() else { panic!("{:?}", info.places) };
    assert_eq!(info.balance, place.balance);
    place.clone()
}

#[tokio::test]
async fn each_chain_tells_its_balance_and_their_sum_is_the_wallets() {
    let sepolia = Node::start(Known::default()).await;
    let amoy = Node::start(Known { chain: 80002, balance: json!(format!("0x{:064x}", 7)), ..Known::default() }).await;
    let home = tempfile::tempdir().unwrap();
    let text = format!(
        "[evm.chains.base-sepolia]\nrpc = [{:?}]\n[evm.chains.polygon-amoy]\nrpc = [{:?}]\n[evm.chains.avalanche-fuji]\n",
        sepolia.url(),
        amoy.url()
    );
    let config = config_of(home.path(), &text);
    let client = Client::new(config.http.clone());
    let wallet = evm_from_config(&config, Clock::system(), client).unwrap().unwrap();
    let info = wallet.info().await.unwrap();
    let places: Vec<_> = info.places.iter().map(|p| (p.name.as_str(), p.balance)).collect();
    assert_eq!(places, [("avalanche-fuji", None), ("base-sepolia", usd("2.5")), ("polygon-amoy", usd("0.000007"))]);
    assert_eq!((info.balance, info.world), (usd("2.500007"), World::Test));
    assert!(info.places[0].remark.as_ref().unwrap().contains("no rpc is set under [evm.chains.avalanche-fuji]"));
    assert_eq!(info.places[1].remark, None);
    assert_eq!(wallet.balance_on("eip155:80002").await, usd("0.000007"));
    assert_eq!(wallet.balance_on("eip155:43113").await, None);
    assert_eq!(wallet.balance_on("eip155:1").await, None);
}

#[tokio::test]
async fn without_nodes_nothing_is_known_and_base_is_the_main_world() {
    let home = tempfile::tempdir().unwrap();
    let config = config_of(home.path(), "");
    let client = Client::new(config.http.clone());
    let wallet = evm_from_config(&config, Clock::system(), client).unwrap().unwrap();
    let info = wallet.info().await.unwrap();
    assert_eq!((info.balance, info.world, info.network.as_deref()), (None, World::Main, Some("base")));
    assert_eq!((info.places[0].network.as_str(), info.places.len()), ("eip155:8453", 1));
}

#[tokio::test]
async fn a_wrong_chain_code_at_the_address_and_dead_nodes_are_said() {
    let good = Node::start(Known::default()).await;
    let wrong = Node::start(Known { chain: 8453, ..Known::default() }).await;
    let said = place(&[&wrong.url(), &good.url()]).await;
    assert_eq!(said.balance, usd("2.5"));
    assert!(
        said.remark.as_ref().unwrap().contains("is of chain 8453 and not of eip155:84532: it is not used"),
        "{said:?}"
    );
    let alone = place(&[&wrong.url()]).await;
    assert_eq!((alone.balance, wrong.asked("eth_call")), (None, 0));

    good.set(|known| known.code = "0xef0100aabb");
    let said = place(&[&good.url()]).await;
    assert!(said.remark.unwrap().starts_with("this account has code (EIP-7702 or a contract)"));

    let down = place(&["http://127.0.0.1:1/CANARYPATH", &wrong.url()]).await;
    let remark = down.remark.unwrap();
    assert!(remark.contains("No connection to http://127.0.0.1:1") && remark.contains("chain 8453"), "{remark}");
    assert!(!remark.contains("CANARY"), "{remark}");
}

#[tokio::test]
async fn a_balance_that_no_account_can_have_or_no_word_is_none() {
    let node = Node::start(Known::default()).await;
    for odd in [
        json!(format!("0x{}", "ff".repeat(32))),
        json!(format!("0x{:064x}", u64::MAX)),
        json!("0x"),
        json!("0x01"),
        json!(5),
        json!(null),
        json!(format!("0x{}", "0".repeat(66))),
    ] {
        node.set(|known| known.balance = odd.clone());
        let said = place(&[&node.url()]).await;
        assert_eq!(said.balance, None, "{odd}");
        assert!(said.remark.is_some());
    }
}

#[tokio::test]
async fn a_slow_node_costs_seconds_and_hides_no_other() {
    let (slow, good) = (Node::odd(Odd::Silence).await, Node::start(Known::default()).await);
    let began = Instant::now();
    let said = place(&[&slow.url(), &good.url()]).await;
    assert_eq!(said.balance, usd("2.5"));
    assert!(said.remark.unwrap().contains("in time"));
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    let wallet = purse(&[&slow.url()]).wallet;
    let began = Instant::now();
    assert_eq!(wallet.balance_on(NET).await, None);
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    let began = Instant::now();
    assert_eq!(wallet.balance_on(NET).await, None);
    assert!(began.elapsed() < Duration::from_millis(500), "a chain that is silent is asked at each offer");
}

#[tokio::test]
async fn a_balance_is_asked_once_at_a_time_and_kept_a_while_also_over_payments() {
    let node = Node::start(Known::default()).await;
    let purse = purse(&[&node.url()]);
    let wallet = &purse.wallet;
    let all = futures_util::future::join_all((0..20).map(|_| wallet.balance_on(NET))).await;
    assert!(all.iter().all(|b| *b == usd("2.5")), "{all:?}");
    assert_eq!(node.asked("eth_call"), 1);
    node.set(|known| known.balance = json!(format!("0x{:064x}", 1)));
    assert_eq!(wallet.balance_on(NET).await, usd("2.5"));
    // Asking again for each payment would cost every one of them a round trip; the token itself refuses what is not there.
    wallet.prepare(&crate::node::bill()).await.unwrap();
    assert_eq!(wallet.balance_on(NET).await, usd("2.5"));
}
