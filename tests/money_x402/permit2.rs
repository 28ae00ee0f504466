//! Permit2 and prices "up to": off until the operator turns it on, never without an allowance that is there already, and
//! what the chain shows is what is posted.

use bursar::{
    evm::permit2::{self, Taking},
    sandbox::{Means, NtriqMode, RpcMode},
};
use futures_util::future::join_all;
use serde_json::json;

use crate::{
    shop::{CENT, KEPT, Shop, TEXT},
    support::{Host, Told, money, until, until_answered, until_state},
};

const ON: &str = "[evm]\npermit2 = true\n";

/// A shop that wants its money moved in this way, a buyer whose operator turned Permit2 on, and this allowance.
async fn open(means: Means, allowance: u64) -> Shop {
    open_with(ON, means, allowance).await
}

async fn open_with(config: &str, means: Means, allowance: u64) -> Shop {
    let shop = Shop::with(config).await;
    shop.seller().set_means(means);
    shop.world.sandbox.chain().allow_permit2(shop.world.sandbox.evm_address(), allowance);
    shop
}

/// How many different permits the seller saw. Each is for the contract, the payee and the facilitator that were asked for.
fn permits(shop: &Shop, means: Means) -> usize {
    let taking = match means {
        Means::UpTo => Taking::UpTo { facilitator: shop.seller().facilitator() },
        _ => Taking::Exact,
    };
    let mut nonces = Vec::new();
    for signed in shop.seller().permits() {
        let permit = &signed.permit;
        assert!(permit.is_for(&taking), "{permit:?}");
        assert!([permit2::EXACT, permit2::UPTO].contains(&permit.spender), "{permit:?}");
        assert_eq!((permit.witness.to, permit.from), (shop.seller().pay_to(), shop.world.sandbox.evm_address()));
        assert_eq!(permit.permitted.token, shop.world.sandbox.chain().token().address);
        nonces.push(permit.nonce);
    }
    nonces.sort_unstable();
    nonces.dedup();
    assert_eq!(shop.signatures(), 0, "no authorization is signed beside the permit");
    nonces.len()
}

async fn spent(shop: &Shop) -> u64 {
    shop.session().await.spent.atomic()
}

async fn buy(shop: &Shop, host: &Host) -> Told {
    host.fetch(shop.ask(TEXT, "I love it")).await
}

#[tokio::test]
async fn permit2_is_off_by_default_listed_with_its_reason_and_nothing_is_signed() {
    for means in [Means::Permit2, Means::UpTo] {
        let shop = open_with("", means, u64::MAX).await;
        let host = shop.world.host().await;
        let told = buy(&shop, &host).await;
        assert_eq!(
            (told.outcome(), told.facts()["code"].as_str()),
            ("refused", Some("permit2_off")),
            "{}",
            told.text()
        );
        assert!(
            told.say().starts_with("Nothing was paid") && told.say().contains("has not turned on"),
            "{}",
            told.say()
        );
        let offer = &told.facts()["offers"][0];
        assert_eq!((&offer["rail"], &offer["price"]), (&json!("permit2"), &json!("0.01 usd")), "{}", told.text());
        assert_eq!((permits(&shop, means), shop.transfers()), (0, 0));
    }
}

#[tokio::test]
async fn without_an_allowance_that_covers_the_price_nothing_is_signed_and_a_person_is_told_what_to_do() {
    for (means, allowance) in [(Means::Permit2, 0), (Means::Permit2, CENT - 1), (Means::UpTo, CENT - 1)] {
        let shop = open(means, allowance).await;
        let host = shop.world.host().await;
        let told = buy(&shop, &host).await;
        assert_eq!(
            (told.outcome(), told.facts()["code"].as_str()),
            ("refused", Some("no_allowance")),
            "{}",
            told.text()
        );
        let say = told.say();
        assert!(say.contains(&format!("may take {allowance} units")) && say.contains("needs 10000"), "{say}");
        assert!(say.contains("Bursar never signs an approval"), "{say}");
        assert_eq!((permits(&shop, means), shop.transfers(), money::purchases(&shop.world).await.len()), (0, 0, 0));
    }
}

