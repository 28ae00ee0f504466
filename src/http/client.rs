//! The client: one request, its redirects, one bounded answer.

use std::{
    error::Error as StdError,
    io,
    sync::{Arc, OnceLock},
    time::Duration,
};

use http::{
    HeaderMap, HeaderValue, Method,
    header::{CACHE_CONTROL, CONTENT_TYPE},
};
use tokio::time::{Instant, timeout_at};
use url::Url;

use super::{
    Bytes, Error, Policy, Settings,
    body::{self, Heard, Reading},
    headers,
    redirect::{self, Trip},
    resolve::{CONNECT, Vetted},
    target::{shown, vet},
    tls,
};
use crate::protocol::Credential;

const USER_AGENT: &str = concat!("bursar/", env!("CARGO_PKG_VERSION"));

const MAX_HEADERS: usize = 64 * 1024;

/// The least that a stream of events is listened to once it began.
const LISTEN: Duration = Duration::from_secs(2);

/// Until when an answer is waited for.
#[derive(Clone, Copy)]
struct Until {
    all: Instant,
    stream: Instant,
}

/// How long an unused connection is kept: a purchase takes seconds, and each one costs memory.
const KEEP: Duration = Duration::from_secs(20);

/// A request.
#[derive(Clone, Debug)]
pub struct Ask {
    /// What to do.
    pub method: Method,
    /// Where. Judged again by [`Client::send`], whoever judged it before.
    pub url: Url,
    /// Headers that carry neither money nor identity; see [`headers`](super::headers).
    pub headers: HeaderMap,
    /// What to send; may be empty.
    pub body: Bytes,
    /// What unlocks the resource. It is sent to the origin of `url` and to no other.
    pub credential: Option<Credential>,
    /// How much and how long to read.
    pub limits: Limits,
}

impl Ask {
    /// A `GET` without headers, body or credential, within the usual limits.
    pub fn get(url: Url) -> Ask {
        let (headers, body) = (HeaderMap::new(), Bytes::new());
        Ask { method: Method::GET, url, headers, body, credential: None, limits: Limits::default() }
    }
}

/// How much of an answer is read, and how long it may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Decoded bytes of a body.
    pub body: usize,
    /// Decoded bytes of the body of a 402 or of a redirect.
    pub challenge: usize,
    /// From sending a request, connecting included, to its answer's headers.
    pub first_byte: Duration,
    /// Between two pieces of a body.
    pub idle: Duration,
    /// All of it, redirects included.
    pub total: Duration,
    /// How long a stream of events is listened to, asking included. It need not end: what came is the answer then.
    pub stream: Duration,
}

impl Default for Limits {
    /// 8 MiB, 64 KiB; 30 s, 15 s, 60 s, 40 s.
    fn default() -> Limits {
        Limits {
            body: 8 << 20,
            challenge: 64 << 10,
            first_byte: Duration::from_secs(30),
            idle: Duration::from_secs(15),
            total: Duration::from_secs(60),
            stream: Duration::from_secs(40),
        }
    }
}

/// What a seller answered, already bounded. All of it is the seller's word.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The address that answered, without fragment.
    pub url: Url,
    /// The header fields, at most 64 KiB.
    pub headers: HeaderMap,
    /// The body, decoded.
    pub body: Bytes,
    /// Whether the body was longer than the limit and is cut there, or is what came of a stream that was still open.
    pub cut: bool,
    /// The web address of a redirect that was not followed, for a person to look at. Nothing was sent there.
    pub moved: Option<Url>,
    /// How many redirects were followed.
    pub hops: u8,
}

/// The one way out to the web. Cheap to build, since TLS is set up at its first use, and cheap to clone.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    settings: Arc<Settings>,
    seller: OnceLock<Result<reqwest::Client, Error>>,
    operator: OnceLock<Result<reqwest::Client, Error>>,
}

impl Client {
    /// A client under the operator's settings. Reads no file and opens no connection.
    pub fn new(settings: Settings) -> Client {
        Client(Arc::new(Inner { settings: Arc::new(settings), seller: OnceLock::new(), operator: OnceLock::new() }))
    }

    /// The settings it was made with.
    pub fn settings(&self) -> &Settings {
        &self.0.settings
    }

    /// Sends a request and reads the answer, following the redirects that are harmless.
    ///
    /// A redirect that is not followed, for whatever reason, is an [`Answer`] with `moved`: the seller did answer.
    ///
    /// # Errors
    /// [`Error::Refused`] when nothing was sent to anybody; [`Error::Failed`] with `sent: true` as soon as any seller
    /// may have seen the request.
    pub async fn send(&self, policy: Policy, ask: Ask) -> Result<Answer, Error> {
        self.send_telling(policy, ask, &|_, _| ()).await
    }

