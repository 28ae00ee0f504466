//! The way of one request: guards, token, caps, and then its path.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use axum::body::{Body, Bytes};
use http::{HeaderValue, Method, Request, Response, StatusCode, header, request::Parts};
use rmcp::ServerHandler;
use serde::Deserialize;

use super::{
    agents::{Agent, Agents, InUse, Visitor},
    bearer, caps,
    guard::{Forged, Guard, only},
    metrics::{Counted, Metrics},
    reply::{say, text, who_are_you},
    sse,
    visit::Visit,
    wire::{ReadAlong, Unflushed},
};
use crate::{
    purchase::Purse,
    server::handed::{Exchange, Lines},
};

const SESSION_ID: &str = "mcp-session-id";

/// Everything that answers requests.
pub(super) struct Router<F> {
    pub(super) purse: Purse,
    pub(super) guard: Guard,
    pub(super) agents: Agents<F>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) sse: bool,
    pub(super) closing: AtomicBool,
    pub(super) count: AtomicU64,
}

/// The paths there are, as the metrics name them.
fn known(path: &str) -> &'static str {
    ["/mcp", "/sse", "/messages", "/healthz", "/metrics"].into_iter().find(|p| *p == path).unwrap_or("other")
}

/// What is looked at in a message before it is passed on.
#[derive(Deserialize)]
struct Peek {
    method: Option<String>,
}

impl<F: ServerHandler + Clone> Router<F> {
    /// Answers one request.
    pub(super) async fn answer(&self, request: Request<Body>, visit: &Visit, unflushed: &Unflushed) -> Response<Body> {
        let path = known(request.uri().path());
        let (parts, body) = request.into_parts();
        let mut response = match self.admit(&parts).await {
            Ok(Visitor::Agent(agent)) if !visit.sit(&agent.seats) => {
                let mut full = say(StatusCode::TOO_MANY_REQUESTS, "too many connections of this token are open");
                full.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
                full
            }
            Ok(Visitor::Agent(agent)) => self.serve(path, agent, Request::from_parts(parts, body), unflushed).await,
            Ok(Visitor::Watch) => {
                visit.share();
                self.watch(path, &parts.method).await
            }
            Err(response) => *response,
        };
        self.metrics.answered(path, response.status().as_u16());
        let headers = response.headers_mut();
        headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        response
    }

    /// The guards that stand before every path, and who asks.
    async fn admit(&self, request: &Parts) -> Result<Visitor<F>, Box<Response<Body>>> {
        let no = |status, line| Err(Box::new(say(status, line)));
        match self.guard.check(&request.uri, &request.headers) {
            Ok(()) => {}
            Err(Forged::Host) => return no(StatusCode::FORBIDDEN, "this server goes by another name"),
            Err(Forged::Origin) => return no(StatusCode::FORBIDDEN, "pages of other origins have no business here"),
        }
        if self.closing.load(Ordering::SeqCst) {
            return no(StatusCode::SERVICE_UNAVAILABLE, "the server is ending");
        }
        if request.uri.path() == "/healthz" && matches!(request.method, Method::GET | Method::HEAD) {
            // It says that somebody is there and nothing else, so that whoever checks needs no secret.
            return no(StatusCode::OK, "ok");
        }
        if request.uri.query().is_some_and(|q| bearer::appears_in(q) || q.to_ascii_lowercase().contains("token=")) {
            let line = "a token does not belong in a URL, where logs keep it: revoke it and send it as a header";
            return no(StatusCode::BAD_REQUEST, line);
        }
        let token = only(&request.headers, header::AUTHORIZATION).and_then(bearer::in_header);
        let Some(token) = token else { return Err(Box::new(who_are_you())) };
        match self.agents.visitor(token).await {
            Ok(Some(visitor)) => Ok(visitor),
            Ok(None) => Err(Box::new(who_are_you())),
            Err(e) => {
                tracing::error!("nobody can be let in: {}", e.say);
                no(StatusCode::SERVICE_UNAVAILABLE, "the ledger cannot be read")
            }
        }
    }

