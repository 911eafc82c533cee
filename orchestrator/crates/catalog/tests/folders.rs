//! The catalog over real folders, with a publisher that writes down what it is asked.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use updraft_catalog::{Catalog, CatalogConfig, FileReport, Known, Publication, Publisher, View};
use updraft_model::time::Timestamp;
use updraft_spec::{ConnNeed, TaskSpec};
use updraft_store::StoreError;

fn now() -> Timestamp {
    Timestamp::from_millis(
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis().try_into().unwrap(),
    )
}

#[derive(Default)]
struct Written {
    current: BTreeMap<String, Known>,
    published: Vec<(String, String)>,
    files: BTreeMap<(String, String), BTreeMap<String, FileReport>>,
}

/// A store that several catalogs may share.
#[derive(Clone, Default)]
struct Shelf(Arc<Mutex<Written>>);

impl Shelf {
    fn published(&self) -> Vec<String> {
        self.0.lock().unwrap().published.iter().map(|(name, _)| name.clone()).collect()
    }

    fn sources(&self, workflow: &str) -> Vec<String> {
        let written = self.0.lock().unwrap();
        written.published.iter().filter(|(name, _)| name == workflow).map(|(_, source)| source.clone()).collect()
    }

    fn retired(&self, workflow: &str) -> bool {
        self.0.lock().unwrap().current.get(workflow).is_some_and(|known| known.retired)
    }
}

#[async_trait]
impl Publisher for Shelf {
    async fn known(&self) -> Result<Vec<Known>, StoreError> {
        Ok(self.0.lock().unwrap().current.values().cloned().collect())
    }

    async fn reported(&self, source: &str, folder: &str) -> Result<Vec<FileReport>, StoreError> {
        let written = self.0.lock().unwrap();
        let files = written.files.get(&(source.to_owned(), folder.to_owned()));
        Ok(files.into_iter().flat_map(BTreeMap::values).cloned().collect())
    }

    async fn publish(&self, publications: &[Publication], _: Timestamp) -> Result<(), StoreError> {
        let mut written = self.0.lock().unwrap();
        for one in publications {
            let known = Known {
                workflow: one.version.workflow.clone(),
                sha256: one.version.sha256.clone(),
                source: one.source.clone(),
                retired: false,
            };
            written.published.push((known.workflow.clone(), one.version.source.clone()));
            written.current.insert(known.workflow.clone(), known);
        }
        Ok(())
    }

    async fn retire(&self, workflows: &[String], _: Timestamp) -> Result<(), StoreError> {
        let mut written = self.0.lock().unwrap();
        for workflow in workflows {
            written.current.get_mut(workflow).unwrap().retired = true;
        }
        Ok(())
    }

    async fn report(
        &self,
        source: &str,
        folder: &str,
        changed: &[FileReport],
        gone: &[String],
        _: Timestamp,
    ) -> Result<(), StoreError> {
        let mut written = self.0.lock().unwrap();
        let files = written.files.entry((source.to_owned(), folder.to_owned())).or_default();
        for path in gone {
            files.remove(path);
        }
        for one in changed {
            files.insert(one.path.clone(), one.clone());
        }
        Ok(())
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
        publisher: Arc::new(shelf.clone()),
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
    let shelf = Shelf::default();
    let catalog = start(folder.path(), &shelf).await;
    assert_eq!(shelf.published(), ["a", "b"]);
    assert_eq!((catalog.view().files, catalog.view().workflows), (2, 2));

    write(folder.path(), "b.yml", &workflow("b", "two"));
    write(folder.path(), "c.yaml", &workflow("c", "one"));
    until(&catalog, |view| view.workflows == 3).await;
    catalog.look().await;
    assert_eq!(shelf.published(), ["a", "b", "b", "c"]);
    // Written again with the same bytes: nothing to publish.
    write(folder.path(), "b.yml", &workflow("b", "two"));
    catalog.look().await;
    assert_eq!(shelf.published().len(), 4);
    catalog.shutdown().await;
}

#[tokio::test]
async fn a_broken_file_keeps_its_last_good_version_and_says_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "a.yaml", &workflow("a", "one"));
    let shelf = Shelf::default();
    let catalog = start(folder.path(), &shelf).await;
    write(folder.path(), "a.yaml", "id: a\ntasks:\n  - id: one\n    type: nooop\n");
    let view = until(&catalog, |view| !view.broken.is_empty()).await;
    assert_eq!(view.broken[0].path, "a.yaml");
    assert_eq!(view.broken[0].workflow.as_deref(), Some("a"));
    assert_eq!((view.broken[0].diagnostics[0].code, view.broken[0].diagnostics[0].line), ("W501", 4));
    assert_eq!(shelf.published(), ["a"]);
    assert!(!shelf.retired("a"));

    write(folder.path(), "a.yaml", &workflow("a", "one"));
    until(&catalog, |view| view.broken.is_empty()).await;
    // The good version stood all the time.
    assert_eq!(shelf.published(), ["a"]);
    catalog.shutdown().await;
}

