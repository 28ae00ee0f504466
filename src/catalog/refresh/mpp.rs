//! mpp.dev, the registry of the Machine Payments Protocol, kept by people: `GET /api/services`.

use serde_json::Value;

use super::{
    Page,
    json::{text, units, words},
};
use crate::{
    catalog::index::{
        admit::{Raw, Told},
        listing::Level,
    },
    money::{Amount, Currency},
};

/// The tokens of Tempo that are dollars begin like this.
const TEMPO_USD: &str = "0x20c0";

/// Reads the registry, which comes as one page.
pub(super) fn read(page: &Value) -> Option<Page> {
    let services = page["services"].as_array()?;
    let mut rows = Vec::new();
    for service in services.iter().take(2_000) {
        if service["status"].as_str().is_some_and(|s| !matches!(s, "active" | "live" | "beta" | "ga")) {
            continue;
        }
        let base = text(service, if service["serviceUrl"].is_string() { "serviceUrl" } else { "url" });
        for endpoint in service["endpoints"].as_array().into_iter().flatten().take(500) {
            let path = text(endpoint, "path");
            let payment = &endpoint["payment"];
            rows.push(Raw {
                url: format!("{}/{}", base.trim_end_matches('/'), path.trim_start_matches('/')),
                method: text(endpoint, "method"),
                name: text(endpoint, "description"),
                service: format!("{} {}", words(&service["tags"]), words(&service["categories"])),
                provider: text(service, "name"),
                price: price(payment),
                protocols: if payment.is_null() { String::new() } else { "mpp".into() },
                network: text(payment, "method"),
                level: Level::Curated,
                ..Raw::default()
            });
        }
    }
    Some(Page { seen: services.len(), rows, total: None })
}

/// The price: base units with decimals that are told, and only of what is a dollar for certain.
fn price(payment: &Value) -> Told {
    if payment.is_null() {
        return Told::Free;
    }
    if payment["dynamic"] == true {
        return Told::Varies;
    }
    let currency = text(payment, "currency").to_ascii_lowercase();
    let (Some(units), Some(decimals)) = (units(&payment["amount"]), payment["decimals"].as_u64()) else {
        return if payment["amountHint"].is_null() { Told::Unknown } else { Told::Varies };
    };
    let Ok(units) = units else { return Told::Absurd };
    if currency != "usd" && !currency.starts_with(TEMPO_USD) || decimals > 12 {
        return Told::Unknown;
    }
    // Rounded up to millionths.
    let (units, decimals) = (u128::from(units) * 1_000_000, decimals as u32);
    let atomic = units.div_ceil(10u128.pow(decimals));
    u64::try_from(atomic).ok().and_then(|n| Amount::new(Currency::Usd, n)).map_or(Told::Absurd, Told::Fixed)
}
