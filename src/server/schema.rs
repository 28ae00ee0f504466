//! The four tools as `tools/list` shows them, and the schemas in `schemas/`.

use std::sync::{Arc, OnceLock};

use rmcp::model::{JsonObject, MetaObject, Tool, ToolAnnotations};
use schemars::{JsonSchema, Schema, generate::SchemaSettings, transform::Transform};
use serde_json::{Map, Value, json};

use super::{discover_api, fetch_paid, get_balance, set_budget};

/// A tool's name, its page in `tools/`, its schemas and what it does to the world.
struct Face {
    name: &'static str,
    page: &'static str,
    input: fn() -> JsonObject,
    output: fn() -> JsonObject,
    read_only: bool,
    open_world: bool,
    idempotent: bool,
}

const FACES: [Face; 4] = [
    Face {
        name: "discover_api",
        page: include_str!("../../tools/discover_api.md"),
        input: taken::<discover_api::Args>,
        output: given::<discover_api::Output>,
        read_only: true,
        open_world: true,
        idempotent: true,
    },
    Face {
        name: "fetch_paid",
        page: include_str!("../../tools/fetch_paid.md"),
        input: taken::<fetch_paid::Args>,
        output: given::<fetch_paid::Output>,
        read_only: false,
        open_world: true,
        idempotent: false,
    },
    Face {
        name: "get_balance",
        page: include_str!("../../tools/get_balance.md"),
        input: taken::<get_balance::Args>,
        output: given::<get_balance::Output>,
        read_only: true,
        open_world: false,
        idempotent: true,
    },
    Face {
        name: "set_budget",
        page: include_str!("../../tools/set_budget.md"),
        input: taken::<set_budget::Args>,
        output: given::<set_budget::Output>,
        read_only: false,
        open_world: false,
        idempotent: true,
    },
];

/// The tools, in the order of their names. They never change while the process runs, and hold no text from outside.
pub fn tools() -> Vec<Tool> {
    static TOOLS: OnceLock<Vec<Tool>> = OnceLock::new();
    TOOLS.get_or_init(|| FACES.iter().map(tool).collect()).clone()
}

fn tool(face: &Face) -> Tool {
    let (title, description) = face.page.split_once('\n').unwrap_or((face.page, ""));
    let hints = ToolAnnotations::new()
        .read_only(face.read_only)
        .destructive(!face.read_only && face.open_world)
        .idempotent(face.idempotent)
        .open_world(face.open_world);
    let mut input = (face.input)();
    input.remove("$schema");
    let tool = Tool::new(face.name, description.trim(), Arc::new(input))
        .with_title(title.trim_start_matches("# ").trim())
        .with_annotations(hints);
    if face.name == "set_budget" {
        // The strongest gate a host offers: a person is asked at every call (Claude Code 2.1.199 and later).
        let mut meta = Map::new();
        meta.insert("anthropic/requiresUserInteraction".into(), Value::Bool(true));
        return tool.with_meta(MetaObject(meta));
    }
    tool
}

/// Every generated file of `schemas/`: its name and its text.
pub fn files() -> Vec<(String, String)> {
    let mut files = Vec::new();
    for face in &FACES {
        files.push((format!("{}.input.schema.json", face.name), pretty((face.input)())));
        files.push((format!("{}.output.schema.json", face.name), pretty((face.output)())));
    }
    files.push(("config.schema.json".into(), pretty(taken::<crate::config::ConfigFile>())));
    files
}

fn pretty(schema: JsonObject) -> String {
    let mut text = serde_json::to_string_pretty(&Value::Object(schema)).unwrap_or_default();
    text.push('\n');
    text
}

/// The schema of what is read.
fn taken<T: JsonSchema>() -> JsonObject {
    object::<T>(SchemaSettings::draft2020_12())
}

/// The schema of what is written: a field that may be left out is not required.
fn given<T: JsonSchema>() -> JsonObject {
    object::<T>(SchemaSettings::draft2020_12().for_serialize())
}

/// A plain object schema: no nullable types, no formats, no titles, nothing that a host's dialect stumbles over.
fn object<T: JsonSchema>(settings: SchemaSettings) -> JsonObject {
    let generator = settings.with(|s| s.inline_subschemas = true).into_generator();
    let mut schema = generator.into_root_schema_for::<T>();
    Plain.transform(&mut schema);
    let mut object = schema.to_value().as_object().cloned().unwrap_or_default();
    object.remove("title");
    object.remove("description");
    object.entry("type").or_insert(json!("object"));
    object.entry("properties").or_insert(json!({}));
    object
}

#[derive(Clone)]
struct Plain;

impl Transform for Plain {
    fn transform(&mut self, schema: &mut Schema) {
        if let Some(object) = schema.as_object_mut() {
            object.remove("format");
            object.remove("default");
            object.remove("minimum");
            object.remove("maximum");
            if let Some(Value::Array(types)) = object.get_mut("type") {
                types.retain(|t| t != "null");
                if types.len() == 1 {
                    let only = types.remove(0);
                    object.insert("type".into(), only);
                }
            }
            for either in ["anyOf", "oneOf"] {
                flatten(object, either);
            }
        }
        schemars::transform::transform_subschemas(self, schema);
    }
}

/// Turns "this or null" into "this", and an enum written as one constant a variant into a list of strings.
fn flatten(object: &mut Map<String, Value>, either: &str) {
    let Some(Value::Array(ways)) = object.get(either) else { return };
    let ways: Vec<Value> = ways.iter().filter(|w| w.get("type") != Some(&json!("null"))).cloned().collect();
    if let [Value::Object(only)] = ways.as_slice() {
        let only = only.clone();
        object.remove(either);
        for (key, value) in only {
            object.entry(key).or_insert(value);
        }
        for either in ["anyOf", "oneOf"] {
            flatten(object, either);
        }
        return;
    }
    let names: Option<Vec<Value>> = ways.iter().map(|w| w.get("const").cloned()).collect();
    if let Some(names) = names {
        object.remove(either);
        object.insert("type".into(), json!("string"));
        object.insert("enum".into(), Value::Array(names));
    }
}
