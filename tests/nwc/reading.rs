//! What is asked beside paying: look-ups, lists, balance and rights.

use super::*;

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
