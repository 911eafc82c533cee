//! The service: looks when it is told to, publishes what follows, and tells who wants to know.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use updraft_model::time::Timestamp;
use updraft_store::StoreError;
use updraft_store::scheduling::Scheduling;

use crate::book::{Book, Steps, View};
use crate::scan::{self, Found};
use crate::watch::Watch;

/// How long changes gather before a look: editors write a file in several steps.
const GATHER: Duration = Duration::from_millis(15);
/// A look without a hint.
const INTERVAL: Duration = Duration::from_secs(30);
/// After the store failed.
const AGAIN: Duration = Duration::from_secs(2);
/// Versions published in one commit.
const BATCH: usize = 500;

/// Why the catalog cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// The store fails.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What the catalog is started with.
pub struct CatalogConfig {
    /// The workflow folders.
    pub folders: Vec<PathBuf>,
    /// The project's folder: paths are shown relative to it.
    pub project: PathBuf,
    /// Folder id: versions remember it, and only a process of the same source retires a workflow.
    pub source: String,
    /// Task types and connections that files are checked against; another one has every file checked again.
    pub spec: watch::Receiver<Arc<updraft_spec::Catalog>>,
    /// Where workflows are published.
    pub store: Arc<dyn Scheduling>,
    /// The time.
    pub now: fn() -> Timestamp,
}

/// Look now, and answer when what followed is published.
type Ask = oneshot::Sender<()>;

/// The running catalog.
pub struct Catalog {
    view: watch::Receiver<Arc<View>>,
    asks: mpsc::Sender<Ask>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Catalog {
    /// Loads the folders, publishes what is new, and watches them from then on.
    ///
    /// # Errors
    /// The store fails; broken files and folders are no error, see [`View`].
    pub async fn start(config: CatalogConfig) -> Result<Self, CatalogError> {
        let (asks, inbox) = mpsc::channel(8);
        let (hint, hints) = mpsc::channel(1);
        let mut watch = Watch::new(hint, config.folders.clone());
        watch.cover();
        let folder = folder_name(&config.folders);
        let book = Book::new(config.source.clone(), Vec::new());
        let (told, view) = watch::channel(Arc::new(View::default()));
        let mut service = Service { config, folder, book, anew: true, recheck: false, watch, told, retry: None };
        service.look().await?;
        let task = tokio::spawn(service.run(inbox, hints));
        Ok(Self { view, asks, task: Mutex::new(Some(task)) })
    }

    /// The folders as they were at the last look.
    pub fn view(&self) -> Arc<View> {
        Arc::clone(&self.view.borrow())
    }

    /// Tells of every look that changed something.
    pub fn changes(&self) -> watch::Receiver<Arc<View>> {
        self.view.clone()
    }

    /// Looks now; what followed is published afterwards.
    pub async fn look(&self) {
        let (done, looked) = oneshot::channel();
        if self.asks.send(done).await.is_ok() {
            let _ = looked.await;
        }
    }

    /// Stops watching.
    pub async fn shutdown(&self) {
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task {
            task.abort();
            let _ = task.await;
        }
    }
}

/// The folders of a process as one name: reports of two checkouts of a source stay apart.
fn folder_name(folders: &[PathBuf]) -> String {
    let names: Vec<String> = folders.iter().map(|folder| folder.display().to_string()).collect();
    names.join(":")
}

struct Service {
    config: CatalogConfig,
    folder: String,
    book: Book,
    /// The book is not what the store holds: it begins anew from there.
    anew: bool,
    /// Files are checked again though their bytes are as they were.
    recheck: bool,
    watch: Watch,
    told: watch::Sender<Arc<View>>,
    /// A look is due without a hint.
    retry: Option<Duration>,
}

impl Service {
    async fn run(mut self, mut asks: mpsc::Receiver<Ask>, mut hints: mpsc::Receiver<()>) {
        loop {
            let mut answer = None;
            tokio::select! {
                ask = asks.recv() => {
                    if ask.is_none() {
                        return;
                    }
                    answer = ask;
                }
                hint = hints.recv() => {
                    if hint.is_none() {
                        return;
                    }
                    tokio::time::sleep(GATHER).await;
                    let _ = hints.try_recv();
                }
                () = renewed(&mut self.config.spec) => self.recheck = true,
                () = tokio::time::sleep(self.retry.unwrap_or(INTERVAL).min(INTERVAL)) => {}
            }
            self.watch.cover();
            if let Err(error) = self.look().await {
                self.failed(&error);
            }
            if let Some(answer) = answer {
                let _ = answer.send(());
            }
        }
    }

