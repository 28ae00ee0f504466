//! `bursar wallet list`: what is set up, without connecting.

use serde::Serialize;

use super::{ledger_if_there, pending_file};
use crate::{
    cli::{
        Done,
        show::{print_json, say},
    },
    config::{Config, ConfigError, EvmConfig, EvmKey},
    http::{Policy, shown},
    ledger::Ledger,
    protocol::World,
    wallet::{
        evm::{Key, claimed_address, id_of, in_keychain, is_keystore},
        nwc::NwcUri,
    },
};

/// One wallet, as far as it is known without asking it.
#[derive(Serialize)]
struct Listed {
    /// Its kind.
    kind: &'static str,
    /// Its public fingerprint.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    /// The relays of an NWC wallet, without what may be secret in their addresses.
    #[serde(skip_serializing_if = "Option::is_none")]
    relays: Option<Vec<String>>,
    /// The chains that an EVM wallet pays on.
    #[serde(skip_serializing_if = "Option::is_none")]
    chains: Option<Vec<&'static str>>,
    /// Where its connection string or key comes from.
    source: String,
    /// Whether it is the one that pays.
    in_use: bool,
    /// Its world, once it was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    world: Option<String>,
    /// Why it is frozen, if it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    frozen: Option<String>,
    /// Why it cannot be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

/// What `wallet list` prints as JSON.
#[derive(Serialize)]
struct Wallets {
    wallets: Vec<Listed>,
    /// Whether a connection was begun that no wallet has answered.
    pending: bool,
}

pub(super) async fn run(json: bool) -> Done {
    let config = Config::without_wallet(crate::config::home()?)?;
    let ledger = ledger_if_there(&config)?;
    let mut wallets = Vec::new();
    for (n, (from, string)) in config.wallet_strings().into_iter().enumerate() {
        let read = string.map_err(|e| e.to_string());
        let read = read.and_then(|string| NwcUri::parse(&string).map_err(|e| e.to_string()));
        wallets.push(listed(from.to_string(), n == 0, read, ledger.as_ref()).await?);
    }
    for (n, key) in config.evm.keys().into_iter().enumerate() {
        wallets.push(listed_evm(&config.evm, key, n == 0, ledger.as_ref()).await?);
    }
    let pending = pending_file(&config).exists();
    if json {
        return print_json(&Wallets { wallets, pending });
    }
    let mut lines: Vec<String> = wallets.iter().map(line).collect();
    if wallets.is_empty() {
        lines.push("No wallet is set up: bursar wallet add nwc, or bursar wallet add evm".into());
    }
    if pending {
        lines.push("A connection was begun and not answered yet: bursar wallet add nwc goes on with it.".into());
    }
    say(&lines.join("\n"))
}

async fn listed(
    source: String,
    in_use: bool,
    read: Result<NwcUri, String>,
    ledger: Option<&Ledger>,
) -> Result<Listed, crate::cli::Failure> {
    let uri = match read {
        Ok(uri) => uri,
        Err(problem) => {
            let (id, world, frozen) = (None, None, None);
            let problem = Some(problem);
            let (relays, chains) = (Some(Vec::new()), None);
            return Ok(Listed { kind: "nwc", id, relays, chains, source, in_use, world, frozen, problem });
        }
    };
    let known = match ledger {
        Some(ledger) => ledger.known_wallet(&uri.id()).await?,
        None => None,
    };
    let (world, frozen) = known.map_or((None, None), |(world, _, frozen)| (Some(world), frozen));
    Ok(Listed {
        kind: "nwc",
        id: Some(uri.id()),
        relays: Some(relays(&uri)),
        chains: None,
        source,
        in_use,
        world: world.filter(|w| !w.is_empty()),
        frozen,
        problem: None,
    })
}

/// The wallet for stablecoins. A keystore is not opened: its address is the one it names.
async fn listed_evm(
    evm: &EvmConfig,
    key: Result<EvmKey, ConfigError>,
    in_use: bool,
    ledger: Option<&Ledger>,
) -> Result<Listed, crate::cli::Failure> {
    let (source, id, mut problem) = match &key {
        Ok(key) => (key.from.to_string(), claimed_address(&key.text).map(|a| id_of(&a)), None),
        Err(e) => (evm.key_file.display().to_string(), None, Some(e.to_string())),
    };
    if let Ok(key) = &key
        && id.is_none()
        && !is_keystore(&key.text)
        && !in_keychain(&key.text)
    {
        problem = Key::read(&key.text).err().map(|e| e.to_string());
    }
    let known = match (ledger, &id) {
        (Some(ledger), Some(id)) => ledger.known_wallet(id).await?,
        _ => None,
    };
    let world = if evm.is_test() { World::Test } else { World::Main };
    Ok(Listed {
        kind: "evm",
        id,
        relays: None,
        chains: Some(evm.chains.iter().map(|c| c.chain.name).collect()),
        source,
        in_use,
        world: Some(world.name().to_owned()),
        frozen: known.and_then(|(_, _, frozen)| frozen),
        problem,
    })
}

/// The relays of a connection, as they may be shown: some carry a token in their path or query.
pub(super) fn relays(uri: &NwcUri) -> Vec<String> {
    uri.relays().iter().map(|relay| shown(Policy::Operator, relay)).collect()
}

fn line(w: &Listed) -> String {
    let id = w.id.as_deref().unwrap_or(w.kind);
    let mut line =
        format!("{id}  from {}{}", w.source, if w.in_use { "" } else { "  (not used: another comes first)" });
    for relay in w.relays.iter().flatten() {
        line.push_str(&format!("\n  relay   {relay}"));
    }
    if let Some(chains) = &w.chains {
        line.push_str(&format!("\n  pays on {}", chains.join(", ")));
    }
    line.push_str(&format!("\n  world   {}", w.world.as_deref().unwrap_or("not asked yet")));
    if let Some(why) = &w.frozen {
        line.push_str(&format!("\n  FROZEN  {why}"));
    }
    if let Some(problem) = &w.problem {
        line.push_str(&format!("\n  problem {problem}"));
    }
    line
}
