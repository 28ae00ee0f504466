//! What a host sees before anything is called.

use serde_json::{Value, json};

use crate::{
    ERAS,
    support::{Era, Host, World},
};

/// The most bytes the answer to `tools/list` may have, without its newline: it is read in every conversation.
const MOST: usize = 3_600;

async fn listed(host: &Host) -> (String, Value) {
    let answer = host.request("tools/list", json!({})).await.expect("an answer");
    let id = answer["id"].as_i64();
    let lines = host.lines.lock().unwrap();
    let is_it = |l: &&String| serde_json::from_str::<Value>(l).is_ok_and(|m| m["id"].as_i64() == id);
    (lines.iter().find(is_it).expect("the line").clone(), answer["result"]["tools"].clone())
}

/// Every object of a JSON value.
fn objects<'a>(value: &'a Value, found: &mut Vec<&'a serde_json::Map<String, Value>>) {
    match value {
        Value::Object(map) => {
            found.push(map);
            map.values().for_each(|v| objects(v, found));
        }
        Value::Array(items) => items.iter().for_each(|v| objects(v, found)),
        _ => {}
    }
}

#[tokio::test]
async fn the_list_is_four_tools_in_few_bytes_and_always_the_same() {
    let world = World::new().await;
    let mut first: Option<Value> = None;
    for era in ERAS {
        for _ in 0..2 {
            let host = world.host_in(era).await;
            let (line, tools) = listed(&host).await;
            println!("{era:?}: tools/list has {} bytes", line.len());
            assert!(line.len() <= MOST, "{} bytes in {era:?}", line.len());
            assert_eq!(listed(&host).await.1, tools);
            let names: Vec<&str> = tools.as_array().unwrap().iter().map(|t| t["name"].as_str().unwrap()).collect();
            assert_eq!(names, ["discover_api", "fetch_paid", "get_balance", "set_budget"]);
            assert_eq!(*first.get_or_insert_with(|| tools.clone()), tools);
            host.close().await;
        }
    }
}

#[tokio::test]
async fn input_schemas_are_plain_enough_for_every_host() {
    let world = World::new().await;
    let host = world.host().await;
    let (_, tools) = listed(&host).await;
    for tool in tools.as_array().unwrap() {
        let schema = &tool["inputSchema"];
        assert_eq!(schema["type"], "object", "{tool}");
        assert_eq!(schema["additionalProperties"], false, "{tool}");
        for word in ["anyOf", "oneOf", "allOf", "$ref", "$defs"] {
            assert!(!schema.to_string().contains(&format!("\"{word}\"")), "{tool}");
        }
        let mut found = Vec::new();
        objects(schema, &mut found);
        for object in found {
            assert!(!object.get("format").is_some_and(Value::is_string), "{tool}");
            assert!(!object.get("type").is_some_and(Value::is_array), "{tool}");
        }
        for (name, property) in schema["properties"].as_object().unwrap() {
            assert!(property["type"].is_string(), "{name} of {tool} says nothing of its type");
        }
        let about = tool["description"].as_str().unwrap();
        assert!((80..600).contains(&about.len()), "{about}");
        assert!(about.is_ascii() && tool["title"].as_str().is_some_and(|t| !t.is_empty()), "{tool}");
    }
}

#[tokio::test]
async fn annotations_say_what_a_tool_does_to_the_world() {
    let world = World::new().await;
    let host = world.host().await;
    let (_, tools) = listed(&host).await;
    let hint = |tool: usize, hint: &str| tools[tool]["annotations"][hint].as_bool().unwrap();
    let [discover, fetch, balance, budget] = [0, 1, 2, 3];
    for (tool, read_only, open, destructive) in [
        (discover, true, true, false),
        (fetch, false, true, true),
        (balance, true, false, false),
        (budget, false, false, false),
    ] {
        assert_eq!(hint(tool, "readOnlyHint"), read_only, "{}", tools[tool]);
        assert_eq!(hint(tool, "openWorldHint"), open, "{}", tools[tool]);
        assert_eq!(hint(tool, "destructiveHint"), destructive, "{}", tools[tool]);
    }
    assert!(!hint(fetch, "idempotentHint"), "an equal call later is a new purchase");
    // A person is asked at every call, whatever was allowed before.
    assert_eq!(tools[budget]["_meta"]["anthropic/requiresUserInteraction"], true);
    assert!((0..3).all(|t| tools[t].get("_meta").is_none()));
}

#[tokio::test]
async fn hosts_are_told_in_a_few_words_when_to_look_here() {
    let world = World::new().await;
    let host = Host::spawn(&world.envs(), Era::Handshake);
    let params =
        json!({ "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": { "name": "t", "version": "1" } });
    let hello = host.request("initialize", params).await.unwrap();
    assert_eq!(hello["result"]["protocolVersion"], "2025-06-18", "an older revision is spoken when it is asked for");
    let told = hello["result"]["instructions"].as_str().unwrap();
    assert!(told.len() < 600 && told.contains("402"), "{told}");

    let host = world.host_in(Era::Stateless).await;
    let about = host.request("server/discover", json!({})).await.unwrap();
    let about = &about["result"];
    assert!(about["supportedVersions"].as_array().unwrap().contains(&json!("2026-07-28")), "{about}");
    for face in ["tools", "resources", "prompts"] {
        assert!(about["capabilities"][face].is_object(), "{about}");
    }
}
