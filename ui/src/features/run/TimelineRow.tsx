import { Link } from "@tanstack/react-router";
import type { RunView } from "../../api/types";
import { StateGlyph } from "../../components/StateGlyph";
import { count, duration } from "../../lib/duration";
import { GLYPHS, isLive, taskName } from "../../lib/states";
import { clockSeconds } from "../../lib/time";
import { cx } from "../../ui/cx";
import { Bars, Stack } from "./Bars";
import { taskLink } from "./links";
import type { Piece } from "./pieces";
import type { Timeline as Drawn, Row } from "./timeline";
import { WhyNot } from "./WhyNot";

/** Label, chart, waited, ran. On a phone label and figures stand above the chart. */
export const COLUMNS =
  "md:grid md:grid-cols-[14rem_minmax(0,1fr)_5rem_9.5rem] md:items-start md:gap-x-3";
export const BOTTOM = "border-line border-b";

export function span(piece: Piece, zone: string): string {
  const seconds = (piece.until - piece.from) / 1000;
  return `${duration(seconds)}, ${clockSeconds(piece.from, zone)}–${piece.live ? "now" : clockSeconds(piece.until, zone)}`;
}

export function Ghost({
  span: ghost,
  scale,
  thin,
}: {
  span: Row["ghost"];
  scale: Drawn["scale"];
  thin?: boolean;
}) {
  if (!ghost) return null;
  const left = scale.x(ghost.from);
  const share = scale.x(ghost.until) - left;
  if (share <= 0) return null;
  return (
    <span
      data-ghost=""
      style={{ left: `${left * 100}%`, width: `max(3px, ${share * 100}%)` }}
      className={cx(
        "absolute rounded-sm border border-control",
        thin ? "top-5 h-1.5" : "top-6 h-1.5",
      )}
    />
  );
}

export function Ran({
  seconds,
  usual,
}: {
  seconds?: number | null | undefined;
  usual?: number | null | undefined;
}) {
  return (
    <>
      {seconds == null ? <span className="text-ink-3">—</span> : duration(seconds)}
      {usual != null && (
        <span className="ml-2 inline-block min-w-14 text-right text-ink-3">{duration(usual)}</span>
      )}
    </>
  );
}

interface RowProps {
  row: Row;
  drawn: Drawn;
  width: number;
  view: RunView;
  zone: string;
}

const SHOWN_LINES = 6;

export function TaskRow({ row, drawn, width, view, zone }: RowProps) {
  const { task } = row;
  const attempts = task.attempts;
  const titleOf = (piece: Piece) => {
    const attempt = attempts.find((each) => each.n === piece.attempt);
    const what = {
      wait: "waited",
      run: "ran",
      lost: "given out, not heard of",
      retry: "retry wait",
      deferred: "deferred",
    };
    const which = attempts.length > 1 ? `attempt ${piece.attempt}: ` : "";
    const cause = attempt && piece.kind !== "wait" ? `\n${attempt.cause_words}` : "";
    return `${task.task}: ${which}${what[piece.kind]} ${span(piece, zone)}${cause}`;
  };
  const height = row.instances ? Math.min(72, Math.max(24, row.instances.stack.length * 2.5)) : 24;
  const bare = row.pieces.length === 0 && (row.instances?.stack.length ?? 0) === 0;
  const quiet = bare && !isLive(task.state);
  const ran = task.seconds ?? liveSeconds(row);
  const waited = row.instances ? undefined : waitedSeconds(row);
  return (
    <li
      data-task={task.task}
      className={cx(
        "group relative px-4 py-0.5 hover:bg-hover/60 max-md:min-h-11 md:px-6",
        BOTTOM,
        COLUMNS,
        drawn.rows.length > 60 && "[contain-intrinsic-size:auto_33px] [content-visibility:auto]",
      )}
    >
      <div className="flex min-w-0 items-center gap-2 leading-7 max-md:pt-1">
        <StateGlyph state={task.state} />
        <Link
          {...taskLink(view.run.id, task.task)}
          title={task.task}
          className={cx(
            "min-w-0 truncate no-underline after:absolute after:inset-0",
            task.state === "failed" ? "font-semibold text-ink" : quiet ? "text-ink-3" : "text-ink",
          )}
        >
          {task.task}
        </Link>
        {row.instances && (
          <span className="num text-2xs text-ink-3">×{row.instances.spread.total}</span>
        )}
        {attempts.length > 1 && (
          <span className="num text-2xs text-warn" title={`${attempts.length} attempts`}>
            {attempts.length}×
          </span>
        )}
        <span className="num ml-auto text-ink-3 text-xs md:hidden">
          {ran !== undefined && ran !== null ? duration(ran) : ""}
        </span>
      </div>
      <div className="min-w-0">
        {bare ? (
          <div className="relative min-h-8">
            <Ghost span={row.ghost} scale={drawn.scale} />
            <p className="relative pt-1.5 text-xs">
              <span className="bg-surface pr-2 text-ink-3 group-hover:bg-transparent">
                {task.reason ? <WhyNot reason={task.reason} /> : <Never row={row} />}
              </span>
            </p>
          </div>
        ) : (
          <div className="relative" style={{ height: row.instances ? height + 8 : 32 }}>
            {row.instances ? (
              <Stack rows={row.instances.stack} scale={drawn.scale} height={height} />
            ) : (
              <Ghost span={row.ghost} scale={drawn.scale} />
            )}
            <Bars
              pieces={row.pieces}
              scale={drawn.scale}
              width={width}
              titleOf={titleOf}
              numbered={attempts.length > 1}
            />
            {row.critical && (
              <Critical row={row} drawn={drawn} bottom={row.instances ? height + 5 : 24} />
            )}
          </div>
        )}
        <RowLines row={row} view={view} bare={bare} />
      </div>
      <span className="num hidden text-right text-ink-2 text-xs leading-7 md:block">
        {waited !== undefined && duration(waited)}
      </span>
      <span className="num hidden text-right text-xs leading-7 md:block">
        {!quiet && <Ran seconds={ran} usual={row.usualSeconds} />}
      </span>
    </li>
  );
}

