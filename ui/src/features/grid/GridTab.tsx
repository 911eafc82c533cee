import { useQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { useEffect, useState } from "react";
import { gridQuery } from "../../api/queries";
import type { Grid, RunState, Trigger } from "../../api/types";
import { usePhone } from "../../lib/media";
import { useZone } from "../../lib/prefs";
import { TRIGGER_WORDS } from "../../lib/states";
import { dayTime } from "../../lib/time";
import { Button } from "../../ui/Button";
import { Empty, Skeleton } from "../../ui/Feedback";
import { Select } from "../../ui/Field";
import { Segments } from "../../ui/Tabs";
import { useSheet } from "../run-actions/sheet";
import { useMay } from "../shell/may";
import { QueryError } from "../shell/Problems";
import { cellAt, failedTasks, sentence } from "./cell";
import { Detail } from "./Detail";
import { type Place, placeOf } from "./layout";
import { PhoneGrid } from "./PhoneGrid";
import { DEFAULT_RUNS, type GridSearch, gridParams } from "./params";
import { RunGrid } from "./RunGrid";

interface Props {
  workflow: string;
  search: GridSearch;
  onSearch: (change: { [K in keyof GridSearch]?: GridSearch[K] | undefined }) => void;
}

const SIZES = [30, 60, 120, 365] as const;
/** The matrix, full width, newest run in view. */
export default function GridTab({ workflow, search, onSearch }: Props) {
  const { data, error, refetch } = useQuery(gridQuery(workflow, gridParams(search)));
  const phone = usePhone();
  if (error && !data) return <QueryError error={error} onRetry={() => void refetch()} />;
  return (
    <div className="flex h-full min-h-0 flex-col">
      <div className="flex flex-wrap items-center gap-2 border-line border-b bg-surface px-4 py-1.5 md:px-6">
        {!phone && (
          <Segments
            label="How many runs"
            value={String(search.runs ?? DEFAULT_RUNS)}
            options={SIZES.map((n) => ({ value: String(n), text: `${n} runs` }))}
            onChange={(runs) => onSearch({ runs: Number(runs) })}
          />
        )}
        <Select
          aria-label="Trigger"
          value={search.trigger ?? ""}
          onChange={(event) => onSearch({ trigger: (event.target.value || undefined) as Trigger })}
        >
          <option value="">Any trigger</option>
          {Object.entries(TRIGGER_WORDS).map(([trigger, word]) => (
            <option key={trigger} value={trigger}>
              {word}
            </option>
          ))}
        </Select>
        <Select
          aria-label="State of the run"
          value={search.state ?? ""}
          onChange={(event) => onSearch({ state: (event.target.value || undefined) as RunState })}
        >
          <option value="">Any state</option>
          <option value="failed">Failed runs</option>
          <option value="succeeded">Succeeded runs</option>
          <option value="running">Running runs</option>
        </Select>
      </div>
      {!data ? (
        <Loading />
      ) : data.runs.length === 0 ? (
        <None search={search} onSearch={onSearch} workflow={workflow} />
      ) : phone ? (
        <PhoneGrid grid={data} />
      ) : (
        <Matrix grid={data} search={search} onSearch={onSearch} />
      )}
    </div>
  );
}

/** The URL follows the selection, but not at the speed of a held arrow key. */
const URL_DELAY_MS = 250;

function Matrix({ grid, search, onSearch }: { grid: Grid } & Omit<Props, "workflow">) {
  const navigate = useNavigate();
  const zone = useZone();
  const { open } = useSheet();
  const [hover, setHover] = useState<Place>();
  const [chosen, setChosen] = useState(() => ({ run: search.run, task: search.task }));
  const pin = placeOf(grid, chosen.run, chosen.task);

  const setPin = (place: Place | undefined) => {
    setChosen({
      run: place && grid.runs[place.run]?.id,
      task: place && grid.tasks[place.task]?.id,
    });
  };
  useEffect(() => {
    if (chosen.run === search.run && chosen.task === search.task) return;
    const timer = window.setTimeout(() => onSearch(chosen), URL_DELAY_MS);
    return () => window.clearTimeout(timer);
  }, [chosen, search.run, search.task, onSearch]);

  const openPlace = (place: Place) => {
    const run = grid.runs[place.run];
    const task = grid.tasks[place.task];
    if (!run) return;
    if (task) {
      void navigate({ to: "/runs/$run/tasks/$task", params: { run: run.id, task: task.id } });
    } else void navigate({ to: "/runs/$run", params: { run: run.id } });
  };
  const retry = (place: Place) => {
    const run = grid.runs[place.run];
    const task = grid.tasks[place.task];
    if (run) open("retry", run.id, task ? [task.id] : failedTasks(grid, run));
  };

  const pinned = pin && cellAt(grid, pin);
  return (
    <>
      <RunGrid
        grid={grid}
        pin={pin}
        hover={hover}
        onPin={setPin}
        onHover={setHover}
        onOpen={openPlace}
        onRetry={retry}
        spoken={pinned ? sentence(pinned, dayTime(pinned.run.logical_date, zone, Date.now())) : ""}
      />
      <Detail
        grid={grid}
        place={hover ?? pin}
        pinned={!hover || samePlace(hover, pin)}
        onRetry={retry}
      />
    </>
  );
}

function samePlace(a: Place, b: Place | undefined): boolean {
  return a.run === b?.run && a.task === b.task;
}

function Loading() {
  return (
    <div role="status" aria-label="Loading" className="flex flex-1 flex-col bg-surface px-6 pt-26">
      {Array.from({ length: 14 }, (_, i) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: the rows are all alike
        <div key={i} className="flex h-5 items-center gap-8">
          <Skeleton className="h-3 w-32" />
          <Skeleton className="h-3 flex-1" />
        </div>
      ))}
    </div>
  );
}

function None({ search, onSearch, workflow }: Props) {
  const { open } = useSheet();
  const allowed = useMay("operator");
  const filtered = search.trigger !== undefined || search.state !== undefined;
  return filtered ? (
    <Empty
      title="No run fits this filter"
      action={
        <Button onClick={() => onSearch({ trigger: undefined, state: undefined })}>Show all</Button>
      }
    />
  ) : (
    <Empty
      title="This workflow has not run yet"
      action={
        <Button kind="primary" {...allowed} onClick={() => open("trigger", workflow)}>
          Trigger a run
        </Button>
      }
    />
  );
}
