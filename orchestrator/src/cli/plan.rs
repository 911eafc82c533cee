//! What a command would do: the answer to `--dry-run`.

use serde_json::Value;
use updraft_api::dto::Plan;

use super::{Session, output};
use crate::exit_code::{ExitCode, Failure};

/// Prints a plan.
///
/// # Errors
/// It is not a plan.
pub fn print(session: &Session, answer: &Value) -> Result<ExitCode, Failure> {
    if session.json {
        output::json(answer)?;
        return Ok(ExitCode::Success);
    }
    let plan: Plan = super::typed(answer)?;
    output::line(&plan.text);
    if let Some(version) = &plan.version {
        output::line(&format!("  from version {} to version {}", version.from, version.to));
    }
    for task in &plan.tasks {
        let name = task.map_index.map_or_else(|| task.task.clone(), |index| format!("{}[{index}]", task.task));
        output::line(&format!("  {name} ({}): {}", task.state.name(), task.why));
    }
    for warning in &plan.warnings {
        output::warning(warning);
    }
    output::note(&output::dim("nothing was done: --dry-run"));
    Ok(ExitCode::Success)
}
