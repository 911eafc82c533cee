//! `updraft connections`: what tasks connect to, and how.

use std::io::{IsTerminal as _, Read as _};

use clap::{Args as ClapArgs, Subcommand};
use serde_json::{Map, Value, json};

use super::users::told;
use super::{Session, output, segment};
use crate::exit_code::{ExitCode, Failure};
use crate::remote::{self, Api};

/// Arguments of `updraft connections`.
#[derive(Debug, ClapArgs)]
pub struct Args {
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Lists connections with the source of each field; never secrets
    List,
    /// Writes a connection to the store, sealed; what is not given of it stays
    Set(Set),
    /// Removes a connection from the store
    Remove(Named),
    /// Connects to the addresses that a connection names
    Test(Named),
    /// Seals all secrets anew under the newest master key
    Rotate,
}

#[derive(Debug, ClapArgs)]
struct Set {
    /// Its name
    name: String,
    /// Its kind; needed for a new one
    #[arg(long)]
    kind: Option<String>,
    /// `FIELD=VALUE`: text, or JSON for other types; `FIELD=` takes it away. Not for secrets
    #[arg(value_name = "FIELD=VALUE")]
    fields: Vec<String>,
    /// A secret field, whose value is read from standard input
    #[arg(long, value_name = "FIELD")]
    secret: Option<String>,
    /// Why; kept in the audit log
    #[arg(long)]
    reason: Option<String>,
}

#[derive(Debug, ClapArgs)]
struct Named {
    /// Its name
    name: String,
}

/// Carries it out.
pub async fn run(session: &Session, args: Args) -> Result<ExitCode, Failure> {
    match args.what.unwrap_or(What::List) {
        What::List => list(session).await,
        What::Set(set) => {
            let secret = match &set.secret {
                Some(field) => Some((field.as_str(), read_secret(field)?)),
                None => None,
            };
            let answer = remote::with(session, async |api| put(api, &set, secret.as_ref()).await).await?;
            told(session, &answer, || format!("connection {} is written; the next attempts use it", set.name))
        }
        What::Remove(Named { name }) => {
            let path = format!("/connections/{}", segment(&name));
            remote::with(session, async |api| api.delete(&path, &[]).await).await?;
            told(session, &json!({ "removed": name }), || format!("connection {name} is removed from the store"))
        }
        What::Test(Named { name }) => test(session, &name).await,
        What::Rotate => rotate(session).await,
    }
}

fn read_secret(field: &str) -> Result<String, Failure> {
    let mut stdin = std::io::stdin();
    if stdin.is_terminal() {
        output::note(&format!("{field}, then Ctrl-D (it will show as you type):"));
    }
    let mut text = String::new();
    stdin
        .read_to_string(&mut text)
        .map_err(|error| Failure::input(format!("the secret cannot be read from standard input: {error}")))?;
    let text = text.strip_suffix('\n').map_or(text.as_str(), |text| text.strip_suffix('\r').unwrap_or(text));
    if text.is_empty() {
        return Err(Failure::input(format!("nothing came on standard input for `{field}`")));
    }
    Ok(text.to_owned())
}

fn array<'v>(value: &'v Value, field: &str) -> impl Iterator<Item = &'v Value> {
    value.get(field).and_then(Value::as_array).into_iter().flatten()
}

fn text<'v>(value: &'v Value, field: &str) -> &'v str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

