//! A million flight states for reports of throughput.

use std::path::Path;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, BooleanArray, Float64Array, StringArray, TimestampMillisecondArray};
use datafusion::arrow::record_batch::RecordBatch;
use updraft_task::Dataset;
use updraft_task::testing::TestRun;

use crate::parquet::Encoder;

/// Rows of a report.
pub(crate) const STATES: i64 = 1_000_000;
/// Rows of one [`states`].
pub(crate) const PART: i64 = 10_000;

/// States of [`PART`] aircraft, as fifteen columns.
#[expect(clippy::cast_precision_loss, reason = "made-up measures")]
pub(crate) fn states(first: i64) -> RecordBatch {
    let rows = || first..first + PART;
    let text =
        |of: &dyn Fn(i64) -> String| Arc::new(rows().map(|row| Some(of(row))).collect::<StringArray>()) as ArrayRef;
    let number = |of: &dyn Fn(i64) -> f64| {
        Arc::new(rows().map(|row| (row % 17 != 0).then(|| of(row))).collect::<Float64Array>()) as ArrayRef
    };
    let instant = |lag_ms: i64| {
        let at = rows().map(|row| Some(1_767_225_600_000 + row * 10 - lag_ms));
        Arc::new(at.collect::<TimestampMillisecondArray>().with_timezone("UTC")) as ArrayRef
    };
    let spread = |row: i64, factor: i64, range: i64| ((row * factor) % (range * 1_000)) as f64 / 1_000.0;
    RecordBatch::try_from_iter([
        ("icao24", text(&|row| format!("{row:06x}"))),
        ("callsign", text(&|row| format!("DLH{}", row * 7919 % 10_000))),
        (
            "origin_country",
            text(&|row| ["Germany", "United Kingdom", "France", "Spain"][usize::try_from(row % 4).unwrap()].to_owned()),
        ),
        ("time_position", instant(1_500)),
        ("last_contact", instant(0)),
        ("longitude_deg", number(&|row| spread(row, 104_729, 360) - 180.0)),
        ("latitude_deg", number(&|row| spread(row, 1_299_709, 180) - 90.0)),
        ("baro_altitude_m", number(&|row| spread(row, 15_485, 12_000))),
        ("on_ground", Arc::new(rows().map(|row| Some(row % 9 == 0)).collect::<BooleanArray>()) as ArrayRef),
        ("velocity_mps", number(&|row| spread(row, 32_452, 290))),
        ("true_track_deg", number(&|row| spread(row, 49_979, 360))),
        ("vertical_rate_mps", number(&|row| spread(row, 67_867, 40) - 20.0)),
        ("geo_altitude_m", number(&|row| spread(row, 86_028, 12_500))),
        ("squawk", text(&|row| format!("{:04}", row * 31 % 7_777))),
        ("region", text(&|_| "europe".to_owned())),
    ])
    .unwrap()
}

/// The most memory that this process had, in MiB.
pub(crate) fn peak_mib() -> u64 {
    peak_mib_of(Path::new("/proc/self"))
}

/// The most memory that a process had, in MiB; 0 if it is gone.
pub(crate) fn peak_mib_of(process: &Path) -> u64 {
    let status = std::fs::read_to_string(process.join("status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) / 1024
}

/// All of them as a dataset of the run's lake.
pub(crate) async fn dataset(run: &TestRun) -> Dataset {
    nth(run, 0).await
}

/// One of several such millions, each of aircraft and times of its own.
pub(crate) async fn nth(run: &TestRun, number: i64) -> Dataset {
    let lake = run.context("x", 1, None).lake().unwrap();
    let mut encoder = Encoder::new(&states(0).schema()).unwrap();
    for part in 0..STATES / PART {
        encoder.push(&states(number * STATES + part * PART)).unwrap();
    }
    let (key, batch) = (format!("in/million-{number}.parquet"), format!("million/{number}"));
    encoder.finish().unwrap().put(&lake, &key, Some(&batch)).await.unwrap()
}
