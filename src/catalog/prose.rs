//! What can be taken from `llms.txt`: a name, a sentence, and endpoints that its lines mention.

use http::Method;
use serde_json::Value;

use super::{
    place::{is_plain, is_private},
    price::{Basis, Listed, written},
};

/// A line that names a method and a path.
pub(super) struct Mention {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) summary: String,
    pub(super) price: Option<Listed>,
    /// The JSON object that stands in the line, as a hint to the body.
    pub(super) body: Option<Value>,
}

/// What the document says.
#[derive(Default)]
pub(super) struct Prose {
    pub(super) title: String,
    pub(super) about: String,
    pub(super) mentions: Vec<Mention>,
}

/// Reads a document; never fails.
pub(super) fn read(text: &str) -> Prose {
    let mut prose = Prose::default();
    for line in text.lines().take(4000) {
        let line = line.trim();
        if let Some(title) = line.strip_prefix("# ").filter(|_| prose.title.is_empty()) {
            prose.title = title.trim().to_owned();
        } else if let Some(about) = line.strip_prefix('>').filter(|_| prose.about.is_empty()) {
            prose.about = about.trim().to_owned();
        } else if prose.mentions.len() < 200 && line.len() <= 2000 {
            for mention in mentions(line) {
                let known = |m: &Mention| m.method == mention.method && m.path == mention.path;
                if !prose.mentions.iter().any(known) {
                    prose.mentions.push(mention);
                }
            }
        }
    }
    prose
}

fn mentions(line: &str) -> Vec<Mention> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let mut found: Vec<(Method, String)> = Vec::new();
    for pair in words.windows(2) {
        let method = pair[0].trim_matches(|c: char| !c.is_ascii_alphanumeric());
        let path = pair[1].trim_matches(|c: char| "`*,.;:()[]\"'".contains(c));
        let path = path.split(['?', '#']).next().unwrap_or_default();
        let method = match method {
            "GET" => Method::GET,
            "POST" => Method::POST,
            _ => continue,
        };
        if is_plain(path) && !is_private(path) {
            found.push((method, path.to_owned()));
        }
    }
    // What else the line says is about one endpoint only where it names one.
    let alone = found.len() == 1;
    // A price belongs to an endpoint only where the line is about it: in running text it may be anything's.
    let about = words.iter().find(|word| word.contains(|c: char| c.is_ascii_alphabetic()));
    let first = alone && about.is_some_and(|word| word.trim_matches(|c: char| !c.is_ascii_alphabetic()) == found[0].0);
    let price = first.then(|| price(&words)).flatten();
    let body = alone.then(|| body(line)).flatten();
    let make = |(method, path): (Method, String)| {
        let after = line.split_once(path.as_str()).map_or("", |(_, after)| after);
        let summary =
            if alone { after.trim_matches(|c: char| !c.is_alphanumeric() && !"({[<".contains(c)) } else { "" };
        Mention { method, summary: summary.to_owned(), price: price.clone(), body: body.clone(), path }
    };
    found.into_iter().map(make).collect()
}

/// The one price that a line names; two make none.
fn price(words: &[&str]) -> Option<Listed> {
    let bare = |word: &str| word.trim_matches(|c: char| "`*,;:()[]\"'".contains(c)).trim_end_matches('.').to_owned();
    let singles = words.iter().map(|word| bare(word));
    let pairs = words.windows(2).map(|pair| format!("{} {}", bare(pair[0]), bare(pair[1])));
    let mut prices = singles.chain(pairs).filter_map(|text| written(&text));
    let price = prices.next()?;
    prices.next().is_none().then_some(Listed {
        price: Some(price),
        up_to: None,
        basis: Basis::Listed,
        by: String::new(),
    })
}

fn body(line: &str) -> Option<Value> {
    let (open, close) = line.find('{').zip(line.rfind('}'))?;
    let value: Value = serde_json::from_str(line.get(open..=close)?).ok()?;
    value.as_object().is_some_and(|o| !o.is_empty()).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_name_endpoints_and_at_most_one_price() {
        let text = "# Shop\n\n> Sells words.\n\n- `POST /v1/words` with {\"q\": \"...\"}: 10 sats a call\n\
                    GET /v1/a, GET /v1/b for $1\n- GET /v1/c costs 5 to 200 sats or $3.\nDELETE /v1/d\nPOST /admin/x\n\
                    500 sats are 150 calls. GET /v1/balance shows it.";
        let prose = read(text);
        assert_eq!((prose.title.as_str(), prose.about.as_str()), ("Shop", "Sells words."));
        let paths: Vec<&str> = prose.mentions.iter().map(|m| m.path.as_str()).collect();
        assert_eq!(paths, ["/v1/words", "/v1/a", "/v1/b", "/v1/c", "/v1/balance"]);
        let price = |n: usize| prose.mentions[n].price.as_ref().and_then(|l| l.price).map(|p| p.to_string());
        assert_eq!((price(0).as_deref(), price(1), price(3)), (Some("10 sat"), None, None));
        assert_eq!(price(4), None, "a price in running text is anything's");
        assert_eq!(prose.mentions[0].body, Some(serde_json::json!({"q": "..."})));
    }
}
