//! A relay between Bursar and the wallet that drops, lies, repeats and forges while money is on its way.

mod support;

use bursar::sandbox::{Behaviour, LookupSaid, RelayMode, RelayOptions, SandboxOptions, WalletOptions};
use serde_json::json;
use support::{Host, Seller, World, money, until, until_state};

const DATA: &str = r#"{"data":"a"}"#;
const PRICE: u64 = 21_000;
const QUICK: &str = "[waits]\nwallet = 0.7\nanswer = 1.5\n";

/// A host whose wallet connection stands already, so that the relay turns bad in the middle of it.
async fn connected(world: &World) -> (Seller, Host) {
    let seller = Seller::honest_per_path(world.node(), PRICE, DATA).await;
    let host = world.host().await;
    let told = host.fetch(json!({ "url": seller.url("/first") })).await;
    assert_eq!(told.outcome(), "bought", "{}", told.text());
    (seller, host)
}

/// A19 and its like: whatever the relay does to the reply, the wallet is paid through once, and the books are true.
#[tokio::test]
async fn a_bad_relay_never_makes_a_second_payment_or_a_false_one() {
    let modes = [
        RelayMode::NoOk,
        RelayMode::OkFalse { forward: true },
        RelayMode::OkFalse { forward: false },
        RelayMode::Silent,
        RelayMode::Duplicate,
        RelayMode::Reorder,
        RelayMode::DropOnRequest { forward: true },
        RelayMode::DropOnRequest { forward: false },
        RelayMode::ReplayOld,
        RelayMode::ForgeFirst,
        RelayMode::TamperReplies,
    ];
    let cases = modes.into_iter().map(async |mode| {
        let world = World::with(QUICK).await;
        let (seller, host) = connected(&world).await;
        world.sandbox.relay().set_mode(mode);
        let told = host.fetch(json!({ "url": seller.url("/second") })).await;
        assert!(matches!(told.outcome(), "bought" | "pending"), "{mode:?}: {}", told.text());
        if told.outcome() == "pending" {
            assert_eq!(told.facts()["held"], "31 sat", "{mode:?}");
        }
        world.verify().await;
        world.sandbox.relay().set_mode(RelayMode::default());
        let id = told.purchase().to_owned();
        money::until_within(std::time::Duration::from_secs(40), &format!("{mode:?}: {id} is delivered"), async || {
            let standing = world.ledger().find(id.parse().expect("an id")).await.expect("readable").expect("there");
            standing.state.to_string() == "delivered"
        })
        .await;
        let data = host.fetch(json!({ "result_id": id })).await;
        assert!(data.text().contains(DATA), "{mode:?}: {}", data.text());
        assert_eq!((world.spent_msat(), world.wallet().pay_events().len()), (2 * PRICE, 2), "{mode:?}");
        world.verify_money().await;
    });
    futures_util::future::join_all(cases).await;
}

/// Bytes that are sent again meet a wallet that does not recognise them: its "already paid" is no answer, the lookup is.
#[tokio::test]
async fn bytes_sent_again_to_a_wallet_that_forgets_events_pay_once() {
    for code in ["INTERNAL", "PAYMENT_FAILED"] {
        let wallet = WalletOptions { dedupe: false, repeat_code: code.into(), ..WalletOptions::default() };
        // A relay that keeps requests does not pass one on twice; most treat them as ephemeral.
        let relay = RelayOptions { keep: std::time::Duration::ZERO, ..RelayOptions::default() };
        let world = World::with_options(QUICK, SandboxOptions { wallet, relay, ..SandboxOptions::default() }).await;
        let (seller, host) = connected(&world).await;
        world.wallet().next(Behaviour::lost_reply().then_lookup(LookupSaid::NotFound));
        let told = host.fetch(json!({ "url": seller.url("/second") })).await;
        assert_eq!(told.outcome(), "pending", "{code}: {}", told.text());
        let hash = world.node().moved()[1].hash.clone();
        until("the same bytes were sent again", async || world.wallet().deliveries(&hash) >= 2).await;
        assert!(world.wallet().set_lookup(&hash, LookupSaid::Truth));
        until_state(&world, told.purchase(), "delivered").await;
        assert_eq!((world.spent_msat(), world.wallet().pay_events().len()), (2 * PRICE, 2), "{code}");
        world.verify_money().await;
    }
}

/// A wallet that is switched off when it is to pay: nothing is known, nothing is sent anew, and when it comes back within
/// the life of the bytes, it pays once.
#[tokio::test]
async fn a_wallet_that_is_off_and_comes_back_pays_once() {
    let world = World::with(QUICK).await;
    let (seller, host) = connected(&world).await;
    world.wallet().go_offline().await;
    let told = host.fetch(json!({ "url": seller.url("/second") })).await;
    assert_eq!(told.outcome(), "pending", "{}", told.text());
    assert_eq!((world.spent_msat(), money::held_msat(&world, "").await), (PRICE, 31_000));
    world.wallet().go_online().await;
    // Lookups go on at their own pace; a new server asks at once.
    host.kill().await;
    let host = world.host().await;
    until("it is delivered", async || host.fetch(json!({ "result_id": told.purchase() })).await.text().contains(DATA))
        .await;
    assert_eq!((world.spent_msat(), world.wallet().pay_events().len()), (2 * PRICE, 2));
    world.verify_money().await;
}
