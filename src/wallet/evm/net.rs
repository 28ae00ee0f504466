//! One chain, as all of its nodes together tell it.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::{
    sync::Mutex,
    time::{Instant, timeout, timeout_at},
};
use url::Url;

use super::{
    permit,
    rpc::{Block, NoAnswer, Rpc, number},
};
use crate::{
    evm::{
        Address,
        assets::{Assets, Chain},
        keccak256, tempo, word,
    },
    http::Client,
    money::{Amount, Currency},
    wallet::Place,
};

/// How long a balance counts as known, and how long a chain that told none is left alone.
const KNOWN_FOR: Duration = Duration::from_secs(30);

/// How long the nodes may take to tell a balance that an offer waits for, and one that a person waits for.
pub(super) const AT_ONCE: Duration = Duration::from_secs(2);
const WITH_REMARKS: Duration = Duration::from_secs(3);

/// How long they may take to tell what became of an authorization.
pub(super) const ABOUT_ONE: Duration = Duration::from_secs(5);

/// How far back a transaction is searched: so many stretches of so many blocks. Public nodes allow no more at once.
pub(super) const STRETCH: u64 = 500;
pub(super) const STRETCHES: u64 = 4;

/// Something that was signed, as the contract knows it that takes it once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Nonce {
    pub token: Address,
    pub from: Address,
    pub nonce: [u8; 32],
    pub kept: Kept,
}

/// Which contract remembers a nonce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    /// The token itself (EIP-3009).
    ByToken,
    /// Permit2. Its events do not name the nonce, so that what was taken is searched among all that this payee got.
    ByPermit2 { to: Address, most: u64 },
}

/// What the nodes say of an authorization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// It was used, or nobody knows otherwise of a nonce that is taken: one node is enough to say so.
    Used { transaction: Option<String>, taken: Option<u64> },
    /// Its payer took it back before anybody used it, so that nobody can any more.
    Canceled,
    /// It had not been used by this time, in unix seconds: the latest at which a node knows that.
    Unused { at_s: u64 },
    /// No node told.
    Nothing { why: String },
}

/// A chain that the wallet pays on.
pub(super) struct Net {
    pub(super) chain: Chain,
    pub(super) rpcs: Vec<Rpc>,
    tokens: Vec<(Address, Currency)>,
    /// Held while it is read, so that it is read once.
    balance: Mutex<Option<(Instant, Option<Amount>)>>,
}

impl Net {
    pub(super) fn new(chain: Chain, rpc: &[Url], assets: &Assets, client: &Client) -> Net {
        let rpcs = rpc.iter().map(|url| Rpc::new(chain, url.clone(), client.clone())).collect();
        let tokens = match is_tempo(chain.id) {
            true => tempo::of_chain(chain.id).into_iter().map(|token| (token, Currency::Usd)).collect(),
            false => assets.of_chain(chain.id).into_iter().map(|(token, c)| (token.address, c)).collect(),
        };
        Net { chain, rpcs, tokens, balance: Mutex::default() }
    }

    /// Whether anybody can be asked.
    pub(super) fn has_nodes(&self) -> bool {
        !self.rpcs.is_empty()
    }

    /// Whether an authorization was used already, as the first node that answers says.
    ///
    /// # Errors
    /// No node answered in time.
    pub(super) async fn is_used(&self, nonce: &Nonce) -> Result<bool, NoAnswer> {
        let mut last = NoAnswer(self.no_nodes());
        let until = Instant::now() + ABOUT_ONE;
        for rpc in &self.rpcs {
            match timeout_at(until, state(rpc, nonce, "latest")).await {
                Ok(Ok(used)) => return Ok(used),
                Ok(Err(no)) => last = no,
                Err(_) => break,
            }
        }
        Err(last)
    }

    /// How much of a token Permit2 may take from its owner, as the first node that answers says.
    ///
    /// # Errors
    /// No node answered in time.
    pub(super) async fn allowance(&self, token: &Address, owner: &Address) -> Result<u64, NoAnswer> {
        let mut last = NoAnswer(self.no_nodes());
        let until = Instant::now() + ABOUT_ONE;
        for rpc in &self.rpcs {
            match timeout_at(until, permit::allowance(rpc, token, owner)).await {
                Ok(Ok(units)) => return Ok(units),
                Ok(Err(no)) => last = no,
                Err(_) => break,
            }
        }
        Err(last)
    }

