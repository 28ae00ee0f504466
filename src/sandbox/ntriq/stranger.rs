//! Another host, to which a redirect leads: it wants to be paid itself, and takes whatever payment it is shown.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
};

use axum::{
    Json, Router,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, Uri},
    response::{IntoResponse as _, Response},
};
use data_encoding::BASE64;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::payment;
use crate::{
    evm::Address,
    sandbox::{
        SandboxError,
        chain::{self, PlayChain},
        listen, lock,
    },
};

/// What nobody should be shown who did not ask to be paid.
const PRECIOUS: [&str; 5] = [payment::V2, payment::V1, "authorization", "sign-in-with-x", "cookie"];

/// The stranger. It settles every authorization that it sees, whoever gets the money.
#[derive(Clone, Debug)]
pub struct Stranger(Arc<Host>);

#[derive(Debug)]
struct Host {
    url: String,
    address: Address,
    chain: PlayChain,
    requests: Mutex<usize>,
    seen: Mutex<Vec<(String, String)>>,
}

impl Stranger {
    pub(super) async fn start(chain: PlayChain, stop: CancellationToken) -> Result<Stranger, SandboxError> {
        let (listener, bound) = listen::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?;
        let stranger = Stranger(Arc::new(Host {
            url: format!("http://{bound}"),
            address: Address([0x66; 20]),
            chain,
            requests: Mutex::default(),
            seen: Mutex::default(),
        }));
        listen::serve(listener, Router::new().fallback(answer).with_state(stranger.clone()), stop);
        Ok(stranger)
    }

    /// Its base URL, without a slash at the end.
    pub fn url(&self) -> String {
        self.0.url.clone()
    }

    /// Where it wants to be paid.
    pub fn address(&self) -> Address {
        self.0.address
    }

    /// How many requests reached it.
    pub fn requests(&self) -> usize {
        *lock(&self.0.requests)
    }

    /// Every payment, credential and cookie that reached it: the header's name and its value.
    pub fn seen(&self) -> Vec<(String, String)> {
        lock(&self.0.seen).clone()
    }
}

async fn answer(State(stranger): State<Stranger>, uri: Uri, headers: HeaderMap) -> Response {
    let host = &stranger.0;
    *lock(&host.requests) += 1;
    for name in PRECIOUS {
        for value in headers.get_all(name) {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            lock(&host.seen).push((name.to_owned(), value));
        }
    }
    match payment::signed_in(&headers) {
        Some(signed) => {
            let taken = host.chain.transfer_with_authorization(&signed).is_ok();
            Json(json!({"status": "ok", "taken": taken})).into_response()
        }
        None => host.challenge(uri.path()),
    }
}

impl Host {
    fn challenge(&self, path: &str) -> Response {
        let token = self.chain.token();
        let said: Value = json!({
            "x402Version": 2, "error": "Payment required",
            "resource": {"url": format!("{}{path}", self.url), "description": "", "mimeType": ""},
            "accepts": [{
                "scheme": "exact", "network": chain::CAIP2, "amount": "10000", "asset": token.address,
                "payTo": self.address, "maxTimeoutSeconds": 300,
                "extra": {"name": token.name, "version": token.version},
            }],
        });
        let mut response = (StatusCode::PAYMENT_REQUIRED, Json(json!({}))).into_response();
        if let Ok(value) = HeaderValue::from_str(&BASE64.encode(said.to_string().as_bytes())) {
            response.headers_mut().insert("payment-required", value);
        }
        response
    }
}
