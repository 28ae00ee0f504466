//! One loopback HTTP listener.

use std::net::SocketAddr;

use axum::{Router, serve::ListenerExt as _};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::SandboxError;

/// Binds a port; port 0 takes a free one.
pub(super) async fn bind(at: SocketAddr) -> Result<(TcpListener, SocketAddr), SandboxError> {
    let failed = |e| SandboxError::Bind(at, e);
    let listener = TcpListener::bind(at).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

/// Serves until `stop`; then idle connections close and those that are answering finish their answer.
pub(super) fn serve(listener: TcpListener, router: Router, stop: CancellationToken) {
    // Without it, Nagle and delayed acknowledgements cost 40 ms an answer.
    let listener = listener.tap_io(|io| {
        let _ = io.set_nodelay(true);
    });
    tokio::spawn(async move {
        let _ = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await;
    });
}
