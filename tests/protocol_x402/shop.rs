//! The shop of the play-money world, which really checks what it is paid with and keeps the book of a chain.

use bursar::{
    evm::{eip3009::Authorization, hex},
    protocol::x402::{Demand, demand},
    sandbox::{NtriqMode, Sandbox, SandboxOptions},
};
use http::Method;
use serde_json::json;

use super::*;

struct Shop {
    world: Sandbox,
    client: reqwest::Client,
}

impl Shop {
    async fn new(mode: NtriqMode) -> Shop {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let world = Sandbox::start(SandboxOptions::default()).await.unwrap();
        world.ntriq().set_mode(mode);
        Shop { world, client: reqwest::Client::builder().no_proxy().build().unwrap() }
    }

    /// Sends a request, with what pays if there is something.
    async fn send(&self, path: &str, payment: Option<&bursar::protocol::Credential>) -> Answer {
        let url = format!("{}{path}", self.world.ntriq_url());
        let body =
            json!({ "text": "I love this", "image_url": "https://images.example/1.png", "code": "fn main() {}" });
        let mut request = self.client.request(Method::POST, &url).header("content-type", "application/json");
        if let Some(payment) = payment {
            request = request.header(payment.name.clone(), payment.value.clone());
        }
        let said = request.body(body.to_string()).send().await.unwrap();
        let (status, headers) = (said.status().as_u16(), said.headers().clone());
        Answer { status, headers, body: said.bytes().await.unwrap().to_vec(), url: url.parse().unwrap() }
    }

    fn signed(&self, pin: &Pin, nonce: u8) -> Vec<u8> {
        let key = data_encoding::HEXLOWER.decode(self.world.evm_key().expose().as_bytes()).unwrap();
        let key = bitcoin::secp256k1::SecretKey::from_slice(&key).unwrap();
        let transfer = pin.transfer().unwrap();
        let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
        let authorization = Authorization {
            from: self.world.evm_address(),
            to: transfer.to,
            value: transfer.value,
            valid_after: 0,
            valid_before: now + transfer.max_life_s.min(120),
            nonce: [nonce; 32],
        };
        serde_json::to_vec(&authorization.sign(&transfer.token, &key)).unwrap()
    }

    fn moved(&self) -> (u64, usize) {
        let chain = self.world.chain();
        (chain.spent_by(&self.world.evm_address()), chain.moved().len())
    }
}

/// Every form that can be paid is paid; the receipt names the transaction, and the book agrees to the unit.
#[tokio::test]
async fn every_form_of_the_shop_is_paid_and_its_receipt_is_true() {
    let shop = Shop::new(NtriqMode::Open).await;
    for (n, form) in ["2", "1", "2body", "legacy"].into_iter().enumerate() {
        let path = format!("/sentiment?v={form}");
        let asked = shop.send(&path, None).await;
        assert_eq!(demand(asked.seen()), Some(Demand::Challenge), "{form}");
        let challenge = asked.read();
        let offer =
            challenge.offers.iter().find(|o| o.is_payable()).unwrap_or_else(|| panic!("{form}: {challenge:#?}"));
        assert_eq!(offer.price.unwrap().to_string(), "0.01 usd");
        let pin = pin(offer);
        let payment = pin.payment(&shop.signed(&pin, n as u8 + 1)).unwrap();
        let bought = shop.send(&path, Some(&payment)).await;
        assert_eq!(bought.status, 200, "{form}: {}", String::from_utf8_lossy(&bought.body));
        let receipt = pin.receipt(bought.seen()).unwrap();
        let moved = shop.world.chain().moved().pop().unwrap();
        assert_eq!((receipt.settled, receipt.transaction), (true, Some(hex(&moved.transaction))), "{form}");
        // Shown again, the same payment is refused with a sentence, and nothing more moves.
        let again = shop.send(&path, Some(&payment)).await;
        if again.status == 402 {
            assert_ne!(demand(again.seen()), Some(Demand::Challenge), "{form}: {}", pin.complaint(again.seen()));
            assert!(!pin.complaint(again.seen()).is_empty());
        }
        assert_eq!(shop.moved(), (10_000 * (n as u64 + 1), n + 1), "{form}");
    }
    let blog = shop.send("/sentiment?v=blog", None).await.read();
    assert!(!blog.offers.is_empty() && blog.offers.iter().all(|o| !o.is_payable()), "{blog:#?}");
}

