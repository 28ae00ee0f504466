//! A bearer token: `bursar_NAME_SECRET`. The name says whose it is, the secret has 160 bits, and only its SHA-256 is kept.

use data_encoding::BASE32_NOPAD;
use subtle::ConstantTimeEq;

use crate::{ledger::is_principal, secret::Secret};

const PREFIX: &str = "bursar_";
/// 20 bytes in base32.
const SECRET_CHARS: usize = 32;

/// Makes a new token: the text to be shown once, and the digest to be kept.
pub(crate) fn make(principal: &str) -> (Secret, [u8; 32]) {
    let secret = BASE32_NOPAD.encode(&crate::random::<20>()).to_ascii_lowercase();
    let digest = crate::sha256(secret.as_bytes());
    (Secret::new(format!("{PREFIX}{principal}_{secret}")), digest)
}

/// Takes a token apart: whose it says it is, and the digest of its secret.
pub(super) fn read(token: &str) -> Option<(&str, [u8; 32])> {
    let (principal, secret) = token.strip_prefix(PREFIX)?.rsplit_once('_')?;
    let good = is_principal(principal)
        && secret.len() == SECRET_CHARS
        && secret.bytes().all(|b| b.is_ascii_lowercase() || (b'2'..=b'7').contains(&b));
    good.then(|| (principal, crate::sha256(secret.as_bytes())))
}

/// The token in an `Authorization` header, if that is of the scheme Bearer.
pub(super) fn in_header(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Compares two digests in a time that does not depend on where they differ.
pub(super) fn same(a: &[u8; 32], b: &[u8; 32]) -> bool {
    a.ct_eq(b).into()
}

/// Whether a text holds what looks like a token.
pub(super) fn appears_in(text: &str) -> bool {
    text.to_ascii_lowercase().contains(PREFIX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_back_and_no_other_text_is_one() {
        let (token, digest) = make("agent_7-x");
        let read_back = read(token.expose()).unwrap();
        assert_eq!(read_back.0, "agent_7-x");
        assert!(same(&read_back.1, &digest));
        let (other, _) = make("agent_7-x");
        assert!(!same(&read(other.expose()).unwrap().1, &digest));
        let secret = token.expose().rsplit_once('_').unwrap().1.to_owned();
        for bad in [
            secret.clone(),
            format!("bursar__{secret}"),
            format!("bursar_A_{secret}"),
            format!("bursar_a_{}", &secret[1..]),
            format!("bursar_a_{secret}a"),
            format!("bursar_a_{}", secret.to_ascii_uppercase()),
            format!("bursar_a\n_{secret}"),
        ] {
            assert!(read(&bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn only_the_scheme_bearer_carries_a_token() {
        assert_eq!(in_header("Bearer x"), Some("x"));
        assert_eq!(in_header("bearer  x "), Some("x"));
        assert_eq!(in_header("Basic x"), None);
        assert_eq!(in_header("Bearer"), None);
    }
}
