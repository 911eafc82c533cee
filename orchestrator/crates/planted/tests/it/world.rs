//! A planted store, and everything in it read the slow way.

use std::collections::BTreeMap;
use std::sync::Arc;

use updraft_model::event::Event;
use updraft_model::graph::Compiled;
use updraft_model::id::{RunId, TaskKey, VersionId};
use updraft_model::record::{RunRow, TaskRunRow};
use updraft_model::state::FinalState;
use updraft_model::time::Timestamp;
use updraft_planted::sim::Planter;
use updraft_planted::story::{self, Story};
use updraft_planted::year::{self, Size};
use updraft_store::logs::Logs;
use updraft_store::read::{HistoryEntry, RunDetail, RunFilter};
use updraft_store::{History, Reader, Store, WorkerInfo};
use updraft_store_postgres::PgStore;
use updraft_store_sqlite::{OpenOptions, SqliteStore};
use updraft_testkit::postgres::{Schema, fresh_schema};

/// Noon.
pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_795_780_800_000);

pub(crate) struct World {
    pub(crate) history: Arc<dyn History>,
    pub(crate) logs: Arc<dyn Logs>,
    pub(crate) story: Story,
    /// Newest first.
    pub(crate) runs: Vec<Seen>,
    pub(crate) versions: BTreeMap<VersionId, Arc<Compiled>>,
    _folder: Option<tempfile::TempDir>,
    _schema: Option<Schema>,
}

/// A run, read the slow way.
pub(crate) struct Seen {
    pub(crate) detail: RunDetail,
    pub(crate) log: Vec<HistoryEntry>,
}

impl World {
    pub(crate) async fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(folder.path().join("planted.db"), OpenOptions::default()).await.unwrap();
        let store = Arc::new(store);
        let (reader, history) = (Arc::new(store.reader()), Arc::new(store.reader()));
        let world = Self::of(store.as_ref(), reader, history, Arc::clone(&store) as Arc<dyn Logs>).await;
        Self { _folder: Some(folder), ..world }
    }

    pub(crate) async fn postgres() -> Option<Self> {
        let schema = tokio::task::block_in_place(fresh_schema).unwrap()?;
        let store = Arc::new(PgStore::open(schema.url()).await.unwrap());
        let (reader, history) = (Arc::clone(&store) as Arc<dyn Reader>, Arc::clone(&store) as Arc<dyn History>);
        let world = Self::of(store.as_ref(), reader, history, Arc::clone(&store) as Arc<dyn Logs>).await;
        Some(Self { _schema: Some(schema), ..world })
    }

    async fn of(store: &dyn Store, reader: Arc<dyn Reader>, history: Arc<dyn History>, logs: Arc<dyn Logs>) -> Self {
        let worker = WorkerInfo {
            name: "planted/1".to_owned(),
            host: "here".to_owned(),
            pid: 1,
            build: "test".to_owned(),
            queues: vec!["default".to_owned()],
            slots: 8,
        };
        let worker = store.register(&worker).await.unwrap();
        let mut planter = Planter::new(store, worker, "default", 7, NOW);
        let size = Size { workflows: 12, days: 3, wide_tasks: 20, wide_days: 3 };
        year::plant(store, &mut planter, NOW, size, |_| {}).await.unwrap();
        let story = story::plant(store, &mut planter, NOW).await.unwrap();
        updraft_planted::logs::plant(history.as_ref(), logs.as_ref(), &story).await.unwrap();
        let filter = RunFilter { limit: 100_000, ..RunFilter::default() };
        let mut runs = Vec::new();
        let mut versions = BTreeMap::new();
        for run in reader.runs(&filter).await.unwrap() {
            let id = run.row.facts.run_id;
            let detail = reader.detail(id).await.unwrap().unwrap();
            let log = reader.history(id, 0).await.unwrap();
            let version = run.row.facts.version_id;
            if let std::collections::btree_map::Entry::Vacant(entry) = versions.entry(version) {
                let text = reader.version(version).await.unwrap().unwrap().compiled;
                let workflow: updraft_model::workflow::Workflow = serde_json::from_str(&text).unwrap();
                entry.insert(Arc::new(Compiled::new(workflow).unwrap()));
            }
            runs.push(Seen { detail, log });
        }
        runs.sort_by_key(|seen| std::cmp::Reverse((seen.row().facts.created_at, seen.id())));
        assert_eq!(u64::try_from(runs.len()).unwrap(), planter.written.runs);
        Self { history, logs, story, runs, versions, _folder: None, _schema: None }
    }

    pub(crate) fn of_workflow<'w>(&'w self, workflow: &'w str) -> impl Iterator<Item = &'w Seen> {
        self.runs.iter().filter(move |seen| seen.detail.run.workflow == workflow)
    }

    pub(crate) fn run(&self, id: RunId) -> &Seen {
        self.runs.iter().find(|seen| seen.id() == id).unwrap()
    }

    pub(crate) fn compiled(&self, seen: &Seen) -> &Compiled {
        &self.versions[&seen.row().facts.version_id]
    }
}

impl Seen {
    pub(crate) fn row(&self) -> &RunRow {
        &self.detail.run.row
    }

    pub(crate) fn id(&self) -> RunId {
        self.row().facts.run_id
    }

    pub(crate) fn took_ms(&self) -> Option<i64> {
        let projection = &self.row().projection;
        Some(projection.ended_at?.as_millis() - projection.started_at?.as_millis())
    }

    pub(crate) fn failed(&self) -> Vec<&TaskRunRow> {
        let mut failed: Vec<&TaskRunRow> =
            self.detail.task_runs.iter().filter(|row| row.state == FinalState::Failed).collect();
        // What an instance says comes before its task.
        failed.sort_by_key(|row| (row.ended_at, row.key.task.clone(), row.dispatch_no == 0, row.key.map_index));
        failed
    }

    pub(crate) fn extra(&self) -> u32 {
        let over = self.detail.task_runs.iter().map(|row| row.dispatch_no.saturating_sub(1)).sum::<u32>();
        over + self.detail.work.iter().map(|row| row.dispatch.dispatch_no - 1).sum::<u32>()
    }

    /// From when on an attempt could be taken, as the events say.
    pub(crate) fn ready_at(&self, key: &TaskKey, dispatch_no: u32) -> Timestamp {
        for entry in &self.log {
            for event in &entry.events {
                if let Event::TaskDispatched { subject, dispatch_no: found, due, .. } = event
                    && subject.key() == *key
                    && *found == dispatch_no
                {
                    return due.unwrap_or(entry.at);
                }
            }
        }
        panic!("{key} was not dispatched under {dispatch_no}");
    }
}

/// The middle of numbers, the slow way.
pub(crate) fn median(mut of: Vec<i64>) -> Option<i64> {
    of.sort_unstable();
    let n = of.len();
    match n {
        0 => None,
        _ if n % 2 == 1 => Some(of[n / 2]),
        _ => Some(i64::midpoint(of[n / 2 - 1], of[n / 2])),
    }
}
