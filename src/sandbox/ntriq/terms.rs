//! What the API asks for, in every form in which such APIs have been seen to ask.

use axum::{
    http::{
        HeaderValue, StatusCode,
        header::{CACHE_CONTROL, CONTENT_TYPE},
    },
    response::{Html, IntoResponse as _, Response},
};
use data_encoding::BASE64;
use serde_json::{Value, json};

use super::{
    catalogue::{Endpoint, Extensions},
    facilitator::FACILITATOR,
    mode::NtriqMode,
};
use crate::{
    evm::{Address, assets::Token},
    sandbox::chain,
};

/// How a challenge is written. `?v=` chooses one for a request: `2`, `1`, `2body`, `legacy`, `blog`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// Version 2: the header `PAYMENT-REQUIRED`, and `{}` for a body.
    #[default]
    V2,
    /// Version 1: a JSON body; paid with `X-PAYMENT`.
    V1,
    /// Version 2, in the body only.
    V2Body,
    /// Version 2, in the header `X-PAYMENT-REQUIRED`.
    Legacy,
    /// As the service's own blog shows it: a version 1 that names no payee. Nobody can pay it.
    Blog,
}

/// How the money is to be moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Means {
    /// By an authorization (EIP-3009).
    #[default]
    Eip3009,
    /// Through Permit2, all of it.
    Permit2,
    /// Through Permit2, as much of it as was used.
    UpTo,
}

impl Form {
    /// The form that a query asks for.
    pub(super) fn of_query(query: Option<&str>) -> Option<Form> {
        let asked = query?.split('&').find_map(|pair| pair.strip_prefix("v="))?;
        match asked {
            "2" => Some(Form::V2),
            "1" => Some(Form::V1),
            "2body" => Some(Form::V2Body),
            "legacy" => Some(Form::Legacy),
            "blog" => Some(Form::Blog),
            _ => None,
        }
    }

    /// Whether it is paid as version 1 wants.
    pub(super) fn is_v1(self) -> bool {
        matches!(self, Form::V1 | Form::Blog)
    }
}

/// What one request costs, and how that is said.
#[derive(Clone, Debug)]
pub(super) struct Terms {
    pub endpoint: &'static Endpoint,
    pub form: Form,
    pub mode: NtriqMode,
    /// The base URL that `resource` begins with.
    pub base: String,
    pub query: Option<String>,
    pub units: u64,
    pub pay_to: Address,
    pub token: Token,
    pub means: Means,
    /// What is charged in the end.
    pub charge: u64,
}

impl Terms {
    /// How the money is moved: version 1 knows one way only.
    pub fn means(&self) -> Means {
        if self.form.is_v1() { Means::Eip3009 } else { self.means }
    }

