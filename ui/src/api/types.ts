/**
 * The names of the HTTP contract, as aliases of what is generated from the server's OpenAPI (`npm run api`;
 * `npm run api:check` says whether it is current). Times are RFC 3339 in UTC, durations are seconds.
 *
 * Where the document says only "object" (a JSON Schema, params) the alias says more.
 */

import type { components } from "./schema";

type S = components["schemas"];

/** `T` with some fields said more exactly. */
type With<T, Fields> = Omit<T, keyof Fields> & Fields;

export type Time = string;
export type RunId = string;

export interface List<T> {
  items: T[];
  next?: string | null;
}

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

export type RunState = S["RunState"];
export type TaskState = S["TaskState"];
export type Outcome = S["Outcome"];
export type Trigger = S["Trigger"];
export type Role = S["Role"];
export type Attention = S["Attention"];
export type Me = S["Me"];
export type Problem = S["Problem"];
export type Home = S["Home"];
export type IncidentKind = S["IncidentKind"];
export type Incident = S["Incident"];
export type WaitingTask = S["WaitingTask"];
export type Holder = S["ReasonHolder"];
export type ReasonKind = S["ReasonKind"];
export type Reason = S["Reason"];
export type NextFire = S["NextFire"];
export type LateFire = S["LateFire"];
export type HealthItem = S["HealthItem"];
export type WorkflowSummary = S["WorkflowSummary"];
export type WorkflowList = S["WorkflowPage"];
export type RunBar = S["RunBar"];
export type WorkflowTask = S["WorkflowTask"];
export type Workflow = With<
  S["Workflow"],
  { params_schema: JsonSchema; last_params?: Record<string, unknown> | null }
>;
export type WorkflowView = With<S["WorkflowView"], { workflow: Workflow; graph?: Graph | null }>;
export type Diagnostic = S["Diagnostic"];
export type FileDiagnostics = S["FileDiagnostics"];
export type GridTask = S["GridTask"];
export type Grid = S["Grid"];
export type GridRun = S["GridRun"];
export type CellExtra = S["CellExtra"];
export type GraphNode = S["GraphNode"];
export type GraphEdge = With<S["GraphEdge"], { points: [number, number][] }>;
export type Graph = With<S["Graph"], { edges: GraphEdge[] }>;
export type DurationPoint = S["DurationPoint"];
export type TaskDurations = S["TaskDurations"];
export type Durations = S["Durations"];
export type CalendarDay = S["CalendarDay"];
export type Calendar = S["Calendar"];
export type PreviewFire = S["Fire"];
export type SkippedFires = S["SkippedSpan"];
export type SchedulePreview = S["SchedulePreview"];
export type VersionSummary = S["Version"];
export type VersionSource = S["VersionDetail"];
export type FailureLine = S["FailureLine"];
export type RunSummary = S["RunSummary"];
export type ActionHint = S["ActionHint"];
export type Run = With<S["Run"], { params: Record<string, unknown> }>;
export type RunView = With<S["RunView"], { run: Run; graph: Graph }>;
export type TaskRun = S["TaskRun"];
export type Attempt = S["Attempt"];
export type ResultItem = S["Item"];
export type Metric = S["Metric"];
export type DatasetPreview = S["DatasetPreview"];
export type TaskHistoryPoint = S["TaskHistory"];
export type TaskRunView = With<
  S["TaskRunView"],
  {
    params_written: Record<string, unknown>;
    params_rendered?: Record<string, unknown> | null;
    params_previous?: Record<string, unknown> | null;
    output_schema?: JsonSchema | null;
  }
>;
export type LogLine = S["LogLine"];
export type LogPage = S["LogPage"];
export type RunEvent = S["EventEntry"];
export type PlanTask = S["PlanTask"];
export type Plan = S["Plan"];
export type FieldSource = S["FieldSource"];
export type ConnectionField = S["ConnectionField"];
export type Connection = S["Connection"];
export type ConnectionKind = With<S["ConnectionKind"], { schema: JsonSchema }>;
export type ConnectionList = With<S["ConnectionList"], { forms?: ConnectionKind[] | null }>;
export type ConnectionTest = S["ConnectionTest"];
export type User = S["User"] & Partial<Pick<S["UserMade"], "link">>;
export type ApiToken = S["Token"] & Partial<Pick<S["TokenMade"], "token">>;
export type Accounts = S["Accounts"];
export type AuditEntry = S["AuditEntry"];
export type AuditVerdict = S["AuditVerdict"];
export type Worker = S["WorkerStatus"];
export type Status = S["Status"];
