use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
};

use super::{Common, Done, Failure, show};
use crate::catalog::index::volume::{self, Volume};
use crate::sandbox::{Ports, Sandbox, SandboxError, SandboxOptions, chain};

/// Starts play money, two wallets and four paid APIs on this machine, until Ctrl-C. Nothing in it is worth anything.
#[derive(clap::Args)]
pub(super) struct SandboxArgs {
    /// The first of seven ports in a row; 0 takes any that are free
    #[arg(long, default_value_t = 4020)]
    port: u16,
    /// Where its own Bursar home is kept
    #[arg(long, value_name = "DIR")]
    home: Option<PathBuf>,
    /// Play money in the wallet, in satoshi
    #[arg(long, default_value_t = 100_000, value_name = "SAT")]
    balance: u64,
    /// Another relay on this machine for the wallet, such as ws://127.0.0.1:7777
    #[arg(long, value_name = "URL", value_parser = on_this_machine)]
    relay: Option<SocketAddr>,
    #[command(flatten)]
    common: Common,
}

/// Reads a relay's address. Play money stays on this machine: names are not resolved, and no other machine will do.
fn on_this_machine(relay: &str) -> Result<SocketAddr, String> {
    let at = relay.strip_prefix("ws://").and_then(|rest| rest.trim_end_matches('/').parse::<SocketAddr>().ok());
    at.filter(|at| at.ip().is_loopback()).ok_or_else(|| "this is not ws://127.0.0.1:PORT or ws://[::1]:PORT".into())
}

pub(super) async fn run(args: SandboxArgs) -> Done {
    let home = match args.home {
        Some(home) => home,
        None => crate::config::home()?.join("sandbox"),
    };
    crate::ledger::secure_home(&home)?;
    let options = SandboxOptions {
        ports: Ports::From(args.port),
        home: Some(home.clone()),
        balance_sat: args.balance,
        relay_of_others: args.relay,
        ..SandboxOptions::default()
    };
    let sandbox = Sandbox::start(options).await.map_err(|e| match e {
        SandboxError::Bind(..) => Failure::new(format!("{e} (try another --port)")),
        SandboxError::WalletOffline | SandboxError::Home(_) => Failure::new(e.to_string()),
    })?;
    let (jamie, aperture) = (sandbox.jamie_url(), sandbox.aperture_url());
    // The wallet string is worth play money only; it goes to a file of the sandbox's own home, as a real one would.
    write_wallet(&home, sandbox.nwc_uri().expose())?;
    let (ntriq, rpc, mpp) = (sandbox.ntriq_url(), sandbox.rpc_url(), sandbox.mpp_url());
    write_secret(&home.join("evm.key"), sandbox.evm_key().expose())?;
    write_config(&home, &rpc)?;
    // What is sold here is found here too.
    let sold = [("www.pullthatupjamie.ai", jamie.as_str()), ("x402.ntriq.co.kr", ntriq.as_str())];
    let pack = Volume::replicas(&sold, chain::CAIP2).and_then(|v| volume::keep(&home, "sandbox", &v));
    pack.map_err(|e| Failure::new(format!("{}: {e}", home.display())))?;
    if args.common.json() {
        show::print_json(&serde_json::json!({
            "home": home, "nwc_file": home.join("wallet.nwc"), "jamie": jamie, "aperture": aperture,
            "relay": args.relay.map_or_else(|| sandbox.relay().url(), |at| format!("ws://{at}")),
            "ntriq": ntriq, "mpp": mpp, "rpc": rpc, "evm_key_file": home.join("evm.key"),
        }))?;
    } else {
        show::say(&format!(
            "A play-money world runs on this machine until you press Ctrl-C.

  export BURSAR_HOME={home}
  export BURSAR_ALLOW_LOOPBACK=1

Then try:
  bursar balance
  bursar discover \"podcast search\"
  bursar discover \"invoice data extraction\"
  bursar fetch --dry-run {aperture}/v1/rates
  bursar fetch {aperture}/v1/rates
  bursar fetch -d '{{\"query\":\"payment processing challenges\"}}' {jamie}/api/discover-podcasts
  bursar fetch -d '{{\"text\":\"I love this\"}}' {ntriq}/sentiment
  bursar fetch {mpp}/rates
  bursar fetch {mpp}/tempo
  bursar audit

The play wallet's string (BURSAR_NWC) is in {home}/wallet.nwc, the play USDC's key (BURSAR_EVM_KEY) in
{home}/evm.key, where Bursar looks for them. {ntriq}/services lists what USDC buys.",
            home = home.display(),
        ))?;
    }
    stop().await;
    Ok(ExitCode::SUCCESS)
}

/// Writes the connection string to `wallet.nwc` (0600) in the sandbox's home.
pub(super) fn write_wallet(home: &Path, uri: &str) -> Result<(), Failure> {
    write_secret(&home.join("wallet.nwc"), uri)
}

/// Writes one line that nobody else may read.
fn write_secret(path: &Path, line: &str) -> Result<(), Failure> {
    use std::io::Write;
    let mut make = std::fs::OpenOptions::new();
    make.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut make, 0o600);
    let mut file = make.open(path).map_err(|e| Failure::new(format!("{}: {e}", path.display())))?;
    Ok(writeln!(file, "{line}")?)
}

/// Says where the play chain can be asked, unless whoever plays here wrote a config already.
pub(super) fn write_config(home: &Path, rpc: &str) -> Result<(), Failure> {
    let path = home.join("config.toml");
    if path.exists() {
        return Ok(());
    }
    // A config that others may write is refused, whatever this person's umask is.
    write_secret(&path, &format!("[evm.chains.base-sepolia]\nrpc = [\"{rpc}\"]\n[evm.chains.tempo-moderato]"))
}

async fn stop() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut term) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = term.recv() => {}
            }
            return;
        }
    }
    let _ = tokio::signal::ctrl_c().await;
}
