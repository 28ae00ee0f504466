//! Names into addresses, each of them judged before anything connects to it.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use futures_util::future::BoxFuture;
use tokio::net::TcpStream;
use url::{Host, Url};

use super::{
    Error, Policy, Settings,
    error::quoted,
    target::{is_localhost, loopback_refused, shown, vet, vet_address},
};

/// How long resolving and connecting may take together.
pub(super) const CONNECT: Duration = Duration::from_secs(10);

const MAX_ADDRESSES: usize = 32;

/// Turns a host name into addresses.
pub trait Lookup: Send + Sync {
    /// The addresses of a name, in the order in which they should be tried.
    fn lookup<'a>(&'a self, host: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>>;
}

/// Resolves a name to addresses that are all allowed; one that is not refuses the whole name.
pub(super) async fn resolve(policy: Policy, settings: &Settings, host: &str) -> Result<Vec<IpAddr>, Error> {
    if is_localhost(host) {
        if policy == Policy::Seller && !settings.allow_loopback {
            return Err(loopback_refused());
        }
        return Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
    }
    let found = match &settings.resolver {
        Some(other) => other.lookup(host).await,
        None => tokio::net::lookup_host((host, 0)).await.map(|found| found.map(|a| a.ip()).collect()),
    };
    let addresses: Vec<IpAddr> = found.unwrap_or_default();
    if addresses.is_empty() {
        return Err(Error::unsent(format!("`{}` has no address, or it could not be looked up.", quoted(host))));
    }
    // A mixed answer is how a name is bent towards the inside: the good addresses in it do not save it.
    for ip in &addresses {
        vet_address(policy, settings, *ip).map_err(|error| match error {
            Error::Refused { code, say } => Error::refused(code, format!("`{}`: {say}", quoted(host))),
            other => other,
        })?;
    }
    Ok(addresses.into_iter().take(MAX_ADDRESSES).collect())
}

/// Connects to the host of an address: judged, resolved, judged again, without delay for small packets.
///
/// TLS is the caller's, with [`tls_config`](super::tls_config).
///
/// # Errors
/// [`Error::Refused`] when the address is not allowed; [`Error::Failed`] with `sent: false` when nobody answers within
/// ten seconds.
pub async fn connect_tcp(policy: Policy, settings: &Settings, url: &Url) -> Result<TcpStream, Error> {
    vet(policy, settings, url)?;
    let failed = || Error::unsent(format!("No connection to {}.", shown(policy, url)));
    let port = url.port_or_known_default().ok_or_else(failed)?;
    let connecting = async {
        let addresses = match url.host().ok_or_else(failed)? {
            Host::Ipv4(ip) => vec![ip.into()],
            Host::Ipv6(ip) => vec![ip.into()],
            Host::Domain(name) => resolve(policy, settings, name).await?,
        };
        for ip in addresses {
            if let Ok(stream) = TcpStream::connect((ip, port)).await {
                // Without it each small frame waits for the last one's acknowledgement; a failure costs only time.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
        }
        Err(failed())
    };
    tokio::time::timeout(CONNECT, connecting).await.unwrap_or_else(|_| Err(failed()))
}

/// The resolver inside the HTTP client. IP literals never come here, so hops judge them beforehand.
pub(super) struct Vetted {
    pub(super) policy: Policy,
    pub(super) settings: Arc<Settings>,
}

impl reqwest::dns::Resolve for Vetted {
    fn resolve(&self, name: reqwest::dns::Name) -> reqwest::dns::Resolving {
        let (policy, settings) = (self.policy, self.settings.clone());
        Box::pin(async move {
            let addresses = resolve(policy, &settings, name.as_str()).await?;
            let sockets = addresses.into_iter().map(|ip| SocketAddr::new(ip, 0));
            Ok(Box::new(sockets) as reqwest::dns::Addrs)
        })
    }
}
