use std::process::ExitCode;

use super::{Common, Done, purse, show};
use crate::server::discover_api::{Args, look};

/// Looks at a URL with one unpaid request. It may make the seller mint an invoice, which is never paid.
#[derive(clap::Args)]
pub(super) struct DiscoverArgs {
    /// What to look for, in 2 to 6 words (searching comes with the bundled catalogue)
    query: Option<String>,
    /// A URL to look at
    #[arg(long)]
    url: Option<String>,
    /// The request method to look with
    #[arg(short = 'X', long = "request", value_name = "METHOD")]
    method: Option<String>,
    #[command(flatten)]
    common: Common,
}

pub(super) async fn run(args: DiscoverArgs) -> Done {
    let (purse, caller) = purse()?;
    let ask = Args { query: args.query, url: args.url, ..Args::default() };
    let (output, blocks, error) = look(&purse, &caller, &ask, args.method).await;
    if args.common.json() {
        show::print_json(&output)?;
    } else {
        show::say(&blocks.join("\n"))?;
    }
    purse.close().await;
    Ok(if error { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
