//! Asking the seller without money: a stored credential first, a free tier second, and then its price.

use std::{
    sync::Mutex,
    time::{Duration, Instant, UNIX_EPOCH},
};

use http::header::{AGE, DATE};
use tokio::sync::watch;

use super::{
    Flight, No, Progress, Purse, Request,
    fetch::Call,
    lock,
    session::{Bounds, Drawn, Served, deposit_of},
};
use crate::{
    config::FreeTier,
    evm::assets::Assets,
    http::{Answer, Ask, Limits, Origin, Policy},
    ledger::{PurchaseId, StoredCredential, Verdict},
    protocol::{self, Challenge, Credential, Offer, Pin, Proof, Seen, Way, free::quota_used_up, text::clean},
};

/// A free tier that is used up is not asked again for this long.
const FREE_AGAIN: Duration = Duration::from_secs(600);

/// How long a stream of events is listened to when only its price is asked for.
const GLANCE: Duration = Duration::from_secs(3);

/// A seller's clock is believed to be at most this far ahead, in seconds.
const MOST_AHEAD_S: u64 = 300;

/// How often whoever waits is told how much of an answer there is.
const TELL: Duration = Duration::from_secs(1);

/// How long a stream that draws on a deposit may say nothing: sellers wait a minute for a top-up.
const PAUSE: Duration = Duration::from_secs(75);

/// How long a seller may take to settle before its answer begins: a facilitator's own deadlines are as long.
const SETTLING: Duration = Duration::from_secs(100);

/// What [`read`] says of a price that it does not read.
pub(super) const PRICES_NOT_READ: [&str; 3] = ["price_elsewhere", "stale_challenge", "challenge_too_large"];

/// What the seller said to a request without money.
pub(super) enum Asked {
    /// It answered.
    Answered {
        answer: Answer,
        /// The credential that opened it, if one did.
        token: Option<StoredCredential>,
        /// Whether it was a free tier.
        free_tier: bool,
    },
    /// It was paid for by a deposit made earlier.
    Drawn(Box<Served>),
    /// It wants to be paid.
    Priced {
        challenge: Challenge,
        /// What led here: a token that ran out, a free tier that is used up.
        because: Vec<String>,
        /// The request as it must be sent again: without the free tier's header, if that was used up.
        request: Request,
        /// How far the seller's clock is ahead of ours, in seconds.
        ahead_s: u64,
        /// Whether the seller was not asked, since its price is remembered.
        known_price: bool,
    },
}

