//! What each step leaves behind, and which step is refused.

use bursar::ledger::{Armed, Begun, By, Decided, Reused, Scope, SetBy, State};

use super::book::*;

#[tokio::test]
async fn what_failed_gives_its_holds_back_and_an_equal_call_is_a_new_purchase() {
    let book = Book::new(limits(100, 100, 100));
    let wish = Wish::of(sat(100));
    let id = book.bought(&wish).await;
    assert!(matches!(book.begin(&wish.again()).await, Begun::Exists(s) if s.id == id));
    assert_eq!(book.ledger.failed(id, "no route").await.unwrap(), State::Failed);
    let next = book.bought(&wish.again()).await;
    assert_ne!(id, next);
    assert_eq!(book.ledger.failed(id, "again").await.unwrap(), State::Failed, "a second time changes nothing");
    book.is_sound().await;
}

#[tokio::test]
async fn an_unknown_outcome_keeps_the_hold_until_it_is_known() {
    let book = Book::new(limits(100, 100, 100));
    let id = book.bought(&Wish::of(sat(80)).fee(sat(10))).await;
    book.ledger.unknown(id, "the wallet did not answer").await.unwrap();
    book.no_room(&Wish::of(sat(11))).await;
    assert_eq!(book.ledger.unresolved().await.unwrap(), [id]);
    book.is_sound().await;
    assert_eq!(book.paid(id, sat(80), Some(sat(0))).await, State::Paid);
    book.bought(&Wish::of(sat(20))).await;
    book.is_sound().await;
}

/// The wallet's word that it paid is written down once, and a person's no after it counts price and allowance as spent.
#[tokio::test]
async fn a_person_closes_what_the_wallet_said_it_paid_as_spent() {
    let book = Book::new(limits(100, 100, 100));
    let id = book.bought(&Wish::of(sat(80)).fee(sat(10))).await;
    book.ledger.note_said_paid(id).await.unwrap();
    assert!(!book.ledger.said_paid(id).await.unwrap(), "while it is being paid nobody has been asked");
    book.ledger.unknown(id, "the wallet did not answer").await.unwrap();
    let lines = book.ledger.head().await.unwrap().lines;
    for _ in 0..2 {
        book.ledger.note_said_paid(id).await.unwrap();
        assert!(book.ledger.said_paid(id).await.unwrap());
    }
    assert_eq!(book.ledger.head().await.unwrap().lines, lines + 1, "once");
    assert!(book.ledger.find(id).await.unwrap().unwrap().note.contains("says that it paid"));
    assert!(
        matches!(book.ledger.decide(id, false, By::Terminal).await.unwrap(), Decided::NothingToDecide(State::Unknown)),
        "too soon"
    );
    book.clock.advance_ms((LIABLE_UNTIL + 121) * 1000 - NOON_ISH);
    assert!(matches!(book.ledger.decide(id, false, By::Terminal).await.unwrap(), Decided::Spent(p) if p.id == id));
    let at = book.ledger.find(id).await.unwrap().unwrap();
    assert_eq!((at.state, at.spent, at.fee), (State::Undelivered, sat(80), sat(10)));
    let (_, held, spent, overrun) = book.windows().pop().unwrap();
    assert_eq!((held, spent, overrun), (0, 90_000, 0));
    let credentials: i64 = book.raw().query_row("SELECT count(*) FROM credential", [], |r| r.get(0)).unwrap();
    assert_eq!(credentials, 0, "there is nothing to show a seller");
    book.is_sound().await;
}

/// What never left gives its hold back, unless another process has taken the purchase on since.
#[tokio::test]
async fn only_a_purchase_that_nobody_else_took_on_fails_as_unsent() {
    let book = Book::new(limits(100, 100, 100));
    let id = book.bought(&Wish::of(sat(80)).fee(sat(10))).await;
    assert_eq!(book.ledger.unsent(id, "no relay could be reached").await.unwrap(), State::Failed);
    assert_eq!(book.windows().pop().unwrap().1, 0);
    let taken_on = book.bought(&Wish::of(sat(80)).fee(sat(10)).at("other.example")).await;
    book.ledger.unknown(taken_on, "a process ended while it was paying").await.unwrap();
    assert_eq!(book.ledger.unsent(taken_on, "no relay could be reached").await.unwrap(), State::Unknown);
    assert_eq!(book.windows().pop().unwrap().1, 90_000, "the hold stays");
    book.is_sound().await;
}

