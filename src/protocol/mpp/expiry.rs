//! When a challenge ends: RFC 3339, with any number of fractional digits (httpauth-payment 5.1.1, `expires`).

/// The unix second at which an RFC 3339 time lies, fractions cut off: what ends within a second ends at its beginning.
/// `None` when it is not one, or lies before 1970.
pub fn unix_seconds(text: &str) -> Option<u64> {
    let bytes = text.as_bytes();
    if !text.is_ascii() || bytes.len() < 20 {
        return None;
    }
    let number = |from: usize, to: usize| -> Option<i64> {
        let digits = text.get(from..to)?;
        digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())?
    };
    let marks = [(4, b'-'), (7, b'-'), (13, b':'), (16, b':')];
    if marks.iter().any(|(at, mark)| bytes[*at] != *mark) || !matches!(bytes[10], b'T' | b't' | b' ') {
        return None;
    }
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    if !(1..=12).contains(&month) || !(1..=days_in(year, month)).contains(&day) {
        return None;
    }
    // A leap second is 60; it counts as the next one.
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let mut rest = &text[19..];
    if let Some(fraction) = rest.strip_prefix('.') {
        let digits = fraction.bytes().take_while(u8::is_ascii_digit).count();
        if digits == 0 {
            return None;
        }
        rest = &fraction[digits..];
    }
    let offset = match rest.as_bytes() {
        [b'Z' | b'z'] => 0,
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] if [h1, h2, m1, m2].iter().all(|b| b.is_ascii_digit()) => {
            let two = |a: &u8, b: &u8| i64::from(a - b'0') * 10 + i64::from(b - b'0');
            let (hours, minutes) = (two(h1, h2), two(m1, m2));
            if hours > 23 || minutes > 59 {
                return None;
            }
            (hours * 3600 + minutes * 60) * if *sign == b'-' { -1 } else { 1 }
        }
        _ => return None,
    };
    let at = days_since_1970(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset;
    u64::try_from(at).ok()
}

/// How many digits the fraction of a second has; each library writes its own number of them.
pub(super) fn fraction_digits(text: &str) -> usize {
    text.split_once('.').map_or(0, |(_, rest)| rest.bytes().take_while(u8::is_ascii_digit).count())
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && year % 100 != 0 || year % 400 == 0
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days of the proleptic Gregorian calendar, counted in eras of 400 years that begin in March.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms_that_servers_write_are_one_second() {
        for text in [
            "2026-03-15T12:05:00Z",
            "2026-03-15T12:05:00.123Z",
            "2026-03-15T12:05:00.123456+00:00",
            "2026-03-15T12:05:00.123456789Z",
            "2026-03-15t12:05:00z",
            "2026-03-15 12:05:00Z",
            "2026-03-15T14:35:00+02:30",
            "2026-03-15T04:05:00.9-08:00",
        ] {
            assert_eq!(unix_seconds(text), Some(1_773_576_300), "{text}");
        }
        assert_eq!(unix_seconds("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(unix_seconds("2000-02-29T23:59:60Z"), Some(951_868_800));
        assert_eq!(unix_seconds("9999-12-31T23:59:59Z"), Some(253_402_300_799));
        assert_eq!(fraction_digits("2026-03-15T12:05:00.123456+00:00"), 6);
    }

    #[test]
    fn whatever_is_no_time_is_none() {
        for text in [
            "",
            "soon",
            "2026-03-15",
            "2026-03-15T12:05:00",
            "2026-3-15T12:05:00Z",
            "2026-13-15T12:05:00Z",
            "2025-02-29T12:05:00Z",
            "2026-03-15T24:05:00Z",
            "2026-03-15T12:60:00Z",
            "2026-03-15T12:05:61Z",
            "2026-03-15T12:05:00.Z",
            "2026-03-15T12:05:00+0200",
            "2026-03-15T12:05:00+24:00",
            "2026-03-15T12:05:00Zz",
            "1969-12-31T23:59:59Z",
            "+026-03-15T12:05:00Z",
            "2026-03-15T12:05:00Ž",
            "1773576300",
        ] {
            assert_eq!(unix_seconds(text), None, "{text}");
        }
    }
}
