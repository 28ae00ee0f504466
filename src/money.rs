//! Amounts of money: integers only, and the unit is part of the type.
//!
//! Bitcoin is counted in millisatoshi, US dollars in micro-dollars. Text is always `"<decimal> <unit>"`, so that
//! neither a person nor a model can mistake one unit for another. Nothing is ever converted.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The largest amount Bursar will handle, in atomic units: it leaves room to add two of them in an `i64`.
pub const MAX_ATOMIC: u64 = (1 << 62) - 1;

/// A unit of account. Its atomic unit is the smallest amount that the ledger can store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Currency {
    /// Bitcoin, written in satoshi, stored in millisatoshi (three decimals).
    Sat,
    /// A pinned US dollar stablecoin at par, written in dollars, stored in millionths (six decimals).
    Usd,
    /// Circle's EURC: a currency of its own, stored in millionths.
    Eurc,
}

impl Currency {
    /// Every currency, in the order in which Bursar lists them.
    pub const ALL: [Currency; 3] = [Currency::Sat, Currency::Usd, Currency::Eurc];

    /// The code used in text, configuration, JSON and SQL.
    pub const fn code(self) -> &'static str {
        match self {
            Currency::Sat => "sat",
            Currency::Usd => "usd",
            Currency::Eurc => "eurc",
        }
    }

    /// How many decimals separate the written unit from the atomic one.
    pub const fn decimals(self) -> u32 {
        match self {
            Currency::Sat => 3,
            Currency::Usd | Currency::Eurc => 6,
        }
    }

    /// Finds a currency by its code; `None` for a code Bursar does not know.
    pub fn from_code(code: &str) -> Option<Currency> {
        Currency::ALL.into_iter().find(|c| c.code() == code)
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// An amount in one currency, never negative, at most [`MAX_ATOMIC`] atomic units.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Amount {
    currency: Currency,
    atomic: u64,
}

/// Why a text is not an amount of money.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an amount: write it as \"<number> sat\" (at most 3 decimals) or \"<number> usd\" (at most 6)")]
pub struct BadAmount(String);

impl Amount {
    /// An amount of `atomic` units; `None` above [`MAX_ATOMIC`].
    pub const fn new(currency: Currency, atomic: u64) -> Option<Amount> {
        if atomic > MAX_ATOMIC { None } else { Some(Amount { currency, atomic }) }
    }

    /// No money at all, in `currency`.
    pub const fn zero(currency: Currency) -> Amount {
        Amount { currency, atomic: 0 }
    }

    /// An amount of millisatoshi; `None` above [`MAX_ATOMIC`].
    pub const fn msat(msat: u64) -> Option<Amount> {
        Amount::new(Currency::Sat, msat)
    }

    /// The currency it is counted in.
    pub const fn currency(self) -> Currency {
        self.currency
    }

    /// The number of atomic units: millisatoshi, or millionths of a dollar.
    pub const fn atomic(self) -> u64 {
        self.atomic
    }

    /// Whether it is no money at all.
    pub const fn is_zero(self) -> bool {
        self.atomic == 0
    }

    /// The sum; `None` when the currencies differ or it would exceed [`MAX_ATOMIC`].
    pub fn plus(self, other: Amount) -> Option<Amount> {
        if self.currency != other.currency {
            return None;
        }
        Amount::new(self.currency, self.atomic.checked_add(other.atomic)?)
    }

    /// What is left after taking `other` away; `None` when the currencies differ or too little is there.
    pub fn minus(self, other: Amount) -> Option<Amount> {
        if self.currency != other.currency {
            return None;
        }
        Some(Amount { atomic: self.atomic.checked_sub(other.atomic)?, ..self })
    }

    /// Compares two amounts of one currency; `None` when the currencies differ.
    pub fn compare(self, other: Amount) -> Option<std::cmp::Ordering> {
        (self.currency == other.currency).then(|| self.atomic.cmp(&other.atomic))
    }

    /// Whether it is more than `other`. Amounts of different currencies are never within each other's limit.
    pub fn exceeds(self, other: Amount) -> bool {
        self.compare(other) != Some(std::cmp::Ordering::Less) && self != other
    }

