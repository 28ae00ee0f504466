//! The token book: the token's own checks, and nothing that is not written down.

use bitcoin::secp256k1::{Secp256k1, SecretKey};
use bursar::{
    clock::Clock,
    evm::{
        Address,
        assets::Token,
        eip3009::{Authorization, Signed, address_of},
        hex,
    },
    sandbox::{PlayChain, Revert},
};

use crate::buyer::{NOW_S, fresh_nonce};

const SHOP: Address = Address([0x42; 20]);

struct Bank {
    chain: PlayChain,
    clock: Clock,
    key: SecretKey,
    me: Address,
}

fn bank() -> Bank {
    let clock = Clock::manual(NOW_S * 1000);
    let chain = PlayChain::new(clock.clone());
    let key = SecretKey::from_slice(&[9; 32]).unwrap();
    let me = address_of(&key.public_key(&Secp256k1::new()));
    chain.mint(me, 1000);
    Bank { chain, clock, key, me }
}

impl Bank {
    fn note(&self, value: u64) -> Authorization {
        let (from, nonce) = (self.me, fresh_nonce());
        Authorization { from, to: SHOP, value, valid_after: 0, valid_before: NOW_S + 60, nonce }
    }

    fn signed(&self, value: u64) -> Signed {
        self.note(value).sign(self.chain.token(), &self.key)
    }

    fn carry(&self, note: Authorization) -> Result<(), Revert> {
        self.chain.transfer_with_authorization(note.sign(self.chain.token(), &self.key)).map(|_| ())
    }
}

#[test]
fn the_token_is_base_sepolias_usdc_to_the_separator() {
    let token = bank().chain.token().clone();
    assert_eq!(token.address.to_string(), "0x036CbD53842c5426634e7929541eC2318f3dCF7e");
    assert_eq!(hex(&token.separator()), "0x71f17a3b2ff373b803d70a5a07c046c1a2bc8e89c09ef722fcb047abe94c9818");
}

#[test]
fn an_authorization_moves_its_value_once_whoever_carries_it() {
    let bank = bank();
    let signed = bank.signed(400);
    assert!(!bank.chain.authorization_state(&bank.me, &signed.authorization.nonce));
    let transfer = bank.chain.transfer_with_authorization(&signed).unwrap();
    assert_eq!((transfer.from, transfer.to, transfer.value), (bank.me, SHOP, 400));
    assert!(bank.chain.authorization_state(&bank.me, &signed.authorization.nonce));
    assert_eq!(bank.chain.transfer_with_authorization(&signed), Err(Revert::NonceUsed));
    assert_eq!((bank.chain.balance_of(&bank.me), bank.chain.balance_of(&SHOP)), (600, 400));
    assert_eq!((bank.chain.moved(), bank.chain.moved_units()), (vec![transfer], 400));
}

#[test]
fn a_nonce_is_used_per_payer_and_not_for_everybody() {
    let bank = bank();
    let note = bank.note(1);
    bank.carry(note.clone()).unwrap();
    assert!(!bank.chain.authorization_state(&SHOP, &note.nonce));
    assert_eq!(bank.carry(Authorization { value: 2, ..note }), Err(Revert::NonceUsed), "another value, the same nonce");
}

#[test]
fn the_window_is_exclusive_at_both_ends() {
    for (after, before, says) in [
        (NOW_S - 1, NOW_S + 1, Ok(())),
        (NOW_S, NOW_S + 60, Err(Revert::NotYetValid)),
        (0, NOW_S, Err(Revert::Expired)),
        (NOW_S + 1, NOW_S + 60, Err(Revert::NotYetValid)),
        (0, NOW_S - 1, Err(Revert::Expired)),
    ] {
        let bank = bank();
        let note = Authorization { valid_after: after, valid_before: before, ..bank.note(1) };
        assert_eq!(bank.carry(note), says, "{after} {before}");
    }
}

