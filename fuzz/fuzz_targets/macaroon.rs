//! Macaroons, raw and as tokens: typed results, bounded, never a panic.
#![no_main]

use bursar::protocol::l402::{Macaroon, binding, hints};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(macaroon) = Macaroon::read(data) {
        let _ = macaroon.id();
        assert!(macaroon.caveats.len() <= 256);
        assert!(macaroon.conditions().count() <= macaroon.caveats.len());
    }
    if let Ok(token) = std::str::from_utf8(data) {
        let _ = binding(token, &"00".repeat(32));
        let hints = hints(token);
        assert!(hints.services.len() <= 16 && hints.path.is_none_or(|p| p.starts_with('/') && p.len() <= 512));
    }
});
