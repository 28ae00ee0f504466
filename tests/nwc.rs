//! The NWC wallet against a scripted relay and wallet: honest, odd and hostile.
//!
//! "Row" names a way in which a relay or wallet misbehaves and some client fails, "hazard" a numbered group of what was
//! seen of real wallets (1 lost replies, 2 late execution, 4 false preimages, 5 forgeries, 6 duplicates, 7 downgrades,
//! 8 and 9 relays, 10 silence, 12 odd shapes, 13 clocks, 14 same-second requests, 15 rate limits, 16 leaks, 17 fees,
//! 18 leaked subscriptions); A17, A75 and A78 are attacks: a wrong preimage, a leaked secret, a forged reply.

mod nwc_support;

use std::{
    io::Write,
    sync::{Arc, Mutex},
    time::Duration,
};

use bursar::{
    clock::Clock,
    money::Amount,
    protocol::World,
    wallet::{LookSaid, PaySaid, Wallet, WalletError, nwc::NwcWallet, nwc::Pace, nwc::Scheme},
};
use nostr::{event::Event, key::Keys};
use nwc_support::*;
use serde_json::{Value, json};
use tokio::sync::Notify;

/// Prepares the usual bill and pays it as the ledger would.
async fn buy(client: &NwcWallet) -> PaySaid {
    let prepared = client.prepare(&bill()).await.unwrap();
    client.pay_intent(&intent(&prepared.wire, prepared.resend_until), true).await
}

fn settled(said: &PaySaid) -> bool {
    matches!(said, PaySaid::Settled { preimage, .. } if preimage.expose() == PREIMAGE)
}

fn why(said: PaySaid) -> String {
    match said {
        PaySaid::Unknown { why } => why,
        other => panic!("not unknown: {other:?}"),
    }
}

fn refused(said: PaySaid) -> (String, bool) {
    match said {
        PaySaid::Refused { code, sent_once, .. } => (code, sent_once),
        other => panic!("not refused: {other:?}"),
    }
}

/// One purchase from a wallet that answers a payment with these events.
async fn against(script: impl Fn(&Service, &Asked) -> Vec<Act> + Send + Sync + 'static) -> PaySaid {
    let service = Service::new();
    let peer = Peer::scripted(&service, script).await;
    buy(&service.client(&[&peer.url], |_| {})).await
}

/// One purchase from a wallet that stays silent in the end, so that the wait runs out.
async fn in_vain(script: impl Fn(&Service, &Asked) -> Vec<Act> + Send + Sync + 'static) -> String {
    let service = Service::new();
    let peer = Peer::scripted(&service, script).await;
    why(buy(&service.client(&[&peer.url], short)).await)
}

fn short(o: &mut bursar::wallet::nwc::NwcOptions) {
    o.reply_timeout = Duration::from_secs(1);
}

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

/// Hazard 7, both ciphers: a wallet without the tag speaks NIP-04 only.
#[tokio::test]
async fn a_wallet_that_only_speaks_nip04_is_paid_through_in_nip04() {
    for (tag, floor) in [(None, Scheme::Nip04), (Some("nip04"), Scheme::Nip04), (Some("nip04 nip44_v2"), Scheme::Nip44)]
    {
        let service = Service::new();
        let manners = Manners { info: vec![service.info(tag, ALL)], eose: true, ok: TAKEN };
        let peer = Peer::start(&service, manners, move |s, asked| {
            assert_eq!(is_nip44(&asked.event), floor == Scheme::Nip44);
            vec![Act::Send(s.reply(asked, &paid()))]
        })
        .await;
        let client = service.client(&[&peer.url], |_| {});
        assert_eq!(client.floor(), None);
        assert!(settled(&buy(&client).await));
        assert_eq!(client.floor(), Some(floor));
    }
}

