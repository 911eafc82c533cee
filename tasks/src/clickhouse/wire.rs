//! Record batches as blocks of ClickHouse's Native format: which columns fit which, and values on their way. What a type of
//! the table cannot hold is refused here, since the server would cut it or wrap it around without a word. Memory does not
//! grow with the rows: a thread encodes what the connection sends.

use clickhouse::native::Block;
use clickhouse::native::builder::BlockBuilder;
use datafusion::arrow::datatypes::{DataType, Schema};
use datafusion::arrow::record_batch::RecordBatch;
use tokio::sync::mpsc;
use updraft_task::{Context, TaskError};

use super::Server;
use super::table::{Column, Table};
use crate::database::{BAD_COLUMN, ROW_REFUSED};
use cells::Refused;

mod cells;

/// Rows of a block.
const BLOCK_ROWS: usize = 32 * 1024;
/// Column that keeps the rows' order in a table of ours.
pub(crate) const ROW: &str = "updraft_row";

/// How values of a column travel, and what of them the table can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wire {
    /// Nulls alone.
    Null,
    /// `Bool`.
    Bool,
    /// Whole numbers between two ends.
    Integer { least: i128, most: i128 },
    /// `Float64`.
    Double,
    /// `Float32`: rounded, but what was finite stays finite.
    Single,
    /// Texts and bytes; of exactly so many bytes in a `FixedString`.
    Text { exactly: Option<usize> },
    /// As text, which the server reads.
    Decimal,
    /// `DateTime`: whole seconds.
    Seconds,
    /// `DateTime64`: digits of the second that it keeps.
    Ticks { digits: u8 },
    /// `Date`.
    Day,
    /// `Date32`.
    LongDay,
}

/// A column of a dataset, and where it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Planned {
    /// Its name, here and there.
    pub name: String,
    /// Its type in the table.
    pub data_type: String,
    wire: Wire,
    nullable: bool,
}

/// Where a dataset's columns go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    /// The dataset's columns, in its order.
    pub columns: Vec<Planned>,
}

impl Plan {
    /// Compares a dataset's columns with a table's, and names all that is wrong at once.
    ///
    /// # Errors
    /// `fail` `BadColumn`.
    pub(crate) fn new(schema: &Schema, table: &Table) -> Result<Self, TaskError> {
        let mut columns: Vec<Planned> = Vec::new();
        let mut wrong = Vec::new();
        for field in schema.fields() {
            let (name, data_type) = (field.name(), field.data_type());
            if columns.iter().any(|known| known.name == *name) {
                wrong.push(format!("the dataset has two columns `{name}`"));
                continue;
            }
            let Some(column) = table.column(name) else {
                wrong.push(format!("`{name}` ({data_type}) is not in the table"));
                continue;
            };
            if !column.insertable() {
                wrong.push(format!("`{name}` is computed by the table ({}) and takes no values", column.default_kind));
                continue;
            }
            let (base, nullable) = bare(&column.data_type);
            match wire(base, data_type) {
                Some(wire) => {
                    columns.push(Planned { name: name.clone(), data_type: column.data_type.clone(), wire, nullable });
                }
                None => {
                    wrong.push(format!("`{name}` is {data_type} in the dataset and {} in the table", column.data_type));
                }
            }
        }
        for column in &table.columns {
            if schema.field_with_name(&column.name).is_err() {
                wrong.extend(left_open(column));
            }
        }
        if wrong.is_empty() {
            return Ok(Self { columns });
        }
        Err(TaskError::fail(
            BAD_COLUMN.name,
            format!(
                "the dataset does not fit {}: {}. Bring it into the table's form by sql.transform, or change the table by a \
                 new file of clickhouse.migrate",
                table.in_sql(),
                wrong.join("; ")
            ),
        ))
    }

    /// The columns' names.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|column| column.name.as_str())
    }
}

