//! What `get_balance` says of a wallet that pays on chains.

use bursar::sandbox::RpcMode;
use serde_json::json;

use crate::{
    shop::{CENT, Shop, TEXT},
    support::Told,
};

async fn asked(shop: &Shop) -> Told {
    shop.world.host().await.call("get_balance", json!({})).await
}

/// The facts of the wallet for USDC.
fn evm(told: &Told) -> &serde_json::Value {
    let wallets = told.facts()["wallets"].as_array().expect("wallets");
    wallets.iter().find(|w| w["kind"] == "evm").expect("a wallet for USDC")
}

#[tokio::test]
async fn each_chain_has_its_balance_and_both_wallets_are_told_apart() {
    let mut shop = Shop::open().await;
    let told = asked(&shop).await;
    assert_eq!(evm(&told)["balance"], "100 usd");
    let place = json!([{ "network": "eip155:84532", "chain": "base-sepolia", "balance": "100 usd" }]);
    assert_eq!(evm(&told)["places"], place, "{}", told.text());
    assert!(told.say().contains("The nwc wallet holds 100000 sat. The evm wallet holds 100 usd."), "{}", told.say());
    assert_eq!(told.text().matches("\n- base-sepolia: 100 usd\n").count(), 1, "{}", told.text());
    let nwc = &told.facts()["wallets"][0];
    assert!(nwc["kind"] == "nwc" && nwc.get("places").is_none(), "{nwc}");

    // A second chain without a node is listed, and says what is missing.
    let rpc = shop.world.sandbox.rpc_url();
    let chains = format!("[evm.chains.base-sepolia]\nrpc = [\"{rpc}\"]\n[evm.chains.polygon-amoy]\n");
    shop.world.set_config(&chains);
    let told = asked(&shop).await;
    let places = evm(&told)["places"].as_array().expect("places");
    assert_eq!(places.len(), 2, "{places:#?}");
    let blind = places.iter().find(|p| p["chain"] == "polygon-amoy").expect("the other chain");
    assert!(blind.get("balance").is_none() && blind["remark"].as_str().is_some_and(|r| r.contains("no rpc is set")));
    assert!(told.text().contains("\n- polygon-amoy: the balance is not known"), "{}", told.text());
}

#[tokio::test]
async fn what_was_just_paid_is_gone_from_the_balance() {
    let shop = Shop::open().await;
    let host = shop.world.host().await;
    host.call("get_balance", json!({})).await;
    assert_eq!(host.fetch(shop.ask(TEXT, "x")).await.outcome(), "bought");
    let told = host.call("get_balance", json!({})).await;
    assert_eq!(evm(&told)["places"][0]["balance"], "99.99 usd", "{}", told.text());
    assert!(told.text().contains("4.99 usd of 5 usd left"), "{}", told.text());
    assert_eq!(shop.world.spent_units(), CENT);
}

/// A node that is down is a remark and no obstacle: the wallet needs none to sign.
#[tokio::test]
async fn where_no_node_answers_that_is_said_and_the_wallet_still_pays() {
    for mode in [RpcMode::HangsUp, RpcMode::WrongChain(1), RpcMode::Garbage] {
        let shop = Shop::open().await;
        shop.world.sandbox.rpc().set_mode(mode.clone());
        let host = shop.world.host().await;
        let told = host.call("get_balance", json!({})).await;
        let place = &evm(&told)["places"][0];
        assert!(place.get("balance").is_none(), "{mode:?}: {place}");
        assert!(place["remark"].as_str().is_some_and(|r| r.len() > 10), "{mode:?}: {place}");
        assert!(evm(&told).get("problem").is_none(), "{mode:?}: {}", evm(&told));
        assert!(told.say().contains("The evm wallet can pay; its balance is not known."), "{}", told.say());
        let told = host.fetch(shop.ask(TEXT, "x")).await;
        assert_eq!((told.outcome(), shop.transfers()), ("bought", 1), "{mode:?}: {}", told.text());
        shop.world.verify_money().await;
    }
}

#[tokio::test]
async fn code_at_the_address_is_warned_of() {
    let shop = Shop::open().await;
    shop.world.sandbox.chain().set_code(shop.world.sandbox.evm_address(), vec![0xef, 1, 0]);
    let told = asked(&shop).await;
    let remark = evm(&told)["places"][0]["remark"].as_str().expect("a remark");
    assert!(remark.contains("this account has code"), "{remark}");
    assert!(told.text().contains("- base-sepolia: 100 usd; this account has code"), "{}", told.text());
    let (code, out, _) = shop.world.run(&["balance"]).await;
    assert!(code == 0 && out.contains("this account has code"), "{out}");
}
