//! The corpus of bad files: every case names the diagnostics that it must get, with line and column, and no others.
//!
//! Expectations stand in lines `# expect: W006 3:1` of the file, or in `NAME.expect` beside a file that cannot hold comments.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use updraft_spec::check_bytes;
use updraft_spec::diagnostic::render;

use crate::support::{catalog, files, shown, testdata};

fn expected(path: &Path, bytes: &[u8]) -> Vec<String> {
    let beside = path.with_extension("expect");
    let text = if beside.exists() {
        fs::read_to_string(beside).expect("readable")
    } else {
        String::from_utf8_lossy(bytes).into_owned()
    };
    let mut expected: Vec<String> =
        text.lines().filter_map(|line| Some(line.strip_prefix("# expect: ")?.trim().to_owned())).collect();
    expected.sort();
    expected
}

#[test]
fn every_bad_file_gets_its_diagnostics_and_no_others() {
    let catalog = catalog();
    let mut wrong = Vec::new();
    let mut cases = 0;
    for path in files("bad", "yaml") {
        let bytes = fs::read(&path).expect("readable");
        let started = Instant::now();
        let checked = check_bytes(&shown(&path), &bytes, &catalog);
        assert!(started.elapsed() < Duration::from_secs(1), "{}: took {:?}", shown(&path), started.elapsed());
        let mut found: Vec<String> = checked
            .diagnostics
            .iter()
            .map(|found| {
                let at = checked.source.position(found.span.start);
                format!("{} {}:{}", found.code, at.line, at.column)
            })
            .collect();
        found.sort();
        let expected = expected(&path, &bytes);
        assert_eq!(checked.workflow.is_none(), !checked.is_ok(), "{}", shown(&path));
        if expected.is_empty() || found != expected {
            let text: String =
                checked.diagnostics.iter().map(|found| render(found, &checked.source, false) + "\n").collect();
            wrong.push(format!("{}\n  expected {expected:?}\n  found    {found:?}\n{text}", shown(&path)));
        }
        cases += 1;
    }
    assert!(wrong.is_empty(), "{}\n{} of {cases} wrong", wrong.join("\n"), wrong.len());
    assert!(cases >= 80, "only {cases} cases");
}

#[test]
fn what_people_read_is_pinned() {
    let catalog = catalog();
    let mut by_class: BTreeMap<String, String> = BTreeMap::new();
    for path in files("bad", "yaml") {
        let bytes = fs::read(&path).expect("readable");
        let checked = check_bytes(&shown(&path), &bytes, &catalog);
        let class = path.parent().and_then(Path::file_name).expect("a class").to_string_lossy().into_owned();
        let text = by_class.entry(class).or_default();
        for found in &checked.diagnostics {
            text.push_str(&render(found, &checked.source, false));
            text.push_str("\n\n");
        }
    }
    for (class, text) in by_class {
        insta::assert_snapshot!(format!("bad_{class}"), text);
    }
}

#[test]
fn good_files_become_the_workflows_that_they_say() {
    let catalog = catalog();
    let paths = files("good", "yaml");
    assert!(!paths.is_empty(), "no files in {}", testdata("good").display());
    for path in paths {
        let bytes = fs::read(&path).expect("readable");
        let checked = check_bytes(&shown(&path), &bytes, &catalog);
        let text: String = checked.diagnostics.iter().map(|found| render(found, &checked.source, false)).collect();
        assert!(checked.diagnostics.is_empty(), "{text}");
        let workflow = checked.workflow.expect("a workflow");
        let written = serde_json::to_string(&workflow).expect("JSON");
        assert_eq!(serde_json::from_str::<updraft_model::workflow::Workflow>(&written).expect("reads back"), workflow);
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        insta::assert_json_snapshot!(format!("good_{name}"), workflow);
    }
}

#[test]
fn the_machine_form_is_what_editors_expect() {
    let catalog = catalog();
    let checked = check_bytes("é.yaml", "id: a\ntasks:\n  - {id: é, type: noop, depend_on: b}\n".as_bytes(), &catalog);
    let report = updraft_spec::diagnostic::report([(&checked.source, checked.diagnostics.as_slice())]);
    insta::assert_json_snapshot!("machine_form", report);
}

#[test]
fn two_files_cannot_define_one_workflow() {
    let catalog = catalog();
    let text = |id: &str| format!("tasks: [{{id: a, type: noop}}]\nid: {id}\n");
    let mut files = [("a.yaml", "x"), ("b.yaml", "y"), ("c.yaml", "x")]
        .map(|(name, id)| updraft_spec::check(name, &text(id), &catalog));
    updraft_spec::check_together(&mut files);
    assert!(files[0].is_ok() && files[1].is_ok());
    assert!(files[2].workflow.is_none());
    let found = &files[2].diagnostics[0];
    assert_eq!((found.code.name(), found.message.as_str()), ("W209", "the workflow `x` is defined in `a.yaml` too"));
    assert_eq!(files[2].source.slice(found.span), "x");
}
