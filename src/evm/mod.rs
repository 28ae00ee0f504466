//! What every EVM chain has in common: addresses, Keccak-256, EIP-712, and the tokens we know by heart.
//!
//! Plain data and plain functions: no socket, no clock, no key of anybody's. The protocols that ask for USDC, the wallet
//! that signs for it and the play-money world that checks it all read this page and no other.

pub mod assets;
pub mod eip3009;
pub mod permit2;
pub mod tempo;

use std::{fmt, str::FromStr};

use data_encoding::HEXLOWER_PERMISSIVE;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha3::{Digest, Keccak256};

/// The Keccak-256 hash (the one before SHA-3 was standardised).
pub fn keccak256(bytes: &[u8]) -> [u8; 32] {
    Keccak256::digest(bytes).into()
}

/// A 32-byte word as EVM code sees it, big-endian.
pub fn word(value: u64) -> [u8; 32] {
    let mut out = [0; 32];
    out[24..].copy_from_slice(&value.to_be_bytes());
    out
}

/// `0x` and lower-case hex digits.
pub fn hex(bytes: &[u8]) -> String {
    format!("0x{}", data_encoding::HEXLOWER.encode(bytes))
}

/// Reads `0x` and exactly `N` bytes of hex digits, in any case. `0X` is not read: no wallet and no server takes it.
pub fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    // The length comes first, so that a text of megabytes costs nothing.
    let digits = text.strip_prefix("0x").filter(|digits| digits.len() == 2 * N)?;
    HEXLOWER_PERMISSIVE.decode(digits.as_bytes()).ok()?.try_into().ok()
}

/// An account or a contract: 20 bytes. Written with the checksum of EIP-55, read in any case.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address(pub [u8; 20]);

/// The text is not an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an address is 0x and 40 hex digits")]
pub struct BadAddress;

impl Address {
    /// The account of an uncompressed public key (its 64 bytes without the leading 4).
    pub fn of_public_key(key: &[u8; 64]) -> Address {
        let mut out = [0; 20];
        out.copy_from_slice(&keccak256(key)[12..]);
        Address(out)
    }

    /// Whether it is the address of nobody: what is sent there is lost.
    pub fn is_zero(&self) -> bool {
        self.0 == [0; 20]
    }

    /// Whether a text that names it may well be a typing mistake: it has capitals as the checksum of EIP-55 has them, and
    /// they are not the right ones. All capitals, or none, are no checksum.
    pub fn is_misspelt_in(&self, text: &str) -> bool {
        let digits = text.strip_prefix("0x").unwrap_or(text);
        let has = |test: fn(&u8) -> bool| digits.bytes().any(|b| test(&b));
        has(u8::is_ascii_lowercase) && has(u8::is_ascii_uppercase) && self.to_string() != text
    }

    /// The address as a 32-byte word.
    pub fn word(&self) -> [u8; 32] {
        let mut out = [0; 32];
        out[12..].copy_from_slice(&self.0);
        out
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let low = data_encoding::HEXLOWER.encode(&self.0);
        let hash = keccak256(low.as_bytes());
        f.write_str("0x")?;
        for (i, digit) in low.chars().enumerate() {
            let nibble = hash[i / 2] >> (if i % 2 == 0 { 4 } else { 0 }) & 15;
            let digit = if nibble > 7 { digit.to_ascii_uppercase() } else { digit };
            write!(f, "{digit}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Address {
    type Err = BadAddress;

    fn from_str(text: &str) -> Result<Address, BadAddress> {
        unhex(text).map(Address).ok_or(BadAddress)
    }
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Address, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}
