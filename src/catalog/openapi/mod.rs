//! OpenAPI 3 and Swagger 2, read leniently: what sellers publish, not what the specifications ask for.

mod schema;

use std::collections::HashMap;

use serde_json::{Value, json};
use url::Url;

pub use self::schema::in_our_words;
use self::schema::{Schemas, is_name, is_short, made_text};
use super::{
    Flag, METHODS,
    endpoint::{Endpoint, Example, Field, Input, Place},
    place::{encoded, is_plain, is_private, join},
    price::payment_info,
};
use crate::protocol::text::plain;

/// The most operations that are looked at, and kept.
const SEEN: usize = 2000;
const OPERATIONS: usize = 500;
/// The longest address of a server, with its variables filled in.
const SERVER: usize = 512;
/// The longest value that is filled into an address, and the longest address that is made of them.
const VALUE: usize = 256;
const ADDRESS: usize = 2048;
/// From how many equal summaries on they say nothing.
const COPIES: usize = 3;

/// What a document says.
pub(super) struct Api {
    pub(super) title: String,
    pub(super) about: String,
    pub(super) endpoints: Vec<Endpoint>,
    pub(super) flags: Vec<Flag>,
    /// The host that the document names instead of the one it came from.
    pub(super) elsewhere: Option<String>,
}

/// Reads a document that came from `base`'s seller. `None` when it is no API description.
pub(super) fn read(bytes: &[u8], base: &Url, at: &Url) -> Option<Api> {
    let root: Value = serde_json::from_slice(bytes).ok()?;
    let paths = root.get("paths")?.as_object()?;
    let text = |pointer: &str| root.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut api = Api {
        title: text("/info/title"),
        about: text("/info/description"),
        endpoints: Vec::new(),
        flags: Vec::new(),
        elsewhere: None,
    };
    let prefix = api.prefix(&root, base, at);
    let schemas = Schemas::new(&root);
    let mut copies: HashMap<String, usize> = HashMap::new();
    let mut seen = 0;
    for (path, item) in paths {
        let Some(item) = schemas.resolve(item) else { continue };
        let path = format!("{prefix}{path}");
        for method in METHODS {
            let name = method.as_str().to_ascii_lowercase();
            let Some(operation) = item.get(&name).and_then(Value::as_object) else { continue };
            seen += 1;
            if seen > SEEN {
                api.flag(Flag::NotAllRead);
                continue;
            }
            let summary = ["summary", "description"].iter().find_map(|key| operation.get(*key)?.as_str());
            let summary = plain(summary.unwrap_or_default(), 200);
            *copies.entry(summary.clone()).or_default() += 1;
            if !is_plain(&path) || is_private(&path) || api.endpoints.len() >= OPERATIONS {
                api.flag(if is_private(&path) { Flag::PrivatePathsLeftOut } else { Flag::NotAllRead });
                continue;
            }
            schemas.refill();
            let mut endpoint = Endpoint::bare(method, &path, String::new());
            endpoint.summary = summary;
            endpoint.listed = operation.get("x-payment-info").map(payment_info).unwrap_or_default();
            endpoint.asks_payment = operation.get("responses").is_some_and(|r| r.get("402").is_some());
            take_input(&schemas, item, &item[&name], &mut endpoint, base);
            api.endpoints.push(endpoint);
        }
    }
    for endpoint in &mut api.endpoints {
        if copies.get(&endpoint.summary).is_some_and(|n| *n >= COPIES) && !endpoint.summary.is_empty() {
            endpoint.summary.clear();
            if !api.flags.contains(&Flag::SummariesCopied) {
                api.flags.push(Flag::SummariesCopied);
            }
        }
    }
    Some(api)
}

/// A body like one that a text shows: its own values where they can be sent, stand-ins replaced.
pub(super) fn body_like(shown: Value) -> Option<Value> {
    let object = shown.as_object()?;
    let fields = object.iter().take(16).filter(|(name, _)| is_name(name)).map(|(name, value)| {
        let made = match value {
            Value::Array(_) => json!([]),
            _ => json!("example"),
        };
        (name.clone(), schema::sendable(value).unwrap_or(made))
    });
    Some(fields.collect::<serde_json::Map<_, _>>().into())
}

impl Api {
    fn flag(&mut self, flag: Flag) {
        if !self.flags.contains(&flag) {
            self.flags.push(flag);
        }
    }

