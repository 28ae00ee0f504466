//! `spent + reserved <= limit` in every budget, whoever asks and whatever is set.

use bursar::ledger::{Begun, By, LimitSet, NoRoom, Scope, SetBy, State};

use super::book::*;

#[tokio::test]
async fn a_purchase_is_held_with_its_fee_in_every_budget_and_posted_to_every_one() {
    let book = Book::new(limits_with(limits(100, 100, 100), Some(90), Some(95)));
    let id = book.bought(&Wish::of(sat(10)).fee(sat(2))).await;
    let scopes = ["day/", "day/local", "host/", "session/local", "total/"];
    let all = |r, s| scopes.map(|scope| (scope.to_owned(), r, s, 0)).to_vec();
    assert_eq!(book.windows(), all(12_000, 0));
    book.is_sound().await;
    assert_eq!(book.paid(id, sat(10), Some(sat(1))).await, State::Paid);
    assert_eq!(book.windows(), all(0, 11_000), "the unused part of the fee's hold came back");
    book.is_sound().await;
}

#[tokio::test]
async fn a_limit_admits_its_last_millisatoshi_and_not_one_more() {
    for (scope, table) in [
        (Scope::Purchase, limits(50, 1000, 1000)),
        (Scope::Session, limits(1000, 50, 1000)),
        (Scope::Day, limits(1000, 1000, 50)),
        (Scope::Host, limits_with(limits(1000, 1000, 1000), Some(50), None)),
        (Scope::Total, limits_with(limits(1000, 1000, 1000), None, Some(50))),
    ] {
        let book = Book::new(table.clone());
        match book.no_room(&Wish::of(msat(50_001))).await {
            NoRoom::Left { scope: said, needs, left, .. } => {
                assert_eq!((said, needs, left), (scope, msat(50_001), sat(50)));
            }
            NoRoom::Price { price, limit, .. } => {
                assert_eq!((scope, price, limit), (Scope::Purchase, msat(50_001), sat(50)));
            }
            other => panic!("{scope:?}: {other:?}"),
        }
        book.bought(&Wish::of(sat(50))).await;
        book.is_sound().await;
    }
}

#[tokio::test]
async fn a_price_within_the_limit_whose_fee_is_not_is_refused() {
    let book = Book::new(limits(100, 100, 100));
    assert!(matches!(book.no_room(&Wish::of(sat(100)).fee(msat(1))).await, NoRoom::Left { scope: Scope::Session, .. }));
}

#[tokio::test]
async fn a_refusal_by_the_last_budget_leaves_no_half_holds_in_the_others() {
    let book = Book::new(limits_with(limits(100, 1000, 1000), None, Some(20)));
    assert!(matches!(book.no_room(&Wish::of(sat(21))).await, NoRoom::Left { scope: Scope::Total, .. }));
    assert!(book.windows().iter().all(|(_, reserved, spent, over)| reserved + spent + over == 0));
    let holds: i64 = book.raw().query_row("SELECT count(*) FROM hold", [], |r| r.get(0)).unwrap();
    assert_eq!(holds, 0);
    assert_eq!(book.ledger.head().await.unwrap().lines, 0, "nothing stands in the journal of what did not happen");
    book.is_sound().await;
}

#[tokio::test]
async fn a_currency_without_a_ceiling_is_refused() {
    let book = Book::new(limits(100, 100, 100));
    let usd = "0.01 usd".parse().unwrap();
    let wish = Wish { price: usd, fee_cap: "0 usd".parse().unwrap(), ..Wish::of(sat(1)) };
    assert!(matches!(book.no_room(&wish).await, NoRoom::NoCeiling(_)));
}

#[tokio::test]
async fn lowering_a_limit_below_what_is_used_leaves_no_room_and_keeps_the_check() {
    let book = Book::new(limits(100, 100, 1000));
    book.complete(&Wish::of(sat(30))).await;
    book.bought(&Wish::of(sat(40))).await;
    assert!(matches!(book.set(Scope::Session, sat(50), SetBy::Model).await, LimitSet::Done { .. }));
    let view = book.budget(Scope::Session).await;
    assert_eq!((view.limit, view.spent, view.held, view.left), (sat(50), sat(30), sat(40), sat(0)));
    assert!(matches!(book.no_room(&Wish::of(msat(1))).await, NoRoom::Left { scope: Scope::Session, .. }));
    book.is_sound().await;
    // Raised again by a person, the room is what it says.
    assert!(matches!(book.set(Scope::Session, sat(80), SetBy::Human).await, LimitSet::Done { .. }));
    book.no_room(&Wish::of(msat(10_001))).await;
    book.bought(&Wish::of(sat(10))).await;
    book.is_sound().await;
}

