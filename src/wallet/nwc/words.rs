//! A wallet's or relay's own words, made fit for people: untrusted, bounded, without secrets.

/// The most characters of a foreign text that are shown.
const MOST: usize = 200;

/// Cleans a foreign text: one line, nothing invisible, at most 200 characters, and everything that looks like a key, a
/// preimage or a wallet string masked.
pub(super) fn cleaned(text: &str) -> String {
    // Far more than is kept, so that a mask near the end is still found; far less than a relay may send.
    let visible: String = text.chars().take(4 * MOST).filter_map(shown).collect();
    let line = visible.split_whitespace().map(masked).collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(MOST) {
        Some((end, _)) => line[..end].to_owned(),
        None => line,
    }
}

/// A wallet's error code in upper case; `OTHER` for what cannot be one.
pub(super) fn code(text: &str) -> String {
    let plausible = !text.is_empty() && text.len() <= 40 && text.bytes().all(|b| b.is_ascii_alphabetic() || b == b'_');
    if plausible { text.to_ascii_uppercase() } else { "OTHER".to_owned() }
}

fn shown(c: char) -> Option<char> {
    match c {
        c if c.is_whitespace() => Some(' '),
        c if c.is_control() => None,
        // Soft hyphen, joiners, marks of direction, fillers, variation selectors, tags, interlinear notes, byte order.
        '\u{ad}'
        | '\u{34f}'
        | '\u{61c}'
        | '\u{115f}'..='\u{1160}'
        | '\u{17b4}'..='\u{17b5}'
        | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}'
        | '\u{ffa0}'
        | '\u{fff0}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e0fff}' => None,
        c => Some(c),
    }
}

fn masked(word: &str) -> String {
    let low = word.to_ascii_lowercase();
    if ["nostr+wallet", "nostr%2bwallet", "nostrwallet", "nsec1", "secret="].iter().any(|mark| low.contains(mark)) {
        return "[hidden]".to_owned();
    }
    let (mut out, mut run) = (String::with_capacity(word.len()), String::new());
    for c in word.chars().chain([' ']) {
        if c.is_ascii_hexdigit() {
            run.push(c);
            continue;
        }
        // A shorter run would be a piece of a key; no honest message has 32 hex digits in it.
        if run.len() >= 32 {
            out.push_str("[hidden]");
        } else {
            out.push_str(&run);
        }
        run.clear();
        out.push(c);
    }
    out.pop();
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_lose_what_cannot_be_seen_and_what_must_not_be() {
        let key = "71a8c14c1407c113601079c4302dab36460f0ccd0ad506f1f2dc73b5100e4f3c";
        assert_eq!(cleaned("no\u{202e}t \u{1b}[31m enough\r\n\u{200b}sats\u{e0041}"), "not [31m enough sats");
        assert_eq!(cleaned(&format!("preimage={key}.")), "preimage=[hidden].");
        assert_eq!(cleaned(&format!("{}\u{200b}{}", &key[..30], &key[30..])), "[hidden]");
        assert_eq!(cleaned(&key.to_uppercase()), "[hidden]");
        assert_eq!(cleaned("see nostr+walletconnect://b8?relay=x now"), "see [hidden] now");
        assert_eq!(cleaned(&"é".repeat(1000)).chars().count(), MOST);
        assert!(!cleaned(&format!("{}{key}", "x ".repeat(95))).contains(&key[..10]));
    }

    #[test]
    fn a_code_is_letters_or_it_is_other() {
        assert_eq!(code("insufficient_balance"), "INSUFFICIENT_BALANCE");
        for bad in ["", "a b", "71a8c14c", "naïve", &"A".repeat(41)] {
            assert_eq!(code(bad), "OTHER");
        }
    }
}
