//! SQL over datasets of the lake by DataFusion: which tables there are, what a statement may do, how much memory it may take,
//! and errors that say where in the text they are. What the rows are for is the tasks' matter.

use std::fmt::Write as _;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::common::config::Dialect;
use datafusion::common::{DataFusionError, TableReference};
use datafusion::dataframe::DataFrame;
use datafusion::datasource::MemTable;
use datafusion::execution::context::SQLOptions;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::prelude::{CsvReadOptions, JsonReadOptions, ParquetReadOptions, SessionConfig, SessionContext};
use futures::StreamExt;
use sha2::{Digest, Sha256};
use updraft_task::{Context, Dataset, ErrorClass, Format, Lake, TaskError};

/// Spilled bytes may grow to this multiple of the memory limit.
const SPILL_FACTOR: u64 = 8;

pub(crate) const BAD_SQL: ErrorClass = ErrorClass {
    name: "BadSql",
    retryable: false,
    meaning: "the statement is not a query that these tables can answer",
};
pub(crate) const MEMORY_LIMIT: ErrorClass =
    ErrorClass { name: "MemoryLimit", retryable: false, meaning: "the query needs more than `memory_limit_mb`" };
pub(crate) const QUERY_FAILED: ErrorClass =
    ErrorClass { name: "QueryFailed", retryable: false, meaning: "the query failed on its rows (a cast, a division)" };

pub(crate) const SCRATCH: ErrorClass =
    ErrorClass { name: "Scratch", retryable: true, meaning: "the attempt's folder cannot be used" };

/// Bytes of text files that are read at once: their rows are not counted before they are read.
const SMALL: u64 = 8 << 20;

/// Tables of one task's queries.
pub(crate) struct Session {
    session: SessionContext,
    memory_limit_mb: u64,
}

