//! Waiting for a run's end, over the API.

use std::time::Duration;

use serde_json::Value;
use updraft_api::dto::{Run, RunState};

use super::{Session, output};
use crate::exit_code::{ExitCode, Failure};
use crate::remote;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(500);

/// Waits until the run is over or set aside, whoever carries it out meanwhile.
///
/// # Errors
/// The server cannot be reached.
pub async fn until_over(session: &Session, run: &str) -> Result<Value, Failure> {
    remote::until(session, PAUSE, async |api| {
        let found: Value = api.get(&format!("/runs/{run}"), &[]).await?;
        let state: Run = super::typed(&found)?;
        Ok(match state.summary.state {
            RunState::Queued | RunState::Running | RunState::Cancelling => None,
            RunState::Succeeded | RunState::Failed | RunState::Cancelled | RunState::Broken => Some(found),
        })
    })
    .await
}

/// Says how it ended; the exit code is the outcome.
///
/// # Errors
/// It cannot be printed.
pub fn report(session: &Session, found: &Value) -> Result<ExitCode, Failure> {
    let run: Run = super::typed(found)?;
    if session.json {
        output::json(found)?;
    } else {
        output::line(&run.sentence);
    }
    Ok(match run.summary.state {
        RunState::Failed | RunState::Broken => ExitCode::RunFailed,
        RunState::Cancelled => ExitCode::Cancelled,
        RunState::Queued | RunState::Running | RunState::Cancelling | RunState::Succeeded => ExitCode::Success,
    })
}
