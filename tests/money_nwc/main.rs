//! Nostr Wallet Connect end to end: the real binary, a real relay and wallet, as odd and as hostile as they come.
//!
//! Each test says how many millisatoshi moved, what the model was told, and ends with a ledger that verifies. `rows` goes
//! through the ways in which relays and replies misbehave, `hazards` through what was seen of wallets in use, `quirks`
//! through the wallets by name, `extras` through what only some wallets can do, `clocks` through time that passes or is off,
//! `unsent` through payments that never left.

mod clocks;
mod extras;
mod hazards;
mod quirks;
mod rows;
#[path = "../support/mod.rs"]
mod support;
mod unsent;

use std::{future::Future, time::Duration};

use bursar::{
    clock::Clock,
    config::Config,
    purchase::{Caller, Purse, Report, Wish},
    sandbox::{RelayOptions, SandboxOptions, WalletOptions},
};
use serde_json::{Value, json};
use support::{Host, Seller, Told, World};

/// Short waits, long enough for a busy machine.
pub const QUICK: &str = "[waits]\nwallet = 1.5\nanswer = 5\nexit = 0.2\n";

/// Waits that a test which ends by itself never sees the end of.
pub const LONG: &str = "[waits]\nwallet = 40\nanswer = 20\nexit = 0.2\n";

/// What every purchase here costs, in millisatoshi.
pub const PRICE: u64 = 21_000;

pub fn wallet(options: WalletOptions) -> SandboxOptions {
    SandboxOptions { wallet: options, ..SandboxOptions::default() }
}

pub fn relay(options: RelayOptions) -> SandboxOptions {
    SandboxOptions { relay: options, ..SandboxOptions::default() }
}

/// A world, an honest seller in it, and a host with the server running.
pub struct Scene {
    pub world: World,
    pub seller: Seller,
    pub host: Host,
}

impl Scene {
    pub async fn new(config: &str, options: SandboxOptions) -> Scene {
        Scene::of(World::with_options(config, options).await).await
    }

    pub async fn of(world: World) -> Scene {
        let seller = Seller::honest(world.node(), PRICE, r#"{"data":"goods"}"#).await;
        let host = world.host().await;
        Scene { world, seller, host }
    }

    /// One purchase, from the usual address.
    pub async fn buy(&self) -> Told {
        self.host.fetch(json!({ "url": self.seller.url("/a"), "purpose": "a test" })).await
    }

    /// Lets the server connect and learn what the wallet says of itself.
    pub async fn warm(&self) -> Told {
        let told = self.host.call("get_balance", json!({})).await;
        assert!(told.facts()["wallets"][0]["problem"].is_null(), "{}", told.text());
        told
    }

    /// A purse with these books and this wallet in the test's own process, so that its clock can be another than the
    /// machine's.
    pub fn purse(&self, clock: &Clock) -> Purse {
        let mut config = Config::load_from(self.world.home()).expect("a config");
        config.http.allow_loopback = true;
        config.nwc = Some(self.world.sandbox.nwc_uri());
        Purse::new(config, clock.clone(), None)
    }

    /// One purchase by such a purse, from the usual address.
    pub async fn buy_with(&self, purse: &Purse) -> Report {
        let wish = Wish { url: self.seller.url("/a"), purpose: "a test".into(), ..Wish::default() };
        purse.fetch(&Caller::local(""), wish, &|_| ()).await
    }

    /// The kinds of the journal's lines about the one purchase, in order.
    pub fn journal(&self) -> Vec<String> {
        let conn = rusqlite::Connection::open(bursar::ledger::file(&self.world.home())).expect("the ledger");
        let mut statement =
            conn.prepare("SELECT kind FROM journal WHERE purchase_id IS NOT NULL ORDER BY seq").expect("a statement");
        let kinds = statement.query_map([], |r| r.get(0)).expect("rows");
        kinds.map(|kind| kind.expect("a kind")).collect()
    }

    /// Asks for the outcome until there is one: the server waits, not the test.
    pub async fn until_known(&self, told: &Told) -> Told {
        let id = told.purchase().to_owned();
        assert!(!id.is_empty(), "{}", told.text());
        for _ in 0..10 {
            let again = self.host.fetch(json!({ "result_id": id })).await;
            if again.outcome() != "pending" {
                return again;
            }
        }
        panic!("no outcome after ten calls: {}", told.text());
    }

    /// Ends the server as a crash would and starts another.
    pub async fn restart(self) -> Scene {
        let Scene { world, seller, host } = self;
        host.kill().await;
        let host = world.host().await;
        Scene { world, seller, host }
    }

    /// The usual end: one payment moved, the goods came, the ledger says so and the wallet agrees.
    pub async fn paid_once(self, told: &Told) {
        assert!(["bought", "stored"].contains(&told.outcome()), "{}", told.text());
        assert!(told.text().contains("goods"), "{}", told.text());
        self.moved(PRICE, "delivered").await;
        self.world.verify_money().await;
    }

    /// Nothing moved, the purchase stands as unknown with its money held, and the model was told so.
    pub async fn held_for_nothing(self, told: &Told) {
        assert_eq!(told.outcome(), "pending", "{}", told.text());
        assert!(told.say().contains("nothing is paid twice"), "{}", told.say());
        self.moved(0, "unknown").await;
        self.world.verify().await;
    }

    /// Nothing moved, and nothing was begun.
    pub async fn refused(self, told: &Told) {
        assert_eq!(told.outcome(), "refused", "{}", told.text());
        assert!(told.say().starts_with("Nothing was paid"), "{}", told.say());
        assert_eq!(self.world.spent_msat(), 0);
        self.world.verify_money().await;
    }

    /// What moved, how often, and where the newest purchase stands.
    pub async fn moved(&self, msat: u64, state: &str) {
        assert_eq!(self.world.spent_msat(), msat);
        assert_eq!(self.world.node().moved().len(), usize::from(msat > 0));
        let rows = self.world.audit().await;
        let row = rows.iter().rfind(|r| r.purchase.is_some()).expect("a purchase in the ledger");
        assert_eq!(row.state, state, "{row:?}");
    }
}

/// Waits until something is so, which the sandbox alone can tell.
pub async fn until(what: &str, so: impl Fn() -> bool) {
    let wait = async {
        while !so() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(20), wait).await.is_ok(), "{what} never happened");
}

/// Runs something while a purchase is under way.
pub async fn meanwhile<F: Future<Output = ()>>(scene: &Scene, then: F) -> Told {
    let arguments = json!({ "url": scene.seller.url("/a"), "purpose": "a test" });
    let (_, answer) = scene.host.begin_call("fetch_paid", arguments).await;
    then.await;
    let answer: Value = answer.await.expect("the server answers");
    Told { raw: answer["result"].clone() }
}
