//! The guarded client, from outside: real sockets on this machine play the sellers, and each is as hostile as it can.
//!
//! The attack rows (A44, ...) are those of the attack catalogue that the client was built against.

mod addresses;
mod asking;
mod certificates;
mod headers;
mod reading;
mod redirects;
mod seller;
