//! Rules over real Parquet in a temporary lake.

use std::sync::Arc;

use datafusion::arrow::array::{Array, BooleanArray, Float64Array, Int32Array, StringArray, TimestampMillisecondArray};
use datafusion::arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use datafusion::arrow::record_batch::RecordBatch;
use serde_json::{Value, json};
use updraft_task::testing::TestRun;
use updraft_task::{Dataset, Lake, Task, TaskError, Verdict};

use super::*;
use crate::parquet;

const END_MS: i64 = 1_767_225_600_000;

/// icao24, latitude, source; `on_ground` is true for every fourth row, snapshot 30 s before the interval's end.
async fn region(lake: &Lake, name: &str, rows: &[(Option<&str>, Option<f64>, i32)]) -> Dataset {
    let time = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
    let schema = Schema::new(vec![
        Field::new("icao24", DataType::Utf8, true),
        Field::new("latitude_deg", DataType::Float64, true),
        Field::new("position_source", DataType::Int32, false),
        Field::new("on_ground", DataType::Boolean, false),
        Field::new("snapshot_time", time.clone(), false),
        Field::new("fetched_at", time, false),
    ]);
    let at = |ms: i64| TimestampMillisecondArray::from(vec![ms; rows.len()]).with_timezone("UTC");
    let batch = RecordBatch::try_new(
        Arc::new(schema.clone()),
        vec![
            Arc::new(rows.iter().map(|row| row.0).collect::<StringArray>()),
            Arc::new(rows.iter().map(|row| row.1).collect::<Float64Array>()),
            Arc::new(rows.iter().map(|row| Some(row.2)).collect::<Int32Array>()),
            Arc::new((0..rows.len()).map(|row| Some(row % 4 == 0)).collect::<BooleanArray>()),
            Arc::new(at(END_MS - 30_000)),
            Arc::new(at(END_MS - 28_000)),
        ],
    )
    .unwrap();
    parquet::write_batches(lake, &format!("in/{name}.parquet"), &schema, &[batch], Some(&format!("w/s/e/{name}")))
        .await
        .unwrap()
}

async fn check(run: &TestRun, with: Value) -> Result<QualityReport, TaskError> {
    QualityCheck::run(serde_json::from_value(with).unwrap(), &run.context("quality", 1, None)).await
}

async fn europe(run: &TestRun) -> Dataset {
    let lake = run.context("x", 1, None).lake().unwrap();
    let rows = [
        (Some("aaaaaa"), Some(50.0), 0),
        (Some("bbbbbb"), Some(95.0), 7),
        (Some("bbbbbb"), None, 1),
        (None, Some(10.0), 0),
    ];
    region(&lake, "europe", &rows).await
}

