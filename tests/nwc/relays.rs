//! What relays do: refuse, hang up, go deaf, flood, die; and what goes over the wire to them.

use super::*;

/// Rows "no EOSE" and "no OK ever"; hazard 9.
#[tokio::test]
async fn a_relay_that_says_neither_ok_nor_eose_delays_nothing() {
    let service = Service::new();
    let manners = Manners { info: vec![service.info(Some("nip44_v2"), ALL)], eose: false, ok: None };
    let peer = Peer::start(&service, manners, |s, asked| vec![Act::Send(s.reply(asked, &paid()))]).await;
    let began = std::time::Instant::now();
    assert!(settled(&buy(&service.client(&[&peer.url], |_| {})).await));
    assert!(began.elapsed() < Duration::from_secs(10));
}

/// Row "OK false"; hazard 9.
#[tokio::test]
async fn when_every_relay_refuses_the_event_it_is_said_at_once() {
    let service = Service::new();
    let manners = |ok| Manners { info: vec![service.info(Some("nip44_v2"), ALL)], eose: true, ok: Some(ok) };
    let no = (false, "blocked: not\u{202e} on the list");
    let refusing = Peer::start(&service, manners(no), |_, _| vec![]).await;
    let client = service.client(&[&refusing.url], |_| {});
    let began = std::time::Instant::now();
    let said = why(buy(&client).await);
    assert!(said.contains("refused to pass the payment on: blocked: not on the list"), "{said}");
    assert!(matches!(client.info().await, Err(WalletError::Unreachable(why)) if why.contains("blocked:")));
    assert!(began.elapsed() < Duration::from_secs(10));

    // One refusal of two is no refusal, and a relay that has the event already has not refused it.
    let honest = Peer::honest(&service, |_| paid()).await;
    assert!(settled(&buy(&service.client(&[&refusing.url, &honest.url], |_| {})).await));
    let duplicate = Peer::start(&service, manners((false, "duplicate: have it")), |_, _| vec![]).await;
    let said = why(buy(&service.client(&[&duplicate.url], short)).await);
    assert!(said.contains("the relay took the payment"), "{said}");
}

/// Hazards 5 and 8: a relay that floods with forgeries is left, and what another relay says still counts.
#[tokio::test]
async fn a_flood_of_forgeries_on_one_relay_does_not_drown_the_other() {
    let service = Service::new();
    let enough = Arc::new(Notify::new());
    let go = enough.clone();
    let flooding = Peer::scripted(&service, move |s, asked| {
        let forged = s.made(asked.event.id, &Keys::generate(), 23195, true, "{}");
        let frame = json!(["EVENT", "$SUB", forged]).to_string();
        (0..1100).map(|_| Act::Raw(frame.clone())).collect()
    })
    .await;
    let honest = Peer::scripted(&service, move |s, a| vec![Act::When(go.clone(), s.reply(a, &paid()))]).await;
    let client = service.client(&[&flooding.url, &honest.url], |_| {});
    let (said, ()) = tokio::join!(buy(&client), async {
        flooding.until(|l| l.iter().any(|(_, v, _)| v == "gone")).await;
        honest.until(|l| l.iter().any(|(_, v, _)| v == "EVENT")).await;
        enough.notify_one();
    });
    assert!(settled(&said), "{said:?}");
}

/// Row "one of two relays dead"; hazards 6 and 8.
#[tokio::test]
async fn one_dead_relay_of_two_harms_nothing() {
    let service = Service::new();
    let peer = Peer::honest(&service, |asked| match asked.method.as_str() {
        "pay_invoice" => error("pay_invoice", "INSUFFICIENT_BALANCE"),
        method => json!({"result_type": method, "result": {"balance": 21000, "network": "regtest"}}),
    })
    .await;
    let dead = dead().await;
    for relays in [[dead.as_str(), peer.url.as_str()], [peer.url.as_str(), dead.as_str()]] {
        let client = service.client(&relays, |_| {});
        let began = std::time::Instant::now();
        let info = client.info().await.unwrap();
        assert_eq!((info.balance, info.world), (Amount::msat(21000), World::Test));
        // The bytes went out once, over one connection, so that the wallet's no is a no.
        assert_eq!(refused(buy(&client).await), ("INSUFFICIENT_BALANCE".into(), true));
        assert!(began.elapsed() < Duration::from_secs(10));
    }
}

