//! Sessions over Lightning (MPP), with real money moving in the play network: the real server, an MCP client, a shop that
//! keeps deposits and sends refunds, and a wallet whose word on refunds is the only one that counts.
//!
//! | hazard of facts 4 | test |
//! |---|---|
//! | 1 paid again on each fresh 402 | `draw::a_deposit_that_the_seller_keeps_is_never_paid_again`, control: `crash::control_...` |
//! | 2 the invoice is not what was said | `draw::hazard_2_a_deposit_that_asks_for_more_than_it_says_moves_nothing` |
//! | 3 the preimage at another origin | `draw::hazard_3_what_opened_a_session_is_never_shown_to_another_origin` |
//! | 4 a bad return invoice | `draw::hazard_4_a_bad_way_back_never_costs_the_deposit` |
//! | 6 capped by call, not by turn | `streams::the_top_ups_of_one_call_together_stay_below_what_one_call_may_cost` |
//! | 7 what is said of refunds | `close::hazard_7_only_what_the_wallet_saw_counts_as_come_back` |
//! | 11 stale sessions, stuck deposits | `close::hazard_11_...` (twice) |
//! | 12 an invoice for each probe | `draw::hazard_12_a_hundred_calls_cost_one_payment_and_one_invoice` |
//! | 13 a 402 without a challenge | `draw::hazard_13_a_balance_used_up_without_a_challenge_opens_the_next_session` |

#[path = "../support/mod.rs"]
mod support;

mod close;
mod crash;
mod draw;
mod streams;

use bursar::sandbox::{SandboxOptions, mpp_shop::MppShopOptions};
use serde_json::json;
use support::{Host, Told, World};

/// A world whose shop is set up like this.
async fn world(config: &str, shop: MppShopOptions) -> World {
    World::with_options(config, SandboxOptions { mpp_shop: shop, ..SandboxOptions::default() }).await
}

async fn get(host: &Host, world: &World, path: &str) -> Told {
    host.fetch(json!({ "url": format!("{}{path}", world.sandbox.mpp_url()) })).await
}

/// What left the wallet less what came back, in satoshi.
fn cost_sat(world: &World) -> u64 {
    (world.spent_msat() - world.node().received_msat()) / 1000
}
