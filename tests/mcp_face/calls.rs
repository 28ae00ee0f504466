//! A call while it runs: progress, cancellation, a tool that panics.

use std::time::{Duration, Instant};

use bursar::sandbox::Behaviour;
use serde_json::{Value, json};

use crate::{
    ERAS,
    support::{Seller, World},
};

#[tokio::test]
async fn progress_is_told_while_a_slow_wallet_pays_and_only_to_those_who_ask() {
    let world = World::new().await;
    let seller = Seller::honest(world.node(), 2_000, "{}").await;
    world.wallet().always(Behaviour::slow_reply(11_500));
    let told_in = |era| {
        let (world, seller) = (&world, &seller);
        async move {
            let host = world.host_in(era).await;
            let begun = Instant::now();
            let call = json!({ "name": "fetch_paid", "arguments": { "url": seller.url(&format!("/{era:?}")) },
                               "_meta": { "progressToken": "tok" } });
            let (_, answer) = host.begin("tools/call", call).await;
            let mut times: Vec<Duration> = Vec::new();
            let mut answer = answer;
            let done = loop {
                tokio::select! {
                    answer = &mut answer => break answer.expect("an answer"),
                    () = tokio::time::sleep(Duration::from_millis(20)) => {
                        times.resize(host.notifications("notifications/progress").len(), begun.elapsed());
                    }
                }
            };
            assert_eq!(done["result"]["structuredContent"]["outcome"], "bought", "{era:?} {done}");
            assert!(begun.elapsed() > Duration::from_secs(11));
            let news = host.notifications("notifications/progress");
            assert!(news.len() >= 2, "{era:?} {news:?}");
            assert!(times[0] >= Duration::from_millis(900) && times[0] < Duration::from_secs(3), "{era:?} {times:?}");
            for pair in times.windows(2) {
                assert!(pair[1] - pair[0] <= Duration::from_secs(10), "{era:?} {times:?}");
            }
            let mut last = 0.0;
            for one in &news {
                let params = &one["params"];
                assert_eq!(params["progressToken"], "tok");
                let now = params["progress"].as_f64().unwrap();
                assert!(now > last, "{era:?} {news:?}");
                last = now;
                assert!(params["message"].as_str().is_some_and(|m| m.contains("2 sat") || m.contains("ask")), "{one}");
            }
            // Nothing is heard of a call after its answer.
            tokio::time::sleep(Duration::from_millis(500)).await;
            assert_eq!(host.notifications("notifications/progress").len(), news.len());
            host.close().await;
        }
    };
    let silent = async {
        let host = world.host().await;
        let told = host.fetch(json!({ "url": seller.url("/silent") })).await;
        assert_eq!(told.outcome(), "bought", "{}", told.text());
        assert_eq!(host.notifications("notifications/progress"), Vec::<Value>::new());
        host.close().await;
    };
    tokio::join!(told_in(ERAS[0]), told_in(ERAS[1]), silent);
}

#[tokio::test]
async fn progress_goes_on_while_nothing_changes() {
    // Takes connections and never answers.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", silent.local_addr().unwrap());
    let world = World::new().await;
    let host = world.host().await;
    let call = json!({ "name": "fetch_paid", "arguments": { "url": url }, "_meta": { "progressToken": "t" } });
    let (id, _answer) = host.begin("tools/call", call).await;
    tokio::time::sleep(Duration::from_millis(11_500)).await;
    let news = host.notifications("notifications/progress");
    assert!((2..=4).contains(&news.len()), "{news:?}");
    assert!(news.iter().all(|n| n["params"]["message"] == "asking the seller"), "{news:?}");
    host.cancel(id).await;
    assert!(!host.call("get_balance", json!({})).await.is_error());
}

#[tokio::test]
async fn a_quick_call_tells_no_progress() {
    let world = World::new().await;
    let seller = Seller::honest(world.node(), 2_000, "{}").await;
    let host = world.host().await;
    let call =
        json!({ "name": "fetch_paid", "arguments": { "url": seller.url("/") }, "_meta": { "progressToken": 7 } });
    host.request("tools/call", call).await.unwrap();
    assert_eq!(host.notifications("notifications/progress"), Vec::<Value>::new());
}

#[tokio::test]
async fn a_cancelled_call_is_not_answered_and_what_it_bought_is_kept_for_the_next() {
    let world = World::new().await;
    for era in ERAS {
        let seller = Seller::honest(world.node(), 6_000, r#"{"data":"kept"}"#).await;
        let host = world.host_in(era).await;
        let before = world.spent_msat();
        world.wallet().next(Behaviour::slow_reply(1_500));
        let arguments = json!({ "url": seller.url(&format!("/{era:?}")), "idempotency_key": format!("{era:?}") });
        let (id, answer) = host.begin_call("fetch_paid", arguments.clone()).await;
        tokio::time::sleep(Duration::from_millis(700)).await;
        host.cancel(id).await;
        let late = tokio::time::timeout(Duration::from_millis(1_800), answer).await;
        assert!(late.is_err(), "{era:?}: a cancelled call was answered: {late:?}");
        let again = host.fetch(arguments).await;
        assert_eq!(again.outcome(), "stored", "{era:?} {}", again.text());
        assert!(again.text().contains("kept"));
        assert_eq!(world.spent_msat() - before, 6_000, "{era:?}");
        assert!(host.close().await.success());
    }
    world.verify_money().await;
}

#[tokio::test]
async fn a_panic_in_a_tool_is_an_answer_and_the_server_lives() {
    for era in ERAS {
        for tool in ["fetch_paid", "discover_api", "get_balance", "set_budget"] {
            let mut world = World::new().await;
            world.env("BURSAR_PANIC_IN", tool);
            let host = world.host_in(era).await;
            let call = host.call(tool, json!({ "url": "https://a.example" }));
            let told = tokio::time::timeout(Duration::from_secs(10), call).await.expect("an answer");
            assert!(told.is_error(), "{}", told.text());
            assert_eq!(told.facts()["code"], "internal", "{}", told.facts());
            assert!(told.say().contains("pays nothing twice"), "{}", told.text());
            assert!(
                !told.raw.to_string().contains(".rs") && !told.raw.to_string().contains("panicked"),
                "{}",
                told.raw
            );
            let other = if tool == "get_balance" { "set_budget" } else { "get_balance" };
            let arguments = if tool == "get_balance" { json!({ "scope": "day", "limit": "1 sat" }) } else { json!({}) };
            assert!(!host.call(other, arguments).await.is_error());
            assert!(host.close().await.success());
        }
    }
}
