// The planted workflows: the cases of the anchors' list, a year of a wide one, and many quiet ones.

import { chance, DAY, HOUR, MIN, PLANTED } from "./base.mjs";

const task = (id, type, depends_on = [], more = {}) => ({
  id,
  type,
  depends_on,
  trigger_rule: "all_success",
  seconds: 3,
  ...more,
});

const REGIONS = 20;
const flights = [
  task("aircraft_registry", "http_fetch", [], { seconds: 8, conn: "opensky" }),
  task("list_regions", "python", [], { seconds: 2 }),
  task("fetch_region", "http_fetch", ["list_regions"], {
    seconds: 14,
    mapped: REGIONS,
    conn: "opensky",
  }),
  task("row_counts", "quality", ["fetch_region", "aircraft_registry"], {
    seconds: 9,
    conn: "warehouse",
  }),
  task("schema", "quality", ["fetch_region"], { seconds: 3, conn: "warehouse" }),
  task("choose_path", "branch", ["row_counts", "schema"], { seconds: 1 }),
  task("full_refresh", "sql", ["choose_path"], {
    seconds: 22,
    conn: "warehouse",
    branch: "weekly",
  }),
  task("incremental", "sql", ["choose_path"], { seconds: 12, conn: "warehouse", branch: "daily" }),
  task("loaded", "empty", ["full_refresh", "incremental"], {
    seconds: 0.2,
    trigger_rule: "none_failed_min_one_success",
  }),
  task("dim_aircraft", "dbt", ["loaded"], { seconds: 11, conn: "warehouse" }),
  task("fct_flights", "dbt", ["loaded"], { seconds: 19, conn: "warehouse" }),
  task("agg_airports", "dbt", ["dim_aircraft", "fct_flights"], { seconds: 8, conn: "warehouse" }),
  task("publish_metrics", "kafka_publish", ["agg_airports"], {
    seconds: 3,
    trigger_rule: "all_done",
    conn: "kafka",
  }),
];

function layers(names, width, type) {
  const tasks = [];
  names.forEach((name, layer) => {
    for (let i = 0; i < width(layer); i++) {
      const r = chance(`${name}${i}`);
      const before = tasks.filter((t) => t.layer === layer - 1);
      const deps = before.length
        ? [...new Set([0, 1].map(() => before[Math.floor(r() * before.length)].id))]
        : [];
      tasks.push(
        task(`${name}_${String(i).padStart(2, "0")}`, type(layer), deps, {
          layer,
          seconds: 1 + r() * 12,
          conn: "warehouse",
        }),
      );
    }
  });
  return tasks;
}

const ROWS = "row count 922 906 is 61 % below the 7-day mean of 2 364 118 (limit 30 %)";
const nov = (d) => `2026-11-${String(d).padStart(2, "0")}`;
const FLAKY = new Set(["2026-10-24", "2026-10-28", nov(2), nov(8), nov(15), nov(18)]);

const failedQuality = (tries) => ({
  state: "failed",
  attempts: Array.from({ length: tries }, () => ({
    outcome: "failed",
    seconds: 9,
    class: "quality",
    cause: "quality_failed",
    words: `quality check failed: ${ROWS}`,
    message: ROWS,
  })),
});

/** What happened otherwise than usual in `flights_etl`. */
function flightsCase(run, t) {
  const d = run.date;
  if (t.id === "row_counts") {
    if (
      d === nov(21) ||
      d === nov(22) ||
      d === nov(10) ||
      d === "2026-10-30" ||
      run.trigger === "backfill"
    )
      return failedQuality(3);
    if (FLAKY.has(d))
      return {
        attempts: [
          {
            outcome: "failed",
            seconds: 9,
            class: "quality",
            cause: "quality_failed",
            words: "quality check failed: 3 regions arrived late",
            message: "3 regions arrived late",
          },
          { outcome: "succeeded", seconds: 9 },
        ],
      };
  }
  if (t.id === "aircraft_registry" && d === nov(19))
    return {
      attempts: [
        {
          outcome: "lost",
          seconds: null,
          cause: "worker_lost",
          words: "lost before it started: worker w-3 stopped answering at 02:30:12",
          class: "lost",
          worker: "w-3",
          log: false,
        },
        { outcome: "succeeded", seconds: 8 },
      ],
    };
  if (t.id === "fetch_region" && d === nov(5)) return { failedInstances: [7] };
  return undefined;
}

const modelsCase = (run, t) =>
  run.age <= 2 && t.id === "mart_03"
    ? {
        state: "failed",
        attempts: [1, 2].map(() => ({
          outcome: "failed",
          seconds: 4,
          class: "permanent",
          cause: "task_failed",
          words: 'failed: column "icao24" does not exist in stg_states (added 22 Nov)',
          message:
            'Database error in model mart_03: column "icao24" does not exist\n  LINE 14: select icao24, count(*) from stg_states',
        })),
      }
    : undefined;

