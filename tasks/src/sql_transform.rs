//! `sql.transform`: one SQL query over datasets of the lake, its rows as a new dataset under a key that every attempt and
//! every run of the interval shares.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use updraft_task::{Column, Context, Dataset, Effects, ErrorClass, Input, Task, TaskError};

use crate::batch::OutputPlace;
use crate::parquet::{self, Encoder};
use crate::query::{BAD_SQL, MEMORY_LIMIT, QUERY_FAILED, SCRATCH, Session};

/// Parameters of `sql.transform`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TransformParams {
    /// Tables by name: Parquet, JSON, NDJSON or CSV datasets; several of one form are one table.
    pub inputs: BTreeMap<String, Input>,
    /// One query (`select …` or `with … select …`), in DataFusion's SQL. Give it `order by` if the order of rows matters.
    pub sql: String,
    /// Where the rows go: one object, `….parquet`.
    pub output: OutputPlace,
    /// Memory for the query, in MiB; sorts and joins beyond it spill to disk, up to eight times as much.
    #[serde(default = "memory_limit_mb")]
    pub memory_limit_mb: u64,
}

const fn memory_limit_mb() -> u64 {
    512
}

/// Output of `sql.transform`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct TransformReport {
    /// Rows of all inputs, as their handles say.
    pub rows_in: u64,
    /// Rows that the query gave.
    pub rows_out: u64,
    /// These rows.
    pub dataset: Dataset,
    /// Columns with their types.
    pub columns: Vec<Column>,
}

/// The task.
#[derive(Debug)]
pub struct SqlTransform;

impl Task for SqlTransform {
    const TYPE: &'static str = "sql.transform";
    const SUMMARY: &'static str = "queries datasets of the lake with SQL; the rows become a dataset";
    const EFFECTS: Effects = Effects::Idempotent;
    const ERRORS: &'static [ErrorClass] = &[
        BAD_SQL,
        MEMORY_LIMIT,
        QUERY_FAILED,
        SCRATCH,
        ErrorClass {
            name: "BadInput",
            retryable: false,
            meaning: "an input is empty, of a form that SQL cannot read, or mixes forms",
        },
        ErrorClass { name: "BadKey", retryable: false, meaning: "`output.prefix` is not a key of the lake" },
        ErrorClass { name: "BadParquet", retryable: false, meaning: "a column's type cannot be stored" },
        ErrorClass { name: "CorruptDataset", retryable: false, meaning: "a dataset was changed after its task ended" },
        ErrorClass { name: "NotFound", retryable: false, meaning: "a dataset is gone" },
        ErrorClass { name: "LakeDenied", retryable: false, meaning: "the lake refuses access" },
        ErrorClass { name: "Lake", retryable: true, meaning: "the lake cannot be reached" },
    ];
    const EXAMPLE: &'static str = r#"
- id: country_counts
  type: sql.transform
  with:
    inputs:
      states: "{{ tasks.split_and_validate.output.regions }}"
    sql: |
      select origin_country, count(*) as aircraft
      from states group by origin_country order by origin_country
    output: { prefix: derived/country_counts }
  depends_on: [split_and_validate]
"#;

    type Params = TransformParams;
    type Output = TransformReport;

    async fn run(params: TransformParams, ctx: &Context) -> Result<TransformReport, TaskError> {
        let lake = ctx.lake()?;
        let session = Session::new(params.memory_limit_mb, ctx.scratch_dir()?)?;
        let mut rows_in = 0;
        for (name, input) in &params.inputs {
            let input = input.resolved(&lake).await?;
            let datasets: Vec<&Dataset> = input.datasets().into_iter().map(|(_, dataset)| dataset).collect();
            rows_in += datasets.iter().map(|dataset| dataset.rows).sum::<u64>();
            session.register(ctx, &lake, name, &datasets).await?;
        }
        let frame = session.plan(&params.sql).await.map_err(|error| error.context("`sql`"))?;
        let mut rows = Encoder::new(frame.schema().as_arrow())?;
        let mut count = 0;
        session
            .run(ctx, frame, |batch| {
                count += batch.num_rows() as u64;
                ctx.progress(count, None, "rows");
                rows.push(batch)
            })
            .await?;
        let (batch, place) = params.output.of(ctx.run());
        let key = format!("{place}.parquet");
        let encoded: parquet::Encoded = rows.finish()?;
        let dataset = encoded.put(&lake, &key, Some(&batch)).await?;
        ctx.info(format!("{} rows, {} bytes: {key}", dataset.rows, dataset.bytes));
        Ok(TransformReport { rows_in, rows_out: dataset.rows, columns: dataset.schema.clone(), dataset })
    }
}

#[cfg(test)]
mod tests;
