//! Stablecoins on EVM chains, paid by signing (EIP-3009): the wallet signs, and the seller carries it to the chain.
//!
//! What is signed is the money, so nothing is signed twice: the nonce comes from the purchase and the key, and a token
//! takes each nonce once. The wallet needs no gas and no node. Where the operator names nodes they tell the balance, what
//! became of a payment, and that a purchase was paid before a ledger was lost.
//!
//! `key` and `keystore` hold the key, `rpc` asks one node, `net` asks all nodes of a chain.

mod key;
mod keychain;
mod keystore;
mod net;
mod rpc;

use std::fmt;

use futures_util::future::join_all;

use self::net::{Net, Nonce, Said};
pub use self::{
    key::{IN_KEYCHAIN, Key, in_keychain, is_keystore},
    keystore::BadKeystore,
};
use super::{Bill, Boxed, LookSaid, PaySaid, Place, Prepared, Wallet, WalletError, WalletInfo};
use crate::{
    clock::Clock,
    config::EvmConfig,
    evm::{
        Address,
        assets::Assets,
        eip3009::{Authorization, Signed, Transfer},
        hex, unhex,
    },
    http::Client,
    ledger::{Committed, Intent},
    money::{Amount, Currency},
    protocol::{Rail, World},
    secret::Secret,
};

/// How long after the end of an authorization the chain must have gone on before it counts as never used, in seconds:
/// the last blocks may yet be replaced.
const MARGIN_S: u64 = 30;

/// The longest life of an authorization that is signed, in seconds, whoever asks for it. Until it ends, whoever saw it
/// can take the money.
const LONGEST_LIFE_S: u64 = 3600;

/// The account whose key a key file holds, as far as that can be told without opening it.
pub fn claimed_address(text: &Secret) -> Option<Address> {
    if is_keystore(text) {
        return keystore::claimed(text);
    }
    if in_keychain(text) {
        return text.expose().split_whitespace().nth(1)?.parse().ok();
    }
    Key::read(text).ok().map(|key| key.address())
}

/// The fingerprint of an account, as [`Wallet::id`] gives it.
pub fn id_of(address: &Address) -> String {
    format!("evm:{}", hex(&address.0))
}

/// Writes a key into the operating system's keychain. Only in builds with the feature `keychain`.
///
/// # Errors
/// A sentence that quotes nothing of the key.
#[cfg(feature = "keychain")]
pub fn keep_in_keychain(key: &Key) -> Result<(), WalletError> {
    keychain::write(&key.file()).map_err(WalletError::Setup)
}

/// What lies at an address on each chain, as far as the nodes tell within 3 seconds. Needs no key.
pub async fn look_at(config: &EvmConfig, client: &Client, owner: &Address) -> Vec<Place> {
    places(&nets(config, client), owner).await
}

fn nets(config: &EvmConfig, client: &Client) -> Vec<Net> {
    config.chains.iter().map(|c| Net::new(c.chain, &c.rpc, &config.assets, client)).collect()
}

async fn places(nets: &[Net], owner: &Address) -> Vec<Place> {
    join_all(nets.iter().map(|net| net.places(owner))).await.concat()
}

/// A wallet of one key on some chains. Nothing connects before the first call.
pub struct EvmWallet {
    key: Key,
    nets: Vec<Net>,
    assets: Assets,
    world: World,
    clock: Clock,
}

impl fmt::Debug for EvmWallet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EvmWallet({:?})", self.key)
    }
}

impl EvmWallet {
    /// Makes the wallet of a key. Does not connect.
    pub fn new(key: Key, config: &EvmConfig, clock: Clock, client: Client) -> EvmWallet {
        let nets = nets(config, &client);
        let world = if config.is_test() { World::Test } else { World::Main };
        EvmWallet { key, nets, assets: config.assets.clone(), world, clock }
    }

    /// The account.
    pub fn address(&self) -> Address {
        self.key.address()
    }

    fn net(&self, chain_id: u64) -> Option<&Net> {
        self.nets.iter().find(|net| net.chain.id == chain_id)
    }

    /// The chain of a transfer, if we pay on it and know the token to the letter.
    fn net_of(&self, transfer: &Transfer) -> Option<&Net> {
        let token = &transfer.token;
        let (known, currency) = self.assets.find(token.chain_id, &token.address)?;
        let payable = known == *token && Amount::new(currency, transfer.value).is_some_and(|a| !a.is_zero());
        self.net(token.chain_id).filter(|_| payable)
    }

    fn nonce(&self, transfer: &Transfer, seed: &[u8]) -> Nonce {
        let Transfer { token, to, value, nonce, .. } = transfer;
        // A protocol may dictate it (MPP binds it to the seller's challenge); a token takes that one once as well.
        let nonce = nonce.unwrap_or_else(|| self.key.nonce(token, seed, to, *value));
        Nonce { token: token.address, from: self.address(), nonce }
    }