/// What nobody can be asked about any more is closed by the person who looked: after the liability and its grace, and not
/// a second before. Money that leaves all the same is told.
#[tokio::test]
async fn a_person_closes_an_unknown_outcome_after_its_liability_and_not_before() {
    let book = Book::new(limits(100, 100, 100));
    let id = book.bought(&Wish::of(sat(80)).fee(sat(10))).await;
    book.ledger.unknown(id, "the wallet did not answer").await.unwrap();
    let last = (LIABLE_UNTIL + 120) * 1000;
    for (now, say) in [(NOON_ISH, "at once"), (LIABLE_UNTIL * 1000 + 1, "within the grace"), (last, "its last second")]
    {
        book.clock.advance_ms(now - book.clock.now_ms());
        for yes in [false, true] {
            let decided = book.ledger.decide(id, yes, By::Terminal).await.unwrap();
            assert!(matches!(decided, Decided::NothingToDecide(State::Unknown)), "{say}: {decided:?}");
        }
        assert_eq!(book.windows().pop().unwrap().1, 90_000, "{say}: the hold stays");
    }
    book.clock.advance_ms(1000);
    assert!(matches!(
        book.ledger.decide(id, true, By::Terminal).await.unwrap(),
        Decided::NothingToDecide(State::Unknown)
    ));
    assert!(matches!(book.ledger.decide(id, false, By::Terminal).await.unwrap(), Decided::Denied(p) if p.id == id));
    let at = book.ledger.find(id).await.unwrap().unwrap();
    assert_eq!((at.state, book.windows().pop().unwrap().1), (State::Failed, 0));
    assert!(at.note.contains("a person says"), "{}", at.note);
    book.is_sound().await;
    assert_eq!(book.paid(id, sat(80), Some(sat(1))).await, State::Late, "what really left is recorded");
    book.is_sound().await;
}

/// An approved purchase in the hands of two processes, one of which finds it too late and gives it up.
#[tokio::test]
async fn what_one_process_pays_another_cannot_give_up_and_the_other_way_round() {
    let book = Book::new(limits(1000, 1000, 1000));
    let other = open(book.home.path(), &book.limits, &book.clock);
    let approved = async || {
        let (new, intent) = Wish::of(sat(3)).fee(sat(1)).parts();
        let Begun::Awaiting(id) = book.ledger.begin(new, intent, true).await.unwrap() else { panic!("not asked") };
        assert!(matches!(book.ledger.decide(id, true, By::Terminal).await.unwrap(), Decided::Approved(_)));
        id
    };
    let arm = async |id| book.ledger.arm(id, b"a signed event".to_vec(), NOON_ISH / 1000 + 60).await.unwrap();
    let reserved = || book.windows().pop().unwrap().1;

    let id = approved().await;
    assert!(matches!(arm(id).await, Armed::Committed(_)));
    assert_eq!(other.give_up(id, "too late").await.unwrap(), State::Paying);
    assert_eq!(reserved(), 4_000, "the hold of what is being paid stays");
    assert_eq!(book.paid(id, sat(3), Some(sat(0))).await, State::Paid);
    assert_eq!(other.give_up(id, "too late").await.unwrap(), State::Paid);

    let id = approved().await;
    book.ledger.unknown(id, "not yet under way").await.unwrap();
    assert_eq!(other.failed(id, "not mine to say").await.unwrap(), State::AwaitingApproval, "nothing was sent yet");
    assert_eq!(other.give_up(id, "too late").await.unwrap(), State::Failed);
    assert!(matches!(arm(id).await, Armed::Gone), "nothing is sent for what was given up");
    assert_eq!(reserved(), 0);
    book.is_sound().await;

    let mut paid = 1;
    for _ in 0..40 {
        let id = approved().await;
        let (armed, given_up) = tokio::join!(arm(id), other.give_up(id, "too late"));
        match (armed, given_up.unwrap()) {
            (Armed::Committed(intent), State::Paying) => {
                assert!(intent.fresh());
                assert_eq!(book.paid(id, sat(3), Some(sat(0))).await, State::Paid);
                paid += 1;
            }
            (Armed::Gone, State::Failed) => {}
            odd => panic!("{odd:?}"),
        }
        assert_eq!(reserved(), 0);
    }
    assert_eq!(book.budget(Scope::Session).await.spent, sat(3 * paid));
    book.is_sound().await;
}

