//! The MCP face from outside: the real binary, spoken to as hosts do, in both eras.

#[path = "../support/mod.rs"]
mod support;

mod calls;
mod lines;
mod list;
mod pages;
mod schemas;
mod shelf;
mod start;

use support::Era;

/// Both protocols that MCP has.
const ERAS: [Era; 2] = [Era::Handshake, Era::Stateless];
