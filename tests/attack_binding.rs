//! The attack catalogue from outside: what is paid must buy what was asked for, once, whoever forges what.

mod support;

use bursar::sandbox::{Behaviour, Envelope, LookupSaid, Money, PreimageSaid, RelayMode, ReplySaid};
use data_encoding::{BASE64, BASE64_NOPAD, BASE64URL, BASE64URL_NOPAD};
use serde_json::json;
use support::{
    Era, Host, Reply, Seller, World,
    attack::{refuses, refuses_with},
    naive_msat,
    seller::opens,
    token_for,
};

/// Wallets and sellers that keep silent are waited for briefly.
const BRIEF: &str = "[waits]\nanswer = 3\nwallet = 0.7\nexit = 1";

/// A15, A59, A60: a token that names another payment, however it is written, buys nothing and is not paid for.
#[tokio::test]
async fn a_token_of_another_invoice_is_not_paid_for() {
    let world = World::new().await;
    let other = world.node().invoice(21_000, "x", 600).expect("an invoice");
    let bytes = BASE64.decode(token_for(&other.payment_hash).as_bytes()).unwrap();
    let ask = |token: &str| {
        let invoice = world.node().invoice(21_000, "x", 600).expect("an invoice");
        Reply::l402(token, &invoice.bolt11)
    };
    let json = format!("{{\"payment_hash\":\"{}\"}}", other.payment_hash);
    let tokens = [
        ("standard", BASE64.encode(&bytes)),
        ("no padding", BASE64_NOPAD.encode(&bytes)),
        ("for URLs", BASE64URL.encode(&bytes)),
        ("for URLs, no padding", BASE64URL_NOPAD.encode(&bytes)),
        ("hexadecimal", data_encoding::HEXLOWER.encode(&bytes)),
        ("cut short", BASE64.encode(&bytes[..90])),
        ("JSON", BASE64URL_NOPAD.encode(json.as_bytes())),
        ("payload and signature", format!("{}.c2ln", BASE64URL_NOPAD.encode(json.as_bytes()))),
    ];
    let seller = Seller::table(tokens.iter().map(|(_, token)| ask(token)).collect()).await;
    let host = world.host().await;
    for n in 0..tokens.len() {
        refuses_with(&world, &host, &seller.url(&format!("/{n}")), "not_bound").await;
    }
    assert_eq!((world.spent_msat(), world.asked_to_pay()), (0, 0));
    assert_eq!(naive_msat(&world, &seller.url("/0")).await, 21_000, "who does not compare pays");
}

/// A16: a payment hash that is declared and is not the invoice's refuses before anything is paid.
#[tokio::test]
async fn a_declared_hash_that_is_not_the_invoices_moves_nothing() {
    let world = World::new().await;
    let ask = |body: serde_json::Value| Reply { body: body.to_string().into(), ..world.ask(21_000) };
    let seller = Seller::table(vec![
        ask(json!({ "paymentHash": "00".repeat(32) })).header("content-type", "application/json"),
        ask(json!({ "payment_hash": "11".repeat(32), "amountSats": 21 })).header("content-type", "application/json"),
    ])
    .await;
    let host = world.host().await;
    for n in 0..2 {
        refuses_with(&world, &host, &seller.url(&format!("/{n}")), "hash_mismatch").await;
    }
    assert_eq!((world.spent_msat(), world.asked_to_pay()), (0, 0));
    assert_eq!(naive_msat(&world, &seller.url("/0")).await, 21_000);
}

