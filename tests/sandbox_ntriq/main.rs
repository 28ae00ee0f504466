//! The play chain and the API that sells for its USDC, from outside: plain HTTP, authorizations signed by hand, and
//! nothing of Bursar's own protocol code. Every test of a hazard asks the book what really moved.
//!
//! The rows are those of the hazards that buyers of x402 have met.

mod book;
mod buyer;
mod command;
mod extensions;
mod money;
mod permit2;
mod rpc;
mod selling;
mod terms;
mod verifying;
