//! `eth_getLogs`: the token's events, `Transfer`, `AuthorizationUsed` and `AuthorizationCanceled`.

use serde_json::{Value, json};

use super::{
    RpcMode,
    speak::{Fault, block_of, quantity, seen_head},
};
use crate::{
    evm::{hex, keccak256, word},
    sandbox::chain::{Mined, Moved, PlayChain},
};

pub(super) fn perform(chain: &PlayChain, mode: &RpcMode, filter: &Value) -> Result<Value, Fault> {
    let head = seen_head(chain, mode);
    let from = block_of(&filter["fromBlock"], head)?;
    let to = block_of(&filter["toBlock"], head)?.min(head);
    if filter.get("blockHash").is_some() {
        return Err(Fault::params("this node finds logs by number only"));
    }
    if let RpcMode::ShortLogs(most) = mode
        && to.number.saturating_sub(from.number) >= *most
    {
        return Err(Fault::new(-32005, format!("query exceeds max block range {most}")));
    }
    if *mode == RpcMode::ForgetsPayments {
        return Ok(json!([]));
    }
    let mined = chain.read(|book, _| book.mined.clone());
    let logs = mined.iter().filter(|m| from <= m.block && m.block <= to).flat_map(|m| of(chain, m));
    Ok(logs.filter(|log| wanted(filter, log)).collect())
}

/// What one transaction told the world.
pub(super) fn of(chain: &PlayChain, mined: &Mined) -> Vec<Value> {
    let topic = |signature: &str| keccak256(signature.as_bytes());
    let mut told = Vec::new();
    if let Some((payer, nonce)) = mined.canceled {
        let topics = vec![topic("AuthorizationCanceled(address,bytes32)"), payer.word(), nonce];
        told.push((topics, Vec::new()));
    }
    if let Some(moved) = &mined.moved {
        events(moved, &topic, &mut told);
    }
    let log = |(index, (topics, data)): (usize, (Vec<[u8; 32]>, Vec<u8>))| {
        let topics: Vec<String> = topics.iter().map(|t| hex(t)).collect();
        json!({
            "address": chain.token().address,
            "topics": topics,
            "data": hex(&data),
            "blockNumber": quantity(mined.block.number),
            "blockHash": hex(&mined.block.hash()),
            "transactionHash": hex(&mined.transaction),
            "transactionIndex": "0x0",
            "logIndex": quantity(index as u64),
            "removed": false,
        })
    };
    told.into_iter().enumerate().map(log).collect()
}

/// What the token told of money that moved: topics and data, in the order in which it tells.
fn events(moved: &Moved, topic: &dyn Fn(&str) -> [u8; 32], told: &mut Vec<(Vec<[u8; 32]>, Vec<u8>)>) {
    if let Some(nonce) = moved.nonce.filter(|_| !moved.by_permit) {
        let topics = vec![topic("AuthorizationUsed(address,bytes32)"), moved.from.word(), nonce];
        told.push((topics, Vec::new()));
    }
    let topics = vec![topic("Transfer(address,address,uint256)"), moved.from.word(), moved.to.word()];
    told.push((topics, word(moved.value).to_vec()));
}

fn wanted(filter: &Value, log: &Value) -> bool {
    let address = admits(&filter["address"], &log["address"]);
    let topics = filter["topics"].as_array();
    address && topics.is_none_or(|t| t.iter().enumerate().all(|(i, want)| admits(want, &log["topics"][i])))
}

/// Whether a value is wanted: `null` wants everything, a list any of its own.
fn admits(want: &Value, is: &Value) -> bool {
    let same = |want: &Value| match (want.as_str(), is.as_str()) {
        (Some(want), Some(is)) => want.eq_ignore_ascii_case(is),
        _ => false,
    };
    match want {
        Value::Null => true,
        Value::Array(any) => any.is_empty() || any.iter().any(same),
        one => same(one),
    }
}