/// A17: a preimage that does not fit is never shown to the seller, and what it was paid for is paid once.
#[tokio::test]
async fn a_preimage_that_does_not_fit_is_looked_up_and_never_sent() {
    let kinds =
        [PreimageSaid::Wrong, PreimageSaid::Zeros, PreimageSaid::Empty, PreimageSaid::Missing, PreimageSaid::Invoice];
    let world = World::with(BRIEF).await;
    let seller = Seller::honest(world.node(), 21_000, "{}").await;
    let host = world.host().await;
    for (n, kind) in (1..).zip(kinds) {
        // Its own origin each time, so that no token of the last round opens it.
        let seller = Seller::honest(world.node(), 21_000, "{}").await;
        world.wallet().next(Behaviour::shows(kind));
        let told = host.fetch(json!({ "url": seller.url("/") })).await;
        assert_eq!((told.outcome(), world.spent_msat()), ("bought", n * 21_000), "{kind:?}: {}", told.text());
        let shown: Vec<_> = seller.hits().iter().filter_map(|h| h.credential()).collect();
        assert!(shown.iter().all(|(_, preimage)| opens(world.node(), preimage)), "{kind:?}: {shown:?}");
    }
    world.wallet().next(Behaviour::shows(PreimageSaid::Wrong).then_lookup(LookupSaid::NoPreimage));
    let before = world.spent_msat();
    for _ in 0..2 {
        let told = host.fetch(json!({ "url": seller.url("/") })).await;
        assert_eq!(told.outcome(), "pending", "{}", told.text());
        assert_eq!((world.spent_msat() - before, told.facts()["held"].as_str()), (21_000, Some("31 sat")));
    }
    assert!(seller.hits().iter().all(|h| !h.paid()), "nothing was shown that is not a proof");
    host.kill().await;
    world.verify().await;
}

/// A18: a seller that takes the money and asks again is paid once, and then not at all for a day.
#[tokio::test]
async fn a_seller_that_asks_again_after_being_paid_gets_no_second_payment() {
    let world = World::new().await;
    let node = world.node().clone();
    let seller = Seller::start(move |_| {
        let invoice = node.invoice(21_000, "again", 600).expect("an invoice");
        Reply::l402(&token_for(&invoice.payment_hash), &invoice.bolt11)
    })
    .await;
    let host = world.host().await;
    let told = host.fetch(json!({ "url": seller.url("/a") })).await;
    assert_eq!((told.outcome(), world.spent_msat()), ("undelivered", 21_000), "{}", told.text());
    let again = host.fetch(json!({ "url": seller.url("/a") })).await;
    assert_eq!((again.outcome(), again.facts()["paid_now"].as_str()), ("undelivered", Some("0 sat")));
    for other in ["/b", "/c?x=1"] {
        refuses_with(&world, &host, &seller.url(other), "seller_cooling_down").await;
    }
    let keyed = json!({ "url": seller.url("/a"), "idempotency_key": "fresh" });
    assert_eq!(refuses(&world, &host, keyed, "another key").await.facts()["code"], "seller_cooling_down");
    assert_eq!(world.spent_msat(), 21_000);
    world.verify_money().await;
    for n in 1..=3 {
        naive_msat(&world, &seller.url("/a")).await;
        assert_eq!(world.spent_msat(), 21_000 + n * 21_000, "who believes each 402 pays each time");
    }
}

/// A23: an invoice is paid for one request only, however many requests are met with it.
#[tokio::test]
async fn one_invoice_for_two_requests_is_paid_once() {
    let world = World::new().await;
    let invoice = world.node().invoice(21_000, "the same", 600).expect("an invoice");
    let (node, ask) = (world.node().clone(), Reply::l402(&token_for(&invoice.payment_hash), &invoice.bolt11));
    let seller = Seller::start(move |hit| match hit.credential() {
        Some((_, preimage)) if hit.uri.path() == "/a" && opens(&node, &preimage) => Reply::ok("{}"),
        _ => ask.clone(),
    })
    .await;
    let host = world.host().await;
    let told = host.fetch(json!({ "url": seller.url("/a") })).await;
    assert_eq!((told.outcome(), world.spent_msat()), ("bought", 21_000), "{}", told.text());
    for args in [json!({ "url": seller.url("/b") }), json!({ "url": seller.url("/b"), "body": "x" })] {
        let told = refuses(&world, &host, args, "the same invoice").await;
        assert_eq!(told.facts()["code"], "invoice_reused", "{}", told.text());
    }
    assert_eq!(world.spent_msat(), 21_000);
    world.verify_money().await;
}

