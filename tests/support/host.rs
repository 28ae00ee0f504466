//! A host: starts `bursar serve` and speaks MCP with it, in either era, over pipes.

use std::{
    collections::HashMap,
    path::PathBuf,
    process::Stdio,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering},
    },
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader},
    process::{Child, ChildStdin, Command},
    sync::{mpsc, oneshot},
};

/// Which of MCP's two protocols is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Era {
    /// `initialize` first (2025-11-25).
    Handshake,
    /// Every request carries its version (2026-07-28).
    Stateless,
}

/// What standard input and output are: most hosts give pipes, those built on Node give sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    Pipes,
    Sockets,
}

type Waiting = Arc<Mutex<HashMap<i64, oneshot::Sender<Value>>>>;

/// A running server and our end of it.
pub struct Host {
    pub child: Child,
    stdin: Option<Arc<tokio::sync::Mutex<Box<dyn AsyncWrite + Send + Unpin>>>>,
    waiting: Waiting,
    next: AtomicI64,
    era: Era,
    /// What this host says it can do.
    pub capabilities: Value,
    requests: tokio::sync::Mutex<mpsc::UnboundedReceiver<Value>>,
    /// Every line the server wrote to standard output.
    pub lines: Arc<Mutex<Vec<String>>>,
    /// Everything it wrote to standard error.
    pub log: Arc<Mutex<String>>,
}

/// A tool's answer, as a model would get it.
#[derive(Clone, Debug)]
pub struct Told {
    pub raw: Value,
}

impl Told {
    /// The first text block.
    pub fn say(&self) -> &str {
        self.raw["content"][0]["text"].as_str().unwrap_or_default()
    }

    /// All text blocks.
    pub fn text(&self) -> String {
        let blocks = self.raw["content"].as_array().cloned().unwrap_or_default();
        blocks.iter().filter_map(|b| b["text"].as_str()).collect::<Vec<_>>().join("\n")
    }

    /// The structured facts.
    pub fn facts(&self) -> &Value {
        &self.raw["structuredContent"]
    }

    /// The `outcome` fact.
    pub fn outcome(&self) -> &str {
        self.facts()["outcome"].as_str().unwrap_or_default()
    }

    /// The purchase's id.
    pub fn purchase(&self) -> &str {
        self.facts()["purchase"].as_str().unwrap_or_default()
    }

    /// Whether the model is told that it failed.
    pub fn is_error(&self) -> bool {
        self.raw["isError"].as_bool().unwrap_or(false)
    }
}

impl Host {
    /// Starts the server with these variables, and says hello.
    pub async fn start(envs: &[(String, String)], era: Era) -> Host {
        let mut host = Host::spawn(envs, era);
        host.hello().await;
        host
    }

    /// Starts the server without a word.
    pub fn spawn(envs: &[(String, String)], era: Era) -> Host {
        Host::spawn_over(envs, era, Link::Pipes)
    }

