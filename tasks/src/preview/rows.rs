//! Columns of rows that have no schema: what their values look like.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{MAX_COLUMNS, PreviewColumn};

/// What was seen of a column.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub name: String,
    types: BTreeSet<&'static str>,
    /// Rows that have a value in it.
    values: u64,
}

impl Seen {
    pub(super) fn new(name: String) -> Self {
        Self { name, ..Self::default() }
    }

    /// Counts a value; nothing is learnt from a null.
    pub(super) fn value(&mut self, name: Option<&'static str>) {
        if let Some(name) = name {
            self.types.insert(name);
            self.values += 1;
        }
    }

    fn data_type(&self) -> String {
        let numbers = self.types.iter().all(|name| ["Int64", "Float64"].contains(name));
        match self.types.len() {
            0 => "Null".to_owned(),
            1 => self.types.iter().copied().collect(),
            _ if numbers => "Float64".to_owned(),
            _ => format!("mixed ({})", self.types.iter().copied().collect::<Vec<_>>().join(", ")),
        }
    }

    /// The column; `rows` is the number of all rows, if all were looked at.
    pub(super) fn column(&self, rows: Option<u64>) -> PreviewColumn {
        let nulls = rows.map(|rows| rows.saturating_sub(self.values));
        PreviewColumn { name: self.name.clone(), data_type: self.data_type(), nulls }
    }
}

/// Name of a JSON value's type in Arrow's words; `None` of a null.
pub(super) fn type_of(value: &Value) -> Option<&'static str> {
    match value {
        Value::Null => None,
        Value::Bool(_) => Some("Boolean"),
        Value::Number(number) if number.is_f64() => Some("Float64"),
        Value::Number(_) => Some("Int64"),
        Value::String(_) => Some("Utf8"),
        Value::Array(_) => Some("List"),
        Value::Object(_) => Some("Struct"),
    }
}

/// Columns of JSON rows: the fields of objects as they first come, or one column of other values.
#[derive(Default)]
pub(super) struct Columns {
    seen: Vec<Seen>,
    at: std::collections::BTreeMap<String, usize>,
    /// There were more than are kept.
    pub left_out: bool,
}

impl Columns {
    /// Name of the column of values that are no objects.
    const VALUE: &str = "value";

    /// The fields of a row, in order.
    fn fields(row: &Value) -> Vec<(&str, &Value)> {
        match row {
            Value::Object(fields) => fields.iter().map(|(name, value)| (name.as_str(), value)).collect(),
            other => vec![(Self::VALUE, other)],
        }
    }

    pub(super) fn add(&mut self, row: &Value) {
        for (name, value) in Self::fields(row) {
            let at = match self.at.get(name) {
                Some(at) => *at,
                None if self.seen.len() >= MAX_COLUMNS => {
                    self.left_out = true;
                    continue;
                }
                None => {
                    self.seen.push(Seen::new(name.to_owned()));
                    self.at.insert(name.to_owned(), self.seen.len() - 1);
                    self.seen.len() - 1
                }
            };
            self.seen[at].value(type_of(value));
        }
    }

    /// A row's value of each column.
    pub(super) fn cells<'r>(&self, row: &'r Value) -> Vec<Option<&'r Value>> {
        let mut cells = vec![None; self.seen.len()];
        for (name, value) in Self::fields(row) {
            if let Some(at) = self.at.get(name) {
                cells[*at] = Some(value);
            }
        }
        cells
    }

    pub(super) fn columns(&self, rows: Option<u64>) -> Vec<PreviewColumn> {
        self.seen.iter().map(|seen| seen.column(rows)).collect()
    }
}
