//! The wallet: honest, odd, and away.

use super::*;

#[tokio::test]
async fn the_wallet_says_what_it_is_and_can_fill_its_own_purse() {
    let options = WalletOptions { notifications: true, ..WalletOptions::default() };
    let sandbox = sandbox_with(options).await;
    let mut client = Client::connect(&sandbox, Nip47Ciphers::NIP44V2).await;
    let info = client.ask("get_info", json!({})).await;
    assert_eq!((&info["result"]["network"], &info["result"]["alias"]), (&json!("regtest"), &json!("Bursar sandbox")));
    assert_eq!(client.ask("get_balance", json!({})).await["result"]["balance"], 100_000_000);
    let made = client.ask("make_invoice", json!({"amount": 7000, "description": "eggs"})).await;
    let hash = made["result"]["payment_hash"].as_str().unwrap().to_owned();
    assert_eq!(client.look_up(&hash).await["result"]["state"], "pending");
    assert!(sandbox.node().receive(&hash) && !sandbox.node().receive(&hash));
    assert_eq!(client.look_up(&hash).await["result"]["state"], "settled");
    assert_eq!(client.ask("get_balance", json!({})).await["result"]["balance"], 100_007_000);
    let paid = sandbox.node().invoice(5000, "x", 600).unwrap();
    client.pay(&paid.bolt11).await;
    let list = client.ask("list_transactions", json!({"type": "outgoing", "limit": 5})).await;
    assert_eq!(list["result"]["transactions"].as_array().unwrap().len(), 1);
    assert_eq!(list["result"]["transactions"][0]["payment_hash"], paid.payment_hash);
    assert_eq!(client.ask("sign_message", json!({})).await["error"]["code"], "NOT_IMPLEMENTED");
    assert_eq!(sandbox.wallet().seen("pay_invoice"), 1);
}

#[tokio::test]
async fn the_info_event_names_the_encryption_and_other_encryption_is_refused_in_the_wallets_way() {
    let sandbox = sandbox().await;
    for (ciphers, named) in
        [(Ciphers::Both, Some("nip44_v2 nip04")), (Ciphers::OnlyNip44, Some("nip44_v2")), (Ciphers::OnlyNip04, None)]
    {
        sandbox.wallet().set_ciphers(ciphers);
        tokio::time::sleep(Duration::from_millis(50)).await;
        let mut socket = dial(&sandbox.relay().url()).await;
        let filter = json!({"kinds": [13194], "authors": [sandbox.wallet().pubkey()]});
        socket.send(Message::text(json!(["REQ", "i", filter]).to_string())).await.unwrap();
        let event = frame(&mut socket, 2000).await.unwrap();
        let info: Event = serde_json::from_value(event[2].clone()).unwrap();
        assert!(info.verify().is_ok() && info.content.contains("pay_invoice"));
        let tag = info.tags.iter().find(|t| t.kind() == "encryption").and_then(|t| t.content());
        assert_eq!(tag, named);
    }
    let mut modern = Client::connect(&sandbox, Nip47Ciphers::NIP44V2).await;
    assert_eq!(modern.ask_within(300, "get_info", json!({})).await, None, "an old wallet cannot even answer");
    sandbox.wallet().set_ciphers(Ciphers::OnlyNip44);
    let mut old = Client::connect(&sandbox, Nip47Ciphers::NIP04).await;
    let no = old.ask("get_info", json!({})).await;
    assert_eq!((&no["error"]["code"], &no["result_type"]), (&json!("UNSUPPORTED_ENCRYPTION"), &json!("")));
}

#[tokio::test]
async fn a_lost_reply_hides_a_payment_that_lookup_shows_and_a_repeat_does_not_move_again() {
    let sandbox = sandbox().await;
    sandbox.node().set_fees(Fees { base_msat: 1000, ppm: 0 });
    let mut client = Client::connect(&sandbox, Nip47Ciphers::NIP44V2).await;
    let made = sandbox.node().invoice(20_000, "x", 600).unwrap();
    sandbox.wallet().next(Behaviour::lost_reply());
    assert_eq!(client.ask_within(300, "pay_invoice", json!({"invoice": made.bolt11})).await, None);
    let seen = client.look_up(&made.payment_hash).await;
    assert_eq!((&seen["result"]["state"], &seen["result"]["fees_paid"]), (&json!("settled"), &json!(1000)));
    assert!(is_proof(seen["result"]["preimage"].as_str().unwrap(), &made.payment_hash));
    assert_eq!(client.pay(&made.bolt11).await["error"]["code"], "PAYMENT_FAILED");
    assert_eq!((sandbox.node().spent_msat(), sandbox.node().moved().len()), (21_000, 1));
    assert_eq!((sandbox.wallet().pay_events().len(), sandbox.wallet().deliveries(&made.payment_hash)), (2, 2));
}