/// A31: challenges in one line are told apart; one door is paid, and fields of two doors are never mixed.
#[tokio::test]
async fn of_several_doors_in_one_line_one_is_paid() {
    let world = World::new().await;
    let two: Vec<_> = (0..4).map(|_| world.node().invoice(21_000, "x", 600).expect("an invoice")).collect();
    let token = |n: usize| token_for(&two[n].payment_hash);
    let merged = format!(
        "Payment id=\"1\", method=\"lightning\", intent=\"charge\", request=\"e30\", LSAT macaroon=\"{0}\", \
         invoice=\"{1}\", L402 token=\"{0}\", invoice=\"{1}\"",
        token(0),
        two[0].bolt11
    );
    let torn = format!("L402 macaroon=\"{}\", LSAT invoice=\"{}\"", token(1), two[1].bolt11);
    let crossed = format!(
        "LSAT macaroon=\"{}\", invoice=\"{}\", L402 macaroon=\"{}\", invoice=\"{}\"",
        token(2),
        two[3].bolt11,
        token(3),
        two[2].bolt11
    );
    let node = world.node().clone();
    let replies = [merged, torn, crossed].map(|l| Reply::status(402, "").header("www-authenticate", &l));
    let replies = replies.map(|r| r.header("payment-required", "e30="));
    let seller = Seller::start(move |hit| match hit.credential() {
        Some((_, preimage)) if opens(&node, &preimage) => Reply::ok("{}"),
        _ => replies[hit.uri.path()[1..].parse::<usize>().unwrap_or(0)].clone(),
    })
    .await;
    let host = world.host().await;
    for n in [1, 2] {
        let told = refuses(&world, &host, json!({ "url": seller.url(&format!("/{n}")) }), "mixed").await;
        assert_eq!(world.spent_msat(), 0, "{}", told.text());
    }
    let told = host.fetch(json!({ "url": seller.url("/0") })).await;
    assert_eq!((told.outcome(), world.spent_msat()), ("bought", 21_000), "{}", told.text());
    assert_eq!(world.asked_to_pay(), 1);
    world.verify_money().await;
}

/// A33: payments that hang stay counted, and a host gets no more than three of them.
#[tokio::test]
async fn payments_that_hang_are_held_and_bounded_for_a_host() {
    let world = World::with("[waits]\nanswer = 2\nwallet = 0.5\nexit = 1").await;
    world.wallet().always(Behaviour::holds());
    let seller = Seller::honest(world.node(), 21_000, "{}").await;
    let host = world.host().await;
    let mut codes = Vec::new();
    for n in 0..6 {
        let told = host.fetch(json!({ "url": seller.url(&format!("/{n}")) })).await;
        codes.push(told.facts()["code"].as_str().unwrap_or_default().to_owned());
    }
    let hanging = codes.iter().filter(|c| *c == "outcome_unknown").count();
    assert!(hanging <= 5 && codes.last().unwrap() == "too_many_unknown", "{codes:?}");
    assert_eq!((world.spent_msat(), world.wallet().in_flight().len()), (0, hanging));
    let balance = host.call("get_balance", json!({})).await;
    let session = balance.facts()["budgets"].as_array().unwrap().iter().find(|b| b["scope"] == "session").unwrap();
    assert_eq!(session["held"], format!("{} sat", hanging * 31), "{session}");
    host.kill().await;
    world.verify().await;
}

/// A53: a price out of a cache is somebody else's invoice.
#[tokio::test]
async fn a_challenge_out_of_a_cache_is_not_paid() {
    let world = World::new().await;
    let ages: [&[&str]; 5] = [&["5"], &["86400"], &["0", "5"], &["0, 300"], &["99999999999999999999999"]];
    let replies = ages.map(|ages| ages.iter().fold(world.ask(21_000), |reply, age| reply.header("age", age)));
    let seller = Seller::table(replies.to_vec()).await;
    let host = world.host().await;
    for n in 0..ages.len() {
        refuses_with(&world, &host, &seller.url(&format!("/{n}")), "stale_challenge").await;
    }
    assert!(seller.hits().iter().all(|h| h.headers["cache-control"] == "no-cache"));
    assert_eq!((world.spent_msat(), world.asked_to_pay()), (0, 0));
    assert_eq!(naive_msat(&world, &seller.url("/0")).await, 21_000);
}

