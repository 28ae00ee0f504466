//! What the fixtures ask a client for, in both eras.

use rmcp::{
    ErrorData,
    model::{ClientCapabilities, InputRequiredResult, InputResponses, RequestStateCodec},
};
use serde_json::{Map, Value, json};

/// A form.
pub fn form(message: &str, properties: Value, required: &[&str]) -> Value {
    json!({ "method": "elicitation/create", "params": {
        "mode": "form", "message": message,
        "requestedSchema": { "type": "object", "properties": properties, "required": required },
    } })
}

fn one_text(message: &str, name: &str) -> Value {
    form(message, json!({ name: { "type": "string" } }), &[name])
}

/// A question to a model.
pub fn sampling(text: &str, tokens: u32) -> Value {
    json!({ "method": "sampling/createMessage", "params": {
        "messages": [{ "role": "user", "content": { "type": "text", "text": text } }], "maxTokens": tokens,
    } })
}

fn roots() -> Value {
    json!({ "method": "roots/list", "params": {} })
}

/// The form with a default for each kind of field.
pub fn defaults() -> Value {
    let fields = json!({
        "name": { "type": "string", "default": "John Doe" },
        "age": { "type": "integer", "default": 30 },
        "score": { "type": "number", "default": 95.5 },
        "status": { "type": "string", "enum": ["active", "inactive", "pending"], "default": "active" },
        "verified": { "type": "boolean", "default": true },
    });
    form("Each field has a default", fields, &[])
}

/// The form with each kind of choice.
pub fn choices() -> Value {
    let titled = |word: &str| {
        let one = |n: u8, name: &str| json!({ "const": format!("value{n}"), "title": format!("{name} {word}") });
        json!([one(1, "First"), one(2, "Second"), one(3, "Third")])
    };
    let plain = json!(["option1", "option2", "option3"]);
    let fields = json!({
        "untitledSingle": { "type": "string", "enum": plain },
        "titledSingle": { "type": "string", "oneOf": titled("Option") },
        "legacyEnum": { "type": "string", "enum": ["opt1", "opt2", "opt3"],
                        "enumNames": ["Option One", "Option Two", "Option Three"] },
        "untitledMulti": { "type": "array", "items": { "type": "string", "enum": plain } },
        "titledMulti": { "type": "array", "items": { "anyOf": titled("Choice") } },
    });
    form("Choose", fields, &[])
}

/// What a client is asked for, and with which state; or what its answers come to.
pub enum Round {
    Ask(InputRequiredResult),
    Done(String),
}

/// What stands in a retry.
pub struct Retry<'a> {
    pub answers: Option<&'a InputResponses>,
    pub state: Option<&'a str>,
    pub can: ClientCapabilities,
}

/// One round of a tool or prompt that needs input without a session; `None` when the name is none of these.
pub fn round(name: &str, retry: &Retry, codec: &RequestStateCodec) -> Result<Option<Round>, ErrorData> {
    let state = match retry.state.map(|sealed| codec.open(sealed)) {
        None => None,
        Some(Ok(opened)) => Some(opened),
        Some(Err(_)) => return Err(ErrorData::invalid_params("the state is not ours", None)),
    };
    let later = state.as_deref() == Some(b"step2".as_slice());
    let (wanted, seals): (Value, Option<&str>) = match name {
        "test_input_required_result_elicitation" | "test_streaming_elicitation" | "test_tool_with_task" => {
            (json!({ "user_name": one_text("What is your name?", "name") }), None)
        }
        "test_input_required_result_sampling" => {
            (json!({ "capital_question": sampling("What is the capital of France?", 100) }), None)
        }
        "test_input_required_result_list_roots" => (json!({ "client_roots": roots() }), None),
        "test_input_required_result_request_state" | "test_input_required_result_tampered_state" => {
            let confirm = form("Please confirm", json!({ "ok": { "type": "boolean" } }), &["ok"]);
            (json!({ "confirm": confirm }), Some("step1"))
        }
        "test_input_required_result_multiple_inputs" => (
            json!({ "user_name": one_text("What is your name?", "name"),
                    "greeting": sampling("Generate a greeting", 50), "client_roots": roots() }),
            Some("step1"),
        ),
        "test_input_required_result_multi_round" if later => {
            (json!({ "step2": one_text("Step 2: What is your favorite color?", "color") }), Some("step2"))
        }
        "test_input_required_result_multi_round" => {
            (json!({ "step1": one_text("Step 1: What is your name?", "name") }), Some("step1"))
        }
        "test_input_required_result_capabilities" => {
            let mut wanted = Map::new();
            if retry.can.elicitation.is_some() {
                wanted.insert("user_name".into(), one_text("What is your name?", "name"));
            }
            if retry.can.sampling.is_some() {
                wanted.insert("greeting".into(), sampling("Generate a greeting", 50));
            }
            (Value::Object(wanted), None)
        }
        "test_input_required_result_prompt" => {
            (json!({ "user_context": one_text("What context should the prompt use?", "context") }), None)
        }
        _ => return Ok(None),
    };
    let wanted = wanted.as_object().expect("requests by name");
    let answered =
        wanted.iter().all(|(key, request)| retry.answers.and_then(|a| a.get(key)).is_some_and(|a| fits(request, a)));
    if !answered || seals.is_some() && state.is_none() {
        return Ok(Some(Round::Ask(ask(&json!(wanted), seals, codec))));
    }
    if name == "test_input_required_result_multi_round" && !later {
        let next = json!({ "step2": one_text("Step 2: What is your favorite color?", "color") });
        return Ok(Some(Round::Ask(ask(&next, Some("step2"), codec))));
    }
    let said = serde_json::to_string(&retry.answers).unwrap_or_default();
    Ok(Some(Round::Done(format!("state-ok {said}"))))
}

fn ask(wanted: &Value, seals: Option<&str>, codec: &RequestStateCodec) -> InputRequiredResult {
    let requests = serde_json::from_value(wanted.clone()).expect("requests as the protocol has them");
    InputRequiredResult::new(Some(requests), seals.map(|s| codec.seal(s.as_bytes())))
}

/// Whether an answer has the shape of one to this request.
fn fits(request: &Value, answer: &Value) -> bool {
    match request["method"].as_str() {
        Some("elicitation/create") => answer["action"].is_string(),
        Some("sampling/createMessage") => answer["content"].is_object() || answer["content"].is_array(),
        _ => answer["roots"].is_array(),
    }
}
