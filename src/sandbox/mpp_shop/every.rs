//! Every dialect on one answer: LSAT, L402, a charge and a session of MPP, and x402, each with an invoice or terms of its
//! own. Whoever pays one of them is served, and whoever pays two has paid twice.

use axum::http::{HeaderMap, HeaderValue, header::WWW_AUTHENTICATE};
use data_encoding::{BASE64, HEXLOWER};
use serde_json::{Value, json};

use super::{Gate, INVOICE_S};
use crate::{
    evm::eip3009::Signed,
    sandbox::{aperture, chain, lock, macaroon::Macaroon},
};

/// The scope that its macaroons are for.
const CAVEAT: &str = "services=every:0";

impl Gate {
    /// Adds the doors that are not of MPP.
    pub(super) fn add_other_doors(&self, headers: &mut HeaderMap) {
        for scheme in ["LSAT", "L402"] {
            if let Some(line) = self.token_line(scheme).and_then(|line| HeaderValue::from_str(&line).ok()) {
                headers.append(WWW_AUTHENTICATE, line);
            }
        }
        let terms = json!({ "x402Version": 2, "error": "Payment required", "accepts": [self.terms()] }).to_string();
        if let Ok(terms) = HeaderValue::from_str(&BASE64.encode(terms.as_bytes())) {
            headers.insert("payment-required", terms);
        }
    }

    fn token_line(&self, scheme: &str) -> Option<String> {
        let made = self.node.invoice(self.options.price_sat.saturating_mul(1000), "L402", INVOICE_S).ok()?;
        lock(&self.book).invoices += 1;
        let token_id: [u8; 32] = crate::random();
        let hash = HEXLOWER.decode(made.payment_hash.as_bytes()).ok()?;
        let identifier = [&[0, 0][..], &hash, &token_id].concat();
        let token = Macaroon::mint(&self.root.of(&token_id), "lsat", identifier, vec![CAVEAT.into()]);
        Some(format!("{scheme} macaroon=\"{}\", invoice=\"{}\"", BASE64.encode(&token.to_v2()), made.bolt11))
    }

    fn terms(&self) -> Value {
        let token = self.dollars.token();
        json!({
            "scheme": "exact", "network": chain::CAIP2, "amount": self.options.price_micro_usd.to_string(),
            "asset": token.address, "payTo": self.pay_to, "maxTimeoutSeconds": 60,
            "extra": { "name": token.name, "version": token.version },
        })
    }

    /// Whether a token of L402 opens it: minted here, for an invoice that was paid.
    pub(super) fn takes_token(&self, headers: &HeaderMap) -> bool {
        let Some((token, preimage)) = aperture::credential(headers) else { return false };
        let id = &token.identifier;
        let hash = HEXLOWER.encode(&crate::sha256(&preimage));
        let fits = id.len() == 66 && HEXLOWER.encode(&id[2..34]) == hash && self.node.is_paid(&hash);
        fits && token.is_genuine(&self.root.of(&id[34..])) && token.caveats == [CAVEAT]
    }

    /// Whether a payment of x402 opens it: it is carried to the chain, which takes it once.
    pub(super) fn takes_payment(&self, headers: &HeaderMap) -> bool {
        let read = || {
            let text = headers.get("payment-signature")?.to_str().ok()?;
            let whole: Value = serde_json::from_slice(&BASE64.decode(text.as_bytes()).ok()?).ok()?;
            let signed: Signed = serde_json::from_value(whole.get("payload")?.clone()).ok()?;
            Some((whole["accepted"].clone(), signed))
        };
        let Some((accepted, signed)) = read() else { return false };
        let said = &signed.authorization;
        let pays = said.to == self.pay_to && said.value == self.options.price_micro_usd;
        pays && accepted == self.terms() && self.dollars.transfer_with_authorization(&signed).is_ok()
    }
}
