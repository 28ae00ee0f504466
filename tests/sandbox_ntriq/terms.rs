//! The forms in which it asks, and which answers fit which.

use bursar::sandbox::{Form, NtriqMode};
use serde_json::{Value, json};

use crate::buyer::{CENT, Scene, encoded, v2};

async fn v1_header(scene: &Scene) -> String {
    let asked = scene.post("/sentiment?v=1", &[]).await.json();
    let signed = scene.signed(&asked["accepts"][0], |_| {});
    encoded(&json!({"x402Version": 1, "scheme": "exact", "network": "base-sepolia", "payload": signed}))
}

#[tokio::test]
async fn version_1_asks_in_the_body_and_is_paid_in_its_own_header() {
    let scene = Scene::new().await;
    let asked = scene.post("/sentiment?v=1", &[]).await;
    assert!(!asked.headers.contains_key("payment-required"));
    let said = asked.json();
    assert_eq!((&said["x402Version"], &said["error"]), (&json!(1), &json!("X-PAYMENT header is required")));
    let way = &said["accepts"][0];
    assert_eq!((&way["network"], &way["maxAmountRequired"]), (&json!("base-sepolia"), &json!("10000")));
    assert_eq!(way["resource"], json!(format!("{}/sentiment", scene.world.ntriq_url())));
    let header = v1_header(&scene).await;
    let bought = scene.post("/sentiment?v=1", &[("x-payment", &header)]).await;
    assert_eq!(bought.status, 200);
    assert!(bought.receipt().is_none(), "the receipt has version 1's name");
    let receipt = bought.header("x-payment-response").unwrap();
    assert_eq!((&receipt["success"], &receipt["network"]), (&json!(true), &json!("base-sepolia")));
    let again = scene.post("/sentiment?v=1", &[("x-payment", &header)]).await;
    assert_eq!(again.json()["error"], "invalid_exact_evm_transaction_simulation_failed");
    assert_eq!(scene.moved(), (CENT, 1));
}

#[tokio::test]
async fn a_version_1_settle_failure_has_a_receipt_and_the_terms_again() {
    let scene = Scene::with(NtriqMode::SettleFails).await;
    let header = v1_header(&scene).await;
    let refused = scene.post("/sentiment?v=1", &[("x-payment", &header)]).await;
    assert_eq!(refused.status, 402);
    assert_eq!(refused.header("x-payment-response").unwrap()["success"], false);
    assert_eq!(refused.json()["error"], "invalid_exact_evm_transaction_failed");
    assert_eq!(refused.json()["accepts"].as_array().unwrap().len(), 1);
    assert_eq!(scene.moved(), (0, 0));
}

#[tokio::test]
async fn a_payment_of_the_other_version_is_no_payment() {
    let scene = Scene::new().await;
    let (v1, v2) = (v1_header(&scene).await, scene.header("/sentiment").await);
    for headers in [("x-payment", &*v1), ("payment-signature", &*v1), ("x-payment", &*v2), ("payment-signature", "%%%")]
    {
        let refused = scene.post("/sentiment", &[headers]).await;
        assert_eq!((refused.status, &*refused.error()), (402, "Payment required"), "{}", headers.0);
    }
    for (headers, says) in [
        (("payment-signature", &*v2), "X-PAYMENT header is required"),
        (("x-payment", &*v2), "Invalid or malformed payment header"),
        (("x-payment", "%%%"), "Invalid or malformed payment header"),
    ] {
        let refused = scene.post("/sentiment?v=1", &[headers]).await;
        assert_eq!((refused.status, &refused.json()["error"]), (402, &json!(says)));
    }
    let mut elsewhere = scene_json(&v1);
    elsewhere["network"] = "base".into();
    let refused = scene.post("/sentiment?v=1", &[("x-payment", &encoded(&elsewhere))]).await;
    assert_eq!(refused.json()["error"], "Unable to find matching payment requirements");
    assert_eq!(scene.moved(), (0, 0));
}

fn scene_json(header: &str) -> Value {
    serde_json::from_slice(&data_encoding::BASE64.decode(header.as_bytes()).unwrap()).unwrap()
}

#[tokio::test]
async fn version_2_is_also_met_in_the_body_alone_and_under_an_older_name() {
    let scene = Scene::new().await;
    let in_body = scene.post("/sentiment?v=2body", &[]).await;
    assert!(!in_body.headers.contains_key("payment-required"));
    let legacy = scene.post("/sentiment?v=legacy", &[]).await;
    assert!(!legacy.headers.contains_key("payment-required"));
    let (in_body, legacy) = (in_body.json(), legacy.header("x-payment-required").unwrap());
    for (path, challenge) in [("/sentiment?v=2body", in_body), ("/sentiment?v=legacy", legacy)] {
        assert_eq!(challenge["x402Version"], 2);
        assert_eq!(challenge["resource"]["url"], json!(format!("{}{path}", scene.world.ntriq_url())));
        let header = encoded(&v2(&challenge, &scene.signed(&challenge["accepts"][0], |_| {})));
        assert_eq!(scene.pay(path, &header).await.status, 200);
    }
    assert_eq!(scene.moved(), (2 * CENT, 2));
}

