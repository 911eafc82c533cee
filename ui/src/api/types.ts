/**
 * The words and shapes of the HTTP contract, as the UI reads them.
 *
 * One exported name per thing; optional fields may be absent or `null`. Times are RFC 3339 in UTC,
 * durations are seconds.
 */

export type Time = string;
export type RunId = string;
export type RunState =
  | "queued"
  | "running"
  | "succeeded"
  | "failed"
  | "cancelling"
  | "cancelled"
  | "broken";
export type TaskState =
  | "waiting"
  | "ready"
  | "running"
  | "retry_wait"
  | "deferred"
  | "succeeded"
  | "failed"
  | "skipped"
  | "upstream_failed"
  | "cancelled"
  | "removed";
export type Outcome =
  | "succeeded"
  | "skipped"
  | "deferred"
  | "failed"
  | "timed_out"
  | "lost"
  | "cancelled";
export type Trigger = "schedule" | "manual" | "backfill" | "asset" | "event" | "api";
export type Role = "viewer" | "operator" | "editor" | "admin";
export type Attention = "failing" | "late" | "running" | "ok" | "paused" | "none";

/** A JSON Schema, as far as the forms read one. */
export interface JsonSchema {
  type?: string | string[];
  title?: string;
  description?: string;
  default?: unknown;
  enum?: unknown[];
  const?: unknown;
  format?: string;
  minimum?: number;
  maximum?: number;
  minLength?: number;
  maxLength?: number;
  pattern?: string;
  properties?: Record<string, JsonSchema>;
  required?: string[];
  items?: JsonSchema;
  writeOnly?: boolean;
  "x-secret"?: boolean;
  examples?: unknown[];
}

export interface Me {
  name: string;
  kind: "user" | "token" | "local";
  role: Role;
  must_change_password?: boolean | null;
  expires_at?: Time | null;
  zone?: string | null;
}

export interface Problem {
  type: string;
  title: string;
  status: number;
  detail: string;
  code: string;
  hint?: string | null;
  errors?: Diagnostic[] | null;
  request_id: string;
}

export interface List<T> {
  items: T[];
  next: string | null;
}

// ---- home

export interface Home {
  now: Time;
  window: { since: Time; until: Time; label: string };
  counts: {
    failed: number;
    late: number;
    running: number;
    queued: number;
    waiting_tasks: number;
    succeeded: number;
    skipped_fires: number;
  };
  incidents: Incident[];
  running: RunSummary[];
  waiting: WaitingTask[];
  next: NextFire[];
  late: LateFire[];
  broken_files: FileDiagnostics[];
  health: HealthItem[];
}

export type IncidentKind =
  | "run_failed"
  | "masked_failure"
  | "run_broken"
  | "worker_lost"
  | "late"
  | "file_broken"
  | "fires_skipped";

export interface Incident {
  id: string;
  kind: IncidentKind;
  workflow: string;
  run?: RunId | null;
  task?: string | null;
  map_index?: number | null;
  at: Time;
  attempt?: number | null;
  attempts?: number | null;
  cause: string;
  error_class?: string | null;
  line?: string | null;
  log_line?: number | null;
  blocked: number;
  trigger?: Trigger | null;
  logical_date?: Time | null;
  since?: Time | null;
  failures_in_row?: number | null;
  retry?: { label: string; tasks: number } | null;
}

export interface WaitingTask {
  workflow: string;
  run?: RunId | null;
  task?: string | null;
  map_index?: number | null;
  state: TaskState | "queued";
  since: Time;
  reason: Reason;
}

export interface Holder {
  run?: RunId | null;
  task?: string | null;
  map_index?: number | null;
  since?: Time | null;
}

export type ReasonKind =
  | "max_active_tasks"
  | "max_active_runs"
  | "upstream"
  | "trigger_rule"
  | "no_worker"
  | "slots"
  | "retry"
  | "paused"
  | "schedule"
  | "deferred"
  | "queue"
  | "overlap"
  | "cancelling";

export interface Reason {
  kind: ReasonKind;
  text: string;
  holders: Holder[];
  position?: number | null;
  of?: number | null;
  until?: Time | null;
  usual_seconds?: number | null;
}

export interface NextFire {
  workflow: string;
  at: Time;
  in_seconds: number;
  schedule: string;
}

export interface LateFire {
  workflow: string;
  due: Time;
  late_seconds: number;
  reason: string;
}

export interface HealthItem {
  name: "store" | "scheduler" | "workers" | "catalog" | "api";
  state: "ok" | "warn" | "down";
  text: string;
}

