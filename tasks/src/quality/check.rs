//! The task `quality.check`: groups, rules, results, verdict.

use std::collections::{BTreeMap, BTreeSet};

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::record_batch::RecordBatch;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use updraft_task::{Context, Effects, ErrorClass, Input, Lake, Task, TaskError, TaskItem};

use super::judge::{Limits, State, judge, limits, score};
use super::measure::{bad_rule, observe};
use super::rule::{AsOf, Dimension, Per, Rule, Severity};
use super::store;
use crate::batch::batch_id;
use crate::parquet;
use crate::query::{MEMORY_LIMIT, QUERY_FAILED, SCRATCH, Session};

/// Below this score the log warns.
const LOW_SCORE: f64 = 75.0;
/// Bytes of JSON that results may take in the output; all of them are in the table.
const OUTPUT_BYTES: usize = 40 * 1024;
/// Name of the group of all rows.
const ALL: &str = "all";

/// Parameters of `quality.check`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct QualityParams {
    /// Parquet datasets to judge: one, a list, or a map of names (regions) to `{dataset}`.
    pub input: Input,
    /// The rules.
    pub rules: Vec<Rule>,
    /// Names that are expected in `input`: rules `per: region` judge these alone, and one without rows is a warning.
    #[serde(default)]
    pub regions: Option<Vec<String>>,
    /// What `freshness` counts ages from.
    #[serde(default)]
    pub as_of: AsOf,
    /// Memory for the queries, in MiB.
    #[serde(default = "memory_limit_mb")]
    pub memory_limit_mb: u64,
}

const fn memory_limit_mb() -> u64 {
    512
}

/// What one rule says of one region.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct RuleResult {
    /// Name of the rule.
    pub name: String,
    /// Column, where the rule has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    /// Region (name of the dataset), or `all`.
    pub region: String,
    /// What it says.
    pub state: State,
    /// What was found: a share of rows (0 to 1), rows, seconds, or the query's number; null without rows.
    pub observed: Option<f64>,
    /// The limit that decided, in the same unit.
    pub threshold: Option<f64>,
    /// The worst that breaking it means.
    pub severity: Severity,
    /// Its points, 0 to 100; null without rows.
    pub score: Option<f64>,
    #[serde(skip)]
    pub(super) dimension: Dimension,
}

/// Output of `quality.check`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct QualityReport {
    /// 0 to 100: 30 completeness, 30 validity, 25 consistency, 15 timeliness; parts without rules are left out.
    pub score: f64,
    /// Results that passed.
    pub passed: u64,
    /// Results that warned.
    pub warned: u64,
    /// Results that failed (0, since a failed one ends the task as failed).
    pub failed: u64,
    /// Results, worst first.
    pub rules: Vec<RuleResult>,
    /// Results that did not fit here; the table `quality_results` has all.
    pub left_out: u64,
}

/// The task.
#[derive(Debug)]
pub struct QualityCheck;

impl Task for QualityCheck {
    const TYPE: &'static str = "quality.check";
    const SUMMARY: &'static str = "judge datasets by rules; fail on an error-level one";
    const EFFECTS: Effects = Effects::Idempotent;
    const ERRORS: &'static [ErrorClass] = &[
        ErrorClass {
            name: "QualityFailed",
            retryable: false,
            meaning: "a rule is beyond its error limit; all results were written",
        },
        ErrorClass {
            name: "BadRule",
            retryable: false,
            meaning: "a rule has no limit, an unknown column, or a mistake in its SQL",
        },
        ErrorClass { name: "BadInput", retryable: false, meaning: "there is no dataset, or their columns differ" },
        MEMORY_LIMIT,
        QUERY_FAILED,
        SCRATCH,
        ErrorClass { name: "BadParquet", retryable: false, meaning: "a dataset is not Parquet or is broken" },
        ErrorClass { name: "CorruptDataset", retryable: false, meaning: "a dataset was changed after its task ended" },
        ErrorClass { name: "NotFound", retryable: false, meaning: "a dataset is gone" },
        ErrorClass { name: "LakeDenied", retryable: false, meaning: "the lake refuses access" },
        ErrorClass { name: "Lake", retryable: true, meaning: "the lake cannot be reached" },
    ];
    const EXAMPLE: &'static str = r#"
