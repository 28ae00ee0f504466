//! The request an agent wants answered: vetted once, then the same bytes every time it is sent.

use data_encoding::{BASE64, HEXLOWER};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde::{Deserialize, Serialize};
use url::Url;

use super::No;
use crate::{
    http::{Origin, Policy, Settings, headers, vet_url},
    ledger::{Idempotency, LOCAL, is_principal},
    money::Amount,
};

/// Methods that may be sent. PATCH, PUT and DELETE carry an idempotency key of their own like POST does.
const METHODS: [&str; 6] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];
/// The largest request body.
const MAX_BODY: usize = 1024 * 1024;

/// What a caller asks for, before anything was checked.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// The URL.
    pub url: String,
    /// The method; `None` means GET, or POST when there is a body.
    pub method: Option<String>,
    /// Headers from the allow-list.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Option<Vec<u8>>,
    /// Whether the body is JSON: then `Content-Type: application/json` is the default.
    pub json: bool,
    /// The most it may cost.
    pub max_price: Option<Amount>,
    /// The caller's own idempotency key.
    pub idempotency_key: Option<String>,
    /// Why, for the audit.
    pub purpose: String,
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The principal: `local` for stdio and the command line.
    pub principal: String,
    /// The key of the session, or empty.
    pub session_key: String,
}

impl Caller {
    /// The principal of stdio and the command line.
    pub fn local(session_key: impl Into<String>) -> Caller {
        Caller { principal: LOCAL.into(), session_key: session_key.into() }
    }

    /// An agent that came over HTTP. It has one running session at a time, however often it connects: a new connection
    /// is no new budget. `None` for a name that is none (see [`is_principal`]).
    pub fn agent(principal: &str) -> Option<Caller> {
        let good = is_principal(principal) && principal != LOCAL;
        good.then(|| Caller { principal: principal.to_owned(), session_key: String::new() })
    }
}

/// A vetted request. It is stored with its purchase and sent again byte for byte.
#[derive(Clone, Debug)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The URL.
    pub url: Url,
    /// Its exact origin.
    pub origin: Origin,
    /// Every header that is sent, but for a credential.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
}

