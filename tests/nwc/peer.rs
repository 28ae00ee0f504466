//! A relay and a wallet service in one, as honest or as hostile as a test's script makes them.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use bursar::{
    ledger::{Intent, PurchaseId},
    money::Amount,
    secret::Secret,
    wallet::{
        Bill,
        nwc::{NwcOptions, NwcWallet, Pace},
    },
};
use futures_util::{SinkExt, StreamExt};
use nostr::{
    event::{Event, EventBuilder, EventId, FinalizeEvent, Kind, Tag},
    key::Keys,
    nips::{nip04, nip44},
    types::Timestamp,
};
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Notify, mpsc, watch},
    time::Duration,
};
use tokio_tungstenite::{WebSocketStream, accept_async, tungstenite::Message};

pub const PREIMAGE: &str = "0101010101010101010101010101010101010101010101010101010101010101";
pub const HASH: &str = "72cd6e8422c407fb6d098690f1130b7ded7ec2f7f5e1d30bd9d521f015363793";
pub const INVOICE: &str = "lnbcrt-canary-invoice";

/// What a request asked, decrypted.
pub struct Asked {
    pub method: String,
    pub params: Value,
    pub event: Event,
    /// The how-manieth time these bytes arrived at this relay, from 1.
    pub time: usize,
}

/// What the peer does about a request.
pub enum Act {
    /// Delivers an event to whoever subscribed for the request.
    Send(Event),
    /// Delivers an event to the subscription for all replies, and to no other.
    ByKey(Event),
    /// Delivers it when told.
    When(Arc<Notify>, Event),
    /// Delivers it when the subscription was closed, under the old name.
    Late(Event),
    /// Writes a text as it is.
    Raw(String),
    /// Cuts the connection.
    Hangup,
    /// Reads and writes nothing more on this connection, and keeps it open.
    GoDeaf,
}

type Script = Box<dyn Fn(&Service, &Asked) -> Vec<Act> + Send + Sync>;

/// The wallet's side of the connection: it can make any event, true or forged.
#[derive(Clone)]
pub struct Service {
    pub wallet: Keys,
    pub client: Keys,
}

impl Service {
    pub fn new() -> Service {
        Service { wallet: Keys::generate(), client: Keys::generate() }
    }

    /// The wallet's description; `encryption` as the tag has it.
    pub fn info(&self, encryption: Option<&str>, methods: &str) -> Event {
        let tags: Vec<(&str, &str)> = encryption.map(|e| ("encryption", e)).into_iter().collect();
        self.info_with(&tags, methods)
    }

    /// The wallet's description with any tags.
    pub fn info_with(&self, tags: &[(&str, &str)], methods: &str) -> Event {
        let tags = tags.iter().map(|(name, value)| Tag::custom(*name, [*value]));
        EventBuilder::new(Kind::Custom(13194), methods).tags(tags).finalize(&self.wallet).unwrap()
    }

    /// The true reply to a request, in the request's own encryption.
    pub fn reply(&self, asked: &Asked, body: &Value) -> Event {
        self.made(asked.event.id, &self.wallet, 23195, is_nip44(&asked.event), &body.to_string())
    }

    /// Any reply at all.
    pub fn made(&self, to: EventId, author: &Keys, kind: u16, strong: bool, text: &str) -> Event {
        let peer = self.client.public_key();
        let content = if strong {
            nip44::encrypt(author.secret_key(), &peer, text, nip44::Version::V2).unwrap()
        } else {
            nip04::encrypt(author.secret_key(), &peer, text).unwrap()
        };
        EventBuilder::new(Kind::Custom(kind), content)
            .tags([Tag::public_key(peer), Tag::event(to)])
            .finalize(author)
            .unwrap()
    }

    fn read(&self, event: &Event) -> Option<(String, Value)> {
        let (secret, peer) = (self.wallet.secret_key(), self.client.public_key());
        let text = if is_nip44(event) {
            nip44::decrypt(secret, &peer, &event.content).ok()?
        } else {
            nip04::decrypt(secret, &peer, &event.content).ok()?
        };
        let value: Value = serde_json::from_str(&text).ok()?;
        Some((value["method"].as_str()?.to_owned(), value["params"].clone()))
    }

    pub fn uri(&self, relays: &[&str]) -> Secret {
        let relays: String = relays.iter().map(|r| format!("relay={r}&")).collect();
        let secret = self.client.secret_key().to_secret_hex();
        Secret::new(format!("nostr+walletconnect://{}?{relays}secret={secret}", self.wallet.public_key().to_hex()))
    }

    /// A wallet client with short waits.
    pub fn client(&self, relays: &[&str], change: impl FnOnce(&mut NwcOptions)) -> NwcWallet {
        let mut options = quick();
        change(&mut options);
        NwcWallet::new(&self.uri(relays), options).unwrap()
    }
}

