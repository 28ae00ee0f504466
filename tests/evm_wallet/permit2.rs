//! The wallet and Permit2: what it signs, what it asks first, and how much it finds to have been taken.

use bursar::{
    clock::Clock,
    evm::{
        Address,
        eip3009::Transfer,
        permit2::{self, Signed, Taking},
    },
    money::{Amount, Currency},
    protocol::Rail,
    sandbox::{Carried, ChainRpc, PlayChain, RpcMode},
    wallet::{Bill, LookSaid, WalletError},
};

use crate::node::{ACCOUNT, NOW, Purse, bill, purse, purse_with, token, transfer};

const FACILITATOR: Address = Address([0xfa; 20]);
const UPTO: Taking = Taking::UpTo { facilitator: FACILITATOR };

fn permit_bill(taking: Taking, transfer: Transfer) -> Bill {
    Bill::Permit2 { transfer, taking, deadline: NOW + 120, seed: b"local/purchase 1".to_vec() }
}

/// A chain with 2.5 dollars at our account and an allowance, its node, and a wallet that asks it.
async fn world(allowance: u64) -> (PlayChain, ChainRpc, Purse) {
    let clock = Clock::manual(NOW * 1000);
    let chain = PlayChain::new(clock.clone());
    let me: Address = ACCOUNT.parse().unwrap();
    chain.mint(me, 2_500_000);
    chain.allow_permit2(me, allowance);
    let rpc = ChainRpc::start(chain.clone(), ([127, 0, 0, 1], 0).into()).await.unwrap();
    let mut purse = purse_with("permit2 = true", &[&rpc.url()]);
    // One clock for both, so that a test can let the chain go on.
    purse.clock = clock;
    (chain, rpc, purse)
}

async fn signed(purse: &Purse, bill: &Bill) -> Signed {
    serde_json::from_slice(&purse.wallet.prepare(bill).await.unwrap().wire).unwrap()
}

#[tokio::test]
async fn a_permit_is_signed_for_exactly_what_was_asked_by_the_contract_that_was_asked_for() {
    let (_chain, _rpc, purse) = world(10_000).await;
    for (taking, spender) in [(Taking::Exact, permit2::EXACT), (UPTO, permit2::UPTO)] {
        let bill = permit_bill(taking, transfer());
        let signed = signed(&purse, &bill).await;
        let permit = &signed.permit;
        assert_eq!(signed.signer(token().chain_id), Some(ACCOUNT.parse().unwrap()));
        assert_eq!((permit.spender, permit.deadline, permit.witness.valid_after), (spender, NOW + 120, 0));
        assert!(permit.is_for(&taking));
        assert_eq!((permit.permitted.token, permit.permitted.amount), (token().address, 10_000));
        assert_eq!((permit.witness.to, permit.from), (transfer().to, ACCOUNT.parse().unwrap()));
        let key = purse.wallet.rail_key(&bill).unwrap();
        let token = token().address.to_string().to_lowercase();
        assert_eq!(key, format!("permit2:84532:{token}:{ACCOUNT}:{}", bursar::evm::hex(&permit.nonce)));
    }
    assert!(purse.wallet.pays(Rail::PERMIT2, "eip155:84532") && !purse.wallet.pays(Rail::PERMIT2, "eip155:8453"));
}

#[tokio::test]
async fn the_nonce_is_the_purchases_own_whoever_may_charge_and_whenever_it_is_signed() {
    let (_chain, _rpc, purse) = world(u64::MAX).await;
    let key = |bill: &Bill| purse.wallet.rail_key(bill).unwrap();
    let one = key(&permit_bill(UPTO, transfer()));
    assert_eq!(one, key(&permit_bill(Taking::UpTo { facilitator: Address([1; 20]) }, transfer())));
    assert_eq!(one, key(&permit_bill(UPTO, transfer()).within(NOW + 60)));
    let more = Transfer { value: 10_001, ..transfer() };
    assert_ne!(one, key(&permit_bill(UPTO, more)));
    assert_ne!(one, key(&bill()), "the rails have keys of their own");
    assert_eq!(permit_bill(UPTO, transfer()).within(NOW + 60).liability_until(None), NOW + 60);
}

