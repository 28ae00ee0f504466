//! A hand-made NWC client and buyer.

use super::*;

/// A NIP-47 client with as little sense as possible: it shows what came and judges nothing.
pub struct Client {
    pub socket: WebSocketStream<TcpStream>,
    pub uri: NostrWalletConnectUri,
    pub keys: Keys,
    pub cipher: Nip47Ciphers,
}

impl Client {
    pub async fn connect(sandbox: &Sandbox, cipher: Nip47Ciphers) -> Client {
        Client::dialled(&sandbox.nwc_uri(), cipher).await
    }

    pub async fn dialled(uri: &Secret, cipher: Nip47Ciphers) -> Client {
        let uri = NostrWalletConnectUri::parse(uri.expose()).unwrap();
        let keys = Keys::new(uri.secret.clone());
        let mut socket = dial(&uri.relays[0].to_string()).await;
        let filter = json!({"kinds": [23195], "#p": [keys.public_key().to_hex()], "limit": 0});
        socket.send(Message::text(json!(["REQ", "replies", filter]).to_string())).await.unwrap();
        let mut client = Client { socket, uri, keys, cipher };
        client.until("EOSE").await;
        client
    }

    /// The next frame of this kind, within two seconds.
    pub async fn until(&mut self, kind: &str) -> Value {
        loop {
            let frame = self.frame(2000).await.unwrap_or_else(|| panic!("no {kind} came"));
            if frame[0] == kind {
                return frame;
            }
        }
    }

    pub async fn frame(&mut self, ms: u64) -> Option<Value> {
        frame(&mut self.socket, ms).await
    }

    pub fn request(&self, method: &str, params: Value, expires_at: Option<u64>) -> Event {
        let text = json!({"method": method, "params": params}).to_string();
        let content = self.cipher.encrypt(&self.uri.secret, &self.uri.public_key, &text).unwrap();
        let name = if self.cipher == Nip47Ciphers::NIP44V2 { "nip44_v2" } else { "nip04" };
        let mut tags = vec![Tag::public_key(self.uri.public_key), Tag::custom("encryption", [name])];
        tags.extend(expires_at.map(|at| Tag::expiration(Timestamp::from_secs(at))));
        EventBuilder::new(Kind::from(23194), content).tags(tags).finalize(&self.keys).unwrap()
    }

    pub async fn send(&mut self, event: &Event) {
        self.socket.send(Message::text(json!(["EVENT", event]).to_string())).await.unwrap();
    }

    /// Events that come within `ms`, verified or not.
    pub async fn events(&mut self, ms: u64) -> Vec<Value> {
        let mut events = Vec::new();
        while let Some(frame) = self.frame(ms).await {
            if frame[0] == "EVENT" {
                events.push(frame[2].clone());
            }
        }
        events
    }

