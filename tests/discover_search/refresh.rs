//! Fetching catalogues from servers of every kind. What is kept stays whatever they answer.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use serde_json::{Value, json};

use crate::{Reply, Seller, World, hosts, index402, listed, results, search, world_with};

const USDC: &str = "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913";

/// One item as facilitators list it (x402 v2).
fn item(url: &str, about: &str, amount: &str, payers: u64) -> Value {
    json!({ "resource": url, "type": "http", "x402Version": 2, "description": about, "serviceName": "Quokkas", "tags": ["quokka"],
        "accepts": [{ "scheme": "exact", "network": "eip155:8453", "amount": amount, "asset": USDC, "payTo": "0xabc",
                      "maxTimeoutSeconds": 300, "extra": { "name": "USD Coin", "version": "2" } }],
        "quality": { "l30DaysTotalCalls": payers * 4, "l30DaysUniquePayers": payers },
        "extensions": { "bazaar": { "info": { "input": { "type": "http", "method": "POST", "bodyType": "json",
            "body": { "query": "quokka" } } },
            "schema": { "properties": { "input": { "properties": { "body": { "properties": { "query": { "type": "string" } },
                "required": ["query"] } } } } } } } })
}

/// A facilitator's list.
async fn bazaar(items: Vec<Value>) -> Seller {
    Seller::start(move |_| {
        let list = json!({ "x402Version": 2, "items": items, "pagination": { "limit": 200, "offset": 0, "total": items.len() } });
        Reply::ok(list.to_string())
    })
    .await
}

#[tokio::test]
async fn a_facilitators_list_is_read_in_both_versions_and_its_counters_only_veto() {
    let old = json!({ "resource": "https://quokka-old.com/x", "type": "http", "x402Version": 1,
        "accepts": [{ "scheme": "exact", "network": "base", "maxAmountRequired": "20000", "resource": "https://quokka-old.com/x",
            "description": "Quokka photographs", "asset": USDC, "outputSchema": { "input": { "type": "http", "method": "GET" } } }] });
    let mut farmed = item("https://quokka-farm.com/x", "Quokka photographs", "10000", 832);
    farmed["quality"]["l30DaysTotalCalls"] = json!(836);
    let mut odd = item("https://quokka-odd.com/x", "Quokka photographs", "1000000000000000000", 9);
    odd["accepts"][0]["asset"] = json!("0xdeadbeef");
    let absurd = item("https://quokka-absurd.com/x", "Quokka photographs", "10000000000000000", 9);
    let mut mcp = item("https://quokka-mcp.com/x", "Quokka photographs", "10000", 9);
    mcp["type"] = json!("mcp");
    let good = item("https://quokka-good.com/x", "Quokka photographs", "10000", 9);
    for name in ["cdp", "bazaar", "mine"] {
        let all = [&old, &farmed, &odd, &absurd, &mcp, &good].map(Clone::clone).to_vec();
        let world = world_with(name, &bazaar(all).await).await;
        let told = search(&world.host().await, json!({ "query": "quokka photographs", "limit": 10 })).await;
        let found = |host: &str| results(&told).into_iter().find(|r| r["url"].as_str().unwrap().contains(host));
        let good = found("quokka-good").unwrap();
        assert_eq!(
            (good["price"].as_str(), good["trust"].as_str(), good["method"].as_str(), good["required"][0].as_str()),
            (Some("0.01 usd"), Some("listed"), Some("POST"), Some("query")),
            "{good}"
        );
        let odd = found("quokka-odd").unwrap();
        assert_eq!(
            (&odd["price"], odd["price_is"].as_str()),
            (&Value::Null, Some("unknown")),
            "eighteen decimals are no price"
        );
        assert!(found("quokka-absurd").is_none() && found("quokka-mcp").is_none());
        assert_eq!(
            results(&told).iter().filter(|r| r["trust"] == "unverified").count(),
            1,
            "one slot: {}",
            told.text()
        );
        assert!(told.facts()["not_shown"]["unverified"].as_u64() >= Some(1));
        assert_eq!(told.facts()["index"]["catalogs"], json!(["bundled", name]));
    }
}

