//! Reads `{"cases": [{"kind", "text"}]}` and writes the same with what the crate `mpp` makes of each text:
//! `cargo run < ../../data/mpp-oracle.json > new.json`. The credentials in it are those that the ignored test
//! `oracle::print_our_credentials` prints.

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
