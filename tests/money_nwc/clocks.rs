//! Time that passes while nobody looks, and clocks that are off: ours, the wallet's, the relay's. A purse in the test's own
//! process has a clock of the test's.

use std::time::Duration;

use bursar::{
    clock::Clock,
    ledger::{Decided, Ledger},
    purchase::{Caller, Outcome, Purse},
    sandbox::{Behaviour, LookupSaid, PreimageSaid, RelayOptions, SandboxOptions, WalletOptions},
};

use super::{PRICE, QUICK, Scene, relay, support::World, until, wallet};

/// A clock that stands still, so far from the machine's.
fn clock_off_by(ms: i64) -> Clock {
    Clock::manual(Clock::system().now_ms().saturating_add_signed(ms))
}

async fn outcome(purse: &Purse, id: &str) -> (Outcome, String) {
    let report = purse.result(&Caller::local(""), id, &|_| ()).await;
    (report.outcome, report.say)
}

/// Hazard 2, to the end: the wallet was off, Bursar ended, and both come back when the request has long expired and its bytes
/// may no longer be sent. The wallet executes what the relay kept. One payment, from bytes that were sent once; the goods
/// come; and the ledger tells it in order.
#[tokio::test]
async fn past_its_resend_window_bursar_sends_nothing_and_finds_the_late_payment() {
    for honours in [false, true] {
        let world_clock = clock_off_by(0);
        let options = WalletOptions { honour_expiration: honours, ..WalletOptions::default() };
        let scene = Scene::new(QUICK, SandboxOptions { clock: world_clock.clone(), ..wallet(options) }).await;
        let purse = scene.purse(&world_clock);
        purse.balance(&Caller::local("")).await.expect("the wallet answers");
        scene.world.wallet().go_offline().await;
        let told = scene.buy_with(&purse).await;
        let id = told.purchase.expect("a purchase").to_string();
        assert_eq!((told.outcome, scene.world.spent_msat()), (Outcome::Pending, 0), "{}", told.say);
        purse.close().await;
        drop(purse);

        // The request's 60 s are over, and so are the 50 s in which its bytes may be sent.
        world_clock.advance_ms(120_000);
        scene.world.wallet().go_online().await;
        let purse = scene.purse(&world_clock);
        let row = if honours {
            assert_eq!(outcome(&purse, &id).await.0, Outcome::Pending);
            assert_eq!((scene.world.spent_msat(), scene.world.wallet().seen("pay_invoice")), (0, 0));
            assert_eq!(scene.journal(), ["reserve", "unknown"]);
            scene.world.audit().await.pop().expect("a row")
        } else {
            until("the late payment", || scene.world.spent_msat() == PRICE).await;
            let (found, say) = outcome(&purse, &id).await;
            // Whoever asks first finds it: this call, or the purse when it began.
            assert!(matches!(found, Outcome::Bought | Outcome::Stored), "{say}");
            assert_eq!((scene.world.spent_msat(), scene.world.wallet().pay_events().len()), (PRICE, 1));
            let hash = scene.world.node().moved()[0].hash.clone();
            assert_eq!(scene.world.wallet().deliveries(&hash), 1, "the bytes were sent once");
            assert_eq!(scene.journal(), ["reserve", "unknown", "post", "deliver"]);
            scene.world.verify_money().await;
            scene.world.audit().await.pop().expect("a row")
        };
        let told = (row.state.as_str(), row.paid, row.held.map(|held| held.atomic()));
        let paid = |msat| bursar::money::Amount::msat(msat);
        let expected = if honours { ("unknown", paid(0), Some(31_000)) } else { ("delivered", paid(PRICE), Some(0)) };
        assert_eq!(told, expected, "{row:?}");
        purse.close().await;
        scene.world.verify().await;
    }
}

/// Hazard 13: our clock runs ahead, and the relay refuses stamps from the future. What it refused is not known to be unpaid,
/// so it stays held; nothing moves, and with the clock mended nothing is paid twice.
#[tokio::test]
async fn a_relay_that_refuses_our_stamps_moves_nothing() {
    for (most_skew, pays) in [(Some(Duration::from_secs(60)), false), (None, true)] {
        let scene = Scene::new(QUICK, relay(RelayOptions { most_skew, ..RelayOptions::default() })).await;
        let clock = clock_off_by(0);
        let purse = scene.purse(&clock);
        purse.balance(&Caller::local("")).await.expect("the wallet answers");
        clock.advance_ms(240_000);
        let told = scene.buy_with(&purse).await;
        if pays {
            assert_eq!((told.outcome, scene.world.spent_msat()), (Outcome::Bought, PRICE), "{}", told.say);
            scene.world.verify_money().await;
            continue;
        }
        assert_eq!(told.outcome, Outcome::Pending, "{}", told.say);
        assert!(told.say.contains("created_at is too far off"), "the relay's reason is told: {}", told.say);
        scene.moved(0, "unknown").await;
        purse.close().await;
        // Right again: the wallet says that it knows nothing of it, which is no proof while the invoice lives.
        let purse = scene.purse(&clock_off_by(0));
        let (found, say) = outcome(&purse, &told.purchase.expect("a purchase").to_string()).await;
        assert_eq!(found, Outcome::Pending, "{say}");
        assert_eq!(scene.world.wallet().seen("pay_invoice"), 0);
        scene.moved(0, "unknown").await;
        purse.close().await;
        scene.world.verify().await;
    }
}

