//! The play shop for MPP, bought from with nothing but the protocol: the session machine drives real requests, and every
//! deposit and every refund is counted by the play network.

use bursar::{
    clock::Clock,
    protocol::{
        Credential, Seen, Way,
        mpp::{
            Pin,
            session::{Action, Effect, Event, Events, Input, ReturnInvoice, Said, Session, Terms, top_up},
        },
        read,
    },
    sandbox::{
        PlayNode,
        mpp_shop::{MppShop, MppShopOptions, Opens, Refunds},
    },
    secret::Secret,
};
use futures_util::StreamExt as _;

struct Lab {
    node: PlayNode,
    clock: Clock,
    shop: MppShop,
    http: reqwest::Client,
    requests: usize,
}

struct Answer {
    status: u16,
    headers: http::HeaderMap,
    body: Vec<u8>,
    challenges: Vec<Pin>,
}

impl Lab {
    async fn new(options: MppShopOptions) -> Lab {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let clock = Clock::system();
        let node = PlayNode::new(clock.clone(), 10_000_000);
        let shop = MppShop::start(node.clone(), clock.clone(), options).await.unwrap();
        Lab { node, clock, shop, http: reqwest::Client::new(), requests: 0 }
    }

    fn now_s(&self) -> u64 {
        self.clock.now_s()
    }

    async fn send(&mut self, path: &str, credential: Option<&Credential>) -> reqwest::Response {
        self.requests += 1;
        let mut request = self.http.get(format!("{}{path}", self.shop.url()));
        if let Some(credential) = credential {
            request = request.header(credential.name.clone(), credential.value.clone());
        }
        request.send().await.unwrap()
    }

    async fn get(&mut self, path: &str, credential: Option<&Credential>) -> Answer {
        let response = self.send(path, credential).await;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = response.bytes().await.unwrap().to_vec();
        let url = format!("{}{path}", self.shop.url()).parse().unwrap();
        let found = read(Seen { url: &url, status, headers: &headers, body: &body });
        let pins = found.offers.into_iter().filter_map(|offer| match offer.way {
            Way::Pay(pin) => match *pin {
                bursar::protocol::Pin::Mpp(pin) => Some(pin),
                _ => None,
            },
            _ => None,
        });
        Answer { status, headers, body, challenges: pins.collect() }
    }

    async fn terms(&mut self, path: &str) -> Terms {
        let answer = self.get(path, None).await;
        answer.challenges.iter().find_map(Pin::session).expect("a session is offered").clone()
    }

    fn pay(&self, hash: &str) -> Secret {
        self.node.pay(hash).expect("it is payable").preimage
    }

    /// Makes the return invoice, pays the deposit, and holds the session.
    async fn deposit(&mut self, path: &str) -> Session {
        let terms = self.terms(path).await;
        let back = self.node.own_invoice(0, "refund", 7200).unwrap();
        let refund = ReturnInvoice::check(&back.bolt11, &terms, self.now_s()).unwrap();
        let preimage = self.pay(&terms.payment_hash);
        Session::opened(&self.shop.url(), &terms, refund, preimage, self.now_s()).unwrap()
    }

    fn said(answer: &Answer) -> Said {
        let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        Said {
            goods: answer.status == 200,
            failed: answer.status >= 500,
            challenge: answer.challenges.iter().find_map(Pin::session).map(|terms| Box::new(terms.challenge.clone())),
            refund_sat: body["refundSats"].as_u64(),
        }
    }

    /// One input, and all that follows from it by itself.
    async fn drive(&mut self, session: &mut Session, path: &str, input: Input) -> Effect {
        let mut effect = session.step(input, self.now_s());
        loop {
            let next = match &effect {
                Effect::Show(action) => {
                    let credential = session.credential(*action).unwrap();
                    Input::Answered(Lab::said(&self.get(path, Some(&credential)).await))
                }
                Effect::Ask => Input::Answered(Lab::said(&self.get(path, None).await)),
                Effect::Pay { terms } => {
                    let offer = top_up(&session.id, terms);
                    let Way::Pay(pin) = &offer.way else { panic!("no terms") };
                    let proof = bursar::protocol::Proof::Preimage { hex: self.pay(&terms.payment_hash) };
                    let answer = self.get(path, pin.credential(&proof).as_ref()).await;
                    assert_eq!(answer.status, 200);
                    Input::Paid
                }
                Effect::Deliver | Effect::Refuse | Effect::Rest => return effect,
            };
            effect = session.step(next, self.now_s());
        }
    }
}

