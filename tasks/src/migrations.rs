//! Numbered SQL files and what of them a database has had: which are to come, and why a folder is refused. The same for every
//! engine; how a file is applied and where that is recorded is the engine's matter.
//!
//! A folder holds `0001_what_it_does.sql`, `0002_….sql`, without holes. A file that was applied never changes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use updraft_task::lake::sha256_hex;
use updraft_task::{ErrorClass, TaskError};

/// The folder cannot be used as it is.
pub(crate) const BAD_MIGRATIONS: ErrorClass = ErrorClass {
    name: "BadMigrations",
    retryable: false,
    meaning: "the folder is missing or empty, a file is not called `0001_name.sql`, or a number is missing or there twice",
};
/// The folder and the database tell different stories.
pub(crate) const CHANGED_MIGRATION: ErrorClass = ErrorClass {
    name: "ChangedMigration",
    retryable: false,
    meaning: "a file that was applied has changed or is gone, or files before it were not applied",
};

/// Parameters of `postgres.migrate` and `clickhouse.migrate`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MigrateParams {
    /// Folder of the project with the files `0001_name.sql`, `0002_name.sql`, …
    pub folder: PathBuf,
    /// Only say what would be applied.
    #[serde(default)]
    pub plan: bool,
    /// Table that remembers what was applied: letters, digits and `_`. Folders that share a database need one each.
    #[serde(default = "default_table")]
    pub table: String,
}

fn default_table() -> String {
    "updraft_migrations".to_owned()
}

/// Output of `postgres.migrate` and `clickhouse.migrate`.
#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct MigrateReport {
    /// Each database: the connection's, or those of its group that are of the task's engine, in its order.
    pub databases: Vec<Migrated>,
}

/// What one database had, got, and still lacks.
#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Migrated {
    /// The database: `host:port/database`.
    pub database: String,
    /// Files that the database had had before.
    pub already: u64,
    /// Files that this task applied, in order.
    pub applied: Vec<String>,
    /// Files that are still to come: all that a plan found, else none.
    pub pending: Vec<String>,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Migration {
    /// From 1, without holes.
    pub number: u32,
    /// The part of the file's name between number and `.sql`.
    pub name: String,
    /// The file's name.
    pub file: String,
    /// Its text.
    pub sql: String,
    /// sha-256 of the text, hex.
    pub sha256: String,
}

/// What a database remembers of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Applied {
    /// Its number.
    pub number: u32,
    /// Its name then.
    pub name: String,
    /// sha-256 of its text then, hex.
    pub sha256: String,
}

/// Reads a folder's `.sql` files in their order. Other files (a README) are left alone.
///
/// # Errors
/// `fail` `BadMigrations`.
pub(crate) async fn read(folder: &Path) -> Result<Vec<Migration>, TaskError> {
    let shown = folder.display();
    let refused = |error: std::io::Error| bad(format!("the folder {shown} cannot be read: {error}"));
    let mut files = Vec::new();
    let mut entries = tokio::fs::read_dir(folder).await.map_err(refused)?;
    while let Some(entry) = entries.next_entry().await.map_err(refused)? {
        let path = entry.path();
        if path.extension().is_none_or(|end| end != "sql") {
            continue;
        }
        let name = entry.file_name().to_string_lossy().into_owned();
        let text = tokio::fs::read_to_string(&path)
            .await
            .map_err(|error| bad(format!("{}: cannot be read as UTF-8 text: {error}", path.display())))?;
        files.push((name, text));
    }
    numbered(files).map_err(|error| error.context(shown))
}

/// Files by number.
fn numbered(files: Vec<(String, String)>) -> Result<Vec<Migration>, TaskError> {
    let mut found: BTreeMap<u32, Migration> = BTreeMap::new();
    for (file, sql) in files {
        let Some((number, name)) = parts(&file) else {
            return Err(bad(format!(
                "`{file}` is not called `NUMBER_name.sql` with at least four digits, from 0001, and a name of letters, \
                 digits and `_`"
            )));
        };
        let migration = Migration { number, name, sha256: sha256_hex(sql.as_bytes()), sql, file };
        if migration.sql.trim().is_empty() {
            return Err(bad(format!("`{}` is empty", migration.file)));
        }
        if let Some(other) = found.insert(number, migration.clone()) {
            return Err(bad(format!("`{}` and `{}` have the same number", other.file, migration.file)));
        }
    }
    if found.is_empty() {
        return Err(bad("there is no file `0001_name.sql`".to_owned()));
    }
    for (expected, migration) in (1..).zip(found.values()) {
        if migration.number != expected {
            return Err(bad(format!("number {expected:04} is missing before `{}`", migration.file)));
        }
    }
    Ok(found.into_values().collect())
}