pub fn is_nip44(event: &Event) -> bool {
    event.tags.iter().any(|t| t.kind() == "encryption" && t.content() == Some("nip44_v2"))
}

pub fn quick() -> NwcOptions {
    let ms = Duration::from_millis;
    NwcOptions {
        // Long enough for a busy machine; the tests that wait for silence shorten it.
        reply_timeout: ms(20_000),
        read_timeout: ms(20_000),
        pace: Pace { retry_from: ms(5), retry_to: ms(20), grace: ms(50), ..Pace::default() },
        ..NwcOptions::default()
    }
}

/// How a peer behaves apart from its script.
pub struct Manners {
    pub info: Vec<Event>,
    pub eose: bool,
    /// What it says to an event: taken or not, and why; or nothing.
    pub ok: Option<(bool, &'static str)>,
}

/// One frame from the client: the connection's number, the verb, and the id it is about.
pub type Line = (usize, String, String);

/// A relay on loopback with the wallet behind it.
pub struct Peer {
    pub url: String,
    pub lines: watch::Receiver<Vec<Line>>,
    /// Every event that was published, as the client wrote it.
    pub published: Arc<Mutex<Vec<String>>>,
}

impl Peer {
    pub async fn start(
        service: &Service,
        manners: Manners,
        script: impl Fn(&Service, &Asked) -> Vec<Act> + Send + Sync + 'static,
    ) -> Peer {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}", listener.local_addr().unwrap());
        let (log, lines) = watch::channel(Vec::new());
        let published = Arc::new(Mutex::new(Vec::new()));
        let world = Arc::new(World {
            service: service.clone(),
            manners,
            script: Box::new(script),
            log,
            times: Mutex::default(),
            published: published.clone(),
        });
        tokio::spawn(async move {
            for number in 1.. {
                let Ok((stream, _)) = listener.accept().await else { return };
                stream.set_nodelay(true).unwrap();
                tokio::spawn(world.clone().serve(number, stream));
            }
        });
        Peer { url, lines, published }
    }

    /// An honest nip44 relay and wallet that answers by `script`'s bodies.
    pub async fn honest(service: &Service, body: impl Fn(&Asked) -> Value + Send + Sync + 'static) -> Peer {
        let manners = Manners { info: vec![service.info(Some("nip44_v2 nip04"), ALL)], eose: true, ok: TAKEN };
        Peer::start(service, manners, move |s, asked| vec![Act::Send(s.reply(asked, &body(asked)))]).await
    }

    /// A polite relay whose wallet follows `script`.
    pub async fn scripted(
        service: &Service,
        script: impl Fn(&Service, &Asked) -> Vec<Act> + Send + Sync + 'static,
    ) -> Peer {
        let manners = Manners { info: vec![service.info(Some("nip44_v2"), ALL)], eose: true, ok: TAKEN };
        Peer::start(service, manners, script).await
    }

    /// Waits until the frames heard so far satisfy `enough`, and gives them.
    pub async fn until(&self, enough: impl Fn(&[Line]) -> bool) -> Vec<Line> {
        let mut lines = self.lines.clone();
        let seen = tokio::time::timeout(Duration::from_secs(20), lines.wait_for(|l| enough(l))).await;
        seen.expect("the client never sent what was waited for").unwrap().clone()
    }

    pub fn count(&self, verb: &str) -> usize {
        self.lines.borrow().iter().filter(|(_, v, _)| v == verb).count()
    }
}

pub const ALL: &str = "pay_invoice get_info get_balance lookup_invoice list_transactions";
pub const TAKEN: Option<(bool, &str)> = Some((true, ""));

/// A relay address where nothing listens.
pub async fn dead() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("ws://{}", listener.local_addr().unwrap())
}

struct World {
    service: Service,
    manners: Manners,
    script: Script,
    log: watch::Sender<Vec<Line>>,
    times: Mutex<HashMap<String, usize>>,
    published: Arc<Mutex<Vec<String>>>,
}

