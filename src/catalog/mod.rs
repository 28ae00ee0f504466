//! Discovery: what a host or an endpoint offers, told from the seller's own documents.
//!
//! ```text
//!  a URL ──► /openapi.json, /llms.txt, /.well-known/api-catalog      (together)
//!              └──► where they point, /api/openapi.json, well-known files     (together, only if still needed)
//!              └──► /services, /.well-known/x402.json, which some have instead of all that   (only if nothing was found)
//!                     └──► Description: endpoints, listed prices, input, examples, flags, sources
//! ```
//!
//! Nothing here pays, knows a wallet, or believes anybody: every text is a stranger's and is cleaned, every price is a
//! hint (the 402 of the endpoint itself is the price), and a document that cannot be read is a note and no error.

mod bazaar;
mod documents;
mod endpoint;
pub mod index;
mod openapi;
mod place;
mod pointer;
mod price;
mod prose;
pub mod refresh;
mod well_known;

use http::{HeaderMap, Method};
use serde::Serialize;
use url::Url;

use self::{
    documents::{Document, Kind, Reader},
    openapi::Api,
    prose::Prose,
};
pub use self::{
    documents::{Fate, Source},
    endpoint::{Endpoint, Example, Field, Input, Place},
    openapi::in_our_words,
    price::{Basis, Listed},
};
use crate::{
    http::{Client, Error, Policy, vet_url},
    protocol::{self, Seen, Way, text::plain},
};

/// The methods that endpoints have.
const METHODS: [Method; 6] = [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::HEAD];

/// What is worth knowing about what was found, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Flag {
    /// The document names another host than the one it came from; endpoints were put on the one that answered.
    ServersHostDiffers,
    /// Many operations have one summary, so it says nothing and was left out.
    SummariesCopied,
    /// Paths for the seller's own people were left out.
    PrivatePathsLeftOut,
    /// Some operations could not be read, or there are too many.
    NotAllRead,
    /// The bare domain sends to its `www`, or the other way round; the address that answers is the one given.
    HostRedirects,
    /// The host sends to somebody else.
    SendsElsewhere,
    /// What the documents list is not what the endpoint asks now.
    PriceDiffers,
    /// It checks its input before it names a price.
    ValidationFirst,
    /// No document describes this endpoint.
    NotDescribed,
    /// It was not asked for its price: its method may change something, or the path is private.
    NotProbed,
    /// The payment is a deposit, and calls are taken from it.
    CreditModel,
    /// The host's name looks like that of a known seller, and is another.
    LookalikeHost,
    /// One price for very many items at once: near it stands the same for one item at a small part of the price.
    Batch,
}

/// What a seller's documents say of a host or an endpoint.
#[derive(Clone, Debug)]
pub struct Description {
    /// What was asked for, at the address that answers.
    pub subject: Subject,
    /// Who the seller says it is: its name and a sentence, cleaned; may be empty.
    pub provider: String,
    /// The free tier that a document names, as `header: value`.
    pub free_tier: Option<String>,
    /// What is worth knowing.
    pub flags: Vec<Flag>,
    /// What was asked for and what became of it.
    pub sources: Vec<Source>,
    /// Another origin that the documents or a redirect point to. No document of it is believed.
    pub elsewhere: Option<String>,
    /// Where every document was redirected to, away from this seller: the address to look at instead.
    pub moved: Option<String>,
}

/// What a URL names.
#[derive(Clone, Debug)]
pub enum Subject {
    /// A whole host, and what it offers: what costs money first.
    Host {
        /// Its address.
        url: Url,
        /// What it offers.
        endpoints: Vec<Endpoint>,
    },
    /// One endpoint, described or not.
    Endpoint(Box<Endpoint>),
}

/// How to learn what an endpoint costs now.
#[derive(Clone, Debug, PartialEq)]
pub enum Probe {
    /// By this request, unpaid.
    Send {
        /// The body, where it takes one.
        json: Option<serde_json::Value>,
    },
    /// Not at all, since asking might already do something.
    Never,
}