    /// What stands before every path. A server on another host is not believed: the document came from this one.
    fn prefix(&mut self, root: &Value, base: &Url, at: &Url) -> String {
        let server = match root.pointer("/servers/0") {
            Some(server) => {
                let url = server.get("url").and_then(Value::as_str).unwrap_or_default();
                let Some(url) = filled(url, server.get("variables")) else {
                    self.flag(Flag::NotAllRead);
                    return String::new();
                };
                url
            }
            None => {
                let part = |name: &str| root.get(name).and_then(Value::as_str).unwrap_or_default();
                match part("host") {
                    "" => part("basePath").to_owned(),
                    host => format!("{}://{host}{}", base.scheme(), part("basePath")),
                }
            }
        };
        if server.len() > SERVER {
            self.flag(Flag::NotAllRead);
            return String::new();
        }
        let Ok(url) = at.join(if server.is_empty() { "/" } else { &server }) else { return String::new() };
        let stays = join(base, url.as_str()).is_some();
        if !stays || url.origin() != base.origin() {
            self.flag(Flag::ServersHostDiffers);
            self.elsewhere = url.host_str().filter(|_| !stays).map(|_| url.origin().ascii_serialization());
        }
        url.path().trim_end_matches('/').to_owned()
    }
}

/// A server's address with the defaults of its variables in it. A default is not looked into again, and nothing longer than
/// an address is made: a few variables that are named often would make gigabytes of half a megabyte.
fn filled(url: &str, variables: Option<&Value>) -> Option<String> {
    let mut made = String::new();
    let mut rest = Some(url).filter(|url| url.len() <= SERVER)?;
    while let Some(open) = rest.find('{') {
        let (before, from) = rest.split_at(open);
        made.push_str(before);
        let (name, after) = from[1..].split_once('}').unwrap_or((&from[1..], ""));
        let default = variables.and_then(|v| v.get(name)?.get("default")?.as_str()).unwrap_or_default();
        if made.len() + default.len() > SERVER {
            return None;
        }
        made.push_str(default);
        rest = after;
    }
    made.push_str(rest);
    (made.len() <= SERVER).then_some(made)
}

/// Reads what an operation takes, and fills in what can be called as it is.
fn take_input<'a>(schemas: &Schemas<'a>, item: &'a Value, operation: &'a Value, endpoint: &mut Endpoint, base: &Url) {
    let mut input = Input::default();
    let mut path = endpoint.path.clone();
    let mut query: Vec<String> = Vec::new();
    let list = |from: &'a Value| from.get("parameters").and_then(Value::as_array).into_iter().flatten();
    for parameter in list(item).chain(list(operation)).take(64).filter_map(|p| schemas.resolve(p)) {
        let name = parameter.get("name").and_then(Value::as_str).unwrap_or_default();
        let required = parameter.get("required").and_then(Value::as_bool).unwrap_or(false);
        // OpenAPI 3 has the schema inside; in Swagger 2 the parameter is one itself.
        let schema = parameter.get("schema").unwrap_or(parameter);
        let place = match parameter.get("in").and_then(Value::as_str) {
            Some("query") => Place::Query,
            Some("path") => Place::Path,
            Some("body") => {
                take_body(schemas, schema, "application/json", schemas.given(parameter), &mut input, endpoint);
                continue;
            }
            _ => continue,
        };
        let known = |f: &Field| f.name == name && f.place == place;
        if !is_name(name) || input.fields.iter().any(known) {
            continue;
        }
        let value = || {
            let text = match schemas.given(parameter).unwrap_or_else(|| schemas.made(schema, name, 1)) {
                Value::String(text) if is_short(&text) => encoded(&text),
                Value::String(_) => encoded(&made_text(schema, name)),
                other => encoded(&other.to_string()),
            };
            // What is longer is no value of an address, and may be filled in many times.
            Some(text).filter(|text| text.len() <= VALUE).unwrap_or_else(|| "example".into())
        };
        match place {
            Place::Path if path.len() <= ADDRESS => path = path.replace(&format!("{{{name}}}"), &value()),
            _ if required => query.push(format!("{}={}", encoded(name), value())),
            _ => {}
        }
        add(schemas, &mut input, name, place, required || place == Place::Path, schema, parameter);
    }
    if let Some(body) = operation.get("requestBody").and_then(|b| schemas.resolve(b))
        && let Some(content) = body.get("content").and_then(Value::as_object)
    {
        let json = content.iter().find(|(kind, _)| kind.to_ascii_lowercase().contains("json"));
        if let Some((kind, media)) = json.or_else(|| content.iter().next()) {
            let given = schemas.given(media).or_else(|| schemas.given(body));
            take_body(schemas, media.get("schema").unwrap_or(&Value::Null), kind, given, &mut input, endpoint);
        }
    }
    if let Ok(mut url) = base.join("/") {
        url.set_path(&path);
        url.set_query((!query.is_empty()).then(|| query.join("&")).as_deref());
        if url.as_str().len() > ADDRESS {
            // Nobody can call it as it is: it is told with its names in place of values.
            url.set_path(&endpoint.path);
            url.set_query(None);
        }
        endpoint.url = url.into();
    }
    endpoint.input = input;
}