/// Why a column of the table that the dataset does not have cannot be left open.
fn left_open(column: &Column) -> Option<String> {
    let (name, data_type) = (&column.name, &column.data_type);
    if column.in_key > 0 {
        return Some(format!("`{name}` is part of the table's key and not in the dataset"));
    }
    if column.in_partition > 0 {
        return Some(format!("`{name}` decides on the table's partition and is not in the dataset"));
    }
    // The server would fill in zeros and empty texts.
    let open = column.default_kind.is_empty() && !bare(data_type).1;
    open.then(|| format!("`{name}` ({data_type}) takes no nulls, has no default and is not in the dataset"))
}

/// A type without what is around it, and whether it takes nulls: `LowCardinality(Nullable(String))` is `String` and does.
pub(crate) fn bare(data_type: &str) -> (&str, bool) {
    let (mut base, mut nullable) = (data_type.trim(), false);
    loop {
        let inner = |prefix: &str| base.strip_prefix(prefix).and_then(|rest| rest.strip_suffix(')'));
        if let Some(inside) = inner("Nullable(") {
            (base, nullable) = (inside, true);
        } else if let Some(inside) = inner("LowCardinality(") {
            base = inside;
        } else if let Some((_, inside)) = inner("SimpleAggregateFunction(").and_then(|rest| rest.split_once(", ")) {
            base = inside;
        } else {
            return (base, nullable);
        }
    }
}

/// How what Arrow holds goes into a type of ClickHouse; `None` if it does not, without taking another meaning.
fn wire(base: &str, data_type: &DataType) -> Option<Wire> {
    let (name, rest) = base.split_once('(').unwrap_or((base, ""));
    let rest = rest.trim_end_matches(')');
    match data_type {
        DataType::Null => Some(Wire::Null),
        DataType::Boolean => (name == "Bool").then_some(Wire::Bool),
        other if other.is_integer() => {
            if matches!(name, "Float32" | "Float64" | "Enum8" | "Enum16") {
                return Some(Wire::Integer { least: i128::from(i64::MIN), most: i128::from(u64::MAX) });
            }
            let (signed, bits) = name
                .strip_prefix("Int")
                .map(|bits| (true, bits))
                .or_else(|| name.strip_prefix("UInt").map(|bits| (false, bits)))?;
            // What travels has at most 64 bits.
            let bits: u32 = bits.parse::<u32>().ok()?.min(if signed { 127 } else { 64 });
            let (least, most) =
                if signed { (-(1_i128 << (bits - 1)), (1_i128 << (bits - 1)) - 1) } else { (0, (1_i128 << bits) - 1) };
            Some(Wire::Integer { least, most })
        }
        DataType::Float16 | DataType::Float32 | DataType::Float64 => match name {
            "Float64" => Some(Wire::Double),
            "Float32" => Some(Wire::Single),
            _ => None,
        },
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale) => {
            let (there_precision, there_scale) = rest.split_once(", ")?;
            let (there_precision, there_scale): (i16, i16) = (there_precision.parse().ok()?, there_scale.parse().ok()?);
            let (precision, scale) = (i16::from(*precision), i16::from(*scale));
            let holds = there_scale >= scale && there_precision - there_scale >= precision - scale;
            (name == "Decimal" && holds).then_some(Wire::Decimal)
        }
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => match name {
            "FixedString" => Some(Wire::Text { exactly: Some(rest.parse().ok()?) }),
            "String" | "Enum8" | "Enum16" | "UUID" | "IPv4" | "IPv6" | "JSON" => Some(Wire::Text { exactly: None }),
            _ => None,
        },
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => match name {
            "FixedString" => Some(Wire::Text { exactly: Some(rest.parse().ok()?) }),
            "String" => Some(Wire::Text { exactly: None }),
            _ => None,
        },
        DataType::Dictionary(_, value) => wire(base, value),
        DataType::Date32 | DataType::Date64 => match name {
            "Date" => Some(Wire::Day),
            "Date32" => Some(Wire::LongDay),
            _ => None,
        },
        // A time without a zone is UTC; the zone of a column is only how it is shown.
        DataType::Timestamp(_, _) => match name {
            "DateTime" => Some(Wire::Seconds),
            "DateTime64" => Some(Wire::Ticks { digits: rest.split(',').next()?.trim().parse().ok()? }),
            _ => None,
        },
        _ => None,
    }
}

