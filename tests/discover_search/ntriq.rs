//! What ntriq AgentShop does to a client that looks before it buys, met at its replica. The table of all rows stands in
//! `matrix`.

use bursar::{
    catalog::index::volume::{self, Volume},
    sandbox::{Form, NtriqMode, chain},
};
use serde_json::{Value, json};

use crate::{Host, Told, World, results, search};

/// The host whose pack the replica has.
pub const NTRIQ: &str = "x402.ntriq.co.kr";

/// A world with a wallet for play USDC, in which the replica is listed as `bursar sandbox` lists it.
async fn listed() -> World {
    let world = World::with_dollars("[sellers]\nknown_prices = false\n").await;
    keep(&world);
    world
}

/// Lists the replica in a world.
pub fn keep(world: &World) {
    let (jamie, ntriq) = (world.sandbox.jamie_url(), world.sandbox.ntriq_url());
    let pack = Volume::replicas(&[("www.pullthatupjamie.ai", &jamie), (NTRIQ, &ntriq)], chain::CAIP2).unwrap();
    volume::keep(&world.home(), "sandbox", &pack).unwrap();
}

fn at(world: &World, path: &str) -> String {
    format!("{}{path}", world.sandbox.ntriq_url())
}

/// The one result that is the replica's at this path.
fn of(world: &World, told: &Told, path: &str) -> Value {
    let here = at(world, path);
    results(told).into_iter().find(|r| r["url"] == here).unwrap_or_else(|| panic!("{path}: {}", told.text()))
}