- id: data_quality_check
  type: quality.check
  with:
    input: "{{ tasks.split_and_validate.output.regions }}"
    rules:
      - { check: not_null, columns: [icao24, snapshot_time] }
      - { check: unique, columns: [icao24], per: region }
      - { name: without_position, check: ratio, where: latitude_deg is null, of: "true", warn: { max: 0.03 }, error: { max: 0.1 } }
  depends_on: [split_and_validate]
"#;

    type Params = QualityParams;
    type Output = QualityReport;

    async fn run(params: QualityParams, ctx: &Context) -> Result<QualityReport, TaskError> {
        let rules = params
            .rules
            .iter()
            .map(|rule| match limits(rule) {
                Some(limits) => Ok((rule, limits)),
                None => Err(bad_rule(rule, "it has no limit: set `warn`, `error`, or the check's own bounds")),
            })
            .collect::<Result<Vec<_>, _>>()?;
        let lake = ctx.lake()?;
        let groups = Groups::read(ctx, &lake, &params.input).await?;
        let session = Session::new(params.memory_limit_mb, ctx.scratch_dir()?)?;
        let mut results: Vec<(String, Vec<RuleResult>)> = Vec::new();
        let whole = Group { name: ALL.to_owned(), batch: batch_id(ctx.run(), ALL), rows: groups.all() };
        let judged = judge_group(ctx, &session, &rules, &params.as_of, Per::All, &groups.schema, &whole).await?;
        results.push((whole.batch, judged));
        for group in
            groups.groups.iter().filter(|group| params.regions.as_ref().is_none_or(|names| names.contains(&group.name)))
        {
            let judged = judge_group(ctx, &session, &rules, &params.as_of, Per::Region, &groups.schema, group).await?;
            results.push((group.batch.clone(), judged));
        }
        for name in params.regions.iter().flatten().collect::<BTreeSet<_>>() {
            let group = groups.groups.iter().find(|group| &group.name == name);
            let batch = group.map_or_else(|| batch_id(ctx.run(), name), |group| group.batch.clone());
            let presence = presence(name, group.map_or(0, Group::count));
            match results.iter_mut().find(|(known, _)| *known == batch) {
                Some((_, results)) => results.push(presence),
                None => results.push((batch, vec![presence])),
            }
        }
        for (batch, results) in results.iter().filter(|(_, results)| !results.is_empty()) {
            store::write(ctx, &lake, batch, &results.iter().collect::<Vec<_>>()).await?;
        }
        report(ctx, results.into_iter().flat_map(|(_, results)| results).collect())
    }
}

struct Group {
    name: String,
    batch: String,
    rows: Vec<RecordBatch>,
}

impl Group {
    fn count(&self) -> usize {
        self.rows.iter().map(RecordBatch::num_rows).sum()
    }
}

struct Groups {
    schema: SchemaRef,
    groups: Vec<Group>,
}

impl Groups {
    async fn read(ctx: &Context, lake: &Lake, input: &Input) -> Result<Self, TaskError> {
        let mut schema: Option<(SchemaRef, &str)> = None;
        let mut groups: BTreeMap<String, Group> = BTreeMap::new();
        for (index, (name, dataset)) in input.datasets().into_iter().enumerate() {
            let (columns, rows) = parquet::read_batches(lake, dataset).await?;
            if let Some((first, uri)) = &schema
                && first.fields() != columns.fields()
            {
                return Err(TaskError::fail(
                    "BadInput",
                    format!("`{}` has other columns than `{uri}`: judge them by two tasks", dataset.uri),
                ));
            }
            schema.get_or_insert((columns, &dataset.uri));
            let last = dataset.batch_id.as_deref().and_then(|id| id.rsplit('/').next());
            let name = name.or(last).map_or_else(|| index.to_string(), str::to_owned);
            let batch = dataset.batch_id.clone().unwrap_or_else(|| batch_id(ctx.run(), &name));
            groups.entry(name.clone()).or_insert_with(|| Group { name, batch, rows: Vec::new() }).rows.extend(rows);
        }
        let Some((schema, _)) = schema else {
            return Err(TaskError::fail("BadInput", "`input` names no dataset: there is nothing to judge"));
        };
        Ok(Self { schema, groups: groups.into_values().collect() })
    }

    fn all(&self) -> Vec<RecordBatch> {
        self.groups.iter().flat_map(|group| group.rows.iter().cloned()).collect()
    }
}

