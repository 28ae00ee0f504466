//! A small Nostr relay (NIP-01, NIP-40, NIP-42) that can be told to be a bad one.

mod link;
mod mischief;
mod store;

use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use nostr::prelude::{Event, Filter, MatchEventOptions, PublicKey};
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};

use self::store::Store;
use super::{SandboxError, listen, lock};
use crate::clock::Clock;

/// A NIP-47 info event.
const INFO: u16 = 13_194;
/// A NIP-47 request.
const REQUEST: u16 = 23_194;
/// A NIP-47 response.
const RESPONSE: u16 = 23_195;

/// How a relay behaves. All but `Honest` exist, or could be run by an attacker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RelayMode {
    /// As NIP-01 says.
    #[default]
    Honest,
    /// Withholds the wallet's info event.
    NoInfo,
    /// Never says that stored events are over.
    NoEose,
    /// Never acknowledges an event.
    NoOk,
    /// Says `OK false` to each request.
    OkFalse {
        /// Whether it passes the request on all the same.
        forward: bool,
    },
    /// Says `OK false` and `rate-limited:` to each request, and passes none on.
    RateLimits,
    /// Takes everything and says and forwards nothing.
    Silent,
    /// Accepts connections, and reads and answers nothing on them, not even pings. Those that stand fall deaf with the next
    /// message; none hears again.
    Deaf,
    /// Delivers each reply twice.
    Duplicate,
    /// Holds a reply back until the next one overtook it, or for 150 ms.
    Reorder,
    /// Closes the socket without a word when a request arrives.
    DropOnRequest {
        /// Whether it passes the request on first.
        forward: bool,
    },
    /// Delivers the last replies, to other requests, before each true one, whatever the filter asked for.
    ReplayOld,
    /// Delivers a reply signed by a stranger before each true one.
    ForgeFirst,
    /// Changes each reply's content and leaves its id and signature.
    TamperReplies,
    /// Removes the encryption tag from the info event and leaves its id and signature.
    TamperInfo,
}

/// A relay's settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RelayOptions {
    /// How long request and reply events (kinds 2xxxx) are kept; zero treats them as ephemeral.
    pub keep: Duration,
    /// Whether NIP-40 expiration is honoured: an expired event is refused and no longer delivered.
    pub honour_expiration: bool,
    /// How many sockets it holds open; more are closed at once.
    pub max_connections: usize,
    /// The longest message it reads, in bytes.
    pub max_message: usize,
    /// Whether it serves nobody who has not said who they are (NIP-42).
    pub demands_auth: bool,
    /// How far from its own clock an event's stamp may be (NIP-22); `None` takes any.
    pub most_skew: Option<Duration>,
}

impl Default for RelayOptions {
    fn default() -> RelayOptions {
        RelayOptions {
            keep: Duration::from_secs(300),
            honour_expiration: false,
            max_connections: 64,
            max_message: 512 * 1024,
            demands_auth: false,
            most_skew: None,
        }
    }
}

/// A relay on loopback. Dropping it closes every socket.
#[derive(Debug)]
pub struct Relay {
    url: String,
    shared: Arc<Shared>,
    _stop: DropGuard,
}

#[derive(Debug)]
struct Shared {
    url: String,
    options: RelayOptions,
    clock: Clock,
    stop: CancellationToken,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    mode: RelayMode,
    store: Store,
    connections: HashMap<u64, Connection>,
    accepted: u64,
    published: HashMap<u16, usize>,
    identified: Vec<PublicKey>,
    turned_away: usize,
}

#[derive(Debug)]
struct Connection {
    /// What is to be signed, and by whom it was.
    challenge: String,
    known_as: Option<PublicKey>,
    outbox: mpsc::Sender<String>,
    subscriptions: BTreeMap<String, Vec<Filter>>,
    held_back: Option<String>,
}

