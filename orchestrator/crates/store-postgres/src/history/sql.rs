//! The statements of history. Texts of users are always bound; what is put together are names of columns,
//! numbers and words of closed lists.

use updraft_model::time::Timestamp;
use updraft_store::history::plan::{Along, Column, Ids, Part};
use uuid::Uuid;

/// A statement with its values.
#[derive(Debug, Clone)]
pub(crate) struct Sql {
    pub(crate) text: String,
    pub(crate) values: Vec<Bound>,
}

/// A bound value.
#[derive(Debug, Clone)]
pub(crate) enum Bound {
    /// A number.
    Int(i64),
    /// Text.
    Text(String),
    /// An instant.
    At(Timestamp),
    /// An id.
    Id(Uuid),
    /// Numbers.
    Ints(Vec<i64>),
    /// Ids.
    Ids(Vec<Uuid>),
    /// Instants.
    Ats(Vec<Timestamp>),
}

impl Sql {
    pub(crate) fn new(text: impl Into<String>, values: impl IntoIterator<Item = Bound>) -> Self {
        Self { text: text.into(), values: values.into_iter().collect() }
    }

    fn bind(&mut self, value: Bound) -> String {
        self.values.push(value);
        format!("${}", self.values.len())
    }
}

/// What `run_open` covers.
const OPEN: &str = "r.state IN ('queued', 'running', 'cancelling', 'broken')";

/// The first failure of run `r`, see `shape::run_lines`.
const FAILURE: &str = "(SELECT json_build_array(t.task_id, t.map_index, t.cause, t.dispatch_no, a.class, substr(a.message, 1, 500), \
(SELECT count(*) FROM attempt b WHERE b.run_id = t.run_id AND b.task_id = t.task_id AND b.map_index = t.map_index \
 AND b.dispatch_no <= t.dispatch_no), \
(SELECT count(*) FROM attempt b WHERE b.run_id = t.run_id AND b.task_id = t.task_id AND b.map_index = t.map_index))::text \
FROM task_run t LEFT JOIN attempt a ON a.run_id = t.run_id AND a.task_id = t.task_id AND a.map_index = t.map_index \
AND a.dispatch_no = t.dispatch_no WHERE t.run_id = r.run_id AND t.state = 'failed' \
ORDER BY t.ended_at, t.task_id, t.dispatch_no = 0, t.map_index LIMIT 1)";

/// Attempts of run `r` beyond the first of each task run.
const EXTRA: &str = "coalesce((SELECT sum(t.dispatch_no - 1) FROM task_run t WHERE t.run_id = r.run_id AND t.dispatch_no > 1), 0) \
+ CASE WHEN r.ended_at IS NULL THEN coalesce((SELECT sum(k.dispatch_no - 1) FROM work k WHERE k.run_id = r.run_id), 0) ELSE 0 END";

/// Columns of a run's line.
fn line() -> String {
    format!(
        "r.run_id, r.workflow_id, w.name, r.version_id, f.number, r.run_key, r.state, r.cause, r.trigger, r.logical_at, \
         r.interval_start, r.interval_end, r.created_at, r.started_at, r.ended_at, r.generation, r.version, r.queue, r.priority, \
         (SELECT l.body::json -> 0 ->> 'by' FROM run_log l WHERE l.run_id = r.run_id AND l.version = 1), n.note, \
         CASE WHEN r.only_tasks IS NULL THEN f.tasks ELSE json_array_length(r.only_tasks::json) END, \
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
        [one] => when.push(format!("r.workflow_id = {}", sql.bind(Bound::Int(*one)))),
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
            let (first, last) = (sql.bind(Bound::Id(first.0)), sql.bind(Bound::Id(last.0)));
            when.push(format!("r.run_id >= {first} AND r.run_id <= {last}"));
        }
        Some(Ids::List(list)) => {
            let list = sql.bind(Bound::Ids(list.iter().map(|run| run.0).collect()));
            when.push(format!("r.run_id = ANY ({list})"));
        }
    }
    if let Some((of, since, until)) = &part.window {
        let of = column(*of);
        if let Some(since) = since {
            when.push(format!("{of} >= {}", sql.bind(Bound::At(*since))));
        }
        if let Some(until) = until {
            when.push(format!("{of} < {}", sql.bind(Bound::At(*until))));
        }
    }
    let by = column(part.sort.column());
    let descending = part.sort.is_descending();
    if let Some(after) = &part.after {
        let (at, run) = (sql.bind(Bound::At(after.at)), sql.bind(Bound::Id(after.run.0)));
        let beyond = if descending { '<' } else { '>' };
        // The first half is what the index knows.
        when.push(format!("{by} {beyond}= {at} AND ({by}, r.run_id) {beyond} ({at}, {run})"));
    }
    let when = if when.is_empty() { String::new() } else { format!("WHERE {}", when.join(" AND ")) };
    let direction = if descending { "DESC" } else { "ASC" };
    let limit = sql.bind(Bound::Int(i64::from(part.limit)));
    format!("SELECT r.* FROM run r {when} ORDER BY {by} {direction}, r.run_id {direction} LIMIT {limit}")
}

