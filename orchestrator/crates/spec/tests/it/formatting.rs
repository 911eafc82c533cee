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
