//! `updraft cancel`: asks a run to stop.

use clap::Args as ClapArgs;
use serde_json::json;

use super::{Session, change, output, select};
use crate::compose;
use crate::exit_code::{ExitCode, Failure};
use crate::remote::sockets;

/// Arguments of `updraft cancel`.
#[derive(Debug, ClapArgs)]
pub struct Args {
    /// A run's id, its first digits, or `latest`
    run: String,
    /// Why; kept in the run's history
    #[arg(short, long, default_value = "by hand")]
    reason: String,
    /// Says what would happen, and does nothing
    #[arg(long)]
    dry_run: bool,
}

/// Carries it out.
pub async fn run(session: &Session, args: Args) -> Result<ExitCode, Failure> {
    // A daemon does it, and writes it down in the audit log; else whoever carries the run out, or this process.
    if args.dry_run || session.server.is_some() || sockets(&session.store, &session.project).live().await.is_some() {
        let how = change::How { reason: Some(args.reason), dry_run: args.dry_run };
        return change::of_run(session, &args.run, "cancel", json!({}), &how).await;
    }
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
