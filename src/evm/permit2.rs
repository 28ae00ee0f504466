//! Permit2: a payment that its payer signs for a contract which may already take the token, for tokens that have no
//! EIP-3009 of their own, and for prices that are only known afterwards.
//!
//! Nothing here grants the allowance that it needs. The spender is one of two contracts of x402, which send the money to
//! the signed payee and to nobody else (schemes/exact/scheme_exact_evm.md 2, schemes/upto/scheme_upto_evm.md 1).

use bitcoin::secp256k1::SecretKey;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

use super::{
    Address,
    eip3009::{recover, sign},
    keccak256, unhex, word,
};

/// Permit2 itself, at the same address on every chain.
pub const CONTRACT: Address = Address([
    0x00, 0x00, 0x00, 0x00, 0x00, 0x22, 0xd4, 0x73, 0x03, 0x0f, 0x11, 0x6d, 0xde, 0xe9, 0xf6, 0xb4, 0x3a, 0xc7, 0x8b,
    0xa3,
]);

/// The contract of x402 that takes exactly what was signed.
pub const EXACT: Address = Address([
    0x40, 0x20, 0x85, 0xc2, 0x48, 0xee, 0xa2, 0x7d, 0x92, 0xe8, 0xb3, 0x0b, 0x2c, 0x58, 0xed, 0x07, 0xf9, 0xe2, 0x00,
    0x01,
]);

/// The contract of x402 that takes at most what was signed.
pub const UPTO: Address = Address([
    0x40, 0x20, 0xa4, 0xf3, 0xb7, 0xb9, 0x0c, 0xca, 0x42, 0x3b, 0x9f, 0xab, 0xcc, 0x0c, 0xe5, 0x7c, 0x6c, 0x24, 0x00,
    0x02,
]);

/// How much may be taken, and by whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "takes")]
pub enum Taking {
    /// Exactly the amount, carried to the chain by anybody.
    Exact,
    /// The amount or less, carried to the chain by this account only.
    UpTo {
        /// The seller's facilitator.
        facilitator: Address,
    },
}

impl Taking {
    /// The contract that takes the money.
    pub fn spender(&self) -> Address {
        match self {
            Taking::Exact => EXACT,
            Taking::UpTo { .. } => UPTO,
        }
    }
}

/// The token and how much of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Permitted {
    /// The contract.
    pub token: Address,
    /// How much, in the token's own units; a decimal string on the wire.
    #[serde(with = "super::eip3009::decimal")]
    pub amount: u64,
}

/// What the spender is bound to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Witness {
    /// Who is paid.
    pub to: Address,
    /// Who alone may carry it to the chain; for a price that is only known afterwards.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub facilitator: Option<Address>,
    /// It is void before this second.
    #[serde(with = "super::eip3009::decimal")]
    pub valid_after: u64,
}

/// A permit, before it is signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Permit {
    /// What may be taken.
    pub permitted: Permitted,
    /// Who pays.
    pub from: Address,
    /// Who takes it: [`EXACT`] or [`UPTO`].
    pub spender: Address,
    /// 32 bytes that this payer has never used with Permit2; a decimal string on the wire.
    #[serde(serialize_with = "write_nonce", deserialize_with = "read_nonce")]
    pub nonce: [u8; 32],
    /// It is void after this second.
    #[serde(with = "super::eip3009::decimal")]
    pub deadline: u64,
    /// What the spender is bound to.
    pub witness: Witness,
}

impl Permit {
    /// Whether it lets the money be taken in this way and in no other.
    pub fn is_for(&self, taking: &Taking) -> bool {
        let facilitator = match taking {
            Taking::Exact => None,
            Taking::UpTo { facilitator } => Some(*facilitator),
        };
        self.spender == taking.spender() && self.witness.facilitator == facilitator
    }

