//! The main job, from outside: a real process, a real MCP client, a real relay and wallet, real invoices.

mod support;

use serde_json::json;
use support::{Seller, World};

#[tokio::test]
async fn the_first_purchase_pays_once_and_the_second_is_opened_by_its_token() {
    let world = World::new().await;
    let seller = Seller::honest(world.node(), 21_000, r#"{"data":"a"}"#).await;
    let host = world.host().await;
    let first = host.fetch(json!({ "url": seller.url("/a"), "purpose": "try it" })).await;
    assert_eq!(first.outcome(), "bought", "{}", first.text());
    assert!(first.text().contains(r#"{"data":"a"}"#), "{}", first.text());
    assert_eq!(first.facts()["paid_now"], "21 sat");
    let second = host.fetch(json!({ "url": seller.url("/a") })).await;
    assert_eq!(second.outcome(), "token", "{}", second.text());
    assert_eq!(world.spent_msat(), 21_000);
    assert!(host.close().await.success());
    world.verify_money().await;
    let states: Vec<String> = world.audit().await.into_iter().map(|r| r.state).collect();
    assert_eq!(states, ["delivered", "token"]);
}

/// The same by the program's own account: `bursar demo` needs no network, and its end says whether the books agree.
#[tokio::test]
async fn the_demo_tells_of_both_currencies_and_its_books_agree() {
    let world = World::new().await;
    let (code, out, err) = world.run(&["demo"]).await;
    assert_eq!(code, 0, "{out}{err}");
    for said in [
        "Paid 10 sat and 0 sat fee over lightning",
        "/sentiment-batch   $3.00",
        "it costs 3 usd, above the limit of 1 usd a purchase",
        "Paid 0.01 usd over eip3009 on eip155:84532",
        "together    0.01 usd",
        "Paid 21 sat and 0 sat fee over lightning",
        "The wallet says that 31 sat left it, the chain says 0.01 usd. The ledger agrees with both.",
    ] {
        assert!(out.contains(said), "{said} is not in:\n{out}");
    }
    assert!(!out.contains('\u{1b}'), "a pipe gets no colours");
}
