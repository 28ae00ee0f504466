//! What programs read: the files in `schemas/`, and whether results are what they say.

use std::{collections::HashMap, path::Path};

use serde_json::{Value, json};

use crate::support::{Era, Host, Reply, Seller, Told, World, seller::token_for};
use bursar::sandbox::{Behaviour, Money};

fn schema(name: &str) -> Value {
    let files: HashMap<_, _> = bursar::server::schema::files().into_iter().collect();
    serde_json::from_str(&files[name]).unwrap()
}

/// Whether facts are what a tool's output schema says, and hold nothing that it does not name.
#[track_caller]
fn conforms(tool: &str, facts: &Value) {
    let schema = schema(&format!("{tool}.output.schema.json"));
    let validator = jsonschema::validator_for(&schema).unwrap();
    let wrong: Vec<String> = validator.iter_errors(facts).map(|e| format!("{} at {}", e, e.instance_path())).collect();
    assert!(wrong.is_empty(), "{tool}: {wrong:#?}\n{facts:#}");
    for name in facts.as_object().unwrap().keys() {
        assert!(schema["properties"].get(name).is_some(), "{tool}: {name} is not in the schema");
    }
    assert!(!facts.to_string().contains(":null"), "{tool}: a fact that is not known is left out: {facts}");
}

#[test]
fn the_files_in_schemas_are_the_ones_the_code_makes() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas");
    let files = bursar::server::schema::files();
    let write = std::env::var_os("BURSAR_WRITE_SCHEMAS").is_some();
    for (name, text) in &files {
        let path = folder.join(name);
        if write {
            std::fs::write(&path, text).unwrap();
        }
        let kept = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            kept == *text,
            "schemas/{name} is out of date: BURSAR_WRITE_SCHEMAS=1 cargo test --test mcp_face writes it"
        );
        jsonschema::meta::validate(&serde_json::from_str(text).unwrap()).expect("a valid schema");
    }
    for file in std::fs::read_dir(folder).unwrap() {
        let name = file.unwrap().file_name().into_string().unwrap();
        let known = !name.ends_with(".schema.json") || files.iter().any(|(n, _)| *n == name);
        assert!(known, "schemas/{name} belongs to nothing");
    }
}

#[test]
fn input_schemas_take_what_the_tools_take() {
    let takes =
        |tool: &str, arguments: Value| jsonschema::is_valid(&schema(&format!("{tool}.input.schema.json")), &arguments);
    assert!(takes("fetch_paid", json!({ "url": "https://a.example/", "max_price": "50 sat", "json": { "a": [1] } })));
    assert!(takes("fetch_paid", json!({ "result_id": "p_x", "offset": 20000, "format": "concise" })));
    assert!(takes("get_balance", json!({})));
    assert!(takes("set_budget", json!({ "scope": "day", "limit": "2 usd" })));
    assert!(!takes("set_budget", json!({ "scope": "total", "limit": "2 usd" })), "a total is the operator's");
    assert!(!takes("set_budget", json!({ "scope": "day" })));
    assert!(!takes("fetch_paid", json!({ "url": "https://a.example/", "wallet": "mine" })));
}

/// How the first text block may begin: with what happened to the money.
const MONEY_FIRST: [&str; 6] =
    ["Nothing was paid", "Nothing more was paid", "Paid ", "The payment of ", "Nobody knows yet whether ", "p_"];

/// Calls a tool, checks the shape of what it says, and hands it on.
async fn checked(host: &Host, tool: &str, arguments: Value) -> Told {
    let told = host.call(tool, arguments).await;
    conforms(tool, told.facts());
    let say = told.facts()["say"].as_str().unwrap();
    assert!(told.say().starts_with(say), "the first block begins with the facts' own words: {} / {say}", told.say());
    if matches!(tool, "fetch_paid" | "discover_api") {
        assert!(MONEY_FIRST.iter().any(|m| say.starts_with(m)), "{say}");
    }
    assert!(say.len() < 1_000, "{say}");
    told
}

