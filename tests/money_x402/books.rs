//! What a person reads afterwards of a purchase that a chain settled.

use bursar::sandbox::NtriqMode;
use serde_json::{Value, json};

use crate::{
    shop::{Shop, TEXT},
    support::money,
};

/// The hash of the one transfer that the chain saw.
fn transaction(shop: &Shop) -> String {
    let moved = shop.world.sandbox.chain().moved();
    assert_eq!(moved.len(), 1);
    format!("0x{}", data_encoding::HEXLOWER.encode(&moved[0].transaction))
}

async fn audit(shop: &Shop, how: &str) -> String {
    let (code, out, log) = shop.world.run(&["audit", how]).await;
    assert_eq!(code, 0, "{log}");
    out
}

#[tokio::test]
async fn the_audit_names_the_rail_the_network_and_the_transaction_in_all_its_forms() {
    let shop = Shop::open().await;
    let host = shop.world.host().await;
    let mut ask = shop.ask(TEXT, "I love it");
    ask["purpose"] = "how it sounds".into();
    assert_eq!(host.fetch(ask).await.outcome(), "bought");
    let hash = transaction(&shop);
    let table = audit(&shop, "--table").await;
    assert!(table.contains("POST /sentiment by x402 eip3009 on eip155:84532, for"), "{table}");
    // Whole and on one line, at 80 columns too: it is there to be copied.
    assert!(table.lines().any(|l| l.trim() == format!("tx {hash}") && l.len() <= 80), "{table}");
    let facts: Value = serde_json::from_str(&audit(&shop, "--json").await).expect("JSON");
    let row = &facts["rows"][0];
    assert_eq!((&row["network"], &row["transaction"]), (&json!("eip155:84532"), &json!(hash)), "{row}");
    assert_eq!(
        facts["totals"]["money"],
        json!([{ "paid": "0.01 usd", "fees": "0 usd", "spent": "0.01 usd", "held": "0 usd" }])
    );
    let text = audit(&shop, "--csv").await;
    let mut csv = csv::Reader::from_reader(text.as_bytes());
    let header = csv.headers().expect("a header").clone();
    let column = |name: &str| header.iter().position(|h| h == name).expect("the column");
    let (network, tx) = (column("network"), column("transaction"));
    let row = csv.records().next().expect("a row").expect("sound");
    assert_eq!((&row[network], &row[tx]), ("eip155:84532", hash.as_str()));
    let shown = host.request("resources/read", json!({ "uri": "bursar://audit" })).await.expect("an answer");
    assert!(shown.to_string().contains(&hash), "{shown}");
    shop.world.verify_money().await;
}

/// Nobody gave a receipt: the chain was asked, and its word stands in the books.
#[tokio::test]
async fn a_transaction_that_only_the_chain_named_stands_in_the_audit() {
    let shop = Shop::open().await;
    let host = shop.world.host().await;
    shop.buy_from(&host, NtriqMode::LosesAnswer).await;
    assert_eq!(shop.states().await, ["undelivered"]);
    assert_eq!(money::purchases(&shop.world).await[0].transaction, Some(transaction(&shop)));
}

#[tokio::test]
async fn where_nobody_named_a_transaction_none_is_shown() {
    let shop = Shop::open().await;
    let host = shop.world.host().await;
    let told = shop.buy_from(&host, NtriqMode::NoReceipt(bursar::sandbox::Settling::Never)).await;
    assert_eq!(told.outcome(), "bought");
    assert!(!audit(&shop, "--table").await.contains("tx "));
    assert_eq!(money::purchases(&shop.world).await[0].transaction, None);
}
