//! A world with play USDC, its seller, and what a buyer says to it.

use bursar::{
    clock::Clock,
    config::Config,
    sandbox::{Ntriq, NtriqMode, SandboxOptions},
};
use serde_json::{Value, json};

use crate::support::{Host, Told, World, money};

/// One cent, in units of USDC: what a text costs at [`TEXT`].
pub const CENT: u64 = 10_000;
/// Costs one cent, and keeps no answers.
pub const TEXT: &str = "/sentiment";
/// Costs two cents, and gives the same answer to who shows the same payment again.
pub const KEPT: &str = "/pii-detect";

pub struct Shop {
    pub world: World,
    /// Moves the chain's clock, and the seller's.
    pub clock: Clock,
}

impl Shop {
    pub async fn open() -> Shop {
        Shop::with("").await
    }

    /// A shop whose buyer has this in `config.toml`.
    pub async fn with(config: &str) -> Shop {
        let clock = Clock::manual(Clock::system().now_ms());
        let options = SandboxOptions { clock: clock.clone(), ..SandboxOptions::default() };
        Shop { world: World::with_dollars_and(config, options).await, clock }
    }

    /// A shop whose buyer knows no chain to ask.
    pub async fn blind(config: &str) -> Shop {
        let mut shop = Shop::open().await;
        shop.world.set_config(&format!("{config}\n[evm.chains.base-sepolia]\n"));
        shop
    }

    /// The configuration as a process of this world has it.
    pub fn config(&self) -> Config {
        use std::os::unix::fs::PermissionsExt;
        let key = self.world.home().join("evm.key");
        std::fs::write(&key, self.world.sandbox.evm_key().expose()).expect("a key");
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).expect("a mode");
        let mut config = Config::load_from(self.world.home()).expect("a config");
        config.http.allow_loopback = true;
        config
    }

    pub fn seller(&self) -> &Ntriq {
        self.world.sandbox.ntriq()
    }

    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.world.sandbox.ntriq_url())
    }

    /// What to ask at a path about a text.
    pub fn ask(&self, path: &str, text: &str) -> Value {
        json!({ "url": self.url(path), "json": { "text": text } })
    }

    /// Asks about a text, while the seller treats the payment like this.
    pub async fn buy_from(&self, host: &Host, mode: NtriqMode) -> Told {
        self.seller().set_mode(mode);
        host.fetch(self.ask(TEXT, "I love it")).await
    }

    /// How many transfers the chain saw.
    pub fn transfers(&self) -> usize {
        self.world.sandbox.chain().moved().len()
    }

    /// How many different signatures the seller saw.
    pub fn signatures(&self) -> usize {
        let mut nonces: Vec<_> = self.seller().seen().iter().map(|s| s.authorization.nonce).collect();
        nonces.sort_unstable();
        nonces.dedup();
        nonces.len()
    }

    pub async fn states(&self) -> Vec<String> {
        money::states(&self.world).await
    }

    /// What the session holds, in units of USDC.
    pub async fn held(&self) -> u64 {
        self.session().await.held.atomic()
    }

    pub async fn session(&self) -> bursar::ledger::BudgetView {
        let (_, budgets) = self.world.ledger().budgets("local", "").await.expect("the budgets can be read");
        let session = budgets
            .into_iter()
            .find(|b| b.scope == bursar::ledger::Scope::Session && b.limit.currency() == bursar::money::Currency::Usd);
        session.expect("a session has a budget in dollars")
    }
}
