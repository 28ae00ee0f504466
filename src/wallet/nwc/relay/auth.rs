//! Telling a relay who we are (NIP-42), once a connection.
//!
//! What a relay refused until it knew us is asked again; one that has done so before is asked nothing on a new connection
//! until it has been told.

use nostr::{
    event::{EventBuilder, FinalizeEvent, Kind, Tag},
    types::Timestamp,
};
use tokio::time::Instant;

use super::{Heard, Keeper, Talk};
use crate::wallet::nwc::frame::Frame;

/// How a relay begins a refusal when it first wants to know who we are.
const UNKNOWN_CALLER: &str = "auth-required:";

/// The kind of the event that answers a relay's challenge.
const AUTH: Kind = Kind::Custom(22242);

/// How far a connection has come in telling its relay who we are.
#[derive(PartialEq, Eq)]
pub(super) enum Auth {
    /// It has not asked.
    Unasked,
    /// It has asked, with this challenge.
    Owed(String),
    /// It was told, in the event with this id.
    Told(String),
    /// It has taken it, or refused it, or never said anything to it.
    Over,
}

impl Auth {
    /// Whether a refusal in these words may be another answer once the relay knows us.
    pub(super) fn defers(&self, why: &str) -> bool {
        why.starts_with(UNKNOWN_CALLER) && *self != Auth::Over
    }
}

impl Keeper {
    /// The frame that tells the relay who we are, where it has asked and was not told.
    pub(super) fn introduce(&self, talk: &mut Talk) -> Option<String> {
        let Auth::Owed(challenge) = &talk.auth else { return None };
        let identity = self.identity(challenge);
        let (auth, frame) = match identity {
            Some((id, frame)) => (Auth::Told(id), Some(frame)),
            None => (Auth::Over, None),
        };
        talk.auth = auth;
        frame
    }

    /// The answer to a challenge: its id and its frame. It names this relay, so that it is of no use at another.
    fn identity(&self, challenge: &str) -> Option<(String, String)> {
        let event = EventBuilder::new(AUTH, "")
            .tags([Tag::custom("relay", [self.url.as_str()]), Tag::custom("challenge", [challenge])])
            .custom_created_at(Timestamp::from_secs(self.clock.now_s()))
            .finalize(&self.us)
            .ok()?;
        Some((event.id.to_hex(), Frame::authenticate(&event.try_as_json().ok()?)))
    }

    /// Asks nothing more until the relay has been told who we are, or does not care to be.
    pub(super) fn hold(&mut self, talk: &mut Talk) {
        self.wants_auth = true;
        let until = Instant::now() + self.pace.answer_within;
        talk.held.get_or_insert(until);
    }

    /// Goes on after the relay was told who we are (`taken`), or did not want to know. What it refused before is asked
    /// again in the first case, and refused in the second.
    pub(super) fn identified(&mut self, talk: &mut Talk, taken: bool) {
        (talk.auth, talk.held) = (Auth::Over, None);
        for waiting in self.open.values_mut() {
            if let Some(why) = waiting.deferred.take().filter(|_| !taken) {
                waiting.due = [false; 2];
                waiting.tell_once(2, Heard::Refused(why));
            }
        }
    }
}
