//! What is known of the files, and what follows from a look at the folders. Pure: no clock, no files, no store.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use updraft_model::time::Timestamp;
use updraft_model::workflow::Workflow;
use updraft_spec::diagnostic::JsonDiagnostic;
use updraft_spec::{Code, Severity};
use updraft_store::NewVersion;
use updraft_store::scheduling::{PublishedWorkflow, ScheduledVersion, SourceFile};

use crate::scan::{Content, FolderScan, Found, Loaded, OTHER, Stamp};

/// A file must be missing this long before its workflow is retired.
pub(crate) const ABSENCE: Duration = Duration::from_secs(5);

/// A file that cannot be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokenFile {
    /// Relative to the project.
    pub path: String,
    /// The workflow it defines, if that can be told; its last good version goes on running.
    pub workflow: Option<String>,
    /// Since when.
    pub since: Timestamp,
    /// What is wrong.
    pub diagnostics: Vec<JsonDiagnostic>,
}

/// A workflow whose current version is not what this folder says: another process of the same source published later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// The workflow.
    pub workflow: String,
    /// The file here.
    pub path: String,
    /// sha-256 of the file here.
    pub here: String,
    /// sha-256 of the current version.
    pub current: String,
}

/// The folders as people see them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct View {
    /// Files looked at.
    pub files: usize,
    /// Workflows that they define without errors.
    pub workflows: usize,
    /// Files that cannot be run.
    pub broken: Vec<BrokenFile>,
    /// Diagnostics of files that can be run, by workflow: warnings.
    pub warnings: BTreeMap<String, Vec<JsonDiagnostic>>,
    /// Folders that cannot be read, with the reason.
    pub unreadable: Vec<String>,
    /// See [`Conflict`].
    pub conflicts: Vec<Conflict>,
    /// When the folders were looked at last.
    pub looked_at: Option<Timestamp>,
}

/// What to do after a look.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    /// Make these versions current.
    pub publish: Vec<ScheduledVersion>,
    /// Retire these workflows.
    pub retire: Vec<String>,
    /// Write down how these files stand.
    pub report: Vec<SourceFile>,
    /// Forget these files.
    pub gone: Vec<String>,
    /// Look into these files again, whatever their stamps say.
    pub again: BTreeSet<String>,
    /// Look again after this time: a file is missing.
    pub wait: Option<Duration>,
}

#[derive(Debug)]
struct Entry {
    stamp: Stamp,
    sha256: String,
    id: Option<String>,
    runnable: bool,
    diagnostics: Vec<JsonDiagnostic>,
    twice: Option<JsonDiagnostic>,
    since: Timestamp,
}

/// The current version of a workflow, as the store has it.
#[derive(Debug)]
struct Standing {
    sha256: String,
    source: String,
    retired: bool,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Book {
    source: String,
    files: BTreeMap<String, Entry>,
    /// Files by the workflow they define; the first by path owns it.
    by_id: BTreeMap<String, BTreeSet<String>>,
    /// Workflows without a file, and since when.
    absent: BTreeMap<String, Timestamp>,
    /// What was published from this folder before this process began: path → sha-256.
    before: BTreeMap<String, String>,
    /// Current versions of the store.
    known: BTreeMap<String, Standing>,
    unreadable: Vec<String>,
    looked_at: Option<Timestamp>,
}

impl Book {
    pub(crate) fn new(source: String, before: impl IntoIterator<Item = SourceFile>) -> Self {
        Self {
            source,
            files: BTreeMap::new(),
            by_id: BTreeMap::new(),
            absent: BTreeMap::new(),
            before: before
                .into_iter()
                .filter(|file| !file.sha256.is_empty())
                .map(|file| (file.path, file.sha256))
                .collect(),
            known: BTreeMap::new(),
            unreadable: Vec::new(),
            looked_at: None,
        }
    }

    /// What the store holds now.
    pub(crate) fn learn(&mut self, known: Vec<PublishedWorkflow>) {
        self.known = known
            .into_iter()
            .map(|one| (one.workflow, Standing { sha256: one.sha256, source: one.source, retired: one.retired }))
            .collect();
    }

