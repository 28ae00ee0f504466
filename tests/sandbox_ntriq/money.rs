//! The hazards: what it says about the money, and what the book says.

use std::time::{Duration, Instant};

use bursar::{
    evm::hex,
    sandbox::{Leg, NtriqMode, Revert, Settling, Whither},
};
use serde_json::json;

use crate::buyer::{CENT, NOW_S, Scene, http};

const ONE: (u64, usize) = (CENT, 1);
const NOTHING: (u64, usize) = (0, 0);

/// Pays once under a mode; the header is the one that was sent.
async fn paid(mode: NtriqMode) -> (Scene, String) {
    let scene = Scene::with(mode).await;
    let header = scene.header("/sentiment").await;
    (scene, header)
}

#[tokio::test]
async fn row_4_an_answer_can_be_lost_after_settling_and_the_same_header_then_reads_as_refused() {
    let (scene, header) = paid(NtriqMode::LosesAnswer).await;
    scene.pay_in_vain("/sentiment", &header).await;
    assert_eq!((scene.moved(), scene.world.ntriq().struck(&NtriqMode::LosesAnswer)), (ONE, 1));
    scene.world.ntriq().set_mode(NtriqMode::Open);
    let again = scene.pay("/sentiment", &header).await;
    assert_eq!(again.error(), "invalid_exact_evm_transaction_simulation_failed");
    assert_eq!(scene.moved(), ONE);
}

#[tokio::test]
async fn a_connection_can_break_before_anything_was_settled_and_the_same_header_still_buys() {
    let (scene, header) = paid(NtriqMode::CutsUnsettled).await;
    scene.pay_in_vain("/sentiment", &header).await;
    assert_eq!(scene.moved(), NOTHING);
    scene.world.ntriq().set_mode(NtriqMode::Open);
    assert_eq!(scene.pay("/sentiment", &header).await.status, 200);
    assert_eq!(scene.moved(), ONE);
}

#[tokio::test]
async fn an_answer_may_never_come_whether_it_moved_or_not() {
    for (moves, book) in [(true, ONE), (false, NOTHING)] {
        let (scene, header) = paid(NtriqMode::Stalls { moves }).await;
        let request = http().post(format!("{}/sentiment", scene.world.ntriq_url())).body("{\"text\":\"x\"}");
        let sent = request.header("payment-signature", header).timeout(Duration::from_millis(200)).send().await;
        assert!(sent.unwrap_err().is_timeout());
        assert_eq!(scene.moved(), book);
    }
}

#[tokio::test]
async fn the_slow_mode_serves_one_after_the_other() {
    let scene = Scene::with(NtriqMode::Slow(60)).await;
    let headers = [scene.header("/sentiment").await, scene.header("/sentiment").await];
    let begun = Instant::now();
    let answers = futures_util::future::join_all(headers.iter().map(|h| scene.pay("/sentiment", h))).await;
    assert!(answers.iter().all(|a| a.status == 200) && begun.elapsed() >= Duration::from_millis(120));
    assert_eq!(scene.moved(), (2 * CENT, 2));
}

#[tokio::test]
async fn a_result_can_be_promised_for_later_and_is_paid_now() {
    let (scene, header) = paid(NtriqMode::Asynchronous).await;
    let queued = scene.pay("/sentiment", &header).await;
    assert_eq!((queued.status, queued.receipt().unwrap()["success"].clone()), (202, json!(true)));
    let job = scene.get(queued.headers["location"].to_str().unwrap()).await;
    assert_eq!(job.json()["sentiment"], "positive");
    assert_eq!((scene.get("/jobs/9").await.status, scene.get("/jobs/0").await.status), (404, 404));
    assert_eq!(scene.moved(), ONE);
}

#[tokio::test]
async fn row_2_a_settle_failure_says_the_same_whether_it_moved_or_not() {
    let mut said = Vec::new();
    for (mode, book) in [
        (NtriqMode::SettleFails, NOTHING),
        (NtriqMode::SettleFailsButMoves, ONE),
        (NtriqMode::SettleTimesOut { after_ms: 20, moves: false }, NOTHING),
        (NtriqMode::SettleTimesOut { after_ms: 20, moves: true }, ONE),
    ] {
        let (scene, header) = paid(mode.clone()).await;
        let refused = scene.pay("/sentiment", &header).await;
        assert_eq!((refused.status, &*refused.text), (402, "{}"));
        assert!(!refused.headers.contains_key("payment-required"));
        let receipt = refused.receipt().unwrap();
        assert_eq!((&receipt["success"], &receipt["transaction"]), (&json!(false), &json!("")));
        assert_eq!((scene.moved(), scene.world.ntriq().struck(&mode)), (book, 1), "{mode:?}");
        said.push(receipt["errorReason"].clone());
    }
    assert_eq!(said[0], "invalid_exact_evm_transaction_failed");
    assert!(said[0] == said[1] && said[2] == said[3] && said[2] == "unexpected_settle_error");
}

