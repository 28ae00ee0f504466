//! Opening a session, and drawing on it.

use bursar::{
    protocol::mpp::{canonical, encode},
    sandbox::{
        PlayNode, SandboxOptions,
        mpp_shop::{MppShop, MppShopOptions, Opens},
    },
};
use serde_json::json;

use super::{
    cost_sat, get,
    support::{Reply, Seller, World, money, until_answered},
    world,
};

#[tokio::test]
async fn the_first_call_opens_a_session_and_the_next_ones_draw_on_it() {
    for own_header in [false, true] {
        let world = world("", MppShopOptions { own_header, ..MppShopOptions::default() }).await;
        let host = world.host().await;
        let told = get(&host, &world, "/chat").await;
        assert_eq!((told.outcome(), world.spent_msat()), ("bought", 40_000), "{}", told.text());
        assert!(told.say().contains("That is a deposit"), "{}", told.say());
        assert!(told.text().contains("one of many answers"));
        until_answered(&world, told.purchase()).await;
        for n in 1..5 {
            let told = get(&host, &world, "/chat").await;
            assert_eq!((told.outcome(), world.spent_msat()), ("token", 40_000), "call {n}: {}", told.text());
            assert!(
                told.say().starts_with("Nothing was paid now: it was drawn from the deposit of p_"),
                "{}",
                told.say()
            );
            assert_eq!(told.facts()["paid_now"], "0 sat", "{}", told.facts());
        }
        assert_eq!(world.sandbox.mpp_shop().served("/chat"), 5);
        let balance = host.call("get_balance", json!({})).await;
        assert!(balance.say().contains("1 deposit(s) at sellers are open"), "{}", balance.say());
        assert_eq!(balance.facts()["deposits"][0]["paid_in"], "40 sat");
        assert_eq!(balance.facts()["deposits"][0]["used"], "10 sat");
        // The end of the process closes it, and the wallet sees the rest come back.
        assert!(host.close().await.success());
        assert_eq!(cost_sat(&world), 10);
        let refund = world.audit().await.into_iter().find(|row| row.state == "refund").expect("a refund");
        assert_eq!(refund.back.map(|b| b.to_string()), Some("30 sat".into()));
        world.verify_money().await;
    }
}

/// Facts 4, hazard 12: reference clients ask for a challenge before each call, and each question mints an invoice.
#[tokio::test]
async fn hazard_12_a_hundred_calls_cost_one_payment_and_one_invoice() {
    let config = "[limits.ceiling]\nsat = { purchase = \"5000\", session = \"20000\", day = \"50000\" }\n\
                  [limits.default]\nsat = { purchase = \"1000\", session = \"9000\", day = \"10000\" }\n";
    let measure = async |path: &str| {
        let world = world(config, MppShopOptions { deposit_sat: 250, ..MppShopOptions::default() }).await;
        let host = world.host().await;
        for n in 0..100 {
            let told = get(&host, &world, path).await;
            assert!(["bought", "token"].contains(&told.outcome()), "{n}: {}", told.text());
            if told.outcome() == "bought" {
                until_answered(&world, told.purchase()).await;
            }
        }
        let shop = world.sandbox.mpp_shop();
        let counts = (shop.requests(), shop.invoices(), world.node().moved().len());
        assert_eq!(shop.served(path), 100);
        assert!(host.close().await.success());
        world.verify_money().await;
        (counts, cost_sat(&world))
    };
    let (session, session_cost) = measure("/chat").await;
    let (charges, charges_cost) = measure("/rates").await;
    println!("100 calls: (round trips, invoices, payments) {session:?} as a session, {charges:?} as charges");
    assert_eq!(session, (101, 1, 1));
    assert!(charges.1 >= 100 && charges.2 == 100, "{charges:?}");
    assert_eq!((session_cost, charges_cost), (200, 2100));
}

