//! What only some wallets and relays can do: their own budgets, fee limits, notifications, knowing who asks.

use std::time::Duration;

use bursar::{
    clock::Clock,
    ledger::{Intent, PurchaseId},
    money::Amount,
    sandbox::{Behaviour, Fees, Money, RelayOptions, Sandbox, WalletOptions},
    wallet::{
        Bill, PaySaid, Wallet,
        nwc::{NwcOptions, NwcWallet},
    },
};
use serde_json::json;

use super::{LONG, PRICE, QUICK, Scene, meanwhile, relay, until, wallet};

/// `get_budget`: what the wallet allows stands beside what Bursar allows, and is told once it changed.
#[tokio::test]
async fn the_wallets_own_budget_is_shown() {
    let options = WalletOptions {
        quota_msat: Some(100_000),
        quota_renews: Some((1_798_761_600, "monthly".into())),
        ..WalletOptions::default()
    };
    let scene = Scene::new(LONG, wallet(options.and_methods(&["get_budget"]))).await;
    let told = scene.warm().await;
    let own = |total: &str, used: &str, left: &str| json!({ "total": total, "used": used, "left": left, "period": "monthly", "renews_at": "2027-01-01T00:00:00.000Z" });
    assert_eq!(told.facts()["wallets"][0]["own_budget"], own("100 sat", "0 sat", "100 sat"));
    assert!(
        told.say().contains("The wallet allows this connection 100 sat of 100 sat until 2027-01-01T00:00:00.000Z."),
        "{}",
        told.say()
    );
    let bought = scene.buy().await;
    let told = scene.warm().await;
    assert_eq!(told.facts()["wallets"][0]["own_budget"], own("100 sat", "21 sat", "79 sat"));
    scene.paid_once(&bought).await;
}

/// No budget, a budget of zero, and a wallet that does not tell are three things.
#[tokio::test]
async fn no_budget_is_not_a_budget_of_zero() {
    for (quota, asks, shown) in [(None, true, None), (Some(0), true, Some("0 sat")), (Some(5_000), false, None)] {
        let options = WalletOptions { quota_msat: quota, ..WalletOptions::default() };
        let options = if asks { options.and_methods(&["get_budget"]) } else { options };
        let scene = Scene::new(QUICK, wallet(options)).await;
        let told = scene.warm().await;
        assert_eq!(told.facts()["wallets"][0]["own_budget"]["total"].as_str(), shown, "{}", told.text());
        assert_eq!(scene.world.wallet().seen("get_budget"), usize::from(asks));
        assert_eq!(scene.world.spent_msat(), 0);
        scene.world.verify().await;
    }
}

/// Hazard 11: the wallet's own budget stops the payment; the model hears why, and nothing is held.
#[tokio::test]
async fn a_wallets_budget_that_is_used_up_is_a_no() {
    let options = WalletOptions { quota_msat: Some(20_000), ..WalletOptions::default() };
    let scene = Scene::new(QUICK, wallet(options.and_methods(&["get_budget"]))).await;
    let told = scene.buy().await;
    assert_eq!(told.outcome(), "failed", "{}", told.text());
    assert!(told.say().contains("The wallet's own budget for this connection is used up"), "{}", told.say());
    scene.moved(0, "failed").await;
    scene.world.wallet().set_quota_msat(None);
    let told = scene.buy().await;
    scene.paid_once(&told).await;
}

/// NWC-321: where the wallet takes a fee limit, it is what is held; a fee within it is paid and told.
#[tokio::test]
async fn a_fee_within_the_limit_is_paid_through_the_request_that_names_it() {
    for methods in [&["pay"][..], &[]] {
        let options = WalletOptions { fee_limits: true, ..WalletOptions::default() };
        let scene = Scene::new(LONG, wallet(options.and_methods(methods))).await;
        scene.world.node().set_fees(Fees { base_msat: 10_000, ppm: 0 });
        let told = scene.buy().await;
        assert_eq!((told.outcome(), &told.facts()["fee"]), ("bought", &json!("10 sat")), "{}", told.text());
        let seen = |method: &str| scene.world.wallet().seen(method);
        assert_eq!((seen("pay"), seen("pay_invoice")), (methods.len(), 1 - methods.len()));
        scene.moved(PRICE + 10_000, "delivered").await;
        scene.world.verify_money().await;
    }
}