impl Endpoint {
    /// How to learn what it costs now: only by methods that buy or read, and never where only its owner belongs.
    pub fn probe(&self) -> Probe {
        match self.method {
            _ if place::is_private(&self.path) => Probe::Never,
            Method::GET | Method::HEAD => Probe::Send { json: None },
            // Nobody says what it takes: it gets the least that is JSON, once.
            Method::POST => Probe::Send { json: Some(self.example.as_ref().map_or_else(empty, |e| e.json.clone())) },
            _ => Probe::Never,
        }
    }
}

/// The least body that is JSON.
pub fn empty() -> serde_json::Value {
    serde_json::json!({})
}

/// Describes the host or the endpoint that a URL names, from at most eight documents, unpaid, within 15 seconds.
///
/// # Errors
/// An address that is not asked at all. Whatever a seller answers is none.
pub async fn describe(http: &Client, url: &str, method: Option<&str>) -> Result<Description, Error> {
    let url = vet_url(Policy::Seller, http.settings(), url)?;
    let base = url.join("/").unwrap_or_else(|_| url.clone());
    let whole = url.path() == "/" && url.query().is_none() && method.is_none_or(|m| m.eq_ignore_ascii_case("get"));
    let asked = (!whole).then(|| Asked::new(&url, method));
    let mut reader = Reader::new(http, base.clone());
    let found = read(&mut reader, asked.as_ref()).await;
    let Found { api, prose, known, free_tier } = found;
    let mut flags = api.as_ref().map(|a| a.flags.clone()).unwrap_or_default();
    if reader.base.origin() != base.origin() {
        flags.push(Flag::HostRedirects);
    }
    if reader.moved.is_some() {
        flags.push(Flag::SendsElsewhere);
    }
    let elsewhere = reader.moved.as_ref().map(|to| to.origin().ascii_serialization());
    let elsewhere = elsewhere.or_else(|| api.as_ref().and_then(|a| a.elsewhere.clone()));
    let provider = provider(api.as_ref(), &prose, &known);
    let mut endpoints = api.map(|a| a.endpoints).unwrap_or_default();
    add_known(&mut endpoints, known, &reader.base);
    add_mentioned(&mut endpoints, prose, &reader.base);
    let away = reader.sources.iter().all(|s| s.fate == Fate::Elsewhere);
    let moved = reader.moved.as_ref().filter(|_| away).and_then(|to| {
        let there = asked.as_ref().map_or_else(|| to.join("/").ok(), |asked| Some(asked.at(to)));
        there.map(String::from)
    });
    let subject = match asked {
        None => {
            endpoints.sort_by(|a, b| {
                (!a.is_paid(), order(&a.method), &a.path).cmp(&(!b.is_paid(), order(&b.method), &b.path))
            });
            Subject::Host { url: reader.base.clone(), endpoints }
        }
        Some(asked) => {
            // What is wrong with other endpoints of the document is not told of one.
            flags.retain(|f| !matches!(f, Flag::PrivatePathsLeftOut | Flag::SummariesCopied | Flag::NotAllRead));
            let here = asked.at(&reader.base);
            let described = asked.find(endpoints).map(|mut endpoint| {
                // What the caller wrote is what is called; only what is missing is filled in.
                let template = here.path().contains("%7B");
                let mut url = here.clone();
                if let Ok(filled) = Url::parse(&endpoint.url) {
                    if template {
                        url.set_path(filled.path());
                    }
                    if url.query().is_none() {
                        url.set_query(filled.query());
                    }
                }
                endpoint.url = url.into();
                endpoint
            });
            Subject::Endpoint(Box::new(described.unwrap_or_else(|| {
                flags.push(Flag::NotDescribed);
                let method = asked.method.clone().unwrap_or(Method::GET);
                Endpoint::bare(method, here.path(), here.to_string())
            })))
        }
    };
    Ok(Description { subject, provider, free_tier, flags, sources: reader.sources, elsewhere, moved })
}

/// The endpoint that the caller named.
struct Asked {
    url: Url,
    method: Option<Method>,
}

impl Asked {
    fn new(url: &Url, method: Option<&str>) -> Asked {
        let method = method.and_then(|m| Method::from_bytes(m.to_ascii_uppercase().as_bytes()).ok());
        Asked { url: url.clone(), method }
    }

