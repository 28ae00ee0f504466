//! The twenty hazards that were seen of wallets and relays in use, as a whole purchase meets them. Some stand elsewhere and
//! are named there: 3, 4, 7, 10, 14 (stuck) and 17 in `quirks`, 9 and 12 in `rows`, 11 and 17 in `extras`, 2 and 13 in
//! `clocks`.

use std::{sync::Arc, time::Duration};

use bursar::{
    clock::Clock,
    config::Config,
    purchase::{Caller, Outcome, Purse},
    sandbox::{
        Behaviour, Envelope, Money, Relay, RelayMode, RelayOptions, SandboxOptions, WalletKeys, WalletOptions,
        WalletService,
    },
    wallet::nwc::{NwcOptions, NwcWallet, Pace},
};
use serde_json::json;

use super::{LONG, PRICE, QUICK, Scene, meanwhile, relay, support::World, until, wallet};

/// Hazard 1: the reply is lost, and so is the process; the next one finds the payment and delivers.
#[tokio::test]
async fn a_payment_whose_reply_died_with_the_process_is_found_by_the_next_one() {
    let scene = Scene::new(LONG, SandboxOptions::default()).await;
    scene.world.wallet().next(Behaviour::lost_reply());
    let arguments = json!({ "url": scene.seller.url("/a") });
    let (_, answer) = scene.host.begin_call("fetch_paid", arguments).await;
    until("the payment", || scene.world.spent_msat() == PRICE).await;
    let scene = scene.restart().await;
    assert!(answer.await.is_err(), "the first process said nothing");
    let told = scene.buy().await;
    assert_eq!(scene.world.wallet().pay_events().len(), 1);
    scene.paid_once(&told).await;
}

/// Hazard 1: the connection breaks before the reply, which the relay kept.
#[tokio::test]
async fn a_connection_that_breaks_under_the_payment_is_made_anew() {
    for mode in [RelayMode::DropOnRequest { forward: true }, RelayMode::DropOnRequest { forward: false }] {
        let scene = Scene::new(LONG, SandboxOptions::default()).await;
        scene.warm().await;
        scene.world.sandbox.relay().set_mode(mode);
        let before = scene.world.sandbox.relay().published(23194);
        let told = meanwhile(&scene, async {
            until("the request", || scene.world.sandbox.relay().published(23194) > before).await;
            scene.world.sandbox.relay().set_mode(RelayMode::Honest);
        })
        .await;
        assert_eq!(scene.world.wallet().pay_events().len(), 1, "the same bytes");
        scene.paid_once(&told).await;
    }
}

/// Pays into a wallet that is switched off, and lets it come back when its clock says that the request has expired.
async fn away_and_back(options: WalletOptions) -> (Scene, super::support::Told) {
    let clock = Clock::manual(Clock::system().now_ms());
    let options = SandboxOptions { clock: clock.clone(), ..wallet(options) };
    let scene = Scene::new(QUICK, options).await;
    scene.warm().await;
    scene.world.wallet().go_offline().await;
    let told = scene.buy().await;
    assert_eq!(told.outcome(), "pending", "{}", told.text());
    assert!(told.say().contains("the relay took the payment, but the wallet stayed silent"), "{}", told.say());
    assert_eq!(scene.world.spent_msat(), 0);
    // Some seconds have passed: 58 s from now the payment's 60 s are over, and those of a look-up from now on are not.
    let later = Clock::system().now_ms() + 58_000;
    clock.advance_ms(later.saturating_sub(clock.now_ms()));
    scene.world.wallet().go_online().await;
    (scene, told)
}

/// Hazard 2: the wallet was off and executes the request long after it expired. One payment; the ledger tells it, and
/// the goods come.
#[tokio::test]
async fn a_wallet_that_executes_an_expired_request_pays_once_and_the_ledger_tells_it() {
    let (scene, told) = away_and_back(WalletOptions { honour_expiration: false, ..WalletOptions::default() }).await;
    until("the late payment", || scene.world.spent_msat() == PRICE).await;
    let told = scene.until_known(&told).await;
    assert_eq!(scene.world.wallet().pay_events().len(), 1);
    let notes: Vec<String> = scene.world.audit().await.into_iter().map(|r| r.state).collect();
    assert_eq!(notes, ["delivered"]);
    scene.paid_once(&told).await;
}

