//! One test's world: a home of its own, the sandbox, and the commands that live in it.

use std::path::PathBuf;

use bursar::{
    clock::Clock,
    ledger::{AuditRow, Filter, Ledger, Verified},
    money::Currency,
    sandbox::{PlayNode, Sandbox, SandboxOptions, WalletService},
};

use super::host::{self, Era, Host};

/// A home, a wallet, a play network.
pub struct World {
    dir: tempfile::TempDir,
    pub sandbox: Sandbox,
    config: String,
    envs: Vec<(String, String)>,
}

impl World {
    /// A world with the built-in limits.
    pub async fn new() -> World {
        World::with("").await
    }

    /// A world whose `config.toml` says this (loopback is allowed already).
    pub async fn with(config: &str) -> World {
        World::with_options(config, SandboxOptions::default()).await
    }

    /// A world with a sandbox of one's own making.
    pub async fn with_options(config: &str, options: SandboxOptions) -> World {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let sandbox = Sandbox::start(options).await.expect("the sandbox starts");
        let world = World { dir, sandbox, config: config.into(), envs: Vec::new() };
        world.write_config();
        world
    }

    /// A world with a wallet for play USDC beside the one for play sats, and a chain that can be asked.
    pub async fn with_dollars(config: &str) -> World {
        World::with_dollars_and(config, SandboxOptions::default()).await
    }

    /// The same with a sandbox of one's own making.
    pub async fn with_dollars_and(config: &str, options: SandboxOptions) -> World {
        let mut world = World::with_options("", options).await;
        let rpc = world.sandbox.rpc_url();
        world.set_config(&format!("{config}\n[evm.chains.base-sepolia]\nrpc = [\"{rpc}\"]\n"));
        world.env("BURSAR_EVM_KEY", world.sandbox.evm_key().expose().to_owned().as_str());
        world
    }

    /// What really left the play account, in units of USDC.
    pub fn spent_units(&self) -> u64 {
        self.sandbox.chain().spent_by(&self.sandbox.evm_address())
    }

    fn write_config(&self) {
        use std::os::unix::fs::PermissionsExt;
        let home = self.home();
        std::fs::create_dir_all(&home).expect("a home");
        std::fs::set_permissions(&home, std::fs::Permissions::from_mode(0o700)).expect("a mode");
        let path = home.join("config.toml");
        std::fs::write(&path, &self.config).expect("a config");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("a mode");
    }

    /// Adds a variable to every process started from here on.
    pub fn env(&mut self, name: &str, value: &str) {
        self.envs.retain(|(n, _)| n != name);
        self.envs.push((name.into(), value.into()));
    }

    /// Replaces `config.toml`.
    pub fn set_config(&mut self, config: &str) {
        self.config = config.into();
        self.write_config();
    }

    /// Bursar's home.
    pub fn home(&self) -> PathBuf {
        self.dir.path().join("home")
    }

    /// The play network, which counts every msat.
    pub fn node(&self) -> &PlayNode {
        self.sandbox.node()
    }

    /// The wallet service, whose behaviour a test can script.
    pub fn wallet(&self) -> &WalletService {
        self.sandbox.wallet()
    }

    /// What really left the wallet, in msat.
    pub fn spent_msat(&self) -> u64 {
        self.node().spent_msat()
    }

    /// The variables of every process of this world.
    pub fn envs(&self) -> Vec<(String, String)> {
        let mut envs = vec![
            ("BURSAR_HOME".into(), self.home().display().to_string()),
            ("BURSAR_NWC".into(), self.sandbox.nwc_uri().expose().to_owned()),
            ("BURSAR_ALLOW_LOOPBACK".into(), "1".into()),
        ];
        for (name, value) in &self.envs {
            envs.retain(|(n, _): &(String, String)| n != name);
            envs.push((name.clone(), value.clone()));
        }
        envs
    }

    /// A host with the server running.
    pub async fn host(&self) -> Host {
        Host::start(&self.envs(), Era::Handshake).await
    }

    /// The same in either era.
    pub async fn host_in(&self, era: Era) -> Host {
        Host::start(&self.envs(), era).await
    }

    /// A host whose server dies at a kill point (debug builds).
    pub async fn host_dying_at(&self, point: &str) -> Host {
        let mut envs = self.envs();
        envs.push(("BURSAR_KILL_POINT".into(), point.into()));
        Host::start(&envs, Era::Handshake).await
    }

    /// A host whose server has a mistake at a kill point: the task panics there, once (debug builds).
    pub async fn host_panicking_at(&self, point: &str, era: Era) -> Host {
        let mut envs = self.envs();
        envs.push(("BURSAR_PANIC_POINT".into(), point.into()));
        Host::start(&envs, era).await
    }

    /// Runs one command: exit code, standard output, standard error.
    pub async fn run(&self, args: &[&str]) -> (i32, String, String) {
        host::run(&self.envs(), args).await
    }

    /// The ledger, opened beside whoever else has it open.
    pub fn ledger(&self) -> Ledger {
        Ledger::open(&self.home(), bursar::config::LimitTable::default(), Clock::system()).expect("the ledger opens")
    }

    /// Every row of the audit.
    pub async fn audit(&self) -> Vec<AuditRow> {
        self.ledger().audit(Filter::default()).await.expect("the audit is readable")
    }

    /// Verifies the ledger and fails the test with what is wrong.
    pub async fn verify(&self) -> Verified {
        let verified = self.ledger().verify().await.expect("the ledger is readable");
        assert!(verified.findings.is_empty(), "{:#?}", verified.findings);
        verified
    }

    /// Verifies that wallet and ledger agree: what the audit says was paid is what left the wallet, fees included.
    pub async fn verify_money(&self) {
        self.verify().await;
        let rows = self.audit().await;
        let sum = |currency: Currency| -> u64 {
            let paid = rows.iter().flat_map(|r| [r.paid, r.fee]).flatten();
            paid.filter(|a| a.currency() == currency).map(|a| a.atomic()).sum()
        };
        let moved: u64 = self.node().moved().iter().map(|m| m.amount_msat + m.fee_msat).sum();
        assert_eq!(sum(Currency::Sat), moved, "the ledger and the wallet disagree: {rows:#?}");
        let back: u64 = rows.iter().filter_map(|r| r.back).map(|a| a.atomic()).sum();
        assert!(back <= self.node().received_msat(), "more came back in the books than to the wallet: {rows:#?}");
        assert_eq!(sum(Currency::Usd), self.spent_units(), "the ledger and the chain disagree: {rows:#?}");
    }
}
