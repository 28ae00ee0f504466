//! What costs money, and how much.

use axum::http::Method;

/// A priced endpoint; all of them are `POST`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Endpoint {
    pub(super) kind: Kind,
    pub(super) path: &'static str,
    /// The price of a call, in millionths of a dollar.
    pub(super) micro_usd: u64,
    /// Free calls in a window.
    pub(super) free_calls: u32,
    /// The window, in days.
    pub(super) free_days: u64,
}

/// What an endpoint does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Discover,
    Quotes,
    Chapters,
    Pull,
}

const ENDPOINTS: [Endpoint; 4] = [
    Endpoint { kind: Kind::Discover, path: "/api/discover-podcasts", micro_usd: 5_000, free_calls: 3, free_days: 7 },
    Endpoint { kind: Kind::Quotes, path: "/api/search-quotes", micro_usd: 4_000, free_calls: 2, free_days: 7 },
    Endpoint { kind: Kind::Chapters, path: "/api/search-chapters", micro_usd: 8_000, free_calls: 3, free_days: 7 },
    Endpoint { kind: Kind::Pull, path: "/api/pull", micro_usd: 100_000, free_calls: 7, free_days: 30 },
];

impl Endpoint {
    /// Finds the endpoint behind a request.
    pub(super) fn find(method: &Method, path: &str) -> Option<&'static Endpoint> {
        static ALL: [Endpoint; 4] = ENDPOINTS;
        ALL.iter().find(|e| method == Method::POST && e.path == path)
    }
}
