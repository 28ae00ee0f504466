//! The sandbox from outside: plain HTTP, a hand-made NWC client, and nothing of Bursar's own protocol code.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use bursar::{
    clock::Clock,
    sandbox::{
        Behaviour, Ciphers, Envelope, Fees, FeesSaid, JamieMode, LookupSaid, Money, PlayNode, PreimageSaid, Relay,
        RelayMode, RelayOptions, ReplySaid, Sandbox, SandboxOptions, WalletKeys, WalletOptions, WalletService,
    },
    secret::Secret,
};
use data_encoding::{BASE64, BASE64URL_NOPAD, HEXLOWER};
use futures_util::{SinkExt as _, StreamExt as _};
use lightning_invoice::Bolt11Invoice;
use nostr::prelude::{
    Event, EventBuilder, FinalizeEvent as _, Keys, Kind, Nip47Ciphers, NostrWalletConnectUri, Tag, Timestamp,
};
use serde_json::{Value, json};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{WebSocketStream, client_async, tungstenite::Message};

// ---------------------------------------------------------------------------------------------- a hand-made client

/// A NIP-47 client with as little sense as possible: it shows what came and judges nothing.
struct Client {
    socket: WebSocketStream<TcpStream>,
    uri: NostrWalletConnectUri,
    keys: Keys,
    cipher: Nip47Ciphers,
}

impl Client {
    async fn connect(sandbox: &Sandbox, cipher: Nip47Ciphers) -> Client {
        Client::dialled(&sandbox.nwc_uri(), cipher).await
    }

