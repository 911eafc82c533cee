//! Makes a run by hand or by a program: params, date, note, and the key under which it may be asked for again.

use std::time::Duration;

use axum::Json;
use axum::http::header::LOCATION;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Map, Value, json};
use updraft_auth::{Principal, PrincipalKind};
use updraft_model::canonical::{canonical_json, sha256_hex};
use updraft_model::id::RunId;
use updraft_model::interval::{ManualInterval, manual_interval_since};
use updraft_model::record::RunFacts;
use updraft_model::state::Trigger;
use updraft_model::time::Timestamp;
use updraft_spec::template::{self, ContextBuilder, Template};
use updraft_spec::{ParamError, resolve_params};
use updraft_store::Published;
use updraft_store::history::Note;
use updraft_store::idempotency::{KEY_BYTES, TakenKey};
use uuid::Uuid;

use crate::auth::actor;
use crate::dto::{NewRun, Plan, PlanEffect, PlanTask, TaskState};
use crate::loads::load;
use crate::openapi::BASE;
use crate::problem::{Problem, wrong};
use crate::read;
use crate::schedules;
use crate::state::ApiState;
use crate::words::count;
use crate::workflows::{Found, find};

/// The header.
const KEY: &str = "idempotency-key";
/// A run that is not there after so long will not come by itself: whoever took the key died.
const UNDER_WAY: Duration = Duration::from_secs(30);

/// A run that is asked for, checked.
struct Wanted {
    found: Found,
    params: Map<String, Value>,
    at: Timestamp,
    interval: ManualInterval,
}

async fn wanted(api: &ApiState, workflow: &str, new: &NewRun) -> Result<Wanted, Problem> {
    let found = find(api, workflow).await?;
    if found.line.retired {
        let text = format!("workflow `{workflow}` is retired: its file is gone");
        return Err(Problem::conflict("workflow_retired", text).hint("bring the file back"));
    }
    let given = new.params.clone().unwrap_or_default();
    let params = resolve_params(found.written(), &given).map_err(|errors| unfit(&errors))?;
    let at = new.logical_date.map_or(found.now, |at| at.0);
    let standing = schedules::standing(api, &found).await?;
    let interval = manual_interval_since(found.written(), at, standing.anchor)
        .map_err(|error| Problem::unfit("bad_schedule", error.to_string()))?;
    Ok(Wanted { found, params, at, interval })
}

fn unfit(errors: &[ParamError]) -> Problem {
    let one = |error: &ParamError| {
        let (code, name) = match error {
            ParamError::Unknown { name, .. } => ("param_unknown", Some(name)),
            ParamError::Missing(name) => ("param_missing", Some(name)),
            ParamError::Unfit { name, .. } | ParamError::Json { name, .. } => ("param_unfit", Some(name)),
            ParamError::Form(_) => ("param_unfit", None),
        };
        let pointer = name.map_or_else(|| "/params".to_owned(), |name| format!("/params/{}", name.replace('.', "/")));
        wrong(code, pointer, error.to_string())
    };
    let number = errors.len() as u64;
    let detail = if number == 1 { "1 param does not fit".to_owned() } else { format!("{number} params do not fit") };
    Problem::unfit("params_unfit", detail).errors(errors.iter().map(one).collect())
}

/// What a run would do.
pub(crate) async fn plan(api: &ApiState, workflow: &str, new: &NewRun) -> Result<Plan, Problem> {
    let wanted = wanted(api, workflow, new).await?;
    let written = wanted.found.written();
    let number = written.tasks.len() as u64;
    let mut warnings = Vec::new();
    if new.logical_date.is_some()
        && let Some((before, after)) = wanted.interval.off_schedule
    {
        let near: Vec<String> = [before, after].into_iter().flatten().map(|at| at.to_string()).collect();
        let near =
            if near.is_empty() { String::new() } else { format!("; the nearest fires are {}", near.join(" and ")) };
        warnings.push(format!("the schedule does not fire at {}{near}: the interval is that instant", wanted.at));
    }
    if wanted.found.line.open_runs >= written.max_active_runs {
        let open = count(wanted.found.line.open_runs, "run");
        warnings.push(format!("{open} open, and `max_active_runs` is {}: it will wait", written.max_active_runs));
    }
    if wanted.found.line.paused {
        warnings.push("the workflow is paused: a run by hand starts all the same".to_owned());
    }
    let facts = facts(&wanted);
    let context = ContextBuilder::new(written, &facts, &wanted.params).build();
    let task = |task: &updraft_model::workflow::Task| PlanTask {
        task: task.id.to_string(),
        map_index: None,
        state: TaskState::Waiting,
        effect: PlanEffect::Start,
        why: starts(task, &context),
    };
    Ok(Plan {
        action: "trigger".to_owned(),
        text: format!("Start 1 run of {}", count(number, "task")),
        run: None,
        workflow: Some(workflow.to_owned()),
        version: None,
        tasks: written.tasks.iter().map(task).collect(),
        runs: 1,
        estimate_seconds: wanted.found.line.usual.map(|usual| read::of_millis(usual.median)),
        warnings,
    })
}

