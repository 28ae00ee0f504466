//! Whole purchases by hand.

use super::*;

#[tokio::test]
async fn a_purchase_at_jamie_by_hand_over_nip44_gets_the_podcasts_and_leaves_credit() {
    let sandbox = sandbox().await;
    let mut client = Client::connect(&sandbox, Nip47Ciphers::NIP44V2).await;
    let refused = discover(&sandbox, None).await;
    assert_eq!(refused.status(), 402);
    let challenge = Challenge::all(&refused).remove(0);
    let body = json_of(refused).await;
    assert_eq!((&body["amountSats"], &body["code"]), (&json!(10), &json!("PAYMENT_REQUIRED")));
    assert_eq!(body["creditInfo"]["pricingMicroUsd"]["discover-podcasts"], 5000);
    assert_eq!(
        (body["paymentHash"].as_str().unwrap(), body["invoice"].as_str().unwrap()),
        (&*challenge.hash(), &*challenge.invoice)
    );
    let token = BASE64URL_NOPAD.decode(challenge.token.as_bytes()).unwrap();
    assert!(token.starts_with(b"002clocation https://www.pullthatupjamie.ai\n0050identifier "), "V1 text packets");

    let credential = challenge.buy(&mut client).await;
    let first = discover(&sandbox, Some(("authorization", &credential))).await;
    assert_eq!(first.status(), 200);
    assert_eq!(first.headers()["x-credits-remaining-usd"], "0.005000");
    assert_eq!(first.headers()["x-credits-cost-usd"], "0.005000");
    assert_eq!(json_of(first).await["results"][0]["title"], "The Corner Till");
    assert_eq!(discover(&sandbox, Some(("authorization", &credential))).await.status(), 200);

    let more = "/api/discover-podcasts?amountSats=77";
    let spent = post(&sandbox, more, json!({"query": SEED}), Some(("authorization", &credential))).await;
    assert_eq!(spent.status(), 402);
    assert_ne!(Challenge::all(&spent)[0].token, challenge.token, "an old balance cannot be filled up");
    let spent = json_of(spent).await;
    assert_eq!((&spent["code"], &spent["balanceUsd"]), (&json!("INSUFFICIENT_FUNDS"), &json!(0.0)));
    assert_eq!(spent["amountSats"], 10, "amountSats is for anonymous callers");
    assert_eq!((sandbox.node().spent_msat(), sandbox.node().moved().len()), (10_000, 1));
}

#[tokio::test]
async fn a_purchase_at_aperture_by_hand_over_nip04_opens_its_service_again_and_again_and_no_other() {
    let sandbox = sandbox_with(WalletOptions { ciphers: Ciphers::OnlyNip04, ..WalletOptions::default() }).await;
    let mut client = Client::connect(&sandbox, Nip47Ciphers::NIP04).await;
    let base = sandbox.aperture_url();
    let refused = get(format!("{base}/v1/rates"), None).await;
    assert_eq!(refused.status(), 402);
    let challenges = Challenge::all(&refused);
    assert_eq!(refused.text().await.unwrap(), "payment required\n");
    assert_eq!([&*challenges[0].scheme, &*challenges[1].scheme], ["LSAT", "L402"]);
    let token = BASE64.decode(challenges[1].token.as_bytes()).unwrap();
    assert_eq!(token[..8], [2, 1, 4, b'l', b's', b'a', b't', 2]);
    assert_eq!((token[8], &token[9..11]), (66, &[0, 0][..]));
    assert_eq!(HEXLOWER.encode(&token[11..43]), challenges[1].hash());

    let credential = challenges[1].buy(&mut client).await;
    for _ in 0..3 {
        assert_eq!(get(format!("{base}/v1/rates"), Some(&credential)).await.status(), 200);
    }
    assert_eq!(get(format!("{base}/v1/rates"), Some(&credential.replace("L402", "LSAT"))).await.status(), 200);
    for other in ["large", "metered/x", "dynamic/a"] {
        assert_eq!(get(format!("{base}/v1/{other}"), Some(&credential)).await.status(), 402, "{other}");
    }
    assert_eq!(get(format!("{base}/v1/free"), None).await.status(), 200);
    assert_eq!(sandbox.node().spent_msat(), 21_000);
}

