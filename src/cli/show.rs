//! What commands print: JSON for programs, words for people.

use serde::Serialize;

use super::Failure;

/// Prints facts as JSON, one document, indented.
pub(super) fn json(facts: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(facts)?;
    println!("{text}");
    Ok(())
}

/// Text without what could drive a terminal.
pub(super) fn plain(text: &str) -> String {
    text.chars().filter(|c| *c == '\n' || *c == '\t' || !c.is_control()).collect()
}
