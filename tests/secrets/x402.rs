//! The same for USDC: the key, what was signed with it, and the addresses of nodes, which often hold an API key.

use std::{fs, os::unix::fs::PermissionsExt};

use bursar::{evm::hex, sandbox::NtriqMode};
use data_encoding::{BASE64, HEXLOWER};
use serde_json::{Value, json};

use crate::{
    support::{Reply, Seller, World},
    written::Written,
};

/// A made-up API key, as it stands in the path of a node's address.
const API_KEY: &str = "Kq83hfnA0apikeycanaryZz71mmQ";

/// A world with play USDC at the loudest level, whose node's address has an API key in its path.
async fn loud() -> World {
    let mut world = World::with_dollars("").await;
    world.set_config(&chain(&format!("{}/v2/{API_KEY}", world.sandbox.rpc_url())));
    for name in ["BURSAR_LOG", "RUST_LOG"] {
        world.env(name, "trace");
    }
    world.env("RUST_BACKTRACE", "full");
    world
}

fn chain(rpc: &str) -> String {
    format!("[waits]\nanswer = 6\nwallet = 1\nexit = 1\n[evm.chains.base-sepolia]\nrpc = [\"{rpc}\"]\n")
}

/// The spellings of the world's key that are secret.
fn key_secrets(world: &World) -> Vec<String> {
    let key = world.sandbox.evm_key().expose().trim_start_matches("0x").to_owned();
    let bytes = HEXLOWER.decode(key.as_bytes()).expect("hex digits");
    vec![BASE64.encode(&bytes), key]
}

/// The whole signature, and its halves, of a payment header.
fn signature_secrets(header: &str) -> Vec<String> {
    let json: Value = serde_json::from_slice(&BASE64.decode(header.as_bytes()).expect("base64")).expect("JSON");
    let signature = json["payload"]["signature"].as_str().expect("a signature").trim_start_matches("0x").to_owned();
    vec![header.to_owned(), signature[..64].to_owned(), signature[64..128].to_owned(), signature]
}

/// A seller that wants one cent, and says back what it was paid with wherever a seller can say something.
async fn parrot(world: &World) -> Seller {
    let token = world.sandbox.chain().token().clone();
    let pay_to = world.sandbox.ntriq().pay_to();
    Seller::start(move |hit| {
        let encoded = |value: &Value| BASE64.encode(value.to_string().as_bytes());
        let ask = |error: &str| {
            let terms = json!({
                "x402Version": 2, "error": error, "resource": { "url": "", "description": "", "mimeType": "" },
                "accepts": [{
                    "scheme": "exact", "network": "eip155:84532", "amount": "10000", "asset": token.address,
                    "payTo": pay_to, "maxTimeoutSeconds": 60, "extra": { "name": token.name, "version": token.version },
                }],
            });
            Reply::status(402, "{}").header("payment-required", &encoded(&terms))
        };
        let Some(header) = hit.headers.get("payment-signature").and_then(|v| v.to_str().ok()) else {
            return ask("Payment required");
        };
        let json = BASE64.decode(header.as_bytes()).expect("base64");
        let json: Value = serde_json::from_slice(&json).expect("JSON");
        let signature = json["payload"]["signature"].as_str().expect("a signature").to_owned();
        let receipt = |success: bool| {
            encoded(&json!({
                "success": success, "errorReason": format!("no {signature}"), "transaction": signature,
                "network": "eip155:84532",
            }))
        };
        let all = json!({ "header": header, "json": json, "loud": signature.to_uppercase() }).to_string();
        match hit.uri.path() {
            "/gives" => Reply::ok(all).header("payment-response", &receipt(true)).header("etag", &signature),
            "/refuses" => ask(&format!("invalid: {signature}")).header("payment-response", &receipt(false)),
            "/blames" => Reply { status: 400, ..Reply::ok(all) },
            _ => Reply::status(302, "").header("location", &format!("http://127.0.0.1:9/{signature}")),
        }
    })
    .await
}

