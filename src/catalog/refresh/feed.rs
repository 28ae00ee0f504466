//! Asking a catalogue for its pages: one at a time, with a pause, within bounds, and back off when told to.

use std::time::Duration;

use http::{
    HeaderMap, HeaderValue,
    header::{ACCEPT, CONTENT_TYPE, ETAG, IF_NONE_MATCH, RETRY_AFTER},
};
use tokio::time::{Instant, sleep};
use url::Url;

use crate::http::{Answer, Ask, Bytes, Client, Limits, Policy};

/// The most pages of one catalogue, and the pause between two.
const PAGES: usize = 60;
const PAUSE: Duration = Duration::from_millis(250);

/// The longest that is waited when a server says to come back later, and how often.
const LATER: Duration = Duration::from_secs(30);
const AGAIN: u32 = 2;

/// How long a source is waited for.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For the first byte of a page.
    pub first_byte: Duration,
    /// Between two pieces of one.
    pub idle: Duration,
    /// For a whole page.
    pub page: Duration,
    /// For all pages, pauses included.
    pub total: Duration,
}

impl Default for Patience {
    /// 20 s, 10 s, 45 s; five minutes.
    fn default() -> Patience {
        let [first_byte, idle, page, total] = [20, 10, 45, 300].map(Duration::from_secs);
        Patience { first_byte, idle, page, total }
    }
}

impl Patience {
    /// What a page is allowed to be and to take, when this much time is left for all.
    fn limits(self, left: Duration) -> Limits {
        Limits {
            body: 8 << 20,
            challenge: 4 << 10,
            first_byte: self.first_byte,
            idle: self.idle,
            total: self.page.min(left),
            stream: self.idle,
        }
    }
}

/// A page, or the word that nothing has changed.
pub(super) enum Fetched {
    Page(Bytes, String),
    Same,
}

/// A catalogue being fetched.
pub(super) struct Feed<'a> {
    http: &'a Client,
    patience: Patience,
    pages: usize,
    until: Instant,
}

impl<'a> Feed<'a> {
    pub(super) fn new(http: &'a Client, patience: Patience) -> Feed<'a> {
        Feed { http, patience, pages: 0, until: Instant::now() + patience.total }
    }

    /// Fetches a page. `etag` is what is known of it; empty when nothing is.
    pub(super) async fn fetch(&mut self, url: Url, etag: &str) -> Result<Fetched, String> {
        if self.pages > 0 {
            sleep(PAUSE).await;
        }
        self.pages += 1;
        if self.pages > PAGES {
            return Err(format!("it has more than {PAGES} pages"));
        }
        for again in 0..=AGAIN {
            let left = self.until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err("it took too long".into());
            }
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
            if let Ok(tag) = HeaderValue::from_str(etag)
                && !etag.is_empty()
            {
                headers.insert(IF_NONE_MATCH, tag);
            }
            let ask = Ask { headers, limits: self.patience.limits(left), ..Ask::get(url.clone()) };
            let answer = self.http.send(Policy::Operator, ask).await.map_err(|e| e.to_string())?;
            match answer.status {
                304 if !etag.is_empty() => return Ok(Fetched::Same),
                200 => return page(answer),
                429 | 503 => {
                    let told = answer.headers.get(RETRY_AFTER).and_then(|v| v.to_str().ok()?.trim().parse().ok());
                    let wait = told.map_or(Duration::from_secs(2 << again), Duration::from_secs);
                    if again == AGAIN || wait > LATER {
                        return Err(format!("it wants to be left alone for now (HTTP {})", answer.status));
                    }
                    sleep(wait).await;
                }
                402 => return Err("it wants payment for its list, which is not paid".into()),
                status => return Err(format!("it answered HTTP {status}")),
            }
        }
        Err("it wants to be left alone for now".into())
    }
}

fn page(answer: Answer) -> Result<Fetched, String> {
    let html = answer.headers.get(CONTENT_TYPE).is_some_and(|v| v.as_bytes().starts_with(b"text/html"));
    if html || answer.body.iter().find(|b| !b.is_ascii_whitespace()) == Some(&b'<') {
        return Err("it answered with a web page".into());
    }
    if answer.cut {
        return Err("its answer is longer than what is read".into());
    }
    let tag = answer.headers.get(ETAG).and_then(|v| v.to_str().ok()).filter(|t| t.len() <= 200).unwrap_or_default();
    Ok(Fetched::Page(answer.body, tag.to_owned()))
}
