//! The wallets by name, as far as the sandbox can play them.

use bursar::sandbox::{Behaviour, Ciphers, Fees, FeesSaid, LookupSaid, Money, PreimageSaid, ReplySaid, WalletOptions};

use super::{LONG, PRICE, QUICK, Scene, until, wallet};

/// NIP-44, its own budgets, `INTERNAL` for an invoice it knows, expiration ignored.
pub fn alby_hub() -> WalletOptions {
    let options = WalletOptions {
        repeat_code: "INTERNAL".into(),
        quota_msat: Some(1_000_000),
        notifications: true,
        ..WalletOptions::default()
    };
    options.and_methods(&["get_budget"])
}

/// NIP-04 without a tag, one request at a time, `PAYMENT_FAILED` for an invoice it knows, `INTERNAL` for one it does not.
pub fn lnbits() -> WalletOptions {
    WalletOptions {
        ciphers: Ciphers::OnlyNip04,
        serial: true,
        honour_expiration: true,
        repeat_code: "PAYMENT_FAILED".into(),
        unknown_code: "INTERNAL".into(),
        ..WalletOptions::default()
    }
}

/// A wallet without look-ups, as Primal's was.
fn primal() -> WalletOptions {
    let methods = ["pay_invoice", "get_balance", "get_info"].map(str::to_owned).to_vec();
    WalletOptions { methods, ..WalletOptions::default() }
}

/// Each wallet sells its goods, and each finds again a payment whose reply was lost.
#[tokio::test]
async fn each_wallet_pays_and_finds_a_payment_again_whose_reply_was_lost() {
    for (name, options) in [("hub", alby_hub()), ("lnbits", lnbits()), ("plain", WalletOptions::default())] {
        let scene = Scene::new(LONG, wallet(options.clone())).await;
        let told = scene.buy().await;
        assert_eq!(told.outcome(), "bought", "{name}: {}", told.text());
        scene.paid_once(&told).await;

        let scene = Scene::new(QUICK, wallet(options)).await;
        scene.world.wallet().next(Behaviour::lost_reply());
        let told = scene.buy().await;
        let told = if told.outcome() == "pending" { scene.until_known(&told).await } else { told };
        scene.paid_once(&told).await;
    }
}

/// LNbits: NIP-04 only, unless a better one was ever seen of this wallet.
#[tokio::test]
async fn a_nip04_wallet_is_paid_through_and_one_that_became_it_is_not() {
    let scene = Scene::new(QUICK, wallet(lnbits())).await;
    let told = scene.buy().await;
    scene.paid_once(&told).await;

    // Hazard 7, over a restart: the ledger remembers the better encryption.
    let scene = Scene::new(QUICK, wallet(WalletOptions::default())).await;
    scene.warm().await;
    scene.world.wallet().set_ciphers(Ciphers::OnlyNip04);
    let scene = scene.restart().await;
    let told = scene.buy().await;
    assert_eq!(scene.world.wallet().seen("pay_invoice"), 0);
    scene.refused(&told).await;
}

/// Coinos, Alby Hub: a wallet that can only do NIP-44 and says so is spoken to in NIP-44.
#[tokio::test]
async fn a_nip44_only_wallet_is_spoken_to_in_nip44() {
    let options = WalletOptions { ciphers: Ciphers::OnlyNip44, ..WalletOptions::default() };
    let scene = Scene::new(LONG, wallet(options)).await;
    let told = scene.buy().await;
    scene.paid_once(&told).await;
}

/// Alby Hub (`INTERNAL`) and LNbits (`PAYMENT_FAILED`): what they say to the same bytes a second time means nothing.
/// Hazard 3.
#[tokio::test]
async fn the_answer_to_bytes_sent_twice_is_not_believed() {
    for options in [alby_hub(), lnbits()] {
        let code = options.repeat_code.clone();
        let options = WalletOptions { dedupe: false, notifications: false, serial: false, ..options };
        let scene = Scene::new(LONG, wallet(options)).await;
        scene.world.wallet().next(Behaviour::lost_reply());
        let told = super::meanwhile(&scene, async {
            until("the payment", || scene.world.spent_msat() == PRICE).await;
            // The socket breaks; the same bytes go out again over the next one, and the wallet says that it failed.
            scene.world.sandbox.relay().disconnect_all();
        })
        .await;
        assert_eq!(told.outcome(), "bought", "{code}: {}", told.text());
        assert_eq!(scene.world.wallet().pay_events().len(), 1, "the same bytes");
        assert!(scene.world.wallet().seen("pay_invoice") >= 2, "and they arrived twice");
        scene.paid_once(&told).await;
    }
}

