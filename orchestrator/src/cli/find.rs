//! How people name things: a run by its id, its first digits or `latest`; a task run by its task, and `[INDEX]` behind it for
//! a mapped instance.

use serde_json::Value;
use updraft_api::dto::{TaskPage, TaskRun};

use crate::exit_code::Failure;
use crate::remote::Api;

/// Pages of runs that are looked through for first digits which are also part of many names.
const PAGES: usize = 20;
/// Runs named in a refusal.
const NAMED: usize = 10;

/// The run that is meant.
///
/// # Errors
/// None, or more than one.
pub async fn run(api: &Api, name: &str) -> Result<String, Failure> {
    if let Ok(id) = name.parse::<uuid::Uuid>() {
        return Ok(id.to_string());
    }
    if name == "latest" {
        let page: Value = api.get("/runs", &[("limit", "1".to_owned())]).await?;
        let newest = page.pointer("/items/0/id").and_then(Value::as_str).map(str::to_owned);
        return newest.ok_or_else(|| {
            Failure::input("there is no run in this store yet")
                .hint("make one: updraft run FILE, or updraft trigger WORKFLOW")
        });
    }
    let digits = name.chars().filter(char::is_ascii_hexdigit).count();
    if digits < 4 || !name.chars().all(|c| c.is_ascii_hexdigit() || c == '-') {
        return Err(Failure::input(format!("`{name}` names no run"))
            .hint("give a run's id, its first digits (4 or more), or `latest`"));
    }
    let found = with_prefix(api, &name.to_lowercase()).await?;
    match found.as_slice() {
        [one] => Ok(one.clone()),
        [] => Err(Failure::input(format!("there is no run `{name}` in this store")).hint("list them: updraft runs")),
        several => {
            let more = if several.len() > NAMED { ", …" } else { "" };
            let named: Vec<&str> = several.iter().take(NAMED).map(String::as_str).collect();
            Err(Failure::input(format!("`{name}` begins more than one run's id"))
                .hint(format!("give more digits: {}{more}", named.join(", "))))
        }
    }
}

/// Ids that begin so, at least as many as can be named. The list's search also finds digits in names and notes.
async fn with_prefix(api: &Api, prefix: &str) -> Result<Vec<String>, Failure> {
    let mut found = Vec::new();
    let mut cursor: Option<String> = None;
    for _ in 0..PAGES {
        let mut query = vec![("search", prefix.to_owned()), ("limit", "500".to_owned())];
        query.extend(cursor.take().map(|cursor| ("cursor", cursor)));
        let page: Value = api.get("/runs", &query).await?;
        let ids = page.get("items").and_then(Value::as_array).into_iter().flatten();
        let ids = ids.filter_map(|run| run.get("id").and_then(Value::as_str));
        found.extend(ids.filter(|id| id.starts_with(prefix)).map(str::to_owned));
        cursor = page.get("next").and_then(Value::as_str).map(str::to_owned);
        if cursor.is_none() || found.len() > NAMED {
            break;
        }
    }
    Ok(found)
}

/// The task runs that a name means: of a mapped task without an index, the task and all its instances.
///
/// # Errors
/// The run has no such task.
pub async fn tasks(api: &Api, run: &str, name: &str) -> Result<Vec<TaskRun>, Failure> {
    let (task, map_index) = instance(name);
    let page: TaskPage = api.get(&format!("/runs/{run}/tasks"), &[]).await?;
    let is_meant = |one: &TaskRun| one.task == task && (map_index.is_none() || one.map_index == map_index);
    let (found, others): (Vec<TaskRun>, Vec<TaskRun>) = page.items.into_iter().partition(is_meant);
    if found.is_empty() {
        let mut known: Vec<&str> = others.iter().map(|one| one.task.as_str()).collect();
        known.dedup();
        return Err(
            Failure::input(format!("run {run} has no task `{name}`")).hint(format!("its tasks: {}", known.join(", ")))
        );
    }
    Ok(found)
}

/// `task`, or `task[3]`.
pub fn instance(name: &str) -> (&str, Option<i32>) {
    let split = name.strip_suffix(']').and_then(|rest| rest.rsplit_once('['));
    match split.and_then(|(task, index)| Some((task, index.parse().ok()?))) {
        Some((task, index)) => (task, Some(index)),
        None => (name, None),
    }
}

/// The same as it is shown.
pub fn shown(task: &str, map_index: Option<i32>) -> String {
    map_index.map_or_else(|| task.to_owned(), |index| format!("{task}[{index}]"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instances_are_named_as_they_are_shown() {
        for (name, expected) in
            [("a", ("a", None)), ("a[3]", ("a", Some(3))), ("a[x]", ("a[x]", None)), ("a]", ("a]", None))]
        {
            assert_eq!(instance(name), expected);
        }
        assert_eq!(shown("a", Some(3)), "a[3]");
    }
}
