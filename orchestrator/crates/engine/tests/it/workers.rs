//! Several workers that serve one queue of one store.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use updraft_engine::Engine;
use updraft_model::state::Place as Where;

use crate::support::{Place, config, detail, memory, new_run, postgres, postgres_at, sqlite, workflow};

const SLOTS: u32 = 2;

async fn worker(place: &Place, folder: &std::path::Path) -> Engine {
    let mut config = config(place, folder);
    (config.queues, config.slots) = (vec!["default".to_owned()], SLOTS);
    Engine::start(config).await.unwrap()
}

/// One run with more ready tasks than one worker has slots.
async fn wide(place: Place, other: Place) {
    let folder = tempfile::tempdir().unwrap();
    let workers = [worker(&place, folder.path()).await, worker(&other, folder.path()).await];
    let tasks: Vec<Value> =
        (0..6).map(|n| json!({ "id": format!("t{n}"), "type": "act", "with": { "act": "hang" } })).collect();
    let mut new = new_run(&*place.store, workflow(json!(tasks))).await;
    new.queue = Some("default".to_owned());
    let run = workers[0].create_run(new).await.unwrap().run_id();
    let spread = async {
        loop {
            let mut busy = BTreeMap::new();
            for row in detail(&place, run).await.work.iter().filter(|row| row.place == Where::Executing) {
                *busy.entry(row.worker_no).or_insert(0) += 1;
            }
            if busy.len() == 2 && busy.values().all(|busy| *busy == SLOTS) {
                return;
            }
            // Hints may be lost, and are not told to another worker on the same handle.
            workers.iter().for_each(Engine::nudge);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), spread).await.expect("both workers are full within 30 s");
    workers[0].cancel(run, "test", "enough").await.unwrap();
    for worker in workers {
        worker.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wide_run_fills_the_slots_of_every_worker() {
    let place = memory();
    wide(place.clone(), place).await;
    let folder = tempfile::tempdir().unwrap();
    let place = sqlite(folder.path()).await;
    wide(place.clone(), place).await;
    if let Some((place, database)) = postgres().await {
        wide(place, postgres_at(database.url()).await).await;
    }
}
