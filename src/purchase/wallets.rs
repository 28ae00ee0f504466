//! The wallets of a purse: made when they are first needed, each asked about itself once.

use std::sync::Arc;

use tokio::sync::OnceCell;

use super::{No, Purse};
use crate::{
    evm::assets::Assets,
    protocol::{Rail, World},
    wallet::{self, Wallet, WalletError, WalletInfo},
};

/// One wallet that is set up, and what it said of itself.
pub(super) struct Held {
    pub(super) wallet: Arc<dyn Wallet>,
    info: OnceCell<WalletInfo>,
}

impl Held {
    pub(super) fn new(wallet: Arc<dyn Wallet>) -> Held {
        Held { wallet, info: OnceCell::new() }
    }
}

/// A wallet that is set up, or why what is set up cannot be used, with its kind.
pub(super) type Made = Result<Held, (&'static str, WalletError)>;

impl Purse {
    /// The tokens that can be paid.
    pub(super) fn assets(&self) -> &Assets {
        &self.0.config.evm.assets
    }

    /// Whether any wallet is set up, usable or not.
    pub(super) fn has_wallet(&self) -> bool {
        self.0.config.has_wallet() || self.0.wallets.get().is_some_and(|made| !made.is_empty())
    }

    /// The wallets, in the order in which they are asked. Making them connects to nothing.
    ///
    /// # Errors
    /// What is remembered of them cannot be read.
    pub(super) async fn wallets(&self) -> Result<&[Made], No> {
        let make = || async {
            let config = &self.0.config;
            // Where none is set up there is nothing to remember, and no ledger to be made.
            if !config.has_wallet() {
                return Ok::<_, No>(Vec::new());
            }
            let remembered = self.ledger().await?.wallets().await.unwrap_or_default();
            let (config, clock) = (config.clone(), self.0.clock.clone());
            // Not here: opening a keystore is a second of work.
            let made = move || wallet::from_config(&config, &clock, |id| remembered.get(id).cloned());
            let made = tokio::task::spawn_blocking(made).await;
            let made = made.map_err(|_| No::new("wallet", "the wallets could not be made"))?;
            Ok(made.into_iter().map(|(kind, made)| made.map(Held::new).map_err(|e| (kind, e))).collect())
        };
        let made = self.0.wallets.get_or_try_init(make).await?;
        Ok(made)
    }

    /// The wallet that pays on a rail and network; or why there is none.
    pub(super) async fn wallet_for(&self, rail: Rail, network: &str) -> Result<&Held, WalletError> {
        let made = self.wallets().await.map_err(|no| WalletError::Setup(no.say))?;
        if made.is_empty() {
            return Err(WalletError::None);
        }
        let usable = made.iter().filter_map(|made| made.as_ref().ok());
        if let Some(held) = usable.clone().find(|held| held.wallet.pays(rail, network)) {
            return Ok(held);
        }
        // A wallet that cannot be used might have paid it: its mending is what is worth saying.
        match made.iter().find_map(|made| made.as_ref().err()) {
            Some((_, broken)) => Err(broken.clone()),
            None if usable.count() == 0 => Err(WalletError::None),
            None => {
                let on = if network.is_empty() { String::new() } else { format!(" on {network}") };
                Err(WalletError::Setup(format!("no wallet here pays over {rail}{on}")))
            }
        }
    }

    /// The wallet with this id; or why it cannot be asked.
    pub(super) async fn wallet_with_id(&self, id: &str) -> Result<&Arc<dyn Wallet>, String> {
        let made = self.wallets().await.map_err(|no| no.say)?;
        if let Some(held) = made.iter().flatten().find(|held| held.wallet.id() == id) {
            return Ok(&held.wallet);
        }
        // Its own kind, if it cannot be used, is why.
        let kind = id.split(':').next().unwrap_or_default();
        let same = |broken: &&(&'static str, WalletError)| broken.0 == kind;
        if let Some((_, e)) = made.iter().filter_map(|made| made.as_ref().err()).find(same) {
            return Err(e.to_string());
        }
        Err(match made.iter().flatten().any(|held| held.wallet.kind() == kind) {
            true => "its wallet is another one than the one set up now".into(),
            false => "its wallet is no longer set up".into(),
        })
    }

    /// What a wallet says of its world, asked once a process.
    pub(super) async fn info_of<'a>(&self, held: &'a Held) -> Result<&'a WalletInfo, WalletError> {
        let first = held.info.get().is_none();
        let info = held.info.get_or_try_init(|| held.wallet.info()).await?;
        if first {
            self.remember_wallet(&held.wallet, info.world).await;
        }
        Ok(info)
    }

    /// What a wallet says of itself now, its balance included.
    pub(super) async fn asked_anew(&self, held: &Held) -> Result<WalletInfo, WalletError> {
        let info = held.wallet.info().await?;
        // A purchase after this need not ask again.
        if held.info.set(info.clone()).is_ok() {
            self.remember_wallet(&held.wallet, info.world).await;
        }
        Ok(info)
    }

    /// Writes down the wallet's world and what it is worth remembering of it.
    async fn remember_wallet(&self, wallet: &Arc<dyn Wallet>, world: World) {
        let Ok(ledger) = self.ledger().await else { return };
        if let Err(e) = ledger.saw_wallet(&wallet.id(), world.name(), &wallet.remember()).await {
            tracing::warn!("what the wallet said of itself could not be recorded: {e}");
        }
    }
}
