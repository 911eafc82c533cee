//! Where records go: rows to one Parquet file, what cannot be a row to another one, both on disk and batch by batch.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use data_encoding::BASE64;
use datafusion::arrow::array::{ArrayRef, Int32Array, Int64Array, StringArray, TimestampMillisecondArray};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::arrow::record_batch::RecordBatch;
use rdkafka::Message as _;
use rdkafka::message::{BorrowedMessage, Headers as _};
use updraft_task::{Column, Dataset, Format, Lake, TaskError};

use super::columns::Columns;
use super::{Counts, KeyForm};
use crate::parquet::Encoder;

/// Columns that every row has beside its own.
pub(super) const PLACE: [&str; 5] = ["_topic", "_partition", "_offset", "_timestamp", "_key"];

/// Records that are decoded at once.
const BATCH_RECORDS: usize = 8_192;
/// Bytes of keys and values that wait to be decoded.
const BATCH_BYTES: usize = 8 << 20;
/// Bytes of keys and values in a row group, where 128 Ki rows have more: bounds memory.
const GROUP_BYTES: usize = 64 << 20;

/// A record.
struct Raw {
    partition: i32,
    offset: i64,
    at_ms: Option<i64>,
    key: Option<Vec<u8>>,
    value: Vec<u8>,
}

impl Raw {
    fn bytes(&self) -> usize {
        self.key.as_ref().map_or(0, Vec::len) + self.value.len()
    }
}

/// A record that is no row, and why.
struct Poison {
    record: Raw,
    check: &'static str,
    reason: String,
}

/// A Parquet file being written.
struct Part {
    encoder: Encoder<File>,
    schema: SchemaRef,
    file: PathBuf,
    group_bytes: usize,
}

impl Part {
    fn create(schema: Schema, file: PathBuf) -> Result<Self, TaskError> {
        let out = File::create(&file).map_err(|error| {
            TaskError::retry("Scratch", format!("cannot make the scratch file {}: {error}", file.display()))
        })?;
        Ok(Self { encoder: Encoder::over(&schema, out)?, schema: Arc::new(schema), file, group_bytes: 0 })
    }

    fn push(&mut self, columns: Vec<ArrayRef>, bytes: usize) -> Result<(), TaskError> {
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns)
            .map_err(|error| TaskError::fail("BadParquet", format!("the records do not fit their columns: {error}")))?;
        self.encoder.push(&batch)?;
        self.group_bytes += bytes;
        if self.group_bytes >= GROUP_BYTES {
            self.encoder.cut()?;
            self.group_bytes = 0;
        }
        Ok(())
    }

    fn close(self) -> Result<Written, TaskError> {
        let (columns, rows, _) = self.encoder.close()?;
        Ok(Written { file: self.file, columns, rows })
    }
}

/// A Parquet file on disk.
pub(super) struct Written {
    file: PathBuf,
    columns: Vec<Column>,
    pub(super) rows: u64,
}

impl Written {
    /// Puts it into the lake, over what an earlier attempt put there.
    pub(super) async fn put(self, lake: &Lake, key: &str, batch: &str) -> Result<Dataset, TaskError> {
        let (bytes, sha256) = lake.put_file(key, &self.file).await?;
        Ok(Dataset {
            uri: key.to_owned(),
            format: Format::Parquet,
            schema: self.columns,
            rows: self.rows,
            bytes,
            sha256,
            batch_id: Some(batch.to_owned()),
        })
    }
}

/// What is asked of every record.
pub(super) struct Rules {
    pub(super) topic: String,
    pub(super) columns: Columns,
    pub(super) key: KeyForm,
    /// What the header `schema` must say.
    pub(super) schema: Option<String>,
}

pub(super) struct Sink {
    rules: Rules,
    folder: PathBuf,
    rows: Part,
    quarantine: Option<Part>,
    pending: Vec<Raw>,
    pending_bytes: usize,
    poison: Vec<Poison>,
    poison_bytes: usize,
    /// Of the partition that is being read.
    counts: Counts,
}

