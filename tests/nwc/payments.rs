//! One payment: its bytes, its turn, its fee, its end.

use super::*;

#[tokio::test]
async fn a_payment_is_subscribed_published_proved_and_closed() {
    let service = Service::new();
    let peer = Peer::honest(&service, |asked| {
        assert_eq!((asked.method.as_str(), &asked.params), ("pay_invoice", &json!({"invoice": INVOICE})));
        assert!(is_nip44(&asked.event));
        paid()
    })
    .await;
    let client = service.client(&[&peer.url], |_| {});
    assert_eq!(peer.count("connect"), 0, "nothing connects before the first call");
    let said = buy(&client).await;
    let PaySaid::Settled { preimage, fee } = said else { panic!("{said:?}") };
    assert_eq!((preimage.expose(), fee), (PREIMAGE, Amount::msat(1000)));
    // Hazard 18: the subscription of the description and the one of the payment are both closed.
    let lines = peer.until(|l| l.iter().filter(|(_, v, _)| v == "CLOSE").count() == 2).await;
    let verbs: Vec<&str> = lines.iter().map(|(_, verb, _)| verb.as_str()).collect();
    let expected = ["connect", "REQ", "REQ", "CLOSE", "REQ", "EVENT", "CLOSE"];
    assert_eq!(verbs, expected, "one warm connection, one subscription for all replies, REQ before EVENT");
    let subs: Vec<&str> = [2, 3, 4, 6].map(|n| lines[n].2.as_str()).to_vec();
    assert_eq!((subs[0], subs[2]), (subs[1], subs[3]), "each CLOSE names its own REQ");
}

/// Hazard 18: a call that is given up closes its subscription as well.
#[tokio::test]
async fn a_cancelled_payment_is_unsubscribed() {
    let service = Service::new();
    let peer = Peer::scripted(&service, |_, _| vec![]).await;
    let client = service.client(&[&peer.url], |_| {});
    tokio::select! {
        _ = buy(&client) => panic!("nobody answers"),
        _ = peer.until(|l| l.iter().any(|(_, v, _)| v == "EVENT")) => {}
    }
    peer.until(|l| l.iter().filter(|(_, v, _)| v == "CLOSE").count() == 2).await;
    drop(client);
    peer.until(|l| l.iter().any(|(_, v, _)| v == "gone")).await;
}

/// Hazard 2: after `resend_until` the bytes are never sent, and bytes of another connection never at all.
#[tokio::test]
async fn stale_and_foreign_bytes_are_not_sent() {
    let service = Service::new();
    let peer = Peer::honest(&service, |_| paid()).await;
    let clock = Clock::manual(Clock::system().now_ms());
    let client = service.client(&[&peer.url], |o| o.clock = clock.clone());
    let prepared = client.prepare(&bill()).await.unwrap();
    let event = Event::from_json(&prepared.wire).unwrap();
    let (now, expires) = (clock.now_s(), event.tags.expiration().unwrap().as_secs());
    assert_eq!((prepared.resend_until, expires, event.created_at.as_secs()), (now + 50, now + 60, now));

    let stranger = Service { wallet: service.wallet.clone(), client: Keys::generate() };
    let their_peer = Peer::honest(&stranger, |_| paid()).await;
    let foreign = stranger.client(&[&their_peer.url], |_| {}).prepare(&bill()).await.unwrap().wire;
    let mut changed = event.clone();
    changed.content.push('A');
    for wire in [foreign, changed.try_as_json().unwrap().into_bytes(), b"{}".to_vec(), vec![0xff]] {
        assert!(not_sent(client.pay_intent(&intent(&wire, now + 50), true).await).contains("not sent"));
    }
    clock.advance_ms(50_000);
    let late = intent(&prepared.wire, prepared.resend_until);
    assert!(not_sent(client.pay_intent(&late, true).await).contains("only looked up"));
    assert_eq!(peer.count("EVENT"), 0);
}

