//! `[evm]`: the key of the wallet for stablecoins, the chains it pays on and the tokens it pays with.

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

use url::Url;

use super::{
    ConfigError,
    file::{AssetRow, EvmSection},
    read_secret, refuse_open,
};
use crate::{
    evm::{
        assets::{Assets, CHAINS, Chain, Token, chain, chain_named},
        tempo,
    },
    http::{Policy, Settings, shown, vet_url},
    money::Currency,
    secret::Secret,
};

/// The chain that is paid on where none is written: Base, where nearly all sellers are.
const DEFAULT_CHAIN: u64 = 8453;

/// The longest name or version of a token's domain.
const LONGEST_NAME: usize = 64;

/// What the operator decided about stablecoins.
#[derive(Clone, Debug)]
pub struct EvmConfig {
    /// The key as it was found, still unread: nothing was decrypted or asked for. `None` where there is none.
    pub key: Option<EvmKey>,
    /// Where a key is looked for.
    pub key_file: PathBuf,
    /// A keystore's passphrase, where a person typed it.
    pub passphrase: Option<Secret>,
    /// The file (mode 0600) with a keystore's passphrase, as `BURSAR_EVM_PASSPHRASE_FILE` names it.
    pub passphrase_file: Option<PathBuf>,
    /// The chains that may be paid on, never empty, all of one world.
    pub chains: Vec<EvmChain>,
    /// The tokens that may be paid with: the pinned ones and the operator's own.
    pub assets: Assets,
    /// Whether a seller that asks for no money may be shown whose account this is.
    pub proofs: bool,
}

/// A chain that may be paid on.
#[derive(Clone)]
pub struct EvmChain {
    /// Which.
    pub chain: Chain,
    /// Its nodes, tried in this order. Their addresses may hold API keys.
    pub rpc: Vec<Url>,
}

impl fmt::Debug for EvmChain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rpc: Vec<String> = self.rpc.iter().map(|url| shown(Policy::Operator, url)).collect();
        f.debug_struct("EvmChain").field("chain", &self.chain.name).field("rpc", &rpc).finish()
    }
}

/// A key as it was found: 64 hex digits, a V3 keystore's JSON, or the word that says where else it is.
#[derive(Clone, Debug)]
pub struct EvmKey {
    /// Where it was found.
    pub from: KeyFrom,
    /// What stands there.
    pub text: Secret,
}

/// Where a key was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyFrom {
    /// The variable `BURSAR_EVM_KEY`.
    Environment,
    /// A file.
    File(PathBuf),
}

impl fmt::Display for KeyFrom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeyFrom::Environment => f.write_str("BURSAR_EVM_KEY"),
            KeyFrom::File(path) => write!(f, "{}", path.display()),
        }
    }
}

impl EvmConfig {
    /// Reads the section. Touches no key.
    pub(super) fn read(home: &Path, section: &EvmSection) -> Result<EvmConfig, String> {
        if section.key_file.as_deref().is_some_and(looks_like_key) {
            return Err("evm.key_file is the name of a file, and a private key stands there. Take it out, and run \
                        `bursar wallet add evm --import`"
                .into());
        }
        let chains = chains(section)?;
        let assets = assets(&section.assets, chains.iter().any(|c| c.chain.test))?.through_permit2(section.permit2);
        let passphrase_file = std::env::var_os("BURSAR_EVM_PASSPHRASE_FILE").filter(|f| !f.is_empty());
        Ok(EvmConfig {
            key: None,
            key_file: section.key_file.clone().unwrap_or_else(|| home.join("evm.key")),
            passphrase: None,
            passphrase_file: passphrase_file.map(PathBuf::from),
            chains,
            assets,
            proofs: section.proofs.unwrap_or(true),
        })
    }

    /// The keys there are, or why one cannot be read. The first is the one that counts.
    pub fn keys(&self) -> Vec<Result<EvmKey, ConfigError>> {
        let mut found = Vec::new();
        if let Some(text) = std::env::var("BURSAR_EVM_KEY").ok().filter(|text| !text.trim().is_empty()) {
            found.push(Ok(EvmKey { from: KeyFrom::Environment, text: Secret::new(text.trim()) }));
        }
        if let Some(read) = read_secret(&self.key_file).transpose() {
            found.push(read.map(|text| EvmKey { from: KeyFrom::File(self.key_file.clone()), text }));
        }
        found
    }

    /// The passphrase that a person typed, else the one in the file that `BURSAR_EVM_PASSPHRASE_FILE` names. `None`
    /// where neither is there.
    ///
    /// # Errors
    /// The file cannot be read, or others can read it.
    pub fn read_passphrase(&self) -> Result<Option<Secret>, ConfigError> {
        if self.passphrase.is_some() {
            return Ok(self.passphrase.clone());
        }
        let Some(path) = &self.passphrase_file else { return Ok(None) };
        let read = |source: io::Error| ConfigError::Read { path: path.clone(), source };
        let text = zeroize::Zeroizing::new(std::fs::read_to_string(path).map_err(read)?);
        refuse_open(path, 0o077, "read", "600")?;
        Ok(Some(Secret::new(text.trim_end_matches(['\r', '\n']))))
    }

