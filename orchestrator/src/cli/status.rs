//! `updraft status`: how the installation is.

use serde_json::Value;
use updraft_api::dto::Status;

use super::{Session, output};
use crate::exit_code::{ExitCode, Failure};
use crate::remote;

/// Carries it out.
pub async fn run(session: &Session) -> Result<ExitCode, Failure> {
    let (answer, alone): (Value, bool) =
        remote::with(session, async |api| Ok((api.get("/status", &[]).await?, api.is_momentary()))).await?;
    if session.json {
        output::json(&answer)?;
        return Ok(ExitCode::Success);
    }
    let status: Status = super::typed(&answer)?;
    output::line(&format!("updraft {} · store {}: {}", status.version, status.store.kind, status.store.text));
    if alone {
        output::line("no daemon is running on this store");
    }
    // Who only looks is no worker.
    let others = status.workers.iter().filter(|one| !alone || one.pid != std::process::id());
    output::table(
        &["WORKER", "STATE", "BUSY", "QUEUES", "LEASE UNTIL"],
        others.map(|one| {
            vec![
                one.name.clone(),
                one.state.clone(),
                format!("{}/{}", one.busy, one.slots),
                one.queues.join(", "),
                one.lease_until.to_string(),
            ]
        }),
    );
    output::table(
        &["QUEUE", "READY", "EXECUTING"],
        status.queues.iter().map(|one| vec![one.queue.clone(), one.ready.to_string(), one.executing.to_string()]),
    );
    let catalog = &status.catalog;
    output::line(&format!(
        "{} in {}; {} broken, {} in conflict; {} scheduled, {} skipped ever",
        output::plural(usize::try_from(catalog.workflows).unwrap_or(usize::MAX), "workflow"),
        output::plural(usize::try_from(catalog.files).unwrap_or(usize::MAX), "file"),
        catalog.broken.len(),
        catalog.conflicts.len(),
        status.schedules.total,
        output::plural(usize::try_from(status.schedules.skipped_fires).unwrap_or(usize::MAX), "fire"),
    ));
    for file in &catalog.broken {
        let first = file.diagnostics.first();
        let what = first
            .map_or_else(String::new, |one| format!(":{}:{}: {} [{}]", one.line, one.column, one.message, one.code));
        output::warning(&format!("{}{what}", file.path));
    }
    Ok(ExitCode::Success)
}