    /// The files that must be looked into: new ones, and those that look different.
    pub(crate) fn changed<'a>(&self, scans: &'a [FolderScan]) -> Vec<&'a Found> {
        let found = scans.iter().filter_map(|scan| scan.files.as_ref().ok()).flatten();
        found.filter(|one| self.files.get(&one.path).is_none_or(|entry| entry.stamp != one.stamp)).collect()
    }

    /// sha-256 of every known file by path.
    pub(crate) fn hashes(&self) -> BTreeMap<String, String> {
        self.files.iter().map(|(path, entry)| (path.clone(), entry.sha256.clone())).collect()
    }

    /// Makes every file look changed: what was read of them is not in the store.
    pub(crate) fn forget_contents(&mut self) {
        for entry in self.files.values_mut() {
            entry.sha256.clear();
        }
    }

    /// Takes in a look at the folders, with what changed files hold.
    pub(crate) fn take(&mut self, scans: &[FolderScan], loaded: Vec<Loaded>, now: Timestamp) -> Steps {
        let mut steps = Steps::default();
        self.looked_at = Some(now);
        self.unreadable = scans.iter().filter_map(|scan| scan.files.as_ref().err().cloned()).collect();
        let mut contents: BTreeMap<String, Box<Content>> = BTreeMap::new();
        let mut touched: BTreeSet<String> = BTreeSet::new();
        for one in loaded {
            self.look_at(one, &mut contents, &mut touched, now);
        }
        self.drop_missing(scans, &mut steps, &mut touched);
        for id in &touched {
            self.settle_owner(id, &contents, &mut steps);
        }
        for (path, content) in contents {
            self.publish(&path, *content, &mut steps);
        }
        self.retire(scans, now, &mut steps);
        steps
    }

    fn look_at(
        &mut self,
        one: Loaded,
        contents: &mut BTreeMap<String, Box<Content>>,
        touched: &mut BTreeSet<String>,
        now: Timestamp,
    ) {
        let Loaded { path, stamp, sha256, content } = one;
        let Some(content) = content else {
            if let Some(entry) = self.files.get_mut(&path) {
                entry.stamp = stamp;
            }
            return;
        };
        if let Some(id) = self.files.get(&path).and_then(|entry| entry.id.clone()) {
            self.disown(&id, &path);
            touched.insert(id);
        }
        let entry = match content {
            Ok(content) => {
                let entry = Entry {
                    stamp,
                    sha256,
                    id: content.id.clone(),
                    runnable: content.workflow.is_some(),
                    diagnostics: content.diagnostics.clone(),
                    twice: content.twice.clone(),
                    since: now,
                };
                contents.insert(path.clone(), content);
                entry
            }
            Err(reason) => Entry {
                stamp,
                sha256,
                id: None,
                runnable: false,
                diagnostics: vec![unreadable(&path, reason)],
                twice: None,
                since: now,
            },
        };
        if let Some(id) = entry.id.clone() {
            self.by_id.entry(id.clone()).or_default().insert(path.clone());
            touched.insert(id);
        }
        self.files.insert(path, entry);
    }

    fn disown(&mut self, id: &str, path: &str) {
        if let Some(paths) = self.by_id.get_mut(id) {
            paths.remove(path);
            if paths.is_empty() {
                self.by_id.remove(id);
            }
        }
    }

    /// Files that are no longer in a folder that can be read.
    fn drop_missing(&mut self, scans: &[FolderScan], steps: &mut Steps, touched: &mut BTreeSet<String>) {
        if !self.unreadable.is_empty() || scans.iter().any(|scan| scan.files.as_ref().is_ok_and(Vec::is_empty)) {
            return;
        }
        let there: BTreeSet<&str> = scans
            .iter()
            .filter_map(|scan| scan.files.as_ref().ok())
            .flatten()
            .map(|found| found.path.as_str())
            .collect();
        let gone: Vec<String> = self.files.keys().filter(|path| !there.contains(path.as_str())).cloned().collect();
        for path in gone {
            if let Some(id) = self.files.remove(&path).and_then(|entry| entry.id) {
                self.disown(&id, &path);
                touched.insert(id);
            }
            steps.gone.push(path);
        }
        // Files that were reported by an earlier process and were gone when this one began.
        let stale: Vec<String> = self.before.keys().filter(|path| !there.contains(path.as_str())).cloned().collect();
        for path in stale {
            self.before.remove(&path);
            steps.gone.push(path);
        }
        steps.gone.sort();
        steps.gone.dedup();
    }

    /// Of several files with one id the first by path stands; the others say so. When it goes, the next one is read anew.
    fn settle_owner(&mut self, id: &str, contents: &BTreeMap<String, Box<Content>>, steps: &mut Steps) {
        let Some(paths) = self.by_id.get(id) else { return };
        let Some(owner) = paths.first().cloned() else { return };
        for path in paths.clone() {
            let Some(entry) = self.files.get_mut(&path) else { continue };
            let was = is_twice(entry);
            if path == owner {
                if was {
                    // What was kept out before must be read to be published.
                    entry.sha256.clear();
                    steps.again.insert(path);
                }
            } else if !was && let Some(mut twice) = entry.twice.clone() {
                twice.message = twice.message.replace(OTHER, &owner);
                let at = entry.diagnostics.partition_point(|one| (one.line, one.column) <= (twice.line, twice.column));
                entry.diagnostics.insert(at, twice);
                entry.runnable = false;
                if !contents.contains_key(&path) {
                    steps.report.push(report(&path, entry));
                }
            }
        }
    }

    fn publish(&mut self, path: &str, content: Content, steps: &mut Steps) {
        let Some(entry) = self.files.get(path) else { return };
        steps.report.push(report(path, entry));
        if is_twice(entry) {
            // It was not published: when it comes to stand, it is new.
            return;
        }
        let before = self.before.insert(path.to_owned(), entry.sha256.clone());
        let (Some(workflow), Some(id), true) = (content.workflow, &entry.id, entry.runnable) else { return };
        let known = self.known.get(id);
        let current = known.is_some_and(|known| known.sha256 == entry.sha256 && !known.retired);
        // Published from here before, and not edited since: whoever published something else later is right.
        let overruled = before.as_deref() == Some(entry.sha256.as_str()) && known.is_some_and(|known| !known.retired);
        if current || overruled {
            return;
        }
        let publication = publication(&self.source, path, &entry.sha256, content.source, workflow);
        self.known
            .insert(id.clone(), Standing { sha256: entry.sha256.clone(), source: self.source.clone(), retired: false });
        steps.publish.push(publication);
    }

    /// Workflows of this source whose file is gone: noted at the first look, retired at a second one [`ABSENCE`] later.
    fn retire(&mut self, scans: &[FolderScan], now: Timestamp, steps: &mut Steps) {
        let looks = self.unreadable.is_empty()
            && !scans.is_empty()
            && scans.iter().all(|scan| scan.files.as_ref().is_ok_and(|files| !files.is_empty()));
        let missing: BTreeSet<String> = self
            .known
            .iter()
            .filter(|(id, known)| known.source == self.source && !known.retired && !self.by_id.contains_key(*id))
            .map(|(id, _)| id.clone())
            .collect();
        self.absent.retain(|workflow, _| looks && missing.contains(workflow));
        if !looks {
            return;
        }
        for workflow in missing {
            let since = *self.absent.entry(workflow.clone()).or_insert(now);
            if now.since(since) >= ABSENCE {
                self.absent.remove(&workflow);
                if let Some(known) = self.known.get_mut(&workflow) {
                    known.retired = true;
                }
                steps.retire.push(workflow);
            } else {
                let left = ABSENCE.saturating_sub(now.since(since));
                steps.wait = Some(steps.wait.map_or(left, |wait| wait.min(left)));
            }
        }
    }

    /// For people.
    pub(crate) fn view(&self) -> View {
        let errors = |entry: &Entry| entry.diagnostics.iter().any(|one| one.severity == Severity::Error);
        let mut view = View {
            files: self.files.len(),
            unreadable: self.unreadable.clone(),
            looked_at: self.looked_at,
            ..View::default()
        };
        for (path, entry) in &self.files {
            if errors(entry) || !entry.runnable {
                view.broken.push(BrokenFile {
                    path: path.clone(),
                    workflow: entry.id.clone(),
                    since: entry.since,
                    diagnostics: entry.diagnostics.clone(),
                });
                continue;
            }
            view.workflows += 1;
            let Some(id) = &entry.id else { continue };
            if !entry.diagnostics.is_empty() {
                view.warnings.insert(id.clone(), entry.diagnostics.clone());
            }
            if let Some(known) = self.known.get(id)
                && known.sha256 != entry.sha256
                && !known.retired
            {
                view.conflicts.push(Conflict {
                    workflow: id.clone(),
                    path: path.clone(),
                    here: entry.sha256.clone(),
                    current: known.sha256.clone(),
                });
            }
        }
        view
    }
}