/// A61: a token that a header could not carry unharmed is not bought.
#[tokio::test]
async fn a_token_that_would_forge_headers_is_not_bought() {
    let world = World::new().await;
    let tokens = ["a\r\nX-Evil: 1", "a\0b", "tökén", "a\"b", "a b", "", "a\u{7f}", "\u{202e}a"];
    let replies = tokens.map(|token| {
        let invoice = world.node().invoice(21_000, "x", 600).expect("an invoice");
        let body = json!({ "token": token, "invoice": invoice.bolt11 }).to_string();
        Reply::status(402, body).header("content-type", "application/json")
    });
    let seller = Seller::table(replies.to_vec()).await;
    let host = world.host().await;
    for (n, token) in tokens.iter().enumerate() {
        refuses(&world, &host, json!({ "url": seller.url(&format!("/{n}")) }), token).await;
    }
    assert_eq!((world.spent_msat(), world.asked_to_pay()), (0, 0));
    assert!(seller.hits().iter().all(|h| !h.headers.contains_key("x-evil") && !h.paid()));
    assert_eq!(naive_msat(&world, &seller.url("/0")).await, 21_000);
}

/// A78: what a relay or a stranger forges settles nothing and refuses nothing; what is told is what moved.
#[tokio::test]
async fn no_forged_reply_settles_or_refuses_a_payment() {
    let liar = |envelope| Behaviour {
        reply: ReplySaid::Error("INSUFFICIENT_BALANCE".into()),
        envelope,
        ..Behaviour::default()
    };
    // Money moved, and the reply that denies it is not the wallet's: looked up, found, told.
    for envelope in [Envelope::ForeignAuthor, Envelope::ForeignRequest, Envelope::NoRequest] {
        let (world, seller, host) = shop(RelayMode::Honest).await;
        world.wallet().next(liar(envelope));
        let told = host.fetch(json!({ "url": seller.url("/") })).await;
        assert_eq!((told.outcome(), world.spent_msat()), ("bought", 21_000), "{envelope:?}: {}", told.text());
        assert_eq!(told.facts()["paid_now"], "21 sat");
        world.verify_money().await;
        // And where nobody can be asked, it stays unknown: never a no, never a second payment.
        world.wallet().next(liar(envelope).then_lookup(LookupSaid::NotFound));
        let fresh = Seller::honest(world.node(), 21_000, "{}").await;
        let told = host.fetch(json!({ "url": fresh.url("/") })).await;
        assert_eq!((told.outcome(), world.spent_msat()), ("pending", 42_000), "{envelope:?}: {}", told.text());
        host.kill().await;
        world.verify().await;
    }
    // A relay that forges a success for a payment that never happened.
    for mode in [RelayMode::ForgeFirst, RelayMode::ReplayOld, RelayMode::TamperReplies, RelayMode::TamperInfo] {
        let (world, seller, host) = shop(RelayMode::Honest).await;
        let told = host.fetch(json!({ "url": seller.url("/") })).await;
        assert_eq!(told.outcome(), "bought", "{}", told.text());
        world.sandbox.relay().set_mode(mode);
        let never = Behaviour { money: Money::Never, ..Behaviour::refuses("INSUFFICIENT_BALANCE") };
        world.wallet().next(never);
        let fresh = Seller::honest(world.node(), 21_000, "{}").await;
        let told = host.fetch(json!({ "url": fresh.url("/") })).await;
        assert!(["failed", "pending"].contains(&told.outcome()), "{mode:?}: {}", told.text());
        assert_eq!(world.spent_msat(), 21_000, "{mode:?}");
        assert!(fresh.hits().iter().all(|h| !h.paid()), "{mode:?}: no proof, nothing shown");
        host.kill().await;
        world.verify().await;
    }
}

async fn shop(mode: RelayMode) -> (World, Seller, Host) {
    let world = World::with(BRIEF).await;
    world.sandbox.relay().set_mode(mode);
    let seller = Seller::honest(world.node(), 21_000, "{}").await;
    let host = world.host_in(Era::Handshake).await;
    (world, seller, host)
}
