//! Values of one column as a column of a block.

use std::error::Error as StdError;

use clickhouse::native::DataTypeNode;
use clickhouse::native::builder::BlockBuilder;
use clickhouse::native::encode::{Encode, ValueWriter};
use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::compute::{CastOptions, cast_with_options};
use datafusion::arrow::datatypes::{
    DataType, Date32Type, Float32Type, Float64Type, Int64Type, TimeUnit, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt64Type,
};
use datafusion::arrow::error::ArrowError;

use super::Wire;

/// 1900-01-01 and the last second of 2299: what `DateTime64` and `Date32` hold.
const FIRST_SECOND: i128 = -2_208_988_800;
const LAST_SECOND: i128 = 10_413_791_999;
const DAY_SECONDS: i128 = 86_400;

/// A value that its column does not hold.
#[derive(Debug)]
pub(super) struct Refused {
    /// Its row in the batch; `None` if it is the column's form.
    pub row: Option<usize>,
    /// Why, without the value.
    pub reason: String,
}

impl From<ArrowError> for Refused {
    fn from(error: ArrowError) -> Self {
        Self { row: None, reason: error.to_string() }
    }
}

/// Bytes as a `String`.
struct Raw<'a>(&'a [u8]);
/// Days as a `Date`.
struct Day(u16);
/// Days as a `Date32`.
struct LongDay(i32);
/// Seconds as a `DateTime`.
struct Seconds(u32);
/// A `DateTime64` of so many digits of the second.
struct Ticks<const DIGITS: u8>(i64);

type Written = Result<(), Box<dyn StdError + Send + Sync>>;

impl Encode for Raw<'_> {
    fn produces() -> DataTypeNode {
        DataTypeNode::String
    }

    fn encode(&self, writer: &mut ValueWriter<'_>) -> Written {
        Ok(writer.write_string(self.0)?)
    }
}

impl Encode for Day {
    fn produces() -> DataTypeNode {
        DataTypeNode::Date
    }

    fn encode(&self, writer: &mut ValueWriter<'_>) -> Written {
        Ok(writer.write_fixed(&self.0.to_le_bytes())?)
    }
}

impl Encode for LongDay {
    fn produces() -> DataTypeNode {
        DataTypeNode::Date32
    }

    fn encode(&self, writer: &mut ValueWriter<'_>) -> Written {
        Ok(writer.write_fixed(&self.0.to_le_bytes())?)
    }
}

impl Encode for Seconds {
    fn produces() -> DataTypeNode {
        DataTypeNode::DateTime(None)
    }

    fn encode(&self, writer: &mut ValueWriter<'_>) -> Written {
        Ok(writer.write_fixed(&self.0.to_le_bytes())?)
    }
}

impl<const DIGITS: u8> Encode for Ticks<DIGITS> {
    fn produces() -> DataTypeNode {
        // The precision's own type has no name outside of the client; the type's name reads always.
        DataTypeNode::new(&format!("DateTime64({DIGITS})")).unwrap_or(DataTypeNode::Int64)
    }

    fn encode(&self, writer: &mut ValueWriter<'_>) -> Written {
        Ok(writer.write_fixed(&self.0.to_le_bytes())?)
    }
}

