//! Ways to a relay that count what is written, or lead elsewhere.

use std::sync::{Arc, Mutex};

use tokio::sync::Notify;

/// Counts what is written: the verbs of the frames in each write, in order.
#[derive(Default)]
pub struct Counting(Arc<Mutex<Vec<String>>>);

impl Counting {
    pub fn since(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

struct Counted(tokio::net::TcpStream, Arc<Mutex<Vec<String>>>);

impl bursar::wallet::nwc::Dial for Counting {
    fn dial<'a>(
        &'a self,
        relay: &'a url::Url,
    ) -> bursar::wallet::Boxed<'a, std::io::Result<Box<dyn bursar::wallet::nwc::Wire>>> {
        Box::pin(async move {
            let to = relay.as_str().trim_start_matches("ws://").trim_end_matches('/');
            let stream = tokio::net::TcpStream::connect(to).await?;
            Ok(Box::new(Counted(stream, self.0.clone())) as Box<dyn bursar::wallet::nwc::Wire>)
        })
    }
}

/// The frames' verbs, unmasked; empty for the handshake.
fn verbs(mut bytes: &[u8]) -> String {
    let mut verbs = Vec::new();
    while bytes.len() > 6 && bytes[0] == 0x81 {
        let (length, head) = match bytes[1] & 0x7f {
            126 => (usize::from(u16::from_be_bytes([bytes[2], bytes[3]])), 4),
            short => (usize::from(short), 2),
        };
        let (mask, body) = (&bytes[head..head + 4], &bytes[head + 4..head + 4 + length]);
        let text: Vec<u8> = body.iter().take(8).enumerate().map(|(n, b)| b ^ mask[n % 4]).collect();
        let text = String::from_utf8_lossy(&text).into_owned();
        verbs.extend(text.split('"').nth(1).map(str::to_owned));
        bytes = &bytes[head + 4 + length..];
    }
    verbs.join(" ")
}

impl tokio::io::AsyncRead for Counted {
    fn poll_read(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        into: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::pin::Pin::new(&mut self.0).poll_read(cx, into)
    }
}

impl tokio::io::AsyncWrite for Counted {
    fn poll_write(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        bytes: &[u8],
    ) -> std::task::Poll<std::io::Result<usize>> {
        let written = std::pin::Pin::new(&mut self.0).poll_write(cx, bytes);
        if let std::task::Poll::Ready(Ok(n)) = &written {
            assert_eq!(*n, bytes.len(), "a local socket takes it whole");
            self.1.lock().unwrap().extend(Some(verbs(bytes)).filter(|v| !v.is_empty()));
        }
        written
    }
    fn poll_flush(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::pin::Pin::new(&mut self.0).poll_flush(cx)
    }
    fn poll_shutdown(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::pin::Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// Dials wherever a test points it, whatever the wallet string says, and can cut what it dialled.
#[derive(Default)]
pub struct Redirect {
    to: Mutex<String>,
    cut: Arc<Notify>,
}

impl Redirect {
    pub fn to(&self, url: &str) {
        *self.to.lock().unwrap() = url.trim_start_matches("ws://").to_owned();
    }

    /// Cuts every open connection.
    pub fn cut(&self) {
        self.cut.notify_waiters();
    }
}

impl bursar::wallet::nwc::Dial for Redirect {
    fn dial<'a>(
        &'a self,
        _: &'a url::Url,
    ) -> bursar::wallet::Boxed<'a, std::io::Result<Box<dyn bursar::wallet::nwc::Wire>>> {
        Box::pin(async move {
            let to = self.to.lock().unwrap().clone();
            let mut far = tokio::net::TcpStream::connect(to).await?;
            let (near, mut relay) = tokio::io::duplex(64 << 10);
            let cut = self.cut.clone();
            tokio::spawn(async move {
                let cut = cut.notified();
                tokio::select! {
                    _ = tokio::io::copy_bidirectional(&mut relay, &mut far) => {}
                    () = cut => {}
                }
            });
            Ok(Box::new(near) as Box<dyn bursar::wallet::nwc::Wire>)
        })
    }
}
