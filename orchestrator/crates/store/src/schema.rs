//! The tables that every SQL store has: same names, same columns in the same order, same migrations. Each store's tests
//! compare its database with these lists, so that the two can be read side by side and never drift apart.
//!
//! Not responsible for types, constraints and indexes: they belong to each database.
//!
//! Rules that both follow: ids of runs, attempts and commits are UUIDs; instants are whole milliseconds since 1970 in UTC,
//! as integers; JSON is text, exactly as given; closed lists are their [`updraft_model::state`] names. Text compares by
//! bytes (`COLLATE "C"` on PostgreSQL).

/// Migrations by number and name. A released one never changes.
pub const MIGRATIONS: &[(i64, &str)] = &[
    (1, "workflows"),
    (2, "runs"),
    (3, "work"),
    (4, "attempts"),
    (5, "workers"),
    (6, "kept_values"),
    (7, "bench"),
    (8, "schedules"),
    (9, "workers_logs"),
    (10, "accounts"),
    (11, "history"),
    (12, "reopen"),
    (13, "idempotency"),
    (14, "expanded"),
];

/// Tables with their columns.
pub const TABLES: &[(&str, &[&str])] = &[
    (
        "workflow",
        &[
            "workflow_id",
            "name",
            "current_version_id",
            "created_at",
            "source",
            "max_active_runs",
            "paused",
            "paused_at",
            "paused_by",
            "paused_reason",
            "retired_at",
        ],
    ),
    (
        "workflow_version",
        &["version_id", "workflow_id", "sha256", "source", "path", "compiled", "created_at", "source_id"],
    ),
    (
        "schedule",
        &[
            "workflow_id",
            "version_id",
            "progress",
            "cursor_at",
            "next_fire_at",
            "below",
            "skipped",
            "error",
            "updated_at",
        ],
    ),
    ("skipped_fire", &["skip_id", "workflow_id", "from_at", "until_at", "count", "reason", "at"]),
    ("source_file", &["source", "folder", "path", "workflow", "sha256", "diagnostics", "broken", "since"]),
    (
        "run",
        &[
            "run_id",
            "workflow_id",
            "version_id",
            "run_key",
            "trigger",
            "logical_at",
            "interval_start",
            "interval_end",
            "conf",
            "queue",
            "priority",
            "only_tasks",
            "state",
            "cause",
            "version",
            "stamp",
            "events",
            "generation",
            "created_at",
            "started_at",
            "ended_at",
            "updated_at",
        ],
    ),
    ("run_log", &["run_id", "version", "stamp", "at", "actor", "body"]),
    (
        "task_run",
        &[
            "run_id",
            "task_id",
            "map_index",
            "generation",
            "dispatch_no",
            "try_no",
            "losses",
            "state",
            "cause",
            "started_at",
            "ended_at",
            "expanded_n",
        ],
    ),
    (
        "work",
        &[
            "run_id",
            "task_id",
            "map_index",
            "dispatch_no",
            "try_no",
            "losses",
            "generation",
            "place",
            "due_at",
            "queue",
            "rank",
            "worker_no",
            "attempt_id",
            "claimed_at",
            "cancel_at",
        ],
    ),
    (
        "attempt",
        &[
            "run_id",
            "task_id",
            "map_index",
            "dispatch_no",
            "attempt_id",
            "try_no",
            "generation",
            "worker_no",
            "claimed_at",
            "started_at",
            "ended_at",
            "outcome",
            "cause",
            "class",
            "message",
            "output",
            "ready_at",
        ],
    ),
    (
        "task_item",
        &[
            "run_id",
            "task_id",
            "map_index",
            "dispatch_no",
            "seq",
            "kind",
            "name",
            "state",
            "seconds",
            "value",
            "message",
        ],
    ),
    ("run_metric", &["run_id", "task_id", "name", "labels", "value", "unit"]),
    ("worker", &["worker_no", "name", "host", "pid", "build", "queues", "slots", "state", "lock_no", "lease_until"]),
    ("task_state", &["run_id", "task_id", "map_index", "generation", "name", "value"]),
    ("shared_state", &["scope", "key", "value", "version", "updated_at"]),
    ("bench_commit", &["id", "v", "t"]),
    (
        "user_account",
        &["name", "role", "password_hash", "must_change_password", "disabled", "created_at", "last_login_at"],
    ),
    (
        "session",
        &["id_hash", "user_name", "created_at", "last_seen_at", "idle_until", "expires_at", "address", "user_agent"],
    ),
    (
        "api_token",
        &[
            "token_id",
            "name",
            "role",
            "scopes",
            "hash",
            "prefix",
            "owner",
            "created_by",
            "created_at",
            "expires_at",
            "last_used_at",
        ],
    ),
    ("login_link", &["hash", "purpose", "user_name", "created_at", "expires_at", "used_at"]),
    ("audit", &["seq", "at", "actor", "role", "origin", "action", "subject", "reason", "detail", "prev_hash", "hash"]),
    ("connection", &["name", "kind", "fields", "sealed", "key_id", "version", "updated_at", "updated_by"]),
    (
        "log_chunk",
        &[
            "run_id",
            "task_id",
            "map_index",
            "dispatch_no",
            "byte_offset",
            "first_line",
            "lines",
            "bytes",
            "levels",
            "body",
        ],
    ),
    (
        "attempt_log",
        &[
            "run_id",
            "task_id",
            "map_index",
            "dispatch_no",
            "bytes",
            "lines",
            "error_line",
            "error_offset",
            "error_text",
            "gap_from",
            "gap_until",
            "gap_lines",
            "complete",
            "updated_at",
        ],
    ),
    (
        "version_facts",
        &["version_id", "workflow_id", "number", "tasks", "sha256", "path", "description", "owner", "tags"],
    ),
    ("run_note", &["run_id", "note", "by", "at"]),
    ("idempotency", &["owner", "key", "request", "run_id", "at"]),
];

/// Largest output of an attempt.
pub const OUTPUT_BYTES: usize = 48 * 1024;
/// Largest message of an attempt.
pub const MESSAGE_BYTES: usize = 8 * 1024;
/// Largest message of a task item.
pub const ITEM_MESSAGE_BYTES: usize = 2 * 1024;
/// Largest value of task and shared state.
pub const STATE_BYTES: usize = 16 * 1024;
/// Most bytes of its name.
pub const STATE_NAME_BYTES: usize = 1024;
/// Log rows that a `load` hands out before it prefers the full projection.
pub const TAIL_ROWS: u64 = 64;
/// Time that a worker's lease lasts from a heartbeat on.
pub const LEASE_MS: i64 = 40_000;

/// One migration as a store has it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct MigrationStatus {
    /// Its number.
    pub version: i64,
    /// Its name.
    pub name: String,
    /// Whether it was carried out.
    pub applied: bool,
    /// Whether this build knows it.
    pub known: bool,
}
