//! Values of one column as COPY's text.

use std::io::Write as _;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Decimal256Array, Float32Array,
    Float64Array, Int64Array, ListArray, StringArray, Time64MicrosecondArray, TimestampMicrosecondArray, UInt64Array,
};
use datafusion::arrow::compute::{CastOptions, cast_with_options};
use datafusion::arrow::datatypes::{DataType, TimeUnit};
use datafusion::arrow::error::ArrowError;

const DAY_MICROS: i64 = 86_400_000_000;

/// A column's values in one of few forms.
pub(super) enum Cells {
    Null,
    Bool(BooleanArray),
    Int(Int64Array),
    Unsigned(UInt64Array),
    Single(Float32Array),
    Double(Float64Array),
    Decimal(Decimal128Array),
    LongDecimal(Decimal256Array),
    Text(StringArray),
    Bytes(BinaryArray),
    Date(Date32Array),
    Instant(TimestampMicrosecondArray),
    Time(Time64MicrosecondArray),
    List(ListArray, Box<Cells>),
}

impl Cells {
    /// Brings a column into its form.
    ///
    /// # Errors
    /// A value is beyond the form's range (times of nanoseconds are cut to microseconds), or the type has no form.
    pub(super) fn of(column: &ArrayRef) -> Result<Self, ArrowError> {
        let strict = CastOptions { safe: false, ..CastOptions::default() };
        let to = |data_type: DataType| cast_with_options(column, &data_type, &strict);
        Ok(match column.data_type() {
            DataType::Null => Self::Null,
            DataType::Boolean => Self::Bool(column.as_boolean().clone()),
            DataType::UInt64 => Self::Unsigned(column.as_primitive().clone()),
            other if other.is_integer() => Self::Int(to(DataType::Int64)?.as_primitive().clone()),
            DataType::Float32 => Self::Single(column.as_primitive().clone()),
            DataType::Float64 => Self::Double(column.as_primitive().clone()),
            DataType::Decimal32(precision, scale) | DataType::Decimal64(precision, scale) => {
                Self::Decimal(to(DataType::Decimal128(*precision, *scale))?.as_primitive().clone())
            }
            DataType::Decimal128(_, _) => Self::Decimal(column.as_primitive().clone()),
            DataType::Decimal256(_, _) => Self::LongDecimal(column.as_primitive().clone()),
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
                Self::Text(to(DataType::Utf8)?.as_string().clone())
            }
            // Words of a dictionary, or whatever else it holds.
            DataType::Dictionary(_, value) => return Self::of(&to(value.as_ref().clone())?),
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
                Self::Bytes(to(DataType::Binary)?.as_binary().clone())
            }
            DataType::Date32 | DataType::Date64 => Self::Date(to(DataType::Date32)?.as_primitive().clone()),
            DataType::Timestamp(_, zone) => {
                let micros = to(DataType::Timestamp(TimeUnit::Microsecond, zone.clone()))?;
                Self::Instant(micros.as_primitive().clone())
            }
            DataType::Time32(_) | DataType::Time64(_) => {
                Self::Time(to(DataType::Time64(TimeUnit::Microsecond))?.as_primitive().clone())
            }
            DataType::List(_) => {
                let lists: &ListArray = column.as_list();
                Self::List(lists.clone(), Box::new(Self::of(lists.values())?))
            }
            DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
                return Self::of(&to(DataType::List(item.clone()))?);
            }
            other => return Err(ArrowError::NotYetImplemented(format!("{other} cannot be copied"))),
        })
    }

    /// Writes a value as a field of a line.
    pub(super) fn write(&self, row: usize, out: &mut Vec<u8>) {
        if self.is_null(row) {
            out.extend_from_slice(b"\\N");
            return;
        }
        match self {
            Self::Text(values) => escaped(values.value(row).as_bytes(), out),
            Self::Bytes(_) | Self::List(_, _) => {
                let mut text = Vec::new();
                self.value(row, &mut text);
                escaped(&text, out);
            }
            Self::Null
            | Self::Bool(_)
            | Self::Int(_)
            | Self::Unsigned(_)
            | Self::Single(_)
            | Self::Double(_)
            | Self::Decimal(_)
            | Self::LongDecimal(_)
            | Self::Date(_)
            | Self::Instant(_)
            | Self::Time(_) => self.value(row, out),
        }
    }

    fn is_null(&self, row: usize) -> bool {
        match self {
            Self::Null => true,
            Self::Bool(values) => values.is_null(row),
            Self::Int(values) => values.is_null(row),
            Self::Unsigned(values) => values.is_null(row),
            Self::Single(values) => values.is_null(row),
            Self::Double(values) => values.is_null(row),
            Self::Decimal(values) => values.is_null(row),
            Self::LongDecimal(values) => values.is_null(row),
            Self::Text(values) => values.is_null(row),
            Self::Bytes(values) => values.is_null(row),
            Self::Date(values) => values.is_null(row),
            Self::Instant(values) => values.is_null(row),
            Self::Time(values) => values.is_null(row),
            Self::List(values, _) => values.is_null(row),
        }
    }

    /// The value as PostgreSQL's input functions read it. Writing into a `Vec` does not fail.
    fn value(&self, row: usize, out: &mut Vec<u8>) {
        match self {
            Self::Null => {}
            Self::Bool(values) => out.push(if values.value(row) { b't' } else { b'f' }),
            Self::Int(values) => drop(write!(out, "{}", values.value(row))),
            Self::Unsigned(values) => drop(write!(out, "{}", values.value(row))),
            Self::Single(values) => match values.value(row) {
                value if value.is_infinite() => infinity(value > 0.0, out),
                value => drop(write!(out, "{value:?}")),
            },
            Self::Double(values) => match values.value(row) {
                value if value.is_infinite() => infinity(value > 0.0, out),
                value => drop(write!(out, "{value:?}")),
            },
            Self::Decimal(values) => out.extend_from_slice(values.value_as_string(row).as_bytes()),
            Self::LongDecimal(values) => out.extend_from_slice(values.value_as_string(row).as_bytes()),
            Self::Text(values) => out.extend_from_slice(values.value(row).as_bytes()),
            Self::Bytes(values) => {
                out.extend_from_slice(b"\\x");
                values.value(row).iter().for_each(|byte| drop(write!(out, "{byte:02x}")));
            }
            Self::Date(values) => date(i64::from(values.value(row)), None, out),
            Self::Instant(values) => {
                let micros = values.value(row);
                date(micros.div_euclid(DAY_MICROS), Some(micros.rem_euclid(DAY_MICROS)), out);
            }
            Self::Time(values) => time(values.value(row), out),
            Self::List(values, items) => {
                let offsets = values.value_offsets();
                let (from, to) = (offset(offsets[row]), offset(offsets[row + 1]));
                out.push(b'{');
                for item in from..to {
                    if item > from {
                        out.push(b',');
                    }
                    items.item(item, out);
                }
                out.push(b'}');
            }
        }
    }

    /// The value as an item of an array.
    fn item(&self, row: usize, out: &mut Vec<u8>) {
        if self.is_null(row) {
            out.extend_from_slice(b"NULL");
            return;
        }
        let mut text = Vec::new();
        self.value(row, &mut text);
        out.push(b'"');
        for byte in text {
            if matches!(byte, b'"' | b'\\') {
                out.push(b'\\');
            }
            out.push(byte);
        }
        out.push(b'"');
    }
}

