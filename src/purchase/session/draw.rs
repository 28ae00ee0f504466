//! Drawing on a deposit: one call, with the top-ups that its stream asks for.

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::{Held, is_of_session};
use crate::{
    http::{self, Answer},
    ledger::{PurchaseId, StoredCredential},
    money::Amount,
    protocol::{
        Credential, Pin,
        mpp::session::{Effect, Event, Events, Input, said},
    },
    purchase::{Caller, Flight, No, Purse, Request, drive::kill_point, lock, quote::seen},
};

/// The session's machine ends by itself; this is the backstop.
const MOST_STEPS: usize = 12;

/// What one call may cost, its top-ups together.
#[derive(Clone, Debug)]
pub(in crate::purchase) struct Bounds {
    /// Who calls.
    pub(in crate::purchase) caller: Caller,
    /// The most the caller is ready to pay.
    pub(in crate::purchase) max_price: Option<Amount>,
    /// What this call has cost already: a deposit.
    pub(in crate::purchase) so_far: Option<Amount>,
}

/// A call that was served.
pub(in crate::purchase) struct Served {
    pub(in crate::purchase) answer: Answer,
    /// What it was shown for, to be masked.
    pub(in crate::purchase) credential: Credential,
    /// The deposit that it was drawn on, and the row of its credential.
    pub(in crate::purchase) deposit: PurchaseId,
    pub(in crate::purchase) row: i64,
    /// What top-ups cost meanwhile, fees included.
    pub(in crate::purchase) topped_up: Option<Amount>,
    /// All that was paid in, and how much of it seems to be used.
    pub(in crate::purchase) paid_in: Amount,
    pub(in crate::purchase) used: Amount,
    /// Why a top-up was not paid, where the stream asked for one.
    pub(in crate::purchase) short: Option<String>,
}

/// What became of a call that drew on a deposit.
pub(in crate::purchase) enum Drawn {
    /// The seller answered with what was asked for.
    Served(Box<Served>),
    /// This deposit serves no call any more. Its seller's last word, where it had one.
    Refused(Option<(Answer, Credential)>),
    /// The seller failed, or did not answer: nobody knows whether it took a unit.
    Failed {
        /// Its answer, if it gave one.
        answer: Option<(Answer, Credential)>,
        /// One sentence.
        why: String,
    },
}

/// What a call's stream has cost so far, and why it got no more.
#[derive(Default)]
pub(super) struct Tab {
    pub(super) topped_up: Option<Amount>,
    /// The same without fees: what limits of a price bound.
    pub(super) prices: Option<Amount>,
    pub(super) short: Option<String>,
    /// Whether the stream asked for money.
    pub(super) asked: bool,
}

impl Purse {
    /// Draws a call on the deposit of a stored credential. `None` where it cannot be drawn on now, with a reason.
    pub(in crate::purchase) async fn draw_on(
        &self,
        deposit: PurchaseId,
        request: &Request,
        bounds: &Bounds,
        flight: &watch::Sender<Flight>,
    ) -> Result<Result<Drawn, String>, No> {
        let Some(mut held) = self.hold_deposit(deposit).await? else {
            return Ok(Err(format!("the deposit of {deposit} is over, or in use by another process")));
        };
        if let (Some(unit), Some(max)) = (held.unit()?, bounds.max_price)
            && unit.currency() == max.currency()
            && unit.exceeds(max)
        {
            return Ok(Err(format!("a unit of the deposit of {deposit} costs {unit}, above max_price {max}")));
        }
        held.draw(request, bounds, flight).await.map(Ok)
    }
}

/// Whether a stored credential is a deposit's.
pub(in crate::purchase) fn deposit_of(stored: &StoredCredential) -> Option<PurchaseId> {
    let pin: Pin = serde_json::from_slice(&stored.pin).ok()?;
    if is_of_session(&pin) { stored.purchase.parse().ok() } else { None }
}

