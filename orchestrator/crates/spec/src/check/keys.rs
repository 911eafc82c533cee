//! The keys of a workflow file: ours, their accepted other spellings, those of a later version, and those that people know
//! from other products.

/// Keys of one kind of map.
pub(crate) struct Table {
    /// What the map is, for messages.
    pub(crate) what: &'static str,
    /// Keys that are carried out.
    pub(crate) keys: &'static [&'static str],
    /// Accepted spelling → key.
    pub(crate) aliases: &'static [(&'static str, &'static str)],
    /// Known, not in this version.
    pub(crate) later: &'static [&'static str],
    /// Key, the product that it comes from, what to write here.
    pub(crate) foreign: &'static [(&'static str, &'static str, &'static str)],
}

/// What a key is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// One of ours, by its canonical name.
    Ours(&'static str),
    /// One of a later version, by its canonical name.
    Later(&'static str),
    /// Another product's: name of the product, advice.
    Foreign(&'static str, &'static str),
    /// Nobody's.
    Unknown,
}

impl Table {
    /// What a key is.
    pub(crate) fn classify(&self, key: &str) -> Class {
        let canonical = self.canonical(key);
        if let Some(ours) = self.keys.iter().find(|ours| **ours == canonical) {
            return Class::Ours(ours);
        }
        if let Some(later) = self.later.iter().find(|later| **later == canonical) {
            return Class::Later(later);
        }
        self.foreign
            .iter()
            .find(|(foreign, ..)| *foreign == key)
            .map_or(Class::Unknown, |(_, product, advice)| Class::Foreign(product, advice))
    }

    /// The canonical spelling of an accepted one; any other key as it is.
    pub(crate) fn canonical<'k>(&self, key: &'k str) -> &'k str {
        self.aliases.iter().find(|(alias, _)| *alias == key).map_or(key, |(_, canonical)| canonical)
    }

    /// All spellings that could have been meant.
    pub(crate) fn candidates(&self) -> impl Iterator<Item = &'static str> {
        self.keys.iter().copied()
    }
}

/// The top of a file.
pub(crate) const WORKFLOW: Table = Table {
    what: "a workflow",
    keys: &[
        "id",
        "description",
        "owner",
        "tags",
        "schedule",
        "start_date",
        "end_date",
        "catchup",
        "data_interval",
        "max_active_runs",
        "max_active_tasks",
        "overlap",
        "paused",
        "timeout",
        "params",
        "vars",
        "env",
        "defaults",
        "tasks",
    ],
    aliases: &[
        ("name", "id"),
        ("dag_id", "id"),
        ("inputs", "params"),
        ("default_args", "defaults"),
        ("steps", "tasks"),
    ],
    later: &["deadline", "on_failure", "on_success", "finally", "tests"],
    foreign: &[
        ("schedule_interval", "Airflow", "write `schedule: \"*/5 * * * *\"`"),
        ("timetable", "Airflow", "write `schedule:` with `cron`, `every` or `dates`"),
        ("dagrun_timeout", "Airflow", "write `timeout: 30m`"),
        ("concurrency", "Airflow", "write `max_active_tasks: 8`"),
        ("is_paused_upon_creation", "Airflow", "write `paused: true`"),
        ("doc_md", "Airflow", "write `description: …`"),
        ("on_failure_callback", "Airflow", "a task `notify` with `trigger_rule: one_failed` says it"),
        ("on_success_callback", "Airflow", "a task `notify` at the end says it"),
        ("sla_miss_callback", "Airflow", "watch the run's duration from outside for now"),
        ("task_groups", "Airflow", "write the tasks flat; a prefix in `id` groups them"),
        ("namespace", "Kestra", "put it into `id`, as in `team.flow`"),
        ("triggers", "Kestra", "write `schedule: …`"),
        ("variables", "Kestra", "write `vars: {…}`"),
        ("errors", "Kestra", "a task with `trigger_rule: one_failed` handles failures"),
        ("pluginDefaults", "Kestra", "write `defaults: {…}`"),
        ("labels", "Kestra", "write `tags: […]`"),
        ("listeners", "Kestra", "a task with `trigger_rule: all_done` runs at the end"),
        ("on", "GitHub Actions", "write `schedule: …`"),
        ("jobs", "GitHub Actions", "write `tasks:` with one entry per step"),
        ("runs-on", "GitHub Actions", "leave it out: tasks run in the worker"),
        ("permissions", "GitHub Actions", "leave it out"),
        ("timeout-minutes", "GitHub Actions", "write `timeout: 30m`"),
        ("trigger", "Azure Pipelines", "write `schedule: …`"),
        ("stages", "Azure Pipelines", "write `tasks:` with `depends_on`"),
        ("parameters", "Azure Pipelines", "write `params: {…}`"),
        ("schedules", "Azure Pipelines", "write `schedule: …`; it takes a list of cron patterns"),
        ("timeoutInMinutes", "Azure Pipelines", "write `timeout: 30m`"),
        ("timeout_sec", "Dagu", "write `timeout: 90s`"),
        ("max_active_steps", "Dagu", "write `max_active_tasks: 8`"),
        ("handler_on", "Dagu", "a task with `trigger_rule: all_done` or `one_failed` does it"),
        ("catchup_window", "Dagu", "write `catchup: {window: 6h}`"),
        ("dotenv", "Dagu", "set the variables in the environment of the worker"),
        ("apiVersion", "Argo", "an Updraft file is no Kubernetes object: begin with `id:`"),
        ("kind", "Argo", "an Updraft file is no Kubernetes object: begin with `id:`"),
        ("metadata", "Argo", "write `id: …` at the top"),
        ("spec", "Argo", "write its content at the top of the file"),
        ("templates", "Argo", "write `tasks:`"),
        ("entrypoint", "Argo", "leave it out: a task without `depends_on` is a start"),
        ("activeDeadlineSeconds", "Argo", "write `timeout: 90s`"),
        ("parallelism", "Argo", "write `max_active_tasks: 8`"),
        ("concurrencyPolicy", "Argo", "write `max_active_runs: 1` and `overlap: queue`, `skip` or `allow`"),
        ("deployments", "Prefect", "one file is one workflow: write its content at the top"),
        ("work_pool", "Prefect", "leave it out: tasks run in the worker"),
        ("entrypoints", "Prefect", "leave it out"),
        ("resources", "Databricks", "write the job's content at the top of the file"),
        ("max_concurrent_runs", "Databricks", "write `max_active_runs: 1`"),
        ("timeout_seconds", "Databricks", "write `timeout: 90s`"),
        ("job_clusters", "Databricks", "leave it out"),
        ("quartz_cron_expression", "Databricks", "write `schedule: \"0 5 * * *\"`"),
        ("email_notifications", "Databricks", "a task `notify` says it"),
        ("document", "Serverless Workflow", "write `id: …` at the top"),
        ("do", "Serverless Workflow", "write `tasks:`"),
        ("use", "Serverless Workflow", "write `defaults:` or `vars:`"),
        ("main", "Google Workflows", "write `tasks:`"),
    ],
};

