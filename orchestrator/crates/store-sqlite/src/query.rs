//! The statements of the readers. The only ones that are put together from parts; no text of a user is ever a part.

use updraft_model::state::RunState;
use updraft_store::read::RunFilter;

use crate::rows;

/// What `run_open` covers.
const OPEN: &str = "r.state IN ('queued', 'running', 'cancelling', 'broken')";

/// $1 workflow or null, $2 the last run of the page before or null, $3 limit. `UUIDv7` ids are in the order of creation, so
/// the key itself is the order of the list.
pub(crate) fn runs(filter: &RunFilter) -> String {
    let mut conditions = Vec::new();
    let mut index = "";
    if filter.workflow.is_some() {
        conditions.push("r.workflow_id = (SELECT workflow_id FROM workflow WHERE name = $1)".to_owned());
    }
    if filter.before.is_some() {
        conditions.push("r.run_id < $2".to_owned());
    }
    if !filter.states.is_empty() {
        let names: Vec<String> = filter.states.iter().map(|state| format!("'{}'", state.name())).collect();
        conditions.push(format!("r.state IN ({})", names.join(", ")));
        if !filter.states.iter().any(|state: &RunState| state.is_final()) {
            // Few runs are open, however long the history: left to itself, SQLite would walk the history backwards.
            conditions.push(OPEN.to_owned());
            index = "INDEXED BY run_open";
        }
    }
    let filter = if conditions.is_empty() { String::new() } else { format!("WHERE {}", conditions.join(" AND ")) };
    format!(
        "/* runs */ SELECT {}, (SELECT name FROM workflow w WHERE w.workflow_id = r.workflow_id) AS workflow \
         FROM run r {index} {filter} ORDER BY r.run_id DESC LIMIT $3",
        rows::RUN
    )
}

/// $1 run.
pub(crate) fn run() -> String {
    format!(
        "/* run */ SELECT {}, (SELECT name FROM workflow w WHERE w.workflow_id = r.workflow_id) AS workflow \
         FROM run r WHERE r.run_id = $1",
        rows::RUN
    )
}

pub(crate) const BY_PREFIX: &str =
    "/* runs by prefix */ SELECT run_id FROM run WHERE run_id >= $1 AND run_id <= $2 ORDER BY run_id DESC LIMIT 10";

pub(crate) const OUTPUTS: &str = "/* outputs */ SELECT a.task_id, a.map_index, a.output \
FROM json_each($2) j CROSS JOIN attempt a ON a.run_id = $1 AND a.task_id = j.value ->> 0 \
AND a.map_index = j.value ->> 1 AND a.dispatch_no = j.value ->> 2 WHERE a.output IS NOT NULL ORDER BY j.key";

pub(crate) const HISTORY: &str = "/* history */ SELECT version, stamp, at, actor, body FROM run_log \
WHERE run_id = $1 AND version >= $2 ORDER BY version";

pub(crate) const VERSION: &str = "/* version */ SELECT w.name AS workflow, v.version_id, v.sha256, v.source, v.path, v.compiled \
FROM workflow_version v JOIN workflow w ON w.workflow_id = v.workflow_id WHERE v.version_id = $1";

pub(crate) const ATTEMPTS: &str = "/* attempts */ SELECT task_id, map_index, dispatch_no, attempt_id, try_no, generation, worker_no, \
claimed_at, started_at, ended_at, outcome, cause, class, message, output FROM attempt \
WHERE run_id = $1 ORDER BY task_id, map_index, dispatch_no";

pub(crate) const ITEMS: &str = "/* items */ SELECT task_id, map_index, dispatch_no, kind, name, state, seconds, value, message \
FROM task_item WHERE run_id = $1 ORDER BY task_id, map_index, dispatch_no, seq";

pub(crate) const METRICS: &str = "/* metrics */ SELECT task_id, name, labels, value, unit FROM run_metric \
WHERE run_id = $1 ORDER BY task_id, name, labels";

/// First and last id whose hex digits begin with `prefix` (hyphens anywhere are passed over); `None` if it is no such
/// prefix of at least four digits.
pub(crate) fn id_range(prefix: &str) -> Option<(String, String)> {
    let digits: String = prefix.chars().filter(|c| *c != '-').flat_map(char::to_lowercase).collect();
    if digits.len() < 4 || digits.len() > 32 || !digits.chars().all(|c| c.is_ascii_hexdigit()) {
        return None;
    }
    let bound = |fill: char| {
        let hex: String = digits.chars().chain(std::iter::repeat(fill)).take(32).collect();
        uuid::Uuid::parse_str(&hex).map(|id| id.to_string()).ok()
    };
    Some((bound('0')?, bound('f')?))
}