/// `0001_flights.sql`: 1, `flights`.
fn parts(file: &str) -> Option<(u32, String)> {
    let (digits, name) = file.strip_suffix(".sql")?.split_once('_')?;
    let plain = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if digits.len() < 4 || !digits.chars().all(|c| c.is_ascii_digit()) || !plain {
        return None;
    }
    digits.parse().ok().filter(|number| *number > 0).map(|number| (number, name.to_owned()))
}

/// The files that are to come, in order.
///
/// # Errors
/// `fail` `ChangedMigration`: what was applied is not the beginning of the folder, unchanged.
pub(crate) fn plan<'a>(files: &'a [Migration], applied: &[Applied]) -> Result<&'a [Migration], TaskError> {
    let mut applied: Vec<&Applied> = applied.iter().collect();
    applied.sort_by_key(|record| record.number);
    for (expected, record) in (1..).zip(&applied) {
        if record.number != expected {
            return Err(changed(format!(
                "the database has had {:04}_{}, but not number {expected:04}: files are applied in order, so its record was \
                 edited. Put the record right by hand",
                record.number, record.name
            )));
        }
        let Some(file) = files.iter().find(|file| file.number == record.number) else {
            return Err(changed(format!(
                "the database has had {:04}_{}, which is not in the folder: this is an older version of the project, or the \
                 file was removed. Bring it back",
                record.number, record.name
            )));
        };
        if file.name != record.name || file.sha256 != record.sha256 {
            return Err(changed(format!(
                "`{}` is not what was applied as {:04}_{} (sha-256 {} then, {} now): bring the file back as it was, and put \
                 the change into a new file",
                file.file,
                record.number,
                record.name,
                short(&record.sha256),
                short(&file.sha256)
            )));
        }
    }
    Ok(files.get(applied.len()..).unwrap_or_default())
}

fn short(sum: &str) -> String {
    sum.chars().take(8).collect()
}

fn bad(text: String) -> TaskError {
    TaskError::fail(BAD_MIGRATIONS.name, text)
}

fn changed(text: String) -> TaskError {
    TaskError::fail(CHANGED_MIGRATION.name, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(names: &[&str]) -> Result<Vec<Migration>, TaskError> {
        numbered(names.iter().map(|name| ((*name).to_owned(), format!("select '{name}'"))).collect())
    }

    fn had(files: &[Migration]) -> Vec<Applied> {
        let of =
            |file: &Migration| Applied { number: file.number, name: file.name.clone(), sha256: file.sha256.clone() };
        files.iter().map(of).collect()
    }

    #[test]
    fn files_come_in_order_of_their_numbers() {
        let found = files(&["0002_b.sql", "00010_j.sql", "0001_a.sql"]).unwrap_err();
        assert!(found.message().contains("number 0003 is missing"), "{found}");
        let found = files(&["0002_b.sql", "0001_a_1.sql"]).unwrap();
        let names: Vec<_> = found.iter().map(|file| (file.number, file.name.as_str())).collect();
        assert_eq!(names, [(1, "a_1"), (2, "b")]);
    }

    #[test]
    fn names_that_are_no_numbers_holes_and_doubles_are_refused() {
        for (names, said) in [
            (vec![], "no file"),
            (vec!["1_a.sql"], "at least four digits"),
            (vec!["0000_a.sql"], "from 0001"),
            (vec!["0001.sql"], "not called"),
            (vec!["0001_a-b.sql"], "not called"),
            (vec!["+001_a.sql"], "not called"),
            (vec!["99999999999_a.sql"], "not called"),
            (vec!["0002_b.sql"], "0001 is missing"),
            (vec!["0001_a.sql", "00001_b.sql"], "same number"),
        ] {
            let error = files(&names).unwrap_err();
            assert_eq!(error.class(), "BadMigrations", "{names:?}");
            assert!(error.message().contains(said), "{names:?}: {error}");
        }
        assert!(numbered(vec![("0001_a.sql".to_owned(), " \n".to_owned())]).is_err());
    }

    #[test]
    fn what_was_applied_must_be_the_unchanged_beginning() {
        let all = files(&["0001_a.sql", "0002_b.sql", "0003_c.sql"]).unwrap();
        assert_eq!(plan(&all, &[]).unwrap().len(), 3);
        assert_eq!(plan(&all, &had(&all[..2])).unwrap(), &all[2..]);
        assert!(plan(&all, &had(&all)).unwrap().is_empty());

        let mut edited = had(&all[..1]);
        edited[0].sha256 = "0".repeat(64);
        let renamed = vec![Applied { name: "z".to_owned(), ..had(&all)[0].clone() }];
        for (records, said) in [
            (edited, "new file"),
            (renamed, "not what was applied"),
            (had(&all[1..2]), "not number 0001"),
            (had(&files(&["0001_a.sql", "0002_b.sql", "0003_c.sql", "0004_d.sql"]).unwrap()), "not in the folder"),
        ] {
            let error = plan(&all, &records).unwrap_err();
            assert_eq!(error.class(), "ChangedMigration");
            assert!(error.message().contains(said), "{error}");
        }
    }
}