/// The runs of these parts as a table `r`, not more than one part may give.
fn runs_of(sql: &mut Sql, parts: &[Part]) -> Option<String> {
    let first = parts.first()?;
    let by = column(first.sort.column());
    let direction = if first.sort.is_descending() { "DESC" } else { "ASC" };
    let all: Vec<String> = parts.iter().map(|one| format!("(SELECT * FROM ({}) one)", part(sql, one))).collect();
    if let [one] = all.as_slice() {
        return Some(format!("({one}) r"));
    }
    // Parts of a search may name a run twice, so that its row counts twice here: never fewer rows than asked for remain.
    let limit = sql.bind(Bound::Int(i64::from(first.limit) * i64::try_from(parts.len()).unwrap_or(1)));
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

/// $1 runs.
pub(crate) fn run_lines_of() -> String {
    format!("/* run lines of */ SELECT {} FROM run r {LINE_JOINS} WHERE r.run_id = ANY($1::uuid[])", line())
}

/// $1 name.
pub(crate) const WORKFLOW: &str = "/* workflow */ SELECT workflow_id, current_version_id FROM workflow WHERE name = $1";

/// $1 pattern.
pub(crate) const NAMED_LIKE: &str =
    "/* named like */ SELECT workflow_id FROM workflow WHERE name ILIKE $1 ORDER BY workflow_id";

/// $1 pattern.
pub(crate) const NOTED_LIKE: &str =
    "/* noted like */ SELECT run_id FROM run_note WHERE note ILIKE $1 ORDER BY run_id DESC LIMIT 200";

/// $1 workflows as JSON.
pub(crate) const USUAL_OF: &str = "/* usual of workflows */ SELECT j.value, (SELECT string_agg(s.took::text, ' ') FROM \
(SELECT ms(r.ended_at) - ms(r.started_at) AS took FROM run r \
 WHERE r.workflow_id = j.value AND r.state = 'succeeded' AND r.ended_at IS NOT NULL ORDER BY r.created_at DESC LIMIT 20) s) \
FROM unnest($1::int8[]) AS j(value)";

/// What is known of a workflow's schedule: paused, retired, next fire. The one place that looks at it.
const SCHEDULE: &str = "w.paused, w.retired_at IS NOT NULL, \
(SELECT s.next_fire_at FROM schedule s WHERE s.workflow_id = w.workflow_id)";

pub(crate) fn workflow_rows(filter: &str) -> String {
    format!(
        "/* workflow rows */ SELECT w.workflow_id, w.name, w.current_version_id, f.number, f.tasks, f.sha256, f.path, \
         f.description, f.owner, f.tags, \
         (SELECT count(*) FROM version_facts x WHERE x.workflow_id = w.workflow_id), \
         (SELECT r.state FROM run r WHERE r.workflow_id = w.workflow_id \
          AND r.ended_at IS NOT NULL ORDER BY r.ended_at DESC LIMIT 1), \
         (SELECT string_agg(r.state, ',') FROM run r WHERE r.workflow_id = w.workflow_id AND {OPEN}), \
         (SELECT max(r.created_at) FROM run r WHERE r.workflow_id = w.workflow_id), \
         {SCHEDULE} \
         FROM workflow w LEFT JOIN version_facts f ON f.version_id = w.current_version_id {filter}"
    )
}

/// $1 workflows as JSON, $2 how many bars.
pub(crate) fn bars() -> String {
    format!(
        "/* bars */ SELECT j.value, (SELECT string_agg(b.line, E'\\n') FROM (SELECT r.run_id::text || E'\\t' || r.state \
         || E'\\t' || r.trigger || E'\\t' || ms(r.logical_at) || E'\\t' || ms(r.created_at) || E'\\t' \
         || coalesce(ms(r.started_at)::text, '') || E'\\t' || coalesce(ms(r.ended_at)::text, '') || E'\\t' \
         || (SELECT count(DISTINCT t.task_id) FROM task_run t WHERE t.run_id = r.run_id AND t.state = 'failed') || E'\\t' || ({EXTRA}) AS line \
         FROM run r WHERE r.workflow_id = j.value \
         ORDER BY r.created_at DESC, r.run_id DESC LIMIT $2) b) FROM unnest($1::int8[]) AS j(value)"
    )
}

/// $1 run.
pub(crate) const CREATED: &str = "/* created */ SELECT created_at FROM run WHERE run_id = $1";

/// $1 versions as JSON.
pub(crate) const COMPILED: &str = "/* compiled */ SELECT v.version_id, v.compiled FROM unnest($1::int8[]) AS j(value) \
JOIN workflow_version v ON v.version_id = j.value";

/// Columns as `shape::GRID_COLUMNS` says.
pub(crate) fn grid(parts: &[Part]) -> Option<Sql> {
    let mut sql = Sql::new("", []);
    let runs = runs_of(&mut sql, parts)?;
    sql.text = format!(
        "/* grid */ SELECT r.run_id, r.version_id, f.number, r.state, r.trigger, r.logical_at, r.created_at, r.started_at, \
         r.ended_at, r.generation, r.only_tasks, \
         (SELECT string_agg(CASE WHEN t.state = 'succeeded' AND t.dispatch_no = 1 AND t.map_index = -1 THEN t.task_id \
          ELSE t.task_id || E'\\t' || t.map_index || E'\\t' || t.state || E'\\t' || t.dispatch_no || E'\\t' \
          || coalesce((ms(t.ended_at) - ms(t.started_at))::text, '') || E'\\t' || coalesce(t.expanded_n::text, '') END, E'\\n') \
          FROM task_run t WHERE t.run_id = r.run_id AND (t.ended_at IS NOT NULL OR t.expanded_n IS NOT NULL)), \
         CASE WHEN r.ended_at IS NULL THEN (SELECT string_agg(k.task_id || E'\\t' || k.map_index || E'\\t' || k.place \
          || E'\\t' || k.dispatch_no || E'\\t' || {DEFERRED}, E'\\n') FROM work k WHERE k.run_id = r.run_id) END, \
         (SELECT string_agg(a.task_id || E'\\t' || a.map_index || E'\\t' || (ms(a.claimed_at) - ms(a.ready_at)), E'\\n') \
          FROM attempt a WHERE a.run_id = r.run_id AND a.claimed_at - a.ready_at >= interval '1 second'), \
         (SELECT json_agg(json_build_array(t.task_id, t.map_index, a.class, substr(a.message, 1, 300), t.cause))::text \
          FROM task_run t LEFT JOIN attempt a ON a.run_id = t.run_id AND a.task_id = t.task_id AND a.map_index = t.map_index \
          AND a.dispatch_no = t.dispatch_no WHERE t.run_id = r.run_id AND t.state = 'failed') \
         FROM {runs} LEFT JOIN version_facts f ON f.version_id = r.version_id \
         ORDER BY r.created_at DESC, r.run_id DESC"
    );
    Some(sql)
}

/// Whether the timer of work row `k` is a deferral's: the attempt before it says so.
const DEFERRED: &str = "CASE WHEN k.place = 't' THEN coalesce((SELECT (a.outcome = 'deferred')::int FROM attempt a \
WHERE a.run_id = k.run_id AND a.task_id = k.task_id AND a.map_index = k.map_index AND a.dispatch_no < k.dispatch_no \
ORDER BY a.dispatch_no DESC LIMIT 1), 0) ELSE 0 END";

/// Task runs of run `r` that are over, see `shape::durations`.
fn task_runs(wait: bool) -> String {
    let wait = if wait {
        "coalesce((SELECT ms(a.claimed_at) - ms(a.ready_at) FROM attempt a WHERE a.run_id = t.run_id AND a.task_id = t.task_id \
         AND a.map_index = t.map_index AND a.dispatch_no = t.dispatch_no)::text, '')"
    } else {
        "''"
    };
    format!(
        "(SELECT string_agg(t.task_id || E'\\t' || t.map_index || E'\\t' || t.state || E'\\t' || t.dispatch_no || E'\\t' \
         || coalesce(ms(t.started_at)::text, '') || E'\\t' || ms(t.ended_at) || E'\\t' || {wait}, E'\\n') \
         FROM task_run t WHERE t.run_id = r.run_id AND t.ended_at IS NOT NULL)"
    )
}

/// $1 workflow, $2 how many runs.
pub(crate) fn durations() -> String {
    format!(
        "/* durations */ SELECT r.run_id, r.created_at, r.started_at, r.ended_at, r.state, r.trigger, r.logical_at, f.number, {} \
         FROM (SELECT * FROM run x WHERE x.workflow_id = $1 \
         ORDER BY x.created_at DESC, x.run_id DESC LIMIT $2) r LEFT JOIN version_facts f ON f.version_id = r.version_id \
         ORDER BY r.created_at DESC, r.run_id DESC",
        task_runs(true)
    )
}

/// $1 workflow's name, $2 how many runs.
pub(crate) fn usual() -> String {
    format!(
        "/* usual */ SELECT r.started_at, r.ended_at, {} FROM (SELECT x.run_id, x.started_at, x.ended_at FROM run x \
         WHERE x.workflow_id = (SELECT workflow_id FROM workflow WHERE name = $1) \
         AND x.state = 'succeeded' AND x.ended_at IS NOT NULL ORDER BY x.created_at DESC LIMIT $2) r",
        task_runs(false)
    )
}

/// $1 workflow's name, $2 from, $3 until, $4 offset in ms.
pub(crate) const CALENDAR: &str = "/* calendar */ SELECT (ms(r.ended_at) + j.offs) / 86400000, r.state, count(*) \
FROM unnest($2::timestamptz[], $3::timestamptz[], $4::int8[]) AS j(since, until, offs) \
JOIN run r ON r.workflow_id = (SELECT workflow_id FROM workflow WHERE name = $1) AND r.ended_at >= j.since \
AND r.ended_at < j.until WHERE r.ended_at IS NOT NULL GROUP BY 1, 2";

/// $1 since, $2 until.
pub(crate) const OVER_COUNTS: &str = "/* over counts */ SELECT r.state, count(*) FROM run r \
WHERE r.ended_at IS NOT NULL AND r.ended_at >= $1 AND r.ended_at < $2 GROUP BY r.state";

/// $1 since, $2 until.
pub(crate) fn open_counts() -> String {
    format!(
        "/* open counts */ SELECT r.state, count(*) FROM run r WHERE {OPEN} GROUP BY r.state \
         UNION ALL SELECT '(waiting)', (SELECT count(*) FROM work WHERE place = 'r') \
         + (SELECT count(*) FROM work WHERE place IN ('t', 'p')) \
         UNION ALL SELECT '(masked)', count(*) FROM (SELECT DISTINCT t.run_id FROM task_run t \
         JOIN run r ON r.run_id = t.run_id \
         WHERE t.state = 'failed' AND t.ended_at >= $1 AND t.ended_at < $2 AND r.state = 'succeeded') masked"
    )
}

/// $1 since, $2 until, $3 how many of each kind.
pub(crate) fn incidents() -> String {
    // A backfill of old days says nothing about whether the workflow works now.
    let last_good = "coalesce((SELECT y.created_at FROM run y \
        WHERE y.workflow_id = r.workflow_id AND y.state = 'succeeded' AND y.ended_at IS NOT NULL AND y.trigger <> 'backfill' \
        ORDER BY y.created_at DESC LIMIT 1), '-infinity')";
    let since_good = format!(
        "FROM run x WHERE x.workflow_id = r.workflow_id AND x.state = 'failed' \
         AND x.ended_at IS NOT NULL AND x.trigger <> 'backfill' AND r.trigger <> 'backfill' AND x.created_at > {last_good}"
    );
    format!(
        "/* incidents */ SELECT {}, \
         (SELECT count(*) FROM task_run t WHERE t.run_id = r.run_id AND t.state = 'upstream_failed'), \
         (SELECT min(x.ended_at) {since_good}), (SELECT count(*) {since_good}), r.updated_at \
         FROM (SELECT run_id FROM (SELECT r.run_id FROM run r \
           WHERE r.ended_at IS NOT NULL AND r.state = 'failed' AND r.ended_at >= $1 AND r.ended_at < $2 \
           ORDER BY r.ended_at DESC LIMIT $3) failed \
         UNION SELECT run_id FROM (SELECT t.run_id, max(t.ended_at) FROM task_run t \
           JOIN run r ON r.run_id = t.run_id WHERE t.state = 'failed' AND t.ended_at >= $1 AND t.ended_at < $2 \
           AND r.state = 'succeeded' GROUP BY t.run_id ORDER BY 2 DESC LIMIT $3) masked \
         UNION SELECT run_id FROM (SELECT r.run_id FROM run r WHERE {OPEN} AND r.state = 'broken' \
           ORDER BY r.run_id DESC LIMIT $3) broken) ids JOIN run r ON r.run_id = ids.run_id {LINE_JOINS}",
        line()
    )
}

/// $1 since, $2 until, $3 how many.
pub(crate) const LOST: &str = "/* lost attempts */ SELECT r.run_id, w.name, r.state, r.trigger, r.logical_at, a.task_id, \
a.map_index, (SELECT count(*) FROM attempt b WHERE b.run_id = a.run_id AND b.task_id = a.task_id AND b.map_index = a.map_index \
 AND b.dispatch_no <= a.dispatch_no), \
(SELECT count(*) FROM attempt b WHERE b.run_id = a.run_id AND b.task_id = a.task_id AND b.map_index = a.map_index), \
a.cause, a.ended_at, k.name, a.message, a.class \
FROM (SELECT * FROM attempt x WHERE x.outcome = 'lost' AND x.ended_at >= $1 AND x.ended_at < $2 \
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
        "/* waiting */ SELECT * FROM (SELECT k.run_id, w.name, k.task_id, k.map_index, k.place, to_timestamp((k.rank + 300000::int8 * r.priority)::float8 / 1000), \
         k.due_at, k.queue, k.dispatch_no, NULL::text FROM (SELECT * FROM work WHERE place = 'r' \
         ORDER BY rank LIMIT $1) k JOIN run r ON r.run_id = k.run_id LEFT JOIN workflow w ON w.workflow_id = r.workflow_id) ready \
         UNION ALL SELECT * FROM (SELECT k.run_id, w.name, k.task_id, k.map_index, k.place, coalesce({ended}, r.created_at), \
         k.due_at, k.queue, k.dispatch_no, {outcome} FROM (SELECT * FROM work WHERE place IN ('t', 'p') \
         ORDER BY due_at LIMIT $1) k JOIN run r ON r.run_id = k.run_id LEFT JOIN workflow w ON w.workflow_id = r.workflow_id) timed \
         UNION ALL SELECT * FROM (SELECT r.run_id, w.name, NULL::text, NULL::int4, NULL::text, r.updated_at, NULL::timestamptz, r.queue, 0, NULL::text \
         FROM (SELECT * FROM run r WHERE {OPEN} AND r.state = 'queued' ORDER BY r.run_id LIMIT $1) r \
         LEFT JOIN workflow w ON w.workflow_id = r.workflow_id) queued"
    )
}

