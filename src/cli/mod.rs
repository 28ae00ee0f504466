//! The command line: a thin skin over the library, one file a command.

mod approve;
mod audit;
mod balance;
mod budget;
mod catalog;
mod demo;
mod discover;
mod doctor;
mod fetch;
mod init;
mod sandbox;
mod serve;
mod session;
mod sessions;
mod show;
mod token;
mod wallet;

use std::{io::IsTerminal, process::ExitCode};

use clap::{Args, CommandFactory, Parser, Subcommand};

use crate::{
    clock::Clock,
    config::Config,
    purchase::{Caller, Purse},
};

/// The purse you hand to your AI agent: it buys data from L402, x402 and MPP APIs within your limits, and keeps the books.
///
/// Hosts such as Claude start it with `bursar serve`. All else here is for you: look at what was spent, set limits, try
/// it with play money.
#[derive(Parser)]
#[command(name = "bursar", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    Serve(serve::ServeArgs),
    /// Watch the whole story with play money: no wallet, no account, no network
    Demo(demo::DemoArgs),
    /// Start a world of play money on this machine: wallets and four paid APIs
    Sandbox(sandbox::SandboxArgs),
    // The help of these three stands at their arguments: a line here would take the place of all of it.
    Init(init::InitArgs),
    Wallet(wallet::WalletArgs),
    Doctor(doctor::DoctorArgs),
    /// Fetch a URL and pay for it if need be, within the limits
    Fetch(fetch::FetchArgs),
    // The help of this one stands at its arguments.
    Discover(discover::DiscoverArgs),
    /// Show what the index of paid APIs is made of, or fetch fresh catalogues
    Catalog(catalog::CatalogArgs),
    /// Show the wallet, the limits and what is left
    Balance(balance::BalanceArgs),
    /// Show or set the limits
    Budget(budget::BudgetArgs),
    /// Show the sessions, or end one
    Session(session::SessionArgs),
    // The help of this one stands at its arguments.
    Sessions(sessions::SessionsArgs),
    /// Show what was bought and refused, and check that nobody changed the books
    Audit(audit::AuditArgs),
    Token(token::TokenArgs),
    /// Say yes to a purchase that waits for a person, or let a frozen wallet pay again
    Approve(approve::DecideArgs),
    /// Say no to a purchase that waits for a person
    Deny(approve::DecideArgs),
}

/// What most commands take.
#[derive(Args, Clone, Debug)]
struct Common {
    /// Print JSON, as programs read it
    #[arg(long, global = true)]
    json: bool,
}

impl Common {
    /// Whether to print JSON: asked for, or standard output goes to a program.
    fn json(&self) -> bool {
        self.json || !std::io::stdout().is_terminal()
    }
}

/// Why a command ends without success: the words for standard error, and the exit code.
#[derive(Debug)]
pub struct Failure {
    say: String,
    code: u8,
}

impl Failure {
    fn new(say: impl Into<String>) -> Failure {
        Failure { say: say.into(), code: 1 }
    }
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(e: E) -> Failure {
        Failure::new(e.to_string())
    }
}

impl From<crate::purchase::No> for Failure {
    fn from(no: crate::purchase::No) -> Failure {
        Failure::new(no.say)
    }
}

type Done = Result<ExitCode, Failure>;

/// Parses the command line and runs one command.
pub fn main() -> ExitCode {
    log_to_stderr();
    // Before parsing: an error about a stray argument would print it.
    if std::env::args_os().skip(1).any(|arg| is_wallet_string(&arg.to_string_lossy())) {
        eprintln!("bursar: {WALLET_ON_COMMAND_LINE}");
        return ExitCode::from(2);
    }
    if holds_key(std::env::args_os().skip(1).map(|arg| arg.to_string_lossy().into_owned())) {
        eprintln!("bursar: {KEY_ON_COMMAND_LINE}");
        return ExitCode::from(2);
    }
    let cli = Cli::parse();
    let command = match cli.command {
        Some(command) => command,
        // A host that starts us without arguments talks to us; a person gets help.
        None if !std::io::stdin().is_terminal() => Command::Serve(serve::ServeArgs::default()),
        None => {
            let _ = Cli::command().print_help();
            return ExitCode::SUCCESS;
        }
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => {
            eprintln!("bursar: {e}");
            return ExitCode::FAILURE;
        }
    };
    let done = runtime.block_on(run(command));
    // A stuck name lookup must not keep the process: nothing of value runs there.
    runtime.shutdown_timeout(std::time::Duration::from_millis(200));
    match done {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("bursar: {}", failure.say);
            ExitCode::from(failure.code)
        }
    }
}

