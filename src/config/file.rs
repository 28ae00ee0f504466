//! The shape of `config.toml`; its schema is `schemas/config.schema.json`.

use std::{collections::BTreeMap, path::PathBuf};

use serde::Deserialize;

use super::FreeTier;

/// The config file's shape; its schema is `schemas/config.schema.json`.
#[derive(Debug, Default, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ConfigFile {
    /// Limits, in decimal text.
    pub(super) limits: LimitsSection,
    /// When a person is asked.
    pub(super) approval: ApprovalSection,
    /// Which sellers, and whether free tiers are used.
    pub(super) sellers: SellersSection,
    /// Where Bursar may connect.
    pub(super) http: HttpSection,
    /// The wallet.
    pub(super) wallet: WalletSection,
    /// The wallet for stablecoins on EVM chains.
    pub(super) evm: EvmSection,
    /// Deadlines in seconds.
    pub(super) waits: WaitsSection,
    /// Where paid APIs are listed.
    pub(super) catalog: CatalogSection,
}

#[derive(Debug, Default, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct LimitsSection {
    /// What no tool can go beyond: only the operator writes these.
    pub(super) ceiling: BTreeMap<String, LimitsRow>,
    /// What a new session starts with; `set_budget` moves inside the ceiling.
    pub(super) default: BTreeMap<String, LimitsRow>,
}

#[derive(Clone, Debug, Default, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct LimitsRow {
    pub(super) purchase: Option<String>,
    pub(super) session: Option<String>,
    pub(super) day: Option<String>,
    pub(super) host: Option<String>,
    pub(super) total: Option<String>,
}

#[derive(Debug, Default, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ApprovalSection {
    /// Purchases above these prices wait for a person, such as `{ sat = "500" }`.
    pub(super) above: BTreeMap<String, String>,
}

#[derive(Debug, Default, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct SellersSection {
    /// Only these hosts may be paid. Empty means any.
    pub(super) allow: Vec<String>,
    /// These hosts are never paid.
    pub(super) deny: Vec<String>,
    /// Which currency is spent first where a seller takes several, such as `["usd", "sat"]`; `sat` first unless told.
    pub(super) currencies: Vec<String>,
    /// Whether a price that was paid in the last ten minutes is paid again without asking first, in one round trip (true
    /// unless told; only with USDC, and only where a chain can be asked).
    pub(super) known_prices: Option<bool>,
    /// `prefer` tries a free tier that a seller names before paying, `never` does not.
    #[schemars(with = "Option<String>")]
    pub(super) free: FreeTier,
}

#[derive(Debug, Default, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct HttpSection {
    /// Admits any port on loopback, over plain http too.
    pub(super) allow_loopback: bool,
    /// More ports than 443, 80, 8080 and 8443.
    pub(super) extra_ports: Vec<u16>,
    /// A PEM file of further certificate authorities.
    pub(super) extra_roots: Option<PathBuf>,
    /// More request headers that a model may set.
    pub(super) allow_headers: Vec<String>,
}

#[derive(Debug, Default, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct WalletSection {
    /// A file (mode 0600) that holds the NWC connection string.
    pub(super) nwc_file: Option<PathBuf>,
    /// The longest life of an invoice that is accepted, in seconds (86400, a day, unless told: what LND gives its invoices).
    pub(super) max_invoice_life: Option<u64>,
}

#[derive(Debug, Default, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct EvmSection {
    /// A file (mode 0600) that holds the private key: 64 hex digits, or a V3 keystore.
    pub(super) key_file: Option<PathBuf>,
    /// The chains that may be paid on, by name (`base`) or CAIP-2 name (`eip155:8453`). None written means Base alone.
    pub(super) chains: BTreeMap<String, ChainSection>,
    /// Whether prices may be paid through Permit2, which needs an allowance that its owner gave it on the chain (false
    /// unless told). Bursar never signs an allowance.
    pub(super) permit2: bool,
    /// Whether a seller on Tempo that asks for no money, only for a proof of whose account asks, is given one (true unless
    /// told).
    pub(super) proofs: Option<bool>,
    /// Tokens that may be paid with beside the built-in USDC.
    pub(super) assets: Vec<AssetRow>,
}

#[derive(Debug, Default, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ChainSection {
    /// Addresses of JSON-RPC nodes of this chain, tried in this order. May be empty.
    pub(super) rpc: Vec<String>,
}

#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AssetRow {
    /// The chain, as under `evm.chains`.
    pub(super) chain: String,
    /// The contract: 0x and 40 hex digits.
    pub(super) address: String,
    /// The name in its EIP-712 domain (not its symbol).
    pub(super) name: String,
    /// The version in its EIP-712 domain.
    pub(super) version: String,
    /// Its decimals, which must be its currency's own.
    pub(super) decimals: u32,
    /// What one of it is worth: `usd` or `eurc`.
    pub(super) currency: String,
}

#[derive(Debug, Default, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct WaitsSection {
    /// Seconds before `fetch_paid` answers `pending` (at most 45).
    pub(super) answer: Option<f64>,
    /// Seconds to wait for the wallet's reply to a payment.
    pub(super) wallet: Option<f64>,
    /// Seconds a question stands that a person is asked through the host (at most 300).
    pub(super) person: Option<f64>,
    /// Seconds to wait for open payments at exit (at most 10).
    pub(super) exit: Option<f64>,
    /// Seconds that "no such payment" must last before it is believed (at least 60 in the main world).
    pub(super) absent: Option<f64>,
    /// Seconds after the liability ended during which a "no" is still doubted (at least 120 in the main world).
    pub(super) grace: Option<f64>,
}

#[derive(Debug, Default, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct CatalogSection {
    /// Addresses of catalogues by name, for `bursar catalog refresh`: `402index`, `cdp`, `bazaar` and `mpp` are built in,
    /// an empty address turns one off, and any other name is an x402 facilitator that lists what it settles.
    pub(super) sources: BTreeMap<String, String>,
}
