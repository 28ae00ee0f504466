//! Which stored answers are let go of, and whose.

use bursar::ledger::{Ledger, StoredResult};

use crate::book::{Book, NOON_ISH, Wish, answer, limits, sat};

const MIB: u64 = 1024 * 1024;

async fn free(ledger: &Ledger, principal: &str, n: u64, size: u64) -> String {
    let result_id = format!("r_{n:026}");
    let row = StoredResult { result_id: result_id.clone(), size, ..answer_at(n) };
    ledger.keep_free_result(principal, "", row).await.unwrap();
    result_id
}

fn answer_at(n: u64) -> StoredResult {
    answer(bursar::ledger::PurchaseId::random(), NOON_ISH + n)
}

/// A purchase with an answer of this size; `handed` says whether somebody got it.
async fn paid(book: &Book, principal: &str, at: u64, size: u64, handed: bool) -> String {
    let id = book.bought(&Wish::of(sat(1)).by(principal)).await;
    book.paid(id, sat(1), None).await;
    book.ledger.delivered(id, StoredResult { size, ..answer(id, NOON_ISH + at) }).await.unwrap();
    if handed {
        book.ledger.answered(id).await.unwrap();
    }
    id.to_string()
}

fn book() -> Book {
    Book::new(limits(1_000, 100_000, 100_000))
}

#[tokio::test]
async fn what_one_agent_keeps_costs_no_other_its_answers() {
    let book = book();
    let hers = paid(&book, "ann", 0, MIB, true).await;
    let her_free = free(&book.ledger, "ann", 1, MIB).await;
    for n in 10..20 {
        free(&book.ledger, "bob", n, 100 * MIB).await;
    }
    let gone = book.ledger.prune_results().await.unwrap();
    assert!(!gone.contains(&hers) && !gone.contains(&her_free), "{gone:?}");
    // The control: his own are beyond what one agent may keep, the oldest first.
    assert_eq!(gone.len(), 8, "{gone:?}");
    assert!((10..18).all(|n| gone.contains(&format!("r_{n:026}"))), "{gone:?}");
}

#[tokio::test]
async fn an_answer_that_was_paid_for_and_not_handed_over_stays_however_much_there_is() {
    let book = book();
    let unread = paid(&book, "ann", 0, 200 * MIB, false).await;
    let read = paid(&book, "ann", 1, 200 * MIB, true).await;
    for n in 10..13 {
        paid(&book, "ann", n, 100 * MIB, true).await;
    }
    let gone = book.ledger.prune_results().await.unwrap();
    assert!(!gone.contains(&unread), "{gone:?}");
    assert!(gone.contains(&read), "the control: one that was handed over goes: {gone:?}");
    // Seven days are the end of it all the same.
    book.clock.advance_ms((7 * 24 * 3600 + 1) * 1000);
    assert!(book.ledger.prune_results().await.unwrap().contains(&unread));
}

#[tokio::test]
async fn what_was_free_goes_before_what_was_paid_for_and_the_newest_stays() {
    let book = book();
    let old = paid(&book, "ann", 0, 100 * MIB, true).await;
    let old_free = free(&book.ledger, "ann", 1, 100 * MIB).await;
    let newer = paid(&book, "ann", 2, 100 * MIB, true).await;
    let newest = free(&book.ledger, "ann", 3, 50 * MIB).await;
    assert_eq!(book.ledger.prune_results().await.unwrap(), [old_free]);
    for kept in [old, newer, newest] {
        assert_eq!(book.ledger.result("ann", &kept).await.unwrap().unwrap().gone_ms, None, "{kept}");
    }
}