/// $1 workflow's name, $2 task, $3 map index, $4 how many runs.
pub(crate) fn task_history() -> String {
    format!(
        "/* task history */ SELECT r.run_id, r.logical_at, r.state, t.state, t.started_at, t.ended_at, t.dispatch_no, k.place, \
         k.dispatch_no, k.claimed_at, {DEFERRED} \
         FROM (SELECT * FROM run x \
         WHERE x.workflow_id = (SELECT workflow_id FROM workflow WHERE name = $1) \
         ORDER BY x.created_at DESC, x.run_id DESC LIMIT $4) r \
         LEFT JOIN task_run t ON t.run_id = r.run_id AND t.task_id = $2 AND t.map_index = $3 AND t.ended_at IS NOT NULL \
         LEFT JOIN work k ON k.run_id = r.run_id AND k.task_id = $2 AND k.map_index = $3 \
         ORDER BY r.created_at DESC, r.run_id DESC"
    )
}

/// $1 run: two rows at most, the run before first; the second column says which.
pub(crate) const NEIGHBOURS: &str = "/* neighbours */ SELECT * FROM (SELECT x.run_id, 0 FROM run r \
JOIN run x ON x.workflow_id = r.workflow_id AND x.created_at <= r.created_at \
WHERE r.run_id = $1 AND (x.created_at, x.run_id) < (r.created_at, r.run_id) ORDER BY x.created_at DESC, x.run_id DESC LIMIT 1) before \
UNION ALL SELECT * FROM (SELECT x.run_id, 1 FROM run r \
JOIN run x ON x.workflow_id = r.workflow_id AND x.created_at >= r.created_at \
WHERE r.run_id = $1 AND (x.created_at, x.run_id) > (r.created_at, r.run_id) ORDER BY x.created_at, x.run_id LIMIT 1) after";