/// The run as far as it is known before it is made.
fn facts(wanted: &Wanted) -> RunFacts {
    let line = &wanted.found.line;
    RunFacts {
        run_id: RunId(Uuid::nil()),
        workflow_id: line.workflow_id,
        version_id: line.version_id,
        run_key: String::new(),
        trigger: Trigger::Manual,
        logical_at: wanted.at,
        interval: wanted.interval.interval,
        conf: String::new(),
        queue: String::new(),
        priority: 0,
        created_at: wanted.found.now,
    }
}

/// When a task of a new run starts, in words. A condition about nothing but params, constants and dates has its answer now.
fn starts(task: &updraft_model::workflow::Task, context: &template::Context) -> String {
    let at = if task.depends_on.is_empty() { "at once" } else { "after its upstreams" };
    let Some(when) = &task.when else { return at.to_owned() };
    let later = ["tasks", "task", "run", "env"];
    let known = Template::parse(when)
        .is_ok_and(|asked| asked.references().iter().all(|read| !later.contains(&read.root.as_str())));
    match template::condition(when, context) {
        Ok(condition) if known && condition.met => format!("{at}: {}", condition.words),
        Ok(condition) if known => format!("not at all: {}", condition.words),
        Err(error) if known => format!("not at all: its `when` has no answer, and fails it: {error}"),
        Ok(_) | Err(_) => format!("{at}, when {when}"),
    }
}

/// Makes the run, or answers with the one that was made under this key.
pub(crate) async fn run(
    api: &ApiState,
    who: &Principal,
    workflow: &str,
    new: NewRun,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    let now = api.now();
    let mut run = RunId(Uuid::now_v7());
    let mut key = key(who, workflow, &new, run, now, headers)?;
    // Before anything is checked: what was made once is answered, also if it could not be made any more.
    if let Some(asked) = &key
        && let Some(taken) = api.idempotency().take_key(asked).await?
    {
        if taken.request != asked.request {
            let text = "this `Idempotency-Key` was used for another request";
            return Err(Problem::conflict("idempotency_key_reused", text).hint("make a new key for each request"));
        }
        if api.reader().run(taken.run_id).await?.is_some() {
            return answer(api, taken.run_id, StatusCode::OK).await;
        }
        if now.since(taken.at) < UNDER_WAY {
            let text = "the same request is being carried out";
            return Err(Problem::conflict("idempotency_in_progress", text).retry_after(Duration::from_secs(1)));
        }
        // Whoever took the key died before the run was made: it is made now, under the same id.
        run = taken.run_id;
        key = Some(taken);
    }
    let made = match wanted(api, workflow, &new).await {
        Ok(wanted) => make(api, who, &wanted, run, &new).await,
        Err(problem) => Err(problem),
    };
    match made {
        Ok(()) => answer(api, run, StatusCode::CREATED).await,
        Err(problem) => {
            if problem.status().is_client_error()
                && let Some(key) = &key
            {
                api.idempotency().give_key_back(key).await?;
            }
            Err(problem)
        }
    }
}

/// The text of the key, if the caller sent one.
pub(crate) fn check_key(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let mut values = headers.get_all(KEY).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Problem::bad_request("bad_idempotency_key", "`Idempotency-Key` stands more than once"));
    }
    let text = value.to_str().unwrap_or_default().trim();
    if text.is_empty() || text.len() > KEY_BYTES || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        let text = format!("`Idempotency-Key` must be 1 to {KEY_BYTES} visible ASCII characters");
        return Err(Problem::bad_request("bad_idempotency_key", text));
    }
    Ok(Some(text))
}

