import { Link } from "@tanstack/react-router";
import type { ReactNode } from "react";
import { taskName } from "../lib/states";
import { cx } from "../ui/cx";

const plain = "text-ink underline-offset-2 hover:underline";

export function WorkflowLink({ workflow, className }: { workflow: string; className?: string }) {
  return (
    <Link
      to="/workflows/$workflow"
      params={{ workflow }}
      className={cx(plain, "min-w-0 font-medium [overflow-wrap:anywhere]", className)}
    >
      {workflow}
    </Link>
  );
}

export function RunLink({
  run,
  children,
  className,
}: {
  run: string;
  children: ReactNode;
  className?: string;
}) {
  return (
    <Link to="/runs/$run" params={{ run }} className={cx(plain, className)}>
      {children}
    </Link>
  );
}

interface TaskLinkProps {
  run: string;
  task: string;
  mapIndex?: number | null | undefined;
  children?: ReactNode;
  className?: string;
}

/** To the task run, whose page opens at its log's first error. */
export function TaskLink({ run, task, mapIndex, children, className }: TaskLinkProps) {
  const search = mapIndex === null || mapIndex === undefined ? {} : { map_index: mapIndex };
  return (
    <Link
      to="/runs/$run/tasks/$task"
      params={{ run, task }}
      search={search as never}
      className={cx(plain, "[overflow-wrap:anywhere]", className)}
    >
      {children ?? taskName(task, mapIndex)}
    </Link>
  );
}
