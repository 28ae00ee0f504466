//! The agents that come over HTTP: one purse, one set of sessions and streams for each token.
//!
//! An agent's sessions live in a manager of its own, so that a session's id is worth nothing with another's token.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use rmcp::{
    ServerHandler,
    transport::streamable_http_server::{
        StreamableHttpServerConfig, StreamableHttpService,
        session::{SessionManager, local::LocalSessionManager},
    },
};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::{bearer, caps, metrics::Metrics, sse::Letterboxes, visit::Seats};
use crate::{
    ledger::{Token, TokenKind},
    purchase::{Caller, No, Purse},
    server::Server,
};

/// Everyone who has come so far.
pub(super) struct Agents<F> {
    purse: Purse,
    face: fn(Server) -> F,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
    known: Mutex<HashMap<String, Arc<Agent<F>>>>,
}

/// Who a request is from.
pub(super) enum Visitor<F> {
    Agent(Arc<Agent<F>>),
    /// May read the numbers.
    Watch,
}

/// One agent, and the face that its purse has: the product's own, except in the suite that tests what stands before it.
pub(super) struct Agent<F> {
    /// Its principal.
    pub(super) name: String,
    /// The server of its purse.
    pub(super) server: Server,
    /// What answers its messages.
    pub(super) face: F,
    /// Streamable HTTP, both eras.
    pub(super) mcp: StreamableHttpService<F, LocalSessionManager>,
    /// Its connections.
    pub(super) seats: Seats,
    /// How many requests it may have open.
    pub(super) requests: Arc<Semaphore>,
    /// Ends everything that is open for it.
    pub(super) stop: CancellationToken,
    /// Its streams of the older transport.
    pub(super) letterboxes: Letterboxes,
    digest: [u8; 32],
    sessions: Arc<LocalSessionManager>,
    /// Held while a session is being begun, so that the cap is exact.
    pub(super) births: tokio::sync::Mutex<()>,
    used: Mutex<HashMap<String, Use>>,
}

/// What a session was last used for.
struct Use {
    last: Instant,
    open: usize,
}

impl<F> Drop for Agent<F> {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl<F: ServerHandler + Clone> Agents<F> {
    pub(super) fn new(
        purse: Purse,
        face: fn(Server) -> F,
        metrics: Arc<Metrics>,
        stop: CancellationToken,
    ) -> Agents<F> {
        Agents { purse, face, metrics, stop, known: Mutex::default() }
    }

    fn known(&self) -> MutexGuard<'_, HashMap<String, Arc<Agent<F>>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who a token is; `None` for a token that is none, or is no longer good.
    pub(super) async fn visitor(&self, token: &str) -> Result<Option<Visitor<F>>, No> {
        let Some((name, digest)) = bearer::read(token) else { return Ok(None) };
        // Asked at every request: a token that was revoked a moment ago opens nothing.
        let good = self.purse.ledger().await?.token(name).await?;
        let kept = good.as_ref().map_or([0; 32], |t| t.digest);
        if !bearer::same(&kept, &digest) {
            return Ok(None);
        }
        Ok(match good {
            Some(Token { kind: TokenKind::Watch, .. }) => Some(Visitor::Watch),
            Some(token) => self.agent(&token).map(Visitor::Agent),
            None => None,
        })
    }

    fn agent(&self, token: &Token) -> Option<Arc<Agent<F>>> {
        let mut known = self.known();
        if let Some(agent) = known.get(&token.principal) {
            if agent.digest == token.digest {
                return Some(agent.clone());
            }
            // Renewed: whoever has the old token is let go of.
            agent.stop.cancel();
        }
        let agent = Arc::new(self.welcome(token)?);
        known.insert(token.principal.clone(), agent.clone());
        Some(agent)
    }