/// The key of the request, if the caller sent one.
fn key(
    who: &Principal,
    workflow: &str,
    new: &NewRun,
    run_id: RunId,
    at: Timestamp,
    headers: &HeaderMap,
) -> Result<Option<TakenKey>, Problem> {
    let Some(text) = check_key(headers)? else { return Ok(None) };
    let request = json!({
        "workflow": workflow, "params": new.params, "logical_date": new.logical_date, "note": new.note,
    });
    let request = canonical_json(&request).map_err(|error| Problem::unfit("body_unfit", error.to_string()))?;
    let kind = match who.kind {
        PrincipalKind::User => "user",
        PrincipalKind::Token => "token",
        PrincipalKind::Local => "local",
    };
    let owner = format!("{kind}:{}", who.name);
    Ok(Some(TakenKey { owner, key: text.to_owned(), request: sha256_hex(request.as_bytes()), run_id, at }))
}

async fn make(api: &ApiState, who: &Principal, wanted: &Wanted, run: RunId, new: &NewRun) -> Result<(), Problem> {
    let line = &wanted.found.line;
    let made = updraft_engine::NewRun {
        run_id: Some(run),
        params: wanted.params.clone(),
        interval: wanted.interval.interval,
        trigger: match who.kind {
            PrincipalKind::User | PrincipalKind::Local => Trigger::Manual,
            PrincipalKind::Token => Trigger::Api,
        },
        ..updraft_engine::NewRun::manual(
            Published { workflow_id: line.workflow_id, version_id: line.version_id },
            std::sync::Arc::clone(&wanted.found.version.compiled),
            wanted.at,
            actor(who),
        )
    };
    api.engine().trigger(made).await?;
    if let Some(text) = new.note.as_ref().filter(|text| !text.trim().is_empty()) {
        let note = Note { text: text.clone(), by: actor(who), at: api.now() };
        api.history().set_note(run, &note).await?;
    }
    let detail = json!({ "run": run, "logical_date": wanted.at.to_string(), "params": wanted.params });
    api.audit().record(who, "run.trigger", &line.name, new.reason.as_deref(), detail).await?;
    api.hub().touched(run);
    Ok(())
}

async fn answer(api: &ApiState, run: RunId, status: StatusCode) -> Result<Response, Problem> {
    let body = load(api, run).await?.run(api).await?;
    let mut response = (status, Json(body)).into_response();
    if let Ok(place) = HeaderValue::from_str(&format!("{BASE}/runs/{run}")) {
        response.headers_mut().insert(LOCATION, place);
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_answers_the_conditions_that_have_an_answer_now() {
        let Value::Object(names) = json!({ "params": { "engine": "local", "n": 3 }, "tasks": {}, "run": {} }) else {
            unreachable!("an object")
        };
        let context = template::Context::from_map(names);
        let ask = |when: Option<&str>, depends_on: &[&str]| {
            let task = json!({ "id": "t", "type": "noop", "when": when, "depends_on": depends_on });
            starts(&serde_json::from_value(task).expect("a task"), &context)
        };
        assert_eq!(ask(None, &[]), "at once");
        assert_eq!(ask(None, &["a"]), "after its upstreams");
        let (yes, no) = ("{{ params.engine == 'local' }}", "{{ params.engine == 'spark' }}");
        assert_eq!(
            ask(Some(yes), &[]),
            "at once: `params.engine == 'local'` is true, where params.engine is \"local\""
        );
        assert_eq!(
            ask(Some(no), &["a"]),
            "not at all: `params.engine == 'spark'` is false, where params.engine is \"local\""
        );
        let later = "{{ tasks.a.output.n > 3 }}";
        assert_eq!(ask(Some(later), &["a"]), "after its upstreams, when {{ tasks.a.output.n > 3 }}");
        let bad = ask(Some("{{ params.n }}"), &[]);
        assert!(bad.starts_with("not at all: its `when` has no answer, and fails it: `params.n` is 3"), "{bad}");
    }
}
