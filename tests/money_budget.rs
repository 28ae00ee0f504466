//! Limits hold for every interleaving of calls, processes and restarts (A36, A37), and sessions are what they say.

mod support;

use std::time::Duration;

use bursar::sandbox::Behaviour;
use serde_json::json;
use support::{Era, Host, Naive, Seller, Told, World, money, until};

const DATA: &str = r#"{"data":"a"}"#;

/// Ten purchases of 21 sat fit: a hold is 31 sat (price and 10 sat for the fee), and posted as what it cost.
const TIGHT: &str = "[limits.ceiling]\nsat = { purchase = \"100\", session = \"220\", day = \"400\" }\n";

async fn shop(config: &str) -> (World, Seller) {
    let world = World::with(config).await;
    let seller = Seller::honest_per_path(world.node(), 21_000, DATA).await;
    (world, seller)
}

async fn with_session(world: &World, key: &str) -> Host {
    let mut envs = world.envs();
    envs.push(("BURSAR_SESSION".into(), key.into()));
    Host::start(&envs, Era::Handshake).await
}

async fn buy(host: &Host, seller: &Seller, path: &str) -> Told {
    host.fetch(json!({ "url": seller.url(path) })).await
}

/// Rule 4, one at a time: the limit is reached and not passed, and the refusal says what it needs.
#[tokio::test]
async fn a_session_budget_stops_many_small_purchases() {
    let (world, seller) = shop(TIGHT).await;
    let host = world.host().await;
    let mut bought = 0;
    for n in 0..14 {
        let told = buy(&host, &seller, &format!("/{n}")).await;
        if told.outcome() == "bought" {
            bought += 1;
            continue;
        }
        assert_eq!((told.outcome(), &told.facts()["code"]), ("refused", &json!("budget_used_up")), "{}", told.text());
        assert!(told.say().starts_with("Nothing was paid") && told.say().contains("session"), "{}", told.say());
    }
    // After ten purchases 210 are spent and 10 left; the tenth needed 31 of the 31 that were left.
    assert_eq!((bought, world.spent_msat()), (10, 210_000));
    world.verify_money().await;
}

/// A37: processes race for the last room with different URLs. What is refused was not paid.
#[tokio::test]
async fn four_processes_racing_for_the_last_room_never_exceed_the_limit() {
    let (world, seller) = shop(TIGHT).await;
    world.wallet().always(Behaviour::slow_reply(50));
    let hosts = futures_util::future::join_all((0..4).map(|_| world.host())).await;
    let calls = (0..32).map(|n| {
        let (host, seller) = (&hosts[n % 4], &seller);
        async move { buy(host, seller, &format!("/{n}")).await }
    });
    let told = futures_util::future::join_all(calls).await;
    let bought = told.iter().filter(|t| t.outcome() == "bought").count() as u64;
    let refused = told.iter().filter(|t| t.facts()["code"] == "budget_used_up").count() as u64;
    assert_eq!(bought + refused, 32, "{told:#?}");
    assert_eq!(world.spent_msat(), bought * 21_000);
    assert!(world.spent_msat() <= 220_000 && bought >= 7, "{bought} bought: 7 holds fit at once");
    for host in hosts {
        assert!(host.close().await.success());
    }
    world.verify_money().await;
}

/// A37, the very last: room for one, asked for by both processes at once.
#[tokio::test]
async fn two_processes_racing_for_room_for_one_buy_one() {
    for _ in 0..5 {
        let one = "[limits.ceiling]\nsat = { purchase = \"100\", session = \"45\", day = \"400\" }\n";
        let (world, seller) = shop(one).await;
        world.wallet().always(Behaviour::slow_reply(50));
        let (a, b) = tokio::join!(world.host(), world.host());
        let (x, y) = tokio::join!(buy(&a, &seller, "/x"), buy(&b, &seller, "/y"));
        let mut outcomes = [x.outcome(), y.outcome()];
        outcomes.sort_unstable();
        assert_eq!(outcomes, ["bought", "refused"], "{} / {}", x.text(), y.text());
        assert_eq!(world.spent_msat(), 21_000);
        world.verify_money().await;
    }
}

