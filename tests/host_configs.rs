//! The configurations in README.md and mcp.json, taken as hosts take them: parsed, resolved, started and asked.

#[path = "support/mod.rs"]
mod support;

use std::{
    collections::BTreeMap,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use serde::Deserialize;
use serde_json::{Value, json};
use support::World;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::timeout,
};

/// How a host is told to start a server. A key that hosts do not have would be a mistake in the example.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Server {
    #[serde(default, rename = "type")]
    kind: Option<String>,
    command: String,
    #[serde(default)]
    args: Vec<String>,
    #[serde(default)]
    env: BTreeMap<String, String>,
}

/// The file of Claude Desktop, of Cursor and of most others.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct McpServers {
    mcp_servers: BTreeMap<String, Server>,
}

/// The file of VS Code.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct VsCode {
    inputs: Vec<Input>,
    servers: BTreeMap<String, Server>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    #[serde(rename = "type")]
    kind: String,
    id: String,
    description: String,
    password: bool,
}

fn read(file: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap()
}

/// The code block that follows these words in README.md.
fn block_after(words: &str) -> String {
    let readme = read("README.md");
    let (_, rest) = readme.split_once(words).unwrap_or_else(|| panic!("README.md does not say {words}"));
    let (_, rest) = rest.split_once("```json\n").expect("a block of JSON");
    rest.split_once("\n```").expect("an end of the block").0.to_owned()
}

fn only(mut servers: BTreeMap<String, Server>) -> Server {
    assert_eq!(servers.keys().collect::<Vec<_>>(), ["bursar"]);
    servers.remove("bursar").unwrap()
}

/// A host's PATH, on which `bursar` is the one that was built.
fn path() -> String {
    let built = Path::new(env!("CARGO_BIN_EXE_bursar")).parent().unwrap().to_owned();
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::join_paths(std::iter::once(built).chain(std::env::split_paths(&path))).unwrap().into_string().unwrap()
}

/// What a shell and a host find under a name.
fn found(command: &str) -> PathBuf {
    std::env::split_paths(&path()).map(|dir| dir.join(command)).find(|p| p.is_file()).expect("the command is on PATH")
}

/// A server that was started as its configuration says, and one request after another.
struct Started {
    _child: Child,
    stdin: ChildStdin,
    stdout: Lines<BufReader<ChildStdout>>,
    last: i64,
}

impl Started {
    /// Hosts hand over few variables; nothing here is there to make loopback work.
    fn new(server: &Server, home: &Path) -> Started {
        assert!(server.kind.as_deref().is_none_or(|kind| kind == "stdio"), "{server:?}");
        let program = found(&server.command);
        assert_eq!(program, Path::new(env!("CARGO_BIN_EXE_bursar")));
        let mut command = Command::new(program);
        command.args(&server.args).env_clear().env("PATH", path()).env("BURSAR_HOME", home).envs(&server.env);
        if let Some(profile) = std::env::var_os("LLVM_PROFILE_FILE") {
            command.env("LLVM_PROFILE_FILE", profile);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let (stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Started { _child: child, stdin, stdout: BufReader::new(stdout).lines(), last: 0 }
    }

    async fn send(&mut self, message: Value) {
        self.stdin.write_all(format!("{message}\n").as_bytes()).await.unwrap();
        self.stdin.flush().await.unwrap();
    }

    async fn request(&mut self, method: &str, params: Value) -> Value {
        self.last += 1;
        self.send(json!({ "jsonrpc": "2.0", "id": self.last, "method": method, "params": params })).await;
        loop {
            let line = timeout(Duration::from_secs(30), self.stdout.next_line()).await.expect("an answer in time");
            let message: Value = serde_json::from_str(&line.unwrap().expect("the server lives")).unwrap();
            if message["id"] == self.last {
                assert!(message.get("error").is_none(), "{method}: {message}");
                return message["result"].clone();
            }
        }
    }
}

/// Starts it as a host does, and asks what every host asks, and what is in the purse.
async fn works(server: &Server, home: &Path) {
    let mut started = Started::new(server, home);
    let hello = json!({ "protocolVersion": "2025-11-25", "capabilities": {},
                        "clientInfo": { "name": "test", "version": "1" } });
    assert_eq!(started.request("initialize", hello).await["serverInfo"]["name"], "bursar");
    started.send(json!({ "jsonrpc": "2.0", "method": "notifications/initialized" })).await;
    let listed = started.request("tools/list", json!({})).await;
    let names = listed["tools"].as_array().unwrap().iter().map(|t| t["name"].as_str().unwrap()).collect::<Vec<_>>();
    assert_eq!(names, ["discover_api", "fetch_paid", "get_balance", "set_budget"]);
    let balance = started.request("tools/call", json!({ "name": "get_balance", "arguments": {} })).await;
    assert_eq!(balance["structuredContent"]["wallets"][0]["balance"], "100000 sat", "{server:?}: {balance}");
}

/// A purse whose wallet was added beforehand, as `bursar wallet add nwc` leaves it.
async fn works_with_an_added_wallet(server: &Server) {
    let world = World::new().await;
    let mut file = std::fs::OpenOptions::new();
    let mut file = file.write(true).create_new(true).mode(0o600).open(world.home().join("wallet.nwc")).unwrap();
    std::io::Write::write_all(&mut file, world.sandbox.nwc_uri().expose().as_bytes()).unwrap();
    assert!(server.env.is_empty(), "{server:?}");
    works(server, &world.home()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_readmes_file_for_claude_desktop_and_cursor_starts_a_purse() {
    let file: McpServers = serde_json::from_str(&block_after("**Claude Desktop**")).unwrap();
    works_with_an_added_wallet(&only(file.mcp_servers)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_file_mcp_json_starts_a_purse() {
    let file: McpServers = serde_json::from_str(&read("mcp.json")).unwrap();
    works_with_an_added_wallet(&only(file.mcp_servers)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_readmes_line_for_claude_code_starts_a_purse() {
    let readme = read("README.md");
    let (_, rest) = readme.split_once("`claude mcp add ").expect("README.md has a line for Claude Code");
    let (name, command) = rest.split_once('`').unwrap().0.split_once(" -- ").expect("a command after --");
    assert_eq!(name, "bursar");
    let mut words = command.split_whitespace().map(str::to_owned);
    let command = words.next().unwrap();
    let server = Server { kind: None, command, args: words.collect(), env: BTreeMap::new() };
    works_with_an_added_wallet(&server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_readmes_file_for_vs_code_starts_a_purse_with_the_string_that_was_typed() {
    let file: VsCode = serde_json::from_str(&block_after("**VS Code**")).unwrap();
    let [input] = &file.inputs[..] else { panic!("{:?}", file.inputs) };
    assert_eq!(input.kind, "promptString");
    assert!(input.password, "what is typed must not be seen");
    assert!(!input.description.is_empty());
    let mut server = only(file.servers);
    // The purse has no wallet but the one that was typed.
    let world = World::new().await;
    let placeholder = format!("${{input:{}}}", input.id);
    let mut typed = 0;
    for value in server.env.values_mut().filter(|value| value.contains(&placeholder)) {
        *value = value.replace(&placeholder, world.sandbox.nwc_uri().expose());
        typed += 1;
    }
    assert_eq!(typed, 1, "what is typed goes into one variable");
    assert!(server.env.values().all(|value| !value.contains("${")), "nothing is left to be filled in");
    works(&server, &world.home()).await;
}