// ---- workflows

export interface WorkflowSummary {
  id: string;
  description?: string | null;
  owner?: string | null;
  tags: string[];
  paused: boolean;
  state: "active" | "retired";
  attention: Attention;
  schedule?: { text: string; words: string; timezone: string } | null;
  next_fire?: Time | null;
  recent: RunBar[];
  last_run?: RunSummary | null;
  median_seconds?: number | null;
  p95_seconds?: number | null;
  why_not?: string | null;
  diagnostics: number;
  version: number;
  path: string;
}

export interface WorkflowList extends List<WorkflowSummary> {
  tags: string[];
}

export interface RunBar {
  id: RunId;
  state: RunState;
  trigger: Trigger;
  logical_date: Time;
  seconds?: number | null;
  wait_seconds?: number | null;
  masked: boolean;
  attempts_extra: number;
}

export interface WorkflowTask {
  id: string;
  type: string;
  depends_on: string[];
  trigger_rule: string;
  conn?: string | null;
}

export interface Workflow extends WorkflowSummary {
  params_schema: JsonSchema;
  last_params?: Record<string, unknown> | null;
  tasks: WorkflowTask[];
  catchup: string;
  data_interval: "window" | "point";
  max_active_runs: number;
  max_active_tasks?: number | null;
  overlap: string;
  timeout_seconds?: number | null;
  start_date?: string | null;
  end_date?: string | null;
  diagnostics_list: Diagnostic[];
  versions: number;
  skipped_fires: number;
  sha256: string;
  source_id?: string | null;
}

export interface Diagnostic {
  code: string;
  severity: "error" | "warning";
  message: string;
  path: string;
  line: number;
  column: number;
  end_line?: number | null;
  end_column?: number | null;
  hint?: string | null;
  excerpt?: string | null;
  /** Set on request errors: the JSON pointer of the field. */
  pointer?: string | null;
}

export interface FileDiagnostics {
  path: string;
  workflow?: string | null;
  since: Time;
  kept_version?: number | null;
  diagnostics: Diagnostic[];
}

export interface GridTask {
  id: string;
  type: string;
  depth: number;
  removed?: boolean | null;
}

export interface Grid {
  workflow: string;
  tasks: GridTask[];
  runs: GridRun[];
  more: boolean;
  median_seconds?: number | null;
  planned: Time[];
}

export interface GridRun {
  id: RunId;
  state: RunState;
  trigger: Trigger;
  logical_date: Time;
  created_at: Time;
  started_at?: Time | null;
  ended_at?: Time | null;
  seconds?: number | null;
  wait_seconds?: number | null;
  version: number;
  version_changed: boolean;
  masked: boolean;
  generation: number;
  /** One character per task, in order of `tasks`; see `lib/states.ts`. */
  cells: string;
  extra: Record<string, CellExtra>;
}

export interface CellExtra {
  /** Attempts, if more than one. */
  a?: number | null;
  /** Queue wait, ms. */
  w?: number | null;
  /** Run time, ms. */
  m?: number | null;
  /** Mapped instances: all, succeeded, failed, running. */
  n?: number | null;
  ns?: number | null;
  nf?: number | null;
  nr?: number | null;
  /** Error line, short. */
  e?: string | null;
}

export interface GraphNode {
  id: string;
  type: string;
  x: number;
  y: number;
  width: number;
  height: number;
  conn?: string | null;
  trigger_rule?: string | null;
}

export interface GraphEdge {
  from: string;
  to: string;
  points: [number, number][];
}

export interface Graph {
  width: number;
  height: number;
  nodes: GraphNode[];
  edges: GraphEdge[];
  text?: string | null;
}

export interface DurationPoint {
  run: RunId;
  at: Time;
  seconds?: number | null;
  wait_seconds?: number | null;
  state: RunState;
  trigger: Trigger;
  version: number;
}

export interface TaskDurations {
  task: string;
  median_seconds?: number | null;
  p95_seconds?: number | null;
  wait_median_seconds?: number | null;
  retries: number;
  failures: number;
  runs: number;
}

export interface Durations {
  points: DurationPoint[];
  median_seconds?: number | null;
  p95_seconds?: number | null;
  tasks: TaskDurations[];
}

export interface CalendarDay {
  date: string;
  succeeded: number;
  failed: number;
  other: number;
}

export interface Calendar {
  year: number;
  zone: string;
  days: CalendarDay[];
  planned: { date: string; count: number }[];
  failing_days: number;
}

