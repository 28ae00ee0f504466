//! MCP over HTTP from outside: the real binary, its guards, and several agents with a purse each.

#[path = "../support/mod.rs"]
mod support;

mod caps;
mod door;
mod guards;
mod leaving;
mod older;
mod packaging;
mod people;
mod points;
mod purses;
mod shared;
mod stream;
mod tokens;

use support::Era;

/// Both protocols that MCP has.
const ERAS: [Era; 2] = [Era::Handshake, Era::Stateless];