#[tokio::test]
async fn row_3_a_pending_settlement_has_a_transaction_and_may_go_either_way() {
    for mined in [true, false] {
        let (scene, header) = paid(NtriqMode::SettlementPending).await;
        let chain = scene.world.chain();
        let receipt = scene.pay("/sentiment", &header).await.receipt().unwrap();
        assert_eq!((&receipt["success"], &receipt["errorReason"]), (&json!(false), &json!("settlement_pending")));
        assert_eq!(scene.moved(), NOTHING);
        if mined {
            let transfer = chain.mine_pending().remove(0).unwrap();
            assert_eq!(receipt["transaction"], hex(&transfer.transaction));
            assert_eq!(scene.moved(), ONE);
        } else {
            assert_eq!((chain.drop_pending(), scene.moved()), (1, NOTHING));
        }
    }
}

#[tokio::test]
async fn row_7_a_racing_facilitator_lets_the_same_header_through_in_the_end() {
    for mode in [NtriqMode::FailsVerifyFirst(2), NtriqMode::FailsSettleFirst(2)] {
        let (scene, header) = paid(mode.clone()).await;
        for _ in 0..2 {
            let refused = scene.pay("/sentiment", &header).await;
            assert_eq!(refused.status, 402);
            let verified = mode == NtriqMode::FailsSettleFirst(2);
            assert_eq!(refused.headers.contains_key("payment-response"), verified);
            assert_eq!(refused.headers.contains_key("payment-required"), !verified);
            assert_eq!(scene.moved(), NOTHING);
        }
        assert_eq!(scene.pay("/sentiment", &header).await.status, 200);
        assert_eq!((scene.moved(), scene.world.ntriq().struck(&mode)), (ONE, 2));
        let other = scene.header("/sentiment").await;
        assert_eq!(scene.pay("/sentiment", &other).await.status, 402, "each payment has tries of its own");
    }
}

#[tokio::test]
async fn row_1_a_402_after_paying_can_look_as_if_nothing_had_been_paid() {
    let (scene, header) = paid(NtriqMode::ChallengesAfterMoving).await;
    let asked = scene.pay("/sentiment", &header).await;
    assert_eq!((asked.status, &*asked.error(), asked.receipt()), (402, "Payment required", None));
    assert_eq!(scene.moved(), ONE);
    // Who signs anew pays anew.
    scene.buy("/sentiment").await;
    assert_eq!(scene.moved(), (2 * CENT, 2));
}

#[tokio::test]
async fn a_refused_authorization_can_be_kept_and_used_until_it_expires() {
    let (scene, header) = paid(NtriqMode::KeepsAuthorization).await;
    let refused = scene.pay("/sentiment", &header).await;
    assert_eq!((refused.status, &*refused.error()), (402, "unexpected_verify_error"));
    assert_eq!((scene.moved(), scene.world.ntriq().seen().len()), (NOTHING, 1));
    scene.clock.advance_ms(119_000);
    assert!(scene.world.ntriq().submit_kept()[0].is_ok());
    assert_eq!(scene.moved(), ONE);

    let (scene, header) = paid(NtriqMode::KeepsAuthorization).await;
    scene.pay("/sentiment", &header).await;
    scene.clock.advance_ms(120_000);
    assert_eq!(scene.world.ntriq().submit_kept(), [Err(Revert::Expired)]);
    assert_eq!((scene.moved(), scene.world.ntriq().submit_kept().len()), (NOTHING, 0));
}

#[tokio::test]
async fn a_200_without_a_receipt_is_legal_and_says_nothing_about_the_money() {
    for (when, book) in [(Settling::Never, NOTHING), (Settling::AtOnce, ONE), (Settling::InBackground, NOTHING)] {
        let (scene, header) = paid(NtriqMode::NoReceipt(when)).await;
        let bought = scene.pay("/sentiment", &header).await;
        assert_eq!((bought.status, bought.receipt(), scene.moved()), (200, None, book), "{when:?}");
        if when == Settling::InBackground {
            assert!(scene.world.chain().mine_pending()[0].is_ok());
            assert_eq!(scene.moved(), ONE);
        }
    }
}

#[tokio::test]
async fn a_receipt_can_name_a_transaction_that_never_was() {
    let (scene, header) = paid(NtriqMode::FalseReceipt).await;
    let bought = scene.pay("/sentiment", &header).await;
    assert_eq!((bought.status, bought.receipt().unwrap()["success"].clone()), (200, json!(true)));
    assert_eq!(scene.moved(), NOTHING);
}

