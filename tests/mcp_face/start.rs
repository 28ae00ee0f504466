//! Starting and ending: hosts start copies only to look, and stop them without a word.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::{
    ERAS,
    support::{Era, Host, Link, Seller, World},
};

/// The sockets of a process that other machines or processes could reach: its file descriptors among the TCP and UDP
/// sockets of the system.
fn network_sockets(pid: u32) -> Vec<String> {
    let own: Vec<String> = std::fs::read_dir(format!("/proc/{pid}/fd"))
        .unwrap()
        .filter_map(|fd| std::fs::read_link(fd.ok()?.path()).ok())
        .filter_map(|to| Some(to.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned()))
        .collect();
    let mut found = Vec::new();
    for table in ["tcp", "tcp6", "udp", "udp6"] {
        let text = std::fs::read_to_string(format!("/proc/{pid}/net/{table}")).unwrap_or_default();
        let is_own = |line: &&str| line.split_whitespace().nth(9).is_some_and(|inode| own.iter().any(|o| o == inode));
        found.extend(text.lines().skip(1).filter(is_own).map(str::to_owned));
    }
    found
}

#[tokio::test]
async fn a_start_touches_no_disk_no_wallet_and_no_port() {
    let world = World::new().await;
    let nowhere = world.home().with_file_name("not-there-yet");
    let mut envs = world.envs();
    envs.push(("BURSAR_HOME".into(), nowhere.display().to_string()));
    let before = world.sandbox.relay().accepted();
    for era in ERAS {
        let host = Host::start(&envs, era).await;
        for method in ["tools/list", "resources/list", "resources/templates/list", "prompts/list"] {
            assert!(host.request(method, json!({})).await.unwrap().get("error").is_none(), "{method}");
        }
        host.request("resources/read", json!({ "uri": "bursar://nothing" })).await.unwrap();
        host.request("prompts/get", json!({ "name": "audit" })).await.unwrap();
        assert_eq!(network_sockets(host.child.id().unwrap()), Vec::<String>::new());
        assert!(host.close().await.success());
    }
    assert!(!nowhere.exists(), "a start made {}", nowhere.display());
    assert_eq!(world.sandbox.relay().accepted(), before, "a start asked the wallet");
}

#[tokio::test]
async fn the_eye_that_sees_no_socket_at_the_start_sees_the_wallets_later() {
    let world = World::new().await;
    let host = world.host().await;
    host.call("get_balance", json!({})).await;
    assert!(!network_sockets(host.child.id().unwrap()).is_empty());
}

