//! A server over HTTP, and agents that come to it as a host would, in either era.

use std::{
    process::Stdio,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering},
    },
};

use http_body_util::{BodyExt, Full};
use hyper::{
    Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::HeaderMap,
};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::TcpStream,
    process::{Child, Command},
};

use crate::support::{Era, Told, World};

/// A running `bursar serve --http`.
pub struct Door {
    pub child: Child,
    pub port: u16,
    pub log: Arc<Mutex<String>>,
}

impl Door {
    /// Starts the server of a world at a free port.
    pub async fn open(world: &World, args: &[&str]) -> Door {
        Door::open_at(world, "127.0.0.1:0", args).await
    }

    /// The same at an address of its own.
    pub async fn open_at(world: &World, address: &str, args: &[&str]) -> Door {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bursar"));
        command.args(["serve", "--http", address]).args(args).env_clear();
        for name in ["PATH", "HOME", "TMPDIR", "LLVM_PROFILE_FILE"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command.envs(world.envs());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().expect("the server starts");
        let mut lines = BufReader::new(child.stderr.take().expect("stderr")).lines();
        let log = Arc::new(Mutex::new(String::new()));
        let mut port = None;
        while port.is_none() {
            let line = lines.next_line().await.expect("a line").expect("the server says where it is");
            port = line
                .split(".0.0.1:")
                .nth(1)
                .or(line.split("0.0.0.0:").nth(1))
                .and_then(|rest| rest.split('/').next()?.parse().ok());
            log.lock().unwrap().push_str(&format!("{line}\n"));
        }
        let written = log.clone();
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                written.lock().unwrap().push_str(&format!("{line}\n"));
            }
        });
        Door { child, port: port.unwrap(), log }
    }

    /// The name it goes by.
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// One request on a connection of its own. The body that comes back is read by the caller.
    pub async fn send(&self, request: Request<Full<Bytes>>) -> Response<Incoming> {
        send(self.port, request).await
    }

    /// One request and its whole answer.
    pub async fn ask(&self, request: Request<Full<Bytes>>) -> Answer {
        let response = self.send(request).await;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = response.into_body().collect().await.expect("a whole body").to_bytes();
        Answer { status, headers, body: String::from_utf8_lossy(&body).into_owned() }
    }

    /// A plain GET with these headers beside Host.
    pub async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        let mut request = Request::get(path);
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            request = request.header("host", self.host());
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.ask(request.body(Full::default()).expect("a request")).await
    }

    /// Asks it to stop, as a service manager does.
    pub fn term(&self) {
        let pid = self.child.id().expect("it runs").to_string();
        let kill = std::process::Command::new("kill").args(["-TERM", &pid]).status().expect("kill runs");
        assert!(kill.success());
    }

    /// Waits for its end.
    pub async fn ended(&mut self) -> std::process::ExitStatus {
        self.child.wait().await.expect("the server ends")
    }
}

async fn send(port: u16, request: Request<Full<Bytes>>) -> Response<Incoming> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await.expect("the server listens");
    stream.set_nodelay(true).expect("a socket");
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("a connection");
    tokio::spawn(connection);
    sender.send_request(request).await.expect("the server answers")
}

/// A whole answer.
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: String,
}

impl Answer {
    /// The JSON-RPC messages in it, whether they came as events or plain.
    pub fn messages(&self) -> Vec<Value> {
        messages(&self.body)
    }

    /// The response among them.
    pub fn response(&self) -> Value {
        let found = self.messages().into_iter().find(|m| m.get("result").is_some() || m.get("error").is_some());
        found.unwrap_or_else(|| panic!("no response in {} {}", self.status, self.body))
    }
}

pub fn messages(text: &str) -> Vec<Value> {
    let lines = text.lines().map(|line| line.strip_prefix("data:").unwrap_or(line));
    lines.filter_map(|line| serde_json::from_str(line.trim()).ok()).collect()
}

/// Makes a token.
pub async fn token(world: &World, name: &str, more: &[&str]) -> String {
    let args: Vec<&str> = ["token", "create", name, "--json"].into_iter().chain(more.iter().copied()).collect();
    let (code, out, err) = world.run(&args).await;
    assert_eq!(code, 0, "{err}");
    let made: Value = serde_json::from_str(&out).expect("JSON");
    made["token"].as_str().expect("a token").to_owned()
}

/// One agent: a token, and a session where its era has one.
pub struct Agent {
    pub port: u16,
    pub token: String,
    pub era: Era,
    pub session: Option<String>,
    pub capabilities: Value,
    pub next: AtomicI64,
}

impl Agent {
    /// Comes and says hello.
    pub async fn come(door: &Door, token: &str, era: Era) -> Agent {
        Agent::come_with(door, token, era, json!({})).await
    }