/// An entry of `tasks`.
pub(crate) const TASK: Table = Table {
    what: "a task",
    keys: &[
        "id",
        "type",
        "with",
        "conn",
        "depends_on",
        "trigger_rule",
        "when",
        "allow_failure",
        "retry",
        "retries",
        "timeout",
        "env",
    ],
    aliases: &[
        ("task_id", "id"),
        ("name", "id"),
        ("uses", "type"),
        ("operator", "type"),
        ("args", "with"),
        ("needs", "depends_on"),
        ("depends", "depends_on"),
        ("dependencies", "depends_on"),
        ("dependsOn", "depends_on"),
        ("if", "when"),
        ("runs_on", "queue"),
    ],
    later: &[
        "for_each",
        "max_parallel",
        "pool",
        "pool_slots",
        "priority",
        "queue",
        "inlets",
        "outlets",
        "on_lease_loss",
        "isolation",
        "on_failure",
        "on_success",
        "deadline",
        "finally",
        "tests",
    ],
    foreign: &[
        ("retry_delay", "Airflow", "write `retry: {limit: 3, delay: 30s}`"),
        ("retry_exponential_backoff", "Airflow", "write `retry: {limit: 3, backoff: exponential}`"),
        ("max_retry_delay", "Airflow", "write `retry: {limit: 3, max_delay: 10m}`"),
        ("execution_timeout", "Airflow", "write `timeout: 5m`"),
        ("priority_weight", "Airflow", "priorities come in a later version"),
        ("weight_rule", "Airflow", "priorities come in a later version"),
        ("upstream_task_ids", "Airflow", "write `depends_on: […]`"),
        ("downstream_task_ids", "Airflow", "write `depends_on` at the later task"),
        ("op_kwargs", "Airflow", "write `with: {…}`"),
        ("bash_command", "Airflow", "write `type: command` and `with: {argv: […]}`"),
        ("python_callable", "Airflow", "write `type: command` and `with: {argv: [python, script.py]}`"),
        ("conn_id", "Airflow", "write `conn: name`"),
        ("on_failure_callback", "Airflow", "a task `notify` with `trigger_rule: one_failed` says it"),
        ("expand", "Airflow", "mapping comes in a later version"),
        ("partial", "Airflow", "mapping comes in a later version"),
        ("executor", "Airflow", "leave it out: tasks run in the worker"),
        ("depends_on_past", "Airflow", "set `max_active_runs: 1` on the workflow"),
        ("wait_for_downstream", "Airflow", "set `max_active_runs: 1` on the workflow"),
        ("allowFailure", "Kestra", "write `allow_failure: true`"),
        ("runIf", "Kestra", "write `when: \"{{ … }}\"`"),
        ("disabled", "Kestra", "put the task into a comment, or write `when: \"{{ false }}\"`"),
        ("commands", "Kestra", "write `type: command` and `with: {argv: […]}`"),
        ("taskRunner", "Kestra", "leave it out: tasks run in the worker"),
        ("workerGroup", "Kestra", "leave it out: tasks run in the worker"),
        ("values", "Kestra", "mapping comes in a later version"),
        ("timeout-minutes", "GitHub Actions", "write `timeout: 30m`"),
        ("run", "GitHub Actions", "write `type: command` and `with: {shell: true, …}`"),
        ("runs-on", "GitHub Actions", "leave it out: tasks run in the worker"),
        ("continue-on-error", "GitHub Actions", "write `allow_failure: true`"),
        ("strategy", "GitHub Actions", "mapping comes in a later version"),
        ("steps", "GitHub Actions", "each step is a task of its own"),
        ("secrets", "GitHub Actions", "secrets live in connections: write `conn: name`"),
        ("condition", "Azure Pipelines", "write `when: \"{{ … }}\"`, and `trigger_rule: …` for states of upstreams"),
        ("inputs", "Azure Pipelines", "write `with: {…}`"),
        ("displayName", "Azure Pipelines", "write `id: …`"),
        ("job", "Azure Pipelines", "write `id: …`"),
        ("script", "Azure Pipelines", "write `type: command` and `with: {shell: true, …}`"),
        ("task", "Azure Pipelines", "write `type: …`"),
        ("timeoutInMinutes", "Azure Pipelines", "write `timeout: 30m`"),
        ("retryCountOnTaskFailure", "Azure Pipelines", "write `retries: 3`"),
        ("continueOnError", "Azure Pipelines", "write `allow_failure: true`"),
        ("command", "Dagu", "write `type: command` and `with: {argv: […]}`"),
        ("retry_policy", "Dagu", "write `retry: {limit: 3, delay: 30s}`"),
        ("continue_on", "Dagu", "write `allow_failure: true`"),
        ("preconditions", "Dagu", "write `when: \"{{ … }}\"`"),
        ("parallel", "Dagu", "mapping comes in a later version"),
        ("timeout_sec", "Dagu", "write `timeout: 90s`"),
        ("worker_selector", "Dagu", "leave it out: tasks run in the worker"),
        ("template", "Argo", "write `type: …`"),
        ("container", "Argo", "write `type: command`"),
        ("arguments", "Argo", "write `with: {…}`"),
        ("retryStrategy", "Argo", "write `retry: {limit: 3, delay: 30s}`"),
        ("activeDeadlineSeconds", "Argo", "write `timeout: 90s`"),
        ("withItems", "Argo", "mapping comes in a later version"),
        ("withParam", "Argo", "mapping comes in a later version"),
        ("continueOn", "Argo", "write `allow_failure: true`"),
        ("hooks", "Argo", "a task with `trigger_rule: one_failed` does it"),
        ("retry_delay_seconds", "Prefect", "write `retry: {limit: 3, delay: 30s}`"),
        ("wait_for", "Prefect", "write `depends_on: […]`"),
        ("cache_policy", "Prefect", "leave it out: tasks are idempotent by their own means"),
        ("task_key", "Databricks", "write `id: …`"),
        ("run_if", "Databricks", "write `trigger_rule: …`"),
        ("max_retries", "Databricks", "write `retries: 3`"),
        ("min_retry_interval_millis", "Databricks", "write `retry: {limit: 3, delay: 30s}`"),
        ("timeout_seconds", "Databricks", "write `timeout: 90s`"),
        ("notebook_task", "Databricks", "write `type: …` and `with: {…}`"),
        ("spark_jar_task", "Databricks", "write `type: …` and `with: {…}`"),
        ("for_each_task", "Databricks", "mapping comes in a later version"),
        ("job_cluster_key", "Databricks", "leave it out"),
        ("call", "Google Workflows", "write `type: …`"),
        ("next", "Google Workflows", "write `depends_on` at the later task"),
        ("then", "Serverless Workflow", "write `depends_on` at the later task"),
        ("input", "Serverless Workflow", "write `with: {…}`"),
    ],
};

