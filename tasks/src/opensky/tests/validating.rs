//! What becomes of the rows: known answers of recorded snapshots, and sums that always hold.

use proptest::prelude::*;
use serde_json::json;
use updraft_task::Dataset;
use updraft_testkit::opensky::Fault;

use super::super::validate::Validate;
use super::*;

impl Bench {
    async fn validate(&self, regions: &[&str]) -> Result<Value, TaskError> {
        let collected = self.collect().await?;
        let params = json!({ "snapshots": collected["snapshots"], "regions": regions, "region_boxes": boxes() });
        self.task::<Validate>(params).await
    }
}

fn sum(counts: &Value) -> u64 {
    counts.as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum()
}

fn adds_up(output: &Value) -> bool {
    let of = |name: &str| output[name].as_u64().unwrap();
    of("received") == of("accepted") + of("outside") + sum(&output["rejected"])
}

#[tokio::test]
async fn the_numbers_of_recorded_snapshots_come_out() {
    // states, on the ground, baro null, squawk null, blank, countries, older than 15, 60, 300 s, mean velocity
    for (file, region, numbers, mean) in [
        (
            "recorded/states_europe_20251202T093439Z.json",
            "europe",
            [1_744, 168, 163, 373, 16, 65, 195, 131, 13],
            161.180,
        ),
        (
            "derived/states_north_america_ny_20260729T144058Z.json",
            "north_america",
            [509, 78, 79, 21, 9, 9, 34, 0, 0],
            121.858,
        ),
        ("recorded/states_small_20180213T201329Z.json", "world", [6, 1, 1, 0, 0, 2, 0, 0, 0], 155.443),
        ("recorded/states_extended_small_20230507T194544Z.json", "world", [4, 1, 1, 4, 0, 2, 1, 1, 0], 120.425),
    ] {
        let Some(path) = updraft_testkit::shared_data_file(&format!("opensky/{file}")) else { return };
        let output = Bench::playing(path).validate(&[region]).await.unwrap();
        let found = [
            "/accepted",
            "/on_ground",
            "/nulls/baro_altitude_m",
            "/nulls/squawk",
            "/blank_callsign",
            "/countries",
            "/position_older/15",
            "/position_older/60",
            "/position_older/300",
        ]
        .map(|at| output.pointer(at).and_then(Value::as_u64).unwrap());
        assert_eq!(found, numbers, "{file}");
        assert_eq!(output["mean_velocity_mps"], json!(mean), "{file}");
        assert!(adds_up(&output), "{output}");
    }
}

#[tokio::test]
async fn rows_go_to_their_region_or_are_outside_or_have_no_position() {
    let bench = Bench::four();
    let output = bench.validate(&["europe"]).await.unwrap();
    assert_eq!((&output["received"], &output["accepted"], &output["outside"]), (&json!(4), &json!(3), &json!(1)));
    assert_eq!(output["regions"]["europe"]["accepted"], 2);
    assert_eq!(output["regions"]["unlocated"]["accepted"], 1);
    let dataset: Dataset = serde_json::from_value(output["regions"]["europe"]["dataset"].clone()).unwrap();
    let columns: Vec<String> =
        dataset.schema.iter().map(|c| format!("{}{}", c.name, if c.nullable { "" } else { "!" })).collect();
    assert_eq!(
        columns.join(" "),
        "icao24! callsign origin_country time_position last_contact! longitude_deg latitude_deg baro_altitude_m \
         geo_altitude_m on_ground! velocity_mps true_track_deg vertical_rate_mps squawk spi! position_source! category \
         region snapshot_time! fetched_at! batch_id! schema_version! position_age_s contact_age_s! is_live! flags! \
         altitude_band! speed_band!"
    );
    assert_eq!(bench.validate(&["europe"]).await.unwrap(), output, "a repeat writes the same bytes");
}

