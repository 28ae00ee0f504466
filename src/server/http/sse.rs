//! The older transport, HTTP+SSE (2024-11-05): answers come down one stream, messages go up to a letterbox.

use std::{
    collections::HashMap,
    convert::Infallible,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicUsize},
};

use axum::body::{Body, Bytes};
use data_encoding::HEXLOWER;
use futures_util::stream;
use http::{Response, StatusCode, header};
use rmcp::{
    RoleServer, ServerHandler, ServiceExt,
    model::{ClientJsonRpcMessage, ClientNotification, GetExtensions, JsonRpcMessage, RequestId},
    service::{RxJsonRpcMessage, TxJsonRpcMessage},
};
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, PollSender};

use super::{
    agents::Agent,
    caps,
    metrics::{Counted, Metrics},
    reply::say,
};
use crate::server::handed::Exchange;

/// How many messages may wait on their way up.
const WAITING: usize = 16;
/// How many may wait on their way down, where they may be large.
const LARGE: usize = 1;

/// What goes up, by the id of the stream.
type Boxes = HashMap<String, Letterbox>;

/// One open stream, seen from below.
#[derive(Clone)]
struct Letterbox {
    up: mpsc::Sender<ClientJsonRpcMessage>,
    down: mpsc::Sender<TxJsonRpcMessage<RoleServer>>,
    /// Requests whose answers have not come down yet.
    asked: Arc<Asked>,
}

/// The open streams of one agent.
#[derive(Default)]
pub(super) struct Letterboxes(Arc<Mutex<Boxes>>);

/// The ids of the requests of one stream that are not answered, each counted among the answers under way.
struct Asked {
    answers_now: Arc<AtomicUsize>,
    open: Mutex<HashMap<String, Counted>>,
}

impl Asked {
    fn open(&self) -> MutexGuard<'_, HashMap<String, Counted>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begins(&self, id: &RequestId) {
        self.open().insert(id.to_string(), Counted::new(&self.answers_now));
    }

    fn ends(&self, id: &RequestId) {
        self.open().remove(&id.to_string());
    }
}

/// Closes a letterbox when its stream ends.
struct Open {
    boxes: Arc<Mutex<Boxes>>,
    id: String,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.boxes.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }
}

impl Letterboxes {
    fn boxes(&self) -> MutexGuard<'_, Boxes> {
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
    metrics: &Metrics,
) -> Result<(Exchange, Response<Body>), Box<Response<Body>>> {
    let (up, from_client) = mpsc::channel::<RxJsonRpcMessage<RoleServer>>(WAITING);
    let (down, to_client) = mpsc::channel::<TxJsonRpcMessage<RoleServer>>(LARGE);
    let id = HEXLOWER.encode(&crate::random::<16>());
    let asked = Arc::new(Asked { answers_now: metrics.answers_now.clone(), open: Mutex::default() });
    {
        let mut boxes = agent.letterboxes.boxes();
        if boxes.len() >= caps::STREAMS {
            return Err(Box::new(say(StatusCode::TOO_MANY_REQUESTS, "too many streams are open")));
        }
        boxes.insert(id.clone(), Letterbox { up, down: down.clone(), asked: asked.clone() });
    }
    let open = Open { boxes: agent.letterboxes.0.clone(), id: id.clone() };
    let (server, stop) = (agent.face.clone(), agent.stop.child_token());
    let ended = stop.clone();
    tokio::spawn(end_unread(down.clone(), stop.clone()));
    let from_client = stream::unfold(from_client, |mut from| async move { Some((from.recv().await?, from)) });
    let over = ended.clone();
    tokio::spawn(async move {
        let transport = (PollSender::new(down), Box::pin(from_client));
        // A stream on which nobody says hello ends with its connection.
        if let Ok(running) = server.serve_with_ct(transport, stop).await {
            let _ = running.waiting().await;
        }
        over.cancel();
    });
    let first = format!("event: endpoint\ndata: /messages?sessionId={id}\n\n");
    let events = stream::once(async move { Ok::<_, Infallible>(Bytes::from(first)) });
    let state = (to_client, (open, asked), ended.clone().drop_guard(), ended);
    let rest = stream::unfold(state, |mut state| async move {
        let event = tokio::select! {
            // What is there goes out before the end does.
            biased;
            message = state.0.recv() => {
                let message = message?;
                match &message {
                    JsonRpcMessage::Response(response) => state.1.1.ends(&response.id),
                    JsonRpcMessage::Error(error) => error.id.iter().for_each(|id| state.1.1.ends(id)),
                    _ => {}
                }
                let json = serde_json::to_string(&message).ok()?;
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

/// Ends a stream whose messages nobody takes: they would stay in memory for as long as it is open.
async fn end_unread(down: mpsc::Sender<TxJsonRpcMessage<RoleServer>>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            room = tokio::time::timeout(caps::UNREAD, down.reserve()) => if room.is_err() {
                tracing::debug!("a stream was not read for {:?} and ends", caps::UNREAD);
                return stop.cancel();
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(caps::KEEP_ALIVE) => {}
        }
    }
}

/// Takes a message for the stream that the query names.
pub(super) async fn post<F>(agent: &Agent<F>, query: &str, message: &[u8]) -> Response<Body> {
    let id = query.split('&').find_map(|part| part.strip_prefix("sessionId=")).unwrap_or_default();
    let letterbox = agent.letterboxes.boxes().get(id).cloned();
    let Some(letterbox) = letterbox else { return say(StatusCode::NOT_FOUND, "there is no such stream") };
    let Ok(mut message) = serde_json::from_slice::<ClientJsonRpcMessage>(message) else {
        return say(StatusCode::BAD_REQUEST, "this is not a message of MCP");
    };
    match &mut message {
        JsonRpcMessage::Request(request) => {
            // Nothing more is asked for before what was asked for is read: answers that wait are memory.
            if tokio::time::timeout(caps::READ_FIRST, letterbox.down.reserve()).await.is_err() {
                return say(StatusCode::TOO_MANY_REQUESTS, "nobody reads the answers on this stream");
            }
            request.request.extensions_mut().insert(exchange(id));
            letterbox.asked.begins(&request.id);
        }
        // What is cancelled is not answered.
        JsonRpcMessage::Notification(notification) => {
            if let ClientNotification::CancelledNotification(cancelled) = &notification.notification
                && let Some(id) = &cancelled.params.request_id
            {
                letterbox.asked.ends(id);
            }
        }
        _ => {}
    }
    match letterbox.up.send(message).await {
        Ok(()) => say(StatusCode::ACCEPTED, "Accepted"),
        Err(_) => say(StatusCode::NOT_FOUND, "there is no such stream"),
    }
}
