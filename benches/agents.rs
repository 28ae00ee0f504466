//! Two hundred agents on one server: `cargo bench --bench agents`. Each buys at the same time, then calls for free; beside
//! it, in the same run, stands a bare rmcp server that has no guards, no tokens and no purse.
//!
//! `BURSAR_BIN` names another binary. `--bare` makes this program that bare server.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use bursar::{
    clock::Clock,
    config::LimitTable,
    ledger::{Filter, Ledger, TokenKind},
    sandbox::{Sandbox, SandboxOptions},
};
use http_body_util::{BodyExt, Full};
use hyper::{Request, body::Bytes, client::conn::http1::SendRequest};
use hyper_util::rt::TokioIo;
use rmcp::{
    ErrorData, RoleServer, ServerHandler,
    model::{ListToolsResult, PaginatedRequestParams, ServerCapabilities, ServerConfig, Tool},
    service::RequestContext,
    transport::streamable_http_server::{
        StreamableHttpServerConfig, StreamableHttpService, session::local::LocalSessionManager,
    },
};
use serde_json::{Value, json};

const AGENTS: usize = 200;
const CALLS: usize = 20;

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    if std::env::args().any(|a| a == "--bare") {
        runtime.block_on(bare());
    } else {
        runtime.block_on(run());
    }
}

#[derive(Clone)]
struct Bare;

impl ServerHandler for Bare {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(bursar::server::schema::tools()))
    }

    fn get_tool(&self, _: &str) -> Option<Tool> {
        None
    }
}

/// The floor: rmcp's own service, as its documentation shows it, and TCP_NODELAY.
async fn bare() {
    use axum::serve::ListenerExt as _;
    let config = StreamableHttpServerConfig::default();
    let service = StreamableHttpService::new(|| Ok(Bare), LocalSessionManager::default().into(), config);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    eprintln!("at 127.0.0.1:{}/mcp", listener.local_addr().expect("an address").port());
    let listener = listener.tap_io(|io| {
        let _ = io.set_nodelay(true);
    });
    axum::serve(listener, axum::Router::new().nest_service("/mcp", service)).await.expect("it serves");
}

/// A running server.
struct Server {
    child: Child,
    port: u16,
}

impl Server {
    fn start(command: &mut Command) -> Server {
        let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it starts");
        let mut line = String::new();
        BufReader::new(child.stderr.take().expect("stderr")).read_line(&mut line).expect("a line");
        let port = line.split("127.0.0.1:").nth(1).and_then(|rest| rest.split('/').next()?.parse().ok());
        Server { child, port: port.unwrap_or_else(|| panic!("no port in {line:?}")) }
    }

    fn rss_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).unwrap_or_default();
        line.trim().trim_end_matches(" kB").parse().unwrap_or(0)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One agent on one connection that stays open.
struct Agent {
    port: u16,
    token: String,
    sender: SendRequest<Full<Bytes>>,
    n: u64,
}

