//! What the wallets here could pay, for those who look around before they buy. Nothing is asked of anybody.

use std::sync::Arc;

use super::Purse;
use crate::{evm::tempo::MAINNET, protocol::Rail, wallet::Wallet};

/// The wallets' rails.
#[derive(Clone, Default)]
pub struct Reach(Vec<Arc<dyn Wallet>>);

impl Reach {
    /// Whether there is no wallet.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a wallet here pays an endpoint that speaks these dialects (between spaces) on this network; or why not, in
    /// a few words. It is a hint: the offer itself is judged when it is there.
    ///
    /// # Errors
    /// Why not.
    pub fn can(&self, protocols: &str, network: &str) -> Result<(), String> {
        let speaks = |name: &str| protocols.split(' ').any(|p| p == name);
        let pays = |rail, network: &str| self.0.iter().any(|wallet| wallet.pays(rail, network));
        let lightning = network == "lightning" || (network.is_empty() && speaks("l402"));
        if self.0.is_empty() {
            return Err("no wallet is set up".into());
        }
        let signed = speaks("x402") || speaks("mpp");
        let tempo = || {
            let chain = if network == "tempo" { format!("eip155:{MAINNET}") } else { network.to_owned() };
            speaks("mpp") && pays(Rail::TEMPO, &chain)
        };
        if (lightning && pays(Rail::LIGHTNING, "")) || (signed && pays(Rail::EIP3009, network)) || tempo() {
            return Ok(());
        }
        Err(match network {
            "" => "its catalogue does not say how it is paid".into(),
            "lightning" => "it takes Lightning, and no wallet here pays that".into(),
            "tempo" => "it takes stablecoins on Tempo, and no wallet here pays that".into(),
            "eip155:8453" => "it takes USDC on Base, and no wallet here pays that".into(),
            other => format!("it takes {other}, and no wallet here pays that"),
        })
    }
}

impl Purse {
    /// What the wallets here could pay.
    pub async fn reach(&self) -> Reach {
        let made = self.wallets().await.unwrap_or_default();
        Reach(made.iter().flatten().map(|held| held.wallet.clone()).collect())
    }
}
