//! `updraft fmt`: rewrites aliases to the canonical keys; comments stay.

use std::path::PathBuf;

use clap::Args as ClapArgs;
use serde_json::json;
use updraft_spec::diagnostic::Source;

use super::{Session, check, files, output};
use crate::exit_code::{ExitCode, Failure};

/// Arguments of `updraft fmt`.
#[derive(Debug, ClapArgs)]
pub struct Args {
    /// Files and folders [default: the project's workflow folders]
    files: Vec<PathBuf>,
    /// Changes nothing; exit code 2 names the files that would change
    #[arg(long)]
    check: bool,
}

/// Carries it out.
pub fn run(session: &Session, args: &Args) -> Result<ExitCode, Failure> {
    let (mut changed, mut broken) = (Vec::new(), false);
    for file in files::find(session, &args.files)? {
        let name = files::shown(session, &file);
        let text = String::from_utf8(files::read(session, &file)?)
            .map_err(|_| Failure::input(format!("{name} is not UTF-8")))?;
        match updraft_spec::format(&name, &text) {
            Ok(formatted) if formatted == text => {}
            Ok(formatted) => {
                if !args.check {
                    std::fs::write(&file, formatted)
                        .map_err(|error| Failure::input(format!("cannot write {name}: {error}")))?;
                }
                changed.push(name);
            }
            Err(found) => {
                check::show(&Source::new(&name, &text), &found);
                broken = true;
            }
        }
    }
    if session.json {
        output::json(&json!({ "ok": !broken && (changed.is_empty() || !args.check), "changed": changed }))?;
    } else {
        let verb = if args.check { "would change" } else { "changed" };
        changed.iter().for_each(|name| output::line(&format!("{verb} {name}")));
    }
    let bad = broken || (args.check && !changed.is_empty());
    Ok(if bad { ExitCode::BadInput } else { ExitCode::Success })
}