impl World {
    async fn serve(self: Arc<World>, number: usize, stream: TcpStream) {
        self.note(number, "connect", "");
        let Ok(mut socket) = accept_async(stream).await else { return };
        let (mut subs, mut late) = (HashMap::<String, String>::new(), Vec::<(String, Event)>::new());
        let mut by_key = String::new();
        let (held, mut released) = mpsc::unbounded_channel::<(String, Event)>();
        loop {
            let message = tokio::select! {
                message = socket.next() => message,
                Some((sub, event)) = released.recv() => {
                    say(&mut socket, json!(["EVENT", sub, event])).await;
                    continue;
                }
            };
            let text = match message {
                Some(Ok(Message::Text(text))) => text,
                Some(Ok(Message::Ping(_))) => {
                    self.note(number, "ping", "");
                    continue;
                }
                Some(Ok(_)) => continue,
                _ => return self.note(number, "gone", ""),
            };
            let frame: Value = serde_json::from_str(text.as_str()).unwrap();
            match frame[0].as_str().unwrap() {
                "REQ" => {
                    let sub = frame[1].as_str().unwrap().to_owned();
                    self.note(number, "REQ", &sub);
                    // Clocks differ, so a time in the filter would lose replies.
                    assert!(frame[2].get("since").is_none() && frame[2].get("until").is_none());
                    assert_eq!(frame[2]["authors"], json!([self.service.wallet.public_key().to_hex()]));
                    if frame[2].get("#e").is_none() && frame[2]["kinds"][0] != 13194 {
                        // All replies, or all notifications, for us and nobody else.
                        assert_eq!(frame[2]["#p"], json!([self.service.client.public_key().to_hex()]));
                        if frame[2]["kinds"][0] == 23195 {
                            by_key = sub.clone();
                        }
                    } else if frame[2]["kinds"][0] == 13194 {
                        for info in &self.manners.info {
                            say(&mut socket, json!(["EVENT", sub, info])).await;
                        }
                    } else {
                        subs.insert(frame[2]["#e"][0].as_str().unwrap().to_owned(), sub.clone());
                    }
                    if self.manners.eose {
                        say(&mut socket, json!(["EOSE", sub])).await;
                    }
                }
                "CLOSE" => {
                    let sub = frame[1].as_str().unwrap();
                    self.note(number, "CLOSE", sub);
                    for (of, event) in late.extract_if(.., |(of, _)| of == sub) {
                        say(&mut socket, json!(["EVENT", of, event])).await;
                    }
                }
                "EVENT" => {
                    let event = Event::from_json(frame[1].to_string()).unwrap();
                    event.verify().unwrap();
                    let id = event.id.to_hex();
                    // As the client wrote it, without the frame around it.
                    let raw = text.as_str()["[\"EVENT\",".len()..text.len() - 1].to_owned();
                    self.published.lock().unwrap().push(raw);
                    let time = *self.times.lock().unwrap().entry(id.clone()).and_modify(|n| *n += 1).or_insert(1);
                    self.note(number, "EVENT", &id);
                    if let Some((taken, why)) = self.manners.ok {
                        say(&mut socket, json!(["OK", id, taken, why])).await;
                    }
                    let (method, params) = self.service.read(&event).expect("the request can be read");
                    let asked = Asked { method, params, event, time };
                    let sub = subs.get(&id).expect("subscribed before publishing").clone();
                    for act in (self.script)(&self.service, &asked) {
                        match act {
                            Act::Send(event) => say(&mut socket, json!(["EVENT", sub, event])).await,
                            Act::ByKey(event) => say(&mut socket, json!(["EVENT", by_key, event])).await,
                            Act::Raw(text) => drop(socket.send(Message::text(text.replace("$SUB", &sub))).await),
                            Act::Late(event) => late.push((sub.clone(), event)),
                            Act::When(told, event) => {
                                let (held, sub) = (held.clone(), sub.clone());
                                tokio::spawn(async move {
                                    told.notified().await;
                                    let _ = held.send((sub, event));
                                });
                            }
                            Act::Hangup => return self.note(number, "gone", ""),
                            Act::GoDeaf => std::future::pending().await,
                        }
                    }
                }
                other => panic!("the client sent {other}"),
            }
        }
    }

    fn note(&self, number: usize, verb: &str, about: &str) {
        self.log.send_modify(|lines| lines.push((number, verb.to_owned(), about.to_owned())));
    }
}

async fn say(socket: &mut WebSocketStream<TcpStream>, frame: Value) {
    let _ = socket.send(Message::text(frame.to_string())).await;
}

pub fn paid() -> Value {
    json!({"result_type": "pay_invoice", "result": {"preimage": PREIMAGE, "fees_paid": 1000}})
}

pub fn error(method: &str, code: &str) -> Value {
    json!({"result_type": method, "error": {"code": code, "message": "said the wallet"}, "result": null})
}

pub fn bill() -> Bill {
    Bill::Bolt11 {
        invoice: INVOICE.into(),
        payment_hash: HASH.into(),
        amount: Amount::msat(10_000).unwrap(),
        expires_at: Timestamp::now().as_secs() + 600,
        fee_cap: Amount::msat(10_000).unwrap(),
    }
}

pub fn intent(wire: &[u8], resend_until: u64) -> Intent {
    Intent {
        purchase: PurchaseId::random(),
        n: 0,
        protocol: "l402".into(),
        rail: "lightning".into(),
        network: "regtest".into(),
        asset: "btc".into(),
        payee: String::new(),
        rail_key: format!("ln:{HASH}"),
        wallet: "nwc".into(),
        price: Amount::msat(10_000).unwrap(),
        fee_cap: Amount::msat(10_000).unwrap(),
        liability_until: resend_until + 600,
        resend_until,
        pin: Vec::new(),
        wire: wire.to_vec(),
    }
}