#[tokio::test]
async fn a_model_lowers_and_never_raises_and_a_person_raises_up_to_the_ceiling() {
    for scope in [Scope::Purchase, Scope::Session, Scope::Day] {
        let book = Book::new(limits(100, 100, 100));
        assert!(matches!(book.set(scope, sat(101), SetBy::Model).await, LimitSet::NeedsAPerson { .. }));
        assert_eq!(book.budget(scope).await.limit, sat(100));
        assert!(matches!(book.set(scope, sat(60), SetBy::Model).await, LimitSet::Done { .. }));
        assert!(matches!(book.set(scope, msat(60_001), SetBy::Model).await, LimitSet::NeedsAPerson { .. }));
        assert!(matches!(book.set(scope, sat(200), SetBy::Human).await, LimitSet::Done { .. }));
        assert!(matches!(book.set(scope, msat(200_001), SetBy::Human).await, LimitSet::AboveCeiling(_)));
        assert_eq!(book.budget(scope).await.limit, sat(200));
        book.is_sound().await;
    }
}

#[tokio::test]
async fn the_schema_itself_keeps_a_limit_below_its_ceiling_and_spending_below_the_limit() {
    let book = Book::new(limits(100, 100, 100));
    book.bought(&Wish::of(sat(10))).await;
    let conn = book.raw();
    for sql in [
        "UPDATE budget SET limit_atomic = ceiling_atomic + 1",
        "UPDATE budget_window SET reserved = limit_atomic + 1",
        "UPDATE budget_window SET spent = limit_atomic",
        "UPDATE budget_window SET reserved = -1",
    ] {
        let no = conn.execute(sql, []).unwrap_err().to_string();
        assert!(no.contains("CHECK"), "{sql}: {no}");
    }
}

#[tokio::test]
async fn a_restart_keeps_what_the_session_has_spent_and_held() {
    let book = Book::new(limits(100, 100, 1000));
    book.complete(&Wish::of(sat(60))).await;
    book.bought(&Wish::of(sat(30))).await;
    let book = book.reopen();
    assert_eq!(book.budget(Scope::Session).await.left, sat(10));
    book.no_room(&Wish::of(sat(11))).await;
    book.bought(&Wish::of(sat(10))).await;
    book.is_sound().await;
}

#[tokio::test]
async fn thirty_idle_minutes_begin_a_new_session_and_the_day_goes_on() {
    let book = Book::new(limits(100, 100, 150));
    book.complete(&Wish::of(sat(100))).await;
    book.clock.advance_ms(30 * 60_000 - 1);
    book.no_room(&Wish::of(sat(1))).await;
    let first = book.ledger.session("local", "").await.unwrap().unwrap();
    book.clock.advance_ms(1);
    assert_eq!(book.ledger.session("local", "").await.unwrap(), None);
    book.complete(&Wish::of(sat(50))).await;
    let second = book.ledger.session("local", "").await.unwrap().unwrap();
    assert_ne!(first.id, second.id);
    assert!(matches!(book.no_room(&Wish::of(sat(1))).await, NoRoom::Left { scope: Scope::Day, .. }));
    let first = book.ledger.sessions("local", 9).await.unwrap().pop().unwrap();
    assert_eq!(first.ended_ms, Some(first.last_ms), "it ended when it was last used");
    book.is_sound().await;
}

#[tokio::test]
async fn each_session_key_and_each_principal_has_a_session_of_its_own() {
    let book = Book::new(limits(100, 100, 1000));
    book.bought(&Wish::of(sat(100))).await;
    book.bought(&Wish { session_key: "other".into(), ..Wish::of(sat(100)) }).await;
    book.bought(&Wish::of(sat(100)).by("alice")).await;
    book.no_room(&Wish::of(sat(1))).await;
    let ended = book.ledger.end_sessions("local", Some("")).await.unwrap();
    assert_eq!(ended.len(), 1);
    book.bought(&Wish::of(sat(100))).await;
    assert_eq!(book.ledger.end_sessions("local", None).await.unwrap().len(), 2);
    assert!(book.ledger.session("alice", "").await.unwrap().is_some(), "another principal's session goes on");
    book.is_sound().await;
}