    fn welcome(&self, token: &Token) -> Option<Agent<F>> {
        let caller = Caller::agent(&token.principal)?;
        let calls = Arc::new(Semaphore::new(caps::CALLS));
        let server = Server::new(self.purse.clone(), caller).over_http(calls, self.metrics.clone());
        let mut manager = LocalSessionManager::default();
        manager.session_config.keep_alive = Some(caps::SESSION_IDLE);
        let sessions = Arc::new(manager);
        let stop = self.stop.child_token();
        // Host and Origin are looked at before, for every path alike.
        let config = StreamableHttpServerConfig::default()
            .disable_allowed_hosts()
            .with_sse_keep_alive(Some(caps::KEEP_ALIVE))
            .with_max_request_body_bytes(caps::BODY)
            .with_cancellation_token(stop.clone());
        let face = (self.face)(server.clone());
        let copy = face.clone();
        let mcp = StreamableHttpService::new(move || Ok(copy.clone()), sessions.clone(), config);
        Some(Agent {
            name: token.principal.clone(),
            server,
            face,
            mcp,
            seats: Seats::default(),
            requests: Arc::new(Semaphore::new(caps::REQUESTS)),
            stop,
            letterboxes: Letterboxes::default(),
            digest: token.digest,
            sessions,
            births: tokio::sync::Mutex::default(),
            used: Mutex::default(),
        })
    }

    /// Lets go of agents whose token is no longer good: their open streams end.
    pub(super) async fn look_again(&self) {
        let Ok(ledger) = self.purse.ledger().await else { return };
        let Ok(tokens) = ledger.tokens().await else { return };
        let good = |agent: &Agent<F>| {
            tokens.iter().any(|t| t.principal == agent.name && t.digest == agent.digest && t.revoked_ms.is_none())
        };
        self.known().retain(|_, agent| {
            let stays = good(agent);
            if !stays {
                agent.stop.cancel();
            }
            stays
        });
    }

    /// How many sessions there are, of all agents.
    pub(super) async fn sessions(&self) -> usize {
        let all: Vec<_> = self.known().values().cloned().collect();
        let mut sum = 0;
        for agent in all {
            sum += agent.sessions.sessions.read().await.len() + agent.letterboxes.len();
        }
        sum
    }
}

/// Marks a session as in use until it is dropped.
pub(super) struct InUse<F> {
    agent: Arc<Agent<F>>,
    session: String,
}

impl<F> Drop for InUse<F> {
    fn drop(&mut self) {
        let mut used = self.agent.used();
        if let Some(session) = used.get_mut(&self.session) {
            session.open = session.open.saturating_sub(1);
            session.last = Instant::now();
        }
    }
}

impl<F> Agent<F> {
    fn used(&self) -> MutexGuard<'_, HashMap<String, Use>> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a request of a session runs.
    pub(super) async fn using(self: &Arc<Agent<F>>, session: &str) -> Option<InUse<F>> {
        if !self.sessions.sessions.read().await.contains_key(session) {
            return None;
        }
        let mut used = self.used();
        let known = used.entry(session.to_owned()).or_insert(Use { last: Instant::now(), open: 0 });
        known.open += 1;
        known.last = Instant::now();
        Some(InUse { agent: self.clone(), session: session.to_owned() })
    }

    /// Makes room for one more session; whether there is some. The caller holds [`Agent::births`].
    pub(super) async fn room_for_a_session(&self) -> bool {
        let alive: Vec<_> = self.sessions.sessions.read().await.keys().cloned().collect();
        let oldest = {
            let mut used = self.used();
            used.retain(|id, _| alive.iter().any(|a| **a == **id));
            if alive.len() < caps::SESSIONS {
                return true;
            }
            let idle = |id: &str| match used.get(id) {
                Some(u) if u.open > 0 || u.last.elapsed() < caps::SILENT => None,
                Some(u) => Some(Some(u.last)),
                // Begun and never used.
                None => Some(None),
            };
            alive
                .iter()
                .filter_map(|id| idle(id).map(|last| (last, id)))
                .min_by_key(|(last, _)| *last)
                .map(|(_, id)| id)
        };
        match oldest {
            Some(id) => self.sessions.close_session(id).await.is_ok(),
            None => false,
        }
    }
}
