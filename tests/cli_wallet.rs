//! `bursar wallet`, as a person runs it.

mod support;

use std::{
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use bursar::{
    sandbox::{Behaviour, SandboxOptions, WalletOptions},
    secret::Secret,
    wallet::nwc::NwcWallet,
};
use futures_util::{SinkExt, StreamExt};
use nostr::{
    event::{Event, EventBuilder, FinalizeEvent, Kind, Tag},
    key::{Keys, PublicKey},
    nips::nip44,
};
use serde_json::{Value, json};
use support::{Seller, World};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    process::{Child, ChildStdin, Command},
};
use tokio_tungstenite::{client_async, tungstenite::Message};

/// A world whose processes find no wallet in their environment.
async fn bare() -> World {
    let mut world = World::new().await;
    world.env("BURSAR_NWC", "");
    world
}

fn wallet_file(world: &World) -> PathBuf {
    world.home().join("wallet.nwc")
}

fn pending_file(world: &World) -> PathBuf {
    world.home().join("wallet.pending")
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// The part of a connection string that must never be seen.
fn canary(string: &Secret) -> String {
    string.expose().split("secret=").nth(1).unwrap().to_owned()
}

fn json_of(out: &str) -> Value {
    serde_json::from_str(out).unwrap_or_else(|_| panic!("not JSON: {out}"))
}

/// One running command.
struct Running {
    child: Child,
    stdin: Option<ChildStdin>,
    out: BufReader<tokio::process::ChildStdout>,
    seen: String,
}

impl Running {
    fn start(world: &World, args: &[&str]) -> Running {
        let mut command = Command::new(support::host::binary());
        command.args(args).env_clear().kill_on_drop(true);
        command.envs(world.envs());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take().unwrap());
        Running { child, stdin, out: BufReader::new(stdout), seen: String::new() }
    }

    async fn write(&mut self, text: &str) {
        self.stdin.as_mut().unwrap().write_all(text.as_bytes()).await.unwrap();
    }

    /// Reads until a line with this in it.
    async fn line_with(&mut self, part: &str) -> String {
        loop {
            let mut line = String::new();
            let read = tokio::time::timeout(Duration::from_secs(20), self.out.read_line(&mut line)).await;
            assert!(read.expect("a line in time").unwrap() > 0, "{part:?} was never written:\n{}", self.seen);
            self.seen.push_str(&line);
            if line.contains(part) {
                return line.trim().to_owned();
            }
        }
    }

    /// Waits for the end: exit code, all of standard output, all of standard error.
    async fn end(mut self) -> (i32, String, String) {
        self.stdin = None;
        self.out.read_to_string(&mut self.seen).await.unwrap();
        let mut error = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut error).await.unwrap();
        (self.child.wait().await.unwrap().code().unwrap_or(-1), self.seen, error)
    }
}

async fn piped(world: &World, args: &[&str], input: &str) -> (i32, String, String) {
    let mut running = Running::start(world, args);
    let _ = running.stdin.as_mut().unwrap().write_all(input.as_bytes()).await;
    running.end().await
}

/// The parts of a link.
fn query_of(link: &str, name: &str) -> Option<String> {
    let (_, query) = link.split_once('?')?;
    url::form_urlencoded::parse(query.as_bytes()).find(|(n, _)| n == name).map(|(_, v)| v.into_owned())
}

fn client_of(link: &str) -> PublicKey {
    let key = link.strip_prefix("nostr+walletauth://").unwrap().split('?').next().unwrap();
    PublicKey::parse(key).unwrap()
}

