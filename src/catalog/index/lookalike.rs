//! Hosts that look like others: a name made of letters that only look the same, or one letter away.

/// Letters of other scripts and what they look like. Only what is drawn like ASCII is here: hosts that are known are
/// written in ASCII, so nothing else can pass for one.
const DRAWN_ALIKE: [(&str, char); 36] = [
    ("аạàáâãäåāăąɑα", 'a'),
    ("ЬЪƅ", 'b'),
    ("сçćĉċčϲ", 'c'),
    ("ԁďđ", 'd'),
    ("еёẹèéêëēĕėęě", 'e'),
    ("ƒ", 'f'),
    ("ɡĝğġģց", 'g'),
    ("һĥħհ", 'h'),
    ("іїìíîïĩīĭįıι", 'i'),
    ("јĵϳ", 'j'),
    ("кķκ", 'k'),
    ("ӏĺļľŀłⅼ", 'l'),
    ("мḿⅿ", 'm'),
    ("ոńņňŉñп", 'n'),
    ("оọòóôõöøōŏőοσօ", 'o'),
    ("рρ", 'p'),
    ("ԛզ", 'q'),
    ("гŕŗř", 'r'),
    ("ѕśŝşšș", 's'),
    ("тţťŧțτ", 't'),
    ("ùúûüũūŭůűųυսц", 'u'),
    ("ѵνⅴ", 'v'),
    ("ԝŵωѡ", 'w'),
    ("хχ", 'x'),
    ("уýÿŷγүұ", 'y'),
    ("źżžᴢ", 'z'),
    ("０", '0'),
    ("１", '1'),
    ("２", '2'),
    ("３", '3'),
    ("４", '4'),
    ("５", '5'),
    ("６", '6'),
    ("７", '7'),
    ("８", '8'),
    ("９", '9'),
];

/// What a host looks like to somebody who reads fast: a text that is equal for names that are easily taken for one
/// another. It is compared only with other such texts.
pub fn skeleton(host: &str) -> String {
    let (shown, _) = idna::domain_to_unicode(host);
    let mut drawn = String::new();
    for c in shown.chars().flat_map(char::to_lowercase) {
        match DRAWN_ALIKE.iter().find(|(alike, _)| alike.contains(c)) {
            Some((_, ascii)) => drawn.push(*ascii),
            // Accents that stand by themselves are not seen.
            None if ('\u{300}'..='\u{36f}').contains(&c) => {}
            None => drawn.push(c),
        }
    }
    drawn.replace("rn", "m").replace("vv", "w").replace('0', "o").replace(['1', 'i'], "l")
}

/// Hosts that are known, with what they look like.
#[derive(Clone, Debug, Default)]
pub struct Known(Vec<(String, String)>);

impl Known {
    /// Knows these hosts.
    pub fn new<'a>(hosts: impl IntoIterator<Item = &'a str>) -> Known {
        Known(hosts.into_iter().map(|host| (host.to_owned(), skeleton(bare(host)))).collect())
    }

    /// Whether this host is one of them, word for word.
    pub fn has(&self, host: &str) -> bool {
        self.0.iter().any(|(known, _)| known == host)
    }

    /// Which known host this one could be taken for; `None` when it is known itself or looks like none.
    pub fn looks_like(&self, host: &str) -> Option<&str> {
        let mine = bare(host);
        let shape = skeleton(mine);
        let mut found = None;
        for (other, theirs_shape) in &self.0 {
            let theirs = bare(other);
            if theirs == mine || mine.ends_with(&format!(".{theirs}")) || theirs.ends_with(&format!(".{mine}")) {
                return None;
            }
            if found.is_none() && (shape == *theirs_shape || (theirs.len() >= 10 && one_apart(&shape, theirs_shape))) {
                found = Some(other.as_str());
            }
        }
        found
    }
}

/// Whether a host's name mixes letters of more than one script in one label, as no honest one does.
pub fn mixes_scripts(host: &str) -> bool {
    let (shown, _) = idna::domain_to_unicode(host);
    shown.split('.').any(|label| {
        let latin = label.chars().any(|c| c.is_ascii_alphabetic());
        // Cyrillic, Greek and Armenian are the scripts whose letters pass for Latin ones.
        let other = label.chars().any(|c| ('\u{370}'..='\u{58f}').contains(&c));
        latin && other
    })
}

fn bare(host: &str) -> &str {
    host.strip_prefix("www.").unwrap_or(host)
}

/// Whether one letter more, less or other makes the one text of the other.
fn one_apart(a: &str, b: &str) -> bool {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    if a.len().abs_diff(b.len()) > 1 {
        return false;
    }
    let head = a.iter().zip(&b).take_while(|(x, y)| x == y).count();
    let (a, b) = (&a[head..], &b[head..]);
    let tail = a.iter().rev().zip(b.iter().rev()).take_while(|(x, y)| x == y).count();
    a.len() - tail <= 1 && b.len() - tail <= 1
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [&str; 3] = ["www.pullthatupjamie.ai", "x402.ntriq.co.kr", "api.a.io"];

    #[test]
    fn names_that_are_drawn_alike_are_found_and_the_known_ones_are_not() {
        let known = Known::new(KNOWN);
        for host in [
            "pullthatupjamіe.ai",
            "xn--pullthatupjame-ibm.ai",
            "pu11thatupjamie.ai",
            "pullthatupjarnie.ai",
            "pullthatupjamle.ai",
        ] {
            assert_eq!(known.looks_like(host), Some(KNOWN[0]), "{host}");
        }
        for host in ["pullthatupjamies.ai", "pulthatupjamie.ai", "x402-ntriq.co.kr"] {
            assert!(known.looks_like(host).is_some(), "{host}");
        }
        for host in ["pullthatupjamie.ai", "api.pullthatupjamie.ai", "WWW.example.com", "api.b.io", "x402.ntriq.co.kr"]
        {
            assert_eq!(known.looks_like(host), None, "{host}");
        }
    }

    #[test]
    fn a_label_of_two_scripts_is_no_honest_name() {
        assert!(mixes_scripts("xn--pullthatupjame-ibm.ai") && mixes_scripts("pullthatupjamіe.ai"));
        assert!(!mixes_scripts("пример.испытание") && !mixes_scripts("bücher.example"));
    }
}
