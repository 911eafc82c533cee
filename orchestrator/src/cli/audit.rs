//! `updraft audit`: who did what, and whether the log is whole.

use clap::{Args as ClapArgs, Subcommand};
use serde_json::Value;

use super::{Session, output};
use crate::exit_code::{ExitCode, Failure};
use crate::remote;

/// Arguments of `updraft audit`.
#[derive(Debug, ClapArgs)]
pub struct Args {
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Lists entries, the newest first
    List(List),
    /// Walks the chain from the first entry to the last
    Verify,
}

#[derive(Debug, Default, ClapArgs)]
struct List {
    /// By this actor
    #[arg(long)]
    actor: Option<String>,
    /// With this action: `run.cancel`, `user.add`, …
    #[arg(long)]
    action: Option<String>,
    /// On this subject
    #[arg(long)]
    subject: Option<String>,
    /// At or after this instant
    #[arg(long, value_name = "INSTANT")]
    since: Option<String>,
    /// Before this instant
    #[arg(long, value_name = "INSTANT")]
    until: Option<String>,
    /// At most so many
    #[arg(short = 'n', long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=500))]
    limit: u32,
    /// Goes on after the page before: its `next`
    #[arg(long)]
    cursor: Option<String>,
}

/// Carries it out.
pub async fn run(session: &Session, args: Args) -> Result<ExitCode, Failure> {
    match args.what.unwrap_or_else(|| What::List(List { limit: 50, ..List::default() })) {
        What::List(list) => show(session, list).await,
        What::Verify => verify(session).await,
    }
}

async fn show(session: &Session, list: List) -> Result<ExitCode, Failure> {
    let given = [
        ("actor", list.actor),
        ("action", list.action),
        ("subject", list.subject),
        ("since", list.since),
        ("until", list.until),
        ("limit", Some(list.limit.to_string())),
        ("cursor", list.cursor),
    ];
    let query: Vec<(&str, String)> = given.into_iter().filter_map(|(key, value)| Some((key, value?))).collect();
    let page: Value = remote::with(session, async |api| api.get("/audit", &query).await).await?;
    if session.json {
        output::json(&page)?;
        return Ok(ExitCode::Success);
    }
    let text = |item: &Value, field: &str| item.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
    let items = page.get("items").and_then(Value::as_array).cloned().unwrap_or_default();
    output::table(
        &["NO", "AT", "WHO", "AS", "FROM", "DID", "TO", "WHY"],
        items.iter().map(|item| {
            vec![
                item.get("seq").map(ToString::to_string).unwrap_or_default(),
                text(item, "at"),
                text(item, "actor"),
                text(item, "role"),
                text(item, "from"),
                text(item, "action"),
                text(item, "subject"),
                text(item, "reason"),
            ]
        }),
    );
    if let Some(next) = page.get("next").and_then(Value::as_str) {
        output::note(&format!("older ones: --cursor {next}"));
    }
    Ok(ExitCode::Success)
}

/// Exit code 1 if the chain is broken.
async fn verify(session: &Session) -> Result<ExitCode, Failure> {
    let answer: Value = remote::with(session, async |api| api.get("/audit/verify", &[]).await).await?;
    let ok = answer.get("ok") == Some(&Value::Bool(true));
    if session.json {
        output::json(&answer)?;
    } else {
        let entries = answer.get("entries").map(ToString::to_string).unwrap_or_default();
        match answer.get("first_bad").filter(|_| !ok) {
            Some(bad) => {
                output::line(&format!("entry {bad} is not as it was written, or what was before it is missing"));
            }
            None => output::line(&format!("{entries} entries, each as it was written and after the one before it")),
        }
    }
    Ok(if ok { ExitCode::Success } else { ExitCode::RunFailed })
}
