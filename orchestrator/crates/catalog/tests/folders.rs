//! The catalog over real folders, and a store in memory.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use updraft_catalog::{Catalog, CatalogConfig, View};
use updraft_model::time::Timestamp;
use updraft_spec::{ConnNeed, TaskSpec};
use updraft_store::scheduling::{PublishedWorkflow, Scheduling as _};
use updraft_store::{MemoryStore, Reader as _};

fn now() -> Timestamp {
    Timestamp::from_millis(
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis().try_into().unwrap(),
    )
}

/// A store that several catalogs may share.
#[derive(Clone)]
struct Shelf(MemoryStore);

impl Shelf {
    fn new() -> Self {
        Self(MemoryStore::new(now))
    }

    async fn workflow(&self, name: &str) -> Option<PublishedWorkflow> {
        self.0.workflows().await.unwrap().into_iter().find(|one| one.workflow == name)
    }

    /// The text of a workflow's current version.
    async fn text(&self, name: &str) -> String {
        let version = self.workflow(name).await.unwrap().version_id;
        self.0.version(version).await.unwrap().unwrap().source
    }

    async fn retired(&self, name: &str) -> bool {
        self.workflow(name).await.unwrap().retired
    }

    /// Names and versions: whatever is published changes them.
    async fn state(&self) -> Vec<(String, i64)> {
        self.0.workflows().await.unwrap().into_iter().map(|one| (one.workflow, one.version_id.0)).collect()
    }
}

fn spec() -> Arc<updraft_spec::Catalog> {
    let mut spec = updraft_spec::Catalog::new();
    spec.add_task(TaskSpec {
        name: "noop".to_owned(),
        summary: String::new(),
        params: serde_json::json!({ "type": "object" }),
        output: serde_json::json!({ "type": "object" }),
        conn: ConnNeed::None,
        errors: Vec::new(),
    });
    Arc::new(spec)
}

async fn start(folder: &Path, shelf: &Shelf) -> Catalog {
    let config = CatalogConfig {
        folders: vec![folder.to_owned()],
        project: folder.to_owned(),
        source: "main".to_owned(),
        spec: spec(),
        store: Arc::new(shelf.0.clone()),
        now,
    };
    Catalog::start(config).await.unwrap()
}

fn workflow(id: &str, task: &str) -> String {
    format!("id: {id}\ntasks:\n  - id: {task}\n    type: noop\n")
}

fn write(folder: &Path, file: &str, text: &str) {
    std::fs::write(folder.join(file), text).unwrap();
}

/// Waits for what the catalog tells, not for time.
async fn until(catalog: &Catalog, what: impl Fn(&View) -> bool) -> Arc<View> {
    let mut changes = catalog.changes();
    let waited = tokio::time::timeout(Duration::from_secs(20), changes.wait_for(|view| what(view))).await;
    Arc::clone(&waited.expect("the catalog says so within 20 s").unwrap())
}

#[tokio::test]
async fn a_changed_file_is_published_and_others_are_not_again() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "a.yaml", &workflow("a", "one"));
    write(folder.path(), "b.yml", &workflow("b", "one"));
    write(folder.path(), "notes.txt", "no workflow");
    let shelf = Shelf::new();
    let catalog = start(folder.path(), &shelf).await;
    let first = shelf.state().await;
    assert_eq!(first.len(), 2);
    assert_eq!((catalog.view().files, catalog.view().workflows), (2, 2));

    write(folder.path(), "b.yml", &workflow("b", "two"));
    write(folder.path(), "c.yaml", &workflow("c", "one"));
    until(&catalog, |view| view.workflows == 3).await;
    catalog.look().await;
    assert_eq!(shelf.text("b").await, workflow("b", "two"));
    let then = shelf.state().await;
    assert_eq!((then.len(), &then[0]), (3, &first[0]));
    // Written again with the same bytes: nothing to publish.
    write(folder.path(), "b.yml", &workflow("b", "two"));
    catalog.look().await;
    assert_eq!(shelf.state().await, then);
    catalog.shutdown().await;
}

