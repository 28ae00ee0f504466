//! What the official conformance suite wants to find behind a server, mounted behind Bursar's own way in: the same listener,
//! guards, tokens, caps and router, with other tools. It holds no money and is no part of the product.
//!
//! `tests/peers/run conformance` drives it; the words in it are those that the suite asks for.

mod asking;
mod catalogue;
mod fixtures;
mod tasks;

use bursar::{
    clock::Clock,
    config::Config,
    purchase::Purse,
    server::{HttpOptions, serve_http_as},
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let purse = Purse::new(Config::load()?, Clock::system(), None);
    let listen = "127.0.0.1:0".parse()?;
    let options = HttpOptions { listen, allow_remote: false, names: Vec::new(), sse: true };
    Ok(serve_http_as(purse, options, |_| fixtures::Fixtures::new()).await?)
}
