//! Several dialects on one answer, each with an invoice or terms of its own: one is paid, and why is in the books.

use serde_json::{Value, json};

use super::{
    DATA, PRICE, credentials, encode, line,
    support::{Host, Reply, Seller, Told, World, money, token_for},
};

/// What the ledger says of why an offer was taken, and what a host reads of it.
async fn why(world: &World, host: &Host, told: &Told) -> String {
    let id = told.purchase().parse().expect("an id");
    let standing = world.ledger().find(id).await.expect("a ledger").expect("a purchase");
    let uri = format!("bursar://purchase/{}", told.purchase());
    let read = host.request("resources/read", json!({ "uri": uri })).await.expect("an answer");
    let text = read["result"]["contents"][0]["text"].as_str().unwrap_or_else(|| panic!("{read}"));
    let shown: Value = serde_json::from_str(text).expect("json");
    assert_eq!(shown["why"], standing.chosen_why.as_str());
    standing.chosen_why
}

/// Facts 4, hazard 19.
#[tokio::test]
async fn hazard_19_of_all_dialects_on_one_answer_exactly_one_is_paid() {
    let world = World::new().await;
    let node = world.node().clone();
    let seller = Seller::start(move |hit| {
        if hit.paid() {
            return Reply::ok(DATA);
        }
        let l402 = |scheme: &str| {
            let made = node.invoice(PRICE + 1000, "l402", 600).expect("an invoice");
            format!(r#"{scheme} macaroon="{}", invoice="{}""#, token_for(&made.payment_hash), made.bolt11)
        };
        let deposit = node.invoice(40_000, "deposit", 600).expect("an invoice");
        let session = json!({"amount": "2", "currency": "sat", "depositInvoice": deposit.bolt11,
            "paymentHash": deposit.payment_hash});
        let session = encode(session.to_string().as_bytes());
        let x402 = json!({"x402Version": 2, "accepts": [{"scheme": "exact", "network": "eip155:8453", "amount": "10000",
            "asset": "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913", "maxTimeoutSeconds": 60,
            "payTo": "0x742d35Cc6634c0532925a3b844bC9e7595F8fE00", "extra": {"name": "USD Coin", "version": "2"}}]});
        Reply::status(402, "")
            .header("www-authenticate", &l402("LSAT"))
            .header("www-authenticate", &l402("L402"))
            .header("www-authenticate", &line(&node, "charge", PRICE))
            .header(
                "www-authenticate",
                &format!(
                    r#"Payment id="s", realm="127.0.0.1", method="lightning", intent="session", request="{session}""#
                ),
            )
            .header("payment-required", &data_encoding::BASE64.encode(x402.to_string().as_bytes()))
    })
    .await;
    let host = world.host().await;
    let told = host.fetch(json!({ "url": seller.url("/a") })).await;
    assert_eq!(told.outcome(), "bought", "{}", told.text());
    assert_eq!((world.spent_msat(), world.node().moved().len()), (PRICE, 1), "the cheapest, and only that");
    let rows = world.audit().await;
    assert_eq!((rows.len(), rows[0].rail.as_str()), (1, "mpp lightning"));
    let why = why(&world, &host, &told).await;
    assert!(why.starts_with("the cheapest of "), "{why}");
    assert!(credentials(&seller).len() == 1 && seller.hits().iter().filter(|hit| hit.paid()).count() == 1);
    assert_eq!(money::states(&world).await, ["delivered"]);
    world.verify_money().await;
}

/// The sandbox's shop sells by all five at once and takes each of them for what it is: whichever currency the operator
/// puts first, one of them moves, once, and the choice and its reason are in the ledger.
#[tokio::test]
async fn of_five_dialects_and_two_wallets_one_is_paid_in_the_currency_that_comes_first() {
    for (config, sats, units, rail) in [
        ("[sellers]\ncurrencies = [\"sat\", \"usd\"]\n", PRICE, 0, "lightning"),
        ("[sellers]\ncurrencies = [\"usd\", \"sat\"]\n", 0, 10_000, "x402 eip3009"),
    ] {
        let world = World::with_dollars(config).await;
        let host = world.host().await;
        let told = host.fetch(json!({ "url": format!("{}/every", world.sandbox.mpp_url()) })).await;
        assert_eq!(told.outcome(), "bought", "{}", told.text());
        assert_eq!((world.spent_msat(), world.spent_units()), (sats, units), "{}", told.text());
        let moved = world.node().moved().len() + world.sandbox.chain().moved().len();
        assert_eq!((moved, world.sandbox.mpp_shop().served("/every")), (1, 1), "one of five");
        let rows = money::purchases(&world).await;
        assert!(rows.len() == 1 && rows[0].rail.ends_with(rail), "{rows:?}");
        let why = why(&world, &host, &told).await;
        assert!(why.ends_with("which comes first in the operator's order of currencies"), "{why}");
        assert!(told.text().contains(&why), "{}", told.text());
        world.verify_money().await;
    }
}
