//! Whole sessions through an MCP client, from a person's sentence to bought data with two tool calls. With
//! `BURSAR_PRINT_SESSION=1` they print what the model reads.

use serde_json::{Value, json};

use crate::{Host, Told, World, ntriq, search, tokens::tokens};

/// Prints a call and its answer as the model gets them.
fn print(call: &str, arguments: &Value, told: &Told) {
    if std::env::var_os("BURSAR_PRINT_SESSION").is_some() {
        println!("=== CALL {call} {arguments}\n=== TEXT\n{}\n=== JSON\n{}", told.text(), told.facts());
    }
}

async fn discover(host: &Host, arguments: Value) -> Told {
    let told = search(host, arguments.clone()).await;
    print("discover_api", &arguments, &told);
    told
}

/// Looks for an API, makes the next call that is named with `own` values in it, and returns what was bought.
async fn two_calls(world: &World, query: &str, task: &str, own: Value) -> Told {
    let host = world.host().await;
    let found = discover(&host, json!({ "query": query, "task": task })).await;
    let next = &found.facts()["next"];
    assert_eq!(next["tool"], "fetch_paid", "{}", found.text());
    let mut call = next["arguments"].clone();
    for (name, value) in own.as_object().unwrap() {
        assert!(call["json"].get(name).is_some(), "{name} is a field of the example: {next}");
        call["json"][name] = value.clone();
    }
    let bought = host.fetch(call.clone()).await;
    print("fetch_paid", &call, &bought);
    assert_eq!(bought.outcome(), "bought", "{}", bought.text());
    bought
}

async fn world() -> World {
    let world = World::with_dollars("[sellers]\nfree = \"never\"\n").await;
    ntriq::keep(&world);
    world
}

#[tokio::test]
async fn from_the_sentence_to_bought_quotes_with_two_calls_over_lightning() {
    let world = world().await;
    let task = "find podcasts where small business owners discuss payment processing challenges";
    let own = json!({ "query": "small business owners payment processing challenges" });
    let bought = two_calls(&world, "podcast search", task, own).await;
    assert!(bought.text().contains("payment process"), "{}", bought.text());
    assert_eq!((world.spent_msat(), world.spent_units()), (10_000, 0));
    world.verify_money().await;
}

#[tokio::test]
async fn from_the_sentence_to_the_items_of_an_invoice_with_two_calls_in_usdc() {
    let world = world().await;
    let task = "extract line items and total from a scanned invoice";
    let own = json!({ "image_url": "https://example.com/invoice.png" });
    let bought = two_calls(&world, "invoice data extraction", task, own).await;
    assert!(bought.text().contains("line_items"), "{}", bought.text());
    assert_eq!((world.spent_msat(), world.spent_units()), (0, 30_000));
    world.verify_money().await;
}

/// 900 tokens for five results, 1,200 for whatever tells of one.
#[tokio::test]
async fn every_form_of_the_output_is_short_enough_to_read() {
    let world = world().await;
    let host = world.host().await;
    let (jamie, ntriq) = (world.sandbox.jamie_url(), world.sandbox.ntriq_url());
    for (form, most, arguments) in [
        ("five results", 900, json!({ "query": "podcast search" })),
        ("five results, two of them batches", 900, json!({ "query": "invoice data extraction" })),
        ("ten results", 900, json!({ "query": "image data", "limit": 10 })),
        // Only what is payable with play money, so that nobody outside is asked.
        ("live", 900, json!({ "query": "image data extraction", "live": true, "payable_only": true, "limit": 2 })),
        ("nothing found", 900, json!({ "query": "dentist appointment" })),
        ("one in full, lightning", 1_200, json!({ "query": "podcast search", "detail": "full" })),
        ("one in full, USDC", 1_200, json!({ "query": "invoice data extraction", "detail": "full" })),
        ("a host of 7 endpoints", 1_200, json!({ "url": jamie })),
        ("a host of 26 endpoints", 1_200, json!({ "url": ntriq })),
        ("an endpoint, lightning", 1_200, json!({ "url": format!("{jamie}/api/search-quotes") })),
        ("an endpoint, USDC", 1_200, json!({ "url": format!("{ntriq}/invoice-extract") })),
    ] {
        let told = host.call("discover_api", arguments.clone()).await;
        print("discover_api", &arguments, &told);
        let (compact, indented) = (told.facts().to_string(), serde_json::to_string_pretty(told.facts()).unwrap());
        let costs = [&told.text(), &compact, &indented].map(|text| tokens(text));
        println!("{form}: {} tokens as text, {} as JSON, {} as JSON with indents", costs[0], costs[1], costs[2]);
        // The third is what a host makes that indents it for its model: shown, and not in our hands.
        assert!(costs[0] < most && costs[1] < most, "{form}: {costs:?}");
    }
    assert_eq!((world.spent_msat(), world.spent_units()), (0, 0));
}