    /// The same address at the host that answers.
    fn at(&self, base: &Url) -> Url {
        let mut url = base.clone();
        url.set_path(self.url.path());
        url.set_query(self.url.query());
        url
    }

    /// The endpoint among those described: the method that was named, else the one that sells.
    fn find(&self, endpoints: Vec<Endpoint>) -> Option<Endpoint> {
        let fits = |e: &Endpoint| {
            let path = self.url.path().replace("%7B", "{").replace("%7D", "}");
            let method = self.method.as_ref().is_none_or(|m| *m == e.method);
            place::fit(&e.path, &path).filter(|_| method)
        };
        let rank = |e: &Endpoint| (fits(e), e.is_paid(), std::cmp::Reverse(order(&e.method)));
        endpoints.into_iter().filter(|e| fits(e).is_some()).max_by_key(rank)
    }
}

/// Methods in the order in which they are shown.
fn order(method: &Method) -> u8 {
    match *method {
        Method::POST => 0,
        Method::GET => 1,
        _ => 2,
    }
}

/// What the documents gave.
struct Found {
    api: Option<Api>,
    prose: Prose,
    known: Vec<(String, Vec<well_known::Entry>)>,
    free_tier: Option<String>,
}

/// Reads documents in two rounds; the second asks only for what is still missing.
async fn read(reader: &mut Reader<'_>, asked: Option<&Asked>) -> Found {
    let base = reader.base.clone();
    let at = |path: &str| base.join(path).ok();
    let first = [
        (Kind::Openapi, at("/openapi.json")),
        (Kind::Prose, at("/llms.txt")),
        (Kind::Json, at("/.well-known/api-catalog")),
    ];
    let [openapi, llms, catalog] = reader.read(first).await;
    let mut api = openapi.and_then(|d| take_api(reader, &d));
    let text = llms.map(|d| String::from_utf8_lossy(&d.bytes).into_owned()).unwrap_or_default();
    let prose = prose::read(&text);
    let base = reader.base.clone();
    let at = |path: &str| base.join(path).ok();
    let mut pointed = None;
    if let Some(catalog) = catalog {
        pointed = pointer::in_linkset(&catalog.bytes, &base);
        if serde_json::from_slice::<serde_json::Value>(&catalog.bytes).is_err() {
            reader.correct(&catalog, Fate::NotReadable);
        }
    }
    let mut known = Vec::new();
    let listed = api.as_ref().is_some_and(|a| match asked {
        Some(asked) => asked.find(a.endpoints.clone()).is_some(),
        None => a.endpoints.iter().any(|e| e.has_price(Basis::Openapi)),
    });
    if !listed {
        // A file that the prose names is the one that is there.
        let named = |files: &[&str]| files.iter().find(|file| text.contains(**file)).and_then(|file| at(file));
        let lightning =
            named(&["/.well-known/l402-services", "/.well-known/l402.json", "/.well-known/l402-manifest.json"]);
        let lightning = lightning.or_else(|| at("/.well-known/l402"));
        let x402 = named(&["/.well-known/x402.json"]).or_else(|| at("/.well-known/x402"));
        let mpp = named(&["/.well-known/mpp-configuration", "/.well-known/mpp.json", "/.well-known/mpp"]);
        let again = match api {
            Some(_) => None,
            None => pointed
                .or_else(|| pointer::in_links(&reader.links, &base))
                .or_else(|| pointer::in_prose(&text, &base))
                .filter(|url| url.path() != "/openapi.json")
                .or_else(|| at("/api/openapi.json")),
        };
        let second = [(Kind::Openapi, again), (Kind::Json, lightning), (Kind::Json, x402), (Kind::Json, mpp)];
        let [openapi, l402, x402, mpp] = reader.read(second).await;
        if let Some(document) = openapi {
            api = take_api(reader, &document);
        }
        for document in [l402, x402, mpp].into_iter().flatten() {
            match well_known::read(&document.bytes, &document.url) {
                Some(entries) => known.push(entries),
                None => reader.correct(&document, Fate::NotReadable),
            }
        }
    }
    let silent = api.as_ref().is_none_or(|a| a.endpoints.is_empty())
        && prose.mentions.is_empty()
        && known.iter().all(|(_, entries)| entries.is_empty());
    if silent {
        let last = [(Kind::Json, at("/services")), (Kind::Json, at("/.well-known/x402.json"))];
        let last = reader.read(last).await;
        for document in last.into_iter().flatten() {
            match well_known::read(&document.bytes, &document.url) {
                Some(entries) => known.push(entries),
                None => reader.correct(&document, Fate::NotReadable),
            }
        }
    }
    Found { api, prose, known, free_tier: free_tier(&base, text.as_bytes()) }
}