/// Another file of its id stands.
fn is_twice(entry: &Entry) -> bool {
    entry.diagnostics.iter().any(|one| one.code == Code::W209.name())
}

fn publication(source: &str, path: &str, sha256: &str, text: String, workflow: Workflow) -> ScheduledVersion {
    let compiled = serde_json::to_string(&workflow).unwrap_or_default();
    ScheduledVersion {
        version: NewVersion {
            workflow: workflow.id.clone(),
            sha256: sha256.to_owned(),
            source: text,
            path: path.to_owned(),
            compiled,
        },
        workflow,
        source: source.to_owned(),
    }
}

fn report(path: &str, entry: &Entry) -> SourceFile {
    SourceFile {
        path: path.to_owned(),
        workflow: entry.id.clone(),
        sha256: if is_twice(entry) { String::new() } else { entry.sha256.clone() },
        diagnostics: serde_json::to_string(&entry.diagnostics).unwrap_or_else(|_| "[]".to_owned()),
        broken: !entry.runnable,
        since: entry.since,
    }
}

fn unreadable(path: &str, reason: String) -> JsonDiagnostic {
    JsonDiagnostic {
        file: path.to_owned(),
        line: 1,
        column: 1,
        end_line: 1,
        end_column: 1,
        code: Code::W002.name(),
        severity: Severity::Error,
        message: reason,
        hint: Some("make the file readable for the daemon".to_owned()),
        suggestion: None,
    }
}