/// `defaults`.
pub(crate) const DEFAULTS: Table = Table {
    what: "`defaults`",
    keys: &["retry", "retries", "timeout", "env"],
    aliases: &[],
    later: &["pool", "queue", "priority", "isolation", "on_lease_loss"],
    foreign: &[
        ("owner", "Airflow", "write `owner` at the top of the file"),
        ("start_date", "Airflow", "write `start_date` at the top of the file"),
        ("end_date", "Airflow", "write `end_date` at the top of the file"),
        ("retry_delay", "Airflow", "write `retry: {limit: 3, delay: 30s}`"),
        ("execution_timeout", "Airflow", "write `timeout: 5m`"),
        ("depends_on_past", "Airflow", "set `max_active_runs: 1` on the workflow"),
        ("email", "Airflow", "a task `notify` says it"),
        ("email_on_failure", "Airflow", "a task `notify` says it"),
        ("email_on_retry", "Airflow", "a task `notify` says it"),
        ("on_failure_callback", "Airflow", "a task `notify` with `trigger_rule: one_failed` says it"),
    ],
};

/// `retry`.
pub(crate) const RETRY: Table = Table {
    what: "`retry`",
    keys: &["limit", "delay", "backoff", "factor", "max_delay", "jitter", "retry_on"],
    aliases: &[],
    later: &[],
    foreign: &[
        ("max_attempts", "Kestra", "write `limit`: it counts the tries after the first, so one less"),
        ("maxAttempts", "Kestra", "write `limit`: it counts the tries after the first, so one less"),
        ("maxAttempt", "Kestra", "write `limit`: it counts the tries after the first, so one less"),
        ("interval", "Kestra", "write `delay: 30s`"),
        ("maxInterval", "Kestra", "write `max_delay: 10m`"),
        ("maxDuration", "Kestra", "limit the time with `timeout` on the task"),
        ("delayFactor", "Kestra", "write `factor: 2`"),
        ("type", "Kestra", "write `backoff: constant`, `linear` or `exponential`"),
        ("interval_sec", "Dagu", "write `delay: 30s`"),
        ("max_interval_sec", "Dagu", "write `max_delay: 10m`"),
        ("exit_code", "Dagu", "write `retry_on` with error classes"),
        ("retryPolicy", "Argo", "write `retry_on` with error classes"),
        ("expression", "Argo", "write `retry_on` with error classes"),
        ("duration", "Argo", "write `delay: 30s`"),
        ("retries", "Airflow", "write `limit: 3`"),
        ("retry_delay", "Airflow", "write `delay: 30s`"),
        ("max_retries", "Databricks", "write `limit: 3`"),
        ("attempts", "other schedulers", "write `limit`: it counts the tries after the first, so one less"),
        ("when", "Serverless Workflow", "write `retry_on` with error classes"),
    ],
};

