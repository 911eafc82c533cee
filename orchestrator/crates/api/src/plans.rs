//! What a mutation would do, in the contract's shape.

use updraft_model::preview::{Effect, Preview};
use updraft_model::state::RunState;

use crate::dto::{Plan, PlanEffect, PlanTask, PlanVersions};
use crate::loads::Loaded;
use crate::problem::Problem;
use crate::read;
use crate::state::ApiState;
use crate::words::count;
use crate::workflows::Found;

/// A preview and what it is of.
pub(crate) struct Made<'a> {
    /// `cancel`, `retry`, `mark`.
    pub action: &'a str,
    /// The run.
    pub loaded: &'a Loaded,
    /// What would happen to it.
    pub preview: Preview,
}

/// What an operation would do to a run.
pub(crate) async fn of_run(api: &ApiState, made: Made<'_>) -> Result<Plan, Problem> {
    let (line, preview) = (&made.loaded.line, made.preview);
    let mut warnings = Vec::new();
    let version = match preview.version {
        None => None,
        Some((_, to)) => {
            let known = api.history().versions(&line.workflow, None, crate::page::MOST).await?;
            let number = known.items.iter().find(|one| one.version_id == to.0).map(|one| u64::from(one.number));
            number.map(|to| PlanVersions { from: u64::from(line.version_no), to })
        }
    };
    if made.action == "retry" && version.is_none() {
        let newest = api.history().versions(&line.workflow, None, 1).await?;
        if let Some(newest) = newest.items.first().filter(|newest| newest.number > line.version_no) {
            warnings.push(format!(
                "it runs on version {} of the workflow; the newest is {}",
                line.version_no, newest.number
            ));
        }
    }
    if made.action == "retry"
        && preview.state == RunState::Queued
        && let Some(room) = api.scheduling().room(made.loaded.detail.run.row.facts.workflow_id).await?
    {
        let (running, queued) = (count(room.load.running, "run"), count(room.load.queued, "run"));
        warnings.push(format!(
            "it waits for a run slot: {running} under way and {queued} in line, and `max_active_runs` is {}",
            room.limit
        ));
    }
    let reruns: Vec<&str> = preview
        .tasks
        .iter()
        .filter(|one| matches!(one.effect, Effect::Rerun | Effect::Start))
        .map(|one| one.key.task.as_str())
        .collect();
    let estimate_seconds = if reruns.is_empty() { None } else { estimate(api, made.loaded, &reruns).await? };
    Ok(Plan {
        action: made.action.to_owned(),
        text: preview.text,
        run: Some(line.run_id.0),
        workflow: Some(line.workflow.clone()),
        version,
        tasks: preview
            .tasks
            .into_iter()
            .map(|one| PlanTask {
                task: one.key.task.to_string(),
                map_index: read::index(&one.key),
                state: one.state.into(),
                effect: effect(one.effect),
                why: one.why,
            })
            .collect(),
        runs: 1,
        estimate_seconds,
        warnings,
    })
}

const fn effect(of: Effect) -> PlanEffect {
    match of {
        Effect::Rerun => PlanEffect::Rerun,
        Effect::Cancel => PlanEffect::Cancel,
        Effect::Stop => PlanEffect::Stop,
        Effect::Remove => PlanEffect::Remove,
        Effect::Mark => PlanEffect::Mark,
        Effect::Start => PlanEffect::Start,
    }
}

/// What these tasks usually take: the longest way through them.
async fn estimate(api: &ApiState, loaded: &Loaded, tasks: &[&str]) -> Result<Option<f64>, Problem> {
    let usual = api.history().usual(&loaded.line.workflow).await?;
    if usual.tasks.is_empty() {
        return Ok(None);
    }
    let graph = &loaded.compiled().graph;
    let mut until = vec![0.0_f64; graph.len()];
    let mut longest = 0.0_f64;
    for &task in graph.topological() {
        let begin = graph.upstream(task).iter().map(|&up| until[up as usize]).fold(0.0, f64::max);
        let id = graph.id(task).as_str();
        let own = usual.tasks.iter().find(|one| one.task == id && tasks.contains(&id));
        until[task as usize] = begin + own.map_or(0.0, |own| read::of_millis(own.run_ms));
        longest = longest.max(until[task as usize]);
    }
    Ok(Some(longest))
}

/// What pausing or unpausing would do.
pub(crate) fn pause(found: &Found, paused: bool) -> Plan {
    let (action, verb) = if paused { ("pause", "Pause") } else { ("unpause", "Unpause") };
    let open = found.line.open_runs;
    let mut warnings = Vec::new();
    if found.line.paused == paused {
        warnings.push(format!("it is {} already", if paused { "paused" } else { "active" }));
    }
    if paused && open > 0 {
        warnings.push(format!("{} under way: they go on", count(open, "run")));
    }
    if found.written().schedule.is_none() {
        warnings.push("it has no schedule: it runs by hand only, paused or not".to_owned());
    }
    Plan {
        action: action.to_owned(),
        text: format!("{verb} `{}`", found.line.name),
        run: None,
        workflow: Some(found.line.name.clone()),
        version: None,
        tasks: Vec::new(),
        runs: 0,
        estimate_seconds: None,
        warnings,
    }
}

/// What a repair would do.
pub(crate) fn repair(loaded: &Loaded) -> Result<Plan, Problem> {
    let line = &loaded.line;
    if line.state != RunState::Broken {
        return Err(Problem::conflict("refused", format!("run {} is {}, not set aside", line.run_id, line.state)));
    }
    Ok(Plan {
        action: "repair".to_owned(),
        text: "Let the run go on".to_owned(),
        run: Some(line.run_id.0),
        workflow: Some(line.workflow.clone()),
        version: None,
        tasks: Vec::new(),
        runs: 1,
        estimate_seconds: None,
        warnings: vec!["what made it stop may come again; its events say what it was".to_owned()],
    })
}
