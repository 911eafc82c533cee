//! The statements of history. Texts of users are always bound; what is put together are names of indexes and columns,
//! numbers and words of closed lists.

use updraft_store::history::plan::{Along, Column, Ids, Part};

/// A statement with its values.
#[derive(Debug, Clone)]
pub(crate) struct Sql {
    pub(crate) text: String,
    pub(crate) values: Vec<Bound>,
}

/// A bound value.
#[derive(Debug, Clone)]
pub(crate) enum Bound {
    /// A number or an instant.
    Int(i64),
    /// Text.
    Text(String),
}

impl From<i64> for Bound {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<String> for Bound {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl From<&str> for Bound {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl Sql {
    pub(crate) fn new(text: impl Into<String>, values: impl IntoIterator<Item = Bound>) -> Self {
        Self { text: text.into(), values: values.into_iter().collect() }
    }

    fn bind(&mut self, value: impl Into<Bound>) -> String {
        self.values.push(value.into());
        format!("${}", self.values.len())
    }
}

/// What `run_open` covers.
const OPEN: &str = "r.state IN ('queued', 'running', 'cancelling', 'broken')";

/// The first failure of run `r`, see `shape::run_lines`.
const FAILURE: &str = "(SELECT json_array(t.task_id, t.map_index, t.cause, t.dispatch_no, a.class, substr(a.message, 1, 500), \
(SELECT count(*) FROM attempt b WHERE b.run_id = t.run_id AND b.task_id = t.task_id AND b.map_index = t.map_index \
 AND b.dispatch_no <= t.dispatch_no), \
(SELECT count(*) FROM attempt b WHERE b.run_id = t.run_id AND b.task_id = t.task_id AND b.map_index = t.map_index)) \
FROM task_run t LEFT JOIN attempt a ON a.run_id = t.run_id AND a.task_id = t.task_id AND a.map_index = t.map_index \
AND a.dispatch_no = t.dispatch_no WHERE t.run_id = r.run_id AND t.state = 'failed' \
ORDER BY t.ended_at, t.task_id, t.dispatch_no = 0, t.map_index LIMIT 1)";

/// Attempts of run `r` beyond the first of each task run.
const EXTRA: &str = "ifnull((SELECT sum(t.dispatch_no - 1) FROM task_run t WHERE t.run_id = r.run_id AND t.dispatch_no > 1), 0) \
+ CASE WHEN r.ended_at IS NULL THEN ifnull((SELECT sum(k.dispatch_no - 1) FROM work k WHERE k.run_id = r.run_id), 0) ELSE 0 END";

/// Columns of a run's line.
fn line() -> String {
    format!(
        "r.run_id, r.workflow_id, w.name, r.version_id, f.number, r.run_key, r.state, r.cause, r.trigger, r.logical_at, \
         r.interval_start, r.interval_end, r.created_at, r.started_at, r.ended_at, r.generation, r.version, r.queue, r.priority, \
         (SELECT l.body ->> '$[0].by' FROM run_log l WHERE l.run_id = r.run_id AND l.version = 1), n.note, \
         CASE WHEN r.only_tasks IS NULL THEN f.tasks ELSE json_array_length(r.only_tasks) END, \
         CASE WHEN r.ended_at IS NULL THEN (SELECT count(*) FROM task_run t WHERE t.run_id = r.run_id AND t.map_index = -1 AND t.ended_at IS NOT NULL) END, \
         {EXTRA}, (SELECT count(DISTINCT t.task_id) FROM task_run t WHERE t.run_id = r.run_id AND t.state = 'failed'), {FAILURE}"
    )
}

const LINE_JOINS: &str = "LEFT JOIN workflow w ON w.workflow_id = r.workflow_id \
LEFT JOIN version_facts f ON f.version_id = r.version_id LEFT JOIN run_note n ON n.run_id = r.run_id";

fn column(column: Column) -> &'static str {
    match column {
        Column::Created => "r.created_at",
        Column::Logical => "r.logical_at",
        Column::Ended => "r.ended_at",
    }
}

fn index(along: Along, of_workflow: bool) -> &'static str {
    match (along, of_workflow) {
        (Along::Key, _) => "",
        (Along::Open, _) => "INDEXED BY run_open",
        (Along::Column(Column::Created), false) => "INDEXED BY run_by_created_at",
        (Along::Column(Column::Created), true) => "INDEXED BY run_of_workflow_by_created_at",
        (Along::Column(Column::Logical), false) => "INDEXED BY run_by_logical",
        (Along::Column(Column::Logical), true) => "INDEXED BY run_by_logical_at",
        (Along::Column(Column::Ended), false) => "INDEXED BY run_by_ended_at",
        (Along::Column(Column::Ended), true) => "INDEXED BY run_of_workflow_by_ended_at",
        (Along::OverIn(_), false) => "INDEXED BY run_over_by_state",
        (Along::OverIn(_), true) => "INDEXED BY run_of_workflow_over_by_state",
    }
}

fn names<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.map(|name| format!("'{name}'")).collect::<Vec<_>>().join(", ")
}