#[tokio::test]
async fn every_check_observes_what_is_in_the_rows() {
    let folder = tempfile::tempdir().unwrap();
    let run = TestRun::new(folder.path());
    let input = europe(&run).await;
    for (rule, observed, state) in [
        (json!({"check": "not_null", "columns": ["icao24"]}), Some(0.25), State::Warned),
        (json!({"check": "between", "column": "latitude_deg", "min": -90, "max": 90}), Some(0.25), State::Warned),
        (json!({"check": "between", "column": "latitude_deg", "min": 20}), Some(0.25), State::Warned),
        (json!({"check": "unique", "columns": ["icao24"]}), Some(0.25), State::Warned),
        (json!({"check": "unique", "columns": ["icao24", "latitude_deg"]}), Some(0.0), State::Passed),
        (json!({"check": "accepted", "column": "position_source", "values": [0, 1, 2, 3]}), Some(0.25), State::Warned),
        (json!({"check": "accepted", "column": "icao24", "values": ["aaaaaa", "bbbbbb"]}), Some(0.0), State::Passed),
        (json!({"check": "regex", "column": "icao24", "pattern": "^[0-9a]{6}$"}), Some(0.5), State::Warned),
        (json!({"check": "row_count", "min": 4, "max": 4}), Some(4.0), State::Passed),
        (json!({"check": "row_count", "min": 5}), Some(4.0), State::Warned),
        (json!({"check": "freshness", "column": "snapshot_time", "max_age_s": 20}), Some(30.0), State::Warned),
        (
            json!({"check": "ratio", "where": "on_ground", "of": "latitude_deg is not null", "warn": {"max": 0.3}}),
            Some(1.0 / 3.0),
            State::Warned,
        ),
        (
            json!({"check": "ratio", "where": "true", "of": "position_source = 9", "warn": {"max": 0.3}}),
            None,
            State::Passed,
        ),
        (
            json!({"check": "sql", "sql": "select max(latitude_deg) from data", "warn": {"max": 90}}),
            Some(95.0),
            State::Warned,
        ),
        (json!({"check": "sql", "sql": "select 0.25", "warn": {"min": 0.2}}), Some(0.25), State::Passed),
    ] {
        let mut rule = rule;
        rule["severity"] = json!("warning");
        let report = check(&run, json!({ "input": input, "rules": [rule] })).await.unwrap();
        let result = &report.rules[0];
        let near = match (result.observed, observed) {
            (Some(found), Some(expected)) => (found - expected).abs() < 1e-9,
            (found, expected) => found == expected,
        };
        assert!(near && result.state == state, "{rule}: {result:?}");
    }
    for (as_of, observed) in [("fetched_at", 2.0), ("2026-01-01T00:01:00Z", 90.0), ("2025-01-01T00:00:00Z", 0.0)] {
        let rule = json!({"check": "freshness", "column": "snapshot_time", "max_age_s": 5, "severity": "warning", "as_of": as_of});
        let report = check(&run, json!({ "input": input, "rules": [rule] })).await.unwrap();
        assert_eq!(report.rules[0].observed, Some(observed), "{as_of}");
    }
}

#[tokio::test]
async fn predicates_take_bit_masks_spans_of_time_and_missing_values() {
    let folder = tempfile::tempdir().unwrap();
    let run = TestRun::new(folder.path());
    let input = europe(&run).await;
    for (part, of, observed) in [
        ("(position_source & 6) <> 0", "true", 0.25),
        ("fetched_at > snapshot_time + interval '1 seconds'", "true", 1.0),
        ("fetched_at > snapshot_time + interval '60 seconds'", "true", 0.0),
        ("latitude_deg is not null and icao24 is null", "latitude_deg is not null", 1.0 / 3.0),
        ("not on_ground and latitude_deg is null", "not on_ground", 1.0 / 3.0),
        ("latitude_deg > 90", "true", 0.25),
    ] {
        let rule = json!({"check": "ratio", "where": part, "of": of, "warn": {"max": 2}, "per": "region"});
        let report = check(&run, json!({ "input": input, "rules": [rule] })).await.unwrap();
        let found = report.rules[0].observed.unwrap();
        assert!((found - observed).abs() < 1e-9, "{part} of {of}: {found}");
    }
}

#[tokio::test]
async fn an_error_fails_the_task_after_results_and_items_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let run = TestRun::new(folder.path());
    let input = json!({ "europe": { "dataset": europe(&run).await } });
    let with = json!({ "input": input, "rules": [
        {"name": "keys", "check": "not_null", "columns": ["icao24", "position_source"], "per": "region"},
        {"check": "row_count", "min": 1},
    ]});
    let error = check(&run, with).await.unwrap_err();
    assert_eq!((error.class(), error.verdict()), ("QualityFailed", &Verdict::Fail));
    assert!(error.message().contains("europe/keys(icao24) failed: observed 0.25, limit 0"), "{error}");
    let items: Vec<_> = run.items().into_iter().map(|item| (item.kind, item.name, item.state)).collect();
    let item = |name: &str, state: &str| ("quality_rule".to_owned(), name.to_owned(), state.to_owned());
    assert_eq!(
        items,
        [
            item("europe/keys(icao24)", "failed"),
            item("all/row_count", "passed"),
            item("europe/keys(position_source)", "passed")
        ]
    );
    let lake = run.context("x", 1, None).lake().unwrap();
    let table = "warehouse/quality_results/dt=2026-01-01";
    let key = format!("{table}/test_20260101T000000Z_20260101T000000Z_all_quality.parquet");
    assert!(error.message().contains(&key), "{error}");
    let bytes = lake.get(&key).await.unwrap();
    let (schema, rows) = parquet::decode(bytes.clone()).unwrap();
    let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    assert_eq!(
        names,
        [
            "run_id",
            "workflow",
            "task",
            "batch_id",
            "region",
            "check_name",
            "column_name",
            "severity",
            "observed",
            "threshold",
            "state",
            "score",
            "at"
        ]
    );
    let texts = |name: &str| -> Vec<String> {
        let column = rows[0].column_by_name(name).unwrap();
        column
            .as_any()
            .downcast_ref::<StringArray>()
            .unwrap()
            .iter()
            .map(|value| value.unwrap_or("-").to_owned())
            .collect()
    };
    assert_eq!(texts("state"), ["passed", "failed", "passed"]);
    assert_eq!(texts("column_name"), ["", "icao24", "position_source"]);
    assert_eq!(texts("batch_id"), ["test/20260101T000000Z/20260101T000000Z/all", "w/s/e/europe", "w/s/e/europe"]);
    assert_eq!(rows[0].column_by_name("threshold").unwrap().null_count(), 0);
    assert_eq!(lake.list(table).await.unwrap().len(), 1, "one file of this task and interval");
}

