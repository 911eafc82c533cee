import { useQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { useCallback } from "react";
import { durationsQuery } from "../../api/queries";
import type { TaskDurations } from "../../api/types";
import { Section } from "../../components/Page";
import { duration } from "../../lib/duration";
import { Empty, Skeleton } from "../../ui/Feedback";
import { Table, Td, Th } from "../../ui/Table";
import { Segments } from "../../ui/Tabs";
import { QueryError } from "../shell/Problems";
import { DurationChart } from "./DurationChart";

interface Props {
  workflow: string;
  runs: number;
  onRuns: (runs: number) => void;
}

const SIZES = [30, 100, 365] as const;

/** How long runs take, and which task the time goes to. */
export default function DurationsTab({ workflow, runs, onRuns }: Props) {
  const navigate = useNavigate();
  const { data, error, refetch } = useQuery(durationsQuery(workflow, runs));
  const open = useCallback(
    (run: string) => void navigate({ to: "/runs/$run", params: { run } }),
    [navigate],
  );
  if (error && !data) return <QueryError error={error} onRetry={() => void refetch()} />;
  return (
    <div className="flex flex-col gap-4 p-4 md:px-6">
      <Section
        title="Runs"
        about="time from first start to end, by creation"
        actions={
          <Segments
            label="How many runs"
            value={String(runs)}
            options={SIZES.map((n) => ({ value: String(n), text: `last ${n}` }))}
            onChange={(text) => onRuns(Number(text))}
          />
        }
      >
        <div className="p-4">
          {!data ? (
            <Skeleton className="h-80 w-full" />
          ) : data.points.length === 0 ? (
            <Empty title="No run has ended yet" />
          ) : (
            <DurationChart data={data} onOpen={open} />
          )}
        </div>
      </Section>
      {data && data.tasks.length > 0 && (
        <Section title="Tasks" about="of the same runs, slowest first">
          <Tasks tasks={data.tasks} />
        </Section>
      )}
    </div>
  );
}

function Tasks({ tasks }: { tasks: readonly TaskDurations[] }) {
  const sorted = [...tasks].sort((a, b) => (b.median_seconds ?? -1) - (a.median_seconds ?? -1));
  const longest = Math.max(0.001, ...tasks.map((task) => task.p95_seconds ?? 0));
  return (
    <Table label="Durations of the tasks">
      <thead>
        <tr>
          <Th>Task</Th>
          <Th className="w-full">Median, p95</Th>
          <Th num>Median</Th>
          <Th num>p95</Th>
          <Th num>Median wait</Th>
          <Th num>Retries</Th>
          <Th num>Failures</Th>
          <Th num>Runs</Th>
        </tr>
      </thead>
      <tbody>
        {sorted.map((task) => (
          <tr key={task.task}>
            <Td dense className="font-medium">
              {task.task}
            </Td>
            <Td dense className="min-w-40">
              <Spread task={task} longest={longest} />
            </Td>
            <Td num dense>
              {seconds(task.median_seconds)}
            </Td>
            <Td num dense className="text-ink-2">
              {seconds(task.p95_seconds)}
            </Td>
            <Td num dense className="text-ink-2">
              {seconds(task.wait_median_seconds)}
            </Td>
            <Td num dense>
              {task.retries || ""}
            </Td>
            <Td num dense>
              {task.failures || ""}
            </Td>
            <Td num dense className="text-ink-2">
              {task.runs}
            </Td>
          </tr>
        ))}
      </tbody>
    </Table>
  );
}

const seconds = (value: number | null | undefined) => (value == null ? "—" : duration(value));

function Spread({ task, longest }: { task: TaskDurations; longest: number }) {
  const share = (value: number | null | undefined) => `${((value ?? 0) / longest) * 100}%`;
  return (
    <span className="relative block h-2" aria-hidden="true">
      <span
        className="absolute inset-y-0.75 left-0 bg-line-strong"
        style={{ width: share(task.p95_seconds) }}
      />
      <span
        className="absolute inset-y-0 left-0 bg-control"
        style={{ width: share(task.median_seconds) }}
      />
    </span>
  );
}
