//! The 28 hazards of paying for L402, from outside: what happens, and how many msat it costs.
//!
//! | hazard | test |
//! |---|---|
//! | 1, 2, 3 doubt, then a new 402 | `while_a_payment_is_in_doubt_no_other_invoice_is_paid` |
//! | 4 paid, and the seller fails | `a_paid_request_that_fails_is_repeated_with_the_same_token` |
//! | 5 a fresh token is rejected | `attack_binding::a_seller_that_asks_again_after_being_paid_gets_no_second_payment` |
//! | 6 a token of another invoice | `attack_binding::a_token_of_another_invoice_is_not_paid_for` |
//! | 7 a wrong preimage | `attack_binding::a_preimage_that_does_not_fit_is_looked_up_and_never_sent` |
//! | 8, 9 no amount, odd amounts | `attack_price::no_hostile_invoice_moves_a_msat`, `::parts_of_a_satoshi_are_paid_and_counted_exactly` |
//! | 10 a declared price | `attack_price::a_declared_price_below_the_invoice_moves_nothing` |
//! | 11 the price changes | `a_price_that_rose_since_the_look_is_not_paid` |
//! | 12 fees | `fees_count_in_the_budget`, `attack_price::a_fee_beyond_its_hold_is_recorded_and_freezes_the_wallet` |
//! | 13 expiry, 14 network | `attack_price::no_hostile_invoice_moves_a_msat`, `::a_wallet_of_real_money_pays_no_play_invoice` |
//! | 15 parallel calls | `calls_and_processes_at_once_pay_once` |
//! | 16 budgets and restarts | `a_budget_outlives_the_process` |
//! | 17 several services at one origin | `two_services_at_one_origin_are_paid_once_each` |
//! | 18, 19 where a token goes | `attack_network::a_token_never_leaves_its_origin`, `::a_redirect_to_another_place_is_never_paid_at` |
//! | 20 addresses in a body | `an_address_in_a_challenge_is_not_asked`, `attack_network::no_spelling_of_an_inner_address_is_connected_to` |
//! | 21 bodies | `a_body_is_sent_for_the_price_and_once_more_after_paying` |
//! | 22 several offers | `attack_binding::of_several_doors_in_one_line_one_is_paid` |
//! | 23 a metered token | `a_token_that_ran_out_is_a_new_purchase_within_the_budget` |
//! | 24 words | `attack_bytes::a_sellers_words_are_never_shown_as_ours` |
//! | 25 wallets without rights | `a_wallet_that_may_not_pay_is_not_asked_twice`, `attack_binding::a_preimage_...` |
//! | 26 the seller hears late | `a_seller_that_hears_late_of_the_payment_still_delivers` |
//! | 27 never sent | `purchase::step`'s `unknown_becomes_failed_only_after_liability_grace_and_a_lasting_absence` |
//! | 28 size | `attack_bytes::a_bomb_costs_its_limit_and_no_money` |

mod support;

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use bursar::sandbox::{Behaviour, Fees, LookupSaid, PlayNode, SandboxOptions};
use serde_json::json;
use support::{
    Hit, Reply, Seller, World,
    attack::{refuses, refuses_with},
    naive_msat,
    seller::opens,
    token_for,
};

fn ask(node: &PlayNode, msat: u64) -> Reply {
    let invoice = node.invoice(msat, "x", 600).expect("an invoice");
    Reply::l402(&token_for(&invoice.payment_hash), &invoice.bolt11)
}

fn paid_for(node: &PlayNode, hit: &Hit) -> bool {
    hit.credential().is_some_and(|(_, preimage)| opens(node, &preimage))
}

/// Hazards 1, 2 and 3: a lost reply, a slow wallet, a held payment: the seller's next invoice is not paid meanwhile.
#[tokio::test]
async fn while_a_payment_is_in_doubt_no_other_invoice_is_paid() {
    for (what, behaviour, moved) in [
        ("lost", Behaviour::lost_reply().then_lookup(LookupSaid::NotFound), 21_000),
        ("denied", Behaviour::fails("PAYMENT_FAILED").then_lookup(LookupSaid::Nothing), 0),
        ("held", Behaviour::holds(), 0),
        ("late", Behaviour::silent_then_pays(500).then_lookup(LookupSaid::Pending), 21_000),
    ] {
        let world = World::with("[waits]\nanswer = 2\nwallet = 0.7\nexit = 0.5").await;
        let seller = Seller::honest(world.node(), 21_000, "{}").await;
        world.wallet().next(behaviour);
        let host = world.host().await;
        let first = host.fetch(json!({ "url": seller.url("/") })).await;
        assert_eq!(first.outcome(), "pending", "{what}: {}", first.text());
        let again = host.fetch(json!({ "url": seller.url("/") })).await;
        assert_eq!((again.outcome(), again.purchase()), ("pending", first.purchase()), "{what}: {}", again.text());
        host.kill().await;
        let host = world.host().await;
        let after = host.fetch(json!({ "url": seller.url("/") })).await;
        assert_eq!((after.outcome(), after.purchase()), ("pending", first.purchase()), "{what}: {}", after.text());
        assert_eq!((world.spent_msat(), world.wallet().pay_events().len()), (moved, 1), "{what}");
        host.kill().await;
        world.verify().await;
        naive_msat(&world, &seller.url("/")).await;
        assert_eq!(world.spent_msat(), moved + 21_000, "{what}: who takes doubt for a no pays again");
    }
}

