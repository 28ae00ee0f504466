//! `lightning/session`: a deposit that many calls draw on (draft-lightning-session-00), as a plain machine.
//!
//! No clock, no socket, no wallet: [`Session::step`] looks at where a session stands and at what just happened, and names
//! one effect. Who drives it keeps the session (it can be written and read back between any two steps), pays invoices
//! inside its budgets, and believes only its own wallet about what came back.
//!
//! ```text
//! doing       Use              an answer                                               no answer
//! ──────────  ───────────────  ──────────────────────────────────────────────────────  ──────────────────────────────
//! Opening     show open        goods → Waiting; refused → Probing, or Lost the 2nd     Probing: the deposit may be
//!                              time; failed → Probing                                  used up
//! Probing     show bearer      goods → Waiting; refused → Opening once more, then      Probing at the next Use
//!                              Lost; failed → Probing at the next Use
//! Waiting     show bearer, or  -                                                       -
//!             renew first
//! Bearing     Rest             goods → Waiting; refused → once more with a fresh       Waiting
//!                              challenge, then Closing; failed → Waiting
//! Renewing    Rest             a challenge → Bearing, or show close; none → Closing    Waiting (or Closing)
//! Asking      Rest             terms that fit → Paying; else Waiting                   Waiting
//! Paying      Rest             (Paid, NotPaid → Waiting)
//! Closing     Refuse           anything but a failure → Gone                           shown again at the next End
//! Gone, Lost  Refuse           Rest                                                    Rest
//! ```
//!
//! The preimage of the deposit is a bearer token: it is shown to the origin, realm and payee it was paid for, and nowhere
//! else ([`Key`]). A refusal never leads to a payment: only a stream that pauses does, and then to one. A top-up is bought
//! like anything else, by whoever drives ([`top_up`]): the seller is shown its proof, and then this machine is told.

mod events;
mod offer;
mod refund;
mod seen;
mod terms;
mod top_up;
mod words;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub use self::{
    events::{Balance, Event, Events},
    refund::ReturnInvoice,
    seen::said,
    terms::Terms,
    top_up::top_up,
    words::{Action, Effect, Input, Key, Said},
};
pub(in crate::protocol::mpp) use self::{offer::offer, top_up::credential as top_up_credential};
use super::{
    super::{Credential, Objection, bolt11::Invoice, l402::preimage_fits},
    challenge::Challenge,
    credential,
};
use crate::secret::Secret;

/// A challenge with less than this left is not shown any more, in seconds.
const MIN_LEFT_S: u64 = 5;

/// One session, from its paid deposit on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Whom it belongs to.
    pub key: Key,
    /// Its id: the payment hash of its deposit.
    pub id: String,
    /// Where the rest comes back to.
    pub refund: ReturnInvoice,
    /// All that was paid into it, in satoshi. It counts as spent until a refund is seen.
    pub deposited_sat: u64,
    /// What it has cost as far as we can tell, in satoshi: for people.
    pub spent_sat: u64,
    /// The same when the last call was begun.
    base_sat: u64,
    /// The price of one unit, in satoshi.
    pub unit_sat: u64,
    /// After how many seconds without a call the seller closes.
    pub idle_timeout_s: Option<u64>,
    /// When it was last shown, unix seconds.
    pub used_s: u64,
    /// What the seller said when it closed: how many satoshi it would send. Nobody believes it.
    pub claimed_refund_sat: Option<u64>,
    /// The deposit's preimage.
    preimage: Secret,
    /// The deposit's challenge.
    opened_with: Challenge,
    /// The freshest challenge of its realm: bearers need one that has not ended, and any one will do.
    cached: Challenge,
    doing: Doing,
}

/// What is under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "doing", rename_all = "snake_case")]
enum Doing {
    /// The deposit is paid, `open` is (or will be) shown.
    Opening { shown: bool, last: bool },
    /// Whether it is open is asked with a bearer.
    Probing { shown: bool, last: bool },
    /// Open, and nothing is under way.
    Waiting,
    /// A bearer is shown.
    Bearing { last: bool },
    /// A fresh challenge is fetched for a bearer, or for a close.
    Renewing { to_close: bool },
    /// A fresh challenge is fetched for a top-up.
    Asking,
    /// A top-up is being paid.
    Paying { terms: Box<Terms> },
    /// No call is served any more. A close is shown, or will be: until it was answered, the rest may still lie there.
    Closing { shown: bool },
    /// Closed, by us or by the seller. A refund may come.
    Gone,
    /// The deposit is paid and the seller opens nothing for it.
    Lost,
}

