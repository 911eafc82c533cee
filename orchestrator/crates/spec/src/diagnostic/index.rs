//! The index of the pages in `docs/errors/`, generated from the table of codes.

use std::fmt::Write as _;

use super::{CODES, Severity};

/// `docs/errors/README.md`.
pub fn errors_index() -> String {
    let mut text = "# Diagnostics of `updraft check`\n\n\
        Generated from the table of codes. `updraft check` names a code with everything that it finds in a workflow file;\n\
        its page says what it means and how to put it right.\n\n\
        | code | severity | |\n|---|---|---|\n"
        .to_owned();
    for code in CODES {
        let severity = match code.severity() {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        let _ = writeln!(text, "| [{code}]({code}.md) | {severity} | {} |", code.title());
    }
    text
}