#[tokio::test]
async fn without_a_node_or_with_a_silent_one_nothing_is_signed_for_permit2() {
    let blind = Shop::blind(ON).await;
    blind.seller().set_means(Means::Permit2);
    let told = buy(&blind, &blind.world.host().await).await;
    assert_eq!(told.facts()["code"], "no_allowance", "{}", told.text());
    assert!(told.say().contains("sets a node (rpc)"), "{}", told.say());
    let silent = open(Means::Permit2, u64::MAX).await;
    silent.world.sandbox.rpc().set_mode(RpcMode::HangsUp);
    let told = buy(&silent, &silent.world.host().await).await;
    assert_eq!(told.facts()["code"], "wallet_unreachable", "{}", told.text());
    assert_eq!(permits(&blind, Means::Permit2) + permits(&silent, Means::Permit2), 0);
}

#[tokio::test]
async fn with_an_allowance_it_is_paid_once_and_the_ledger_agrees_with_the_chain() {
    let shop = open(Means::Permit2, CENT).await;
    let host = shop.world.host().await;
    let told = buy(&shop, &host).await;
    assert_eq!(told.outcome(), "bought", "{}", told.text());
    assert!(told.say().starts_with("Paid 0.01 usd over permit2 on eip155:84532"), "{}", told.say());
    assert_eq!((shop.transfers(), permits(&shop, Means::Permit2), shop.world.spent_units()), (1, 1, CENT));
    // The allowance is used up: the next one is refused before anything is signed.
    let next = host.fetch(shop.ask(TEXT, "another")).await;
    assert_eq!(next.outcome(), "refused", "{}", next.text());
    assert_eq!(permits(&shop, Means::Permit2), 1);
    shop.world.verify_money().await;
}

#[tokio::test]
async fn a_price_up_to_is_held_in_full_and_what_was_taken_is_posted() {
    for charge in [1, CENT / 4, CENT - 1, CENT] {
        let shop = open(Means::UpTo, u64::MAX).await;
        shop.seller().set_charge(charge);
        let host = shop.world.host().await;
        let told = buy(&shop, &host).await;
        assert_eq!(told.outcome(), "bought", "{}", told.text());
        let paid = format!("0.{charge:06}");
        let paid = format!("{} usd", paid.trim_end_matches('0'));
        assert_eq!(told.facts()["paid_now"], paid, "{}", told.text());
        assert_eq!(told.say().contains(&format!("Paid {paid} of at most 0.01 usd over permit2")), charge < CENT);
        assert!(told.say().contains("Transaction 0x"), "{}", told.say());
        assert_eq!((shop.transfers(), permits(&shop, Means::UpTo)), (1, 1));
        assert_eq!((spent(&shop).await, shop.held().await), (charge, 0));
        shop.world.verify_money().await;
    }
}

/// While it is not known what is taken, the most is held: others find no room for it.
#[tokio::test]
async fn the_most_of_a_price_up_to_counts_against_the_budgets_until_it_is_known() {
    let limits = "[limits.ceiling]\nusd = { purchase = \"1\", session = \"0.02\", day = \"1\" }\n";
    let shop = open_with(&format!("{limits}{ON}"), Means::UpTo, u64::MAX).await;
    shop.seller().set_charge(1);
    let host = shop.world.host().await;
    shop.seller().set_mode(NtriqMode::KeepsAuthorization);
    for text in ["a", "b"] {
        assert_eq!(host.fetch(shop.ask(TEXT, text)).await.outcome(), "pending");
    }
    let third = host.fetch(shop.ask(TEXT, "c")).await;
    assert_eq!(third.facts()["code"], "budget_used_up", "{}", third.text());
    let mut dear = shop.ask(TEXT, "d");
    dear["max_price"] = "0.009 usd".into();
    assert_eq!(host.fetch(dear).await.facts()["code"], "above_max_price", "its price is its most");
    assert_eq!((shop.held().await, permits(&shop, Means::UpTo)), (2 * CENT, 2));
}

/// A receipt is the seller's word. Whatever number stands there, what the chain shows is posted.
#[tokio::test]
async fn whatever_number_a_receipt_names_the_ledger_says_what_the_chain_shows() {
    for (says, words) in [
        (1, "Its receipt says 0.000001 usd, and the chain shows that 0.004 usd was taken."),
        (CENT - 1, "and the chain shows that 0.004 usd was taken."),
    ] {
        let shop = open(Means::UpTo, u64::MAX).await;
        shop.seller().set_charge(4_000);
        let host = shop.world.host().await;
        let told = shop.buy_from(&host, NtriqMode::ReceiptSays(says)).await;
        assert_eq!(
            (told.outcome(), told.facts()["paid_now"].as_str()),
            ("bought", Some("0.004 usd")),
            "{}",
            told.text()
        );
        assert!(told.say().contains(words), "{}", told.say());
        shop.world.verify_money().await;
    }
}

