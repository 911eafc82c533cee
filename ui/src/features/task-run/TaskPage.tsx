import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { lazy, Suspense } from "react";
import { taskRunQuery } from "../../api/queries";
import type { Attempt, TaskRunView } from "../../api/types";
import { Elapsed } from "../../components/Duration";
import { StateBadge, StateGlyph } from "../../components/StateGlyph";
import { DayTime } from "../../components/When";
import { duration } from "../../lib/duration";
import { taskName } from "../../lib/states";
import { cx } from "../../ui/cx";
import { Empty, Skeleton } from "../../ui/Feedback";
import { Icon } from "../../ui/Icon";
import { TabBar, tabClass } from "../../ui/Tabs";
import { Fact, Frame, Named } from "../run/Frame";
import { type TaskSearch, type TaskTab, taskLink } from "../run/links";
import { WhyNot } from "../run/WhyNot";
import { ActLink } from "../run-actions/ActLink";
import { QueryError } from "../shell/Problems";
import { Attempts } from "./Attempts";
import { usualOf } from "./compare";
import { History, Instances } from "./History";
import { Items } from "./Items";
import { TaskOutput } from "./TaskOutput";
import { TaskParams } from "./TaskParams";

const LogViewer = lazy(() => import("../log/LogViewer"));

interface Props {
  run: string;
  task: string;
  search: TaskSearch;
  onSearch: (search: TaskSearch) => void;
}

/** One task run: its attempts with their causes, then the log at the first error. */
export function TaskPage({ run, task, search, onSearch }: Props) {
  const { map_index, attempt, line } = search;
  const query = useQuery({
    ...taskRunQuery(run, task, { map_index, attempt, line }),
    // Another attempt of the same task run: what is known of it stays while that log comes.
    placeholderData: keepPreviousData,
  });
  const view = query.data;
  if (query.error && !view)
    return <QueryError error={query.error} onRetry={() => void query.refetch()} />;
  const tab = search.tab ?? (view && isMapped(view) ? "instances" : "log");
  return (
    <Frame
      title={taskName(task, search.map_index)}
      crumbs={view ? <Crumbs view={view} /> : <Skeleton className="h-5 w-72" />}
      facts={view ? <Facts view={view} /> : <Skeleton className="w-64" />}
      sentence={view ? <Sentence view={view} /> : <Skeleton className="mt-0.5 w-96 max-w-full" />}
      actions={view ? <Actions view={view} /> : <Skeleton className="h-8 w-48" />}
      tabs={<Tabs run={run} task={task} search={search} tab={tab} view={view} />}
    >
      {view ? (
        <Content view={view} tab={tab} search={search} onSearch={onSearch} />
      ) : (
        <TaskSkeleton />
      )}
    </Frame>
  );
}

const isMapped = (view: TaskRunView) =>
  view.task_run.map_index == null && (view.instances?.length ?? 0) > 0;

function Content({
  view,
  tab,
  search,
  onSearch,
}: {
  view: TaskRunView;
  tab: TaskTab;
  search: TaskSearch;
  onSearch: Props["onSearch"];
}) {
  switch (tab) {
    case "log":
      return <LogTab view={view} search={search} onSearch={onSearch} />;
    case "params":
      return <TaskParams view={view} />;
    case "output":
      return <TaskOutput view={view} />;
    case "items":
      return <Items items={view.items} />;
    case "history":
      return <History run={view.run.id} task={view.task_run} history={view.history} />;
    case "instances":
      return <Instances run={view.run.id} instances={view.instances ?? []} />;
  }
}

