//! How a command writes its answer to standard output.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use super::{Done, Failure};

/// Writes an answer. A reader that went away early, such as `head`, is no error.
pub(super) fn print(text: &str) -> Done {
    done(io::stdout().lock().write_all(text.as_bytes()).and_then(|()| io::stdout().flush()))
}

/// Writes an answer as JSON, on lines of its own.
pub(super) fn print_json(answer: &impl serde::Serialize) -> Done {
    let mut text = serde_json::to_string_pretty(answer)?;
    text.push('\n');
    print(&text)
}

/// What a write to standard output ends a command with.
pub(super) fn done(written: io::Result<()>) -> Done {
    match written {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::new(format!("the answer could not be written: {e}")))
        }
        _ => Ok(ExitCode::SUCCESS),
    }
}

/// Writes lines for a person, without what could drive a terminal.
pub(super) fn say(text: &str) -> Done {
    print(&(plain(text) + "\n"))
}

/// A text without what could drive a terminal.
pub(super) fn plain(text: &str) -> String {
    text.chars().filter(|c| *c == '\n' || *c == '\t' || !c.is_control()).collect()
}
