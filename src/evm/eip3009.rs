//! EIP-3009, `TransferWithAuthorization`: a payment that its payer signs and anybody may carry to the chain, once.
//!
//! The nonce is what makes it happen at most once: a token remembers every nonce of every payer.

use bitcoin::secp256k1::{Message, PublicKey, Secp256k1, SecretKey, ecdsa::RecoverableSignature, ecdsa::RecoveryId};
use serde::{Deserialize, Serialize};

use super::{Address, assets::Token, hex, keccak256, unhex, word};

/// What an offer asks to be transferred. One unit of `value` is the atomic unit of the token's currency.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transfer {
    /// The token, with its EIP-712 domain.
    pub token: Token,
    /// Who is paid.
    pub to: Address,
    /// How much, in the token's own units.
    pub value: u64,
    /// How long the seller wants an authorization to live at most, in seconds.
    pub max_life_s: u64,
    /// The nonce that must be signed, where the protocol makes it of the seller's challenge (MPP). Else the wallet derives
    /// one of its own, and that is what keeps a lost ledger from paying twice.
    #[serde(with = "maybe_bytes", skip_serializing_if = "Option::is_none", default)]
    pub nonce: Option<[u8; 32]>,
}

/// An authorization, before it is signed. The window is exclusive at both ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Authorization {
    /// Who pays.
    pub from: Address,
    /// Who is paid.
    pub to: Address,
    /// How much, in the token's own units; a decimal string on the wire.
    #[serde(with = "decimal")]
    pub value: u64,
    /// It is void up to this second.
    #[serde(with = "decimal")]
    pub valid_after: u64,
    /// It is void from this second on.
    #[serde(with = "decimal")]
    pub valid_before: u64,
    /// 32 bytes that this payer has never used with this token.
    #[serde(with = "bytes")]
    pub nonce: [u8; 32],
}

impl Authorization {
    /// What is signed (EIP-712): the token's domain and these six values.
    pub fn digest(&self, token: &Token) -> [u8; 32] {
        let typehash = keccak256(
            b"TransferWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)",
        );
        let words = [
            typehash,
            self.from.word(),
            self.to.word(),
            word(self.value),
            word(self.valid_after),
            word(self.valid_before),
            self.nonce,
        ];
        keccak256(&[&[0x19, 0x01][..], &token.separator(), &keccak256(&words.concat())].concat())
    }

    /// Signs it.
    pub fn sign(self, token: &Token, key: &SecretKey) -> Signed {
        let signature = sign(&self.digest(token), key);
        Signed { signature, authorization: self }
    }
}

/// A signed authorization, in the JSON shape that x402 and MPP carry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signed {
    /// `r`, `s` and `v` (27 or 28).
    #[serde(with = "bytes")]
    pub signature: [u8; 65],
    /// What was signed.
    pub authorization: Authorization,
}

impl Signed {
    /// The account whose key signed it; `None` when no key can have.
    pub fn signer(&self, token: &Token) -> Option<Address> {
        recover(&self.authorization.digest(token), &self.signature)
    }
}

/// The 65 bytes `r`, `s` and `v` (27 or 28) over a digest, deterministic (RFC 6979), with a low `s`.
pub fn sign(digest: &[u8; 32], key: &SecretKey) -> [u8; 65] {
    let signed = Secp256k1::signing_only().sign_ecdsa_recoverable(&Message::from_digest(*digest), key);
    let (id, compact) = signed.serialize_compact();
    let mut out = [0; 65];
    out[..64].copy_from_slice(&compact);
    out[64] = 27 + u8::from(id.to_i32() == 1);
    out
}

/// The account that signed a digest; `None` when the signature is not one, or has a high `s` or a `v` other than 27 and
/// 28, which tokens refuse.
pub fn recover(digest: &[u8; 32], signature: &[u8; 65]) -> Option<Address> {
    let id = RecoveryId::from_i32(i32::from(signature[64].checked_sub(27).filter(|id| *id < 2)?)).ok()?;
    let signed = RecoverableSignature::from_compact(&signature[..64], id).ok()?;
    let mut low = signed.to_standard();
    low.normalize_s();
    if low != signed.to_standard() {
        return None;
    }
    let key = Secp256k1::verification_only().recover_ecdsa(&Message::from_digest(*digest), &signed).ok()?;
    Some(address_of(&key))
}

/// The account of a public key.
pub fn address_of(key: &PublicKey) -> Address {
    let mut bytes = [0; 64];
    bytes.copy_from_slice(&key.serialize_uncompressed()[1..]);
    Address::of_public_key(&bytes)
}

pub(super) mod decimal {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(value: &u64, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(value)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<u64, D::Error> {
        let text = String::deserialize(d)?;
        // The standard parser takes a plus sign too, and a chain's tools do not.
        let plain = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
        plain.then(|| text.parse().ok()).flatten().ok_or_else(|| D::Error::custom("not a plain decimal that fits"))
    }
}

pub(super) mod bytes {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer, const N: usize>(bytes: &[u8; N], s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&super::hex(bytes))
    }

    pub fn deserialize<'de, D: Deserializer<'de>, const N: usize>(d: D) -> Result<[u8; N], D::Error> {
        super::unhex(&String::deserialize(d)?).ok_or_else(|| D::Error::custom("not the right number of hex digits"))
    }
}

mod maybe_bytes {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(bytes: &Option<[u8; 32]>, s: S) -> Result<S::Ok, S::Error> {
        match bytes {
            Some(bytes) => super::bytes::serialize(bytes, s),
            None => s.serialize_none(),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Option<[u8; 32]>, D::Error> {
        let text = Option::<String>::deserialize(d)?;
        let bytes = text.map(|text| super::unhex(&text).ok_or_else(|| D::Error::custom("not 32 bytes of hex digits")));
        bytes.transpose()
    }
}
