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
        let mut catalogs = ["bundled", name];
        catalogs.sort_unstable();
        assert_eq!(told.facts()["index"]["catalogs"], json!(catalogs));
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
async fn pages_are_asked_for_one_after_the_other_and_lightning_first() {
    let mut rows: Vec<Value> =
        (0..450).map(|n| listed(&format!("https://quokka-{n}.com/x"), "Quokka tally", "", 0.01, true)).collect();
    rows.push(crate::trust::lightning("https://quokka-sats.com/x", "Quokka tally", 3, true));
    rows[450]["last_checked"] = json!("2026-04-24 16:25:13");
    rows[0]["last_checked"] = json!("9999-01-01 00:00:00");
    let catalog = index402(rows).await;
    let world = world_with("402index", &catalog).await;
    let asked: Vec<String> = catalog.hits().iter().map(|h| h.uri.query().unwrap().to_owned()).collect();
    let all = ["limit=200&offset=0", "limit=200&offset=200", "limit=200&offset=400"];
    assert_eq!(asked[0], "protocol=L402&limit=200&offset=0");
    assert_eq!(asked[1..], all);
    for hit in catalog.hits() {
        assert!(!hit.headers.contains_key("authorization") && !hit.headers.contains_key("cookie"), "no key, no cookie");
    }
    let (_, out, _) = world.run(&["catalog", "status", "--json"]).await;
    let status: Value = serde_json::from_str(&out).unwrap();
    let part = status["parts"].as_array().unwrap().iter().find(|p| p["catalog"] == "402index").unwrap();
    assert_eq!(part["entries"], 451, "what comes twice counts once");
    // A page of several may stay while another changes: all are asked for again.
    assert_eq!(world.run(&["catalog", "refresh", "402index"]).await.0, 0);
    assert_eq!(catalog.hits().len(), 8);
    assert!(catalog.hits().iter().all(|h| !h.headers.contains_key("if-none-match")));
    let told = search(&world.host().await, json!({ "query": "quokka tally", "limit": 10 })).await;
    let as_of = |host: &str| {
        let one = results(&told).into_iter().find(|r| r["url"].as_str().unwrap().contains(host));
        one.map(|r| r["as_of"].as_str().unwrap().to_owned())
    };
    assert_eq!(as_of("quokka-sats").as_deref(), Some("2026-04-24"), "{}", told.text());
    assert_ne!(as_of("quokka-0.com").as_deref(), Some("9999-01-01"), "no fact is of a day to come");
}

#[tokio::test]
async fn a_list_of_one_page_that_has_not_changed_is_not_fetched_again() {
    let mut fact = item("https://quokka-shop.com/x", "Quokka photographs", "10000", 9);
    fact["lastUpdated"] = json!("2026-08-01T00:00:00Z");
    let list = json!({ "items": [fact], "pagination": { "total": 1 } }).to_string();
    let catalog = Seller::start(move |hit| match hit.headers.get("if-none-match") {
        Some(tag) if tag == "\"v1\"" => Reply::status(304, ""),
        _ => Reply::ok(list.clone()).header("etag", "\"v1\""),
    })
    .await;
    let world = world_with("cdp", &catalog).await;
    let (code, _, err) = world.run(&["catalog", "refresh", "cdp"]).await;
    assert!(code == 0 && err.contains("nothing has changed"), "{err}");
    assert_eq!(catalog.hits().len(), 2);
    let told = search(&world.host().await, json!({ "query": "quokka photographs" })).await;
    assert_eq!(results(&told)[0]["as_of"], "2026-08-01", "the day of the fact: {}", told.text());
}

#[tokio::test]
async fn what_came_before_our_own_bounds_is_kept_and_said_to_be_a_part() {
    // A server that gives one row a page, whatever is asked for.
    let catalog = Seller::start(|hit| {
        let query = hit.uri.query().unwrap();
        let offset: usize = query.split("offset=").nth(1).unwrap().parse().unwrap();
        let row = item(&format!("https://quokka-{offset}.com/x"), "Quokka photographs", "10000", 9);
        Reply::ok(json!({ "items": [row], "pagination": { "total": 5_000 } }).to_string())
    })
    .await;
    let world = World::new().await;
    let patience = bursar::catalog::refresh::Patience { pause: std::time::Duration::ZERO, ..Default::default() };
    let mut config = bursar::config::Config::load_from(world.home()).unwrap();
    config.http.allow_loopback = true;
    let http = bursar::http::Client::new(config.http);
    let source = bursar::catalog::refresh::Source { name: "cdp".into(), url: catalog.url("/list") };
    let done = bursar::catalog::refresh::refresh(&http, &world.home(), &source, 0, patience, &|_| ()).await.unwrap();
    let bursar::catalog::refresh::Refreshed::Fresh { listings, cut, .. } = done else { panic!("{done:?}") };
    assert_eq!((listings, cut.as_deref()), (60, Some("it has more than 60 pages")));
    let told = search(&world.host().await, json!({ "query": "quokka photographs" })).await;
    assert!(hosts(&told).iter().all(|h| h.starts_with("quokka-")), "{}", told.text());
}

