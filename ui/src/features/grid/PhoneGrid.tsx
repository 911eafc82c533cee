import { useState } from "react";
import type { Grid } from "../../api/types";
import { TaskLink } from "../../components/links";
import { StateGlyph } from "../../components/StateGlyph";
import { DayTime } from "../../components/When";
import { GLYPHS } from "../../lib/states";
import { Icon } from "../../ui/Icon";
import { type Cell, cellAt, facts } from "./cell";

const SHOWN = 7;

/** The matrix in one column: a task, its last seven states; a tap says more. */
export function PhoneGrid({ grid }: { grid: Grid }) {
  const [open, setOpen] = useState<string>();
  const first = Math.max(0, grid.runs.length - SHOWN);
  return (
    <ul className="bg-surface">
      {grid.tasks.map((task, index) => {
        const cells = grid.runs.slice(first).flatMap((_run, at) => {
          const cell = cellAt(grid, { run: first + at, task: index });
          return cell ? [cell] : [];
        });
        const opened = open === task.id;
        return (
          <li key={task.id} className="border-line border-b">
            <button
              type="button"
              aria-expanded={opened}
              onClick={() => setOpen(opened ? undefined : task.id)}
              className="flex min-h-11 w-full items-center gap-2 px-4 text-left"
            >
              <span className="min-w-0 flex-1 truncate font-medium">{task.id}</span>
              <span className="flex gap-1">
                {cells.map((cell) => (
                  <Mark key={cell.run.id} cell={cell} />
                ))}
              </span>
              <Icon name={opened ? "chevronDown" : "chevronRight"} className="text-ink-3" />
            </button>
            {opened && (
              <ul className="bg-sunken">
                {[...cells].reverse().map((cell) => (
                  <Line key={cell.run.id} cell={cell} />
                ))}
              </ul>
            )}
          </li>
        );
      })}
    </ul>
  );
}

function Mark({ cell }: { cell: Cell }) {
  if (!cell.state) return <span className="size-4" />;
  return (
    <span className="relative">
      <StateGlyph state={cell.state} />
      {(cell.extra.a ?? 1) > 1 && (
        <span className="absolute -top-1 -right-0.5 size-1.5 rounded-full bg-ink" />
      )}
    </span>
  );
}

function Line({ cell }: { cell: Cell }) {
  if (!cell.state) return null;
  return (
    <li>
      <TaskLink
        run={cell.run.id}
        task={cell.task.id}
        className="flex min-h-11 flex-col justify-center px-4 py-1 no-underline"
      >
        <span className="flex items-center gap-2">
          <StateGlyph state={cell.state} silent />
          {GLYPHS[cell.state].word}
          <span className="ml-auto text-ink-2 text-xs">
            <DayTime at={cell.run.logical_date} />
          </span>
        </span>
        <span className="pl-6 text-ink-2 text-xs">{facts(cell).join(" · ")}</span>
        {cell.extra.e && <span className="pl-6 text-xs">{cell.extra.e}</span>}
      </TaskLink>
    </li>
  );
}
