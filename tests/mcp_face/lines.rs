//! Lines that no host should send, and what becomes of the server: it lives, answers the next call, and stays small.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    ERAS,
    support::{Era, Host, Link, World},
};

/// Whether the server still answers.
async fn lives(host: &Host) {
    let answer = tokio::time::timeout(Duration::from_secs(20), host.request("tools/list", json!({}))).await;
    let answer = answer.expect("in time").expect("an answer");
    assert_eq!(answer["result"]["tools"].as_array().map(Vec::len), Some(4), "{answer}");
}

/// The most memory a process ever had, in KiB.
fn high_water(host: &Host) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", host.child.id().unwrap())).unwrap();
    let line = status.lines().find(|l| l.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[tokio::test]
async fn broken_lines_are_survived() {
    let world = World::new().await;
    let deep = format!(
        "{{\"jsonrpc\":\"2.0\",\"id\":77,\"method\":\"tools/call\",\"params\":{}1{}}}",
        "[".repeat(10_000),
        "]".repeat(10_000)
    );
    let deep_arguments = format!(
        "{{\"jsonrpc\":\"2.0\",\"id\":78,\"method\":\"tools/call\",\"params\":{{\"name\":\"fetch_paid\",\"arguments\":{{\"json\":{}1{}}}}}}}",
        "{\"a\":".repeat(5_000),
        "}".repeat(5_000)
    );
    let lines: Vec<Vec<u8>> = vec![
        b"{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"tools/list\"".to_vec(),
        b"{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"tools\xff\xfe\"}".to_vec(),
        b"\xff\xff\xff\xff".to_vec(),
        b"[]".to_vec(),
        b"[1,2,3]".to_vec(),
        b"{}".to_vec(),
        b"null".to_vec(),
        b"1e999".to_vec(),
        b"\0\0\0".to_vec(),
        b"".to_vec(),
        b"\r".to_vec(),
        b"Content-Length: 12\r\n\r".to_vec(),
        b"{\"jsonrpc\":\"1.0\",\"id\":5,\"method\":\"tools/list\"}".to_vec(),
        b"{\"jsonrpc\":\"2.0\",\"id\":null,\"method\":\"tools/list\"}".to_vec(),
        b"{\"jsonrpc\":\"2.0\",\"id\":{\"a\":1},\"method\":\"tools/list\"}".to_vec(),
        b"{\"jsonrpc\":\"2.0\",\"id\":99999999999999999999999,\"method\":\"tools/list\"}".to_vec(),
        b"{\"jsonrpc\":\"2.0\",\"id\":5,\"result\":{}}".to_vec(),
        b"{\"jsonrpc\":\"2.0\",\"id\":5,\"error\":{\"code\":1,\"message\":\"x\"}}".to_vec(),
        b"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":12345}}".to_vec(),
        b"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/nobody/knows\",\"params\":[]}".to_vec(),
        b"{\"jsonrpc\":\"2.0\",\"id\":6,\"method\":\"tools/call\",\"params\":\"fetch_paid\"}".to_vec(),
        b"{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"tools/call\",\"params\":{\"name\":7,\"arguments\":[]}}".to_vec(),
        deep.into_bytes(),
        deep_arguments.into_bytes(),
    ];
    for link in [Link::Pipes, Link::Sockets] {
        for era in ERAS {
            let mut host = Host::spawn_over(&world.envs(), era, link);
            host.hello().await;
            for line in &lines {
                host.send_raw(line).await;
                host.send_raw(b"\n").await;
                lives(&host).await;
            }
            assert!(host.close().await.success());
        }
    }
    assert_eq!(world.spent_msat(), 0);
}

#[tokio::test]
async fn an_overlong_line_is_dropped_without_being_kept() {
    let world = World::new().await;
    let host = world.host().await;
    lives(&host).await;
    let before = high_water(&host);
    let piece = vec![b'x'; 1 << 20];
    for _ in 0..48 {
        host.send_raw(&piece).await;
    }
    host.send_raw(b"\n").await;
    lives(&host).await;
    let grown = high_water(&host) - before;
    assert!(grown < 24 * 1024, "48 MiB in one line made the server {grown} KiB larger");
}

