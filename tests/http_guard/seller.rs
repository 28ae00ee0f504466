//! Sellers on real sockets.

use std::{
    future::Future,
    net::Ipv4Addr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpListener,
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;
use url::Url;

pub trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

/// A seller: counts who connects, keeps what it hears, and answers as it was told.
pub struct Seller {
    pub port: u16,
    pub connects: Arc<AtomicUsize>,
    heard: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Drop for Seller {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Seller {
    /// A seller that gives one answer to everybody.
    pub async fn saying(answer: impl Into<Vec<u8>>) -> Seller {
        let answer = Arc::new(answer.into());
        Seller::doing(move |_, mut wire| {
            let answer = answer.clone();
            async move {
                let _ = wire.write_all(&answer).await;
                let _ = wire.shutdown().await;
            }
        })
        .await
    }

    /// A seller that is given the request and the connection.
    pub async fn doing<F, Fut>(act: F) -> Seller
    where
        F: Fn(String, Box<dyn Wire>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        Seller::open(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap(), None, act)
    }

    pub fn open<F, Fut>(listener: TcpListener, tls: Option<TlsAcceptor>, act: F) -> Seller
    where
        F: Fn(String, Box<dyn Wire>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let port = listener.local_addr().unwrap().port();
        let (connects, heard) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(Vec::new())));
        let (count, ears, act) = (connects.clone(), heard.clone(), Arc::new(act));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                let (tls, ears, act) = (tls.clone(), ears.clone(), act.clone());
                tokio::spawn(async move {
                    let mut wire: Box<dyn Wire> = match tls {
                        None => Box::new(stream),
                        Some(tls) => match tls.accept(stream).await {
                            Ok(stream) => Box::new(stream),
                            Err(_) => return,
                        },
                    };
                    let Some(request) = listen(&mut wire).await else { return };
                    ears.lock().unwrap().push(request.clone());
                    act(request, wire).await;
                });
            }
        });
        Seller { port, connects, heard, task }
    }

    pub fn url(&self, path: &str) -> Url {
        Url::parse(&format!("http://127.0.0.1:{}{path}", self.port)).unwrap()
    }

    pub fn connects(&self) -> usize {
        self.connects.load(Ordering::SeqCst)
    }

    /// Every request so far, in lower case.
    pub fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().iter().map(|r| r.to_lowercase()).collect()
    }
}

/// Reads one request, its body included.
pub async fn listen(wire: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        if wire.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|l| l.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
        if body.len() >= length.unwrap_or(0) {
            return Some(text);
        }
    }
}

pub fn reply(status: &str, fields: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n{fields}\r\n{body}", body.len())
}

pub fn redirect(status: u16, to: &str) -> String {
    reply(&format!("{status} Elsewhere"), &format!("Location: {to}\r\n"), "moved")
}
