//! A signature that pays nothing: it only shows whose account asks (a charge of zero).
//!
//! EIP-712, domain `MPP` version `3`. It names the challenge and the realm, so that nobody can show it elsewhere: whoever
//! signs checks that the realm is the host it talks to.

use super::super::{Address, keccak256, word};

/// What is signed.
pub(super) fn digest(chain_id: u64, account: &Address, challenge_id: &str, realm: &str) -> [u8; 32] {
    let domain = [
        keccak256(b"EIP712Domain(string name,string version,uint256 chainId)"),
        keccak256(b"MPP"),
        keccak256(b"3"),
        word(chain_id),
    ];
    let message = [
        keccak256(b"Proof(address account,string challengeId,string realm)"),
        account.word(),
        keccak256(challenge_id.as_bytes()),
        keccak256(realm.as_bytes()),
    ];
    keccak256(&[&[0x19, 0x01][..], &keccak256(&domain.concat()), &keccak256(&message.concat())].concat())
}
