//! Blocks: one a second, so that a test's clock is the chain's.

use crate::evm::{keccak256, word};

/// The second in which block 0 was made.
const GENESIS_S: u64 = 1_700_000_000;

/// A block, known by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Block {
    /// Its number.
    pub number: u64,
}

impl Block {
    /// The block made in a second.
    pub fn at(second: u64) -> Block {
        Block { number: second.saturating_sub(GENESIS_S) }
    }

    /// When it was made, in unix seconds: what contracts see as the time.
    pub fn timestamp(self) -> u64 {
        self.number.saturating_add(GENESIS_S)
    }

    /// Its hash.
    pub fn hash(self) -> [u8; 32] {
        keccak256(&[&b"play block"[..], &word(self.number)].concat())
    }
}
