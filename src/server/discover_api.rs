//! `discover_api`: who sells what is wanted, what a host offers, what an endpoint costs, takes and how it can be paid.
//! Nothing is paid.
//!
//! Words are searched in the local index, offline. A URL is looked at:
//! A host is described from its own documents. An endpoint is too, and is then asked for its price once, unpaid, by the
//! purse, whose judged offers are joined with what the documents say.

mod hit;
mod known;
mod room;
mod search;
mod view;
mod words;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use self::{
    hit::{Hit, IndexView, SeenView},
    view::{Brief, Full, InputView, ListedView, Next},
};
use super::{Refusal, Said, arguments};
use crate::{
    catalog::{
        self, Basis, Description, Endpoint, Flag, Probe, Source, Subject,
        index::{Match, NotShown},
    },
    http::Client,
    money::Amount,
    protocol::text::clean,
    purchase::{Caller, OfferView, Outcome, Purse, Report, Wish},
};

/// What the model passes.
#[derive(Debug, Default, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Args {
    /// kind of data or action, 2-6 words
    pub query: Option<String>,
    /// the whole task
    pub task: Option<String>,
    /// a URL to look at
    pub url: Option<String>,
    /// e.g. "50 sat"
    pub max_price: Option<Amount>,
    pub payable_only: Option<bool>,
    pub free_ok: Option<bool>,
    pub limit: Option<u8>,
    pub detail: Option<Detail>,
    pub live: Option<bool>,
}

/// How much is told of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Detail {
    /// A line or two.
    Brief,
    /// All that is known of one.
    Full,
}

/// What programs read; `bursar discover --json` prints exactly this.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub struct Output {
    /// `quoted`, `free` or `refused`.
    pub outcome: Outcome,
    /// What it comes to and what to do next.
    pub say: String,
    /// A stable word for a refusal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The URL that was looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The price of the offer that would be taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price: Option<Amount>,
    /// Where the price comes from: the endpoint's own 402, or what a document says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price_basis: Option<Basis>,
    /// Every way to pay, with what speaks against it.
    pub offers: Vec<OfferView>,
    /// What the seller said that was not understood.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes_unverified: Vec<String>,
    /// Who the seller says it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider_unverified: Option<String>,
    /// What a host offers, what costs money first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub endpoints: Vec<Brief>,
    /// How many endpoints its documents name, where not all are shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoints_total: Option<usize>,
    /// The endpoint that the URL names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<Full>,
    /// How well the best result fits: `none` means that nothing here does what is wanted.
    #[serde(rename = "match", skip_serializing_if = "Option::is_none")]
    pub fit: Option<Match>,
    /// What was found, best first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub results: Vec<Hit>,
    /// What was found and is not shown, and why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_shown: Option<NotShown>,
    /// What was searched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<IndexView>,
    /// What is worth knowing, in single words.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<Flag>,
    /// Another origin that the seller points to. No document of it is believed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub elsewhere: Option<String>,
    /// The documents that were asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<Source>,
    /// The next call to make.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<Next>,
}

impl Output {
    fn bare(outcome: Outcome, say: String) -> Output {
        Output {
            outcome,
            say,
            code: None,
            url: None,
            price: None,
            price_basis: None,
            offers: Vec::new(),
            notes_unverified: Vec::new(),
            provider_unverified: None,
            endpoints: Vec::new(),
            endpoints_total: None,
            endpoint: None,
            fit: None,
            results: Vec::new(),
            not_shown: None,
            index: None,
            flags: Vec::new(),
            elsewhere: None,
            sources: Vec::new(),
            next: None,
        }
    }

    /// What the purse found out.
    fn asked(report: &Report, url: &str) -> Output {
        Output {
            code: report.code.map(str::to_owned),
            url: Some(url.to_owned()),
            price: report.price,
            price_basis: report.price.filter(|_| report.outcome == Outcome::Quoted).map(|_| Basis::Live),
            offers: report.offers.clone(),
            notes_unverified: report.notes.clone(),
            ..Output::bare(report.outcome, report.say.clone())
        }
    }

    /// Adds what the documents say of the seller as a whole.
    fn describe(&mut self, description: &Description) {
        self.provider_unverified = Some(description.provider.clone()).filter(|p| !p.is_empty());
        self.flags.extend(description.flags.iter().filter(|f| !self.flags.contains(f)).copied().collect::<Vec<_>>());
        self.elsewhere = description.elsewhere.clone();
        self.sources = description.sources.clone();
    }

    fn flag(&mut self, flag: Flag) {
        if !self.flags.contains(&flag) {
            self.flags.push(flag);
        }
    }
}

impl Refusal for Output {
    fn refusal(code: &str, say: String) -> Output {
        Output { code: Some(code.to_owned()), ..Output::bare(Outcome::Refused, say) }
    }
}

const NOTHING_ASKED: &str = "Nothing was paid, and nothing was looked for: pass query, the kind of data or action in 2 to 6 \
     words, or url, a web address to look at.";

