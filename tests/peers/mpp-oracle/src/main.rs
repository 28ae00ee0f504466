//! Reads `{"cases": [{"kind", "text"}]}` and writes the same with what the crate `mpp` makes of each text:
//! `cargo run < ../../data/mpp-oracle.json > new.json`; `tests/peers/run mpp-oracle` compares the two. The credentials in
//! it are those that the ignored test `oracle::print_our_credentials` prints, and aperture's vectors.

use std::io::Read;

use serde_json::{Value, json};

fn main() {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).expect("standard input");
    let mut whole: Value = serde_json::from_str(&text).expect("JSON");
    for case in whole["cases"].as_array_mut().expect("cases") {
        let text = case["text"].as_str().expect("a text").to_owned();
        case["said"] = match case["kind"].as_str() {
            Some("challenges") => challenges(&text),
            Some("credential") => mpp::parse_authorization(&text).map_or(Value::Null, |credential| json!(credential)),
            Some("aperture_credential") => {
                mpp::parse_authorization(&text).map_or(Value::Null, |credential| json!(credential))
            }
            Some("id") => id(&text),
            // Bytes as hex digits, so that what is no text can be written down.
            Some("base64url") => mpp::base64url_decode(&text).map_or(Value::Null, |bytes| json!(hex(&bytes))),
            Some("jcs") => canonical(&text).map_or(Value::Null, Value::from),
            Some("receipt") => mpp::parse_receipt(&text).map_or(Value::Null, |receipt| json!(receipt)),
            other => panic!("{other:?}"),
        };
    }
    whole["made_by"] = "crate mpp 0.18.2, core".into();
    println!("{}", serde_json::to_string_pretty(&whole).expect("JSON"));
}

/// Each challenge of a line: its parameters, or null where it is refused.
fn challenges(line: &str) -> Value {
    mpp::parse_www_authenticate_all([line])
        .into_iter()
        .map(|read| read.map_or(Value::Null, |challenge| json!(challenge.to_echo())))
        .collect()
}

/// The id that a server with this key gives a challenge.
fn id(text: &str) -> Value {
    let whole: Value = serde_json::from_str(text).expect("JSON");
    let of = |name: &str| whole["params"][name].as_str();
    let required = |name: &str| of(name).expect("a required parameter");
    let key = whole["key"].as_str().expect("a key");
    let [realm, method, intent, request] = ["realm", "method", "intent", "request"].map(required);
    mpp::compute_challenge_id(key, realm, method, intent, request, of("expires"), of("digest"), of("opaque")).into()
}

/// JSON as they write it into a request.
fn canonical(text: &str) -> Option<String> {
    let value: Value = serde_json::from_str(text).ok()?;
    let written = mpp::Base64UrlJson::from_value(&value).ok()?;
    String::from_utf8(mpp::base64url_decode(written.raw()).ok()?).ok()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
