//! The heart: what to do next with a purchase, as a plain function.
//!
//! No clock, no socket, no disk: [`step`] looks at what is known and at what just happened, and names one effect. The
//! driver performs it and comes back. Property tests, the kill tests and the driver all run this same function.
//!
//! ```text
//! state              Go                                  then
//! ─────────────────  ──────────────────────────────────  ─────────────────────────────────────────────────────────
//! paying, fresh      Pay                                 proof → RecordPaid; final "no" → ConfirmNo → RecordFailed
//!                                                        never sent → RecordUnsent; all else → RecordUnknown
//! paying, not fresh  RecordUnknown (someone crashed)     as unknown
//! unknown            LookUp                              proof → RecordPaid; pending, cannot tell → Wait
//!                                                        none → NoteAbsent, Resend while the bytes live, Wait,
//!                                                        and RecordFailed once the liability is over
//!                                                        settled without proof → NoteSaidPaid, once; from then on
//!                                                        no silence and no "none" is a no: proof, or a person
//! paid, undelivered  Redeem                              answer → RecordDelivered; asked again → RetryRedeem, then
//!                                                        RecordUndelivered; never a second payment
//! failed             LookUp once                         proof → RecordPaid (the ledger makes it late)
//!                                                        pending, or settled without proof → Distrust
//! awaiting, delivered, late      Rest
//! ```
//!
//! Where the seller settles (`by_seller`: what was signed goes along with the request), to pay is to ask the seller, and
//! what was signed can be used by whoever saw it until it runs out:
//!
//! ```text
//! paying, fresh      Pay                                 receipt, or an answer → RecordPaid; not sent → RecordFailed
//!                                                        a remembered price or a guessed nonce was refused →
//!                                                        Requote, then Pay
//!                                                        all else → RecordUnknown
//! unknown            LookUp (the chain, if one is known) used → RecordPaid; void → RecordFailed
//!                                                        else the same bytes again while somebody waits for the
//!                                                        answer and they live, then Rest;
//!                                                        nobody can be asked and they ran out → CountAsSpent
//! ```

use std::time::Duration;

use crate::ledger::State;

/// Codes that mean "no money left" when all else fits (Contracts, Final answers).
const FINAL: [&str; 8] = [
    "INSUFFICIENT_BALANCE",
    "QUOTA_EXCEEDED",
    "RESTRICTED",
    "UNAUTHORIZED",
    "NOT_IMPLEMENTED",
    "UNSUPPORTED_ENCRYPTION",
    "RATE_LIMITED",
    // a node's own terminal state, from wallets that speak to one directly
    "FAILED",
];

/// How often a seller that asks again is shown the same credential before it counts as undelivered.
pub const REDEEM_TRIES: u32 = 4;

/// How often what was signed is shown to a seller that settles, in one run: a facilitator under load refuses what it
/// takes a moment later, and the same bytes can be used only once.
pub const SENDS: u32 = 6;

/// What was signed is not shown again with less of its life left, in seconds: sellers refuse it.
const LEAST_LIFE_S: u64 = 6;

/// All that is known when a decision is taken.
#[derive(Clone, Debug)]
pub struct Known {
    /// Where the ledger says it stands.
    pub state: State,
    /// Whether the intent came from its commit just now, so that its bytes cannot have been sent before.
    pub fresh: bool,
    /// Now, unix milliseconds.
    pub now_ms: u64,
    /// Until when money may still leave, unix seconds.
    pub liability_until_s: u64,
    /// Until when the same bytes may be sent again, unix seconds.
    pub resend_until_s: u64,
    /// Since when every look-up found nothing, unix milliseconds.
    pub absent_since_ms: Option<u64>,
    /// How long that must last.
    pub absent_for: Duration,
    /// Whether the wallet ever said, when it was asked, that it paid, and gave no proof.
    pub said_paid: bool,
    /// How long after the liability a "no" is still doubted.
    pub grace: Duration,
    /// A final "no" that waits for its confirmation by a look-up.
    pub refused: Option<String>,
    /// Look-ups so far in this run.
    pub looks: u32,
    /// Whether the same bytes were sent again in this run.
    pub resent: bool,
    /// Redemptions so far in this run.
    pub redeems: u32,
    /// Whether the seller settles, so that paying is to ask it.
    pub by_seller: bool,
    /// Whether the seller keeps an answer for who shows the same payment again.
    pub replays: bool,
    /// Whether nothing else was signed for this purchase before.
    pub alone: bool,
    /// Whether somebody waits for the answer.
    pub wanted: bool,
    /// How often what was signed was shown to the seller in this run.
    pub sends: u32,
    /// Whether the seller's last word in this run allows to show it again.
    pub again: bool,
    /// Whether a refusal may be met with another signature: the price was a remembered one, so that the refusal brings
    /// today's; or the seller's rule for the nonce was guessed, and the refusal says that it is the other one.
    pub anew: bool,
}