#[tokio::test]
async fn a_fee_that_the_wallet_does_not_tell_is_charged_whole_and_says_so() {
    let book = Book::new(limits(100, 100, 100));
    let id = book.bought(&Wish::of(sat(50)).fee(sat(5))).await;
    book.paid(id, sat(50), None).await;
    let at = book.ledger.find(id).await.unwrap().unwrap();
    assert_eq!((at.spent, at.fee), (sat(50), sat(5)));
    assert!(at.note.contains("did not tell the fee"), "{}", at.note);
    book.is_sound().await;
}

#[tokio::test]
async fn a_fee_beyond_its_hold_is_written_down_counts_and_freezes_the_wallet() {
    let book = Book::new(limits(100, 100, 100));
    let id = book.bought(&Wish::of(sat(90)).fee(sat(5))).await;
    assert_eq!(book.paid(id, sat(90), Some(sat(25))).await, State::Paid);
    let (_, reserved, spent, overrun) = book.windows().pop().unwrap();
    assert_eq!((reserved, spent, overrun), (0, 95_000, 20_000), "what really left is recorded");
    assert_eq!(book.budget(Scope::Session).await.left, sat(0));
    assert!(matches!(book.begin(&Wish::of(sat(1))).await, Begun::Frozen(why) if why.contains(&id.to_string())));
    book.is_sound().await;
    assert!(matches!(book.ledger.decide(id, true, By::Terminal).await.unwrap(), Decided::Thawed(_)));
    book.no_room(&Wish::of(sat(1))).await;
    book.is_sound().await;
}

#[tokio::test]
async fn what_settles_after_it_failed_is_late_recorded_in_full_and_freezes_the_wallet() {
    let book = Book::new(limits(100, 100, 100));
    let wish = Wish::of(sat(60)).fee(sat(5));
    let id = book.bought(&wish).await;
    book.ledger.failed(id, "gone").await.unwrap();
    let second = book.bought(&wish.again()).await;
    book.paid(second, sat(60), Some(sat(5))).await;
    assert_eq!(book.paid(id, sat(60), Some(sat(2))).await, State::Late);
    assert_eq!(book.paid(id, sat(60), Some(sat(2))).await, State::Late, "and only once");
    let (_, _, spent, overrun) = book.windows().pop().unwrap();
    assert_eq!((spent, overrun), (65_000, 62_000), "beyond the limit, and no CHECK hides it");
    assert!(matches!(book.begin(&Wish::of(sat(1))).await, Begun::Frozen(_)));
    let other = Wish { wallet: "nwc:2".into(), ..Wish::of(sat(1)) };
    book.no_room(&other).await;
    book.is_sound().await;
}

#[tokio::test]
async fn paying_twice_or_delivering_before_paying_changes_nothing() {
    let book = Book::new(limits(100, 100, 100));
    let id = book.bought(&Wish::of(sat(10))).await;
    assert_eq!(book.delivered(id).await, State::Paying);
    assert_eq!(book.paid(id, sat(10), Some(sat(0))).await, State::Paid);
    assert_eq!(book.paid(id, sat(10), Some(sat(0))).await, State::Paid);
    assert_eq!(book.ledger.failed(id, "no").await.unwrap(), State::Paid);
    assert_eq!(book.delivered(id).await, State::Delivered);
    assert_eq!(book.budget(Scope::Session).await.spent, sat(10));
    book.is_sound().await;
}

