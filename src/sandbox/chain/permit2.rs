//! Permit2 and x402's two contracts before it: what they check, in their order, and what Permit2 remembers.

use std::collections::HashMap;

use super::{Block, Revert};
use crate::evm::{
    Address,
    assets::Token,
    permit2::{EXACT, Signed, UPTO},
};

/// Allowances for Permit2, and the nonces it has seen.
#[derive(Debug, Default)]
pub(super) struct Permits {
    allowed: HashMap<Address, u64>,
    /// The block in which each payer's nonce was used.
    used: HashMap<(Address, [u8; 32]), Block>,
}

impl Permits {
    pub fn allow(&mut self, owner: Address, units: u64) {
        self.allowed.insert(owner, units);
    }

    pub fn allowance(&self, owner: &Address) -> u64 {
        self.allowed.get(owner).copied().unwrap_or(0)
    }

    /// 256 nonces of a payer, the lowest in the last bit, as they were when a block was the newest.
    pub fn bitmap(&self, owner: &Address, place: &[u8; 32], block: Block) -> [u8; 32] {
        let mut bits = [0; 32];
        for ((payer, nonce), at) in &self.used {
            if payer == owner && place[0] == 0 && nonce[..31] == place[1..] && *at <= block {
                bits[31 - usize::from(nonce[31] / 8)] |= 1 << (nonce[31] % 8);
            }
        }
        bits
    }

    /// The checks of `x402ExactPermit2Proxy` or `x402UptoPermit2Proxy`, and then Permit2's own.
    pub fn check(&self, token: &Token, head: Block, signed: &Signed, amount: u64, by: &Address) -> Result<(), Revert> {
        let permit = &signed.permit;
        let proxy = match &permit.witness.facilitator {
            Some(facilitator) if facilitator != by => return Err(Revert::NotTheFacilitator),
            Some(_) => UPTO,
            None if amount != permit.permitted.amount => return Err(Revert::MoreThanPermitted),
            None => EXACT,
        };
        if permit.witness.to.is_zero() {
            return Err(Revert::ToNobody);
        }
        if head.timestamp() < permit.witness.valid_after {
            return Err(Revert::NotYetValid);
        }
        if amount > permit.permitted.amount {
            return Err(Revert::MoreThanPermitted);
        }
        if head.timestamp() > permit.deadline {
            return Err(Revert::DeadlinePassed);
        }
        if self.used.contains_key(&(permit.from, permit.nonce)) {
            return Err(Revert::PermitUsed);
        }
        // The proxy stands in the digest as the spender, whatever is written there.
        let ours = permit.spender == proxy && permit.permitted.token == token.address;
        if !ours || signed.signer(token.chain_id) != Some(permit.from) {
            return Err(Revert::InvalidSigner);
        }
        if self.allowance(&permit.from) < amount {
            return Err(Revert::NoAllowance);
        }
        Ok(())
    }

    /// Remembers a nonce, and takes from the allowance; the largest stays as it is.
    pub fn take(&mut self, head: Block, signed: &Signed, amount: u64) {
        let owner = signed.permit.from;
        self.used.insert((owner, signed.permit.nonce), head);
        let left = self.allowed.entry(owner).or_default();
        if *left != u64::MAX {
            *left = left.saturating_sub(amount);
        }
    }
}