/// A seller of every kind at once.
async fn shop(world: &World) -> Seller {
    let node = world.node().clone();
    Seller::start(move |hit| {
        let ask = |msat| {
            let invoice = node.invoice(msat, "shapes", 600).unwrap();
            Reply::l402(&token_for(&invoice.payment_hash), &invoice.bolt11)
        };
        match hit.uri.path() {
            "/free" => Reply::ok("{}"),
            "/missing" => Reply::status(404, "no"),
            "/binary" => Reply::ok(vec![0, 159, 146, 150]).header("x", "y"),
            "/dear" => ask(4_000_000),
            "/approve" => ask(400_000),
            "/odd" => Reply::status(402, "pay somehow").header("www-authenticate", "Guess what=\"now\""),
            "/priceless" => {
                let priced =
                    r#"{"x402Version":1,"accepts":[{"scheme":"exact","network":"nowhere","maxAmountRequired":"x"}]}"#;
                Reply::status(402, priced).header("content-type", "application/json")
            }
            _ if hit.paid() => Reply::ok(r#"{"data":1}"#),
            _ => ask(20_000),
        }
    })
    .await
}

#[tokio::test]
async fn every_result_has_the_shape_its_schema_promises_and_begins_with_the_money() {
    let world = World::with("[waits]\nanswer = 2\nwallet = 3\nexit = 1\n[approval]\nabove = { sat = \"300\" }\n").await;
    for era in [Era::Handshake, Era::Stateless] {
        let seller = shop(&world).await;
        let url = |path: &str| seller.url(path);
        let host = world.host_in(era).await;
        let tag = format!("{era:?}");
        checked(&host, "get_balance", json!({})).await;
        checked(&host, "get_balance", json!({ "why": 1 })).await;
        checked(&host, "set_budget", json!({ "scope": "everything", "limit": "1 sat" })).await;
        checked(&host, "set_budget", json!({ "scope": "purchase", "limit": "a lot" })).await;
        checked(&host, "discover_api", json!({})).await;
        checked(&host, "discover_api", json!({ "url": 7 })).await;
        checked(&host, "fetch_paid", json!({})).await;
        checked(&host, "fetch_paid", json!({ "url": "https://a.example", "result_id": "p_1" })).await;
        checked(&host, "fetch_paid", json!({ "url": "file:///etc/passwd" })).await;
        checked(&host, "fetch_paid", json!({ "url": "http://10.0.0.1/" })).await;
        checked(&host, "fetch_paid", json!({ "url": "https://nowhere.invalid/" })).await;
        checked(&host, "fetch_paid", json!({ "url": url("/a"), "body": "a", "json": {} })).await;
        checked(&host, "fetch_paid", json!({ "result_id": "../../etc/passwd" })).await;
        checked(&host, "fetch_paid", json!({ "result_id": format!("p_{}", "a".repeat(26)) })).await;
        for path in ["/free", "/missing", "/binary", "/dear", "/odd", "/priceless", "/a"] {
            checked(&host, "discover_api", json!({ "url": url(path) })).await;
            checked(&host, "fetch_paid", json!({ "url": url(path), "dry_run": true })).await;
        }
        for (path, expected) in [
            ("/free", "free"),
            ("/missing", "free"),
            ("/binary", "free"),
            ("/dear", "refused"),
            ("/odd", "refused"),
            ("/priceless", "refused"),
            ("/approve", "awaiting_approval"),
        ] {
            let told = checked(&host, "fetch_paid", json!({ "url": url(path) })).await;
            assert_eq!(told.outcome(), expected, "{path} {}", told.text());
        }
        let shop = url(&format!("/{tag}"));
        let bought = checked(&host, "fetch_paid", json!({ "url": shop, "idempotency_key": tag })).await;
        assert_eq!(bought.outcome(), "bought", "{}", bought.text());
        let stored = checked(&host, "fetch_paid", json!({ "url": shop, "idempotency_key": tag })).await;
        assert_eq!(stored.outcome(), "stored");
        checked(&host, "fetch_paid", json!({ "url": url("/else"), "idempotency_key": tag })).await;
        checked(&host, "fetch_paid", json!({ "result_id": bought.purchase(), "offset": 1_000_000 })).await;
        let token = checked(&host, "fetch_paid", json!({ "url": shop })).await;
        assert_eq!(token.outcome(), "token", "{}", token.text());
        checked(&host, "fetch_paid", json!({ "url": shop, "max_price": "1 sat" })).await;
        checked(&host, "set_budget", json!({ "scope": "session", "limit": "4000 sat" })).await;
        let raise = checked(&host, "set_budget", json!({ "scope": "session", "limit": "4500 sat" })).await;
        assert_eq!(raise.outcome(), "needs_a_person");
        checked(&host, "set_budget", json!({ "scope": "day", "limit": "900000 sat" })).await;
        checked(&host, "get_balance", json!({})).await;
        host.close().await;
    }
    // Money on its way: not delivered, failed, unknown.
    let node = world.node().clone();
    let greedy = Seller::start(move |_| {
        let invoice = node.invoice(30_000, "greedy", 600).unwrap();
        Reply::l402(&token_for(&invoice.payment_hash), &invoice.bolt11)
    })
    .await;
    let host = world.host().await;
    let mut told = checked(&host, "fetch_paid", json!({ "url": greedy.url("/") })).await;
    // A seller that does not deliver is asked for longer than a call waits.
    while told.outcome() == "pending" {
        told = checked(&host, "fetch_paid", json!({ "result_id": told.purchase() })).await;
    }
    assert_eq!(told.outcome(), "undelivered", "{}", told.text());
    let again = checked(&host, "fetch_paid", json!({ "url": greedy.url("/other") })).await;
    assert_eq!(again.outcome(), "refused", "{}", again.text());
    let honest = Seller::honest(world.node(), 7_000, "{}").await;
    world.wallet().next(Behaviour::refuses("INSUFFICIENT_BALANCE"));
    let failed = checked(&host, "fetch_paid", json!({ "url": honest.url("/failed") })).await;
    assert_eq!(failed.outcome(), "failed", "{}", failed.text());
    world.wallet().next(Behaviour { money: Money::Held, ..Behaviour::lost_reply() });
    let pending = checked(&host, "fetch_paid", json!({ "url": honest.url("/pending") })).await;
    assert_eq!(pending.outcome(), "pending", "{}", pending.text());
    checked(&host, "fetch_paid", json!({ "result_id": pending.purchase() })).await;
    let balance = checked(&host, "get_balance", json!({})).await;
    assert_eq!(balance.facts()["unresolved"].as_array().unwrap().len(), 1, "{}", balance.facts());
    host.kill().await;
}

#[tokio::test]
async fn without_a_wallet_or_with_a_broken_ledger_the_shape_stays() {
    let mut world = World::new().await;
    let seller = Seller::honest(world.node(), 1_000, "{}").await;
    world.env("BURSAR_NWC", "");
    let host = world.host().await;
    checked(&host, "get_balance", json!({})).await;
    checked(&host, "fetch_paid", json!({ "url": seller.url("/") })).await;
    checked(&host, "discover_api", json!({ "url": seller.url("/") })).await;
    host.close().await;
    for entry in std::fs::read_dir(world.home()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "db" || e == "sqlite" || e == "sqlite3") {
            std::fs::write(&path, "this is no ledger").unwrap();
        }
    }
    let host = world.host().await;
    for (tool, arguments) in [
        ("get_balance", json!({})),
        ("set_budget", json!({ "scope": "day", "limit": "1 sat" })),
        ("fetch_paid", json!({ "url": seller.url("/") })),
        ("discover_api", json!({ "url": seller.url("/") })),
    ] {
        let told = checked(&host, tool, arguments).await;
        assert!(told.is_error(), "{tool} {}", told.text());
    }
}

