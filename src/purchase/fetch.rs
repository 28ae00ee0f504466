//! One call: from a wish to a report.

use std::sync::Arc;

use tokio::{sync::watch, time::Instant};

use super::{
    Caller, Flight, No, OfferView, Outcome, Progress, Purse, Report, Request, Waited, Wish,
    choose::{self, Terms, WalletTerms},
    drive::{Ran, kill_point},
    quote::Asked,
    results::{Body, Results, free_id, is_id},
};
use crate::{
    http::Answer,
    ledger::{
        Begun, Committed, Idempotency, Intent, NewPurchase, NoRoom, PurchaseId, Refused, Reused, Standing, State,
        StoredCredential,
    },
    money::{Amount, Currency},
    protocol::{
        Offer, Pin, Way, World,
        bolt11::{Invoice, InvoicePolicy},
    },
    wallet::{Bill, WalletError},
};

/// How to hear about progress. Called at least every five seconds.
pub type Tell<'a> = &'a (dyn Fn(&Progress) + Sync);

/// Everything one purchase attempt needs.
struct Call {
    caller: Caller,
    request: Request,
    idem: Idempotency,
    max_price: Option<Amount>,
    purpose: String,
}

impl Call {
    fn refused(&self, no: &No, price: Option<Amount>) -> Refused {
        Refused {
            principal: self.caller.principal.clone(),
            session_key: self.caller.session_key.clone(),
            host: self.request.host(),
            path: self.request.line(),
            code: no.code.into(),
            say: no.say.clone(),
            price,
            purpose: self.purpose.clone(),
        }
    }
}

impl Purse {
    /// Fetches what a caller wishes for, buying it if need be. Answers within `waits.answer`, with `pending` if it must;
    /// the purchase goes on meanwhile, and an equal call or its id finds it.
    pub async fn fetch(&self, caller: &Caller, wish: Wish, tell: Tell<'_>) -> Report {
        let until = Instant::now() + self.0.config.waits.answer;
        match self.start(caller, wish).await {
            Ok((key, call)) => {
                let purse = self.clone();
                let (flight, first) = self.fly(key, |sender| async move {
                    match purse.go(&call, &sender).await {
                        Ok(report) => report,
                        Err(no) => no.report(),
                    }
                });
                self.land(flight, first, until, tell).await
            }
            Err(no) => no.report(),
        }
    }

    /// Asks for the price and for everything that can be known without paying.
    pub async fn quote(&self, caller: &Caller, wish: Wish) -> Report {
        let look = async {
            let (_, call) = self.start(caller, wish).await?;
            let answer = match self.send(&call.request, None).await? {
                answer if answer.status == 402 => answer,
                answer => {
                    let body = Results::body(free_id(), &answer, self.0.clock.now_ms());
                    let say =
                        format!("Nothing was paid: the seller answers this without payment (HTTP {}).", answer.status);
                    return Ok(Report { body: Some(Arc::new(body)), ..Report::new(Outcome::Free, say) });
                }
            };
            let seen = crate::protocol::Seen {
                url: &answer.url,
                status: answer.status,
                headers: &answer.headers,
                body: &answer.body,
            };
            let challenge = crate::protocol::read(seen);
            let judged = self.judge(&call, &challenge.offers).await?;
            let offers: Vec<OfferView> = judged.iter().map(|(o, v)| choose::view(o, v)).collect();
            let best = choose::choose(&judged);
            let say = match &best {
                Some((offer, why)) => format!(
                    "Nothing was paid: this was only a look. It costs {} ({why}). Call fetch_paid without dry_run to buy it.",
                    offer.price.map(|p| p.to_string()).unwrap_or_default()
                ),
                None if offers.iter().any(|o| o.payable) => {
                    "Nothing was paid: this was only a look. A free tier is offered and would be tried first.".into()
                }
                None => format!("Nothing was paid: this was only a look. {}", why_none(&offers)),
            };
            let price = best.and_then(|(offer, _)| offer.price);
            Ok::<_, No>(Report { offers, notes: challenge.notes, price, ..Report::new(Outcome::Quoted, say) })
        };
        look.await.unwrap_or_else(No::report)
    }

