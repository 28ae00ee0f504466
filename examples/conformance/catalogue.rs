//! What there is to be listed.

use serde_json::{Value, json};

/// A picture of one pixel.
pub const PNG: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
/// A sound without a sample.
pub const WAV: &str = "UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAIA+AAACABAAZGF0YQAAAAA=";

/// Tools without arguments.
const PLAIN: [&str; 26] = [
    "test_simple_text",
    "test_image_content",
    "test_audio_content",
    "test_embedded_resource",
    "test_multiple_content_types",
    "test_error_handling",
    "test_tool_with_progress",
    "test_tool_with_logging",
    "test_elicitation_sep1034_defaults",
    "test_elicitation_sep1330_enums",
    "test_reconnection",
    "test_missing_capability",
    "test_streaming_elicitation",
    "test_logging_tool",
    "test_trigger_tool_change",
    "test_trigger_prompt_change",
    "test_input_required_result_elicitation",
    "test_input_required_result_sampling",
    "test_input_required_result_list_roots",
    "test_input_required_result_request_state",
    "test_input_required_result_multiple_inputs",
    "test_input_required_result_multi_round",
    "test_input_required_result_tampered_state",
    "test_input_required_result_capabilities",
    "multi_input",
    "test_tool_with_task",
];

fn tool(name: &str, properties: Value, required: &[&str]) -> Value {
    json!({ "name": name, "description": format!("The fixture {name} of the conformance suite"),
            "inputSchema": { "type": "object", "properties": properties, "required": required } })
}

/// The tools, always in the same order.
pub fn tools() -> Value {
    let text = json!({ "type": "string" });
    let mut all: Vec<Value> = PLAIN.iter().map(|name| tool(name, json!({}), &[])).collect();
    all.extend([
        tool("test_sampling", json!({ "prompt": text }), &["prompt"]),
        tool("test_elicitation", json!({ "message": text }), &["message"]),
        tool(
            "test_custom_header",
            json!({ "region": { "type": "string", "description": "A place", "x-mcp-header": "Region" } }),
            &["region"],
        ),
        tool("greet", json!({ "name": text }), &["name"]),
        tool("slow_compute", json!({ "seconds": { "type": "number" }, "label": text }), &[]),
        tool("failing_job", json!({}), &[]),
        tool("protocol_error_job", json!({}), &[]),
        tool("confirm_delete", json!({ "filename": text }), &[]),
        json!({ "name": "json_schema_2020_12_tool", "description": "A schema with the words of 2020-12", "inputSchema": {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "$defs": { "address": { "$anchor": "addressDef", "type": "object",
                                    "properties": { "street": { "type": "string" }, "city": { "type": "string" } } } },
            "properties": {
                "name": { "type": "string" },
                "address": { "$ref": "#/$defs/address" },
                "contactMethod": { "type": "string", "enum": ["phone", "email"] },
                "phone": { "type": "string" },
                "email": { "type": "string" },
            },
            "allOf": [{ "anyOf": [{ "required": ["phone"] }, { "required": ["email"] }] }],
            "if": { "properties": { "contactMethod": { "const": "phone" } }, "required": ["contactMethod"] },
            "then": { "required": ["phone"] },
            "else": { "required": ["email"] },
            "additionalProperties": false,
        } }),
    ]);
    json!(all)
}

/// The resources that stand at one address.
pub fn resources() -> Value {
    let one = |uri: &str, kind: &str| json!({ "uri": uri, "name": uri, "description": "A fixture", "mimeType": kind });
    json!([
        one("test://static-text", "text/plain"),
        one("test://static-binary", "image/png"),
        one("test://watched-resource", "text/plain"),
    ])
}

/// What is behind an address.
pub fn resource(uri: &str) -> Option<Value> {
    let text = |kind: &str, text: String| json!({ "uri": uri, "mimeType": kind, "text": text });
    Some(match uri {
        "test://static-text" => text("text/plain", "This is the content of the static text resource.".into()),
        "test://static-binary" => json!({ "uri": uri, "mimeType": "image/png", "blob": PNG }),
        "test://watched-resource" => text("text/plain", "It is watched.".into()),
        _ => {
            let id = uri.strip_prefix("test://template/")?.strip_suffix("/data")?;
            let data = json!({ "id": id, "templateTest": true, "data": format!("Data for ID: {id}") });
            text("application/json", data.to_string())
        }
    })
}

/// The prompts.
pub fn prompts() -> Value {
    let one = |name: &str, arguments: &[&str]| {
        let arguments: Vec<Value> = arguments.iter().map(|a| json!({ "name": a, "required": true })).collect();
        json!({ "name": name, "description": "A fixture", "arguments": arguments })
    };
    json!([
        one("test_simple_prompt", &[]),
        one("test_prompt_with_arguments", &["arg1", "arg2"]),
        one("test_prompt_with_embedded_resource", &["resourceUri"]),
        one("test_prompt_with_image", &[]),
        one("test_input_required_result_prompt", &[]),
    ])
}

/// What a prompt says.
pub fn prompt(name: &str, arguments: &Value) -> Option<Value> {
    let user = |content: Value| json!({ "role": "user", "content": content });
    let text = |text: String| user(json!({ "type": "text", "text": text }));
    let of = |name: &str| arguments[name].as_str().unwrap_or_default().to_owned();
    let messages = match name {
        "test_simple_prompt" => vec![text("This is a simple prompt for testing.".into())],
        "test_prompt_with_arguments" => {
            vec![text(format!("Prompt with arguments: arg1='{}', arg2='{}'", of("arg1"), of("arg2")))]
        }
        "test_prompt_with_embedded_resource" => {
            let inside = json!({ "uri": of("resourceUri"), "mimeType": "text/plain",
                                 "text": "Embedded resource content for testing." });
            let embedded = user(json!({ "type": "resource", "resource": inside }));
            vec![embedded, text("Please process the embedded resource above.".into())]
        }
        "test_prompt_with_image" => {
            let picture = user(json!({ "type": "image", "data": PNG, "mimeType": "image/png" }));
            vec![picture, text("Please analyze the image above.".into())]
        }
        _ => return None,
    };
    Some(json!({ "messages": messages }))
}
