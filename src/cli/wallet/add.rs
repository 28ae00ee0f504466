//! `bursar wallet add nwc`: two ways to connect, neither of which shows a secret.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;
use tokio::io::{AsyncBufReadExt, BufReader};
use url::Url;

use super::{file::write_secret, hidden, ledger_if_there, link, test, with_string};
use crate::{
    cli::{
        Done, Failure,
        show::{print, say},
    },
    clock::Clock,
    config::{Config, WalletFrom},
    money::{Amount, Currency},
    secret::Secret,
    wallet::{
        dialer,
        nwc::{Allowance, Answer, Found, Invitation, NwcUri, Pace},
    },
};

/// The relay on which a wallet answers, unless told: the one that most of these wallets use themselves.
const RELAY: &str = "wss://relay.getalby.com";

/// Alby's own page for a new connection.
const PAGE: &str = "https://my.albyhub.com/apps/new";

/// Connect a wallet that speaks Nostr Wallet Connect (Alby Hub, Coinos, LNbits, Zeus, ...).
///
/// Without --paste the key is made here and never leaves this machine. Bursar shows a link (and a square for a phone's
/// camera); open it with the wallet, say there how much may be spent, and Bursar hears of it over the relay. The link is
/// no secret. Running the same command again goes on with the same link.
///
/// With --paste Bursar reads the connection string that your wallet shows, from the terminal without echo, or from a
/// pipe. It never stands on the command line, where other users and your shell's history would see it.
///
/// Either way the string goes to wallet.nwc in Bursar's home (or where config.toml says), readable by you alone, and
/// the wallet is tried at once. Nothing is paid.
#[derive(Args)]
pub(super) struct NwcArgs {
    /// Read the whole connection string, from the terminal without echo or from a pipe
    #[arg(long, conflicts_with_all = ["relay", "authorize", "max_amount", "renewal", "wait", "again"])]
    paste: bool,
    /// Show a wallet's own web page instead of a link for wallet apps; Alby Hub's unless told
    #[arg(long, value_name = "URL", num_args = 0..=1, require_equals = true, default_missing_value = PAGE)]
    authorize: Option<Url>,
    /// The relay on which the wallet answers; may be given more than once
    #[arg(long, value_name = "URL", default_value = RELAY)]
    relay: Vec<String>,
    /// Ask the wallet to allow at most this much, such as "10000 sat"
    #[arg(long, value_name = "AMOUNT")]
    max_amount: Option<Amount>,
    /// Ask the wallet to allow that much anew every day, week, ...
    #[arg(long = "budget-renewal", value_name = "PERIOD", requires = "max_amount")]
    renewal: Option<Renewal>,
    /// How many seconds to wait for the wallet this time
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    wait: u64,
    /// Forget a connection that was begun, and make a new key and link
    #[arg(long)]
    again: bool,
    /// Take the place of the wallet that is set up
    #[arg(long)]
    replace: bool,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Renewal {
    Never,
    Daily,
    Weekly,
    Monthly,
    Yearly,
}

impl Renewal {
    fn name(self) -> &'static str {
        match self {
            Renewal::Never => "never",
            Renewal::Daily => "daily",
            Renewal::Weekly => "weekly",
            Renewal::Monthly => "monthly",
            Renewal::Yearly => "yearly",
        }
    }
}

pub(super) async fn run(args: NwcArgs) -> Done {
    let config = Config::without_wallet(crate::config::home()?)?;
    may_write(&config, args.replace).await?;
    if args.max_amount.is_some_and(|most| most.currency() != Currency::Sat) {
        return Err(Failure::new("a Lightning wallet's budget is in sat, such as --max-amount \"10000 sat\""));
    }
    let string = if args.paste { pasted().await? } else { connected(&config, &args).await? };
    let id = NwcUri::parse(&string)?.id();
    crate::ledger::secure_home(&config.home)?;
    write_secret(&config.nwc_file, &string)?;
    // Only now: an interrupted run must still find its key.
    forget(&pending_file(&config))?;
    say(&format!("Connected: {id}. Its string is in {}, readable by you alone.", config.nwc_file.display()))?;
    if config.wallet_strings().first().is_some_and(|(from, _)| *from == WalletFrom::Environment) {
        say("Note: the variable BURSAR_NWC is set here and comes first. Unset it to use this wallet.")?;
    }
    test::tell(&with_string(&config, string)).await
}

/// Refuses to write over a wallet unasked, or while payments through it have no known outcome: only it can tell them.
async fn may_write(config: &Config, replace: bool) -> Result<(), Failure> {
    let path = config.nwc_file.display();
    if std::fs::symlink_metadata(&config.nwc_file).is_err() {
        return Ok(());
    }
    if !replace {
        return Err(Failure::new(format!(
            "a wallet is set up already ({path}); `bursar wallet list` shows it, --replace takes its place"
        )));
    }
    let Some(ledger) = ledger_if_there(config)? else { return Ok(()) };
    let mut open = 0;
    for id in ledger.unresolved().await? {
        open += usize::from(ledger.find(id).await?.is_some_and(|s| s.state.at_risk()));
    }
    if open > 0 {
        return Err(Failure::new(format!(
            "{open} payment(s) through this wallet have no known outcome, and only it can tell: `bursar balance` asks \
             it. If it is gone for good, move {path} away by hand first"
        )));
    }
    Ok(())
}

