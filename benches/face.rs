//! What Bursar costs beside the work it cannot avoid: `cargo bench --bench face`.
//!
//! Everything is measured in one run on one machine, and each number stands beside a floor of the same kind, since only
//! the ratio means something elsewhere. Medians. The seller, the relay and the wallet are the sandbox's, on loopback.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use bursar::{
    clock::Clock,
    config::Config,
    sandbox::{Sandbox, SandboxOptions},
};
use serde_json::{Value, json};

/// How often a thing is measured; short enough that a whole run takes well under a minute.
const STARTS: usize = 100;
const CALLS: usize = 300;
const PURCHASES: usize = 40;

fn main() {
    let world = World::start();
    let mut table = Table::default();
    starting(&world, &mut table);
    calling(&world, &mut table);
    buying(&world, &mut table);
    memory(&world, &mut table);
    table.print();
}

/// From `fork` to the first useful answer.
fn starting(world: &World, table: &mut Table) {
    let spawn = median(STARTS, || {
        Command::new("/bin/true").stdin(Stdio::null()).status().expect("/bin/true");
    });
    table.floor("spawn /bin/true and wait", spawn);
    let cpu = children_cpu();
    let start = median(STARTS, || {
        let mut server = Server::spawn(&world.home("starts"));
        server.hello();
        server.ask("tools/list", json!({}));
        server.end();
    });
    let cpu = (children_cpu() - cpu) / STARTS as u32;
    table.against("start, handshake, tools/list, exit", start, spawn);
    for (what, handshake) in [("handshake", true), ("stateless", false)] {
        let mut answers: Vec<Duration> = (0..STARTS)
            .map(|_| {
                let begun = Instant::now();
                let mut server = Server::spawn(&world.home("starts"));
                if handshake {
                    server.hello();
                }
                server.ask("tools/list", if handshake { json!({}) } else { stateless() });
                begun.elapsed()
            })
            .collect();
        answers.sort();
        table.against(&format!("start to tools/list ({what})"), answers[STARTS / 2], spawn);
    }
    table.row("CPU of a whole life (start to exit)", &show(cpu), "");
}

/// Calls that pay nothing, beside the same request without us.
fn calling(world: &World, table: &mut Table) {
    let mut server = world.server("calls");
    let ping = median(CALLS, || {
        server.ask("tools/list", json!({}));
    });
    table.row("tools/list, server running", &show(ping), "");
    let (free, rates) = (format!("{}/v1/free", world.aperture), format!("{}/v1/rates", world.aperture));
    let raw = world.get(CALLS, &free);
    table.floor("raw GET of a free resource", raw);
    let call = |server: &mut Server, url: &str| server.call("fetch_paid", json!({ "url": url }));
    let through = median(CALLS, || {
        assert_eq!(call(&mut server, &free)["outcome"], "free");
    });
    table.against("fetch_paid of the same (answer kept on disk)", through, raw);
    assert_eq!(call(&mut server, &rates)["outcome"], "bought");
    // The first answer of a purchase is handed over once; from then on its token opens the door.
    let reuse = median(CALLS, || {
        assert_eq!(call(&mut server, &rates)["outcome"], "token");
    });
    table.against("fetch_paid with a token bought before", reuse, raw);
    let balance = median(CALLS / 3, || {
        server.call("get_balance", json!({}));
    });
    table.row("get_balance", &show(balance), "");
    server.end();
}

/// A first purchase: 402, payment, the same request again. What nobody can avoid: two requests and one round trip to
/// the wallet; what we add: three durable commits and a durable copy of the answer.
fn buying(world: &World, table: &mut Table) {
    let mut n = 0;
    let mut path = || {
        n += 1;
        format!("{}/v1/dynamic/{n}", world.aperture)
    };
    let challenge = world.get_each(PURCHASES, &mut path);
    let opened = world.get(PURCHASES, &format!("{}/v1/free", world.aperture));
    let wallet = world.wallet_round_trip();
    let floor = challenge + opened + wallet;
    table.row("raw 402 (the seller mints an invoice)", &show(challenge), "");
    table.row("one round trip to the wallet", &show(wallet), "");
    table.floor("402 + wallet + the answer", floor);
    let sync = world.sync();
    table.row("fsync of 4 KiB in the ledger's folder", &show(sync), "");
    let mut server = world.server("purchases");
    server.call("get_balance", json!({}));
    let bought = median(PURCHASES, || {
        let facts = server.call("fetch_paid", json!({ "url": path() }));
        assert_eq!(facts["outcome"], "bought", "{facts}");
    });
    table.against("fetch_paid, first purchase", bought, floor);
    server.end();
}