export interface PreviewFire {
  at: Time;
  local: string;
  offset: string;
  logical_date: Time;
  interval: { start: Time; end: Time };
  note?: string | null;
}

export interface SkippedFires {
  from: Time;
  until: Time;
  count: number;
  reason: string;
  at: Time;
}

export interface SchedulePreview {
  workflow: string;
  text?: string | null;
  words?: string | null;
  timezone?: string | null;
  tzdb: string;
  kind: "fixed" | "interval" | "every" | "dates" | "once" | "continuous" | "none";
  dst: { gap: string; overlap: string };
  catchup: string;
  paused: boolean;
  start_date?: string | null;
  end_date?: string | null;
  next: PreviewFire[];
  cursor?: Time | null;
  skipped: { total: number; recent: SkippedFires[] };
}

export interface VersionSummary {
  version: number;
  sha256: string;
  created_at: Time;
  path: string;
  current: boolean;
  runs?: number | null;
}

export interface VersionSource {
  version: number;
  sha256: string;
  source: string;
  path: string;
  created_at: Time;
  diagnostics: Diagnostic[];
}

// ---- runs

export interface FailureLine {
  task: string;
  map_index?: number | null;
  attempt: number;
  attempts: number;
  class?: string | null;
  line: string;
}

export interface RunSummary {
  id: RunId;
  workflow: string;
  state: RunState;
  cause?: string | null;
  trigger: Trigger;
  logical_date: Time;
  data_interval: { start: Time; end: Time };
  created_at: Time;
  started_at?: Time | null;
  ended_at?: Time | null;
  seconds?: number | null;
  wait_seconds?: number | null;
  version: number;
  generation: number;
  by: string;
  note?: string | null;
  masked: boolean;
  attempts_extra: number;
  failure?: FailureLine | null;
  usual_seconds?: number | null;
  tasks_done: number;
  tasks_total: number;
}

export interface ActionHint {
  label: string;
  tasks: number;
}

export interface Run extends RunSummary {
  params: Record<string, unknown>;
  run_key: string;
  queue: string;
  priority: number;
  version_is_newest: boolean;
  sha256: string;
  path: string;
  sentence: string;
  events: number;
  run_version: number;
  actions: {
    retry?: ActionHint | null;
    cancel?: ActionHint | null;
    rerun?: ActionHint | null;
    mark?: ActionHint | null;
    repair?: ActionHint | null;
  };
}

export interface RunView {
  run: Run;
  tasks: TaskRun[];
  graph: Graph;
  usual: {
    seconds?: number | null;
    tasks: Record<string, { start_seconds: number; seconds: number }>;
  };
  critical_path: string[];
  previous?: RunId | null;
  next?: RunId | null;
}

export interface TaskRun {
  task: string;
  map_index?: number | null;
  type: string;
  state: TaskState;
  cause?: string | null;
  cause_words?: string | null;
  generation: number;
  depends_on: string[];
  error?: { class: string; message: string; line: string; log_line?: number | null } | null;
  started_at?: Time | null;
  ended_at?: Time | null;
  seconds?: number | null;
  wait_seconds?: number | null;
  attempts: Attempt[];
  expanded_n?: number | null;
  instances?: {
    total: number;
    succeeded: number;
    failed: number;
    running: number;
    waiting: number;
  } | null;
  reason?: Reason | null;
  output_bytes?: number | null;
  retry_at?: Time | null;
  items?: { pass: number; warn: number; fail: number } | null;
}

export interface Attempt {
  n: number;
  dispatch_no: number;
  try_no: number;
  generation: number;
  outcome?: Outcome | null;
  state?: "running" | "ready" | "retry_wait" | null;
  cause?: string | null;
  cause_words: string;
  class?: string | null;
  message?: string | null;
  worker?: string | null;
  claimed_at?: Time | null;
  started_at?: Time | null;
  ended_at?: Time | null;
  ready_at?: Time | null;
  wait_seconds?: number | null;
  seconds?: number | null;
  log: boolean;
}

export interface ResultItem {
  kind: string;
  name: string;
  state: string;
  seconds?: number | null;
  value?: unknown;
  message?: string | null;
}

export interface Metric {
  name: string;
  value: number;
  unit?: string | null;
  labels?: Record<string, string> | null;
}

export interface DatasetPreview {
  name: string;
  uri: string;
  format: string;
  rows?: number | null;
  bytes?: number | null;
  sha256?: string | null;
  columns: { name: string; type: string; nulls?: number | null }[];
  sample?: unknown[][] | null;
  error?: string | null;
}

