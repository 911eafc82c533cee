//! The benchmark measures what it says and counts what the hot path promises.

use updraft_engine::bench::{BenchKind, BenchOptions, run};

use crate::support::{Place, memory, sqlite};

async fn measure(place: &Place, kind: BenchKind, tasks: usize) -> serde_json::Value {
    let folder = tempfile::tempdir().unwrap();
    let options = BenchOptions {
        kind,
        tasks,
        slots: 32,
        store: place.store.clone(),
        reader: place.reader.clone(),
        folder: folder.path().to_owned(),
    };
    let bench = run(options).await.unwrap();
    eprintln!("{}", serde_json::to_string(&bench.report).unwrap());
    serde_json::to_value(bench.report).unwrap()
}

async fn every_kind(place: Place) {
    for kind in BenchKind::ALL {
        let report = measure(&place, kind, 300).await;
        let keys: Vec<&str> = report.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(keys, ["bench", "store", "tasks", "hop_ms", "commit_ms", "tasks_per_s", "commits", "round_trips"]);
        assert_eq!(report["bench"], kind.name());
        let commits = report["commits"].as_u64().unwrap();
        match kind {
            BenchKind::Chain => assert_eq!(commits, 301),
            BenchKind::Trigger => {
                assert_eq!(commits, 600);
                assert!(report["tasks_per_s"].is_null());
            }
            BenchKind::Fanout | BenchKind::Runs => {
                assert!(commits < 300, "finishes share commits: {commits}");
                assert!(report["hop_ms"].is_null());
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_benchmark_reports_its_figures_in_memory() {
    every_kind(memory()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_benchmark_reports_its_figures_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    every_kind(sqlite(folder.path()).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_benchmark_reports_its_figures_on_postgres() {
    let Some((place, _database)) = crate::support::postgres().await else { return };
    every_kind(place).await;
}
