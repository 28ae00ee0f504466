//! The play-money world: a Lightning network, a chain with USDC, a Nostr relay, a wallet and four paid APIs, all real
//! protocols, all on loopback, all gone when the handle goes.
//!
//! ```text
//!   NWC client ──ws──> Relay <──ws── WalletService ──> PlayNode <── Jamie, Aperture (mint invoices)
//!   buyer      ──http────────────────────────────────────────────> Jamie, Aperture
//!   buyer      ──http──> MppShop (charges, sessions; pays refunds) ──> PlayNode
//!   buyer      ──http──> Ntriq (carries signed authorizations) ──> PlayChain <── ChainRpc <──http── whoever asks
//! ```
//!
//! Nothing here can touch real money: every invoice is `lnbcrt`, every authorization is for a test chain, and node and
//! chain exist only in this process. Every part can be told to misbehave ([`RelayMode`], [`Behaviour`], [`JamieMode`],
//! [`NtriqMode`], [`RpcMode`],
//! [`MppShopOptions`]), so that tests meet the wallets, sellers and nodes that exist and not only the ones that
//! should.

pub mod aperture;
pub mod chain;
pub mod jamie;
mod listen;
mod macaroon;
pub mod mpp_shop;
pub mod node;
pub mod ntriq;
pub mod relay;
mod seed;
mod stamp;
pub mod wallet_service;
mod wire;

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
};

pub use aperture::{Aperture, ApertureOptions};
pub use chain::{Carried, ChainRpc, PlayChain, PlayTempo, Revert, RpcMode};
pub use jamie::{Jamie, JamieMode, JamieOptions};
pub use macaroon::RootKey;
pub use mpp_shop::{MppShop, MppShopOptions};
pub use node::{Fees, Movement, NodeError, Paid, PayError, PlayInvoice, PlayNode};
pub use ntriq::{Dialect, Form, Leg, Means, Ntriq, NtriqMode, NtriqOptions, Settling, Stranger, Whither};
pub use relay::{Relay, RelayMode, RelayOptions};
pub use wallet_service::{
    Behaviour, Ciphers, Envelope, FeesSaid, LookupSaid, Money, PreimageSaid, ReplySaid, WalletKeys, WalletOptions,
    WalletService,
};

use bitcoin::secp256k1::{PublicKey, Secp256k1, SecretKey};
use data_encoding::HEXLOWER;

use crate::{
    clock::Clock,
    evm::{Address, eip3009::address_of},
    secret::Secret,
};
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
    /// Seven ports in a row from this one: relay, Jamie, Jamie's apex, aperture, ntriq, the chain's RPC, the MPP shop.
    /// From 0: any.
    From(u16),
}

impl Ports {
    fn nth(self, n: u16) -> SocketAddr {
        let port = match self {
            Ports::Free | Ports::From(0) => 0,
            Ports::From(first) => first.saturating_add(n),
        };
        SocketAddr::from((Ipv4Addr::LOCALHOST, port))
    }
}

/// How a sandbox is set up. The default is free ports, no home, and 100,000 sat and 100 USDC of play money.
#[derive(Clone, Debug)]
pub struct SandboxOptions {
    /// Where to listen.
    pub ports: Ports,
    /// Where its seed is kept, so that the wallet connection and bought tokens outlive a restart. `None` touches no
    /// disk.
    pub home: Option<PathBuf>,
    /// The play money in the wallet, in satoshi.
    pub balance_sat: u64,
    /// The play USDC of [`Sandbox::evm_key`]'s account, in its smallest unit, a millionth; as much pathUSD on Tempo.
    pub balance_micro_usd: u64,
    /// The clock everything reads; sockets' deadlines stay on the machine's own.
    pub clock: Clock,
    /// The relay's settings.
    pub relay: RelayOptions,
    /// A relay by somebody else, on this machine, which the wallet connects to instead. The sandbox's own then has nothing
    /// to do.
    pub relay_of_others: Option<SocketAddr>,
    /// The wallet's settings.
    pub wallet: WalletOptions,
    /// The MPP shop's settings; where it listens is said by `ports`.
    pub mpp_shop: MppShopOptions,
}