/// Fields of the store that are there, with what was given over them: the API replaces all that is not secret.
async fn put(api: &Api, set: &Set, secret: Option<&(&str, String)>) -> Result<Value, Failure> {
    let all: Value = api.get("/connections", &[]).await?;
    let kinds: Value = api.get("/connections/kinds", &[]).await?;
    let before = array(&all, "items").find(|one| text(one, "name") == set.name);
    let kind = set.kind.clone().or_else(|| before.map(|one| text(one, "kind").to_owned()));
    let kind = kind.ok_or_else(|| {
        let known: Vec<&str> = array(&kinds, "items").map(|kind| text(kind, "kind")).collect();
        Failure::input(format!("there is no connection `{}` yet: give its --kind", set.name))
            .hint(format!("kinds: {}", known.join(", ")))
    })?;
    let mut fields: Map<String, Value> = before
        .filter(|one| text(one, "kind") == kind)
        .into_iter()
        .flat_map(|one| array(one, "fields"))
        .filter(|field| text(field, "source") == "store")
        .filter_map(|field| Some((text(field, "name").to_owned(), field.get("value")?.clone())))
        .collect();
    let schema = array(&kinds, "items").find(|one| text(one, "kind") == kind).and_then(|one| one.get("schema"));
    let is_secret = |field: &str| {
        before
            .into_iter()
            .flat_map(|one| array(one, "fields"))
            .any(|one| text(one, "name") == field && one.get("secret") == Some(&Value::Bool(true)))
            || schema.is_some_and(|schema| schema["properties"][field].to_string().contains("\"writeOnly\":true"))
    };
    for given in &set.fields {
        let (field, value) = given.split_once('=').ok_or_else(|| {
            Failure::input(format!("`{given}` is not FIELD=VALUE")).hint("a secret is read by --secret FIELD")
        })?;
        if is_secret(field) && !value.is_empty() {
            return Err(Failure::input(format!("`{field}` is secret: on the command line others could read it"))
                .hint(format!("--secret {field} reads it from standard input")));
        }
        let known = schema.and_then(|schema| schema.get("properties")).and_then(Value::as_object);
        if let Some(known) = known.filter(|known| !known.contains_key(field)) {
            let names: Vec<&str> = known.keys().map(String::as_str).collect();
            return Err(Failure::input(format!("a connection of the kind {kind} has no field `{field}`"))
                .hint(format!("fields: {}", names.join(", "))));
        }
        let as_text = schema.is_none_or(|schema| schema["properties"][field].to_string().contains("\"string\""));
        let value = match value {
            "" => Value::Null,
            value if as_text => json!(value),
            value => serde_json::from_str(value)
                .map_err(|_| Failure::input(format!("`{field}` takes JSON (true, 5, [\"a\"])")))?,
        };
        fields.insert(field.to_owned(), value);
    }
    if let Some((field, value)) = secret {
        // A map or list of secrets comes as JSON, a text as it is.
        let structured =
            serde_json::from_str::<Value>(value).ok().filter(|value| value.is_object() || value.is_array());
        fields.insert((*field).to_owned(), structured.unwrap_or_else(|| json!(value)));
    }
    let path = format!("/connections/{}", segment(&set.name));
    api.put(&path, &json!({ "kind": kind, "fields": fields, "reason": set.reason })).await
}

async fn list(session: &Session) -> Result<ExitCode, Failure> {
    let all: Value = remote::with(session, async |api| api.get("/connections", &[]).await).await?;
    if session.json {
        output::json(&all)?;
        return Ok(ExitCode::Success);
    }
    output::table(
        &["NAME", "KIND", "FROM", "FIELDS", "USED BY", ""],
        array(&all, "items").map(|one| {
            let set = |field: &&Value| field.get("set") == Some(&Value::Bool(true));
            let fields: Vec<String> = array(one, "fields")
                .filter(set)
                .map(|field| format!("{} ({})", text(field, "name"), text(field, "source")))
                .collect();
            let uses = array(one, "used_by").count();
            vec![
                text(one, "name").to_owned(),
                text(one, "kind").to_owned(),
                text(one, "source").to_owned(),
                fields.join(", "),
                output::plural(uses, "task"),
                text(one, "error").to_owned(),
            ]
        }),
    );
    Ok(ExitCode::Success)
}

/// Exit code 3 if something does not answer.
async fn test(session: &Session, name: &str) -> Result<ExitCode, Failure> {
    let path = format!("/connections/{}/test", segment(name));
    let answer: Value = remote::with(session, async |api| api.post(&path, &[], &json!({})).await).await?;
    if session.json {
        output::json(&answer)?;
    } else {
        output::line(text(&answer, "text"));
        let checks = array(&answer, "checks");
        let rows: Vec<Vec<String>> =
            checks.map(|check| vec![text(check, "address").to_owned(), text(check, "text").to_owned()]).collect();
        if !rows.is_empty() {
            output::table(&["ADDRESS", ""], rows);
        }
    }
    let ok = answer.get("ok") == Some(&Value::Bool(true));
    Ok(if ok { ExitCode::Success } else { ExitCode::Unreachable })
}

/// Works on the store itself: it needs the master keys, which no daemon hands out.
async fn rotate(session: &Session) -> Result<ExitCode, Failure> {
    session.needs_store("connections rotate")?;
    let vault = crate::daemon::vault(session)?;
    let opened = crate::compose::open(session).await?;
    let rotated = vault.rotate(&opened.desk()?.accounts).await;
    opened.store.close().await;
    let rotated = rotated?;
    if session.json {
        output::json(&rotated)?;
    } else {
        output::line(&format!(
            "{} sealed anew under key {}, {} were already, {} without secrets",
            output::plural(usize::try_from(rotated.resealed).unwrap_or(usize::MAX), "connection"),
            vault.newest(),
            rotated.current,
            rotated.without
        ));
        for (name, reason) in &rotated.failed {
            output::warning(&format!("{name}: {reason}"));
        }
    }
    Ok(if rotated.failed.is_empty() { ExitCode::Success } else { ExitCode::BadInput })
}
