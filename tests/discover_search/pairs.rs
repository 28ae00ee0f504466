//! Does a search find the right endpoint? Twenty capabilities, each with what may answer it.

use serde_json::{Value, json};

use crate::{Bare, World, results, search};

fn pairs() -> Vec<Value> {
    let lines = include_str!("../data/discovery-pairs.jsonl").lines();
    lines.map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The rank of the first right result.
fn rank(pair: &Value, results: &[Value]) -> Option<usize> {
    let accept: Vec<&str> = pair["accept_any_of"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    results.iter().position(|r| {
        let (method, url) = (r["method"].as_str().unwrap_or_default(), r["url"].as_str().unwrap());
        accept.contains(&format!("{method} {url}").trim())
    })
}

#[tokio::test]
async fn a_capability_is_found_first_nine_times_out_of_ten_and_always_among_five() {
    let bare = Bare::start().await;
    let (mut first, mut five, mut asked) = (0, 0, 0);
    let mut by_task = 0;
    for pair in pairs().iter().filter(|p| p["kind"] == "seed" || p["kind"] == "general") {
        let told = search(&bare.host, json!({ "query": pair["capability"] })).await;
        let found = rank(pair, &results(&told));
        println!("{} {:?} {} {:?}", pair["id"], pair["capability"], told.facts()["match"], found);
        if found != Some(0) {
            for r in results(&told) {
                println!("     {} {}", r["url"], r["summary_unverified"]);
            }
        }
        asked += 1;
        first += usize::from(found == Some(0));
        five += usize::from(found.is_some());
        assert_ne!(told.facts()["match"], "none", "{}", told.text());
        let told = search(&bare.host, json!({ "query": pair["task"] })).await;
        by_task += usize::from(rank(pair, &results(&told)).is_some());
    }
    println!("P@1 {first}/{asked}, hit@5 {five}/{asked}; from the whole task hit@5 {by_task}/{asked}");
    assert!(first * 10 >= asked * 9, "{first} of {asked} first");
    assert_eq!(five, asked);
    assert!(by_task * 10 >= asked * 6, "{by_task} of {asked} from the task");
}

#[tokio::test]
async fn what_nobody_sells_is_not_replaced_by_something_else() {
    let bare = Bare::start().await;
    for pair in pairs().iter().filter(|p| p["kind"] == "negative") {
        let told = search(&bare.host, json!({ "query": pair["capability"] })).await;
        assert_ne!(told.facts()["match"], "strong", "{}", told.text());
    }
    for query in ["dentist appointment booking", "medieval Icelandic manuscripts", "zzzz qqqq"] {
        let told = search(&bare.host, json!({ "query": query })).await;
        assert!(told.facts()["match"] != "strong", "{}", told.text());
    }
    let told = search(&bare.host, json!({ "query": "zzzz qqqq" })).await;
    assert_eq!((told.facts()["match"].as_str(), results(&told).len()), (Some("none"), 0), "{}", told.text());
    assert!(told.say().contains("do not buy something else"), "{}", told.say());
    assert!(!told.is_error());
}

#[tokio::test]
async fn a_lightning_wallet_is_shown_what_it_can_pay() {
    let world = World::new().await;
    let host = world.host().await;
    for pair in pairs().iter().filter(|p| p["kind"] == "lightning-only") {
        let told = search(&host, json!({ "query": pair["capability"], "payable_only": true })).await;
        assert_eq!(rank(pair, &results(&told)), Some(0), "{}", told.text());
        assert!(results(&told).iter().all(|r| r["payable"] == true), "{}", told.text());
        assert!(told.facts()["not_shown"]["not_payable"].as_u64() > Some(0), "{}", told.text());
    }
    for (query, expected) in [
        ("bitcoin price", "api.satoshiapi.io/price"),
        ("IP geolocation", "l402.services/geoip/{ip}"),
        ("text sentiment", "api.bitcoinbenji.com/ai/sentiment"),
        ("sanctions screening", "api.nautdev.com/api/v1/sanctions/check"),
    ] {
        let told = search(&host, json!({ "query": query, "payable_only": true })).await;
        assert!(results(&told)[0]["url"].as_str().unwrap().ends_with(expected), "{}", told.text());
    }
    let told = search(&host, json!({ "query": "send fax" })).await;
    assert!(told.say().contains("No wallet here can pay"), "{}", told.text());
    assert!(results(&told)[0]["why_not"].as_str().unwrap().contains("no wallet here pays"), "{}", told.text());
}

/// What MPP's registry names `tempo` is paid by the wallet that signs for that chain, and by no other.
#[tokio::test]
async fn a_seller_of_mpp_on_tempo_is_payable_where_that_chain_is_set_up() {
    for (config, payable) in [("[evm.chains.tempo]\n", true), ("[evm.chains.base]\n", false)] {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("home");
        std::fs::create_dir(&home).unwrap();
        std::fs::write(home.join("config.toml"), config).unwrap();
        let key = format!("0x{}", "17".repeat(32));
        let envs = vec![("BURSAR_HOME".into(), home.display().to_string()), ("BURSAR_EVM_KEY".into(), key)];
        let host = crate::Host::start(&envs, crate::Era::Handshake).await;
        let told = search(&host, json!({ "query": "captcha solving" })).await;
        let one = results(&told).into_iter().find(|r| r["pays"] == "mpp tempo").unwrap();
        assert_eq!(one["payable"], payable, "{}", told.text());
        let why = one["why_not"].as_str().unwrap_or_default();
        assert_eq!(why.contains("on Tempo, and no wallet here"), !payable, "{why}");
    }
}

/// A wallet for both rails that the queries name, on main networks: nobody is asked, so that nothing can be paid.
#[tokio::test]
async fn each_query_is_answered_by_what_the_wallets_of_its_pair_can_pay() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("home");
    std::fs::create_dir(&home).unwrap();
    std::fs::write(home.join("config.toml"), "[evm.chains.tempo]\n[evm.chains.base]\n").unwrap();
    let key = format!("0x{}", "17".repeat(32));
    let envs = vec![("BURSAR_HOME".into(), home.display().to_string()), ("BURSAR_EVM_KEY".into(), key)];
    let host = crate::Host::start(&envs, crate::Era::Handshake).await;
    let (mut first, mut asked) = (0, 0);
    for pair in pairs().iter().filter(|p| p["kind"] == "seed" || p["kind"] == "general") {
        let rails: Vec<&str> = pair["wallet_rails"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        assert!(rails.contains(&"eip155:8453") && rails.contains(&"tempo"), "{pair}");
        let told = search(&host, json!({ "query": pair["capability"], "payable_only": true })).await;
        let found = results(&told);
        assert!(found.iter().all(|r| r["payable"] == true), "{}", told.text());
        let paid =
            |r: &Value| r["price_is"] == "free" || rails.iter().any(|rail| r["pays"].as_str().unwrap().contains(rail));
        assert!(found.iter().all(paid), "{}", told.text());
        // What only Lightning buys is not for this wallet.
        if pair["accept_any_of"].as_array().unwrap().iter().all(|a| a.as_str().unwrap().contains("pullthatupjamie")) {
            continue;
        }
        asked += 1;
        first += usize::from(rank(pair, &found).is_some());
    }
    assert!(first * 10 >= asked * 9, "{first} of {asked} found");
}

#[tokio::test]
async fn the_task_only_breaks_ties_and_brief_is_shorter() {
    let rows = [("b", "Quokka tally by island"), ("a", "Quokka tally by month")];
    let rows = rows.map(|(path, name)| crate::listed(&format!("https://quokka-{path}.com/x"), name, "", 0.01, true));
    let world = crate::world_with("402index", &crate::index402(rows.to_vec()).await).await;
    let host = world.host().await;
    for (task, first) in [("count by month", "quokka-a.com"), ("count of one island", "quokka-b.com")] {
        let told = search(&host, json!({ "query": "quokka tally", "task": task })).await;
        assert_eq!(crate::hosts(&told)[0], first, "{task}: {}", told.text());
    }
    let other = json!({ "query": "quokka tally", "task": "podcast search transcription" });
    assert!(
        crate::hosts(&search(&host, other).await).iter().all(|h| h.starts_with("quokka-")),
        "it finds nothing of its own"
    );
    let long = search(&host, json!({ "query": "podcast search" })).await;
    let brief = search(&host, json!({ "query": "podcast search", "detail": "brief" })).await;
    assert!(brief.text().len() < long.text().len() && results(&brief).len() == results(&long).len());
}

#[tokio::test]
async fn the_command_line_finds_the_same_by_the_same_words() {
    let world = World::new().await;
    let (code, out, err) = world.run(&["discover", "podcast search", "--payable", "--limit", "2", "--json"]).await;
    assert_eq!(code, 0, "{err}");
    let told =
        search(&world.host().await, json!({ "query": "podcast search", "payable_only": true, "limit": 2 })).await;
    let said: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(&said, told.facts());
    let (code, out, _) = world.run(&["discover", "podcast search", "--max-price", "20 sat"]).await;
    assert!(code == 0 && out.contains("Nothing was paid") && out.contains("www.pullthatupjamie.ai"), "{out}");
    let (code, out, err) = world.run(&["discover"]).await;
    assert!(code != 0 && (out + &err).contains("nothing was looked for"));
}

#[tokio::test]
async fn results_say_what_they_rest_on_and_what_is_not_shown() {
    let world = World::new().await;
    let host = world.host().await;
    let told = search(&host, json!({ "query": "podcast search", "limit": 5 })).await;
    let first = &results(&told)[0];
    assert_eq!((first["price_basis"].as_str(), first["trust"].as_str()), (Some("bundled"), Some("bundled")));
    assert!(first["as_of"].as_str().unwrap().starts_with("2026-") && first["first_payment"] == "10 sat", "{first}");
    assert!(first["free_tier"].as_str().unwrap().starts_with("x-free-tier: true"));
    assert!(told.facts()["not_shown"]["same_host"].as_u64() > Some(0));
    assert_eq!(told.facts()["index"]["catalogs"], json!(["bundled"]));
    assert_eq!(told.facts()["next"]["tool"], "fetch_paid");
    let hosts = crate::hosts(&told);
    assert!(hosts.iter().all(|h| hosts.iter().filter(|o| *o == h).count() <= 2), "two a host: {hosts:?}");

    let full = search(&host, json!({ "query": "invoice data extraction", "detail": "full" })).await;
    assert_eq!(results(&full).len(), 1);
    let one = &results(&full)[0];
    assert_eq!(one["url"], "https://x402.ntriq.co.kr/invoice-extract");
    assert_eq!((one["price"].as_str(), one["charge_on_error"].as_str()), (Some("0.03 usd"), Some("after_success")));
    assert!(one["example_unverified"]["image_url"].is_string() && one["source"] == "pack ntriq", "{one}");

    let cheap = search(&host, json!({ "query": "code review", "max_price": "0.06 usd" })).await;
    assert!(results(&cheap).iter().all(|r| r["price"] != "15 usd"), "{}", cheap.text());
    assert!(cheap.facts()["not_shown"]["over_max_price"].as_u64() > Some(0), "{}", cheap.text());
    let paid = search(&host, json!({ "query": "podcast transcription status", "free_ok": false })).await;
    assert!(results(&paid).iter().all(|r| r["price_is"] != "free"), "{}", paid.text());
}

#[tokio::test]
async fn ten_results_still_fit_and_bad_arguments_are_answers() {
    let bare = Bare::start().await;
    let told = search(&bare.host, json!({ "query": "weather forecast", "limit": 10 })).await;
    assert!(results(&told).len() >= 5, "{}", told.text());
    for nothing in [json!({}), json!({ "query": "  " })] {
        let told = bare.host.call("discover_api", nothing).await;
        assert_eq!(told.facts()["code"], "nothing_asked");
    }
    let long = "podcast ".repeat(4_000);
    assert!(!search(&bare.host, json!({ "query": long, "limit": 255 })).await.is_error());
    assert!(!search(&bare.host, json!({ "query": "\" OR name:* NEAR(" })).await.is_error());
    let task = json!({ "task": "get me a METAR report for an airport" });
    assert!(!results(&search(&bare.host, task).await).is_empty(), "a task alone is searched for too");
}

#[tokio::test]
async fn results_that_do_not_fit_are_counted_where_nothing_else_is_left_out() {
    let url = |n: usize| format!("https://quokka-{n}.com/{}", "x".repeat(400));
    let rows = (0..10).map(|n| crate::listed(&url(n), "Quokka tally", "", 0.01, true));
    let world = crate::world_with("402index", &crate::index402(rows.collect()).await).await;
    let told = search(&world.host().await, json!({ "query": "quokka tally", "limit": 10 })).await;
    let shown = results(&told).len();
    assert!((1..10).contains(&shown), "{}", told.text());
    assert_eq!(told.facts()["not_shown"]["lower"], 10 - shown, "{}", told.text());
}

#[tokio::test]
async fn a_server_that_is_only_started_makes_no_index() {
    let bare = Bare::start().await;
    bare.host.request("tools/list", json!({})).await.unwrap();
    assert!(!bare.home().join("catalog").exists(), "the index is made by the first search");
    search(&bare.host, json!({ "query": "podcast search" })).await;
    let index = std::fs::metadata(bare.home().join("catalog/index.db")).unwrap();
    assert!(index.len() < 10 << 20, "{} bytes", index.len());
}