/// LNbits: a stuck payment blocks everything else; a balance is not waited for for ever, and nothing is paid twice.
/// Hazard 14.
#[tokio::test]
async fn a_serial_wallet_with_a_stuck_payment_is_waited_for() {
    let scene = Scene::new(QUICK, wallet(WalletOptions { ciphers: Ciphers::Both, ..lnbits() })).await;
    scene.warm().await;
    scene.world.wallet().next(Behaviour::holds());
    let told = scene.buy().await;
    assert_eq!((told.outcome(), scene.world.spent_msat()), ("pending", 0), "{}", told.text());
    let balance = scene.host.call("get_balance", serde_json::json!({})).await;
    assert!(balance.say().contains("the wallet did not answer"), "{}", balance.say());
    assert_eq!(balance.facts()["unresolved"].as_array().map(Vec::len), Some(1));
    for hash in scene.world.wallet().in_flight() {
        scene.world.wallet().release(&hash);
    }
    let told = scene.until_known(&told).await;
    scene.paid_once(&told).await;
}

/// LNbits: a failed payment looks settled, with a preimage of zeros. Hazard 4.
#[tokio::test]
async fn a_failed_payment_that_looks_settled_is_no_payment() {
    let scene = Scene::new(QUICK, wallet(lnbits())).await;
    scene.world.wallet().next(Behaviour::fails("PAYMENT_FAILED").then_lookup(LookupSaid::ZeroPreimage));
    let told = scene.buy().await;
    scene.held_for_nothing(&told).await;
}

/// LNbits: `INTERNAL "Payment not found"` after a final no is that no.
#[tokio::test]
async fn an_internal_error_that_says_not_found_is_one() {
    let options = WalletOptions { quota_msat: Some(1_000), ..lnbits() };
    let scene = Scene::new(QUICK, wallet(options)).await;
    let told = scene.buy().await;
    assert_eq!(told.outcome(), "failed", "{}", told.text());
    assert!(told.say().contains("QUOTA_EXCEEDED"), "{}", told.say());
    scene.moved(0, "failed").await;
    scene.world.verify_money().await;
}

/// Alby Hub: a key that it does not know, or no longer, gets no answer at all. Hazard 10.
#[tokio::test]
async fn a_revoked_connection_is_told_from_a_dead_relay() {
    let mut world = super::support::World::with(QUICK).await;
    let uri = world.sandbox.nwc_uri().expose().to_owned();
    let (head, _) = uri.rsplit_once("secret=").expect("a secret");
    let revoked = format!("{head}secret={}", "7".repeat(64));
    world.env("BURSAR_NWC", &revoked);
    let scene = Scene::of(world).await;
    let told = scene.buy().await;
    assert!(told.say().contains("the connection was revoked"), "{}", told.say());
    scene.refused(&told).await;

    let mut world = super::support::World::with(QUICK).await;
    let dead = world.wallet().nwc_uri_over(&["ws://127.0.0.1:1"]).expose().to_owned();
    world.env("BURSAR_NWC", &dead);
    let scene = Scene::of(world).await;
    let told = scene.buy().await;
    assert!(told.say().contains("no relay of the wallet can be reached"), "{}", told.say());
    scene.refused(&told).await;
}

/// Zeus: success with an empty preimage while it is still in flight. It may fail yet; it is not a purchase until proved.
#[tokio::test]
async fn a_success_without_proof_is_not_a_purchase() {
    let scene = Scene::new(QUICK, wallet(WalletOptions::default())).await;
    let zeus = Behaviour::shows(PreimageSaid::Empty).then_lookup(LookupSaid::NoPreimage);
    scene.world.wallet().next(zeus);
    let told = scene.buy().await;
    assert_eq!(told.outcome(), "pending", "{}", told.text());
    assert!(told.say().contains("no preimage") || told.say().contains("no proof"), "{}", told.say());
    scene.moved(PRICE, "unknown").await;
    scene.world.verify().await;
    // Once the wallet finds the preimage, the goods come without another payment.
    let hash = scene.world.node().moved()[0].hash.clone();
    assert!(scene.world.wallet().set_lookup(&hash, LookupSaid::Truth));
    let told = scene.until_known(&told).await;
    scene.paid_once(&told).await;
}

/// Coinos: a bare string for an error, or success at once without a preimage, and the money moves a moment later.
#[tokio::test]
async fn a_wallet_that_answers_before_it_pays_is_looked_up() {
    for reply in [ReplySaid::BareError("Failed to decrypt request".into()), ReplySaid::Nothing] {
        let scene = Scene::new(QUICK, wallet(WalletOptions::default())).await;
        scene.world.wallet().next(Behaviour { money: Money::SettlesAfter(300), ..Behaviour::says(reply) });
        let told = scene.buy().await;
        let told = if told.outcome() == "pending" { scene.until_known(&told).await } else { told };
        scene.paid_once(&told).await;
    }
}

