//! Workflow files as commands take them: names, folders, and the catalog that they are checked against.

use std::path::{Path, PathBuf};

use updraft_auth::Snapshot;
use updraft_spec::{Catalog, ConnNeed, TaskSpec};
use updraft_task::{ConnectionNeed, Registry};

use super::Session;
use crate::exit_code::Failure;

/// Task types of the binary and connections: what workflow files are checked against.
pub fn spec_of(registry: &Registry, connections: &Snapshot) -> Catalog {
    let mut catalog = task_types(registry);
    for connection in connections.all() {
        catalog.add_connection(&connection.name, &connection.kind);
    }
    catalog
}

fn task_types(registry: &Registry) -> Catalog {
    let mut catalog = Catalog::new();
    for task in registry.tasks() {
        let owned = |kinds: &[&str]| kinds.iter().map(|kind| (*kind).to_owned()).collect();
        catalog.add_task(TaskSpec {
            name: task.name.to_owned(),
            summary: task.summary.to_owned(),
            params: task.params.clone(),
            output: task.output.clone(),
            conn: match task.connection {
                ConnectionNeed::None => ConnNeed::None,
                ConnectionNeed::Optional(kinds) => ConnNeed::Optional(owned(kinds)),
                ConnectionNeed::Required(kinds) => ConnNeed::Required(owned(kinds)),
            },
            errors: task.errors.iter().map(|class| class.name.to_owned()).collect(),
        });
    }
    catalog
}

/// The files that are meant: each file, every `*.yaml` and `*.yml` below each folder; the project's folders if none is named.
///
/// # Errors
/// A name that is neither, or nothing found.
pub fn find(session: &Session, named: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let roots: Vec<PathBuf> = if named.is_empty() {
        session.project.workflows.iter().filter(|folder| folder.exists()).cloned().collect()
    } else {
        named.iter().map(|name| session.cwd.join(name)).collect()
    };
    let mut files = Vec::new();
    for root in &roots {
        if root.is_dir() {
            let mut unreadable = Vec::new();
            updraft_catalog::walk(root, &mut files, &mut unreadable);
            if let Some((folder, error)) = unreadable.first() {
                return Err(Failure::input(format!("cannot read {}: {error}", folder.display())));
            }
        } else if root.is_file() {
            files.push(root.clone());
        } else {
            return Err(Failure::input(format!("there is no file or folder {}", shown(session, root))));
        }
    }
    if files.is_empty() {
        let looked: Vec<String> = roots.iter().map(|root| shown(session, root)).collect();
        let place = if looked.is_empty() { "the project's workflow folders".to_owned() } else { looked.join(", ") };
        return Err(Failure::input(format!("no workflow files (*.yaml, *.yml) in {place}")));
    }
    files.sort();
    files.dedup();
    Ok(files)
}

/// A path as people know it: relative to where they are.
pub fn shown(session: &Session, path: &Path) -> String {
    path.strip_prefix(&session.cwd).unwrap_or(path).display().to_string()
}

/// Reads a file.
///
/// # Errors
/// It cannot be read.
pub fn read(session: &Session, path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|error| Failure::input(format!("cannot read {}: {error}", shown(session, path))))
}
