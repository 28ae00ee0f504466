use std::process::ExitCode;

use super::{Done, purse};
use crate::server::{Server, serve_stdio};

#[derive(clap::Args, Default)]
pub(super) struct ServeArgs {}

/// Serves until the host hangs up. Opens nothing before a tool needs it.
pub(super) async fn run(_: ServeArgs) -> Done {
    let (purse, caller) = purse()?;
    serve_stdio(Server::new(purse, caller)).await?;
    Ok(ExitCode::SUCCESS)
}
