//! The top of a file.

use std::collections::BTreeMap;

use updraft_model::workflow::Workflow;

use super::graph::Graph;
use super::keys::{DEFAULTS, WORKFLOW};
use super::read::Fields;
use super::references::{Names, Place};
use super::retry;
use super::task::{self, Defaults, Draft};
use super::{Cx, params, schedule, with};
use crate::diagnostic::{Code, Diagnostic, Span};
use crate::yaml::{Entry, Kind, Node};

/// Most tasks of one workflow.
pub(crate) const MAX_TASKS: usize = 10_000;
/// Most open runs or running tasks that a file can ask for.
const MAX_ACTIVE: u32 = 100_000;

/// Reads a whole file. What comes back is complete only if no error was found.
pub(crate) fn read(cx: &mut Cx<'_>, root: &Node) -> Option<Workflow> {
    let fields = Fields::read(cx, root, &WORKFLOW)?;
    let value = |cx: &mut Cx<'_>, key: &str| fields.get(key).filter(|entry| cx.has_value(entry));
    let top = Span::new(root.span.start, root.span.start);
    let id = task::required(cx, &fields, "id", root, top).and_then(|entry| {
        let text = cx.text(&entry.value, "`id`")?;
        let good = task::check_id(cx, &entry.value, text, "a workflow");
        cx.id = good.then(|| (text.to_owned(), entry.value.span));
        good.then(|| text.to_owned())
    });
    let description =
        value(cx, "description").and_then(|entry| cx.text(&entry.value, "`description`")).map(str::to_owned);
    let owner = value(cx, "owner").and_then(|entry| cx.text(&entry.value, "`owner`")).map(str::to_owned);
    let tags = value(cx, "tags").map(|entry| cx.texts(&entry.value, "`tags`")).unwrap_or_default();
    let tags = tags.into_iter().map(|(tag, _)| tag.to_owned()).collect();
    let schedule_entry = fields.get("schedule");
    let (schedule, jitter) = schedule_entry.map(|entry| schedule::read(cx, &entry.value)).unwrap_or_default();
    let by_hand = schedule_entry.is_none_or(|entry| schedule::is_none(&entry.value));
    let start_date = value(cx, "start_date").and_then(|entry| cx.instant(&entry.value, "`start_date`"));
    let end_date = value(cx, "end_date").and_then(|entry| cx.instant(&entry.value, "`end_date`"));
    if let (Some(start), Some(end), Some(entry)) = (start_date, end_date, fields.get("end_date"))
        && end < start
    {
        let found = Diagnostic::new(Code::W112, entry.value.span, "`end_date` is before `start_date`");
        cx.push(entry.value.locate(found).hint("swap them, or leave one out"));
    }
    let catchup_entry = value(cx, "catchup");
    let catchup = catchup_entry.and_then(|entry| schedule::catchup(cx, &entry.value)).unwrap_or_default();
    let interval_entry = value(cx, "data_interval");
    let data_interval = interval_entry.and_then(|entry| schedule::data_interval(cx, &entry.value)).unwrap_or_default();
    let overlap = value(cx, "overlap").and_then(|entry| schedule::overlap(cx, &entry.value)).unwrap_or_default();
    let paused = value(cx, "paused").and_then(|entry| cx.boolean(&entry.value, "`paused`")).unwrap_or_default();
    if by_hand {
        for key in ["start_date", "end_date", "catchup", "data_interval", "overlap", "paused"] {
            if let Some(entry) = fields.get(key) {
                let message = format!("`{}` has no effect without `schedule`", entry.key);
                cx.push(Diagnostic::new(Code::W304, entry.key_span, message).hint("add a schedule, or leave it out"));
            }
        }
    }
    let max_active_runs =
        value(cx, "max_active_runs").and_then(|entry| cx.whole(&entry.value, "`max_active_runs`", 1, MAX_ACTIVE));
    let max_active_tasks =
        value(cx, "max_active_tasks").and_then(|entry| cx.whole(&entry.value, "`max_active_tasks`", 1, MAX_ACTIVE));
    let timeout = value(cx, "timeout").and_then(|entry| cx.timeout(&entry.value));
    let params = value(cx, "params").map(|entry| params::read(cx, &entry.value)).unwrap_or_default();
    let vars = value(cx, "vars").map(|entry| params::vars(cx, &entry.value)).unwrap_or_default();
    let env_node = value(cx, "env").map(|entry| &*entry.value);
    let env = env_node.map(|node| task::environment(cx, node)).unwrap_or_default();
    let (defaults, defaults_env) =
        value(cx, "defaults").map(|entry| read_defaults(cx, &entry.value)).unwrap_or_default();

    let drafts = read_tasks(cx, root, fields.get("tasks"), &defaults);
    let graph = Graph::build(cx, drafts.iter().map(Draft::vertex).collect());
    let types = drafts.iter().map(|draft| draft.task_type.map(|(name, _)| name)).collect();
    let names = Names::new(&params, &vars, env.keys().cloned(), types, &graph);
    for (node, place) in [(env_node, Place::Env), (defaults_env, Place::Defaults)] {
        if let Some(node) = node {
            with::templates(cx, &names, place, node, None, "env");
        }
    }
    let tasks = drafts.into_iter().enumerate().filter_map(|(index, draft)| draft.finish(cx, &names, index)).collect();
    Some(Workflow {
        id: id?,
        description,
        owner,
        tags,
        schedule,
        jitter,
        start_date,
        end_date,
        catchup,
        data_interval,
        max_active_runs: max_active_runs.unwrap_or(Workflow::DEFAULT_MAX_ACTIVE_RUNS),
        overlap,
        paused,
        max_active_tasks: Some(max_active_tasks.unwrap_or(Workflow::DEFAULT_MAX_ACTIVE_TASKS)),
        timeout,
        params,
        vars,
        env,
        tasks,
    })
}

