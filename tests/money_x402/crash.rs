//! The process dies at every step, the ledger is lost, the chain is the witness.

use bursar::{
    clock::Clock,
    purchase::{Caller, Purse},
    sandbox::{NtriqMode, RpcMode},
};
use serde_json::json;

use crate::{
    limits::naive,
    shop::{CENT, KEPT, Shop, TEXT},
    support::{money, until, until_answered},
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

/// The same without an equal call: what a look at the balance and the purchase's own id find out.
#[tokio::test]
async fn after_a_crash_at_any_point_the_balance_and_the_id_find_out_what_became_of_it() {
    for (point, left) in POINTS.into_iter().filter(|(_, left)| left.is_some_and(|left| left != "delivered")) {
        for by_id in [true, false] {
            let shop = Shop::open().await;
            let mut host = shop.world.host_dying_at(point).await;
            let (_, answer) = host.begin_call("fetch_paid", shop.ask(KEPT, "call me")).await;
            assert!(answer.await.is_err() && !host.ended().await.success(), "{point}");
            let row = money::purchases(&shop.world).await.remove(0);
            assert_eq!(Some(row.state.as_str()), left, "{point}");
            let moved = shop.transfers();
            assert_eq!(moved, usize::from(matches!(point, "after_pay" | "after_w2")), "{point}");

            let host = shop.world.host().await;
            if by_id {
                // Somebody waits for the answer, so the same bytes are shown again; the seller kept what they bought.
                let told = host.fetch(json!({ "result_id": row.purchase })).await;
                assert!(told.text().contains("masked_text"), "{point}: {}", told.text());
                assert_eq!((shop.states().await, shop.transfers()), (vec!["delivered".to_owned()], 1), "{point}");
            } else {
                // Nobody waits: nothing is shown to anybody, and the chain says what happened, at once or in the end.
                host.call("get_balance", json!({})).await;
                if moved == 0 {
                    until("it is known that nobody knows", async || shop.states().await == ["unknown"]).await;
                    assert_eq!((shop.transfers(), shop.held().await), (0, 2 * CENT), "{point}");
                    shop.clock.advance_ms(400_000);
                }
                assert!(host.close().await.success());
                let host = shop.world.host().await;
                host.call("get_balance", json!({})).await;
                let end = if moved == 0 { "failed" } else { "delivered" };
                until(&format!("{point} ends"), async || shop.states().await == [end]).await;
                assert_eq!((shop.transfers(), shop.held().await), (moved, 0), "{point}");
            }
            assert!(shop.signatures() <= 1, "{point}");
            shop.world.verify_money().await;
        }
    }
}

/// A crash while the seller is shown once more what it was paid for.
#[tokio::test]
async fn after_a_crash_around_the_second_showing_an_equal_call_gets_the_answer_and_pays_nothing() {
    for point in ["before_redeem", "after_redeem"] {
        let shop = Shop::open().await;
        let ask = shop.ask(KEPT, "call me");
        shop.seller().next(NtriqMode::LosesAnswer);
        let mut host = shop.world.host_dying_at(point).await;
        let (_, answer) = host.begin_call("fetch_paid", ask.clone()).await;
        assert!(answer.await.is_err() && !host.ended().await.success(), "{point}: the server answered");
        assert_eq!((shop.states().await, shop.transfers()), (vec!["paid".to_owned()], 1), "{point}");
        let told = shop.world.host().await.fetch(ask).await;
        assert!(told.text().contains("masked_text"), "{point}: {}", told.text());
        assert_eq!(shop.states().await, ["delivered"], "{point}");
        assert_eq!((shop.transfers(), shop.signatures()), (1, 1), "{point}");
        shop.world.verify_money().await;
    }
}

/// A crash after the second signature was written down and before it was shown: both are held, and one at most is paid.
#[tokio::test]
async fn after_a_crash_between_the_second_signature_and_its_sending_both_are_held_and_one_is_paid() {
    for asked_again in [true, false] {
        let shop = Shop::open().await;
        let ask = shop.ask(TEXT, "one");
        let mut host = shop.world.host_dying_at("after_second_w1").await;
        let told = host.fetch(ask.clone()).await;
        assert_eq!(told.outcome(), "bought", "{}", told.text());
        until_answered(&shop.world, told.purchase()).await;
        shop.seller().set_price(TEXT, 3 * CENT);
        let (_, answer) = host.begin_call("fetch_paid", ask.clone()).await;
        assert!(answer.await.is_err() && !host.ended().await.success(), "the server answered");
        assert_eq!(shop.states().await, ["delivered", "paying"]);
        assert_eq!((shop.transfers(), shop.held().await), (1, 4 * CENT), "both are held");
        shop.world.verify().await;
        if asked_again {
            let told = shop.world.host().await.fetch(ask).await;
            assert_eq!(told.facts()["paid_now"], "0.03 usd", "{}", told.text());
            assert_eq!((shop.world.spent_units(), shop.held().await), (4 * CENT, CENT));
        }
        shop.clock.advance_ms(400_000);
        let host = shop.world.host().await;
        host.call("get_balance", json!({})).await;
        until("both are known", async || shop.held().await == 0).await;
        assert_eq!(shop.world.spent_units(), if asked_again { 4 * CENT } else { CENT });
        let end = if asked_again { "delivered" } else { "failed" };
        assert_eq!(shop.states().await, ["delivered", end]);
        shop.world.verify_money().await;
    }
}

/// The negative control: killed at the same place, a buyer that forgets what it signed pays twice, on the chain.
#[tokio::test]
async fn a_buyer_without_a_ledger_that_is_killed_pays_twice_and_bursar_once() {
    let shop = Shop::open().await;
    shop.seller().set_mode(NtriqMode::Stalls { moves: true });
    tokio::select! {
        _ = naive(&shop, 1, 0) => panic!("it was answered"),
        () = until("the money moved", async || shop.transfers() == 1) => {}
    }
    shop.seller().set_mode(NtriqMode::Open);
    assert_eq!(naive(&shop, 1, 100).await, 2 * CENT);

    let shop = Shop::open().await;
    shop.seller().set_mode(NtriqMode::Stalls { moves: true });
    let host = shop.world.host().await;
    let (_, _answer) = host.begin_call("fetch_paid", shop.ask(TEXT, "I love it")).await;
    until("the money moved", async || shop.transfers() == 1).await;
    host.kill().await;
    shop.seller().set_mode(NtriqMode::Open);
    let told = shop.world.host().await.fetch(shop.ask(TEXT, "I love it")).await;
    assert_eq!(told.outcome(), "undelivered", "{}", told.text());
    assert_eq!((shop.world.spent_units(), shop.signatures()), (CENT, 1));
    shop.world.verify_money().await;
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
    assert!(told.say().contains("call with an idempotency_key of your own"), "{}", told.say());
    assert_eq!(shop.transfers(), 1);
    // What it says to do works.
    let mut anew = shop.ask(TEXT, "I love it");
    anew["idempotency_key"] = "once-more".into();
    let told = host.fetch(anew).await;
    assert_eq!((told.outcome(), shop.transfers()), ("bought", 2), "{}", told.text());
    // Without a chain to ask it is the token that refuses the nonce.
    shop.world.sandbox.rpc().set_mode(RpcMode::HangsUp);
    let blind = host.fetch(shop.ask(TEXT, "I love it")).await;
    assert_ne!(blind.outcome(), "bought", "{}", blind.text());
    assert_eq!(shop.transfers(), 2);
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
