//! Finding paid APIs by words, from outside: the real server, the catalogue that comes with the program, and catalogues of
//! every kind on loopback.

mod hostile;
mod matrix;
mod ntriq;
mod pairs;
mod price;
mod refresh;
mod session;
mod slow;
mod trust;

#[path = "../support/mod.rs"]
mod support;
#[path = "../support/tokens.rs"]
mod tokens;

use serde_json::{Value, json};
use support::{Era, Host, Reply, Seller, Told, World};

/// A server with a home of its own and no wallet.
pub struct Bare {
    dir: tempfile::TempDir,
    pub host: Host,
}

impl Bare {
    pub async fn start() -> Bare {
        let dir = tempfile::tempdir().unwrap();
        let envs = vec![("BURSAR_HOME".into(), dir.path().join("home").display().to_string())];
        Bare { host: Host::start(&envs, Era::Handshake).await, dir }
    }

    pub fn home(&self) -> std::path::PathBuf {
        self.dir.path().join("home")
    }
}

/// Searches, and checks what is true of every search.
pub async fn search(host: &Host, arguments: Value) -> Told {
    let full = arguments["detail"] == "full";
    let live = arguments["live"] == true;
    let told = host.call("discover_api", arguments).await;
    let say = told.facts()["say"].as_str().unwrap();
    assert!(told.say().starts_with(say) && say.starts_with("Nothing was paid"), "{}", told.text());
    let files = bursar::server::schema::files();
    let (_, schema) = files.iter().find(|(name, _)| name == "discover_api.output.schema.json").unwrap();
    let schema: Value = serde_json::from_str(schema).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let wrong: Vec<String> = validator.iter_errors(told.facts()).map(|e| e.to_string()).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    let (json, text) = (told.facts().to_string(), told.text());
    // A token is at least three letters of this: 900 of them for five results, and 1,200 for one in full.
    let room = if full { 3_500 } else { 2_690 };
    assert!(json.chars().count() <= room && text.chars().count() <= room, "{} {}", json.len(), text.len());
    for both in [&json, &text] {
        let hidden = |c: char| (c.is_control() && c != '\n') || "\u{202e}\u{202c}\u{200b}\u{2066}\u{feff}".contains(c);
        assert!(!both.contains(hidden) && !both.contains("payTo"), "{both:?}");
    }
    // A live search asks the first three: no test asks anybody outside of this machine.
    let outside = |host: &String| !host.starts_with("127.") && !host.ends_with("localhost");
    assert!(!live || !hosts(&told).iter().take(3).any(outside), "{text}");
    if std::env::var_os("BURSAR_SHOW").is_some() {
        println!("--- text {} json {}\n{text}\n{:#}", text.chars().count(), json.chars().count(), told.facts());
    }
    told
}

/// The results.
pub fn results(told: &Told) -> Vec<Value> {
    told.facts()["results"].as_array().cloned().unwrap_or_default()
}

/// The hosts of the results, best first.
pub fn hosts(told: &Told) -> Vec<String> {
    let host = |r: &Value| url::Url::parse(r["url"].as_str().unwrap()).unwrap().host_str().unwrap().to_owned();
    results(told).iter().map(host).collect()
}

/// A catalogue of 402index's shape that lists these rows.
pub async fn index402(rows: Vec<Value>) -> Seller {
    Seller::start(move |hit| {
        let query: std::collections::HashMap<_, _> =
            url::form_urlencoded::parse(hit.uri.query().unwrap_or_default().as_bytes()).into_owned().collect();
        let number = |key: &str| query.get(key).and_then(|v| v.parse().ok()).unwrap_or(0usize);
        let wanted = query.get("protocol").map(String::as_str);
        let rows: Vec<&Value> = rows.iter().filter(|row| wanted.is_none_or(|w| row["protocol"] == w)).collect();
        let page: Vec<&Value> = rows.iter().copied().skip(number("offset")).take(number("limit").max(1)).collect();
        Reply::ok(json!({ "services": page, "total": rows.len(), "limit": number("limit") }).to_string())
            .header("etag", "\"v1\"")
    })
    .await
}

/// Lists these rows in a world, as a refresh of 402index does.
pub async fn list(world: &mut World, rows: Vec<Value>) {
    let catalog = index402(rows).await;
    world.set_config(&format!("[catalog.sources]\n402index = {:?}\n", catalog.url("/list")));
    let (code, _, err) = world.run(&["catalog", "refresh", "402index"]).await;
    assert_eq!(code, 0, "{err}");
}

/// A world that has one catalogue and has fetched it.
pub async fn world_with(name: &str, catalog: &Seller) -> World {
    let world = World::with(&format!("[catalog.sources]\n{name:?} = {:?}\n", catalog.url("/list"))).await;
    let (code, out, err) = world.run(&["catalog", "refresh", name, "--json"]).await;
    assert_eq!(code, 0, "{out}\n{err}");
    world
}

/// A row as 402index has it, of a seller that asks a price in USDC on Base.
pub fn listed(url: &str, name: &str, about: &str, usd: f64, vouched: bool) -> Value {
    json!({ "id": url, "name": name, "description": about, "url": url, "protocol": "x402", "price_sats": null,
            "price_usd": usd, "payment_asset": "USDC", "payment_network": "eip155:8453", "category": "uncategorized",
            "provider": "somebody", "source": "self-registered", "health_status": "healthy", "http_method": "POST",
            "domain_verified": 1, "x402_payment_valid": vouched.then_some(1) })
}
