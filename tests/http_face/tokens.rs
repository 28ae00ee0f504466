//! Tokens: made once, shown once, kept as a hash, taken back at once.

use serde_json::{Value, json};

use crate::{
    ERAS,
    door::{Agent, Door, token},
    support::{Era, World, until},
};

#[tokio::test]
async fn a_token_is_shown_once_and_stands_nowhere() {
    let world = World::new().await;
    let made = token(&world, "scout", &["--session-limit", "500 sat", "--total-limit", "9000 sat"]).await;
    let secret = made.rsplit_once('_').unwrap().1;
    assert!(made.starts_with("bursar_scout_") && secret.len() == 32, "160 bits in base32");
    let (_, list, _) = world.run(&["token", "list", "--json"]).await;
    let list: Value = serde_json::from_str(&list).unwrap();
    assert_eq!(list[0]["name"], "scout");
    assert_eq!(list[0]["limits"][0], json!({ "scope": "session", "limit": "500 sat" }));
    for entry in std::fs::read_dir(world.home()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            let bytes = std::fs::read(&path).unwrap();
            assert!(!bytes.windows(32).any(|w| w == secret.as_bytes()), "{}", path.display());
        }
    }
    assert!(!list.to_string().contains(secret));
}

#[tokio::test]
async fn a_name_is_plain_is_not_local_and_is_never_given_twice() {
    let world = World::new().await;
    for bad in ["", "local", "Scout", "a b", "a\nb", "a.b", &"x".repeat(33)] {
        let (code, out, err) = world.run(&["token", "create", bad, "--json"]).await;
        assert_eq!((code, out.as_str()), (1, ""), "{bad:?}: {err}");
    }
    token(&world, "scout", &[]).await;
    let create = ["token", "create", "scout", "--json"];
    assert_eq!(world.run(&create).await.0, 1);
    assert_eq!(world.run(&["token", "revoke", "scout"]).await.0, 0);
    let (code, _, err) = world.run(&create).await;
    assert!(code == 1 && err.contains("--renew"), "the books of a revoked one are not for another: {err}");
    assert_eq!(world.run(&["token", "revoke", "scout"]).await.0, 1);
    token(&world, "scout", &["--renew"]).await;
    let (code, ..) = world.run(&["token", "create", "other", "--renew", "--json"]).await;
    assert_eq!(code, 1);
    let (code, ..) = world.run(&["token", "create", "scout", "--renew", "--watch", "--json"]).await;
    assert_eq!(code, 1, "an agent does not become a watcher");
    world.verify().await;
}

#[tokio::test]
async fn a_revoked_token_opens_nothing_from_the_next_request_on_and_its_streams_end() {
    let world = World::new().await;
    let made = token(&world, "scout", &[]).await;
    let door = Door::open(&world, &["--sse"]).await;
    for era in ERAS {
        Agent::come(&door, &made, era).await.call("get_balance", json!({})).await;
    }
    let agent = Agent::come(&door, &made, Era::Handshake).await;
    let bearer = format!("Bearer {made}");
    let session = agent.session.clone().unwrap();
    let listen = hyper::Request::get("/mcp")
        .header("host", door.host())
        .header("authorization", &bearer)
        .header("accept", "text/event-stream")
        .header("mcp-session-id", &session)
        .body(http_body_util::Full::default())
        .unwrap();
    let listening = door.send(listen).await;
    assert_eq!(listening.status(), 200);
    assert_eq!(world.run(&["token", "revoke", "scout"]).await.0, 0);
    let told = agent.ask(&agent.message("tools/list", json!({})).1).await;
    assert_eq!(told.status, 401);
    // The stream ends, instead of going on for ever.
    let _ = http_body_util::BodyExt::collect(listening.into_body()).await;
    let renewed = token(&world, "scout", &["--renew"]).await;
    assert_eq!(agent.ask(&agent.message("tools/list", json!({})).1).await.status, 401, "the old one stays dead");
    let again = Agent { token: renewed.clone(), ..agent };
    let told = again.ask(&again.message("tools/list", json!({})).1).await;
    assert_eq!(told.status, 404, "a session of the old token is not the new one's");
    Agent::come(&door, &renewed, Era::Stateless).await.call("get_balance", json!({})).await;
}

#[tokio::test]
async fn only_a_watching_token_reads_the_numbers_and_it_reads_nothing_else() {
    let world = World::new().await;
    let (scout, watch) = (token(&world, "scout", &[]).await, token(&world, "grafana", &["--watch"]).await);
    let door = Door::open(&world, &["--sse"]).await;
    let seller = crate::support::Seller::honest(world.node(), 21_000, "{}").await;
    let agent = Agent::come(&door, &scout, Era::Handshake).await;
    assert_eq!(agent.fetch(json!({ "url": seller.url("/a"), "purpose": "a secret plan" })).await.outcome(), "bought");
    assert_eq!(door.get("/metrics", &[("authorization", &format!("Bearer {scout}"))]).await.status, 403);
    let bearer = format!("Bearer {watch}");
    for path in ["/mcp", "/sse", "/messages", "/x"] {
        assert_eq!(door.get(path, &[("authorization", &bearer)]).await.status, 403, "{path}");
    }
    let page = door.get("/metrics", &[("authorization", &bearer)]).await;
    assert_eq!(page.status, 200);
    for line in [
        "bursar_calls_total{tool=\"fetch_paid\",error=\"false\"} 1",
        "bursar_spent_total{currency=\"sat\"} 21",
        "bursar_held{currency=\"sat\"} 0",
        "bursar_purchases{state=\"delivered\"} 1",
        "bursar_sessions 1",
        "bursar_calls_now 0",
    ] {
        assert!(page.body.lines().any(|l| l == line), "{line} is not in\n{}", page.body);
    }
    for told in ["scout", "127.0.0.1", "/a", "plan", "bursar_scout", "p_"] {
        let lines: Vec<_> = page.body.lines().filter(|l| !l.starts_with('#') && l.contains(told)).collect();
        assert!(lines.is_empty(), "{told}: {lines:?}");
    }
}

#[tokio::test]
async fn a_session_of_an_agent_ends_with_its_token() {
    let world = World::new().await;
    let made = token(&world, "scout", &[]).await;
    let door = Door::open(&world, &[]).await;
    let seller = crate::support::Seller::honest(world.node(), 21_000, "{}").await;
    let agent = Agent::come(&door, &made, Era::Stateless).await;
    agent.fetch(json!({ "url": seller.url("/a") })).await;
    assert!(world.ledger().session("scout", "").await.unwrap().is_some());
    world.run(&["token", "revoke", "scout"]).await;
    until("the session is over", async || world.ledger().session("scout", "").await.unwrap().is_none()).await;
    world.verify_money().await;
}