/// NWC-321: a fee beyond the hold is never paid. The wallet's word for that is authentic and not among the final ones, so
/// the money stays held until the invoice is over.
#[tokio::test]
async fn a_fee_beyond_the_limit_is_not_paid() {
    for methods in [&["pay"][..], &[]] {
        let options = WalletOptions { fee_limits: true, ..WalletOptions::default() };
        let scene = Scene::new(QUICK, wallet(options.and_methods(methods))).await;
        scene.world.node().set_fees(Fees { base_msat: 10_001, ppm: 0 });
        let told = scene.buy().await;
        assert!(told.say().contains("FEE_LIMIT_EXCEEDED"), "{}", told.say());
        scene.held_for_nothing(&told).await;
    }
}

/// Hazard 17: a wallet that cannot be told takes what it takes; then the ledger says so and the wallet is frozen.
#[tokio::test]
async fn a_fee_beyond_what_was_held_freezes_the_wallet() {
    let scene = Scene::new(LONG, wallet(WalletOptions::default().and_methods(&["pay"]))).await;
    scene.world.node().set_fees(Fees { base_msat: 10_001, ppm: 0 });
    let told = scene.buy().await;
    assert_eq!(told.outcome(), "bought", "{}", told.text());
    let balance = scene.host.call("get_balance", json!({})).await;
    assert!(balance.say().contains("frozen until a person looks"), "{}", balance.say());
    scene.moved(PRICE + 10_001, "delivered").await;
    scene.world.verify_money().await;
}

/// A notification is a hint to look at once: the reply is lost, and the goods come long before the wait for it is over.
#[tokio::test]
async fn a_notification_of_the_payment_is_looked_into_at_once() {
    for ciphers in [bursar::sandbox::Ciphers::Both, bursar::sandbox::Ciphers::OnlyNip04] {
        let options = WalletOptions { notifications: true, ciphers, ..WalletOptions::default() };
        let scene = Scene::new(LONG, wallet(options)).await;
        scene.world.wallet().next(Behaviour { money: Money::SettlesAfter(50), ..Behaviour::lost_reply() });
        let told = scene.buy().await;
        assert_eq!(told.outcome(), "bought", "{}", told.text());
        scene.paid_once(&told).await;
    }
}

/// A notification proves nothing: the look-up says that it failed, and that counts.
#[tokio::test]
async fn a_notification_alone_is_no_proof() {
    let options = WalletOptions { notifications: true, ..WalletOptions::default() };
    let scene = Scene::new(QUICK, wallet(options)).await;
    let said = bursar::sandbox::LookupSaid::NoPreimage;
    scene.world.wallet().next(Behaviour::lost_reply().then_lookup(said));
    let told = scene.buy().await;
    assert_eq!(told.outcome(), "pending", "{}", told.text());
    scene.moved(PRICE, "unknown").await;
    scene.world.verify().await;
}

/// While nobody knows, each pause between look-ups is longer than the one before; a notification ends it. Without that
/// the answer here would be "pending".
#[tokio::test]
async fn a_notification_ends_the_pause_between_look_ups_of_a_purchase() {
    let options = WalletOptions { notifications: true, ..WalletOptions::default() };
    let scene = Scene::new("[waits]\nwallet = 1\nanswer = 20\nexit = 0.2\n", wallet(options)).await;
    scene.warm().await;
    scene.world.wallet().next(Behaviour { reply: bursar::sandbox::ReplySaid::Nothing, ..Behaviour::holds() });
    let told = meanwhile(&scene, async {
        // After the fourth look-up comes a pause of 15 s.
        until("the fourth look-up", || scene.world.wallet().seen("lookup_invoice") == 4).await;
        until("the subscription", || scene.world.sandbox.relay().subscriptions() == 3).await;
        let hash = scene.world.wallet().in_flight().pop().expect("a payment in flight");
        assert!(scene.world.wallet().release(&hash));
    })
    .await;
    assert_eq!(told.outcome(), "bought", "{}", told.text());
    scene.paid_once(&told).await;
}