/// Sends rows into a table that has the plan's columns and [`ROW`]; says how many there were. Rows are numbered from `first`.
///
/// # Errors
/// As the rows' reader; `fail` `RowRefused`: a value is beyond what its column holds; as the server's errors.
pub(crate) async fn copy_in(
    server: &Server,
    ctx: &Context,
    into: &str,
    plan: &Plan,
    first: u64,
    rows: impl Iterator<Item = Result<RecordBatch, TaskError>> + Send + 'static,
) -> Result<u64, TaskError> {
    let (sender, mut blocks) = mpsc::channel::<Block>(1);
    let plan = plan.clone();
    let encoder = tokio::task::spawn_blocking(move || encode(rows, &plan, first, &sender));
    let mut insert = None;
    let mut sent = 0;
    while let Some(block) = blocks.recv().await {
        let open = insert.get_or_insert_with(|| server.insert(into));
        server.during(open.write(&block)).await?;
        sent += block.num_rows() as u64;
        ctx.progress(first + sent, None, "rows");
    }
    // What an insert has brought so far lies in a table of ours, which goes.
    encoder
        .await
        .map_err(|error| TaskError::retry("Lake", format!("reading the dataset was broken off: {error}")))??;
    if let Some(insert) = insert {
        server.during(insert.end()).await?;
    }
    Ok(sent)
}

fn encode(
    rows: impl Iterator<Item = Result<RecordBatch, TaskError>>,
    plan: &Plan,
    first: u64,
    sender: &mpsc::Sender<Block>,
) -> Result<(), TaskError> {
    let mut builder = BlockBuilder::new();
    let (mut seen, mut open) = (first, 0);
    for batch in rows {
        let batch = batch?;
        for (planned, column) in plan.columns.iter().zip(batch.columns()) {
            let refused = |refused: Refused| {
                let row =
                    refused.row.map_or_else(String::new, |row| format!("row {}: ", seen - first + row as u64 + 1));
                TaskError::fail(
                    ROW_REFUSED.name,
                    format!("{row}`{}` ({}): {}", planned.name, planned.data_type, refused.reason),
                )
            };
            let nulls = column.logical_nulls().filter(|nulls| !planned.nullable && nulls.null_count() > 0);
            if let Some(nulls) = nulls {
                let row = nulls.iter().position(|there| !there);
                return Err(refused(Refused { row, reason: "a null, which the column does not take".to_owned() }));
            }
            cells::add(&mut builder, &planned.name, planned.wire, column).map_err(refused)?;
        }
        cells::number(&mut builder, ROW, seen, batch.num_rows())
            .map_err(|refused| TaskError::fail(ROW_REFUSED.name, refused.reason))?;
        seen += batch.num_rows() as u64;
        open += batch.num_rows();
        if open >= BLOCK_ROWS {
            open = 0;
            // Nobody receives any more: the insert has failed, and says why.
            if sender.blocking_send(built(&mut builder)?).is_err() {
                return Ok(());
            }
        }
    }
    if open > 0 {
        let _ = sender.blocking_send(built(&mut builder)?);
    }
    Ok(())
}

