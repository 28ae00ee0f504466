//! `bursar wallet add evm` and its kin, as a person runs them.

use std::{
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Stdio,
};

use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt, process::Command};

use crate::{
    node::{ACCOUNT, KEY, Known, Node},
    support::host,
};

/// A home of its own, and the variables of every process.
struct Home {
    dir: tempfile::TempDir,
    envs: Vec<(String, String)>,
}

impl Home {
    fn new(config: &str) -> Home {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("home");
        std::fs::create_dir(&home).unwrap();
        let envs =
            vec![("BURSAR_HOME".to_owned(), home.display().to_string()), ("BURSAR_LOG".to_owned(), "trace".to_owned())];
        let made = Home { dir, envs };
        made.write("config.toml", config, 0o600);
        std::fs::set_permissions(&home, std::fs::Permissions::from_mode(0o700)).unwrap();
        made
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("home").join(name)
    }

    fn write(&self, name: &str, text: &str, mode: u32) {
        std::fs::write(self.path(name), text).unwrap();
        std::fs::set_permissions(self.path(name), std::fs::Permissions::from_mode(mode)).unwrap();
    }

    fn env(&mut self, name: &str, value: &str) {
        self.envs.push((name.into(), value.into()));
    }

    async fn run(&self, args: &[&str]) -> (i32, String, String) {
        host::run(&self.envs, args).await
    }

    async fn piped(&self, args: &[&str], input: &str) -> (i32, String, String) {
        let mut command = Command::new(host::binary());
        command.args(args).env_clear().envs(self.envs.clone()).kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes()).await;
        let done = child.wait_with_output().await.unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (done.status.code().unwrap_or(-1), text(done.stdout), text(done.stderr))
    }
}

