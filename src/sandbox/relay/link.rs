//! One client's socket.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures_util::{SinkExt as _, StreamExt as _};
use nostr::prelude::ClientMessage;
use serde_json::json;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
    time::timeout,
};
use tokio_tungstenite::{
    accept_async_with_config,
    tungstenite::{Message, protocol::WebSocketConfig},
};

use super::{Connection, RelayMode, Shared, Then, WHO};
use crate::sandbox::lock;

/// Frames queued for a client that reads slowly.
const QUEUE: usize = 256;
/// Subscriptions one client may have open.
const SUBSCRIPTIONS: usize = 32;
/// Filters one subscription may have.
const FILTERS: usize = 16;
/// The longest subscription id, by NIP-01.
const NAME_BYTES: usize = 64;

/// Accepts sockets for ever.
pub(super) async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of file descriptors, most likely: give others time to close some.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let _ = stream.set_nodelay(true);
        let (outbox, inbox) = mpsc::channel(QUEUE);
        let id = {
            let state = &mut *lock(&shared.state);
            state.accepted += 1;
            if state.connections.len() >= shared.options.max_connections {
                continue;
            }
            let challenge = data_encoding::HEXLOWER.encode(&crate::random::<16>());
            let demand = json!(["AUTH", challenge]).to_string();
            let connection =
                Connection { challenge, known_as: None, outbox, subscriptions: BTreeMap::new(), held_back: None };
            let id = state.accepted;
            state.connections.insert(id, connection);
            if shared.options.demands_auth {
                state.tell(id, demand);
            }
            id
        };
        let (task, stop) = (shared.clone(), shared.stop.clone());
        tokio::spawn(stop.run_until_cancelled_owned(async move {
            serve(&task, id, stream, inbox).await;
            lock(&task.state).connections.remove(&id);
        }));
    }
}

async fn serve(shared: &Arc<Shared>, id: u64, stream: TcpStream, mut inbox: mpsc::Receiver<String>) {
    let limit = Some(shared.options.max_message);
    let config = WebSocketConfig::default().max_message_size(limit).max_frame_size(limit);
    let shaken = timeout(Duration::from_secs(5), accept_async_with_config(stream, Some(config))).await;
    let Ok(Ok(socket)) = shaken else { return };
    let (mut sink, mut source) = socket.split();
    while !shared.is_deaf() {
        tokio::select! {
            frame = inbox.recv() => {
                // The sender goes when the connection was cut off from outside.
                let Some(frame) = frame else { return };
                if sink.send(Message::text(frame)).await.is_err() {
                    return;
                }
            }
            message = source.next() => match message {
                Some(Ok(Message::Text(text))) if !shared.is_deaf() => {
                    if hear(shared, id, text.as_str()) == Then::Close {
                        return;
                    }
                }
                Some(Ok(Message::Text(_) | Message::Ping(_) | Message::Pong(_))) => {}
                _ => return,
            },
        }
    }
    // Until it is cut off: what was read last is not even answered by the protocol underneath.
    while inbox.recv().await.is_some() {}
}

fn hear(shared: &Arc<Shared>, id: u64, text: &str) -> Then {
    let notice = |word: &str| {
        lock(&shared.state).tell(id, json!(["NOTICE", word]).to_string());
        Then::Stay
    };
    match ClientMessage::from_json(text) {
        Ok(ClientMessage::Event(event)) => {
            if event.verify().is_err() {
                let state = &mut *lock(&shared.state);
                if state.mode != RelayMode::NoOk {
                    state.tell(id, super::store::ok(&event, false, "invalid: id or signature"));
                }
                return Then::Stay;
            }
            if !shared.knows(id) {
                lock(&shared.state).tell(id, super::store::ok(&event, false, WHO));
                return Then::Stay;
            }
            shared.publish(id, &event)
        }
        Ok(ClientMessage::Auth(event)) => {
            shared.identify(id, &event);
            Then::Stay
        }
        Ok(ClientMessage::Req { subscription_id, filters }) => {
            let name = subscription_id.as_str();
            let open = lock(&shared.state).connections.get(&id).map_or(0, |c| c.subscriptions.len());
            let refusal = if !shared.knows(id) {
                WHO
            } else if name.is_empty() || name.len() > NAME_BYTES {
                "invalid: subscription id"
            } else if filters.is_empty() || filters.len() > FILTERS {
                "invalid: number of filters"
            } else if open >= SUBSCRIPTIONS {
                "rate-limited: too many subscriptions"
            } else {
                let filters = filters.into_iter().map(|f| f.into_owned()).collect();
                shared.subscribe(id, name, filters);
                return Then::Stay;
            };
            lock(&shared.state).tell(id, json!(["CLOSED", name, refusal]).to_string());
            Then::Stay
        }
        Ok(ClientMessage::Close(name)) => {
            if let Some(connection) = lock(&shared.state).connections.get_mut(&id) {
                connection.subscriptions.remove(name.as_str());
            }
            Then::Stay
        }
        Ok(_) => notice("error: this relay knows EVENT, REQ, CLOSE and AUTH"),
        Err(_) => notice("error: unreadable message"),
    }
}