    pub fn open(&self, event: &Value) -> Option<Value> {
        let content = event["content"].as_str()?.to_owned();
        let cipher = if content.contains("?iv=") { Nip47Ciphers::NIP04 } else { Nip47Ciphers::NIP44V2 };
        let text = cipher.decrypt(&self.uri.secret, &self.uri.public_key, &content).ok()?;
        Some(serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    /// Asks and returns the first reply to this request, or `None` after `ms`.
    pub async fn ask_within(&mut self, ms: u64, method: &str, params: Value) -> Option<Value> {
        let event = self.request(method, params, None);
        self.send(&event).await;
        loop {
            let frame = self.frame(ms).await?;
            let ours = |t: &Value| t[0] == "e" && t[1] == event.id.to_hex();
            if frame[0] == "EVENT" && frame[2]["tags"].as_array().unwrap().iter().any(ours) {
                return self.open(&frame[2]);
            }
        }
    }

    pub async fn ask(&mut self, method: &str, params: Value) -> Value {
        self.ask_within(2000, method, params).await.unwrap_or_else(|| panic!("no reply to {method}"))
    }

    pub async fn pay(&mut self, invoice: &str) -> Value {
        self.ask("pay_invoice", json!({"invoice": invoice})).await
    }

    pub async fn look_up(&mut self, hash: &str) -> Value {
        self.ask("lookup_invoice", json!({"payment_hash": hash})).await
    }
}

pub async fn dial(url: &str) -> WebSocketStream<TcpStream> {
    let address = url.trim_start_matches("ws://").trim_end_matches('/');
    let stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    client_async(url, stream).await.unwrap().0
}

pub async fn frame(socket: &mut WebSocketStream<TcpStream>, ms: u64) -> Option<Value> {
    loop {
        match timeout(Duration::from_millis(ms), socket.next()).await.ok()?? {
            Ok(Message::Text(text)) => return serde_json::from_str(&text).ok(),
            Ok(_) => {}
            Err(_) => return None,
        }
    }
}

pub fn is_proof(preimage: &str, hash: &str) -> bool {
    let Ok(bytes) = HEXLOWER.decode(preimage.as_bytes()) else { return false };
    HEXLOWER.encode(ring::digest::digest(&ring::digest::SHA256, &bytes).as_ref()) == hash
}

pub fn http() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap()
}

pub async fn sandbox() -> Sandbox {
    Sandbox::start(SandboxOptions::default()).await.unwrap()
}

pub async fn sandbox_with(wallet: WalletOptions) -> Sandbox {
    Sandbox::start(SandboxOptions { wallet, ..SandboxOptions::default() }).await.unwrap()
}

/// What a challenge line says.
pub struct Challenge {
    pub scheme: String,
    pub token: String,
    pub invoice: String,
}

impl Challenge {
    pub fn all(response: &reqwest::Response) -> Vec<Challenge> {
        let lines = response.headers().get_all("www-authenticate").iter();
        lines.map(|l| Challenge::read(l.to_str().unwrap())).collect()
    }

    pub fn read(line: &str) -> Challenge {
        let (scheme, rest) = line.split_once(' ').unwrap();
        let value = |name: &str| {
            let at = rest.find(&format!("{name}=\"")).unwrap() + name.len() + 2;
            rest[at..].split('"').next().unwrap().to_owned()
        };
        Challenge { scheme: scheme.to_owned(), token: value("macaroon"), invoice: value("invoice") }
    }

    pub fn hash(&self) -> String {
        self.invoice.parse::<Bolt11Invoice>().unwrap().payment_hash().to_string()
    }

    /// Pays by hand and returns the header that should open the door.
    pub async fn buy(&self, client: &mut Client) -> String {
        let reply = client.pay(&self.invoice).await;
        let preimage = reply["result"]["preimage"].as_str().unwrap_or_else(|| panic!("{reply}"));
        assert!(is_proof(preimage, &self.hash()));
        format!("{} {}:{preimage}", self.scheme, self.token)
    }
}

pub const SEED: &str = "podcasts where small business owners discuss payment processing challenges";

pub async fn discover(sandbox: &Sandbox, header: Option<(&str, &str)>) -> reqwest::Response {
    post(sandbox, "/api/discover-podcasts", json!({"query": SEED}), header).await
}

pub async fn post(sandbox: &Sandbox, path: &str, body: Value, header: Option<(&str, &str)>) -> reqwest::Response {
    let mut request = http().post(format!("{}{path}", sandbox.jamie_url()));
    request = request.header("content-type", "application/json").body(body.to_string());
    if let Some((name, value)) = header {
        request = request.header(name, value);
    }
    request.send().await.unwrap()
}

pub async fn get(url: String, credential: Option<&str>) -> reqwest::Response {
    let mut request = http().get(url);
    if let Some(credential) = credential {
        request = request.header("authorization", credential);
    }
    request.send().await.unwrap()
}

pub async fn json_of(response: reqwest::Response) -> Value {
    serde_json::from_str(&response.text().await.unwrap()).unwrap()
}