    /// The same over the kind of standard input and output that a host gives.
    pub fn spawn_over(envs: &[(String, String)], era: Era, link: Link) -> Host {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bursar"));
        command.arg("serve").env_clear();
        for name in ["PATH", "HOME", "TMPDIR", "LLVM_PROFILE_FILE"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        for (name, value) in envs {
            command.env(name, value);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let sockets = (link == Link::Sockets).then(|| {
            let (stdin, theirs) = std::os::unix::net::UnixStream::pair().expect("a socket pair");
            command.stdin(std::os::fd::OwnedFd::from(theirs));
            let (stdout, theirs) = std::os::unix::net::UnixStream::pair().expect("a socket pair");
            command.stdout(std::os::fd::OwnedFd::from(theirs));
            [stdin, stdout].map(|s| {
                s.set_nonblocking(true).expect("a socket");
                tokio::net::UnixStream::from_std(s).expect("a socket")
            })
        });
        let mut child = command.spawn().expect("the server starts");
        // Lets go of our copies of the server's ends, or its end would never be seen.
        drop(command);
        let (stdin, stdout): (Box<dyn AsyncWrite + Send + Unpin>, Box<dyn AsyncRead + Send + Unpin>) = match sockets {
            Some([stdin, stdout]) => (Box::new(stdin), Box::new(stdout)),
            None => (Box::new(child.stdin.take().expect("stdin")), Box::new(child.stdout.take().expect("stdout"))),
        };
        let stdin = Some(Arc::new(tokio::sync::Mutex::new(stdin)));
        let stderr = child.stderr.take().expect("stderr");
        let (waiting, lines, log) = (Waiting::default(), Arc::new(Mutex::new(Vec::new())), Arc::default());
        let (wait, seen) = (waiting.clone(), lines.clone());
        let (asks, requests) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            let mut out = BufReader::new(stdout).lines();
            while let Ok(Some(line)) = out.next_line().await {
                let Ok(message) = serde_json::from_str::<Value>(&line) else {
                    // Whoever waits is told that nothing more comes, and the line says why.
                    eprintln!("not JSON-RPC: {line}");
                    seen.lock().unwrap().push(line);
                    break;
                };
                if message.get("method").is_some() && message.get("id").is_some() {
                    let _ = asks.send(message.clone());
                }
                if message.get("method").is_none()
                    && let Some(id) = message["id"].as_i64()
                    && let Some(reply) = wait.lock().unwrap().remove(&id)
                {
                    let _ = reply.send(message);
                }
                seen.lock().unwrap().push(line);
            }
            wait.lock().unwrap().clear();
        });
        let written: Arc<Mutex<String>> = log;
        let log = written.clone();
        tokio::spawn(async move {
            let mut stderr = BufReader::new(stderr);
            let mut bytes = [0; 4096];
            while let Ok(n @ 1..) = stderr.read(&mut bytes).await {
                written.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..n]));
            }
        });
        let (capabilities, requests) = (json!({}), tokio::sync::Mutex::new(requests));
        Host { child, stdin, waiting, next: AtomicI64::new(1), era, capabilities, requests, lines, log }
    }

    /// The handshake, where this era has one.
    pub async fn hello(&mut self) {
        if self.era == Era::Handshake {
            let params = json!({ "protocolVersion": "2025-11-25", "capabilities": self.capabilities,
                                 "clientInfo": { "name": "test", "version": "1" } });
            let answer = self.request("initialize", params).await.expect("the server answers initialize");
            assert_eq!(answer["result"]["serverInfo"]["name"], "bursar", "{answer}");
            self.send(json!({ "jsonrpc": "2.0", "method": "notifications/initialized" })).await;
        }
    }

    /// Sends one message.
    pub async fn send(&self, message: Value) {
        self.send_raw(format!("{message}\n").as_bytes()).await;
    }

    /// Sends bytes as they are.
    pub async fn send_raw(&self, bytes: &[u8]) {
        let Some(stdin) = &self.stdin else { return };
        let mut stdin = stdin.lock().await;
        let _ = stdin.write_all(bytes).await;
        let _ = stdin.flush().await;
    }

    /// Starts the server as a host that can put forms to a person.
    pub async fn start_with_forms(envs: &[(String, String)], era: Era) -> Host {
        let mut host = Host::spawn(envs, era);
        host.capabilities = json!({ "elicitation": {} });
        host.hello().await;
        host
    }

    /// The next request that the server makes of the host; `None` when it ended.
    pub async fn asked(&self) -> Option<Value> {
        self.requests.lock().await.recv().await
    }

    /// Answers a request of the server.
    pub async fn answer(&self, request: &Value, result: Value) {
        self.send(json!({ "jsonrpc": "2.0", "id": request["id"], "result": result })).await;
    }

    /// Waits for the answer to an id that the test chose itself.
    pub fn expect_answer(&self, id: i64) -> oneshot::Receiver<Value> {
        let (sender, receiver) = oneshot::channel();
        self.waiting.lock().unwrap().insert(id, sender);
        receiver
    }

    /// Every notification of a method so far, in order.
    pub fn notifications(&self, method: &str) -> Vec<Value> {
        let lines = self.lines.lock().unwrap();
        let messages = lines.iter().filter_map(|l| serde_json::from_str::<Value>(l).ok());
        messages.filter(|m| m["method"] == method).collect()
    }

    /// Sends one line as it is.
    pub async fn send_line(&self, line: &str) {
        let Some(stdin) = &self.stdin else { return };
        let mut stdin = stdin.lock().await;
        let _ = stdin.write_all(format!("{line}\n").as_bytes()).await;
        let _ = stdin.flush().await;
    }

    fn with_meta(&self, mut params: Value) -> Value {
        if self.era == Era::Stateless {
            params["_meta"]["io.modelcontextprotocol/protocolVersion"] = json!("2026-07-28");
            params["_meta"]["io.modelcontextprotocol/clientCapabilities"] = self.capabilities.clone();
            params["_meta"]["io.modelcontextprotocol/clientInfo"] = json!({ "name": "test", "version": "1" });
        }
        params
    }

    /// Begins a request: its id, and where its answer will be. The answer is an error when the server ends first.
    pub async fn begin(&self, method: &str, params: Value) -> (i64, oneshot::Receiver<Value>) {
        let id = self.next.fetch_add(1, Ordering::SeqCst);
        let (sender, receiver) = oneshot::channel();
        self.waiting.lock().unwrap().insert(id, sender);
        let params = self.with_meta(params);
        self.send(json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params })).await;
        (id, receiver)
    }

    /// One request and its answer; `None` when the server ended without one.
    pub async fn request(&self, method: &str, params: Value) -> Option<Value> {
        self.begin(method, params).await.1.await.ok()
    }

    /// Begins a tool call.
    pub async fn begin_call(&self, tool: &str, arguments: Value) -> (i64, oneshot::Receiver<Value>) {
        self.begin("tools/call", json!({ "name": tool, "arguments": arguments })).await
    }

    /// Calls a tool.
    pub async fn call(&self, tool: &str, arguments: Value) -> Told {
        let answer = self.begin_call(tool, arguments).await.1.await.expect("the server answers the call");
        assert!(answer.get("error").is_none(), "{answer}");
        Told { raw: answer["result"].clone() }
    }

    /// Calls `fetch_paid`.
    pub async fn fetch(&self, arguments: Value) -> Told {
        self.call("fetch_paid", arguments).await
    }

    /// Cancels a call.
    pub async fn cancel(&self, id: i64) {
        let params = json!({ "requestId": id, "reason": "the user pressed escape" });
        self.send(json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": params })).await;
    }

    /// Closes standard input and waits for the server's end.
    pub async fn close(mut self) -> std::process::ExitStatus {
        self.stdin = None;
        self.child.wait().await.expect("the server ends")
    }

    /// Closes standard input only.
    pub fn hang_up(&mut self) {
        self.stdin = None;
    }

    /// Ends the server as a crash or a power button would.
    pub async fn kill(mut self) {
        let _ = self.child.kill().await;
    }

    /// Waits until the server ended by itself (a kill point, a signal).
    pub async fn ended(&mut self) -> std::process::ExitStatus {
        self.child.wait().await.expect("the server ends")
    }
}

