//! What the two sellers that this was first built for do to a client that looks before it buys, row by row. Redirects, the
//! wrong host in a document and free tiers stand in `discover_describe` and in the tests of money; here is the rest.

use serde_json::{Value, json};

use crate::{Bare, Reply, Seller, World, index402, results, search, support::token_for, trust::lightning};

const V1: &str = r#"{"x402Version":1,"error":"X-PAYMENT header is required","accepts":[{"scheme":"exact","network":"base",
    "maxAmountRequired":"10000","resource":"https://x.example/x","description":"","mimeType":"","payTo":"0x124AaFfF8Ef45F2cA953807aF09Aacec2D9F8307",
    "maxTimeoutSeconds":300,"asset":"0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913","extra":{"name":"USD Coin","version":"2"}}]}"#;
const V2: &str = r#"{"x402Version":2,"error":"Payment required","resource":{"url":"https://x.example/x","description":"","mimeType":""},
    "accepts":[{"scheme":"exact","network":"eip155:8453","amount":"10000","asset":"0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913",
    "payTo":"0x124AaFfF8Ef45F2cA953807aF09Aacec2D9F8307","maxTimeoutSeconds":300,"extra":{"name":"USD Coin","version":"2"}}]}"#;
const BLOG: &str = r#"{"x402Version":1,"accepts":[{"amount":"10000","currency":"USDC"}]}"#;

/// A world whose catalogue lists one endpoint for each row of the matrix, all of one seller.
async fn shop() -> (World, Seller) {
    let mut world = World::new().await;
    let node = world.node().clone();
    let seller = Seller::start(move |hit| {
        let invoice = |msat| node.invoice(msat, "quokkas", 600).unwrap();
        let l402 = |msat| {
            let invoice = invoice(msat);
            Reply::l402(&token_for(&invoice.payment_hash), &invoice.bolt11)
        };
        let agent = hit.headers.get("user-agent").and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
        match hit.uri.path() {
            "/same" => l402(10_000),
            "/higher" => l402(50_000),
            "/unavailable" => Reply::status(503, r#"{"error":"no price","code":"LIGHTNING_UNAVAILABLE"}"#),
            "/busy" => Reply::status(429, r#"{"error":"Too many requests"}"#),
            "/html" if agent.contains("Mozilla") => Reply::ok("<html>pay here</html>"),
            "/html" => l402(10_000),
            "/open" => Reply::ok(r#"{"quokkas":7}"#),
            "/first" => Reply::status(400, r#"{"error":"text required"}"#),
            "/older" => Reply::status(402, V1).header("content-type", "application/json"),
            "/newer" => {
                Reply::status(402, "{}").header("payment-required", &data_encoding::BASE64.encode(V2.as_bytes()))
            }
            "/blog" => Reply::status(402, BLOG).header("content-type", "application/json"),
            _ => Reply::status(404, "{}"),
        }
    })
    .await;
    let rows = ["same", "higher", "unavailable", "busy", "html", "open", "first", "older", "newer", "blog"];
    let row = |name: &&str| lightning(&seller.url(&format!("/{name}")), &format!("Quokka row {name}"), 10, true);
    let catalog = index402(rows.iter().map(row).collect()).await;
    world.set_config(&format!("[catalog.sources]\n402index = {:?}\n", catalog.url("/list")));
    assert_eq!(world.run(&["catalog", "refresh", "402index"]).await.0, 0);
    (world, seller)
}

#[tokio::test]
async fn a_live_search_tells_what_each_kind_of_seller_answers() {
    let (world, seller) = shop().await;
    let host = world.host().await;
    for (row, price, flag) in [
        ("same", "10 sat live_402", ""),
        ("higher", "50 sat live_402", "price_differs"),
        ("unavailable", "10 sat catalog", "live_answer_503"),
        ("busy", "10 sat catalog", "live_answer_429"),
        ("html", "10 sat live_402", ""),
        ("open", "10 sat catalog", "live_answer_200"),
        ("first", "10 sat catalog", "live_answer_400"),
        ("older", "10 sat catalog", "asks_payment_not_payable_here"),
        ("newer", "10 sat catalog", "asks_payment_not_payable_here"),
        ("blog", "10 sat catalog", "asks_payment_not_payable_here"),
    ] {
        let before = seller.hits().len();
        let told = search(&host, json!({ "query": format!("quokka {row}"), "live": true, "limit": 1 })).await;
        let one = &results(&told)[0];
        assert!(one["url"].as_str().unwrap().ends_with(row), "{}", told.text());
        let said = format!("{} {}", one["price"].as_str().unwrap(), one["price_basis"].as_str().unwrap());
        assert_eq!(said, price, "{row}: {}", told.text());
        let flags = one["flags"].as_array().cloned().unwrap_or_default();
        assert!(flag.is_empty() && flags.is_empty() || flags.contains(&json!(flag)), "{row}: {flags:?}");
        assert_eq!(seller.hits().len(), before + 1, "{row}: asked once");
    }
    assert!(seller.hits().iter().all(|h| h.method == "GET" && !h.headers.contains_key("authorization")));
    assert_eq!(world.spent_msat(), 0);
}

#[tokio::test]
async fn both_versions_of_a_challenge_are_looked_at_with_their_price() {
    let (world, seller) = shop().await;
    let host = world.host().await;
    for row in ["older", "newer"] {
        let told = host.call("discover_api", json!({ "url": seller.url(&format!("/{row}")) })).await;
        let offers = told.facts()["offers"].as_array().cloned().unwrap_or_default();
        assert!(offers.iter().any(|o| o["protocol"] == "x402"), "{row}: {}", told.text());
    }
    assert_eq!(world.spent_msat(), 0);
}

#[tokio::test]
async fn the_price_of_a_batch_stands_beside_that_of_one_and_is_never_the_next_call() {
    let bare = Bare::start().await;
    let told = search(&bare.host, json!({ "query": "invoice data extraction" })).await;
    let (one, batch) = (results(&told)[0].clone(), results(&told)[1].clone());
    let row = |r: &Value| (r["url"].as_str().unwrap().to_owned(), r["price"].as_str().unwrap().to_owned());
    assert_eq!(row(&one), ("https://x402.ntriq.co.kr/invoice-extract".into(), "0.03 usd".into()));
    assert_eq!(row(&batch), ("https://x402.ntriq.co.kr/invoice-extract-batch".into(), "9 usd".into()));
    assert_eq!(batch["flags"], json!(["batch"]));
    assert!(!told.facts()["next"].to_string().contains("batch"), "{}", told.text());
}

#[tokio::test]
async fn it_is_told_whether_an_error_is_charged_and_what_a_deposit_means() {
    let bare = Bare::start().await;
    for (query, charged, first) in [
        ("search podcast quotes", "charged_before_handler", Some("10 sat")),
        ("text sentiment emotion intent", "after_success", None),
    ] {
        let told = search(&bare.host, json!({ "query": query, "detail": "full" })).await;
        let one = &results(&told)[0];
        assert_eq!((one["charge_on_error"].as_str(), one["first_payment"].as_str()), (Some(charged), first), "{one}");
        assert!(told.text().contains(charged), "{}", told.text());
    }
}
