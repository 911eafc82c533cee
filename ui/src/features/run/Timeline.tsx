import { useLayoutEffect, useMemo, useRef, useState } from "react";
import type { RunView } from "../../api/types";
import { now as serverNow, useNow } from "../../lib/clock";
import { duration } from "../../lib/duration";
import { useZone } from "../../lib/prefs";
import { isLive } from "../../lib/states";
import { cx } from "../../ui/cx";
import { Segments } from "../../ui/Tabs";
import { Bars } from "./Bars";
import type { Piece } from "./pieces";
import { ticks } from "./scale";
import { BOTTOM, COLUMNS, Ghost, Ran, span, TaskRow } from "./TimelineRow";
import { type Timeline as Drawn, type Order, timeline } from "./timeline";

interface Props {
  view: RunView;
  order: Order;
  onOrder: (order: Order) => void;
}

/** The clock ticks only while something can still grow. */
export function Timeline(props: Props) {
  return isLive(props.view.run.state) ? <Ticking {...props} /> : <Still {...props} />;
}

function Ticking(props: Props) {
  const now = useNow(1_000);
  return <Chart {...props} now={now} />;
}

function Still(props: Props) {
  return <Chart {...props} now={serverNow()} />;
}

function Chart({ view, order, onOrder, now }: Props & { now: number }) {
  const zone = useZone();
  const [width, measure] = useWidth();
  const live = isLive(view.run.state);
  // A run that is over is drawn once, whatever the clock says.
  const instant = live ? now : 0;
  const drawn = useMemo(
    () => timeline(view, instant || serverNow(), order),
    [view, instant, order],
  );
  const marks = useMemo(() => ticks(drawn.scale, zone, width), [drawn.scale, zone, width]);
  return (
    <section aria-label="Timeline" className="flex min-h-0 flex-1 flex-col bg-surface">
      <div className="flex flex-wrap items-center gap-x-4 gap-y-1 px-4 py-1 md:px-6">
        <Segments
          label="Order of the rows"
          value={order}
          options={[
            { value: "file", text: "As in the file" },
            { value: "start", text: "By start" },
          ]}
          onChange={onOrder}
        />
        <Legend drawn={drawn} view={view} />
      </div>
      <div className="relative min-h-0 flex-1 border-line border-t md:overflow-y-auto">
        <div
          className={cx("sticky top-0 z-20 border-line border-b bg-surface px-4 md:px-6", COLUMNS)}
        >
          <span className="hidden text-2xs text-ink-3 leading-7 md:block">Task</span>
          <div ref={measure} className="relative h-7 min-w-0">
            {marks.map((tick) => (
              <span
                key={tick.at}
                style={{ left: `${tick.at * 100}%` }}
                className="num absolute top-1.5 -translate-x-1/2 text-2xs text-ink-3"
              >
                {tick.text}
              </span>
            ))}
            {drawn.now !== undefined && (
              <span
                style={{ left: `${drawn.scale.x(drawn.now) * 100}%` }}
                className="absolute top-1 -translate-x-full rounded-sm bg-ink px-1 font-medium text-2xs text-inverse"
              >
                now
              </span>
            )}
          </div>
          <span className="hidden text-right text-2xs text-ink-3 leading-7 md:block">Waited</span>
          <span className="hidden text-right text-2xs text-ink-3 leading-7 md:block">
            Ran, usual
          </span>
        </div>
        <div className="relative">
          <Lines drawn={drawn} marks={marks} />
          <RunRow view={view} drawn={drawn} width={width} zone={zone} />
          <ul>
            {drawn.rows.map((row) => (
              <TaskRow
                key={row.task.task}
                row={row}
                drawn={drawn}
                width={width}
                view={view}
                zone={zone}
              />
            ))}
          </ul>
        </div>
      </div>
    </section>
  );
}

