//! Parquet as the lake keeps it: zstd, and equal bytes for equal rows (no versions or times in the file). Everything that
//! writes or reads a dataset as Arrow batches goes through here; what the columns mean is the tasks' matter.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use datafusion::arrow::compute::{cast, concat_batches};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use datafusion::parquet::basic::{Compression, ZstdLevel};
use datafusion::parquet::errors::ParquetError;
use datafusion::parquet::file::properties::WriterProperties;
use datafusion::parquet::file::reader::{FileReader, SerializedFileReader};
use updraft_task::lake::sha256_hex;
use updraft_task::{Column, Dataset, Format, Lake, TaskError};

/// Rows of a row group: part of the bytes, so fixed here.
const ROW_GROUP_ROWS: usize = 128 * 1024;

fn fault(doing: &str, error: &ParquetError) -> TaskError {
    TaskError::fail("BadParquet", format!("cannot {doing} Parquet: {error}"))
}

fn arrow_fault(error: &ArrowError) -> TaskError {
    TaskError::fail("BadParquet", format!("the rows do not fit their columns: {error}"))
}

/// The type that is stored: views and dictionaries are how a query computes, not what a column is.
fn stored_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Utf8View | DataType::LargeUtf8 => DataType::Utf8,
        DataType::BinaryView | DataType::LargeBinary => DataType::Binary,
        DataType::Dictionary(_, value) => stored_type(value),
        other => other.clone(),
    }
}

/// The schema that is stored for rows of this schema: without metadata, with stored types.
pub fn stored_schema(schema: &Schema) -> SchemaRef {
    let fields: Vec<Field> = schema
        .fields()
        .iter()
        .map(|field| Field::new(field.name(), stored_type(field.data_type()), field.is_nullable()))
        .collect();
    Arc::new(Schema::new(fields))
}

/// The columns of a schema as a dataset names them.
pub fn columns(schema: &Schema) -> Vec<Column> {
    let column = |field: &Arc<Field>| Column {
        name: field.name().clone(),
        data_type: field.data_type().to_string(),
        nullable: field.is_nullable(),
    };
    schema.fields().iter().map(column).collect()
}

/// Encodes rows as they come. The same rows give the same bytes, however they are cut into batches.
pub struct Encoder<W: Write + Send = Vec<u8>> {
    schema: SchemaRef,
    writer: ArrowWriter<W>,
    pending: Vec<RecordBatch>,
    pending_rows: usize,
    rows: u64,
}

impl Encoder {
    /// For rows of this schema.
    ///
    /// # Errors
    /// `fail` `BadParquet`.
    pub fn new(schema: &Schema) -> Result<Self, TaskError> {
        Self::over(schema, Vec::new())
    }

    /// The file: bytes, rows, columns.
    ///
    /// # Errors
    /// `fail` `BadParquet`.
    pub fn finish(self) -> Result<Encoded, TaskError> {
        let (columns, rows, bytes) = self.close()?;
        Ok(Encoded { columns, rows, bytes: bytes.into() })
    }
}

impl<W: Write + Send> Encoder<W> {
    /// For rows of this schema, which go to `out` by row groups: memory does not grow with their number.
    ///
    /// # Errors
    /// `fail` `BadParquet`.
    pub fn over(schema: &Schema, out: W) -> Result<Self, TaskError> {
        let schema = stored_schema(schema);
        let level = ZstdLevel::try_new(3).map_err(|error| fault("write", &error))?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(level))
            .set_created_by("updraft".to_owned())
            .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
            .build();
        let writer =
            ArrowWriter::try_new(out, Arc::clone(&schema), Some(properties)).map_err(|error| fault("write", &error))?;
        Ok(Self { schema, writer, pending: Vec::new(), pending_rows: 0, rows: 0 })
    }

    /// Adds rows.
    ///
    /// # Errors
    /// `fail` `BadParquet`: they do not fit the schema.
    pub fn push(&mut self, batch: &RecordBatch) -> Result<(), TaskError> {
        let columns = batch
            .columns()
            .iter()
            .zip(self.schema.fields())
            .map(|(column, field)| {
                if column.data_type() == field.data_type() {
                    Ok(Arc::clone(column))
                } else {
                    cast(column, field.data_type())
                }
            })
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| arrow_fault(&error))?;
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns).map_err(|error| arrow_fault(&error))?;
        let mut rest = batch;
        // Pages are cut where the writer is called, so it is called at fixed row numbers.
        while self.pending_rows + rest.num_rows() >= ROW_GROUP_ROWS {
            let take = ROW_GROUP_ROWS - self.pending_rows;
            self.pending.push(rest.slice(0, take));
            self.flush()?;
            rest = rest.slice(take, rest.num_rows() - take);
        }
        if rest.num_rows() > 0 {
            self.pending_rows += rest.num_rows();
            self.pending.push(rest);
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), TaskError> {
        let batch = concat_batches(&self.schema, &self.pending).map_err(|error| arrow_fault(&error))?;
        self.pending.clear();
        self.pending_rows = 0;
        self.rows += batch.num_rows() as u64;
        self.writer.write(&batch).map_err(|error| fault("write", &error))
    }

    /// Ends the row group before it is full, where rows are long. To be called at the same rows each time, since row groups
    /// are part of the bytes.
    ///
    /// # Errors
    /// `fail` `BadParquet`.
    pub fn cut(&mut self) -> Result<(), TaskError> {
        self.flush()?;
        self.writer.flush().map_err(|error| fault("write", &error))
    }

    /// Ends the file: columns, number of rows, and where it was written.
    ///
    /// # Errors
    /// `fail` `BadParquet`.
    pub fn close(mut self) -> Result<(Vec<Column>, u64, W), TaskError> {
        self.flush()?;
        let out = self.writer.into_inner().map_err(|error| fault("write", &error))?;
        Ok((columns(&self.schema), self.rows, out))
    }
}

