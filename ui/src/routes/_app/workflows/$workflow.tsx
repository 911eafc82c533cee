import { type QueryClient, type QueryKey, useQuery, useQueryClient } from "@tanstack/react-query";
import { createFileRoute, Link } from "@tanstack/react-router";
import { lazy, Suspense, useCallback } from "react";
import type { Query } from "../../../api/client";
import { useErrorOf } from "../../../api/errors";
import {
  calendarQuery,
  codeQuery,
  durationsQuery,
  graphQuery,
  gridQuery,
  runsOfQuery,
  scheduleQuery,
  workflowQuery,
} from "../../../api/queries";
import { Page } from "../../../components/Page";
import { gridParams } from "../../../features/grid/params";
import { type RunFilter, readRunFilter } from "../../../features/runs/filter";
import { RunFilters } from "../../../features/runs/RunFilters";
import { RunList } from "../../../features/runs/RunList";
import { QueryError } from "../../../features/shell/Problems";
import { Acts, Facts, Heading, Notices } from "../../../features/workflow/Header";
import {
  readSearch,
  TAB_WORDS,
  TABS,
  type Tab,
  type WorkflowSearch,
} from "../../../features/workflow/search";
import { now } from "../../../lib/clock";
import { currentZone } from "../../../lib/prefs";
import { day as dayOf } from "../../../lib/time";
import { Skeleton, SkeletonRows } from "../../../ui/Feedback";
import { TabBar, tabClass } from "../../../ui/Tabs";

const grid = () => import("../../../features/grid/GridTab");
const graph = () => import("../../../features/workflow/GraphTab");
const durations = () => import("../../../features/workflow/DurationsTab");
const calendar = () => import("../../../features/workflow/CalendarTab");
const schedule = () => import("../../../features/workflow/ScheduleTab");
const code = () => import("../../../features/code/CodeTab");
const CHUNKS: Partial<Record<Tab, () => Promise<unknown>>> = {
  grid,
  graph,
  durations,
  calendar,
  schedule,
  code,
};
const GridTab = lazy(grid);
const GraphTab = lazy(graph);
const DurationsTab = lazy(durations);
const CalendarTab = lazy(calendar);
const ScheduleTab = lazy(schedule);
const CodeTab = lazy(code);

export const Route = createFileRoute("/_app/workflows/$workflow")({
  validateSearch: readSearch,
  loaderDeps: ({ search }) => readSearch({ ...search }),
  loader: ({ context, params, deps }) => {
    // The view's own read and its chunk start together; the facts of the workflow come along with the view.
    void CHUNKS[deps.tab ?? "grid"]?.();
    prefetchTab(context.queryClient, params.workflow, deps);
  },
  component: WorkflowPage,
});

function prefetchTab(client: QueryClient, workflow: string, search: WorkflowSearch): void {
  switch (search.tab ?? "grid") {
    case "grid":
      return void client.prefetchQuery(gridQuery(workflow, gridParams(search)));
    case "graph":
      return void client.prefetchQuery(graphQuery(workflow));
    case "runs":
      return void client.prefetchInfiniteQuery(
        runsOfQuery(workflow, readRunFilter({ ...search }) as Query),
      );
    case "durations":
      return void client.prefetchQuery(durationsQuery(workflow, search.runs ?? DURATIONS));
    case "calendar":
      return void client.prefetchQuery(calendarQuery(workflow, yearOf(search), currentZone()));
    case "schedule":
      return void client.prefetchQuery(scheduleQuery(workflow, search.n ?? FIRES));
    case "code":
      return void client.prefetchQuery(codeQuery(workflow, search.version, search.against));
  }
}

/** Where the view's own read is kept. */
function keyOfTab(workflow: string, search: WorkflowSearch): QueryKey {
  switch (search.tab ?? "grid") {
    case "grid":
      return gridQuery(workflow, gridParams(search)).queryKey;
    case "graph":
      return graphQuery(workflow).queryKey;
    case "runs":
      return runsOfQuery(workflow, readRunFilter({ ...search }) as Query).queryKey;
    case "durations":
      return durationsQuery(workflow, search.runs ?? DURATIONS).queryKey;
    case "calendar":
      return calendarQuery(workflow, yearOf(search), currentZone()).queryKey;
    case "schedule":
      return scheduleQuery(workflow, search.n ?? FIRES).queryKey;
    case "code":
      return codeQuery(workflow, search.version, search.against).queryKey;
  }
}