    /// The stored answer, or the state, of an earlier purchase or free answer of this principal. Pays nothing that was
    /// not already begun.
    pub async fn result(&self, caller: &Caller, id: &str, tell: Tell<'_>) -> Report {
        let until = Instant::now() + self.0.config.waits.answer;
        let found = async {
            if !is_id(id) {
                return Err(No::new("bad_result_id", "a result_id is p_ or r_ and 26 letters or digits"));
            }
            let unknown = || No::new("no_such_result", "there is no such result");
            let ledger = self.ledger().await?;
            if let Ok(purchase) = id.parse::<PurchaseId>() {
                let standing = ledger.find(purchase).await?.filter(|s| s.principal == caller.principal);
                let standing = standing.ok_or_else(unknown)?;
                if standing.state == State::Delivered {
                    return self.stored(&standing).await.map(Ok);
                }
                return Ok(Err(standing));
            }
            let row = ledger.result(&caller.principal, id).await?.ok_or_else(unknown)?;
            let body = self.0.results.read(row).ok_or_else(gone)?;
            let say = format!("Nothing was paid: this is a stored answer that was free (HTTP {}).", body.row.status);
            Ok(Ok(Report { body: Some(Arc::new(body)), ..Report::new(Outcome::Stored, say) }))
        };
        match found.await {
            Ok(Ok(report)) => report,
            Ok(Err(standing)) => {
                let (flight, first) = self.fly_standing(&standing);
                self.land(flight, first, until, tell).await
            }
            Err(no) => no.report(),
        }
    }

    /// Goes on with a purchase that stands, in a flight of its own or in the one that is under way.
    pub(super) fn fly_standing(&self, standing: &Standing) -> (watch::Receiver<Flight>, bool) {
        let key = flight_key(&standing.principal, &standing.idem_key);
        let (purse, standing) = (self.clone(), standing.clone());
        self.fly(key, |sender| async move {
            match purse.go_on(standing, &sender).await {
                Ok(report) => report,
                Err(no) => no.report(),
            }
        })
    }

    /// Waits for a flight and says what this caller must know: who only joined did not pay a second time.
    async fn land(&self, flight: watch::Receiver<Flight>, first: bool, until: Instant, tell: Tell<'_>) -> Report {
        match self.wait(flight, until, tell).await {
            Waited::Report(report) if first => (*report).clone(),
            Waited::Report(report) => {
                let mut report = (*report).clone();
                if report.outcome == Outcome::Bought {
                    report.outcome = Outcome::Stored;
                    let (id, price) = (report.purchase, report.paid_now.take());
                    report.say = format!(
                        "Nothing more was paid: an equal call at the same time bought it for {} ({}).",
                        price.map(|p| p.to_string()).unwrap_or_default(),
                        id.map(|i| i.to_string()).unwrap_or_default()
                    );
                }
                report
            }
            Waited::Late(Some(id)) => match self.ledger().await {
                Ok(ledger) => match ledger.find(id).await {
                    Ok(Some(standing)) => pending(&standing),
                    _ => Report { purchase: Some(id), ..Report::new(Outcome::Pending, ask_again(id)) },
                },
                Err(no) => no.report(),
            },
            Waited::Late(None) => Report {
                code: Some("seller_slow"),
                ..Report::new(
                    Outcome::Pending,
                    "Nothing has been paid so far: the seller has not answered yet. The request goes on; the same call \
                     again joins it.",
                )
            },
            Waited::Lost => No {
                code: "internal",
                say: "something went wrong here; the ledger knows what was paid: an equal call goes on from there and \
                      pays nothing twice"
                    .into(),
            }
            .lost(),
        }
    }

    async fn start(&self, caller: &Caller, wish: Wish) -> Result<(String, Call), No> {
        let request = Request::vet(&self.0.config.http, &wish)?;
        let idem = request.idempotency(&caller.principal, wish.idempotency_key.as_deref())?;
        let key = flight_key(&caller.principal, &idem.key);
        let purpose = crate::protocol::text::clean(&wish.purpose, 200);
        Ok((key, Call { caller: caller.clone(), request, idem, max_price: wish.max_price, purpose }))
    }

