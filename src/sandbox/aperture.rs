//! An API behind an aperture-shaped paywall: two challenge lines, V2 macaroons, one price for each service.
//!
//! | path | token |
//! |---|---|
//! | `GET /v1/free` | none |
//! | `GET /v1/rates` | service `rates`, reusable |
//! | `GET /v1/large` | service `large`, reusable; a JSON text of 200 KB |
//! | `GET /v1/metered/...` | service `metered`, good for a number of calls, then a new challenge |
//! | `GET /v1/dynamic/...` | one token for each path |
//!
//! A token of one service does not open another on the same host, and whatever is wrong with a credential, the answer
//! is 402 with a new challenge, never 401.

use std::{
    collections::HashMap,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    extract::State,
    http::{
        HeaderMap, HeaderValue, Method, StatusCode, Uri,
        header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, WWW_AUTHENTICATE},
    },
    response::{IntoResponse as _, Response},
};
use data_encoding::{BASE64, HEXLOWER};
use serde_json::json;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{
    SandboxError, listen, lock,
    macaroon::{Macaroon, RootKey},
    node::PlayNode,
};

/// How long an invoice can be paid, in seconds.
const INVOICE_S: u64 = 3600;

/// The settings of the API.
#[derive(Clone, Debug)]
pub struct ApertureOptions {
    /// Where it listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The key its tokens are minted under.
    pub root_key: RootKey,
    /// What a token costs, in satoshi.
    pub price_sat: u64,
    /// How many calls a metered token is good for.
    pub metered_calls: u32,
}

impl Default for ApertureOptions {
    fn default() -> ApertureOptions {
        ApertureOptions {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            root_key: RootKey::random(),
            price_sat: 21,
            metered_calls: 5,
        }
    }
}

/// The API. Dropping it closes its listener.
#[derive(Debug)]
pub struct Aperture {
    url: String,
    gate: Arc<Gate>,
    _stop: DropGuard,
}

#[derive(Debug)]
struct Gate {
    node: PlayNode,
    options: ApertureOptions,
    tally: Mutex<Tally>,
}

#[derive(Debug, Default)]
struct Tally {
    challenges: usize,
    served: HashMap<String, usize>,
    used: HashMap<[u8; 32], u32>,
}

impl Aperture {
    /// Starts the API.
    ///
    /// # Errors
    /// [`SandboxError::Bind`].
    pub async fn start(node: PlayNode, options: ApertureOptions) -> Result<Aperture, SandboxError> {
        let (listener, bound) = listen::bind(options.listen).await?;
        let gate = Arc::new(Gate { node, options, tally: Mutex::default() });
        let stop = CancellationToken::new();
        listen::serve(listener, Router::new().fallback(answer).with_state(gate.clone()), stop.clone());
        Ok(Aperture { url: format!("http://{bound}"), gate, _stop: stop.drop_guard() })
    }

    /// Its base URL, without a slash at the end.
    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// How many challenges, each with an invoice of its own, it gave out.
    pub fn challenges(&self) -> usize {
        lock(&self.gate.tally).challenges
    }

    /// How many times it answered 200 on a path.
    pub fn served(&self, path: &str) -> usize {
        lock(&self.gate.tally).served.get(path).copied().unwrap_or(0)
    }
}

async fn answer(State(gate): State<Arc<Gate>>, method: Method, uri: Uri, headers: HeaderMap) -> Response {
    let path = uri.path();
    let service = match path {
        "/v1/free" => None,
        "/v1/rates" => Some("rates".to_owned()),
        "/v1/large" => Some("large".to_owned()),
        _ if path.starts_with("/v1/metered/") => Some("metered".to_owned()),
        // A service with dynamic prices is named together with the path.
        _ if path.starts_with("/v1/dynamic/") => Some(format!("dynamic{path}")),
        _ => return (StatusCode::NOT_FOUND, "404 page not found\n").into_response(),
    };
    // The paywall stands before the service, so a wrong method is found out only after paying.
    if let Some(service) = service
        && !gate.admits(&headers, &service)
    {
        return gate.challenge(&service);
    }
    if method != Method::GET && method != Method::HEAD {
        return StatusCode::METHOD_NOT_ALLOWED.into_response();
    }
    *lock(&gate.tally).served.entry(path.to_owned()).or_default() += 1;
    ([(CONTENT_TYPE, "application/json")], content(path)).into_response()
}

