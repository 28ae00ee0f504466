//! One call: from a wish to a report. Buying is in `buy`, going on with what stands in `resume`.

use std::sync::Arc;

use tokio::{sync::watch, time::Instant};

use super::{
    Caller, Flight, No, OfferView, Outcome, Progress, Purse, Report, Request, Waited, Wish, choose,
    drive::Ran,
    quote::{self, Asked},
    results::{Body, Results, free_id, is_id},
    session::Served,
    words::{answered, ask_again, flight_key, gone, key_taken, pending, pointed, shut, why_none},
};
use crate::{
    http::Answer,
    ledger::{Idempotency, PurchaseId, Refused, Reused, Standing, State, StoredCredential},
    money::{Amount, Currency},
    protocol::Credential,
};

/// How to hear about progress. Called at least every five seconds.
pub type Tell<'a> = &'a (dyn Fn(&Progress) + Sync);

/// Everything one purchase attempt needs.
pub(super) struct Call {
    pub(super) caller: Caller,
    pub(super) request: Request,
    pub(super) idem: Idempotency,
    pub(super) max_price: Option<Amount>,
    pub(super) purpose: String,
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
                let (flight, first) = self.fly(key, true, |sender| async move {
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
            let answer = match self.send(&call.request, None, None).await? {
                answer if answer.status == 402 => answer,
                answer => {
                    let body = Results::body(free_id(), &answer, self.0.clock.now_ms());
                    let say = format!(
                        "Nothing was paid: the seller answers this without payment ({}).",
                        answered(answer.status)
                    );
                    return Ok(Report { body: Some(Arc::new(body)), ..Report::new(Outcome::Free, say) });
                }
            };
            let challenge = quote::read(&answer, &call.request.origin, self.assets())?;
            let mut judged = self.judge(&call, &challenge.offers).await?;
            let offers: Vec<OfferView> = judged.iter().map(|(o, v)| choose::view(o, v)).collect();
            let origin = call.request.origin.to_string();
            self.weigh_sessions(&call.caller.principal, &origin, &mut judged).await?;
            let best = choose::choose(&judged, &self.0.config.currency_order);
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
            let (notes, described) = (challenge.notes, challenge.described);
            Ok::<_, No>(Report { offers, notes, described, price, ..Report::new(Outcome::Quoted, say) })
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
            let body = self.0.results.read(row).map_err(shut)?.ok_or_else(gone)?;
            let say =
                format!("Nothing was paid: this is a stored answer that was free ({}).", answered(body.row.status));
            Ok(Ok(Report { body: Some(Arc::new(body)), ..Report::new(Outcome::Stored, say) }))
        };
        match found.await {
            Ok(Ok(report)) => report,
            Ok(Err(standing)) => {
                let (flight, first) = self.fly_standing(&standing, true);
                self.land(flight, first, until, tell).await
            }
            Err(no) => no.report(),
        }
    }

    /// Goes on with a purchase that stands, in a flight of its own or in the one that is under way.
    pub(super) fn fly_standing(&self, standing: &Standing, wanted: bool) -> (watch::Receiver<Flight>, bool) {
        let key = flight_key(&standing.principal, &standing.idem_key, &standing.request_hash);
        let (purse, standing) = (self.clone(), standing.clone());
        self.fly(key, wanted, |sender| async move {
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
                    Ok(Some(s)) if s.state.at_risk() || matches!(s.state, State::Paid | State::Undelivered) => {
                        pending(&s)
                    }
                    Ok(Some(standing)) => self.report(&standing, Ran::default()).await,
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
                say: "Something went wrong here. The ledger knows what was paid: repeating the same call goes on from \
                      there and pays nothing twice."
                    .into(),
            }
            .lost(),
        }
    }

    async fn start(&self, caller: &Caller, wish: Wish) -> Result<(String, Call), No> {
        let request = Request::vet(&self.0.config.http, &wish)?;
        let idem = request.idempotency(&caller.principal, wish.idempotency_key.as_deref())?;
        let key = flight_key(&caller.principal, &idem.key, &idem.request_hash);
        let purpose = crate::protocol::text::clean(&wish.purpose, 200);
        Ok((key, Call { caller: caller.clone(), request, idem, max_price: wish.max_price, purpose }))
    }

