//! A seller that does what the test says, with really signed invoices of the play network.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::State,
    http::{HeaderMap, Method, Request, Response, Uri},
};
use bursar::sandbox::PlayNode;
use data_encoding::{BASE64, HEXLOWER};

/// One request that reached the seller.
#[derive(Clone, Debug)]
pub struct Hit {
    pub method: Method,
    pub uri: Uri,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    /// The number of requests before this one.
    pub n: usize,
}

impl Hit {
    /// The token and preimage of an L402 or LSAT credential.
    pub fn credential(&self) -> Option<(String, String)> {
        let value = self.headers.get("authorization")?.to_str().ok()?;
        let (_, rest) = value.split_once(' ')?;
        let (token, preimage) = rest.rsplit_once(':')?;
        Some((token.to_owned(), preimage.to_owned()))
    }

    /// Whether it carries a credential.
    pub fn paid(&self) -> bool {
        self.headers.contains_key("authorization")
    }
}

/// What the seller says.
#[derive(Clone, Debug, Default)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Close the connection instead of answering.
    pub hang_up: bool,
    /// Wait for this before answering.
    pub gate: Option<Gate>,
    /// After the body, send one byte every tenth of a second for ever.
    pub endless: bool,
    /// Instead of a body, pieces of one, one after the other.
    pub drip: Option<Drip>,
}

/// A body that comes in pieces.
#[derive(Clone, Debug)]
pub struct Drip {
    pub every: std::time::Duration,
    pub pieces: Vec<Vec<u8>>,
    /// What comes after the last piece: the end, all of them again for ever, or nothing at all.
    pub then: Then,
}

/// How a body in pieces goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    End,
    Again,
    Silence,
    HangUp,
}

impl Drip {
    fn body(self) -> Body {
        let pieces = futures_util::stream::unfold((self, 0usize), |(drip, n)| async move {
            let round = n / drip.pieces.len();
            match (round, drip.then) {
                (0, _) | (_, Then::Again) => {}
                (_, Then::End) => return None,
                (_, Then::Silence) => std::future::pending().await,
                (_, Then::HangUp) => return Some((Err(std::io::Error::other("hang up")), (drip, n + 1))),
            }
            if n > 0 {
                tokio::time::sleep(drip.every).await;
            }
            Some((Ok(drip.pieces[n % drip.pieces.len()].clone()), (drip, n + 1)))
        });
        Body::from_stream(pieces)
    }
}

/// A gate that holds answers back until the test opens it; it stays open.
#[derive(Clone, Debug)]
pub struct Gate(Arc<tokio::sync::watch::Sender<bool>>);

impl Gate {
    /// A closed gate.
    pub fn closed() -> Gate {
        Gate(Arc::new(tokio::sync::watch::Sender::new(false)))
    }

    /// Opens it for good.
    pub fn open(&self) {
        self.0.send_replace(true);
    }

    async fn passed(&self) {
        let _ = self.0.subscribe().wait_for(|open| *open).await;
    }
}

impl Reply {
    pub fn ok(body: impl Into<Vec<u8>>) -> Reply {
        Reply { status: 200, body: body.into(), ..Reply::default() }.header("content-type", "application/json")
    }

    pub fn status(status: u16, body: impl Into<Vec<u8>>) -> Reply {
        Reply { status, body: body.into(), ..Reply::default() }
    }

    /// Holds the answer back until the gate is open.
    pub fn behind(mut self, gate: &Gate) -> Reply {
        self.gate = Some(gate.clone());
        self
    }

    /// An answer of this type in pieces.
    pub fn drips(kind: &str, drip: Drip) -> Reply {
        Reply { status: 200, drip: Some(drip), ..Reply::default() }.header("content-type", kind)
    }

    pub fn header(mut self, name: &str, value: &str) -> Reply {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// A 402 with one `L402` line.
    pub fn l402(token: &str, invoice: &str) -> Reply {
        Reply::status(402, "payment required\n")
            .header("www-authenticate", &format!("L402 macaroon=\"{token}\", invoice=\"{invoice}\""))
            .header("cache-control", "no-store")
    }
}

/// A token that commits to a payment hash the way aperture's do: a V2 macaroon with the 66-byte identifier.
pub fn token_for(payment_hash: &str) -> String {
    let hash = HEXLOWER.decode(payment_hash.as_bytes()).expect("hex");
    let mut token = vec![2, 1, 4];
    token.extend(b"lsat");
    token.extend([2, 66, 0, 0]);
    token.extend(&hash);
    token.extend([7; 32]);
    token.extend([0, 0, 6, 32]);
    token.extend([9; 32]);
    BASE64.encode(&token)
}

type Script = Arc<dyn Fn(&Hit) -> Reply + Send + Sync>;

/// A running seller.
pub struct Seller {
    address: SocketAddr,
    hits: Arc<Mutex<Vec<Hit>>>,
    task: tokio::task::JoinHandle<()>,
}

#[derive(Clone)]
struct Shop {
    script: Script,
    hits: Arc<Mutex<Vec<Hit>>>,
}

impl Seller {
    /// Starts a seller that answers each request by `script`.
    pub async fn start(script: impl Fn(&Hit) -> Reply + Send + Sync + 'static) -> Seller {
        Seller::start_at([127, 0, 0, 1], script).await
    }

