//! What the chain says later of what was posted on somebody's word, or because nobody could be asked.

use std::sync::Arc;

use bursar::{
    clock::Clock,
    purchase::{Caller, Purse},
    sandbox::{NtriqMode, RpcMode, Settling},
};
use serde_json::json;

use crate::{
    shop::{CENT, Shop, TEXT},
    support::{money, until},
};

/// What the session spent, in units of USDC.
async fn spent(shop: &Shop) -> u64 {
    shop.session().await.spent.atomic()
}

/// An answer without a receipt, or with an invented one, counts as spent, until the chain says that nothing was.
#[tokio::test]
async fn what_was_posted_on_a_sellers_word_is_given_back_once_the_chain_says_that_nothing_moved() {
    for mode in [NtriqMode::NoReceipt(Settling::Never), NtriqMode::FalseReceipt] {
        let shop = Shop::open().await;
        let host = shop.world.host().await;
        let told = shop.buy_from(&host, mode.clone()).await;
        assert_eq!((told.outcome(), spent(&shop).await), ("bought", CENT), "{mode:?}: {}", told.text());
        assert!(host.close().await.success());
        // While what was signed may still be used, nothing is given back.
        let host = shop.world.host().await;
        host.call("get_balance", json!({})).await;
        assert!(host.close().await.success());
        assert_eq!(spent(&shop).await, CENT, "{mode:?}");
        shop.clock.advance_ms(400_000);
        let host = shop.world.host().await;
        host.call("get_balance", json!({})).await;
        until("what was never taken is given back", async || spent(&shop).await == 0).await;
        assert_eq!((shop.world.spent_units(), shop.states().await), (0, vec!["delivered".to_owned()]), "{mode:?}");
        shop.world.verify_money().await;
    }
}

/// The control: what moved stays spent, and the books get the chain's word for it, and its transaction.
#[tokio::test]
async fn what_moved_without_a_receipt_stays_spent_and_the_chain_names_its_transaction() {
    let shop = Shop::open().await;
    let host = shop.world.host().await;
    let told = shop.buy_from(&host, NtriqMode::NoReceipt(Settling::InBackground)).await;
    assert_eq!((told.outcome(), spent(&shop).await), ("bought", CENT), "{}", told.text());
    assert!(host.close().await.success());
    assert_eq!(money::purchases(&shop.world).await[0].transaction, None);
    assert_eq!(shop.world.sandbox.chain().mine_pending().len(), 1);
    let host = shop.world.host().await;
    host.call("get_balance", json!({})).await;
    let named = async || money::purchases(&shop.world).await[0].transaction.clone();
    until("the chain names the transaction", async || named().await.is_some()).await;
    assert_eq!((spent(&shop).await, shop.world.spent_units()), (CENT, CENT));
    let hash = data_encoding::HEXLOWER.encode(&shop.world.sandbox.chain().moved()[0].transaction);
    assert_eq!(named().await, Some(format!("0x{hash}")));
    shop.world.verify_money().await;
}

/// A seller that gave a receipt is asked about as well, and an honest one changes nothing in the books.
#[tokio::test]
async fn an_honest_receipt_stays_as_it_is() {
    let shop = Shop::open().await;
    let host = shop.world.host().await;
    let told = shop.buy_from(&host, NtriqMode::Open).await;
    assert_eq!(told.outcome(), "bought", "{}", told.text());
    let before = money::purchases(&shop.world).await[0].transaction.clone().expect("a transaction");
    assert!(host.close().await.success());
    let asked = shop.world.sandbox.rpc().calls("eth_call");
    let host = shop.world.host().await;
    host.call("get_balance", json!({})).await;
    until("the chain was asked", async || shop.world.sandbox.rpc().calls("eth_getLogs") > 0).await;
    assert!(host.close().await.success());
    assert!(shop.world.sandbox.rpc().calls("eth_call") > asked);
    assert_eq!(money::purchases(&shop.world).await[0].transaction, Some(before));
    assert_eq!(spent(&shop).await, CENT);
    shop.world.verify_money().await;
}

/// A node that is down when a signature runs out makes it count as spent; what the node says when it is back is heard.
#[tokio::test]
async fn a_node_that_was_down_has_the_last_word_when_it_is_back() {
    for moved in [false, true] {
        let shop = Shop::open().await;
        let host = shop.world.host().await;
        shop.world.sandbox.rpc().set_mode(RpcMode::HangsUp);
        let mode = if moved { NtriqMode::LosesAnswer } else { NtriqMode::CutsUnsettled };
        let told = shop.buy_from(&host, mode).await;
        assert_eq!((told.outcome(), shop.held().await), ("pending", CENT), "{}", told.text());
        assert!(host.close().await.success());

        let later = Clock::manual(Clock::system().now_ms() + 400_000);
        let purse = Purse::new(shop.config(), later.clone(), None);
        let report = purse.result(&Caller::local(""), told.purchase(), &|_| ()).await;
        assert!(report.say.contains("counts as spent"), "{}", report.say);
        assert_eq!((spent(&shop).await, shop.held().await), (CENT, 0));

        shop.world.sandbox.rpc().set_mode(RpcMode::Honest);
        shop.clock.advance_ms(400_000);
        let purse = Arc::new(Purse::new(shop.config(), later, None));
        purse.balance(&Caller::local("")).await.expect("a balance");
        let (left, transactions) = if moved { (CENT, 1) } else { (0, 0) };
        until("the books say what the chain says", async || {
            let row = money::purchases(&shop.world).await.remove(0);
            spent(&shop).await == left && row.transaction.is_some() == moved
        })
        .await;
        assert_eq!((shop.transfers(), shop.world.spent_units()), (transactions, left));
        let report = purse.result(&Caller::local(""), told.purchase(), &|_| ()).await;
        let said = if moved { "0.01 usd" } else { "Nothing was paid" };
        assert!(report.say.contains(said), "{}", report.say);
        shop.world.verify_money().await;
    }
}

/// A nonce is taken when it was used and when it was cancelled; the events tell which. What its payer took back is not paid.
#[tokio::test]
async fn what_its_payer_took_back_is_given_back_at_once_and_never_counts_as_paid() {
    let shop = Shop::open().await;
    let host = shop.world.host().await;
    let told = shop.buy_from(&host, NtriqMode::KeepsAuthorization).await;
    assert_eq!((told.outcome(), shop.held().await), ("pending", CENT), "{}", told.text());
    let signed = shop.seller().seen().remove(0).authorization;
    assert!(shop.world.sandbox.chain().cancel_authorization(signed.from, signed.nonce));
    let asked = host.fetch(json!({ "result_id": told.purchase() })).await;
    assert_eq!(asked.outcome(), "failed", "{}", asked.text());
    assert!(asked.say().contains("Nothing was paid") && asked.say().contains("taken back"), "{}", asked.say());
    assert!(shop.seller().submit_kept().iter().all(Result::is_err), "nobody can use it any more");
    assert_eq!((shop.transfers(), shop.held().await, spent(&shop).await), (0, 0, 0));
    // The same call may buy anew, with another nonce.
    shop.seller().set_mode(NtriqMode::Open);
    let anew = host.fetch(shop.ask(TEXT, "I love it")).await;
    assert_eq!((anew.outcome(), shop.transfers()), ("bought", 1), "{}", anew.text());
    shop.world.verify_money().await;
}
