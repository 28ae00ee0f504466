//! Asking the wallet what moves no money: its description, its state, what became of a payment.

use std::sync::Arc;

use nostr::event::Event;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};

use super::{
    NwcWallet, RESEND_FOR,
    cipher::{INFO, Info, Scheme},
    frame::Wanted,
    held,
    messages::{self, Reply, Said},
    payment_hash, words,
};
use crate::{
    ledger::Intent,
    wallet::{LookSaid, WalletError, WalletInfo},
};

/// How often each relay must have failed before a read gives up early.
const ATTEMPTS: u32 = 2;

/// How far before our own stamp a payment may stand in the wallet's list, in seconds: its clock is not ours, and a
/// payment missed here would look like one that never was.
const LIST_MARGIN: u64 = 600;

/// When reading may go on after the wallet or its relays asked to slow down.
#[derive(Default)]
pub(super) struct BackOff {
    until_ms: u64,
    times: u32,
}

impl BackOff {
    /// The first wait; it doubles each time, up to the longest.
    const FIRST_MS: u64 = 2_000;
    const LONGEST_MS: u64 = 60_000;

    fn slow_down(&mut self, now_ms: u64) {
        let wait = BackOff::FIRST_MS.saturating_mul(1 << self.times.min(10)).min(BackOff::LONGEST_MS);
        self.until_ms = now_ms.saturating_add(wait);
        self.times = self.times.saturating_add(1);
    }
}

fn unreachable(why: impl Into<String>) -> WalletError {
    WalletError::Unreachable(why.into())
}

impl NwcWallet {
    /// The wallet's signed description: fetched once, and again after [`NwcWallet::forget_description`].
    pub(super) async fn described(&self, deadline: Instant) -> Result<(Arc<Info>, Scheme), WalletError> {
        let late = || unreachable("the wallet's relay did not deliver the wallet's description in time");
        let mut kept = timeout_at(deadline, self.described.lock()).await.map_err(|_| late())?;
        if let Some((info, scheme)) = kept.as_ref().and_then(|info| Some((info.clone(), info.scheme?))) {
            return Ok((info, scheme));
        }
        let info = self.fetch_description(deadline).await?;
        let offered = info.scheme.ok_or_else(|| {
            WalletError::Setup("the wallet offers no encryption that is known here (nip44_v2 or nip04)".into())
        })?;
        let mut floor = held(&self.floor);
        if floor.is_some_and(|floor| offered < floor) {
            return Err(WalletError::Setup(
                "the wallet's relay shows a description that offers only the older NIP-04 encryption, though this \
                 wallet has offered NIP-44: refused, since an old description may have been replayed. If the wallet \
                 really changed, make a new connection in it"
                    .into(),
            ));
        }
        *floor = Some(offered);
        let info = Arc::new(info);
        *kept = Some(info.clone());
        Ok((info, offered))
    }

    /// Reads the description again before the next request: the wallet says that it no longer holds.
    pub(super) async fn forget_description(&self) {
        *self.described.lock().await = None;
    }

    async fn fetch_description(&self, mut deadline: Instant) -> Result<Info, WalletError> {
        let wanted = Wanted { author: Some(self.wallet), kind: INFO, answers: None, reader: None, stored: None };
        let mut exchange = self.relays.open(wanted, None).ok_or_else(crowded)?;
        let mut newest: Option<(Event, Info)> = None;
        while let Ok(heard) = timeout_at(deadline, exchange.next()).await {
            if let Some(event) = heard {
                let info = Info::read(&event);
                if info.scheme == Some(Scheme::Nip44) {
                    // There is none better, and whoever once offered it is never asked for less.
                    return Ok(info);
                }
                if newest.is_none() {
                    // Another relay may have a description that offers more.
                    deadline = deadline.min(Instant::now() + self.grace);
                }
                if newest.as_ref().is_none_or(|(kept, _)| kept.created_at < event.created_at) {
                    newest = Some((event, info));
                }
            }
            if exchange.all_failed(ATTEMPTS) {
                return Err(unreachable("no relay of the wallet can be reached"));
            }
            if exchange.all_told() || exchange.all_refused().is_some() {
                break;
            }
        }
        match (newest, exchange.all_refused()) {
            (Some((_, info)), _) => Ok(info),
            (None, Some(why)) => {
                Err(unreachable(format!("the wallet's relay refuses to be read: {}", words::cleaned(why))))
            }
            (None, None) if exchange.all_told() => Err(unreachable(
                "the wallet's relay has no description of the wallet (a signed event of kind 13194), so how to encrypt \
                 is not known; open the wallet once, or make a new connection in it",
            )),
            (None, None) => Err(unreachable(
                "the wallet's relay did not deliver the wallet's description (a signed event of kind 13194) in time, \
                 so how to encrypt is not known",
            )),
        }
    }