/// Row "no info event"; hazard 7.
#[tokio::test]
async fn without_a_signed_description_nothing_is_encrypted_or_sent() {
    let service = Service::new();
    let stranger = Service { wallet: Keys::generate(), client: service.client.clone() };
    let mut tampered = service.info(Some("nip04"), ALL);
    tampered.content.push_str(" more");
    for (info, eose) in [(vec![], true), (vec![stranger.info(Some("nip04"), ALL), tampered], true), (vec![], false)] {
        let peer = Peer::start(&service, Manners { info, eose, ok: TAKEN }, |_, _| panic!("nothing is sent")).await;
        let client = service.client(&[&peer.url], |o| {
            if !eose {
                o.read_timeout = Duration::from_millis(200);
            }
        });
        let error = client.prepare(&bill()).await.unwrap_err();
        assert!(matches!(&error, WalletError::Unreachable(why) if why.contains("13194")), "{error}");
        assert_eq!((peer.count("EVENT"), client.floor()), (0, None));
    }
}

/// A78 "downgrade", hazard 7: within a run and from one run to the next.
#[tokio::test]
async fn the_encryption_never_goes_below_the_best_that_was_seen() {
    let service = Service::new();
    let manners = Manners { info: vec![service.info(Some("nip04"), ALL)], eose: true, ok: TAKEN };
    let old = Peer::start(&service, manners, |_, _| panic!("nothing is sent")).await;
    let remembered = service.client(&[&old.url], |o| o.floor = Some(Scheme::Nip44));
    let error = remembered.prepare(&bill()).await.unwrap_err();
    assert!(matches!(&error, WalletError::Setup(why) if why.contains("NIP-04")), "{error}");

    // The same relay first shows the true description, then an older one.
    let dial = Arc::new(Redirect::default());
    let true_one = Peer::honest(&service, |asked| error_of(asked, "UNSUPPORTED_ENCRYPTION")).await;
    dial.to(&true_one.url);
    let client = service.client(&["ws://127.0.0.1:1"], |o| o.dial = dial.clone());
    assert_eq!(refused(buy(&client).await).0, "UNSUPPORTED_ENCRYPTION");
    dial.to(&old.url);
    dial.cut();
    let error = client.prepare(&bill()).await.unwrap_err();
    assert!(matches!(&error, WalletError::Setup(why) if why.contains("NIP-04")), "{error}");
    assert_eq!((client.floor(), old.count("EVENT")), (Some(Scheme::Nip44), 0));
}

/// Hazard 7: one relay with an old description cannot lower what another one offers.
#[tokio::test]
async fn the_better_of_two_descriptions_counts() {
    let service = Service::new();
    let manners = Manners { info: vec![service.info(Some("nip04"), ALL)], eose: false, ok: TAKEN };
    let old = Peer::start(&service, manners, |_, _| vec![]).await;
    let new = Peer::honest(&service, |_| paid()).await;
    let client = service.client(&[&old.url, &new.url], |o| o.pace.grace = Duration::from_secs(20));
    assert!(settled(&buy(&client).await));
    assert_eq!(client.floor(), Some(Scheme::Nip44));
}

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

