//! Tempo's test network in play: its pathUSD as a book in memory, and its own transactions (type 0x76).
//!
//! A transaction is read from its bytes, and every check is made here and borrowed from nobody who signs: the chain, the
//! expiring nonce, how long it lives, the calls, the signature, the balance. What it moves is remembered with its memo.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    sync::{Arc, Mutex},
};

use super::rlp::Item;
use crate::{
    clock::Clock,
    evm::{Address, eip3009::recover, keccak256, tempo::MODERATO},
    sandbox::lock,
};

/// The one token of the play chain.
pub const PATH_USD: &str = "0x20c0000000000000000000000000000000000000";

/// The chain takes a transaction with an expiring nonce at most so long before its end, in seconds.
const MOST_AHEAD_S: u64 = 30;

/// What a transfer was measured to need, and the price of a unit of gas in 10⁻¹⁸ dollars.
const GAS: u64 = 51_287;
const BASE_FEE: u64 = 20_000_000_000;

/// The play chain. Clones are the same chain.
#[derive(Clone)]
pub struct PlayTempo(Arc<Shared>);

struct Shared {
    clock: Clock,
    book: Mutex<Book>,
}

#[derive(Default)]
struct Book {
    balances: HashMap<Address, u64>,
    /// The transactions that were taken: an expiring nonce is used by its transaction's hash.
    taken: HashSet<[u8; 32]>,
    moved: Vec<TempoTransfer>,
    fees: u64,
}

/// A transfer that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TempoTransfer {
    /// Who paid.
    pub from: Address,
    /// Who was paid.
    pub to: Address,
    /// How much, in millionths of a dollar.
    pub value: u64,
    /// What is written beside it.
    pub memo: Option<[u8; 32]>,
    /// The hash of its transaction.
    pub transaction: [u8; 32],
}

/// A transaction as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TempoTransaction {
    /// Who signed it.
    pub from: Address,
    /// From when on it is void, unix seconds.
    pub valid_before: u64,
    /// What it transfers, all or nothing.
    pub transfers: Vec<TempoTransfer>,
    /// Its hash.
    pub hash: [u8; 32],
}

/// Why the chain refuses a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TempoRevert {
    /// It is no transaction of type 0x76 in its one spelling.
    #[error("malformed transaction")]
    Malformed,
    /// It is for another chain.
    #[error("wrong chain id")]
    WrongChain,
    /// Its nonce is not an expiring one.
    #[error("not an expiring nonce")]
    Nonce,
    /// It calls something else than a transfer of the token, or wants to pay its gas with another one.
    #[error("unknown call or fee token")]
    Call,
    /// Nobody's signature, or a bad one.
    #[error("invalid signature")]
    BadSignature,
    /// Its end is over.
    #[error("transaction expired")]
    Expired,
    /// Its end is too far ahead.
    #[error("valid_before is too far in the future")]
    TooFarAhead,
    /// It was taken before.
    #[error("nonce already used")]
    Taken,
    /// Its sender holds too little.
    #[error("insufficient balance")]
    InsufficientBalance,
}

impl PlayTempo {
    /// A chain on which nobody holds anything.
    pub fn new(clock: Clock) -> PlayTempo {
        PlayTempo(Arc::new(Shared { clock, book: Mutex::default() }))
    }

    /// Makes money out of nothing, in millionths of a dollar.
    pub fn mint(&self, to: Address, value: u64) {
        let mut book = lock(&self.0.book);
        let held = book.balances.entry(to).or_default();
        *held = held.saturating_add(value);
    }

    /// What an account holds, in millionths of a dollar.
    pub fn balance_of(&self, account: &Address) -> u64 {
        lock(&self.0.book).balances.get(account).copied().unwrap_or(0)
    }

    /// Every transfer, in order: what really happened.
    pub fn moved(&self) -> Vec<TempoTransfer> {
        lock(&self.0.book).moved.clone()
    }

    /// Everything that an account paid, gas aside.
    pub fn spent_by(&self, payer: &Address) -> u64 {
        self.moved().iter().filter(|t| t.from == *payer).map(|t| t.value).sum()
    }

    /// All the gas that was paid for, in millionths of a dollar.
    pub fn fees(&self) -> u64 {
        lock(&self.0.book).fees
    }

