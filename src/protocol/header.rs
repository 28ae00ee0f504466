//! The one tokenizer for `WWW-Authenticate`, shared by L402 and MPP.
//!
//! RFC 9110 11.6.1 says how a list of challenges is written; sellers write it in a dozen other ways as well. So this
//! reads several lines and several schemes in a line, parameters parted by commas or only by spaces, values in double
//! quotes, in single quotes or bare, and white space round `=`. It works on bytes, because a quoted string may carry
//! some that are not ASCII. It understands no scheme: who calls decides what a parameter means.

use std::fmt;

use http::{HeaderMap, header::WWW_AUTHENTICATE};

use super::text::clean;

/// How many bytes of challenges are read in one answer.
pub const MAX_BYTES: usize = 16 * 1024;

/// One challenge as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawChallenge {
    /// The scheme as it was written; compare it with [`RawChallenge::is`].
    pub scheme: String,
    /// The parameters in their order. One that was written twice stands here twice, so that the caller decides.
    pub params: Vec<Param>,
    /// The credentials-like blob of schemes such as `Negotiate`.
    pub token68: Option<String>,
}

/// One parameter of a challenge. Its value may be half of a bearer token, so `Debug` shows only how long it is.
#[derive(Clone, PartialEq, Eq)]
pub struct Param {
    /// The name in lower case.
    pub name: String,
    /// The value, unquoted and unescaped, not trimmed, not decoded.
    pub value: Vec<u8>,
}

impl fmt::Debug for Param {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}=[{} bytes]", self.name, self.value.len())
    }
}

/// What the challenge headers of an answer hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// The challenges, in their order.
    pub challenges: Vec<RawChallenge>,
    /// What could not be read, in our words.
    pub notes: Vec<String>,
}

/// More than one value under one name, and they are not the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ambiguous;

impl RawChallenge {
    /// Whether it is written in this scheme; schemes have no case.
    pub fn is(&self, scheme: &str) -> bool {
        self.scheme.eq_ignore_ascii_case(scheme)
    }

    /// Every value under a (lower-case) name.
    pub fn all<'a, 'n>(&'a self, name: &'n str) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        self.params.iter().filter(move |p| p.name == name).map(|p| p.value.as_slice())
    }

    /// The one value under a name; an error when it was written several times and not always the same.
    pub fn one(&self, name: &str) -> Result<Option<&[u8]>, Ambiguous> {
        let mut values = self.all(name);
        let first = values.next();
        if values.any(|v| Some(v) != first) { Err(Ambiguous) } else { Ok(first) }
    }
}

/// Reads every `WWW-Authenticate` line of an answer.
///
/// Several lines mean the same as one line with commas between them (RFC 9110 5.3), so parameters at the start of a
/// line belong to the last challenge before it. A line that no longer fits into [`MAX_BYTES`] is not read at all,
/// since half a challenge is worse than none, and a note says so.
pub fn challenges(headers: &HeaderMap) -> Listing {
    let mut listing = Listing::default();
    let mut left = MAX_BYTES;
    for line in headers.get_all(WWW_AUTHENTICATE) {
        match left.checked_sub(line.len()) {
            Some(rest) => {
                left = rest;
                read_line(line.as_bytes(), &mut listing);
            }
            None => {
                listing.notes.push(format!(
                    "a WWW-Authenticate line of {} bytes was not read: {} KiB of challenges are enough",
                    line.len(),
                    MAX_BYTES / 1024
                ));
            }
        }
    }
    listing
}

