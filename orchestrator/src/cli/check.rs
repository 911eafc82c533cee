//! `updraft check`: every mistake in every file.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::Args as ClapArgs;
use updraft_spec::diagnostic::{Source, render, report};
use updraft_spec::{Catalog, Checked, Diagnostic, Severity, check_bytes, check_together};

use super::{Session, files, output};
use crate::exit_code::{ExitCode, Failure};

/// Fewer are checked faster than a thread is worth.
const FILES_WORTH_A_THREAD: usize = 64;

/// Arguments of `updraft check`.
#[derive(Debug, ClapArgs)]
pub struct Args {
    /// Files and folders [default: the project's workflow folders]
    files: Vec<PathBuf>,
    /// Profile whose connections are known
    #[arg(long)]
    profile: Option<String>,
}

/// Carries it out.
pub fn run(session: &Session, args: &Args) -> Result<ExitCode, Failure> {
    let connections = session.connections(args.profile.as_deref())?;
    let catalog = files::spec_of(&session.registry, &connections);
    let mut checked = check_files(session, &files::find(session, &args.files)?, &catalog)?;
    check_together(&mut checked);
    let ok = checked.iter().all(Checked::is_ok);
    if session.json {
        output::json(&report(checked.iter().map(|one| (&one.source, one.diagnostics.as_slice()))))?;
    } else {
        checked.iter().for_each(print);
        let found = |severity| -> usize {
            checked.iter().flat_map(|one| &one.diagnostics).filter(|found| found.severity == severity).count()
        };
        let (errors, warnings) = (found(Severity::Error), found(Severity::Warning));
        let files = output::plural(checked.len(), "file");
        output::line(&if errors + warnings == 0 {
            format!("{files}, no mistakes")
        } else {
            format!("{files}, {}, {}", output::plural(errors, "error"), output::plural(warnings, "warning"))
        });
    }
    Ok(if ok { ExitCode::Success } else { ExitCode::BadInput })
}

/// Reads and checks each file by itself, on all cores where there are enough of them; answers in their order.
fn check_files(session: &Session, found: &[PathBuf], catalog: &Catalog) -> Result<Vec<Checked>, Failure> {
    let check = |file: &PathBuf| Ok(check_bytes(&files::shown(session, file), &files::read(session, file)?, catalog));
    let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let share = found.len().div_ceil(cores).max(FILES_WORTH_A_THREAD);
    std::thread::scope(|scope| {
        let shares: Vec<_> = found
            .chunks(share)
            .map(|share| scope.spawn(move || share.iter().map(check).collect::<Result<Vec<_>, Failure>>()))
            .collect();
        let mut checked = Vec::with_capacity(found.len());
        for share in shares {
            checked.extend(share.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
        }
        Ok(checked)
    })
}

/// Prints a checked file's diagnostics to standard error.
pub fn print(checked: &Checked) {
    show(&checked.source, &checked.diagnostics);
}

/// Prints diagnostics to standard error; what prints them takes colours away where they are not wanted.
pub fn show(source: &Source, diagnostics: &[Diagnostic]) {
    for diagnostic in diagnostics {
        output::note(&format!("{}\n", render(diagnostic, source, true)));
    }
}