/// Hazard 6: both relays deliver the payment, so that a refusal may be about the second copy.
#[tokio::test]
async fn bytes_that_went_out_twice_make_no_refusal_final() {
    let service = Service::new();
    let now = Arc::new(Notify::new());
    let wait = now.clone();
    let one = Peer::scripted(&service, move |s, asked| {
        vec![Act::When(wait.clone(), s.reply(asked, &error("pay_invoice", "INSUFFICIENT_BALANCE")))]
    })
    .await;
    let two = Peer::scripted(&service, |_, _| vec![]).await;
    let client = service.client(&[&one.url, &two.url], |_| {});
    let (said, ()) = tokio::join!(buy(&client), async {
        two.until(|l| l.iter().any(|(_, v, _)| v == "EVENT")).await;
        now.notify_one();
    });
    assert_eq!(refused(said), ("INSUFFICIENT_BALANCE".into(), false));

    // Sent by an earlier call, of this process or (not fresh) of one before it.
    let peer = Peer::honest(&service, |_| error("pay_invoice", "INSUFFICIENT_BALANCE")).await;
    let client = service.client(&[&peer.url], |_| {});
    let prepared = client.prepare(&bill()).await.unwrap();
    let asked = intent(&prepared.wire, prepared.resend_until);
    assert!(refused(client.pay_intent(&asked, true).await).1);
    assert!(!refused(client.pay_intent(&asked, true).await).1);
    let prepared = client.prepare(&bill()).await.unwrap();
    assert!(!refused(client.pay_intent(&intent(&prepared.wire, prepared.resend_until), false).await).1);
}

/// Hazards 1 and 8: the connection breaks after the bytes left; the same bytes go out again, and only those.
#[tokio::test]
async fn a_reply_after_a_reconnect_is_heard_and_the_bytes_are_the_same() {
    for (body, sent_once) in [(paid(), None), (error("pay_invoice", "QUOTA_EXCEEDED"), Some(false))] {
        let service = Service::new();
        let peer = Peer::scripted(&service, move |s, asked| match asked.time {
            1 => vec![Act::Hangup],
            _ => vec![Act::Send(s.reply(asked, &body))],
        })
        .await;
        let client = service.client(&[&peer.url], |_| {});
        let prepared = client.prepare(&bill()).await.unwrap();
        let said = client.pay_intent(&intent(&prepared.wire, prepared.resend_until), true).await;
        match sent_once {
            None => assert!(settled(&said), "{said:?}"),
            Some(once) => assert_eq!(refused(said).1, once),
        }
        let published = peer.published.lock().unwrap().clone();
        assert_eq!(
            published,
            [String::from_utf8(prepared.wire.clone()).unwrap(), String::from_utf8(prepared.wire).unwrap()]
        );
        assert_eq!(peer.count("connect"), 2);
    }
}

/// Hazard 8: "connected" but deaf is found out by a ping and treated as dead.
#[tokio::test]
async fn a_deaf_connection_is_given_up_and_made_anew() {
    let service = Service::new();
    let peer = Peer::scripted(&service, |s, asked| match asked.time {
        1 => vec![Act::GoDeaf],
        _ => vec![Act::Send(s.reply(asked, &paid()))],
    })
    .await;
    let client = service.client(&[&peer.url], |o| {
        o.pace = Pace { ping_every: Duration::from_millis(100), answer_within: Duration::from_millis(300), ..o.pace };
    });
    assert!(settled(&buy(&client).await));
    assert_eq!(peer.count("connect"), 2);
}

/// Hazard 8: while the wallet thinks, a relay that still answers pings is left alone.
#[tokio::test]
async fn a_slow_wallet_behind_a_live_relay_is_waited_for() {
    let service = Service::new();
    let done = Arc::new(Notify::new());
    let go = done.clone();
    let peer = Peer::scripted(&service, move |s, a| vec![Act::When(go.clone(), s.reply(a, &paid()))]).await;
    let client = service.client(&[&peer.url], |o| o.pace.ping_every = Duration::from_millis(20));
    let (said, ()) = tokio::join!(buy(&client), async {
        peer.until(|l| l.iter().filter(|(_, v, _)| v == "ping").count() >= 3).await;
        done.notify_one();
    });
    assert!(settled(&said));
    assert_eq!((peer.count("connect"), peer.count("EVENT")), (1, 1));
}

/// Hazard 18: a frame beyond 512 KiB ends the connection, not the payment.
#[tokio::test]
async fn an_enormous_frame_is_not_read() {
    let service = Service::new();
    let peer = Peer::scripted(&service, |s, asked| match asked.time {
        1 => vec![Act::Raw(format!("[\"NOTICE\",\"{}\"]", "x".repeat(600 << 10)))],
        _ => vec![Act::Send(s.reply(asked, &paid()))],
    })
    .await;
    assert!(settled(&buy(&service.client(&[&peer.url], |_| {})).await));
    assert_eq!(peer.count("connect"), 2);
}

