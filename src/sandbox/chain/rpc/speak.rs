//! JSON-RPC 2.0: one call or a batch, and the methods.

use serde_json::{Value, json};

use super::{RpcMode, call, logs};
use crate::{
    evm::{hex, unhex},
    sandbox::chain::{Block, CHAIN_ID, Mined, PlayChain},
};

/// A JSON-RPC error.
#[derive(Debug)]
pub(super) struct Fault {
    pub code: i64,
    pub message: String,
    pub data: Option<Value>,
}

impl Fault {
    pub fn new(code: i64, message: impl Into<String>) -> Fault {
        Fault { code, message: message.into(), data: None }
    }

    pub fn params(message: impl Into<String>) -> Fault {
        Fault::new(-32602, message)
    }

    fn json(&self) -> Value {
        let mut said = json!({"code": self.code, "message": self.message});
        if let Some(data) = &self.data {
            said["data"] = data.clone();
        }
        said
    }
}

/// Answers what came; `None` when it was nothing but notifications.
pub(super) fn reply(chain: &PlayChain, mode: &RpcMode, asked: Option<Value>) -> Option<Value> {
    match asked {
        None => Some(failed(&Value::Null, &Fault::new(-32700, "parse error"))),
        Some(Value::Array(calls)) if calls.is_empty() => Some(failed(&Value::Null, &Fault::new(-32600, "empty batch"))),
        Some(Value::Array(calls)) => {
            let replies: Vec<Value> = calls.iter().filter_map(|c| one(chain, mode, c)).collect();
            (!replies.is_empty()).then_some(Value::Array(replies))
        }
        Some(call) => one(chain, mode, &call),
    }
}

fn one(chain: &PlayChain, mode: &RpcMode, asked: &Value) -> Option<Value> {
    let Some(method) = asked["method"].as_str().filter(|_| asked["jsonrpc"] == "2.0") else {
        return Some(failed(&asked["id"], &Fault::new(-32600, "invalid request")));
    };
    let id = asked.get("id")?;
    Some(match perform(chain, mode, method, &asked["params"]) {
        Ok(result) => json!({"jsonrpc": "2.0", "id": id, "result": result}),
        Err(fault) => failed(id, &fault),
    })
}

fn failed(id: &Value, fault: &Fault) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "error": fault.json()})
}

fn perform(chain: &PlayChain, mode: &RpcMode, method: &str, params: &Value) -> Result<Value, Fault> {
    if let RpcMode::Fails(code, message) = mode {
        return Err(Fault::new(*code, message));
    }
    match method {
        "eth_chainId" => Ok(quantity(if let RpcMode::WrongChain(id) = mode { *id } else { CHAIN_ID })),
        "net_version" => Ok(CHAIN_ID.to_string().into()),
        "web3_clientVersion" => Ok("play/v1".into()),
        "eth_blockNumber" => Ok(quantity(seen_head(chain, mode).number)),
        "eth_getBlockByNumber" => {
            let head = seen_head(chain, mode);
            match block_of(&params[0], head)? {
                block if block > head => Ok(Value::Null),
                block => Ok(described(block)),
            }
        }
        "eth_call" => call::perform(chain, mode, params),
        "eth_getCode" => {
            let account = params[0].as_str().and_then(|t| t.parse().ok());
            Ok(hex(&chain.code(&account.ok_or_else(|| Fault::params("invalid address"))?)).into())
        }
        "eth_getBalance" | "eth_getTransactionCount" => Ok(quantity(0)),
        "eth_getLogs" => logs::perform(chain, mode, &params[0]),
        "eth_getTransactionReceipt" => {
            let wanted = params[0].as_str().and_then(unhex::<32>);
            let wanted = wanted.ok_or_else(|| Fault::params("invalid transaction hash"))?;
            let head = seen_head(chain, mode);
            let find = |m: &&Mined| m.transaction == wanted && m.block <= head;
            let found = chain.read(|book, _| book.mined.iter().find(find).cloned());
            Ok(found.map_or(Value::Null, |mined| receipt(chain, &mined)))
        }
        _ => Err(Fault::new(-32601, format!("the method {method} does not exist/is not available"))),
    }
}

/// The newest block this node admits to.
pub(super) fn seen_head(chain: &PlayChain, mode: &RpcMode) -> Block {
    let head = chain.head();
    match mode {
        RpcMode::Behind(seconds) => Block { number: head.number.saturating_sub(*seconds) },
        _ => head,
    }
}

/// Reads a block's tag or number. Every tag but `earliest` is the newest block: nothing here is ever undone.
pub(super) fn block_of(tag: &Value, head: Block) -> Result<Block, Fault> {
    let tag = tag.get("blockNumber").unwrap_or(tag);
    match tag.as_str() {
        None if tag.is_null() => Ok(head),
        Some("latest" | "pending" | "safe" | "finalized") => Ok(head),
        Some("earliest") => Ok(Block { number: 0 }),
        Some(text) => {
            let number = text.strip_prefix("0x").and_then(|digits| u64::from_str_radix(digits, 16).ok());
            Ok(Block { number: number.ok_or_else(|| Fault::params("invalid block number"))? })
        }
        None => Err(Fault::params("invalid block number")),
    }
}

pub(super) fn quantity(number: u64) -> Value {
    format!("{number:#x}").into()
}

fn described(block: Block) -> Value {
    let parent = Block { number: block.number.saturating_sub(1) };
    json!({
        "number": quantity(block.number),
        "hash": hex(&block.hash()),
        "parentHash": hex(&parent.hash()),
        "timestamp": quantity(block.timestamp()),
        "gasLimit": quantity(60_000_000),
        "gasUsed": quantity(0),
        "baseFeePerGas": quantity(1_000_000),
        "transactions": [],
    })
}

fn receipt(chain: &PlayChain, mined: &Mined) -> Value {
    json!({
        "transactionHash": hex(&mined.transaction),
        "transactionIndex": "0x0",
        "blockHash": hex(&mined.block.hash()),
        "blockNumber": quantity(mined.block.number),
        "to": chain.token().address,
        "status": if mined.moved.is_some() || mined.canceled.is_some() { "0x1" } else { "0x0" },
        "gasUsed": quantity(86_000),
        "logs": logs::of(chain, mined),
    })
}
