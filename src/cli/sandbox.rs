use std::{path::PathBuf, process::ExitCode};

use super::{Common, Done, Failure, show};
use crate::catalog::index::volume::{self, Volume};
use crate::sandbox::{Ports, Sandbox, SandboxOptions};

/// Starts play money, a wallet and two paid APIs on this machine, until Ctrl-C. Nothing in it is worth anything.
#[derive(clap::Args)]
pub(super) struct SandboxArgs {
    /// The first of four ports in a row
    #[arg(long, default_value_t = 4020)]
    port: u16,
    /// Where its own Bursar home is kept
    #[arg(long, value_name = "DIR")]
    home: Option<PathBuf>,
    /// Play money in the wallet, in satoshi
    #[arg(long, default_value_t = 100_000, value_name = "SAT")]
    balance: u64,
    #[command(flatten)]
    common: Common,
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
        ..SandboxOptions::default()
    };
    let sandbox = Sandbox::start(options).await.map_err(|e| Failure::new(format!("{e} (try another --port)")))?;
    let (jamie, aperture) = (sandbox.jamie_url(), sandbox.aperture_url());
    // The wallet string is worth play money only; it goes to a file of the sandbox's own home, as a real one would.
    write_wallet(&home, sandbox.nwc_uri().expose())?;
    // What is sold here is found here too.
    let pack = Volume::replica("www.pullthatupjamie.ai", &jamie).and_then(|v| volume::keep(&home, "sandbox", &v));
    pack.map_err(|e| Failure::new(format!("{}: {e}", home.display())))?;
    if args.common.json() {
        show::print_json(&serde_json::json!({
            "home": home, "nwc_file": home.join("wallet.nwc"), "jamie": jamie, "aperture": aperture,
            "relay": sandbox.relay().url(),
        }))?;
    } else {
        show::say(&format!(
            "A play-money world runs on this machine until you press Ctrl-C.

  export BURSAR_HOME={home}
  export BURSAR_ALLOW_LOOPBACK=1

Then try:
  bursar balance
  bursar discover \"podcast search\"
  bursar fetch --dry-run {aperture}/v1/rates
  bursar fetch {aperture}/v1/rates
  bursar fetch -d '{{\"query\":\"payment processing challenges\"}}' {jamie}/api/discover-podcasts
  bursar audit

The play wallet's string (BURSAR_NWC) is in {home}/wallet.nwc, where Bursar looks for it.",
            home = home.display(),
        ))?;
    }
    stop().await;
    Ok(ExitCode::SUCCESS)
}

/// Writes the connection string to `wallet.nwc` (0600) in the sandbox's home.
pub(super) fn write_wallet(home: &std::path::Path, uri: &str) -> Result<(), Failure> {
    use std::io::Write;
    let path = home.join("wallet.nwc");
    let mut make = std::fs::OpenOptions::new();
    make.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut make, 0o600);
    let mut file = make.open(&path).map_err(|e| Failure::new(format!("{}: {e}", path.display())))?;
    Ok(writeln!(file, "{uri}")?)
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
