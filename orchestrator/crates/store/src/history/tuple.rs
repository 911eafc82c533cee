//! One row of an answer, by column, so that both stores share what reads it.

use updraft_model::id::{MapIndex, RunId, TaskId, TaskKey};
use updraft_model::time::Timestamp;
use uuid::Uuid;

use crate::StoreError;

/// A value of a column.
#[derive(Debug, Clone, PartialEq)]
pub enum Datum {
    /// Nothing.
    Null,
    /// A number, or an instant in milliseconds since 1970.
    Int(i64),
    /// A number with a fraction.
    Real(f64),
    /// Text.
    Text(String),
    /// An id.
    Id(Uuid),
}

/// A row. Columns are read by position; what does not fit is [`StoreError::Inconsistent`] with the name given.
#[derive(Debug, Clone, PartialEq)]
pub struct Tuple(pub Vec<Datum>);

fn bad(column: &'static str, detail: String) -> StoreError {
    StoreError::Inconsistent { table: "history", column, id: "(an answer)".to_owned(), detail }
}

impl Tuple {
    fn at_position(&self, position: usize) -> &Datum {
        self.0.get(position).unwrap_or(&Datum::Null)
    }

    /// A number, or nothing.
    pub fn opt_int(&self, position: usize, name: &'static str) -> Result<Option<i64>, StoreError> {
        match self.at_position(position) {
            Datum::Null => Ok(None),
            Datum::Int(value) => Ok(Some(*value)),
            other @ (Datum::Real(_) | Datum::Text(_) | Datum::Id(_)) => Err(bad(name, format!("{other:?}"))),
        }
    }

    /// A number.
    pub fn int(&self, position: usize, name: &'static str) -> Result<i64, StoreError> {
        self.opt_int(position, name)?.ok_or_else(|| bad(name, "it is null".to_owned()))
    }

    /// A count.
    pub fn count(&self, position: usize, name: &'static str) -> Result<u32, StoreError> {
        let value = self.opt_int(position, name)?.unwrap_or(0);
        u32::try_from(value).map_err(|_| bad(name, format!("{value} is no count")))
    }

    /// Yes or no, as a number.
    pub fn flag(&self, position: usize, name: &'static str) -> Result<bool, StoreError> {
        Ok(self.opt_int(position, name)?.unwrap_or(0) != 0)
    }

    /// A number with a fraction, or nothing.
    pub fn opt_real(&self, position: usize, name: &'static str) -> Result<Option<f64>, StoreError> {
        match self.at_position(position) {
            Datum::Real(value) => Ok(Some(*value)),
            Datum::Null | Datum::Int(_) | Datum::Text(_) | Datum::Id(_) =>
            {
                #[expect(clippy::cast_precision_loss, reason = "a whole number written into a column of fractions")]
                Ok(self.opt_int(position, name)?.map(|value| value as f64))
            }
        }
    }

    /// Text, or nothing.
    pub fn opt_text(&self, position: usize, name: &'static str) -> Result<Option<&str>, StoreError> {
        match self.at_position(position) {
            Datum::Null => Ok(None),
            Datum::Text(value) => Ok(Some(value)),
            other @ (Datum::Real(_) | Datum::Int(_) | Datum::Id(_)) => Err(bad(name, format!("{other:?}"))),
        }
    }

    /// Text.
    pub fn text(&self, position: usize, name: &'static str) -> Result<&str, StoreError> {
        self.opt_text(position, name)?.ok_or_else(|| bad(name, "it is null".to_owned()))
    }

    /// Text of one's own.
    pub fn opt_string(&self, position: usize, name: &'static str) -> Result<Option<String>, StoreError> {
        Ok(self.opt_text(position, name)?.map(str::to_owned))
    }

    /// An instant, or nothing.
    pub fn opt_at(&self, position: usize, name: &'static str) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.opt_int(position, name)?.map(Timestamp::from_millis))
    }

    /// An instant.
    pub fn at(&self, position: usize, name: &'static str) -> Result<Timestamp, StoreError> {
        self.int(position, name).map(Timestamp::from_millis)
    }

    /// An id, or nothing.
    pub fn opt_id(&self, position: usize, name: &'static str) -> Result<Option<Uuid>, StoreError> {
        match self.at_position(position) {
            Datum::Null => Ok(None),
            Datum::Id(id) => Ok(Some(*id)),
            Datum::Text(text) => Uuid::parse_str(text).map(Some).map_err(|error| bad(name, error.to_string())),
            other @ (Datum::Real(_) | Datum::Int(_)) => Err(bad(name, format!("{other:?}"))),
        }
    }

    /// A run's id.
    pub fn run(&self, position: usize, name: &'static str) -> Result<RunId, StoreError> {
        self.opt_id(position, name)?.map(RunId).ok_or_else(|| bad(name, "it is null".to_owned()))
    }

    /// A word of a closed list, or nothing.
    pub fn opt_named<T>(
        &self,
        position: usize,
        name: &'static str,
        parse: fn(&str) -> Option<T>,
    ) -> Result<Option<T>, StoreError> {
        let Some(text) = self.opt_text(position, name)? else { return Ok(None) };
        parse(text).map(Some).ok_or_else(|| bad(name, format!("`{text}` is not in the list of this build")))
    }

    /// A word of a closed list.
    pub fn named<T>(&self, position: usize, name: &'static str, parse: fn(&str) -> Option<T>) -> Result<T, StoreError> {
        self.opt_named(position, name, parse)?.ok_or_else(|| bad(name, "it is null".to_owned()))
    }

    /// JSON, or nothing.
    pub fn opt_json<T: serde::de::DeserializeOwned>(
        &self,
        position: usize,
        name: &'static str,
    ) -> Result<Option<T>, StoreError> {
        let Some(text) = self.opt_text(position, name)? else { return Ok(None) };
        serde_json::from_str(text).map(Some).map_err(|error| bad(name, error.to_string()))
    }

    /// A task run's key in two columns.
    pub fn key(&self, position: usize) -> Result<TaskKey, StoreError> {
        let index = self.int(position + 1, "map_index")?;
        let index = i32::try_from(index).map_err(|_| bad("map_index", format!("{index} is no position")))?;
        Ok(TaskKey { task: TaskId::from(self.text(position, "task_id")?), map_index: MapIndex(index) })
    }
}
