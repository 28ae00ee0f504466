//! One node of a chain, asked over JSON-RPC. What it answers is bounded, and believed only if it is of the right chain.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};

use ::http::{HeaderMap, HeaderValue, Method, header::CONTENT_TYPE};
use serde_json::{Value, json};
use url::Url;

use crate::{
    evm::{Address, assets::Chain, hex, keccak256, unhex, word},
    http::{Ask, Client, Limits, Policy, shown},
    protocol::text::clean,
};

/// More than any answer to what we ask is long: a block names all of its transactions.
const LONGEST: usize = 1 << 20;

/// How long a node may take for one answer, connecting included.
const PATIENCE: Duration = Duration::from_secs(3);

/// From how many characters on a part of an address may be an API key, and a word of an answer a secret.
const KEY_FROM: usize = 6;
const WORD_TO: usize = 24;

/// Why a node told nothing: one sentence that names it by scheme and host alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NoAnswer(pub String);

/// A node.
pub(super) struct Rpc {
    chain: Chain,
    url: Url,
    client: Client,
    /// Whether it said that it is of this chain. A node that is not is asked for nothing else.
    checked: AtomicBool,
    asked: AtomicU64,
}

/// A block's number, and its time in unix seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Block {
    pub number: u64,
    pub time_s: u64,
}

/// A transfer of a token, as an event tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Moved {
    pub block: u64,
    pub units: u64,
    pub transaction: String,
}

impl Rpc {
    pub(super) fn new(chain: Chain, url: Url, client: Client) -> Rpc {
        Rpc { chain, url, client, checked: AtomicBool::new(false), asked: AtomicU64::new(1) }
    }

    /// The latest block.
    pub(super) async fn latest(&self) -> Result<Block, NoAnswer> {
        self.block("latest").await
    }

    /// The block of a number, which must be there.
    pub(super) async fn block_at(&self, number: u64) -> Result<Block, NoAnswer> {
        let block = self.block(&format!("{number:#x}")).await?;
        if block.number == number { Ok(block) } else { Err(self.unreadable()) }
    }

    async fn block(&self, which: &str) -> Result<Block, NoAnswer> {
        let block = self.ask("eth_getBlockByNumber", json!([which, false])).await?;
        let field = |name: &str| block.get(name).and_then(quantity);
        match (field("number"), field("timestamp")) {
            (Some(number), Some(time_s)) => Ok(Block { number, time_s }),
            _ => Err(self.unreadable()),
        }
    }

    /// What a contract's function answers: exactly one word. `block` is a tag or a number.
    pub(super) async fn call(
        &self,
        contract: &Address,
        function: &str,
        words: &[[u8; 32]],
        block: &str,
    ) -> Result<[u8; 32], NoAnswer> {
        let mut data = keccak256(function.as_bytes())[..4].to_vec();
        words.iter().for_each(|word| data.extend_from_slice(word));
        let call = json!({ "to": contract, "data": hex(&data) });
        let said = self.ask("eth_call", json!([call, block])).await?;
        said.as_str().and_then(unhex).ok_or_else(|| self.unreadable())
    }

    /// Whether there is code at an address.
    pub(super) async fn has_code(&self, address: &Address) -> Result<bool, NoAnswer> {
        let said = self.ask("eth_getCode", json!([address, "latest"])).await?;
        match said.as_str() {
            Some("0x") => Ok(false),
            Some(code) if code.starts_with("0x") => Ok(true),
            _ => Err(self.unreadable()),
        }
    }

    /// The transaction of the one event of a contract with these topics, between two blocks.
    pub(super) async fn transaction_of(
        &self,
        contract: &Address,
        topics: [[u8; 32]; 3],
        (from, to): (u64, u64),
    ) -> Result<Option<String>, NoAnswer> {
        let found = self.events(contract, topics, (from, to)).await?;
        Ok(found.first().and_then(transaction))
    }

    /// What a token moved from one account to another between two blocks, in order.
    pub(super) async fn transfers(
        &self,
        token: &Address,
        (from, to): (&Address, &Address),
        blocks: (u64, u64),
    ) -> Result<Vec<Moved>, NoAnswer> {
        let topics = [keccak256(b"Transfer(address,address,uint256)"), from.word(), to.word()];
        let found = self.events(token, topics, blocks).await?;
        let read = |log: &Value| {
            let units = unhex::<32>(log["data"].as_str()?).and_then(|word| number(&word))?;
            Some(Moved { block: quantity(&log["blockNumber"])?, units, transaction: transaction(log)? })
        };
        found.iter().map(read).collect::<Option<_>>().ok_or_else(|| self.unreadable())
    }

    /// The transaction that moved so many units of a token of Tempo's from one account to another, with this memo,
    /// between two blocks.
    pub(super) async fn transaction_with_memo(
        &self,
        token: &Address,
        (from, to): (&Address, &Address),
        (units, memo): (u64, [u8; 32]),
        blocks: (u64, u64),
    ) -> Result<Option<String>, NoAnswer> {
        let event = keccak256(b"TransferWithMemo(address,address,uint256,bytes32)");
        let found = self.events(token, [event, from.word(), to.word(), memo], blocks).await?;
        let same = |log: &&Value| log["data"].as_str().and_then(unhex) == Some(word(units));
        found.iter().find(same).map(|log| transaction(log).ok_or_else(|| self.unreadable())).transpose()
    }

