//! A shop that sells by MPP: single calls over Lightning and on Tempo, and sessions whose deposits and refunds really move
//! play sats.
//!
//! | path | price |
//! |---|---|
//! | `/free` | none |
//! | `/rates` | a charge for each call |
//! | `/chat` | a session; one unit a call |
//! | `/stream?chunks=N` | a session; one unit a chunk, as an event stream that pauses when the balance is used up |
//! | `/both` | a charge or a session, each with an invoice of its own |
//! | `/tempo` | a charge in dollars on the play Tempo chain |
//! | `/proof` | nothing but a proof of whose account on Tempo asks |
//! | `/every` | LSAT, L402, a charge, a session or x402, each with an invoice or terms of its own |
//!
//! It follows the drafts and the servers of the field: a charge's challenge is used up by one call, a session may be
//! shown any challenge of the realm that has not ended, and whatever is wrong with a credential, the answer is 402 with
//! new challenges and a problem document.

mod challenge;
mod every;
mod options;
mod sessions;
mod stream;
mod tempo;

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    extract::State,
    http::{
        HeaderMap, HeaderValue, StatusCode, Uri,
        header::{CACHE_CONTROL, CONTENT_TYPE, WWW_AUTHENTICATE},
    },
    response::{IntoResponse as _, Response},
};
use data_encoding::HEXLOWER_PERMISSIVE;
use serde_json::{Map, Value, json};
use tokio_util::sync::{CancellationToken, DropGuard};

pub use self::options::{MppShopOptions, Opens, Refunds};
use self::{
    challenge::{Mint, Shown},
    sessions::Sessions,
};
use super::{
    SandboxError,
    chain::{PlayChain, PlayTempo},
    listen, lock,
    macaroon::RootKey,
    node::PlayNode,
    stamp,
};
use crate::{clock::Clock, evm::Address, protocol::mpp::encode};

/// How long an invoice can be paid, in seconds.
const INVOICE_S: u64 = 600;

/// The shop. Dropping it closes its listener.
#[derive(Debug)]
pub struct MppShop {
    url: String,
    gate: Arc<Gate>,
    _stop: DropGuard,
}

#[derive(Debug)]
struct Gate {
    node: PlayNode,
    clock: Clock,
    options: MppShopOptions,
    mint: Mint,
    dollars: PlayChain,
    tempo: PlayTempo,
    /// Where dollars go.
    pay_to: Address,
    root: RootKey,
    book: Mutex<Book>,
}

#[derive(Debug, Default)]
struct Book {
    requests: usize,
    invoices: usize,
    used: HashSet<String>,
    /// The challenges that were refused for once, and are taken when they are shown again.
    refused_once: HashSet<String>,
    sessions: Sessions,
    served: HashMap<String, usize>,
}

impl MppShop {
    /// Starts the shop, with chains for dollars of its own.
    ///
    /// # Errors
    /// [`SandboxError::Bind`].
    pub async fn start(node: PlayNode, clock: Clock, options: MppShopOptions) -> Result<MppShop, SandboxError> {
        let chains = (PlayChain::new(clock.clone()), PlayTempo::new(clock.clone()));
        MppShop::start_on(node, chains, clock, options).await
    }

    /// Starts the shop on these chains: the one that x402 pays on, and Tempo.
    ///
    /// # Errors
    /// [`SandboxError::Bind`].
    pub async fn start_on(
        node: PlayNode,
        (dollars, tempo): (PlayChain, PlayTempo),
        clock: Clock,
        options: MppShopOptions,
    ) -> Result<MppShop, SandboxError> {
        let (listener, bound) = listen::bind(options.listen).await?;
        let mint = Mint { key: crate::random(), realm: bound.to_string(), own_header: options.own_header };
        let gate = Arc::new(Gate {
            node,
            clock,
            options,
            mint,
            dollars,
            tempo,
            pay_to: Address(crate::random()),
            root: RootKey::random(),
            book: Mutex::default(),
        });
        let stop = CancellationToken::new();
        listen::serve(listener, Router::new().fallback(answer).with_state(gate.clone()), stop.clone());
        Ok(MppShop { url: format!("http://{bound}"), gate, _stop: stop.drop_guard() })
    }

