//! `updraft schema`: the JSON Schema of workflow files.

use super::{Session, files, output};
use crate::exit_code::{ExitCode, Failure};

/// Carries it out.
pub fn run(session: &Session) -> Result<ExitCode, Failure> {
    let connections = session.connections(None)?;
    output::json(&updraft_spec::schema(&files::spec_of(&session.registry, &connections)))?;
    Ok(ExitCode::Success)
}
