//! Times as people write them, in UTC: the calendar is a few lines of arithmetic, so no crate is needed for it.

use std::str::FromStr;

const DAY_MS: i64 = 86_400_000;

/// Year, month and day of a day counted from 1970-01-01 (proleptic Gregorian; after Howard Hinnant's `civil_from_days`).
fn civil(day: i64) -> (i64, i64, i64) {
    let z = day + 719_468;
    let era = z.div_euclid(146_097);
    let day_of_era = z.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

/// The day, counted from 1970-01-01, of a date; `None` when the calendar has no such date.
fn day_of(year: i64, month: i64, day: i64) -> Option<i64> {
    let shifted = year - i64::from(month <= 2);
    let era = shifted.div_euclid(400);
    let year_of_era = shifted.rem_euclid(400);
    let day_of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    let days = era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468;
    // The 31st of April would be the 1st of May: reading it back shows.
    (civil(days) == (year, month, day)).then_some(days)
}

/// A date, such as `2026-11-21`, from unix milliseconds.
pub fn date(ms: i64) -> String {
    let (year, month, day) = civil(ms.div_euclid(DAY_MS));
    format!("{year:04}-{month:02}-{day:02}")
}

/// A time of day, such as `10:00:00`, from unix milliseconds.
pub fn clock(ms: i64) -> String {
    let s = ms.rem_euclid(DAY_MS) / 1000;
    format!("{:02}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60)
}

/// Date and time in ISO 8601 with milliseconds, such as `2026-11-21T10:00:00.000Z`.
pub fn iso(ms: i64) -> String {
    format!("{}T{}.{:03}Z", date(ms), clock(ms), ms.rem_euclid(1000))
}

/// From when on rows are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    /// So many milliseconds before now.
    Ago(i64),
    /// A moment, unix milliseconds.
    At(i64),
}

/// The text names no moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write a span back from now (30m, 2h, 7d), a date (2026-11-21) or a time in UTC (2026-11-21T10:00:00Z)")]
pub struct BadSince;

impl Since {
    /// The moment in unix milliseconds.
    pub fn at_ms(self, now_ms: u64) -> i64 {
        match self {
            Since::Ago(span) => i64::try_from(now_ms).unwrap_or(i64::MAX).saturating_sub(span),
            Since::At(ms) => ms,
        }
    }
}

impl FromStr for Since {
    type Err = BadSince;

    fn from_str(text: &str) -> Result<Since, BadSince> {
        let (rest, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or(BadSince)?;
        let unit = match unit {
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => DAY_MS,
            "w" => 7 * DAY_MS,
            _ => return moment(text).map(Since::At).ok_or(BadSince),
        };
        number(rest, 1..=9).and_then(|n| n.checked_mul(unit)).map(Since::Ago).ok_or(BadSince)
    }
}

/// Reads a date, or a date and a time of day that ends in `Z`.
fn moment(text: &str) -> Option<i64> {
    let (date, time) = match text.split_once('T') {
        Some((date, time)) => (date, Some(time.strip_suffix('Z')?)),
        None => (text, None),
    };
    let mut parts = date.split('-');
    let (year, month, day) =
        (number(parts.next()?, 4..=4)?, number(parts.next()?, 2..=2)?, number(parts.next()?, 2..=2)?);
    if parts.next().is_some() {
        return None;
    }
    let midnight = day_of(year, month, day)? * DAY_MS;
    let Some(time) = time else { return Some(midnight) };
    let (time, millis) = match time.split_once('.') {
        // At most three digits: what `iso` writes.
        Some((time, fraction)) => (time, number(&format!("{fraction:0<3}"), 3..=3)?),
        None => (time, 0),
    };
    let mut parts = time.split(':');
    let (hour, minute) = (number(parts.next()?, 2..=2)?, number(parts.next()?, 2..=2)?);
    let second = parts.next().map_or(Some(0), |s| number(s, 2..=2))?;
    if parts.next().is_some() || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    Some(midnight + ((hour * 60 + minute) * 60 + second) * 1000 + millis)
}

/// Plain digits, so many of them; nothing that `parse` would also take, such as a sign.
fn number(text: &str, length: std::ops::RangeInclusive<usize>) -> Option<i64> {
    (length.contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok())?
}