/// Negative control to A37: budgets in the memory of each process let both through.
#[tokio::test]
async fn control_two_naive_buyers_with_a_budget_in_memory_exceed_it() {
    let (world, seller) = shop("").await;
    let patience = Duration::from_secs(5);
    let (a, b) = (Naive::new(&world, patience, 45_000), Naive::new(&world, patience, 45_000));
    let (u, v) = (seller.url("/x"), seller.url("/y"));
    let both = async |n: &Naive, url: &str| {
        for path in ["1", "2", "3"] {
            n.fetch(&format!("{url}{path}")).await;
        }
    };
    tokio::join!(both(&a, &u), both(&b, &v));
    assert!(world.spent_msat() > 45_000, "{}", world.spent_msat());
}

/// What is held for an unknown outcome is not free room, in this process or another.
#[tokio::test]
async fn what_is_held_is_not_spent_by_another_process() {
    let limits = "[limits.ceiling]\nsat = { purchase = \"100\", session = \"45\", day = \"400\" }\n";
    let (world, seller) = shop(&format!("{limits}[waits]\nwallet = 0.3\nanswer = 0.6\n")).await;
    world.wallet().next(Behaviour::holds());
    let host = world.host().await;
    assert_eq!(buy(&host, &seller, "/1").await.outcome(), "pending");
    let other = world.host().await;
    let told = buy(&other, &seller, "/2").await;
    assert_eq!(told.facts()["code"], "budget_used_up", "{}", told.text());
    assert_eq!((world.spent_msat(), money::held_msat(&world, "").await), (0, 31_000));
    world.verify_money().await;
}

/// The table's line "10,000 sat limit, after a restart": a session goes on where it was.
#[tokio::test]
async fn a_restart_does_not_reset_the_sessions_budget() {
    let (world, seller) = shop(TIGHT).await;
    for n in 0..10 {
        let host = world.host().await;
        assert_eq!(buy(&host, &seller, &format!("/{n}")).await.outcome(), "bought");
        if n % 2 == 0 { host.kill().await } else { assert!(host.close().await.success()) }
    }
    let host = world.host().await;
    let told = buy(&host, &seller, "/one-more").await;
    assert_eq!(told.facts()["code"], "budget_used_up", "{}", told.text());
    let balance = host.call("get_balance", json!({})).await;
    let session = balance.facts()["budgets"].as_array().expect("budgets").iter().find(|b| b["scope"] == "session");
    assert_eq!(session.expect("a session")["left"], "10 sat", "{}", balance.facts());
    assert_eq!(world.spent_msat(), 210_000);
    world.verify_money().await;
}

/// Words, session: the same `BURSAR_SESSION` resumes, another one starts fresh, and the day binds them all.
#[tokio::test]
async fn the_same_session_key_resumes_and_another_starts_fresh_within_the_day() {
    let limits = "[limits.ceiling]\nsat = { purchase = \"100\", session = \"60\", day = \"110\" }\n";
    let (world, seller) = shop(limits).await;
    let one = with_session(&world, "one").await;
    for path in ["/1", "/2"] {
        assert_eq!(buy(&one, &seller, path).await.outcome(), "bought");
    }
    assert_eq!(buy(&one, &seller, "/3").await.facts()["code"], "budget_used_up");
    assert!(one.close().await.success());
    let one = with_session(&world, "one").await;
    assert_eq!(buy(&one, &seller, "/3").await.facts()["code"], "budget_used_up", "it resumed");
    let two = with_session(&world, "two").await;
    assert_eq!(buy(&two, &seller, "/4").await.outcome(), "bought", "it starts fresh");
    let three = with_session(&world, "three").await;
    assert_eq!(buy(&three, &seller, "/5").await.outcome(), "bought");
    // 84 are spent today and 31 would be held: only the day says no.
    let four = with_session(&world, "four").await;
    let told = buy(&four, &seller, "/6").await;
    assert_eq!(told.facts()["code"], "budget_used_up");
    assert!(told.say().contains("day"), "{}", told.say());
    assert_eq!(world.spent_msat(), 84_000);
    world.verify_money().await;
}

