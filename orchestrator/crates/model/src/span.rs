//! Durations in files and in stored versions: `90s`, `1h30m`, `500ms`, or ISO 8601 (`PT5M`).

use std::fmt::Write as _;
use std::time::Duration;

const UNITS: [(&str, u64); 6] =
    [("w", 604_800_000), ("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Why a text is not a duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpanError {
    /// Nothing there.
    #[error("a duration is empty")]
    Empty,
    /// A number without a unit.
    #[error("`{0}` has no unit: write `{0}s`, `{0}m` or `{0}h`")]
    NoUnit(String),
    /// A unit that is none of `w d h m s ms`.
    #[error("`{0}` is not a unit of time: use `w`, `d`, `h`, `m`, `s` or `ms`")]
    Unit(String),
    /// Not a number where one should be.
    #[error("`{0}` is not a duration: write for instance `90s`, `1h30m` or `PT5M`")]
    Number(String),
    /// A unit twice or out of order.
    #[error("`{0}` names its units out of order: largest first, each once")]
    Order(String),
    /// Longer than ten years, or more than a `u64` of milliseconds.
    #[error("`{0}` is too long: at most 3650d")]
    TooLong(String),
    /// ISO 8601 with years or months, whose length is not fixed.
    #[error("`{0}` uses years or months, whose length is not fixed: use days")]
    Calendar(String),
}

const LONGEST_MS: u64 = 3_650 * 86_400_000;

/// Reads a duration.
///
/// # Errors
/// Says what is wrong with the text and how to write it.
pub fn parse(text: &str) -> Result<Duration, SpanError> {
    let text = text.trim();
    if text.is_empty() {
        return Err(SpanError::Empty);
    }
    let millis = if text.starts_with(['P', 'p']) { iso(text)? } else { short(text)? };
    if millis > LONGEST_MS {
        return Err(SpanError::TooLong(text.to_owned()));
    }
    Ok(Duration::from_millis(millis))
}

fn short(text: &str) -> Result<u64, SpanError> {
    let (mut rest, mut total, mut next_unit) = (text, 0_u64, 0);
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, tail) = rest.split_at(digits);
        let number: u64 = number.parse().map_err(|_| SpanError::Number(text.to_owned()))?;
        let letters = tail.len() - tail.trim_start_matches(|c: char| c.is_ascii_alphabetic()).len();
        let (unit, tail) = tail.split_at(letters);
        if unit.is_empty() {
            return Err(if tail.is_empty() && next_unit == 0 {
                SpanError::NoUnit(text.to_owned())
            } else {
                SpanError::Number(text.to_owned())
            });
        }
        let position =
            UNITS.iter().position(|(name, _)| *name == unit).ok_or_else(|| SpanError::Unit(unit.to_owned()))?;
        if position < next_unit {
            return Err(SpanError::Order(text.to_owned()));
        }
        next_unit = position + 1;
        total = number
            .checked_mul(UNITS[position].1)
            .and_then(|part| total.checked_add(part))
            .ok_or_else(|| SpanError::TooLong(text.to_owned()))?;
        rest = tail.trim_start();
    }
    Ok(total)
}