#[tokio::test]
async fn a_charge_is_paid_once_and_opens_once() {
    for own_header in [false, true] {
        let mut lab = Lab::new(MppShopOptions { own_header, ..MppShopOptions::default() }).await;
        let asked = lab.get("/rates", None).await;
        assert_eq!((asked.status, asked.challenges.len()), (402, 1));
        let pin = bursar::protocol::Pin::Mpp(asked.challenges[0].clone());
        let invoice = bursar::protocol::bolt11::Invoice::read(pin.invoice().unwrap()).unwrap();
        let guess = lab.node.preimage(&invoice.payment_hash).unwrap();
        let proof = bursar::protocol::Proof::Preimage { hex: guess };
        let credential = pin.credential(&proof).unwrap();
        assert_eq!(credential.name == "payment-authorization", own_header);
        assert_eq!(
            lab.get("/rates", Some(&credential)).await.status,
            402,
            "a preimage without a payment opens nothing"
        );
        lab.pay(&invoice.payment_hash);
        let answer = lab.get("/rates", Some(&credential)).await;
        assert_eq!(answer.status, 200);
        let url = lab.shop.url().parse().unwrap();
        let seen = Seen { url: &url, status: 200, headers: &answer.headers, body: &answer.body };
        assert!(pin.receipt(seen).is_some_and(|receipt| receipt.settled));
        assert_eq!(lab.get("/rates", Some(&credential)).await.status, 402, "used up");
        assert_eq!((lab.node.spent_msat(), lab.shop.served("/rates")), (21_000, 1));
    }
}

/// One question, one deposit, and then each call is one round trip that makes no invoice: what a session is for.
#[tokio::test]
async fn a_session_of_a_hundred_calls_costs_one_deposit_and_gives_the_rest_back() {
    let mut lab = Lab::new(MppShopOptions { deposit_sat: 250, ..MppShopOptions::default() }).await;
    let before = lab.node.balance_msat();
    let mut session = lab.deposit("/chat").await;
    for _ in 0..100 {
        assert_eq!(lab.drive(&mut session, "/chat", Input::Use).await, Effect::Deliver);
    }
    assert_eq!((lab.requests, lab.shop.invoices(), lab.node.moved().len()), (101, 1, 1));
    assert_eq!(lab.shop.session(&session.id), Some((50, true)));
    assert_eq!(session.spent_sat, 200);
    assert_eq!(lab.drive(&mut session, "/chat", Input::End).await, Effect::Rest);
    assert!(session.is_over());
    assert!(lab.node.is_paid(&session.refund.payment_hash), "our own node saw it come back");
    assert_eq!((session.claimed_refund_sat, before - lab.node.balance_msat()), (Some(50), 200_000));
    assert_eq!(lab.drive(&mut session, "/chat", Input::Use).await, Effect::Refuse);
}

#[tokio::test]
async fn a_stream_of_a_thousand_chunks_is_topped_up_on_its_way_and_gives_the_rest_back() {
    let mut lab = Lab::new(MppShopOptions { deposit_sat: 300, ..MppShopOptions::default() }).await;
    let before = lab.node.balance_msat();
    let mut session = lab.deposit("/stream").await;
    assert_eq!(session.step(Input::Use, lab.now_s()), Effect::Show(Action::Open));
    let credential = session.credential(Action::Open).unwrap();
    let response = lab.send("/stream?chunks=1000", Some(&credential)).await;
    assert_eq!(response.status(), 200);
    assert_eq!(session.step(Input::Answered(Said { goods: true, ..Said::default() }), lab.now_s()), Effect::Deliver);
    let (mut events, mut pieces) = (Events::default(), response.bytes_stream());
    let (mut chunks, mut spent) = (0, 0);
    while let Some(piece) = pieces.next().await {
        let piece = piece.unwrap();
        chunks += String::from_utf8_lossy(&piece).matches("\"chunk\":").count();
        for event in events.feed(&piece) {
            if let Event::Receipt { spent_sat } = &event {
                spent = *spent_sat;
            }
            // The stream stays open while a challenge is fetched, paid and shown beside it.
            assert_eq!(lab.drive(&mut session, "/stream", Input::Streamed(event)).await, Effect::Rest);
        }
    }
    assert_eq!((chunks, spent), (1000, 2000));
    assert_eq!((session.deposited_sat, lab.node.moved().len()), (2100, 7), "one deposit and six top-ups");
    lab.drive(&mut session, "/stream", Input::End).await;
    assert_eq!(before - lab.node.balance_msat(), 2_000_000, "exactly what was streamed");
}