fn numbers(numbers: &[i64]) -> String {
    numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// One part of a list of runs.
fn part(sql: &mut Sql, part: &Part) -> String {
    let mut when = Vec::new();
    match part.workflows.as_slice() {
        [] => {}
        [one] => when.push(format!("r.workflow_id = {}", sql.bind(*one))),
        many => when.push(format!("r.workflow_id IN ({})", numbers(many))),
    }
    match part.along {
        Along::Open => when.push(OPEN.to_owned()),
        Along::Column(Column::Ended) | Along::OverIn(_) => when.push("r.ended_at IS NOT NULL".to_owned()),
        Along::Key | Along::Column(Column::Created | Column::Logical) => {}
    }
    match part.states.as_slice() {
        [] => {}
        [one] => when.push(format!("r.state = '{}'", one.name())),
        many => when.push(format!("r.state IN ({})", names(many.iter().map(|state| state.name())))),
    }
    if !part.triggers.is_empty() {
        when.push(format!("r.trigger IN ({})", names(part.triggers.iter().map(|trigger| trigger.name()))));
    }
    match &part.ids {
        None => {}
        Some(Ids::Range(first, last)) => {
            let (first, last) = (sql.bind(first.to_string()), sql.bind(last.to_string()));
            when.push(format!("r.run_id >= {first} AND r.run_id <= {last}"));
        }
        Some(Ids::List(list)) => {
            let list: Vec<String> = list.iter().map(ToString::to_string).collect();
            let list = sql.bind(format!("[{}]", names(list.iter().map(String::as_str)).replace('\'', "\"")));
            when.push(format!("r.run_id IN (SELECT value FROM json_each({list}))"));
        }
    }
    if let Some((of, since, until)) = &part.window {
        let of = column(*of);
        if let Some(since) = since {
            when.push(format!("{of} >= {}", sql.bind(since.as_millis())));
        }
        if let Some(until) = until {
            when.push(format!("{of} < {}", sql.bind(until.as_millis())));
        }
    }
    let by = column(part.sort.column());
    let descending = part.sort.is_descending();
    if let Some(after) = &part.after {
        let (at, run) = (sql.bind(after.at.as_millis()), sql.bind(after.run.to_string()));
        when.push(format!("({by}, r.run_id) {} ({at}, {run})", if descending { '<' } else { '>' }));
    }
    let when = if when.is_empty() { String::new() } else { format!("WHERE {}", when.join(" AND ")) };
    let direction = if descending { "DESC" } else { "ASC" };
    let limit = sql.bind(i64::from(part.limit));
    let index = index(part.along, part.workflows.len() == 1);
    format!("SELECT r.* FROM run r {index} {when} ORDER BY {by} {direction}, r.run_id {direction} LIMIT {limit}")
}

/// The runs of these parts as a table `r`, not more than one part may give.
fn runs_of(sql: &mut Sql, parts: &[Part]) -> Option<String> {
    let first = parts.first()?;
    let by = column(first.sort.column());
    let direction = if first.sort.is_descending() { "DESC" } else { "ASC" };
    let all: Vec<String> = parts.iter().map(|one| format!("SELECT * FROM ({})", part(sql, one))).collect();
    if let [one] = all.as_slice() {
        return Some(format!("({one}) r"));
    }
    // Parts of a search may name a run twice, so that its row counts twice here: never fewer rows than asked for remain.
    let limit = sql.bind(i64::from(first.limit) * i64::try_from(parts.len()).unwrap_or(1));
    let all = all.join(" UNION ALL ");
    Some(format!("(SELECT * FROM ({all}) r ORDER BY {by} {direction}, r.run_id {direction} LIMIT {limit}) r"))
}

/// Lines of runs. `None`: there can be none.
pub(crate) fn run_lines(parts: &[Part]) -> Option<Sql> {
    let mut sql = Sql::new("", []);
    let runs = runs_of(&mut sql, parts)?;
    sql.text = format!("/* run lines */ SELECT {} FROM {runs} {LINE_JOINS}", line());
    Some(sql)
}

/// $1 runs as JSON.
pub(crate) fn run_lines_of() -> String {
    format!(
        "/* run lines of */ SELECT {} FROM json_each($1) j CROSS JOIN run r ON r.run_id = j.value {LINE_JOINS}",
        line()
    )
}

/// $1 name.
pub(crate) const WORKFLOW: &str = "/* workflow */ SELECT workflow_id, current_version_id FROM workflow WHERE name = $1";

/// $1 pattern.
pub(crate) const NAMED_LIKE: &str =
    "/* named like */ SELECT workflow_id FROM workflow WHERE name LIKE $1 ESCAPE '\\' ORDER BY workflow_id";

/// $1 pattern.
pub(crate) const NOTED_LIKE: &str =
    "/* noted like */ SELECT run_id FROM run_note WHERE note LIKE $1 ESCAPE '\\' ORDER BY run_id DESC LIMIT 200";

/// $1 workflows as JSON.
pub(crate) const USUAL_OF: &str = "/* usual of workflows */ SELECT j.value, (SELECT group_concat(s.took, ' ') FROM \
(SELECT r.ended_at - r.started_at AS took FROM run r INDEXED BY run_of_workflow_over_by_state \
 WHERE r.workflow_id = j.value AND r.state = 'succeeded' AND r.ended_at IS NOT NULL ORDER BY r.created_at DESC LIMIT 20) s) \
FROM json_each($1) j";

/// What is known of a workflow's schedule: paused, retired, next fire. The one place that looks at it.
const SCHEDULE: &str = "w.paused, w.retired_at IS NOT NULL, \
(SELECT s.next_fire_at FROM schedule s WHERE s.workflow_id = w.workflow_id)";

pub(crate) fn workflow_rows(filter: &str) -> String {
    format!(
        "/* workflow rows */ SELECT w.workflow_id, w.name, w.current_version_id, f.number, f.tasks, f.sha256, f.path, \
         f.description, f.owner, f.tags, \
         (SELECT count(*) FROM version_facts x WHERE x.workflow_id = w.workflow_id), \
         (SELECT r.state FROM run r INDEXED BY run_of_workflow_by_ended_at WHERE r.workflow_id = w.workflow_id \
          AND r.ended_at IS NOT NULL ORDER BY r.ended_at DESC LIMIT 1), \
         (SELECT group_concat(r.state) FROM run r INDEXED BY run_open WHERE r.workflow_id = w.workflow_id AND {OPEN}), \
         (SELECT max(r.created_at) FROM run r INDEXED BY run_of_workflow_by_created_at WHERE r.workflow_id = w.workflow_id), \
         {SCHEDULE} \
         FROM workflow w LEFT JOIN version_facts f ON f.version_id = w.current_version_id {filter}"
    )
}

/// $1 workflows as JSON, $2 how many bars.
pub(crate) fn bars() -> String {
    format!(
        "/* bars */ SELECT j.value, (SELECT group_concat(b.line, char(10)) FROM (SELECT r.run_id || char(9) || r.state \
         || char(9) || r.trigger || char(9) || r.logical_at || char(9) || r.created_at || char(9) \
         || ifnull(r.started_at, '') || char(9) || ifnull(r.ended_at, '') || char(9) \
         || EXISTS (SELECT 1 FROM task_run t WHERE t.run_id = r.run_id AND t.state = 'failed') || char(9) || ({EXTRA}) AS line \
         FROM run r INDEXED BY run_of_workflow_by_created_at WHERE r.workflow_id = j.value \
         ORDER BY r.created_at DESC, r.run_id DESC LIMIT $2) b) FROM json_each($1) j"
    )
}

/// $1 run.
pub(crate) const CREATED: &str = "/* created */ SELECT created_at FROM run WHERE run_id = $1";

/// $1 versions as JSON.
pub(crate) const COMPILED: &str = "/* compiled */ SELECT v.version_id, v.compiled FROM json_each($1) j \
CROSS JOIN workflow_version v ON v.version_id = j.value";

/// Columns as `shape::GRID_COLUMNS` says.
pub(crate) fn grid(parts: &[Part]) -> Option<Sql> {
    let mut sql = Sql::new("", []);
    let runs = runs_of(&mut sql, parts)?;
    sql.text = format!(
        "/* grid */ SELECT r.run_id, r.version_id, f.number, r.state, r.trigger, r.logical_at, r.created_at, r.started_at, \
         r.ended_at, r.generation, r.only_tasks, \
         (SELECT group_concat(CASE WHEN t.state = 'succeeded' AND t.dispatch_no = 1 AND t.map_index = -1 THEN t.task_id \
          ELSE t.task_id || char(9) || t.map_index || char(9) || t.state || char(9) || t.dispatch_no || char(9) \
          || ifnull(t.ended_at - t.started_at, '') || char(9) || ifnull(t.expanded_n, '') END, char(10)) \
          FROM task_run t WHERE t.run_id = r.run_id AND (t.ended_at IS NOT NULL OR t.expanded_n IS NOT NULL)), \
         CASE WHEN r.ended_at IS NULL THEN (SELECT group_concat(k.task_id || char(9) || k.map_index || char(9) || k.place \
          || char(9) || k.dispatch_no || char(9) || {DEFERRED}, char(10)) FROM work k WHERE k.run_id = r.run_id) END, \
         (SELECT group_concat(a.task_id || char(9) || a.map_index || char(9) || (a.claimed_at - a.ready_at), char(10)) \
          FROM attempt a INDEXED BY attempt_waited WHERE a.run_id = r.run_id AND a.claimed_at - a.ready_at >= 1000), \
         (SELECT json_group_array(json_array(t.task_id, t.map_index, a.class, substr(a.message, 1, 300), t.cause)) \
          FROM task_run t LEFT JOIN attempt a ON a.run_id = t.run_id AND a.task_id = t.task_id AND a.map_index = t.map_index \
          AND a.dispatch_no = t.dispatch_no WHERE t.run_id = r.run_id AND t.state = 'failed') \
         FROM {runs} LEFT JOIN version_facts f ON f.version_id = r.version_id \
         ORDER BY r.created_at DESC, r.run_id DESC"
    );
    Some(sql)
}

/// Whether the timer of work row `k` is a deferral's: the attempt before it says so.
const DEFERRED: &str = "CASE WHEN k.place = 't' THEN ifnull((SELECT a.outcome = 'deferred' FROM attempt a \
WHERE a.run_id = k.run_id AND a.task_id = k.task_id AND a.map_index = k.map_index AND a.dispatch_no < k.dispatch_no \
ORDER BY a.dispatch_no DESC LIMIT 1), 0) ELSE 0 END";

/// Task runs of run `r` that are over, see `shape::durations`.
fn task_runs(wait: bool) -> String {
    let wait = if wait {
        "ifnull((SELECT a.claimed_at - a.ready_at FROM attempt a WHERE a.run_id = t.run_id AND a.task_id = t.task_id \
         AND a.map_index = t.map_index AND a.dispatch_no = t.dispatch_no), '')"
    } else {
        "''"
    };
    format!(
        "(SELECT group_concat(t.task_id || char(9) || t.map_index || char(9) || t.state || char(9) || t.dispatch_no || char(9) \
         || ifnull(t.started_at, '') || char(9) || t.ended_at || char(9) || {wait}, char(10)) \
         FROM task_run t WHERE t.run_id = r.run_id AND t.ended_at IS NOT NULL)"
    )
}

/// $1 workflow, $2 how many runs.
pub(crate) fn durations() -> String {
    format!(
        "/* durations */ SELECT r.run_id, r.created_at, r.started_at, r.ended_at, r.state, r.trigger, r.logical_at, f.number, {} \
         FROM (SELECT * FROM run x INDEXED BY run_of_workflow_by_created_at WHERE x.workflow_id = $1 \
         ORDER BY x.created_at DESC, x.run_id DESC LIMIT $2) r LEFT JOIN version_facts f ON f.version_id = r.version_id \
         ORDER BY r.created_at DESC, r.run_id DESC",
        task_runs(true)
    )
}

/// $1 workflow's name, $2 how many runs.
pub(crate) fn usual() -> String {
    format!(
        "/* usual */ SELECT r.started_at, r.ended_at, {} FROM (SELECT x.run_id, x.started_at, x.ended_at FROM run x \
         INDEXED BY run_of_workflow_over_by_state WHERE x.workflow_id = (SELECT workflow_id FROM workflow WHERE name = $1) \
         AND x.state = 'succeeded' AND x.ended_at IS NOT NULL ORDER BY x.created_at DESC LIMIT $2) r",
        task_runs(false)
    )
}

/// $1 workflow's name, $2 spans as JSON: from, until, offset in ms.
pub(crate) const CALENDAR: &str = "/* calendar */ SELECT (r.ended_at + (j.value ->> 2)) / 86400000, r.state, count(*) \
FROM json_each($2) j CROSS JOIN run r INDEXED BY run_of_workflow_by_ended_at \
ON r.workflow_id = (SELECT workflow_id FROM workflow WHERE name = $1) AND r.ended_at >= (j.value ->> 0) \
AND r.ended_at < (j.value ->> 1) WHERE r.ended_at IS NOT NULL GROUP BY 1, 2";

/// $1 since, $2 until.
pub(crate) const OVER_COUNTS: &str = "/* over counts */ SELECT r.state, count(*) FROM run r INDEXED BY run_by_ended_at \
WHERE r.ended_at IS NOT NULL AND r.ended_at >= $1 AND r.ended_at < $2 GROUP BY r.state";

/// $1 since, $2 until.
pub(crate) fn open_counts() -> String {
    format!(
        "/* open counts */ SELECT r.state, count(*) FROM run r INDEXED BY run_open WHERE {OPEN} GROUP BY r.state \
         UNION ALL SELECT '(waiting)', (SELECT count(*) FROM work INDEXED BY work_ready WHERE place = 'r') \
         + (SELECT count(*) FROM work INDEXED BY work_due WHERE place IN ('t', 'p')) \
         UNION ALL SELECT '(masked)', count(*) FROM (SELECT DISTINCT t.run_id FROM task_run t INDEXED BY task_run_failed_at \
         CROSS JOIN run r ON r.run_id = t.run_id \
         WHERE t.state = 'failed' AND t.ended_at >= $1 AND t.ended_at < $2 AND r.state = 'succeeded')"
    )
}

/// $1 since, $2 until, $3 how many of each kind.
pub(crate) fn incidents() -> String {
    // A backfill of old days says nothing about whether the workflow works now.
    let last_good = "ifnull((SELECT y.created_at FROM run y INDEXED BY run_of_workflow_over_by_state \
        WHERE y.workflow_id = r.workflow_id AND y.state = 'succeeded' AND y.ended_at IS NOT NULL AND y.trigger <> 'backfill' \
        ORDER BY y.created_at DESC LIMIT 1), -1)";
    let since_good = format!(
        "FROM run x INDEXED BY run_of_workflow_over_by_state WHERE x.workflow_id = r.workflow_id AND x.state = 'failed' \
         AND x.ended_at IS NOT NULL AND x.trigger <> 'backfill' AND r.trigger <> 'backfill' AND x.created_at > {last_good}"
    );
    format!(
        "/* incidents */ SELECT {}, \
         (SELECT count(*) FROM task_run t WHERE t.run_id = r.run_id AND t.state = 'upstream_failed'), \
         (SELECT min(x.ended_at) {since_good}), (SELECT count(*) {since_good}), r.updated_at \
         FROM (SELECT run_id FROM (SELECT r.run_id FROM run r INDEXED BY run_by_ended_at \
           WHERE r.ended_at IS NOT NULL AND r.state = 'failed' AND r.ended_at >= $1 AND r.ended_at < $2 \
           ORDER BY r.ended_at DESC LIMIT $3) \
         UNION SELECT run_id FROM (SELECT t.run_id, max(t.ended_at) FROM task_run t INDEXED BY task_run_failed_at \
           CROSS JOIN run r ON r.run_id = t.run_id WHERE t.state = 'failed' AND t.ended_at >= $1 AND t.ended_at < $2 \
           AND r.state = 'succeeded' GROUP BY t.run_id ORDER BY 2 DESC LIMIT $3) \
         UNION SELECT run_id FROM (SELECT r.run_id FROM run r INDEXED BY run_open WHERE {OPEN} AND r.state = 'broken' \
           ORDER BY r.run_id DESC LIMIT $3)) ids CROSS JOIN run r ON r.run_id = ids.run_id {LINE_JOINS}",
        line()
    )
}

/// $1 since, $2 until, $3 how many.
pub(crate) const LOST: &str = "/* lost attempts */ SELECT r.run_id, w.name, r.state, r.trigger, r.logical_at, a.task_id, \
a.map_index, (SELECT count(*) FROM attempt b WHERE b.run_id = a.run_id AND b.task_id = a.task_id AND b.map_index = a.map_index \
 AND b.dispatch_no <= a.dispatch_no), \
(SELECT count(*) FROM attempt b WHERE b.run_id = a.run_id AND b.task_id = a.task_id AND b.map_index = a.map_index), \
a.cause, a.ended_at, k.name, a.message, a.class \
FROM (SELECT * FROM attempt x INDEXED BY attempt_lost WHERE x.outcome = 'lost' AND x.ended_at >= $1 AND x.ended_at < $2 \
 ORDER BY x.ended_at DESC LIMIT $3) a JOIN run r ON r.run_id = a.run_id LEFT JOIN workflow w ON w.workflow_id = r.workflow_id \
LEFT JOIN worker k ON k.worker_no = a.worker_no";

/// $1 how many of each kind.
pub(crate) fn waiting() -> String {
    let last = |what: &str| {
        format!(
            "(SELECT a.{what} FROM attempt a WHERE a.run_id = k.run_id AND a.task_id = k.task_id \
             AND a.map_index = k.map_index AND a.dispatch_no < k.dispatch_no ORDER BY a.dispatch_no DESC LIMIT 1)"
        )
    };
    let (ended, outcome) = (last("ended_at"), last("outcome"));
    format!(
        "/* waiting */ SELECT * FROM (SELECT k.run_id, w.name, k.task_id, k.map_index, k.place, k.rank + 300000 * r.priority, \
         k.due_at, k.queue, k.dispatch_no, NULL FROM (SELECT * FROM work INDEXED BY work_ready WHERE place = 'r' \
         ORDER BY rank LIMIT $1) k JOIN run r ON r.run_id = k.run_id LEFT JOIN workflow w ON w.workflow_id = r.workflow_id) \
         UNION ALL SELECT * FROM (SELECT k.run_id, w.name, k.task_id, k.map_index, k.place, ifnull({ended}, r.created_at), \
         k.due_at, k.queue, k.dispatch_no, {outcome} FROM (SELECT * FROM work INDEXED BY work_due WHERE place IN ('t', 'p') \
         ORDER BY due_at LIMIT $1) k JOIN run r ON r.run_id = k.run_id LEFT JOIN workflow w ON w.workflow_id = r.workflow_id) \
         UNION ALL SELECT * FROM (SELECT r.run_id, w.name, NULL, NULL, NULL, r.updated_at, NULL, r.queue, 0, NULL \
         FROM (SELECT * FROM run r INDEXED BY run_open WHERE {OPEN} AND r.state = 'queued' ORDER BY r.run_id LIMIT $1) r \
         LEFT JOIN workflow w ON w.workflow_id = r.workflow_id)"
    )
}

/// $1 workflow's name, $2 task, $3 map index, $4 how many runs.
pub(crate) fn task_history() -> String {
    format!(
        "/* task history */ SELECT r.run_id, r.logical_at, r.state, t.state, t.started_at, t.ended_at, t.dispatch_no, k.place, \
         k.dispatch_no, k.claimed_at, {DEFERRED} \
         FROM (SELECT * FROM run x INDEXED BY run_of_workflow_by_created_at \
         WHERE x.workflow_id = (SELECT workflow_id FROM workflow WHERE name = $1) \
         ORDER BY x.created_at DESC, x.run_id DESC LIMIT $4) r \
         LEFT JOIN task_run t ON t.run_id = r.run_id AND t.task_id = $2 AND t.map_index = $3 AND t.ended_at IS NOT NULL \
         LEFT JOIN work k ON k.run_id = r.run_id AND k.task_id = $2 AND k.map_index = $3 \
         ORDER BY r.created_at DESC, r.run_id DESC"
    )
}

/// $1 run: two rows at most, the run before first; the second column says which.
pub(crate) const NEIGHBOURS: &str = "/* neighbours */ SELECT * FROM (SELECT x.run_id, 0 FROM run r \
CROSS JOIN run x INDEXED BY run_of_workflow_by_created_at ON x.workflow_id = r.workflow_id AND x.created_at <= r.created_at \
WHERE r.run_id = $1 AND (x.created_at, x.run_id) < (r.created_at, r.run_id) ORDER BY x.created_at DESC, x.run_id DESC LIMIT 1) \
UNION ALL SELECT * FROM (SELECT x.run_id, 1 FROM run r \
CROSS JOIN run x INDEXED BY run_of_workflow_by_created_at ON x.workflow_id = r.workflow_id AND x.created_at >= r.created_at \
WHERE r.run_id = $1 AND (x.created_at, x.run_id) > (r.created_at, r.run_id) ORDER BY x.created_at, x.run_id LIMIT 1)";

/// Columns of a version; $1 workflow's name.
const VERSION: &str = "f.version_id, f.number, f.sha256, f.path, v.created_at, w.current_version_id = f.version_id, \
(SELECT count(*) FROM (SELECT x.version_id FROM run x INDEXED BY run_of_workflow_by_created_at \
 WHERE x.workflow_id = w.workflow_id ORDER BY x.created_at DESC LIMIT 10000) y WHERE y.version_id = f.version_id)";

/// $1 workflow's name, $2 before this number, $3 how many.
pub(crate) fn versions() -> String {
    format!(
        "/* versions */ SELECT {VERSION} FROM workflow w JOIN version_facts f ON f.workflow_id = w.workflow_id AND f.number < $2 \
         JOIN workflow_version v ON v.version_id = f.version_id WHERE w.name = $1 ORDER BY f.number DESC LIMIT $3"
    )
}

/// $1 workflow's name, $2 number, 0 = the current one.
pub(crate) fn version() -> String {
    format!(
        "/* version source */ SELECT {VERSION}, w.name, v.source, v.compiled FROM workflow w \
         JOIN version_facts f ON f.workflow_id = w.workflow_id \
         AND CASE WHEN $2 = 0 THEN f.version_id = w.current_version_id ELSE f.number = $2 END \
         JOIN workflow_version v ON v.version_id = f.version_id WHERE w.name = $1"
    )
}

/// $1 run, $2 after this version, $3 how many.
pub(crate) const EVENTS: &str = "/* events */ SELECT version, at, actor, body FROM run_log \
WHERE run_id = $1 AND version > $2 ORDER BY version LIMIT $3";

/// $1 run, and if `one`: $2 task, $3 map index.
pub(crate) fn attempts(one: bool) -> String {
    let key = |alias: &str| {
        if one { format!("AND {alias}.task_id = $2 AND {alias}.map_index = $3") } else { String::new() }
    };
    format!(
        "/* attempts */ SELECT a.task_id, a.map_index, a.dispatch_no, a.try_no, a.generation, a.attempt_id, a.outcome, NULL, \
         a.cause, a.class, a.message, a.worker_no, k.name, a.ready_at, a.claimed_at, a.started_at, a.ended_at, \
         octet_length(a.output) FROM attempt a LEFT JOIN worker k ON k.worker_no = a.worker_no WHERE a.run_id = $1 {} \
         UNION ALL SELECT w.task_id, w.map_index, w.dispatch_no, w.try_no, w.generation, w.attempt_id, NULL, w.place, NULL, \
         NULL, NULL, w.worker_no, k.name, ifnull(w.due_at, w.rank + 300000 * (SELECT priority FROM run r WHERE r.run_id = w.run_id)), \
         w.claimed_at, NULL, NULL, NULL FROM work w LEFT JOIN worker k ON k.worker_no = w.worker_no WHERE w.run_id = $1 {} \
         ORDER BY 1, 2, 3",
        key("a"),
        key("w")
    )
}

/// $1 run, $2 task, $3 map index.
pub(crate) const ITEMS: &str = "/* items of a task run */ SELECT dispatch_no, kind, name, state, seconds, value, message \
FROM task_item WHERE run_id = $1 AND task_id = $2 AND map_index = $3 ORDER BY dispatch_no, seq";

/// $1 run, $2 task.
pub(crate) const METRICS: &str = "/* metrics of a task */ SELECT name, value, unit, labels FROM run_metric \
WHERE run_id = $1 AND task_id = $2 ORDER BY name, labels";

/// $1 run, $2 task, $3 map index, $4 `dispatch_no`.
pub(crate) const OUTPUT: &str = "/* output */ SELECT output FROM attempt \
WHERE run_id = $1 AND task_id = $2 AND map_index = $3 AND dispatch_no = $4";

pub(crate) const QUEUES: &str = "/* queues */ SELECT q.queue, sum(q.ready), sum(q.executing), min(q.oldest) FROM \
(SELECT k.queue, count(*) AS ready, 0 AS executing, (SELECT h.rank + 300000 * r.priority FROM work h INDEXED BY work_ready \
  CROSS JOIN run r ON r.run_id = h.run_id WHERE h.place = 'r' AND h.queue = k.queue ORDER BY h.rank LIMIT 1) AS oldest \
 FROM work k INDEXED BY work_ready WHERE k.place = 'r' GROUP BY k.queue \
 UNION ALL SELECT k.queue, 0, count(*), NULL FROM work k INDEXED BY work_of_worker WHERE k.place = 'x' GROUP BY k.queue) q \
GROUP BY q.queue ORDER BY q.queue";

pub(crate) const SIZE: &str =
    "/* size */ SELECT c.page_count * s.page_size FROM pragma_page_count() c, pragma_page_size() s";

/// $1 run.
pub(crate) const NOTE: &str = "/* note */ SELECT note, by, at FROM run_note WHERE run_id = $1";

/// $1 run, $2 note, $3 by, $4 at: one row if there is such a run.
pub(crate) const SET_NOTE: &str = "/* set note */ INSERT INTO run_note (run_id, note, by, at) \
SELECT run_id, $2, $3, $4 FROM run WHERE run_id = $1 \
ON CONFLICT (run_id) DO UPDATE SET note = excluded.note, by = excluded.by, at = excluded.at RETURNING run_id";

/// $1 run.
pub(crate) const REMOVE_NOTE: &str = "/* remove note */ DELETE FROM run_note WHERE run_id = $1 RETURNING run_id";
