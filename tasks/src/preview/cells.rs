//! Values as a page shows them: without secrets, and no longer than somebody reads.

use serde_json::{Map, Value};

use super::{Mask, SAMPLE_ROWS};

/// Characters of a text.
const CHARS: usize = 300;
/// Characters that are looked at for secrets, so that none is cut in two.
const LOOKED_AT: usize = 4096;
/// Values of a list, fields of an object.
const PARTS: usize = 50;
/// Lists and objects inside each other.
const DEPTH: u32 = 8;
/// Bytes of a sample as JSON.
const SAMPLE_BYTES: usize = 256 << 10;
/// Whole numbers beyond it are not exact in a browser.
const EXACT: u64 = 1 << 53;

/// A text, masked and cut.
pub(super) fn text(text: &str, mask: &Mask) -> String {
    let length = text.chars().count();
    let head = if length > LOOKED_AT { text.chars().take(LOOKED_AT).collect() } else { text.to_owned() };
    let masked = mask(&head);
    if length <= LOOKED_AT && masked.chars().count() <= CHARS {
        return masked;
    }
    let kept: String = masked.chars().take(CHARS).collect();
    format!("{kept}… ({length} characters)")
}

/// A whole number.
pub(super) fn whole(number: i128) -> Value {
    match i64::try_from(number) {
        Ok(small) if small.unsigned_abs() <= EXACT => Value::from(small),
        Ok(_) | Err(_) => Value::from(number.to_string()),
    }
}

/// A floating-point number.
#[cfg(feature = "parquet")]
pub(super) fn float(number: f64) -> Value {
    if number.is_nan() {
        return Value::from("NaN");
    }
    if number.is_infinite() {
        return Value::from(if number > 0.0 { "Infinity" } else { "-Infinity" });
    }
    Value::from(number)
}

/// Any value.
pub(super) fn shown(value: &Value, mask: &Mask) -> Value {
    inside(value, mask, 0)
}

fn inside(value: &Value, mask: &Mask, depth: u32) -> Value {
    match value {
        Value::Null | Value::Bool(_) => value.clone(),
        Value::Number(number) => {
            let integer = number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from));
            integer.map_or_else(|| value.clone(), whole)
        }
        Value::String(string) => Value::from(text(string, mask)),
        Value::Array(_) | Value::Object(_) if depth >= DEPTH => Value::from("…"),
        Value::Array(items) => {
            let mut kept: Vec<Value> = items.iter().take(PARTS).map(|item| inside(item, mask, depth + 1)).collect();
            if items.len() > PARTS {
                kept.push(Value::from(format!("… ({} more)", items.len() - PARTS)));
            }
            Value::Array(kept)
        }
        Value::Object(fields) => {
            let field = |(name, value): (&String, &Value)| (text(name, mask), inside(value, mask, depth + 1));
            let mut kept: Map<String, Value> = fields.iter().take(PARTS).map(field).collect();
            if fields.len() > PARTS {
                kept.insert("…".to_owned(), Value::from(format!("{} more", fields.len() - PARTS)));
            }
            Value::Object(kept)
        }
    }
}

/// Rows until there are enough of them, or enough of their text.
#[derive(Default)]
pub(super) struct Sample {
    pub rows: Vec<Vec<Value>>,
    bytes: usize,
    /// Rows were left out because those before were long.
    pub cut: bool,
}

impl Sample {
    /// Whether another row would be left out.
    pub(super) fn full(&self) -> bool {
        self.cut || self.rows.len() >= SAMPLE_ROWS
    }

    pub(super) fn push(&mut self, row: Vec<Value>) {
        if self.full() {
            return;
        }
        self.bytes += serde_json::to_string(&row).map_or(0, |text| text.len());
        if self.bytes > SAMPLE_BYTES && !self.rows.is_empty() {
            self.cut = true;
            return;
        }
        self.rows.push(row);
    }

    /// What to say about it.
    pub(super) fn note(&self) -> Option<String> {
        self.cut.then(|| format!("the rows are long: only the first {} are shown", self.rows.len()))
    }
}
