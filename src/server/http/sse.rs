//! The older transport, HTTP+SSE (2024-11-05): answers come down one stream, messages go up to a letterbox.

use std::{
    collections::HashMap,
    convert::Infallible,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::body::{Body, Bytes};
use data_encoding::HEXLOWER;
use futures_util::stream;
use http::{Response, StatusCode, header};
use rmcp::{
    RoleServer, ServerHandler, ServiceExt,
    model::{ClientJsonRpcMessage, GetExtensions, JsonRpcMessage},
    service::{RxJsonRpcMessage, TxJsonRpcMessage},
};
use tokio::sync::mpsc;
use tokio_util::sync::PollSender;

use super::{agents::Agent, caps, reply::say};
use crate::server::handed::Exchange;

/// How many messages may wait on their way, each way.
const WAITING: usize = 16;

/// The open streams of one agent: what goes up, by the id of the stream.
#[derive(Default)]
pub(super) struct Letterboxes(Arc<Mutex<HashMap<String, mpsc::Sender<ClientJsonRpcMessage>>>>);

/// Closes a letterbox when its stream ends.
struct Open {
    boxes: Arc<Mutex<HashMap<String, mpsc::Sender<ClientJsonRpcMessage>>>>,
    id: String,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.boxes.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }
}

impl Letterboxes {
    fn boxes(&self) -> MutexGuard<'_, HashMap<String, mpsc::Sender<ClientJsonRpcMessage>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn len(&self) -> usize {
        self.boxes().len()
    }
}

/// The exchange that the ids of a stream's requests are of.
pub(super) fn exchange(id: &str) -> Exchange {
    Exchange(format!("sse:{id}").into())
}

/// Opens a stream: its first event names the letterbox. The stream's end ends the session.
pub(super) fn open<F: ServerHandler + Clone>(
    agent: &Arc<Agent<F>>,
) -> Result<(Exchange, Response<Body>), Box<Response<Body>>> {
    let (up, from_client) = mpsc::channel::<RxJsonRpcMessage<RoleServer>>(WAITING);
    let (down, to_client) = mpsc::channel::<TxJsonRpcMessage<RoleServer>>(WAITING);
    let id = HEXLOWER.encode(&crate::random::<16>());
    {
        let mut boxes = agent.letterboxes.boxes();
        if boxes.len() >= caps::SESSIONS {
            return Err(Box::new(say(StatusCode::TOO_MANY_REQUESTS, "too many streams are open")));
        }
        boxes.insert(id.clone(), up);
    }
    let open = Open { boxes: agent.letterboxes.0.clone(), id: id.clone() };
    let (server, stop) = (agent.face.clone(), agent.stop.child_token());
    let ended = stop.clone();
    let from_client = stream::unfold(from_client, |mut from| async move { Some((from.recv().await?, from)) });
    tokio::spawn(async move {
        let transport = (PollSender::new(down), Box::pin(from_client));
        // A stream on which nobody says hello ends with its connection.
        if let Ok(running) = server.serve_with_ct(transport, stop).await {
            let _ = running.waiting().await;
        }
    });
    let first = format!("event: endpoint\ndata: /messages?sessionId={id}\n\n");
    let events = stream::once(async move { Ok::<_, Infallible>(Bytes::from(first)) });
    let state = (to_client, open, ended.clone().drop_guard(), ended);
    let rest = stream::unfold(state, |mut state| async move {
        let event = tokio::select! {
            message = state.0.recv() => {
                let json = serde_json::to_string(&message?).ok()?;
                format!("event: message\ndata: {json}\n\n")
            }
            () = tokio::time::sleep(caps::KEEP_ALIVE) => ": alive\n\n".to_owned(),
            () = state.3.cancelled() => return None,
        };
        Some((Ok(Bytes::from(event)), state))
    });
    let body = Body::from_stream(futures_util::StreamExt::chain(events, rest));
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("text/event-stream"));
    Ok((exchange(&id), response))
}

/// Takes a message for the stream that the query names.
pub(super) async fn post<F>(agent: &Agent<F>, query: &str, message: &[u8]) -> Response<Body> {
    let id = query.split('&').find_map(|part| part.strip_prefix("sessionId=")).unwrap_or_default();
    let letterbox = agent.letterboxes.boxes().get(id).cloned();
    let Some(letterbox) = letterbox else { return say(StatusCode::NOT_FOUND, "there is no such stream") };
    let Ok(mut message) = serde_json::from_slice::<ClientJsonRpcMessage>(message) else {
        return say(StatusCode::BAD_REQUEST, "this is not a message of MCP");
    };
    if let JsonRpcMessage::Request(request) = &mut message {
        request.request.extensions_mut().insert(exchange(id));
    }
    match letterbox.send(message).await {
        Ok(()) => say(StatusCode::ACCEPTED, "Accepted"),
        Err(_) => say(StatusCode::NOT_FOUND, "there is no such stream"),
    }
}