/// Between look-ups, the wallet's hint ends the pause; a stored one is heeded once.
#[tokio::test]
async fn a_hint_ends_the_pause_between_look_ups_once() {
    let sandbox =
        Sandbox::start(wallet(WalletOptions { notifications: true, ..WalletOptions::default() })).await.unwrap();
    let options = NwcOptions { reply_timeout: Duration::from_millis(300), ..NwcOptions::default() };
    let client = NwcWallet::new(&sandbox.nwc_uri(), options).unwrap();
    let invoice = sandbox.node().invoice(PRICE, "x", 600).unwrap();
    let (bill, fee_cap) = bill_for(&invoice);
    let prepared = client.prepare(&bill).await.unwrap();
    let intent = intent_for(&invoice.payment_hash, fee_cap, prepared.wire, prepared.resend_until);
    sandbox.wallet().next(Behaviour { reply: bursar::sandbox::ReplySaid::Nothing, ..Behaviour::holds() });
    assert!(matches!(client.pay_intent(&intent, true).await, PaySaid::Unknown { .. }));
    let waiting = client.hint_of(&intent);
    tokio::pin!(waiting);
    let subscribed = until("the subscription", || sandbox.relay().subscriptions() == 3);
    tokio::select! {
        () = &mut waiting => panic!("nothing was hinted at yet"),
        () = subscribed => {}
    }
    assert!(sandbox.wallet().release(&invoice.payment_hash));
    waiting.await;
    assert!(tokio::time::timeout(Duration::from_millis(300), client.hint_of(&intent)).await.is_err(), "heeded once");
}

/// NIP-42: a relay that serves nobody it does not know is told, once a connection, by the connection's own key; the
/// payment is sent once, so that a final no is one.
#[tokio::test]
async fn a_relay_that_wants_to_know_who_asks_is_told() {
    let scene = Scene::new(LONG, relay(RelayOptions { demands_auth: true, ..RelayOptions::default() })).await;
    let told = scene.buy().await;
    assert_eq!(told.outcome(), "bought", "{}", told.text());
    let known = scene.world.sandbox.relay().identified();
    assert_eq!(known.len(), 2, "the wallet and we, once each");
    assert_eq!(known.iter().filter(|key| **key == scene.world.wallet().pubkey()).count(), 1);
    assert_eq!(scene.world.sandbox.relay().published(23194), 3, "get_info, get_balance, pay_invoice: each once");
    scene.paid_once(&told).await;
}

/// NIP-42 on a new connection in the middle of a payment, and a refusal that is final all the same.
#[tokio::test]
async fn a_relay_that_wants_to_know_who_asks_is_told_again_on_a_new_connection() {
    let scene = Scene::new(LONG, relay(RelayOptions { demands_auth: true, ..RelayOptions::default() })).await;
    scene.warm().await;
    scene.world.sandbox.relay().disconnect_all();
    until("the wallet's return", || scene.world.sandbox.relay().identified().len() >= 3).await;
    let turned_away = scene.world.sandbox.relay().turned_away();
    scene.world.wallet().next(Behaviour::refuses("QUOTA_EXCEEDED"));
    let told = scene.buy().await;
    assert_eq!(told.outcome(), "failed", "{}", told.text());
    assert_eq!(scene.world.sandbox.relay().turned_away(), turned_away, "nothing was sent before it knew us");
    scene.moved(0, "failed").await;

    scene.world.wallet().next(Behaviour::slow_reply(300));
    let told = meanwhile(&scene, async {
        until("the payment", || scene.world.spent_msat() == PRICE).await;
        scene.world.sandbox.relay().disconnect_all();
    })
    .await;
    scene.paid_once(&told).await;
}

pub fn bill_for(invoice: &bursar::sandbox::PlayInvoice) -> (Bill, Amount) {
    let fee_cap = Amount::msat(10_000).unwrap();
    let bill = Bill::Bolt11 {
        invoice: invoice.bolt11.clone(),
        payment_hash: invoice.payment_hash.clone(),
        amount: Amount::msat(PRICE).unwrap(),
        expires_at: Clock::system().now_s() + 600,
        fee_cap,
    };
    (bill, fee_cap)
}

pub fn intent_for(hash: &str, fee_cap: Amount, wire: Vec<u8>, resend_until: u64) -> Intent {
    Intent {
        purchase: PurchaseId::random(),
        n: 0,
        protocol: "l402".into(),
        rail: "lightning".into(),
        network: "regtest".into(),
        asset: "btc".into(),
        payee: String::new(),
        rail_key: format!("ln:{hash}"),
        wallet: "nwc".into(),
        price: Amount::msat(PRICE).unwrap(),
        fee_cap,
        liability_until: resend_until + 600,
        resend_until,
        pin: Vec::new(),
        wire,
    }
}
