//! A seller of x402 that asks whatever a test says and settles honestly on the play chain: for terms that no server of
//! this house would write.

use std::sync::{Arc, Mutex};

use bursar::{evm::eip3009::Signed, sandbox::PlayChain};
use data_encoding::BASE64;
use serde_json::{Value, json};

use crate::{
    shop::Shop,
    support::{Hit, Reply, Seller},
};

/// Who is paid here.
pub const PAYEE: &str = "0x15d34AAf54267DB7D7c367839AAf71A00a2C6A65";

/// Sound terms of the play chain's USDC for so many units.
pub fn terms(units: u64) -> Value {
    json!({
        "scheme": "exact", "network": "eip155:84532", "amount": units.to_string(),
        "asset": "0x036CbD53842c5426634e7929541eC2318f3dCF7e", "payTo": PAYEE, "maxTimeoutSeconds": 300,
        "extra": { "name": "USDC", "version": "2" },
    })
}

/// Sound terms with other values in these places of theirs, by JSON pointer.
pub fn but(units: u64, changes: &[(&str, Value)]) -> Value {
    let mut terms = terms(units);
    for (place, value) in changes {
        let (parent, name) = place.rsplit_once('/').expect("a pointer");
        terms.pointer_mut(parent).expect("its parent")[name] = value.clone();
    }
    terms
}

/// A 402 of version 2 that asks for these.
pub fn asks(accepts: &[Value]) -> Reply {
    asks_at("https://seller.example/thing", accepts)
}

/// The same about a resource of this address.
pub fn asks_at(resource: &str, accepts: &[Value]) -> Reply {
    let said = json!({
        "x402Version": 2, "error": "Payment required",
        "resource": { "url": resource, "description": "", "mimeType": "" }, "accepts": accepts,
    });
    Reply::status(402, "{}").header("payment-required", &BASE64.encode(said.to_string().as_bytes()))
}

/// What a request pays with, decoded.
pub fn payment(hit: &Hit) -> Option<Value> {
    let header = hit.headers.get("payment-signature")?.to_str().ok()?;
    serde_json::from_slice(&BASE64.decode(header.as_bytes()).ok()?).ok()
}

/// What was signed in it.
pub fn signed(payment: &Value) -> Signed {
    serde_json::from_value(payment["payload"].clone()).expect("an authorization")
}

/// Carries a payment to the chain: the answer with its receipt, or a settle failure.
pub fn settles(chain: &PlayChain, payment: &Value, body: &str) -> Reply {
    let hex = |bytes: &[u8]| format!("0x{}", data_encoding::HEXLOWER.encode(bytes));
    let receipt = |said: Value| BASE64.encode(said.to_string().as_bytes());
    match chain.transfer_with_authorization(signed(payment)) {
        Ok(moved) => Reply::ok(body).header(
            "payment-response",
            &receipt(json!({ "success": true, "transaction": hex(&moved.transaction), "network": "eip155:84532" })),
        ),
        Err(revert) => Reply::status(402, "{}").header(
            "payment-response",
            &receipt(json!({ "success": false, "errorReason": revert.to_string(), "transaction": "" })),
        ),
    }
}

/// A seller that asks for these and takes whatever pays one of them to the letter.
pub async fn seller(shop: &Shop, accepts: Vec<Value>) -> Seller {
    let chain = shop.world.sandbox.chain().clone();
    Seller::start(move |hit| match payment(hit) {
        Some(paid) if accepts.contains(&paid["accepted"]) => settles(&chain, &paid, r#"{"thing":"ok"}"#),
        _ => asks(&accepts),
    })
    .await
}

/// A seller whose terms have a receipt id of their own in every challenge, which it wants back; it costs the same each time.
pub async fn with_receipt_ids(shop: &Shop, units: u64) -> Seller {
    let chain = shop.world.sandbox.chain().clone();
    let open = Arc::new(Mutex::new(None::<Value>));
    Seller::start(move |hit| {
        let mut open = open.lock().unwrap();
        if let Some(paid) = payment(hit).filter(|paid| open.as_ref() == Some(&paid["accepted"])) {
            *open = None;
            return settles(&chain, &paid, r#"{"thing":"ok"}"#);
        }
        let terms = but(units, &[("/extra/receiptId", json!(format!("r{}", hit.n)))]);
        *open = Some(terms.clone());
        asks(&[terms])
    })
    .await
}

/// The nonces of everything that a seller was shown, without doubles.
pub fn nonces(seller: &Seller) -> std::collections::BTreeSet<[u8; 32]> {
    seller.hits().iter().filter_map(payment).map(|paid| signed(&paid).authorization.nonce).collect()
}
