//! The catalog over real folders, and a store in memory.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
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

fn spec(connections: &[&str]) -> Arc<updraft_spec::Catalog> {
    let mut spec = updraft_spec::Catalog::new();
    for (name, conn) in [("noop", ConnNeed::None), ("ask", ConnNeed::Required(vec!["http".to_owned()]))] {
        spec.add_task(TaskSpec {
            name: name.to_owned(),
            summary: String::new(),
            params: serde_json::json!({ "type": "object" }),
            output: serde_json::json!({ "type": "object" }),
            conn,
            errors: Vec::new(),
        });
    }
    for name in connections {
        spec.add_connection(*name, "http");
    }
    Arc::new(spec)
}

async fn start(folder: &Path, shelf: &Shelf) -> Catalog {
    start_with(folder, shelf, watch::channel(spec(&[])).1).await
}

async fn start_with(folder: &Path, shelf: &Shelf, spec: watch::Receiver<Arc<updraft_spec::Catalog>>) -> Catalog {
    let config = CatalogConfig {
        folders: vec![folder.to_owned()],
        project: folder.to_owned(),
        source: "main".to_owned(),
        spec,
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
    second.look().await;
    assert_eq!(second.view().conflicts.len(), 1, "now the other one is behind");
    assert_eq!(shelf.text("a").await, workflow("a", "newest"));
    first.shutdown().await;
    second.shutdown().await;
}

#[tokio::test]
async fn what_could_not_be_published_is_published_without_another_edit() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "a.yaml", &workflow("a", "one"));
    let shelf = Shelf::new();
    let catalog = start(folder.path(), &shelf).await;
    // The publication itself fails, and then the report that follows it: both are made up for.
    for (task, outages) in [("two", 1), ("three", 2)] {
        shelf.0.break_publications(outages);
        write(folder.path(), "a.yaml", &workflow("a", task));
        let begin = Instant::now();
        while shelf.text("a").await != workflow("a", task) {
            assert!(begin.elapsed() < Duration::from_secs(20), "{task} is never published");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    catalog.look().await;
    let files = shelf.0.source_files("main", &folder.path().display().to_string()).await.unwrap();
    assert_eq!(files[0].sha256, shelf.workflow("a").await.unwrap().sha256);
    catalog.shutdown().await;
}

#[tokio::test]
async fn a_connection_that_comes_or_goes_has_every_file_checked_again() {
    let folder = tempfile::tempdir().unwrap();
    let text = "id: a\ntasks:\n  - id: one\n    type: ask\n    conn: api\n";
    write(folder.path(), "a.yaml", text);
    write(folder.path(), "b.yaml", &workflow("b", "one"));
    let shelf = Shelf::new();
    let (told, specs) = watch::channel(spec(&[]));
    let catalog = start_with(folder.path(), &shelf, specs).await;
    assert_eq!(catalog.view().broken.len(), 1, "{:?}", catalog.view());
    assert!(shelf.workflow("a").await.is_none());

    told.send_replace(spec(&["api"]));
    until(&catalog, |view| view.broken.is_empty()).await;
    assert_eq!(shelf.text("a").await, text);
    let state = shelf.state().await;

    told.send_replace(spec(&[]));
    let view = until(&catalog, |view| view.broken.len() == 1).await;
    assert_eq!(view.broken[0].workflow.as_deref(), Some("a"));
    assert!(!shelf.retired("a").await);
    // Back again, with the same bytes: nothing new to publish.
    told.send_replace(spec(&["api"]));
    until(&catalog, |view| view.broken.is_empty()).await;
    assert_eq!(shelf.state().await, state);
    catalog.shutdown().await;
}

#[tokio::test]
async fn a_file_whose_id_cannot_be_told_any_more_does_not_retire_its_workflow() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a", "b", "c", "d"] {
        write(folder.path(), &format!("{name}.yaml"), &workflow(name, "one"));
    }
    let shelf = Shelf::new();
    let catalog = start(folder.path(), &shelf).await;
    write(folder.path(), "a.yaml", "id: [");
    std::fs::write(folder.path().join("b.yaml"), b"id: b\n\xff\xfe").unwrap();
    std::fs::File::create(folder.path().join("c.yaml")).unwrap().set_len(3 << 40).unwrap();
    let view = until(&catalog, |view| view.broken.len() == 3).await;
    let said: Vec<_> = view.broken.iter().map(|one| (one.workflow.as_deref(), one.diagnostics[0].code)).collect();
    assert_eq!((said[1], said[2]), ((Some("b"), "W002"), (Some("c"), "W005")));
    assert_eq!(said[0].0, Some("a"));
    // Neither now nor by a process that never saw them whole.
    catalog.shutdown().await;
    let catalog = start(folder.path(), &shelf).await;
    for _ in 0..7 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        catalog.look().await;
    }
    let view = catalog.view();
    assert_eq!(
        view.broken.iter().map(|one| one.workflow.as_deref()).collect::<Vec<_>>(),
        [Some("a"), Some("b"), Some("c")]
    );
    for name in ["a", "b", "c", "d"] {
        assert!(!shelf.retired(name).await, "{name}");
    }
    catalog.shutdown().await;
}

