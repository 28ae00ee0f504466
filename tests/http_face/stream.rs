//! An agent of the older transport, HTTP+SSE: one stream down, a letterbox up.

use http_body_util::Full;
use hyper::{Request, body::Bytes, body::Incoming};
use serde_json::{Value, json};

use crate::{
    door::{Door, until_message},
    support::{Seller, Told},
};

/// One agent on one stream.
pub struct Older<'a> {
    pub door: &'a Door,
    pub token: String,
    pub letterbox: String,
    pub stream: Incoming,
}

impl Older<'_> {
    /// Opens the stream and says hello.
    pub async fn come<'a>(door: &'a Door, token: &str) -> Older<'a> {
        Older::come_with(door, token, json!({})).await
    }

    /// The same as a host that can do something.
    pub async fn come_with<'a>(door: &'a Door, token: &str, capabilities: Value) -> Older<'a> {
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
        let params = json!({ "protocolVersion": "2024-11-05", "capabilities": capabilities,
                             "clientInfo": { "name": "test", "version": "1" } });
        let hello = older.ask("initialize", params).await;
        assert_eq!(hello["result"]["protocolVersion"], "2024-11-05", "{hello}");
        older.post(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" })).await;
        older
    }

    /// Puts a message into the letterbox.
    pub async fn post(&self, message: &Value) -> u16 {
        self.post_as(&self.token, message).await
    }

    /// The same with a token of somebody's.
    pub async fn post_as(&self, token: &str, message: &Value) -> u16 {
        let request = Request::post(&self.letterbox)
            .header("host", self.door.host())
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(message.to_string())))
            .unwrap();
        self.door.ask(request).await.status.as_u16()
    }

    /// Asks for something dear to be bought, under this id, and waits for nothing.
    pub async fn wish(&self, id: i64, seller: &Seller) {
        let call =
            json!({ "name": "fetch_paid", "arguments": { "url": seller.url("/a") }, "_meta": { "progressToken": id } });
        let message = json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": call });
        assert_eq!(self.post(&message).await, 202);
    }

    /// Waits for the answer to a call.
    pub async fn answer_to(&mut self, id: i64) -> Told {
        let answer = until_message(&mut self.stream, |m| m["id"] == id && m.get("method").is_none()).await;
        Told { raw: answer["result"].clone() }
    }

    /// Asks, and waits for the answer.
    pub async fn ask(&mut self, method: &str, params: Value) -> Value {
        let message = json!({ "jsonrpc": "2.0", "id": method, "method": method, "params": params });
        assert_eq!(self.post(&message).await, 202);
        until_message(&mut self.stream, |m| m["id"] == method).await
    }
}
