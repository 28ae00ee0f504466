//! Who answers: the requests before and around the paywall, and everything that is remembered.

use std::{
    collections::{HashMap, VecDeque},
    mem::{Discriminant, discriminant},
    sync::{Arc, Mutex},
};

use axum::{
    Json,
    body::Bytes,
    extract::{ConnectInfo, State},
    http::{
        HeaderMap, HeaderValue, Method, StatusCode, Uri,
        header::{ACCEPT, DATE, LOCATION, USER_AGENT},
    },
    response::{IntoResponse as _, Response},
};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::{
    catalogue::Endpoint,
    documents, handlers,
    identifier::Identifiers,
    mode::{Dialect, NtriqMode, Whither},
    payment::{self, Payment},
    paywall::{Outcome, Sale},
    terms::{Form, Means, Terms},
};
use crate::{
    clock::Clock,
    evm::Address,
    sandbox::{
        chain::{Carried, PlayChain},
        lock, stamp,
        wire::Knife,
    },
};

/// Where redirects within the same origin lead.
const MOVED: &str = "/moved";

/// Whoever is paid instead.
pub(super) const OTHER_PAYEE: Address = Address([0x99; 20]);

#[derive(Debug)]
pub(super) struct Service {
    pub url: String,
    pub stranger_url: String,
    pub pay_to: Address,
    pub chain: PlayChain,
    pub clock: Clock,
    pub started_ms: u64,
    pub stop: CancellationToken,
    pub settings: Mutex<Settings>,
    pub tally: Mutex<Tally>,
    pub identifiers: Mutex<Identifiers>,
    pub jobs: Mutex<Vec<Value>>,
    pub seen: Mutex<Vec<Carried>>,
    pub kept: Mutex<Vec<Carried>>,
    pub turn: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
pub(super) struct Settings {
    pub mode: NtriqMode,
    pub next: VecDeque<NtriqMode>,
    pub form: Form,
    pub means: Means,
    pub charge: Option<u64>,
    pub dialect: Dialect,
    pub prices: HashMap<&'static str, u64>,
    pub most_a_minute: Option<u32>,
}

#[derive(Debug, Default)]
pub(super) struct Tally {
    pub challenges: usize,
    pub answers: HashMap<(String, u16), usize>,
    pub struck: HashMap<Discriminant<NtriqMode>, usize>,
    pub tries: HashMap<[u8; 32], u32>,
    /// Which minute it is, and how many requests came in it.
    pub minute: (u64, u32),
}

pub(super) async fn answer(
    State(service): State<Arc<Service>>,
    ConnectInfo(knife): ConnectInfo<Knife>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let mode = service.take_mode(payment::is_there(&headers));
    let path = uri.path().to_owned();
    // A task of its own: a buyer who hangs up does not stop a server that has begun.
    let task = tokio::spawn({
        let (service, mode) = (service.clone(), mode.clone());
        async move { service.respond(mode, method, uri, headers, body).await }
    });
    let mut response = match task.await {
        Ok(Outcome::Answer(response)) => response,
        Ok(Outcome::Silence) => {
            service.stop.cancelled().await;
            knife.cut();
            StatusCode::GATEWAY_TIMEOUT.into_response()
        }
        Ok(Outcome::Cut) | Err(_) => {
            knife.cut();
            StatusCode::BAD_GATEWAY.into_response()
        }
    };
    let now_s = service.clock.now_s();
    let date = match mode {
        NtriqMode::DateOff(by) => {
            service.struck(&mode);
            now_s.saturating_add_signed(by)
        }
        _ => now_s,
    };
    if let Ok(date) = HeaderValue::from_str(&stamp::http(date)) {
        response.headers_mut().insert(DATE, date);
    }
    service.note(&path, &response);
    response
}

impl Service {
    pub fn new(
        url: String,
        stranger_url: String,
        pay_to: Address,
        chain: PlayChain,
        clock: Clock,
        stop: CancellationToken,
    ) -> Service {
        Service {
            url,
            stranger_url,
            pay_to,
            chain,
            started_ms: clock.now_ms(),
            clock,
            stop,
            settings: Mutex::default(),
            tally: Mutex::default(),
            identifiers: Mutex::default(),
            jobs: Mutex::default(),
            seen: Mutex::default(),
            kept: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
        }
    }

    fn take_mode(&self, paid: bool) -> NtriqMode {
        let settings = &mut *lock(&self.settings);
        let next = if paid { settings.next.pop_front() } else { None };
        next.unwrap_or_else(|| settings.mode.clone())
    }