#[tokio::test]
async fn the_same_event_twice_is_one_payment_and_one_reply_but_counts_as_two_deliveries() {
    let relay = RelayOptions { keep: Duration::ZERO, ..RelayOptions::default() };
    let sandbox = Sandbox::start(SandboxOptions { relay, ..SandboxOptions::default() }).await.unwrap();
    let mut client = Client::connect(&sandbox, Nip47Ciphers::NIP44V2).await;
    let made = sandbox.node().invoice(20_000, "x", 600).unwrap();
    let event = client.request("pay_invoice", json!({"invoice": made.bolt11}), None);
    client.send(&event).await;
    client.send(&event).await;
    assert_eq!(client.events(300).await.len(), 1);
    assert_eq!((sandbox.wallet().pay_events().len(), sandbox.wallet().deliveries(&made.payment_hash)), (1, 2));
    assert_eq!(sandbox.wallet().seen("pay_invoice"), 1);
    assert_eq!(sandbox.relay().published(23194), 2);
}

#[tokio::test]
async fn a_held_payment_is_pending_until_it_is_released_or_failed() {
    let sandbox = sandbox().await;
    let mut client = Client::connect(&sandbox, Nip47Ciphers::NIP44V2).await;
    let [one, two] = [0, 1].map(|_| sandbox.node().invoice(20_000, "x", 600).unwrap());
    sandbox.wallet().always(Behaviour::holds());
    for made in [&one, &two] {
        assert_eq!(client.ask_within(200, "pay_invoice", json!({"invoice": made.bolt11})).await, None);
        assert_eq!(client.look_up(&made.payment_hash).await["result"]["state"], "pending");
    }
    assert_eq!(sandbox.wallet().in_flight(), [one.payment_hash.clone(), two.payment_hash.clone()]);
    assert_eq!(client.pay(&one.bolt11).await["error"]["code"], "PAYMENT_FAILED", "a repeat while in flight");
    assert_eq!(sandbox.node().spent_msat(), 0);
    assert!(sandbox.wallet().release(&one.payment_hash) && !sandbox.wallet().release(&one.payment_hash));
    assert!(sandbox.wallet().fail(&two.payment_hash));
    let said: Vec<Value> = client.events(300).await.iter().filter_map(|e| client.open(e)).collect();
    assert!(said.iter().any(|s| s["result"]["preimage"].is_string()), "the waiting reply comes after all");
    assert!(said.iter().any(|s| s["error"]["code"] == "PAYMENT_FAILED"));
    assert_eq!(client.look_up(&two.payment_hash).await["result"]["state"], "failed");
    assert_eq!(sandbox.node().spent_msat(), 20_000);
}

