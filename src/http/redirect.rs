//! Redirects: where an answer points, and whether a request may go there by itself.

use http::{HeaderMap, Method, header::LOCATION};
use url::Url;

use super::{Origin, Policy};

const MAX_HOPS: usize = 3;

/// The web address that an answer points to, absolute and without fragment; `None` when it points to none.
pub(super) fn target(status: u16, headers: &HeaderMap, from: &Url) -> Option<Url> {
    if !matches!(status, 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    let location = std::str::from_utf8(headers.get(LOCATION)?.as_bytes()).ok()?;
    let mut to = from.join(location).ok()?;
    to.set_fragment(None);
    Origin::of(&to).is_some().then_some(to)
}

/// A request under way, as far as redirects ask about it.
pub(super) struct Trip<'a> {
    pub(super) policy: Policy,
    pub(super) method: &'a Method,
    pub(super) has_body: bool,
    pub(super) has_credential: bool,
    /// Every address that was asked, the last one included.
    pub(super) trail: &'a [Url],
}

impl Trip<'_> {
    /// Whether the request may go on to where the last answer points.
    ///
    /// Who pays or says something goes nowhere else than asked: a credential or a body stays in its origin. Who only
    /// reads may be sent to another seller, but never from TLS to plain text.
    pub(super) fn follows(&self, status: u16, to: &Url) -> bool {
        let Some(from) = self.trail.last() else { return false };
        if self.policy == Policy::Operator || self.trail.len() > MAX_HOPS || self.trail.contains(to) {
            return false;
        }
        if from.scheme() == "https" && to.scheme() != "https" {
            return false;
        }
        let reads = matches!(*self.method, Method::GET | Method::HEAD) && !self.has_body;
        // 301, 302 and 303 turn a POST into a GET in some clients and not in others; neither is what was asked.
        let keeps = reads || matches!(status, 307 | 308);
        let stays = Origin::of(from) == Origin::of(to);
        keeps && (stays || (reads && !self.has_credential))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn pointed(location: &'static [u8]) -> Option<String> {
        let mut headers = HeaderMap::new();
        headers.insert(LOCATION, HeaderValue::from_bytes(location).unwrap());
        target(302, &headers, &Url::parse("https://a.example/x/y?q").unwrap()).map(String::from)
    }

    #[test]
    fn a_location_is_read_as_a_browser_reads_it() {
        assert_eq!(pointed(b"z#f").as_deref(), Some("https://a.example/x/z"));
        assert_eq!(pointed(b"//evil.example/z").as_deref(), Some("https://evil.example/z"));
        assert_eq!(pointed(b"\\\\evil.example\\z").as_deref(), Some("https://evil.example/z"));
        assert_eq!(pointed(b"/\\evil.example").as_deref(), Some("https://evil.example/"));
    }

    #[test]
    fn a_location_that_is_no_web_address_points_nowhere() {
        for location in [&b"javascript:alert(1)"[..], b"file:///etc/passwd", b"data:,x", b"http://", b"\xff\xfe"] {
            assert_eq!(pointed(location), None, "{location:?}");
        }
    }

    #[test]
    fn only_redirects_redirect() {
        let mut headers = HeaderMap::new();
        headers.insert(LOCATION, HeaderValue::from_static("/z"));
        let from = Url::parse("https://a.example/").unwrap();
        for status in [200, 201, 300, 304, 305, 306, 402] {
            assert_eq!(target(status, &headers, &from), None, "{status}");
        }
    }
}
