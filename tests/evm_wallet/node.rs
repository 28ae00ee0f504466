//! A chain's node as a test wants it, honest or hostile, and a wallet that asks it.

use std::sync::{Arc, Mutex};

use bursar::{
    clock::Clock,
    config::{Config, EvmKey, KeyFrom, LimitTable},
    evm::{
        Address,
        assets::Token,
        eip3009::{Signed, Transfer},
    },
    http::Client,
    ledger::{Begun, Committed, Idempotency, Intent, Ledger, NewPurchase, PurchaseId},
    money::{Amount, Currency},
    protocol::Rail,
    secret::Secret,
    wallet::{Bill, Prepared, Wallet, evm_from_config},
};
use serde_json::{Value, json};

use crate::support::{Gate, Reply, Seller};

/// The key of a well-known test account.
pub const KEY: &str = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";
pub const ACCOUNT: &str = "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266";
pub const SEPOLIA: u64 = 84532;
pub const NOW: u64 = 1_795_255_200;
pub const TRANSACTION: &str = "0xebb6bbe0c476345a3ed4abfdc37f27d730316b9453d572b0ffce3f96740a8a46";

/// What a node answers with instead of the truth.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Odd {
    #[default]
    Nothing,
    Html,
    Silence,
    Endless,
    Huge,
    OtherId,
    HangUp,
    NoWord,
    Status(u16),
    Error(String),
    Redirect(String),
}

/// What a node knows.
#[derive(Clone, Debug)]
pub struct Known {
    pub chain: u64,
    pub number: u64,
    pub time_s: u64,
    /// Whether it calls every nonce used.
    pub used: bool,
    /// The block of the event, if it can be found.
    pub event_at: Option<u64>,
    /// How much the event says was moved.
    pub moved: u64,
    /// How many blocks it searches at most.
    pub range: u64,
    pub balance: Value,
    pub code: &'static str,
    /// Its oddity, and for which method (all where it is empty).
    pub odd: (&'static str, Odd),
}

impl Default for Known {
    fn default() -> Known {
        let balance = json!(format!("0x{:064x}", 2_500_000));
        Known {
            chain: SEPOLIA,
            number: 10_000,
            time_s: NOW,
            used: false,
            event_at: None,
            moved: 10_000,
            range: 500,
            balance,
            code: "0x",
            odd: Default::default(),
        }
    }
}

/// A running node.
pub struct Node {
    pub seller: Seller,
    known: Arc<Mutex<Known>>,
}

impl Node {
    pub async fn start(known: Known) -> Node {
        let known = Arc::new(Mutex::new(known));
        let shared = known.clone();
        let never = Gate::closed();
        let seller = Seller::start(move |hit| answer(&shared.lock().unwrap(), &hit.body, &never)).await;
        Node { seller, known }
    }

    pub async fn odd(odd: Odd) -> Node {
        Node::start(Known { odd: ("", odd), ..Known::default() }).await
    }

    /// Changes what it knows.
    pub fn set(&self, change: impl FnOnce(&mut Known)) {
        change(&mut self.known.lock().unwrap());
    }

    /// Its address, with what must never be shown.
    pub fn url(&self) -> String {
        self.seller.url("/v2/CANARYPATH?key=CANARYQUERY")
    }

