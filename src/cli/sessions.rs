//! `bursar sessions`: deposits that calls draw on, and closing them.

use clap::{Args, Subcommand};
use serde::Serialize;

use super::{
    Common, Done, Failure, purse,
    show::{print, print_json},
};
use crate::{
    ledger::{DepositState, PurchaseId, file},
    purchase::Closed,
    server::get_balance::DepositView,
};

/// Shows the payment sessions that are open: deposits at sellers that calls draw on.
///
/// Where a seller offers it and calls repeat, fetch pays a deposit once and draws on it (MPP, lightning/session). What is
/// left of it comes back to your wallet when it is closed: after a while without a call, when the process that uses it
/// ends, or here. Budgets have sessions of their own: see `bursar session`.
#[derive(Args)]
pub(super) struct SessionsArgs {
    #[command(subcommand)]
    command: Option<SessionsCommand>,
    #[command(flatten)]
    common: Common,
}

#[derive(Subcommand)]
enum SessionsCommand {
    /// Close sessions and wait a moment for what comes back
    ///
    /// One that a running server uses is closed by that server within a few seconds.
    Close {
        /// The sessions to close (p_..., the purchase that paid the deposit); without any, all
        ids: Vec<String>,
    },
}

/// What `sessions` prints as JSON.
#[derive(Serialize)]
struct Listed {
    sessions: Vec<DepositView>,
}

/// What `sessions close` prints as JSON for each.
#[derive(Serialize)]
struct ClosedOne {
    purchase: String,
    state: &'static str,
    say: String,
}

/// What `sessions close` prints as JSON.
#[derive(Serialize)]
struct ClosedAll {
    closed: Vec<ClosedOne>,
}

pub(super) async fn run(args: SessionsArgs) -> Done {
    let (purse, _) = purse()?;
    let json = args.common.json();
    // Opening would create it: looking must leave no trace.
    let there = std::fs::symlink_metadata(file(&purse.config().home)).is_ok();
    let all = if there { purse.ledger().await?.deposits(None).await? } else { Vec::new() };
    match args.command {
        None => {
            let sessions: Vec<DepositView> = all.iter().map(DepositView::from).collect();
            if json {
                return print_json(&Listed { sessions });
            }
            if sessions.is_empty() {
                return print("No payment session is open: no deposit lies anywhere.\n");
            }
            print(&sessions.iter().map(|session| format!("{}\n", session.line())).collect::<String>())
        }
        Some(SessionsCommand::Close { ids }) => {
            let open = [DepositState::Open, DepositState::Closing];
            let ids: Vec<PurchaseId> = match ids.as_slice() {
                [] => all.iter().filter(|d| open.contains(&d.state)).map(|d| d.purchase).collect(),
                ids => ids.iter().map(|id| id.parse()).collect::<Result<_, _>>()?,
            };
            let mut closed = Vec::new();
            for id in ids {
                if !all.iter().any(|d| d.purchase == id) {
                    return Err(Failure::new(format!("{id} is no open session; `bursar sessions` lists them")));
                }
                let done = purse.close_deposit(id).await?;
                closed.push(told(id, &done));
            }
            purse.close().await;
            if json {
                return print_json(&ClosedAll { closed });
            }
            if closed.is_empty() {
                return print("No payment session was open.\n");
            }
            print(&closed.iter().map(|one| format!("{}\n", one.say)).collect::<String>())
        }
    }
}

fn told(id: PurchaseId, closed: &Closed) -> ClosedOne {
    let (state, say) = match closed {
        Closed::Back(back) => ("back", format!("{id} is closed, and {back} came back.")),
        Closed::Waiting => (
            "waiting",
            format!("{id} is closed. Nothing came back so far; what the wallet sees later is written down."),
        ),
        Closed::NotYet => {
            ("not_yet", format!("{id} could not be closed now: its seller does not answer. Try again later."))
        }
        Closed::Asked => {
            ("asked", format!("{id} is in use by another process, which was asked to close it within a few seconds."))
        }
    };
    ClosedOne { purchase: id.to_string(), state, say }
}
