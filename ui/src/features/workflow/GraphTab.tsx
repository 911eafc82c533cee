import { useQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { graphQuery } from "../../api/queries";
import type { WorkflowTask } from "../../api/types";
import { count } from "../../lib/duration";
import { usePhone } from "../../lib/media";
import { Button } from "../../ui/Button";
import { Skeleton } from "../../ui/Feedback";
import DagGraph from "../graph/DagGraph";
import { QueryError } from "../shell/Problems";

interface Props {
  workflow: string;
  tasks: readonly WorkflowTask[] | undefined;
  task: string | undefined;
  onTask: (task: string | undefined) => void;
}

/** Structure: what waits for what. State belongs to the grid and to a run. */
export default function GraphTab({ workflow, tasks, task, onTask }: Props) {
  const navigate = useNavigate();
  const phone = usePhone();
  const { data, error, refetch } = useQuery(graphQuery(workflow));
  const chosen = tasks?.find((each) => each.id === task);
  if (error && !data) return <QueryError error={error} onRetry={() => void refetch()} />;
  return (
    <div className="flex h-full min-h-0 flex-col">
      <div className="min-h-0 flex-1">
        {data ? (
          <DagGraph
            graph={data}
            selected={task}
            onSelect={onTask}
            {...(phone ? { className: "h-[60dvh]" } : {})}
          />
        ) : (
          <Skeleton className="m-6 h-80" />
        )}
      </div>
      <div className="flex min-h-12 flex-wrap items-center gap-x-6 gap-y-1 border-line border-t bg-surface px-4 py-2 md:px-6">
        {chosen ? (
          <>
            <b className="font-semibold">{chosen.id}</b>
            <span className="text-ink-2">{chosen.type}</span>
            <span className="text-ink-2">
              {chosen.depends_on.length > 0
                ? `after ${chosen.depends_on.join(", ")} (${chosen.trigger_rule})`
                : "starts with the run"}
            </span>
            {chosen.when && (
              <span className="text-ink-2">
                only when <code className="font-mono">{chosen.when}</code>
              </span>
            )}
            {chosen.conn && <span className="text-ink-2">connection {chosen.conn}</span>}
            <Button
              small
              className="ml-auto"
              onClick={() =>
                void navigate({ to: ".", search: { tab: "grid", task: chosen.id } as never })
              }
            >
              Show in the grid
            </Button>
          </>
        ) : (
          <span className="text-ink-3">
            {data && count(data.nodes.length, "task")}. Choose one to see what it waits for and what
            waits for it; drag or scroll to move.
          </span>
        )}
      </div>
    </div>
  );
}