impl Held<'_> {
    /// Has one call served.
    pub(in crate::purchase) async fn draw(
        &mut self,
        request: &Request,
        bounds: &Bounds,
        flight: &watch::Sender<Flight>,
    ) -> Result<Drawn, No> {
        let id = self.id()?;
        let realm = self.hand()?.session.key.realm.clone();
        let mut tab = Tab { prices: bounds.so_far, ..Tab::default() };
        let (mut last, mut why) = (None, format!("the deposit of {id} cannot be drawn on just now"));
        let now_s = self.now_s();
        let mut effect = self.hand()?.session.step(Input::Use, now_s);
        for _ in 0..MOST_STEPS {
            if self.hand()?.session.must_be_kept() {
                self.keep().await?;
                if self.turn.is_none() {
                    return Ok(Drawn::Refused(last));
                }
            }
            effect = match effect {
                Effect::Show(action) => {
                    let Some(credential) = self.hand()?.session.credential(action) else {
                        return Err(No::new("internal", "what the session shows cannot stand in a header"));
                    };
                    kill_point("before_draw");
                    tab.asked = false;
                    let shown = self.show(request, &credential, bounds, &mut tab, flight).await?;
                    kill_point("after_draw");
                    let now_s = self.now_s();
                    match shown {
                        Ok(answer) => {
                            let said = said(seen(&answer), &realm);
                            last = Some((answer, credential));
                            // Where a stream asked for money, the session has gone on since the call was shown.
                            let input = if tab.asked && said.goods { Input::Served } else { Input::Answered(said) };
                            self.hand()?.session.step(input, now_s)
                        }
                        Err(error) => {
                            why = credential.hide(&error.to_string());
                            self.hand()?.session.step(Input::Unanswered, now_s)
                        }
                    }
                }
                Effect::Ask => self.ask_for_terms(request).await?,
                Effect::Deliver => {
                    let (paid_in, used) = self.sums()?;
                    self.note().await?;
                    let Some((answer, credential)) = last else {
                        return Err(No::new("internal", "a session delivered nothing"));
                    };
                    let Tab { topped_up, short, .. } = tab;
                    let row = self.hand()?.deposit.credential;
                    let served = Served { answer, credential, deposit: id, row, topped_up, paid_in, used, short };
                    return Ok(Drawn::Served(Box::new(served)));
                }
                Effect::Refuse => {
                    self.keep().await?;
                    return Ok(Drawn::Refused(last));
                }
                Effect::Rest => {
                    self.keep().await?;
                    return Ok(Drawn::Failed { answer: last, why });
                }
                // Only a stream asks for money, and that is looked after where it is heard.
                Effect::Pay { .. } => {
                    let now_s = self.now_s();
                    self.hand()?.session.step(Input::NotPaid, now_s)
                }
            };
        }
        self.keep().await?;
        Ok(Drawn::Failed { answer: last, why })
    }

    /// Asks for the terms without a credential: with the call itself, which costs nothing that way.
    async fn ask_for_terms(&mut self, request: &Request) -> Result<Effect, No> {
        let answered = self.purse.send(request, None, None).await;
        let now_s = self.now_s();
        let hand = self.hand()?;
        let input = match &answered {
            Ok(answer) => Input::Answered(said(seen(answer), &hand.session.key.realm)),
            Err(_) => Input::Unanswered,
        };
        Ok(hand.session.step(input, now_s))
    }

    /// Sends the call with a credential, and pays what its stream asks for while it is read.
    async fn show(
        &mut self,
        request: &Request,
        credential: &Credential,
        bounds: &Bounds,
        tab: &mut Tab,
        flight: &watch::Sender<Flight>,
    ) -> Result<Result<Answer, http::Error>, No> {
        let purse = self.purse;
        let (tell, mut told) = mpsc::unbounded_channel();
        let events = std::sync::Mutex::new(Events::default());
        let heard = |piece: &[u8]| {
            for event in lock(&events).feed(piece) {
                // Nobody listens any more when the call is given up.
                let _ = tell.send(event);
            }
        };
        let over = CancellationToken::new();
        let reading = async {
            let answer = purse.send_drawing(request, credential.clone(), Some(flight), &heard).await;
            over.cancel();
            answer
        };
        let paying = async {
            loop {
                tokio::select! {
                    biased;
                    () = over.cancelled() => return Ok(()),
                    Some(event) = told.recv() => self.heed(event, request, bounds, tab).await?,
                }
            }
        };
        let (answer, paid): (_, Result<(), No>) = tokio::join!(reading, paying);
        if let Err(no) = paid {
            tracing::warn!("a stream's top-ups could not be followed: {no}");
            tab.short.get_or_insert(no.say);
        }
        // What was said at the very end counts, but nothing is paid for a stream that is over.
        while let Ok(event) = told.try_recv() {
            if !matches!(event, Event::NeedTopUp(_)) {
                let now_s = self.now_s();
                self.hand()?.session.step(Input::Streamed(event), now_s);
            }
        }
        Ok(answer)
    }

    /// Does what an event of a stream asks for.
    async fn heed(&mut self, event: Event, request: &Request, bounds: &Bounds, tab: &mut Tab) -> Result<(), No> {
        let now_s = self.now_s();
        let mut effect = self.hand()?.session.step(Input::Streamed(event), now_s);
        if effect == Effect::Ask {
            tab.asked = true;
            effect = self.ask_for_terms(request).await?;
        }
        if let Effect::Pay { terms } = effect {
            self.top_up(&terms, request, bounds, tab).await?;
        }
        Ok(())
    }
}
