//! How fast folders load and changes go live: `cargo test --release -p updraft-catalog --test figures -- --ignored --nocapture`.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a report")]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use updraft_catalog::{Catalog, CatalogConfig};
use updraft_model::time::Timestamp;
use updraft_spec::{ConnNeed, TaskSpec};
use updraft_store::MemoryStore;
use updraft_store::scheduling::Scheduling as _;

/// Goal: loaded in 2 s.
const FILES: usize = 10_000;
/// Edits of which the median and the worst are told. Goal: 100 ms.
const EDITS: usize = 20;

fn now() -> Timestamp {
    Timestamp::from_millis(
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis().try_into().unwrap(),
    )
}

/// As most workflow files are: a schedule, a few tasks that follow each other, a page of text.
fn text(id: &str, edit: usize) -> String {
    let task =
        |n| format!("  - id: t{n}\n    description: edit {edit}\n    type: noop\n    depends_on: [t{}]\n", n - 1);
    let tasks = (1..12).map(task).collect::<Vec<_>>().concat();
    format!("id: {id}\nschedule: \"0 6 * * *\"\ntasks:\n  - id: t0\n    type: noop\n{tasks}")
}

async fn start(folder: &Path, store: &MemoryStore) -> Catalog {
    let mut spec = updraft_spec::Catalog::new();
    spec.add_task(TaskSpec {
        name: "noop".to_owned(),
        summary: String::new(),
        params: serde_json::json!({ "type": "object" }),
        output: serde_json::json!({ "type": "object" }),
        conn: ConnNeed::None,
        errors: Vec::new(),
    });
    let config = CatalogConfig {
        folders: vec![folder.to_owned()],
        project: folder.to_owned(),
        source: "main".to_owned(),
        spec: watch::channel(Arc::new(spec)).1,
        store: Arc::new(store.clone()),
        now,
    };
    Catalog::start(config).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a report, on a quiet machine"]
async fn figures() {
    let folder = tempfile::tempdir().unwrap();
    for n in 0..FILES {
        std::fs::write(folder.path().join(format!("w{n}.yaml")), text(&format!("w{n}"), 0)).unwrap();
    }
    let store = MemoryStore::new(now);
    let begin = Instant::now();
    let catalog = start(folder.path(), &store).await;
    println!("{FILES} new files loaded and published: {:?}", begin.elapsed());
    assert_eq!(
        (catalog.view().workflows, catalog.view().broken.len()),
        (FILES, 0),
        "{:?}",
        catalog.view().broken.first()
    );
    catalog.shutdown().await;

    let begin = Instant::now();
    let catalog = start(folder.path(), &store).await;
    println!("the same by the next process, nothing to publish: {:?}", begin.elapsed());
    let begin = Instant::now();
    catalog.look().await;
    println!("a look at unchanged files: {:?}", begin.elapsed());

    let mut took = Vec::new();
    for edit in 1..=EDITS {
        let id = format!("w{}", edit * 7);
        let before = store.workflows().await.unwrap().into_iter().find(|one| one.workflow == id).unwrap();
        let begin = Instant::now();
        std::fs::write(folder.path().join(format!("{id}.yaml")), text(&id, edit)).unwrap();
        while store.workflows().await.unwrap().iter().any(|one| one.version_id == before.version_id) {
            assert!(begin.elapsed() < Duration::from_secs(10), "never live");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        took.push(begin.elapsed());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    took.sort();
    println!("an edit is live: median {:?}, worst {:?}", took[EDITS / 2], took[EDITS - 1]);
    catalog.shutdown().await;
}
