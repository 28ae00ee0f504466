//! A73, A75, A76: canaries. The wallet's connection string, preimages and tokens of real runs are looked for in everything
//! that Bursar writes: answers, resources, both output streams at the loudest level, every file and every column.

#[allow(dead_code, reason = "this file uses its part")]
#[path = "../http_face/door.rs"]
mod door;
#[allow(dead_code, reason = "this file uses its part")]
#[path = "../http_face/stream.rs"]
mod stream;
#[path = "../support/mod.rs"]
mod support;

mod over_http;
mod session;
mod written;
mod x402;

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    sync::{Arc, Mutex},
};

use bursar::sandbox::{Behaviour, LookupSaid, PreimageSaid, RelayMode, ReplySaid};
use serde_json::{Value, json};
use support::{Reply, Seller, World, seller::opens, token_for};
use written::Written;

/// The parts of a connection string that are secret.
fn wallet_secrets(uri: &str) -> Vec<String> {
    let key = uri.split("secret=").nth(1).unwrap().split('&').next().unwrap().to_owned();
    let bytes = data_encoding::HEXLOWER.decode(key.as_bytes()).unwrap();
    vec![uri.to_owned(), key, data_encoding::BASE64.encode(&bytes)]
}

/// A seller that remembers every token and hash it handed out, and puts them into its body too.
struct Teller {
    seller: Seller,
    issued: Arc<Mutex<Vec<(String, String)>>>,
}

