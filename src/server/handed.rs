//! Which answers really went out: a purchase counts as answered only when its response was written to the host.
//!
//! A host that dies, hangs up or cancels before that gets the stored answer when it asks again, free of charge.

use std::{
    collections::HashMap,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use rmcp::model::{Extensions, RequestId};
use tokio::io::AsyncWrite;

use crate::{ledger::PurchaseId, purchase::Purse};

/// The conversation that a request is of: its id is its own only there. Empty for standard input and output.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Exchange(pub(super) Arc<str>);

impl Exchange {
    /// The one that the transport noted with a request.
    pub(super) fn of(extensions: &Extensions) -> Exchange {
        let noted = extensions.get::<Exchange>();
        let noted = noted.or_else(|| extensions.get::<::http::request::Parts>()?.extensions.get::<Exchange>());
        noted.cloned().unwrap_or_default()
    }
}

/// Responses that hand over a purchase's answer and are not written yet, by their exchange and the JSON text of the
/// request's id.
#[derive(Clone)]
pub(super) struct Handed(Arc<Waiting>);

struct Waiting {
    purse: Purse,
    expected: Mutex<Expected>,
}

#[derive(Default)]
struct Expected {
    by_id: HashMap<(Exchange, String), (u64, PurchaseId)>,
    count: u64,
}

/// At most this many: a host that never reads its answers must not fill our memory.
const MOST: usize = 1024;

impl Handed {
    pub(super) fn new(purse: Purse) -> Handed {
        Handed(Arc::new(Waiting { purse, expected: Mutex::default() }))
    }

    /// The response to this request hands over this purchase's answer.
    pub(super) fn expect(&self, exchange: Exchange, request: &RequestId, purchase: PurchaseId) {
        let Ok(id) = serde_json::to_string(request) else { return };
        let mut expected = self.expected();
        if expected.by_id.len() >= MOST {
            // The one that has waited longest was never read: it is forgotten, and its answer is given again.
            let oldest = expected.by_id.iter().min_by_key(|(_, (n, _))| *n).map(|(key, _)| key.clone());
            oldest.and_then(|key| expected.by_id.remove(&key));
        }
        expected.count += 1;
        let n = expected.count;
        expected.by_id.insert((exchange, id), (n, purchase));
    }

    fn expected(&self) -> MutexGuard<'_, Expected> {
        self.0.expected.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A response with this id was written.
    pub(super) fn written(&self, exchange: &Exchange, id: String) {
        let Some((_, purchase)) = self.expected().by_id.remove(&(exchange.clone(), id)) else { return };
        self.0.purse.note_answered(purchase);
    }

    /// Watches what goes out through `inner`, one JSON-RPC message a line.
    pub(super) fn watch<W>(&self, inner: W) -> Watched<W> {
        Watched { inner, handed: self.clone(), lines: Lines::default(), unflushed: Vec::new() }
    }
}

/// A writer that notes which responses were flushed.
pub(super) struct Watched<W> {
    inner: W,
    handed: Handed,
    lines: Lines,
    /// The ids of lines that were written and not flushed yet.
    unflushed: Vec<String>,
}

/// A response's id stands within its first bytes.
const HEAD: usize = 512;

/// Reads along what goes out, line by line; of a line only its beginning is kept.
#[derive(Default)]
pub(super) struct Lines {
    head: Vec<u8>,
}

impl Lines {
    /// The ids of the responses whose lines ended in these bytes.
    pub(super) fn saw(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut ids = Vec::new();
        for line in bytes.split_inclusive(|b| *b == b'\n') {
            let room = HEAD.saturating_sub(self.head.len());
            self.head.extend_from_slice(&line[..line.len().min(room)]);
            if line.ends_with(b"\n") {
                ids.extend(response_id(&self.head));
                self.head.clear();
            }
        }
        ids
    }
}

/// The JSON text of a response's id: `{"jsonrpc":"2.0","id":ID,"result":...`, as a line or as the data of an event.
fn response_id(head: &[u8]) -> Option<String> {
    let head = String::from_utf8_lossy(head);
    let head = head.strip_prefix("data:").map_or(&*head, str::trim_start);
    let rest = head.strip_prefix("{\"jsonrpc\":\"2.0\",\"id\":")?;
    let mut ids = serde_json::Deserializer::from_str(rest).into_iter::<serde_json::Value>();
    let id = ids.next()?.ok()?;
    rest[ids.byte_offset()..].starts_with(",\"result\"").then(|| id.to_string())
}

impl<W: AsyncWrite + Unpin> AsyncWrite for Watched<W> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<std::io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(cx, buf);
        if let Poll::Ready(Ok(n)) = &written {
            let ids = self.lines.saw(&buf[..*n]);
            self.unflushed.extend(ids);
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let flushed = Pin::new(&mut self.inner).poll_flush(cx);
        if matches!(flushed, Poll::Ready(Ok(()))) {
            for id in std::mem::take(&mut self.unflushed) {
                self.handed.written(&Exchange::default(), id);
            }
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::response_id;

    #[test]
    fn only_a_result_names_the_call_it_answers() {
        let id = |text: &str| response_id(text.as_bytes());
        assert_eq!(id(r#"{"jsonrpc":"2.0","id":7,"result":{"#), Some("7".into()));
        assert_eq!(id(r#"data: {"jsonrpc":"2.0","id":7,"result":{"#), Some("7".into()));
        assert_eq!(id(r#"{"jsonrpc":"2.0","id":"a\"b","result":{"#), Some(r#""a\"b""#.into()));
        assert_eq!(id(r#"{"jsonrpc":"2.0","id":7,"error":{"#), None);
        assert_eq!(id(r#"event: {"jsonrpc":"2.0","id":7,"result":{"#), None);
        assert_eq!(id(r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"id":7,"result":1}}"#), None);
        assert_eq!(id(""), None);
    }
}
