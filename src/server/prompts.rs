//! One prompt: what did we spend?

use rmcp::{
    ErrorData,
    model::{GetPromptResult, Prompt, PromptMessage, Role},
};

const AUDIT: &str = "audit";

pub(super) fn list() -> Vec<Prompt> {
    vec![Prompt::new(AUDIT, Some("What was bought and refused in this session, and what is left"), None)]
}

pub(super) fn get(name: &str) -> Result<GetPromptResult, ErrorData> {
    if name != AUDIT {
        return Err(ErrorData::invalid_params(format!("there is no prompt named {name:?}"), None));
    }
    let text = "Read the resource bursar://audit and the tool get_balance, and tell me in a short table what was bought \
                in this session, from whom, for how much, what was refused and why, and what is left.";
    Ok(GetPromptResult::new(vec![PromptMessage::new_text(Role::User, text)]))
}
