//! `fetch_paid`: the tool that buys.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    Refusal, Said, Teller,
    approval::Question,
    arguments,
    page::{Format, Page, page, picture},
};
use crate::{
    ledger::{By, Scope},
    money::Amount,
    purchase::{Caller, OfferView, Outcome, Purse, Report, Wish},
};

/// What the model passes.
#[derive(Debug, Default, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Args {
    pub url: Option<String>,
    /// GET, or POST with a body
    pub method: Option<String>,
    pub headers: Option<std::collections::BTreeMap<String, String>>,
    /// text body
    pub body: Option<String>,
    /// JSON body
    #[schemars(with = "Option<serde_json::Map<String, Value>>")]
    pub json: Option<Value>,
    /// refuse above this, e.g. "50 sat" or "0.10 usd"
    pub max_price: Option<Amount>,
    /// your own key: one purchase for ever
    pub idempotency_key: Option<String>,
    /// prices only, nothing paid
    pub dry_run: bool,
    /// why, for the user's audit
    pub purpose: Option<String>,
    /// read an earlier answer again, instead of url
    pub result_id: Option<String>,
    pub offset: usize,
    /// concise: the shape of JSON in one page
    #[schemars(with = "Format")]
    pub format: Option<Format>,
}

/// What programs read; `bursar fetch --json` prints exactly this.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub struct Output {
    /// What happened.
    pub outcome: Outcome,
    /// What happened to the money and what to do next.
    pub say: String,
    /// A stable word for a refusal or failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The purchase.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub purchase: Option<String>,
    /// What the seller asks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price: Option<Amount>,
    /// What left the wallet in this call, fee included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paid_now: Option<Amount>,
    /// The fee within it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fee: Option<Amount>,
    /// What is held because the outcome is not known yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held: Option<Amount>,
    /// Why this way to pay was chosen, where the seller named several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chosen: Option<String>,
    /// What is left in this session's budgets.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub session_left: Vec<Amount>,
    /// Every way to pay, with what speaks against it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub offers: Vec<OfferView>,
    /// What the seller said that was not understood.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes_unverified: Vec<String>,
    /// The answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<Page>,
}

impl Output {
    /// Makes the facts of a report.
    pub fn new(report: &Report, offset: usize, format: Option<Format>) -> Output {
        Output {
            outcome: report.outcome,
            say: report.say.clone(),
            code: report.code.map(str::to_owned),
            purchase: report.purchase.map(|p| p.to_string()),
            price: report.price,
            paid_now: report.paid_now,
            fee: report.fee,
            held: report.held,
            chosen: report.chosen.clone(),
            session_left: Vec::new(),
            offers: report.offers.clone(),
            notes_unverified: report.notes.clone(),
            result: report.body.as_ref().map(|body| page(body, offset, format)),
        }
    }

    /// What the model reads: first the money, then the seller's text between marks.
    pub fn blocks(&self) -> Vec<String> {
        let mut first = self.say.clone();
        if matches!(self.outcome, Outcome::Bought) {
            for left in &self.session_left {
                first.push_str(&format!(" {left} left in this session."));
            }
        }
        // A refusal names its reason already; the offers are worth their tokens only when there is a choice.
        let told = self.outcome == Outcome::Refused && self.offers.len() < 2;
        for offer in self.offers.iter().filter(|_| !told) {
            let price = offer.price.map(|p| p.to_string()).unwrap_or_else(|| "price unknown".into());
            let can = if offer.payable { "payable" } else { "not payable" };
            let why = if offer.why.is_empty() { String::new() } else { format!(" ({})", offer.why) };
            first.push_str(&format!("\n- {} over {}: {price}, {can}{why}", offer.protocol, offer.rail));
        }
        if let Some(page) = &self.result {
            first.push('\n');
            first.push_str(&page.say());
        }
        let mut blocks = vec![first];
        blocks.extend(self.result.iter().flat_map(Page::fenced));
        blocks
    }
}

impl Refusal for Output {
    fn refusal(code: &str, say: String) -> Output {
        let mut output = Output::new(&Report::refused(say), 0, None);
        output.code = Some(code.to_owned());
        output
    }
}

/// Turns arguments into a wish.
pub fn wish(args: &Args) -> Result<Wish, String> {
    let url =
        args.url.clone().filter(|u| !u.is_empty()).ok_or("url is missing (or result_id, to read an answer again)")?;
    let (body, json) = match (&args.body, &args.json) {
        (Some(_), Some(_)) => return Err("body and json exclude each other".into()),
        (Some(body), None) => (Some(body.clone().into_bytes()), false),
        (None, Some(json)) => (Some(json.to_string().into_bytes()), true),
        (None, None) => (None, false),
    };
    Ok(Wish {
        url,
        method: args.method.clone(),
        headers: args.headers.clone().unwrap_or_default().into_iter().collect(),
        body,
        json,
        max_price: args.max_price,
        idempotency_key: args.idempotency_key.clone(),
        purpose: args.purpose.clone().unwrap_or_default(),
    })
}

/// Adds what is left of the session's budgets in the currencies it spent.
pub async fn add_left(output: &mut Output, purse: &Purse, caller: &Caller) {
    let Some(price) = output.price else { return };
    let Ok(ledger) = purse.ledger().await else { return };
    let Ok((_, budgets)) = ledger.budgets(&caller.principal, &caller.session_key).await else { return };
    let session = budgets.iter().find(|b| b.scope == Scope::Session && b.limit.currency() == price.currency());
    output.session_left.extend(session.map(|b| b.left));
}

pub(super) async fn call(purse: Purse, caller: Caller, given: Value, teller: Teller) -> Said {
    let args: Args = match arguments::<_, Output>(given) {
        Ok(args) => args,
        Err(said) => return said,
    };
    let tell = |progress: &crate::purchase::Progress| teller.tell(progress.to_string());
    let report = match (&args.result_id, args.url.as_deref().filter(|u| !u.is_empty())) {
        (Some(_), Some(_)) => {
            let say = "Nothing was paid: give url to fetch, or result_id to read an answer again, not both.";
            return Said::wrong::<Output>("bad_arguments", say);
        }
        (Some(id), None) => purse.result(&caller, id, &tell).await,
        (None, _) => match wish(&args) {
            Ok(wish) if args.dry_run => purse.quote(&caller, wish).await,
            Ok(wish) => purse.fetch(&caller, wish, &tell).await,
            Err(say) => return Said::wrong::<Output>("bad_arguments", format!("Nothing was paid: {say}.")),
        },
    };
    let mut output = Output::new(&report, args.offset, args.format);
    add_left(&mut output, &purse, &caller).await;
    let hands_over = report.purchase.filter(|_| report.body.is_some() && report.outcome != Outcome::Undelivered);
    let asks = match report.purchase.filter(|_| report.outcome == Outcome::AwaitingApproval) {
        Some(id) => purse.question(&caller, id).await.map(|say| Box::new(Question::Buy { id: id.to_string(), say })),
        None => None,
    };
    Said {
        blocks: output.blocks(),
        picture: report.body.as_ref().and_then(|body| picture(body)).map(Box::new),
        structured: serde_json::to_value(&output).unwrap_or_default(),
        is_error: report.is_error(),
        hands_over,
        asks,
    }
}

/// Writes down what a person answered through the host.
pub(super) async fn decide(purse: &Purse, caller: &Caller, id: &str, yes: bool) -> Result<(), Said> {
    purse.decide(caller, id, yes, By::Form).await.map_err(|no| {
        let say = format!("Nothing was paid: {}.", no.say.trim_end_matches('.'));
        Said::wrong::<Output>(no.code, say)
    })
}