impl Purse {
    /// Sends the request, with at most one stored credential.
    pub(super) async fn ask(&self, call: &Call, flight: &watch::Sender<Flight>) -> Result<Asked, No> {
        let (principal, mut request) = (call.caller.principal.as_str(), call.request.clone());
        let ledger = self.ledger().await?;
        let mut because = Vec::new();
        let bounds = Bounds { caller: call.caller.clone(), max_price: call.max_price, so_far: None };
        let origin = request.origin.to_string();
        let path = request.url.path().to_owned();
        let stored = ledger.credential(principal, &origin, &path).await?;
        let deposit = stored.as_ref().and_then(|stored| Some((deposit_of(stored)?, stored.opened_here)));
        // Where it was not shown before, the seller is asked first whether it is for this path at all.
        let mut drawn = false;
        if let Some((deposit, true)) = deposit {
            drawn = true;
            if let Some(asked) = self.draw_once(deposit, &request, &bounds, &mut because, flight).await? {
                return Ok(asked);
            }
        }
        let stored = stored.filter(|_| deposit.is_none());
        let usable = stored.and_then(|s| Some((credential_of(&s.pin, &s.proof)?, s)));
        if usable.is_none()
            && let Some((offer, ahead_s)) = self.known_price(principal, &request).await
            // Who was told of a lower price since asks for it; what was paid before is no reason to pay more.
            && offer.price.is_none_or(|price| self.told_less(principal, &request, price).is_none())
        {
            because.push("its price is known from a moment ago".into());
            let challenge = Challenge { offers: vec![offer], ..Challenge::default() };
            return Ok(Asked::Priced { challenge, because, request, ahead_s, known_price: true });
        }
        let mut answer = None;
        if let Some((credential, stored)) = usable {
            let said = self.send(&request, Some(credential), Some(flight)).await?;
            if !is_refused(&said, &stored.pin) {
                return Ok(Asked::Answered { answer: said, token: Some(stored), free_tier: false });
            }
            // Only a new price says that a token which opened this path before is used up.
            let (verdict, say) = if stored.opened_here && asks(&said) {
                (Verdict::Spent, format!("the token of {} ran out", stored.purchase))
            } else {
                (Verdict::Rejected, format!("the token of {} does not open this path", stored.purchase))
            };
            ledger.learn(stored.id, &path, verdict).await?;
            // What does something is not sent again to who may have begun to do it: the next call goes without it.
            if said.status >= 500 && !asks(&said) && !request.repeatable() {
                return Ok(Asked::Answered { answer: said, token: Some(stored), free_tier: false });
            }
            because.push(say);
            // A fresh challenge often comes with the rejection: no second request, no second invoice.
            answer = (said.status == 402).then_some(said);
        }
        let mut answer = match answer {
            Some(answer) => answer,
            None => self.send(&request, None, Some(flight)).await?,
        };
        if answer.status == 429 && request.headers.contains_key("x-free-tier") && quota_used_up(seen(&answer)).is_some()
        {
            because.push("the free tier is used up".into());
            request.headers.remove("x-free-tier");
            answer = self.send(&request, None, Some(flight)).await?;
        }
        if answer.status != 402 {
            return Ok(Asked::Answered { answer, token: None, free_tier: false });
        }
        let ahead_s = ahead(&answer, self.0.clock.now_s());
        let mut challenge = read(&answer, &request.origin, self.assets())?;
        if !drawn && let Some(asked) = self.draw_again(call, &request, &challenge.offers, &mut because, flight).await? {
            return Ok(asked);
        }
        if let Some((free, name, value)) = self.free_offer(&challenge, &request) {
            let mut trial = request.clone();
            trial.headers.insert(name, value);
            let said = self.send(&trial, None, Some(flight)).await?;
            // A fault in the request is the seller's answer, and would be charged; a free tier that is shut is not.
            let shut = matches!(said.status, 401..=403 | 429 | 500..) || quota_used_up(seen(&said)).is_some();
            if !shut {
                return Ok(Asked::Answered { answer: said, token: None, free_tier: true });
            }
            let mut used_up = lock(&self.0.used_up);
            used_up.retain(|_, at| at.elapsed() < FREE_AGAIN);
            used_up.insert(free, Instant::now());
            drop(used_up);
            because.push(match said.status {
                402 | 429 => "the free tier is used up".into(),
                status => format!("the free tier answered {status}"),
            });
            if said.status == 402 {
                challenge = read(&said, &request.origin, self.assets())?;
            }
        }
        Ok(Asked::Priced { challenge, because, request, ahead_s, known_price: false })
    }

    /// Draws on a deposit that these offers ask for once more, if there is one.
    pub(super) async fn draw_again(
        &self,
        call: &Call,
        request: &Request,
        offers: &[Offer],
        because: &mut Vec<String>,
        flight: &watch::Sender<Flight>,
    ) -> Result<Option<Asked>, No> {
        let bounds = Bounds { caller: call.caller.clone(), max_price: call.max_price, so_far: None };
        let origin = request.origin.to_string();
        for deposit in self.deposits_for(&call.caller.principal, &origin, offers).await? {
            if let Some(asked) = self.draw_once(deposit, request, &bounds, because, flight).await? {
                return Ok(Some(asked));
            }
        }
        Ok(None)
    }

    async fn draw_once(
        &self,
        deposit: PurchaseId,
        request: &Request,
        bounds: &Bounds,
        because: &mut Vec<String>,
        flight: &watch::Sender<Flight>,
    ) -> Result<Option<Asked>, No> {
        match self.draw_on(deposit, request, bounds, flight).await? {
            Ok(said) => self.drew(said, deposit, because),
            Err(why) => {
                because.push(why);
                Ok(None)
            }
        }
    }

