//! What the API says for free.

use serde_json::{Value, json};

use super::{
    catalogue::{ENDPOINTS, Endpoint},
    service::Service,
};
use crate::sandbox::{chain, stamp};

/// Dollars as the service writes them: at least two digits after the point, more where the price has them.
fn dollars(units: u64) -> String {
    let exact = format!("${}.{:06}", units / 1_000_000, units % 1_000_000);
    let least = exact.len() - 4;
    let short = exact.trim_end_matches('0').len().max(least);
    exact[..short].to_owned()
}

/// `GET /health`.
pub(super) fn health(service: &Service) -> Value {
    let now_ms = service.clock.now_ms();
    let listed = |e: &Endpoint| json!({"method": "POST", "path": e.path, "price": dollars(service.price(e))});
    json!({
        "status": "ok",
        "version": "2.0.0",
        "uptime": now_ms.saturating_sub(service.started_ms) / 1000,
        "services": ENDPOINTS.iter().map(listed).collect::<Vec<_>>(),
        "wallet": service.pay_to,
        "facilitator": "play money",
        "timestamp": stamp::iso(now_ms),
    })
}

/// `GET /services`. The real list has no descriptions; ours has them, since the words beside the prices are the trap.
pub(super) fn services(service: &Service) -> Value {
    let listed = |e: &Endpoint| {
        json!({
            "method": "POST", "path": e.path, "price": dollars(service.price(e)), "description": e.about,
            "network": chain::CAIP2, "payTo": service.pay_to,
        })
    };
    json!({
        "name": "ntriq AgentShop (sandbox replica)",
        "description": "AI services for agents, paid by the call. Play money.",
        "services": ENDPOINTS.iter().map(listed).collect::<Vec<_>>(),
        "payment": {"protocol": "x402", "currency": "USDC", "network": chain::CAIP2},
    })
}

#[cfg(test)]
mod tests {
    use super::dollars;

    #[test]
    fn prices_are_written_with_two_digits_or_as_many_as_they_need() {
        for (units, text) in [(10_000, "$0.01"), (15_000_000, "$15.00"), (4_200, "$0.0042"), (1, "$0.000001")] {
            assert_eq!(dollars(units), text);
        }
    }
}
