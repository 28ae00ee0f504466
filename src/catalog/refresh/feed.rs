//! Asking a catalogue for its pages: one at a time, with a pause, within bounds, and back off when told to.

use std::time::{Duration, UNIX_EPOCH};

use http::{
    HeaderMap, HeaderValue,
    header::{ACCEPT, CONTENT_TYPE, DATE, ETAG, IF_NONE_MATCH, RETRY_AFTER},
};
use tokio::time::{Instant, sleep};
use url::Url;

use crate::http::{Answer, Ask, Bytes, Client, Limits, Policy};

/// The most pages of one catalogue.
const PAGES: usize = 60;

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
    /// How long nobody is asked between two pages.
    pub pause: Duration,
}

impl Default for Patience {
    /// 20 s, 10 s, 45 s; five minutes; a quarter of a second.
    fn default() -> Patience {
        let [first_byte, idle, page, total] = [20, 10, 45, 300].map(Duration::from_secs);
        Patience { first_byte, idle, page, total, pause: Duration::from_millis(250) }
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

/// Why there is no page.
pub(super) enum Stop {
    /// We ask for no more: what came is good as far as it goes.
    Enough(String),
    /// The source failed: what came is a part of nobody knows what.
    Broken(String),
}

impl Stop {
    pub(super) fn why(self) -> String {
        match self {
            Stop::Enough(why) | Stop::Broken(why) => why,
        }
    }
}

/// A catalogue being fetched.
pub(super) struct Feed<'a> {
    http: &'a Client,
    patience: Patience,
    pages: usize,
    until: Instant,
    /// The time of day, as far as the caller knows it.
    now_ms: u64,
}

impl<'a> Feed<'a> {
    pub(super) fn new(http: &'a Client, patience: Patience, now_ms: u64) -> Feed<'a> {
        Feed { http, patience, pages: 0, until: Instant::now() + patience.total, now_ms }
    }

    /// How many pages were asked for.
    pub(super) fn pages(&self) -> usize {
        self.pages
    }

    /// What an error of the connection means: once the time for all is over, it is that.
    fn stop(&self, why: String) -> Stop {
        if Instant::now() >= self.until { Stop::Enough("it took too long".into()) } else { Stop::Broken(why) }
    }

    /// Fetches a page. `etag` is what is known of it; empty when nothing is.
    pub(super) async fn fetch(&mut self, url: Url, etag: &str) -> Result<Fetched, Stop> {
        if self.pages > 0 {
            sleep(self.patience.pause).await;
        }
        if self.pages >= PAGES {
            return Err(Stop::Enough(format!("it has more than {PAGES} pages")));
        }
        self.pages += 1;
        for again in 0..=AGAIN {
            let left = self.until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Stop::Enough("it took too long".into()));
            }
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
            if let Ok(tag) = HeaderValue::from_str(etag)
                && !etag.is_empty()
            {
                headers.insert(IF_NONE_MATCH, tag);
            }
            let ask = Ask { headers, limits: self.patience.limits(left), ..Ask::get(url.clone()) };
            let answer = self.http.send(Policy::Operator, ask).await.map_err(|e| self.stop(e.to_string()))?;
            match answer.status {
                304 if !etag.is_empty() => return Ok(Fetched::Same),
                200 => return page(answer).map_err(Stop::Broken),
                429 | 503 => {
                    let wait = retry_after(&answer.headers, self.now_ms).unwrap_or(Duration::from_secs(2 << again));
                    if again == AGAIN || wait > LATER {
                        let why = format!("it wants to be left alone for now (HTTP {})", answer.status);
                        return Err(Stop::Broken(why));
                    }
                    sleep(wait).await;
                }
                402 => return Err(Stop::Broken("it wants payment for its list, which is not paid".into())),
                status => return Err(Stop::Broken(format!("it answered HTTP {status}"))),
            }
        }
        Err(Stop::Broken("it wants to be left alone for now".into()))
    }
}

/// How long a server wants to be left alone: in seconds, or until a time of day by its own clock, where it tells that.
fn retry_after(headers: &HeaderMap, now_ms: u64) -> Option<Duration> {
    let told = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = told.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let until = httpdate::parse_http_date(told).ok()?;
    let date = headers.get(DATE).and_then(|v| httpdate::parse_http_date(v.to_str().ok()?).ok());
    let now = date.unwrap_or(UNIX_EPOCH + Duration::from_millis(now_ms));
    Some(until.duration_since(now).unwrap_or_default())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_says_when_to_come_back_in_seconds_or_by_the_clock() {
        let read = |pairs: &[(http::HeaderName, &str)]| {
            let headers = pairs.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect();
            retry_after(&headers, 1_000_000).map(|d| d.as_secs())
        };
        assert_eq!(read(&[(RETRY_AFTER, "7")]), Some(7));
        let (until, date) = ("Thu, 01 Jan 1970 00:17:00 GMT", "Thu, 01 Jan 1970 00:16:55 GMT");
        assert_eq!(read(&[(RETRY_AFTER, until)]), Some(20), "by our clock, which stands at 1,000 s");
        assert_eq!(read(&[(RETRY_AFTER, until), (DATE, date)]), Some(5), "by its own");
        assert_eq!(read(&[(RETRY_AFTER, "Thu, 01 Jan 1970 00:00:01 GMT")]), Some(0), "gone by");
        assert_eq!((read(&[(RETRY_AFTER, "soon")]), read(&[])), (None, None));
    }
}