    /// What is signed (EIP-712): Permit2's domain on a chain, and `PermitWitnessTransferFrom`.
    pub fn digest(&self, chain_id: u64) -> [u8; 32] {
        let (witness_type, mut witness) = match &self.witness.facilitator {
            None => ("Witness(address to,uint256 validAfter)", vec![self.witness.to.word()]),
            Some(facilitator) => (
                "Witness(address to,address facilitator,uint256 validAfter)",
                vec![self.witness.to.word(), facilitator.word()],
            ),
        };
        witness.insert(0, keccak256(witness_type.as_bytes()));
        witness.push(word(self.witness.valid_after));
        let tokens = "TokenPermissions(address token,uint256 amount)";
        let permitted =
            [keccak256(tokens.as_bytes()), self.permitted.token.word(), word(self.permitted.amount)].concat();
        let whole = format!(
            "PermitWitnessTransferFrom(TokenPermissions permitted,address spender,uint256 nonce,uint256 deadline,Witness witness){tokens}{witness_type}"
        );
        let words = [
            keccak256(whole.as_bytes()),
            keccak256(&permitted),
            self.spender.word(),
            self.nonce,
            word(self.deadline),
            keccak256(&witness.concat()),
        ];
        keccak256(&[&[0x19, 0x01][..], &separator(chain_id), &keccak256(&words.concat())].concat())
    }

    /// Signs it.
    pub fn sign(self, chain_id: u64, key: &SecretKey) -> Signed {
        Signed { signature: sign(&self.digest(chain_id), key), permit: self }
    }
}

/// Permit2's domain separator on a chain. Its domain has no version.
pub fn separator(chain_id: u64) -> [u8; 32] {
    let typehash = keccak256(b"EIP712Domain(string name,uint256 chainId,address verifyingContract)");
    keccak256(&[typehash, keccak256(b"Permit2"), word(chain_id), CONTRACT.word()].concat())
}

/// A signed permit, in the JSON shape that x402 carries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signed {
    /// `r`, `s` and `v` (27 or 28).
    #[serde(with = "super::eip3009::bytes")]
    pub signature: [u8; 65],
    /// What was signed.
    #[serde(rename = "permit2Authorization")]
    pub permit: Permit,
}

impl Signed {
    /// The account whose key signed it; `None` when no key can have.
    pub fn signer(&self, chain_id: u64) -> Option<Address> {
        recover(&self.permit.digest(chain_id), &self.signature)
    }
}

fn write_nonce<S: Serializer>(nonce: &[u8; 32], s: S) -> Result<S::Ok, S::Error> {
    s.serialize_str(&decimal(nonce))
}

/// Reads a decimal, or `0x` and 64 digits as some write it.
fn read_nonce<'de, D: Deserializer<'de>>(d: D) -> Result<[u8; 32], D::Error> {
    let text = String::deserialize(d)?;
    unhex(&text).or_else(|| undecimal(&text)).ok_or_else(|| D::Error::custom("not a number of 256 bits"))
}

/// A big-endian number of 256 bits in decimal digits.
fn decimal(number: &[u8; 32]) -> String {
    let mut left = *number;
    let mut digits = Vec::new();
    while digits.is_empty() || left != [0; 32] {
        let mut rest = 0u16;
        for byte in &mut left {
            let part = rest << 8 | u16::from(*byte);
            *byte = (part / 10) as u8;
            rest = part % 10;
        }
        digits.push(b'0' + rest as u8);
    }
    digits.iter().rev().map(|digit| char::from(*digit)).collect()
}

fn undecimal(text: &str) -> Option<[u8; 32]> {
    let plain = (1..=78).contains(&text.len()) && (text == "0" || !text.starts_with('0'));
    let mut number = [0u8; 32];
    for digit in text.bytes().filter(|_| plain) {
        let mut carry = u16::from(digit.checked_sub(b'0').filter(|d| *d < 10)?);
        for byte in number.iter_mut().rev() {
            let part = u16::from(*byte) * 10 + carry;
            *byte = part as u8;
            carry = part >> 8;
        }
        if carry != 0 {
            return None;
        }
    }
    plain.then_some(number)
}