#[tokio::test]
async fn a_stream_that_nobody_tops_up_ends_and_loses_nothing() {
    let options = MppShopOptions { patience_ms: 30, ..MppShopOptions::default() };
    let mut lab = Lab::new(options).await;
    let mut session = lab.deposit("/stream").await;
    session.step(Input::Use, lab.now_s());
    let response = lab.send("/stream?chunks=100", session.credential(Action::Open).as_ref()).await;
    session.step(Input::Answered(Said { goods: true, ..Said::default() }), lab.now_s());
    let mut events = Events::default();
    let found = events.feed(&response.bytes().await.unwrap());
    assert!(matches!(&found[..], [Event::NeedTopUp(_), Event::Timeout(balance)] if balance.spent_sat == 40));
    assert_eq!(lab.shop.session(&session.id), Some((0, true)));
}

/// The deposit is used up although the answer to the open never came: a bearer finds the session, and nothing is paid
/// again.
#[tokio::test]
async fn an_open_whose_answer_was_lost_is_found_again() {
    let mut lab = Lab::new(MppShopOptions::default()).await;
    let mut session = lab.deposit("/chat").await;
    assert_eq!(session.step(Input::Use, lab.now_s()), Effect::Show(Action::Open));
    let credential = session.credential(Action::Open).unwrap();
    assert_eq!(lab.get("/chat", Some(&credential)).await.status, 200);
    assert_eq!(lab.get("/chat", Some(&credential)).await.status, 402, "the same open again is refused");
    // The process ended here.
    let stored = serde_json::to_vec(&session).unwrap();
    let mut session = serde_json::from_slice::<Session>(&stored).unwrap().resumed();
    assert_eq!(lab.drive(&mut session, "/chat", Input::Use).await, Effect::Deliver);
    assert_eq!(lab.node.moved().len(), 1);
}

#[tokio::test]
async fn a_session_that_the_shop_closed_for_idleness_is_dropped_and_its_rest_came_back() {
    let mut lab = Lab::new(MppShopOptions { idle_timeout_s: 1, ..MppShopOptions::default() }).await;
    let mut session = lab.deposit("/chat").await;
    assert_eq!(lab.drive(&mut session, "/chat", Input::Use).await, Effect::Deliver);
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    assert!(session.is_idle(lab.now_s()));
    let before = lab.requests;
    assert_eq!(lab.drive(&mut session, "/chat", Input::Use).await, Effect::Refuse);
    assert!(lab.requests - before <= 3, "no loop");
    assert!(!session.is_usable());
    lab.drive(&mut session, "/chat", Input::End).await;
    assert!(session.is_over() && lab.node.is_paid(&session.refund.payment_hash));
    assert_eq!(lab.node.spent_msat(), 40_000);
}

/// A session that is used up without a stream: one more try with a fresh challenge, and then it is over.
#[tokio::test]
async fn a_balance_that_is_used_up_ends_the_session_without_a_payment() {
    let mut lab = Lab::new(MppShopOptions { deposit_sat: 4, ..MppShopOptions::default() }).await;
    let mut session = lab.deposit("/chat").await;
    for _ in 0..2 {
        assert_eq!(lab.drive(&mut session, "/chat", Input::Use).await, Effect::Deliver);
    }
    assert_eq!(lab.drive(&mut session, "/chat", Input::Use).await, Effect::Refuse);
    assert_eq!(lab.node.moved().len(), 1);
}

