//! One question to the wallet over all of its relays at once.

use std::sync::{
    Arc, Weak,
    atomic::{AtomicU32, AtomicUsize, Ordering},
};

use nostr::event::Event;
use tokio::sync::mpsc;
use url::Url;

use super::{
    Pace,
    dial::Dial,
    frame::{Frame, Wanted},
    relay::{Heard, Link, Parties, Waiting},
};
use crate::clock::Clock;

/// The most exchanges under way at once: an agent that asks for more than this is not waiting for the answers.
const MOST: usize = 32;

/// What is asked: a subscription, and where there is one the event that is published with it.
pub(super) struct Ask {
    /// The subscription's id, random: it must not say which request it waits for.
    pub sub: String,
    /// The frame that subscribes.
    pub subscribe: String,
    /// Which events are let through.
    pub wanted: Wanted,
    /// What is published.
    pub publish: Option<Publish>,
    /// How often the bytes may have left.
    pub sends: Sends,
}

/// An event to publish.
pub(super) struct Publish {
    /// Its id in hex, as a relay's `OK` names it.
    pub id: String,
    /// The frame.
    pub frame: String,
    /// Until when it may be sent, unix seconds.
    pub until: u64,
}

/// Counts how often bytes may have left, over all relays, until it is sealed; then they never leave again.
#[derive(Default)]
pub(super) struct Sends(AtomicU32);

impl Sends {
    const SEALED: u32 = 1 << 31;

    /// Asks to send once more. Counted before the first byte, so that a broken sending counts as well.
    pub fn begin(&self) -> bool {
        let more = |n: u32| (n & Sends::SEALED == 0).then_some(n + 1);
        self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, more).is_ok()
    }

    /// Forbids any further sending and tells how many there were.
    pub fn seal(&self) -> u32 {
        self.0.fetch_or(Sends::SEALED, Ordering::SeqCst) & !Sends::SEALED
    }

    /// How many there were so far.
    pub fn count(&self) -> u32 {
        self.0.load(Ordering::SeqCst) & !Sends::SEALED
    }
}

/// The links to all relays of one wallet. Nothing connects before the first exchange.
pub(super) struct Relays {
    links: Vec<Link>,
    open: Arc<AtomicUsize>,
}

impl Relays {
    /// Prepares a link to each relay, without connecting.
    pub fn new(urls: &[Url], us: &Parties, dial: &Arc<dyn Dial>, clock: &Clock, pace: Pace) -> Relays {
        let link = |url: &Url| Link::new(url.clone(), us.clone(), dial.clone(), clock.clone(), pace);
        Relays { links: urls.iter().map(link).collect(), open: Arc::default() }
    }

    /// Starts an exchange on every relay. `None` when too many are under way.
    pub fn open(&self, wanted: Wanted, publish: Option<Publish>) -> Option<Exchange<'_>> {
        self.open.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| (n < MOST).then_some(n + 1)).ok()?;
        let sub = data_encoding::HEXLOWER.encode(&crate::random::<8>());
        let subscribe = Frame::subscribe(&sub, &wanted);
        let ask = Arc::new(Ask { sub, subscribe, wanted, publish, sends: Sends::default() });
        let (sender, news) = mpsc::unbounded_channel();
        for (relay, link) in self.links.iter().enumerate() {
            link.open(Waiting::new(ask.clone(), relay, sender.clone()));
        }
        let states = vec![RelayState::default(); self.links.len()];
        Some(Exchange { links: &self.links, ask, news, states, open: Arc::downgrade(&self.open) })
    }
}

/// What one relay has done for an exchange so far.
#[derive(Clone, Debug, Default)]
pub(super) struct RelayState {
    /// How often it could not be reached or was lost.
    pub failures: u32,
    /// Whether it has told everything that it had stored.
    pub stored: bool,
    /// What it said to the published event: taken, or refused and why (not cleaned).
    pub verdict: Option<Result<(), String>>,
}

impl RelayState {
    fn refused(&self) -> Option<&str> {
        self.verdict.as_ref().and_then(|v| v.as_ref().err()).map(String::as_str)
    }
}

/// An exchange under way. Dropping it ends the subscription on every relay and forbids any further sending.
pub(super) struct Exchange<'a> {
    links: &'a [Link],
    ask: Arc<Ask>,
    news: mpsc::UnboundedReceiver<super::relay::News>,
    states: Vec<RelayState>,
    open: Weak<AtomicUsize>,
}

impl Exchange<'_> {
    /// Waits for something to happen: an authentic event, or (`None`) a change of some relay's state.
    ///
    /// Cancel-safe.
    pub async fn next(&mut self) -> Option<Event> {
        let Some(news) = self.news.recv().await else {
            // Every link has ended, which only happens with the runtime. The caller's deadline ends the wait.
            return std::future::pending().await;
        };
        let state = self.states.get_mut(news.relay)?;
        match news.heard {
            Heard::Event(event) => return Some(*event),
            Heard::Stored => state.stored = true,
            Heard::Taken => state.verdict = Some(Ok(())),
            // A relay that had the event already has taken it; an earlier yes is not undone by a later no.
            Heard::Refused(why) if why.starts_with("duplicate:") => state.verdict = Some(Ok(())),
            Heard::Refused(why) if !matches!(state.verdict, Some(Ok(()))) => state.verdict = Some(Err(why)),
            Heard::Refused(_) => {}
            Heard::Lost => state.failures += 1,
        }
        None
    }

    /// Forbids any further sending and tells how often the bytes may have left.
    pub fn seal(&self) -> u32 {
        self.ask.sends.seal()
    }

    /// How often the bytes may have left so far.
    pub fn sends(&self) -> u32 {
        self.ask.sends.count()
    }

    /// Whether every relay has failed at least `times` times.
    pub fn all_failed(&self, times: u32) -> bool {
        self.states.iter().all(|s| s.failures >= times)
    }

    /// Whether every relay has told all that it had stored, or cannot be reached.
    pub fn all_told(&self) -> bool {
        self.states.iter().all(|s| s.stored || s.failures >= 2)
    }

    /// The first refusal, when every relay refused the event.
    pub fn all_refused(&self) -> Option<&str> {
        if self.states.iter().all(|s| s.refused().is_some()) { self.states.first()?.refused() } else { None }
    }

    /// Whether some relay said that it took the event.
    pub fn any_took(&self) -> bool {
        self.states.iter().any(|s| matches!(s.verdict, Some(Ok(()))))
    }
}

impl Drop for Exchange<'_> {
    fn drop(&mut self) {
        self.ask.sends.seal();
        for link in self.links {
            link.close(&self.ask.sub);
        }
        if let Some(open) = self.open.upgrade() {
            open.fetch_sub(1, Ordering::SeqCst);
        }
    }
}