    /// The events of a contract with these topics, between two blocks.
    async fn events<const N: usize>(
        &self,
        contract: &Address,
        topics: [[u8; 32]; N],
        (from, to): (u64, u64),
    ) -> Result<Vec<Value>, NoAnswer> {
        let topics = topics.map(|topic| hex(&topic));
        let range = |n: u64| format!("{n:#x}");
        let filter =
            json!({ "address": contract, "fromBlock": range(from), "toBlock": range(to), "topics": &topics[..] });
        let mut said = self.ask("eth_getLogs", json!([filter])).await?;
        let found = said.as_array_mut().ok_or_else(|| self.unreadable())?;
        found.retain(|log| {
            // A node that ignores the filter must not have us name a stranger's transaction.
            let same = |a: &Value, b: &str| a.as_str().is_some_and(|a| a.eq_ignore_ascii_case(b));
            log["removed"] != true
                && same(&log["address"], &contract.to_string())
                && topics.iter().enumerate().all(|(i, topic)| same(&log["topics"][i], topic))
        });
        Ok(std::mem::take(found))
    }

    /// Asks, once it is known that the node is of the right chain.
    async fn ask(&self, method: &str, params: Value) -> Result<Value, NoAnswer> {
        if !self.checked.load(Ordering::Acquire) {
            let id = self.send("eth_chainId", json!([])).await?;
            match quantity(&id) {
                Some(id) if id == self.chain.id => self.checked.store(true, Ordering::Release),
                Some(id) => {
                    return Err(self.no(format!("is of chain {id} and not of {}: it is not used", self.chain.caip2())));
                }
                None => return Err(self.unreadable()),
            }
        }
        self.send(method, params).await
    }

    async fn send(&self, method: &str, params: Value) -> Result<Value, NoAnswer> {
        let id = self.asked.fetch_add(1, Ordering::Relaxed);
        let body = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        let ask = Ask {
            method: Method::POST,
            url: self.url.clone(),
            headers: HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]),
            body: body.to_string().into(),
            credential: None,
            limits: Limits {
                body: LONGEST,
                challenge: LONGEST,
                first_byte: PATIENCE,
                idle: PATIENCE,
                total: PATIENCE,
                stream: PATIENCE,
            },
        };
        // The client's own errors name an operator's address by scheme and host.
        let answer = self.client.send(Policy::Operator, ask).await.map_err(|e| NoAnswer(e.to_string()))?;
        if answer.moved.is_some() {
            return Err(self.no("answers with a redirect, which is not followed"));
        }
        if answer.cut {
            return Err(self.no("answers more than anybody asked for"));
        }
        let said: Value = match serde_json::from_slice(&answer.body) {
            Ok(Value::Object(said)) => Value::Object(said),
            _ if answer.status != 200 => return Err(self.no(format!("answers HTTP {}", answer.status))),
            _ => return Err(self.unreadable()),
        };
        if let Some(error) = said.get("error").filter(|e| !e.is_null()) {
            return Err(self.no(format!("answers an error{}", self.words_of(error))));
        }
        // An error may come without an id; an answer without it, or with another, is to somebody else's question.
        if said["id"] != id {
            return Err(self.no("answers something else than what it was asked"));
        }
        Ok(said.get("result").cloned().unwrap_or(Value::Null))
    }

    /// An error's code and words, as far as they can be shown: some nodes repeat the API key that they do not like.
    fn words_of(&self, error: &Value) -> String {
        let code = error["code"].as_i64().map(|code| format!(" {code}")).unwrap_or_default();
        let words = clean(error["message"].as_str().unwrap_or_default(), 120);
        let path = self.url.path_segments().into_iter().flatten();
        let query = self.url.query().unwrap_or_default().split(['=', '&']);
        let ours = path.chain(query).any(|part| part.len() >= KEY_FROM && words.contains(part));
        if words.is_empty() || ours || words.contains("://") || words.split(' ').any(|w| w.len() > WORD_TO) {
            return code;
        }
        format!("{code} ({words})")
    }

    fn unreadable(&self) -> NoAnswer {
        self.no("answers nothing that can be read")
    }

    fn no(&self, what: impl std::fmt::Display) -> NoAnswer {
        NoAnswer(format!("the node {} {what}", shown(Policy::Operator, &self.url)))
    }
}

/// The hash of an event's transaction.
fn transaction(log: &Value) -> Option<String> {
    log["transactionHash"].as_str().and_then(unhex::<32>).map(|hash| hex(&hash))
}

/// A word as a number; `None` for one that nothing of ours counts.
pub(super) fn number(word: &[u8; 32]) -> Option<u64> {
    let (high, low) = word.split_at(24);
    let low = low.iter().fold(0u64, |sum, byte| sum << 8 | u64::from(*byte));
    high.iter().all(|b| *b == 0).then_some(low)
}

/// A number as nodes write it: `0x` and hex digits without needless zeros (some write them).
fn quantity(value: &Value) -> Option<u64> {
    let digits = value.as_str()?.strip_prefix("0x")?;
    // from_str_radix takes a sign.
    (!digits.starts_with(['+', '-'])).then(|| u64::from_str_radix(digits, 16).ok())?
}