/// Issue: a session is used where repeated calls make it cheaper. The reason stands in the ledger.
#[tokio::test]
async fn answers_bought_again_and_again_lead_to_a_session_where_it_is_no_dearer() {
    let world = world("", MppShopOptions::default()).await;
    let host = world.host().await;
    for n in 0..6 {
        let told = get(&host, &world, "/both").await;
        let outcome = if n < 3 { "bought" } else { "token" };
        assert_eq!(told.outcome(), outcome, "{n}: {}", told.text());
        if outcome == "bought" {
            until_answered(&world, told.purchase()).await;
        }
    }
    let paid: Vec<u64> = world.node().moved().iter().map(|m| m.amount_msat).collect();
    assert_eq!(paid, [21_000, 21_000, 40_000], "twice as a charge, then a deposit");
    let ids = money::purchases(&world).await;
    let last = world.ledger().find(ids[2].purchase.as_ref().unwrap().parse().unwrap()).await.unwrap().unwrap();
    assert!(
        last.chosen_why
            .contains("2 answers were bought here within the hour, and of a deposit of 40 sat each takes 2 sat"),
        "{}",
        last.chosen_why
    );
    assert!(host.close().await.success());
    assert_eq!(cost_sat(&world), 42 + 8);
    // A session whose unit is dearer than an answer is never worth its deposit.
    let dear = super::world("", MppShopOptions { price_sat: 1, ..MppShopOptions::default() }).await;
    let host = dear.host().await;
    for _ in 0..4 {
        let told = get(&host, &dear, "/both").await;
        until_answered(&dear, told.purchase()).await;
    }
    assert_eq!((dear.spent_msat(), dear.node().moved().len()), (4_000, 4));
}

#[tokio::test]
async fn a_deposit_beyond_any_limit_is_not_paid() {
    let narrow = "[limits.ceiling]\nsat = { purchase = \"30\", session = \"100\", day = \"100\" }\n\
                  [limits.default]\nsat = { purchase = \"30\", session = \"100\", day = \"100\" }\n";
    let world = world("", MppShopOptions::default()).await;
    let host = world.host().await;
    let url = |path: &str| format!("{}{path}", world.sandbox.mpp_url());
    let told = host.fetch(json!({ "url": url("/chat"), "max_price": "39 sat" })).await;
    assert_eq!((told.outcome(), world.spent_msat()), ("refused", 0), "{}", told.text());
    let told = host.fetch(json!({ "url": url("/both"), "max_price": "39 sat" })).await;
    assert_eq!((told.outcome(), world.spent_msat()), ("bought", 21_000), "the charge is within it: {}", told.text());
    let poor = super::world(narrow, MppShopOptions::default()).await;
    let told = get(&poor.host().await, &poor, "/chat").await;
    assert_eq!((told.outcome(), poor.spent_msat()), ("refused", 0), "{}", told.text());
    // Above the threshold a person is asked first, and then exactly that is paid.
    let asked = super::world("[approval]\nabove = { sat = \"39\" }\n", MppShopOptions::default()).await;
    let host = asked.host().await;
    let told = get(&host, &asked, "/chat").await;
    assert_eq!((told.outcome(), asked.spent_msat()), ("awaiting_approval", 0), "{}", told.text());
    let (code, _, err) = asked.run(&["approve", told.purchase()]).await;
    assert_eq!(code, 0, "{err}");
    let told = get(&host, &asked, "/chat").await;
    assert_eq!((told.outcome(), asked.spent_msat()), ("bought", 40_000), "{}", told.text());
    asked.verify_money().await;
}

#[tokio::test]
async fn a_wallet_that_may_make_no_invoices_pays_charges_and_no_deposits() {
    let mut options = SandboxOptions::default();
    options.wallet.methods.retain(|method| method != "make_invoice");
    let world = World::with_options("", options).await;
    let host = world.host().await;
    let told = get(&host, &world, "/chat").await;
    assert_eq!((told.outcome(), world.spent_msat()), ("refused", 0), "{}", told.text());
    assert!(told.say().contains("may not make invoices"), "{}", told.say());
    for n in 1..=4 {
        let told = get(&host, &world, "/both").await;
        assert_eq!((told.outcome(), world.spent_msat()), ("bought", n * 21_000), "{}", told.text());
        until_answered(&world, told.purchase()).await;
    }
}