    /// What a call that drew on a deposit brought. `None`: the deposit serves no call any more, and what is left of it is
    /// asked back; the seller is asked for its price.
    fn drew(&self, said: Drawn, deposit: PurchaseId, because: &mut Vec<String>) -> Result<Option<Asked>, No> {
        match said {
            Drawn::Served(served) => Ok(Some(Asked::Drawn(served))),
            Drawn::Refused(_) => {
                because.push(format!("the deposit of {deposit} serves no call any more"));
                Ok(None)
            }
            Drawn::Failed { answer, why } => {
                let why = answer.map_or(why, |(answer, _)| format!("the seller answered {}", answer.status));
                Err(No::new(
                    "seller_unreachable",
                    format!("{why}. A unit of the deposit of {deposit} may have been taken all the same; call again"),
                ))
            }
        }
    }

    /// The free tier to try, unless the operator forbids it or it just said that it is used up.
    fn free_offer(
        &self,
        challenge: &Challenge,
        request: &Request,
    ) -> Option<(String, http::HeaderName, http::HeaderValue)> {
        if self.0.config.free == FreeTier::Never {
            return None;
        }
        let key = format!("{}{}", request.origin, request.url.path());
        if lock(&self.0.used_up).get(&key).is_some_and(|at| at.elapsed() < FREE_AGAIN) {
            return None;
        }
        challenge.offers.iter().find_map(|offer| match &offer.way {
            Way::Free { name, value } if !request.headers.contains_key(name) => {
                Some((key.clone(), name.clone(), value.clone()))
            }
            _ => None,
        })
    }

    /// Sends a request once under the seller policy, and tells those who wait for the flight how much came.
    pub(super) async fn send(
        &self,
        request: &Request,
        credential: Option<Credential>,
        flight: Option<&watch::Sender<Flight>>,
    ) -> Result<Answer, crate::http::Error> {
        let stream = flight.map_or(GLANCE, |f| self.listen(f.borrow().begun));
        self.send_within(request, credential, flight, Limits { stream, ..Limits::default() }, &|_| ()).await
    }

    /// Sends a request that draws on a deposit, and lets its answer be heard while it comes: a stream may ask for more
    /// money in the middle, and waits until that was paid.
    pub(super) async fn send_drawing(
        &self,
        request: &Request,
        credential: Credential,
        flight: Option<&watch::Sender<Flight>>,
        heard: &(dyn Fn(&[u8]) + Sync),
    ) -> Result<Answer, crate::http::Error> {
        let stream = flight.map_or(GLANCE, |f| self.listen(f.borrow().begun));
        let limits = Limits { idle: PAUSE, stream, ..Limits::default() };
        self.send_within(request, Some(credential), flight, limits, heard).await
    }

    /// Sends a request with what pays for it. The seller may take a chain's time to settle before it answers.
    pub(super) async fn send_paying(
        &self,
        request: &Request,
        payment: Credential,
        flight: &watch::Sender<Flight>,
    ) -> Result<Answer, crate::http::Error> {
        let stream = self.listen(flight.borrow().begun);
        let limits = Limits { first_byte: SETTLING, total: SETTLING * 3 / 2, stream, ..Limits::default() };
        self.send_within(request, Some(payment), Some(flight), limits, &|_| ()).await
    }

    async fn send_within(
        &self,
        request: &Request,
        credential: Option<Credential>,
        flight: Option<&watch::Sender<Flight>>,
        limits: Limits,
        piece: &(dyn Fn(&[u8]) + Sync),
    ) -> Result<Answer, crate::http::Error> {
        let ask = Ask {
            method: request.method.clone(),
            url: request.url.clone(),
            headers: request.headers.clone(),
            body: request.body.clone().into(),
            credential,
            limits,
        };
        let told = Mutex::new(Instant::now());
        let heard = |bytes: &[u8], all| {
            piece(bytes);
            let mut told = lock(&told);
            if let Some(flight) = flight
                && told.elapsed() >= TELL
            {
                *told = Instant::now();
                flight.send_modify(|f| f.progress = Progress::Collecting(all));
            }
        };
        self.0.http.send_telling(Policy::Seller, ask, &heard).await
    }