#[tokio::test]
async fn rules_per_region_judge_each_dataset_and_a_missing_region_warns() {
    let folder = tempfile::tempdir().unwrap();
    let run = TestRun::new(folder.path());
    let lake = run.context("x", 1, None).lake().unwrap();
    let asia = region(&lake, "asia", &[(Some("aaaaaa"), Some(1.0), 0)]).await;
    let none = region(&lake, "america", &[]).await;
    let stray = region(&lake, "unlocated", &[(Some("cccccc"), None, 0)]).await;
    let input = json!({
        "asia": { "dataset": asia }, "america": { "dataset": none }, "unlocated": { "dataset": stray },
    });
    let rules = json!([
        {"name": "keyed", "check": "not_null", "columns": ["icao24"], "per": "region"},
        {"name": "once", "check": "unique", "columns": ["icao24"]},
        {"name": "many", "check": "row_count", "min": 2, "severity": "warning", "per": "region", "regions": ["asia", "europe"]},
    ]);
    let with = json!({ "input": input, "rules": rules, "regions": ["asia", "america", "africa"] });
    let report = check(&run, with.clone()).await.unwrap();
    let found: Vec<_> =
        report.rules.iter().map(|rule| (rule.region.as_str(), rule.name.as_str(), rule.state, rule.observed)).collect();
    assert_eq!(
        found,
        [
            ("africa", "row_count", State::Warned, Some(0.0)),
            ("america", "row_count", State::Warned, Some(0.0)),
            ("asia", "many", State::Warned, Some(1.0)),
            ("all", "once", State::Passed, Some(0.0)),
            ("africa", "keyed", State::Passed, None),
            ("america", "keyed", State::Passed, None),
            ("asia", "keyed", State::Passed, Some(0.0)),
            ("asia", "row_count", State::Passed, Some(1.0)),
            ("unlocated", "keyed", State::Passed, Some(0.0)),
            ("unlocated", "row_count", State::Passed, Some(1.0)),
        ]
    );
    assert_eq!((report.rows_in, report.passed, report.warned, report.failed), (2, 7, 3, 0));
    assert!(report.score < 100.0 && report.score > 75.0, "{}", report.score);

    let before = lake.get(&report.results).await.unwrap();
    let objects = lake.list("warehouse").await.unwrap();
    check(&run, with).await.unwrap();
    assert_eq!(lake.list("warehouse").await.unwrap(), objects, "a second run writes over the first");
    assert_eq!(lake.get(&report.results).await.unwrap(), before, "with equal bytes");

    let strict = json!([{"check": "row_count", "min": 1, "max": 9, "per": "region"}]);
    let with = json!({ "input": input, "rules": strict, "regions": ["asia", "africa"] });
    let error = check(&run, with).await.unwrap_err();
    assert!(error.message().starts_with("1 of 4 results"), "only what was not asked for fails: {error}");
    assert!(error.message().contains("america/row_count failed: observed 0, limit 1"), "{error}");
}