    /// Takes a transaction: it moves all that it says, once, or nothing.
    ///
    /// # Errors
    /// [`TempoRevert`]: nothing moved by this call.
    pub fn carry(&self, bytes: &[u8]) -> Result<TempoTransaction, TempoRevert> {
        let read = TempoTransaction::read(bytes)?;
        let now_s = self.0.clock.now_s();
        if read.valid_before <= now_s {
            return Err(TempoRevert::Expired);
        }
        if read.valid_before > now_s + MOST_AHEAD_S {
            return Err(TempoRevert::TooFarAhead);
        }
        let book = &mut *lock(&self.0.book);
        if book.taken.contains(&read.hash) {
            return Err(TempoRevert::Taken);
        }
        let fee = fee(read.transfers.len());
        let needs = read.transfers.iter().try_fold(fee, |sum, t| sum.checked_add(t.value));
        let held = book.balances.get(&read.from).copied().unwrap_or(0);
        let left = needs.and_then(|needs| held.checked_sub(needs)).ok_or(TempoRevert::InsufficientBalance)?;
        book.balances.insert(read.from, left);
        for transfer in &read.transfers {
            let held = book.balances.entry(transfer.to).or_default();
            *held = held.saturating_add(transfer.value);
        }
        book.fees += fee;
        book.taken.insert(read.hash);
        book.moved.extend(read.transfers.iter().cloned());
        Ok(read)
    }
}

impl fmt::Debug for PlayTempo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PlayTempo({} transfers)", self.moved().len())
    }
}

impl TempoTransaction {
    /// Reads a signed transaction that pays for its own gas.
    ///
    /// # Errors
    /// [`TempoRevert`], for all that can be told without a clock or a book.
    pub fn read(bytes: &[u8]) -> Result<TempoTransaction, TempoRevert> {
        use TempoRevert::{BadSignature, Call, Malformed, Nonce, WrongChain};
        let Some((0x76, rest)) = bytes.split_first() else { return Err(Malformed) };
        let Some((Item::List(body), [])) = Item::first(rest) else { return Err(Malformed) };
        let items = Item::all(body).ok_or(Malformed)?;
        let [chain, _tip, _most, _gas, calls, access, key, nonce, before, after, fee_token, payer, others, signature] =
            items[..]
        else {
            return Err(Malformed);
        };
        let empty = [access, others].iter().all(|list| *list == Item::List(&[]));
        if !empty || payer != Item::Bytes(&[]) || after != Item::Bytes(&[]) {
            return Err(Malformed);
        }
        if chain.number() != Some(MODERATO) {
            return Err(WrongChain);
        }
        if key.bytes() != Some(&[0xff; 32]) || nonce.number() != Some(0) {
            return Err(Nonce);
        }
        let token: Address = PATH_USD.parse().map_err(|_| Call)?;
        if fee_token.bytes() != Some(&token.0) {
            return Err(Call);
        }
        let signature: &[u8; 65] = signature.bytes().and_then(|s| s.try_into().ok()).ok_or(BadSignature)?;
        // What is signed is the same list without its last item, which takes two bytes to announce.
        let unsigned = &body[..body.len().saturating_sub(signature.len() + 2)];
        let from = recover(&keccak256(&[&[0x76][..], &list(unsigned)].concat()), signature).ok_or(BadSignature)?;
        let hash = keccak256(bytes);
        let transfers = calls.list().ok_or(Malformed)?.into_iter().map(|call| {
            let call = call.list().ok_or(Malformed)?;
            let [to, value, data] = call[..] else { return Err(Malformed) };
            if to.bytes() != Some(&token.0) || value.number() != Some(0) {
                return Err(Call);
            }
            let (to, value, memo) = data.bytes().and_then(transfer).ok_or(Call)?;
            Ok(TempoTransfer { from, to, value, memo, transaction: hash })
        });
        let transfers = transfers.collect::<Result<Vec<_>, _>>()?;
        if transfers.is_empty() {
            return Err(Call);
        }
        Ok(TempoTransaction { from, valid_before: before.number().ok_or(Malformed)?, transfers, hash })
    }
}

/// What a call of the token transfers: to whom, how much, with which memo.
fn transfer(data: &[u8]) -> Option<(Address, u64, Option<[u8; 32]>)> {
    let (selector, words) = data.split_at_checked(4)?;
    let (words, rest) = words.as_chunks::<32>();
    let is = |signature: &str| keccak256(signature.as_bytes())[..4] == *selector;
    let (to, value, memo) = match words {
        [to, value] if is("transfer(address,uint256)") => (to, value, None),
        [to, value, memo] if is("transferWithMemo(address,uint256,bytes32)") => (to, value, Some(*memo)),
        _ => return None,
    };
    let plain = rest.is_empty() && to[..12] == [0; 12] && value[..24] == [0; 24];
    let to = Address(*to.last_chunk()?);
    plain.then(|| Some((to, u64::from_be_bytes(*value.last_chunk()?), memo)))?
}

/// The encoding of a list whose items are encoded already.
fn list(body: &[u8]) -> Vec<u8> {
    let digits = body.len().to_be_bytes();
    let digits = &digits[(body.len().leading_zeros() / 8) as usize..];
    let head = match body.len() {
        short @ 0..=55 => vec![0xc0 + short as u8],
        _ => [&[0xf7 + digits.len() as u8][..], digits].concat(),
    };
    [head, body.to_vec()].concat()
}

/// What so many transfers cost in gas, in millionths of a dollar.
fn fee(transfers: usize) -> u64 {
    (GAS * BASE_FEE / 1_000_000).div_ceil(1_000_000) * transfers as u64
}