/// Runs what speaks of the wallet. A server that does not start says why, too.
async fn everything(world: &World, url: &str, place: &str, written: &mut Written) {
    for args in [
        &["fetch", "--max-price", "0.001 usd", url][..],
        &["balance", "--json"],
        &["doctor"],
        &["wallet", "list"],
        &["wallet", "test"],
        &["serve"],
    ] {
        let (_, out, err) = world.run(args).await;
        written.note(&format!("bursar {args:?} with {place}"), out + &err);
    }
}

/// A75, A76: the key and everything signed with it, in a session with every way in which a seller can say it back.
#[tokio::test]
async fn no_secret_leaves_a_server_that_signs() {
    let world = loud().await;
    let seller = parrot(&world).await;
    let host = world.host().await;
    let gave = host.fetch(json!({ "url": seller.url("/gives") })).await;
    assert_eq!(gave.outcome(), "bought", "{}", gave.text());
    assert!(gave.text().contains("[secret]"), "{}", gave.text());
    let mut ids = vec![gave.purchase().to_owned()];
    for path in ["/refuses", "/blames", "/leads-away"] {
        let told = host.fetch(json!({ "url": seller.url(path) })).await;
        assert_eq!(told.outcome(), "pending", "{path}: {}", told.text());
        ids.push(told.purchase().to_owned());
    }
    // A seller that is honest, and one that keeps the answer; the chain is asked for the second.
    let shop = format!("{}/sentiment", world.sandbox.ntriq_url());
    let ask = |text: &str| json!({ "url": shop, "json": { "text": text }, "idempotency_key": text });
    host.fetch(ask("honest")).await;
    world.sandbox.ntriq().next(NtriqMode::LosesAnswer);
    host.fetch(ask("lost")).await;
    for id in &ids {
        host.fetch(json!({ "result_id": id })).await;
        host.request("resources/read", json!({ "uri": format!("bursar://purchase/{id}") })).await.expect("an answer");
    }
    host.request("resources/read", json!({ "uri": "bursar://audit" })).await.expect("an answer");
    host.call("get_balance", json!({})).await;
    host.call("discover_api", json!({ "url": seller.url("/gives") })).await;
    let mut written = Written::default();
    written.host("server", &host);
    assert!(host.log.lock().unwrap().contains("DEBUG"), "the log is loud");
    host.close().await;
    for args in [
        &["fetch", "--json", &ids[0]][..],
        &["fetch", "--json", &ids[1]],
        &["balance"],
        &["balance", "--json"],
        &["approve"],
        &["audit", "--table"],
        &["audit", "--json"],
        &["audit", "--csv"],
        &["audit", "verify"],
        &["wallet", "list"],
        &["wallet", "test"],
        &["doctor"],
    ] {
        let (_, out, err) = world.run(args).await;
        written.note(&format!("bursar {args:?}: standard output"), out);
        written.note(&format!("bursar {args:?}: standard error"), err);
    }
    // The config is the operator's own, and holds the address as it was written.
    fs::remove_file(world.home().join("config.toml")).unwrap();
    written.home(&world.home());
    let headers: Vec<String> = seller
        .hits()
        .iter()
        .filter_map(|h| h.headers.get("payment-signature").cloned())
        .map(|v| v.to_str().unwrap().to_owned())
        .collect();
    assert!(headers.len() >= 4, "{} payments were shown", headers.len());
    let mut secrets = key_secrets(&world);
    secrets.extend(headers.iter().flat_map(|h| signature_secrets(h)));
    secrets.extend(world.sandbox.ntriq().seen().iter().map(|s| hex(&s.signature)));
    secrets.push(API_KEY.into());
    written.holds_none(&secrets);
    // The canaries are the right ones: what was signed stands in the ledger's secret column, and the key nowhere.
    let mut raw = Vec::new();
    for name in ["ledger.db", "ledger.db-wal"] {
        raw.extend(fs::read(world.home().join(name)).unwrap_or_default());
    }
    let raw = String::from_utf8_lossy(&raw).into_owned();
    assert!(raw.contains(signature_secrets(&headers[0])[3].as_str()), "the ledger keeps what was signed");
    assert!(key_secrets(&world).iter().all(|s| !raw.contains(s)), "the ledger holds the key");
    world.verify().await;
}