/// Hazard 4: the seller takes the money and fails; the same request with the same token is free.
#[tokio::test]
async fn a_paid_request_that_fails_is_repeated_with_the_same_token() {
    for (status, hang_up) in [(500, false), (503, false), (200, true)] {
        let world = World::new().await;
        let (node, failures) = (world.node().clone(), Arc::new(AtomicUsize::new(0)));
        let seller = Seller::start(move |hit| match paid_for(&node, hit) {
            true if failures.fetch_add(1, Ordering::SeqCst) < 5 => Reply { hang_up, ..Reply::status(status, "broken") },
            true => Reply::ok("at last"),
            false => ask(&node, 21_000),
        })
        .await;
        let host = world.host().await;
        let mut told = host.fetch(json!({ "url": seller.url("/") })).await;
        for _ in 0..6 {
            if told.outcome() != "undelivered" {
                break;
            }
            told = host.fetch(json!({ "url": seller.url("/") })).await;
        }
        assert!(told.text().contains("at last"), "{status}: {}", told.text());
        assert_eq!((world.spent_msat(), world.asked_to_pay()), (21_000, 1), "{status}");
        let shown: Vec<_> = seller.hits().iter().filter_map(Hit::credential).collect();
        assert!(shown.iter().all(|c| *c == shown[0]), "{status}: one token");
        world.verify_money().await;
    }
}

/// Hazard 11: what was looked at for 10 sat costs 900 when it is bought.
#[tokio::test]
async fn a_price_that_rose_since_the_look_is_not_paid() {
    let world = World::new().await;
    let (node, asked) = (world.node().clone(), AtomicUsize::new(0));
    let seller = Seller::start(move |hit| match paid_for(&node, hit) {
        true => Reply::ok("{}"),
        false => ask(&node, if asked.fetch_add(1, Ordering::SeqCst) == 0 { 10_000 } else { 900_000 }),
    })
    .await;
    let host = world.host().await;
    let look = host.fetch(json!({ "url": seller.url("/"), "dry_run": true })).await;
    assert_eq!(look.facts()["price"], "10 sat");
    let told = refuses(&world, &host, json!({ "url": seller.url("/"), "max_price": "10 sat" }), "dearer").await;
    assert_eq!((told.facts()["code"].as_str(), world.spent_msat()), (Some("above_max_price"), 0));
    assert_eq!(naive_msat(&world, &seller.url("/")).await, 900_000);
}

/// Hazard 12: a purchase needs room for its fee, and the fee that was paid is counted.
#[tokio::test]
async fn fees_count_in_the_budget() {
    let world = World::new().await;
    world.node().set_fees(Fees { base_msat: 7_000, ppm: 0 });
    let host = world.host().await;
    host.call("set_budget", json!({ "scope": "session", "limit": "100 sat" })).await;
    let seller = Seller::honest(world.node(), 50_000, "{}").await;
    let told = host.fetch(json!({ "url": seller.url("/") })).await;
    assert_eq!((told.outcome(), world.spent_msat()), ("bought", 57_000), "{}", told.text());
    assert_eq!((told.facts()["paid_now"].as_str(), told.facts()["fee"].as_str()), (Some("57 sat"), Some("7 sat")));
    let second = Seller::honest(world.node(), 40_000, "{}").await;
    refuses_with(&world, &host, &second.url("/"), "budget_used_up").await;
    assert_eq!(world.spent_msat(), 57_000, "43 sat are left, and 40 need 50 with their fee");
    world.verify_money().await;
}