fn memory(world: &World, table: &mut Table) {
    let mut server = Server::spawn(&world.home("memory"));
    server.hello();
    server.ask("tools/list", json!({}));
    let idle = server.memory();
    table.row("memory after tools/list (RSS / PSS)", &idle, "");
    server.call("fetch_paid", json!({ "url": format!("{}/v1/large", world.aperture) }));
    table.row("memory after a purchase of 200 KB", &server.memory(), "");
    server.end();
    let bytes = fs::metadata(binary()).map(|m| m.len()).unwrap_or_default();
    table.row("size of the binary", &format!("{:.2} MB", bytes as f64 / 1e6), "");
}

/// The binary under test, built with the release profile.
fn binary() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_bursar"))
}

fn median(times: usize, mut what: impl FnMut()) -> Duration {
    let mut took: Vec<Duration> = (0..times)
        .map(|_| {
            let begun = Instant::now();
            what();
            begun.elapsed()
        })
        .collect();
    took.sort();
    took[times / 2]
}

fn show(took: Duration) -> String {
    format!("{:.3} ms", took.as_secs_f64() * 1e3)
}

/// User and system time of all children waited for, as the kernel counts it (in steps of 10 ms).
fn children_cpu() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks: u64 = after_name.split_whitespace().skip(13).take(2).filter_map(|t| t.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

fn stateless() -> Value {
    json!({ "_meta": {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    } })
}

/// The sandbox in a thread of its own, and homes that know its wallet.
struct World {
    dir: tempfile::TempDir,
    aperture: String,
    nwc: String,
    runtime: tokio::runtime::Runtime,
    http: reqwest::Client,
}

impl World {
    fn start() -> World {
        let (send, receive) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let options = SandboxOptions { balance_sat: 10_000_000, ..SandboxOptions::default() };
                let sandbox = Sandbox::start(options).await.expect("the sandbox starts");
                let _ = send.send((sandbox.aperture_url(), sandbox.nwc_uri().expose().to_owned()));
                std::future::pending::<()>().await;
            });
        });
        let (aperture, nwc) = receive.recv().expect("the sandbox starts");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().tcp_nodelay(true).build().expect("a client");
        World { dir: tempfile::tempdir().expect("a folder"), aperture, nwc, runtime, http }
    }

    /// A home with room for everything that is bought here.
    fn home(&self, name: &str) -> PathBuf {
        let home = self.dir.path().join(name);
        if !home.exists() {
            fs::create_dir(&home).expect("a home");
            let keep = |path: &Path, text: &str, mode| {
                fs::write(path, text).expect("a file");
                fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("a mode");
            };
            fs::set_permissions(&home, fs::Permissions::from_mode(0o700)).expect("a mode");
            let limits = r#"{ purchase = "5000", session = "500000", day = "500000" }"#;
            let config = format!(
                "[limits.ceiling]\nsat = {limits}\n[limits.default]\nsat = {limits}\n[http]\nallow_loopback = true\n"
            );
            keep(&home.join("config.toml"), &config, 0o600);
            keep(&home.join("wallet.nwc"), &self.nwc, 0o600);
        }
        home
    }

    fn server(&self, name: &str) -> Server {
        let mut server = Server::spawn(&self.home(name));
        server.hello();
        server
    }

    /// Raw requests for one URL over a kept connection.
    fn get(&self, times: usize, url: &str) -> Duration {
        self.get_each(times, &mut || url.to_owned())
    }

    fn get_each(&self, times: usize, url: &mut dyn FnMut() -> String) -> Duration {
        median(times, || {
            self.runtime.block_on(async {
                let answer = self.http.get(url()).send().await.expect("an answer");
                answer.bytes().await.expect("a body");
            });
        })
    }

    /// A question to the wallet over the relay and back, without our ledger: the library's own NWC client.
    fn wallet_round_trip(&self) -> Duration {
        let config = Config::load_from(self.home("wallet")).expect("a config");
        let uri = config.nwc.as_ref().expect("a connection string");
        let wallet = bursar::wallet::nwc_from_config(&config, uri, &Clock::system(), |_| None).expect("a wallet");
        self.runtime.block_on(async { wallet.info().await.expect("the wallet answers") });
        median(PURCHASES, || {
            self.runtime.block_on(async { wallet.info().await.expect("the wallet answers") });
        })
    }

    fn sync(&self) -> Duration {
        let mut file = fs::File::create(self.dir.path().join("sync")).expect("a file");
        median(PURCHASES, || {
            file.write_all(&[7; 4096]).and_then(|()| file.sync_data()).expect("a write");
        })
    }
}