/// Its terms carry no extension, each of two, or both: what goes back is taken, and an identifier brings the same answer
/// once more for nothing.
#[tokio::test]
async fn what_its_extensions_ask_for_goes_back() {
    let shop = Shop::new(NtriqMode::Open).await;
    let mut spent = 0;
    for (n, (path, named, told)) in [
        ("/sentiment", false, false),
        ("/invoice-extract", false, true),
        ("/pii-detect", true, false),
        ("/code-review", true, true),
    ]
    .into_iter()
    .enumerate()
    {
        let challenge = shop.send(path, None).await.read();
        assert_eq!(challenge.described.is_some(), told, "{path}");
        let pin = pin(challenge.offers.iter().find(|o| o.is_payable()).unwrap());
        assert_eq!(pin.replays(), named, "{path}");
        let payment = pin.payment(&shop.signed(&pin, n as u8 + 1)).unwrap();
        let bought = shop.send(path, Some(&payment)).await;
        assert_eq!(bought.status, 200, "{path}: {}", String::from_utf8_lossy(&bought.body));
        spent += pin.transfer().unwrap().value;
        let again = shop.send(path, Some(&payment)).await;
        assert_eq!((again.status == 200, again.body == bought.body), (named, named), "{path}");
        assert_eq!(shop.moved(), (spent, n + 1), "{path}");
    }
}

/// What the shop does on purpose to unwary buyers is seen before anything is signed, or told apart afterwards.
#[tokio::test]
async fn the_shops_traps_are_seen() {
    let gateway = Shop::new(NtriqMode::GatewayDomain).await.send("/sentiment", None).await.read();
    assert_eq!(codes(&only(gateway)), ["wrong_domain", "wrong_contract"]);
    let more = Shop::new(NtriqMode::OffersMore).await.send("/sentiment", None).await.read();
    // One of real money beside the one of play money: which world may be paid is not for the protocol to say.
    let worlds: Vec<_> = more.offers.iter().filter(|o| o.is_payable()).map(|o| o.world.unwrap().name()).collect();
    assert_eq!((more.offers.len(), worlds), (5, vec!["main", "test"]), "{more:#?}");
    let foreign = Shop::new(NtriqMode::ForeignResource).await.send("/sentiment", None).await.read();
    let foreign = only(foreign);
    assert!(foreign.is_payable() && foreign.remarks.iter().any(|r| r.contains("another host")));
    let upfront = only(Shop::new(NtriqMode::Upfront { declared: true }).await.send("/sentiment", None).await.read());
    assert!(upfront.is_payable() && upfront.remarks.iter().any(|r| r.contains("settles before")));
    for (mode, expected) in [
        (NtriqMode::SettleFails, Demand::SettleFailure),
        (NtriqMode::SettlementPending, Demand::SettleFailure),
        (NtriqMode::FailsVerifyFirst(1), Demand::VerifyFailure),
        (NtriqMode::ChallengesAfterMoving, Demand::Challenge),
    ] {
        let shop = Shop::new(mode.clone()).await;
        let pin = pin(&only(shop.send("/sentiment", None).await.read()));
        let refused = shop.send("/sentiment", pin.payment(&shop.signed(&pin, 1)).as_ref()).await;
        assert_eq!((refused.status, demand(refused.seen())), (402, Some(expected)), "{mode:?}");
        assert!(!pin.receipt(refused.seen()).is_some_and(|r| r.settled), "{mode:?}");
        let pending = pin.complaint(refused.seen()).starts_with("settlement_pending");
        assert_eq!(pending, mode == NtriqMode::SettlementPending, "{mode:?}");
    }
}
