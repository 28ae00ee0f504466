//! Money over x402: the real server, an MCP client, a play chain that counts every unit, and a seller that can do
//! anything a seller did to somebody. `H` numbers are the rows of the hazards of x402.

#[path = "../support/mod.rs"]
mod support;

mod answers;
mod balance;
mod books;
mod crash;
mod limits;
mod memory;
mod permit2;
mod person;
mod shop;
mod ways;
