import type { Grid } from "../../api/types";
import { Duration } from "../../components/Duration";
import { RunLink, TaskLink } from "../../components/links";
import { StateBadge, StateGlyph, TriggerGlyph } from "../../components/StateGlyph";
import { DayTime } from "../../components/When";
import { count } from "../../lib/duration";
import { GLYPHS } from "../../lib/states";
import { Button, buttonClass } from "../../ui/Button";
import { Kbd } from "../../ui/Feedback";
import { useMay } from "../shell/may";
import { cellAt, facts } from "./cell";
import type { Place } from "./layout";

interface Props {
  grid: Grid;
  place: Place | undefined;
  pinned: boolean;
  onRetry: (place: Place) => void;
}

/** What the cell under the pointer, or the pinned one, says; its place is kept, so that nothing jumps. */
export function Detail({ grid, place, pinned, onRetry }: Props) {
  return (
    <div className="flex min-h-16 flex-wrap items-center gap-x-6 gap-y-1 border-line border-t bg-surface px-4 py-2 md:px-6">
      {place ? (
        place.task < 0 ? (
          <RunDetail grid={grid} place={place} pinned={pinned} onRetry={onRetry} />
        ) : (
          <CellDetail grid={grid} place={place} pinned={pinned} onRetry={onRetry} />
        )
      ) : (
        <Legend />
      )}
    </div>
  );
}

type Of = Props & { place: Place };

function CellDetail({ grid, place, pinned, onRetry }: Of) {
  const allowed = useMay("operator");
  const cell = cellAt(grid, place);
  if (!cell) return <Legend />;
  const { run, task, state, extra } = cell;
  return (
    <>
      <div className="min-w-0 flex-1">
        <p className="flex flex-wrap items-center gap-x-3">
          {state ? <StateBadge state={state} /> : <span>not in version {run.version}</span>}
          <b className="font-semibold">{task.id}</b>
          <span className="text-ink-3 text-xs">{task.type}</span>
          <span className="inline-flex items-center gap-1 text-ink-2">
            <TriggerGlyph trigger={run.trigger} />
            run of <DayTime at={run.logical_date} />
          </span>
          {facts(cell).map((each) => (
            <span key={each} className="num text-ink-2">
              {each}
            </span>
          ))}
        </p>
        <p className="min-h-5 truncate text-ink" title={extra.e ?? undefined}>
          {extra.e}
        </p>
      </div>
      {pinned && state && (
        <span className="flex items-center gap-2">
          <TaskLink run={run.id} task={task.id} className={buttonClass("plain", true)}>
            Open task run <Kbd>Enter</Kbd>
          </TaskLink>
          <RunLink run={run.id} className={buttonClass("plain", true)}>
            Open run
          </RunLink>
          <Button small {...allowed} onClick={() => onRetry(place)}>
            Re-run… <Kbd>r</Kbd>
          </Button>
        </span>
      )}
    </>
  );
}

function RunDetail({ grid, place, pinned, onRetry }: Of) {
  const allowed = useMay("operator");
  const run = grid.runs[place.run];
  if (!run) return <Legend />;
  const failed = [...run.cells].filter((letter) => letter === "f").length;
  const error = Object.values(run.extra).find((extra) => extra.e)?.e;
  return (
    <>
      <div className="min-w-0 flex-1">
        <p className="flex flex-wrap items-center gap-x-3">
          <StateBadge state={run.state} masked={run.masked} />
          <span className="inline-flex items-center gap-1">
            <TriggerGlyph trigger={run.trigger} />
            run of <DayTime at={run.logical_date} />
          </span>
          <Duration seconds={run.seconds} usual={grid.median_seconds} className="text-ink-2" />
          {run.wait_seconds != null && (
            <span className="text-ink-2">
              waited <Duration seconds={run.wait_seconds} />
            </span>
          )}
          <span className="text-ink-2">version {run.version}</span>
          {failed > 0 && <span className="text-ink-2">{count(failed, "task")} failed</span>}
        </p>
        <p className="min-h-5 truncate">{error}</p>
      </div>
      {pinned && (
        <span className="flex items-center gap-2">
          <RunLink run={run.id} className={buttonClass("plain", true)}>
            Open run <Kbd>Enter</Kbd>
          </RunLink>
          <Button small {...allowed} onClick={() => onRetry(place)}>
            Re-run… <Kbd>r</Kbd>
          </Button>
        </span>
      )}
    </>
  );
}

const SHOWN = ["succeeded", "failed", "upstream_failed", "skipped", "running", "waiting"] as const;

function Legend() {
  return (
    <ul className="flex flex-wrap items-center gap-x-4 gap-y-1 text-ink-2 text-xs">
      {SHOWN.map((state) => (
        <li key={state} className="inline-flex items-center gap-1">
          <StateGlyph state={state} silent />
          {GLYPHS[state].word}
        </li>
      ))}
      <li className="inline-flex items-center gap-1">
        <span className="size-1.5 rounded-full bg-ink" /> an attempt more
      </li>
      <li className="inline-flex items-center gap-1">
        <span className="flex h-2.5 w-4 border border-ok">
          <span className="w-2/3 bg-ok" />
        </span>
        share of a mapped task
      </li>
      <li className="inline-flex items-center gap-1">
        <span className="h-3 w-2 bg-ok opacity-40" /> foot of a bar: wait
      </li>
      <li className="inline-flex items-center gap-1">
        <StateGlyph state="succeeded" silent masked /> hides a failure
      </li>
    </ul>
  );
}
