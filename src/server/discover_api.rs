//! `discover_api`: what a URL costs and how it can be paid, with one unpaid request.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Refusal, Said, arguments, fetch_paid};
use crate::{
    money::Amount,
    purchase::{Caller, OfferView, Outcome, Purse, Report, Wish},
};

/// What the model passes. The final arguments: searching by `query` comes with the bundled catalogue.
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
    /// Where the price comes from: `live_402`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price_basis: Option<&'static str>,
    /// Every way to pay, with what speaks against it.
    pub offers: Vec<OfferView>,
    /// What the seller said that was not understood.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes_unverified: Vec<String>,
}

impl Output {
    fn new(report: &Report, url: &str) -> Output {
        Output {
            outcome: report.outcome,
            say: report.say.clone(),
            code: report.code.map(str::to_owned),
            url: Some(url.to_owned()),
            price: report.price,
            price_basis: (report.outcome == Outcome::Quoted).then_some("live_402"),
            offers: report.offers.clone(),
            notes_unverified: report.notes.clone(),
        }
    }
}

impl Refusal for Output {
    fn refusal(code: &str, say: String) -> Output {
        Output {
            outcome: Outcome::Refused,
            say,
            code: Some(code.to_owned()),
            url: None,
            price: None,
            price_basis: None,
            offers: Vec::new(),
            notes_unverified: Vec::new(),
        }
    }
}

const LATER: &str = "Nothing was paid: searching by words is not in this version yet. Pass url: a web address that may \
     ask for payment.";

/// Looks at a URL. The words for the model come with it.
pub async fn look(purse: &Purse, caller: &Caller, args: &Args, method: Option<String>) -> (Output, Vec<String>, bool) {
    let Some(url) = args.url.clone().filter(|u| !u.is_empty()) else {
        return (Output::refusal("search_comes_later", LATER.into()), vec![LATER.into()], true);
    };
    let wish = Wish { url: url.clone(), method, max_price: args.max_price, ..Wish::default() };
    let report = purse.quote(caller, wish).await;
    let mut output = Output::new(&report, &url);
    let is_404 = report.body.as_ref().is_some_and(|b| matches!(b.row.status, 404 | 405));
    if is_404 {
        output.say.push_str(" It may want another method (try fetch_paid with dry_run, method POST and a body).");
    }
    if args.payable_only == Some(true) {
        output.offers.retain(|o| o.payable);
    }
    if args.free_ok == Some(false) {
        output.offers.retain(|o| o.protocol != "free");
    }
    let shown = fetch_paid::Output { result: None, ..fetch_paid::Output::new(&report, 0, Default::default()) };
    let shown = fetch_paid::Output { say: output.say.clone(), offers: output.offers.clone(), ..shown };
    let error = report.outcome == Outcome::Refused;
    (output, shown.blocks(), error)
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