function LogTab({
  view,
  search,
  onSearch,
}: {
  view: TaskRunView;
  search: TaskSearch;
  onSearch: Props["onSearch"];
}) {
  const { task_run: task, run } = view;
  const last = task.attempts.reduce<Attempt | undefined>(
    (best, each) => (!best || each.n > best.n ? each : best),
    undefined,
  );
  // The newest attempt that left a log, unless the URL names one.
  const logged = task.attempts.find((each) => each.n === view.log_attempt);
  const chosen =
    task.attempts.find((each) => each.n === search.attempt) ??
    (last?.outcome && !last.log && task.state === "failed" ? (logged ?? last) : last);
  const beside = task.attempts.find((each) => each.n === search.with && each.n !== chosen?.n);
  if (!chosen)
    return (
      <Empty title={isMapped(view) ? "A mapped task has no log of its own" : "No attempt yet"}>
        {isMapped(view) ? (
          "Each instance has one."
        ) : task.reason ? (
          <WhyNot reason={task.reason} />
        ) : (
          task.cause_words
        )}
      </Empty>
    );
  const shown = beside ? [chosen, beside].sort((a, b) => a.n - b.n) : [chosen];
  return (
    <>
      <Attempts run={run.id} task={task} chosen={chosen.n} beside={beside?.n} />
      <div className="flex min-h-0 flex-1 divide-line max-md:flex-col md:divide-x">
        {shown.map((attempt) =>
          attempt.log || !attempt.outcome ? (
            <Suspense
              key={`${task.task}/${task.map_index ?? ""}/${attempt.n}`}
              fallback={<LogPlace />}
            >
              <div className="flex min-h-0 min-w-0 flex-1 flex-col">
                {beside && (
                  <p className="bg-sunken px-4 py-1 font-semibold text-xs md:px-6">
                    Attempt {attempt.n}
                    <span className="ml-2 font-normal text-ink-2">{attempt.cause_words}</span>
                  </p>
                )}
                <LogViewer
                  log={{
                    run: run.id,
                    task: task.task,
                    mapIndex: task.map_index ?? undefined,
                    attempt: attempt.n,
                  }}
                  head={attempt.n === view.log_attempt ? (view.log_head ?? undefined) : undefined}
                  live={!attempt.outcome}
                  line={beside ? undefined : search.line}
                  onLine={(line) => onSearch({ ...search, attempt: attempt.n, line })}
                  compact={beside !== undefined}
                  name={`Log of attempt ${attempt.n}`}
                />
              </div>
            </Suspense>
          ) : (
            <div key={attempt.n} className="flex-1 bg-surface">
              <Empty title={`Attempt ${attempt.n} left no log`}>{attempt.cause_words}</Empty>
            </div>
          ),
        )}
      </div>
    </>
  );
}

function Crumbs({ view }: { view: TaskRunView }) {
  const { run, task_run: task } = view;
  const slash = (
    <span aria-hidden="true" className="text-ink-3">
      /
    </span>
  );
  const link =
    "touch inline-flex items-center text-ink-2 no-underline hover:text-ink hover:underline";
  return (
    <>
      <Link
        to="/workflows/$workflow"
        params={{ workflow: run.workflow }}
        className={cx(link, "font-medium")}
      >
        {run.workflow}
      </Link>
      {slash}
      <Link to="/runs/$run" params={{ run: run.id }} className={cx(link, "font-medium")}>
        <DayTime at={run.logical_date} />
      </Link>
      {slash}
      {task.map_index != null ? (
        <>
          <Link {...taskLink(run.id, task.task)} className={link}>
            {task.task}
          </Link>
          <span>[{task.map_index}]</span>
        </>
      ) : (
        <span>{task.task}</span>
      )}
    </>
  );
}

function Facts({ view }: { view: TaskRunView }) {
  const { task_run: task } = view;
  const usual = usualOf(view.history);
  return (
    <>
      <StateBadge state={task.state} className="text-ink text-sm" />
      <span className="text-ink-3">{task.type}</span>
      {task.state === "running" && task.started_at ? (
        <Fact name="running">
          <Elapsed since={task.started_at} usual={usual} />
        </Fact>
      ) : (
        task.seconds != null && (
          <Fact name="ran">
            <span className="num">
              {duration(task.seconds)}
              {usual !== undefined && `, usual ${duration(usual)}`}
            </span>
          </Fact>
        )
      )}
      {task.wait_seconds != null && (
        <Fact name="waited">
          <span className="num">{duration(task.wait_seconds)}</span>
        </Fact>
      )}
      {view.upstream.length > 0 && (
        <span className="inline-flex items-center gap-1.5 whitespace-nowrap">
          <span className="text-ink-3">after</span>
          {view.upstream.map((each) => (
            <Link
              key={each.task}
              {...taskLink(view.run.id, each.task)}
              className="inline-flex items-center gap-1 text-ink-2 no-underline hover:text-ink hover:underline"
            >
              <StateGlyph state={each.state} className="size-3" />
              {each.task}
            </Link>
          ))}
        </span>
      )}
    </>
  );
}

