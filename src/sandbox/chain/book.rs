//! Who holds what, which nonces are used, and everything that was ever mined.

use std::collections::HashMap;

use super::{Block, Carried, permit2::Permits};
use crate::evm::{Address, assets::Token, eip3009::Signed, keccak256, word};

/// A payment by something that was signed, an authorization or a permit, that went through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// Who paid.
    pub from: Address,
    /// Who was paid.
    pub to: Address,
    /// How much, in the token's smallest unit.
    pub value: u64,
    /// The nonce that it used up.
    pub nonce: [u8; 32],
    /// The hash of its transaction.
    pub transaction: [u8; 32],
    /// The block it stands in.
    pub block: Block,
}

/// Why the token refused, in the token's own words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Revert {
    /// The block's time is not after `validAfter`.
    #[error("FiatTokenV2: authorization is not yet valid")]
    NotYetValid,
    /// The block's time is not before `validBefore`.
    #[error("FiatTokenV2: authorization is expired")]
    Expired,
    /// This payer used this nonce before.
    #[error("FiatTokenV2: authorization is used or canceled")]
    NonceUsed,
    /// It is not signed by the payer over this token's domain, or with a high `s`, or with another `v` than 27 or 28.
    #[error("FiatTokenV2: invalid signature")]
    BadSignature,
    /// Nobody can be paid at the zero address.
    #[error("ERC20: transfer to the zero address")]
    ToNobody,
    /// The payer holds too little.
    #[error("ERC20: transfer amount exceeds balance")]
    InsufficientBalance,
    /// The block's time is after the permit's deadline.
    #[error("SignatureExpired")]
    DeadlinePassed,
    /// Permit2 has seen this payer's nonce.
    #[error("InvalidNonce")]
    PermitUsed,
    /// The permit is not signed by the payer, or for another spender or token.
    #[error("InvalidSigner")]
    InvalidSigner,
    /// More is to be taken than was signed for, or less where the whole was.
    #[error("AmountExceedsPermitted")]
    MoreThanPermitted,
    /// Only the facilitator that was signed may carry it.
    #[error("UnauthorizedFacilitator")]
    NotTheFacilitator,
    /// Permit2 may not take so much from the payer.
    #[error("TRANSFER_FROM_FAILED")]
    NoAllowance,
}

/// A transaction in a block.
#[derive(Clone, Debug)]
pub(in crate::sandbox) struct Mined {
    pub transaction: [u8; 32],
    pub block: Block,
    /// `None` for one that reverted, or that moved nothing.
    pub moved: Option<Moved>,
    /// The payer and the nonce of an authorization that its payer took back.
    pub canceled: Option<(Address, [u8; 32])>,
}

/// Money that changed hands.
#[derive(Clone, Debug)]
pub(in crate::sandbox) struct Moved {
    /// The zero address when it was minted.
    pub from: Address,
    pub to: Address,
    pub value: u64,
    /// The nonce, when it moved by something that was signed.
    pub nonce: Option<[u8; 32]>,
    /// Whether Permit2 took it: then no event names the nonce.
    pub by_permit: bool,
}

#[derive(Debug, Default)]
pub(super) struct Book {
    balances: HashMap<Address, u64>,
    /// The block in which each payer's nonce was used.
    used: HashMap<(Address, [u8; 32]), Block>,
    pub mined: Vec<Mined>,
    pub permits: Permits,
    pub pending: Vec<([u8; 32], Carried)>,
    pub code: HashMap<Address, Vec<u8>>,
    pub head_age_s: u64,
    made: u64,
}

impl Book {
    pub fn balance_of(&self, account: &Address) -> u64 {
        self.balances.get(account).copied().unwrap_or(0)
    }

    /// What an account held when a block was the newest.
    pub fn balance_at(&self, account: &Address, block: Block) -> u64 {
        let moved = self.mined.iter().filter(|m| m.block <= block).filter_map(|m| m.moved.as_ref());
        // In order, money is there before it leaves, so this never goes below zero.
        moved.fold(0, |held: u64, m| {
            let held = if m.to == *account { held.saturating_add(m.value) } else { held };
            if m.from == *account { held.saturating_sub(m.value) } else { held }
        })
    }

    pub fn is_used(&self, payer: &Address, nonce: &[u8; 32]) -> bool {
        self.used.contains_key(&(*payer, *nonce))
    }

    pub fn was_used(&self, payer: &Address, nonce: &[u8; 32], block: Block) -> bool {
        self.used.get(&(*payer, *nonce)).is_some_and(|at| *at <= block)
    }

