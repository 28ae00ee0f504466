use std::process::ExitCode;

use super::{Common, Done, paying_purse, show};
use crate::server::get_balance::Output;

#[derive(clap::Args)]
pub(super) struct BalanceArgs {
    #[command(flatten)]
    common: Common,
}

pub(super) async fn run(args: BalanceArgs) -> Done {
    let (purse, caller) = paying_purse().await?;
    let output = Output::new(&purse.balance(&caller).await?);
    if args.common.json() {
        show::print_json(&output)?;
    } else {
        show::say(&output.text())?;
    }
    purse.close().await;
    Ok(ExitCode::SUCCESS)
}
