//! The one case in real time: a wallet that needs 75 seconds, with every deadline as it ships.
//!
//! Run with `cargo test -- --ignored _75_s_`.

mod support;

use std::time::{Duration, Instant};

use bursar::sandbox::Behaviour;
use serde_json::json;
use support::{Seller, Told, World};

/// The table's line "wallet slow (75 s), call repeated": pending within 45 s with signs of life on the way, equal calls
/// join, one payment, and the id gives the data free of charge.
#[tokio::test]
#[ignore = "takes 90 seconds of real time"]
async fn a_wallet_that_needs_75_s_is_paid_once() {
    let world = World::new().await;
    let seller = Seller::honest(world.node(), 21_000, r#"{"data":"a"}"#).await;
    world.wallet().next(Behaviour::slow_payment(75_000));
    let host = world.host().await;
    let begun = Instant::now();
    let call =
        json!({ "name": "fetch_paid", "arguments": { "url": seller.url("/a") }, "_meta": { "progressToken": "t" } });
    let (_, first) = host.begin("tools/call", call).await;
    let first = Told { raw: first.await.expect("an answer")["result"].clone() };
    let took = begun.elapsed();
    assert_eq!(first.outcome(), "pending", "{}", first.text());
    assert!(took > Duration::from_secs(43) && took < Duration::from_secs(47), "{took:?}");
    assert_eq!(first.facts()["held"], "31 sat");
    let signs = host.lines.lock().unwrap().iter().filter(|l| l.contains("notifications/progress")).count();
    assert!(signs >= 4, "{signs} signs of life in {took:?}");
    assert_eq!(world.spent_msat(), 0);
    let equal = host.fetch(json!({ "url": seller.url("/a") })).await;
    let data = match equal.outcome() {
        "pending" => host.fetch(json!({ "result_id": first.purchase() })).await,
        _ => equal,
    };
    assert!(data.text().contains(r#"{"data":"a"}"#) && data.purchase() == first.purchase(), "{}", data.text());
    assert!(begun.elapsed() < Duration::from_secs(140), "{:?}", begun.elapsed());
    support::until_answered(&world, first.purchase()).await;
    let again = host.fetch(json!({ "result_id": first.purchase() })).await;
    assert_eq!((again.outcome(), &again.facts()["paid_now"]), ("stored", &json!("0 sat")), "{}", again.text());
    assert_eq!((world.spent_msat(), world.wallet().pay_events().len()), (21_000, 1));
    assert!(host.close().await.success());
    world.verify_money().await;
}
