//! The origin: what a credential is bound to.

use std::{fmt, str::FromStr};

use url::{Host, Url};

/// How an origin is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scheme {
    /// Plain text, port 80 unless told otherwise.
    Http,
    /// TLS, port 443 unless told otherwise.
    Https,
}

impl Scheme {
    /// The name as it stands in a URL.
    pub const fn name(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
        }
    }

    const fn port(self) -> u16 {
        match self {
            Scheme::Http => 80,
            Scheme::Https => 443,
        }
    }
}

/// A scheme, a host and a port. Two origins are equal only if all three are.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Origin {
    scheme: Scheme,
    host: Host<String>,
    port: u16,
}

impl Origin {
    /// The origin of a web address; `None` when it is not `http` or `https`.
    pub fn of(url: &Url) -> Option<Origin> {
        let scheme = match url.scheme() {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            _ => return None,
        };
        Some(Origin { scheme, host: url.host()?.to_owned(), port: url.port().unwrap_or(scheme.port()) })
    }

    /// How it is spoken to.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The host in ASCII, an IPv6 address in brackets.
    pub fn host(&self) -> String {
        self.host.to_string()
    }

    /// The port that is in effect, written or not.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl fmt::Display for Origin {
    /// Writes `https://host` in ASCII, with `:port` where it is not the scheme's own.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme.name(), self.host)?;
        if self.port == self.scheme.port() { Ok(()) } else { write!(f, ":{}", self.port) }
    }
}

/// The error of reading an [`Origin`] from a text that is more or less than one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an origin is written like https://api.example.com or https://api.example.com:8443")]
pub struct BadOrigin;

impl FromStr for Origin {
    type Err = BadOrigin;

    /// Reads `scheme://host[:port]`, with or without a last slash; anything more is an error.
    fn from_str(text: &str) -> Result<Origin, BadOrigin> {
        let url = Url::parse(text).map_err(|_| BadOrigin)?;
        let bare = url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none();
        if !bare || text.chars().any(|c| c.is_control() || c.is_whitespace() || c == '\\') {
            return Err(BadOrigin);
        }
        Origin::of(&url).ok_or(BadOrigin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_written_in_ascii_and_read_back() {
        for (text, written) in [
            ("https://exämple.com", "https://xn--exmple-cua.com"),
            ("https://EXAMPLE.com:443/", "https://example.com"),
            ("http://example.com:443", "http://example.com:443"),
            ("https://[2606:4700::1111]:8443", "https://[2606:4700::1111]:8443"),
            ("http://2130706433", "http://127.0.0.1"),
        ] {
            let origin: Origin = text.parse().unwrap();
            assert_eq!(origin.to_string(), written);
            assert_eq!(written.parse(), Ok(origin));
        }
    }

    #[test]
    fn more_than_an_origin_is_none() {
        for text in [
            "",
            "example.com",
            "https://example.com/a",
            "https://example.com?a",
            "https://example.com#a",
            "https://me@example.com",
            "https://:pw@example.com",
            " https://example.com",
            "https:\\\\example.com",
            "https://exa\nmple.com",
            "wss://example.com",
            "file:///etc",
            "data:,x",
        ] {
            assert!(text.parse::<Origin>().is_err(), "{text:?}");
        }
    }
}
