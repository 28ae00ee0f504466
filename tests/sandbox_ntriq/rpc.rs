//! The chain's node, asked in plain JSON-RPC.

use std::time::{Duration, Instant};

use bursar::{
    evm::{hex, keccak256},
    sandbox::RpcMode,
};
use serde_json::{Value, json};

use crate::buyer::{CENT, FUNDS, NOW_S, Scene, http};

async fn send(scene: &Scene, asked: &Value) -> String {
    let sent = http().post(scene.world.rpc_url()).body(asked.to_string()).send().await.unwrap();
    sent.text().await.unwrap()
}

async fn call(scene: &Scene, method: &str, params: Value) -> Value {
    let asked = json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": params});
    let reply: Value = serde_json::from_str(&send(scene, &asked).await).unwrap();
    assert_eq!((&reply["id"], &reply["jsonrpc"]), (&json!(7), &json!("2.0")));
    reply
}

async fn result(scene: &Scene, method: &str, params: Value) -> Value {
    let reply = call(scene, method, params).await;
    assert!(reply.get("error").is_none(), "{reply}");
    reply["result"].clone()
}

fn data(signature: &str, words: &[[u8; 32]]) -> String {
    hex(&[&keccak256(signature.as_bytes())[..4], &words.concat()].concat())
}

async fn view(scene: &Scene, data: String, at: &str) -> Value {
    result(scene, "eth_call", json!([{"to": scene.token().address, "data": data}, at])).await
}

fn number(word: &Value) -> u64 {
    u64::from_str_radix(word.as_str().unwrap().trim_start_matches("0x").trim_start_matches('0'), 16).unwrap_or(0)
}

async fn is_used(scene: &Scene, nonce: [u8; 32], at: &str) -> bool {
    number(&view(scene, data("authorizationState(address,bytes32)", &[scene.me().word(), nonce]), at).await) == 1
}

#[tokio::test]
async fn it_is_base_sepolia_and_its_newest_block_is_now() {
    let scene = Scene::new().await;
    assert_eq!(result(&scene, "eth_chainId", json!([])).await, "0x14a34");
    let number = result(&scene, "eth_blockNumber", json!([])).await;
    let block = result(&scene, "eth_getBlockByNumber", json!(["latest", false])).await;
    assert_eq!((&block["number"], &block["timestamp"]), (&number, &json!(format!("{NOW_S:#x}"))));
    let same = result(&scene, "eth_getBlockByNumber", json!([number, false])).await;
    assert_eq!(same, block);
    scene.clock.advance_ms(2000);
    let later = result(&scene, "eth_getBlockByNumber", json!(["latest", false])).await;
    assert_eq!(later["timestamp"], json!(format!("{:#x}", NOW_S + 2)));
    assert_eq!(result(&scene, "eth_getBlockByNumber", json!(["0xfffffffff", false])).await, Value::Null);
    assert_eq!(scene.world.rpc().calls("eth_getBlockByNumber"), 4);
}

#[tokio::test]
async fn the_token_reads_as_usdc_and_everything_else_as_empty() {
    let scene = Scene::new().await;
    let text = |t: &str| {
        let mut word = [0; 32];
        word[..t.len()].copy_from_slice(t.as_bytes());
        let length = bursar::evm::word(t.len() as u64);
        json!(hex(&[bursar::evm::word(32), length, word].concat()))
    };
    assert_eq!(view(&scene, data("name()", &[]), "latest").await, text("USDC"));
    assert_eq!(view(&scene, data("version()", &[]), "latest").await, text("2"));
    assert_eq!(number(&view(&scene, data("decimals()", &[]), "latest").await), 6);
    assert_eq!(view(&scene, data("DOMAIN_SEPARATOR()", &[]), "latest").await, json!(hex(&scene.token().separator())));
    assert_eq!(number(&view(&scene, data("balanceOf(address)", &[scene.me().word()]), "latest").await), FUNDS);
    let unknown =
        call(&scene, "eth_call", json!([{"to": scene.token().address, "data": "0x12345678"}, "latest"])).await;
    assert_eq!(unknown["error"]["code"], 3);
    let nobody = json!([{"to": scene.me(), "input": data("name()", &[])}, "latest"]);
    assert_eq!(result(&scene, "eth_call", nobody).await, "0x");
    assert_eq!(result(&scene, "eth_getCode", json!([scene.me(), "latest"])).await, "0x");
    assert_ne!(result(&scene, "eth_getCode", json!([scene.token().address, "latest"])).await, "0x");
    scene.world.chain().set_code(scene.me(), vec![0xef, 0x01, 0x00]);
    assert_eq!(result(&scene, "eth_getCode", json!([scene.me(), "latest"])).await, "0xef0100");
}

