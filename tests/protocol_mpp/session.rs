//! `lightning/session`: a deposit that many calls draw on. Only the machine: who drives it is tested in `money_session`.

use bursar::{
    protocol::mpp::{
        Challenge,
        session::{Action, Balance, Effect, Event, Events, Input, ReturnInvoice, Said, Session, Terms, top_up},
    },
    secret::Secret,
};
use lightning_invoice::{Currency, SiPrefix};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{
    protocol_mint::{Mint, NOW, PREIMAGE},
    seller::{HOST, codes, inside, line, line_with, offer},
};

const ORIGIN: &str = "https://api.example.com";

fn request(mint: &Mint) -> Value {
    json!({
        "amount": "2", "currency": "sat", "unitType": "chunk", "depositInvoice": mint.text(),
        "paymentHash": mint.hash_hex(), "depositAmount": "40", "idleTimeout": "300",
    })
}

fn deposit() -> Mint {
    Mint::sat(40)
}

fn nth(n: u8) -> Mint {
    Mint { preimage: [n; 32], ..deposit() }
}

fn challenge(line: &str) -> Challenge {
    let mut listing = bursar::protocol::header::Listing::default();
    bursar::protocol::header::read_line(line.as_bytes(), &mut listing);
    Challenge::read(&listing.challenges[0]).unwrap()
}

