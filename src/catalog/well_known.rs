//! Well-known files of payment dialects. None has a specification, so every shape that is seen is read, as a hint.

use http::Method;
use serde_json::{Map, Value};
use url::Url;

use super::{
    METHODS,
    place::{is_plain, is_private, join},
    price::{Listed, entry},
};

/// One entry of such a file.
pub(super) struct Entry {
    pub(super) method: Option<Method>,
    pub(super) path: String,
    pub(super) summary: String,
    pub(super) price: Option<Listed>,
}

/// Reads a file: the provider's name, and the entries that lie at the seller itself. `None` when it is no JSON object.
pub(super) fn read(bytes: &[u8], at: &Url) -> Option<(String, Vec<Entry>)> {
    let file: Value = serde_json::from_slice(bytes).ok()?;
    let file = file.as_object()?;
    let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
    let name = |object: &Map<String, Value>| text(object.get("name").or(object.get("title")));
    let nested = ["provider", "publisher"].iter().find_map(|key| file.get(*key)?.as_object()).map(name);
    let provider = nested.filter(|n| !n.is_empty()).unwrap_or_else(|| name(file));
    let lists = ["endpoints", "services", "items", "resources"];
    let rows = lists.iter().filter_map(|key| file.get(*key)?.as_array()).flatten().take(500);
    let entries = rows.filter_map(|row| match row {
        Value::String(address) => {
            Some(Entry { method: None, path: path(at, address)?, summary: String::new(), price: None })
        }
        Value::Object(row) => {
            let address = ["path", "endpoint", "url", "resource", "route"]
                .iter()
                .find_map(|key| row.get(*key).and_then(|at| at.as_str().or_else(|| at.get("url")?.as_str())))?;
            // An item as facilitators list it says its method in the extension that describes it.
            let method = row.get("method").or_else(|| row.get("extensions")?.pointer("/bazaar/info/input/method"));
            let method = method.and_then(Value::as_str).map(str::to_ascii_uppercase);
            // "POST /x" stands in one field in some of them.
            let (first, rest) = address.split_once(' ').unwrap_or(("", address));
            let method = method.or_else(|| (!first.is_empty()).then(|| first.to_ascii_uppercase()));
            Some(Entry {
                // Any word may stand there, and what is no method is not shown as one.
                method: method.and_then(|m| METHODS.into_iter().find(|known| known.as_str() == m)),
                path: path(at, rest)?,
                summary: text(["description", "summary", "name", "title"].iter().find_map(|key| row.get(*key))),
                price: entry(row),
            })
        }
        _ => None,
    });
    Some((provider, entries.collect()))
}

fn path(at: &Url, address: &str) -> Option<String> {
    let root = at.join("/").ok()?;
    let path = join(&root, address)?.path().replace("%7B", "{").replace("%7D", "}");
    (is_plain(&path) && !is_private(&path) && path != "/").then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shapes_that_are_seen_are_read_and_other_hosts_are_left_out() {
        let at = Url::parse("https://shop.example/.well-known/l402").unwrap();
        let read = |text: &str| {
            let (name, entries) = read(text.as_bytes(), &at).unwrap();
            let show = |e: &Entry| {
                let price = e.price.as_ref().and_then(|l| l.price).map_or("-".into(), |p| p.to_string());
                format!("{} {} {price}", e.method.as_ref().map_or("?", |m| m.as_str()), e.path)
            };
            (name, entries.iter().map(show).collect::<Vec<_>>())
        };
        let l402 = r#"{"protocol":"L402","provider":{"name":"Shop"},"endpoints":[
            {"path":"/v1/a","method":"post","price_sats":5},{"path":"https://evil.example/b","price_sats":1},
            {"path":"/admin/x","price_sats":1}]}"#;
        assert_eq!(read(l402), ("Shop".into(), vec!["POST /v1/a 5 sat".into()]));
        let x402 = r#"{"version":1,"resources":["https://shop.example/api/a","/api/b",7]}"#;
        assert_eq!(read(x402).1, ["? /api/a -", "? /api/b -"]);
        let items = r#"{"x402Version":2,"items":[{"resource":{"url":"https://shop.example/f"},"description":"F","accepts":[{"amount":"20000",
            "asset":"0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913"}],"extensions":{"bazaar":{"info":{"input":{"method":"POST"}}}}}]}"#;
        assert_eq!(read(items).1, ["POST /f 0.02 usd"]);
        let odd = format!(
            r#"{{"endpoints":[{{"path":"/a","method":"{}"}},{{"path":"/b","method":"BREW"}}]}}"#,
            "CALL-SET_BUDGET".repeat(4_000)
        );
        assert_eq!(read(&odd).1, ["? /a -", "? /b -"]);
        let services = r#"{"name":"S","services":[{"endpoint":"POST /x/{id}","price":"$0.05"}]}"#;
        assert_eq!(read(services), ("S".into(), vec!["POST /x/{id} 0.05 usd".into()]));
    }
}
