//! Agents in the books: their tokens, their own limits, and files from before there were any.

use bursar::{
    clock::Clock,
    ledger::{LimitSet, NoRoom, Scope, SetBy, TokenKind, TokenMade, file},
    money::Amount,
};

use super::book::*;

async fn make(book: &Book, name: &str, allowed: &[(Scope, Amount)]) -> TokenMade {
    book.ledger.make_token(name, TokenKind::Agent, [1; 32], allowed.to_vec(), false).await.unwrap()
}

#[tokio::test]
async fn a_ledger_of_the_first_version_is_brought_up_and_keeps_its_books() {
    let home = tempfile::tempdir().unwrap();
    let first = rusqlite::Connection::open(file(home.path())).unwrap();
    first.execute_batch(include_str!("../../schemas/ledger-001.sql")).unwrap();
    first
        .execute_batch(
            "INSERT INTO meta VALUES('created_ms', '1'), ('world', 'main');
             INSERT INTO session VALUES('s_old', 'local', '', 1, 1, 2);
             PRAGMA application_id = 0x42555253; PRAGMA user_version = 1",
        )
        .unwrap();
    drop(first);
    let clock = Clock::manual(NOON_ISH);
    let table = limits(10, 20, 30);
    let ledger = open(home.path(), &table, &clock);
    let book = Book { home, clock, limits: table, ledger };
    assert_eq!(book.ledger.session_with_id("s_old").await.unwrap().unwrap().principal, "local");
    assert_eq!(make(&book, "scout", &[]).await, TokenMade::Made);
    book.complete(&Wish::of(sat(5)).by("scout")).await;
    book.complete(&Wish::of(sat(5))).await;
    book.is_sound().await;
    let book = book.reopen();
    book.is_sound().await;
    assert_eq!(book.raw().query_row("PRAGMA user_version", [], |r| r.get::<_, i64>(0)).unwrap(), 3);
}

#[tokio::test]
async fn an_agents_own_limits_bind_it_alone_and_only_downwards() {
    let book = Book::new(limits(10, 50, 100));
    let own = [(Scope::Purchase, sat(4)), (Scope::Session, sat(7)), (Scope::Day, sat(1_000))];
    make(&book, "scout", &own).await;
    make(&book, "other", &[]).await;
    assert!(matches!(book.no_room(&Wish::of(sat(5)).by("scout")).await, NoRoom::Price { .. }));
    book.complete(&Wish::of(sat(4)).by("scout")).await;
    match book.no_room(&Wish::of(sat(4)).by("scout")).await {
        NoRoom::Left { scope: Scope::Session, left, ceiling, .. } => assert_eq!((left, ceiling), (sat(3), sat(7))),
        other => panic!("{other:?}"),
    }
    book.complete(&Wish::of(sat(10)).by("other")).await;
    // An allowance above the operator's ceiling is worth the ceiling.
    let (_, views) = book.ledger.budgets("scout", "").await.unwrap();
    let day = views.iter().find(|v| v.scope == Scope::Day).unwrap();
    assert_eq!((day.limit, day.ceiling), (sat(200), sat(200)));
    // Not even a person's word goes beyond it; only a renewed token does.
    let raised = book.ledger.set_limit("scout", "", Scope::Session, sat(8), SetBy::Human).await.unwrap();
    assert!(matches!(raised, LimitSet::AboveCeiling(_)), "{raised:?}");
    let renewed = book.ledger.make_token("scout", TokenKind::Agent, [2; 32], Vec::new(), true).await.unwrap();
    assert_eq!(renewed, TokenMade::Made);
    book.complete(&Wish::of(sat(10)).by("scout")).await;
    book.is_sound().await;
}

#[tokio::test]
async fn a_total_of_its_own_outlives_sessions_and_days() {
    let book = Book::new(limits(10, 50, 100));
    make(&book, "scout", &[(Scope::Total, sat(15))]).await;
    book.complete(&Wish::of(sat(10)).by("scout")).await;
    book.ledger.end_sessions("scout", None).await.unwrap();
    book.clock.advance_ms(3 * 86_400_000);
    match book.no_room(&Wish::of(sat(10)).by("scout")).await {
        NoRoom::Left { scope: Scope::Total, left, .. } => assert_eq!(left, sat(5)),
        other => panic!("{other:?}"),
    }
    book.complete(&Wish::of(sat(10))).await;
    let (_, views) = book.ledger.budgets("scout", "").await.unwrap();
    let total = views.iter().find(|v| v.scope == Scope::Total).unwrap();
    assert_eq!((total.spent, total.left), (sat(10), sat(5)));
    book.is_sound().await;
}

#[tokio::test]
async fn nobody_can_be_called_everyone_or_two_names_at_once() {
    let book = Book::new(limits(10, 50, 100));
    for bad in ["", "a\nb", "A", "a b", "a:b"] {
        let (new, intent) = Wish::of(sat(1)).by(bad).parts();
        assert!(book.ledger.begin(new, intent, false).await.is_err(), "{bad:?}");
        let made = book.ledger.make_token(bad, TokenKind::Agent, [0; 32], Vec::new(), false).await;
        assert!(made.is_err(), "{bad:?}");
    }
    let local = book.ledger.make_token("local", TokenKind::Agent, [0; 32], Vec::new(), false).await;
    assert!(local.is_err(), "the terminal needs no token, and nobody else may be it");
}