/// Reads one line into a listing; see [`challenges`].
pub fn read_line(line: &[u8], listing: &mut Listing) {
    let mut cursor = Cursor { line, at: 0 };
    // A token68 can only stand right behind its scheme, with nothing but spaces between.
    let mut after_scheme = false;
    loop {
        let comma = cursor.skip_separators();
        after_scheme &= !comma;
        let Some(byte) = cursor.peek() else { return };
        if after_scheme && let Some(blob) = cursor.token68() {
            if let Some(last) = listing.challenges.last_mut() {
                last.token68 = Some(blob);
            }
            after_scheme = false;
            continue;
        }
        let word = cursor.take_while(is_word);
        if word.is_empty() {
            // A stray quote hides whatever it quotes: a scheme inside it must not come to life.
            if byte == b'"' {
                if cursor.quoted().is_none() {
                    listing.notes.push(UNCLOSED.into());
                }
            } else {
                cursor.at += 1;
            }
            continue;
        }
        let name = String::from_utf8_lossy(word).into_owned();
        if !cursor.take_equals() {
            listing.challenges.push(RawChallenge { scheme: name, params: Vec::new(), token68: None });
            after_scheme = true;
            continue;
        }
        after_scheme = false;
        let Some(value) = cursor.value() else {
            listing.notes.push(UNCLOSED.into());
            return;
        };
        match listing.challenges.last_mut() {
            Some(last) => last.params.push(Param { name: name.to_ascii_lowercase(), value }),
            None => listing.notes.push(format!("the parameter \"{}\" belongs to no scheme", clean(&name, 40))),
        }
    }
}

const UNCLOSED: &str = "a quoted string in WWW-Authenticate is never closed; it was not read";

/// Token characters of RFC 9110, plus `/`, which base64 has and nothing else needs.
fn is_word(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~/".contains(&b)
}

struct Cursor<'a> {
    line: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn rest(&self) -> &'a [u8] {
        self.line.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<u8> {
        self.rest().first().copied()
    }

    fn take_while(&mut self, keep: impl Fn(u8) -> bool) -> &'a [u8] {
        let rest = self.rest();
        let end = rest.iter().position(|b| !keep(*b)).unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    /// Skips white space and commas; tells whether there was a comma.
    fn skip_separators(&mut self) -> bool {
        self.take_while(|b| matches!(b, b' ' | b'\t' | b',')).contains(&b',')
    }

    /// Takes a `=` with white space round it; leaves everything as it is when there is none.
    fn take_equals(&mut self) -> bool {
        let start = self.at;
        self.take_while(is_space);
        if self.peek() != Some(b'=') {
            self.at = start;
            return false;
        }
        self.at += 1;
        self.take_while(is_space);
        true
    }

    /// Takes a token68 that fills its place up to the next comma or the end.
    fn token68(&mut self) -> Option<String> {
        let start = self.at;
        let body = self.take_while(|b| b.is_ascii_alphanumeric() || b"-._~+/".contains(&b)).len();
        self.take_while(|b| b == b'=');
        let blob = self.line.get(start..self.at).unwrap_or_default();
        self.take_while(is_space);
        if body > 0 && matches!(self.peek(), None | Some(b',')) {
            return Some(String::from_utf8_lossy(blob).into_owned());
        }
        self.at = start;
        None
    }

    /// Takes a value in any of its three shapes; `None` when a double quote is never closed.
    fn value(&mut self) -> Option<Vec<u8>> {
        match self.peek() {
            Some(b'"') => self.quoted(),
            // A single quote is an ordinary token character, so it counts as a quote only when its partner is there.
            Some(b'\'') if self.rest().iter().skip(1).any(|b| *b == b'\'') => {
                self.at += 1;
                let value = self.take_while(|b| b != b'\'').to_vec();
                self.at += 1;
                Some(value)
            }
            // Base64 padding makes `=` part of a bare value.
            _ => Some(self.take_while(|b| !matches!(b, b' ' | b'\t' | b',')).to_vec()),
        }
    }

    /// Takes a quoted string with its quoted pairs resolved; `None`, at the end of the line, when it is never closed.
    fn quoted(&mut self) -> Option<Vec<u8>> {
        self.at += 1;
        let mut value = Vec::new();
        while let Some(byte) = self.peek() {
            self.at += 1;
            match byte {
                b'"' => return Some(value),
                b'\\' => {
                    value.push(self.peek()?);
                    self.at += 1;
                }
                _ => value.push(byte),
            }
        }
        None
    }
}