impl Sink {
    /// Writes below `folder`.
    pub(super) fn create(rules: Rules, folder: &Path) -> Result<Self, TaskError> {
        let mut fields: Vec<Arc<Field>> = rules.columns.fields().iter().map(Arc::clone).collect();
        let [topic, partition, offset, at, key] = PLACE;
        fields.extend(
            [
                Field::new(topic, DataType::Utf8, false),
                Field::new(partition, DataType::Int32, false),
                Field::new(offset, DataType::Int64, false),
                Field::new(at, instant(), true),
                Field::new(key, DataType::Utf8, true),
            ]
            .map(Arc::new),
        );
        let rows = Part::create(Schema::new(fields), folder.join("rows.parquet"))?;
        Ok(Self {
            rules,
            folder: folder.to_owned(),
            rows,
            quarantine: None,
            pending: Vec::new(),
            pending_bytes: 0,
            poison: Vec::new(),
            poison_bytes: 0,
            counts: Counts::default(),
        })
    }

    /// Takes a record.
    pub(super) fn take(&mut self, message: &BorrowedMessage<'_>) -> Result<(), TaskError> {
        self.counts.read += 1;
        let Some(value) = message.payload() else {
            self.counts.tombstones += 1;
            return Ok(());
        };
        let record = Raw {
            partition: message.partition(),
            offset: message.offset(),
            at_ms: message.timestamp().to_millis(),
            key: message.key().map(<[u8]>::to_vec),
            value: value.to_vec(),
        };
        if let Some((check, reason)) = self.refuse(message, &record) {
            return self.set_aside(record, check, reason);
        }
        self.pending_bytes += record.bytes();
        self.pending.push(record);
        if self.pending.len() >= BATCH_RECORDS || self.pending_bytes >= BATCH_BYTES {
            self.decode_pending()?;
        }
        Ok(())
    }

    fn refuse(&self, message: &BorrowedMessage<'_>, record: &Raw) -> Option<(&'static str, String)> {
        if let Some(wanted) = &self.rules.schema {
            let found = message.headers().into_iter().flat_map(|headers| headers.iter());
            let found = found.filter(|header| header.key == "schema").last().and_then(|header| header.value);
            if found != Some(wanted.as_bytes()) {
                let found = found.map_or("none".into(), String::from_utf8_lossy);
                return Some(("schema", format!("the header `schema` is {found} and not {wanted}")));
            }
        }
        if self.rules.key == KeyForm::Text
            && let Some(Err(error)) = record.key.as_deref().map(std::str::from_utf8)
        {
            return Some(("key", format!("the key is not UTF-8 ({error}): set `key: base64` to take it as bytes")));
        }
        self.rules.columns.refuse(&record.value)
    }

    /// Ends a partition: answers what was found in it.
    pub(super) fn next_partition(&mut self) -> Result<Counts, TaskError> {
        self.decode_pending()?;
        Ok(std::mem::take(&mut self.counts))
    }

    /// Ends both files. The one of what is set aside is there if anything is.
    pub(super) fn close(mut self) -> Result<(Written, Option<Written>), TaskError> {
        self.decode_pending()?;
        self.write_poison()?;
        Ok((self.rows.close()?, self.quarantine.map(Part::close).transpose()?))
    }

    fn decode_pending(&mut self) -> Result<(), TaskError> {
        self.pending_bytes = 0;
        let pending = std::mem::take(&mut self.pending);
        if pending.is_empty() { Ok(()) } else { self.decode(pending) }
    }

    /// One that does not fit is found by halves: most often all fit.
    fn decode(&mut self, mut records: Vec<Raw>) -> Result<(), TaskError> {
        let reason = match self.rules.columns.decode(records.iter().map(|record| record.value.as_slice())) {
            Ok(columns) => return self.write_rows(columns, &records),
            Err(reason) => reason,
        };
        let half = records.split_off(records.len() / 2);
        if !records.is_empty() {
            self.decode(records)?;
            return self.decode(half);
        }
        half.into_iter().try_for_each(|record| self.set_aside(record, "columns", reason.clone()))
    }

