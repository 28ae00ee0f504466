//! Whole sessions through an MCP client, from a person's sentence to bought data with two tool calls. With
//! `BURSAR_PRINT_SESSION=1` they print what the model reads.

use serde_json::{Value, json};

use crate::{Host, Told, World, ntriq, search};

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

/// Every form of the output, for counting what it costs to read.
#[tokio::test]
async fn every_form_of_the_output_is_short_enough_to_read() {
    let world = world().await;
    let host = world.host().await;
    let jamie = world.sandbox.jamie_url();
    discover(&host, json!({ "query": "podcast search", "detail": "full" })).await;
    // Only what is payable with play money: nobody outside is asked.
    discover(
        &host,
        json!({ "query": "image data extraction", "live": true, "payable_only": true, "max_price": "1 usd" }),
    )
    .await;
    discover(&host, json!({ "query": "podcast search", "limit": 10 })).await;
    discover(&host, json!({ "query": "dentist appointment" })).await;
    for url in [jamie.clone(), format!("{jamie}/api/search-quotes"), world.sandbox.ntriq_url()] {
        let arguments = json!({ "url": url });
        let told = host.call("discover_api", arguments.clone()).await;
        print("discover_api", &arguments, &told);
        let (json, text) = (told.facts().to_string().chars().count(), told.text().chars().count());
        assert!(json <= 3_500 && text <= 3_500, "{json} {text}");
    }
    assert_eq!((world.spent_msat(), world.spent_units()), (0, 0));
}