    /// The whole of one purchase attempt.
    async fn go(&self, call: &Call, flight: &watch::Sender<Flight>) -> Result<Report, No> {
        self.reconcile_in_background();
        let ledger = self.ledger().await?;
        ledger.expire_awaiting().await?;
        let (standing, seen) = ledger.standing_for(&call.caller.principal, &call.idem).await?;
        if let Some(standing) = standing {
            if standing.request_hash != call.idem.request_hash {
                return Err(key_taken(standing.id));
            }
            return self.go_on(standing, flight).await;
        }
        let asked = self.ask(call, flight).await;
        if let Err(no) = &asked
            && quote::PRICES_NOT_READ.contains(&no.code)
            && let Err(e) = ledger.refuse(call.refused(no, None)).await
        {
            tracing::warn!("a refusal could not be recorded: {e}");
        }
        match asked? {
            Asked::Answered { answer, token, free_tier } => {
                self.answered_free(call, answer, token, free_tier, None).await
            }
            Asked::Drawn(served) => self.answered_by_deposit(call, *served).await,
            Asked::Priced { mut challenge, mut because, request, ahead_s, known_price } => {
                if let Some(report) = self.prove(call, &request, &mut challenge, &mut because, flight).await? {
                    return Ok(report);
                }
                let price = challenge.offers.iter().find_map(|o| o.price.filter(|p| !p.is_zero()));
                let call = Call {
                    caller: call.caller.clone(),
                    request,
                    idem: call.idem.clone(),
                    max_price: call.max_price,
                    purpose: call.purpose.clone(),
                };
                let (offers, notes) = (challenge.offers, challenge.notes);
                let origin = call.request.origin.to_string();
                let (_turn, waited) = self.turn_to_open(&call.caller.principal, &origin, &offers).await;
                if waited
                    && let Some(Asked::Drawn(served)) =
                        self.draw_again(&call, &call.request, &offers, &mut because, flight).await?
                {
                    return self.answered_by_deposit(&call, *served).await;
                }
                match self.buy(&call, seen, &offers, &because, ahead_s, known_price, flight).await {
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
    pub(super) async fn answered_free(
        &self,
        call: &Call,
        answer: Answer,
        token: Option<StoredCredential>,
        free_tier: bool,
        proof: Option<&Credential>,
    ) -> Result<Report, No> {
        let now = self.0.clock.now_ms();
        let mut body = Results::body(free_id(), &answer, now);
        if let Some(credential) = token.as_ref().and_then(|t| quote::credential_of(&t.pin, &t.proof)) {
            body.mask(&credential);
        }
        if let Some(proof) = proof {
            body.mask(proof);
        }
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
            None if proof.is_some() => {
                (Outcome::Free, "Nothing was paid: a proof of whose account this is opened it".into())
            }
            None if free_tier => (Outcome::Free, "Nothing was paid: the seller's free tier answered".into()),
            None => (Outcome::Free, "Nothing was paid: no payment was asked for".into()),
        };
        self.keep_unbought(call, &mut body).await?;
        let mut report =
            Report::new(outcome, format!("{say} ({}).{}", answered(status), pointed(&body, token.is_some())));
        report.paid_now = Some(Amount::zero(Currency::Sat));
        report.body = Some(Arc::new(body));
        Ok(report)
    }

    /// The seller answered for a deposit that was made earlier. Only a stream's top-ups cost anything now.
    async fn answered_by_deposit(&self, call: &Call, served: Served) -> Result<Report, No> {
        let mut body = Results::body(free_id(), &served.answer, self.0.clock.now_ms());
        body.mask(&served.credential);
        let status = served.answer.status;
        self.note_reuse(Reused {
            principal: call.caller.principal.clone(),
            session_key: call.caller.session_key.clone(),
            host: call.request.host(),
            path: call.request.line(),
            credential: served.row,
            purchase: served.deposit.to_string(),
            bare_path: call.request.url.path().to_owned(),
            status,
            purpose: call.purpose.clone(),
        });
        self.keep_unbought(call, &mut body).await?;
        let id = served.deposit;
        let left = format!("about {} of {} used so far", served.used, served.paid_in);
        let mut say = match served.topped_up {
            Some(paid) => {
                format!("Paid {paid} as top-ups of the deposit of {id}, since the stream asked for more ({left}).")
            }
            None => format!("Nothing was paid now: it was drawn from the deposit of {id} ({left})."),
        };
        if let Some(short) = &served.short {
            say.push_str(&format!(" Not all was paid: {}.", short.trim_end_matches('.')));
        }
        say.push_str(&format!(" The seller answered {}.{}", answered(status), pointed(&body, true)));
        let outcome = if served.topped_up.is_some() { Outcome::Bought } else { Outcome::Token };
        // Its id stands in the sentence only: this is not the answer of that purchase.
        let mut report = Report::new(outcome, say);
        report.paid_now = Some(served.topped_up.unwrap_or(Amount::zero(Currency::Sat)));
        report.body = Some(Arc::new(body));
        Ok(report)
    }

    /// Keeps an answer that no purchase names, if it does not fit into one page or is no text.
    async fn keep_unbought(&self, call: &Call, body: &mut Body) -> Result<(), No> {
        if !body.wants_keeping() {
            return Ok(());
        }
        let (results, copy) = (self.0.results.clone(), body.clone());
        let written = tokio::task::spawn_blocking(move || results.write(&copy)).await;
        if matches!(written, Ok(Ok(()))) {
            let (ledger, caller) = (self.ledger().await?, &call.caller);
            ledger.keep_free_result(&caller.principal, &caller.session_key, body.row.clone()).await?;
            body.kept = true;
            self.prune_results().await;
        }
        Ok(())
    }

    /// The bytes of a stored answer of this principal.
    ///
    /// # Errors
    /// No such answer, or its body has gone.
    pub async fn body(&self, caller: &Caller, id: &str) -> Result<Body, No> {
        let row = self.ledger().await?.result(&caller.principal, id).await?;
        self.0.results.read(row.ok_or_else(gone)?).map_err(shut)?.ok_or_else(gone)
    }
}
