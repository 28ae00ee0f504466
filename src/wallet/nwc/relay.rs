//! A link to one relay: one connection, made when first needed and kept warm, for all exchanges at once.
//!
//! ```text
//!             an exchange opens             connected
//!   resting ───────────────────► connecting ─────────► serving ──┐ lost, or deaf
//!      ▲                          │    ▲                 │       │
//!      │   no exchange is open    │    └─ backing off ◄──┼───────┘ while exchanges are open
//!      └──────────────────────────┴──────────────────────┘
//! ```
//!
//! A new connection subscribes for every open exchange again and publishes its event again, the same bytes, as long as
//! these may be sent. Nothing waits for a relay's `OK` or `EOSE`: some relays never send them. Whatever is to be said at
//! one time leaves in one flush.
//!
//! Replies are subscribed for twice: once a connection, by our key, and once a request, by its id. Some wallets write
//! replies without our key, and some relays do not find events by the id of another.
//!
//! A relay that wants to know who asks is told: `auth`.

mod auth;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use futures_util::{SinkExt, StreamExt};
use nostr::{
    event::{Event, EventId},
    key::{Keys, PublicKey},
};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until, timeout},
};
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{Bytes, Message, client::IntoClientRequest, http::HeaderValue, protocol::WebSocketConfig},
};
use url::Url;

use self::auth::Auth;
use super::{
    Pace, REPLY,
    dial::{Dial, Wire},
    exchange::Ask,
    frame::{Frame, Wanted},
};
use crate::clock::Clock;

/// The largest frame and message that is read, in bytes.
const LARGEST: usize = 512 << 10;

/// How often one relay gets the same event: a relay that keeps hanging up will not take the next one either.
const MOST_SENDS: u32 = 4;

/// How many authentic events one relay may deliver to one exchange: the wallet sends one, a replay is dropped. More
/// where no request is answered: a busy wallet tells of all its payments.
const MOST_EVENTS: [usize; 2] = [16, 64];

/// How many events that fail the check a connection may deliver before it is given up: each check costs a signature.
const MOST_FORGED: u32 = 1000;

type Socket = WebSocketStream<Box<dyn Wire>>;

/// Something that a relay did for an exchange.
pub(super) struct News {
    /// The relay's number.
    pub relay: usize,
    /// What it did.
    pub heard: Heard,
}

/// What a relay did.
pub(super) enum Heard {
    /// It delivered an event that passed the check.
    Event(Box<Event>),
    /// It has delivered all that it had stored.
    Stored,
    /// It took the published event.
    Taken,
    /// It refused the published event or the subscription, in its own words.
    Refused(String),
    /// It could not be reached, or the connection was lost.
    Lost,
}

/// An open exchange, as one link sees it.
pub(super) struct Waiting {
    ask: Arc<Ask>,
    relay: usize,
    news: mpsc::UnboundedSender<News>,
    sends: u32,
    seen: Vec<EventId>,
    /// Whether this connection has said `EOSE`, `OK`, `CLOSED` already: each is passed on once, so that a relay that
    /// repeats itself fills no memory.
    said: [bool; 3],
    /// What this connection has yet to be sent: the subscription, the event.
    due: [bool; 2],
    /// Why the relay refused until it knows who we are.
    deferred: Option<String>,
}

impl Waiting {
    /// An exchange that relay number `relay` is to serve.
    pub fn new(ask: Arc<Ask>, relay: usize, news: mpsc::UnboundedSender<News>) -> Waiting {
        Waiting { ask, relay, news, sends: 0, seen: Vec::new(), said: [false; 3], due: [true; 2], deferred: None }
    }

    fn tell(&self, heard: Heard) {
        // Nobody listens any more when the exchange has just ended.
        let _ = self.news.send(News { relay: self.relay, heard });
    }

    fn tell_once(&mut self, what: usize, heard: Heard) {
        if !std::mem::replace(&mut self.said[what], true) {
            self.tell(heard);
        }
    }

    /// Passes on an event, once. `false` when it is not what it must be.
    fn deliver(&mut self, event: Box<Event>) -> bool {
        let most = MOST_EVENTS[usize::from(self.ask.wanted.answers.is_none())];
        if self.seen.len() >= most || self.seen.contains(&event.id) {
            return true;
        }
        if !self.ask.wanted.admits(&event) {
            return false;
        }
        self.seen.push(event.id);
        self.tell(Heard::Event(event));
        true
    }
}

/// Who speaks with whom.
#[derive(Clone)]
pub(super) struct Parties {
    /// Our own key pair.
    pub us: Keys,
    /// The wallet; `None` while it is still to be found out.
    pub wallet: Option<PublicKey>,
}

