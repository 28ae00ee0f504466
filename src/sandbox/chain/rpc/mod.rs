//! A JSON-RPC node of the play chain, on loopback, as truthful as its mode.
//!
//! It answers `eth_chainId`, `eth_blockNumber`, `eth_getBlockByNumber`, `eth_call` on the token, `eth_getCode`,
//! `eth_getLogs`, `eth_getTransactionReceipt` and a few idle ones, alone or in a batch, at any path.

mod call;
mod logs;
mod mode;
mod speak;

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    extract::{ConnectInfo, State},
    http::{HeaderValue, Method, StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse as _, Response},
};
use serde_json::Value;
use tokio_util::sync::{CancellationToken, DropGuard};

pub use mode::RpcMode;

use super::PlayChain;
use crate::sandbox::{
    SandboxError, listen, lock,
    wire::{self, Knife},
};

/// The node. Dropping it closes its listener.
#[derive(Debug)]
pub struct ChainRpc {
    node: Arc<Node>,
    _stop: DropGuard,
}

#[derive(Debug)]
struct Node {
    url: String,
    chain: PlayChain,
    mode: Mutex<RpcMode>,
    calls: Mutex<HashMap<String, usize>>,
    stop: CancellationToken,
}

impl ChainRpc {
    /// Starts a node of this chain; port 0 takes a free one. A chain can have several, each with a mode of its own.
    ///
    /// # Errors
    /// [`SandboxError::Bind`].
    pub async fn start(chain: PlayChain, at: SocketAddr) -> Result<ChainRpc, SandboxError> {
        let (listener, bound) = listen::bind(at).await?;
        let stop = CancellationToken::new();
        let node = Arc::new(Node {
            url: format!("http://{bound}"),
            chain,
            mode: Mutex::default(),
            calls: Mutex::default(),
            stop: stop.clone(),
        });
        wire::serve(listener, Router::new().fallback(answer).with_state(node.clone()), stop.clone());
        Ok(ChainRpc { node, _stop: stop.drop_guard() })
    }

    /// Its URL.
    pub fn url(&self) -> String {
        self.node.url.clone()
    }

    /// Changes what it does to those who ask.
    pub fn set_mode(&self, mode: RpcMode) {
        *lock(&self.node.mode) = mode;
    }

    /// How many times a method was called, in batches too.
    pub fn calls(&self, method: &str) -> usize {
        lock(&self.node.calls).get(method).copied().unwrap_or(0)
    }

    /// How many methods were called in all.
    pub fn all_calls(&self) -> usize {
        lock(&self.node.calls).values().sum()
    }
}

async fn answer(
    State(node): State<Arc<Node>>,
    ConnectInfo(knife): ConnectInfo<Knife>,
    method: Method,
    body: Bytes,
) -> Response {
    if method != Method::POST {
        return StatusCode::METHOD_NOT_ALLOWED.into_response();
    }
    let mode = lock(&node.mode).clone();
    let asked = serde_json::from_slice::<Value>(&body);
    if let Ok(asked) = &asked {
        node.count(asked);
    }
    match &mode {
        RpcMode::Slow(ms) => tokio::time::sleep(Duration::from_millis(*ms)).await,
        RpcMode::Silent => {
            node.stop.cancelled().await;
            knife.cut();
        }
        RpcMode::HangsUp => knife.cut(),
        RpcMode::RateLimited => return (StatusCode::TOO_MANY_REQUESTS, "Too Many Requests").into_response(),
        RpcMode::Garbage => return axum::response::Html("<html><body>Bad gateway</body></html>").into_response(),
        _ => {}
    }
    match speak::reply(&node.chain, &mode, asked.ok()) {
        Some(reply) => {
            ([(CONTENT_TYPE, HeaderValue::from_static("application/json"))], reply.to_string()).into_response()
        }
        // Nothing but notifications: there is nothing to say.
        None => StatusCode::NO_CONTENT.into_response(),
    }
}

impl Node {
    fn count(&self, asked: &Value) {
        let one = std::slice::from_ref(asked);
        let calls = &mut *lock(&self.calls);
        for call in asked.as_array().map_or(one, Vec::as_slice) {
            *calls.entry(call["method"].as_str().unwrap_or_default().to_owned()).or_default() += 1;
        }
    }
}
