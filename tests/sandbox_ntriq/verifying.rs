//! What the facilitator refuses, and in which words.

use bursar::{
    evm::{Address, assets::Token, eip3009::Authorization},
    sandbox::Dialect,
};
use serde_json::json;

use crate::buyer::{CENT, NOW_S, Scene, encoded, v2};

/// The error with which this bent authorization is refused, or `200`.
async fn refusal(scene: &Scene, bend: impl FnOnce(&mut Authorization)) -> String {
    let header = scene.header_with("/sentiment", bend).await;
    outcome(scene, &header).await
}

async fn outcome(scene: &Scene, header: &str) -> String {
    let answer = scene.pay("/sentiment", header).await;
    if answer.status == 402 { answer.error() } else { answer.status.to_string() }
}

async fn in_domain(scene: &Scene, token: &Token) -> String {
    let challenge = scene.post("/sentiment", &[]).await.challenge();
    let signed = scene.signed(&challenge["accepts"][0], |_| {});
    outcome(scene, &encoded(&v2(&challenge, &scene.sign_for(token, signed.authorization)))).await
}

#[tokio::test]
async fn each_fault_has_the_name_that_the_reference_facilitator_gives_it() {
    let scene = Scene::new().await;
    let window = "invalid_exact_evm_payload_authorization_valid";
    let early = format!("{window}_after");
    let late = format!("{window}_before");
    assert_eq!(refusal(&scene, |a| a.valid_before = NOW_S - 1).await, late);
    assert_eq!(refusal(&scene, |a| a.valid_before = NOW_S + 5).await, late, "less than six seconds are too few");
    assert_eq!(refusal(&scene, |a| a.valid_after = NOW_S + 60).await, early);
    let value = "invalid_exact_evm_payload_authorization_value_mismatch";
    assert_eq!(refusal(&scene, |a| a.value -= 1).await, value);
    assert_eq!(refusal(&scene, |a| a.value += 1).await, value);
    assert_eq!(refusal(&scene, |a| a.to = Address([5; 20])).await, "invalid_exact_evm_recipient_mismatch");
    let signature = "invalid_exact_evm_signature";
    assert_eq!(in_domain(&scene, &Token { name: "USD Coin".into(), ..scene.token() }).await, signature);
    assert_eq!(in_domain(&scene, &Token { chain_id: 8453, ..scene.token() }).await, signature);
    assert_eq!(refusal(&scene, |a| a.from = Address([5; 20])).await, signature);
    assert_eq!(scene.moved(), (0, 0));
    assert_eq!(refusal(&scene, |a| a.valid_before = NOW_S + 6).await, "200");
    assert_eq!(refusal(&scene, |a| a.valid_before = NOW_S + 30 * 86_400).await, "200", "a month is not too long");
    assert_eq!(scene.moved(), (2 * CENT, 2));
}

#[tokio::test]
async fn what_is_no_authorization_is_an_invalid_payload() {
    let scene = Scene::new().await;
    let challenge = scene.post("/sentiment", &[]).await.challenge();
    let mut bent = v2(&challenge, &scene.signed(&challenge["accepts"][0], |_| {}));
    bent["payload"]["authorization"]["value"] = json!(10_000);
    assert_eq!(outcome(&scene, &encoded(&bent)).await, "invalid_payload");
    bent["payload"] = json!({"transaction": "AQID"});
    assert_eq!(outcome(&scene, &encoded(&bent)).await, "invalid_payload");
}

#[tokio::test]
async fn row_5_a_replay_an_empty_wallet_and_an_old_block_all_read_as_a_failed_simulation() {
    let scene = Scene::new().await;
    let failed = "invalid_exact_evm_transaction_simulation_failed";
    let header = scene.header("/sentiment").await;
    assert_eq!(scene.pay("/sentiment", &header).await.status, 200);
    assert_eq!(outcome(&scene, &header).await, failed);
    scene.world.chain().set_head_age_s(700);
    assert_eq!(refusal(&scene, |a| a.valid_after = NOW_S - 600).await, failed);
    assert_eq!(refusal(&scene, |_| {}).await, "200", "zero is right on every chain");
    scene.world.chain().set_head_age_s(0);
    let left = scene.world.chain().balance_of(&scene.me());
    let shop = scene.world.ntriq().pay_to();
    assert!(scene.world.chain().spend(scene.me(), shop, left - CENT + 1));
    assert_eq!(refusal(&scene, |_| {}).await, failed);
    assert_eq!(scene.world.chain().moved_units(), 2 * CENT);
}

#[tokio::test]
async fn an_authorization_is_good_for_any_route_of_the_same_price_until_it_is_used() {
    let scene = Scene::new().await;
    let mine = scene.header("/alt-text").await;
    assert_eq!(outcome(&scene, &mine).await, "200", "row 26: it is bound to payee and value and to nothing else");
    assert_eq!(scene.moved(), (CENT, 1));
}

#[tokio::test]
async fn the_same_faults_have_other_names_at_another_facilitator() {
    let scene = Scene::new().await;
    scene.world.ntriq().set_dialect(Dialect::X402Rs);
    assert_eq!(refusal(&scene, |a| a.valid_before = NOW_S - 1).await, "invalid_payment_expired");
    assert_eq!(refusal(&scene, |a| a.valid_after = NOW_S + 60).await, "invalid_payment_early");
    assert_eq!(refusal(&scene, |a| a.value -= 1).await, "invalid_payment_amount");
    assert_eq!(refusal(&scene, |a| a.to = Address([5; 20])).await, "recipient_mismatch");
    assert_eq!(in_domain(&scene, &Token { name: "USD Coin".into(), ..scene.token() }).await, "unexpected_error");
    assert_eq!(scene.moved(), (0, 0));
    let header = scene.header("/sentiment").await;
    assert_eq!(outcome(&scene, &header).await, "200");
    assert_eq!(outcome(&scene, &header).await, "unexpected_error");
    assert_eq!(refusal(&scene, |a| a.value += 7).await, "200", "it takes more than was asked for");
    assert_eq!(scene.moved(), (2 * CENT + 7, 2));
    let left = scene.world.chain().balance_of(&scene.me());
    assert!(scene.world.chain().spend(scene.me(), Address([1; 20]), left));
    assert_eq!(refusal(&scene, |_| {}).await, "insufficient_funds");
}

#[tokio::test]
async fn the_same_header_ten_times_at_once_pays_once() {
    let scene = Scene::new().await;
    let header = scene.header("/sentiment").await;
    let sends = (0..10).map(|_| scene.pay("/sentiment", &header));
    let answers = futures_util::future::join_all(sends).await;
    assert_eq!(answers.iter().filter(|a| a.status == 200).count(), 1);
    assert_eq!(answers.iter().filter(|a| a.status == 402).count(), 9);
    assert_eq!(scene.moved(), (CENT, 1));
}
