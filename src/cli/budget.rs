use std::process::ExitCode;

use super::{Common, Done, Failure, purse, show};
use crate::{
    ledger::{Scope, SetBy},
    money::Amount,
    purchase::Caller,
    server::set_budget::Output,
};

/// Shows the limits, or sets one. You may raise a limit up to the ceiling in config.toml; no tool of the model can.
#[derive(clap::Args)]
pub(super) struct BudgetArgs {
    #[command(subcommand)]
    command: Option<BudgetCommand>,
    #[command(flatten)]
    common: Common,
}

#[derive(clap::Subcommand)]
enum BudgetCommand {
    /// Set a limit, such as: bursar budget set session "8000 sat"
    Set {
        /// What the limit is over
        #[arg(value_enum)]
        scope: CliScope,
        /// The limit, such as "500 sat" or "2 usd"
        limit: Amount,
        /// The session whose limit it is (s_...); the running one of this terminal unless told
        #[arg(long, value_name = "ID")]
        session: Option<String>,
    },
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum CliScope {
    /// One purchase
    Purchase,
    /// The session
    Session,
    /// The UTC day
    Day,
    /// Everything, where the config file has a total
    Total,
}

impl From<CliScope> for Scope {
    fn from(s: CliScope) -> Scope {
        match s {
            CliScope::Purchase => Scope::Purchase,
            CliScope::Session => Scope::Session,
            CliScope::Day => Scope::Day,
            CliScope::Total => Scope::Total,
        }
    }
}

pub(super) async fn run(args: BudgetArgs) -> Done {
    let (purse, caller) = purse()?;
    match args.command {
        None => {
            let ledger = purse.ledger().await?;
            let (session, budgets) = ledger.budgets(&caller.principal, &caller.session_key).await?;
            let views: Vec<_> = budgets.iter().map(crate::server::get_balance::LimitView::from).collect();
            if args.common.json() {
                show::print_json(&serde_json::json!({ "session": session.map(|s| s.id), "budgets": views }))?;
            } else {
                let mut text = format!("session {}", session.map_or("(none is running)".into(), |s| s.id));
                for b in &budgets {
                    let scope = b.scope.name();
                    text.push_str(&match b.scope {
                        Scope::Purchase => format!("\n{scope:<9} at most {} (ceiling {})", b.limit, b.ceiling),
                        _ => format!("\n{scope:<9} {} of {} left (ceiling {})", b.left, b.limit, b.ceiling),
                    });
                }
                show::say(&text)?;
            }
            Ok(ExitCode::SUCCESS)
        }
        Some(BudgetCommand::Set { scope, limit, session }) => {
            let scope = Scope::from(scope);
            let caller = match session {
                Some(id) => session_owner(&purse, &id).await?,
                None => caller,
            };
            let set = purse.set_limit(&caller, scope, limit, SetBy::Human).await?;
            let output = Output::new(&set, scope, limit);
            if args.common.json() {
                show::print_json(&output)?;
            } else {
                show::say(&output.say)?;
            }
            Ok(if output.outcome == "set" { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
    }
}

/// The principal and key of a running session.
async fn session_owner(purse: &crate::purchase::Purse, id: &str) -> Result<Caller, Failure> {
    let ledger = purse.ledger().await?;
    let found = ledger.session_with_id(id).await?;
    let found = found.ok_or_else(|| Failure::new(format!("there is no session {id}")))?;
    let running = ledger.session(&found.principal, &found.key).await?;
    if running.is_none_or(|r| r.id != id) {
        return Err(Failure::new(format!("session {id} has ended; the next one starts with the default limits")));
    }
    Ok(Caller { principal: found.principal, session_key: found.key })
}
