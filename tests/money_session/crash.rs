//! The process dies at each step of a session, and whoever comes next neither pays again nor leaves anything behind.

use bursar::sandbox::mpp_shop::MppShopOptions;
use serde_json::json;

use super::{
    Host, World, cost_sat, get,
    support::{money, until_answered},
    world,
};

/// Lets a server die at a point in the middle of a call.
async fn dies(world: &World, point: &str, path: &str) {
    let mut host = world.host_dying_at(point).await;
    let url = format!("{}{path}", world.sandbox.mpp_url());
    let (_, answer) = host.begin_call("fetch_paid", json!({ "url": url })).await;
    assert!(answer.await.is_err(), "{point}: the server answered");
    assert!(!host.ended().await.success(), "{point}: it did not die");
    world.verify().await;
}

/// Closes all that is open, and says what it all cost.
async fn settled(world: &World, host: Host, point: &str) -> u64 {
    assert!(host.close().await.success(), "{point}");
    let (code, out, err) = world.run(&["sessions", "close"]).await;
    assert_eq!(code, 0, "{point}: {out}{err}");
    world.verify_money().await;
    let left = world.ledger().deposits(None).await.unwrap();
    assert!(left.iter().all(|d| d.used == d.paid_in), "{point}: something is left: {left:?}");
    cost_sat(world)
}

/// Done when 3: killed at each step of opening it loses nothing.
#[tokio::test]
async fn after_a_crash_at_any_step_of_opening_the_equal_call_is_served_for_one_deposit() {
    for point in [
        "before_w1",
        "after_w1",
        "before_pay",
        "after_pay",
        "after_w2",
        "before_redeem",
        "before_draw",
        "after_draw",
        "after_redeem",
        "after_w3",
    ] {
        let world = world("", MppShopOptions::default()).await;
        dies(&world, point, "/chat").await;
        let host = world.host().await;
        let told = get(&host, &world, "/chat").await;
        assert!(told.text().contains("one of many answers"), "{point}: {}", told.text());
        assert_eq!(world.node().moved().len(), 1, "{point}");
        let next = get(&host, &world, "/chat").await;
        assert!(next.text().contains("one of many answers"), "{point}: {}", next.text());
        assert_eq!(world.node().moved().len(), 1, "{point}: {}", next.text());
        let served = world.sandbox.mpp_shop().served("/chat") as u64;
        assert!((1..=3).contains(&served), "{point}: {served}");
        assert_eq!(settled(&world, host, point).await, 2 * served, "{point}: exactly what was served");
    }
}

#[tokio::test]
async fn after_a_crash_while_drawing_the_session_goes_on() {
    for point in ["before_draw", "after_draw"] {
        let world = world("", MppShopOptions::default()).await;
        let host = world.host().await;
        let told = get(&host, &world, "/chat").await;
        until_answered(&world, told.purchase()).await;
        host.kill().await;
        dies(&world, point, "/chat").await;
        let host = world.host().await;
        let told = get(&host, &world, "/chat").await;
        assert_eq!((told.outcome(), world.node().moved().len()), ("token", 1), "{point}: {}", told.text());
        let served = world.sandbox.mpp_shop().served("/chat") as u64;
        assert_eq!(settled(&world, host, point).await, 2 * served, "{point}");
    }
}

#[tokio::test]
async fn after_a_crash_around_a_top_up_it_is_neither_paid_again_nor_lost() {
    for (point, top_ups) in [("before_top_up", 0), ("after_top_up", 1)] {
        let shop = MppShopOptions { deposit_sat: 100, patience_ms: 200, ..MppShopOptions::default() };
        let world = world("", shop).await;
        let host = world.host().await;
        let told = get(&host, &world, "/chat").await;
        until_answered(&world, told.purchase()).await;
        host.kill().await;
        dies(&world, point, "/stream?chunks=60").await;
        assert_eq!(world.node().moved().len(), 1 + top_ups, "{point}");
        let host = world.host().await;
        let told = get(&host, &world, "/chat").await;
        assert!(told.text().contains("one of many answers"), "{point}: {}", told.text());
        let states = money::states(&world).await;
        assert!(states.iter().all(|state| state == "delivered"), "{point}: {states:?}");
        let cost = settled(&world, host, point).await;
        // One unit for each call; and of the stream as much as was streamed before it was given up.
        assert!((4..=126).contains(&cost), "{point}: {cost}");
        assert!(world.node().moved().len() <= 2 + top_ups, "{point}: one payment for one call at most");
    }
}

#[tokio::test]
async fn after_a_crash_around_a_close_the_rest_comes_back_and_is_counted_once() {
    for point in ["before_close", "after_close", "before_credit", "after_credit"] {
        let world = world("", MppShopOptions::default()).await;
        let host = world.host_dying_at(point).await;
        let told = get(&host, &world, "/chat").await;
        until_answered(&world, told.purchase()).await;
        let _ = host.close().await;
        let host = world.host().await;
        // Whoever asks next looks after what was left behind.
        host.call("get_balance", json!({})).await;
        assert_eq!(settled(&world, host, point).await, 2, "{point}");
        let refunds = world.audit().await.into_iter().filter(|row| row.state == "refund").count();
        assert_eq!(refunds, 1, "{point}");
    }
}

/// The negative control: the same crash for a buyer whose memory is gone pays a second deposit, so that the tests above
/// would catch a Bursar that forgot.
#[tokio::test]
async fn control_a_buyer_without_a_memory_pays_the_deposit_again() {
    let mut world = world("", MppShopOptions::default()).await;
    dies(&world, "before_draw", "/chat").await;
    assert_eq!(world.node().moved().len(), 1);
    let elsewhere = tempfile::tempdir().expect("a temporary directory");
    world.env("BURSAR_HOME", elsewhere.path().to_str().expect("a path"));
    let host = world.host().await;
    let told = get(&host, &world, "/chat").await;
    assert_eq!((told.outcome(), world.node().moved().len()), ("bought", 2), "{}", told.text());
}
