//! `updraft cancel`: asks a run to stop.

use clap::Args as ClapArgs;
use serde_json::json;

use super::{Session, change};
use crate::exit_code::{ExitCode, Failure};

/// Arguments of `updraft cancel`.
#[derive(Debug, ClapArgs)]
pub struct Args {
    /// A run's id, its first digits, or `latest`
    run: String,
    /// Why; kept in the run's history and in the audit log
    #[arg(short, long, default_value = "by hand")]
    reason: String,
    /// Says what would happen, and does nothing
    #[arg(long)]
    dry_run: bool,
}

/// Carries it out: whoever carries the run out stops it; what nobody carries out any more is ended at once.
pub async fn run(session: &Session, args: Args) -> Result<ExitCode, Failure> {
    let how = change::How { reason: Some(args.reason), dry_run: args.dry_run };
    change::of_run(session, &args.run, "cancel", json!({}), &how).await
}

/// Who is at the terminal: `cli:user`.
pub fn who(session: &Session) -> String {
    let user = ["USER", "LOGNAME"].iter().find_map(|name| session.environment.get(*name));
    format!("cli:{}", user.map_or("unknown", String::as_str))
}
