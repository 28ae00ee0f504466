//! What it sells, and how a purchase goes when nothing goes wrong.

use serde_json::json;

use crate::buyer::{CENT, Scene, body, encoded, http, v2};

#[tokio::test]
async fn everything_is_listed_with_its_price_and_a_batch_costs_hundreds_of_times_as_much_in_nearly_the_same_words() {
    let scene = Scene::new().await;
    let listed = scene.get("/services").await.json();
    let services = listed["services"].as_array().unwrap();
    assert_eq!(services.len(), 26);
    let find = |path: &str| services.iter().find(|s| s["path"] == path).unwrap();
    let (one, many) = (find("/sentiment"), find("/sentiment-batch"));
    assert_eq!((&one["price"], &many["price"]), (&json!("$0.01"), &json!("$3.00")));
    let words = |s: &serde_json::Value| s["description"].as_str().unwrap().to_owned();
    assert_eq!(words(one).replace("a text", "texts"), words(many));
    assert_eq!(find("/image-upscale-batch")["price"], "$30.00");
    assert_eq!(listed["payment"], json!({"protocol": "x402", "currency": "USDC", "network": "eip155:84532"}));
    let health = scene.get("/health").await.json();
    assert_eq!((&health["status"], &health["version"]), (&json!("ok"), &json!("2.0.0")));
    assert_eq!(health["services"].as_array().unwrap().len(), 26);
    assert_eq!(health["wallet"], json!(scene.world.ntriq().pay_to()));
    for service in services {
        let path = service["path"].as_str().unwrap();
        let asked = scene.post(path, &[]).await.challenge();
        let units = scene.world.ntriq().price(path).unwrap();
        assert_eq!(asked["accepts"][0]["amount"], json!(units.to_string()), "{path}: listed and asked alike");
    }
}

#[tokio::test]
async fn a_purchase_takes_two_requests_moves_the_price_and_gives_a_true_receipt() {
    let scene = Scene::new().await;
    let asked = scene.post("/sentiment", &[]).await;
    assert_eq!(
        (asked.status, &*asked.text, &asked.headers["cache-control"]),
        (402, "{}", &"no-store".parse().unwrap())
    );
    assert!(asked.receipt().is_none());
    let header = scene.header("/sentiment").await;
    let bought = scene.pay("/sentiment", &header).await;
    assert_eq!((bought.status, &bought.headers["cache-control"]), (200, &"private".parse().unwrap()));
    assert_eq!((&bought.json()["status"], &bought.json()["sentiment"]), (&json!("ok"), &json!("positive")));
    let moved = scene.world.chain().moved().remove(0);
    assert_eq!(
        bought.receipt().unwrap(),
        json!({
            "success": true, "payer": scene.me(), "network": "eip155:84532",
            "transaction": bursar::evm::hex(&moved.transaction),
        })
    );
    assert_eq!((moved.to, scene.moved()), (scene.world.ntriq().pay_to(), (CENT, 1)));
}

#[tokio::test]
async fn whoever_knows_the_terms_pays_in_one_request() {
    let scene = Scene::new().await;
    let challenge = scene.post("/sentiment", &[]).await.challenge();
    for n in 1..=3 {
        let header = encoded(&v2(&challenge, &scene.signed(&challenge["accepts"][0], |_| {})));
        assert_eq!(scene.pay("/sentiment", &header).await.status, 200);
        assert_eq!(scene.moved(), (n * CENT, n as usize));
    }
    assert_eq!(scene.world.ntriq().challenges(), 1);
    assert!(scene.world.ntriq().set_price("/sentiment", 2 * CENT));
    let stale = encoded(&v2(&challenge, &scene.signed(&challenge["accepts"][0], |_| {})));
    let refused = scene.pay("/sentiment", &stale).await;
    assert_eq!((refused.status, &*refused.error()), (402, "No matching payment requirements"));
    assert_eq!(refused.challenge()["accepts"][0]["amount"], "20000", "the refusal has the new terms");
    assert_eq!(scene.moved().0, 3 * CENT);
}

