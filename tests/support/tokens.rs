//! What a text costs a model.

use std::sync::LazyLock;

static TOKENIZERS: LazyLock<[tiktoken_rs::CoreBPE; 2]> =
    LazyLock::new(|| [tiktoken_rs::o200k_base().unwrap(), tiktoken_rs::cl100k_base().unwrap()]);

/// The most that one of two tokenizers counts.
pub fn tokens(text: &str) -> usize {
    TOKENIZERS.iter().map(|t| t.encode_ordinary(text).len()).max().unwrap()
}
