//! How wallets reach their relays: under the operator policy of the guarded client.

use std::{
    io,
    sync::{Arc, OnceLock},
};

use rustls::pki_types::ServerName;
use tokio_rustls::TlsConnector;
use url::Url;

use super::{
    Boxed,
    nwc::{Dial, Wire},
};
use crate::http::{Policy, Settings, connect_tcp, tls_config};

/// Dials relays that the operator named: any address over TLS, plain text only on this machine, no proxy.
pub(super) struct Guarded {
    settings: Settings,
    tls: OnceLock<Arc<rustls::ClientConfig>>,
}

impl Guarded {
    pub(super) fn new(settings: Settings) -> Guarded {
        Guarded { settings, tls: OnceLock::new() }
    }

    /// The TLS side, made at the first need: most start-ups never connect.
    fn tls(&self) -> io::Result<Arc<rustls::ClientConfig>> {
        if let Some(made) = self.tls.get() {
            return Ok(made.clone());
        }
        let made = tls_config(&self.settings).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(self.tls.get_or_init(|| made).clone())
    }
}

impl Dial for Guarded {
    fn dial<'a>(&'a self, relay: &'a Url) -> Boxed<'a, io::Result<Box<dyn Wire>>> {
        Box::pin(async move {
            let tcp = connect_tcp(Policy::Operator, &self.settings, relay)
                .await
                .map_err(|_| io::Error::from(io::ErrorKind::ConnectionRefused))?;
            if relay.scheme() == "ws" {
                return Ok(Box::new(tcp) as Box<dyn Wire>);
            }
            let bad = || io::Error::from(io::ErrorKind::InvalidInput);
            let host = relay.host_str().ok_or_else(bad)?.trim_start_matches('[').trim_end_matches(']');
            let name = ServerName::try_from(host.to_owned()).map_err(|_| bad())?;
            let tls = TlsConnector::from(self.tls()?).connect(name, tcp).await?;
            Ok(Box::new(tls) as Box<dyn Wire>)
        })
    }
}
