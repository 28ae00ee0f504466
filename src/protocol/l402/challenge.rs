//! What an L402 or LSAT challenge holds, before anyone has judged it.

use http::HeaderValue;
use serde_json::{Map, Value};

use super::{
    super::{Objection, header::RawChallenge},
    claims::{self, Claim},
};
use crate::secret::Secret;

/// The longest token that is carried, in bytes.
pub const MAX_TOKEN: usize = 16 * 1024;

/// The two names of one protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Scheme {
    L402,
    Lsat,
}

impl Scheme {
    pub(super) fn of(raw: &RawChallenge) -> Option<Scheme> {
        [Scheme::L402, Scheme::Lsat].into_iter().find(|s| raw.is(s.name()))
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Scheme::L402 => "L402",
            Scheme::Lsat => "LSAT",
        }
    }
}

/// One demand for payment: a token, the invoice that brings it to life, and what is said about them.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    pub(super) scheme: Scheme,
    pub(super) token: Option<Secret>,
    pub(super) invoice: Option<String>,
    pub(super) claims: Vec<Claim>,
    pub(super) objections: Vec<Objection>,
}

impl Ask {
    /// Reads a challenge of a header. `None` when it names neither token nor invoice.
    pub(super) fn in_header(scheme: Scheme, raw: &RawChallenge) -> Option<Ask> {
        let mut ask = Ask { claims: claims::in_header(raw), ..Ask::empty(scheme) };
        let tokens = raw.params.iter().filter(|p| matches!(p.name.as_str(), "token" | "macaroon"));
        ask.take_token(tokens.map(|p| p.value.as_slice()));
        ask.take_invoice(raw.all("invoice"));
        ask.says_something()
    }

    /// Reads a challenge that stands in a JSON body. `None` unless both a token and an invoice are there.
    pub(super) fn in_body(scheme: Scheme, object: &Map<String, Value>) -> Option<Ask> {
        let text = |name: &&str| object.get(*name).and_then(Value::as_str);
        let mut ask = Ask::empty(scheme);
        let tokens: Vec<_> = ["token", "macaroon"].iter().filter_map(text).collect();
        let invoices: Vec<_> = INVOICE_KEYS.iter().filter_map(text).filter(|i| looks_like_invoice(i)).collect();
        if tokens.is_empty() || invoices.is_empty() {
            return None;
        }
        ask.take_token(tokens.into_iter().map(str::as_bytes));
        ask.take_invoice(invoices.into_iter().map(str::as_bytes));
        ask.says_something()
    }

    /// Whether two asks want the same money for the same token.
    pub(super) fn is_same_as(&self, other: &Ask) -> bool {
        self.token == other.token && same_invoice(self.invoice.as_deref(), other.invoice.as_deref())
    }

    fn empty(scheme: Scheme) -> Ask {
        Ask { scheme, token: None, invoice: None, claims: Vec::new(), objections: Vec::new() }
    }

    fn says_something(self) -> Option<Ask> {
        (self.token.is_some() || self.invoice.is_some() || !self.objections.is_empty()).then_some(self)
    }

    fn take_token<'a>(&mut self, mut values: impl Iterator<Item = &'a [u8]>) {
        let Some(first) = values.next() else { return };
        if values.any(|v| v != first) {
            self.objections.push(Objection::new(
                "token_mismatch",
                "the challenge names two different tokens; it cannot be known which of them is for sale",
            ));
            return;
        }
        match token(first) {
            Ok(text) => self.token = Some(text),
            Err(objection) => self.objections.push(objection),
        }
    }

    fn take_invoice<'a>(&mut self, mut values: impl Iterator<Item = &'a [u8]>) {
        let Some(first) = values.next() else { return };
        if values.any(|v| !v.eq_ignore_ascii_case(first)) {
            self.objections.push(Objection::new("invoice_mismatch", "the challenge names two different invoices"));
            return;
        }
        match std::str::from_utf8(first) {
            Ok(text) => self.invoice = Some(text.to_owned()),
            Err(_) => self.objections.push(Objection::new("bad_invoice", "the invoice is not text")),
        }
    }
}

/// The invoice that a JSON body names, whether or not there is a token beside it.
pub(super) fn invoice_in_body(object: &Map<String, Value>) -> Option<&str> {
    INVOICE_KEYS.iter().filter_map(|k| object.get(*k)?.as_str()).find(|i| looks_like_invoice(i))
}

/// Whether two invoices are one: BOLT11 may be written in either case.
pub(super) fn same_invoice(a: Option<&str>, b: Option<&str>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => a.eq_ignore_ascii_case(b),
        (a, b) => a.is_none() && b.is_none(),
    }
}

const INVOICE_KEYS: [&str; 5] = ["invoice", "payment_request", "paymentRequest", "bolt11", "pr"];

fn looks_like_invoice(text: &str) -> bool {
    text.get(..4).is_some_and(|head| ["lnbc", "lntb", "lnsb"].iter().any(|p| head.eq_ignore_ascii_case(p)))
}

/// Takes a token as it is, if a header can carry it unharmed: visible ASCII without `"`, 1 to [`MAX_TOKEN`] bytes.
pub(super) fn token(bytes: &[u8]) -> Result<Secret, Objection> {
    let bad = |say: String| Err(Objection::new("bad_token", say));
    match std::str::from_utf8(bytes) {
        _ if bytes.is_empty() => bad("the token is empty".into()),
        _ if bytes.len() > MAX_TOKEN => bad(format!("the token has {} bytes, {MAX_TOKEN} are allowed", bytes.len())),
        Ok(text) if bytes.iter().all(|b| b.is_ascii_graphic() && *b != b'"') && HeaderValue::from_str(text).is_ok() => {
            Ok(Secret::new(text))
        }
        _ => bad("the token holds characters that cannot stand in a header".into()),
    }
}
