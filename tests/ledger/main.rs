//! The ledger from outside, through its public face: one file a subject.

mod agents;
mod book;
mod budgets;
mod earlier;
mod file;
mod model;
mod part;
mod race;
mod results;
mod steps;
mod tampering;