    /// What became of an authorization, as all nodes say. If they disagree it was used: the money may have left.
    pub(super) async fn look(&self, nonce: &Nonce) -> Said {
        let asked = self.rpcs.iter().map(|rpc| async move {
            let seen = async {
                let head = rpc.latest().await?;
                // At that very block: behind one address there may be nodes of different age, and one that lags would
                // call unused at a later time what was used.
                let used = state(rpc, nonce, &format!("{:#x}", head.number)).await?;
                Ok::<_, NoAnswer>((head, used))
            };
            match timeout(ABOUT_ONE, seen).await {
                Ok(seen) => seen.map(|(head, used)| (rpc, head, used)),
                Err(_) => Err(NoAnswer(format!("the nodes of {} did not answer in time", self.chain.name))),
            }
        });
        let (mut unused, mut silent) = (None::<u64>, None);
        let mut used = Vec::new();
        for seen in join_all(asked).await {
            match seen {
                Ok((rpc, head, true)) => used.push((rpc, head)),
                Ok((_, head, false)) => unused = unused.max(Some(head.time_s)),
                Err(NoAnswer(why)) => silent = silent.or(Some(why)),
            }
        }
        if !used.is_empty() {
            return match nonce.kept {
                // Taken is a nonce that was used, and one that was cancelled: only the events tell which.
                Kept::ByToken => match transaction(&used, nonce, USED).await {
                    None if transaction(&used, nonce, CANCELED).await.is_some() => Said::Canceled,
                    found => Said::Used { transaction: found, taken: None },
                },
                Kept::ByPermit2 { to, most } => {
                    let found = permit::found(&used, nonce, to, most).await;
                    Said::Used { transaction: found.as_ref().and_then(|f| f.0.clone()), taken: found.map(|f| f.1) }
                }
            };
        }
        match unused {
            Some(at_s) => Said::Unused { at_s },
            None => Said::Nothing { why: silent.unwrap_or_else(|| self.no_nodes()) },
        }
    }

    /// The dollars that are there, if that can be told in a moment; asked at most every 30 seconds, and once at a time.
    pub(super) async fn balance_of(&self, owner: &Address) -> Option<Amount> {
        if self.rpcs.is_empty() {
            return None;
        }
        let until = Instant::now() + AT_ONCE;
        let mut known = timeout_at(until, self.balance.lock()).await.ok()?;
        if let Some((at, balance)) = *known
            && at.elapsed() < KNOWN_FOR
        {
            return balance;
        }
        let read = async {
            for rpc in &self.rpcs {
                if let Ok(balance) = self.balance_by(rpc, owner, Currency::Usd).await {
                    return Some(balance);
                }
            }
            None
        };
        let balance = timeout_at(until, read).await.ok().flatten();
        *known = Some((Instant::now(), balance));
        balance
    }

    /// The sum of our tokens of a currency, as one node tells it.
    async fn balance_by(&self, rpc: &Rpc, owner: &Address, currency: Currency) -> Result<Amount, NoAnswer> {
        let tokens = self.tokens.iter().filter(|(_, c)| *c == currency);
        let words = [owner.word()];
        let asked = tokens.map(|(token, _)| rpc.call(token, "balanceOf(address)", &words, "latest"));
        let mut sum = Amount::zero(currency);
        for balance in join_all(asked).await {
            let balance = balance?;
            let more = number(&balance).and_then(|units| Amount::new(currency, units));
            sum = more.and_then(|more| sum.plus(more)).ok_or_else(|| {
                NoAnswer(format!("a node of {} tells a balance that no account can have", self.chain.name))
            })?;
        }
        Ok(sum)
    }