impl Relay {
    /// Listens on a loopback address; port 0 takes a free one.
    ///
    /// # Errors
    /// [`SandboxError::Bind`].
    pub async fn start(at: SocketAddr, clock: Clock, options: RelayOptions) -> Result<Relay, SandboxError> {
        let (listener, bound) = listen::bind(at).await?;
        let stop = CancellationToken::new();
        let state = Mutex::new(State::default());
        let url = format!("ws://{bound}");
        let shared = Arc::new(Shared { url: url.clone(), options, clock, stop: stop.clone(), state });
        tokio::spawn(stop.clone().run_until_cancelled_owned(link::accept(listener, shared.clone())));
        Ok(Relay { url, shared, _stop: stop.drop_guard() })
    }

    /// Its address: `ws://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// Changes its manners, for every connection, from the next message on.
    pub fn set_mode(&self, mode: RelayMode) {
        lock(&self.shared.state).mode = mode;
    }

    /// How many sockets are open, the wallet's own among them.
    pub fn connections(&self) -> usize {
        lock(&self.shared.state).connections.len()
    }

    /// How many sockets it has accepted since it started.
    pub fn accepted(&self) -> u64 {
        lock(&self.shared.state).accepted
    }

    /// How many subscriptions are open, the wallet's own among them.
    pub fn subscriptions(&self) -> usize {
        lock(&self.shared.state).connections.values().map(|c| c.subscriptions.len()).sum()
    }

    /// How many `EVENT` messages of a kind arrived with a valid signature, repeats included.
    pub fn published(&self, kind: u16) -> usize {
        lock(&self.shared.state).published.get(&kind).copied().unwrap_or(0)
    }

    /// The keys that said who they are, once a connection, in order; the wallet's own among them.
    pub fn identified(&self) -> Vec<String> {
        lock(&self.shared.state).identified.iter().map(PublicKey::to_hex).collect()
    }

    /// How many messages it turned away because it did not know who sent them.
    pub fn turned_away(&self) -> usize {
        lock(&self.shared.state).turned_away
    }

    /// Closes every socket now, as a restart of the relay does. What it stored stays.
    pub fn disconnect_all(&self) {
        lock(&self.shared.state).connections.clear();
    }
}

/// What the socket a message came from is to see next.
#[derive(Debug, PartialEq, Eq)]
enum Then {
    Stay,
    Close,
}

/// How a refusal begins that only says "who are you?".
const WHO: &str = "auth-required: say who you are first";

impl Shared {
    fn is_deaf(&self) -> bool {
        lock(&self.state).mode == RelayMode::Deaf
    }

    /// Whether a connection is served.
    fn knows(&self, from: u64) -> bool {
        if !self.options.demands_auth {
            return true;
        }
        let state = &mut *lock(&self.state);
        let known = state.connections.get(&from).is_some_and(|c| c.known_as.is_some());
        state.turned_away += usize::from(!known);
        known
    }

    /// Checks who a connection says it is: the challenge of this very connection, for this very relay.
    fn identify(&self, from: u64, event: &Event) {
        let tag =
            |name: &str| event.tags.iter().find(|t| t.kind() == name).and_then(|t| t.content()).unwrap_or_default();
        let here = tag("relay").trim_end_matches('/') == self.url;
        let now = self.clock.now_s();
        let fresh = event.created_at.as_secs().abs_diff(now) <= 600;
        let state = &mut *lock(&self.state);
        let Some(connection) = state.connections.get_mut(&from) else { return };
        let bound = event.kind.as_u16() == 22_242 && here && fresh && tag("challenge") == connection.challenge;
        if bound && event.verify().is_ok() {
            connection.known_as = Some(event.pubkey);
            state.identified.push(event.pubkey);
            state.tell(from, store::ok(event, true, ""));
        } else {
            state.tell(from, store::ok(event, false, "restricted: not for this connection"));
        }
    }

