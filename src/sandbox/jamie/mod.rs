//! A replica of Pull That Up Jamie, with its order of checks and its traps.
//!
//! 1. A valid `Authorization: L402` makes the caller `prepaid`; **anything wrong with it makes them anonymous**.
//! 2. Anonymous without `X-Free-Tier: true` (exactly): 402 with a new invoice, or 400 for a bad `?amountSats`.
//! 3. Prepaid: too little credit is another 402, whose token does not merge with the old one; else the price is taken
//!    **before** the handler runs, so a 400 is charged.
//! 4. Anonymous with the free tier: quota headers, taken before the handler too; 429 when it is used up.
//!
//! The smallest invoice is 10 sat, so a call for 5 sat leaves credit. A bitcoin is always 100,000 dollars here.

mod account;
mod challenge;
mod documents;
mod endpoint;
mod episodes;
mod handlers;
mod quota;

use std::{
    collections::HashMap,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header::LOCATION},
    response::{IntoResponse as _, Response},
};
use serde_json::{Value, json};
use tokio_util::sync::{CancellationToken, DropGuard};

use self::{account::Accounts, endpoint::Endpoint, quota::Quotas};
use super::{SandboxError, listen, lock, macaroon::RootKey, node::PlayNode};
use crate::clock::Clock;

/// Satoshi for a dollar, at the replica's fixed rate.
const SATS_PER_USD: u64 = 1000;
/// Millionths of a dollar for a satoshi.
const MICRO_USD_PER_SAT: u64 = 1_000_000 / SATS_PER_USD;

/// How the service feels today.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum JamieMode {
    /// It works.
    #[default]
    Open,
    /// Its price feed is stale: no challenge can be made, 503 `LIGHTNING_UNAVAILABLE`. Credit and free tier still work.
    LightningUnavailable,
    /// Its handlers fail with 500, which is charged.
    Broken,
}

/// Where the replica listens and how it mints.
#[derive(Clone, Debug)]
pub struct JamieOptions {
    /// The service proper ("www"); port 0 takes a free one.
    pub listen: SocketAddr,
    /// The bare domain, which only redirects to it; port 0 takes a free one.
    pub apex: SocketAddr,
    /// The key its tokens are minted under.
    pub root_key: RootKey,
}

impl Default for JamieOptions {
    fn default() -> JamieOptions {
        let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        JamieOptions { listen: free, apex: free, root_key: RootKey::random() }
    }
}

/// The replica. Dropping it closes both listeners.
#[derive(Debug)]
pub struct Jamie {
    service: Arc<Service>,
    _stop: DropGuard,
}

#[derive(Debug)]
struct Service {
    url: String,
    apex: String,
    node: PlayNode,
    clock: Clock,
    root_key: RootKey,
    mode: Mutex<JamieMode>,
    accounts: Mutex<Accounts>,
    quotas: Mutex<Quotas>,
    tally: Mutex<Tally>,
}

#[derive(Debug, Default)]
struct Tally {
    challenges: usize,
    redirects: usize,
    answers: HashMap<(String, u16), usize>,
}

impl Jamie {
    /// Starts the service and its bare domain.
    ///
    /// # Errors
    /// [`SandboxError::Bind`].
    pub async fn start(node: PlayNode, clock: Clock, options: JamieOptions) -> Result<Jamie, SandboxError> {
        let (listener, bound) = listen::bind(options.listen).await?;
        let (apex_listener, apex_bound) = listen::bind(options.apex).await?;
        let service = Arc::new(Service {
            url: format!("http://{bound}"),
            apex: format!("http://{apex_bound}"),
            node,
            clock,
            root_key: options.root_key,
            mode: Mutex::default(),
            accounts: Mutex::default(),
            quotas: Mutex::default(),
            tally: Mutex::default(),
        });
        let stop = CancellationToken::new();
        let main = Router::new().fallback(answer).layer(DefaultBodyLimit::max(1 << 20)).with_state(service.clone());
        let apex = Router::new().fallback(redirect).with_state(service.clone());
        listen::serve(listener, main, stop.clone());
        listen::serve(apex_listener, apex, stop.clone());
        Ok(Jamie { service, _stop: stop.drop_guard() })
    }

    /// The base URL of the service proper, without a slash at the end.
    pub fn url(&self) -> String {
        self.service.url.clone()
    }

    /// The base URL of the bare domain, which only redirects.
    pub fn apex_url(&self) -> String {
        self.service.apex.clone()
    }

    /// Changes how the service feels.
    pub fn set_mode(&self, mode: JamieMode) {
        *lock(&self.service.mode) = mode;
    }

    /// Gives every free tier its full quota again.
    pub fn reset_quotas(&self) {
        *lock(&self.service.quotas) = Quotas::default();
    }

    /// How many challenges, each with an invoice of its own, it gave out.
    pub fn challenges(&self) -> usize {
        lock(&self.service.tally).challenges
    }

    /// How many requests the bare domain redirected.
    pub fn redirects(&self) -> usize {
        lock(&self.service.tally).redirects
    }