/// The four kinds of lists.
const NAMES: [&str; 4] = ["402index", "cdp", "bazaar", "mpp"];

/// A list with this one seller in it, in the shape of each.
fn good(name: &str) -> String {
    let one = match name {
        "402index" => {
            json!({ "services": [listed("https://quokka-shop.com/x", "Quokka tally", "", 0.01, true)], "total": 1 })
        }
        "mpp" => json!({ "services": [{ "name": "Quokkas", "serviceUrl": "https://quokka-shop.com", "endpoints": [
            { "method": "POST", "path": "/x", "description": "Quokka tally", "payment": null }] }] }),
        _ => {
            json!({ "items": [item("https://quokka-shop.com/x", "Quokka tally", "10000", 9)], "pagination": { "total": 1 } })
        }
    };
    one.to_string()
}

async fn world_of(name: &str) -> World {
    let list = good(name);
    world_with(name, &Seller::start(move |_| Reply::ok(list.clone())).await).await
}

#[tokio::test]
async fn whatever_a_source_answers_the_last_good_list_stays_and_searches_go_on() {
    let empty = r#"{"services":[],"items":[],"total":0}"#;
    let broken: [(&str, Reply, &str); 9] = [
        ("html", Reply::ok("<!doctype html><title>Welcome</title>").header("content-type", "text/html"), "web page"),
        ("half", Reply::ok(r#"{"services":[{"name":"#), "not a catalogue"),
        ("other", Reply::ok(r#"{"hello":"world"}"#), "not a catalogue"),
        ("list", Reply::ok("[1,2]"), "not a catalogue"),
        ("empty", Reply::ok(empty), "can be listed"),
        ("later", Reply::status(429, "{}").header("retry-after", "3600"), "left alone"),
        ("paid", Reply::status(402, "{}"), "wants payment"),
        ("gone", Reply::status(500, "oops"), "HTTP 500"),
        ("away", Reply::status(302, "").header("location", "https://elsewhere.example/"), "HTTP 302"),
    ];
    for name in NAMES {
        let mut world = world_of(name).await;
        for (what, reply, why) in &broken {
            let reply = reply.clone();
            let bad = Seller::start(move |_| reply.clone()).await;
            world.set_config(&format!("[catalog.sources]\n{name:?} = {:?}\n", bad.url("/list")));
            let (code, _, err) = world.run(&["catalog", "refresh", name]).await;
            assert!(code != 0 && err.contains(why) && err.contains("what is kept stays"), "{name} {what}: {err}");
            assert!(bad.hits().len() <= 2, "{name} {what}: nobody is asked again and again");
        }
        let told = search(&world.host().await, json!({ "query": "quokka tally" })).await;
        assert_eq!(hosts(&told), ["quokka-shop.com"], "{name}");
    }
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
    assert_eq!(tries.load(Ordering::SeqCst), 3, "the first once more, and then the rest");
}

#[tokio::test]
async fn hostile_shapes_are_bounded_and_break_nothing() {
    let deep = format!("{}1{}", "[".repeat(5_000), "]".repeat(5_000));
    let odd = |key: &str, whole: &Value| -> Vec<Value> {
        [
            json!(7),
            json!(null),
            json!("x"),
            json!([]),
            json!([null, [], 7]),
            json!({}),
            json!({ "a": [{}] }),
            json!(true),
            json!(-1e300),
        ]
        .into_iter()
        .map(|value| {
            let mut one = whole.clone();
            one[key] = value;
            one
        })
        .collect()
    };
    let long = "x".repeat(100_000);
    let shop = listed("https://quokka-shop.com/y", "Quokka tally", "", 0.01, true);
    let mut services: Vec<Value> = [
        "url",
        "name",
        "protocol",
        "price_usd",
        "payment_asset",
        "payment_network",
        "http_method",
        "servers",
        "tags",
        "last_checked",
    ]
    .iter()
    .flat_map(|key| odd(key, &shop))
    .collect();
    services.extend([
        json!(7),
        json!(null),
        json!("x"),
        json!([]),
        json!({ "protocol": "x402", "url": "https://q.com/\u{202e}x" }),
        json!({ "protocol": "x402", "name": "Quokka tally", "description": long, "url": "https://quokka-shop.com/z",
          "price_usd": "NaN", "payment_asset": "USDC", "payment_network": "\n\n", "http_method": "BREW" }),
    ]);
    let one = item("https://quokka-shop.com/y", "Quokka tally", "10000", 9);
    let mut items: Vec<Value> =
        ["resource", "type", "accepts", "description", "quality", "extensions", "serviceName", "tags", "lastUpdated"]
            .iter()
            .flat_map(|key| odd(key, &one))
            .collect();
    for key in ["asset", "amount", "network", "outputSchema", "resource"] {
        for accept in odd(key, &one["accepts"][0]) {
            let mut one = one.clone();
            one["accepts"] = json!([accept]);
            items.push(one);
        }
    }
    let service: Value = serde_json::from_str::<Value>(&good("mpp")).unwrap()["services"][0].clone();
    let mut registry: Vec<Value> = ["name", "serviceUrl", "url", "endpoints", "tags", "categories", "status"]
        .iter()
        .flat_map(|key| odd(key, &service))
        .collect();
    for key in ["method", "path", "description", "payment"] {
        for endpoint in odd(key, &service["endpoints"][0]) {
            let mut service = service.clone();
            service["endpoints"] = json!([endpoint]);
            registry.push(service);
        }
    }
    let payment =
        json!({ "intent": "charge", "method": "tempo", "amount": "250000", "currency": "0x20c0", "decimals": 6 });
    for key in ["method", "amount", "currency", "decimals", "dynamic"] {
        for payment in odd(key, &payment) {
            let mut service = service.clone();
            service["endpoints"][0]["payment"] = payment;
            registry.push(service);
        }
    }
    for name in NAMES {
        let wrong = match name {
            "402index" => json!({ "services": services, "total": "many" }),
            "mpp" => json!({ "services": registry }),
            _ => json!({ "items": items, "pagination": "none" }),
        };
        for (body, works) in [(deep.clone(), false), (wrong.to_string(), true)] {
            let catalog = Seller::start(move |_| Reply::ok(body.clone())).await;
            let world = World::with(&format!("[catalog.sources]\n{name:?} = {:?}\n", catalog.url("/l"))).await;
            let (code, _, err) = world.run(&["catalog", "refresh", name]).await;
            assert_eq!(code == 0, works, "{name}: {err}");
            let told = search(&world.host().await, json!({ "query": "quokka tally" })).await;
            assert_eq!(!results(&told).is_empty(), works, "{name}: {}", told.text());
            assert!(hosts(&told).iter().all(|h| h == "quokka-shop.com"), "{name}: {}", told.text());
        }
    }
}

#[tokio::test]
async fn an_answer_that_never_ends_is_cut_off_and_two_do_not_fetch_at_once() {
    for name in NAMES {
        let endless = Seller::start(|_| Reply { endless: true, ..Reply::ok(" ".repeat(9 << 20)) }).await;
        let mut world = world_of(name).await;
        world.set_config(&format!("[catalog.sources]\n{name:?} = {:?}\n", endless.url("/l")));
        let (code, _, err) = world.run(&["catalog", "refresh", name]).await;
        assert!(code != 0 && err.contains("longer than what is read") && err.contains("what is kept stays"), "{err}");
    }
    let world = World::new().await;
    let turn = bursar::catalog::refresh::Turn::take(&world.home()).unwrap().expect("nobody else fetches");
    let (code, _, err) = world.run(&["catalog", "refresh", "402index"]).await;
    assert!(code != 0 && err.contains("another bursar"), "{err}");
    drop(turn);
    let (code, _, err) = world.run(&["catalog", "refresh", "nobody"]).await;
    assert!(code != 0 && err.contains("402index, bazaar, cdp, mpp"), "{err}");
}