impl Session {
    /// Begins a session whose deposit is paid. The return invoice was checked before: that is the only way to have one.
    ///
    /// # Errors
    /// `bad_preimage` when the preimage is not the deposit's.
    pub fn opened(
        origin: &str,
        terms: &Terms,
        refund: ReturnInvoice,
        preimage: Secret,
        now_s: u64,
    ) -> Result<Session, Objection> {
        if !preimage_fits(preimage.expose(), &terms.payment_hash) {
            return Err(Objection::new("bad_preimage", "the preimage is not the deposit's"));
        }
        Ok(Session {
            key: terms.key(origin),
            id: terms.payment_hash.clone(),
            refund,
            deposited_sat: terms.deposit_sat,
            spent_sat: 0,
            base_sat: 0,
            unit_sat: terms.unit_sat,
            idle_timeout_s: terms.idle_timeout_s,
            used_s: now_s,
            claimed_refund_sat: None,
            preimage: Secret::new(preimage.expose().to_ascii_lowercase()),
            opened_with: terms.challenge.clone(),
            cached: terms.challenge.clone(),
            doing: Doing::Opening { shown: false, last: false },
        })
    }

    /// Whether a call may still be served by it.
    pub fn is_usable(&self) -> bool {
        !matches!(self.doing, Doing::Gone | Doing::Lost | Doing::Closing { .. } | Doing::Renewing { to_close: true })
    }

    /// Whether the seller opened nothing for the deposit.
    pub fn is_lost(&self) -> bool {
        self.doing == Doing::Lost
    }

    /// Whether it is over: nothing is shown any more, and only a refund is waited for.
    pub fn is_over(&self) -> bool {
        matches!(self.doing, Doing::Gone | Doing::Lost)
    }

    /// Whether the seller will have closed it by now, as far as it said.
    pub fn is_idle(&self, now_s: u64) -> bool {
        self.idle_timeout_s.is_some_and(|idle| now_s >= self.used_s.saturating_add(idle))
    }

    /// What may come back at most, in satoshi: all that was paid in.
    pub fn most_refund_sat(&self) -> u64 {
        self.deposited_sat
    }

    /// The same session, of which at least so much is known to be used.
    pub fn used_at_least(mut self, sat: u64) -> Session {
        self.spent_sat = self.spent_sat.max(sat).min(self.deposited_sat);
        self
    }

    /// The terms of the top-up that is being paid, if one is.
    pub fn is_paying(&self) -> Option<&Terms> {
        match &self.doing {
            Doing::Paying { terms } => Some(terms),
            _ => None,
        }
    }

    /// Whether what is under way must be on disk before the next effect is performed: a process that ends there must know
    /// that a deposit may be used up, that a top-up may be paid, or that no call is served any more. All else can be lost.
    pub fn must_be_kept(&self) -> bool {
        !matches!(
            self.doing,
            Doing::Waiting | Doing::Bearing { .. } | Doing::Renewing { to_close: false } | Doing::Asking
        )
    }

    /// Takes up a session that was written down before a process ended: what was under way may or may not have arrived.
    pub fn resumed(mut self) -> Session {
        self.doing = match self.doing {
            Doing::Opening { shown: true, last } => Doing::Probing { shown: false, last },
            Doing::Probing { last, .. } => Doing::Probing { shown: false, last },
            Doing::Bearing { .. } | Doing::Renewing { to_close: false } | Doing::Asking => Doing::Waiting,
            Doing::Renewing { to_close: true } | Doing::Closing { .. } => Doing::Closing { shown: false },
            // A top-up that was being paid is in the hands of whoever pays: Paid or NotPaid comes.
            other => other,
        };
        self
    }