export interface TaskHistoryPoint {
  run: RunId;
  state: TaskState;
  seconds?: number | null;
  attempts: number;
  logical_date: Time;
}

export interface TaskRunView {
  run: RunSummary;
  task_run: TaskRun;
  params_written: Record<string, unknown>;
  params_rendered?: Record<string, unknown> | null;
  params_previous?: Record<string, unknown> | null;
  output?: unknown;
  output_schema?: JsonSchema | null;
  items: ResultItem[];
  metrics: Metric[];
  datasets: DatasetPreview[];
  siblings: { task: string; map_index?: number | null; state: TaskState }[];
  upstream: { task: string; state: TaskState }[];
  downstream: string[];
  history: TaskHistoryPoint[];
  log_head?: LogPage | null;
  instances?: TaskRun[] | null;
}

export interface LogLine {
  at: Time;
  level: "debug" | "info" | "warn" | "error";
  stream: "task" | "stdout" | "stderr";
  line: number;
  offset: number;
  text: string;
}

export interface LogPage {
  bytes: number;
  lines?: number | null;
  complete: boolean;
  first_error?: { line: number; offset: number } | null;
  items: LogLine[];
}

export interface RunEvent {
  version: number;
  at: Time;
  actor: string;
  events: Record<string, unknown>[];
}

export interface PlanTask {
  task: string;
  map_index?: number | null;
  state: TaskState;
  effect: "rerun" | "cancel" | "stop" | "remove" | "mark" | "start";
  why: string;
}

export interface Plan {
  action: string;
  text: string;
  run?: RunId | null;
  workflow?: string | null;
  version?: { from: number; to: number } | null;
  tasks: PlanTask[];
  runs: number;
  estimate_seconds?: number | null;
  warnings: string[];
}

// ---- connections

export type FieldSource = "environment" | "file" | "store" | "default" | "unset";

export interface ConnectionField {
  name: string;
  source: FieldSource;
  secret: boolean;
  value?: unknown;
  set: boolean;
}

export interface Connection {
  name: string;
  kind: string;
  source: "environment" | "file" | "store";
  fields: ConnectionField[];
  used_by: { workflow: string; task: string }[];
  updated_at?: Time | null;
  updated_by?: string | null;
  error?: string | null;
}

export interface ConnectionList {
  items: Connection[];
  kinds: string[];
}

export interface ConnectionKind {
  kind: string;
  summary: string;
  schema: JsonSchema;
}

export interface ConnectionTest {
  ok: boolean;
  text: string;
  checks: { address: string; ok: boolean; text: string }[];
}

// ---- users, tokens, audit

export interface User {
  name: string;
  role: Role;
  created_at: Time;
  last_login_at?: Time | null;
  disabled: boolean;
  link?: string | null;
}

export interface ApiToken {
  id: string;
  name: string;
  role: Role;
  scopes: string[];
  created_at: Time;
  expires_at?: Time | null;
  last_used_at?: Time | null;
  created_by: string;
  prefix: string;
  token?: string | null;
}

export interface AuditEntry {
  seq: number;
  at: Time;
  actor: string;
  role?: string | null;
  from: string;
  action: string;
  subject: string;
  reason?: string | null;
  detail: Record<string, unknown>;
  hash: string;
}

export interface AuditVerdict {
  ok: boolean;
  entries: number;
  first_bad?: number | null;
}

// ---- status

export interface Worker {
  no: number;
  name: string;
  host: string;
  pid: number;
  build: string;
  state: "active" | "suspect" | "draining" | "dead" | "gone";
  slots: number;
  busy: number;
  queues: string[];
  lease_until: Time;
  last_seen_seconds?: number | null;
  evidence?: boolean | null;
}

export interface Status {
  version: string;
  build: string;
  started_at: Time;
  now: Time;
  store: {
    kind: string;
    ok: boolean;
    latency_ms?: number | null;
    schema: number;
    size_bytes?: number | null;
    durable?: boolean | null;
    text: string;
  };
  tzdb: string;
  workers: Worker[];
  queues: { queue: string; ready: number; executing: number; oldest_seconds?: number | null }[];
  schedules: { total: number; due: number; next?: Time | null; skipped_fires: number };
  catalog: {
    workflows: number;
    files: number;
    broken: FileDiagnostics[];
    conflicts: {
      workflow: string;
      sources: { path: string; sha256: string; by: string; at: Time }[];
    }[];
    loaded_at?: Time | null;
  };
  upkeep: { name: string; last?: Time | null; next?: Time | null; text: string }[];
}
