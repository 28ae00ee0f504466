//! The process dies at every step, the ledger is lost, the chain is the witness.

use bursar::{
    clock::Clock,
    purchase::{Caller, Purse},
    sandbox::{NtriqMode, RpcMode},
};
use serde_json::json;

use crate::{
    shop::{CENT, KEPT, Shop, TEXT},
    support::money,
};

/// The kill points of a purchase that the seller settles, and the state in which each leaves the ledger.
const POINTS: [(&str, Option<&str>); 6] = [
    ("before_w1", None),
    ("after_w1", Some("paying")),
    ("before_pay", Some("paying")),
    ("after_pay", Some("paying")),
    ("after_w2", Some("paid")),
    ("after_w3", Some("delivered")),
];

/// "Killing the process at every step": nothing lost, nothing doubled, with the chain as the witness.
#[tokio::test]
async fn after_a_crash_at_any_point_an_equal_call_ends_with_one_transfer() {
    for path in [TEXT, KEPT] {
        for (point, left) in POINTS {
            let shop = Shop::open().await;
            let ask = shop.ask(path, "call me");
            let mut host = shop.world.host_dying_at(point).await;
            let (_, answer) = host.begin_call("fetch_paid", ask.clone()).await;
            assert!(answer.await.is_err(), "{point}: the server answered");
            assert!(!host.ended().await.success(), "{point}");
            let rows = money::purchases(&shop.world).await;
            assert_eq!(rows.first().map(|r| r.state.as_str()), left, "{point}");
            shop.world.verify().await;

            let host = shop.world.host().await;
            let told = host.fetch(ask.clone()).await;
            let lost = matches!(point, "after_pay" | "after_w2") && path == TEXT;
            // A seller that keeps no answers has nothing more to give for a payment it took; the books say so.
            let (text, state) = if lost { ("has not delivered", "undelivered") } else { ("ok", "delivered") };
            assert!(told.text().contains(text), "{path} {point}: {}", told.text());
            assert_eq!(shop.states().await, [state], "{path} {point}");
            assert_eq!((shop.transfers(), shop.signatures()), (1, 1), "{path} {point}");
            shop.world.verify_money().await;
        }
    }
}

/// A lost ledger fails closed: the nonce is the purchase's own, and the chain knows it.
#[tokio::test]
async fn after_the_ledger_was_lost_the_same_purchase_is_not_paid_again() {
    let shop = Shop::open().await;
    let ask = shop.ask(TEXT, "I love it");
    let host = shop.world.host().await;
    assert_eq!(host.fetch(ask.clone()).await.outcome(), "bought");
    assert!(host.close().await.success());
    for file in std::fs::read_dir(shop.world.home()).expect("a home") {
        let path = file.expect("a file").path();
        if path.file_name().is_some_and(|n| n.to_string_lossy().contains("ledger")) {
            std::fs::remove_file(path).expect("removed");
        }
    }
    let host = shop.world.host().await;
    let told = host.fetch(ask).await;
    assert_eq!(told.outcome(), "refused", "{}", told.text());
    assert!(told.say().starts_with("Nothing was paid") && told.say().contains("paid before"), "{}", told.say());
    assert_eq!(shop.transfers(), 1);
    // Without a chain to ask it is the token that refuses the nonce.
    shop.world.sandbox.rpc().set_mode(RpcMode::HangsUp);
    let blind = host.fetch(shop.ask(TEXT, "I love it")).await;
    assert_ne!(blind.outcome(), "bought", "{}", blind.text());
    assert_eq!(shop.transfers(), 1);
}

/// Where no chain can be asked, what ran out counts as spent once its life and the doubt are over.
#[tokio::test]
async fn what_ran_out_where_no_chain_can_be_asked_counts_as_spent_and_says_so() {
    for moved in [true, false] {
        let shop = Shop::blind("").await;
        let mode = if moved { NtriqMode::LosesAnswer } else { NtriqMode::CutsUnsettled };
        let host = shop.world.host().await;
        let told = shop.buy_from(&host, mode).await;
        assert_eq!((told.outcome(), shop.held().await), ("pending", CENT), "{}", told.text());
        assert!(host.close().await.success());

        let config = shop.config();
        let later = Clock::manual(Clock::system().now_ms() + 400_000);
        let purse = Purse::new(config, later, None);
        let report = purse.result(&Caller::local(""), told.purchase(), &|_| ()).await;
        assert!(report.say.contains("counts as spent"), "{}", report.say);
        assert_eq!(shop.session().await.spent.atomic(), CENT);
        assert_eq!((shop.held().await, shop.states().await), (0, vec!["undelivered".to_owned()]));
        assert_eq!(shop.world.spent_units(), if moved { CENT } else { 0 });
        shop.world.verify().await;
    }
}

/// Two nodes that disagree, and a node that lies: never a second signature, and money that may have left stays held.
#[tokio::test]
async fn a_chain_that_forgets_payments_frees_no_hold_before_the_signature_ran_out() {
    let shop = Shop::open().await;
    let host = shop.world.host().await;
    shop.world.sandbox.rpc().set_mode(RpcMode::ForgetsPayments);
    let told = shop.buy_from(&host, NtriqMode::LosesAnswer).await;
    assert_eq!((told.outcome(), shop.held().await), ("pending", CENT), "{}", told.text());
    shop.world.sandbox.rpc().set_mode(RpcMode::Honest);
    let asked = host.fetch(json!({ "result_id": told.purchase() })).await;
    assert_eq!(asked.outcome(), "undelivered", "{}", asked.text());
    assert_eq!((shop.transfers(), shop.signatures()), (1, 1));
    shop.world.verify_money().await;
}