    /// Names the next effect.
    pub fn step(&mut self, input: Input, now_s: u64) -> Effect {
        if let Input::Streamed(event) = &input {
            return self.streamed(event);
        }
        if let Input::Served = &input {
            self.count_one();
            return Effect::Deliver;
        }
        if let Input::Answered(said) = &input {
            self.learn(said);
        }
        match (self.doing.clone(), input) {
            (Doing::Gone | Doing::Lost, Input::Use) => Effect::Refuse,
            (Doing::Gone | Doing::Lost, _) => Effect::Rest,

            (Doing::Opening { shown: false, last }, Input::Use) => {
                self.doing = Doing::Opening { shown: true, last };
                self.show(Action::Open, now_s)
            }
            (Doing::Probing { shown: false, last }, Input::Use) => {
                self.doing = Doing::Probing { shown: true, last };
                self.show(Action::Bearer, now_s)
            }
            (Doing::Opening { shown: true, .. } | Doing::Probing { shown: true, .. }, Input::Answered(said))
                if said.goods =>
            {
                self.doing = Doing::Waiting;
                self.count_one();
                Effect::Deliver
            }
            (Doing::Opening { shown: true, last } | Doing::Probing { shown: true, last }, Input::Answered(said))
                if said.failed =>
            {
                self.doing = Doing::Probing { shown: false, last };
                Effect::Rest
            }
            // The seller may have taken the deposit all the same: whether it did is asked with a bearer.
            (Doing::Opening { shown: true, last: false }, Input::Answered(_)) => {
                self.doing = Doing::Probing { shown: true, last: false };
                self.show(Action::Bearer, now_s)
            }
            // The open may never have arrived. It cannot be used twice, so it is shown once more.
            (Doing::Probing { shown: true, last: false }, Input::Answered(_)) => {
                self.doing = Doing::Opening { shown: true, last: true };
                self.show(Action::Open, now_s)
            }
            (Doing::Opening { shown: true, .. } | Doing::Probing { shown: true, .. }, Input::Answered(_)) => {
                self.doing = Doing::Lost;
                Effect::Refuse
            }
            (Doing::Opening { shown: true, last } | Doing::Probing { shown: true, last }, Input::Unanswered) => {
                self.doing = Doing::Probing { shown: false, last };
                Effect::Rest
            }
            // What may be open is closed, so that its money comes back. What was never opened must be, first.
            (Doing::Probing { shown: false, .. }, Input::End) => self.close(now_s),
            (Doing::Opening { shown: false, last }, Input::End) => {
                self.doing = Doing::Opening { shown: true, last };
                self.show(Action::Open, now_s)
            }

            (Doing::Waiting, Input::Use) if self.has_life(now_s) => {
                self.doing = Doing::Bearing { last: false };
                self.show(Action::Bearer, now_s)
            }
            (Doing::Waiting, Input::Use) => {
                self.doing = Doing::Renewing { to_close: false };
                Effect::Ask
            }
            (Doing::Waiting, Input::End) => self.close(now_s),
            (Doing::Bearing { last }, Input::Answered(said)) => self.bearer_answered(&said, last, now_s),
            (Doing::Bearing { .. }, Input::Unanswered) => {
                self.doing = Doing::Waiting;
                Effect::Rest
            }

            (Doing::Renewing { to_close }, Input::Answered(said)) => match (self.is_renewed(&said, now_s), to_close) {
                (true, true) => self.close(now_s),
                (true, false) => {
                    self.doing = Doing::Bearing { last: true };
                    self.show(Action::Bearer, now_s)
                }
                // Without a challenge of its realm it can be neither used nor closed now.
                (false, to_close) => {
                    self.doing = Doing::Closing { shown: false };
                    if to_close { Effect::Rest } else { Effect::Refuse }
                }
            },
            (Doing::Renewing { to_close }, Input::Unanswered) => {
                self.doing = if to_close { Doing::Closing { shown: false } } else { Doing::Waiting };
                Effect::Rest
            }

            (Doing::Asking, Input::Answered(said)) => self.top_up_asked(said.challenge.as_deref(), now_s),
            (Doing::Asking, Input::Unanswered) => {
                self.doing = Doing::Waiting;
                Effect::Rest
            }
            (Doing::Paying { terms }, Input::Paid) => {
                self.deposited_sat = self.deposited_sat.saturating_add(terms.deposit_sat);
                self.doing = Doing::Waiting;
                Effect::Rest
            }
            (Doing::Paying { .. }, Input::NotPaid) => {
                self.doing = Doing::Waiting;
                Effect::Rest
            }

            (Doing::Closing { shown: true }, Input::Answered(said)) if !said.failed => {
                self.claimed_refund_sat = said.refund_sat;
                self.doing = Doing::Gone;
                Effect::Rest
            }
            (Doing::Closing { shown: true }, Input::Answered(_) | Input::Unanswered) => {
                self.doing = Doing::Closing { shown: false };
                Effect::Rest
            }
            (Doing::Closing { shown: false }, Input::End) => self.close(now_s),
            (Doing::Closing { .. } | Doing::Renewing { to_close: true }, Input::Use) => Effect::Refuse,
            _ => Effect::Rest,
        }
    }

    /// The header for an action that was just named. `None` when it cannot stand in one.
    pub fn credential(&self, action: Action) -> Option<Credential> {
        let (id, preimage) = (self.id.as_str(), self.preimage.expose());
        let (challenge, payload) = match action {
            Action::Open => (
                &self.opened_with,
                json!({ "action": "open", "preimage": preimage, "returnInvoice": self.refund.invoice }),
            ),
            Action::Bearer => (&self.cached, json!({ "action": "bearer", "sessionId": id, "preimage": preimage })),
            Action::Close => (&self.cached, json!({ "action": "close", "sessionId": id, "preimage": preimage })),
        };
        credential::credential(challenge, None, payload)
    }