/// Hazard 2: the wallet was off and leaves the expired request alone. Nothing moves, and the money stays held, since
/// nobody can know that it will not.
#[tokio::test]
async fn a_wallet_that_honours_expiration_pays_nothing_and_the_money_stays_held() {
    let (scene, told) = away_and_back(WalletOptions { honour_expiration: true, ..WalletOptions::default() }).await;
    let again = scene.host.fetch(json!({ "result_id": told.purchase() })).await;
    assert!(scene.world.wallet().seen("lookup_invoice") >= 1, "it was asked");
    assert_eq!(scene.world.wallet().seen("pay_invoice"), 0);
    let equal = scene.buy().await;
    assert_eq!((equal.outcome(), equal.purchase()), ("pending", told.purchase()), "{}", equal.text());
    scene.held_for_nothing(&again).await;
}

/// Hazard 5: replies in the wrong envelope are not the reply; the payment is found by a look-up. One without our key is
/// the reply all the same.
#[tokio::test]
async fn replies_that_are_signed_or_addressed_wrongly_are_passed_over() {
    for envelope in [Envelope::ForeignAuthor, Envelope::ForeignRequest, Envelope::NoRequest, Envelope::NoClient] {
        let scene = Scene::new(QUICK, SandboxOptions::default()).await;
        scene.world.wallet().next(Behaviour::sends(envelope));
        let told = scene.buy().await;
        scene.paid_once(&told).await;
    }
}

/// A world whose wallet sits on two relays of which the connection string names both.
async fn on_two_relays(config: &str) -> (World, Relay, WalletService) {
    let mut world = World::with(config).await;
    let at = "127.0.0.1:0".parse().unwrap();
    let second = Relay::start(at, Clock::system(), RelayOptions::default()).await.unwrap();
    let relays = [world.sandbox.relay().url(), second.url()];
    let (node, options) = (world.node().clone(), WalletOptions::default());
    let both = WalletService::start(&relays, node, Clock::system(), WalletKeys::random(), options).await.unwrap();
    let uri = both.nwc_uri().expose().to_owned();
    world.env("BURSAR_NWC", &uri);
    (world, second, both)
}

/// Hazard 6: over two relays one event arrives twice, and is paid once.
#[tokio::test]
async fn over_two_relays_one_payment_is_made() {
    let (world, second, both) = on_two_relays(LONG).await;
    let scene = Scene::of(world).await;
    let told = scene.buy().await;
    assert_eq!((both.pay_events().len(), second.published(23194) > 0), (1, true));
    scene.paid_once(&told).await;
}

/// Hazards 6 and 3: over two relays the wallet may have refused the second copy only, so that its no is not final.
#[tokio::test]
async fn over_two_relays_a_refusal_is_not_final() {
    let (world, _second, both) = on_two_relays(QUICK).await;
    let scene = Scene::of(world).await;
    let balance = scene.warm().await;
    assert_eq!(balance.facts()["wallets"][0]["balance"], "100000 sat");
    both.always(Behaviour::refuses("QUOTA_EXCEEDED"));
    let told = scene.buy().await;
    scene.held_for_nothing(&told).await;
}

/// Hazard 8: the relay restarts between two purchases.
#[tokio::test]
async fn a_relay_that_restarts_between_purchases_is_found_again() {
    let scene = Scene::new(LONG, SandboxOptions::default()).await;
    scene.warm().await;
    let before = scene.world.sandbox.relay().accepted();
    scene.world.sandbox.relay().disconnect_all();
    until("the wallet's return", || scene.world.sandbox.relay().accepted() > before).await;
    let told = scene.buy().await;
    scene.paid_once(&told).await;
}