    fn failed(&mut self, error: &StoreError) {
        tracing::warn!(%error, "workflows cannot be published; this is tried again");
        self.retry = Some(AGAIN);
        // Part of what the book says may not have been written.
        self.anew = true;
    }

    async fn look(&mut self) -> Result<(), StoreError> {
        if self.anew {
            let reported = self.config.store.source_files(&self.config.source, &self.folder).await?;
            self.book = Book::new(self.config.source.clone(), reported);
            self.anew = false;
        }
        let scans = self.scan().await;
        self.recheck |= self.config.spec.has_changed().unwrap_or(false);
        let wanted: Vec<Found> = if self.recheck {
            scans.iter().flat_map(|scan| &scan.files).cloned().collect()
        } else {
            self.book.changed(&scans).into_iter().cloned().collect()
        };
        self.follow(scans, wanted).await
    }

    async fn scan(&self) -> Vec<scan::FolderScan> {
        let (folders, project) = (self.config.folders.clone(), self.config.project.clone());
        blocking(move || scan::find(&folders, &project)).await
    }

    /// Loads these files and carries out what follows, until nothing is to be read again.
    async fn follow(&mut self, scans: Vec<scan::FolderScan>, mut wanted: Vec<Found>) -> Result<(), StoreError> {
        self.retry = None;
        self.book.learn(self.config.store.workflows().await?);
        let spec = Arc::clone(&self.config.spec.borrow_and_update());
        loop {
            let hashes = if self.recheck { BTreeMap::new() } else { self.book.hashes() };
            self.recheck = false;
            let spec = Arc::clone(&spec);
            let loaded = blocking(move || scan::load(&wanted, &hashes, &spec)).await;
            let now = (self.config.now)();
            let steps = self.book.take(&scans, loaded, now);
            self.retry = steps.wait;
            self.carry_out(&steps, now).await?;
            let again = scans.iter().flat_map(|scan| &scan.files);
            wanted = again.filter(|found| steps.again.contains(&found.path)).cloned().collect();
            if wanted.is_empty() {
                break;
            }
        }
        self.tell();
        Ok(())
    }

    async fn carry_out(&self, steps: &Steps, now: Timestamp) -> Result<(), StoreError> {
        let store = &self.config.store;
        for batch in steps.publish.chunks(BATCH) {
            store.publish_all(batch, now).await?;
        }
        for one in &steps.publish {
            tracing::info!(workflow = %one.version.workflow, path = %one.version.path, sha256 = %one.version.sha256, "published");
        }
        if !steps.retire.is_empty() {
            store.retire(&steps.retire, now).await?;
            tracing::info!(workflows = ?steps.retire, "retired: their files are gone");
        }
        if !steps.report.is_empty() || !steps.gone.is_empty() {
            store.report_files(&self.config.source, &self.folder, &steps.report, &steps.gone).await?;
        }
        Ok(())
    }

    /// Tells of a change; the time of the look alone is none.
    fn tell(&self) {
        let view = Arc::new(self.book.view());
        self.told.send_if_modified(|told| {
            let same = View { looked_at: None, ..(**told).clone() } == View { looked_at: None, ..(*view).clone() };
            *told = view;
            !same
        });
    }
}

/// Returns when there is another one; never, if there will be none.
async fn renewed(spec: &mut watch::Receiver<Arc<updraft_spec::Catalog>>) {
    if spec.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
