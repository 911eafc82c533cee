//! The one way JSON is written for storing and hashing, and the keys that are hashes.
//!
//! Canonical: no white space, object keys sorted by their bytes, integral numbers without fraction or exponent.
//! Both stores keep this text as it is, so neither reorders keys nor changes numbers (F9).

use std::fmt::Write as _;

use serde_json::{Number, Value};

use crate::id::{RunId, TaskKey};

/// Why a value cannot be stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CanonicalError {
    /// U+0000 in a text or key: legal JSON, but not every store can keep it.
    #[error("the text at `{0}` contains U+0000, which cannot be stored: remove it")]
    Nul(String),
    /// NaN or an infinity: no JSON.
    #[error("the number at `{0}` is not finite: JSON has no NaN and no infinity")]
    NotFinite(String),
    /// Nested deeper than a reader accepts.
    #[error("the value at `{0}` is nested deeper than {DEEPEST} levels")]
    TooDeep(String),
}

/// Deepest nesting that is written; JSON readers stop at 128.
pub const DEEPEST: usize = 120;

/// Writes a value canonically.
///
/// # Errors
/// It holds something that cannot be stored, with its place as a JSON pointer.
pub fn canonical_json(value: &Value) -> Result<String, CanonicalError> {
    let mut out = String::new();
    let mut path = Vec::new();
    write_value(value, &mut out, &mut path)?;
    Ok(out)
}

/// One step of the way to a value.
#[derive(Clone, Copy)]
enum Step<'a> {
    Key(&'a str),
    Index(usize),
}

fn pointer(path: &[Step<'_>]) -> String {
    let mut text = String::new();
    for step in path {
        match step {
            Step::Key(key) => {
                let _ = write!(text, "/{}", key.replace('~', "~0").replace('/', "~1").replace('\0', "\\u0000"));
            }
            Step::Index(index) => {
                let _ = write!(text, "/{index}");
            }
        }
    }
    if text.is_empty() { "/".to_owned() } else { text }
}

fn write_value<'a>(value: &'a Value, out: &mut String, path: &mut Vec<Step<'a>>) -> Result<(), CanonicalError> {
    if path.len() > DEEPEST {
        return Err(CanonicalError::TooDeep(pointer(path)));
    }
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::Number(number) => write_number(number, out, path)?,
        Value::String(text) => write_text(text, out, path)?,
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                path.push(Step::Index(index));
                write_value(item, out, path)?;
                path.pop();
            }
            out.push(']');
        }
        Value::Object(entries) => {
            let mut sorted: Vec<_> = entries.iter().collect();
            sorted.sort_unstable_by_key(|(key, _)| key.as_str());
            out.push('{');
            for (index, (key, item)) in sorted.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                path.push(Step::Key(key));
                write_text(key, out, path)?;
                out.push(':');
                write_value(item, out, path)?;
                path.pop();
            }
            out.push('}');
        }
    }
    Ok(())
}

fn write_number(number: &Number, out: &mut String, path: &[Step<'_>]) -> Result<(), CanonicalError> {
    let written = if let Some(integer) = number.as_i64() {
        write!(out, "{integer}")
    } else if let Some(integer) = number.as_u64() {
        write!(out, "{integer}")
    } else {
        let float = number.as_f64().filter(|float| float.is_finite());
        let float = float.ok_or_else(|| CanonicalError::NotFinite(pointer(path)))?;
        write_float(float, out)
    };
    written.expect("a String takes any text");
    Ok(())
}

fn write_float(float: f64, out: &mut String) -> std::fmt::Result {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if float.fract() == 0.0 && float.abs() <= EXACT {
        #[expect(clippy::cast_possible_truncation, reason = "integral and at most 2^53")]
        let integer = float as i64;
        write!(out, "{integer}")
    } else {
        // The shortest text that reads back as the same number.
        out.push_str(&Number::from_f64(float).map_or_else(String::new, |number| number.to_string()));
        Ok(())
    }
}

fn write_text(text: &str, out: &mut String, path: &[Step<'_>]) -> Result<(), CanonicalError> {
    if text.contains('\0') {
        return Err(CanonicalError::Nul(pointer(path)));
    }
    out.push_str(&Value::from(text).to_string());
    Ok(())
}

/// What a sink may use to recognise a repeated effect: the same for all attempts of one generation of one task run,
/// and for no other (F18). Base32 without padding, lower case.
pub fn idempotency_key(run: RunId, key: &TaskKey, generation: u32) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(run.0.as_bytes());
    hasher.update(&(key.task.as_str().len() as u64).to_be_bytes());
    hasher.update(key.task.as_str().as_bytes());
    hasher.update(&key.map_index.0.to_be_bytes());
    hasher.update(&generation.to_be_bytes());
    base32(hasher.finalize().as_bytes())
}

/// RFC 4648 base32, lower case, without padding.
pub fn base32(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let mut text = String::with_capacity(bytes.len().div_ceil(5) * 8);
    let (mut held, mut bits) = (0_u32, 0);
    for &byte in bytes {
        held = (held << 8) | u32::from(byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            text.push(char::from(LETTERS[(held >> bits) as usize & 31]));
        }
        held &= (1 << bits) - 1;
    }
    if bits > 0 {
        text.push(char::from(LETTERS[(held << (5 - bits)) as usize & 31]));
    }
    text
}

/// sha-256 as lower-case hex: what identifies a workflow version and a run's params.
pub fn sha256_hex(bytes: &[u8]) -> String {
    use sha2::{Digest as _, Sha256};
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(64);
    for byte in Sha256::digest(bytes) {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}
