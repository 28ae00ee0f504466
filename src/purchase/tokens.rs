//! How many tokens a text costs a model, estimated from its characters.
//!
//! Every model counts otherwise, so this counts rather too many: prose of any language costs less, and what is dense to a
//! tokenizer (digits, hashes, base64, scripts that models have seen little of) is weighed as such. Random syllables without
//! a language are the one thing that may cost a quarter more. `tests/tokens.rs` compares it with real tokenizers.

/// What a model is shown of an answer at once, its headers included: with our own words, less than 6,000 tokens.
pub const PAGE: usize = 4_200;

/// A run of characters is weighed in pieces of at most this many.
const PIECE: usize = 48;

/// How characters stick together.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Word,
    Space,
    Mark,
    Other,
}

fn kind(c: char) -> Kind {
    match c {
        'A'..='Z' | 'a'..='z' | '0'..='9' => Kind::Word,
        ' ' | '\t' | '\n' | '\r' => Kind::Space,
        c if c.is_ascii() => Kind::Mark,
        _ => Kind::Other,
    }
}

/// What a text costs.
pub fn of(text: &str) -> usize {
    pieces(text).map(cost).sum::<usize>().div_ceil(100)
}

/// The part of a text from its beginning that costs at most so much.
pub fn leading(text: &str, most: usize) -> &str {
    let (mut end, mut spent) = (0, 0);
    for piece in pieces(text) {
        spent += cost(piece);
        if spent > most.saturating_mul(100) {
            break;
        }
        end += piece.len();
    }
    &text[..end]
}

/// A text in runs of one kind.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let first = kind(rest.chars().next()?);
        let length = if first == Kind::Other { 1 } else { PIECE };
        let end = rest.char_indices().take(length).take_while(|(_, c)| kind(*c) == first).last();
        let end = end.map_or(0, |(at, c)| at + c.len_utf8());
        let (piece, more) = rest.split_at(end);
        rest = more;
        Some(piece)
    })
}

/// The cost of one run, in hundredths of a token.
fn cost(piece: &str) -> usize {
    let n = piece.len();
    let Some(first) = piece.chars().next() else { return 0 };
    match kind(first) {
        Kind::Word => word(piece.as_bytes()),
        // One space belongs to the word after it.
        Kind::Space if piece == " " => 0,
        Kind::Space => {
            let changes = piece.as_bytes().windows(2).filter(|pair| pair[0] != pair[1]).count();
            90 + 50 * changes + 10 * n
        }
        Kind::Mark if piece.chars().all(|c| c == first) => 87 + 13 * n,
        Kind::Mark => 65 * n,
        Kind::Other => match first as u32 {
            0..0x250 => 180,
            0x400..0x530 => 120,
            0x250..0x400 | 0x590..0x700 => 160,
            0x530..0x800 => 200,
            0x3040..0x3100 | 0x4e00..0xa000 => 200,
            0xac00..0xd7a4 => 230,
            0x800..0x10000 => 270,
            _ => 400,
        },
    }
}

/// Letters and digits without a break. Words of a language cost little; keys, hashes and encoded bytes, which change between
/// cases and digits all the time, cost much.
fn word(word: &[u8]) -> usize {
    let (mut sum, mut runs, mut rest) = (0, 0, word);
    while let [first, ..] = rest {
        let same = |b: &u8| match first {
            b'0'..=b'9' => b.is_ascii_digit(),
            _ => b.is_ascii_lowercase(),
        };
        let mut end = 1 + rest[1..].iter().take_while(|b| same(b)).count();
        if end == 1 && first.is_ascii_uppercase() {
            end = rest.iter().take_while(|b| b.is_ascii_uppercase()).count();
        }
        sum += run(&rest[..end]);
        runs += 1;
        rest = &rest[end..];
    }
    if word.len() > 12 && runs * 4 > word.len() { 75 * word.len() } else { sum.max(100) }
}

/// Digits, or letters of one case, perhaps with a capital before them.
fn run(run: &[u8]) -> usize {
    let n = run.len();
    if run[0].is_ascii_digit() {
        return 100 * n.div_ceil(3);
    }
    let vowel = |b: &u8| b"aeiouyAEIOUY".contains(b);
    let no_language =
        n > 12 || n > 1 && run.iter().all(u8::is_ascii_uppercase) || run.split(vowel).any(|c| c.len() > 3);
    if no_language { 65 * n } else { (35 * n).max(100) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_leads_is_a_prefix_that_fits_and_one_piece_more_would_not() {
        let text = "Über 3,141.59 \u{4f60}\u{597d} [{\"a\":null}] \n\n\n QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWPbdG \u{1f600}".repeat(40);
        for most in [0, 1, 7, 50, 333, 1_000] {
            let shown = leading(&text, most);
            assert!(text.starts_with(shown) && of(shown) <= most, "{most}: {}", of(shown));
            let more = pieces(&text[shown.len()..]).next().map_or(0, str::len);
            assert!(more == 0 || of(&text[..shown.len() + more]) >= most, "{most}");
        }
        assert_eq!(leading("all of it", 100), "all of it");
        assert_eq!(leading("", 100), "");
    }

    #[test]
    fn no_text_is_free_of_charge_and_none_costs_more_than_its_bytes() {
        for text in [" a", "\n\n", "x".repeat(10_000).as_str(), "\u{10ffff}", "日本語", "{}", "A1b2C3d4E5f6G7h8"] {
            assert!((1..=text.len()).contains(&of(text)), "{text:?} {}", of(text));
        }
    }
}
