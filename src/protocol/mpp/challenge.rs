//! One `Payment` challenge as it was written (httpauth-payment 5.1), before anyone has judged what it asks for.

use http::{HeaderName, header::AUTHORIZATION};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use url::Url;

use super::{
    super::{Objection, header::RawChallenge, text::clean},
    base64url, expiry,
};

/// The other header that a challenge may name for its credential. No third one is honoured: a seller that names headers
/// could make us send anything.
pub(super) const OWN_HEADER: HeaderName = HeaderName::from_static("payment-authorization");

/// The parameters of a challenge, each byte for byte as the seller wrote it. A credential repeats them: servers compare
/// them, or compute a MAC over them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Challenge {
    /// What identifies it, to its server alone.
    pub id: String,
    /// The protection space.
    pub realm: String,
    /// The payment method, such as `lightning`.
    pub method: String,
    /// What kind of payment, such as `charge`.
    pub intent: String,
    /// The encoded JSON of what is asked for.
    pub request: String,
    /// When it ends.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub expires: Option<String>,
    /// The digest of the request's body that it is for.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub digest: Option<String>,
    /// The seller's words, where they can be repeated unharmed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub description: Option<String>,
    /// What the server wants back unchanged.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub opaque: Option<String>,
    /// The header that the credential goes into, where the seller names one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub header: Option<String>,
}

impl Challenge {
    /// Reads the parameters of a challenge in the scheme `Payment`. Parameters that are not known are ignored.
    ///
    /// # Errors
    /// `bad_challenge` where a required parameter is missing or not text, `ambiguous` where one is written twice with
    /// different values: whoever added the second must not choose what is paid.
    pub fn read(raw: &RawChallenge) -> Result<Challenge, Objection> {
        let bad = |say: String| Objection::new("bad_challenge", say);
        let text = |name: &str| -> Result<Option<String>, Objection> {
            let value = raw.one(name).map_err(|_| {
                Objection::new("ambiguous", format!("the challenge names \"{name}\" twice, with different values"))
            })?;
            let Some(value) = value else { return Ok(None) };
            let text = std::str::from_utf8(value);
            text.map(|t| Some(t.to_owned())).map_err(|_| bad(format!("the challenge's \"{name}\" is not text")))
        };
        let required = |name: &str| {
            text(name)?
                .filter(|value| !value.is_empty())
                .ok_or_else(|| bad(format!("the challenge names no \"{name}\", so no payment of it can be told apart")))
        };
        Ok(Challenge {
            id: required("id")?,
            realm: required("realm")?,
            method: required("method")?,
            intent: required("intent")?,
            request: required("request")?,
            expires: text("expires")?,
            digest: text("digest")?,
            // Not covered by a server's MAC, and servers take a credential without it. Peers write what is not ASCII in
            // three ways, so only what has a single spelling is repeated.
            description: text("description").ok().flatten().filter(|d| has_one_spelling(d)),
            opaque: text("opaque")?,
            header: text("header")?,
        })
    }

    /// When it ends, in unix seconds. `None` when it does not say.
    ///
    /// # Errors
    /// `bad_expiry` when what it says is no time.
    pub fn expires_s(&self) -> Result<Option<u64>, Objection> {
        let Some(text) = &self.expires else { return Ok(None) };
        expiry::unix_seconds(text)
            .map(Some)
            .ok_or_else(|| Objection::new("bad_expiry", format!("it expires at \"{}\", which is no time", word(text))))
    }

    /// The header that its credential goes into.
    ///
    /// # Errors
    /// `unknown_header` when it names one that is not on the closed list.
    pub fn header_name(&self) -> Result<HeaderName, Objection> {
        match self.header.as_deref() {
            None => Ok(AUTHORIZATION),
            Some(name) if name.eq_ignore_ascii_case(AUTHORIZATION.as_str()) => Ok(AUTHORIZATION),
            Some(name) if name.eq_ignore_ascii_case(OWN_HEADER.as_str()) => Ok(OWN_HEADER),
            Some(name) => Err(Objection::new(
                "unknown_header",
                format!("it wants its credential in the header \"{}\", which a seller may not choose", word(name)),
            )),
        }
    }

