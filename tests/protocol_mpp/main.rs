//! MPP challenges, credentials and receipts: the vectors that others made, the methods that are paid, and every shape
//! that must not be.

#[path = "../protocol_mint/mod.rs"]
mod protocol_mint;

mod evm;
mod lightning;
mod seller;
mod session;
mod shapes;
mod tempo;
mod vectors;