/** All waits of the task run before an attempt began. */
function waitedSeconds(row: Row): number | undefined {
  const waits = row.pieces.filter((piece) => piece.kind === "wait");
  if (waits.length === 0) return row.task.wait_seconds ?? undefined;
  return waits.reduce((sum, piece) => sum + (piece.until - piece.from) / 1000, 0);
}

function liveSeconds(row: Row): number | undefined {
  const live = row.pieces.find((piece) => piece.kind === "run" && piece.live);
  return live ? (live.until - live.from) / 1000 : undefined;
}

function Never({ row }: { row: Row }) {
  const word = row.task.state === "upstream_failed" ? "Never ran" : GLYPHS[row.task.state].word;
  const cause = row.task.cause_words?.replace(/^(did not run|skipped|cancelled): /, "");
  return <>{cause ? `${word}: ${cause}` : word}</>;
}

function Critical({ row, drawn, bottom }: { row: Row; drawn: Drawn; bottom: number }) {
  const all = row.instances ? row.instances.stack.flat() : row.pieces;
  const first = all[0];
  if (!first) return null;
  const from = Math.min(...all.map((piece) => piece.from));
  const until = Math.max(...all.map((piece) => piece.until));
  const left = drawn.scale.x(from);
  return (
    <span
      data-critical=""
      title="On the critical path"
      style={{
        left: `${left * 100}%`,
        width: `max(3px, ${(drawn.scale.x(until) - left) * 100}%)`,
        top: bottom - 1,
      }}
      className="absolute h-0.5 bg-ink"
    />
  );
}

/** What has to be said in the row: the cause of a failure, the reason of a wait, the spread of instances. */
function RowLines({ row, view, bare }: { row: Row; view: RunView; bare: boolean }) {
  const { task, instances } = row;
  const list = instances?.list ?? [];
  const failed = list.filter((each) => each.state === "failed");
  const waiting = list.filter((each) => each.reason);
  const { min, median, max, slowest } = instances?.spread ?? {};
  const line =
    "w-fit max-w-full bg-surface pr-2 text-xs leading-6 [overflow-wrap:anywhere] group-hover:bg-transparent";
  return (
    <>
      {task.state === "failed" && !instances && !bare && (
        <p className={cx(line, "text-bad")}>{task.error?.line ?? task.cause_words}</p>
      )}
      {task.state === "succeeded" && task.attempts.length > 1 && (
        <p className={cx(line, "text-ink-3")}>attempt 1: {task.attempts[0]?.cause_words}</p>
      )}
      {task.reason && !bare && (
        <p className={line}>
          <WhyNot reason={task.reason} />
        </p>
      )}
      {min !== undefined && median !== undefined && max !== undefined && slowest && (
        <p className={cx(line, "text-ink-3")}>
          {count(list.length, "instance")}: min {duration(min)}, median {duration(median)}, max{" "}
          {duration(max)}; slowest{" "}
          <Link
            {...taskLink(view.run.id, slowest.task, slowest.map_index)}
            className="relative z-10 font-medium text-ink-2 underline decoration-line-strong underline-offset-2"
          >
            {taskName(slowest.task, slowest.map_index)}
          </Link>
        </p>
      )}
      {failed.slice(0, SHOWN_LINES).map((each) => (
        <p key={each.map_index} className={cx(line, "text-bad")}>
          <InstanceLink run={view.run.id} task={each.task} index={each.map_index} />{" "}
          {each.error?.line ?? each.cause_words}
        </p>
      ))}
      {waiting.slice(0, SHOWN_LINES).map((each) => (
        <p key={each.map_index} className={cx(line, "flex items-baseline gap-2")}>
          <InstanceLink run={view.run.id} task={each.task} index={each.map_index} />
          {each.reason && <WhyNot reason={each.reason} />}
        </p>
      ))}
      {(failed.length > SHOWN_LINES || waiting.length > SHOWN_LINES) && (
        <p className={cx(line, "text-ink-3")}>
          and{" "}
          {failed.length +
            waiting.length -
            Math.min(failed.length, SHOWN_LINES) -
            Math.min(waiting.length, SHOWN_LINES)}{" "}
          more
        </p>
      )}
    </>
  );
}

function InstanceLink({
  run,
  task,
  index,
}: {
  run: string;
  task: string;
  index?: number | null | undefined;
}) {
  return (
    <Link
      {...taskLink(run, task, index)}
      className="relative z-10 shrink-0 font-medium text-ink underline decoration-line-strong underline-offset-2"
    >
      {taskName(task, index)}
    </Link>
  );
}
