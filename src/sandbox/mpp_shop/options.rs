//! How the shop is set up, and the moods that sellers of sessions were seen in.

use std::net::{Ipv4Addr, SocketAddr};

/// The settings of the shop.
#[derive(Clone, Debug)]
pub struct MppShopOptions {
    /// Where it listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// What a single call costs, in satoshi.
    pub price_sat: u64,
    /// What a single call costs on Tempo, in millionths of a dollar.
    pub price_micro_usd: u64,
    /// What a unit of a session costs, in satoshi.
    pub unit_sat: u64,
    /// What a session's deposit is, in satoshi; so is each top-up.
    pub deposit_sat: u64,
    /// After how long without a call a session is closed, in seconds.
    pub idle_timeout_s: u64,
    /// How long a stream waits for a top-up, in milliseconds.
    pub patience_ms: u64,
    /// Whether credentials are to go into `Payment-Authorization`.
    pub own_header: bool,
    /// Whether it sends receipts.
    pub receipts: bool,
    /// What becomes of the rest of a deposit.
    pub refunds: Refunds,
    /// What it does with a deposit that was paid and is shown to it.
    pub opens: Opens,
    /// Whether it answers 503 to the first top-up that it is shown, and counts it only when it is shown again.
    pub first_top_up_fails: bool,
    /// Whether it asks for payment without naming any challenge once a session's balance is used up.
    pub silent_when_used_up: bool,
}

/// What becomes of the rest of a deposit when a session is closed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Refunds {
    /// It is paid, and then said to be.
    #[default]
    Paid,
    /// It is said to have failed, and is paid a moment later, as servers do that pay beside the answer.
    PaidAfterFailed,
    /// It is said to have succeeded, and is never paid.
    SaidAndNeverPaid,
}

/// What the shop does with a deposit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Opens {
    /// It opens the session.
    #[default]
    AtOnce,
    /// It refuses the first time that a deposit is shown, and opens the session when the same is shown again.
    TheSecondTime,
    /// It keeps the deposit and refuses always.
    Never,
}

impl Default for MppShopOptions {
    fn default() -> MppShopOptions {
        MppShopOptions {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            price_sat: 21,
            price_micro_usd: 10_000,
            unit_sat: 2,
            deposit_sat: 40,
            idle_timeout_s: 300,
            patience_ms: 60_000,
            own_header: false,
            receipts: true,
            refunds: Refunds::Paid,
            opens: Opens::AtOnce,
            first_top_up_fails: false,
            silent_when_used_up: false,
        }
    }
}
