//! JSON in a header: base64 as it should be written, and as it is.
//!
//! The specification says standard base64 of UTF-8 (transports-v2/http.md). Sellers also leave out the padding, use the
//! alphabet for URLs, or send the JSON as it is; all of it can be told apart, so all of it is read.

use data_encoding::{BASE64, BASE64_NOPAD};
use http::HeaderMap;

use super::super::Objection;

/// The longest header value that is read, in bytes.
pub(super) const MAX_HEADER: usize = 64 << 10;

/// The one value of a header: `None` when it is not there, an objection when several differ or it cannot be read.
pub(super) fn in_header(headers: &HeaderMap, name: &str) -> Option<Result<String, Objection>> {
    let mut values = headers.get_all(name).iter().map(|value| value.as_bytes().trim_ascii());
    let first = values.next()?;
    let shown = name.to_ascii_uppercase();
    if values.any(|value| value != first) {
        let say = format!("the seller sends two different {shown} headers; it cannot be known which one it means");
        return Some(Err(Objection::new("ambiguous_terms", say)));
    }
    if first.len() > MAX_HEADER {
        let say = format!("the header {shown} has {} bytes, and {MAX_HEADER} are read", first.len());
        return Some(Err(Objection::new("too_large", say)));
    }
    let bad = || Objection::new("bad_terms", format!("the header {shown} is not JSON in base64"));
    Some(decode(first).ok_or_else(bad))
}

/// Reads base64 of UTF-8: either alphabet, padded or not, or no base64 at all where a brace shows it.
fn decode(value: &[u8]) -> Option<String> {
    if value.first() == Some(&b'{') {
        return String::from_utf8(value.to_vec()).ok();
    }
    let end = value.iter().rposition(|b| *b != b'=').map_or(0, |last| last + 1);
    let digits: Vec<u8> = value[..end]
        .iter()
        .map(|b| match b {
            b'-' => b'+',
            b'_' => b'/',
            other => *other,
        })
        .collect();
    String::from_utf8(BASE64_NOPAD.decode(&digits).ok()?).ok()
}

/// Writes standard base64 with its padding, which every server reads.
pub(super) fn encode(json: &str) -> String {
    BASE64.encode(json.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_write_base64_is_read() {
        // Bytes that use the two characters in which the alphabets differ.
        let json = "{\"name\":\"USD₮0\",\"a\":\"~~~???>>>\"}";
        let standard = encode(json);
        assert!(standard.contains(['+', '/']) || standard.ends_with('='), "{standard}");
        let url_safe = standard.replace('+', "-").replace('/', "_");
        for text in
            [standard.as_str(), standard.trim_end_matches('='), url_safe.as_str(), url_safe.trim_end_matches('='), json]
        {
            assert_eq!(decode(text.as_bytes()).as_deref(), Some(json), "{text}");
        }
        for text in ["e30!", "e 30", "\u{fffd}", "e", "gIA="] {
            assert_eq!(decode(text.as_bytes()), None, "{text}");
        }
    }
}