#[tokio::test]
async fn a_payment_is_seen_in_the_state_in_the_logs_and_in_its_receipt() {
    let scene = Scene::new().await;
    let before = result(&scene, "eth_blockNumber", json!([])).await;
    scene.clock.advance_ms(5000);
    assert_eq!(scene.buy("/sentiment").await.status, 200);
    let paid = scene.world.chain().moved().remove(0);
    assert!(is_used(&scene, paid.nonce, "latest").await);
    assert!(!is_used(&scene, paid.nonce, before.as_str().unwrap()).await, "it was not, five seconds ago");
    let balance = data("balanceOf(address)", &[scene.me().word()]);
    assert_eq!(number(&view(&scene, balance.clone(), "latest").await), FUNDS - CENT);
    assert_eq!(number(&view(&scene, balance, before.as_str().unwrap()).await), FUNDS);

    let used = hex(&keccak256(b"AuthorizationUsed(address,bytes32)"));
    let filter = |topics: Value| json!([{"address": scene.token().address, "fromBlock": before, "topics": topics}]);
    let found = result(&scene, "eth_getLogs", filter(json!([used, hex(&scene.me().word()), hex(&paid.nonce)]))).await;
    assert_eq!(found.as_array().unwrap().len(), 1);
    assert_eq!(found[0]["transactionHash"], hex(&paid.transaction));
    let none = result(&scene, "eth_getLogs", filter(json!([used, null, hex(&[0; 32])]))).await;
    assert_eq!(none, json!([]));
    let moved = hex(&keccak256(b"Transfer(address,address,uint256)"));
    let both = result(&scene, "eth_getLogs", filter(json!([[used, moved.clone()], hex(&scene.me().word())]))).await;
    assert_eq!(both.as_array().unwrap().len(), 2);
    let minted = json!([{"fromBlock": "earliest", "toBlock": before, "topics": [moved, hex(&[0; 32])]}]);
    assert_eq!(result(&scene, "eth_getLogs", minted).await.as_array().unwrap().len(), 1);

    let receipt = result(&scene, "eth_getTransactionReceipt", json!([hex(&paid.transaction)])).await;
    assert_eq!((&receipt["status"], receipt["logs"].as_array().unwrap().len()), (&json!("0x1"), 2));
    assert_eq!(number(&receipt["logs"][1]["data"]), CENT);
    assert_eq!(result(&scene, "eth_getTransactionReceipt", json!([hex(&[1; 32])])).await, Value::Null);
}

#[tokio::test]
async fn a_batch_is_answered_as_one_and_nonsense_with_the_right_code() {
    let scene = Scene::new().await;
    let asked = json!([
        {"jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": []},
        {"jsonrpc": "2.0", "method": "eth_chainId", "params": []},
        {"jsonrpc": "2.0", "id": "two", "method": "eth_sendMoney"},
        {"id": 3},
    ]);
    let replies: Value = serde_json::from_str(&send(&scene, &asked).await).unwrap();
    assert_eq!(replies.as_array().unwrap().len(), 3, "a notification is not answered");
    assert_eq!(replies[0]["result"], "0x14a34");
    assert_eq!((&replies[1]["id"], &replies[1]["error"]["code"]), (&json!("two"), &json!(-32601)));
    assert_eq!(replies[2]["error"]["code"], -32600);
    let empty: Value = serde_json::from_str(&send(&scene, &json!([])).await).unwrap();
    assert_eq!(empty["error"]["code"], -32600);
    let sent = http().post(scene.world.rpc_url()).body("{").send().await.unwrap().text().await.unwrap();
    assert_eq!(serde_json::from_str::<Value>(&sent).unwrap()["error"]["code"], -32700);
    let bad = call(&scene, "eth_call", json!([{"to": "nobody", "data": "0x"}, "latest"])).await;
    assert_eq!(bad["error"]["code"], -32602);
    assert_eq!(http().get(scene.world.rpc_url()).send().await.unwrap().status(), 405);
    assert_eq!((scene.world.rpc().calls("eth_chainId"), scene.world.rpc().all_calls()), (2, 5));
}