    /// Asks one thing that moves no money.
    pub(super) async fn ask(&self, method: &str, params: Value, deadline: Instant) -> Result<Value, WalletError> {
        if self.clock.now_ms() < held(&self.back_off).until_ms {
            let message = "it asked to slow down a moment ago; it is left alone for now".into();
            return Err(WalletError::Said { code: "RATE_LIMITED".into(), message });
        }
        // Nothing is ever sent below the best encryption that was seen, so that there is no need to wait to be told of it.
        let scheme = match self.floor() {
            Some(Scheme::Nip44) => Scheme::Nip44,
            _ => self.described(deadline).await?.1,
        };
        let now = self.clock.now_s();
        let event = self.signed(scheme, &messages::request(method, &params), now)?;
        let json = event.try_as_json().map_err(|_| WalletError::Setup("the request could not be written".into()))?;
        let (wanted, publish) = self.posting(event.id, &json, now + RESEND_FOR);
        let mut exchange = self.relays.open(wanted, Some(publish)).ok_or_else(crowded)?;
        let (mut deadline, mut unreadable, mut refused) = (deadline, false, false);
        while let Ok(heard) = timeout_at(deadline, exchange.next()).await {
            if let Some(event) = heard {
                let text = scheme.decrypt(&self.keys, &self.wallet, &event.content);
                match text.and_then(|text| Reply::read(&text)) {
                    Some(reply) if reply.answers(method) => return self.heard(reply.said).await,
                    _ => unreadable = true,
                }
            }
            if exchange.all_failed(ATTEMPTS) {
                return Err(unreachable("no relay of the wallet can be reached"));
            }
            if !refused && exchange.all_refused().is_some() {
                refused = true;
                deadline = deadline.min(Instant::now() + self.grace);
            }
        }
        if let Some(why) = exchange.all_refused() {
            if why.starts_with("rate-limited:") {
                held(&self.back_off).slow_down(self.clock.now_ms());
            }
            return Err(unreachable(format!("the wallet's relay refused the request: {}", words::cleaned(why))));
        }
        Err(unreachable(if unreadable {
            "the wallet's answer could not be read"
        } else if exchange.any_took() {
            "the relay took the request, but the wallet did not answer: it may be off, or the connection was revoked"
        } else if exchange.sends() == 0 {
            "no relay of the wallet could be reached in time"
        } else {
            "neither the wallet nor its relay answered in time"
        }))
    }

    async fn heard(&self, said: Said) -> Result<Value, WalletError> {
        match said {
            Said::Error { code, message, .. } => {
                match code.as_str() {
                    "RATE_LIMITED" => held(&self.back_off).slow_down(self.clock.now_ms()),
                    "UNSUPPORTED_ENCRYPTION" => self.forget_description().await,
                    _ => {}
                }
                Err(WalletError::Said { code, message })
            }
            Said::Result(result) => {
                *held(&self.back_off) = BackOff::default();
                Ok(result)
            }
            Said::Nothing => Err(unreachable("the wallet's answer says nothing")),
        }
    }

    /// Whether this connection may use a method, as far as the wallet has told.
    pub(super) fn may(&self, described: &Info, method: &str) -> bool {
        let rights = held(&self.rights);
        if rights.is_empty() { described.may(method) } else { rights.iter().any(|m| m == method) }
    }

    /// Whether the wallet names a method as one that this connection may use.
    pub(super) fn named(&self, described: &Info, method: &str) -> bool {
        !described.methods.is_empty() && self.may(described, method)
    }

