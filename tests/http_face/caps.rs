//! One agent cannot take what the others need.

use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Full};
use hyper::{Request, body::Bytes};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    ERAS,
    door::{Agent, Answer, Door, token},
    stream::Older,
    support::{Era, Gate, Reply, Seller, World, until},
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
        let mut stream = TcpStream::connect(("127.0.0.1", door.port)).await.unwrap();
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

/// Whoever has no token may open connections, and can keep nobody out by it.
#[tokio::test]
async fn connections_without_a_token_go_after_a_moment_and_when_their_place_is_needed() {
    let world = World::new().await;
    let made = token(&world, "scout", &[]).await;
    let door = Door::open(&world, &[]).await;
    let begun = Instant::now();
    let mut strangers = Vec::new();
    // More than there are places for strangers: the oldest goes at once, and there was no need to wait for anything.
    for _ in 0..320 {
        strangers.push(TcpStream::connect(("127.0.0.1", door.port)).await.unwrap());
    }
    let gone = |mut stream: TcpStream| async move {
        let begun = Instant::now();
        let mut byte = [0];
        let read = tokio::time::timeout(Duration::from_secs(20), stream.read(&mut byte)).await.expect("it goes");
        assert!(matches!(read, Ok(0) | Err(_)));
        begun.elapsed()
    };
    let last = strangers.pop().unwrap();
    let first = strangers.remove(0);
    assert!(gone(first).await < Duration::from_secs(4), "its place was needed");
    // A token is let in beside all of them, and stays when their time is over.
    let agent = Agent::come(&door, &made, Era::Handshake).await;
    let stream = TcpStream::connect(("127.0.0.1", door.port)).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let ping = async |sender: &mut hyper::client::conn::http1::SendRequest<Full<Bytes>>| {
        sender.ready().await.expect("the connection is open");
        let (_, message) = agent.message("ping", json!({}));
        let response = sender.send_request(agent.request(&message)).await.expect("an answer");
        assert_eq!(response.status(), 200);
        response.into_body().collect().await.expect("a whole answer");
    };
    ping(&mut sender).await;
    gone(last).await;
    assert!((4..15).contains(&begun.elapsed().as_secs()), "a stranger has five seconds: {:?}", begun.elapsed());
    for stranger in strangers {
        gone(stranger).await;
    }
    ping(&mut sender).await;
}

#[tokio::test]
async fn one_agent_has_so_many_connections_and_another_has_its_own() {
    let world = World::new().await;
    let (made, other) = (token(&world, "scout", &[]).await, token(&world, "other", &[]).await);
    let door = Door::open(&world, &[]).await;
    let ask = async |token: &str| {
        let mut stream = TcpStream::connect(("127.0.0.1", door.port)).await.unwrap();
        let head = format!("GET /nothing HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {token}\r\n\r\n", door.host());
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        (stream, String::from_utf8_lossy(&answer[9..]).into_owned())
    };
    let mut open = Vec::new();
    for n in 0..80 {
        let (stream, status) = ask(&made).await;
        assert_eq!(status, "404", "{n}");
        open.push(stream);
    }
    assert_eq!(ask(&made).await.1, "429", "one too many");
    assert_eq!(ask(&other).await.1, "404", "another agent's are its own");
    // One of them is a proxy's, which brings another agent too: it counts for neither from here on.
    let head = format!("GET /nothing HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {other}\r\n\r\n", door.host());
    open[0].write_all(head.as_bytes()).await.unwrap();
    until("a proxy's connection is nobody's", async || ask(&made).await.1 == "404").await;
    drop(open);
    until("there is room again", async || ask(&made).await.1 == "404").await;
}

#[tokio::test]
async fn streams_of_the_older_transport_are_counted() {
    let world = World::new().await;
    let (made, other) = (token(&world, "scout", &[]).await, token(&world, "other", &[]).await);
    let door = Door::open(&world, &["--sse"]).await;
    let open = async |token: &str| {
        let request = Request::get("/sse")
            .header("host", door.host())
            .header("authorization", format!("Bearer {token}"))
            .body(Full::default())
            .unwrap();
        door.send(request).await
    };
    let mut streams = Vec::new();
    for _ in 0..16 {
        let stream = open(&made).await;
        assert_eq!(stream.status(), 200);
        streams.push(stream);
    }
    assert_eq!(open(&made).await.status(), 429);
    assert_eq!(open(&other).await.status(), 200);
    drop(streams);
    until("there is room again", async || open(&made).await.status() == 200).await;
}