fn read_defaults<'n>(cx: &mut Cx<'_>, node: &'n Node) -> (Defaults, Option<&'n Node>) {
    let Some(fields) = Fields::read(cx, node, &DEFAULTS) else { return (Defaults::default(), None) };
    let base = retry::Read::default();
    let retry = retry::read(cx, fields.get("retry"), fields.get("retries"), &base).unwrap_or_default();
    let timeout = fields.get("timeout").filter(|entry| cx.has_value(entry));
    let timeout = timeout.and_then(|entry| cx.timeout(&entry.value));
    let env_node = fields.get("env").filter(|entry| cx.has_value(entry)).map(|entry| &*entry.value);
    let env: BTreeMap<String, String> = env_node.map(|node| task::environment(cx, node)).unwrap_or_default();
    (Defaults { retry, timeout, env }, env_node)
}

fn read_tasks<'n>(cx: &mut Cx<'_>, root: &Node, entry: Option<&'n Entry>, defaults: &Defaults) -> Vec<Draft<'n>> {
    let Some(entry) = entry else {
        let place = Span::new(root.span.start, root.span.start);
        let found = Diagnostic::new(Code::W206, place, "the workflow has no `tasks`");
        cx.push(found.hint("write `tasks:` with at least one `- id: …`"));
        return Vec::new();
    };
    let none = |cx: &mut Cx<'_>| {
        let found = Diagnostic::new(Code::W206, entry.key_span, "the list of tasks is empty");
        cx.push(found.hint("write at least one `- id: …`"));
    };
    match &entry.value.kind {
        Kind::Seq(items) if items.is_empty() => none(cx),
        Kind::Seq(items) if items.len() > MAX_TASKS => {
            let message = format!("there are {} tasks; {MAX_TASKS} are allowed", items.len());
            cx.push(Diagnostic::new(Code::W207, entry.key_span, message).hint("split the workflow"));
        }
        Kind::Seq(items) => return items.iter().filter_map(|item| task::read(cx, item, defaults)).collect(),
        Kind::Scalar { .. } if entry.value.is_null() => none(cx),
        Kind::Map(_) => {
            let found = Diagnostic::new(Code::W106, entry.key_span, "`tasks` is a list, and this is a map");
            cx.push(found.hint("write each task as `- id: NAME`"));
        }
        Kind::Scalar { .. } | Kind::Broken => cx.wrong_type(&entry.value, "`tasks` is a list"),
    }
    Vec::new()
}