    /// Its base URL, without a slash at the end.
    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// How many requests it was sent.
    pub fn requests(&self) -> usize {
        lock(&self.gate.book).requests
    }

    /// Where its dollars go.
    pub fn pay_to(&self) -> Address {
        self.gate.pay_to
    }

    /// How many invoices it made.
    pub fn invoices(&self) -> usize {
        lock(&self.gate.book).invoices
    }

    /// How often it served a path.
    pub fn served(&self, path: &str) -> usize {
        lock(&self.gate.book).served.get(path).copied().unwrap_or(0)
    }

    /// What a session has left, in satoshi, and whether it is open; by its deposit's payment hash.
    pub fn session(&self, id: &str) -> Option<(u64, bool)> {
        let book = lock(&self.gate.book);
        book.sessions.look(id).map(|account| (account.deposit_sat.saturating_sub(account.spent_sat), account.open))
    }
}

/// A way into a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Door {
    Charge,
    Session,
    Tempo,
    Proof,
}

impl Door {
    /// Its method and intent.
    fn names(self) -> (&'static str, &'static str) {
        match self {
            Door::Charge => ("lightning", "charge"),
            Door::Session => ("lightning", "session"),
            Door::Tempo | Door::Proof => ("tempo", "charge"),
        }
    }
}

async fn answer(State(gate): State<Arc<Gate>>, uri: Uri, headers: HeaderMap) -> Response {
    let now_ms = gate.clock.now_ms();
    let idle_ms = gate.options.idle_timeout_s.saturating_mul(1000);
    lock(&gate.book).requests += 1;
    lock(&gate.book).sessions.close_idle(idle_ms, now_ms, &gate.node, gate.options.refunds);
    let path = uri.path();
    let doors: &[Door] = match path {
        "/free" => return gate.content(path, Map::new()),
        "/rates" => &[Door::Charge],
        "/chat" | "/stream" => &[Door::Session],
        "/both" => &[Door::Charge, Door::Session],
        "/tempo" => &[Door::Tempo],
        "/proof" => &[Door::Proof],
        "/every" if gate.takes_token(&headers) || gate.takes_payment(&headers) => {
            return gate.content(path, Map::new());
        }
        "/every" => &[Door::Charge, Door::Session],
        _ => return StatusCode::NOT_FOUND.into_response(),
    };
    let door_of = |shown: &Shown| {
        let said = (shown.challenge.method.as_str(), shown.challenge.intent.as_str());
        doors.iter().find(|door| door.names() == said).copied()
    };
    let shown = gate.mint.read(&headers, now_ms).and_then(|shown| Some((door_of(&shown)?, shown)));
    let Some((door, shown)) = shown else {
        return gate.demand(path, doors, "payment-required", "Payment is required.");
    };
    let content = |receipt| gate.content(path, receipt);
    let done = match door {
        Door::Charge => gate.charged(&shown).map(content),
        Door::Session => gate.session(&shown, &uri, now_ms),
        Door::Tempo => gate.charged_on_tempo(&shown).map(content),
        Door::Proof => gate.proved(&shown).map(content),
    };
    done.unwrap_or_else(|why| gate.demand(path, doors, "verification-failed", why))
}

impl Gate {
    /// The 402, with one invoice for each door that takes sats.
    fn demand(&self, path: &str, doors: &[Door], problem: &str, detail: &str) -> Response {
        let mut response = self::problem(problem, detail);
        if path == "/every" {
            self.add_other_doors(response.headers_mut());
        }
        for door in doors {
            match self.challenge(*door) {
                Some(line) => response.headers_mut().append(WWW_AUTHENTICATE, line),
                None => return StatusCode::INTERNAL_SERVER_ERROR.into_response(),
            };
        }
        response
    }