#[tokio::test]
async fn errors_come_with_or_without_money_and_at_once_or_later() {
    let sandbox = sandbox().await;
    let mut client = Client::connect(&sandbox, Nip47Ciphers::NIP44V2).await;
    let cases = [
        (Behaviour::refuses("EXPIRED"), "EXPIRED", 0, "NOT_FOUND"),
        (Behaviour::fails("PAYMENT_FAILED"), "PAYMENT_FAILED", 0, "failed"),
        (Behaviour::lies("INSUFFICIENT_BALANCE", Money::Settles), "INSUFFICIENT_BALANCE", 1000, "settled"),
        (Behaviour::lies("INTERNAL", Money::SettlesAfter(150)), "INTERNAL", 0, "pending"),
        (Behaviour::lies("OTHER", Money::Held), "OTHER", 0, "pending"),
    ];
    for (behaviour, code, moved, state) in cases {
        let before = sandbox.node().spent_msat();
        let made = sandbox.node().invoice(1000, "x", 600).unwrap();
        sandbox.wallet().next(behaviour.clone());
        assert_eq!(client.pay(&made.bolt11).await["error"]["code"], code, "{behaviour:?}");
        assert_eq!(sandbox.node().spent_msat() - before, moved, "{behaviour:?}");
        let seen = client.look_up(&made.payment_hash).await;
        let said = seen["result"]["state"].as_str().or(seen["error"]["code"].as_str());
        assert_eq!(said, Some(state), "{behaviour:?}");
        if matches!(behaviour.money, Money::SettlesAfter(_)) {
            tokio::time::sleep(Duration::from_millis(300)).await;
            assert_eq!(client.look_up(&made.payment_hash).await["result"]["state"], "settled");
        }
    }
    let late = sandbox.node().invoice(1000, "x", 600).unwrap();
    sandbox.wallet().next(Behaviour::silent_then_pays(150));
    assert_eq!(client.ask_within(100, "pay_invoice", json!({"invoice": late.bolt11})).await, None);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(sandbox.node().is_paid(&late.payment_hash));
    let slow = sandbox.node().invoice(1000, "x", 600).unwrap();
    sandbox.wallet().next(Behaviour::slow_reply(300));
    assert_eq!(client.ask_within(100, "pay_invoice", json!({"invoice": slow.bolt11})).await, None);
    assert!(sandbox.node().is_paid(&slow.payment_hash), "it pays first and dawdles then");
    sandbox.wallet().next(Behaviour::slow_payment(200));
    let slower = sandbox.node().invoice(1000, "x", 600).unwrap();
    assert_eq!(client.ask_within(80, "pay_invoice", json!({"invoice": slower.bolt11})).await, None);
    assert!(!sandbox.node().is_paid(&slower.payment_hash), "it dawdles first and pays then");
}

#[tokio::test]
async fn a_reply_can_lie_about_the_preimage_and_the_fee_and_come_in_odd_shapes() {
    let sandbox = sandbox().await;
    let mut client = Client::connect(&sandbox, Nip47Ciphers::NIP44V2).await;
    sandbox.node().set_fees(Fees { base_msat: 100, ppm: 0 });
    let mut say = async |behaviour: Behaviour| {
        let made = sandbox.node().invoice(1000, "x", 600).unwrap();
        sandbox.wallet().next(behaviour);
        let reply = client.pay(&made.bolt11).await;
        assert!(sandbox.node().is_paid(&made.payment_hash));
        (reply, made)
    };
    for (lie, length) in [(PreimageSaid::Wrong, 64), (PreimageSaid::Zeros, 64), (PreimageSaid::Empty, 0)] {
        let (reply, made) = say(Behaviour::shows(lie)).await;
        let shown = reply["result"]["preimage"].as_str().unwrap();
        assert!(shown.len() == length && !is_proof(shown, &made.payment_hash));
    }
    assert!(say(Behaviour::shows(PreimageSaid::Missing)).await.0["result"]["preimage"].is_null());
    let (reply, made) = say(Behaviour::shows(PreimageSaid::Invoice)).await;
    assert_eq!(reply["result"]["preimage"], made.bolt11);
    assert_eq!(say(Behaviour::claims(FeesSaid::Times(10))).await.0["result"]["fees_paid"], 1000);
    assert!(say(Behaviour::claims(FeesSaid::Missing)).await.0["result"]["fees_paid"].is_null());
    assert_eq!(say(Behaviour::says(ReplySaid::BareError("oh".into()))).await.0, json!({"error": "oh"}));
    let both = say(Behaviour::says(ReplySaid::ErrorAndResult("INTERNAL".into()))).await.0;
    assert!(both["error"]["code"] == "INTERNAL" && both["result"].is_object());
    assert_eq!(say(Behaviour::says(ReplySaid::WrongResultType)).await.0["result_type"], "get_info");
    assert!(say(Behaviour::says(ReplySaid::Garbage)).await.0.is_string());
}

