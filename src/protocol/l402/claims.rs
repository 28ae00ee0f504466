//! Prices and hashes that a seller declares beside an invoice. They are never paid; they can only contradict.

use serde_json::{Map, Value};

use super::{
    super::{Objection, bolt11::Invoice, header::RawChallenge, text::clean},
    binding::hash_text,
};
use crate::money::{Amount, Currency};

/// Something declared beside an invoice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Claim {
    /// Where it was said, for people: `amountSats in the body`.
    place: String,
    what: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum What {
    /// A price; any one of these readings (in millisatoshi) may be meant.
    Price(Vec<u64>),
    /// A payment hash, 64 lower-case hex digits.
    Hash(String),
    /// A price or a hash that cannot be read.
    Unclear,
}

/// The unit that a name or its neighbour gives a number.
#[derive(Clone, Copy)]
enum Unit {
    Sat,
    Msat,
    /// None was said: satoshi or millisatoshi.
    Open,
}

impl Claim {
    /// Whether it speaks of a hash, and so of one invoice only.
    pub(super) fn names_hash(&self) -> bool {
        matches!(self.what, What::Hash(_))
    }

    /// What it has against an invoice: `amount_mismatch` or `hash_mismatch`.
    pub(super) fn objection(&self, invoice: &Invoice) -> Option<Objection> {
        match &self.what {
            What::Price(readings) => {
                let msat = invoice.amount.atomic();
                // A seller that knows only whole satoshi rounds up; anything else is another price.
                let rounded = msat.div_ceil(1000).saturating_mul(1000);
                let fits = readings.iter().any(|r| *r == msat || *r == rounded);
                (!fits).then(|| {
                    let said = readings.first().copied().and_then(Amount::msat);
                    Objection::new(
                        "amount_mismatch",
                        match said {
                            Some(said) => {
                                format!("the invoice asks for {}, but {} says {said}", invoice.amount, self.place)
                            }
                            None => {
                                format!("the invoice asks for {}, but {} says otherwise", invoice.amount, self.place)
                            }
                        },
                    )
                })
            }
            What::Hash(hash) => (*hash != invoice.payment_hash)
                .then(|| Objection::new("hash_mismatch", format!("{} is not the invoice's payment hash", self.place))),
            What::Unclear => None,
        }
    }

    /// What is worth knowing about it: that it could not be compared.
    pub(super) fn remark(&self) -> Option<String> {
        (self.what == What::Unclear).then(|| format!("{} could not be compared with the invoice", self.place))
    }
}

/// What the parameters of a challenge declare.
pub(super) fn in_header(raw: &RawChallenge) -> Vec<Claim> {
    let unit =
        raw.params.iter().find(|p| is_unit_name(&p.name)).map(|p| String::from_utf8_lossy(&p.value).into_owned());
    let params = raw.params.iter().filter_map(|p| {
        let value = String::from_utf8_lossy(&p.value);
        claim(&p.name, "in the header", &value, named_unit(unit.as_deref(), Some(Unit::Open)))
    });
    params.collect()
}

/// What a JSON body declares in its outermost object.
pub(super) fn in_body(object: &Map<String, Value>) -> Vec<Claim> {
    let unit = object.iter().find(|(name, _)| is_unit_name(name)).and_then(|(_, v)| v.as_str());
    let fields = object.iter().filter_map(|(name, value)| {
        let value = match value {
            Value::String(text) => text.clone(),
            Value::Number(number) => match number.as_f64() {
                // 10.0 is 10.
                Some(float) if number.is_f64() => float.to_string(),
                _ => number.to_string(),
            },
            _ => return None,
        };
        // A bare `amount` in a body may be cents or dollars: it counts only where its unit stands beside it.
        claim(name, "in the body", &value, named_unit(unit, None))
    });
    fields.collect()
}

fn claim(name: &str, place: &str, value: &str, neighbour: Option<Unit>) -> Option<Claim> {
    let place = format!("{} {place}", clean(name, 40));
    let plain: String = name.chars().filter(|c| !matches!(c, '_' | '-')).collect::<String>().to_ascii_lowercase();
    let unit = match plain.as_str() {
        "paymenthash" => {
            let what = hash_text(value).map_or(What::Unclear, What::Hash);
            return Some(Claim { place, what });
        }
        "amountsat" | "amountsats" | "pricesat" | "pricesats" | "amountsatoshis" => Unit::Sat,
        "amountmsat" | "amountmsats" | "pricemsat" | "pricemsats" => Unit::Msat,
        "amount" | "price" => neighbour?,
        _ => return None,
    };
    let (number, word) = split_unit(value);
    let what = match (word.is_empty(), unit_of(word)) {
        (true, _) => readings(number, unit),
        (false, Some(said)) => readings(number, said),
        // Another currency is only for show.
        (false, None) => None,
    };
    Some(Claim { place, what: what.map_or(What::Unclear, What::Price) })
}

/// A number and the word behind it: `10 sats`, `10sat`.
fn split_unit(value: &str) -> (&str, &str) {
    let value = value.trim();
    let end = value.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(value.len());
    let (number, word) = value.split_at(end);
    (number, word.trim())
}

fn readings(number: &str, unit: Unit) -> Option<Vec<u64>> {
    let sat = Amount::parse_in(Currency::Sat, number).ok().map(Amount::atomic);
    let msat = number.parse::<u64>().ok();
    let readings: Vec<u64> = match unit {
        Unit::Sat => sat.into_iter().collect(),
        Unit::Msat => msat.into_iter().collect(),
        Unit::Open => sat.into_iter().chain(msat).collect(),
    };
    (!readings.is_empty()).then_some(readings)
}

fn is_unit_name(name: &str) -> bool {
    ["currency", "unit"].iter().any(|n| name.eq_ignore_ascii_case(n))
}

fn unit_of(word: &str) -> Option<Unit> {
    match word.to_ascii_lowercase().as_str() {
        "sat" | "sats" | "satoshi" | "satoshis" => Some(Unit::Sat),
        "msat" | "msats" | "millisatoshi" | "millisatoshis" => Some(Unit::Msat),
        _ => None,
    }
}

/// The unit that a neighbouring field names; `silent` where there is no such field, nothing where it is a foreign one.
fn named_unit(word: Option<&str>, silent: Option<Unit>) -> Option<Unit> {
    word.map_or(silent, unit_of)
}