impl Agent {
    async fn come(port: u16, token: &str) -> Agent {
        let stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.expect("it listens");
        stream.set_nodelay(true).expect("a socket");
        let (sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("a connection");
        tokio::spawn(connection);
        Agent { port, token: token.into(), sender, n: 0 }
    }

    async fn ask(&mut self, method: &str, mut params: Value) -> Value {
        self.n += 1;
        params["_meta"] = json!({ "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                                  "io.modelcontextprotocol/clientCapabilities": {} });
        let message = json!({ "jsonrpc": "2.0", "id": self.n, "method": method, "params": params });
        let mut request = Request::post("/mcp")
            .header("host", format!("127.0.0.1:{}", self.port))
            .header("authorization", format!("Bearer {}", self.token))
            .header("accept", "application/json, text/event-stream")
            .header("content-type", "application/json")
            .header("mcp-protocol-version", "2026-07-28")
            .header("mcp-method", method);
        if let Some(name) = params["name"].as_str() {
            request = request.header("mcp-name", name);
        }
        let request = request.body(Full::new(Bytes::from(message.to_string()))).expect("a request");
        self.sender.ready().await.expect("the connection stays");
        let response = self.sender.send_request(request).await.expect("an answer");
        let status = response.status();
        let body = response.into_body().collect().await.expect("a whole body").to_bytes();
        let text = String::from_utf8_lossy(&body);
        let lines = text.lines().map(|l| l.strip_prefix("data:").unwrap_or(l).trim());
        let found = lines.filter_map(|l| serde_json::from_str::<Value>(l).ok()).find(|m| m["id"] == self.n);
        found.unwrap_or_else(|| panic!("{status}: {text}"))
    }

    async fn call(&mut self, tool: &str, arguments: Value) -> Value {
        self.ask("tools/call", json!({ "name": tool, "arguments": arguments })).await["result"].clone()
    }

    async fn fetch(&mut self, url: &str) -> (String, Value) {
        let told = self.call("fetch_paid", json!({ "url": url })).await;
        let outcome = told["structuredContent"]["outcome"].as_str().unwrap_or_else(|| panic!("{told}")).to_owned();
        (outcome, told)
    }
}

/// All agents at once, each its calls one after the other: how long each call took, sorted, and how long all took.
async fn all<F, Fut>(agents: Vec<Agent>, calls: usize, call: F) -> (Vec<Agent>, Vec<Duration>, Duration)
where
    F: Fn(Agent, usize, usize) -> Fut + Copy + Send + 'static,
    Fut: Future<Output = Agent> + Send,
{
    let begun = Instant::now();
    let mut running = tokio::task::JoinSet::new();
    for (who, mut agent) in agents.into_iter().enumerate() {
        running.spawn(async move {
            let mut took = Vec::new();
            for n in 0..calls {
                let begun = Instant::now();
                agent = call(agent, who, n).await;
                took.push(begun.elapsed());
            }
            (agent, took)
        });
    }
    let (mut agents, mut took) = (Vec::new(), Vec::new());
    while let Some(done) = running.join_next().await {
        let (agent, more) = done.expect("every agent comes to its end");
        agents.push(agent);
        took.extend(more);
    }
    took.sort();
    (agents, took, begun.elapsed())
}

fn told(what: &str, took: &[Duration], whole: Duration) {
    let at = |p: usize| took[(took.len() * p / 100).min(took.len() - 1)].as_secs_f64() * 1e3;
    let rate = took.len() as f64 / whole.as_secs_f64();
    println!("{what:<52} p50 {:>8.2} ms  p99 {:>8.2} ms  {rate:>7.0}/s", at(50), at(99));
}

async fn list(mut agent: Agent, _: usize, _: usize) -> Agent {
    assert!(agent.ask("tools/list", json!({})).await["result"]["tools"].is_array());
    agent
}

/// Where the sandbox's shop is, for functions that capture nothing.
static SHOP: std::sync::OnceLock<String> = std::sync::OnceLock::new();

async fn buy(mut agent: Agent, who: usize, n: usize) -> Agent {
    let path = format!("/v1/dynamic/{who}-{n}");
    let (outcome, told) = agent.fetch(&format!("{}{path}", SHOP.get().expect("a shop"))).await;
    assert_eq!(outcome, "bought", "{told}");
    // The shop says back what it was asked for: nobody gets another's answer.
    assert!(told["content"].to_string().contains(&path), "{path}: {told}");
    agent
}

async fn free(mut agent: Agent, _: usize, _: usize) -> Agent {
    // Its token may open this door too; either way nothing is paid.
    let (outcome, told) = agent.fetch(&format!("{}/v1/free", SHOP.get().expect("a shop"))).await;
    assert!(["free", "token"].contains(&outcome.as_str()), "{told}");
    agent
}

/// What an agent's own session says was spent, in the server's words.
async fn spent(agent: &mut Agent) -> String {
    let told = agent.call("get_balance", json!({})).await;
    let budgets = told["structuredContent"]["budgets"].as_array().unwrap_or_else(|| panic!("{told}"));
    let session = budgets.iter().find(|b| b["scope"] == "session").unwrap_or_else(|| panic!("{told}"));
    session["spent"].as_str().unwrap_or_else(|| panic!("{told}")).to_owned()
}

async fn run() {
    println!("{AGENTS} agents at once, one connection each; this machine has two jobs: theirs and the server's");
    let server = Server::start(Command::new(std::env::current_exe().expect("a name")).arg("--bare"));
    let mut agents = Vec::new();
    for _ in 0..AGENTS {
        agents.push(Agent::come(server.port, "none").await);
    }
    let (_agents, took, whole) = all(agents, CALLS, list).await;
    told("bare rmcp: tools/list", &took, whole);
    println!("bare rmcp: RSS {} KiB", server.rss_kib());
    drop(server);

    let sandbox = Sandbox::start(SandboxOptions::default()).await.expect("the sandbox starts");
    let _ = SHOP.set(sandbox.aperture_url());
    let dir = tempfile::tempdir().expect("a folder");
    let home = dir.path().join("home");
    let limits = LimitTable::default();
    let ledger = Ledger::open(&home, limits, Clock::system()).expect("a ledger");
    std::fs::write(
        home.join("config.toml"),
        "[limits.ceiling]\nsat = { purchase = \"1000\", session = \"5000\", day = \"1000000\" }",
    )
    .expect("a config");
    // What a token is made of is the command's business; the bench asks the command.
    let binary = std::env::var("BURSAR_BIN").unwrap_or_else(|_| env!("CARGO_BIN_EXE_bursar").into());
    let command = || {
        let mut command = Command::new(&binary);
        command.env("BURSAR_HOME", &home).env("BURSAR_ALLOW_LOOPBACK", "1");
        command.env("BURSAR_NWC", sandbox.nwc_uri().expose());
        command
    };
    let mut tokens = Vec::new();
    for n in 0..AGENTS {
        let made = command().args(["token", "create", &format!("agent-{n}"), "--json"]).output().expect("a token");
        let made: Value = serde_json::from_slice(&made.stdout).expect("JSON");
        tokens.push(made["token"].as_str().expect("a token").to_owned());
    }
    assert!(ledger.tokens().await.expect("tokens").iter().all(|t| t.kind == TokenKind::Agent));
    let server = Server::start(command().args(["serve", "--http", "127.0.0.1:0"]));
    println!("bursar: RSS {} KiB at start", server.rss_kib());
    let mut agents = Vec::new();
    for token in &tokens {
        agents.push(Agent::come(server.port, token).await);
    }
    let (agents, took, whole) = all(agents, CALLS, list).await;
    told("bursar: tools/list", &took, whole);
    println!("bursar: RSS {} KiB", server.rss_kib());
    let (agents, took, whole) = all(agents, 1, buy).await;
    told("bursar: a first purchase, all at once", &took, whole);
    let (agents, took, whole) = all(agents, CALLS / 4, free).await;
    told("bursar: fetch_paid of a free resource", &took, whole);
    println!("bursar: RSS {} KiB", server.rss_kib());

    let rows = ledger.audit(Filter::default()).await.expect("the audit");
    let mut each = std::collections::BTreeMap::<String, (u64, u64)>::new();
    for row in rows.iter().filter(|r| r.purchase.is_some()) {
        let sum = each.entry(row.principal.clone()).or_default();
        sum.0 += 1;
        sum.1 += row.paid.map_or(0, |a| a.atomic()) + row.fee.map_or(0, |a| a.atomic());
    }
    assert_eq!(each.len(), AGENTS);
    assert!(each.values().all(|(n, _)| *n == 1), "one purchase each");
    // Each agent's own budget lost its own price and fee, and nothing else.
    for mut agent in agents {
        let name = agent.token.trim_start_matches("bursar_").rsplit_once('_').expect("a token").0.to_owned();
        let own = bursar::money::Amount::msat(each[&name].1).expect("an amount");
        assert_eq!(spent(&mut agent).await, own.to_string(), "{name}");
    }
    let sum: u64 = each.values().map(|(_, msat)| msat).sum();
    assert_eq!(sum, sandbox.node().spent_msat(), "the books and the wallet agree");
    assert!(ledger.verify().await.expect("a ledger").findings.is_empty());
    println!("{AGENTS} purchases, one each; books and wallet agree on {} sat", sum / 1000);
}
