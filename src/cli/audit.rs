//! `bursar audit`: what was bought and refused, and whether the books are as they were written.

use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::{
    Common, Done, Failure, purse,
    show::{done, print, print_json},
};
use crate::{
    ledger::{Finding, Ledger, Verified, file},
    report::{About, Report, Sessions, Since},
};

/// Shows what was bought and refused, what it came to, and what may still be spent.
///
/// Without options it shows the running session, or else the latest one. When standard output is not a terminal and no
/// format is asked for, it prints JSON. It changes nothing.
#[derive(Args)]
#[command(after_help = "\
Examples:
  bursar audit                        the running session, or else the latest
  bursar audit --since 7d --host api.example.com
  bursar audit --all --csv > spent.csv
  bursar audit verify                 is every line as it was written?")]
pub(super) struct AuditArgs {
    #[command(subcommand)]
    verify: Option<AuditCommand>,
    #[command(flatten)]
    common: Common,
    /// Print CSV for a spreadsheet: ISO 8601 times in UTC, amounts such as "10 sat"
    #[arg(long, conflicts_with = "json")]
    csv: bool,
    /// Print the table for people, even when standard output is not a terminal
    #[arg(long, conflicts_with_all = ["json", "csv"])]
    table: bool,
    /// Only this session (`bursar session` lists them)
    #[arg(long, value_name = "ID", conflicts_with = "all")]
    session: Option<String>,
    /// All sessions, of every principal
    #[arg(long)]
    all: bool,
    /// Only from then on, in all sessions unless one is named: 30m, 2h, 7d, 2026-11-21 or 2026-11-21T10:00:00Z (UTC)
    #[arg(long, value_name = "WHEN")]
    since: Option<Since>,
    /// Only this host
    #[arg(long)]
    host: Option<String>,
    /// At most so many rows, the newest
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
}

#[derive(Subcommand)]
enum AuditCommand {
    /// Check that nobody changed the books
    ///
    /// Walks the journal from its first line, recomputes every hash, compares every row with what the journal left of
    /// it, and checks that limits, holds and payments add up. Ends with 0 when all is well, and with 2 when something is
    /// not as it was written, naming each row.
    Verify {
        /// A head that you noted earlier: a ledger that was put back to an older copy no longer has it
        #[arg(long, value_name = "HASH")]
        head: Option<String>,
    },
}

pub(super) async fn run(args: AuditArgs) -> Done {
    let (purse, caller) = purse()?;
    let path = file(&purse.config().home);
    // Opening would create it: looking must leave no trace.
    let there = std::fs::symlink_metadata(&path).is_ok();
    if let Some(AuditCommand::Verify { head }) = args.verify {
        let verified = if there { verify(purse.ledger().await?, head.as_deref()).await? } else { nothing(head) };
        return tell(&verified, there, args.common.json());
    }
    let now = purse.clock().now_ms();
    let sessions = match (args.session, args.all || args.since.is_some()) {
        (Some(id), _) => Sessions::One(id),
        (None, true) => Sessions::All,
        (None, false) => Sessions::Current,
    };
    let report = if there {
        let about = About {
            principal: caller.principal,
            session_key: caller.session_key,
            everyone: true,
            sessions: sessions.clone(),
            since_ms: args.since.map(|s| s.at_ms(now)),
            host: args.host.map(|h| h.to_ascii_lowercase()),
            limit: args.limit.unwrap_or(0),
        };
        Report::read(purse.ledger().await?, &about, now).await?
    } else {
        Report::of_nothing(now)
    };
    if let Sessions::One(id) = &sessions
        && report.session.is_none()
        && report.rows.is_empty()
    {
        return Err(Failure::new(format!("there is no session {id:?}: `bursar session` lists them")));
    }
    if args.csv {
        return done(report.write_csv(std::io::stdout().lock()));
    }
    if !args.table && args.common.json() {
        return print_json(&report);
    }
    if !there {
        return print(&format!("Nothing was ever spent: there is no ledger yet ({}).\n", path.display()));
    }
    print(&report.to_table(columns()))
}

/// How wide the terminal is, where the shell says so.
fn columns() -> usize {
    std::env::var("COLUMNS").ok().and_then(|c| c.parse().ok()).unwrap_or(80)
}

async fn verify(ledger: &Ledger, head: Option<&str>) -> Result<Verified, Failure> {
    let mut verified = ledger.verify().await?;
    if let Some(head) = head
        && !ledger.knows_head(&head.to_ascii_lowercase()).await?
    {
        verified.findings.push(gone(head));
    }
    Ok(verified)
}

/// What is found in a ledger that is not there.
fn nothing(head: Option<String>) -> Verified {
    Verified { lines: 0, head: String::new(), findings: head.iter().map(|h| gone(h)).collect() }
}

fn gone(head: &str) -> Finding {
    let head: String = head.chars().filter(|c| c.is_ascii_alphanumeric()).take(64).collect();
    let say = format!("the line with the hash {head} is not in it: it was put back to an older copy, or made anew");
    Finding { row: "journal".into(), say }
}

fn tell(verified: &Verified, there: bool, json: bool) -> Done {
    if json {
        print_json(verified)?;
    } else {
        let mut text = match (there, verified.lines) {
            (false, _) => "Nothing was ever spent: there is no ledger yet.\n".to_owned(),
            (true, 0) => "The ledger is empty.\n".to_owned(),
            (true, lines) => format!("{lines} lines walked. The last one's hash:\n{}\n", verified.head),
        };
        for Finding { row, say } in &verified.findings {
            // A row's name comes out of the database too.
            text.push_str(&crate::protocol::text::clean(&format!("WRONG {row}: {say}"), 400));
            text.push('\n');
        }
        text.push_str(&match verified.findings.len() {
            0 => "All is well.\n".to_owned(),
            1 => "1 finding: the books are not as they were written.\n".to_owned(),
            n => format!("{n} findings: the books are not as they were written.\n"),
        });
        print(&text)?;
    }
    Ok(if verified.findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(2) })
}
