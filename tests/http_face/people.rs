//! A person's word, asked for over HTTP in both eras.

use serde_json::{Value, json};

use crate::{
    door::{Agent, Door, token, until_message},
    support::{Era, Seller, Told, World, money},
};

const CONFIG: &str = "[approval]\nabove = { sat = \"50\" }";

async fn scene(era: Era) -> (World, Seller, Door, Agent) {
    let world = World::with(CONFIG).await;
    let seller = Seller::honest(world.node(), 80_000, r#"{"data":"dear"}"#).await;
    let made = token(&world, "scout", &[]).await;
    let door = Door::open(&world, &[]).await;
    let agent = Agent::come_with(&door, &made, era, json!({ "elicitation": {} })).await;
    (world, seller, door, agent)
}

fn wish(seller: &Seller) -> Value {
    json!({ "name": "fetch_paid", "arguments": { "url": seller.url("/dear") } })
}

/// Answers the question that comes on the stream of the call.
async fn answer_on_the_stream(agent: &Agent, params: Value, answer: Value) -> Told {
    let (id, message) = agent.message("tools/call", params);
    let mut stream = agent.begin(&message).await;
    let asked = until_message(&mut stream, |m| m["method"] == "elicitation/create").await;
    assert!(asked["params"]["message"].as_str().unwrap().contains("80 sat"), "{asked}");
    let reply = json!({ "jsonrpc": "2.0", "id": asked["id"], "result": answer });
    assert_eq!(agent.ask(&reply).await.status, 202);
    let told = until_message(&mut stream, |m| m["id"] == id && m.get("method").is_none()).await;
    Told { raw: told["result"].clone() }
}

/// Calls, and calls again with the answer and the state.
async fn retry(agent: &Agent, params: &Value, state: &Value, answer: Value) -> Told {
    let mut again = params.clone();
    again["requestState"] = state.clone();
    again["inputResponses"] = json!({ "approval": answer });
    Told { raw: agent.rpc("tools/call", again).await["result"].clone() }
}

fn yes() -> Value {
    json!({ "action": "accept", "content": { "approve": true } })
}

#[tokio::test]
async fn with_a_handshake_the_question_comes_on_the_stream_of_the_call() {
    for (answer, outcome, spent) in [(yes(), "bought", 80_000), (json!({ "action": "decline" }), "refused", 0)] {
        let (world, seller, _door, agent) = scene(Era::Handshake).await;
        let told = answer_on_the_stream(&agent, wish(&seller), answer).await;
        assert_eq!((told.outcome(), world.spent_msat()), (outcome, spent), "{}", told.raw);
        world.verify_money().await;
    }
}

#[tokio::test]
async fn without_one_the_question_is_the_answer_and_its_state_opens_once_for_its_agent() {
    let (world, seller, door, agent) = scene(Era::Stateless).await;
    let params = wish(&seller);
    let required = agent.rpc("tools/call", params.clone()).await["result"].clone();
    assert_eq!(required["resultType"], "input_required", "{required}");
    let state = &required["requestState"];
    let other = token(&world, "mallory", &[]).await;
    let mallory = Agent::come_with(&door, &other, Era::Stateless, json!({ "elicitation": {} })).await;
    let stolen = retry(&mallory, &params, state, yes()).await;
    assert_eq!(stolen.facts()["code"], "stale_approval", "{}", stolen.raw);
    assert_eq!(world.spent_msat(), 0);
    let told = retry(&agent, &params, state, yes()).await;
    assert_eq!(told.outcome(), "bought", "{}", told.raw);
    let again = retry(&agent, &params, state, yes()).await;
    assert_ne!(again.outcome(), "bought", "{}", again.raw);
    assert_eq!((world.spent_msat(), money::states(&world).await.len()), (80_000, 1));
    world.verify_money().await;
}

#[tokio::test]
async fn an_agent_whose_host_cannot_ask_is_told_where_a_person_can_say_yes() {
    let (world, seller, door, agent) = scene(Era::Handshake).await;
    let mute = Agent::come(&door, &agent.token, Era::Handshake).await;
    let told = Told { raw: mute.rpc("tools/call", wish(&seller)).await["result"].clone() };
    assert_eq!(told.outcome(), "awaiting_approval", "{}", told.raw);
    let id = told.purchase().to_owned();
    assert!(told.text().contains(&format!("bursar approve {id}")), "{}", told.text());
    assert_eq!(world.run(&["approve", &id]).await.0, 0);
    let bought = mute.fetch(json!({ "url": seller.url("/dear") })).await;
    assert_eq!((bought.outcome(), world.spent_msat()), ("bought", 80_000), "{}", bought.text());
}
