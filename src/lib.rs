//! Bursar is the purse a person hands to an AI agent.

#![forbid(unsafe_code)]

pub mod catalog;
pub mod cli;
pub mod clock;
pub mod config;
pub mod evm;
pub mod http;
pub mod ledger;
pub mod money;
pub mod protocol;
pub mod purchase;
pub mod report;
pub mod sandbox;
pub mod secret;
pub mod server;
pub mod wallet;

/// Bytes from the operating system's generator.
///
/// # Panics
/// When the operating system has none, where nothing Bursar does would be safe.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    ring::rand::generate::<[u8; N]>(&ring::rand::SystemRandom::new())
        .expect("the operating system gives random bytes")
        .expose()
}

/// The SHA-256 of some bytes.
pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(ring::digest::digest(&ring::digest::SHA256, bytes).as_ref());
    out
}
