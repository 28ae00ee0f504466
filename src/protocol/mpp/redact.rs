//! What a seller says of a failure, with everything removed that could be a secret.
//!
//! Servers repeat what they were sent: `sha256(<preimage>) != ...` stands in the `detail` of real ones. A preimage is a
//! bearer token, so nothing that looks like one is shown, even to a person.

use super::super::text::clean;

/// The longest complaint that is shown, in characters.
const MAX_CHARS: usize = 200;

/// What stands for what was removed.
const GONE: &str = "[secret]";

/// Makes a seller's sentence safe to show: cleaned, bounded, without runs of 32 or more hex digits or of characters
/// that only an encoded blob has, and without whatever follows the word `Payment`.
pub fn redact(text: &str) -> String {
    let text = clean(text, MAX_CHARS * 16);
    let mut out = String::new();
    let mut rest = text.as_str();
    let mut after_scheme = false;
    while !rest.is_empty() {
        let end = rest.find(|c| !is_blob(c)).unwrap_or(rest.len());
        let (word, tail) = rest.split_at(end);
        let hex = word.strip_prefix("0x").unwrap_or(word);
        let looks_secret = word.len() >= 40
            || hex.len() >= 32 && hex.bytes().all(|b| b.is_ascii_hexdigit())
            || after_scheme && word.len() >= 16;
        out.push_str(if looks_secret { GONE } else { word });
        if !word.is_empty() {
            after_scheme = word.eq_ignore_ascii_case("payment");
        }
        let gap = tail.find(is_blob).unwrap_or(tail.len());
        out.push_str(&tail[..gap]);
        rest = &tail[gap..];
    }
    clean(&out, MAX_CHARS)
}

/// The characters of hex, base64, base64url and bech32.
fn is_blob(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '-' | '_' | '=')
}

#[cfg(test)]
mod tests {
    use super::redact;

    #[test]
    fn preimages_and_credentials_are_never_repeated() {
        let preimage = "a3".repeat(32);
        for text in [
            format!("sha256({preimage}) != abc"),
            format!("bad preimage 0x{}", preimage.to_uppercase()),
            format!("half of it: {}", &preimage[..32]),
            "got Authorization: Payment eyJjaGFsbGVuZ2UiOnt9fQ".to_owned(),
            format!("payment\u{200b} {}", "eyJ".repeat(20)),
            format!("{preimage}{preimage}"),
            format!("\u{1b}[31m{preimage}"),
        ] {
            let shown = redact(&text);
            assert!(shown.contains("[secret]"), "{shown}");
            assert!(!shown.contains(&preimage[..20]) && !shown.contains("eyJ"), "{shown}");
        }
    }

    #[test]
    fn plain_sentences_stay() {
        for text in ["Payment is required.", "Payment verification failed: signature mismatch", "expired 3 s ago"] {
            assert_eq!(redact(text), text);
        }
        assert_eq!(redact(&"word ".repeat(100)).chars().count(), 200);
    }
}
