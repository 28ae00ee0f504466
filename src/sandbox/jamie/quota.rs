//! The free tier. The real one counts by address; on loopback that is one caller.

use std::collections::HashMap;

use axum::http::{HeaderMap, HeaderValue};
use serde_json::{Value, json};

use super::endpoint::{Endpoint, Kind};
use crate::sandbox::stamp;

/// Free calls used, by endpoint, each in a window that starts at its first call.
#[derive(Debug, Default)]
pub(super) struct Quotas(HashMap<Kind, Window>);

#[derive(Debug)]
struct Window {
    used: u32,
    resets_ms: u64,
}

/// What asking for a free call came to.
#[derive(Debug)]
pub(super) struct Taken {
    used: u32,
    max: u32,
    resets_ms: u64,
    /// The body of the 429, when nothing is left.
    pub(super) refusal: Option<Value>,
}

impl Quotas {
    /// Takes one free call, if one is left.
    pub(super) fn take(&mut self, endpoint: &Endpoint, now_ms: u64) -> Taken {
        let fresh = || Window { used: 0, resets_ms: now_ms + endpoint.free_days * 86_400_000 };
        let window = self.0.entry(endpoint.kind).or_insert_with(fresh);
        if window.resets_ms <= now_ms {
            *window = fresh();
        }
        let max = endpoint.free_calls;
        let refusal = (window.used >= max).then(|| {
            json!({
                "error": "Quota exceeded",
                "code": "QUOTA_EXCEEDED",
                "used": window.used,
                "max": max,
                "resetDate": stamp::iso(window.resets_ms),
                "daysUntilReset": (window.resets_ms - now_ms).div_ceil(86_400_000),
                "tier": "anonymous",
            })
        });
        if refusal.is_none() {
            window.used += 1;
        }
        Taken { used: window.used, max, resets_ms: window.resets_ms, refusal }
    }
}

impl Taken {
    /// Writes the quota headers.
    pub(super) fn write(&self, headers: &mut HeaderMap) {
        headers.insert("x-quota-used", self.used.into());
        headers.insert("x-quota-max", self.max.into());
        headers.insert("x-quota-remaining", (self.max - self.used).into());
        if let Ok(reset) = HeaderValue::from_str(&stamp::iso(self.resets_ms)) {
            headers.insert("x-quota-reset", reset);
        }
    }
}
