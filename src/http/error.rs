//! What can go wrong, told by what the seller may have seen of it.

/// Why there is no answer. Neither kind ever holds a header's value, a credential or a query string.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// We would not do it: not one byte of the request left for anybody.
    #[error("{say}")]
    Refused {
        /// A stable word: `url`, `scheme`, `userinfo`, `name`, `address`, `port`, `plain_text`, `header`, `tls`, `roots`.
        code: &'static str,
        /// One sentence for people and models.
        say: String,
    },
    /// We tried and it did not work.
    #[error("{say}")]
    Failed {
        /// Whether the request, or one that was redirected here, may have reached the seller.
        sent: bool,
        /// One sentence for people and models.
        say: String,
    },
}

impl Error {
    pub(super) fn refused(code: &'static str, say: impl Into<String>) -> Error {
        Error::Refused { code, say: say.into() }
    }

    pub(super) fn unsent(say: impl Into<String>) -> Error {
        Error::Failed { sent: false, say: say.into() }
    }

    pub(super) fn sent(say: impl Into<String>) -> Error {
        Error::Failed { sent: true, say: say.into() }
    }
}

/// Makes a foreign text fit for a sentence of ours: printable ASCII, at most 120 characters.
pub(super) fn quoted(text: &str) -> String {
    text.chars().map(|c| if c == ' ' || c.is_ascii_graphic() { c } else { '?' }).take(120).collect()
}
