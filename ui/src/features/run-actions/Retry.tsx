import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { planRetry, type RetryBody, retryRun } from "../../api/actions";
import { runViewQuery } from "../../api/queries";
import type { RunView } from "../../api/types";
import { ErrorState } from "../../components/Page";
import { StateGlyph } from "../../components/StateGlyph";
import { count } from "../../lib/duration";
import { useZone } from "../../lib/prefs";
import { taskName } from "../../lib/states";
import { dayTime } from "../../lib/time";
import { SearchInput } from "../../ui/Field";
import { Segments } from "../../ui/Tabs";
import { ActSheet } from "./ActSheet";
import { taskRef } from "./schema";
import { useSheet } from "./sheet";

type What = "failed" | "tasks" | "all";

/** `flights_etl, Sun 22 Nov 02:30`. */
export function useRunName(view: RunView | undefined): string {
  const zone = useZone();
  if (!view) return "";
  return `${view.run.workflow}, ${dayTime(view.run.logical_date, zone, Date.now())}`;
}

/** Failed tasks, chosen ones or the whole run, on the pinned or the newest version: said and chosen. */
export default function Retry() {
  const { of: run = "", pick } = useSheet();
  const whole = pick[0] === "*";
  const query = useQuery(runViewQuery(run));
  const view = query.data;
  const [what, setWhat] = useState<What>(whole ? "all" : pick.length > 0 ? "tasks" : "failed");
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set(whole ? [] : pick));
  const [downstream, setDownstream] = useState(true);
  const [version, setVersion] = useState<"pinned" | "newest">("pinned");
  const name = useRunName(view);
  const body: RetryBody | undefined =
    what === "tasks" && chosen.size === 0
      ? undefined
      : {
          what,
          version,
          ...(what === "tasks" ? { tasks: [...chosen].map(taskRef), downstream } : {}),
          ...(what === "failed" ? { downstream: true } : {}),
        };
  const newest = view?.run.version_is_newest ?? true;
  return (
    <ActSheet
      title="Re-run"
      about={name}
      body={body && { run, ...body }}
      plan={() => planRetry(run, body ?? {})}
      act={(reason) => retryRun(run, { ...body, ...(reason ? { reason } : {}) })}
      label={(plan) => plan?.text ?? "Re-run"}
      done={(_run, plan) => `${plan?.text ?? "Re-run"}: under way`}
    >
      <div className="flex">
        <Segments
          label="What to run again"
          value={what}
          options={[
            { value: "failed", text: "Failed + downstream" },
            { value: "tasks", text: "Chosen tasks" },
            { value: "all", text: "Whole run" },
          ]}
          onChange={setWhat}
        />
      </div>
      {query.error && !view && <ErrorState error={query.error} />}
      {what === "tasks" && view && (
        <>
          <TaskPicker view={view} chosen={chosen} onChange={setChosen} />
          <label className="touch flex items-center gap-2">
            <input
              type="checkbox"
              checked={downstream}
              onChange={(event) => setDownstream(event.target.checked)}
            />
            Also everything that depends on them
          </label>
        </>
      )}
      {view &&
        (newest ? (
          <p className="text-ink-2">
            Runs on version {view.run.version}, which is the newest; it is the one that this run is
            pinned to.
          </p>
        ) : (
          <div className="flex flex-col items-start gap-1">
            <Segments
              label="Version to run on"
              value={version}
              options={[
                { value: "pinned", text: `Pinned, version ${view.run.version}` },
                { value: "newest", text: "Newest version" },
              ]}
              onChange={setVersion}
            />
            <p className="text-ink-3 text-xs">
              {version === "pinned"
                ? "As it was: the same file, the same tasks."
                : "With the file as it is now; the preview says what differs."}
            </p>
          </div>
        ))}
    </ActSheet>
  );
}

/** Tasks with their states, failed ones first; many are found by name. */
export function TaskPicker({
  view,
  chosen,
  onChange,
}: {
  view: RunView;
  chosen: ReadonlySet<string>;
  onChange: (chosen: ReadonlySet<string>) => void;
}) {
  const [search, setSearch] = useState("");
  const words = search.toLowerCase();
  const all = view.tasks.filter(
    (task) =>
      task.map_index == null ||
      chosen.has(taskName(task.task, task.map_index)) ||
      task.state === "failed",
  );
  const rows = all
    .filter((task) => taskName(task.task, task.map_index).toLowerCase().includes(words))
    .sort((a, b) => Number(b.state === "failed") - Number(a.state === "failed"));
  const toggle = (name: string) => {
    const next = new Set(chosen);
    if (!next.delete(name)) next.add(name);
    onChange(next);
  };
  return (
    <fieldset className="flex min-w-0 flex-col gap-2">
      <legend className="mb-1 font-medium">{count(chosen.size, "task")} chosen</legend>
      {all.length > 12 && (
        <SearchInput
          label="Find a task"
          value={search}
          onChange={(event) => setSearch(event.target.value)}
        />
      )}
      <div className="max-h-64 overflow-y-auto rounded-md border border-line">
        {rows.map((task) => {
          const name = taskName(task.task, task.map_index);
          return (
            <label
              key={name}
              className="touch flex min-h-8 w-full items-center gap-2 border-line border-b px-3 last:border-b-0 hover:bg-hover"
            >
              <input type="checkbox" checked={chosen.has(name)} onChange={() => toggle(name)} />
              <StateGlyph state={task.state} />
              <span className="min-w-0 [overflow-wrap:anywhere]">{name}</span>
            </label>
          );
        })}
      </div>
    </fieldset>
  );
}
