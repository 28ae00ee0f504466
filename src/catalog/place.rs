//! Which addresses belong to the host that is described, and which of its paths are nobody's business.

use url::{Url, form_urlencoded::byte_serialize};

/// Whether two addresses are one seller's: the same origin, or a bare domain and its `www`, and never from TLS to
/// plain text.
pub(super) fn same_seller(from: &Url, to: &Url) -> bool {
    let bare = |url: &Url| url.host_str().map(|h| h.strip_prefix("www.").unwrap_or(h).to_owned());
    let ports = match (from.scheme(), to.scheme()) {
        (a, b) if a == b => from.port_or_known_default() == to.port_or_known_default(),
        ("http", "https") => from.port().is_none() && to.port().is_none(),
        _ => false,
    };
    ports && bare(from).is_some() && bare(from) == bare(to)
}

/// The address of a document or an endpoint at the seller that is described; `None` when it is somebody else's.
pub(super) fn join(base: &Url, text: &str) -> Option<Url> {
    let mut url = base.join(text.trim()).ok()?;
    url.set_fragment(None);
    let plain = url.username().is_empty() && url.password().is_none() && url.as_str().len() <= 1024;
    (plain && same_seller(base, &url)).then_some(url)
}

/// Whether a path is for the seller's own people: never listed, never asked.
pub(super) fn is_private(path: &str) -> bool {
    let mut word = String::new();
    let mut lower = false;
    // `/fooAdmin` has the word `Admin`; a word ends where the case rises.
    for c in path.chars().chain(['/']) {
        if !c.is_ascii_alphanumeric() || (lower && c.is_ascii_uppercase()) {
            if word.starts_with("admin") || matches!(word.as_str(), "debug" | "internal" | "internals") {
                return true;
            }
            word.clear();
        }
        lower = c.is_ascii_lowercase();
        if c.is_ascii_alphanumeric() {
            word.push(c.to_ascii_lowercase());
        }
    }
    false
}

/// Whether a path, templates included, can be shown and sent: it begins with a slash, is short, and is plain ASCII.
pub(super) fn is_plain(path: &str) -> bool {
    path.starts_with('/')
        && !path.starts_with("//")
        && path.len() <= 200
        && path.bytes().all(|b| b.is_ascii_alphanumeric() || b"/-._~!$&'()*+,;=:@%{}".contains(&b))
}

/// A text as one segment of a path or one value of a query.
pub(super) fn encoded(text: &str) -> String {
    byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20")
}

/// How well a path template fits a path: the number of segments that are equal word for word; `None` when it does not.
pub(super) fn fit(template: &str, path: &str) -> Option<usize> {
    let (mine, asked) = (template.trim_end_matches('/').split('/'), path.trim_end_matches('/').split('/'));
    let (mine, asked): (Vec<&str>, Vec<&str>) = (mine.collect(), asked.collect());
    if mine.len() != asked.len() {
        return None;
    }
    let mut equal = 0;
    for (mine, asked) in mine.iter().zip(asked) {
        match mine.find('{').zip(mine.rfind('}')) {
            Some((open, close)) if open < close => {
                let around = asked.len() > open + mine.len() - close - 1;
                if !around || !asked.starts_with(&mine[..open]) || !asked.ends_with(&mine[close + 1..]) {
                    return None;
                }
            }
            _ if *mine == asked => equal += 1,
            _ => return None,
        }
    }
    Some(equal)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn a_bare_domain_and_its_www_are_one_seller_and_nobody_else_is() {
        let home = url("https://shop.example/");
        for other in ["https://shop.example/x", "https://www.shop.example/", "https://SHOP.example:443/"] {
            assert!(same_seller(&home, &url(other)), "{other}");
        }
        for other in
            ["http://shop.example/", "https://shop.example:8443/", "https://api.shop.example/", "https://evil.example/"]
        {
            assert!(!same_seller(&home, &url(other)), "{other}");
        }
        assert!(same_seller(&url("http://shop.example/"), &home));
        assert_eq!(join(&home, "//evil.example/openapi.json"), None);
        assert_eq!(join(&home, "https://me@shop.example/openapi.json"), None);
        assert_eq!(
            join(&home, "docs/api.json#x").map(String::from).as_deref(),
            Some("https://shop.example/docs/api.json")
        );
    }

    #[test]
    fn private_paths_are_known_by_their_words() {
        for path in ["/api/admin/x", "/Admin", "/api/debug/quota", "/_internal/y", "/v1/superAdmin", "/administration"]
        {
            assert!(is_private(path), "{path}");
        }
        for path in ["/international/rates", "/debugger", "/badmin", "/v1/search", "/"] {
            assert!(!is_private(path), "{path}");
        }
    }

    #[test]
    fn a_template_fits_what_it_describes() {
        assert_eq!(fit("/v1/items/{id}", "/v1/items/7"), Some(2 + 1));
        assert_eq!(fit("/v1/items/new", "/v1/items/new"), Some(4));
        assert_eq!(fit("/v1/items/{id}", "/v1/items"), None);
        assert_eq!(fit("/v1/items/{id}", "/v1/items/"), None);
        assert_eq!(fit("/f/{name}.json", "/f/a.json"), Some(2));
        assert_eq!(fit("/f/{name}.json", "/f/a.xml"), None);
        assert_eq!(fit("/f/}{", "/f/a"), None);
    }
}
