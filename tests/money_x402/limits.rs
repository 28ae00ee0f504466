//! Budgets in dollars, a person's yes, the other world, and what a buyer without a ledger loses under the same scripts.

use bursar::{
    evm::eip3009::{Authorization, Transfer},
    http::{Ask, Client, Limits, Policy, Settings},
    protocol::{self, Seen, Way},
    sandbox::NtriqMode,
};
use futures_util::future::join_all;

use crate::{
    shop::{CENT, Shop, TEXT},
    support::until_state,
};

/// H8, H9: the session's limit holds over many purchases at once, to the unit, and signatures under way count.
#[tokio::test]
async fn a_session_spends_its_limit_and_not_a_unit_more() {
    let limits = "[limits.ceiling]\nusd = { purchase = \"1\", session = \"0.05\", day = \"1\" }\n";
    let shop = Shop::with(limits).await;
    let host = shop.world.host().await;
    let texts: Vec<String> = (0..12).map(|n| format!("text {n}")).collect();
    let told = join_all(texts.iter().map(|text| host.fetch(shop.ask(TEXT, text)))).await;
    assert_eq!(told.iter().filter(|t| t.outcome() == "bought").count(), 5);
    assert!(told.iter().all(|t| matches!(t.outcome(), "bought" | "refused")), "{told:#?}");
    assert_eq!((shop.world.spent_units(), shop.signatures()), (5 * CENT, 5));
    assert!(host.close().await.success());
    let host = shop.world.host().await;
    assert_eq!(host.fetch(shop.ask(TEXT, "after a restart")).await.outcome(), "refused");
    assert_eq!(shop.world.spent_units(), 5 * CENT);
    shop.world.verify_money().await;
}

/// H10: what left as a signature counts until it is dead, whatever the seller said.
#[tokio::test]
async fn signatures_that_may_still_be_used_use_up_the_budget() {
    let limits = "[limits.ceiling]\nusd = { purchase = \"1\", session = \"0.02\", day = \"1\" }\n";
    let shop = Shop::with(limits).await;
    let host = shop.world.host().await;
    shop.seller().set_mode(NtriqMode::KeepsAuthorization);
    for text in ["a", "b"] {
        assert_eq!(host.fetch(shop.ask(TEXT, text)).await.outcome(), "pending");
    }
    let third = host.fetch(shop.ask(TEXT, "c")).await;
    assert_eq!(third.facts()["code"], "budget_used_up", "{}", third.text());
    shop.seller().submit_kept();
    assert_eq!((shop.world.spent_units(), shop.signatures()), (2 * CENT, 2));
}

/// A person's yes comes before a signature, and what is signed then is what was pinned.
#[tokio::test]
async fn above_the_operators_line_nothing_is_signed_before_a_person_said_yes() {
    let shop = Shop::with("[approval]\nabove = { usd = \"0.005\" }\n").await;
    let host = shop.world.host().await;
    let ask = shop.ask(TEXT, "I love it");
    let told = host.fetch(ask.clone()).await;
    assert_eq!(told.outcome(), "awaiting_approval", "{}", told.text());
    assert_eq!((shop.signatures(), shop.held().await), (0, CENT));
    let (code, _, log) = shop.world.run(&["approve", told.purchase()]).await;
    assert_eq!(code, 0, "{log}");
    let told = host.fetch(ask).await;
    assert_eq!(told.outcome(), "bought", "{}", told.text());
    until_state(&shop.world, told.purchase(), "delivered").await;
    assert_eq!((shop.transfers(), shop.signatures()), (1, 1));
    shop.world.verify_money().await;
}

/// H15: how far the seller's clock is ahead is found out again when a person said yes, by whichever process signs then.
#[tokio::test]
async fn a_seller_whose_clock_is_ahead_is_paid_after_a_persons_yes_as_well() {
    let shop = Shop::with("[approval]\nabove = { usd = \"0.005\" }\n").await;
    shop.clock.advance_ms(200_000);
    let host = shop.world.host().await;
    let ask = shop.ask(TEXT, "I love it");
    let told = host.fetch(ask.clone()).await;
    assert_eq!(told.outcome(), "awaiting_approval", "{}", told.text());
    assert!(host.close().await.success());
    let (code, _, log) = shop.world.run(&["approve", told.purchase()]).await;
    assert_eq!(code, 0, "{log}");
    let told = shop.world.host().await.fetch(ask).await;
    assert_eq!(told.outcome(), "bought", "{}", told.text());
    assert_eq!((shop.transfers(), shop.signatures()), (1, 1));
    shop.world.verify_money().await;
}

