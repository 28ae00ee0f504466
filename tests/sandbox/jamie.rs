//! The manners of the API that Jamie is.

use super::*;

#[tokio::test]
async fn the_free_tier_wants_its_exact_header_counts_down_and_ends_in_429() {
    let sandbox = sandbox().await;
    for wrong in ["1", "True", "yes", " true x"] {
        assert_eq!(discover(&sandbox, Some(("x-free-tier", wrong))).await.status(), 402);
    }
    for left in ["2", "1", "0"] {
        let response = discover(&sandbox, Some(("x-free-tier", "true"))).await;
        assert_eq!(
            (response.status().as_u16(), &response.headers()["x-quota-remaining"]),
            (200, &left.parse().unwrap())
        );
    }
    let response = discover(&sandbox, Some(("x-free-tier", "true"))).await;
    assert_eq!(response.status(), 429);
    assert_eq!(response.headers()["x-quota-used"], "3");
    let body = json_of(response).await;
    assert_eq!(
        (&body["code"], &body["max"], &body["daysUntilReset"]),
        (&json!("QUOTA_EXCEEDED"), &json!(3), &json!(7))
    );
    let quotes = post(&sandbox, "/api/search-quotes", json!({}), Some(("x-free-tier", "true"))).await;
    assert_eq!((quotes.status().as_u16(), &quotes.headers()["x-quota-used"]), (400, &"1".parse().unwrap()));
    sandbox.jamie().reset_quotas();
    assert_eq!(discover(&sandbox, Some(("x-free-tier", "true"))).await.status(), 200);
    assert_eq!(sandbox.node().spent_msat(), 0);
}

#[tokio::test]
async fn a_400_and_a_500_are_charged_and_the_balance_says_so() {
    let sandbox = sandbox().await;
    let mut client = Client::connect(&sandbox, Nip47Ciphers::NIP44V2).await;
    let refused = post(&sandbox, "/api/search-chapters?amountSats=50", json!({}), None).await;
    let challenge = Challenge::all(&refused).remove(0);
    assert_eq!(json_of(refused).await["amountSats"], 50);
    let credential = challenge.buy(&mut client).await;
    let balance = format!("{}/api/agent/balance", sandbox.jamie_url());
    assert_eq!(get(balance.clone(), None).await.status(), 401);

    let wrong =
        post(&sandbox, "/api/search-chapters", json!({"query": "fees"}), Some(("authorization", &credential))).await;
    assert_eq!(
        (wrong.status().as_u16(), &wrong.headers()["x-credits-remaining-usd"]),
        (400, &"0.042000".parse().unwrap())
    );
    sandbox.jamie().set_mode(JamieMode::Broken);
    let right = json!({"search": "fees"});
    let broken =
        post(&sandbox, "/api/search-chapters?amountSats=1", right.clone(), Some(("authorization", &credential))).await;
    assert_eq!(broken.status(), 500, "amountSats is ignored on a paid call");
    let said = json_of(get(balance, Some(&credential)).await).await;
    assert_eq!((&said["balanceUsdMicro"], &said["usedUsdMicro"]), (&json!(34_000), &json!(16_000)));

    sandbox.jamie().set_mode(JamieMode::LightningUnavailable);
    assert_eq!(
        post(&sandbox, "/api/search-chapters", right.clone(), Some(("authorization", &credential))).await.status(),
        200
    );
    let closed = post(&sandbox, "/api/search-chapters", right, None).await;
    assert_eq!(closed.status(), 503);
    assert_eq!(json_of(closed).await["code"], "LIGHTNING_UNAVAILABLE");
    sandbox.jamie().set_mode(JamieMode::Open);
    for bad in ["9", "500001", "ten", "-5", ""] {
        let path = format!("/api/search-quotes?amountSats={bad}");
        assert_eq!(post(&sandbox, &path, json!({}), None).await.status(), 400, "{bad}");
    }
}

#[tokio::test]
async fn the_documents_carry_the_real_traps_and_the_bare_domain_only_redirects() {
    let sandbox = sandbox().await;
    let base = sandbox.jamie_url();
    let openapi = json_of(get(format!("{base}/api/openapi.json"), None).await).await;
    let apex = openapi["servers"][0]["url"].as_str().unwrap().to_owned();
    assert_ne!(apex, base);
    assert_eq!(apex, sandbox.jamie().apex_url());
    assert!(!openapi.to_string().contains("x-payment-info"));
    assert!(openapi["paths"]["/api/search-quotes"]["post"]["responses"]["402"].is_null());
    assert!(get(format!("{base}/llms.txt"), None).await.text().await.unwrap().contains("X-Free-Tier: true"));
    assert_eq!(get(format!("{base}/api/corpus/stats"), None).await.status(), 200);
    assert_eq!(get(format!("{base}/api/corpus/feeds"), None).await.status(), 200);
    assert_eq!(get(format!("{base}/api/discover-podcasts"), None).await.status(), 404);

    let response = http().post(format!("{apex}/api/pull?x=1")).body("{}").send().await.unwrap();
    assert_eq!(response.status(), 301);
    assert_eq!(response.headers()["location"], format!("{base}/api/pull?x=1"));
    assert_eq!(sandbox.jamie().redirects(), 1);
    let pulled = post(&sandbox, "/api/pull", json!({"message": SEED}), Some(("x-free-tier", "true"))).await;
    assert!(json_of(pulled).await["text"].as_str().unwrap().contains("The Corner Till"));
}