impl Default for SandboxOptions {
    fn default() -> SandboxOptions {
        SandboxOptions {
            ports: Ports::Free,
            home: None,
            balance_sat: 100_000,
            balance_micro_usd: 100_000_000,
            clock: Clock::system(),
            relay: RelayOptions::default(),
            relay_of_others: None,
            wallet: WalletOptions::default(),
            mpp_shop: MppShopOptions::default(),
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
    chain: PlayChain,
    rpc: ChainRpc,
    ntriq: Ntriq,
    mpp_shop: MppShop,
    tempo: PlayTempo,
    evm_key: SecretKey,
}

impl Sandbox {
    /// Starts everything and returns when the wallet is ready to be asked.
    ///
    /// # Errors
    /// [`SandboxError`]; whatever had started is stopped again.
    pub async fn start(options: SandboxOptions) -> Result<Sandbox, SandboxError> {
        let SandboxOptions {
            ports,
            home,
            balance_sat,
            balance_micro_usd,
            clock,
            relay,
            relay_of_others,
            wallet,
            mpp_shop,
        } = options;
        let seed = match home {
            Some(home) => Seed::kept_in(&home).map_err(SandboxError::Home)?,
            None => Seed::random(),
        };
        let node = PlayNode::new(clock.clone(), balance_sat.saturating_mul(1000));
        let relay = Relay::start(ports.nth(0), clock.clone(), relay).await?;
        let keys = WalletKeys::from_seed(&seed);
        let reached = relay_of_others.map_or_else(|| relay.url(), |at| format!("ws://{at}"));
        let wallet = WalletService::start(&[reached], node.clone(), clock.clone(), keys, wallet).await?;
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
        let shop = MppShopOptions { listen: ports.nth(6), ..mpp_shop };
        let (chain, tempo) = (PlayChain::new(clock.clone()), PlayTempo::new(clock.clone()));
        let chains = (chain.clone(), tempo.clone());
        let mpp_shop = MppShop::start_on(node.clone(), chains, clock.clone(), shop).await?;
        let evm_key = seed.evm_key("evm");
        chain.mint(account_of(&evm_key), balance_micro_usd);
        tempo.mint(account_of(&evm_key), balance_micro_usd);
        let pay_to = account_of(&seed.evm_key("ntriq"));
        let ntriq = Ntriq::start(chain.clone(), clock, NtriqOptions { listen: ports.nth(4), pay_to }).await?;
        let rpc = ChainRpc::start(chain.clone(), ports.nth(5)).await?;
        Ok(Sandbox { node, wallet, jamie, aperture, relay, chain, rpc, ntriq, mpp_shop, tempo, evm_key })
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

    /// The play chain, which counts every unit of USDC that moved.
    pub fn chain(&self) -> &PlayChain {
        &self.chain
    }

    /// The play Tempo chain, which counts every millionth of a dollar that moved on it.
    pub fn tempo(&self) -> &PlayTempo {
        &self.tempo
    }

    /// The chain's JSON-RPC node.
    pub fn rpc(&self) -> &ChainRpc {
        &self.rpc
    }

    /// The replica of ntriq AgentShop.
    pub fn ntriq(&self) -> &Ntriq {
        &self.ntriq
    }

    /// The shop that sells by MPP.
    pub fn mpp_shop(&self) -> &MppShop {
        &self.mpp_shop
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

    /// Ntriq's base URL, without a slash at the end.
    pub fn ntriq_url(&self) -> String {
        self.ntriq.url()
    }

    /// The MPP shop's base URL, without a slash at the end.
    pub fn mpp_url(&self) -> String {
        self.mpp_shop.url()
    }

    /// The URL of the chain's JSON-RPC node.
    pub fn rpc_url(&self) -> String {
        self.rpc.url()
    }

    /// The key of the account that holds the play USDC: 64 hex digits.
    pub fn evm_key(&self) -> Secret {
        Secret::new(HEXLOWER.encode(&self.evm_key.secret_bytes()))
    }

    /// The account that holds the play USDC.
    pub fn evm_address(&self) -> Address {
        account_of(&self.evm_key)
    }
}

/// The account of a key.
fn account_of(key: &SecretKey) -> Address {
    address_of(&PublicKey::from_secret_key(&Secp256k1::signing_only(), key))
}

/// Locks, whatever happened to the last holder: a test that panicked must not hide what the others see.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