/// A75: keys that are wrong, in the wrong place or in their own file are named without a digit of them.
#[tokio::test]
async fn no_secret_is_in_an_error_about_the_key() {
    let mut world = loud().await;
    let key = key_secrets(&world).remove(1);
    let url = format!("{}/sentiment-batch", world.sandbox.ntriq_url());
    let mut written = Written::default();
    for bad in [
        format!("{key}{key}"),
        key[..63].to_owned(),
        format!("{key}z"),
        format!("BURSAR_EVM_KEY={key}"),
        format!("\"{key}\""),
        format!("0x0x{key}"),
        format!("{{\"version\":3,\"crypto\":\"{key}\"}}"),
        format!("keychain {key}"),
    ] {
        world.env("BURSAR_EVM_KEY", &bad);
        everything(&world, &url, &bad.replace(&key, "KEY"), &mut written).await;
    }
    // In its own file it serves, and in a file that others can read it is refused.
    world.env("BURSAR_EVM_KEY", "");
    let file = world.home().join("evm.key");
    for (mode, text) in [(0o600, format!("{key}\n")), (0o644, format!("{key}\n")), (0o600, format!("{key} {key}"))] {
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        everything(&world, &url, &format!("a file of mode {mode:o}"), &mut written).await;
        let (_, out, err) = world.run(&["wallet", "add", "evm"]).await;
        written.note("wallet add evm", out + &err);
    }
    fs::remove_file(&file).unwrap();
    // A person puts it where it does not belong.
    for config in [
        format!("[evm]\nkey = \"{key}\""),
        format!("evm = \"{key}\""),
        format!("[evm]\nkey_file = \"{key}\""),
        format!("[evm]\nkey_file = \"{key}{key}\""),
        format!("[evm.chains.\"{key}\"]"),
        format!("[evm.chains.base]\nrpc = \"{key}\""),
        format!("[evm.chains.base]\nrpc = [\"{key}\"]"),
        format!("[evm.chains.base]\n\"{key}\" = 1"),
        format!(
            "[[evm.assets]]\nchain = \"base\"\naddress = \"{key}\"\nname = \"T\"\nversion = \"1\"\ndecimals = 6\ncurrency = \"usd\""
        ),
        format!(
            "[[evm.assets]]\nchain = \"base\"\naddress = \"0x00000000000000000000000000000000000000aa\"\nname = \"T\"\nversion = \"1\"\ndecimals = 6\ncurrency = \"{key}\""
        ),
        format!("[sellers]\ncurrencies = [\"{key}\"]"),
        format!("[sellers]\nknown_prices = \"{key}\""),
        format!("[limits.ceiling]\n\"{key}\" = {{ purchase = \"1\" }}"),
    ] {
        world.set_config(&config);
        everything(&world, &url, &config.replace(&key, "KEY"), &mut written).await;
    }
    fs::remove_file(world.home().join("config.toml")).unwrap();
    written.home(&world.home());
    assert_eq!(world.spent_units(), 0);
    // Half a key is a secret too.
    written.holds_none(&[key[..32].to_owned(), key[32..].to_owned()]);
}

/// A75: a node's address may hold an API key; whatever is wrong with it, only its scheme and host are said.
#[tokio::test]
async fn no_api_key_of_a_node_is_in_what_is_said_of_it() {
    let mut world = loud().await;
    let url = format!("{}/sentiment-batch", world.sandbox.ntriq_url());
    let mut written = Written::default();
    for rpc in [
        format!("http://127.0.0.1:1/v2/{API_KEY}"),
        format!("http://127.0.0.1:1/?key={API_KEY}"),
        format!("{}/{API_KEY}", world.sandbox.ntriq_url()),
        format!("https://node.invalid/{API_KEY}"),
        format!("https://{API_KEY}@node.invalid/"),
        format!("https://node.invalid:{API_KEY}/"),
        format!("http://node.invalid/{API_KEY}"),
        format!("htps://node.invalid/{API_KEY}"),
        API_KEY.to_owned(),
        format!("http://127.0.0.1:1/{API_KEY}\", {API_KEY}, \""),
    ] {
        world.set_config(&chain(&rpc));
        everything(&world, &url, &rpc.replace(API_KEY, "API_KEY"), &mut written).await;
    }
    fs::remove_file(world.home().join("config.toml")).unwrap();
    written.home(&world.home());
    written.holds_none(&[API_KEY.to_owned()]);
}