/// A challenge with an id of its own.
fn fresh(mint: &Mint, id: &str, expires: &str) -> Challenge {
    let line = line_with("lightning", "session", &request(mint), &format!(r#", expires="{expires}""#));
    challenge(&line.replace("kM9xPqWvT2nJrHsY4aDfEb", id))
}

const LATER: &str = "2026-11-18T11:16:40Z";

fn terms(change: impl Fn(&mut Value)) -> Result<Terms, &'static str> {
    let mut request = request(&deposit());
    change(&mut request);
    Terms::read(&challenge(&line("lightning", "session", &request))).map_err(|o| o.code)
}

fn back() -> Mint {
    Mint { preimage: [99; 32], amount: None, prefix: None, expiry: Some(30 * 86_400), ..Mint::default() }
}

fn open() -> Session {
    let terms = terms(|_| {}).unwrap();
    let refund = ReturnInvoice::check(&back().text(), &terms, NOW).unwrap();
    Session::opened(ORIGIN, &terms, refund, Secret::new(PREIMAGE), NOW).unwrap()
}

fn goods() -> Input {
    Input::Answered(Said { goods: true, ..Said::default() })
}

fn refused(challenge: Option<Challenge>) -> Input {
    Input::Answered(Said { challenge: challenge.map(Box::new), ..Said::default() })
}

fn failed() -> Input {
    Input::Answered(Said { failed: true, ..Said::default() })
}

fn running() -> Session {
    let mut session = open();
    assert_eq!(session.step(Input::Use, NOW), Effect::Show(Action::Open));
    assert_eq!(session.step(goods(), NOW), Effect::Deliver);
    session
}

#[test]
fn the_terms_are_the_deposits_invoice_and_nothing_that_contradicts_it() {
    let sound = terms(|_| {}).unwrap();
    assert_eq!((sound.deposit_sat, sound.unit_sat, sound.unit.as_str()), (40, 2, "chunk"));
    assert_eq!((sound.idle_timeout_s, sound.expires_at), (Some(300), NOW + 595));
    assert_eq!(sound.payment_hash, deposit().hash_hex());
    let with = |name: &str, value: Value| terms(|r| r[name] = value.clone()).err();
    // Facts 4, hazard 2, for deposits: 40 was said and 70,000 asked for.
    assert_eq!(with("depositInvoice", json!(Mint::sat(70_000).text())), Some("amount_mismatch"));
    assert_eq!(with("depositAmount", json!("39")), Some("amount_mismatch"));
    assert_eq!(with("amount", json!("41")), Some("amount_mismatch"), "not even one unit");
    assert_eq!(with("amount", json!("0")), Some("no_amount"));
    assert_eq!(with("amount", Value::Null), Some("no_amount"));
    assert_eq!(with("currency", json!("usd")), Some("unknown_currency"));
    assert_eq!(with("depositInvoice", Value::Null), Some("no_invoice"));
    assert_eq!(with("depositInvoice", json!(back().text())), Some("no_amount"));
    assert_eq!(with("paymentHash", Value::Null), Some("hash_mismatch"));
    assert_eq!(with("paymentHash", json!("00".repeat(32))), Some("hash_mismatch"));
    let msat = Mint::of(400_010, Some(SiPrefix::Pico));
    assert_eq!(
        terms(|r| {
            r["depositInvoice"] = json!(msat.text());
            r["depositAmount"].take();
        })
        .err(),
        Some("amount_mismatch")
    );
    for absent in ["depositAmount", "idleTimeout", "unitType"] {
        assert_eq!(
            terms(|r| {
                r.as_object_mut().unwrap().remove(absent);
            })
            .err(),
            None,
            "{absent}"
        );
    }
}

#[test]
fn a_session_is_offered_at_its_deposit_and_paid_only_with_a_way_back() {
    let offer = offer(&line("lightning", "session", &request(&deposit())));
    assert_eq!((codes(&offer), offer.is_payable()), (vec![], true));
    assert_eq!(offer.price.unwrap().to_string(), "40 sat");
    assert!(offer.remarks.iter().any(|r| r == "a deposit of 40 sat, of which each \"chunk\" takes 2 sat"));
    let bursar::protocol::Way::Pay(pin) = &offer.way else { panic!("no terms") };
    assert!(pin.invoice().is_none(), "the ordinary way to pay an invoice must never pay a deposit");
    assert_eq!(pin.quoted_invoice(), Some(deposit().text().as_str()), "and yet its time is judged");
    let bursar::protocol::Pin::Mpp(pin) = &**pin else { panic!("no MPP") };
    let refund = ReturnInvoice::check(&back().text(), pin.session().unwrap(), NOW).unwrap();
    assert_eq!(pin.clone().returning_to(refund).invoice(), Some(deposit().text().as_str()));
}

/// Facts 4, hazard 4: servers use a deposit up before they look at the return invoice.
#[test]
fn hazard_4_a_bad_return_invoice_is_found_before_the_deposit_is_paid() {
    let terms = terms(|_| {}).unwrap();
    let check = |mint: &Mint| ReturnInvoice::check(&mint.text(), &terms, NOW).map_err(|o| o.code);
    let sound = check(&back()).unwrap();
    assert_eq!(sound.payment_hash, back().hash_hex());
    for (bad, why) in [
        (Mint { amount: Some(10), prefix: Some(SiPrefix::Nano), ..back() }, "an amount"),
        (Mint { amount: Some(0), ..back() }, "an amount of zero"),
        (Mint { currency: Currency::Regtest, ..back() }, "another network"),
        (Mint { expiry: Some(600), ..back() }, "too short"),
        (Mint { expiry: None, ..back() }, "the default life of an hour, made before"),
        (Mint { created: NOW - 31 * 86_400, ..back() }, "expired"),
        (Mint { preimage: deposit().preimage, ..back() }, "the deposit's own hash"),
    ] {
        assert_eq!(check(&bad), Err("bad_return_invoice"), "{why}");
    }
    assert!(ReturnInvoice::check("lnbc1", &terms, NOW).is_err());
    let endless = self::terms(|r| {
        r["idleTimeout"].take();
    })
    .unwrap();
    assert_eq!(ReturnInvoice::least_life_s(&endless), 30 * 86_400);
    assert_eq!(ReturnInvoice::least_life_s(&terms), 3600);
    let refund = ReturnInvoice::check(&back().text(), &terms, NOW).unwrap();
    assert!(Session::opened(ORIGIN, &terms, refund, Secret::new("08".repeat(32)), NOW).is_err());
}

/// Facts 4, hazard 12: each question mints an invoice at the seller, so none is asked that need not be.
#[test]
fn hazard_12_a_session_of_many_calls_shows_its_cached_challenge_and_asks_for_no_other() {
    let mut session = running();
    for n in 1..10 {
        assert_eq!(session.step(Input::Use, NOW + n), Effect::Show(Action::Bearer));
        let credential = session.credential(Action::Bearer).unwrap();
        assert_eq!(
            inside(&credential)["payload"],
            json!({"action": "bearer", "sessionId": deposit().hash_hex(), "preimage": PREIMAGE})
        );
        assert_eq!(inside(&credential)["challenge"]["id"], "kM9xPqWvT2nJrHsY4aDfEb");
        assert_eq!(session.step(goods(), NOW + n), Effect::Deliver);
    }
    assert_eq!((session.spent_sat, session.deposited_sat, session.used_s), (20, 40, NOW + 9));
    // Once the cached challenge ends, one question, and then it goes on with the new one.
    let late = NOW + 600;
    assert_eq!(session.step(Input::Use, late), Effect::Ask);
    let next = fresh(&nth(8), "next", "2026-11-18T12:00:00Z");
    assert_eq!(session.step(refused(Some(next)), late), Effect::Show(Action::Bearer));
    assert_eq!(inside(&session.credential(Action::Bearer).unwrap())["challenge"]["id"], "next");
    assert_eq!(session.step(goods(), late), Effect::Deliver);
}

/// Facts 4, hazard 7: what a seller says of a refund is not what came.
#[test]
fn hazard_7_open_carries_the_return_invoice_and_close_ends_everything() {
    let mut session = running();
    let open = inside(&session.credential(Action::Open).unwrap());
    assert_eq!(open["payload"], json!({"action": "open", "preimage": PREIMAGE, "returnInvoice": back().text()}));
    assert_eq!(session.step(Input::End, NOW), Effect::Show(Action::Close));
    let close = inside(&session.credential(Action::Close).unwrap());
    assert_eq!(close["payload"], json!({"action": "close", "sessionId": deposit().hash_hex(), "preimage": PREIMAGE}));
    assert_eq!(session.step(Input::Use, NOW), Effect::Refuse);
    // What the seller says of the refund is noted and not believed.
    let said = Said { goods: true, refund_sat: Some(1_000_000), ..Said::default() };
    assert_eq!(session.step(Input::Answered(said), NOW), Effect::Rest);
    assert!(session.is_over() && !session.is_lost() && !session.is_usable());
    assert_eq!((session.claimed_refund_sat, session.most_refund_sat()), (Some(1_000_000), 40));
    assert_eq!(session.step(Input::Use, NOW), Effect::Refuse);
    assert_eq!(session.step(Input::End, NOW), Effect::Rest);
}

#[test]
fn a_lost_answer_to_open_is_asked_about_with_a_bearer_before_anything_else() {
    for (after, show) in [(Input::Unanswered, None), (failed(), None), (refused(None), Some(Action::Bearer))] {
        let mut session = open();
        assert_eq!(session.step(Input::Use, NOW), Effect::Show(Action::Open));
        let effect = session.step(after, NOW);
        match show {
            Some(action) => assert_eq!(effect, Effect::Show(action)),
            None => {
                assert_eq!(effect, Effect::Rest);
                assert_eq!(session.step(Input::Use, NOW), Effect::Show(Action::Bearer));
            }
        }
        assert_eq!(session.step(goods(), NOW), Effect::Deliver, "it was open after all");
    }
    // A process that ended while the open was on its way does the same.
    let mut session = open();
    session.step(Input::Use, NOW);
    let stored = serde_json::to_vec(&session).unwrap();
    let mut session = serde_json::from_slice::<Session>(&stored).unwrap().resumed();
    assert_eq!(session.step(Input::Use, NOW), Effect::Show(Action::Bearer));
    // The open never arrived: it is shown once more, and then the deposit counts as lost.
    assert_eq!(session.step(refused(None), NOW), Effect::Show(Action::Open));
    assert_eq!(session.step(refused(None), NOW), Effect::Refuse);
    assert!(session.is_lost());
}

/// Facts 4, hazard 11: a session that the seller closed is dropped, without a loop.
#[test]
fn hazard_11_a_stale_session_is_dropped_after_one_more_try() {
    let mut session = running();
    assert_eq!(session.step(Input::Use, NOW), Effect::Show(Action::Bearer));
    assert_eq!(session.step(refused(None), NOW), Effect::Ask, "a refusal without a challenge: one is asked for");
    let next = fresh(&nth(8), "next", LATER);
    assert_eq!(session.step(refused(Some(next)), NOW), Effect::Show(Action::Bearer));
    assert_eq!(session.step(refused(None), NOW), Effect::Refuse);
    assert!(!session.is_usable() && !session.is_over(), "what is left is asked back");
    assert_eq!(session.step(Input::Use, NOW), Effect::Refuse);
    assert_eq!(session.step(Input::End, NOW), Effect::Show(Action::Close));
    let mut session = running();
    session.step(Input::Use, NOW);
    let next = fresh(&nth(8), "next", LATER);
    assert_eq!(session.step(refused(Some(next)), NOW), Effect::Show(Action::Bearer), "it came along");
    assert_eq!(session.step(refused(None), NOW), Effect::Refuse);
    let mut session = running();
    assert!(!session.is_idle(NOW + 299) && session.is_idle(NOW + 300));
    session.step(Input::Use, NOW);
    assert_eq!(session.step(refused(None), NOW), Effect::Ask);
    assert_eq!(session.step(refused(None), NOW), Effect::Refuse, "no challenge at all");
    // A failure of the seller's says nothing about the session.
    let mut session = running();
    session.step(Input::Use, NOW);
    assert_eq!(session.step(failed(), NOW), Effect::Rest);
    assert_eq!(session.step(Input::Use, NOW), Effect::Show(Action::Bearer));
}

/// Facts 4, hazard 3: the preimage is shown for challenges of its own realm and payee only.
#[test]
fn hazard_3_a_challenge_of_another_realm_or_payee_is_never_kept() {
    let realm = line("lightning", "session", &request(&nth(8))).replace(HOST, "evil.example");
    let header = line_with("lightning", "session", &request(&nth(8)), r#", header="Cookie""#);
    let charge = line("lightning", "charge", &request(&nth(8)));
    // Signed by another node.
    let vector = include_str!("../data/402-captures/both-credentials.json");
    let other: Value = serde_json::from_str(vector).unwrap();
    let invoice = other["wwwAuthenticate"].as_str().unwrap().split("invoice=\"").nth(1).unwrap();
    let mut foreign = request(&nth(8));
    foreign["depositInvoice"] = json!(invoice.split('"').next().unwrap());
    let payee = line("lightning", "session", &foreign);
    for line in [realm, header, charge, payee] {
        let mut session = running();
        session.step(Input::Use, NOW);
        let strange = challenge(&line.replace("kM9xPqWvT2nJrHsY4aDfEb", "strange"));
        assert_eq!(session.step(refused(Some(strange)), NOW), Effect::Ask);
        let shown = session.credential(Action::Bearer).unwrap();
        assert_ne!(inside(&shown)["challenge"]["id"], "strange", "{line}");
    }
}

fn need(session: &str) -> Input {
    Input::Streamed(Event::NeedTopUp(Balance { session: session.into(), spent_sat: 40, required_sat: 2 }))
}

#[test]
fn a_stream_that_pauses_is_topped_up_once_and_goes_on() {
    let mut session = running();
    assert_eq!(session.step(Input::Use, NOW), Effect::Show(Action::Bearer));
    assert_eq!(session.step(need(&deposit().hash_hex()), NOW), Effect::Ask);
    assert_eq!(session.step(need(&deposit().hash_hex()), NOW), Effect::Rest, "one at a time");
    let more = nth(8);
    let effect = session.step(refused(Some(fresh(&more, "more", LATER))), NOW);
    let Effect::Pay { terms } = effect else { panic!("{effect:?}") };
    assert_eq!((terms.invoice.as_str(), terms.deposit_sat), (more.text().as_str(), 40));
    assert_eq!(session.step(need(&deposit().hash_hex()), NOW), Effect::Rest);
    assert_eq!(session.is_paying().map(|t| t.payment_hash.clone()), Some(more.hash_hex()));
    // It is bought like an answer, and its proof is shown for this session and nothing else.
    let offer = top_up(&session.id, &terms);
    let bursar::protocol::Way::Pay(pin) = &offer.way else { panic!("no terms") };
    let proof = |hex: String| bursar::protocol::Proof::Preimage { hex: Secret::new(hex) };
    assert!(pin.credential(&proof("09".repeat(32))).is_none(), "not its preimage");
    let shown = inside(&pin.credential(&proof("08".repeat(32))).unwrap());
    assert_eq!(
        shown["payload"],
        json!({"action": "topUp", "sessionId": deposit().hash_hex(), "topUpPreimage": "08".repeat(32)})
    );
    assert_eq!(shown["challenge"]["id"], "more");
    assert_eq!(session.step(Input::Paid, NOW), Effect::Rest);
    assert_eq!(session.deposited_sat, 80);
    assert_eq!(session.step(Input::Served, NOW), Effect::Deliver, "the stream goes on, and is the answer");
    assert_eq!(session.step(Input::Use, NOW), Effect::Show(Action::Bearer));
    // The first call may be a stream as well: a seller that streams has opened the session.
    let mut session = open();
    assert_eq!(session.step(Input::Use, NOW), Effect::Show(Action::Open));
    assert_eq!(session.step(need(&deposit().hash_hex()), NOW), Effect::Ask);
    // A top-up that nobody pays, or that is asked for by a stranger's stream.
    let mut session = running();
    assert_eq!(session.step(need("another"), NOW), Effect::Rest);
    session.step(need(&deposit().hash_hex().to_uppercase()), NOW);
    session.step(refused(Some(fresh(&more, "more", LATER))), NOW);
    assert_eq!(session.step(Input::NotPaid, NOW), Effect::Rest);
    assert_eq!(session.deposited_sat, 40);
}

#[test]
fn what_a_stream_says_that_it_cost_is_shown_and_never_more_than_was_paid_in() {
    let mut session = running();
    assert_eq!(session.spent_sat, 2);
    session.step(Input::Use, NOW);
    session.step(Input::Streamed(Event::Receipt { spent_sat: 20 }), NOW);
    assert_eq!(session.step(goods(), NOW), Effect::Deliver);
    assert_eq!(session.spent_sat, 22, "a stream is one call, whatever it cost");
    session.step(Input::Use, NOW);
    session.step(Input::Streamed(Event::Receipt { spent_sat: 1_000_000 }), NOW);
    assert_eq!(session.spent_sat, 40);
}

/// A close that nobody heard is shown again later: what is left would stay with the seller.
#[test]
fn a_close_that_was_not_answered_is_shown_again_and_one_that_was_never_opened_is_opened_first() {
    let mut session = running();
    assert_eq!(session.step(Input::End, NOW), Effect::Show(Action::Close));
    for after in [Input::Unanswered, failed()] {
        assert_eq!(session.step(after, NOW), Effect::Rest);
        assert!(!session.is_over() && !session.is_usable());
        let stored = serde_json::to_vec(&session).unwrap();
        session = serde_json::from_slice::<Session>(&stored).unwrap().resumed();
        assert_eq!(session.step(Input::End, NOW), Effect::Show(Action::Close));
    }
    assert_eq!(session.step(refused(None), NOW), Effect::Rest);
    assert!(session.is_over(), "a seller that answers has heard it");
    // Without a challenge that lives it cannot be closed now, and may be later.
    let late = NOW + 600;
    let mut session = running();
    assert_eq!(session.step(Input::End, late), Effect::Ask);
    assert_eq!(session.step(Input::Unanswered, late), Effect::Rest);
    assert!(!session.is_over());
    assert_eq!(session.step(Input::End, late), Effect::Ask);
    let next = fresh(&nth(8), "next", "2026-11-18T12:00:00Z");
    assert_eq!(session.step(refused(Some(next)), late), Effect::Show(Action::Close));
    let mut session = open();
    assert_eq!(session.step(Input::End, NOW), Effect::Show(Action::Open));
    assert_eq!(session.step(goods(), NOW), Effect::Deliver);
    assert_eq!(session.step(Input::End, NOW), Effect::Show(Action::Close));
}

#[test]
fn a_top_up_is_paid_to_the_same_seller_and_never_for_an_invoice_it_has_seen() {
    for bad in [
        fresh(&deposit(), "same", LATER),
        fresh(&Mint { preimage: back().preimage, ..deposit() }, "ours", LATER),
        fresh(&nth(8), "late", "2026-11-18T11:06:42Z"),
        challenge(&line("lightning", "session", &request(&nth(8))).replace(HOST, "evil.example")),
        challenge(&line("lightning", "charge", &request(&nth(8)))),
        challenge(&line("lightning", "session", &json!({"amount": "2", "currency": "sat"}))),
    ] {
        let mut session = running();
        session.step(need(&deposit().hash_hex()), NOW);
        assert_eq!(session.step(refused(Some(bad)), NOW), Effect::Rest);
        assert_eq!(session.deposited_sat, 40);
    }
}

#[test]
fn the_events_of_a_stream_are_found_in_pieces_of_any_size() {
    let hash = deposit().hash_hex();
    let text = format!(
        "data: {{\"chunk\":1}}\n\n: comment\nevent: payment-need-topup\ndata: {{\"sessionId\":\"{hash}\",\ndata: \"balanceSpent\":40,\"balanceRequired\":\"2\"}}\r\n\r\nevent: message\ndata: {{\"sessionId\":\"x\",\"balanceSpent\":1,\"balanceRequired\":1}}\n\nevent:session-timeout\rdata:{{\"sessionId\":\"x\",\"balanceSpent\":1,\"balanceRequired\":1}}\r\revent: payment-receipt\ndata: {{\"spent\":202,\"units\":101}}\n\ndata: [DONE]\n\n"
    );
    let expected = vec![
        Event::NeedTopUp(Balance { session: hash, spent_sat: 40, required_sat: 2 }),
        Event::Timeout(Balance { session: "x".into(), spent_sat: 1, required_sat: 1 }),
        Event::Receipt { spent_sat: 202 },
    ];
    for size in [1, 2, 3, 7, 64, 4096] {
        let mut events = Events::default();
        let found: Vec<_> = text.as_bytes().chunks(size).flat_map(|piece| events.feed(piece)).collect();
        assert_eq!(found, expected, "{size}");
    }
    for broken in [
        "event: payment-need-topup\ndata: {\n\n",
        "event: payment-need-topup\ndata: {\"sessionId\":7}\n\n",
        "event: payment-need-topup\n\n",
        "event: payment-receipt\ndata: {\"spent\":-1}\n\n",
        "event: payment-need-topup",
    ] {
        assert_eq!(Events::default().feed(broken.as_bytes()), []);
    }
    // Content of any length passes, and an event behind it is still found.
    let mut events = Events::default();
    events.feed("data: ".as_bytes());
    (0..40).for_each(|_| assert_eq!(events.feed(&[b'x'; 8192]), []));
    assert_eq!(events.feed(b"\n\nevent: payment-receipt\ndata: {\"spent\":1}\n\n").len(), 1);
}

#[test]
fn nothing_that_is_printed_shows_the_preimage() {
    let session = running();
    let shown = session.credential(Action::Bearer).unwrap();
    assert!(!format!("{session:?} {shown:?}").contains(PREIMAGE));
    assert_eq!(shown.parts[0].expose(), PREIMAGE);
    let terms = Terms::read(&fresh(&nth(8), "more", LATER)).unwrap();
    let offer = top_up(&session.id, &terms);
    let bursar::protocol::Way::Pay(pin) = &offer.way else { panic!("no terms") };
    let proof = bursar::protocol::Proof::Preimage { hex: Secret::new("08".repeat(32)) };
    let shown = pin.credential(&proof).unwrap();
    assert!(!format!("{pin:?} {shown:?}").contains(&"08".repeat(32)));
    assert_eq!(shown.parts[0].expose(), "08".repeat(32));
}

/// Everything that can happen to a session, in any order.
fn inputs() -> impl Strategy<Value = Input> {
    let challenge = || {
        prop_oneof![
            Just(None),
            (10u8..20).prop_map(|n| Some(fresh(&nth(n), &format!("c{n}"), LATER))),
            Just(Some(fresh(&nth(9), "late", "2026-11-18T11:06:00Z"))),
            Just(Some(fresh(&deposit(), "same", LATER))),
            Just(Some(self::challenge(
                &line("lightning", "session", &request(&nth(21))).replace(HOST, "evil.example")
            ))),
        ]
    };
    prop_oneof![
        4 => Just(Input::Use),
        3 => Just(goods()),
        3 => challenge().prop_map(refused),
        1 => Just(failed()),
        1 => Just(Input::Unanswered),
        2 => prop_oneof![Just(deposit().hash_hex()), Just("another".to_owned())].prop_map(|id| need(&id)),
        2 => Just(Input::Paid),
        1 => Just(Input::Served),
        1 => Just(Input::NotPaid),
        1 => Just(Input::End),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// Whatever happens, in whatever order, written down and read back anywhere: one payment at a time and only where a
    /// stream paused, nothing shown to another realm, nothing shown after the end, no loop, and every
    /// satoshi paid in is counted.
    #[test]
    fn no_order_of_events_pays_twice_or_shows_the_preimage_elsewhere(
        steps in prop::collection::vec((inputs(), 0u64..900, any::<bool>()), 1..60)
    ) {
        let mut session = open();
        let (mut paid, mut paying) = (40, None::<u64>);
        let (mut paused, mut over, mut in_a_row) = (false, false, 0);
        for (input, after, restart) in steps {
            if restart {
                session = serde_json::from_slice::<Session>(&serde_json::to_vec(&session).unwrap()).unwrap().resumed();
            }
            paused |= matches!(&input, Input::Streamed(Event::NeedTopUp(b)) if b.session == session.id);
            let was_paid = matches!(input, Input::Paid);
            let answered = matches!(input, Input::Answered(_));
            let before = session.deposited_sat;
            let effect = session.step(input.clone(), NOW + after);
            if session.deposited_sat > before {
                prop_assert!(was_paid, "only a payment adds to what was paid in");
                paid += paying.take().expect("a payment was under way");
            }
            prop_assert_eq!(session.deposited_sat, paid);
            prop_assert!(session.spent_sat <= session.deposited_sat);
            match &effect {
                Effect::Pay { terms } => {
                    prop_assert!(paused && paying.is_none(), "only a stream that pauses leads to a payment");
                    prop_assert_ne!(&terms.invoice, &deposit().text());
                    paying = Some(terms.deposit_sat);
                    paused = false;
                }
                Effect::Show(action) => {
                    prop_assert!(!over, "nothing is shown after the end");
                    let shown = inside(&session.credential(*action).unwrap());
                    prop_assert_eq!(&shown["challenge"]["realm"], HOST);
                    prop_assert_eq!(&shown["challenge"]["intent"], "session");
                }
                _ => {}
            }
            if matches!(input, Input::NotPaid) {
                paying = None;
            }
            // Without a new call, answers alone end after a few effects.
            in_a_row = if answered && !matches!(effect, Effect::Rest | Effect::Deliver | Effect::Refuse) { in_a_row + 1 } else { 0 };
            prop_assert!(in_a_row <= 5, "a loop");
            over |= session.is_over();
            prop_assert_eq!(over, session.is_over(), "what is over stays over");
        }
    }
}
