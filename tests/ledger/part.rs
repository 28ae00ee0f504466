//! A price "up to": posted in full, and the rest given back once a chain shows that less was taken.

use bursar::ledger::{PurchaseId, Scope, State};

use super::book::*;

async fn took(book: &Book, id: PurchaseId, n: u32, taken: u64) -> bool {
    book.ledger.took(id, n, sat(taken), b"{}".to_vec(), None).await.unwrap()
}

#[tokio::test]
async fn what_was_not_taken_is_given_back_to_every_budget_and_the_chain_of_the_journal_holds() {
    let book = Book::new(limits(100, 100, 100)).reopen();
    let id = book.bought(&Wish::of(sat(40))).await;
    assert!(!took(&book, id, 0, 10).await, "what is not posted cannot be lowered");
    assert_eq!(book.paid(id, sat(40), Some(sat(0))).await, State::Paid);
    assert_eq!(book.delivered(id).await, State::Delivered);
    assert!(took(&book, id, 0, 10).await);
    for scope in [Scope::Session, Scope::Day] {
        let budget = book.budget(scope).await;
        assert_eq!((budget.spent, budget.held), (sat(10), sat(0)), "{scope:?}");
    }
    assert_eq!(book.ledger.find(id).await.unwrap().unwrap().spent, sat(10));
    book.is_sound().await;
    // Down to nothing, and never up again: no word of anybody makes more of it than was posted.
    assert!(took(&book, id, 0, 0).await);
    assert!(!took(&book, id, 0, 1).await && !took(&book, id, 1, 0).await);
    assert_eq!(book.budget(Scope::Session).await.spent, sat(0));
    book.is_sound().await;
}

#[tokio::test]
async fn a_purchase_that_cost_nothing_in_the_end_is_posted_with_nothing() {
    let book = Book::new(limits(100, 100, 100));
    let id = book.bought(&Wish::of(sat(40))).await;
    assert_eq!(book.paid(id, sat(0), Some(sat(0))).await, State::Paid);
    assert_eq!(book.budget(Scope::Session).await.spent, sat(0));
    let rail = book.ledger.intent(id).await.unwrap().unwrap().rail.clone();
    let rail: &'static str = Box::leak(rail.into_boxed_str());
    let settled = book.ledger.settled_on(rail, 0, None).await.unwrap();
    assert_eq!(settled.iter().map(|posted| posted.intent.purchase).collect::<Vec<_>>(), [id]);
    assert!(book.ledger.settled_on("permit2", 0, None).await.unwrap().is_empty());
    book.is_sound().await;
}