const yearOf = (search: WorkflowSearch) =>
  search.year ?? Number(dayOf(now(), currentZone()).slice(0, 4));

const DURATIONS = 100;
const FIRES = 10;
/** Tabs that keep their own scrolling and fill the window. */
const FILL: ReadonlySet<Tab> = new Set<Tab>(["grid", "graph", "code"]);

type Change = { [K in keyof WorkflowSearch]?: WorkflowSearch[K] | undefined };

function WorkflowPage() {
  const { workflow } = Route.useParams();
  const search = Route.useSearch();
  const tab = search.tab ?? "grid";
  const client = useQueryClient();
  const { data } = useQuery({ ...workflowQuery(workflow), enabled: false });
  const queryKey = keyOfTab(workflow, search);
  const error = useErrorOf(queryKey);
  // A view that fails on a page that is known says so in its own place.
  if (error && !data)
    return <QueryError error={error} onRetry={() => void client.refetchQueries({ queryKey })} />;
  return (
    <Page
      title={workflow}
      fill={FILL.has(tab)}
      heading={data ? <Heading workflow={data} /> : workflow}
      facts={data ? <Facts workflow={data} /> : <Skeleton className="w-72" />}
      actions={data && <Acts workflow={data} />}
      tabs={
        <TabBar label="Views of the workflow">
          {TABS.map((each) => (
            <Link
              key={each}
              to="/workflows/$workflow"
              params={{ workflow }}
              search={each === "grid" ? {} : { tab: each }}
              activeOptions={{ exact: true }}
              className={tabClass(each === tab)}
              aria-current={each === tab ? "page" : undefined}
            >
              {TAB_WORDS[each]}
            </Link>
          ))}
        </TabBar>
      }
    >
      <div className="flex h-full min-h-0 flex-col">
        {data && <Notices workflow={data} />}
        <div className="min-h-0 flex-1">
          <Suspense fallback={<SkeletonRows rows={12} />}>
            <TabContent tab={tab} />
          </Suspense>
        </div>
      </div>
    </Page>
  );
}

function TabContent({ tab }: { tab: Tab }) {
  const { workflow } = Route.useParams();
  const search = Route.useSearch();
  const navigate = Route.useNavigate();
  const { data } = useQuery({ ...workflowQuery(workflow), enabled: false });
  const set = useCallback(
    (change: Change) =>
      void navigate({
        search: (previous) => readSearch({ ...previous, ...change }),
        replace: true,
        resetScroll: false,
      }),
    [navigate],
  );
  switch (tab) {
    case "grid":
      return <GridTab key={workflow} workflow={workflow} search={search} onSearch={set} />;
    case "graph":
      return (
        <GraphTab
          workflow={workflow}
          tasks={data?.tasks}
          task={search.task}
          onTask={(task) => set({ task })}
        />
      );
    case "runs":
      return <Runs workflow={workflow} filter={readRunFilter({ ...search })} onChange={set} />;
    case "durations":
      return (
        <DurationsTab
          workflow={workflow}
          runs={search.runs ?? DURATIONS}
          onRuns={(runs) => set({ runs })}
        />
      );
    case "calendar":
      return <CalendarTab workflow={workflow} year={search.year} day={search.day} onSearch={set} />;
    case "schedule":
      return <ScheduleTab workflow={workflow} n={search.n ?? FIRES} onCount={(n) => set({ n })} />;
    case "code":
      return (
        <CodeTab
          workflow={workflow}
          version={search.version}
          against={search.against}
          onSearch={set}
        />
      );
  }
}

interface RunsProps {
  workflow: string;
  filter: RunFilter;
  onChange: (change: { [K in keyof RunFilter]?: RunFilter[K] | undefined }) => void;
}

function Runs({ workflow, filter, onChange }: RunsProps) {
  return (
    <div className="bg-surface">
      <div className="border-line border-b px-4 py-1.5 md:px-6">
        <RunFilters filter={filter} onChange={onChange} search={false} />
      </div>
      <RunList
        single
        query={runsOfQuery(workflow, filter as Query)}
        empty="No run fits this filter"
      />
    </div>
  );
}
