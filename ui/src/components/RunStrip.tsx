import { useNavigate } from "@tanstack/react-router";
import type { MouseEvent } from "react";
import type { RunBar } from "../api/types";
import { duration } from "../lib/duration";
import { GLYPHS } from "../lib/states";
import { cx } from "../ui/cx";
import { TONE_TEXT } from "./StateGlyph";

const BAR = 5;
const STEP = 7;
const TALL = 16;
const FOOT = 4;

/**
 * The last runs as bars: length is time against the longest of them. Under the base line a failure has a foot,
 * so that greyscale tells it from a success; live runs are hollow; a masked failure is notched.
 */
export function RunStrip({
  runs,
  slots = 20,
  className,
}: {
  runs: readonly RunBar[];
  slots?: number;
  className?: string;
}) {
  const shown = runs.slice(-slots);
  const longest = Math.max(1, ...shown.map((run) => run.seconds ?? 0));
  const width = slots * STEP;
  const first = slots - shown.length;
  const navigate = useNavigate();
  // A short way for the mouse only: the workflow's own page has every run as a link.
  const open = (event: MouseEvent<SVGSVGElement>) => {
    const x = event.clientX - event.currentTarget.getBoundingClientRect().left;
    const run = shown[Math.floor(x / STEP) - first];
    if (run) void navigate({ to: "/runs/$run", params: { run: run.id } });
  };
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: see `open`
    <svg
      onClick={open}
      width={width}
      height={TALL + FOOT}
      viewBox={`0 0 ${width} ${TALL + FOOT}`}
      className={cx("shrink-0 cursor-pointer overflow-visible", className)}
      role="img"
      aria-label={words(shown)}
    >
      <title>{words(shown)}</title>
      {shown.map((run, index) => (
        <Bar key={run.id} run={run} x={(first + index) * STEP} longest={longest} />
      ))}
    </svg>
  );
}

function words(runs: readonly RunBar[]): string {
  const failed = runs.filter((run) => run.state === "failed" || run.state === "broken").length;
  const masked = runs.filter((run) => run.masked).length;
  const hidden = masked > 0 ? `, ${masked} hide a failure` : "";
  return runs.length === 0 ? "No runs yet" : `Last ${runs.length} runs: ${failed} failed${hidden}`;
}

function Bar({ run, x, longest }: { run: RunBar; x: number; longest: number }) {
  const { tone, word } = GLYPHS[run.state];
  const height = Math.max(4, Math.round(((run.seconds ?? longest / 2) / longest) * TALL));
  const y = TALL - height;
  const hollow = tone === "run" || tone === "wait" || tone === "mute";
  return (
    <g className={TONE_TEXT[tone]}>
      <title>{`${word}${run.seconds ? `, ${duration(run.seconds)}` : ""}${run.attempts_extra ? `, ${run.attempts_extra} retries` : ""}`}</title>
      <rect x={x - 1} y={0} width={STEP} height={TALL + FOOT} fill="transparent" />
      {hollow ? (
        <rect
          x={x + 0.6}
          y={y + 0.6}
          width={BAR - 1.2}
          height={height - 1.2}
          fill="none"
          stroke="currentColor"
          strokeWidth={1.2}
        />
      ) : (
        <rect x={x} y={y} width={BAR} height={height} fill="currentColor" />
      )}
      {tone === "bad" && (
        <rect x={x} y={TALL + 1} width={BAR} height={FOOT - 1} fill="currentColor" />
      )}
      {run.masked && (
        <rect x={x} y={TALL - 4} width={BAR} height={8} className="fill-bad stroke-surface" />
      )}
    </g>
  );
}
