//! The older transport, HTTP+SSE.

use http_body_util::Full;
use hyper::{Request, body::Bytes, body::Incoming};
use serde_json::{Value, json};

use crate::{
    door::{Door, token, until_message},
    support::{Seller, World, until_answered},
};

struct Older<'a> {
    door: &'a Door,
    token: String,
    letterbox: String,
    stream: Incoming,
}

impl Older<'_> {
    async fn come<'a>(door: &'a Door, token: &str) -> Older<'a> {
        let request = Request::get("/sse")
            .header("host", door.host())
            .header("authorization", format!("Bearer {token}"))
            .header("accept", "text/event-stream")
            .body(Full::default())
            .unwrap();
        let response = door.send(request).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let mut stream = response.into_body();
        let first = http_body_util::BodyExt::frame(&mut stream).await.unwrap().unwrap().into_data().unwrap();
        let first = String::from_utf8(first.to_vec()).unwrap();
        let letterbox = first.strip_prefix("event: endpoint\ndata: ").expect("where to write to").trim().to_owned();
        let mut older = Older { door, token: token.to_owned(), letterbox, stream };
        let params = json!({ "protocolVersion": "2024-11-05", "capabilities": {},
                             "clientInfo": { "name": "test", "version": "1" } });
        let hello = older.ask("initialize", params).await;
        assert_eq!(hello["result"]["protocolVersion"], "2024-11-05", "{hello}");
        older.post(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" })).await;
        older
    }

    async fn post(&self, message: &Value) -> u16 {
        self.post_as(&self.token, message).await
    }

    async fn post_as(&self, token: &str, message: &Value) -> u16 {
        let request = Request::post(&self.letterbox)
            .header("host", self.door.host())
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(message.to_string())))
            .unwrap();
        self.door.ask(request).await.status.as_u16()
    }

    async fn ask(&mut self, method: &str, params: Value) -> Value {
        let message = json!({ "jsonrpc": "2.0", "id": method, "method": method, "params": params });
        assert_eq!(self.post(&message).await, 202);
        until_message(&mut self.stream, |m| m["id"] == method).await
    }
}

#[tokio::test]
async fn the_older_transport_lists_and_buys_and_knows_what_was_read() {
    let world = World::new().await;
    let seller = Seller::honest(world.node(), 21_000, r#"{"data":"a"}"#).await;
    let made = token(&world, "scout", &[]).await;
    let door = Door::open(&world, &["--sse"]).await;
    let mut older = Older::come(&door, &made).await;
    assert_eq!(older.ask("tools/list", json!({})).await["result"]["tools"].as_array().unwrap().len(), 4);
    let call = json!({ "name": "fetch_paid", "arguments": { "url": seller.url("/a") } });
    let told = older.ask("tools/call", call).await["result"].clone();
    assert_eq!(told["structuredContent"]["outcome"], "bought", "{told}");
    until_answered(&world, told["structuredContent"]["purchase"].as_str().unwrap()).await;
    world.verify_money().await;
}

#[tokio::test]
async fn a_letterbox_is_nobody_elses_and_closes_with_its_stream() {
    let world = World::new().await;
    let (made, other) = (token(&world, "scout", &[]).await, token(&world, "other", &[]).await);
    let door = Door::open(&world, &["--sse"]).await;
    let older = Older::come(&door, &made).await;
    let ping = json!({ "jsonrpc": "2.0", "id": 9, "method": "ping" });
    assert_eq!(older.post_as(&other, &ping).await, 404);
    assert_eq!(older.post(&json!({ "not": "a message" })).await, 400);
    assert_eq!(older.post(&ping).await, 202);
    let Older { letterbox, stream, token, .. } = older;
    drop(stream);
    crate::support::until("the letterbox is closed", async || {
        let request = Request::post(&letterbox)
            .header("host", door.host())
            .header("authorization", format!("Bearer {token}"))
            .body(Full::new(Bytes::from(ping.to_string())))
            .unwrap();
        door.ask(request).await.status == 404
    })
    .await;
}

#[tokio::test]
async fn it_is_off_unless_asked_for_and_ends_with_the_server() {
    let world = World::new().await;
    let made = token(&world, "scout", &[]).await;
    let bearer = format!("Bearer {made}");
    let door = Door::open(&world, &[]).await;
    for path in ["/sse", "/messages"] {
        assert_eq!(door.get(path, &[("authorization", &bearer)]).await.status, 404, "{path}");
    }
    let mut door = Door::open(&world, &["--sse"]).await;
    let port = door.port;
    let older = Older::come(&door, &made).await;
    let Older { stream, .. } = older;
    let begun = std::time::Instant::now();
    door.term();
    assert!(door.ended().await.success());
    assert!(begun.elapsed() < std::time::Duration::from_secs(3), "{port} {:?}", begun.elapsed());
    drop(stream);
}