fn take_api(reader: &mut Reader<'_>, document: &Document) -> Option<Api> {
    let api = openapi::read(&document.bytes, &reader.base, &document.url);
    if api.is_none() {
        reader.correct(document, Fate::NotReadable);
    }
    api
}

/// The free tier that a text names, among those that Bursar knows how to ask for.
fn free_tier(url: &Url, text: &[u8]) -> Option<String> {
    // The protocol reads free tiers out of a refusal; a document says it in the same words.
    let seen = Seen { url, status: 429, headers: &HeaderMap::new(), body: text };
    protocol::read(seen).offers.into_iter().find_map(|offer| match offer.way {
        Way::Free { name, value } => Some(format!("{name}: {}", value.to_str().ok()?)),
        _ => None,
    })
}

fn provider(api: Option<&Api>, prose: &Prose, known: &[(String, Vec<well_known::Entry>)]) -> String {
    let first = |texts: &[&str], most: usize| {
        texts.iter().map(|text| plain(text, most)).find(|text| !text.is_empty()).unwrap_or_default()
    };
    let names: Vec<&str> = known.iter().map(|(name, _)| name.as_str()).collect();
    let (title, about) = api.map_or(("", ""), |a| (a.title.as_str(), a.about.as_str()));
    let name = first(&[&[title, prose.title.as_str()], &names[..]].concat(), 60);
    let about = first(&[prose.about.as_str(), about], 130);
    match (name.is_empty(), about.is_empty()) {
        (false, false) => format!("{name}: {about}"),
        _ => name + &about,
    }
}

/// Adds what well-known files say: a price where the description has none, and endpoints only where there is no
/// description at all.
fn add_known(endpoints: &mut Vec<Endpoint>, known: Vec<(String, Vec<well_known::Entry>)>, base: &Url) {
    let described = !endpoints.is_empty();
    for entry in known.into_iter().flat_map(|(_, entries)| entries) {
        let fits = |e: &&mut Endpoint| e.path == entry.path && entry.method.as_ref().is_none_or(|m| *m == e.method);
        if let Some(endpoint) = endpoints.iter_mut().find(fits) {
            if !endpoint.has_price(Basis::Openapi) {
                endpoint.listed.extend(entry.price);
            }
            continue;
        }
        if described || endpoints.len() >= 500 {
            continue;
        }
        let Ok(url) = base.join(&entry.path) else { continue };
        let mut endpoint = Endpoint::bare(entry.method.unwrap_or(Method::GET), &entry.path, url.into());
        endpoint.summary = plain(&entry.summary, 200);
        endpoint.asks_payment = true;
        endpoint.listed.extend(entry.price);
        endpoints.push(endpoint);
    }
}

/// Adds what the prose mentions, in the same way.
fn add_mentioned(endpoints: &mut Vec<Endpoint>, prose: Prose, base: &Url) {
    let described = !endpoints.is_empty();
    for mention in prose.mentions {
        let fits = |e: &&mut Endpoint| e.path == mention.path && e.method == mention.method;
        if let Some(endpoint) = endpoints.iter_mut().find(fits) {
            if endpoint.listed.is_empty() {
                endpoint.listed.extend(mention.price);
            }
            if endpoint.summary.is_empty() {
                endpoint.summary = plain(&mention.summary, 200);
            }
            continue;
        }
        if described {
            continue;
        }
        let Ok(url) = base.join(&mention.path) else { continue };
        let mut endpoint = Endpoint::bare(mention.method, &mention.path, url.into());
        endpoint.summary = plain(&mention.summary, 200);
        endpoint.listed.extend(mention.price);
        endpoint.example = mention.body.and_then(openapi::body_like).map(|json| Example { json, given: true });
        endpoints.push(endpoint);
    }
}
