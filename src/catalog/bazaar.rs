//! What an endpoint's own terms say that it takes: the extension `bazaar` of x402, or version 1's `outputSchema`.
//!
//! It is put into the words of an OpenAPI document and read as one, so that the same bounds and the same cleaning hold.

use serde_json::{Map, Value, json};
use url::Url;

use super::{
    endpoint::Endpoint,
    openapi::{self, body_like},
};
use crate::protocol::x402::Described;

impl Endpoint {
    /// Fills in what an endpoint takes, where no document did.
    pub fn learn(&mut self, told: &Described) {
        if !self.input.fields.is_empty() || self.example.is_some() {
            return;
        }
        let Ok(here) = Url::parse(&self.url) else { return };
        let Some(operation) = operation(told, self.method.as_str()) else { return };
        // The address is known and stays; a path that stands for itself keeps odd ones out of the reader's way.
        let method = self.method.as_str().to_ascii_lowercase();
        let document = json!({ "paths": { "/": { method: operation } } }).to_string();
        let read = openapi::read(document.as_bytes(), &here, &here);
        let Some(read) = read.and_then(|api| api.endpoints.into_iter().next()) else { return };
        if here.query().is_none()
            && let Ok(filled) = Url::parse(&read.url)
        {
            let mut url = here;
            url.set_query(filled.query());
            self.url = url.into();
        }
        self.input = read.input;
        self.example = read.example;
    }
}

/// An operation in the words of OpenAPI. `None` when the terms speak of another method or of no HTTP at all.
fn operation(told: &Described, method: &str) -> Option<Value> {
    let input: Value = serde_json::from_str(told.input.as_deref()?).ok()?;
    let text = |name: &str| input.get(name).and_then(Value::as_str);
    if text("type").is_some_and(|kind| kind != "http")
        || text("method").is_some_and(|m| !m.eq_ignore_ascii_case(method))
    {
        return None;
    }
    // With a schema the values of `input` are examples; without one (version 1) they are definitions.
    let schema: Option<Value> = told.schema.as_deref().and_then(|schema| serde_json::from_str(schema).ok());
    let part = |name: &str| {
        let given = input.get(name);
        match &schema {
            Some(schema) => by_example(schema.pointer(&format!("/properties/input/properties/{name}")), given),
            None => defined(given?),
        }
    };
    let query = part("queryParams").unwrap_or_default();
    let required = |name: &String| query["required"].as_array().is_some_and(|all| all.iter().any(|r| r == name));
    let parameters = query["properties"].as_object().into_iter().flatten().map(|(name, schema)| {
        let example = input["queryParams"].get(name).filter(|_| told.schema.is_some());
        let mut parameter = json!({ "in": "query", "name": name, "required": required(name), "schema": schema });
        for (key, value) in [("description", schema.get("description")), ("example", example)] {
            if let Some(value) = value {
                parameter[key] = value.clone();
            }
        }
        parameter
    });
    let mut operation = json!({ "parameters": parameters.collect::<Vec<_>>() });
    if let Some(body) = ["body", "bodyFields", "bodyParams"].into_iter().find_map(part) {
        let kind = match text("bodyType") {
            Some("form-data" | "multipart-form-data") => "multipart/form-data",
            Some("form" | "x-www-form-urlencoded") => "application/x-www-form-urlencoded",
            Some("text") => "text/plain",
            _ => "application/json",
        };
        let mut media = json!({ "schema": body });
        if let Some(example) = input.get("body").filter(|_| told.schema.is_some()).cloned().and_then(body_like) {
            media["example"] = example;
        }
        operation["requestBody"] = json!({ "content": { kind: media } });
    }
    Some(operation)
}

/// The schema of a part of version 2, with what only its example shows.
fn by_example(schema: Option<&Value>, example: Option<&Value>) -> Option<Value> {
    let mut schema = schema.filter(|s| s.is_object()).cloned().unwrap_or_else(|| json!({ "type": "object" }));
    let is_told = ["properties", "allOf", "oneOf", "anyOf", "$ref"].iter().any(|key| schema.get(*key).is_some());
    if !is_told {
        let fields = example?.as_object().filter(|fields| !fields.is_empty())?;
        let kinds = fields.iter().map(|(name, value)| (name.clone(), json!({ "type": kind_of(value) })));
        schema["properties"] = kinds.collect::<Map<_, _>>().into();
    }
    Some(schema)
}