    /// The whole of one purchase attempt.
    async fn go(&self, call: &Call, flight: &watch::Sender<Flight>) -> Result<Report, No> {
        self.reconcile_in_background();
        let ledger = self.ledger().await?;
        if let Some(standing) = ledger.standing_for(&call.caller.principal, &call.idem).await? {
            if standing.request_hash != call.idem.request_hash {
                return Err(key_taken(standing.id));
            }
            return self.go_on(standing, flight).await;
        }
        match self.ask(&call.caller.principal, call.request.clone()).await? {
            Asked::Answered { answer, token, free_tier } => self.answered_free(call, answer, token, free_tier).await,
            Asked::Priced { challenge, because, request } => {
                let price = challenge.offers.iter().find_map(|o| o.price.filter(|p| !p.is_zero()));
                let call = Call {
                    caller: call.caller.clone(),
                    request,
                    idem: call.idem.clone(),
                    max_price: call.max_price,
                    purpose: call.purpose.clone(),
                };
                let (offers, notes) = (challenge.offers, challenge.notes);
                match self.buy(&call, &offers, &because, flight).await {
                    Err(no) => {
                        if let Err(e) = ledger.refuse(call.refused(&no, price)).await {
                            tracing::warn!("a refusal could not be recorded: {e}");
                        }
                        let judged = self.judge(&call, &offers).await.unwrap_or_default();
                        let offers = judged.iter().map(|(o, v)| choose::view(o, v)).collect();
                        Ok(Report { offers, notes, price, ..no.report() })
                    }
                    ok => ok,
                }
            }
        }
    }

    /// The seller answered without a new payment.
    async fn answered_free(
        &self,
        call: &Call,
        answer: Answer,
        token: Option<StoredCredential>,
        free_tier: bool,
    ) -> Result<Report, No> {
        let now = self.0.clock.now_ms();
        let body = Results::body(free_id(), &answer, now);
        let status = answer.status;
        let (outcome, say) = match &token {
            Some(token) => {
                self.note_reuse(Reused {
                    principal: call.caller.principal.clone(),
                    session_key: call.caller.session_key.clone(),
                    host: call.request.host(),
                    path: call.request.line(),
                    credential: token.id,
                    purchase: token.purchase.clone(),
                    bare_path: call.request.url.path().to_owned(),
                    status,
                    purpose: call.purpose.clone(),
                });
                (Outcome::Token, format!("Nothing was paid now: the token bought with {} opened it", token.purchase))
            }
            None if free_tier => (Outcome::Free, "Nothing was paid: the seller's free tier answered".into()),
            None => (Outcome::Free, "Nothing was paid: no payment was asked for".into()),
        };
        let mut body = body;
        if body.wants_keeping() {
            let (results, copy) = (self.0.results.clone(), body.clone());
            let written = tokio::task::spawn_blocking(move || results.write(&copy)).await;
            if matches!(written, Ok(Ok(()))) {
                let (ledger, caller) = (self.ledger().await?, &call.caller);
                ledger.keep_free_result(&caller.principal, &caller.session_key, body.row.clone()).await?;
                body.kept = true;
            }
        }
        let mut report = Report::new(outcome, format!("{say} (HTTP {status})."));
        report.paid_now = Some(Amount::zero(Currency::Sat));
        report.body = Some(Arc::new(body));
        Ok(report)
    }

