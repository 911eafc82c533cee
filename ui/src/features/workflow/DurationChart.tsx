import "uplot/dist/uPlot.min.css";
import { useEffect, useRef, useState } from "react";
import uPlot from "uplot";
import type { DurationPoint, Durations } from "../../api/types";
import { StateBadge, TriggerGlyph } from "../../components/StateGlyph";
import { DayTime } from "../../components/When";
import { duration } from "../../lib/duration";
import { useShownTheme, useZone } from "../../lib/prefs";
import { clock, shortDay } from "../../lib/time";
import { readPalette } from "../grid/paint";
import { drawDurations } from "./chart";

const HEIGHT = 300;

/** A tick at midnight names the day, another the time of day. */
function tickWords(at: number, zone: string): string {
  const time = clock(at, zone);
  return time === "00:00" ? shortDay(at, zone) : time;
}

/** Steps of the axis: whole seconds, minutes and hours, as people count them. */
const SPANS = [
  ...[0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30],
  ...[1, 2, 5, 10, 15, 30].map((minutes) => minutes * 60),
  ...[1, 2, 3, 6, 12, 24, 48, 96].map((hours) => hours * 3600),
];

interface Props {
  data: Durations;
  onOpen: (run: string) => void;
}

/** A point per run: how long it took, when; the median and the 95th percentile as lines. */
export function DurationChart({ data, onOpen }: Props) {
  const host = useRef<HTMLDivElement>(null);
  const at = useRef<number | null>(null);
  const theme = useShownTheme();
  const zone = useZone();
  const [hover, setHover] = useState<DurationPoint>();

  // biome-ignore lint/correctness/useExhaustiveDependencies: the colours change with the theme
  useEffect(() => {
    const box = host.current;
    if (!box) return;
    const p = readPalette();
    const axis = {
      stroke: p.ink3,
      font: "11px Inter, sans-serif",
      grid: { stroke: p.line, width: 1 },
      ticks: { stroke: p.line, width: 1 },
    };
    const points = data.points.filter((each) => each.seconds != null);
    const plot = new uPlot(
      {
        width: box.clientWidth,
        height: HEIGHT,
        tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), zone),
        legend: { show: false },
        cursor: { y: false, points: { show: false }, drag: { setScale: false } },
        scales: { y: { range: (_u, _min, max) => [0, Math.max(1, max * 1.1)] } },
        axes: [
          {
            ...axis,
            space: 80,
            values: (_u, ticks) => ticks.map((tick) => tickWords(tick * 1000, zone)),
          },
          {
            ...axis,
            size: 64,
            incrs: SPANS,
            values: (_u, ticks) => ticks.map((tick) => (tick === 0 ? "0" : duration(tick))),
          },
        ],
        series: [{}, { paths: () => null, points: { show: false } }],
        hooks: {
          draw: [(u) => drawDurations(u, { ...data, points }, p)],
          setCursor: [
            (u) => {
              at.current = u.cursor.idx ?? null;
              setHover(at.current === null ? undefined : points[at.current]);
            },
          ],
        },
      },
      [
        points.map((each) => Date.parse(each.at) / 1000),
        points.map((each) => each.seconds ?? null),
      ],
      box,
    );
    const click = () => {
      const run = at.current === null ? undefined : points[at.current];
      if (run) onOpen(run.run);
    };
    plot.over.addEventListener("click", click);
    const observer = new ResizeObserver(() =>
      plot.setSize({ width: box.clientWidth, height: HEIGHT }),
    );
    observer.observe(box);
    return () => {
      observer.disconnect();
      plot.destroy();
    };
  }, [data, theme, zone, onOpen]);

  return (
    <div>
      <div
        ref={host}
        role="img"
        aria-label={`Durations of ${data.points.length} runs; the table below has the figures`}
        className="cursor-pointer"
        data-testid="duration-chart"
      />
      <p className="flex min-h-6 flex-wrap items-center gap-x-3 text-ink-2">
        {hover ? (
          <>
            <StateBadge state={hover.state} />
            <span className="num font-medium text-ink">{duration(hover.seconds ?? 0)}</span>
            {hover.wait_seconds != null && (
              <span className="num">waited {duration(hover.wait_seconds)}</span>
            )}
            <TriggerGlyph trigger={hover.trigger} />
            <DayTime at={hover.at} />
            <span>version {hover.version}</span>
          </>
        ) : (
          "A point is a run, a cross one that failed. Point at it to read it, click to open it."
        )}
      </p>
    </div>
  );
}
