//! `updraft users`: who may log in.

use clap::{Args as ClapArgs, Subcommand};
use serde_json::{Map, Value, json};

use super::{Session, output, segment};
use crate::exit_code::{ExitCode, Failure};
use crate::remote;

/// Arguments of `updraft users`.
#[derive(Debug, ClapArgs)]
pub struct Args {
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Lists users
    List,
    /// Adds a user, and prints a link that lets them choose a password
    Add(Add),
    /// Changes a user's role, or shuts them out; their sessions end
    Set(Set),
    /// Removes a user with their sessions and tokens
    Remove(Remove),
}

#[derive(Debug, ClapArgs)]
struct Add {
    /// What they log in with: a–z, 0–9, `.`, `_`, `-`, `@`
    name: String,
    /// What they may do
    #[arg(long, default_value = "viewer", value_parser = super::tokens::ROLES)]
    role: String,
    /// Why; kept in the audit log
    #[arg(long)]
    reason: Option<String>,
}

#[derive(Debug, ClapArgs)]
struct Set {
    /// Who
    name: String,
    /// What they may do
    #[arg(long, value_parser = super::tokens::ROLES)]
    role: Option<String>,
    /// Shuts them out
    #[arg(long, conflicts_with = "enable")]
    disable: bool,
    /// Lets them in again
    #[arg(long)]
    enable: bool,
    /// Why; kept in the audit log
    #[arg(long)]
    reason: Option<String>,
}

#[derive(Debug, ClapArgs)]
struct Remove {
    /// Who
    name: String,
}

/// Carries it out.
pub async fn run(session: &Session, args: Args) -> Result<ExitCode, Failure> {
    match args.what.unwrap_or(What::List) {
        What::List => list(session).await,
        What::Add(add) => {
            let body = json!({ "name": add.name, "role": add.role, "reason": add.reason });
            let answer: Value = remote::with(session, async |api| api.post("/users", &[], &body).await).await?;
            if session.json {
                output::json(&answer)?;
                return Ok(ExitCode::Success);
            }
            output::line(&format!("{} is a user with the role {}", add.name, add.role));
            if let Some(link) = answer.get("link").and_then(Value::as_str) {
                output::line(&format!("To choose a password, once, within a day: {link}"));
                if link.starts_with('/') {
                    output::note("(the address of the server goes in front: it has no `server.public_url`)");
                }
            }
            Ok(ExitCode::Success)
        }
        What::Set(set) => {
            let mut body = Map::new();
            if let Some(role) = &set.role {
                body.insert("role".to_owned(), json!(role));
            }
            if set.disable || set.enable {
                body.insert("disabled".to_owned(), json!(set.disable));
            }
            if body.is_empty() {
                return Err(Failure::input("nothing to change").hint("give --role, --disable or --enable"));
            }
            body.insert("reason".to_owned(), json!(set.reason));
            let path = format!("/users/{}", segment(&set.name));
            let answer: Value = remote::with(session, async |api| api.patch(&path, &body).await).await?;
            told(session, &answer, || format!("{} is changed; their sessions have ended", set.name))
        }
        What::Remove(remove) => {
            let path = format!("/users/{}", segment(&remove.name));
            remote::with(session, async |api| api.delete(&path, &[]).await).await?;
            told(session, &json!({ "removed": remove.name }), || format!("{} is removed", remove.name))
        }
    }
}

async fn list(session: &Session) -> Result<ExitCode, Failure> {
    let all = remote::with(session, async |api| api.all("/users", &[]).await).await?;
    if session.json {
        output::json(&all)?;
        return Ok(ExitCode::Success);
    }
    let items = all.get("items").and_then(Value::as_array).cloned().unwrap_or_default();
    let text = |item: &Value, field: &str| item.get(field).and_then(Value::as_str).unwrap_or("–").to_owned();
    output::table(
        &["NAME", "ROLE", "LAST LOG-IN", "SINCE", ""],
        items.iter().map(|item| {
            let disabled = item.get("disabled") == Some(&Value::Bool(true));
            vec![
                text(item, "name"),
                text(item, "role"),
                text(item, "last_login_at"),
                text(item, "created_at"),
                if disabled { "shut out".to_owned() } else { String::new() },
            ]
        }),
    );
    Ok(ExitCode::Success)
}

/// The answer as a document, or in words.
///
/// # Errors
/// The answer is no JSON.
pub fn told(session: &Session, answer: &Value, words: impl FnOnce() -> String) -> Result<ExitCode, Failure> {
    if session.json {
        output::json(answer)?;
    } else {
        output::line(&words());
    }
    Ok(ExitCode::Success)
}
