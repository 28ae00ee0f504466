//! One agent cannot take what the others need.

use http_body_util::Full;
use hyper::{Request, body::Bytes};
use serde_json::json;

use crate::{
    ERAS,
    door::{Agent, Answer, Door, token},
    support::{Era, Gate, Reply, Seller, World},
};

#[tokio::test]
async fn a_message_that_is_too_large_and_headers_that_are_too_many_are_refused() {
    let world = World::new().await;
    let made = token(&world, "scout", &[]).await;
    let door = Door::open(&world, &["--sse"]).await;
    for path in ["/mcp", "/messages"] {
        let request = Request::post(path)
            .header("host", door.host())
            .header("authorization", format!("Bearer {made}"))
            .header("accept", "application/json, text/event-stream")
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(vec![b' '; 4 * 1024 * 1024 + 1])))
            .unwrap();
        assert_eq!(door.ask(request).await.status, 413, "{path}");
    }
    let many: Vec<(String, String)> = (0..100).map(|n| (format!("x-{n}"), "1".to_owned())).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    assert_eq!(door.get("/healthz", &many).await.status, 431);
    let long = "x".repeat(64 * 1024);
    assert_eq!(door.get("/healthz", &[("x-long", &long)]).await.status, 431);
    assert_eq!(door.get("/healthz", &[]).await.status, 200);
}

#[tokio::test]
async fn a_session_too_many_takes_no_room_that_is_in_use() {
    let world = World::new().await;
    let (made, other) = (token(&world, "scout", &[]).await, token(&world, "other", &[]).await);
    let door = Door::open(&world, &[]).await;
    let mut agents = Vec::new();
    for _ in 0..64 {
        agents.push(Agent::come(&door, &made, Era::Handshake).await);
    }
    let one = Agent::come(&door, &made, Era::Stateless).await;
    let params = json!({ "protocolVersion": "2025-11-25", "capabilities": {},
                         "clientInfo": { "name": "test", "version": "1" } });
    let hello = json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params });
    let legacy = Agent { era: Era::Handshake, ..one };
    let told = legacy.ask(&hello).await;
    assert_eq!(told.status, 429, "all of them were used a moment ago: {}", told.body);
    assert_eq!(told.headers["retry-after"], "1");
    for agent in &agents {
        agent.call("get_balance", json!({})).await;
    }
    // Another agent has room of its own; and who says goodbye makes room.
    Agent::come(&door, &other, Era::Handshake).await;
    let bye = Request::delete("/mcp")
        .header("host", door.host())
        .header("authorization", format!("Bearer {made}"))
        .header("mcp-session-id", agents[0].session.clone().unwrap())
        .body(Full::default())
        .unwrap();
    assert!(door.ask(bye).await.status.is_success());
    Agent::come(&door, &made, Era::Handshake).await;
}

#[tokio::test]
async fn calls_beyond_the_cap_are_told_that_nothing_was_paid_and_others_are_served() {
    for era in ERAS {
        let world = World::new().await;
        let gate = Gate::closed();
        let waits = gate.clone();
        let seller = Seller::start(move |_| Reply::ok("{}").behind(&waits)).await;
        let (made, other) = (token(&world, "scout", &[]).await, token(&world, "other", &[]).await);
        let door = Door::open(&world, &[]).await;
        let agent = std::sync::Arc::new(Agent::come(&door, &made, era).await);
        let mut calls = tokio::task::JoinSet::new();
        for n in 0..33 {
            let (agent, url) = (agent.clone(), seller.url(&format!("/{n}")));
            calls.spawn(async move { agent.fetch(json!({ "url": url })).await });
        }
        let busy = calls.join_next().await.unwrap().unwrap();
        assert_eq!(busy.facts()["code"], "busy", "{}", busy.raw);
        assert!(busy.say().starts_with("Nothing was paid"), "{}", busy.say());
        Agent::come(&door, &other, era).await.call("get_balance", json!({})).await;
        gate.open();
        while let Some(told) = calls.join_next().await {
            assert_eq!(told.unwrap().outcome(), "free");
        }
    }
}

#[tokio::test]
async fn a_request_too_many_is_refused_at_the_door() {
    let world = World::new().await;
    let made = token(&world, "scout", &[]).await;
    let door = Door::open(&world, &["--sse"]).await;
    // Requests that never end: bodies that do not come.
    let mut open = Vec::new();
    for _ in 0..64 {
        use tokio::io::AsyncWriteExt;
        let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", door.port)).await.unwrap();
        let head = format!(
            "POST /mcp HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {made}\r\nContent-Type: application/json\r\n\
             Accept: application/json, text/event-stream\r\nContent-Length: 9\r\n\r\n",
            door.host()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        open.push(stream);
    }
    let bearer = format!("Bearer {made}");
    let refused = async || -> Answer { door.get("/mcp", &[("authorization", &bearer)]).await };
    crate::support::until("the door is full", async || refused().await.status == 429).await;
    drop(open);
    crate::support::until("there is room again", async || refused().await.status != 429).await;
}

#[tokio::test]
async fn what_is_not_a_message_is_refused_and_hurts_nobody() {
    let world = World::new().await;
    let made = token(&world, "scout", &[]).await;
    let door = Door::open(&world, &[]).await;
    let agent = Agent::come(&door, &made, Era::Handshake).await;
    let deep = format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000));
    for bad in [
        "",
        "{",
        "null",
        "[]",
        "\"x\"",
        "{\"jsonrpc\":\"2.0\"}",
        &deep,
        "{\"jsonrpc\":\"1.0\",\"id\":1,\"method\":\"ping\"}",
    ] {
        let mut request = agent.request(&json!({}));
        *request.body_mut() = Full::new(Bytes::from(bad.to_owned()));
        let told = door.ask(request).await;
        assert!(told.status.is_client_error(), "{} {}", &bad[..bad.len().min(40)], told.status);
    }
    agent.call("get_balance", json!({})).await;
}