fn built(builder: &mut BlockBuilder) -> Result<Block, TaskError> {
    builder.build().map_err(|error| TaskError::fail(ROW_REFUSED.name, format!("the rows cannot be sent: {error}")))
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::datatypes::{Field, TimeUnit};

    use super::*;

    fn column(name: &str, data_type: &str, default_kind: &str, in_key: u8) -> Column {
        Column {
            name: name.to_owned(),
            data_type: data_type.to_owned(),
            default_kind: default_kind.to_owned(),
            in_key,
            in_partition: 0,
        }
    }

    #[test]
    fn all_that_does_not_fit_is_said_at_once() {
        let table = Table {
            database: "d".to_owned(),
            name: "t".to_owned(),
            engine: "MergeTree".to_owned(),
            key: "id".to_owned(),
            partition: String::new(),
            columns: vec![
                column("id", "Int64", "", 1),
                column("speed", "Nullable(Float64)", "", 0),
                column("must", "String", "", 0),
                column("may", "Nullable(String)", "", 0),
                column("at", "DateTime", "DEFAULT", 0),
                column("made", "Int64", "MATERIALIZED", 0),
            ],
        };
        let fields = [("speed", DataType::Utf8), ("more", DataType::Int32), ("made", DataType::Int64)];
        let schema = Schema::new(fields.map(|(name, data_type)| Field::new(name, data_type, true)).to_vec());
        let error = Plan::new(&schema, &table).unwrap_err();
        assert_eq!(error.class(), "BadColumn");
        for part in [
            "`speed` is Utf8 in the dataset and Nullable(Float64) in the table",
            "`more` (Int32) is not in the table",
            "`made` is computed by the table (MATERIALIZED)",
            "`id` is part of the table's key",
            "`must` (String) takes no nulls",
        ] {
            assert!(error.message().contains(part), "{part}: {error}");
        }
        assert!(!error.message().contains("`may`") && !error.message().contains("`at`"), "{error}");
    }

    #[test]
    fn what_is_around_a_type_is_taken_off() {
        for (data_type, base, nullable) in [
            ("String", "String", false),
            ("LowCardinality(Nullable(String))", "String", true),
            ("Nullable(DateTime64(3, 'UTC'))", "DateTime64(3, 'UTC')", true),
            ("SimpleAggregateFunction(max, Nullable(Float64))", "Float64", true),
            ("Array(Nullable(String))", "Array(Nullable(String))", false),
        ] {
            assert_eq!(bare(data_type), (base, nullable));
        }
    }

    #[test]
    fn types_meet_their_like_and_nothing_else() {
        let instant = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
        let words = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
        for (base, data_type, expected) in [
            ("Int8", DataType::Int64, Some(Wire::Integer { least: -128, most: 127 })),
            ("UInt64", DataType::Int8, Some(Wire::Integer { least: 0, most: i128::from(u64::MAX) })),
            ("UInt256", DataType::Int8, Some(Wire::Integer { least: 0, most: i128::from(u64::MAX) })),
            ("Int256", DataType::UInt64, Some(Wire::Integer { least: -(1 << 126), most: (1 << 126) - 1 })),
            ("Int64", DataType::Float64, None),
            ("String", DataType::Int64, None),
            ("Int8", DataType::Boolean, None),
            ("FixedString(6)", DataType::Utf8, Some(Wire::Text { exactly: Some(6) })),
            ("String", words, Some(Wire::Text { exactly: None })),
            ("Enum8('a' = 1)", DataType::Utf8, Some(Wire::Text { exactly: None })),
            ("DateTime('UTC')", instant.clone(), Some(Wire::Seconds)),
            ("DateTime64(3, 'UTC')", instant.clone(), Some(Wire::Ticks { digits: 3 })),
            ("DateTime64(6)", instant.clone(), Some(Wire::Ticks { digits: 6 })),
            ("Date", instant.clone(), None),
            ("DateTime", DataType::Utf8, None),
            ("Decimal(10, 3)", DataType::Decimal128(10, 2), None),
            ("Decimal(12, 3)", DataType::Decimal128(10, 1), Some(Wire::Decimal)),
            ("Float64", DataType::Decimal128(10, 2), None),
            ("Date32", DataType::Date32, Some(Wire::LongDay)),
            ("Array(String)", DataType::Utf8, None),
            ("AggregateFunction(count)", DataType::Int64, None),
        ] {
            assert_eq!(wire(base, &data_type), expected, "{base} {data_type}");
        }
    }
}