    /// The same on another loopback address, which is another host to Bursar.
    pub async fn start_at(ip: [u8; 4], script: impl Fn(&Hit) -> Reply + Send + Sync + 'static) -> Seller {
        let listener = tokio::net::TcpListener::bind((std::net::IpAddr::from(ip), 0)).await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let hits = Arc::<Mutex<Vec<Hit>>>::default();
        let shop = Shop { script: Arc::new(script), hits: hits.clone() };
        let app = Router::new().fallback(serve).with_state(shop);
        let task = tokio::spawn(async move {
            let _ = axum::serve(listener, app).await;
        });
        Seller { address, hits, task }
    }

    /// Starts an honest L402 seller: `msat` a call, a bound token, any path; it checks the preimage.
    pub async fn honest(node: &PlayNode, msat: u64, body: &'static str) -> Seller {
        let node = node.clone();
        Seller::start(move |hit| match hit.credential() {
            Some((_, preimage)) if opens(&node, &preimage) => Reply::ok(body),
            _ => {
                let invoice = node.invoice(msat, "honest", 600).expect("an invoice");
                Reply::l402(&token_for(&invoice.payment_hash), &invoice.bolt11)
            }
        })
        .await
    }

    /// An honest seller whose tokens open only the path they were bought for.
    pub async fn honest_per_path(node: &PlayNode, msat: u64, body: &'static str) -> Seller {
        let node = node.clone();
        let sold = Mutex::new(std::collections::HashMap::<String, String>::new());
        Seller::start(move |hit| {
            let mut sold = sold.lock().unwrap();
            let path = hit.uri.path().to_owned();
            match hit.credential() {
                Some((token, preimage)) if sold.get(&token) == Some(&path) && opens(&node, &preimage) => {
                    Reply::ok(body)
                }
                _ => {
                    let invoice = node.invoice(msat, "honest", 600).expect("an invoice");
                    let token = token_for(&invoice.payment_hash);
                    sold.insert(token.clone(), path);
                    Reply::l402(&token, &invoice.bolt11)
                }
            }
        })
        .await
    }

    /// A URL at this seller.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Every request so far.
    pub fn hits(&self) -> Vec<Hit> {
        self.hits.lock().unwrap().clone()
    }
}

impl Drop for Seller {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Whether a preimage is one of the node's and was paid for.
pub fn opens(node: &PlayNode, preimage: &str) -> bool {
    let Ok(bytes) = HEXLOWER.decode(preimage.as_bytes()) else { return false };
    let hash = ring::digest::digest(&ring::digest::SHA256, &bytes);
    node.is_paid(&HEXLOWER.encode(hash.as_ref()))
}

async fn serve(State(shop): State<Shop>, request: Request<Body>) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, 4 << 20).await.unwrap_or_default().to_vec();
    let hit = {
        let mut hits = shop.hits.lock().unwrap();
        let n = hits.len();
        let hit = Hit { method: parts.method, uri: parts.uri, headers: parts.headers, body, n };
        hits.push(hit.clone());
        hit
    };
    let reply = (shop.script)(&hit);
    if let Some(gate) = &reply.gate {
        gate.passed().await;
    }
    if reply.hang_up {
        // A body that breaks off makes the client see a lost connection.
        let broken = futures_util::stream::once(async { Err::<Vec<u8>, _>(std::io::Error::other("hang up")) });
        return Response::builder().status(200).body(Body::from_stream(broken)).expect("a response");
    }
    let mut response = Response::builder().status(reply.status);
    for (name, value) in &reply.headers {
        response = response.header(name, value);
    }
    if reply.endless {
        let begin = futures_util::stream::once(async move { Ok::<Vec<u8>, std::io::Error>(reply.body) });
        let drip = futures_util::stream::unfold((), |()| async {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            Some((Ok(b".".to_vec()), ()))
        });
        let body = futures_util::StreamExt::chain(begin, drip);
        return response.body(Body::from_stream(body)).expect("a response");
    }
    let body = reply.drip.map_or_else(|| Body::from(reply.body), Drip::body);
    response.body(body).expect("a response")
}
