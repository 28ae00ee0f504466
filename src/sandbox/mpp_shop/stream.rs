//! A metered stream: one unit a chunk, a pause when the balance is used up, a receipt at the end
//! (draft-lightning-session-00, Streaming).

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    body::Body,
    http::{HeaderValue, header::CONTENT_TYPE},
    response::Response,
};
use serde_json::json;

use super::Gate;

/// How often a stream that pauses looks for a top-up.
const LOOK: Duration = Duration::from_millis(5);

/// Where a stream stands.
struct Flow {
    gate: Arc<Gate>,
    id: String,
    sent: u64,
    chunks: u64,
    /// How long it has paused, in milliseconds.
    paused_ms: Option<u64>,
    over: bool,
}

/// The answer of a stream of so many chunks.
pub(super) fn answer(gate: Arc<Gate>, id: String, chunks: u64) -> Response {
    let flow = Flow { gate, id, sent: 0, chunks, paused_ms: None, over: false };
    let pieces = futures_util::stream::unfold(flow, |mut flow| async move {
        let piece = flow.next().await?;
        Some((Ok::<_, Infallible>(piece), flow))
    });
    let mut response = Response::new(Body::from_stream(pieces));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    response
}

impl Flow {
    async fn next(&mut self) -> Option<String> {
        if self.over {
            return None;
        }
        loop {
            if self.sent == self.chunks {
                self.over = true;
                let spent = self.sent.saturating_mul(self.gate.options.unit_sat);
                let mut receipt = self.gate.receipt("", &self.id);
                receipt.insert("spent".into(), spent.into());
                receipt.insert("units".into(), self.sent.into());
                let receipt = serde_json::Value::Object(receipt);
                return Some(format!("event: payment-receipt\ndata: {receipt}\n\ndata: [DONE]\n\n"));
            }
            let Some((spent, enough)) = self.gate.take_unit(&self.id) else {
                self.over = true;
                return Some("event: error\ndata: {\"error\":\"the session is closed\"}\n\n".into());
            };
            if enough {
                self.sent += 1;
                self.paused_ms = None;
                return Some(format!("data: {{\"chunk\":{}}}\n\n", self.sent));
            }
            let balance = json!({
                "sessionId": self.id, "balanceSpent": spent, "balanceRequired": self.gate.options.unit_sat,
            });
            match self.paused_ms {
                None => {
                    self.paused_ms = Some(0);
                    return Some(format!("event: payment-need-topup\ndata: {balance}\n\n"));
                }
                Some(ms) if ms >= self.gate.options.patience_ms => {
                    self.over = true;
                    return Some(format!("event: session-timeout\ndata: {balance}\n\n"));
                }
                Some(ms) => {
                    tokio::time::sleep(LOOK).await;
                    self.paused_ms = Some(ms + LOOK.as_millis() as u64);
                }
            }
        }
    }
}