/// A Parquet file in memory.
#[derive(Debug, Clone)]
pub struct Encoded {
    /// Its columns.
    pub columns: Vec<Column>,
    /// Number of rows.
    pub rows: u64,
    /// The file.
    pub bytes: Bytes,
}

impl Encoded {
    /// Puts the file into the lake and answers its handle.
    ///
    /// # Errors
    /// As [`Lake::put`].
    pub async fn put(self, lake: &Lake, key: &str, batch_id: Option<&str>) -> Result<Dataset, TaskError> {
        let dataset = Dataset {
            uri: key.to_owned(),
            format: Format::Parquet,
            schema: self.columns,
            rows: self.rows,
            bytes: self.bytes.len() as u64,
            sha256: sha256_hex(&self.bytes),
            batch_id: batch_id.map(str::to_owned),
        };
        lake.put(key, self.bytes).await?;
        Ok(dataset)
    }
}

/// Encodes batches into one file.
///
/// # Errors
/// `fail` `BadParquet`.
pub fn encode(schema: &Schema, batches: &[RecordBatch]) -> Result<Encoded, TaskError> {
    let mut encoder = Encoder::new(schema)?;
    for batch in batches {
        encoder.push(batch)?;
    }
    encoder.finish()
}

/// Writes batches as one dataset. No batches give a file without rows that still has its columns.
///
/// # Errors
/// `fail` `BadParquet`; as [`Lake::put`].
pub async fn write_batches(
    lake: &Lake,
    key: &str,
    schema: &Schema,
    batches: &[RecordBatch],
    batch_id: Option<&str>,
) -> Result<Dataset, TaskError> {
    encode(schema, batches)?.put(lake, key, batch_id).await
}

fn must_be_parquet(dataset: &Dataset) -> Result<(), TaskError> {
    if dataset.format != Format::Parquet {
        return Err(TaskError::fail(
            "BadParquet",
            format!(
                "`{}` is {:?}, but Parquet is needed: bring it into that form with sql.transform",
                dataset.uri, dataset.format
            ),
        ));
    }
    Ok(())
}

/// Reads a dataset whole, after checking its bytes against its sum.
///
/// # Errors
/// As [`Lake::read`]; `fail` `BadParquet`: it is not Parquet, or is broken.
pub async fn read_batches(lake: &Lake, dataset: &Dataset) -> Result<(SchemaRef, Vec<RecordBatch>), TaskError> {
    must_be_parquet(dataset)?;
    decode(lake.read(dataset).await?).map_err(|error| error.context(format!("`{}`", dataset.uri)))
}

/// Reads a dataset batch by batch from a copy on disk, whose bytes were checked against its sum: memory does not grow with
/// the dataset.
///
/// # Errors
/// As [`Lake::download`]; `fail` `BadParquet`: it is not Parquet, or is broken.
pub async fn stream_batches(
    lake: &Lake,
    dataset: &Dataset,
    file: &Path,
) -> Result<impl Iterator<Item = Result<RecordBatch, TaskError>> + Send + use<>, TaskError> {
    must_be_parquet(dataset)?;
    lake.download(dataset, file).await?;
    let opened = std::fs::File::open(file)
        .map_err(|error| TaskError::retry("Lake", format!("cannot open the copy of `{}`: {error}", dataset.uri)))?;
    let reader = ParquetRecordBatchReaderBuilder::try_new(opened)
        .and_then(ParquetRecordBatchReaderBuilder::build)
        .map_err(|error| fault("read", &error).context(format!("`{}`", dataset.uri)))?;
    let uri = dataset.uri.clone();
    Ok(reader.map(move |batch| batch.map_err(|error| arrow_fault(&error).context(format!("`{uri}`")))))
}