/// Hazard 8: the relay takes the connection and the bytes and is deaf, even to pings. That is found out, another connection
/// is made, and when it is heard there the same bytes are paid, once.
#[tokio::test]
async fn a_deaf_relay_is_found_out_and_the_payment_is_made_once() {
    let scene = Scene::new(LONG, SandboxOptions::default()).await;
    let pace = Pace {
        ping_every: Duration::from_millis(200),
        answer_within: Duration::from_millis(200),
        retry_from: Duration::from_millis(20),
        retry_to: Duration::from_millis(50),
        ..Pace::default()
    };
    let options = NwcOptions { pace, ..NwcOptions::default() };
    let wallet = NwcWallet::new(&scene.world.sandbox.nwc_uri(), options).unwrap();
    let mut config = Config::load_from(scene.world.home()).expect("a config");
    config.http.allow_loopback = true;
    let purse = Purse::new(config, Clock::system(), Some(Arc::new(wallet)));
    purse.balance(&Caller::local("")).await.expect("the wallet answers");
    let relay = scene.world.sandbox.relay();
    relay.set_mode(RelayMode::Deaf);
    let before = relay.accepted();
    let mended = async {
        until("the connection after the deaf one", || relay.accepted() > before).await;
        assert_eq!(scene.world.spent_msat(), 0);
        relay.set_mode(RelayMode::Honest);
        // The wallet's own connection is deaf as well.
        relay.disconnect_all();
    };
    let (told, ()) = tokio::join!(scene.buy_with(&purse), mended);
    assert_eq!(told.outcome, Outcome::Bought, "{}", told.say);
    assert_eq!(scene.world.wallet().pay_events().len(), 1, "the same bytes");
    purse.close().await;
    scene.moved(PRICE, "delivered").await;
    scene.world.verify_money().await;
}

/// Hazard 12: words that are not even JSON.
#[tokio::test]
async fn garbage_for_a_reply_is_looked_into() {
    let scene = Scene::new(QUICK, SandboxOptions::default()).await;
    let garbage = Behaviour { money: Money::SettlesAfter(100), ..Behaviour::says(bursar::sandbox::ReplySaid::Garbage) };
    scene.world.wallet().next(garbage);
    let told = scene.buy().await;
    let told = if told.outcome() == "pending" { scene.until_known(&told).await } else { told };
    scene.paid_once(&told).await;
}

/// Hazard 13: the wallet's clock is minutes off; its replies count all the same.
#[tokio::test]
async fn a_wallet_whose_clock_is_off_is_understood() {
    for off in [-300_000_i64, 300_000] {
        let clock = Clock::manual(Clock::system().now_ms().saturating_add_signed(off));
        let scene = Scene::new(LONG, SandboxOptions { clock, ..SandboxOptions::default() }).await;
        let told = scene.buy().await;
        scene.paid_once(&told).await;
    }
}

/// Hazard 14: two purchases in the same second go to the wallet one after the other, under different stamps.
#[tokio::test]
async fn purchases_in_one_second_are_all_made() {
    let scene = Scene::new(LONG, wallet(WalletOptions { serial: true, ..WalletOptions::default() })).await;
    let fetch = |path: &str| scene.host.fetch(json!({ "url": scene.seller.url(path) }));
    let (a, b, c) = tokio::join!(fetch("/a"), fetch("/b"), fetch("/c"));
    for told in [&a, &b, &c] {
        assert_eq!(told.outcome(), "bought", "{}", told.text());
    }
    assert_eq!((scene.world.spent_msat(), scene.world.wallet().pay_events().len()), (3 * PRICE, 3));
    scene.world.verify_money().await;
}

/// Hazard 15: a wallet that asks to slow down is not paid through again by itself, and the model is told to wait.
#[tokio::test]
async fn a_rate_limited_payment_is_a_no_and_is_not_tried_again_by_itself() {
    let scene = Scene::new(QUICK, SandboxOptions::default()).await;
    scene.world.wallet().next(Behaviour::refuses("RATE_LIMITED"));
    let told = scene.buy().await;
    assert_eq!(told.outcome(), "failed", "{}", told.text());
    assert!(told.say().contains("Call again later"), "{}", told.say());
    assert_eq!(scene.world.wallet().pay_events().len(), 1);
    scene.moved(0, "failed").await;
    let told = scene.buy().await;
    scene.paid_once(&told).await;
}

/// Hazard 15: a relay that asks to slow down is not asked more for a while, and what it did not pass on stays held until the
/// wallet is heard of again; then the same bytes are paid, once.
#[tokio::test]
async fn a_relay_that_asks_to_slow_down_is_left_alone_and_nothing_is_paid_twice() {
    let scene = Scene::new(QUICK, SandboxOptions::default()).await;
    scene.warm().await;
    let relay = scene.world.sandbox.relay();
    relay.set_mode(RelayMode::RateLimits);
    let told = scene.host.call("get_balance", json!({})).await;
    assert!(told.say().contains("rate-limited: slow down"), "{}", told.say());
    let asked = relay.published(23194);
    let told = scene.host.call("get_balance", json!({})).await;
    assert!(told.say().contains("left alone for now"), "{}", told.say());
    assert_eq!(relay.published(23194), asked, "nothing was asked meanwhile");
    let told = scene.buy().await;
    assert_eq!((told.outcome(), scene.world.spent_msat()), ("pending", 0), "{}", told.text());
    let since = relay.published(23194) - asked;
    assert!((1..=2).contains(&since), "the payment, and at most one look-up: {since}");
    assert!(told.say().contains("31 sat stay held"), "{}", told.say());
    relay.set_mode(RelayMode::Honest);
    let told = scene.until_known(&told).await;
    assert_eq!(scene.world.wallet().pay_events().len(), 1, "the same bytes");
    scene.paid_once(&told).await;
}