    /// Judges offers against wallet, limits and the operator's rules. Moves nothing.
    async fn judge<'o>(&self, call: &Call, offers: &'o [Offer]) -> Result<Vec<(&'o Offer, choose::Verdict)>, No> {
        let ledger = self.ledger().await?;
        let (_, budgets) = ledger.budgets(&call.caller.principal, &call.caller.session_key).await?;
        let world = ledger.world().await?.and_then(|w| World::from_name(&w));
        let wallet = match (self.wallet().await, self.wallet_world().await) {
            (Ok(wallet), Ok(info)) => Ok((wallet, info.world)),
            (_, Err(WalletError::None)) | (Err(WalletError::None), _) => Err(NO_WALLET.to_owned()),
            (_, Err(e)) => Err(e.to_string()),
            (Err(e), _) => Err(e.to_string()),
        };
        let pays = |offer: &Offer| wallet.as_ref().is_ok_and(|(w, _)| w.pays(offer.rail));
        let fee_cap = |price: Amount| wallet.as_ref().map_or(price, |(w, _)| w.fee_cap(price));
        let terms = Terms {
            now_s: self.0.clock.now_s(),
            invoices: InvoicePolicy { max_life_s: self.0.config.max_invoice_life_s, ..InvoicePolicy::default() },
            max_price: call.max_price,
            budgets: &budgets,
            seller: self.seller_forbidden(&call.request.host()),
            wallet: match &wallet {
                Ok((_, world)) => Ok(WalletTerms { pays: &pays, world: *world, fee_cap: &fee_cap }),
                Err(why) => Err(why.clone()),
            },
            world,
        };
        Ok(offers.iter().map(|offer| (offer, choose::judge(offer, &terms))).collect())
    }

    fn seller_forbidden(&self, host: &str) -> Option<String> {
        let config = &self.0.config;
        if config.deny_hosts.iter().any(|h| h == host) {
            return Some(format!("the operator's config forbids paying {host}"));
        }
        if !config.allow_hosts.is_empty() && !config.allow_hosts.iter().any(|h| h == host) {
            return Some(format!(
                "the operator's config names the hosts that may be paid, and {host} is not among them"
            ));
        }
        None
    }

    /// Chooses, commits W1, pays, redeems.
    async fn buy(
        &self,
        call: &Call,
        offers: &[Offer],
        because: &[String],
        flight: &watch::Sender<Flight>,
    ) -> Result<Report, No> {
        if offers.is_empty() {
            return Err(No::new("unreadable_challenge", "the seller asks for payment in no way that Bursar knows"));
        }
        let judged = self.judge(call, offers).await?;
        let Some((offer, mut why)) = choose::choose(&judged) else {
            let worst = judged.iter().filter(|(o, _)| !matches!(o.way, Way::Free { .. }));
            let (code, say) = worst
                .filter_map(|(_, v)| v.as_ref().err())
                .next()
                .cloned()
                .unwrap_or(("not_payable", "no offer can be paid".into()));
            return Err(No { code, say: with_advice(code, say) });
        };
        if !because.is_empty() {
            why = format!("{}; {why}", because.join("; "));
        }
        let wallet = self.wallet().await.map_err(No::from)?;
        let world = self.wallet_world().await?.world;
        let (Some(price), Way::Pay(pin)) = (offer.price, &offer.way) else {
            return Err(No::new("not_payable", "the offer has no price"));
        };
        let fee_cap = wallet.fee_cap(price);
        let bill = bill_of(pin, fee_cap)?;
        let Bill::Bolt11 { expires_at, .. } = &bill;
        let ask_a_person =
            self.0.config.approval_above.get(&price.currency()).is_some_and(|above| price.exceeds(*above));
        let prepared = if ask_a_person { None } else { Some(wallet.prepare(&bill).await?) };
        if self.closing() {
            return Err(No::new("ending", "the server is ending; call again when it is back"));
        }
        let id = PurchaseId::random();
        let intent = Intent {
            purchase: id,
            n: 0,
            protocol: offer.protocol.name().into(),
            rail: offer.rail.to_string(),
            network: offer.network.clone(),
            asset: offer.asset.clone(),
            payee: offer.payee.clone(),
            rail_key: offer.rail_key.clone(),
            wallet: wallet.id(),
            price,
            fee_cap,
            liability_until: *expires_at,
            resend_until: prepared.as_ref().map_or(0, |p| p.resend_until),
            pin: serde_json::to_vec(&**pin).map_err(|e| No::new("internal", e.to_string()))?,
            wire: prepared.map(|p| p.wire).unwrap_or_default(),
        };
        let new = NewPurchase {
            id,
            principal: call.caller.principal.clone(),
            session_key: call.caller.session_key.clone(),
            idem: call.idem.clone(),
            method: call.request.method.to_string(),
            origin: call.request.origin.to_string(),
            host: call.request.host(),
            path: call.request.url.path().to_owned(),
            request: call.request.to_bytes(),
            purpose: call.purpose.clone(),
            max_price: call.max_price,
            chosen_why: why,
            wallet_id: wallet.id(),
            world: world.name().into(),
        };
        let ledger = self.ledger().await?;
        kill_point("before_w1");
        let begun = ledger.begin(new, intent, ask_a_person).await?;
        kill_point("after_w1");
        match begun {
            Begun::Committed(intent) => Ok(self.finish(*intent, flight).await),
            Begun::Awaiting(id) => match ledger.find(id).await? {
                Some(standing) => Ok(awaiting(&standing)),
                None => Err(No::new("ledger", format!("{id} is not in the ledger"))),
            },
            Begun::Exists(standing) => self.go_on(*standing, flight).await,
            Begun::KeyTaken(id) => Err(key_taken(id)),
            Begun::RailKeyTaken(id) => Err(No::new(
                "invoice_reused",
                format!("the seller's invoice was already used for {id}; an invoice is never paid twice"),
            )),
            Begun::NoRoom(no) => Err(no_room(&no)),
            Begun::Frozen(why) => Err(No::new(
                "wallet_frozen",
                format!("the wallet is frozen until a person looks ({why}); they run: bursar approve <the id above>"),
            )),
            Begun::CoolingDown(id) => Err(No::new(
                "seller_cooling_down",
                format!(
                    "this seller took the money of {id} and asked for more instead of delivering; it is not paid again \
                     for 24 hours. Call fetch_paid with result_id {id} to ask for what was paid, free of charge"
                ),
            )),
            Begun::TooManyUnknown(n) => Err(No::new(
                "too_many_unknown",
                format!("{n} payments to this host have no known outcome yet; no more are risked until they have"),
            )),
            Begun::OtherWorld(world) => Err(No::new(
                "other_world",
                format!("this ledger holds {world} money; use another BURSAR_HOME for the other world"),
            )),
        }
    }

    /// Drives a committed purchase to its rest. From here on money may have left, so no error says that none did.
    async fn finish(&self, intent: Committed<Intent>, flight: &watch::Sender<Flight>) -> Report {
        let id = intent.purchase;
        match self.run(intent, flight).await {
            Ok((standing, ran)) => self.report(&standing, ran).await,
            Err(no) => unrecorded(id, &no),
        }
    }

    /// Goes on with a purchase that stands, from wherever it stands.
    async fn go_on(&self, standing: Standing, flight: &watch::Sender<Flight>) -> Result<Report, No> {
        let (id, state) = (standing.id, standing.state);
        flight.send_modify(|f| f.purchase = Some(id));
        match self.go_on_from(standing, flight).await {
            Err(no) if state.at_risk() || state.paid() && state != State::Delivered => Ok(unrecorded(id, &no)),
            other => other,
        }
    }

    async fn go_on_from(&self, standing: Standing, flight: &watch::Sender<Flight>) -> Result<Report, No> {
        match standing.state {
            State::Delivered => {
                let stored = self.stored(&standing).await;
                if stored.is_err() {
                    // Its body has gone and this says so: from here on an equal call is a new request.
                    self.answered(standing.id).await;
                }
                stored
            }
            State::AwaitingApproval if standing.approved_ms.is_some() => self.pay_approved(standing, flight).await,
            State::AwaitingApproval => {
                if self.0.clock.now_s() as i64 + 20 > standing.liability_until_s {
                    let ledger = self.ledger().await?;
                    ledger.failed(standing.id, "its price ran out before a person said yes").await?;
                    let again = ledger.find(standing.id).await?.unwrap_or(standing);
                    return Ok(self.report(&again, Ran::default()).await);
                }
                Ok(awaiting(&standing))
            }
            State::Late => Ok(self.report(&standing, Ran::default()).await),
            State::Failed | State::Paying | State::Unknown | State::Paid | State::Undelivered => {
                self.follow(standing, flight).await
            }
        }
    }

    /// Drives it if nobody else does; else waits for the process that does, and takes over when that one dies.
    async fn follow(&self, standing: Standing, flight: &watch::Sender<Flight>) -> Result<Report, No> {
        let ledger = self.ledger().await?;
        let id = standing.id;
        loop {
            if ledger.claim(id).await? {
                let Some(intent) = ledger.intent(id).await? else {
                    return Err(No::new("ledger", format!("{id} has no intent")));
                };
                return Ok(self.finish(intent, flight).await);
            }
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
            match ledger.find(id).await? {
                Some(now) if now.state.at_risk() || now.state == State::Paid => {}
                Some(now) => return Ok(self.report(&now, Ran::default()).await),
                None => return Err(No::new("ledger", format!("{id} is not in the ledger"))),
            }
        }
    }

    /// A person said yes: exactly what was pinned is paid, if it still can be.
    async fn pay_approved(&self, standing: Standing, flight: &watch::Sender<Flight>) -> Result<Report, No> {
        let ledger = self.ledger().await?;
        let id = standing.id;
        let Some(pinned) = ledger.intent(id).await? else {
            return Err(No::new("ledger", format!("{id} has no intent")));
        };
        let pin: Pin = serde_json::from_slice(&pinned.pin).map_err(|e| No::new("ledger", e.to_string()))?;
        let policy = InvoicePolicy { max_life_s: u64::MAX, ..InvoicePolicy::default() };
        let invoice = pin.invoice().map(Invoice::read);
        let over = match invoice {
            Some(Ok(invoice)) => invoice.objections(self.0.clock.now_s(), &policy).into_iter().next().map(|o| o.say),
            _ => Some("its invoice cannot be read back".into()),
        };
        if let Some(say) = over {
            ledger.failed(id, &format!("approved too late: {say}")).await?;
            let standing = ledger.find(id).await?.unwrap_or(standing);
            return Ok(self.report(&standing, Ran::default()).await);
        }
        let wallet = self.wallet().await.map_err(No::from)?;
        if wallet.id() != pinned.wallet {
            return Err(No::new(
                "other_wallet",
                format!("{id} was approved for another wallet than the one set up now"),
            ));
        }
        let prepared = wallet.prepare(&bill_of(&pin, pinned.fee_cap)?).await?;
        match ledger.arm(id, prepared.wire, prepared.resend_until).await? {
            Some(intent) => Ok(self.finish(intent, flight).await),
            None => {
                let standing = ledger.find(id).await?.unwrap_or(standing);
                self.follow(standing, flight).await
            }
        }
    }

    async fn stored(&self, standing: &Standing) -> Result<Report, No> {
        let ledger = self.ledger().await?;
        let row = ledger.result(&standing.principal, &standing.id.to_string()).await?.ok_or_else(gone)?;
        let body = self.0.results.read(row).ok_or_else(gone)?;
        let paid = standing.spent.plus(standing.fee).unwrap_or(standing.spent);
        let mut report = Report::new(
            Outcome::Stored,
            format!(
                "Nothing was paid now: this is the stored answer of {}, which cost {paid} (HTTP {}).",
                standing.id, body.row.status
            ),
        );
        report.purchase = Some(standing.id);
        report.price = Some(standing.price);
        report.paid_now = Some(Amount::zero(standing.price.currency()));
        report.body = Some(Arc::new(body));
        Ok(report)
    }

    /// The report of a purchase that rests.
    async fn report(&self, standing: &Standing, ran: Ran) -> Report {
        let id = standing.id;
        let paid = standing.spent.plus(standing.fee).unwrap_or(standing.spent);
        let zero = Amount::zero(standing.price.currency());
        let mut report = match standing.state {
            State::Delivered if !ran.paid => match self.stored(standing).await {
                Ok(report) => return report,
                Err(no) => return no.report(),
            },
            State::Delivered => {
                let status = standing.http_status.unwrap_or_default();
                let but = if status >= 400 { ", which is an error, and the money is spent" } else { "" };
                let moved = ran.body.as_ref().and_then(|b| b.moved.clone());
                let moved = moved.map(|to| format!(" It points to another place, which was not followed: {to}."));
                Report::new(
                    Outcome::Bought,
                    format!(
                        "Paid {} and {} fee over {} ({id}). The seller answered HTTP {status}{but}.{}",
                        standing.spent,
                        standing.fee,
                        standing.rail,
                        moved.unwrap_or_default()
                    ),
                )
            }
            State::Undelivered => Report {
                code: Some("undelivered"),
                ..Report::new(
                    Outcome::Undelivered,
                    format!(
                        "Paid {paid} ({id}), and the seller has not delivered: {}. It is not paid again. An equal call, or \
                         result_id {id}, shows it the same receipt again, free of charge.",
                        standing.note
                    ),
                )
            },
            State::Failed => Report {
                code: Some("payment_failed"),
                ..Report::new(
                    Outcome::Failed,
                    format!("Nothing was paid ({id}): {}.{}", standing.note, failed_advice(&standing.note)),
                )
            },
            State::Late => Report {
                code: Some("late"),
                ..Report::new(
                    Outcome::Undelivered,
                    format!(
                        "{id} was taken for failed and settled after all: {paid} left the wallet. The wallet is frozen \
                         until a person looks and runs: bursar approve {id}"
                    ),
                )
            },
            State::AwaitingApproval => awaiting(standing),
            State::Paying | State::Unknown | State::Paid => pending(standing),
        };
        report.purchase = Some(id);
        report.price = Some(standing.price);
        if standing.state != State::AwaitingApproval && !standing.state.at_risk() {
            report.paid_now = Some(if ran.paid { paid } else { zero });
            report.fee = Some(if ran.paid { standing.fee } else { zero });
        }
        report.body = ran.body.map(Arc::new);
        report
    }

    /// The bytes of a stored answer of this principal.
    ///
    /// # Errors
    /// No such answer, or its body has gone.
    pub async fn body(&self, caller: &Caller, id: &str) -> Result<Body, No> {
        let row = self.ledger().await?.result(&caller.principal, id).await?;
        row.and_then(|row| self.0.results.read(row)).ok_or_else(gone)
    }
}

