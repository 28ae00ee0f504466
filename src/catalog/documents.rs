//! Reading what a seller says about itself: few requests, unpaid, bounded, each with a note of what became of it.

use std::time::Duration;

use futures_util::future::join_all;
use http::{
    HeaderMap, HeaderValue,
    header::{ACCEPT, CONTENT_TYPE, LINK},
};
use serde::Serialize;
use tokio::time::Instant;
use url::Url;

use super::place::same_seller;
use crate::{
    http::{Answer, Ask, Bytes, Client, Limits, Policy},
    protocol::text::clean,
};

/// The most requests for documents, redirects counted.
const MOST: usize = 8;
/// How long all of them may take, and one of them.
const TOTAL: Duration = Duration::from_secs(15);
const EACH: Duration = Duration::from_secs(7);

/// What became of a request for a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// It was read.
    Read,
    /// The seller has none.
    Absent,
    /// The seller answered with another error.
    HttpError,
    /// The seller wants money for it; it was left.
    WantsPayment,
    /// A web page came instead.
    Html,
    /// It is not JSON of a kind that can be read.
    NotReadable,
    /// It is longer than what is read.
    TooLarge,
    /// It lies with somebody else, and was left there.
    Elsewhere,
    /// No answer, or not in time.
    NoAnswer,
}

/// One document that was asked for.
#[derive(Clone, Debug, Serialize, schemars::JsonSchema)]
pub struct Source {
    /// Its path at the seller.
    pub path: String,
    /// The HTTP status, if there was an answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// How many bytes were read.
    pub bytes: usize,
    /// What became of it.
    pub fate: Fate,
}

/// What a document is read as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Openapi,
    Prose,
    Json,
}

impl Kind {
    const fn accepted(self) -> &'static str {
        match self {
            Kind::Openapi | Kind::Json => "application/json, */*;q=0.5",
            Kind::Prose => "text/plain, text/markdown, */*;q=0.5",
        }
    }

    const fn most(self) -> usize {
        match self {
            Kind::Openapi => 512 << 10,
            Kind::Prose | Kind::Json => 64 << 10,
        }
    }
}

/// A document that came, from the seller itself.
pub(super) struct Document {
    pub(super) url: Url,
    pub(super) bytes: Bytes,
    /// Its row in [`Reader::sources`].
    row: usize,
}

/// Reads documents of one seller.
pub(super) struct Reader<'a> {
    http: &'a Client,
    /// Where the seller is. It moves to the `www` (or away from it) when that is what answers.
    pub(super) base: Url,
    pub(super) sources: Vec<Source>,
    /// Where `Link: rel="service-desc"` points, in the order of the answers.
    pub(super) links: Vec<String>,
    /// Where a redirect led that left the seller.
    pub(super) moved: Option<Url>,
    asked: usize,
    until: Instant,
}

impl<'a> Reader<'a> {
    pub(super) fn new(http: &'a Client, base: Url) -> Reader<'a> {
        let (sources, links) = (Vec::new(), Vec::new());
        Reader { http, base, sources, links, moved: None, asked: 0, until: Instant::now() + TOTAL }
    }

    /// Asks for documents at the same time, as many as may still be asked for. One that is no use is `None`.
    pub(super) async fn read<const N: usize>(&mut self, wanted: [(Kind, Option<Url>); N]) -> [Option<Document>; N] {
        let mut room = MOST.saturating_sub(self.asked);
        let asks = wanted.map(|(kind, url)| {
            let url = url.filter(|_| room > 0)?;
            room -= 1;
            Some((kind, url))
        });
        let left = self.until.saturating_duration_since(Instant::now()).min(EACH);
        let http = self.http;
        let answers = join_all(asks.iter().map(|ask| async move {
            let (kind, url) = ask.as_ref()?;
            let limits = Limits { body: kind.most(), first_byte: left, idle: left, total: left, ..Limits::default() };
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, HeaderValue::from_static(kind.accepted()));
            Some(http.send(Policy::Seller, Ask { limits, headers, ..Ask::get(url.clone()) }).await)
        }))
        .await;
        let mut answers = answers.into_iter();
        asks.map(|ask| {
            // Both are there or neither is: what was not asked for has no answer.
            let answer = answers.next().flatten();
            let ((kind, url), answer) = ask.zip(answer)?;
            match answer {
                Ok(answer) => self.keep(kind, &url, answer),
                Err(_) => {
                    self.asked += 1;
                    self.note(&url, None, 0, Fate::NoAnswer);
                    None
                }
            }
        })
    }

    fn keep(&mut self, kind: Kind, url: &Url, answer: Answer) -> Option<Document> {
        self.asked += 1 + usize::from(answer.hops);
        let (status, bytes) = (Some(answer.status), answer.body.len());
        let home = same_seller(&self.base, &answer.url);
        if let Some(to) =
            answer.moved.as_ref().or((!home).then_some(&answer.url)).filter(|to| !same_seller(&self.base, to))
        {
            self.moved.get_or_insert_with(|| to.clone());
        }
        let fate = if !home || answer.moved.is_some() { Fate::Elsewhere } else { fate(kind, &answer) };
        let row = self.note(url, status, bytes, fate);
        if home {
            self.links.extend(service_descriptions(&answer));
            if fate == Fate::Read && answer.url.origin() != self.base.origin() {
                self.base.set_host(answer.url.host_str()).ok()?;
                self.base.set_scheme(answer.url.scheme()).ok()?;
            }
        }
        (fate == Fate::Read).then_some(Document { url: answer.url, bytes: answer.body, row })
    }

    fn note(&mut self, url: &Url, status: Option<u16>, bytes: usize, fate: Fate) -> usize {
        self.sources.push(Source { path: clean(url.path(), 120), status, bytes, fate });
        self.sources.len() - 1
    }

    /// Corrects what became of a document once somebody looked into it.
    pub(super) fn correct(&mut self, document: &Document, fate: Fate) {
        if let Some(source) = self.sources.get_mut(document.row) {
            source.fate = fate;
        }
    }
}

fn fate(kind: Kind, answer: &Answer) -> Fate {
    let web_page = answer.headers.get(CONTENT_TYPE).is_some_and(|v| v.as_bytes().starts_with(b"text/html"))
        || answer.body.iter().find(|b| !b.is_ascii_whitespace()) == Some(&b'<');
    match answer.status {
        404 | 410 => Fate::Absent,
        402 => Fate::WantsPayment,
        200 if web_page => Fate::Html,
        // Prose is still good when its end is missing; half a JSON document is none.
        200 if answer.cut && kind != Kind::Prose => Fate::TooLarge,
        200 if answer.body.is_empty() => Fate::Absent,
        200 => Fate::Read,
        _ => Fate::HttpError,
    }
}

/// Where an answer's `Link` headers say that the API is described (RFC 8288, RFC 8631).
fn service_descriptions(answer: &Answer) -> Vec<String> {
    let mut found = Vec::new();
    for line in answer.headers.get_all(LINK).iter().take(8).filter_map(|v| v.to_str().ok()) {
        for link in line.split('<').skip(1).take(16) {
            let Some((target, rest)) = link.split_once('>') else { continue };
            let names = |param: &str| {
                let param = param.trim().to_ascii_lowercase();
                let rel = param.strip_prefix("rel=").map(|r| r.trim_matches(['"', ',', ' ']).to_owned());
                rel.is_some_and(|rel| rel.split_ascii_whitespace().any(|r| r == "service-desc"))
            };
            if rest.split(';').any(names) && target.len() <= 512 {
                found.push(target.to_owned());
            }
        }
    }
    found
}