fn flags(one: &Value) -> Vec<&str> {
    one["flags"].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// A live search for feelings in texts: what stands there of the replica's `/sentiment`.
async fn live(world: &World, host: &Host) -> Value {
    let query = json!({ "query": "text sentiment emotion intent", "live": true, "limit": 1 });
    of(world, &search(host, query).await, "/sentiment")
}

fn says(one: &Value) -> String {
    let text = |key: &str| one[key].as_str().unwrap_or("-");
    format!("{} {}", text("price"), text("price_basis"))
}

#[tokio::test]
async fn a_single_call_and_a_batch_in_nearly_the_same_words_stand_side_by_side_and_only_the_single_one_is_bought() {
    let world = listed().await;
    let host = world.host().await;
    let told = search(&host, json!({ "query": "invoice data extraction", "payable_only": true })).await;
    let (one, batch) = (of(&world, &told, "/invoice-extract"), of(&world, &told, "/invoice-extract-batch"));
    assert_eq!((says(&one), says(&batch)), ("0.03 usd bundled".into(), "9 usd bundled".into()));
    assert_eq!((flags(&one), flags(&batch)), (vec![], vec!["batch"]));
    let next = &told.facts()["next"];
    assert_eq!(next["arguments"]["url"], at(&world, "/invoice-extract"), "{}", told.text());
    assert_eq!(next["arguments"]["max_price"], "0.033 usd");
    let bought = host.fetch(next["arguments"].clone()).await;
    assert_eq!(bought.outcome(), "bought", "{}", bought.text());
    assert_eq!(world.spent_units(), 30_000);
    let items = json!({ "items": [{ "image_url": "https://example.com/a.png" }] });
    for more in [json!({}), json!({ "max_price": next["arguments"]["max_price"] })] {
        let mut call = json!({ "url": at(&world, "/invoice-extract-batch"), "json": items });
        call.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let refused = host.fetch(call).await;
        assert!(refused.is_error() && refused.say().contains("9 usd"), "{}", refused.text());
    }
    assert_eq!(world.spent_units(), 30_000, "the limit of a purchase stops it");
    world.verify_money().await;
}

#[tokio::test]
async fn every_form_of_challenge_gives_the_price_and_the_one_that_names_no_payee_cannot_be_paid() {
    let world = listed().await;
    let host = world.host().await;
    for (form, v) in
        [(Form::V2, "2"), (Form::V1, "1"), (Form::V2Body, "2body"), (Form::Legacy, "legacy"), (Form::Blog, "blog")]
    {
        let payable = form != Form::Blog;
        let look = host.call("discover_api", json!({ "url": at(&world, &format!("/sentiment?v={v}")) })).await;
        assert_eq!(look.facts()["endpoint"]["method"], "POST", "{v}: {}", look.text());
        let said = (look.facts()["price"].as_str(), look.facts()["price_basis"].as_str());
        let basis = if payable { "live_402" } else { "well_known" };
        assert_eq!(said, (Some("0.01 usd"), Some(basis)), "{v}: {}", look.text());
        world.sandbox.ntriq().set_form(form);
        let one = live(&world, &host).await;
        // What was seen to be asked before stays known; it is no longer today's word.
        let basis = if payable { "0.01 usd live_402" } else { "0.01 usd bundled" };
        assert_eq!(says(&one), basis, "{v}: {one}");
        assert_eq!(flags(&one).contains(&"asks_payment_not_payable_here"), !payable, "{v}: {one}");
        let bought = host.fetch(json!({ "url": at(&world, "/sentiment"), "json": { "text": v } })).await;
        assert_eq!(bought.outcome() == "bought", payable, "{v}: {}", bought.text());
    }
    assert_eq!(world.spent_units(), 4 * 10_000);
    world.verify_money().await;
}

#[tokio::test]
async fn without_a_pack_the_list_of_services_is_read_and_each_is_asked_once_as_it_wants_to_be() {
    let world = World::with_dollars("").await;
    let host = world.host().await;
    let told = host.call("discover_api", json!({ "url": world.sandbox.ntriq_url(), "query": "invoice" })).await;
    let rows = told.facts()["endpoints"].as_array().cloned().unwrap_or_default();
    let price = |path: &str| rows.iter().find(|r| r["path"] == path).map(|r| r["price"].clone());
    assert_eq!(price("/invoice-extract"), Some(json!("0.03 usd")), "{}", told.text());
    assert_eq!(price("/invoice-extract-batch"), Some(json!("9 usd")), "{}", told.text());
    assert!(rows.iter().all(|r| r["method"] == "POST") && told.facts()["endpoints_total"] == 26, "{}", told.text());
    // The extension that tells its input stands in the 402 to a POST and nowhere else.
    let asked = world.sandbox.ntriq().challenges();
    let look = host.call("discover_api", json!({ "url": at(&world, "/invoice-extract") })).await;
    assert_eq!(world.sandbox.ntriq().challenges(), asked + 1, "asked once");
    let endpoint = &look.facts()["endpoint"];
    assert_eq!((&endpoint["method"], &endpoint["input"]["required"]), (&json!("POST"), &json!(["image_url"])));
    assert_eq!((&look.facts()["price"], &look.facts()["price_basis"]), (&json!("0.03 usd"), &json!("live_402")));
    assert_eq!(look.facts()["next"]["tool"], "fetch_paid", "{}", look.text());
    let free = host.fetch(json!({ "url": at(&world, "/services") })).await;
    assert_eq!(free.outcome(), "free", "{}", free.text());
    assert_eq!(world.spent_units(), 0);
}

#[tokio::test]
async fn a_wrong_body_is_answered_with_400_and_not_charged_as_was_told_before() {
    let world = listed().await;
    let host = world.host().await;
    let query = json!({ "query": "text sentiment emotion intent", "detail": "full" });
    let told = search(&host, query).await;
    assert_eq!(of(&world, &told, "/sentiment")["charge_on_error"], "after_success");
    let wrong = host.fetch(json!({ "url": at(&world, "/sentiment"), "json": { "words": "none" } })).await;
    assert!(wrong.text().contains("text required"), "{}", wrong.text());
    assert_ne!(wrong.outcome(), "bought");
    assert_eq!(world.spent_units(), 0);
}

#[tokio::test]
async fn what_the_seller_answers_instead_of_a_price_is_told_in_one_word() {
    let world = listed().await;
    let host = world.host().await;
    let seller = world.sandbox.ntriq();
    for (mode, flag) in [(NtriqMode::Free, "live_answer_200"), (NtriqMode::Open, "")] {
        seller.set_mode(mode);
        let one = live(&world, &host).await;
        assert!(if flag.is_empty() { flags(&one).is_empty() } else { flags(&one) == [flag] }, "{one}");
    }
    // It checks the body first, and nobody says what that is: the least body is sent, once, and its answer told.
    seller.set_mode(NtriqMode::ChecksBodyFirst);
    let query = json!({ "query": "audio transcription summary", "live": true, "max_price": "0.06 usd",
        "payable_only": true, "limit": 1 });
    let told = search(&host, query).await;
    assert_eq!(flags(&of(&world, &told, "/audio-intel")), ["live_answer_400"], "{}", told.text());
    assert_eq!(seller.answered("/audio-intel", 400), 1);
    seller.set_mode(NtriqMode::Open);
    seller.set_rate_limit(Some(0));
    assert_eq!(flags(&live(&world, &host).await), ["live_answer_429"]);
    let busy = host.fetch(json!({ "url": at(&world, "/sentiment"), "json": { "text": "x" } })).await;
    assert!(busy.text().contains("Too many requests"), "{}", busy.text());
    assert_eq!(world.spent_units(), 0);
}

#[tokio::test]
async fn a_seller_that_serves_one_after_the_other_gets_one_payment_from_each_call() {
    let world = listed().await;
    let host = world.host().await;
    world.sandbox.ntriq().set_mode(NtriqMode::Slow(100));
    let call = |text: &str| json!({ "url": at(&world, "/sentiment"), "json": { "text": text } });
    // Looking waits for no lock: only what is paid is served in turn.
    assert_eq!(says(&live(&world, &host).await), "0.01 usd live_402");
    let (one, two) = tokio::join!(host.fetch(call("one")), host.fetch(call("two")));
    assert_eq!((one.outcome(), two.outcome()), ("bought", "bought"), "{}\n{}", one.text(), two.text());
    assert_eq!(world.spent_units(), 20_000);
    world.verify_money().await;
}

#[tokio::test]
async fn a_result_that_is_promised_for_later_is_paid_once_and_fetched_free() {
    let world = listed().await;
    let host = world.host().await;
    world.sandbox.ntriq().set_mode(NtriqMode::Asynchronous);
    let told = host.fetch(json!({ "url": at(&world, "/sentiment"), "json": { "text": "I love it" } })).await;
    assert_eq!(told.outcome(), "bought", "{}", told.text());
    assert!(told.text().contains("/jobs/1") && told.text().contains("202"), "{}", told.text());
    let result = host.fetch(json!({ "url": at(&world, "/jobs/1") })).await;
    assert!(result.outcome() == "free" && result.text().contains("sentiment"), "{}", result.text());
    assert_eq!(world.spent_units(), 10_000);
    world.verify_money().await;
}

#[tokio::test]
async fn usdc_makes_a_listing_payable_on_its_own_chain_and_no_other() {
    let with = listed().await;
    let without = World::new().await;
    keep(&without);
    for (world, pays) in [(&with, true), (&without, false)] {
        let host = world.host().await;
        let told = search(&host, json!({ "query": "text sentiment emotion intent" })).await;
        let here = of(world, &told, "/sentiment");
        assert_eq!(here["payable"], pays, "{}", told.text());
        let there = results(&told).into_iter().find(|r| r["url"].as_str().unwrap().contains(NTRIQ)).unwrap();
        assert_eq!(
            (&there["payable"], there["why_not"].as_str()),
            (&json!(false), Some(WHY)),
            "play money buys nothing"
        );
        assert_eq!(told.facts()["next"]["tool"], if pays { "fetch_paid" } else { "discover_api" });
    }
}

const WHY: &str = "it takes USDC on Base, and no wallet here pays that";