/// Hazard 13: our clock is minutes behind, and the wallet leaves alone what has expired by its own. That is found out before
/// anything is begun; a wallet that does not heed expirations is paid through.
#[tokio::test]
async fn a_clock_that_is_behind_is_found_out_before_anything_is_begun() {
    for (honour_expiration, moved) in [(true, 0), (false, PRICE)] {
        let options = WalletOptions { honour_expiration, ..WalletOptions::default() };
        let scene = Scene::new(QUICK, wallet(options)).await;
        let purse = scene.purse(&clock_off_by(-240_000));
        let told = scene.buy_with(&purse).await;
        let expected = if moved == 0 { Outcome::Refused } else { Outcome::Bought };
        assert_eq!((told.outcome, scene.world.spent_msat()), (expected, moved), "{}", told.say);
        if moved == 0 {
            assert!(told.say.starts_with("Nothing was paid") && told.say.contains("did not answer"), "{}", told.say);
            assert_eq!(scene.world.wallet().seen("pay_invoice"), 0);
        }
        purse.close().await;
        scene.world.verify_money().await;
    }
}

/// A wallet that says that it paid and gives no proof: written down once, told, and from then on neither its silence nor a
/// "no such payment" long after gives the money back. A person's no counts it as spent.
#[tokio::test]
async fn the_wallets_word_that_it_paid_is_kept_and_closes_as_spent() {
    let clock = clock_off_by(0);
    let options = SandboxOptions { clock: clock.clone(), ..SandboxOptions::default() };
    let scene = Scene::of(World::with_options(QUICK, options).await).await;
    let purse = scene.purse(&clock);
    scene.world.wallet().next(Behaviour::shows(PreimageSaid::Empty).then_lookup(LookupSaid::NoPreimage));
    let told = scene.buy_with(&purse).await;
    let id = told.purchase.expect("a purchase");
    assert_eq!(told.outcome, Outcome::Pending, "{}", told.say);
    assert!(told.say.contains("says that it paid, and gives no proof"), "{}", told.say);
    assert_eq!(scene.journal(), ["reserve", "unknown", "said_paid"]);
    scene.moved(PRICE, "unknown").await;
    purse.close().await;

    // Much later the wallet knows nothing of it any more, and says so again and again.
    let hash = scene.world.node().moved()[0].hash.clone();
    assert!(scene.world.wallet().set_lookup(&hash, LookupSaid::NotFound));
    clock.advance_ms(3_600_000);
    for _ in 0..2 {
        let purse = scene.purse(&clock);
        let (found, say) = outcome(&purse, &id.to_string()).await;
        assert_eq!(found, Outcome::Pending, "{say}");
        purse.close().await;
        clock.advance_ms(3_600_000);
    }
    assert_eq!(scene.journal(), ["reserve", "unknown", "said_paid"], "noted once");
    let found = scene.world.run(&["doctor", "--json"]).await.1;
    assert!(found.contains(&id.to_string()) && found.contains("says that it paid"), "{found}");

    let ledger = Ledger::open(&scene.world.home(), bursar::config::LimitTable::default(), clock.clone()).unwrap();
    let decided = ledger.decide(id, false, bursar::ledger::By::Terminal).await.unwrap();
    assert!(matches!(&decided, Decided::Spent(p) if p.id == id), "{decided:?}");
    let row = scene.world.audit().await.pop().expect("a row");
    let sums = [row.paid, row.fee, row.held].map(|sum| sum.map(|sum| sum.atomic()));
    assert_eq!((row.state.as_str(), sums), ("undelivered", [Some(PRICE), Some(10_000), Some(0)]), "{row:?}");
    assert!(row.note.contains("count as spent"), "{}", row.note);
    assert!(
        matches!(ledger.decide(id, false, bursar::ledger::By::Terminal).await.unwrap(), Decided::NothingToDecide(_)),
        "once"
    );
    assert_eq!(scene.world.wallet().pay_events().len(), 1);
    scene.world.verify().await;
}

/// The counterpart: without that word the same absence, as long after, gives the hold back.
#[tokio::test]
async fn without_the_wallets_word_a_lasting_absence_gives_the_hold_back() {
    let clock = clock_off_by(0);
    let options = SandboxOptions { clock: clock.clone(), ..SandboxOptions::default() };
    let scene = Scene::of(World::with_options(QUICK, options).await).await;
    let purse = scene.purse(&clock);
    scene.world.wallet().next(Behaviour::fails("PAYMENT_FAILED").then_lookup(LookupSaid::NotFound));
    let told = scene.buy_with(&purse).await;
    assert_eq!(told.outcome, Outcome::Pending, "{}", told.say);
    purse.close().await;
    clock.advance_ms(3_600_000);
    let purse = scene.purse(&clock);
    let (found, say) = outcome(&purse, &told.purchase.expect("a purchase").to_string()).await;
    assert_eq!(found, Outcome::Failed, "{say}");
    purse.close().await;
    scene.moved(0, "failed").await;
    scene.world.verify_money().await;
}
