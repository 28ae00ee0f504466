//! One connection: what was written to it, and which answers that were.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use axum::body::{Body, Bytes, HttpBody};
use http_body::{Frame, SizeHint};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

use crate::server::handed::{Exchange, Handed, Lines};

/// Answers that were given to a connection and are not flushed yet.
#[derive(Clone, Default)]
pub(super) struct Unflushed(Arc<Mutex<Vec<Noted>>>);

struct Noted {
    handed: Handed,
    exchange: Exchange,
    id: String,
}

impl Unflushed {
    fn note(&self, handed: &Handed, exchange: &Exchange, id: String) {
        let noted = Noted { handed: handed.clone(), exchange: exchange.clone(), id };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(noted);
    }

    fn flushed(&self) {
        for noted in std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner)) {
            noted.handed.written(&noted.exchange, noted.id);
        }
    }
}

/// The stream of one connection. A flush that succeeds means that all that was answered before went out.
pub(super) struct Wire {
    pub(super) stream: TcpStream,
    pub(super) unflushed: Unflushed,
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        if matches!(flushed, Poll::Ready(Ok(()))) {
            self.unflushed.flushed();
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// A response's body that is read along, and that holds what its request holds until it ends or is dropped.
pub(super) struct ReadAlong<H> {
    pub(super) inner: Body,
    pub(super) handed: Handed,
    pub(super) exchange: Exchange,
    pub(super) unflushed: Unflushed,
    pub(super) lines: Lines,
    /// Permits and the like.
    pub(super) _holds: H,
}

impl<H: Unpin> HttpBody for ReadAlong<H> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = Pin::new(&mut self.inner).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &frame
            && let Some(data) = frame.data_ref()
        {
            for id in self.lines.saw(data) {
                self.unflushed.note(&self.handed, &self.exchange, id);
            }
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
