import { useQuery } from "@tanstack/react-query";
import { type KeyboardEvent, useMemo, useState } from "react";
import { calendarQuery, runsQuery } from "../../api/queries";
import { now } from "../../lib/clock";
import { count } from "../../lib/duration";
import { useZone } from "../../lib/prefs";
import { day as dayOf, nextDay, startOfDay } from "../../lib/time";
import { IconButton } from "../../ui/Button";
import { cx } from "../../ui/cx";
import { Skeleton } from "../../ui/Feedback";
import { RunList } from "../runs/RunList";
import { QueryError } from "../shell/Problems";
import { type Day, type DayKind, dayWords, monthStarts, moveDay, yearOf } from "./calendar";

interface Props {
  workflow: string;
  year: number | undefined;
  day: string | undefined;
  onSearch: (change: { year?: number | undefined; day?: string | undefined }) => void;
}

const CELL = 16;
const STEP = 20;
const LEFT = 36;
const TOP = 20;
const MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" ");

/** A year at a glance: what failed, what is planned; a day opens its runs below. */
export default function CalendarTab({ workflow, year, day, onSearch }: Props) {
  const zone = useZone();
  const today = dayOf(now(), zone);
  const shownYear = year ?? Number(today.slice(0, 4));
  const { data, error, refetch } = useQuery(calendarQuery(workflow, shownYear, zone));
  const days = useMemo(() => (data ? yearOf(data) : undefined), [data]);
  if (error && !data) return <QueryError error={error} onRetry={() => void refetch()} />;
  const chosen = days?.find((each) => each.date === day);
  return (
    <div className="flex flex-col gap-4 p-4 md:px-6">
      <section className="rounded-lg border border-line bg-surface p-4">
        <header className="mb-3 flex flex-wrap items-center gap-x-4 gap-y-1">
          <span className="flex items-center">
            <IconButton
              icon="chevronLeft"
              label={`Year ${shownYear - 1}`}
              onClick={() => onSearch({ year: shownYear - 1, day: undefined })}
            />
            <h2 className="num w-12 text-center font-semibold">{shownYear}</h2>
            <IconButton
              icon="chevronRight"
              label={`Year ${shownYear + 1}`}
              onClick={() => onSearch({ year: shownYear + 1, day: undefined })}
            />
          </span>
          {data ? (
            <span>
              <b className="num font-semibold">{count(data.failing_days, "failing day")}</b>
              <span className="text-ink-3">, days of {data.zone} by when runs ended</span>
            </span>
          ) : (
            <Skeleton className="w-48" />
          )}
          <Legend />
        </header>
        {days ? (
          <Year
            days={days}
            today={today}
            chosen={day}
            onChoose={(date) => onSearch({ day: date === day ? undefined : date })}
          />
        ) : (
          <Skeleton className="h-40 w-full" />
        )}
      </section>
      {chosen && (
        <section className="rounded-lg border border-line bg-surface">
          <h2 className="border-line border-b px-4 py-2 font-semibold">{dayWords(chosen)}</h2>
          <RunList
            single
            query={runsQuery({
              workflow,
              by: "ended",
              since: new Date(startOfDay(chosen.date, zone)).toISOString(),
              until: new Date(startOfDay(nextDay(chosen.date), zone)).toISOString(),
            })}
            empty="No run for this day"
          />
        </section>
      )}
    </div>
  );
}

interface YearProps {
  days: readonly Day[];
  today: string;
  chosen: string | undefined;
  onChoose: (date: string) => void;
}