async fn judge_group(
    ctx: &Context,
    session: &Session,
    rules: &[(&Rule, Limits)],
    as_of: &AsOf,
    per: Per,
    schema: &SchemaRef,
    group: &Group,
) -> Result<Vec<RuleResult>, TaskError> {
    let chosen: Vec<(&Rule, Limits)> = rules.iter().filter(|(rule, _)| rule.common().per == per).copied().collect();
    if chosen.is_empty() {
        return Ok(Vec::new());
    }
    let only: Vec<&Rule> = chosen.iter().map(|(rule, _)| *rule).collect();
    let observed = observe(ctx, session, &only, as_of, SchemaRef::clone(schema), group.rows.clone()).await?;
    let mut results = Vec::new();
    for ((rule, limits), values) in chosen.into_iter().zip(observed) {
        for (column, observed) in rule.columns().into_iter().zip(values) {
            let verdict = judge(&limits, observed);
            results.push(RuleResult {
                name: rule.name(),
                column: Some(column).filter(|column| !column.is_empty()),
                region: group.name.clone(),
                state: verdict.state,
                observed,
                threshold: verdict.threshold,
                severity: limits.severity(),
                score: verdict.share.map(|share| (share * 10_000.0).round() / 100.0),
                dimension: rule.dimension(),
            });
        }
    }
    Ok(results)
}

/// A requested region without rows is a warning.
fn presence(region: &str, rows: usize) -> RuleResult {
    let there = rows > 0;
    RuleResult {
        name: "region_present".to_owned(),
        column: None,
        region: region.to_owned(),
        state: if there { State::Passed } else { State::Warned },
        #[expect(clippy::cast_precision_loss, reason = "row counts are far below 2^53")]
        observed: Some(rows as f64),
        threshold: Some(1.0),
        severity: Severity::Warning,
        score: Some(if there { 100.0 } else { 50.0 }),
        dimension: Dimension::Completeness,
    }
}

fn report(ctx: &Context, mut results: Vec<RuleResult>) -> Result<QualityReport, TaskError> {
    results.sort_by_key(|result| result.state);
    let shares: Vec<_> =
        results.iter().filter_map(|result| result.score.map(|points| (result.dimension, points / 100.0))).collect();
    let score = score(&shares);
    for result in &results {
        let line = line(result);
        match result.state {
            State::Failed => ctx.error(&line),
            State::Warned => ctx.warn(&line),
            State::Passed => ctx.debug(&line),
        }
        ctx.record_item(TaskItem {
            kind: "quality_rule".to_owned(),
            name: title(result),
            state: result.state.name().to_owned(),
            seconds: None,
            value: result.observed,
            message: Some(line),
        });
    }
    let count = |state: State| results.iter().filter(|result| result.state == state).count() as u64;
    let (passed, warned, failed) = (count(State::Passed), count(State::Warned), count(State::Failed));
    ctx.info(format!("score {score}: {passed} passed, {warned} warned, {failed} failed"));
    if score < LOW_SCORE {
        ctx.warn(format!("the score {score} is below {LOW_SCORE}"));
    }
    if failed > 0 {
        let names: Vec<String> =
            results.iter().filter(|result| result.state == State::Failed).take(10).map(line).collect();
        return Err(TaskError::fail(
            "QualityFailed",
            format!(
                "{failed} of {} results are beyond their error limit (score {score}): {}{}. All of them are in warehouse/quality_results",
                results.len(),
                names.join("; "),
                if failed > 10 { "; …" } else { "" }
            ),
        ));
    }
    let all = results.len();
    let mut bytes = 0;
    let rules: Vec<RuleResult> = results
        .into_iter()
        .take_while(|result| {
            bytes += serde_json::to_string(result).map_or(OUTPUT_BYTES, |text| text.len() + 1);
            bytes <= OUTPUT_BYTES
        })
        .collect();
    Ok(QualityReport { score, passed, warned, failed, left_out: (all - rules.len()) as u64, rules })
}

/// `europe/latitude_range(latitude_deg)`.
fn title(result: &RuleResult) -> String {
    let column = result.column.as_ref().filter(|column| !result.name.contains(column.as_str()));
    let column = column.map(|column| format!("({column})")).unwrap_or_default();
    format!("{}/{}{column}", result.region, result.name)
}

fn line(result: &RuleResult) -> String {
    let shown = |number: Option<f64>| {
        number.map_or_else(
            || "nothing".to_owned(),
            |number| format!("{number:.6}").trim_end_matches('0').trim_end_matches('.').to_owned(),
        )
    };
    format!(
        "{} {}: observed {}, limit {}",
        title(result),
        result.state.name(),
        shown(result.observed),
        shown(result.threshold)
    )
}
