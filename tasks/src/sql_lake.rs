//! SQL of `sql.run` and `sql.check` over the tables of a lake: DataFusion reads the files of each table that a query names.

use std::collections::BTreeSet;
use std::path::Path;

use datafusion::common::ScalarValue;
use datafusion::dataframe::DataFrame;
use serde_json::Value;
use updraft_task::{Context, Lake, TaskError};

use crate::database::BAD_PARAM;
use crate::query::Session;
use crate::warehouse_load::WarehouseConnection;

/// Memory for the queries, in MiB; what needs more spills to disk.
const MEMORY_LIMIT_MB: u64 = 512;

/// Tables of a lake, as far as they were asked for.
pub(crate) struct LakeTables<'a> {
    ctx: &'a Context,
    connection: &'a WarehouseConnection,
    lake: Lake,
    session: Session,
    known: BTreeSet<String>,
}

impl<'a> LakeTables<'a> {
    /// Without tables yet.
    ///
    /// # Errors
    /// `fail` `BadConnection`; as the lake's and the SQL engine's.
    pub(crate) fn open(ctx: &'a Context, connection: &'a WarehouseConnection) -> Result<Self, TaskError> {
        Ok(Self {
            ctx,
            connection,
            lake: connection.lake(ctx)?,
            session: Session::new(MEMORY_LIMIT_MB, ctx.scratch_dir()?)?,
            known: BTreeSet::new(),
        })
    }

    /// Plans a query with its parameters.
    ///
    /// # Errors
    /// `fail` `BadSql`, `BadParam`; as the lake's.
    pub(crate) async fn plan(&mut self, sql: &str, params: &[Value]) -> Result<DataFrame, TaskError> {
        for table in self.session.tables_of(sql)? {
            if self.known.insert(table.clone()) {
                self.register(&table).await?;
            }
        }
        let frame = self.session.plan(sql).await?;
        let values = params.iter().map(scalar).collect::<Result<Vec<_>, _>>()?;
        let asked = frame
            .logical_plan()
            .get_parameter_names()
            .map_err(|error| TaskError::fail("BadSql", error.strip_backtrace()))?;
        if asked.len() != values.len() {
            return Err(TaskError::fail(
                BAD_PARAM.name,
                format!("the statement has {} parameter(s), but `params` gives {}", asked.len(), values.len()),
            ));
        }
        if values.is_empty() {
            return Ok(frame);
        }
        frame.with_param_values(values).map_err(|error| TaskError::fail(BAD_PARAM.name, error.strip_backtrace()))
    }

    /// Number of rows of a query.
    ///
    /// # Errors
    /// As the SQL engine's; `Cancelled`.
    pub(crate) async fn rows(&self, frame: DataFrame) -> Result<u64, TaskError> {
        let mut rows = 0;
        self.session
            .run(self.ctx, frame, |batch| {
                rows += batch.num_rows() as u64;
                Ok(())
            })
            .await?;
        Ok(rows)
    }

    /// The first column's values, at most two.
    ///
    /// # Errors
    /// As [`LakeTables::rows`]; `fail` `BadSql`: it is not a number.
    pub(crate) async fn numbers(&self, frame: DataFrame) -> Result<Vec<Option<f64>>, TaskError> {
        let mut found = Vec::new();
        self.session
            .run(self.ctx, frame, |batch| {
                for row in 0..batch.num_rows().min(2) {
                    let value = batch.columns().first().map(|column| ScalarValue::try_from_array(column, row));
                    found.push(number(value)?);
                }
                Ok(())
            })
            .await?;
        Ok(found)
    }

    /// Makes a table of the warehouse known; one that has no files is the query's mistake, and named as such by it.
    async fn register(&self, table: &str) -> Result<(), TaskError> {
        let prefix = format!("warehouse/{}/", self.connection.table(table));
        let files: Vec<(String, u64)> =
            self.lake.list(&prefix).await?.into_iter().filter(|(key, _)| key.ends_with(".parquet")).collect();
        if files.is_empty() {
            return Ok(());
        }
        let mut paths = Vec::with_capacity(files.len());
        for (index, (key, _)) in files.into_iter().enumerate() {
            paths.push(self.on_disk(&key, &format!("{table}-{index}.parquet")).await?);
        }
        self.session.register_files(table, paths).await
    }