#[tokio::test]
async fn queries_see_all_rows_and_each_dataset_by_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let run = TestRun::new(folder.path());
    let lake = run.context("x", 1, None).lake().unwrap();
    let asia = region(&lake, "asia", &[(Some("aaaaaa"), Some(1.0), 0), (Some("dddddd"), Some(2.0), 0)]).await;
    let input = json!({ "asia": { "dataset": asia }, "europe": { "dataset": europe(&run).await } });
    let sql =
        "select 100 * (select count(*) from data) + 10 * (select count(*) from asia) + (select count(*) from europe)";
    for (per, observed) in [("all", vec![624.0]), ("region", vec![224.0, 424.0])] {
        let rules = json!([{"check": "sql", "sql": sql, "warn": {"min": 0}, "per": per}]);
        let report = check(&run, json!({ "input": input, "rules": rules })).await.unwrap();
        assert_eq!(report.rules.iter().filter_map(|rule| rule.observed).collect::<Vec<_>>(), observed);
    }
}

#[tokio::test]
async fn the_score_has_limits_of_its_own_and_results_may_go_to_another_table() {
    let folder = tempfile::tempdir().unwrap();
    let run = TestRun::new(folder.path());
    let input = europe(&run).await;
    let rules = json!([{"check": "not_null", "columns": ["icao24"], "severity": "warning"}]);
    for (limits, state) in [
        (json!({"warn": 92}), Some(State::Passed)),
        (json!({"warn": 93, "error": 50}), Some(State::Warned)),
        (json!({"warn": 95, "error": 93}), None),
    ] {
        let with = json!({ "input": input, "rules": rules, "min_score": limits, "table": "judged" });
        match (check(&run, with).await, state) {
            (Ok(report), Some(state)) => {
                let result = report.rules.iter().find(|rule| rule.name == "score").unwrap();
                assert_eq!((report.score, result.observed, result.state), (92.5, Some(92.5), state));
                assert!(report.results.starts_with("warehouse/judged/dt=2026-01-01/"), "{}", report.results);
            }
            (Err(error), None) => {
                assert!(error.message().contains("all/score failed: observed 92.5, limit 93"), "{error}");
            }
            (outcome, _) => panic!("{limits}: {outcome:?}"),
        }
    }
    let with = json!({ "input": input, "rules": rules, "table": "../judged" });
    assert_eq!(check(&run, with).await.unwrap_err().class(), "BadTable");
}

#[tokio::test]
async fn a_rule_that_cannot_be_judged_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let run = TestRun::new(folder.path());
    let input = europe(&run).await;
    for (rule, part) in [
        (
            json!({"name": "typo", "check": "not_null", "columns": ["icao42"]}),
            "rule `typo`: there is no column `icao42`; the columns are icao24, latitude_deg",
        ),
        (json!({"check": "ratio", "where": "on_ground", "of": "true"}), "no limit"),
        (
            json!({"name": "broken", "check": "ratio", "where": "on_ground and", "of": "true", "error": 1}),
            "rule `broken`",
        ),
        (json!({"check": "between", "column": "latitude_deg"}), "needs `min`"),
        (json!({"check": "regex", "column": "icao24", "pattern": "("}), "unclosed group"),
        (json!({"check": "accepted", "column": "icao24", "values": []}), "at least one"),
        (json!({"check": "sql", "sql": "select 1, 2", "error": 1}), "2 columns"),
        (json!({"check": "sql", "sql": "drop table data", "error": 1}), "DDL"),
        (json!({"check": "sql", "sql": "select icao24 from data", "error": 1}), "answers Utf8"),
        (json!({"check": "sql", "sql": "select latitude_deg from data", "error": 1}), "several rows"),
        (json!({"check": "sql", "sql": "select 1 where 1 = 2", "error": 1}), "no row"),
        (json!({"check": "sql", "sql": "select 1", "error": {}}), "no limit"),
        (json!({"check": "between", "column": "icao24", "max": 1}), "`icao24` is Utf8, but a number is needed"),
        (json!({"check": "accepted", "column": "icao24", "values": ["a", 1]}), "type of `values`"),
        (json!({"check": "freshness", "column": "latitude_deg", "max_age_s": 1}), "a timestamp is needed"),
        (
            json!({"check": "freshness", "column": "snapshot_time", "max_age_s": 1, "as_of": "now"}),
            "neither a column nor",
        ),
        (json!({"check": "not_null", "columns": []}), "at least one"),
    ] {
        let error = check(&run, json!({ "input": input, "rules": [rule] })).await.unwrap_err();
        assert_eq!(error.class(), "BadRule", "{rule}: {error}");
        assert!(error.message().contains(part), "{rule}: {error}");
    }
    let rules = json!([
        {"name": "first", "check": "not_null", "columns": ["a"]},
        {"name": "good", "check": "row_count", "min": 1},
        {"name": "second", "check": "ratio", "where": "b = 1", "of": "true", "error": 1},
    ]);
    let error = check(&run, json!({ "input": input, "rules": rules })).await.unwrap_err();
    let named = |name: &str| error.message().contains(&format!("rule `{name}`"));
    assert!(named("first") && named("second") && !named("good"), "{error}");

    let rules = json!([
        {"check": "row_count", "min": 1},
        {"name": "cast", "check": "ratio", "where": "cast(icao24 as int) = 1", "of": "true", "error": 1},
    ]);
    let error = check(&run, json!({ "input": input, "rules": rules })).await.unwrap_err();
    assert!(error.class() == "QueryFailed" && error.message().contains("rule `cast`"), "{error}");

    let unknown = json!({ "input": input, "rules": [{"check": "unique", "columns": ["a"], "column": "b"}] });
    assert!(
        serde_json::from_value::<QualityParams>(unknown).unwrap_err().to_string().contains("unknown field `column`")
    );
}