    fn challenge(&self, door: Door) -> Option<HeaderValue> {
        let options = &self.options;
        let invoice = |sat: u64| {
            let made = self.node.invoice(sat.saturating_mul(1000), "MPP", INVOICE_S).ok()?;
            lock(&self.book).invoices += 1;
            Some(made)
        };
        let request = match door {
            Door::Charge => {
                let made = invoice(options.price_sat)?;
                json!({
                    "amount": options.price_sat.to_string(), "currency": "sat", "description": "One answer",
                    "methodDetails": { "invoice": made.bolt11, "paymentHash": made.payment_hash, "network": "regtest" },
                })
            }
            Door::Session => {
                let made = invoice(options.deposit_sat)?;
                json!({
                    "amount": options.unit_sat.to_string(), "currency": "sat", "unitType": "chunk",
                    "depositInvoice": made.bolt11, "paymentHash": made.payment_hash,
                    "depositAmount": options.deposit_sat.to_string(),
                    "idleTimeout": options.idle_timeout_s.to_string(),
                })
            }
            Door::Tempo => self.asks_on_tempo(options.price_micro_usd),
            Door::Proof => self.asks_on_tempo(0),
        };
        let (method, intent) = door.names();
        self.mint.line(method, intent, &request, self.clock.now_ms())
    }

