//! The older transport, HTTP+SSE.

use bursar::sandbox::Behaviour;
use http_body_util::Full;
use hyper::{Request, body::Bytes};
use serde_json::json;

use crate::{
    door::{Door, token, until_message},
    stream::Older,
    support::{Seller, World, money, until, until_answered},
};

#[tokio::test]
async fn the_older_transport_lists_and_buys_and_knows_what_was_read() {
    let world = World::new().await;
    let seller = Seller::honest(world.node(), 21_000, r#"{"data":"a"}"#).await;
    let made = token(&world, "scout", &[]).await;
    let door = Door::open(&world, &["--sse"]).await;
    let mut older = Older::come(&door, &made).await;
    assert_eq!(older.ask("tools/list", json!({})).await["result"]["tools"].as_array().unwrap().len(), 4);
    let call = json!({ "name": "fetch_paid", "arguments": { "url": seller.url("/a") } });
    let told = older.ask("tools/call", call).await["result"].clone();
    assert_eq!(told["structuredContent"]["outcome"], "bought", "{told}");
    until_answered(&world, told["structuredContent"]["purchase"].as_str().unwrap()).await;
    world.verify_money().await;
}

#[tokio::test]
async fn a_letterbox_is_nobody_elses_and_closes_with_its_stream() {
    let world = World::new().await;
    let (made, other) = (token(&world, "scout", &[]).await, token(&world, "other", &[]).await);
    let door = Door::open(&world, &["--sse"]).await;
    let older = Older::come(&door, &made).await;
    let ping = json!({ "jsonrpc": "2.0", "id": 9, "method": "ping" });
    assert_eq!(older.post_as(&other, &ping).await, 404);
    assert_eq!(older.post(&json!({ "not": "a message" })).await, 400);
    assert_eq!(older.post(&ping).await, 202);
    let Older { letterbox, stream, token, .. } = older;
    drop(stream);
    crate::support::until("the letterbox is closed", async || {
        let request = Request::post(&letterbox)
            .header("host", door.host())
            .header("authorization", format!("Bearer {token}"))
            .body(Full::new(Bytes::from(ping.to_string())))
            .unwrap();
        door.ask(request).await.status == 404
    })
    .await;
}

#[tokio::test]
async fn it_is_off_unless_asked_for_and_ends_with_the_server() {
    let world = World::new().await;
    let made = token(&world, "scout", &[]).await;
    let bearer = format!("Bearer {made}");
    let door = Door::open(&world, &[]).await;
    for path in ["/sse", "/messages"] {
        assert_eq!(door.get(path, &[("authorization", &bearer)]).await.status, 404, "{path}");
    }
    let mut door = Door::open(&world, &["--sse"]).await;
    let port = door.port;
    let older = Older::come(&door, &made).await;
    let Older { stream, .. } = older;
    let begun = std::time::Instant::now();
    door.term();
    assert!(door.ended().await.success());
    assert!(begun.elapsed() < std::time::Duration::from_secs(3), "{port} {:?}", begun.elapsed());
    drop(stream);
}

const PRICE: u64 = 21_000;
const DATA: &str = r#"{"data":"a"}"#;

async fn shop(config: &str) -> (World, Seller, String, Door) {
    let world = World::with(config).await;
    let seller = Seller::honest(world.node(), PRICE, DATA).await;
    let made = token(&world, "scout", &[]).await;
    let door = Door::open(&world, &["--sse"]).await;
    (world, seller, made, door)
}

async fn paying(world: &World) {
    until("the wallet has the bytes", async || world.wallet().seen("pay_invoice") == 1).await;
}

#[tokio::test]
async fn a_stream_of_the_older_transport_that_breaks_while_paying_costs_nothing_twice() {
    let (world, seller, made, door) = shop("").await;
    let older = Older::come(&door, &made).await;
    world.wallet().next(Behaviour::slow_payment(700));
    older.wish(1, &seller).await;
    paying(&world).await;
    drop(older);
    until("it is delivered", async || money::states(&world).await == ["delivered"]).await;
    let id = money::purchases(&world).await[0].purchase.clone().unwrap();
    let standing = world.ledger().find(id.parse().unwrap()).await.unwrap().unwrap();
    assert_eq!(standing.answered_ms, None, "nobody read it");
    let mut again = Older::come(&door, &made).await;
    again.wish(1, &seller).await;
    let told = again.answer_to(1).await;
    assert!(told.text().contains(DATA) && told.outcome() == "stored", "{}", told.text());
    assert_eq!((world.spent_msat(), world.wallet().pay_events().len()), (PRICE, 1));
    until_answered(&world, &id).await;
    world.verify_money().await;
}

#[tokio::test]
async fn a_call_of_the_older_transport_that_is_cancelled_tells_how_far_it_came_and_finishes() {
    let (world, seller, made, door) = shop("").await;
    let mut older = Older::come(&door, &made).await;
    world.wallet().next(Behaviour::slow_payment(2_500));
    older.wish(1, &seller).await;
    let told = until_message(&mut older.stream, |m| m["method"] == "notifications/progress").await;
    assert_eq!(told["params"]["progressToken"], 1, "{told}");
    assert!(told["params"]["message"].as_str().unwrap().contains("paying"), "{told}");
    let params = json!({ "requestId": 1, "reason": "the user pressed escape" });
    let cancel = json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": params });
    assert_eq!(older.post(&cancel).await, 202);
    until("it is delivered", async || money::states(&world).await == ["delivered"]).await;
    older.wish(2, &seller).await;
    let told = older.answer_to(2).await;
    assert_eq!(told.outcome(), "stored", "{}", told.text());
    assert_eq!(world.spent_msat(), PRICE);
    world.verify_money().await;
}

#[tokio::test]
async fn a_question_comes_down_the_stream_of_the_older_transport_and_its_answer_goes_up() {
    let yes = json!({ "action": "accept", "content": { "approve": true } });
    for (answer, outcome, spent) in [(yes, "bought", PRICE), (json!({ "action": "decline" }), "refused", 0)] {
        let (world, seller, made, door) = shop("[approval]\nabove = { sat = \"20\" }").await;
        let mut older = Older::come_with(&door, &made, json!({ "elicitation": {} })).await;
        older.wish(1, &seller).await;
        let asked = until_message(&mut older.stream, |m| m["method"] == "elicitation/create").await;
        assert!(asked["params"]["message"].as_str().unwrap().contains("21 sat"), "{asked}");
        assert_eq!(older.post(&json!({ "jsonrpc": "2.0", "id": asked["id"], "result": answer })).await, 202);
        let told = older.answer_to(1).await;
        assert_eq!((told.outcome(), world.spent_msat()), (outcome, spent), "{}", told.raw);
        world.verify_money().await;
    }
}

#[tokio::test]
async fn a_server_told_to_stop_while_paying_answers_down_the_stream_of_the_older_transport() {
    let (world, seller, made, mut door) = shop("").await;
    let older = Older::come(&door, &made).await;
    world.wallet().next(Behaviour::slow_payment(1_200));
    older.wish(1, &seller).await;
    paying(&world).await;
    let Older { mut stream, .. } = older;
    door.term();
    let answer = until_message(&mut stream, |m| m["id"] == 1 && m.get("result").is_some()).await;
    assert!(answer.to_string().contains("\\\"data\\\""), "{answer}");
    assert!(door.ended().await.success());
    assert_eq!((world.spent_msat(), money::states(&world).await), (PRICE, vec!["delivered".to_owned()]));
    let id = money::purchases(&world).await[0].purchase.clone().unwrap();
    until_answered(&world, &id).await;
    world.verify_money().await;
}
