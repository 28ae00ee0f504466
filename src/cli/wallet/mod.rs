//! `bursar wallet`: connect a wallet, show what is set up, and try it. Nothing here pays.

mod add;
mod evm;
mod file;
mod hidden;
mod link;
mod list;
pub(super) mod test;
mod test_evm;

pub(super) use add::pending_file;
use clap::{Args, Subcommand};
pub(super) use evm::ask_passphrase;

use super::{Common, Done};
use crate::{
    clock::Clock,
    config::Config,
    ledger::{Ledger, LedgerError, file as ledger_file},
    secret::Secret,
};

/// Set up a wallet, show the ones that are set up, and try them.
///
/// Bursar pays over Lightning through a wallet of yours (nwc). Give that connection a budget of its own at the wallet as
/// well; it is a second belt. For stablecoins (evm) it keeps a key of its own, so keep there what you would keep in a
/// purse.
#[derive(Args)]
pub(super) struct WalletArgs {
    #[command(subcommand)]
    command: WalletCommand,
    #[command(flatten)]
    common: Common,
}

#[derive(Subcommand)]
enum WalletCommand {
    /// Set up a wallet
    #[command(subcommand)]
    Add(AddCommand),
    /// Show the wallets that are set up, without connecting
    List,
    /// Connect to the wallets, ask what they allow and hold, and pay nothing
    ///
    /// Ends with 0 when each answers and may pay, with 1 when not.
    Test,
}

#[derive(Subcommand)]
enum AddCommand {
    // Their help stands at their arguments: a line here would take the place of all of it.
    Nwc(add::NwcArgs),
    Evm(evm::EvmArgs),
}

pub(super) async fn run(args: WalletArgs) -> Done {
    match args.command {
        WalletCommand::Add(AddCommand::Nwc(nwc)) => add::run(nwc).await,
        WalletCommand::Add(AddCommand::Evm(evm)) => evm::run(evm, args.common.json).await,
        WalletCommand::List => list::run(args.common.json()).await,
        WalletCommand::Test => test::run(args.common.json()).await,
    }
}

/// The ledger, if there is one already: to look must not make one.
pub(super) fn ledger_if_there(config: &Config) -> Result<Option<Ledger>, LedgerError> {
    if std::fs::symlink_metadata(ledger_file(&config.home)).is_err() {
        return Ok(None);
    }
    Ledger::open(&config.home, config.limits.clone(), Clock::system()).map(Some)
}

/// The configuration with this connection string, whatever else is set up.
fn with_string(config: &Config, string: Secret) -> Config {
    Config { nwc: Some(string), ..config.clone() }
}
