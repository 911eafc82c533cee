import type { Plan, PlanTask } from "../../api/types";
import { ErrorState } from "../../components/Page";
import { StateGlyph } from "../../components/StateGlyph";
import { duration } from "../../lib/duration";
import { GLYPHS, taskName } from "../../lib/states";
import { Empty, Skeleton } from "../../ui/Feedback";
import { Icon } from "../../ui/Icon";

const EFFECTS: Record<PlanTask["effect"], string> = {
  rerun: "runs again",
  cancel: "is cancelled",
  stop: "is stopped",
  remove: "is removed",
  mark: "is marked",
  start: "will run",
};

interface Props {
  plan: Plan | undefined;
  error: unknown;
  pending: boolean;
  onRetry: () => void;
}

/** What the act would touch, task by task, as the server says before it does anything. */
export function PlanView({ plan, error, pending, onRetry }: Props) {
  if (error) return <ErrorState error={error} onRetry={onRetry} />;
  if (!plan)
    return (
      <div role="status" aria-label="Loading the preview" className="flex flex-col gap-2 py-2">
        <Skeleton className="w-48" />
        <Skeleton className="w-full" />
        <Skeleton className="w-full" />
        <Skeleton className="w-2/3" />
      </div>
    );
  return (
    <section aria-label="Preview" aria-busy={pending} className="min-w-0">
      <p className="font-semibold text-base" data-plan="">
        {plan.text}
        {plan.estimate_seconds != null && (
          <span className="num ml-2 font-normal text-ink-2 text-sm">
            ≈ {duration(plan.estimate_seconds)}
          </span>
        )}
      </p>
      {plan.version && plan.version.from !== plan.version.to && (
        <p className="text-ink-2 text-xs">
          Version {plan.version.from} → {plan.version.to}
        </p>
      )}
      {plan.warnings.map((warning) => (
        <p key={warning} className="mt-2 flex items-start gap-2 text-sm">
          <Icon name="warn" className="mt-0.5 text-warn" />
          {warning}
        </p>
      ))}
      {plan.tasks.length === 0 &&
        plan.runs === 0 &&
        plan.action !== "pause" &&
        plan.action !== "unpause" && (
          <Empty title="Nothing to do">No task is in a state that this would change.</Empty>
        )}
      <ul className="mt-2">
        {plan.tasks.map((task) => (
          <li
            key={taskName(task.task, task.map_index)}
            className="flex min-h-8 flex-wrap items-center gap-x-2 border-line border-b py-1 text-sm"
          >
            <StateGlyph state={task.state} />
            <span className="min-w-0 flex-1 [overflow-wrap:anywhere]">
              {taskName(task.task, task.map_index)}
              <span className="ml-2 whitespace-nowrap text-ink-3 text-xs">
                {GLYPHS[task.state].word.toLowerCase()}
              </span>
            </span>
            <span className="text-ink-2 text-xs max-md:basis-full max-md:pl-6 md:text-right">
              {EFFECTS[task.effect]}
              {task.why && `: ${task.why}`}
            </span>
          </li>
        ))}
      </ul>
    </section>
  );
}
