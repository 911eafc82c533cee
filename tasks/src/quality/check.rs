//! The task `quality.check`: groups, rules, results, verdict.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use updraft_task::{ConnectionNeed, Context, Effects, ErrorClass, Input, Task, TaskError, TaskItem};

use super::groups::{ALL, Group, Groups};
use super::history::{self, History};
use super::judge::{Limits, State, judge, score};
use super::measure::{Prepared, observe, prepare};
use super::rule::{Dimension, Per, Range, Rule, Severity};
use super::store;
use crate::batch::batch_id;
use crate::database::{BAD_COLUMN, BAD_CONNECTION, BAD_STATEMENT, DENIED, ROW_REFUSED, WAREHOUSE};
use crate::query::{MEMORY_LIMIT, QUERY_FAILED, SCRATCH, Session};
use crate::warehouse_load::TargetReport;

/// Below this score the log warns.
const LOW_SCORE: f64 = 75.0;
/// Bytes of JSON that results may take in the output; all of them are in the table.
const OUTPUT_BYTES: usize = 40 * 1024;
/// Parameters of `quality.check`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct QualityParams {
    /// Parquet datasets to judge: one, a list, or a map of names (regions) to `{dataset}`.
    pub input: Input,
    /// The rules.
    pub rules: Vec<Rule>,
    /// Names that are expected in `input`. One without rows is a warning of its `row_count` rule `per: region`, and of one
    /// with `min: 1` if there is no such rule; it is never an error.
    #[serde(default)]
    pub regions: Option<Vec<String>>,
    /// Table that the results go to: in the lake as `warehouse/{table}/dt=…/….parquet`, and in each database behind `conn`.
    #[serde(default = "default_table")]
    pub table: String,
    /// Limits of the score itself, which is then one more result, `score`.
    #[serde(default)]
    pub min_score: Option<MinScore>,
    /// Memory for the queries, in MiB.
    #[serde(default = "memory_limit_mb")]
    pub memory_limit_mb: u64,
}

const fn memory_limit_mb() -> u64 {
    512
}

fn default_table() -> String {
    "quality_results".to_owned()
}

/// Limits of the score.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MinScore {
    /// Warn below this, 0 to 100.
    #[serde(default)]
    pub warn: Option<f64>,
    /// Fail below this, 0 to 100.
    #[serde(default)]
    pub error: Option<f64>,
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
    pub(super) batch: String,
}

/// Output of `quality.check`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct QualityReport {
    /// Rows of all datasets.
    pub rows_in: u64,
    /// 0 to 100: 30 completeness, 30 validity, 25 consistency, 15 timeliness. Each part is the mean of its results' points,
    /// and full if it has none.
    pub score: f64,
    /// Results that passed.
    pub passed: u64,
    /// Results that warned.
    pub warned: u64,
    /// Results that failed (0, since a failed one ends the task as failed).
    pub failed: u64,
    /// Results, worst first.
    pub rules: Vec<RuleResult>,
    /// Number of results that did not fit into `rules`; the table has all.
    pub left_out: u64,
    /// Key of the file with all results in the lake.
    pub results: String,
    /// Each database behind the task's connection, and what it took of the results.
    pub targets: Vec<TargetReport>,
}

/// The task.
#[derive(Debug)]
pub struct QualityCheck;

impl Task for QualityCheck {
    const TYPE: &'static str = "quality.check";
    const SUMMARY: &'static str = "judges datasets by rules; fails on an error-level one";
    const EFFECTS: Effects = Effects::Idempotent;
    const CONNECTION: ConnectionNeed = ConnectionNeed::Optional(&["warehouse", "group"]);
    const ERRORS: &'static [ErrorClass] = &[
        ErrorClass {
            name: "QualityFailed",
            retryable: false,
            meaning: "a rule is beyond its error limit; all results were written",
        },
        ErrorClass {
            name: "BadRule",
            retryable: false,
            meaning: "a rule has no limit, an unknown column, or a mistake in its SQL; all such rules are named at once",
        },
        ErrorClass {
            name: "BadTable",
            retryable: false,
            meaning: "the table's name has other characters than letters, digits and `_`, or a database has no such table",
        },
        ErrorClass { name: "BadInput", retryable: false, meaning: "there is no dataset, or their columns differ" },
        BAD_CONNECTION,
        WAREHOUSE,
        DENIED,
        BAD_STATEMENT,
        BAD_COLUMN,
        ROW_REFUSED,
        ErrorClass {
            name: "CountMismatch",
            retryable: true,
            meaning: "a database does not hold the results that were loaded",
        },
        ErrorClass {
            name: "BadState",
            retryable: false,
            meaning: "what an earlier attempt kept of its loads does not read",
        },
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

