//! Stablecoins on EVM chains, paid by signing (EIP-3009, or Permit2 where the operator wants it): the wallet signs, and the seller carries it to the chain.
//!
//! What is signed is the money, so nothing is signed twice: the nonce comes from the purchase and the key, and a token
//! takes each nonce once. The wallet needs no gas and no node. Where the operator names nodes they tell the balance, what
//! became of a payment, and that a purchase was paid before a ledger was lost.
//!
//! Permit2 alone needs a node: without an allowance, which only its owner gives, nothing that is signed for it is worth
//! anything. No allowance is ever signed here.
//!
//! On Tempo it signs that chain's own transactions, which the seller carries there as well.
//!
//! `key` and `keystore` hold the key, `rpc` asks one node, `net` asks all nodes of a chain, `permit` is what they tell of
//! Permit2, and `tempo` is all about that chain.

mod key;
mod keychain;
mod keystore;
mod net;
mod permit;
mod rpc;
mod tempo;

use std::fmt;

use futures_util::future::join_all;

use self::net::{Kept, Net, Nonce, Said};
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
        hex,
        permit2::{self, Permit, Permitted, Taking, Witness},
        unhex,
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

/// What is said where Permit2 may not take the money.
const NO_ALLOWANCE: &str = "NO_ALLOWANCE";

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

    fn nonce(&self, transfer: &Transfer, seed: &[u8], kept: Kept) -> Nonce {
        let Transfer { token, to, value, nonce, .. } = transfer;
        // A protocol may dictate it (MPP binds it to the seller's challenge); a token takes that one once as well.
        let nonce = nonce.unwrap_or_else(|| self.key.nonce(token, seed, to, *value));
        Nonce { token: token.address, from: self.address(), nonce, kept }
    }

    /// What a bill asks to be transferred until when, and the nonce that it will have.
    fn asked<'b>(&self, bill: &'b Bill) -> Option<(&'b Transfer, u64, Nonce)> {
        match bill {
            Bill::Bolt11 { .. } | Bill::Tempo { .. } => None,
            Bill::Eip3009 { transfer, valid_before, seed } => {
                Some((transfer, *valid_before, self.nonce(transfer, seed, Kept::ByToken)))
            }
            Bill::Permit2 { transfer, deadline, seed, .. } => {
                let kept = Kept::ByPermit2 { to: transfer.to, most: transfer.value };
                Some((transfer, *deadline, self.nonce(transfer, seed, kept)))
            }
        }
    }

    async fn sign(&self, bill: &Bill) -> Result<Prepared, WalletError> {
        if let Bill::Tempo { ask, valid_before } = bill {
            return self.sign_for_tempo(ask, *valid_before);
        }
        let setup = |say: &str| Err(WalletError::Setup(say.to_owned()));
        let Some((transfer, until, nonce)) = self.asked(bill) else {
            return setup("this wallet pays with stablecoins only");
        };
        let Some(net) = self.net_of(transfer) else {
            return setup("this wallet does not pay with that token, on that chain, or that amount of it");
        };
        let now = self.clock.now_s();
        if until <= now || until > now + LONGEST_LIFE_S {
            return setup("the payment would be void already, or stay open for too long");
        }
        if net.has_nodes() {
            match net.is_used(&nonce).await {
                Ok(false) => {}
                Ok(true) => {
                    return Err(WalletError::Said {
                        code: "BOUGHT_BEFORE".into(),
                        message: "the chain says that this very purchase was paid before, or taken back, so it is not \
                                  paid again (was the ledger lost or restored?). To buy it anew, call with an \
                                  idempotency_key of your own that was never used"
                            .into(),
                    });
                }
                // The token itself takes each nonce once: asking only spares the seller a vain try.
                Err(rpc::NoAnswer(why)) => {
                    tracing::warn!("whether this was bought before could not be asked: {why}");
                }
            }
        }
        let wire = match bill {
            Bill::Permit2 { taking, .. } => {
                self.allowed(net, transfer.token.address, transfer.value).await?;
                serde_json::to_vec(&self.permit(transfer, taking, until, &nonce))
            }
            _ => serde_json::to_vec(&self.authorization(transfer, until, &nonce)),
        };
        let wire = wire.map_err(|_| WalletError::Setup("it could not be written".into()))?;
        Ok(Prepared { wire, resend_until: until })
    }

    fn authorization(&self, transfer: &Transfer, valid_before: u64, nonce: &Nonce) -> Signed {
        let authorization = Authorization {
            from: nonce.from,
            to: transfer.to,
            value: transfer.value,
            // Not the present: the head of a chain may lag behind the clock.
            valid_after: 0,
            valid_before,
            nonce: nonce.nonce,
        };
        self.key.sign(authorization, &transfer.token)
    }

    fn permit(&self, transfer: &Transfer, taking: &Taking, deadline: u64, nonce: &Nonce) -> permit2::Signed {
        let facilitator = match taking {
            Taking::Exact => None,
            Taking::UpTo { facilitator } => Some(*facilitator),
        };
        let permit = Permit {
            permitted: Permitted { token: transfer.token.address, amount: transfer.value },
            from: nonce.from,
            spender: taking.spender(),
            nonce: nonce.nonce,
            deadline,
            witness: Witness { to: transfer.to, facilitator, valid_after: 0 },
        };
        self.key.sign_permit(permit, transfer.token.chain_id)
    }

    /// Whether the operator turned Permit2 on, and its allowance is there. To give one is never ours.
    async fn allowed(&self, net: &Net, token: Address, units: u64) -> Result<(), WalletError> {
        let refuse = |message: String| WalletError::Said { code: NO_ALLOWANCE.into(), message };
        let name = net.chain.name;
        if !self.assets.permit2() {
            return Err(refuse("the operator has not turned Permit2 on (permit2 under [evm])".into()));
        }
        if !net.has_nodes() {
            return Err(refuse(format!(
                "whether Permit2 may take the money cannot be asked: a person sets a node (rpc) under \
                 [evm.chains.{name}]"
            )));
        }
        match net.allowance(&token, &self.address()).await {
            Ok(given) if given >= units => Ok(()),
            Ok(given) => Err(refuse(format!(
                "Permit2 may take {given} units of the token from {} on {name}, and this needs {units}. A person who wants \
                 that lets the token {token} be spent by {} with a wallet of theirs; Bursar never signs an approval",
                self.address(),
                permit2::CONTRACT
            ))),
            Err(rpc::NoAnswer(why)) => {
                Err(WalletError::Unreachable(format!("whether Permit2 may take the money could not be asked: {why}")))
            }
        }
    }

    async fn object(&self, network: &str, asset: &str, price: Amount) -> Option<(&'static str, String)> {
        let net = self.nets.iter().find(|net| net.chain.caip2() == network)?;
        match self.allowed(net, asset.parse().ok()?, price.atomic()).await {
            Ok(()) => None,
            Err(WalletError::Said { message, .. }) => Some(("no_allowance", message)),
            Err(other) => Some(("wallet_unreachable", other.to_string())),
        }
    }

    async fn look(&self, intent: &Intent) -> LookSaid {
        let cannot = |why: String| LookSaid::CannotTell { why };
        let unreadable = || cannot("what was signed cannot be read".into());
        let gone = |id: u64| cannot(format!("eip155:{id} is no longer among the chains of [evm.chains]"));
        let (said, until) = if intent.rail == Rail::TEMPO.0 {
            let Some(sent) = tempo::Sent::of(intent) else { return unreadable() };
            let Some(net) = self.net(sent.chain_id) else { return gone(sent.chain_id) };
            (net.look_for(&sent).await, sent.valid_before)
        } else {
            let Some((chain_id, nonce, until)) = signed_of(intent) else { return unreadable() };
            let Some(net) = self.net(chain_id) else { return gone(chain_id) };
            (net.look(&nonce).await, until)
        };
        match said {
            Said::Used { transaction, taken } => LookSaid::OnChain { transaction, taken },
            Said::Canceled => LookSaid::Void,
            Said::Unused { at_s } if at_s >= until.saturating_add(MARGIN_S) => LookSaid::Void,
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
/// last three with `0x`, in lower case; or the same with `permit2`.
fn rail_key(chain_id: u64, nonce: &Nonce) -> String {
    let Nonce { token, from, nonce, kept } = nonce;
    let rail = match kept {
        Kept::ByToken => Rail::EIP3009,
        Kept::ByPermit2 { .. } => Rail::PERMIT2,
    };
    format!("{rail}:{chain_id}:{}:{}:{}", hex(&token.0), hex(&from.0), hex(nonce))
}

/// The chain, the nonce and the end of what an intent signed: the key says where, the bytes say until when, and both
/// must speak of the same.
fn signed_of(intent: &Intent) -> Option<(u64, Nonce, u64)> {
    let mut parts = intent.rail_key.split(':');
    let (rail, chain_id): (&str, u64) = (parts.next()?, parts.next()?.parse().ok()?);
    let (token, from) = (Address(unhex(parts.next()?)?), Address(unhex(parts.next()?)?));
    let nonce: [u8; 32] = unhex(parts.next()?)?;
    let (kept, said_from, said_nonce, until) = if rail == Rail::PERMIT2.0 {
        let said = serde_json::from_slice::<permit2::Signed>(&intent.wire).ok()?.permit;
        let kept = Kept::ByPermit2 { to: said.witness.to, most: said.permitted.amount };
        (kept, said.from, said.nonce, said.deadline)
    } else {
        let said = serde_json::from_slice::<Signed>(&intent.wire).ok()?.authorization;
        (Kept::ByToken, said.from, said.nonce, said.valid_before)
    };
    let ours = Nonce { token, from, nonce, kept };
    let same = said_from == from && said_nonce == nonce && rail_key(chain_id, &ours) == intent.rail_key;
    same.then_some((chain_id, ours, until))
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
        let way = rail == Rail::EIP3009 || rail == Rail::PERMIT2 && self.assets.permit2();
        let fits = |net: &&Net| if net::is_tempo(net.chain.id) { rail == Rail::TEMPO } else { way };
        self.nets.iter().filter(fits).any(|net| net.chain.caip2() == network)
    }

    fn rail_key(&self, bill: &Bill) -> Option<String> {
        let (transfer, _, nonce) = self.asked(bill)?;
        self.net_of(transfer)?;
        Some(rail_key(transfer.token.chain_id, &nonce))
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

    fn objection<'a>(
        &'a self,
        rail: Rail,
        network: &'a str,
        asset: &'a str,
        price: Amount,
    ) -> Boxed<'a, Option<(&'static str, String)>> {
        Box::pin(async move {
            match rail {
                Rail::PERMIT2 => self.object(network, asset, price).await,
                Rail::TEMPO => self.lacks(network, asset, price).await,
                _ => None,
            }
        })
    }

    /// Nothing: whoever carries it to the chain pays the gas. What Tempo's gas may cost is pinned with the offer.
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
