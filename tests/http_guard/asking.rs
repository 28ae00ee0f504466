//! What the tests ask with: names, clients, requests, and what they expect of a result.

use std::{
    collections::HashMap,
    io,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bursar::{
    http::{Answer, Ask, Bytes, Client, Error, Limits, Lookup, Policy, Settings},
    protocol::Credential,
};
use futures_util::future::BoxFuture;
use http::{HeaderName, HeaderValue, Method};
use url::Url;

pub const SECRET: &str = "c0ffee-canary";

/// A resolver that answers from a table, the n-th time with the n-th row, and counts.
#[derive(Default)]
pub struct Names {
    pub table: HashMap<&'static str, Vec<Vec<IpAddr>>>,
    pub asked: AtomicUsize,
}

impl Names {
    pub fn answering(name: &'static str, answers: &[&[&str]]) -> Arc<Names> {
        let rows = answers.iter().map(|row| row.iter().map(|ip| ip.parse().unwrap()).collect()).collect();
        Arc::new(Names { table: HashMap::from([(name, rows)]), asked: AtomicUsize::new(0) })
    }
}

impl Lookup for Names {
    fn lookup<'a>(&'a self, host: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        let turn = self.asked.fetch_add(1, Ordering::SeqCst);
        let rows = self.table.get(host);
        let found = rows.map(|rows| rows[turn.min(rows.len() - 1)].clone());
        Box::pin(async move { found.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound)) })
    }
}

pub fn at_home() -> Client {
    Client::new(Settings { allow_loopback: true, ..Settings::default() })
}

pub fn get(url: Url) -> Ask {
    Ask::get(url)
}

pub fn post(url: Url, body: &'static str) -> Ask {
    Ask { method: Method::POST, body: Bytes::from_static(body.as_bytes()), ..Ask::get(url) }
}

pub fn paying(ask: Ask) -> Ask {
    let (name, value) = (HeaderName::from_static("payment-signature"), HeaderValue::from_static(SECRET));
    Ask { credential: Some(Credential { name, value, parts: Vec::new() }), ..ask }
}

pub fn hasty(ask: Ask) -> Ask {
    let short = Duration::from_millis(300);
    Ask { limits: Limits { first_byte: short, idle: short, total: Duration::from_millis(700), ..ask.limits }, ..ask }
}

pub async fn seller_send(client: &Client, ask: Ask) -> Result<Answer, Error> {
    client.send(Policy::Seller, ask).await
}

#[track_caller]
pub fn refusal<T: std::fmt::Debug>(result: Result<T, Error>) -> &'static str {
    match result {
        Err(Error::Refused { code, .. }) => code,
        other => panic!("not refused: {other:?}"),
    }
}

#[track_caller]
pub fn failed_after_sending<T: std::fmt::Debug>(result: Result<T, Error>) -> String {
    match result {
        Err(Error::Failed { sent: true, say }) => say,
        other => panic!("not a failure after sending: {other:?}"),
    }
}
