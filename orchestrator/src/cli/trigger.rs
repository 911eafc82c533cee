//! `updraft trigger`: makes a run of a published workflow; a daemon carries it out.

use clap::Args as ClapArgs;
use serde_json::{Map, Value, json};
use updraft_api::dto::Run;
use updraft_model::time::Timestamp;

use super::{Session, change, output, plan};
use crate::exit_code::{ExitCode, Failure};
use crate::remote::{self, Api};

/// Arguments of `updraft trigger`.
#[derive(Debug, ClapArgs)]
pub struct Args {
    /// Id of a published workflow
    workflow: String,
    /// A param; what is no JSON is taken as text (may be given more than once)
    #[arg(short, long = "param", value_name = "KEY=VALUE")]
    params: Vec<String>,
    /// Logical date, RFC 3339 or a date; now if left out
    #[arg(long, value_name = "INSTANT", value_parser = super::run::instant)]
    logical_date: Option<Timestamp>,
    /// What others should know about this run
    #[arg(long)]
    note: Option<String>,
    /// With the same key, the same request makes one run however often it is sent
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    /// Says what would happen, and does nothing
    #[arg(long)]
    dry_run: bool,
    /// Waits for the run's end; the exit code is then its outcome
    #[arg(long, conflicts_with = "dry_run")]
    wait: bool,
}

/// Carries it out.
pub async fn run(session: &Session, args: Args) -> Result<ExitCode, Failure> {
    let wait = args.wait;
    let made = remote::with(session, async |api| trigger(session, api, args).await).await?;
    match made {
        Some(run) if wait => super::wait::report(session, &super::wait::until_over(session, &run).await?),
        Some(_) | None => Ok(ExitCode::Success),
    }
}

/// Makes the run; its id, unless only a plan was asked for.
async fn trigger(session: &Session, api: &Api, args: Args) -> Result<Option<String>, Failure> {
    let path = format!("/workflows/{}/runs", super::segment(&args.workflow));
    let known: Value = api.get(&format!("/workflows/{}", super::segment(&args.workflow)), &[]).await?;
    let mut body = Map::new();
    if !args.params.is_empty() {
        body.insert("params".to_owned(), Value::Object(params(&known, &args.params)?));
    }
    if let Some(at) = args.logical_date {
        body.insert("logical_date".to_owned(), json!(at.to_string()));
    }
    if let Some(note) = args.note {
        body.insert("note".to_owned(), json!(note));
    }
    if args.dry_run {
        let answer: Value = api.post(&path, &[("dry_run", "true".to_owned())], &body).await?;
        plan::print(session, &answer)?;
        return Ok(None);
    }
    let key = args.idempotency_key.unwrap_or_else(|| uuid::Uuid::new_v4().to_string());
    let made: Value = api.post_once(&path, &[], &body, &key).await?;
    let run: Run = super::typed(&made)?;
    if !args.wait && session.json {
        output::json(&made)?;
    } else if !args.wait {
        output::line(&format!("{} {} is {}", run.summary.workflow, run.summary.id, run.summary.state.name()));
    }
    change::tell_if_nobody_runs(api);
    Ok(Some(run.summary.id.to_string()))
}

/// Text params are taken literally, others as JSON; which is which says the workflow's own schema.
fn params(workflow: &Value, given: &[String]) -> Result<Map<String, Value>, Failure> {
    let schemas = workflow.pointer("/params_schema/properties").and_then(Value::as_object);
    let mut read = Map::new();
    for argument in given {
        let Some((name, text)) = argument.split_once('=') else {
            return Err(Failure::input(format!("`--param {argument}` has no `=`")).hint("write -p KEY=VALUE"));
        };
        let is_text = schemas
            .and_then(|schemas| schemas.get(name))
            .is_some_and(|schema| schema.get("type").and_then(Value::as_str) == Some("string"));
        let value = if is_text {
            Value::String(text.to_owned())
        } else {
            serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))
        };
        if read.insert(name.to_owned(), value).is_some() {
            return Err(Failure::input(format!("the param `{name}` is given twice")));
        }
    }
    Ok(read)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_params_stay_text_and_others_are_json() {
        let workflow =
            json!({ "params_schema": { "properties": { "day": { "type": "string" }, "n": { "type": "integer" } } } });
        let given = ["day=2026", "n=5", "list=[1]", "odd=a b"].map(str::to_owned);
        let read = params(&workflow, &given).unwrap();
        assert_eq!(Value::Object(read), json!({ "day": "2026", "n": 5, "list": [1], "odd": "a b" }));
        assert!(params(&workflow, &["n".to_owned()]).unwrap_err().message.contains("no `=`"));
        assert!(params(&workflow, &["n=1".to_owned(), "n=2".to_owned()]).unwrap_err().message.contains("twice"));
    }
}
