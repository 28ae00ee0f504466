//! 402index.io, the catalogue across protocols: `GET /api/v1/services?limit=&offset=`.

use serde_json::Value;

use super::{
    Page,
    json::{number, text, words},
};
use crate::{
    catalog::{
        index::{
            admit::{Raw, Told},
            listing::Level,
        },
        price::is_usdc,
    },
    money::Currency,
};

/// Reads a page.
pub(super) fn read(page: &Value) -> Option<Page> {
    let services = page["services"].as_array()?;
    let rows = services.iter().filter_map(row).collect();
    let total = page["total"].as_u64().and_then(|n| usize::try_from(n).ok());
    Some(Page { rows, seen: services.len(), total })
}

fn row(row: &Value) -> Option<Raw> {
    let protocol = text(row, "protocol").to_lowercase();
    let protocol = ["l402", "x402", "mpp"].into_iter().find(|p| *p == protocol)?;
    // What is down is not worth a place.
    if row["health_status"] == "down" {
        return None;
    }
    let lightning = protocol == "l402";
    let asset = text(row, "payment_asset");
    let price = if lightning {
        number(Currency::Sat, &row["price_sats"])
    } else if asset.eq_ignore_ascii_case("usdc") || is_usdc(&asset) {
        number(Currency::Usd, &row["price_usd"])
    } else {
        // It assumes six decimals of whatever the asset is.
        match number(Currency::Usd, &row["price_usd"]) {
            Told::Absurd => Told::Absurd,
            _ => Told::Unknown,
        }
    };
    let yes = |key: &str| row[key] == 1 || row[key] == true;
    // Only what it saw asking for payment counts: a verified domain is a file that any owner puts there.
    let vouched = yes("x402_payment_valid") || (lightning && row["probe_status"] == "probeable");
    let healthy = row["health_status"] == "healthy";
    let servers = row["servers"].as_array().into_iter().flatten().filter_map(|s| s.as_str().map(str::to_owned));
    Some(Raw {
        url: text(row, "url"),
        method: text(row, "http_method"),
        name: text(row, "name"),
        about: text(row, "description"),
        words: format!("{} {}", text(row, "category").replace("uncategorized", ""), words(&row["tags"])),
        provider: text(row, "provider"),
        price,
        protocols: protocol.into(),
        network: if lightning { "lightning".into() } else { text(row, "payment_network") },
        as_of: text(row, "last_checked"),
        servers: servers.take(4).collect(),
        level: if healthy && vouched { Level::Listed } else { Level::Unverified },
        ..Raw::default()
    })
}