#[tokio::test]
async fn the_databases_behind_the_connection_get_the_results_also_of_a_check_that_fails() {
    let Some(database) = updraft_testkit::postgres::fresh_database().unwrap() else { return };
    let folder = tempfile::tempdir().unwrap();
    let run = TestRun::new(folder.path());
    crate::postgres::testing::connect(&run, "tables", database.url());
    run.connect("files", json!({ "kind": "warehouse", "engine": "lake" }));
    run.connect("warehouse", json!({ "kind": "group", "members": ["files", "tables"] }));
    let shipped = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../workflows/opensky/postgres");
    let migrate = serde_json::from_value(json!({ "folder": shipped })).unwrap();
    let context = run.context("migrate", 1, Some("warehouse"));
    crate::postgres::migrate::PostgresMigrate::run(migrate, &context).await.unwrap();

    let input = europe(&run).await;
    let rules = json!([
        {"name": "keys", "check": "not_null", "columns": ["icao24", "position_source"], "severity": "warning"},
        {"name": "broken", "check": "row_count", "min": 5, "severity": "error"},
    ]);
    let with = json!({ "input": input, "rules": rules });
    for attempt in [1, 2] {
        let params = serde_json::from_value(with.clone()).unwrap();
        let error = QualityCheck::run(params, &run.context("quality", attempt, Some("warehouse"))).await.unwrap_err();
        assert_eq!(error.class(), "QualityFailed");
        let found = "select check_name || '/' || column_name || '/' || state from quality_results order by 1";
        assert_eq!(
            crate::postgres::testing::texts(database.url(), found).await,
            ["broken//failed", "keys/icao24/warned", "keys/position_source/passed"]
        );
    }
    crate::postgres::testing::execute(database.url(), "drop table quality_results").await;
    let params = serde_json::from_value(with).unwrap();
    let error = QualityCheck::run(params, &run.context("again", 1, Some("warehouse"))).await.unwrap_err();
    assert_eq!(error.class(), "BadTable", "{error}");
}

/// One row per number, so that `row_count` observes it, at an hour of 1 January 2026.
async fn counted(run: &mut TestRun, rows: usize, at: &str) -> Result<QualityReport, TaskError> {
    let end = updraft_task::Timestamp::parse(at).unwrap();
    run.info.interval = updraft_task::DataInterval { start: end, end };
    let lake = run.context("x", 1, None).lake().unwrap();
    let input = region(&lake, "europe", &vec![(Some("aaaaaa"), Some(50.0), 0); rows]).await;
    let rules = json!([
        {"name": "rows", "check": "row_count", "min": 0},
        {"name": "usual", "check": "history", "of": "rows", "warn": {"min": 0.5}, "error": {"min": 0.2}},
        {"name": "drift", "check": "history", "of": "rows", "compare": "median_difference", "last": 3, "warn": {"max": 50}},
    ]);
    check(run, json!({ "input": input, "rules": rules })).await
}

