//! `bursar session`: the sessions and what each spent, and ending one.

use clap::{Args, Subcommand};
use serde::Serialize;

use super::{
    Common, Done, Failure, purse,
    show::{print, print_json},
};
use crate::{
    ledger::{Filter, Ledger, file},
    purchase::Caller,
    report::{SessionLine, sessions_table},
};

/// How many sessions are listed unless told.
const LISTED: u32 = 20;

/// Shows the sessions and what was spent in each, newest first.
///
/// A session begins with the first call that touches money and ends after 30 idle minutes, or with `bursar session end`.
/// Each has a budget of its own: the next one begins with a whole one, still within the day's limit.
#[derive(Args)]
pub(super) struct SessionArgs {
    #[command(subcommand)]
    command: Option<SessionCommand>,
    #[command(flatten)]
    common: Common,
    /// List at most so many
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
}

#[derive(Subcommand)]
enum SessionCommand {
    /// End the running session; the next call that touches money begins another
    ///
    /// Payments under way are not cancelled: money that is held stays held until their outcome is known.
    End {
        /// The session to end; without it, the running one of this shell (BURSAR_SESSION, or none)
        #[arg(conflicts_with = "all")]
        id: Option<String>,
        /// End every running session of this user
        #[arg(long)]
        all: bool,
    },
}

/// What `session` prints as JSON.
#[derive(Serialize)]
struct Listed {
    sessions: Vec<SessionLine>,
}

/// What `session end` prints as JSON.
#[derive(Serialize)]
struct Ended {
    ended: Vec<String>,
}

pub(super) async fn run(args: SessionArgs) -> Done {
    let (purse, caller) = purse()?;
    let json = args.common.json();
    // Opening would create it: looking must leave no trace.
    let there = std::fs::symlink_metadata(file(&purse.config().home)).is_ok();
    match args.command {
        None => {
            let limit = args.limit.unwrap_or(LISTED);
            let now = purse.clock().now_ms();
            let sessions = if there { list(purse.ledger().await?, &caller, limit, now).await? } else { Vec::new() };
            if json {
                return print_json(&Listed { sessions });
            }
            if sessions.is_empty() {
                return print("No session has begun yet: nothing was ever spent.\n");
            }
            print(&sessions_table(&sessions))
        }
        Some(SessionCommand::End { id, all }) => {
            let ended = match (there, &id) {
                (true, _) => end(purse.ledger().await?, &caller, id.as_deref(), all, purse.clock().now_ms()).await?,
                (false, Some(id)) => return Err(unheard_of(id)),
                (false, None) => Vec::new(),
            };
            if json {
                return print_json(&Ended { ended });
            }
            if ended.is_empty() {
                return print("No session was running.\n");
            }
            print(&ended.iter().map(|id| format!("Session {id} has ended.\n")).collect::<String>())
        }
    }
}

async fn list(ledger: &Ledger, caller: &Caller, limit: u32, now_ms: u64) -> Result<Vec<SessionLine>, Failure> {
    let sessions = ledger.sessions(&caller.principal, limit).await?;
    let since_ms = sessions.iter().map(|s| s.started_ms).min();
    let filter = Filter { principal: Some(caller.principal.clone()), since_ms, ..Filter::default() };
    let rows = ledger.audit(filter).await?;
    Ok(sessions.iter().map(|s| SessionLine::new(s, &rows, now_ms)).collect())
}

async fn end(
    ledger: &Ledger,
    caller: &Caller,
    id: Option<&str>,
    all: bool,
    now_ms: u64,
) -> Result<Vec<String>, Failure> {
    let key = match id {
        _ if all => None,
        None => Some(caller.session_key.clone()),
        Some(id) => {
            // An agent's session too: the person here is the operator.
            let session = ledger.session_with_id(id).await?.ok_or_else(|| unheard_of(id))?;
            if !session.runs_at(now_ms) {
                return Err(Failure::new(format!("session {id} is over already")));
            }
            return Ok(ledger.end_sessions(&session.principal, Some(&session.key)).await?);
        }
    };
    Ok(ledger.end_sessions(&caller.principal, key.as_deref()).await?)
}

fn unheard_of(id: &str) -> Failure {
    Failure::new(format!("there is no session {id:?}: `bursar session` lists them"))
}