    /// Takes a verified event in: counts it, keeps it, passes it on and answers its sender.
    fn publish(self: &Arc<Self>, from: u64, event: &Event) -> Then {
        let kind = event.kind.as_u16();
        let now_ms = self.clock.now_ms();
        let state = &mut *lock(&self.state);
        *state.published.entry(kind).or_default() += 1;
        let (mut then, mut accepted) = (Then::Stay, true);
        let mut forward = true;
        match state.mode {
            RelayMode::Silent => return Then::Stay,
            RelayMode::OkFalse { forward: f } if kind == REQUEST => (accepted, forward) = (false, f),
            RelayMode::DropOnRequest { forward: f } if kind == REQUEST => (then, forward) = (Then::Close, f),
            RelayMode::RateLimits if kind == REQUEST => (accepted, forward) = (false, false),
            _ => {}
        }
        let skew = event.created_at.as_secs().abs_diff(now_ms / 1000);
        if self.options.most_skew.is_some_and(|most| skew > most.as_secs()) {
            state.tell(from, store::ok(event, false, "invalid: the event's created_at is too far off"));
            return then;
        }
        if self.options.honour_expiration && store::expired(event, now_ms / 1000) {
            state.tell(from, store::ok(event, false, "invalid: the event has expired"));
            return then;
        }
        let fresh = forward && state.store.insert(event, now_ms, self.options.keep);
        if then == Then::Stay && state.mode != RelayMode::NoOk {
            let word = match (accepted, fresh) {
                (false, _) if state.mode == RelayMode::RateLimits => "rate-limited: slow down",
                (false, _) => "blocked: this relay does not want it",
                (true, true) => "",
                (true, false) => "duplicate: already have this event",
            };
            state.tell(from, store::ok(event, accepted, word));
        }
        if fresh {
            self.forward(state, event);
        }
        then
    }

    fn forward(self: &Arc<Self>, state: &mut State, event: &Event) {
        let mut due = Vec::new();
        for (id, connection) in &state.connections {
            for (name, filters) in &connection.subscriptions {
                if filters.iter().any(|f| f.match_event(event, MatchEventOptions::new())) {
                    due.push((*id, name.clone()));
                }
            }
        }
        for (id, name) in due {
            self.deliver(state, id, &name, event);
        }
    }

    /// Delivers one event to one subscription, in the manner the mode asks for.
    fn deliver(self: &Arc<Self>, state: &mut State, to: u64, subscription: &str, event: &Event) {
        let frames = mischief::frames(state.mode, subscription, event, state.store.replies());
        if state.mode == RelayMode::Reorder && event.kind.as_u16() == RESPONSE {
            let Some(connection) = state.connections.get_mut(&to) else { return };
            match connection.held_back.take() {
                Some(earlier) => frames.into_iter().chain([earlier]).for_each(|f| state.tell(to, f)),
                None => {
                    connection.held_back = frames.into_iter().next();
                    let shared = self.clone();
                    tokio::spawn(self.stop.clone().run_until_cancelled_owned(async move {
                        tokio::time::sleep(Duration::from_millis(150)).await;
                        let state = &mut *lock(&shared.state);
                        let held = state.connections.get_mut(&to).and_then(|c| c.held_back.take());
                        if let Some(frame) = held {
                            state.tell(to, frame);
                        }
                    }));
                }
            }
            return;
        }
        for frame in frames {
            state.tell(to, frame);
        }
    }

    /// Opens (or replaces) a subscription: stored events, newest first, then the end mark, then what comes.
    fn subscribe(self: &Arc<Self>, from: u64, name: &str, filters: Vec<Filter>) {
        let now_ms = self.clock.now_ms();
        let state = &mut *lock(&self.state);
        if state.mode == RelayMode::Silent {
            return;
        }
        let mut stored = state.store.matching(&filters, now_ms);
        if self.options.honour_expiration {
            stored.retain(|e| !store::expired(e, now_ms / 1000));
        }
        if let Some(connection) = state.connections.get_mut(&from) {
            connection.subscriptions.insert(name.to_owned(), filters);
        }
        for event in stored {
            self.deliver(state, from, name, &event);
        }
        if state.mode != RelayMode::NoEose {
            state.tell(from, serde_json::json!(["EOSE", name]).to_string());
        }
    }
}

impl State {
    /// Queues a frame; a client that does not read is cut off rather than waited for.
    fn tell(&mut self, to: u64, frame: String) {
        if self.mode == RelayMode::Silent {
            return;
        }
        if self.connections.get(&to).is_some_and(|c| c.outbox.try_send(frame).is_err()) {
            self.connections.remove(&to);
        }
    }
}