#[tokio::test]
async fn unknown_names_are_protocol_errors() {
    let world = World::new().await;
    for era in ERAS {
        let host = world.host_in(era).await;
        let code = |answer: Option<Value>| answer.unwrap()["error"]["code"].as_i64();
        assert_eq!(code(host.request("tools/burn", json!({})).await), Some(-32601), "{era:?}");
        let call = json!({ "name": "send_all_money", "arguments": {} });
        assert_eq!(code(host.request("tools/call", call).await), Some(-32602), "{era:?}");
        assert_eq!(code(host.request("prompts/get", json!({ "name": "x" })).await), Some(-32602), "{era:?}");
        lives(&host).await;
    }
}

#[tokio::test]
async fn wrong_arguments_are_answers_a_model_can_act_on() {
    let world = World::new().await;
    let host = world.host().await;
    for (tool, arguments, word) in [
        ("fetch_paid", json!({ "uri": "https://a.example" }), "uri"),
        ("fetch_paid", json!({ "url": "https://a.example", "max_price": "50" }), "50"),
        ("fetch_paid", json!({ "url": "https://a.example", "max_price": 50 }), "50"),
        ("fetch_paid", json!({ "url": "https://a.example", "offset": -1 }), "-1"),
        ("set_budget", json!({ "scope": "week", "limit": "5 sat" }), "week"),
        ("set_budget", json!({ "scope": "day", "limit": "-5 sat" }), "-5"),
        ("set_budget", json!({ "scope": "day" }), "limit"),
        ("get_balance", json!({ "verbose": true }), "verbose"),
    ] {
        let told = host.call(tool, arguments).await;
        assert!(told.is_error(), "{}", told.text());
        assert!(told.say().starts_with("Nothing was paid: ") && told.say().contains(word), "{}", told.say());
        assert!(!told.say().contains(".rs"), "{}", told.say());
    }
}

#[tokio::test]
async fn two_calls_under_one_id_pay_once_and_do_no_harm() {
    let world = World::new().await;
    let seller = crate::support::Seller::honest(world.node(), 4_000, r#"{"data":1}"#).await;
    let host = world.host().await;
    let arguments = json!({ "url": seller.url("/twice") });
    let call = json!({ "jsonrpc": "2.0", "id": 4242, "method": "tools/call",
                       "params": { "name": "fetch_paid", "arguments": arguments } });
    let answer = host.expect_answer(4242);
    host.send(call.clone()).await;
    host.send(call).await;
    let answer = tokio::time::timeout(Duration::from_secs(20), answer).await.expect("in time").expect("an answer");
    assert!(answer["result"].is_object(), "{answer}");
    lives(&host).await;
    let again = host.fetch(arguments).await;
    assert!(["stored", "token"].contains(&again.outcome()), "{}", again.text());
    assert_eq!(world.spent_msat(), 4_000);
    assert!(host.close().await.success());
    world.verify_money().await;
}

#[tokio::test]
async fn noise_before_the_first_word_is_survived() {
    let world = World::new().await;
    for noise in [
        "{\"jsonrpc\":\"2.0\",\"id\":900,\"method\":\"ping\"}\n",
        "{\"jsonrpc\":\"2.0\",\"id\n",
        "[]\n",
        "\u{1}\n\n",
        "{\"jsonrpc\":\"2.0\",\"id\":901,\"method\":\"tools/list\"}\n",
    ] {
        let mut host = Host::spawn(&world.envs(), Era::Handshake);
        host.send_raw(noise.as_bytes()).await;
        host.hello().await;
        lives(&host).await;
    }
}

#[tokio::test]
async fn a_host_that_begins_with_a_notification_is_told_why_nobody_answers() {
    let world = World::new().await;
    let mut host = Host::spawn(&world.envs(), Era::Handshake);
    host.send(json!({ "jsonrpc": "2.0", "method": "notifications/initialized" })).await;
    assert!(!host.ended().await.success());
    tokio::time::sleep(Duration::from_millis(200)).await;
    let log = host.log.lock().unwrap();
    assert!(log.contains("did not begin"), "{log}");
}
