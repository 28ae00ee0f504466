//! `bursar token`: who may come over HTTP, each with a purse of its own.

use clap::{Args, Subcommand};
use serde::Serialize;

use super::{
    Common, Done, Failure, purse,
    show::{print, print_json},
};
use crate::{
    ledger::{LOCAL, Ledger, Scope, Token, TokenKind, TokenMade, file, is_principal},
    money::Amount,
    report::iso,
    server::new_token,
};

/// Makes, lists and revokes tokens: one for each agent that comes over HTTP.
///
/// A token is a purse: its agent has sessions, limits and purchases of its own, all under the ceilings of config.toml,
/// and sees nobody else's. Only a hash of it is kept.
#[derive(Args)]
#[command(after_help = "\
Examples:
  bursar token create scout --session-limit \"500 sat\" --total-limit \"20000 sat\"
  bursar token create grafana --watch       for /metrics alone
  bursar token create scout --renew         a new secret for the same purse
  bursar token revoke scout")]
pub(super) struct TokenArgs {
    #[command(subcommand)]
    command: TokenCommand,
    #[command(flatten)]
    common: Common,
}

#[derive(Subcommand)]
enum TokenCommand {
    /// Make a token and show it, this once
    ///
    /// A limit given here is a ceiling of the agent's own and what its sessions start with. It may be given once for each
    /// currency. Without one, the limits of config.toml hold.
    Create {
        /// What the agent is called: 1 to 32 of a-z, 0-9, _ and -
        name: String,
        /// The most one purchase may cost, such as "50 sat"
        #[arg(long, value_name = "AMOUNT")]
        purchase_limit: Vec<Amount>,
        /// The most a session may spend, such as "500 sat" or "2 usd"
        #[arg(long, value_name = "AMOUNT")]
        session_limit: Vec<Amount>,
        /// The most a UTC day may spend
        #[arg(long, value_name = "AMOUNT")]
        day_limit: Vec<Amount>,
        /// The most it may ever spend
        #[arg(long, value_name = "AMOUNT")]
        total_limit: Vec<Amount>,
        /// A token that reads /metrics and nothing else
        #[arg(long, conflicts_with_all = ["purchase_limit", "session_limit", "day_limit", "total_limit"])]
        watch: bool,
        /// Give a name that has (or had) a token a new one, with these limits: the same purse goes on, in a new session
        #[arg(long)]
        renew: bool,
    },
    /// List the tokens: names and limits, never the tokens themselves
    List,
    /// Take a token back: it opens nothing from now on, and its agent's sessions end
    Revoke {
        /// Whose
        name: String,
    },
}

/// What `token create` prints as JSON.
#[derive(Serialize)]
struct Created<'a> {
    name: &'a str,
    token: &'a str,
}

/// What `token list` prints as JSON.
#[derive(Serialize)]
struct Listed {
    name: String,
    kind: &'static str,
    created: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked: Option<String>,
    limits: Vec<LimitLine>,
}

#[derive(Serialize)]
struct LimitLine {
    scope: Scope,
    limit: Amount,
}

impl From<&Token> for Listed {
    fn from(t: &Token) -> Listed {
        Listed {
            name: t.principal.clone(),
            kind: t.kind.name(),
            created: iso(t.created_ms),
            revoked: t.revoked_ms.map(iso),
            limits: t.allowed.iter().map(|(scope, limit)| LimitLine { scope: *scope, limit: *limit }).collect(),
        }
    }
}

pub(super) async fn run(args: TokenArgs) -> Done {
    let (purse, _) = purse()?;
    let json = args.common.json();
    match args.command {
        TokenCommand::Create { name, purchase_limit, session_limit, day_limit, total_limit, watch, renew } => {
            if !is_principal(&name) || name == LOCAL {
                return Err(Failure::new(format!(
                    "{name:?} cannot be a name: 1 to 32 of a-z, 0-9, _ and -, and not {LOCAL:?}, which is this terminal"
                )));
            }
            let limits = [
                (Scope::Purchase, purchase_limit),
                (Scope::Session, session_limit),
                (Scope::Day, day_limit),
                (Scope::Total, total_limit),
            ];
            let mut allowed: Vec<(Scope, Amount)> = Vec::new();
            for (scope, amounts) in limits {
                for amount in amounts {
                    if allowed.iter().any(|(s, a)| *s == scope && a.currency() == amount.currency()) {
                        return Err(Failure::new(format!("two {} limits in {}", scope.name(), amount.currency())));
                    }
                    allowed.push((scope, amount));
                }
            }
            let kind = if watch { TokenKind::Watch } else { TokenKind::Agent };
            create(purse.ledger().await?, &name, kind, allowed, renew, json).await
        }
        TokenCommand::List => {
            // Opening would create it: looking must leave no trace.
            let there = std::fs::symlink_metadata(file(&purse.config().home)).is_ok();
            let tokens = if there { purse.ledger().await?.tokens().await? } else { Vec::new() };
            let listed: Vec<Listed> = tokens.iter().map(Listed::from).collect();
            if json {
                return print_json(&listed);
            }
            if listed.is_empty() {
                return print("There is no token yet: bursar token create NAME\n");
            }
            print(&listed.iter().map(line).collect::<String>())
        }
        TokenCommand::Revoke { name } => {
            if !purse.ledger().await?.revoke_token(&name).await? {
                return Err(Failure::new(format!("there is no good token of the name {name:?}")));
            }
            if json {
                return print_json(&serde_json::json!({ "revoked": name }));
            }
            print(&format!("The token of {name} opens nothing any more. Its books stay.\n"))
        }
    }
}

async fn create(
    ledger: &Ledger,
    name: &str,
    kind: TokenKind,
    allowed: Vec<(Scope, Amount)>,
    renew: bool,
    json: bool,
) -> Done {
    let (token, digest) = new_token(name);
    match ledger.make_token(name, kind, digest, allowed, renew).await? {
        TokenMade::Made => {}
        TokenMade::NameTaken => {
            return Err(Failure::new(format!(
                "{name} has or had a token, and what it bought is in the books under that name: take another name, or \
                 --renew for the same agent"
            )));
        }
        TokenMade::NothingToRenew => {
            return Err(Failure::new(format!("there is no {} token of the name {name:?} to renew", kind.name())));
        }
    }
    if json {
        return print_json(&Created { name, token: token.expose() });
    }
    print(&format!(
        "{}\n\nThis is shown once. The agent's host sends it as a header, never in a URL:\n\
         Authorization: Bearer {}...\n",
        token.expose(),
        &token.expose()[..name.len() + 8],
    ))
}

fn line(t: &Listed) -> String {
    let limits: Vec<String> = t.limits.iter().map(|l| format!("{} {}", l.scope.name(), l.limit)).collect();
    let limits = if limits.is_empty() { String::new() } else { format!("  at most: {}", limits.join(", ")) };
    let until = t.revoked.as_ref().map(|at| format!("  revoked {at}")).unwrap_or_default();
    format!("{:<32}  {:<5}  {}{until}{limits}\n", t.name, t.kind, t.created)
}