fn take_body<'a>(
    schemas: &Schemas<'a>,
    schema: &'a Value,
    kind: &str,
    given: Option<Value>,
    input: &mut Input,
    endpoint: &mut Endpoint,
) {
    let kind = kind.split(';').next().unwrap_or_default().trim();
    let plain = kind.len() <= 60 && kind.bytes().all(|b| b.is_ascii_alphanumeric() || b"/+-._".contains(&b));
    input.content_type = if plain { kind.to_ascii_lowercase() } else { "application/json".into() };
    let shape = schemas.shape(schema);
    for (name, property) in &shape.properties {
        add(schemas, input, name, Place::Body, shape.required.contains(name), property, property);
    }
    input.fields.sort_by_key(|f| !f.required);
    if input.content_type.contains("json") {
        let given = given.or_else(|| schemas.given(schema)).filter(|v| v.is_object() || v.is_array());
        schemas.refill();
        endpoint.example = Some(match given {
            Some(json) => Example { json, given: true },
            None if schema.is_null() => Example { json: json!({}), given: false },
            None => Example { json: schemas.made(schema, "", 0), given: false },
        });
    }
}

/// The most fields that are kept of one endpoint.
const FIELDS: usize = 24;

fn add<'a>(
    schemas: &Schemas<'a>,
    input: &mut Input,
    name: &str,
    place: Place,
    required: bool,
    schema: &'a Value,
    about: &'a Value,
) {
    if input.fields.len() >= FIELDS && !required || input.fields.len() >= 2 * FIELDS {
        input.more += 1;
        return;
    }
    let about = about.get("description").and_then(Value::as_str).unwrap_or_default();
    let kind = schemas.words(schema, 1);
    input.fields.push(Field { name: name.to_owned(), place, required, kind, about: plain(about, 80) });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn api(document: Value) -> Api {
        let base = Url::parse("https://www.shop.example/").unwrap();
        read(document.to_string().as_bytes(), &base, &base.join("/openapi.json").unwrap()).unwrap()
    }

    #[test]
    fn a_required_query_and_a_path_are_filled_in() {
        let api = api(json!({"servers": [{"url": "/v1"}], "paths": {"/rates/{pair}": {
            "parameters": [{"name": "pair", "in": "path", "required": true, "schema": {"type": "string", "example": "BTC/USD"}}],
            "get": {"summary": "Rates", "parameters": [
                {"name": "day", "in": "query", "required": true, "schema": {"type": "string", "format": "date"}},
                {"name": "n", "in": "query", "schema": {"type": "integer"}}]}}}}));
        let one = &api.endpoints[0];
        assert_eq!(one.path, "/v1/rates/{pair}");
        assert_eq!(one.url, "https://www.shop.example/v1/rates/BTC%2FUSD?day=2026-01-31");
        assert_eq!(one.input.fields.iter().filter(|f| f.required).count(), 2);
        assert!(api.flags.is_empty() && one.example.is_none());
    }

    /// The most values that are looked at for one operation.
    const STEPS_EACH: usize = 2_000;

    /// A document of thousands of operations, all of which refer to the same parts of this size. What was looked at to read
    /// it, and how many characters came of it.
    fn refers_everywhere(size: usize) -> (usize, usize) {
        let long = "x".repeat(size);
        let parts: Vec<Value> = (0..8).map(|_| json!({"$ref": "#/components/schemas/Big"})).collect();
        let properties: serde_json::Map<String, Value> =
            (0..200).map(|n| (format!("p{n}"), json!({"$ref": "#/components/schemas/Big"}))).collect();
        let names: Vec<String> = (0..200).map(|n| format!("p{n}")).collect();
        let paths: serde_json::Map<String, Value> =
            (0..3000).map(|n| (format!("/p{n}"), json!({"$ref": "#/components/item"}))).collect();
        let item = json!({"post": {"summary": long, "parameters": vec![json!({"name": "q", "in": "query", "description": long}); 2],
            "requestBody": {"content": {"application/json": {"schema": {"properties": properties, "required": names, "allOf": parts}}}}}});
        let document = json!({"paths": paths, "components": {"item": item, "schemas": {"Big": {"allOf": parts, "example": {"a": long, "b": vec![1; size / 2]}}}}});
        schema::STEPS.set(0);
        let api = api(document);
        assert_eq!(api.endpoints.len(), OPERATIONS);
        let told = api.endpoints.iter().map(|e| format!("{e:?}").chars().count()).sum();
        (schema::STEPS.get(), told)
    }

    #[test]
    fn a_document_that_refers_to_its_largest_part_everywhere_costs_what_a_small_one_does() {
        let (small, large) = (refers_everywhere(1_000), refers_everywhere(100_000));
        assert_eq!(small, large, "what is looked at and told does not grow with what is referred to");
        let (steps, told) = large;
        assert!(steps <= OPERATIONS * STEPS_EACH + 10 * SEEN, "{steps} values were looked at");
        assert!(told <= OPERATIONS * 10_000, "{told} characters are kept");
    }

    #[test]
    fn variables_of_a_server_make_no_more_than_an_address() {
        let read = |url: String, variables: Value| {
            let api = api(json!({"servers": [{"url": url, "variables": variables}],
                                 "paths": {"/a/{x}{y}": {"get": {"parameters": [
                                    {"name": "x", "in": "path", "example": "y"}, {"name": "y", "in": "path", "example": "7"}]}}}}));
            let one = api.endpoints.first().map(|e| e.url.clone()).unwrap_or_default();
            let elsewhere = api.elsewhere.map_or(0, |e| e.len());
            assert!(elsewhere <= SERVER, "{elsewhere}");
            (one, api.flags)
        };
        let default = |text: &str| json!({"default": text});
        let (good, flags) =
            read("https://{name}.example/{v}".into(), json!({"name": default("www.shop"), "v": default("v1")}));
        assert_eq!((good.as_str(), flags), ("https://www.shop.example/v1/a/y7", vec![]));
        // Each variable names the next one many times: it would be eight times a hundredfold.
        let (left_out, flags) = read(
            "/{a}".into(),
            json!({"a": default(&"{b}".repeat(100)), "b": default(&"{c}".repeat(100)), "c": default(&"c".repeat(99))}),
        );
        assert_eq!((left_out.as_str(), flags), ("", vec![Flag::NotAllRead]), "nothing in a default is filled in again");
        for (url, default_of_a) in
            [("{a}".repeat(100), "a".repeat(100)), ("/".repeat(2_000), String::new()), ("/{a}".into(), "a".repeat(600))]
        {
            let (plain, flags) = read(url, json!({"a": default(&default_of_a)}));
            assert_eq!((plain.as_str(), flags), ("https://www.shop.example/a/y7", vec![Flag::NotAllRead]));
        }
    }

    #[test]
    fn values_that_are_filled_in_make_no_more_than_an_address() {
        let long: Vec<String> = (0..60).map(|n| format!("{n}{}", "x".repeat(70))).collect();
        let parameters: Vec<Value> =
            (0..60).map(|n| json!({"name": format!("p{n}"), "in": if n < 30 { "path" } else { "query" }, "required": true, "example": long})).collect();
        let path: String = (0..30).map(|n| format!("/{{p{n}}}")).collect();
        let one = api(json!({"paths": {path.clone(): {"get": {"parameters": parameters}}}})).endpoints.remove(0);
        assert!(one.url.len() <= ADDRESS, "{}", one.url.len());
        assert_eq!(one.path, path);
    }

    #[test]
    fn a_server_elsewhere_is_told_and_not_believed() {
        let other = api(json!({"servers": [{"url": "https://evil.example/v2"}], "paths": {"/a": {"get": {}}}}));
        assert_eq!(other.endpoints[0].url, "https://www.shop.example/v2/a");
        assert_eq!(other.elsewhere.as_deref(), Some("https://evil.example"));
        assert_eq!(other.flags, [Flag::ServersHostDiffers]);
        let bare =
            api(json!({"swagger": "2.0", "host": "shop.example", "basePath": "/api", "paths": {"/a": {"get": {}}}}));
        assert_eq!(bare.endpoints[0].url, "https://www.shop.example/api/a");
        assert_eq!((bare.elsewhere, bare.flags), (None, vec![Flag::ServersHostDiffers]));
    }
}