#[tokio::test]
async fn nothing_is_signed_where_it_is_off_or_nobody_can_be_asked_or_the_allowance_is_too_small() {
    let refused = async |purse: &Purse| match purse.wallet.prepare(&permit_bill(UPTO, transfer())).await {
        Err(WalletError::Said { code, message }) => {
            assert_eq!(code, "NO_ALLOWANCE");
            message
        }
        other => panic!("{other:?}"),
    };
    assert!(refused(&purse(&[])).await.contains("not turned Permit2 on"));
    assert!(!purse(&[]).wallet.pays(Rail::PERMIT2, "eip155:84532"));
    assert!(refused(&purse_with("permit2 = true", &[])).await.contains("sets a node (rpc)"));
    let (chain, rpc, purse) = world(9_999).await;
    let say = refused(&purse).await;
    assert!(
        say.contains("9999 units") && say.contains("needs 10000") && say.contains("never signs an approval"),
        "{say}"
    );
    let price = Amount::new(Currency::Usd, 10_000).unwrap();
    let (network, asset) = ("eip155:84532", token().address.to_string());
    let objection = async |rail| purse.wallet.objection(rail, network, &asset, price).await;
    assert_eq!(objection(Rail::PERMIT2).await.unwrap().0, "no_allowance");
    assert!(objection(Rail::EIP3009).await.is_none());
    chain.allow_permit2(ACCOUNT.parse().unwrap(), 10_000);
    assert!(objection(Rail::PERMIT2).await.is_none());
    rpc.set_mode(RpcMode::Garbage);
    let prepared = purse.wallet.prepare(&permit_bill(UPTO, transfer())).await;
    assert!(matches!(prepared, Err(WalletError::Unreachable(_))), "{prepared:?}");
}

#[tokio::test]
async fn what_was_taken_is_found_by_the_block_in_which_the_nonce_became_used() {
    let (chain, rpc, purse) = world(u64::MAX).await;
    let me: Address = ACCOUNT.parse().unwrap();
    let bill = permit_bill(UPTO, transfer());
    let signed = signed(&purse, &bill).await;
    let wire = serde_json::to_vec(&signed).unwrap();
    let intent = purse.commit_on(Rail::PERMIT2, wire, purse.wallet.rail_key(&bill).unwrap()).await;
    let look = async || purse.wallet.look_up(&intent).await;
    assert!(matches!(look().await, LookSaid::NotFound));
    // What the payee got before and after is not what this took.
    chain.spend(me, transfer().to, 3);
    purse.clock.advance_ms(1_000);
    let carried = Carried::Permit { signed, amount: 4_321, by: FACILITATOR };
    let moved = chain.transfer_with_authorization(&carried).unwrap();
    for extra in [5, 7] {
        match look().await {
            LookSaid::OnChain { transaction, taken: Some(4_321) } => {
                assert_eq!(transaction, Some(bursar::evm::hex(&moved.transaction)));
            }
            other => panic!("{other:?}"),
        }
        purse.clock.advance_ms(1_000);
        chain.spend(me, transfer().to, extra);
    }
    assert!(
        matches!(purse.wallet.prepare(&bill).await, Err(WalletError::Said { code, .. }) if code == "BOUGHT_BEFORE")
    );
    rpc.set_mode(RpcMode::ShortLogs(10));
    assert!(matches!(look().await, LookSaid::OnChain { taken: None, .. }), "used, and nobody says how much");
    rpc.set_mode(RpcMode::HangsUp);
    assert!(matches!(look().await, LookSaid::CannotTell { .. }));
}

/// Of several transfers in that block the most that it can have been counts, and none is named.
#[tokio::test]
async fn where_the_payee_got_several_sums_in_one_block_the_most_that_it_can_have_been_counts() {
    let (chain, _rpc, purse) = world(u64::MAX).await;
    let me: Address = ACCOUNT.parse().unwrap();
    let bill = permit_bill(UPTO, transfer());
    let signed = signed(&purse, &bill).await;
    let wire = serde_json::to_vec(&signed).unwrap();
    let intent = purse.commit_on(Rail::PERMIT2, wire, purse.wallet.rail_key(&bill).unwrap()).await;
    chain.transfer_with_authorization(Carried::Permit { signed, amount: 100, by: FACILITATOR }).unwrap();
    chain.spend(me, transfer().to, 900);
    chain.spend(me, transfer().to, 50_000);
    match purse.wallet.look_up(&intent).await {
        LookSaid::OnChain { transaction: None, taken: Some(900) } => {}
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_permit_that_nobody_used_is_void_only_when_the_chain_went_on_past_its_end() {
    let (chain, _rpc, purse) = world(u64::MAX).await;
    let bill = permit_bill(Taking::Exact, transfer());
    let signed = signed(&purse, &bill).await;
    let wire = serde_json::to_vec(&signed).unwrap();
    let intent = purse.commit_on(Rail::PERMIT2, wire, purse.wallet.rail_key(&bill).unwrap()).await;
    purse.clock.advance_ms(149_000);
    assert!(matches!(purse.wallet.look_up(&intent).await, LookSaid::NotFound));
    purse.clock.advance_ms(1_000);
    assert!(matches!(purse.wallet.look_up(&intent).await, LookSaid::Void));
    assert!(chain.transfer_with_authorization(Carried::Permit { signed, amount: 10_000, by: FACILITATOR }).is_err());
    assert_eq!(chain.moved_units(), 0);
}