impl Teller {
    async fn start(world: &World) -> Teller {
        let issued = Arc::<Mutex<Vec<(String, String)>>>::default();
        let (node, told) = (world.node().clone(), issued.clone());
        let seller = Seller::start(move |hit| match (hit.uri.path(), hit.credential()) {
            ("/keeps", Some((token, _))) => {
                let body = json!({ "error": "pay again", "macaroon": token }).to_string();
                Reply { body: body.into(), ..ask(&node, &told) }
            }
            (_, Some((_, preimage))) if opens(&node, &preimage) => Reply::ok(r#"{"data":"bought"}"#),
            _ => ask(&node, &told),
        })
        .await;
        Teller { seller, issued }
    }

    fn secrets(&self, world: &World) -> Vec<String> {
        let issued = self.issued.lock().unwrap().clone();
        let secret = |(token, hash): (String, String)| {
            let preimage = world.node().preimage(&hash).unwrap().expose().to_owned();
            let bytes = data_encoding::HEXLOWER.decode(preimage.as_bytes()).unwrap();
            [token, preimage, data_encoding::BASE64.encode(&bytes)]
        };
        issued.into_iter().flat_map(secret).collect()
    }
}

fn ask(node: &bursar::sandbox::PlayNode, told: &Mutex<Vec<(String, String)>>) -> Reply {
    let invoice = node.invoice(21_000, "x", 600).expect("an invoice");
    let token = token_for(&invoice.payment_hash);
    told.lock().unwrap().push((token.clone(), invoice.payment_hash.clone()));
    let body = json!({ "macaroon": token, "invoice": invoice.bolt11 }).to_string();
    Reply { body: body.into(), ..Reply::l402(&token, &invoice.bolt11) }.header("content-type", "application/json")
}

/// A world at the loudest level, whose wallet waits are short.
async fn loud() -> World {
    let mut world = World::with("[waits]\nanswer = 6\nwallet = 1\nexit = 1").await;
    for name in ["BURSAR_LOG", "RUST_LOG"] {
        world.env(name, "trace");
    }
    world.env("RUST_BACKTRACE", "full");
    world
}

/// A73, A75, A76: a session with everything in it: bought, re-used, kept by the seller, doubtful, refused, read again.
#[tokio::test]
async fn no_secret_leaves_a_server_that_buys() {
    let world = loud().await;
    let shop = Teller::start(&world).await;
    let keeper = Teller::start(&world).await;
    let doubtful = Teller::start(&world).await;
    let host = world.host().await;
    let bought = host.fetch(json!({ "url": shop.seller.url("/a"), "purpose": "canary" })).await;
    assert_eq!(bought.outcome(), "bought", "{}", bought.text());
    let kept = host.fetch(json!({ "url": keeper.seller.url("/keeps") })).await;
    assert_eq!(kept.outcome(), "undelivered", "{}", kept.text());
    world.wallet().next(Behaviour::shows(PreimageSaid::Wrong).then_lookup(LookupSaid::NoPreimage));
    let doubt = host.fetch(json!({ "url": doubtful.seller.url("/x") })).await;
    assert_eq!(doubt.outcome(), "pending", "{}", doubt.text());
    for args in [
        json!({ "url": shop.seller.url("/b") }),
        json!({ "url": shop.seller.url("/a"), "dry_run": true }),
        json!({ "url": keeper.seller.url("/other") }),
        json!({ "result_id": bought.purchase() }),
        json!({ "result_id": kept.purchase() }),
        json!({ "url": shop.seller.url("/c"), "max_price": "1 sat", "method": "POST", "body": "x" }),
        json!({ "url": world.sandbox.nwc_uri().expose() }),
        json!({ "url": "http://127.0.0.1:1/" }),
    ] {
        host.fetch(args).await;
    }
    host.call("get_balance", json!({})).await;
    host.call("discover_api", json!({ "url": shop.seller.url("/d") })).await;
    host.call("set_budget", json!({ "scope": "session", "limit": "4000 sat" })).await;
    for uri in ["bursar://audit".to_owned(), format!("bursar://purchase/{}", kept.purchase())] {
        let read = host.request("resources/read", json!({ "uri": uri })).await.unwrap();
        assert!(read.get("error").is_none(), "{read}");
    }
    for method in ["tools/list", "resources/list", "prompts/list"] {
        host.request(method, json!({})).await.unwrap();
    }
    let mut written = Written::default();
    written.host("server", &host);
    assert!(host.log.lock().unwrap().contains("DEBUG"), "the log is loud: {}", host.log.lock().unwrap());
    host.close().await;
    let keep = kept.purchase();
    for args in [
        &["fetch", &shop.seller.url("/a")][..],
        &["fetch", "--json", &shop.seller.url("/new")],
        &["fetch", "--json", keep],
        &["fetch", "--dry-run", &shop.seller.url("/e")],
        &["discover", &shop.seller.url("/f")],
        &["balance"],
        &["balance", "--json"],
        &["budget", "--json"],
        &["session"],
        &["approve"],
        &["approve", keep],
        &["audit"],
        &["audit", "--json"],
        &["audit", "--csv"],
        &["audit", "verify"],
        &["audit", keep],
        &["audit", "show", keep],
    ] {
        let (_, out, err) = world.run(args).await;
        written.note(&format!("bursar {args:?}: standard output"), out);
        written.note(&format!("bursar {args:?}: standard error"), err);
    }
    written.home(&world.home());
    let uri = world.sandbox.nwc_uri();
    let mut secrets = wallet_secrets(uri.expose());
    let bought_secrets = shop.secrets(&world);
    secrets.extend([&shop, &keeper, &doubtful].iter().flat_map(|s| s.secrets(&world)));
    written.holds_none(&secrets);
    // The canaries are the right ones: the ledger's secret columns do hold them, and nothing holds the wallet.
    let mut raw = Vec::new();
    for name in ["ledger.db", "ledger.db-wal"] {
        raw.extend(fs::read(world.home().join(name)).unwrap_or_default());
    }
    let raw = String::from_utf8_lossy(&raw).into_owned();
    assert!(raw.contains(&bought_secrets[0]) && raw.contains(&bought_secrets[1]), "the ledger keeps what was bought");
    assert!(wallet_secrets(uri.expose()).iter().all(|s| !raw.contains(s)), "the ledger holds the wallet");
    world.verify().await;
}

/// A75: wallet strings that are wrong, offline wallets and wallets that talk nonsense are named without a word of them.
#[tokio::test]
async fn no_secret_is_in_an_error_about_the_wallet() {
    let mut world = loud().await;
    let uri = world.sandbox.nwc_uri().expose().to_owned();
    let secrets = wallet_secrets(&uri);
    let shop = Teller::start(&world).await;
    let url = shop.seller.url("/a");
    let key = &secrets[1];
    let mut written = Written::default();
    let dead = world.wallet().nwc_uri_over(&["ws://127.0.0.1:1"]).expose().to_owned();
    let far = world.wallet().nwc_uri_over(&["ws://relay.invalid"]).expose().to_owned();
    let path = world.wallet().nwc_uri_over(&[format!("ws://127.0.0.1:1/{key}")]).expose().to_owned();
    for bad in [
        uri.replace("nostr+walletconnect", "nostr+walletconect"),
        uri.replace("//", "///"),
        format!("{uri}{key}"),
        uri.replace("secret=", "sekret="),
        uri.replace("relay=", "rely="),
        format!("\"{uri}\""),
        format!("BURSAR_NWC={uri}"),
        uri.replace("ws%3A", "http%3A"),
        format!("{uri}\n{uri}"),
        key.clone(),
        format!("{uri}\u{0}").replace('\0', "%00"),
        dead,
        far,
        path,
        format!("{uri}&relay={key}"),
        uri.replace("walletconnect://", "walletconnect://0"),
    ] {
        world.env("BURSAR_NWC", &bad);
        everything(&world, &url, &mut written).await;
    }
    world.env("BURSAR_NWC", "");
    // A person puts the string where it does not belong.
    let long = format!("{uri}&relay={}", "wss%3A%2F%2Frelay.example%2F".repeat(12));
    for config in [
        format!("[wallet]\nnwc = \"{uri}\""),
        format!("wallet = \"{uri}\""),
        format!("[wallet]\nnwc_file = \"{uri}\""),
        format!("[wallet]\nnwc_file = \"{long}\""),
        format!("[wallet]\nmax_invoice_life = \"{uri}\""),
        uri.clone(),
        format!("[wallet]\nnwc_file = {uri}"),
        format!("\"{uri}\" = 1"),
        format!("[wallet]\n\"{uri}\" = 1"),
        format!("[approval]\nabove = {{ sat = \"{uri}\" }}"),
        format!("[approval]\nabove = {{ \"{uri}\" = \"1\" }}"),
        format!("[sellers]\nfree = \"{uri}\""),
        format!("[limits.ceiling]\nsat = {{ purchase = \"{uri}\" }}"),
        format!("[limits.ceiling]\n\"{uri}\" = {{ purchase = \"1\" }}"),
        format!("[http]\nextra_roots = \"{uri}\""),
    ] {
        world.set_config(&config);
        let (code, out, err) = world.run(&["fetch", &url]).await;
        assert_ne!(code, 0, "{config}: {out}");
        written.note(&format!("{}: standard error", config.replace(&uri, "URI")), err);
        let (_, out, err) = world.run(&["balance", "--json"]).await;
        written.note("balance: standard output", out);
        written.note(&format!("{}: standard error", config.replace(&uri, "URI")), err);
    }
    fs::remove_file(world.home().join("config.toml")).unwrap();
    written.home(&world.home());
    assert_eq!(world.spent_msat(), 0);
    written.holds_none(&secrets);
}

/// A75: the string in its own file stays there; a wallet that answers with rubbish or not at all gives nothing away.
#[tokio::test]
async fn no_secret_is_in_what_is_said_of_a_wallet_that_misbehaves() {
    let mut world = loud().await;
    let uri = world.sandbox.nwc_uri().expose().to_owned();
    let file = world.home().join("wallet.nwc");
    fs::write(&file, format!("{uri}\n")).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    world.env("BURSAR_NWC", "");
    let shop = Teller::start(&world).await;
    let mut written = Written::default();
    let host = world.host().await;
    let leak = format!("{uri} is not allowed");
    for (n, behaviour) in [
        Behaviour::refuses(&leak),
        Behaviour::says(ReplySaid::Garbage),
        Behaviour::says(ReplySaid::BareError("no".into())),
        Behaviour::fails("PAYMENT_FAILED"),
        Behaviour::shows(PreimageSaid::Invoice),
    ]
    .into_iter()
    .enumerate()
    {
        world.wallet().next(behaviour.then_lookup(LookupSaid::NoPreimage));
        let told =
            host.fetch(json!({ "url": shop.seller.url(&format!("/{n}")), "idempotency_key": n.to_string() })).await;
        written.note("tool", told.raw.to_string());
    }
    written.host("server", &host);
    host.kill().await;
    world.sandbox.relay().set_mode(RelayMode::Silent);
    let (_, out, err) = world.run(&["balance", "--json"]).await;
    written.note("balance: standard output", out);
    written.note("balance: standard error", err);
    fs::remove_file(&file).unwrap();
    written.home(&world.home());
    let mut secrets = wallet_secrets(&uri);
    secrets.extend(shop.secrets(&world));
    written.holds_none(&secrets);
}

/// Runs a server and the commands that speak with the wallet.
async fn everything(world: &World, url: &str, written: &mut Written) {
    for args in
        [&["fetch", "--max-price", "1 sat", url][..], &["fetch", "--json", "--dry-run", url], &["balance", "--json"]]
    {
        let (_, out, err) = world.run(args).await;
        written.note(&format!("bursar {args:?}: standard output"), out);
        written.note(&format!("bursar {args:?}: standard error"), err);
    }
    let host = world.host().await;
    for (tool, args) in [("get_balance", json!({})), ("fetch_paid", json!({ "url": url, "max_price": "1 sat" }))] {
        let told = host.call(tool, args).await;
        let said: Value = told.raw;
        written.note(tool, said.to_string());
    }
    written.host("server", &host);
    host.close().await;
}