/// What the shop itself must be: as hard as the real ones.
#[tokio::test]
async fn the_shop_takes_no_foreign_challenge_and_no_deposit_twice() {
    let mut lab = Lab::new(MppShopOptions::default()).await;
    let mut other = Lab::new(MppShopOptions::default()).await;
    let session = lab.deposit("/chat").await;
    let open = session.credential(Action::Open).unwrap();
    assert_eq!(other.get("/chat", Some(&open)).await.status, 402, "another shop's challenge");
    assert_eq!(lab.get("/rates", Some(&open)).await.status, 402, "another intent's");
    assert_eq!(lab.get("/chat", Some(&open)).await.status, 200);
    let both = lab.get("/both", None).await;
    let kinds: Vec<_> = both.challenges.iter().map(|pin| pin.session().is_some()).collect();
    assert_eq!(kinds, [false, true]);
    assert_eq!(lab.shop.invoices(), 4, "each 402 makes its own");
    assert!(!open.parts.is_empty() && open.parts.iter().all(|secret| secret.expose().len() == 64));
    assert_eq!(lab.get("/free", None).await.status, 200);
    assert_eq!(lab.get("/nothing", None).await.status, 404);
}

/// Opens a session and uses it once; then closes it.
async fn once(options: MppShopOptions) -> (Lab, Session) {
    let mut lab = Lab::new(options).await;
    let mut session = lab.deposit("/chat").await;
    assert_eq!(lab.drive(&mut session, "/chat", Input::Use).await, Effect::Deliver);
    lab.drive(&mut session, "/chat", Input::End).await;
    assert!(session.is_over());
    (lab, session)
}