    async fn respond(&self, mode: NtriqMode, method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> Outcome {
        if self.is_too_fast() {
            return (StatusCode::TOO_MANY_REQUESTS, Json(json!({"error": "Too many requests"}))).into_response().into();
        }
        let (path, moved) = match uri.path().strip_prefix(MOVED) {
            Some(rest) => (rest, true),
            None => (uri.path(), false),
        };
        let Some(endpoint) = Endpoint::find(path).filter(|_| method == Method::POST) else {
            return self.free(&method, path).into();
        };
        let paid = payment::is_there(&headers);
        if let NtriqMode::Redirects(whither, leg) = mode
            && leg.covers(paid)
            && !moved
        {
            self.struck(&mode);
            return self.redirect(whither, &uri).into();
        }
        if mode == NtriqMode::Free || mode == NtriqMode::ChecksBodyFirst {
            let (status, answer) = handlers::handle(endpoint, &body);
            if mode == NtriqMode::Free || status == StatusCode::BAD_REQUEST {
                self.struck(&mode);
                return (status, Json(answer)).into_response().into();
            }
        }
        let terms = self.terms(endpoint, mode, uri.query(), paid);
        if !paid && is_browser(&headers) {
            return Terms::page().into();
        }
        match Payment::read(&headers, &terms) {
            Ok(payment) => self.sell(Sale { terms, payment, body }).await,
            Err(payment::NoPayment(why)) => {
                if terms.mode == NtriqMode::KeepsAuthorization {
                    lock(&self.kept).extend(payment::signed_in(&headers).map(Carried::from));
                }
                terms.challenge(why).into()
            }
        }
    }

    fn terms(&self, endpoint: &'static Endpoint, mode: NtriqMode, query: Option<&str>, paid: bool) -> Terms {
        let form = Form::of_query(query).unwrap_or(lock(&self.settings).form);
        let (mut units, mut pay_to, mut base) = (self.price(endpoint), self.pay_to, self.url.clone());
        let bent = match mode {
            NtriqMode::DearerOnPayment(dearer) if paid => {
                units = dearer;
                true
            }
            NtriqMode::OtherPayeeOnPayment if paid => {
                pay_to = OTHER_PAYEE;
                true
            }
            NtriqMode::ForeignResource => {
                "https://api.example.com".clone_into(&mut base);
                true
            }
            NtriqMode::GatewayDomain | NtriqMode::OffersMore | NtriqMode::Recases | NtriqMode::HugeChallenge(_) => true,
            _ => false,
        };
        if bent {
            self.struck(&mode);
        }
        let query = query.map(str::to_owned);
        let (means, charge) = {
            let settings = lock(&self.settings);
            // Half of it, unless it is told otherwise.
            let used = settings.charge.unwrap_or(units / 2).min(units);
            (settings.means, if settings.means == Means::UpTo { used } else { units })
        };
        let token = self.chain.token().clone();
        Terms { endpoint, form, mode, base, query, units, pay_to, token, means, charge }
    }

    fn free(&self, method: &Method, path: &str) -> Response {
        let job = path.strip_prefix("/jobs/").and_then(|n| n.parse::<usize>().ok());
        match (method, path) {
            (&Method::GET, "/health") => Json(documents::health(self)).into_response(),
            (&Method::GET, "/services") => Json(documents::services(self)).into_response(),
            (&Method::GET, _) if job.is_some() => {
                let found = job.and_then(|n| lock(&self.jobs).get(n.checked_sub(1)?).cloned());
                found.map_or(StatusCode::NOT_FOUND.into_response(), |answer| Json(answer).into_response())
            }
            // The right path with the wrong method looks like nothing at all.
            _ => (StatusCode::NOT_FOUND, format!("Cannot {method} {path}\n")).into_response(),
        }
    }

    fn redirect(&self, whither: Whither, uri: &Uri) -> Response {
        let path = uri.path_and_query().map_or("/", |p| p.as_str());
        let to = match whither {
            Whither::SameOrigin => format!("{MOVED}{path}"),
            Whither::Stranger => format!("{}{path}", self.stranger_url),
        };
        match HeaderValue::from_str(&to) {
            Ok(to) => (StatusCode::TEMPORARY_REDIRECT, [(LOCATION, to)]).into_response(),
            Err(_) => StatusCode::BAD_REQUEST.into_response(),
        }
    }

    pub fn price(&self, endpoint: &Endpoint) -> u64 {
        lock(&self.settings).prices.get(endpoint.path).copied().unwrap_or(endpoint.units)
    }

    pub fn dialect(&self) -> Dialect {
        lock(&self.settings).dialect
    }

    pub fn struck(&self, mode: &NtriqMode) {
        *lock(&self.tally).struck.entry(discriminant(mode)).or_default() += 1;
    }

    /// How many times this payment was tried, now included.
    pub fn tries(&self, carried: &Carried) -> u32 {
        let tally = &mut *lock(&self.tally);
        let tries = tally.tries.entry(carried.nonce()).or_default();
        *tries += 1;
        *tries
    }

    fn is_too_fast(&self) -> bool {
        let Some(most) = lock(&self.settings).most_a_minute else { return false };
        let now = self.clock.now_s() / 60;
        let minute = &mut lock(&self.tally).minute;
        *minute = if minute.0 == now { (now, minute.1.saturating_add(1)) } else { (now, 1) };
        minute.1 > most
    }

    fn note(&self, path: &str, response: &Response) {
        let tally = &mut *lock(&self.tally);
        *tally.answers.entry((path.to_owned(), response.status().as_u16())).or_default() += 1;
        let asks = ["payment-required", "x-payment-required"].iter().any(|name| response.headers().contains_key(*name));
        let failed = ["payment-response", "x-payment-response"].iter().any(|n| response.headers().contains_key(*n));
        if response.status() == StatusCode::PAYMENT_REQUIRED && (asks || !failed) {
            tally.challenges += 1;
        }
    }
}

/// Whether a browser asks, by the marks that the middleware goes by.
fn is_browser(headers: &HeaderMap) -> bool {
    let has = |name, mark: &str| headers.get(name).and_then(|v| v.to_str().ok()).is_some_and(|v| v.contains(mark));
    has(ACCEPT, "text/html") && has(USER_AGENT, "Mozilla")
}
