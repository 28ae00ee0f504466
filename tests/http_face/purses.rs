//! A purse for each agent: what one buys is nothing to the other, and the operator's ceilings bound both.

use bursar::sandbox::Behaviour;
use serde_json::json;

use crate::{
    ERAS,
    door::{Agent, Door, token},
    support::{Era, Reply, Seller, World, money, token_for, until_answered},
};

const DATA: &str = r#"{"data":"a"}"#;

async fn two(world: &World, era: Era) -> (Door, Agent, Agent) {
    let (a, b) = (token(world, "ann", &[]).await, token(world, "bob", &[]).await);
    let door = Door::open(world, &[]).await;
    let (ann, bob) = (Agent::come(&door, &a, era).await, Agent::come(&door, &b, era).await);
    (door, ann, bob)
}

#[tokio::test]
async fn one_cannot_read_resume_or_see_what_the_other_bought() {
    for era in ERAS {
        let world = World::new().await;
        let seller = Seller::honest_per_path(world.node(), 21_000, DATA).await;
        let (_door, ann, bob) = two(&world, era).await;
        let bought = ann.fetch(json!({ "url": seller.url("/a"), "idempotency_key": "k" })).await;
        assert_eq!(bought.outcome(), "bought", "{}", bought.text());
        let id = bought.purchase().to_owned();
        let stolen = bob.fetch(json!({ "result_id": id })).await;
        let unknown = bob.fetch(json!({ "result_id": format!("p_{}", "a".repeat(26)) })).await;
        assert_eq!(stolen.facts(), unknown.facts(), "it is as if it did not exist");
        let uri = format!("bursar://purchase/{id}");
        assert!(ann.rpc("resources/read", json!({ "uri": uri })).await.get("result").is_some());
        assert!(bob.rpc("resources/read", json!({ "uri": uri })).await.get("error").is_some());
        let audit = json!({ "uri": "bursar://audit" });
        let of = |read: serde_json::Value| read["result"]["contents"][0]["text"].as_str().unwrap().to_owned();
        assert!(of(ann.rpc("resources/read", audit.clone()).await).contains(&id));
        assert!(!of(bob.rpc("resources/read", audit).await).contains("p_"));
        // The same key is each one's own, and neither the token nor the answer is shared.
        let own = bob.fetch(json!({ "url": seller.url("/b"), "idempotency_key": "k" })).await;
        assert_eq!(own.outcome(), "bought", "{}", own.text());
        assert_eq!(world.spent_msat(), 42_000);
        let balance = bob.call("get_balance", json!({})).await;
        assert!(balance.text().contains("4979 sat of 5000 sat left"), "{}", balance.text());
        world.verify_money().await;
    }
}

#[tokio::test]
async fn local_is_another_principal_with_a_purse_of_its_own() {
    let world = World::new().await;
    let seller = Seller::honest_per_path(world.node(), 21_000, DATA).await;
    let (_door, ann, _) = two(&world, Era::Stateless).await;
    let host = world.host().await;
    let id = host.fetch(json!({ "url": seller.url("/a") })).await.purchase().to_owned();
    assert_eq!(ann.fetch(json!({ "result_id": id })).await.facts()["code"], "no_such_result");
    let theirs = ann.fetch(json!({ "url": seller.url("/a") })).await;
    assert_eq!(theirs.outcome(), "bought");
    assert_eq!(host.fetch(json!({ "result_id": theirs.purchase() })).await.facts()["code"], "no_such_result");
}

/// A purchase of 21 sat holds 31: the fee may be up to 10 sat, and is none.
#[tokio::test]
async fn the_limits_of_a_token_bind_and_nothing_raises_them() {
    let world = World::new().await;
    let seller = Seller::honest_per_path(world.node(), 21_000, DATA).await;
    let made = token(&world, "ann", &["--session-limit", "70 sat", "--total-limit", "72 sat"]).await;
    let door = Door::open(&world, &[]).await;
    let ann = Agent::come(&door, &made, Era::Stateless).await;
    for path in ["/1", "/2"] {
        assert_eq!(ann.fetch(json!({ "url": seller.url(path) })).await.outcome(), "bought");
    }
    let third = ann.fetch(json!({ "url": seller.url("/3") })).await;
    assert_eq!(third.outcome(), "refused", "{}", third.text());
    assert!(third.say().contains("session"), "{}", third.say());
    let raised = ann.call("set_budget", json!({ "scope": "session", "limit": "71 sat" })).await;
    assert_eq!(raised.outcome(), "refused", "{}", raised.text());
    // A new session has room again, the total has not.
    let session = world.ledger().session("ann", "").await.unwrap().unwrap().id;
    assert_eq!(world.run(&["budget", "set", "session", "71 sat", "--session", &session]).await.0, 1);
    assert_eq!(world.run(&["session", "end", &session]).await.0, 0);
    let fourth = ann.fetch(json!({ "url": seller.url("/4") })).await;
    assert_eq!(fourth.outcome(), "refused");
    assert!(fourth.say().contains("total"), "{}", fourth.say());
    assert_eq!(world.spent_msat(), 42_000);
    world.verify_money().await;
}