#[tokio::test]
async fn several_servers_share_one_home() {
    let world = World::new().await;
    let seller = Seller::honest(world.node(), 3_000, r#"{"data":1}"#).await;
    let mut hosts = Vec::new();
    for n in 0..5 {
        hosts.push(world.host_in(ERAS[n % 2]).await);
    }
    let calls = hosts.iter().enumerate().map(|(n, host)| {
        let url = seller.url(&format!("/{n}"));
        async move {
            let told = host.fetch(json!({ "url": url, "idempotency_key": format!("key-{n}") })).await;
            assert!(["bought", "token"].contains(&told.outcome()), "{}", told.text());
            host.request("tools/list", json!({})).await.unwrap();
        }
    });
    futures_util::future::join_all(calls).await;
    for host in hosts {
        assert!(host.close().await.success());
    }
    world.verify_money().await;
}

#[tokio::test]
async fn end_of_input_ends_an_idle_server_at_once() {
    let world = World::new().await;
    let seller = Seller::honest(world.node(), 3_000, "{}").await;
    for link in [Link::Pipes, Link::Sockets] {
        for used in [false, true] {
            let mut host = Host::spawn_over(&world.envs(), Era::Handshake, link);
            host.hello().await;
            if used {
                let told = host.fetch(json!({ "url": seller.url("/") })).await;
                assert!(["bought", "token"].contains(&told.outcome()), "{}", told.text());
            }
            let begun = Instant::now();
            assert!(host.close().await.success(), "{link:?} {used}");
            assert!(begun.elapsed() < Duration::from_secs(1), "{link:?} {used}: {:?}", begun.elapsed());
        }
        // A host that never says a word, and one that leaves in the middle of a line.
        for words in ["", "{\"jsonrpc\":\"2.0\",\"id\":1,\"met"] {
            let host = Host::spawn_over(&world.envs(), Era::Handshake, link);
            host.send_raw(words.as_bytes()).await;
            let begun = Instant::now();
            assert!(host.close().await.success(), "{link:?} {words:?}");
            assert!(begun.elapsed() < Duration::from_secs(1), "{link:?} {words:?}: {:?}", begun.elapsed());
        }
    }
}

#[tokio::test]
async fn a_request_to_stop_ends_an_idle_server_at_once() {
    let world = World::new().await;
    for signal in ["TERM", "INT"] {
        for hello in [true, false] {
            let mut host = Host::spawn(&world.envs(), Era::Handshake);
            if hello {
                host.hello().await;
            } else {
                // Until it listens to signals it cannot obey them.
                tokio::time::sleep(Duration::from_millis(300)).await;
            }
            let pid = host.child.id().unwrap().to_string();
            let begun = Instant::now();
            assert!(std::process::Command::new("kill").args([&format!("-{signal}"), &pid]).status().unwrap().success());
            assert!(host.ended().await.success(), "{signal} {hello}");
            assert!(begun.elapsed() < Duration::from_secs(1), "{signal} {hello}: {:?}", begun.elapsed());
        }
    }
}

#[tokio::test]
async fn sockets_serve_as_well_as_pipes() {
    let world = World::new().await;
    let seller = Seller::honest(world.node(), 2_000, r#"{"data":"over a socket"}"#).await;
    for era in ERAS {
        let mut host = Host::spawn_over(&world.envs(), era, Link::Sockets);
        host.hello().await;
        let told = host.fetch(json!({ "url": seller.url("/s"), "idempotency_key": format!("{era:?}") })).await;
        assert!(told.text().contains("over a socket"), "{}", told.text());
        // More than a socket's buffer in one line, both ways.
        let long = host.fetch(json!({ "url": seller.url("/s"), "purpose": "x".repeat(600_000) })).await;
        assert!(long.text().contains("over a socket"), "{}", long.text());
        assert!(host.close().await.success());
    }
}

#[tokio::test]
async fn standard_output_carries_nothing_but_json_rpc() {
    let mut world = World::new().await;
    world.env("BURSAR_LOG", "trace");
    world.env("RUST_LOG", "trace");
    world.env("RUST_BACKTRACE", "1");
    let seller = Seller::honest(world.node(), 2_000, "{\"data\":\"multi\nline\"}").await;
    for era in ERAS {
        let host = world.host_in(era).await;
        let url = seller.url("/log");
        host.fetch(json!({ "url": url, "idempotency_key": format!("{era:?}") })).await;
        host.call("get_balance", json!({})).await;
        host.call("discover_api", json!({ "url": url })).await;
        host.call("set_budget", json!({ "scope": "day", "limit": "9 sat" })).await;
        host.send_raw(b"not json\n").await;
        host.request("tools/list", json!({})).await.unwrap();
        let (lines, log) = (host.lines.clone(), host.log.clone());
        assert!(host.close().await.success());
        for line in lines.lock().unwrap().iter() {
            let message: Value = serde_json::from_str(line).expect("JSON");
            assert_eq!(message["jsonrpc"], "2.0", "{line}");
        }
        assert!(!log.lock().unwrap().is_empty(), "the log was asked for");
    }
}

#[tokio::test]
async fn the_mcp_file_starts_the_server() {
    let text = include_str!("../../mcp.json");
    let file: Value = serde_json::from_str(text).unwrap();
    let server = &file["mcpServers"]["bursar"];
    let args: Vec<&str> = server["args"].as_array().unwrap().iter().map(|a| a.as_str().unwrap()).collect();
    let home = tempfile::tempdir().unwrap();
    let built = crate::support::host::binary();
    let mut child = std::process::Command::new(server["command"].as_str().unwrap())
        .args(args)
        .env("PATH", built.parent().unwrap())
        .env("BURSAR_HOME", home.path())
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("the command of mcp.json is found on the PATH");
    let hello = json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "t", "version": "1" } } });
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), format!("{hello}\n").as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(String::from_utf8(output.stdout).unwrap().contains(r#""name":"bursar""#));
    // It hands over no secret and no path of anybody's machine.
    assert!(!text.contains("nostr+walletconnect") && !text.contains("/home/") && !text.contains("/Users/"));
}