/// More than was signed for cannot have moved: the most counts until the chain shows what did.
#[tokio::test]
async fn a_receipt_above_what_was_signed_is_capped_and_said() {
    let shop = open(Means::UpTo, u64::MAX).await;
    shop.seller().set_charge(4_000);
    let host = shop.world.host().await;
    let told = shop.buy_from(&host, NtriqMode::ReceiptSays(5 * CENT)).await;
    assert_eq!((told.outcome(), told.facts()["paid_now"].as_str()), ("bought", Some("0.01 usd")), "{}", told.text());
    assert!(told.say().contains("speaks of more than the 0.01 usd that were signed for"), "{}", told.say());
    assert_eq!((shop.world.spent_units(), spent(&shop).await), (4_000, CENT));
    shop.world.verify().await;
    settled_by_the_chain(&shop, host, 4_000).await;
}

/// A restart looks at what only the seller's word stands for, and posts what the chain shows.
async fn settled_by_the_chain(shop: &Shop, host: Host, units: u64) {
    assert!(host.close().await.success());
    let host = shop.world.host().await;
    host.call("get_balance", json!({})).await;
    until("what the chain shows is posted", async || spent(shop).await == units).await;
    assert_eq!(shop.held().await, 0);
    shop.world.verify_money().await;
}

/// "Nothing was charged" may be a lie until what was signed has run out: the most counts until then, and comes back.
#[tokio::test]
async fn a_receipt_of_nothing_counts_in_full_until_the_permit_ran_out_and_is_then_given_back() {
    let shop = open(Means::UpTo, u64::MAX).await;
    shop.seller().set_charge(0);
    let host = shop.world.host().await;
    let told = buy(&shop, &host).await;
    assert_eq!(told.outcome(), "bought", "{}", told.text());
    assert!(told.text().contains("sentiment"), "the answer is handed over at once: {}", told.text());
    assert!(
        told.say().contains("Its receipt says that 0 usd of it was taken; 0.01 usd counts as spent until"),
        "{}",
        told.say()
    );
    assert_eq!((shop.transfers(), spent(&shop).await, permits(&shop, Means::UpTo)), (0, CENT, 1));
    shop.world.verify().await;
    shop.clock.advance_ms(400_000);
    settled_by_the_chain(&shop, host, 0).await;
    assert_eq!(shop.states().await, ["delivered"]);
}

/// A seller that says "nothing" and takes all of it a minute later is in the books with all of it, at every instant.
#[tokio::test]
async fn a_seller_that_says_nothing_and_takes_all_of_it_later_makes_no_room_in_the_budget() {
    let limits = "[limits.ceiling]\nusd = { purchase = \"1\", session = \"0.03\", day = \"1\" }\n";
    let shop = open_with(&format!("{limits}{ON}"), Means::UpTo, u64::MAX).await;
    let host = shop.world.host().await;
    shop.seller().set_mode(NtriqMode::ChargesLater);
    let texts: Vec<String> = (0..6).map(|n| format!("text {n}")).collect();
    let told = join_all(texts.iter().map(|text| host.fetch(shop.ask(TEXT, text)))).await;
    assert_eq!(told.iter().filter(|t| t.outcome() == "bought").count(), 3, "{told:#?}");
    assert!(shop.seller().submit_kept().iter().all(Result::is_ok), "the thief succeeds");
    assert_eq!((shop.world.spent_units(), spent(&shop).await), (3 * CENT, 3 * CENT));
    shop.world.verify_money().await;
    shop.clock.advance_ms(400_000);
    settled_by_the_chain(&shop, host, 3 * CENT).await;
}

/// Without a receipt nobody says how much: the most counts.
#[tokio::test]
async fn an_answer_without_a_receipt_counts_as_the_most() {
    let shop = open(Means::UpTo, u64::MAX).await;
    shop.seller().set_charge(4_000);
    let host = shop.world.host().await;
    let told = shop.buy_from(&host, NtriqMode::NoReceipt(bursar::sandbox::Settling::InBackground)).await;
    assert_eq!((told.outcome(), told.facts()["paid_now"].as_str()), ("bought", Some("0.01 usd")), "{}", told.text());
    assert!(told.say().contains("No receipt came with it; it counts as spent."), "{}", told.say());
    shop.world.sandbox.chain().mine_pending();
    settled_by_the_chain(&shop, host, 4_000).await;
}