    /// How many times it answered a path with a status.
    pub fn answered(&self, path: &str, status: u16) -> usize {
        lock(&self.service.tally).answers.get(&(path.to_owned(), status)).copied().unwrap_or(0)
    }

    /// What all prepaid callers have left, in millionths of a dollar.
    pub fn credit_micro_usd(&self) -> u64 {
        lock(&self.service.accounts).total_left()
    }
}

/// The bare domain: a POST that follows becomes a GET in most clients, and its credential goes to another host.
async fn redirect(State(service): State<Arc<Service>>, uri: Uri) -> Response {
    lock(&service.tally).redirects += 1;
    let path = uri.path_and_query().map_or("/", |p| p.as_str());
    match HeaderValue::from_str(&format!("{}{path}", service.url)) {
        Ok(to) => (StatusCode::MOVED_PERMANENTLY, [(LOCATION, to)]).into_response(),
        Err(_) => StatusCode::BAD_REQUEST.into_response(),
    }
}

async fn answer(
    State(service): State<Arc<Service>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let path = uri.path();
    let response = match Endpoint::find(&method, path) {
        Some(endpoint) => service.paid(endpoint, uri.query(), &headers, &body),
        None => service.free(&method, path, &headers),
    };
    *lock(&service.tally).answers.entry((path.to_owned(), response.status().as_u16())).or_default() += 1;
    response
}

impl Service {
    fn paid(&self, endpoint: &'static Endpoint, query: Option<&str>, headers: &HeaderMap, body: &[u8]) -> Response {
        if let Some(caller) = self.prepaid(headers) {
            let charged = lock(&self.accounts).charge(&caller, endpoint.micro_usd);
            return match charged {
                Ok(left) => {
                    let mut response = self.handle(endpoint, body);
                    let out = response.headers_mut();
                    out.insert("x-credits-remaining-usd", dollars(left));
                    out.insert("x-credits-cost-usd", dollars(endpoint.micro_usd));
                    response
                }
                Err(left) => self.challenge(endpoint, None, Some(left)),
            };
        }
        if headers.get("x-free-tier").is_none_or(|v| v.as_bytes() != b"true") {
            return self.challenge(endpoint, query, None);
        }
        let taken = lock(&self.quotas).take(endpoint, self.clock.now_ms());
        let mut response = match &taken.refusal {
            Some(refusal) => (StatusCode::TOO_MANY_REQUESTS, Json(refusal.clone())).into_response(),
            None => self.handle(endpoint, body),
        };
        taken.write(response.headers_mut());
        response
    }

    fn handle(&self, endpoint: &Endpoint, body: &[u8]) -> Response {
        if *lock(&self.mode) == JamieMode::Broken {
            return error(StatusCode::INTERNAL_SERVER_ERROR, json!({"error": "Internal server error"}));
        }
        let Ok(body) = serde_json::from_slice::<Value>(body) else {
            return error(StatusCode::BAD_REQUEST, json!({"error": "Request body must be JSON"}));
        };
        match handlers::handle(endpoint.kind, &body, &self.url) {
            Ok(answer) => Json(answer).into_response(),
            Err(say) => error(StatusCode::BAD_REQUEST, json!({"error": say})),
        }
    }

    fn free(&self, method: &Method, path: &str, headers: &HeaderMap) -> Response {
        if method != Method::GET {
            return not_found(method, path);
        }
        match path {
            "/llms.txt" => documents::llms(&self.url).into_response(),
            "/api/openapi.json" => Json(documents::openapi(&self.apex)).into_response(),
            "/api/corpus/stats" => Json(handlers::corpus_stats()).into_response(),
            "/api/corpus/feeds" => Json(handlers::corpus_feeds()).into_response(),
            "/api/agent/balance" => self.balance(headers),
            _ => not_found(method, path),
        }
    }

    fn balance(&self, headers: &HeaderMap) -> Response {
        let Some(caller) = self.prepaid(headers) else {
            let say = json!({"error": "A valid L402 credential is required", "code": "AUTH_REQUIRED"});
            return error(StatusCode::UNAUTHORIZED, say);
        };
        match lock(&self.accounts).state(&caller) {
            Some(account) => Json(account.describe(&caller)).into_response(),
            None => {
                let say = json!({"error": "No balance for this credential", "code": "NO_BALANCE"});
                error(StatusCode::NOT_FOUND, say)
            }
        }
    }
}

/// Dollars as the service writes them in a header.
fn dollars(micro: u64) -> HeaderValue {
    HeaderValue::from_str(&format!("{}.{:06}", micro / 1_000_000, micro % 1_000_000))
        .unwrap_or(HeaderValue::from_static("0"))
}

/// Dollars as the service writes them in JSON.
fn usd(micro: u64) -> f64 {
    micro as f64 / 1e6
}

fn error(status: StatusCode, body: Value) -> Response {
    (status, Json(body)).into_response()
}

fn not_found(method: &Method, path: &str) -> Response {
    error(StatusCode::NOT_FOUND, json!({"error": format!("Cannot {method} {path}")}))
}
