//! Free tiers that a seller names.

use super::{Challenge, Seen};

pub(super) fn read(_: Seen<'_>, _: &mut Challenge) {}