    /// What is there, a line for each currency, with what a person should know about the chain's nodes and our account.
    pub(super) async fn places(&self, owner: &Address) -> Vec<Place> {
        let mut currencies: Vec<Currency> = self.tokens.iter().map(|(_, currency)| *currency).collect();
        currencies.sort();
        currencies.dedup();
        let asked = self.rpcs.iter().map(|rpc| {
            let currencies = &currencies;
            async move {
                let balances = join_all(currencies.iter().map(|c| self.balance_by(rpc, owner, *c)));
                let (balances, code) = futures_util::future::join(balances, rpc.has_code(owner)).await;
                let balances: Vec<Amount> = balances.into_iter().collect::<Result<_, _>>()?;
                Ok::<_, NoAnswer>((balances, code.unwrap_or(false)))
            }
        });
        let asked = asked.map(|asked| timeout(WITH_REMARKS, asked));
        let (mut told, mut remarks) = (None, Vec::new());
        if self.rpcs.is_empty() {
            remarks.push(format!("the balance is not known: no rpc is set under [evm.chains.{}]", self.chain.name));
        }
        for answer in join_all(asked).await {
            match answer {
                Ok(Ok((balances, code))) => {
                    if code && told.as_ref().is_none_or(|(_, before)| !before) {
                        remarks.push(
                            "this account has code (EIP-7702 or a contract): many facilitators refuse its signatures"
                                .to_owned(),
                        );
                    }
                    let before = told.as_ref().is_some_and(|(_, before)| *before);
                    told = Some((told.map_or(balances, |(first, _)| first), code || before));
                }
                Ok(Err(NoAnswer(why))) => remarks.push(why),
                Err(_) => remarks.push(format!("a node of {} did not answer in time", self.chain.name)),
            }
        }
        let balances = told.map(|(balances, _)| balances);
        let remark = (!remarks.is_empty()).then(|| remarks.join("; "));
        let place = |(i, _): (usize, &Currency)| Place {
            network: self.chain.caip2(),
            name: self.chain.name.to_owned(),
            balance: balances.as_ref().and_then(|b| b.get(i)).copied(),
            remark: remark.clone().filter(|_| i == 0),
        };
        currencies.iter().enumerate().map(place).collect()
    }

    pub(super) fn no_nodes(&self) -> String {
        format!("no rpc is set under [evm.chains.{}], so nobody can be asked", self.chain.name)
    }
}

/// Whether a chain is one of Tempo's, which has transactions of its own and no EIP-3009.
pub(super) fn is_tempo(chain_id: u64) -> bool {
    tempo::is_test(chain_id).is_some()
}

/// Whether a nonce was used, at a block.
pub(super) async fn state(rpc: &Rpc, nonce: &Nonce, block: &str) -> Result<bool, NoAnswer> {
    if let Kept::ByPermit2 { .. } = nonce.kept {
        return permit::state(rpc, nonce, block).await;
    }
    let words = [nonce.from.word(), nonce.nonce];
    let said = rpc.call(&nonce.token, "authorizationState(address,bytes32)", &words, block).await?;
    match said {
        no if no == word(0) => Ok(false),
        yes if yes == word(1) => Ok(true),
        _ => Err(NoAnswer("a node answers neither yes nor no about an authorization".into())),
    }
}

/// The events by which a token tells that a nonce is taken (EIP-3009).
const USED: &[u8] = b"AuthorizationUsed(address,bytes32)";
const CANCELED: &[u8] = b"AuthorizationCanceled(address,bytes32)";

/// The transaction that took a nonce with this event, as the first node tells that finds it among the last blocks.
async fn transaction(nodes: &[(&Rpc, Block)], nonce: &Nonce, event: &[u8]) -> Option<String> {
    let topics = [keccak256(event), nonce.from.word(), nonce.nonce];
    let until = Instant::now() + ABOUT_ONE;
    for (rpc, head) in nodes {
        let mut to = head.number;
        for _ in 0..STRETCHES {
            let from = to.saturating_sub(STRETCH - 1);
            match timeout_at(until, rpc.transaction_of(&nonce.token, topics, (from, to))).await {
                Ok(Ok(Some(found))) => return Some(found),
                Ok(Ok(None)) if from > 0 => to = from - 1,
                Ok(_) => break,
                Err(_) => return None,
            }
        }
    }
    None
}
