//! What a plain scalar is: YAML 1.2's core schema with strict booleans.

use super::Style;

/// A scalar by its own looks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Resolved {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text,
}

/// A number that JSON cannot hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NumberError {
    /// More than 64 bits.
    Overflow,
    /// `.inf`, `.nan`, `1e400`.
    NotFinite,
}

/// Resolves a scalar. Booleans are `true` and `false` only: `yes`, `no`, `on`, `off` and `True` are texts.
pub(crate) fn resolve(text: &str, style: Style) -> Result<Resolved, NumberError> {
    if style != Style::Plain {
        return Ok(Resolved::Text);
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Ok(Resolved::Null),
        "true" => return Ok(Resolved::Bool(true)),
        "false" => return Ok(Resolved::Bool(false)),
        _ => {}
    }
    let (negative, digits) = match text.as_bytes()[0] {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    if matches!(digits, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return Err(NumberError::NotFinite);
    }
    let radix = |prefix: &str, radix: u32| {
        let digits = text.strip_prefix(prefix)?;
        (!digits.is_empty() && digits.chars().all(|c| c.is_digit(radix)))
            .then(|| i64::from_str_radix(digits, radix).map(Resolved::Int).map_err(|_| NumberError::Overflow))
    };
    if let Some(number) = radix("0x", 16).or_else(|| radix("0o", 8)) {
        return number;
    }
    if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        let signed = if negative { format!("-{digits}") } else { digits.to_owned() };
        return signed.parse().map(Resolved::Int).map_err(|_| NumberError::Overflow);
    }
    if is_float(digits) {
        let number: f64 = text.parse().map_err(|_| NumberError::NotFinite)?;
        return if number.is_finite() { Ok(Resolved::Float(number)) } else { Err(NumberError::NotFinite) };
    }
    Ok(Resolved::Text)
}

/// `( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )?`, the sign apart.
fn is_float(digits: &str) -> bool {
    let (mantissa, exponent) = digits.split_once(['e', 'E']).map_or((digits, None), |(m, e)| (m, Some(e)));
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').map_or((mantissa, None), |(w, f)| (w, Some(f)));
    let mantissa_ok = all_digits(whole)
        && fraction.is_none_or(all_digits)
        && !(whole.is_empty() && fraction.is_none_or(str::is_empty));
    let exponent_ok = exponent.is_none_or(|text| {
        let text = text.strip_prefix(['-', '+']).unwrap_or(text);
        !text.is_empty() && all_digits(text)
    });
    mantissa_ok && exponent_ok
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_scalars_are_what_yaml_1_2_says() {
        for (text, expected) in [
            ("", Ok(Resolved::Null)),
            ("~", Ok(Resolved::Null)),
            ("true", Ok(Resolved::Bool(true))),
            ("True", Ok(Resolved::Text)),
            ("yes", Ok(Resolved::Text)),
            ("no", Ok(Resolved::Text)),
            ("on", Ok(Resolved::Text)),
            ("12", Ok(Resolved::Int(12))),
            ("-3", Ok(Resolved::Int(-3))),
            ("+3", Ok(Resolved::Int(3))),
            ("0o17", Ok(Resolved::Int(15))),
            ("0x1F", Ok(Resolved::Int(31))),
            ("1_000", Ok(Resolved::Text)),
            ("12:30:00", Ok(Resolved::Text)),
            ("1.5", Ok(Resolved::Float(1.5))),
            ("1.", Ok(Resolved::Float(1.0))),
            (".5", Ok(Resolved::Float(0.5))),
            ("1e3", Ok(Resolved::Float(1000.0))),
            (".", Ok(Resolved::Text)),
            ("-", Ok(Resolved::Text)),
            ("e3", Ok(Resolved::Text)),
            ("1e", Ok(Resolved::Text)),
            ("2026-01-31", Ok(Resolved::Text)),
            ("1e400", Err(NumberError::NotFinite)),
            (".nan", Err(NumberError::NotFinite)),
            ("-.inf", Err(NumberError::NotFinite)),
            ("9223372036854775808", Err(NumberError::Overflow)),
            ("-9223372036854775808", Ok(Resolved::Int(i64::MIN))),
        ] {
            assert_eq!(resolve(text, Style::Plain), expected, "{text:?}");
            assert_eq!(resolve(text, Style::Quoted), Ok(Resolved::Text), "{text:?}");
        }
    }
}
