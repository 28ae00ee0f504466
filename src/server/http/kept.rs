//! What stays in memory of answers that were given: one whose stream broke can be asked for again for a few seconds, and
//! whoever reads large answers fast must not fill the memory with them.

use std::{
    collections::VecDeque,
    io,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use serde::Serialize;
use tokio::time::Instant;

use super::caps;

/// Until an answer has surely been let go of: it may be kept at the end of a session's use, when it is looked at once more.
pub(super) const LET_GO: Duration = Duration::from_secs(2 * caps::AGAIN.as_secs() + caps::TOKENS_AGAIN.as_secs());

/// The answers of one agent that are still in memory.
pub(crate) struct Kept {
    most: usize,
    given: Mutex<Given>,
    /// Whoever waits for room does so in turn.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Given {
    answers: VecDeque<(Instant, usize)>,
    bytes: usize,
}

impl Kept {
    pub(super) fn new() -> Kept {
        Kept { most: caps::KEPT, given: Mutex::default(), turn: tokio::sync::Mutex::default() }
    }

    /// Waits until an answer of this size has room beside those that are still kept. One that is larger than all the room
    /// there is waits for all of it.
    pub(crate) async fn room_for(&self, bytes: usize) {
        let _turn = self.turn.lock().await;
        while let Some(oldest) = self.full_until(bytes) {
            tokio::time::sleep_until(oldest).await;
        }
    }

    /// When to look again; `None` when there was room, which is taken now.
    fn full_until(&self, bytes: usize) -> Option<Instant> {
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        while let Some((_, gone)) = given.answers.pop_front_if(|(until, _)| *until <= now) {
            given.bytes -= gone;
        }
        match given.answers.front() {
            Some((until, _)) if given.bytes + bytes > self.most => Some(*until),
            _ => {
                given.answers.push_back((now + LET_GO, bytes));
                given.bytes += bytes;
                None
            }
        }
    }
}

/// How many bytes something has as JSON.
pub(crate) fn bytes_of(answer: &impl Serialize) -> usize {
    struct Count(usize);
    impl io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    // What cannot be written as JSON is not sent either.
    let _ = serde_json::to_writer(&mut count, answer);
    count.0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Puts the clock of a runtime forward instead of waiting.
    fn later(kept: &Kept, by: Duration) {
        for (until, _) in &mut kept.given.lock().unwrap().answers {
            *until -= by;
        }
    }

    #[test]
    fn answers_beyond_the_room_wait_until_the_oldest_was_let_go_of() {
        let kept = Kept { most: 100, ..Kept::new() };
        assert!(kept.full_until(60).is_none() && kept.full_until(40).is_none());
        assert!(kept.full_until(1).is_some(), "there is no room");
        later(&kept, LET_GO);
        assert!(kept.full_until(100).is_none(), "both are gone");
        assert!(kept.full_until(1).is_some());
        later(&kept, LET_GO / 2);
        assert!(kept.full_until(1).is_some(), "not yet");
    }

    #[test]
    fn an_answer_larger_than_the_room_has_all_of_it() {
        let kept = Kept { most: 100, ..Kept::new() };
        assert!(kept.full_until(500).is_none());
        assert!(kept.full_until(1).is_some());
        assert_eq!(bytes_of(&serde_json::json!({ "a": [1, "\n"] })), "{\"a\":[1,\"\\n\"]}".len());
    }
}