    pub fn mint(&mut self, block: Block, to: Address, value: u64) {
        let transaction = self.new_hash(b"mint");
        self.shift(block, transaction, Moved { from: Address([0; 20]), to, value, nonce: None, by_permit: false });
    }

    pub fn spend(&mut self, block: Block, from: Address, to: Address, value: u64) -> bool {
        if self.balance_of(&from) < value {
            return false;
        }
        let transaction = self.new_hash(b"transfer");
        self.shift(block, transaction, Moved { from, to, value, nonce: None, by_permit: false });
        true
    }

    /// What the contracts would say.
    pub fn check(&self, token: &Token, head: Block, carried: &Carried) -> Result<(), Revert> {
        match carried {
            Carried::Authorization(signed) => self.check_authorization(token, head, signed),
            Carried::Permit { signed, amount, by } => {
                self.permits.check(token, head, signed, *amount, by)?;
                // Permit2 gives no reason of the token's.
                let enough = self.balance_of(&signed.permit.from) >= *amount;
                if enough { Ok(()) } else { Err(Revert::InsufficientBalance) }
            }
        }
    }

    /// The token's checks, in the token's order.
    fn check_authorization(&self, token: &Token, head: Block, signed: &Signed) -> Result<(), Revert> {
        let a = &signed.authorization;
        if head.timestamp() <= a.valid_after {
            return Err(Revert::NotYetValid);
        }
        if head.timestamp() >= a.valid_before {
            return Err(Revert::Expired);
        }
        if self.is_used(&a.from, &a.nonce) {
            return Err(Revert::NonceUsed);
        }
        if !matches!(signed.signature[64], 27 | 28) || signed.signer(token) != Some(a.from) {
            return Err(Revert::BadSignature);
        }
        if a.to == Address([0; 20]) {
            return Err(Revert::ToNobody);
        }
        if self.balance_of(&a.from) < a.value {
            return Err(Revert::InsufficientBalance);
        }
        Ok(())
    }

    /// Mines one of them: it moves, or it stands in the block as reverted.
    pub fn carry(
        &mut self,
        token: &Token,
        head: Block,
        transaction: [u8; 32],
        carried: &Carried,
    ) -> Result<Transfer, Revert> {
        if let Err(revert) = self.check(token, head, carried) {
            self.mined.push(Mined { transaction, block: head, moved: None, canceled: None });
            return Err(revert);
        }
        let (from, nonce) = (carried.payer(), carried.nonce());
        let (to, value, by_permit) = match carried {
            Carried::Authorization(signed) => {
                self.used.insert((from, nonce), head);
                (signed.authorization.to, signed.authorization.value, false)
            }
            Carried::Permit { signed, amount, .. } => {
                self.permits.take(head, signed, *amount);
                (signed.permit.witness.to, *amount, true)
            }
        };
        self.shift(head, transaction, Moved { from, to, value, nonce: Some(nonce), by_permit });
        Ok(Transfer { from, to, value, nonce, transaction, block: head })
    }

    /// Takes an authorization back, as its payer does with a transaction of theirs; `false` when its nonce was used.
    pub fn cancel(&mut self, block: Block, payer: Address, nonce: [u8; 32]) -> bool {
        if self.is_used(&payer, &nonce) {
            return false;
        }
        self.used.insert((payer, nonce), block);
        let transaction = self.new_hash(b"cancel");
        self.mined.push(Mined { transaction, block, moved: None, canceled: Some((payer, nonce)) });
        true
    }

    pub fn transfers(&self) -> Vec<Transfer> {
        let by_authorization = |m: &Mined| {
            let moved = m.moved.as_ref()?;
            let Moved { from, to, value, nonce, .. } = moved.clone();
            Some(Transfer { from, to, value, nonce: nonce?, transaction: m.transaction, block: m.block })
        };
        self.mined.iter().filter_map(by_authorization).collect()
    }

    /// A hash that no other transaction has, so that the same authorization sent twice makes two.
    pub fn next_transaction(&mut self, carried: &Carried) -> [u8; 32] {
        self.new_hash(carried.signature())
    }

    fn new_hash(&mut self, of: &[u8]) -> [u8; 32] {
        self.made += 1;
        keccak256(&[&word(self.made)[..], of].concat())
    }

    fn shift(&mut self, block: Block, transaction: [u8; 32], moved: Moved) {
        if moved.from != Address([0; 20]) {
            let held = self.balances.entry(moved.from).or_default();
            *held = held.saturating_sub(moved.value);
        }
        let held = self.balances.entry(moved.to).or_default();
        *held = held.saturating_add(moved.value);
        self.mined.push(Mined { transaction, block, moved: Some(moved), canceled: None });
    }
}