#[tokio::test]
async fn the_blogs_odd_form_names_nobody_who_could_be_paid() {
    let scene = Scene::new().await;
    let asked = scene.post("/sentiment?v=blog", &[]).await;
    assert_eq!(asked.json(), json!({"x402Version": 1, "accepts": [{"amount": "10000", "currency": "USDC"}]}));
    scene.world.ntriq().set_form(Form::Blog);
    assert_eq!(scene.post("/sentiment", &[]).await.json(), asked.json());
    assert!(
        scene.post("/sentiment?v=2", &[]).await.headers.contains_key("payment-required"),
        "a request may still choose"
    );
}

#[tokio::test]
async fn a_payment_is_read_in_any_base64() {
    let scene = Scene::new().await;
    let bytes = scene_json(&scene.header("/sentiment").await).to_string();
    let url_safe = data_encoding::BASE64URL_NOPAD.encode(bytes.as_bytes());
    assert_eq!(scene.pay("/sentiment", &url_safe).await.status, 200);
}

#[tokio::test]
async fn row_18_accepted_must_come_back_to_the_letter_in_any_order() {
    let scene = Scene::new().await;
    let good = scene_json(&scene.header("/sentiment").await);
    let bend = |how: &dyn Fn(&mut Value)| {
        let mut bent = good.clone();
        how(&mut bent["accepted"]);
        encoded(&bent)
    };
    let low = |text: &Value| text.as_str().unwrap().to_lowercase();
    for header in [
        bend(&|a| a["payTo"] = json!(low(&a["asset"]))),
        bend(&|a| a["asset"] = json!(low(&a["asset"]))),
        bend(&|a| a["mine"] = json!(1)),
        bend(&|a| a["extra"] = json!({"name": "USDC"})),
        bend(&|a| a["amount"] = json!(10000)),
    ] {
        let refused = scene.pay("/sentiment", &header).await;
        assert_eq!((refused.status, &*refused.error()), (402, "No matching payment requirements"));
    }
    let mut bare = good.clone();
    bare.as_object_mut().unwrap().remove("resource");
    assert_eq!(scene.moved(), (0, 0));
    assert_eq!(scene.pay("/sentiment", &encoded(&bare)).await.status, 200, "resource is nobody's business");
}

#[tokio::test]
async fn row_11_price_and_payee_can_change_between_quote_and_payment() {
    let scene = Scene::with(NtriqMode::DearerOnPayment(50_000)).await;
    let ntriq = scene.world.ntriq();
    let refused = scene.buy("/sentiment").await;
    assert_eq!((refused.status, &*refused.error()), (402, "No matching payment requirements"));
    assert_eq!(refused.challenge()["accepts"][0]["amount"], "50000");
    assert_eq!(scene.post("/sentiment", &[]).await.challenge()["accepts"][0]["amount"], "10000");
    ntriq.set_mode(NtriqMode::OtherPayeeOnPayment);
    let refused = scene.buy("/sentiment").await;
    assert_eq!(refused.challenge()["accepts"][0]["payTo"], json!(ntriq.other_payee()));
    assert_eq!((ntriq.struck(&NtriqMode::DearerOnPayment(0)), ntriq.struck(&NtriqMode::OtherPayeeOnPayment)), (1, 1));
    assert_eq!(scene.moved(), (0, 0));
    // Who pays what it now wants has paid it.
    ntriq.set_mode(NtriqMode::DearerOnPayment(50_000));
    let dear = refused_terms(&scene).await;
    assert_eq!(scene.pay("/sentiment", &dear).await.status, 200);
    assert_eq!(scene.moved(), (50_000, 1));
}

/// A payment of the terms that a refusal names.
async fn refused_terms(scene: &Scene) -> String {
    let challenge = scene.buy("/sentiment").await.challenge();
    encoded(&v2(&challenge, &scene.signed(&challenge["accepts"][0], |_| {})))
}

#[tokio::test]
async fn rows_13_19_20_and_24_terms_can_be_foreign_wrong_many_or_endless() {
    let scene = Scene::with(NtriqMode::ForeignResource).await;
    let ntriq = scene.world.ntriq();
    assert_eq!(scene.post("/sentiment", &[]).await.challenge()["resource"]["url"], "https://api.example.com/sentiment");
    ntriq.set_mode(NtriqMode::GatewayDomain);
    let extra = scene.post("/sentiment", &[]).await.challenge()["accepts"][0]["extra"].clone();
    assert_eq!(extra["name"], "GatewayWalletBatched");
    assert!(extra["verifyingContract"].is_string());
    ntriq.set_mode(NtriqMode::HugeChallenge(100_000));
    assert!(scene.post("/sentiment", &[]).await.headers["payment-required"].len() > 130_000);
    ntriq.set_mode(NtriqMode::OffersMore);
    let ways = scene.post("/sentiment", &[]).await.challenge()["accepts"].clone();
    assert_eq!((ways.as_array().unwrap().len(), &ways[2]), (5, &json!("exact")));
    assert_eq!(scene.moved(), (0, 0));
    assert_eq!(scene.buy("/sentiment").await.status, 200, "the last of them can be paid");
    assert_eq!(scene.moved(), (CENT, 1));
}

#[tokio::test]
async fn an_upfront_sale_can_be_declared_as_it_must() {
    let scene = Scene::with(NtriqMode::Upfront { declared: true }).await;
    let way = scene.post("/sentiment", &[]).await.challenge()["accepts"][0].clone();
    assert_eq!(way["extra"]["paymentFlow"], "upfront");
    scene.world.ntriq().set_mode(NtriqMode::Upfront { declared: false });
    let way = scene.post("/sentiment", &[]).await.challenge()["accepts"][0].clone();
    assert!(way["extra"].get("paymentFlow").is_none());
}
