//! What is signed, and what is refused before anything is.

use bursar::{
    evm::{Address, assets::Token},
    money::{Amount, Currency},
    protocol::Rail,
    wallet::{Bill, PaySaid, Wallet, WalletError},
};

use crate::node::{ACCOUNT, KEY, Known, NOW, Node, Odd, bill, bill_of, purse, signed, token, transfer};

async fn refused(wallet: &dyn Wallet, bill: &Bill) -> String {
    assert!(wallet.prepare(bill).await.is_err());
    wallet.prepare(bill).await.unwrap_err().to_string()
}

#[tokio::test]
async fn a_bill_is_signed_by_the_account_for_exactly_what_it_asks() {
    let purse = purse(&[]);
    let prepared = purse.wallet.prepare(&bill()).await.unwrap();
    let signed = signed(&prepared);
    let said = &signed.authorization;
    assert_eq!(signed.signer(&token()).unwrap(), ACCOUNT.parse().unwrap());
    assert_eq!((said.to, said.value, said.from), (transfer().to, 10_000, ACCOUNT.parse().unwrap()));
    assert_eq!((said.valid_after, said.valid_before), (0, NOW + 120));
    assert_eq!(prepared.resend_until, NOW + 120);
    let key = purse.wallet.rail_key(&bill()).unwrap();
    let token = token().address.to_string().to_lowercase();
    assert_eq!(key, format!("eip3009:84532:{token}:{ACCOUNT}:{}", bursar::evm::hex(&said.nonce)));
    assert_eq!(key, key.to_lowercase());
}

#[tokio::test]
async fn another_process_with_the_same_key_signs_the_same_nonce_and_each_input_makes_another() {
    let (one, two) = (purse(&[]), purse(&[]));
    let key = |bill: &Bill| one.wallet.rail_key(bill).unwrap();
    assert_eq!(key(&bill()), two.wallet.rail_key(&bill()).unwrap());
    let later = |bill: Bill| match bill {
        Bill::Eip3009 { transfer, seed, .. } => Bill::Eip3009 { transfer, seed, valid_before: NOW + 60 },
        other => other,
    };
    assert_eq!(key(&bill()), key(&later(bill())), "a second try of one purchase must not be a second payment");
    let mut others = vec![key(&bill())];
    let mut more = transfer();
    more.value += 1;
    others.push(key(&bill_of(more)));
    let mut elsewhere = transfer();
    elsewhere.to = Address([0x16; 20]);
    others.push(key(&bill_of(elsewhere)));
    if let Bill::Eip3009 { transfer, valid_before, .. } = bill() {
        others.push(key(&Bill::Eip3009 { transfer, valid_before, seed: b"local/purchase 2".to_vec() }));
    }
    let count = others.len();
    others.sort();
    others.dedup();
    assert_eq!(others.len(), count, "{others:#?}");
}

#[tokio::test]
async fn what_the_wallet_does_not_know_to_the_letter_is_not_signed() {
    let purse = purse(&[]);
    let with = |change: fn(&mut Token)| {
        let mut transfer = transfer();
        change(&mut transfer.token);
        bill_of(transfer)
    };
    let mut none = transfer();
    none.value = 0;
    let mut all = transfer();
    all.value = u64::MAX;
    for bill in [
        with(|t| t.name = "USD Coin".into()),
        with(|t| t.version = "1".into()),
        with(|t| t.address = Address([1; 20])),
        with(|t| t.chain_id = 8453),
        with(|t| t.chain_id = 5),
        bill_of(none),
        bill_of(all),
    ] {
        let say = refused(&*purse.wallet, &bill).await;
        assert!(say.contains("does not pay with that token"), "{say}");
        assert_eq!(purse.wallet.rail_key(&bill), None);
    }
    for valid_before in [0, NOW - 1, NOW, NOW + 86_400, u64::MAX] {
        let bill = Bill::Eip3009 { transfer: transfer(), valid_before, seed: Vec::new() };
        let say = refused(&*purse.wallet, &bill).await;
        assert!(say.contains("void already, or stay open"), "{valid_before}: {say}");
    }
    let amount = Amount::msat(1000).unwrap();
    let (invoice, payment_hash) = ("lnbc1".into(), "00".repeat(32));
    let lightning = Bill::Bolt11 { invoice, payment_hash, amount, expires_at: NOW + 60, fee_cap: amount };
    assert!(refused(&*purse.wallet, &lightning).await.contains("stablecoins"));
    assert_eq!(purse.wallet.rail_key(&lightning), None);
}

