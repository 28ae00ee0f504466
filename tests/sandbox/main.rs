//! The sandbox from outside: plain HTTP, a hand-made NWC client, and nothing of Bursar's own protocol code.

mod client;
mod jamie;
mod purchases;
mod relay;
mod wallet;

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use bursar::{
    clock::Clock,
    sandbox::{
        Behaviour, Ciphers, Envelope, Fees, FeesSaid, JamieMode, LookupSaid, Money, PlayNode, PreimageSaid, Relay,
        RelayMode, RelayOptions, ReplySaid, Sandbox, SandboxOptions, WalletKeys, WalletOptions, WalletService,
    },
    secret::Secret,
};
use client::*;
use data_encoding::{BASE64, BASE64URL_NOPAD, HEXLOWER};
use futures_util::{SinkExt as _, StreamExt as _};
use lightning_invoice::Bolt11Invoice;
use nostr::prelude::{
    Event, EventBuilder, FinalizeEvent as _, Keys, Kind, Nip47Ciphers, NostrWalletConnectUri, Tag, Timestamp,
};
use serde_json::{Value, json};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{WebSocketStream, client_async, tungstenite::Message};

#[tokio::test]
async fn it_dies_with_its_handle() {
    let sandbox = sandbox().await;
    let urls = [sandbox.jamie_url(), sandbox.aperture_url(), sandbox.jamie().apex_url(), sandbox.relay().url()];
    let mut socket = dial(&urls[3]).await;
    drop(sandbox);
    assert!(frame(&mut socket, 1000).await.is_none());
    tokio::time::sleep(Duration::from_millis(100)).await;
    for url in urls {
        let address = url.split("//").nth(1).unwrap().to_owned();
        assert!(TcpStream::connect(&address).await.is_err(), "{url} still listens");
    }
}

#[tokio::test]
async fn a_restart_in_the_same_home_keeps_the_connection_string_and_the_tokens() {
    let home = tempfile::tempdir().unwrap();
    let options = || SandboxOptions { home: Some(home.path().to_owned()), ..SandboxOptions::default() };
    let sandbox = Sandbox::start(options()).await.unwrap();
    let mut client = Client::connect(&sandbox, Nip47Ciphers::NIP44V2).await;
    let wallet = sandbox.wallet().pubkey();
    let url = format!("{}/v1/rates", sandbox.aperture_url());
    let credential = Challenge::all(&get(url, None).await)[1].buy(&mut client).await;
    drop(sandbox);
    let sandbox = Sandbox::start(options()).await.unwrap();
    assert_eq!(sandbox.wallet().pubkey(), wallet);
    assert_eq!(get(format!("{}/v1/rates", sandbox.aperture_url()), Some(&credential)).await.status(), 200);
}

#[tokio::test]
async fn the_connection_string_is_never_printed_by_accident() {
    let sandbox = sandbox().await;
    let uri = sandbox.nwc_uri();
    let secret = uri.expose().rsplit('=').next().unwrap().to_owned();
    assert_eq!(secret.len(), 64);
    assert!(!format!("{sandbox:?} {uri:?} {uri}").contains(&secret));
    let two = sandbox.wallet().nwc_uri_over(&["ws://127.0.0.1:1", &sandbox.relay().url()]);
    assert_eq!(NostrWalletConnectUri::parse(two.expose()).unwrap().relays.len(), 2);
}

/// The wallet can be put on a relay that is not the sandbox's: what is asked there is answered there, and the money is
/// the same.
#[tokio::test]
async fn its_wallet_can_use_a_relay_of_others() {
    let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let other = Relay::start(free, Clock::system(), RelayOptions::default()).await.unwrap();
    let at = other.url().trim_start_matches("ws://").trim_end_matches('/').parse().unwrap();
    let options = SandboxOptions { relay_of_others: Some(at), ..SandboxOptions::default() };
    let sandbox = Sandbox::start(options).await.unwrap();
    assert!(
        NostrWalletConnectUri::parse(sandbox.nwc_uri().expose()).unwrap().relays[0]
            .to_string()
            .contains(&at.to_string())
    );
    let mut client = Client::connect(&sandbox, Nip47Ciphers::NIP44V2).await;
    let made = sandbox.node().invoice(1000, "x", 600).unwrap();
    assert!(is_proof(client.pay(&made.bolt11).await["result"]["preimage"].as_str().unwrap(), &made.payment_hash));
    assert_eq!((sandbox.node().spent_msat(), other.published(23194), sandbox.relay().accepted()), (1000, 1, 0));
}

/// Play money stays on this machine.
#[test]
fn its_wallet_goes_to_no_relay_on_another_machine() {
    for relay in ["ws://10.0.0.1:7777", "ws://relay.example.com:80", "ws://127.0.0.1", "wss://127.0.0.1:7777", ""] {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_bursar"));
        let said = command.args(["sandbox", "--relay", relay]).env_clear().output().unwrap();
        assert_eq!(said.status.code(), Some(2), "{relay}");
        assert!(String::from_utf8_lossy(&said.stderr).contains("ws://127.0.0.1:PORT"), "{relay}");
    }
}