/// Whose word on a refund is believed must be able to be wrong, in both ways.
#[tokio::test]
async fn a_shop_can_say_of_a_refund_what_is_not_so() {
    let (lab, session) = once(MppShopOptions { refunds: Refunds::SaidAndNeverPaid, ..MppShopOptions::default() }).await;
    assert_eq!((session.claimed_refund_sat, lab.node.spent_msat()), (Some(38), 40_000));
    assert!(!lab.node.is_paid(&session.refund.payment_hash));

    let before = 10_000_000;
    let (lab, session) = once(MppShopOptions { refunds: Refunds::PaidAfterFailed, ..MppShopOptions::default() }).await;
    let mut tries = 0;
    while !lab.node.is_paid(&session.refund.payment_hash) {
        tries += 1;
        assert!(tries < 1000, "it comes a moment later");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    assert_eq!(before - lab.node.balance_msat(), 2000);
}

#[tokio::test]
async fn a_shop_can_refuse_to_open_once_or_for_ever() {
    for (opens, statuses) in [(Opens::TheSecondTime, [402, 200, 402]), (Opens::Never, [402, 402, 402])] {
        let mut lab = Lab::new(MppShopOptions { opens, ..MppShopOptions::default() }).await;
        let session = lab.deposit("/chat").await;
        let open = session.credential(Action::Open).unwrap();
        for status in statuses {
            assert_eq!(lab.get("/chat", Some(&open)).await.status, status, "{opens:?}");
        }
        assert_eq!(lab.node.spent_msat(), 40_000);
    }
}

#[tokio::test]
async fn a_shop_can_fail_at_the_first_top_up_and_count_it_when_it_is_shown_again() {
    let mut lab = Lab::new(MppShopOptions { first_top_up_fails: true, ..MppShopOptions::default() }).await;
    let mut session = lab.deposit("/chat").await;
    assert_eq!(lab.drive(&mut session, "/chat", Input::Use).await, Effect::Deliver);
    let fresh = lab.terms("/chat").await;
    let proof = bursar::protocol::mpp::encode(
        serde_json::json!({
            "challenge": fresh.challenge,
            "payload": { "action": "topUp", "sessionId": session.id, "topUpPreimage": lab.pay(&fresh.payment_hash).expose() },
        })
        .to_string()
        .as_bytes(),
    );
    for (status, left) in [(503, 38), (200, 78), (402, 78)] {
        let request = lab.http.get(format!("{}/chat", lab.shop.url()));
        let sent = request.header("authorization", format!("Payment {proof}")).send().await.unwrap();
        assert_eq!((sent.status().as_u16(), lab.shop.session(&session.id)), (status, Some((left, true))));
    }
}

#[tokio::test]
async fn a_shop_can_ask_for_payment_without_a_challenge_once_a_balance_is_used_up() {
    let options = MppShopOptions { deposit_sat: 2, silent_when_used_up: true, ..MppShopOptions::default() };
    let mut lab = Lab::new(options).await;
    let mut session = lab.deposit("/chat").await;
    assert_eq!(lab.drive(&mut session, "/chat", Input::Use).await, Effect::Deliver);
    let asked = lab.get("/chat", session.credential(Action::Bearer).as_ref()).await;
    assert_eq!((asked.status, asked.challenges.len(), lab.shop.served("/chat")), (402, 0, 1));
}

#[tokio::test]
async fn the_shop_chats_by_post_as_well() {
    let mut lab = Lab::new(MppShopOptions::default()).await;
    let session = lab.deposit("/chat").await;
    let open = session.credential(Action::Open).unwrap();
    let request = lab.http.post(format!("{}/chat", lab.shop.url())).body("hello").header(open.name, open.value);
    assert_eq!(request.send().await.unwrap().status(), 200);
    assert_eq!(lab.shop.session(&session.id), Some((38, true)));
}

/// The play Tempo is as strict as the real one: it takes a transaction once, while it lives, and only from who signed it.
#[tokio::test]
async fn the_play_tempo_takes_each_transaction_once_and_none_that_it_should_not() {
    use bitcoin::secp256k1::SecretKey;
    use bursar::{
        evm::tempo::{Ask, Charge, Fees, MODERATO, Transfer},
        sandbox::{
            PlayTempo,
            chain::tempo::{PATH_USD, TempoRevert},
        },
    };
    let clock = Clock::manual(1_795_000_000_000);
    let (tempo, now_s) = (PlayTempo::new(clock.clone()), clock.now_s());
    let key = SecretKey::from_slice(&[7; 32]).unwrap();
    let token = PATH_USD.parse().unwrap();
    let to = "0x742d35Cc6634c0532925a3b844bC9e7595F8fE00".parse().unwrap();
    let sign = |chain_id: u64, value: u64, until: u64| {
        let transfers = vec![Transfer { to, value, memo: Some([9; 32]) }];
        let charge = Charge { chain_id, token, transfers, fees: Fees::Token(token) };
        let signed = Ask::Charge(charge).sign(until, &key);
        (signed.from, data_encoding::HEXLOWER.decode(&signed.bytes.as_bytes()[2..]).unwrap())
    };
    let (from, sound) = sign(MODERATO, 10_000, now_s + 25);
    assert_eq!(tempo.carry(&sound), Err(TempoRevert::InsufficientBalance));
    tempo.mint(from, 1_000_000);
    assert_eq!(tempo.carry(&sign(MODERATO + 1, 10_000, now_s + 25).1), Err(TempoRevert::WrongChain));
    assert_eq!(tempo.carry(&sign(MODERATO, 10_000, now_s).1), Err(TempoRevert::Expired));
    assert_eq!(tempo.carry(&sign(MODERATO, 10_000, now_s + 31).1), Err(TempoRevert::TooFarAhead));
    assert_eq!(tempo.carry(&sound[1..]), Err(TempoRevert::Malformed));
    assert_eq!(tempo.carry(&[&sound[..], &[0]].concat()), Err(TempoRevert::Malformed));
    // Whoever changes a byte has changed who signed, and that account holds nothing; or it is no signature at all.
    for at in [sound.len() - 200, sound.len() - 40, sound.len() - 2] {
        let mut other = sound.clone();
        other[at] ^= 1;
        assert!(tempo.carry(&other).is_err(), "byte {at}");
    }
    assert_eq!((tempo.moved().len(), tempo.balance_of(&from)), (0, 1_000_000));
    let taken = tempo.carry(&sound).unwrap();
    assert_eq!((taken.from, tempo.balance_of(&to), tempo.moved()[0].memo), (from, 10_000, Some([9; 32])));
    assert_eq!(tempo.balance_of(&from), 1_000_000 - 10_000 - tempo.fees());
    assert_eq!(tempo.carry(&sound), Err(TempoRevert::Taken));
    assert_eq!(tempo.spent_by(&from), 10_000);
}