#[tokio::test]
async fn lookups_can_be_forbidden_late_and_false() {
    let sandbox = sandbox().await;
    let mut client = Client::connect(&sandbox, Nip47Ciphers::NIP44V2).await;
    let made = sandbox.node().invoice(1000, "x", 600).unwrap();
    sandbox.wallet().next(Behaviour::honest().then_lookup(LookupSaid::NotAllowed));
    client.pay(&made.bolt11).await;
    assert_eq!(client.look_up(&made.payment_hash).await["error"]["code"], "RESTRICTED");
    assert!(sandbox.wallet().set_lookup(&made.payment_hash, LookupSaid::NotFound));
    assert_eq!(client.look_up(&made.payment_hash).await["error"]["code"], "NOT_FOUND");
    sandbox.wallet().set_lookup(&made.payment_hash, LookupSaid::ZeroPreimage);
    let zeros = client.look_up(&made.payment_hash).await["result"].clone();
    assert!(zeros["settled_at"].is_u64() && zeros["state"].is_null() && zeros["preimage"] == "0".repeat(64));
    for (lookup, state) in [(LookupSaid::Pending, "pending"), (LookupSaid::Failed, "failed")] {
        sandbox.wallet().set_lookup(&made.payment_hash, lookup);
        assert_eq!(client.look_up(&made.payment_hash).await["result"]["state"], state);
    }
    sandbox.wallet().set_lookup(&made.payment_hash, LookupSaid::NoPreimage);
    let bare = client.look_up(&made.payment_hash).await["result"].clone();
    assert!(bare["state"] == "settled" && bare["preimage"].is_null());
    sandbox.wallet().set_lookup(&made.payment_hash, LookupSaid::Nothing);
    let asked = json!({"payment_hash": made.payment_hash});
    assert_eq!(client.ask_within(200, "lookup_invoice", asked).await, None);
    assert_eq!(client.look_up(&"00".repeat(32)).await["error"]["code"], "NOT_FOUND");
}

#[tokio::test]
async fn envelopes_can_be_wrong_in_each_way() {
    let sandbox = sandbox().await;
    let mut client = Client::connect(&sandbox, Nip47Ciphers::NIP44V2).await;
    // Without a p tag the reply reaches only who asks by author.
    let filter = json!({"kinds": [23195], "authors": [sandbox.wallet().pubkey()], "limit": 0});
    client.socket.send(Message::text(json!(["REQ", "author", filter]).to_string())).await.unwrap();
    client.until("EOSE").await;
    for envelope in [Envelope::NoRequest, Envelope::ForeignRequest, Envelope::NoClient, Envelope::ForeignAuthor] {
        let made = sandbox.node().invoice(1000, "x", 600).unwrap();
        sandbox.wallet().next(Behaviour::sends(envelope));
        let request = client.request("pay_invoice", json!({"invoice": made.bolt11}), None);
        client.send(&request).await;
        let events = client.events(200).await;
        let reply = events.first().unwrap_or_else(|| panic!("{envelope:?}: nothing came"));
        assert!(serde_json::from_value::<Event>(reply.clone()).unwrap().verify().is_ok());
        let tagged = |name: &str, value: String| reply["tags"].as_array().unwrap().contains(&json!([name, value]));
        let ours = (tagged("p", client.keys.public_key().to_hex()), tagged("e", request.id.to_hex()));
        let by_wallet = reply["pubkey"] == sandbox.wallet().pubkey();
        let wanted = match envelope {
            Envelope::NoRequest | Envelope::ForeignRequest => (true, false, true),
            Envelope::NoClient => (false, true, true),
            _ => (true, true, false),
        };
        assert_eq!((ours.0, ours.1, by_wallet), wanted, "{envelope:?}");
        assert_eq!(events.len(), if by_wallet && ours.0 { 2 } else { 1 }, "{envelope:?}");
    }
}

#[tokio::test]
async fn the_wallets_own_budget_and_balance_stop_payments_before_money_moves() {
    let sandbox = sandbox_with(WalletOptions { quota_msat: Some(20_000), ..WalletOptions::default() }).await;
    let mut client = Client::connect(&sandbox, Nip47Ciphers::NIP44V2).await;
    let [first, second] = [0, 1].map(|_| sandbox.node().invoice(10_500, "x", 600).unwrap());
    assert!(client.pay(&first.bolt11).await["error"].is_null());
    assert_eq!(client.pay(&second.bolt11).await["error"]["code"], "QUOTA_EXCEEDED");
    sandbox.wallet().set_quota_msat(None);
    sandbox.node().set_balance_msat(10_000);
    assert_eq!(client.pay(&second.bolt11).await["error"]["code"], "INSUFFICIENT_BALANCE");
    sandbox.node().set_balance_msat(10_500);
    assert!(client.pay(&second.bolt11).await["error"].is_null());
    assert_eq!(client.pay("lnbc1nonsense").await["error"]["code"], "OTHER");
    assert_eq!(sandbox.node().spent_msat(), 21_000);
}

