import type { FileDiagnostics, NextFire, RunSummary, WaitingTask } from "../../api/types";
import { Elapsed } from "../../components/Duration";
import { RunLink, TaskLink, WorkflowLink } from "../../components/links";
import { Progress } from "../../components/Progress";
import { StateGlyph } from "../../components/StateGlyph";
import { DayTime, RelativeTime } from "../../components/When";
import { useNow } from "../../lib/clock";
import { ms } from "../../lib/time";
import { WhyNot } from "../run/WhyNot";

/** Running now: how far, how long, against the usual. */
export function Running({ runs }: { runs: readonly RunSummary[] }) {
  return (
    <ul className="divide-y divide-line">
      {runs.map((run) => (
        <li key={run.id} className="px-4 py-2">
          <div className="flex items-center gap-2">
            <StateGlyph state={run.state} />
            <RunLink run={run.id} className="min-w-0 flex-1 truncate font-medium">
              {run.workflow}
            </RunLink>
            <span className="text-ink-2 text-xs">
              {run.started_at ? (
                <Elapsed since={run.started_at} usual={run.usual_seconds} />
              ) : (
                <>
                  waits <Elapsed since={run.created_at} />
                </>
              )}
            </span>
          </div>
          <Progress
            done={run.tasks_done}
            total={run.tasks_total}
            label={`${run.tasks_done} of ${run.tasks_total} tasks done`}
            className="mt-1 pl-6"
          />
        </li>
      ))}
    </ul>
  );
}

/** What waits, and why: the whole sentence, in the row. */
export function Waiting({ items }: { items: readonly WaitingTask[] }) {
  return (
    <ul className="divide-y divide-line">
      {items.map((item) => (
        <li
          key={`${item.workflow}${item.run}${item.task}${item.map_index}`}
          className="grid grid-cols-[1rem_minmax(0,1fr)] gap-x-3 px-4 py-1.5"
        >
          <span className="pt-0.5">
            <StateGlyph state={item.state} />
          </span>
          <div className="min-w-0">
            <div className="flex flex-wrap items-baseline gap-x-2">
              <WorkflowLink workflow={item.workflow} />
              {item.run && item.task && (
                <TaskLink run={item.run} task={item.task} mapIndex={item.map_index} />
              )}
              <span className="ml-auto text-ink-3 text-xs">
                <Elapsed since={item.since} />
              </span>
            </div>
            <p>
              <WhyNot reason={item.reason} />
            </p>
          </div>
        </li>
      ))}
    </ul>
  );
}

export function NextFires({ items }: { items: readonly NextFire[] }) {
  return (
    <ul className="divide-y divide-line">
      {items.map((fire) => (
        <li
          key={`${fire.workflow}${fire.at}`}
          className="flex items-baseline gap-x-3 px-4 py-1.5"
          title={fire.schedule}
        >
          <WorkflowLink workflow={fire.workflow} className="min-w-0 flex-1 truncate" />
          <span className="text-ink-3 text-xs">
            <DayTime at={fire.at} />
          </span>
          <span className="w-20 text-right text-ink-2">
            <Due at={fire.at} />
          </span>
        </li>
      ))}
    </ul>
  );
}

/** A start whose time has come is due, not "5 s ago": the list is of what comes. */
function Due({ at }: { at: string }) {
  const now = useNow(5_000);
  return ms(at) <= now ? <span>due now</span> : <RelativeTime at={at} />;
}

export function BrokenFiles({ files }: { files: readonly FileDiagnostics[] }) {
  return (
    <ul className="divide-y divide-line">
      {files.map((file) => (
        <li key={file.path} className="px-4 py-2">
          <div className="flex items-baseline gap-x-2">
            <StateGlyph state="broken" className="self-start" />
            <span className="min-w-0 flex-1 font-medium font-mono text-xs [overflow-wrap:anywhere]">
              {file.path}
            </span>
            <span className="whitespace-nowrap text-ink-3 text-xs">
              <RelativeTime at={file.since} />
            </span>
          </div>
          {file.diagnostics.slice(0, 3).map((each) => (
            <p key={`${each.line}:${each.column}:${each.code}`} className="mt-1 text-ink-2">
              <span className="font-mono text-xs">
                {each.line}:{each.column} {each.code}
              </span>{" "}
              {each.message}
              {each.hint && <>; {each.hint}</>}
            </p>
          ))}
          {file.kept_version && (
            <p className="mt-1 text-ink-3 text-xs">
              Version {file.kept_version} keeps running
              {file.workflow && (
                <>
                  {" "}
                  as <WorkflowLink workflow={file.workflow} />
                </>
              )}
              .
            </p>
          )}
        </li>
      ))}
    </ul>
  );
}
