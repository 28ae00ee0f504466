//! `bursar doctor`, for the wallet that pays with stablecoins: its key, its nodes, what lies at its address.

use super::Findings;
use crate::{
    cli::wallet::ask_passphrase,
    config::{Config, ConfigError},
    evm::Address,
    http::Client,
    wallet::{
        Place,
        evm::{Key, claimed_address, id_of, is_keystore, look_at},
    },
};

/// Looks at it. Says nothing where there is no key: nobody needs one.
pub(super) async fn look(found: &mut Findings, config: &Config) {
    let mut keys = config.evm.keys().into_iter();
    let key = match keys.next() {
        None => return,
        Some(Ok(key)) => key,
        Some(Err(e)) => {
            let remedy = match &e {
                ConfigError::Open { mode, path, .. } => format!(
                    "chmod {mode} {}; whoever read it can spend: if in doubt, move the money to a new account",
                    path.display()
                ),
                _ => "mend the file, or take it away and run: bursar wallet add evm".to_owned(),
            };
            return found.fail("evm", e.to_string(), remedy);
        }
    };
    let mut config = config.clone();
    config.evm.key = Some(key.clone());
    let (keystore, from) = (is_keystore(&key.text), key.from.clone());
    if keystore && config.evm.passphrase_file.is_none() {
        found.warn(
            "evm",
            format!("{} is a keystore: a server that a host starts cannot ask for its passphrase", key.from),
            "name a file with it (mode 600) in BURSAR_EVM_PASSPHRASE_FILE, in the host's configuration too",
        );
        let _ = ask_passphrase(&mut config).await;
    }
    let closed = keystore && config.evm.passphrase.is_none() && config.evm.passphrase_file.is_none();
    let address = if closed {
        claimed_address(&key.text)
    } else {
        let evm = config.evm.clone();
        let opened = tokio::task::spawn_blocking(move || Key::unlock(&key, &evm)).await;
        match opened {
            Ok(Ok(key)) => Some(key.address()),
            Ok(Err(e)) => {
                let remedy = "mend it; a new account is made by: bursar wallet add evm";
                return found.fail("evm", e.to_string(), remedy);
            }
            Err(_) => None,
        }
    };
    let Some(address) = address else { return };
    found.ok("evm", format!("{} from {from}", id_of(&address)));
    if let Some(Ok(other)) = keys.next() {
        let say = format!("{} holds another key, which is not used", other.from);
        found.warn("evm", say, "unset the variable or remove the file");
    }
    for place in look_at(&config.evm, &Client::new(config.http.clone()), &address).await {
        judge(found, &place, &address, &config.evm.chains);
    }
}

fn judge(found: &mut Findings, place: &Place, address: &Address, chains: &[crate::config::EvmChain]) {
    let has_nodes = chains.iter().any(|c| c.chain.name == place.name && !c.rpc.is_empty());
    let remark = place.remark.as_deref().map(|r| format!("; {r}")).unwrap_or_default();
    let Some(balance) = place.balance else {
        let say = format!("{}: no balance is known{remark}", place.name);
        if has_nodes {
            let remedy = format!(
                "mend the addresses under [evm.chains.{}]; paying works without, but what became of a payment whose \
                 answer is lost cannot be asked",
                place.name
            );
            return found.warn("chain", say, remedy);
        }
        return found.ok("chain", say);
    };
    let say = format!("{}: {balance}{remark}", place.name);
    if balance.is_zero() {
        found.warn("chain", say, format!("send USDC on {} to {address}; no ETH is needed", place.name));
    } else if place.remark.is_some() {
        found.warn("chain", say, "see what it says; another node or account mends it");
    } else {
        found.ok("chain", say);
    }
}
