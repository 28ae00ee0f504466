//! Who sits at which connection. Strangers get a moment and a few seats; an agent gets seats of its own.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio_util::sync::CancellationToken;

use super::caps;

/// The connections on which nobody has shown a token yet, in the order in which they came.
#[derive(Clone, Default)]
pub(super) struct Lobby(Arc<Mutex<Waiting>>);

#[derive(Default)]
struct Waiting {
    strangers: BTreeMap<u64, CancellationToken>,
    next: u64,
}

/// How many connections an agent has.
pub(super) type Seats = Arc<AtomicUsize>;

/// One connection.
pub(super) struct Visit {
    lobby: Lobby,
    number: u64,
    out: CancellationToken,
    known: CancellationToken,
    seat: Mutex<Seat>,
}

enum Seat {
    /// Nobody has shown a token.
    Stranger,
    /// Of one agent, and counted as its own.
    Of(Seats),
    /// Of a proxy that brings several agents, or of whoever reads the numbers: nobody's own.
    Shared,
}

impl Lobby {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection comes. Where too many wait already, the one that has waited longest goes.
    pub(super) fn enter(&self) -> Visit {
        let out = CancellationToken::new();
        let mut waiting = self.waiting();
        if waiting.strangers.len() >= caps::STRANGERS
            && let Some((_, oldest)) = waiting.strangers.pop_first()
        {
            oldest.cancel();
        }
        let number = waiting.next;
        waiting.next += 1;
        waiting.strangers.insert(number, out.clone());
        drop(waiting);
        let known = CancellationToken::new();
        Visit { lobby: self.clone(), number, out, known, seat: Mutex::new(Seat::Stranger) }
    }
}

impl Visit {
    fn seat(&self) -> MutexGuard<'_, Seat> {
        self.seat.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A good token was shown that is nobody's who has seats.
    pub(super) fn share(&self) {
        let mut seat = self.seat();
        if let Seat::Of(seats) = std::mem::replace(&mut *seat, Seat::Shared) {
            seats.fetch_sub(1, Ordering::SeqCst);
        }
        self.let_in();
    }

    /// An agent showed its token: whether it may have this connection, too.
    pub(super) fn sit(&self, seats: &Seats) -> bool {
        {
            let mut seat = self.seat();
            match &*seat {
                Seat::Stranger => {
                    let one_more = |n: usize| (n < caps::CONNECTIONS_EACH).then_some(n + 1);
                    if seats.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_more).is_err() {
                        return false;
                    }
                    *seat = Seat::Of(seats.clone());
                    self.let_in();
                    return true;
                }
                Seat::Of(own) if Arc::ptr_eq(own, seats) => return true,
                Seat::Shared => return true,
                Seat::Of(_) => {}
            }
        }
        self.share();
        true
    }

    fn let_in(&self) {
        self.lobby.waiting().strangers.remove(&self.number);
        self.known.cancel();
    }

    /// Ends when this connection has to make room: nobody has shown a token on it, and its time is over or its place is
    /// needed.
    pub(super) async fn overstays(&self) {
        tokio::select! {
            () = self.known.cancelled() => std::future::pending().await,
            () = self.out.cancelled() => {}
            () = tokio::time::sleep(caps::STRANGER_TIME) => {}
        }
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.lobby.waiting().strangers.remove(&self.number);
        if let Seat::Of(seats) = &*self.seat() {
            seats.fetch_sub(1, Ordering::SeqCst);
        }
    }
}
