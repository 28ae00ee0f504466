use std::{
    io::{IsTerminal, Read, Write},
    path::PathBuf,
    process::ExitCode,
};

use super::{Common, Done, Failure, paying_purse, show};
use crate::{
    money::Amount,
    purchase::{Outcome, Progress, Wish},
    server::fetch_paid::{Output, add_left},
};

/// Fetches a URL the way curl does, and pays if the seller asks for it.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  bursar fetch https://api.example.com/v1/rates
  bursar fetch --dry-run https://api.example.com/v1/rates
  bursar fetch -d '{\"query\":\"fees\"}' -H 'Content-Type: application/json' https://api.example.com/search
  bursar fetch -o song.mp3 --max-price '200 sat' https://api.example.com/song

The answer goes to standard output, what happened to the money to standard error.
Exit codes: 0 answered, 1 refused or failed (nothing paid), 2 paid and not delivered or answered with an error,
3 outcome not known yet.")]
pub(super) struct FetchArgs {
    /// The URL, or the id of an earlier answer (p_... or r_...), which is read again free of charge
    #[arg(value_name = "URL")]
    url: String,
    /// Request method (GET, or POST with -d)
    #[arg(short = 'X', long = "request", value_name = "METHOD")]
    method: Option<String>,
    /// A request header, such as 'Accept: text/csv'
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    headers: Vec<String>,
    /// A request body; @FILE reads it from a file, @- from standard input
    #[arg(short = 'd', long = "data", value_name = "DATA")]
    data: Option<String>,
    /// Write the answer to a file
    #[arg(short = 'o', long = "output", value_name = "FILE")]
    output: Option<PathBuf>,
    /// Refuse above this price, such as '50 sat' or '0.10 usd'
    #[arg(long, value_name = "AMOUNT")]
    max_price: Option<Amount>,
    /// Show prices and what speaks for and against each offer; pay nothing
    #[arg(long)]
    dry_run: bool,
    /// Your own key for this purchase: however often it is called, it is bought once
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    /// Why, for the audit
    #[arg(long, value_name = "WORDS")]
    purpose: Option<String>,
    #[command(flatten)]
    common: Common,
}

pub(super) async fn run(args: FetchArgs) -> Done {
    let (purse, caller) = paying_purse().await?;
    let spoken = std::io::stderr().is_terminal();
    let tell = move |progress: &Progress| {
        if spoken {
            eprint!("\r\x1b[K{progress} …");
        }
    };
    let report = if crate::purchase::results::is_id(&args.url) {
        purse.result(&caller, &args.url, &tell).await
    } else if args.dry_run {
        purse.quote(&caller, wish(&args)?).await
    } else {
        purse.fetch(&caller, wish(&args)?, &tell).await
    };
    if spoken {
        eprint!("\r\x1b[K");
    }
    let mut output = Output::new(&report, 0, Default::default());
    add_left(&mut output, &purse, &caller).await;
    if args.common.json || args.dry_run && args.common.json() {
        show::print_json(&output)?;
    } else {
        let first = output.blocks().into_iter().next().unwrap_or_default();
        eprintln!("{}", show::plain(&first));
    }
    // What was only described must be there for the next call, which would pay for it again otherwise.
    let mut handed = args.common.json;
    if let Some(body) = &report.body {
        if let Some(path) = &args.output {
            std::fs::write(path, &body.bytes).map_err(|e| Failure::new(format!("{}: {e}", path.display())))?;
            handed = true;
        } else if !args.common.json && !args.dry_run {
            handed = write_out(&body.bytes, &body.row.result_id)?;
        }
        if let Some(id) = report.purchase.filter(|_| handed) {
            purse.answered(id).await;
        }
    }
    purse.close().await;
    Ok(ExitCode::from(match report.outcome {
        Outcome::Undelivered => 2,
        Outcome::Bought if report.is_error() => 2,
        Outcome::Pending => 3,
        _ if report.is_error() => 1,
        Outcome::AwaitingApproval => 1,
        _ => 0,
    }))
}

/// Bytes for a program go out as they are; a terminal gets no control characters, and no binary at all.
fn write_out(bytes: &[u8], id: &str) -> Result<bool, Failure> {
    let mut out = std::io::stdout();
    if !out.is_terminal() {
        return show::done(out.write_all(bytes).and_then(|()| out.flush())).map(|_| true);
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => show::say(text).map(|_| true),
        Err(_) => {
            eprintln!("The answer is binary. Free of charge: bursar fetch -o FILE {id}");
            Ok(false)
        }
    }
}

fn wish(args: &FetchArgs) -> Result<Wish, Failure> {
    let mut headers = Vec::new();
    for header in &args.headers {
        let (name, value) =
            header.split_once(':').ok_or_else(|| Failure::new("a header is written as 'Name: value'"))?;
        headers.push((name.trim().to_owned(), value.trim().to_owned()));
    }
    let body = match args.data.as_deref() {
        None => None,
        Some("@-") => {
            let mut bytes = Vec::new();
            std::io::stdin().lock().read_to_end(&mut bytes)?;
            Some(bytes)
        }
        Some(data) => match data.strip_prefix('@') {
            Some(file) => Some(std::fs::read(file).map_err(|e| Failure::new(format!("{file}: {e}")))?),
            None => Some(data.as_bytes().to_vec()),
        },
    };
    let json = body.as_deref().is_some_and(|b| serde_json::from_slice::<serde::de::IgnoredAny>(b).is_ok());
    Ok(Wish {
        url: args.url.clone(),
        method: args.method.clone(),
        headers,
        body,
        json,
        max_price: args.max_price,
        idempotency_key: args.idempotency_key.clone(),
        purpose: args.purpose.clone().unwrap_or_default(),
    })
}