    /// How often it was asked for a method.
    pub fn asked(&self, method: &str) -> usize {
        let method = format!("\"method\":\"{method}\"");
        self.seller.hits().iter().filter(|hit| String::from_utf8_lossy(&hit.body).contains(&method)).count()
    }
}

fn answer(known: &Known, body: &[u8], never: &Gate) -> Reply {
    let ask: Value = serde_json::from_slice(body).expect("JSON-RPC");
    let method = ask["method"].as_str().unwrap();
    let mut id = ask["id"].clone();
    if known.odd.0.is_empty() || known.odd.0 == method {
        match &known.odd.1 {
            Odd::Nothing | Odd::NoWord => {}
            Odd::Html => return Reply::status(200, "<html>Please log in</html>").header("content-type", "text/html"),
            Odd::Silence => return Reply::ok("{}").behind(never),
            Odd::Endless => return Reply { endless: true, ..Reply::ok("{\"result\":\"0x") },
            Odd::Huge => return Reply::ok(json!({ "id": id, "result": "0".repeat(1 << 20) }).to_string()),
            Odd::OtherId => id = json!(999_999),
            Odd::HangUp => return Reply { hang_up: true, ..Reply::default() },
            Odd::Status(status) => return Reply::status(*status, "no"),
            Odd::Error(message) => {
                let error = json!({ "code": -32000, "message": message, "data": "CANARYDATA" });
                return Reply::ok(json!({ "jsonrpc": "2.0", "id": id, "error": error }).to_string());
            }
            Odd::Redirect(to) => return Reply::status(307, "").header("location", to),
        }
        if known.odd.1 == Odd::NoWord {
            return Reply::ok(json!({ "jsonrpc": "2.0", "id": id, "result": "0x" }).to_string());
        }
    }
    let number = |value: &Value| u64::from_str_radix(value.as_str().unwrap().trim_start_matches("0x"), 16).unwrap();
    let result = match method {
        "eth_chainId" => json!(format!("{:#x}", known.chain)),
        // A block every half second, so that two of them have the same time.
        "eth_getBlockByNumber" => {
            let asked = if ask["params"][0] == "latest" { known.number } else { number(&ask["params"][0]) };
            let time_s = known.time_s - (known.number - asked) / 2;
            json!({ "number": format!("{asked:#x}"), "timestamp": format!("{time_s:#x}") })
        }
        "eth_getCode" => json!(known.code),
        "eth_call" => match &ask["params"][0]["data"].as_str().unwrap()[..10] {
            "0xe94a0102" => json!(format!("0x{:064x}", u8::from(known.used))),
            "0x70a08231" => known.balance.clone(),
            other => panic!("an unknown function: {other}"),
        },
        "eth_getLogs" => {
            let filter = &ask["params"][0];
            let (from, to) = (number(&filter["fromBlock"]), number(&filter["toBlock"]));
            if to - from >= known.range {
                let error = json!({ "code": -32005, "message": "range too large" });
                return Reply::ok(json!({ "jsonrpc": "2.0", "id": id, "error": error }).to_string());
            }
            let found = known.event_at.filter(|at| (from..=to).contains(at));
            let log = found.map(|at| {
                json!({
                    "address": filter["address"].as_str().unwrap().to_lowercase(), "topics": filter["topics"],
                    "blockNumber": format!("{at:#x}"), "transactionHash": TRANSACTION, "removed": false,
                    "data": format!("0x{:064x}", known.moved),
                })
            });
            // A log that nobody asked for comes first.
            let stranger = json!({
                "address": filter["address"], "topics": [filter["topics"][0], filter["topics"][1], filter["topics"][1]],
                "transactionHash": format!("0x{}", "66".repeat(32)), "removed": false,
            });
            json!([Some(stranger), log].into_iter().flatten().collect::<Vec<_>>())
        }
        other => panic!("an unknown method: {other}"),
    };
    Reply::ok(json!({ "jsonrpc": "2.0", "id": id, "result": result }).to_string())
}

/// A configuration of Base Sepolia with these nodes.
pub fn config(home: &std::path::Path, nodes: &[&str]) -> Config {
    config_of(home, &format!("[evm.chains.base-sepolia]\nrpc = {nodes:?}\n"))
}

pub fn config_of(home: &std::path::Path, text: &str) -> Config {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(home, std::fs::Permissions::from_mode(0o700)).unwrap();
    std::fs::write(home.join("config.toml"), text).unwrap();
    std::fs::set_permissions(home.join("config.toml"), std::fs::Permissions::from_mode(0o600)).unwrap();
    let mut config = Config::without_wallet(home.to_owned()).unwrap();
    config.evm.key = Some(EvmKey { from: KeyFrom::Environment, text: Secret::new(KEY) });
    config
}

/// A wallet, its clock and its home.
pub struct Purse {
    pub wallet: Arc<dyn Wallet>,
    pub clock: Clock,
    pub home: tempfile::TempDir,
}

pub fn purse(nodes: &[&str]) -> Purse {
    purse_with("", nodes)
}

/// The same, with this under `[evm]`.
pub fn purse_with(evm: &str, nodes: &[&str]) -> Purse {
    let home = tempfile::tempdir().unwrap();
    let config = config_of(home.path(), &format!("[evm]\n{evm}\n[evm.chains.base-sepolia]\nrpc = {nodes:?}\n"));
    let clock = Clock::manual(NOW * 1000);
    let client = Client::new(config.http.clone());
    let wallet = evm_from_config(&config, clock.clone(), client).unwrap().unwrap();
    Purse { wallet, clock, home }
}

pub fn token() -> Token {
    bursar::evm::assets::Assets::default()
        .find(SEPOLIA, &"0x036CbD53842c5426634e7929541eC2318f3dCF7e".parse().unwrap())
        .unwrap()
        .0
}

pub fn transfer() -> Transfer {
    Transfer { token: token(), to: Address([0x15; 20]), value: 10_000, max_life_s: 300, nonce: None }
}

pub fn bill_of(transfer: Transfer) -> Bill {
    Bill::Eip3009 { transfer, valid_before: NOW + 120, seed: b"local/purchase 1".to_vec() }
}

pub fn bill() -> Bill {
    bill_of(transfer())
}

pub fn signed(prepared: &Prepared) -> Signed {
    serde_json::from_slice(&prepared.wire).unwrap()
}

impl Purse {
    /// Signs a bill and commits it, as a purchase does.
    pub async fn committed(&self) -> Committed<Intent> {
        let wire = self.wallet.prepare(&bill()).await.unwrap().wire;
        self.commit(wire, self.wallet.rail_key(&bill()).unwrap()).await
    }