const compactCase = (run, t) => {
  if (t.id === "vacuum" && run.age % 17 === 4)
    return {
      attempts: [
        {
          outcome: "timed_out",
          seconds: 60,
          class: "timeout",
          cause: "timeout",
          words: "timed out after 1 m",
          message: "time-out of 1 m reached",
        },
        { outcome: "succeeded", seconds: 12 },
      ],
    };
  if (t.id === "archive" && run.age === 9)
    return {
      state: "failed",
      attempts: [
        {
          outcome: "failed",
          seconds: 2,
          class: "transient",
          cause: "task_failed",
          words: "failed: object store answered 503 three times",
          message: "PUT s3://adsb/archive/2026-11-23/17.parquet: 503 Slow Down",
        },
      ],
    };
  return undefined;
};

const PARAMS = {
  type: "object",
  required: ["airport"],
  properties: {
    airport: {
      type: "string",
      title: "Airport",
      description: "ICAO code, four letters.",
      pattern: "^[A-Z]{4}$",
      default: "EDDB",
    },
    day: {
      type: "string",
      format: "date",
      title: "Day",
      description: "The day that the report is about.",
      default: "2026-11-22",
    },
    kind: {
      type: "string",
      title: "Kind",
      enum: ["arrivals", "departures", "both"],
      default: "both",
    },
    limit: { type: "integer", title: "Rows", minimum: 1, maximum: 10000, default: 500 },
    email: { type: "boolean", title: "Send by e-mail", default: false },
  },
};

const day = (hour, minute) => (ms) => {
  const d = new Date(ms);
  const at = Date.UTC(d.getUTCFullYear(), d.getUTCMonth(), d.getUTCDate(), hour, minute);
  return at <= ms ? at : at - DAY;
};

function base(id, tasks, more) {
  return {
    id,
    tasks,
    owner: "data-platform",
    tags: [],
    paused: false,
    description: "",
    period: DAY,
    count: 30,
    last: day(2, 30),
    versions: 1,
    params_schema: { type: "object", properties: {} },
    max_active_runs: 16,
    max_active_tasks: null,
    catchup: "latest",
    path: `workflows/${id}.yaml`,
    special: () => undefined,
    ...more,
  };
}

const WORDS =
  "airport runway weather metar taf fleet crew fuel gate cargo noise emissions billing landing slot radar beacon waypoint corridor delay".split(
    " ",
  );
const VERBS = "ingest clean export score sync report archive publish".split(" ");
const OWNERS = ["data-platform", "analytics", "ml", "ops", "finance"];

function filler(i) {
  const id = `${WORDS[i % WORDS.length]}_${VERBS[Math.floor(i / WORDS.length) % VERBS.length]}${i >= 160 ? `_${Math.floor(i / 160)}` : ""}`;
  const r = chance(id);
  const hour = Math.floor(r() * 24);
  const minute = Math.floor(r() * 12) * 5;
  const n = 3 + Math.floor(r() * 5);
  const tasks = Array.from({ length: n }, (_, k) =>
    task(
      ["extract", "validate", "load", "model", "test", "publish", "notify", "clean"][k],
      ["http_fetch", "quality", "sql", "dbt"][k % 4],
      k
        ? [["extract", "validate", "load", "model", "test", "publish", "notify", "clean"][k - 1]]
        : [],
      { seconds: 2 + r() * 40 },
    ),
  );
  return base(id, tasks, {
    owner: OWNERS[Math.floor(r() * OWNERS.length)],
    tags: [WORDS[i % WORDS.length], r() < 0.3 ? "tier-1" : "tier-2"],
    count: 20,
    last: day(hour, minute),
    schedule: {
      text: `${minute} ${hour} * * *`,
      words: `every day at ${String(hour).padStart(2, "0")}:${String(minute).padStart(2, "0")} UTC`,
      timezone: "UTC",
    },
    paused: r() < 0.05,
    description: `${VERBS[Math.floor(i / WORDS.length) % VERBS.length]} of ${WORDS[i % WORDS.length]} data`,
  });
}