#[tokio::test]
async fn a_metered_token_runs_out_and_a_dynamic_one_opens_its_own_path_only() {
    let sandbox = sandbox().await;
    let mut client = Client::connect(&sandbox, Nip47Ciphers::NIP44V2).await;
    let base = sandbox.aperture_url();
    let url = format!("{base}/v1/metered/report");
    let credential = Challenge::all(&get(url.clone(), None).await)[1].buy(&mut client).await;
    for _ in 0..5 {
        assert_eq!(get(url.clone(), Some(&credential)).await.status(), 200);
    }
    let over = get(url.clone(), Some(&credential)).await;
    assert_eq!(over.status(), 402);
    let again = Challenge::all(&over)[1].buy(&mut client).await;
    assert_eq!(get(url, Some(&again)).await.status(), 200);

    let (one, two) = (format!("{base}/v1/dynamic/one"), format!("{base}/v1/dynamic/two"));
    let credential = Challenge::all(&get(one.clone(), None).await)[1].buy(&mut client).await;
    assert_eq!(get(one, Some(&credential)).await.status(), 200);
    assert_eq!(get(two, Some(&credential)).await.status(), 402);
    let large = Challenge::all(&get(format!("{base}/v1/large"), None).await)[1].buy(&mut client).await;
    assert!(get(format!("{base}/v1/large"), Some(&large)).await.text().await.unwrap().len() > 190_000);
    assert_eq!(sandbox.node().spent_msat(), 4 * 21_000);
}

#[tokio::test]
async fn a_credential_with_anything_wrong_gets_a_new_challenge_and_never_a_401() {
    let sandbox = sandbox().await;
    let mut client = Client::connect(&sandbox, Nip47Ciphers::NIP44V2).await;
    let jamie = Challenge::all(&discover(&sandbox, None).await).remove(0);
    let url = format!("{}/v1/rates", sandbox.aperture_url());
    let aperture = Challenge::all(&get(url.clone(), None).await).remove(1);
    let (good_jamie, good_aperture) = (jamie.buy(&mut client).await, aperture.buy(&mut client).await);
    let other = "11".repeat(32);

    // A token whose expiry was rewritten, under the right preimage.
    let mut bytes = BASE64URL_NOPAD.decode(jamie.token.as_bytes()).unwrap();
    let at = bytes.windows(9).position(|w| w == b"expires_a").unwrap() + 13;
    bytes[at] = b'9';
    let preimage = good_jamie.rsplit(':').next().unwrap();
    let changed = format!("L402 {}:{preimage}", BASE64URL_NOPAD.encode(&bytes));

    for wrong in [
        format!("L402 {}:{other}", jamie.token),
        changed,
        format!("L402 {}", jamie.token),
        format!("Bearer {}:{preimage}", jamie.token),
        good_aperture.clone(),
    ] {
        let response = discover(&sandbox, Some(("authorization", &wrong))).await;
        assert_eq!(response.status(), 402, "{wrong}");
        assert_ne!(Challenge::all(&response)[0].invoice, jamie.invoice);
    }
    let mut bytes = BASE64.decode(aperture.token.as_bytes()).unwrap();
    let at = bytes.windows(7).position(|w| w == b"rates:0").unwrap();
    bytes[at..at + 5].copy_from_slice(b"large");
    let preimage = good_aperture.rsplit(':').next().unwrap();
    let large = format!("{}/v1/large", sandbox.aperture_url());
    let forged = format!("L402 {}:{preimage}", BASE64.encode(&bytes));
    assert_eq!(get(large, Some(&forged)).await.status(), 402, "a caveat cannot be rewritten");
    for wrong in [format!("L402 {}:{other}", aperture.token), good_aperture.to_uppercase(), good_jamie.clone()] {
        assert_eq!(get(url.clone(), Some(&wrong)).await.status(), 402);
    }
    assert_eq!(get(url, Some(&good_aperture)).await.status(), 200);
    assert_eq!(discover(&sandbox, Some(("authorization", &good_jamie.replace("L402", "l402")))).await.status(), 200);
}