/// The schema that version 1's definitions come to: `{"name": {"type": "string", "required": true}}`, or a mere sentence
/// about a field.
fn defined(definitions: &Value) -> Option<Value> {
    let definitions = definitions.as_object().filter(|all| !all.is_empty())?;
    let schema = |definition: &Value| match definition {
        Value::Object(_) => definition.clone(),
        Value::String(word) if KINDS.contains(&word.as_str()) => json!({ "type": word }),
        Value::String(sentence) => json!({ "type": "string", "description": sentence }),
        other => json!({ "type": kind_of(other) }),
    };
    let properties: Map<String, Value> = definitions.iter().map(|(name, d)| (name.clone(), schema(d))).collect();
    let is_required = |d: &Value| d.get("required") == Some(&Value::Bool(true));
    let required: Vec<&String> = definitions.iter().filter(|(_, d)| is_required(d)).map(|(name, _)| name).collect();
    Some(json!({ "type": "object", "properties": properties, "required": required }))
}

const KINDS: [&str; 6] = ["string", "number", "integer", "boolean", "object", "array"];

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Object(_) => "object",
        Value::Array(_) => "array",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) | Value::Null => "string",
    }
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;

    fn learned(method: Method, input: Value, schema: Option<Value>) -> Endpoint {
        let mut endpoint = Endpoint::bare(method, "/weather", "https://shop.example/weather".into());
        let schema = schema.map(|s| s.to_string());
        endpoint.learn(&Described { input: Some(input.to_string()), output: None, schema });
        endpoint
    }

    fn fields(endpoint: &Endpoint) -> Vec<String> {
        let told = |f: &super::super::Field| format!("{} {:?} {} {}", f.name, f.place, f.kind, f.required);
        endpoint.input.fields.iter().map(told).collect()
    }

    #[test]
    fn a_query_is_told_and_filled_in_from_its_example() {
        let schema = json!({ "properties": { "input": { "properties": { "queryParams": { "type": "object",
            "properties": { "city": { "type": "string" }, "days": { "type": "integer", "maximum": 7 } },
            "required": ["city"] } } } } });
        let input = json!({ "type": "http", "method": "GET", "queryParams": { "city": "San Francisco" } });
        let endpoint = learned(Method::GET, input.clone(), Some(schema));
        assert_eq!(fields(&endpoint), ["city Query string true", "days Query integer ≤7 false"]);
        assert_eq!(endpoint.url, "https://shop.example/weather?city=San%20Francisco");
        assert!(endpoint.example.is_none());
        let bare = learned(Method::GET, input, Some(json!({})));
        assert_eq!(fields(&bare), ["city Query string false"]);
    }

    #[test]
    fn a_body_is_told_with_the_example_of_the_seller() {
        let schema = json!({ "properties": { "input": { "properties": { "body": { "type": "object" } } } } });
        let input =
            json!({ "type": "http", "method": "POST", "bodyType": "json", "body": { "text": "hello", "mask": true } });
        let endpoint = learned(Method::POST, input, Some(schema));
        assert_eq!(fields(&endpoint), ["mask Body boolean false", "text Body string false"]);
        let example = endpoint.example.unwrap();
        assert_eq!((example.json, example.given), (json!({ "text": "hello", "mask": true }), true));
        assert_eq!(endpoint.input.content_type, "application/json");
    }

    #[test]
    fn definitions_of_version_1_are_told() {
        let input = json!({ "type": "http", "method": "POST", "discoverable": true, "bodyType": "json", "bodyFields":
            { "q": { "type": "string", "required": true, "description": "what to <b>find</b>" }, "n": "integer", "s": "A sentence." } });
        let endpoint = learned(Method::POST, input, None);
        assert_eq!(fields(&endpoint), ["q Body string true", "n Body integer false", "s Body string false"]);
        assert_eq!(endpoint.input.fields[0].about, "what to find");
        assert_eq!(endpoint.example.map(|e| (e.json, e.given)), Some((json!({ "q": "example" }), false)));
    }

    #[test]
    fn what_is_of_another_method_or_known_already_changes_nothing() {
        for input in [
            json!({ "type": "http", "method": "POST", "body": { "a": 1 } }),
            json!({ "type": "mcp", "toolName": "x", "inputSchema": {} }),
            json!({ "type": "http", "method": "GET", "queryParams": 7 }),
            json!([]),
        ] {
            let endpoint = learned(Method::GET, input, Some(json!({})));
            assert!(endpoint.input.fields.is_empty() && endpoint.example.is_none());
            assert_eq!(endpoint.url, "https://shop.example/weather");
        }
        let mut known = learned(Method::GET, json!({ "queryParams": { "a": 1 } }), Some(json!({})));
        known.learn(&Described {
            input: Some(json!({ "queryParams": { "b": 1 } }).to_string()),
            ..Described::default()
        });
        assert_eq!(fields(&known), ["a Query integer false"]);
    }
}
