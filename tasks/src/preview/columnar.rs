//! Parquet: columns and nulls from the footer, the first rows from the first pages.

use std::fmt::Write as _;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type, UInt32Type,
    UInt64Type,
};
use arrow_array::{Array, ArrayRef};
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use arrow_schema::{DataType, TimeUnit};
use chrono::{DateTime, SecondsFormat, Utc};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::metadata::ParquetMetaData;
use parquet::file::reader::Length as _;
use serde_json::{Map, Value};

use super::blocks::Blocks;
use super::cells::{self, Sample};
use super::{MAX_COLUMNS, Mask, Preview, PreviewColumn, SAMPLE_ROWS};

/// Longest footer: it becomes about ten times as large in memory.
const FOOTER_BYTES: u32 = 8 << 20;
/// Bytes that are shown of a binary value.
const BINARY_BYTES: usize = 32;
/// Values of a list that become JSON; the rest is cut anyway.
const LIST_VALUES: usize = 60;

pub(super) fn preview(file: Blocks, mask: &Mask) -> Result<Preview, String> {
    footer(&file).map_err(|error| file.refused().unwrap_or(error))?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(file.clone())
        .map_err(|error| file.refused().unwrap_or_else(|| broken(&mask(&error.to_string()))))?;
    let metadata = builder.metadata().clone();
    let fields = builder.schema().fields().clone();
    let column = |(at, field): (usize, &arrow_schema::FieldRef)| PreviewColumn {
        name: cells::text(field.name(), mask),
        data_type: cells::text(&field.data_type().to_string(), mask),
        nulls: nulls(&metadata, at, fields.len()),
    };
    let mut seen = Preview {
        columns: fields.iter().enumerate().take(MAX_COLUMNS).map(column).collect(),
        rows: u64::try_from(metadata.file_metadata().num_rows()).ok(),
        sample: None,
        note: (fields.len() > MAX_COLUMNS)
            .then(|| format!("only the first {MAX_COLUMNS} of {} columns are shown", fields.len())),
    };
    if fields.is_empty() {
        return Ok(seen);
    }
    let mut sample = Sample::default();
    let schema = metadata.file_metadata().schema_descr();
    let roots = schema.root_schema().get_fields().len().min(MAX_COLUMNS);
    let shown = ProjectionMask::roots(schema, 0..roots);
    let builder = builder
        .with_projection(shown)
        .with_row_groups(first_groups(&metadata))
        .with_limit(SAMPLE_ROWS)
        .with_batch_size(SAMPLE_ROWS);
    let read = builder.build().map_err(|error| error.to_string()).and_then(|reader| {
        for batch in reader {
            let batch = batch.map_err(|error| error.to_string())?;
            for row in 0..batch.num_rows() {
                let cell = |column: &ArrayRef| cells::shown(&value(column, row), mask);
                sample.push(batch.columns().iter().map(cell).collect());
            }
        }
        Ok(())
    });
    if let Err(error) = read {
        let why = file.refused().unwrap_or_else(|| broken(&mask(&error)));
        seen.note = Some(format!("its first rows cannot be shown: {why}"));
        return Ok(seen);
    }
    seen.note = seen.note.or(sample.note());
    seen.sample = Some(sample.rows);
    Ok(seen)
}

fn broken(error: &str) -> String {
    format!("it is not Parquet, or is broken: {error}")
}

/// Looks at the last eight bytes, before the reader takes as much memory as they ask for.
fn footer(file: &Blocks) -> Result<(), String> {
    let size = file.len();
    if size < 12 {
        return Err(broken(&format!("it has {size} bytes, less than any Parquet file")));
    }
    let tail = file.range(size - 8, 8).map_err(|error| error.to_string())?;
    let (Some((length, magic)), true) = (tail.split_first_chunk::<4>(), tail.len() == 8) else {
        return Err(broken("its end cannot be read"));
    };
    if magic != b"PAR1" && magic != b"PARE" {
        return Err(broken("it does not end with `PAR1`: it was cut off, or is something else"));
    }
    let length = u32::from_le_bytes(*length);
    if length > FOOTER_BYTES {
        return Err(format!("its footer has {} MiB: too long for a preview", length >> 20));
    }
    Ok(())
}

/// The groups that hold the first rows.
fn first_groups(metadata: &ParquetMetaData) -> Vec<usize> {
    let mut rows = 0;
    let mut groups = Vec::new();
    for (at, group) in metadata.row_groups().iter().enumerate() {
        if rows >= SAMPLE_ROWS {
            break;
        }
        rows += usize::try_from(group.num_rows()).unwrap_or(0);
        groups.push(at);
    }
    groups
}

/// Nulls of a column in all row groups, as their statistics say; `None` if one does not say, and inside lists and structs,
/// where what is counted is something else.
fn nulls(metadata: &ParquetMetaData, at: usize, columns: usize) -> Option<u64> {
    let schema = metadata.file_metadata().schema_descr();
    let root = schema.root_schema();
    if root.get_fields().len() != columns || !root.get_fields()[at].is_primitive() {
        return None;
    }
    let leaf = (0..schema.num_columns()).find(|&leaf| schema.get_column_root_idx(leaf) == at)?;
    if schema.column(leaf).max_rep_level() > 0 {
        return None;
    }
    if schema.column(leaf).max_def_level() == 0 {
        return Some(0);
    }
    let counts = metadata.row_groups().iter().map(|group| group.column(leaf).statistics()?.null_count_opt());
    let sum = counts.sum::<Option<u64>>()?;
    (i64::try_from(sum).ok()? <= metadata.file_metadata().num_rows()).then_some(sum)
}

