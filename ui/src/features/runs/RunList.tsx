import { useInfiniteQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import type { runsQuery } from "../../api/queries";
import type { RunSummary } from "../../api/types";
import { Elapsed } from "../../components/Duration";
import { RunLink, WorkflowLink } from "../../components/links";
import { StateGlyph, TriggerGlyph } from "../../components/StateGlyph";
import { DayTime, RelativeTime } from "../../components/When";
import { duration } from "../../lib/duration";
import { usePhone } from "../../lib/media";
import { GLYPHS, isLive } from "../../lib/states";
import { Button } from "../../ui/Button";
import { cx } from "../../ui/cx";
import { Empty, SkeletonRows } from "../../ui/Feedback";
import { Table, Td, Th } from "../../ui/Table";
import { QueryError } from "../shell/Problems";
import { outcome } from "./outcome";

interface Props {
  query: ReturnType<typeof runsQuery>;
  /** The list is of one workflow: its name is not repeated. */
  single?: boolean;
  empty: string;
}

/** Runs, 28 px each: when, why it exists, what became of it in words, how long against the usual. */
export function RunList({ query, single = false, empty }: Props) {
  const { data, error, refetch, fetchNextPage, hasNextPage, isFetchingNextPage } =
    useInfiniteQuery(query);
  const phone = usePhone();
  if (error && !data) return <QueryError error={error} onRetry={() => void refetch()} />;
  if (!data) return <SkeletonRows rows={16} height={28} />;
  const runs = data.pages.flatMap((page) => page.items);
  if (runs.length === 0) return <Empty title={empty} />;
  return (
    <>
      {phone ? (
        <ul>
          {runs.map((run) => (
            <Card key={run.id} run={run} single={single} />
          ))}
        </ul>
      ) : (
        <Table bleed label="Runs">
          <thead>
            <tr>
              <Th>
                <span className="sr-only">State</span>
              </Th>
              {!single && <Th>Workflow</Th>}
              <Th>Run for</Th>
              <Th className="w-full">What happened</Th>
              <Th num>Took, usual</Th>
              <Th num>Waited</Th>
              <Th num>Retries</Th>
              <Th>By</Th>
              <Th num>When</Th>
            </tr>
          </thead>
          <tbody>
            {runs.map((run) => (
              <Row key={run.id} run={run} single={single} />
            ))}
          </tbody>
        </Table>
      )}
      {hasNextPage && (
        <div className="flex justify-center p-4">
          <Button busy={isFetchingNextPage} onClick={() => void fetchNextPage()}>
            Show 50 more
          </Button>
        </div>
      )}
    </>
  );
}

interface RowProps {
  run: RunSummary;
  single: boolean;
}

function Row({ run, single }: RowProps) {
  const navigate = useNavigate();
  const text = outcome(run);
  const open = () => void navigate({ to: "/runs/$run", params: { run: run.id } });
  return (
    <tr className="cursor-pointer hover:bg-hover" onClick={open}>
      <Td dense>
        <StateGlyph state={run.state} masked={run.masked} />
      </Td>
      {!single && (
        <Td dense>
          <span className="block max-w-56 truncate">
            <WorkflowLink workflow={run.workflow} />
          </span>
        </Td>
      )}
      <Td dense>
        <span className="flex items-center gap-1.5">
          <TriggerGlyph trigger={run.trigger} />
          <RunLink run={run.id}>
            <DayTime at={run.logical_date} />
          </RunLink>
        </span>
      </Td>
      <Td dense className="max-w-0">
        <span
          className={cx("block truncate", run.failure ? "text-ink" : "text-ink-3")}
          title={text}
        >
          {run.masked && <b className="font-medium">hides a failure: </b>}
          {text}
        </span>
      </Td>
      <Td num dense>
        <span className="flex items-center justify-end gap-2">
          <Took run={run} />
          <Meter run={run} />
        </span>
      </Td>
      <Td num dense className="text-ink-2">
        {(run.wait_seconds ?? 0) < 1 ? "" : duration(run.wait_seconds ?? 0)}
      </Td>
      <Td num dense className="text-ink-2">
        {run.attempts_extra || ""}
      </Td>
      <Td dense className="text-ink-2">
        <span className="block max-w-32 truncate">{run.by}</span>
      </Td>
      <Td num dense className="text-ink-2">
        <RelativeTime at={run.ended_at ?? run.created_at} />
      </Td>
    </tr>
  );
}

function Took({ run }: { run: RunSummary }) {
  const usual = run.usual_seconds;
  return (
    <span>
      {run.seconds == null ? (
        run.started_at && isLive(run.state) ? (
          <Elapsed since={run.started_at} />
        ) : (
          "—"
        )
      ) : (
        duration(run.seconds)
      )}
      {usual != null && <span className="text-ink-3">, {duration(usual)}</span>}
    </span>
  );
}

/** The time as a bar; the tick in its middle is the usual time, the end twice that. */
function Meter({ run }: { run: RunSummary }) {
  const usual = run.usual_seconds;
  if (!usual || run.seconds == null) return <span className="w-16" />;
  const share = Math.min(100, (run.seconds / usual) * 50);
  return (
    <span className="relative h-2 w-16 bg-sunken" aria-hidden="true">
      <span className="absolute inset-y-0 left-0 bg-control" style={{ width: `${share}%` }} />
      <span className="absolute -inset-y-0.5 left-1/2 w-px bg-ink" />
    </span>
  );
}

function Card({ run, single }: RowProps) {
  const text = outcome(run);
  return (
    <li className="border-line border-b">
      <RunLink
        run={run.id}
        className="flex min-h-14 flex-col justify-center px-4 py-2 no-underline"
      >
        <span className="flex items-center gap-2">
          <StateGlyph state={run.state} masked={run.masked} silent />
          <span className="min-w-0 flex-1 truncate font-medium">
            {single ? GLYPHS[run.state].word : run.workflow}
          </span>
          <span className="text-ink-2 text-xs">
            <RelativeTime at={run.ended_at ?? run.created_at} />
          </span>
        </span>
        {text && <span className="pl-6 [overflow-wrap:anywhere]">{text}</span>}
        <span className="flex items-center gap-2 pl-6 text-ink-3 text-xs">
          <TriggerGlyph trigger={run.trigger} />
          <DayTime at={run.logical_date} />
          <span className="ml-auto">
            <Took run={run} />
          </span>
        </span>
      </RunLink>
    </li>
  );
}
