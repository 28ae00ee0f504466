//! What comes back for a payment: silence, forgeries, odd shapes, false proofs.

use super::*;

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
    let said = not_sent(offline.pay_intent(&asked, true).await);
    assert!(said.contains("could be reached") && said.contains("not sent"), "{said}");
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
