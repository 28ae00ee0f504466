//! The x402 Bazaar, a facilitator's list of what it settles: `GET {facilitator}/discovery/resources?limit=&offset=`.

use serde_json::Value;

use super::{
    Page,
    json::{example, input, text, units, words},
};
use crate::{
    catalog::{
        index::{
            admit::{Raw, Told},
            listing::Level,
        },
        price::is_usdc,
    },
    money::{Amount, Currency},
};

/// Reads a page.
pub(super) fn read(page: &Value) -> Option<Page> {
    let items = page["items"].as_array().or_else(|| page["resources"].as_array())?;
    let rows = items.iter().filter_map(row).collect();
    let total = page["pagination"]["total"].as_u64().or(page["total"].as_u64());
    Some(Page { rows, seen: items.len(), total: total.and_then(|n| usize::try_from(n).ok()) })
}

fn row(item: &Value) -> Option<Raw> {
    if item["type"].as_str().is_some_and(|kind| kind != "http") {
        return None;
    }
    let accepts: Vec<&Value> = item["accepts"].as_array().into_iter().flatten().take(8).collect();
    // Among several, the one whose asset is known for certain.
    let known = |a: &&&Value| a["asset"].as_str().is_some_and(is_usdc);
    let accept = accepts.iter().find(known).or(accepts.first()).copied()?;
    let info = &item["extensions"]["bazaar"]["info"]["input"];
    let old = &accept["outputSchema"]["input"];
    let address = item["resource"].as_str().or(item["resource"]["url"].as_str()).or(accept["resource"].as_str())?;
    let method = ["method"].iter().find_map(|key| info[*key].as_str().or(old[*key].as_str())).unwrap_or_default();
    let about =
        ["description"].iter().find_map(|key| item[*key].as_str().or(accept[*key].as_str())).unwrap_or_default();
    let schema = &item["extensions"]["bazaar"]["schema"]["properties"]["input"]["properties"];
    let fields = input(&schema["body"]).or_else(|| input(&schema["queryParams"]));
    let service = text(item, "serviceName");
    let name = about.split(['.', '\n', '!']).next().unwrap_or_default();
    Some(Raw {
        url: address.to_owned(),
        method: method.to_owned(),
        name: if name.trim().is_empty() { service.clone() } else { name.to_owned() },
        about: about.chars().take(600).collect(),
        words: words(&item["tags"]),
        provider: service,
        price: price(accept),
        protocols: "x402".into(),
        network: text(accept, "network"),
        as_of: text(item, "lastUpdated"),
        level: level(item),
        input: fields,
        example: example(&info["body"]),
        ..Raw::default()
    })
}

/// The price, where the asset's units are known for certain.
fn price(accept: &Value) -> Told {
    let amount = if accept["amount"].is_null() { &accept["maxAmountRequired"] } else { &accept["amount"] };
    let known = accept["asset"].as_str().is_some_and(is_usdc);
    match units(amount) {
        Some(Ok(units)) if known => Amount::new(Currency::Usd, units).map_or(Told::Absurd, Told::Fixed),
        Some(Err(())) => Told::Absurd,
        _ => Told::Unknown,
    }
}

/// Counters only veto: few payers mean that nobody vouches for it, and so does what only a farm looks like.
fn level(item: &Value) -> Level {
    let quality = &item["quality"];
    let (calls, payers) = (&quality["l30DaysTotalCalls"], &quality["l30DaysUniquePayers"]);
    let (calls, payers) = (calls.as_u64().unwrap_or(0), payers.as_u64().unwrap_or(0));
    let farmed = payers >= 100 && calls < payers + payers / 4;
    match payers {
        _ if farmed => Level::Unverified,
        _ if item["curated"] == true => Level::Listed,
        0..3 => Level::Unverified,
        _ => Level::Listed,
    }
}
