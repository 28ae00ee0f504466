//! Request headers: which ones a model may set, and which ones nobody but us.

use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::{Error, Settings, error::quoted};

/// The headers that a model may set without the operator's word.
pub const ALLOWED: [&str; 7] =
    ["accept", "accept-language", "content-type", "if-none-match", "range", "x-free-tier", "idempotency-key"];

/// Headers that carry money or identity, steer the connection, or are ours to set. No setting opens them.
const NEVER: [&str; 24] = [
    "accept-encoding",
    "age",
    "cache-control",
    "connection",
    "content-length",
    "cookie",
    "cookie2",
    "expect",
    "forwarded",
    "host",
    "http2-settings",
    "keep-alive",
    "macaroon",
    "origin",
    "pragma",
    "referer",
    "set-cookie",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "via",
    "x-real-ip",
];

/// Families of them, by how the name begins.
const NEVER_BEGINS: [&str; 7] = ["l402", "lsat", "payment", "proxy-", "sec-", "x-forwarded-", "x-payment"];

/// Families of them, by what the name contains.
const NEVER_CONTAINS: [&str; 3] = ["authorization", "macaroon", "preimage"];

const MAX_VALUE: usize = 4096;

/// Judges headers that a model wrote, and builds them.
///
/// # Errors
/// [`Error::Refused`] with code `header`, naming the header and never its value.
pub fn vet(settings: &Settings, wanted: &[(String, String)]) -> Result<HeaderMap, Error> {
    let mut headers = HeaderMap::new();
    for (name, value) in wanted {
        let refused = |why: &str| Err(Error::refused("header", format!("Header `{}` {why}.", quoted(name))));
        let Ok(known) = HeaderName::from_bytes(name.as_bytes()) else {
            return refused("is not a header name");
        };
        if is_ours(&known) {
            return refused("is set by Bursar itself or not at all");
        }
        let listed = ALLOWED.contains(&known.as_str())
            || settings.allow_headers.iter().any(|allowed| allowed.eq_ignore_ascii_case(known.as_str()));
        if !listed {
            return refused("is not among the allowed ones; the operator can add it (allow_headers)");
        }
        if value.len() > MAX_VALUE || !value.bytes().all(|b| (0x20..0x7f).contains(&b)) {
            return refused("has a value that is not plain ASCII on one line, or is too long");
        }
        let Ok(value) = HeaderValue::from_str(value) else {
            return refused("has a value that cannot be sent");
        };
        if headers.insert(known, value).is_some() {
            return refused("was given twice");
        }
    }
    Ok(headers)
}

/// Whether a header is never a caller's to set.
fn is_ours(name: &HeaderName) -> bool {
    let name = name.as_str();
    NEVER.contains(&name)
        || NEVER_BEGINS.iter().any(|start| name.starts_with(start))
        || NEVER_CONTAINS.iter().any(|part| name.contains(part))
}

/// Refuses a request whose plain headers hold what only a credential or the client itself may set.
pub(super) fn inspect(headers: &HeaderMap) -> Result<(), Error> {
    match headers.keys().find(|name| is_ours(name)) {
        None => Ok(()),
        Some(name) => {
            Err(Error::refused("header", format!("Header `{}` is set by Bursar itself or not at all.", name.as_str())))
        }
    }
}

/// The headers that may follow a redirect to somebody else: they say what we want, and nothing about who we are.
pub(super) fn for_another_origin(headers: &HeaderMap) -> HeaderMap {
    let portable = [header::ACCEPT, header::ACCEPT_LANGUAGE, header::RANGE];
    portable.into_iter().filter_map(|name| headers.get(&name).cloned().map(|value| (name, value))).collect()
}

/// How many bytes header fields take on the wire.
pub(super) fn weight(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum()
}
