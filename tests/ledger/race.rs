//! The last room of a budget goes to exactly as many as fit, whoever races for it.

use std::{
    path::Path,
    process::{Command, Stdio},
    sync::{Arc, Barrier},
    thread,
    time::Duration,
};

use bursar::{
    clock::Clock,
    config::LimitTable,
    ledger::{Begun, Ledger},
};

use super::book::*;

const HOME: &str = "BURSAR_TEST_RACE_HOME";
/// Room for 31 purchases of 1 sat and 250 msat for the fee, and a rest that fits none.
const FITS: usize = 31;

fn room() -> LimitTable {
    limits_with(limits(100, 1000, 1000), None, Some(39))
}

/// Buys until there is no room, and says how often it was granted. Each purchase is in a session of its own half of the
/// time, so that several budgets are raced for.
fn race(home: &Path, clock: &Clock, who: usize) -> usize {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let ledger = Ledger::open(home, room(), clock.clone()).unwrap();
    runtime.block_on(async {
        let mut granted = 0;
        loop {
            let wish = Wish {
                session_key: format!("{}", (who + granted) % 2),
                ..Wish::of(sat(1)).fee(msat(250)).at(&format!("host{who}.example"))
            };
            let (new, intent) = wish.parts();
            match ledger.begin(new, intent, false).await {
                Ok(Begun::Committed(_)) => granted += 1,
                Ok(Begun::NoRoom(_)) => return granted,
                Ok(other) => panic!("{other:?}"),
                Err(e) => panic!("{who} was not served: {e}"),
            }
        }
    })
}

fn assert_exact(book: &Book, granted: usize) {
    assert_eq!(granted, FITS);
    let (_, reserved, ..) = book.windows().into_iter().find(|(scope, ..)| scope == "total/").unwrap();
    assert_eq!(reserved, FITS as i64 * 1250);
    let held: i64 = book.raw().query_row("SELECT count(*) FROM purchase", [], |r| r.get(0)).unwrap();
    assert_eq!(held, FITS as i64);
}

#[tokio::test]
async fn eight_threads_with_a_handle_each_get_exactly_the_room_there_is() {
    let book = Book::new(room());
    let start = Arc::new(Barrier::new(8));
    let racers: Vec<_> = (0..8)
        .map(|who| {
            let (home, clock, start) = (book.home.path().to_owned(), book.clock.clone(), start.clone());
            thread::spawn(move || {
                start.wait();
                race(&home, &clock, who)
            })
        })
        .collect();
    let granted = racers.into_iter().map(|r| r.join().unwrap()).sum();
    assert_exact(&book, granted);
    book.is_sound().await;
}

#[tokio::test]
async fn sixty_four_tasks_of_one_handle_share_commits_and_get_exactly_the_room_there_is() {
    let book = Book::new(room());
    let tasks: Vec<_> = (0..64)
        .map(|_| {
            let ledger = book.ledger.clone();
            let (new, intent) = Wish::of(sat(1)).fee(msat(250)).parts();
            tokio::spawn(async move { matches!(ledger.begin(new, intent, false).await.unwrap(), Begun::Committed(_)) })
        })
        .collect();
    let mut granted = 0;
    for task in tasks {
        granted += usize::from(task.await.unwrap());
    }
    assert_exact(&book, granted);
    book.is_sound().await;
}

#[tokio::test]
async fn sixty_four_equal_calls_make_one_purchase() {
    let book = Book::new(room());
    let wish = Wish::of(sat(1));
    let tasks: Vec<_> = (0..64)
        .map(|_| {
            let ledger = book.ledger.clone();
            let (new, intent) = wish.again().parts();
            tokio::spawn(async move { matches!(ledger.begin(new, intent, false).await.unwrap(), Begun::Committed(_)) })
        })
        .collect();
    let mut granted = 0;
    for task in tasks {
        granted += usize::from(task.await.unwrap());
    }
    assert_eq!(granted, 1);
    book.is_sound().await;
}

#[tokio::test]
async fn four_processes_with_two_handles_each_get_exactly_the_room_there_is() {
    let book = Book::new(room());
    let me = std::env::current_exe().unwrap();
    let children: Vec<_> = (0..4)
        .map(|_| {
            Command::new(&me)
                .args(["--exact", "race::a_process_that_races", "--ignored", "--nocapture"])
                .env(HOME, book.home.path())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    thread::sleep(Duration::from_millis(200));
    std::fs::write(book.home.path().join("go"), "").unwrap();
    let mut granted = 0;
    for child in children {
        let out = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&out.stdout).into_owned();
        assert!(out.status.success(), "{said}");
        let (_, count) = said.split_once("granted=").unwrap();
        granted += count.split_whitespace().next().unwrap().parse::<usize>().unwrap();
    }
    assert_exact(&book, granted);
    book.is_sound().await;
}

#[test]
#[ignore = "started by the test above, in processes of its own"]
fn a_process_that_races() {
    let Some(home) = std::env::var_os(HOME).map(std::path::PathBuf::from) else { return };
    while !home.join("go").exists() {
        thread::sleep(Duration::from_millis(1));
    }
    let clock = Clock::manual(NOON_ISH);
    let racers: Vec<_> = (0..2)
        .map(|n| {
            let (home, clock) = (home.clone(), clock.clone());
            thread::spawn(move || race(&home, &clock, std::process::id() as usize * 2 + n))
        })
        .collect();
    let granted: usize = racers.into_iter().map(|r| r.join().unwrap()).sum();
    println!("granted={granted} ");
}
