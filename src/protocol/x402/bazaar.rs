//! What terms say of the endpoint itself: input, output and their schema, for whoever wants to know before paying.
//!
//! Version 2 has it in the extension `bazaar` (extensions/bazaar.md), version 1 in `outputSchema` of an entry.

use super::{
    super::Seen,
    challenge::{Found, Terms, members},
};

/// The longest part that is handed on, in bytes.
const MAX_PART: usize = 16 << 10;

/// What a seller says of an endpoint: JSON as it was written, not believed, not cleaned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Described {
    /// How to call it, with example values: `{"type":"http","method":"GET","queryParams":{"city":"Oslo"}}`.
    pub input: Option<String>,
    /// What comes back: `{"type":"json","example":{...}}`.
    pub output: Option<String>,
    /// The JSON Schema of `{"input":...,"output":...}`.
    pub schema: Option<String>,
}

/// What the terms of an answer say of the endpoint. `None` when they say nothing of it, or the answer holds no terms.
pub fn described(seen: Seen<'_>) -> Option<Described> {
    match Found::in_answer(seen) {
        Found::Terms(terms, _) => in_terms(&terms),
        Found::Nothing | Found::Unreadable(_) => None,
    }
}

/// The same for terms that were read.
pub(super) fn in_terms(terms: &Terms) -> Option<Described> {
    let part = |object: &str, name: &str| {
        let all = members(object)?;
        let (_, value) = all.into_iter().find(|(known, _)| known == name)?;
        Some(value)
    };
    let short = |object: &str, name: &str| {
        let raw = part(object, name)?;
        Some(raw.get()).filter(|raw| raw.starts_with('{') && raw.len() <= MAX_PART).map(str::to_owned)
    };
    let described = match terms.extensions.as_deref().and_then(|all| part(all, "bazaar")) {
        Some(bazaar) => {
            let info = part(bazaar.get(), "info");
            let of_info = |name: &str| info.as_deref().and_then(|info| short(info.get(), name));
            Described { input: of_info("input"), output: of_info("output"), schema: short(bazaar.get(), "schema") }
        }
        None => {
            let described = terms.accepts.iter().find_map(|entry| part(&entry.raw, "outputSchema"))?;
            let of = |name: &str| short(described.get(), name);
            Described { input: of("input"), output: of("output"), schema: None }
        }
    };
    (described != Described::default()).then_some(described)
}
