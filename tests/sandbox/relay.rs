//! The relay: polite, and bad in each way.

use super::*;

#[tokio::test]
async fn the_relay_speaks_nip01_and_refuses_what_is_not_signed() {
    let sandbox = sandbox().await;
    let mut client = Client::connect(&sandbox, Nip47Ciphers::NIP44V2).await;
    let event = client.request("get_info", json!({}), None);
    client.send(&event).await;
    assert_eq!(client.until("OK").await, json!(["OK", event.id.to_hex(), true, ""]));
    client.until("EVENT").await;
    client.send(&event).await;
    assert!(client.until("OK").await[3].as_str().unwrap().starts_with("duplicate:"));
    let mut forged = serde_json::to_value(&event).unwrap();
    forged["created_at"] = json!(5);
    client.socket.send(Message::text(json!(["EVENT", forged]).to_string())).await.unwrap();
    let refused = client.until("OK").await;
    assert!(refused[2] == false && refused[3].as_str().unwrap().starts_with("invalid:"));
    client.socket.send(Message::text("[\"WHAT\"]")).await.unwrap();
    client.until("NOTICE").await;
    client.socket.send(Message::text(json!(["REQ", "x".repeat(65), {}]).to_string())).await.unwrap();
    assert!(client.until("CLOSED").await[2].is_string());

    // Stored events by id, by tag and by time; then none after CLOSE.
    let id = event.id.to_hex();
    let at = event.created_at.as_secs();
    for (filter, found) in [
        (json!({"ids": [id]}), true),
        (json!({"#e": [id], "kinds": [23195]}), true),
        (json!({"kinds": [23194], "since": at, "until": at}), true),
        (json!({"kinds": [23194], "since": at + 1}), false),
        (json!({"kinds": [23194], "until": at - 1}), false),
        (json!({"kinds": [23194, 23195], "authors": [client.keys.public_key().to_hex()], "limit": 1}), true),
        (json!({"kinds": [1]}), false),
    ] {
        client.socket.send(Message::text(json!(["REQ", "q", filter]).to_string())).await.unwrap();
        let first = client.frame(1000).await.unwrap();
        assert_eq!(first[0], if found { "EVENT" } else { "EOSE" }, "{filter}");
        if found {
            assert_eq!(client.until("EOSE").await[1], "q");
        }
    }
    for name in ["q", "replies"] {
        client.socket.send(Message::text(json!(["CLOSE", name]).to_string())).await.unwrap();
    }
    let event = client.request("get_balance", json!({}), None);
    client.send(&event).await;
    assert!(client.events(200).await.is_empty());
}

#[tokio::test]
async fn the_relay_bounds_frames_and_connections_and_can_honour_expiration() {
    let relay = RelayOptions { max_connections: 2, honour_expiration: true, ..RelayOptions::default() };
    let sandbox = Sandbox::start(SandboxOptions { relay, ..SandboxOptions::default() }).await.unwrap();
    let mut client = Client::connect(&sandbox, Nip47Ciphers::NIP44V2).await;
    assert_eq!(sandbox.relay().connections(), 2);
    let stream = TcpStream::connect(sandbox.relay().url().trim_start_matches("ws://")).await.unwrap();
    assert!(client_async(sandbox.relay().url(), stream).await.is_err(), "a third socket is closed");
    let event = client.request("get_info", json!({}), Some(1));
    client.send(&event).await;
    assert_eq!(client.until("OK").await[2], false);
    client.socket.send(Message::text("x".repeat(600 * 1024))).await.unwrap_or_default();
    assert!(client.frame(1000).await.is_none(), "a frame beyond the cap ends the connection");
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(sandbox.relay().connections(), 1);
}