/// A chain that shows it at once is a better witness than a receipt.
#[tokio::test]
async fn an_answer_without_a_receipt_costs_what_the_chain_shows() {
    let shop = open(Means::UpTo, u64::MAX).await;
    shop.seller().set_charge(4_000);
    let host = shop.world.host().await;
    let told = shop.buy_from(&host, NtriqMode::NoReceipt(bursar::sandbox::Settling::AtOnce)).await;
    assert_eq!((told.outcome(), told.facts()["paid_now"].as_str()), ("bought", Some("0.004 usd")), "{}", told.text());
    assert!(told.say().contains("Transaction 0x"), "{}", told.say());
    settled_by_the_chain(&shop, host, 4_000).await;
}

/// A lost answer is found by the bitmap, and how much was taken by the block in which the nonce became used.
#[tokio::test]
async fn lost_answers_are_found_by_the_bitmap_with_what_was_taken() {
    for (means, units) in [(Means::Permit2, CENT), (Means::UpTo, 4_000)] {
        for (mode, moved, state) in [
            (NtriqMode::LosesAnswer, units, "undelivered"),
            (NtriqMode::SettleFailsButMoves, units, "undelivered"),
            (NtriqMode::CutsUnsettled, 0, "unknown"),
            (NtriqMode::SettleFails, 0, "unknown"),
        ] {
            let shop = open(means, u64::MAX).await;
            shop.seller().set_charge(4_000);
            // Another payment to the same payee, smaller, a moment before: it is not taken for this one.
            let chain = shop.world.sandbox.chain();
            chain.spend(shop.world.sandbox.evm_address(), shop.seller().pay_to(), 7);
            shop.clock.advance_ms(2_000);
            let host = shop.world.host().await;
            let told = shop.buy_from(&host, mode.clone()).await;
            let again = buy(&shop, &host).await;
            assert_eq!(again.purchase(), told.purchase(), "{mode:?}");
            assert_eq!(shop.states().await, [state], "{means:?} {mode:?}: {}", again.text());
            assert_eq!((shop.world.spent_units(), permits(&shop, means)), (moved, 1), "{means:?} {mode:?}");
            assert_eq!((spent(&shop).await, shop.held().await), (moved, if moved == 0 { CENT } else { 0 }));
            shop.world.verify_money().await;
            if state == "unknown" {
                shop.clock.advance_ms(400_000);
                let asked = host.fetch(json!({ "result_id": told.purchase() })).await;
                assert_eq!((asked.outcome(), shop.held().await), ("failed", 0), "{mode:?}: {}", asked.text());
            }
        }
    }
}

/// The kill points of a purchase that the seller settles, and the state in which each leaves the ledger.
const POINTS: [(&str, Option<&str>); 6] = [
    ("before_w1", None),
    ("after_w1", Some("paying")),
    ("before_pay", Some("paying")),
    ("after_pay", Some("paying")),
    ("after_w2", Some("paid")),
    ("after_w3", Some("delivered")),
];

#[tokio::test]
async fn after_a_crash_at_any_point_an_equal_call_ends_with_one_transfer_and_what_it_took() {
    for (point, left) in POINTS {
        let shop = open(Means::UpTo, u64::MAX).await;
        shop.seller().set_charge(2_500);
        let ask = shop.ask(KEPT, "call me");
        let mut host = shop.world.host_dying_at(point).await;
        let (_, answer) = host.begin_call("fetch_paid", ask.clone()).await;
        assert!(answer.await.is_err(), "{point}: the server answered");
        assert!(!host.ended().await.success(), "{point}");
        let rows = money::purchases(&shop.world).await;
        assert_eq!(rows.first().map(|r| r.state.as_str()), left, "{point}");
        shop.world.verify().await;

        let host = shop.world.host().await;
        let told = host.fetch(ask).await;
        assert!(told.text().contains("masked_text"), "{point}: {}", told.text());
        assert_eq!(shop.states().await, ["delivered"], "{point}");
        assert_eq!((shop.transfers(), permits(&shop, Means::UpTo)), (1, 1), "{point}");
        assert_eq!((spent(&shop).await, shop.world.spent_units()), (2_500, 2_500), "{point}: {}", told.text());
        shop.world.verify_money().await;
    }
}