    async fn sign(&self, bill: &Bill) -> Result<Prepared, WalletError> {
        let setup = |say: &str| Err(WalletError::Setup(say.to_owned()));
        let Bill::Eip3009 { transfer, valid_before, seed } = bill else {
            return setup("this wallet pays with stablecoins only");
        };
        let Some(net) = self.net_of(transfer) else {
            return setup("this wallet does not pay with that token, on that chain, or that amount of it");
        };
        let now = self.clock.now_s();
        if *valid_before <= now || *valid_before > now + LONGEST_LIFE_S {
            return setup("the payment would be void already, or stay open for too long");
        }
        let nonce = self.nonce(transfer, seed);
        if net.has_nodes() {
            match net.is_used(&nonce).await {
                Ok(false) => {}
                Ok(true) => {
                    return Err(WalletError::Said {
                        code: "BOUGHT_BEFORE".into(),
                        message: "the chain says that this very purchase was paid before, so it is not paid again \
                                  (was the ledger lost or restored?)"
                            .into(),
                    });
                }
                // The token itself takes each nonce once: asking only spares the seller a vain try.
                Err(rpc::NoAnswer(why)) => {
                    tracing::warn!("whether this was bought before could not be asked: {why}");
                }
            }
        }
        let authorization = Authorization {
            from: nonce.from,
            to: transfer.to,
            value: transfer.value,
            // Not the present: the head of a chain may lag behind the clock.
            valid_after: 0,
            valid_before: *valid_before,
            nonce: nonce.nonce,
        };
        let signed = self.key.sign(authorization, &transfer.token);
        let wire = serde_json::to_vec(&signed).map_err(|_| WalletError::Setup("it could not be written".into()))?;
        Ok(Prepared { wire, resend_until: *valid_before })
    }

    async fn look(&self, intent: &Intent) -> LookSaid {
        let cannot = |why: String| LookSaid::CannotTell { why };
        let Some((chain_id, nonce, valid_before)) = authorization_of(intent) else {
            return cannot("what was signed cannot be read".into());
        };
        let Some(net) = self.net(chain_id) else {
            return cannot(format!("eip155:{chain_id} is no longer among the chains of [evm.chains]"));
        };
        match net.look(&nonce).await {
            Said::Used { transaction } => LookSaid::OnChain { transaction },
            Said::Unused { at_s } if at_s >= valid_before.saturating_add(MARGIN_S) => LookSaid::Void,
            Said::Unused { .. } => LookSaid::NotFound,
            Said::Nothing { why } => cannot(why),
        }
    }

    async fn tell(&self) -> WalletInfo {
        let places = places(&self.nets, &self.address()).await;
        let dollars = places.iter().filter_map(|p| p.balance).filter(|b| b.currency() == Currency::Usd);
        let balance = dollars.reduce(|sum, more| sum.plus(more).unwrap_or(sum));
        let names: Vec<_> = self.nets.iter().map(|net| net.chain.name).collect();
        WalletInfo {
            balance,
            world: self.world,
            network: Some(names.join(", ")),
            alias: None,
            methods: Vec::new(),
            budget: None,
            places,
        }
    }
}

/// What identifies a transfer on its chain, for ever and everywhere: `eip3009:<chain id>:<token>:<payer>:<nonce>`, the
/// last three with `0x`, in lower case.
fn rail_key(chain_id: u64, nonce: &Nonce) -> String {
    let Nonce { token, from, nonce } = nonce;
    format!("{}:{chain_id}:{}:{}:{}", Rail::EIP3009, hex(&token.0), hex(&from.0), hex(nonce))
}

/// The chain, the nonce and the end of what an intent signed: the key says where, the bytes say until when, and both
/// must speak of the same.
fn authorization_of(intent: &Intent) -> Option<(u64, Nonce, u64)> {
    let signed: Signed = serde_json::from_slice(&intent.wire).ok()?;
    let mut parts = intent.rail_key.split(':').skip(1);
    let chain_id: u64 = parts.next()?.parse().ok()?;
    let (token, from) = (Address(unhex(parts.next()?)?), Address(unhex(parts.next()?)?));
    let nonce = Nonce { token, from, nonce: unhex(parts.next()?)? };
    let said = &signed.authorization;
    let same = said.from == from && said.nonce == nonce.nonce && rail_key(chain_id, &nonce) == intent.rail_key;
    same.then_some((chain_id, nonce, said.valid_before))
}

impl Wallet for EvmWallet {
    fn kind(&self) -> &'static str {
        "evm"
    }

    fn id(&self) -> String {
        id_of(&self.address())
    }

    fn remember(&self) -> String {
        String::new()
    }

    fn pays(&self, rail: Rail, network: &str) -> bool {
        rail == Rail::EIP3009 && self.nets.iter().any(|net| net.chain.caip2() == network)
    }

    fn rail_key(&self, bill: &Bill) -> Option<String> {
        let Bill::Eip3009 { transfer, seed, .. } = bill else { return None };
        self.net_of(transfer)?;
        Some(rail_key(transfer.token.chain_id, &self.nonce(transfer, seed)))
    }

    fn proves(&self, network: &str) -> bool {
        self.nets.iter().any(|net| net.chain.caip2() == network && net.has_nodes())
    }

    /// The dollars there. Other currencies are not told here.
    fn balance_on<'a>(&'a self, network: &'a str) -> Boxed<'a, Option<Amount>> {
        Box::pin(async move {
            let net = self.nets.iter().find(|net| net.chain.caip2() == network)?;
            net.balance_of(&self.address()).await
        })
    }

    /// Nothing: whoever carries it to the chain pays the gas.
    fn fee_cap(&self, price: Amount) -> Amount {
        Amount::zero(price.currency())
    }

    fn info(&self) -> Boxed<'_, Result<WalletInfo, WalletError>> {
        Box::pin(async { Ok(self.tell().await) })
    }

    fn prepare<'a>(&'a self, bill: &'a Bill) -> Boxed<'a, Result<Prepared, WalletError>> {
        Box::pin(self.sign(bill))
    }

    fn pay<'a>(&'a self, _: &'a Committed<Intent>) -> Boxed<'a, PaySaid> {
        let why = "a signed transfer is carried to the chain by the seller, and by nobody here".to_owned();
        Box::pin(std::future::ready(PaySaid::Unknown { why }))
    }

    fn look_up<'a>(&'a self, intent: &'a Committed<Intent>) -> Boxed<'a, LookSaid> {
        Box::pin(self.look(intent))
    }
}