/// Columns of a version; $1 workflow's name.
const VERSION: &str = "f.version_id, f.number, f.sha256, f.path, v.created_at, w.current_version_id = f.version_id, \
(SELECT count(*) FROM (SELECT x.version_id FROM run x \
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
         AND CASE WHEN $2::int8 = 0 THEN f.version_id = w.current_version_id ELSE f.number = $2::int8 END \
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
        "/* attempts */ SELECT a.task_id, a.map_index, a.dispatch_no, a.try_no, a.generation, a.attempt_id, a.outcome, NULL::text, \
         a.cause, a.class, a.message, a.worker_no, k.name, a.ready_at, a.claimed_at, a.started_at, a.ended_at, \
         octet_length(a.output) FROM attempt a LEFT JOIN worker k ON k.worker_no = a.worker_no WHERE a.run_id = $1 {} \
         UNION ALL SELECT w.task_id, w.map_index, w.dispatch_no, w.try_no, w.generation, w.attempt_id, NULL, w.place, NULL, \
         NULL, NULL, w.worker_no, k.name, coalesce(w.due_at, to_timestamp((w.rank + 300000::int8 * (SELECT priority FROM run r WHERE r.run_id = w.run_id))::float8 / 1000)), \
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

pub(crate) const QUEUES: &str = "/* queues */ SELECT q.queue, sum(q.ready)::int8, sum(q.executing)::int8, min(q.oldest) FROM \
(SELECT k.queue, count(*) AS ready, 0 AS executing, (SELECT to_timestamp((h.rank + 300000::int8 * r.priority)::float8 / 1000) FROM work h \
  JOIN run r ON r.run_id = h.run_id WHERE h.place = 'r' AND h.queue = k.queue ORDER BY h.rank LIMIT 1) AS oldest \
 FROM work k WHERE k.place = 'r' GROUP BY k.queue \
 UNION ALL SELECT k.queue, 0, count(*), NULL::timestamptz FROM work k WHERE k.place = 'x' GROUP BY k.queue) q \
GROUP BY q.queue ORDER BY q.queue";

pub(crate) const SIZE: &str = "/* size */ SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::int8 FROM pg_class c \
WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r'";

/// $1 run.
pub(crate) const NOTE: &str = "/* note */ SELECT note, by, at FROM run_note WHERE run_id = $1";

/// $1 run, $2 note, $3 by, $4 at: one row if there is such a run.
pub(crate) const SET_NOTE: &str = "/* set note */ INSERT INTO run_note (run_id, note, by, at) \
SELECT run_id, $2::text, $3::text, $4::timestamptz FROM run WHERE run_id = $1 \
ON CONFLICT (run_id) DO UPDATE SET note = excluded.note, by = excluded.by, at = excluded.at RETURNING run_id";

/// $1 run.
pub(crate) const REMOVE_NOTE: &str = "/* remove note */ DELETE FROM run_note WHERE run_id = $1 RETURNING run_id";