#[tokio::test]
async fn an_idle_session_that_is_ended_by_hand_ended_when_it_was_last_used() {
    let book = Book::new(limits(100, 100, 1000));
    book.bought(&Wish::of(sat(1))).await;
    book.clock.advance_ms(3 * 3_600_000);
    assert_eq!(book.ledger.end_sessions("local", None).await.unwrap(), Vec::<String>::new(), "none was running");
    let session = book.ledger.sessions("local", 1).await.unwrap().pop().unwrap();
    assert_eq!(session.ended_ms, Some(NOON_ISH as i64));
}

#[tokio::test]
async fn all_principals_together_stay_within_the_operators_ceiling_of_the_day() {
    let book = Book::new(limits(100, 100, 100));
    book.bought(&Wish::of(sat(100))).await;
    book.bought(&Wish::of(sat(60)).by("alice")).await;
    // Each has 100 a day, both together 200.
    book.bought(&Wish::of(sat(40)).by("bob")).await;
    assert!(matches!(book.no_room(&Wish::of(sat(1)).by("bob")).await, NoRoom::Left { scope: Scope::Day, .. }));
    let (_, views) = book.ledger.budgets("bob", "").await.unwrap();
    let day = views.iter().find(|v| v.scope == Scope::Day).unwrap();
    assert_eq!(day.left, sat(0), "what is left is what may really be spent");
    book.is_sound().await;
}

#[tokio::test]
async fn a_day_ends_at_midnight_utc_and_never_comes_back() {
    let book = Book::new(limits(100, 100, 100));
    book.complete(&Wish::of(sat(100))).await;
    book.clock.advance_ms(14 * 3_600_000);
    book.complete(&Wish::of(sat(100))).await;
    // The same home on a machine whose clock went back a day.
    let yesterday = bursar::clock::Clock::manual(NOON_ISH);
    let book = Book { clock: yesterday, ..book }.reopen();
    book.ledger.end_sessions("local", None).await.unwrap();
    assert!(matches!(book.no_room(&Wish::of(sat(1))).await, NoRoom::Left { scope: Scope::Day, .. }));
    book.is_sound().await;
}

#[tokio::test]
async fn a_ceiling_that_the_operator_lowers_binds_at_once() {
    let book = Book::new(limits(100, 100, 100));
    book.bought(&Wish::of(sat(30))).await;
    let book = book.reopen_with(limits(20, 20, 20));
    for scope in [Scope::Purchase, Scope::Session, Scope::Day] {
        assert_eq!(book.budget(scope).await.limit, sat(if scope == Scope::Day { 20 } else { 40 }), "{scope:?}");
    }
    book.no_room(&Wish::of(sat(11))).await;
    book.is_sound().await;
}

#[tokio::test]
async fn a_day_limit_that_nobody_set_follows_the_config_and_one_that_was_set_stays() {
    let book = Book::new(limits(1000, 1000, 100));
    book.complete(&Wish::of(sat(100))).await;
    let book = book.reopen_with(limits(1000, 1000, 150));
    assert_eq!(book.budget(Scope::Day).await.limit, sat(150));
    book.complete(&Wish::of(sat(50))).await;
    assert!(matches!(book.set(Scope::Day, sat(120), SetBy::Model).await, LimitSet::Done { .. }));
    let book = book.reopen_with(limits(1000, 1000, 300));
    assert_eq!(book.budget(Scope::Day).await.limit, sat(120), "the model's promise holds");
    book.no_room(&Wish::of(sat(1))).await;
    book.is_sound().await;
}

#[tokio::test]
async fn money_that_waits_for_a_person_is_held_and_comes_back_with_a_no() {
    let book = Book::new(limits(100, 100, 100));
    let (new, intent) = Wish::of(sat(70)).parts();
    let Begun::Awaiting(id) = book.ledger.begin(new, intent, true).await.unwrap() else { panic!("not asked") };
    book.no_room(&Wish::of(sat(31))).await;
    let armed = book.ledger.arm(id, b"wire".to_vec(), 0).await.unwrap();
    assert!(matches!(armed, bursar::ledger::Armed::Gone), "nobody said yes yet");
    book.is_sound().await;
    book.ledger.decide(id, false, By::Terminal).await.unwrap();
    book.bought(&Wish::of(sat(100))).await;
    book.is_sound().await;
}
