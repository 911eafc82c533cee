//! `updraft tokens`: API tokens for programs.

use clap::{Args as ClapArgs, Subcommand};
use serde_json::{Value, json};
use updraft_model::span;

use super::users::told;
use super::{Session, output, segment};
use crate::exit_code::{ExitCode, Failure};
use crate::remote;

/// The names of roles.
pub const ROLES: [&str; 4] = ["viewer", "operator", "editor", "admin"];

/// Arguments of `updraft tokens`.
#[derive(Debug, ClapArgs)]
pub struct Args {
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Lists tokens; never their text
    List,
    /// Makes a token and prints it, this once
    Create(Create),
    /// Ends a token at once
    Revoke(Revoke),
}

#[derive(Debug, ClapArgs)]
struct Create {
    /// What it is for
    #[arg(long, default_value = "cli")]
    name: String,
    /// What it may do at most
    #[arg(long, default_value = "viewer", value_parser = ROLES)]
    role: String,
    /// Limits it to this permission (may be given more than once): read, run, control, … (docs/security.md)
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<String>,
    /// How long it counts: `12h`, `30d` [default: 90 days]
    #[arg(long, value_name = "DURATION")]
    expires_in: Option<String>,
    /// Why; kept in the audit log
    #[arg(long)]
    reason: Option<String>,
}

#[derive(Debug, ClapArgs)]
struct Revoke {
    /// Its id, as the list shows it
    id: String,
}

/// Carries it out.
pub async fn run(session: &Session, args: Args) -> Result<ExitCode, Failure> {
    match args.what.unwrap_or(What::List) {
        What::List => list(session).await,
        What::Create(create) => {
            let life = match &create.expires_in {
                Some(text) => Some(span::parse(text).map_err(|error| {
                    Failure::input(format!("--expires-in {text}: {error}")).hint("write 12h or 30d")
                })?),
                None => None,
            };
            let body = json!({
                "name": create.name, "role": create.role, "scopes": create.scopes, "reason": create.reason,
                "expires_in_seconds": life.map(|life| life.as_secs()),
            });
            let answer: Value = remote::with(session, async |api| api.post("/tokens", &[], &body).await).await?;
            if session.json {
                output::json(&answer)?;
                return Ok(ExitCode::Success);
            }
            let text = |field: &str| answer.get(field).and_then(Value::as_str).unwrap_or_default();
            output::line(text("token"));
            output::note(&format!(
                "This is the only time that it is shown. It counts until {}; end it by `updraft tokens revoke {}`.",
                text("expires_at"),
                text("id")
            ));
            Ok(ExitCode::Success)
        }
        What::Revoke(revoke) => {
            let path = format!("/tokens/{}", segment(&revoke.id));
            remote::with(session, async |api| api.delete(&path, &[]).await).await?;
            told(session, &json!({ "revoked": revoke.id }), || format!("token {} counts no more", revoke.id))
        }
    }
}

async fn list(session: &Session) -> Result<ExitCode, Failure> {
    let all = remote::with(session, async |api| api.all("/tokens", &[]).await).await?;
    if session.json {
        output::json(&all)?;
        return Ok(ExitCode::Success);
    }
    let items = all.get("items").and_then(Value::as_array).cloned().unwrap_or_default();
    let text = |item: &Value, field: &str| item.get(field).and_then(Value::as_str).unwrap_or("–").to_owned();
    output::table(
        &["ID", "NAME", "ROLE", "SCOPES", "BEGINS", "BY", "LAST USED", "UNTIL"],
        items.iter().map(|item| {
            let scopes: Vec<&str> =
                item.get("scopes").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
            vec![
                text(item, "id"),
                text(item, "name"),
                text(item, "role"),
                if scopes.is_empty() { "all of its role".to_owned() } else { scopes.join(" ") },
                text(item, "prefix"),
                text(item, "created_by"),
                text(item, "last_used_at"),
                text(item, "expires_at"),
            ]
        }),
    );
    Ok(ExitCode::Success)
}