impl Session {
    /// Without tables; spilled rows go to a folder of the attempt.
    pub(crate) fn new(memory_limit_mb: u64, scratch: &Path) -> Result<Self, TaskError> {
        let bytes = memory_limit_mb.saturating_mul(1 << 20);
        let disk = DiskManagerBuilder::default()
            .with_mode(DiskManagerMode::Directories(vec![scratch.to_owned()]))
            .with_max_temp_directory_size(bytes.saturating_mul(SPILL_FACTOR));
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(FairSpillPool::new(usize::try_from(bytes).unwrap_or(usize::MAX))))
            .with_disk_manager_builder(disk)
            .build_arc()
            .map_err(|error| TaskError::fail(QUERY_FAILED.name, format!("the SQL engine cannot start: {error}")))?;
        // One partition: equal inputs give equal rows in equal order, hence equal bytes.
        let mut config = SessionConfig::new().with_target_partitions(1);
        let options = config.options_mut();
        options.execution.parquet.schema_force_view_types = false;
        // Of a join, the side with fewer rows is held in memory: files say how many they have.
        options.execution.collect_statistics = true;
        options.sql_parser.map_string_types_to_utf8view = false;
        options.sql_parser.collect_spans = true;
        Ok(Self { session: SessionContext::new_with_config_rt(config, runtime), memory_limit_mb })
    }

    /// Makes datasets of one form a table.
    pub(crate) async fn register(
        &self,
        ctx: &Context,
        lake: &Lake,
        name: &str,
        datasets: &[&Dataset],
    ) -> Result<(), TaskError> {
        let mut paths = Vec::with_capacity(datasets.len());
        for (index, dataset) in datasets.iter().enumerate() {
            paths.push(local_copy(ctx, lake, dataset, &format!("{name}-{index}")).await?.display().to_string());
        }
        let bad = |error: DataFusionError| {
            TaskError::fail("BadInput", format!("input `{name}` cannot be read: {}", error.strip_backtrace()))
        };
        let Some(first) = datasets.first() else {
            return Err(TaskError::fail("BadInput", format!("input `{name}` has no dataset")));
        };
        if let Some(other) = datasets.iter().find(|dataset| dataset.format != first.format) {
            return Err(TaskError::fail(
                "BadInput",
                format!(
                    "input `{name}` mixes {:?} (`{}`) and {:?} (`{}`): give them two names",
                    first.format, first.uri, other.format, other.uri
                ),
            ));
        }
        let extension =
            Path::new(&first.uri).extension().map(|end| format!(".{}", end.to_string_lossy())).unwrap_or_default();
        let frame = match first.format {
            Format::Parquet => {
                let options = ParquetReadOptions {
                    skip_metadata: Some(true),
                    ..ParquetReadOptions::new().file_extension(&extension)
                };
                self.session.read_parquet(paths, options).await
            }
            Format::Csv => self.session.read_csv(paths, CsvReadOptions::new().file_extension(&extension)).await,
            Format::Json | Format::Ndjson => {
                let mut options = JsonReadOptions::default().file_extension(&extension);
                options.newline_delimited = first.format == Format::Ndjson;
                self.session.read_json(paths, options).await
            }
            Format::Bytes | Format::Datasets => {
                return Err(TaskError::fail(
                    "BadInput",
                    format!(
                        "input `{name}`: `{}` has no form that SQL can read (parquet, json, ndjson, csv)",
                        first.uri
                    ),
                ));
            }
        };
        let mut frame = frame.map_err(bad)?;
        if first.format != Format::Parquet && datasets.iter().map(|dataset| dataset.bytes).sum::<u64>() <= SMALL {
            // Read now, since only then is it known to have few rows.
            frame = frame.cache().await.map_err(bad)?;
        }
        self.session.register_table(name, frame.into_view()).map_err(bad)?;
        Ok(())
    }

    /// Makes a CSV dataset with a header a table whose columns are texts: `007` stays `007`.
    pub(crate) async fn register_texts(
        &self,
        ctx: &Context,
        lake: &Lake,
        name: &str,
        dataset: &Dataset,
        columns: &[String],
    ) -> Result<(), TaskError> {
        let bad = |error: DataFusionError| {
            TaskError::fail("BadInput", format!("input `{name}` cannot be read: {}", error.strip_backtrace()))
        };
        let path = local_copy(ctx, lake, dataset, name).await?.display().to_string();
        let fields: Vec<Field> = columns.iter().map(|column| Field::new(column, DataType::Utf8, true)).collect();
        let schema = Schema::new(fields);
        let options = CsvReadOptions::new().schema(&schema).newlines_in_values(true);
        let frame = self.session.read_csv(path, options).await.map_err(bad)?;
        self.session.register_table(name, frame.into_view()).map_err(bad)?;
        Ok(())
    }

    /// Makes Parquet files on disk a table.
    pub(crate) async fn register_files(&self, name: &str, paths: Vec<String>) -> Result<(), TaskError> {
        let bad = |error: DataFusionError| {
            TaskError::fail("BadInput", format!("table `{name}` cannot be read: {}", error.strip_backtrace()))
        };
        let options = ParquetReadOptions { skip_metadata: Some(true), ..ParquetReadOptions::default() };
        let frame = self.session.read_parquet(paths, options).await.map_err(bad)?;
        self.session.register_table(TableReference::bare(name), frame.into_view()).map_err(bad)?;
        Ok(())
    }

    /// Names of the tables that a query reads, as it writes them; none of its own (`with`).
    pub(crate) fn tables_of(&self, sql: &str) -> Result<Vec<String>, TaskError> {
        let state = self.session.state();
        let statement = state.sql_to_statement(sql, &Dialect::Generic).map_err(|error| self.error(&error))?;
        let tables = state.resolve_table_references(&statement).map_err(|error| self.error(&error))?;
        Ok(tables.iter().map(|table| table.table().to_owned()).collect())
    }

    /// Number of rows that a query gives.
    pub(crate) async fn count(&self, ctx: &Context, sql: &str) -> Result<u64, TaskError> {
        let mut count = 0;
        let frame = self.plan(sql).await?;
        self.run(ctx, frame, |batch| {
            count += batch.num_rows() as u64;
            Ok(())
        })
        .await?;
        Ok(count)
    }

    /// Makes rows in memory a table.
    pub(crate) fn register_rows(&self, name: &str, schema: SchemaRef, rows: Vec<RecordBatch>) -> Result<(), TaskError> {
        let bad = |error: DataFusionError| {
            TaskError::fail("BadInput", format!("table `{name}`: {}", error.strip_backtrace()))
        };
        let table = MemTable::try_new(schema, vec![rows]).map_err(bad)?;
        self.session.register_table(TableReference::bare(name), Arc::new(table)).map_err(bad)?;
        Ok(())
    }

    /// Takes a table away.
    pub(crate) fn deregister(&self, name: &str) -> Result<(), TaskError> {
        self.session.deregister_table(name).map_err(|error| self.error(&error))?;
        Ok(())
    }

    /// Plans a query; nothing runs yet. Only queries pass: no DDL, no DML, no settings.
    pub(crate) async fn plan(&self, sql: &str) -> Result<DataFrame, TaskError> {
        let only_queries = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
        self.session.sql_with_options(sql, only_queries).await.map_err(|error| self.error(&error))
    }

    /// Runs a query and hands over its rows as they come; ends early when the attempt shall stop.
    pub(crate) async fn run(
        &self,
        ctx: &Context,
        frame: DataFrame,
        mut rows: impl FnMut(&RecordBatch) -> Result<(), TaskError>,
    ) -> Result<(), TaskError> {
        let mut stream = frame.execute_stream().await.map_err(|error| self.error(&error))?;
        loop {
            let next = tokio::select! {
                biased;
                () = ctx.cancelled().cancelled() => return Err(TaskError::cancelled()),
                next = stream.next() => next,
            };
            match next {
                Some(batch) => rows(&batch.map_err(|error| self.error(&error))?)?,
                None => return Ok(()),
            }
        }
    }

    /// What the engine says, by what the author can do about it.
    fn error(&self, error: &DataFusionError) -> TaskError {
        match error.find_root() {
            DataFusionError::ResourcesExhausted(detail) => TaskError::fail(
                MEMORY_LIMIT.name,
                format!(
                    "the query needs more than memory_limit_mb: {} ({detail}). Raise it, or filter earlier",
                    self.memory_limit_mb
                ),
            ),
            DataFusionError::SQL(..)
            | DataFusionError::Plan(_)
            | DataFusionError::SchemaError(..)
            | DataFusionError::NotImplemented(_) => TaskError::fail(BAD_SQL.name, with_place(error)),
            other if other.diagnostic().is_some() || error.diagnostic().is_some() => {
                TaskError::fail(BAD_SQL.name, with_place(error))
            }
            _ => TaskError::fail(QUERY_FAILED.name, error.strip_backtrace()),
        }
    }
}

