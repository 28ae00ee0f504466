//! Permit2 on the play chain: what x402's contracts and Permit2 check, and what a node tells of it.

use bitcoin::secp256k1::{Secp256k1, SecretKey};
use bursar::{
    clock::Clock,
    evm::{
        Address,
        eip3009::address_of,
        permit2::{CONTRACT, EXACT, Permit, Permitted, UPTO, Witness},
    },
    sandbox::{Carried, PlayChain, Revert, chain::CHAIN_ID},
};

use crate::buyer::{NOW_S, fresh_nonce};

const SHOP: Address = Address([0x42; 20]);
const FACILITATOR: Address = Address([0xfa; 20]);

struct Bank {
    chain: PlayChain,
    clock: Clock,
    key: SecretKey,
    me: Address,
}

fn bank(allowance: u64) -> Bank {
    let clock = Clock::manual(NOW_S * 1000);
    let chain = PlayChain::new(clock.clone());
    let key = SecretKey::from_slice(&[9; 32]).unwrap();
    let me = address_of(&key.public_key(&Secp256k1::new()));
    chain.mint(me, 1000);
    chain.allow_permit2(me, allowance);
    Bank { chain, clock, key, me }
}

impl Bank {
    fn permit(&self, amount: u64, facilitator: Option<Address>) -> Permit {
        Permit {
            permitted: Permitted { token: self.chain.token().address, amount },
            from: self.me,
            spender: if facilitator.is_some() { UPTO } else { EXACT },
            nonce: fresh_nonce(),
            deadline: NOW_S + 60,
            witness: Witness { to: SHOP, facilitator, valid_after: 0 },
        }
    }

    fn carry(&self, permit: &Permit, amount: u64, by: Address) -> Result<u64, Revert> {
        let signed = permit.clone().sign(CHAIN_ID, &self.key);
        let carried = Carried::Permit { signed, amount, by };
        let would = self.chain.simulate(&carried);
        let did = self.chain.transfer_with_authorization(carried);
        assert_eq!(would, did.as_ref().map(|_| ()).map_err(|revert| *revert), "looking tells what will be");
        did.map(|moved| moved.value)
    }
}

#[test]
fn a_permit_moves_once_for_whom_it_was_signed_within_its_life_and_its_allowance() {
    let bank = bank(500);
    let permit = bank.permit(400, None);
    assert_eq!(bank.carry(&permit, 399, SHOP), Err(Revert::MoreThanPermitted), "exactly what was signed");
    assert_eq!(bank.carry(&permit, 400, SHOP), Ok(400), "whoever carries it");
    assert_eq!(bank.carry(&permit, 400, SHOP), Err(Revert::PermitUsed));
    assert_eq!(bank.carry(&bank.permit(101, None), 101, SHOP), Err(Revert::NoAllowance));
    let late = Permit { deadline: NOW_S - 1, ..bank.permit(10, None) };
    assert_eq!(bank.carry(&late, 10, SHOP), Err(Revert::DeadlinePassed));
    let last_second = Permit { deadline: NOW_S, ..bank.permit(10, None) };
    assert_eq!(bank.carry(&last_second, 10, SHOP), Ok(10));
    assert_eq!((bank.chain.balance_of(&SHOP), bank.chain.moved_units()), (410, 410));
}

#[test]
fn a_price_up_to_is_taken_by_the_signed_facilitator_alone_and_never_above_it() {
    let bank = bank(u64::MAX);
    let permit = bank.permit(400, Some(FACILITATOR));
    assert_eq!(bank.carry(&permit, 1, SHOP), Err(Revert::NotTheFacilitator));
    assert_eq!(bank.carry(&permit, 401, FACILITATOR), Err(Revert::MoreThanPermitted));
    assert_eq!(bank.carry(&permit, 123, FACILITATOR), Ok(123));
    assert_eq!(bank.carry(&permit, 1, FACILITATOR), Err(Revert::PermitUsed), "the rest is nobody's");
}

#[test]
fn another_spender_or_token_or_signature_moves_nothing() {
    let bank = bank(u64::MAX);
    let stranger = Address([0x66; 20]);
    for permit in [
        Permit { spender: stranger, ..bank.permit(5, None) },
        Permit { spender: UPTO, ..bank.permit(5, None) },
        Permit { spender: EXACT, ..bank.permit(5, Some(FACILITATOR)) },
        Permit { permitted: Permitted { token: CONTRACT, amount: 5 }, ..bank.permit(5, None) },
        Permit { from: stranger, ..bank.permit(5, None) },
    ] {
        assert_eq!(bank.carry(&permit, 5, FACILITATOR), Err(Revert::InvalidSigner), "{permit:?}");
    }
    let nobody =
        Permit { witness: Witness { to: Address([0; 20]), ..bank.permit(5, None).witness }, ..bank.permit(5, None) };
    assert_eq!(bank.carry(&nobody, 5, SHOP), Err(Revert::ToNobody));
    bank.clock.advance_ms(1000);
    assert_eq!(bank.chain.moved_units(), 0);
}
