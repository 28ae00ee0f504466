//! MCP over HTTP, for agents that connect: streamable HTTP in both eras at `/mcp`, the older HTTP+SSE on request.
//!
//! ```text
//!  connection ([`visit`]) ──► [`guard`] Host, Origin ──► [`bearer`] token ──► [`agents`] its purse ──► [`caps`] ──► rmcp, or [`sse`]
//!      └── [`wire`] notes which answers were really written, so that a lost one is given again, free of charge
//! ```

mod agents;
pub(crate) mod bearer;
mod caps;
mod guard;
pub(super) mod metrics;
mod reply;
mod router;
mod sse;
mod visit;
mod wire;

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::body::Body;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use rmcp::ServerHandler;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::{
    agents::Agents,
    guard::Guard,
    metrics::Metrics,
    router::Router,
    visit::{Lobby, Visit},
    wire::{Unflushed, Wire},
};
use super::{Server, stdio::stop};
use crate::{
    ledger::{Token, TokenKind},
    purchase::Purse,
};

/// Where and for whom to listen.
#[derive(Clone, Debug)]
pub struct HttpOptions {
    /// The address; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Whether another machine may connect.
    pub allow_remote: bool,
    /// What clients call this server, beside its address: `purse.example`, or with a port.
    pub names: Vec<String>,
    /// Whether the older HTTP+SSE transport is served too.
    pub sse: bool,
}

/// Serves MCP over HTTP until the process is asked to stop. Open payments are then waited for (see [`Purse::close`]).
///
/// # Errors
/// An address that is not loopback without leave; nobody who could come; a port that cannot be had.
pub async fn serve_http(purse: Purse, options: HttpOptions) -> io::Result<()> {
    serve_http_as(purse, options, |server| server).await
}

/// The same way in with something else behind it: the conformance suite wants to see tools of its own there.
///
/// # Errors
/// Those of [`serve_http`].
#[doc(hidden)]
pub async fn serve_http_as<F: ServerHandler + Clone>(
    purse: Purse,
    options: HttpOptions,
    face: fn(Server) -> F,
) -> io::Result<()> {
    let agents_there = purse.ledger().await.map_err(|no| io::Error::other(no.say))?.tokens().await;
    // A token that only reads numbers lets nobody buy.
    let agent = |t: &Token| t.revoked_ms.is_none() && t.kind == TokenKind::Agent;
    let agents_there = agents_there.map_err(io::Error::other)?.iter().any(agent);
    if !options.listen.ip().is_loopback() {
        may_be_remote(&options, agents_there)?;
    }
    let listener = TcpListener::bind(options.listen).await?;
    let at = listener.local_addr()?;
    eprintln!("bursar: serving MCP at http://{at}/mcp{}", if options.sse { " and /sse" } else { "" });
    if !agents_there {
        eprintln!("bursar: nobody has a token yet: bursar token create NAME");
    }
    if !at.ip().is_loopback() {
        eprintln!("bursar: this is plain HTTP, and tokens can be read on the way: put TLS in front of it");
    }
    let all = CancellationToken::new();
    let metrics = Arc::new(Metrics::default());
    let router = Arc::new(Router {
        guard: Guard::new(at, &options.names),
        agents: Agents::new(purse.clone(), face, metrics.clone(), all.clone()),
        purse: purse.clone(),
        metrics,
        sse: options.sse,
        closing: AtomicBool::new(false),
        count: AtomicU64::new(0),
    });
    let (connections, hang_up, lobby) = (TaskTracker::new(), CancellationToken::new(), Lobby::default());
    let stopped = stop();
    tokio::pin!(stopped);
    let mut again = tokio::time::interval(caps::TOKENS_AGAIN);
    again.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            accepted = listener.accept(), if connections.len() < caps::CONNECTIONS => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(stream, router.clone(), lobby.enter(), hang_up.clone()));
                }
                // Out of files, most likely: one that closes makes room.
                Err(e) => {
                    tracing::warn!("a connection could not be accepted: {e}");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
            _ = again.tick() => router.agents.look_again().await,
            () = &mut stopped => break,
        }
    }
    drop(listener);
    end(&purse, &router, &connections, &hang_up, &all).await;
    Ok(())
}

/// Ends in order: nothing new begins, payments end or are written down as unknown, what was answered goes out.
async fn end<F>(
    purse: &Purse,
    router: &Router<F>,
    connections: &TaskTracker,
    hang_up: &CancellationToken,
    all: &CancellationToken,
) {
    router.closing.store(true, Ordering::SeqCst);
    hang_up.cancel();
    let last_answers = async {
        while router.metrics.calls_now.load(Ordering::Relaxed) > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let _ = tokio::join!(purse.close(), tokio::time::timeout(caps::LAST_ANSWERS, last_answers));
    // A call has ended before its answer is written: what stands on its way to a stream is let through.
    let last_words = async {
        while router.metrics.answers_now.load(Ordering::Relaxed) > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let _ = tokio::time::timeout(caps::LAST_WORDS, last_words).await;
    all.cancel();
    connections.close();
    let _ = tokio::time::timeout(Duration::from_secs(2), connections.wait()).await;
}

fn may_be_remote(options: &HttpOptions, agents_there: bool) -> io::Result<()> {
    let no = |say: &str| Err(io::Error::other(say.to_owned()));
    if !options.allow_remote {
        return no("other machines could reach this address: say --allow-remote if they shall, and put TLS in front");
    }
    if !agents_there {
        return no("an address that other machines can reach needs a token first: bursar token create NAME");
    }
    if options.names.is_empty() && options.listen.ip().is_unspecified() {
        return no("say with --host what clients call this server: requests for any other name are refused");
    }
    Ok(())
}

/// Serves one connection to its end; asked to hang up, it finishes the answer it is at.
async fn connection<F: ServerHandler + Clone>(
    stream: TcpStream,
    router: Arc<Router<F>>,
    visit: Visit,
    hang_up: CancellationToken,
) {
    // Without it, Nagle and delayed acknowledgements cost 40 ms an answer.
    let _ = stream.set_nodelay(true);
    let metrics = router.metrics.clone();
    let _counted = metrics::Counted::new(&metrics.connections);
    let (visit, unflushed) = (Arc::new(visit), Unflushed::default());
    let guest = visit.clone();
    let io = TokioIo::new(Wire { stream, unflushed: unflushed.clone() });
    let service = service_fn(move |request: http::Request<Incoming>| {
        let (router, visit, unflushed) = (router.clone(), guest.clone(), unflushed.clone());
        async move { Ok::<_, Infallible>(router.answer(request.map(Body::new), &visit, &unflushed).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(caps::HEADER_TIME)
        .max_headers(caps::HEADERS)
        .max_buf_size(caps::HEADER_BYTES)
        .serve_connection(io, service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = hang_up.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
        () = visit.overstays() => return,
    };
    if let Err(e) = ended {
        tracing::debug!("a connection broke off: {e}");
    }
}
