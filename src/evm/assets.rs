//! The chains and tokens that Bursar knows by heart. A token that stands here, or that the operator added, can be paid;
//! any other is refused, since nobody here knows what one unit of it is worth.

use serde::{Deserialize, Serialize};

use super::{Address, keccak256, word};
use crate::money::Currency;

/// A chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chain {
    /// Its EIP-155 number.
    pub id: u64,
    /// Its name in x402 version 1 and in the config file, such as `base`.
    pub name: &'static str,
    /// Whether its money is worth nothing.
    pub test: bool,
}

impl Chain {
    /// Its name in CAIP-2, such as `eip155:8453`.
    pub fn caip2(&self) -> String {
        format!("eip155:{}", self.id)
    }
}

/// The chains we know.
pub const CHAINS: [Chain; 12] = [
    Chain { id: 8453, name: "base", test: false },
    Chain { id: 84532, name: "base-sepolia", test: true },
    Chain { id: 1, name: "ethereum", test: false },
    Chain { id: 137, name: "polygon", test: false },
    Chain { id: 80002, name: "polygon-amoy", test: true },
    Chain { id: 43114, name: "avalanche", test: false },
    Chain { id: 43113, name: "avalanche-fuji", test: true },
    Chain { id: 42161, name: "arbitrum", test: false },
    Chain { id: 143, name: "monad", test: false },
    Chain { id: 42220, name: "celo", test: false },
    Chain { id: 1329, name: "sei", test: false },
    Chain { id: 10, name: "optimism", test: false },
];

/// Finds a chain by its number.
pub fn chain(id: u64) -> Option<&'static Chain> {
    CHAINS.iter().find(|c| c.id == id)
}

/// Finds a chain by its own name (`base`) or by its CAIP-2 name (`eip155:8453`).
pub fn chain_named(name: &str) -> Option<&'static Chain> {
    // Compared as text: a parsed number would take `+8453` and `08453` for the same chain, and other readers do not.
    CHAINS.iter().find(|c| c.name == name || c.caip2() == name)
}

/// A token with EIP-3009 whose smallest unit is the smallest unit of a currency of ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// The chain's number.
    pub chain_id: u64,
    /// Its contract.
    pub address: Address,
    /// Its EIP-712 domain's name. Not its symbol: USDC is "USD Coin" on some chains.
    pub name: String,
    /// Its EIP-712 domain's version.
    pub version: String,
}

impl Token {
    /// The EIP-712 domain separator: what every signature for this token is bound to.
    pub fn separator(&self) -> [u8; 32] {
        domain_separator(&self.name, &self.version, self.chain_id, &self.address)
    }
}

/// The EIP-712 domain separator of `{name, version, chainId, verifyingContract}`.
pub fn domain_separator(name: &str, version: &str, chain_id: u64, contract: &Address) -> [u8; 32] {
    let typehash = keccak256(b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
    let words = [typehash, keccak256(name.as_bytes()), keccak256(version.as_bytes()), word(chain_id), contract.word()];
    keccak256(&words.concat())
}

/// The tokens that can be paid: the pinned ones and the operator's own.
#[derive(Clone, Debug, Default)]
pub struct Assets {
    added: Vec<(Token, Currency)>,
    permit2: bool,
}

impl Assets {
    /// The pinned tokens and these. Whoever adds one vouches that its decimals are the currency's own.
    pub fn with(added: Vec<(Token, Currency)>) -> Assets {
        Assets { added, permit2: false }
    }

    /// The same tokens, paid through Permit2 too if the operator says so. Whoever turns it on gave the allowances.
    pub fn through_permit2(self, permit2: bool) -> Assets {
        Assets { permit2, ..self }
    }

    /// Whether the operator turned Permit2 on.
    pub fn permit2(&self) -> bool {
        self.permit2
    }

    /// Finds a token by chain and contract.
    pub fn find(&self, chain_id: u64, address: &Address) -> Option<(Token, Currency)> {
        let added = self.added.iter().find(|(t, _)| t.chain_id == chain_id && t.address == *address);
        added.cloned().or_else(|| {
            let row = PINNED.iter().find(|row| row.0 == chain_id && row.1.parse() == Ok(*address))?;
            Some((pinned(row)?, Currency::Usd))
        })
    }

    /// Every token of a chain.
    pub fn of_chain(&self, chain_id: u64) -> Vec<(Token, Currency)> {
        let pinned =
            PINNED.iter().filter(|row| row.0 == chain_id).filter_map(|row| Some((pinned(row)?, Currency::Usd)));
        pinned.chain(self.added.iter().filter(|(t, _)| t.chain_id == chain_id).cloned()).collect()
    }
}

fn pinned(row: &(u64, &str, &str)) -> Option<Token> {
    Some(Token { chain_id: row.0, address: row.1.parse().ok()?, name: row.2.into(), version: "2".into() })
}

/// USDC, version 2, six decimals: chain, contract, EIP-712 name. Circle's own deployments.
const PINNED: [(u64, &str, &str); 12] = [
    (8453, "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913", "USD Coin"),
    (84532, "0x036CbD53842c5426634e7929541eC2318f3dCF7e", "USDC"),
    (1, "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48", "USD Coin"),
    (137, "0x3c499c542cEF5E3811e1192ce70d8cC03d5c3359", "USD Coin"),
    (80002, "0x41E94Eb019C0762f9Bfcf9Fb1E58725BfB0e7582", "USDC"),
    (43114, "0xB97EF9Ef8734C71904D8002F8b6Bc66Dd9c48a6E", "USD Coin"),
    (43113, "0x5425890298aed601595a70AB815c96711a31Bc65", "USD Coin"),
    (42161, "0xaf88d065e77c8cC2239327C5EDb3A432268e5831", "USD Coin"),
    (143, "0x754704Bc059F8C67012fEd69BC8A327a5aafb603", "USDC"),
    (42220, "0xcebA9300f2b948710d2653dD7B07f33A8B32118C", "USDC"),
    (1329, "0xe15fC38F6D8c56aF07bbCBe3BAf5708A2Bf42392", "USDC"),
    (10, "0x0b2c639c533813f4aa9d7837caf62653d097ff85", "USD Coin"),
];
