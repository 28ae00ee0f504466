use std::process::ExitCode;

use super::{Common, Done, purse, show};
use crate::server::discover_api::{Args, Detail, look};

/// Describes a host from its own documents, or an endpoint and its live price. Looking may make the seller mint an
/// invoice, which is never paid.
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
    /// The most endpoints of a host to show
    #[arg(long, value_name = "N")]
    limit: Option<u8>,
    /// Show everything that is known
    #[arg(long)]
    full: bool,
    #[command(flatten)]
    common: Common,
}

pub(super) async fn run(args: DiscoverArgs) -> Done {
    let (purse, caller) = purse()?;
    let detail = args.full.then_some(Detail::Full);
    let ask = Args { query: args.query, url: args.url, limit: args.limit, detail, ..Args::default() };
    let (output, blocks, error) = look(&purse, &caller, &ask, args.method).await;
    if args.common.json() {
        show::print_json(&output)?;
    } else {
        show::say(&blocks.join("\n"))?;
    }
    purse.close().await;
    Ok(if error { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
