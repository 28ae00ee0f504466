//! The guarded client: where we may connect, how much we read, no credential leaves its origin.
//!
//! ```text
//! vet_url ──> Client::send ──> hop ──> vet ──> resolve (vets again) ──> connect ──> read, bounded
//!                  ^                                                        │
//!                  └────────────── redirect (at most 3, each vetted) <──────┘
//! ```
//!
//! An address is judged three times: as text ([`vet_url`]), as a URL before each hop, and as the addresses that its
//! name resolves to. The connection is made to exactly the addresses that were judged, so that a name cannot change
//! its answer in between.

mod address;
mod body;
mod client;
mod error;
pub mod headers;
mod origin;
mod redirect;
mod resolve;
mod target;
mod tls;

use std::{fmt, path::PathBuf, sync::Arc};

pub use tokio_util::bytes::Bytes;

pub use self::{
    client::{Answer, Ask, Client, Limits},
    error::Error,
    origin::{Origin, Scheme},
    resolve::{Lookup, connect_tcp},
    target::{shown, vet_url},
    tls::tls_config,
};

/// What the operator decides about connections: the `[http]` part of the configuration.
#[derive(Clone, Default)]
pub struct Settings {
    /// Whether a seller may live on this machine: 127.0.0.0/8 and ::1, any port, plain text allowed.
    pub allow_loopback: bool,
    /// Ports a seller may use beside 443, 80, 8080 and 8443.
    pub extra_ports: Vec<u16>,
    /// A PEM file with certificate authorities that are trusted beside the web's.
    pub extra_roots: Option<PathBuf>,
    /// Names of request headers that a model may set beside the built-in ones.
    pub allow_headers: Vec<String>,
    /// Who turns names into addresses; `None` asks the operating system. Its answers are vetted all the same.
    pub resolver: Option<Arc<dyn Lookup>>,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("allow_loopback", &self.allow_loopback)
            .field("extra_ports", &self.extra_ports)
            .field("extra_roots", &self.extra_roots)
            .field("allow_headers", &self.allow_headers)
            .field("resolver", &self.resolver.as_ref().map(|_| "replaced"))
            .finish()
    }
}

/// Who wrote an address, and so how far it is trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Policy {
    /// A model, a seller or a catalogue: only the public internet, over TLS, on the usual ports.
    Seller,
    /// The operator, in the configuration: any address, plain text only to this machine, no redirects.
    Operator,
}