    /// The network as this version names it.
    pub fn network(&self) -> &'static str {
        if self.form.is_v1() { chain::NAME } else { chain::CAIP2 }
    }

    /// The ways to pay.
    pub fn accepts(&self) -> Vec<Value> {
        let mut ways = if self.mode == NtriqMode::OffersMore { others() } else { Vec::new() };
        ways.push(if self.form.is_v1() { self.v1() } else { self.v2() });
        ways
    }

    fn v2(&self) -> Value {
        let scheme = if self.means == Means::UpTo { "upto" } else { "exact" };
        let mut way = json!({
            "scheme": scheme, "network": chain::CAIP2, "amount": self.units.to_string(),
            "asset": self.token.address, "payTo": self.pay_to, "maxTimeoutSeconds": 300, "extra": self.extra(),
        });
        if self.mode == NtriqMode::Recases {
            way["asset"] = self.token.address.to_string().to_lowercase().into();
            way["payTo"] = self.pay_to.to_string().to_uppercase().replacen("0X", "0x", 1).into();
            way["Note"] = "MiXeD".into();
        }
        way
    }

    fn v1(&self) -> Value {
        if self.form == Form::Blog {
            return json!({"amount": self.units.to_string(), "currency": "USDC"});
        }
        json!({
            "scheme": "exact", "network": chain::NAME, "maxAmountRequired": self.units.to_string(),
            "resource": format!("{}{}", self.base, self.endpoint.path), "description": self.description(),
            "mimeType": "", "payTo": self.pay_to, "maxTimeoutSeconds": 60, "asset": self.token.address,
            "outputSchema": {"input": {"type": "http", "method": "POST", "discoverable": true}},
            "extra": self.extra(),
        })
    }

    fn extra(&self) -> Value {
        let mut extra = self.domain();
        match self.means() {
            Means::Eip3009 => {}
            Means::Permit2 => extra["assetTransferMethod"] = "permit2".into(),
            Means::UpTo => extra["facilitatorAddress"] = FACILITATOR.to_string().into(),
        }
        extra
    }

    fn domain(&self) -> Value {
        match self.mode {
            NtriqMode::GatewayDomain => json!({
                "name": "GatewayWalletBatched", "version": "1",
                "verifyingContract": "0x0077777d7EBA4688BDeF3E311b846F25870A19B9",
            }),
            NtriqMode::Upfront { declared: true } => {
                json!({"name": self.token.name, "version": self.token.version, "paymentFlow": "upfront"})
            }
            _ => json!({"name": self.token.name, "version": self.token.version}),
        }
    }

    fn description(&self) -> String {
        let said = if self.endpoint.extensions == Extensions::None { "" } else { self.endpoint.about };
        match self.mode {
            NtriqMode::HugeChallenge(bytes) => format!("{said}{}", "x".repeat(bytes)),
            _ => said.to_owned(),
        }
    }

    /// Whether the buyer may name the payment.
    pub fn takes_names(&self) -> bool {
        !self.form.is_v1() && matches!(self.endpoint.extensions, Extensions::Identifier | Extensions::Required)
    }

    /// What the challenge advertises beside the ways to pay; version 1 has no such thing.
    pub fn extensions(&self) -> Value {
        let mut all = json!({});
        let which = self.endpoint.extensions;
        if matches!(which, Extensions::Identifier | Extensions::Required) {
            all["payment-identifier"] = json!({
                "info": {"required": which == Extensions::Required},
                "schema": {
                    "$schema": "https://json-schema.org/draft/2020-12/schema",
                    "type": "object",
                    "properties": {
                        "required": {"type": "boolean"},
                        "id": {"type": "string", "minLength": 16, "maxLength": 128, "pattern": "^[a-zA-Z0-9_-]+$"},
                    },
                    "required": ["required"],
                },
            });
        }
        if matches!(which, Extensions::Bazaar | Extensions::Required) {
            let field = if which == Extensions::Bazaar { "image_url" } else { "code" };
            all["bazaar"] = json!({
                "info": {
                    "input": {"type": "http", "method": "POST", "bodyType": "json", "body": {field: "..."}},
                    "output": {"type": "json", "example": {"status": "ok"}},
                },
                "schema": {
                    "type": "object",
                    "properties": {"input": {"type": "object", "properties": {"body": {
                        "type": "object", "properties": {field: {"type": "string"}}, "required": [field],
                    }}}},
                },
            });
        }
        all
    }

    /// The 402 that asks for money, and why it asks (again).
    pub fn challenge(&self, error: &str) -> Response {
        let said = self.said(error);
        let encoded = BASE64.encode(said.to_string().as_bytes());
        let (body, header) = match self.form {
            Form::V2 => (json!({}), Some("payment-required")),
            Form::Legacy => (json!({}), Some("x-payment-required")),
            Form::V1 | Form::V2Body | Form::Blog => (said, None),
        };
        let mut response = (StatusCode::PAYMENT_REQUIRED, axum::Json(body)).into_response();
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let (Some(name), Ok(value)) = (header, HeaderValue::from_str(&encoded)) {
            response.headers_mut().insert(name, value);
        }
        response
    }

    fn said(&self, error: &str) -> Value {
        if self.form == Form::Blog {
            return json!({"x402Version": 1, "accepts": self.accepts()});
        }
        if self.form.is_v1() {
            return json!({"x402Version": 1, "error": error, "accepts": self.accepts()});
        }
        let query = self.query.as_ref().map(|q| format!("?{q}")).unwrap_or_default();
        let url = format!("{}{}{query}", self.base, self.endpoint.path);
        let mut said = json!({
            "x402Version": 2, "error": error,
            "resource": {"url": url, "description": self.description(), "mimeType": ""},
            "accepts": self.accepts(),
        });
        let extensions = self.extensions();
        if extensions.as_object().is_some_and(|all| !all.is_empty()) {
            said["extensions"] = extensions;
        }
        said
    }

    /// What a browser gets in place of a challenge: a page that a program can do nothing with.
    pub fn page() -> Response {
        let page =
            "<!DOCTYPE html><html><head><title>Payment Required</title></head><body>Connect wallet</body></html>";
        let mut response = (StatusCode::PAYMENT_REQUIRED, Html(page)).into_response();
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html"));
        response
    }
}

/// Another network's money, a scheme from the future, an entry that is not even an object, and real dollars.
fn others() -> Vec<Value> {
    vec![
        json!({
            "scheme": "exact", "network": "solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1", "amount": "1",
            "asset": "4zMMC9srt5Ri5X14GAgXhaHii3GnPAEERYPJgZJDncDU", "payTo": "4zMMC9srt5Ri5X14GAgXhaHii3GnPAEERYPJgZJDncDU",
            "maxTimeoutSeconds": 60, "extra": {"feePayer": "4zMMC9srt5Ri5X14GAgXhaHii3GnPAEERYPJgZJDncDU"},
        }),
        json!({"scheme": "by-next-tuesday", "network": chain::CAIP2, "amount": {"of": "nothing"}}),
        json!("exact"),
        json!({
            "scheme": "exact", "network": "eip155:8453", "amount": "1",
            "asset": "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913", "payTo": Address([7; 20]),
            "maxTimeoutSeconds": 300, "extra": {"name": "USD Coin", "version": "2"},
        }),
    ]
}