#[tokio::test]
async fn a_wrong_body_is_a_400_and_costs_nothing() {
    let scene = Scene::new().await;
    for (path, sent, says) in [
        ("/sentiment", json!({"words": "?"}), "text required"),
        ("/sentiment", json!({"text": "  "}), "text required"),
        ("/alt-text", json!({}), "image_url or image_base64 required"),
        ("/phish-radar", json!({"uri": "x"}), "url required"),
        ("/sentiment-batch", json!({"text": "one"}), "items required"),
        ("/sentiment-batch", json!({"items": vec![json!({"text": "x"}); 501]}), "at most 500 items"),
    ] {
        let header = scene.header(path).await;
        let sent = scene.send(path, sent, &[("payment-signature", &header)]).await.unwrap();
        assert_eq!(sent.status(), 400);
        assert!(!sent.headers().contains_key("payment-response"));
        assert_eq!(sent.text().await.unwrap(), json!({"error": says}).to_string());
    }
    assert_eq!(scene.moved(), (0, 0));
}

#[tokio::test]
async fn an_authorization_that_paid_for_nothing_pays_for_the_next_call() {
    let scene = Scene::new().await;
    let header = scene.header("/sentiment").await;
    let wrong = scene.send("/sentiment", json!({}), &[("payment-signature", &header)]).await.unwrap();
    assert_eq!(wrong.status(), 400);
    assert_eq!(scene.pay("/sentiment", &header).await.status, 200);
    assert_eq!(scene.moved(), (CENT, 1));
}

#[tokio::test]
async fn a_batch_answers_for_each_item_at_one_flat_price() {
    let scene = Scene::new().await;
    let header = scene.header("/pii-detect-batch").await;
    let items = json!({"items": [{"text": "write to ann@example.com"}, {"text": "nothing"}]});
    let sent = scene.send("/pii-detect-batch", items, &[("payment-signature", &header)]).await.unwrap();
    let answer: serde_json::Value = serde_json::from_str(&sent.text().await.unwrap()).unwrap();
    assert_eq!((&answer["count"], &answer["results"][0]["masked_text"]), (&json!(2), &json!("write to [EMAIL]")));
    assert_eq!(
        answer["results"][0]["pii_found"][0],
        json!({"type": "email", "value": "ann@example.com", "position": 9})
    );
    assert_eq!(scene.moved(), (6_000_000, 1));
}

#[tokio::test]
async fn a_wrong_method_or_path_is_nothing_at_all_and_a_browser_gets_a_page() {
    let scene = Scene::new().await;
    assert_eq!(scene.get("/sentiment").await.status, 404);
    assert_eq!(scene.post("/sentiments", &[]).await.status, 404);
    let seen = [("accept", "text/html,*/*"), ("user-agent", "Mozilla/5.0")];
    let page = scene.post("/sentiment", &seen).await;
    assert_eq!(page.status, 402);
    assert!(page.text.starts_with("<!DOCTYPE html>") && !page.headers.contains_key("payment-required"));
}

#[tokio::test]
async fn the_hundred_and_first_request_of_a_minute_is_too_many_when_it_counts() {
    let scene = Scene::new().await;
    scene.world.ntriq().set_rate_limit(Some(3));
    for _ in 0..3 {
        assert_eq!(scene.get("/health").await.status, 200);
    }
    let refused = scene.post("/sentiment", &[]).await;
    assert_eq!((refused.status, refused.json()), (429, json!({"error": "Too many requests"})));
    scene.clock.advance_ms(60_000);
    assert_eq!(scene.get("/health").await.status, 200);
}

#[tokio::test]
async fn the_date_is_the_sandboxes_own() {
    let scene = Scene::new().await;
    assert_eq!(scene.get("/health").await.headers["date"], "Sat, 21 Nov 2026 07:22:53 GMT");
}

#[tokio::test]
async fn a_buyer_who_hangs_up_has_paid_all_the_same() {
    let scene = Scene::with(bursar::sandbox::NtriqMode::Slow(200)).await;
    let header = scene.header("/sentiment").await;
    let request = http().post(format!("{}/sentiment", scene.world.ntriq_url())).body(body().to_string());
    let sent = request.header("payment-signature", header).timeout(std::time::Duration::from_millis(50)).send().await;
    assert!(sent.unwrap_err().is_timeout());
    // The next one waits for its turn, which is after the first one's.
    assert_eq!(scene.buy("/sentiment").await.status, 200);
    assert_eq!(scene.moved(), (2 * CENT, 2));
}
