//! `bursar wallet test`, for the wallet that pays with stablecoins.

use serde::Serialize;

use crate::{
    clock::Clock,
    config::Config,
    http::Client,
    money::Amount,
    wallet::{Place, WalletError, evm_from_config},
};

/// What a try found out.
#[derive(Clone, Debug, Serialize)]
pub(super) struct EvmTested {
    /// `ready`, `limited` (it holds nothing), or `unreachable` (no node that is set answers).
    pub outcome: &'static str,
    /// The same in words.
    pub say: String,
    /// The wallet's kind.
    kind: &'static str,
    /// Its account.
    id: String,
    /// `main` or `test`.
    world: &'static str,
    /// The sum of its dollars, where a node tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    balance: Option<Amount>,
    /// What lies where.
    places: Vec<Place>,
}

impl EvmTested {
    /// What a person reads.
    pub(super) fn text(&self) -> String {
        let mut text = self.say.clone();
        let mut line = |name: &str, value: &str| text.push_str(&format!("\n  {name:<11}{value}"));
        line("wallet", &self.id);
        line("world", self.world);
        for place in &self.places {
            let balance = place.balance.map_or("not known".to_owned(), |b| b.to_string());
            line(&place.name, &balance);
            if let Some(remark) = &place.remark {
                line("", remark);
            }
        }
        text
    }
}

/// Opens the key and asks the chains' nodes. `None` where no key is set up.
///
/// # Errors
/// What is set up is not a usable key.
pub(super) async fn try_evm(config: &Config) -> Option<Result<EvmTested, WalletError>> {
    let wallet = match evm_from_config(config, Clock::system(), Client::new(config.http.clone()))? {
        Ok(wallet) => wallet,
        Err(e) => return Some(Err(e)),
    };
    let info = match wallet.info().await {
        Ok(info) => info,
        Err(e) => return Some(Err(e)),
    };
    let asked = config.evm.chains.iter().any(|c| !c.rpc.is_empty());
    let (outcome, say) = match info.balance {
        None if asked => ("unreachable", "The key signs, and no node answers, so what it holds is not known."),
        None => ("ready", "The key signs. No node is set, so what it holds is not known."),
        Some(balance) if balance.is_zero() => ("limited", "The key signs, and its account holds no USDC yet."),
        Some(_) => ("ready", "The key signs, and its account holds USDC."),
    };
    Some(Ok(EvmTested {
        outcome,
        say: format!("{say} Nothing was paid."),
        kind: wallet.kind(),
        id: wallet.id(),
        world: info.world.name(),
        balance: info.balance,
        places: info.places,
    }))
}
