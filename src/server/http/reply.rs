//! Short answers of our own.

use axum::body::Body;
use http::{HeaderValue, Response, StatusCode, header};

/// A status and one line.
pub(super) fn say(status: StatusCode, line: &'static str) -> Response<Body> {
    text(status, "text/plain; charset=utf-8", format!("{line}\n"))
}

/// A status and a text.
pub(super) fn text(status: StatusCode, kind: &'static str, text: String) -> Response<Body> {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

/// No good token. It does not say why.
pub(super) fn who_are_you() -> Response<Body> {
    let mut response = say(StatusCode::UNAUTHORIZED, "a bearer token is needed: bursar token create NAME");
    response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"bursar\""));
    response
}