/// Searches, or looks at a URL. The words for the model come with it.
pub async fn look(purse: &Purse, caller: &Caller, args: &Args, method: Option<String>) -> (Output, Vec<String>, bool) {
    let Some(url) = args.url.clone().filter(|u| !u.is_empty()) else {
        if args.query.as_ref().or(args.task.as_ref()).is_none_or(|q| q.trim().is_empty()) {
            return (Output::refusal("nothing_asked", NOTHING_ASKED.into()), vec![NOTHING_ASKED.into()], true);
        }
        let output = search::run(purse, caller, args).await;
        let (text, error) = (words::lines(&output), output.outcome == Outcome::Refused);
        return (output, vec![text], error);
    };
    let listed = known::listed(purse, &url, method.as_deref()).await;
    // A client of its own: it holds no connection longer than the look takes.
    let http = Client::new(purse.config().http.clone());
    let mut output = match catalog::describe(&http, &url, method.as_deref()).await {
        Ok(described) => match &described.subject {
            Subject::Host { url, endpoints } if !endpoints.is_empty() => {
                host(&described, url.as_str(), endpoints, args)
            }
            Subject::Host { url: at, .. } => {
                let report = ask(purse, caller, args, url.clone(), method, None).await;
                let mut output = Output::asked(&report, at.as_str());
                output.describe(&described);
                follow(&mut output, &report, described.moved.as_deref());
                output
            }
            Subject::Endpoint(one) => {
                let mut one = one.clone();
                listed.add_to(&mut one);
                let mut output = endpoint(purse, caller, args, &described, &one).await;
                known::remember(purse, caller, &one, &output).await;
                listed.finish(&mut output);
                output
            }
        },
        // An address that is not asked: the purse says why, in the words of a refusal.
        Err(_) => Output::asked(&ask(purse, caller, args, url.clone(), method, None).await, &url),
    };
    listed.warn(purse, caller, &url, &mut output);
    if args.payable_only == Some(true) {
        output.offers.retain(|o| o.payable);
    }
    if args.free_ok == Some(false) {
        output.offers.retain(|o| o.protocol != "free");
    }
    room::fit(&mut output);
    let (text, error) = (words::lines(&output), output.outcome == Outcome::Refused);
    (output, vec![text], error)
}

/// Asks for the price, unpaid.
async fn ask(
    purse: &Purse,
    caller: &Caller,
    args: &Args,
    url: String,
    method: Option<String>,
    json: Option<Value>,
) -> Report {
    let body = json.map(|json| json.to_string().into_bytes());
    let wish = Wish { url, method, json: body.is_some(), body, max_price: args.max_price, ..Wish::default() };
    purse.quote(caller, wish).await
}

/// Tells of a host: the endpoints that the words of the query meet first, then what costs money.
fn host(described: &Description, url: &str, endpoints: &[Endpoint], args: &Args) -> Output {
    let asked = [args.query.as_deref(), args.task.as_deref()].into_iter().flatten().collect::<Vec<_>>().join(" ");
    let asked: Vec<String> = split(&asked).filter(|word| word.len() > 2).collect();
    let met = |endpoint: &Endpoint| {
        let words: Vec<String> = split(&format!("{} {}", endpoint.path, endpoint.summary)).collect();
        asked.iter().filter(|word| words.contains(word)).count()
    };
    let mut ordered: Vec<&Endpoint> = endpoints.iter().collect();
    ordered.sort_by_key(|endpoint| std::cmp::Reverse(met(endpoint)));
    let limit = usize::from(args.limit.unwrap_or(10)).clamp(1, 50);
    let paid = endpoints.iter().filter(|e| e.is_paid()).count();
    let mut output = Output { url: Some(url.to_owned()), ..Output::bare(Outcome::Quoted, String::new()) };
    output.describe(described);
    output.next = ordered.first().map(|first| Next::look(&first.url));
    // What one endpoint takes is told when it is looked at; here only the sentence about it may be longer.
    let summary = if args.detail == Some(Detail::Full) { 200 } else { 100 };
    let (mut count, mut summary) = (limit.min(ordered.len()), summary);
    loop {
        output.endpoints = ordered[..count].iter().map(|e| Brief::new(e, summary)).collect();
        let all = endpoints.len();
        output.endpoints_total = (count < all).then_some(all);
        let shown = if count < all { format!(", of which {count} are shown") } else { String::new() };
        let free = described
            .free_tier
            .as_ref()
            .map(|tier| format!(" A free tier is named (header {tier}), and fetch_paid tries it first."));
        output.say = format!(
            "Nothing was paid: this was only a look at the seller's own documents. Endpoints named: {all}{shown}; \
             said to cost money: {paid}.{} Look at one of them for its live price and its input.",
            free.unwrap_or_default()
        );
        match room::size(&output) <= room::HOST {
            true => return output,
            false if summary > 60 => summary = 60,
            false if count > 1 => count -= 1,
            false => return output,
        }
    }
}

fn split(text: &str) -> impl Iterator<Item = String> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty()).map(str::to_lowercase)
}

