//! Whoever asked goes away, or the server does, while money is on its way.

use std::time::{Duration, Instant};

use bursar::sandbox::Behaviour;
use serde_json::{Value, json};

use crate::{
    ERAS,
    door::{Agent, Door, token, until_message},
    support::{Era, Gate, Reply, Seller, World, money, token_for, until, until_answered},
};

const DATA: &str = r#"{"data":"a"}"#;
const PRICE: u64 = 21_000;

async fn shop(era: Era) -> (World, Seller, Door, Agent) {
    let world = World::new().await;
    let seller = Seller::honest(world.node(), PRICE, DATA).await;
    let made = token(&world, "scout", &[]).await;
    let door = Door::open(&world, &[]).await;
    let agent = Agent::come(&door, &made, era).await;
    (world, seller, door, agent)
}

fn wish(agent: &Agent, seller: &Seller) -> (i64, Value) {
    let arguments = json!({ "url": seller.url("/a") });
    agent.message("tools/call", json!({ "name": "fetch_paid", "arguments": arguments }))
}

async fn paying(world: &World) {
    until("the wallet has the bytes", async || world.wallet().seen("pay_invoice") == 1).await;
}

async fn ask_and_go(world: &World, agent: &Agent, message: &Value) {
    agent.ask_and_leave(message, "the wallet has the bytes", async || world.wallet().seen("pay_invoice") == 1).await;
}

#[tokio::test]
async fn a_stream_that_breaks_while_paying_is_asked_for_again_and_nothing_is_paid_twice() {
    for era in ERAS {
        let (world, seller, _door, agent) = shop(era).await;
        world.wallet().next(Behaviour::slow_payment(700));
        ask_and_go(&world, &agent, &wish(&agent, &seller).1).await;
        let told = agent.fetch(json!({ "url": seller.url("/a") })).await;
        assert!(told.text().contains(DATA) && told.outcome() == "stored", "{era:?} {}", told.text());
        assert_eq!((world.spent_msat(), world.wallet().pay_events().len()), (PRICE, 1));
        world.verify_money().await;
    }
}

#[tokio::test]
async fn an_answer_that_nobody_read_does_not_count_as_handed_over() {
    for era in ERAS {
        let (world, seller, _door, agent) = shop(era).await;
        world.wallet().next(Behaviour::slow_payment(500));
        ask_and_go(&world, &agent, &wish(&agent, &seller).1).await;
        until("it is delivered", async || money::states(&world).await == ["delivered"]).await;
        let rows = money::purchases(&world).await;
        let id = rows[0].purchase.clone().unwrap();
        let standing = world.ledger().find(id.parse().unwrap()).await.unwrap().unwrap();
        assert_eq!(standing.answered_ms, None, "{era:?}");
        let told = agent.fetch(json!({ "url": seller.url("/a") })).await;
        assert_eq!(told.outcome(), "stored", "{era:?} {}", told.text());
        until_answered(&world, &id).await;
    }
}

#[tokio::test]
async fn an_answer_that_was_read_counts_and_the_next_equal_call_is_a_new_request() {
    for era in ERAS {
        let (world, seller, _door, agent) = shop(era).await;
        let told = agent.fetch(json!({ "url": seller.url("/a") })).await;
        until_answered(&world, told.purchase()).await;
        let again = agent.fetch(json!({ "url": seller.url("/a") })).await;
        assert_eq!(again.outcome(), "token", "{era:?} {}", again.text());
        assert_eq!(world.spent_msat(), PRICE);
    }
}

#[tokio::test]
async fn a_cancelled_call_of_a_session_finishes_and_the_equal_call_gets_its_answer_free() {
    let (world, seller, _door, agent) = shop(Era::Handshake).await;
    world.wallet().next(Behaviour::slow_payment(700));
    let (id, message) = wish(&agent, &seller);
    let _stream = agent.begin(&message).await;
    paying(&world).await;
    let params = json!({ "requestId": id, "reason": "the user pressed escape" });
    let cancel = json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": params });
    assert_eq!(agent.ask(&cancel).await.status, 202);
    until("it is delivered", async || money::states(&world).await == ["delivered"]).await;
    let told = agent.fetch(json!({ "url": seller.url("/a") })).await;
    assert_eq!(told.outcome(), "stored", "{}", told.text());
    assert_eq!(world.spent_msat(), PRICE);
    world.verify_money().await;
}

#[tokio::test]
async fn progress_is_told_on_the_stream_of_the_call() {
    for era in ERAS {
        let (world, seller, _door, agent) = shop(era).await;
        world.wallet().next(Behaviour::slow_payment(2_500));
        let (id, mut message) = wish(&agent, &seller);
        message["params"]["_meta"]["progressToken"] = json!("t");
        let mut stream = agent.begin(&message).await;
        let told = until_message(&mut stream, |m| m["method"] == "notifications/progress").await;
        assert_eq!(told["params"]["progressToken"], "t", "{era:?} {told}");
        assert!(told["params"]["message"].as_str().unwrap().contains("paying"), "{told}");
        until_message(&mut stream, |m| m["id"] == id && m.get("result").is_some()).await;
    }
}