    async fn dialled(uri: &Secret, cipher: Nip47Ciphers) -> Client {
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
    async fn until(&mut self, kind: &str) -> Value {
        loop {
            let frame = self.frame(2000).await.unwrap_or_else(|| panic!("no {kind} came"));
            if frame[0] == kind {
                return frame;
            }
        }
    }

    async fn frame(&mut self, ms: u64) -> Option<Value> {
        frame(&mut self.socket, ms).await
    }

    fn request(&self, method: &str, params: Value, expires_at: Option<u64>) -> Event {
        let text = json!({"method": method, "params": params}).to_string();
        let content = self.cipher.encrypt(&self.uri.secret, &self.uri.public_key, &text).unwrap();
        let name = if self.cipher == Nip47Ciphers::NIP44V2 { "nip44_v2" } else { "nip04" };
        let mut tags = vec![Tag::public_key(self.uri.public_key), Tag::custom("encryption", [name])];
        tags.extend(expires_at.map(|at| Tag::expiration(Timestamp::from_secs(at))));
        EventBuilder::new(Kind::from(23194), content).tags(tags).finalize(&self.keys).unwrap()
    }

    async fn send(&mut self, event: &Event) {
        self.socket.send(Message::text(json!(["EVENT", event]).to_string())).await.unwrap();
    }

    /// Events that come within `ms`, verified or not.
    async fn events(&mut self, ms: u64) -> Vec<Value> {
        let mut events = Vec::new();
        while let Some(frame) = self.frame(ms).await {
            if frame[0] == "EVENT" {
                events.push(frame[2].clone());
            }
        }
        events
    }

    fn open(&self, event: &Value) -> Option<Value> {
        let content = event["content"].as_str()?.to_owned();
        let cipher = if content.contains("?iv=") { Nip47Ciphers::NIP04 } else { Nip47Ciphers::NIP44V2 };
        let text = cipher.decrypt(&self.uri.secret, &self.uri.public_key, &content).ok()?;
        Some(serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    /// Asks and returns the first reply to this request, or `None` after `ms`.
    async fn ask_within(&mut self, ms: u64, method: &str, params: Value) -> Option<Value> {
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

    async fn ask(&mut self, method: &str, params: Value) -> Value {
        self.ask_within(2000, method, params).await.unwrap_or_else(|| panic!("no reply to {method}"))
    }

    async fn pay(&mut self, invoice: &str) -> Value {
        self.ask("pay_invoice", json!({"invoice": invoice})).await
    }

    async fn look_up(&mut self, hash: &str) -> Value {
        self.ask("lookup_invoice", json!({"payment_hash": hash})).await
    }
}

async fn dial(url: &str) -> WebSocketStream<TcpStream> {
    let address = url.trim_start_matches("ws://").trim_end_matches('/');
    let stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    client_async(url, stream).await.unwrap().0
}

async fn frame(socket: &mut WebSocketStream<TcpStream>, ms: u64) -> Option<Value> {
    loop {
        match timeout(Duration::from_millis(ms), socket.next()).await.ok()?? {
            Ok(Message::Text(text)) => return serde_json::from_str(&text).ok(),
            Ok(_) => {}
            Err(_) => return None,
        }
    }
}

fn is_proof(preimage: &str, hash: &str) -> bool {
    let Ok(bytes) = HEXLOWER.decode(preimage.as_bytes()) else { return false };
    HEXLOWER.encode(ring::digest::digest(&ring::digest::SHA256, &bytes).as_ref()) == hash
}

fn http() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap()
}

async fn sandbox() -> Sandbox {
    Sandbox::start(SandboxOptions::default()).await.unwrap()
}

async fn sandbox_with(wallet: WalletOptions) -> Sandbox {
    Sandbox::start(SandboxOptions { wallet, ..SandboxOptions::default() }).await.unwrap()
}

/// What a challenge line says.
struct Challenge {
    scheme: String,
    token: String,
    invoice: String,
}

impl Challenge {
    fn all(response: &reqwest::Response) -> Vec<Challenge> {
        let lines = response.headers().get_all("www-authenticate").iter();
        lines.map(|l| Challenge::read(l.to_str().unwrap())).collect()
    }

    fn read(line: &str) -> Challenge {
        let (scheme, rest) = line.split_once(' ').unwrap();
        let value = |name: &str| {
            let at = rest.find(&format!("{name}=\"")).unwrap() + name.len() + 2;
            rest[at..].split('"').next().unwrap().to_owned()
        };
        Challenge { scheme: scheme.to_owned(), token: value("macaroon"), invoice: value("invoice") }
    }

    fn hash(&self) -> String {
        self.invoice.parse::<Bolt11Invoice>().unwrap().payment_hash().to_string()
    }

    /// Pays by hand and returns the header that should open the door.
    async fn buy(&self, client: &mut Client) -> String {
        let reply = client.pay(&self.invoice).await;
        let preimage = reply["result"]["preimage"].as_str().unwrap_or_else(|| panic!("{reply}"));
        assert!(is_proof(preimage, &self.hash()));
        format!("{} {}:{preimage}", self.scheme, self.token)
    }
}

const SEED: &str = "podcasts where small business owners discuss payment processing challenges";

async fn discover(sandbox: &Sandbox, header: Option<(&str, &str)>) -> reqwest::Response {
    post(sandbox, "/api/discover-podcasts", json!({"query": SEED}), header).await
}

async fn post(sandbox: &Sandbox, path: &str, body: Value, header: Option<(&str, &str)>) -> reqwest::Response {
    let mut request = http().post(format!("{}{path}", sandbox.jamie_url()));
    request = request.header("content-type", "application/json").body(body.to_string());
    if let Some((name, value)) = header {
        request = request.header(name, value);
    }
    request.send().await.unwrap()
}

async fn get(url: String, credential: Option<&str>) -> reqwest::Response {
    let mut request = http().get(url);
    if let Some(credential) = credential {
        request = request.header("authorization", credential);
    }
    request.send().await.unwrap()
}

async fn json_of(response: reqwest::Response) -> Value {
    serde_json::from_str(&response.text().await.unwrap()).unwrap()
}

// ------------------------------------------------------------------------------------------------------- purchases

#[tokio::test]
async fn a_purchase_at_jamie_by_hand_over_nip44_gets_the_podcasts_and_leaves_credit() {
    let sandbox = sandbox().await;
    let mut client = Client::connect(&sandbox, Nip47Ciphers::NIP44V2).await;
    let refused = discover(&sandbox, None).await;
    assert_eq!(refused.status(), 402);
    let challenge = Challenge::all(&refused).remove(0);
    let body = json_of(refused).await;
    assert_eq!((&body["amountSats"], &body["code"]), (&json!(10), &json!("PAYMENT_REQUIRED")));
    assert_eq!(body["creditInfo"]["pricingMicroUsd"]["discover-podcasts"], 5000);
    assert_eq!(
        (body["paymentHash"].as_str().unwrap(), body["invoice"].as_str().unwrap()),
        (&*challenge.hash(), &*challenge.invoice)
    );
    let token = BASE64URL_NOPAD.decode(challenge.token.as_bytes()).unwrap();
    assert!(token.starts_with(b"002clocation https://www.pullthatupjamie.ai\n0050identifier "), "V1 text packets");

    let credential = challenge.buy(&mut client).await;
    let first = discover(&sandbox, Some(("authorization", &credential))).await;
    assert_eq!(first.status(), 200);
    assert_eq!(first.headers()["x-credits-remaining-usd"], "0.005000");
    assert_eq!(first.headers()["x-credits-cost-usd"], "0.005000");
    assert_eq!(json_of(first).await["results"][0]["title"], "The Corner Till");
    assert_eq!(discover(&sandbox, Some(("authorization", &credential))).await.status(), 200);

    let more = "/api/discover-podcasts?amountSats=77";
    let spent = post(&sandbox, more, json!({"query": SEED}), Some(("authorization", &credential))).await;
    assert_eq!(spent.status(), 402);
    assert_ne!(Challenge::all(&spent)[0].token, challenge.token, "an old balance cannot be filled up");
    let spent = json_of(spent).await;
    assert_eq!((&spent["code"], &spent["balanceUsd"]), (&json!("INSUFFICIENT_FUNDS"), &json!(0.0)));
    assert_eq!(spent["amountSats"], 10, "amountSats is for anonymous callers");
    assert_eq!((sandbox.node().spent_msat(), sandbox.node().moved().len()), (10_000, 1));
}

#[tokio::test]
async fn a_purchase_at_aperture_by_hand_over_nip04_opens_its_service_again_and_again_and_no_other() {
    let sandbox = sandbox_with(WalletOptions { ciphers: Ciphers::OnlyNip04, ..WalletOptions::default() }).await;
    let mut client = Client::connect(&sandbox, Nip47Ciphers::NIP04).await;
    let base = sandbox.aperture_url();
    let refused = get(format!("{base}/v1/rates"), None).await;
    assert_eq!(refused.status(), 402);
    let challenges = Challenge::all(&refused);
    assert_eq!(refused.text().await.unwrap(), "payment required\n");
    assert_eq!([&*challenges[0].scheme, &*challenges[1].scheme], ["LSAT", "L402"]);
    let token = BASE64.decode(challenges[1].token.as_bytes()).unwrap();
    assert_eq!(token[..8], [2, 1, 4, b'l', b's', b'a', b't', 2]);
    assert_eq!((token[8], &token[9..11]), (66, &[0, 0][..]));
    assert_eq!(HEXLOWER.encode(&token[11..43]), challenges[1].hash());

    let credential = challenges[1].buy(&mut client).await;
    for _ in 0..3 {
        assert_eq!(get(format!("{base}/v1/rates"), Some(&credential)).await.status(), 200);
    }
    assert_eq!(get(format!("{base}/v1/rates"), Some(&credential.replace("L402", "LSAT"))).await.status(), 200);
    for other in ["large", "metered/x", "dynamic/a"] {
        assert_eq!(get(format!("{base}/v1/{other}"), Some(&credential)).await.status(), 402, "{other}");
    }
    assert_eq!(get(format!("{base}/v1/free"), None).await.status(), 200);
    assert_eq!(sandbox.node().spent_msat(), 21_000);
}

#[tokio::test]
async fn a_metered_token_runs_out_and_a_dynamic_one_opens_its_own_path_only() {
    let sandbox = sandbox().await;
    let mut client = Client::connect(&sandbox, Nip47Ciphers::NIP44V2).await;
    let base = sandbox.aperture_url();
    let url = format!("{base}/v1/metered/report");
    let credential = Challenge::all(&get(url.clone(), None).await)[1].buy(&mut client).await;
    for _ in 0..5 {
        assert_eq!(get(url.clone(), Some(&credential)).await.status(), 200);
    }
    let over = get(url.clone(), Some(&credential)).await;
    assert_eq!(over.status(), 402);
    let again = Challenge::all(&over)[1].buy(&mut client).await;
    assert_eq!(get(url, Some(&again)).await.status(), 200);

    let (one, two) = (format!("{base}/v1/dynamic/one"), format!("{base}/v1/dynamic/two"));
    let credential = Challenge::all(&get(one.clone(), None).await)[1].buy(&mut client).await;
    assert_eq!(get(one, Some(&credential)).await.status(), 200);
    assert_eq!(get(two, Some(&credential)).await.status(), 402);
    let large = Challenge::all(&get(format!("{base}/v1/large"), None).await)[1].buy(&mut client).await;
    assert!(get(format!("{base}/v1/large"), Some(&large)).await.text().await.unwrap().len() > 190_000);
    assert_eq!(sandbox.node().spent_msat(), 4 * 21_000);
}

#[tokio::test]
async fn a_credential_with_anything_wrong_gets_a_new_challenge_and_never_a_401() {
    let sandbox = sandbox().await;
    let mut client = Client::connect(&sandbox, Nip47Ciphers::NIP44V2).await;
    let jamie = Challenge::all(&discover(&sandbox, None).await).remove(0);
    let url = format!("{}/v1/rates", sandbox.aperture_url());
    let aperture = Challenge::all(&get(url.clone(), None).await).remove(1);
    let (good_jamie, good_aperture) = (jamie.buy(&mut client).await, aperture.buy(&mut client).await);
    let other = "11".repeat(32);

    // A token whose expiry was rewritten, under the right preimage.
    let mut bytes = BASE64URL_NOPAD.decode(jamie.token.as_bytes()).unwrap();
    let at = bytes.windows(9).position(|w| w == b"expires_a").unwrap() + 13;
    bytes[at] = b'9';
    let preimage = good_jamie.rsplit(':').next().unwrap();
    let changed = format!("L402 {}:{preimage}", BASE64URL_NOPAD.encode(&bytes));

    for wrong in [
        format!("L402 {}:{other}", jamie.token),
        changed,
        format!("L402 {}", jamie.token),
        format!("Bearer {}:{preimage}", jamie.token),
        good_aperture.clone(),
    ] {
        let response = discover(&sandbox, Some(("authorization", &wrong))).await;
        assert_eq!(response.status(), 402, "{wrong}");
        assert_ne!(Challenge::all(&response)[0].invoice, jamie.invoice);
    }
    let mut bytes = BASE64.decode(aperture.token.as_bytes()).unwrap();
    let at = bytes.windows(7).position(|w| w == b"rates:0").unwrap();
    bytes[at..at + 5].copy_from_slice(b"large");
    let preimage = good_aperture.rsplit(':').next().unwrap();
    let large = format!("{}/v1/large", sandbox.aperture_url());
    let forged = format!("L402 {}:{preimage}", BASE64.encode(&bytes));
    assert_eq!(get(large, Some(&forged)).await.status(), 402, "a caveat cannot be rewritten");
    for wrong in [format!("L402 {}:{other}", aperture.token), good_aperture.to_uppercase(), good_jamie.clone()] {
        assert_eq!(get(url.clone(), Some(&wrong)).await.status(), 402);
    }
    assert_eq!(get(url, Some(&good_aperture)).await.status(), 200);
    assert_eq!(discover(&sandbox, Some(("authorization", &good_jamie.replace("L402", "l402")))).await.status(), 200);
}

// ------------------------------------------------------------------------------------------------- Jamie's manners

#[tokio::test]
async fn the_free_tier_wants_its_exact_header_counts_down_and_ends_in_429() {
    let sandbox = sandbox().await;
    for wrong in ["1", "True", "yes", " true x"] {
        assert_eq!(discover(&sandbox, Some(("x-free-tier", wrong))).await.status(), 402);
    }
    for left in ["2", "1", "0"] {
        let response = discover(&sandbox, Some(("x-free-tier", "true"))).await;
        assert_eq!(
            (response.status().as_u16(), &response.headers()["x-quota-remaining"]),
            (200, &left.parse().unwrap())
        );
    }
    let response = discover(&sandbox, Some(("x-free-tier", "true"))).await;
    assert_eq!(response.status(), 429);
    assert_eq!(response.headers()["x-quota-used"], "3");
    let body = json_of(response).await;
    assert_eq!(
        (&body["code"], &body["max"], &body["daysUntilReset"]),
        (&json!("QUOTA_EXCEEDED"), &json!(3), &json!(7))
    );
    let quotes = post(&sandbox, "/api/search-quotes", json!({}), Some(("x-free-tier", "true"))).await;
    assert_eq!((quotes.status().as_u16(), &quotes.headers()["x-quota-used"]), (400, &"1".parse().unwrap()));
    sandbox.jamie().reset_quotas();
    assert_eq!(discover(&sandbox, Some(("x-free-tier", "true"))).await.status(), 200);
    assert_eq!(sandbox.node().spent_msat(), 0);
}

#[tokio::test]
async fn a_400_and_a_500_are_charged_and_the_balance_says_so() {
    let sandbox = sandbox().await;
    let mut client = Client::connect(&sandbox, Nip47Ciphers::NIP44V2).await;
    let refused = post(&sandbox, "/api/search-chapters?amountSats=50", json!({}), None).await;
    let challenge = Challenge::all(&refused).remove(0);
    assert_eq!(json_of(refused).await["amountSats"], 50);
    let credential = challenge.buy(&mut client).await;
    let balance = format!("{}/api/agent/balance", sandbox.jamie_url());
    assert_eq!(get(balance.clone(), None).await.status(), 401);

    let wrong =
        post(&sandbox, "/api/search-chapters", json!({"query": "fees"}), Some(("authorization", &credential))).await;
    assert_eq!(
        (wrong.status().as_u16(), &wrong.headers()["x-credits-remaining-usd"]),
        (400, &"0.042000".parse().unwrap())
    );
    sandbox.jamie().set_mode(JamieMode::Broken);
    let right = json!({"search": "fees"});
    let broken =
        post(&sandbox, "/api/search-chapters?amountSats=1", right.clone(), Some(("authorization", &credential))).await;
    assert_eq!(broken.status(), 500, "amountSats is ignored on a paid call");
    let said = json_of(get(balance, Some(&credential)).await).await;
    assert_eq!((&said["balanceUsdMicro"], &said["usedUsdMicro"]), (&json!(34_000), &json!(16_000)));

    sandbox.jamie().set_mode(JamieMode::LightningUnavailable);
    assert_eq!(
        post(&sandbox, "/api/search-chapters", right.clone(), Some(("authorization", &credential))).await.status(),
        200
    );
    let closed = post(&sandbox, "/api/search-chapters", right, None).await;
    assert_eq!(closed.status(), 503);
    assert_eq!(json_of(closed).await["code"], "LIGHTNING_UNAVAILABLE");
    sandbox.jamie().set_mode(JamieMode::Open);
    for bad in ["9", "500001", "ten", "-5", ""] {
        let path = format!("/api/search-quotes?amountSats={bad}");
        assert_eq!(post(&sandbox, &path, json!({}), None).await.status(), 400, "{bad}");
    }
}

#[tokio::test]
async fn the_documents_carry_the_real_traps_and_the_bare_domain_only_redirects() {
    let sandbox = sandbox().await;
    let base = sandbox.jamie_url();
    let openapi = json_of(get(format!("{base}/api/openapi.json"), None).await).await;
    let apex = openapi["servers"][0]["url"].as_str().unwrap().to_owned();
    assert_ne!(apex, base);
    assert_eq!(apex, sandbox.jamie().apex_url());
    assert!(!openapi.to_string().contains("x-payment-info"));
    assert!(openapi["paths"]["/api/search-quotes"]["post"]["responses"]["402"].is_null());
    assert!(get(format!("{base}/llms.txt"), None).await.text().await.unwrap().contains("X-Free-Tier: true"));
    assert_eq!(get(format!("{base}/api/corpus/stats"), None).await.status(), 200);
    assert_eq!(get(format!("{base}/api/corpus/feeds"), None).await.status(), 200);
    assert_eq!(get(format!("{base}/api/discover-podcasts"), None).await.status(), 404);

    let response = http().post(format!("{apex}/api/pull?x=1")).body("{}").send().await.unwrap();
    assert_eq!(response.status(), 301);
    assert_eq!(response.headers()["location"], format!("{base}/api/pull?x=1"));
    assert_eq!(sandbox.jamie().redirects(), 1);
    let pulled = post(&sandbox, "/api/pull", json!({"message": SEED}), Some(("x-free-tier", "true"))).await;
    assert!(json_of(pulled).await["text"].as_str().unwrap().contains("The Corner Till"));
}

// ------------------------------------------------------------------------------------------------------ the wallet

#[tokio::test]
async fn the_wallet_says_what_it_is_and_can_fill_its_own_purse() {
    let options = WalletOptions { notifications: true, ..WalletOptions::default() };
    let sandbox = sandbox_with(options).await;
    let mut client = Client::connect(&sandbox, Nip47Ciphers::NIP44V2).await;
    let info = client.ask("get_info", json!({})).await;
    assert_eq!((&info["result"]["network"], &info["result"]["alias"]), (&json!("regtest"), &json!("Bursar sandbox")));
    assert_eq!(client.ask("get_balance", json!({})).await["result"]["balance"], 100_000_000);
    let made = client.ask("make_invoice", json!({"amount": 7000, "description": "eggs"})).await;
    let hash = made["result"]["payment_hash"].as_str().unwrap().to_owned();
    assert_eq!(client.look_up(&hash).await["result"]["state"], "pending");
    assert!(sandbox.node().receive(&hash) && !sandbox.node().receive(&hash));
    assert_eq!(client.look_up(&hash).await["result"]["state"], "settled");
    assert_eq!(client.ask("get_balance", json!({})).await["result"]["balance"], 100_007_000);
    let paid = sandbox.node().invoice(5000, "x", 600).unwrap();
    client.pay(&paid.bolt11).await;
    let list = client.ask("list_transactions", json!({"type": "outgoing", "limit": 5})).await;
    assert_eq!(list["result"]["transactions"].as_array().unwrap().len(), 1);
    assert_eq!(list["result"]["transactions"][0]["payment_hash"], paid.payment_hash);
    assert_eq!(client.ask("sign_message", json!({})).await["error"]["code"], "NOT_IMPLEMENTED");
    assert_eq!(sandbox.wallet().seen("pay_invoice"), 1);
}

#[tokio::test]
async fn the_info_event_names_the_encryption_and_other_encryption_is_refused_in_the_wallets_way() {
    let sandbox = sandbox().await;
    for (ciphers, named) in
        [(Ciphers::Both, Some("nip44_v2 nip04")), (Ciphers::OnlyNip44, Some("nip44_v2")), (Ciphers::OnlyNip04, None)]
    {
        sandbox.wallet().set_ciphers(ciphers);
        tokio::time::sleep(Duration::from_millis(50)).await;
        let mut socket = dial(&sandbox.relay().url()).await;
        let filter = json!({"kinds": [13194], "authors": [sandbox.wallet().pubkey()]});
        socket.send(Message::text(json!(["REQ", "i", filter]).to_string())).await.unwrap();
        let event = frame(&mut socket, 2000).await.unwrap();
        let info: Event = serde_json::from_value(event[2].clone()).unwrap();
        assert!(info.verify().is_ok() && info.content.contains("pay_invoice"));
        let tag = info.tags.iter().find(|t| t.kind() == "encryption").and_then(|t| t.content());
        assert_eq!(tag, named);
    }
    let mut modern = Client::connect(&sandbox, Nip47Ciphers::NIP44V2).await;
    assert_eq!(modern.ask_within(300, "get_info", json!({})).await, None, "an old wallet cannot even answer");
    sandbox.wallet().set_ciphers(Ciphers::OnlyNip44);
    let mut old = Client::connect(&sandbox, Nip47Ciphers::NIP04).await;
    let no = old.ask("get_info", json!({})).await;
    assert_eq!((&no["error"]["code"], &no["result_type"]), (&json!("UNSUPPORTED_ENCRYPTION"), &json!("")));
}

#[tokio::test]
async fn a_lost_reply_hides_a_payment_that_lookup_shows_and_a_repeat_does_not_move_again() {
    let sandbox = sandbox().await;
    sandbox.node().set_fees(Fees { base_msat: 1000, ppm: 0 });
    let mut client = Client::connect(&sandbox, Nip47Ciphers::NIP44V2).await;
    let made = sandbox.node().invoice(20_000, "x", 600).unwrap();
    sandbox.wallet().next(Behaviour::lost_reply());
    assert_eq!(client.ask_within(300, "pay_invoice", json!({"invoice": made.bolt11})).await, None);
    let seen = client.look_up(&made.payment_hash).await;
    assert_eq!((&seen["result"]["state"], &seen["result"]["fees_paid"]), (&json!("settled"), &json!(1000)));
    assert!(is_proof(seen["result"]["preimage"].as_str().unwrap(), &made.payment_hash));
    assert_eq!(client.pay(&made.bolt11).await["error"]["code"], "PAYMENT_FAILED");
    assert_eq!((sandbox.node().spent_msat(), sandbox.node().moved().len()), (21_000, 1));
    assert_eq!((sandbox.wallet().pay_events().len(), sandbox.wallet().deliveries(&made.payment_hash)), (2, 2));
}

#[tokio::test]
async fn the_same_event_twice_is_one_payment_and_one_reply_but_counts_as_two_deliveries() {
    let relay = RelayOptions { keep: Duration::ZERO, ..RelayOptions::default() };
    let sandbox = Sandbox::start(SandboxOptions { relay, ..SandboxOptions::default() }).await.unwrap();
    let mut client = Client::connect(&sandbox, Nip47Ciphers::NIP44V2).await;
    let made = sandbox.node().invoice(20_000, "x", 600).unwrap();
    let event = client.request("pay_invoice", json!({"invoice": made.bolt11}), None);
    client.send(&event).await;
    client.send(&event).await;
    assert_eq!(client.events(300).await.len(), 1);
    assert_eq!((sandbox.wallet().pay_events().len(), sandbox.wallet().deliveries(&made.payment_hash)), (1, 2));
    assert_eq!(sandbox.wallet().seen("pay_invoice"), 1);
    assert_eq!(sandbox.relay().published(23194), 2);
}

#[tokio::test]
async fn a_held_payment_is_pending_until_it_is_released_or_failed() {
    let sandbox = sandbox().await;
    let mut client = Client::connect(&sandbox, Nip47Ciphers::NIP44V2).await;
    let [one, two] = [0, 1].map(|_| sandbox.node().invoice(20_000, "x", 600).unwrap());
    sandbox.wallet().always(Behaviour::holds());
    for made in [&one, &two] {
        assert_eq!(client.ask_within(200, "pay_invoice", json!({"invoice": made.bolt11})).await, None);
        assert_eq!(client.look_up(&made.payment_hash).await["result"]["state"], "pending");
    }
    assert_eq!(sandbox.wallet().in_flight(), [one.payment_hash.clone(), two.payment_hash.clone()]);
    assert_eq!(client.pay(&one.bolt11).await["error"]["code"], "PAYMENT_FAILED", "a repeat while in flight");
    assert_eq!(sandbox.node().spent_msat(), 0);
    assert!(sandbox.wallet().release(&one.payment_hash) && !sandbox.wallet().release(&one.payment_hash));
    assert!(sandbox.wallet().fail(&two.payment_hash));
    let said: Vec<Value> = client.events(300).await.iter().filter_map(|e| client.open(e)).collect();
    assert!(said.iter().any(|s| s["result"]["preimage"].is_string()), "the waiting reply comes after all");
    assert!(said.iter().any(|s| s["error"]["code"] == "PAYMENT_FAILED"));
    assert_eq!(client.look_up(&two.payment_hash).await["result"]["state"], "failed");
    assert_eq!(sandbox.node().spent_msat(), 20_000);
}

#[tokio::test]
async fn errors_come_with_or_without_money_and_at_once_or_later() {
    let sandbox = sandbox().await;
    let mut client = Client::connect(&sandbox, Nip47Ciphers::NIP44V2).await;
    let cases = [
        (Behaviour::refuses("EXPIRED"), "EXPIRED", 0, "NOT_FOUND"),
        (Behaviour::fails("PAYMENT_FAILED"), "PAYMENT_FAILED", 0, "failed"),
        (Behaviour::lies("INSUFFICIENT_BALANCE", Money::Settles), "INSUFFICIENT_BALANCE", 1000, "settled"),
        (Behaviour::lies("INTERNAL", Money::SettlesAfter(150)), "INTERNAL", 0, "pending"),
        (Behaviour::lies("OTHER", Money::Held), "OTHER", 0, "pending"),
    ];
    for (behaviour, code, moved, state) in cases {
        let before = sandbox.node().spent_msat();
        let made = sandbox.node().invoice(1000, "x", 600).unwrap();
        sandbox.wallet().next(behaviour.clone());
        assert_eq!(client.pay(&made.bolt11).await["error"]["code"], code, "{behaviour:?}");
        assert_eq!(sandbox.node().spent_msat() - before, moved, "{behaviour:?}");
        let seen = client.look_up(&made.payment_hash).await;
        let said = seen["result"]["state"].as_str().or(seen["error"]["code"].as_str());
        assert_eq!(said, Some(state), "{behaviour:?}");
        if matches!(behaviour.money, Money::SettlesAfter(_)) {
            tokio::time::sleep(Duration::from_millis(300)).await;
            assert_eq!(client.look_up(&made.payment_hash).await["result"]["state"], "settled");
        }
    }
    let late = sandbox.node().invoice(1000, "x", 600).unwrap();
    sandbox.wallet().next(Behaviour::silent_then_pays(150));
    assert_eq!(client.ask_within(100, "pay_invoice", json!({"invoice": late.bolt11})).await, None);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(sandbox.node().is_paid(&late.payment_hash));
    let slow = sandbox.node().invoice(1000, "x", 600).unwrap();
    sandbox.wallet().next(Behaviour::slow_reply(300));
    assert_eq!(client.ask_within(100, "pay_invoice", json!({"invoice": slow.bolt11})).await, None);
    assert!(sandbox.node().is_paid(&slow.payment_hash), "it pays first and dawdles then");
    sandbox.wallet().next(Behaviour::slow_payment(200));
    let slower = sandbox.node().invoice(1000, "x", 600).unwrap();
    assert_eq!(client.ask_within(80, "pay_invoice", json!({"invoice": slower.bolt11})).await, None);
    assert!(!sandbox.node().is_paid(&slower.payment_hash), "it dawdles first and pays then");
}

#[tokio::test]
async fn a_reply_can_lie_about_the_preimage_and_the_fee_and_come_in_odd_shapes() {
    let sandbox = sandbox().await;
    let mut client = Client::connect(&sandbox, Nip47Ciphers::NIP44V2).await;
    sandbox.node().set_fees(Fees { base_msat: 100, ppm: 0 });
    let mut say = async |behaviour: Behaviour| {
        let made = sandbox.node().invoice(1000, "x", 600).unwrap();
        sandbox.wallet().next(behaviour);
        let reply = client.pay(&made.bolt11).await;
        assert!(sandbox.node().is_paid(&made.payment_hash));
        (reply, made)
    };
    for (lie, length) in [(PreimageSaid::Wrong, 64), (PreimageSaid::Zeros, 64), (PreimageSaid::Empty, 0)] {
        let (reply, made) = say(Behaviour::shows(lie)).await;
        let shown = reply["result"]["preimage"].as_str().unwrap();
        assert!(shown.len() == length && !is_proof(shown, &made.payment_hash));
    }
    assert!(say(Behaviour::shows(PreimageSaid::Missing)).await.0["result"]["preimage"].is_null());
    let (reply, made) = say(Behaviour::shows(PreimageSaid::Invoice)).await;
    assert_eq!(reply["result"]["preimage"], made.bolt11);
    assert_eq!(say(Behaviour::claims(FeesSaid::Times(10))).await.0["result"]["fees_paid"], 1000);
    assert!(say(Behaviour::claims(FeesSaid::Missing)).await.0["result"]["fees_paid"].is_null());
    assert_eq!(say(Behaviour::says(ReplySaid::BareError("oh".into()))).await.0, json!({"error": "oh"}));
    let both = say(Behaviour::says(ReplySaid::ErrorAndResult("INTERNAL".into()))).await.0;
    assert!(both["error"]["code"] == "INTERNAL" && both["result"].is_object());
    assert_eq!(say(Behaviour::says(ReplySaid::WrongResultType)).await.0["result_type"], "get_info");
    assert!(say(Behaviour::says(ReplySaid::Garbage)).await.0.is_string());
}

#[tokio::test]
async fn lookups_can_be_forbidden_late_and_false() {
    let sandbox = sandbox().await;
    let mut client = Client::connect(&sandbox, Nip47Ciphers::NIP44V2).await;
    let made = sandbox.node().invoice(1000, "x", 600).unwrap();
    sandbox.wallet().next(Behaviour::honest().then_lookup(LookupSaid::NotAllowed));
    client.pay(&made.bolt11).await;
    assert_eq!(client.look_up(&made.payment_hash).await["error"]["code"], "RESTRICTED");
    assert!(sandbox.wallet().set_lookup(&made.payment_hash, LookupSaid::NotFound));
    assert_eq!(client.look_up(&made.payment_hash).await["error"]["code"], "NOT_FOUND");
    sandbox.wallet().set_lookup(&made.payment_hash, LookupSaid::ZeroPreimage);
    let zeros = client.look_up(&made.payment_hash).await["result"].clone();
    assert!(zeros["settled_at"].is_u64() && zeros["state"].is_null() && zeros["preimage"] == "0".repeat(64));
    for (lookup, state) in [(LookupSaid::Pending, "pending"), (LookupSaid::Failed, "failed")] {
        sandbox.wallet().set_lookup(&made.payment_hash, lookup);
        assert_eq!(client.look_up(&made.payment_hash).await["result"]["state"], state);
    }
    sandbox.wallet().set_lookup(&made.payment_hash, LookupSaid::NoPreimage);
    let bare = client.look_up(&made.payment_hash).await["result"].clone();
    assert!(bare["state"] == "settled" && bare["preimage"].is_null());
    sandbox.wallet().set_lookup(&made.payment_hash, LookupSaid::Nothing);
    let asked = json!({"payment_hash": made.payment_hash});
    assert_eq!(client.ask_within(200, "lookup_invoice", asked).await, None);
    assert_eq!(client.look_up(&"00".repeat(32)).await["error"]["code"], "NOT_FOUND");
}

#[tokio::test]
async fn envelopes_can_be_wrong_in_each_way() {
    let sandbox = sandbox().await;
    let mut client = Client::connect(&sandbox, Nip47Ciphers::NIP44V2).await;
    // Without a p tag the reply reaches only who asks by author.
    let filter = json!({"kinds": [23195], "authors": [sandbox.wallet().pubkey()], "limit": 0});
    client.socket.send(Message::text(json!(["REQ", "author", filter]).to_string())).await.unwrap();
    client.until("EOSE").await;
    for envelope in [Envelope::NoRequest, Envelope::ForeignRequest, Envelope::NoClient, Envelope::ForeignAuthor] {
        let made = sandbox.node().invoice(1000, "x", 600).unwrap();
        sandbox.wallet().next(Behaviour::sends(envelope));
        let request = client.request("pay_invoice", json!({"invoice": made.bolt11}), None);
        client.send(&request).await;
        let events = client.events(200).await;
        let reply = events.first().unwrap_or_else(|| panic!("{envelope:?}: nothing came"));
        assert!(serde_json::from_value::<Event>(reply.clone()).unwrap().verify().is_ok());
        let tagged = |name: &str, value: String| reply["tags"].as_array().unwrap().contains(&json!([name, value]));
        let ours = (tagged("p", client.keys.public_key().to_hex()), tagged("e", request.id.to_hex()));
        let by_wallet = reply["pubkey"] == sandbox.wallet().pubkey();
        let wanted = match envelope {
            Envelope::NoRequest | Envelope::ForeignRequest => (true, false, true),
            Envelope::NoClient => (false, true, true),
            _ => (true, true, false),
        };
        assert_eq!((ours.0, ours.1, by_wallet), wanted, "{envelope:?}");
        assert_eq!(events.len(), if by_wallet && ours.0 { 2 } else { 1 }, "{envelope:?}");
    }
}

#[tokio::test]
async fn the_wallets_own_budget_and_balance_stop_payments_before_money_moves() {
    let sandbox = sandbox_with(WalletOptions { quota_msat: Some(20_000), ..WalletOptions::default() }).await;
    let mut client = Client::connect(&sandbox, Nip47Ciphers::NIP44V2).await;
    let [first, second] = [0, 1].map(|_| sandbox.node().invoice(10_500, "x", 600).unwrap());
    assert!(client.pay(&first.bolt11).await["error"].is_null());
    assert_eq!(client.pay(&second.bolt11).await["error"]["code"], "QUOTA_EXCEEDED");
    sandbox.wallet().set_quota_msat(None);
    sandbox.node().set_balance_msat(10_000);
    assert_eq!(client.pay(&second.bolt11).await["error"]["code"], "INSUFFICIENT_BALANCE");
    sandbox.node().set_balance_msat(10_500);
    assert!(client.pay(&second.bolt11).await["error"].is_null());
    assert_eq!(client.pay("lnbc1nonsense").await["error"]["code"], "OTHER");
    assert_eq!(sandbox.node().spent_msat(), 21_000);
}

#[tokio::test]
async fn a_request_made_while_the_wallet_was_away_is_executed_when_it_returns() {
    let sandbox = sandbox().await;
    let mut client = Client::connect(&sandbox, Nip47Ciphers::NIP44V2).await;
    let made = sandbox.node().invoice(1000, "x", 600).unwrap();
    sandbox.wallet().go_offline().await;
    let event = client.request("pay_invoice", json!({"invoice": made.bolt11}), Some(1));
    client.send(&event).await;
    assert_eq!(client.until("OK").await[2], true, "the relay takes it though nobody is there");
    assert_eq!(sandbox.node().spent_msat(), 0);
    sandbox.wallet().go_online().await;
    client.until("EVENT").await;
    assert_eq!(sandbox.node().spent_msat(), 1000, "and an expired request is executed all the same");

    let careful = sandbox_with(WalletOptions { honour_expiration: true, ..WalletOptions::default() }).await;
    let mut client = Client::connect(&careful, Nip47Ciphers::NIP44V2).await;
    let made = careful.node().invoice(1000, "x", 600).unwrap();
    let event = client.request("pay_invoice", json!({"invoice": made.bolt11}), Some(1));
    client.send(&event).await;
    assert!(client.events(200).await.is_empty() && careful.node().spent_msat() == 0);
}

#[tokio::test]
async fn a_serial_wallet_answers_nobody_while_a_payment_is_stuck_and_tells_when_it_is_sent() {
    let options = WalletOptions { serial: true, notifications: true, ..WalletOptions::default() };
    let sandbox = sandbox_with(options).await;
    let mut client = Client::connect(&sandbox, Nip47Ciphers::NIP44V2).await;
    let filter = json!({"kinds": [23197], "#p": [client.keys.public_key().to_hex()]});
    client.socket.send(Message::text(json!(["REQ", "sent", filter]).to_string())).await.unwrap();
    let made = sandbox.node().invoice(1000, "x", 600).unwrap();
    sandbox.wallet().next(Behaviour::holds());
    assert_eq!(client.ask_within(150, "pay_invoice", json!({"invoice": made.bolt11})).await, None);
    assert_eq!(client.ask_within(150, "get_balance", json!({})).await, None);
    assert!(sandbox.wallet().release(&made.payment_hash));
    let events = client.events(300).await;
    assert_eq!(events.iter().filter(|e| e["kind"] == 23195).count(), 2, "then it answers both");
    let notice = events.iter().find(|e| e["kind"] == 23197).and_then(|e| client.open(e)).unwrap();
    assert_eq!(notice["notification_type"], "payment_sent");
    assert_eq!(notice["notification"]["payment_hash"], made.payment_hash);
}

#[tokio::test]
async fn a_wallet_on_two_relays_is_reached_over_either_and_pays_once() {
    let clock = Clock::system();
    let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let one = Relay::start(free, clock.clone(), RelayOptions::default()).await.unwrap();
    let two = Relay::start(free, clock.clone(), RelayOptions::default()).await.unwrap();
    let node = PlayNode::new(clock.clone(), 10_000);
    let relays = [one.url(), two.url()];
    let wallet =
        WalletService::start(&relays, node.clone(), clock, WalletKeys::random(), WalletOptions::default()).await;
    let wallet = wallet.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let mut first = Client::dialled(&wallet.nwc_uri_over(&[one.url()]), Nip47Ciphers::NIP44V2).await;
    let mut second = Client::dialled(&wallet.nwc_uri_over(&[two.url()]), Nip47Ciphers::NIP44V2).await;
    let made = node.invoice(1000, "x", 600).unwrap();
    let event = first.request("pay_invoice", json!({"invoice": made.bolt11}), None);
    first.send(&event).await;
    second.send(&event).await;
    assert_eq!((first.events(200).await.len(), second.events(200).await.len()), (1, 1));
    assert_eq!((node.spent_msat(), wallet.deliveries(&made.payment_hash)), (1000, 2));
    drop(one);
    assert_eq!(second.ask("get_balance", json!({})).await["result"]["balance"], 9000);
}

// ------------------------------------------------------------------------------------------------------- the relay

#[tokio::test]
async fn the_relay_speaks_nip01_and_refuses_what_is_not_signed() {
    let sandbox = sandbox().await;
    let mut client = Client::connect(&sandbox, Nip47Ciphers::NIP44V2).await;
    let event = client.request("get_info", json!({}), None);
    client.send(&event).await;
    assert_eq!(client.until("OK").await, json!(["OK", event.id.to_hex(), true, ""]));
    client.until("EVENT").await;
    client.send(&event).await;
    assert!(client.until("OK").await[3].as_str().unwrap().starts_with("duplicate:"));
    let mut forged = serde_json::to_value(&event).unwrap();
    forged["created_at"] = json!(5);
    client.socket.send(Message::text(json!(["EVENT", forged]).to_string())).await.unwrap();
    let refused = client.until("OK").await;
    assert!(refused[2] == false && refused[3].as_str().unwrap().starts_with("invalid:"));
    client.socket.send(Message::text("[\"WHAT\"]")).await.unwrap();
    client.until("NOTICE").await;
    client.socket.send(Message::text(json!(["REQ", "x".repeat(65), {}]).to_string())).await.unwrap();
    assert!(client.until("CLOSED").await[2].is_string());

    // Stored events by id, by tag and by time; then none after CLOSE.
    let id = event.id.to_hex();
    let at = event.created_at.as_secs();
    for (filter, found) in [
        (json!({"ids": [id]}), true),
        (json!({"#e": [id], "kinds": [23195]}), true),
        (json!({"kinds": [23194], "since": at, "until": at}), true),
        (json!({"kinds": [23194], "since": at + 1}), false),
        (json!({"kinds": [23194], "until": at - 1}), false),
        (json!({"kinds": [23194, 23195], "authors": [client.keys.public_key().to_hex()], "limit": 1}), true),
        (json!({"kinds": [1]}), false),
    ] {
        client.socket.send(Message::text(json!(["REQ", "q", filter]).to_string())).await.unwrap();
        let first = client.frame(1000).await.unwrap();
        assert_eq!(first[0], if found { "EVENT" } else { "EOSE" }, "{filter}");
        if found {
            assert_eq!(client.until("EOSE").await[1], "q");
        }
    }
    for name in ["q", "replies"] {
        client.socket.send(Message::text(json!(["CLOSE", name]).to_string())).await.unwrap();
    }
    let event = client.request("get_balance", json!({}), None);
    client.send(&event).await;
    assert!(client.events(200).await.is_empty());
}

#[tokio::test]
async fn the_relay_bounds_frames_and_connections_and_can_honour_expiration() {
    let relay = RelayOptions { max_connections: 2, honour_expiration: true, ..RelayOptions::default() };
    let sandbox = Sandbox::start(SandboxOptions { relay, ..SandboxOptions::default() }).await.unwrap();
    let mut client = Client::connect(&sandbox, Nip47Ciphers::NIP44V2).await;
    assert_eq!(sandbox.relay().connections(), 2);
    let stream = TcpStream::connect(sandbox.relay().url().trim_start_matches("ws://")).await.unwrap();
    assert!(client_async(sandbox.relay().url(), stream).await.is_err(), "a third socket is closed");
    let event = client.request("get_info", json!({}), Some(1));
    client.send(&event).await;
    assert_eq!(client.until("OK").await[2], false);
    client.socket.send(Message::text("x".repeat(600 * 1024))).await.unwrap_or_default();
    assert!(client.frame(1000).await.is_none(), "a frame beyond the cap ends the connection");
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(sandbox.relay().connections(), 1);
}

#[tokio::test]
async fn each_bad_relay_is_bad_in_its_own_way() {
    let sandbox = sandbox().await;
    let mut client = Client::connect(&sandbox, Nip47Ciphers::NIP44V2).await;
    let wallet = sandbox.wallet().pubkey();
    let id_of = |e: &Value| e["id"].as_str().unwrap().to_owned();
    let genuine = |e: &Value| serde_json::from_value::<Event>(e.clone()).is_ok_and(|e| e.verify().is_ok());
    let balance = |c: &Client| c.request("get_balance", json!({"n": HEXLOWER.encode(&rand())}), None);

    sandbox.relay().set_mode(RelayMode::Duplicate);
    let request = balance(&client);
    client.send(&request).await;
    let events = client.events(200).await;
    assert!(events.len() == 2 && id_of(&events[0]) == id_of(&events[1]));

    sandbox.relay().set_mode(RelayMode::ForgeFirst);
    let request = balance(&client);
    client.send(&request).await;
    let events = client.events(200).await;
    assert!(events.len() == 2 && events.iter().all(genuine));
    assert!(events[0]["pubkey"] != wallet && events[1]["pubkey"] == wallet);
    assert_eq!(events[0]["tags"], events[1]["tags"]);

    sandbox.relay().set_mode(RelayMode::ReplayOld);
    let request = balance(&client);
    client.send(&request).await;
    let events = client.events(200).await;
    assert!(events.len() >= 3 && events.iter().all(genuine), "{}", events.len());
    let last = events.last().unwrap()["tags"].to_string();
    assert!(last.contains(&request.id.to_hex()) && !events[0]["tags"].to_string().contains(&request.id.to_hex()));

    sandbox.relay().set_mode(RelayMode::TamperReplies);
    let request = balance(&client);
    client.send(&request).await;
    let events = client.events(200).await;
    assert!(events.len() == 1 && !genuine(&events[0]));

    sandbox.relay().set_mode(RelayMode::Reorder);
    let (one, two) = (balance(&client), balance(&client));
    client.send(&one).await;
    tokio::time::sleep(Duration::from_millis(60)).await;
    client.send(&two).await;
    let events = client.events(300).await;
    assert!(events[0]["tags"].to_string().contains(&two.id.to_hex()));
    assert!(events[1]["tags"].to_string().contains(&one.id.to_hex()));
    let alone = balance(&client);
    client.send(&alone).await;
    assert_eq!(client.events(400).await.len(), 1, "a reply that nothing overtakes comes late");

    sandbox.relay().set_mode(RelayMode::NoOk);
    let request = balance(&client);
    client.send(&request).await;
    let first = client.frame(1000).await.unwrap();
    assert_eq!(first[0], "EVENT");

    for forward in [false, true] {
        sandbox.relay().set_mode(RelayMode::OkFalse { forward });
        let (before, request) = (sandbox.wallet().seen("get_balance"), balance(&client));
        client.send(&request).await;
        assert_eq!(client.until("OK").await[2], false);
        client.events(150).await;
        assert_eq!(sandbox.wallet().seen("get_balance") - before, usize::from(forward));
    }

    sandbox.relay().set_mode(RelayMode::Silent);
    let request = balance(&client);
    client.send(&request).await;
    assert!(client.frame(200).await.is_none());

    for forward in [false, true] {
        sandbox.relay().set_mode(RelayMode::Honest);
        let mut client = Client::connect(&sandbox, Nip47Ciphers::NIP44V2).await;
        sandbox.relay().set_mode(RelayMode::DropOnRequest { forward });
        let (before, request) = (sandbox.wallet().seen("get_balance"), balance(&client));
        client.send(&request).await;
        let ended = timeout(Duration::from_secs(1), client.socket.next()).await.expect("the socket stays open");
        assert!(matches!(ended, None | Some(Err(_))), "{ended:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(sandbox.wallet().seen("get_balance") - before, usize::from(forward));
    }

    let ask_info = async |mode: RelayMode| {
        sandbox.relay().set_mode(mode);
        let mut socket = dial(&sandbox.relay().url()).await;
        let filter = json!({"kinds": [13194], "authors": [wallet]});
        socket.send(Message::text(json!(["REQ", "i", filter]).to_string())).await.unwrap();
        (frame(&mut socket, 200).await, frame(&mut socket, 200).await)
    };
    assert_eq!(ask_info(RelayMode::NoInfo).await.0.unwrap()[0], "EOSE");
    let (info, end) = ask_info(RelayMode::NoEose).await;
    assert!(info.unwrap()[0] == "EVENT" && end.is_none());
    let (info, _) = ask_info(RelayMode::TamperInfo).await;
    let info = info.unwrap()[2].clone();
    assert!(!genuine(&info) && !info["tags"].to_string().contains("encryption"));
}

fn rand() -> [u8; 8] {
    let mut out = [0; 8];
    out.copy_from_slice(&Keys::generate().public_key().as_bytes()[..8]);
    out
}

#[tokio::test]
async fn the_wallet_finds_its_relay_again_after_the_relay_hung_up() {
    let sandbox = sandbox().await;
    sandbox.relay().disconnect_all();
    tokio::time::sleep(Duration::from_millis(200)).await;
    let mut client = Client::connect(&sandbox, Nip47Ciphers::NIP44V2).await;
    assert!(client.ask("get_balance", json!({})).await["error"].is_null());
}

// ------------------------------------------------------------------------------------------------------- the whole

#[tokio::test]
async fn it_dies_with_its_handle() {
    let sandbox = sandbox().await;
    let urls = [sandbox.jamie_url(), sandbox.aperture_url(), sandbox.jamie().apex_url(), sandbox.relay().url()];
    let mut socket = dial(&urls[3]).await;
    drop(sandbox);
    assert!(frame(&mut socket, 1000).await.is_none());
    tokio::time::sleep(Duration::from_millis(100)).await;
    for url in urls {
        let address = url.split("//").nth(1).unwrap().to_owned();
        assert!(TcpStream::connect(&address).await.is_err(), "{url} still listens");
    }
}

#[tokio::test]
async fn a_restart_in_the_same_home_keeps_the_connection_string_and_the_tokens() {
    let home = tempfile::tempdir().unwrap();
    let options = || SandboxOptions { home: Some(home.path().to_owned()), ..SandboxOptions::default() };
    let sandbox = Sandbox::start(options()).await.unwrap();
    let mut client = Client::connect(&sandbox, Nip47Ciphers::NIP44V2).await;
    let wallet = sandbox.wallet().pubkey();
    let url = format!("{}/v1/rates", sandbox.aperture_url());
    let credential = Challenge::all(&get(url, None).await)[1].buy(&mut client).await;
    drop(sandbox);
    let sandbox = Sandbox::start(options()).await.unwrap();
    assert_eq!(sandbox.wallet().pubkey(), wallet);
    assert_eq!(get(format!("{}/v1/rates", sandbox.aperture_url()), Some(&credential)).await.status(), 200);
}

#[tokio::test]
async fn the_connection_string_is_never_printed_by_accident() {
    let sandbox = sandbox().await;
    let uri = sandbox.nwc_uri();
    let secret = uri.expose().rsplit('=').next().unwrap().to_owned();
    assert_eq!(secret.len(), 64);
    assert!(!format!("{sandbox:?} {uri:?} {uri}").contains(&secret));
    let two = sandbox.wallet().nwc_uri_over(&["ws://127.0.0.1:1", &sandbox.relay().url()]);
    assert_eq!(NostrWalletConnectUri::parse(two.expose()).unwrap().relays.len(), 2);
}
