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
    /// The workflow that it defined before it broke so that its id cannot be told: that one is not gone.
    was: Option<String>,
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
    /// How the files stand in the store, by path; their hashes tell what was published from here.
    reported: BTreeMap<String, SourceFile>,
    /// Current versions of the store.
    known: BTreeMap<String, Standing>,
    unreadable: Vec<String>,
    looked_at: Option<Timestamp>,
}

impl Book {
    pub(crate) fn new(source: String, reported: impl IntoIterator<Item = SourceFile>) -> Self {
        Self {
            source,
            files: BTreeMap::new(),
            by_id: BTreeMap::new(),
            absent: BTreeMap::new(),
            reported: reported.into_iter().map(|file| (file.path.clone(), file)).collect(),
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
        let found = scans.iter().flat_map(|scan| &scan.files);
        found.filter(|one| self.files.get(&one.path).is_none_or(|entry| entry.stamp != one.stamp)).collect()
    }

    /// sha-256 of every known file by path.
    pub(crate) fn hashes(&self) -> BTreeMap<String, String> {
        self.files.iter().map(|(path, entry)| (path.clone(), entry.sha256.clone())).collect()
    }

    /// Takes in a look at the folders, with what changed files hold.
    pub(crate) fn take(&mut self, scans: &[FolderScan], loaded: Vec<Loaded>, now: Timestamp) -> Steps {
        let mut steps = Steps::default();
        self.looked_at = Some(now);
        self.unreadable = scans.iter().flat_map(|scan| scan.unreadable.iter().cloned()).collect();
        let mut contents: BTreeMap<String, Box<Content>> = BTreeMap::new();
        let mut touched: BTreeSet<String> = BTreeSet::new();
        let mut read: BTreeSet<String> = BTreeSet::new();
        for one in loaded {
            if one.content.is_some() {
                read.insert(one.path.clone());
            }
            self.look_at(one, &mut contents, &mut touched, now);
        }
        self.drop_missing(scans, &mut steps, &mut touched);
        for id in &touched {
            read.extend(self.settle_owner(id, &mut steps));
        }
        for path in read {
            self.publish(&path, contents.remove(&path), &mut steps);
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
        let mut was = None;
        if let Some(entry) = self.files.get(&path) {
            was = entry.id.clone().or_else(|| entry.was.clone());
            if let Some(id) = entry.id.clone() {
                self.disown(&id, &path);
                touched.insert(id);
            }
        } else if let Some(reported) = self.reported.get(&path) {
            was.clone_from(&reported.workflow);
        }
        let entry = match content {
            Ok(content) => {
                let entry = Entry {
                    stamp,
                    sha256,
                    was: was.filter(|_| content.id.is_none()),
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
                was,
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
        if !worth_believing(scans) {
            return;
        }
        let there: BTreeSet<&str> =
            scans.iter().flat_map(|scan| &scan.files).map(|found| found.path.as_str()).collect();
        let gone: Vec<String> = self.files.keys().filter(|path| !there.contains(path.as_str())).cloned().collect();
        for path in gone {
            if let Some(id) = self.files.remove(&path).and_then(|entry| entry.id) {
                self.disown(&id, &path);
                touched.insert(id);
            }
        }
        // Also files that were reported by an earlier process and were gone when this one began.
        steps.gone = self.reported.keys().filter(|path| !there.contains(path.as_str())).cloned().collect();
        for path in &steps.gone {
            self.reported.remove(path);
        }
    }

    /// Of several files with one id the first by path stands; the others say so. When it goes, the next one is read anew.
    /// Answers the files that stand no longer.
    fn settle_owner(&mut self, id: &str, steps: &mut Steps) -> Vec<String> {
        let mut overtaken = Vec::new();
        let Some(paths) = self.by_id.get(id) else { return overtaken };
        let Some(owner) = paths.first().cloned() else { return overtaken };
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
                overtaken.push(path);
            }
        }
        overtaken
    }

    /// Publishes what a file says now, if it is new, and notes how the file stands. `None`: it does not stand any more, or
    /// cannot be read.
    fn publish(&mut self, path: &str, content: Option<Box<Content>>, steps: &mut Steps) {
        let Some(entry) = self.files.get(path) else { return };
        let before = self.reported.get(path);
        // Published from here before, and not edited since. What does not stand is new when it comes to stand.
        let published = before.is_some_and(|before| before.sha256 == entry.sha256) && !is_twice(entry);
        let report = report(path, entry, published || (entry.runnable && entry.id.is_some()), before);
        if before != Some(&report) {
            self.reported.insert(path.to_owned(), report.clone());
            steps.report.push(report);
        }
        let (Some(content), Some(id), true) = (content, &entry.id, entry.runnable) else { return };
        let Content { source, workflow: Some(workflow), .. } = *content else { return };
        let known = self.known.get(id);
        // What a foreground `run` published belongs to nobody, and has no schedule.
        let owned = |known: &Standing| !known.retired && !known.source.is_empty();
        let current = known.is_some_and(|known| known.sha256 == entry.sha256 && owned(known));
        // Whoever published something else later is right.
        let overruled = published && known.is_some_and(owned);
        if current || overruled {
            return;
        }
        let publication = publication(&self.source, path, &entry.sha256, source, workflow);
        self.known
            .insert(id.clone(), Standing { sha256: entry.sha256.clone(), source: self.source.clone(), retired: false });
        steps.publish.push(publication);
    }

    /// Workflows of this source whose file is gone: noted at the first look, retired at a second one [`ABSENCE`] later.
    fn retire(&mut self, scans: &[FolderScan], now: Timestamp, steps: &mut Steps) {
        let looks = worth_believing(scans);
        let broken: BTreeSet<&str> = self.files.values().filter_map(|entry| entry.was.as_deref()).collect();
        let there = |id: &str| self.by_id.contains_key(id) || broken.contains(id);
        let missing: BTreeSet<String> = self
            .known
            .iter()
            .filter(|(id, known)| known.source == self.source && !known.retired && !there(id))
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
                    workflow: entry.id.clone().or_else(|| entry.was.clone()),
                    since: self.reported.get(path).map_or(entry.since, |reported| reported.since),
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

/// Whether a look tells what is gone: every folder can be read and holds something.
fn worth_believing(scans: &[FolderScan]) -> bool {
    !scans.is_empty() && scans.iter().all(|scan| scan.unreadable.is_empty() && !scan.files.is_empty())
}

/// How a file stands; since when, if that is as it was.
fn report(path: &str, entry: &Entry, published: bool, before: Option<&SourceFile>) -> SourceFile {
    let mut report = SourceFile {
        path: path.to_owned(),
        workflow: entry.id.clone().or_else(|| entry.was.clone()),
        sha256: if published { entry.sha256.clone() } else { String::new() },
        diagnostics: serde_json::to_string(&entry.diagnostics).unwrap_or_else(|_| "[]".to_owned()),
        broken: !entry.runnable,
        since: entry.since,
    };
    if let Some(before) = before
        && (before.broken, &before.diagnostics) == (report.broken, &report.diagnostics)
    {
        report.since = before.since;
    }
    report
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