    async fn run(mut params: QualityParams, ctx: &Context) -> Result<QualityReport, TaskError> {
        crate::text::named_plainly(&params.table)?;
        let requested = params.regions.unwrap_or_default();
        let counted =
            |rule: &Rule| matches!(rule, Rule::RowCount { per: Per::Region, regions, .. } if regions.is_empty());
        if !requested.is_empty() && !params.rules.iter().any(counted) {
            params.rules.push(Rule::rows_present());
        }
        let lake = ctx.lake()?;
        let input = params.input.resolved(&lake).await?;
        let groups = Groups::read(ctx, &lake, &input, &requested).await?;
        let session = Session::new(params.memory_limit_mb, ctx.scratch_dir()?)?;
        groups.register(&session)?;
        let whole = groups.all(ctx);
        groups.focus(&session, &whole)?;
        let end_ms = ctx.run().interval.end.as_millis();
        history::check(&params.rules)?;
        let prepared = prepare(&session, &params.rules, groups.schema(), end_ms).await?;

        let mut history = History::new(ctx, &lake, &params.table);
        let mut results = Vec::new();
        let mut shares = Vec::new();
        for (region, group) in
            std::iter::once((None, &whole)).chain(groups.iter().map(|group| (Some(group.name.as_str()), group)))
        {
            let chosen: Vec<&Prepared<'_>> = prepared.iter().filter(|rule| rule.rule.is_for(region)).collect();
            if !chosen.is_empty() {
                groups.focus(&session, group)?;
                let mut observed = observe(ctx, &session, &chosen).await?;
                history.observe(&chosen, group, &mut observed).await?;
                judge_group(&chosen, group, observed, &mut results, &mut shares);
            }
        }
        let score = score(&shares);
        results.extend(params.min_score.map(|limits| judge_score(ctx, limits, score)));
        let stored = store::write(ctx, &lake, &params.table, &results).await?;
        let targets = store::load(ctx, &params.table, &stored).await?;
        report(ctx, results, score, whole.count() as u64, stored.uri, targets)
    }
}

fn judge_group(
    rules: &[&Prepared<'_>],
    group: &Group,
    observed: Vec<Vec<Option<f64>>>,
    results: &mut Vec<RuleResult>,
    shares: &mut Vec<(Dimension, f64)>,
) {
    for (Prepared { rule, limits, .. }, values) in rules.iter().zip(observed) {
        let counts_rows = matches!(rule, Rule::RowCount { .. });
        let limits = if counts_rows && group.is_missed() { limits.of_no_rows() } else { *limits };
        for (column, observed) in rule.columns().into_iter().zip(values) {
            let verdict = judge(&limits, observed);
            shares.extend(verdict.share.map(|share| (rule.dimension(), share)));
            results.push(RuleResult {
                name: rule.name(),
                column: Some(column).filter(|column| !column.is_empty()),
                region: group.name.clone(),
                state: verdict.state,
                observed,
                threshold: verdict.threshold,
                severity: limits.severity(),
                score: verdict.share.map(|share| (share * 10_000.0).round() / 100.0),
                batch: group.batch.clone(),
            });
        }
    }
}

fn judge_score(ctx: &Context, limits: MinScore, score: f64) -> RuleResult {
    let least = |min: Option<f64>| min.map(|min| Range { min: Some(min), max: None });
    let limits = Limits { warn: least(limits.warn), error: least(limits.error), bad_rows: false };
    let verdict = judge(&limits, Some(score));
    RuleResult {
        name: "score".to_owned(),
        column: None,
        region: ALL.to_owned(),
        state: verdict.state,
        observed: Some(score),
        threshold: verdict.threshold,
        severity: limits.severity(),
        score: Some(score),
        batch: batch_id(ctx.run(), ALL),
    }
}

fn report(
    ctx: &Context,
    mut results: Vec<RuleResult>,
    score: f64,
    rows_in: u64,
    key: String,
    targets: Vec<TargetReport>,
) -> Result<QualityReport, TaskError> {
    results.sort_by_key(|result| result.state);
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
                "{failed} of {} results are beyond their error limit (score {score}): {}{}. All of them are in the lake's `{key}`",
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
    Ok(QualityReport {
        rows_in,
        score,
        passed,
        warned,
        failed,
        left_out: (all - rules.len()) as u64,
        rules,
        results: key,
        targets,
    })
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