/// What just happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// The purchase is to go on.
    Go,
    /// The wallet gave a proof that fits.
    Settled,
    /// An authentic error.
    Refused {
        /// Its code.
        code: String,
        /// Whether the bytes were sent exactly once.
        sent_once: bool,
    },
    /// Nothing to rely on, with a sentence.
    NoWord(String),
    /// None of the bytes left, and none of this handing over ever will, with a sentence.
    NotSent(String),
    /// A look-up: settled, with or without a proof that fits.
    LookedSettled {
        /// Whether there is a proof.
        proof: bool,
    },
    /// A look-up: on its way.
    LookedPending,
    /// A look-up: failed, or not known to the wallet.
    LookedAbsent,
    /// A look-up: it has not happened and never can.
    LookedVoid,
    /// A look-up without a usable answer.
    LookedNothing(String),
    /// The seller answered the credential with something else than a demand to pay.
    SellerAnswered,
    /// The seller asked for payment again, or rejected the credential.
    SellerAskedAgain {
        /// Its status.
        status: u16,
        /// Why, in a sentence.
        why: String,
    },
    /// Nothing of the request left for the seller.
    SellerUnreached(String),
    /// The seller failed or did not answer. `again`: the same request may be sent again at once.
    SellerFailed {
        /// One sentence.
        why: String,
        /// Its status, if it answered.
        status: Option<u16>,
        /// Whether repeating it is harmless.
        again: bool,
    },
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Hand the committed bytes to the wallet.
    Pay,
    /// Hand the very same bytes to the wallet again.
    Resend,
    /// Ask the wallet what became of it, after a pause.
    LookUp(Duration),
    /// Remember the final "no" and look it up at once.
    ConfirmNo(String),
    /// Write that nobody knows.
    RecordUnknown(String),
    /// Note that a look-up found nothing, then ask again.
    NoteAbsent,
    /// Note for good that the wallet says that it paid, without a proof, then ask again.
    NoteSaidPaid,
    /// W2.
    RecordPaid,
    /// Give the holds back.
    RecordFailed(String),
    /// Give the holds back at once: no byte ever left.
    RecordUnsent(String),
    /// Show the credential, after a pause.
    Redeem(Duration),
    /// Sign for the terms that the seller names today, or with the nonce that it wants; what was signed first stays held
    /// as well.
    Requote,
    /// W2 without a proof: nobody can say what became of it any more, so it counts as spent.
    CountAsSpent,
    /// W3.
    RecordDelivered,
    /// Write that the seller keeps the money.
    RecordUndelivered {
        /// Why.
        why: String,
        /// Its status, if it answered.
        status: Option<u16>,
    },
    /// The wallet contradicts its own final "no": trust it with nothing more until a person looked.
    Distrust,
    /// Nothing more to do now.
    Rest,
}

/// The pause before the next look-up.
fn backoff(looks: u32) -> Duration {
    Duration::from_secs(match looks {
        0 => 0,
        1 => 1,
        2 => 2,
        3 => 5,
        4 => 15,
        5 => 30,
        _ => 60,
    })
}

