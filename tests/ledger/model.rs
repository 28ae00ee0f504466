//! Random steps against a model that is a few sums, the independent auditor after each.

use std::collections::BTreeMap;

use bursar::ledger::{Armed, Begun, By, LimitSet, PurchaseId, Scope, SetBy, State};
use proptest::prelude::*;

use super::book::*;

#[derive(Clone, Debug)]
enum Step {
    Begin { price: u64, fee_cap: u64, host: u8, ask: bool },
    Paid { which: usize, fee: Option<u64> },
    Failed { which: usize },
    Unknown { which: usize },
    SaidPaid { which: usize },
    Delivered { which: usize },
    Undelivered { which: usize, status: Option<u16> },
    Answered { which: usize },
    Decide { which: usize, yes: bool },
    Arm { which: usize },
    Limit { scope: Scope, to: u64, by: SetBy },
    Pass { minutes: u64 },
    EndSession,
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let which = 0..6usize;
    prop_oneof![
        6 => (1..60u64, 0..6u64, 0..3u8, prop::bool::weighted(0.2))
            .prop_map(|(price, fee_cap, host, ask)| Step::Begin { price, fee_cap, host, ask }),
        5 => (which.clone(), prop::option::of(0..12u64)).prop_map(|(which, fee)| Step::Paid { which, fee }),
        2 => which.clone().prop_map(|which| Step::Failed { which }),
        2 => which.clone().prop_map(|which| Step::Unknown { which }),
        1 => which.clone().prop_map(|which| Step::SaidPaid { which }),
        2 => which.clone().prop_map(|which| Step::Delivered { which }),
        1 => (which.clone(), prop::sample::select(vec![None, Some(402), Some(500)]))
            .prop_map(|(which, status)| Step::Undelivered { which, status }),
        1 => which.clone().prop_map(|which| Step::Answered { which }),
        1 => (which.clone(), any::<bool>()).prop_map(|(which, yes)| Step::Decide { which, yes }),
        1 => which.prop_map(|which| Step::Arm { which }),
        2 => (
            prop::sample::select(vec![Scope::Purchase, Scope::Session, Scope::Day]),
            0..260u64,
            prop::sample::select(vec![SetBy::Model, SetBy::Human]),
        )
            .prop_map(|(scope, to, by)| Step::Limit { scope, to, by }),
        1 => (1..900u64).prop_map(|minutes| Step::Pass { minutes }),
        1 => Just(Step::EndSession),
        1 => Just(Step::Restart),
    ]
}

/// How long after its liability a person may close an unknown outcome, as the operator's docs say.
const GRACE_S: u64 = 120;

/// What the model remembers of a purchase: enough to add up.
struct Bought {
    id: PurchaseId,
    state: State,
    session: String,
    day: u64,
    held: u64,
    price: u64,
    fee_cap: u64,
    left: u64,
    said_paid: bool,
}

#[derive(Default)]
struct Model {
    bought: Vec<Bought>,
}

impl Model {
    /// Reserved and spent (overruns with it) of what `counts`.
    fn sums(&self, counts: impl Fn(&Bought) -> bool) -> (u64, u64) {
        let open = |s: State| matches!(s, State::AwaitingApproval | State::Paying | State::Unknown);
        self.bought.iter().filter(|b| counts(b)).fold((0, 0), |(held, spent), b| {
            (held + if open(b.state) { b.held } else { 0 }, spent + if b.state.paid() { b.left } else { 0 })
        })
    }

    /// One of the newest purchases.
    fn pick(&mut self, which: usize) -> Option<&mut Bought> {
        let n = self.bought.len();
        (which < n).then(|| &mut self.bought[n - 1 - which])
    }
}

