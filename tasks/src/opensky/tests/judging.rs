//! The flagship's own rules on recorded snapshots: good data fails none of them and scores high.

use super::super::validate::Validate;
use super::*;
use crate::quality::{QualityCheck, QualityParams};

/// The rules of the flagship, with what its templates would bring from `output`.
fn rules(output: &Value) -> Value {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../workflows/opensky/data_pipeline.yaml");
    let workflow: Value = serde_yaml::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let tasks = workflow["tasks"].as_array().unwrap();
    let task = tasks.iter().find(|task| task["type"] == "quality.check").unwrap();
    let mut rules = task["with"]["rules"].clone();
    for rule in rules.as_array_mut().unwrap() {
        if let Some(sql) = rule.get("sql").and_then(Value::as_str) {
            let mut text = sql.to_owned();
            for field in ["nulls.latitude_deg", "received", "quarantine.rows"] {
                let value = output.pointer(&format!("/{}", field.replace('.', "/"))).unwrap_or(&json!(0)).to_string();
                text = text.replace(&format!("{{{{ tasks.split_and_validate.output.{field} }}}}"), &value);
            }
            rule["sql"] = json!(text);
        }
        if rule.pointer("/warn/max").is_some_and(Value::is_string) {
            rule["warn"]["max"] = json!(0.03);
        }
    }
    rules
}

#[tokio::test]
async fn recorded_snapshots_break_no_rule_of_the_flagship_and_score_high() {
    for (file, region) in [
        ("recorded/states_europe_20251202T093439Z.json", "europe"),
        ("derived/states_north_america_ny_20260729T144058Z.json", "north_america"),
    ] {
        let Some(path) = updraft_testkit::shared_data_file(&format!("opensky/{file}")) else { return };
        let bench = Bench::playing(path);
        let collected = bench.collect().await.unwrap();
        let params = json!({ "snapshots": collected["snapshots"], "regions": [region], "region_boxes": boxes() });
        let output = bench.task::<Validate>(params).await.unwrap();
        let with: QualityParams =
            serde_json::from_value(json!({ "input": output["regions"], "rules": rules(&output), "regions": [region] }))
                .unwrap();
        let report = QualityCheck::run(with, &bench.run.context("quality", 1, None)).await.unwrap();
        assert_eq!(report.rows_in, output["accepted"].as_u64().unwrap(), "{file}");
        assert!(report.failed == 0 && report.score > 85.0, "{file}: {report:?}");
        assert_eq!(
            report.results,
            bench.run.context("x", 1, None).lake().unwrap().list("warehouse").await.unwrap()[0].0
        );
    }
}
