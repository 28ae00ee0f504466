//! Payments of which no byte ever left: they fail at once, the budgets are free again, and nothing moved. The counterpart in
//! each case is a payment whose bytes may have left, which stays held.

use bursar::{
    clock::Clock,
    sandbox::{Relay, RelayMode, RelayOptions, SandboxOptions, WalletKeys, WalletOptions, WalletService},
};

use super::{
    QUICK, Scene,
    support::{World, money::held_msat},
};

/// A world whose wallet is reached over a relay of the test's own, which it can end and start again.
async fn over_a_relay_of_its_own() -> (Scene, Relay, WalletService) {
    let mut world = World::with(QUICK).await;
    let relay = Relay::start("127.0.0.1:0".parse().unwrap(), Clock::system(), RelayOptions::default()).await.unwrap();
    let (node, keys) = (world.node().clone(), WalletKeys::random());
    let service =
        WalletService::start(&[relay.url()], node, Clock::system(), keys, WalletOptions::default()).await.unwrap();
    let uri = service.nwc_uri().expose().to_owned();
    world.env("BURSAR_NWC", &uri);
    (Scene::of(world).await, relay, service)
}

/// The relay is gone when it is to be paid: no connection, so no byte. It fails at once, nothing stays held, and with the
/// relay back the same call buys, once.
#[tokio::test]
async fn a_payment_that_no_relay_could_be_given_fails_at_once_and_frees_its_hold() {
    let (scene, relay, service) = over_a_relay_of_its_own().await;
    scene.warm().await;
    let at = relay.url().strip_prefix("ws://").unwrap().parse().unwrap();
    drop(relay);
    let told = scene.buy().await;
    assert_eq!(told.outcome(), "failed", "{}", told.text());
    assert!(told.say().starts_with("Nothing was paid") && told.say().contains("was not sent"), "{}", told.say());
    assert_eq!(held_msat(&scene.world, "").await, 0);
    assert_eq!(scene.journal(), ["reserve", "void"]);
    scene.moved(0, "failed").await;
    scene.world.verify_money().await;

    let _relay = Relay::start(at, Clock::system(), RelayOptions::default()).await.unwrap();
    service.go_offline().await;
    service.go_online().await;
    let again = scene.buy().await;
    assert_ne!(again.purchase(), told.purchase(), "another purchase");
    assert_eq!(service.pay_events().len(), 1);
    scene.paid_once(&again).await;
}

/// The counterpart: the relay hangs up once it has the bytes. Whether they went on nobody knows, so the money stays held.
#[tokio::test]
async fn a_payment_whose_bytes_may_have_left_stays_held() {
    let scene = Scene::new(QUICK, SandboxOptions::default()).await;
    scene.warm().await;
    scene.world.sandbox.relay().set_mode(RelayMode::DropOnRequest { forward: false });
    let told = scene.buy().await;
    assert_eq!(held_msat(&scene.world, "").await, 31_000, "{}", told.text());
    scene.held_for_nothing(&told).await;
}