/// Adds a column's values to a block.
///
/// # Errors
/// A value is beyond what the table's column holds, or the column's form cannot be sent.
pub(super) fn add(builder: &mut BlockBuilder, name: &str, wire: Wire, column: &ArrayRef) -> Result<(), Refused> {
    // Words of a dictionary, or whatever else it holds.
    if let DataType::Dictionary(_, value) = column.data_type() {
        return add(builder, name, wire, &strict(column, value)?);
    }
    match wire {
        Wire::Null => put(builder, name, (0..column.len()).map(|_| Ok(None::<&str>))),
        Wire::Bool => put(builder, name, column.as_boolean().iter().map(Ok)),
        Wire::Integer { least, most } => integers(builder, name, column, least, most),
        Wire::Double => {
            let values = strict(column, &DataType::Float64)?;
            put(builder, name, values.as_primitive::<Float64Type>().iter().map(Ok))
        }
        Wire::Single => singles(builder, name, column),
        Wire::Text { exactly } => texts(builder, name, column, exactly),
        Wire::Decimal => {
            let values = strict(column, &DataType::Utf8)?;
            put(builder, name, values.as_string::<i32>().iter().map(Ok))
        }
        Wire::Seconds => {
            let fit = |value: i128| u32::try_from(value).ok().map(Seconds);
            instants(builder, name, column, 0, fit, "a time that is not between 1970-01-01 and 2106-02-07")
        }
        Wire::Ticks { digits } => ticks(builder, name, column, digits),
        Wire::Day => {
            let fit = |day: i32| u16::try_from(day).ok().map(Day);
            days(builder, name, column, fit, "a day that is not between 1970-01-01 and 2149-06-06")
        }
        Wire::LongDay => {
            let holds = |day: &i32| (FIRST_SECOND..=LAST_SECOND).contains(&(i128::from(*day) * DAY_SECONDS));
            let fit = |day: i32| Some(day).filter(holds).map(LongDay);
            days(builder, name, column, fit, "a day that is not between 1900-01-01 and 2299-12-31")
        }
    }
}

/// Adds the numbers of rows.
///
/// # Errors
/// A column of the dataset has this name.
pub(super) fn number(builder: &mut BlockBuilder, name: &str, from: u64, rows: usize) -> Result<(), Refused> {
    put(builder, name, (from..).take(rows).map(|row| Ok(Some(row))))
}

fn strict(column: &ArrayRef, to: &DataType) -> Result<ArrayRef, ArrowError> {
    cast_with_options(column, to, &CastOptions { safe: false, ..CastOptions::default() })
}

fn put<T: Encode>(
    builder: &mut BlockBuilder,
    name: &str,
    values: impl Iterator<Item = Result<Option<T>, Refused>>,
) -> Result<(), Refused> {
    let cannot = |reason: String| Refused { row: None, reason };
    let mut column = builder.upsert_column::<Option<T>>(name).map_err(|error| cannot(error.to_string()))?;
    for value in values {
        column.add(value?).map_err(|error| cannot(error.to_string()))?;
    }
    Ok(())
}

/// Values that fit, or the row of the first one that does not.
fn fitting<V, T>(
    values: impl Iterator<Item = Option<V>>,
    fit: impl Fn(V) -> Option<T>,
    reason: &str,
) -> impl Iterator<Item = Result<Option<T>, Refused>> {
    values.enumerate().map(move |(row, value)| match value {
        None => Ok(None),
        Some(value) => match fit(value) {
            Some(value) => Ok(Some(value)),
            None => Err(Refused { row: Some(row), reason: reason.to_owned() }),
        },
    })
}

fn integers(builder: &mut BlockBuilder, name: &str, column: &ArrayRef, least: i128, most: i128) -> Result<(), Refused> {
    let reason = format!("a number that is not between {least} and {most}");
    let holds = |value: i128| (least..=most).contains(&value);
    // Of the two forms the one that holds the dataset's column; the server brings it into the table's.
    if *column.data_type() == DataType::UInt64 {
        let values = column.as_primitive::<UInt64Type>().iter();
        return put(builder, name, fitting(values, |value| holds(value.into()).then_some(value), &reason));
    }
    let values = strict(column, &DataType::Int64)?;
    let values = values.as_primitive::<Int64Type>().iter();
    put(builder, name, fitting(values, |value| holds(value.into()).then_some(value), &reason))
}

fn singles(builder: &mut BlockBuilder, name: &str, column: &ArrayRef) -> Result<(), Refused> {
    if *column.data_type() == DataType::Float32 {
        return put(builder, name, column.as_primitive::<Float32Type>().iter().map(Ok));
    }
    let values = strict(column, &DataType::Float64)?;
    #[expect(clippy::cast_possible_truncation, reason = "rounded, as the table's author wants it")]
    let fit = |value: f64| {
        let rounded = value as f32;
        (rounded.is_finite() || !value.is_finite()).then_some(rounded)
    };
    put(builder, name, fitting(values.as_primitive::<Float64Type>().iter(), fit, "a number that is too large"))
}