    /// The lake's own file, or a copy in the attempt's folder.
    async fn on_disk(&self, key: &str, name: &str) -> Result<String, TaskError> {
        if !self.lake.root().contains("://") {
            return Ok(Path::new(self.lake.root()).join(key).display().to_string());
        }
        let path = self.ctx.scratch_dir()?.join(name);
        let bytes = tokio::select! {
            biased;
            () = self.ctx.cancelled().cancelled() => return Err(TaskError::cancelled()),
            bytes = self.lake.get(key) => bytes?,
        };
        tokio::fs::write(&path, bytes)
            .await
            .map_err(|error| TaskError::retry("Scratch", format!("cannot write {}: {error}", path.display())))?;
        Ok(path.display().to_string())
    }
}

fn scalar(value: &Value) -> Result<ScalarValue, TaskError> {
    Ok(match value {
        Value::Null => ScalarValue::Null,
        Value::Bool(value) => ScalarValue::from(*value),
        Value::Number(value) => match (value.as_i64(), value.as_f64()) {
            (Some(whole), _) => ScalarValue::from(whole),
            (None, Some(value)) => ScalarValue::from(value),
            (None, None) => ScalarValue::from(value.to_string()),
        },
        Value::String(value) => ScalarValue::from(value.as_str()),
        Value::Array(_) | Value::Object(_) => {
            return Err(TaskError::fail(
                BAD_PARAM.name,
                "on the lake a parameter is a text, a number, true, false or null",
            ));
        }
    })
}

fn number(value: Option<datafusion::common::Result<ScalarValue>>) -> Result<Option<f64>, TaskError> {
    use datafusion::arrow::datatypes::DataType;
    let bad = |reason: String| TaskError::fail("BadSql", format!("the first column is no number: {reason}"));
    let value = match value {
        Some(value) => value.map_err(|error| bad(error.strip_backtrace()))?,
        None => return Err(bad("there is no column".to_owned())),
    };
    if matches!(value.data_type(), DataType::Null) || value.is_null() {
        return Ok(None);
    }
    if !value.data_type().is_numeric() {
        return Err(bad(format!("it is {}", value.data_type())));
    }
    match value.cast_to(&DataType::Float64) {
        Ok(ScalarValue::Float64(number)) => Ok(number),
        Ok(other) => Err(bad(format!("it is {}", other.data_type()))),
        Err(error) => Err(bad(error.strip_backtrace())),
    }
}

#[cfg(test)]
pub(crate) mod testing {
    //! Tables of a lake for the tests of tasks.

    use std::sync::Arc;

    use datafusion::arrow::array::{ArrayRef, Int64Array, StringArray};
    use datafusion::arrow::record_batch::RecordBatch;
    use updraft_task::testing::TestRun;

    use crate::parquet::write_batches;

    /// A table of two files with the columns `x` and `name`.
    pub(crate) async fn table(run: &TestRun, name: &str, rows: &[(i64, &str)]) {
        let lake = run.context("x", 1, None).lake().unwrap();
        for (part, rows) in [&rows[..1], &rows[1..]].into_iter().enumerate() {
            let batch = RecordBatch::try_from_iter([
                ("x", Arc::new(rows.iter().map(|row| Some(row.0)).collect::<Int64Array>()) as ArrayRef),
                ("name", Arc::new(rows.iter().map(|row| Some(row.1)).collect::<StringArray>()) as ArrayRef),
            ])
            .unwrap();
            let key = format!("warehouse/{name}/dt=2026-01-0{}/b.parquet", part + 1);
            write_batches(&lake, &key, &batch.schema(), std::slice::from_ref(&batch), None).await.unwrap();
        }
    }
}
