//! What unlocks a resource, and what of it must not be shown where a seller says it back.

use std::fmt;

use http::{HeaderName, HeaderValue};

use crate::secret::Secret;

/// One header that unlocks a resource. It may go to the origin it was bought from and nowhere else.
#[derive(Clone)]
pub struct Credential {
    /// The header's name.
    pub name: HeaderName,
    /// The header's value, marked sensitive.
    pub value: HeaderValue,
    /// What stands in it in another spelling, and is as secret by itself: a signature inside of base64.
    pub parts: Vec<Secret>,
}

impl Credential {
    /// Shorter texts are no secrets, and masking them would tear a seller's data.
    const SHORTEST: usize = 16;

    /// What must not be shown where a seller says it back.
    pub fn secrets(&self) -> Vec<Secret> {
        let value = String::from_utf8_lossy(self.value.as_bytes());
        let words = value.split([' ', ':']).filter(|s| s.len() >= Self::SHORTEST).map(Secret::new);
        words.chain(self.parts.iter().cloned()).collect()
    }

    /// Masks its secrets in a seller's words.
    pub fn hide(&self, text: &str) -> String {
        String::from_utf8_lossy(&self.hide_bytes(text.as_bytes())).into_owned()
    }

    /// The same in bytes. Case does not count: hex digits have two.
    pub fn hide_bytes(&self, bytes: &[u8]) -> Vec<u8> {
        self.secrets().iter().fold(bytes.to_vec(), |bytes, secret| masked(bytes, secret.expose().as_bytes()))
    }
}

fn masked(bytes: Vec<u8>, secret: &[u8]) -> Vec<u8> {
    if !bytes.windows(secret.len()).any(|w| w.eq_ignore_ascii_case(secret)) {
        return bytes;
    }
    let (mut out, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while at < bytes.len() {
        if bytes[at..].get(..secret.len()).is_some_and(|w| w.eq_ignore_ascii_case(secret)) {
            out.extend(b"[secret]");
            at += secret.len();
        } else {
            out.push(bytes[at]);
            at += 1;
        }
    }
    out
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credential({}: [secret])", self.name)
    }
}