/// Facts 4, hazard 4: servers use a deposit up before they look at the return invoice, so a bad one is found before.
#[tokio::test]
async fn hazard_4_a_bad_way_back_never_costs_the_deposit() {
    let mut options = SandboxOptions::default();
    options.wallet.invoice_life_s = 60;
    let world = World::with_options("", options).await;
    let host = world.host().await;
    let told = get(&host, &world, "/chat").await;
    assert_eq!((told.outcome(), world.spent_msat()), ("refused", 0), "{}", told.text());
    assert!(told.say().contains("the invoice for the refund ends before the session may"), "{}", told.say());
    // Where the seller sells single answers too, one of those is bought instead.
    for _ in 0..3 {
        let told = get(&host, &world, "/both").await;
        until_answered(&world, told.purchase()).await;
    }
    assert_eq!((world.spent_msat(), world.node().moved().len()), (63_000, 3));
}

/// A challenge line for a session, written by a seller of one's own.
fn line(node: &PlayNode, realm: &str, said_sat: u64, real_sat: u64) -> String {
    let made = node.invoice(real_sat * 1000, "mpp", 600).expect("an invoice");
    let request = json!({
        "amount": "2", "currency": "sat", "depositInvoice": made.bolt11, "paymentHash": made.payment_hash,
        "depositAmount": said_sat.to_string(), "idleTimeout": "300",
    });
    let request = encode(canonical(&request.to_string()).expect("json").as_bytes());
    format!(r#"Payment id="c1", realm="{realm}", method="lightning", intent="session", request="{request}""#)
}

/// Facts 4, hazard 2: reference clients pay a deposit of 70,000 sat for a challenge that says 40.
#[tokio::test]
async fn hazard_2_a_deposit_that_asks_for_more_than_it_says_moves_nothing() {
    let world = World::new().await;
    let node = world.node().clone();
    let seller = Seller::start(move |_| {
        Reply::status(402, "").header("www-authenticate", &line(&node, "127.0.0.1", 40, 70_000))
    })
    .await;
    let told = world.host().await.fetch(json!({ "url": seller.url("/a") })).await;
    assert_eq!((told.outcome(), world.spent_msat()), ("refused", 0), "{}", told.text());
    assert!(told.say().contains("asks for 70000 sat, but the challenge says otherwise"), "{}", told.say());
}

/// Facts 4, hazard 3: another origin that names the same realm and the same node is a stranger all the same.
#[tokio::test]
async fn hazard_3_what_opened_a_session_is_never_shown_to_another_origin() {
    let world = world("", MppShopOptions::default()).await;
    let host = world.host().await;
    let told = get(&host, &world, "/chat").await;
    until_answered(&world, told.purchase()).await;
    get(&host, &world, "/chat").await;
    let opened = world.node().moved()[0].hash.clone();
    let preimage = world.node().preimage(&opened).unwrap();
    let realm = world.sandbox.mpp_url().trim_start_matches("http://").to_owned();
    let node = world.node().clone();
    let thief =
        Seller::start(move |_| Reply::status(402, "").header("www-authenticate", &line(&node, &realm, 40, 40))).await;
    let told = host.fetch(json!({ "url": thief.url("/chat") })).await;
    assert_eq!(told.outcome(), "undelivered", "{}", told.text());
    assert!(!thief.hits().is_empty());
    for hit in thief.hits() {
        let shown = hit.headers.get("authorization").map(|v| v.to_str().unwrap_or_default()).unwrap_or_default();
        let whole = shown.strip_prefix("Payment ").and_then(bursar::protocol::mpp::decode).unwrap_or_default();
        let whole = String::from_utf8_lossy(&whole).into_owned();
        assert!(!whole.contains(preimage.expose()) && !whole.contains(&opened), "{whole}");
    }
    assert_eq!(world.node().moved().len(), 2, "a deposit of its own, which it kept");
    world.verify_money().await;
}

#[tokio::test]
async fn a_seller_that_opens_at_the_second_showing_is_paid_once() {
    let world = world("", MppShopOptions { opens: Opens::TheSecondTime, ..MppShopOptions::default() }).await;
    let host = world.host().await;
    let told = get(&host, &world, "/chat").await;
    assert_eq!((told.outcome(), world.spent_msat()), ("bought", 40_000), "{}", told.text());
    assert_eq!(world.node().moved().len(), 1);
    assert!(host.close().await.success());
    assert_eq!(cost_sat(&world), 2);
}

/// Facts 4, hazard 1, for deposits: it refuses whatever it is shown, with a fresh challenge each time.
#[tokio::test]
async fn a_deposit_that_the_seller_keeps_is_never_paid_again() {
    let world = world("", MppShopOptions { opens: Opens::Never, ..MppShopOptions::default() }).await;
    let host = world.host().await;
    let told = get(&host, &world, "/chat").await;
    assert_eq!((told.outcome(), world.spent_msat()), ("undelivered", 40_000), "{}", told.text());
    for _ in 0..3 {
        let again = get(&host, &world, "/chat").await;
        assert_ne!(again.outcome(), "bought");
        let other = get(&host, &world, "/stream").await;
        assert_eq!(other.outcome(), "refused", "the origin cools down: {}", other.text());
    }
    assert_eq!(world.node().moved().len(), 1);
    world.verify_money().await;
}

/// Facts 4, hazard 13: a 402 without a challenge says no more than that nothing was served.
#[tokio::test]
async fn hazard_13_a_balance_used_up_without_a_challenge_opens_the_next_session() {
    for silent_when_used_up in [false, true] {
        let shop = MppShopOptions { deposit_sat: 6, silent_when_used_up, ..MppShopOptions::default() };
        let world = world("", shop).await;
        let host = world.host().await;
        let mut paid = Vec::new();
        for _ in 0..7 {
            let told = get(&host, &world, "/chat").await;
            assert!(!told.is_error(), "{}", told.text());
            if told.outcome() == "bought" {
                until_answered(&world, told.purchase()).await;
            }
            paid.push(world.node().moved().len());
        }
        assert_eq!(paid, [1, 1, 1, 2, 2, 2, 3], "three calls a deposit, and one payment for one call at most");
        assert!(host.close().await.success());
        assert_eq!(cost_sat(&world), 14);
        world.verify_money().await;
    }
}

/// A path that sells something else is asked first, and what is open stays open.
#[tokio::test]
async fn a_session_is_not_shown_where_nobody_asked_for_one() {
    let world = world("", MppShopOptions::default()).await;
    let host = world.host().await;
    let told = get(&host, &world, "/chat").await;
    until_answered(&world, told.purchase()).await;
    let free = get(&host, &world, "/free").await;
    assert_eq!(free.outcome(), "free", "{}", free.text());
    let charge = get(&host, &world, "/rates").await;
    assert_eq!(charge.outcome(), "bought", "{}", charge.text());
    until_answered(&world, charge.purchase()).await;
    // Another path of the same realm that asks for a session gets the one that is open.
    let stream = get(&host, &world, "/stream?chunks=3").await;
    assert_eq!((stream.outcome(), world.spent_msat()), ("token", 61_000), "{}", stream.text());
    assert_eq!(get(&host, &world, "/chat").await.outcome(), "token");
    assert_eq!(world.node().moved().len(), 2);
}

#[tokio::test]
async fn two_processes_do_not_share_a_session_and_the_second_takes_over_when_the_first_died() {
    let world = world("", MppShopOptions::default()).await;
    let first = world.host().await;
    let told = get(&first, &world, "/chat").await;
    until_answered(&world, told.purchase()).await;
    let second = world.host().await;
    let other = get(&second, &world, "/chat").await;
    assert_eq!((other.outcome(), world.node().moved().len()), ("bought", 2), "{}", other.text());
    until_answered(&world, other.purchase()).await;
    assert_eq!(get(&first, &world, "/chat").await.outcome(), "token");
    assert_eq!(get(&second, &world, "/chat").await.outcome(), "token");
    first.kill().await;
    second.kill().await;
    let third = world.host().await;
    for _ in 0..4 {
        assert_eq!(get(&third, &world, "/chat").await.outcome(), "token");
    }
    assert_eq!(world.node().moved().len(), 2, "both were there to be drawn on");
    assert!(third.close().await.success());
    // The one that was not drawn on is closed by whoever looks after deposits next.
    let (code, out, err) = world.run(&["sessions", "close"]).await;
    assert_eq!(code, 0, "{out}{err}");
    assert_eq!(cost_sat(&world), 2 * 8);
    world.verify_money().await;
}

#[tokio::test]
async fn one_agents_session_serves_no_other_principal() {
    let world = world("", MppShopOptions::default()).await;
    let host = world.host().await;
    let told = get(&host, &world, "/chat").await;
    until_answered(&world, told.purchase()).await;
    let ledger = world.ledger();
    let origin = world.sandbox.mpp_url();
    assert!(ledger.credential("local", &origin, "/chat").await.unwrap().is_none(), "another process drives it");
    drop(host);
    assert_eq!(ledger.deposits(Some("local")).await.unwrap().len(), 1);
    assert!(ledger.deposits(Some("ann")).await.unwrap().is_empty());
    assert!(ledger.credential("ann", &origin, "/chat").await.unwrap().is_none());
}

/// Calls at once that find no session open share the one that the first of them opens.
#[tokio::test]
async fn calls_at_once_open_one_session_and_not_one_each() {
    let world = world("", MppShopOptions { deposit_sat: 100, ..MppShopOptions::default() }).await;
    let host = world.host().await;
    let url = |n: usize| format!("{}/chat?n={n}", world.sandbox.mpp_url());
    let calls = (0..8).map(|n| host.fetch(json!({ "url": url(n) })));
    let told = futures_util::future::join_all(calls).await;
    assert!(told.iter().all(|t| t.text().contains("one of many answers")), "{}", told[7].text());
    assert_eq!(told.iter().filter(|t| t.outcome() == "bought").count(), 1);
    assert_eq!((world.node().moved().len(), world.sandbox.mpp_shop().served("/chat")), (1, 8));
    assert!(host.close().await.success());
    assert_eq!(cost_sat(&world), 16);
    world.verify_money().await;
}

/// Calls at once take their turn on one deposit.
#[tokio::test]
async fn calls_at_once_draw_on_one_deposit_one_after_the_other() {
    let world = world("", MppShopOptions { deposit_sat: 100, ..MppShopOptions::default() }).await;
    let host = world.host().await;
    let told = get(&host, &world, "/chat").await;
    until_answered(&world, told.purchase()).await;
    let url = |n: usize| format!("{}/chat?n={n}", world.sandbox.mpp_url());
    let calls = (0..20).map(|n| host.fetch(json!({ "url": url(n) })));
    for told in futures_util::future::join_all(calls).await {
        assert_eq!(told.outcome(), "token", "{}", told.text());
    }
    assert_eq!((world.node().moved().len(), world.sandbox.mpp_shop().served("/chat")), (1, 21));
    // Another shop, with the same node behind it, is another origin.
    let elsewhere =
        MppShop::start(world.node().clone(), bursar::clock::Clock::system(), MppShopOptions::default()).await;
    let elsewhere = elsewhere.expect("the shop opens");
    let told = host.fetch(json!({ "url": format!("{}/chat", elsewhere.url()) })).await;
    assert_eq!((told.outcome(), world.node().moved().len()), ("bought", 2), "{}", told.text());
}
