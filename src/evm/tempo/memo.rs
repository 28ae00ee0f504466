//! The memo that ties a transfer to the challenge it pays, for everybody to see on the chain.
//!
//! `keccak("mpp")[0:4] ‖ 01 ‖ keccak(realm)[0:10] ‖ the client's fingerprint, or ten zeros ‖ keccak(id)[0:7]`. Servers
//! refuse a first transfer without it.

use super::super::keccak256;

/// The memo of a challenge's first transfer. It names no client: that would only help others to follow the payer.
pub fn attribution(challenge_id: &str, realm: &str) -> [u8; 32] {
    let mut memo = [0; 32];
    memo[..4].copy_from_slice(&keccak256(b"mpp")[..4]);
    memo[4] = 1;
    memo[5..15].copy_from_slice(&keccak256(realm.as_bytes())[..10]);
    memo[25..].copy_from_slice(&keccak256(challenge_id.as_bytes())[..7]);
    memo
}
