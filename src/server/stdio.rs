//! Standard input and output: pipes and sockets without a thread a message, and an orderly end.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use rmcp::{ServiceExt, service::ServerInitializeError, transport::async_rw::AsyncRwTransport};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::Notify,
};

use super::Server;

/// The longest line that is read; longer ones are dropped, and the connection lives on.
const MAX_LINE: usize = 4 * 1024 * 1024;

type Reader = Box<dyn AsyncRead + Send + Unpin>;
type Writer = Box<dyn AsyncWrite + Send + Unpin>;

/// Serves MCP until standard input ends or the process is asked to stop. Open payments are then waited for (see
/// [`Purse::close`](crate::purchase::Purse::close)).
///
/// # Errors
/// Standard input or output cannot be used, or what comes in is not MCP from its first message on.
pub async fn serve_stdio(server: Server) -> io::Result<()> {
    let (reader, writer) = streams()?;
    let ended = Arc::new(Notify::new());
    let reader = Ended { inner: reader, ended: ended.clone(), told: false };
    let writer = server.handed.watch(writer);
    let purse = server.purse.clone();
    let transport = AsyncRwTransport::new_server(reader, writer).with_max_line_length(MAX_LINE);
    let running = tokio::select! {
        running = server.serve(transport) => running,
        () = stop() => return Ok(()),
    };
    let running = match running {
        Ok(running) => running,
        // A host that goes away before it said hello is no error: some start a copy only to look.
        Err(ServerInitializeError::ConnectionClosed(_)) => return Ok(()),
        Err(_) => return Err(io::Error::other("the host did not begin with a request, as MCP does")),
    };
    let cancel = running.cancellation_token();
    let waiting = running.waiting();
    tokio::pin!(waiting);
    tokio::select! {
        _ = &mut waiting => purse.close().await,
        () = ended.notified() => {
            // Calls under way may still be answered while open payments finish.
            let _ = tokio::join!(purse.close(), tokio::time::timeout(Duration::from_secs(5), &mut waiting));
            cancel.cancel();
        }
        () = stop() => {
            purse.close().await;
            cancel.cancel();
        }
    }
    Ok(())
}

/// Waits for the signals that ask a process to stop.
pub(super) async fn stop() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let (Ok(mut term), Ok(mut int)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) else {
            return std::future::pending().await;
        };
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
    }
    #[cfg(not(unix))]
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Node hosts give their children sockets, others give pipes; both are served without blocking threads.
fn streams() -> io::Result<(Reader, Writer)> {
    #[cfg(unix)]
    if let Some((reader, writer)) = sockets() {
        return Ok((reader, writer));
    }
    let (reader, writer) = rmcp::transport::io::stdio_pipes();
    Ok((Box::new(reader), Box::new(writer)))
}

#[cfg(unix)]
fn sockets() -> Option<(Reader, Writer)> {
    use std::os::{
        fd::{AsFd, OwnedFd},
        unix::{fs::FileTypeExt, net::UnixStream},
    };
    let socket = |fd: OwnedFd| -> Option<tokio::net::UnixStream> {
        let file = std::fs::File::from(fd);
        if !file.metadata().ok()?.file_type().is_socket() {
            return None;
        }
        let stream = UnixStream::from(OwnedFd::from(file));
        // Fails for a socket of another family, which is then served like any other stream.
        stream.peer_addr().ok()?;
        stream.set_nonblocking(true).ok()?;
        tokio::net::UnixStream::from_std(stream).ok()
    };
    let reader = socket(io::stdin().as_fd().try_clone_to_owned().ok()?)?;
    let writer = socket(io::stdout().as_fd().try_clone_to_owned().ok()?)?;
    Some((Box::new(reader), Box::new(writer)))
}

/// Tells when the host closed its end.
struct Ended {
    inner: Reader,
    ended: Arc<Notify>,
    told: bool,
}

impl AsyncRead for Ended {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.inner).poll_read(cx, buf);
        let over = match &read {
            Poll::Ready(Ok(())) => buf.filled().len() == before && buf.remaining() > 0,
            Poll::Ready(Err(_)) => true,
            Poll::Pending => false,
        };
        if over && !std::mem::replace(&mut self.told, true) {
            self.ended.notify_one();
        }
        read
    }
}