/// Hazard 16: no wallet string, key, preimage or invoice reaches the model, the log, or the disk in the clear.
#[tokio::test]
async fn nothing_secret_of_the_wallet_is_told_logged_or_stored() {
    let mut world = World::with(QUICK).await;
    world.env("BURSAR_LOG", "trace");
    let scene = Scene::of(world).await;
    scene.world.wallet().next(Behaviour::shows(bursar::sandbox::PreimageSaid::Wrong));
    let told = scene.buy().await;
    scene.warm().await;
    let uri = scene.world.sandbox.nwc_uri().expose().to_owned();
    let secret = uri.rsplit_once("secret=").expect("a secret").1.to_owned();
    let hash = scene.world.node().moved()[0].hash.clone();
    let preimage = scene.world.node().preimage(&hash).expect("a preimage").expose().to_owned();
    let said = scene.host.lines.lock().unwrap().join("\n") + &scene.host.log.lock().unwrap();
    for (what, word) in [("the key", &secret), ("the preimage", &preimage), ("the string", &"nostr+wallet".to_owned())]
    {
        assert!(!said.contains(word.as_str()), "{what} in:\n{said}");
    }
    for file in std::fs::read_dir(scene.world.home()).unwrap().flatten() {
        let bytes = std::fs::read(file.path()).unwrap_or_default();
        let holds = |word: &str| bytes.windows(word.len()).any(|w| w == word.as_bytes());
        assert!(!holds(&secret) && !holds("nostr+walletconnect"), "{:?}", file.path());
    }
    scene.paid_once(&told).await;
}

/// Hazard 18: whatever happens, no more than one subscription is left on the relay.
#[tokio::test]
async fn subscriptions_do_not_pile_up() {
    let scene = Scene::new(QUICK, wallet(WalletOptions { notifications: true, ..WalletOptions::default() })).await;
    scene.world.wallet().next(Behaviour::lost_reply());
    let told = scene.buy().await;
    scene.warm().await;
    until("the end of all but the wallet's subscription and our own", || {
        scene.world.sandbox.relay().subscriptions() == 2
    })
    .await;
    scene.paid_once(&told).await;
}

/// Hazard 9, with relays that keep nothing: replies and requests are ephemeral, as their kind says.
#[tokio::test]
async fn a_relay_that_keeps_nothing_is_enough() {
    let scene =
        Scene::new(LONG, relay(RelayOptions { keep: std::time::Duration::ZERO, ..RelayOptions::default() })).await;
    let told = scene.buy().await;
    scene.paid_once(&told).await;
}

/// Hazard 19: a purchase on a warm connection costs one round trip to the wallet, over that connection.
#[tokio::test]
async fn a_warm_purchase_asks_the_wallet_once() {
    let scene = Scene::new(LONG, SandboxOptions::default()).await;
    scene.warm().await;
    let relay = scene.world.sandbox.relay();
    let before = (relay.accepted(), relay.published(23194));
    let told = scene.buy().await;
    assert_eq!((relay.accepted(), relay.published(23194)), (before.0, before.1 + 1));
    scene.paid_once(&told).await;
}

/// Hazard 20: a wallet string that points a plain connection at another machine is not followed.
#[tokio::test]
async fn a_relay_on_another_machine_without_tls_is_refused() {
    let mut world = World::with(QUICK).await;
    let uri = world.wallet().nwc_uri_over(&["ws://10.0.0.1:7777"]).expose().to_owned();
    world.env("BURSAR_NWC", &uri);
    let scene = Scene::of(world).await;
    let told = scene.buy().await;
    assert!(told.say().contains("is not a wss:// address"), "{}", told.say());
    scene.refused(&told).await;
}