#[tokio::test]
async fn a_rule_looks_back_at_earlier_intervals_only_and_is_silent_while_there_are_few() {
    let folder = tempfile::tempdir().unwrap();
    let mut run = TestRun::new(folder.path());
    let state = |report: &QualityReport, name: &str| {
        report.rules.iter().find(|rule| rule.name == name).map(|rule| (rule.state, rule.observed)).unwrap()
    };
    for (rows, at) in [(100, "01:00"), (90, "02:00"), (1, "03:00")] {
        let report = counted(&mut run, rows, &format!("2026-01-01T{at}:00Z")).await.unwrap();
        assert_eq!(state(&report, "usual"), (State::Passed, None), "{at}");
    }
    let notes = run.lines().iter().filter(|(_, line)| line.contains("all/usual: 2 of 3 earlier results")).count();
    assert_eq!(notes, 1);
    let report = counted(&mut run, 45, "2026-01-01T04:00:00Z").await.unwrap();
    assert_eq!(state(&report, "usual"), (State::Passed, Some(0.5)));
    assert_eq!(state(&report, "drift"), (State::Passed, Some(-45.0)));
    // The median of 100, 90, 1 and 45 is 67.5.
    let report = counted(&mut run, 27, "2026-01-01T05:00:00Z").await.unwrap();
    assert_eq!(state(&report, "usual"), (State::Warned, Some(0.4)));
    let error = counted(&mut run, 4, "2026-01-01T06:00:00Z").await.unwrap_err();
    assert!(error.message().contains("all/usual failed"), "{error}");
    let report = counted(&mut run, 200, "2026-01-01T07:00:00Z").await.unwrap();
    assert_eq!(state(&report, "drift").0, State::Warned);
    // An old interval again, with all that came later in the lake: as the first time.
    let report = counted(&mut run, 45, "2026-01-01T04:00:00Z").await.unwrap();
    assert_eq!(state(&report, "usual"), (State::Passed, Some(0.5)));
    // Another workflow, and another task, have a history of their own.
    run.info.workflow = "test_2026".to_owned();
    let report = counted(&mut run, 1, "2026-01-01T08:00:00Z").await.unwrap();
    assert_eq!(state(&report, "usual"), (State::Passed, None));
}

#[tokio::test]
async fn a_rule_that_looks_back_names_one_number_of_the_same_rows() {
    let folder = tempfile::tempdir().unwrap();
    let run = TestRun::new(folder.path());
    let input = europe(&run).await;
    for (of, more, part) in [
        ("none", json!({}), "there is no such rule"),
        ("back", json!({}), "looks back itself"),
        ("pair", json!({}), "several columns"),
        ("rows", json!({ "per": "region" }), "`per` differs"),
        ("rows", json!({ "regions": ["asia"] }), "`regions` differ"),
        ("rows", json!({ "last": 2 }), "`last` is less than `min_history`"),
    ] {
        let mut rule = json!({"name": "back", "check": "history", "of": of, "warn": 1});
        rule.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let rules = json!([
            {"name": "rows", "check": "row_count", "min": 0},
            {"name": "pair", "check": "not_null", "columns": ["icao24", "latitude_deg"]},
            rule,
        ]);
        let error = check(&run, json!({ "input": input, "rules": rules })).await.unwrap_err();
        assert!(error.class() == "BadRule" && error.message().contains(part), "{of}: {error}");
    }
}

#[tokio::test]
async fn a_rule_for_some_regions_is_judged_per_region() {
    let folder = tempfile::tempdir().unwrap();
    let run = TestRun::new(folder.path());
    let rules = json!([{"name": "rows", "check": "row_count", "min": 1, "regions": ["europe"]}]);
    let error = check(&run, json!({ "input": europe(&run).await, "rules": rules })).await.unwrap_err();
    assert!(error.class() == "BadRule" && error.message().contains("set `per: region`"), "{error}");
}
