//! What nodes tell of Permit2: the allowance it has, which nonces are used, and how much was taken with one.

use std::collections::BTreeSet;

use tokio::time::{Instant, timeout_at};

use super::{
    net::{ABOUT_ONE, Nonce, STRETCH, STRETCHES, state as state_of},
    rpc::{Block, Moved, NoAnswer, Rpc, number},
};
use crate::evm::{Address, permit2::CONTRACT};

/// So many blocks in which the payee got something of ours are looked at: each is two more questions.
const BLOCKS: usize = 8;

/// How much of a token Permit2 may take from its owner. More than we can count is as much as we can count.
pub(super) async fn allowance(rpc: &Rpc, token: &Address, owner: &Address) -> Result<u64, NoAnswer> {
    let words = [owner.word(), CONTRACT.word()];
    let said = rpc.call(token, "allowance(address,address)", &words, "latest").await?;
    Ok(number(&said).unwrap_or(u64::MAX))
}

/// Whether Permit2 has seen a nonce, at a block: its last byte numbers a bit in the word that the others number.
pub(super) async fn state(rpc: &Rpc, nonce: &Nonce, block: &str) -> Result<bool, NoAnswer> {
    let (mut place, bit) = ([0; 32], nonce.nonce[31]);
    place[1..].copy_from_slice(&nonce.nonce[..31]);
    let bits = rpc.call(&CONTRACT, "nonceBitmap(address,uint256)", &[nonce.from.word(), place], block).await?;
    Ok(bits[31 - usize::from(bit / 8)] >> (bit % 8) & 1 == 1)
}

/// The transaction that used a nonce, and how much it took, as the first node tells that finds it among the last blocks.
///
/// Nothing on the chain says which transfer belongs to which nonce, and a seller's word could name an older and smaller
/// one. So it is the block that counts in which the nonce became used: what the payee got there. If it got something
/// several times in that block, the most that this nonce can have moved is taken for it, and no transaction is named.
pub(super) async fn found(
    nodes: &[(&Rpc, Block)],
    nonce: &Nonce,
    to: Address,
    most: u64,
) -> Option<(Option<String>, u64)> {
    let until = Instant::now() + ABOUT_ONE;
    for (rpc, head) in nodes {
        match timeout_at(until, found_by(rpc, *head, nonce, &to, most)).await {
            Ok(Ok(Some(found))) => return Some(found),
            Ok(_) => {}
            Err(_) => return None,
        }
    }
    None
}

async fn found_by(
    rpc: &Rpc,
    head: Block,
    nonce: &Nonce,
    to: &Address,
    most: u64,
) -> Result<Option<(Option<String>, u64)>, NoAnswer> {
    let (mut last, mut left) = (head.number, BLOCKS);
    for _ in 0..STRETCHES {
        let first = last.saturating_sub(STRETCH - 1);
        let moved = rpc.transfers(&nonce.token, (&nonce.from, to), (first, last)).await?;
        let blocks: BTreeSet<u64> = moved.iter().map(|m| m.block).collect();
        for block in blocks.into_iter().rev() {
            if left == 0 {
                return Ok(None);
            }
            left -= 1;
            let at = |number: u64| format!("{number:#x}");
            if !state_of(rpc, nonce, &at(block)).await? {
                // It became used in a later block, where the payee got nothing: nobody can say how much was taken.
                return Ok(None);
            }
            if block == 0 || !state_of(rpc, nonce, &at(block - 1)).await? {
                return Ok(taken(moved.iter().filter(|m| m.block == block), most));
            }
        }
        if first == 0 {
            break;
        }
        last = first - 1;
    }
    Ok(None)
}

/// What a nonce moved, of all that was moved in its block.
fn taken<'a>(moved: impl Iterator<Item = &'a Moved>, most: u64) -> Option<(Option<String>, u64)> {
    let moved: Vec<&Moved> = moved.filter(|m| m.units <= most).collect();
    let units = moved.iter().map(|m| m.units).max()?;
    Some((moved.first().filter(|_| moved.len() == 1).map(|m| m.transaction.clone()), units))
}