fn is_space(b: u8) -> bool {
    matches!(b, b' ' | b'\t')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &[u8]) -> Listing {
        let mut listing = Listing::default();
        read_line(line, &mut listing);
        listing
    }

    fn show(line: &[u8]) -> String {
        let challenges = read(line).challenges.into_iter().map(|c| {
            let params: Vec<_> =
                c.params.iter().map(|p| format!("{}={}", p.name, String::from_utf8_lossy(&p.value))).collect();
            format!("{}[{}]{}", c.scheme, params.join(";"), c.token68.map(|t| format!("~{t}")).unwrap_or_default())
        });
        challenges.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn parameters_are_read_however_they_are_parted_and_quoted() {
        for line in [
            r#"L402 a="1", b="2""#,
            r#"L402 a="1" b="2""#,
            "L402 a=1, b=2",
            "L402 a=1 b=2",
            "L402 a='1', b='2'",
            "L402\ta = \"1\" ,\tb\t=\t2",
            r#"L402 ,,A="1",,B="2",,"#,
            r#"L402 a="1"b="2""#,
        ] {
            assert_eq!(show(line.as_bytes()), "L402[a=1;b=2]", "{line}");
        }
    }

    #[test]
    fn several_schemes_stand_in_one_line() {
        assert_eq!(show(br#"Bearer realm="x", L402 a=1"#), "Bearer[realm=x] L402[a=1]");
        assert_eq!(show(b"Negotiate, Basic realm=x"), "Negotiate[] Basic[realm=x]");
        assert_eq!(show(b"Basic realm=x, Negotiate, Bearer"), "Basic[realm=x] Negotiate[] Bearer[]");
        assert_eq!(show(b"Negotiate abc==, L402 a=b=="), "Negotiate[]~abc== L402[a=b==]");
        assert_eq!(show(b"Negotiate a/b, L402 a=1"), "Negotiate[]~a/b L402[a=1]");
        assert_eq!(show(b"Bearer L402 a=1"), "Bearer[] L402[a=1]");
        assert_eq!(show(br#"Payment id="a", request="b", Payment id="c""#), "Payment[id=a;request=b] Payment[id=c]");
    }

    #[test]
    fn a_scheme_inside_quotes_is_only_text() {
        assert_eq!(
            show(br#"Basic realm="x, Payment id=1, L402 a=\"2\"""#),
            r#"Basic[realm=x, Payment id=1, L402 a="2"]"#
        );
        assert_eq!(show(br#""L402 a=1" Basic realm=x"#), "Basic[realm=x]");
        assert_eq!(show(b"Basic realm='Payment id=1'"), "Basic[realm=Payment id=1]");
    }

    #[test]
    fn bytes_beyond_ascii_survive_in_a_quoted_string() {
        let listing = read(b"Payment description=\"caf\xc3\xa9 \xff\"");
        assert_eq!(listing.challenges[0].one("description"), Ok(Some(&b"caf\xc3\xa9 \xff"[..])));
    }

    #[test]
    fn a_name_written_twice_stays_visible() {
        let listing = read(b"L402 a=1 a=1 b=1 b=2");
        assert_eq!(listing.challenges[0].one("a"), Ok(Some(&b"1"[..])));
        assert_eq!(listing.challenges[0].one("b"), Err(Ambiguous));
        assert_eq!(listing.challenges[0].one("c"), Ok(None));
    }

    #[test]
    fn an_unclosed_quote_ends_the_line_with_a_note() {
        let listing = read(br#"L402 a="1, L402 b=2"#);
        assert_eq!((listing.challenges.len(), listing.challenges[0].params.len()), (1, 0));
        assert_eq!(listing.notes.len(), 1);
        assert_eq!(read(br#"L402 a="1\"#).notes.len(), 1);
    }

    #[test]
    fn lines_are_one_list_and_too_many_bytes_are_not_read() {
        let mut headers = HeaderMap::new();
        headers.append(WWW_AUTHENTICATE, "L402 a=1".parse().unwrap());
        headers.append(WWW_AUTHENTICATE, "b=2".parse().unwrap());
        headers.append(WWW_AUTHENTICATE, format!("L402 c={}", "x".repeat(MAX_BYTES)).parse().unwrap());
        let listing = challenges(&headers);
        assert_eq!(listing.challenges.len(), 1);
        assert_eq!(listing.challenges[0].params.len(), 2);
        assert_eq!(listing.notes.len(), 1);
    }
}