#[tokio::test]
async fn each_bad_relay_is_bad_in_its_own_way() {
    let sandbox = sandbox().await;
    let mut client = Client::connect(&sandbox, Nip47Ciphers::NIP44V2).await;
    let wallet = sandbox.wallet().pubkey();
    let id_of = |e: &Value| e["id"].as_str().unwrap().to_owned();
    let genuine = |e: &Value| serde_json::from_value::<Event>(e.clone()).is_ok_and(|e| e.verify().is_ok());
    let balance = |c: &Client| c.request("get_balance", json!({"n": HEXLOWER.encode(&rand())}), None);

    sandbox.relay().set_mode(RelayMode::Duplicate);
    let request = balance(&client);
    client.send(&request).await;
    let events = client.events(200).await;
    assert!(events.len() == 2 && id_of(&events[0]) == id_of(&events[1]));

    sandbox.relay().set_mode(RelayMode::ForgeFirst);
    let request = balance(&client);
    client.send(&request).await;
    let events = client.events(200).await;
    assert!(events.len() == 2 && events.iter().all(genuine));
    assert!(events[0]["pubkey"] != wallet && events[1]["pubkey"] == wallet);
    assert_eq!(events[0]["tags"], events[1]["tags"]);

    sandbox.relay().set_mode(RelayMode::ReplayOld);
    let request = balance(&client);
    client.send(&request).await;
    let events = client.events(200).await;
    assert!(events.len() >= 3 && events.iter().all(genuine), "{}", events.len());
    let last = events.last().unwrap()["tags"].to_string();
    assert!(last.contains(&request.id.to_hex()) && !events[0]["tags"].to_string().contains(&request.id.to_hex()));

    sandbox.relay().set_mode(RelayMode::TamperReplies);
    let request = balance(&client);
    client.send(&request).await;
    let events = client.events(200).await;
    assert!(events.len() == 1 && !genuine(&events[0]));

    sandbox.relay().set_mode(RelayMode::Reorder);
    let (one, two) = (balance(&client), balance(&client));
    client.send(&one).await;
    tokio::time::sleep(Duration::from_millis(60)).await;
    client.send(&two).await;
    let events = client.events(300).await;
    assert!(events[0]["tags"].to_string().contains(&two.id.to_hex()));
    assert!(events[1]["tags"].to_string().contains(&one.id.to_hex()));
    let alone = balance(&client);
    client.send(&alone).await;
    assert_eq!(client.events(400).await.len(), 1, "a reply that nothing overtakes comes late");

    sandbox.relay().set_mode(RelayMode::NoOk);
    let request = balance(&client);
    client.send(&request).await;
    let first = client.frame(1000).await.unwrap();
    assert_eq!(first[0], "EVENT");

    for forward in [false, true] {
        sandbox.relay().set_mode(RelayMode::OkFalse { forward });
        let (before, request) = (sandbox.wallet().seen("get_balance"), balance(&client));
        client.send(&request).await;
        assert_eq!(client.until("OK").await[2], false);
        client.events(150).await;
        assert_eq!(sandbox.wallet().seen("get_balance") - before, usize::from(forward));
    }

    sandbox.relay().set_mode(RelayMode::Silent);
    let request = balance(&client);
    client.send(&request).await;
    assert!(client.frame(200).await.is_none());

    for forward in [false, true] {
        sandbox.relay().set_mode(RelayMode::Honest);
        let mut client = Client::connect(&sandbox, Nip47Ciphers::NIP44V2).await;
        sandbox.relay().set_mode(RelayMode::DropOnRequest { forward });
        let (before, request) = (sandbox.wallet().seen("get_balance"), balance(&client));
        client.send(&request).await;
        let ended = timeout(Duration::from_secs(1), client.socket.next()).await.expect("the socket stays open");
        assert!(matches!(ended, None | Some(Err(_))), "{ended:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(sandbox.wallet().seen("get_balance") - before, usize::from(forward));
    }

    let ask_info = async |mode: RelayMode| {
        sandbox.relay().set_mode(mode);
        let mut socket = dial(&sandbox.relay().url()).await;
        let filter = json!({"kinds": [13194], "authors": [wallet]});
        socket.send(Message::text(json!(["REQ", "i", filter]).to_string())).await.unwrap();
        (frame(&mut socket, 200).await, frame(&mut socket, 200).await)
    };
    assert_eq!(ask_info(RelayMode::NoInfo).await.0.unwrap()[0], "EOSE");
    let (info, end) = ask_info(RelayMode::NoEose).await;
    assert!(info.unwrap()[0] == "EVENT" && end.is_none());
    let (info, _) = ask_info(RelayMode::TamperInfo).await;
    let info = info.unwrap()[2].clone();
    assert!(!genuine(&info) && !info["tags"].to_string().contains("encryption"));
}

fn rand() -> [u8; 8] {
    let mut out = [0; 8];
    out.copy_from_slice(&Keys::generate().public_key().as_bytes()[..8]);
    out
}

#[tokio::test]
async fn the_wallet_finds_its_relay_again_after_the_relay_hung_up() {
    let sandbox = sandbox().await;
    sandbox.relay().disconnect_all();
    tokio::time::sleep(Duration::from_millis(200)).await;
    let mut client = Client::connect(&sandbox, Nip47Ciphers::NIP44V2).await;
    assert!(client.ask("get_balance", json!({})).await["error"].is_null());
}
