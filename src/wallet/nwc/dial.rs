//! How a relay is reached: whoever builds the wallet brings the way, so that one rule about addresses stands in one place.

use std::io;

use tokio::io::{AsyncRead, AsyncWrite};
use url::Url;

use crate::wallet::Boxed;

/// Bytes in both directions: a TCP connection, with or without TLS on it.
pub trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

/// Reaches relays. Must set `TCP_NODELAY`: without it each request waits 40 ms for an acknowledgement.
pub trait Dial: Send + Sync {
    /// Connects to a `wss://` URL (through TLS, verified) or a `ws://` URL on this machine.
    ///
    /// Only the kind of an error is ever shown, since its text could quote a URL that holds a token.
    fn dial<'a>(&'a self, relay: &'a Url) -> Boxed<'a, io::Result<Box<dyn Wire>>>;
}