/// The pause before the next look at a payment that the seller settles.
fn short_backoff(sends: u32) -> Duration {
    if sends == 0 { Duration::ZERO } else { Duration::from_millis(250 << (sends - 1).min(4)) }
}

/// Names the next effect. Total: every state takes every input, and none of them leads to a second payment.
pub fn step(known: &Known, input: &Input) -> Effect {
    match known.state {
        State::Paying => paying(known, input),
        State::Unknown if known.by_seller => signed_away(known, input),
        State::Unknown => unknown(known, input),
        State::Paid | State::Undelivered => redeeming(known, input),
        State::Failed => match input {
            Input::Go if known.looks == 0 => Effect::LookUp(Duration::ZERO),
            Input::LookedSettled { proof: true } => Effect::RecordPaid,
            Input::LookedPending | Input::LookedSettled { proof: false } => Effect::Distrust,
            _ => Effect::Rest,
        },
        State::AwaitingApproval | State::Delivered | State::Late => Effect::Rest,
    }
}

fn paying(known: &Known, input: &Input) -> Effect {
    match input {
        Input::Go if known.fresh => Effect::Pay,
        Input::Go => Effect::RecordUnknown("a process ended while it was paying".into()),
        Input::Settled | Input::LookedSettled { proof: true } => Effect::RecordPaid,
        Input::Refused { code, sent_once } if is_final(known, code, *sent_once) => Effect::ConfirmNo(code.clone()),
        Input::Refused { code, .. } => {
            Effect::RecordUnknown(format!("the wallet answered {code}, which does not say that no money left"))
        }
        Input::NoWord(why) => Effect::RecordUnknown(why.clone()),
        // Bytes from an earlier run, or sent again, may have left before.
        Input::NotSent(why) if known.fresh && !known.resent && !known.by_seller => Effect::RecordUnsent(why.clone()),
        Input::NotSent(why) => Effect::RecordUnknown(why.clone()),
        Input::LookedAbsent => match &known.refused {
            Some(code) => Effect::RecordFailed(format!("the wallet answered {code}")),
            None => Effect::RecordUnknown("the wallet does not know the payment".into()),
        },
        Input::LookedPending => Effect::RecordUnknown("the wallet says that it is on its way".into()),
        Input::LookedSettled { proof: false } => {
            Effect::RecordUnknown("the wallet says that it settled and gives no proof".into())
        }
        Input::LookedNothing(why) => Effect::RecordUnknown(why.clone()),
        Input::SellerUnreached(why) if known.by_seller && known.fresh && known.sends == 1 && known.alone => {
            Effect::RecordFailed(why.clone())
        }
        Input::SellerAskedAgain { .. } if known.by_seller && known.anew && known.fresh && known.sends == 1 => {
            Effect::Requote
        }
        Input::SellerAskedAgain { why, .. } | Input::SellerFailed { why, .. } | Input::SellerUnreached(why)
            if known.by_seller =>
        {
            Effect::RecordUnknown(why.clone())
        }
        Input::LookedVoid
        | Input::SellerAnswered
        | Input::SellerAskedAgain { .. }
        | Input::SellerUnreached(_)
        | Input::SellerFailed { .. } => {
            Effect::RecordUnknown("the seller answered before the payment was known".into())
        }
    }
}

/// A signature that left: whoever saw it can use it, once, until it runs out.
fn signed_away(known: &Known, input: &Input) -> Effect {
    let now_s = known.now_ms / 1000;
    match input {
        Input::Settled | Input::LookedSettled { proof: true } => Effect::RecordPaid,
        Input::LookedVoid => {
            Effect::RecordFailed("what was signed was never used, and it has run out or was taken back".into())
        }
        Input::LookedNothing(_) if now_s > known.liability_until_s.saturating_add(known.grace.as_secs()) => {
            Effect::CountAsSpent
        }
        Input::LookedAbsent
        | Input::LookedNothing(_)
        | Input::LookedPending
        | Input::LookedSettled { proof: false } => {
            let lives = now_s.saturating_add(LEAST_LIFE_S) < known.resend_until_s;
            if lives && known.wanted && known.again && known.sends < SENDS { Effect::Resend } else { Effect::Rest }
        }
        _ => Effect::LookUp(short_backoff(known.sends)),
    }
}