#[tokio::test]
async fn a_request_made_while_the_wallet_was_away_is_executed_when_it_returns() {
    let sandbox = sandbox().await;
    let mut client = Client::connect(&sandbox, Nip47Ciphers::NIP44V2).await;
    let made = sandbox.node().invoice(1000, "x", 600).unwrap();
    sandbox.wallet().go_offline().await;
    let event = client.request("pay_invoice", json!({"invoice": made.bolt11}), Some(1));
    client.send(&event).await;
    assert_eq!(client.until("OK").await[2], true, "the relay takes it though nobody is there");
    assert_eq!(sandbox.node().spent_msat(), 0);
    sandbox.wallet().go_online().await;
    client.until("EVENT").await;
    assert_eq!(sandbox.node().spent_msat(), 1000, "and an expired request is executed all the same");

    let careful = sandbox_with(WalletOptions { honour_expiration: true, ..WalletOptions::default() }).await;
    let mut client = Client::connect(&careful, Nip47Ciphers::NIP44V2).await;
    let made = careful.node().invoice(1000, "x", 600).unwrap();
    let event = client.request("pay_invoice", json!({"invoice": made.bolt11}), Some(1));
    client.send(&event).await;
    assert!(client.events(200).await.is_empty() && careful.node().spent_msat() == 0);
}

#[tokio::test]
async fn a_serial_wallet_answers_nobody_while_a_payment_is_stuck_and_tells_when_it_is_sent() {
    let options = WalletOptions { serial: true, notifications: true, ..WalletOptions::default() };
    let sandbox = sandbox_with(options).await;
    let mut client = Client::connect(&sandbox, Nip47Ciphers::NIP44V2).await;
    let filter = json!({"kinds": [23197], "#p": [client.keys.public_key().to_hex()]});
    client.socket.send(Message::text(json!(["REQ", "sent", filter]).to_string())).await.unwrap();
    let made = sandbox.node().invoice(1000, "x", 600).unwrap();
    sandbox.wallet().next(Behaviour::holds());
    assert_eq!(client.ask_within(150, "pay_invoice", json!({"invoice": made.bolt11})).await, None);
    assert_eq!(client.ask_within(150, "get_balance", json!({})).await, None);
    assert!(sandbox.wallet().release(&made.payment_hash));
    let events = client.events(300).await;
    assert_eq!(events.iter().filter(|e| e["kind"] == 23195).count(), 2, "then it answers both");
    let notice = events.iter().find(|e| e["kind"] == 23197).and_then(|e| client.open(e)).unwrap();
    assert_eq!(notice["notification_type"], "payment_sent");
    assert_eq!(notice["notification"]["payment_hash"], made.payment_hash);
}

#[tokio::test]
async fn a_wallet_on_two_relays_is_reached_over_either_and_pays_once() {
    let clock = Clock::system();
    let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let one = Relay::start(free, clock.clone(), RelayOptions::default()).await.unwrap();
    let two = Relay::start(free, clock.clone(), RelayOptions::default()).await.unwrap();
    let node = PlayNode::new(clock.clone(), 10_000);
    let relays = [one.url(), two.url()];
    let wallet =
        WalletService::start(&relays, node.clone(), clock, WalletKeys::random(), WalletOptions::default()).await;
    let wallet = wallet.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let mut first = Client::dialled(&wallet.nwc_uri_over(&[one.url()]), Nip47Ciphers::NIP44V2).await;
    let mut second = Client::dialled(&wallet.nwc_uri_over(&[two.url()]), Nip47Ciphers::NIP44V2).await;
    let made = node.invoice(1000, "x", 600).unwrap();
    let event = first.request("pay_invoice", json!({"invoice": made.bolt11}), None);
    first.send(&event).await;
    second.send(&event).await;
    assert_eq!((first.events(200).await.len(), second.events(200).await.len()), (1, 1));
    assert_eq!((node.spent_msat(), wallet.deliveries(&made.payment_hash)), (1000, 2));
    drop(one);
    assert_eq!(second.ask("get_balance", json!({})).await["result"]["balance"], 9000);
}
