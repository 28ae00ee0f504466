//! Many agents at once on one server: exact budgets each, and no cross-talk.

use std::sync::Arc;

use serde_json::json;

use crate::{
    ERAS,
    door::{Agent, Door, token},
    support::{Reply, Seller, World, token_for},
};

const AGENTS: usize = 24;

/// Each agent may spend 70 sat a session and wants three things of 21 sat, each held with 10 sat for the fee: two are bought, the third is refused; and
/// each answer is the one that its agent asked for.
#[tokio::test]
async fn agents_that_buy_at_once_stay_within_their_own_budgets_and_get_their_own_answers() {
    let ceilings = "[limits.ceiling]\nsat = { purchase = \"50\", session = \"70\", day = \"100000\" }";
    let world = World::with(ceilings).await;
    let node = world.node().clone();
    // It tells each path back, so that an answer shows whom it was for.
    let seller = Seller::start(move |hit| {
        let path = hit.uri.path().to_owned();
        match hit.credential() {
            Some((token, _)) if token_is_for(&token, &path) => Reply::ok(format!("{{\"for\":\"{path}\"}}")),
            _ => {
                let invoice = node.invoice(21_000, &path, 600).expect("an invoice");
                let token = token_for(&invoice.payment_hash);
                sold().lock().unwrap().insert(token.clone(), path);
                Reply::l402(&token, &invoice.bolt11)
            }
        }
    })
    .await;
    let door = Door::open(&world, &[]).await;
    let mut agents = Vec::new();
    for n in 0..AGENTS {
        let made = token(&world, &format!("agent-{n}"), &[]).await;
        agents.push(Arc::new(Agent::come(&door, &made, ERAS[n % 2]).await));
    }
    let mut buying = tokio::task::JoinSet::new();
    for (n, agent) in agents.iter().enumerate() {
        for what in 0..3 {
            let (agent, path) = (agent.clone(), format!("/{n}/{what}"));
            let url = seller.url(&path);
            buying.spawn(async move { (n, path, agent.fetch(json!({ "url": url })).await) });
        }
    }
    let mut bought = vec![0; AGENTS];
    while let Some(done) = buying.join_next().await {
        let (n, path, told) = done.unwrap();
        if told.outcome() == "bought" {
            bought[n] += 1;
            assert!(told.text().contains(&format!("{{\"for\":\"{path}\"}}")), "{path}: {}", told.text());
        } else {
            assert_eq!(told.outcome(), "refused", "{}", told.text());
        }
    }
    assert_eq!(bought, vec![2; AGENTS]);
    assert_eq!(world.spent_msat(), AGENTS as u64 * 42_000);
    for (n, agent) in agents.iter().enumerate() {
        let balance = agent.call("get_balance", json!({})).await;
        let budgets = balance.facts()["budgets"].as_array().unwrap().clone();
        let session = budgets.iter().find(|b| b["scope"] == "session").unwrap();
        assert_eq!((session["spent"].as_str(), session["left"].as_str()), (Some("42 sat"), Some("28 sat")), "{n}");
    }
    world.verify_money().await;
}

fn sold() -> &'static std::sync::Mutex<std::collections::HashMap<String, String>> {
    static SOLD: std::sync::OnceLock<std::sync::Mutex<std::collections::HashMap<String, String>>> =
        std::sync::OnceLock::new();
    SOLD.get_or_init(Default::default)
}

fn token_is_for(token: &str, path: &str) -> bool {
    sold().lock().unwrap().get(token).is_some_and(|p| p == path)
}