#[tokio::test]
async fn a_broken_file_keeps_its_last_good_version_and_says_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "a.yaml", &workflow("a", "one"));
    let shelf = Shelf::new();
    let catalog = start(folder.path(), &shelf).await;
    write(folder.path(), "a.yaml", "id: a\ntasks:\n  - id: one\n    type: nooop\n");
    let view = until(&catalog, |view| !view.broken.is_empty()).await;
    assert_eq!(view.broken[0].path, "a.yaml");
    assert_eq!(view.broken[0].workflow.as_deref(), Some("a"));
    assert_eq!((view.broken[0].diagnostics[0].code, view.broken[0].diagnostics[0].line), ("W501", 4));
    assert_eq!(shelf.text("a").await, workflow("a", "one"));
    assert!(!shelf.retired("a").await);

    write(folder.path(), "a.yaml", &workflow("a", "one"));
    until(&catalog, |view| view.broken.is_empty()).await;
    assert_eq!(shelf.state().await.len(), 1);
    catalog.shutdown().await;
}

#[tokio::test]
async fn a_deleted_file_retires_its_workflow_at_the_second_look_and_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "a.yaml", &workflow("a", "one"));
    write(folder.path(), "b.yaml", &workflow("b", "one"));
    let shelf = Shelf::new();
    let catalog = start(folder.path(), &shelf).await;
    std::fs::remove_file(folder.path().join("a.yaml")).unwrap();
    catalog.look().await;
    assert!(!shelf.retired("a").await, "one look is not enough");
    let begin = Instant::now();
    while !shelf.retired("a").await {
        assert!(begin.elapsed() < Duration::from_secs(30), "it is never retired");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(!shelf.retired("b").await);
    write(folder.path(), "a.yaml", &workflow("a", "one"));
    until(&catalog, |view| view.workflows == 2).await;
    catalog.look().await;
    assert!(!shelf.retired("a").await);
    catalog.shutdown().await;
}

#[tokio::test]
async fn an_empty_or_unreadable_folder_retires_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("workflows");
    std::fs::create_dir(&inner).unwrap();
    write(&inner, "a.yaml", &workflow("a", "one"));
    let shelf = Shelf::new();
    let catalog = start(&inner, &shelf).await;
    std::fs::rename(&inner, folder.path().join("elsewhere")).unwrap();
    catalog.look().await;
    assert_eq!(catalog.view().unreadable.len(), 1);
    std::fs::create_dir(&inner).unwrap();
    for _ in 0..8 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        catalog.look().await;
    }
    assert!(!shelf.retired("a").await);
    catalog.shutdown().await;
}

#[tokio::test]
async fn two_files_of_one_workflow_the_first_stands_until_it_goes() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "a.yaml", &workflow("same", "from_a"));
    write(folder.path(), "b.yaml", &workflow("same", "from_b"));
    let shelf = Shelf::new();
    let catalog = start(folder.path(), &shelf).await;
    let view = catalog.view();
    assert_eq!(view.broken.len(), 1);
    assert_eq!((view.broken[0].path.as_str(), view.broken[0].diagnostics[0].code), ("b.yaml", "W209"));
    assert!(view.broken[0].diagnostics[0].message.contains("a.yaml"), "{:?}", view.broken);
    assert_eq!(shelf.text("same").await, workflow("same", "from_a"));

    std::fs::remove_file(folder.path().join("a.yaml")).unwrap();
    until(&catalog, |view| view.broken.is_empty()).await;
    assert_eq!(shelf.text("same").await, workflow("same", "from_b"));
    catalog.shutdown().await;
}

#[tokio::test]
async fn of_two_processes_that_disagree_the_later_stands_and_nobody_publishes_twice() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write(here.path(), "a.yaml", &workflow("a", "old"));
    write(there.path(), "a.yaml", &workflow("a", "new"));
    let shelf = Shelf::new();
    let first = start(here.path(), &shelf).await;
    let second = start(there.path(), &shelf).await;
    assert_eq!(shelf.text("a").await, workflow("a", "new"));
    first.look().await;
    let conflicts = first.view().conflicts.clone();
    assert_eq!(conflicts.len(), 1, "the status page shows it");
    assert_eq!(conflicts[0].workflow, "a");
    assert_eq!(second.view().conflicts.len(), 0);

    // Neither a look nor a restart without an edit publishes the old content again.
    first.shutdown().await;
    let first = start(here.path(), &shelf).await;
    first.look().await;
    assert_eq!(shelf.text("a").await, workflow("a", "new"));
    assert_eq!(first.view().conflicts.len(), 1);

    // An edit does.
    write(here.path(), "a.yaml", &workflow("a", "newest"));
    until(&first, |view| view.conflicts.is_empty()).await;
    assert_eq!(shelf.text("a").await, workflow("a", "newest"));
    first.shutdown().await;
    second.shutdown().await;
}
