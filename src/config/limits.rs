//! Ceilings and defaults: what the operator allows, and what a session starts with.

use std::collections::BTreeMap;

use super::file::{LimitsRow, LimitsSection};
use crate::money::{Amount, Currency};

/// The limits of one currency. `host` and `total` are optional: absent means no limit of that scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most one purchase may be priced at.
    pub purchase: Amount,
    /// The most a session may spend, fees included.
    pub session: Amount,
    /// The most a UTC calendar day may spend, fees included.
    pub day: Amount,
    /// The most that may ever go to one host.
    pub host: Option<Amount>,
    /// The most that may ever be spent.
    pub total: Option<Amount>,
}

/// Ceilings and defaults by currency. A currency without a ceiling is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitTable {
    /// What no tool can go beyond.
    pub ceiling: BTreeMap<Currency, Limits>,
    /// What a new session starts with.
    pub default: BTreeMap<Currency, Limits>,
}

/// The compiled-in limits, as the Contracts give them: purchase, session, day.
const CEILING: [(Currency, [&str; 3]); 2] =
    [(Currency::Sat, ["5000", "20000", "50000"]), (Currency::Usd, ["5", "20", "50"])];
const DEFAULT: [(Currency, [&str; 3]); 2] =
    [(Currency::Sat, ["1000", "5000", "10000"]), (Currency::Usd, ["1", "5", "10"])];

fn built_in(table: [(Currency, [&str; 3]); 2]) -> BTreeMap<Currency, Limits> {
    let amount = |c, s| Amount::parse_in(c, s).unwrap_or(Amount::zero(c));
    table
        .into_iter()
        .map(|(c, [purchase, session, day])| {
            let limits = Limits {
                purchase: amount(c, purchase),
                session: amount(c, session),
                day: amount(c, day),
                host: None,
                total: None,
            };
            (c, limits)
        })
        .collect()
}

impl Default for LimitTable {
    fn default() -> LimitTable {
        LimitTable { ceiling: built_in(CEILING), default: built_in(DEFAULT) }
    }
}

impl LimitTable {
    /// Reads the two tables: a table that is written replaces the compiled-in one whole, a scope that is not written in a
    /// ceiling row falls back to the compiled-in value where there is one. Defaults are cut to their ceiling.
    pub(super) fn read(section: &LimitsSection) -> Result<LimitTable, String> {
        let mut table = LimitTable::default();
        if !section.ceiling.is_empty() {
            table.ceiling = rows(&section.ceiling, &table.ceiling, "limits.ceiling")?;
        }
        if !section.default.is_empty() {
            table.default = rows(&section.default, &table.default, "limits.default")?;
        }
        let default = table.ceiling.iter().map(|(currency, ceiling)| {
            let wish = table.default.get(currency).unwrap_or(ceiling);
            let low = |a: Amount, b: Amount| if a.exceeds(b) { b } else { a };
            let low_opt = |a: Option<Amount>, b: Option<Amount>| match (a, b) {
                (Some(a), Some(b)) => Some(low(a, b)),
                (a, b) => a.or(b),
            };
            let limits = Limits {
                purchase: low(wish.purchase, ceiling.purchase),
                session: low(wish.session, ceiling.session),
                day: low(wish.day, ceiling.day),
                host: low_opt(wish.host, ceiling.host),
                total: low_opt(wish.total, ceiling.total),
            };
            (*currency, limits)
        });
        let default = default.collect();
        Ok(LimitTable { default, ..table })
    }
}

/// The defaults that were written above their ceiling.
pub(super) fn cut(section: &LimitsSection) -> Vec<String> {
    let mut table = LimitTable::default();
    for (place, written, kept) in
        [("ceiling", &section.ceiling, &mut table.ceiling), ("default", &section.default, &mut table.default)]
    {
        match rows(written, kept, place) {
            Ok(read) if !written.is_empty() => *kept = read,
            _ => {}
        }
    }
    let mut cut = Vec::new();
    for code in section.default.keys() {
        let Some(currency) = Currency::from_code(code) else { continue };
        let Some(wish) = table.default.get(&currency) else { continue };
        let Some(ceiling) = table.ceiling.get(&currency) else {
            cut.push(format!("limits.default.{code} has no ceiling, so nothing is spent in {code}"));
            continue;
        };
        let scopes = [
            ("purchase", Some(wish.purchase), Some(ceiling.purchase)),
            ("session", Some(wish.session), Some(ceiling.session)),
            ("day", Some(wish.day), Some(ceiling.day)),
            ("host", wish.host, ceiling.host),
            ("total", wish.total, ceiling.total),
        ];
        for (scope, wish, ceiling) in scopes {
            if let (Some(wish), Some(ceiling)) = (wish, ceiling)
                && wish.exceeds(ceiling)
            {
                cut.push(format!("limits.default.{code}.{scope} is {wish}, above its ceiling: {ceiling} holds"));
            }
        }
    }
    cut
}

fn rows(
    section: &BTreeMap<String, LimitsRow>,
    fallback: &BTreeMap<Currency, Limits>,
    place: &str,
) -> Result<BTreeMap<Currency, Limits>, String> {
    let mut out = BTreeMap::new();
    for (code, row) in section {
        let currency =
            Currency::from_code(code).ok_or_else(|| format!("{place}: {code:?} is not a currency (sat, usd, eurc)"))?;
        let known = fallback.get(&currency);
        let read = |scope: &str, text: &Option<String>, known: Option<Amount>| match text {
            Some(text) => Amount::parse_in(currency, text)
                .map(Some)
                .map_err(|_| format!("{place}.{code}.{scope}: {text:?} is not a decimal number of {code}")),
            None => Ok(known),
        };
        let must =
            |scope: &str, amount: Option<Amount>| amount.ok_or_else(|| format!("{place}.{code}: {scope} is missing"));
        let limits = Limits {
            purchase: must("purchase", read("purchase", &row.purchase, known.map(|k| k.purchase))?)?,
            session: must("session", read("session", &row.session, known.map(|k| k.session))?)?,
            day: must("day", read("day", &row.day, known.map(|k| k.day))?)?,
            host: read("host", &row.host, None)?,
            total: read("total", &row.total, None)?,
        };
        out.insert(currency, limits);
    }
    Ok(out)
}