/// A wallet of one's own: says yes to a link by an info event that names the client's key, then answers.
fn answers(relay: String, keys: Keys, client: PublicKey, state: Option<&str>) -> tokio::task::JoinHandle<()> {
    let mut tags = vec![Tag::public_key(client), Tag::custom("encryption", ["nip44_v2"])];
    tags.extend(state.map(|state| Tag::custom("state", [state])));
    let info = EventBuilder::new(Kind::Custom(13194), "pay_invoice get_balance get_info lookup_invoice").tags(tags);
    let info = info.finalize(&keys).unwrap();
    tokio::spawn(async move {
        let address = relay.strip_prefix("ws://").unwrap().trim_end_matches('/');
        let stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let (mut socket, _) = client_async(&relay, stream).await.unwrap();
        let filter = json!({ "kinds": [23194], "#p": [keys.public_key().to_hex()] });
        socket.send(Message::text(json!(["REQ", "r", filter]).to_string())).await.unwrap();
        socket.send(Message::text(json!(["EVENT", info]).to_string())).await.unwrap();
        while let Some(Ok(message)) = socket.next().await {
            let Message::Text(text) = message else { continue };
            let frame: Value = serde_json::from_str(text.as_str()).unwrap();
            if frame[0] != "EVENT" {
                continue;
            }
            let asked: Event = serde_json::from_value(frame[2].clone()).unwrap();
            let text = nip44::decrypt(keys.secret_key(), &asked.pubkey, &asked.content).unwrap();
            let method = serde_json::from_str::<Value>(&text).unwrap()["method"].clone();
            let result = match method.as_str().unwrap() {
                "get_balance" => json!({ "balance": 42_000 }),
                _ => json!({ "alias": "my own", "network": "regtest" }),
            };
            let said = json!({ "result_type": method, "result": result }).to_string();
            let content = nip44::encrypt(keys.secret_key(), &asked.pubkey, &said, nip44::Version::V2).unwrap();
            let reply = EventBuilder::new(Kind::Custom(23195), content)
                .tags([Tag::public_key(asked.pubkey), Tag::event(asked.id)])
                .finalize(&keys)
                .unwrap();
            socket.send(Message::text(json!(["EVENT", reply]).to_string())).await.unwrap();
        }
    })
}

#[tokio::test]
async fn test_says_what_the_wallet_allows_and_pays_nothing() {
    let world = World::new().await;
    let (code, out, err) = world.run(&["wallet", "test"]).await;
    assert_eq!(code, 0, "{out}{err}");
    let tested = json_of(&out);
    assert_eq!(tested["outcome"], "ready");
    let tested = &tested["wallets"][0];
    assert_eq!((&tested["world"], &tested["network"]), (&json!("test"), &json!("regtest")));
    assert_eq!((&tested["encryption"], &tested["balance"]), (&json!("nip44_v2"), &json!("100000 sat")));
    assert_eq!(tested["missing"], json!([]));
    assert!(tested["answer_ms"].as_u64().unwrap() <= tested["connect_ms"].as_u64().unwrap() + 1000);
    assert!(tested["may"].as_array().unwrap().contains(&json!("lookup_invoice")));
    assert!(!(out + &err).contains(&canary(&world.sandbox.nwc_uri())));
    assert_eq!(world.wallet().seen("pay_invoice"), 0);
    assert!(!world.home().join("ledger.db").exists(), "a look made a ledger");
}

#[tokio::test]
async fn test_names_the_rights_that_are_missing() {
    let only = |methods: &[&str]| SandboxOptions {
        wallet: WalletOptions {
            methods: methods.iter().map(|m| (*m).to_owned()).collect(),
            ..WalletOptions::default()
        },
        ..SandboxOptions::default()
    };
    let world = World::with_options("", only(&["get_info", "get_balance"])).await;
    let (code, out, _) = world.run(&["wallet", "test", "--json"]).await;
    let tested = json_of(&out);
    assert_eq!((code, &tested["outcome"]), (1, &json!("limited")));
    let missing: Vec<_> =
        tested["wallets"][0]["missing"].as_array().unwrap().iter().map(|m| m["method"].as_str().unwrap()).collect();
    assert_eq!(missing, ["pay_invoice", "lookup_invoice"]);

    let world = World::with_options("", only(&["get_info", "pay_invoice", "list_transactions"])).await;
    let (code, out, _) = world.run(&["wallet", "test"]).await;
    let tested = json_of(&out);
    assert_eq!((code, &tested["outcome"]), (0, &json!("ready")));
    let missing: Vec<_> =
        tested["wallets"][0]["missing"].as_array().unwrap().iter().map(|m| m["method"].as_str().unwrap()).collect();
    assert_eq!(missing, ["get_balance"], "list_transactions can stand in for lookup_invoice");
}