/// The report of a purchase that could not be driven or recorded further here.
fn unrecorded(id: PurchaseId, no: &No) -> Report {
    Report {
        purchase: Some(id),
        code: Some("outcome_unknown"),
        ..Report::new(
            Outcome::Pending,
            format!(
                "{id} was begun and may have been paid, and it cannot be followed right now: {}. Its hold stays, and \
                 nothing is paid twice. {}",
                no.say.trim_end_matches('.'),
                ask_again(id)
            ),
        )
    }
}

/// What is said when no wallet is set up.
pub const NO_WALLET: &str = "no wallet is set up. A person adds one: put a Nostr Wallet Connect string into BURSAR_NWC, or \
     into the file wallet.nwc (mode 600) in Bursar's home";

fn flight_key(principal: &str, idem_key: &str) -> String {
    format!("{principal}\n{idem_key}")
}

fn gone() -> No {
    No::new(
        "result_gone",
        "this answer is no longer kept (7 days, 256 MB at most); asking the seller again may cost money",
    )
}

fn key_taken(id: PurchaseId) -> No {
    No::new(
        "idempotency_key_taken",
        format!("this idempotency_key belongs to {id}, which is another request; use another key"),
    )
}

fn bill_of(pin: &Pin, fee_cap: Amount) -> Result<Bill, No> {
    let text = pin.invoice().ok_or_else(|| No::new("not_payable", "the offer has no invoice"))?;
    let invoice = Invoice::read(text).map_err(|o| No { code: o.code, say: o.say })?;
    Ok(Bill::Bolt11 {
        invoice: text.to_owned(),
        payment_hash: invoice.payment_hash,
        amount: invoice.amount,
        expires_at: invoice.expires_s,
        fee_cap,
    })
}