    /// Whether the chains are test chains, whose money is worth nothing.
    pub fn is_test(&self) -> bool {
        self.chains.iter().any(|c| c.chain.test)
    }
}

/// Whether somebody wrote a key where a file's name belongs.
fn looks_like_key(path: &Path) -> bool {
    let text = path.to_string_lossy();
    let digits = text.trim_start_matches("0x");
    digits.len() == 64 && digits.bytes().all(|b| b.is_ascii_hexdigit())
}

fn chains(section: &EvmSection) -> Result<Vec<EvmChain>, String> {
    let mut found: Vec<EvmChain> = Vec::new();
    for (name, chain) in &section.chains {
        let known = *payable(name)?;
        if found.iter().any(|c| c.chain.id == known.id) {
            return Err(format!("evm.chains: {} is there twice, under two names", known.name));
        }
        let rpc = chain.rpc.iter().map(|text| {
            // The error names the scheme and the host at most: the rest may hold an API key.
            vet_url(Policy::Operator, &Settings::default(), text)
                .ok()
                .filter(|url| matches!(url.scheme(), "http" | "https"))
                .ok_or_else(|| {
                    format!(
                        "evm.chains.{}.rpc: each must be an https:// address (http:// for this machine only) without \
                         a user name",
                        known.name
                    )
                })
        });
        found.push(EvmChain { chain: known, rpc: rpc.collect::<Result<_, _>>()? });
    }
    if found.is_empty() {
        found.extend(chain(DEFAULT_CHAIN).map(|base| EvmChain { chain: *base, rpc: Vec::new() }));
    }
    let of = |test: bool| found.iter().find(|c| c.chain.test == test).map(|c| c.chain.name);
    if let (Some(test), Some(main)) = (of(true), of(false)) {
        return Err(format!(
            "evm.chains: {main} is a main chain and {test} a test chain, and a ledger holds one world: keep the other \
             in a home of its own (BURSAR_HOME)"
        ));
    }
    Ok(found)
}

/// A chain that can be paid on: one with EIP-3009, or one of Tempo's.
fn payable(name: &str) -> Result<&'static Chain, String> {
    let tempo = tempo::CHAINS.iter().find(|c| c.name == name || c.caip2() == name);
    tempo.or_else(|| chain_named(name)).ok_or_else(|| unknown(name, "evm.chains", CHAINS.iter().chain(&tempo::CHAINS)))
}

/// A long name that is none is not shown: what reads this config drops long words, and half of a key would be shorter.
fn known(name: &str, place: &str) -> Result<&'static Chain, String> {
    chain_named(name).ok_or_else(|| unknown(name, place, CHAINS.iter()))
}

fn unknown(name: &str, place: &str, known: impl Iterator<Item = &'static Chain>) -> String {
    let names: Vec<_> = known.map(|c| c.name).collect();
    format!("{place}: {:?} is not a chain that Bursar knows: {}", name, names.join(", "))
}