impl Gate {
    fn challenge(&self, service: &str) -> Response {
        let Ok(made) = self.node.invoice(self.options.price_sat.saturating_mul(1000), "L402", INVOICE_S) else {
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        };
        let token_id: [u8; 32] = crate::random();
        let mut identifier = vec![0, 0];
        identifier.extend(HEXLOWER.decode(made.payment_hash.as_bytes()).unwrap_or_default());
        identifier.extend(token_id);
        let caveats = vec![format!("services={service}:0")];
        let token = Macaroon::mint(&self.options.root_key.of(&token_id), "lsat", identifier, caveats);
        lock(&self.tally).challenges += 1;

        let mut response = (StatusCode::PAYMENT_REQUIRED, "payment required\n").into_response();
        let (token, invoice) = (BASE64.encode(&token.to_v2()), made.bolt11);
        for scheme in ["LSAT", "L402"] {
            if let Ok(value) = HeaderValue::from_str(&format!("{scheme} macaroon=\"{token}\", invoice=\"{invoice}\"")) {
                response.headers_mut().append(WWW_AUTHENTICATE, value);
            }
        }
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }

    /// Whether a credential opens this service; draws one call from a metered one.
    fn admits(&self, headers: &HeaderMap, service: &str) -> bool {
        let Some((token, preimage)) = credential(headers) else { return false };
        let id = &token.identifier;
        if id.len() != 66 || id[..2] != [0, 0] || crate::sha256(&preimage)[..] != id[2..34] {
            return false;
        }
        let token_id = <[u8; 32]>::try_from(&id[34..]).unwrap_or_default();
        let allowed = token.caveat("services").unwrap_or_default();
        let names = allowed.split(',').filter_map(|s| s.rsplit_once(':')).any(|(name, _)| name == service);
        if !token.is_genuine(&self.options.root_key.of(&token_id)) || !names {
            return false;
        }
        if service == "metered" {
            let tally = &mut *lock(&self.tally);
            let used = tally.used.entry(token_id).or_default();
            if *used >= self.options.metered_calls {
                return false;
            }
            *used += 1;
        }
        true
    }
}

/// Reads `(LSAT|L402) <base64>:<64 lower-case hex digits>`; anything else is no credential.
pub(super) fn credential(headers: &HeaderMap) -> Option<(Macaroon, [u8; 32])> {
    let text = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let rest = text.strip_prefix("LSAT ").or_else(|| text.strip_prefix("L402 "))?;
    let (token, preimage) = rest.split_once(':')?;
    let preimage = HEXLOWER.decode(preimage.as_bytes()).ok()?.try_into().ok()?;
    Some((Macaroon::from_v2(&BASE64.decode(token.as_bytes()).ok()?)?, preimage))
}

fn content(path: &str) -> String {
    match path {
        "/v1/free" => json!({"status": "ok", "note": "this one costs nothing"}),
        "/v1/rates" => json!({
            "base": "BTC",
            "rates": {"USD": 100_000.0, "EUR": 92_000.0, "JPY": 15_100_000.0, "CHF": 88_500.0},
            "as_of": "2026-11-20T12:00:00Z",
        }),
        "/v1/large" => return large(),
        _ => json!({"path": path, "data": "the answer you paid for"}),
    }
    .to_string()
}

/// Lines of a long, dull log, so that a page of it is easy to tell from another.
fn large() -> String {
    let line =
        |n: usize| json!({"n": n, "text": format!("Line {n:05} of a long report that nobody reads to the end.")});
    let lines: Vec<_> = (1..=2600).map(line).collect();
    json!({"title": "A long report", "lines": lines}).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_large_answer_is_about_two_hundred_kilobytes_of_json() {
        let text = large();
        assert!((195_000..215_000).contains(&text.len()), "{}", text.len());
        assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok());
    }

    #[test]
    fn a_credential_is_read_only_in_the_shape_aperture_reads() {
        let token = BASE64.encode(&Macaroon::mint(b"k", "lsat", vec![0; 66], vec![]).to_v2());
        let seen = |text: String| {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, HeaderValue::from_str(&text).unwrap());
            credential(&headers).is_some()
        };
        let preimage = "ab".repeat(32);
        assert!(seen(format!("L402 {token}:{preimage}")) && seen(format!("LSAT {token}:{preimage}")));
        for wrong in [
            format!("l402 {token}:{preimage}"),
            format!("L402 {token}:{}", preimage.to_uppercase()),
            format!("L402 {token}:{}", &preimage[2..]),
            format!("L402 {token}"),
            format!("L402 *:{preimage}"),
            format!("Bearer {token}:{preimage}"),
        ] {
            assert!(!seen(wrong.clone()), "{wrong}");
        }
    }
}