/// Where a connection that was begun is kept.
pub(in crate::cli) fn pending_file(config: &Config) -> PathBuf {
    config.home.join("wallet.pending")
}

fn forget(path: &Path) -> Result<(), Failure> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => {
            Err(Failure::new(format!("{} cannot be removed: {e}", path.display())))
        }
        _ => Ok(()),
    }
}

async fn pasted() -> Result<Secret, Failure> {
    let string = hidden::read_line("Connection string (it is not shown): ").await?;
    if string.expose().is_empty() {
        return Err(Failure::new("nothing was pasted, and nothing was changed"));
    }
    // Its errors quote nothing of it.
    NwcUri::parse(&string)?;
    Ok(string)
}

async fn connected(config: &Config, args: &NwcArgs) -> Result<Secret, Failure> {
    let (invitation, begun_before) = invitation(config, args)?;
    show(&invitation, args, begun_before)?;
    let dial = dialer(config);
    let clock = Clock::system();
    let unreachable = || eprintln!("No relay can be reached right now; trying on.");
    let heard = invitation.answered(&dial, &clock, Pace::default(), unreachable);
    let (answer, certain) = tokio::select! {
        found = heard => match found {
            Some(Found::One { answer, certain }) => (answer, certain),
            Some(Found::Several) => return Err(Failure::new(
                "two wallets answered and neither shows that it saw the link, so one of them is false: nothing was \
                 connected. Run it with --again for a new link, or run it and paste your wallet's public key",
            )),
            None => return Err(Failure::new("the relays could not be asked")),
        },
        answer = typed(&invitation) => (answer, true),
        () = tokio::time::sleep(Duration::from_secs(args.wait)) => return Err(not_yet("no wallet has answered yet")),
        _ = tokio::signal::ctrl_c() => return Err(Failure { code: 130, ..not_yet("interrupted") }),
    };
    if !certain {
        say(&format!(
            "A wallet answered. It does not repeat what stands in the link, so compare its public key with your wallet's:\n  \
             {}\nIf it is another one: bursar wallet add nwc --again --replace",
            answer.wallet_key()
        ))?;
    }
    Ok(invitation.string(&answer))
}

fn not_yet(why: &str) -> Failure {
    Failure::new(format!("{why}. The key is kept: run the same command again to go on with the same link"))
}

/// The connection that was begun, or a new one, which is kept before its link is shown.
fn invitation(config: &Config, args: &NwcArgs) -> Result<(Invitation, bool), Failure> {
    let path = pending_file(config);
    if !args.again
        && let Ok(text) = std::fs::read_to_string(&path)
        && let Some(kept) = Invitation::read(&Secret::new(text))
    {
        return Ok((kept, true));
    }
    let made = Invitation::new(&args.relay)
        .ok_or_else(|| Failure::new("--relay wants a wss:// address (ws:// is for this machine only)"))?;
    crate::ledger::secure_home(&config.home)?;
    write_secret(&path, &made.kept())?;
    Ok((made, false))
}

fn show(invitation: &Invitation, args: &NwcArgs, begun_before: bool) -> Result<(), Failure> {
    let allowance = Allowance { most: args.max_amount, renewal: args.renewal.map(Renewal::name) };
    let (link, what) = match &args.authorize {
        Some(page) if page.scheme() == "https" => (invitation.page(page, &allowance).to_string(), "in your browser"),
        Some(_) => return Err(Failure::new("--authorize wants an https:// address")),
        None => (invitation.link(&allowance), "with your wallet"),
    };
    let begun = if begun_before { " (the one from before; --again makes a new one)" } else { "" };
    let relays: Vec<_> = invitation.relays().iter().map(|r| r.as_str().trim_end_matches('/')).collect();
    say(&format!("Open this link {what}{begun}:\n\n  {link}\n"))?;
    if let Some(square) = link::square_for_terminal(&link) {
        print(&format!("{square}\n"))?;
    }
    say(&format!(
        "Say there how much may be spent. Waiting on {} for the wallet's word, up to {} s; Ctrl-C keeps the link.\n\
         If the wallet shows its public key, or sends you to an address, paste that here instead.",
        relays.join(" and "),
        args.wait
    ))?;
    Ok(())
}

/// What the person pastes while we wait. Never returns when nothing usable comes.
async fn typed(invitation: &Invitation) -> Answer {
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if line.trim().is_empty() {
            continue;
        }
        match invitation.read_answer(&line) {
            Ok(answer) => return answer,
            Err(bad) => eprintln!("Not taken: {bad}."),
        }
    }
    std::future::pending().await
}