#[tokio::test]
async fn list_shows_what_is_public_and_which_string_counts() {
    let mut world = World::new().await;
    let here = world.sandbox.nwc_uri();
    let other = world.wallet().nwc_uri_over(&["wss://relay.example/path-token?key=query-token"]);
    std::fs::write(wallet_file(&world), other.expose()).unwrap();
    std::fs::set_permissions(wallet_file(&world), std::fs::Permissions::from_mode(0o600)).unwrap();
    let (code, out, err) = world.run(&["wallet", "list"]).await;
    assert_eq!(code, 0, "{err}");
    let listed = json_of(&out);
    let [first, second] = listed["wallets"].as_array().unwrap().as_slice() else { panic!("{out}") };
    assert_eq!(first["id"], NwcWallet::id_of(&here).unwrap());
    assert_eq!((&first["source"], &first["in_use"]), (&json!("BURSAR_NWC"), &json!(true)));
    assert_eq!(second["relays"], json!(["wss://relay.example"]));
    assert_eq!(second["in_use"], false);
    for secret in [canary(&here), "path-token".into(), "query-token".into()] {
        assert!(!out.contains(&secret), "{out}");
    }
    assert_eq!(world.sandbox.relay().accepted(), 1, "a list connected");

    world.env("BURSAR_NWC", "nostr+walletconnect://junk?secret=canary");
    let (code, out, err) = world.run(&["wallet", "list"]).await;
    assert_eq!(code, 0);
    assert!(json_of(&out)["wallets"][0]["problem"].as_str().unwrap().contains("copy it whole"));
    assert!(!(out + &err).contains("canary"));
}

#[tokio::test]
async fn a_string_from_a_pipe_is_written_for_its_owner_alone_and_tried() {
    let world = bare().await;
    let string = world.sandbox.nwc_uri();
    let input = format!("  {}  \n", string.expose());
    let (code, out, err) = piped(&world, &["wallet", "add", "nwc", "--paste"], &input).await;
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.contains("may pay") && out.contains(&NwcWallet::id_of(&string).unwrap()), "{out}");
    assert!(!(out + &err).contains(&canary(&string)));
    assert_eq!(std::fs::read_to_string(wallet_file(&world)).unwrap().trim(), string.expose());
    assert_eq!((mode(&wallet_file(&world)), mode(&world.home())), (0o600, 0o700));
    assert_eq!(world.run(&["wallet", "test"]).await.0, 0);

    let (code, _, err) = piped(&world, &["wallet", "add", "nwc", "--paste"], &input).await;
    assert!(code == 1 && err.contains("--replace"), "{err}");
    let (code, out, err) = piped(&world, &["wallet", "add", "nwc", "--paste", "--replace"], &input).await;
    assert_eq!(code, 0, "{out}{err}");
}

#[tokio::test]
async fn a_variable_that_comes_before_the_file_is_pointed_out() {
    let world = World::new().await;
    let string = world.sandbox.nwc_uri();
    let (code, out, err) = piped(&world, &["wallet", "add", "nwc", "--paste"], string.expose()).await;
    assert!(code == 0 && out.contains("Unset it"), "{out}{err}");
}

#[tokio::test]
async fn a_string_that_is_not_one_changes_nothing_and_is_not_repeated() {
    let world = bare().await;
    let cut = world.sandbox.nwc_uri().expose().replace("relay=", "rly=");
    for bad in ["", "\n", "canary-word\n", &cut, "nostr+walletconnect://zz?secret=canary-word"] {
        let (code, out, err) = piped(&world, &["wallet", "add", "nwc", "--paste"], bad).await;
        assert_eq!(code, 1, "{bad:?}: {out}{err}");
        assert!(!(out + &err).contains("canary"), "{err}");
        assert!(!err.contains(&canary(&world.sandbox.nwc_uri())));
        assert!(!wallet_file(&world).exists());
    }
}

