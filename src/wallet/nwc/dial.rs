//! How a relay is reached.
//!
//! A relay's address comes from the operator's own wallet string, so any address may be reached: TLS verified, plain
//! text only to this machine. Whoever builds the wallet may bring another way to connect.

use std::{
    io,
    sync::{Arc, OnceLock},
    time::Duration,
};

use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;
use url::Url;

use crate::wallet::Boxed;

/// How long one address of a name is tried: a network that swallows IPv6 must leave time for the others.
const ADDRESS_WITHIN: Duration = Duration::from_secs(3);

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

/// Dials without a proxy, trusting the roots that Bursar is built with.
#[derive(Default)]
pub struct Direct {
    tls: OnceLock<Arc<rustls::ClientConfig>>,
}

impl Direct {
    /// The TLS settings, made at the first need: most start-ups never connect.
    fn tls(&self) -> io::Result<Arc<rustls::ClientConfig>> {
        if let Some(made) = self.tls.get() {
            return Ok(made.clone());
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(self.tls.get_or_init(|| Arc::new(config)).clone())
    }
}

impl Dial for Direct {
    fn dial<'a>(&'a self, relay: &'a Url) -> Boxed<'a, io::Result<Box<dyn Wire>>> {
        Box::pin(async move {
            let plain = relay.scheme() == "ws";
            let bad = || io::Error::from(io::ErrorKind::InvalidInput);
            let host = relay.host_str().ok_or_else(bad)?.trim_start_matches('[').trim_end_matches(']');
            let port = relay.port_or_known_default().ok_or_else(bad)?;
            let mut last = io::Error::from(io::ErrorKind::NotFound);
            for address in tokio::net::lookup_host((host, port)).await? {
                // A name that says "this machine" may still resolve to another one.
                if plain && !address.ip().is_loopback() {
                    last = io::ErrorKind::PermissionDenied.into();
                    continue;
                }
                let tcp = match timeout(ADDRESS_WITHIN, TcpStream::connect(address)).await {
                    Ok(Ok(tcp)) => tcp,
                    Ok(Err(error)) => {
                        last = error;
                        continue;
                    }
                    Err(_) => {
                        last = io::ErrorKind::TimedOut.into();
                        continue;
                    }
                };
                tcp.set_nodelay(true)?;
                if plain {
                    return Ok(Box::new(tcp) as Box<dyn Wire>);
                }
                let name = ServerName::try_from(host.to_owned()).map_err(|_| bad())?;
                let tls = TlsConnector::from(self.tls()?).connect(name, tcp).await?;
                return Ok(Box::new(tls) as Box<dyn Wire>);
            }
            Err(last)
        })
    }
}
