//! `fmt` changes the spelling of keys and nothing that a file means.

use std::fs;

use updraft_spec::{check, format};

use crate::support::{catalog, files, shown};

#[test]
fn formatting_keeps_the_meaning_and_twice_is_once() {
    let catalog = catalog();
    for path in files("good", "yaml").into_iter().chain(files("bad", "yaml")) {
        let Ok(text) = fs::read_to_string(&path) else { continue };
        let Ok(formatted) = format(&shown(&path), &text) else { continue };
        assert_eq!(format(&shown(&path), &formatted).as_deref(), Ok(formatted.as_str()), "{}", shown(&path));
        let before = check(&shown(&path), &text, &catalog);
        let after = check(&shown(&path), &formatted, &catalog);
        assert_eq!(before.workflow, after.workflow, "{}", shown(&path));
        let codes =
            |checked: &updraft_spec::Checked| checked.diagnostics.iter().map(|found| found.code).collect::<Vec<_>>();
        assert_eq!(codes(&before), codes(&after), "{}", shown(&path));
        let comments = |text: &str| text.matches('#').count();
        assert_eq!(comments(&text), comments(&formatted), "{}", shown(&path));
    }
}

/// The workflow files that ship.
fn shipped() -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../workflows")];
    while let Some(at) = open.pop() {
        for entry in fs::read_dir(&at).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "yaml") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

#[test]
fn shipped_workflows_are_formatted_and_know_no_mistake_that_needs_no_catalog() {
    let files = shipped();
    assert!(!files.is_empty(), "no workflows");
    for path in files {
        let text = fs::read_to_string(&path).expect("readable");
        assert_eq!(format("f.yaml", &text).as_deref(), Ok(text.as_str()), "{}", path.display());
        let checked = check("f.yaml", &text, &updraft_spec::Catalog::new());
        let found: Vec<String> = checked
            .diagnostics
            .iter()
            .filter(|found| !matches!(found.code.name(), "W501" | "W505"))
            .map(|found| updraft_spec::diagnostic::render(found, &checked.source, false))
            .collect();
        assert!(found.is_empty(), "{}: {}", path.display(), found.join("\n"));
    }
}