#[tokio::test]
async fn the_command_line_prints_the_same_shapes() {
    let world = World::new().await;
    let seller = Seller::honest(world.node(), 5_000, r#"{"data":1}"#).await;
    let url = seller.url("/cli");
    let json_of = |text: &str| serde_json::from_str::<Value>(text).unwrap_or_else(|e| panic!("{e}: {text}"));
    for (args, tool) in [
        (vec!["balance", "--json"], "get_balance"),
        (vec!["discover", "--url", &url, "--json"], "discover_api"),
        (vec!["fetch", "--dry-run", "--json", &url], "fetch_paid"),
        (vec!["fetch", "--json", &url], "fetch_paid"),
        (vec!["fetch", "--json", "http://10.0.0.1/"], "fetch_paid"),
        (vec!["budget", "set", "session", "3000 sat", "--json"], "set_budget"),
    ] {
        let (_, out, err) = world.run(&args).await;
        assert!(!out.is_empty(), "{args:?}: {err}");
        conforms(tool, &json_of(&out));
    }
    // The same question gives the same facts, field by field.
    let host = world.host().await;
    let told = host.call("get_balance", json!({})).await;
    assert_eq!(json_of(&world.run(&["balance", "--json"]).await.1), *told.facts());
    let told = host.fetch(json!({ "url": url, "dry_run": true })).await;
    let (_, out, _) = world.run(&["fetch", "--dry-run", "--json", &url]).await;
    let keys = |v: &Value| v.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&json_of(&out)), keys(told.facts()));
}
