//! What a person has to look at: a chain that changed its mind, an outcome that nobody can tell, a purchase to be denied.

use bursar::{
    clock::Clock,
    config::LimitTable,
    ledger::{By, Decided, Ledger},
    sandbox::{NtriqMode, RpcMode},
};
use serde_json::json;

use crate::shop::{CENT, Shop, TEXT};

/// A node called a payment void that had moved. Once a node tells the truth, the payment is late: it counts beyond the
/// limits, the wallet is frozen, and only a person lets it sign again.
#[tokio::test]
async fn a_payment_that_a_node_called_void_and_that_moved_is_late_and_freezes_the_wallet() {
    for restart in [false, true] {
        let shop = Shop::open().await;
        let mut host = shop.world.host().await;
        shop.world.sandbox.rpc().set_mode(RpcMode::ForgetsPayments);
        let told = shop.buy_from(&host, NtriqMode::LosesAnswer).await;
        shop.clock.advance_ms(400_000);
        let asked = host.fetch(json!({ "result_id": told.purchase() })).await;
        assert_eq!((asked.outcome(), shop.held().await), ("failed", 0), "{}", asked.text());
        shop.world.sandbox.rpc().set_mode(RpcMode::Honest);
        shop.seller().set_mode(NtriqMode::DateOff(0));
        if restart {
            assert!(host.close().await.success());
            host = shop.world.host().await;
        }
        // Whatever the next call is, it finds out before it signs anything.
        let next = host.fetch(shop.ask(TEXT, "something else")).await;
        assert_eq!((next.outcome(), &next.facts()["code"]), ("refused", &json!("wallet_frozen")), "{}", next.text());
        assert!(next.say().contains(&format!("bursar approve {}", told.purchase())), "{}", next.say());
        assert_eq!((shop.transfers(), shop.signatures(), shop.states().await), (1, 1, vec!["late".to_owned()]));
        assert_eq!((shop.session().await.spent.atomic(), shop.held().await), (CENT, 0), "it counts as spent");
        let balance = host.call("get_balance", json!({})).await;
        let evm = &balance.facts()["wallets"][1];
        assert!(evm["problem"].as_str().is_some_and(|p| p.contains("frozen until a person looks")), "{evm}");
        assert!(balance.facts()["wallets"][0].get("problem").is_none(), "the other wallet may pay");
        shop.world.verify_money().await;
        let (code, out, log) = shop.world.run(&["approve", told.purchase()]).await;
        assert!(code == 0 && out.contains("may pay again"), "{out}{log}");
        let paid = host.fetch(shop.ask(TEXT, "something else")).await;
        assert_eq!(paid.outcome(), "bought", "{}", paid.text());
        assert_eq!(shop.world.spent_units(), 2 * CENT);
        shop.world.verify_money().await;
    }
}

/// A person closes what nobody can tell, and not while what was signed may still be used. If it moved after all and a
/// chain can be asked later, that comes to light.
#[tokio::test]
async fn a_person_closes_an_unknown_outcome_once_the_signature_is_dead_and_the_chain_has_the_last_word() {
    let mut shop = Shop::blind("").await;
    let host = shop.world.host().await;
    let told = shop.buy_from(&host, NtriqMode::LosesAnswer).await;
    assert_eq!((told.outcome(), shop.held().await), ("pending", CENT), "{}", told.text());
    assert!(host.close().await.success());
    let (code, _, log) = shop.world.run(&["deny", told.purchase()]).await;
    assert!(code == 1 && log.contains("it is unknown"), "{log}");
    assert_eq!(shop.held().await, CENT, "what was signed may still be used");

    let later = Clock::manual(Clock::system().now_ms() + 400_000);
    let ledger = Ledger::open(&shop.world.home(), LimitTable::default(), later).expect("the ledger opens");
    let denied = ledger.decide(told.purchase().parse().expect("an id"), false, By::Terminal).await.expect("decided");
    assert!(matches!(denied, Decided::Denied(_)), "{denied:?}");
    drop(ledger);
    assert_eq!((shop.states().await, shop.held().await), (vec!["failed".to_owned()], 0));
    assert_eq!(shop.session().await.spent.atomic(), 0);
    shop.world.verify().await;

    let rpc = shop.world.sandbox.rpc_url();
    shop.world.set_config(&format!("[evm.chains.base-sepolia]\nrpc = [\"{rpc}\"]\n"));
    shop.seller().set_mode(NtriqMode::Open);
    let next = shop.world.host().await.fetch(shop.ask(TEXT, "something else")).await;
    assert_eq!(next.facts()["code"], "wallet_frozen", "{}", next.text());
    assert_eq!((shop.states().await, shop.transfers()), (vec!["late".to_owned()], 1));
    shop.world.verify_money().await;
}

/// A "no" before anything was signed leaves nothing behind.
#[tokio::test]
async fn a_purchase_that_a_person_denies_is_never_signed() {
    let shop = Shop::with("[approval]\nabove = { usd = \"0.005\" }\n").await;
    let host = shop.world.host().await;
    let told = host.fetch(shop.ask(TEXT, "I love it")).await;
    assert_eq!((told.outcome(), shop.held().await), ("awaiting_approval", CENT), "{}", told.text());
    let (code, out, log) = shop.world.run(&["deny", told.purchase()]).await;
    assert!(code == 0 && out.contains("Nothing was paid"), "{out}{log}");
    let asked = host.fetch(json!({ "result_id": told.purchase() })).await;
    assert_eq!(asked.outcome(), "failed", "{}", asked.text());
    assert_eq!((shop.signatures(), shop.transfers(), shop.held().await), (0, 0, 0));
    shop.world.verify_money().await;
}
