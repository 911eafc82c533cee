//! The workflows of upkeep, task after task as their files write them, with a lake in local files. How a run goes from task to
//! task is the engine's matter.

use std::path::Path;

use minijinja::Environment;
use serde_json::{Map, Value, json};
use updraft_task::testing::TestRun;
use updraft_task::{TaskError, Verdict};

/// A workflow's file with its params as they stand, and some of them set.
fn workflow(file: &str, set: &Value) -> (Vec<Value>, Value) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../workflows/opensky").join(file);
    let workflow: Value = serde_yaml::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let mut params: Map<String, Value> = workflow["params"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, param)| (name.clone(), param["default"].clone()))
        .collect();
    params.extend(set.as_object().unwrap().clone());
    (workflow["tasks"].as_array().unwrap().clone(), json!({ "params": params, "vars": workflow["vars"] }))
}

/// A value with its templates filled in; one that is a template as a whole keeps its type.
fn rendered(value: &Value, names: &Value) -> Value {
    match value {
        Value::String(text) => {
            let inner = text.strip_prefix("{{").and_then(|text| text.strip_suffix("}}"));
            let Some(inner) = inner else { return value.clone() };
            let environment = Environment::new();
            let found =
                environment.compile_expression(inner.trim()).unwrap().eval(minijinja::value::Serde(names)).unwrap();
            serde_json::to_value(found).unwrap()
        }
        Value::Array(items) => items.iter().map(|item| rendered(item, names)).collect(),
        Value::Object(fields) => fields.iter().map(|(name, field)| (name.clone(), rendered(field, names))).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

/// What each task but `notify` gave; `None` where its `when` is false.
async fn run(run: &TestRun, file: &str, set: Value) -> Vec<Option<Result<Value, TaskError>>> {
    let (tasks, names) = workflow(file, &set);
    let registry = crate::registry();
    let mut outputs = Vec::new();
    for task in tasks.iter().filter(|task| task["type"] != "notify") {
        if task.get("when").is_some_and(|when| rendered(when, &names) != json!(true)) {
            outputs.push(None);
            continue;
        }
        let with = rendered(&task["with"], &names);
        let kind = registry.task(task["type"].as_str().unwrap()).unwrap();
        jsonschema::validate(&kind.params, &with).unwrap();
        let context = run.context(task["id"].as_str().unwrap(), 1, None);
        outputs.push(Some(kind.run(with, &context).await));
    }
    outputs
}

#[tokio::test]
async fn maintenance_lists_and_removes_only_when_told_so() {
    let folder = tempfile::tempdir().unwrap();
    let place = TestRun::new(folder.path());
    let lake = place.context("x", 1, None).lake().unwrap();
    lake.put("processed-data/states/v1/dt=2020-01-01/hour=00/part-a.parquet", "1").await.unwrap();
    lake.put("processed-data/aggregations/v1/dt=2020-01-01/a.parquet", "1").await.unwrap();
    for (set, left) in [(json!({}), 2), (json!({ "dry_run": false }), 1), (json!({ "dry_run": false }), 1)] {
        let outputs = run(&place, "maintenance.yaml", set.clone()).await;
        assert_eq!(outputs[1].is_some(), set["dry_run"] == false);
        outputs.into_iter().flatten().for_each(|output| drop(output.unwrap()));
        assert_eq!(lake.list("").await.unwrap().len(), left, "{set}");
    }
}

#[tokio::test]
async fn reference_data_are_loaded_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut place = TestRun::new(folder.path());
    place.info.project_dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    place.connect("lake", json!({ "kind": "lake", "url": folder.path().join("lake").display().to_string() }));
    let outputs = run(&place, "reference_refresh.yaml", json!({})).await;
    let rows: Vec<Option<u64>> =
        outputs.into_iter().map(|output| output.map(|output| output.unwrap()["current"].as_u64().unwrap())).collect();
    assert!(matches!(rows[..], [Some(300..), Some(249), Some(111), None]), "{rows:?}");
    for output in run(&place, "reference_refresh.yaml", json!({})).await.into_iter().flatten() {
        assert_eq!(output.unwrap_err().verdict(), &Verdict::Skip);
    }
    let Some(aircraft) = updraft_testkit::shared_data_file("opensky/reference/aircraft_extract.csv") else { return };
    let set = json!({ "aircraft": aircraft.display().to_string() });
    let outputs = run(&place, "reference_refresh.yaml", set).await;
    assert!(outputs[3].as_ref().unwrap().as_ref().unwrap()["current"].as_u64().unwrap() > 0);
}