/// A host that writes and never reads: what the server answers stays in the pipe, or before it.
pub struct Deaf {
    child: Child,
    stdin: tokio::sync::Mutex<ChildStdin>,
    next: AtomicI64,
}

impl Host {
    /// Starts a server whose answers nobody reads.
    pub async fn start_deaf(envs: &[(String, String)]) -> Deaf {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bursar"));
        command.arg("serve").env_clear();
        for (name, value) in envs {
            command.env(name, value);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
        let mut child = command.spawn().expect("the server starts");
        let stdin = tokio::sync::Mutex::new(child.stdin.take().expect("stdin"));
        let deaf = Deaf { child, stdin, next: AtomicI64::new(1) };
        let params = json!({ "protocolVersion": "2025-11-25", "capabilities": {},
                             "clientInfo": { "name": "test", "version": "1" } });
        deaf.write("initialize", params).await;
        let ready = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
        deaf.line(&ready).await;
        deaf
    }
}

impl Deaf {
    async fn line(&self, message: &Value) {
        let mut stdin = self.stdin.lock().await;
        stdin.write_all(format!("{message}\n").as_bytes()).await.expect("the server reads");
        stdin.flush().await.expect("the server reads");
    }

    async fn write(&self, method: &str, params: Value) {
        let id = self.next.fetch_add(1, Ordering::SeqCst);
        self.line(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params })).await;
    }

    /// Asks for more than a pipe holds, so that later answers cannot be written.
    pub async fn fill_the_pipe(&self) {
        for _ in 0..64 {
            self.write("tools/list", json!({})).await;
        }
    }

    /// Begins a call whose answer nobody will read.
    pub async fn begin_call_deaf(&self, tool: &str, arguments: Value) {
        self.write("tools/call", json!({ "name": tool, "arguments": arguments })).await;
    }

    /// Ends the server as a crash would.
    pub async fn kill(mut self) {
        let _ = self.child.kill().await;
    }
}

/// Runs one `bursar` command to its end: exit code, standard output, standard error.
pub async fn run(envs: &[(String, String)], args: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bursar"));
    command.args(args).env_clear().stdin(Stdio::null()).kill_on_drop(true);
    for name in ["PATH", "HOME", "TMPDIR", "LLVM_PROFILE_FILE"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    for (name, value) in envs {
        command.env(name, value);
    }
    let output = command.output().await.expect("bursar runs");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(output.stdout), text(output.stderr))
}

/// The binary under test.
pub fn binary() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_bursar"))
}