/// Hazard 14: some wallets drop the second request of a second.
#[tokio::test]
async fn requests_of_one_second_have_stamps_of_their_own() {
    let service = Service::new();
    let peer = Peer::honest(&service, |_| paid()).await;
    let clock = Clock::manual(Clock::system().now_ms());
    let client = service.client(&[&peer.url], |o| o.clock = clock.clone());
    let mut stamps = Vec::new();
    for _ in 0..20 {
        let wire = client.prepare(&bill()).await.unwrap().wire;
        stamps.push(Event::from_json(&wire).unwrap().created_at.as_secs() - clock.now_s());
    }
    assert_eq!(stamps[..11], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    assert!(stamps.iter().all(|ahead| *ahead <= 10), "no relay refuses them as from the future");
}

/// Hazard 14: payments one after the other, reads beside them.
#[tokio::test]
async fn payments_wait_for_each_other_and_reads_do_not() {
    let service = Service::new();
    let done = Arc::new(Notify::new());
    let go = done.clone();
    let peer = Peer::scripted(&service, move |s, asked| match asked.method.as_str() {
        "pay_invoice" => vec![Act::When(go.clone(), s.reply(asked, &paid()))],
        method => vec![Act::Send(s.reply(asked, &json!({"result_type": method, "result": {"balance": 7}})))],
    })
    .await;
    let client = service.client(&[&peer.url], |_| {});
    let payments = |lines: &[Line]| lines.iter().filter(|(_, v, _)| v == "EVENT").count();
    let (one, two, ()) = tokio::join!(buy(&client), buy(&client), async {
        peer.until(|l| payments(l) == 1).await;
        // Two reads make the round trip while the first payment is open and the second one waits.
        assert_eq!(client.info().await.unwrap().balance, Amount::msat(7));
        assert_eq!(peer.count("EVENT"), 3);
        done.notify_one();
        peer.until(|l| payments(l) == 4).await;
        done.notify_one();
    });
    assert!(settled(&one) && settled(&two));
}

/// Hazard 17: the fee that is held.
#[tokio::test]
async fn the_fee_cap_is_one_percent_and_at_least_ten_sat() {
    let client = Service::new().client(&["wss://relay.example.com"], |_| {});
    let cap = |price: &str| client.fee_cap(price.parse().unwrap()).to_string();
    assert_eq!(cap("1 sat"), "10 sat");
    assert_eq!(cap("1000 sat"), "10 sat");
    assert_eq!(cap("1000.001 sat"), "10.001 sat");
    assert_eq!(cap("5000 sat"), "50 sat");
    assert_eq!(cap("5 usd"), "0 usd");
}

/// The fee limit goes into the signed bytes where the wallet takes one, and only there.
#[tokio::test]
async fn the_fee_limit_is_in_the_signed_bytes_where_the_wallet_takes_one() {
    let uri = format!("bitcoin:?lightning={INVOICE}");
    for (methods, extensions, method, params) in [
        ("pay_invoice", "", "pay_invoice", json!({"invoice": INVOICE})),
        ("pay_invoice", "02", "pay_invoice", json!({"invoice": INVOICE})),
        ("pay_invoice", "02 321", "pay_invoice", json!({"invoice": INVOICE, "max_fee": 10_000})),
        ("pay_invoice pay", "", "pay", json!({"payment": uri, "max_fee": 10_000})),
        ("pay", "321", "pay", json!({"payment": uri, "max_fee": 10_000})),
        ("", "", "pay_invoice", json!({"invoice": INVOICE})),
    ] {
        let service = Service::new();
        let tags = [("encryption", "nip44_v2"), ("extensions", extensions)];
        let manners = Manners { info: vec![service.info_with(&tags, methods)], eose: true, ok: TAKEN };
        let peer = Peer::start(&service, manners, move |s, asked| {
            assert_eq!((asked.method.as_str(), &asked.params), (method, &params));
            let mut body = paid();
            body["result_type"] = method.into();
            vec![Act::Send(s.reply(asked, &body))]
        })
        .await;
        assert!(settled(&buy(&service.client(&[&peer.url], |_| {})).await), "{methods} {extensions}");
    }
}

/// A `pay` that is on its way, or that failed, is not known to be anything until it is looked up; one that this
/// connection may not use is not used again.
#[tokio::test]
async fn what_pay_says_without_proof_is_unknown_and_a_pay_that_is_barred_is_not_used_again() {
    for (state, words) in [("pending", "on its way"), ("failed", "alone proves nothing"), ("settled", "no preimage")] {
        let body = json!({"result_type": "pay", "result": {"state": state, "transaction_id": "t"}});
        let service = Service::new();
        let manners = Manners { info: vec![service.info(Some("nip44_v2"), "pay")], eose: true, ok: TAKEN };
        let peer = Peer::start(&service, manners, move |s, asked| vec![Act::Send(s.reply(asked, &body))]).await;
        let said = why(buy(&service.client(&[&peer.url], |_| {})).await);
        assert!(said.contains(words), "{said}");
    }
    let service = Service::new();
    let manners = Manners { info: vec![service.info(Some("nip44_v2"), "pay pay_invoice")], eose: true, ok: TAKEN };
    let peer = Peer::start(&service, manners, |s, asked| match asked.method.as_str() {
        "pay" => vec![Act::Send(s.reply(asked, &error("pay", "NOT_IMPLEMENTED")))],
        _ => vec![Act::Send(s.reply(asked, &paid()))],
    })
    .await;
    let client = service.client(&[&peer.url], |_| {});
    assert_eq!(refused(buy(&client).await), ("NOT_IMPLEMENTED".into(), true));
    assert!(settled(&buy(&client).await));
}

/// Payments wait for their turn, and a silent wallet keeps it: whichever is called "not sent" never arrives anywhere, and
/// whichever arrived is not called that, in whatever order it comes.
#[tokio::test]
async fn not_sent_is_said_of_exactly_those_payments_that_never_arrive() {
    let service = Service::new();
    let peer = Peer::scripted(&service, |_, _| vec![]).await;
    let client = service.client(&[&peer.url], short);
    let mut wires = Vec::new();
    for _ in 0..5 {
        wires.push(client.prepare(&bill()).await.unwrap());
    }
    let intents: Vec<_> = wires.iter().map(|p| intent(&p.wire, p.resend_until)).collect();
    let said = futures_util::future::join_all(intents.iter().map(|i| client.pay_intent(i, true))).await;
    drop(client);
    peer.until(|l| l.iter().any(|(_, v, _)| v == "gone")).await;
    let arrived = peer.published.lock().unwrap().clone();
    let mut counts = [0, 0];
    for (prepared, said) in wires.iter().zip(&said) {
        let id = Event::from_json(&prepared.wire).unwrap().id.to_hex();
        let came = arrived.iter().any(|event| event.contains(&id));
        counts[usize::from(came)] += 1;
        match said {
            PaySaid::NotSent { .. } => assert!(!came, "{id} was called not sent, and it arrived"),
            PaySaid::Unknown { .. } => assert!(came, "{id} never arrived, and nobody says so"),
            other => panic!("{other:?}"),
        }
    }
    assert!(counts[0] >= 1 && counts[1] >= 1, "{counts:?}");
}
