//! Where a seller says that its API is described, when that is not `/openapi.json`.

use serde_json::Value;
use url::Url;

use super::place::join;

/// The first API description that an API catalogue (RFC 9727, a linkset of RFC 9264) names at this seller.
pub(super) fn in_linkset(bytes: &[u8], base: &Url) -> Option<Url> {
    let linkset: Value = serde_json::from_slice(bytes).ok()?;
    let contexts = linkset.get("linkset")?.as_array()?;
    let targets = contexts.iter().take(64).filter_map(|c| c.get("service-desc")?.as_array()).flatten();
    targets.take(64).filter_map(|t| t.get("href")?.as_str()).find_map(|href| join(base, href))
}

/// The first target at this seller, of those that `Link` headers named.
pub(super) fn in_links(links: &[String], base: &Url) -> Option<Url> {
    links.iter().find_map(|link| join(base, link))
}

/// The first address in a text that ends like an OpenAPI document in JSON.
pub(super) fn in_prose(text: &str, base: &Url) -> Option<Url> {
    let words = text.split(|c: char| c.is_whitespace() || "()<>[]\"'`,".contains(c));
    words
        .map(|word| word.trim_end_matches(['.', ':', ';']))
        .filter(|word| word.len() <= 512 && (word.starts_with('/') || word.starts_with("http")))
        .filter(|word| {
            let lower = word.to_ascii_lowercase();
            lower.ends_with(".json") && (lower.contains("openapi") || lower.contains("swagger"))
        })
        .find_map(|word| join(base, word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_lead_to_the_same_seller_only() {
        let base = Url::parse("https://shop.example/").unwrap();
        let linkset = br#"{"linkset":[{"anchor":"x","service-meta":[{"href":"/m"}]},
            {"service-desc":[{"href":"https://evil.example/o.json"},{"href":"https://www.shop.example/o.json"}]}]}"#;
        assert_eq!(in_linkset(linkset, &base).map(String::from).as_deref(), Some("https://www.shop.example/o.json"));
        assert_eq!(in_linkset(b"[1]", &base), None);
        let prose = "See [the API](https://evil.example/openapi.json) or (/docs/openapi.json).";
        assert_eq!(in_prose(prose, &base).map(String::from).as_deref(), Some("https://shop.example/docs/openapi.json"));
    }
}
