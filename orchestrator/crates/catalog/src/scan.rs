//! Finding workflow files and reading the changed ones, on all cores.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::num::NonZeroUsize;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use updraft_model::workflow::Workflow;
use updraft_spec::diagnostic::JsonDiagnostic;
use updraft_spec::{Catalog, Checked, check_bytes, check_size, defined_twice};

/// Fewer are loaded faster than a thread is worth.
const FILES_WORTH_A_THREAD: usize = 64;

/// What tells without reading that a file is as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    modified_ns: i128,
    changed_ns: i128,
    size: u64,
    inode: u64,
}

/// A file in a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Where it lies.
    pub file: PathBuf,
    /// Relative to the project, as people know it.
    pub path: String,
    /// How it looked.
    pub stamp: Stamp,
}

/// One look at a folder.
#[derive(Debug)]
pub struct FolderScan {
    /// Which.
    pub folder: PathBuf,
    /// Its workflow files by path.
    pub files: Vec<Found>,
    /// Folders in it that cannot be read, itself included, with the reason.
    pub unreadable: Vec<String>,
}

/// What a file says.
#[derive(Debug)]
pub struct Content {
    /// Its text.
    pub source: String,
    /// The workflow, if there is no error in the file.
    pub workflow: Option<Workflow>,
    /// Id of the workflow, also of a file with errors.
    pub id: Option<String>,
    /// What is wrong with it.
    pub diagnostics: Vec<JsonDiagnostic>,
    /// What is wrong with it if another file has the same id; the other's name takes the place of [`OTHER`].
    pub twice: Option<JsonDiagnostic>,
}

/// Stands for the other file's name in [`Content::twice`].
pub(crate) const OTHER: &str = "\u{FFFC}";

/// A file that was looked into.
#[derive(Debug)]
pub struct Loaded {
    /// Relative to the project.
    pub path: String,
    /// How it looked before it was read.
    pub stamp: Stamp,
    /// sha-256 of its bytes, hex; empty if it could not be read.
    pub sha256: String,
    /// What it says; `None` if its bytes are as they were.
    pub content: Option<Result<Box<Content>, String>>,
}

/// Looks at folders; a file that is found on two ways through one of them counts once.
pub fn find(folders: &[PathBuf], project: &Path) -> Vec<FolderScan> {
    folders
        .iter()
        .map(|folder| {
            let (mut files, mut unreadable) = (Vec::new(), Vec::new());
            walk(folder, &mut files, &mut unreadable);
            files.sort();
            FolderScan {
                folder: folder.clone(),
                files: files.into_iter().filter_map(|file| found(file, project)).collect(),
                unreadable: unreadable
                    .into_iter()
                    .map(|(place, error)| format!("{} cannot be read: {error}", place.display()))
                    .collect(),
            }
        })
        .collect()
}

/// A file that vanished since the folder was read is not found.
fn found(file: PathBuf, project: &Path) -> Option<Found> {
    let about = std::fs::metadata(&file).ok()?;
    let path = file.strip_prefix(project).unwrap_or(&file).display().to_string();
    let ns = |seconds: i64, ns: i64| i128::from(seconds) * 1_000_000_000 + i128::from(ns);
    let stamp = Stamp {
        modified_ns: ns(about.mtime(), about.mtime_nsec()),
        changed_ns: ns(about.ctime(), about.ctime_nsec()),
        size: about.len(),
        inode: about.ino(),
    };
    Some(Found { file, path, stamp })
}

/// Every `*.yaml` and `*.yml` below a folder, and the folders that cannot be read. What begins with a dot is left out.
///
/// Links are followed. A folder that is reached twice counts where it really lies, else where the first link to it is: a
/// link cannot lead in a circle.
pub fn walk(folder: &Path, files: &mut Vec<PathBuf>, unreadable: &mut Vec<(PathBuf, std::io::Error)>) {
    let mut links = VecDeque::from([folder.to_owned()]);
    let mut seen = HashSet::new();
    while let Some(link) = links.pop_front() {
        let mut folders = vec![link];
        while let Some(folder) = folders.pop() {
            if let Err(error) = list(&folder, &mut seen, files, &mut folders, &mut links) {
                unreadable.push((folder, error));
            }
        }
    }
}

/// One folder: its files, the folders in it, and its links to folders.
fn list(
    folder: &Path,
    seen: &mut HashSet<(u64, u64)>,
    files: &mut Vec<PathBuf>,
    folders: &mut Vec<PathBuf>,
    links: &mut VecDeque<PathBuf>,
) -> std::io::Result<()> {
    let about = std::fs::metadata(folder)?;
    if !seen.insert((about.dev(), about.ino())) {
        return Ok(());
    }
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let (path, kind) = (entry.path(), entry.file_type()?);
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        if kind.is_dir() {
            folders.push(path);
        } else if kind.is_symlink() && path.is_dir() {
            links.push_back(path);
        } else if path.is_file() && path.extension().is_some_and(|end| end == "yaml" || end == "yml") {
            files.push(path);
        }
    }
    Ok(())
}

/// Reads these files, and checks those whose sha-256 is not the `known` one, on all cores where there are enough of them.
pub fn load(found: &[Found], known: &BTreeMap<String, String>, spec: &Catalog) -> Vec<Loaded> {
    let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let share = found.len().div_ceil(cores).max(FILES_WORTH_A_THREAD);
    let look = |one: &Found| look_into(one, known.get(&one.path).map(String::as_str), spec);
    std::thread::scope(|scope| {
        let shares: Vec<_> =
            found.chunks(share).map(|share| scope.spawn(move || share.iter().map(look).collect::<Vec<_>>())).collect();
        shares
            .into_iter()
            .flat_map(|share| share.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    })
}

fn look_into(found: &Found, known: Option<&str>, spec: &Catalog) -> Loaded {
    // It may be larger than memory.
    if let Some(checked) = check_size(&found.path, found.stamp.size) {
        let content = Some(Ok(Box::new(said(checked, String::new()))));
        return Loaded { path: found.path.clone(), stamp: found.stamp, sha256: String::new(), content };
    }
    let bytes = match std::fs::read(&found.file) {
        Ok(bytes) => bytes,
        Err(error) => {
            let content = Some(Err(format!("{} cannot be read: {error}", found.path)));
            return Loaded { path: found.path.clone(), stamp: found.stamp, sha256: String::new(), content };
        }
    };
    let sha256 = hex(&Sha256::digest(&bytes));
    let content = (known != Some(sha256.as_str())).then(|| Ok(Box::new(read(&found.path, &bytes, spec))));
    Loaded { path: found.path.clone(), stamp: found.stamp, sha256, content }
}

fn read(path: &str, bytes: &[u8], spec: &Catalog) -> Content {
    said(check_bytes(path, bytes, spec), String::from_utf8_lossy(bytes).into_owned())
}

fn said(checked: Checked, source: String) -> Content {
    let diagnostics = checked.diagnostics.iter().map(|one| one.to_json(&checked.source)).collect();
    let twice = checked.id().map(|(id, span)| defined_twice(id, span, OTHER).to_json(&checked.source));
    Content { source, id: checked.id().map(|(id, _)| id.to_owned()), diagnostics, twice, workflow: checked.workflow }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
