//! What the money tests share: waiting with a deadline, the rows of the ledger, and a buyer without a ledger that shows
//! what the same script does to one.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use bursar::{
    clock::Clock,
    http::{Ask, Client, Limits, Policy, Settings},
    ledger::{AuditRow, Intent, PurchaseId},
    protocol::{self, Credential, Proof, Seen, Way, bolt11::Invoice},
    wallet::{
        Bill, PaySaid, Wallet,
        nwc::{NwcOptions, NwcWallet},
    },
};

use super::World;

/// Asks again and again until it is so; fails the test after twenty seconds.
pub async fn until<F: AsyncFnMut() -> bool>(what: &str, holds: F) {
    until_within(Duration::from_secs(20), what, holds).await;
}

/// The same with another deadline.
pub async fn until_within<F: AsyncFnMut() -> bool>(most: Duration, what: &str, mut holds: F) {
    let begun = Instant::now();
    while !holds().await {
        assert!(begun.elapsed() < most, "this did not happen within {most:?}: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The purchases in the audit: what is neither a refusal nor a re-use, nor what came back.
pub async fn purchases(world: &World) -> Vec<AuditRow> {
    let mut rows = world.audit().await;
    rows.retain(|row| row.purchase.is_some() && row.state != "refund");
    rows
}

/// The states of all purchases, oldest first.
pub async fn states(world: &World) -> Vec<String> {
    purchases(world).await.into_iter().map(|row| row.state).collect()
}

/// The sum of what is held in the session's budget, in msat.
pub async fn held_msat(world: &World, session_key: &str) -> u64 {
    budget(world, session_key).await.held.atomic()
}

/// The session's budget in satoshi.
pub async fn budget(world: &World, session_key: &str) -> bursar::ledger::BudgetView {
    let (_, budgets) = world.ledger().budgets("local", session_key).await.expect("the budgets can be read");
    let session = budgets
        .into_iter()
        .find(|b| b.scope == bursar::ledger::Scope::Session && b.limit.currency() == bursar::money::Currency::Sat);
    session.expect("a session has a budget")
}

/// Waits until the purchase with this id stands in `state`.
pub async fn until_state(world: &World, id: &str, state: &str) {
    let ledger = world.ledger();
    let id: PurchaseId = id.parse().expect("an id");
    until(&format!("{id} is {state}"), async || {
        let standing = ledger.find(id).await.expect("the ledger can be read");
        standing.is_some_and(|s| s.state.to_string() == state)
    })
    .await;
}

/// Waits until an answer counts as handed over.
pub async fn until_answered(world: &World, id: &str) {
    let ledger = world.ledger();
    let id: PurchaseId = id.parse().expect("an id");
    until(&format!("{id} counts as answered"), async || {
        ledger.find(id).await.expect("the ledger can be read").is_some_and(|s| s.answered_ms.is_some())
    })
    .await;
}

/// A buyer as many are: it pays what it is asked, believes that no answer means no payment, and counts in memory.
///
/// The negative control: under the script of a money test it loses money, so that the script would catch a Bursar that
/// did the same.
pub struct Naive {
    http: Client,
    wallet: NwcWallet,
    limit_msat: u64,
    spent_msat: AtomicU64,
}

impl Naive {
    /// A buyer that waits this long for the wallet and spends at most so much, as far as it remembers.
    pub fn new(world: &World, patience: Duration, limit_msat: u64) -> Naive {
        let options = NwcOptions { reply_timeout: patience, ..NwcOptions::default() };
        let wallet = NwcWallet::new(&world.sandbox.nwc_uri(), options).expect("the connection string is good");
        let http = Client::new(Settings { allow_loopback: true, ..Settings::default() });
        Naive { http, wallet, limit_msat, spent_msat: AtomicU64::new(0) }
    }

    async fn send(&self, url: &str, credential: Option<Credential>) -> Option<bursar::http::Answer> {
        let ask = Ask {
            method: http::Method::GET,
            url: url.parse().expect("a url"),
            headers: http::HeaderMap::new(),
            body: Vec::new().into(),
            credential,
            limits: Limits::default(),
        };
        self.http.send(Policy::Seller, ask).await.ok()
    }

    /// What the wallet says of itself; the first call connects.
    pub async fn connect(&self) {
        self.wallet.info().await.expect("the wallet answers");
    }

    /// Fetches, pays, fetches again: the status it ends with, or nothing.
    pub async fn fetch(&self, url: &str) -> Option<u16> {
        let answer = self.send(url, None).await?;
        if answer.status != 402 {
            return Some(answer.status);
        }
        let seen = Seen { url: &answer.url, status: answer.status, headers: &answer.headers, body: &answer.body };
        let challenge = protocol::read(seen);
        let (offer, pin) = challenge.offers.iter().find_map(|o| match &o.way {
            Way::Pay(pin) => Some((o, pin)),
            _ => None,
        })?;
        let (price, text) = (offer.price?, pin.invoice()?);
        let invoice = Invoice::read(text).ok()?;
        if self.spent_msat.load(Ordering::SeqCst) + price.atomic() > self.limit_msat {
            return None;
        }
        let bill = Bill::Bolt11 {
            invoice: text.to_owned(),
            payment_hash: invoice.payment_hash,
            amount: invoice.amount,
            expires_at: invoice.expires_s,
            fee_cap: self.wallet.fee_cap(price),
        };
        let prepared = self.wallet.prepare(&bill).await.ok()?;
        let intent = Intent {
            purchase: PurchaseId::random(),
            n: 0,
            protocol: "l402".into(),
            rail: offer.rail.to_string(),
            network: offer.network.clone(),
            asset: offer.asset.clone(),
            payee: offer.payee.clone(),
            rail_key: offer.rail_key.clone(),
            wallet: self.wallet.id(),
            price,
            fee_cap: self.wallet.fee_cap(price),
            liability_until: Clock::system().now_s() + 600,
            resend_until: prepared.resend_until,
            pin: Vec::new(),
            wire: prepared.wire,
        };
        // It forgets what it was about to do, and takes silence for a "no".
        let PaySaid::Settled { preimage, .. } = self.wallet.pay_intent(&intent, true).await else { return None };
        self.spent_msat.fetch_add(price.atomic(), Ordering::SeqCst);
        let credential = pin.credential(&Proof::Preimage { hex: preimage })?;
        Some(self.send(url, Some(credential)).await?.status)
    }
}
