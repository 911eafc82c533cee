import { Link } from "@tanstack/react-router";
import { useState } from "react";
import type { RunView, TaskRun } from "../../api/types";
import { Duration, Elapsed } from "../../components/Duration";
import { StateBadge, StateGlyph } from "../../components/StateGlyph";
import { count, duration } from "../../lib/duration";
import { taskName } from "../../lib/states";
import { Empty } from "../../ui/Feedback";
import { SearchInput } from "../../ui/Field";
import { Table, Td, Th } from "../../ui/Table";
import { ActLink } from "../run-actions/ActLink";
import { taskLink } from "./links";
import { byUrgency } from "./order";
import { WhyNot } from "./WhyNot";

/** Failed first, then what runs and waits; instances stand under the failures if they failed themselves. */
export function Tasks({ view }: { view: RunView }) {
  const [search, setSearch] = useState("");
  const [picked, setPicked] = useState<ReadonlySet<string>>(new Set());
  const words = search.toLowerCase();
  const rows = byUrgency(view.tasks).filter(
    (task) =>
      !words ||
      `${taskName(task.task, task.map_index)} ${task.type} ${task.state} ${task.error?.line ?? ""}`
        .toLowerCase()
        .includes(words),
  );
  const toggle = (name: string) => {
    const next = new Set(picked);
    if (!next.delete(name)) next.add(name);
    setPicked(next);
  };
  return (
    <div className="flex min-h-0 flex-1 flex-col bg-surface">
      <div className="flex flex-wrap items-center gap-x-4 gap-y-2 border-line border-b px-4 py-1.5 md:px-6">
        <SearchInput
          label="Filter tasks"
          value={search}
          onChange={(event) => setSearch(event.target.value)}
          className="w-full max-w-72"
        />
        <span className="num text-ink-3 text-xs">{count(rows.length, "row")}</span>
        {picked.size > 0 && (
          <ActLink
            sheet="retry"
            of={view.run.id}
            pick={[...picked]}
            kind="primary"
            small
            className="ml-auto"
          >
            Re-run {picked.size} chosen…
          </ActLink>
        )}
      </div>
      {rows.length === 0 && <Empty title="No task holds these words" />}
      <div className="min-h-0 flex-1 md:overflow-y-auto">
        <ul className="md:hidden">
          {rows.map((task) => (
            <PhoneRow key={taskName(task.task, task.map_index)} task={task} view={view} />
          ))}
        </ul>
        <Table bleed label="Tasks of this run" className="max-md:hidden">
          <thead className="sticky top-0 z-10 bg-surface">
            <tr>
              <Th className="w-8">
                <span className="sr-only">Choose</span>
              </Th>
              <Th>Task</Th>
              <Th>State</Th>
              <Th>Cause, or why not</Th>
              <Th num>Attempts</Th>
              <Th num>Waited</Th>
              <Th num>Ran</Th>
              <Th>Worker</Th>
            </tr>
          </thead>
          <tbody>
            {rows.map((task) => {
              const name = taskName(task.task, task.map_index);
              return (
                <tr key={name} className="relative hover:bg-hover/60">
                  <Td>
                    <input
                      type="checkbox"
                      aria-label={`Choose ${name}`}
                      checked={picked.has(name)}
                      onChange={() => toggle(name)}
                      className="align-middle"
                    />
                  </Td>
                  <Td>
                    <Link
                      {...taskLink(view.run.id, task.task, task.map_index)}
                      className="font-medium text-ink no-underline hover:underline"
                    >
                      {name}
                    </Link>
                    {task.instances && (
                      <span className="num ml-2 text-2xs text-ink-3">
                        {task.instances.succeeded} of {task.instances.total}
                      </span>
                    )}
                    <span className="ml-2 text-2xs text-ink-3">{task.type}</span>
                  </Td>
                  <Td>
                    <StateBadge state={task.state} className="align-middle text-xs" />
                  </Td>
                  <Td className="max-w-[38rem] text-xs">
                    <CauseOf task={task} />
                  </Td>
                  <Td num>{task.attempts.length || "—"}</Td>
                  <Td num>{task.wait_seconds == null ? "—" : duration(task.wait_seconds)}</Td>
                  <Td num>
                    <RanOf task={task} usual={view.usual.tasks[task.task]?.seconds} />
                  </Td>
                  <Td className="text-ink-2 text-xs">{task.attempts.at(-1)?.worker}</Td>
                </tr>
              );
            })}
          </tbody>
        </Table>
      </div>
    </div>
  );
}

export function CauseOf({ task }: { task: TaskRun }) {
  if (task.reason) return <WhyNot reason={task.reason} />;
  if (task.state === "failed")
    return (
      <span className="text-bad [overflow-wrap:anywhere]">
        {task.error?.line ?? task.cause_words}
      </span>
    );
  return <span className="text-ink-2 [overflow-wrap:anywhere]">{task.cause_words}</span>;
}

function RanOf({ task, usual }: { task: TaskRun; usual?: number | undefined }) {
  if (task.state === "running" && task.started_at)
    return <Elapsed since={task.started_at} usual={task.map_index == null ? usual : undefined} />;
  return (
    <Duration
      seconds={task.seconds}
      usual={task.map_index == null && task.seconds != null ? usual : undefined}
    />
  );
}

function PhoneRow({ task, view }: { task: TaskRun; view: RunView }) {
  return (
    <li className="relative flex min-h-11 gap-3 border-line border-b px-4 py-2">
      <StateGlyph state={task.state} className="mt-0.5" />
      <div className="min-w-0 flex-1">
        <div className="flex items-baseline justify-between gap-3">
          <Link
            {...taskLink(view.run.id, task.task, task.map_index)}
            className="min-w-0 font-medium text-ink no-underline [overflow-wrap:anywhere] after:absolute after:inset-0"
          >
            {taskName(task.task, task.map_index)}
          </Link>
          <span className="num text-ink-3 text-xs">
            {task.seconds == null ? "" : duration(task.seconds)}
          </span>
        </div>
        <p className="text-xs">
          <CauseOf task={task} />
        </p>
      </div>
    </li>
  );
}