fn ask_again(id: PurchaseId) -> String {
    format!("Call fetch_paid with result_id {id} (without url) to hear more, free of charge.")
}

/// The report of a payment whose outcome is not known yet.
fn pending(standing: &Standing) -> Report {
    let held = standing.price.plus(standing.fee_cap).unwrap_or(standing.price);
    let id = standing.id;
    let say = match standing.state {
        State::Paying => format!("The payment of {} is under way ({id}); {held} are held for it.", standing.price),
        State::Paid => format!("Paid {} ({id}); the seller has not answered yet.", standing.price),
        _ => format!(
            "Nobody knows yet whether {} left the wallet ({id}): {}. {held} stay held, and nothing is paid twice.",
            standing.price, standing.note
        ),
    };
    Report {
        purchase: Some(id),
        price: Some(standing.price),
        held: Some(if standing.state == State::Paid { Amount::zero(held.currency()) } else { held }),
        code: Some(if standing.state == State::Unknown { "outcome_unknown" } else { "pending" }),
        ..Report::new(Outcome::Pending, format!("{say} {}", ask_again(id)))
    }
}

fn awaiting(standing: &Standing) -> Report {
    let held = standing.price.plus(standing.fee_cap).unwrap_or(standing.price);
    let id = standing.id;
    Report {
        purchase: Some(id),
        price: Some(standing.price),
        held: Some(held),
        code: Some("needs_approval"),
        ..Report::new(
            Outcome::AwaitingApproval,
            format!(
                "Nothing was paid: {} is above what may be spent without a person. In a terminal they run \
                 `bursar approve {id}` (or deny); after that, the same call buys it.",
                standing.price
            ),
        )
    }
}

