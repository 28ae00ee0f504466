//! What a token's caveats say about where and until when it works: a hint for the cache, never a promise.

use serde_json::Value;

use super::{super::text::clean, binding::objects, macaroon::Macaroon};

/// Where a token may work. A wrong hint costs one refused request and no money.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hints {
    /// The earliest end that it names, in unix seconds.
    pub expires_at: Option<u64>,
    /// The services that it names, without their tiers, at most 16, cleaned.
    pub services: Vec<String>,
    /// The path that it names: begins with `/`, at most 512 visible ASCII characters.
    pub path: Option<String>,
}

/// Reads the hints in a token; empty where there are none.
pub fn hints(token: &str) -> Hints {
    let mut hints = Hints::default();
    if let Ok(macaroon) = Macaroon::from_token(token) {
        for (name, value) in macaroon.conditions() {
            hints.take(name, value);
        }
    }
    for (name, value) in objects(token).iter().flatten() {
        match value {
            Value::String(text) => hints.take(name, text),
            Value::Number(number) => hints.take(name, &number.to_string()),
            _ => {}
        }
    }
    hints
}

impl Hints {
    fn take(&mut self, name: &str, value: &str) {
        match name {
            "services" => value.split(',').for_each(|s| self.service(s.rsplit_once(':').map_or(s, |(name, _)| name))),
            "service" => self.service(value),
            "RequestPath" | "path" => {
                let fits = value.starts_with('/') && value.len() <= 512 && value.bytes().all(|b| b.is_ascii_graphic());
                if fits && self.path.is_none() {
                    self.path = Some(value.to_owned());
                }
            }
            "expires_at" | "expiresAt" | "valid_until" | "exp" => self.end(value),
            _ if name.ends_with("_valid_until") => self.end(value),
            _ => {}
        }
    }

    fn service(&mut self, name: &str) {
        let name = clean(name, 100);
        if !name.is_empty() && self.services.len() < 16 && !self.services.contains(&name) {
            self.services.push(name);
        }
    }

    fn end(&mut self, value: &str) {
        // Some count milliseconds; in seconds that would be after the year 5100.
        let Ok(end) = value.parse::<u64>() else { return };
        let end = if end > 100_000_000_000 { end / 1000 } else { end };
        self.expires_at = Some(self.expires_at.map_or(end, |known| known.min(end)));
    }
}
