use std::process::ExitCode;

use super::{Common, Done, Failure, purse, show};
use crate::ledger::{By, Decided, PurchaseId};

/// Decides about one purchase; without an id, shows what waits for you.
#[derive(clap::Args)]
pub(super) struct DecideArgs {
    /// The purchase (p_...)
    id: Option<String>,
    #[command(flatten)]
    common: Common,
}

pub(super) async fn run(args: DecideArgs, yes: bool) -> Done {
    let (purse, _) = purse()?;
    let ledger = purse.ledger().await?;
    let Some(id) = args.id else {
        let waiting = ledger.awaiting().await?;
        if args.common.json() {
            let views: Vec<_> = waiting.iter().map(crate::server::get_balance::WaitingView::from).collect();
            show::print_json(&views)?;
        } else if waiting.is_empty() {
            show::say("Nothing waits for you.")?;
        }
        if !args.common.json() {
            for p in &waiting {
                let said = if p.approved_ms.is_some() { "approved" } else { "waits" };
                let line = format!("{}  {said}  {}  {} {}{}  {}", p.id, p.price, p.method, p.host, p.path, p.purpose);
                show::say(&line)?;
            }
        }
        return Ok(ExitCode::SUCCESS);
    };
    let id: PurchaseId = id.parse()?;
    let decided = ledger.decide(id, yes, By::Terminal).await?;
    let (word, say) = match &decided {
        Decided::NotThere => return Err(Failure::new(format!("there is no purchase {id}"))),
        Decided::Approved(p) => (
            "approved",
            format!("Approved: {} for {} at {}. The agent's next equal call buys it.", id, p.price, p.host),
        ),
        Decided::Denied(p) => ("denied", format!("Denied: {} for {} at {}. Nothing was paid.", id, p.price, p.host)),
        Decided::Spent(p) => (
            "spent",
            format!(
                "Closed: the wallet said that it paid {} for {id} at {}, so that and the fee allowance of {} count as spent.",
                p.price, p.host, p.fee_cap
            ),
        ),
        Decided::Thawed(_) => ("thawed", "The wallet may pay again.".to_owned()),
        Decided::NothingToDecide(state) => {
            return Err(Failure::new(format!("{id} waits for nobody: it is {state}")));
        }
    };
    if args.common.json() {
        show::print_json(&serde_json::json!({ "purchase": id.to_string(), "decision": word, "say": say }))?;
    } else {
        show::say(&say)?;
    }
    Ok(ExitCode::SUCCESS)
}