#[tokio::test]
async fn it_pays_on_its_own_chains_only_costs_nothing_on_top_and_sends_nothing_itself() {
    let purse = purse(&[]);
    let wallet = &purse.wallet;
    assert!(wallet.pays(Rail::EIP3009, "eip155:84532"));
    for (rail, network) in [
        (Rail::EIP3009, "eip155:8453"),
        (Rail::EIP3009, "base-sepolia"),
        (Rail::EIP3009, ""),
        (Rail::LIGHTNING, "eip155:84532"),
    ] {
        assert!(!wallet.pays(rail, network), "{rail} {network}");
    }
    let price = Amount::new(Currency::Usd, 5).unwrap();
    assert_eq!(wallet.fee_cap(price), Amount::zero(Currency::Usd));
    assert_eq!((wallet.kind(), wallet.id(), wallet.remember()), ("evm", format!("evm:{ACCOUNT}"), String::new()));
    let intent = purse.committed().await;
    assert!(matches!(wallet.pay(&intent).await, PaySaid::Unknown { .. }));
}

#[tokio::test]
async fn a_purchase_that_the_chain_has_seen_is_not_signed_again() {
    let node = Node::start(Known { used: true, ..Known::default() }).await;
    let purse = purse(&[&node.url()]);
    match purse.wallet.prepare(&bill()).await {
        Err(WalletError::Said { code, message }) => {
            assert_eq!(code, "BOUGHT_BEFORE");
            assert!(message.contains("paid before"), "{message}");
        }
        other => panic!("{other:?}"),
    }
    // With the ledger that was lost stands nothing else between us and a second payment: not even the time.
    purse.clock.advance_ms(86_400_000);
    let later = Bill::Eip3009 { transfer: transfer(), valid_before: NOW + 86_500, seed: b"local/purchase 1".to_vec() };
    assert!(matches!(purse.wallet.prepare(&later).await, Err(WalletError::Said { .. })));
    node.set(|known| known.used = false);
    assert!(purse.wallet.prepare(&later).await.is_ok());
}

#[tokio::test]
async fn a_node_that_does_not_answer_hinders_no_purchase_and_the_next_one_is_asked() {
    let used = Node::start(Known { used: true, ..Known::default() }).await;
    for odd in [Odd::Html, Odd::Silence, Odd::HangUp, Odd::OtherId, Odd::NoWord, Odd::Status(503), Odd::Huge] {
        let node = Node::odd(odd.clone()).await;
        let alone = purse(&[&node.url()]);
        assert!(alone.wallet.prepare(&bill()).await.is_ok(), "{odd:?}");
        let both = purse(&[&node.url(), &used.url()]);
        let second = both.wallet.prepare(&bill()).await;
        assert!(matches!(second, Err(WalletError::Said { .. })), "{odd:?}: {second:?}");
    }
    let other_chain = Node::start(Known { chain: 1, used: true, ..Known::default() }).await;
    assert!(purse(&[&other_chain.url()]).wallet.prepare(&bill()).await.is_ok(), "another chain's word was taken");
    assert_eq!(other_chain.asked("eth_call"), 0);
}

#[tokio::test]
async fn neither_the_wallet_nor_its_bytes_nor_its_errors_show_the_key() {
    let purse = purse(&[]);
    let prepared = purse.wallet.prepare(&bill()).await.unwrap();
    assert!(!String::from_utf8_lossy(&prepared.wire).contains(KEY));
    let config = crate::node::config(purse.home.path(), &["http://127.0.0.1:1/CANARYPATH"]);
    let shown = format!("{config:?}");
    assert!(!shown.contains(KEY) && !shown.contains("CANARY"), "{shown}");
}
