//! How a person's word came.

/// Where a person said yes or no. A program can answer a form; at the terminal sits whoever the machine belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// `bursar approve` or `bursar deny`.
    Terminal,
    /// A form that the host showed, or answered by itself.
    Form,
}

impl By {
    /// The name in the journal.
    pub const fn name(self) -> &'static str {
        match self {
            By::Terminal => "terminal",
            By::Form => "form",
        }
    }

    /// The one of a name.
    pub fn named(name: &str) -> Option<By> {
        [By::Terminal, By::Form].into_iter().find(|by| by.name() == name)
    }

    /// The same in a sentence about the word.
    pub const fn where_it_was_said(self) -> &'static str {
        match self {
            By::Terminal => "at the terminal",
            By::Form => "in the host's form",
        }
    }
}