/// A multipart body goes out as it was written, so it must be one: Bursar puts no parts together.
fn multipart(headers: &HeaderMap, body: &[u8]) -> Result<(), No> {
    let kind = headers.get(http::header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    if !kind.trim_start().to_ascii_lowercase().starts_with("multipart/") {
        return Ok(());
    }
    let parameters = kind.split(';').skip(1).filter_map(|p| p.split_once('='));
    let boundary = parameters.filter(|(name, _)| name.trim().eq_ignore_ascii_case("boundary")).map(|(_, b)| b).next();
    let boundary = boundary.map(|b| b.trim().trim_matches('"')).filter(|b| (1..=70).contains(&b.len()));
    let whole = boundary.is_some_and(|boundary| {
        let (open, close) = (format!("--{boundary}\r\n"), format!("\r\n--{boundary}--"));
        let has = |part: &str| body.windows(part.len()).any(|w| w == part.as_bytes());
        has(&open) && has(&close)
    });
    if whole {
        return Ok(());
    }
    Err(No::new(
        "bad_multipart",
        "a multipart body is sent as it is written, and this one is not whole: Content-Type must name its boundary, and \
         body must hold the parts between such boundaries, with CRLF at the end of each line. Where the API takes JSON or \
         a form (application/x-www-form-urlencoded), use that",
    ))
}

#[derive(Serialize, Deserialize)]
struct Stored {
    method: String,
    url: String,
    headers: Vec<(String, String)>,
    body: String,
}

impl Request {
    /// Vets a wish.
    ///
    /// # Errors
    /// A URL, method, header or body that is not sent. Nothing was sent.
    pub fn vet(settings: &Settings, wish: &Wish) -> Result<Request, No> {
        let url = vet_url(Policy::Seller, settings, &wish.url)?;
        let origin = Origin::of(&url).ok_or_else(|| No::new("bad_url", "the URL has no host"))?;
        let default = if wish.body.is_some() { "POST" } else { "GET" };
        let method = wish.method.as_deref().unwrap_or(default).to_ascii_uppercase();
        if !METHODS.contains(&method.as_str()) {
            return Err(No::new("bad_method", format!("the method must be one of {}", METHODS.join(", "))));
        }
        let body = wish.body.clone().unwrap_or_default();
        if body.len() > MAX_BODY {
            return Err(No::new("body_too_large", format!("the body may have at most {MAX_BODY} bytes")));
        }
        let mut headers = headers::vet(settings, &wish.headers)?;
        multipart(&headers, &body)?;
        if !body.is_empty() && !headers.contains_key(http::header::CONTENT_TYPE) {
            let kind = if wish.json { "application/json" } else { "application/x-www-form-urlencoded" };
            headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static(kind));
        }
        if !headers.contains_key(http::header::ACCEPT) {
            headers.insert(http::header::ACCEPT, HeaderValue::from_static("application/json, text/*;q=0.9, */*;q=0.5"));
        }
        let method =
            Method::from_bytes(method.as_bytes()).map_err(|_| No::new("bad_method", "the method is not one"))?;
        if !matches!(method, Method::GET | Method::HEAD) && !headers.contains_key("idempotency-key") {
            // A seller that honours it runs our repeated request once (draft-ietf-httpapi-idempotency-key-header).
            let key = HEXLOWER.encode(&crate::random::<16>());
            if let Ok(value) = HeaderValue::from_str(&key) {
                headers.insert(HeaderName::from_static("idempotency-key"), value);
            }
        }
        Ok(Request { method, url, origin, headers, body })
    }

    /// Whether sending it twice is harmless by HTTP's own rules (RFC 9110 9.2.2).
    pub fn repeatable(&self) -> bool {
        matches!(self.method, Method::GET | Method::HEAD | Method::PUT | Method::DELETE)
    }

    /// The same place, asked with another method and without a body: for what is no call.
    pub(super) fn bare(&self, method: Method) -> Request {
        let mut headers = self.headers.clone();
        for name in ["content-type", "idempotency-key", "if-none-match", "range"] {
            headers.remove(name);
        }
        Request { method, headers, body: Vec::new(), url: self.url.clone(), origin: self.origin.clone() }
    }

    /// The host in ASCII.
    pub fn host(&self) -> String {
        self.url.host_str().unwrap_or_default().to_owned()
    }

    /// What a person reads: method and path without the query.
    pub fn line(&self) -> String {
        format!("{} {}", self.method, self.url.path())
    }

    /// The bytes stored with the purchase.
    pub fn to_bytes(&self) -> Vec<u8> {
        let header = |(name, value): (&HeaderName, &HeaderValue)| {
            (name.as_str().to_owned(), value.to_str().unwrap_or_default().to_owned())
        };
        let stored = Stored {
            method: self.method.to_string(),
            url: self.url.to_string(),
            headers: self.headers.iter().map(header).collect(),
            body: BASE64.encode(&self.body),
        };
        serde_json::to_vec(&stored).unwrap_or_default()
    }

    /// Reads a stored request back.
    pub fn from_bytes(bytes: &[u8]) -> Option<Request> {
        let stored: Stored = serde_json::from_slice(bytes).ok()?;
        let url = Url::parse(&stored.url).ok()?;
        let mut headers = HeaderMap::new();
        for (name, value) in &stored.headers {
            headers.append(HeaderName::from_bytes(name.as_bytes()).ok()?, HeaderValue::from_str(value).ok()?);
        }
        Some(Request {
            method: Method::from_bytes(stored.method.as_bytes()).ok()?,
            origin: Origin::of(&url)?,
            url,
            headers,
            body: BASE64.decode(stored.body.as_bytes()).ok()?,
        })
    }

    /// What makes an equal request the same purchase: principal, method, URL, body and the headers that change the
    /// answer; or the caller's own key.
    ///
    /// # Errors
    /// A key that is empty, too long or not printable ASCII.
    pub fn idempotency(&self, principal: &str, key: Option<&str>) -> Result<Idempotency, No> {
        let mut neutral: Vec<(&str, &[u8])> = self
            .headers
            .iter()
            .filter(|(name, _)| !matches!(name.as_str(), "idempotency-key" | "x-free-tier"))
            .map(|(name, value)| (name.as_str(), value.as_bytes()))
            .collect();
        neutral.sort();
        let mut hash = ring::digest::Context::new(&ring::digest::SHA256);
        let mut part = |bytes: &[u8]| {
            hash.update(&(bytes.len() as u64).to_be_bytes());
            hash.update(bytes);
        };
        part(principal.as_bytes());
        part(self.method.as_str().as_bytes());
        part(self.url.as_str().as_bytes());
        part(&self.body);
        for (name, value) in neutral {
            part(name.as_bytes());
            part(value);
        }
        let request_hash = HEXLOWER.encode(hash.finish().as_ref());
        match key {
            None => Ok(Idempotency { key: format!("a:{request_hash}"), explicit: false, request_hash }),
            Some(key) if (1..=128).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_graphic()) => {
                Ok(Idempotency { key: format!("k:{key}"), explicit: true, request_hash })
            }
            Some(_) => {
                Err(No::new("bad_idempotency_key", "an idempotency key has 1 to 128 printable ASCII characters"))
            }
        }
    }
}
