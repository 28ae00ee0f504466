//! A purse for each agent: what one buys is nothing to the other, and the operator's ceilings bound both.

use bursar::{ledger::StoredResult, sandbox::Behaviour};
use serde_json::json;

use crate::{
    ERAS,
    door::{Agent, Door, token},
    support::{Era, Reply, Seller, World, money, token_for, until, until_answered, until_state},
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

/// One agent's reading must not make another pay again.
#[tokio::test]
async fn an_answer_that_one_has_not_seen_yet_outlives_whatever_another_keeps() {
    let world = World::new().await;
    let seller = Seller::honest_per_path(world.node(), 21_000, DATA).await;
    let large = Seller::start(move |_| Reply::ok("x".repeat(30_000))).await;
    let (_door, ann, bob) = two(&world, Era::Stateless).await;
    world.wallet().next(Behaviour::slow_payment(300));
    let params = json!({ "name": "fetch_paid", "arguments": { "url": seller.url("/a") } });
    let (_, message) = ann.message("tools/call", params);
    let paying = async || world.wallet().seen("pay_invoice") == 1;
    ann.ask_and_leave(&message, "the wallet has the bytes", paying).await;
    until("hers is delivered", async || money::states(&world).await == ["delivered"]).await;
    // His answers of the last minutes fill what is kept, and one more begins the clearing.
    let ledger = world.ledger();
    for n in 0..3 {
        let row = StoredResult {
            result_id: format!("r_{n:026}"),
            url: "http://127.0.0.1/large".into(),
            status: 200,
            content_type: "image/png".into(),
            size: 200 * 1024 * 1024,
            sha256: "00".repeat(32),
            cut: false,
            created_ms: bursar::clock::Clock::system().now_ms() as i64,
            gone_ms: None,
        };
        ledger.keep_free_result("bob", "", row).await.unwrap();
    }
    let his = bob.fetch(json!({ "url": large.url("/large") })).await;
    assert_eq!(his.outcome(), "free", "{}", his.text());
    assert!(ledger.result("bob", &format!("r_{:026}", 0)).await.unwrap().unwrap().gone_ms.is_some(), "it was cleared");
    let hers = ann.fetch(json!({ "url": seller.url("/a") })).await;
    assert_eq!(hers.outcome(), "stored", "{}", hers.text());
    assert!(hers.text().contains(DATA), "{}", hers.text());
    assert_eq!((world.spent_msat(), world.wallet().pay_events().len()), (21_000, 1));
    world.verify_money().await;
}

#[tokio::test]
async fn an_invoice_that_another_has_paid_is_refused_without_a_word_of_whose_it_was() {
    let world = World::new().await;
    let invoice = world.node().invoice(21_000, "one for all", 600).expect("an invoice");
    let bolt11 = invoice.bolt11.clone();
    let seller = Seller::start(move |hit| match hit.credential() {
        Some(_) => Reply::ok(DATA),
        None => Reply::l402(&token_for(&invoice.payment_hash), &bolt11),
    })
    .await;
    let (_door, ann, bob) = two(&world, Era::Stateless).await;
    let hers = ann.fetch(json!({ "url": seller.url("/1") })).await;
    assert_eq!(hers.outcome(), "bought", "{}", hers.text());
    let his = bob.fetch(json!({ "url": seller.url("/1") })).await;
    assert_eq!(his.facts()["code"], "invoice_reused", "{}", his.text());
    assert!(!his.raw.to_string().contains(hers.purchase()), "{}", his.raw);
    assert_eq!(world.spent_msat(), 21_000);
    world.verify_money().await;
}

#[tokio::test]
async fn a_wallet_that_one_froze_is_frozen_for_all_and_names_the_purchase_only_to_its_own() {
    let world = World::new().await;
    world.node().set_fees(bursar::sandbox::Fees { base_msat: 100_000, ppm: 0 });
    let seller = Seller::honest_per_path(world.node(), 21_000, DATA).await;
    let (_door, ann, bob) = two(&world, Era::Stateless).await;
    let hers = ann.fetch(json!({ "url": seller.url("/1") })).await;
    assert_eq!((hers.outcome(), world.spent_msat()), ("bought", 121_000), "{}", hers.text());
    let id = hers.purchase();
    let problem = |told: &crate::support::Told| told.facts()["wallets"][0]["problem"].as_str().unwrap().to_owned();
    for (agent, knows) in [(&ann, true), (&bob, false)] {
        let told = agent.fetch(json!({ "url": seller.url("/2") })).await;
        assert_eq!(told.facts()["code"], "wallet_frozen", "{}", told.text());
        assert_eq!(told.raw.to_string().contains(id), knows, "{}", told.text());
        let balance = agent.call("get_balance", json!({})).await;
        assert!(problem(&balance).contains("frozen"), "{}", balance.raw);
        assert_eq!(balance.raw.to_string().contains(id), knows, "{}", balance.raw);
    }
    assert_eq!(world.spent_msat(), 121_000);
    world.verify_money().await;
}

#[tokio::test]
async fn the_handle_of_a_free_answer_opens_no_page_for_another() {
    for era in ERAS {
        let world = World::new().await;
        let large = Seller::start(|_| Reply::ok("x".repeat(50_000))).await;
        let (_door, ann, bob) = two(&world, era).await;
        let read = ann.fetch(json!({ "url": large.url("/large") })).await;
        let handle = read.facts()["result"]["result_id"].as_str().unwrap().to_owned();
        assert!(handle.starts_with("r_"), "{handle}");
        let page = json!({ "result_id": handle, "offset": 20_000 });
        let hers = ann.fetch(page.clone()).await;
        assert_eq!(hers.outcome(), "stored", "{}", hers.text());
        let his = bob.fetch(page).await;
        let none = bob.fetch(json!({ "result_id": format!("r_{}", "a".repeat(26)), "offset": 20_000 })).await;
        assert_eq!(his.facts(), none.facts(), "it is as if it did not exist");
        assert_eq!(his.facts()["code"], "no_such_result");
    }
}

#[tokio::test]
async fn a_session_is_worth_nothing_with_another_token() {
    let world = World::new().await;
    let (_door, ann, mut bob) = two(&world, Era::Handshake).await;
    let own = std::mem::replace(&mut bob.session, ann.session.clone());
    let (_, message) = bob.message("tools/list", json!({}));
    assert_eq!(bob.ask(&message).await.status, 404, "it is hers, and alive");
    assert_eq!(ann.rpc("tools/list", json!({})).await["result"]["tools"].as_array().unwrap().len(), 4);
    bob.session = own;
    assert_eq!(bob.rpc("tools/list", json!({})).await["result"]["tools"].as_array().unwrap().len(), 4);
}

/// The wallet is one for all: what a seller leaves in doubt is counted over all agents.
#[tokio::test]
async fn a_host_that_leaves_three_payments_in_doubt_is_paid_by_no_agent_until_they_are_known() {
    let world = World::with("[waits]\nwallet = 0.3\nanswer = 0.6\n").await;
    let seller = Seller::honest_per_path(world.node(), 21_000, DATA).await;
    let (_door, ann, bob) = two(&world, Era::Stateless).await;
    world.wallet().always(Behaviour::holds());
    for (agent, path) in [(&ann, "/1"), (&bob, "/2"), (&ann, "/3")] {
        let told = agent.fetch(json!({ "url": seller.url(path) })).await;
        assert_eq!(told.outcome(), "pending", "{}", told.text());
        until_state(&world, told.purchase(), "unknown").await;
    }
    let before = world.wallet().pay_events().len();
    let his = bob.fetch(json!({ "url": seller.url("/4") })).await;
    assert_eq!(his.facts()["code"], "too_many_unknown", "{}", his.text());
    assert_eq!(world.wallet().pay_events().len(), before);
}

/// One agent's purchase of a moment ago is nothing that another hears of, not even as a price that is known.
#[tokio::test]
async fn a_price_that_one_paid_is_asked_for_by_the_other() {
    let world = World::with_dollars("").await;
    let (_door, ann, bob) = two(&world, Era::Stateless).await;
    let wish = json!({ "url": format!("{}/sentiment", world.sandbox.ntriq_url()), "json": { "text": "one" } });
    for (agent, challenges) in [(&ann, 1), (&ann, 1), (&bob, 2), (&bob, 2)] {
        let told = agent.fetch(wish.clone()).await;
        assert_eq!(told.outcome(), "bought", "{}", told.text());
        assert_eq!(world.sandbox.ntriq().challenges(), challenges, "{}: {}", agent.token, told.text());
        until_answered(&world, told.purchase()).await;
    }
    world.verify_money().await;
}
