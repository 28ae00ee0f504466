//! The fifteen ways in which relays and replies misbehave, each of which makes some client fail or lie.

use bursar::sandbox::{Behaviour, Money, PreimageSaid, RelayMode, ReplySaid, SandboxOptions, WalletOptions};
use serde_json::json;

use super::{LONG, QUICK, Scene, support::World, wallet};

async fn scene_in(config: &str, mode: RelayMode) -> Scene {
    let world = World::with_options(config, SandboxOptions::default()).await;
    world.sandbox.relay().set_mode(mode);
    Scene::of(world).await
}

/// Row "no info event": nothing is guessed, nothing is sent.
#[tokio::test]
async fn without_the_wallets_description_nothing_is_paid() {
    for mode in [RelayMode::NoInfo, RelayMode::TamperInfo] {
        let scene = scene_in(QUICK, mode).await;
        let told = scene.buy().await;
        assert!(told.say().contains("13194"), "{}", told.say());
        assert_eq!(scene.world.wallet().seen("pay_invoice"), 0);
        scene.refused(&told).await;
    }
}

/// Rows "no EOSE", "no OK ever": nothing waits for them.
#[tokio::test]
async fn a_relay_without_eose_or_ok_is_as_good_as_any() {
    for mode in [RelayMode::NoEose, RelayMode::NoOk] {
        let scene = scene_in(LONG, mode).await;
        let told = scene.buy().await;
        scene.paid_once(&told).await;
    }
}

/// Row "silent", from the start: nothing is begun.
#[tokio::test]
async fn a_silent_relay_is_found_out_before_anything_is_begun() {
    let scene = scene_in(QUICK, RelayMode::Silent).await;
    let told = scene.buy().await;
    scene.refused(&told).await;
}

/// Row "silent", from the payment on: the bytes were swallowed; once the relay is back the same bytes are paid, once.
#[tokio::test]
async fn a_relay_that_swallowed_the_payment_gets_the_same_bytes_again_later() {
    let scene = Scene::new(QUICK, SandboxOptions::default()).await;
    scene.warm().await;
    scene.world.sandbox.relay().set_mode(RelayMode::Silent);
    let told = scene.buy().await;
    assert_eq!((told.outcome(), scene.world.spent_msat()), ("pending", 0), "{}", told.text());
    assert!(told.say().contains("31 sat stay held"), "{}", told.say());
    scene.world.sandbox.relay().set_mode(RelayMode::Honest);
    let told = scene.until_known(&told).await;
    assert_eq!(scene.world.wallet().pay_events().len(), 1, "the same bytes");
    scene.paid_once(&told).await;
}

/// Row "OK false": said at once, and neither believed when the wallet paid all the same, nor taken for a no.
#[tokio::test]
async fn a_relays_refusal_is_neither_a_yes_nor_a_no() {
    let scene = Scene::new(QUICK, SandboxOptions::default()).await;
    scene.warm().await;
    scene.world.sandbox.relay().set_mode(RelayMode::OkFalse { forward: true });
    let told = scene.buy().await;
    scene.paid_once(&told).await;

    let scene = Scene::new(QUICK, SandboxOptions::default()).await;
    scene.warm().await;
    scene.world.sandbox.relay().set_mode(RelayMode::OkFalse { forward: false });
    let told = scene.buy().await;
    assert!(told.say().contains("refused to pass the payment on"), "{}", told.say());
    scene.held_for_nothing(&told).await;
}

/// Rows "replayed reply", "forged author first, true second"; and duplicates and disorder: the true reply counts.
#[tokio::test]
async fn replayed_forged_doubled_and_disordered_replies_change_nothing() {
    for mode in [RelayMode::ReplayOld, RelayMode::ForgeFirst, RelayMode::Duplicate, RelayMode::Reorder] {
        let scene = Scene::new(LONG, SandboxOptions::default()).await;
        scene.warm().await;
        scene.world.sandbox.relay().set_mode(mode);
        let told = scene.buy().await;
        assert_eq!(told.outcome(), "bought", "{mode:?}: {}", told.text());
        scene.paid_once(&told).await;
    }
}

