//! The tokens on Tempo that Bursar knows by heart, all US dollars with six decimals (TIP-20).

use super::super::Address;

/// Tempo's main network.
pub const MAINNET: u64 = 4217;

/// Its test network, Moderato.
pub const MODERATO: u64 = 42431;

/// What a token is called, where it is known on this chain.
pub fn token(chain_id: u64, address: &Address) -> Option<&'static str> {
    let known = KNOWN.iter().find(|row| row.0 == chain_id && row.1.parse() == Ok(*address))?;
    Some(known.2)
}

/// Whether this is a chain of Tempo's, and whether its money is worth nothing.
pub fn is_test(chain_id: u64) -> Option<bool> {
    match chain_id {
        MAINNET => Some(false),
        MODERATO => Some(true),
        _ => None,
    }
}

/// Chain, contract, name: what the method's own servers ask for by default.
const KNOWN: [(u64, &str, &str); 5] = [
    (MAINNET, "0x20C000000000000000000000b9537d11c60E8b50", "USDC.e"),
    (MAINNET, "0x20c0000000000000000000000000000000000000", "pathUSD"),
    (MAINNET, "0x20c0000000000000000000006a37DA5C996874BE", "OUSD"),
    (MODERATO, "0x20c0000000000000000000000000000000000000", "pathUSD"),
    (MODERATO, "0x20c0000000000000000000006a37DA5C996874BE", "OUSD"),
];
