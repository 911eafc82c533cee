import { useNavigate } from "@tanstack/react-router";
import { useMemo, useState } from "react";
import type { RunView } from "../../api/types";
import { duration } from "../../lib/duration";
import DagGraph, { type NodeMark } from "../graph/DagGraph";
import { taskLink } from "./links";

function marksOf(view: RunView): Record<string, NodeMark> {
  const marks: Record<string, NodeMark> = {};
  for (const task of view.tasks) {
    if (task.map_index != null) continue;
    const words: string[] = [];
    if (task.instances) words.push(`${task.instances.succeeded} of ${task.instances.total}`);
    if (task.seconds != null) words.push(duration(task.seconds));
    if (task.attempts.length > 1) words.push(`${task.attempts.length} attempts`);
    if (task.wait_seconds != null && task.wait_seconds >= 5)
      words.push(`waited ${duration(task.wait_seconds)}`);
    marks[task.task] = {
      state: task.state,
      ...(words.length > 0 ? { note: words.join(", ") } : {}),
    };
  }
  return marks;
}

/** The graph with states; it starts at what failed, else at what runs. */
export default function GraphTab({ view }: { view: RunView }) {
  const navigate = useNavigate();
  const marks = useMemo(() => marksOf(view), [view]);
  const [selected, setSelected] = useState<string | undefined>(
    () =>
      (
        view.tasks.find((task) => task.map_index == null && task.state === "failed") ??
        view.tasks.find((task) => task.map_index == null && task.state === "running")
      )?.task,
  );
  return (
    <DagGraph
      graph={view.graph}
      states={marks}
      selected={selected}
      onSelect={setSelected}
      onOpen={(task) => void navigate(taskLink(view.run.id, task))}
      critical={view.critical_path}
      className="min-h-0 flex-1 max-md:h-[70dvh] max-md:flex-none"
    />
  );
}