enum Command {
    Open(Waiting),
    Close(String),
}

/// The handle of one link. Its task starts with the first exchange and ends with the handle.
pub(super) struct Link {
    url: Url,
    parties: Parties,
    dial: Arc<dyn Dial>,
    clock: Clock,
    pace: Pace,
    task: Mutex<Option<mpsc::UnboundedSender<Command>>>,
}

impl Link {
    /// A link that has not connected yet.
    pub fn new(url: Url, parties: Parties, dial: Arc<dyn Dial>, clock: Clock, pace: Pace) -> Link {
        Link { url, parties, dial, clock, pace, task: Mutex::new(None) }
    }

    /// Serves an exchange until it is closed. Must be called within a tokio runtime.
    pub fn open(&self, waiting: Waiting) {
        let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        // The number of open exchanges is bounded, and with it the number of commands.
        let sender = match task.as_ref() {
            Some(sender) if !sender.is_closed() => sender.clone(),
            _ => {
                let (sender, commands) = mpsc::unbounded_channel();
                let replies = Wanted {
                    author: self.parties.wallet,
                    kind: REPLY,
                    answers: None,
                    reader: Some(self.parties.us.public_key()),
                    // Clocks differ, so there is no `since`; but what is stored is told by a request's own subscription.
                    stored: Some(1),
                };
                let standing = data_encoding::HEXLOWER.encode(&crate::random::<8>());
                let keeper = Keeper {
                    url: self.url.clone(),
                    us: self.parties.us.clone(),
                    subscribe: Frame::subscribe(&standing, &replies),
                    standing,
                    wants_auth: false,
                    dial: self.dial.clone(),
                    clock: self.clock.clone(),
                    pace: self.pace,
                    commands,
                    open: HashMap::new(),
                };
                tokio::spawn(keeper.run());
                task.insert(sender).clone()
            }
        };
        let _ = sender.send(Command::Open(waiting));
    }

    /// Ends an exchange's subscription.
    pub fn close(&self, sub: &str) {
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = task.as_ref() {
            let _ = sender.send(Command::Close(sub.to_owned()));
        }
    }
}

/// Why serving a connection ended.
enum End {
    /// The handle is gone.
    Gone,
    /// The connection is lost; whether anything was heard on it.
    Lost { heard: bool },
}

/// The task behind a link.
struct Keeper {
    url: Url,
    us: Keys,
    /// The id of the subscription for all replies to us, and the frame that makes it.
    standing: String,
    subscribe: String,
    /// Whether this relay ever refused something until it knew who we are.
    wants_auth: bool,
    dial: Arc<dyn Dial>,
    clock: Clock,
    pace: Pace,
    commands: mpsc::UnboundedReceiver<Command>,
    open: HashMap<String, Waiting>,
}

/// What one connection has come to.
struct Talk {
    auth: Auth,
    /// Whether the standing subscription has yet to be made.
    standing: bool,
    /// Until when nothing is asked, since the relay first wants to know who we are.
    held: Option<Instant>,
    closing: Vec<String>,
}

/// What a frame from the relay leads to.
#[derive(PartialEq, Eq)]
enum Then {
    /// Nothing.
    Go,
    /// There is something to send.
    Send,
    /// It delivered an event that is not what it must be.
    Forged,
}

impl Keeper {
    async fn run(mut self) {
        let mut failures: u32 = 0;
        loop {
            if self.open.is_empty() {
                // Whoever asks next gets an attempt at once.
                failures = 0;
            }
            while self.open.is_empty() {
                match self.commands.recv().await {
                    Some(command) => self.note(command),
                    None => return,
                }
            }
            if failures > 0 {
                let Some(()) = self.back_off(failures).await else { return };
                if self.open.is_empty() {
                    continue;
                }
            }
            let socket = match self.connect().await {
                Some(Some(socket)) => socket,
                Some(None) => {
                    failures = failures.saturating_add(1);
                    self.lost();
                    continue;
                }
                None => return,
            };
            tracing::debug!("connected to a wallet relay");
            match self.serve(socket).await {
                End::Gone => return,
                // A relay that takes the connection and says nothing is no better than one that is down.
                End::Lost { heard } => failures = if heard { 1 } else { failures.saturating_add(1) },
            }
            tracing::debug!("lost the connection to a wallet relay");
            self.lost();
        }
    }

    /// Takes a command while there is no connection.
    fn note(&mut self, command: Command) {
        match command {
            Command::Open(waiting) => {
                self.open.insert(waiting.ask.sub.clone(), waiting);
            }
            Command::Close(sub) => {
                self.open.remove(&sub);
            }
        }
    }

