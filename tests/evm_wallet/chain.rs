//! The wallet on the play chain, whose token and node make the real ones' checks: what is signed really moves.

use bursar::{
    clock::Clock,
    evm::eip3009::Signed,
    http::Client,
    money::Amount,
    sandbox::{ChainRpc, PlayChain},
    wallet::{LookSaid, WalletError, evm_from_config},
};

use crate::node::{ACCOUNT, NOW, Purse, bill, config, transfer};

/// A chain with 2.5 dollars at our account, its node, and a wallet that asks it.
async fn world() -> (PlayChain, ChainRpc, Purse) {
    let clock = Clock::manual(NOW * 1000);
    let chain = PlayChain::new(clock.clone());
    chain.mint(ACCOUNT.parse().unwrap(), 2_500_000);
    let rpc = ChainRpc::start(chain.clone(), ([127, 0, 0, 1], 0).into()).await.unwrap();
    let home = tempfile::tempdir().unwrap();
    let config = config(home.path(), &[&rpc.url()]);
    let wallet = evm_from_config(&config, clock.clone(), Client::new(config.http.clone())).unwrap().unwrap();
    (chain, rpc, Purse { wallet, clock, home })
}

#[tokio::test]
async fn what_is_signed_moves_once_is_found_on_chain_and_is_never_signed_again() {
    let (chain, _rpc, purse) = world().await;
    let intent = purse.committed().await;
    assert!(matches!(purse.wallet.look_up(&intent).await, LookSaid::NotFound));
    let signed: Signed = serde_json::from_slice(&intent.wire).unwrap();
    let moved = chain.transfer_with_authorization(&signed).unwrap();
    assert_eq!((moved.to, moved.value, chain.moved_units()), (transfer().to, 10_000, 10_000));
    match purse.wallet.look_up(&intent).await {
        LookSaid::OnChain { transaction, .. } => assert_eq!(transaction, Some(bursar::evm::hex(&moved.transaction))),
        other => panic!("{other:?}"),
    }
    assert!(chain.transfer_with_authorization(&signed).is_err(), "the token took a nonce twice");
    match purse.wallet.prepare(&bill()).await {
        Err(WalletError::Said { code, .. }) => assert_eq!(code, "BOUGHT_BEFORE"),
        other => panic!("{other:?}"),
    }
    let left: Amount = "2.49 usd".parse().unwrap();
    assert_eq!(purse.wallet.info().await.unwrap().balance, Some(left));
}

#[tokio::test]
async fn what_nobody_carried_to_the_chain_is_void_after_its_end_and_cannot_be_carried_any_more() {
    let (chain, _rpc, purse) = world().await;
    let intent = purse.committed().await;
    purse.clock.advance_ms(149_000);
    assert!(matches!(purse.wallet.look_up(&intent).await, LookSaid::NotFound));
    purse.clock.advance_ms(1_000);
    assert!(matches!(purse.wallet.look_up(&intent).await, LookSaid::Void));
    // The machine's clock alone ends nothing: a chain that stands still may take it yet.
    chain.set_head_age_s(60);
    assert!(matches!(purse.wallet.look_up(&intent).await, LookSaid::NotFound));
    chain.set_head_age_s(0);
    let signed: Signed = serde_json::from_slice(&intent.wire).unwrap();
    assert!(chain.transfer_with_authorization(&signed).is_err());
    assert_eq!(chain.moved_units(), 0);
}