fn with_place(error: &DataFusionError) -> String {
    let text = error.strip_backtrace();
    let Some(diagnostic) = error.diagnostic() else { return text };
    let Some(span) = diagnostic.span else { return text };
    let helps: Vec<&str> = diagnostic.helps.iter().map(|help| help.message.as_str()).collect();
    let help = if helps.is_empty() { String::new() } else { format!(" ({})", helps.join("; ")) };
    format!("line {}, column {}: {}{help}: {text}", span.start.line, span.start.column, diagnostic.message)
}

/// A file with the dataset's bytes, checked against its sum: the lake's own, or a copy in the attempt's folder.
async fn local_copy(ctx: &Context, lake: &Lake, dataset: &Dataset, name: &str) -> Result<PathBuf, TaskError> {
    if lake.root().contains("://") {
        let extension = Path::new(&dataset.uri).extension().unwrap_or_default();
        let path = ctx.scratch_dir()?.join(name).with_extension(extension);
        tokio::select! {
            biased;
            () = ctx.cancelled().cancelled() => return Err(TaskError::cancelled()),
            copied = lake.download(dataset, &path) => copied?,
        }
        return Ok(path);
    }
    let path = Path::new(lake.root()).join(&dataset.uri);
    let (file, uri, expected) = (path.clone(), dataset.uri.clone(), dataset.sha256.clone());
    tokio::task::spawn_blocking(move || check_sum(&file, &uri, &expected))
        .await
        .map_err(|error| TaskError::retry("Lake", format!("reading `{}` was broken off: {error}", dataset.uri)))??;
    Ok(path)
}

fn check_sum(file: &Path, uri: &str, expected: &str) -> Result<(), TaskError> {
    let fault = |error: std::io::Error| {
        let text = format!("cannot read `{uri}` in the lake: {error}");
        if error.kind() == std::io::ErrorKind::NotFound {
            TaskError::fail("NotFound", text)
        } else {
            TaskError::retry("Lake", text)
        }
    };
    let mut reader = std::fs::File::open(file).map_err(fault)?;
    let (mut sum, mut buffer) = (Sha256::new(), vec![0; 1 << 16]);
    loop {
        match reader.read(&mut buffer).map_err(fault)? {
            0 => break,
            read => sum.update(&buffer[..read]),
        }
    }
    let found = sum.finalize().iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    });
    if found == expected {
        return Ok(());
    }
    Err(TaskError::fail(
        "CorruptDataset",
        format!("`{uri}` has sha-256 {found}, but {expected} was written: it was changed after its task ended"),
    ))
}