/// Primal: without any look-up, a reply with proof is enough, and a lost one leaves the money held.
#[tokio::test]
async fn a_wallet_without_lookups_pays_and_a_lost_reply_stays_unknown() {
    let scene = Scene::new(QUICK, wallet(primal())).await;
    let told = scene.buy().await;
    scene.paid_once(&told).await;

    let scene = Scene::new(QUICK, wallet(primal())).await;
    scene.world.wallet().next(Behaviour::lost_reply());
    let told = scene.buy().await;
    assert_eq!(told.outcome(), "pending", "{}", told.text());
    scene.moved(PRICE, "unknown").await;
    let again = scene.buy().await;
    assert_eq!((again.outcome(), again.purchase()), ("pending", told.purchase()), "{}", again.text());
    assert_eq!(scene.world.wallet().pay_events().len(), 1);
    scene.moved(PRICE, "unknown").await;
    scene.world.verify().await;
}

/// A wallet without `lookup_invoice` that lists its payments is asked for the list.
#[tokio::test]
async fn a_wallet_that_only_lists_is_asked_for_its_list() {
    let methods = ["pay_invoice", "get_balance", "get_info", "list_transactions"].map(str::to_owned).to_vec();
    let scene = Scene::new(QUICK, wallet(WalletOptions { methods, ..WalletOptions::default() })).await;
    scene.world.wallet().next(Behaviour::lost_reply());
    let told = scene.buy().await;
    scene.paid_once(&told).await;
}

/// A wallet whose reply leaves the fee out and whose look-up has it: what was taken is charged, and not a msat more.
/// Hazard 17.
#[tokio::test]
async fn a_fee_that_the_reply_leaves_out_is_looked_up_once_and_charged_as_it_was() {
    let scene = Scene::new(LONG, wallet(WalletOptions::default())).await;
    scene.world.node().set_fees(Fees { base_msat: 1_234, ppm: 0 });
    scene.world.wallet().next(Behaviour::claims(FeesSaid::OnlyLookedUp));
    let told = scene.buy().await;
    assert_eq!((told.outcome(), &told.facts()["fee"]), ("bought", &"1.234 sat".into()), "{}", told.text());
    assert_eq!(scene.world.wallet().seen("lookup_invoice"), 1);
    let row = scene.world.audit().await.pop().expect("a row");
    assert_eq!((row.fee, row.note.as_str()), (bursar::money::Amount::msat(1_234), ""), "{row:?}");
    assert_eq!(scene.world.spent_msat(), PRICE + 1_234);
    scene.world.verify_money().await;
}

/// The look-up for the fee takes the fee alone: whatever else it says of a payment that is proved changes nothing, and
/// without a fee the whole allowance is charged. Hazard 17.
#[tokio::test]
async fn a_look_up_for_the_fee_cannot_undo_a_payment_that_is_proved() {
    use LookupSaid::{Failed, NotFound, Nothing, Pending};
    for said in [Failed, NotFound, Nothing, Pending] {
        let scene = Scene::new(QUICK, wallet(WalletOptions::default())).await;
        scene.world.node().set_fees(Fees { base_msat: 1_234, ppm: 0 });
        scene.world.wallet().next(Behaviour::claims(FeesSaid::OnlyLookedUp).then_lookup(said));
        let told = scene.buy().await;
        assert_eq!((told.outcome(), &told.facts()["fee"]), ("bought", &"10 sat".into()), "{said:?}: {}", told.text());
        assert_eq!(scene.world.spent_msat(), PRICE + 1_234, "{said:?}");
        scene.world.verify().await;
    }
}

/// LNbits tells no fee: the whole allowance is charged and the ledger says so. Hazard 17.
#[tokio::test]
async fn a_fee_that_is_not_told_is_charged_at_the_allowance() {
    let scene = Scene::new(QUICK, wallet(lnbits())).await;
    scene.world.wallet().next(Behaviour::claims(FeesSaid::Missing));
    let told = scene.buy().await;
    assert_eq!((told.outcome(), &told.facts()["paid_now"]), ("bought", &"31 sat".into()), "{}", told.text());
    assert_eq!(scene.world.spent_msat(), PRICE);
    let row = scene.world.audit().await.pop().expect("a row");
    assert_eq!(row.fee, bursar::money::Amount::msat(10_000), "{row:?}");
    scene.world.verify().await;
}
