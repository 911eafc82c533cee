//! `updraft migrate`: brings the store's tables to this version.

use clap::Args as ClapArgs;
use serde_json::json;

use super::{Session, output};
use crate::compose;
use crate::exit_code::{ExitCode, Failure};

/// Arguments of `updraft migrate`.
#[derive(Debug, ClapArgs)]
pub struct Args {
    /// Lists migrations and changes nothing
    #[arg(long)]
    status: bool,
}

/// Carries it out.
pub async fn run(session: &Session, args: &Args) -> Result<ExitCode, Failure> {
    session.needs_store("migrate")?;
    if !args.status {
        let applied = compose::migrate(&session.store).await?;
        if session.json {
            output::json(&json!({ "store": session.store.shown(), "applied": applied }))?;
        } else if applied == 0 {
            output::line(&format!("{} is current", session.store.shown()));
        } else {
            output::line(&format!("{}: {} applied", session.store.shown(), output::plural(applied, "migration")));
        }
        return Ok(ExitCode::Success);
    }
    let steps = compose::migration_status(&session.store).await?;
    if session.json {
        output::json(&json!({ "store": session.store.shown(), "migrations": steps }))?;
    } else {
        output::table(
            &["NUMBER", "MIGRATION", "STATE"],
            steps.iter().map(|step| {
                let state = match (step.applied, step.known) {
                    (true, true) => "applied",
                    (true, false) => "applied by a newer build",
                    (false, _) => "to do",
                };
                vec![step.version.to_string(), step.name.clone(), state.to_owned()]
            }),
        );
    }
    Ok(ExitCode::Success)
}
