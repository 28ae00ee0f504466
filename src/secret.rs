//! Wrappers that cannot be printed.

use std::fmt;

use zeroize::Zeroizing;

/// A text that must never be shown: `Debug` and `Display` print a mask, the memory is wiped when it goes.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes a text into custody.
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(Zeroizing::new(text.into()))
    }

    /// The text itself. Its name is long so that each use is seen in a review.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// Whether a text holds what looks like a wallet's connection string or a private key, and so must not be shown.
pub fn looks_secret(text: &str) -> bool {
    let low = text.to_ascii_lowercase();
    ["nostr+walletconnect", "nostr%2bwalletconnect", "nostrwalletconnect", "nsec1", "secret="]
        .iter()
        .any(|mark| low.contains(mark))
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl serde::Serialize for Secret {
    /// Writes the secret itself: only for bytes that go into the columns the ledger keeps for secrets.
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&self.0)
    }
}

impl<'de> serde::Deserialize<'de> for Secret {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Secret, D::Error> {
        String::deserialize(d).map(Secret::new)
    }
}
