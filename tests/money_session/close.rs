//! The end of a deposit: by idleness, by the end of the process, by a person; and what came back.

use bursar::{
    ledger::Scope,
    money::Currency,
    sandbox::mpp_shop::{MppShopOptions, Refunds},
};
use serde_json::{Value, json};

use super::{
    cost_sat, get,
    support::{World, until, until_answered},
    world,
};

async fn deposits(world: &World) -> usize {
    world.ledger().deposits(None).await.unwrap().len()
}

/// Facts 4, hazard 7: aperture says `failed` of each refund that it is about to pay, and others may say what they like.
#[tokio::test]
async fn hazard_7_only_what_the_wallet_saw_counts_as_come_back() {
    for (refunds, back) in [(Refunds::PaidAfterFailed, Some(38)), (Refunds::SaidAndNeverPaid, None)] {
        let world = world("", MppShopOptions { refunds, ..MppShopOptions::default() }).await;
        let host = world.host().await;
        let told = get(&host, &world, "/chat").await;
        until_answered(&world, told.purchase()).await;
        assert!(host.close().await.success());
        let refund = world.audit().await.into_iter().find(|row| row.state == "refund");
        assert_eq!(refund.and_then(|row| row.back).map(|b| b.atomic() / 1000), back, "{refunds:?}");
        assert_eq!(world.node().received_msat() / 1000, back.unwrap_or(0), "{refunds:?}");
        assert_eq!(deposits(&world).await, usize::from(back.is_none()), "what may still come is looked for");
        world.verify_money().await;
    }
}

/// Facts 4, hazard 11: a deposit that nobody uses does not lie with its seller.
#[tokio::test]
async fn hazard_11_a_deposit_that_nobody_uses_is_closed_before_the_seller_does() {
    let world = world("", MppShopOptions { idle_timeout_s: 3600, ..MppShopOptions::default() }).await;
    let host = world.host().await;
    let told = get(&host, &world, "/chat").await;
    until_answered(&world, told.purchase()).await;
    assert_eq!(cost_sat(&world), 40);
    drop(host);
    let quick = super::world("", MppShopOptions { idle_timeout_s: 2, ..MppShopOptions::default() }).await;
    let host = quick.host().await;
    let told = get(&host, &quick, "/chat").await;
    until_answered(&quick, told.purchase()).await;
    until("the rest came back", async || cost_sat(&quick) == 2).await;
    until("the books know it", async || deposits(&quick).await == 0).await;
    // The next call opens another one: one payment for one call.
    let told = get(&host, &quick, "/chat").await;
    assert_eq!((told.outcome(), quick.node().moved().len()), ("bought", 2), "{}", told.text());
    quick.verify_money().await;
}

#[tokio::test]
async fn a_person_closes_a_session_that_a_running_server_uses() {
    let world = world("", MppShopOptions::default()).await;
    let host = world.host().await;
    let told = get(&host, &world, "/chat").await;
    until_answered(&world, told.purchase()).await;
    let (code, out, _) = world.run(&["sessions", "--json"]).await;
    let listed: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!((code, listed["sessions"][0]["paid_in"].as_str()), (0, Some("40 sat")), "{out}");
    assert_eq!(listed["sessions"][0]["state"], "open");
    let (code, out, err) = world.run(&["sessions", "close", "--json"]).await;
    let closed: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!((code, closed["closed"][0]["state"].as_str()), (0, Some("asked")), "{out}{err}");
    until("the server closed it", async || cost_sat(&world) == 2).await;
    until("the books know it", async || deposits(&world).await == 0).await;
    let (_, out, _) = world.run(&["sessions", "--json"]).await;
    assert_eq!(serde_json::from_str::<Value>(&out).expect("JSON")["sessions"], json!([]));
    let (code, _, err) = world.run(&["sessions", "close", told.purchase()]).await;
    assert!(code != 0 && err.contains("is no open session"), "{err}");
    world.verify_money().await;
}

/// The contract: what comes back restores the limits that have no end, and never a day's or a session's room.
#[tokio::test]
async fn what_comes_back_gives_room_to_the_total_and_never_to_the_day_or_the_session() {
    let config = "[limits.ceiling]\nsat = { purchase = \"100\", session = \"500\", day = \"500\", total = \"60\", host = \"60\" }\n\
                  [limits.default]\nsat = { purchase = \"100\", session = \"500\", day = \"500\" }\n";
    let world = world(config, MppShopOptions::default()).await;
    let host = world.host().await;
    let told = get(&host, &world, "/chat").await;
    assert_eq!(told.outcome(), "bought", "{}", told.text());
    until_answered(&world, told.purchase()).await;
    let left = async |scope: Scope| {
        let limits = bursar::config::Config::load_from(world.home()).expect("the config is good").limits;
        let ledger = bursar::ledger::Ledger::open(&world.home(), limits, bursar::clock::Clock::system()).unwrap();
        let (_, budgets) = ledger.budgets("local", "").await.unwrap();
        let budget = budgets.into_iter().find(|b| b.scope == scope && b.limit.currency() == Currency::Sat);
        budget.expect("a limit").left.atomic() / 1000
    };
    assert_eq!((left(Scope::Total).await, left(Scope::Day).await), (20, 460));
    let (code, out, err) = world.run(&["sessions", "close"]).await;
    assert_eq!(code, 0, "{out}{err}");
    until("it came back", async || deposits(&world).await == 0).await;
    assert_eq!((left(Scope::Total).await, left(Scope::Day).await, left(Scope::Session).await), (58, 460, 460));
    let told = get(&host, &world, "/chat").await;
    assert_eq!(told.outcome(), "bought", "{}", told.text());
    world.verify_money().await;
}

/// The seller cannot be told at the exit: the next process tries again, and nothing is lost.
#[tokio::test]
async fn a_close_that_the_seller_did_not_hear_is_made_up_for_by_the_next_process() {
    let world = world("", MppShopOptions::default()).await;
    let host = world.host_dying_at("before_close").await;
    let told = get(&host, &world, "/chat").await;
    until_answered(&world, told.purchase()).await;
    let _ = host.close().await;
    assert_eq!((cost_sat(&world), deposits(&world).await), (40, 1), "it died before the seller heard of it");
    let (code, out, err) = world.run(&["sessions", "close"]).await;
    assert_eq!(code, 0, "{out}{err}");
    assert_eq!((cost_sat(&world), deposits(&world).await), (2, 0), "{out}{err}");
    world.verify_money().await;
}