#[tokio::test]
async fn after_the_ledger_was_lost_the_bitmap_says_that_it_was_paid_before() {
    let shop = open(Means::Permit2, u64::MAX).await;
    let host = shop.world.host().await;
    assert_eq!(buy(&shop, &host).await.outcome(), "bought");
    assert!(host.close().await.success());
    for file in std::fs::read_dir(shop.world.home()).expect("a home") {
        let path = file.expect("a file").path();
        if path.file_name().is_some_and(|n| n.to_string_lossy().contains("ledger")) {
            std::fs::remove_file(path).expect("removed");
        }
    }
    let told = buy(&shop, &shop.world.host().await).await;
    assert_eq!(told.outcome(), "refused", "{}", told.text());
    assert!(told.say().contains("BOUGHT_BEFORE"), "{}", told.say());
    assert_eq!((shop.transfers(), permits(&shop, Means::Permit2)), (1, 1));
}

#[tokio::test]
async fn equal_calls_at_once_are_one_permit_and_known_prices_work_alike() {
    let shop = open(Means::UpTo, u64::MAX).await;
    shop.seller().set_charge(2_500);
    shop.seller().set_mode(NtriqMode::Slow(100));
    let hosts = [shop.world.host().await, shop.world.host().await];
    let told = join_all(hosts.iter().flat_map(|host| (0..6).map(|_| buy(&shop, host)))).await;
    assert!(told.iter().all(|t| t.text().contains("sentiment")), "{told:#?}");
    assert_eq!((shop.transfers(), permits(&shop, Means::UpTo)), (1, 1));
    let bought = told.iter().position(|t| t.outcome() == "bought").expect("one of them bought it");
    let host = &hosts[usize::from(bought >= 6)];
    until_answered(&shop.world, told[bought].purchase()).await;
    let challenges = shop.seller().challenges();
    let second = buy(&shop, host).await;
    assert_eq!(second.outcome(), "bought", "{}", second.text());
    until_answered(&shop.world, second.purchase()).await;
    assert_eq!(shop.seller().challenges(), challenges, "the seller was not asked for its price");
    // A price that rose is signed anew, and both are held until one has run out.
    shop.seller().set_mode(NtriqMode::Open);
    shop.seller().set_price(TEXT, 3 * CENT);
    let dearer = buy(&shop, host).await;
    assert_eq!((dearer.outcome(), shop.held().await), ("bought", CENT), "{}", dearer.text());
    assert_eq!((shop.transfers(), permits(&shop, Means::UpTo)), (3, 3));
    shop.world.verify_money().await;
}

/// What a facilitator refuses for a moment at a known price is the same permit again, not another one.
#[tokio::test]
async fn a_facilitator_that_refuses_at_first_gets_the_same_permit_again() {
    let shop = open(Means::Permit2, u64::MAX).await;
    let host = shop.world.host().await;
    assert_eq!(buy(&shop, &host).await.outcome(), "bought");
    for mode in [NtriqMode::FailsVerifyFirst(2), NtriqMode::FailsSettleFirst(2)] {
        shop.seller().set_mode(mode.clone());
        let told = host.fetch(shop.ask(TEXT, &format!("{mode:?}"))).await;
        assert_eq!(told.outcome(), "bought", "{mode:?}: {}", told.text());
    }
    assert_eq!((shop.transfers(), permits(&shop, Means::Permit2)), (3, 3));
    shop.world.verify_money().await;
}

#[tokio::test]
async fn above_the_operators_line_no_permit_is_signed_before_a_person_said_yes() {
    let shop = open_with(&format!("[approval]\nabove = {{ usd = \"0.005\" }}\n{ON}"), Means::UpTo, u64::MAX).await;
    shop.seller().set_charge(2_500);
    let host = shop.world.host().await;
    let told = buy(&shop, &host).await;
    assert_eq!(told.outcome(), "awaiting_approval", "{}", told.text());
    assert_eq!((permits(&shop, Means::UpTo), shop.held().await), (0, CENT));
    let (code, _, log) = shop.world.run(&["approve", told.purchase()]).await;
    assert_eq!(code, 0, "{log}");
    let told = buy(&shop, &host).await;
    assert_eq!(told.outcome(), "bought", "{}", told.text());
    until_state(&shop.world, told.purchase(), "delivered").await;
    assert_eq!((shop.transfers(), permits(&shop, Means::UpTo), spent(&shop).await), (1, 1, 2_500));
    shop.world.verify_money().await;
}