/// Row "tampered content": no reply can be read, so nobody knows; when one can, there was one payment.
#[tokio::test]
async fn tampered_replies_leave_the_payment_unknown_until_a_true_one_comes() {
    let scene = Scene::new(QUICK, SandboxOptions::default()).await;
    scene.warm().await;
    scene.world.sandbox.relay().set_mode(RelayMode::TamperReplies);
    let told = scene.buy().await;
    assert_eq!((told.outcome(), scene.world.spent_msat()), ("pending", super::PRICE), "{}", told.text());
    scene.world.sandbox.relay().set_mode(RelayMode::Honest);
    let told = scene.until_known(&told).await;
    scene.paid_once(&told).await;
}

/// Rows "error is a string", "unknown code EXPIRED", "error AND result {}", "wrong result_type": whatever was said, the
/// money moved, a look-up proves it, and the goods come.
#[tokio::test]
async fn odd_replies_to_a_payment_that_moved_end_in_the_goods() {
    for reply in [
        ReplySaid::BareError("Failed to decrypt request".into()),
        ReplySaid::Error("EXPIRED".into()),
        ReplySaid::ErrorAndResult("QUOTA_EXCEEDED".into()),
        ReplySaid::WrongResultType,
        ReplySaid::NoResultType,
        ReplySaid::Garbage,
    ] {
        let scene = Scene::new(QUICK, SandboxOptions::default()).await;
        scene.world.wallet().next(Behaviour::says(reply));
        let told = scene.buy().await;
        let told = if told.outcome() == "pending" { scene.until_known(&told).await } else { told };
        assert_eq!(scene.world.wallet().pay_events().len(), 1);
        scene.paid_once(&told).await;
    }
}

/// The same rows, and the money did not move: only a final code that a look-up confirms is a no.
#[tokio::test]
async fn odd_replies_to_a_payment_that_never_was_are_no_proof_of_it() {
    for reply in [ReplySaid::BareError("no".into()), ReplySaid::Error("EXPIRED".into()), ReplySaid::Garbage] {
        let scene = Scene::new(QUICK, SandboxOptions::default()).await;
        scene.world.wallet().next(Behaviour { money: Money::Never, ..Behaviour::says(reply) });
        let told = scene.buy().await;
        scene.held_for_nothing(&told).await;
    }
    let scene = Scene::new(QUICK, SandboxOptions::default()).await;
    let reply = ReplySaid::ErrorAndResult("QUOTA_EXCEEDED".into());
    scene.world.wallet().next(Behaviour { money: Money::Never, ..Behaviour::says(reply) });
    let told = scene.buy().await;
    assert_eq!(told.outcome(), "failed", "{}", told.text());
    scene.moved(0, "failed").await;
    scene.world.verify_money().await;
}

/// Row "preimage empty or missing", and false ones: a look-up has the true one.
#[tokio::test]
async fn a_reply_without_a_preimage_that_fits_is_looked_up() {
    use PreimageSaid::{Empty, Invoice, Missing, Wrong, Zeros};
    for said in [Empty, Missing, Wrong, Zeros, Invoice] {
        let scene = Scene::new(QUICK, SandboxOptions::default()).await;
        scene.world.wallet().next(Behaviour::shows(said));
        let told = scene.buy().await;
        scene.paid_once(&told).await;
    }
}

/// Row "negative balance": it is no balance, and no reason not to pay.
#[tokio::test]
async fn a_negative_balance_is_none_and_buying_goes_on() {
    let options = WalletOptions { balance_said_msat: Some(-5), ..WalletOptions::default() };
    let scene = Scene::new(LONG, wallet(options)).await;
    let balance = scene.warm().await;
    assert!(
        balance.facts()["wallets"][0]["balance"].is_null() && balance.say().contains("does not tell"),
        "{balance:?}"
    );
    let told = scene.buy().await;
    scene.paid_once(&told).await;
}

/// Row "one of two relays dead".
#[tokio::test]
async fn one_dead_relay_of_two_changes_nothing() {
    for dead_first in [true, false] {
        let mut world = World::with(LONG).await;
        let mut relays = vec!["ws://127.0.0.1:1".to_owned(), world.sandbox.relay().url()];
        if !dead_first {
            relays.reverse();
        }
        let uri = world.wallet().nwc_uri_over(&relays).expose().to_owned();
        world.env("BURSAR_NWC", &uri);
        let scene = Scene::of(world).await;
        let balance = scene.host.call("get_balance", json!({})).await;
        assert_eq!(balance.facts()["wallets"][0]["balance"], "100000 sat");
        let told = scene.buy().await;
        scene.paid_once(&told).await;
    }
}