/// Words, session: one without a key is shared by all processes of the principal, and a person can end it.
#[tokio::test]
async fn ending_a_session_gives_the_next_one_its_own_budget() {
    let limits = "[limits.ceiling]\nsat = { purchase = \"100\", session = \"45\", day = \"400\" }\n";
    let (world, seller) = shop(limits).await;
    let (a, b) = tokio::join!(world.host(), world.host());
    assert_eq!(buy(&a, &seller, "/1").await.outcome(), "bought");
    assert_eq!(buy(&b, &seller, "/2").await.facts()["code"], "budget_used_up", "they share one session");
    let ended = world.ledger().end_sessions("local", None).await.expect("it can be ended");
    assert_eq!(ended.len(), 1);
    assert_eq!(buy(&b, &seller, "/2").await.outcome(), "bought");
    assert_eq!(world.spent_msat(), 42_000);
    let sessions: std::collections::BTreeSet<_> =
        money::purchases(&world).await.into_iter().filter_map(|r| r.session).collect();
    assert_eq!(sessions.len(), 2);
    world.verify_money().await;
}

/// Contracts, Limits: price and `max_price` are bounded by themselves, and nothing is paid beyond either.
#[tokio::test]
async fn a_price_above_max_price_or_the_purchase_limit_is_not_paid() {
    let world = World::new().await;
    let cheap = Seller::honest(world.node(), 21_000, DATA).await;
    let dear = Seller::honest(world.node(), 1_000_001, DATA).await;
    let host = world.host().await;
    let told = host.fetch(json!({ "url": cheap.url("/a"), "max_price": "20.999 sat" })).await;
    assert_eq!(told.facts()["code"], "above_max_price", "{}", told.text());
    let told = host.fetch(json!({ "url": cheap.url("/a"), "max_price": "1 usd" })).await;
    assert_eq!(told.facts()["code"], "other_currency", "{}", told.text());
    let told = host.fetch(json!({ "url": dear.url("/a"), "max_price": "4000 sat" })).await;
    assert_eq!(told.facts()["code"], "above_limit", "{}", told.text());
    assert_eq!((world.spent_msat(), world.wallet().seen("pay_invoice")), (0, 0));
    let told = host.fetch(json!({ "url": cheap.url("/a"), "max_price": "21 sat" })).await;
    assert_eq!(told.outcome(), "bought", "{}", told.text());
    assert_eq!(world.spent_msat(), 21_000);
    let refused = world.audit().await.iter().filter(|r| r.state == "refused").count();
    assert_eq!(refused, 3, "every refusal is in the books");
    world.verify_money().await;
}

/// A limit that the model lowered while calls are under way binds the next one at once, in every process.
#[tokio::test]
async fn a_lowered_limit_binds_the_next_call_of_every_process() {
    let (world, seller) = shop("").await;
    let (a, b) = tokio::join!(world.host(), world.host());
    assert_eq!(buy(&a, &seller, "/1").await.outcome(), "bought");
    let set = a.call("set_budget", json!({ "scope": "session", "limit": "40 sat" })).await;
    assert!(!set.is_error(), "{}", set.text());
    let told = buy(&b, &seller, "/2").await;
    assert_eq!(told.facts()["code"], "budget_used_up", "{}", told.text());
    until("nothing is held", async || money::held_msat(&world, "").await == 0).await;
    assert_eq!(world.spent_msat(), 21_000);
    world.verify_money().await;
}