/** The first error line, the reason of the wait, or what else explains the state. */
function Sentence({ view }: { view: TaskRunView }) {
  const { task_run: task } = view;
  const look = "[overflow-wrap:anywhere] md:truncate";
  if (task.reason)
    return (
      <p className={look} title={task.reason.text}>
        <WhyNot reason={task.reason} />
      </p>
    );
  const attempts = task.attempts.length;
  if (task.state === "failed" && task.error)
    return (
      <p className={look} title={task.error.message}>
        Failed{attempts > 0 && ` at attempt ${attempts}`}:{" "}
        <span className="text-bad">{task.error.line}</span>
        {view.downstream.length > 0 && `; ${view.downstream.join(", ")} waited for it.`}
      </p>
    );
  const words =
    task.state === "succeeded" && attempts > 0
      ? `succeeded at attempt ${attempts}${attempts > 1 ? `; attempt 1: ${task.attempts[0]?.cause_words}` : ""}`
      : (task.cause_words ?? task.attempts.at(-1)?.cause_words);
  return (
    <p className={look} title={words}>
      {words ? (
        <Named text={words.charAt(0).toUpperCase() + words.slice(1)} />
      ) : (
        <StateWord view={view} />
      )}
    </p>
  );
}

function StateWord({ view }: { view: TaskRunView }) {
  const { instances } = view.task_run;
  if (!instances) return null;
  const parts = [
    `${instances.succeeded} of ${instances.total} succeeded`,
    ...(instances.failed ? [`${instances.failed} failed`] : []),
    ...(instances.running ? [`${instances.running} running`] : []),
    ...(instances.waiting ? [`${instances.waiting} waiting`] : []),
  ];
  return <>{parts.join(", ")}.</>;
}

const OVER = new Set(["succeeded", "failed", "skipped", "upstream_failed", "cancelled"]);

function Actions({ view }: { view: TaskRunView }) {
  const { run, task_run: task } = view;
  const name = taskName(task.task, task.map_index);
  const same = view.siblings.filter((each) => each.task === task.task && each.map_index != null);
  const index = same.findIndex((each) => each.map_index === task.map_index);
  const before = index > 0 ? same[index - 1] : undefined;
  const after = index >= 0 ? same[index + 1] : undefined;
  const step =
    "touch inline-flex size-8 items-center justify-center rounded-md text-ink-2 hover:bg-hover";
  return (
    <>
      {OVER.has(task.state) && (
        <ActLink
          sheet="retry"
          of={run.id}
          pick={[name]}
          kind={task.state === "failed" ? "primary" : "plain"}
          icon="retry"
        >
          Re-run from here…
        </ActLink>
      )}
      <ActLink sheet="mark" of={run.id} pick={[name]}>
        Mark…
      </ActLink>
      {(before || after) && (
        <span className="flex">
          {before && (
            <Link
              {...taskLink(run.id, task.task, before.map_index)}
              className={step}
              aria-label="Previous instance"
            >
              <Icon name="chevronLeft" />
            </Link>
          )}
          {after && (
            <Link
              {...taskLink(run.id, task.task, after.map_index)}
              className={step}
              aria-label="Next instance"
            >
              <Icon name="chevronRight" />
            </Link>
          )}
        </span>
      )}
    </>
  );
}

const WORDS: Record<TaskTab, string> = {
  log: "Log",
  params: "Params",
  output: "Output",
  items: "Items",
  history: "History",
  instances: "Instances",
};

function Tabs({
  run,
  task,
  search,
  tab,
  view,
}: {
  run: string;
  task: string;
  search: TaskSearch;
  tab: TaskTab;
  view: TaskRunView | undefined;
}) {
  const counts: Partial<Record<TaskTab, number>> = view
    ? { items: view.items.length, instances: view.instances?.length ?? 0 }
    : {};
  const shown = (Object.keys(WORDS) as TaskTab[]).filter(
    (each) => each !== "instances" || tab === "instances" || (view && isMapped(view)),
  );
  const keep: TaskSearch = search.attempt === undefined ? {} : { attempt: search.attempt };
  return (
    <TabBar label="Views of the task run">
      {shown.map((each) => (
        <Link
          key={each}
          {...taskLink(run, task, search.map_index, { ...keep, tab: each })}
          activeOptions={{ exact: true }}
          className={tabClass(each === tab)}
          aria-current={each === tab ? "page" : undefined}
        >
          {WORDS[each]}
          {counts[each] ? <span className="num text-2xs text-ink-3">{counts[each]}</span> : null}
        </Link>
      ))}
    </TabBar>
  );
}

function LogPlace() {
  return (
    <div role="status" aria-label="Loading" className="flex-1 bg-surface p-4">
      {Array.from({ length: 12 }, (_, i) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: the rows are all alike
        <Skeleton key={i} className={cx("mb-1", ["w-3/5", "w-2/5", "w-4/5"][i % 3])} />
      ))}
    </div>
  );
}

function TaskSkeleton() {
  return (
    <div className="flex-1 bg-surface">
      <div className="border-line border-b px-4 py-2 md:px-6">
        <Skeleton className="mb-2 w-full" />
        <Skeleton className="w-4/5" />
      </div>
      <LogPlace />
    </div>
  );
}