#[tokio::test]
async fn a_deleted_file_retires_its_workflow_at_the_second_look_and_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "a.yaml", &workflow("a", "one"));
    write(folder.path(), "b.yaml", &workflow("b", "one"));
    let shelf = Shelf::default();
    let catalog = start(folder.path(), &shelf).await;
    std::fs::remove_file(folder.path().join("a.yaml")).unwrap();
    catalog.look().await;
    assert!(!shelf.retired("a"), "one look is not enough");
    let begin = Instant::now();
    while !shelf.retired("a") {
        assert!(begin.elapsed() < Duration::from_secs(30), "it is never retired");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(!shelf.retired("b"));
    write(folder.path(), "a.yaml", &workflow("a", "one"));
    until(&catalog, |view| view.workflows == 2).await;
    catalog.look().await;
    assert!(!shelf.retired("a"));
    catalog.shutdown().await;
}

#[tokio::test]
async fn an_empty_or_unreadable_folder_retires_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("workflows");
    std::fs::create_dir(&inner).unwrap();
    write(&inner, "a.yaml", &workflow("a", "one"));
    let shelf = Shelf::default();
    let catalog = start(&inner, &shelf).await;
    std::fs::rename(&inner, folder.path().join("elsewhere")).unwrap();
    catalog.look().await;
    assert_eq!(catalog.view().unreadable.len(), 1);
    std::fs::create_dir(&inner).unwrap();
    for _ in 0..8 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        catalog.look().await;
    }
    assert!(!shelf.retired("a"));
    catalog.shutdown().await;
}

#[tokio::test]
async fn two_files_of_one_workflow_the_first_stands_until_it_goes() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "a.yaml", &workflow("same", "from_a"));
    write(folder.path(), "b.yaml", &workflow("same", "from_b"));
    let shelf = Shelf::default();
    let catalog = start(folder.path(), &shelf).await;
    let view = catalog.view();
    assert_eq!(view.broken.len(), 1);
    assert_eq!((view.broken[0].path.as_str(), view.broken[0].diagnostics[0].code), ("b.yaml", "W209"));
    assert!(view.broken[0].diagnostics[0].message.contains("a.yaml"), "{:?}", view.broken);
    assert_eq!(shelf.sources("same"), [workflow("same", "from_a")]);

    std::fs::remove_file(folder.path().join("a.yaml")).unwrap();
    until(&catalog, |view| view.broken.is_empty()).await;
    assert_eq!(shelf.sources("same").last(), Some(&workflow("same", "from_b")));
    catalog.shutdown().await;
}

#[tokio::test]
async fn of_two_processes_that_disagree_the_later_stands_and_nobody_publishes_twice() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write(here.path(), "a.yaml", &workflow("a", "old"));
    write(there.path(), "a.yaml", &workflow("a", "new"));
    let shelf = Shelf::default();
    let first = start(here.path(), &shelf).await;
    let second = start(there.path(), &shelf).await;
    assert_eq!(shelf.published(), ["a", "a"]);
    first.look().await;
    let conflicts = first.view().conflicts.clone();
    assert_eq!(conflicts.len(), 1, "the status page shows it");
    assert_eq!(conflicts[0].workflow, "a");
    assert_eq!(second.view().conflicts.len(), 0);

    // Neither a look nor a restart without an edit publishes the old content again.
    first.shutdown().await;
    let first = start(here.path(), &shelf).await;
    first.look().await;
    assert_eq!(shelf.published().len(), 2);
    assert_eq!(first.view().conflicts.len(), 1);

    // An edit does.
    write(here.path(), "a.yaml", &workflow("a", "newest"));
    until(&first, |view| view.conflicts.is_empty()).await;
    assert_eq!(shelf.sources("a").last(), Some(&workflow("a", "newest")));
    first.shutdown().await;
    second.shutdown().await;
}