async fn run(steps: Vec<Step>) -> Result<(), TestCaseError> {
    let mut book = Book::new(limits(50, 120, 200));
    let mut model = Model::default();
    for step in steps {
        let day = book.clock.now_ms() / 86_400_000;
        match step {
            Step::Begin { price, fee_cap, host, ask } => {
                // Each call lets go first of what waited for a person until its price ran out.
                book.ledger.expire_awaiting().await.unwrap();
                if book.clock.now_ms() / 1000 + 20 > LIABLE_UNTIL {
                    let waiting = model.bought.iter_mut().filter(|b| b.state == State::AwaitingApproval);
                    waiting.for_each(|b| b.state = State::Failed);
                }
                let session = book.ledger.session("local", "").await.unwrap().map(|s| s.id);
                let views: BTreeMap<_, _> = book
                    .ledger
                    .budgets("local", "")
                    .await
                    .unwrap()
                    .1
                    .into_iter()
                    .map(|v| (v.scope.name(), v))
                    .collect();
                let wish = Wish::of(sat(price)).fee(sat(fee_cap)).at(&format!("host{host}.example"));
                let (new, intent) = wish.parts();
                let id = intent.purchase;
                let needs = sat(price + fee_cap);
                let fits = !sat(price).exceeds(views["purchase"].limit)
                    && !needs.exceeds(views["session"].left)
                    && !needs.exceeds(views["day"].left);
                match book.ledger.begin(new, intent, ask).await.unwrap() {
                    Begun::Committed(_) | Begun::Awaiting(_) => {
                        prop_assert!(fits, "granted without room");
                        let at = book.ledger.find(id).await.unwrap().unwrap();
                        prop_assert!(session.is_none_or(|s| s == at.session));
                        let (state, held) = (at.state, price + fee_cap);
                        model.bought.push(Bought {
                            id,
                            state,
                            session: at.session,
                            day,
                            held,
                            price,
                            fee_cap,
                            left: 0,
                            said_paid: false,
                        });
                    }
                    Begun::NoRoom(_) => prop_assert!(!fits, "refused although there is room"),
                    Begun::Frozen(_) | Begun::CoolingDown(_) | Begun::TooManyUnknown(_) => {}
                    other => prop_assert!(false, "{:?}", other),
                }
            }
            Step::Paid { which, fee } => {
                if let Some(b) = model.pick(which) {
                    let now = book.paid(b.id, sat(b.price), fee.map(sat)).await;
                    let want = match b.state {
                        State::Paying | State::Unknown => State::Paid,
                        State::Failed => State::Late,
                        other => other,
                    };
                    prop_assert!(now == want || b.state == State::AwaitingApproval);
                    if now != b.state {
                        b.left = b.price + fee.unwrap_or(b.fee_cap);
                    }
                    b.state = now;
                }
            }
            Step::Failed { which } => {
                if let Some(b) = model.pick(which) {
                    b.state = book.ledger.failed(b.id, "a no").await.unwrap();
                }
            }
            Step::Unknown { which } => {
                if let Some(b) = model.pick(which) {
                    book.ledger.unknown(b.id, "silence").await.unwrap();
                    if b.state == State::Paying {
                        b.state = State::Unknown;
                    }
                }
            }
            Step::SaidPaid { which } => {
                if let Some(b) = model.pick(which) {
                    book.ledger.note_said_paid(b.id).await.unwrap();
                    b.said_paid |= b.state == State::Unknown;
                }
            }
            Step::Delivered { which } => {
                if let Some(b) = model.pick(which) {
                    b.state = book.delivered(b.id).await;
                }
            }
            Step::Undelivered { which, status } => {
                if let Some(b) = model.pick(which) {
                    b.state = book.ledger.undelivered(b.id, status, "kept it").await.unwrap();
                }
            }
            Step::Answered { which } => {
                if let Some(b) = model.pick(which) {
                    book.ledger.answered(b.id).await.unwrap();
                }
            }
            Step::Decide { which, yes } => {
                if let Some(b) = model.pick(which) {
                    book.ledger.decide(b.id, yes, By::Terminal).await.unwrap();
                    // A person's no also closes what nobody can be asked about any more, once its liability is over.
                    let closed = book.clock.now_ms() / 1000 > LIABLE_UNTIL + GRACE_S;
                    let open = b.state == State::AwaitingApproval || (b.state == State::Unknown && closed);
                    if open && !yes && b.said_paid {
                        (b.state, b.left) = (State::Undelivered, b.held);
                    } else if open && !yes {
                        b.state = State::Failed;
                    }
                }
            }
            Step::Arm { which } => {
                if let Some(b) = model.pick(which)
                    && matches!(book.ledger.arm(b.id, b"wire".to_vec(), 0).await.unwrap(), Armed::Committed(_))
                {
                    prop_assert_eq!(b.state, State::AwaitingApproval);
                    b.state = State::Paying;
                }
            }
            Step::Limit { scope, to, by } => {
                let before = book.budget(scope).await;
                let done = matches!(book.set(scope, sat(to), by).await, LimitSet::Done { .. });
                let may = !sat(to).exceeds(before.ceiling) && (by == SetBy::Human || !sat(to).exceeds(before.limit));
                prop_assert_eq!(done, may, "{:?} to {} by {:?} from {}", scope, to, by, before.limit);
            }
            Step::Pass { minutes } => book.clock.advance_ms(minutes * 60_000),
            Step::EndSession => {
                book.ledger.end_sessions("local", None).await.unwrap();
            }
            Step::Restart => book = book.reopen(),
        }
        check(&book, &model).await?;
    }
    Ok(())
}

async fn check(book: &Book, model: &Model) -> Result<(), TestCaseError> {
    prop_assert_eq!(book.findings().await, Vec::<String>::new());
    for b in &model.bought {
        prop_assert_eq!(book.ledger.find(b.id).await.unwrap().unwrap().state, b.state);
    }
    let running = book.ledger.session("local", "").await.unwrap();
    let (held, spent) = model.sums(|b| running.as_ref().is_some_and(|s| s.id == b.session));
    let view = book.budget(Scope::Session).await;
    prop_assert_eq!((view.held, view.spent), (sat(held), sat(spent)));
    let today = book.clock.now_ms() / 86_400_000;
    let (held, spent) = model.sums(|b| b.day == today);
    let view = book.budget(Scope::Day).await;
    prop_assert_eq!((view.held, view.spent), (sat(held), sat(spent)));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn whatever_happens_the_sums_agree_and_no_limit_is_passed(steps in prop::collection::vec(step(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(run(steps))?;
    }
}