/// Hazard 15: sixteen calls in two processes at the same moment: one payment.
#[tokio::test]
async fn calls_and_processes_at_once_pay_once() {
    let world = World::new().await;
    world.wallet().always(Behaviour::slow_payment(300));
    let seller = Seller::honest(world.node(), 21_000, "{\"data\":1}").await;
    let (a, b) = (world.host().await, world.host().await);
    let args = json!({ "url": seller.url("/"), "idempotency_key": "one" });
    let mut calls = Vec::new();
    for host in [&a, &b] {
        for _ in 0..8 {
            calls.push(host.begin_call("fetch_paid", args.clone()).await.1);
        }
    }
    for call in calls {
        let answer = call.await.expect("an answer");
        let outcome = answer["result"]["structuredContent"]["outcome"].as_str().unwrap_or_default();
        assert!(["bought", "stored"].contains(&outcome), "{answer}");
        assert!(answer.to_string().contains("data"), "everybody gets the answer");
    }
    assert_eq!((world.spent_msat(), world.asked_to_pay()), (21_000, 1));
    world.verify_money().await;
    naive_msat(&world, &seller.url("/")).await;
    naive_msat(&world, &seller.url("/")).await;
    assert_eq!(world.spent_msat(), 63_000, "each naive call pays");
}

/// Hazard 16: what is spent stays spent when the process ends.
#[tokio::test]
async fn a_budget_outlives_the_process() {
    let world =
        World::with("[limits.default]\nsat = { purchase = \"1000\", session = \"2000\", day = \"2000\" }").await;
    let mut codes = Vec::new();
    for _ in 0..4 {
        let seller = Seller::honest(world.node(), 900_000, "{}").await;
        let host = world.host().await;
        let told = host.fetch(json!({ "url": seller.url("/") })).await;
        codes.push(told.outcome().to_owned());
        host.close().await;
    }
    assert_eq!((world.spent_msat(), codes.join(" ")), (1_800_000, "bought bought refused refused".into()));
    world.run(&["session", "end"]).await;
    let seller = Seller::honest(world.node(), 900_000, "{}").await;
    let host = world.host().await;
    refuses_with(&world, &host, &seller.url("/"), "budget_used_up").await;
    world.verify_money().await;
}

/// Hazard 17: tokens of two services at one origin do not chase each other.
#[tokio::test]
async fn two_services_at_one_origin_are_paid_once_each() {
    let world = World::new().await;
    let (node, sold) = (world.node().clone(), Arc::new(std::sync::Mutex::new(Vec::<(String, String)>::new())));
    let seller = Seller::start(move |hit| {
        let service = hit.uri.path()[..2].to_owned();
        let mine = hit.credential().is_some_and(|(token, _)| sold.lock().unwrap().contains(&(service.clone(), token)));
        if mine && paid_for(&node, hit) {
            return Reply::ok("{}");
        }
        let invoice = node.invoice(21_000, "x", 600).expect("an invoice");
        let token = token_for(&invoice.payment_hash);
        sold.lock().unwrap().push((service, token.clone()));
        Reply::l402(&token, &invoice.bolt11)
    })
    .await;
    let host = world.host().await;
    for round in 0..4 {
        for path in ["/a/1", "/b/1", "/a/2", "/b/2"] {
            let told = host.fetch(json!({ "url": seller.url(path) })).await;
            assert!(["bought", "token"].contains(&told.outcome()), "{path}: {}", told.text());
        }
        assert_eq!(world.spent_msat(), 42_000, "round {round}");
    }
    world.verify_money().await;
}

/// Hazard 20: an address that a challenge names, to fetch an invoice from or to tell of the payment, is not asked.
#[tokio::test]
async fn an_address_in_a_challenge_is_not_asked() {
    let world = World::new().await;
    let trap = Seller::honest(world.node(), 21_000, "{}").await;
    let to = trap.url("/pay");
    let seller = Seller::start(move |_| {
        let body = json!({
            "version": "0.2.2", "payment_request_url": to, "payment_context_token": "t", "manifest": to, "callback": to,
            "offers": [{ "id": "1", "amount": 1, "currency": "USD", "payment_methods": ["lightning"], "title": "x",
                         "description": "x", "type": "one-off" }],
        });
        Reply::status(402, body.to_string())
            .header("content-type", "application/json")
            .header("link", &format!("<{to}>"))
    })
    .await;
    let host = world.host().await;
    refuses(&world, &host, json!({ "url": seller.url("/") }), "a foreign address").await;
    assert!(trap.hits().is_empty(), "{:?}", trap.hits());
    assert_eq!((world.spent_msat(), world.asked_to_pay()), (0, 0));
}