fn offset(at: i32) -> usize {
    usize::try_from(at).unwrap_or(0)
}

fn infinity(positive: bool, out: &mut Vec<u8>) {
    out.extend_from_slice(if positive { b"Infinity" } else { b"-Infinity" });
}

/// What COPY would take for the end of a field or a line.
fn escaped(text: &[u8], out: &mut Vec<u8>) {
    for byte in text {
        match byte {
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            other => out.push(*other),
        }
    }
}

/// A day counted from 1970-01-01, and a time of it: `0044-03-15 12:00:00+00 BC`.
fn date(days: i64, micros: Option<i64>, out: &mut Vec<u8>) {
    // Days of the proleptic Gregorian calendar, in eras of 400 years that begin in March.
    let shifted = days + 719_468;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let shown = if year > 0 { year } else { 1 - year };
    let _ = write!(out, "{shown:04}-{month:02}-{day:02}");
    if let Some(micros) = micros {
        out.push(b' ');
        time(micros, out);
        out.extend_from_slice(b"+00");
    }
    if year <= 0 {
        out.extend_from_slice(b" BC");
    }
}

fn time(micros: i64, out: &mut Vec<u8>) {
    let seconds = micros / 1_000_000;
    let _ = write!(out, "{:02}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60);
    if micros % 1_000_000 != 0 {
        let _ = write!(out, ".{:06}", micros % 1_000_000);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::arrow::array::{
        DictionaryArray, FixedSizeBinaryArray, Int16Array, LargeStringArray, NullArray, StringViewArray,
        TimestampNanosecondArray, TimestampSecondArray,
    };
    use datafusion::arrow::datatypes::{Int32Type, Int64Type};

    use super::*;

    fn lines(column: ArrayRef) -> Vec<String> {
        let cells = Cells::of(&column).unwrap();
        let line = |row| {
            let mut out = Vec::new();
            cells.write(row, &mut out);
            String::from_utf8(out).unwrap()
        };
        (0..column.len()).map(line).collect()
    }

    #[test]
    fn values_are_written_as_the_server_reads_them() {
        let text = ["a\tb\nc\r\\", "", "\\N", "é\u{1F600}"];
        let escaped = ["a\\tb\\nc\\r\\\\", "", "\\\\N", "é\u{1F600}"];
        for column in [
            Arc::new(StringArray::from(text.to_vec())) as ArrayRef,
            Arc::new(LargeStringArray::from(text.to_vec())),
            Arc::new(StringViewArray::from(text.to_vec())),
            Arc::new(text.into_iter().collect::<DictionaryArray<Int32Type>>()),
        ] {
            assert_eq!(lines(column), escaped);
        }
        let days = vec![0, 19_358, -719_528, -719_529, 2_932_897];
        for (column, expected) in [
            (Arc::new(BooleanArray::from(vec![Some(true), Some(false), None])) as ArrayRef, vec!["t", "f", "\\N"]),
            (Arc::new(Int16Array::from(vec![i16::MIN, 7])), vec!["-32768", "7"]),
            (Arc::new(UInt64Array::from(vec![u64::MAX])), vec!["18446744073709551615"]),
            (Arc::new(Float32Array::from(vec![0.1, f32::NAN])), vec!["0.1", "NaN"]),
            (
                Arc::new(Float64Array::from(vec![-0.0, 1e300, f64::INFINITY, f64::NEG_INFINITY])),
                vec!["-0.0", "1e300", "Infinity", "-Infinity"],
            ),
            (Arc::new(Decimal128Array::from(vec![-12_345]).with_precision_and_scale(10, 2).unwrap()), vec!["-123.45"]),
            (Arc::new(BinaryArray::from(vec![&b"\x00\xff"[..]])), vec!["\\\\x00ff"]),
            (Arc::new(FixedSizeBinaryArray::try_from_iter([[1_u8, 2]].into_iter()).unwrap()), vec!["\\\\x0102"]),
            (
                Arc::new(Date32Array::from(days)),
                vec!["1970-01-01", "2023-01-01", "0001-01-01 BC", "0002-12-31 BC", "10000-01-01"],
            ),
            (
                Arc::new(TimestampNanosecondArray::from(vec![1_767_225_600_123_456_789, -1_000])),
                vec!["2026-01-01 00:00:00.123456+00", "1969-12-31 23:59:59.999999+00"],
            ),
            (
                Arc::new(TimestampSecondArray::from(vec![951_782_399]).with_timezone("UTC")),
                vec!["2000-02-28 23:59:59+00"],
            ),
            (Arc::new(Time64MicrosecondArray::from(vec![86_399_000_001])), vec!["23:59:59.000001"]),
            (Arc::new(NullArray::new(1)), vec!["\\N"]),
            (
                Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>([
                    Some(vec![Some(1), None]),
                    None,
                    Some(vec![]),
                ])),
                vec!["{\"1\",NULL}", "\\N", "{}"],
            ),
        ] {
            assert_eq!(lines(column), expected);
        }
    }

    #[test]
    fn texts_in_arrays_are_quoted_for_the_array_and_then_for_the_line() {
        let mut lists = datafusion::arrow::array::ListBuilder::new(datafusion::arrow::array::StringBuilder::new());
        lists.append_value([Some("a\"b\\,\n"), Some("NULL"), None]);
        let expected = "{\"a\\\\\"b\\\\\\\\,\\n\",\"NULL\",NULL}";
        assert_eq!(lines(Arc::new(lists.finish())), [expected]);
        let sliced = ListArray::from_iter_primitive::<Int64Type, _, _>([Some(vec![Some(1)]), Some(vec![Some(2)])]);
        assert_eq!(lines(Arc::new(sliced.slice(1, 1))), ["{\"2\"}"]);
    }

    #[test]
    fn times_beyond_the_calendar_are_an_error_not_a_null() {
        let column: ArrayRef = Arc::new(TimestampSecondArray::from(vec![i64::MAX]));
        assert!(Cells::of(&column).is_err());
    }
}
