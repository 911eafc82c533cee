//! One call a region: from the plan over the calls to the rows.

use serde_json::json;

use super::super::validate::Validate;
use super::*;

impl Bench {
    /// Plans and collects one call for each of two regions.
    async fn collect_two(&self) -> Value {
        let plan = self.plan(json!({ "scope": "per_region", "regions": ["europe", "north_america"] })).await.unwrap();
        self.task::<super::super::Collect>(json!({ "requests": plan["requests"] })).await.unwrap()
    }

    async fn validate_in(&self, collected: &Value, boxes: &Value) -> Result<Value, TaskError> {
        let regions = json!(["europe", "north_america"]);
        self.task::<Validate>(json!({ "snapshots": collected["snapshots"], "regions": regions, "region_boxes": boxes }))
            .await
    }
}

#[tokio::test]
async fn two_boxes_are_two_calls_two_answers_and_two_datasets() {
    let bench = Bench::four();
    let collected = bench.collect_two().await;
    assert_eq!(bench.asked(STATES), 2);
    assert_eq!((&collected["requests"], &collected["credits_spent"]), (&json!(2), &json!(8)));
    let regions: Vec<&Value> = collected["snapshots"].as_array().unwrap().iter().map(|raw| &raw["region"]).collect();
    assert_eq!(regions, ["europe", "north_america"]);
    let output = bench.validate_in(&collected, &boxes()).await.unwrap();
    let counts = ["received", "accepted", "outside"].map(|name| output[name].as_u64().unwrap());
    assert_eq!(counts, [3, 3, 0], "the row without a position is in no box: {output}");
    for (region, rows) in [("europe", 2), ("north_america", 1)] {
        assert_eq!(output["regions"][region]["dataset"]["rows"], rows, "{region}");
        assert!(output["regions"][region]["dataset"]["batch_id"].as_str().unwrap().ends_with(region));
    }
    assert_eq!((&output["flags"]["outside_box"], &output["flags"]["swapped_coordinates"]), (&json!(0), &json!(0)));
    // Both are kept each for itself: of one that is gone only that one is fetched again.
    let lake = bench.run.context("task", 1, None).lake().unwrap();
    lake.delete(collected["snapshots"][1]["object_key"].as_str().unwrap()).await.unwrap();
    let again = bench.collect_two().await;
    assert_eq!((&again["requests"], &again["credits_spent"], &again["reused"]), (&json!(1), &json!(4), &json!(false)));
    assert_eq!(again["snapshots"][0], collected["snapshots"][0]);
    assert_eq!(bench.asked(STATES), 3);
}

#[tokio::test]
async fn rows_that_the_answer_has_outside_its_box_are_kept_and_flagged() {
    let bench = Bench::four();
    let collected = bench.collect_two().await;
    // The same answers, looked at with other boxes: 50.0° N 8.5° E is outside the first, and inside with both exchanged;
    // 51.0° N 9.5° E is outside both ways.
    let boxes = json!({
        "europe": { "lamin": 8.0, "lomin": 49.0, "lamax": 9.0, "lomax": 50.5 },
        "north_america": { "lamin": 25.0, "lomin": -125.0, "lamax": 50.0, "lomax": -65.0 },
    });
    let output = bench.validate_in(&collected, &boxes).await.unwrap();
    assert_eq!((&output["flags"]["outside_box"], &output["flags"]["swapped_coordinates"]), (&json!(2), &json!(1)));
    assert_eq!((&output["accepted"], &output["outside"]), (&json!(3), &json!(0)));
    assert_eq!(output["regions"]["europe"]["accepted"], 2, "a row belongs to the region that it was asked for");
}

#[tokio::test]
async fn answers_and_regions_fit_or_nothing_is_judged() {
    let bench = Bench::four();
    let collected = bench.collect_two().await;
    let one = |at: usize| json!([collected["snapshots"][at]]);
    for (snapshots, regions, words) in [
        (one(0), json!(["europe", "north_america"]), "no answer in `snapshots` covers region `north_america`"),
        (collected["snapshots"].clone(), json!(["europe"]), "the answer for `north_america` belongs to no region"),
        (one(0), json!(["asia"]), "asia"),
    ] {
        let params = json!({ "snapshots": snapshots, "regions": regions, "region_boxes": boxes() });
        let error = bench.task::<Validate>(params).await.unwrap_err();
        assert_eq!(error.class(), "BadParameters", "{error}");
        assert!(error.message().contains(words), "{error}");
    }
}