    pub async fn commit(&self, wire: Vec<u8>, rail_key: String) -> Committed<Intent> {
        self.commit_on(Rail::EIP3009, wire, rail_key).await
    }

    pub async fn commit_on(&self, rail: Rail, wire: Vec<u8>, rail_key: String) -> Committed<Intent> {
        let ledger = Ledger::open(self.home.path(), LimitTable::default(), self.clock.clone()).unwrap();
        let id = PurchaseId::random();
        let new = NewPurchase {
            id,
            principal: "local".into(),
            session_key: String::new(),
            idem: Idempotency { key: format!("a:{id}"), explicit: false, request_hash: id.to_string() },
            seen: None,
            method: "GET".into(),
            origin: "https://api.example".into(),
            host: "api.example".into(),
            path: "/".into(),
            request: Vec::new(),
            purpose: String::new(),
            max_price: None,
            chosen_why: String::new(),
            wallet_id: self.wallet.id(),
            world: "test".into(),
        };
        let intent = Intent {
            purchase: id,
            n: 0,
            protocol: "x402".into(),
            rail: rail.to_string(),
            network: format!("eip155:{SEPOLIA}"),
            asset: "usdc".into(),
            payee: transfer().to.to_string(),
            rail_key,
            wallet: "evm".into(),
            price: Amount::new(Currency::Usd, 10_000).unwrap(),
            fee_cap: Amount::zero(Currency::Usd),
            liability_until: NOW + 120,
            resend_until: NOW + 120,
            pin: Vec::new(),
            wire,
        };
        match ledger.begin(new, intent, false).await.unwrap() {
            Begun::Committed(intent) => *intent,
            other => panic!("not committed: {other:?}"),
        }
    }
}