fn json_of(out: &str) -> Value {
    serde_json::from_str(out).unwrap_or_else(|_| panic!("not JSON: {out}"))
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn a_new_key_is_written_for_its_owner_alone_never_shown_and_never_written_over() {
    let home = Home::new("");
    let (code, out, err) = home.run(&["wallet", "add", "evm"]).await;
    assert_eq!(code, 0, "{err}");
    let key = std::fs::read_to_string(home.path("evm.key")).unwrap();
    let key = key.trim();
    assert_eq!((key.len(), mode(&home.path("evm.key"))), (64, 0o600));
    assert!(!(out.clone() + &err).contains(key));
    for part in ["0x", "USDC on base", "No ETH is needed", "evm.key"] {
        assert!(out.contains(part), "{part}: {out}");
    }
    let (code, again, err) = home.run(&["wallet", "add", "evm"]).await;
    assert!(code == 1 && err.contains("was not touched"), "{again}{err}");
    let (code, _, err) = home.piped(&["wallet", "add", "evm", "--import"], KEY).await;
    assert!(code == 1 && err.contains("was not touched") && !err.contains(KEY), "{err}");
    assert_eq!(std::fs::read_to_string(home.path("evm.key")).unwrap().trim(), key);

    let (code, out, err) = home.run(&["wallet", "list"]).await;
    assert_eq!(code, 0, "{err}");
    let listed = json_of(&out);
    let [wallet] = listed["wallets"].as_array().unwrap().as_slice() else { panic!("{out}") };
    assert_eq!(
        (&wallet["kind"], &wallet["chains"], &wallet["world"]),
        (&json!("evm"), &json!(["base"]), &json!("main"))
    );
    assert!(!out.contains(key) && wallet["id"].as_str().unwrap().starts_with("evm:0x"));
    assert!(!home.path("ledger.db").exists(), "a look made a ledger");
}

#[tokio::test]
async fn a_key_from_a_pipe_is_imported_and_a_wrong_one_changes_nothing() {
    let home = Home::new("[evm.chains.base-sepolia]");
    for wrong in ["", "CANARY", &format!("{KEY}00"), &"00".repeat(32)] {
        let (code, out, err) = home.piped(&["wallet", "add", "evm", "--import"], wrong).await;
        assert!(code == 1 && err.contains("64 hex digits"), "{out}{err}");
        assert!(!(out + &err).contains("CANARY") && !home.path("evm.key").exists());
    }
    let (code, out, err) = home.piped(&["wallet", "add", "evm", "--import", "--json"], &format!("0x{KEY}\n")).await;
    assert_eq!(code, 0, "{err}");
    let said = json_of(&out);
    assert_eq!((&said["id"], &said["chains"]), (&json!(format!("evm:{ACCOUNT}")), &json!(["base-sepolia"])));
    assert!(!(out + &err).contains(KEY));
}

#[tokio::test]
async fn a_keystore_is_made_with_a_passphrase_and_opened_with_its_file() {
    let mut home = Home::new("[evm.chains.base-sepolia]");
    let (code, _, err) = home.piped(&["wallet", "add", "evm", "--keystore"], "short\n").await;
    assert!(code == 1 && err.contains("8 characters"), "{err}");
    let input = format!("{KEY}\ncorrect horse\n");
    let (code, out, err) = home.piped(&["wallet", "add", "evm", "--import", "--keystore"], &input).await;
    assert_eq!(code, 0, "{err}");
    let file = std::fs::read_to_string(home.path("evm.key")).unwrap();
    assert_eq!((&json_of(&file)["version"], mode(&home.path("evm.key"))), (&json!(3), 0o600));
    for text in [&out, &err, &file] {
        assert!(!text.contains(KEY) && !text.contains("correct horse"), "{text}");
    }
    let (code, out, err) = home.run(&["wallet", "list"]).await;
    assert_eq!((code, &json_of(&out)["wallets"][0]["id"]), (0, &json!(format!("evm:{ACCOUNT}"))), "{err}");

    let (code, out, err) = home.run(&["wallet", "test"]).await;
    assert!(code == 1 && err.contains("BURSAR_EVM_PASSPHRASE_FILE"), "{out}{err}");
    // Whoever cannot ask, as a server that a host starts, says what to do.
    let (code, out, err) = home.run(&["balance"]).await;
    assert!(code == 0 && out.contains("BURSAR_EVM_PASSPHRASE_FILE"), "{out}{err}");
    home.write("passphrase", "correct horse\n", 0o600);
    home.env("BURSAR_EVM_PASSPHRASE_FILE", &home.path("passphrase").display().to_string());
    let (code, out, err) = home.run(&["wallet", "test"]).await;
    assert_eq!(code, 0, "{out}{err}");
    assert_eq!(json_of(&out)["outcome"], "ready");
    assert!(!(out + &err).contains("correct horse"));
}

#[tokio::test]
async fn the_variable_comes_first_and_test_says_what_lies_where() {
    let node = Node::start(Known::default()).await;
    let mut home = Home::new(&format!("[evm.chains.base-sepolia]\nrpc = [{:?}]", node.url()));
    home.write("evm.key", &"11".repeat(32), 0o600);
    home.env("BURSAR_EVM_KEY", KEY);
    let (_, out, _) = home.run(&["wallet", "list"]).await;
    let listed = json_of(&out);
    assert_eq!(listed["wallets"][0]["id"], format!("evm:{ACCOUNT}"));
    assert_eq!(
        (&listed["wallets"][0]["source"], &listed["wallets"][0]["in_use"]),
        (&json!("BURSAR_EVM_KEY"), &json!(true))
    );
    assert_eq!(listed["wallets"][1]["in_use"], false);

    let (code, out, err) = home.run(&["wallet", "test"]).await;
    assert_eq!(code, 0, "{out}{err}");
    let tested = json_of(&out);
    let wallet = &tested["wallets"][0];
    assert_eq!((&tested["outcome"], &wallet["balance"]), (&json!("ready"), &json!("2.5 usd")));
    assert_eq!(wallet["places"], json!([{ "network": "eip155:84532", "name": "base-sepolia", "balance": "2.5 usd" }]));
    assert!(!(out + &err).contains(KEY) && !err.contains("CANARY"), "{err}");

    node.set(|known| known.balance = json!(format!("0x{:064x}", 0)));
    let (code, out, _) = home.run(&["wallet", "test"]).await;
    assert_eq!((code, &json_of(&out)["outcome"]), (1, &json!("limited")));
    node.set(|known| known.chain = 8453);
    let (code, out, err) = home.run(&["wallet", "test"]).await;
    assert_eq!((code, &json_of(&out)["outcome"]), (1, &json!("unreachable")));
    assert!(!(out + &err).contains("CANARY"));
}

#[tokio::test]
async fn doctor_looks_at_the_key_the_nodes_and_the_account() {
    let node = Node::start(Known { code: "0xef01", ..Known::default() }).await;
    let home = Home::new(&format!("[evm.chains.base-sepolia]\nrpc = [{:?}]", node.url()));
    let checks = |out: &str, name: &str| -> Vec<(String, String)> {
        let all = json_of(out)["checks"].as_array().unwrap().clone();
        let named = all.into_iter().filter(|c| c["name"] == name);
        named.map(|c| (c["status"].as_str().unwrap().to_owned(), c["say"].as_str().unwrap().to_owned())).collect()
    };
    let (_, out, _) = home.run(&["doctor"]).await;
    assert!(checks(&out, "evm").is_empty() && checks(&out, "chain").is_empty(), "{out}");

    home.write("evm.key", KEY, 0o644);
    let (code, out, err) = home.run(&["doctor"]).await;
    let [(status, say)] = checks(&out, "evm").try_into().unwrap();
    assert!(code == 1 && status == "fail" && say.contains("chmod 600"), "{say}");
    assert!(!(out + &err).contains(KEY));

    home.write("evm.key", KEY, 0o600);
    let doctor = || async {
        let (_, out, err) = home.run(&["doctor"]).await;
        assert!(!(out.clone() + &err).contains("CANARY") && !out.contains(KEY), "{out}{err}");
        let [(status, _)] = checks(&out, "evm").try_into().unwrap();
        assert_eq!(status, "ok");
        let [chain] = <[_; 1]>::try_from(checks(&out, "chain")).unwrap();
        chain
    };
    let (status, say) = doctor().await;
    assert!(status == "warn" && say.contains("2.5 usd") && say.contains("has code"), "{say}");
    node.set(|known| (known.code, known.balance) = ("0x", json!(format!("0x{:064x}", 0))));
    let (status, say) = doctor().await;
    assert!(status == "warn" && say.contains("0 usd"), "{say}");
    node.set(|known| known.chain = 1);
    let (status, say) = doctor().await;
    assert!(status == "warn" && say.contains("is of chain 1"), "{say}");
    node.set(|known| *known = Known::default());
    assert_eq!(doctor().await, ("ok".into(), "base-sepolia: 2.5 usd".into()));
}

#[tokio::test]
async fn a_key_on_the_command_line_is_refused_and_not_repeated() {
    let home = Home::new("");
    for args in [
        vec!["wallet", "add", "evm", KEY],
        vec!["wallet", "add", "evm", "--import", &format!("0x{KEY}")],
        vec!["wallet", "add", "evm", &format!("--import={KEY}")],
    ] {
        let (code, out, err) = home.run(&args).await;
        assert!(code == 2 && err.contains("--import") && !(out + &err).contains(KEY), "{err}");
    }
    assert!(!home.path("evm.key").exists());
}

#[tokio::test]
async fn a_config_that_mixes_worlds_is_refused_by_every_command() {
    let home = Home::new("[evm.chains.base]\n[evm.chains.base-sepolia]");
    for args in [vec!["wallet", "list"], vec!["wallet", "test"], vec!["wallet", "add", "evm"], vec!["balance"]] {
        let (code, _, err) = home.run(&args).await;
        assert!(code == 1 && err.contains("a ledger holds one world"), "{args:?}: {err}");
    }
}
