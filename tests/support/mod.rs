//! The world the tests live in: the sandbox in this process, the real `bursar` as a child process, and sellers of every
//! kind on loopback. Everything ends when the test drops it.

#![allow(dead_code, unused_imports, reason = "each test file uses its own part")]

pub mod attack;
pub mod host;
pub mod money;
pub mod naive;
pub mod seller;
pub mod world;

pub use host::{Era, Host, Link, Told};
pub use money::{Naive, until, until_answered, until_state};
pub use naive::naive_msat;
pub use seller::{Drip, Gate, Hit, Reply, Seller, Then, token_for};
pub use world::World;