fn is_final(known: &Known, code: &str, sent_once: bool) -> bool {
    known.fresh && sent_once && !known.resent && FINAL.contains(&code)
}

fn unknown(known: &Known, input: &Input) -> Effect {
    match input {
        Input::Settled | Input::LookedSettled { proof: true } => Effect::RecordPaid,
        Input::LookedSettled { proof: false } if !known.said_paid => Effect::NoteSaidPaid,
        // Whoever said that it paid may have forgotten it since; that is no reason to give the money back.
        Input::LookedAbsent if !known.said_paid => absent(known),
        _ => Effect::LookUp(backoff(known.looks)),
    }
}

/// The wallet knows nothing of it. That is a "no" only after the liability, and only when it stays so.
fn absent(known: &Known) -> Effect {
    let now_s = known.now_ms / 1000;
    let Some(since) = known.absent_since_ms else { return Effect::NoteAbsent };
    let over = now_s > known.liability_until_s.saturating_add(known.grace.as_secs());
    let lasting = u128::from(known.now_ms.saturating_sub(since)) >= known.absent_for.as_millis();
    if over && lasting {
        return Effect::RecordFailed("the wallet knows no such payment, and it can no longer happen".into());
    }
    if !known.resent && now_s < known.resend_until_s && now_s < known.liability_until_s {
        return Effect::Resend;
    }
    Effect::LookUp(backoff(known.looks))
}