/// A running server.
struct Server {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
    next: u64,
}

impl Server {
    fn spawn(home: &Path) -> Server {
        let mut command = Command::new(binary());
        command.arg("serve").env_clear().env("BURSAR_HOME", home);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("the server starts");
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take().expect("standard output"));
        Server { child, stdin, stdout: BufReader::new(stdout), next: 0 }
    }

    fn send(&mut self, message: Value) {
        let stdin = self.stdin.as_mut().expect("it is open");
        stdin.write_all(format!("{message}\n").as_bytes()).expect("the server listens");
    }

    fn ask(&mut self, method: &str, params: Value) -> Value {
        self.next += 1;
        let id = self.next;
        self.send(json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }));
        loop {
            let mut line = String::new();
            assert!(self.stdout.read_line(&mut line).expect("a line") > 0, "the server ended");
            let mut message: Value = serde_json::from_str(&line).expect("JSON");
            if message["id"] == id {
                assert!(message.get("error").is_none(), "{message}");
                return message["result"].take();
            }
        }
    }

    fn hello(&mut self) {
        let params = json!({ "protocolVersion": "2025-11-25", "capabilities": {},
                             "clientInfo": { "name": "bench", "version": "1" } });
        self.ask("initialize", params);
        self.send(json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }));
    }

    fn call(&mut self, tool: &str, arguments: Value) -> Value {
        self.ask("tools/call", json!({ "name": tool, "arguments": arguments }))["structuredContent"].take()
    }

    fn memory(&self) -> String {
        let path = format!("/proc/{}/smaps_rollup", self.child.id());
        let text = fs::read_to_string(path).unwrap_or_default();
        let mib = |name: &str| {
            let line = text.lines().find(|l| l.starts_with(name)).unwrap_or_default();
            line.split_whitespace().nth(1).and_then(|k| k.parse::<f64>().ok()).unwrap_or_default() / 1024.0
        };
        format!("{:.2} / {:.2} MiB", mib("Rss:"), mib("Pss:"))
    }

    fn end(mut self) {
        drop(self.stdin.take());
        assert!(self.child.wait().expect("the server ends").success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stdin.take());
        let _ = self.child.wait();
    }
}

/// What was measured, printed at the end.
#[derive(Default)]
struct Table(Vec<[String; 3]>);

impl Table {
    fn row(&mut self, what: &str, took: &str, ratio: &str) {
        self.0.push([what.into(), took.into(), ratio.into()]);
    }

    fn floor(&mut self, what: &str, took: Duration) {
        self.row(what, &show(took), "floor");
    }

    fn against(&mut self, what: &str, took: Duration, floor: Duration) {
        let ratio = took.as_secs_f64() / floor.as_secs_f64().max(1e-9);
        self.row(what, &show(took), &format!("{ratio:.2} x floor"));
    }

    fn print(&self) {
        println!();
        for [what, took, ratio] in &self.0 {
            println!("{what:<46} {took:>18}  {ratio}");
        }
    }
}