#[tokio::test]
async fn a_node_can_lie_about_payments_balances_and_the_chain() {
    let scene = Scene::new().await;
    scene.buy("/sentiment").await;
    let nonce = scene.world.chain().moved()[0].nonce;
    let rpc = scene.world.rpc();
    rpc.set_mode(RpcMode::ForgetsPayments);
    assert!(!is_used(&scene, nonce, "latest").await);
    assert_eq!(result(&scene, "eth_getLogs", json!([{"fromBlock": "earliest"}])).await, json!([]));
    rpc.set_mode(RpcMode::InventsPayments);
    assert!(is_used(&scene, [3; 32], "latest").await);
    rpc.set_mode(RpcMode::SaysBalance(5));
    assert_eq!(number(&view(&scene, data("balanceOf(address)", &[scene.me().word()]), "latest").await), 5);
    rpc.set_mode(RpcMode::WrongChain(1));
    assert_eq!(result(&scene, "eth_chainId", json!([])).await, "0x1");
    rpc.set_mode(RpcMode::Empty);
    assert_eq!(view(&scene, data("name()", &[]), "latest").await, "0x");
    rpc.set_mode(RpcMode::Fails(-32000, "out of order".into()));
    assert_eq!(call(&scene, "eth_chainId", json!([])).await["error"]["message"], "out of order");
    rpc.set_mode(RpcMode::ShortLogs(100));
    let long = call(&scene, "eth_getLogs", json!([{"fromBlock": "earliest"}])).await;
    assert_eq!(long["error"]["code"], -32005);
    rpc.set_mode(RpcMode::Honest);
    assert!(is_used(&scene, nonce, "latest").await);
}

#[tokio::test]
async fn a_node_that_is_behind_has_not_seen_the_payment_yet() {
    let scene = Scene::new().await;
    scene.buy("/sentiment").await;
    let nonce = scene.world.chain().moved()[0].nonce;
    let transaction = hex(&scene.world.chain().moved()[0].transaction);
    scene.world.rpc().set_mode(RpcMode::Behind(30));
    assert!(!is_used(&scene, nonce, "latest").await);
    assert_eq!(result(&scene, "eth_getTransactionReceipt", json!([transaction])).await, Value::Null);
    scene.clock.advance_ms(30_000);
    assert!(is_used(&scene, nonce, "latest").await);
}

#[tokio::test]
async fn a_node_can_be_slow_silent_gone_busy_or_a_web_page() {
    let scene = Scene::new().await;
    let rpc = scene.world.rpc();
    let asked = json!({"jsonrpc": "2.0", "id": 1, "method": "eth_chainId"}).to_string();
    let ask = |ms: u64| http().post(rpc.url()).timeout(Duration::from_millis(ms)).body(asked.clone()).send();
    rpc.set_mode(RpcMode::Slow(50));
    let begun = Instant::now();
    assert_eq!(ask(5000).await.unwrap().status(), 200);
    assert!(begun.elapsed() >= Duration::from_millis(50));
    rpc.set_mode(RpcMode::Silent);
    assert!(ask(100).await.unwrap_err().is_timeout());
    rpc.set_mode(RpcMode::HangsUp);
    assert!(!ask(5000).await.unwrap_err().is_timeout());
    rpc.set_mode(RpcMode::RateLimited);
    assert_eq!(ask(5000).await.unwrap().status(), 429);
    rpc.set_mode(RpcMode::Garbage);
    assert!(ask(5000).await.unwrap().text().await.unwrap().starts_with("<html>"));
}