#[tokio::test]
async fn a_payment_in_another_currency_than_the_price_is_refused_by_the_books() {
    let book = Book::new(limits(100, 100, 100));
    let id = book.bought(&Wish::of(sat(10))).await;
    let usd = "0.01 usd".parse().unwrap();
    assert!(book.ledger.paid(id, payment(usd, Some("0 usd".parse().unwrap()))).await.is_err());
    assert_eq!(book.ledger.find(id).await.unwrap().unwrap().state, State::Paying);
    book.is_sound().await;
}

#[tokio::test]
async fn an_explicit_key_is_one_purchase_for_ever_and_never_another_request() {
    let book = Book::new(limits(100, 100, 100));
    let wish = Wish { explicit: true, key: "k:order-1".into(), ..Wish::of(sat(10)) };
    let id = book.complete(&wish).await;
    book.clock.advance_ms(90 * 86_400_000);
    assert!(matches!(book.begin(&wish.again()).await, Begun::Exists(s) if s.id == id && s.state == State::Delivered));
    let other = Wish { request: "another body".into(), ..wish.again() };
    assert!(matches!(book.begin(&other).await, Begun::KeyTaken(taken) if taken == id));
    let hers = wish.again().by("alice");
    book.bought(&hers).await;
    book.is_sound().await;
}

#[tokio::test]
async fn an_explicit_key_whose_purchase_failed_is_not_paid_under_another_id() {
    let book = Book::new(limits(100, 100, 100));
    let wish = Wish { explicit: true, key: "k:order-2".into(), ..Wish::of(sat(10)) };
    let id = book.bought(&wish).await;
    book.ledger.failed(id, "no route").await.unwrap();
    assert!(matches!(book.begin(&wish.again()).await, Begun::Exists(s) if s.id == id && s.state == State::Failed));
}

#[tokio::test]
async fn an_equal_call_gets_the_purchase_until_its_answer_was_handed_over() {
    let book = Book::new(limits(100, 100, 100));
    let wish = Wish::of(sat(10));
    let id = book.bought(&wish).await;
    let same = async |book: &Book| matches!(book.begin(&wish.again()).await, Begun::Exists(s) if s.id == id);
    assert!(same(&book).await, "paying");
    book.ledger.unknown(id, "timeout").await.unwrap();
    assert!(same(&book).await, "unknown");
    book.paid(id, sat(10), Some(sat(0))).await;
    assert!(same(&book).await, "paid");
    book.ledger.undelivered(id, Some(500), "server error").await.unwrap();
    assert!(same(&book).await, "undelivered");
    book.delivered(id).await;
    assert!(same(&book).await, "delivered, and the caller was gone");
    book.ledger.answered(id).await.unwrap();
    assert!(!same(&book).await, "answered: now it is a new request");
    book.is_sound().await;
}

#[tokio::test]
async fn one_invoice_belongs_to_one_purchase_for_ever() {
    let book = Book::new(limits(100, 100, 100));
    let first = Wish::of(sat(10));
    let id = book.bought(&first).await;
    let second = Wish { rail_key: first.rail_key.clone(), ..Wish::of(sat(10)).at("other.example") };
    assert!(matches!(book.begin(&second).await, Begun::RailKeyTaken(taken) if taken == id));
    book.ledger.failed(id, "no").await.unwrap();
    assert!(matches!(book.begin(&second).await, Begun::RailKeyTaken(_)), "not even after it failed");
    let unique = book.raw().execute(
        "INSERT INTO intent SELECT purchase_id, 1, protocol, rail, network, asset, payee,
        rail_key, wallet, currency, amount, fee_cap, liability_until_s, resend_until_s, bytes, state, spent, fee, proof,
        settled_ms FROM intent",
        [],
    );
    assert!(unique.unwrap_err().to_string().contains("UNIQUE"), "the schema keeps it too");
    book.is_sound().await;
}

