//! Which certificates hold.

use std::{net::Ipv4Addr, path::PathBuf, sync::Arc};

use crate::{asking::*, seller::*};
use bursar::http::{Client, Error, Policy, Settings, tls_config};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer},
};
use tokio::{io::AsyncWriteExt, net::TcpListener};
use tokio_rustls::TlsAcceptor;
use url::Url;

/// A small world of certificates: one authority, written to a file.
pub struct World {
    authority: CertifiedIssuer<'static, KeyPair>,
    pub folder: tempfile::TempDir,
}

pub type Leaf = (CertificateDer<'static>, PrivateKeyDer<'static>);

impl World {
    pub fn new() -> World {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("roots.pem"), authority.pem()).unwrap();
        World { authority, folder }
    }

    pub fn roots(&self) -> PathBuf {
        self.folder.path().join("roots.pem")
    }

    pub fn settings(&self, seller: &Seller) -> Settings {
        Settings {
            allow_loopback: true,
            extra_ports: vec![seller.port],
            extra_roots: Some(self.roots()),
            ..Settings::default()
        }
    }

    pub fn leaf(&self, names: &[&str], expired: Option<i32>) -> Leaf {
        let mut params = CertificateParams::new(names.iter().map(|n| n.to_string()).collect::<Vec<_>>()).unwrap();
        if let Some(year) = expired {
            params.not_before = rcgen::date_time_ymd(year - 1, 1, 1);
            params.not_after = rcgen::date_time_ymd(year, 1, 1);
        }
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.authority).unwrap();
        (certificate.der().clone(), PrivateKeyDer::try_from(key.serialize_der()).unwrap())
    }

    pub async fn seller(&self, leaf: Leaf) -> Seller {
        self.seller_saying(leaf, reply("200 OK", "", "over TLS")).await
    }

    pub async fn seller_saying(&self, (certificate, key): Leaf, answer: String) -> Seller {
        let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        Seller::open(listener, Some(TlsAcceptor::from(Arc::new(config))), move |_, mut wire| {
            let answer = answer.clone();
            async move {
                let _ = wire.write_all(answer.as_bytes()).await;
                let _ = wire.shutdown().await;
            }
        })
    }
}

/// A54: a certificate that is self-signed, expired, early or another's ends the connection before the request.
#[tokio::test]
async fn a_certificate_that_does_not_hold_gets_no_request() {
    let world = World::new();
    let itself = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let itself = (itself.cert.der().clone(), PrivateKeyDer::try_from(itself.signing_key.serialize_der()).unwrap());
    for (leaf, why) in [
        (itself, "authority"),
        (World::new().leaf(&["localhost"], None), "authority"),
        (world.leaf(&["localhost"], Some(2020)), "expired"),
        (world.leaf(&["localhost"], Some(4000)), "not valid yet"),
        (world.leaf(&[SECRET], None), "another host"),
    ] {
        let seller = world.seller(leaf).await;
        let url = Url::parse(&format!("https://localhost:{}/", seller.port)).unwrap();
        for policy in [Policy::Seller, Policy::Operator] {
            let error = Client::new(world.settings(&seller)).send(policy, paying(get(url.clone()))).await.unwrap_err();
            let Error::Refused { code: "tls", say } = error else { panic!("{why}: {error:?}") };
            assert!(say.contains(why) && !say.contains(SECRET), "{say}");
        }
        assert_eq!(seller.heard(), Vec::<String>::new());
    }
}

/// A54: `extra_roots` adds authorities, for the HTTP client and the relay link alike, and fails closed.
#[tokio::test]
async fn extra_roots_add_an_authority() {
    let world = World::new();
    let seller = world.seller(world.leaf(&["localhost", "127.0.0.1"], None)).await;
    for host in ["localhost", "127.0.0.1"] {
        let url = Url::parse(&format!("https://{host}:{}/", seller.port)).unwrap();
        let answer = seller_send(&Client::new(world.settings(&seller)), get(url)).await.unwrap();
        assert_eq!(&answer.body[..], b"over TLS");
    }
    assert!(tls_config(&world.settings(&seller)).is_ok());

    let without = Settings { extra_roots: None, ..world.settings(&seller) };
    let url = Url::parse(&format!("https://localhost:{}/", seller.port)).unwrap();
    assert_eq!(refusal(seller_send(&Client::new(without), get(url.clone())).await), "tls");
    for (name, text) in [("missing", None), ("empty", Some("")), ("broken", Some("-----BEGIN CERTIFICATE-----\n!\n"))] {
        let path = world.folder.path().join(name);
        if let Some(text) = text {
            std::fs::write(&path, text).unwrap();
        }
        let broken = Settings { extra_roots: Some(path), ..world.settings(&seller) };
        assert_eq!(refusal(tls_config(&broken)), "roots", "{name}");
        assert_eq!(refusal(seller_send(&Client::new(broken), get(url.clone())).await), "roots", "{name}");
    }
}

/// The server starts in five milliseconds: a client reads its roots when it is first used, and not before.
#[tokio::test]
async fn a_client_reads_no_file_until_it_is_used() {
    let world = World::new();
    let seller = world.seller(world.leaf(&["localhost"], None)).await;
    let late = world.folder.path().join("late.pem");
    let client = Client::new(Settings { extra_roots: Some(late.clone()), ..world.settings(&seller) });
    std::fs::copy(world.roots(), late).unwrap();
    let url = Url::parse(&format!("https://localhost:{}/", seller.port)).unwrap();
    assert_eq!(seller_send(&client.clone(), get(url)).await.unwrap().status, 200);
}
