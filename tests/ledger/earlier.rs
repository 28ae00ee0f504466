//! A second signature in one purchase: both are held, and each is accounted for by itself.

use bursar::{
    ledger::{Begun, Fate, Filter, Intent, NewPurchase, NoRoom, Payment, PurchaseId, Replaced, Scope, State},
    money::Amount,
};

use super::book::*;

/// Another intent for a purchase that stands.
fn another(id: PurchaseId, n: u32, price: Amount) -> Intent {
    let (_, intent) = Wish::of(price).parts();
    Intent { purchase: id, n, ..intent }
}

async fn replaced(book: &Book, intent: Intent) -> Replaced {
    book.ledger.replace(intent).await.unwrap()
}

#[tokio::test]
async fn two_signatures_of_one_purchase_are_both_held() {
    let book = Book::new(limits(100, 100, 100));
    let id = book.bought(&Wish::of(sat(40))).await;
    assert!(matches!(replaced(&book, another(id, 1, sat(50))).await, Replaced::Committed(i) if i.fresh() && i.n == 1));
    assert_eq!(book.budget(Scope::Session).await.held, sat(90));
    book.no_room(&Wish::of(sat(11))).await;
    book.is_sound().await;
}

#[tokio::test]
async fn a_second_signature_finds_no_room_beyond_the_limit_and_leaves_nothing_behind() {
    let book = Book::new(limits(100, 100, 100));
    let id = book.bought(&Wish::of(sat(60))).await;
    assert!(matches!(replaced(&book, another(id, 1, sat(41))).await, Replaced::NoRoom(_)));
    assert_eq!(book.budget(Scope::Session).await.held, sat(60));
    assert_eq!(book.ledger.find(id).await.unwrap().unwrap().n, 0);
    book.is_sound().await;
}

#[tokio::test]
async fn the_first_signature_is_given_back_when_a_chain_says_that_it_is_void() {
    let book = Book::new(limits(100, 100, 100)).reopen();
    let id = book.bought(&Wish::of(sat(40))).await;
    replaced(&book, another(id, 1, sat(50))).await;
    assert_eq!(book.paid(id, sat(50), Some(sat(0))).await, State::Paid);
    assert_eq!(book.delivered(id).await, State::Delivered);
    assert_eq!(book.budget(Scope::Session).await.held, sat(40), "it may still be used");
    assert_eq!(book.ledger.unresolved().await.unwrap(), [id], "so it is looked after");
    book.is_sound().await;
    let book = book.reopen();
    book.ledger.close_earlier(id, 0, Fate::Void).await.unwrap();
    let session = book.budget(Scope::Session).await;
    assert_eq!((session.spent, session.held), (sat(50), sat(0)));
    assert!(book.ledger.unresolved().await.unwrap().is_empty());
    let fate = Fate::Spent { proof: b"{}".to_vec(), taken: sat(40), transaction: None };
    book.ledger.close_earlier(id, 0, fate).await.unwrap();
    assert_eq!(book.budget(Scope::Session).await.spent, sat(50), "it is closed once");
    book.is_sound().await;
}

#[tokio::test]
async fn a_seller_that_uses_both_signatures_is_posted_with_both() {
    let book = Book::new(limits(100, 100, 100));
    let id = book.bought(&Wish::of(sat(40))).await;
    replaced(&book, another(id, 1, sat(50))).await;
    let second = Payment { transaction: Some("0x2".into()), ..payment(sat(50), Some(sat(0))) };
    book.ledger.paid(id, second).await.unwrap();
    let first = Fate::Spent { proof: b"{}".to_vec(), taken: sat(40), transaction: Some("0x1".into()) };
    book.ledger.close_earlier(id, 0, first).await.unwrap();
    assert_eq!(book.ledger.find(id).await.unwrap().unwrap().spent, sat(90));
    assert_eq!(book.budget(Scope::Session).await.spent, sat(90));
    let rows = book.ledger.audit(Filter::default()).await.unwrap();
    assert_eq!(rows[0].transaction.as_deref(), Some("0x2 0x1"), "both are named, in the order in which they were seen");
    book.is_sound().await;
}

#[tokio::test]
async fn only_a_paying_purchase_takes_another_signature_and_only_in_its_turn() {
    let book = Book::new(limits(100, 1000, 1000));
    let id = book.bought(&Wish::of(sat(10))).await;
    for n in [0, 2] {
        assert!(matches!(replaced(&book, another(id, n, sat(10))).await, Replaced::Gone), "intent {n}");
    }
    let known = Wish::of(sat(10));
    book.bought(&known).await;
    let reused = Intent { rail_key: known.rail_key, ..another(id, 1, sat(10)) };
    assert!(matches!(replaced(&book, reused).await, Replaced::Gone), "the same nonce is never signed twice");
    book.ledger.unknown(id, "no word").await.unwrap();
    assert!(matches!(replaced(&book, another(id, 1, sat(10))).await, Replaced::Gone));
    book.is_sound().await;
}

#[tokio::test]
async fn what_failed_at_last_still_holds_what_was_signed_first() {
    let book = Book::new(limits(100, 100, 100));
    let id = book.bought(&Wish::of(sat(40))).await;
    replaced(&book, another(id, 1, sat(50))).await;
    assert_eq!(book.ledger.failed(id, "void").await.unwrap(), State::Failed);
    assert_eq!(book.budget(Scope::Session).await.held, sat(40));
    book.is_sound().await;
    book.ledger.close_earlier(id, 0, Fate::Void).await.unwrap();
    assert_eq!(book.budget(Scope::Session).await.left, sat(100));
    book.is_sound().await;
}

/// Whoever holds both signatures can take both: together they stay within the limit of one purchase, to the unit.
#[tokio::test]
async fn both_signatures_together_stay_within_the_limit_of_one_purchase() {
    for (second, fits) in [(20, true), (21, false)] {
        let book = Book::new(limits(60, 500, 500));
        let id = book.bought(&Wish::of(sat(40))).await;
        let said = replaced(&book, another(id, 1, sat(second))).await;
        match said {
            Replaced::Committed(_) => assert!(fits, "{second}"),
            Replaced::NoRoom(NoRoom::Together { together, most, by_caller, .. }) => {
                assert_eq!((together, most, by_caller, fits), (sat(61), sat(60), false, false));
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(book.budget(Scope::Session).await.held, sat(if fits { 60 } else { 40 }));
        book.is_sound().await;
    }
}

/// And within what the caller said it may cost.
#[tokio::test]
async fn both_signatures_together_stay_within_the_callers_price() {
    for (second, fits) in [(20, true), (21, false)] {
        let book = Book::new(limits(500, 500, 500));
        let (new, intent) = Wish::of(sat(40)).parts();
        let (new, id) = (NewPurchase { max_price: Some(sat(60)), ..new.clone() }, new.id);
        assert!(matches!(book.ledger.begin(new, intent, false).await.unwrap(), Begun::Committed(_)));
        let said = replaced(&book, another(id, 1, sat(second))).await;
        match said {
            Replaced::Committed(_) => assert!(fits, "{second}"),
            Replaced::NoRoom(NoRoom::Together { together, most, by_caller, .. }) => {
                assert_eq!((together, most, by_caller, fits), (sat(61), sat(60), true, false));
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(book.budget(Scope::Session).await.held, sat(if fits { 60 } else { 40 }));
        book.is_sound().await;
    }
}
