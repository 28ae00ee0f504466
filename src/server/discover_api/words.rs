//! What `discover_api` says to the model: short lines with the same facts, the seller's words between quotation marks.

use super::{Output, view::Full};
use crate::catalog::{Fate, Source};

/// The text for the model: first what it comes to.
pub(super) fn lines(output: &Output) -> String {
    let mut lines = vec![output.say.clone()];
    let told = output.outcome == crate::purchase::Outcome::Refused && output.offers.len() < 2;
    for offer in output.offers.iter().filter(|_| !told) {
        let price = offer.price.map(|p| p.to_string()).unwrap_or_else(|| "price unknown".into());
        let can = if offer.payable { "payable" } else { "not payable" };
        let why = if offer.why.is_empty() { String::new() } else { format!(" ({})", offer.why) };
        lines.push(format!("- {} over {}: {price}, {can}{why}", offer.protocol, offer.rail));
    }
    if let Some(provider) = &output.provider_unverified {
        lines.push(format!("Seller says it is {}.", quoted(provider)));
    }
    for one in &output.endpoints {
        let mut line = format!("- {} {}", one.method, one.path);
        match (one.price, one.price_up_to, one.price_basis) {
            (Some(low), Some(high), Some(basis)) => line.push_str(&format!(", {low} to {high} ({})", basis.name())),
            (Some(price), _, Some(basis)) => line.push_str(&format!(", {price} ({})", basis.name())),
            _ if one.asks_payment => line.push_str(", paid, price unknown"),
            _ => {}
        }
        if !one.required.is_empty() {
            line.push_str(&format!(", needs {}", one.required.join(", ")));
        }
        if !one.summary_unverified.is_empty() {
            line.push_str(&format!(": {}", quoted(&one.summary_unverified)));
        }
        lines.push(line);
    }
    lines.extend(super::search::lines(output));
    if let Some(full) = &output.endpoint {
        lines.extend(endpoint(full));
    }
    if !output.flags.is_empty() {
        let names = output.flags.iter().filter_map(|f| serde_json::to_value(f).ok()?.as_str().map(str::to_owned));
        lines.push(format!("Flags: {}.", names.collect::<Vec<_>>().join(", ")));
    }
    if let Some(elsewhere) = &output.elsewhere {
        lines.push(format!("It points to another host: {elsewhere}"));
    }
    if !output.sources.is_empty() {
        let read: Vec<String> = output.sources.iter().map(source).collect();
        lines.push(format!("Documents: {}.", read.join("; ")));
    }
    if let Some(next) = &output.next {
        let arguments = serde_json::to_string(&next.arguments).unwrap_or_default();
        lines.push(format!("Next: {} {arguments}", next.tool));
    }
    lines.join("\n")
}

fn endpoint(full: &Full) -> Vec<String> {
    let mut lines = vec![format!("{} {}", full.method, full.url)];
    if !full.summary_unverified.is_empty() {
        lines.push(format!("Seller says: {}", quoted(&full.summary_unverified)));
    }
    for listed in &full.listed {
        let price = match (listed.price, listed.up_to) {
            (Some(low), Some(high)) => format!("{low} to {high}"),
            (Some(price), None) => price.to_string(),
            _ => "unknown".to_owned(),
        };
        let by = if listed.by.is_empty() { String::new() } else { format!(" by {}", listed.by) };
        lines.push(format!("Listed price{by}: {price} ({})", listed.basis.name()));
    }
    if let Some(free) = &full.free_tier {
        lines.push(format!("Free tier: header {free}; fetch_paid tries it first by itself."));
    }
    let input = &full.input;
    for (name, kind) in &input.properties {
        let must = if input.required.contains(name) { ", required" } else { "" };
        let about = full.fields_unverified.get(name).map(|about| format!(" {}", quoted(about))).unwrap_or_default();
        lines.push(format!("- {name}: {kind}{must}{about}"));
    }
    if input.more > 0 {
        lines.push(format!("- and {} more fields", input.more));
    }
    if full.example_unverified.is_some() {
        let whose = if full.example_given { "the seller's own" } else { "made from the schema" };
        lines.push(format!("The json below is {whose}: put your own values in."));
    }
    lines
}

fn source(source: &Source) -> String {
    let fate = match source.fate {
        Fate::Read => format!("read, {} bytes", source.bytes),
        Fate::Absent => "none".into(),
        Fate::HttpError => format!("HTTP {}", source.status.unwrap_or_default()),
        Fate::WantsPayment => "wants payment, left".into(),
        Fate::Html => "a web page, not read".into(),
        Fate::NotReadable => "not readable".into(),
        Fate::TooLarge => "too large, not read".into(),
        Fate::Elsewhere => "lies elsewhere, not read".into(),
        Fate::NoAnswer => "no answer in time".into(),
    };
    format!("{} {fate}", source.path)
}

/// A seller's words between marks that they cannot close.
pub(super) fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace(['"', '“', '”'], "'"))
}
