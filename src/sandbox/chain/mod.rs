//! The play chain: Base Sepolia's USDC as a token book in memory, and a window on it that speaks JSON-RPC.
//!
//! The book makes exactly the token's own checks, in the token's order, and those of Permit2 and x402's contracts, and remembers every unit that moved. Whatever a
//! seller, a facilitator or an RPC says about a payment, the book is the witness.

mod block;
mod book;
mod carried;
mod permit2;
mod rlp;
pub mod rpc;
pub mod tempo;

use std::{
    fmt,
    sync::{Arc, Mutex},
};

pub use block::Block;
pub(super) use book::{Mined, Moved};
pub use book::{Revert, Transfer};
pub use carried::Carried;
pub use rpc::{ChainRpc, RpcMode};
pub use tempo::PlayTempo;

use self::book::Book;
use super::lock;
use crate::{
    clock::Clock,
    evm::{
        Address,
        assets::{Assets, Token},
        permit2::CONTRACT,
    },
};

/// Base Sepolia's number.
pub const CHAIN_ID: u64 = 84_532;
/// Base Sepolia's name in CAIP-2.
pub const CAIP2: &str = "eip155:84532";
/// Base Sepolia's name in x402 version 1.
pub const NAME: &str = "base-sepolia";

/// The play chain and its one token. Clones are the same chain.
#[derive(Clone)]
pub struct PlayChain(Arc<Shared>);

struct Shared {
    clock: Clock,
    token: Token,
    book: Mutex<Book>,
}

impl PlayChain {
    /// A chain on which nobody holds anything.
    ///
    /// # Panics
    /// When the table of pinned tokens no longer has Base Sepolia's USDC.
    pub fn new(clock: Clock) -> PlayChain {
        let pinned = Assets::default().of_chain(CHAIN_ID).into_iter().next();
        let (token, _) = pinned.expect("Base Sepolia's USDC stands in the table of pinned tokens");
        PlayChain(Arc::new(Shared { clock, token, book: Mutex::default() }))
    }

    /// The token, with its EIP-712 domain.
    pub fn token(&self) -> &Token {
        &self.0.token
    }

    /// The newest block: one a second, as old as [`PlayChain::set_head_age_s`] says.
    pub fn head(&self) -> Block {
        self.head_of(&lock(&self.0.book))
    }

    fn head_of(&self, book: &Book) -> Block {
        Block::at(self.0.clock.now_s().saturating_sub(book.head_age_s))
    }

    /// Makes the newest block so many seconds old: a chain on which nothing was mined for a while.
    pub fn set_head_age_s(&self, seconds: u64) {
        lock(&self.0.book).head_age_s = seconds;
    }

    /// Makes money out of nothing, in the token's smallest unit.
    pub fn mint(&self, to: Address, value: u64) {
        let book = &mut *lock(&self.0.book);
        let head = self.head_of(book);
        book.mint(head, to, value);
    }

    /// Lets an account pay someone by a plain transfer, outside of every authorization; `false` when it holds too little.
    pub fn spend(&self, from: Address, to: Address, value: u64) -> bool {
        let book = &mut *lock(&self.0.book);
        let head = self.head_of(book);
        book.spend(head, from, to, value)
    }

    /// What an account holds, in the token's smallest unit.
    pub fn balance_of(&self, account: &Address) -> u64 {
        lock(&self.0.book).balance_of(account)
    }

    /// Whether this payer's nonce was used.
    pub fn authorization_state(&self, payer: &Address, nonce: &[u8; 32]) -> bool {
        lock(&self.0.book).is_used(payer, nonce)
    }

    /// Takes an authorization back before it was used, as its payer may; `false` when it was used already.
    pub fn cancel_authorization(&self, payer: Address, nonce: [u8; 32]) -> bool {
        let book = &mut *lock(&self.0.book);
        let head = self.head_of(book);
        book.cancel(head, payer, nonce)
    }

    /// Lets Permit2 take so many units from an account, as its owner does with a transaction of theirs.
    pub fn allow_permit2(&self, owner: Address, units: u64) {
        lock(&self.0.book).permits.allow(owner, units);
    }

    /// What the contracts would say to an authorization or a permit now; nothing changes.
    ///
    /// # Errors
    /// [`Revert`].
    pub fn simulate(&self, carried: impl Into<Carried>) -> Result<(), Revert> {
        let book = &*lock(&self.0.book);
        book.check(&self.0.token, self.head_of(book), &carried.into())
    }

    /// Carries an authorization to the chain, which anybody may, or a permit. It moves its value at once, or nothing.
    ///
    /// # Errors
    /// [`Revert`]: a contract refused, and nothing moved by this call.
    pub fn transfer_with_authorization(&self, carried: impl Into<Carried>) -> Result<Transfer, Revert> {
        let (carried, book) = (carried.into(), &mut *lock(&self.0.book));
        let head = self.head_of(book);
        let transaction = book.next_transaction(&carried);
        book.carry(&self.0.token, head, transaction, &carried)
    }

    /// Sends an authorization to the chain's waiting room and gives its transaction's hash. Nothing moves before
    /// [`PlayChain::mine_pending`], and then only if the token agrees.
    pub fn broadcast(&self, carried: impl Into<Carried>) -> [u8; 32] {
        let (carried, book) = (carried.into(), &mut *lock(&self.0.book));
        let transaction = book.next_transaction(&carried);
        book.pending.push((transaction, carried));
        transaction
    }

    /// Puts everything that waits into a block.
    pub fn mine_pending(&self) -> Vec<Result<Transfer, Revert>> {
        let book = &mut *lock(&self.0.book);
        let head = self.head_of(book);
        let waiting = std::mem::take(&mut book.pending);
        waiting.iter().map(|(transaction, carried)| book.carry(&self.0.token, head, *transaction, carried)).collect()
    }

    /// Forgets everything that waits, and says how much that was: a transaction that never made it into a block.
    pub fn drop_pending(&self) -> usize {
        std::mem::take(&mut lock(&self.0.book).pending).len()
    }

    /// Every payment by authorization, in order: what really happened.
    pub fn moved(&self) -> Vec<Transfer> {
        lock(&self.0.book).transfers()
    }

    /// Everything that moved by authorization, in the token's smallest unit.
    pub fn moved_units(&self) -> u64 {
        self.moved().iter().map(|t| t.value).sum()
    }

    /// Everything that this account paid by authorization, in the token's smallest unit.
    pub fn spent_by(&self, payer: &Address) -> u64 {
        self.moved().iter().filter(|t| t.from == *payer).map(|t| t.value).sum()
    }

    /// Puts code at an account, as EIP-7702 does; empty takes it away.
    pub fn set_code(&self, account: Address, code: Vec<u8>) {
        lock(&self.0.book).code.insert(account, code);
    }

    /// The code at an account.
    pub fn code(&self, account: &Address) -> Vec<u8> {
        if *account == self.0.token.address || *account == CONTRACT {
            // Nobody runs it; that there is some is all that anybody asks.
            return vec![0x60, 0x80, 0x60, 0x40];
        }
        lock(&self.0.book).code.get(account).cloned().unwrap_or_default()
    }

    /// Reads the book under its lock, so that an answer is of one instant.
    fn read<T>(&self, see: impl FnOnce(&Book, Block) -> T) -> T {
        let book = &*lock(&self.0.book);
        see(book, self.head_of(book))
    }
}

impl fmt::Debug for PlayChain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PlayChain({} units moved)", self.moved_units())
    }
}
