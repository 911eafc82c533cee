//! Tests that cannot run here: said loudly, and noted where CI finds them.
//!
//! A skipped test passes; so that none is skipped unnoticed, each appends a line to the file that `UPDRAFT_SKIPS`
//! names, and CI compares it with the list of expected skips.

use std::{
    env,
    fs::File,
    io::{self, Write as _},
    path::{Path, PathBuf},
    thread,
};

/// Says that this test is skipped, notes it, and returns from the test.
///
/// ```no_run
/// # fn found() -> bool { false }
/// # fn a_test() {
/// if !found() {
///     updraft_testkit::skip!("no {} here", "kettle");
/// }
/// # }
/// ```
#[macro_export]
macro_rules! skip {
    ($($reason:tt)+) => {{
        $crate::skip::report(&$crate::skip::current_test(), &format!($($reason)+));
        return;
    }};
}

/// Says that `test` is skipped, and notes it.
pub fn report(test: &str, reason: &str) {
    let line = format!("skipped: {test}: {}", reason.replace('\n', " "));
    warn(&line);
    if let Some(file) = env::var_os("UPDRAFT_SKIPS") {
        let noted = note(Path::new(&file), &line);
        assert!(noted.is_ok(), "cannot note a skip in {}: {noted:?}", file.display());
    }
}

/// The name of the running test: the harness names its threads after them.
pub fn current_test() -> String {
    thread::current().name().unwrap_or("a test on a thread without a name").to_owned()
}

/// A data folder that lies beside the project, if it is there.
///
/// The project stands without it: a test that wants it skips where it is missing.
pub fn shared_data() -> Option<PathBuf> {
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(3)?;
    Some(project.parent()?.join("shared/data")).filter(|folder| folder.is_dir())
}

/// A file or folder of [`shared_data`]; `None`, after a loud skip, if it is not there.
pub fn shared_data_file(path: &str) -> Option<PathBuf> {
    let found = shared_data().map(|folder| folder.join(path)).filter(|file| file.exists());
    if found.is_none() {
        report(&current_test(), &format!("shared/data/{path} is not beside the project"));
    }
    found
}

/// A line on standard error itself: the harness hides what a passing test prints in the ordinary way.
pub(crate) fn warn(line: &str) {
    writeln!(io::stderr(), "{line}").ok();
}

/// One write in append mode, so that lines of several processes do not mix.
fn note(file: &Path, line: &str) -> io::Result<()> {
    File::options().append(true).create(true).open(file)?.write_all(format!("{line}\n").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_knows_its_name() {
        assert!(current_test().ends_with("a_test_knows_its_name"), "{}", current_test());
    }

    #[test]
    fn skips_are_noted_one_line_each() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("skips");
        note(&file, "skipped: a: no kettle").unwrap();
        note(&file, "skipped: b: no tea").unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "skipped: a: no kettle\nskipped: b: no tea\n");
    }
}