#[tokio::test]
async fn row_6_a_handler_that_fails_costs_nothing_unless_it_was_settled_first() {
    let (scene, header) = paid(NtriqMode::HandlerFails).await;
    let failed = scene.pay("/sentiment", &header).await;
    assert_eq!((failed.status, failed.receipt(), scene.moved()), (500, None, NOTHING));
    for declared in [true, false] {
        let (scene, header) = paid(NtriqMode::Upfront { declared }).await;
        let failed = scene.pay("/sentiment", &header).await;
        assert_eq!((failed.status, failed.receipt().unwrap()["success"].clone()), (500, json!(true)));
        assert_eq!(scene.moved(), ONE);
    }
}

#[tokio::test]
async fn row_22_a_redirect_within_the_origin_leads_to_the_same_thing() {
    let scene = Scene::with(NtriqMode::Redirects(Whither::SameOrigin, Leg::Both)).await;
    let sent = scene.post("/sentiment?v=2", &[]).await;
    assert_eq!((sent.status, &sent.headers["location"]), (307, &"/moved/sentiment?v=2".parse().unwrap()));
    let header = scene.header("/moved/sentiment").await;
    assert_eq!(scene.pay("/sentiment", &header).await.status, 307);
    assert_eq!(scene.moved(), NOTHING);
    assert_eq!(scene.pay("/moved/sentiment", &header).await.status, 200);
    assert_eq!(scene.moved(), ONE);
}

#[tokio::test]
async fn row_22_a_redirect_to_another_origin_ends_at_a_stranger_who_takes_what_it_is_shown() {
    let scene = Scene::with(NtriqMode::Redirects(Whither::Stranger, Leg::Paid)).await;
    let stranger = scene.world.ntriq().stranger();
    let header = scene.header("/sentiment").await;
    assert_eq!((stranger.requests(), stranger.seen().len()), (0, 0));
    let sent = scene.pay("/sentiment", &header).await;
    let to = sent.headers["location"].to_str().unwrap();
    assert_eq!((sent.status, to), (307, &*format!("{}/sentiment", stranger.url())));
    // A careless client's next two steps: it asks there, and shows there what was meant for another.
    let asked = http().post(to).send().await.unwrap();
    assert_eq!(
        (asked.status(), stranger.requests(), stranger.seen().len()),
        (reqwest::StatusCode::PAYMENT_REQUIRED, 1, 0)
    );
    assert_eq!(scene.moved(), NOTHING);
    let shown = http().post(to).header("payment-signature", &header).send().await.unwrap();
    assert_eq!((shown.status().as_u16(), scene.moved()), (200, ONE));
    assert_eq!(stranger.seen(), [("payment-signature".to_owned(), header)]);
    assert_eq!(scene.post("/sentiment", &[]).await.status, 402, "only the paid leg is redirected");
}

#[tokio::test]
async fn row_15_the_date_can_be_wrong() {
    let scene = Scene::with(NtriqMode::DateOff(-3600)).await;
    assert_eq!(scene.post("/sentiment", &[]).await.headers["date"], "Sat, 21 Nov 2026 06:22:53 GMT");
    let old = scene.header_with("/sentiment", |a| a.valid_before = NOW_S - 3600 + 120).await;
    let refused = scene.pay("/sentiment", &old).await;
    assert_eq!(refused.error(), "invalid_exact_evm_payload_authorization_valid_before");
    assert_eq!(scene.moved(), NOTHING);
}

#[tokio::test]
async fn a_probe_can_get_a_200_and_a_bad_body_a_400_before_anything_is_said_about_money() {
    let scene = Scene::with(NtriqMode::Free).await;
    assert_eq!(scene.post("/sentiment", &[]).await.status, 200);
    scene.world.ntriq().set_mode(NtriqMode::ChecksBodyFirst);
    assert_eq!(scene.send("/sentiment", json!({}), &[]).await.unwrap().status(), 400);
    assert_eq!(scene.post("/sentiment", &[]).await.status, 402);
    assert_eq!(scene.moved(), NOTHING);
}

#[tokio::test]
async fn a_mode_for_the_next_payment_waits_for_a_payment_and_then_is_over() {
    let scene = Scene::new().await;
    scene.world.ntriq().next(NtriqMode::HandlerFails);
    scene.world.ntriq().next(NtriqMode::SettleFails);
    assert_eq!(scene.post("/sentiment", &[]).await.status, 402);
    let mut seen = Vec::new();
    for _ in 0..3 {
        seen.push(scene.buy("/sentiment").await.status);
    }
    assert_eq!((seen, scene.moved()), (vec![500, 402, 200], ONE));
    assert_eq!(scene.world.ntriq().answered("/sentiment", 500), 1);
}
