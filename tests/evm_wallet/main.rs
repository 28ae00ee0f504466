//! The wallet that pays with stablecoins: what it signs, what it asks of nodes that may lie, and its command line.

#[path = "../support/mod.rs"]
mod support;

mod chain;
mod cli;
mod keys;
mod looking;
mod node;
mod permit2;
mod places;
mod signing;
mod tempo;