/// The columns of a copy on disk, as rows of it have them.
///
/// # Errors
/// `fail` `BadParquet`; `retry` `Lake`: it cannot be opened.
pub fn copy_schema(file: &Path) -> Result<SchemaRef, TaskError> {
    let opened = std::fs::File::open(file)
        .map_err(|error| TaskError::retry("Lake", format!("cannot open the copy {}: {error}", file.display())))?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(opened).map_err(|error| fault("read", &error))?;
    Ok(Arc::clone(builder.schema()))
}

/// Decodes a file.
///
/// # Errors
/// `fail` `BadParquet`.
pub fn decode(bytes: Bytes) -> Result<(SchemaRef, Vec<RecordBatch>), TaskError> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes).map_err(|error| fault("read", &error))?;
    let schema = Arc::clone(builder.schema());
    let reader = builder.build().map_err(|error| fault("read", &error))?;
    let batches = reader.collect::<Result<Vec<_>, _>>().map_err(|error| arrow_fault(&error))?;
    Ok((schema, batches))
}

/// The columns and the number of rows that a file says it has.
///
/// # Errors
/// `fail` `BadParquet`.
pub fn described(bytes: Bytes) -> Result<(Vec<Column>, u64), TaskError> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes).map_err(|error| fault("read", &error))?;
    let rows = u64::try_from(builder.metadata().file_metadata().num_rows()).unwrap_or(0);
    Ok((columns(builder.schema()), rows))
}

/// Number of rows that a file says it has.
///
/// # Errors
/// `fail` `BadParquet`.
pub fn row_count(bytes: Bytes) -> Result<u64, TaskError> {
    let reader = SerializedFileReader::new(bytes).map_err(|error| fault("read", &error))?;
    Ok(u64::try_from(reader.metadata().file_metadata().num_rows()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{Float64Array, StringArray, TimestampMillisecondArray};
    use datafusion::arrow::datatypes::TimeUnit;
    use updraft_task::testing::TestRun;

    use super::*;

    fn rows(count: usize) -> RecordBatch {
        let schema = Schema::new(vec![
            Field::new("icao24", DataType::Utf8, false),
            Field::new("velocity_mps", DataType::Float64, true),
            Field::new("snapshot_time", DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())), false),
        ]);
        let ids: StringArray = (0..count).map(|row| Some(format!("{row:06x}"))).collect();
        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        let speeds: Float64Array = (0..count).map(|row| (row % 3 != 0).then_some(row as f64)).collect();
        let times = TimestampMillisecondArray::from(vec![1_767_225_600_123; count]).with_timezone("UTC");
        RecordBatch::try_new(Arc::new(schema), vec![Arc::new(ids), Arc::new(speeds), Arc::new(times)]).unwrap()
    }

    #[tokio::test]
    async fn rows_come_back_with_their_types_and_their_sum() {
        let folder = tempfile::tempdir().unwrap();
        let lake = TestRun::new(folder.path()).context("t", 1, None).lake().unwrap();
        let batch = rows(10);
        let dataset = write_batches(&lake, "x/a.parquet", &batch.schema(), std::slice::from_ref(&batch), Some("w/b"))
            .await
            .unwrap();
        assert_eq!((dataset.rows, dataset.batch_id.as_deref()), (10, Some("w/b")));
        assert_eq!(dataset.schema[2].data_type, "Timestamp(ms, \"UTC\")");
        assert!(!dataset.schema[0].nullable);
        let (schema, read) = read_batches(&lake, &dataset).await.unwrap();
        assert_eq!(schema, batch.schema());
        assert_eq!(read, vec![batch]);
        assert_eq!(row_count(lake.get("x/a.parquet").await.unwrap()).unwrap(), 10);

        lake.put("x/a.parquet", "other bytes").await.unwrap();
        assert_eq!(read_batches(&lake, &dataset).await.unwrap_err().class(), "CorruptDataset");
    }

    #[test]
    fn equal_rows_give_equal_bytes_however_they_are_cut() {
        let batch = rows(150_000);
        let whole = encode(&batch.schema(), std::slice::from_ref(&batch)).unwrap();
        let cut: Vec<RecordBatch> =
            (0..150_000).step_by(7_000).map(|at| batch.slice(at, 7_000.min(150_000 - at))).collect();
        let parts = encode(&batch.schema(), &cut).unwrap();
        assert_eq!(whole.rows, 150_000);
        assert_eq!(sha256_hex(&whole.bytes), sha256_hex(&parts.bytes));
    }

    #[test]
    fn a_file_without_rows_keeps_its_columns_and_views_are_stored_as_text() {
        let schema = Schema::new(vec![Field::new("name", DataType::Utf8View, true)]);
        let empty = encode(&schema, &[]).unwrap();
        assert_eq!((empty.rows, empty.columns[0].data_type.as_str()), (0, "Utf8"));
        let (read, batches) = decode(empty.bytes).unwrap();
        assert_eq!((read.fields().len(), batches.len()), (1, 0));
    }

    #[test]
    fn bytes_that_are_not_parquet_are_refused() {
        assert_eq!(decode(Bytes::from_static(b"no")).unwrap_err().class(), "BadParquet");
    }
}
