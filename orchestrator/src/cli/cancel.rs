//! `updraft cancel`: asks a run to stop.

use clap::Args as ClapArgs;
use serde_json::json;

use super::{Session, output, select};
use crate::compose;
use crate::exit_code::{ExitCode, Failure};

/// Arguments of `updraft cancel`.
#[derive(Debug, ClapArgs)]
pub struct Args {
    /// A run's id, its first digits, or `latest`
    run: String,
    /// Why; kept in the run's history
    #[arg(short, long, default_value = "by hand")]
    reason: String,
}

/// Carries it out.
pub async fn run(session: &Session, args: Args) -> Result<ExitCode, Failure> {
    let reader = compose::reader(session).await?;
    let run = select::run(&*reader, &args.run).await?;
    let done = compose::cancel(session, run, who(session), args.reason).await?;
    if session.json {
        output::json(&json!({ "run": run, "done": done }))?;
    } else {
        output::line(&done);
    }
    Ok(ExitCode::Success)
}

/// Who is at the terminal: `cli:user`.
pub fn who(session: &Session) -> String {
    let user = ["USER", "LOGNAME"].iter().find_map(|name| session.environment.get(*name));
    format!("cli:{}", user.map_or("unknown", String::as_str))
}