/// `schedule` as a map.
pub(crate) const SCHEDULE: Table = Table {
    what: "`schedule`",
    keys: &["cron", "every", "dates", "timezone", "dst", "jitter"],
    aliases: &[("at", "dates")],
    later: &[],
    foreign: &[
        ("tz", "Airflow", "write `timezone: Europe/Berlin`"),
        ("interval", "Prefect", "write `every: 10m`"),
        ("rrule", "Prefect", "write `cron` or `dates`"),
        ("quartz_cron_expression", "Databricks", "write `cron` with five or six fields"),
        ("timezone_id", "Databricks", "write `timezone: Europe/Berlin`"),
        ("pause_status", "Databricks", "write `paused: true` at the top of the file"),
        ("after", "Serverless Workflow", "write `every: 10m`"),
        ("on", "Serverless Workflow", "events come in a later version"),
    ],
};

/// `dst`.
pub(crate) const DST: Table =
    Table { what: "`dst`", keys: &["gap", "overlap"], aliases: &[], later: &[], foreign: &[] };

/// `catchup` as a map.
pub(crate) const CATCHUP: Table =
    Table { what: "`catchup`", keys: &["window", "max"], aliases: &[], later: &[], foreign: &[] };

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_has_one_meaning() {
        for table in [&WORKFLOW, &TASK, &DEFAULTS, &RETRY, &SCHEDULE, &DST, &CATCHUP] {
            let mut seen = std::collections::HashSet::new();
            let foreign = table.foreign.iter().map(|(key, ..)| key);
            let aliases = table.aliases.iter().map(|(key, _)| key);
            for key in table.keys.iter().chain(table.later).chain(foreign).chain(aliases) {
                assert!(seen.insert(*key), "`{key}` is listed twice in {}", table.what);
            }
            for (alias, canonical) in table.aliases {
                let known = table.keys.contains(canonical) || table.later.contains(canonical);
                assert!(known, "`{alias}` leads to `{canonical}`, which is no key");
            }
        }
        assert!(!WORKFLOW.keys.contains(&"on") && !TASK.keys.contains(&"on"), "YAML 1.1 reads `on` as true");
    }
}
