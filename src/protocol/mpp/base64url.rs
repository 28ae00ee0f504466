//! Base64url, the way every JSON of MPP is carried: without padding, read with or without it (httpauth-payment 1.3).

use data_encoding::{BASE64URL_NOPAD, DecodeError, Encoding, Specification};
use serde_json::{Map, Value};

use super::super::body;

/// Writes bytes.
pub fn encode(bytes: &[u8]) -> String {
    BASE64URL_NOPAD.encode(bytes)
}

/// Reads bytes strictly: padding may be there, and nothing else that is not canonical.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    let bare = text.trim_end_matches('=');
    let padding = text.len() - bare.len();
    // Padding fills up to a multiple of four, or is not there at all.
    if padding > 0 && (padding > 2 || !text.len().is_multiple_of(4)) {
        return None;
    }
    BASE64URL_NOPAD.decode(bare.as_bytes()).ok()
}

/// Reads a JSON object that a seller encoded.
///
/// Some encode with the standard alphabet, with padding of any length, or leave bits behind. None of that can be
/// mistaken for another object, and the text itself goes back as it came, so it is read all the same. An object that
/// names a key twice is not: two readers could find two prices in it.
pub(super) fn object(text: &str) -> Option<Map<String, Value>> {
    let bare: String = text
        .trim_end_matches('=')
        .chars()
        .map(|c| match c {
            '+' => '-',
            '/' => '_',
            c => c,
        })
        .collect();
    let bytes = lenient().ok()?.decode(bare.as_bytes()).map_err(|DecodeError { .. }| ()).ok()?;
    match body::parse(std::str::from_utf8(&bytes).ok()?)? {
        Value::Object(object) => Some(object),
        _ => None,
    }
}

fn lenient() -> Result<Encoding, data_encoding::SpecificationError> {
    let mut spec: Specification = BASE64URL_NOPAD.specification();
    spec.check_trailing_bits = false;
    spec.encoding()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_in_every_alphabet_and_never_with_a_key_twice() {
        let json = r#"{"a":"??>>~~","b":1}"#;
        let url = encode(json.as_bytes());
        let standard = data_encoding::BASE64.encode(json.as_bytes());
        assert_ne!(url, standard.trim_end_matches('='));
        for text in [url.clone(), standard, format!("{url}==="), format!("{url}=")] {
            assert_eq!(object(&text).map(|o| o.len()), Some(2), "{text}");
        }
        for text in [encode(br#"{"a":1,"a":2}"#), encode(b"[1]"), encode(b"\"a\""), encode(b"{"), encode(b"\xff{}")] {
            assert_eq!(object(&text), None, "{text}");
        }
        for text in ["", "a", "!", "e30\n", "e3 0"] {
            assert_eq!(object(text), None, "{text}");
        }
    }
}