    /// Asks one thing about the wallet at once, and is done without an answer when the description, which may come
    /// meanwhile, does not allow it, or the wallet does not.
    async fn ask_if(
        &self,
        method: &str,
        deadline: Instant,
        allowed: impl Fn(&Info) -> bool,
    ) -> Result<Value, WalletError> {
        let barred = async {
            match self.described(deadline).await {
                Ok((described, _)) if !allowed(&described) => {}
                _ => std::future::pending().await,
            }
        };
        let said = tokio::select! {
            biased;
            () = barred => return Ok(Value::Null),
            said = self.ask(method, json!({}), deadline) => said,
        };
        match said {
            // Not allowed to ask is no reason not to pay.
            Err(WalletError::Said { code, .. }) if code == "RESTRICTED" || code == "NOT_IMPLEMENTED" => Ok(Value::Null),
            said => said,
        }
    }

    /// What the wallet says of itself. All is asked at once, together with the description where the encryption is
    /// known from an earlier run.
    pub(super) async fn read_info(&self) -> Result<WalletInfo, WalletError> {
        let deadline = Instant::now() + self.read_timeout;
        let about = self.ask_if("get_info", deadline, |described| described.may("get_info"));
        let balance = async {
            let said = self.ask_if("get_balance", deadline, |described| self.may(described, "get_balance")).await;
            Ok(said.ok().as_ref().and_then(messages::balance))
        };
        let budget = async {
            let (described, _) = self.described(deadline).await?;
            if !self.named(&described, "get_budget") {
                return Ok(None);
            }
            let said = self.ask("get_budget", json!({}), deadline).await;
            Ok(said.ok().as_ref().and_then(messages::budget))
        };
        let described = self.described(deadline);
        // In this order: whoever waits for the description goes on in the same turn, so that all leaves in one flush.
        let ((described, _), about, balance, budget) = tokio::try_join!(biased; described, about, balance, budget)?;
        let about = messages::about(&about);
        let world = messages::world(about.network.as_deref()).ok_or_else(|| {
            WalletError::Setup("the wallet is on a network that is neither bitcoin's nor a test network".into())
        })?;
        held(&self.rights).clone_from(&about.methods);
        let methods = if about.methods.is_empty() { described.methods.clone() } else { about.methods };
        Ok(WalletInfo {
            balance,
            world,
            network: about.network,
            alias: about.alias,
            methods,
            budget,
            places: Vec::new(),
        })
    }

    /// Asks what became of a payment. For tests: [`Wallet::look_up`](crate::wallet::Wallet::look_up) without the
    /// ledger's word.
    #[doc(hidden)]
    pub async fn look_up_intent(&self, intent: &Intent) -> LookSaid {
        let cannot_tell = |error: WalletError| LookSaid::CannotTell { why: error.to_string() };
        let Some(hash) = payment_hash(intent) else {
            return LookSaid::CannotTell { why: "the payment has no payment hash to look for".into() };
        };
        let deadline = Instant::now() + self.read_timeout;
        let described = match self.described(deadline).await {
            Ok((described, _)) => described,
            Err(error) => return cannot_tell(error),
        };
        if self.may(&described, "lookup_invoice") {
            let params = json!({ "payment_hash": data_encoding::HEXLOWER.encode(&hash) });
            match self.ask("lookup_invoice", params, deadline).await {
                Ok(transaction) => return messages::look_said(&transaction, &hash),
                Err(WalletError::Said { code, message }) => match code.as_str() {
                    "NOT_FOUND" => return LookSaid::NotFound,
                    // What LNbits says instead.
                    "INTERNAL" if message.trim_end_matches('.').eq_ignore_ascii_case("payment not found") => {
                        return LookSaid::NotFound;
                    }
                    "NOT_IMPLEMENTED" | "RESTRICTED" => {}
                    _ => return cannot_tell(WalletError::Said { code, message }),
                },
                Err(error) => return cannot_tell(error),
            }
        }
        if self.may(&described, "list_transactions") {
            let signed = Event::from_json(&intent.wire).map_or(0, |event| event.created_at.as_secs());
            let params = json!({
                "type": "outgoing",
                "unpaid": true,
                "from": signed.saturating_sub(LIST_MARGIN),
                "limit": messages::LISTED,
            });
            return match self.ask("list_transactions", params, deadline).await {
                Ok(result) => messages::listing_said(&result, &hash),
                Err(error) => cannot_tell(error),
            };
        }
        LookSaid::CannotTell { why: "this connection to the wallet may not look payments up".into() }
    }
}

fn crowded() -> WalletError {
    unreachable("too many requests to the wallet are under way")
}