/// A value as JSON says it, else as text.
fn value(column: &dyn Array, row: usize) -> Value {
    if column.is_null(row) {
        return Value::Null;
    }
    let integer = |number: i128| cells::whole(number);
    match column.data_type() {
        DataType::Null => Value::Null,
        DataType::Boolean => Value::from(column.as_boolean().value(row)),
        DataType::Int8 => integer(column.as_primitive::<Int8Type>().value(row).into()),
        DataType::Int16 => integer(column.as_primitive::<Int16Type>().value(row).into()),
        DataType::Int32 => integer(column.as_primitive::<Int32Type>().value(row).into()),
        DataType::Int64 => integer(column.as_primitive::<Int64Type>().value(row).into()),
        DataType::UInt8 => integer(column.as_primitive::<UInt8Type>().value(row).into()),
        DataType::UInt16 => integer(column.as_primitive::<UInt16Type>().value(row).into()),
        DataType::UInt32 => integer(column.as_primitive::<UInt32Type>().value(row).into()),
        DataType::UInt64 => integer(column.as_primitive::<UInt64Type>().value(row).into()),
        DataType::Float32 => {
            // By its text: 0.1 is no 0.10000000149011612.
            let number = column.as_primitive::<Float32Type>().value(row);
            cells::float(number.to_string().parse().unwrap_or_else(|_| f64::from(number)))
        }
        DataType::Float64 => cells::float(column.as_primitive::<Float64Type>().value(row)),
        DataType::Utf8 => Value::from(column.as_string::<i32>().value(row)),
        DataType::LargeUtf8 => Value::from(column.as_string::<i64>().value(row)),
        DataType::Utf8View => Value::from(column.as_string_view().value(row)),
        DataType::Binary => binary(column.as_binary::<i32>().value(row)),
        DataType::LargeBinary => binary(column.as_binary::<i64>().value(row)),
        DataType::BinaryView => binary(column.as_binary_view().value(row)),
        DataType::FixedSizeBinary(_) => binary(column.as_fixed_size_binary().value(row)),
        DataType::Timestamp(unit, zone) => instant(column, row, *unit, zone.is_some()),
        DataType::List(_) => list(&column.as_list::<i32>().value(row)),
        DataType::LargeList(_) => list(&column.as_list::<i64>().value(row)),
        DataType::FixedSizeList(..) => list(&column.as_fixed_size_list().value(row)),
        DataType::Struct(fields) => {
            let parts = column.as_struct().columns();
            let field = |(field, part): (&arrow_schema::FieldRef, &ArrayRef)| (field.name().clone(), value(part, row));
            Value::Object(fields.iter().zip(parts).map(field).collect::<Map<_, _>>())
        }
        DataType::Map(..) => {
            let entries = column.as_map().value(row);
            let (keys, values) = (entries.column(0), entries.column(1));
            let entry = |at| Value::Array(vec![value(keys, at), value(values, at)]);
            Value::Array((0..entries.len().min(LIST_VALUES)).map(entry).collect())
        }
        // Dates, times, decimals, spans, and what Parquet rarely holds: as Arrow writes it.
        _ => text(column, row),
    }
}

fn text(column: &dyn Array, row: usize) -> Value {
    let options = FormatOptions::new().with_display_error(true);
    match ArrayFormatter::try_new(column, &options) {
        Ok(formatter) => Value::from(formatter.value(row).to_string()),
        Err(_) => Value::from(format!("({})", column.data_type())),
    }
}

fn list(values: &ArrayRef) -> Value {
    Value::Array((0..values.len().min(LIST_VALUES)).map(|at| value(values, at)).collect())
}

fn binary(bytes: &[u8]) -> Value {
    let mut text = String::from("0x");
    for byte in bytes.iter().take(BINARY_BYTES) {
        let _ = write!(text, "{byte:02x}");
    }
    if bytes.len() > BINARY_BYTES {
        let _ = write!(text, "… ({} bytes)", bytes.len());
    }
    Value::from(text)
}

/// In UTC, whatever zone the column names; without a zone it is a civil time and has no `Z`.
fn instant(column: &dyn Array, row: usize, unit: TimeUnit, zoned: bool) -> Value {
    let (number, at) = match unit {
        TimeUnit::Second => {
            let number = column.as_primitive::<TimestampSecondType>().value(row);
            (number, DateTime::from_timestamp(number, 0))
        }
        TimeUnit::Millisecond => {
            let number = column.as_primitive::<TimestampMillisecondType>().value(row);
            (number, DateTime::from_timestamp_millis(number))
        }
        TimeUnit::Microsecond => {
            let number = column.as_primitive::<TimestampMicrosecondType>().value(row);
            (number, DateTime::from_timestamp_micros(number))
        }
        TimeUnit::Nanosecond => {
            let number = column.as_primitive::<TimestampNanosecondType>().value(row);
            (number, Some(DateTime::from_timestamp_nanos(number)))
        }
    };
    // A year that no calendar writes: the number itself.
    let Some(at): Option<DateTime<Utc>> = at else { return cells::whole(number.into()) };
    let text = at.to_rfc3339_opts(SecondsFormat::AutoSi, true);
    Value::from(if zoned { text } else { text.trim_end_matches('Z').to_owned() })
}
