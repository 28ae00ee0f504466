//! What the attack tests say again and again.

use serde_json::{Value, json};

use super::{Host, Reply, Seller, Told, World, token_for};

impl Seller {
    /// Starts a seller that says `replies[n]` on the path `/n`, whatever is shown to it.
    pub async fn table(replies: Vec<Reply>) -> Seller {
        Seller::start(move |hit| {
            let n = hit.uri.path().trim_start_matches('/').parse::<usize>().ok();
            n.and_then(|n| replies.get(n).cloned()).unwrap_or_else(|| Reply::status(404, "no such path"))
        })
        .await
    }
}

impl World {
    /// A 402 with a fresh invoice of the play network and a token bound to it.
    pub fn ask(&self, msat: u64) -> Reply {
        let invoice = self.node().invoice(msat, "x", 600).expect("an invoice");
        Reply::l402(&token_for(&invoice.payment_hash), &invoice.bolt11)
    }

    /// How often the wallet was asked to pay, with whatever result.
    pub fn asked_to_pay(&self) -> usize {
        self.wallet().seen("pay_invoice")
    }
}

/// Calls `fetch_paid` with these arguments and fails unless it refuses without asking the wallet to pay.
pub async fn refuses(world: &World, host: &Host, arguments: Value, what: &str) -> Told {
    let before = (world.spent_msat(), world.asked_to_pay());
    let told = host.fetch(arguments).await;
    assert!(told.is_error(), "{what}: {}", told.text());
    assert_eq!(told.outcome(), "refused", "{what}: {}", told.text());
    assert!(told.say().starts_with("Nothing was paid"), "{what}: {}", told.say());
    assert_eq!((world.spent_msat(), world.asked_to_pay()), before, "{what}: {}", told.text());
    told
}

/// The same for a URL, with the refusal's code.
pub async fn refuses_with(world: &World, host: &Host, url: &str, code: &str) -> Told {
    let told = refuses(world, host, json!({ "url": url }), url).await;
    assert_eq!(told.facts()["code"], code, "{url}: {}", told.text());
    told
}