#[tokio::test]
async fn a_seller_that_took_money_and_asks_for_more_is_not_paid_again_for_a_day() {
    let book = Book::new(limits(100, 100, 100));
    let id = book.bought(&Wish::of(sat(10))).await;
    book.paid(id, sat(10), Some(sat(0))).await;
    book.ledger.undelivered(id, Some(402), "another 402").await.unwrap();
    assert!(matches!(book.begin(&Wish::of(sat(10))).await, Begun::CoolingDown(kept) if kept == id));
    book.bought(&Wish::of(sat(10)).at("other.example")).await;
    book.clock.advance_ms(24 * 3_600_000 - 1);
    assert!(matches!(book.begin(&Wish::of(sat(10))).await, Begun::CoolingDown(_)));
    book.clock.advance_ms(1);
    book.bought(&Wish::of(sat(10))).await;
    book.is_sound().await;
}

#[tokio::test]
async fn a_host_with_three_unknown_outcomes_gets_no_fourth_payment() {
    let book = Book::new(limits(100, 100, 100));
    for _ in 0..3 {
        let id = book.bought(&Wish::of(sat(1))).await;
        book.ledger.unknown(id, "timeout").await.unwrap();
    }
    assert!(matches!(book.begin(&Wish::of(sat(1))).await, Begun::TooManyUnknown(3)));
    book.bought(&Wish::of(sat(1)).at("other.example")).await;
    book.is_sound().await;
}

#[tokio::test]
async fn the_first_wallet_fixes_the_world_and_no_statement_changes_it() {
    let book = Book::new(limits(100, 100, 100));
    book.bought(&Wish::of(sat(1))).await;
    let test = Wish { world: "test".into(), ..Wish::of(sat(1)) };
    assert!(matches!(book.begin(&test).await, Begun::OtherWorld(world) if world == "main"));
    let book = book.reopen();
    assert!(matches!(book.begin(&test).await, Begun::OtherWorld(_)));
    assert!(book.raw().execute("UPDATE meta SET value = 'test' WHERE key = 'world'", []).is_err());
}

#[tokio::test]
async fn only_what_came_from_the_commit_itself_is_fresh() {
    let book = Book::new(limits(100, 100, 100));
    let Begun::Committed(intent) = book.begin(&Wish::of(sat(1))).await else { panic!("not granted") };
    assert!(intent.fresh());
    let again = book.ledger.intent(intent.purchase).await.unwrap().unwrap();
    assert!(!again.fresh(), "its bytes may have been sent before");
    assert_eq!(again.wire, intent.wire);
}

#[tokio::test]
async fn pinned_columns_and_illegal_steps_are_refused_by_the_schema() {
    let book = Book::new(limits(100, 100, 100));
    book.complete(&Wish::of(sat(1))).await;
    let conn = book.raw();
    for sql in [
        "UPDATE purchase SET host = 'x'",
        "UPDATE purchase SET state = 'paying'",
        "UPDATE purchase SET answered_ms = 1",
        "DELETE FROM purchase",
        "UPDATE intent SET amount = 1",
        "UPDATE intent SET bytes = x'00'",
        "DELETE FROM intent",
        "UPDATE hold SET amount = 1",
        "UPDATE hold SET open = 1",
        "DELETE FROM hold",
        "UPDATE journal SET amount = 0",
        "DELETE FROM journal",
    ] {
        assert!(conn.execute(sql, []).is_err(), "{sql}");
    }
    book.is_sound().await;
}

#[tokio::test]
async fn limits_refusals_and_re_uses_stand_in_the_journal() {
    let book = Book::new(limits(100, 100, 100));
    let id = book.complete(&Wish::of(sat(10))).await;
    let credential = book.ledger.credential("local", "https://api.example", "/v1/data").await.unwrap().unwrap();
    assert!(credential.opened_here);
    let before = book.ledger.head().await.unwrap().lines;
    book.ledger
        .reused(Reused {
            principal: "local".into(),
            session_key: String::new(),
            host: "api.example".into(),
            path: "GET /v1/data".into(),
            credential: credential.id,
            purchase: id.to_string(),
            bare_path: "/v1/data".into(),
            status: 200,
            purpose: "again".into(),
        })
        .await
        .unwrap();
    book.set(Scope::Session, sat(50), SetBy::Model).await;
    assert_eq!(book.ledger.head().await.unwrap().lines, before + 2);
    book.is_sound().await;
}