    /// The same, and lets the answer be heard while it comes. What is heard is decoded, and at most one piece beyond the
    /// limit.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn send_telling(&self, policy: Policy, ask: Ask, heard: Heard<'_>) -> Result<Answer, Error> {
        headers::inspect(&ask.headers)?;
        // An absurd total would overflow the clock; a day is beyond any use.
        let far = Duration::from_secs(86_400);
        let now = Instant::now();
        let until = Until { all: now + ask.limits.total.min(far), stream: now + ask.limits.stream.min(far) };
        let mut first = ask.url.clone();
        first.set_fragment(None);
        let mut answer = self.hop(policy, &ask, &first, true, until, heard).await?;
        let mut trail = vec![first];
        while let Some(to) = answer.moved.clone() {
            let trip = Trip {
                policy,
                method: &ask.method,
                has_body: !ask.body.is_empty(),
                has_credential: ask.credential.is_some(),
                trail: &trail,
            };
            if !trip.follows(answer.status, &to) {
                break;
            }
            let home = trail.iter().chain([&to]).all(|url| url.origin() == ask.url.origin());
            match self.hop(policy, &ask, &to, home, until, heard).await {
                Ok(next) => answer = Answer { hops: answer.hops + 1, ..next },
                // This hop sent nothing, but an earlier one did: to say "refused" would say that nobody saw it.
                Err(Error::Refused { .. }) => break,
                Err(Error::Failed { say, .. }) => return Err(Error::sent(say)),
            }
            trail.push(to);
        }
        Ok(answer)
    }

    /// Asks one address once. Away from `home` nothing goes along that says who asks.
    async fn hop(
        &self,
        policy: Policy,
        ask: &Ask,
        url: &Url,
        home: bool,
        until: Until,
        heard: Heard<'_>,
    ) -> Result<Answer, Error> {
        let deadline = until.all;
        vet(policy, self.settings(), url)?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(Error::refused("scheme", "Only http and https addresses are fetched."));
        }
        let mut fields = if home { ask.headers.clone() } else { headers::for_another_origin(&ask.headers) };
        fields.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        if home && let Some(credential) = &ask.credential {
            let mut value = credential.value.clone();
            value.set_sensitive(true);
            fields.insert(credential.name.clone(), value);
        }
        let mut request = self.wire(policy)?.request(ask.method.clone(), url.clone()).headers(fields);
        if !ask.body.is_empty() || !matches!(ask.method, Method::GET | Method::HEAD) {
            request = request.body(ask.body.clone());
        }
        let patience = Instant::now().checked_add(ask.limits.first_byte).map_or(deadline, |at| at.min(deadline));
        let response = match timeout_at(patience, request.send()).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(failure(&error, policy, url)),
            Err(_) => return Err(Error::sent(format!("{} did not answer in time.", shown(policy, url)))),
        };
        let status = response.status().as_u16();
        if headers::weight(response.headers()) > MAX_HEADERS {
            return Err(Error::sent(format!("The answer of {} has more than 64 KiB of headers.", shown(policy, url))));
        }
        let received = response.headers().clone();
        let moved = redirect::target(status, &received, url);
        let cap = if status == 402 || moved.is_some() { ask.limits.challenge } else { ask.limits.body };
        let kind = received.get(CONTENT_TYPE).map(|v| v.as_bytes().to_ascii_lowercase()).unwrap_or_default();
        let stream = kind.starts_with(b"text/event-stream") && status != 402 && moved.is_none();
        // However late its first byte came, a stream may say something.
        let listen = until.stream.max(Instant::now() + LISTEN).min(deadline);
        let deadline = if stream { listen } else { deadline };
        let how = Reading { cap, idle: ask.limits.idle, deadline, stream, heard };
        let (body, cut) = body::read(response, &shown(policy, url), how).await?;
        Ok(Answer { status, url: url.clone(), headers: received, body, cut, moved, hops: 0 })
    }

    fn wire(&self, policy: Policy) -> Result<&reqwest::Client, Error> {
        let cell = match policy {
            Policy::Seller => &self.0.seller,
            Policy::Operator => &self.0.operator,
        };
        let built = cell.get_or_init(|| {
            let tls = tls::tls_config(self.settings())?;
            reqwest::Client::builder()
                .tls_backend_preconfigured(tls.as_ref().clone())
                .dns_resolver(Arc::new(Vetted { policy, settings: self.0.settings.clone() }))
                .no_proxy()
                .redirect(reqwest::redirect::Policy::none())
                .retry(reqwest::retry::never())
                .referer(false)
                .http1_only()
                .user_agent(USER_AGENT)
                .connect_timeout(CONNECT)
                .pool_idle_timeout(KEEP)
                .pool_max_idle_per_host(2)
                .build()
                .map_err(|_| Error::refused("tls", "The HTTP client could not be built."))
        });
        built.as_ref().map_err(Error::clone)
    }
}

/// Says what an error of the HTTP library means: our own refusal, a bad certificate, no connection, or a broken answer.
fn failure(error: &reqwest::Error, policy: Policy, url: &Url) -> Error {
    let mut next: Option<&(dyn StdError + 'static)> = Some(error);
    let mut too_large = false;
    while let Some(link) = next {
        if let Some(own) = link.downcast_ref::<Error>() {
            return own.clone();
        }
        if let Some(why) = link.downcast_ref().and_then(tls::objection) {
            return Error::refused("tls", format!("The certificate of {} {why}.", shown(policy, url)));
        }
        too_large |= link.to_string() == "message head is too large";
        // `source` of an io::Error skips the error it was made of, and TLS errors come inside of two.
        next = match link.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => link.source(),
        };
    }
    if error.is_connect() {
        Error::unsent(format!("No connection to {}.", shown(policy, url)))
    } else if too_large {
        Error::sent(format!("The answer of {} has too many or too large headers.", shown(policy, url)))
    } else {
        Error::sent(format!("{} answered nothing that can be read.", shown(policy, url)))
    }
}