    fn lost(&mut self) {
        for waiting in self.open.values_mut() {
            (waiting.said, waiting.due, waiting.deferred) = ([false; 3], [true; 2], None);
            waiting.tell(Heard::Lost);
        }
    }

    /// Waits before the next attempt, longer each time and never in step with others. A new exchange or the end of the
    /// last one cuts it short. `None` when the handle is gone.
    async fn back_off(&mut self, failures: u32) -> Option<()> {
        let base = self.pace.retry_from.saturating_mul(1 << (failures - 1).min(10)).min(self.pace.retry_to);
        let jitter = f64::from(crate::random::<1>()[0]) / 255.0;
        let until = Instant::now() + base.mul_f64(0.75 + jitter / 2.0);
        while !self.open.is_empty() {
            tokio::select! {
                () = sleep_until(until) => break,
                command = self.commands.recv() => {
                    let command = command?;
                    let opens = matches!(command, Command::Open(_));
                    self.note(command);
                    if opens {
                        break;
                    }
                }
            }
        }
        Some(())
    }

    /// One attempt. `None` when the handle is gone, `Some(None)` when it failed.
    async fn connect(&mut self) -> Option<Option<Socket>> {
        let (dial, url) = (self.dial.clone(), self.url.clone());
        let attempt = timeout(self.pace.connect_within, async move {
            let wire = dial.dial(&url).await.map_err(|error| tracing::debug!(kind = ?error.kind(), "no connection"))?;
            // Errors of the handshake may quote the URL, which may hold a token: they are dropped.
            let mut request = url.as_str().into_client_request().map_err(drop)?;
            let agent = HeaderValue::from_static(concat!("bursar/", env!("CARGO_PKG_VERSION")));
            request.headers_mut().insert("user-agent", agent);
            let config = WebSocketConfig::default()
                .read_buffer_size(16 << 10)
                .max_message_size(Some(LARGEST))
                .max_frame_size(Some(LARGEST));
            client_async_with_config(request, wire, Some(config)).await.map(|(socket, _)| socket).map_err(drop)
        });
        tokio::pin!(attempt);
        loop {
            tokio::select! {
                done = &mut attempt => return Some(done.ok().and_then(Result::ok)),
                command = self.commands.recv() => self.note(command?),
            }
        }
    }

    async fn serve(&mut self, mut socket: Socket) -> End {
        let mut heard = false;
        let (mut heard_at, mut asked_at) = (Instant::now(), None::<Instant>);
        let mut forged: u32 = 0;
        let held = self.wants_auth.then(|| Instant::now() + self.pace.grace);
        let mut talk = Talk { auth: Auth::Unasked, standing: true, held, closing: Vec::new() };
        if !self.send_due(&mut socket, &mut talk).await {
            return End::Lost { heard };
        }
        loop {
            // A silent connection is asked for a sign of life, but only while somebody waits. After a long rest this is
            // at once: a connection that died meanwhile is found out within `answer_within`.
            let alarm = match asked_at {
                Some(at) => at + self.pace.answer_within,
                None => heard_at + self.pace.ping_every,
            };
            let release = talk.held.unwrap_or(alarm);
            let then = tokio::select! {
                command = self.commands.recv() => {
                    let Some(command) = command else {
                        let _ = self.write(&mut socket, vec![Message::Close(None)]).await;
                        return End::Gone;
                    };
                    self.take(command, &mut talk);
                    // What is asked at the same time leaves together.
                    while let Ok(command) = self.commands.try_recv() {
                        self.take(command, &mut talk);
                    }
                    Then::Send
                }
                message = socket.next() => match message {
                    Some(Ok(Message::Text(text))) => {
                        (heard, heard_at, asked_at) = (true, Instant::now(), None);
                        self.hear(text.as_str(), &mut talk)
                    }
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return End::Lost { heard },
                    Some(Ok(_)) => {
                        (heard, heard_at, asked_at) = (true, Instant::now(), None);
                        Then::Go
                    }
                },
                () = sleep_until(release), if talk.held.is_some() => {
                    self.identified(&mut talk, false);
                    Then::Send
                }
                () = sleep_until(alarm), if !self.open.is_empty() => {
                    if asked_at.is_some() || !self.write(&mut socket, vec![Message::Ping(Bytes::new())]).await {
                        return End::Lost { heard: false };
                    }
                    asked_at = Some(Instant::now());
                    Then::Go
                }
            };
            match then {
                Then::Go => {}
                Then::Send => {
                    if !self.send_due(&mut socket, &mut talk).await {
                        return End::Lost { heard };
                    }
                }
                Then::Forged => {
                    forged += 1;
                    if forged > MOST_FORGED {
                        return End::Lost { heard: false };
                    }
                }
            }
        }
    }