fn redeeming(known: &Known, input: &Input) -> Effect {
    match input {
        Input::SellerAnswered => Effect::RecordDelivered,
        // A seller may hear of the payment a moment after we do. One that settled it itself knows.
        Input::SellerAskedAgain { .. } if known.redeems < REDEEM_TRIES && (!known.by_seller || known.replays) => {
            Effect::Redeem(Duration::from_millis(250 << known.redeems.min(4)))
        }
        Input::SellerAskedAgain { status, why } => Effect::RecordUndelivered {
            why: format!("the seller took the money and asks for payment again: {why}"),
            status: Some(*status),
        },
        Input::SellerFailed { again: true, .. } if known.redeems < 3 && (!known.by_seller || known.replays) => {
            Effect::Redeem(Duration::from_millis(500))
        }
        Input::SellerUnreached(why) => Effect::RecordUndelivered { why: why.clone(), status: None },
        Input::SellerFailed { why, status, .. } => Effect::RecordUndelivered { why: why.clone(), status: *status },
        _ if known.redeems == 0 => Effect::Redeem(Duration::ZERO),
        _ => Effect::Rest,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn known(state: State) -> Known {
        Known {
            state,
            fresh: true,
            now_ms: 1_000_000,
            liability_until_s: 2_000,
            resend_until_s: 1_050,
            absent_since_ms: None,
            absent_for: Duration::from_secs(60),
            said_paid: false,
            grace: Duration::from_secs(120),
            refused: None,
            looks: 0,
            resent: false,
            redeems: 0,
            by_seller: false,
            replays: false,
            alone: true,
            wanted: true,
            sends: 0,
            again: true,
            anew: false,
        }
    }

    fn asked_again() -> Input {
        Input::SellerAskedAgain { status: 402, why: "no".into() }
    }

    fn refused(code: &str, sent_once: bool) -> Input {
        Input::Refused { code: code.into(), sent_once }
    }

    #[test]
    fn only_a_fresh_intent_is_paid() {
        assert_eq!(step(&known(State::Paying), &Input::Go), Effect::Pay);
        let stale = Known { fresh: false, ..known(State::Paying) };
        assert!(matches!(step(&stale, &Input::Go), Effect::RecordUnknown(_)));
    }

    #[test]
    fn each_final_code_is_a_no_only_after_a_look_up_agrees() {
        for code in &FINAL {
            assert_eq!(step(&known(State::Paying), &refused(code, true)), Effect::ConfirmNo((*code).into()));
            let asked = Known { refused: Some((*code).into()), ..known(State::Paying) };
            assert!(matches!(step(&asked, &Input::LookedAbsent), Effect::RecordFailed(_)), "{code}");
            for doubt in [Input::LookedPending, Input::LookedNothing("-".into()), Input::LookedSettled { proof: false }]
            {
                assert!(matches!(step(&asked, &doubt), Effect::RecordUnknown(_)), "{code} {doubt:?}");
            }
            assert_eq!(step(&asked, &Input::LookedSettled { proof: true }), Effect::RecordPaid);
        }
    }

    #[test]
    fn any_other_code_a_second_sending_or_a_stale_intent_is_never_a_no() {
        for code in ["PAYMENT_FAILED", "INTERNAL", "OTHER", "EXPIRED", "BAD_REQUEST", "", "NOT_FOUND"] {
            assert!(matches!(step(&known(State::Paying), &refused(code, true)), Effect::RecordUnknown(_)), "{code}");
        }
        let final_code = refused("INSUFFICIENT_BALANCE", true);
        assert!(matches!(
            step(&known(State::Paying), &refused("INSUFFICIENT_BALANCE", false)),
            Effect::RecordUnknown(_)
        ));
        let stale = Known { fresh: false, ..known(State::Paying) };
        assert!(matches!(step(&stale, &final_code), Effect::RecordUnknown(_)));
        let resent = Known { resent: true, ..known(State::Paying) };
        assert!(matches!(step(&resent, &final_code), Effect::RecordUnknown(_)));
    }

    #[test]
    fn unknown_becomes_failed_only_after_liability_grace_and_a_lasting_absence() {
        let late = 2_000_000 + 121_000;
        let base = Known { resent: true, looks: 3, ..known(State::Unknown) };
        let cases = [
            (1_900_000, Some(1_000_000), false, "before the liability ends"),
            (2_100_000, Some(1_000_000), false, "within the grace"),
            (late, None, false, "the first absence"),
            (late, Some(late - 59_000), false, "an absence of 59 s"),
            (late, Some(late - 60_000), true, "all of it"),
        ];
        for (now_ms, absent_since_ms, failed, say) in cases {
            let at = Known { now_ms, absent_since_ms, ..base.clone() };
            let effect = step(&at, &Input::LookedAbsent);
            assert_eq!(matches!(effect, Effect::RecordFailed(_)), failed, "{say}: {effect:?}");
        }
    }

    #[test]
    fn bytes_that_never_left_are_a_no_at_once_and_only_the_first_time() {
        let unsent = Input::NotSent("x".into());
        assert_eq!(step(&known(State::Paying), &unsent), Effect::RecordUnsent("x".into()));
        let stale = Known { fresh: false, ..known(State::Paying) };
        let resent = Known { resent: true, ..known(State::Paying) };
        for at in [stale, resent] {
            assert_eq!(step(&at, &unsent), Effect::RecordUnknown("x".into()), "{at:?}");
        }
        assert!(matches!(step(&known(State::Unknown), &unsent), Effect::LookUp(_)));
        assert_eq!(step(&known(State::Failed), &unsent), Effect::Rest, "there is nothing to look up");
    }

    #[test]
    fn the_wallets_word_that_it_paid_is_noted_once_and_no_later_absence_undoes_it() {
        let late = 2_000_000 + 121_000;
        let at = Known { now_ms: late, absent_since_ms: Some(1), looks: 3, ..known(State::Unknown) };
        let said = Input::LookedSettled { proof: false };
        assert_eq!(step(&at, &said), Effect::NoteSaidPaid);
        assert!(matches!(step(&at, &Input::LookedAbsent), Effect::RecordFailed(_)), "without that word");
        let noted = Known { said_paid: true, ..at };
        for input in [said, Input::LookedAbsent] {
            assert!(matches!(step(&noted, &input), Effect::LookUp(_)), "{input:?}");
        }
        let soon = Known { said_paid: true, ..known(State::Unknown) };
        for at in [soon.clone(), Known { absent_since_ms: Some(1), ..soon }] {
            assert!(matches!(step(&at, &Input::LookedAbsent), Effect::LookUp(_)), "nothing is sent again: {at:?}");
        }
        assert_eq!(step(&noted, &Input::LookedSettled { proof: true }), Effect::RecordPaid);
    }

    #[test]
    fn a_seller_that_asks_again_is_never_paid_again() {
        let mut at = known(State::Paid);
        for redeems in 1..=REDEEM_TRIES {
            at.redeems = redeems;
            let effect = step(&at, &asked_again());
            assert!(matches!(effect, Effect::Redeem(_) | Effect::RecordUndelivered { .. }), "{effect:?}");
        }
        assert!(matches!(step(&at, &asked_again()), Effect::RecordUndelivered { .. }));
    }

    fn sold(state: State) -> Known {
        Known { by_seller: true, sends: 1, ..known(state) }
    }

    fn failed_with(status: Option<u16>) -> Input {
        Input::SellerFailed { why: "x".into(), status, again: false }
    }

    #[test]
    fn no_answer_of_a_seller_that_settles_is_a_no() {
        for input in [asked_again(), failed_with(Some(400)), failed_with(Some(500)), failed_with(None)] {
            assert!(matches!(step(&sold(State::Paying), &input), Effect::RecordUnknown(_)), "{input:?}");
        }
    }

    #[test]
    fn only_a_first_sending_that_never_left_is_a_no() {
        let unreached = Input::SellerUnreached("x".into());
        assert!(matches!(step(&sold(State::Paying), &unreached), Effect::RecordFailed(_)));
        let second = Known { sends: 2, ..sold(State::Paying) };
        let stale = Known { fresh: false, ..sold(State::Paying) };
        let not_alone = Known { alone: false, ..sold(State::Paying) };
        for at in [second, stale, not_alone, sold(State::Unknown)] {
            assert!(!matches!(step(&at, &unreached), Effect::RecordFailed(_)), "{at:?}");
        }
    }

    #[test]
    fn a_signature_is_shown_again_only_while_it_lives_and_somebody_waits() {
        let at = sold(State::Unknown);
        assert_eq!(step(&at, &Input::LookedAbsent), Effect::Resend);
        assert_eq!(step(&at, &Input::LookedNothing("x".into())), Effect::Resend, "without a chain to ask, too");
        let dead = Known { now_ms: (at.resend_until_s - LEAST_LIFE_S) * 1000, ..at.clone() };
        let tired = Known { sends: SENDS, ..at.clone() };
        let alone = Known { wanted: false, ..at.clone() };
        let final_word = Known { again: false, ..at.clone() };
        for at in [dead, tired, alone, final_word] {
            assert_eq!(step(&at, &Input::LookedAbsent), Effect::Rest, "{at:?}");
        }
    }

    #[test]
    fn what_ran_out_unheard_of_counts_as_spent_and_what_the_chain_calls_void_does_not() {
        let over = Known { now_ms: 2_121_000, ..sold(State::Unknown) };
        assert_eq!(step(&over, &Input::LookedNothing("no chain".into())), Effect::CountAsSpent);
        assert_eq!(step(&over, &Input::LookedAbsent), Effect::Rest, "the chain is behind: its word is waited for");
        assert!(matches!(step(&over, &Input::LookedVoid), Effect::RecordFailed(_)));
        let soon = Known { now_ms: 2_119_000, ..sold(State::Unknown) };
        assert_eq!(step(&soon, &Input::LookedNothing("no chain".into())), Effect::Rest);
    }

    #[test]
    fn a_refused_memory_is_quoted_anew_once_and_a_refused_demand_never() {
        let remembered = Known { anew: true, ..sold(State::Paying) };
        assert_eq!(step(&remembered, &asked_again()), Effect::Requote);
        for at in [sold(State::Paying), Known { anew: true, sends: 2, ..sold(State::Paying) }] {
            assert!(matches!(step(&at, &asked_again()), Effect::RecordUnknown(_)), "{at:?}");
        }
    }

    fn any_state() -> impl Strategy<Value = State> {
        prop::sample::select(vec![
            State::AwaitingApproval,
            State::Paying,
            State::Unknown,
            State::Paid,
            State::Delivered,
            State::Undelivered,
            State::Failed,
            State::Late,
        ])
    }

    fn any_input() -> impl Strategy<Value = Input> {
        prop_oneof![
            Just(Input::Go),
            Just(Input::Settled),
            (prop::sample::select(FINAL.to_vec()), any::<bool>())
                .prop_map(|(c, sent_once)| Input::Refused { code: c.into(), sent_once }),
            Just(Input::NoWord("x".into())),
            Just(Input::NotSent("x".into())),
            any::<bool>().prop_map(|proof| Input::LookedSettled { proof }),
            Just(Input::LookedPending),
            Just(Input::LookedAbsent),
            Just(Input::LookedNothing("x".into())),
            Just(Input::SellerAnswered),
            Just(asked_again()),
            Just(Input::LookedVoid),
            Just(Input::SellerUnreached("x".into())),
            any::<bool>().prop_map(|again| Input::SellerFailed { why: "x".into(), status: None, again }),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]
        #[test]
        fn whatever_is_known_and_whatever_happens_the_money_rules_hold(
            state in any_state(), input in any_input(), fresh: bool, resent: bool, now_s in 0u64..4_000,
            absent in prop::option::of(0u64..4_000_000), refused in prop::option::of(Just("RESTRICTED".to_owned())),
            looks in 0u32..9, redeems in 0u32..9, by_seller: bool, wanted: bool, sends in 0u32..9, again: bool,
            anew: bool, said_paid: bool,
        ) {
            let at = Known {
                fresh, resent, now_ms: now_s * 1000, absent_since_ms: absent, refused, looks, redeems, by_seller, wanted,
                sends, again, anew, said_paid, ..known(state)
            };
            let effect = step(&at, &input);
            let sound = match &effect {
                Effect::Pay => state == State::Paying && fresh && input == Input::Go,
                Effect::Resend if by_seller => {
                    state == State::Unknown && wanted && again && sends < SENDS && now_s < at.resend_until_s
                }
                Effect::Resend => {
                    state == State::Unknown && !resent && !said_paid && now_s < at.resend_until_s
                        && input == Input::LookedAbsent
                }
                Effect::Requote => {
                    by_seller && anew && fresh && sends == 1 && state == State::Paying && input == asked_again()
                }
                Effect::CountAsSpent => by_seller && state == State::Unknown && now_s > at.liability_until_s + 120,
                Effect::RecordPaid => matches!(input, Input::Settled | Input::LookedSettled { proof: true }),
                Effect::RecordFailed(_) if by_seller && input == Input::LookedVoid => state == State::Unknown,
                Effect::RecordFailed(_) if matches!(input, Input::SellerUnreached(_)) => {
                    by_seller && fresh && state == State::Paying && sends == 1
                }
                Effect::RecordFailed(_) => input == Input::LookedAbsent && match state {
                    State::Paying => at.refused.is_some(),
                    State::Unknown => {
                        now_s > at.liability_until_s + 120 && at.absent_since_ms.is_some() && (by_seller || !said_paid)
                    }
                    _ => false,
                },
                Effect::RecordUnsent(_) => {
                    state == State::Paying && fresh && !resent && !by_seller && matches!(input, Input::NotSent(_))
                }
                Effect::NoteSaidPaid => {
                    state == State::Unknown && !by_seller && !said_paid && input == Input::LookedSettled { proof: false }
                }
                Effect::Redeem(_) | Effect::RecordDelivered | Effect::RecordUndelivered { .. } => {
                    matches!(state, State::Paid | State::Undelivered)
                }
                _ => true,
            };
            prop_assert!(sound, "{:?} {:?} led to {:?}", at, input, effect);
        }
    }
}
