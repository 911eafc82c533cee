//! Every code has its page, and every page its code.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use updraft_spec::codes;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../docs/errors")
}

#[test]
fn every_code_has_a_page_and_every_page_a_code() {
    let pages: BTreeSet<String> = fs::read_dir(folder())
        .expect("docs/errors")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .filter(|name| name != "README.md")
        .collect();
    let expected: BTreeSet<String> = codes().map(|(code, _)| format!("{code}.md")).collect();
    assert_eq!(pages, expected);
    for (code, title) in codes() {
        let text = fs::read_to_string(folder().join(format!("{code}.md"))).expect("readable");
        assert!(text.starts_with(&format!("# {code}: {title}\n")), "{code}.md begins otherwise");
        for part in ["## Cause", "## Example", "## Fix"] {
            assert!(text.contains(part), "{code}.md has no {part}");
        }
    }
}

#[test]
fn the_index_of_pages_is_up_to_date() {
    let path = folder().join("README.md");
    assert_eq!(fs::read_to_string(path).expect("readable"), updraft_spec::errors_index(), "run `cargo xtask gen`");
}

/// The text of the first fenced block behind a heading.
fn block<'t>(page: &'t str, heading: &str) -> Option<&'t str> {
    let section = page.split(heading).nth(1)?;
    let section = section.split("\n## ").next()?;
    section.split("```yaml\n").nth(1)?.split("```").next()
}

#[test]
fn the_example_of_a_page_shows_its_code_and_the_fix_is_clean() {
    let catalog = crate::support::catalog();
    for (code, _) in codes() {
        let page = fs::read_to_string(folder().join(format!("{code}.md"))).expect("readable");
        if let Some(example) = block(&page, "## Example") {
            let found = updraft_spec::check(code, example, &catalog).diagnostics;
            assert!(found.iter().all(|found| found.code.name() == code), "{code}: {found:?}");
            assert!(!found.is_empty(), "the example of {code} is fine");
        }
        if let Some(fixed) = block(&page, "## Fix") {
            let found = updraft_spec::check(code, fixed, &catalog).diagnostics;
            assert!(found.is_empty(), "{code}: {found:?}");
        }
    }
}