/// The wallet's balance is looked at before anything is signed.
#[tokio::test]
async fn a_wallet_that_holds_too_little_signs_nothing() {
    let shop = Shop::open().await;
    let chain = shop.world.sandbox.chain();
    let owner = shop.world.sandbox.evm_address();
    chain.spend(owner, shop.seller().pay_to(), chain.balance_of(&owner) - CENT / 2);
    let told = shop.world.host().await.fetch(shop.ask(TEXT, "x")).await;
    assert_eq!(told.facts()["code"], "insufficient_balance", "{}", told.text());
    assert!(told.text().contains("the wallet holds 0.005 usd on eip155:84532"), "{}", told.text());
    assert_eq!(shop.signatures(), 0);
}

/// "The test world's ledger never mixes with main's."
#[tokio::test]
async fn a_ledger_of_the_test_world_pays_nothing_on_a_main_chain() {
    let mut shop = Shop::open().await;
    assert_eq!(shop.world.host().await.fetch(shop.ask(TEXT, "x")).await.outcome(), "bought");
    shop.world.set_config("[evm.chains.base]\n");
    // Among these offers there is one in real dollars, which a wallet on Base could pay.
    shop.seller().set_mode(NtriqMode::OffersMore);
    let told = shop.world.host().await.fetch(shop.ask(TEXT, "y")).await;
    assert_eq!(told.outcome(), "refused", "{}", told.text());
    let offers = told.facts()["offers"].as_array().expect("offers").clone();
    let real: Vec<_> = offers.iter().filter(|o| o["price"] == "0.000001 usd" && o["rail"] == "eip3009").collect();
    assert!(real.len() == 1 && real[0]["payable"] == false, "{offers:#?}");
    assert!(real[0]["why"].as_str().is_some_and(|why| why.contains("world")), "{offers:#?}");
    assert_eq!(shop.signatures(), 1, "nothing more was signed");
    // The control: a ledger of its own has no such objection.
    let mut fresh = Shop::open().await;
    fresh.world.set_config("[evm.chains.base]\n");
    fresh.seller().set_mode(NtriqMode::OffersMore);
    let mut look = fresh.ask(TEXT, "y");
    look["dry_run"] = true.into();
    let quoted = fresh.world.host().await.fetch(look).await;
    let payable = |o: &serde_json::Value| o["price"] == "0.000001 usd" && o["payable"] == true;
    assert!(quoted.facts()["offers"].as_array().is_some_and(|all| all.iter().any(payable)), "{}", quoted.text());
    shop.world.set_config("[evm.chains.base]\n[evm.chains.base-sepolia]\n");
    let (code, _, log) = shop.world.run(&["balance"]).await;
    assert!(code != 0 && log.contains("world"), "{log}");
    assert_eq!(shop.transfers(), 1);
}

/// A buyer as many are: it signs anew on every 402, and remembers nothing from one time to the next; `salt` makes its
/// nonces others. Gives what left its account, in units of USDC.
pub async fn naive(shop: &Shop, tries: u64, salt: u8) -> u64 {
    let http = Client::new(Settings { allow_loopback: true, ..Settings::default() });
    let key = shop.world.sandbox.evm_key();
    let bytes = data_encoding::HEXLOWER_PERMISSIVE.decode(key.expose().trim_start_matches("0x").as_bytes());
    let key = bitcoin::secp256k1::SecretKey::from_slice(&bytes.expect("hex")).expect("a key");
    let mut payment = None;
    for n in 0..=tries {
        let mut ask = Ask::get(shop.url(TEXT).parse().expect("a url"));
        ask.method = http::Method::POST;
        ask.headers.insert("content-type", http::HeaderValue::from_static("application/json"));
        ask.body = br#"{"text":"I love it"}"#.to_vec().into();
        ask.credential = payment.take();
        ask.limits = Limits::default();
        let Ok(answer) = http.send(Policy::Seller, ask).await else { continue };
        if answer.status != 402 {
            break;
        }
        let seen = Seen { url: &answer.url, status: 402, headers: &answer.headers, body: &answer.body };
        let challenge = protocol::read(seen);
        let Some(Way::Pay(pin)) = challenge.offers.first().map(|o| &o.way) else { continue };
        let Transfer { token, to, value, .. } = pin.transfer().expect("a transfer").clone();
        let authorization = Authorization {
            from: shop.world.sandbox.evm_address(),
            to,
            value,
            valid_after: 0,
            valid_before: shop.clock.now_s() + 100,
            nonce: [n as u8 + 1 + salt; 32],
        };
        payment = pin.payment(&serde_json::to_vec(&authorization.sign(&token, &key)).expect("json"));
    }
    shop.world.spent_units()
}

/// The negative control: under the same scripts a buyer that signs anew on every 402 pays several times.
#[tokio::test]
async fn a_buyer_that_signs_anew_on_every_402_pays_several_times() {
    let shop = Shop::open().await;
    shop.seller().set_mode(NtriqMode::ChallengesAfterMoving);
    assert_eq!(naive(&shop, 4, 0).await, 4 * CENT);
    let shop = Shop::open().await;
    shop.seller().set_mode(NtriqMode::Open);
    assert_eq!(naive(&shop, 4, 0).await, CENT, "the honest case costs it no more");
}