    /// Takes a charge, once.
    fn charged(&self, shown: &Shown) -> Result<Map<String, Value>, &'static str> {
        let hash = self.paid(shown, "preimage", shown.request.pointer("/methodDetails/paymentHash"))?;
        if !lock(&self.book).used.insert(shown.challenge.id.clone()) {
            return Err("The challenge was used before.");
        }
        Ok(self.receipt(&shown.challenge.id, &hash))
    }

    /// The hash that a preimage in a credential opens, if it is the expected one and was paid.
    fn paid(&self, shown: &Shown, name: &str, hash: Option<&Value>) -> Result<String, &'static str> {
        let hash = hash.and_then(Value::as_str).ok_or("The challenge has no payment hash.")?;
        let preimage = shown.payload.get(name).and_then(Value::as_str).ok_or("There is no preimage.")?;
        let opens = opens(preimage, hash);
        if opens && self.node.is_paid(hash) { Ok(hash.to_owned()) } else { Err("The preimage does not fit.") }
    }

    /// Does what a session's credential says.
    fn session(self: &Arc<Self>, shown: &Shown, uri: &Uri, now_ms: u64) -> Result<Response, &'static str> {
        let text = |name: &str| shown.payload.get(name).and_then(Value::as_str).unwrap_or_default();
        let deposit_hash = shown.request.get("paymentHash");
        match text("action") {
            "open" => {
                let id = self.paid(shown, "preimage", deposit_hash)?;
                let book = &mut *lock(&self.book);
                match self.options.opens {
                    Opens::TheSecondTime if book.refused_once.insert(shown.challenge.id.clone()) => {
                        return Err("The payment is not known yet.");
                    }
                    Opens::Never => return Err("The session cannot be opened."),
                    Opens::AtOnce | Opens::TheSecondTime => {}
                }
                if !book.used.insert(shown.challenge.id.clone()) {
                    return Err("The challenge was used before.");
                }
                if !book.sessions.open(&id, self.options.deposit_sat, text("returnInvoice"), now_ms) {
                    return Err("The return invoice is not sound.");
                }
                self.serve(book, &id, uri, now_ms)
            }
            "bearer" => {
                let id = owned(text("sessionId"), text("preimage"))?;
                self.serve(&mut lock(&self.book), &id, uri, now_ms)
            }
            "topUp" => {
                self.paid(shown, "topUpPreimage", deposit_hash)?;
                let id = text("sessionId").to_owned();
                let book = &mut *lock(&self.book);
                if self.options.first_top_up_fails && book.refused_once.insert(shown.challenge.id.clone()) {
                    return Ok(StatusCode::SERVICE_UNAVAILABLE.into_response());
                }
                let account = book.sessions.of(&id, now_ms).ok_or("There is no such session.")?;
                if !book.used.insert(shown.challenge.id.clone()) {
                    return Err("The challenge was used before.");
                }
                account.deposit_sat = account.deposit_sat.saturating_add(self.options.deposit_sat);
                Ok(self.json(&json!({"status": "ok"}), self.receipt(&shown.challenge.id, &id)))
            }
            "close" => {
                let id = owned(text("sessionId"), text("preimage"))?;
                let closed = lock(&self.book).sessions.close(&id, &self.node, self.options.refunds);
                let closed = closed.ok_or("There is no such session.")?;
                let mut receipt = self.receipt(&shown.challenge.id, &id);
                receipt.insert("refundSats".into(), closed.refund_sat.into());
                receipt.insert("refundStatus".into(), closed.status.into());
                let body = json!({"status": "closed", "refundSats": closed.refund_sat, "refundStatus": closed.status});
                Ok(self.json(&body, receipt))
            }
            _ => Err("The action is not known."),
        }
    }

    /// Serves a call of an open session.
    fn serve(self: &Arc<Self>, book: &mut Book, id: &str, uri: &Uri, now_ms: u64) -> Result<Response, &'static str> {
        let account = book.sessions.of(id, now_ms).ok_or("There is no such session.")?;
        let receipt = self.receipt("", id);
        let served = book.served.entry(uri.path().to_owned()).or_default();
        if uri.path() == "/stream" {
            *served += 1;
            let query = uri.query().unwrap_or_default();
            let chunks = query.strip_prefix("chunks=").and_then(|n| n.parse().ok()).unwrap_or(10);
            return Ok(self.with_receipt(stream::answer(self.clone(), id.to_owned(), chunks), receipt));
        }
        let spent = account.spent_sat.saturating_add(self.options.unit_sat);
        if spent > account.deposit_sat {
            let silent = self.options.silent_when_used_up;
            let why = "The balance is used up.";
            return if silent { Ok(problem("payment-insufficient", why)) } else { Err(why) };
        }
        account.spent_sat = spent;
        *served += 1;
        Ok(self.json(&json!({"path": uri.path(), "data": "one of many answers"}), receipt))
    }

    /// Takes one unit of a session: its number and whether there was enough for it. `None` when it is closed.
    fn take_unit(&self, id: &str) -> Option<(u64, bool)> {
        let now_ms = self.clock.now_ms();
        let book = &mut *lock(&self.book);
        let account = book.sessions.of(id, now_ms)?;
        let spent = account.spent_sat.saturating_add(self.options.unit_sat);
        let enough = spent <= account.deposit_sat;
        if enough {
            account.spent_sat = spent;
        }
        Some((account.spent_sat, enough))
    }

    fn content(&self, path: &str, receipt: Map<String, Value>) -> Response {
        *lock(&self.book).served.entry(path.to_owned()).or_default() += 1;
        self.json(&json!({"path": path, "data": "the answer you paid for"}), receipt)
    }

    fn json(&self, body: &Value, receipt: Map<String, Value>) -> Response {
        let response = ([(CONTENT_TYPE, "application/json")], body.to_string()).into_response();
        self.with_receipt(response, receipt)
    }

    fn receipt(&self, challenge_id: &str, reference: &str) -> Map<String, Value> {
        let timestamp = stamp::iso(self.clock.now_ms());
        let mut receipt = Map::new();
        for (name, value) in
            [("status", "success"), ("method", "lightning"), ("timestamp", &timestamp), ("reference", reference)]
        {
            receipt.insert(name.into(), value.into());
        }
        if !challenge_id.is_empty() {
            receipt.insert("challengeId".into(), challenge_id.into());
        }
        receipt
    }

    fn with_receipt(&self, mut response: Response, receipt: Map<String, Value>) -> Response {
        if self.options.receipts
            && !receipt.is_empty()
            && let Ok(value) = HeaderValue::from_str(&encode(Value::Object(receipt).to_string().as_bytes()))
        {
            response.headers_mut().insert("payment-receipt", value);
            response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("private"));
        }
        response
    }
}

/// A 402 that names no challenge.
fn problem(problem: &str, detail: &str) -> Response {
    let body = json!({
        "type": format!("https://paymentauth.org/problems/{problem}"), "title": "Payment Required",
        "status": 402, "detail": detail,
    });
    let mut response = (StatusCode::PAYMENT_REQUIRED, body.to_string()).into_response();
    let kind = HeaderValue::from_static("application/problem+json");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The session that a preimage owns.
fn owned(id: &str, preimage: &str) -> Result<String, &'static str> {
    if opens(preimage, id) { Ok(id.to_owned()) } else { Err("The preimage does not fit.") }
}

/// Whether a preimage is 64 lower-case hex digits whose hash is this.
fn opens(preimage: &str, hash: &str) -> bool {
    let raw = HEXLOWER_PERMISSIVE.decode(preimage.as_bytes()).unwrap_or_default();
    let lower = preimage.bytes().all(|b| !b.is_ascii_uppercase());
    lower && raw.len() == 32 && data_encoding::HEXLOWER.encode(&crate::sha256(&raw)) == hash
}