/// What is said to a wallet string among the arguments.
const WALLET_ON_COMMAND_LINE: &str = "a wallet string does not belong on the command line: other users of this machine \
    can see it there, and the shell keeps it. Nothing was done with it. Best make a new connection at the wallet and \
    delete this one; then run `bursar wallet add nwc --paste`, which reads it without showing it";

/// What is said to a private key among the arguments.
const KEY_ON_COMMAND_LINE: &str = "a private key does not belong on the command line: other users of this machine can \
    see it there, and the shell keeps it. Nothing was done with it. If it is one, move its money to a new account; \
    `bursar wallet add evm --import` reads a key without showing it";

/// Whether an argument of `bursar wallet` holds what reads as a private key of an EVM account.
fn holds_key(args: impl Iterator<Item = String>) -> bool {
    let args: Vec<String> = args.collect();
    let runs = |arg: &String| arg.split(|c: char| !c.is_ascii_hexdigit()).any(|run| run.len() == 64);
    args.iter().any(|arg| arg == "wallet") && args.iter().any(runs)
}

/// Whether an argument holds a whole connection string or a private key, whatever it was meant for.
fn is_wallet_string(arg: &str) -> bool {
    let low = arg.to_ascii_lowercase();
    let has = |part: &str| low.contains(part);
    has("walletconnect") && (has("secret=") || has("secret%3d")) || has("nsec1") && low.len() > 62
}

async fn run(command: Command) -> Done {
    match command {
        Command::Serve(args) => serve::run(args).await,
        Command::Demo(args) => demo::run(args).await,
        Command::Sandbox(args) => sandbox::run(args).await,
        Command::Init(args) => init::run(args).await,
        Command::Wallet(args) => wallet::run(args).await,
        Command::Doctor(args) => doctor::run(args).await,
        Command::Fetch(args) => fetch::run(args).await,
        Command::Discover(args) => discover::run(args).await,
        Command::Catalog(args) => catalog::run(args).await,
        Command::Balance(args) => balance::run(args).await,
        Command::Budget(args) => budget::run(args).await,
        Command::Session(args) => session::run(args).await,
        Command::Sessions(args) => sessions::run(args).await,
        Command::Audit(args) => audit::run(args).await,
        Command::Token(args) => token::run(args).await,
        Command::Approve(args) => approve::run(args, true).await,
        Command::Deny(args) => approve::run(args, false).await,
    }
}

/// The purse of this machine's user, as the configuration says.
fn purse() -> Result<(Purse, Caller), Failure> {
    let config = Config::load()?;
    let caller = Caller::local(config.session_key.clone());
    Ok((Purse::new(config, Clock::system(), None), caller))
}

/// The same for a command that may pay or asks the wallets: a person is asked for a keystore's passphrase.
async fn paying_purse() -> Result<(Purse, Caller), Failure> {
    let mut config = Config::load()?;
    wallet::ask_passphrase(&mut config).await?;
    let caller = Caller::local(config.session_key.clone());
    Ok((Purse::new(config, Clock::system(), None), caller))
}

/// Logs go to standard error, since standard output carries answers. `BURSAR_LOG` sets our own level (`warn` unless
/// told); other crates stay at `warn`, since some of them log what they carry.
fn log_to_stderr() {
    use tracing_subscriber::{filter::Targets, layer::SubscriberExt, util::SubscriberInitExt};
    let level = std::env::var("BURSAR_LOG").ok().and_then(|l| l.parse().ok()).unwrap_or(tracing::Level::WARN);
    let filter = Targets::new().with_default(tracing::Level::WARN).with_target("bursar", level);
    // Colours are a feature of the crate that is left out; asking for them ends a debug build.
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(false);
    let _ = tracing_subscriber::registry().with(filter).with(layer).try_init();
}