    /// How long a stream of events is listened to, so that its caller still hears of it. When so little of that is left
    /// that the caller was or will be told to ask again, as long as a caller waits who does.
    fn listen(&self, begun: Option<Instant>) -> Duration {
        let answer = self.0.config.waits.answer;
        let margin = Duration::from_secs(5).min(answer / 2);
        let whole = answer - margin;
        let left = begun.map(|at| whole.saturating_sub(at.elapsed()));
        left.filter(|left| *left >= margin).unwrap_or(whole)
    }
}

/// The header that a stored credential makes.
pub(super) fn credential_of(pin: &[u8], proof: &[u8]) -> Option<Credential> {
    let pin: Pin = serde_json::from_slice(pin).ok()?;
    let proof: Proof = serde_json::from_slice(proof).ok()?;
    pin.credential(&proof)
}

/// Whether an answer asks for payment, whatever its status.
pub(super) fn asks(answer: &Answer) -> bool {
    answer.status == 402 || protocol::asks_for_payment(seen(answer))
}

/// Whether an answer says that a stored credential opens nothing. A used credential of MPP meets all kinds of failure,
/// since its challenge was for one call; only a call without it tells whether the seller fails for everybody.
fn is_refused(answer: &Answer, pin: &[u8]) -> bool {
    let once = matches!(serde_json::from_slice(pin), Ok(Pin::Mpp(_)));
    matches!(answer.status, 401..=403) || asks(answer) || once && answer.status >= 400
}

/// How far the seller's clock is ahead of ours, by its `Date`, as far as that is believed: what is signed lives so much
/// longer.
pub(super) fn ahead(answer: &Answer, now_s: u64) -> u64 {
    let date = answer.headers.get(DATE).and_then(|v| v.to_str().ok()).and_then(|v| httpdate::parse_http_date(v).ok());
    let said = date.and_then(|at| at.duration_since(UNIX_EPOCH).ok()).map_or(0, |since| since.as_secs());
    // A second or two are the rounding of the header and the way here.
    said.checked_sub(now_s).filter(|ahead| *ahead > 2).unwrap_or(0).min(MOST_AHEAD_S)
}

pub(super) fn seen(answer: &Answer) -> Seen<'_> {
    Seen { url: &answer.url, status: answer.status, headers: &answer.headers, body: &answer.body }
}

/// Reads a challenge, unless a cache served it: an invoice from a cache belongs to somebody else. Nor where a redirect led
/// to another origin: its price is for a seller that nobody named, and what is bought is never shown to it.
pub(super) fn read(answer: &Answer, asked: &Origin, assets: &Assets) -> Result<Challenge, No> {
    if Origin::of(&answer.url).as_ref() != Some(asked) {
        let place = clean(answer.url.as_str(), 500);
        return Err(No::new(
            "price_elsewhere",
            format!(
                "{asked} sends on to another place, which asks for payment, and nothing is paid by way of a redirect. \
                 If that place is meant, call again with its own address: {place}"
            ),
        ));
    }
    // Every cache on the way may have added its own, and one that cannot be read is no proof of freshness.
    let mut ages = answer.headers.get_all(AGE).iter().flat_map(|v| v.as_bytes().split(|b| *b == b','));
    if ages.any(|age| age.trim_ascii() != b"0") {
        return Err(No::new(
            "stale_challenge",
            "a cache served this price, not the seller, so its invoice may belong to somebody else",
        ));
    }
    if answer.cut {
        return Err(No::new("challenge_too_large", "the seller's demand for payment is larger than 64 KiB"));
    }
    Ok(protocol::read_with(seen(answer), assets))
}