/// Tells of one endpoint, after asking it for its price once, unless asking might already do something.
async fn endpoint(purse: &Purse, caller: &Caller, args: &Args, described: &Description, endpoint: &Endpoint) -> Output {
    let mut endpoint = endpoint.clone();
    let mut output = match endpoint.probe() {
        Probe::Send { json } => {
            let method = Some(endpoint.method.to_string());
            let report = ask(purse, caller, args, endpoint.url.clone(), method, json).await;
            let mut output = Output::asked(&report, &endpoint.url);
            output.describe(described);
            // What documents do not say, the endpoint's own terms may.
            if let Some(told) = &report.described {
                endpoint.learn(told);
            }
            judge(&mut output, &report, &endpoint, args.max_price);
            follow(&mut output, &report, described.moved.as_deref());
            output
        }
        Probe::Never => {
            let say = format!(
                "Nothing was paid, and the endpoint was not asked: {} here may already change something, or the path is \
                 for the seller's own people. Its documents are all that is told.",
                endpoint.method
            );
            let mut output = Output { url: Some(endpoint.url.clone()), ..Output::bare(Outcome::Quoted, say) };
            output.describe(described);
            output.flag(Flag::NotProbed);
            output
        }
    };
    if output.price.is_none()
        && output.outcome == Outcome::Quoted
        && let Some(listed) = endpoint.price()
    {
        output.price = listed.price;
        output.price_basis = listed.price.map(|_| listed.basis);
    }
    let live = output.offers.iter().find(|o| o.protocol == "free" && o.payable);
    let free = described.free_tier.clone().or_else(|| live.map(|_| "x-free-tier: true".to_owned()));
    output.endpoint = Some(Full::new(&endpoint, free));
    if args.detail == Some(Detail::Brief) {
        room::brief(&mut output);
    }
    output
}

/// Joins what the seller answered with what its documents say.
fn judge(output: &mut Output, report: &Report, endpoint: &Endpoint, max_price: Option<Amount>) {
    let status = report.body.as_ref().map(|body| body.row.status);
    match (report.outcome, report.price, status) {
        (Outcome::Quoted, Some(price), _) => {
            output.say =
                format!("Nothing was paid: this was only a look. It costs {price}, asked of the seller just now.");
            if output.offers.iter().any(|o| o.protocol == "free" && o.payable) {
                output.say.push_str(" A free tier is offered, and fetch_paid tries it first.");
            }
            if let Some(listed) = endpoint.contradicts(price).and_then(|l| l.price.zip(Some(l.basis))) {
                output.flag(Flag::PriceDiffers);
                output.say.push_str(&format!(
                    " Its documents say {} ({}); the seller's answer counts.",
                    listed.0,
                    listed.1.name()
                ));
            }
            if output.offers.iter().any(|o| o.why.contains("credit model")) {
                output.flag(Flag::CreditModel);
            }
            output.say.push_str(" To buy it, make the next call with your own values.");
            output.next = Some(Next::fetch(endpoint, Some(price), max_price));
        }
        (Outcome::Quoted, None, _) if output.offers.iter().any(|o| o.payable) => {
            output.next = Some(Next::fetch(endpoint, None, max_price));
        }
        (Outcome::Free, _, Some(status @ (400 | 401 | 403..=405 | 411 | 415 | 422))) => {
            output.flag(Flag::ValidationFirst);
            output.say = format!(
                "Nothing was paid: the seller answers {} with HTTP {status} before it names a price. It may check its input \
                 first, or want another method: ask with fetch_paid, dry_run, the right method and a valid body.",
                endpoint.method
            );
            let mut next = Next::fetch(endpoint, None, max_price);
            next.arguments.insert("dry_run".into(), true.into());
            if endpoint.method == http::Method::GET && endpoint.input.fields.is_empty() {
                next.arguments.insert("method".into(), "POST".into());
                next.arguments.insert("json".into(), Value::Object(Default::default()));
            }
            output.next = Some(next);
        }
        (Outcome::Free, _, Some(200..=299)) => output.next = Some(Next::fetch(endpoint, None, max_price)),
        _ => {}
    }
}

/// Where a redirect leads that was not followed, or to somebody else, that is where to look next.
fn follow(output: &mut Output, report: &Report, moved: Option<&str>) {
    let body = report.body.as_ref();
    let answered = report.outcome != Outcome::Free || body.is_some_and(|b| (200..300).contains(&b.row.status));
    let moved = body.and_then(|b| b.moved.as_deref()).or(moved.filter(|_| !answered));
    if let Some(moved) = moved {
        output.say =
            "Nothing was paid: this host only sends on to another address, which is the one to look at.".into();
        output.flags.retain(|f| *f != Flag::ValidationFirst);
        output.flag(Flag::SendsElsewhere);
        output.next = Some(Next::look(&clean(moved, 1000)));
    }
}

pub(super) async fn call(purse: Purse, caller: Caller, given: Value) -> Said {
    let args: Args = match arguments::<_, Output>(given) {
        Ok(args) => args,
        Err(said) => return said,
    };
    let (output, blocks, is_error) = look(&purse, &caller, &args, None).await;
    Said {
        blocks,
        picture: None,
        structured: serde_json::to_value(&output).unwrap_or_default(),
        is_error,
        hands_over: None,
        asks: None,
    }
}