function Year({ days, today, chosen, onChoose }: YearProps) {
  const [at, setAt] = useState<string>();
  const weeks = (days.at(-1)?.week ?? 52) + 1;
  const pointed = days.find((day) => day.date === at);
  const onKey = (event: KeyboardEvent) => {
    if (event.key === "Enter" && at) onChoose(at);
    else {
      const next = moveDay(days, at ?? chosen, event.key);
      if (!next) return;
      setAt(next.date);
    }
    event.preventDefault();
  };
  return (
    <>
      <section
        aria-label="Days of the year"
        // biome-ignore lint/a11y/noNoninteractiveTabindex: the arrows move in it, and it scrolls
        tabIndex={0}
        onKeyDown={onKey}
        className="overflow-x-auto [direction:rtl]"
      >
        <svg
          viewBox={`0 0 ${LEFT + weeks * STEP} ${TOP + 7 * STEP}`}
          className="block w-full min-w-[56rem] [direction:ltr]"
          role="img"
          aria-label="Runs of each day; the arrows move, Enter shows the runs of the day"
          onPointerLeave={() => setAt(undefined)}
        >
          <title>Runs of each day</title>
          {monthStarts(days).map(({ month, week }) => (
            <text key={month} x={LEFT + week * STEP} y={12} className="fill-ink-3 text-2xs">
              {MONTHS[month]}
            </text>
          ))}
          {["Mon", "Wed", "Fri", "Sun"].map((name, index) => (
            <text key={name} x={0} y={TOP + index * 2 * STEP + 12} className="fill-ink-3 text-2xs">
              {name}
            </text>
          ))}
          {days.map((day) => (
            // biome-ignore lint/a11y/noStaticElementInteractions: the section above has the keys
            <g
              key={day.date}
              transform={`translate(${LEFT + day.week * STEP} ${TOP + day.weekday * STEP})`}
              onPointerEnter={() => setAt(day.date)}
              onClick={() => onChoose(day.date)}
              className="cursor-pointer"
            >
              <rect width={STEP} height={STEP} fill="transparent" />
              <DayMark kind={day.kind} />
              {(day.date === chosen || day.date === at) && (
                <rect
                  x={-1.5}
                  y={-1.5}
                  width={CELL + 3}
                  height={CELL + 3}
                  rx={3}
                  fill="none"
                  className="stroke-ink"
                  strokeWidth={day.date === chosen ? 2 : 1}
                />
              )}
              {day.date === today && (
                <rect x={0} y={CELL + 1} width={CELL} height={2} className="fill-ink" />
              )}
            </g>
          ))}
        </svg>
      </section>
      <p aria-live="polite" className="mt-2 min-h-5 text-ink-2">
        {pointed ? dayWords(pointed) : chosen ? "" : "Choose a day to see its runs."}
      </p>
    </>
  );
}

/** Filled: succeeded; cross: failed; a corner: some failed; hollow: planned. */
function DayMark({ kind }: { kind: DayKind }) {
  const box = { width: CELL, height: CELL, rx: 2 };
  switch (kind) {
    case "none":
      return <rect {...box} className="fill-sunken" />;
    case "planned":
      return (
        <rect
          x={0.5}
          y={0.5}
          width={CELL - 1}
          height={CELL - 1}
          rx={2}
          className="fill-none stroke-control"
          strokeDasharray="2 2"
        />
      );
    case "other":
      return (
        <rect
          x={1}
          y={1}
          width={CELL - 2}
          height={CELL - 2}
          rx={2}
          className="fill-none stroke-run"
          strokeWidth={2}
        />
      );
    case "ok":
      return <rect {...box} className="fill-ok" />;
    case "failed":
      return (
        <>
          <rect {...box} className="fill-bad" />
          <path d="M4.5 4.5l7 7M11.5 4.5l-7 7" className="stroke-surface" strokeWidth={1.8} />
        </>
      );
    case "mixed":
      return (
        <>
          <rect {...box} className="fill-ok" />
          <path d={`M${CELL} 4v${CELL - 4}h-${CELL - 4}z`} className="fill-bad stroke-surface" />
        </>
      );
  }
}

const LEGEND: readonly [DayKind, string][] = [
  ["ok", "succeeded"],
  ["failed", "failed"],
  ["mixed", "some failed"],
  ["other", "running, cancelled"],
  ["planned", "planned"],
];

function Legend() {
  return (
    <ul className={cx("flex flex-wrap gap-x-3 text-ink-2 text-xs md:ml-auto")}>
      {LEGEND.map(([kind, word]) => (
        <li key={kind} className="inline-flex items-center gap-1">
          <svg width={CELL} height={CELL} aria-hidden="true">
            <DayMark kind={kind} />
          </svg>
          {word}
        </li>
      ))}
    </ul>
  );
}