#[tokio::test]
async fn a_wallet_string_among_the_arguments_is_refused_and_not_repeated() {
    let world = bare().await;
    let string = world.sandbox.nwc_uri();
    let string = string.expose();
    let nsec = format!("nsec1{}", "q".repeat(58));
    for args in [
        &["wallet", "add", "nwc", string][..],
        &["wallet", "add", "nwc", "--paste", string],
        &["wallet", "add", string],
        &["wallet", string],
        &[string],
        &["wallet", "add", "nwc", &format!("--relay={string}")],
        &["fetch", &string.replace("secret=", "secret%3D")],
        &["wallet", "add", "nwc", &nsec],
    ] {
        let (code, out, err) = world.run(args).await;
        assert_eq!(code, 2, "{out}{err}");
        assert!(err.contains("does not belong on the command line") && err.contains("--paste"), "{err}");
        assert!(!(out + &err).contains(&canary(&world.sandbox.nwc_uri())) && !err.contains("qqq"));
    }
    assert!(!wallet_file(&world).exists());
}

#[tokio::test]
async fn a_wallet_that_answers_the_link_is_connected_and_no_secret_is_shown() {
    let world = bare().await;
    let relay = world.sandbox.relay().url();
    let args = ["wallet", "add", "nwc", "--relay", &relay, "--max-amount", "5000 sat", "--budget-renewal", "weekly"];
    let mut running = Running::start(&world, &args);
    let link = running.line_with("nostr+walletauth://").await;
    let client = client_of(&link);
    assert_eq!(query_of(&link, "relay").as_deref(), Some(relay.as_str()));
    assert_eq!(query_of(&link, "max_amount").as_deref(), Some("5000000"));
    assert_eq!(query_of(&link, "budget_renewal").as_deref(), Some("weekly"));
    assert!(query_of(&link, "request_methods").unwrap().contains("pay_invoice get_balance get_info lookup_invoice"));
    assert_eq!(mode(&pending_file(&world)), 0o600);

    // A stranger who saw the key on the relay, one who answers another link, then the true one.
    let stranger = answers(relay.clone(), Keys::generate(), client, None);
    let other = answers(relay.clone(), Keys::generate(), client, Some("another state"));
    tokio::time::sleep(Duration::from_millis(300)).await;
    let wallet = Keys::generate();
    let state = query_of(&link, "state").unwrap();
    let true_one = answers(relay, wallet.clone(), client, Some(&state));
    let (code, out, err) = running.end().await;
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.contains("may pay") && out.contains("my own") && out.contains("42 sat"), "{out}");
    let string = Secret::new(std::fs::read_to_string(wallet_file(&world)).unwrap().trim());
    assert!(string.expose().starts_with(&format!("nostr+walletconnect://{}?", wallet.public_key().to_hex())));
    assert_eq!(mode(&wallet_file(&world)), 0o600);
    assert!(!pending_file(&world).exists());
    assert!(!(out + &err).contains(&canary(&string)));
    let listed = json_of(&world.run(&["wallet", "list"]).await.1);
    assert_eq!(listed["wallets"][0]["id"], NwcWallet::id_of(&string).unwrap());
    assert_eq!(listed["pending"], false);
    for task in [stranger, other, true_one] {
        task.abort();
    }
}

#[tokio::test]
async fn an_answer_without_the_state_is_taken_and_its_key_is_shown_to_compare() {
    let world = bare().await;
    let relay = world.sandbox.relay().url();
    let mut running = Running::start(&world, &["wallet", "add", "nwc", "--relay", &relay]);
    let link = running.line_with("nostr+walletauth://").await;
    let wallet = Keys::generate();
    let task = answers(relay, wallet.clone(), client_of(&link), None);
    let (code, out, err) = running.end().await;
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.contains("compare") && out.contains(&wallet.public_key().to_hex()), "{out}");
    task.abort();
}

#[tokio::test]
async fn two_wallets_that_prove_nothing_connect_neither() {
    let world = bare().await;
    let relay = world.sandbox.relay().url();
    let mut running = Running::start(&world, &["wallet", "add", "nwc", "--relay", &relay]);
    let client = client_of(&running.line_with("nostr+walletauth://").await);
    let tasks =
        [answers(relay.clone(), Keys::generate(), client, None), answers(relay, Keys::generate(), client, None)];
    let (code, _, err) = running.end().await;
    assert!(code == 1 && err.contains("two wallets answered"), "{err}");
    assert!(!wallet_file(&world).exists() && pending_file(&world).exists());
    for task in tasks {
        task.abort();
    }
}

