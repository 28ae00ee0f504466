//! The play-money world: a Lightning network, a Nostr relay, a wallet and two paid APIs, all real protocols, all on
//! loopback, all gone when the handle goes.
//!
//! ```text
//!   NWC client ──ws──> Relay <──ws── WalletService ──> PlayNode <── Jamie, Aperture (mint invoices)
//!   buyer      ──http────────────────────────────────────────────> Jamie, Aperture
//! ```
//!
//! Nothing here can touch real money: every invoice is `lnbcrt`, and its node exists only in this process. Every part
//! can be told to misbehave ([`RelayMode`], [`Behaviour`], [`JamieMode`]), so that tests meet the wallets and relays
//! that exist and not only the ones that should.

pub mod aperture;
pub mod jamie;
mod listen;
mod macaroon;
pub mod mpp_shop;
pub mod node;
pub mod relay;
mod seed;
mod stamp;
pub mod wallet_service;

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
};

pub use aperture::{Aperture, ApertureOptions};
pub use jamie::{Jamie, JamieMode, JamieOptions};
pub use macaroon::RootKey;
pub use node::{Fees, Movement, NodeError, Paid, PayError, PlayInvoice, PlayNode};
pub use relay::{Relay, RelayMode, RelayOptions};
pub use wallet_service::{
    Behaviour, Ciphers, Envelope, FeesSaid, LookupSaid, Money, PreimageSaid, ReplySaid, WalletKeys, WalletOptions,
    WalletService,
};

use crate::{clock::Clock, secret::Secret};
use seed::Seed;

/// Why the sandbox did not start. Nothing of it is left running.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// A port is taken, or loopback is not available.
    #[error("the sandbox cannot listen on {0}: {1}")]
    Bind(SocketAddr, #[source] io::Error),
    /// Its home cannot be read or written.
    #[error("the sandbox cannot use its home: {0}")]
    Home(#[source] io::Error),
    /// The wallet could not attach to the relay within five seconds.
    #[error("the sandbox wallet did not reach its relay")]
    WalletOffline,
}

/// Where the sandbox listens, always on 127.0.0.1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ports {
    /// Any free ports; for tests.
    #[default]
    Free,
    /// Four ports in a row from this one: relay, Jamie, Jamie's apex, aperture.
    From(u16),
}

impl Ports {
    fn nth(self, n: u16) -> SocketAddr {
        let port = match self {
            Ports::Free => 0,
            Ports::From(first) => first.saturating_add(n),
        };
        SocketAddr::from((Ipv4Addr::LOCALHOST, port))
    }
}

/// How a sandbox is set up. The default is free ports, no home, and 100,000 sat of play money.
#[derive(Clone, Debug)]
pub struct SandboxOptions {
    /// Where to listen.
    pub ports: Ports,
    /// Where its seed is kept, so that the wallet connection and bought tokens outlive a restart. `None` touches no
    /// disk.
    pub home: Option<PathBuf>,
    /// The play money in the wallet, in satoshi.
    pub balance_sat: u64,
    /// The clock everything reads; sockets' deadlines stay on the machine's own.
    pub clock: Clock,
    /// The relay's settings.
    pub relay: RelayOptions,
    /// The wallet's settings.
    pub wallet: WalletOptions,
}

impl Default for SandboxOptions {
    fn default() -> SandboxOptions {
        SandboxOptions {
            ports: Ports::Free,
            home: None,
            balance_sat: 100_000,
            clock: Clock::system(),
            relay: RelayOptions::default(),
            wallet: WalletOptions::default(),
        }
    }
}

/// The whole play-money world. Dropping it closes every socket and ends every task.
#[derive(Debug)]
pub struct Sandbox {
    node: PlayNode,
    wallet: WalletService,
    jamie: Jamie,
    aperture: Aperture,
    relay: Relay,
}

impl Sandbox {
    /// Starts everything and returns when the wallet is ready to be asked.
    ///
    /// # Errors
    /// [`SandboxError`]; whatever had started is stopped again.
    pub async fn start(options: SandboxOptions) -> Result<Sandbox, SandboxError> {
        let SandboxOptions { ports, home, balance_sat, clock, relay, wallet } = options;
        let seed = match home {
            Some(home) => Seed::kept_in(&home).map_err(SandboxError::Home)?,
            None => Seed::random(),
        };
        let node = PlayNode::new(clock.clone(), balance_sat.saturating_mul(1000));
        let relay = Relay::start(ports.nth(0), clock.clone(), relay).await?;
        let keys = WalletKeys::from_seed(&seed);
        let wallet = WalletService::start(&[relay.url()], node.clone(), clock.clone(), keys, wallet).await?;
        let jamie = Jamie::start(
            node.clone(),
            clock.clone(),
            JamieOptions { listen: ports.nth(1), apex: ports.nth(2), root_key: RootKey::new(seed.derive("jamie")) },
        )
        .await?;
        let aperture = Aperture::start(
            node.clone(),
            ApertureOptions {
                listen: ports.nth(3),
                root_key: RootKey::new(seed.derive("aperture")),
                ..ApertureOptions::default()
            },
        )
        .await?;
        Ok(Sandbox { node, wallet, jamie, aperture, relay })
    }

    /// The play Lightning network, which counts every msat that moved.
    pub fn node(&self) -> &PlayNode {
        &self.node
    }

    /// The Nostr relay.
    pub fn relay(&self) -> &Relay {
        &self.relay
    }

    /// The wallet at the other end of the connection string.
    pub fn wallet(&self) -> &WalletService {
        &self.wallet
    }

    /// The replica of Pull That Up Jamie.
    pub fn jamie(&self) -> &Jamie {
        &self.jamie
    }

    /// The aperture-shaped API.
    pub fn aperture(&self) -> &Aperture {
        &self.aperture
    }

    /// Jamie's base URL, without a slash at the end.
    pub fn jamie_url(&self) -> String {
        self.jamie.url()
    }

    /// The aperture-shaped API's base URL, without a slash at the end.
    pub fn aperture_url(&self) -> String {
        self.aperture.url()
    }

    /// The connection string of the wallet: `nostr+walletconnect://...`.
    pub fn nwc_uri(&self) -> Secret {
        self.wallet.nwc_uri()
    }
}

/// Locks, whatever happened to the last holder: a test that panicked must not hide what the others see.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
