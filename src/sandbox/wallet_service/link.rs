//! The wallet's socket to one relay.

use std::{sync::Arc, time::Duration};

use futures_util::{SinkExt as _, StreamExt as _};
use nostr::prelude::Event;
use serde_json::{Value, json};
use tokio::{
    net::TcpStream,
    sync::{broadcast::error::RecvError, watch},
};
use tokio_tungstenite::{client_async, tungstenite::Message};

use super::Service;

/// Keeps the wallet attached to one relay for as long as it is to be online.
pub(super) async fn stay_attached(service: Arc<Service>, relay: String) {
    let mut online = service.online.subscribe();
    loop {
        if online.wait_for(|online| *online).await.is_err() {
            return;
        }
        let mut attached = false;
        let _ = attach(&service, &relay, &mut attached).await;
        if attached {
            service.attached.send_modify(|n| *n -= 1);
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
}

/// One socket's life. `None` when it broke; either way the caller begins again.
async fn attach(service: &Arc<Service>, relay: &str, attached: &mut bool) -> Option<()> {
    let address = relay.strip_prefix("ws://")?.trim_end_matches('/');
    let stream = TcpStream::connect(address).await.ok()?;
    stream.set_nodelay(true).ok()?;
    let (socket, _) = client_async(relay, stream).await.ok()?;
    let (mut sink, mut source) = socket.split();
    let mut outbox = service.outbox.subscribe();
    let mut online = service.online.subscribe();

    // A relay answers in order, so the end of stored events also says that it has the info event.
    let filter = json!({"kinds": [23194], "#p": [service.wallet.public_key().to_hex()]});
    let subscribe = json!(["REQ", "requests", filter]).to_string();
    sink.feed(Message::text(json!(["EVENT", service.info()?]).to_string())).await.ok()?;
    sink.feed(Message::text(subscribe.as_str())).await.ok()?;
    sink.flush().await.ok()?;

    loop {
        tokio::select! {
            message = source.next() => match message?.ok()? {
                Message::Text(text) => {
                    let Ok(Value::Array(mut frame)) = serde_json::from_str::<Value>(text.as_str()) else { continue };
                    match frame.first().and_then(Value::as_str) {
                        Some("EVENT") if frame.len() == 3 => {
                            if let Ok(event) = serde_json::from_value::<Event>(frame[2].take()) {
                                service.take(event);
                            }
                        }
                        // A relay that wants to know who we are refused what came before.
                        Some("AUTH") => {
                            let identity = service.identity(relay, frame.get(1)?.as_str()?)?;
                            sink.feed(Message::text(json!(["AUTH", identity]).to_string())).await.ok()?;
                            sink.feed(Message::text(json!(["EVENT", service.info()?]).to_string())).await.ok()?;
                            sink.feed(Message::text(subscribe.as_str())).await.ok()?;
                            sink.flush().await.ok()?;
                        }
                        Some("EOSE") if !*attached => {
                            *attached = true;
                            service.attached.send_modify(|n| *n += 1);
                        }
                        _ => {}
                    }
                }
                Message::Close(_) => return Some(()),
                _ => {}
            },
            frame = outbox.recv() => match frame {
                Ok(frame) => sink.send(Message::text(frame)).await.ok()?,
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return Some(()),
            },
            () = gone_offline(&mut online) => {
                let _ = sink.close().await;
                return Some(());
            }
        }
    }
}

async fn gone_offline(online: &mut watch::Receiver<bool>) {
    let _ = online.wait_for(|online| !*online).await;
}