    /// Takes a command while there is a connection.
    fn take(&mut self, command: Command, talk: &mut Talk) {
        match command {
            Command::Open(waiting) => {
                self.open.insert(waiting.ask.sub.clone(), waiting);
            }
            Command::Close(sub) => {
                // One that was never subscribed for need not be ended.
                if self.open.remove(&sub).is_some_and(|w| !w.due[0]) {
                    talk.closing.push(sub);
                }
            }
        }
    }

    /// Sends what this connection has yet to be sent, in one flush: subscriptions before events. `false` when that
    /// failed.
    async fn send_due(&mut self, socket: &mut Socket, talk: &mut Talk) -> bool {
        let closing = talk.closing.drain(..);
        let mut messages: Vec<Message> = closing.map(|sub| Message::text(Frame::unsubscribe(&sub))).collect();
        messages.extend(self.introduce(talk).map(Message::text));
        if talk.held.is_none() {
            if std::mem::take(&mut talk.standing) {
                messages.push(Message::text(self.subscribe.as_str()));
            }
            for waiting in self.open.values_mut() {
                if std::mem::take(&mut waiting.due[0]) {
                    messages.push(Message::text(waiting.ask.subscribe.as_str()));
                }
            }
            let now = self.clock.now_s();
            for waiting in self.open.values_mut() {
                if !std::mem::take(&mut waiting.due[1]) {
                    continue;
                }
                let ask = &waiting.ask;
                let Some(publish) = ask.publish.as_ref() else { continue };
                if now < publish.until && waiting.sends < MOST_SENDS && ask.sends.begin() {
                    messages.push(Message::text(publish.frame.as_str()));
                    waiting.sends += 1;
                }
            }
        }
        messages.is_empty() || self.write(socket, messages).await
    }

    async fn write(&self, socket: &mut Socket, messages: Vec<Message>) -> bool {
        let writing = async {
            for message in messages {
                socket.feed(message).await?;
            }
            socket.flush().await
        };
        matches!(timeout(self.pace.answer_within, writing).await, Ok(Ok(())))
    }

    /// Passes on what a relay says.
    fn hear(&mut self, text: &str, talk: &mut Talk) -> Then {
        match Frame::read(text) {
            Some(Frame::Event { sub, event }) => {
                let waiting = if sub == self.standing {
                    let mut answered = event.tags.event_ids();
                    answered.find_map(|id| self.open.values().find(|w| w.ask.wanted.answers == Some(id)))
                } else {
                    self.open.get(&sub)
                };
                let Some(sub) = waiting.map(|w| w.ask.sub.clone()) else { return Then::Go };
                let true_one = self.open.get_mut(&sub).is_none_or(|waiting| waiting.deliver(event));
                return if true_one { Then::Go } else { Then::Forged };
            }
            Some(Frame::Ok { event, taken, why }) => {
                if talk.auth == Auth::Told(event.clone()) {
                    self.identified(talk, taken);
                    return Then::Send;
                }
                let of = |w: &&mut Waiting| w.ask.publish.as_ref().is_some_and(|p| p.id == event);
                if let Some(waiting) = self.open.values_mut().find(of) {
                    if !taken && talk.auth.defers(&why) {
                        (waiting.due[1], waiting.deferred) = (true, Some(why));
                        self.hold(talk);
                    } else {
                        waiting.tell_once(1, if taken { Heard::Taken } else { Heard::Refused(why) });
                    }
                }
            }
            Some(Frame::Stored { sub }) => {
                if let Some(waiting) = self.open.get_mut(&sub) {
                    waiting.tell_once(0, Heard::Stored);
                }
            }
            Some(Frame::Closed { sub, why }) => {
                let deferred = talk.auth.defers(&why);
                if sub == self.standing {
                    talk.standing = deferred;
                } else if let Some(waiting) = self.open.get_mut(&sub) {
                    if deferred {
                        (waiting.due[0], waiting.deferred) = (true, Some(why));
                    } else {
                        waiting.tell_once(2, Heard::Refused(why));
                    }
                }
                if deferred {
                    self.hold(talk);
                }
            }
            Some(Frame::Auth { challenge }) if talk.auth == Auth::Unasked => {
                talk.auth = Auth::Owed(challenge);
                return Then::Send;
            }
            Some(Frame::Auth { .. }) | None => {}
        }
        Then::Go
    }
}