    /// What it asks for, decoded.
    ///
    /// # Errors
    /// `bad_request` when it is not the encoding of one sound JSON object.
    pub fn terms(&self) -> Result<Map<String, Value>, Objection> {
        base64url::object(&self.request)
            .ok_or_else(|| Objection::new("bad_request", "what it asks for is not one sound JSON object in base64url"))
    }

    /// Whether its realm is the host that was asked, with or without its port.
    pub fn is_realm_of(&self, url: &Url) -> bool {
        let Some(host) = url.host_str() else { return false };
        let with_port = url.port_or_known_default().map(|port| format!("{host}:{port}"));
        self.realm.eq_ignore_ascii_case(host) || with_port.is_some_and(|name| self.realm.eq_ignore_ascii_case(&name))
    }
}

/// A seller's short word, safe between quotation marks.
pub(super) fn word(text: &str) -> String {
    clean(text, 60).replace('"', "'")
}

/// Plain ASCII that holds no `uXXXX`, which is what `\uXXXX` becomes in a quoted string.
fn has_one_spelling(text: &str) -> bool {
    let escaped = text.as_bytes().windows(5).any(|w| w[0] == b'u' && w[1..].iter().all(u8::is_ascii_hexdigit));
    text.bytes().all(|b| (b' '..=b'~').contains(&b)) && !escaped
}

#[cfg(test)]
mod tests {
    use super::{
        super::super::header::{Listing, read_line},
        *,
    };

    fn read(line: &str) -> Result<Challenge, Objection> {
        let mut listing = Listing::default();
        read_line(line.as_bytes(), &mut listing);
        Challenge::read(&listing.challenges[0])
    }

    #[test]
    fn only_two_headers_may_be_named() {
        let with = |name: &str| {
            let line = format!(r#"Payment id=1, realm=r, method=m, intent=i, request=e30, header="{name}""#);
            read(&line).unwrap().header_name().map_err(|o| o.code)
        };
        assert_eq!(with("Authorization"), Ok(AUTHORIZATION));
        assert_eq!(with("payment-authorization"), Ok(OWN_HEADER));
        for name in ["Cookie", "X-Payment", "Host", "Proxy-Authorization", "Payment-Authorization ", ""] {
            assert_eq!(with(name), Err("unknown_header"), "{name:?}");
        }
    }

    #[test]
    fn a_description_is_repeated_only_where_it_has_one_spelling() {
        let with = |text: &str| {
            let line = format!(r#"Payment id=1, realm=r, method=m, intent=i, request=e30, description="{text}""#);
            read(&line).unwrap().description
        };
        assert_eq!(with("Q&A endpoint").as_deref(), Some("Q&A endpoint"));
        assert_eq!(with(r#"say \"hi\""#).as_deref(), Some("say \"hi\""));
        assert_eq!((with("caf\u{e9}"), with(r"a \u2014 b")), (None, None));
    }

    #[test]
    fn the_realm_is_compared_with_the_host_that_was_asked() {
        let realm = |realm: &str, url: &str| {
            let line = format!(r#"Payment id=1, realm="{realm}", method=m, intent=i, request=e30"#);
            read(&line).unwrap().is_realm_of(&url.parse().unwrap())
        };
        assert!(realm("api.example.com", "https://api.example.com/x"));
        assert!(realm("API.example.com:443", "https://api.example.com/x"));
        assert!(realm("localhost:8080", "http://localhost:8080/"));
        for other in ["example.com", "api.example.com.evil.example", "evil.example", "api.example.com:8443", " "] {
            assert!(!realm(other, "https://api.example.com/x"), "{other}");
        }
    }
}