    async fn watch(&self, path: &str, method: &Method) -> Response<Body> {
        if path != "/metrics" {
            return say(StatusCode::FORBIDDEN, "this token reads /metrics and nothing else");
        }
        if !matches!(*method, Method::GET | Method::HEAD) {
            return not_allowed("GET");
        }
        match self.metrics.page(&self.purse, &self.agents).await {
            Ok(page) => text(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", page),
            Err(_) => say(StatusCode::SERVICE_UNAVAILABLE, "the ledger cannot be read"),
        }
    }

    async fn serve(
        &self,
        path: &str,
        agent: Arc<Agent<F>>,
        request: Request<Body>,
        unflushed: &Unflushed,
    ) -> Response<Body> {
        let Ok(permit) = agent.requests.clone().try_acquire_owned() else {
            return say(StatusCode::TOO_MANY_REQUESTS, "too many requests of this token are open");
        };
        // A stream that only listens has no end of its own; an answer has.
        let answers = (request.method() != Method::GET).then(|| Counted::new(&self.metrics.answers_now));
        let (exchange, response, in_use) = match (path, request.method()) {
            ("/mcp", _) => self.mcp(&agent, request).await,
            ("/sse", &Method::GET) if self.sse => match sse::open(&agent, &self.metrics) {
                Ok((exchange, response)) => (exchange, response, None),
                Err(no) => return *no,
            },
            // Clients of the newer transport try this first, and take a 405 for "only the older one here".
            ("/sse", _) if self.sse => return not_allowed("GET"),
            ("/messages", &Method::POST) if self.sse => {
                let (parts, body) = request.into_parts();
                return match collect(body).await {
                    Ok(message) => sse::post(&agent, parts.uri.query().unwrap_or_default(), &message).await,
                    Err(no) => *no,
                };
            }
            ("/messages", _) if self.sse => return not_allowed("POST"),
            ("/metrics", _) => {
                let line = "the numbers are everyone's: they need a token made with --watch";
                return say(StatusCode::FORBIDDEN, line);
            }
            _ => return say(StatusCode::NOT_FOUND, "there is nothing here"),
        };
        let (parts, inner) = response.into_parts();
        let body = ReadAlong {
            inner,
            handed: agent.server.handed.clone(),
            exchange,
            unflushed: unflushed.clone(),
            lines: Lines::default(),
            _holds: (permit, in_use, agent, answers),
        };
        Response::from_parts(parts, Body::new(body))
    }

    /// Streamable HTTP, both eras.
    async fn mcp(&self, agent: &Arc<Agent<F>>, request: Request<Body>) -> (Exchange, Response<Body>, Option<InUse<F>>) {
        let (mut parts, body) = request.into_parts();
        let session = only_text(&parts, SESSION_ID).map(str::to_owned);
        let exchange = match &session {
            Some(id) => Exchange(format!("http:{id}").into()),
            // Without a session each request is alone.
            None => Exchange(format!("one:{}", self.count.fetch_add(1, Ordering::Relaxed)).into()),
        };
        let refused = |response| (Exchange::default(), response, None);
        let ends = parts.method == Method::DELETE;
        let body = match collect(body).await {
            Ok(body) => body,
            Err(no) => return refused(*no),
        };
        let begins = parts.method == Method::POST
            && session.is_none()
            && serde_json::from_slice::<Peek>(&body).is_ok_and(|p| p.method.as_deref() == Some("initialize"));
        let in_use = match &session {
            Some(id) => agent.using(id).await,
            None => None,
        };
        parts.extensions.insert(exchange.clone());
        // The token has done its work: nothing behind this door needs it.
        parts.headers.remove(header::AUTHORIZATION);
        let request = Request::from_parts(parts, Body::from(body));
        let response = if begins {
            let _birth = agent.births.lock().await;
            if !agent.room_for_a_session().await {
                return refused(say(StatusCode::TOO_MANY_REQUESTS, "too many sessions of this token are open"));
            }
            agent.mcp.handle(request).await
        } else {
            agent.mcp.handle(request).await
        };
        let mut response = response.map(Body::new);
        if ends && response.status() == StatusCode::ACCEPTED {
            // The session is over, not about to be; some clients complain otherwise.
            *response.status_mut() = StatusCode::NO_CONTENT;
        }
        (exchange, response, in_use)
    }
}

fn only_text<'a>(parts: &'a Parts, name: &'static str) -> Option<&'a str> {
    only(&parts.headers, header::HeaderName::from_static(name))
}

/// Reads a message, which has a size and a time to arrive in.
async fn collect(body: Body) -> Result<Bytes, Box<Response<Body>>> {
    match tokio::time::timeout(caps::BODY_TIME, axum::body::to_bytes(body, caps::BODY)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(_)) => Err(Box::new(say(StatusCode::PAYLOAD_TOO_LARGE, "the message is too large, or broke off"))),
        Err(_) => Err(Box::new(say(StatusCode::REQUEST_TIMEOUT, "the message took too long"))),
    }
}

fn not_allowed(allowed: &'static str) -> Response<Body> {
    let mut response = say(StatusCode::METHOD_NOT_ALLOWED, "this path takes another method");
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allowed));
    response
}