#[tokio::test]
async fn a_link_that_nobody_answered_is_gone_on_with_and_an_answer_may_be_pasted() {
    let world = bare().await;
    let relay = world.sandbox.relay().url();
    let args = ["wallet", "add", "nwc", "--relay", &relay, "--wait"];
    let add = |more: &[&'static str]| [&args[..], more].concat();
    let link = |out: &str| out.lines().find(|l| l.contains("nostr+walletauth://")).unwrap().trim().to_owned();
    let (code, first, err) = world.run(&add(&["1"])).await;
    assert!(code == 1 && err.contains("The key is kept"), "{err}");
    let kept = std::fs::read_to_string(pending_file(&world)).unwrap();
    let key = json_of(&kept)["key"].as_str().unwrap().to_owned();
    assert!(!(first.clone() + &err).contains(&key));
    let (_, again, _) = world.run(&add(&["1"])).await;
    assert_eq!(link(&again), link(&first));
    let (_, new, _) = world.run(&add(&["1", "--again"])).await;
    assert_ne!(link(&new), link(&first));

    let wallet = Keys::generate();
    let mut running = Running::start(&world, &add(&["20"]));
    let client = client_of(&running.line_with("nostr+walletauth://").await);
    // Its description is on the relay, and does not name us: only what is pasted connects.
    let task = answers(relay.clone(), wallet.clone(), Keys::generate().public_key(), None);
    running.write("no key\n").await;
    running
        .write(&format!("https://app.example/done?pubkey={}&lud16=a@b.example\n", wallet.public_key().to_hex()))
        .await;
    let (code, out, err) = running.end().await;
    assert_eq!(code, 0, "{out}{err}");
    assert!(err.contains("Not taken") && !err.contains("no key\n"), "{err}");
    let string = Secret::new(std::fs::read_to_string(wallet_file(&world)).unwrap().trim());
    assert!(string.expose().contains(&wallet.public_key().to_hex()));
    assert_eq!(client, Keys::parse(&canary(&string)).unwrap().public_key());
    task.abort();
}

#[tokio::test]
async fn a_wallets_own_page_gets_the_same_wishes() {
    let world = bare().await;
    let relay = world.sandbox.relay().url();
    let args = ["wallet", "add", "nwc", "--relay", &relay, "--authorize", "--wait", "1", "--max-amount", "21 sat"];
    let (_, out, _) = world.run(&args).await;
    let link = out.lines().find(|l| l.contains("https://")).unwrap().trim().to_owned();
    assert!(link.starts_with("https://my.albyhub.com/apps/new?pubkey="), "{link}");
    assert_eq!(query_of(&link, "name").as_deref(), Some("Bursar"));
    assert_eq!(query_of(&link, "max_amount").as_deref(), Some("21000"));
    let (code, _, err) = world.run(&["wallet", "add", "nwc", "--relay", "http://relay.example", "--again"]).await;
    assert!(code == 1 && err.contains("wss://"), "{err}");
    let (code, _, err) = world.run(&["wallet", "add", "nwc", "--max-amount", "5 usd"]).await;
    assert!(code == 1 && err.contains("in sat"), "{err}");
}

#[tokio::test]
async fn a_wallet_with_payments_under_way_is_not_replaced() {
    let mut world = World::with("[waits]\nwallet = 1\nanswer = 2\n").await;
    let seller = Seller::honest(world.node(), 10_000, "{}").await;
    world.wallet().next(Behaviour::holds());
    let (_, out, err) = world.run(&["fetch", &seller.url("/x")]).await;
    assert!((out + &err).contains("Nobody knows yet"), "{err}");
    let string = world.sandbox.nwc_uri();
    world.env("BURSAR_NWC", "");
    std::fs::write(wallet_file(&world), string.expose()).unwrap();
    let args = ["wallet", "add", "nwc", "--paste", "--replace"];
    let (code, _, err) = piped(&world, &args, string.expose()).await;
    assert!(code == 1 && err.contains("have no known outcome"), "{err}");
}