#[tokio::test]
async fn all_agents_together_stay_under_the_ceiling_of_the_day() {
    let limits = "[limits.ceiling]\nsat = { purchase = \"30\", session = \"70\", day = \"70\" }";
    let world = World::with(limits).await;
    let seller = Seller::honest_per_path(world.node(), 21_000, DATA).await;
    let (_door, ann, bob) = two(&world, Era::Handshake).await;
    assert_eq!(ann.fetch(json!({ "url": seller.url("/1") })).await.outcome(), "bought");
    assert_eq!(bob.fetch(json!({ "url": seller.url("/2") })).await.outcome(), "bought");
    let over = ann.fetch(json!({ "url": seller.url("/3") })).await;
    assert_eq!(over.outcome(), "refused", "{}", over.text());
    assert_eq!(world.spent_msat(), 42_000);
    world.verify_money().await;
}

#[tokio::test]
async fn a_total_shows_an_agent_only_what_it_spent_itself() {
    let limits = "[limits.ceiling]\nsat = { purchase = \"30\", session = \"50\", day = \"100\", total = \"100\" }";
    let world = World::with(limits).await;
    let seller = Seller::honest_per_path(world.node(), 21_000, DATA).await;
    let (_door, ann, bob) = two(&world, Era::Stateless).await;
    assert_eq!(ann.fetch(json!({ "url": seller.url("/1") })).await.outcome(), "bought");
    let total = |told: crate::support::Told| {
        let budgets = told.facts()["budgets"].as_array().unwrap().clone();
        budgets.into_iter().find(|b| b["scope"] == "total").unwrap()
    };
    let hers = total(ann.call("get_balance", json!({})).await);
    assert_eq!((hers["spent"].as_str(), hers["left"].as_str()), (Some("21 sat"), Some("79 sat")));
    let his = total(bob.call("get_balance", json!({})).await);
    assert_eq!((his["spent"].as_str(), his["left"].as_str()), (Some("0 sat"), Some("79 sat")));
}

#[tokio::test]
async fn a_seller_that_kept_anothers_money_is_avoided_and_the_purchase_is_not_named() {
    let world = World::new().await;
    // It takes the money and asks for more.
    let node = world.node().clone();
    let seller = Seller::start(move |_| {
        let invoice = node.invoice(21_000, "greedy", 600).expect("an invoice");
        Reply::l402(&token_for(&invoice.payment_hash), &invoice.bolt11)
    })
    .await;
    let (_door, ann, bob) = two(&world, Era::Stateless).await;
    let kept = ann.fetch(json!({ "url": seller.url("/1") })).await;
    let id = kept.purchase().to_owned();
    assert!(id.starts_with("p_"), "{}", kept.text());
    let again = bob.fetch(json!({ "url": seller.url("/1") })).await;
    assert_eq!(again.facts()["code"], "seller_cooling_down", "{}", again.text());
    assert!(!again.raw.to_string().contains(&id), "{}", again.text());
    let hers = ann.fetch(json!({ "url": seller.url("/2") })).await;
    assert!(hers.text().contains(&id), "she is told which: {}", hers.text());
}

#[tokio::test]
async fn each_answer_reaches_the_agent_that_asked_and_counts_for_it_alone() {
    // Both use the same ids for their requests, at the same time, on the same server.
    for era in ERAS {
        let world = World::new().await;
        let seller = Seller::honest_per_path(world.node(), 21_000, DATA).await;
        let (_door, ann, bob) = two(&world, era).await;
        world.wallet().always(Behaviour::slow_reply(100));
        let wish = json!({ "url": seller.url("/a") });
        let (hers, his) = tokio::join!(ann.fetch(wish.clone()), bob.fetch(wish));
        assert_ne!(hers.purchase(), his.purchase());
        until_answered(&world, hers.purchase()).await;
        until_answered(&world, his.purchase()).await;
        assert_eq!(money::states(&world).await, ["delivered", "delivered"]);
    }
}
