//! Every workflow in the documentation passes `updraft check`.

use std::fs;
use std::path::{Path, PathBuf};

use crate::cli_support::Place;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// README.md and the pages of docs/; pages of diagnostics show mistakes on purpose.
fn pages() -> Vec<PathBuf> {
    let mut pages: Vec<PathBuf> = fs::read_dir(root().join("docs"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "md"))
        .collect();
    pages.push(root().join("README.md"));
    pages.sort();
    pages
}

/// Fenced `yaml` blocks that are whole workflows, with the line that they begin on.
fn workflows(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (at, line) in text.lines().enumerate() {
        match (&mut open, line.trim_start()) {
            (None, "```yaml") => open = Some((at + 2, String::new())),
            (Some(_), "```") => found.extend(open.take()),
            (Some((_, block)), _) => {
                block.push_str(line);
                block.push('\n');
            }
            (None, _) => {}
        }
    }
    found.retain(|(_, block)| block.starts_with("id:"));
    found
}

#[test]
fn every_workflow_in_the_documentation_passes_the_check() {
    let place = Place::new(&[]);
    let mut count = 0;
    for page in pages() {
        let name = page.file_stem().unwrap().to_string_lossy().into_owned();
        for (line, block) in workflows(&fs::read_to_string(&page).unwrap()) {
            place.write(&format!("{name}-{line}.yaml"), &block);
            count += 1;
        }
    }
    assert!(count >= 4, "only {count} workflows were found in the documentation");
    let finished = place.updraft(&["check", "."]);
    assert_eq!(
        (finished.code(), finished.out.as_str()),
        (Some(0), format!("{count} files, no mistakes\n").as_str()),
        "{}",
        finished.err
    );
}
