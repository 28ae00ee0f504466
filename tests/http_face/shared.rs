//! Many agents at once on one server: exact budgets each, and no cross-talk.

use std::sync::Arc;

use bursar::ledger::{TokenKind, TokenMade};
use serde_json::json;
use tokio::sync::Semaphore;

use crate::{
    ERAS,
    door::{Agent, Door},
    support::{Reply, Seller, World, token_for},
};

const AGENTS: usize = 200;
/// Connections open at once on our side of the server. It opens as many to the seller, who is in this process too, and a
/// process may usually open 1,024 files.
const AT_ONCE: usize = AGENTS;

/// A token straight into the ledger: two hundred times the command would only take longer.
async fn made(ledger: &bursar::ledger::Ledger, name: &str) -> String {
    let secret = format!("{:a<32}", name.replace(|c: char| !c.is_ascii_lowercase() && !('2'..='7').contains(&c), "z"));
    let digest = ring::digest::digest(&ring::digest::SHA256, secret.as_bytes()).as_ref().try_into().unwrap();
    let made = ledger.make_token(name, TokenKind::Agent, digest, Vec::new(), false).await.unwrap();
    assert_eq!(made, TokenMade::Made);
    format!("bursar_{name}_{secret}")
}

/// Each agent may spend 70 sat a session and wants three things of 21 sat, each held with 10 sat for the fee: two are bought,
/// the third is refused; and each answer is the one that its agent asked for.
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
    let ledger = world.ledger();
    let mut tokens = Vec::new();
    for n in 0..AGENTS {
        tokens.push(made(&ledger, &format!("agent-{n}")).await);
    }
    let door = Door::open(&world, &[]).await;
    let mut agents = Vec::new();
    for (n, token) in tokens.iter().enumerate() {
        agents.push(Arc::new(Agent::come(&door, token, ERAS[n % 2]).await));
    }
    let (mut buying, room) = (tokio::task::JoinSet::new(), Arc::new(Semaphore::new(AT_ONCE)));
    // First all agents at once; then each runs for its last room against itself.
    let first = (0..AGENTS).map(|n| (n, 0));
    for (n, what) in first.chain((0..AGENTS).flat_map(|n| [(n, 1), (n, 2)])) {
        let (agent, path, room) = (agents[n].clone(), format!("/{n}/{what}"), room.clone());
        let url = seller.url(&path);
        buying.spawn(async move {
            let _room = room.acquire_owned().await;
            let mut told = agent.fetch(json!({ "url": url })).await;
            // On a slow machine the wallet is busier than an answer waits.
            while told.outcome() == "pending" {
                told = agent.fetch(json!({ "url": url })).await;
            }
            (n, path, told)
        });
    }
    let mut bought = vec![0; AGENTS];
    while let Some(done) = buying.join_next().await {
        let (n, path, told) = done.unwrap();
        if ["bought", "stored"].contains(&told.outcome()) {
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
