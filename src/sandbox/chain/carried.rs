//! What a payer signed and somebody else carries to the chain: an authorization, or a permit for one of x402's contracts.

use crate::evm::{Address, eip3009, permit2};

/// Something signed, on its way to the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Carried {
    /// A transfer that the token itself takes (EIP-3009), whoever carries it.
    Authorization(eip3009::Signed),
    /// A transfer that x402's contracts have Permit2 take.
    Permit {
        /// What was signed.
        signed: permit2::Signed,
        /// How much is taken.
        amount: u64,
        /// Who carries it there.
        by: Address,
    },
}

impl Carried {
    /// Who pays.
    pub fn payer(&self) -> Address {
        match self {
            Carried::Authorization(signed) => signed.authorization.from,
            Carried::Permit { signed, .. } => signed.permit.from,
        }
    }

    /// The nonce that it uses up.
    pub fn nonce(&self) -> [u8; 32] {
        match self {
            Carried::Authorization(signed) => signed.authorization.nonce,
            Carried::Permit { signed, .. } => signed.permit.nonce,
        }
    }

    pub(super) fn signature(&self) -> &[u8; 65] {
        match self {
            Carried::Authorization(signed) => &signed.signature,
            Carried::Permit { signed, .. } => &signed.signature,
        }
    }
}

impl From<eip3009::Signed> for Carried {
    fn from(signed: eip3009::Signed) -> Carried {
        Carried::Authorization(signed)
    }
}

impl From<&eip3009::Signed> for Carried {
    fn from(signed: &eip3009::Signed) -> Carried {
        Carried::Authorization(signed.clone())
    }
}

impl From<&Carried> for Carried {
    fn from(carried: &Carried) -> Carried {
        carried.clone()
    }
}
