//! What a relay remembers.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use nostr::prelude::{Event, Filter, MatchEventOptions, PublicKey};

use super::{INFO, RESPONSE};

/// The most events kept at once; the oldest go first.
const MOST: usize = 4096;

/// How many replies are remembered for replaying.
const REPLIES: usize = 4;

/// Stored events: the newest info event of each author, and the others for a while.
#[derive(Debug, Default)]
pub(super) struct Store {
    infos: HashMap<PublicKey, Event>,
    kept: VecDeque<(u64, Event)>,
    replies: VecDeque<Event>,
}

impl Store {
    /// Takes an event in for `keep`; `false` when it is held already or is older than what replaces it.
    pub(super) fn insert(&mut self, event: &Event, now_ms: u64, keep: Duration) -> bool {
        let kind = event.kind.as_u16();
        if kind == INFO {
            let newer = |held: &Event| (event.created_at, held.id) > (held.created_at, event.id);
            let fresh = self.infos.get(&event.pubkey).is_none_or(newer);
            if fresh {
                self.infos.insert(event.pubkey, event.clone());
            }
            return fresh;
        }
        self.forget(now_ms);
        if self.kept.iter().any(|(_, held)| held.id == event.id) {
            return false;
        }
        if kind == RESPONSE {
            self.replies.push_back(event.clone());
            while self.replies.len() > REPLIES {
                self.replies.pop_front();
            }
        }
        if !keep.is_zero() {
            let until = now_ms.saturating_add(u64::try_from(keep.as_millis()).unwrap_or(u64::MAX));
            self.kept.push_back((until, event.clone()));
            while self.kept.len() > MOST {
                self.kept.pop_front();
            }
        }
        true
    }

    /// The stored events that any of the filters asks for, newest first, each once.
    pub(super) fn matching(&mut self, filters: &[Filter], now_ms: u64) -> Vec<Event> {
        self.forget(now_ms);
        let mut found: Vec<Event> = Vec::new();
        for filter in filters {
            let held = self.infos.values().chain(self.kept.iter().map(|(_, e)| e));
            let mut hits: Vec<&Event> = held.filter(|e| filter.match_event(e, MatchEventOptions::new())).collect();
            // An event's own order is newest first.
            hits.sort();
            hits.truncate(filter.limit.unwrap_or(usize::MAX));
            found.extend(hits.into_iter().cloned());
        }
        found.sort();
        found.dedup_by_key(|e| e.id);
        found
    }

    /// The last replies, oldest first.
    pub(super) fn replies(&self) -> &VecDeque<Event> {
        &self.replies
    }

    fn forget(&mut self, now_ms: u64) {
        self.kept.retain(|(until, _)| *until > now_ms);
    }
}

/// Whether NIP-40 says that its time is over.
pub(super) fn expired(event: &Event, now_s: u64) -> bool {
    event.tags.expiration().is_some_and(|at| at.as_secs() <= now_s)
}

/// The acknowledgement of an event.
pub(super) fn ok(event: &Event, accepted: bool, word: &str) -> String {
    serde_json::json!(["OK", event.id.to_hex(), accepted, word]).to_string()
}
