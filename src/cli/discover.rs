use std::process::ExitCode;

use super::{Common, Done, purse, show};
use crate::money::Amount;
use crate::server::discover_api::{Args, Detail, look};

/// Finds paid APIs by words, offline, or describes a host or an endpoint and its live price. Looking at an address may make
/// its seller mint an invoice, which is never paid.
#[derive(clap::Args)]
pub(super) struct DiscoverArgs {
    /// The kind of data or action, in 2 to 6 words: "podcast search", "invoice data extraction"
    query: Option<String>,
    /// The whole task; it only breaks ties
    #[arg(long)]
    task: Option<String>,
    /// A URL to look at instead of searching
    #[arg(long)]
    url: Option<String>,
    /// The request method to look with
    #[arg(short = 'X', long = "request", value_name = "METHOD")]
    method: Option<String>,
    /// Leave out what costs more, such as "50 sat" or "0.1 usd"
    #[arg(long, value_name = "AMOUNT")]
    max_price: Option<Amount>,
    /// Only what a wallet here can pay
    #[arg(long)]
    payable: bool,
    /// Leave out what is free
    #[arg(long)]
    no_free: bool,
    /// How many results, or endpoints of a host, to show
    #[arg(long, value_name = "N")]
    limit: Option<u8>,
    /// Show everything that is known
    #[arg(long)]
    full: bool,
    /// Ask the first three for their price now, unpaid
    #[arg(long)]
    live: bool,
    #[command(flatten)]
    common: Common,
}

pub(super) async fn run(args: DiscoverArgs) -> Done {
    let (purse, caller) = purse()?;
    let detail = args.full.then_some(Detail::Full);
    let ask = Args {
        query: args.query,
        task: args.task,
        url: args.url,
        max_price: args.max_price,
        payable_only: args.payable.then_some(true),
        free_ok: args.no_free.then_some(false),
        limit: args.limit,
        detail,
        live: args.live.then_some(true),
    };
    let (output, blocks, error) = look(&purse, &caller, &ask, args.method).await;
    if args.common.json() {
        show::print_json(&output)?;
    } else {
        show::say(&blocks.join("\n"))?;
    }
    purse.close().await;
    Ok(if error { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
