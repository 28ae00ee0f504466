//! TLS in front of a seller: an authority of one's own, and a wire that ends TLS and passes the bytes on.

use std::{path::PathBuf, sync::Arc};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer},
};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;

/// A certificate and its key.
pub type Leaf = (CertificateDer<'static>, PrivateKeyDer<'static>);

/// One authority, written to a file.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: tempfile::TempDir,
}

impl Authority {
    pub fn new() -> Authority {
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority");
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("roots.pem"), issuer.pem()).expect("a file");
        Authority { issuer, folder }
    }

    /// The PEM file for `extra_roots`.
    pub fn roots(&self) -> PathBuf {
        self.folder.path().join("roots.pem")
    }

    /// A certificate for a name or address, over since that year if one is given.
    pub fn leaf(&self, name: &str, over: Option<i32>) -> Leaf {
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        if let Some(year) = over {
            params.not_before = rcgen::date_time_ymd(year - 1, 1, 1);
            params.not_after = rcgen::date_time_ymd(year, 1, 1);
        }
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        (certificate.der().clone(), PrivateKeyDer::try_from(key.serialize_der()).expect("a key"))
    }
}

/// Ends TLS on a free port of loopback and passes the bytes on to a plain seller. Says the port; ends with the test.
pub async fn front((certificate, key): Leaf, seller: &str) -> u16 {
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("a certificate");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    let seller = seller.trim_start_matches("http://").to_owned();
    tokio::spawn(async move {
        while let Ok((wire, _)) = listener.accept().await {
            let (acceptor, seller) = (acceptor.clone(), seller.clone());
            tokio::spawn(async move {
                let Ok(mut wire) = acceptor.accept(wire).await else { return };
                let Ok(mut inner) = TcpStream::connect(seller).await else { return };
                let _ = copy_bidirectional(&mut wire, &mut inner).await;
            });
        }
    });
    port
}
