//! Tempo, a chain for payments in stablecoins: what `tempo/charge` of MPP asks to be signed, and the signing.
//!
//! Plain functions of a charge, a time and a key. No node is asked: the seller carries the transaction to the chain, and
//! it is dead half a minute after it was signed.

mod memo;
mod proof;
mod rlp;
mod tokens;
mod transaction;

use bitcoin::secp256k1::{Secp256k1, SecretKey};
use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};

use super::{
    Address,
    eip3009::{address_of, recover, sign},
    hex, unhex,
};

pub use self::{
    memo::attribution,
    tokens::{CHAINS, MAINNET, MODERATO, is_test, of_chain, token},
};

/// The longest life of a transaction with an expiring nonce, in seconds: the chain refuses one that ends more than 30 s
/// ahead of its own clock, which may be a little behind.
pub const LONGEST_LIFE_S: u64 = 25;

/// A sponsor refuses a transaction that has less than this left, in seconds.
pub const SPONSOR_LEAST_S: u64 = 15;

/// What a seller asks to be signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Ask {
    /// A transaction that pays.
    Charge(Charge),
    /// A proof of who asks, which moves nothing.
    Proof {
        /// The chain whose accounts are meant.
        chain_id: u64,
        /// The challenge.
        challenge_id: String,
        /// The realm, which must be the host that is talked to.
        realm: String,
    },
}

/// Some transfers of one token, all or none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Charge {
    /// The chain's number.
    pub chain_id: u64,
    /// The token. One unit of it is a millionth of a dollar.
    pub token: Address,
    /// Who gets how much; the first one carries the challenge's memo.
    pub transfers: Vec<Transfer>,
    /// Who pays for the gas.
    pub fees: Fees,
}

/// One transfer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transfer {
    /// Who is paid.
    pub to: Address,
    /// How much, in the token's own units.
    pub value: u64,
    /// What is written beside it on the chain.
    #[serde(with = "memo_hex", skip_serializing_if = "Option::is_none", default)]
    pub memo: Option<[u8; 32]>,
}

/// Who pays for the gas.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fees {
    /// The sender, in this token.
    Token(Address),
    /// The seller, in a token of its choice.
    Sponsored,
}

/// What was signed, as the ledger keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signed {
    /// Who signed.
    pub from: Address,
    /// From when on it is void, unix seconds. A proof has no end of its own.
    pub valid_before: u64,
    /// What was asked for: whoever looks for it on the chain later need not read it back from the bytes.
    pub ask: Ask,
    /// A transaction, or the 65 bytes of a proof; `0x` and hex digits.
    pub bytes: String,
}

impl Ask {
    /// The chain's number.
    pub fn chain_id(&self) -> u64 {
        match self {
            Ask::Charge(charge) => charge.chain_id,
            Ask::Proof { chain_id, .. } => *chain_id,
        }
    }

    /// Signs it, so that it is void from `valid_before` on (unix seconds).
    ///
    /// Each signing of a charge is a transaction of its own, which the chain would take beside another one: a purchase
    /// is signed once, and the bytes are kept before they are shown to anybody.
    pub fn sign(&self, valid_before: u64, key: &SecretKey) -> Signed {
        let from = address_of(&key.public_key(&Secp256k1::signing_only()));
        let bytes = match self {
            Ask::Charge(charge) => {
                let signature = sign(&transaction::digest(charge, valid_before), key);
                transaction::assembled(charge, valid_before, &from, &signature)
            }
            Ask::Proof { chain_id, challenge_id, realm } => {
                sign(&proof::digest(*chain_id, &from, challenge_id, realm), key).to_vec()
            }
        };
        Signed { from, valid_before, ask: self.clone(), bytes: hex(&bytes) }
    }

    /// Whether these bytes are this very ask, signed by who they say: it is made again and compared, so that nothing else
    /// can go out in its place.
    pub fn is_signed(&self, signed: &Signed) -> bool {
        match self {
            _ if signed.ask != *self => false,
            Ask::Proof { chain_id, challenge_id, realm } => {
                let digest = proof::digest(*chain_id, &signed.from, challenge_id, realm);
                unhex(&signed.bytes).and_then(|s: [u8; 65]| recover(&digest, &s)) == Some(signed.from)
            }
            Ask::Charge(charge) => {
                let Some(bytes) =
                    signed.bytes.strip_prefix("0x").and_then(|text| HEXLOWER.decode(text.as_bytes()).ok())
                else {
                    return false;
                };
                let Some(signature) = bytes.last_chunk::<65>() else { return false };
                recover(&transaction::digest(charge, signed.valid_before), signature) == Some(signed.from)
                    && transaction::assembled(charge, signed.valid_before, &signed.from, signature) == bytes
            }
        }
    }
}

impl Charge {
    /// All that is transferred; `None` when it cannot be counted.
    pub fn total(&self) -> Option<u64> {
        self.transfers.iter().try_fold(0u64, |sum, transfer| sum.checked_add(transfer.value))
    }

    /// The most that it may cost its sender on top, in millionths of a dollar: what gas may cost.
    pub fn fee_cap(&self) -> u64 {
        transaction::fee_cap(self)
    }
}

mod memo_hex {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(memo: &Option<[u8; 32]>, s: S) -> Result<S::Ok, S::Error> {
        match memo {
            Some(memo) => s.serialize_str(&super::hex(memo)),
            None => s.serialize_none(),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Option<[u8; 32]>, D::Error> {
        let text = Option::<String>::deserialize(d)?;
        text.map(|text| super::unhex(&text).ok_or_else(|| D::Error::custom("a memo is 32 bytes"))).transpose()
    }
}