fn assets(rows: &[AssetRow], test: bool) -> Result<Assets, String> {
    let mut added: Vec<(Token, Currency)> = Vec::new();
    for row in rows {
        let chain = known(&row.chain, "evm.assets")?;
        let at = format!("evm.assets on {}", chain.name);
        if chain.test != test {
            return Err(format!(
                "{at}: the chains of [evm.chains] are of the other world, and a ledger holds one (without [evm.chains] \
                 it is base, a main chain)"
            ));
        }
        let address = row.address.parse().map_err(|e| format!("{at}: {e}"))?;
        let currency = Currency::from_code(&row.currency)
            .filter(|c| *c != Currency::Sat)
            .ok_or_else(|| format!("{at}: a token counts as usd or eurc, not {:?}", row.currency))?;
        if row.decimals != currency.decimals() {
            return Err(format!(
                "{at}: a token of {} decimals cannot be paid with: Bursar converts nothing, and {currency} has {}",
                row.decimals,
                currency.decimals()
            ));
        }
        let odd = |text: &str| text.is_empty() || text.len() > LONGEST_NAME || text.chars().any(char::is_control);
        if odd(&row.name) || odd(&row.version) {
            return Err(format!(
                "{at}: name and version are those of the token's EIP-712 domain, and neither is empty or longer than \
                 {LONGEST_NAME} bytes"
            ));
        }
        // Also the pinned ones: what Bursar knows by heart is not for a config file to change.
        if Assets::with(added.clone()).find(chain.id, &address).is_some() {
            return Err(format!("{at}: {address} is known already"));
        }
        let (name, version) = (row.name.clone(), row.version.clone());
        added.push((Token { chain_id: chain.id, address, name, version }, currency));
    }
    Ok(Assets::with(added))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<EvmConfig, String> {
        let section: EvmSection = toml::from_str(text).map_err(|e| e.message().to_owned())?;
        EvmConfig::read(Path::new("/nowhere"), &section)
    }

    fn asset(chain: &str, address: &str, decimals: u32, currency: &str) -> String {
        format!(
            "[[assets]]\nchain = \"{chain}\"\naddress = \"{address}\"\nname = \"T\"\nversion = \"1\"\n\
             decimals = {decimals}\ncurrency = \"{currency}\"\n"
        )
    }

    const TOKEN: &str = "0x00000000000000000000000000000000000000aa";

    #[test]
    fn no_chain_written_means_base_alone_without_a_node() {
        let config = read("").unwrap();
        let chains: Vec<_> = config.chains.iter().map(|c| (c.chain.name, c.rpc.len())).collect();
        assert_eq!(chains, [("base", 0)]);
        assert!(!config.is_test() && config.key.is_none() && config.key_file.ends_with("evm.key"));
    }

    #[test]
    fn permit2_is_off_until_the_operator_turns_it_on() {
        let on = |text: &str| read(text).unwrap().assets.permit2();
        assert_eq!([on(""), on("permit2 = false"), on("permit2 = true")], [false, false, true]);
        assert!(read("permit2 = \"yes\"").is_err());
    }

    #[test]
    fn chains_are_known_by_either_name_and_hold_one_world() {
        let config =
            read("[chains.\"eip155:84532\"]\nrpc = [\"http://127.0.0.1:8545\", \"https://n.example/KEY\"]").unwrap();
        assert_eq!(config.chains[0].chain.name, "base-sepolia");
        assert!(config.is_test() && config.chains[0].rpc.len() == 2);
        for (text, said) in [
            ("[chains.base]\n[chains.base-sepolia]", "a ledger holds one world"),
            ("[chains.base]\n[chains.tempo-moderato]", "a ledger holds one world"),
            ("[chains.tempo]\n[chains.\"eip155:4217\"]", "twice"),
            ("[chains.base]\n[chains.\"eip155:8453\"]", "twice"),
            ("[chains.basse]", "\"basse\" is not a chain that Bursar knows"),
            ("[chains.\"eip155:5\"]", "is not a chain"),
            ("[chains.base]\nrpc = [\"http://n.example/KEY\"]", "https://"),
            ("[chains.base]\nrpc = [\"wss://n.example/KEY\"]", "https://"),
            ("[chains.base]\nrpc = [\"https://user:KEY@n.example\"]", "https://"),
            ("[chains.base]\nrpcs = []", "unknown field"),
        ] {
            let e = read(text).expect_err(text);
            assert!(e.contains(said) && !e.contains("KEY"), "{text}: {e}");
        }
    }

    #[test]
    fn a_token_whose_unit_is_not_the_currencys_is_refused_with_its_reason() {
        let chain = "[chains.base-sepolia]\n";
        assert!(read(&format!("{chain}{}", asset("base-sepolia", TOKEN, 6, "usd"))).is_ok());
        for (text, said) in [
            (asset("base-sepolia", TOKEN, 18, "usd"), "converts nothing, and usd has 6"),
            (asset("base-sepolia", TOKEN, 3, "sat"), "usd or eurc"),
            (asset("base-sepolia", TOKEN, 6, "gbp"), "usd or eurc"),
            (asset("tempo-moderato", TOKEN, 6, "usd"), "is not a chain that Bursar knows"),
            (asset("base", TOKEN, 6, "usd"), "one"),
            (asset("base-sepolia", "0x00", 6, "usd"), "40 hex digits"),
            (asset("base-sepolia", "0x036CbD53842c5426634e7929541eC2318f3dCF7e", 6, "usd"), "known already"),
            (asset("base-sepolia", TOKEN, 6, "usd").repeat(2), "known already"),
            (asset("base-sepolia", TOKEN, 6, "usd").replace("\"T\"", "\"\""), "EIP-712"),
        ] {
            let e = read(&format!("{chain}{text}")).expect_err(&text);
            assert!(e.contains(said), "{text}: {e}");
        }
    }

    #[test]
    fn a_key_in_the_place_of_its_file_and_an_api_key_in_an_address_are_never_shown() {
        let key = "ab".repeat(32);
        let e = read(&format!("key_file = \"0x{key}\"")).unwrap_err();
        assert!(e.contains("--import") && !e.contains(&key), "{e}");
        let config = read("[chains.base]\nrpc = [\"https://n.example/v2/CANARY?k=CANARY\"]").unwrap();
        let shown = format!("{config:?}");
        assert!(shown.contains("https://n.example") && !shown.contains("CANARY"), "{shown}");
    }
}
