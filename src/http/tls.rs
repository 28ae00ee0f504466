//! TLS: one crypto provider, the web's certificate authorities, the operator's own, and no way to look away.

use std::{path::Path, sync::Arc};

use rustls::{
    CertificateError, ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};

use super::{Error, Settings};

/// Builds the TLS side of every connection we open, HTTP and relay links alike.
///
/// # Errors
/// [`Error::Refused`] with code `roots` when the PEM file of `extra_roots` cannot be read, holds no certificate, or
/// holds one that is not an authority's.
pub fn tls_config(settings: &Settings) -> Result<Arc<ClientConfig>, Error> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    if let Some(path) = &settings.extra_roots {
        add(&mut roots, path)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|_| Error::refused("tls", "TLS is not available in this build."))?;
    Ok(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
}

fn add(roots: &mut RootCertStore, path: &Path) -> Result<(), Error> {
    let refused = |why: &str| Error::refused("roots", format!("The file that extra_roots names {why}."));
    let mut found = false;
    for certificate in CertificateDer::pem_file_iter(path).map_err(|_| refused("cannot be read"))? {
        let certificate = certificate.map_err(|_| refused("is not a PEM file of certificates"))?;
        roots.add(certificate).map_err(|_| refused("holds a certificate that cannot be an authority's"))?;
        found = true;
    }
    if found { Ok(()) } else { Err(refused("holds no certificate")) }
}

/// Says why a peer's certificate was turned down, without quoting anything the peer wrote.
pub(super) fn objection(error: &rustls::Error) -> Option<&'static str> {
    let rustls::Error::InvalidCertificate(error) = error else { return None };
    Some(match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "has expired",
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => "is not valid yet",
        CertificateError::UnknownIssuer | CertificateError::BadSignature => "was not issued by an authority we trust",
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => "is for another host",
        CertificateError::Revoked => "was revoked",
        _ => "is not valid",
    })
}