    fn show(&mut self, action: Action, now_s: u64) -> Effect {
        self.used_s = self.used_s.max(now_s);
        self.base_sat = self.spent_sat;
        Effect::Show(action)
    }

    fn close(&mut self, now_s: u64) -> Effect {
        if self.has_life(now_s) {
            self.doing = Doing::Closing { shown: true };
            return self.show(Action::Close, now_s);
        }
        self.doing = Doing::Renewing { to_close: true };
        Effect::Ask
    }

    fn bearer_answered(&mut self, said: &Said, last: bool, now_s: u64) -> Effect {
        if said.goods {
            self.doing = Doing::Waiting;
            self.count_one();
            return Effect::Deliver;
        }
        if said.failed {
            self.doing = Doing::Waiting;
            return Effect::Rest;
        }
        if last {
            // Idle for too long, used up, or not good for this: it serves no call any more, and what is left is asked back.
            self.doing = Doing::Closing { shown: false };
            return Effect::Refuse;
        }
        // A challenge came along: it is cached by now. Else one is asked for.
        if self.is_renewed(said, now_s) {
            self.doing = Doing::Bearing { last: true };
            return self.show(Action::Bearer, now_s);
        }
        self.doing = Doing::Renewing { to_close: false };
        Effect::Ask
    }

    fn streamed(&mut self, event: &Event) -> Effect {
        match event {
            Event::NeedTopUp(balance) => {
                self.note_spent(balance);
                // One at a time, for this session, and only while it is open: a seller that streams has opened it.
                let ours = balance.session.eq_ignore_ascii_case(&self.id);
                let open = matches!(
                    self.doing,
                    Doing::Waiting
                        | Doing::Bearing { .. }
                        | Doing::Opening { shown: true, .. }
                        | Doing::Probing { shown: true, .. }
                );
                if ours && open {
                    self.doing = Doing::Asking;
                    return Effect::Ask;
                }
            }
            Event::Timeout(balance) => self.note_spent(balance),
            Event::Receipt { spent_sat } => self.count(*spent_sat),
        }
        Effect::Rest
    }

    fn top_up_asked(&mut self, challenge: Option<&Challenge>, now_s: u64) -> Effect {
        let terms = challenge.and_then(|challenge| Terms::read(challenge).ok());
        let fits = |terms: &Terms| {
            terms.key(&self.key.origin) == self.key
                && terms.payment_hash != self.id
                && terms.payment_hash != self.refund.payment_hash
                && terms.expires_at > now_s.saturating_add(MIN_LEFT_S)
        };
        match terms.filter(fits) {
            Some(terms) => {
                self.doing = Doing::Paying { terms: Box::new(terms.clone()) };
                Effect::Pay { terms: Box::new(terms) }
            }
            None => {
                self.doing = Doing::Waiting;
                Effect::Rest
            }
        }
    }

    /// Keeps a challenge that came along, so that the next call needs no round trip for one. Another realm's or another
    /// payee's is never kept: the preimage would be shown for it.
    fn learn(&mut self, said: &Said) {
        let Some(challenge) = &said.challenge else { return };
        let invoice = challenge.terms().ok().and_then(|mut terms| terms.remove("depositInvoice"));
        let payee = match invoice.as_ref().map(Value::as_str) {
            None => true,
            Some(text) => {
                text.and_then(|text| Invoice::read(text).ok()).is_some_and(|invoice| invoice.payee == self.key.payee)
            }
        };
        if terms::is_session(challenge) && challenge.realm == self.key.realm && challenge.header_name().is_ok() && payee
        {
            self.cached = (**challenge).clone();
        }
    }

    /// Whether a challenge came along that may be shown.
    fn is_renewed(&self, said: &Said, now_s: u64) -> bool {
        said.challenge.as_deref() == Some(&self.cached) && self.has_life(now_s)
    }

    fn has_life(&self, now_s: u64) -> bool {
        match self.cached.expires_s() {
            Ok(end) => end.is_none_or(|end| end > now_s.saturating_add(MIN_LEFT_S)),
            Err(_) => false,
        }
    }

    /// A call costs a unit at least. What it really costs is told by nobody who can be believed.
    fn count_one(&mut self) {
        self.count(self.unit_sat);
    }

    fn count(&mut self, sat: u64) {
        self.spent_sat = self.spent_sat.max(self.base_sat.saturating_add(sat)).min(self.deposited_sat);
    }

    fn note_spent(&mut self, balance: &Balance) {
        if balance.session.eq_ignore_ascii_case(&self.id) {
            self.spent_sat = self.spent_sat.max(balance.spent_sat).min(self.deposited_sat);
        }
    }
}
