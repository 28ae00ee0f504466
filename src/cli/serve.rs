use std::{net::SocketAddr, process::ExitCode};

use super::{Done, purse};
use crate::server::{HttpOptions, Server, serve_http, serve_stdio};

/// Serve MCP over standard input and output (what a host runs), or over HTTP
///
/// Over HTTP each agent needs a token (`bursar token create NAME`) and has a purse of its own. The server listens on this
/// machine alone unless told, takes only requests for its own name, and none from pages of other origins.
#[derive(clap::Args, Default)]
#[command(after_help = "\
Examples:
  bursar serve                                      what an mcpServers file runs
  bursar serve --http 127.0.0.1:8402                streamable HTTP at /mcp, /healthz, /metrics
  bursar serve --http 0.0.0.0:8402 --allow-remote --host purse.example     behind a proxy that speaks TLS")]
pub(super) struct ServeArgs {
    /// Serve over HTTP at this address instead of standard input and output
    #[arg(long, value_name = "ADDRESS:PORT")]
    http: Option<SocketAddr>,
    /// Let other machines connect; tokens travel as they are, so TLS belongs in front
    #[arg(long, requires = "http")]
    allow_remote: bool,
    /// What clients call this server, such as purse.example or 10.0.0.5:8402 (may be repeated)
    #[arg(long, value_name = "NAME[:PORT]", requires = "allow_remote")]
    host: Vec<String>,
    /// Serve the older HTTP+SSE transport too, at /sse and /messages
    #[arg(long, requires = "http")]
    sse: bool,
}

/// Serves until the host hangs up, or over HTTP until the process is asked to stop. Over standard input and output nothing
/// is opened before a tool needs it.
pub(super) async fn run(args: ServeArgs) -> Done {
    let (purse, caller) = purse()?;
    match args.http {
        None => serve_stdio(Server::new(purse, caller)).await?,
        Some(listen) => {
            let ServeArgs { allow_remote, host: names, sse, .. } = args;
            serve_http(purse, HttpOptions { listen, allow_remote, names, sse }).await?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
