//! A buyer with as little sense as possible: it signs what it is told to and judges nothing.

use std::{sync::LazyLock, time::Duration};

use bitcoin::secp256k1::SecretKey;
use bursar::{
    clock::Clock,
    evm::{
        Address,
        assets::Token,
        eip3009::{Authorization, Signed},
        keccak256,
    },
    sandbox::{NtriqMode, Sandbox, SandboxOptions},
};
use data_encoding::BASE64;
use reqwest::header::HeaderMap;
use serde_json::{Value, json};

/// When the tests play, in unix seconds.
pub const NOW_S: u64 = 1_795_245_773;
/// What a sentiment costs, in units of USDC.
pub const CENT: u64 = 10_000;
/// What the account holds at first.
pub const FUNDS: u64 = 100_000_000;

/// A sandbox on a clock that stands still, and who buys there.
pub struct Scene {
    pub world: Sandbox,
    pub clock: Clock,
    key: SecretKey,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
}

impl Answer {
    async fn of(response: reqwest::Response) -> Answer {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Answer { status, headers, text: response.text().await.unwrap() }
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("{self:?}"))
    }

    /// A header of base64 JSON.
    pub fn header(&self, name: &str) -> Option<Value> {
        let bytes = BASE64.decode(self.headers.get(name)?.as_bytes()).unwrap();
        Some(serde_json::from_slice(&bytes).unwrap())
    }

    pub fn challenge(&self) -> Value {
        self.header("payment-required").unwrap_or_else(|| panic!("no challenge in {self:?}"))
    }

    pub fn receipt(&self) -> Option<Value> {
        self.header("payment-response")
    }

    /// The error of a challenge, which is where version 2 says why a payment was refused.
    pub fn error(&self) -> String {
        self.challenge()["error"].as_str().unwrap().to_owned()
    }
}

/// A client that follows nothing, keeps no connection and gives up after a while.
pub fn http() -> reqwest::Client {
    // One for all: making one costs more than a purchase.
    static CLIENT: LazyLock<reqwest::Client> = LazyLock::new(|| {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy();
        client.pool_max_idle_per_host(0).timeout(Duration::from_secs(10)).build().unwrap()
    });
    CLIENT.clone()
}

pub fn encoded(value: &Value) -> String {
    BASE64.encode(value.to_string().as_bytes())
}

/// A version 2 payment header for a challenge, by its last way to pay.
pub fn v2(challenge: &Value, signed: &Signed) -> Value {
    let accepted = challenge["accepts"].as_array().unwrap().last().unwrap();
    json!({"x402Version": 2, "payload": signed, "resource": challenge["resource"], "accepted": accepted})
}

impl Scene {
    pub async fn new() -> Scene {
        let clock = Clock::manual(NOW_S * 1000);
        let world = Sandbox::start(SandboxOptions { clock: clock.clone(), ..SandboxOptions::default() }).await.unwrap();
        let key = world.evm_key();
        let key = data_encoding::HEXLOWER.decode(key.expose().as_bytes()).unwrap();
        Scene { world, clock, key: SecretKey::from_slice(&key).unwrap() }
    }

    pub async fn with(mode: NtriqMode) -> Scene {
        let scene = Scene::new().await;
        scene.world.ntriq().set_mode(mode);
        scene
    }

    pub fn token(&self) -> Token {
        self.world.chain().token().clone()
    }

    pub fn me(&self) -> Address {
        self.world.evm_address()
    }

    /// What this account paid, and in how many transfers.
    pub fn moved(&self) -> (u64, usize) {
        let chain = self.world.chain();
        assert_eq!(chain.balance_of(&self.me()), FUNDS - chain.spent_by(&self.me()), "the book adds up");
        (chain.spent_by(&self.me()), chain.moved().len())
    }

    /// Sends a request as it is.
    pub async fn send(&self, path: &str, body: Value, headers: &[(&str, &str)]) -> reqwest::Result<reqwest::Response> {
        let mut request = http().post(format!("{}{path}", self.world.ntriq_url()));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.header("content-type", "application/json").body(body.to_string()).send().await
    }

    pub async fn post(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        Answer::of(self.send(path, body(), headers).await.unwrap()).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        Answer::of(http().get(format!("{}{path}", self.world.ntriq_url())).send().await.unwrap()).await
    }

    /// An authorization for a way to pay, bent before it is signed.
    pub fn signed(&self, way: &Value, bend: impl FnOnce(&mut Authorization)) -> Signed {
        let amount = way["amount"].as_str().or(way["maxAmountRequired"].as_str()).unwrap();
        let mut authorization = Authorization {
            from: self.me(),
            to: way["payTo"].as_str().unwrap().parse().unwrap(),
            value: amount.parse().unwrap(),
            valid_after: 0,
            valid_before: NOW_S + 120,
            nonce: fresh_nonce(),
        };
        bend(&mut authorization);
        self.sign(authorization)
    }

    pub fn sign(&self, authorization: Authorization) -> Signed {
        authorization.sign(&self.token(), &self.key)
    }

    pub fn sign_for(&self, token: &Token, authorization: Authorization) -> Signed {
        authorization.sign(token, &self.key)
    }

    /// Asks for a challenge and makes the header that pays it.
    pub async fn header(&self, path: &str) -> String {
        self.header_with(path, |_| {}).await
    }

    pub async fn header_with(&self, path: &str, bend: impl FnOnce(&mut Authorization)) -> String {
        let challenge = self.post(path, &[]).await.challenge();
        let signed = self.signed(challenge["accepts"].as_array().unwrap().last().unwrap(), bend);
        encoded(&v2(&challenge, &signed))
    }

    pub async fn pay(&self, path: &str, header: &str) -> Answer {
        self.post(path, &[("payment-signature", header)]).await
    }

    /// Sends a payment and expects that no answer comes.
    pub async fn pay_in_vain(&self, path: &str, header: &str) {
        let sent = self.send(path, body(), &[("payment-signature", header)]).await;
        assert!(sent.is_err(), "{sent:?}");
    }

    /// Buys once, in two requests.
    pub async fn buy(&self, path: &str) -> Answer {
        let header = self.header(path).await;
        self.pay(path, &header).await
    }
}

/// A body that every endpoint takes.
pub fn body() -> Value {
    json!({
        "text": "I love this, thank you", "image_url": "https://images.example/1.png", "code": "fn main() {}",
        "prompt": "a shop", "url": "https://example.com", "audio_url": "https://audio.example/1.mp3",
    })
}

/// Another one each time; what is in it does not matter.
pub fn fresh_nonce() -> [u8; 32] {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(1);
    keccak256(&NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes())
}