fn texts(builder: &mut BlockBuilder, name: &str, column: &ArrayRef, exactly: Option<usize>) -> Result<(), Refused> {
    // A shorter one would be filled up with zero bytes.
    let reason = exactly.map_or_else(String::new, |bytes| format!("a text that has not exactly {bytes} bytes"));
    let fit = |value: &[u8]| exactly.is_none_or(|bytes| value.len() == bytes);
    match column.data_type() {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
            let values = strict(column, &DataType::Utf8)?;
            let values = values.as_string::<i32>().iter();
            put(builder, name, fitting(values, |value| fit(value.as_bytes()).then_some(Raw(value.as_bytes())), &reason))
        }
        _ => {
            let values = strict(column, &DataType::Binary)?;
            let values = values.as_binary::<i32>().iter();
            put(builder, name, fitting(values, |value| fit(value).then_some(Raw(value)), &reason))
        }
    }
}

fn days<T: Encode>(
    builder: &mut BlockBuilder,
    name: &str,
    column: &ArrayRef,
    fit: impl Fn(i32) -> Option<T>,
    reason: &str,
) -> Result<(), Refused> {
    let values = strict(column, &DataType::Date32)?;
    put(builder, name, fitting(values.as_primitive::<Date32Type>().iter(), fit, reason))
}

/// A `DateTime64` of 0, 3, 6 or 9 digits, of which the column keeps fewer or as many.
fn ticks(builder: &mut BlockBuilder, name: &str, column: &ArrayRef, digits: u8) -> Result<(), Refused> {
    let wire = digits.div_ceil(3) * 3;
    let (second, filler) = (10_i128.pow(u32::from(digits)), 10_i128.pow(u32::from(wire - digits)));
    let fit = move |value: i128| {
        let held = (FIRST_SECOND..=LAST_SECOND).contains(&value.div_euclid(second));
        i64::try_from(value * filler).ok().filter(|_| held)
    };
    let reason = "a time that is not between 1900-01-01 and 2299-12-31 (2262-04-11 with more than 6 digits)";
    match wire {
        0 => instants(builder, name, column, digits, |value| fit(value).map(Ticks::<0>), reason),
        3 => instants(builder, name, column, digits, |value| fit(value).map(Ticks::<3>), reason),
        6 => instants(builder, name, column, digits, |value| fit(value).map(Ticks::<6>), reason),
        _ => instants(builder, name, column, digits, |value| fit(value).map(Ticks::<9>), reason),
    }
}

/// Instants, counted in the unit of so many digits of the second: what is finer is cut off, towards the past.
fn instants<T: Encode>(
    builder: &mut BlockBuilder,
    name: &str,
    column: &ArrayRef,
    digits: u8,
    fit: impl Fn(i128) -> Option<T>,
    reason: &str,
) -> Result<(), Refused> {
    let (has, values): (u8, Vec<Option<i64>>) = match column.data_type() {
        DataType::Timestamp(TimeUnit::Second, _) => (0, column.as_primitive::<TimestampSecondType>().iter().collect()),
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            (3, column.as_primitive::<TimestampMillisecondType>().iter().collect())
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            (6, column.as_primitive::<TimestampMicrosecondType>().iter().collect())
        }
        _ => {
            let zone = match column.data_type() {
                DataType::Timestamp(_, zone) => zone.clone(),
                _ => None,
            };
            let nanos = strict(column, &DataType::Timestamp(TimeUnit::Nanosecond, zone))?;
            (9, nanos.as_primitive::<TimestampNanosecondType>().iter().collect())
        }
    };
    let power = |digits: u8| 10_i128.pow(u32::from(digits));
    let scaled = |value: i64| {
        let value = i128::from(value);
        if has > digits { value.div_euclid(power(has - digits)) } else { value * power(digits - has) }
    };
    put(builder, name, fitting(values.into_iter(), |value| fit(scaled(value)), reason))
}
