//! Nothing secret in any error, `Debug` or trace.

use std::io::Write;

use super::*;

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