/** Hairlines of the axis, folds and the now line, behind all rows. */
function Lines({ drawn, marks }: { drawn: Drawn; marks: { at: number }[] }) {
  return (
    <div
      aria-hidden="true"
      className={cx("pointer-events-none absolute inset-0 px-4 md:px-6", COLUMNS)}
    >
      <span className="hidden md:block" />
      <div className="relative h-full min-w-0">
        {marks.map((tick) => (
          <span
            key={tick.at}
            style={{ left: `${tick.at * 100}%` }}
            className="absolute inset-y-0 w-px bg-line"
          />
        ))}
        {drawn.scale.stretches
          .filter((part) => part.gap)
          .map((part) => (
            <span
              key={part.from}
              style={{ left: `${part.at * 100}%`, width: `${part.width * 100}%` }}
              className="absolute inset-y-0 border-line-strong border-x border-dashed bg-sunken"
            />
          ))}
        {drawn.now !== undefined && (
          <span
            style={{ left: `${drawn.scale.x(drawn.now) * 100}%` }}
            className="absolute inset-y-0 w-px bg-ink"
          />
        )}
      </div>
    </div>
  );
}

function Legend({ drawn, view }: { drawn: Drawn; view: RunView }) {
  const gap = drawn.scale.stretches.find((part) => part.gap);
  const item = "inline-flex items-center gap-1.5 whitespace-nowrap";
  return (
    <p className="flex flex-wrap items-center gap-x-4 gap-y-0.5 text-2xs text-ink-3">
      <span className={item}>
        <span className="hatch h-3 w-4 rounded-sm border border-wait text-wait" />
        waited
      </span>
      <span className={item}>
        <span className="w-4 border-warn border-t-2 border-dotted" />
        retry wait
      </span>
      <span className={item}>
        <span className="h-1.5 w-4 rounded-sm border border-control" />
        usual (median of the last 20)
      </span>
      {view.critical_path.length > 1 && (
        <span className={item}>
          <span className="h-0.5 w-4 bg-ink" />
          critical path
          {drawn.criticalSeconds !== undefined && `, ${duration(drawn.criticalSeconds)}`}
        </span>
      )}
      {gap && (
        <span className={item}>
          <span className="h-3 w-3 border-line-strong border-x border-dashed bg-sunken" />
          {duration((gap.until - gap.from) / 1000)} in which nothing happened, folded
        </span>
      )}
    </p>
  );
}

function RunRow({
  view,
  drawn,
  width,
  zone,
}: {
  view: RunView;
  drawn: Drawn;
  width: number;
  zone: string;
}) {
  const { run } = view;
  return (
    <div className={cx("relative px-4 py-0.5 md:px-6", BOTTOM, COLUMNS)}>
      <span className="flex items-center justify-between gap-2 text-ink-2 text-xs leading-7">
        The run
        <span className="num text-ink-3 md:hidden">
          {run.seconds != null && duration(run.seconds)}
        </span>
      </span>
      <div className="relative h-7 min-w-0">
        <Ghost span={drawn.usual} scale={drawn.scale} thin />
        <Bars
          pieces={drawn.run.map((piece) =>
            piece.kind === "run" ? { ...piece, ...outcomeOfRun(view) } : piece,
          )}
          scale={drawn.scale}
          width={width}
          numbered={false}
          thin
          titleOf={(piece) => `${piece.kind === "wait" ? "queued" : "ran"} ${span(piece, zone)}`}
        />
      </div>
      <span className="num hidden text-right text-ink-2 text-xs leading-7 md:block">
        {run.wait_seconds != null && duration(run.wait_seconds)}
      </span>
      <span className="num hidden text-right text-xs leading-7 md:block">
        <Ran seconds={run.seconds} usual={view.usual.seconds} />
      </span>
    </div>
  );
}

function outcomeOfRun(view: RunView): Pick<Piece, "outcome"> | undefined {
  const { state } = view.run;
  if (state === "succeeded") return { outcome: "succeeded" };
  if (state === "failed" || state === "broken") return { outcome: "failed" };
  if (state === "cancelled") return { outcome: "cancelled" };
  return undefined;
}

function useWidth(): [number, (element: HTMLElement | null) => void] {
  const [width, setWidth] = useState(900);
  const [element, setElement] = useState<HTMLElement | null>(null);
  const latest = useRef(width);
  useLayoutEffect(() => {
    if (!element) return;
    const take = () => {
      const next = Math.round(element.clientWidth);
      if (next > 0 && next !== latest.current) {
        latest.current = next;
        setWidth(next);
      }
    };
    take();
    const observer = new ResizeObserver(take);
    observer.observe(element);
    return () => observer.disconnect();
  }, [element]);
  return [width, setElement];
}