#[tokio::test]
async fn the_registry_of_mpp_says_its_decimals_and_is_trusted_more() {
    let registry = json!({ "version": 1, "services": [
        { "id": "q", "name": "Quokkas", "serviceUrl": "https://mpp.quokkas.com", "status": "active", "tags": ["quokka"],
          "endpoints": [
            { "method": "POST", "path": "/v1/photos", "description": "Quokka photographs",
              "payment": { "intent": "charge", "method": "tempo", "amount": "250000", "currency": "0x20c0000000000000000000000000000000000000", "decimals": 6 } },
            { "method": "GET", "path": "/v1/photos/:id", "description": "Quokka photographs by number",
              "payment": { "intent": "charge", "method": "stripe", "amount": "50", "currency": "usd", "decimals": 2 } },
            { "method": "GET", "path": "/v1/health", "description": "Quokka health", "payment": null },
            { "method": "POST", "path": "/v1/big", "description": "Quokka photographs en gros",
              "payment": { "intent": "charge", "method": "tempo", "dynamic": true, "amountHint": "from $1" } }] },
        { "id": "z", "name": "Gone", "serviceUrl": "https://gone.quokkas.com", "status": "retired",
          "endpoints": [{ "method": "GET", "path": "/", "description": "Quokka photographs", "payment": null }] } ] });
    let catalog = Seller::start(move |_| Reply::ok(registry.to_string())).await;
    let world = world_with("mpp", &catalog).await;
    let host = world.host().await;
    let told = search(&host, json!({ "query": "quokka photographs" })).await;
    let first = |told: &crate::Told| {
        let first = &results(told)[0];
        (first["url"].as_str().unwrap().to_owned(), first["price"].as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(first(&told), ("https://mpp.quokkas.com/v1/photos".into(), "0.25 usd".into()), "{}", told.text());
    let numbered = search(&host, json!({ "query": "quokka photographs number" })).await;
    assert_eq!(first(&numbered), ("https://mpp.quokkas.com/v1/photos/:id".into(), "0.5 usd".into()));
    assert!(hosts(&told).iter().all(|h| h != "gone.quokkas.com"));
    assert_eq!(catalog.hits().len(), 1, "it comes as one page");
}

#[tokio::test]
async fn pages_are_asked_for_one_after_the_other_and_an_unchanged_list_is_not_fetched_again() {
    let rows: Vec<Value> =
        (0..450).map(|n| listed(&format!("https://quokka-{n}.com/x"), "Quokka tally", "", 0.01, true)).collect();
    let asked = Arc::new(AtomicUsize::new(0));
    let (count, known) = (asked.clone(), rows.clone());
    let catalog = Seller::start(move |hit| {
        if hit.headers.get("if-none-match").is_some_and(|v| v == "\"v1\"") {
            return Reply::status(304, "");
        }
        count.fetch_add(1, Ordering::SeqCst);
        let offset = hit.uri.query().unwrap().split("offset=").nth(1).unwrap().parse().unwrap();
        let page: Vec<&Value> = known.iter().skip(offset).take(200).collect();
        Reply::ok(json!({ "services": page, "total": known.len() }).to_string()).header("etag", "\"v1\"")
    })
    .await;
    let world = world_with("402index", &catalog).await;
    assert_eq!(asked.load(Ordering::SeqCst), 3);
    for hit in catalog.hits() {
        assert!(!hit.headers.contains_key("authorization") && !hit.headers.contains_key("cookie"), "no key, no cookie");
    }
    let (code, _, err) = world.run(&["catalog", "refresh", "402index"]).await;
    assert!(code == 0 && err.contains("nothing has changed"), "{err}");
    assert_eq!((asked.load(Ordering::SeqCst), catalog.hits().len()), (3, 4));
    let (_, out, _) = world.run(&["catalog", "status", "--json"]).await;
    let status: Value = serde_json::from_str(&out).unwrap();
    let part = status["parts"].as_array().unwrap().iter().find(|p| p["catalog"] == "402index").unwrap();
    assert_eq!(part["entries"], 450);
}

#[tokio::test]
async fn whatever_a_source_answers_the_last_good_list_stays_and_searches_go_on() {
    let broken: [(&str, Reply, &str); 8] = [
        ("html", Reply::ok("<!doctype html><title>Welcome</title>").header("content-type", "text/html"), "web page"),
        ("half", Reply::ok(r#"{"services":[{"name":"#), "not a catalogue"),
        ("other", Reply::ok(r#"{"hello":"world"}"#), "not a catalogue"),
        ("empty", Reply::ok(r#"{"services":[],"total":0}"#), "can be listed"),
        ("later", Reply::status(429, "{}").header("retry-after", "3600"), "left alone"),
        ("paid", Reply::status(402, "{}"), "wants payment"),
        ("gone", Reply::status(500, "oops"), "HTTP 500"),
        ("away", Reply::status(302, "").header("location", "https://elsewhere.example/"), "HTTP 302"),
    ];
    let good = index402(vec![listed("https://quokka-shop.com/x", "Quokka tally", "", 0.01, true)]).await;
    let mut world = world_with("402index", &good).await;
    for (what, reply, why) in broken {
        let bad = Seller::start(move |_| reply.clone()).await;
        world.set_config(&format!("[catalog.sources]\n402index = {:?}\n", bad.url("/list")));
        let (code, _, err) = world.run(&["catalog", "refresh", "402index"]).await;
        assert!(code != 0 && err.contains(why) && err.contains("what is kept stays"), "{what}: {err}");
        assert!(bad.hits().len() <= 3, "{what}: nobody is asked again and again");
    }
    let told = search(&world.host().await, json!({ "query": "quokka tally" })).await;
    assert_eq!(hosts(&told), ["quokka-shop.com"]);
}

#[tokio::test]
async fn a_server_that_is_busy_is_asked_again_when_it_said_so() {
    let tries = Arc::new(AtomicUsize::new(0));
    let count = tries.clone();
    let row = listed("https://quokka-shop.com/x", "Quokka tally", "", 0.01, true);
    let catalog = Seller::start(move |_| match count.fetch_add(1, Ordering::SeqCst) {
        0 => Reply::status(429, "{}").header("retry-after", "0"),
        _ => Reply::ok(json!({ "services": [row], "total": 1 }).to_string()),
    })
    .await;
    world_with("402index", &catalog).await;
    assert_eq!(tries.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn hostile_shapes_are_bounded_and_break_nothing() {
    let deep = format!("{}1{}", "[".repeat(5_000), "]".repeat(5_000));
    let wrong = json!({ "services": [7, null, "x", [], { "name": 5, "url": {} }, { "protocol": "x402", "url": "https://q.com/\u{202e}x" },
        { "protocol": "x402", "name": "Quokka tally", "description": "x".repeat(100_000), "url": "https://quokka-long.com/x",
          "price_usd": "NaN", "payment_asset": "USDC", "payment_network": "\n\n", "http_method": "BREW" }], "total": "many" });
    for (body, works) in [(deep, false), (wrong.to_string(), true)] {
        let catalog = Seller::start(move |_| Reply::ok(body.clone())).await;
        let world = World::with(&format!("[catalog.sources]\n402index = {:?}\n", catalog.url("/l"))).await;
        let (code, _, err) = world.run(&["catalog", "refresh", "402index"]).await;
        assert_eq!(code == 0, works, "{err}");
        let told = search(&world.host().await, json!({ "query": "quokka" })).await;
        assert_eq!(results(&told).len(), usize::from(works), "{}", told.text());
        if works {
            assert_eq!(results(&told)[0]["price_is"], "unknown");
        }
    }
}

#[tokio::test]
async fn an_answer_that_never_ends_is_cut_off_and_two_do_not_fetch_at_once() {
    let endless = Seller::start(|_| Reply { endless: true, ..Reply::ok(" ".repeat(9 << 20)) }).await;
    let world = World::with(&format!("[catalog.sources]\n402index = {:?}\n", endless.url("/l"))).await;
    let (code, _, err) = world.run(&["catalog", "refresh", "402index"]).await;
    assert!(code != 0 && err.contains("longer than what is read"), "{err}");

    let turn = bursar::catalog::refresh::Turn::take(&world.home()).unwrap().expect("nobody else fetches");
    let (code, _, err) = world.run(&["catalog", "refresh", "402index"]).await;
    assert!(code != 0 && err.contains("another bursar"), "{err}");
    drop(turn);
    let (code, _, err) = world.run(&["catalog", "refresh", "nobody"]).await;
    assert!(code != 0 && err.contains("402index, bazaar, cdp, mpp"), "{err}");
}
