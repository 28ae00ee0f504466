//! An API that behaves like ntriq AgentShop: x402 in USDC, a paywall in front of every `POST`, batches that cost a few
//! hundred times as much as single calls and say nearly the same words.
//!
//! 1. `GET /services` and `GET /health` list everything with its price. `?v=` asks for another [`Form`] of challenge.
//! 2. Without a payment, or with one that cannot be read or chooses terms that were not offered: a challenge.
//! 3. A payment is verified (a fault is a challenge again, its reason in `error`), then the handler runs, and only an
//!    answer below 400 is settled: a wrong body costs nothing.
//! 4. A failed settlement is a 402 with a receipt and without a challenge.
//!
//! [`NtriqMode`] makes it as hostile as the world. What it says about money may be false; the [`PlayChain`] is the truth.

mod catalogue;
mod documents;
mod facilitator;
mod handlers;
mod identifier;
mod mode;
mod payment;
mod paywall;
mod service;
mod stranger;
mod terms;

use std::{
    mem::discriminant,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use axum::Router;
use tokio_util::sync::{CancellationToken, DropGuard};

use self::{catalogue::Endpoint, service::Service};
pub use self::{
    mode::{Dialect, Leg, NtriqMode, Settling, Whither},
    stranger::Stranger,
    terms::{Form, Means},
};
use super::{
    SandboxError,
    chain::{Carried, PlayChain, Revert, Transfer},
    listen, lock, wire,
};
use crate::{
    clock::Clock,
    evm::{Address, eip3009::Signed, permit2},
};

/// Where the API listens and who is paid.
#[derive(Clone, Debug)]
pub struct NtriqOptions {
    /// Where it listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Its account.
    pub pay_to: Address,
}

impl Default for NtriqOptions {
    fn default() -> NtriqOptions {
        NtriqOptions { listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), pay_to: Address([0x12; 20]) }
    }
}

/// The API. Dropping it closes its listener and the [`Stranger`]'s.
#[derive(Debug)]
pub struct Ntriq {
    service: Arc<Service>,
    stranger: Stranger,
    _stop: DropGuard,
}

impl Ntriq {
    /// Starts the API, and the other host that some of its redirects lead to.
    ///
    /// # Errors
    /// [`SandboxError::Bind`].
    pub async fn start(chain: PlayChain, clock: Clock, options: NtriqOptions) -> Result<Ntriq, SandboxError> {
        let (listener, bound) = listen::bind(options.listen).await?;
        let stop = CancellationToken::new();
        let guard = stop.clone().drop_guard();
        let stranger = Stranger::start(chain.clone(), stop.clone()).await?;
        let url = format!("http://{bound}");
        let service = Arc::new(Service::new(url, stranger.url(), options.pay_to, chain, clock, stop.clone()));
        wire::serve(listener, Router::new().fallback(service::answer).with_state(service.clone()), stop);
        Ok(Ntriq { service, stranger, _stop: guard })
    }

    /// Its base URL, without a slash at the end.
    pub fn url(&self) -> String {
        self.service.url.clone()
    }

    /// Its account.
    pub fn pay_to(&self) -> Address {
        self.service.pay_to
    }

    /// The account it wants paid in [`NtriqMode::OtherPayeeOnPayment`].
    pub fn other_payee(&self) -> Address {
        service::OTHER_PAYEE
    }

    /// The other host.
    pub fn stranger(&self) -> &Stranger {
        &self.stranger
    }

    /// Changes how it treats every request from now on.
    pub fn set_mode(&self, mode: NtriqMode) {
        lock(&self.service.settings).mode = mode;
    }

    /// Treats the next request **with a payment** like this, then goes on as before. Several wait in a row.
    pub fn next(&self, mode: NtriqMode) {
        lock(&self.service.settings).next.push_back(mode);
    }

    /// Writes challenges in this form where a request does not ask for another with `?v=`.
    pub fn set_form(&self, form: Form) {
        lock(&self.service.settings).form = form;
    }

    /// Wants the money moved in this way from now on, where the form is not version 1, which knows one way only.
    pub fn set_means(&self, means: Means) {
        lock(&self.service.settings).means = means;
    }

    /// Charges so many units of a price "up to", at most the price; without a word it charges half of it.
    pub fn set_charge(&self, units: u64) {
        lock(&self.service.settings).charge = Some(units);
    }

    /// The account that alone may charge less than was signed.
    pub fn facilitator(&self) -> Address {
        facilitator::FACILITATOR
    }

    /// Changes whose error strings its facilitator speaks.
    pub fn set_dialect(&self, dialect: Dialect) {
        lock(&self.service.settings).dialect = dialect;
    }

    /// Changes a price, in units of USDC; `false` when nothing is sold at that path.
    pub fn set_price(&self, path: &str, units: u64) -> bool {
        let found = Endpoint::find(path);
        found.is_some_and(|e| {
            lock(&self.service.settings).prices.insert(e.path, units);
            true
        })
    }

    /// What a path costs now, in units of USDC.
    pub fn price(&self, path: &str) -> Option<u64> {
        Endpoint::find(path).map(|e| self.service.price(e))
    }

    /// Answers 429 to everything beyond so many requests in a minute. The real service has 100; this one counts only
    /// when it is told to, since tests are quicker than people.
    pub fn set_rate_limit(&self, most_a_minute: Option<u32>) {
        lock(&self.service.settings).most_a_minute = most_a_minute;
    }

    /// How many challenges it gave out, those after a payment included.
    pub fn challenges(&self) -> usize {
        lock(&self.service.tally).challenges
    }

    /// How many times it answered a path with a status.
    pub fn answered(&self, path: &str, status: u16) -> usize {
        lock(&self.service.tally).answers.get(&(path.to_owned(), status)).copied().unwrap_or(0)
    }

    /// How many requests it met with this kind of hazard, whatever its numbers.
    pub fn struck(&self, mode: &NtriqMode) -> usize {
        lock(&self.service.tally).struck.get(&discriminant(mode)).copied().unwrap_or(0)
    }

    /// Every authorization that it verified, in order, the same one again each time it came.
    pub fn seen(&self) -> Vec<Signed> {
        let of = |carried: &Carried| match carried {
            Carried::Authorization(signed) => Some(signed.clone()),
            Carried::Permit { .. } => None,
        };
        lock(&self.service.seen).iter().filter_map(of).collect()
    }

    /// Every permit that it verified, likewise.
    pub fn permits(&self) -> Vec<permit2::Signed> {
        let of = |carried: &Carried| match carried {
            Carried::Authorization(_) => None,
            Carried::Permit { signed, .. } => Some(signed.clone()),
        };
        lock(&self.service.seen).iter().filter_map(of).collect()
    }

    /// Carries what was kept in [`NtriqMode::KeepsAuthorization`] and [`NtriqMode::ChargesLater`] to the chain, as a thief would who waited.
    pub fn submit_kept(&self) -> Vec<Result<Transfer, Revert>> {
        let kept = std::mem::take(&mut *lock(&self.service.kept));
        kept.iter().map(|signed| self.service.chain.transfer_with_authorization(signed)).collect()
    }
}