/// Row "silent"; hazards 1 and 10: who was silent is said.
#[tokio::test]
async fn silence_is_unknown_and_says_whose_it_was() {
    assert!(in_vain(|_, _| vec![]).await.contains("the relay took the payment, but the wallet stayed silent"));

    let service = Service::new();
    let manners = || Manners { info: vec![service.info(Some("nip44_v2"), ALL)], eose: true, ok: None };
    let peer = Peer::start(&service, manners(), |_, _| vec![]).await;
    let said = why(buy(&service.client(&[&peer.url], short)).await);
    assert!(said.contains("neither the relay nor the wallet"), "{said}");
    peer.until(|l| l.iter().filter(|(_, v, _)| v == "CLOSE").count() == 2).await;

    let prepared = service.client(&[&peer.url], |_| {}).prepare(&bill()).await.unwrap();
    let asked = intent(&prepared.wire, prepared.resend_until);
    let offline = service.client(&[&dead().await], short);
    let said = why(offline.pay_intent(&asked, true).await);
    assert!(said.contains("could be reached") && said.contains("not sent"), "{said}");
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

/// Rows "replayed reply", "forged author first, true second", "tampered content", "wrong result_type"; A78, hazards 5
/// and 6: everything that is not the reply is passed over, and the reply is still waited for.
#[tokio::test]
async fn forged_replayed_and_tampered_replies_are_passed_over() {
    let said = against(|s, asked| {
        let (id, refusal) = (asked.event.id, error("pay_invoice", "QUOTA_EXCEEDED"));
        let text = refusal.to_string();
        let mut tampered = s.reply(asked, &refusal);
        tampered.content = s.made(id, &s.wallet, 23195, true, "{}").content;
        let mut resigned = s.reply(asked, &refusal);
        resigned.sig = s.made(id, &Keys::generate(), 23195, true, &text).sig;
        let other = Service::new().made(id, &s.wallet, 23195, true, &text);
        let elsewhere = nostr::event::EventId::from_slice(&[7; 32]).unwrap();
        let replayed = s.made(elsewhere, &s.wallet, 23195, true, &text);
        let forged = [
            s.made(id, &Keys::generate(), 23195, true, &text),
            s.made(id, &s.client, 23195, true, &text),
            tampered,
            resigned,
            replayed,
            s.made(id, &s.wallet, 23196, true, &text),
            // Encrypted for somebody else, and in a weaker scheme than was asked in.
            other,
            s.made(id, &s.wallet, 23195, false, &text),
            s.reply(asked, &error("get_info", "QUOTA_EXCEEDED")),
            s.reply(asked, &json!({"result_type": "get_info", "result": {"methods": []}})),
            s.made(id, &s.wallet, 23195, true, "not json"),
            s.made(id, &s.wallet, 23195, true, "[]"),
        ];
        let odd = ["junk", "[]", r#"["EVENT","$SUB",{}]"#, r#"["NOTICE","x"]"#, r#"["AUTH","y"]"#, r#"["EOSE","zz"]"#];
        let mut acts: Vec<Act> = odd.map(|text| Act::Raw(text.into())).into();
        acts.extend(forged.map(Act::Send));
        acts.push(Act::Send(s.reply(asked, &paid())));
        acts
    })
    .await;
    assert!(settled(&said), "{said:?}");
}

/// A78: forged replies alone end in "unknown", never in a refusal or a settlement.
#[tokio::test]
async fn forged_replies_alone_leave_the_payment_unknown() {
    let said = in_vain(|s, asked| {
        let stranger = Keys::generate();
        let forged = [paid(), error("pay_invoice", "QUOTA_EXCEEDED")];
        forged.map(|body| Act::Send(s.made(asked.event.id, &stranger, 23195, true, &body.to_string()))).into()
    })
    .await;
    assert!(said.contains("stayed silent"), "{said}");
    let said = in_vain(|s, a| vec![Act::Send(s.made(a.event.id, &s.wallet, 23195, true, "?"))]).await;
    assert!(said.contains("could not be read"), "{said}");
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

/// Rows "error is a string", "unknown code EXPIRED", "error AND result {}"; hazard 12.
#[tokio::test]
async fn every_shape_of_error_is_a_refusal_with_its_code() {
    for (body, code) in [
        (json!({"error": "Failed to decrypt request"}), "OTHER"),
        (json!({"result_type": "", "error": {"code": "EXPIRED"}}), "EXPIRED"),
        (json!({"result_type": "pay_invoice", "error": {"code": "quota_exceeded"}, "result": {}}), "QUOTA_EXCEEDED"),
        (json!({"error": {"code": 12, "message": ["x"]}}), "OTHER"),
    ] {
        let said = against(move |s, asked| vec![Act::Send(s.reply(asked, &body))]).await;
        assert_eq!(refused(said), (code.to_owned(), true));
    }
    let both = json!({"error": {"code": "QUOTA_EXCEEDED"}, "result": {"preimage": PREIMAGE}});
    let said = against(move |s, asked| vec![Act::Send(s.reply(asked, &both))]).await;
    assert!(why(said).contains("at once"));
}

/// Row "preimage "" / missing"; A17, hazard 4.
#[tokio::test]
async fn a_preimage_that_does_not_hash_is_unknown() {
    for preimage in [json!(""), json!(null), json!("00".repeat(32)), json!(&PREIMAGE[2..]), json!(INVOICE), json!(1)] {
        let body = json!({"result_type": "pay_invoice", "result": {"preimage": preimage}});
        let said = why(against(move |s, asked| vec![Act::Send(s.reply(asked, &body))]).await);
        assert!(said.contains("no preimage that proves it"), "{said}");
    }
    let said = why(against(|s, asked| vec![Act::Send(s.reply(asked, &json!({"result": {}})))]).await);
    assert!(said.contains("no preimage that proves it"), "{said}");
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

/// Hazard 6: the first valid reply wins; copies and contradictions after it change nothing.
#[tokio::test]
async fn duplicate_replies_count_once() {
    let service = Service::new();
    let peer = Peer::scripted(&service, |s, asked| {
        let first = s.reply(asked, &paid());
        let then = s.reply(asked, &error("pay_invoice", "INTERNAL"));
        vec![Act::Send(first.clone()), Act::Send(first), Act::Send(then)]
    })
    .await;
    let client = service.client(&[&peer.url], |_| {});
    assert!(settled(&buy(&client).await));
    assert!(settled(&buy(&client).await), "leftovers do not reach the next payment");
}

/// Hazard 2: a reply after the wait ran out belongs to nobody, least of all to the next request.
#[tokio::test]
async fn a_late_reply_is_not_taken_for_the_next_one() {
    let service = Service::new();
    let peer = Peer::scripted(&service, |s, asked| match asked.method.as_str() {
        "pay_invoice" => vec![Act::Late(s.reply(asked, &paid()))],
        _ => vec![Act::Send(s.reply(asked, &error("lookup_invoice", "NOT_FOUND")))],
    })
    .await;
    let client = service.client(&[&peer.url], |o| o.reply_timeout = Duration::from_millis(200));
    let prepared = client.prepare(&bill()).await.unwrap();
    let asked = intent(&prepared.wire, prepared.resend_until);
    why(client.pay_intent(&asked, true).await);
    assert!(matches!(client.look_up_intent(&asked).await, LookSaid::NotFound));
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
        assert!(why(client.pay_intent(&intent(&wire, now + 50), true).await).contains("not sent"));
    }
    clock.advance_ms(50_000);
    let late = intent(&prepared.wire, prepared.resend_until);
    assert!(why(client.pay_intent(&late, true).await).contains("only looked up"));
    assert_eq!(peer.count("EVENT"), 0);
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

/// Hazard 7: an old wallet is not made to wait for better descriptions that never come.
#[tokio::test]
async fn a_nip04_wallet_behind_a_relay_without_eose_is_known_after_a_moment() {
    let service = Service::new();
    let manners = Manners { info: vec![service.info(None, ALL)], eose: false, ok: None };
    let peer = Peer::start(&service, manners, |s, asked| vec![Act::Send(s.reply(asked, &paid()))]).await;
    let began = std::time::Instant::now();
    assert!(settled(&buy(&service.client(&[&peer.url], |_| {})).await));
    assert!(began.elapsed() < Duration::from_secs(10));
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

fn looked(said: LookSaid) -> String {
    match said {
        LookSaid::Settled { preimage: Some(p), fee } if p.expose() == PREIMAGE => format!("proved {fee:?}"),
        LookSaid::CannotTell { why } => format!("cannot tell: {why}"),
        other => format!("{other:?}"),
    }
}

/// Hazards 1, 3 and 4: what became of it, from every kind of wallet.
#[tokio::test]
async fn a_lookup_tells_what_the_wallet_can_prove() {
    let lnbits_none = json!({"error": {"code": "INTERNAL", "message": "Payment not found"}});
    for (body, expected) in [
        (json!({"result": {"state": "settled", "preimage": PREIMAGE, "fees_paid": 2000}}), "proved Some(2 sat)"),
        (json!({"result": {"state": "settled", "preimage": ""}}), "Settled { preimage: None, fee: None }"),
        (json!({"result": {"settled_at": 1, "preimage": "00".repeat(32)}}), "cannot tell: the wallet gave the payment"),
        (json!({"result": {"state": "pending"}}), "Pending"),
        (json!({"result": {"state": "accepted"}}), "Pending"),
        (json!({"result": {"state": "failed"}}), "Failed"),
        (json!({"result": {"state": "expired"}}), "Failed"),
        (error("lookup_invoice", "NOT_FOUND"), "NotFound"),
        (lnbits_none, "NotFound"),
        (error("lookup_invoice", "INTERNAL"), "cannot tell: the wallet answered INTERNAL"),
        (json!({"result_type": "lookup_invoice"}), "cannot tell: "),
    ] {
        let service = Service::new();
        let peer = Peer::honest(&service, move |asked| {
            assert_eq!((asked.method.as_str(), &asked.params["payment_hash"]), ("lookup_invoice", &json!(HASH)));
            body.clone()
        })
        .await;
        let client = service.client(&[&peer.url], |_| {});
        let said = looked(client.look_up_intent(&intent(b"", 0)).await);
        assert!(said.starts_with(expected), "{said} instead of {expected}");
    }
}

/// Without the right to look up, the list of payments is read; without either, nothing is claimed.
#[tokio::test]
async fn a_wallet_that_cannot_look_up_is_asked_for_its_list() {
    let service = Service::new();
    let ours = json!({"payment_hash": HASH, "state": "settled", "preimage": PREIMAGE, "type": "outgoing"});
    let list = move |asked: &Asked| match asked.method.as_str() {
        "list_transactions" => {
            let stamp = Clock::system().now_s();
            let from = asked.params["from"].as_u64().unwrap();
            assert!(from < stamp && stamp - from < 700);
            assert_eq!((&asked.params["type"], &asked.params["unpaid"]), (&json!("outgoing"), &json!(true)));
            json!({"result": {"transactions": [{"payment_hash": "00"}, ours]}})
        }
        method => error(method, "RESTRICTED"),
    };
    for methods in ["pay_invoice list_transactions", ALL] {
        let manners = Manners { info: vec![service.info(Some("nip44_v2"), methods)], eose: true, ok: TAKEN };
        let list = list.clone();
        let peer = Peer::start(&service, manners, move |s, asked| vec![Act::Send(s.reply(asked, &list(asked)))]).await;
        let client = service.client(&[&peer.url], |_| {});
        let wire = client.prepare(&bill()).await.unwrap().wire;
        assert_eq!(looked(client.look_up_intent(&intent(&wire, 0)).await), "proved None");
    }
    let manners = Manners { info: vec![service.info(Some("nip44_v2"), "pay_invoice")], eose: true, ok: TAKEN };
    let peer = Peer::start(&service, manners, |_, _| panic!("nothing is asked")).await;
    let client = service.client(&[&peer.url], |_| {});
    let said = looked(client.look_up_intent(&intent(b"", 0)).await);
    assert_eq!(said, "cannot tell: this connection to the wallet may not look payments up");
    let offline = service.client(&[&dead().await], |_| {});
    assert!(looked(offline.look_up_intent(&intent(b"", 0)).await).contains("no relay of the wallet can be reached"));
}

/// Row "negative balance"; hazard 11: a balance that cannot be is none, and the network decides the world.
#[tokio::test]
async fn a_wallet_says_its_world_its_balance_and_its_rights() {
    for (network, balance, world, expected) in [
        (json!("regtest"), json!(21000), Some(World::Test), Amount::msat(21000)),
        (json!("mainnet"), json!(-5), Some(World::Main), None),
        (json!(null), json!(u64::MAX), Some(World::Main), None),
        (json!("Mutinynet"), json!("7"), Some(World::Test), None),
        (json!("liquid"), json!(1), None, None),
    ] {
        let service = Service::new();
        let peer = Peer::honest(&service, move |asked| match asked.method.as_str() {
            "get_info" => json!({"result": {"network": network, "alias": "a\u{202e}b", "methods": ["pay_invoice"]}}),
            _ => json!({"result_type": "get_balance", "result": {"balance": balance}}),
        })
        .await;
        let info = service.client(&[&peer.url], |_| {}).info().await;
        match world {
            None => assert!(matches!(info, Err(WalletError::Setup(_)))),
            Some(world) => {
                let info = info.unwrap();
                assert_eq!((info.world, info.balance, info.alias.as_deref()), (world, expected, Some("ab")));
                assert_eq!(info.methods, ["pay_invoice"]);
            }
        }
    }
    // A connection that may do nothing but pay still pays; a revoked one says so; a reading one does not try to pay.
    let service = Service::new();
    let peer = Peer::honest(&service, |asked| error(&asked.method, "RESTRICTED")).await;
    let info = service.client(&[&peer.url], |_| {}).info().await.unwrap();
    assert_eq!((info.world, info.balance, info.methods.len()), (World::Main, None, 5));
    let peer = Peer::honest(&service, |asked| error(&asked.method, "UNAUTHORIZED")).await;
    let error = service.client(&[&peer.url], |_| {}).info().await.unwrap_err();
    assert!(matches!(error, WalletError::Said { code, .. } if code == "UNAUTHORIZED"));
    let manners = Manners { info: vec![service.info(Some("nip44_v2"), "get_balance")], eose: true, ok: TAKEN };
    let peer = Peer::start(&service, manners, |_, _| vec![]).await;
    assert!(matches!(service.client(&[&peer.url], |_| {}).prepare(&bill()).await, Err(WalletError::Setup(_))));
}

/// Hazard 15: a wallet that asks to slow down is left alone by reads; a payment is never asked for anew.
#[tokio::test]
async fn rate_limited_reads_back_off() {
    let service = Service::new();
    let manners = Manners { info: vec![service.info(Some("nip44_v2"), "lookup_invoice")], eose: true, ok: TAKEN };
    let peer =
        Peer::start(&service, manners, |s, a| vec![Act::Send(s.reply(a, &error("lookup_invoice", "RATE_LIMITED")))])
            .await;
    let clock = Clock::manual(Clock::system().now_ms());
    let client = service.client(&[&peer.url], |o| o.clock = clock.clone());
    for (ahead_ms, sent) in [(0, 1), (0, 1), (1_900, 1), (100, 2), (2_000, 2), (2_000, 3), (4_000, 3)] {
        clock.advance_ms(ahead_ms);
        assert!(looked(client.look_up_intent(&intent(b"", 0)).await).contains("RATE_LIMITED"));
        assert_eq!(peer.count("EVENT"), sent, "after {ahead_ms} ms more");
    }
    let peer = Peer::honest(&service, |_| error("pay_invoice", "RATE_LIMITED")).await;
    let client = service.client(&[&peer.url], |_| {});
    assert_eq!(refused(buy(&client).await), ("RATE_LIMITED".into(), true));
    assert_eq!(peer.count("EVENT"), 1);
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

/// Hazard 18: the map of open requests is bounded.
#[tokio::test]
async fn too_many_requests_at_once_are_refused() {
    let service = Service::new();
    let peer = Peer::scripted(&service, |_, _| vec![]).await;
    let client = Arc::new(service.client(&[&peer.url], |o| o.read_timeout = Duration::from_secs(2)));
    client.prepare(&bill()).await.unwrap();
    let all: Vec<_> = (0..40)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { looked(client.look_up_intent(&intent(b"", 0)).await) })
        })
        .collect();
    let mut refused = 0;
    for one in all {
        refused += usize::from(one.await.unwrap().contains("too many requests"));
    }
    assert_eq!(refused, 8);
    assert!(!looked(client.look_up_intent(&intent(b"", 0)).await).contains("too many"), "there is room again");
}

/// A75, hazard 16: nothing secret in any error, `Debug` or trace.
#[tokio::test]
async fn no_secret_reaches_a_trace_an_error_or_debug() {
    #[derive(Clone, Default)]
    struct Heard(Arc<Mutex<Vec<u8>>>);
    impl Write for Heard {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let heard = Heard::default();
    let writer = heard.clone();
    let subscriber =
        tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(move || writer.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);

    let service = Service::new();
    let secret = service.client.secret_key().to_secret_hex();
    let uri = service.uri(&["wss://relay.example.com/?token=canary-token"]).expose().to_owned();
    let leak = format!("{PREIMAGE} {secret} {uri} {INVOICE}-in-a-message");
    let mut said = Vec::new();
    let bodies: [Value; 6] = [
        paid(),
        json!({"error": {"code": PREIMAGE, "message": leak}}),
        json!({"error": leak}),
        json!({"result": {"preimage": secret, "x": leak}}),
        json!({"result_type": leak, "result": {}}),
        json!({"result": {"balance": leak, "network": "regtest", "alias": leak, "methods": ["pay_invoice"]}}),
    ];
    for body in bodies {
        let peer = Peer::scripted(&service, move |s, asked| match asked.time {
            1 if asked.method == "pay_invoice" => vec![Act::Hangup],
            _ => vec![Act::Send(s.reply(asked, &body))],
        })
        .await;
        let client = service.client(&[&peer.url], |o| {
            o.reply_timeout = Duration::from_secs(1);
            o.read_timeout = Duration::from_secs(1);
        });
        said.push(format!("{:?}", client.info().await));
        let prepared = client.prepare(&bill()).await.unwrap();
        let asked = intent(&prepared.wire, prepared.resend_until);
        said.push(format!("{:?}", client.pay_intent(&asked, true).await));
        said.push(format!("{:?} {client:?} {asked:?}", client.look_up_intent(&asked).await));
    }
    for bad in [uri.replace("secret=", "secrt="), uri.replace("wss:", "http:"), uri.replace("nostr+", "nostr-")] {
        let bad = bursar::secret::Secret::new(bad);
        let error = NwcWallet::new(&bad, quick()).unwrap_err();
        said.push(format!("{error} {error:?} {bad:?}"));
    }
    let traces = String::from_utf8_lossy(&heard.0.lock().unwrap()).into_owned();
    assert!(traces.contains("a wallet relay"), "the trace is captured: {traces}");
    let said = said.join("\n");
    let wallet = service.wallet.public_key().to_hex();
    for canary in [PREIMAGE, &secret, "canary-token", &wallet, "relay.example.com", "nostr+walletconnect"] {
        for piece in [canary, &canary[..12]] {
            assert!(!traces.contains(piece), "{piece} in the trace:\n{traces}");
            // Errors about the scheme name the scheme in our own words.
            assert!(canary.starts_with("nostr+") || !said.contains(piece), "{piece} in:\n{said}");
        }
    }
    assert!(!traces.contains(INVOICE));
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
        assert_eq!((budget.left(), budget.period.as_str()), (Amount::msat(8000).unwrap(), "never"));
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

/// A reply that only the subscription for all replies to us delivers is heard, and one for another request is not.
#[tokio::test]
async fn a_reply_that_only_comes_by_our_key_is_heard() {
    let service = Service::new();
    let peer = Peer::scripted(&service, |s, asked| {
        let elsewhere = nostr::event::EventId::from_slice(&[7; 32]).unwrap();
        let text = error("pay_invoice", "QUOTA_EXCEEDED").to_string();
        let stray = s.made(elsewhere, &s.wallet, 23195, true, &text);
        let forged = s.made(asked.event.id, &Keys::generate(), 23195, true, &text);
        [stray, forged, s.reply(asked, &paid())].map(Act::ByKey).into()
    })
    .await;
    assert!(settled(&buy(&service.client(&[&peer.url], |_| {})).await));
}

fn error_of(asked: &Asked, code: &str) -> Value {
    error(&asked.method, code)
}

/// Counts what is written: the verbs of the frames in each write, in order.
#[derive(Default)]
struct Counting(Arc<Mutex<Vec<String>>>);

impl Counting {
    fn since(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

struct Counted(tokio::net::TcpStream, Arc<Mutex<Vec<String>>>);

impl bursar::wallet::nwc::Dial for Counting {
    fn dial<'a>(
        &'a self,
        relay: &'a url::Url,
    ) -> bursar::wallet::Boxed<'a, std::io::Result<Box<dyn bursar::wallet::nwc::Wire>>> {
        Box::pin(async move {
            let to = relay.as_str().trim_start_matches("ws://").trim_end_matches('/');
            let stream = tokio::net::TcpStream::connect(to).await?;
            Ok(Box::new(Counted(stream, self.0.clone())) as Box<dyn bursar::wallet::nwc::Wire>)
        })
    }
}

/// The frames' verbs, unmasked; empty for the handshake.
fn verbs(mut bytes: &[u8]) -> String {
    let mut verbs = Vec::new();
    while bytes.len() > 6 && bytes[0] == 0x81 {
        let (length, head) = match bytes[1] & 0x7f {
            126 => (usize::from(u16::from_be_bytes([bytes[2], bytes[3]])), 4),
            short => (usize::from(short), 2),
        };
        let (mask, body) = (&bytes[head..head + 4], &bytes[head + 4..head + 4 + length]);
        let text: Vec<u8> = body.iter().take(8).enumerate().map(|(n, b)| b ^ mask[n % 4]).collect();
        let text = String::from_utf8_lossy(&text).into_owned();
        verbs.extend(text.split('"').nth(1).map(str::to_owned));
        bytes = &bytes[head + 4 + length..];
    }
    verbs.join(" ")
}

impl tokio::io::AsyncRead for Counted {
    fn poll_read(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        into: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::pin::Pin::new(&mut self.0).poll_read(cx, into)
    }
}

impl tokio::io::AsyncWrite for Counted {
    fn poll_write(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        bytes: &[u8],
    ) -> std::task::Poll<std::io::Result<usize>> {
        let written = std::pin::Pin::new(&mut self.0).poll_write(cx, bytes);
        if let std::task::Poll::Ready(Ok(n)) = &written {
            assert_eq!(*n, bytes.len(), "a local socket takes it whole");
            self.1.lock().unwrap().extend(Some(verbs(bytes)).filter(|v| !v.is_empty()));
        }
        written
    }
    fn poll_flush(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::pin::Pin::new(&mut self.0).poll_flush(cx)
    }
    fn poll_shutdown(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::pin::Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// Dials wherever a test points it, whatever the wallet string says, and can cut what it dialled.
#[derive(Default)]
struct Redirect {
    to: Mutex<String>,
    cut: Arc<Notify>,
}

impl Redirect {
    fn to(&self, url: &str) {
        *self.to.lock().unwrap() = url.trim_start_matches("ws://").to_owned();
    }

    /// Cuts every open connection.
    fn cut(&self) {
        self.cut.notify_waiters();
    }
}

impl bursar::wallet::nwc::Dial for Redirect {
    fn dial<'a>(
        &'a self,
        _: &'a url::Url,
    ) -> bursar::wallet::Boxed<'a, std::io::Result<Box<dyn bursar::wallet::nwc::Wire>>> {
        Box::pin(async move {
            let to = self.to.lock().unwrap().clone();
            let mut far = tokio::net::TcpStream::connect(to).await?;
            let (near, mut relay) = tokio::io::duplex(64 << 10);
            let cut = self.cut.clone();
            tokio::spawn(async move {
                let cut = cut.notified();
                tokio::select! {
                    _ = tokio::io::copy_bidirectional(&mut relay, &mut far) => {}
                    () = cut => {}
                }
            });
            Ok(Box::new(near) as Box<dyn bursar::wallet::nwc::Wire>)
        })
    }
}