#[tokio::test]
async fn a_renamed_file_is_the_same_workflow() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "m.yaml", &workflow("m", "one"));
    write(folder.path(), "z.yaml", &workflow("z", "one"));
    let shelf = Shelf::new();
    let catalog = start(folder.path(), &shelf).await;
    let state = shelf.state().await;
    for (from, to) in [("m.yaml", "a.yaml"), ("a.yaml", "x.yml")] {
        std::fs::rename(folder.path().join(from), folder.path().join(to)).unwrap();
        for _ in 0..6 {
            catalog.look().await;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        assert_eq!(shelf.state().await, state);
        assert!(!shelf.retired("m").await);
        assert_eq!((catalog.view().workflows, catalog.view().broken.len()), (2, 0));
    }
    catalog.shutdown().await;
}

#[tokio::test]
async fn a_copy_that_takes_over_and_goes_again_leaves_the_file_that_was_there() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "m.yaml", &workflow("same", "mine"));
    let shelf = Shelf::new();
    let catalog = start(folder.path(), &shelf).await;
    write(folder.path(), "a.yaml", &workflow("same", "copy"));
    until(&catalog, |view| view.broken.len() == 1).await;
    assert_eq!(shelf.text("same").await, workflow("same", "copy"));
    std::fs::remove_file(folder.path().join("a.yaml")).unwrap();
    until(&catalog, |view| view.broken.is_empty()).await;
    assert_eq!(shelf.text("same").await, workflow("same", "mine"));
    catalog.shutdown().await;
}

#[tokio::test]
async fn links_are_followed_and_lead_in_no_circle() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (folder.path().join("first"), folder.path().join("second"));
    for (place, task) in [(&first, "one"), (&second, "two")] {
        std::fs::create_dir_all(place.join("workflows/team")).unwrap();
        write(&place.join("workflows/team"), "a.yaml", &workflow("a", task));
        std::os::unix::fs::symlink("..", place.join("workflows/round")).unwrap();
        std::os::unix::fs::symlink("team", place.join("workflows/again")).unwrap();
    }
    let shared = folder.path().join("shared");
    std::fs::create_dir(&shared).unwrap();
    write(&shared, "b.yaml", &workflow("b", "one"));
    std::os::unix::fs::symlink(&shared, first.join("workflows/shared")).unwrap();
    std::os::unix::fs::symlink(&shared, second.join("workflows/shared")).unwrap();
    let current = folder.path().join("current");
    std::os::unix::fs::symlink("first", &current).unwrap();

    let shelf = Shelf::new();
    let catalog = start(&current.join("workflows"), &shelf).await;
    assert_eq!((catalog.view().files, catalog.view().broken.len()), (2, 0), "{:?}", catalog.view());
    assert_eq!(shelf.text("a").await, workflow("a", "one"));
    // As deployments do it: a new tree beside the old one, then the link is turned in one step.
    std::os::unix::fs::symlink("second", folder.path().join("next")).unwrap();
    std::fs::rename(folder.path().join("next"), &current).unwrap();
    let begin = Instant::now();
    while shelf.text("a").await != workflow("a", "two") {
        assert!(begin.elapsed() < Duration::from_secs(10), "the turned link is not seen");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // The new tree is watched.
    write(&second.join("workflows/team"), "c.yaml", &workflow("c", "one"));
    until(&catalog, |view| view.workflows == 3).await;
    catalog.shutdown().await;
}

#[tokio::test]
async fn a_folder_that_comes_back_is_seen_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("workflows");
    std::fs::create_dir(&inner).unwrap();
    write(&inner, "a.yaml", &workflow("a", "one"));
    let shelf = Shelf::new();
    let catalog = start(&inner, &shelf).await;
    std::fs::rename(&inner, folder.path().join("away")).unwrap();
    until(&catalog, |view| !view.unreadable.is_empty()).await;
    write(&folder.path().join("away"), "a.yaml", &workflow("a", "two"));
    std::fs::rename(folder.path().join("away"), &inner).unwrap();
    let begin = Instant::now();
    until(&catalog, |view| view.unreadable.is_empty()).await;
    assert!(begin.elapsed() < Duration::from_secs(10));
    catalog.look().await;
    assert_eq!(shelf.text("a").await, workflow("a", "two"));
    assert!(!shelf.retired("a").await);
    // And it is watched.
    write(&inner, "b.yaml", &workflow("b", "one"));
    until(&catalog, |view| view.workflows == 2).await;
    catalog.shutdown().await;
}

/// As an editor and `git checkout` do it: another file beside it, then renamed over it.
#[tokio::test]
async fn thousands_of_files_that_change_at_once_all_go_live() {
    let folder = tempfile::tempdir().unwrap();
    let files = 2_000;
    let put = |task: &str| {
        for n in 0..files {
            let (new, file) = (folder.path().join(".new"), folder.path().join(format!("w{n}.yaml")));
            std::fs::write(&new, workflow(&format!("w{n}"), task)).unwrap();
            std::fs::rename(new, file).unwrap();
        }
    };
    put("one");
    let shelf = Shelf::new();
    let catalog = start(folder.path(), &shelf).await;
    assert_eq!(catalog.view().workflows, files);
    put("two");
    for n in (0..files).filter(|n| n % 100 == 0) {
        std::fs::remove_file(folder.path().join(format!("w{n}.yaml"))).unwrap();
    }
    until(&catalog, |view| view.workflows == files - files / 100).await;
    catalog.look().await;
    for n in [1, 777, files - 1] {
        assert_eq!(shelf.text(&format!("w{n}")).await, workflow(&format!("w{n}"), "two"));
    }
    catalog.shutdown().await;
}