    fn write_rows(&mut self, mut columns: Vec<ArrayRef>, records: &[Raw]) -> Result<(), TaskError> {
        let key = |record: &Raw| {
            record.key.as_ref().map(|key| match self.rules.key {
                KeyForm::Text => String::from_utf8_lossy(key).into_owned(),
                KeyForm::Base64 => BASE64.encode(key),
            })
        };
        let topics: StringArray = records.iter().map(|_| Some(self.rules.topic.as_str())).collect();
        let partitions: Int32Array = records.iter().map(|record| Some(record.partition)).collect();
        let offsets: Int64Array = records.iter().map(|record| Some(record.offset)).collect();
        let keys: StringArray = records.iter().map(key).collect();
        columns.extend([
            Arc::new(topics) as ArrayRef,
            Arc::new(partitions),
            Arc::new(offsets),
            Arc::new(instants(records.iter())),
            Arc::new(keys),
        ]);
        self.rows.push(columns, records.iter().map(Raw::bytes).sum())
    }

    fn set_aside(&mut self, record: Raw, check: &'static str, reason: String) -> Result<(), TaskError> {
        self.counts.quarantined += 1;
        self.poison_bytes += record.bytes();
        self.poison.push(Poison { record, check, reason });
        if self.poison.len() >= BATCH_RECORDS || self.poison_bytes >= BATCH_BYTES {
            self.write_poison()?;
        }
        Ok(())
    }

    fn write_poison(&mut self) -> Result<(), TaskError> {
        let poison = std::mem::take(&mut self.poison);
        let bytes = std::mem::take(&mut self.poison_bytes);
        if poison.is_empty() {
            return Ok(());
        }
        let text = |of: fn(&Poison) -> &str| poison.iter().map(|poison| Some(of(poison))).collect::<StringArray>();
        let topics: StringArray = poison.iter().map(|_| Some(self.rules.topic.as_str())).collect();
        let partitions: Int32Array = poison.iter().map(|poison| Some(poison.record.partition)).collect();
        let offsets: Int64Array = poison.iter().map(|poison| Some(poison.record.offset)).collect();
        let keys: StringArray = poison.iter().map(|p| p.record.key.as_ref().map(|key| BASE64.encode(key))).collect();
        let values: StringArray = poison.iter().map(|poison| Some(BASE64.encode(&poison.record.value))).collect();
        let columns: Vec<ArrayRef> = vec![
            Arc::new(topics),
            Arc::new(partitions),
            Arc::new(offsets),
            Arc::new(instants(poison.iter().map(|poison| &poison.record))),
            Arc::new(text(|poison| poison.check)),
            Arc::new(text(|poison| &poison.reason)),
            Arc::new(keys),
            Arc::new(values),
        ];
        let part = match &mut self.quarantine {
            Some(part) => part,
            None => self.quarantine.insert(Part::create(poison_schema(), self.folder.join("quarantine.parquet"))?),
        };
        part.push(columns, bytes)
    }
}

fn poison_schema() -> Schema {
    Schema::new(vec![
        Field::new("topic", DataType::Utf8, false),
        Field::new("partition", DataType::Int32, false),
        Field::new("offset", DataType::Int64, false),
        Field::new("timestamp", instant(), true),
        Field::new("check", DataType::Utf8, false),
        Field::new("reason", DataType::Utf8, false),
        Field::new("key_base64", DataType::Utf8, true),
        Field::new("value_base64", DataType::Utf8, false),
    ])
}

fn instant() -> DataType {
    DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()))
}

fn instants<'a>(records: impl Iterator<Item = &'a Raw>) -> TimestampMillisecondArray {
    records.map(|record| record.at_ms).collect::<TimestampMillisecondArray>().with_timezone("UTC")
}