export function plant(many) {
  const daily = (text, words, timezone = "UTC") => ({ text, words, timezone });
  const list = [
    base("flights_etl", flights, {
      tags: ["flights", "tier-1"],
      count: 35,
      versions: 2,
      versionAt: Date.parse("2026-11-11T00:00:00Z"),
      special: flightsCase,
      description: "Yesterday's flights of all regions, checked, loaded and modelled",
      schedule: daily("30 2 * * *", "every day at 02:30 UTC"),
      max_active_runs: 3,
      backfills: [{ at: PLANTED - 3 * HOUR, logical: Date.parse("2026-08-14T02:30:00Z") }],
    }),
    base(
      "warehouse_models",
      layers(
        ["stg", "int", "core", "mart", "check", "export"],
        (l) => [28, 26, 24, 20, 12, 10][l],
        () => "dbt",
      ),
      {
        tags: ["dbt", "tier-1"],
        owner: "analytics",
        last: day(4, 0),
        versions: 2,
        versionAt: Date.parse("2026-11-16T00:00:00Z"),
        special: modelsCase,
        description: "All dbt models of the warehouse",
        schedule: daily("0 4 * * *", "every day at 04:00 Europe/Berlin", "Europe/Berlin"),
      },
    ),
    base(
      "adsb_compaction",
      [
        task("list_files", "python", [], { seconds: 2 }),
        task("compact", "spark", ["list_files"], { seconds: 40 }),
        task("vacuum", "sql", ["compact"], { seconds: 12 }),
        task("archive", "s3_copy", ["compact"], { seconds: 6 }),
        task("report", "python", ["vacuum", "archive"], { seconds: 1, trigger_rule: "all_done" }),
      ],
      {
        tags: ["lake"],
        owner: "ops",
        period: 20 * MIN,
        count: 120,
        last: (ms) => ms - (ms % (20 * MIN)),
        special: compactCase,
        description: "Small files of the lake into large ones",
        schedule: daily("*/20 * * * *", "every 20 minutes"),
      },
    ),
    base(
      "clickhouse_rebuild",
      [
        task("rebuild", "sql", [], { seconds: 5400, mapped: 8, conn: "clickhouse" }),
        task("swap", "sql", ["rebuild"], { seconds: 4, conn: "clickhouse" }),
      ],
      {
        tags: ["heavy"],
        owner: "analytics",
        count: 5,
        period: 7 * DAY,
        trigger: "manual",
        max_active_tasks: 2,
        schedule: null,
        live: "rebuild",
        last: () => PLANTED - 18 * MIN,
        description: "Rebuilds the eight big tables, two at a time",
      },
    ),
    base(
      "position_reports",
      [
        task("poll", "http_fetch", [], { seconds: 20, conn: "opensky" }),
        task("decode", "python", ["poll"], { seconds: 30 }),
        task("enrich", "sql", ["decode"], { seconds: 35 }),
        task("publish", "kafka_publish", ["enrich"], { seconds: 6, conn: "kafka" }),
      ],
      {
        tags: ["live", "tier-1"],
        owner: "ops",
        period: 5 * MIN,
        count: 150,
        last: (ms) => ms - (ms % (5 * MIN)),
        live: "now",
        description: "Positions of the last five minutes",
        schedule: daily("*/5 * * * *", "every 5 minutes"),
      },
    ),
    base(
      "airport_report",
      [
        task("collect", "sql", [], { seconds: 9 }),
        task("render", "python", ["collect"], { seconds: 4 }),
        task("send", "email", ["render"], { seconds: 1 }),
      ],
      {
        tags: ["report"],
        owner: "ops",
        schedule: null,
        trigger: "manual",
        count: 9,
        period: 3 * DAY,
        params_schema: PARAMS,
        last_params: {
          airport: "EDDM",
          day: "2026-11-20",
          kind: "arrivals",
          limit: 200,
          email: true,
        },
        description: "The report of one airport, by hand",
      },
    ),
    base(
      "delay_features",
      [
        task("features", "python", [], { seconds: 60 }),
        task("train", "python", ["features"], { seconds: 400 }),
      ],
      {
        tags: ["ml"],
        owner: "ml",
        paused: true,
        pausedWhy: "paused by mira 6 d ago: waits for the new label set",
        last: (ms) => day(6, 0)(ms) - 6 * DAY,
        description: "Features and model of delays",
        schedule: daily("0 6 * * *", "every day at 06:00 UTC"),
      },
    ),
    base(
      "year_matrix",
      layers(
        ["in", "clean", "join", "score", "out"],
        () => 40,
        (l) => ["http_fetch", "python", "sql", "python", "sql"][l],
      ),
      {
        tags: ["wide"],
        owner: "ml",
        count: 365,
        last: day(1, 0),
        description: "200 tasks a day, for a year",
        versions: 4,
        schedule: daily("0 1 * * *", "every day at 01:00 UTC"),
        special: (run, t) => {
          const r = chance(`${run.date}${t.id}y`)();
          if (r < 0.0007)
            return {
              state: "failed",
              attempts: [
                {
                  outcome: "failed",
                  seconds: 2,
                  class: "permanent",
                  cause: "task_failed",
                  words: "failed: bad record",
                  message: "bad record at byte 1 024",
                },
              ],
            };
          return r < 0.004
            ? {
                attempts: [
                  {
                    outcome: "failed",
                    seconds: 2,
                    class: "transient",
                    cause: "task_failed",
                    words: "failed: connection reset",
                    message: "connection reset by peer",
                  },
                  { outcome: "succeeded", seconds: 3 },
                ],
              }
            : undefined;
        },
      },
    ),
    base(
      "nightly_sla",
      [
        task("wait_for_feed", "sensor", [], { seconds: 30 }),
        task("load", "sql", ["wait_for_feed"], { seconds: 20 }),
      ],
      {
        tags: ["tier-1"],
        owner: "finance",
        last: (ms) => day(20, 15)(ms) - DAY,
        late: {
          due: Date.parse("2026-11-23T20:15:00Z"),
          reason: "max_active_runs 1 is held by the run of 22 Nov, running for 24 h 29 m",
        },
        description: "The feed of the settlement bank",
        schedule: daily("15 20 * * *", "every day at 20:15 UTC"),
        max_active_runs: 1,
      },
    ),
  ];
  for (let i = 0; list.length < many; i++) list.push(filler(i));
  return list;
}