/// `P[nW][nD][T[nH][nM][nS]]`, seconds with a fraction of up to three digits.
fn iso(text: &str) -> Result<u64, SpanError> {
    let bad = || SpanError::Number(text.to_owned());
    let body = &text[1..];
    let (date, time) = body.split_once(['T', 't']).map_or((body, None), |(date, time)| (date, Some(time)));
    if date.is_empty() && time.is_none_or(str::is_empty) || time == Some("") {
        return Err(bad());
    }
    let part = |text: &str, units: &[(char, u64)]| -> Result<u64, SpanError> {
        let (mut rest, mut total, mut next) = (text, 0_u64, 0);
        while !rest.is_empty() {
            let at = rest.find(|c: char| c.is_ascii_alphabetic()).ok_or_else(bad)?;
            let unit = rest.as_bytes()[at].to_ascii_uppercase() as char;
            let position = units.iter().position(|(name, _)| *name == unit).ok_or_else(|| match unit {
                'Y' | 'M' => SpanError::Calendar(text.to_owned()),
                _ => bad(),
            })?;
            if position < next {
                return Err(SpanError::Order(text.to_owned()));
            }
            next = position + 1;
            let (whole, fraction) = rest[..at].split_once(['.', ',']).unwrap_or((&rest[..at], ""));
            if fraction.len() > 3 || (!fraction.is_empty() && unit != 'S') {
                return Err(bad());
            }
            let whole: u64 = whole.parse().map_err(|_| bad())?;
            let fraction: u64 =
                if fraction.is_empty() { 0 } else { format!("{fraction:0<3}").parse().map_err(|_| bad())? };
            total = whole
                .checked_mul(units[position].1)
                .and_then(|ms| ms.checked_add(fraction))
                .and_then(|ms| total.checked_add(ms))
                .ok_or_else(|| SpanError::TooLong(text.to_owned()))?;
            rest = &rest[at + 1..];
        }
        Ok(total)
    };
    let date = part(date, &[('W', 604_800_000), ('D', 86_400_000)])?;
    let time = part(time.unwrap_or(""), &[('H', 3_600_000), ('M', 60_000), ('S', 1_000)])?;
    date.checked_add(time).ok_or_else(|| SpanError::TooLong(text.to_owned()))
}

/// Writes a duration in the shortest of our forms: `1h30m`, `500ms`, `0s`.
pub fn format(span: Duration) -> String {
    let mut rest = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    if rest == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    for (unit, millis) in UNITS.iter().skip(1) {
        if rest >= *millis {
            let _ = write!(text, "{}{unit}", rest / millis);
            rest %= millis;
        }
    }
    text
}

/// Serde form of a duration: the text of [`format`].
pub mod text {
    use super::{Duration, format, parse};
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    /// Writes the text.
    ///
    /// # Errors
    /// The serializer's own.
    pub fn serialize<S: Serializer>(span: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format(*span))
    }

    /// Reads the text.
    ///
    /// # Errors
    /// What [`parse`] says.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        parse(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// Serde form of an optional duration.
pub mod option {
    use super::{Duration, format, parse};
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    /// Writes the text, or null.
    ///
    /// # Errors
    /// The serializer's own.
    #[expect(clippy::ref_option, reason = "serde's `with` asks for this shape")]
    pub fn serialize<S: Serializer>(span: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        match span {
            Some(span) => serializer.serialize_some(&format(*span)),
            None => serializer.serialize_none(),
        }
    }

    /// Reads the text, or null.
    ///
    /// # Errors
    /// What [`parse`] says.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        Option::<String>::deserialize(deserializer)?.map(|text| parse(&text).map_err(D::Error::custom)).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_in_both_forms() {
        for (text, millis) in [
            ("90s", 90_000),
            ("1h30m", 5_400_000),
            ("500ms", 500),
            ("PT5M", 300_000),
            ("P1DT1.5S", 86_401_500),
            ("1d", 86_400_000),
            ("0s", 0),
            ("1h 5m", 3_900_000),
            ("P2W", 1_209_600_000),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused_with_its_reason() {
        assert_eq!(parse(""), Err(SpanError::Empty));
        assert_eq!(parse("5"), Err(SpanError::NoUnit("5".into())));
        assert_eq!(parse("5x"), Err(SpanError::Unit("x".into())));
        assert_eq!(parse("-5m"), Err(SpanError::Number("-5m".into())));
        assert_eq!(parse("5m1h"), Err(SpanError::Order("5m1h".into())));
        assert_eq!(parse("5m5m"), Err(SpanError::Order("5m5m".into())));
        assert_eq!(parse("99999999999999999999s"), Err(SpanError::Number("99999999999999999999s".into())));
        assert_eq!(parse("9999999d"), Err(SpanError::TooLong("9999999d".into())));
        assert!(matches!(parse("P1Y"), Err(SpanError::Calendar(_))));
        for text in ["P", "PT", "P1", "1.5h", "P1DT", "m"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_written_duration_reads_back() {
        for millis in [0, 1, 999, 1_000, 61_001, 5_400_000, 86_400_000, 90_061_001] {
            let span = Duration::from_millis(millis);
            assert_eq!(parse(&format(span)), Ok(span));
        }
    }
}