    /// The amount and a tenth, in whole units of what is written: whole satoshi, millionths of a dollar. It is the most
    /// that is paid where only a price was told.
    pub fn and_a_tenth(self) -> Option<Amount> {
        let step = if self.currency == Currency::Sat { 1000 } else { 1 };
        let most = self.atomic.checked_add((self.atomic / 10).max(1))?.checked_next_multiple_of(step)?;
        Amount::new(self.currency, most)
    }

    /// Parses a bare decimal, as the limits tables of the config file write it, in a known currency.
    pub fn parse_in(currency: Currency, decimal: &str) -> Result<Amount, BadAmount> {
        let bad = || BadAmount(format!("{decimal} {currency}"));
        let (whole, fraction) = decimal.split_once('.').unwrap_or((decimal, "0"));
        let digits = |s: &str| !s.is_empty() && s.len() <= 19 && s.bytes().all(|b| b.is_ascii_digit());
        let places = currency.decimals() as usize;
        if !digits(whole) || !digits(fraction) || (fraction.len() > places && decimal.contains('.')) {
            return Err(bad());
        }
        let scale = 10u64.pow(currency.decimals());
        let whole: u64 = whole.parse().map_err(|_| bad())?;
        let fraction: u64 = format!("{fraction:0<places$}").parse().map_err(|_| bad())?;
        whole
            .checked_mul(scale)
            .and_then(|w| w.checked_add(fraction))
            .and_then(|atomic| Amount::new(currency, atomic))
            .ok_or_else(bad)
    }

    /// The decimal without its unit, without needless zeros.
    pub fn decimal(self) -> String {
        let scale = 10u64.pow(self.currency.decimals());
        let (whole, fraction) = (self.atomic / scale, self.atomic % scale);
        if fraction == 0 {
            return whole.to_string();
        }
        let places = self.currency.decimals() as usize;
        format!("{whole}.{fraction:0places$}").trim_end_matches('0').to_owned()
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{} {}", self.decimal(), self.currency))
    }
}

impl fmt::Debug for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Amount {
    type Err = BadAmount;

    fn from_str(text: &str) -> Result<Amount, BadAmount> {
        let bad = || BadAmount(text.chars().take(64).collect());
        let (decimal, unit) = text.split_once(' ').ok_or_else(bad)?;
        let currency = Currency::from_code(unit).ok_or_else(bad)?;
        Amount::parse_in(currency, decimal).map_err(|_| bad())
    }
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Amount, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

impl schemars::JsonSchema for Amount {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Amount".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn amounts_are_written_with_their_unit_and_read_back() {
        for text in ["0 sat", "10 sat", "0.999 sat", "0.01 sat", "0.004 usd", "5 usd", "0.000001 usd", "2 eurc"] {
            assert_eq!(text.parse::<Amount>().map(|a| a.to_string()), Ok(text.to_owned()));
        }
        assert_eq!("1.50 usd".parse::<Amount>().map(Amount::atomic), Ok(1_500_000));
    }

    #[test]
    fn anything_but_a_plain_decimal_and_a_known_unit_is_refused() {
        for text in [
            "",
            "10",
            "sat",
            "10sat",
            "10  sat",
            " 10 sat",
            "10 sats",
            "10 SAT",
            "-1 sat",
            "+1 sat",
            "1e6 sat",
            "0x10 sat",
            "1,000 sat",
            "1. sat",
            ".5 sat",
            "0.0001 sat",
            "0.0000001 usd",
            "१० sat",
            "NaN usd",
            "99999999999999999999 sat",
            "4611686018427388 sat",
            "10 sat ",
            "10\u{a0}sat",
        ] {
            assert!(text.parse::<Amount>().is_err(), "{text:?} was accepted");
        }
    }

    #[test]
    fn currencies_never_mix() {
        let (sat, usd) = (Amount::zero(Currency::Sat), Amount::zero(Currency::Usd));
        assert_eq!(sat.plus(usd), None);
        assert_eq!(sat.minus(usd), None);
        assert!(sat.exceeds(usd) && usd.exceeds(sat), "another currency is never within a limit");
    }

    proptest! {
        #[test]
        fn every_amount_survives_text(atomic in 0..=MAX_ATOMIC, which in 0..3usize) {
            let amount = Amount::new(Currency::ALL[which], atomic).unwrap();
            prop_assert_eq!(amount.to_string().parse::<Amount>().unwrap(), amount);
        }
    }
}