#[test]
fn the_time_is_the_newest_blocks_and_not_the_machines() {
    let bank = bank();
    let note = Authorization { valid_after: NOW_S - 600, ..bank.note(1) };
    bank.chain.set_head_age_s(601);
    assert_eq!(bank.carry(note.clone()), Err(Revert::NotYetValid));
    bank.chain.set_head_age_s(0);
    bank.clock.advance_ms(60_000);
    assert_eq!(bank.carry(note), Err(Revert::Expired));
    assert_eq!(bank.chain.head().timestamp(), NOW_S + 60);
}

#[test]
fn only_the_payers_own_low_signature_over_this_tokens_domain_counts() {
    let bank = bank();
    let good = bank.signed(1);
    let wrong_domain = Token { name: "USD Coin".into(), ..bank.chain.token().clone() };
    let wrong_chain = Token { chain_id: 8453, ..bank.chain.token().clone() };
    let mut flipped = good.clone();
    flipped.signature[64] = if good.signature[64] == 27 { 28 } else { 27 };
    let mut raised = good.clone();
    raised.signature[64] = if good.signature[64] == 27 { 28 } else { 27 };
    raised.signature[32..64].copy_from_slice(&negated(&good.signature[32..64]));
    let mut zero_v = good.clone();
    zero_v.signature[64] -= 27;
    let mut dearer = good.clone();
    dearer.authorization.value = 2;
    let stranger = SecretKey::from_slice(&[8; 32]).unwrap();
    for (what, signed) in [
        ("another domain", bank.note(1).sign(&wrong_domain, &bank.key)),
        ("another chain", bank.note(1).sign(&wrong_chain, &bank.key)),
        ("another key", bank.note(1).sign(bank.chain.token(), &stranger)),
        ("the other v", flipped),
        ("a high s", raised),
        ("v without 27", zero_v),
        ("another value", dearer),
    ] {
        assert_eq!(bank.chain.transfer_with_authorization(&signed), Err(Revert::BadSignature), "{what}");
    }
    assert_eq!(bank.chain.moved_units(), 0);
    assert!(bank.chain.transfer_with_authorization(&good).is_ok());
}

/// The curve's order minus `s`: a signature that is as valid and that tokens refuse.
fn negated(s: &[u8]) -> [u8; 32] {
    SecretKey::from_slice(s).unwrap().negate().secret_bytes()
}

#[test]
fn nobody_pays_more_than_they_hold_and_a_refusal_uses_no_nonce() {
    let bank = bank();
    let note = bank.note(1001);
    assert_eq!(bank.carry(note.clone()), Err(Revert::InsufficientBalance));
    assert!(!bank.chain.authorization_state(&bank.me, &note.nonce));
    bank.chain.mint(bank.me, 1);
    assert_eq!(bank.carry(note), Ok(()));
    assert_eq!(bank.carry(Authorization { to: Address([0; 20]), ..bank.note(0) }), Err(Revert::ToNobody));
    assert!(!bank.chain.spend(bank.me, SHOP, 1), "there is nothing left to spend");
}

#[test]
fn what_was_broadcast_moves_only_when_it_is_mined() {
    let bank = bank();
    let (first, second) = (bank.signed(100), bank.signed(200));
    let transaction = bank.chain.broadcast(&first);
    bank.chain.broadcast(&first);
    assert_eq!(bank.chain.moved_units(), 0);
    let mined = bank.chain.mine_pending();
    assert_eq!(mined[0].as_ref().unwrap().transaction, transaction);
    assert_eq!(mined[1], Err(Revert::NonceUsed));
    bank.chain.broadcast(&second);
    assert_eq!((bank.chain.drop_pending(), bank.chain.mine_pending().len()), (1, 0));
    assert_eq!(bank.chain.moved_units(), 100);
}

#[test]
fn the_book_counts_every_unit_and_no_plain_transfer() {
    let bank = bank();
    for value in 1..=10 {
        bank.chain.transfer_with_authorization(bank.signed(value)).unwrap();
    }
    assert!(bank.chain.spend(bank.me, Address([1; 20]), 45));
    assert_eq!((bank.chain.moved_units(), bank.chain.spent_by(&bank.me), bank.chain.moved().len()), (55, 55, 10));
    assert_eq!(bank.chain.balance_of(&bank.me), 1000 - 55 - 45);
}
