import { Link } from "@tanstack/react-router";
import type { TaskHistoryPoint, TaskRun } from "../../api/types";
import { Elapsed } from "../../components/Duration";
import { StateBadge, StateGlyph } from "../../components/StateGlyph";
import { DayTime } from "../../components/When";
import { duration } from "../../lib/duration";
import { taskName } from "../../lib/states";
import { cx } from "../../ui/cx";
import { Empty } from "../../ui/Feedback";
import { Table, Td, Th } from "../../ui/Table";
import { taskLink } from "../run/links";
import { byUrgency } from "../run/order";
import { CauseOf } from "../run/Tasks";
import { usualOf } from "./compare";

interface Props {
  run: string;
  task: TaskRun;
  history: readonly TaskHistoryPoint[];
}

/** The last runs of this task, newest first; bars compare with the median. */
export function History({ run, task, history }: Props) {
  if (history.length === 0) return <Empty title="This task has not run before" />;
  const usual = usualOf(history);
  const most = Math.max(...history.map((each) => each.seconds ?? 0), usual ?? 0, 0.001);
  const rows = [...history].sort((a, b) => b.logical_date.localeCompare(a.logical_date));
  const retried = history.filter((each) => each.attempts > 1).length;
  return (
    <div className="min-h-0 flex-1 bg-surface md:overflow-y-auto">
      <p className="border-line border-b px-4 py-2 text-ink-2 text-xs md:px-6">
        {usual === undefined
          ? "It has not succeeded yet."
          : `Usual: ${duration(usual)} (median of those that succeeded).`}{" "}
        {retried === 0
          ? "None needed a second attempt."
          : `${retried} of ${history.length} needed more than one attempt.`}
      </p>
      <Table bleed label="Last runs of this task">
        <thead>
          <tr>
            <Th>Logical date</Th>
            <Th>State</Th>
            <Th num>Attempts</Th>
            <Th num>Ran</Th>
            <Th className="w-1/2 max-md:hidden">
              <span className="sr-only">Against the usual</span>
            </Th>
          </tr>
        </thead>
        <tbody>
          {rows.map((each) => (
            <tr
              key={each.run}
              className={cx("relative hover:bg-hover/60", each.run === run && "bg-sunken")}
            >
              <Td>
                <Link
                  {...taskLink(each.run, task.task, task.map_index)}
                  aria-current={each.run === run ? "true" : undefined}
                  className="text-ink no-underline after:absolute after:inset-0"
                >
                  <DayTime at={each.logical_date} />
                </Link>
                {each.run === run && <span className="ml-2 text-2xs text-ink-3">this run</span>}
              </Td>
              <Td>
                <StateBadge state={each.state} className="align-middle text-xs" />
              </Td>
              <Td num className={each.attempts > 1 ? "font-semibold text-warn" : "text-ink-3"}>
                {each.attempts || "—"}
              </Td>
              <Td num>{each.seconds == null ? "—" : duration(each.seconds)}</Td>
              <Td className="max-md:hidden">
                <div className="relative h-3">
                  {each.seconds != null && (
                    <span
                      style={{ width: `${(each.seconds / most) * 100}%` }}
                      className={cx(
                        "absolute inset-y-0 left-0 rounded-sm",
                        each.state === "failed"
                          ? "bg-bad"
                          : each.state === "succeeded"
                            ? "bg-ok"
                            : "bg-mute",
                      )}
                    />
                  )}
                  {usual !== undefined && (
                    <span
                      style={{ left: `${(usual / most) * 100}%` }}
                      className="absolute -inset-y-1 w-px bg-ink"
                    />
                  )}
                </div>
              </Td>
            </tr>
          ))}
        </tbody>
      </Table>
    </div>
  );
}

/** Mapped instances by name: what failed and what runs first. */
export function Instances({ run, instances }: { run: string; instances: readonly TaskRun[] }) {
  const urgent = byUrgency(instances);
  const rest = instances.filter((each) => !urgent.includes(each));
  const rows = [...urgent, ...rest];
  if (rows.length === 0)
    return <Empty title="This task is not mapped, or has not been expanded yet" />;
  return (
    <ul className="min-h-0 flex-1 bg-surface md:overflow-y-auto">
      {rows.map((each) => (
        <li
          key={each.map_index}
          className={cx(
            "relative flex min-h-11 flex-wrap items-center gap-x-4 border-line border-b px-4 py-1 hover:bg-hover/60 md:min-h-8 md:px-6",
            rows.length > 100 && "[contain-intrinsic-size:auto_33px] [content-visibility:auto]",
          )}
        >
          <StateGlyph state={each.state} />
          <Link
            {...taskLink(run, each.task, each.map_index)}
            className="w-48 min-w-0 truncate font-medium text-ink no-underline after:absolute after:inset-0"
          >
            {taskName(each.task, each.map_index)}
          </Link>
          <span className="min-w-0 flex-1 text-xs max-md:order-last max-md:basis-full">
            <CauseOf task={each} />
          </span>
          <span className="num w-28 text-right text-ink-3 text-xs max-md:hidden">
            {each.wait_seconds != null && `waited ${duration(each.wait_seconds)}`}
          </span>
          <span className="num ml-auto w-16 text-right text-xs">
            {each.state === "running" && each.started_at ? (
              <Elapsed since={each.started_at} />
            ) : each.seconds == null ? (
              "—"
            ) : (
              duration(each.seconds)
            )}
          </span>
        </li>
      ))}
    </ul>
  );
}
