import { memo } from "react";
import type { Attention, WorkflowSummary } from "../../api/types";
import { Duration } from "../../components/Duration";
import { WorkflowLink } from "../../components/links";
import { RunStrip } from "../../components/RunStrip";
import { StateGlyph } from "../../components/StateGlyph";
import { RelativeTime } from "../../components/When";
import type { AnyState } from "../../lib/states";
import { Button } from "../../ui/Button";
import { cx } from "../../ui/cx";
import { Tag } from "../../ui/Feedback";
import { Icon } from "../../ui/Icon";
import { useSheet } from "../run-actions/sheet";
import { useMay } from "../shell/may";

export const ROW = 32;
export const PHONE_ROW = 100;

/** Columns of a row on a desk; the head has the same. */
export const columns =
  "grid grid-cols-[1rem_minmax(10rem,1.2fr)_minmax(0,1.6fr)_6.5rem_9rem_10rem_5.5rem_10.5rem] items-center gap-x-3";

const WORDS: Readonly<Record<Attention, string>> = {
  failing: "Failing",
  late: "Late",
  running: "Running",
  ok: "Succeeded",
  paused: "Paused",
  none: "Never ran",
};

const GLYPH: Readonly<Record<Attention, AnyState | undefined>> = {
  failing: "failed",
  late: undefined,
  running: "running",
  ok: "succeeded",
  paused: undefined,
  none: "waiting",
};

export function AttentionGlyph({ workflow }: { workflow: WorkflowSummary }) {
  const { attention, last_run: last } = workflow;
  const word = WORDS[attention];
  if (attention === "late") return <Mark icon="clock" word={word} className="text-warn" />;
  if (attention === "paused") return <Mark icon="pause" word={word} className="text-ink-3" />;
  return <StateGlyph state={GLYPH[attention] ?? "waiting"} masked={last?.masked ?? false} />;
}

function Mark(props: { icon: "clock" | "pause"; word: string; className: string }) {
  return (
    <span title={props.word} className={cx("inline-flex", props.className)}>
      <Icon name={props.icon} />
      <span className="sr-only">{props.word}</span>
    </span>
  );
}

interface Props {
  workflow: WorkflowSummary;
}

/** One line: state, name, why or what, owner, the last runs, duration, next start, acts in words. */
export const WorkflowRow = memo(function WorkflowRow({ workflow }: Props) {
  return (
    <div role="row" className={cx(columns, "h-8 border-line border-b px-4 hover:bg-hover md:px-6")}>
      <span role="cell" className="flex">
        <AttentionGlyph workflow={workflow} />
      </span>
      <span role="cell" className="flex min-w-0 items-center gap-2">
        <WorkflowLink workflow={workflow.id} className="truncate" />
        {workflow.diagnostics > 0 && <Broken n={workflow.diagnostics} />}
      </span>
      <span role="cell" className="flex min-w-0 items-center gap-2 text-ink-3">
        <About workflow={workflow} />
      </span>
      <span role="cell" className="truncate text-ink-2">
        {workflow.owner}
      </span>
      <span role="cell">
        <RunStrip runs={workflow.recent} />
      </span>
      <span role="cell" className="truncate text-right text-ink-2">
        <LastDuration workflow={workflow} />
      </span>
      <span role="cell" className="text-right text-ink-2">
        <Next workflow={workflow} />
      </span>
      <span role="cell" className="flex justify-end gap-1">
        <Acts workflow={workflow} />
      </span>
    </div>
  );
});

/** The same facts for one column and a thumb. */
export const WorkflowCard = memo(function WorkflowCard({ workflow }: Props) {
  return (
    <div role="row" className="flex h-25 flex-col justify-center gap-1 border-line border-b px-4">
      <span role="cell" className="flex items-center gap-2">
        <AttentionGlyph workflow={workflow} />
        <WorkflowLink workflow={workflow.id} className="min-w-0 flex-1 truncate text-base" />
        <span className="text-ink-2">
          <Next workflow={workflow} />
        </span>
      </span>
      <span role="cell" className="flex min-w-0 items-center gap-2 pl-6 text-ink-3">
        <About workflow={workflow} />
      </span>
      <span role="cell" className="flex items-center justify-between gap-2 pl-6">
        <RunStrip runs={workflow.recent} />
        <span className="truncate text-ink-2 text-xs">
          <LastDuration workflow={workflow} />
        </span>
      </span>
    </div>
  );
});

/** Why it does not run, if so; else what it is. */
function About({ workflow }: Props) {
  if (workflow.why_not) {
    return (
      <span className="truncate text-ink-2" title={workflow.why_not}>
        {workflow.why_not}
      </span>
    );
  }
  if (workflow.attention === "failing" && workflow.last_run?.failure) {
    const { task, line } = workflow.last_run.failure;
    return (
      <span className="truncate text-ink-2" title={`${task}: ${line}`}>
        <b className="font-medium text-ink">{task}</b>: {line}
      </span>
    );
  }
  return (
    <>
      <span className="truncate" title={workflow.description ?? undefined}>
        {workflow.description}
      </span>
      <span className="hidden shrink-0 gap-1 xl:flex">
        {workflow.tags.slice(0, 2).map((tag) => (
          <Tag key={tag}>{tag}</Tag>
        ))}
      </span>
    </>
  );
}

function Broken({ n }: { n: number }) {
  return (
    <span
      className="inline-flex items-center gap-1 text-2xs text-ink-2"
      title="Diagnostics of its file"
    >
      <Icon name="warn" className="text-warn" />
      {n}
    </span>
  );
}

function LastDuration({ workflow }: Props) {
  const last = workflow.last_run;
  if (!last) return <span className="text-ink-3">never ran</span>;
  return <Duration seconds={last.seconds} usual={workflow.median_seconds} />;
}

function Next({ workflow }: Props) {
  if (workflow.paused) return <span className="text-ink-3">paused</span>;
  if (workflow.next_fire) return <RelativeTime at={workflow.next_fire} />;
  return <span className="text-ink-3">by hand</span>;
}

function Acts({ workflow }: Props) {
  const { open } = useSheet();
  const allowed = useMay("operator");
  return (
    <>
      <Button small kind="quiet" {...allowed} onClick={() => open("pause", workflow.id)}>
        {workflow.paused ? "Unpause" : "Pause"}
      </Button>
      <Button small {...allowed} onClick={() => open("trigger", workflow.id)}>
        Trigger
      </Button>
    </>
  );
}
