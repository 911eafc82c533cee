//! Whatever bytes a file holds: no panic, and what is found has a place inside the file.

use std::fs;

use proptest::prelude::*;
use proptest::sample::Index;
use updraft_model::graph::Compiled;
use updraft_model::interval::Fires;
use updraft_model::workflow::Workflow;
use updraft_spec::diagnostic::render;
use updraft_spec::{Catalog, check_bytes, format};

use crate::support::{catalog, files};

fn judge(bytes: &[u8], catalog: &Catalog) {
    let checked = check_bytes("f.yaml", bytes, catalog);
    assert_eq!(checked.workflow.is_some(), checked.is_ok());
    for found in &checked.diagnostics {
        assert!(found.span.start <= found.span.end && found.span.end <= checked.source.text().len(), "{found:?}");
        assert!(!render(found, &checked.source, false).is_empty());
        let json = found.to_json(&checked.source);
        assert!((json.line, json.column) <= (json.end_line, json.end_column), "{found:?}");
    }
    if let Some(workflow) = checked.workflow {
        if let Some(schedule) = &workflow.schedule {
            assert!(Fires::of(schedule, workflow.start_date).is_ok(), "{schedule:?}");
        }
        let stored = serde_json::to_string(&workflow).expect("JSON");
        assert_eq!(serde_json::from_str::<Workflow>(&stored).expect("reads back"), workflow);
        assert!(Compiled::new(workflow).is_ok(), "what passes the check can be compiled");
    }
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Ok(formatted) = format("f.yaml", text)
    {
        assert_eq!(format("f.yaml", &formatted).as_deref(), Ok(formatted.as_str()));
    }
}

/// Pieces that files are made of, to put in odd places.
const PIECES: &[&str] = &[
    "{{",
    "}}",
    "{%",
    "%}",
    "{{ tasks.a.output.x }}",
    "- ",
    ": ",
    "\n",
    "\r",
    "\t",
    "&a ",
    "*a",
    "<<: *a",
    "!!str ",
    "|",
    ">-",
    "\"",
    "'",
    "[",
    "]",
    "{",
    "}",
    "#",
    "---\n",
    "null",
    "true",
    "1e999",
    "é",
    "\u{202e}",
    "\u{feff}",
    "\0",
    "depends_on: a",
    "type: ",
    "with: ",
    "id: ",
    "retry: ",
    "? ",
    "@",
    "%YAML 1.2\n",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_do_no_harm(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        judge(&bytes, &catalog());
    }

    #[test]
    fn random_yaml_like_text_does_no_harm(pieces in proptest::collection::vec(proptest::sample::select(PIECES), 0..60)) {
        judge(pieces.concat().as_bytes(), &catalog());
    }

    #[test]
    fn damaged_files_do_no_harm(
        file in any::<Index>(),
        changes in proptest::collection::vec((any::<Index>(), proptest::option::of(proptest::sample::select(PIECES)), 0_usize..8), 1..6),
    ) {
        let mut paths = files("good", "yaml");
        paths.extend(files("bad/templates", "yaml"));
        let mut bytes = fs::read(file.get(&paths)).expect("readable");
        for (at, piece, cut) in changes {
            let at = at.index(bytes.len() + 1);
            let end = (at + cut).min(bytes.len());
            bytes.splice(at..end, piece.unwrap_or_default().bytes());
        }
        judge(&bytes, &catalog());
    }
}