#[tokio::test]
async fn spoiled_answers_are_sorted_by_reason() {
    for (fault, accepted, rejected, reason) in [
        (Fault::NoStates, 0, 0, "shape"),
        (Fault::ShortRows, 3, 1, "shape"),
        (Fault::DuplicateRow, 5, 0, "shape"),
        (Fault::FutureContact, 3, 1, "future"),
    ] {
        let bench = Bench::four();
        bench.standin.fail(fault, 1);
        let output = bench.validate(&["europe", "north_america"]).await.unwrap();
        assert_eq!((&output["accepted"], &output["rejected"][reason]), (&json!(accepted), &json!(rejected)), "{fault}");
        assert_eq!(output["quarantine"]["rows"], rejected, "{fault}");
        assert!(adds_up(&output), "{fault}: {output}");
    }
}

/// Runs of which each has an answer of its own, `seconds` after the one before; what validation says of them.
async fn one_after_the_other(answers: Vec<(Value, i64)>) -> (Bench, Vec<Value>) {
    let mut bench = Bench::four();
    let mut outputs = Vec::new();
    for (mut answer, seconds) in answers {
        let later = |at: &mut Value| *at = json!(at.as_i64().unwrap() + seconds);
        later(&mut answer["time"]);
        for row in answer["states"].as_array_mut().unwrap() {
            later(&mut row[3]);
            later(&mut row[4]);
        }
        bench.next();
        bench.keep(&answer).await;
        outputs.push(bench.validate(&["europe", "north_america"]).await.unwrap());
    }
    (bench, outputs)
}

fn moved(icao24: &str, lat: f64) -> Value {
    let mut answer = four();
    for row in answer["states"].as_array_mut().unwrap().iter_mut().filter(|row| row[0] == icao24) {
        row[6] = json!(lat);
    }
    answer
}

#[tokio::test]
async fn an_aircraft_that_cannot_have_flown_there_since_the_answer_before_is_flagged() {
    // 2 degrees are 222 km: 370 m/s over 600 s, 463 m/s over 480 s.
    for (seconds, jumps) in [(600, 0), (480, 1), (3_000, 0)] {
        let (_bench, outputs) = one_after_the_other(vec![(four(), 0), (moved("aaaaa1", 52.0), seconds)]).await;
        assert_eq!(
            (&outputs[0]["flags"]["jump"], &outputs[1]["flags"]["jump"]),
            (&json!(0), &json!(jumps)),
            "{seconds}"
        );
    }
    // A re-run of an interval sees the same two answers, also when newer ones are there by then.
    let answers = vec![(four(), 0), (moved("aaaaa1", 52.0), 480), (four(), 600)];
    let (mut bench, outputs) = one_after_the_other(answers).await;
    assert_eq!(outputs[2]["flags"]["jump"], 1, "and back again");
    bench.back(1);
    assert_eq!(bench.validate(&["europe", "north_america"]).await.unwrap(), outputs[1]);
    // What is gone cannot be compared with, and stops nothing.
    let lake = bench.run.context("x", 1, None).lake().unwrap();
    let before = bench.collect().await.unwrap()["snapshots"][0]["before"].as_str().unwrap().to_owned();
    lake.delete(&before).await.unwrap();
    let again = bench.validate(&["europe", "north_america"]).await.unwrap();
    assert_eq!((&again["flags"]["jump"], &again["accepted"]), (&json!(0), &outputs[1]["accepted"]));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn whatever_comes_every_row_is_counted_once(
        edits in prop::collection::vec((0_usize..4, 0_usize..18, prop_oneof![
            Just(json!(null)), Just(json!("")), Just(json!(-1)), Just(json!(1e300)), Just(json!(true)), Just(json!([])),
            (-400.0..400.0_f64).prop_map(|number| json!(number)),
        ]), 0..12)
    ) {
        let mut answer = four();
        for (row, column, value) in edits {
            answer["states"][row][column] = value;
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let bench = Bench::new(Options { answers: vec![answer], ..Options::default() });
        let output = runtime.block_on(bench.validate(&["europe"])).unwrap();
        prop_assert_eq!(&output["received"], &json!(4));
        prop_assert!(adds_up(&output), "{}", output);
    }
}