fn failed_advice(note: &str) -> &'static str {
    match note {
        n if n.contains("INSUFFICIENT_BALANCE") => " The wallet needs more money; a person can top it up.",
        n if n.contains("QUOTA_EXCEEDED") => {
            " The wallet's own budget for this connection is used up; a person can raise it there."
        }
        n if n.contains("RESTRICTED") || n.contains("UNAUTHORIZED") => {
            " The wallet connection may not pay; a person can connect one that may."
        }
        n if n.contains("RATE_LIMITED") => " Call again later.",
        _ => " Call again to try anew.",
    }
}

fn with_advice(code: &str, say: String) -> String {
    match code {
        "above_max_price" => format!("{say}. Call again with a higher max_price if it is worth that"),
        "above_limit" | "budget_used_up" => format!("{say}. {RAISE}"),
        _ => say,
    }
}

const RAISE: &str = "A person can raise the limit up to the operator's ceiling in a terminal with `bursar budget set`";

fn no_room(no: &NoRoom) -> No {
    match no {
        NoRoom::NoCeiling(currency) => {
            No::new("no_ceiling", format!("the operator set no ceiling for {currency}, so none of it is spent"))
        }
        NoRoom::Price { price, limit, ceiling } => No::new(
            "above_limit",
            format!("it costs {price}, above the limit of {limit} a purchase (ceiling {ceiling}). {RAISE}"),
        ),
        NoRoom::Left { scope, needs, left, limit, ceiling } => No::new(
            "budget_used_up",
            format!(
                "it needs {needs} with its fee, and {left} of {limit} is left in the {} budget (ceiling {ceiling}). {RAISE}",
                scope.name()
            ),
        ),
    }
}

fn why_none(offers: &[OfferView]) -> String {
    match offers {
        [] => "The seller asks for payment in no way that Bursar knows.".into(),
        offers => format!("It cannot be paid: {}.", offers[0].why.trim_end_matches('.')),
    }
}

impl No {
    /// The report of a task that died: what was paid stands in the ledger, so it does not say that nothing was.
    fn lost(self) -> Report {
        Report { code: Some(self.code), ..Report::new(Outcome::Pending, self.say) }
    }
}