    /// The same as a host that can do something.
    pub async fn come_with(door: &Door, token: &str, era: Era, capabilities: Value) -> Agent {
        let next = AtomicI64::new(1);
        let mut agent = Agent { port: door.port, token: token.into(), era, session: None, capabilities, next };
        if era == Era::Handshake {
            let params = json!({ "protocolVersion": "2025-11-25", "capabilities": agent.capabilities,
                                 "clientInfo": { "name": "test", "version": "1" } });
            let answer = agent.ask(&agent.message("initialize", params).1).await;
            assert_eq!(answer.response()["result"]["serverInfo"]["name"], "bursar", "{}", answer.body);
            let session = answer.headers.get("mcp-session-id").expect("a session").to_str().expect("text");
            agent.session = Some(session.to_owned());
            let ready = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
            assert_eq!(agent.ask(&ready).await.status, 202);
        }
        agent
    }

    /// A message with an id, as this era writes it.
    pub fn message(&self, method: &str, mut params: Value) -> (i64, Value) {
        let id = self.next.fetch_add(1, Ordering::SeqCst);
        if self.era == Era::Stateless {
            params["_meta"]["io.modelcontextprotocol/protocolVersion"] = json!("2026-07-28");
            params["_meta"]["io.modelcontextprotocol/clientCapabilities"] = self.capabilities.clone();
            params["_meta"]["io.modelcontextprotocol/clientInfo"] = json!({ "name": "test", "version": "1" });
        }
        (id, json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }))
    }

    /// The request that carries a message.
    pub fn request(&self, message: &Value) -> Request<Full<Bytes>> {
        let mut request = Request::post("/mcp")
            .header("host", format!("127.0.0.1:{}", self.port))
            .header("authorization", format!("Bearer {}", self.token))
            .header("accept", "application/json, text/event-stream")
            .header("content-type", "application/json");
        if let Some(session) = &self.session {
            request = request.header("mcp-session-id", session).header("mcp-protocol-version", "2025-11-25");
        }
        if self.era == Era::Stateless {
            let method = message["method"].as_str().unwrap_or_default();
            request = request.header("mcp-protocol-version", "2026-07-28").header("mcp-method", method);
            let name = message["params"]["name"].as_str().or(message["params"]["uri"].as_str());
            if let Some(name) = name {
                request = request.header("mcp-name", name);
            }
        }
        request.body(Full::new(Bytes::from(message.to_string()))).expect("a request")
    }

    /// Sends a message and leaves the stream of what comes back to the caller.
    pub async fn begin(&self, message: &Value) -> Incoming {
        let response = send(self.port, self.request(message)).await;
        assert_eq!(response.status(), 200);
        response.into_body()
    }

    /// Sends a message and reads all that comes back.
    pub async fn ask(&self, message: &Value) -> Answer {
        let response = send(self.port, self.request(message)).await;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = response.into_body().collect().await.expect("a whole body").to_bytes();
        Answer { status, headers, body: String::from_utf8_lossy(&body).into_owned() }
    }

    /// Sends a message, and drops the connection once this holds, while the answer is not there yet.
    pub async fn ask_and_leave<W: AsyncFnMut() -> bool>(&self, message: &Value, what: &str, when: W) {
        let request = self.request(message);
        let stream = TcpStream::connect(("127.0.0.1", self.port)).await.expect("the server listens");
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("a connection");
        let connection = tokio::spawn(connection);
        let asked = tokio::spawn(async move { sender.send_request(request).await.map(|r| r.status()) });
        crate::support::until(what, when).await;
        asked.abort();
        connection.abort();
        let _ = (asked.await, connection.await);
    }

    /// Calls a tool.
    pub async fn call(&self, tool: &str, arguments: Value) -> Told {
        let (_, message) = self.message("tools/call", json!({ "name": tool, "arguments": arguments }));
        let response = self.ask(&message).await.response();
        assert!(response.get("error").is_none(), "{response}");
        Told { raw: response["result"].clone() }
    }

    /// Calls `fetch_paid`.
    pub async fn fetch(&self, arguments: Value) -> Told {
        self.call("fetch_paid", arguments).await
    }

    /// One request that is no call of a tool.
    pub async fn rpc(&self, method: &str, params: Value) -> Value {
        self.ask(&self.message(method, params).1).await.response()
    }
}

/// Reads a stream until a message comes for which this holds.
pub async fn until_message(stream: &mut Incoming, holds: impl Fn(&Value) -> bool) -> Value {
    let mut text = String::new();
    loop {
        let frame = stream.frame().await.expect("more comes").expect("the stream lives");
        if let Some(data) = frame.data_ref() {
            text.push_str(&String::from_utf8_lossy(data));
        }
        if let Some(found) = messages(&text).into_iter().find(&holds) {
            return found;
        }
    }
}
