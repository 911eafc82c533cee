//! Waiting for a run's end, over the API.

use std::time::Duration;

use serde_json::Value;
use updraft_api::dto::{Run, RunState};

use super::{Session, output};
use crate::exit_code::{ExitCode, Failure};
use crate::remote::Api;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(500);

/// Waits until the run is over or set aside.
///
/// # Errors
/// The server cannot be reached.
pub async fn until_over(api: &Api, run: &str) -> Result<Value, Failure> {
    loop {
        let found: Value = api.get(&format!("/runs/{run}"), &[]).await?;
        let state: Run = super::typed(&found)?;
        match state.summary.state {
            RunState::Queued | RunState::Running | RunState::Cancelling => tokio::time::sleep(PAUSE).await,
            RunState::Succeeded | RunState::Failed | RunState::Cancelled | RunState::Broken => return Ok(found),
        }
    }
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
