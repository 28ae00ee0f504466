//! What the two sellers that this was first built for do to a client that looks before it buys, row by row. Here are
//! scripted sellers; `ntriq` beside this file and the files below meet the replicas in the sandbox.
//!
//! | row | Jamie | ntriq |
//! |---|---|---|
//! | apex sends to www | `discover_describe` a_bare_domain_that_redirects_is_told_and_nothing_is_sent_on; `money_seller` a_redirect_after_paying_takes_no_credential_to_another_host | `sandbox_ntriq` row_22_a_redirect_to_another_origin_ends_at_a_stranger_who_takes_what_it_is_shown; `money_x402` a_payment_never_goes_along_with_a_redirect_to_another_origin |
//! | OpenAPI names the wrong host | `discover_describe` the_podcast_host_is_described_in_spite_of_its_own_document | it has no OpenAPI |
//! | `GET /services` is the price list | it has none | `ntriq` without_a_pack_the_list_of_services_is_read_and_each_is_asked_once_as_it_wants_to_be |
//! | price in a document is not the 402's | `price` a_live_price_more_than_a_tenth_above_the_found_one_stops_with_both_numbers; here, `/higher` | `price` a_price_in_dollars_that_was_told_caps_what_is_paid_even_where_one_is_remembered |
//! | free tier: 200, 429, 402 | `sandbox` the_free_tier_wants_its_exact_header_counts_down_and_ends_in_429; `money_seller` a_free_tier_that_is_shut_leads_to_the_paid_offer | it has none |
//! | an invalid credential gets a new 402 | `money_seller` a_credential_that_is_silently_ignored_does_not_become_a_loop; `sandbox` a_credential_with_anything_wrong_gets_a_new_challenge_and_never_a_401 | `money_x402` whatever_the_seller_answers_one_signature_leaves_and_the_chain_agrees, a_facilitator_that_refuses_at_first_gets_the_same_signature_again |
//! | a 400 is charged, or not | `sandbox` a_400_and_a_500_are_charged_and_the_balance_says_so; here, it_is_told_whether_an_error_is_charged_and_what_a_deposit_means | `ntriq` a_wrong_body_is_answered_with_400_and_not_charged_as_was_told_before |
//! | x402 v1, v2, v2 in the body, an older header, the blog's form | it speaks L402 | `ntriq` every_form_of_challenge_gives_the_price_and_the_one_that_names_no_payee_cannot_be_paid; here, `/older`, `/newer`, `/blog` |
//! | the 402's body is `{}` | - | the same, its first form; here, `/newer` |
//! | batch beside single | - | `ntriq` a_single_call_and_a_batch_in_nearly_the_same_words_stand_side_by_side_and_only_the_single_one_is_bought; `money_x402` a_batch_that_costs_hundreds_of_times_as_much_is_refused_with_both_numbers |
//! | 503 LIGHTNING_UNAVAILABLE | here, `/unavailable` | - |
//! | 100 a minute, then 429 | here, `/busy` | `ntriq` what_the_seller_answers_instead_of_a_price_is_told_in_one_word |
//! | one after the other, slowly | `slow` a_slow_seller_keeps_its_listed_price_and_holds_up_no_other | `ntriq` a_seller_that_serves_one_after_the_other_gets_one_payment_from_each_call |
//! | the result comes later | - | `ntriq` a_result_that_is_promised_for_later_is_paid_once_and_fetched_free |
//! | a page for browsers | here, `/html` | `sandbox_ntriq` a_wrong_method_or_path_is_nothing_at_all_and_a_browser_gets_a_page; `ntriq` meets none, being no browser |
//! | 200 to a look | here, `/open` | `ntriq` what_the_seller_answers_instead_of_a_price_is_told_in_one_word |
//! | 400 before the 402 | here, `/first`; `discover_describe` a_seller_that_checks_its_input_first_is_told_apart | `ntriq` what_the_seller_answers_instead_of_a_price_is_told_in_one_word |

use serde_json::{Value, json};

use crate::{Bare, Reply, Seller, World, list, results, search, support::token_for, trust::lightning};

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
    list(&mut world, rows.iter().map(row).collect()).await;
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