/// Hazard 2: a connection that breaks after `resend_until` is made anew to listen, and no longer to send.
#[tokio::test]
async fn a_reconnect_after_the_time_to_resend_only_listens() {
    let service = Service::new();
    let clock = Clock::manual(Clock::system().now_ms());
    let later = clock.clone();
    let peer = Peer::scripted(&service, move |_, _| {
        later.advance_ms(50_000);
        vec![Act::Hangup]
    })
    .await;
    let client = service.client(&[&peer.url], |o| o.clock = clock.clone());
    tokio::select! {
        said = buy(&client) => panic!("nobody answers: {said:?}"),
        lines = peer.until(|l| l.iter().filter(|(n, v, _)| *n == 2 && v == "REQ").count() == 2) => {
            assert_eq!(lines.iter().filter(|(_, v, _)| v == "EVENT").count(), 1);
        }
    }
    // The CLOSE comes after whatever the second connection had to say.
    peer.until(|l| l.iter().any(|(n, v, _)| *n == 2 && v == "CLOSE")).await;
    assert_eq!(peer.count("EVENT"), 1);
}

/// Hazard 20: a relay that cannot prove its name is not spoken to.
#[tokio::test]
async fn a_relay_with_an_untrusted_certificate_is_refused() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("wss://localhost:{}", listener.local_addr().unwrap().port());
    let relay = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        acceptor.accept(stream).await.is_ok()
    });
    let error = Service::new().client(&[&url], |_| {}).prepare(&bill()).await.unwrap_err();
    assert!(matches!(error, WalletError::Unreachable(why) if why.contains("can be reached")));
    assert!(!relay.await.unwrap());
}

/// Hazard 19: whatever is asked at one time leaves in one write, REQ and EVENT together; from a second run on, together
/// with the question for the description.
#[tokio::test]
async fn what_is_asked_at_one_time_leaves_in_one_write() {
    let service = Service::new();
    let methods = format!("{ALL} get_budget");
    let manners = || Manners { info: vec![service.info(Some("nip44_v2"), &methods)], eose: true, ok: TAKEN };
    let body = |asked: &Asked| match asked.method.as_str() {
        "pay_invoice" => paid(),
        "get_budget" => json!({"result": {"used_budget": 1000, "total_budget": 9000}}),
        method => json!({"result_type": method, "result": {"balance": 7, "network": "regtest"}}),
    };
    for (floor, cold) in [(None, 2), (Some(Scheme::Nip44), 2)] {
        let peer =
            Peer::start(&service, manners(), move |s, asked| vec![Act::Send(s.reply(asked, &body(asked)))]).await;
        let dial = Arc::new(Counting::default());
        let client = service.client(&[&peer.url], |o| (o.dial, o.floor) = (dial.clone(), floor));
        let info = client.info().await.unwrap();
        let budget = info.budget.unwrap();
        assert_eq!((budget.left(), budget.period.as_str()), (Amount::msat(8000), "never"));
        // Without a floor: the description, then three questions at once. With one: all but the budget, then that.
        let writes = dial.since();
        let asked = writes.iter().filter(|w| w.contains("EVENT")).count();
        assert_eq!(asked, if floor.is_some() { cold } else { 1 }, "{writes:?}");
        assert_eq!(writes[0].contains("EVENT"), floor.is_some(), "{writes:?}");
        client.info().await.unwrap();
        let writes = dial.since();
        let questions = writes.iter().find(|w| w.contains("EVENT")).unwrap();
        assert!(questions.ends_with("REQ REQ REQ EVENT EVENT EVENT"), "{writes:?}");
        assert!(settled(&buy(&client).await));
        let writes = dial.since();
        assert!(writes.iter().any(|w| w.ends_with("REQ EVENT")), "{writes:?}");
        assert_eq!(writes.iter().filter(|w| w.contains("EVENT")).count(), 1, "{writes:?}");
    }
}

/// Hazard 19: a relay is reached without Nagle's algorithm, with which each request would wait 40 ms. All that dials for
/// the product goes this way; what it gives for `wss://` stands on the same connection.
#[tokio::test]
async fn what_goes_to_a_relay_is_not_held_back_for_more() {
    use bursar::http::{Policy, Settings, connect_tcp};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    for relay in [format!("ws://{at}"), format!("wss://{at}")] {
        let stream = connect_tcp(Policy::Operator, &Settings::default(), &relay.parse().unwrap()).await.unwrap();
        assert!(stream.nodelay().unwrap(), "{relay}");
    }
}