#[tokio::test]
async fn a_server_told_to_stop_while_paying_finishes_the_payment_and_answers() {
    for era in ERAS {
        let (world, seller, mut door, agent) = shop(era).await;
        world.wallet().next(Behaviour::slow_payment(1_200));
        let (_, message) = wish(&agent, &seller);
        let asked = async { agent.ask(&message).await.response() };
        let stop = async {
            paying(&world).await;
            let begun = Instant::now();
            door.term();
            assert!(door.ended().await.success());
            begun.elapsed()
        };
        let (answer, took) = tokio::join!(asked, stop);
        assert!(took < Duration::from_secs(10), "{era:?} {took:?}");
        assert!(answer.to_string().contains("\\\"data\\\""), "{era:?} {answer}");
        assert_eq!((world.spent_msat(), money::states(&world).await), (PRICE, vec!["delivered".to_owned()]));
        world.verify_money().await;
    }
}

#[tokio::test]
async fn a_payment_that_outlasts_the_stop_is_written_down_as_unknown() {
    let world = World::with("[waits]\nexit = 1").await;
    let seller = Seller::honest(world.node(), PRICE, DATA).await;
    let made = token(&world, "scout", &[]).await;
    let mut door = Door::open(&world, &[]).await;
    let agent = Agent::come(&door, &made, Era::Handshake).await;
    world.wallet().next(Behaviour::slow_payment(60_000));
    let _stream = agent.begin(&wish(&agent, &seller).1).await;
    paying(&world).await;
    let begun = Instant::now();
    door.term();
    assert!(door.ended().await.success());
    assert!(begun.elapsed() < Duration::from_secs(12), "{:?}", begun.elapsed());
    assert_eq!(money::states(&world).await, ["unknown"]);
}

#[tokio::test]
async fn a_server_with_idle_sessions_and_open_streams_stops_at_once() {
    let (_world, _, mut door, agent) = shop(Era::Handshake).await;
    let listen = hyper::Request::get("/mcp")
        .header("host", door.host())
        .header("authorization", format!("Bearer {}", agent.token))
        .header("accept", "text/event-stream")
        .header("mcp-session-id", agent.session.clone().unwrap())
        .body(http_body_util::Full::default())
        .unwrap();
    let listening = door.send(listen).await;
    let begun = Instant::now();
    door.term();
    assert!(door.ended().await.success());
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    drop(listening);
}

#[tokio::test]
async fn a_tool_that_panics_is_an_answer_and_the_server_lives_on() {
    for era in ERAS {
        let mut world = World::new().await;
        world.env("BURSAR_PANIC_IN", "get_balance");
        let made = token(&world, "scout", &[]).await;
        let door = Door::open(&world, &[]).await;
        let agent = Agent::come(&door, &made, era).await;
        let told = agent.call("get_balance", json!({})).await;
        assert!(told.is_error() && told.facts()["code"] == "internal", "{}", told.raw);
        assert_eq!(agent.rpc("tools/list", json!({})).await["result"]["tools"].as_array().unwrap().len(), 4);
    }
}

#[tokio::test]
async fn a_call_of_a_client_that_left_before_anything_was_paid_pays_nothing_more_than_once() {
    let world = World::new().await;
    let gate = Gate::closed();
    let (node, waits) = (world.node().clone(), gate.clone());
    let seller = Seller::start(move |hit| match hit.credential() {
        Some(_) => Reply::ok(DATA),
        None => {
            let invoice = node.invoice(PRICE, "slow", 600).expect("an invoice");
            Reply::l402(&token_for(&invoice.payment_hash), &invoice.bolt11).behind(&waits)
        }
    })
    .await;
    let made = token(&world, "scout", &[]).await;
    let door = Door::open(&world, &[]).await;
    let agent = Agent::come(&door, &made, Era::Stateless).await;
    let (_, message) = wish(&agent, &seller);
    let gone = tokio::time::timeout(Duration::from_millis(300), agent.ask(&message)).await;
    assert!(gone.is_err());
    gate.open();
    let told = agent.fetch(json!({ "url": seller.url("/a") })).await;
    assert!(told.text().contains(DATA), "{}", told.text());
    assert_eq!(world.spent_msat(), PRICE);
}

/// The same mistake as in `money_crash`, with agents: it is the answer to who met it, and nobody pays twice.
#[tokio::test]
async fn a_panic_while_paying_is_an_error_and_the_next_equal_call_pays_nothing() {
    for era in ERAS {
        for point in ["after_w1", "after_pay", "after_w2"] {
            let mut world = World::new().await;
            world.env("BURSAR_PANIC_POINT", point);
            let seller = Seller::honest(world.node(), PRICE, DATA).await;
            let made = token(&world, "scout", &[]).await;
            let door = Door::open(&world, &[]).await;
            let agent = Agent::come(&door, &made, era).await;
            let told = agent.fetch(json!({ "url": seller.url("/a") })).await;
            assert!(told.is_error(), "{point} {era:?}: {}", told.raw);
            let mut told = agent.fetch(json!({ "url": seller.url("/a") })).await;
            while told.outcome() == "pending" {
                told = agent.fetch(json!({ "url": seller.url("/a") })).await;
            }
            assert!(told.text().contains(DATA), "{point} {era:?}: {}", told.text());
            assert_eq!((world.spent_msat(), world.wallet().pay_events().len()), (PRICE, 1), "{point} {era:?}");
            world.verify_money().await;
        }
    }
}