/// Hazard 21: a body goes out for the price and once with the receipt, under one idempotency key; a failure after that is
/// not repeated by itself.
#[tokio::test]
async fn a_body_is_sent_for_the_price_and_once_more_after_paying() {
    let world = World::new().await;
    let node = world.node().clone();
    let seller = Seller::start(move |hit| match paid_for(&node, hit) {
        true => Reply::status(500, "broken"),
        false => ask(&node, 21_000),
    })
    .await;
    let host = world.host().await;
    let args = json!({ "url": seller.url("/order"), "json": { "item": "egg" } });
    let told = host.fetch(args.clone()).await;
    assert_eq!((told.outcome(), world.spent_msat()), ("undelivered", 21_000), "{}", told.text());
    let hits = seller.hits();
    assert_eq!(hits.len(), 2, "{hits:?}");
    assert!(
        hits.iter()
            .all(|h| h.body == hits[0].body && h.headers["idempotency-key"] == hits[0].headers["idempotency-key"])
    );
    host.fetch(args).await;
    assert!(seller.hits().iter().all(|h| h.headers["idempotency-key"] == hits[0].headers["idempotency-key"]));
    assert_eq!((world.spent_msat(), world.asked_to_pay()), (21_000, 1));
    world.verify_money().await;
}

/// Hazard 23: a token for three calls is bought again when it ran out, and the budget bounds how often.
#[tokio::test]
async fn a_token_that_ran_out_is_a_new_purchase_within_the_budget() {
    let world = World::with("[limits.default]\nsat = { purchase = \"100\", session = \"60\", day = \"100\" }").await;
    let (node, uses) = (world.node().clone(), std::sync::Mutex::new(std::collections::HashMap::new()));
    let seller = Seller::start(move |hit| {
        if paid_for(&node, hit) {
            let (token, _) = hit.credential().unwrap();
            let mut uses = uses.lock().unwrap();
            let used: &mut u32 = uses.entry(token).or_default();
            *used += 1;
            if *used <= 3 {
                return Reply::ok("{}");
            }
        }
        ask(&node, 21_000)
    })
    .await;
    let host = world.host().await;
    let mut outcomes = Vec::new();
    for _ in 0..7 {
        outcomes.push(host.fetch(json!({ "url": seller.url("/") })).await.outcome().to_owned());
    }
    assert_eq!(outcomes, ["bought", "token", "token", "bought", "token", "token", "refused"]);
    assert_eq!(world.spent_msat(), 42_000);
    world.verify_money().await;
}

/// Hazard 25: a wallet connection that may not pay costs nothing and says who can mend it.
#[tokio::test]
async fn a_wallet_that_may_not_pay_is_not_asked_twice() {
    let mut options = SandboxOptions::default();
    options.wallet.methods.retain(|m| m != "pay_invoice");
    let world = World::with_options("", options).await;
    let seller = Seller::honest(world.node(), 21_000, "{}").await;
    let host = world.host().await;
    let told = host.fetch(json!({ "url": seller.url("/") })).await;
    assert!(["failed", "refused"].contains(&told.outcome()), "{}", told.text());
    assert!(told.say().starts_with("Nothing was paid") && world.asked_to_pay() <= 1, "{}", told.say());
    let balance = host.call("get_balance", json!({})).await;
    let budgets = balance.facts()["budgets"].as_array().unwrap();
    assert!(
        budgets.iter().all(|b| b["held"].is_null() || b["held"].as_str().unwrap().starts_with("0 ")),
        "{budgets:?}"
    );
    assert_eq!(world.spent_msat(), 0);
    world.verify_money().await;
}

/// Hazard 26: a seller that learns of the payment a moment later is shown the same receipt again, not paid again.
#[tokio::test]
async fn a_seller_that_hears_late_of_the_payment_still_delivers() {
    let world = World::new().await;
    let (node, shown) = (world.node().clone(), AtomicUsize::new(0));
    let seller = Seller::start(move |hit| match paid_for(&node, hit) {
        true if shown.fetch_add(1, Ordering::SeqCst) >= 2 => Reply::ok("{}"),
        true if hit.n % 2 == 0 => Reply::status(401, "not yet"),
        _ => ask(&node, 21_000),
    })
    .await;
    let host = world.host().await;
    let told = host.fetch(json!({ "url": seller.url("/") })).await;
    assert_eq!((told.outcome(), world.spent_msat()), ("bought", 21_000), "{}", told.text());
    assert_eq!(world.asked_to_pay(), 1);
    world.verify_money().await;
}
