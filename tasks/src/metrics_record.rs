//! `metrics.record`: named measures of a run, kept with it.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use updraft_task::{Context, Effects, ErrorClass, RunMetric, Task, TaskError};

/// The task type.
pub struct MetricsRecord;

/// One measure.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Measure {
    /// Name as Prometheus writes it, unit at the end: `opensky_snapshot_age_seconds`.
    pub name: String,
    /// The number. `null` (the mean of no rows) is left out and said in the log.
    pub value: Option<f64>,
    /// Unit in words: `seconds`, `states`, `ratio`.
    #[serde(default)]
    pub unit: String,
    /// Labels; values from a small set, never addresses or keys.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

/// Parameters.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The measures.
    pub measures: Vec<Measure>,
}

/// Output.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Output {
    /// Measures kept.
    pub recorded: u64,
    /// Measures left out because their value was null.
    pub left_out: u64,
}

impl Task for MetricsRecord {
    const TYPE: &'static str = "metrics.record";
    const SUMMARY: &'static str = "keeps named measures with the run";
    const EFFECTS: Effects = Effects::ExactlyOnce;
    const ERRORS: &'static [ErrorClass] = &[ErrorClass {
        name: "BadMeasure",
        retryable: false,
        meaning: "a name that Prometheus would refuse, a number that is none, or the same measure twice",
    }];
    const EXAMPLE: &'static str = "- id: update_flight_metrics\n  type: metrics.record\n  with:\n    measures:\n      - {name: opensky_states_received, value: 1744, unit: states, labels: {region: europe}}\n";
    type Params = Params;
    type Output = Output;

    async fn run(params: Params, ctx: &Context) -> Result<Output, TaskError> {
        let mut seen = BTreeSet::new();
        for measure in &params.measures {
            check(measure)?;
            if !seen.insert((&measure.name, &measure.labels)) {
                return Err(bad(measure, "is given twice with the same labels"));
            }
        }
        let (mut recorded, mut left_out) = (0, 0);
        for Measure { name, value, unit, labels } in params.measures {
            let Some(value) = value else {
                ctx.warn(format!("{name} is null and is left out"));
                left_out += 1;
                continue;
            };
            ctx.info(format!("{name} = {value} {unit}"));
            ctx.record_metric(RunMetric { name, value, unit, labels });
            recorded += 1;
        }
        Ok(Output { recorded, left_out })
    }
}

fn bad(measure: &Measure, what: &str) -> TaskError {
    TaskError::fail("BadMeasure", format!("the measure `{}` {what}", measure.name))
}

fn check(measure: &Measure) -> Result<(), TaskError> {
    if !is_name(&measure.name, true) {
        return Err(bad(
            measure,
            "has a name that Prometheus refuses: use letters, digits, `_` and `:`, no digit first",
        ));
    }
    if measure.value.is_some_and(|value| !value.is_finite()) {
        return Err(bad(measure, "is not a finite number"));
    }
    match measure.labels.keys().find(|label| !is_name(label, false)) {
        Some(label) => Err(bad(measure, &format!("has the label `{label}`, which Prometheus refuses"))),
        None => Ok(()),
    }
}

fn is_name(name: &str, colon: bool) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || (colon && c == ':'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use updraft_task::testing::TestRun;

    async fn run(measures: Value) -> (Result<Output, TaskError>, Vec<RunMetric>) {
        let dir = tempfile::tempdir().unwrap();
        let run = TestRun::new(dir.path());
        let params = serde_json::from_value(json!({ "measures": measures })).unwrap();
        (MetricsRecord::run(params, &run.context("t", 1, None)).await, run.metrics())
    }

    #[tokio::test]
    async fn measures_are_kept_with_unit_and_labels() {
        let (output, kept) = run(json!([
            { "name": "a_total", "value": 1, "unit": "rows" },
            { "name": "a_total", "value": 2.5, "labels": { "region": "europe" } },
            { "name": "mean", "value": null },
        ]))
        .await;
        let output = output.unwrap();
        assert_eq!((output.recorded, output.left_out, kept.len()), (2, 1, 2));
        assert_eq!((kept[0].unit.as_str(), kept[1].value), ("rows", 2.5));
    }

    #[tokio::test]
    async fn a_bad_measure_keeps_none() {
        for measures in [
            json!([{ "name": "1a", "value": 1 }]),
            json!([{ "name": "a b", "value": 1 }]),
            json!([{ "name": "a", "value": 1, "labels": { "b-c": "" } }]),
            json!([{ "name": "a", "value": 1 }, { "name": "a", "value": 2 }]),
        ] {
            let (output, kept) = run(measures).await;
            assert_eq!(output.unwrap_err().class(), "BadMeasure");
            assert!(kept.is_empty());
        }
    }
}
