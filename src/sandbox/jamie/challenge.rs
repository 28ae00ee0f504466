//! The 402 of the service.

use axum::{
    http::{HeaderValue, StatusCode, header::WWW_AUTHENTICATE},
    response::Response,
};
use serde_json::{Value, json};

use super::{JamieMode, MICRO_USD_PER_SAT, SATS_PER_USD, Service, endpoint::Endpoint, error, usd};
use crate::sandbox::{lock, stamp};

const MIN_SAT: u64 = 10;
const MAX_SAT: u64 = 500_000;
/// How long an invoice can be paid, in seconds.
const INVOICE_S: u64 = 3600;

impl Service {
    /// Asks for money. `short` is what a prepaid caller has left when that is too little.
    pub(super) fn challenge(&self, endpoint: &Endpoint, query: Option<&str>, short: Option<u64>) -> Response {
        let default_sat = invoice_sat(endpoint.micro_usd);
        let wanted = query.and_then(|q| {
            url::form_urlencoded::parse(q.as_bytes()).find(|(name, _)| name == "amountSats").map(|(_, v)| v)
        });
        let sat = match wanted.map(|v| v.parse::<u64>()) {
            None => default_sat,
            Some(Ok(sat)) if (MIN_SAT..=MAX_SAT).contains(&sat) => sat,
            Some(_) => {
                let say = format!("amountSats must be a whole number between {MIN_SAT} and {MAX_SAT}");
                return error(StatusCode::BAD_REQUEST, json!({"error": "Invalid amountSats", "message": say}));
            }
        };
        if *lock(&self.mode) == JamieMode::LightningUnavailable {
            let say = json!({"error": "Lightning payments are unavailable", "code": "LIGHTNING_UNAVAILABLE"});
            return error(StatusCode::SERVICE_UNAVAILABLE, say);
        }
        let Ok(made) = self.node.invoice(sat * 1000, "Pull That Up Jamie API credit", INVOICE_S) else {
            let say = json!({"error": "Failed to create a payment challenge", "code": "CHALLENGE_ERROR"});
            return error(StatusCode::INTERNAL_SERVER_ERROR, say);
        };
        let macaroon = self.mint(&made.payment_hash);
        lock(&self.accounts).expect(&made.payment_hash, sat);
        lock(&self.tally).challenges += 1;

        let mut body = json!({
            "type": "https://pullthatupjamie.ai/l402/payment-required",
            "title": "Payment Required",
            "status": 402,
            "detail": "Payment required. Pay the Lightning invoice and repeat the request with \
                       Authorization: L402 <macaroon>:<preimage>. \
                       Add X-Free-Tier: true header to use the free quota instead.",
            "macaroon": macaroon,
            "invoice": made.bolt11,
            "paymentHash": made.payment_hash,
            "amountSats": sat,
            "amountUsd": usd(sat * MICRO_USD_PER_SAT),
            "btcUsdRate": SATS_PER_USD * 100,
            "expiresAt": stamp::iso(self.clock.now_ms() + INVOICE_S * 1000),
            "creditInfo": credit_info(endpoint, default_sat),
            "code": "PAYMENT_REQUIRED",
        });
        if let Some(left) = short {
            body["code"] = "INSUFFICIENT_FUNDS".into();
            body["detail"] = "The prepaid balance is too small for this call. Pay a new invoice.".into();
            body["costUsd"] = usd(endpoint.micro_usd).into();
            body["balanceUsd"] = usd(left).into();
        }
        let mut response = error(StatusCode::PAYMENT_REQUIRED, body);
        let header = format!("L402 macaroon=\"{macaroon}\", invoice=\"{}\"", made.bolt11);
        if let Ok(header) = HeaderValue::from_str(&header) {
            response.headers_mut().insert(WWW_AUTHENTICATE, header);
        }
        response
    }
}

/// max(10, ceil(dollars × satoshi for a dollar × 1.02)).
fn invoice_sat(micro_usd: u64) -> u64 {
    (micro_usd * SATS_PER_USD * 102).div_ceil(100 * 1_000_000).max(MIN_SAT)
}

fn credit_info(endpoint: &Endpoint, default_sat: u64) -> Value {
    json!({
        "model": "credit",
        "service": "pullthatupjamie",
        "message": "The payment becomes prepaid credit. Use the same credential until it is used up.",
        "customAmount": format!("POST {}?amountSats=N to buy more credit at once ({MIN_SAT} to {MAX_SAT})", endpoint.path),
        "defaultSats": default_sat,
        "globalDefaultSats": 1000,
        "minSats": MIN_SAT,
        "maxSats": MAX_SAT,
        "balanceEndpoint": "/api/agent/balance",
        "responseHeaders": ["X-Credits-Remaining-USD", "X-Credits-Cost-USD"],
        "pricingMicroUsd": {
            "search-quotes": 4_000,
            "search-quotes-3d": 10_000,
            "make-clip": 50_000,
            "jamie-assist": 20_000,
            "ai-analyze": 20_000,
            "submit-on-demand-run": 450_000,
            "discover-podcasts": 5_000,
            "chapter-search": 8_000,
            "pull": 100_000,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::invoice_sat;

    #[test]
    fn the_smallest_invoice_is_ten_satoshi_and_dearer_calls_carry_two_percent() {
        assert_eq!([4_000, 5_000, 8_000, 10_000, 100_000, 450_000].map(invoice_sat), [10, 10, 10, 11, 102, 459]);
    }
}
