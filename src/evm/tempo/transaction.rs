//! Tempo's own transaction (type 0x76): some token transfers that happen together or not at all, signed without asking
//! a node for anything.
//!
//! `[chainId, maxPriorityFee, maxFee, gas, calls, accessList, nonceKey, nonce, validBefore, validAfter, feeToken,
//! feePayer, authorizations, signature]`. An expiring nonce (key 2²⁵⁶-1) needs no counter: the chain takes each such
//! transaction once, and none after `validBefore`, which lies at most 30 s ahead (TIP-1009).

use super::{
    super::{Address, keccak256, word},
    Charge, Fees,
    rlp::{Items, list},
};

/// The type of a whole transaction.
const WHOLE: u8 = 0x76;

/// The type of one that a sponsor has yet to complete. No chain takes it.
const FOR_A_SPONSOR: u8 = 0x78;

/// `transfer(address,uint256)`.
const TRANSFER: [u8; 4] = [0xa9, 0x05, 0x9c, 0xbb];

/// `transferWithMemo(address,uint256,bytes32)`.
const TRANSFER_WITH_MEMO: [u8; 4] = [0x95, 0x77, 0x7d, 0x59];

/// The gas that is allowed for one transfer and for each further one. A first use of an expiring nonce costs more than
/// 300,000; one transfer was measured at 51,287.
const GAS: (u64, u64) = (1_000_000, 100_000);

/// The most that is paid for a unit of gas, and the tip within it, in 10⁻¹⁸ dollars. The base fee is fixed at 20 billion.
const MAX_FEE: u64 = 41_000_000_000;
const MAX_TIP: u64 = 1_000_000_000;

/// The bytes to show to the seller: the charge with its sender's signature.
pub(super) fn assembled(charge: &Charge, valid_before: u64, from: &Address, signature: &[u8; 65]) -> Vec<u8> {
    // A sponsor is told who signed where its own signature will stand.
    let (kind, payer): (u8, &[u8]) = match charge.fees {
        Fees::Token(_) => (WHOLE, &[]),
        Fees::Sponsored => (FOR_A_SPONSOR, &from.0),
    };
    let items = fields(charge, valid_before, payer).bytes(signature);
    [vec![kind], list(&items)].concat()
}

/// What the sender signs: the same fields without a signature.
pub(super) fn digest(charge: &Charge, valid_before: u64) -> [u8; 32] {
    // A zero in the sponsor's place says that there will be one, and that the sender leaves the fee token to it.
    let payer: &[u8] = match charge.fees {
        Fees::Token(_) => &[],
        Fees::Sponsored => &[0],
    };
    keccak256(&[vec![WHOLE], list(&fields(charge, valid_before, payer))].concat())
}

fn fields(charge: &Charge, valid_before: u64, fee_payer: &[u8]) -> Items {
    let calls = charge.transfers.iter().fold(Items::default(), |calls, transfer| {
        let call = Items::default().bytes(&charge.token.0).number(0);
        calls.list(call.bytes(&data(&transfer.to, transfer.value, transfer.memo.as_ref())))
    });
    let fee_token: &[u8] = match &charge.fees {
        Fees::Token(token) => &token.0,
        Fees::Sponsored => &[],
    };
    Items::default()
        .number(charge.chain_id)
        .number(MAX_TIP)
        .number(MAX_FEE)
        .number(gas(charge))
        .list(calls)
        .list(Items::default())
        .bytes(&[0xff; 32])
        .number(0)
        .number(valid_before)
        .bytes(&[])
        .bytes(fee_token)
        .bytes(fee_payer)
        .list(Items::default())
}

fn data(to: &Address, value: u64, memo: Option<&[u8; 32]>) -> Vec<u8> {
    let selector = if memo.is_some() { TRANSFER_WITH_MEMO } else { TRANSFER };
    [&selector[..], &to.word(), &word(value), memo.map_or(&[][..], |memo| memo)].concat()
}

fn gas(charge: &Charge) -> u64 {
    let more = charge.transfers.len().saturating_sub(1) as u64;
    GAS.0.saturating_add(GAS.1.saturating_mul(more))
}

/// The most that a charge may cost its sender beside what it transfers, in millionths of a dollar.
pub(super) fn fee_cap(charge: &Charge) -> u64 {
    match charge.fees {
        Fees::Sponsored => 0,
        Fees::Token(_) => {
            let most = u128::from(gas(charge)) * u128::from(MAX_FEE);
            u64::try_from(most.div_ceil(1_000_000_000_000)).unwrap_or(u64::MAX)
        }
    }
}