/// An answer goes out in several writes; were they held back until the client acknowledges, each would cost 40 ms.
#[tokio::test]
async fn an_answer_is_not_held_back_until_the_one_before_was_acknowledged() {
    let world = World::new().await;
    let made = token(&world, "scout", &[]).await;
    let door = Door::open(&world, &[]).await;
    let agent = Agent::come(&door, &made, Era::Handshake).await;
    let stream = TcpStream::connect(("127.0.0.1", door.port)).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let mut took = Vec::new();
    for _ in 0..60 {
        let (_, message) = agent.message("ping", json!({}));
        sender.ready().await.expect("the connection is open");
        let begun = Instant::now();
        let response = sender.send_request(agent.request(&message)).await.expect("an answer");
        response.into_body().collect().await.expect("a whole answer");
        took.push(begun.elapsed());
    }
    took.sort();
    // Others use this machine too: a third of them is enough to tell.
    assert!(took[20] < Duration::from_millis(35), "{took:?}");
}

/// Resident memory of a server, in KiB.
fn resident(door: &Door) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", door.child.id().expect("it runs"))).unwrap();
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// A seller of one picture of a megabyte, free of charge.
async fn gallery() -> Seller {
    let chunk = |name: &[u8], data: &[u8]| [&(data.len() as u32).to_be_bytes()[..], name, data, &[0; 4]].concat();
    let size = [0, 0, 0, 100, 0, 0, 0, 100, 8, 0, 0, 0, 0];
    let chunks = [chunk(b"IHDR", &size), chunk(b"IDAT", &[7; 1_000_000]), chunk(b"IEND", b"")].concat();
    let picture = [b"\x89PNG\r\n\x1a\n".as_slice(), &chunks].concat();
    Seller::start(move |_| Reply::status(200, picture.clone()).header("content-type", "image/png")).await
}

/// A session could be asked for an answer again whose stream broke: what it remembers for that must not be the answers.
#[tokio::test]
async fn an_agent_that_reads_a_large_answer_again_and_again_does_not_fill_the_memory() {
    const READS: usize = 60;
    let world = World::new().await;
    let seller = gallery().await;
    let made = token(&world, "scout", &[]).await;
    let door = Door::open(&world, &[]).await;
    let agent = Agent::come(&door, &made, Era::Handshake).await;
    let kept = agent.fetch(json!({ "url": seller.url("/picture") })).await;
    let id = kept.facts()["result"]["result_id"].as_str().unwrap_or_else(|| panic!("{}", kept.facts())).to_owned();
    let before = resident(&door);
    let (mut most, mut bytes) = (0, 0);
    for _ in 0..READS {
        let told = agent.fetch(json!({ "result_id": id })).await;
        assert_eq!(told.outcome(), "stored", "{}", told.text());
        bytes += told.raw.to_string().len() / 1024;
        most = most.max(resident(&door));
    }
    let grown = most.saturating_sub(before);
    assert!(bytes > 70_000, "they were large: {bytes} KiB");
    assert!(grown < 24_000, "{READS} answers of {bytes} KiB together left {grown} KiB behind");
}

/// Answers that nobody reads are memory: on the older transport they would wait for as long as its stream is open.
#[tokio::test]
async fn a_stream_of_the_older_transport_that_nobody_reads_is_asked_for_nothing_more() {
    let world = World::new().await;
    let seller = gallery().await;
    let made = token(&world, "scout", &[]).await;
    let door = Door::open(&world, &["--sse"]).await;
    let mut older = Older::come(&door, &made).await;
    let call = json!({ "name": "fetch_paid", "arguments": { "url": seller.url("/picture") } });
    let kept = older.ask("tools/call", call).await["result"]["structuredContent"].clone();
    let again = json!({ "name": "fetch_paid", "arguments": { "result_id": kept["result"]["result_id"] } });
    // What the kernel and hyper take on the way is a few; then nothing more is asked for.
    let mut last = 202;
    for n in 0..200 {
        last = older.post(&json!({ "jsonrpc": "2.0", "id": n, "method": "tools/call", "params": again })).await;
        if last != 202 {
            break;
        }
    }
    assert_eq!(last, 429, "it was never said that nobody reads");
    assert_eq!(door.get("/healthz", &[]).await.status, 200);
}
