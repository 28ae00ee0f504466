//! The tokens on Tempo that Bursar knows by heart, all US dollars with six decimals (TIP-20).

use super::super::{Address, assets::Chain};

/// Tempo's main network.
pub const MAINNET: u64 = 4217;

/// Its test network, Moderato.
pub const MODERATO: u64 = 42431;

/// Both. They are not among [`assets::CHAINS`](super::super::assets::CHAINS): their tokens know no EIP-3009, so that nothing
/// but Tempo's own transactions pays there.
pub const CHAINS: [Chain; 2] =
    [Chain { id: MAINNET, name: "tempo", test: false }, Chain { id: MODERATO, name: "tempo-moderato", test: true }];

/// Every known token of a chain.
pub fn of_chain(chain_id: u64) -> Vec<Address> {
    KNOWN.iter().filter(|row| row.0 == chain_id).filter_map(|row| row.1.parse().ok()).collect()
}

/// What a token is called, where it is known on this chain.
pub fn token(chain_id: u64, address: &Address) -> Option<&'static str> {
    let known = KNOWN.iter().find(|row| row.0 == chain_id && row.1.parse() == Ok(*address))?;
    Some(known.2)
}

/// Whether this is a chain of Tempo's, and whether its money is worth nothing.
pub fn is_test(chain_id: u64) -> Option<bool> {
    CHAINS.iter().find(|chain| chain.id == chain_id).map(|chain| chain.test)
}

/// Chain, contract, name: what the method's own servers ask for by default.
const KNOWN: [(u64, &str, &str); 5] = [
    (MAINNET, "0x20C000000000000000000000b9537d11c60E8b50", "USDC.e"),
    (MAINNET, "0x20c0000000000000000000000000000000000000", "pathUSD"),
    (MAINNET, "0x20c0000000000000000000006a37DA5C996874BE", "OUSD"),
    (MODERATO, "0x20c0000000000000000000000000000000000000", "pathUSD"),
    (MODERATO, "0x20c0000000000000000000006a37DA5C996874BE", "OUSD"),
];
