//! Paying on Tempo: one signature a purchase, and what the chain shows of it.
//!
//! A transaction there is void half a minute after it was signed, so that what became of it is soon known for certain.
//! Nothing on the chain names it but the event of its first transfer, which carries the challenge's memo.

use futures_util::future::join_all;
use tokio::time::{Instant, timeout, timeout_at};

use super::{
    EvmWallet,
    net::{ABOUT_ONE, AT_ONCE, Net, STRETCH, STRETCHES, Said},
    rpc::{Block, NoAnswer, Rpc, number},
};
use crate::{
    evm::{
        Address,
        tempo::{self, Ask, LONGEST_LIFE_S, Signed},
    },
    ledger::Intent,
    money::{Amount, Currency, MAX_ATOMIC},
    wallet::{Prepared, WalletError},
};

/// The chain takes no such transaction more than 30 s before its end; that, and what its clock may be off, in seconds.
const WINDOW_S: u64 = 60;

/// What looking for a transfer needs.
pub(super) struct Sent {
    pub(super) chain_id: u64,
    pub(super) valid_before: u64,
    token: Address,
    from: Address,
    to: Address,
    value: u64,
    memo: [u8; 32],
}

impl Sent {
    /// What an intent signed, if its bytes are what they say.
    pub(super) fn of(intent: &Intent) -> Option<Sent> {
        let signed: Signed = serde_json::from_slice(&intent.wire).ok()?;
        let Ask::Charge(charge) = &signed.ask else { return None };
        let first = charge.transfers.first()?;
        let sent = Sent {
            chain_id: charge.chain_id,
            valid_before: signed.valid_before,
            token: charge.token,
            from: signed.from,
            to: first.to,
            value: first.value,
            memo: first.memo?,
        };
        signed.ask.is_signed(&signed).then_some(sent)
    }
}

impl EvmWallet {
    /// Signs once. Each signing would be a transaction of its own, so that the bytes are kept before anybody sees them.
    pub(super) fn sign_for_tempo(&self, ask: &Ask, valid_before: u64) -> Result<Prepared, WalletError> {
        let setup = |say: &str| Err(WalletError::Setup(say.to_owned()));
        let Ask::Charge(charge) = ask else {
            if self.net(ask.chain_id()).is_none() {
                return setup("this wallet has no account on that chain");
            }
            // It moves nothing, whenever it is shown, and names the one seller that it is for.
            let wire = serde_json::to_vec(&self.key.sign_for_tempo(ask, valid_before));
            let wire = wire.map_err(|_| WalletError::Setup("it could not be written".into()))?;
            return Ok(Prepared { wire, resend_until: 0 });
        };
        let known = tempo::token(charge.chain_id, &charge.token).is_some() && self.net(charge.chain_id).is_some();
        if !known || charge.total().is_none_or(|total| total == 0) {
            return setup("this wallet does not pay with that token, on that chain, or that amount of it");
        }
        let now = self.clock.now_s();
        // A seller whose clock is ahead may have set the end; the chain itself takes none that ends later.
        if valid_before <= now || valid_before > now + LONGEST_LIFE_S + WINDOW_S {
            return setup("the payment would be void already, or stay open for too long");
        }
        let wire = serde_json::to_vec(&self.key.sign_for_tempo(ask, valid_before));
        let wire = wire.map_err(|_| WalletError::Setup("it could not be written".into()))?;
        Ok(Prepared { wire, resend_until: valid_before })
    }
}

impl EvmWallet {
    /// Whether there is too little of the very token that is asked for: the balance of the chain is the sum of several.
    pub(super) async fn lacks(&self, network: &str, asset: &str, price: Amount) -> Option<(&'static str, String)> {
        let net = self.nets.iter().find(|net| net.chain.caip2() == network)?;
        let held = net.units_of(&asset.parse().ok()?, &self.address()).await?;
        let say = || format!("it costs {price}, and the wallet holds {held} of that token on {}", net.chain.name);
        price.exceeds(held).then(|| ("insufficient_balance", say()))
    }
}

impl Net {
    /// How much there is of one token, if a node tells it in a moment.
    async fn units_of(&self, token: &Address, owner: &Address) -> Option<Amount> {
        let until = Instant::now() + AT_ONCE;
        let words = [owner.word()];
        for rpc in &self.rpcs {
            let told = rpc.call(token, "balanceOf(address)", &words, "latest");
            if let Ok(Ok(word)) = timeout_at(until, told).await {
                // More than can be counted is enough.
                return Amount::new(Currency::Usd, number(&word).unwrap_or(MAX_ATOMIC).min(MAX_ATOMIC));
            }
        }
        None
    }

    /// What became of a transfer, as all nodes say. If they disagree it happened.
    pub(super) async fn look_for(&self, sent: &Sent) -> Said {
        let asked = self.rpcs.iter().map(|rpc| async move {
            match timeout(ABOUT_ONE, seen(rpc, sent)).await {
                Ok(seen) => seen,
                Err(_) => Err(NoAnswer(format!("the nodes of {} did not answer in time", self.chain.name))),
            }
        });
        let (mut unused, mut silent) = (None::<u64>, None);
        for seen in join_all(asked).await {
            match seen {
                Ok((_, Some(transaction))) => {
                    return Said::Used { transaction: Some(transaction), taken: None };
                }
                Ok((head, None)) => unused = unused.max(Some(head.time_s)),
                Err(NoAnswer(why)) => silent = silent.or(Some(why)),
            }
        }
        match unused {
            Some(at_s) => Said::Unused { at_s },
            None => Said::Nothing { why: silent.unwrap_or_else(|| self.no_nodes()) },
        }
    }
}

/// The head of a node's chain, and the transaction if it is there. The search goes back to where the chain could not
/// have taken it yet: "not found" says something only of what was searched whole.
async fn seen(rpc: &Rpc, sent: &Sent) -> Result<(Block, Option<String>), NoAnswer> {
    let head = rpc.latest().await?;
    let from = first_block(rpc, head, sent.valid_before.saturating_sub(WINDOW_S)).await?;
    let last = head.number.min(from.saturating_add(STRETCH * STRETCHES - 1));
    if last < head.number && rpc.block_at(last).await?.time_s < sent.valid_before {
        return Err(NoAnswer("more blocks came while it could be taken than are searched".into()));
    }
    let mut at = from;
    while at <= last {
        let to = last.min(at + STRETCH - 1);
        let (between, what) = ((&sent.from, &sent.to), (sent.value, sent.memo));
        if let Some(found) = rpc.transaction_with_memo(&sent.token, between, what, (at, to)).await? {
            return Ok((head, Some(found)));
        }
        at = to + 1;
    }
    Ok((head, None))
}

/// A block before which nothing is younger than `time_s`: back from the head in steps that double, and then between the
/// last two until few enough are left to search.
async fn first_block(rpc: &Rpc, head: Block, time_s: u64) -> Result<u64, NoAnswer> {
    let (mut low, mut high, mut step) = (head.number, head.number, STRETCH / 2);
    loop {
        low = low.saturating_sub(step);
        if low == 0 || rpc.block_at(low).await?.time_s < time_s {
            break;
        }
        (high, step) = (low, step * 2);
    }
    while high - low > STRETCH {
        let middle = low + (high - low) / 2;
        match rpc.block_at(middle).await?.time_s < time_s {
            true => low = middle,
            false => high = middle,
        }
    }
    Ok(low)
}
